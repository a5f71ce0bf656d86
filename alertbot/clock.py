"""Clocks: callables that return the current time, passed to every part that needs `now`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]


def wall_clock() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


def steady() -> float:
    """Seconds of a clock that is never set, and continues while this process is stopped or the machine is suspended.

    Linux's CLOCK_MONOTONIC, and so `time.monotonic`, does not count while the machine is suspended (clock_gettime(2)).
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


class ScaledClock:
    """A clock that starts at `start` (default: now) and runs `speed` times as fast as real time."""

    def __init__(self, speed: float = 1.0, start: datetime | None = None) -> None:
        self.speed = speed
        self._start = start or wall_clock()
        self._began = time.monotonic()

    def __call__(self) -> datetime:
        return self._start + timedelta(seconds=(time.monotonic() - self._began) * self.speed)
