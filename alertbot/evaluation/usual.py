"""What is usual at this time of the week: means of quarter-hours, kept for weeks, and the median over the weeks.

- **Quarter-hours** are those of the clock in UTC. Every zone in use is whole quarter-hours from UTC, so they are also
  those of the tenant's wall clock, and a mean that was kept stays good when the zone in alertbot.yaml changes.
- **The same time of the week** is decided when it is read, by the wall clock: 09:15 on a Monday is compared with 09:15
  on the Mondays before, whatever the clock did in between. Of a quarter-hour that the clock skipped in spring there is
  no mean: that week is not known. One that it showed twice in autumn has two: the week has the mean of them, and both
  quarter-hours of a repeated hour are compared with the same weeks. The day itself is never among the weeks before.
- **A mean counts** when half of the polls of its quarter-hour have a value. What does not count is not kept.
- **Holidays** stay in what is kept, and are left out when it is read: two rules may have two calendars.
- **A value that shares.** As with `Past`, `add` returns a new Usual and leaves the old one valid. A poll adds one
  column per key to running sums. The poll that begins the next quarter-hour closes the one before: it is then in
  `closed`, for the store, until the next poll.
- **Cost.** What is usual changes every 15 minutes, so medians are computed once per quarter-hour, key and calendar, and
  a poll only looks them up. Only the means of this quarter-hour of the week are in memory: `at` takes them from
  wherever they are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from alertbot.evaluation.layout import Layout, layout_of
from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.rules.hours import Calendar, is_special
from alertbot.rules.tree import Window

QUARTER = timedelta(minutes=15)
_WEEK = timedelta(weeks=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DROPPED_BITS = 10  # of the 23 of a float32: 13 are kept, so a mean is exact to 0.01 %

_Numbers = NDArray[np.float64]
_Means = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class QuarterHour:
    """The means of one scope in the quarter-hour that begins at `at` (UTC): float32 by key, NaN where none counts."""

    scope: Scope
    at: datetime
    layout: Layout
    means: Mapping[str, _Means]


ReadMeans = Callable[[Mapping[Scope, Collection[str]], Collection[datetime]], Iterable[QuarterHour]]
"""Reads the means of these keys in the quarter-hours that begin at these times. The last one of an entity is valid."""


def no_means(keys: Mapping[Scope, Collection[str]], at: Collection[datetime]) -> Iterable[QuarterHour]:
    """For callers without stored means."""
    return ()


class Typical(NamedTuple):
    """The usual value for each row of a snapshot. `weeks`: how many of the weeks are known."""

    values: _Numbers
    known: NDArray[np.bool_]
    weeks: NDArray[np.intp]


def quarter_of(at: datetime) -> datetime:
    """The beginning of the quarter-hour of an instant, in UTC."""
    return at - (at - _EPOCH) % QUARTER


def weeks_before(at: datetime, zone: ZoneInfo, weeks: int) -> tuple[tuple[datetime, ...], ...]:
    """For each of the previous weeks, the latest first: the quarter-hours with the same local time.

    None of them where the clock skipped that time, two where it showed it twice.
    """
    wall = quarter_of(at).astimezone(zone).replace(tzinfo=None)
    return tuple(_instants(wall - week * _WEEK, zone) for week in range(1, weeks + 1))


def _instants(wall: datetime, zone: ZoneInfo) -> tuple[datetime, ...]:
    found = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    shown = (each for each in found if each.astimezone(zone).replace(tzinfo=None) == wall)
    return tuple(dict.fromkeys(shown))


def needed_weeks(weeks: int) -> int:
    """How many of `weeks` weeks must be known."""
    return (weeks + 1) // 2


@dataclass(frozen=True, slots=True)
class _Sums:
    """The current quarter-hour: sums and counts of the samples of each key, aligned to `layout`."""

    at: datetime
    last: datetime  # the time of the last sample
    layout: Layout
    sums: Mapping[str, tuple[_Numbers, _Numbers]] = field(default_factory=dict)

    def add(self, snapshot: Snapshot, present: Layout, keys: Iterable[str]) -> _Sums:
        layout, rows, sums = self.layout, None, dict(self.sums)
        if layout is not present:
            rows = layout.rows_for(present)
            if (rows < 0).any():
                layout = _grown(layout, present)
                rows = layout.rows_for(present)
        for key in keys:
            column = snapshot.columns.get(key)
            if column is None or column.is_text:
                continue
            values, known = _known(column)
            total, count = sums.get(key) or (np.zeros(layout.size), np.zeros(layout.size))
            if len(total) < layout.size:
                total, count = (np.pad(each, (0, layout.size - len(each))) for each in (total, count))
            if rows is None:
                sums[key] = total + values, count + known
            else:
                total, count = total.copy(), count.copy()
                total[rows] += values
                count[rows] += known
                sums[key] = total, count
        return _Sums(self.at, snapshot.at, layout, sums)

    def close(self, scope: Scope, needed: float) -> QuarterHour:
        """The means that count."""
        means = {}
        for key, (total, count) in self.sums.items():
            mean = np.where(count >= needed, total, np.nan) / np.maximum(count, 1.0)
            means[key] = np.pad(_rounded(mean), (0, self.layout.size - len(mean)), constant_values=np.nan)
        return QuarterHour(scope, self.at, self.layout, means)


def _known(column: Column) -> tuple[_Numbers, NDArray[np.bool_]]:
    values: _Numbers = column.values.astype(np.float64, copy=False)
    known = (column.presence == Presence.PRESENT) & np.isfinite(values)
    return (values if known.all() else np.where(known, values, 0.0)), known


def _grown(layout: Layout, present: Layout) -> Layout:
    """The layout with the entities of `present` that it does not have at its end."""
    own, new = list(layout.rows), [pair for pair in present.rows if pair not in layout.rows]
    pairs = own + new
    return Layout((tuple(parent for parent, _ in pairs), tuple(id_ for _, id_ in pairs)))


def _rounded(means: _Numbers) -> _Means:
    """Round to the stored precision, so that a mean is the same before and after it was stored."""
    bits = means.astype(np.float32).view(np.uint32)
    half = np.uint32(1 << (_DROPPED_BITS - 1))
    kept = ((bits + half) >> np.uint32(_DROPPED_BITS)) << np.uint32(_DROPPED_BITS)
    return np.where(np.isfinite(means), kept.view(np.float32), np.float32(np.nan)).astype(np.float32, copy=False)


@dataclass(frozen=True)
class Usual:
    """What is usual for one tenant. `keys` is `RuleSet.usuals()`; `zone` is the tenant's.

    `quarter` is the quarter-hour whose means are loaded; None: none are, and all that is usual is unknown.
    """

    poll_every: timedelta
    zone: ZoneInfo
    keys: Mapping[Scope, Mapping[str, int]]
    closed: tuple[QuarterHour, ...] = ()  # by the poll that was added last
    quarter: datetime | None = None
    _open: Mapping[Scope, _Sums] = field(default_factory=dict, repr=False, compare=False)
    _layouts: Mapping[Scope, Layout] = field(default_factory=dict, repr=False, compare=False)
    _weeks: tuple[tuple[datetime, ...], ...] = ()
    _means: Mapping[tuple[Scope, datetime], tuple[QuarterHour, ...]] = field(
        default_factory=dict, repr=False, compare=False
    )
    _answers: dict[tuple[Scope, str, int, Calendar | None], tuple[Layout, Typical]] = field(
        default_factory=dict, repr=False, compare=False
    )  # of this quarter-hour; shared, and only ever added to

    @property
    def most_weeks(self) -> int:
        """How many weeks the rules look back."""
        return max((weeks for keys in self.keys.values() for weeks in keys.values()), default=0)

    def at(self, now: datetime, read: ReadMeans) -> Usual:
        """With the means of previous weeks for the quarter-hour of `now`; the same object if they are loaded."""
        quarter = quarter_of(now)
        if quarter == self.quarter:
            return self
        weeks = weeks_before(quarter, self.zone, self.most_weeks)
        means: dict[tuple[Scope, datetime], tuple[QuarterHour, ...]] = {}
        for each in read(self.keys, [instant for instants in weeks for instant in instants]):
            means[each.scope, each.at] = (*means.get((each.scope, each.at), ()), each)
        return replace(self, quarter=quarter, _weeks=weeks, _means=means, _answers={})

    def without(self) -> Usual:
        """Without the loaded means: the next `at` reads them again, and until then everything is unknown."""
        return replace(self, quarter=None, _weeks=(), _means={}, _answers={})

    def add(self, snapshots: Mapping[Scope, Snapshot]) -> Usual:
        """A new object with one more poll. Quarter-hours that the poll ends are in `closed`."""
        opened, layouts, closed = dict(self._open), dict(self._layouts), []
        for scope, keys in self.keys.items():
            snapshot = snapshots.get(scope)
            if snapshot is None:
                continue
            present = layouts[scope] = layout_of(snapshot, layouts.get(scope))
            quarter, sums = quarter_of(snapshot.at), opened.get(scope)
            if sums is not None and quarter > sums.at:
                closed.append(sums.close(scope, self._needed))
            if sums is None or quarter != sums.at or snapshot.at < sums.last:  # or the clock was set back
                sums = _Sums(quarter, snapshot.at, _reused(sums, present))
            elif snapshot.at == sums.last:
                continue  # the same poll again
            opened[scope] = sums.add(snapshot, present, keys)
        return replace(self, closed=tuple(closed), _open=opened, _layouts=layouts)

    def end(self) -> tuple[QuarterHour, ...]:
        """The means of the open quarter-hours if they ended now."""
        return tuple(sums.close(scope, self._needed) for scope, sums in self._open.items())

    @property
    def _needed(self) -> float:
        return max(1.0, QUARTER / self.poll_every / 2)

    def typical(self, window: Window, snapshot: Snapshot, calendar: Calendar | None) -> Typical:
        """The usual value for each row of the snapshot, without holidays and exceptions of the rule's calendar."""
        if calendar is not None and not (calendar.dates or calendar.countries or calendar.exceptions):
            calendar = None
        layout = layout_of(snapshot, self._layouts.get(snapshot.scope))
        place = snapshot.scope, window.key.key, window.weeks, calendar
        answer = self._answers.get(place)
        if answer is None or answer[0] is not layout:
            answer = self._answers[place] = layout, self._median(window, layout, snapshot.scope, calendar)
        return answer[1]

    def _median(self, window: Window, layout: Layout, scope: Scope, calendar: Calendar | None) -> Typical:
        lines = []
        for instants in self._weeks[: window.weeks]:
            usable = [at for at in instants if calendar is None or not is_special(calendar, at)]
            means = [mean for at in usable if (mean := self._mean(scope, at, window.key.key, layout)) is not None]
            if means:
                lines.append(means[0] if len(means) == 1 else _mean_of(means))
        if not lines:
            return _unknown(layout.size)
        matrix = np.sort(np.stack(lines), axis=0)  # NaN last
        weeks = (~np.isnan(matrix)).sum(axis=0)
        columns = np.arange(layout.size)
        low, high = np.maximum(weeks - 1, 0) // 2, weeks // 2
        values = (matrix[low, columns] + matrix[np.minimum(high, len(lines) - 1), columns]) / 2
        known = weeks >= needed_weeks(window.weeks)
        return Typical(np.where(known, values, np.nan), known, weeks)

    def _mean(self, scope: Scope, at: datetime, key: str, layout: Layout) -> _Numbers | None:
        found: _Numbers | None = None
        for each in self._means.get((scope, at), ()):
            if key not in each.means:
                continue
            rows, means = each.layout.rows_for(layout), each.means[key].astype(np.float64)
            values = np.where(rows >= 0, means[rows], np.nan) if len(means) else np.full(layout.size, np.nan)
            found = values if found is None else np.where(np.isnan(values), found, values)
        return found


