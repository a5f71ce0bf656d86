"""What every shape of a page and every kind of value becomes: bytes in, columns out, no network."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from alertbot.errors import SourceBroken
from alertbot.evaluation.snapshot import Presence, Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.sources.eight_by_eight.assemble import KeyBatch
from alertbot.sources.eight_by_eight.decode import decode_page
from tests.sources.build import assemble
from tests.sources.standin import entity

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WAIT = "interactionsLongestWaitInQueue.rt"


def snapshot(body: bytes | object, *keys: str, scope: Scope = Scope.QUEUE) -> Snapshot:
    """One page as a whole snapshot."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    part = KeyBatch(keys)
    part.pages[0] = decode_page(raw, keys)
    made = assemble(scope, "queues", [part], NOW)
    assert isinstance(made, Snapshot)
    return made


ONE = [{"key": WAIT, "value": 41250}]
ROOTS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "array": (json.dumps([{"id": "201", "name": "Billing", "metrics": ONE}]).encode(), ("201",)),
    "bare object": (json.dumps({"id": "201", "name": "Billing", "metrics": ONE}).encode(), ("201",)),
    "metrics as a map": (json.dumps([{"id": "201", "name": "Billing", "metrics": {WAIT: 41250}}]).encode(), ("201",)),
    "unknown members": (
        json.dumps([{"id": "201", "x": {"y": [1]}, "name": "Billing", "metrics": [{**ONE[0], "unit": "ms"}]}]).encode(),
        ("201",),
    ),
    "other keys too": (
        json.dumps([{"id": "201", "name": "Billing", "metrics": [{"key": "new.rt", "value": {}}, *ONE]}]).encode(),
        ("201",),
    ),
    "byte order mark": (
        b"\xef\xbb\xbf" + json.dumps([{"id": "201", "name": "Billing", "metrics": ONE}]).encode(),
        ("201",),
    ),
    "a number as id": (json.dumps([{"id": 201, "name": "Billing", "metrics": ONE}]).encode(), ("201",)),
    "something else among them": (
        json.dumps([7, None, {"id": "201", "name": "Billing", "metrics": ONE}, "x"]).encode(),
        ("201",),
    ),
    "one odd pair": (
        json.dumps([{"id": "201", "name": "Billing", "metrics": [5, {"value": 1}, *ONE]}]).encode(),
        ("201",),
    ),
}


@pytest.mark.parametrize(("body", "ids"), ROOTS.values(), ids=ROOTS)
def test_shapes_of_a_page(body: bytes, ids: tuple[str, ...]) -> None:
    """Every known shape of a page gives the same entity with the same value."""
    seen = snapshot(body, WAIT)
    assert seen.ids == ids
    assert seen.names == ("Billing",)
    assert seen.reading(WAIT, 0) == (41250.0, Presence.PRESENT)
    assert set(seen.columns) == {WAIT}


NO_PAGES = {
    "empty": (b"", "an empty response"),
    "blank": (b" \n ", "an empty response"),
    "html": (b"<!DOCTYPE html><html><body>Sign in</body></html>", "HTML"),
    "xml": (b"<UnmodifiableRandomAccessList><item/></UnmodifiableRandomAccessList>", "XML"),
    "cut off": (b'[{"id":"201","name":"Bil', "truncated or malformed"),
    "error object": (b'{"message":"Bad request"}', "not an entity"),
    "null": (b"null", "neither a list nor an entity"),
    "number": (b"17", "neither a list nor an entity"),
    "text": (b'"queues"', "neither a list nor an entity"),
    "not UTF-8": (b'[{"id":"201","name":"M\xfcller"}]', "not UTF-8"),
    "nested too deep": (b"[" * 200_000, "nested too deeply"),
    "two documents": (b"[][]", "malformed"),
}


