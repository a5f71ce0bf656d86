"""What charts of the status page read from the recording: each value once, then only newer polls.

Polls are recorded as differences, so a week of one metric is 40,000 rows to decompress: more than half a second of work
the first time. A page must not wait that long, nor read it again after every poll. So a series is read in portions,
starting with the newest polls. A request waits WITHIN seconds for what can be read in that time; a thread reads the
rest and then reports it. Series are kept in memory; the least recently used one is dropped first.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from alertbot.alerts.alert import Fingerprint
from alertbot.charts.series import Samples
from alertbot.charts.svg import MAX_COLUMNS
from alertbot.charts.thin import Times, Values, thinned
from alertbot.commands.chart import LONGEST
from alertbot.commands.view import Recorded
from alertbot.errors import AlertbotError
from alertbot.logs import logger

ReadValues = Callable[[str, Fingerprint, str, datetime, datetime], Iterable[tuple[datetime, float | None]]]
"""`values` of the store: tenant, entity, key, since, until."""
MAX_SAMPLES = 2_000_000
"""The maximum number of samples in memory, over all series: 32 MB, or 50 metrics of a week, polled every 15 seconds."""
MAX_SERIES = 5000
"""The maximum number of series in memory: one without samples takes some memory too."""
WITHIN = 0.04
"""Seconds that a request may spend on reading."""
PORTION = timedelta(hours=2)
"""The portion that is read at once: 480 polls, at one every 15 seconds."""
_TICK = timedelta(milliseconds=1)

_Place = tuple[str, Fingerprint, str]

log = logger("status page")


@dataclass
class _Kept:
    """One series, read back to `since`. The lock is held while a portion of it is read."""

    since: datetime
    times: Times = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    values: Values = field(default_factory=lambda: np.empty(0, dtype=np.float64))
    wanted: datetime | None = None  # how far back the thread reads it; None: not at all
    lock: threading.Lock = field(default_factory=threading.Lock)


class Recordings:
    """Series of the recording, in memory once they were requested. Thread-safe."""

    def __init__(
        self,
        read: ReadValues,
        on_read: Callable[[], None] = lambda: None,
        *,
        within: float = WITHIN,
        max_samples: int = MAX_SAMPLES,
        max_series: int = MAX_SERIES,
    ) -> None:
        """`on_read` is called when the thread has read the rest of a series."""
        self._read, self._on_read = read, on_read
        self._within, self._max_samples, self._max_series = within, max_samples, max_series
        self._kept: OrderedDict[_Place, _Kept] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="alertbot-recording")
        self._closed = False

    def filled(self, wanted: Recorded, now: datetime) -> Recorded:
        """`wanted` with its samples up to now, as many as a chart can show. `read_since`: when they begin, if late.

        Raises StoreError.
        """
        entity = Fingerprint(wanted.tenant, "", wanted.scope, wanted.parent_id, wanted.entity_id)
        samples, since = self.samples(wanted.tenant, entity, wanted.key, wanted.since, now)
        return replace(wanted, samples=samples, read_since=since if since > wanted.since else None)

    def samples(
        self, tenant: str, entity: Fingerprint, key: str, since: datetime, now: datetime
    ) -> tuple[Samples, datetime]:
        """The samples up to now, as many as a chart can show, and since when they have been read. Raises StoreError."""
        place = (tenant, entity, key)
        with self._lock:
            kept = self._kept.setdefault(place, _Kept(now + _TICK))
            self._kept.move_to_end(place)
        ends = time.monotonic() + self._within
        with kept.lock:
            self._read_new(kept, place, now)
            self._read_older(kept, place, since)
            while kept.since > since and time.monotonic() < ends:
                self._read_older(kept, place, since)
            read_since = kept.since
            samples = thinned(kept.times, kept.values, max(since, read_since), now, MAX_COLUMNS)
            later = read_since > since and kept.wanted is None
            if read_since > since:
                kept.wanted = min(since, kept.wanted or since)
        if later:
            with suppress(RuntimeError):  # the bot is stopping
                self._pool.submit(self._read_rest, kept, place)
        self._shrink()
        return samples, max(since, read_since)

    def close(self) -> None:
        """Stop reading."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _read_rest(self, kept: _Kept, place: _Place) -> None:
        try:
            while not self._closed:
                with kept.lock:
                    if kept.wanted is None or kept.since <= kept.wanted:
                        break
                    self._read_older(kept, place, kept.wanted)
        except AlertbotError as error:
            log.warning("a chart could not be read", problem=str(error))
        except Exception:
            log.exception("a chart could not be read")
        finally:
            kept.wanted = None
        self._shrink()
        self._on_read()

    def _read_new(self, kept: _Kept, place: _Place, now: datetime) -> None:
        """Read the polls after the last one in memory, by the time of the poll: it is recorded somewhat later."""
        after = _time(kept.times[-1]) + _TICK if len(kept.times) else kept.since
        if after > now + _TICK:  # the clock was set back: those polls are deleted
            kept.since, kept.times, kept.values = now + _TICK, kept.times[:0], kept.values[:0]
        if after > now:
            return
        times, values = _columns(self._read(*place, after, now))
        first = int(np.searchsorted(kept.times, _ms(now - LONGEST)))  # a series that stays open does not grow
        if first:
            kept.since = max(kept.since, _time(kept.times[first - 1]) + _TICK)
        if len(times) or first:
            kept.times = np.concatenate((kept.times[first:], times))
            kept.values = np.concatenate((kept.values[first:], values))

    def _read_older(self, kept: _Kept, place: _Place, since: datetime) -> None:
        """Read the portion before the first poll in memory."""
        if kept.since <= since:
            return
        begin = max(since, kept.since - PORTION)
        times, values = _columns(self._read(*place, begin, kept.since - _TICK))
        kept.times = np.concatenate((times, kept.times))
        kept.values = np.concatenate((values, kept.values))
        kept.since = begin

    def _shrink(self) -> None:
        with self._lock:
            number = sum(len(kept.times) for kept in self._kept.values())
            while len(self._kept) > 1 and (number > self._max_samples or len(self._kept) > self._max_series):
                _, dropped = self._kept.popitem(last=False)
                dropped.wanted = None
                number -= len(dropped.times)


def _columns(pairs: Iterable[tuple[datetime, float | None]]) -> tuple[Times, Values]:
    times: list[int] = []
    values: list[float] = []
    for at, value in pairs:
        times.append(_ms(at))
        values.append(np.nan if value is None else value)
    return np.array(times, dtype=np.int64), np.array(values, dtype=np.float64)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _time(ms: np.int64) -> datetime:
    return datetime.fromtimestamp(int(ms) / 1000, UTC)
