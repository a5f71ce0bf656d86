"""Feed health: what is remembered about one tenant's polls.

Theory of operation of this room. The feed is an entity like a queue: `rules.snapshot_of` makes a row of its health, and
`rules.feed_rules` are rules like any other, so feed alerts have the same life, cards and notices. Only their texts
differ (`wording.py`). `observe.py` says what a poll means for the health, `pace.py` when the next one is due, and
`turn.py` combines them: one call before the tenant's rules are evaluated, one after.

While a feed alert of EXPLAINING is open, or a poll was not good, no alert of that tenant may be about missing data
(`blindness.py`): data that was not fetched is no evidence.

The names of the fields of Health are kept in databases (as JSON): a field that is renamed needs a migration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from alertbot.rules.catalogue import Scope


class Activity(StrEnum):
    """Who was active in the last complete poll: it decides how long values may stay the same."""

    NOBODY = "nobody"
    AGENTS = "agents"  # logged in, but no callers
    CALLERS = "callers"


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What changed while the feed was ill, and when it recovered; `names` has the first few, in words."""

    began: int = 0
    rose: int = 0
    ended: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Health:
    """What is remembered about a tenant's polls. Counts are of consecutive polls, up to the last one.

    A poll is good if all data was received, served if some of it was, silent if none was.
    """

    good: int = 0
    served: int = 0
    silent: int = 0
    partial: int = 0  # served, not good
    accepted: int = 0  # served, and nothing of it refused
    refused: int = 0  # not consecutive: since the last accepted one
    slow: int = 0
    skew_s: float | None = None
    served_since: datetime | None = None  # the first of the consecutive served ones
    served_at: datetime | None = None  # the last served one
    blind_since: datetime | None = None  # the last served one before the silent ones, until that problem has ended
    bad_since: datetime | None = None  # the last good one before the others, until that problem has ended
    good_at: datetime | None = None
    moved_at: datetime | None = None  # the last good poll whose values differ from those of the poll before
    still: int = 0  # good polls since then
    figures: str = ""  # a digest of the values of the last good poll
    activity: Activity = Activity.NOBODY
    opened: bool | None = None  # whether it was opening hours; None if no rule names any
    wait_until: datetime | None = None  # Retry-After: 8x8 asked for a pause until then
    next_try_at: datetime | None = None  # back-off after repeated failure
    meanwhile: Meanwhile = field(default_factory=Meanwhile)
    failing: Mapping[str, str] = field(default_factory=dict)  # rules that cannot be evaluated, by id: the exception
    received: Mapping[Scope, datetime] = field(default_factory=dict)  # when each scope last had data


@dataclass(frozen=True, slots=True)
class Limits:
    """What is expected of a tenant's polls. `slow_after` is measured on the wall clock, as `Fetched.took_ms` is."""

    poll_every: timedelta = timedelta(seconds=15)
    stale_after: timedelta = timedelta(minutes=2)
    frozen_after: timedelta = timedelta(minutes=15)
    slow_after: timedelta = timedelta(seconds=10)

    @property
    def stale_limit(self) -> timedelta:
        """`stale_after`, or two and a half polls if that is longer: a poll that is not due yet is not late."""
        return max(self.stale_after, self.poll_every * 2.5)


def not_in_the_future(health: Health, now: datetime) -> Health:
    """The same health, with no time later than `now`: after the clock was set back, durations count from `now`."""
    names = ("served_since", "served_at", "blind_since", "bad_since", "good_at", "moved_at")
    times: dict[str, Any] = {name: getattr(health, name) for name in names}
    late: dict[str, Any] = {name: now for name, at in times.items() if at is not None and at > now}
    if any(at > now for at in health.received.values()):
        late["received"] = {scope: min(at, now) for scope, at in health.received.items()}
    return replace(health, **late) if late else health


def silence(health: Health, now: datetime) -> timedelta:
    """How long there has been no data; never negative, even when the clock was set back."""
    return max(timedelta(0), now - (health.served_at or health.blind_since or now))


SKEW = timedelta(seconds=30)
"""How far the clocks of 8x8 and of this machine may differ."""


@dataclass(frozen=True)
class Feed:
    """The stored state of a tenant's polls. `entities` and `empty_polls` are by scope, from complete snapshots."""

    tenant: str
    tried_at: datetime | None = None
    good_at: datetime | None = None  # the last complete poll
    error: str = ""  # why the last poll was not good; "" if it was
    took_ms: float = 0.0
    requests: int = 0
    entities: Mapping[Scope, int] = field(default_factory=dict)
    empty_polls: Mapping[Scope, int] = field(default_factory=dict)
    health: Health = field(default_factory=Health)
