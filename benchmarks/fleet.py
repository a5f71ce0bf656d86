"""Several workers on one PostgreSQL database: under kills, how fast tenants are taken over, and under load.

    python -m benchmarks.fleet kills [--rounds 60] [--seed 1] [--tenants 24] [--keep FOLDER]
    python -m benchmarks.fleet outage [--away 60] [--tenants 24] [--keep FOLDER]
    python -m benchmarks.fleet takeover [--times 20] [--tenants 60]
    python -m benchmarks.fleet load [--workers 3] [--tenants 1000] [--every 15] [--for 120]
    python -m benchmarks.fleet limit [--from 800] [--step 200]

Real processes of `alertbot worker`, a real PostgreSQL, 127.0.0.1 only. `--json FILE` also writes the figures.

`kills`: three workers get SIGKILL, SIGTERM, SIGSTOP with SIGCONT up to 30 s later, or lose PostgreSQL, at random, while
queues rise above their limits and fall again, and Slack answers late, loses answers, throttles and refuses. At the end
each alert must begin and end with the polls that saw it, each rise that a poll saw must be one alert, each notice must
be in Slack once, each card must show its end, and after each event all its tenants must have been polled again
within 15 s. Exits with 1 otherwise, with what happened around each failure. A notice that is there twice because a
worker was paused between its claim and its request is counted separately, and must have been closed by the auditor.

`outage`: the same, but PostgreSQL is down once, for a minute: what the workers answer and log meanwhile.

`takeover`: how long after a signal every tenant of that worker was owned again, and polled again. Exits with 1 if it
took longer than promised.

`load`: tenants of 50 simulated queues each with the shipped rules, polled every 15 s. `limit`: one worker with more and
more tenants, until more than 1 % of the polls begin more than a second late.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Protocol

from benchmarks.fleet_kills import WORKERS, kills
from benchmarks.fleet_load import find_limit, measure_load
from benchmarks.fleet_outage import outage
from benchmarks.fleet_takeover import takeover


class Result(Protocol):
    """What was found: a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def good(self) -> bool:
        """Whether it meets what is promised."""

    def lines(self) -> list[str]:
        """What is printed."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, run: Callable[[argparse.Namespace, Path], Result]) -> argparse.ArgumentParser:
        added = commands.add_parser(name)
        added.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
        added.add_argument("--keep", type=Path, metavar="FOLDER", help="keep configuration and logs in this folder")
        added.add_argument("--tenants", type=int)
        added.set_defaults(run=run)
        return added

    under_kills = command("kills", lambda args, to: kills(args.rounds, args.seed, args.tenants, to))
    under_kills.set_defaults(tenants=24)
    under_kills.add_argument("--rounds", type=int, default=60)
    under_kills.add_argument("--seed", type=int, default=1)
    away = command("outage", lambda args, to: outage(args.away, args.tenants, to))
    away.set_defaults(tenants=24)
    away.add_argument("--away", type=float, default=60.0, help="seconds without PostgreSQL")
    taken = command("takeover", lambda args, to: takeover(args.times, args.tenants, to))
    taken.set_defaults(tenants=60)
    taken.add_argument("--times", type=int, default=20, help="how often each signal is sent")
    load = command(
        "load",
        lambda args, to: measure_load(
            to,
            workers=args.workers,
            tenants=args.tenants,
            queues=args.queues,
            every=args.every,
            warm_s=args.warm_up,
            wall_s=args.wall_s,
        ),
    )
    load.set_defaults(tenants=1000)
    load.add_argument("--workers", type=int, default=WORKERS)
    load.add_argument("--queues", type=int, default=50)
    load.add_argument("--every", type=float, default=15.0)
    load.add_argument("--for", dest="wall_s", type=float, default=120.0, help="seconds to measure")
    load.add_argument("--warm-up", type=float, default=60.0, help="seconds to wait once all tenants are owned")
    limit = command("limit", lambda args, to: find_limit(to, args.tenants, args.step, args.queues, args.every))
    limit.add_argument("--from", dest="tenants", type=int, help="tenants of the first step")
    limit.set_defaults(tenants=800)
    limit.add_argument("--step", type=int, default=200)
    limit.add_argument("--queues", type=int, default=50)
    limit.add_argument("--every", type=float, default=15.0)
    options = parser.parse_args(argv)

    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # what was started is killed then too
    with ExitStack() as stack:
        if options.keep:
            options.keep.mkdir(parents=True)
        where = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="alertbot-fleet-")))
        result = options.run(options, where)
    print("\n".join(result.lines()))
    if options.json:
        figures = {"command": options.command, "good": result.good, **asdict(result), "lines": result.lines()}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if result.good else 1


if __name__ == "__main__":
    sys.exit(main())
