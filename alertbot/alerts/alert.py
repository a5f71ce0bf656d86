"""Alert and Change, and the words they are made of; the fingerprint says when two alerts are the same one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Any, NamedTuple

from alertbot.evaluation.measure import Measure
from alertbot.rules.catalogue import Scope, shown_name
from alertbot.rules.rule import Level


class State(StrEnum):
    """Where an alert is in its life; a resolved alert is inactive again, and history."""

    INACTIVE = "inactive"
    PENDING = "pending"  # the condition holds, `for` has not passed
    FIRING = "firing"
    RECOVERING = "recovering"  # `clear` holds, `keep_firing_for` has not passed


class Reason(StrEnum):
    """Why a notice is sent."""

    FIRED = "fired"
    LEVEL_UP = "level_up"
    LEVEL_DOWN = "level_down"
    RESOLVED = "resolved"
    NO_LONGER_REPORTED = "no_longer_reported"
    RULE_REMOVED = "rule_removed"
    NOT_COVERED = "not_covered"  # its rule no longer covers the entity
    TENANT_REMOVED = "tenant_removed"  # its tenant is no longer in the configuration
    OUTSIDE_HOURS = "outside_hours"  # the calendar of its rule closed
    CLOSED_BY_HAND = "closed_by_hand"  # a user resolved it
    SUPPRESSION_ENDED = "suppression_ended"  # it still fires, and the alert that suppressed it has ended
    SILENCE_ENDED = "silence_ended"  # it still fires, and the silence that muted it has ended
    REMINDER = "reminder"  # it still fires, and has no owner; or it still fires long after it was acknowledged
    ESCALATED = "escalated"  # it still fires without an owner: a step of `escalate`
    ACKNOWLEDGED = "acknowledged"
    UNACKNOWLEDGED = "unacknowledged"
    OPERATIONS = "operations"  # operational, to the ops channel


_OPEN = (State.FIRING, State.RECOVERING)

ENDS = frozenset(
    {
        Reason.RESOLVED,
        Reason.NO_LONGER_REPORTED,
        Reason.RULE_REMOVED,
        Reason.NOT_COVERED,
        Reason.TENANT_REMOVED,
        Reason.OUTSIDE_HOURS,
        Reason.CLOSED_BY_HAND,
    }
)


class MuteKind(StrEnum):
    """What mutes an alert, in the order in which muters are asked; see `alerts/mute.py`."""

    SHADOW = "shadow"  # its rule is in shadow
    SUPPRESSED = "suppressed"  # an alert of a rule in `suppressed_by` is open for the same entity
    SILENCED = "silenced"  # a silence matches it


class Withheld(StrEnum):
    """Why a change that has a reason is not reported."""

    SHADOW = "shadow"
    SUPPRESSED = "suppressed"
    SILENCED = "silenced"
    NEVER_REPORTED = "never_reported"  # the alert ends, and its beginning was not reported either


class Fingerprint(NamedTuple):
    """Two alerts with the same fingerprint are the same alert."""

    tenant: str
    rule: str
    scope: Scope
    parent_id: str  # "" if the scope has no parent
    entity_id: str


@dataclass(frozen=True, slots=True)
class Mute:
    """Why an alert is tracked but not reported, and since when. `ref` says what mutes it, by kind:

    SHADOW: None (its own rule); SUPPRESSED: the fingerprint of the alert that suppresses it; SILENCED: the id of the
    silence.
    """

    kind: MuteKind
    ref: Fingerprint | int | None
    since: datetime


@dataclass(frozen=True, slots=True)
class About:
    """What cards show about the rule; kept with the alert, so that it can be shown after the rule was removed."""

    title: str
    condition: str  # the `when` of the current level, as written, with its parameters filled in
    template: str = "alert"
    runbook: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    shadow: bool = False  # the rule is in shadow
    detail: str = ""  # of feed alerts: the current state, in words
    advice: str = ""  # of feed alerts: what to do
    message: str = ""  # the rule's own sentence, a template; "": the built-in one
    show: tuple[str, ...] = ()  # metric keys whose values the card shows


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule for one entity of one tenant. Times are aware UTC.

    `level` is the level that fires (pending: that would fire). `since` holds, for each level whose condition holds,
    the first poll that found it true; `for` counts from there.
    """

    key: Fingerprint
    entity_name: str  # the full name: what rules and silences match; output shows `name`
    about: About
    state: State
    level: Level
    since: Mapping[Level, datetime]
    parent_name: str = ""
    id: int | None = None  # the short id, #17; None until the store has assigned one
    pending_since: datetime | None = None
    fired_at: datetime | None = None
    recovering_since: datetime | None = None
    ended_at: datetime | None = None
    end_reason: Reason | None = None
    measure: Measure | None = None
    shown: Mapping[str, float | str | None] = field(default_factory=dict)  # values of `about.message` and `about.show`
    peak: float | None = None
    peak_at: datetime | None = None
    highest: Level | None = None  # the highest level it reached
    missed: int = 0  # complete polls in a row that did not have the entity
    acked_by: str | None = None  # a Slack user id, or a local user's name
    acked_at: datetime | None = None
    ack_note: str = ""
    seen_at: datetime | None = None  # the poll that last decided about it
    reported: Level | None = None  # the level that was last reported; None: it was never reported
    muted: Mute | None = None  # why it is not reported now
    reminded_at: datetime | None = None  # from when the next reminder counts; None: from `fired_at`
    reminders: int = 0  # reminders so far
    escalated: timedelta | None = None  # the `after` of the last step of `escalate` that was taken
    nagged: bool = False  # its owner was reminded that it still fires
    rises: tuple[datetime, ...] = ()  # when it rose to firing lately, earlier alerts of the same fingerprint included
    unstable: bool = False  # it rose too often lately, and has to stay clear for longer
    no_data_since: datetime | None = None  # its condition has been unknown since then; it stays as it was
    unseen_since: datetime | None = None  # the last good poll before its condition held, where that was long before
    closed_by: str = ""  # who resolved it by hand
    close_note: str = ""
    shown_as: str = field(default="", compare=False)  # instead of `entity_name`, where names are hidden; not stored

    @property
    def name(self) -> str:
        """What output calls its entity: its name, or its id where it has none."""
        return self.shown_as or shown_name(self.key.scope, self.entity_name or self.key.entity_id)

    @property
    def shadow(self) -> bool:
        """Whether its rule is in shadow and it was never reported."""
        return self.about.shadow and self.reported is None

    @property
    def suppressor(self) -> Fingerprint | None:
        """The alert that suppresses it now; None if there is none."""
        ref = self.muted.ref if self.muted is not None else None
        return ref if isinstance(ref, Fingerprint) else None

    @property
    def silence(self) -> int | None:
        """The id of the silence that mutes it now; None if there is none."""
        ref = self.muted.ref if self.muted is not None else None
        return ref if isinstance(ref, int) else None

    @property
    def open(self) -> bool:
        """Firing or recovering."""
        return self.state in _OPEN


