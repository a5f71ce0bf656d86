"""How the cost of a poll and of delivery grows with everything that can grow: one table.

    python -m benchmarks.cost_growth [--rounds 15] [--only rules entities] [--json FILE]

Each line changes one thing, to three sizes, and leaves the rest as it is: 10 rules, 500 agents, of whom 10 have all
their alerts open, one tenant, a fresh database. A poll is that of the service without HTTP (`poll.run`: evaluation,
alerts, decisions, one transaction with synchronous=FULL on a real file, the recording), in which 5 % of the values
change; delivery is one look at what is due. Both are medians of CPU time.

`growth` is the exponent between the second size and the third: 0 where size costs nothing, 1 where twice the size
costs twice as much. Exits with 1 where a poll or delivery grows faster than that.
"""

from __future__ import annotations

import argparse
import json
import math
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from alertbot import poll
from alertbot.alerts.alert import Reason
from alertbot.alerts.notice import Notice, NoticeKind
from alertbot.evaluation.past import Past
from alertbot.evaluation.snapshot import Column, Fetched, Snapshot
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level, RuleSet
from alertbot.store.codec import stamp
from alertbot.store.sqlite.store import SqliteStore
from benchmarks.poll_cycle import NUMBERS, POLL_EVERY, rules_text

START = datetime(2026, 3, 9, 9, 0, tzinfo=UTC)
SETTLE = 8  # polls before the measured ones: what has a `for` of 30 s or a minute fires
MAX_GROWTH = 1.15
"""A little more than linear: the medians of short runs differ by some percent."""
FLOOR_MS = 0.3
"""Costs below this are not compared: they are mostly the clock."""
CHANNELS = 10


@dataclass(frozen=True)
class Size:
    """What a database and its polls are like."""

    rules: int = 10
    entities: int = 500
    over: int = 10  # agents of whom every rule fires
    ended: int = 0
    waiting: int = 0  # notices whose channels are held
    tenants: int = 1
    days: float = 0.0  # of recorded polls


@dataclass(frozen=True)
class Dimension:
    """One thing that grows, and the three databases in which it does."""

    name: str
    sizes: tuple[tuple[int, Size], ...]


