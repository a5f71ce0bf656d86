"""Reads alertbot.yaml from disk: fills in references and reports every problem with its line, column and key.

The YAML is read once, by the reader of rule files (`rulefiles/document.py`), whose nodes know their positions.
References (`${NAME}`) are replaced in the nodes. The calendars below `hours` are read from there, as in rule files;
everything else goes to pydantic as plain values.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

from pydantic import BaseModel, SecretStr, ValidationError

from alertbot.config.settings import (
    FallbackWebhookSettings,
    FlapSettings,
    HeartbeatSettings,
    HttpSettings,
    IgnoredEntities,
    IgnoreSettings,
    MayChange,
    PageSettings,
    PolicySettings,
    Privacy,
    RecordSettings,
    RefusedValue,
    Settings,
    SlackSettings,
    StormSettings,
    TenantSettings,
)
from alertbot.errors import ConfigError, UsageError
from alertbot.rulefiles import document
from alertbot.rulefiles.calendar_keys import read_calendars
from alertbot.rulefiles.document import MAX_SIZE, KeyPath, Node, YamlMapping, YamlScalar, YamlSequence
from alertbot.rulefiles.faults import Fault
from alertbot.rulefiles.fields import ANCHOR_PREFIX, Report, called
from alertbot.rules.plain import one_line
from alertbot.rules.words import nearest

DEFAULT_PATH = "alertbot.yaml"

PATH_VARIABLE = "ALERTBOT_CONFIG"

_EXPECTED = "expected settings such as `tenants:` and `slack:`; `alertbot init` writes one"

MAX_VALUE_SIZE = 64 * 1024  # bytes of a file that one value is read from

MAX_PROBLEMS = 14  # a report has at most 15 lines: these, and one that counts the rest
MAX_CONSIDERED = 100  # wrong values that are described; the rest, which no one writes by hand, is only counted
MAX_LINE = 1000  # characters of one line of a report: keys and values may have millions


def config_path(option: Path | None, environ: Mapping[str, str] = os.environ) -> Path:
    """`--config FILE`, else `$ALERTBOT_CONFIG`, else `./alertbot.yaml`."""
    return option or Path(environ.get(PATH_VARIABLE) or DEFAULT_PATH)


def load(path: Path, environ: Mapping[str, str] = os.environ, *, secrets: bool = True) -> Settings:
    """The settings in a file.

    With `secrets=False`, secrets may be missing and references may be unset: for commands that neither poll nor post.
    Raises ConfigError, with every problem, when the file cannot be read or is wrong.
    """
    return _read(read_text(path), str(path), environ, secrets=secrets, on_disk=True)[0]


def unset_secrets(path: Path, environ: Mapping[str, str] = os.environ) -> list[str]:
    """What `run` needs and is not set here: names of variables, paths of files, and keys without a value.

    Raises ConfigError as `load` does.
    """
    return _read(read_text(path), str(path), environ, secrets=False, on_disk=True)[1]


def literal_secrets(text: str) -> list[str]:
    """The keys of secrets whose value is written in the file itself, not as a reference; dotted, in its order."""
    root, _ = document.read("", text)
    found: list[str] = []

    def walk(node: Node | None, path: KeyPath) -> None:
        if isinstance(node, YamlMapping):
            for key, value in node.entries:
                walk(value, (*path, key.text))
        elif isinstance(node, YamlSequence):
            for index, item in enumerate(node.items):
                walk(item, (*path, index))
        elif isinstance(node, YamlScalar) and path and path[-1] in _SECRET_KEYS and _is_literal(node):
            found.append(_dotted(path))

    walk(root, ())
    return found


def _is_literal(node: YamlScalar) -> bool:
    return node.kind != "null" and bool(node.text) and "${" not in node.text


def read_text(path: Path) -> str:
    """The text of a configuration file. Raises ConfigError when it cannot be read."""
    try:
        return _limited(path, MAX_SIZE).decode("utf-8")
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file (`alertbot init` writes one, --config FILE names another)"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: not UTF-8 text"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None


def _limited(path: Path, limit: int) -> bytes:
    """The content of a file or pipe. Raises OSError, also where it has more bytes than that: a device never ends."""
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit // 1024:,} KiB")
    return data


def parse(text: str, name: str, environ: Mapping[str, str], *, secrets: bool = True) -> Settings:
    """The settings in a text; `name` is the file it came from. Raises ConfigError as `load` does.

    Whether the folders that it names exist is not checked.
    """
    return _read(text, name, environ, secrets=secrets, on_disk=False)[0]


def is_configuration(data: bytes | str) -> bool:
    """Whether a YAML file is an alertbot.yaml rather than a file of rules or tests."""
    root, _ = document.read("", data)
    if not isinstance(root, YamlMapping) or isinstance(root.get("rules"), YamlSequence):
        return False
    return root.key("tenants") is not None or root.key("slack") is not None


def _read(
    text: str, name: str, environ: Mapping[str, str], *, secrets: bool, on_disk: bool
) -> tuple[Settings, list[str]]:
    """The settings in a text, and what is unset of what `run` needs. `on_disk`: folders that it names must exist."""
    root, faults = document.read(name, text, if_empty=(_EXPECTED, ""))
    lines = text.splitlines() if faults else []
    faults = [_without_secret(fault, lines) for fault in faults]
    if not isinstance(root, YamlMapping):
        raise ConfigError(_cut([str(fault) for fault in faults], name) or [f"{name}:1:1: {_EXPECTED}"])
    root = replace(root, entries=tuple(each for each in root.entries if not each[0].text.startswith(ANCHOR_PREFIX)))
    problems = _Problems(name, root)
    for fault in faults:
        problems.add_at(fault.line, fault.column, "", fault.message, fault.hint)
    references = _References(environ, problems, required=secrets)
    filled = references.fill(root, ())
    values = {**document.plain_value(filled), "folder": Path(name).parent}
    hours_key, hours = filled.key("hours"), filled.get("hours")
    if hours_key is not None and hours is not None:
        report = Report(name)
        calendars = read_calendars(hours_key, hours, report)
        values["hours"] = {key: calendar for key, calendar in calendars.items() if calendar is not None}
        for fault in report.faults:
            reference = references.spelt.get((fault.line, fault.column))
            message, hint = (
                (f"{reference} has a value that is not valid here", "") if reference else (fault.message, fault.hint)
            )
            problems.add_at(fault.line, fault.column, "hours", message, hint)
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        errors = error.errors()
        problems.left_out = len(errors[MAX_CONSIDERED:])
        errors = errors[:MAX_CONSIDERED]
        unknown = [each for each in errors if each["type"] == "extra_forbidden"]
        meant = {(*each["loc"][:-1], near[0]) for each in unknown if (near := _near(each))}
        for each in errors:
            if each["type"] == "missing" and tuple(each["loc"]) in meant:
                continue  # it is there, misspelt, and that is reported
            problems.add(each["loc"], _sentence(each, document.value_at(root, each["loc"])))
    unset = list(references.unset)
    if settings is not None:
        for path, message in _missing_secrets(settings):
            if secrets:
                problems.add(path, message)
            elif path not in references.unset.values():
                unset.append(_dotted(path))
        for path, folder in _rule_folders(settings, root) if on_disk else ():
            if not settings.path(folder).exists():
                problems.add(path, f"no such file or folder: {_spelt(document.value_at(root, path))}")
    if problems or settings is None:
        raise ConfigError(problems.report())
    return settings, list(dict.fromkeys(unset))


def _rule_folders(settings: Settings, root: YamlMapping) -> Iterator[tuple[KeyPath, str]]:
    """The rule folders that the file names, with the path of the key. Unset references are left out."""
    if root.key("rules") is not None and settings.rules:
        yield ("rules",), settings.rules
    for index, tenant in enumerate(settings.tenants):
        if tenant.rules:
            yield ("tenants", index, "rules"), tenant.rules


def _without_secret(fault: Fault, lines: Sequence[str]) -> Fault:
    """The fault, with nothing quoted from a line that holds a secret: an unquoted one may look like an alias or tag."""
    line = lines[fault.line - 1 : fault.line]
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
        self.left_out = 0  # problems that are only counted

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
        sentence = one_line(f"{text}{f' ({hint})' if hint else ''}")
        self._lines.setdefault((line, column, key), f"{self._name}:{line}:{column}: {sentence}")

    def report(self) -> list[str]:
        """One line for each problem, cut to MAX_PROBLEMS and one that counts the rest."""
        return _cut([self._lines[place] for place in sorted(self._lines)], self._name, self.left_out)


def _cut(lines: list[str], name: str, left_out: int = 0) -> list[str]:
    """At most MAX_PROBLEMS of these lines, and one that counts the rest and those that were left out before."""
    kept = lines if len(lines) <= MAX_PROBLEMS + 1 and not left_out else lines[:MAX_PROBLEMS]
    more = len(lines) - len(kept) + left_out
    shown = [line if len(line) <= MAX_LINE else line[: MAX_LINE - 1] + "…" for line in kept]
    return [*shown, f"{name}: and {more} more"] if more else shown


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
    """Replaces `${NAME}`, `${NAME:-default}` and `${file:PATH}` in nodes; values are trimmed.

    What cannot be filled in becomes "", and is a problem where it is `required`. `unset` has those, with the path of
    their key; `spelt` has the references whose value came from outside the file, by the place of their node.
    """

    def __init__(self, environ: Mapping[str, str], problems: _Problems, *, required: bool) -> None:
        self._environ = environ
        self._problems = problems
        self._required = required
        self._done: dict[int, Node] = {}  # an alias is its anchor's node
        self.unset: dict[str, KeyPath] = {}
        self.spelt: dict[tuple[int, int], str] = {}

    @overload
    def fill(self, node: YamlMapping, path: KeyPath) -> YamlMapping: ...

    @overload
    def fill(self, node: Node, path: KeyPath) -> Node: ...

    def fill(self, node: Node, path: KeyPath) -> Node:
        """The same node with every reference in its values replaced; positions stay."""
        if id(node) not in self._done:
            self._done[id(node)] = self._filled(node, path)
        return self._done[id(node)]

    def _filled(self, node: Node, path: KeyPath) -> Node:
        match node:
            case YamlMapping(entries=entries):
                filled = tuple((key, self.fill(value, (*path, key.text))) for key, value in entries)
                return replace(node, entries=filled)
            case YamlSequence(items=items):
                return replace(node, items=tuple(self.fill(item, (*path, index)) for index, item in enumerate(items)))
            case YamlScalar(text=text, place=place) if "${" in text:

                def value(match: re.Match[str]) -> str:
                    found = self._value(match, path)
                    if found is None:
                        return (match["default"] or "").strip()
                    self.spelt[place.line, place.column] = text
                    return found

                return replace(node, text=_REFERENCE.sub(value, text))
        return node

    def _value(self, match: re.Match[str], path: KeyPath) -> str | None:
        """The value from outside the file; None where there is none and the default counts."""
        if match["file"]:
            what = match["file"]
            try:
                value = _limited(Path(what), MAX_VALUE_SIZE).decode("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
                return self._missing(what, path, f"cannot read {what}: {reason}")
        else:
            what = f"the environment variable {match['name']}"
            value = self._environ.get(match["name"], "").strip()
            if not value and match["default"] is None:
                return self._missing(match["name"], path, f"{what} is not set")
            if not value:
                return None
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            self._problems.add(path, f"the value of {what} has quotes around it: remove them")
        return value

    def _missing(self, what: str, path: KeyPath, message: str) -> str:
        self.unset.setdefault(what, path)
        if self._required:
            self._problems.add(path, message)
        return ""


def filled(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """A text of the command line with its references replaced, as those of alertbot.yaml are. Raises UsageError."""

    def value(match: re.Match[str]) -> str:
        if match["file"]:
            try:
                return _limited(Path(match["file"]), MAX_VALUE_SIZE).decode("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
                raise UsageError(f"cannot read {match['file']}: {reason}") from None
        found = environ.get(match["name"], "").strip() or match["default"]
        if found is None:
            raise UsageError(f"the environment variable {match['name']} is not set")
        return str(found).strip()

    return _REFERENCE.sub(value, text)


_SECTIONS: Mapping[str, type[BaseModel]] = {
    "tenants": TenantSettings,
    "slack": SlackSettings,
    "may_change": MayChange,
    "fallback_webhook": FallbackWebhookSettings,
    "record": RecordSettings,
    "storm": StormSettings,
    "flap": FlapSettings,
    "privacy": Privacy,
    "policy": PolicySettings,
    "http": HttpSettings,
    "page": PageSettings,
    "heartbeat": HeartbeatSettings,
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


# A password inside an address, and tokens of Slack.
_PASSWORD = re.compile(r"(?<=://).*@")
_TOKEN = re.compile(r"xox[a-z]-|xapp-")


def _near(error: Any) -> list[str]:
    """The known key that an unknown one most likely means, in a list; or an empty list."""
    return nearest(str(error["loc"][-1]).replace("-", "_"), _known_keys(error), cutoff=0.6)


def _known_keys(error: Any) -> list[str]:
    parts = [part for part in error["loc"][:-1] if isinstance(part, str)]
    return [key for key in (_SECTIONS.get(parts[-1], Settings) if parts else Settings).model_fields if key != "folder"]


def _spelt(node: Node | None) -> str:
    """A value as the file spells it, which is the reference where it has one; "" for what may be a secret."""
    if not isinstance(node, YamlScalar):
        return called(node) if node is not None else ""
    if _TOKEN.search(node.text):
        return ""
    return called(replace(node, text=_PASSWORD.sub("***@", node.text)))


def _sentence(error: Any, node: Node | None) -> str:
    """One of pydantic's errors as a sentence, without the value, which may be a secret.

    `node` is the value as the file has it.
    """
    kind, context = error["type"], error.get("ctx", {})
    key = next((part for part in reversed(error["loc"]) if isinstance(part, str)), "")
    if kind == "extra_forbidden":
        near = _near(error)
        hint = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(_known_keys(error))}"
        return f"unknown key ({hint})"
    if kind == "missing":
        return "missing"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return "expected keys, indented below it"
    if kind == "tuple_type":
        return "expected a list: lines that start with `- `"
    if isinstance(node, YamlScalar) and node.kind == "null":
        empty = ': # begins a comment in YAML: write "#cc-alerts", in quotes' if key.endswith("channel") else ""
        return f"empty{empty}"
    hint = ""
    if kind == "value_error":
        refused = context["error"]
        message = str(refused)
        if not isinstance(refused, RefusedValue):
            return message  # about several keys
        hint = refused.hint if isinstance(node, YamlScalar) and "${" not in node.text and _spelt(node) else ""
    elif kind == "literal_error":
        message = f"must be {str(context['expected']).replace(chr(39), '')}"
    elif kind == "string_type":
        message = "must be text"
        if isinstance(node, YamlScalar) and node.kind in ("number", "bool"):
            hint = "put it in quotes"
    elif kind.startswith("int_"):
        message = "must be a whole number"
    elif kind == "greater_than_equal":
        message = f"must be at least {context['ge']}"
    elif kind == "less_than_equal":
        message = f"must be at most {context['le']}"
    elif kind == "string_pattern_mismatch":
        message = f"must be {_FORMS[key]}" if key in _FORMS else f"must match {context['pattern']}"
    else:
        message = str(error["msg"])
        return message[0].lower() + message[1:]
    spelt = "" if key in _SECRET_KEYS else _spelt(node)
    return f"{message}{f', not {spelt}' if spelt else ''}{f' ({hint})' if hint else ''}"


_FORMS = {
    "name": "a short name of letters, digits, dots, hyphens and underscores",
    "command": "a slash command such as /alertbot, in lower case",
}
