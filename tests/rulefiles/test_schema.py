"""The JSON Schema of rule files agrees with the parser, as far as a schema can."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError

from alertbot.rulefiles.fields import DURATION_SCHEMA
from alertbot.rulefiles.parse_rules import read_files
from alertbot.rulefiles.rule_keys import DEFAULT_KEYS, RULE_KEYS
from alertbot.rulefiles.schema import rules_schema
from alertbot.rules.catalogue import RULE_SCOPES, Scope, catalogue
from tests.golden import DATA

RULES = Path(__file__).parent.parent.parent / "rules"
GOOD = [*sorted(DATA.glob("*.good.yaml")), *sorted(RULES.glob("*.yaml"))]

# Wrong in a way that a schema can see. (Conditions are texts to it, and it sees one file at a time.)
SEEN_BY_SCHEMA = [
    "bad-id",
    "channel-as-comment",
    "channel-without-hash",
    "during-moved-wrongly",
    "during-unknown",
    "escalate",
    "everything-at-once",
    "for-beside-levels",
    "for-negative",
    "for-without-unit",
    "group-by",
    "hours-as-list",
    "hours-as-people-write-them",
    "hours-everything",
    "hours-that-never-open",
    "id-missing",
    "key-of-a-level",
    "known-as-word",
    "id-reserved",
    "level-without-when",
    "list-at-root",
    "match-as-list",
    "mention-at-sign",
    "overrides",
    "overrides-as-mapping",
    "no-data-unknown",
    "no-levels",
    "no-rules",
    "remind",
    "rules-empty",
    "scope-feed",
    "scope-unknown",
    "shadow-as-word",
    "suppressed-by-nobody",
    "unknown-key",
    "when-and-levels",
]


class DatesAsTexts(SafeConstructor):
    """As editors read YAML for a schema: JSON has no dates."""


DatesAsTexts.add_constructor("tag:yaml.org,2002:timestamp", DatesAsTexts.construct_yaml_str)


def document(path: Path) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = DatesAsTexts
    return json.loads(json.dumps(yaml.load(path.read_bytes())))


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft7Validator:
    schema = rules_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_a_good_file_passes(path: Path, validator: jsonschema.Draft7Validator) -> None:
    assert [error.message for error in validator.iter_errors(document(path))] == []


@pytest.mark.parametrize("name", SEEN_BY_SCHEMA)
def test_a_bad_file_is_seen_in_the_editor(name: str, validator: jsonschema.Draft7Validator) -> None:
    assert not validator.is_valid(document(DATA / f"{name}.bad.yaml"))


def test_the_other_bad_files_are_no_yaml_or_pass(validator: jsonschema.Draft7Validator) -> None:
    """The schema refuses exactly the files in the list above."""
    seen = set()
    for path in DATA.glob("*.bad.yaml"):
        try:
            value = document(path)
        except (YAMLError, UnicodeDecodeError):
            continue
        if value is not None and not validator.is_valid(value):
            seen.add(path.name.removesuffix(".bad.yaml"))
    assert seen == set(SEEN_BY_SCHEMA)


def test_every_key_is_in_it_with_a_sentence() -> None:
    rule = rules_schema()["definitions"]["rule"]
    assert list(rule["properties"]) == [each.name for each in RULE_KEYS]
    assert all(each["description"].endswith((".", "fire.")) for each in rule["properties"].values())


@pytest.mark.parametrize("scope", RULE_SCOPES)
def test_the_keys_of_a_scope_are_offered(scope: Scope) -> None:
    """By both means that editors know: examples, and snippets that say what a key means."""
    condition = rules_schema()["definitions"][f"condition_{scope}"]
    known = catalogue().metrics[scope]
    assert condition["examples"] == list(known)
    assert [each["body"] for each in condition["defaultSnippets"]] == list(known)


def test_it_is_plain_json() -> None:
    schema = rules_schema()
    assert json.loads(json.dumps(schema)) == schema


# The loader and the schema describe one language: what is written under each key, taken by both or by neither.

VALUES: list[Any] = [
    *(None, True, False, 0, 5, -5, 1.5, [], {}, "", " ", "5", " 5 ", "Sales", "a-b", "A b", "x", "  x  "),
    *("5m", " 5m ", "1.5h", "1m30s", "30s1m", "5", "5min", "-5m", " - 5m", "250ms", "1d2h3m4s5ms", "m", "5m 5s"),
    *(
        "#cc",
        "#CC-Alerts",
        "C0123ABCD",
        "@ann",
        "<!here>",
        "<@U012>",
        ["<!here>"],
        ["#cc"],
        ["a", 5, True],
        [None],
        [[]],
    ),
    *("mon-fri", "08:00-18:00", " 8:00 - 18:00 ", "closed", " Closed ", ["closed"], ["08:00-10:00", "11:00-12:00"]),
    *("24:00-25:00", "08:60-09:00", "18:00-08:00", "2026-12-24", " 2026-12-24 ", "24.12.2026", ["2026-12-24"]),
    *("https://wiki.example/x", "ftp://x", "true", "feed-x", "007", "entered.today > 5", "queue", "critical", "keep"),
    *({"name": "Sales*"}, {"id": 103}, {"name": [42, True]}, {"name": None}, {"nam": "x"}, {"exclude": {"id": "9"}}),
    *({"critical": "#cc"}, {"critical": "<!here>"}, {"urgent": "#cc"}, {"country": "FI"}, {"dates": "2026-12-24"}),
    *({"subdivision": "BY"}, {"calendar": "office"}, {"calendar": "office", "shift": "-10m"}, {"warn": "60s"}),
    *({"Mon-Fri": "08:00-18:00"}, {"MONDAY": "closed"}, {"mon - fri": "08:00-18:00"}, {"mon, tue": ["08:00-18:00"]}),
    *({"people": "08:00-18:00"}, {"2026-12-31": "closed"}, {" 2026-12-31 ": "08:00-12:00"}, {"31.12.2026": "closed"}),
    *(
        {"after_open": "5m"},
        {"after_open": 5},
        {"team": "sales", "shift": 5, "late": True},
        {"team": None},
        {"team": ""},
    ),
    *("0s", "rule", "parent", {"every": "15m"}, {"every": "15m", "most": "2h"}, {"every": "15m", "most": "5m"}),
    *({"every": 15}, {"most": "2h"}, [{"after": "10m"}], [{"after": "10m", "channel": "#cc"}, {"after": "20m"}]),
    *([{"after": "10m"}, {"after": "5m"}], [{"after": "10m", "mention": []}], [{"channel": "#cc"}], [{"after": 10}]),
    *([{"after": "10m", "channel": ["#cc", "C0123ABCD"], "mention": "<!here>"}], [{"after": "0s"}]),
    *({"when": "entered.today > 5"}, {"when": "entered.today > 5", "for": " 5m "}, {"for": "5m"}),
]
# What a schema cannot say: of these keys it may take more than the loader.
CANNOT_SAY = {
    "when": "whether a text is a condition",
    "guard": "whether a text is a condition",
    "clear": "whether a text is a condition",
    "warning": "whether a text is a condition",
    "during": "which calendars there are",
    "outside": "which calendars there are",
    "suppressed_by": "which rules there are",
    "show": "which metric keys there are",
    "params": "which parameters the conditions use",
    "channel": "which levels the rule has",
    "mention": "which levels the rule has",
    "remind": "how often the tenants are polled, and which of two durations is longer",
    "escalate": "which of two durations is longer",
    "group_by": "which scope the rule has",
    "overrides": "which parameters the rule has",
    "hours.timezone": "which time zones there are",
    "hours.holidays": "which countries and dates there are",
    "hours.open": "whether hours end when they begin",
}


def rule_file(key: str, value: Any) -> dict[str, Any]:
    """A rule file that is right but for the value of one key."""
    office: dict[str, Any] = {"timezone": "Europe/Helsinki", "open": {"mon": "08:00-18:00"}}
    rule: dict[str, Any] = {"id": "a", "scope": "queue", "when": "entered.today > 5"}
    file: dict[str, Any] = {"hours": {"office": office}, "rules": [rule]}
    where, _, name = key.rpartition(".")
    if name == "warning":
        del rule["when"]
    holder = {"hours": office, "defaults": file.setdefault("defaults", {}), "": rule}[where]
    holder[name] = value
    return file


def takes(file: dict[str, Any]) -> bool:
    return not read_files({"a.yaml": json.dumps(file)}).faults


IN_A_CALENDAR = ("timezone", "open", "holidays", "exceptions", "grace")
KEYS = [each.name for each in RULE_KEYS] + [f"hours.{name}" for name in IN_A_CALENDAR]
KEYS += [f"defaults.{each.name}" for each in DEFAULT_KEYS]


@pytest.mark.parametrize("key", KEYS)
def test_the_schema_and_the_loader_agree(key: str, validator: jsonschema.Draft7Validator) -> None:
    for value in VALUES:
        file = rule_file(key, value)
        loader, schema = takes(file), validator.is_valid(file)
        if loader != schema and not (schema and key.removeprefix("defaults.") in CANNOT_SAY):
            pytest.fail(f"{key}: {value!r} is {'taken' if loader else 'refused'} by the loader, and not by the schema")


@settings(deadline=None, max_examples=300)  # the machine may be busy
@given(
    st.sampled_from(["for", "keep_firing_for"]), st.from_regex(r"\A ?([0-9]{1,3}(\.[0-9])?(ms|[dhms]|h|x)){1,4} ?\Z")
)
def test_durations_are_read_alike(key: str, text: str) -> None:
    schema = jsonschema.Draft7Validator(DURATION_SCHEMA)
    assert takes(rule_file(key, text)) == schema.is_valid(text)


def test_a_reported_file_passes(validator: jsonschema.Draft7Validator) -> None:
    """Values that the loader takes and the schema once refused."""
    for name in ("rules-schema", "anchors-at-the-top"):
        path = DATA / "reports" / f"{name}.yaml"
        assert read_files({path.name: path.read_bytes()}).faults == ()
        assert [error.message for error in validator.iter_errors(document(path))] == []
