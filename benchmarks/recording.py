"""What the recording costs: bytes a poll, and the time to write and to read it.

    python -m benchmarks.recording

Queues of a simulated centre with twelve keys, polled every 15 s, into a real SQLite file. Exits with 1 if reading a
week of 200 queues would take longer than 30 s.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from alertbot.alerts.alert import Fingerprint
from alertbot.charts.trend import WINDOW
from alertbot.evaluation.snapshot import Snapshot
from alertbot.feed.health import Feed
from alertbot.rules.catalogue import Scope
from alertbot.simulator.endpoints import Habits, Reading
from alertbot.simulator.layout import Size
from alertbot.simulator.model import Centre
from alertbot.simulator.wire import Query
from alertbot.sources.eight_by_eight.assemble import KeyBatch, snapshot_of, table_of
from alertbot.sources.eight_by_eight.decode import decode_page
from alertbot.sources.eight_by_eight.percent import Percentages
from alertbot.store.packing import pack
from alertbot.store.records import PollRecord
from alertbot.store.sql.recording import KEY_FRAME_EVERY
from alertbot.store.sqlite.store import SqliteStore

KEYS = (
    "abandoned.int-30m",
    "abandoned.today",
    "abandonedPercentage.int-30m",
    "availableIdle.rt",
    "busy.rt",
    "eligible.rt",
    "enabled.rt",
    "entered.int-30m",
    "entered.today",
    "interactionsLongestWaitInQueue.rt",
    "interactionsWaitInQueue.rt",
    "slaPercentage.int-30m",
)
TENANT = "acme"
POLL_EVERY = timedelta(seconds=15)
WEEK = timedelta(days=7) // POLL_EVERY
CHART = timedelta(hours=6) // POLL_EVERY
LIMIT = 30.0  # seconds, for a week of 200 queues
BEGIN = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


def polls(queues: int, number: int) -> Iterator[Snapshot]:
    """Polls of a busy hour."""
    centre = Centre(
        Size(queues=queues, groups=max(3, queues // 20), agents=6 * queues),
        seed=8,
        start=BEGIN,
        warm=timedelta(minutes=50),
    )
    query = Query((*(("metrics", key) for key in KEYS), ("size", str(1000))))
    for index in range(number):
        now = BEGIN + (index + 1) * POLL_EVERY
        centre.advance(now)
        body = msgspec.json.encode(Reading(centre, Habits(), query).answer(["queues"]).body)
        table = table_of(Scope.QUEUE, [KeyBatch(KEYS, pages={0: decode_page(body, KEYS)})])
        assert not isinstance(table, str)
        yield snapshot_of(Scope.QUEUE, "queues", frozenset(KEYS), table, now, Percentages("ratio"))


@dataclass
class Measured:
    """One size, measured."""

    queues: int
    polls: int
    packed: float  # bytes of the columns, mean a poll
    write_ms: float
    read_ms: float
    read_one_key_ms: float
    read_one_value_ms: float  # one key of one entity
    trend_ms: float  # half an hour of that, as a card shows it


def measure(queues: int, number: int, folder: Path) -> Measured:
    """Record `number` polls, then read all of them."""
    writing, sizes, frame, end = [], [], None, BEGIN
    with closing(SqliteStore(folder / f"{queues}.db", synchronous="NORMAL")) as store:
        for index, snapshot in enumerate(polls(queues, number)):
            data, frame = pack(snapshot.columns, frame if index % KEY_FRAME_EVERY else None)
            sizes.append(len(data))
            began = time.perf_counter()
            store.record(PollRecord(TENANT, snapshot.at, Feed(TENANT), (), (), {Scope.QUEUE: snapshot}))
            writing.append(time.perf_counter() - began)
            end = snapshot.at
        began = time.perf_counter()
        assert sum(1 for _ in store.polls(TENANT, BEGIN, end)) == number
        whole = time.perf_counter() - began
        began = time.perf_counter()
        assert sum(1 for _ in store.polls(TENANT, BEGIN, end, {Scope.QUEUE: frozenset({KEYS[0]})})) == number
        one_key = time.perf_counter() - began
        entity = Fingerprint(TENANT, "", Scope.QUEUE, "", snapshot.ids[-1])
        began = time.perf_counter()
        assert sum(1 for _ in store.values(TENANT, entity, KEYS[0], BEGIN, end)) == number
        one_value = time.perf_counter() - began
        began = time.perf_counter()
        values = [value for _, value in store.values(TENANT, entity, KEYS[0], end - WINDOW, end)]
        assert any(value is not None for value in values)
        trend = time.perf_counter() - began
    per_poll = 1000 / number
    return Measured(
        queues,
        number,
        statistics.mean(sizes),
        statistics.median(writing) * 1000,
        whole * per_poll,
        one_key * per_poll,
        one_value * per_poll,
        trend * 1000,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--polls", type=int, default=400, metavar="N", help="polls that are recorded (default: 400)")
    options = parser.parse_args()
    slow = False
    for queues in (200, 1000):
        with tempfile.TemporaryDirectory() as folder:
            measured = measure(queues, options.polls, Path(folder))
        values = queues * len(KEYS)
        print(f"{queues:,} queues x {len(KEYS)} keys, {measured.polls} polls")
        print(f"  {measured.packed:>8,.0f} bytes a poll, {8 * measured.packed / values:.1f} bits a value")
        print(f"  {measured.packed * WEEK / 1e6:>8,.0f} MB a week")
        print(f"  {measured.write_ms:>8.2f} ms to record a poll, the latest snapshot included")
        print(f"  {measured.read_ms:>8.2f} ms to read a poll, {measured.read_one_key_ms:.2f} ms one key of it")
        print(f"  {measured.read_ms * WEEK / 1000:>8.1f} s to read a week")
        print(f"  {measured.read_one_value_ms * CHART:>8.2f} ms to read a chart of six hours")
        print(f"  {measured.trend_ms:>8.2f} ms to read the trend of a card")
        slow = slow or (queues == 200 and measured.read_ms * WEEK / 1000 > LIMIT)
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
