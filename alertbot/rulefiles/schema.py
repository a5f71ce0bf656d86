"""The JSON Schema of rule files and rule tests, for editors; made from the tables that the parsers read by.

Draft 7, which VS Code's YAML extension (yaml-language-server) supports best. A schema cannot check a condition, so
conditions are strings with the metric keys of their scope as completions; `alertbot check` checks them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from alertbot.rulefiles import test_keys
from alertbot.rulefiles.calendar_keys import DURING_KEYS, OUTSIDE_KEYS, calendars_schema
from alertbot.rulefiles.fields import ANCHOR_PREFIX, Field
from alertbot.rulefiles.rule_keys import (
    DEFAULT_KEYS,
    ESCALATION_KEYS,
    FILE_KEYS,
    LEVEL_KEYS,
    LEVELS,
    MATCH_KEYS,
    NAME_AND_ID,
    OVERRIDE_KEYS,
    PARAM_NAME,
    REMIND_KEYS,
    RULE_KEYS,
)
from alertbot.rules.catalogue import RULE_SCOPES, Catalogue, Metric, Scope, catalogue
from alertbot.rules.value_types import named


def rules_schema() -> dict[str, Any]:
    """The schema of a rule file, as plain JSON values. The keys of each scope have their own entry in `definitions`."""
    known = catalogue()
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "alertbot rules",
        **_file(FILE_KEYS),
        "anyOf": [{"required": ["rules"]}, {"required": ["hours"]}],  # a file may hold calendars only
        "definitions": {
            "defaults": _object(DEFAULT_KEYS),
            "rule": _rule(),
            "level": _object(LEVEL_KEYS, ["when"]),
            "match": _object(MATCH_KEYS),
            "exclude": _object(NAME_AND_ID),
            "during": _object(DURING_KEYS, ["calendar"]),
            "outside": _object(OUTSIDE_KEYS, ["calendar"]),
            "hours": calendars_schema(),
            "remind": _object(REMIND_KEYS, ["every"]),
            "escalation": _object(ESCALATION_KEYS, ["after"]),
            "override": _object(OVERRIDE_KEYS, ["match", "params"]),
            "params": {
                "type": "object",
                "propertyNames": {"pattern": f"^{PARAM_NAME}$"},
                "additionalProperties": {"type": ["string", "number"]},
                "examples": [{"warn": "60s", "crit": "120s"}],
            },
            "condition": {"type": "string", "pattern": r"\S"},
            **{_name(scope): _condition(known, scope) for scope in RULE_SCOPES},
        },
    }


def tests_schema() -> dict[str, Any]:
    """The schema of a file of rule tests. Its series offer the keys of all scopes: that of the rule is unknown here."""
    known = catalogue()
    keys = dict.fromkeys(key for scope in RULE_SCOPES for key in known.metrics[scope])
    samples = {"type": ["string", "number", "array"], "examples": ["10s 70s _ 20sx4", "50x7", "10s+5sx4"]}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "alertbot rule tests",
        **_file(test_keys.FILE_KEYS, ["tests"]),
        "definitions": {
            "test": _object(test_keys.TEST_KEYS, ["name", "rule"]),
            "entity": _object(test_keys.ENTITY_KEYS),
            "parent": _object(test_keys.PARENT_KEYS),
            "agent": _object(test_keys.AGENT_KEYS),
            "silence": _object(test_keys.SILENCE_KEYS, ["at", "match", "for"]),
            "ack": _object(test_keys.ACK_KEYS, ["at", "by"]),
            "unack": _object(test_keys.UNACK_KEYS, ["at"]),
            "expect": _object(test_keys.EXPECT_KEYS, ["at"]),
            "notice": _object(test_keys.NOTICE_KEYS, ["at", "reason"]),
            "range": _object(test_keys.RANGE_KEYS, ["from"]),
            "series": {"type": "object", "additionalProperties": samples, "properties": dict.fromkeys(keys, samples)},
        },
    }


def _file(fields: Iterable[Field], required: list[str] | None = None) -> dict[str, Any]:
    """A whole file, in which keys that begin with `x-` are a place for anchors."""
    return {**_object(fields, required), "patternProperties": {f"^{ANCHOR_PREFIX}": {}}}


def _object(fields: Iterable[Field], required: list[str] | None = None) -> dict[str, Any]:
    properties = {}
    for each in fields:
        # Draft 7 ignores everything beside a $ref, so the description goes outside it.
        about = {"description": each.help}
        properties[each.name] = {"allOf": [each.schema], **about} if "$ref" in each.schema else {**each.schema, **about}
    schema: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**schema, "required": required} if required else schema


def _rule() -> dict[str, Any]:
    forms: list[dict[str, Any]] = [
        {"required": ["when"], "not": {"anyOf": [{"required": [level]} for level in LEVELS]}},
        *(
            {"required": [level], "not": {"anyOf": [{"required": [key]} for key in ("when", "level", "for")]}}
            for level in LEVELS
        ),
    ]
    return {**_object(RULE_KEYS, ["id", "scope"]), "anyOf": forms, "allOf": [_keys_of(scope) for scope in RULE_SCOPES]}


def _keys_of(scope: Scope) -> dict[str, Any]:
    """A rule of this scope has conditions over the keys of this scope."""
    condition = {"$ref": f"#/definitions/{_name(scope)}"}
    by_name = {each.name: condition for each in RULE_KEYS if _is_condition(each)}
    level = {"properties": {each.name: condition for each in LEVEL_KEYS if _is_condition(each)}}
    return {
        "if": {"properties": {"scope": {"const": scope.value}}, "required": ["scope"]},
        "then": {"properties": {**by_name, **dict.fromkeys(LEVELS, level)}},
    }


def _is_condition(each: Field) -> bool:
    return each.schema == {"$ref": "#/definitions/condition"}


def _name(scope: Scope) -> str:
    return f"condition_{scope.value}"


def _condition(known: Catalogue, scope: Scope) -> dict[str, Any]:
    metrics = known.metrics[scope].values()
    return {
        "type": "string",
        "description": f"A condition over the metric keys of scope {scope.value}.",
        "examples": [metric.key for metric in metrics],
        # A keyword of yaml-language-server: it offers each key with its meaning.
        "defaultSnippets": [
            {"label": metric.key, "body": metric.key, "description": _about(metric)} for metric in metrics
        ],
    }


def _about(metric: Metric) -> str:
    return f"{metric.description} ({named(metric.type)})"
