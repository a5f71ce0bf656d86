"""Rules and overrides that cover nothing, by the entities of the last poll."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rulefiles.uncovered import review_coverage
from alertbot.rules.coverage import Entities, uncovered
from alertbot.rules.match import EVERY_ENTITY, Match, Override
from alertbot.rules.rule import Rule
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