@pytest.mark.parametrize(("body", "words"), NO_PAGES.values(), ids=NO_PAGES)
def test_what_is_no_page(body: bytes, words: str) -> None:
    """Anything that is not a page of entities is broken, in words, and never an empty list."""
    with pytest.raises(SourceBroken, match=words):
        decode_page(body, [WAIT])


P = Presence
# scope, key, raw JSON of the value, what it becomes
VALUES: dict[str, tuple[Scope, str, str, float | str | None, Presence]] = {
    "integer": (Scope.QUEUE, "entered.today", "12", 12.0, P.PRESENT),
    "zero": (Scope.QUEUE, "entered.today", "0", 0.0, P.PRESENT),
    "float": (Scope.QUEUE, "avgHandlingTime.int-15m", "29947.4", 29947.4, P.PRESENT),
    "ratio": (Scope.QUEUE, "slaPercentage.today", "0.92", 0.92, P.PRESENT),
    "digits": (Scope.GROUP, "availableIdle.rt", '"4"', 4.0, P.PRESENT),
    "digits with a point": (Scope.GROUP, "availableIdle.rt", '"4.5"', 4.5, P.PRESENT),
    "null": (Scope.QUEUE, "avgHandlingTime.int-15m", "null", None, P.NULL),
    "a word for a number": (Scope.QUEUE, "entered.today", '"many"', None, P.INVALID),
    "digits with blanks": (Scope.QUEUE, "entered.today", '" 4"', None, P.INVALID),
    "digits as Python writes them": (Scope.QUEUE, "entered.today", '"1_000"', None, P.INVALID),
    "foreign digits": (Scope.QUEUE, "entered.today", '"\u0664"', None, P.INVALID),
    "empty text for a number": (Scope.QUEUE, "entered.today", '""', None, P.INVALID),
    "the word nan": (Scope.QUEUE, "entered.today", '"nan"', None, P.INVALID),
    "true": (Scope.QUEUE, "entered.today", "true", None, P.INVALID),
    "an object": (Scope.QUEUE, "entered.today", "{}", None, P.INVALID),
    "a list for a plain count": (Scope.QUEUE, "entered.today", "[]", None, P.INVALID),
    "NaN": (Scope.QUEUE, "entered.today", "NaN", None, P.INVALID),
    "Infinity": (Scope.QUEUE, "entered.today", "-Infinity", None, P.INVALID),
    "beyond a float": (Scope.QUEUE, "entered.today", "1e400", None, P.INVALID),
    "beyond all reason": (Scope.QUEUE, "entered.today", "1e300", None, P.INVALID),
    "an integer of 30 digits": (Scope.QUEUE, "entered.today", "1" * 30, None, P.INVALID),
    "an integer of 350 digits": (Scope.QUEUE, "entered.today", "1" * 350, None, P.INVALID),
    "an integer of 9,000 digits": (Scope.QUEUE, "entered.today", "1" * 9000, None, P.INVALID),
    "status": (Scope.AGENT, "status.rt", '"OnBreak"', "OnBreak", P.PRESENT),
    "an undocumented status": (Scope.AGENT, "status.rt", '"Méditation"', "Méditation", P.PRESENT),
    "status code null": (Scope.AGENT, "statusCode.rt", "null", None, P.NULL),
    "a number for a status": (Scope.AGENT, "status.rt", "3", None, P.INVALID),
    "half a character": (Scope.AGENT, "status.rt", '"\\ud800"', None, P.INVALID),
    "timestamp": (Scope.AGENT, "lastLogin.rt", '"2026-01-05T08:01:02.003Z"', 1767600062003.0, P.PRESENT),
    "timestamp with an offset": (
        Scope.AGENT,
        "lastLogin.rt",
        '"2026-01-05T10:01:02+02:00"',
        1767600062000.0,
        P.PRESENT,
    ),
    "timestamp without a zone": (Scope.AGENT, "lastLogin.rt", '"2026-01-05T08:01:02"', 1767600062000.0, P.PRESENT),
    "a date alone": (Scope.AGENT, "lastLogin.rt", '"2026-01-05"', None, P.INVALID),
    "a number for a timestamp": (Scope.AGENT, "lastLogin.rt", "1767600062003", None, P.INVALID),
    "a 13th month": (Scope.AGENT, "lastLogin.rt", '"2026-13-05T08:01:02Z"', None, P.INVALID),
    "list": (
        Scope.AGENT,
        "activeChannels.rt",
        '[{"id":"a","name":"A","count":2},{"id":"b","name":"B","count":"3"}]',
        5.0,
        P.PRESENT,
    ),
    "empty list": (Scope.AGENT, "activeQueues.rt", "[]", 0.0, P.PRESENT),
    "a list without counts": (Scope.AGENT, "activeQueues.rt", '[{"id":"a"}]', None, P.INVALID),
    "a list of numbers": (Scope.AGENT, "activeQueues.rt", "[2]", None, P.INVALID),
    "unknown key, number": (Scope.QUEUE, "brandNew.rt", "7", 7.0, P.PRESENT),
    "unknown key, digits": (Scope.QUEUE, "brandNew.rt", '"7"', 7.0, P.PRESENT),
    "unknown key, text": (Scope.QUEUE, "brandNew.rt", '"red"', "red", P.PRESENT),
    "unknown key, list": (Scope.QUEUE, "brandNew.rt", '[{"count":1}]', 1.0, P.PRESENT),
}


