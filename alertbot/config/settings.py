"""The settings in alertbot.yaml, as one frozen Settings. Secrets never show in its repr or dump.

The docstring below each field is its description: in the JSON Schema, in editors and in docs/operations.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

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
from alertbot.rulefiles.fields import DURATION_SCHEMA
from alertbot.rules.catalogue import Scope
from alertbot.rules.hours import Calendar
from alertbot.rules.match import Match
from alertbot.rules.recurring import parse_recurring
from alertbot.rules.slack_ids import channel_hint, is_channel
from alertbot.rules.units import TOO_LONG, parse_duration, write_duration
from alertbot.rules.zones import is_zone, zone_hint


class RefusedValue(ValueError):
    """A value is wrong. The texts never contain it: it may be a secret under the wrong key.

    `load` adds how the file spells the value. `hint` may be near to the value, so it is left out where the value came
    from a reference.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def _duration(value: Any) -> Any:
    """A timedelta from a text such as 1m30s. Raises ValueError when it is not one, or longer than ten years."""
    if isinstance(value, timedelta):
        return value
    try:
        return parse_duration(str(value))
    except ValueError as error:
        if TOO_LONG in str(error):
            raise RefusedValue(f"must not be {TOO_LONG}") from None
        raise RefusedValue("a duration is written as 15s, 2m or 1m30s") from None


def _address(value: str) -> str:
    """Require https: plain http would send the credentials unencrypted, so it is allowed on loopback only."""
    try:
        parts = urlsplit(value)
    except ValueError:
        raise RefusedValue("an address starts with https://") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not _is_sendable(value):
        raise RefusedValue("an address starts with https://")
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ValueError("plain http:// is allowed only on loopback (127.0.0.1, localhost): use https://")
    return value


def _timezone(value: str) -> str:
    if not is_zone(value):
        raise RefusedValue("must be a time zone", zone_hint(value))
    return value


def _channel(value: str) -> str:
    if not is_channel(value):
        raise RefusedValue('a channel is written "#name" (in quotes) or as its id, C0123ABCD', channel_hint(value))
    return value


def _recurring(value: str) -> str:
    """Require a day and a time, or nothing."""
    if value:
        try:
            parse_recurring(value)
        except ValueError as error:
            raise RefusedValue(str(error)) from None
    return value


def _is_sendable(text: str) -> bool:
    return all(" " <= character <= "~" for character in text)


def _header_text(value: str) -> str:
    """Require what an HTTP header can carry: printable ASCII. Anything else would be refused at every request."""
    for position, character in enumerate(value, start=1):
        if not _is_sendable(character):
            raise RefusedValue(f"character {position} is U+{ord(character):04X}, which no HTTP header can carry")
    return value


def _header_secret(value: SecretStr) -> SecretStr:
    _header_text(value.get_secret_value())
    return value


def _secret_address(value: SecretStr) -> SecretStr:
    """Require an address, or nothing: `${NAME:-}` is how a reference says that it may be unset."""
    if value.get_secret_value():
        _address(value.get_secret_value())
    return value


_SERVER = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


def _storage(value: str) -> str:
    """Require the path of a file or a server. A database in memory would forget which alerts were reported."""
    if value == ":memory:" or value.startswith("file:") or "mode=memory" in value:
        raise RefusedValue("must be the path of a file: a database in memory would report everything again")
    scheme, mark, rest = value.partition("://")
    if not mark:
        return value
    if scheme not in ("postgresql", "postgres"):
        raise RefusedValue(f"must be the path of a file, or {_SERVER}")
    address = rest.partition("?")[0]
    if address.count("@") > 1 or "@" in address.partition("/")[2]:
        raise RefusedValue("must have %XX for special characters of the password, such as %40 for @ and %2F for /")
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise RefusedValue(f"must be an address such as {_SERVER}") from None
    if not parts.path.strip("/"):
        raise RefusedValue(f"must name the database: {_SERVER}")
    return value


