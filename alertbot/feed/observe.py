"""What a poll means for the health of its feed."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from alertbot.alerts.alert import Alert, Change, Reason, State
from alertbot.evaluation.snapshot import Fetched, Snapshot
from alertbot.feed.health import Activity, Health, Limits, Meanwhile, not_in_the_future
from alertbot.feed.pace import MAX_RETRY_AFTER, next_try
from alertbot.feed.rules import EXPLAINING, REFUSED, STALE, is_feed
from alertbot.rules import hours
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import RuleSet

MAX_NAMES = 5
_NOTHING_CHANGED = Meanwhile()


def observe(
    health: Health,
    fetched: Fetched,
    snapshots: Mapping[Scope, Snapshot],
    limits: Limits,
    now: datetime,
    *,
    opened: bool | None = None,
) -> Health:
    """The health after a poll. `snapshots` are `fetched.snapshots`, after `doubt_empty`.

    `opened`: whether these are opening hours, see `opening`.
    """
    health = not_in_the_future(health, now)
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
        received={**health.received, **{scope: now for scope in snapshots if scope not in fetched.failures}},
    )
    if served:
        began = health.served_since if health.served else now
        after = replace(after, served_since=began, served_at=now)
    else:
        after = replace(after, blind_since=health.blind_since or health.served_at or now)
    if good and snapshots:
        figures, active = _seen(snapshots)
        # Values need not change at night: when opening hours begin, frozen time starts from zero.
        moved = figures != health.figures or health.moved_at is None or (opened is True and not health.opened)
        after = replace(
            after,
            figures=figures,
            moved_at=now if moved else health.moved_at,
            still=0 if moved else health.still + 1,
            activity=active,
            opened=opened,
        )
    wait_until = now + min(timedelta(seconds=fetched.retry_after), MAX_RETRY_AFTER) if fetched.retry_after else None
    next_try_at = next_try(after, limits.poll_every, now)
    if (wait_until, next_try_at) == (after.wait_until, after.next_try_at):
        return after  # of a feed that is fine: there is neither
    return replace(after, wait_until=wait_until, next_try_at=next_try_at)


def missed(health: Health, now: datetime) -> Health:
    """The health after a poll that failed in alertbot itself. That says nothing about 8x8, so there is no back-off."""
    health = not_in_the_future(health, now)
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


def _seen(snapshots: Mapping[Scope, Snapshot]) -> tuple[str, Activity]:
    """`digest` and `activity`: those of the last poll while no value differs, which costs a hundredth of both."""
    first, *others = (snapshots[scope].derived for scope in sorted(snapshots))
    known = first.get("seen")
    if known is not None and len(known[0]) == len(others) and all(map(operator.is_, known[0], others)):
        return known[1], known[2]
    found = digest(snapshots), activity(snapshots)
    first["seen"] = (others, *found)
    return found


def digest(snapshots: Mapping[Scope, Snapshot]) -> str:
    """A short digest of all values of a poll: it differs when any value differs."""
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


# Keys that are above zero while there are callers, and while agents are logged in.
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
    """Who is active, as far as the fetched keys show."""
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
    """Whether a calendar that a rule's `during` names is open; None if no rule names one."""
    calendars = {rule.during.calendar for rule in rules.rules if rule.during is not None}
    return any(hours.state(each, now) is hours.Phase.OPEN for each in calendars) if calendars else None


def with_meanwhile(health: Health, changes: Sequence[Change]) -> Health:
    """The health with these changes added to `meanwhile`, while the feed is ill."""
    if health.bad_since is None and health.blind_since is None:
        return health
    began = rose = ended = 0
    names = list(health.meanwhile.names)
    for change in changes:
        if change.withheld is not None:
            continue  # not reported, so not here either
        reported_before = change.before is not None and change.before.reported is not None
        match change.reason:
            case Reason.SUPPRESSION_ENDED if reported_before:
                continue  # it began before
            case Reason.FIRED | Reason.SUPPRESSION_ENDED:
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
        if len(names) < MAX_NAMES:
            names.append(f"{change.after.about.title} of {change.after.name} {word}")
    old = health.meanwhile
    return replace(health, meanwhile=Meanwhile(old.began + began, old.rose + rose, old.ended + ended, tuple(names)))


def without_ended_trouble(health: Health, alerts: Sequence[Alert], feed_changes: Sequence[Change]) -> Health:
    """The health to store: after `with_meanwhile`, and without a problem whose alerts have all ended."""
    there = {alert.key.rule for alert in alerts if is_feed(alert)}
    for change in feed_changes:
        (there.discard if change.after.state is State.INACTIVE else there.add)(change.after.key.rule)
    if health.served and health.blind_since is not None and not there & {STALE, REFUSED}:
        health = replace(health, blind_since=None)
    in_trouble = health.bad_since is not None or health.meanwhile != _NOTHING_CHANGED
    if health.good and in_trouble and not there & EXPLAINING:
        health = replace(health, bad_since=None, meanwhile=_NOTHING_CHANGED)
    return health


EMPTY_LIMIT = 3  # consecutive empty responses that count as partial


def doubt_empty(snapshot: Snapshot, known_entities: int, empty_polls: int) -> Snapshot:
    """The snapshot; an empty one where there were entities counts as partial for the first EMPTY_LIMIT polls.

    `known_entities`: how many entities the last complete snapshot of this scope had. `empty_polls`: how many
    consecutive polls before this one were empty.
    """
    if len(snapshot) or not known_entities or empty_polls >= EMPTY_LIMIT or not snapshot.complete:
        return snapshot
    problem = f"8x8 returned no entities where there were {known_entities}"
    return replace(snapshot, complete=False, problems=(*snapshot.problems, problem))