@pytest.mark.parametrize(("scope", "key", "raw", "value", "presence"), VALUES.values(), ids=VALUES)
def test_values(scope: Scope, key: str, raw: str, value: float | str | None, presence: Presence) -> None:
    """A value is taken as what the catalogue says it is, or is missing with its reason; never zero instead."""
    body = f'[{{"id":"1","name":"A","metrics":[{{"key":"{key}","value":{raw}}}]}}]'.encode()
    seen = snapshot(body, key, scope=scope)
    assert seen.reading(key, 0) == (value, presence)
    column = seen.columns[key]
    if presence is not P.PRESENT:
        assert column.values[0] == "" if column.is_text else math.isnan(float(column.values[0]))
    # Among others, whose columns are read the quick way, it is the same.
    many = json.dumps([entity(str(row), **{key: None}) for row in range(2, 6)])[1:-1].encode()
    among = snapshot(body[:-1] + b"," + many + b"]", key, scope=scope)
    assert among.reading(key, 0) == (value, presence)
    assert among.reading(key, 3)[1] is P.NULL


def test_absent_null_and_invalid_stay_apart() -> None:
    """Three ways to have no value are three presences, in one column."""
    seen = snapshot(
        [
            entity("1", **{WAIT: 5}),
            entity("2", **{WAIT: None}),
            entity("3"),
            {"id": "4", "name": "D"},
            {"id": "5", "name": "E", "metrics": None},
            entity("6", **{WAIT: "soon"}),
            {"id": "7", "name": "G", "metrics": [{"key": WAIT}]},
            {"id": "8", "name": "H", "metrics": "none"},
        ],
        WAIT,
    )
    assert seen.columns[WAIT].presence.tolist() == [
        P.PRESENT, P.NULL, P.ABSENT, P.ABSENT, P.ABSENT, P.INVALID, P.ABSENT, P.ABSENT,
    ]  # fmt: skip
    assert np.isnan(seen.columns[WAIT].values[1:].astype(float)).all()
    assert f"queues: {WAIT} is unreadable for 1 of 8" in seen.problems


def test_keys_in_another_order_belong_to_their_own_key() -> None:
    """8x8's order of metrics follows no rule; values are placed by key."""
    a, b = "entered.today", "accepted.today"
    seen = snapshot([entity("1", **{a: 1, b: 2}), entity("2", **{b: 20, a: 10})], a, b)
    assert [seen.reading(a, row)[0] for row in (0, 1)] == [1.0, 10.0]
    assert [seen.reading(b, row)[0] for row in (0, 1)] == [2.0, 20.0]


