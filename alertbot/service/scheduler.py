"""When something happens, never what it does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from alertbot.clock import wall_clock

CHECK_CLOCK_EVERY = 1.0
"""Seconds between two checks whether the clock was set back."""


class Scheduler:
    """Calls jobs at intervals on a pool of threads. A job that overruns is not overlapped; a missed run is skipped.

    APScheduler waits for times of the wall clock: after it was set back by an hour, nothing would run for an hour. So a
    thread looks for runs that are further away than their period, and moves them closer. After the clock was set
    forward, however far, each job runs once at once: see `EveryPeriod`.
    """

    def __init__(self, workers: int) -> None:
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(workers)},
            # No grace time: a run that is late by years is the first one after the clock was set forward.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
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
            EveryPeriod(start, period),
            id=name,
            name=name,
            next_run_time=start,
        )

    def remove(self, name: str) -> None:
        """Call this job no more. A call that runs is not waited for; nothing if there is no such job."""
        with suppress(JobLookupError):
            self._scheduler.remove_job(name)
        self._longest.pop(name, None)

    def start(self) -> None:
        self._scheduler.start()
        self._watch.start()

    def stop(self) -> None:
        """Start no further job. Running jobs are not waited for."""
        self._stopping.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def _watch_clock(self) -> None:
        while not self._stopping.wait(CHECK_CLOCK_EVERY):
            now = wall_clock()
            for job in self._scheduler.get_jobs():
                longest = self._longest.get(job.id)
                if longest is None:
                    continue  # it was removed meanwhile
                next_run = moved_closer(job.next_run_time, longest, now)
                if next_run != job.next_run_time:
                    # It may be removed meanwhile, or the scheduler be stopped.
                    with suppress(JobLookupError):
                        self._scheduler.modify_job(job.id, next_run_time=next_run)


class EveryPeriod(BaseTrigger):  # type: ignore[misc]  # apscheduler has no types
    """Fires every `period`, counted from `start`; the next time always lies after now.

    APScheduler's own IntervalTrigger gives one missed time after another, and the library collects them all before it
    drops all but the last: a clock that jumps from 1970 to today would cost it gigabytes and minutes.
    """

    def __init__(self, start: datetime, period: timedelta) -> None:
        self._start, self._period = start, period

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        if previous_fire_time is None and now <= self._start:
            return self._start
        after = max(previous_fire_time, now) if previous_fire_time is not None else now
        return after + self._period - (after - self._start) % self._period


def moved_closer(next_run: datetime, longest: timedelta, now: datetime) -> datetime:
    """When a job runs next: at most `longest` from now. Jobs keep their phases, so that they stay spread."""
    ahead = next_run - now
    return next_run if ahead <= longest else now + ahead % longest
