"""Names of agents: the store keeps them in full, and hands out the name to show beside them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from alertbot.alerts.alert import About, Alert, Reason
from alertbot.alerts.delivery import EditCard, PostCard, PostLine, PostOps
from alertbot.alerts.silence import Matcher
from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.rules.privacy import Agent
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import T0, at, begins, ends, firing, notice, poll, post

DANA, DORA = ("A1", "Dana Whitfield"), ("A2", "Dora Winter")
QUEUE = ("103", "Dana Whitfield")  # a queue may have the name of its only agent


def agents(*pairs: tuple[str, str], scope: Scope = Scope.AGENT) -> Snapshot:
    present = Column(np.zeros(len(pairs)), np.full(len(pairs), Presence.PRESENT, dtype=np.uint8))
    return Snapshot(scope, T0, tuple(id_ for id_, _ in pairs), tuple(name for _, name in pairs), {"x.rt": present})


def away(who: tuple[str, str], scope: Scope = Scope.AGENT, **more: Any) -> Alert:
    alert = firing(who[0], rule="away")
    return replace(alert, key=alert.key._replace(scope=scope), entity_name=who[1], **more)


@contextmanager
def opened(path: Path, *, initials: bool = True, reading: bool = False) -> Iterator[SqliteStore]:
    store = SqliteStore(path, initials=initials, reading=reading)
    try:
        yield store
    finally:
        store.close()


def began(store: SqliteStore, *seen: tuple[str, str]) -> list[Alert]:
    """A poll that saw these agents, and an alert with a card for each."""
    alerts = [away(who) for who in seen]
    snapshots = {Scope.AGENT: agents(*seen)}
    store.record(poll([begins(each) for each in alerts], [notice(each) for each in alerts], snapshots=snapshots))
    return store.alerts()


def test_history_is_shown_as_the_setting_says_now(path: Path) -> None:
    """Names before, initials after, and names again; what is stored is the full name, and what matches is too."""
    with opened(path, initials=False) as store:
        alerts = began(store, DANA, DORA)
        assert [alert.name for alert in alerts] == ["Dana Whitfield", "Dora Winter"]
        store.record(poll([ends(alerts[0], at(15))], now=at(15)))
    with opened(path) as store:
        (open_alert,), (ended,) = store.alerts(), store.ended(T0)
        assert (open_alert.name, open_alert.entity_name) == ("DW (A2)", "Dora Winter")
        assert (ended.name, ended.entity_name) == ("DW (A1)", "Dana Whitfield")
        assert store.fired(["away"], T0) == {"away": {"DW (A1)": 1, "DW (A2)": 1}}
        assert Matcher((("name", "dora winter"),)).matches(open_alert)
        store.record(poll([ends(open_alert, at(30))], now=at(30)))
    with opened(path, initials=False) as store:
        assert {alert.name for alert in store.ended(T0)} == {"Dana Whitfield", "Dora Winter"}
    with sqlite3.connect(path) as conn:
        assert not conn.execute("SELECT 1 FROM alerts WHERE entity_name NOT LIKE 'D%a W%'").fetchall()


def test_a_second_agent_with_the_initials_is_told_apart_for_good(path: Path) -> None:
    """In every process, also when one of them is not in the list of agents any more."""
    with opened(path) as store, opened(path, reading=True) as other:
        (alert,) = began(store, DANA)
        assert alert.name == other.alerts()[0].name == "DW"
        store.record(poll(now=at(15), snapshots={Scope.QUEUE_AGENT: agents(DANA, DORA, scope=Scope.QUEUE_AGENT)}))
        store.record(poll(now=at(30), snapshots={Scope.AGENT: agents(DANA)}))
        assert store.alerts()[0].name == other.alerts()[0].name == "DW (A1)"
        assert store.names().text("Dora Winter") == other.names().text("Dora Winter") == "DW (A2)"
        assert store.last_names is store.names()


def test_a_queue_keeps_its_name(path: Path) -> None:
    with opened(path) as store:
        alert = away(QUEUE, Scope.QUEUE)
        store.record(poll([begins(alert)], snapshots={Scope.AGENT: agents(DANA)}))
        assert store.alerts()[0].name == "Dana Whitfield"


def test_what_is_due_has_no_full_name(path: Path) -> None:
    """Names, notes, the words of the rule, the terms of silences, and operational messages."""
    with opened(path) as store:
        alert = away(DANA, about=About("Team of Dana Whitfield", "x > 1", message="call Dana Whitfield"))
        snapshots = {Scope.AGENT: agents(DANA, DORA)}
        store.record(poll([begins(alert)], [notice(alert)], snapshots=snapshots))
        (first,) = store.due(T0)
        assert isinstance(first, PostCard)
        post(store, first, T0)
        (stored,) = store.alerts()
        assert stored.id is not None
        store.acknowledge(stored.id, "U1", "Dora Winter has it", at(2))
        silence = store.silence(
            Matcher((("name", "Dana Whitfield"),)), at(2), at(9000), "U1", "as Dana Whitfield asks", at(2)
        )
        assert (silence.what, str(silence.matcher)) == ('name="DW (A1)"', 'name="Dana Whitfield"')
        assert store.silences()[0].what == 'name="DW (A1)"'
        due = []
        for second in range(3, 12, 2):
            for item in store.due(at(second)):
                due.append(item)
                if not isinstance(item, EditCard):
                    post(store, item, at(second))
        kinds = {type(item) for item in due}
        assert kinds >= {PostLine, PostOps, EditCard}
        texts = [item.notice.text for item in due if isinstance(item, PostCard | PostLine | PostOps)]
        assert "DW (A2) has it" in texts
        assert any('name="DW (A1)" (as DW (A1) asks)' in text for text in texts)
        (card,) = {item.card.id: item.card for item in due if isinstance(item, EditCard)}.values()
        (member,) = card.members
        assert (member.name, member.ack_note) == ("DW (A1)", "DW (A2) has it")
        assert (member.about.title, member.about.message) == ("Team of DW (A1)", "call DW (A1)")


def test_who_changed_what_is_answered_with_the_shown_name(path: Path) -> None:
    with opened(path) as store:
        number = began(store, DANA)[0].id
        assert number is not None
        results = [
            store.acknowledge(number, "U1", "", at(1)),
            store.unacknowledge(number, "U1", at(2)),
            store.resolve(number, "U1", "", at(3)),
        ]
        assert [alert.name for _, alert in results if alert is not None] == ["DW"] * 3
        assert store.latched_alerts()[0].name == "DW"
        found = store.alert(number)
        assert found is not None
        assert (found.name, found.end_reason) == ("DW", Reason.CLOSED_BY_HAND)


def test_a_poll_with_the_same_agents_writes_none(path: Path) -> None:
    """Nor is anything read: what is known is compared in memory."""
    with opened(path, initials=False) as store, sqlite3.connect(path) as conn:
        store.record(poll(snapshots={Scope.AGENT: agents(DANA, DORA)}))
        conn.execute("DELETE FROM agents")
        conn.commit()
        store.record(poll(now=at(15), snapshots={Scope.AGENT: agents(DANA, DORA)}))
        assert not conn.execute("SELECT * FROM agents").fetchall()


def test_what_was_rolled_back_is_not_known(path: Path) -> None:
    class Interrupted(Exception):
        """It came in the middle of a transaction."""

    with opened(path) as store:
        with suppress(Interrupted), store.alone("acme"):
            store.record(poll(snapshots={Scope.AGENT: agents(DANA)}))
            raise Interrupted
        store.record(poll(now=at(15), snapshots={Scope.AGENT: agents(DANA)}))
    with sqlite3.connect(path) as conn:
        assert conn.execute("SELECT * FROM agents").fetchall() == [Agent("acme", *DANA)]


def test_a_database_from_before_begins_with_the_agents_of_its_alerts(path: Path) -> None:
    with opened(path, initials=False) as store:
        began(store, DANA)
    with sqlite3.connect(path) as conn:
        conn.execute("DROP TABLE agents")
        conn.execute("DELETE FROM _sqlite_migrations WHERE name LIKE '%016%'")
    with opened(path) as store:
        assert store.names().text("Dana Whitfield, Dora Winter") == "DW, Dora Winter"
