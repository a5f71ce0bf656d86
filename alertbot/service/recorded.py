"""What charts of the status page read of the recording: each value once, then only what was polled since.

Polls are recorded as differences, so a week of one metric is 40,000 rows to decompress, nearly a second. A page that is
open is asked again after every poll. So what was read is kept in memory, the series that was asked for longest ago
is dropped first, and a further request reads the polls since the last one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from alertbot.alerts.alert import Fingerprint
from alertbot.charts.series import Samples
from alertbot.charts.svg import MAX_COLUMNS
from alertbot.charts.thin import Times, Values, thinned
from alertbot.commands.chart import LONGEST
from alertbot.commands.view import Recorded

ReadValues = Callable[[str, Fingerprint, str, datetime, datetime], Iterable[tuple[datetime, float | None]]]
"""`values` of the store: tenant, entity, key, since, until."""
MAX_SAMPLES = 2_000_000
"""Samples in memory, of all series: 32 MB, or 50 metrics over a week at a poll every 15 seconds."""


@dataclass
class _Kept:
    """One series, from `since` on. The lock is held while it is read, so that two requests do not read it twice."""

    since: datetime
    times: Times = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    values: Values = field(default_factory=lambda: np.empty(0, dtype=np.float64))
    lock: threading.Lock = field(default_factory=threading.Lock)


class Recordings:
    """Series of the recording, in memory as far as they were asked for. Thread-safe."""

    def __init__(self, read: ReadValues, *, max_samples: int = MAX_SAMPLES) -> None:
        self._read = read
        self._max_samples = max_samples
        self._kept: OrderedDict[tuple[str, Fingerprint, str], _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def samples(self, tenant: str, entity: Fingerprint, key: str, since: datetime, now: datetime) -> Samples:
        """The samples from `since` to `now` that a chart can show. Raises StoreError."""
        place = (tenant, entity, key)
        with self._lock:
            kept = self._kept.setdefault(place, _Kept(since))
            self._kept.move_to_end(place)
        with kept.lock:
            self._update(kept, place, since, now)
            samples = thinned(kept.times, kept.values, since, now, MAX_COLUMNS)
        self._shrink()
        return samples

    def filled(self, wanted: Recorded, now: datetime) -> Recorded:
        """The same with its samples up to now. Raises StoreError."""
        entity = Fingerprint(wanted.tenant, "", wanted.scope, wanted.parent_id, wanted.entity_id)
        samples = self.samples(wanted.tenant, entity, wanted.key, wanted.since, now)
        return replace(wanted, samples=samples)

    def _update(self, kept: _Kept, place: tuple[str, Fingerprint, str], since: datetime, now: datetime) -> None:
        last = datetime.fromtimestamp(int(kept.times[-1]) / 1000, UTC) if len(kept.times) else None
        if last is None or since < kept.since or last > now:  # the clock was set back: those polls are deleted
            kept.since, kept.times, kept.values = since, *_columns(self._read(*place, since, now))
            return
        times, values = _columns(self._read(*place, last + timedelta(milliseconds=1), now))
        oldest = now - LONGEST  # a series that stays open does not grow
        first = int(np.searchsorted(kept.times, round(oldest.timestamp() * 1000))) if kept.since < oldest else 0
        kept.since = max(kept.since, oldest) if first else kept.since
        if len(times) or first:
            kept.times = np.concatenate((kept.times[first:], times))
            kept.values = np.concatenate((kept.values[first:], values))

    def _shrink(self) -> None:
        with self._lock:
            number = sum(len(kept.times) for kept in self._kept.values())
            while number > self._max_samples and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                number -= len(dropped.times)


def _columns(pairs: Iterable[tuple[datetime, float | None]]) -> tuple[Times, Values]:
    times: list[int] = []
    values: list[float] = []
    for at, value in pairs:
        times.append(round(at.timestamp() * 1000))
        values.append(np.nan if value is None else value)
    return np.array(times, dtype=np.int64), np.array(values, dtype=np.float64)
