"""`test`: runs rule tests from disk through the live code path."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from alertbot.alerts.cards import Card
from alertbot.backtest.trial import RuleTestResult, run_rule_test
from alertbot.cli.junit import write_junit
from alertbot.cli.shell import PROBLEM, Config
from alertbot.cli.show import out, show_faults
from alertbot.cli.suites import Suite, find_suites, lent_settings, load_lent, read_tests, rule_roots
from alertbot.cli.timeline import FLAG, draw_failure
from alertbot.config.settings import Settings
from alertbot.errors import FaultsFound
from alertbot.notify.notifier import CardContent
from alertbot.notify.pens import PlainPen
from alertbot.notify.render import Templates
from alertbot.rulefiles.faults import Fault
from alertbot.rulefiles.parse_tests import parse_tests
from alertbot.rulefiles.rule_test import RuleTest
from alertbot.rules.rule import Rule
from alertbot.rules.words import count
from alertbot.service.of_settings import alerting_of

CHANNEL = "#cc-alerts"  # where no alertbot.yaml sets the default channel


def run_tests(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[PATH…]", help="Test files, rule files, or folders.")
    ] = None,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Also write JUnit XML, for CI.")] = None,
    config: Config = None,
) -> None:
    """Run rule tests: series in, expected alerts and notices out, through the same code as live polls."""
    settings = lent_settings(config, needed=not paths)
    suites, faults = find_suites(paths or rule_roots(settings), rule_roots(settings))
    outcomes: list[RuleTestResult] = []
    for suite in suites:
        try:
            outcomes += run_suite(suite, settings)
        except FaultsFound as found:
            faults += found.faults
    faults = sorted(set(faults))
    for outcome in outcomes:
        if not outcome.passed:
            for line in draw_failure(outcome):
                style = "bold red" if line.startswith("FAILED") else "red" if line.lstrip().startswith(FLAG) else ""
                out.print(line, markup=False, style=style, soft_wrap=True)
            out.print()
    if junit is not None:
        write_junit(junit, outcomes, faults)
    if faults:
        show_faults(faults)
    failed = sum(not outcome.passed for outcome in outcomes)
    if failed:
        out.print(f"{failed} of {len(outcomes)} rule tests failed", style="bold red")
    elif outcomes or not faults:
        out.print(f"{count(len(outcomes), 'rule test')} passed", style="bold green")
    if failed or faults:
        raise typer.Exit(PROBLEM)


def run_suite(suite: Suite, settings: Settings | None) -> list[RuleTestResult]:
    """Run all tests of a suite. Raises FaultsFound when there are faults in the rules or the tests."""
    rules = load_lent(suite.rules, settings)
    faults: list[Fault] = []
    files = read_tests(suite.files, faults)
    tests: tuple[RuleTest, ...] = ()
    try:
        tests = parse_tests(files, rules)
    except FaultsFound as found:
        faults += found.faults
    if faults:
        raise FaultsFound(faults)
    if suite.only is not None:
        wanted = {rule.id for rule in rules.rules if Path(rule.origin.file) == suite.only}
        tests = tuple(test for test in tests if test.rule in wanted)
    channel = settings.slack.default_channel if settings is not None else CHANNEL
    draw = partial(draw_card, Templates(suite.templates), settings.timezone if settings is not None else "UTC")
    alerting = alerting_of(settings, settings.tenants[0]) if settings is not None else None
    return [run_rule_test(test, rules, default_channel=channel, alerting=alerting, draw=draw) for test in tests]


def draw_card(templates: Templates, timezone: str, rule: Rule, card: Card, now: datetime) -> str:
    """A card as plain text, in which rule tests search for words."""
    view = CardContent(card.members, now, timezone=timezone, silence=card.silence)
    view = replace(view, mention=rule.mention.get(view.alert.level, ()))
    drawn = templates.card(view, PlainPen())
    if drawn.fault is not None:
        return f"a template that cannot be rendered: {drawn.fault}"
    fields = [f"{label}: {value}" if label else value for label, value in drawn.fields]
    return "\n".join([drawn.title, *drawn.body, *drawn.rows, *drawn.mention, *fields, *drawn.context])
