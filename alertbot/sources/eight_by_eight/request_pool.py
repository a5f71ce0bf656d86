"""Runs the requests of one fetch concurrently, until all are answered or the deadline has passed."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from alertbot.errors import SourceError
from alertbot.evaluation.snapshot import RequestStats
from alertbot.sources.eight_by_eight.deadline import Deadline
from alertbot.sources.eight_by_eight.decode import Page
from alertbot.sources.eight_by_eight.plan import Call
from alertbot.sources.eight_by_eight.sections import Sections
from alertbot.sources.eight_by_eight.token import CredentialsRefused

MAX_CONCURRENT: Final = 4  # requests of one tenant at the same time
# How long to wait for a thread after the deadline: its own timeouts end at the deadline, and its error says more than
# ours. A thread that is stuck where no timeout applies (a DNS lookup) is abandoned; it is a daemon.
_GRACE_S: Final = 0.25
_IDLE_S: Final = 60.0  # a thread without a call ends after it; longer than most tenants wait between polls


@dataclass(frozen=True, slots=True)
class RequestOutcome:
    """How one request ended. `call` is None for the token; without response and error the page does not exist."""

    call: Call | None
    stats: RequestStats
    answer: Page | Sections | None = None
    total_pages: int | None = None
    total_elements: int | None = None
    error: SourceError | None = None


class _Threads:
    """Daemon threads that run one call at a time, shared by all fetches of this process.

    A thread that has finished waits for another call: starting one costs as much as a quarter of a request, and every
    poll needs one for each listing. There are never more than calls at the same time, since a new one is started only
    when none waits; the last to wait is the first to be taken, so that those that are not needed end after _IDLE_S. A
    call that never returns keeps its thread to itself.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[queue.SimpleQueue[Callable[[], None]]] = []  # the inbox of each thread without a call

    def run(self, call: Callable[[], None]) -> None:
        """Run a call, which raises nothing, in a thread."""
        with self._lock:
            inbox = self._waiting.pop() if self._waiting else None
        if inbox is None:
            inbox = queue.SimpleQueue()
            threading.Thread(target=self._serve, args=(inbox,), name="8x8-request", daemon=True).start()
        inbox.put(call)

    def _serve(self, inbox: queue.SimpleQueue[Callable[[], None]]) -> None:
        while True:
            try:
                call = inbox.get(timeout=_IDLE_S)
            except queue.Empty:
                with self._lock:
                    if inbox in self._waiting:
                        self._waiting.remove(inbox)
                        return
                continue  # it was taken just now: its call is on the way
            call()
            del call  # it holds a whole fetch
            with self._lock:
                self._waiting.append(inbox)


_THREADS: Final = _Threads()


@dataclass(eq=False, slots=True)
class RequestPool:
    """The request threads of one fetch and what they share.

    `now` is the time of the poll, `started` the same moment on the monotonic clock (s).
    """

    deadline: Deadline
    now: datetime
    started: float
    outcomes: list[RequestOutcome] = field(default_factory=list)
    retry_after: float | None = None  # a Retry-After (s) that is too long for this fetch
    skews: list[float] = field(default_factory=list)  # how far 8x8's clock is ahead (s), by each response
    _results: queue.SimpleQueue[RequestOutcome | Exception | None] = field(default_factory=queue.SimpleQueue)

    def wall_time(self) -> datetime:
        """The time of day now, derived from the time of the poll."""
        return self.now + timedelta(seconds=self.deadline.monotonic() - self.started)

    def note_retry_after(self, error: SourceError) -> None:
        """Keep the Retry-After of an error if it is too long for this fetch."""
        if error.retry_after is not None and error.retry_after >= self.deadline.left():
            self.retry_after = max(self.retry_after or 0.0, error.retry_after)

    def stop(self) -> None:
        """End now, with the responses so far. Thread-safe."""
        self._results.put(None)

    def run(
        self,
        send: Callable[[Call | None], RequestOutcome],
        first: Iterable[Call | None],
        then: Callable[[RequestOutcome], Iterable[Call]],
    ) -> tuple[list[Call | None], str]:
        """Run `send` for each call in a thread of its own, at most MAX_CONCURRENT at a time.

        `then` returns the further calls that an outcome makes necessary. Returns the calls that were not answered,
        and why not.
        """
        waiting = deque(first)
        in_flight: list[Call | None] = []
        why = ""
        while waiting or in_flight:
            while waiting and len(in_flight) < MAX_CONCURRENT and not why:
                call = waiting.popleft()
                in_flight.append(call)
                _THREADS.run(partial(self._work, send, call))
            if not in_flight:
                break
            try:
                outcome = self._results.get(timeout=self.deadline.left() + _GRACE_S)
            except queue.Empty:
                return [*in_flight, *waiting], "the poll ran out of time"
            if isinstance(outcome, Exception):
                raise outcome  # a bug in a thread: raised where fetch was called, not lost with the thread
            if outcome is None:
                return [*in_flight, *waiting], "alertbot is stopping"
            in_flight.remove(outcome.call)
            self.outcomes.append(outcome)
            waiting.extend(then(outcome))
            if isinstance(outcome.error, CredentialsRefused):
                why = why or str(outcome.error)
            if self.retry_after is not None:
                why = why or f"8x8 asked for a back-off of {self.retry_after:.0f} s (Retry-After)"
        return list(waiting), why

    def _work(self, send: Callable[[Call | None], RequestOutcome], call: Call | None) -> None:
        try:
            self._results.put(send(call))
        except Exception as fault:
            self._results.put(fault)
