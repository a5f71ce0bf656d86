"""Trying again: how often, how long between tries, and never beyond the deadline.

By tenacity and not by urllib3's Retry: the waits must end with the fetch's deadline, wake up when the source is
closed, be counted for `poll --json`, and cover answers whose body is broken; urllib3's Retry sleeps by itself, knows
no deadline and sees only statuses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from alertbot.errors import SourceError
from alertbot.sources.eight_by_eight.deadline import Deadline

_T = TypeVar("_T")
# "Full jitter": many tenants that met the same outage do not come back at the same moment.
_BACKOFF: Final = wait_random_exponential(multiplier=0.5, max=8)


class Tries:
    """Calls something until it succeeds, at most `max_tries` times, while the deadline leaves room for the wait."""

    def __init__(self, max_tries: int, sleep: Callable[[float], None], stopped: Callable[[], bool]) -> None:
        self._max_tries = max_tries
        self._sleep = sleep
        self._stopped = stopped

    def run(self, attempt: Callable[[], _T], deadline: Deadline) -> _T:
        """What `attempt` returns. Only errors whose `retryable` is true are tried again; the last one is raised.

        A told `retry_after` is kept to the second; one that the deadline leaves no room for ends the tries at once.
        """

        def hopeless(state: RetryCallState) -> bool:
            return state.attempt_number >= self._max_tries or state.upcoming_sleep >= deadline.left() or self._stopped()

        retrying = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, SourceError) and error.retryable),
            wait=_wait,
            stop=hopeless,
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(attempt)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    told = error.retry_after if isinstance(error, SourceError) else None
    return told if told is not None else _BACKOFF(state)
