"""Deletes ended alerts that are older than `history`, in small batches beside the polls."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from alertbot.clock import Clock
from alertbot.errors import StoreError
from alertbot.logs import logger
from alertbot.rules.units import format_duration
from alertbot.store.roles import Retention

DELETE_EVERY: Final = timedelta(minutes=1)
BATCH: Final = 200
"""Alerts that one transaction deletes: it takes a few milliseconds, and a poll waits no longer than that."""
MAX_BATCHES: Final = 50
"""In one run; the next run continues."""

log = logger("history")


class HistoryRetention:
    """Deletes what ended longer than `keep` ago. It stops early when `stopping()` says that the process is ending."""

    def __init__(
        self, store: Retention, keep: timedelta, clock: Clock, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self._store, self._keep, self._clock, self._stopping = store, keep, clock, stopping
        self._reported = False

    def run(self) -> int:
        """Delete what is old enough, at most MAX_BATCHES batches of it. Returns the number of deleted things.

        Before alerts are deleted for the first time, the log says how many, and names the setting. A database that
        cannot be written is logged, and the next run tries again.
        """
        before, done = self._clock() - self._keep, 0
        try:
            if not self._reported:
                self._report(self._store.old_alerts(before))
            for _ in range(MAX_BATCHES):
                if self._stopping():
                    break
                deleted = self._store.delete_old(before, BATCH)
                done += deleted
                if not deleted:
                    break
        except StoreError as error:
            log.warning("old alerts could not be deleted; will retry", problem=str(error))
        return done

    def _report(self, alerts: int) -> None:
        if alerts:
            self._reported = True
            keep = format_duration(self._keep)
            log.info("deleting ended alerts that are older than the setting `history`", alerts=alerts, history=keep)