def _passwords(address: str) -> list[str]:
    """The passwords in an address, as they are written and as they are meant."""
    parts = urlsplit(address)
    written = [parts.password or "", *parse_qs(parts.query).get("password", [])]
    return [*written, *(unquote(each) for each in written)]


def _without_password(address: str) -> str:
    """An address of a server as it may be shown; a path stays as it is."""
    if "://" not in address:
        return address
    parts = urlsplit(address)
    user = f"{parts.username}@" if parts.username else ""
    return f"{parts.scheme}://{user}{parts.netloc.rpartition('@')[2]}{parts.path}"


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(write_duration, return_type=str),
    WithJsonSchema(DURATION_SCHEMA),
]


def _within(low: timedelta, high: timedelta) -> Callable[[timedelta], timedelta]:
    """A validator of durations."""

    def check(value: timedelta) -> timedelta:
        if not low <= value <= high:
            raise RefusedValue(f"must be from {write_duration(low)} to {write_duration(high)}")
        return value

    return check


Address = Annotated[str, AfterValidator(_address)]
Secret = Annotated[SecretStr, AfterValidator(_header_secret)]
SecretAddress = Annotated[SecretStr, AfterValidator(_secret_address)]
Channel = Annotated[str, AfterValidator(_channel)]
Timezone = Annotated[str, AfterValidator(_timezone)]


def _calendars(value: Any) -> Mapping[str, Calendar]:
    """Calendars are read by `load`, which knows their positions in the file; here they only pass through."""
    if isinstance(value, Mapping) and all(isinstance(calendar, Calendar) for calendar in value.values()):
        return value
    raise ValueError("expected calendars that were read")


Calendars = Annotated[
    Mapping[str, Calendar],
    PlainValidator(_calendars),
    PlainSerializer(lambda value: sorted(value), return_type=list[str]),
    WithJsonSchema(calendars_schema()),
]


class _Section(BaseModel):
    # Sections are built when Settings is, and not at their import. The docstrings are read by schema.py: pydantic would
    # read the source of each class to find them, at every start of every command.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def _texts(value: Any) -> Any:
    """One text or several; a number, such as an id that is not in quotes, is its digits."""
    if isinstance(value, str | int) and not isinstance(value, bool):
        value = [value]
    if isinstance(value, list | tuple):
        return tuple(str(each) if isinstance(each, int) and not isinstance(each, bool) else each for each in value)
    return value


_TEXT_SCHEMA = {"type": ["string", "integer"]}
Texts = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(_texts),
    WithJsonSchema({"anyOf": [_TEXT_SCHEMA, {"type": "array", "items": _TEXT_SCHEMA}]}),
]


class IgnoredEntities(_Section):
    """The ignored entities of one scope."""

    name: Texts = ()
    """Names that are ignored; * and ? stand for any text and any character."""
    id: Texts = ()
    """Ids that are ignored."""


class IgnoreSettings(_Section):
    """Entities that no rule evaluates, whatever its match says."""

    queue: IgnoredEntities = IgnoredEntities()
    """Queues."""
    group: IgnoredEntities = IgnoredEntities()
    """Groups."""
    agent: IgnoredEntities = IgnoredEntities()
    """Agents, in every scope that has agents; `count(agents where …)` does not count them."""
    queue_agent: IgnoredEntities = IgnoredEntities()
    """Agents in the scope queue_agent alone."""
    group_agent: IgnoredEntities = IgnoredEntities()
    """Agents in the scope group_agent alone."""

    def matches(self) -> Mapping[Scope, Match]:
        """By scope, what is excluded."""
        sections = {Scope(name): getattr(self, name) for name in type(self).model_fields}
        return {scope: Match(exclude_names=each.name, exclude_ids=each.id) for scope, each in sections.items()}


