"""The history of one queue or agent, stored so that windows are cheap to read. Times and durations are integer ms.

Everything is append-only and sorted by time, so a window is one bisection and two windows of the same instant agree.
Memory is bounded: what is older than 26 hours (the longest `.today`, with a clock change) is dropped.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Protocol

KEEP_MS = 26 * 3_600_000


class Series:
    """Durations in the order in which they ended. Add 0 to count an event without a duration."""

    __slots__ = ("_gone", "sums", "times")

    def __init__(self) -> None:
        self.times = array("q")
        self.sums = array("q")  # running sums: a window is a difference
        self._gone = 0  # the running sum of what was dropped

    def add(self, at: int, ms: int = 0) -> None:
        """Add something that took `ms` and ended at `at`, which is never earlier than the last."""
        times, sums = self.times, self.sums
        if len(times) > 256 and times[len(times) // 4] < at - KEEP_MS:
            cut = bisect_left(times, at - KEEP_MS)
            self._gone = sums[cut - 1]
            del times[:cut], sums[:cut]
        times.append(at)
        sums.append((sums[-1] if sums else self._gone) + ms)

    def count(self, since: int) -> int:
        """How many ended at or after `since`."""
        times = self.times
        if not times or times[-1] < since:
            return 0
        return len(times) - bisect_left(times, since)

    def total(self, since: int) -> int:
        """The sum (ms) of the whole durations that ended at or after `since`."""
        times = self.times
        if not times or times[-1] < since:
            return 0
        return self.sums[-1] - self._before(bisect_left(times, since))

    def overlap(self, since: int) -> int:
        """The time (ms) after `since`: a duration that began before counts in part. They must not overlap."""
        times = self.times
        if not times or times[-1] <= since:
            return 0
        first = bisect_right(times, since)
        before = self._before(first)
        began = times[first] - (self.sums[first] - before)
        return self.sums[-1] - before - max(0, since - began)

    def _before(self, index: int) -> int:
        return self.sums[index - 1] if index else self._gone


class Peaks:
    """The largest value in any window. Only values without a larger later one are kept, so the list stays short."""

    __slots__ = ("times", "values")

    def __init__(self) -> None:
        self.times: list[int] = []
        self.values: list[int] = []

    def add(self, at: int, value: int) -> None:
        times, values = self.times, self.values
        while values and values[-1] <= value:
            values.pop()
            times.pop()
        if times and times[0] < at - KEEP_MS:
            cut = bisect_left(times, at - KEEP_MS)
            del times[:cut], values[:cut]
        times.append(at)
        values.append(value)

    def since(self, since: int) -> int:
        """The largest value at or after `since`, 0 when there was none."""
        index = bisect_left(self.times, since)
        return self.values[index] if index < len(self.values) else 0


class LogView(Protocol):
    """What metrics read from the history of one entity, or of several together."""

    def count(self, name: str, since: int) -> int: ...
    def total(self, name: str, since: int) -> int: ...
    def peak(self, name: str, since: int) -> int: ...


class Log:
    """The named series and peaks of one entity. A name that never happened takes no memory and counts 0."""

    __slots__ = ("peaks", "series")

    def __init__(self) -> None:
        self.series: dict[str, Series] = {}
        self.peaks: dict[str, Peaks] = {}

    def add(self, name: str, at: int, ms: int = 0) -> None:
        series = self.series.get(name)
        if series is None:
            series = self.series[name] = Series()
        series.add(at, ms)

    def add_peak(self, name: str, at: int, value: int) -> None:
        peaks = self.peaks.get(name)
        if peaks is None:
            peaks = self.peaks[name] = Peaks()
        peaks.add(at, value)

    def count(self, name: str, since: int) -> int:
        series = self.series.get(name)
        return series.count(since) if series is not None else 0

    def total(self, name: str, since: int) -> int:
        series = self.series.get(name)
        return series.total(since) if series is not None else 0

    def peak(self, name: str, since: int) -> int:
        peaks = self.peaks.get(name)
        return peaks.since(since) if peaks is not None else 0


class Merged:
    """Several logs as one, for the totals element: counts and sums are added, peaks are the maximum."""

    __slots__ = ("logs",)

    def __init__(self, logs: Iterable[LogView]) -> None:
        self.logs = list(logs)

    def count(self, name: str, since: int) -> int:
        return sum(log.count(name, since) for log in self.logs)

    def total(self, name: str, since: int) -> int:
        return sum(log.total(name, since) for log in self.logs)

    def peak(self, name: str, since: int) -> int:
        return max((log.peak(name, since) for log in self.logs), default=0)


EMPTY_LOG = Log()  # shared by all pairs of queue and agent without work so far; never written to
