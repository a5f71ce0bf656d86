"""What a poll costs through the whole of a turn, as the service takes it, beside the least it could cost.

    python -m benchmarks.whole_poll
    python -m benchmarks.whole_poll --package ../older-checkout
    python -m benchmarks.whole_poll --sizes 1000x50 --variants still --profile

HTTP on loopback, decoding, feed health, evaluation, the alerts, the decisions, one transaction in a real SQLite file
with synchronous=FULL and the recording, and the log as JSON to /dev/null. The pages are made in advance and served by
another process. Nothing is delivered: the cards wait. `poll_cycle` measures the same without HTTP, feed health and
logs, and with few alerts.

Every poll is also taken by the floor, a minimal program that does what any such bot must (floor.py). With `--package`
an older checkout is measured in the same run. All take each poll, one after the other, so that a busy machine slows
all of them. Ratios are taken poll by poll. Where Prometheus is installed, its CPU time for a scrape and an evaluation
of the same rules is measured afterwards (prometheus.py). The report ends with the goals beside the measured figures.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import prometheus
from benchmarks.poll_cycle import KEYS, rules_text
from benchmarks.rule_values import rule_values
from benchmarks.turns import PHASES

HERE = Path(__file__).resolve().parents[1]
SIZES = ("1000x50", "1000x200", "10000x50")
SMALL = "50x50"  # measured as well where nothing moves: what is written must not depend on the size
VARIANTS = ("moving", "still", "every", "all", "ended")
EVERY_SIZE = {"moving", "still"}  # the other variants are measured with the first size
ENDED = 1_000_000
WARM_UP = 45  # polls: windows of ten minutes are full, every alert fires
SETTLING = 5  # the last polls of the warm-up, in which values move already
FEW = 25  # at most this many polls before those of `all`: its polls are long
FLOOR, PROMETHEUS = "floor", "Prometheus"
OURS = "this checkout"
SAME_COST = 1.1  # "equal": ratios of two runs of the same code differ by less


@dataclass(frozen=True)
class Goal:
    """What is wanted of one size and variant: the most CPU ms, times the floor, and times behind Prometheus."""

    cpu_ms: float
    floor: float | None = None
    ahead: float | None = None


GOALS = {
    ("1000x50", "still"): Goal(7, floor=2),
    ("1000x50", "moving"): Goal(15, floor=3, ahead=15),
    ("1000x200", "moving"): Goal(27, floor=3, ahead=40),
    ("10000x50", "moving"): Goal(120, floor=4, ahead=20),
    ("1000x50", "every"): Goal(30),
    ("1000x50", "all"): Goal(50),
}
STILL_BYTES = 16_500  # four frames of the WAL


@dataclass(frozen=True)
class Case:
    """What is measured: the size, and what the polls bring.

    `moving`: 5 % of the values change in a poll. `still`: every poll brings the same bytes. `every`: every value
    changes. `all`: every pair of a rule and an entity fires, and nothing changes. `ended`: as `moving`, once with and
    once without many ended alerts in the database.
    """

    entities: int
    rules: int
    variant: str = "moving"

    @property
    def pairs(self) -> int:
        return self.entities * self.rules

    @property
    def size(self) -> str:
        return f"{self.entities}x{self.rules}"

    @property
    def moves(self) -> bool:
        return self.variant not in ("still", "all")


@dataclass
class Lane:
    """One process that takes every poll, and what its turns cost."""

    label: str
    package: Path
    ended: int = 0
    script: str = "turns.py"
    turns: list[dict[str, Any]] = field(default_factory=list)
    open: int = 0  # alerts that fire or recover, at the end
    profile: list[dict[str, Any]] = field(default_factory=list)

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

    @property
    def of_bot(self) -> bool:
        return self.label != FLOOR

    @property
    def written(self) -> float:
        """Bytes passed to write() in a poll, log lines and polls with a checkpoint excluded: the mean."""
        plain = [turn["written"] for turn in self.turns if not turn["checkpoint"]]
        return statistics.fmean(plain or [turn["written"] for turn in self.turns])

    def as_json(self) -> dict[str, Any]:
        names: tuple[str, ...] = ("wall_ms", "cpu_ms")
        values: dict[str, Any] = {"label": self.label, "ended": self.ended, "open": self.open}
        values |= {name: round(self.median(name), 2) for name in names}
        if self.of_bot:
            values["phases_ms"] = {name: round(self.phase(name), 2) for name in PHASES}
            values |= {name: round(self.mean(name), 1) for name in ("transitions", "notices", "to_disk")}
            values["written"] = round(self.written, 1)
            values["checkpoints"] = sum(turn["checkpoint"] for turn in self.turns)
            names += ("written",)
        values["turns"] = [{name: round(turn[name], 2) for name in names} for turn in self.turns]
        if self.profile:
            values["profile"] = self.profile
        return values


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
    floor: bool = True,
    profile: int = 0,
) -> list[Lane]:
    """Take `warm_up` polls unmeasured, then `rounds` measured ones, each in every lane before the next.

    A lane a package, then one for the floor; in the variant `ended` two a package, the second with `ended` alerts that
    ended. Afterwards the last package takes `profile` polls while a profiler looks. Raises SystemExit where a poll
    fails.
    """
    lanes = [Lane(label, package) for label, package in packages]
    if case.variant == "ended":
        lanes = [each for lane in lanes for each in (lane, Lane(lane.label, lane.package, ended))]
    elif floor:
        lanes.append(Lane(FLOOR, HERE, script="floor.py"))
    rules = folder / "rules.yaml"
    rules.write_text(rules_text(case.rules))
    settling = min(SETTLING, warm_up)
    count = 1 + settling + rounds + profile if case.moves else 1
    with ExitStack() as stack:
        pages = stack.enter_context(
            Child(["-m", "benchmarks.pages", str(case.entities), str(count), case.variant], HERE)
        )
        url = pages.read()["url"]
        children: list[Child] = []
        for number, lane in enumerate(lanes):
            own = folder / str(number)
            own.mkdir()
            # -P: the folder of the script is not on the path, so alertbot comes from the package.
            child = stack.enter_context(Child(["-P", str(HERE / "benchmarks" / lane.script)], lane.package))
            if lane.of_bot:
                child.ask(package=str(lane.package), folder=str(own), rules=str(rules), url=url, logs=logs)
            else:
                child.ask(folder=str(own), url=url, keys=KEYS, rules=rule_values(case.rules))
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
        ours, number = max((lane.of_bot, number) for number, lane in enumerate(lanes))
        for turn in range(profile if ours else 0):
            pages.ask(poll=min(count - 1, 1 + settling + rounds + turn))
            lanes[number].profile = children[number].ask(do="profile")["profile"]
    return lanes


def report(case: Case, lanes: Sequence[Lane], cycles: prometheus.Cycles | None = None) -> list[str]:
    """A table of the lanes, as lines of text."""
    lines = [f"{case.entities:,} entities x {case.rules} rules = {case.pairs:,} pairs, {case.variant}"]
    header = ("", "wall ms", "CPU ms", *PHASES, "open", "moved", "kB written")
    lines.append("  " + " ".join(f"{name:>{_width(name)}}" for name in header))
    for lane in lanes:
        name = lane.label + (f" +{lane.ended:,} ended" if lane.ended else "")
        values = [f"{lane.median('wall_ms'):.1f}", f"{lane.median('cpu_ms'):.1f}"]
        values += [f"{lane.phase(phase):.1f}" if lane.of_bot else "" for phase in PHASES]
        values += [f"{lane.open:,}", f"{lane.mean('transitions'):.1f}"]
        values += [f"{lane.written / 1000:,.1f}" if lane.of_bot else ""]
        cells = zip(header, (name, *values), strict=True)
        lines.append("  " + " ".join(f"{value:>{_width(column)}}" for column, value in cells))
    if cycles is not None:
        cpu = f"{cycles.median_ms:.1f}"
        lines.append(f"  {PROMETHEUS:>{_width('')}} {'':>8} {cpu:>8}   a cycle, {cycles.firing:,} alerts fire")
    for lane, base in comparisons(lanes):
        what = f"{lane.label}, {lane.ended:,} ended alerts to none" if lane.ended else f"{lane.label} to {base.label}"
        lines.append(f"  {what}: wall {lane.ratio(base, 'wall_ms'):.2f}, CPU {lane.ratio(base, 'cpu_ms'):.2f}")
    if cycles is not None:
        lines += [
            f"  {lane.label} is {cycles.median_ms / lane.median('cpu_ms'):.1f} x ahead of {PROMETHEUS}"
            for lane in lanes
            if lane.of_bot
        ]
    for lane in lanes:
        if lane.profile:
            lines.append("  where the CPU time goes: share, ms a poll, function, what it does")
        lines += [f"  {row['share']:>6.1%} {row['ms']:>8.2f}  {row['function']}: {row['what']}" for row in lane.profile]
    return lines


def comparisons(lanes: Sequence[Lane]) -> list[tuple[Lane, Lane]]:
    """Which lanes are compared: the last package with the first, each with the floor, ended alerts with none."""
    plain = [lane for lane in lanes if not lane.ended and lane.of_bot]
    bases = {lane.label: lane for lane in plain}
    packages = [(plain[-1], plain[0])] if len(plain) > 1 else []
    floors = [(lane, floor) for floor in lanes if not floor.of_bot for lane in plain]
    return packages + floors + [(lane, bases[lane.label]) for lane in lanes if lane.ended]


def goals(case: Case, lanes: Sequence[Lane], cycles: prometheus.Cycles | None) -> list[dict[str, Any]]:
    """Each goal of a case beside what was measured of this checkout; `met` is None where it was not measured."""
    ours = next((lane for lane in lanes if lane.label == OURS and not lane.ended), None)
    if ours is None:
        return []
    floor = next((lane for lane in lanes if not lane.of_bot), None)
    rows: list[tuple[str, float | None, float, bool]] = []  # what, measured, goal, whether more is better
    goal = GOALS.get((case.size, case.variant))
    if goal:
        rows.append(("CPU ms", ours.median("cpu_ms"), goal.cpu_ms, False))
        if goal.floor:
            rows.append(("times the floor", ours.ratio(floor, "cpu_ms") if floor else None, goal.floor, False))
        if goal.ahead:
            ahead = cycles.median_ms / ours.median("cpu_ms") if cycles else None
            rows.append((f"times ahead of {PROMETHEUS}", ahead, goal.ahead, True))
    if case.variant == "still":
        rows.append(("bytes written", ours.written, STILL_BYTES, False))
    rows += [
        (f"{lane.ended:,} ended alerts to none", lane.ratio(ours, "cpu_ms"), SAME_COST, False)
        for lane in lanes
        if lane.ended and lane.label == OURS
    ]
    return [
        {
            "case": f"{case.size} {case.variant}",
            "what": what,
            "measured": None if measured is None else round(measured, 2),
            "goal": wanted,
            "met": None if measured is None else measured >= wanted if more else measured <= wanted,
        }
        for what, measured, wanted, more in rows
    ]


def goal_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Goals beside what was measured, as lines of text."""
    lines = [f"{'case':<18} {'what':<34} {'measured':>10} {'goal':>10}"]
    for row in rows:
        measured = "" if row["measured"] is None else f"{row['measured']:,.1f}"
        said = {True: "met", False: "missed", None: "not measured"}[row["met"]]
        lines.append(f"{row['case']:<18} {row['what']:<34} {measured:>10} {row['goal']:>10,g} {said}")
    return lines


