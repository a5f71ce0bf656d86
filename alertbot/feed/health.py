"""Feed health: how one tenant's polls go, the built-in rules about it, and when to try again.

The feed is one more entity: `snapshot_of` makes a row of its health, `feed_rules` are rules like any other, and what
comes of them are alerts with the same life, cards and notices. Only their words are their own (`feed_wording.py`).

While one of EXPLAINING is open, or a poll was not good, nothing of that tenant may say "missing" (`blindfold`): what
did not come is no evidence of anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from alertbot.rules.catalogue import Scope


class Activity(StrEnum):
    """What the last whole answer showed of people, which says how much has to move."""

    NOBODY = "nobody"
    AGENTS = "agents"  # logged in, with nobody to talk to
    CALLERS = "callers"


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What the polls of a trouble and of its end changed; `names` has the first few, in words."""

    began: int = 0
    rose: int = 0
    ended: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Health:
    """What is remembered of a tenant's polls from one to the next. Counts are of polls in a row up to the last one.

    A poll is good when all of it came, served when some of it came, silent when nothing did.
    """

    good: int = 0
    served: int = 0
    silent: int = 0
    partial: int = 0  # served, not good
    accepted: int = 0  # served, and nothing of it refused
    refused: int = 0  # not in a row: since the last accepted one
    slow: int = 0
    skew_s: float | None = None
    served_since: datetime | None = None  # the first of the served ones in a row
    served_at: datetime | None = None  # the last served one
    blind_since: datetime | None = None  # the last served one before the silent ones, until that trouble is over
    bad_since: datetime | None = None  # the last good one before the others, until that trouble is over
    good_at: datetime | None = None
    moved_at: datetime | None = None  # the last good poll with figures other than the one before
    still: int = 0  # good polls since then
    figures: str = ""  # a digest of the last good poll's
    activity: Activity = Activity.NOBODY
    opened: bool | None = None  # whether it was opening hours; None where no rule names any
    wait_until: datetime | None = None  # 8x8 asked us to stay away until then
    next_try_at: datetime | None = None  # after repeated failure
    meanwhile: Meanwhile = field(default_factory=Meanwhile)


@dataclass(frozen=True, slots=True)
class Limits:
    """What is expected of a tenant's polls. `slow_after` is measured on the wall clock, as `Fetched.took_ms` is."""

    poll_every: timedelta = timedelta(seconds=15)
    stale_after: timedelta = timedelta(minutes=2)
    frozen_after: timedelta = timedelta(minutes=15)
    slow_after: timedelta = timedelta(seconds=10)

    @property
    def patience(self) -> timedelta:
        """`stale_after`, or two polls and a half where that is longer: polls that are due are not late."""
        return max(self.stale_after, self.poll_every * 2.5)


# From one poll to the next


def not_in_the_future(health: Health, now: datetime) -> Health:
    """The same health, with nothing of it later than now: after the clock was set back, spans count from now on."""
    names = ("served_since", "served_at", "blind_since", "bad_since", "good_at", "moved_at")
    times: dict[str, Any] = {name: getattr(health, name) for name in names}
    late: dict[str, Any] = {name: now for name, at in times.items() if at is not None and at > now}
    return replace(health, **late) if late else health


# The feed as an entity, and the rules about it


def silence(health: Health, now: datetime) -> timedelta:
    """How long nothing has come; never below zero, whatever was done to the clock."""
    return max(timedelta(0), now - (health.served_at or health.blind_since or now))


# What follows for the tenant's other alerts


SKEW = timedelta(seconds=30)


@dataclass(frozen=True)
class Feed:
    """How a tenant's polls go. `entities` and `empty_polls` are by scope, from complete snapshots."""

    tenant: str
    tried_at: datetime | None = None
    good_at: datetime | None = None  # the last poll that brought everything
    error: str = ""  # why the last poll was not good; "" when it was
    took_ms: float = 0.0
    requests: int = 0
    entities: Mapping[Scope, int] = field(default_factory=dict)
    empty_polls: Mapping[Scope, int] = field(default_factory=dict)
    health: Health = field(default_factory=Health)
