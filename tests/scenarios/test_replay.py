"""Replay is the live bot: the same polls give the same changes and notices, one by one, stacked, and as recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from alertbot import poll
from alertbot.alerts.alert import Change
from alertbot.alerts.notice import Notice
from alertbot.backtest.episodes import replay
from alertbot.backtest.replay import Replay, Step
from alertbot.evaluation.past import Past
from alertbot.evaluation.snapshot import Column, Fetched, Presence, Snapshot
from alertbot.feed.health import Limits
from alertbot.feed.rules import is_feed
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rules.catalogue import Scope
from alertbot.store.records import NoticeState
from alertbot.store.sqlite.store import SqliteStore
from benchmarks.replay import EVERY, START, polls
from tests.sources.recorded import Recorded

RULES = parse_files(
    {
        "rules.yaml": """
hours:
  day: {timezone: UTC, open: {mon-fri: "10:00-10:20"}}
rules:
  - id: longest-wait
    scope: queue
    guard: enabled.rt > 0
    params: {warn: 14s, crit: 40s}
    overrides: [{match: {name: "Queue 1*"}, params: {warn: 28s}}]
    warning: {when: interactionsLongestWaitInQueue.rt > $warn, for: 15s}
    critical: {when: interactionsLongestWaitInQueue.rt > $crit}
    clear: interactionsLongestWaitInQueue.rt < 5s
    keep_firing_for: 30s
    channel: {critical: "#cc-floor"}
    suppressed_by: [many-waiting]
  - id: many-waiting
    scope: queue
    match: {name: ["Queue 1*", "Queue 2"], exclude: {name: "Queue 13"}}
    when: interactionsWaitInQueue.rt >= 2
  - id: by-day
    scope: queue
    when: availableIdle.rt < 4
    during: day
  - id: on-average
    scope: queue
    when: avg(interactionsWaitInQueue.rt, 2m) > 0.4
  - id: no-level
    scope: queue
    when: slaPercentage.int-30m is missing
    no_data: fire
    for: 1m
  - id: watched
    scope: queue
    when: interactionsWaitInQueue.rt > 1
    shadow: true