def test_a_repeated_key_counts_once() -> None:
    """The first value of a repeated key is used, with a note."""
    pairs = [{"key": WAIT, "value": 1}, {"key": WAIT, "value": 2}]
    seen = snapshot([{"id": "1", "name": "A", "metrics": pairs}], WAIT)
    assert seen.reading(WAIT, 0) == (1.0, P.PRESENT)
    assert any("repeated keys" in problem for problem in seen.problems)


def test_totals_and_nameless_elements_are_no_entities() -> None:
    """The totals element is ignored silently; an element without an id is ignored with a note, and makes it partial."""
    totals = {"id": None, "name": "totals", "metrics": [{"key": f"total.{WAIT}", "value": 9}]}
    assert snapshot([entity("1", **{WAIT: 1}), totals], WAIT).complete
    for without_id in ({"name": "B", "metrics": []}, entity(""), entity(True), entity(["1"]), entity("\ud800")):
        seen = snapshot(json.dumps([entity("1", **{WAIT: 1}), without_id]).encode(), WAIT)
        assert seen.ids == ("1",)
        assert not seen.complete
        assert seen.problems == ("queues: 1 without an id ignored",)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("Sales", "Sales"), (None, "201"), ("", "201"), (17, "17"), ({"x": 1}, "201"), ("<!channel>", "<!channel>")],
    ids=str,
)
def test_a_name_is_never_empty(name: object, shown: str) -> None:
    """If 8x8 gives no name, the id is shown."""
    assert snapshot([entity("201", name)]).names == (shown,)


def test_an_unknown_key_stays_a_number_when_one_value_is_odd() -> None:
    """One word in a column of numbers does not turn the column into text."""
    seen = snapshot([entity("1", **{"brandNew.rt": 4}), entity("2", **{"brandNew.rt": "n/a"})], "brandNew.rt")
    assert not seen.columns["brandNew.rt"].is_text
    assert seen.columns["brandNew.rt"].presence.tolist() == [P.PRESENT, P.INVALID]


def test_a_key_that_nobody_has_is_said() -> None:
    """8x8 may drop a key that it does not know; that is reported once for all entities."""
    seen = snapshot([entity("1"), entity("2")], WAIT)
    assert seen.problems == (f"queues: 8x8 sent no {WAIT}",)


def test_parts_are_joined_by_id() -> None:
    """Keys that came in two calls stand side by side, also where the lists differ or one is missing."""
    first, second, third = KeyBatch(("entered.today",)), KeyBatch(("accepted.today",)), KeyBatch(("busy.rt",))
    first.pages[0] = decode_page(json.dumps([entity(i, **{"entered.today": 1}) for i in "ab"]).encode(), first.keys)
    second.pages[0] = decode_page(json.dumps([entity(i, **{"accepted.today": 2}) for i in "cb"]).encode(), second.keys)
    third.missing[0] = "8x8 answered 503"
    seen = assemble(Scope.QUEUE, "queues", [first, second, third], NOW)
    assert isinstance(seen, Snapshot)
    assert seen.ids == ("a", "b", "c")
    readings: dict[str, list[Any]] = {key: [seen.reading(key, row) for row in range(3)] for key in seen.columns}
    assert readings["entered.today"] == [(1.0, P.PRESENT), (1.0, P.PRESENT), (None, P.NOT_FETCHED)]
    assert readings["accepted.today"] == [(None, P.NOT_FETCHED), (2.0, P.PRESENT), (2.0, P.PRESENT)]
    assert readings["busy.rt"] == [(None, P.NOT_FETCHED)] * 3
    assert not seen.complete
    assert seen.problems == ("queues: busy.rt were not received: 8x8 answered 503",)
