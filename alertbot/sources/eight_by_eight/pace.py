"""How often one tenant is asked: so many requests a minute, and not at all while 8x8 wants us away."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

_WINDOW_S: Final = 60.0


class Pace:
    """Every request of a tenant goes through it, those for tokens and those that are tried again included.

    At most `per_minute` requests in any 60 s. What 8x8 says about staying away holds for all of the tenant, and over
    polls. Threads may call it side by side.
    """

    def __init__(self, per_minute: int, monotonic: Callable[[], float]) -> None:
        self.per_minute = per_minute
        self._monotonic = monotonic
        self._sent: deque[float] = deque(maxlen=per_minute)
        self._away_until = 0.0
        self._lock = threading.Lock()

    def stay_away(self, seconds: float) -> None:
        """8x8 asked us to."""
        with self._lock:
            self._away_until = max(self._away_until, self._monotonic() + seconds)

    def away(self) -> float:
        """Seconds that 8x8 still wants us away."""
        return max(0.0, self._away_until - self._monotonic())

    def take(self) -> float:
        """0 and one request is counted, or the seconds until the next one fits into the minute."""
        with self._lock:
            now = self._monotonic()
            if len(self._sent) == self.per_minute and now - self._sent[0] < _WINDOW_S:
                return self._sent[0] + _WINDOW_S - now
            self._sent.append(now)
            return 0.0
