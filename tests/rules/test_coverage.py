"""Rules and overrides that cover nothing, by the entities of the last poll."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rulefiles.review_live import review_coverage, review_look_back
from alertbot.rules.coverage import Entities, uncovered
from alertbot.rules.match import EVERY_ENTITY, Match, Override
from alertbot.rules.rule import Rule
from alertbot.rules.units import parse_duration
from tests.alerts.kit import rule

VIP, SALES, IDS = Match(names=("VIP*",)), Match(names=("Sales*",)), Match(ids=("104",))
EU = Match(names=("[EU]*",), exclude_names=("*test*",))


def with_overrides(*matches: Match, match: Match = EVERY_ENTITY) -> Rule:
    return rule(match=match, overrides=tuple(Override(each, {}) for each in matches))


QUEUES: Entities = (("103", "104"), ("Sales EU", "Support VIP"))
OTHERS: Entities = (("1",), ("VIP line",))

CASES: dict[str, tuple[Rule, list[Entities], tuple[Match, ...]]] = {
    "no match": (rule(), [QUEUES], ()),
    "a match that covers": (rule(match=SALES), [QUEUES], ()),
    "a prefix that nothing has": (rule(match=VIP), [QUEUES], (VIP,)),
    "an id": (rule(match=IDS), [QUEUES], ()),
    "an id that is not there": (rule(match=IDS), [OTHERS], (IDS,)),
    "another tenant has it": (rule(match=VIP), [QUEUES, OTHERS], ()),
    "an override": (with_overrides(SALES, VIP), [QUEUES], (VIP,)),
    "rule and override": (with_overrides(VIP, match=EU), [QUEUES], (EU, VIP)),
    "nothing is known yet": (rule(match=VIP), [], ()),
    "no entity at all": (rule(match=VIP), [((), ())], ()),
}


@pytest.mark.parametrize(("subject", "polls", "expected"), CASES.values(), ids=CASES)
def test_what_covers_nothing(subject: Rule, polls: Sequence[Entities], expected: tuple[Match, ...]) -> None:
    assert uncovered(subject, polls) == expected


def test_a_hint_stands_at_the_match() -> None:
    text = (
        "rules:\n  - id: a\n    scope: queue\n    match: {name: '[EU] Sale?'}\n"
        "    params: {most: 3}\n    overrides:\n      - {match: {name: Sales*}, params: {most: 4}}\n"
        "      - {match: {name: VIP}, params: {most: 5}}\n    when: interactionsWaitInQueue.rt > $most\n"
    )
    rules = parse_files({"a.yaml": text}).rules
    hints = review_coverage(rules, {"a.yaml": text}, lambda scope: [QUEUES])
    assert [str(hint) for hint in hints] == [
        "a.yaml:4:12: hint: rule a: the match covers no queue of the last poll: name [EU] Sale? (brackets are literal: "
        "only * and ? are special)",
        "a.yaml:8:17: hint: rule a: the match of an override covers no queue of the last poll: name VIP (a name is the "
        "whole name: write *VIP* for a part of it)",
    ]


LOOK_BACK = {
    "ago beyond it, by its polls": ("entered.int-30m < ago(entered.int-30m, 7d) / 2", 7, "ago(entered.int-30m, 7d)"),
    "ago within it": ("entered.int-30m < ago(entered.int-30m, 7d) / 2", 8, ""),
    "a window that fits exactly": ("avg(interactionsWaitInQueue.rt, 7d) > 5", 7, ""),
    "a window beyond it": ("avg(interactionsWaitInQueue.rt, 8d) > 5", 7, "avg(interactionsWaitInQueue.rt, 8d)"),
    "of the agents": ("count(agents where max(timeOnStatus.rt, 9d) > 1h) > 1", 8, "max(timeOnStatus.rt, 9d)"),
    "nothing is kept": ("avg(interactionsWaitInQueue.rt, 5m) > 5", 0, "avg(interactionsWaitInQueue.rt, 5m)"),
    "no window": ("interactionsWaitInQueue.rt > 5", 0, ""),
}


@pytest.mark.parametrize(("when", "days", "window"), LOOK_BACK.values(), ids=LOOK_BACK)
def test_a_rule_that_looks_back_further_than_polls_are_kept(when: str, days: int, window: str) -> None:
    """A warning at the window, in each condition of the rule."""
    text = f"rules:\n  - id: a\n    scope: queue\n    warning:\n      when: {when}\n    guard: {when}\n"
    rules = parse_files({"a.yaml": text}).rules
    found = review_look_back(rules, {"a.yaml": text}, timedelta(days=days), timedelta(seconds=15), timedelta(weeks=8))
    assert [(each.line, each.column, each.severity) for each in found] == [
        (line, column + when.index(window), "warning") for line, column in ((5, 13), (6, 12)) if window
    ]
    for each in found:
        assert each.message == f"{window} looks back further than polls are kept (record.keep: {days}d)".replace(
            "0d", "0s"
        )


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        pytest.param("4w", [], id="as long as means are kept"),
        pytest.param("2w", ["usual(entered.int-30m, 4w) looks back further than means are kept (record.usual: 2w)"]),
        pytest.param("20d", ["usual(entered.int-30m, 4w) looks back further than means are kept (record.usual: 20d)"]),
        pytest.param("0s", ["usual(entered.int-30m, 4w) looks back further than means are kept (record.usual: 0s)"]),
    ],
)
def test_a_rule_that_compares_with_more_weeks_than_are_kept(kept: str, expected: list[str]) -> None:
    """Whatever `record.keep` is: means are kept beside the polls."""
    when = "entered.int-30m > 2 * usual(entered.int-30m, 4w)"
    text = f"rules:\n  - id: a\n    scope: queue\n    when: {when}\n"
    rules = parse_files({"a.yaml": text}).rules
    found = review_look_back(rules, {"a.yaml": text}, timedelta(0), timedelta(seconds=15), parse_duration(kept))
    assert [each.message for each in found] == expected
    for each in found:
        assert (each.line, each.column, each.severity) == (4, 11 + when.index("usual"), "warning")
        assert each.hint == "set record.usual to 4w or more in alertbot.yaml"