def _reused(sums: _Sums | None, present: Layout) -> Layout:
    """The layout of the quarter-hour before, where it has all entities and few others: it is then stored once."""
    if sums is not None and sums.layout is not present and sums.layout.size <= 2 * present.size:
        return sums.layout if (sums.layout.rows_for(present) >= 0).all() else present
    return present


def _mean_of(means: list[_Numbers]) -> _Numbers:
    matrix = np.stack(means)
    known = ~np.isnan(matrix)
    total = np.where(known, matrix, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _unknown(rows: int) -> Typical:
    return Typical(np.full(rows, np.nan), np.zeros(rows, dtype=np.bool_), np.zeros(rows, dtype=np.intp))


@dataclass(frozen=True)
class GivenUsual:
    """The usual values of a rule test, by scope and key: by (parent id, id) a number, or None if unknown."""

    values: Mapping[tuple[Scope, str], Mapping[tuple[str, str], float | None]]

    def add(self, snapshots: Mapping[Scope, Snapshot]) -> GivenUsual:
        """The same object: a test gives the values of each poll."""
        return self

    def typical(self, window: Window, snapshot: Snapshot, calendar: Calendar | None) -> Typical:
        """The value from the test, for any number of weeks; all of them count as known."""
        given = self.values.get((snapshot.scope, window.key.key), {})
        parents = snapshot.parent_ids or ("",) * len(snapshot)
        numbers = [given.get(pair) for pair in zip(parents, snapshot.ids, strict=True)]
        values = np.array([np.nan if each is None else each for each in numbers], dtype=np.float64)
        known = np.isfinite(values)
        return Typical(values, known, np.where(known, window.weeks, 0))
