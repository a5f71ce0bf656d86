"""Alert quality over a window: counts by rule and entity, times to acknowledge, and time without data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from alertbot.alerts.alert import Fingerprint
from alertbot.rules.rule import Level

BRIEF = timedelta(minutes=1)
"""An alert that ends by itself sooner than this ended before anyone could act on it."""
NEW = timedelta(days=1)
"""With less than this recorded, a tenant cannot be judged, and `tune` has nothing to replay."""

Interval = tuple[datetime, datetime]


class Fired(NamedTuple):
    """How many alerts of one rule about one entity fired in the window, and how many of each kind.

    `shadow`: they were not reported, since the rule was in shadow; those that were are counted apart.
    """

    key: Fingerprint
    name: str  # of the entity, as output shows it
    parent: str
    title: str  # of the rule, at the time of the last alert
    highest: Level
    shadow: bool
    alerts: int
    critical: int
    reported: int
    acknowledged: int
    ignored: int  # reported, warning or critical, lasted for BRIEF or longer, and never acknowledged
    brief: int  # ended by themselves within BRIEF
    unstable: int  # flapped
    reminded: int
    reminders: int
    escalated: int


@dataclass(frozen=True)
class Quality:
    """What happened from `since` until `until`; an alert belongs to the window in which it fired.

    Feed alerts are not in `fired`. `acknowledged_after`: seconds, by tenant and rule. `without_data`: by tenant, as
    `merged` makes it. `open_rules`: tenant and rule of alerts that were open in the window, whenever they fired.
    `new`: tenants whose recorded polls begin less than NEW before `until`, or that have none.
    """

    since: datetime
    until: datetime
    fired: tuple[Fired, ...] = ()
    acknowledged_after: Mapping[tuple[str, str], tuple[float, ...]] = field(default_factory=dict)
    without_data: Mapping[str, tuple[Interval, ...]] = field(default_factory=dict)
    open_rules: frozenset[tuple[str, str]] = frozenset()
    new: frozenset[str] = frozenset()


def merged(intervals: Iterable[Interval], since: datetime, until: datetime) -> tuple[Interval, ...]:
    """The intervals within a window, in order; those that overlap or touch are one."""
    found: list[Interval] = []
    for begin, end in sorted((max(begin, since), min(end, until)) for begin, end in intervals):
        if begin >= end:
            continue
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return tuple(found)
