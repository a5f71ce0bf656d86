"""What an answer reads: values, without I/O behind them; and the names of what a subcommand can need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from alertbot.alerts.alert import Alert
from alertbot.alerts.delivery import HeldBack
from alertbot.alerts.quality import Quality
from alertbot.alerts.silence import Silence
from alertbot.charts.series import Samples
from alertbot.evaluation.past import Past
from alertbot.evaluation.snapshot import Snapshot, SnapshotHead
from alertbot.rules.catalogue import Scope
from alertbot.rules.ignore import Ignore
from alertbot.rules.match import Match
from alertbot.rules.privacy import NAMES_IN_FULL, Names
from alertbot.rules.rule import RuleSet

SHADOW_DAYS = 7
MAX_HISTORY = 2_000
"""Ended alerts that are read for one answer."""


class Need(StrEnum):
    """One thing that an answer reads. A `Scope` among the needs is the last snapshot of that scope, of every tenant.

    What the row of a subcommand does not need is not read: its field of the view is empty.
    """

    RULES = "rules"  # the rules that run, and their calendars: `View.rules`
    VERSIONS = "versions"  # which version runs since when: `View.versions`
    FEEDS = "feeds"  # how polls go: times, error and next try of `TenantView`
    HEADS = "heads"  # whether the last snapshots are complete: `TenantView.heads`
    ALERTS = "alerts"  # alerts that have not ended: `View.alerts` and `View.shadows`
    SERVICE = "service"  # whether a process polls: `View.service`
    LATCHED = "latched"  # alerts that were closed by hand and may not fire again yet: `View.latched`
    ENDED = "ended"  # the alert whose id the command names, where it has ended: `View.ended`
    OUTBOX = "outbox"  # what waits for delivery: `View.waiting`, and in `View.problems` why it waits
    SHADOW_COUNTS = "shadow_counts"  # of the shadow rules that the command names: `View.shadow_fired`
    COVERAGE = "coverage"  # of the rules that the command names, the matches that cover nothing: `View.uncovered`
    TEXT_VALUES = "text_values"  # of the rules that the command names, values of text keys: `View.text_values`
    HISTORY = "history"  # the alerts that ended within the window of the command: `View.history`
    RECORDING = "recording"  # the metric of the entity that the command names, as it was recorded: `View.recorded`
    CARD = "card"  # the alerts of the card whose button asks, that have not ended: `View.card`
    QUALITY = "quality"  # alert quality over the window of the command: `View.quality`
    SILENCES = "silences"  # silences that have not ended: `View.silences`
    EVALUATION = "evaluation"  # what the rules that the command names are evaluated on: snapshots and past


Needs = frozenset[Need | Scope]

TextValues = Mapping[str, Mapping[str, tuple[str, ...]]]
"""By rule and text key, the different values in the last poll of any tenant that runs the rule, the commonest first."""


@dataclass(frozen=True)
class TenantView:
    """One tenant as the last poll left it."""

    name: str
    good_at: datetime | None = None  # the last good poll
    tried_at: datetime | None = None
    error: str = ""  # why the last poll was not good; "" when it was
    snapshots: Mapping[Scope, Snapshot] = field(default_factory=dict)
    next_try_at: datetime | None = None  # where it is not polled at its usual pace
    past: Past | None = None  # up to the last poll, for windows; None: they are unknown
    heads: Mapping[Scope, SnapshotHead] = field(default_factory=dict)  # of the last snapshots, without their values
    failing: Mapping[str, str] = field(default_factory=dict)  # rules that could not be evaluated: the exceptions
    ignore: Ignore = field(default_factory=dict)  # entities that no rule evaluates
    names: Names = NAMES_IN_FULL  # how names of agents are shown


@dataclass(frozen=True)
class Recorded:
    """One metric of one entity since some time: first what has to be read of the recording, then with its samples.

    `parent_id` is the queue of a queue_agent or the group of a group_agent, else "".
    """

    tenant: str
    scope: Scope
    key: str
    entity_id: str
    parent_id: str
    since: datetime
    samples: Samples = field(default_factory=Samples)
    read_since: datetime | None = None  # where older samples are still being read: from when on these are


@dataclass(frozen=True)
class RulesView:
    """Which version of the rules one tenant is polled with, and since when (None: it does not run)."""

    tenant: str
    version: str
    since: datetime | None
    rules: int
    on_disk: str = ""  # what stands on disk instead, where that is not what runs: a version, or its first fault


@dataclass(frozen=True)
class ServiceView:
    """The process that polls and delivers, or did last: `vm, process 123`, and when it was last seen.

    `stuck`: it lives, but has not renewed its lease, so it cannot write to the database, or hangs.
    """

    name: str
    seen_at: datetime
    running: bool
    stuck: bool = False


@dataclass(frozen=True)
class View:
    """All that an answer may read: values, without I/O behind them. Filled by need, see `Need`.

    `alerts` are those that have not ended, without those of shadow rules, which are in `shadows`; `ended` is one
    that the command names and that has ended. `shadow_fired`: how
    often a shadow rule would have fired in the last `SHADOW_DAYS` days, by rule and name of the entity. `tenants`
    holds every configured tenant, in their order, whatever is read of them.
    """

    tenants: tuple[TenantView, ...]
    alerts: tuple[Alert, ...]
    rules: RuleSet
    shadows: tuple[Alert, ...] = ()
    ended: Alert | None = None
    shadow_fired: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    rules_of: Mapping[str, RuleSet] = field(default_factory=dict)  # by tenant, where `rules` is filled
    card: tuple[Alert, ...] = ()  # by id
    versions: tuple[RulesView, ...] = ()  # of each tenant
    latched: tuple[Alert, ...] = ()  # closed by hand, and their condition was not false since
    waiting: int = 0  # notices that are not delivered yet
    held_back: tuple[HeldBack, ...] = ()  # what waits because its channel got too many messages, by channel
    command: str = "/alertbot"
    timezone: str = "UTC"  # in which times are shown
    stale_after: timedelta = timedelta(minutes=2)  # values older than this are shown as stale
    service: ServiceView | None = None  # None: it never ran, or this was not read
    problems: tuple[str, ...] = ()  # operational problems, a sentence each; `status` shows them
    uncovered: Mapping[str, tuple[Match, ...]] = field(default_factory=dict)  # by rule: matches that cover no entity
    text_values: TextValues = field(default_factory=dict)
    history_kept: timedelta | None = None  # how long ended alerts are kept; None: this was not read
    history: tuple[Alert, ...] = ()  # ended alerts, the last one first; at most MAX_HISTORY
    recorded: Recorded | None = None
    quality: Quality | None = None
    series: tuple[Recorded, ...] = ()  # what a page shows over time
    silences: tuple[Silence, ...] = ()  # those that have not ended, by id
    names: Names = NAMES_IN_FULL  # how names of agents are shown
