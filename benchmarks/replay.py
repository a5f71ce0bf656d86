"""How long a week of recorded polls takes to replay: 200 queues, every 15 s, through the shipped rules.

    python -m benchmarks.replay [--days 7] [--queues 200]

The recording of a contact centre with busy and quiet hours is made first, by the real store; that time does not
count. Exits with 1 if a week would take a minute or longer.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from alertbot.backtest.episodes import ReplayResult, replay
from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.feed.health import Feed
from alertbot.rulefiles.on_disk import load_rules
from alertbot.rules.catalogue import Scope
from alertbot.store.records import PollRecord
from alertbot.store.sqlite.store import SqliteStore

LIMIT_S = 60.0
GOAL_S = 10.0  # for a week
KEEP = timedelta(days=30)  # longer than what is recorded
EVERY = timedelta(seconds=15)
WEEK = timedelta(days=7)
START = datetime(2026, 3, 2, tzinfo=UTC)
RULES = Path(__file__).parent.parent / "rules"
TENANT = "acme"


def polls(queues: int, count: int, seed: int = 1) -> Iterator[Snapshot]:
    """Queues over days: callers come in waves, agents work from 8 to 18, and sometimes a queue is overrun."""
    random = np.random.default_rng(seed)
    ids = tuple(str(100 + index) for index in range(queues))
    names = tuple(f"Queue {index}" for index in range(queues))
    size = random.uniform(0.3, 1.6, queues)
    waiting, wait = np.zeros(queues), np.zeros(queues)
    entered, late, lost = np.zeros(queues), np.zeros(queues), np.zeros(queues)
    trouble = np.zeros(queues)
    agents = np.round(size * 8)
    for index in range(count):
        at = START + EVERY * index
        hour = at.hour + at.minute / 60
        open_now = at.weekday() < 5 and 8 <= hour < 18
        staff = agents if open_now else np.zeros(queues)
        trouble = np.maximum(trouble - 1, 0)
        trouble = np.where((random.random(queues) < 2e-5) & open_now, random.integers(20, 120, queues), trouble)
        rate = size * (0.5 * np.sin(np.pi * (hour - 8) / 10) + 0.1 if open_now else 0.0)
        came = random.poisson(np.where(trouble > 0, rate * 4, rate))
        waiting = np.maximum(waiting + came - random.poisson(staff * 0.25), 0)
        wait = np.where(waiting > 0, wait + 15_000, 0.0)
        wait = np.where(random.random(queues) < 0.25, wait * 0.4, wait)
        entered = entered * 0.9917 + came
        late = late * 0.9917 + came * (wait > 20_000)
        lost = lost * 0.9917 + came * (wait > 90_000) * 0.5
        idle = np.maximum(staff - waiting, 0)
        offered = np.round(entered)
        some = offered > 0
        values = {
            "interactionsLongestWaitInQueue.rt": np.round(wait),
            "interactionsWaitInQueue.rt": waiting,
            "enabled.rt": staff,
            "eligible.rt": np.maximum(staff - 1, 0),
            "availableIdle.rt": idle,
            "entered.int-30m": offered,
            "abandoned.int-30m": np.round(lost),
            "slaPercentage.int-30m": np.where(some, np.round(1 - late / np.maximum(entered, 1e-9), 4), np.nan),
            "abandonedPercentage.int-30m": np.where(some, np.round(lost / np.maximum(entered, 1e-9), 4), np.nan),
            "diverted.int-30m": np.round(offered * 0.02),
            "accepted.int-30m": np.round(offered * 0.95),
            "busyTimePercentage.int-30m": np.round(np.clip(waiting / np.maximum(staff, 1), 0, 1), 4),
        }
        columns = {
            key: Column(column, np.where(np.isnan(column), Presence.NULL, Presence.PRESENT).astype(np.uint8))
            for key, column in ((key, column.astype(np.float64)) for key, column in values.items())
        }
        yield Snapshot(Scope.QUEUE, at, ids, names, columns)


def record(store: SqliteStore, queues: int, count: int) -> None:
    """Record `count` polls, as the bot does."""
    for snapshot in polls(queues, count):
        store.record(PollRecord(TENANT, snapshot.at, Feed(TENANT), snapshots={Scope.QUEUE: snapshot}))


def measure(store: SqliteStore, count: int) -> tuple[ReplayResult, float]:
    """Replay the recording; the result, and the seconds it took."""
    rules = load_rules([RULES])
    began = time.perf_counter()
    recorded = store.polls(TENANT, START, START + EVERY * count, rules.metrics())
    history = replay(rules, recorded, poll_every=EVERY)
    return history, time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--queues", type=int, default=200)
    options = parser.parse_args()
    count = round(options.days * timedelta(days=1) / EVERY)
    with tempfile.TemporaryDirectory(prefix="alertbot-benchmark-") as folder:
        store = SqliteStore(Path(folder) / "alertbot.db", synchronous="NORMAL", keep_polls=KEEP)
        try:
            began = time.perf_counter()
            record(store, options.queues, count)
            print(f"recorded {count} polls of {options.queues} queues in {time.perf_counter() - began:.1f} s")
            history, took = measure(store, count)
        finally:
            store.close()
    fired = sum(len(rule.episodes) for rule in history.rules)
    week = took * (WEEK / EVERY) / count
    print(f"replayed in {took:.1f} s: {took / count * 1000:.2f} ms a poll, {fired} alerts fired; a week: {week:.1f} s")
    return 0 if week < LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
