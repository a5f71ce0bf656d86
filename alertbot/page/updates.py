"""Notifies open pages of changes, by server-sent events.

An event carries no data: a page that receives one reloads, through the same login and the same views as any other
request. While nothing changes, an open page costs one line every KEEP_ALIVE seconds, which detects dead connections. At
most MAX_STREAMS pages listen, since each holds a connection; further pages reload every few seconds instead.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress

MAX_STREAMS = 60
KEEP_ALIVE = 20.0
"""Seconds between two lines of an idle stream."""
AT_MOST_EVERY = 1.0
"""Seconds between two events of a stream, however many tenants are polled."""
LONGEST = 3600.0
"""Seconds after which a stream ends: the browser opens a new one, which needs a valid login."""
_BEGIN = b"retry: 3000\n\n"
_CHANGED = b"event: changed\ndata:\n\n"
_NOTHING = b":\n\n"


class Updates:
    """Notifies open pages. `changed` and `close` are safe to call from any thread."""

    def __init__(
        self, *, max_streams: int = MAX_STREAMS, keep_alive: float = KEEP_ALIVE, at_most_every: float = AT_MOST_EVERY
    ) -> None:
        self.keep_alive, self.at_most_every = keep_alive, at_most_every
        self.closed = False
        self._max_streams = max_streams
        self._streams: set[Stream] = set()
        self._lock = threading.Lock()

    def changed(self) -> None:
        """Something has changed: every open page reloads."""
        self._wake(changed=True)

    def close(self) -> None:
        """End all streams and refuse new ones."""
        self.closed = True
        self._wake(changed=False)

    def stream(self) -> Stream | None:
        """A stream for one page, to be ended with `end`; None if too many pages listen. Call it on the event loop."""
        with self._lock:
            if self.closed or len(self._streams) >= self._max_streams:
                return None
            stream = Stream(self)
            self._streams.add(stream)
            return stream

    def forget(self, stream: Stream) -> None:
        """A stream has ended."""
        with self._lock:
            self._streams.discard(stream)

    @property
    def streams(self) -> int:
        """The number of pages that listen."""
        return len(self._streams)

    def _wake(self, *, changed: bool) -> None:
        with self._lock:
            for each in self._streams:
                each.wake(changed=changed)


class Stream:
    """The events of one open page."""

    def __init__(self, updates: Updates) -> None:
        self._updates = updates
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._changed = False

    def wake(self, *, changed: bool) -> None:
        """Send an event, or end the stream; from any thread."""
        self._changed = self._changed or changed
        with suppress(RuntimeError):  # its loop has ended
            self._loop.call_soon_threadsafe(self._woken.set)

    async def lines(self) -> AsyncIterator[bytes]:
        """The lines to send, until the bot stops."""
        ends = self._loop.time() + LONGEST
        yield _BEGIN
        while not self._updates.closed and self._loop.time() < ends:
            if self._changed:
                self._changed = False
                yield _CHANGED
                await self._wait(self._updates.at_most_every, until_changed=False)
            elif not await self._wait(self._updates.keep_alive, until_changed=True):
                yield _NOTHING

    def end(self) -> None:
        """The stream ends: the page was closed, or everything was sent."""
        self._updates.forget(self)

    async def _wait(self, seconds: float, *, until_changed: bool) -> bool:
        """Wait until the bot stops or something changes; False if neither happens in time."""
        end = self._loop.time() + seconds
        while not (self._updates.closed or (until_changed and self._changed)):
            left = end - self._loop.time()
            if left <= 0:
                return False
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), left)
            self._woken.clear()
        return True
