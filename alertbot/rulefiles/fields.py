"""How tables of keys are read: the report of faults, one row of a table, and readers of single values.

A reader returns None for a value that it refused, after adding a fault to the report.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from alertbot.rulefiles.document import Node, YamlMapping, YamlScalar, YamlSequence
from alertbot.rulefiles.faults import Fault, Place, Severity, make_fault, short
from alertbot.rules.catalogue import ValueType
from alertbot.rules.hours import Calendar
from alertbot.rules.plain import INVISIBLE, invisible_name
from alertbot.rules.units import WRITE_A_DURATION, parse_duration, parse_number
from alertbot.rules.words import nearest

ID = r"[a-z0-9]+(?:-[a-z0-9]+)*"
# Each unit at most once, largest first, as `parse_number` reads it.
DURATION = "(?=[0-9])" + "".join(rf"(?:[0-9]+(?:\.[0-9]+)?{unit})?" for unit in ("d", "h", "m", "s", "ms"))

# The JSON Schema of what the readers below take. YAML numbers and booleans are texts to them, as they are written.
TEXT_SCHEMA: dict[str, Any] = {"type": ["string", "number", "boolean"], "pattern": r"\S"}
TEXTS_SCHEMA: dict[str, Any] = {"anyOf": [TEXT_SCHEMA, {"type": "array", "items": TEXT_SCHEMA}]}
DURATION_SCHEMA: dict[str, Any] = {
    "type": "string",
    "pattern": rf"^\s*{DURATION}\s*$",
    "examples": ["30s", "2m", "1m30s"],
}

Known = collections.abc.Mapping[str, Calendar | None]

POLL_EVERY = timedelta(seconds=15)
"""The time between polls where no configuration is at hand; the default of `poll_every`."""


@dataclass
class Report:
    """The faults of one file, and the rule that is being read."""

    file: str
    rule: str = ""
    faults: list[Fault] = field(default_factory=list)
    calendars: Known = field(default_factory=dict)  # by name; None for one that has faults
    poll_every: timedelta = POLL_EVERY  # the longest of the tenants that use the rules
    severity: Severity = Severity.ERROR  # of what is added

    def add(self, place: Place, message: str, hint: str = "", excerpt: str = "") -> None:
        self.faults.append(make_fault(self.file, place, message, hint, excerpt, self.rule, self.severity))


Reader = Callable[[YamlScalar, Node, Report], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One key: its name, its reader, its JSON Schema, and what it means in one sentence."""

    name: str
    read: Reader
    schema: dict[str, Any]
    help: str
    default: bool = False  # allowed under `defaults`
    per_level: bool = False  # may be a mapping from level to value


ANCHOR_PREFIX = "x-"
"""Top-level keys that begin with it are left alone: a place for anchors."""


def read_fields(
    node: YamlMapping, fields: Iterable[Field], report: Report, what: str, schema: str = "rules", *, top: bool = False
) -> dict[str, Any]:
    """The values of a mapping by key, without those that were refused; a key that is not in the table is a fault.

    `schema` is the name of the kind of file in `alertbot schema`, for tables that are too long for a hint. `top`: it is
    the whole file, in which keys that begin with `x-` are left alone.
    """
    by_name = {each.name: each for each in fields}
    values: dict[str, Any] = {}
    for key, value in node.entries:
        if top and key.text.startswith(ANCHOR_PREFIX):
            continue
        known = by_name.get(key.text)
        if known is None:
            report.add(key.place, f'unknown key "{short(key.text)}"', _near(key.text, by_name, what, schema), key.text)
            continue
        read = known.read(key, value, report)
        if read is not None:
            values[key.text] = read
    return values


# Names of these keys in other tools, and common guesses.
_ALSO_CALLED = {
    "alert": "id",
    "name": "title",
    "severity": "level",
    "expr": "when",
    "condition": "when",
    "threshold": "when",
    "hold": "for",
    "filter": "match",
}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean "channel"?`, or "" where no known word is near."""
    known = list(known)
    others = {other: name for other, name in _ALSO_CALLED.items() if name in known}
    near = nearest(word.replace("-", "_"), [*known, *others], cutoff=0.7)
    return f'did you mean "{others.get(near[0], near[0])}"?' if near else ""


_WHERE_KEYS_ARE = {"rules": "Keys of a rule", "tests": "Testing rules"}


def _near(word: str, known: Iterable[str], what: str, schema: str) -> str:
    words = list(known)
    hidden = INVISIBLE.search(word)
    if hidden:
        return f"it contains {invisible_name(hidden[0])}: remove it"
    listed = (
        f"{what} has {', '.join(words)}" if len(words) <= 6 else f'see "{_WHERE_KEYS_ARE[schema]}" in docs/rules.md'
    )
    return did_you_mean(word, words) or listed


def called(node: Node) -> str:
    """A node in words, for "…, not a list"."""
    match node:
        case YamlSequence():
            return "a list"
        case YamlMapping():
            return "a mapping"
        case YamlScalar(kind="null"):
            return "empty"
        case YamlScalar(kind="number" | "bool", text=text):
            return text
        case YamlScalar(text=text):
            return f'"{short(text)}"'


def place_of(key: YamlScalar, node: Node) -> Place:
    """The place to report: an empty value has none, so that of its key."""
    return key.place if isinstance(node, YamlScalar) and node.kind == "null" else node.place


def refuse(key: YamlScalar, node: Node, report: Report, wanted: str, hint: str = "") -> None:
    """Report that a key has a value of the wrong kind."""
    what = called(node)
    message = (
        f"{key.text} is empty: it must be {wanted}" if what == "empty" else f"{key.text} must be {wanted}, not {what}"
    )
    report.add(place_of(key, node), message, hint, node.text if isinstance(node, YamlScalar) else "")


def read_text(key: YamlScalar, node: Node, report: Report) -> str | None:
    if isinstance(node, YamlScalar) and node.kind != "null" and node.text.strip():
        return node.text.strip()
    refuse(key, node, report, "text")
    return None


def read_bool(key: YamlScalar, node: Node, report: Report) -> bool | None:
    if isinstance(node, YamlScalar) and node.kind == "bool":
        return node.text.casefold() == "true"
    refuse(key, node, report, "true or false")
    return None


def read_duration(key: YamlScalar, node: Node, report: Report) -> timedelta | None:
    if not isinstance(node, YamlScalar) or node.kind in ("null", "bool"):
        refuse(key, node, report, "a duration", WRITE_A_DURATION)
        return None
    text = node.text.strip()
    if text.startswith("-"):
        report.add(node.place, f"{key.text} cannot be negative", "write 0s for none", text)
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        plain = parse_number(text)
        message, _, hint = str(error).partition(": ")
        if plain is not None and plain[1] is ValueType.NUMBER:
            message, hint = f"{key.text} is {text} without a unit", f"a duration: write {text}s"
        report.add(node.place, message, hint, text)
        return None
