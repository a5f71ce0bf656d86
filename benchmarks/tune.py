"""How long it takes to tune a rule: 200 queues, a poll every 15 s, the shipped rule for the longest wait.

    python -m benchmarks.tune [--days 7] [--queues 200] [--stuck]

The recording is made first, by the real store; that time does not count. It is that of the simulated contact centre.
`--stuck`: that of benchmarks/replay.py, a worst case: callers stay in queues without agents all night and all weekend,
so a hundred alerts are open and suppressed most of the time. Less than a week is scaled to a week. Exits with 1 if a
week would take a minute of wall time or longer.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from alertbot.cli import main as alertbot
from alertbot.clock import wall_clock
from alertbot.evaluation.snapshot import Snapshot
from alertbot.rulefiles.on_disk import load_rules
from alertbot.rules.catalogue import Scope
from alertbot.simulator.layout import Size
from alertbot.store.sqlite.store import SqliteStore
from benchmarks import replay, simulated

LIMIT_S = 60.0  # for a week
AGENTS_PER_QUEUE = 8
CONFIG = """\
tenants:
  - {{name: acme, region: eu, api_key: k, api_secret: s}}
slack: {{default_channel: "#cc-alerts", bot_token: xoxb-benchmark}}
rules: {rules}
storage: {folder}/alertbot.db
record: {{keep: 30d}}
"""


class Took(NamedTuple):
    """Seconds, and the peak resident set in MiB of this process."""

    wall: float
    cpu: float
    rss: float
    result: str  # what tune found, in a line


def record(folder: Path, queues: int, days: float, *, stuck: bool = False) -> None:
    """Record a database and its alertbot.yaml into the folder; the last poll is now."""
    count = round(timedelta(days=days) / replay.EVERY)
    start = wall_clock().replace(microsecond=0) - replay.EVERY * (count - 1)
    store = SqliteStore(folder / "alertbot.db", synchronous="NORMAL", keep_polls=timedelta(days=30))
    try:
        if stuck:
            polls: Iterator[Snapshot] = (
                replace(each, at=each.at - replay.START + start) for each in replay.polls(queues, count)
            )
        else:
            size = Size(queues=queues, groups=Size().groups, agents=AGENTS_PER_QUEUE * queues)
            keys = load_rules([replay.RULES]).metrics()[Scope.QUEUE]
            polls = simulated.polls(size, keys, start, count)
        simulated.record(store, polls)
    finally:
        store.close()
    (folder / "alertbot.yaml").write_text(CONFIG.format(rules=replay.RULES, folder=folder))


def measure(folder: Path, rule: str = "longest-wait") -> Took:
    """Tune a rule on all that is recorded there, with the command that users type."""
    output = io.StringIO()
    before = time.perf_counter(), _cpu()
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        alertbot(["tune", rule, "--since", "8d", "--config", str(folder / "alertbot.yaml")])
    wall, cpu = time.perf_counter() - before[0], _cpu() - before[1]
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result = next((line for line in output.getvalue().splitlines() if line.startswith("Result:")), "no result")
    return Took(wall, cpu, rss, " ".join(result.split()))


def _cpu() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--queues", type=int, default=200)
    parser.add_argument("--stuck", action="store_true")
    options = parser.parse_args()
    if options.days <= 1:
        parser.error("--days: tune needs more than a day")
    with tempfile.TemporaryDirectory(prefix="alertbot-benchmark-") as folder:
        began = time.perf_counter()
        record(Path(folder), options.queues, options.days, stuck=options.stuck)
        print(f"recorded {options.days:g} days of {options.queues} queues in {time.perf_counter() - began:.1f} s")
        took = measure(Path(folder))
    week = 7 / options.days
    print(took.result)
    print(
        f"tuned in {took.wall:.1f} s, {took.cpu:.1f} s of CPU, {took.rss:.0f} MiB; "
        f"a week: {took.wall * week:.1f} s, {took.cpu * week:.1f} s of CPU"
    )
    return 0 if took.wall * week < LIMIT_S and took.result != "no result" else 1


if __name__ == "__main__":
    sys.exit(main())
