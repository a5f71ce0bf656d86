"""The values that go into a store and come out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from alertbot.alerts.alert import Change, Fingerprint
from alertbot.alerts.cards import Posted
from alertbot.alerts.grouping import Groups
from alertbot.alerts.notice import Notice
from alertbot.evaluation.snapshot import Snapshot
from alertbot.evaluation.usual import QuarterHour
from alertbot.feed.health import Feed
from alertbot.rules.catalogue import Scope


def shown_owner(owner: str) -> str:
    """The name of a process as users read it: `vm, process 123`, without what only tells two processes apart."""
    return owner.partition(" (")[0]


@dataclass(frozen=True)
class Owner:
    """Under which number a worker owns a tenant, and what it leaves to the next owner: see store/sql/owners.py."""

    number: int
    memory: str = ""


@dataclass(frozen=True)
class Owned:
    """Which worker owns a tenant, and since when."""

    worker: str
    since: datetime


@dataclass(frozen=True)
class PollRecord:
    """All that one poll decided about one tenant."""

    tenant: str
    now: datetime
    feed: Feed
    changes: Sequence[Change] = ()
    notices: Sequence[Notice] = ()
    snapshots: Mapping[Scope, Snapshot] = field(default_factory=dict)  # become the latest of their scopes
    refresh: timedelta = timedelta(seconds=60)  # a changed value alone edits a card at most once in this time
    failures: Mapping[Scope, str] = field(default_factory=dict)  # scopes without a response, and why
    polled: bool = True  # False: 8x8 was not polled
    latches: Mapping[Fingerprint, int | None] = field(default_factory=dict)  # what it changes, as `next_latches` says
    revision: int | None = None  # that it was decided on; None: whatever was written meanwhile, it is recorded
    quarter_hours: Sequence[QuarterHour] = ()  # whose means are known, since this poll is in a later one
    owner: Owner | None = None  # as whom it was decided; None: by the process that holds the lease, or by hand


@dataclass(frozen=True)
class Recorded:
    """What `record` did that a reader of the poll cannot know: enough to keep open alerts in memory.

    `revision` is one more than before.
    """

    revision: int
    ids: Mapping[Fingerprint, int] = field(default_factory=dict)  # of alerts of which more than the value changed
    cards: Mapping[Fingerprint, frozenset[str]] = field(default_factory=dict)  # as `cards`, of alerts with a notice
    joined: Groups = field(default_factory=dict)  # as `groups`: of these alerts, those that joined a card


@dataclass(frozen=True)
class RunningRules:
    """The rules that a tenant is polled with: their version, since when, and the files as they were read."""

    tenant: str
    version: str
    since: datetime
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class Service:
    """A process that polls and delivers, or did: its name, since when, and when it last said that it lives."""

    owner: str
    since: datetime
    seen_at: datetime
    running: bool


@dataclass(frozen=True)
class RecordedPoll:
    """What one poll saw, as it was recorded. Partial snapshots are not complete and have their problems.

    A scope without a response is in `failures`, with the reason.
    """

    at: datetime
    snapshots: Mapping[Scope, Snapshot] = field(default_factory=dict)
    failures: Mapping[Scope, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Totals:
    """Counts since the database was made, for summaries and health."""

    polls: int = 0
    fired: int = 0
    resolved: int = 0
    cards_posted: int = 0
    lines_posted: int = 0
    edits: int = 0
    waiting: int = 0  # notices that are due or put off, not yet delivered; edits are not counted
    waiting_for: str = ""  # why the last of them could not be delivered; "" if none was attempted
    given_up: int = 0


class NoticeState(StrEnum):
    """What became of a notice."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"  # the entry's `error` says why
    SHOWN_BY_CARD = "told_by_card"  # not posted: the card, or a later message, says it


@dataclass(frozen=True)
class PostedNotice:
    """What is known of the message of a notice. `kept`: the one that is kept up to date; of a card, its current one.

    `known`: the messages that belong to it, including former ones of its card; any other is a duplicate.
    """

    state: NoticeState
    kept: Posted | None
    known: frozenset[Posted]


@dataclass(frozen=True)
class PossibleDuplicate:
    """A notice that may have a second message, posted at `since` or later. `thread`: where it would be, if in one."""

    notice_id: str
    since: datetime
    thread: Posted | None = None


@dataclass(frozen=True)
class LedgerEntry:
    """One notice and what became of it. Its channel is where it goes, not always the one that the rule names."""

    notice: Notice
    state: NoticeState
    attempts: int = 0  # posts that failed
    looks: int = 0  # searches for its message that failed, since the last attempt
    intent_at: datetime | None = None  # while waiting: it was claimed then, and the outcome of the post is unknown
    not_before: datetime | None = None
    settled_at: datetime | None = None  # when it stopped waiting
    error: str = ""
    posted: Posted | None = None
