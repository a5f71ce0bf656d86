"""How long a poll takes without the network, by phase, compared with the standard library's json on the same bytes.

    python -m benchmarks.poll_cycle

Pages of agents as 8x8 sends them, the real decoder, rules from real YAML, and a real SQLite file. Exits with 1 if the
cycle takes three times as long as json.loads or longer.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from alertbot.alerts.advance import advance
from alertbot.alerts.decide import decide
from alertbot.evaluation.evaluate import Selector, Verdicts, evaluate_all
from alertbot.evaluation.past import Past, remember
from alertbot.evaluation.snapshot import Snapshot
from alertbot.feed.health import Feed
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import RuleSet
from alertbot.sources.eight_by_eight.assemble import KeyBatch, snapshot_of, table_of
from alertbot.sources.eight_by_eight.decode import decode_page
from alertbot.sources.eight_by_eight.percent import Percentages
from alertbot.store.records import PollRecord
from alertbot.store.sqlite.store import SqliteStore

LIMIT = 3.0  # whole cycle / json.loads
PAGE = 1000
TENANT = "acme"
PHASES = ("decode", "evaluate", "read", "diff", "write")

# Metric key; the value from which its rules fire; a low, that, and a high threshold. `status.rt` is the twelfth.
NUMBERS = {
    "timeOnStatus.rt": (1_200_000, "10m", "20m", "40m"),
    "loggedInTime.rt": (36_000_000, "5h", "10h", "20h"),
    "activeInteractionsCount.rt": (4, "2", "4", "8"),
    "handlingTime.int-30m": (1_500_000, "12m", "25m", "29m"),
    "accepted.int-30m": (40, "20", "40", "80"),
    "hold.int-30m": (10, "5", "10", "20"),
    "averageHandlingTime.int-30m": (900_000, "7m", "15m", "20m"),
    "averageHoldTime.int-30m": (120_000, "1m", "2m", "4m"),
    "averageWrapUpTime.int-30m": (180_000, "90s", "3m", "6m"),
    "busyTimePercentage.int-30m": (0.5, "25%", "50%", "90%"),
    "handlingTimePercentage.int-30m": (0.5, "25%", "50%", "90%"),
}
KEYS = (*NUMBERS, "status.rt")
STATUSES = ("Available", "Busy", "OnBreak", "WorkingOffline", "LoggedOut")
RULES = 50

# The bodies of the rules, used in turn: levels, guards, holds, hysteresis, globs, text, windows, and, or.
SHAPES = (
    "warning: {{when: {key} > {limit}, for: 30s}}\n    critical: {{when: {key} > {high}}}",
    "when: {key} >= {limit}\n    guard: accepted.int-30m >= 2\n    no_data: clear",
    'when: {key} > {limit} and status.rt != "LoggedOut"\n    clear: {key} < {low}\n    keep_firing_for: 1m',
    'when: {key} > {limit} or {key} > {high}\n    match: {{name: ["*a*", "*EU*"], exclude: {{name: ["*test*"]}}}}',
    'when: status.rt in ["OnBreak", "WorkingOffline"] and {key} > {limit}',
    "when: avg({key}, 10m) > {limit}\n    clear: {key} < {low}",
)
POLL_EVERY = timedelta(seconds=15)
WINDOW = 40  # polls: the longest window of these rules

_T = TypeVar("_T")


def rules_text(count: int = RULES) -> str:
    """A rule file: `count` rules over the twelve keys."""
    lines = ["rules:"]
    for index in range(count):
        key, (_, low, limit, high) = list(NUMBERS.items())[index % len(NUMBERS)]
        body = SHAPES[index % len(SHAPES)].format(key=key, low=low, limit=limit, high=high)
        lines.append(f"  - id: rule-{index}\n    title: Rule {index}\n    scope: agent\n    {body}")
    return "\n".join(lines) + "\n"


def rules() -> RuleSet:
    """Fifty rules over the twelve keys."""
    return parse_files({"benchmark.yaml": rules_text()})


def answers(entities: int, seed: int = 8) -> Iterator[list[bytes]]:
    """The pages of one poll after another. Every number changes; a few are over their limits for some ten polls."""
    random = np.random.default_rng(seed)
    names = [f"Agent {row} {('EU', 'US', 'test')[row % 3]}" for row in range(entities)]
    trouble = random.random((len(NUMBERS), entities)) < 0.001
    status = random.integers(0, len(STATUSES), entities)
    while True:
        begins = random.random(trouble.shape) < 0.0001
        trouble = (trouble & (random.random(trouble.shape) > 0.1)) | begins
        moved = random.random(entities) < 0.05
        status = np.where(moved, random.integers(0, len(STATUSES), entities), status)
        columns: list[list[object]] = []
        for index, (limit, *_) in enumerate(NUMBERS.values()):
            share = np.where(trouble[index], random.uniform(1.1, 1.9, entities), random.uniform(0.1, 0.45, entities))
            values: list[object] = [
                round(value, 4) if limit < 1 else int(value) for value in np.minimum(share * limit, 1e12).tolist()
            ]
            if index >= 6:  # averages and percentages of an agent without any work
                for row in np.flatnonzero(random.random(entities) < 0.05).tolist():
                    values[row] = None
            columns.append(values)
        columns.append([STATUSES[code] for code in status.tolist()])
        yield pages_of(names, columns)
        del columns


def agent_id(row: int) -> str:
    """The id of an agent, as long as those of 8x8."""
    return f"ag{row:08d}AbCdEfGhIj"


def pages_of(names: list[str], columns: list[list[object]]) -> list[bytes]:
    """One poll as 8x8 sends it: JSON, PAGE agents a page; `columns` are in the order of KEYS."""
    # A function of its own, so that none of this is alive during a measurement: the garbage collector would walk it.
    whole = [
        {
            "id": agent_id(row),
            "name": name,
            "metrics": [{"key": key, "value": column[row]} for key, column in zip(KEYS, columns, strict=True)],
        }
        for row, name in enumerate(names)
    ]
    return [json.dumps(whole[start : start + PAGE]).encode() for start in range(0, len(names), PAGE)]


@dataclass
class Times:
    """Milliseconds by phase, one value a round."""

    phases: dict[str, list[float]] = field(default_factory=dict)

    def take(self, phase: str, work: Callable[[], _T]) -> _T:
        began = time.perf_counter()
        result = work()
        self.phases.setdefault(phase, []).append((time.perf_counter() - began) * 1000)
        return result

    def median(self, phase: str) -> float:
        return statistics.median(self.phases[phase])


@dataclass
class Measured:
    """One size, measured."""

    entities: int
    bytes: int
    open: int  # alerts that have not ended, after the last poll
    changes: float  # mean a poll
    times: Times

    @property
    def cycle(self) -> float:
        """The median of the sums, which is not the sum of the medians."""
        rounds = zip(*(self.times.phases[phase] for phase in PHASES), strict=True)
        return statistics.median(map(sum, rounds))

    @property
    def ratio(self) -> float:
        return self.cycle / self.times.median("json")


def _loads(pages: list[bytes]) -> int:
    return sum(len(json.loads(body)) for body in pages)


def decode(pages: list[bytes], now: datetime) -> Snapshot:
    """Decode the pages as the 8x8 client does."""
    part = KeyBatch(KEYS, total=len(pages))
    for number, body in enumerate(pages):
        part.pages[number] = decode_page(body, KEYS)
    table = table_of(Scope.AGENT, [part])
    assert not isinstance(table, str)
    snapshot = snapshot_of(Scope.AGENT, "agents", frozenset(KEYS), table, now, Percentages("ratio"))
    assert snapshot.complete
    return snapshot


def measure(entities: int, rounds: int, warm_up: int, folder: Path) -> Measured:
    """Polls of one tenant, each after a json.loads of the same bytes: a busy machine slows both."""
    watched, selector, times = rules(), Selector(), Times()
    store = SqliteStore(folder / f"{entities}.db")
    now, size, changed = datetime(2026, 3, 2, 9, 0, tzinfo=UTC), 0, 0
    polls = answers(entities)
    past = full_past(decode(next(polls), now), watched)
    for index in range(warm_up + rounds):
        if index == warm_up:
            times = Times()
        pages = next(polls)
        size = sum(map(len, pages))
        now += POLL_EVERY
        times.take("json", partial(_loads, pages))
        changes, past = cycle(pages, watched, selector, past, store, now, times)
        changed += changes if index >= warm_up else 0
    still_open = len(store.alerts(TENANT))
    store.close()
    return Measured(entities, size, still_open, changed / rounds, times)


def full_past(snapshot: Snapshot, watched: RuleSet) -> Past:
    """Full windows, so that each poll costs what it costs after an hour."""
    earlier = ({Scope.AGENT: replace(snapshot, at=snapshot.at - back * POLL_EVERY)} for back in range(WINDOW, -1, -1))
    return remember(Past(POLL_EVERY, watched.windows()), earlier)


def cycle(
    pages: list[bytes],
    watched: RuleSet,
    selector: Selector,
    past: Past,
    store: SqliteStore,
    now: datetime,
    times: Times,
) -> tuple[int, Past]:
    """One poll without the network; returns the number of changes, and the past including this poll."""
    snapshot = times.take("decode", lambda: decode(pages, now))

    def evaluate() -> tuple[Past, list[Verdicts]]:
        longer = past.add({Scope.AGENT: snapshot})
        return longer, evaluate_all(watched, {Scope.AGENT: snapshot}, selector, longer)

    past, seen = times.take("evaluate", evaluate)
    alerts, cards = times.take("read", lambda: (store.alerts(TENANT), store.cards(TENANT)))

    def diff() -> PollRecord:
        changes = advance(alerts, seen, watched, now, tenant=TENANT)
        notices = decide(changes, watched, cards, "#cc-alerts", now)
        feed = Feed(TENANT, tried_at=now, good_at=now, entities={Scope.AGENT: len(snapshot)})
        return PollRecord(TENANT, now, feed, changes, notices, {Scope.AGENT: snapshot})

    record = times.take("diff", diff)
    times.take("write", lambda: store.record(record))
    return len(record.changes), past


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entities", type=int, nargs="+", default=[1000, 10_000], metavar="N")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="polls that are measured (default: 15)")
    parser.add_argument("--warm-up", type=int, default=5, metavar="N", help="polls before that (default: 5)")
    options = parser.parse_args()
    worst = 0.0
    print(f"{len(KEYS)} keys x {RULES} rules, {options.rounds} polls, medians in ms; x: as a ratio to json.loads")
    for entities in options.entities:
        with tempfile.TemporaryDirectory() as folder:
            measured = measure(entities, options.rounds, options.warm_up, Path(folder))
        base = measured.times.median("json")
        print(
            f"\n{entities:,} entities, {measured.bytes / 1e6:.1f} MB, {measured.open} open alerts, "
            f"{measured.changes:.0f} changes a poll"
        )
        print(f"  {'json.loads':<12} {base:>8.1f}")
        for phase in PHASES:
            print(f"  {phase:<12} {measured.times.median(phase):>8.1f}   {measured.times.median(phase) / base:>5.2f} x")
        print(f"  {'whole cycle':<12} {measured.cycle:>8.1f}   {measured.ratio:>5.2f} x   (must be under {LIMIT:g})")
        worst = max(worst, measured.ratio)
    return 0 if worst < LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
