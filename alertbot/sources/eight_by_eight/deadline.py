"""How long something may still take, on a monotonic clock that is handed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant on `monotonic` (seconds)."""

    at: float
    monotonic: Callable[[], float]

    def left(self) -> float:
        """Seconds until then; 0 when it has passed."""
        return max(0.0, self.at - self.monotonic())
