"""When something happens, never what it does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from alertbot.clock import wall_clock

LOOK_EVERY = 1.0
"""Seconds between two looks at whether the clock was set back."""


class Scheduler:
    """Calls jobs at intervals on a pool of threads. What overruns is not overlapped; a missed one is not made up.

    APScheduler waits for times of the wall clock: after it was set back by an hour, nothing would run for an hour.
    A thread looks for runs that are further away than their period, and brings them near.
    """

    def __init__(self, workers: int) -> None:
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(workers)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": 3600},
            timezone="UTC",
        )
        self._longest: dict[str, timedelta] = {}  # by job, how far away its next run may be
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._watch_clock, name="scheduler clock", daemon=True)

    def every(
        self, period: timedelta, job: Callable[[], object], *, name: str, after: timedelta = timedelta(0)
    ) -> None:
        """Call `job` first in `after`, then every `period`, in wall time."""
        start = wall_clock() + after
        self._longest[name] = max(period, after)
        self._scheduler.add_job(
            job,
            IntervalTrigger(seconds=period.total_seconds(), start_date=start, timezone="UTC"),
            id=name,
            name=name,
            next_run_time=start,
        )

    def start(self) -> None:
        self._scheduler.start()
        self._watch.start()

    def stop(self) -> None:
        """Begin no further job. Those that run go on; who needs them to end waits for them."""
        self._stopping.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def _watch_clock(self) -> None:
        while not self._stopping.wait(LOOK_EVERY):
            now = wall_clock()
            for job in self._scheduler.get_jobs():
                near = brought_near(job.next_run_time, self._longest[job.id], now)
                if near != job.next_run_time:
                    try:
                        self._scheduler.modify_job(job.id, next_run_time=near)
                    except JobLookupError:
                        return  # it was stopped meanwhile


def brought_near(next_run: datetime, longest: timedelta, now: datetime) -> datetime:
    """Where a next run belongs: at most `longest` from now, at its place in it, so that jobs stay spread."""
    ahead = next_run - now
    return next_run if ahead <= longest else now + ahead % longest