"""
    }
)
QUEUES, COUNT = 20, 360
BEGIN = 2360  # polls after midnight: a little before ten on a Monday morning
FAR = Limits(stale_after=timedelta(days=9), frozen_after=timedelta(days=9))


def fetched() -> Iterator[Fetched]:
    """Busy queues with gaps: values and entities that are missing, partial and failed polls, an empty one."""
    random = np.random.default_rng(7)
    for index, seen in enumerate(polls(QUEUES, BEGIN + COUNT, seed=5)):
        if index < BEGIN:
            continue
        at = seen.at
        chance = random.random()
        if chance < 0.02:
            yield Fetched(at, failures={Scope.QUEUE: "it broke"})
            continue
        columns = {key: _with_holes(column, random) for key, column in seen.columns.items()}
        whole = replace(seen, columns=columns)
        if chance < 0.10:
            whole = _only(whole, random.random(QUEUES) > 0.3, complete=chance < 0.06)
        elif chance < 0.11:
            whole = _only(whole, np.zeros(QUEUES, dtype=np.bool_), complete=True)
        yield Fetched(at, {Scope.QUEUE: whole})


def _with_holes(column: Column, random: np.random.Generator) -> Column:
    holes = random.random(len(column.presence)) < 0.01
    values = np.where(holes, np.nan, column.values.astype(np.float64))
    return Column(values, np.where(holes, Presence.NULL, column.presence).astype(np.uint8))


def _only(seen: Snapshot, rows: np.ndarray, *, complete: bool) -> Snapshot:
    kept = [int(row) for row in np.flatnonzero(rows)]
    columns = {key: Column(each.values[kept], each.presence[kept]) for key, each in seen.columns.items()}
    return replace(
        seen,
        ids=tuple(seen.ids[row] for row in kept),
        names=tuple(seen.names[row] for row in kept),
        columns=columns,
        complete=complete,
    )


POLLS = list(fetched())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    folder: Path = tmp_path_factory.mktemp("replay")
    store = SqliteStore(folder / "alertbot.db", synchronous="NORMAL")
    yield store
    store.close()


@pytest.fixture(scope="module")
def live(store: SqliteStore) -> list[tuple[Change, ...]]:
    """The changes of each poll, as the bot made them."""
    source = Recorded(POLLS)
    memory = poll.Memory(past=Past(EVERY, RULES.windows()))
    tenant = poll.Tenant("acme", RULES, "#cc-alerts", "#cc-alerts", limits=FAR, memory=memory)
    found = []
    for each in POLLS:
        polled = poll.run(tenant, store, each.at, source.fetch(tenant.wanted, each.at, RULES.only()))
        tenant = replace(tenant, memory=polled.memory)
        found.append(tuple(change for change in polled.changes if not is_feed(change.after)))
    return found


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    bot = Replay(RULES, poll_every=EVERY, tenant="acme")
    return [bot.poll(each.at, each.snapshots, frozenset(each.failures)) for each in POLLS]


def bare(changes: tuple[Change, ...]) -> list[Change]:
    """Without the ids, which a database assigns more sparingly."""
    return [
        replace(
            change,
            before=replace(change.before, id=None) if change.before is not None else None,
            after=replace(change.after, id=None),
        )
        for change in changes
    ]


def test_the_same_changes_as_live(live: list[tuple[Change, ...]], steps: list[Step]) -> None:
    """Whole alerts, poll by poll, with every reason and sentence."""
    assert sum(map(len, live)) > 500
    for made, replayed in zip(live, steps, strict=True):
        assert bare(made) == bare(replayed.changes), replayed.now


def test_the_same_notices_as_live(store: SqliteStore, live: list[tuple[Change, ...]], steps: list[Step]) -> None:
    """What the store holds as reported or due is what the replay would report."""
    alerts = {alert.id for alert in [*store.alerts("acme"), *store.ended(START, limit=100_000)]}
    entries = [entry for alert_id in alerts for entry in store.notices_of(alert_id)]
    kept = {known(entry.notice) for entry in entries if entry.state is not NoticeState.GIVEN_UP}
    would = {known(notice) for step in steps for notice in step.notices}
    assert len(would) > 100
    assert would == {each for each in kept if each[0] != Scope.FEED}


def known(notice: Notice) -> tuple[object, ...]:
    assert notice.alert is not None
    return (notice.alert.scope, notice.id, notice.kind, notice.channel, notice.reason, notice.level, notice.text)


def test_stacked_polls_say_the_same(steps: list[Step]) -> None:
    """Many polls evaluated as one: windows, overrides, globs, hours, entities that come and go."""
    bot = Replay(RULES, poll_every=EVERY, tenant="acme")
    stacked = list(bot.run((each.at, each.snapshots, frozenset(each.failures)) for each in POLLS))
    assert stacked == steps


def test_the_recording_is_the_polls(store: SqliteStore, live: list[tuple[Change, ...]], steps: list[Step]) -> None:
    """What was recorded live yields the same episodes as the polls themselves."""
    recorded = store.polls("acme", POLLS[0].at, POLLS[-1].at, RULES.metrics())
    history = replay(RULES, recorded, poll_every=EVERY, tenant="acme")
    fired = {
        (change.after.key, change.after.fired_at)
        for step in steps
        for change in step.changes
        if change.after.fired_at is not None
    }
    episodes: Mapping[object, object] = {
        (each.key, each.fired): each for rule in history.rules for each in rule.episodes
    }
    assert set(episodes) == fired
    assert (history.polls, history.first, history.last) == (COUNT, POLLS[0].at, POLLS[-1].at)
    assert sum(rule.notice_count for rule in history.rules) == sum(len(step.notices) for step in steps)
