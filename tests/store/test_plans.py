"""No statement of the hot path scans a growing table: its time depends on what is open or waits, not on history."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from alertbot.alerts.alert import Outcome, Reason
from alertbot.alerts.cards import Posted
from alertbot.alerts.delivery import Claimed, EditCard, PostCard
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import (
    ME,
    at,
    begin,
    begin_posted,
    begins,
    ends,
    firing,
    line,
    new_value,
    notice,
    one,
    ops,
    pending,
    poll,
    posts,
    rises,
    snapshot,
)

GROW = {"alerts", "cards", "notices", "recorded_polls", "recorded_layouts", "fallback_posts"}
# Indexes of only what is open or waiting: reading one of them fully reads only that.
OF_WHAT_WAITS = {
    *("alerts_open", "notices_waiting", "notices_claimed", "cards_outdated", "cards_one_open", "cards_pictures"),
    *("fallback_posts_waiting", "fallback_posts_open"),
}

Parameters = Sequence[Any] | Mapping[str, Any]


class Listener:
    """A connection that notes the statements, with their parameters as bound: a literal would be planned otherwise."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self.conn = conn
        self.heard: dict[str, Parameters] = {}

    def execute(self, sql: str, parameters: Parameters = ()) -> sqlite3.Cursor:
        self.heard.setdefault(sql, parameters)
        return self.conn.execute(sql, parameters)

    def executemany(self, sql: str, rows: Sequence[Parameters]) -> sqlite3.Cursor:
        for row in rows[:1]:
            self.heard.setdefault(sql, row)
        return self.conn.executemany(sql, rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.conn, name)


def _turns(store: SqliteStore) -> None:
    """Everything that polls, delivery, and the buttons of Slack do repeatedly."""
    begin_posted(store, firing("0"), at(-100), "#0")
    picture = store.picture_due(at(-39))
    assert picture is not None
    assert store.reserve_picture(picture, at(-39), claimant=ME)
    assert store.claim_picture(picture, at(-39)) is Claimed.DONE
    store.picture_posted(picture, at(-38))
    store.put_back_picture(picture)
    store.drop_picture(picture)
    for entity in ("1", "2", "3"):
        begin(store, firing(entity), channel=f"#{entity}")
    known = [pending("4"), firing("5")]
    snapshots = {Scope.QUEUE: snapshot()}
    store.record(poll([begins(alert) for alert in known], snapshots=snapshots, failures={Scope.AGENT: "503"}))
    store.add_notices([ops("no data")])
    assert store.next_due(at(0)) is not None
    for due in posts(store, at(1)):
        assert store.claim(due.notice.id, ME, at(1)) is Claimed.DONE
        if due.notice.channel == "#2":
            store.put_off(due.notice.id, at(9), "timeout", claimant=ME, unknown=True)
        else:
            version = due.card.version if isinstance(due, PostCard) else 0
            store.delivered(due.notice.id, Posted(due.notice.channel, "1.0"), version, at(1))
    alert = one(store, firing("1"))
    assert alert.id is not None
    store.acknowledge(alert.id, "U1", "", at(2))
    lines = [line(alert, Reason.LEVEL_UP, now=at(3), channel="#1")]
    store.record(poll([rises(alert, at(3)), new_value(one(store, firing("3")), 1.0, at(3))], lines, now=at(3)))
    store.claimants()
    store.claimant_ended(ME, at(4))
    for due in store.due(at(30)):
        if isinstance(due, EditCard):
            assert store.claim_edit(due, ME, at(30)) is Claimed.DONE
            store.edited(due.card, at(30), claimant=ME)
    store.record(poll([ends(one(store, firing("1")), at(40)), ends(one(store, pending("4")), at(40))], now=at(40)))
    shared = [notice(firing(str(entity)), channel="#x", group="rule:x", now=at(45)) for entity in (6, 7, 8)]
    shared = [shared[0], *(replace(each, lead=shared[0].id) for each in shared[1:])]
    store.record(poll([begins(firing(str(entity))) for entity in (6, 7, 8)], shared, now=at(45)))
    store.acknowledge_card(one(store, firing("6")).id or 0, "U1", at(46))
    (card,) = [due for due in store.due(at(47)) if isinstance(due, PostCard) and len(due.card.members) == 3]
    store.acknowledge_card(card.card.id, "U1", at(47))
    assert len(store.open_members(card.card.id)) == 3
    assert store.unacknowledge_card(card.card.id, "U1", at(47))[0] is Outcome.DONE
    store.claim(card.notice.id, ME, at(47))
    store.delivered(card.notice.id, Posted("C1", "2.0"), card.card.version, at(47))
    store.record(poll([ends(one(store, firing(str(entity))), at(50)) for entity in (6, 7, 8)], now=at(50)))
    store.hold_channel("#1", at(60))
    for tenant in ("acme", None):
        store.alerts(tenant)
    for read in (store.revision, store.feed, store.cards, store.groups, store.latest):
        read("acme")
    store.totals()
    assert "#1" in [each.channel for each in store.held_back(at(1))]
    list(store.polls("acme", at(-60), at(60)))
    store.take_leases(["tenant:acme", "delivery"], "me", at(0), timedelta(seconds=30))
    store.release_leases("me")
    assert store.delete_old(at(60), 2) > 0
    store.check_writable()
    _beside(store)


