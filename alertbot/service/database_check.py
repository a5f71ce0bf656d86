"""Checks while the bot runs whether the database can be written; where it cannot, the log and Slack say so.

What is reported about anything else is stored before it is sent. This cannot be: it goes straight to the notifier.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from alertbot.alerts.alert import Reason
from alertbot.alerts.notice import notice_id
from alertbot.clock import Clock
from alertbot.errors import NotifyError, StoreError
from alertbot.logs import logger
from alertbot.notify.notifier import Notifier
from alertbot.rules.units import format_duration
from alertbot.store.roles import Store

CHECK_EVERY = timedelta(seconds=10)
REPORT_AFTER = timedelta(minutes=1)
"""For how long nothing could be written before it is reported in Slack; at once where waiting cannot help."""
REPORT_EVERY = timedelta(hours=1)
WRITE_WITHIN_S = 3.0
"""Seconds to wait for others that write: a database that is busy can be used."""

log = logger("database")


class DatabaseCheck:
    """`problem`: why nothing can be written now. `note`: what else is wrong, for `status`. Each is "" when all is well.

    `poll_problem()` says why the last poll could not be stored: a full disk may take a small row and no poll.
    """

    def __init__(
        self,
        store: Store,
        notifier: Notifier,
        clock: Clock,
        poll_problem: Callable[[], str],
        *,
        ops_channel: str,
        reports: Callable[[], bool] = lambda: True,
    ) -> None:
        """`reports()`: whether this process tells Slack, since each worker of a database notices the same."""
        self._store, self._notifier, self._clock = store, notifier, clock
        self._poll_problem, self._ops_channel = poll_problem, ops_channel
        self._reports = reports
        self.problem = self.note = ""
        self._since: datetime | None = None  # when writing began to fail
        self._reported_at: datetime | None = None
        self._reported = False  # the present failure, in Slack

    def check(self) -> None:
        """Write something, and report what is wrong: at most once an hour in Slack, and that it works again."""
        now = self._clock()
        problem, final = self._try()
        if problem:
            self._failing(problem, final, now)
        elif self._since is not None:
            self._works_again(now)
        self.problem = problem

    def _try(self) -> tuple[str, bool]:
        """Why nothing can be written, and whether waiting cannot help."""
        try:
            self._store.check_writable(within=WRITE_WITHIN_S)
            note = self._store.tidy()
        except StoreError as error:
            return str(error), not error.retryable
        if note and not self.note:
            log.warning("the database grows", problem=note)
        self.note = note
        return self._poll_problem(), False

    def _failing(self, problem: str, final: bool, now: datetime) -> None:
        if self._since is None or self._since > now:  # the clock may have been set back
            self._since = now
        if problem != self.problem:
            log.error(
                "the database cannot be used: nothing is decided or reported until it can",
                problem=problem,
                begins=not self.problem,
            )
        lately = self._reported_at is not None and timedelta(0) <= now - self._reported_at < REPORT_EVERY
        if not lately and self._reports() and (final or now - self._since >= REPORT_AFTER):
            text = f"alertbot cannot use its database, so no alert is decided or reported: {problem}"
            if self._post(text, now):
                self._reported, self._reported_at = True, now

    def _works_again(self, now: datetime) -> None:
        assert self._since is not None
        lasted = format_duration(max(now - self._since, timedelta(0)))
        log.info("the database can be used again", lasted=lasted)
        if self._reported:
            self._post(f"alertbot can use its database again, after {lasted}.", now)
        self._since, self._reported = None, False

    def _post(self, text: str, now: datetime) -> bool:
        notice = notice_id(("database", text), Reason.OPERATIONS, self._ops_channel, now)
        try:
            self._notifier.post_text(text, channel=self._ops_channel, notice_id=notice)
        except NotifyError as error:
            log.error("the state of the database could not be reported in Slack", problem=str(error))
            return False
        return True
