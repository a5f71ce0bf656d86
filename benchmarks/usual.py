"""What `usual(KEY, 4w)` adds to a poll, and to the database: python -m benchmarks.usual [--entities 1000] [--keys 5]

The same polls with and without it, in turns: what counts is the difference of CPU time. Then the size of the means of
one day of weekly rhythm with noise, times seven.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from alertbot.evaluation.evaluate import evaluate_all
from alertbot.evaluation.past import Past
from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.evaluation.usual import QuarterHour, Usual
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import RuleSet
from alertbot.store.sqlite.store import SqliteStore

KEYS = ("entered.int-30m", "accepted.int-30m", "avgHandlingTime.int-30m", "slaPercentage.int-30m", "abandoned.int-30m")
POLL = timedelta(seconds=15)
START = datetime(2026, 3, 2, tzinfo=UTC)
WEEKS = 8


def rules_of(keys: tuple[str, ...], *, usual: bool) -> RuleSet:
    """A rule per key that never fires: against the usual, or against the same number in its place."""
    lines = ["rules:"]
    for number, key in enumerate(keys):
        against = f"usual({key}, {WEEKS}w)" if usual else key
        lines.append(f"  - {{id: rule-{number}, scope: queue, when: '{key} > {against} + {against}'}}")
    return parse_files({"rules.yaml": "\n".join(lines)})


class Centre:
    """Queues with a daily rhythm and noise; the values of half hours, which change slowly."""

    def __init__(self, entities: int, keys: tuple[str, ...]) -> None:
        self.random = np.random.default_rng(7)
        self.keys = keys
        self.ids = tuple(str(number) for number in range(entities))
        self.size = self.random.lognormal(3, 1, entities)

    def poll(self, at: datetime) -> Snapshot:
        hour = at.hour + at.minute / 60
        busy = max(0.02, float(np.sin((hour - 6) / 14 * np.pi))) if 6 < hour < 20 else 0.02
        columns = {}
        for key in self.keys:
            values = self.random.poisson(self.size * busy).astype(np.float64)
            if key.startswith("avgHandlingTime"):
                values = np.round(self.random.normal(240_000, 30_000, len(self.ids)))
            elif key.startswith("sla"):
                values = np.round(self.random.uniform(0.7, 1, len(self.ids)), 4)
            columns[key] = Column(values, np.full(len(self.ids), Presence.PRESENT, dtype=np.uint8))
        return Snapshot(Scope.QUEUE, at, self.ids, self.ids, columns)


class Turns:
    """What usual adds to turns: reading its means once a quarter-hour, sums, and looking medians up."""

    def __init__(self, store: SqliteStore, rules: RuleSet) -> None:
        self.store, self.rules = store, rules
        self.usual = Usual(POLL, ZoneInfo("Europe/Helsinki"), rules.usuals())

    def take(self, seen: Snapshot) -> None:
        self.usual = self.usual.at(seen.at, partial(self.store.means, "acme")).add({Scope.QUEUE: seen})
        evaluate_all(self.rules, {Scope.QUEUE: seen}, past=Past(POLL, {}, self.usual))


def cpu_ms(turn: Callable[[], object]) -> float:
    begun = time.process_time()
    turn()
    return 1000 * (time.process_time() - begun)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entities", type=int, default=1000)
    parser.add_argument("--keys", type=int, default=len(KEYS), choices=range(1, len(KEYS) + 1))
    asked = parser.parse_args(argv)
    keys = KEYS[: asked.keys]
    centre = Centre(asked.entities, keys)
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "usual.db")
        measure(store, centre, keys)
        store.close()


def day_of_means(centre: Centre, rules: RuleSet) -> list[QuarterHour]:
    usual, hours = Usual(timedelta(minutes=1), ZoneInfo("UTC"), rules.usuals()), []
    for minute in range(24 * 60 + 1):
        usual = usual.add({Scope.QUEUE: centre.poll(START + minute * timedelta(minutes=1))})
        hours += usual.closed
    return hours


def measure(store: SqliteStore, centre: Centre, keys: tuple[str, ...]) -> None:
    rules, plain = rules_of(keys, usual=True), rules_of(keys, usual=False)
    day = day_of_means(centre, rules)
    for week in range(1, WEEKS + 1):
        hours = [QuarterHour(each.scope, each.at - week * timedelta(weeks=1), each.layout, each.means) for each in day]
        store.fill("acme", hours, {})
    with store._db.read() as conn:
        (stored,) = conn.execute("SELECT sum(length(packed)) FROM usual_means").fetchone()
        (rows,) = conn.execute("SELECT count(*) FROM usual_means").fetchone()
    per_quarter = stored / rows
    print(f"{len(centre.ids)} entities x {len(keys)} keys, {WEEKS} weeks")
    print(
        f"a quarter-hour: {per_quarter / 1000:.1f} kB; a week: {672 * per_quarter / 1e6:.1f} MB; "
        f"{WEEKS} weeks: {WEEKS * 672 * per_quarter / 1e6:.0f} MB"
    )
    turns = Turns(store, rules)
    polls = [centre.poll(START + timedelta(hours=9) + index * POLL) for index in range(240)]
    with_usual, without, first = [], [], []
    for seen in polls:
        begins = seen.at.minute % 15 == 0 and seen.at.second == 0
        (first if begins else with_usual).append(cpu_ms(partial(turns.take, seen)))
        without.append(cpu_ms(partial(evaluate_all, plain, {Scope.QUEUE: seen})))
    closing = [cpu_ms(lambda: store.fill("acme", day[40:41], {})) for _ in range(20)]
    usual, bare = statistics.median(with_usual), statistics.median(without)
    print(f"a poll: {usual:.2f} ms with, {bare:.2f} ms without: {usual - bare:.2f} ms more (CPU, evaluation only)")
    print(
        f"the first poll of a quarter-hour: {max(first):.1f} ms: the means of {WEEKS} weeks are read, and medians made"
    )
    print(f"a quarter-hour that ends: {statistics.median(closing):.1f} ms to pack and write its means")


if __name__ == "__main__":
    main()
