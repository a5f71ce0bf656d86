"""Limits the requests of one tenant: at most N a minute, and none during a back-off that 8x8 asked for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

_WINDOW_S: Final = 60.0


class RateLimiter:
    """Counts every request of a tenant, including token requests and retries. Thread-safe.

    It allows at most `per_minute` requests in any 60 s. A `Retry-After` from one request applies to the whole tenant
    and to later polls.
    """

    def __init__(self, per_minute: int, monotonic: Callable[[], float]) -> None:
        self.per_minute = per_minute
        self._monotonic = monotonic
        self._sent: deque[float] = deque(maxlen=per_minute)
        self._back_off_until = 0.0
        self._lock = threading.Lock()

    def spent(self) -> list[float]:
        """How many seconds ago each request of the last minute was sent, the oldest first."""
        with self._lock:
            now = self._monotonic()
            return [now - sent for sent in self._sent if now - sent < _WINDOW_S]

    def spend(self, seconds_ago: Iterable[float]) -> None:
        """Count requests that another process sent so long ago, besides those of this one."""
        with self._lock:
            now = self._monotonic()
            self._sent = deque(sorted([*self._sent, *(now - each for each in seconds_ago)]), self.per_minute)

    def back_off(self, seconds: float) -> None:
        """Allow no request for this long: 8x8 sent `Retry-After`."""
        with self._lock:
            self._back_off_until = max(self._back_off_until, self._monotonic() + seconds)

    def back_off_left(self) -> float:
        """Seconds until the back-off ends; 0 if there is none."""
        return max(0.0, self._back_off_until - self._monotonic())

    def acquire(self) -> float:
        """Count one request and return 0; or, if the minute is full, return the seconds until the next one fits."""
        with self._lock:
            now = self._monotonic()
            if len(self._sent) == self.per_minute and now - self._sent[0] < _WINDOW_S:
                return self._sent[0] + _WINDOW_S - now
            self._sent.append(now)
            return 0.0
