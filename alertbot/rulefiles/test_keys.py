"""The keys of a file of rule tests: tables as in `fields.py`, read by `parse_cases.py` and written down as a schema."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from alertbot.rulefiles.document import Node, YamlMapping, YamlScalar, YamlSequence
from alertbot.rulefiles.fields import (
    DURATION,
    ID,
    Field,
    Reader,
    Report,
    did_you_mean,
    place_of,
    read_duration,
    read_fields,
    read_text,
    refuse,
)
from alertbot.rulefiles.rule_keys import CHANNEL, LEVELS, read_channel_name, read_level
from alertbot.rulefiles.rule_test import PollRange
from alertbot.rulefiles.series import parse_timestamp
from alertbot.rules.words import listed

STATES = ("inactive", "pending", "firing", "recovering")
# The words of Reason (alerts/alert.py) that a rule test may expect; a test holds the two together.
REASONS = (
    "fired",
    "level_up",
    "level_down",
    "reminder",
    "escalated",
    "resolved",
    "no_longer_reported",
    "rule_removed",
    "outside_hours",
    "silence_ended",
    "suppression_ended",
)


def _one_of(words: tuple[str, ...]) -> Reader:
    def read(key: YamlScalar, node: Node, report: Report) -> str | None:
        if isinstance(node, YamlScalar) and node.text in words:
            return node.text
        near = did_you_mean(node.text, words) if isinstance(node, YamlScalar) else ""
        refuse(key, node, report, listed(words, "or"), near)
        return None

    return read


def _timestamp(key: YamlScalar, node: Node, report: Report) -> datetime | None:
    if not isinstance(node, YamlScalar) or node.kind == "null":
        refuse(key, node, report, "a time", "such as 2026-03-02T09:00:00+02:00")
        return None
    try:
        return parse_timestamp(node.text.strip())
    except ValueError as error:
        message, _, hint = str(error).rpartition(": write ")
        report.add(node.place, f"{key.text}: {message}", f"write {hint}", node.text)
        return None


def _every(key: YamlScalar, node: Node, report: Report) -> timedelta | None:
    found = read_duration(key, node, report)
    if found == timedelta(0):
        report.add(node.place, "every is 0s", "write how far apart polls are: 15s", "0s")
        return None
    return found


def _texts(key: YamlScalar, node: Node, report: Report) -> tuple[str, ...] | None:
    items = node.items if isinstance(node, YamlSequence) else (node,)
    found = [read_text(key, item, report) for item in items]
    return None if None in found else tuple(each for each in found if each is not None)


def _mapping(hint: str) -> Reader:
    def read(key: YamlScalar, node: Node, report: Report) -> YamlMapping | None:
        if isinstance(node, YamlMapping):
            return node
        refuse(key, node, report, "a mapping", hint)
        return None

    return read


def _mappings(hint: str) -> Reader:
    """A list of mappings; what is none is refused, and the rest is read on."""

    def read(key: YamlScalar, node: Node, report: Report) -> tuple[YamlMapping, ...] | None:
        if not isinstance(node, YamlSequence):
            refuse(key, node, report, "a list", hint)
            return None
        for item in node.items:
            if not isinstance(item, YamlMapping):
                report.add(place_of(key, item), f"each of {key.text} is a mapping", hint)
        return tuple(item for item in node.items if isinstance(item, YamlMapping))

    return read


def _ranges(key: YamlScalar, node: Node, report: Report) -> tuple[PollRange, ...] | None:
    """`45s` (from then on), `{from: 45s, until: 2m}`, or a list of those."""
    found = []
    for item in node.items if isinstance(node, YamlSequence) else (node,):
        if not isinstance(item, YamlMapping):
            since = read_duration(key, item, report)
            if since is not None:
                found.append(PollRange(since))
            continue
        values = read_fields(item, RANGE_KEYS, report, key.text)
        if item.key("from") is None:
            report.add(item.place, f"{key.text} without from", "write {from: 45s, until: 2m}")
        if "from" in values:
            found.append(PollRange(values["from"], values.get("until")))
    return tuple(found)


_TEXT: dict[str, Any] = {"type": ["string", "number"]}
_TEXTS: dict[str, Any] = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}
_DURATION = {"type": "string", "pattern": f"^{DURATION}$"}
_LEVEL = {"enum": list(LEVELS)}
_SERIES = {"$ref": "#/definitions/series"}
_POLL_RANGES = {
    "anyOf": [
        _DURATION,
        {"$ref": "#/definitions/range"},
        {"type": "array", "items": {"anyOf": [_DURATION, {"$ref": "#/definitions/range"}]}},
    ]
}


def _list(name: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/definitions/{name}"}}


RANGE_KEYS = (
    Field("from", read_duration, _DURATION, "The first poll, counted from the start."),
    Field("until", read_duration, _DURATION, "The first poll after it; default: to the end."),
)
PARENT_KEYS = (
    Field("id", read_text, _TEXT, "The id of the queue or group."),
    Field("name", read_text, _TEXT, "Its name."),
)
AGENT_KEYS = (
    Field("id", read_text, _TEXT, "The agent's id."),
    Field("name", read_text, _TEXT, "The agent's name."),
    Field("series", _mapping("keys with their samples"), _SERIES, "The agent's metric keys in this queue or group."),
)
ENTITY_KEYS = (
    Field("id", read_text, _TEXT, "The id; default: its place in the list."),
    Field("name", read_text, _TEXT, "The name; default: the id."),
    Field("parent", _mapping("{id, name}"), {"$ref": "#/definitions/parent"}, "The queue of a queue_agent."),
    Field("series", _mapping("keys with their samples"), _SERIES, "Its own samples; they go before those of the test."),
    Field("agents", _mappings("- {id, name, series}"), _list("agent"), "Its agents, for count(agents where …)."),
    Field("gone", _ranges, _POLL_RANGES, "When complete polls do not have it."),
)
EXPECT_KEYS = (
    Field("at", read_duration, _DURATION, "After which poll, counted from the start."),
    Field("entity", read_text, _TEXT, "Which entity, by id or name; needed where there are several."),
    Field("state", _one_of(STATES), {"enum": list(STATES)}, "Where its alert is; inactive again after the end."),
    Field("level", read_level, _LEVEL, "The level that fires, or would."),
    Field("why", _texts, _TEXTS, "Texts that the last decision contains."),
    Field("card", _texts, _TEXTS, "Texts that the card contains, were it drawn then; [] for no card."),
)
NOTICE_KEYS = (
    Field("at", read_duration, _DURATION, "At which poll, counted from the start."),
    Field("reason", _one_of(REASONS), {"enum": list(REASONS)}, "Why somebody is told."),
    Field("entity", read_text, _TEXT, "Which entity, by id or name."),
    Field("level", read_level, _LEVEL, "The level that is told."),
    Field("channel", read_channel_name, {"type": "string", "pattern": f"^(?:{CHANNEL})$"}, "Where it is told."),
    Field("text", read_text, _TEXT, "A text that its reason contains."),
)
TEST_KEYS = (
    Field("name", read_text, _TEXT, "What it shows, in a sentence."),
    Field("rule", read_text, {"type": "string", "pattern": f"^{ID}$"}, "The id of the rule."),
    Field("start", _timestamp, {"type": "string"}, "When the first poll is; default: a Monday morning."),
    Field("every", _every, _DURATION, "How far apart polls are; default: 15s."),
    Field("entity", _mapping("{id, name}"), {"$ref": "#/definitions/entity"}, "The entity, where there is one."),
    Field("entities", _mappings("- {id, name, series}"), _list("entity"), "The entities, where there are several."),
    Field("series", _mapping("keys with their samples"), _SERIES, "Samples of all entities, one a poll."),
    Field("agents", _mappings("- {id, name, series}"), _list("agent"), "The agents of the entity."),
    Field("failed", _ranges, _POLL_RANGES, "Polls that bring nothing at all."),
    Field("expect", _mappings("- {at: 45s, state: firing}"), _list("expect"), "What its alert is to be, and when."),
    Field("notices", _mappings("- {at: 45s, reason: fired}"), _list("notice"), "All that is to be told, and no more."),
)
FILE_KEYS = (Field("tests", _mappings("- name: … and rule: … below it"), _list("test"), "The tests of this file."),)
