"""`policy:` of alertbot.yaml: what a team requires of its rules. Only `alertbot check` warns; all rules run."""

from __future__ import annotations

import collections.abc
from collections.abc import Sequence
from dataclasses import dataclass

from alertbot.rulefiles import document
from alertbot.rulefiles.document import Documents, Files, YamlMapping
from alertbot.rulefiles.faults import Fault, Place, Severity
from alertbot.rulefiles.fields import Report
from alertbot.rulefiles.review import node_of
from alertbot.rules.rule import Level, Rule


@dataclass(frozen=True, slots=True)
class Policy:
    """What every rule must have. The defaults require nothing."""

    runbook: Level | None = None  # from this level on, a rule has a runbook
    labels: tuple[str, ...] = ()  # names of labels
    tests: bool = False  # a rule has a rule test
    max_per_day: float | None = None  # alerts a day in the recording of any tenant, all entities together


@dataclass(frozen=True, slots=True)
class Fired:
    """How often a rule would have fired in the recording of a tenant."""

    tenant: str
    per_day: float
    days: float  # the length of the recording


def review_policy(
    rules: Sequence[Rule],
    files: Files,
    policy: Policy,
    *,
    tested: collections.abc.Set[str] | None = None,
    fired: collections.abc.Mapping[str, Fired] | None = None,
    documents: Documents | None = None,
) -> list[Fault]:
    """A warning for each requirement that a rule does not meet.

    `tested` are the ids of rules that have a test; None: not known, since tests have faults. `fired` has, by id of a
    rule, the tenant for which it would have fired most often; rules that could not be replayed are not in it.
    """
    nodes = document.roots(files, documents)
    warnings: list[Fault] = []
    for rule in rules:
        node = node_of(rule, nodes.get(rule.origin.file))
        report = Report(rule.origin.file, rule.id, severity=Severity.WARNING)
        _review(rule, node, report, policy, tested, (fired or {}).get(rule.id))
        warnings += report.faults
    return warnings


def _review(
    rule: Rule,
    node: YamlMapping | None,
    report: Report,
    policy: Policy,
    tested: collections.abc.Set[str] | None,
    fired: Fired | None,
) -> None:
    highest = max(each.level for each in rule.levels)
    if policy.runbook is not None and highest >= policy.runbook and not rule.runbook:
        message = f"no runbook; policy requires one for {_WHICH[policy.runbook]}"
        report.add(_place(rule, node), message, "add `runbook:` with an https address")
    absent = [name for name in policy.labels if not rule.labels.get(name)]
    for name in absent:
        message = f'no label "{name}"; policy requires it for every rule'
        report.add(_place(rule, node, "labels"), message, f"add `labels: {{{name}: …}}`")
    if policy.tests and tested is not None and rule.id not in tested:
        hint = f"write one in tests/ next to the rules, with `rule: {rule.id}`"
        report.add(_place(rule, node), "no rule test; policy requires one for every rule", hint)
    if policy.max_per_day is not None and fired is not None and fired.per_day > policy.max_per_day:
        message = (
            f"would have fired {fired.per_day:.1f} times a day in the last {fired.days:.1f} days of {fired.tenant}; "
            f"policy allows {policy.max_per_day:g}"
        )
        report.add(
            _place(rule, node),
            message,
            f"alertbot tune {rule.id} proposes a limit that fires less often",
        )


_WHICH = {
    Level.INFO: "every rule",
    Level.WARNING: "warning and critical rules",
    Level.CRITICAL: "critical rules",
}


def _place(rule: Rule, node: YamlMapping | None, key: str = "id") -> Place:
    """The place of a key, else of the rule's id."""
    for name in (key, "id"):
        value = node.get(name) if node is not None else None
        if value is not None:
            return value.place
    return Place(rule.origin.line, 1)
