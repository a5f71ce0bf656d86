"""alertbot.yaml and the environment to one frozen Settings; every problem in one report; secrets never shown.

`${NAME}` and `${NAME:-default}` read the environment, `${file:/run/secrets/x}` a file. Commands that tell nobody and
ask nobody (`check`, `ask`) load with `secrets=False`: what only `run` and `poll` need may then be missing.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
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
    WithJsonSchema,
    model_validator,
)

from alertbot.rulefiles.calendar_keys import calendars_schema
from alertbot.rules.hours import Calendar
from alertbot.rules.units import parse_duration

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
