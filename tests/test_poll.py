"""One turn of one tenant on a real store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest

from alertbot import poll
from alertbot.alerts.alert import State
from alertbot.evaluation.snapshot import Fetched
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import RuleSet
from alertbot.store.records import PollRecord, Recorded
from alertbot.store.sqlite.store import SqliteStore
from tests.alerts.kit import NOW, POLL, WAIT, rule, snapshot

HOUR = timedelta(hours=1)


@pytest.fixture
def store() -> Iterator[SqliteStore]:
    made = SqliteStore(":memory:")
    yield made
    made.close()


def test_what_was_closed_by_hand_fires_again_after_its_condition_was_false(store: SqliteStore) -> None:
    """Not at the next poll, however often it holds, and not after a poll without the figure."""
    turn(store, NOW, 70, 10)
    (alert,) = store.alerts("acme")
    assert alert.id is not None
    store.resolve(alert.id, "U1", "a call is stuck", NOW)
    for index, waits in enumerate([(70, 10), (130, 10), (float("nan"), 10), (130, 70)], start=1):
        turn(store, NOW + index * POLL, *waits)
    assert [each.key.entity_id for each in store.alerts("acme")] == ["q2"]
    turn(store, NOW + 5 * POLL, 10, 70)
    assert store.latched("acme") == {}
    turn(store, NOW + 6 * POLL, 70, 70)
    assert [each.key.entity_id for each in store.alerts("acme")] == ["q2", "q1"]


class Meddling(SqliteStore):
    """Before each `record` outside `alone`, something else is written, at most `times` times."""

    def __init__(self, path: str, times: int) -> None:
        super().__init__(path)
        self.times, self.waits = times, 0

    def meddle(self) -> None:
        alerts = self.alerts("acme")
        if self.times and alerts and not self.waits:
            self.times -= 1
            alert = alerts[0]
            assert alert.id is not None
            if alert.acked_by is None:
                self.acknowledge(alert.id, "U1", "", NOW)
            else:
                self.unacknowledge(alert.id, "U1", NOW)

    def record(self, record: PollRecord) -> Recorded:
        self.meddle()
        return super().record(record)

    @contextmanager
    def alone(self, tenant: str) -> Iterator[None]:
        with super().alone(tenant):
            self.waits += 1
            yield


@pytest.mark.parametrize(("times", "overtaken"), [(0, 0), (1, 1), (2, 2), (9, 2)])
def test_a_turn_that_is_overtaken_is_decided_again(times: int, overtaken: int) -> None:
    """On the same data, and at last while the others wait: it does not fail, however often they write."""
    store = Meddling(":memory:", times)
    turn(store, NOW, 70)
    done = turn(store, NOW + POLL, 130)
    assert done.overtaken == overtaken
    (alert,) = store.alerts("acme")
    assert alert.seen_at == NOW + POLL
    assert (alert.acked_by is None) == (overtaken % 2 == 0)
    assert done.memory.open is not None
    assert list(done.memory.open.by_key.values()) == [alert]
    assert len(list(store.polls("acme", NOW, NOW + POLL))) == 2
    store.close()


def turn(store: SqliteStore, now: datetime, *waits: float) -> poll.Turn:
    """A poll at which the longest waits are these, in seconds; without any, a turn without a fetch."""
    tenant = poll.Tenant("acme", RuleSet((rule(keep_firing_for=timedelta(0)),)), "#floor", "#ops")
    fetched = Fetched(now, {Scope.QUEUE: snapshot({WAIT: [wait * 1000 for wait in waits]}, at=now)}) if waits else None
    return poll.run(tenant, store, now, fetched)


@pytest.mark.parametrize("pauses", [0, 3], ids=["polled at once", "after turns without a fetch"])
@pytest.mark.parametrize("back", [timedelta(seconds=90), HOUR, timedelta(days=20_000)], ids=str)
def test_a_clock_that_is_set_back_shortens_no_alert(store: SqliteStore, back: timedelta, pauses: int) -> None:
    """An alert that fired two polls ago ends after about that long, not "after 0s"; one that stays keeps its age."""
    for index in range(3):
        turn(store, NOW + index * POLL, 70, 130)
    lasted = 3 * POLL
    now = NOW + lasted - back
    for _ in range(pauses):
        turn(store, now)
    turn(store, now, 0, 130)
    (ended,) = store.ended(now - timedelta(days=1))
    assert ended.fired_at is not None
    assert ended.ended_at is not None
    assert lasted - POLL <= ended.ended_at - ended.fired_at <= lasted + POLL
    (stays,) = store.alerts("acme")
    assert stays.state is State.FIRING
    assert stays.fired_at is not None
    assert lasted - POLL <= now - stays.fired_at <= lasted + POLL
    turn(store, now + POLL, 0, 130)
    assert store.alerts("acme")[0].fired_at == stays.fired_at, "it is moved once"