class TenantSettings(_Section):
    """One 8x8 Contact Center customer that is polled."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
    """A short name, shown in cards and answers."""
    region: Literal["us", "eu", "ap", "ca"] | None = None
    """The 8x8 region of the tenant."""
    api_key: Secret = SecretStr("")
    """The API key of an app with the product "Analytics for Contact Center"."""
    api_secret: Secret = SecretStr("")
    """The secret of that key."""
    tenant_id: Annotated[str, AfterValidator(_header_text)] = ""
    """Sent as X-Tenant-Info; only for multitenant customers."""
    timezone: Timezone | None = None
    """The time zone of .today metrics; must be one of the tenant's zones in 8x8. Default: the tenant's own."""
    poll_every: Duration = timedelta(seconds=15)
    """The time between polls, at least 5s: 8x8 updates its metrics every 5 s."""
    percent_scale: Literal["auto", "ratio", "percent"] = "auto"
    """The scale of 8x8's percentages: ratio (0 to 1) or percent (0 to 100). auto derives it from related counts."""
    max_requests_per_minute: Annotated[int, Field(ge=1, le=6000)] = 60
    """The maximum number of requests in any minute. Requests beyond it are skipped, and the poll reports them."""
    base_url: Address | None = None
    """Instead of region: the URL up to /queues. Requires token_url."""
    token_url: Address | None = None
    """The whole URL of the token endpoint. Requires base_url."""
    rules: str | None = None
    """The folder or file with the rules of this tenant. Default: the top-level rules."""
    ignore: IgnoreSettings = IgnoreSettings()
    """What no rule of this tenant evaluates, in addition to the top-level ignore."""
    default_channel: Channel | None = None
    """The channel for alerts of this tenant whose rule has no channel. Default: slack.default_channel."""
    ops_channel: Channel | None = None
    """The channel for operational messages about this tenant. Default: slack.ops_channel."""

    @model_validator(mode="after")
    def _where(self) -> TenantSettings:
        if (self.base_url is None) != (self.token_url is None):
            raise ValueError("base_url and token_url go together: set both or neither")
        if (self.region is None) == (self.base_url is None):
            raise ValueError("set either region (us, eu, ap, ca), or base_url and token_url")
        if self.poll_every < timedelta(seconds=5):
            raise ValueError("poll_every is at least 5s: 8x8 does not update its metrics more often")
        return self


def _some(tenants: tuple[TenantSettings, ...]) -> tuple[TenantSettings, ...]:
    if not tenants:
        raise ValueError("at least one tenant is required")
    return tenants


class Privacy(_Section):
    """How output shows agents. Rules, silences and commands match full names, whatever is shown."""

    agents: Literal["names", "initials"] = "names"
    """initials: all output, logs included, shows agents by their initials; equal initials get the agent's id."""


class MayChange(_Section):
    """Who may acknowledge, silence and close alerts. With all of them empty, every user may."""

    users: tuple[str, ...] = ()
    """IDs of Slack users who may change alerts, U0123ABCD."""
    usergroups: tuple[str, ...] = ()
    """IDs of Slack user groups whose members may change alerts, S0123ABCD."""
    channels: tuple[str, ...] = ()
    """IDs of Slack channels in which every user may change alerts, C0123ABCD. All empty: every user may."""


class FallbackWebhookSettings(_Section):
    """Where alerts that cannot be delivered to Slack are posted as JSON."""

    url: SecretAddress = SecretStr("")
    """The URL that receives, as JSON, alerts that cannot be delivered to Slack. Treated as a secret. Empty: none."""
    after: Annotated[Duration, AfterValidator(_within(timedelta(seconds=30), timedelta(days=1)))] = timedelta(minutes=2)
    """How long a message about an alert waits for Slack before the alert is posted there; from 30s to 1d."""
    levels: tuple[Literal["info", "warning", "critical"], ...] = ("critical",)
    """The levels of alerts that are posted there."""

    @model_validator(mode="after")
    def _complete(self) -> FallbackWebhookSettings:
        if self.model_fields_set and "url" not in self.model_fields_set:
            raise ValueError("url is missing: the address to post to")
        if not self.levels:
            raise ValueError("levels must name at least one of info, warning, critical")
        return self


