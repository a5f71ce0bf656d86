"""The feed as an entity, and the built-in rules about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache

import numpy as np

from alertbot.alerts.alert import Alert
from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.feed.health import SKEW, Activity, Health, Limits, silence
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.compare import OPERATORS
from alertbot.rules.rule import Level, LevelRule, Rule, RuleSet
from alertbot.rules.tree import Compare, Condition, Key, Literal, Op
from alertbot.rules.units import write_duration

STALE, REFUSED, PARTIAL = "feed-stale", "feed-refused", "feed-partial"

FROZEN, SLOW, CLOCK = "feed-frozen", "feed-slow", "feed-clock"

EXPLAINING = frozenset({STALE, REFUSED, PARTIAL})
"""The rules whose alerts explain why something is missing."""

UNFIT = EXPLAINING | {FROZEN}
"""The rules whose alerts mean that the current values are not reliable."""

PARTIAL_POLLS = 4  # consecutive; an empty response counts as partial for three polls, and is then accepted

SLOW_POLLS = 4

GOOD_AGAIN = 3  # consecutive polls that end a problem: a single success is no recovery

KEEP_FIRING_FOR = timedelta(minutes=1)
SKEW_FINE = timedelta(seconds=20)

QUIET_FACTOR = 4  # values may stay the same this many times longer while agents are there but no callers


def snapshot_of(tenant: str, health: Health, limits: Limits, now: datetime, *, paused: bool = False) -> Snapshot:
    """One row, named after the tenant: its health at `now`, as `values_of` has it. What is unknown is missing."""
    return Snapshot(
        scope=Scope.FEED,
        at=now,
        ids=(tenant,),
        names=(tenant,),
        columns={key: _cell(value) for key, value in values_of(health, limits, now, paused=paused).items()},
    )


def values_of(health: Health, limits: Limits, now: datetime, *, paused: bool = False) -> dict[str, float | None]:
    """What the built-in rules read of a feed at `now`, in column units; None where it is unknown.

    `paused`: this is a turn without a fetch, so there is no data now, whatever the last poll returned.
    """
    nothing_for = silence(health, now) if paused or health.silent > 1 else timedelta(0)  # one poll may fail
    still_for: timedelta | None = None
    if health.good and health.moved_at is not None:
        still_for = now - health.moved_at if health.still > 1 else timedelta(0)
    return {
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


def may_begin(values: Mapping[str, float | None], builtin: RuleSet) -> bool:
    """Whether an alert of a built-in rule may begin; False: none does, whatever else there is to know.

    Almost every poll of almost every feed is fine, and a column of one row costs as much as one of a thousand. So this
    compares plain numbers first. An alert begins only where the condition of a level is true (what is unknown keeps
    everything as it is: `no_data` is `keep`), and every such condition compares a value with a value or a constant.
    Guards are left out: they only make fewer alerts begin.
    """
    return any(_may_hold(level.when, values) for rule in builtin.rules for level in rule.levels)


def _may_hold(condition: Condition, values: Mapping[str, float | None]) -> bool:
    match condition:
        case Compare(op=op, left=Key(key=key), right=Literal(value=float(limit))):
            value = values[key]
            return value is not None and bool(OPERATORS[op](value, limit))
        case Compare(op=op, left=Key(key=key), right=Key(key=other)):
            value, allowed = values[key], values[other]
            return value is not None and allowed is not None and bool(OPERATORS[op](value, allowed))
    return True  # not of that kind: it has to be evaluated


def _standstill_allowed(health: Health, limits: Limits) -> timedelta | None:
    """How long values may stay the same; None: without a limit."""
    if health.opened or health.activity is Activity.CALLERS:
        return limits.frozen_after
    if health.opened is None and health.activity is Activity.AGENTS:
        return limits.frozen_after * QUIET_FACTOR
    return None


def _ms(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds() * 1000.0


def _cell(value: float | None) -> Column:
    presence = Presence.PRESENT if value is not None else Presence.NULL
    return Column(np.array([np.nan if value is None else value]), np.array([presence], dtype=np.uint8))


@lru_cache(maxsize=256)
def feed_rules(limits: Limits, channel: str) -> RuleSet:
    """The built-in rules, reported in `channel`."""
    stale = write_duration(limits.stale_limit)
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
            channels={level: (channel,)},
            template="feed",
        )

    accepted = _count("feed.refused", Op.EQ, 0)
    return RuleSet(
        (
            rule(
                STALE,
                "No data from 8x8",
                Level.CRITICAL,
                _time("feed.silence", Op.GT, limits.stale_limit),
                f"no data from 8x8 for {stale}",
                _count("feed.served", Op.GE, GOOD_AGAIN),
                f"{GOOD_AGAIN} polls in a row returned data",
                guard=accepted,
            ),
            rule(
                REFUSED,
                "8x8 refuses the credentials",
                Level.CRITICAL,
                _count("feed.refused", Op.GE, 1),
                "8x8 refuses the API key, its secret or their permissions",
                _count("feed.accepted", Op.GE, GOOD_AGAIN),
                f"{GOOD_AGAIN} polls in a row were accepted",
            ),
            rule(
                PARTIAL,
                "Incomplete data from 8x8",
                Level.WARNING,
                _count("feed.partial", Op.GE, PARTIAL_POLLS),
                f"{PARTIAL_POLLS} polls in a row were incomplete",
                _count("feed.good", Op.GE, GOOD_AGAIN),
                f"{GOOD_AGAIN} polls in a row were complete",
                guard=accepted,
            ),
            rule(
                FROZEN,
                "Frozen data from 8x8",
                Level.CRITICAL,
                Compare(Op.GT, _key("feed.standstill"), _key("feed.standstillAllowed")),
                f"no value changed for {frozen}, with callers or in opening hours",
                _time("feed.standstill", Op.EQ, timedelta(0)),
                "a value changed",
                keep=KEEP_FIRING_FOR,
            ),
            rule(
                SLOW,
                "Polls are slow",
                Level.WARNING,
                _count("feed.slow", Op.GE, SLOW_POLLS),
                f"{SLOW_POLLS} polls in a row took longer than {write_duration(limits.slow_after)}",
                _count("feed.slow", Op.EQ, 0),
                "a poll was faster",
                keep=KEEP_FIRING_FOR,
            ),
            rule(
                CLOCK,
                "The clocks of 8x8 and this machine differ",
                Level.WARNING,
                _time("feed.skew", Op.GT, SKEW),
                f"more than {write_duration(SKEW)} apart",
                _time("feed.skew", Op.LT, SKEW_FINE),
                f"less than {write_duration(SKEW_FINE)} apart",
                hold=limits.stale_limit,
                keep=KEEP_FIRING_FOR,
            ),
        )
    )


def _key(name: str) -> Key:
    return Key(name, ValueType.DURATION)


def _time(name: str, op: Op, span: timedelta) -> Compare:
    return Compare(op, _key(name), Literal(span.total_seconds() * 1000.0, ValueType.DURATION))


def _count(name: str, op: Op, number: int) -> Compare:
    return Compare(op, Key(name, ValueType.COUNT), Literal(float(number), ValueType.COUNT))


def is_feed(alert: Alert) -> bool:
    """Whether an alert is about the feed."""
    return alert.key.scope is Scope.FEED