def _beside(store: SqliteStore) -> None:
    """What runs beside polls and delivery: the fallback webhook and the audit."""
    for now in (at(500), at(501)):
        assert store.decide_fallback(list(Level), timedelta(minutes=2), lambda new: new.id, now) is not None
    for due in store.due_fallback(at(501)):
        store.put_off_fallback(due.id, at(501), "503", maybe_sent=True)
        store.sent_fallback(due.id, at(502))
    assert store.waiting_fallback() == 0
    store.record(poll([ends(one(store, firing("2")), at(503))], now=at(503)))
    assert store.decide_fallback(list(Level), timedelta(minutes=2), lambda new: new.id, at(504)) == (1, 0)
    (end,) = store.due_fallback(at(505))
    store.give_up_fallback(end.id, "404", at(505))
    begin(store, firing("9"), at(510), channel="#9")
    (due,) = [each for each in posts(store, at(510)) if each.notice.channel == "#9"]
    store.claim(due.notice.id, ME, at(510))
    store.delivered(due.notice.id, Posted("C9", "9.0"), 1, at(510))
    assert store.audit(at(600)) is not None
    card = store.shown_cards(at(600))[-1]
    assert store.posted_notices([due.notice.id]).keys() == {due.notice.id}
    assert store.outdate(card, at(600))
    store.may_close_duplicate(at(600))
    assert store.quality(at(0), at(600), {"acme": timedelta(minutes=2)}).fired
    assert list(store.all_ended(at(0)))


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    store = SqliteStore(":memory:", max_messages=2)
    listener = Listener(store._db._conn)
    store._db._conn = store._db._reader = listener  # type: ignore[assignment]
    _turns(store)
    yield listener
    store.close()


def scans(conn: sqlite3.Connection, sql: str, parameters: Parameters) -> list[str]:
    """The scans of growing tables in the plan of a statement."""
    found = []
    for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall():
        detail = row["detail"]
        scan = re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", detail)
        if scan and scan[2] not in OF_WHAT_WAITS and _table(sql, scan[1]) in GROW:
            found.append(detail)
    return found


def _table(sql: str, name: str) -> str:
    """The table that an alias stands for."""
    alias = re.search(rf"\b(?:FROM|JOIN)\s+(\w+)\s+{name}\b", sql)
    return alias[1] if alias else name


def test_no_statement_of_the_hot_path_scans_a_table_that_grows(listener: Listener) -> None:
    """Collected from the statements themselves, so a new one is checked as soon as a turn or a delivery runs it."""
    assert len(listener.heard) > 50
    found = {sql: scans(listener.conn, sql, parameters) for sql, parameters in listener.heard.items()}
    assert {sql: plan for sql, plan in found.items() if plan} == {}


@pytest.mark.parametrize(
    "sql",
    ["SELECT * FROM alerts a WHERE (?1 IS NULL OR tenant = ?1)", "SELECT * FROM cards WHERE state = 'posted'"],
    ids=["alias", "name"],
)
def test_a_scan_is_noticed(listener: Listener, sql: str) -> None:
    """This check detects a scan."""
    assert scans(listener.conn, sql, ("acme",) if "?" in sql else ()) != []
