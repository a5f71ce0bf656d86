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

CHECK_CLOCK_EVERY = 1.0
"""Seconds between two checks whether the clock was set back."""


class Scheduler:
    """Calls jobs at intervals on a pool of threads. A job that overruns is not overlapped; a missed run is skipped.

    APScheduler waits for times of the wall clock: after it was set back by an hour, nothing would run for an hour. So a
    thread looks for runs that are further away than their period, and moves them closer.
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
        """Start no further job. Jobs that are running are not waited for."""
        self._stopping.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def _watch_clock(self) -> None:
        while not self._stopping.wait(CHECK_CLOCK_EVERY):
            now = wall_clock()
            for job in self._scheduler.get_jobs():
                next_run = moved_closer(job.next_run_time, self._longest[job.id], now)
                if next_run != job.next_run_time:
                    try:
                        self._scheduler.modify_job(job.id, next_run_time=next_run)
                    except JobLookupError:
                        return  # the scheduler was stopped meanwhile


def moved_closer(next_run: datetime, longest: timedelta, now: datetime) -> datetime:
    """When a job runs next: at most `longest` from now. Jobs keep their phases, so that they stay spread."""
    ahead = next_run - now
    return next_run if ahead <= longest else now + ahead % longest
