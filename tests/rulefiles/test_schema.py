"""The JSON Schema of rule files agrees with the parser, as far as a schema can."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError

from alertbot.rulefiles.rule_keys import RULE_KEYS
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
    "everything-at-once",
    "for-beside-levels",
    "for-negative",
    "for-without-unit",
    "hours-as-list",
    "hours-as-people-write-them",
    "hours-everything",
    "hours-that-never-open",
    "id-missing",
    "key-of-a-later-time",
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
