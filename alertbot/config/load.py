"""Reads alertbot.yaml from disk: fills in references and reports every problem with its line, column and key.

The YAML is read once, by the reader of rule files (`rulefiles/document.py`), whose nodes know their positions.
References (`${NAME}`) are replaced in the nodes. The calendars below `hours` are read from there, as in rule files;
everything else goes to pydantic as plain values.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

from pydantic import BaseModel, SecretStr, ValidationError

from alertbot.config.settings import (
    HttpSettings,
    IgnoredEntities,
    IgnoreSettings,
    MayChange,
    RecordSettings,
    Settings,
    SlackSettings,
    TenantSettings,
)
from alertbot.errors import ConfigError
from alertbot.rulefiles import document
from alertbot.rulefiles.calendar_keys import read_calendars
from alertbot.rulefiles.document import KeyPath, Node, YamlMapping, YamlScalar, YamlSequence
from alertbot.rulefiles.faults import Fault
from alertbot.rulefiles.fields import Report
from alertbot.rules.words import nearest

DEFAULT_PATH = "alertbot.yaml"

PATH_VARIABLE = "ALERTBOT_CONFIG"

_EXPECTED = "expected settings such as `tenants:` and `slack:`; `alertbot init` writes one"

MAX_PROBLEMS = 14  # a report has at most 15 lines: these, and one that counts the rest


def config_path(option: Path | None, environ: Mapping[str, str] = os.environ) -> Path:
    """`--config FILE`, else `$ALERTBOT_CONFIG`, else `./alertbot.yaml`."""
    return option or Path(environ.get(PATH_VARIABLE) or DEFAULT_PATH)


def load(path: Path, environ: Mapping[str, str] = os.environ, *, secrets: bool = True) -> Settings:
    """The settings in a file.

    With `secrets=False`, secrets may be missing and references may be unset: for commands that neither poll nor post.
    Raises ConfigError, with every problem, when the file cannot be read or is wrong.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file (`alertbot init` writes one, --config FILE names another)"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: not UTF-8 text"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    return parse(text, str(path), environ, secrets=secrets)


def parse(text: str, name: str, environ: Mapping[str, str], *, secrets: bool = True) -> Settings:
    """The settings in a text; `name` is the file it came from. Raises ConfigError as `load` does."""
    root, faults = document.read(name, text, if_empty=(_EXPECTED, ""))
    faults = [_without_secret(fault, text) for fault in faults]
    if not isinstance(root, YamlMapping):
        raise ConfigError([str(fault) for fault in faults] or [f"{name}:1:1: {_EXPECTED}"])
    problems = _Problems(name, root)
    for fault in faults:
        problems.add_at(fault.line, fault.column, "", fault.message, fault.hint)
    filled = _References(environ, problems, required=secrets).fill(root, ())
    values = {**document.plain_value(filled), "folder": Path(name).parent}
    hours_key, hours = filled.key("hours"), filled.get("hours")
    if hours_key is not None and hours is not None:
        report = Report(name)
        calendars = read_calendars(hours_key, hours, report)
        values["hours"] = {key: calendar for key, calendar in calendars.items() if calendar is not None}
        for fault in report.faults:
            problems.add_at(fault.line, fault.column, "hours", fault.message, fault.hint)
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        for each in error.errors():
            problems.add(each["loc"], _sentence(each, Settings))
    if settings is not None and secrets:
        for path, message in _missing_secrets(settings):
            problems.add(path, message)
    if problems or settings is None:
        raise ConfigError(problems.report())
    return settings


def _without_secret(fault: Fault, text: str) -> Fault:
    """The fault, with nothing quoted from a line that holds a secret: an unquoted one may look like an alias or tag."""
    line = text.splitlines()[fault.line - 1 : fault.line]
    if not line or not _SECRET_KEY.search(line[0]):
        return fault
    return replace(fault, message="not valid YAML", hint="write the value in quotes", excerpt="")


class _Problems:
    """The problems of one file, at most one for each key, in the order of the file."""

    def __init__(self, name: str, root: YamlMapping) -> None:
        self._name = name
        self._root = root
        self._lines: dict[tuple[int, int, str], str] = {}
        self._paths: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, path: KeyPath, message: str) -> None:
        """Add what is wrong with the value at `path`, unless something is known to be wrong with it already."""
        dotted = _dotted(path)
        if dotted not in self._paths:
            self._paths.add(dotted)
            place = document.place_of(self._root, path)
            self.add_at(place.line, place.column, dotted, message)

    def add_at(self, line: int, column: int, key: str, message: str, hint: str = "") -> None:
        """Add a problem whose place is known; `key` may be "" where none is to be named."""
        text = f"{key}: {message}" if key else message
        self._lines.setdefault(
            (line, column, key), f"{self._name}:{line}:{column}: {text}{f' ({hint})' if hint else ''}"
        )

    def report(self) -> list[str]:
        """One line for each problem, cut to MAX_PROBLEMS and one that counts the rest."""
        lines = [self._lines[place] for place in sorted(self._lines)]
        if len(lines) > MAX_PROBLEMS + 1:
            lines = [*lines[:MAX_PROBLEMS], f"{self._name}: and {len(lines) - MAX_PROBLEMS} more"]
        return lines


