"""Rule tests as values: the data of a contact centre, poll by poll, and what a rule is expected to decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from alertbot.rulefiles.faults import Place
from alertbot.rulefiles.series import Sample
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.rule import Level
from alertbot.rules.terms import Terms

TENANT = "test"
"""The tenant of rule tests, as silences see it."""


@dataclass(frozen=True, slots=True)
class SampleSeries:
    """One metric key over all polls of a test, in column units; None where missing."""

    key: str
    type: ValueType
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class PollRange:
    """The polls from `since` until before `until` (None: to the end), counted from the start of the test."""

    since: timedelta
    until: timedelta | None = None

    def contains(self, at: timedelta) -> bool:
        return self.since <= at and (self.until is None or at < self.until)


@dataclass(frozen=True, slots=True)
class AgentSeries:
    """One agent of a queue or group, for `count(agents where …)`."""

    id: str
    name: str
    series: tuple[SampleSeries, ...] = ()
    usual: tuple[SampleSeries, ...] = ()  # what is usual at each poll; a key that is absent is unknown


@dataclass(frozen=True, slots=True)
class EntitySeries:
    """One entity of a test. `gone`: when it is absent from complete polls."""

    id: str
    name: str
    parent_id: str = ""
    parent_name: str = ""
    series: tuple[SampleSeries, ...] = ()
    gone: tuple[PollRange, ...] = ()
    agents: tuple[AgentSeries, ...] = ()
    usual: tuple[SampleSeries, ...] = ()  # what is usual at each poll; a key that is absent is unknown


@dataclass(frozen=True, slots=True)
class Expectation:
    """The expected state of one entity's alert after the poll at `at` (the last one that is not later). None: any.

    `why` and `card` are texts that the last decision, and the card as it would be drawn, must contain; an empty `card`
    means that there must be no card.
    """

    at: timedelta
    entity: EntitySeries
    place: Place
    state: str | None = None
    level: Level | None = None
    why: tuple[str, ...] = ()
    card: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ExpectedNotice:
    """One notice that is expected at `at`. None, or an empty text: any."""

    at: timedelta
    reason: str
    place: Place
    entity: EntitySeries | None = None
    level: Level | None = None
    channel: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class OwnerChange:
    """The alert of an entity is acknowledged at `at`, or given back; after the poll of that time, if there is one."""

    at: timedelta
    entity: EntitySeries
    place: Place
    by: str = ""


@dataclass(frozen=True, slots=True)
class PlannedSilence:
    """A silence from `at` on, the poll of that time included, until before `at` + `lasts`."""

    at: timedelta
    lasts: timedelta
    terms: Terms


@dataclass(frozen=True, slots=True)
class RuleTest:
    """One rule test. It has `polls` polls, the first at `start` (aware), one every `every`."""

    name: str
    rule: str
    scope: Scope
    start: datetime
    every: timedelta
    polls: int
    entities: tuple[EntitySeries, ...]
    expect: tuple[Expectation, ...] = ()
    notices: tuple[ExpectedNotice, ...] | None = None  # the complete list, where given
    failed: tuple[PollRange, ...] = ()  # polls without any data
    silences: tuple[PlannedSilence, ...] = ()
    acks: tuple[OwnerChange, ...] = ()
    unacks: tuple[OwnerChange, ...] = ()
    file: str = ""
    line: int = 0
    unread: tuple[str, ...] = field(
        default=(), compare=False
    )  # keys that the rule reads and this test has no samples for

    def times(self) -> Mapping[timedelta, datetime]:
        """The time of each poll, by its offset from the start."""
        return {self.every * index: self.start + self.every * index for index in range(self.polls)}
