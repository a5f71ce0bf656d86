"""The keys of a rule file: one row each, with the reader of its value, its JSON Schema and its meaning.

`parse_rules.py` reads by these tables and `schema.py` turns them into a schema for editors, so the two cannot drift
apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar

from alertbot.rulefiles.calendar_keys import read_hours
from alertbot.rulefiles.document import Node, YamlMapping, YamlScalar, YamlSequence
from alertbot.rulefiles.fields import (
    DURATION_SCHEMA,
    ID,
    TEXT_SCHEMA,
    TEXTS_SCHEMA,
    Field,
    Reader,
    Report,
    called,
    did_you_mean,
    place_of,
    read_bool,
    read_duration,
    read_fields,
    read_text,
    refuse,
)
from alertbot.rules.catalogue import RULE_SCOPES, Scope, ValueType
from alertbot.rules.match import Match, Override
from alertbot.rules.rule import Escalation, GroupBy, Level, NoData, Remind
from alertbot.rules.slack_ids import CHANNEL, MENTION, channel_hint
from alertbot.rules.tree import Literal
from alertbot.rules.units import MAX_DURATION, TOO_LONG, parse_number, too_long, write_duration
from alertbot.rules.words import listed

RESERVED = "feed-"  # ids of the built-in feed rules
PARAM_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
TEMPLATE = r"[A-Za-z0-9][A-Za-z0-9_-]*"
RUNBOOK = r"https?://\S+"


def read_condition(key: YamlScalar, node: Node, report: Report) -> YamlScalar | None:
    """The text of a condition. It is parsed later, when the scope and the params of its rule are known."""
    if isinstance(node, YamlScalar) and node.kind == "text":
        return node
    refuse(key, node, report, "a condition", "such as interactionsWaitInQueue.rt > 5")
    return None


def read_written(key: YamlScalar, node: Node, report: Report) -> YamlScalar | None:
    """A text with its place."""
    if isinstance(node, YamlScalar) and node.kind != "null" and node.text.strip():
        return node
    refuse(key, node, report, "text", 'such as "longest wait {{ value }}"')
    return None


E_ = TypeVar("E_", Scope, NoData, GroupBy)


def _enum(choices: Iterable[E_]) -> Reader:
    by_word = {each.value: each for each in choices}
    words = list(by_word)

    def read(key: YamlScalar, node: Node, report: Report) -> E_ | None:
        if isinstance(node, YamlScalar) and node.text in words:
            return by_word[node.text]
        near = did_you_mean(node.text, words) if isinstance(node, YamlScalar) else ""
        refuse(key, node, report, listed(words, "or"), near)
        return None

    return read


LEVELS = {level.word: level for level in Level}


def read_level(key: YamlScalar, node: Node, report: Report) -> Level | None:
    if isinstance(node, YamlScalar) and node.text in LEVELS:
        return LEVELS[node.text]
    near = did_you_mean(node.text, LEVELS) if isinstance(node, YamlScalar) else ""
    refuse(key, node, report, "info, warning or critical", near)
    return None


def read_id(key: YamlScalar, node: Node, report: Report) -> str | None:
    text = read_text(key, node, report)
    if text is not None and text.startswith(RESERVED):
        report.add(node.place, f'ids that begin with "{RESERVED}" are reserved for built-in rules', "", text)
        return None
    if text is None or re.fullmatch(ID, text):
        return text
    slug = "-".join(re.findall(r"[a-z0-9]+", text.casefold()))
    hint = f"write {slug}" if slug else "such as longest-wait"
    report.add(node.place, f'the id "{text}" may contain only a-z, 0-9 and single hyphens', hint, text)
    return None


def pattern(expression: str, wanted: str, hint: Callable[[str], str]) -> Reader:
    """A reader for text of a fixed form."""

    def read(key: YamlScalar, node: Node, report: Report) -> str | None:
        if isinstance(node, YamlScalar) and node.kind != "null" and re.fullmatch(expression, node.text):
            return node.text
        text = node.text if isinstance(node, YamlScalar) else ""
        refuse(key, node, report, wanted, hint(text))
        return None

    return read


def _mention_hint(text: str) -> str:
    word = text.strip("@<>! ")
    if word in ("here", "channel", "everyone"):
        return f'write "<!{word}>"'
    if re.fullmatch(r"[UW][A-Z0-9]+", word):
        return f'write "<@{word}>"'
    if re.fullmatch(r"(?:subteam\^)?S[A-Z0-9]+", word):
        return f'write "<!subteam^{word.removeprefix("subteam^")}>"'
    return 'such as "<@U0123>", "<!subteam^S0123>" or "<!here>"'


read_channel_name = pattern(CHANNEL, 'a channel such as "#cc-alerts", or a channel id', channel_hint)
read_mention = pattern(MENTION, "a mention in Slack's form", _mention_hint)
read_template = pattern(
    TEMPLATE,
    "the name of a template",
    lambda text: f"write {text.removesuffix('.j2')}" if text.endswith(".j2") else "letters, digits, - and _",
)
read_runbook = pattern(RUNBOOK, "a URL that begins with https://", lambda text: "")


def read_channels(key: YamlScalar, node: Node, report: Report) -> dict[Level, tuple[str, ...]] | None:
    """One channel or a list of them for all levels, or for each level that is named."""
    if isinstance(node, YamlMapping):
        return _by_level(key, node, report, read_channel_list)
    names = read_channel_list(key, node, report)
    return None if names is None else dict.fromkeys(Level, names)


def read_channel_list(key: YamlScalar, node: Node, report: Report) -> tuple[str, ...] | None:
    """One channel or a list of them. An empty list and a channel that is named twice are faults."""
    names: tuple[str, ...] | None = _channel_names(key, node, report)
    if isinstance(node, YamlSequence) and not node.items:
        report.add(key.place, f"{key.text} is an empty list", "name a channel, or remove the key", key.text)
        return None
    if names is not None and len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        report.add(key.place, f"{key.text} names {twice} twice", "name each channel once", key.text)
        return None
    return names


def read_mentions(key: YamlScalar, node: Node, report: Report) -> dict[Level, tuple[str, ...]] | None:
    """One list for all levels, or one for each level that is named."""
    if isinstance(node, YamlMapping):
        return _by_level(key, node, report, _mention_list)
    names = _mention_list(key, node, report)
    if names is None:
        return None
    return dict.fromkeys(Level, tuple(names))


def _by_level(key: YamlScalar, node: YamlMapping, report: Report, read: Reader) -> dict[Level, Any]:
    values = {}
    for name, value in node.entries:
        if name.text not in LEVELS:
            hint = did_you_mean(name.text, LEVELS) or "info, warning or critical"
            report.add(name.place, f'{key.text} is by level, and "{name.text}" is not a level', hint, name.text)
            continue
        setting = read(YamlScalar(f"{key.text}.{name.text}", "text", name.place), value, report)
        if setting is not None:
            values[LEVELS[name.text]] = setting
    return values


def _list_of(read: Reader) -> Reader:
    """A reader for a list; a single value is a list of one."""

    def read_list(key: YamlScalar, node: Node, report: Report) -> tuple[Any, ...] | None:
        items = node.items if isinstance(node, YamlSequence) else (node,)
        values = [read(key, item, report) for item in items]
        return None if None in values else tuple(values)

    return read_list


_mention_list = _list_of(read_mention)
_channel_names = _list_of(read_channel_name)
_text_list = _list_of(read_text)


def read_match(key: YamlScalar, node: Node, report: Report) -> Match | None:
    if not isinstance(node, YamlMapping):
        refuse(key, node, report, "a mapping", 'such as {name: ["Sales*"]}')
        return None
    values = read_fields(node, MATCH_KEYS, report, "match")
    excluded = values.get("exclude", {})
    return Match(
        names=values.get("name", ()),
        ids=values.get("id", ()),
        exclude_names=excluded.get("name", ()),
        exclude_ids=excluded.get("id", ()),
    )


def _read_exclude(key: YamlScalar, node: Node, report: Report) -> dict[str, Any] | None:
    if isinstance(node, YamlMapping):
        return read_fields(node, NAME_AND_ID, report, "exclude")
    refuse(key, node, report, "a mapping", 'such as {name: ["*test*"]}')
    return None


def read_params(key: YamlScalar, node: Node, report: Report) -> dict[str, Literal] | None:
    if not isinstance(node, YamlMapping):
        refuse(key, node, report, "a mapping", "such as {warn: 60s, crit: 120s}")
        return None
    params = {}
    for name, value in node.entries:
        if not re.fullmatch(PARAM_NAME, name.text):
            hint = "letters, digits and _, not beginning with a digit"
            report.add(name.place, f'"{name.text}" cannot name a parameter', hint, name.text)
        literal = read_literal(name, value, report)
        if literal is not None:
            params[name.text] = literal
    return params


def read_overrides(key: YamlScalar, node: Node, report: Report) -> tuple[Override, ...] | None:
    """A list of overrides. Whether the rule has their params is checked when the whole rule is known."""
    if not isinstance(node, YamlSequence):
        refuse(key, node, report, "a list", 'such as - {match: {name: ["VIP*"]}, params: {warn: 20s}}')
        return None
    found = []
    for item in node.items:
        if not isinstance(item, YamlMapping):
            report.add(place_of(key, item), f"an override is a mapping, not {called(item)}", "it has match and params")
            continue
        values = read_fields(item, OVERRIDE_KEYS, report, "an override")
        for name in ("match", "params"):
            if item.key(name) is None:
                report.add(item.place, f"an override without {name}", "it has match and params")
        if "match" in values and "params" in values:
            found.append(Override(values["match"], values["params"]))
    return tuple(found)


def _excerpt(node: Node) -> str:
    return node.text if isinstance(node, YamlScalar) else ""


def read_remind(key: YamlScalar, node: Node, report: Report) -> Remind | None:
    """A duration, or `every` and `most`. Reminders more frequent than polls are a fault."""
    values: dict[str, timedelta] = {}
    written: Node = node
    if not isinstance(node, YamlMapping):
        every, name = read_duration(key, node, report), key.text
    else:
        values = read_fields(node, REMIND_KEYS, report, key.text)
        if node.key("every") is None:
            report.add(key.place, f"{key.text} without every", "such as {every: 15m, most: 2h}", key.text)
        every, written, name = values.get("every"), node.get("every") or node, f"{key.text}.every"
    if every is None:
        return None
    if every < report.poll_every:
        polls = write_duration(report.poll_every)
        message = f"{name} is {write_duration(every)}, shorter than the time between two polls (poll_every: {polls})"
        report.add(written.place, message, f"write {polls} or more", _excerpt(written))
        return None
    most = values.get("most")
    if isinstance(node, YamlMapping) and node.key("most") is not None and (most is None or most < every):
        limit = node.get("most")
        if most is not None and limit is not None:
            message = f"{key.text}.most is {write_duration(most)}, shorter than every ({write_duration(every)})"
            hint = f"write {write_duration(every)} or more: the time between two reminders doubles up to it"
            report.add(limit.place, message, hint, _excerpt(limit))
        return None
    return Remind(every, most)


def read_escalate(key: YamlScalar, node: Node, report: Report) -> tuple[Escalation, ...] | None:
    """A list of steps, each later than the one before."""
    if not isinstance(node, YamlSequence):
        refuse(key, node, report, "a list of steps", 'such as [{after: 10m, channel: "#cc-managers"}]')
        return None
    if not node.items:
        report.add(key.place, f"{key.text} is an empty list", "write a step, or remove the key", key.text)
        return None
    faults_before = len(report.faults)
    steps: list[Escalation] = []
    latest: timedelta | None = None
    for item in node.items:
        if not isinstance(item, YamlMapping):
            message = f"a step of {key.text} is a mapping, not {called(item)}"
            report.add(place_of(key, item), message, 'such as {after: 10m, channel: "#cc-managers"}')
            continue
        values = read_fields(item, ESCALATION_KEYS, report, f"a step of {key.text}")
        written, after = item.get("after"), values.get("after")
        if written is None:
            hint = "such as after: 10m, counted from when the alert fired"
            report.add(item.place, f"a step of {key.text} without after", hint)
        elif after is not None and not after:
            hint = "write how long the alert fires before it, such as 10m; channel may list several channels"
            report.add(written.place, "after is 0s: the alert itself is reported then", hint, _excerpt(written))
        elif after is not None and latest is not None and after <= latest:
            message = f"after is {write_duration(after)}, not later than the step before ({write_duration(latest)})"
            report.add(written.place, message, "write the steps in order of time", _excerpt(written))
        if after is not None:
            latest = after if latest is None else max(latest, after)
            steps.append(Escalation(after, values.get("channel", ()), values.get("mention", ())))
    return tuple(steps) if len(report.faults) == faults_before else None


def _step_mentions(key: YamlScalar, node: Node, report: Report) -> tuple[str, ...] | None:
    if isinstance(node, YamlSequence) and not node.items:
        report.add(key.place, f"{key.text} is an empty list", "write a mention, or remove the key", key.text)
        return None
    names: tuple[str, ...] | None = _mention_list(key, node, report)
    return names


def read_rule_ids(key: YamlScalar, node: Node, report: Report) -> tuple[YamlScalar, ...] | None:
    """A list of ids, each with its place: whether such rules exist is checked when all files are read."""
    items = node.items if isinstance(node, YamlSequence) else (node,)
    found = []
    for item in items:
        if not isinstance(item, YamlScalar) or item.kind == "null" or not item.text.strip():
            refuse(key, item, report, "a list of rule ids", "such as [nobody-logged-in]")
            return None
        found.append(item)
    return tuple(found)


def read_scalars(key: YamlScalar, node: Node, report: Report) -> tuple[YamlScalar, ...] | None:
    """A list of metric keys, each with its place; a single one is a list of one."""
    items = node.items if isinstance(node, YamlSequence) else (node,)
    keys = []
    for item in items:
        if not isinstance(item, YamlScalar) or item.kind == "null" or not item.text.strip():
            refuse(key, item, report, "a list of metric keys", "such as [eligible.rt, enabled.rt]")
            return None
        keys.append(item)
    return tuple(keys)


def read_literal(key: YamlScalar, node: Node, report: Report) -> Literal | None:
    if not isinstance(node, YamlScalar) or node.kind in ("null", "bool"):
        refuse(key, node, report, "a value such as 60s, 85%, 3 or text")
        return None
    text = node.text.strip()
    number = parse_number(text.removeprefix("-"))
    if number is None and node.kind == "number":
        report.add(
            node.place, f"{key.text} is {text}, which is not a plain number", "write digits, such as 3 or 2.5", text
        )
        return None
    if number is None or (node.quoted and number[1] is ValueType.NUMBER):
        return Literal(node.text, ValueType.TEXT)
    value, kind = number
    if too_long(value, kind):
        limit = f"write at most {write_duration(MAX_DURATION)}"
        report.add(node.place, f"{key.text} is {TOO_LONG}", limit, text)
        return None
    return Literal(-value if text.startswith("-") else value, kind)


def read_labels(key: YamlScalar, node: Node, report: Report) -> dict[str, str] | None:
    if not isinstance(node, YamlMapping):
        refuse(key, node, report, "a mapping", "such as {team: sales}")
        return None
    values = {name.text: read_text(name, value, report) for name, value in node.entries}
    return {name: value for name, value in values.items() if value is not None}


def read_level_block(key: YamlScalar, node: Node, report: Report) -> dict[str, Any] | None:
    if not isinstance(node, YamlMapping):
        refuse(key, node, report, "a mapping", "with when: and for: below it")
        return None
    values = read_fields(node, LEVEL_KEYS, report, "a level")
    if node.key("when") is None:
        report.add(key.place, f"{key.text} has no when", "write when: and a condition below it", key.text)
    return values if "when" in values else None


def _as_it_is(key: YamlScalar, node: Node, report: Report) -> Node:
    return node


_CONDITION = {"$ref": "#/definitions/condition"}
_LEVEL_BLOCK = {"$ref": "#/definitions/level"}
_CHANNEL = {"type": "string", "pattern": f"^(?:{CHANNEL})$"}
_CHANNELS: dict[str, Any] = {
    "anyOf": [_CHANNEL, {"type": "array", "items": _CHANNEL, "minItems": 1, "uniqueItems": True}]
}
_MENTIONS: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "pattern": f"^(?:{MENTION})$"},
        {"type": "array", "items": {"type": "string", "pattern": f"^(?:{MENTION})$"}},
    ]
}
_STEP_MENTIONS: dict[str, Any] = {"anyOf": [_MENTIONS["anyOf"][0], {**_MENTIONS["anyOf"][1], "minItems": 1}]}


def _any_level(schema: dict[str, Any]) -> dict[str, Any]:
    by_level = {"type": "object", "additionalProperties": False, "properties": dict.fromkeys(LEVELS, schema)}
    return {"anyOf": [schema, by_level]}


NAME_AND_ID = (
    Field("name", _text_list, TEXTS_SCHEMA, "Globs on the name, case-insensitive."),
    Field("id", _text_list, TEXTS_SCHEMA, "Exact ids."),
)
MATCH_KEYS = (
    *NAME_AND_ID,
    Field("exclude", _read_exclude, {"$ref": "#/definitions/exclude"}, "What is excluded."),
)
OVERRIDE_KEYS = (
    Field("match", read_match, {"$ref": "#/definitions/match"}, "Which entities have other values."),
    Field(
        "params",
        read_params,
        {"$ref": "#/definitions/params"},
        "Their values; params that are not here keep those of the rule.",
    ),
)
LEVEL_KEYS = (
    Field("when", read_condition, _CONDITION, "The condition of this level."),
    Field(
        "for",
        read_duration,
        DURATION_SCHEMA,
        "How long it must hold before the alert fires; default: it fires at once.",
    ),
)
REMIND_KEYS = (
    Field("every", read_duration, DURATION_SCHEMA, "The time until the first reminder, and between two of them."),
    Field(
        "most",
        read_duration,
        DURATION_SCHEMA,
        "With each reminder the time until the next one doubles, up to this; default: it stays the same.",
    ),
)
ESCALATION_KEYS = (
    Field(
        "after", read_duration, DURATION_SCHEMA, "How long after the alert fired, unless it is acknowledged by then."
    ),
    Field("channel", read_channel_list, _CHANNELS, "The channel or channels; default: those of the rule."),
    Field("mention", _step_mentions, _STEP_MENTIONS, "Who is mentioned; default: no one."),
)
RULE_KEYS = (
    Field(
        "id",
        read_id,
        {"type": ["string", "integer", "boolean"], "minimum": 0, "pattern": rf"^\s*(?!{RESERVED}){ID}\s*$"},
        "The name of the rule, unique across all files.",
    ),
    Field("title", read_text, TEXT_SCHEMA, "The heading of the card; default: the id in words."),
    Field(
        "message",
        read_written,
        TEXT_SCHEMA,
        "The sentence on the card while the alert fires, with {{ value }} and {{ metric('KEY') }}; default: built-in.",
    ),
    Field(
        "show",
        read_scalars,
        TEXTS_SCHEMA,
        "Metric keys of the entity whose values the card shows as well.",
        default=True,
    ),
    Field(
        "scope",
        _enum(RULE_SCOPES),
        {"enum": [each.value for each in RULE_SCOPES]},
        "The kind of entity that the rule evaluates.",
    ),
    Field(
        "match",
        read_match,
        {"$ref": "#/definitions/match"},
        "Which queues, groups or agents; default: all. A rule's own replaces that of `defaults`.",
        default=True,
    ),
    Field("known", read_bool, {"type": "boolean"}, "false: metric keys that the catalogue does not have are allowed."),
    Field("guard", read_condition, _CONDITION, "While this is not true, the rule makes no decision."),
    Field("params", read_params, {"$ref": "#/definitions/params"}, "Values for $name in the conditions."),
    Field(
        "overrides",
        read_overrides,
        {"type": "array", "items": {"$ref": "#/definitions/override"}},
        "Other values of params for some entities; the first that matches counts.",
    ),
    Field("when", read_condition, _CONDITION, "The condition, in the short form with one level."),
    Field("level", read_level, {"enum": list(LEVELS)}, "The level of the short form; default: warning."),
    Field("for", read_duration, DURATION_SCHEMA, "How long the condition of the short form must hold."),
    Field("info", read_level_block, _LEVEL_BLOCK, "The level info."),
    Field("warning", read_level_block, _LEVEL_BLOCK, "The level warning."),
    Field("critical", read_level_block, _LEVEL_BLOCK, "The level critical."),
    Field("clear", read_condition, _CONDITION, "When the alert may end; default: when the condition does not hold."),
    Field(
        "keep_firing_for",
        read_duration,
        DURATION_SCHEMA,
        "How long it must stay clear before the alert ends.",
        default=True,
    ),
    Field(
        "no_data",
        _enum(NoData),
        {"enum": [each.value for each in NoData]},
        "What happens while the condition is unknown: keep (default), clear or fire.",
        default=True,
    ),
    Field(
        "during",
        read_hours,
        {"anyOf": [TEXT_SCHEMA, {"$ref": "#/definitions/during"}]},
        "The rule is active while this calendar is open; when it closes, open alerts end.",
        default=True,
    ),
    Field(
        "outside",
        read_hours,
        {"anyOf": [TEXT_SCHEMA, {"$ref": "#/definitions/outside"}]},
        "The rule is active while this calendar is closed.",
        default=True,
    ),
    Field(
        "suppressed_by",
        read_rule_ids,
        TEXTS_SCHEMA,
        "Ids of rules: while one of them fires for the same entity, this rule is not reported.",
    ),
    Field(
        "shadow",
        read_bool,
        {"type": "boolean"},
        "true: evaluated and recorded, shown by `rules`, but not reported.",
        default=True,
    ),
    Field(
        "channel",
        read_channels,
        _any_level(_CHANNELS),
        "The Slack channel or a list of them, or one of these per level.",
        default=True,
        per_level=True,
    ),
    Field(
        "mention",
        read_mentions,
        _any_level(_MENTIONS),
        "Who is mentioned, or who at each level.",
        default=True,
        per_level=True,
    ),
    Field(
        "remind",
        read_remind,
        {"anyOf": [DURATION_SCHEMA, {"$ref": "#/definitions/remind"}]},
        "A line in the thread this often while the alert fires unacknowledged; or {every: 15m, most: 2h}.",
        default=True,
    ),
    Field(
        "escalate",
        read_escalate,
        {"type": "array", "items": {"$ref": "#/definitions/escalation"}, "minItems": 1},
        "Further messages while the alert fires unacknowledged: a list of {after, channel, mention}.",
        default=True,
    ),
    Field(
        "group_by",
        _enum(GroupBy),
        {"enum": [each.value for each in GroupBy]},
        "One card per alert (entity, the default), for all alerts of the rule (rule), or per queue or group (parent).",
        default=True,
    ),
    Field(
        "template",
        read_template,
        {"type": ["string", "integer", "boolean"], "minimum": 0, "pattern": f"^{TEMPLATE}$"},
        "The template of the card: a built-in one, or templates/NAME.j2 next to the rules.",
        default=True,
    ),
    Field(
        "runbook",
        read_runbook,
        {"type": "string", "pattern": f"^{RUNBOOK}$"},
        "The address of a page with instructions.",
        default=True,
    ),
    Field(
        "labels",
        read_labels,
        {"type": "object", "additionalProperties": TEXT_SCHEMA},
        "Your own labels, shown on the card.",
        default=True,
    ),
)
DEFAULT_KEYS = tuple(each for each in RULE_KEYS if each.default)
FILE_KEYS = (
    Field("hours", _as_it_is, {"$ref": "#/definitions/hours"}, "Calendars by name, for during and outside."),
    Field("defaults", _as_it_is, {"$ref": "#/definitions/defaults"}, "Settings for every rule of this file."),
    Field(
        "rules",
        _as_it_is,
        {"type": "array", "items": {"$ref": "#/definitions/rule"}},
        "The rules of this file, each with an id.",
    ),
)
