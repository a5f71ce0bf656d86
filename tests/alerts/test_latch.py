"""Alerts that were closed by hand: when they may fire again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from alertbot.alerts.advance import advance
from alertbot.alerts.alert import Fingerprint
from alertbot.alerts.alerting import Situation
from alertbot.alerts.latch import next_latches
from alertbot.evaluation.evaluate import evaluate_all
from alertbot.rules.catalogue import Scope
from alertbot.rules.match import Match
from alertbot.rules.rule import NoData, Rule, RuleSet
from tests.alerts.kit import NOW, TENANT, WAIT, WAITING, compare, fingerprint, rule, snapshot

LATCHED = fingerprint("q1")
SLOW = rule()
GUARDED = rule(guard=compare(WAITING, ">=", 1))

# waits of q1 (and of q2, which stays above the limit) -> what changes about the latch
CASES: dict[str, tuple[Rule | None, Mapping[str, Any], int, int | None]] = {
    "still above": (SLOW, {"waits": (70_000, 70_000)}, 0, 0),
    "at another level": (SLOW, {"waits": (130_000, 70_000)}, 0, 0),
    "false at every level": (SLOW, {"waits": (10_000, 70_000)}, 0, None),
    "unknown": (SLOW, {"waits": (None, 70_000)}, 0, 0),
    "unknown, which the rule takes for false": (rule(no_data=NoData.CLEAR), {"waits": (None, 70_000)}, 0, 0),
    "unknown, which the rule takes for true": (rule(no_data=NoData.FIRE), {"waits": (None, 70_000)}, 0, 0),
    "the guard decides nothing": (GUARDED, {"waits": (10_000, 70_000), "waiting": (0, 1)}, 0, 0),
    "false with its guard": (GUARDED, {"waits": (10_000, 70_000), "waiting": (1, 1)}, 0, None),
    "absent once": (SLOW, {"waits": (70_000,), "ids": ("q2",)}, 0, 1),
    "absent for the third time": (SLOW, {"waits": (70_000,), "ids": ("q2",)}, 2, None),
    "absent from a partial poll": (SLOW, {"waits": (70_000,), "ids": ("q2",), "complete": False}, 2, 2),
    "back after it was absent": (SLOW, {"waits": (70_000, 70_000)}, 2, 0),
    "no longer covered": (rule(match=Match(names=("Queue 2",))), {"waits": (70_000, 70_000)}, 0, None),
    "its rule is gone": (replace(SLOW, id="another"), {"waits": (70_000, 70_000)}, 0, None),
    "its rule has another scope": (replace(SLOW, scope=Scope.GROUP), {"waits": (70_000, 70_000)}, 0, None),
    "its rule was edited": (rule(title="Edited"), {"waits": (70_000, 70_000)}, 0, 0),
}


def _verdicts(
    of: Rule, waits: Sequence[float | None], waiting: Sequence[float] = (1, 1), **more: Any
) -> tuple[RuleSet, list[Any]]:
    seen = snapshot({WAIT: waits, WAITING: waiting[: len(waits)]}, **more)
    rules = RuleSet((of,))
    return rules, evaluate_all(rules, {seen.scope: seen})


@pytest.mark.parametrize(("of", "poll", "missed", "after"), CASES.values(), ids=CASES)
def test_when_a_latch_is_taken_off(of: Rule, poll: Mapping[str, Any], missed: int, after: int | None) -> None:
    """Only by a condition that was certainly false, or where there is no such alert any more."""
    rules, verdicts = _verdicts(of, **poll)
    assert next_latches({LATCHED: missed}, verdicts, rules) == ({LATCHED: after} if after != missed else {})


def test_nothing_is_known_of_a_scope_that_was_not_fetched() -> None:
    """The latch stays as it is; a rule that is gone takes it off all the same."""
    assert next_latches({LATCHED: 2}, [], RuleSet((SLOW,))) == {}
    assert next_latches({LATCHED: 2}, [], RuleSet()) == {LATCHED: None}


@pytest.mark.parametrize("no_data", NoData)
@pytest.mark.parametrize("wait", [None, 10_000, 70_000, 130_000])
def test_nothing_begins_while_it_is_latched(wait: float | None, no_data: NoData) -> None:
    """Whatever the poll says about it, at any level; the others are not affected."""
    rules, verdicts = _verdicts(rule(no_data=no_data), (wait, 70_000))

    def begun(latched: Mapping[Fingerprint, int]) -> list[Fingerprint]:
        situation = Situation(latched=latched)
        changes = advance([], verdicts, rules, NOW, tenant=TENANT, situation=situation)
        return [change.after.key for change in changes]

    others = [fingerprint("q2")]
    assert begun({LATCHED: 0}) == others
    fires = (wait or 0) > 60_000 or (wait is None and no_data is NoData.FIRE)
    assert begun({}) == ([LATCHED, *others] if fires else others)
