"""Feed health: how one tenant's polls go, the built-in rules about it, and when to try again.

The feed is one more entity: `snapshot_of` makes a row of its health, `feed_rules` are rules like any other, and what
comes of them are alerts with the same life, cards and notices. Only their words are their own (`feed_wording.py`).

While one of EXPLAINING is open, or a poll was not good, nothing of that tenant may say "missing" (`blindfold`): what
did not come is no evidence of anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np

from alertbot.alerts.alert import Alert, Change, Reason, State
from alertbot.alerts.snapshot import Column, Fetched, Presence, Snapshot
from alertbot.rules import hours
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.rule import Level, LevelRule, NoData, Rule, RuleSet
from alertbot.rules.tree import Compare, Condition, Key, Literal, Op
from alertbot.rules.units import write_duration

STALE, REFUSED, PARTIAL = "feed-stale", "feed-refused", "feed-partial"
FROZEN, SLOW, CLOCK = "feed-frozen", "feed-slow", "feed-clock"
EXPLAINING = frozenset({STALE, REFUSED, PARTIAL})
"""The rules whose alerts explain why something is missing."""
UNFIT = EXPLAINING | {FROZEN}
"""The rules whose alerts mean that what alertbot says of the present cannot be relied on."""

PARTIAL_POLLS = 4  # in a row; an empty answer counts as partial for three, and is then believed
SLOW_POLLS = 4
GOOD_AGAIN = 3  # polls in a row that end a trouble: one that got through is no recovery
SETTLE = timedelta(minutes=1)
SKEW = timedelta(seconds=30)
SKEW_FINE = timedelta(seconds=20)
QUIET_FACTOR = 4  # figures may stand still for so much longer while agents are there but no caller is

TRIES = 3  # failed polls in a row at the usual pace, before it slows down
SLOWEST = timedelta(minutes=5)  # never less often than this, whatever happens
REFUSED_PAUSE = timedelta(minutes=1)  # refused credentials do not mend themselves in seconds
LONGEST_TOLD = timedelta(hours=1)  # a Retry-After beyond this is taken for a mistake: never not at all

MOST_NAMES = 5


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


def observe(
    health: Health,
    fetched: Fetched,
    snapshots: Mapping[Scope, Snapshot],
    limits: Limits,
    now: datetime,
    *,
    opened: bool | None = None,
) -> Health:
    """The health after a poll. `snapshots` are `fetched.snapshots`, with what `judge` thinks of empty ones.

    `opened`: whether these are opening hours, see `opening`.
    """
    health = set_right(health, now)
    refused = fetched.refused
    served = bool(snapshots) or not (fetched.failures or refused)
    good = served and not (fetched.failures or refused) and all(each.complete for each in snapshots.values())
    slow = served and fetched.took_ms > limits.slow_after.total_seconds() * 1000.0
    after = replace(
        health,
        good=health.good + 1 if good else 0,
        served=health.served + 1 if served else 0,
        silent=0 if served else health.silent + 1,
        partial=health.partial + 1 if served and not good else 0,
        accepted=health.accepted + 1 if served and not refused else 0,
        refused=health.refused + 1 if refused else 0 if served else health.refused,
        slow=health.slow + 1 if slow else 0,
        skew_s=fetched.clock_skew_s,
        good_at=now if good else health.good_at,
        bad_since=health.bad_since if good else health.bad_since or health.good_at or now,
    )
    if served:
        began = health.served_since if health.served else now
        after = replace(after, served_since=began, served_at=now)
    else:
        after = replace(after, blind_since=health.blind_since or health.served_at or now)
    if good and snapshots:
        figures = digest(snapshots)
        # A night may stand still: where it ends, the standstill begins anew.
        moved = figures != health.figures or health.moved_at is None or (opened is True and not health.opened)
        after = replace(
            after,
            figures=figures,
            moved_at=now if moved else health.moved_at,
            still=0 if moved else health.still + 1,
            activity=activity(snapshots),
            opened=opened,
        )
    return replace(
        after,
        wait_until=now + min(timedelta(seconds=fetched.retry_after), LONGEST_TOLD) if fetched.retry_after else None,
        next_try_at=next_try(after, limits.poll_every, now),
    )


def set_right(health: Health, now: datetime) -> Health:
    """The same health, with nothing of it later than now: after the clock was set back, spans count from now on."""
    names = ("served_since", "served_at", "blind_since", "bad_since", "good_at", "moved_at")
    times: dict[str, Any] = {name: getattr(health, name) for name in names}
    late: dict[str, Any] = {name: now for name, at in times.items() if at is not None and at > now}
    return replace(health, **late) if late else health


def missed(health: Health, now: datetime) -> Health:
    """The health after a poll that came to nothing in alertbot itself. 8x8 is no less willing: no pause follows."""
    health = set_right(health, now)
    return replace(
        health,
        good=0,
        served=0,
        silent=health.silent + 1,
        partial=0,
        accepted=0,
        blind_since=health.blind_since or health.served_at or now,
        bad_since=health.bad_since or health.good_at or now,
    )


def next_try(health: Health, poll_every: timedelta, now: datetime) -> datetime | None:
    """When a tenant is to be tried again after the poll that left it so; None for its usual pace.

    After TRIES silent polls the pause doubles with each further one up to SLOWEST; refused credentials pause at once.
    A poll that brings anything ends it. The pause is a little short, so that a tick at that very time is not missed.
    """
    if not health.silent:
        return None
    if health.refused:
        pause = _doubled(REFUSED_PAUSE, health.silent - 1)
    elif health.silent > TRIES:
        pause = _doubled(poll_every, health.silent - TRIES)
    else:
        return None
    return now + min(pause, max(SLOWEST, poll_every)) - poll_every / 10


def _doubled(pause: timedelta, times: int) -> timedelta:
    doubled: timedelta = pause * 2 ** min(times, 10)
    return doubled


def due(health: Health, now: datetime, *, first: bool = False) -> bool:
    """Whether a tenant may be polled. The `first` poll of a process does not mind the pauses of the last one.

    Somebody who mended the credentials and started anew wants to see it; a wait that 8x8 asked for holds all the same.
    """
    return asked_to_wait(health, now) is None and (first or not _ahead(health.next_try_at, now))


def asked_to_wait(health: Health, now: datetime) -> datetime | None:
    """Until when 8x8 asked us to stay away; None where that is over."""
    return health.wait_until if _ahead(health.wait_until, now) else None


def _ahead(until: datetime | None, now: datetime) -> bool:
    """Whether a pause lasts. One longer than any that we make was written before the clock was set back: it is over."""
    return until is not None and now < until <= now + LONGEST_TOLD + SKEW


def digest(snapshots: Mapping[Scope, Snapshot]) -> str:
    """A short digest of all figures and words of a poll: two that differ have moved."""
    found = hashlib.blake2b(digest_size=12)
    for scope in sorted(snapshots):
        snapshot = snapshots[scope]
        found.update("\x1f".join((scope, *snapshot.ids)).encode("utf-8", "replace"))
        for key in sorted(snapshot.columns):
            column = snapshot.columns[key]
            found.update(key.encode("utf-8", "replace"))
            if column.is_text:
                found.update("\x1f".join(column.values.tolist()).encode("utf-8", "replace"))
            else:
                found.update(np.ascontiguousarray(column.values).tobytes())
    return found.hexdigest()


# Keys that are above zero while somebody calls, and while somebody is logged in to answer.
_CALLERS = frozenset(
    f"{name}.rt"
    for name in (
        *("interactionsWaitInQueue", "interactionsLongestWaitInQueue", "interactionsHandling", "interactionsWrapUp"),
        *("busy", "busyExternal", "busyOther", "handling", "offering", "wrapUp", "alerting"),
        *("activeInteractionsCount", "activeQueues", "activeChannels", "activeDirections"),
    )
)
_AGENTS = frozenset(f"{name}.rt" for name in ("enabled", "eligible", "availableIdle"))
_AWAY = frozenset({"", "loggedout", "logged out"})


def activity(snapshots: Mapping[Scope, Snapshot]) -> Activity:
    """Who is there, as far as the keys that were fetched can tell."""
    agents = False
    for snapshot in snapshots.values():
        for key, column in snapshot.columns.items():
            bare = key.removeprefix("total.")
            if bare in _CALLERS and not column.is_text and (column.values > 0).any():  # NaN > 0 is false
                return Activity.CALLERS
            if bare in _AGENTS and not column.is_text:
                agents = agents or bool((column.values > 0).any())
            elif bare == "status.rt" and column.is_text:
                agents = agents or any(word.casefold() not in _AWAY for word in set(column.values.tolist()))
    return Activity.AGENTS if agents else Activity.NOBODY


def opening(rules: RuleSet, now: datetime) -> bool | None:
    """Whether a calendar that a rule's `during` names is open; None where no rule names one."""
    calendars = {rule.during.calendar for rule in rules.rules if rule.during is not None}
    return any(hours.state(each, now) is hours.Phase.OPEN for each in calendars) if calendars else None


