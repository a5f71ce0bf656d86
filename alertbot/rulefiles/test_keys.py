"""The keys of a file of rule tests: tables as in `fields.py`, read by `parse_tests.py` and turned into a schema."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from alertbot.rulefiles.document import Node, YamlMapping, YamlScalar, YamlSequence
from alertbot.rulefiles.fields import (
    DURATION_SCHEMA,
    ID,
    TEXT_SCHEMA,
    TEXTS_SCHEMA,
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
from alertbot.rulefiles.rule_keys import LEVELS, read_channel_name, read_level
from alertbot.rulefiles.rule_test import PollRange
from alertbot.rulefiles.series import parse_timestamp
from alertbot.rules.slack_ids import CHANNEL
from alertbot.rules.terms import EXAMPLE, Terms, parse_terms, words
from alertbot.rules.words import listed

FIRST_YEAR, LAST_YEAR = 1971, 2999
"""The years in which rule tests run: windows, time zones and calendars reach beyond them and stay within datetime."""

STATES = ("inactive", "pending", "firing", "recovering")
# The values of Reason (alerts/alert.py) that a rule test may expect; a test compares the two.
REASONS = (
    "fired",
    "level_up",
    "level_down",
    "reminder",
    "escalated",
    "resolved",
    "no_longer_reported",
    "rule_removed",
    "not_covered",
    "tenant_removed",
    "closed_by_hand",
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
        time = parse_timestamp(node.text.strip())
    except ValueError as error:
        message, _, hint = str(error).rpartition(": write ")
        report.add(node.place, f"{key.text}: {message}", f"write {hint}", node.text)
        return None
    if not FIRST_YEAR <= time.year <= LAST_YEAR:
        message = f"{key.text}: a test runs between the years {FIRST_YEAR} and {LAST_YEAR}"
        report.add(node.place, message, "write 2026-03-02T09:00:00+02:00", node.text)
        return None
    return time


def _every(key: YamlScalar, node: Node, report: Report) -> timedelta | None:
    found = read_duration(key, node, report)
    if found == timedelta(0):
        report.add(node.place, "every is 0s", "write the time between polls: 15s", "0s")
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
    """A reader for a list of mappings; other items are refused, and the rest is kept."""

    def read(key: YamlScalar, node: Node, report: Report) -> tuple[YamlMapping, ...] | None:
        if not isinstance(node, YamlSequence):
            refuse(key, node, report, "a list", hint)
            return None
        for item in node.items:
            if not isinstance(item, YamlMapping):
                report.add(place_of(key, item), f"each item of {key.text} must be a mapping", hint)
        return tuple(item for item in node.items if isinstance(item, YamlMapping))

    return read


def _ranges(key: YamlScalar, node: Node, report: Report) -> tuple[PollRange, ...] | None:
    """`45s` (from then on), `{from: 45s, until: 2m}`, or a list of these."""
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


def _longer_than_nothing(key: YamlScalar, node: Node, report: Report) -> timedelta | None:
    found = read_duration(key, node, report)
    if found == timedelta(0):
        report.add(node.place, f"{key.text} is 0s", "write how long it lasts: 30m", "0s")
        return None
    return found


def _terms(key: YamlScalar, node: Node, report: Report) -> Terms | None:
    """The matcher of a silence, as it is typed after the command `silence`."""
    if not isinstance(node, YamlScalar) or node.kind != "text" or not node.text.strip():
        refuse(key, node, report, "terms as for the command silence", f"such as match: {EXAMPLE}")
        return None
    try:
        return parse_terms(word for word, _ in words(node.text))
    except ValueError as error:
        message, _, hint = str(error).rstrip(".").partition(": ")
        report.add(node.place, message[:1].lower() + message[1:], hint, node.text)
        return None


_LEVEL = {"enum": list(LEVELS)}
_SERIES = {"$ref": "#/definitions/series"}
_POLL_RANGES = {
    "anyOf": [
        DURATION_SCHEMA,
        {"$ref": "#/definitions/range"},
        {"type": "array", "items": {"anyOf": [DURATION_SCHEMA, {"$ref": "#/definitions/range"}]}},
    ]
}


def _list(name: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/definitions/{name}"}}


RANGE_KEYS = (
    Field("from", read_duration, DURATION_SCHEMA, "The first poll, counted from the start."),
    Field("until", read_duration, DURATION_SCHEMA, "The first poll after it; default: to the end."),
)
PARENT_KEYS = (
    Field("id", read_text, TEXT_SCHEMA, "The id of the queue or group."),
    Field("name", read_text, TEXT_SCHEMA, "Its name."),
)
AGENT_KEYS = (
    Field("id", read_text, TEXT_SCHEMA, "The agent's id."),
    Field("name", read_text, TEXT_SCHEMA, "The agent's name."),
    Field("series", _mapping("keys with their samples"), _SERIES, "The agent's metric keys in this queue or group."),
    Field("usual", _mapping("keys with their samples"), _SERIES, "The usual values of the agent, one sample per poll."),
)
ENTITY_KEYS = (
    Field("id", read_text, TEXT_SCHEMA, "The id; default: its position in the list."),
    Field("name", read_text, TEXT_SCHEMA, "The name; default: the id."),
    Field("parent", _mapping("{id, name}"), {"$ref": "#/definitions/parent"}, "The queue of a queue_agent."),
    Field("series", _mapping("keys with their samples"), _SERIES, "Its own samples; they override those of the test."),
    Field(
        "usual",
        _mapping("keys with their samples"),
        _SERIES,
        "Its own usual values; they override those of the test.",
    ),
    Field("agents", _mappings("- {id, name, series}"), _list("agent"), "Its agents, for count(agents where …)."),
    Field("gone", _ranges, _POLL_RANGES, "When it is absent from complete polls."),
)
EXPECT_KEYS = (
    Field("at", read_duration, DURATION_SCHEMA, "After which poll, counted from the start."),
    Field("entity", read_text, TEXT_SCHEMA, "Which entity, by id or name; needed where there are several."),
    Field("state", _one_of(STATES), {"enum": list(STATES)}, "The state of its alert; inactive again after the end."),
    Field("level", read_level, _LEVEL, "The level that fires, or would fire."),
    Field("why", _texts, TEXTS_SCHEMA, "Texts that the last decision contains."),
    Field("card", _texts, TEXTS_SCHEMA, "Texts that the card would contain at that time; [] for no card."),
)
NOTICE_KEYS = (
    Field("at", read_duration, DURATION_SCHEMA, "At which poll, counted from the start."),
    Field("reason", _one_of(REASONS), {"enum": list(REASONS)}, "Why it is reported."),
    Field("entity", read_text, TEXT_SCHEMA, "Which entity, by id or name."),
    Field("level", read_level, _LEVEL, "The level that is reported."),
    Field(
        "channel",
        read_channel_name,
        {"type": "string", "pattern": f"^(?:{CHANNEL})$"},
        "The channel it is reported to.",
    ),
    Field("text", read_text, TEXT_SCHEMA, "A text that its reason contains."),
)
SILENCE_KEYS = (
    Field(
        "at",
        read_duration,
        DURATION_SCHEMA,
        "When it begins, counted from the start; the poll of that time is silenced.",
    ),
    Field(
        "match",
        _terms,
        {"type": "string", "pattern": "=", "examples": [EXAMPLE, "level=warning label.team=sales"]},
        "Which alerts it silences: terms as after the command silence; all of them must match.",
    ),
    Field("for", _longer_than_nothing, DURATION_SCHEMA, "How long it lasts."),
)
ACK_KEYS = (
    Field("at", read_duration, DURATION_SCHEMA, "When, counted from the start; after the poll of that time."),
    Field("by", read_text, TEXT_SCHEMA, "The new owner, as the card shows it: a name or a Slack user id."),
    Field("id_of", read_text, TEXT_SCHEMA, "The entity of the alert, by id or name; needed if there are several."),
)
UNACK_KEYS = (
    Field("at", read_duration, DURATION_SCHEMA, "When, counted from the start; after the poll of that time."),
    Field("by", read_text, TEXT_SCHEMA, "The user who gives it back."),
    Field("id_of", read_text, TEXT_SCHEMA, "The entity of the alert, by id or name; needed if there are several."),
)
TEST_KEYS = (
    Field("name", read_text, TEXT_SCHEMA, "What it shows, in a sentence."),
    Field(
        "rule",
        read_text,
        {"type": ["string", "integer", "boolean"], "pattern": rf"^\s*{ID}\s*$"},
        "The id of the rule.",
    ),
    Field("start", _timestamp, {"type": "string"}, "The time of the first poll; default: a Monday morning."),
    Field("every", _every, DURATION_SCHEMA, "The time between polls; default: 15s."),
    Field("entity", _mapping("{id, name}"), {"$ref": "#/definitions/entity"}, "The entity, where there is one."),
    Field("entities", _mappings("- {id, name, series}"), _list("entity"), "The entities, where there are several."),
    Field("series", _mapping("keys with their samples"), _SERIES, "Samples of all entities, one per poll."),
    Field(
        "usual",
        _mapping("keys with their samples"),
        _SERIES,
        "The value of usual(KEY, …) at each poll, for any number of weeks; a key that is absent is unknown.",
    ),
    Field("agents", _mappings("- {id, name, series}"), _list("agent"), "The agents of the entity."),
    Field("failed", _ranges, _POLL_RANGES, "Polls without any data."),
    Field(
        "silences",
        _mappings("- {at: 0s, match: name=Sales, for: 30m}"),
        _list("silence"),
        "Silences of alerts.",
    ),
    Field("acks", _mappings("- {at: 2m, by: ann}"), _list("ack"), "When alerts are acknowledged, and by whom."),
    Field("unacks", _mappings("- {at: 5m}"), _list("unack"), "When alerts that were acknowledged are given back."),
    Field(
        "expect", _mappings("- {at: 45s, state: firing}"), _list("expect"), "The expected state of the alert, and when."
    ),
    Field(
        "notices", _mappings("- {at: 45s, reason: fired}"), _list("notice"), "The complete list of expected notices."
    ),
)
FILE_KEYS = (Field("tests", _mappings("- name: … and rule: … below it"), _list("test"), "The tests of this file."),)
