"""Calculates missing means of quarter-hours from the recording, for keys new to `usual` and for times of downtime.

While the bot runs, a turn closes each quarter-hour. After downtime, and for a key that a rule is the first to use in
`usual`, the means are calculated from the recorded polls: a few quarter-hours after each turn, so no poll is delayed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from alertbot.evaluation.usual import QUARTER, QuarterHour, Usual, quarter_of
from alertbot.rules.catalogue import Scope
from alertbot.store.roles import Polls

Filled = Mapping[tuple[Scope, str], datetime]
"""Up to when the means of each key have been calculated."""
SLICE_S = 0.2
"""The time after a turn, in seconds, after which no further quarter-hour is begun."""
ONCE_S = 2.0
"""The same after the turn of `alertbot poll`, which is the only one of its process."""


def fill(
    store: Polls,
    tenant: str,
    usual: Usual,
    filled: Filled,
    now: datetime,
    keep: timedelta,
    *,
    within: float = SLICE_S,
    monotonic: Callable[[], float] = time.monotonic,
) -> tuple[Filled, bool]:
    """Fill one slice. Returns up to when the keys are filled, and whether means were added.

    `keep`: how long polls are recorded. At least one quarter-hour is filled, however long it takes. Raises StoreError.
    """
    end, first, ends_at = quarter_of(now), quarter_of(now - keep), monotonic() + within
    until = {
        (scope, key): max(first, filled.get((scope, key), first)) for scope, keys in usual.keys.items() for key in keys
    }
    # The clock was set back: nothing is known to be filled after now.
    marks = dict.fromkeys((place for place, each in until.items() if each > end), end)
    until.update(marks)
    hours: list[QuarterHour] = []
    while (begin := min(until.values(), default=end)) < end:
        places = [place for place, each in until.items() if each == begin]  # a new key may be behind the others
        stop = min([end, *(each for each in until.values() if each > begin)])
        made, done = _made(store, tenant, usual, places, begin, stop, lambda: monotonic() >= ends_at)
        hours += made
        until.update(dict.fromkeys(places, done))
        marks.update(dict.fromkeys(places, done))
        if monotonic() >= ends_at:
            break
    if marks:
        store.fill(tenant, hours, marks)
    return {**filled, **until}, bool(hours)


def _made(
    store: Polls,
    tenant: str,
    usual: Usual,
    places: list[tuple[Scope, str]],
    begin: datetime,
    stop: datetime,
    late: Callable[[], bool],
) -> tuple[list[QuarterHour], datetime]:
    """The quarter-hours of these keys from `begin` to at most `stop`, and where it ended."""
    keys: dict[Scope, dict[str, int]] = {}
    for scope, key in places:
        keys.setdefault(scope, {})[key] = 1
    counted = Usual(usual.poll_every, usual.zone, keys)
    wanted = {scope: frozenset(own) for scope, own in keys.items()}
    made: list[QuarterHour] = []
    for poll in store.polls(tenant, begin, stop - timedelta(microseconds=1), wanted):
        counted = counted.add(poll.snapshots)
        made += counted.closed
        if counted.closed and late():
            done = quarter_of(poll.at)
            return [*made, *(each for each in counted.end() if each.at < done)], done
    return [*made, *counted.end()], stop


def after_closing(filled: Filled, closed: tuple[QuarterHour, ...]) -> Filled:
    """Until when the keys are filled after a turn that closed these quarter-hours, as the store notes it."""
    more = {
        (each.scope, key): each.at + QUARTER
        for each in closed
        for key in each.means
        if filled.get((each.scope, key)) == each.at
    }
    return {**filled, **more} if more else filled
