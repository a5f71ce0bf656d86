"""Delivery: what is due is taken to the notifier, in one thread, or once for `poll`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from alertbot.clock import Clock
from alertbot.errors import AlertbotError, NotifyError
from alertbot.logs import logger
from alertbot.notify.deliver import DeliveryReport, deliver
from alertbot.notify.notifier import Notifier
from alertbot.service.process import is_gone
from alertbot.service.signal import Signal
from alertbot.slack.notifier import SlackNotifier
from alertbot.store.roles import Outbox

MAX_PAUSE = 0.5
"""Seconds between two looks at what is due, where no signal asks for one sooner."""

log = logger("delivery")


class Courier:
    """Takes what is due to the notifier. `problem` says why Slack refuses alertbot, "" while it does not.

    `claimant` is the name under which it claims what it posts.
    """

    def __init__(
        self,
        store: Outbox,
        notifier: Notifier,
        clock: Clock,
        wake: Signal,
        stopping: threading.Event,
        *,
        claimant: str,
        fallback_channel: str,
        ops_channel: str,
        timezone: str,
        speed: float = 1.0,
    ) -> None:
        self._store, self._notifier, self._clock, self._wake, self._stopping = store, notifier, clock, wake, stopping
        self._fallback_channel, self._ops_channel, self._timezone = fallback_channel, ops_channel, timezone
        self._claimant, self._speed = claimant, speed
        self.notified = 0  # posts and thread lines that were delivered since the start
        self.problem = ""
        self._identified = False  # Slack accepted the token
        self._asking = threading.Lock()  # held while Slack is asked who we are
        self._resting = threading.Event()
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def deliver_due(self, stop: Callable[[], bool] = lambda: False) -> DeliveryReport:
        """Deliver what is due now; `stop` is asked before each item. Raises StoreError."""
        report = deliver(
            self._store.due(self._clock()),
            self._notifier,
            self._store,
            self._clock,
            claimant=self._claimant,
            is_gone=is_gone,
            fallback_channel=self._fallback_channel,
            ops_channel=self._ops_channel,
            timezone=self._timezone,
            stop=stop,
        )
        if not report.credentials_ok:
            self.problem = "Slack refuses the credentials"
        elif report.delivered:  # with nothing due nothing is known: a refusal stays reported
            self.problem = ""
        self.notified += report.cards + report.lines + report.ops
        for error in report.errors:
            log.warning("delivery", problem=error)
        return report

    def deliver_all(self, max_wait: float) -> None:
        """Deliver until nothing is due, or what is left has to wait longer than `max_wait` seconds in all.

        Raises StoreError.
        """
        deadline = time.monotonic() + max_wait
        while True:
            if self.deliver_due().delivered:
                continue
            ready_at = self._store.next_due(self._clock())
            if ready_at is None:
                return
            wait = (ready_at - self._clock()).total_seconds() / self._speed
            if time.monotonic() + wait > deadline:
                return
            time.sleep(max(0.01, wait))

    def check_slack(self) -> None:
        """Ask Slack who we are, at the start and while it refuses us.

        So a wrong token is reported before the first alert, and a corrected one is known before the next.
        """
        if not isinstance(self._notifier, SlackNotifier) or (self._identified and not self.problem):
            return
        try:
            with self._asking:
                me = self._notifier.check()
        except NotifyError as error:
            if self.problem != str(error):
                log.error("Slack", problem=str(error))
            self.problem = str(error)
        else:
            self._identified, self.problem = True, ""
            log.info("Slack", bot=me.user_id)

    def start(self) -> None:
        """Deliver in a thread until `stop`."""
        self._thread.start()

    def stop(self, within: float) -> bool:
        """Stop delivering in the background, within so many seconds. False when a call of Slack still hangs."""
        deadline = time.monotonic() + within
        self._resting.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(within)
        answered = self._asking.acquire(timeout=max(0.0, deadline - time.monotonic()))
        if answered:
            self._asking.release()
        return answered and not self._thread.is_alive()

    def _run(self) -> None:
        pause = max(0.02, min(MAX_PAUSE, MAX_PAUSE / self._speed))
        while not self._stopping.is_set() and not self._resting.is_set():
            try:
                if self.deliver_due(self._stopping.is_set).delivered:
                    continue
            except AlertbotError as error:
                log.error("delivery failed", error=str(error))
            except Exception:
                log.exception("delivery failed with an unexpected error; will retry")
            self._wake.wait(pause)
