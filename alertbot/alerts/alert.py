"""Alert, Change, Notice and the words they are made of; the fingerprint says when two alerts are the same one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from alertbot.evaluation.measure import Measure
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level


class State(StrEnum):
    """Where an alert is in its life; a resolved alert is inactive again, and history."""

    INACTIVE = "inactive"
    PENDING = "pending"  # the condition holds, `for` is not over
    FIRING = "firing"
    RECOVERING = "recovering"  # `clear` holds, `keep_firing_for` is not over


class Reason(StrEnum):
    """Why somebody is told."""

    FIRED = "fired"
    LEVEL_UP = "level_up"
    LEVEL_DOWN = "level_down"
    RESOLVED = "resolved"
    NO_LONGER_REPORTED = "no_longer_reported"
    RULE_REMOVED = "rule_removed"
    OUTSIDE_HOURS = "outside_hours"  # the calendar of its rule closed
    SUPPRESSION_ENDED = "suppression_ended"  # it still holds, and what spoke for it is over
    ACKNOWLEDGED = "acknowledged"
    UNACKNOWLEDGED = "unacknowledged"
    OPERATIONS = "operations"  # about alertbot itself, to the ops channel


ENDS = frozenset({Reason.RESOLVED, Reason.NO_LONGER_REPORTED, Reason.RULE_REMOVED, Reason.OUTSIDE_HOURS})


class Withheld(StrEnum):
    """Why nobody is told of something that has a reason to be told."""

    SUPPRESSED = "suppressed"  # an alert of a rule in `suppressed_by` is open for the same entity
    SHADOW = "shadow"  # its rule only watches
    NEVER_TOLD = "never_told"  # it ends, and nobody ever heard of it


class Fingerprint(NamedTuple):
    """Two alerts with the same fingerprint are the same alert."""

    tenant: str
    rule: str
    scope: Scope
    parent_id: str  # "" where the scope has no parent
    entity_id: str


@dataclass(frozen=True, slots=True)
class About:
    """What cards say of the rule; kept with the alert so that it can be told even after the rule is gone."""

    title: str
    condition: str  # the `when` of the present level, as written, with its parameters filled in
    template: str = "alert"
    runbook: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    shadow: bool = False  # the rule tells nobody
    detail: str = ""  # of feed alerts: how it stands, in words
    advice: str = ""  # of feed alerts: what to do


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule for one entity of one tenant. Times are aware UTC.

    `level` is the level that fires (pending: that would fire). `since` holds, for each level whose condition holds,
    the first poll that saw it so; it is what `for` counts from.
    """

    key: Fingerprint
    entity_name: str
    about: About
    state: State
    level: Level
    since: Mapping[Level, datetime]
    parent_name: str = ""
    id: int | None = None  # the short id, #17; None until the store has given one
    pending_since: datetime | None = None
    fired_at: datetime | None = None
    recovering_since: datetime | None = None
    ended_at: datetime | None = None
    end_reason: Reason | None = None
    measure: Measure | None = None
    peak: float | None = None
    peak_at: datetime | None = None
    highest: Level | None = None  # the highest level it reached
    missed: int = 0  # complete polls in a row that did not have the entity
    acked_by: str | None = None  # a Slack user id, or a local user's name
    acked_at: datetime | None = None
    ack_note: str = ""
    seen_at: datetime | None = None  # the poll that last decided about it
    told: Level | None = None  # the level that people were last told; None: they know nothing of it
    suppressor: Fingerprint | None = None  # the alert that speaks for it now

    @property
    def shadow(self) -> bool:
        """Its rule only watches, and people know nothing of it."""
        return self.about.shadow and self.told is None

    @property
    def open(self) -> bool:
        """Told and not over: firing or recovering."""
        return self.state in (State.FIRING, State.RECOVERING)


@dataclass(frozen=True, slots=True)
class Change:
    """One decision of one poll: what the alert was, what it is, and why.

    `reason` is None when there is nothing to tell (pending began, recovering began, only the value moved); with a
    reason people are told, unless `withheld` says why not. `why` is a sentence for logs and people. `before` is None
    for an alert that begins.
    """

    before: Alert | None
    after: Alert
    reason: Reason | None
    why: str
    withheld: Withheld | None = None

    @property
    def moved(self) -> bool:
        """Whether the state or the level changed, not only the value."""
        old = self.before
        return old is None or (old.state, old.level) != (self.after.state, self.after.level)


class AckResult(StrEnum):
    """What became of an acknowledgement. Resolve beats acknowledge; the first acknowledge wins."""

    DONE = "done"
    ALREADY = "already"  # somebody was first; the alert says who
    ENDED = "ended"
    UNKNOWN_ID = "unknown_id"
    NOT_ACKNOWLEDGED = "not_acknowledged"  # for taking back what nobody gave
