"""Open alerts in memory: whatever is written, by whichever process, they are what a fresh read gives."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from alertbot.alerts.alert import Alert, Change, Fingerprint, Reason
from alertbot.alerts.cards import Posted
from alertbot.alerts.delivery import Claimed, EditCard, PostCard
from alertbot.alerts.notice import Notice
from alertbot.errors import Conflict, StoreError
from alertbot.feed.health import Feed
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level
from alertbot.store.open_alerts import OpenAlerts, after, current
from alertbot.store.roles import Store
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import (
    ME,
    SALES,
    T0,
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

_POSTED = Posted("C1", "1")


def fresh(store: Store) -> OpenAlerts:
    return current(None, store, "acme", at(-3600))


@pytest.mark.parametrize(
    "write",
    [
        lambda store, alert: store.acknowledge(alert.id, "U1", "", at(5)),
        lambda store, alert: store.resolve(alert.id, "U1", "", at(5)),
        lambda store, alert: store.record(poll([new_value(alert, 1.0, at(5))], now=at(5))),
        lambda store, alert: store.record(poll(now=at(5))),
        lambda store, alert: store.give_up(posts(store, at(5))[0].notice.id, "no", at(5)),
        lambda store, alert: store.reroute(posts(store, at(5))[0].notice.id, "#elsewhere", claimant=ME),
        lambda store, alert: store.add_notices([notice(alert, channel="#second", now=at(5))]),
    ],
    ids=["acknowledged", "closed by hand", "changed", "polled", "card given up", "rerouted", "a second card"],
)
def test_what_raises_the_revision(store: Store, write: Callable[[Store, Alert], object]) -> None:
    """All that changes open alerts or their cards; of that tenant alone."""
    alert = begin(store, firing())
    begin(store, firing(tenant="other"))
    known, other = fresh(store), store.revision("other")
    write(store, alert)
    assert store.revision("acme") == known.revision + 1
    assert store.revision("other") == other
    assert current(known, store, "acme", at(-3600)) == fresh(store)


def test_a_poll_that_was_overtaken_writes_nothing(store: Store) -> None:
    """A user was first: what it decided is not what is there now. Decided on that, it is written."""
    alert = begin(store, firing())
    known = fresh(store)
    store.acknowledge(1, "U1", "", at(5))
    overtaken = poll([rises(alert, at(6))], now=at(6), revision=known.revision, feed=Feed("acme", at(6), at(6)))
    with pytest.raises(Conflict, match="acme: something else was written") as error:
        store.record(overtaken)
    assert error.value.retryable
    assert one(store, alert).level is Level.WARNING
    assert store.feed("acme").good_at == T0
    store.record(replace(overtaken, revision=fresh(store).revision))
    assert (one(store, alert).level, one(store, alert).acked_by) == (Level.CRITICAL, "U1")


@pytest.mark.parametrize(
    "new",
    [
        {"measure": replace(firing().measure, value=99.0)},
        {"shown": {"interactionsWaitInQueue.rt": 7.0}},
        {"peak": 99.0, "peak_at": at(5)},
        {"missed": 2},
        {"seen_at": at(5)},
        {"measure": None},
        {"entity_name": "Renamed", "measure": replace(firing().measure, value=99.0)},
        {"about": replace(firing().about, condition="x > 1"), "seen_at": at(5)},
        {"since": {Level.WARNING: at(3)}, "seen_at": at(5)},
        {"unstable": True, "rises": (at(0), at(5)), "seen_at": at(5)},
        {"no_data_since": at(5), "missed": 1},
        {"level": Level.CRITICAL, "highest": Level.CRITICAL, "measure": replace(firing().measure, value=99.0)},
    ],
    ids=lambda new: " and ".join(new),
)
def test_a_poll_writes_all_that_changed(store: Store, new: dict[str, Any]) -> None:
    """Whether only the value changed or more did; alone, and after another change in the same poll."""
    begin(store, firing("other"))
    stored = begin_posted(store, firing())
    after = replace(stored, **new)
    known = fresh(store)
    more = replace(after, parent_name="South")
    store.record(poll([Change(stored, after, None, "it changed")], now=at(5), revision=known.revision))
    assert one(store, stored) == after
    known = fresh(store)
    both = [Change(after, more, None, "renamed"), Change(more, replace(more, peak=5.0), None, "another value")]
    store.record(poll(both, now=at(10), revision=known.revision))
    assert one(store, stored) == replace(more, peak=5.0)
    assert one(store, firing("other")).seen_at == firing().seen_at


def test_another_value_alone_edits_its_card_after_a_while(store: Store) -> None:
    """Decided on what is there, as in every turn: as late as where nothing is known, and only what a card shows."""
    stored = begin_posted(store, firing())
    known = fresh(store)
    seen = Change(stored, replace(stored, seen_at=at(5), missed=1), None, "seen")
    store.record(poll([seen], now=at(5), revision=known.revision))
    assert store.due(at(500)) == []
    store.record(poll([new_value(seen.after, 80.0, at(6))], now=at(6), revision=fresh(store).revision))
    assert store.due(at(50)) == []
    (edit,) = store.due(at(500))
    assert isinstance(edit, EditCard)
    assert (edit.card.version, edit.card.members[0].peak) == (2, 80.0)


def test_nothing_overtakes_a_poll_that_is_alone(path: Path) -> None:
    """Others wait; what is read in it is current; an exception undoes all of it, what was recorded included."""
    store, other = (SqliteStore(path, busy_timeout=wait) for wait in (5, 0.01))
    with store.alone("acme"):
        begin(store, firing("1"))
        with pytest.raises(StoreError, match="locked"):
            begin(other, firing("2"))
    begin(other, firing("2"))

    def fail_alone() -> None:
        with store.alone("acme"):
            store.record(poll([begins(firing("3"))], snapshots={Scope.QUEUE: snapshot(at(5))}, now=at(5)))
            raise StoreError("no")

    with pytest.raises(StoreError, match="no"):
        fail_alone()
    assert {alert.key.entity_id for alert in store.alerts()} == {"1", "2"}
    store.record(poll([begins(firing("3"))], snapshots={Scope.QUEUE: snapshot(at(10))}, now=at(10)))
    assert [each.at for each in store.polls("acme", T0, at(10))] == [at(10)]
    store.close()
    other.close()


def test_a_card_that_was_given_up_while_it_was_sent(store: Store) -> None:
    """By another process: it is posted all the same, and a second one becomes a line."""
    begin(store, firing())
    (due,) = posts(store, at(0))
    store.give_up(due.notice.id, "no", at(1))
    known = fresh(store)
    store.delivered(due.notice.id, _POSTED, 1, at(2))
    assert current(known, store, "acme", at(-3600)).cards == {firing().key: {SALES}}


@pytest.mark.parametrize(
    "write",
    [
        lambda store, alert: store.due(at(5)),
        lambda store, alert: store.add_notices([ops("no data", now=at(5))]),
        lambda store, alert: store.acknowledge(99, "U1", "", at(5)),
        lambda store, alert: store.unacknowledge(alert.id, "U1", at(5)),
        lambda store, alert: store.hold_channel("#a", at(5)),
    ],
    ids=["read", "an ops notice", "no such alert", "not acknowledged", "a channel"],
)
def test_what_leaves_the_revision(store: Store, write: Callable[[Store, Alert], object]) -> None:
    """What no poll keeps in memory."""
    alert = begin_posted(store, firing())
    known = fresh(store)
    write(store, alert)
    assert current(known, store, "acme", at(-3600)) is known


def test_an_alert_that_begins_and_ends_in_one_record(store: Store) -> None:
    """Pending, and then inactive: it never had a row."""
    known = fresh(store)
    record = poll([begins(pending()), replace(ends(pending(), at(1)), reason=None)], now=at(1))
    assert after(known, record, store.record(record), at(-3600)) == fresh(store)


ENTITIES = st.sampled_from(["1", "2", "3"])
WHAT = st.sampled_from(["rise", "end", "end and begin", "value", "second card", "forget", "nothing"])
TURNS = st.lists(st.tuples(ENTITIES, WHAT), max_size=3, unique_by=lambda turn: turn[0])


class Memory(RuleBasedStateMachine):
    """A poller that keeps its memory, and a second process on the same file that does the same things."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "alertbot.db"
        self.stores = [SqliteStore(path, synchronous="NORMAL"), SqliteStore(path, synchronous="NORMAL")]
        self.now = T0
        self.known: list[OpenAlerts | None] = [None, None]

    def teardown(self) -> None:
        if hasattr(self, "stores"):
            for store in self.stores:
                store.close()
            self.folder.cleanup()

    @rule(who=st.integers(0, 1), turns=TURNS, meanwhile=st.sampled_from([*[False] * 5, True]))
    def poll(self, who: int, turns: list[tuple[str, str]], meanwhile: bool) -> None:
        self.now += timedelta(seconds=15)
        known = current(self.known[who], self.stores[who], "acme", at(-3600))
        changes: list[Change] = []
        notices: list[Notice] = []
        for entity, what in turns:
            alert = next((alert for key, alert in known.by_key.items() if key.entity_id == entity), None)
            self._decide(entity, what, alert, known, changes, notices)
        if meanwhile and known.by_key:
            self._owner(1 - who, next(iter(known.by_key.values())))
        latches: dict[Fingerprint, int | None] = {}
        for key, missed in known.latched.items():
            if key.entity_id in [entity for entity, _ in turns]:
                latches[key] = missed + 1 if missed < 2 else None
        record = poll(changes, notices, now=self.now, revision=known.revision, latches=latches)
        if meanwhile and known.by_key:
            with pytest.raises(Conflict):
                self.stores[who].record(record)
        else:
            self.known[who] = after(known, record, self.stores[who].record(record), at(-3600))

    def _decide(
        self,
        entity: str,
        what: str,
        alert: Alert | None,
        known: OpenAlerts,
        changes: list[Change],
        notices: list[Notice],
    ) -> None:
        if alert is None and any(key.entity_id == entity for key in known.latched):
            return
        if alert is None:
            alert = pending(entity) if what == "forget" else firing(entity)
            changes.append(begins(alert))
            if what != "forget":
                notices.append(notice(alert, channel="#a", now=self.now))
            return
        channels = sorted(known.cards.get(alert.key, ()))
        match what:
            case "rise" if alert.level is not Level.CRITICAL:
                changes.append(rises(alert, self.now))
                notices += [line(alert, Reason.LEVEL_UP, now=self.now, channel=channel) for channel in channels]
            case "end" | "forget":
                changes.append(ends(alert, self.now))
                notices += [line(alert, Reason.RESOLVED, now=self.now, channel=channel) for channel in channels]
            case "end and begin":
                again = firing(entity, fired_at=self.now)
                changes += [ends(alert, self.now), begins(again)]
                notices.append(notice(again, channel="#b", now=self.now))
            case "second card":
                notices.append(notice(alert, channel="#b", now=self.now))
            case "value":
                changes.append(new_value(alert, float(self.now.timestamp()), self.now))

    def _owner(self, who: int, alert: Alert) -> None:
        assert alert.id is not None
        if alert.acked_by is None:
            self.stores[who].acknowledge(alert.id, "U1", "on it", self.now)
        else:
            self.stores[who].unacknowledge(alert.id, "U1", self.now)

    @rule(who=st.integers(0, 1), entity=ENTITIES)
    def acknowledge(self, who: int, entity: str) -> None:
        for alert in self.stores[who].alerts("acme"):
            if alert.key.entity_id == entity:
                self._owner(who, alert)

    @rule(who=st.integers(0, 1), entity=ENTITIES)
    def close_by_hand(self, who: int, entity: str) -> None:
        for alert in self.stores[who].alerts("acme"):
            if alert.key.entity_id == entity and alert.id is not None:
                self.stores[who].resolve(alert.id, "U1", "stuck", self.now)

    @rule(who=st.integers(0, 1), outcome=st.sampled_from(["lands", "given up", "rerouted", "gone"]))
    def deliver(self, who: int, outcome: str) -> None:
        store = self.stores[who]
        self.now += timedelta(seconds=2)
        for due in store.due(self.now, limit=2):
            if isinstance(due, EditCard):
                if outcome == "gone":
                    store.repost(due.card, self.now, claimant=ME)
                continue
            if store.claim(due.notice.id, ME, self.now, due.intent_at) is not Claimed.DONE:
                continue
            if outcome == "given up":
                store.give_up(due.notice.id, "no", self.now)
            elif outcome == "rerouted":
                store.reroute(due.notice.id, "#fallback", claimant=ME)
            else:
                version = due.card.version if isinstance(due, PostCard) else 0
                posted = replace(_POSTED, ts=f"{self.now.timestamp():.6f}")
                store.delivered(due.notice.id, posted, version, self.now)

    @invariant()
    def memory_is_what_a_fresh_read_gives(self) -> None:
        if not hasattr(self, "stores"):
            return
        for store, known in zip(self.stores, self.known, strict=True):
            now, read = current(known, store, "acme", at(-3600)), fresh(store)
            assert now.revision == read.revision
            assert list(now.by_key.items()) == list(read.by_key.items())
            assert now.cards == read.cards
            assert now.latched == read.latched


Memory.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestMemory = Memory.TestCase