class SlackSettings(_Section):
    """The Slack app, and the channels that alerts go to."""

    bot_token: Secret = SecretStr("")
    """The bot token of the Slack app, xoxb-…, from OAuth & Permissions."""
    app_token: Secret = SecretStr("")
    """The app-level token, xapp-…, for commands and buttons over Socket Mode."""
    signing_secret: Secret = SecretStr("")
    """Instead of app_token: for commands and buttons as signed HTTP requests to POST /slack/events."""
    default_channel: Channel
    """The channel for alerts whose rule has no channel."""
    ops_channel: Channel | None = None
    """The channel for operational messages: feed alerts, faults in rule files. Default: default_channel."""
    api_url: Address = "https://slack.com/api/"
    """The URL of the Slack Web API."""
    command: Annotated[str, Field(pattern=r"^/[a-z0-9_-]{1,31}$")] = "/alertbot"
    """The name of the slash command."""
    may_change: MayChange = MayChange()
    """Who may acknowledge, silence and close alerts."""
    refresh: Duration = timedelta(seconds=60)
    """The minimum time between edits of a card when only its value changed."""
    fallback_webhook: FallbackWebhookSettings = FallbackWebhookSettings()
    """Where alerts that cannot be delivered to Slack are posted as JSON."""

    @property
    def ops(self) -> str:
        """The channel for operational messages."""
        return self.ops_channel or self.default_channel


class RecordSettings(_Section):
    """What is stored of each poll, for windows that span a restart, for replay and for usual(KEY, 4w)."""

    keep: Duration = timedelta(days=8)
    """How long polls are kept; more than a week, so that `ago(KEY, 7d)` has its sample. 0s: none are kept."""
    usual: Duration = timedelta(weeks=8)
    """How long means of quarter-hours are kept, for usual(KEY, 4w): at least that many weeks. 0s: none are kept."""
    keys: Literal["used", "all"] = "used"
    """used: the metric keys that rules read. all: every key of the scopes that rules read, in larger requests."""


class StormSettings(_Section):
    """How many new cards one poll may post."""

    cards: Annotated[int, Field(ge=1, le=1000)] = 5
    """The maximum number of new cards per channel and poll. Further alerts of a rule share one card."""


class FlapSettings(_Section):
    """When an alert that keeps firing and clearing counts as unstable."""

    rises: Annotated[int, Field(ge=1, le=100)] = 4
    """An alert that fires more often than this within the window must stay clear twice as long to resolve."""
    window: Annotated[Duration, AfterValidator(_within(timedelta(minutes=1), timedelta(days=1)))] = timedelta(
        minutes=30
    )
    """The window in which the times that an alert fired are counted; from 1m to 1d."""


class PolicySettings(_Section):
    """What a team requires of its rules. `alertbot check` warns about rules that do not meet it; they run anyway."""

    runbook: Literal["info", "warning", "critical"] | None = None
    """Rules that can reach this level must have a runbook: critical, warning or info (every rule)."""
    labels: Texts = ()
    """The names of labels that every rule must have."""
    tests: bool = False
    """true: every rule must have a rule test."""
    max_per_day: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """The maximum number of alerts a day of a rule, for all entities, in the last 7 days of the recording."""