# The feed as an entity, and the rules about it


def snapshot_of(tenant: str, health: Health, limits: Limits, now: datetime, *, paused: bool = False) -> Snapshot:
    """One row, named as the tenant: its health at `now`, in column units. What nobody knows is missing.

    `paused`: this is a turn without a poll, which brings nothing, whatever the last poll brought.
    """
    nothing_for = silence(health, now) if paused or health.silent > 1 else timedelta(0)  # one poll may fail
    still_for: timedelta | None = None
    if health.good and health.moved_at is not None:
        still_for = now - health.moved_at if health.still > 1 else timedelta(0)
    values: dict[str, float | None] = {
        "feed.silence": _ms(nothing_for),
        "feed.standstill": _ms(still_for),
        "feed.standstillAllowed": _ms(_standstill_allowed(health, limits)),
        "feed.skew": None if health.skew_s is None else abs(health.skew_s) * 1000.0,
        "feed.good": health.good,
        "feed.served": health.served,
        "feed.accepted": health.accepted,
        "feed.partial": health.partial,
        "feed.refused": health.refused,
        "feed.slow": health.slow,
    }
    return Snapshot(
        scope=Scope.FEED,
        at=now,
        ids=(tenant,),
        names=(tenant,),
        columns={key: _cell(value) for key, value in values.items()},
    )


