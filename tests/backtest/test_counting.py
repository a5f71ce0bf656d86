"""A replay that only counts alerts finds the same alerts and the same notices as the whole one, whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from alertbot.backtest.counting import Counting
from alertbot.backtest.episodes import ReplayResult, replay
from alertbot.backtest.replay import Replay
from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rules.catalogue import Scope

EVERY = timedelta(seconds=15)
START = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
WAIT, ENABLED, ENTERED = "interactionsLongestWaitInQueue.rt", "enabled.rt", "entered.int-30m"
HOURS = "hours: {office: {timezone: UTC, open: {mon-sun: '07:00-09:00'}, grace: {after_open: 5m}}}\n"
RULES = {
    "levels, holds and clear": """\
  - id: waits
    scope: queue
    params: {warn: 60s, crit: 2m}
    overrides: [{match: {name: "Queue 1"}, params: {warn: 30s}}]
    warning: {when: interactionsLongestWaitInQueue.rt > $warn, for: 30s}
    critical: {when: interactionsLongestWaitInQueue.rt > $crit, for: 45s}
    clear: interactionsLongestWaitInQueue.rt < 40s
    keep_firing_for: 45s
    suppressed_by: [nobody]
  - {id: nobody, scope: queue, when: enabled.rt == 0, for: 30s}
""",
    "a lower level that holds when the higher one ends": """\
  - id: waits
    scope: queue
    warning: {when: interactionsLongestWaitInQueue.rt > 30s, for: 2m}
    critical: {when: interactionsLongestWaitInQueue.rt > 90s}
    clear: interactionsLongestWaitInQueue.rt < 90s
""",
    "a guard, unknown values that fire, and a calendar": """\
  - {id: waits, scope: queue, guard: entered.int-30m >= 5, when: interactionsLongestWaitInQueue.rt > 1m, no_data: fire}
  - {id: open, scope: queue, when: interactionsLongestWaitInQueue.rt > 45s, no_data: clear, during: office}
  - {id: late, scope: queue, when: interactionsLongestWaitInQueue.rt > 45s, outside: office}
""",
    "a window": """\
  - {id: waits, scope: queue, when: 'max(interactionsLongestWaitInQueue.rt, 2m) > 100s', suppressed_by: [nobody]}
  - {id: nobody, scope: queue, when: enabled.rt == 0}
""",
    "flapping": """\
  - {id: waits, scope: queue, when: interactionsLongestWaitInQueue.rt > 50s, keep_firing_for: 30s}
""",
}


@dataclass(frozen=True)
class Poll:
    at: datetime
    snapshots: dict[Scope, Snapshot]
    failures: dict[Scope, str] = field(default_factory=dict)


def polls(seed: int, count: int = 1200) -> Iterator[Poll]:
    """Waits that rise and fall, values that are missing, queues that come and go, polls that fail or are partial."""
    random = np.random.default_rng(seed)
    size = 6
    wait, enabled, shown = np.zeros(size), np.ones(size), np.ones(size, dtype=np.bool_)
    skipped = 0
    for index in range(count):
        calm = (index // 200) % 2 == 1  # half of the time little happens
        wait = np.where(random.random(size) < (0.03 if calm else 0.15), 0.0, wait + 15_000)
        enabled = np.where(random.random(size) < 0.03, 1 - enabled, enabled)
        if random.random() < 0.01:
            shown[random.integers(size)] ^= True
        if random.random() < 0.01:
            skipped = int(random.integers(1, 12))
        skipped -= 1
        at = START + EVERY * index
        if skipped > 0:
            yield Poll(at, {}, {Scope.QUEUE: "timeout"})
            continue
        rows = shown.nonzero()[0]
        values = {WAIT: wait, ENABLED: enabled, ENTERED: np.round(wait / 9_000)}
        unknown = random.random(size) < 0.01
        columns = {key: _column(np.where(unknown, np.nan, each)[rows]) for key, each in values.items()}
        ids, names = tuple(str(row) for row in rows), tuple(f"Queue {row}" for row in rows)
        partial = bool(random.random() < 0.01)
        yield Poll(at, {Scope.QUEUE: Snapshot(Scope.QUEUE, at, ids, names, columns, complete=not partial)})


def _column(values: np.ndarray) -> Column:
    return Column(values, np.where(np.isnan(values), Presence.NULL, Presence.PRESENT).astype(np.uint8))


def found(result: ReplayResult) -> list[Any]:
    return [
        (
            each.rule.id,
            dict(each.notices),
            [(one.key, one.level, one.fired, one.ended, one.end_reason, one.cards) for one in each.episodes],
        )
        for each in result.rules
    ]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("text", RULES.values(), ids=RULES)
def test_the_same_alerts_and_notices(text: str, seed: int) -> None:
    rules = parse_files({"rules.yaml": HOURS + "rules:\n" + text}, {}, EVERY)
    whole, counted = (found(replay(rules, polls(seed), poll_every=EVERY, kind=kind)) for kind in (Replay, Counting))
    assert counted == whole
    assert all(episodes for rule, _, episodes in whole if rule == "waits")


def test_polls_without_a_change_are_skipped() -> None:
    """While an alert stays as it is, and its value rises, no rule is stepped."""
    rules = parse_files({"rules.yaml": "rules:\n" + RULES["flapping"]}, {}, EVERY)
    bot = Counting(rules, poll_every=EVERY)
    waits = [0.0, *(60_000.0 + 1_000 * index for index in range(60))]
    steps = bot.run(
        (
            START + EVERY * index,
            {Scope.QUEUE: Snapshot(Scope.QUEUE, START, ("1",), ("Sales",), {WAIT: _column(np.array([wait]))})},
            frozenset[Scope](),
        )
        for index, wait in enumerate(waits)
    )
    changes = [len(step.changes) for step in steps]
    assert changes == [0, 1, *(0 for _ in waits[2:])]
    assert len(bot.alerts) == 1