def _width(column: str) -> int:
    return 31 if not column else max(8, len(column))


def cases(sizes: Sequence[str], variants: Sequence[str]) -> list[Case]:
    """`moving` and `still` of every size ("1000x50"), and the others of the first; `still` of a small one too.

    The small one is left out where sizes are chosen.
    """
    chosen = []
    for size in (*sizes, *([SMALL] if tuple(sizes) == SIZES else [])):
        entities, _, rules = size.partition("x")
        wanted = ["still"] if size == SMALL and tuple(sizes) == SIZES else [*variants]
        of_size = [each for each in wanted if each in variants and (each in EVERY_SIZE or size == sizes[0])]
        chosen += [Case(int(entities), int(rules), variant) for variant in of_size]
    return chosen


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), metavar="NxM", help="entities x rules")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--rounds", type=int, default=25, metavar="N", help="polls that are measured (default: 25)")
    parser.add_argument("--warm-up", type=int, default=WARM_UP, metavar="N", help=f"polls before (default: {WARM_UP})")
    parser.add_argument("--ended", type=int, default=ENDED, metavar="N", help=f"ended alerts (default: {ENDED:,})")
    parser.add_argument("--package", type=Path, metavar="DIR", help="an older checkout to measure in the same run")
    parser.add_argument("--label", default="before", help="what to call it in the report (default: before)")
    parser.add_argument("--no-floor", action="store_true", help="leave out the minimal program")
    parser.add_argument("--no-prometheus", action="store_true", help="leave out Prometheus")
    parser.add_argument("--prometheus", type=Path, default=prometheus.DEFAULT, metavar="FILE", help="its binary")
    parser.add_argument("--cycles", type=int, default=8, metavar="N", help="cycles of Prometheus (default: 8)")
    parser.add_argument(
        "--profile", nargs="?", type=int, const=25, default=0, metavar="N", help="profile N more polls (default: 25)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to this file")
    parser.add_argument("--logs", default="", metavar="FILE", help="keep the log (default: /dev/null)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    packages = [(options.label, options.package.resolve())] if options.package else []
    packages.append((OURS, HERE))
    skipped = "not wanted" if options.no_prometheus else prometheus.missing(options.prometheus)
    print(f"{len(KEYS)} keys an entity, {options.rounds} polls, medians in ms; moved and kB written: mean a poll")
    if skipped:
        print(f"{PROMETHEUS} is not measured: {skipped}")
    results, reached = [], []
    for case in cases(options.sizes, options.variants):
        with tempfile.TemporaryDirectory(prefix="alertbot-poll-") as folder:
            lanes = measure(
                case,
                packages,
                Path(folder),
                rounds=options.rounds,
                warm_up=min(options.warm_up, FEW) if case.variant == "all" else options.warm_up,
                ended=options.ended,
                logs=options.logs,
                floor=not options.no_floor,
                profile=options.profile,
            )
        cycles = None
        if case.variant == "moving" and not skipped:
            with tempfile.TemporaryDirectory(prefix="alertbot-prometheus-") as folder:
                cycles = prometheus.measure(
                    case.entities,
                    case.rules,
                    case.variant,
                    Path(folder),
                    cycles=options.cycles,
                    binary=options.prometheus,
                )
        print("\n" + "\n".join(report(case, lanes, cycles)), flush=True)
        ratios = [
            {
                "of": lane.label,
                "to": base.label,
                "ended": lane.ended,
                **{name: round(lane.ratio(base, name), 3) for name in ("wall_ms", "cpu_ms")},
            }
            for lane, base in comparisons(lanes)
        ]
        reached += goals(case, lanes, cycles)
        result = {**vars(case), "lanes": [lane.as_json() for lane in lanes], "ratios": ratios}
        if cycles is not None:
            result["prometheus"] = {"cpu_ms": cycles.median_ms, "cycles_ms": cycles.cpu_ms, "firing": cycles.firing}
        results.append(result)
    if reached:
        print("\n" + "\n".join(goal_table(reached)))
    if options.json:
        options.json.write_text(
            json.dumps(
                {"rounds": options.rounds, "prometheus": skipped or "measured", "goals": reached, "cases": results},
                indent=2,
            )
            + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
