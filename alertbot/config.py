"""alertbot.yaml and the environment to one frozen Settings; every problem in one report; secrets never shown.

`${NAME}` and `${NAME:-default}` read the environment, `${file:/run/secrets/x}` a file. Commands that tell nobody and
ask nobody (`check`, `ask`) load with `secrets=False`: what only `run` and `poll` need may then be missing.
"""

from __future__ import annotations

import difflib
import io
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from alertbot.errors import ConfigError, Fault
from alertbot.rules import document
from alertbot.rules.calendars import calendars_schema, read_calendars
from alertbot.rules.hours import Calendar
from alertbot.rules.reading import Report
from alertbot.rules.units import parse_duration, write_duration

DEFAULT_PATH = "alertbot.yaml"
PATH_VARIABLE = "ALERTBOT_CONFIG"
MOST_PROBLEMS = 14  # a report is at most 15 lines: these and one that counts the rest


_DURATION_PATTERN = r"^(\d+(ms|[smhd]))+$"


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    try:
        return parse_duration(str(value))
    except ValueError:
        raise ValueError(f"a duration is written as 15s, 2m or 1m30s, not {value!r}") from None


def _address(value: str) -> str:
    """Plain http would carry the credentials for all to read; on the machine itself nobody else is there."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"an address begins with https://, not {value!r}")
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ValueError("plain http:// only on loopback (127.0.0.1, localhost): use https://")
    return value


def _timezone(value: str) -> str:
    if value not in available_timezones():
        near = difflib.get_close_matches(value, available_timezones(), n=1)
        raise ValueError(f"no such time zone: {value!r}" + (f" (did you mean {near[0]}?)" if near else ""))
    return value


def _channel(value: str) -> str:
    if not re.fullmatch(r"#[^\s,#]{1,80}|[CGD][A-Z0-9]{6,}", value):
        raise ValueError(f'a channel is written "#name" (in quotes) or as its id, C0123ABCD, not {value!r}')
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(lambda value: f"{value.total_seconds():g}s", return_type=str),
    WithJsonSchema({"type": "string", "pattern": _DURATION_PATTERN}),
]
Address = Annotated[str, AfterValidator(_address)]
Channel = Annotated[str, AfterValidator(_channel)]
Timezone = Annotated[str, AfterValidator(_timezone)]


def _calendars(value: Any) -> Mapping[str, Calendar]:
    """They are read from the text, with their places (`_read_hours`); here only what was read may come in."""
    if isinstance(value, Mapping) and all(isinstance(each, Calendar) for each in value.values()):
        return value
    raise ValueError("expected calendars that were read")


Calendars = Annotated[
    Mapping[str, Calendar],
    PlainValidator(_calendars),
    PlainSerializer(lambda value: sorted(value), return_type=list[str]),
    WithJsonSchema(calendars_schema()),
]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class TenantSettings(_Section):
    """One 8x8 Contact Center customer that is polled."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
    """A short name, used in cards and answers."""
    region: Literal["us", "eu", "ap", "ca"] | None = None
    """Where the tenant lives."""
    api_key: SecretStr = SecretStr("")
    """API key of an app with the product "Analytics for Contact Center"."""
    api_secret: SecretStr = SecretStr("")
    """Its secret."""
    tenant_id: str = ""
    """X-Tenant-Info; only for multitenant customers."""
    timezone: Timezone | None = None
    """For .today metrics; must be one of the tenant's zones. Default: the tenant's own."""
    poll_every: Duration = timedelta(seconds=15)
    """How often to poll; 8x8 refreshes its figures every 5 s."""
    percent_scale: Literal["auto", "ratio", "percent"] = "auto"
    """How 8x8 sends percentages: as ratios 0 to 1, or 0 to 100. auto tells it from the counts they are made of."""
    max_requests_per_minute: Annotated[int, Field(ge=1, le=6000)] = 60
    """At most so many requests in any minute. What does not fit is left out of the poll, and said."""
    base_url: Address | None = None
    """Instead of region: all that stands before /queues."""
    token_url: Address | None = None
    """The whole address of the token endpoint; goes with base_url."""
    rules: str | None = None
    """A folder or file of rules for this tenant. Default: the top-level rules."""
    default_channel: Channel | None = None
    """Where this tenant's alerts go whose rule names no channel. Default: that of slack."""
    ops_channel: Channel | None = None
    """Where alertbot speaks of this tenant's polls. Default: that of slack."""

    @model_validator(mode="after")
    def _where(self) -> TenantSettings:
        if (self.base_url is None) != (self.token_url is None):
            raise ValueError("base_url and token_url go together: give both or neither")
        if (self.region is None) == (self.base_url is None):
            raise ValueError("say where the tenant lives: either region (us, eu, ap, ca) or base_url and token_url")
        if self.poll_every < timedelta(seconds=5):
            raise ValueError("poll_every is at least 5s: 8x8 has no newer figures before that")
        return self


def _some(tenants: tuple[TenantSettings, ...]) -> tuple[TenantSettings, ...]:
    if not tenants:
        raise ValueError("name at least one tenant")
    return tenants