class HttpSettings(_Section):
    """The HTTP server for health checks, the status page and Slack's requests."""

    host: str = "127.0.0.1"
    """The address to listen on. 0.0.0.0: all interfaces."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """The port to listen on. 0: any free port."""


MIN_PASSWORD = 12
"""The minimum length of the password of the status page: it can be guessed over the network."""


def _password(value: SecretStr) -> SecretStr:
    """Require a password that is long enough, or nothing."""
    if 0 < len(value.get_secret_value()) < MIN_PASSWORD:
        raise RefusedValue(f"must have at least {MIN_PASSWORD} characters")
    return value


class PageSettings(_Section):
    """The status page, at / of the HTTP server."""

    password: Annotated[SecretStr, AfterValidator(_password)] = SecretStr("")
    """The password of the status page, at least 12 characters. Empty: the page is served only on loopback."""


class HeartbeatSettings(_Section):
    """A dead man's switch: an external service that raises an alarm when it is no longer pinged."""

    url: SecretAddress = SecretStr("")
    """The URL to GET while alertbot works, such as a check at healthchecks.io. Treated as a secret. Empty: none."""
    every: Duration = timedelta(seconds=60)
    """The time between pings, at least 10s. Set the service to raise an alarm after a few missed ones."""

    @model_validator(mode="after")
    def _complete(self) -> HeartbeatSettings:
        if self.every < timedelta(seconds=10):
            raise ValueError("every must be at least 10s")
        if self.model_fields_set and "url" not in self.model_fields_set:
            raise ValueError("url is missing: the address to ping")
        return self


class DigestSettings(_Section):
    """The digest: a report on alert quality, sent on a schedule."""

    every: Annotated[str, AfterValidator(_recurring)] = ""
    """When the digest is sent, in the top-level timezone: `mon 08:00`, or `daily 08:00`. Empty: it is not sent."""
    channel: Channel | None = None
    """The channel that gets the digest. Default: ops_channel."""

    @model_validator(mode="after")
    def _complete(self) -> DigestSettings:
        if self.model_fields_set and "every" not in self.model_fields_set:
            raise ValueError("every is missing: when to send the digest, such as mon 08:00")
        return self


