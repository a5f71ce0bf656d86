"""One fetch on its way: requests side by side, until all are answered or the time is over."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from alertbot.errors import SourceError
from alertbot.evaluation.snapshot import RequestStats
from alertbot.sources.eight_by_eight.deadline import Deadline
from alertbot.sources.eight_by_eight.decode import Page
from alertbot.sources.eight_by_eight.plan import Call
from alertbot.sources.eight_by_eight.sections import Sections
from alertbot.sources.eight_by_eight.token import CredentialsRefused

AT_ONCE: Final = 4  # requests of one tenant side by side
# How long after the deadline a thread is waited for: its own timeouts end at the deadline, and its error says more
# than ours. One that is stuck where no timeout reaches (looking up a name) is left behind; it is a daemon.
_GRACE_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class RequestOutcome:
    """How one request ended. `call` is None for the token; with neither answer nor error the page does not exist."""

    call: Call | None
    stats: RequestStats
    answer: Page | Sections | None = None
    total_pages: int | None = None
    total_elements: int | None = None
    error: SourceError | None = None


@dataclass(eq=False, slots=True)
class Round:
    """What the threads of one fetch share. `now` is the time of the poll, `started` the same on the monotonic clock."""

    deadline: Deadline
    now: datetime
    started: float
    outcomes: list[RequestOutcome] = field(default_factory=list)
    retry_after: float | None = None  # a wait that we were told and that is too long for this fetch
    skews: list[float] = field(default_factory=list)  # how far 8x8's clock is ahead (s), as each answer says
    _results: queue.SimpleQueue[RequestOutcome | Exception | None] = field(default_factory=queue.SimpleQueue)

    def wall(self) -> datetime:
        """The time of day now, reckoned from the poll's own."""
        return self.now + timedelta(seconds=self.deadline.monotonic() - self.started)

    def heard(self, error: SourceError) -> None:
        """Keep what an error says about staying away, where it is too long for this fetch."""
        if error.retry_after is not None and error.retry_after >= self.deadline.left():
            self.retry_after = max(self.retry_after or 0.0, error.retry_after)

    def stop(self) -> None:
        """End now, with what has come. From any thread."""
        self._results.put(None)

    def run(
        self,
        ask: Callable[[Call | None], RequestOutcome],
        first: Iterable[Call | None],
        then: Callable[[RequestOutcome], Iterable[Call]],
    ) -> tuple[list[Call | None], str]:
        """`ask` each call in a thread, at most AT_ONCE at a time; `then` says what else has to be asked for.

        Returns the calls that were not answered, and why not.
        """
        waiting = deque(first)
        under_way: list[Call | None] = []
        why = ""
        while waiting or under_way:
            while waiting and len(under_way) < AT_ONCE and not why:
                call = waiting.popleft()
                under_way.append(call)
                threading.Thread(target=self._work, args=(ask, call), name="8x8-request", daemon=True).start()
            if not under_way:
                break
            try:
                outcome = self._results.get(timeout=self.deadline.left() + _GRACE_S)
            except queue.Empty:
                return [*under_way, *waiting], "the time for this poll was over"
            if isinstance(outcome, Exception):
                raise outcome  # a fault of ours in a thread: seen where fetch was called, not lost with the thread
            if outcome is None:
                return [*under_way, *waiting], "alertbot is stopping"
            under_way.remove(outcome.call)
            self.outcomes.append(outcome)
            waiting.extend(then(outcome))
            if isinstance(outcome.error, CredentialsRefused):
                why = why or str(outcome.error)
            if self.retry_after is not None:
                why = why or f"8x8 asked us to stay away for {self.retry_after:.0f} s"
        return list(waiting), why

    def _work(self, ask: Callable[[Call | None], RequestOutcome], call: Call | None) -> None:
        try:
            self._results.put(ask(call))
        except Exception as fault:
            self._results.put(fault)
