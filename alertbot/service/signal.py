"""Wake-ups: how one part says to another that there is something to do, without knowing which part that is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol


class Signal(Protocol):
    """Two methods, so that a database's notifications can stand behind them as well as a thread's event."""

    def set(self) -> None:
        """Wake the part that waits, or the next one that does. Safe to call from any thread."""

    def wait(self, timeout: float) -> None:
        """Return when the signal is set, and clear it, or after `timeout` seconds."""


class ThreadSignal:
    """A Signal within one process."""

    def __init__(self, also: Callable[[], None] | None = None) -> None:
        """`also` is called whenever it is set, by the thread that sets it. It must neither raise nor take long."""
        self._event = threading.Event()
        self._also = also

    def set(self) -> None:
        self._event.set()
        if self._also is not None:
            self._also()

    def wait(self, timeout: float) -> None:
        self._event.wait(timeout)
        # Cleared after the wait: what is set from here on is seen by the next wait, and the work follows this one.
        self._event.clear()
