"""Which number of a rule is tuned, in which direction, what moves along, and which values are readable."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alertbot.backtest.limits import Limit, NothingToTuneError, choose, readable, tunable
from alertbot.errors import UsageError
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rules.catalogue import ValueType
from alertbot.rules.rule import Level, Rule
from alertbot.rules.tree import show

WAIT = "interactionsLongestWaitInQueue.rt"


def rule(text: str, scope: str = "queue") -> Rule:
    content = f"rules:\n  - id: tuned\n    scope: {scope}\n" + "".join(f"    {line}\n" for line in text.splitlines())
    return parse_files({"rules.yaml": content}, {}, timedelta(seconds=15)).rules[0]


def only(text: str, scope: str = "queue") -> Limit:
    (limit,) = choose(tunable(rule(text, scope)))
    return limit


FOUND = {  # the text of a rule; what is compared, the number now, its parameter, whether a higher one fires less often
    "above": (f"when: {WAIT} > 2m", WAIT, 120_000, "", True),
    "at least": ("when: interactionsWaitInQueue.rt >= 5", "interactionsWaitInQueue.rt", 5, "", True),
    "below": ("when: slaPercentage.int-30m < 80%", "slaPercentage.int-30m", 0.8, "", False),
    "at most": ("when: eligible.rt <= 2", "eligible.rt", 2, "", False),
    "the number on the left": (f"when: 2m < {WAIT}", WAIT, 120_000, "", True),
    "the number on the left, below": ("when: 3 >= eligible.rt", "eligible.rt", 3, "", False),
    "not above": ("when: not eligible.rt > 2", "eligible.rt", 2, "", False),
    "not not above": ("when: not (not eligible.rt > 2)", "eligible.rt", 2, "", True),
    "not, of several": ("when: not (eligible.rt >= 2 or enabled.rt == 0)", "eligible.rt", 2, "", False),
    "a parameter": (f"params: {{warn: 90s}}\nwhen: {WAIT} > $warn", WAIT, 90_000, "warn", True),
    "the only parameter of two numbers": (
        f"params: {{warn: 90s}}\nwhen: {WAIT} > $warn and enabled.rt > 2",
        WAIT,
        90_000,
        "warn",
        True,
    ),
    "a comparison with zero is left out": (f"when: {WAIT} > 2m and enabled.rt > 0", WAIT, 120_000, "", True),
    "equality is left out": (f"when: {WAIT} > 2m and enabled.rt == 3 and eligible.rt != 1", WAIT, 120_000, "", True),
    "a factor": (
        "when: interactionsWaitInQueue.rt > 2 * eligible.rt",
        "interactionsWaitInQueue.rt / eligible.rt",
        2,
        "",
        True,
    ),
    "a factor that is a parameter": (
        "params: {times: 1.5}\nwhen: interactionsWaitInQueue.rt > eligible.rt * $times",
        "interactionsWaitInQueue.rt / eligible.rt",
        1.5,
        "times",
        True,
    ),
    "usual": (
        "when: entered.int-30m > 1.5 * usual(entered.int-30m, 4w)",
        "entered.int-30m / usual(entered.int-30m, 4w)",
        1.5,
        "",
        True,
    ),
    "a window": (f"when: 'avg({WAIT}, 10m) > 1m'", f"avg({WAIT}, 10m)", 60_000, "", True),
    "a count of agents": (
        "when: 'count(agents where status.rt == \"OnBreak\") >= 3'",
        'count(agents where status.rt == "OnBreak")',
        3,
        "",
        True,
    ),
}


@pytest.mark.parametrize(("text", "compared", "present", "param", "rises"), FOUND.values(), ids=FOUND)
def test_the_number_that_is_tuned(text: str, compared: str, present: float, param: str, rises: bool) -> None:
    limit = only(text)
    assert (show(limit.compared), limit.present, limit.param, limit.rises) == (compared, present, param, rises)
    assert limit.keener(present - 0.1, present) is rises


@pytest.mark.parametrize("op", ["<", "<=", ">", ">="])
def test_another_value_changes_the_condition_and_nothing_else(op: str) -> None:
    """The rule with the present value is the rule; with another one, the condition has that number."""
    text = f"params: {{calm: 1}}\nwhen: eligible.rt {op} 3 and enabled.rt > 0\nclear: eligible.rt == $calm"
    found = tunable(rule(text))
    (limit,) = choose(found)
    changed = found.with_({limit.name: 5.0})
    assert changed.params[limit.name].value == 5.0
    assert changed.params["calm"] == rule(text).params["calm"]
    assert limit.text == f"eligible.rt {op} 3"
    assert text.splitlines()[1].removeprefix("when: ")[limit.span.start : limit.span.end] == "3"


NONE = {
    "equality alone": ("when: enabled.rt == 0", "has no number to tune: nothing is compared"),
    "text alone": ("when: interactionsWaitInQueue.rt is missing", "has no number to tune"),
    "zero alone": ("when: interactionsWaitInQueue.rt > 0", "compares only with 0 (--key interactionsWaitInQueue.rt"),
    "two keys": ("when: interactionsWaitInQueue.rt > eligible.rt", "has no number to tune"),
}


@pytest.mark.parametrize(("text", "why"), NONE.values(), ids=NONE)
def test_rules_without_a_number(text: str, why: str) -> None:
    with pytest.raises(NothingToTuneError) as refused:
        choose(tunable(rule(text)))
    assert why in str(refused.value)


def test_several_numbers_are_listed_with_the_option_for_each() -> None:
    text = f"params: {{a: 1m}}\nwhen: {WAIT} > $a or interactionsWaitInQueue.rt > 3 and entered.int-30m > 5"
    found = tunable(rule(text))
    assert [each.name for each in choose(found)] == ["a"], "the only parameter"
    assert [each.present for each in choose(found, key="entered.int-30m")] == [5]
    with pytest.raises(UsageError) as several:
        choose(tunable(rule(text.replace("$a", "1m").replace("params: {a: 1m}\n", ""))))
    assert str(several.value).splitlines()[1:] == [
        f"  {WAIT} > 1m    --key {WAIT}",
        "  interactionsWaitInQueue.rt > 3    --key interactionsWaitInQueue.rt",
        "  entered.int-30m > 5    --key entered.int-30m",
    ]


def test_each_level_has_its_limit_and_a_shared_parameter_counts_once() -> None:
    levels = f"warning: {{when: {WAIT} > $a, for: 1m}}\ncritical: {{when: {WAIT} > $b}}"
    two = tunable(rule(f"params: {{a: 1m, b: 2m}}\n{levels}"))
    assert [(each.name, each.level) for each in choose(two)] == [("a", Level.WARNING), ("b", Level.CRITICAL)]
    assert [each.name for each in choose(two, level=Level.CRITICAL)] == ["b"]
    one = tunable(rule(f"params: {{a: 1m}}\n{levels.replace('$b', '$a')}"))
    assert [each.name for each in choose(one)] == ["a"]


def test_overrides_keep_their_values() -> None:
    text = f'params: {{warn: 1m}}\noverrides: [{{match: {{name: "VIP"}}, params: {{warn: 20s}}}}]\nwhen: {WAIT} > $warn'
    found = tunable(rule(text))
    changed = found.with_({"warn": 300_000.0})
    assert changed.params["warn"].value == 300_000
    assert changed.overrides == rule(text).overrides


MOVES = {  # the rule, the limit that is tuned, its new value, and all that is set then
    "the upper level, in proportion": ("a: 1m, b: 2m, c: 45s", "a", 180e3, {"a": 180e3, "b": 360e3}),
    "the upper level stays above": ("a: 1m, b: 2m, c: 45s", "a", 90e3, {"a": 90e3}),
    "clear, below the lowest level": ("a: 1m, b: 2m, c: 45s", "a", 40e3, {"a": 40e3, "c": 30e3}),
    "the lower level": ("a: 1m, b: 2m, c: 45s", "b", 60e3, {"b": 60e3, "a": 30e3, "c": 20e3}),
}


@pytest.mark.parametrize(("params", "name", "value", "settings"), MOVES.values(), ids=MOVES)
def test_limits_that_would_be_passed_move_along(
    params: str, name: str, value: float, settings: dict[str, float]
) -> None:
    text = f"params: {{{params}}}\nwarning: {{when: {WAIT} > $a}}\ncritical: {{when: {WAIT} > $b}}\nclear: {WAIT} < $c"
    found = tunable(rule(text))
    (limit,) = (each for each in found.levels if each.name == name)
    assert found.settings(limit, value) == settings


READABLE = {
    "a duration of seconds": (47_300, ValueType.DURATION, 1, 45_000),
    "likewise, finer": (47_300, ValueType.DURATION, 5, 47_000),
    "of minutes": (131_000, ValueType.DURATION, 1, 135_000),
    "of hours": (3.2 * 3_600_000, ValueType.DURATION, 1, 3.25 * 3_600_000),
    "under a second": (430, ValueType.DURATION, 1, 500),
    "a ratio": (0.8372, ValueType.RATIO, 1, 0.84),
    "a small ratio": (0.0136, ValueType.RATIO, 1, 0.015),
    "a ratio, finer": (0.8372, ValueType.RATIO, 5, 0.838),
    "a number": (1.87, ValueType.NUMBER, 1, 1.9),
    "a larger number": (743.0, ValueType.NUMBER, 1, 750),
    "a negative number": (-1.87, ValueType.NUMBER, 1, -1.9),
    "zero": (0.0, ValueType.NUMBER, 1, 0),
}


@pytest.mark.parametrize(("value", "kind", "fineness", "written"), READABLE.values(), ids=READABLE)
def test_values_that_a_person_would_write(value: float, kind: ValueType, fineness: int, written: float) -> None:
    assert readable(value, kind, fineness) == pytest.approx(written)
