"""`policy:`: what a team requires of its rules, and where each unmet requirement is reported."""

from __future__ import annotations

import pytest

from alertbot.rulefiles.faults import Severity
from alertbot.rulefiles.parse_rules import read_files
from alertbot.rulefiles.policy import Fired, Policy, review_policy
from alertbot.rules.rule import Level

FILE = "rules/queues.yaml"
TEXT = """\
rules:
  - id: waits
    title: Longest wait
    scope: queue
    warning: {when: interactionsLongestWaitInQueue.rt > 60s}
    critical: {when: interactionsLongestWaitInQueue.rt > 120s}
    labels: {desk: a}
  - id: nobody
    title: Nobody
    scope: queue
    when: enabled.rt == 0
    runbook: https://wiki.example/nobody
    labels: {team: sales, owner: kim}
"""
OFTEN = {"waits": Fired("acme", 20.5, 7.0), "nobody": Fired("acme", 20.0, 7.0)}

CASES: dict[str, tuple[Policy, list[str]]] = {
    "nothing is required": (Policy(), []),
    "a runbook of critical rules": (
        Policy(runbook=Level.CRITICAL),
        ["2:9: waits: no runbook; policy requires one for critical rules"],
    ),
    "a runbook of all": (Policy(runbook=Level.INFO), ["2:9: waits: no runbook; policy requires one for every rule"]),
    "a label": (
        Policy(labels=("team",)),
        ['7:13: waits: no label "team"; policy requires it for every rule'],
    ),
    "each label": (
        Policy(labels=("team", "cost")),
        [
            '7:13: waits: no label "cost"; policy requires it for every rule',
            '7:13: waits: no label "team"; policy requires it for every rule',
            '13:13: nobody: no label "cost"; policy requires it for every rule',
        ],
    ),
    "tests": (Policy(tests=True), ["8:9: nobody: no rule test; policy requires one for every rule"]),
    "more often than allowed, not as often": (
        Policy(max_per_day=20),
        ["2:9: waits: would have fired 20.5 times a day in the last 7.0 days of acme; policy allows 20"],
    ),
}


@pytest.mark.parametrize(("policy", "expected"), CASES.values(), ids=CASES)
def test_what_is_not_met(policy: Policy, expected: list[str]) -> None:
    rules = read_files({FILE: TEXT.encode()}).rules.rules
    faults = sorted(review_policy(rules, {FILE: TEXT}, policy, tested={"waits"}, fired=OFTEN))
    assert [f"{each.line}:{each.column}: {each.rule}: {each.message}" for each in faults] == expected
    assert {each.severity for each in faults} <= {Severity.WARNING}
    assert all(each.hint for each in faults)


def test_tests_that_cannot_be_read_are_not_judged() -> None:
    """Their own faults are reported; which rules they test is not known."""
    rules = read_files({FILE: TEXT.encode()}).rules.rules
    assert review_policy(rules, {FILE: TEXT}, Policy(tests=True), tested=None) == []