DIMENSIONS = (
    Dimension("rules", tuple((count, Size(rules=count)) for count in (25, 100, 400))),
    Dimension("entities", tuple((count, Size(entities=count, over=count // 50)) for count in (500, 2_000, 8_000))),
    Dimension("open alerts", tuple((10 * count, Size(over=count)) for count in (25, 100, 400))),
    Dimension("ended alerts", tuple((count, Size(ended=count)) for count in (3_000, 30_000, 300_000))),
    Dimension("waiting notices", tuple((count, Size(waiting=count)) for count in (100, 1_000, 10_000))),
    Dimension("tenants", tuple((count, Size(tenants=count)) for count in (10, 100, 1_000))),
    Dimension("recorded days", tuple((count, Size(days=count)) for count in (1, 4, 16))),
)


@dataclass
class Cost:
    """What was measured at one size."""

    size: int
    open: int
    poll_ms: float
    due_ms: float


@dataclass
class Line:
    """One line of the table."""

    name: str
    costs: list[Cost] = field(default_factory=list)

    def growth(self, cost: Callable[[Cost], float]) -> float:
        """The exponent between the last two sizes; 0 where the cost is too small to say."""
        before, after = self.costs[-2], self.costs[-1]
        if cost(after) < FLOOR_MS or cost(after) <= cost(before):
            return 0.0
        return math.log(cost(after) / max(cost(before), FLOOR_MS / 10)) / math.log(after.size / before.size)

    @property
    def poll(self) -> float:
        return self.growth(lambda cost: cost.poll_ms)

    @property
    def due(self) -> float:
        return self.growth(lambda cost: cost.due_ms)


class Centre:
    """The agents of one tenant: those that are over all limits, and values of which a few change."""

    def __init__(self, size: Size, seed: int = 8) -> None:
        self._random = np.random.default_rng(seed)
        self._ids = tuple(f"ag{row:08d}" for row in range(size.entities))
        self._names = tuple(f"Agent {row} EU" for row in range(size.entities))
        self._values = {}
        for key, (limit, *_) in NUMBERS.items():
            share = np.full(size.entities, 0.3)
            share[: size.over] = 2.5
            self._values[key] = np.minimum(np.round(share * limit, 4), 0.95 if limit < 1 else np.inf)
        self._status = np.array(["Busy"] * size.entities, dtype=np.object_)
        self._status[: size.over] = "OnBreak"

    def snapshot(self, now: datetime) -> Snapshot:
        """The next one, with 5 % of the numbers changed by a little."""
        columns = {}
        present = np.zeros(len(self._ids), dtype=np.uint8)
        for key, values in self._values.items():
            moved = self._random.random(len(values)) < 0.05
            self._values[key] = np.where(moved, np.round(values * self._random.uniform(0.98, 1.02), 4), values)
            columns[key] = Column(self._values[key], present)
        columns["status.rt"] = Column(self._status, present)
        return Snapshot(Scope.AGENT, now, self._ids, self._names, columns)


class Bot:
    """The turns of one tenant after the other, in a database of its own."""

    def __init__(self, folder: Path, size: Size) -> None:
        self._path = folder / "alertbot.db"
        self.store = SqliteStore(self._path)
        self._rules = parse_files({"growth.yaml": rules_text(size.rules)})
        self._centre = Centre(size)
        self._memory = poll.Memory(past=_past(self._rules))
        self.now = START

    def turn(self) -> float:
        """One turn: its CPU time in ms."""
        self.now += POLL_EVERY
        fetched = Fetched(self.now, {Scope.AGENT: self._centre.snapshot(self.now)}, took_ms=20.0)
        tenant = poll.Tenant("acme", self._rules, "#cc-alerts", "#cc-ops", memory=self._memory)
        began = time.process_time()
        turn = poll.run(tenant, self.store, self.now, fetched)
        took = time.process_time() - began
        self._memory = turn.memory
        return 1000 * took

    def look(self) -> float:
        """One look at what is due: its CPU time in ms."""
        began = time.process_time()
        self.store.due(self.now)
        return 1000 * (time.process_time() - began)

    def fill(self, size: Size) -> None:
        """Add what this size has: other tenants, notices that wait, ended alerts and recorded polls."""
        rules = parse_files({"growth.yaml": rules_text(3)})
        for number in range(1, size.tenants):
            other, memory = Centre(replace(size, entities=20, over=1), seed=number), poll.Memory(past=_past(rules))
            for step in range(3):  # those of their alerts that wait for nothing are open then
                at = self.now - POLL_EVERY * (3 - step)
                fetched = Fetched(at, {Scope.AGENT: other.snapshot(at)})
                tenant = poll.Tenant(f"other-{number}", rules, "#cc-alerts", "#cc-ops", memory=memory)
                memory = poll.run(tenant, self.store, at, fetched).memory
        until = self.now + timedelta(minutes=50)
        for number in range(CHANNELS if size.waiting else 0):
            self.store.hold_channel(f"#held-{number}", until)
        self.store.add_notices(
            [
                Notice(
                    id=f"waiting-{number}",
                    kind=NoticeKind.OPS,
                    alert=None,
                    channel=f"#held-{number % CHANNELS}",
                    reason=Reason.FIRED,
                    level=Level.WARNING,
                    at=self.now,
                    text="it waits",
                )
                for number in range(size.waiting)
            ]
        )
        with closing(sqlite3.connect(self._path, isolation_level=None)) as conn:
            conn.execute("BEGIN IMMEDIATE")
            _add_ended(conn, size.ended)
            _add_polls(conn, round(size.days * (timedelta(days=1) / POLL_EVERY)))
            conn.execute("COMMIT")
            conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _past(rules: RuleSet) -> Past | None:
    windows = rules.windows()
    return Past(POLL_EVERY, windows) if windows else None


def _add_ended(conn: sqlite3.Connection, count: int) -> None:
    """Copies of the open alerts, on other agents, that ended one a second until the start."""
    if not count:
        return
    (last,) = conn.execute("SELECT seq FROM sqlite_sequence WHERE name = 'alerts'").fetchone()
    ended = f"strftime('%Y-%m-%dT%H:%M:%S.000000Z', '{START:%Y-%m-%d %H:%M:%S}', '-' || ({count} - n.i) || ' seconds')"
    _copy(
        conn,
        "alerts",
        "SELECT * FROM alerts WHERE state = 'firing' ORDER BY id",
        count,
        {
            "id": f"{last} + 1 + n.i",
            "entity_id": "printf('gone%08d', n.i % 5000)",
            "state": "'inactive'",
            "fired_at": ended,
            "ended_at": ended,
            "end_reason": "'resolved'",
        },
    )


def _add_polls(conn: sqlite3.Connection, count: int) -> None:
    """Copies of the last recorded poll, one every 15 s until the start; every fortieth is a key frame."""
    seconds = f"'-' || (({count} - n.i) * {POLL_EVERY.total_seconds():.0f} + 600) || ' seconds'"
    _copy(
        conn,
        "recorded_polls",
        "SELECT * FROM recorded_polls WHERE tenant = 'acme' ORDER BY at DESC LIMIT 1",
        count,
        {
            "id": "NULL",
            "at": f"strftime('%Y-%m-%dT%H:%M:%S.000000Z', '{stamp(START)[:19]}', {seconds})",
            "key_frame": "n.i % 40 = 0",
        },
    )


def _copy(conn: sqlite3.Connection, table: str, templates: str, count: int, values: Mapping[str, str]) -> None:
    if not count:
        return
    conn.execute(f"CREATE TEMP TABLE templates AS {templates}")
    (rows,) = conn.execute("SELECT count(*) FROM templates").fetchone()
    columns = [row[1] for row in conn.execute(f"PRAGMA table_info({table})")]
    conn.execute(
        f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count}) "
        f"INSERT INTO {table} ({', '.join(columns)}) "
        f"SELECT {', '.join(values.get(name, f't.{name}') for name in columns)} "
        f"FROM n CROSS JOIN templates t ON t.rowid = n.i % {rows} + 1"
    )
    conn.execute("DROP TABLE templates")


def measure(dimension: Dimension, rounds: int) -> Line:
    """The three sizes take each round one after the other, so that a busy machine slows all of them."""
    line = Line(dimension.name)
    with tempfile.TemporaryDirectory(prefix="alertbot-growth-") as folder:
        bots = []
        for number, (_, size) in enumerate(dimension.sizes):
            own = Path(folder) / str(number)
            own.mkdir()
            bot = Bot(own, size)
            for _ in range(SETTLE):
                bot.turn()
            bot.fill(size)
            bot.turn()
            bots.append(bot)
        polls: list[list[float]] = [[] for _ in bots]
        looks: list[list[float]] = [[] for _ in bots]
        for _ in range(rounds):
            for number, bot in enumerate(bots):
                polls[number].append(bot.turn())
                looks[number].append(bot.look())
        for number, (count, _) in enumerate(dimension.sizes):
            alerts = len(bots[number].store.alerts("acme"))
            line.costs.append(Cost(count, alerts, statistics.median(polls[number]), statistics.median(looks[number])))
            bots[number].store.close()
    return line


def table(lines: Sequence[Line]) -> list[str]:
    """The lines as text."""
    found = [f"{'':>16} {'sizes':>28} {'poll, CPU ms':>24} {'growth':>7} {'delivery, CPU ms':>24} {'growth':>7}"]
    for line in lines:
        sizes = " / ".join(f"{cost.size:,}" for cost in line.costs)
        polls = " / ".join(f"{cost.poll_ms:.1f}" for cost in line.costs)
        looks = " / ".join(f"{cost.due_ms:.1f}" for cost in line.costs)
        found.append(f"{line.name:>16} {sizes:>28} {polls:>24} {line.poll:>7.2f} {looks:>24} {line.due:>7.2f}")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [dimension.name.replace(" ", "-") for dimension in DIMENSIONS]
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="polls that are measured (default: 15)")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="WHAT", help=", ".join(names))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to this file")
    chosen = parser.parse_args(argv)
    lines = [
        measure(dimension, chosen.rounds) for dimension in DIMENSIONS if dimension.name.replace(" ", "-") in chosen.only
    ]
    print("\n".join(table(lines)))
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(line) for line in lines], indent=2) + "\n")
    return int(any(line.poll > MAX_GROWTH or line.due > MAX_GROWTH for line in lines))


if __name__ == "__main__":
    sys.exit(main())
