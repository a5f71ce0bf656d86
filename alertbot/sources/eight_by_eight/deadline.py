"""A point in time by which something has to end, on a monotonic clock that is passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant on `monotonic` (seconds)."""

    at: float
    monotonic: Callable[[], float]

    def left(self) -> float:
        """Seconds until the deadline; 0 once it has passed."""
        return max(0.0, self.at - self.monotonic())
