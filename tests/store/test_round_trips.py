"""How often a transaction asks the database: on a server each is a round trip, while others wait for the locks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from alertbot.alerts.alert import Reason
from alertbot.alerts.notice import Notice
from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.store.records import NoticeState
from alertbot.store.sql import outbox, pictures, record
from alertbot.store.sql.budget import UNLIMITED
from alertbot.store.sql.connection import Connection, Cursor, Parameters
from alertbot.store.sql.store import SqlStore
from tests.store.build import (
    ME,
    T0,
    at,
    begin_posted,
    begins,
    firing,
    line,
    new_value,
    notice,
    one,
    ops,
    poll,
    post,
    posts,
)


class Counting:
    """A connection that counts what is asked: statements that are sent together are one, and none is nothing."""

    def __init__(self, conn: Connection) -> None:
        self.conn, self.asked = conn, 0

    def execute(self, sql: str, parameters: Parameters = (), /) -> Cursor:
        self.asked += 1
        return self.conn.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> object:
        rows = list(parameters)
        self.asked += bool(rows)
        return self.conn.executemany(sql, rows)

    def execute_each(self, sql: str, parameters: Sequence[Parameters], /) -> list[list[Any]]:
        self.asked += bool(parameters)
        return self.conn.execute_each(sql, parameters)

    def new_ids(self, expected: int = 1) -> Iterator[int]:
        return self.conn.new_ids(expected)


def cards(first: int, many: int) -> list[Notice]:
    return [notice(firing(str(number)), now=at(5)) for number in range(first, first + many)]


def grouped(first: int, many: int) -> list[Notice]:
    """All of one group: the first makes the card, the others join it and are carried by its message."""
    lead, *others = [replace(each, group=f"rule:of {first}") for each in cards(first, many)]
    return [lead, *(replace(each, lead=lead.id) for each in others)]


def lines(first: int, many: int) -> list[Notice]:
    """In the threads of cards that come with them, one of them about other alerts too."""
    about = [firing(str(number)) for number in range(first, first + many)]
    added = [line(alert, Reason.REMINDER, now=at(6)) for alert in about]
    return [*cards(first, many), *added, replace(added[0], id="also", also=tuple(each.key for each in about[1:]))]


def operational(first: int, many: int) -> list[Notice]:
    return [ops(f"problem {number}", now=at(5)) for number in range(first, first + many)]


def unknown(first: int, many: int) -> list[Notice]:
    """Of alerts that do not exist."""
    return [notice(firing(f"gone {number}"), now=at(5)) for number in range(first, first + many)]


KINDS: dict[str, tuple[Callable[[int, int], list[Notice]], int]] = {
    "cards": (cards, 7),
    "cards that alerts share": (grouped, 11),
    "lines": (lines, 7),
    "operational messages": (operational, 2),
    "of unknown alerts": (unknown, 5),
}


@pytest.mark.parametrize(("make", "most"), KINDS.values(), ids=KINDS)
def test_adding_notices(store: SqlStore, make: Callable[[int, int], list[Notice]], most: int) -> None:
    """As often for forty as for two."""
    store.record(poll([begins(firing(str(number))) for number in range(50)], now=at(0)))
    asked = []
    for first, many in ((0, 2), (5, 40)):
        with store._db.write() as conn:
            counting = Counting(conn)
            record.add_notices(counting, "acme", make(first, many), {}, at(10))
            asked.append(counting.asked)
    assert asked[0] == asked[1] <= most


def test_pictures_that_wait(store: SqlStore) -> None:
    """As often for forty cards in two channels as for four: only the one whose turn it is is read."""
    asked = []
    for first, many in ((0, 4), (4, 36)):
        for number in range(first, first + many):
            begin_posted(store, firing(str(number)), at(number), f"#c{number % 2}")
        with store._db.read() as conn:
            counting = Counting(conn)
            due = pictures.due(counting, at(60), UNLIMITED, ME)
            assert due is not None
            assert due.alert.key.entity_id == "0"
            asked.append(counting.asked)
    assert asked[0] == asked[1]


def test_what_is_due(store: SqlStore) -> None:
    """Posts in thirty channels, then edits of their cards: two further round trips for each eight cards."""
    known = [firing(str(number)) for number in range(32)]
    asked = {}
    for many in (8, 32):
        some = known[len(store.alerts()) : many]
        store.record(poll([begins(each) for each in some], [notice(each, channel=each.key.entity_id) for each in some]))
        asked["posts", many] = of_due(store, at(1), many)
    for each in posts(store, at(1)):
        post(store, each, at(1), channel_id=each.notice.channel)
    for many, from_ in ((8, 0), (24, 8)):
        changes = [new_value(one(store, each), 1.0, at(200)) for each in known[from_:many]]
        store.record(poll(changes, now=at(200)))
        asked["edits", many] = of_due(store, at(200), many)
    assert asked["posts", 32] == asked["posts", 8] + 2 * 3
    assert asked["edits", 24] == asked["edits", 8] + 2 * 2


def of_due(store: SqlStore, now: datetime, many: int) -> int:
    """How often is asked for what is due, which must be so many."""
    with store._db.read() as conn:
        counting = Counting(conn)
        assert len(outbox.due(counting, now, 50, UNLIMITED, ME)) == many
        return counting.asked


def test_one_notice_twice_in_a_list(store: SqlStore) -> None:
    """The first counts, at its place."""
    one, other = ops("one", now=at(5)), ops("other", now=at(5))
    store.record(replace(poll([], [one, other, replace(one, text="changed")], now=at(5))))
    entries = store.notices_of(None)
    assert [(each.notice.text, each.state) for each in entries] == [
        ("one", NoticeState.WAITING),
        ("other", NoticeState.WAITING),
    ]


def test_another_tenant_is_taken_over(store: SqlStore) -> None:
    """What is known of the agents of others is not read again: with many tenants that would be most of a start."""
    present = Column(np.zeros(1), np.full(1, Presence.PRESENT, dtype=np.uint8))
    seen = {Scope.AGENT: Snapshot(Scope.AGENT, T0, ("A1",), ("Dana Whitfield",), {"x.rt": present})}
    store.record(poll(snapshots=seen))
    store.own("globex", "a worker", at(5))
    with store._db.write() as conn:
        counting = Counting(conn)
        assert store._agents.write(counting, "acme", seen) == {}
        assert counting.asked == 0
