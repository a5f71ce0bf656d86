"""All benchmarks in one run, as a table and as JSON, compared with the results of the last release.

    python -m benchmarks [--only NAME...] [--quick] [--json FILE] [--compare FILE] [--profile]

Each benchmark runs in a process of its own. Where a figure is a time, it is CPU time, and it is compared as a multiple
of the reference: the CPU time of parsing a fixed JSON text, measured in the same run. So results of a slower machine,
or of a busy one, can be compared. What got worse than the kept results by more than its noise is named, and the exit
status is then 1. The results of a release are kept in benchmarks/results/VERSION.json: `--json` writes such a file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from alertbot import __version__
from alertbot.store.sqlite.store import SqliteStore
from benchmarks import cost_growth, memory, poll_cycle, recording, replay, startup, tenants, tune, whole_poll

RESULTS = Path(__file__).parent / "results"
MS, RATIO, BYTES, MIB, SECONDS, CORE, EXPONENT = "ms", "x", "bytes", "MiB", "s", "core", "exponent"
_TIMES = {MS, SECONDS, CORE}
NOISE = {MS: 0.25, SECONDS: 0.25, CORE: 0.25, RATIO: 0.2, BYTES: 0.05, MIB: 0.05}
"""By how much two runs of the same code differ, as a share: seen on two busy cores."""
_NOISE_OF_EXPONENTS = 0.15
"""The same for exponents, which may be 0: by how much, not as a share."""
_MANY = 1000
_GOAL_OF_MANY = 0.4
"""The share of a core that this many tenants, each of 50 queues at 15 s, should take."""
_REFERENCE = json.dumps([{"id": str(row), "values": list(range(row % 50))} for row in range(2000)])


@dataclass(frozen=True)
class Figure:
    """One measured value. `more`: more is better. `goal`: the value that is wanted, at most (or at least)."""

    value: float
    unit: str
    goal: float | None = None
    more: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.more else self.value <= self.goal


Figures = dict[str, Figure]


@dataclass(frozen=True)
class Benchmark:
    """One benchmark: what it is about, and its figures (quickly, or as precise as it gets)."""

    about: str
    run: Callable[[bool], Figures]


def _whole_poll(quick: bool) -> Figures:
    with tempfile.TemporaryDirectory(prefix="alertbot-benchmark-") as folder:
        output = Path(folder) / "figures.json"
        few = ["--sizes", "1000x50", "--variants", "still", "moving", "--rounds", "7", "--cycles", "4"]
        whole_poll.main([*(few if quick else []), "--json", str(output)])
        written = json.loads(output.read_text())
    figures: Figures = {}
    goals = {(row["case"], row["what"]): row["goal"] for row in written["goals"]}
    for case in written["cases"]:
        name = f"{case['entities']}x{case['rules']} {case['variant']}"
        ours = next(lane for lane in case["lanes"] if lane["label"] == whole_poll.OURS and not lane["ended"])
        figures[f"{name}: CPU of a poll"] = Figure(ours["cpu_ms"], MS, goals.get((name, "CPU ms")))
        for ratio in case["ratios"]:
            if ratio["of"] == whole_poll.OURS:
                what = f"to {ratio['to']}" if not ratio["ended"] else f"with {ratio['ended']:,} ended alerts to none"
                key = "times the floor" if not ratio["ended"] else f"{ratio['ended']:,} ended alerts to none"
                figures[f"{name}: {what}"] = Figure(ratio["cpu_ms"], RATIO, goals.get((name, key)))
        if "prometheus" in case:
            ahead = case["prometheus"]["cpu_ms"] / ours["cpu_ms"]
            goal = goals.get((name, f"times ahead of {whole_poll.PROMETHEUS}"))
            figures[f"{name}: ahead of Prometheus"] = Figure(ahead, RATIO, goal, more=True)
        if case["variant"] == "still":
            figures[f"{name}: bytes written"] = Figure(ours["written"], BYTES, goals.get((name, "bytes written")))
    return figures


def _poll_cycle(quick: bool) -> Figures:
    with tempfile.TemporaryDirectory(prefix="alertbot-benchmark-") as folder:
        found = poll_cycle.measure(1000, 5 if quick else 15, 5, Path(folder))
    return {"1,000 agents: a poll to json.loads": Figure(found.ratio, RATIO, poll_cycle.LIMIT)}


def _startup(quick: bool) -> Figures:
    reference, *cases = startup.measure(3 if quick else 15, list(startup.COMMANDS))
    return {
        " ".join(startup.COMMANDS[case.name]): Figure(
            case.median / reference.median, RATIO, startup.GOALS.get(case.name)
        )
        for case in cases
    }


def _memory(quick: bool) -> Figures:
    figures: Figures = {}
    for entities in memory.SIZES[: 1 if quick else None]:
        with tempfile.TemporaryDirectory(prefix="alertbot-benchmark-") as folder:
            found = memory.measure(entities, Path(folder), seconds=15 if quick else 60)
        figures[f"{entities:,} entities"] = Figure(found.rss, MIB, memory.GOALS[entities])
    return figures


def _replay(quick: bool) -> Figures:
    # A part of a week is not the same: there are no callers at night and at weekends.
    count = round((0.25 if quick else 7.0) * 86_400 / replay.EVERY.total_seconds())
    with tempfile.TemporaryDirectory(prefix="alertbot-benchmark-") as folder:
        store = SqliteStore(Path(folder) / "alertbot.db", synchronous="NORMAL", keep_polls=replay.KEEP)
        try:
            replay.record(store, 200, count)
            began = time.process_time()
            replay.measure(store, count)
            took = time.process_time() - began
        finally:
            store.close()
    return {"a week of 200 queues": Figure(took * (replay.WEEK / replay.EVERY) / count, SECONDS, replay.GOAL_S)}


def _recording(quick: bool) -> Figures:
    with tempfile.TemporaryDirectory(prefix="alertbot-benchmark-") as folder:
        found = recording.measure(200, 100 if quick else 400, Path(folder))
    return {"a recorded poll of 200 queues": Figure(found.packed, BYTES)}


def _tune(quick: bool) -> Figures:
    days = 1.05 if quick else 2.0
    with tempfile.TemporaryDirectory(prefix="alertbot-benchmark-") as folder:
        tune.record(Path(folder), 200, days)
        took = tune.measure(Path(folder))
    return {"a week of 200 queues": Figure(took.cpu * 7 / days, SECONDS, tune.LIMIT_S)}


def _cost_growth(quick: bool) -> Figures:
    figures: Figures = {}
    for dimension in cost_growth.DIMENSIONS[: 1 if quick else None]:
        line = cost_growth.measure(dimension, 5 if quick else 15)
        for what, exponent in (("a poll", line.poll), ("a delivery check", line.due)):
            figures[f"{what}, {dimension.name}"] = Figure(exponent, EXPONENT, cost_growth.MAX_GROWTH)
    return figures


def _tenants(quick: bool) -> Figures:
    many = 100 if quick else _MANY
    every, warm_s, wall_s = (5.0, 10.0, 10.0) if quick else (15.0, 90.0, 120.0)
    found = tenants.simulated(many, 50, 0, every=every, warm_s=warm_s, wall_s=wall_s)
    goal = None if quick else _GOAL_OF_MANY
    return {
        f"{many:,} tenants of 50 queues": Figure(found.core, CORE, goal),
        "a poll of them": Figure(1000 * found.cpu_s / max(1, found.polls), MS),
        "memory": Figure(found.rss_mb * 1e6 / 2**20, MIB),
    }


BENCHMARKS = {
    "whole_poll": Benchmark("a whole poll, beside its floor and beside Prometheus", _whole_poll),
    "poll_cycle": Benchmark("a poll without the network", _poll_cycle),
    "startup": Benchmark("commands, as multiples of `import typer, rich`", _startup),
    "memory": Benchmark("the resident set of alertbot run", _memory),
    "replay": Benchmark("recorded polls through the shipped rules", _replay),
    "tune": Benchmark("the limit of the longest wait, from recorded polls", _tune),
    "recording": Benchmark("the recording", _recording),
    "tenants": Benchmark("many tenants in one process, when each was polled a few times", _tenants),
    "cost_growth": Benchmark("how costs grow: 0 is constant, 1 linear", _cost_growth),
}


def reference_ms() -> float:
    """The CPU time of parsing a fixed text: how fast this machine is now."""
    spent = []
    for _ in range(9):
        began = time.process_time()
        for _ in range(5):
            json.loads(_REFERENCE)
        spent.append(1000 * (time.process_time() - began))
    return statistics.median(spent)


def run(name: str, quick: bool) -> tuple[float, Figures]:
    """The reference and the figures of one benchmark, from a process of its own. Raises SystemExit where it fails."""
    command = [sys.executable, "-m", "benchmarks", "--child", name, *(["--quick"] if quick else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1], env={**os.environ})
    if done.returncode:
        raise SystemExit(f"{name} ended with status {done.returncode}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["reference_ms"], {key: Figure(**each) for key, each in answer["figures"].items()}


def table(results: Mapping[str, Figures]) -> Iterator[str]:
    """Each figure with its goal, as lines of text."""
    for name, figures in results.items():
        yield f"{name}: {BENCHMARKS[name].about}"
        for what, each in figures.items():
            word = {True: "met", False: "missed", None: ""}[each.met]
            goal = "" if each.goal is None else f"{'at least' if each.more else 'at most'} {each.goal:,g}"
            yield f"  {what:<44} {each.value:>12,.2f} {each.unit:<6} {goal:<18} {word}".rstrip()


def worse(
    now: Mapping[str, Figures], reference: float, before: Mapping[str, Figures], reference_before: float
) -> list[str]:
    """What is worse than before by more than its noise, in sentences. Only figures that both have are compared.

    Times are multiples of the reference of their run.
    """
    found = []
    for name, figures in now.items():
        for what, each in figures.items():
            old = before.get(name, {}).get(what)
            if old is None:
                continue
            if each.unit == EXPONENT:
                if each.value > old.value + _NOISE_OF_EXPONENTS:
                    found.append(f"{name}, {what}: exponent {old.value:.2f} before, {each.value:.2f} now")
                continue
            if not old.value or not each.value:
                continue
            change = each.value / old.value
            if each.unit in _TIMES:
                change /= reference / reference_before
            if each.more:
                change = 1 / change
            if change > 1 + NOISE[each.unit]:
                found.append(f"{name}, {what}: {old.value:,.2f} before, {each.value:,.2f} now ({change - 1:+.0%})")
    return found


def written(results: Mapping[str, Figures], reference: float) -> str:
    """The results as they are kept."""
    values = {name: {what: asdict(each) for what, each in figures.items()} for name, figures in results.items()}
    return json.dumps({"version": __version__, "reference_ms": round(reference, 3), "results": values}, indent=2) + "\n"


def read(path: Path) -> tuple[dict[str, Figures], float]:
    """Kept results, and their reference. Raises SystemExit where the file holds none."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        results = {
            name: {what: Figure(**each) for what, each in figures.items()} for name, figures in kept["results"].items()
        }
        return results, float(kept["reference_ms"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"{path}: no results of benchmarks: {error}") from None


def last_release() -> Path | None:
    """The newest file in benchmarks/results, by version."""
    files = sorted(RESULTS.glob("*.json"), key=lambda path: [int(part) for part in path.stem.split(".")])
    return files[-1] if files else None


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds; not compared with a release")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to this file")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="with these results, not the last release's")
    parser.add_argument(
        "--profile", action="store_true", help="print where the CPU time of a poll goes, and nothing else"
    )
    parser.add_argument("--child", choices=BENCHMARKS, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        reference, figures = reference_ms(), BENCHMARKS[options.child].run(options.quick)
        answer = {"reference_ms": reference, "figures": {key: asdict(each) for key, each in figures.items()}}
        print(json.dumps(answer))
        return 0
    if options.profile:
        chosen = ["--sizes", "1000x50", "--variants", "still", "moving", "every", "--no-prometheus", "--profile", "40"]
        return whole_poll.main([*chosen, *(["--rounds", "3", "--warm-up", "25"] if options.quick else [])])
    results: dict[str, Figures] = {}
    references = []
    for name in options.only:
        print(f"{name} …", file=sys.stderr, flush=True)
        reference, results[name] = run(name, options.quick)
        references.append(reference)
    reference = statistics.median(references)
    print("\n".join(table(results)))
    if options.json:
        options.json.write_text(written(results, reference), encoding="utf-8")
    kept = options.compare or (None if options.quick else last_release())
    if kept is None:
        print("Not compared: quick results differ." if options.quick else "There are no results of a release yet.")
        return 0
    found = worse(results, reference, *read(kept))
    print("\n".join([f"Worse than {kept.stem}:", *found] if found else [f"Nothing is worse than {kept.stem}."]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
