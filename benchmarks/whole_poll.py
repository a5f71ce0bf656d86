"""What a poll costs through the whole of a turn, as the service takes it.

    python -m benchmarks.whole_poll
    python -m benchmarks.whole_poll --package ../older-checkout

HTTP on loopback, decoding, feed health, evaluation, the alerts, the decisions, one transaction in a real SQLite file
with synchronous=FULL and the recording, and the log as JSON to /dev/null. The pages are made in advance and served by
another process. Nothing is delivered: the cards wait. `poll_cycle` measures the same without HTTP, feed health and
logs, and with few alerts.

With `--package`, an older checkout is measured in the same run: both take each poll, one after the other, so that a
busy machine slows both. Ratios are taken poll by poll.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.poll_cycle import KEYS, rules_text
from benchmarks.turns import PHASES

HERE = Path(__file__).resolve().parents[1]
SIZES = ("1000x50", "1000x200", "10000x50")
VARIANTS = ("moving", "still", "ended")
ENDED = 1_000_000
WARM_UP = 45  # polls: windows of ten minutes are full, every alert fires
SETTLING = 5  # the last polls of the warm-up, in which values move already


@dataclass(frozen=True)
class Case:
    """What is measured: the size, and what the polls bring.

    `moving`: 5 % of the values change in a poll. `still`: every poll brings the same bytes. `ended`: as `moving`, once
    with and once without many ended alerts in the database.
    """

    entities: int
    rules: int
    variant: str = "moving"

    @property
    def pairs(self) -> int:
        return self.entities * self.rules


@dataclass
class Lane:
    """One process that takes every poll, and what its turns cost."""

    label: str
    package: Path
    ended: int = 0
    turns: list[dict[str, Any]] = field(default_factory=list)
    open: int = 0  # alerts that fire or recover, at the end

    def median(self, name: str) -> float:
        return statistics.median([float(turn[name]) for turn in self.turns])

    def mean(self, name: str) -> float:
        return statistics.fmean([float(turn[name]) for turn in self.turns])

    def phase(self, name: str) -> float:
        return statistics.median([float(turn["phases"].get(name, 0.0)) for turn in self.turns])

    def ratio(self, base: Lane, name: str) -> float:
        """The median of the ratios of this lane's turns to those of `base`, pair by pair."""
        pairs = zip(self.turns, base.turns, strict=True)
        return statistics.median([float(turn[name] / other[name]) for turn, other in pairs])

    def as_json(self) -> dict[str, Any]:
        names = ("wall_ms", "cpu_ms")
        return {
            "label": self.label,
            "ended": self.ended,
            "open": self.open,
            **{name: round(self.median(name), 2) for name in names},
            "phases_ms": {name: round(self.phase(name), 2) for name in PHASES},
            **{name: round(self.mean(name), 1) for name in ("transitions", "notices", "written", "to_disk")},
            "turns": [{name: round(turn[name], 2) for name in names} for turn in self.turns],
        }


