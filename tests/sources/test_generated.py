"""Whatever bytes come: only typed errors, no invented entity, no missing value that becomes a number."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alertbot.errors import SourceBroken
from alertbot.evaluation.snapshot import Presence, Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.sources.eight_by_eight import EightByEight
from alertbot.sources.eight_by_eight.assemble import KeyBatch
from alertbot.sources.eight_by_eight.decode import decode_page
from tests.sources.build import assemble
from tests.sources.conftest import KEY, NOW, SECRET
from tests.sources.standin import Reply, StandIn

KEYS = ("accepted.today", "status.rt", "lastLogin.rt", "activeQueues.rt", "brandNew.rt")

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**30, 10**400, -(2**63), 2**64]),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["7", "-3.5", "1e5", "nan", "Infinity", "2026-01-05T08:01:02.003Z", "\ud800", "<!channel>"]),
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner))
counts = st.lists(st.fixed_dictionaries({"id": st.just("x"), "count": st.integers(0, 9)}), max_size=3)
identities = st.one_of(st.sampled_from(["1", "2", "3", "4"]), scalars)
names_of_keys = st.sampled_from([*KEYS, "other.rt"])
# Mostly well-formed, so that odd values are reached and not only odd frames.
good_pairs = st.fixed_dictionaries({"key": st.sampled_from(KEYS), "value": scalars | counts})
pairs = good_pairs | st.fixed_dictionaries({"key": names_of_keys | scalars}, optional={"value": values | counts})
good_elements = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["1", "2", "3", "4"]),
        "name": st.text(max_size=3),
        "metrics": st.lists(good_pairs, max_size=6),
    }
)
metrics = st.one_of(
    st.lists(pairs, max_size=6), st.dictionaries(names_of_keys, values | counts, max_size=5), st.lists(values), values
)
elements = st.fixed_dictionaries({}, optional={"id": identities, "name": values, "metrics": metrics}) | values
roots = st.lists(good_elements, max_size=5) | st.lists(good_elements | elements, max_size=5) | elements


def first_values(root: Any) -> dict[str, dict[str, Any]]:
    """The plainest reading: of each id its first element, and of each key its first value."""
    entities: dict[str, dict[str, Any]] = {}
    for element in root if isinstance(root, list) else [root]:
        if not isinstance(element, dict):
            continue
        identity = element.get("id")
        if isinstance(identity, bool) or not isinstance(identity, (str, int)):
            continue
        found = element.get("metrics")
        cells: dict[str, Any] = dict(found) if isinstance(found, dict) else {}
        for pair in found if isinstance(found, list) else []:
            if isinstance(pair, dict) and isinstance(pair.get("key"), str) and pair["key"] not in cells:
                cells[pair["key"]] = pair.get("value", ...)
        entities.setdefault(str(identity), cells)
    return entities


def read(body: bytes) -> Snapshot | None:
    """The snapshot of one page, or None where it is refused with the one error that is allowed."""
    part = KeyBatch(KEYS)
    try:
        part.pages[0] = decode_page(body, KEYS)
    except SourceBroken:
        return None
    snapshot = assemble(Scope.AGENT, "agents", [part], NOW)
    assert isinstance(snapshot, Snapshot)
    return snapshot


@given(root=roots)
@settings(max_examples=250, deadline=None)
def test_nothing_is_invented(root: Any) -> None:
    """Every entity and every value of a snapshot stands in the page, and what does not stand there is missing."""
    body = json.dumps(root).encode()
    snapshot = read(body)
    if snapshot is None:
        return
    # As the bytes say it: a lone surrogate or a huge number is written and read again.
    truth = first_values(json.loads(body))
    assert len(set(snapshot.ids)) == len(snapshot.ids)
    assert set(snapshot.ids) <= set(truth)
    assert all(snapshot.names)
    repeated = any("repeated keys" in problem for problem in snapshot.problems)
    for row, identity in enumerate(snapshot.ids):
        for key in KEYS:
            value, presence = snapshot.reading(key, row)
            raw = truth[identity].get(key, ...)
            if raw is ... and not repeated:
                assert (value, presence) == (None, Presence.ABSENT)
            elif raw is None:
                assert (value, presence) == (None, Presence.NULL)
            elif presence is Presence.PRESENT:
                assert raw is not ...
                check_value(key, raw, value)
            elif raw is not ...:
                assert presence is Presence.INVALID
            column = snapshot.columns[key]
            if presence is not Presence.PRESENT:
                assert column.values[row] == "" if column.is_text else math.isnan(float(column.values[row]))


def check_value(key: str, raw: Any, value: float | str | None) -> None:
    """A value that is present is what the page says, and nothing else."""
    assert not isinstance(raw, (bool, dict))
    if isinstance(value, str):
        assert value == raw
        return
    assert value is not None
    assert math.isfinite(value)
    if key == "lastLogin.rt":
        assert raw == "2026-01-05T08:01:02.003Z"
        assert value == 1767600062003.0
    elif isinstance(raw, list):
        assert key in ("activeQueues.rt", "brandNew.rt")
        assert value == sum(float(item["count"]) for item in raw)
    else:
        assert value == float(raw)


@given(root=roots, data=st.data())
@settings(max_examples=200, deadline=None)
def test_spoilt_bytes_raise_only_what_is_promised(root: Any, data: st.DataObject) -> None:
    """A body that is cut, or in which bytes are changed, is a page or a SourceBroken, nothing else."""
    body = bytearray(json.dumps(root).encode())
    for _ in range(data.draw(st.integers(0, 3))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    read(bytes(body[: data.draw(st.integers(0, len(body)))]))


@given(body=st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_bytes_raise_only_what_is_promised(body: bytes) -> None:
    """Noise is a page (some noise is) or a SourceBroken."""
    read(body)


@pytest.fixture(scope="module")
def noisy() -> Iterator[tuple[StandIn, EightByEight]]:
    standin = StandIn()
    client = EightByEight("acme", standin.base_url, standin.token_url, KEY, SECRET, max_tries=1, timeout_s=2.0)
    yield standin, client
    client.close()
    standin.close()


header_texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
numbers = st.integers(-5, 10**12).map(str)


@given(
    status=st.sampled_from([200, 200, 200, 301, 400, 401, 403, 404, 429, 500, 503]),
    body=st.binary(max_size=40) | roots.map(lambda root: json.dumps(root).encode()),
    headers=st.fixed_dictionaries(
        {},
        optional={
            "X-Total-Pages": numbers | header_texts,
            "Retry-After": numbers | header_texts,
            "Date": header_texts,
            "Content-Encoding": st.sampled_from(["gzip", "deflate", "identity", "x"]),
            "Content-Type": header_texts,
        },
    ),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_answer_makes_fetch_raise(
    noisy: tuple[StandIn, EightByEight], status: int, body: bytes, headers: dict[str, str]
) -> None:
    """Over HTTP: whatever status, headers and body come, the scope is a snapshot or a failure in words."""
    standin, client = noisy
    reply = Reply(body, status, headers)
    standin.routes["/agents"] = lambda request: reply if request.page == 0 else Reply(b"[]")
    fetched = client.fetch({Scope.AGENT: frozenset(KEYS)}, NOW)
    assert (Scope.AGENT in fetched.snapshots) != (Scope.AGENT in fetched.failures)
    assert status == 200 or Scope.AGENT not in fetched.snapshots or b"Field 'page'" in body
    if fetched.retry_after is not None:
        assert 0 <= fetched.retry_after <= 3600
    if status == 200 and Scope.AGENT in fetched.snapshots:
        assert set(fetched.snapshots[Scope.AGENT].columns) == set(KEYS)
