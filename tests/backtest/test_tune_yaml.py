"""The YAML to paste: it changes what it says and nothing else, however the rule is written."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alertbot.backtest.limits import choose, tunable
from alertbot.backtest.tune_yaml import OverrideFor, applied, proposal, written
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rules.rule import Rule
from alertbot.rules.tree import show

EVERY = timedelta(seconds=15)
WAIT = "interactionsLongestWaitInQueue.rt"
STYLES = {  # a file, the value, and the lines to paste
    "short form": (
        f"rules:\n  - {{id: tuned, scope: queue, when: {WAIT} > 1m}}\n",
        90e3,
        [f"when: {WAIT} > 1m30s"],
    ),
    "a comment and quotes": (
        f"# a\nrules:\n  - id: tuned  # b\n    scope: queue\n    when: '{WAIT} > 1m and enabled.rt > 0'  # !\n",
        90e3,
        [f"when: {WAIT} > 1m30s and enabled.rt > 0"],
    ),
    "a folded condition": (
        f"rules:\n  - id: tuned\n    scope: queue\n    when: >-\n      {WAIT} > 1m\n      and enabled.rt > 0\n",
        90e3,
        [f"when: {WAIT} > 1m30s and enabled.rt > 0"],
    ),
    "a level block keeps its other keys": (
        f"rules:\n  - id: tuned\n    scope: queue\n    critical:\n      when: {WAIT} > 1m\n      for: 30s\n",
        90e3,
        ["critical:", f"  when: {WAIT} > 1m30s", "  for: 30s"],
    ),
    "parameters": (
        f"rules:\n  - id: tuned\n    scope: queue\n    params: {{warn: 1m, calm: 45s}}\n    when: {WAIT} > $warn\n"
        f"    clear: {WAIT} < $calm\n",
        90e3,
        ["params: {warn: 1m30s, calm: 45s}"],
    ),
    "anchors": (
        f"x-when: &wait '{WAIT} > $warn'\nx-params: &params {{warn: 1m}}\n"
        "rules:\n  - {id: other, scope: queue, params: *params, when: *wait}\n"
        "  - {id: tuned, scope: queue, params: *params, when: *wait}\n",
        90e3,
        ["params: {warn: 1m30s}"],
    ),
    "a ratio": (
        "rules:\n  - {id: tuned, scope: queue, when: slaPercentage.int-30m < 80%}\n",
        0.72,
        ["when: slaPercentage.int-30m < 72%"],
    ),
    "a factor": (
        "rules:\n  - {id: tuned, scope: queue, when: interactionsWaitInQueue.rt > 2 * eligible.rt}\n",
        2.5,
        ["when: interactionsWaitInQueue.rt > 2.5 * eligible.rt"],
    ),
}


def rule_of(content: str) -> Rule:
    found = parse_files({"rules.yaml": content}, {}, EVERY).by_id("tuned")
    assert found is not None
    return found


@pytest.mark.parametrize(("content", "value", "lines"), STYLES.values(), ids=STYLES)
def test_what_is_pasted(content: str, value: float, lines: list[str]) -> None:
    """The lines, and the rule that they make: it has that value and is otherwise the same."""
    rule = rule_of(content)
    found = tunable(rule)
    (limit,) = choose(found)
    source = written("rules.yaml", content, "tuned")
    assert source is not None
    text = proposal(source, found, {limit.name: value})
    assert text.splitlines() == lines
    made = applied(source, text, rule, {}, EVERY)
    (again,) = choose(tunable(made))
    assert again.present == pytest.approx(value)
    assert show(again.compared) == show(limit.compared)
    assert (made.id, made.scope, made.clear_text, made.levels[0].hold) == (
        rule.id,
        rule.scope,
        rule.clear_text,
        rule.levels[0].hold,
    )


def test_overrides_come_before_those_that_are_there() -> None:
    """Only the first that matches counts; what it had of other parameters is kept in the new one."""
    content = (
        f"rules:\n  - id: tuned\n    scope: queue\n    params: {{warn: 1m, calm: 30s}}\n"
        f'    overrides: [{{match: {{name: "VIP*"}}, params: {{calm: 10s}}}}]\n'
        f"    when: {WAIT} > $warn\n    clear: {WAIT} < $calm\n"
    )
    found = tunable(rule_of(content))
    source = written("rules.yaml", content, "tuned")
    assert source is not None
    overrides = [
        OverrideFor("7", "VIP [EU] *", {"warn": 120e3}),
        OverrideFor("8", "Dana", {"warn": 180e3}, by_id=True, comment="D."),
    ]
    text = proposal(source, found, {"warn": 90e3}, overrides)
    made = applied(source, text, rule_of(content), {}, EVERY)
    params = [{name: one.value for name, one in each.params.items()} for each in made.overrides]
    assert params == [{"calm": 10e3, "warn": 120e3}, {"warn": 180e3}, {"calm": 10e3}]
    assert '  - match: {id: ["8"]}  # D.' in text.splitlines()


def test_a_rule_that_the_file_no_longer_has() -> None:
    assert written("rules.yaml", "rules:\n  - {id: other, scope: queue, when: enabled.rt == 0}\n", "tuned") is None
    assert written("rules.yaml", "rules: [", "tuned") is None
