"""How long commands take to start: CPU time of whole processes, as ratios to `python -c "import typer, rich"`.

`python -m benchmarks.startup`. Each round runs every case once, in the order of the table, so that a busy machine slows
all of them; the medians are divided by that of the import. With `--package DIR` the same commands of another checkout
are run in the same rounds, with the same dependencies.

Each checkout is compiled before, as pip does where it installs: PYTHONDONTWRITEBYTECODE is often set in containers, and
then every start of a checkout would compile all of it.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from alertbot.cli.init import shipped_rules, write_files
from alertbot.config.load import load
from alertbot.service.databases import open_store
from alertbot.service.live_rules import LiveRules
from alertbot.service.of_settings import parser as parser_of
from alertbot.service.of_settings import rule_paths

ROOT = Path(__file__).parent.parent
REFERENCE = "import typer, rich"
COMMANDS: dict[str, tuple[str, ...]] = {
    "help": ("--help",),
    "check": ("check", "rules/"),
    "status": ("ask", "status"),
    "ask": ("ask", "help"),
    "metrics": ("metrics", "wait"),
    "run": ("run", "--help"),
}
GOALS = {"help": 3.3, "check": 6.7, "status": 4.6}
"""The largest ratio that is wanted."""
ENFORCED = {"help"}
"""Those that exit with 1 where they miss their goal."""


@dataclass
class Case:
    """One command line, with the CPU seconds of each of its runs."""

    name: str
    argv: Sequence[str]
    package: Path
    seconds: list[float] = field(default_factory=list)

    def run(self, folder: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(self.package), "ALERTBOT_CONFIG": "alertbot.yaml"}
        process = subprocess.Popen(
            [sys.executable, *self.argv],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        said = process.stderr.read()
        process.stderr.close()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{self.name} failed: {said.decode(errors='replace')}")
        self.seconds.append(used.ru_utime + used.ru_stime)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def prepare(folder: Path) -> None:
    """Fill a folder as `alertbot init` does, with all shipped rules, and a database in which they run."""
    write_files(folder)
    rules = shipped_rules()
    for path in sorted(rules.rglob("*.yaml")):
        copy = folder / "rules" / path.relative_to(rules)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    settings = load(folder / "alertbot.yaml", secrets=False)
    live = LiveRules(rule_paths(settings), parser_of(settings))
    store = open_store(settings)
    try:
        live.begin(store, lambda *_: None, datetime.now(UTC))
    finally:
        store.close()


def compiled(package: Path) -> None:
    """Write the byte code of a checkout beside its files, as pip does."""
    if not compileall.compile_dir(package / "alertbot", quiet=1):
        raise RuntimeError(f"{package} could not be compiled")


def measure(rounds: int, names: Sequence[str], packages: Sequence[Path] = (ROOT,)) -> list[Case]:
    """The reference, and these commands of each package, run `rounds` times in turn after one round that warms up."""
    cases = [Case(REFERENCE, ("-c", REFERENCE), ROOT)]
    cases += [Case(name, ("-m", "alertbot", *COMMANDS[name]), package) for name in names for package in packages]
    for package in packages:
        compiled(package)
    with tempfile.TemporaryDirectory() as path:
        prepare(Path(path))
        for _ in range(1 + rounds):
            for case in cases:
                case.run(Path(path))
    for case in cases:
        del case.seconds[0]
    return cases


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--rounds", type=int, default=21)
    arguments.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    arguments.add_argument("--package", type=Path, help="another checkout, measured in the same rounds")
    arguments.add_argument("--json", type=Path, metavar="FILE")
    chosen = arguments.parse_args()
    packages = [*([chosen.package.resolve()] if chosen.package else []), ROOT]
    cases = measure(chosen.rounds, chosen.commands, packages)
    reference = cases[0].median
    print(f"{'command':<20} {'CPU ms':>7} {'ratio':>6} {'goal':>5}  checkout")
    missed = False
    for case in cases:
        ratio = case.median / reference
        goal = GOALS.get(case.name)
        words = " ".join(COMMANDS.get(case.name, (case.name,)))
        print(f"{words:<20} {case.median * 1e3:>7.0f} {ratio:>6.2f} {goal or '':>5}  {case.package.name}")
        missed |= case.package == ROOT and case.name in ENFORCED and goal is not None and ratio > goal
    if chosen.json:
        rows = [{"command": case.name, "package": str(case.package), "cpu_s": case.seconds} for case in cases]
        chosen.json.write_text(json.dumps(rows, indent=2), encoding="utf-8")
    if missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
