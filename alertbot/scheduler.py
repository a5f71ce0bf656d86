"""When something happens, never what it does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from alertbot.clock import wall_clock


class Scheduler:
    """Calls jobs at intervals on a pool of threads. What overruns is not overlapped; a missed one is not made up."""

    def __init__(self, workers: int) -> None:
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(workers)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": 3600},
            timezone="UTC",
        )

    def every(
        self, period: timedelta, job: Callable[[], object], *, name: str, after: timedelta = timedelta(0)
    ) -> None:
        """Call `job` first in `after`, then every `period`, in wall time."""
        start = wall_clock() + after
        self._scheduler.add_job(
            job,
            IntervalTrigger(seconds=period.total_seconds(), start_date=start, timezone="UTC"),
            id=name,
            name=name,
            next_run_time=start,
        )

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        """Begin no further job. Those that run go on; who needs them to end waits for them."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
