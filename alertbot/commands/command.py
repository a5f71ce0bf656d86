"""What somebody asked, what answers may look at, and what an answer is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from alertbot.alerts.alert import Alert
from alertbot.alerts.snapshot import Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level, RuleSet


@dataclass(frozen=True)
class TenantView:
    """One tenant as the last poll left it."""

    name: str
    good_at: datetime | None  # the last good poll
    tried_at: datetime | None
    error: str  # why the last poll was not good; "" when it was
    snapshots: Mapping[Scope, Snapshot] = field(default_factory=dict)


@dataclass(frozen=True)
class View:
    """All that an answer may look at: values, no I/O behind them. `alerts` are those that are not over."""

    tenants: tuple[TenantView, ...]
    alerts: tuple[Alert, ...]
    rules: RuleSet
    rules_since: datetime | None = None
    waiting: int = 0  # notices and edits that are not delivered yet
    command: str = "/alertbot"
    timezone: str = "UTC"  # in which times are shown


@dataclass(frozen=True)
class Asker:
    """Who asks. `may_change` was decided by the shell from the configuration."""

    user: str  # a Slack user id (U…), or a local user's name
    may_change: bool = True
    local: bool = False  # from a terminal, not from Slack


@dataclass(frozen=True)
class Command:
    """The text after the slash, taken apart. `public`: `… public` was asked for."""

    name: str
    args: tuple[str, ...] = ()
    public: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells under headings; every row as long as the head."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Line:
    """A line of plain text; whoever shows it escapes it. `level` colours it, `code` shows it as typed."""

    text: str
    level: Level | None = None
    code: bool = False
    strong: bool = False


@dataclass(frozen=True)
class Acknowledge:
    """A wish to change something, as data: the shell asks the store and then words the answer."""

    alert_id: int
    note: str = ""


@dataclass(frozen=True)
class Unacknowledge:
    """A wish to take an acknowledgement back."""

    alert_id: int


Wish = Acknowledge | Unacknowledge


@dataclass(frozen=True)
class Reply:
    """An answer: what to show, and what to change, if anything. Plain text everywhere; nothing is escaped yet."""

    parts: tuple[Line | Table, ...] = ()
    wish: Wish | None = None
    problem: bool = False  # the question could not be answered as asked: `alertbot ask` exits with 1