class Child:
    """A process of this benchmark: answers each line on its stdin with a line of JSON, and ends when stdin ends."""

    def __init__(self, command: Sequence[str], package: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(package)}
        self._process = subprocess.Popen(
            [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def ask(self, **values: Any) -> dict[str, Any]:
        """Send one line and return the answer. Raises SystemExit when the process ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(values) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it ended: `read` says so
        return self.read()

    def read(self) -> dict[str, Any]:
        """The next line. Raises SystemExit when the process ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args!r} ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def measure(
    case: Case,
    packages: Sequence[tuple[str, Path]],
    folder: Path,
    *,
    rounds: int,
    warm_up: int = WARM_UP,
    ended: int = ENDED,
    logs: str = "",
) -> list[Lane]:
    """Take `warm_up` polls unmeasured, then `rounds` measured ones, each in every lane before the next.

    A lane a package; in the variant `ended` two, the second with `ended` alerts that ended. Raises SystemExit where a
    poll fails.
    """
    lanes = [Lane(label, package) for label, package in packages]
    if case.variant == "ended":
        lanes = [each for lane in lanes for each in (lane, Lane(lane.label, lane.package, ended))]
    rules = folder / "rules.yaml"
    rules.write_text(rules_text(case.rules))
    settling = min(SETTLING, warm_up)
    count = 1 if case.variant == "still" else 1 + settling + rounds
    with ExitStack() as stack:
        pages = stack.enter_context(Child(["-m", "benchmarks.pages", str(case.entities), str(count)], HERE))
        url = pages.read()["url"]
        children: list[Child] = []
        for number, lane in enumerate(lanes):
            own = folder / str(number)
            own.mkdir()
            # -P: the folder of the script is not on the path, so alertbot comes from the package.
            child = stack.enter_context(Child(["-P", str(HERE / "benchmarks" / "turns.py")], lane.package))
            child.ask(package=str(lane.package), folder=str(own), rules=str(rules), url=url, logs=logs)
            children.append(child)
        for turn in range(warm_up + rounds):
            pages.ask(poll=min(count - 1, max(0, turn + 1 + settling - warm_up)))
            for lane, child in zip(lanes, children, strict=True):
                if lane.ended and turn == warm_up - settling:
                    child.ask(do="add_ended", count=lane.ended, entities=case.entities)
                taken = child.ask(do="turn")
                if turn >= warm_up:
                    lane.turns.append(taken)
        for lane, child in zip(lanes, children, strict=True):
            lane.open = child.ask(do="open_alerts")["open"]
    return lanes


def report(case: Case, lanes: Sequence[Lane]) -> list[str]:
    """A table of the lanes, as lines of text."""
    lines = [f"{case.entities:,} entities x {case.rules} rules = {case.pairs:,} pairs, {case.variant}"]
    header = ("", "wall ms", "CPU ms", *PHASES, "open", "moved", "kB written")
    lines.append("  " + " ".join(f"{name:>{_width(name)}}" for name in header))
    for lane in lanes:
        name = lane.label + (f" +{lane.ended:,} ended" if lane.ended else "")
        values = [
            f"{lane.median('wall_ms'):.1f}",
            f"{lane.median('cpu_ms'):.1f}",
            *(f"{lane.phase(phase):.1f}" for phase in PHASES),
            f"{lane.open:,}",
            f"{lane.mean('transitions'):.1f}",
            f"{lane.mean('written') / 1000:,.0f}",
        ]
        cells = zip(header, (name, *values), strict=True)
        lines.append("  " + " ".join(f"{value:>{_width(column)}}" for column, value in cells))
    for lane, base in comparisons(lanes):
        what = f"{lane.label}, {lane.ended:,} ended alerts to none" if lane.ended else f"{lane.label} to {base.label}"
        lines.append(f"  {what}: wall {lane.ratio(base, 'wall_ms'):.2f}, CPU {lane.ratio(base, 'cpu_ms'):.2f}")
    return lines


def comparisons(lanes: Sequence[Lane]) -> list[tuple[Lane, Lane]]:
    """Which lanes are compared with which: ended alerts with none of the same package, else the last with the first."""
    plain = [lane for lane in lanes if not lane.ended]
    bases = {lane.label: lane for lane in plain}
    packages = [(plain[-1], plain[0])] if len(plain) > 1 else []
    return packages + [(lane, bases[lane.label]) for lane in lanes if lane.ended]


def _width(column: str) -> int:
    return 31 if not column else max(8, len(column))


def cases(sizes: Sequence[str], variants: Sequence[str]) -> list[Case]:
    """Every variant of every size ("1000x50"); `ended` of the first alone, since it costs the same at every size."""
    chosen = []
    for size in sizes:
        entities, _, rules = size.partition("x")
        of_size = [variant for variant in variants if variant != "ended" or size == sizes[0]]
        chosen += [Case(int(entities), int(rules), variant) for variant in of_size]
    return chosen


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), metavar="NxM", help="entities x rules")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--rounds", type=int, default=25, metavar="N", help="polls that are measured (default: 25)")
    parser.add_argument("--warm-up", type=int, default=WARM_UP, metavar="N", help=f"polls before (default: {WARM_UP})")
    parser.add_argument("--ended", type=int, default=ENDED, metavar="N", help=f"ended alerts (default: {ENDED:,})")
    parser.add_argument("--package", type=Path, metavar="DIR", help="an older checkout to measure in the same run")
    parser.add_argument("--label", default="before", help="what to call it in the report (default: before)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to this file")
    parser.add_argument("--logs", default="", metavar="FILE", help="keep the log (default: /dev/null)")
    options = parser.parse_args(argv)
    packages = [(options.label, options.package.resolve())] if options.package else []
    packages.append(("this checkout", HERE))
    print(f"{len(KEYS)} keys an entity, {options.rounds} polls, medians in ms; moved and kB written: mean a poll")
    results = []
    for case in cases(options.sizes, options.variants):
        with tempfile.TemporaryDirectory(prefix="alertbot-poll-") as folder:
            lanes = measure(
                case,
                packages,
                Path(folder),
                rounds=options.rounds,
                warm_up=options.warm_up,
                ended=options.ended,
                logs=options.logs,
            )
        print("\n" + "\n".join(report(case, lanes)), flush=True)
        ratios = [
            {
                "of": lane.label,
                "to": base.label,
                "ended": lane.ended,
                **{name: round(lane.ratio(base, name), 3) for name in ("wall_ms", "cpu_ms")},
            }
            for lane, base in comparisons(lanes)
        ]
        results.append({**vars(case), "lanes": [lane.as_json() for lane in lanes], "ratios": ratios})
    if options.json:
        options.json.write_text(json.dumps({"rounds": options.rounds, "cases": results}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