def _standstill_allowed(health: Health, limits: Limits) -> timedelta | None:
    """How long figures may stand still; None: as long as they like."""
    if health.opened or health.activity is Activity.CALLERS:
        return limits.frozen_after
    if health.opened is None and health.activity is Activity.AGENTS:
        return limits.frozen_after * QUIET_FACTOR
    return None


def silence(health: Health, now: datetime) -> timedelta:
    """How long nothing has come; never below zero, whatever was done to the clock."""
    return max(timedelta(0), now - (health.served_at or health.blind_since or now))


def _ms(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds() * 1000.0


def _cell(value: float | None) -> Column:
    presence = Presence.PRESENT if value is not None else Presence.NULL
    return Column(np.array([np.nan if value is None else value]), np.array([presence], dtype=np.uint8))


@lru_cache(maxsize=256)
def feed_rules(limits: Limits, channel: str) -> RuleSet:
    """The built-in rules, told in `channel`."""
    stale = write_duration(limits.patience)
    frozen = write_duration(limits.frozen_after)

    def rule(
        id_: str,
        title: str,
        level: Level,
        when: Condition,
        text: str,
        clear: Condition,
        clear_text: str,
        *,
        hold: timedelta = timedelta(0),
        guard: Condition | None = None,
        keep: timedelta = timedelta(0),
    ) -> Rule:
        return Rule(
            id=id_,
            title=title,
            scope=Scope.FEED,
            levels=(LevelRule(level, when, text, hold),),
            guard=guard,
            guard_text="the credentials are not refused" if guard is not None else "",
            clear=clear,
            clear_text=clear_text,
            keep_firing_for=keep,
            channels={level: channel},
            template="feed",
        )

    accepted = _count("feed.refused", Op.EQ, 0)
    return RuleSet(
        (
            rule(
                STALE,
                "Blind: no values from 8x8",
                Level.CRITICAL,
                _time("feed.silence", Op.GT, limits.patience),
                f"nothing came from 8x8 for {stale}",
                _count("feed.served", Op.GE, GOOD_AGAIN),
                f"{GOOD_AGAIN} polls in a row brought values",
                guard=accepted,
            ),
            rule(
                REFUSED,
                "8x8 refuses the credentials",
                Level.CRITICAL,
                _count("feed.refused", Op.GE, 1),
                "8x8 refuses the API key, its secret or what they may read",
                _count("feed.accepted", Op.GE, GOOD_AGAIN),
                f"{GOOD_AGAIN} polls in a row were accepted",
            ),
            rule(
                PARTIAL,
                "Polls bring only a part",
                Level.WARNING,
                _count("feed.partial", Op.GE, PARTIAL_POLLS),
                f"{PARTIAL_POLLS} polls in a row were partial",
                _count("feed.good", Op.GE, GOOD_AGAIN),
                f"{GOOD_AGAIN} polls in a row were whole",
                guard=accepted,
            ),
            rule(
                FROZEN,
                "The figures of 8x8 stand still",
                Level.CRITICAL,
                Compare(Op.GT, _key("feed.standstill"), _key("feed.standstillAllowed")),
                f"no figure moved for {frozen}, with callers or in opening hours",
                _time("feed.standstill", Op.EQ, timedelta(0)),
                "a figure moved",
                keep=SETTLE,
            ),
            rule(
                SLOW,
                "Polls are slow",
                Level.WARNING,
                _count("feed.slow", Op.GE, SLOW_POLLS),
                f"{SLOW_POLLS} polls in a row took longer than {write_duration(limits.slow_after)}",
                _count("feed.slow", Op.EQ, 0),
                "a poll took less",
                keep=SETTLE,
            ),
            rule(
                CLOCK,
                "The clocks of 8x8 and of this machine differ",
                Level.WARNING,
                _time("feed.skew", Op.GT, SKEW),
                f"more than {write_duration(SKEW)} apart",
                _time("feed.skew", Op.LT, SKEW_FINE),
                f"less than {write_duration(SKEW_FINE)} apart",
                hold=limits.patience,
                keep=SETTLE,
            ),
        )
    )


def _key(name: str) -> Key:
    return Key(name, ValueType.DURATION)


def _time(name: str, op: Op, span: timedelta) -> Compare:
    return Compare(op, _key(name), Literal(span.total_seconds() * 1000.0, ValueType.DURATION))


def _count(name: str, op: Op, number: int) -> Compare:
    return Compare(op, Key(name, ValueType.COUNT), Literal(float(number), ValueType.COUNT))


# What follows for the tenant's other alerts


def is_feed(alert: Alert) -> bool:
    """Whether an alert is about the polls themselves."""
    return alert.key.scope is Scope.FEED


def explained(alerts: Sequence[Alert], changes: Sequence[Change], health: Health) -> bool:
    """Whether what is missing is explained: by this poll itself, or by a feed alert that is open after it."""
    after = {alert.key: alert for alert in alerts if is_feed(alert)}
    after |= {change.after.key: change.after for change in changes}
    return not health.good or any(alert.open and alert.key.rule in EXPLAINING for alert in after.values())


def blindfold(rules: RuleSet, snapshots: Mapping[Scope, Snapshot]) -> tuple[RuleSet, Mapping[Scope, Snapshot]]:
    """The same rules and snapshots, with nothing left that can say "missing".

    What is unknown stays as it was, whatever `no_data` says, and an entity that is not there is not gone. What fired
    before stays; what still holds when the trouble is over is told then.
    """
    quiet = tuple(each if each.no_data is NoData.KEEP else replace(each, no_data=NoData.KEEP) for each in rules.rules)
    partial = {
        scope: replace(snapshot, complete=False) if snapshot.complete else snapshot
        for scope, snapshot in snapshots.items()
    }
    return replace(rules, rules=quiet), partial


def gathered(health: Health, changes: Sequence[Change]) -> Health:
    """The health with what these changes add to "meanwhile"."""
    if health.bad_since is None and health.blind_since is None:
        return health
    began = rose = ended = 0
    names = list(health.meanwhile.names)
    for change in changes:
        if change.withheld is not None:
            continue  # nobody is told of it, here neither
        match change.reason:
            case Reason.FIRED:
                word = f"began ({change.after.level.word})"
                began += 1
            case Reason.LEVEL_UP:
                word = f"rose to {change.after.level.word}"
                rose += 1
            case None:
                continue
            case _ if change.after.state is State.INACTIVE:
                word = "ended"
                ended += 1
            case _:
                continue
        if len(names) < MOST_NAMES:
            names.append(f"{change.after.about.title} of {change.after.entity_name} {word}")
    old = health.meanwhile
    return replace(health, meanwhile=Meanwhile(old.began + began, old.rose + rose, old.ended + ended, tuple(names)))


def settled(health: Health, alerts: Sequence[Alert], feed_changes: Sequence[Change]) -> Health:
    """The health to be stored: what `gathered` returned, without the trouble once its alerts are over."""
    there = {alert.key.rule for alert in alerts if is_feed(alert)}
    for change in feed_changes:
        (there.discard if change.after.state is State.INACTIVE else there.add)(change.after.key.rule)
    if health.served and not there & {STALE, REFUSED}:
        health = replace(health, blind_since=None)
    if health.good and not there & EXPLAINING:
        health = replace(health, bad_since=None, meanwhile=Meanwhile())
    return health