def _dotted(path: KeyPath) -> str:
    return ".".join(str(part) if isinstance(part, str) else f"[{part}]" for part in path).replace(".[", "[")


def _missing_secrets(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    for index, tenant in enumerate(settings.tenants):
        for key in ("api_key", "api_secret"):
            if not getattr(tenant, key).get_secret_value():
                yield ("tenants", index, key), "missing: create the pair in the 8x8 Admin Console > API Keys"
    if not settings.slack.bot_token.get_secret_value():
        yield ("slack", "bot_token"), "missing: it is on the app's page OAuth & Permissions, xoxb-…"


_REFERENCE = re.compile(r"\$\{(?:file:(?P<file>[^}]+)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?)\}")


class _References:
    """Replaces `${NAME}`, `${NAME:-default}` and `${file:PATH}` in nodes.

    What cannot be filled in becomes "", and is a problem where it is `required`.
    """

    def __init__(self, environ: Mapping[str, str], problems: _Problems, *, required: bool) -> None:
        self._environ = environ
        self._problems = problems
        self._required = required

    @overload
    def fill(self, node: YamlMapping, path: KeyPath) -> YamlMapping: ...

    @overload
    def fill(self, node: Node, path: KeyPath) -> Node: ...

    def fill(self, node: Node, path: KeyPath) -> Node:
        """The same node with every reference in its values replaced; positions stay."""
        match node:
            case YamlMapping(entries=entries):
                filled = tuple((key, self.fill(value, (*path, key.text))) for key, value in entries)
                return replace(node, entries=filled)
            case YamlSequence(items=items):
                return replace(node, items=tuple(self.fill(item, (*path, index)) for index, item in enumerate(items)))
            case YamlScalar(text=text) if "${" in text:
                return replace(node, text=_REFERENCE.sub(lambda match: self._value(match, path), text))
        return node

    def _value(self, match: re.Match[str], path: KeyPath) -> str:
        if match["file"]:
            try:
                return Path(match["file"]).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
                return self._missing(path, f"cannot read {match['file']}: {reason}")
        value = self._environ.get(match["name"]) or match["default"]
        if value is None:
            return self._missing(path, f"the environment variable {match['name']} is not set")
        return value

    def _missing(self, path: KeyPath, message: str) -> str:
        if self._required:
            self._problems.add(path, message)
        return ""


_SECTIONS: Mapping[str, type[BaseModel]] = {
    "tenants": TenantSettings,
    "slack": SlackSettings,
    "may_change": MayChange,
    "record": RecordSettings,
    "http": HttpSettings,
    "ignore": IgnoreSettings,
    **dict.fromkeys(IgnoreSettings.model_fields, IgnoredEntities),
}


_SECRET_KEYS = [
    key
    for section in _SECTIONS.values()
    for key, field in section.model_fields.items()
    if field.annotation is SecretStr
]
_SECRET_KEY = re.compile(rf"\b({'|'.join(_SECRET_KEYS)})\b['\"]?\s*:")


def _sentence(error: Any, top: type[BaseModel]) -> str:
    """One of pydantic's errors as a sentence, without the value, which may be a secret."""
    kind = error["type"]
    if kind == "extra_forbidden":
        parts = [part for part in error["loc"][:-1] if isinstance(part, str)]
        known = list((_SECTIONS.get(parts[-1], top) if parts else top).model_fields)
        known = [key for key in known if key != "folder"]
        near = nearest(str(error["loc"][-1]), known)
        return "unknown key" + (f' (did you mean "{near[0]}"?)' if near else f" (known: {', '.join(known)})")
    if kind == "missing":
        return "missing"
    if kind in ("model_type", "dict_type"):
        return "expected keys, indented below it"
    if kind == "tuple_type":
        return "expected a list: lines that start with `- `"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "string_pattern_mismatch":
        return f"invalid value: it must match {error['ctx']['pattern']}"
    message = str(error["msg"])
    return message[0].lower() + message[1:]
