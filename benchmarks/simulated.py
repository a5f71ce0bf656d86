"""Records days of the simulated contact centre through the real store, without HTTP: the same seed, the same bytes.

    python -m benchmarks.simulated FILE [--days 7] [--queues 12] [--agents 120] [--seed 1] [--rules rules/] [--end ISO]

FILE is a database for `replay`, `tune` and the like; it must not exist. `--end` is the time of the last poll (default:
now), so that `--since 7d` covers the whole recording. The keys are those that the rules read.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.feed.health import Feed
from alertbot.rulefiles.on_disk import load_rules
from alertbot.rules.catalogue import Scope
from alertbot.simulator.layout import Size
from alertbot.simulator.metrics import Moment, queue_getter
from alertbot.simulator.model import Centre, to_ms
from alertbot.store.records import PollRecord
from alertbot.store.sqlite.store import SqliteStore

EVERY = timedelta(seconds=15)
TENANT = "acme"


def polls(
    size: Size, keys: frozenset[str], start: datetime, count: int, *, seed: int = 1, timezone: str = "UTC"
) -> Iterator[Snapshot]:
    """The queues of a simulated centre, poll by poll; numbers only."""
    centre = Centre(size, seed=seed, start=start, timezone=timezone)
    ids, names = (tuple(str(getattr(queue, each)) for queue in centre.queues) for each in ("id", "name"))
    for index in range(count):
        at = start + EVERY * index
        centre.advance(at)
        moment = Moment(to_ms(at), centre.midnight())
        columns = {}
        for key in sorted(keys):
            read = queue_getter(key, moment)
            values = np.array([_number(read(queue)) for queue in centre.queues], dtype=np.float64)
            columns[key] = Column(values, np.where(np.isnan(values), Presence.NULL, Presence.PRESENT).astype(np.uint8))
        yield Snapshot(Scope.QUEUE, at, ids, names, columns)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def record(store: SqliteStore, snapshots: Iterator[Snapshot], tenant: str = TENANT) -> int:
    """Record the polls as the bot does; how many there were."""
    count = 0
    for snapshot in snapshots:
        scopes: Mapping[Scope, Snapshot] = {Scope.QUEUE: snapshot}
        store.record(PollRecord(tenant, snapshot.at, Feed(tenant), snapshots=scopes))
        count += 1
    return count


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--queues", type=int, default=Size().queues)
    parser.add_argument("--agents", type=int, default=Size().agents)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rules", type=Path, default=Path(__file__).parent.parent / "rules")
    parser.add_argument("--end", type=datetime.fromisoformat, default=datetime.now(UTC))
    options = parser.parse_args()
    if options.file.exists():
        parser.error(f"{options.file} exists")
    count = round(options.days * timedelta(days=1) / EVERY)
    size = Size(queues=options.queues, groups=Size().groups, agents=options.agents)
    keys = load_rules([options.rules]).metrics()[Scope.QUEUE]
    start = options.end.astimezone(UTC).replace(microsecond=0) - EVERY * count
    began = time.perf_counter()
    store = SqliteStore(options.file, synchronous="NORMAL", keep_polls=timedelta(days=options.days + 30))
    try:
        record(store, polls(size, keys, start, count, seed=options.seed))
    finally:
        store.close()
    print(f"recorded {count} polls of {options.queues} queues in {time.perf_counter() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
