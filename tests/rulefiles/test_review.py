"""What is right by the letter and cannot be meant: files of tests/data/review, their sentences as golden files."""

from __future__ import annotations

from pathlib import Path

import pytest

from alertbot.rulefiles.faults import Fault
from alertbot.rulefiles.parse_rules import read_files
from alertbot.rulefiles.parse_tests import parse_tests
from alertbot.rulefiles.review import review, review_tests
from tests.golden import DATA, check_golden

FILES = sorted((DATA / "review").glob("*.yaml"))
SHIPPED = sorted((Path(__file__).parent.parent.parent / "rules").glob("*.yaml"))


def reviewed(files: dict[str, bytes | str]) -> list[Fault]:
    found = read_files(files)
    assert found.faults == ()
    return sorted(review(found.rules.rules, files))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_cannot_be_meant(path: Path) -> None:
    """Whole output; a file without faults has an empty one."""
    found = reviewed({path.name: path.read_bytes()})
    check_golden(f"review/{path.stem}.txt", "".join(f"{fault}\n" for fault in found))
    lines = path.read_text(encoding="utf-8").splitlines()
    for fault in found:
        rest = " ".join("\n".join([lines[fault.line - 1][fault.column - 1 :], *lines[fault.line :]]).split())
        assert rest.startswith(fault.excerpt.removesuffix("…")), fault


def test_the_shipped_rules_are_meant() -> None:
    assert reviewed({path.name: path.read_bytes() for path in SHIPPED}) == []


def test_the_same_rule_in_another_file() -> None:
    one = "rules:\n  - {id: %s, scope: queue, when: entered.today > 5}\n"
    found = reviewed({"a.yaml": one % "a", "b.yaml": one % "b"})
    assert [str(each) for each in found] == [
        "b.yaml:2:10: warning: rule b: the same as a: scope, entities, conditions, hours and channels "
        "(it is in a.yaml:2; remove one of them)"
    ]


REPORTS = DATA / "reports"
RULE = "rules:\n  - {id: a, scope: %s, when: '%s'}\n"

SAYS: dict[str, tuple[str, str]] = {
    "a country whose parts have more holidays": (
        (REPORTS / "country-without-its-parts" / "rules.yaml").read_text(encoding="utf-8"),
        "rules.yaml:6:26: hint: GB alone has only the public holidays of the whole country "
        "(each part has more: add a subdivision, such as ENG, NIR, SCT or WLS)",
    ),
    "a zone without summer time": (
        (REPORTS / "zone-without-summer-time" / "rules.yaml").read_text(encoding="utf-8"),
        "rules.yaml:4:15: hint: EST has no summer time: it is the same offset from UTC all year "
        "(write the place, such as America/New_York)",
    ),
    "a channel with capitals": (
        (REPORTS / "channel-in-capitals" / "rules.yaml").read_text(encoding="utf-8"),
        'rules.yaml:3:74: warning: rule a: channel names have no capitals in Slack (write "#cc-alerts")',
    ),
    "a status with another spelling": (
        RULE % ("agent", 'status.rt == "Wrap-up"'),
        'rules.yaml:2:47: hint: rule a: "Wrap-up" is not a known value of status.rt (did you mean "WrapUp"?)',
    ),
    "a status that is not known": (
        RULE % ("agent", 'status.rt == "Lunch"'),
        'rules.yaml:2:47: hint: rule a: "Lunch" is not a known value of status.rt (known are Available, Offering, '
        "Handling, WrapUp, OnBreak, WorkingOffline and LoggedOut)",
    ),
    "a known status with others beside it": (RULE % ("agent", 'status.rt in ["WrapUp", "Wrap Up"]'), ""),
    "a title that is cut": (
        "rules:\n  - id: a\n    title: Queue #1 waits\n    scope: queue\n    when: entered.today > 5\n",
        "rules.yaml:3:12: warning: rule a: the title ends before #1: # begins a comment (put it in quotes)",
    ),
    "a title with a comment": (
        "rules:\n  - id: a\n    title: Queue 1 waits  # of two\n    scope: queue\n    when: entered.today > 5\n",
        "",
    ),
    "a known status in capitals": (RULE % ("agent", 'status.rt == "ONBREAK"'), ""),
    "a percentage without its sign": (
        RULE % ("queue", "onBreak.rt / enabled.rt > 30"),
        "rules.yaml:2:34: warning: rule a: onBreak.rt / enabled.rt is at most 100%, so this is never true: "
        "30 means 3000% (write 30%)",
    ),
    "a percentage above 100 %": (
        RULE % ("queue", "150% >= abandoned.int-30m / entered.int-30m"),
        "rules.yaml:2:34: warning: rule a: abandoned.int-30m / entered.int-30m is at most 100%, so this is always "
        "true: 150% (write a percentage of at most 100%)",
    ),
    "a share that is right": (RULE % ("queue", "onBreak.rt / enabled.rt > 30%"), ""),
    "callers per agent may be many": (RULE % ("queue", "interactionsWaitInQueue.rt / enabled.rt > 30"), ""),
}


@pytest.mark.parametrize(("text", "said"), SAYS.values(), ids=SAYS)
def test_what_is_worth_a_word(text: str, said: str) -> None:
    assert "\n".join(str(fault) for fault in reviewed({"rules.yaml": text})) == said


COUNTRIES = {"GB": True, "DE": True, "CA": True, "AU": True, "CH": True, "ES": True, "PT": True}
COUNTRIES |= {"NL": False, "AT": False, "IE": False, "ZA": False, "MX": False, "US": False, "FI": False}


@pytest.mark.parametrize(("code", "due"), COUNTRIES.items(), ids=COUNTRIES)
def test_a_country_needs_its_part_where_every_part_has_more_holidays(code: str, due: bool) -> None:
    hours = f"hours: {{o: {{timezone: Europe/Paris, open: {{mon: 08:00-18:00}}, holidays: {{country: {code}}}}}}}\n"
    assert len(reviewed({"rules.yaml": hours})) == due


def test_a_test_of_an_entity_that_is_not_covered_is_noted() -> None:
    """A hint: tests of `exclude` mean it."""
    rules = read_files({"r.yaml": "rules: [{id: a, scope: queue, match: {name: VIP}, when: entered.today > 5}]"}).rules
    text = "tests: [{name: n, rule: a, entity: {name: Sales}, series: {entered.today: 9}, notices: []}]"
    assert [str(each) for each in review_tests(parse_tests({"t.yaml": text}, rules), rules)] == [
        't.yaml:1:1: hint: rule a: the rule does not cover "Sales", so nothing can fire for it'
    ]
