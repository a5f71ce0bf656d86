"""Rule tests run: the good ones pass, the failing ones say where and why, in pictures kept as golden files."""

from __future__ import annotations

from functools import partial

import pytest

from alertbot.backtest.trial import run_rule_test
from alertbot.cli.test import draw_card
from alertbot.cli.timeline import draw_failure
from alertbot.notify.render import Templates
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rulefiles.parse_tests import parse_tests
from alertbot.rulefiles.rule_test import RuleTest
from alertbot.rules.rule import RuleSet
from tests.golden import check_golden
from tests.rulefiles.test_rule_tests import CASES, RULES

LIFE = parse_files({"life-rules.yaml": (CASES / "life-rules.yaml").read_bytes()})


def cases(name: str, rules: RuleSet = RULES) -> tuple[RuleTest, ...]:
    return parse_tests({name: (CASES / name).read_bytes()}, rules)


def drawn(name: str, rules: RuleSet = RULES) -> str:
    outcomes = [run_rule_test(test, rules, draw=partial(draw_card, Templates(), "UTC")) for test in cases(name, rules)]
    return "\n\n".join("\n".join(draw_failure(outcome)) for outcome in outcomes if not outcome.passed)


def test_the_good_ones_pass() -> None:
    """Guard, several entities, suppression, entities that are gone, failed polls, hours, texts, agents, windows."""
    assert drawn("good.yaml") == ""


def test_names_are_compared_as_live_polls_compare_them() -> None:
    """Brackets are literal; accents, spaces and apostrophes match however they are encoded or typed."""
    rules = parse_files({"names-rules.yaml": (CASES / "names-rules.yaml").read_bytes()})
    tests = parse_tests({"names-tests.yaml": (CASES / "names-tests.yaml").read_bytes()}, rules)
    outcomes = [run_rule_test(test, rules) for test in tests]
    assert [outcome.misses for outcome in outcomes] == [()] * 8


def test_an_agent_with_a_missing_value_makes_a_range() -> None:
    """`>= 1` is true, `>= 2` unknown and `>= 3` false with one agent certain and one unknown."""
    rules = parse_files({"agents-rules.yaml": (CASES / "agents-rules.yaml").read_bytes()})
    tests = parse_tests({"agents-tests.yaml": (CASES / "agents-tests.yaml").read_bytes()}, rules)
    outcomes = [run_rule_test(test, rules) for test in tests]
    assert [outcome.misses for outcome in outcomes] == [()] * 4


def test_a_failing_one_shows_a_timeline() -> None:
    """What was expected and what was found, then every poll with its values, states, decisions and notices."""
    check_golden("cases/failing.txt", drawn("failing.yaml") + "\n")


def test_the_life_of_alerts_can_be_tested() -> None:
    """Acknowledgements on the clock of the test, each entity its own."""
    assert drawn("life-tests.yaml", LIFE) == ""


def test_a_change_that_is_not_possible_fails_the_test() -> None:
    """An acknowledgement without an open alert, a second one, and one that is given back without being there."""
    check_golden("cases/life-failing.txt", drawn("life-failing.yaml", LIFE) + "\n")


CHANGED: dict[str, tuple[str, str]] = {
    "another level": ("level: critical, why", "level: warning, why"),
    "another state": ("at: 90s, state: recovering", "at: 90s, state: inactive"),
    "another why": ("2m 10s is above 2m", "2m 11s is above 2m"),
    "another card": ('Critical, "2m 10s"', 'Warning, "2m 10s"'),
    "no card": ("card: Longest wait}", "card: []}"),
    "a card before there is one": ("state: inactive, card: []", "state: inactive, card: Sales"),
    "another channel": ('channel: "#cc-sales", level', 'channel: "#cc-floor", level'),
    "another reason": ("reason: fired, channel", "reason: level_up, channel"),
    "another time": ("[{at: 45s, reason: fired, channel", "[{at: 30s, reason: fired, channel"),
    "a notice too few": ('notices: [{at: 45s, reason: fired, channel: "#cc-sales", level: critical}]', "notices: []"),
}


@pytest.mark.parametrize(("old", "new"), CHANGED.values(), ids=CHANGED)
def test_an_expectation_that_is_wrong_fails(old: str, new: str) -> None:
    """Each kind of expectation can fail."""
    text = (CASES / "good.yaml").read_text(encoding="utf-8")
    assert old in text
    (test, *_) = parse_tests({"good.yaml": text.replace(old, new, 1)}, RULES)
    outcome = run_rule_test(
        test, RULES, draw=lambda rule, card, now: f"{card.members[0].level.word} {card.members[0].entity_name}"
    )
    assert not outcome.passed


USUAL = """
rules:
  - {id: busier, scope: queue, when: "entered.today > 2 * usual(entered.today, 4w)", no_data: clear}
  - {id: crew, scope: queue, when: "count(agents where timeOnStatus.rt > usual(timeOnStatus.rt, 1w)) >= 2"}
"""
USUAL_TESTS = """
tests:
  - name: each entity has its own, for any number of weeks; what is absent or missing is unknown
    rule: busier
    series: {entered.today: 5x5}
    usual: {entered.today: 2 3 _ 2 2}
    entities: [{name: as all}, {name: its own, usual: {entered.today: 9 9 2 9 9}}]
    expect:
      - {entity: as all, at: 0s, state: firing}
      - {entity: as all, at: 15s, state: inactive}
      - {entity: as all, at: 30s, state: inactive}
      - {entity: as all, at: 45s, state: firing}
      - {entity: its own, at: 15s, state: inactive}
      - {entity: its own, at: 30s, state: firing}
  - name: agents have theirs
    rule: crew
    agents:
      - {id: a, series: {timeOnStatus.rt: 5m 5m}, usual: {timeOnStatus.rt: 2m 2m}}
      - {id: b, series: {timeOnStatus.rt: 5m 5m}, usual: {timeOnStatus.rt: 6m 4m}}
    expect: [{at: 0s, state: inactive}, {at: 15s, state: firing}]
"""


def test_usual_values_of_a_test() -> None:
    rules = parse_files({"rules.yaml": USUAL})
    for test in parse_tests({"tests.yaml": USUAL_TESTS}, rules):
        assert run_rule_test(test, rules).misses == ()
