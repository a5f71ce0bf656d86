"""`slack.fallback_webhook`: posts alerts that cannot be delivered to Slack, and later their ends, as JSON to a URL.

So a Slack outage at night is not silent. A post is decided in the store before it is sent, and is sent again until it
was received: at least once, each time with the same id. It runs on a thread of its own, and neither delivery nor polls
wait for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from alertbot.alerts.fallback import MAX_AGE, FallbackPost, PostKind
from alertbot.backoff import doubled
from alertbot.clock import Clock
from alertbot.errors import SourceError, SourceUnconnected, StoreError
from alertbot.logs import logger
from alertbot.notify.webhook import document
from alertbot.rules.rule import Level
from alertbot.rules.words import count
from alertbot.service.secret_address import SecretAddress
from alertbot.sources.eight_by_eight.transport import HttpResponse, retry_after
from alertbot.store.roles import Fallback
from alertbot.web.metrics import Metrics

CHECK_EVERY = timedelta(seconds=5)
"""How often to look for alerts that cannot be delivered to Slack."""
FIRST_AFTER = timedelta(seconds=15)
"""After a start, messages that are already waiting have this long to reach Slack before they are posted elsewhere."""
FIRST_RETRY, MAX_RETRY = timedelta(seconds=5), timedelta(minutes=5)
_MAX_SECONDS = 60.0  # of one run

log = logger("fallback")


@dataclass(frozen=True)
class _Outcome:
    """What became of an attempt; `problem` is "" where the post was received."""

    problem: str = ""
    maybe_sent: bool = False
    everything: bool = False  # the next post would fail for the same reason
    wait: float | None = None  # Retry-After


class FallbackWebhook:
    """Posts to `url` what could not be delivered to Slack for `after`. The URL may hold a secret: nothing shows it."""

    def __init__(
        self,
        url: str,
        store: Fallback,
        clock: Clock,
        metrics: Metrics,
        *,
        after: timedelta,
        levels: Collection[Level],
        timezone: str,
        show_tenant: bool,
        stopping: threading.Event | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._clock, self._metrics, self._monotonic = store, clock, metrics, monotonic
        self._after, self._levels = after, tuple(levels)
        self._draw = partial(document, timezone=timezone, show_tenant=show_tenant)
        self._stopping = stopping or threading.Event()
        self._address = SecretAddress(url, monotonic)
        self._running = threading.Lock()  # held during `run`
        self._failures = 0  # in a row, of the address and not of one post
        self._hold_until = 0.0  # on the monotonic clock
        self._waiting = 0
        self._last_problem = ""

    @property
    def problem(self) -> str:
        """Why posts are not accepted, in a sentence; "" while nothing waits."""
        if not self._last_problem or not self._waiting:
            return ""
        waits = count(self._waiting, "post waits", "posts wait")
        return f"{waits} for the fallback webhook: {self._last_problem}"

    def run(self) -> int:
        """Decide what is posted, and send what is due. Returns how many posts were received. Failures are retried."""
        with self._running:
            try:
                self._decide(self._clock())
                received = self._send_due()
                self._waiting = self._store.waiting_fallback()
                self._last_problem = self._last_problem if self._waiting else ""
            except StoreError as error:
                log.error("could not decide what to post to the fallback webhook; will retry", problem=str(error))
                return 0
        return received

    def close(self, within: float) -> bool:
        """Close the connection once the request in progress has ended. False if it still runs."""
        idle = self._running.acquire(timeout=within)
        if idle:
            self._running.release()
        self._address.close()
        return idle

    def _decide(self, now: datetime) -> None:
        new = 1
        while new and not self._stopping.is_set():
            new, dropped = self._store.decide_fallback(self._levels, self._after, self._draw, now)
            self._metrics.posted_fallback("dropped", dropped)

    def _send_due(self) -> int:
        received, end = 0, self._monotonic() + _MAX_SECONDS
        if self._monotonic() < self._hold_until:
            return 0
        while posts := self._store.due_fallback(self._clock()):  # the end of an alert is due once the rest was received
            for post in posts:
                if self._stopping.is_set() or self._monotonic() > end:
                    return received
                outcome = self._post(post)
                self._settle(post, outcome, self._clock())
                received += not outcome.problem
                if outcome.everything:
                    return received
        return received

    def _post(self, post: FallbackPost) -> _Outcome:
        headers = {"Content-Type": "application/json; charset=utf-8", "Idempotency-Key": post.id}
        try:
            answer = self._address.send("POST", post.body.encode(), headers)
        except SourceError as error:
            return _Outcome(str(error), maybe_sent=not isinstance(error, SourceUnconnected), everything=True)
        return _outcome(answer, self._address.host, self._clock())

    def _settle(self, post: FallbackPost, outcome: _Outcome, now: datetime) -> None:
        about = {"alert": f"#{post.alert_id}", "kind": str(post.kind), "alert_level": post.level.word}
        self._last_problem = outcome.problem or self._last_problem
        self._failures = self._failures + 1 if outcome.everything else 0
        if not outcome.problem:
            self._store.sent_fallback(post.id, now)
            self._metrics.posted_fallback("sent")
            if post.kind is PostKind.RESOLVED:
                log.info("the end of an alert was posted to the fallback webhook", **about)
            else:
                log.warning("an alert could not be delivered to Slack: posted to the fallback webhook", **about)
            return
        wait = timedelta(seconds=outcome.wait) if outcome.wait is not None else None
        if outcome.everything:
            wait = wait or doubled(FIRST_RETRY, self._failures - 1, MAX_RETRY)
            self._hold_until = self._monotonic() + wait.total_seconds()
        until = now + (wait or doubled(FIRST_RETRY, post.attempts, MAX_RETRY))
        if post.kind is PostKind.RESOLVED and now - post.decided_at > MAX_AGE:
            self._store.give_up_fallback(post.id, outcome.problem, now)
            self._metrics.posted_fallback("given_up")
            log.error("gave up posting the end of an alert to the fallback webhook", problem=outcome.problem, **about)
            return
        self._store.put_off_fallback(post.id, until, outcome.problem, maybe_sent=outcome.maybe_sent)
        self._metrics.posted_fallback("failed")
        log.warning("the fallback webhook did not accept a post; will retry", problem=outcome.problem, **about)


def _outcome(answer: HttpResponse, host: str, now: datetime) -> _Outcome:
    """What a response means: its text may quote the address, so only its status is reported."""
    status = answer.status
    if 200 <= status < 300:
        return _Outcome()
    problem = f"{host} answered {status}" + (", a redirect, which is not followed" if 300 <= status < 400 else "")
    busy = status in (408, 425, 429) or status >= 500
    return _Outcome(problem, status >= 500, busy, retry_after(answer, now) if busy else None)
