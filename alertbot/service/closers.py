"""Teardown: a stack of named closers, each pushed where its part is made, run in reverse order within one deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from alertbot.logs import logger

Close = Callable[[float], bool]
"""Close a part within this many seconds; False if something in it still hangs."""

log = logger("stop")


def at_once(stop: Callable[[], object]) -> Close:
    """The closer of a part that closes without waiting."""

    def close(within: float) -> bool:
        stop()
        return True

    return close


@dataclass(frozen=True)
class _Closer:
    name: str
    close: Close
    at_least: float
    if_clean: bool


class Closers:
    """What has to be closed. One that fails or hangs stops none of the others."""

    def __init__(self) -> None:
        self._closers: list[_Closer] = []

    def push(self, name: str, close: Close, *, at_least: float = 0.0, if_clean: bool = False) -> None:
        """Close this before all that was pushed earlier. It gets `at_least` seconds even when the time has run out.

        `if_clean`: only when all that was closed before it is really closed.
        """
        self._closers.append(_Closer(name, close, at_least, if_clean))

    def close(self, within: float) -> bool:
        """Close all, in `within` seconds as far as possible. False if something still hangs. Each is closed once."""
        deadline = time.monotonic() + within
        clean = True
        while self._closers:
            closer = self._closers.pop()
            if closer.if_clean and not clean:
                continue
            try:
                closed = closer.close(max(closer.at_least, deadline - time.monotonic()))
            except Exception:
                log.exception("could not be closed", part=closer.name)
                closed = False
            if not closed:
                log.warning("still busy", part=closer.name)
            clean = clean and closed
        return clean
