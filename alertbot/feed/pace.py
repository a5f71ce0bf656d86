"""When a tenant is polled again: its usual pace, back-off after failures, and the waits that 8x8 asked for."""

from __future__ import annotations

from datetime import datetime, timedelta

from alertbot.feed.health import SKEW, Health

TRIES = 3  # failed polls in a row at the usual pace, before it slows down

MAX_PAUSE = timedelta(minutes=5)  # never less often than this, whatever happens

REFUSED_PAUSE = timedelta(minutes=1)  # refused credentials do not mend themselves in seconds

MAX_RETRY_AFTER = timedelta(hours=1)  # a Retry-After beyond this is taken for a mistake: never not at all


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
    return now + min(pause, max(MAX_PAUSE, poll_every)) - poll_every / 10


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
    return until is not None and now < until <= now + MAX_RETRY_AFTER + SKEW
