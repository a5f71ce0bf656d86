"""When a tenant is polled again: its usual pace, back-off after failures, and the pauses that 8x8 asks for."""

from __future__ import annotations

from datetime import datetime, timedelta

from alertbot.backoff import doubled
from alertbot.feed.health import SKEW, Health

JITTER = timedelta(milliseconds=250)
"""How much earlier than one interval after the last turn a turn may come because timers are not exact."""
TRIES = 3  # consecutive failed polls at the usual pace before backing off
MAX_PAUSE = timedelta(minutes=5)  # the longest back-off
REFUSED_PAUSE = timedelta(minutes=1)  # refused credentials are not fixed within seconds
MAX_RETRY_AFTER = timedelta(hours=1)  # a longer Retry-After is considered a mistake, and cut to this


def on_time(now: datetime, last: datetime | None, poll_every: timedelta) -> datetime:
    """The time of a turn: `now`, or one interval after the `last` turn if `now` is only just before that.

    A timer that was 5 ms late for one turn and on time for the next makes the interval 5 ms short. Whatever falls due
    after a whole number of intervals (`for: 30s`, `remind: 15m`) would then wait for one turn more.
    """
    expected = last + poll_every if last is not None else now
    return expected if timedelta(0) < expected - now <= JITTER else now


def next_try(health: Health, poll_every: timedelta, now: datetime) -> datetime | None:
    """When to poll again after the poll that left this health; None for the usual pace.

    After TRIES silent polls the pause doubles with each further one, up to MAX_PAUSE; refused credentials cause a pause
    at once. A poll that returns any data ends it. The pause is slightly short, so that a turn at exactly that time is
    not missed.
    """
    if not health.silent:
        return None
    at_most = max(MAX_PAUSE, poll_every)
    if health.refused:
        pause = doubled(REFUSED_PAUSE, health.silent - 1, at_most)
    elif health.silent > TRIES:
        pause = doubled(poll_every, health.silent - TRIES, at_most)
    else:
        return None
    return now + pause - poll_every / 10


def due(health: Health, now: datetime, *, first: bool = False) -> bool:
    """Whether a tenant may be polled. The `first` poll of a process ignores the back-off of the last process.

    After the credentials were fixed, a restart must show the result at once; a pause that 8x8 asked for still holds.
    """
    return asked_to_wait(health, now) is None and (first or not _ahead(health.next_try_at, now))


def asked_to_wait(health: Health, now: datetime) -> datetime | None:
    """Until when 8x8 asked for a pause (Retry-After); None when there is none, or it has ended."""
    return health.wait_until if _ahead(health.wait_until, now) else None


def _ahead(until: datetime | None, now: datetime) -> bool:
    """Whether a pause is in force. One longer than the maximum has ended: the clock was set back."""
    return until is not None and now < until <= now + MAX_RETRY_AFTER + SKEW
