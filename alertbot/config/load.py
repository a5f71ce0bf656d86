"""alertbot.yaml from the disk: references filled in, every problem with its line and key."""

from __future__ import annotations

import difflib
import io
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from alertbot.config.settings import HttpSettings, MayChange, RecordSettings, Settings, SlackSettings, TenantSettings
from alertbot.errors import ConfigError
from alertbot.rulefiles import document
from alertbot.rulefiles.calendar_keys import read_calendars
from alertbot.rulefiles.faults import Fault
from alertbot.rulefiles.fields import Report
from alertbot.rules.hours import Calendar

DEFAULT_PATH = "alertbot.yaml"

PATH_VARIABLE = "ALERTBOT_CONFIG"

MOST_PROBLEMS = 14  # a report is at most 15 lines: these and one that counts the rest


def config_path(option: Path | None, environ: Mapping[str, str] = os.environ) -> Path:
    """`--config FILE`, else `$ALERTBOT_CONFIG`, else `./alertbot.yaml`."""
    return option or Path(environ.get(PATH_VARIABLE) or DEFAULT_PATH)


def load(path: Path, environ: Mapping[str, str] = os.environ, *, secrets: bool = True) -> Settings:
    """The settings of a file; ConfigError with every problem, each naming file, line and key."""
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
    """As `load`, of text that is already read."""
    try:
        data = _yaml().load(io.StringIO(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        hint = " (YAML is indented with spaces)" if "\\t" in str(error.problem) else ""
        raise ConfigError([f"{where}: {error.problem or error.context}{hint}"]) from None
    except YAMLError as error:
        raise ConfigError([f"{name}: {str(error).splitlines()[0]}"]) from None
    if not isinstance(data, CommentedMap):
        text = "expected settings such as `tenants:` and `slack:`; `alertbot init` writes one"
        raise ConfigError([f"{name}:1:1: {text}"])
    problems: dict[tuple[int, str], str] = {}  # by line and key

    def add(loc: tuple[int | str, ...], message: str) -> None:
        line, column = _position(data, loc)
        key = _dotted(loc)
        problems.setdefault((line, key), f"{name}:{line}:{column}: {key + ': ' if key else ''}{message}")

    filled = _fill(data, (), environ, add, secrets=secrets)
    if "hours" in data:
        calendars, faults = _read_hours(text, name, environ, secrets=secrets)
        filled["hours"] = calendars
        for fault in faults:
            hint = f" ({fault.hint})" if fault.hint else ""
            where = f"{name}:{fault.line}:{fault.column}: hours"
            problems.setdefault((fault.line, f"hours:{fault.column}"), f"{where}: {fault.message}{hint}")
    settings: Settings | None = None
    try:
        settings = Settings.model_validate({**filled, "folder": Path(name).parent})
    except ValidationError as error:
        for each in error.errors():
            if not any(key == _dotted(each["loc"]) for _, key in problems):
                add(each["loc"], _sentence(each, Settings))
    if settings is not None and secrets:
        for loc, message in _missing_secrets(settings):
            if not any(key == _dotted(loc) for _, key in problems):
                add(loc, message)
    if problems or settings is None:
        lines = [problems[place] for place in sorted(problems)]
        if len(lines) > MOST_PROBLEMS + 1:
            lines = [*lines[:MOST_PROBLEMS], f"{name}: and {len(lines) - MOST_PROBLEMS} more"]
        raise ConfigError(lines)
    return settings


class _DatesAsTexts(RoundTripConstructor):
    """A date that does not exist is to be told with its place, not to break the reading of all the rest."""


_DatesAsTexts.add_constructor("tag:yaml.org,2002:timestamp", _DatesAsTexts.construct_yaml_str)


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.Constructor = _DatesAsTexts
    return yaml


def _dotted(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) if isinstance(part, str) else f"[{part}]" for part in loc).replace(".[", "[")


def _missing_secrets(settings: Settings) -> Iterator[tuple[tuple[int | str, ...], str]]:
    for index, tenant in enumerate(settings.tenants):
        for key in ("api_key", "api_secret"):
            if not getattr(tenant, key).get_secret_value():
                yield ("tenants", index, key), "missing: 8x8 Admin Console > API Keys makes the pair"
    if not settings.slack.bot_token.get_secret_value():
        yield ("slack", "bot_token"), "missing: the app's page OAuth & Permissions shows it, xoxb-…"


def _read_hours(
    text: str, name: str, environ: Mapping[str, str], *, secrets: bool
) -> tuple[dict[str, Calendar], list[Fault]]:
    """The calendars of `hours`, read as those of rule files are, and what is wrong with them."""
    root, _ = document.read(name, text)  # what is wrong as YAML has been said
    report = Report(name)
    key = root.key("hours") if isinstance(root, document.YamlMapping) else None
    if not isinstance(root, document.YamlMapping) or key is None:
        return {}, []
    node = root.get("hours")
    assert node is not None
    found = read_calendars(key, _fill_node(node, environ, secrets=secrets), report)
    return {each: calendar for each, calendar in found.items() if calendar is not None}, report.faults


def _fill_node(node: document.Node, environ: Mapping[str, str], *, secrets: bool) -> document.Node:
    """As `_fill`; what cannot be filled in has been said by it."""

    def ignore(loc: tuple[int | str, ...], message: str) -> None:
        pass

    match node:
        case document.YamlScalar(text=text):
            return replace(node, text=_fill(text, (), environ, ignore, secrets=secrets)) if "${" in text else node
        case document.YamlSequence(items=items):
            return replace(node, items=tuple(_fill_node(each, environ, secrets=secrets) for each in items))
        case document.YamlMapping(entries=entries):
            filled = tuple((key, _fill_node(value, environ, secrets=secrets)) for key, value in entries)
            return replace(node, entries=filled)


_REFERENCE = re.compile(r"\$\{(?:file:(?P<file>[^}]+)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?)\}")


def _fill(node: Any, loc: tuple[int | str, ...], environ: Mapping[str, str], add: Any, *, secrets: bool) -> Any:
    """The same data with every `${…}` replaced, as plain dicts and lists."""
    if isinstance(node, CommentedMap):
        return {str(k): _fill(v, (*loc, str(k)), environ, add, secrets=secrets) for k, v in node.items()}
    if isinstance(node, CommentedSeq):
        return [_fill(v, (*loc, i), environ, add, secrets=secrets) for i, v in enumerate(node)]
    if not isinstance(node, str):
        return node

    def value_of(match: re.Match[str]) -> str:
        if match["file"]:
            try:
                return Path(match["file"]).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                if secrets:
                    reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
                    add(loc, f"cannot read {match['file']}: {reason}")
                return ""
        value = environ.get(match["name"]) or match["default"]
        if value is None:
            if secrets:
                add(loc, f"the environment variable {match['name']} is not set")
            return ""
        return value

    return _REFERENCE.sub(value_of, node)


def _position(data: Any, loc: tuple[int | str, ...]) -> tuple[int, int]:
    """Line and column, from 1, of the deepest part of `loc` that the file has."""
    line, column = 1, 1
    for part in loc:
        if isinstance(data, CommentedMap) and part in data:
            line, column = (n + 1 for n in data.lc.key(part))
            data = data[part]
        elif isinstance(data, CommentedSeq) and isinstance(part, int) and part < len(data):
            line, column = (n + 1 for n in data.lc.item(part))
            data = data[part]
        else:
            break
    return line, column


_SECTIONS: Mapping[str, type[BaseModel]] = {
    "tenants": TenantSettings,
    "slack": SlackSettings,
    "may_change": MayChange,
    "record": RecordSettings,
    "http": HttpSettings,
}


def _sentence(error: Any, top: type[BaseModel]) -> str:
    """pydantic's error in plain words; never with the value, which may be a secret."""
    kind = error["type"]
    if kind == "extra_forbidden":
        parts = [part for part in error["loc"][:-1] if isinstance(part, str)]
        known = list((_SECTIONS.get(parts[-1], top) if parts else top).model_fields)
        known = [key for key in known if key != "folder"]
        near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        return "unknown key" + (f' (did you mean "{near[0]}"?)' if near else f" (known: {', '.join(known)})")
    if kind == "missing":
        return "missing"
    if kind in ("model_type", "dict_type"):
        return "expected keys of its own, indented below it"
    if kind == "tuple_type":
        return "expected a list: lines that begin with `- `"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "string_pattern_mismatch":
        return f"does not look right: it must match {error['ctx']['pattern']}"
    message = str(error["msg"])
    return message[0].lower() + message[1:]