_FIELDS = tuple(each.name for each in fields(Alert))
_ALL = attrgetter(*_FIELDS)
_Draft: Any = make_dataclass("_Draft", _FIELDS, slots=True, eq=False, repr=False)
"""An Alert that is not frozen yet. The slots are the same, so that Python lets a draft become an Alert."""


def changed(alert: Alert, changes: Mapping[str, object]) -> Alert:
    """The alert with these fields changed: as `dataclasses.replace`, which takes eight times as long.

    A frozen class has to set each of its many fields by a call, an ordinary one sets them directly.
    """
    draft = _Draft(*_ALL(alert))
    for name, value in changes.items():
        setattr(draft, name, value)
    draft.__class__ = Alert
    finished: Alert = draft
    return finished


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """One decision of one poll: what the alert was, what it is, and why.

    `reason` is None when there is nothing to report (pending began, recovering began, only the value changed); with a
    reason it is reported, unless `withheld` says why not. `before` is None for an alert that begins.

    `words` is the sentence `why`, or makes it when it is read: most changes are of a value alone, and nothing reads why
    these happen.

    `only_values`: nothing differs between `before` and `after` but `measure`, `shown`, `peak`, `peak_at` and `seen_at`,
    which decide neither what is due nor what is muted. What needs no look at such a change skips it: where every value
    moves they are nearly all changes.
    """

    before: Alert | None
    after: Alert
    reason: Reason | None
    words: str | Callable[[], str]
    withheld: Withheld | None = None
    only_values: bool = False

    @property
    def why(self) -> str:
        """A sentence for logs and for readers."""
        return self.words if isinstance(self.words, str) else self.words()

    @property
    def moved(self) -> bool:
        """Whether the state or the level changed, not only the value."""
        if self.only_values:
            return False
        old = self.before
        return old is None or (old.state, old.level) != (self.after.state, self.after.level)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Change):
            return NotImplemented
        same = (self.before, self.after, self.reason, self.withheld)
        return same == (other.before, other.after, other.reason, other.withheld) and self.why == other.why


class Outcome(StrEnum):
    """What became of a change that a user asked for. Resolve beats acknowledge; the first acknowledge wins."""

    DONE = "done"
    ALREADY = "already"  # another user was first; the alert says who
    ENDED = "ended"
    UNKNOWN_ID = "unknown_id"
    NOT_ACKNOWLEDGED = "not_acknowledged"  # there was no acknowledgement to take back
    OTHER_OWNER = "other_owner"  # only its owner may do this; the alert says who that is
