"""The YAML that `tune` proposes: the keys of the rule to replace, and the rule with these keys in place.

The text is parsed and put into the rule as the file has it, and the result is parsed as any rule file is. So what is
replayed to check a proposal is what the author would have after pasting it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from alertbot.backtest.limits import Limit, Tunable
from alertbot.rulefiles import document
from alertbot.rulefiles.document import YamlMapping, YamlSequence, plain_value
from alertbot.rulefiles.parse_rules import Calendars, parse_files
from alertbot.rules.match import exactly, matches
from alertbot.rules.rule import Rule
from alertbot.rules.units import write_number

_WIDTH = 110


@dataclass(frozen=True)
class Written:
    """A rule as written: its own mapping, and the `defaults` of its file."""

    rule: Mapping[str, Any]
    defaults: Mapping[str, Any]


@dataclass(frozen=True)
class OverrideFor:
    """An override for one entity, by name, or by id where `by_id`; `comment` stands beside it."""

    entity_id: str
    name: str
    settings: Mapping[str, float]
    by_id: bool = False
    comment: str = ""


def written(file: str, data: bytes | str, rule_id: str) -> Written | None:
    """The rule in a file without faults; None if the file no longer has it."""
    node, _ = document.read(file, data)
    rules = node.get("rules") if isinstance(node, YamlMapping) else None
    if not isinstance(node, YamlMapping) or not isinstance(rules, YamlSequence):
        return None
    defaults = node.get("defaults")
    for item in rules.items:
        rule = plain_value(item)
        if isinstance(rule, dict) and rule.get("id") == rule_id:
            return Written(rule, plain_value(defaults) if isinstance(defaults, YamlMapping) else {})
    return None


def proposal(
    source: Written,
    tunable: Tunable,
    settings: Mapping[str, float],
    overrides: Sequence[OverrideFor] = (),
) -> str:
    """The keys of the rule that change, as YAML: each replaces the key of that name."""
    return "\n".join(_lines(_changed(source.rule, tunable, settings, overrides), overrides))


def applied(source: Written, text: str, present: Rule, calendars: Calendars, poll_every: timedelta) -> Rule:
    """The rule with this YAML pasted into it, in place of `present`. Raises FaultsFound if the result is not valid.

    What other files and alertbot.yaml decide (suppressors, ignored entities) stays as it is in `present`.
    """
    node, _ = document.read("proposal", text)
    changed = plain_value(node) if node is not None else {}
    rule = {key: value for key, value in {**source.rule, **changed}.items() if key != "suppressed_by"}
    content = json.dumps({"defaults": source.defaults, "rules": [rule]}, ensure_ascii=False)
    parsed = parse_files({"proposal": content}, calendars, poll_every).rules[0]
    return replace(parsed, suppressed_by=present.suppressed_by, match=present.match, countable=present.countable)


def _changed(
    raw: Mapping[str, Any], tunable: Tunable, settings: Mapping[str, float], overrides: Sequence[OverrideFor]
) -> dict[str, Any]:
    limits = {each.name: each for each in (*tunable.levels, *tunable.clear)}
    base = dict(settings)
    changed_names = set(base)  # the tuned limit even where its value stays
    for each in overrides:
        for name, value in each.settings.items():
            if value != base.get(name, limits[name].present):
                changed_names.add(name)
    varying = {
        name
        for name in changed_names
        if any(
            each.settings.get(name, limits[name].present) != base.get(name, limits[name].present) for each in overrides
        )
    }
    params: dict[str, Any] = dict(raw.get("params") or {})
    names: dict[str, str] = {}  # the parameter of each limit, by the limit's name
    texts: dict[str, list[tuple[Limit, str]]] = {}  # what to write in the conditions, by level
    for name in sorted(changed_names, key=list(limits).index):
        limit = limits[name]
        text = write_number(base.get(name, limit.present), limit.type)
        if limit.param:
            names[name] = limit.param
            params[limit.param] = text
            continue
        place = limit.level.word if limit.level is not None else "clear"
        if name in varying:
            names[name] = _free(f"{place}_limit", params)
            params[names[name]] = text
            text = f"${names[name]}"
        texts.setdefault(place, []).append((limit, text))
    changed: dict[str, Any] = {}
    if names:
        changed["params"] = params
    if overrides:
        changed["overrides"] = [
            *(_override(raw, tunable, each, names, base, limits) for each in overrides),
            *(raw.get("overrides") or []),
        ]
    for place, edits in texts.items():
        changed.update(_condition(raw, place, edits))
    return changed


def _free(name: str, taken: Mapping[str, Any]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}{number}"
    return free


def _override(
    raw: Mapping[str, Any],
    tunable: Tunable,
    each: OverrideFor,
    names: Mapping[str, str],
    base: Mapping[str, float],
    limits: Mapping[str, Limit],
) -> dict[str, Any]:
    match = {"id": [each.entity_id]} if each.by_id or not each.name else {"name": [exactly(each.name)]}
    params: dict[str, Any] = {}
    for old in raw.get("overrides") or []:
        if isinstance(old, dict) and _is_about(old.get("match") or {}, each):  # only the first that matches counts
            params.update(old.get("params") or {})
            break
    for name, param in names.items():
        value = each.settings.get(name, limits[name].present)
        if value != base.get(name, limits[name].present):
            params[param] = write_number(value, limits[name].type)
    return {"match": match, "params": params}


def _is_about(match: Mapping[str, Any], each: OverrideFor) -> bool:
    def among(value: Any, test: Any) -> bool:
        return any(
            test(str(one)) for one in (value if isinstance(value, list) else [value] if value is not None else [])
        )

    def named(one: Mapping[str, Any]) -> bool:
        return among(one.get("name"), lambda pattern: matches(pattern, each.name)) or among(
            one.get("id"), lambda one_id: one_id == each.entity_id
        )

    return (named(match) or not (match.get("name") or match.get("id"))) and not named(match.get("exclude") or {})


def _condition(raw: Mapping[str, Any], place: str, edits: Sequence[tuple[Limit, str]]) -> dict[str, Any]:
    """The key with a condition whose numbers are replaced."""
    if place == "clear":
        return {"clear": _edited(raw["clear"], edits)}
    if isinstance(raw.get(place), dict):
        return {place: {**raw[place], "when": _edited(raw[place]["when"], edits)}}
    return {"when": _edited(raw["when"], edits)}


def _edited(text: str, edits: Sequence[tuple[Limit, str]]) -> str:
    text = str(text).strip().replace("\n", " ")  # spans count in the text as the parser takes it
    for limit, value in sorted(edits, key=lambda pair: -pair[0].span.start):
        text = text[: limit.span.start] + value + text[limit.span.end :]
    return text


# Writing YAML.


def _lines(changed: Mapping[str, Any], overrides: Sequence[OverrideFor]) -> list[str]:
    lines = []
    for key, value in changed.items():
        if key == "overrides":
            lines.append("overrides:")
            for index, each in enumerate(value):
                comment = overrides[index].comment if index < len(overrides) else ""
                lines += [
                    f"  - match: {_flow(each.get('match') or {})}" + (f"  # {comment}" if comment else ""),
                    f"    params: {_flow(each.get('params') or {})}",
                ]
        elif key == "params":
            flow = f"params: {_flow(value)}"
            lines += (
                [flow]
                if len(flow) <= _WIDTH
                else ["params:", *(f"  {name}: {_flow(one)}" for name, one in value.items())]
            )
        elif isinstance(value, dict):
            lines += [f"{key}:", *(f"  {name}: {_block(one)}" for name, one in value.items())]
        else:
            lines.append(f"{key}: {_block(value)}")
    return lines


_PLAIN = re.compile(r"[A-Za-z0-9$][A-Za-z0-9_$.% *<>=/()+-]*")


def _block(value: Any) -> str:
    """A value after `key: `: plain where YAML reads it as the same text, else in quotes."""
    if isinstance(value, str):
        node, faults = document.read("value", f"x: {value}\n") if "\n" not in value else (None, [])
        same = not faults and node is not None and plain_value(node) == {"x": value}
        return value if same else json.dumps(value, ensure_ascii=False)
    return _flow(value)


def _flow(value: Any) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{_flow(key)}: {_flow(one)}" for key, one in value.items()) + "}"
        case list():
            return "[" + ", ".join(_flow(one) for one in value) + "]"
        case str() if _PLAIN.fullmatch(value) and value == value.strip() and "*" not in value[:1]:
            node, _ = document.read("value", f"[{value}]")
            if node is not None and plain_value(node) == [value]:
                return value
    return json.dumps(value, ensure_ascii=False)