class Settings(_Section):
    """All of alertbot.yaml. `folder` is the folder it is in: relative paths start there."""

    tenants: Annotated[tuple[TenantSettings, ...], AfterValidator(_some)]
    """The 8x8 tenants to poll."""
    slack: SlackSettings
    """The Slack app and its channels."""
    rules: str = "rules/"
    """The folder or file with the rules."""
    hours: Calendars = Field(default_factory=dict)
    """Calendars by name, for `during` and `outside` of all rules; written as in rule files."""
    ignore: IgnoreSettings = IgnoreSettings()
    """What no rule evaluates: `{queue: {name: ["*test*"]}, agent: {id: [7]}}`. Ignored agents are not counted."""
    storage: Annotated[str, AfterValidator(_storage), PlainSerializer(_without_password, return_type=str)] = Field(
        default="alertbot.db", repr=False
    )
    """The file of the SQLite database, or the address of a PostgreSQL database: `postgresql://USER:PASSWORD@HOST/NAME`."""
    timezone: Timezone = "UTC"
    """The time zone for times shown where the time zone of the reader is not known."""
    history: Annotated[Duration, AfterValidator(_within(timedelta(days=1), timedelta(days=3650)))] = timedelta(days=90)
    """How long ended alerts, and everything that was sent about them, are kept; from 1d to 3650d."""
    stale_after: Duration = timedelta(minutes=2)
    """A feed without a successful poll for this long is stale: ops_channel gets an alert, /readyz returns 503."""
    frozen_after: Duration = timedelta(minutes=15)
    """Data that does not change for this long while there are callers is frozen: ops_channel gets an alert."""
    record: RecordSettings = RecordSettings()
    """What is stored of each poll."""
    storm: StormSettings = StormSettings()
    """How many new cards one poll may post."""
    max_messages: Annotated[int, Field(ge=1, le=60)] = 60
    """The maximum number of messages per channel and minute; further ones are sent later, critical ones first."""
    flap: FlapSettings = FlapSettings()
    """When an alert that keeps firing and clearing counts as unstable."""
    nag_after: Annotated[Duration, AfterValidator(_within(timedelta(minutes=1), timedelta(days=30)))] = timedelta(
        hours=2
    )
    """The owner of an alert that still fires this long after it was acknowledged is mentioned once. 1m to 30d."""
    privacy: Privacy = Privacy()
    """How output shows agents."""
    policy: PolicySettings = PolicySettings()
    """What a team requires of its rules, for `alertbot check`."""
    digest: DigestSettings = DigestSettings()
    """A report on alert quality, sent every week or every day."""
    http: HttpSettings = HttpSettings()
    """The HTTP server for health checks, the status page and Slack's requests."""
    page: PageSettings = PageSettings()
    """The status page."""
    heartbeat: HeartbeatSettings = HeartbeatSettings()
    """A dead man's switch: an address that is pinged while polls succeed and messages are delivered."""
    folder: Annotated[Path, Field(exclude=True)] = Path()

    @model_validator(mode="after")
    def _unique(self) -> Settings:
        names = [tenant.name for tenant in self.tenants]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"duplicate tenant name: {', '.join(twice)}")
        return self

    def path(self, relative: str) -> Path:
        """A path in the settings, relative to the folder of alertbot.yaml."""
        return self.folder / Path(relative).expanduser()

    def longest_poll(self, paths: Sequence[Path]) -> timedelta:
        """The longest `poll_every` of the tenants that use the rules in these folders or files; of all if none does."""
        named = [path.resolve() for path in paths]
        roots = [(tenant, self.path(tenant.rules or self.rules).resolve()) for tenant in self.tenants]
        own = [
            tenant
            for tenant, root in roots
            if any(path.is_relative_to(root) or root.is_relative_to(path) for path in named)
        ]
        return max(tenant.poll_every for tenant in own or self.tenants)

    def ignored(self, tenant: TenantSettings) -> Mapping[Scope, Match]:
        """By scope, what no rule evaluates for a tenant: a match of nothing but exclusions."""
        general, own = self.ignore.matches(), tenant.ignore.matches()
        return {
            scope: Match(
                exclude_names=(*each.exclude_names, *own[scope].exclude_names),
                exclude_ids=(*each.exclude_ids, *own[scope].exclude_ids),
            )
            for scope, each in general.items()
        }

    def zone(self) -> ZoneInfo:
        """The time zone for readers whose own is not known."""
        return ZoneInfo(self.timezone)

    def zones(self) -> dict[str, ZoneInfo]:
        """The time zone of each tenant, by name."""
        return {tenant.name: self.zone_of(tenant) for tenant in self.tenants}

    def zone_of(self, tenant: TenantSettings) -> ZoneInfo:
        """The time zone of a tenant's wall clock: its own, else the top-level one."""
        return ZoneInfo(tenant.timezone or self.timezone)

    @property
    def server(self) -> str:
        """The address of the PostgreSQL server, with the password; "" where the database is a file."""
        return self.storage if "://" in self.storage else ""

    def database(self) -> str:
        """How the database is called in messages: its absolute path, or its address without the password."""
        return _without_password(self.storage) if self.server else str(self.path(self.storage).absolute())

    def secrets(self) -> tuple[str, ...]:
        """Every secret value, for redaction."""
        urls = [self.heartbeat.url, self.slack.fallback_webhook.url]
        secrets = [self.page.password, self.slack.bot_token, self.slack.app_token, self.slack.signing_secret, *urls]
        for tenant in self.tenants:
            secrets += [tenant.api_key, tenant.api_secret]
        addresses: list[str | None] = [self.storage, self.slack.api_url, *(url.get_secret_value() for url in urls)]
        addresses += [address for tenant in self.tenants for address in (tenant.base_url, tenant.token_url)]
        passwords = [word for address in addresses if address for word in _passwords(address)]
        return tuple(text for text in [*(secret.get_secret_value() for secret in secrets), *passwords] if text)
