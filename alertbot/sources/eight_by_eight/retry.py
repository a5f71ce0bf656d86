"""Retries of one request: how many, how long to wait between them, and never beyond the deadline.

With tenacity and not with urllib3's Retry: waits must end at the deadline of the fetch, end early when the source is
closed, be counted for `poll --json`, and cover responses with a broken body; urllib3's Retry sleeps on its own, has
no deadline and sees only statuses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from alertbot.errors import SourceError
from alertbot.sources.eight_by_eight.deadline import Deadline

_T = TypeVar("_T")
# Full jitter: tenants that were hit by the same outage do not all retry at the same moment.
_BACKOFF: Final = wait_random_exponential(multiplier=0.5, max=8)


class Retry:
    """Calls a function until it succeeds, at most `max_tries` times, as long as the deadline leaves room for a wait."""

    def __init__(self, max_tries: int, sleep: Callable[[float], None], stopped: Callable[[], bool]) -> None:
        self._max_tries = max_tries
        self._sleep = sleep
        self._stopped = stopped

    def run(self, attempt: Callable[[], _T], deadline: Deadline) -> _T:
        """Returns what `attempt` returns. Only errors with a true `retryable` are retried.

        A `retry_after` (s) is waited for exactly; one that does not fit before the deadline ends the retries at once.
        Raises the last error.
        """

        try:
            return attempt()  # mostly it succeeds, without a Retrying: that costs 6 % of a request
        except SourceError as error:
            if not error.retryable:
                raise
            failed = [error]

        def this_or_next() -> _T:
            if failed:
                raise failed.pop()
            return attempt()

        def should_stop(state: RetryCallState) -> bool:
            return state.attempt_number >= self._max_tries or state.upcoming_sleep >= deadline.left() or self._stopped()

        retrying = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, SourceError) and error.retryable),
            wait=_wait,
            stop=should_stop,
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(this_or_next)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    requested = error.retry_after if isinstance(error, SourceError) else None
    return requested if requested is not None else _BACKOFF(state)
