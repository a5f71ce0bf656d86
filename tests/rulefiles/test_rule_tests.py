"""Files of rule tests: every fault of a bad one, whole; and what they share with the rest of the code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from alertbot.alerts.alert import Reason, State
from alertbot.errors import FaultsFound
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rulefiles.parse_tests import is_test_file, parse_tests
from alertbot.rulefiles.schema import tests_schema as schema_of_tests
from alertbot.rulefiles.test_keys import REASONS, STATES
from tests.golden import DATA, check_golden

CASES = DATA / "cases"
RULES = parse_files({"rules.yaml": (CASES / "rules.yaml").read_bytes()})


def test_all_faults_of_a_bad_file() -> None:
    """Each fault in a sentence, with its place, as `alertbot test` and `alertbot check` print it."""
    with pytest.raises(FaultsFound) as caught:
        parse_tests({"bad.yaml": (CASES / "bad.yaml").read_bytes()}, RULES)
    check_golden("cases/bad.txt", f"{caught.value}\n")


def test_a_test_of_a_rule_with_faults_is_left_out() -> None:
    """The rule's own fault is enough."""
    text = "tests:\n  - {name: x, rule: broken, series: {entered.today: 5}, notices: []}\n"
    assert parse_tests({"a.yaml": text}, RULES, broken=frozenset({"broken"})) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "this file is empty"),
        ("[]", "a file of rule tests is a mapping"),
        ("rules: []", 'unknown key "rules"'),
        ("tests: {}", "tests must be a list"),
    ],
)
def test_what_is_not_a_file_of_tests(text: str, said: str) -> None:
    with pytest.raises(FaultsFound) as caught:
        parse_tests({"a.yaml": text}, RULES)
    assert said in str(caught.value)


def test_a_silence_of_a_label_value_that_no_rule_has() -> None:
    rules = parse_files({"r.yaml": "rules: [{id: r, scope: queue, when: entered.today > 1, labels: {team: sales}}]"})

    def parse(match: str) -> None:
        silences = f"silences: [{{at: 0s, match: {match}, for: 1m}}]"
        test = f"{{name: x, rule: r, series: {{entered.today: 5}}, notices: [], {silences}}}"
        parse_tests({"a.yaml": f"tests: [{test}]"}, rules)

    parse("label.Team=s*")
    with pytest.raises(FaultsFound) as caught:
        parse("label.team=support")
    assert 'no rule has the label team with the value "support" (its values are: sales)' in str(caught.value)


BEYOND_THE_CALENDAR = {
    "every": ("every: 999999d, series: {entered.today: 5}", "'999999d' is longer than ten years"),
    "start": ("start: 9999-12-31T23:59:59Z, series: {entered.today: 5}", "between the years 1971 and 2999"),
    "start before the calendar": ("start: 0001-01-01T00:00:00+14:00, series: {entered.today: 5}", "start: a test runs"),
    "the last poll": (
        "every: 3650d, series: {entered.today: 5x100000}",
        "100,000 samples is after the year",
    ),
    "at": ("series: {entered.today: 5}, failed: 99999d", "'99999d' is longer than ten years"),
}


@pytest.mark.parametrize(("text", "said"), BEYOND_THE_CALENDAR.values(), ids=BEYOND_THE_CALENDAR)
def test_a_test_beyond_the_calendar_is_a_fault(text: str, said: str) -> None:
    rule = RULES.rules[0].id
    with pytest.raises(FaultsFound) as caught:
        parse_tests({"a.yaml": f"tests:\n  - {{name: x, rule: {rule}, {text}, notices: []}}\n"}, RULES)
    assert said in str(caught.value)


def test_the_words_are_those_of_alerts() -> None:
    """The states and reasons that a test may expect exist; those that only a user or the service causes are absent."""
    assert set(STATES) == {str(state) for state in State}
    others = {Reason.ACKNOWLEDGED, Reason.UNACKNOWLEDGED, Reason.OPERATIONS}
    assert {str(reason) for reason in Reason} - {str(each) for each in others} <= set(REASONS)


def test_a_test_file_is_distinguished_from_a_rule_file() -> None:
    found = {
        path.name: is_test_file(path.read_bytes())
        for path in CASES.glob("*.yaml")
        if not path.name.startswith(("agents-", "names-", "life-"))
    }
    assert found == {"rules.yaml": False, "good.yaml": True, "failing.yaml": True, "bad.yaml": True}


def document(path: Path) -> Any:
    return json.loads(json.dumps(YAML(typ="safe", pure=True).load(path.read_bytes()), default=str))


def test_the_schema_takes_what_the_parser_takes() -> None:
    schema = schema_of_tests()
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    for name in ("good.yaml", "failing.yaml", "life-tests.yaml", "life-failing.yaml"):
        assert list(validator.iter_errors(document(CASES / name))) == []
    assert list(validator.iter_errors(document(CASES / "bad.yaml")))


USUAL_RULES = parse_files(
    {
        "r.yaml": """
rules:
  - {id: plain, scope: queue, when: entered.today > 1}
  - {id: busier, scope: queue, when: "entered.today > 2 * usual(entered.today, 4w)"}
  - {id: crew, scope: queue, when: "count(agents where timeOnStatus.rt > usual(timeOnStatus.rt, 1w)) >= 2"}
"""
    }
)


@pytest.mark.parametrize(
    ("rule", "usual", "said"),
    [
        ("plain", "{entered.today: 1}", "not read usual(entered.today, …) (move it to series, or remove it)"),
        ("busier", "{entered.tday: 1}", 'unknown key "entered.tday" for scope queue (did you mean entered.today?)'),
        ("busier", "{enabled.rt: 1}", "the rule does not read usual(enabled.rt, …) (it reads usual of entered.today)"),
        ("busier", "{entered.today: 10s}", "10s is a duration, but the key is a count (write 5)"),
        ("busier", "{entered.today: 1x3}", "entered.today has 1 sample, but others have 3"),
        ("busier", "4", "usual must be a mapping, not 4 (keys with their samples)"),
    ],
)  # fmt: skip
def test_usual_values_that_cannot_be_meant(rule: str, usual: str, said: str) -> None:
    text = f"tests: [{{name: x, rule: {rule}, series: {{entered.today: 5}}, notices: [], usual: {usual}}}]"
    with pytest.raises(FaultsFound) as caught:
        parse_tests({"a.yaml": text}, USUAL_RULES)
    assert said in str(caught.value)


def test_what_a_test_does_not_say_is_usual() -> None:
    """A failing test names it, as it names keys without samples."""
    text = "tests: [{name: x, rule: busier, series: {entered.today: 5}, notices: []}]"
    (test,) = parse_tests({"a.yaml": text}, USUAL_RULES)
    assert test.unread == ("usual(entered.today, 4w)",)
