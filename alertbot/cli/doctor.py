"""`doctor`: tries everything that the configuration names, and says what to do about each finding."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Annotated

import typer
from rich.status import Status

from alertbot import logs
from alertbot.cli.shell import PROBLEM, AsJson, Config
from alertbot.cli.show import err, print_json, say
from alertbot.clock import wall_clock
from alertbot.config.load import config_path, load
from alertbot.doctor.examine import examine
from alertbot.doctor.finding import Finding, Verdict
from alertbot.rules.plain import one_line
from alertbot.rules.words import count

_MARKS = {Verdict.OK: "ok", Verdict.NOTE: "note", Verdict.PROBLEM: "PROBLEM", Verdict.SKIPPED: "skipped"}
_STYLES = {Verdict.OK: "green", Verdict.NOTE: "cyan", Verdict.PROBLEM: "bold red", Verdict.SKIPPED: "yellow"}


def doctor(
    config: Config = None,
    as_json: AsJson = False,
    regions: Annotated[
        bool, typer.Option("--regions", help="Also try the other regions of 8x8 with the same key.")
    ] = False,
) -> None:
    """Test everything that the configuration names, without posting anything; each problem comes with a remedy."""
    path = config_path(config)
    settings = load(path, secrets=False)
    logs.configure(settings.secrets(), quiet=True)
    status = Status("", console=err.console) if err.is_terminal else None
    found: list[Finding] = []

    def progress(step: str) -> None:
        if status is not None:
            status.update(one_line(step))

    secrets = settings.secrets()
    with status or nullcontext():
        for each in examine(path, settings, wall_clock(), regions=regions, sleep=time.sleep, progress=progress):
            what, said, remedy = logs.redact([each.what, each.finding, each.remedy], secrets)
            finding = Finding(what, each.verdict, said, remedy)
            found.append(finding)
            if not as_json:
                _show(finding)
    problems = sum(each.verdict is Verdict.PROBLEM for each in found)
    if as_json:
        print_json(
            [
                {
                    "what": each.what,
                    "ok": each.ok,
                    "finding": each.finding,
                    "remedy": each.remedy,
                    "verdict": str(each.verdict),
                }
                for each in found
            ]
        )
    else:
        skipped = sum(each.verdict is Verdict.SKIPPED for each in found)
        more = f", {skipped} not checked" if skipped else ""
        say(f"{count(len(found), 'finding')}: {count(problems, 'problem') if problems else 'no problems'}{more}")
    if problems:
        raise typer.Exit(PROBLEM)


def _show(finding: Finding) -> None:
    say(f"{_MARKS[finding.verdict]:<8} {finding.what}: {finding.finding}", style=_STYLES[finding.verdict])
    if finding.remedy:
        say(f"         -> {finding.remedy}")