class MayChange(_Section):
    """Who may acknowledge. All empty: everybody."""

    users: tuple[str, ...] = ()
    """Slack user ids, U0123ABCD."""
    usergroups: tuple[str, ...] = ()
    """Slack user group ids, S0123ABCD."""
    channels: tuple[str, ...] = ()
    """Slack channel ids in which everybody may."""


class SlackSettings(_Section):
    """Where and how people are told."""

    bot_token: SecretStr = SecretStr("")
    """xoxb-…, from OAuth & Permissions."""
    app_token: SecretStr = SecretStr("")
    """xapp-…, for Socket Mode; empty: signed HTTP, or none."""
    signing_secret: SecretStr = SecretStr("")
    """For signed HTTP requests at POST /slack/events."""
    default_channel: Channel
    """Where alerts go whose rule names no channel."""
    ops_channel: Channel | None = None
    """Where alertbot speaks of itself. Default: default_channel."""
    api_url: Address = "https://slack.com/api/"
    """Slack's Web API."""
    command: Annotated[str, Field(pattern=r"^/[a-z0-9_-]{1,31}$")] = "/alertbot"
    """The slash command."""
    may_change: MayChange = MayChange()
    """Who may acknowledge."""
    refresh: Duration = timedelta(seconds=60)
    """A changed value alone edits a card at most this often."""

    @property
    def ops(self) -> str:
        return self.ops_channel or self.default_channel


class RecordSettings(_Section):
    """What is kept of each poll, for windows over a restart, charts and replay."""

    keep: Duration = timedelta(days=7)
    """How long. 0s: nothing is kept."""
    keys: Literal["used", "all"] = "used"
    """used: the metric keys that rules read; all: every key of the scopes that rules read, which asks 8x8 for more."""


class HttpSettings(_Section):
    """Health and Slack's requests."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080


class Settings(_Section):
    """All of alertbot.yaml. `folder` is where it stands: relative paths count from there."""

    tenants: Annotated[tuple[TenantSettings, ...], AfterValidator(_some)]
    """The contact centres to poll."""
    slack: SlackSettings
    """Where people are told."""
    rules: str = "rules/"
    """A folder or file of rules."""
    hours: Calendars = Field(default_factory=dict)
    """Calendars by name, for `during` and `outside` of all rules; as in rule files."""
    storage: str = "alertbot.db"
    """The SQLite database."""
    timezone: Timezone = "UTC"
    """In which times are written where the reader's own zone is not known."""
    stale_after: Duration = timedelta(minutes=2)
    """A feed without a good poll for so long is stale: the ops channel is told, and /readyz says so."""
    frozen_after: Duration = timedelta(minutes=15)
    """Figures that stand still for so long while callers are there are frozen: the ops channel is told."""
    record: RecordSettings = RecordSettings()
    """What is kept of each poll."""
    http: HttpSettings = HttpSettings()
    """Health and Slack's requests."""
    folder: Annotated[Path, Field(exclude=True)] = Path()

    @model_validator(mode="after")
    def _unique(self) -> Settings:
        names = [tenant.name for tenant in self.tenants]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"tenant name used twice: {', '.join(twice)}")
        return self

    def path(self, relative: str) -> Path:
        """A path of the file, seen from where the file stands."""
        return self.folder / Path(relative).expanduser()

    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def secrets(self) -> tuple[str, ...]:
        """Every secret value, for redaction."""
        found = [self.slack.bot_token, self.slack.app_token, self.slack.signing_secret]
        for tenant in self.tenants:
            found += [tenant.api_key, tenant.api_secret]
        return tuple(secret.get_secret_value() for secret in found if secret.get_secret_value())


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


def config_schema() -> dict[str, Any]:
    """JSON Schema of alertbot.yaml, for editors."""
    schema: dict[str, Any] = _spelt(Settings.model_json_schema())
    schema["properties"].pop("folder", None)
    return {**schema, "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "alertbot.yaml"}


def _spelt(node: Any) -> Any:
    """The schema with durations as people write them; pydantic would give its defaults as ISO 8601, PT1M."""
    if isinstance(node, list):
        return [_spelt(each) for each in node]
    if not isinstance(node, dict):
        return node
    spelt = {key: _spelt(each) for key, each in node.items() if key != "title" or not isinstance(each, str)}
    if spelt.get("pattern") == _DURATION_PATTERN and "default" in spelt:
        spelt["default"] = write_duration(TypeAdapter(timedelta).validate_python(spelt["default"]))
    return spelt


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
    key = root.key("hours") if isinstance(root, document.Mapping) else None
    if not isinstance(root, document.Mapping) or key is None:
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
        case document.Scalar(text=text):
            return replace(node, text=_fill(text, (), environ, ignore, secrets=secrets)) if "${" in text else node
        case document.Sequence(items=items):
            return replace(node, items=tuple(_fill_node(each, environ, secrets=secrets) for each in items))
        case document.Mapping(entries=entries):
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
