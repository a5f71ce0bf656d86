"""The scheduler on the machine's own clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from alertbot.clock import wall_clock
from alertbot.service.scheduler import EveryPeriod, Scheduler, moved_closer

HOUR = timedelta(hours=1)
FIFTEEN = timedelta(seconds=15)


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    made = Scheduler(workers=2)
    yield made
    made.stop()


def test_a_clock_that_is_set_back_stops_no_job(scheduler: Scheduler) -> None:
    """For the library, after a clock is set back by an hour the next run is an hour away; it must not wait for it."""
    called = threading.Event()
    scheduler.every(timedelta(seconds=0.1), called.set, name="poll")
    scheduler.start()
    assert called.wait(5.0)
    scheduler._scheduler.modify_job("poll", next_run_time=wall_clock() + HOUR)
    called.clear()
    assert called.wait(5.0)
    called.clear()
    assert called.wait(5.0), "and it continues"


def test_a_clock_that_goes_forward_by_years_costs_nothing(scheduler: Scheduler) -> None:
    """To the library, 56 years forward are 118 million missed runs; one is made at once, and then every period."""
    called = threading.Event()
    scheduler.every(timedelta(seconds=0.1), called.set, name="poll", after=timedelta(hours=1))
    scheduler._longest["poll"] = timedelta(days=365 * 100)
    scheduler.start()
    scheduler._scheduler.modify_job("poll", next_run_time=wall_clock() - timedelta(days=365 * 56))
    assert called.wait(5.0)
    called.clear()
    assert called.wait(5.0), "and it continues"


@pytest.mark.parametrize(
    ("previous", "now", "following"),
    [
        (None, -HOUR, timedelta(0)),
        (timedelta(0), timedelta(milliseconds=3), FIFTEEN),
        (timedelta(0), FIFTEEN, 2 * FIFTEEN),
        (timedelta(0), timedelta(days=20_000, seconds=7), timedelta(days=20_000, seconds=15)),
        (FIFTEEN, -HOUR, 2 * FIFTEEN),
    ],
    ids=["before the start", "on time", "late by a period", "decades later", "the clock is behind"],
)
def test_the_next_time_lies_after_now(previous: timedelta | None, now: timedelta, following: timedelta) -> None:
    """One step, whatever was missed; in the same place of the period, so that tenants stay spread."""
    start = wall_clock()
    trigger = EveryPeriod(start, FIFTEEN)
    fired = None if previous is None else start + previous
    assert trigger.get_next_fire_time(fired, start + now) == start + following


@pytest.mark.parametrize(
    ("ahead", "near"),
    [
        (timedelta(seconds=3), timedelta(seconds=3)),
        (FIFTEEN, FIFTEEN),
        (HOUR + timedelta(seconds=3), timedelta(seconds=3)),
        (HOUR + timedelta(seconds=9), timedelta(seconds=9)),
        (timedelta(seconds=-2), timedelta(seconds=-2)),
    ],
    ids=["due soon", "a period away", "set back", "set back, another tenant: still spread", "late"],
)
def test_where_a_next_run_belongs(ahead: timedelta, near: timedelta) -> None:
    """Within a period of now, keeping its offset within the period."""
    now = wall_clock()
    assert moved_closer(now + ahead, FIFTEEN, now) == now + near
