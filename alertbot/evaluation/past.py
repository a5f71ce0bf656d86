"""The recent past: the samples that windows need from earlier polls, aligned to the entities of the present poll.

- **A value that shares.** `Past.add` returns a new Past and leaves the old one valid, since a poll that fails later
  must not have changed what the next one sees. Copying a week of samples at every poll is out of the question, so the
  two share: a `_Run` is a slice (start, end) of a list that is only ever appended to, and the new Past has the longer
  slice. A poll costs one column per key, however long its windows are.
- **Two kinds of reading.** `avg(KEY, 10m)` reads every sample of the last minutes at every poll; `ago(KEY, 7d)` reads
  one sample out of a week. So recent samples also stand in a `_Grid`, one under the other, where a window is a view
  without a copy; samples that only `ago` can reach are compressed (`_pack`), 40 MB instead of 320 for a week of 1,000
  entities. Both are invisible from outside.
- **Alignment.** Entities come and go, and 8x8 does not sort them. A sample keeps the `Layout` (the entities by row) of
  its poll; a reader asks for the present layout, and rows are mapped where the two differ, NaN where an entity was not
  there. Layouts are compared by identity first: `_layout` returns the same object while the entities stay the same.
- **Text** is kept as numbers, one per word whatever its case, so that all samples are float columns with NaN for
  missing.
- **The traps.** The shared list may be appended to only by the newest Past: `_Run.add` copies when its slice does not
  end where the list does (two Pasts grown from one). Time may go backwards (clock set back, a poll seen twice): samples
  that are not older than the new one are dropped first. A view of the grid must not be written to.
"""

from __future__ import annotations

import bisect
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alertbot.evaluation.layout import Layout, layout_of
from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.evaluation.usual import GivenUsual, Usual
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.compare import caseless
from alertbot.rules.functions import FUNCTIONS, Reads
from alertbot.rules.tree import Window
from alertbot.rules.units import MAX_DURATION

MAX_AGO_POLLS = 2
"""`ago` accepts a sample that is at most this many polls older than asked for."""
_PACK_AFTER = timedelta(hours=1) // timedelta(microseconds=1)
_TRIM_AT = 1024
_MAX_REACH = 4 * MAX_DURATION // timedelta(microseconds=1)  # the longest `ago`, and its two polls
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)

_Numbers = NDArray[np.float64]


class _Sample(NamedTuple):
    """One key in one poll: a number per entity, NaN where missing; compressed bytes where it is rarely read."""

    at: int  # microseconds since 1970
    layout: Layout
    values: _Numbers | bytes

    def numbers(self) -> _Numbers:
        if isinstance(self.values, bytes):
            size = self.layout.size
            planes = np.frombuffer(zlib.decompress(self.values), dtype=np.uint8).reshape(8, size)
            return np.ascontiguousarray(planes.T).view("<f8").reshape(size).astype(np.float64, copy=False)
        return self.values

    def packed(self) -> _Sample:
        if isinstance(self.values, bytes):
            return self
        planes = self.values.astype("<f8", copy=False).view(np.uint8).reshape(self.layout.size, 8).T
        return self._replace(values=zlib.compress(planes.tobytes(), 1))


class _Grid:
    """The last samples of a run as one matrix, a line per poll, so that a window over them is a view without a copy.

    It is valid while the entities stay the same. Lines are only ever appended, like samples.
    """

    __slots__ = ("first", "layout", "lines")

    def __init__(self, samples: Sequence[_Sample], end: int, oldest: int) -> None:
        self.layout = samples[end - 1].layout
        self.first = end
        while self.first > 0 and self._fits(samples[self.first - 1], oldest):
            self.first -= 1
        self.lines = np.empty((2 * (end - self.first) + 8, self.layout.size))
        for index in range(self.first, end):
            self.lines[index - self.first] = samples[index].values

    def _fits(self, sample: _Sample, oldest: int) -> bool:
        return sample.layout is self.layout and sample.at >= oldest and not isinstance(sample.values, bytes)

    def has_room(self, index: int, layout: Layout) -> bool:
        return layout is self.layout and 0 <= index - self.first < len(self.lines)


@dataclass(frozen=True, slots=True)
class _Run:
    """Samples of one key, oldest first: a slice of a list that is only ever appended to, so that runs can share it."""

    samples: list[_Sample] = field(default_factory=list)
    start: int = 0
    end: int = 0
    grid: _Grid | None = None

    def add(self, sample: _Sample, reach: _Reach) -> _Run:
        """The run with this sample at its end, without samples that are out of reach of every window."""
        samples, start, end, grid = self.samples, self.start, self.end, self.grid
        oldest = sample.at - max(reach.window, reach.then)
        while end > start and samples[end - 1].at >= sample.at:
            end -= 1  # the clock was set back, or the poll was added before
        while start < end and samples[start].at < oldest:
            start += 1
        if end != len(samples) or (start > _TRIM_AT and start > len(samples) // 2):
            samples, start, end, grid = samples[start:end], 0, end - start, None
        samples.append(sample)
        if grid is not None and grid.has_room(end, sample.layout):
            grid.lines[end - grid.first] = sample.values
        elif reach.window:
            grid = _Grid(samples, end + 1, sample.at - reach.window)
        return _Run(samples, start, end + 1, grid)

    def lines(self, after: int, until: int, present: Layout) -> _Numbers:
        """The samples in (after, until] as a matrix, aligned to the entities of `present`."""
        begin, end = self.after(after), self.after(until)
        grid = self.grid
        if grid is not None and grid.layout is present and begin >= grid.first:
            return grid.lines[begin - grid.first : end - grid.first]
        lines = [_aligned(sample, present) for sample in self.samples[begin:end]]
        return np.stack(lines) if lines else np.empty((0, present.size))

    def after(self, at: int) -> int:
        """The index of the first sample later than `at`."""
        return bisect.bisect_right(self.samples, at, self.start, self.end, key=lambda sample: sample.at)

    def between(self, after: int, until: int) -> list[_Sample]:
        """The samples in (after, until], oldest first."""
        return self.samples[self.after(after) : self.after(until)]


_EMPTY_RUN = _Run()


@dataclass(frozen=True, slots=True)
class _Reach:
    """How far back one key is read, in microseconds: by windows, and by `ago`."""

    text: bool
    window: int = 0
    then: int = 0

    def and_(self, window: Window, poll_every: int) -> _Reach:
        length = round(window.length * 1000)
        if FUNCTIONS[window.function].reads is Reads.THEN:
            return replace(self, then=max(self.then, length + (MAX_AGO_POLLS + 1) * poll_every))
        return replace(self, window=max(self.window, length))


@dataclass(frozen=True)
class Past:
    """What the polls up to now saw, the present one included, as far back as `windows` reach. One per tenant.

    `windows` is `RuleSet.windows()`. `poll_every` decides how many samples are expected in a window. `usual` is what
    the weeks before say, for rules that read it; None: it is unknown.
    """

    poll_every: timedelta
    windows: Mapping[Scope, frozenset[Window]]
    usual: Usual | GivenUsual | None = field(default=None, repr=False, compare=False)
    _runs: Mapping[tuple[Scope, str], _Run] = field(default_factory=dict, repr=False, compare=False)
    _layouts: Mapping[Scope, Layout] = field(default_factory=dict, repr=False, compare=False)
    _words: dict[str, int] = field(default_factory=dict, repr=False, compare=False)  # only ever appended to
    _spelt: list[str] = field(default_factory=list, repr=False, compare=False)

    @property
    def longest(self) -> timedelta:
        """How far back the recording is needed to fill every window."""
        reaches = [max(reach.window, reach.then) for scope in self.windows for reach in self._reaches(scope).values()]
        return min(max(reaches, default=0), _MAX_REACH) * _TICK

    @property
    def keys(self) -> Mapping[Scope, frozenset[str]]:
        """The keys that are needed from each poll."""
        return {scope: frozenset(each.key.key for each in windows) for scope, windows in self.windows.items()}

    def _reaches(self, scope: Scope) -> Mapping[str, _Reach]:
        reaches: dict[str, _Reach] = {}
        for window in self.windows.get(scope, ()):
            reach = reaches.get(window.key.key) or _Reach(window.key.type is ValueType.TEXT)
            reaches[window.key.key] = reach.and_(window, self.poll_every // _TICK)
        return reaches

    def add(self, snapshots: Mapping[Scope, Snapshot]) -> Past:
        """The past with one more poll; this one stays as it is."""
        runs, layouts = dict(self._runs), dict(self._layouts)
        for scope in self.windows:
            snapshot = snapshots.get(scope)
            if snapshot is None:
                continue
            layout = layouts[scope] = self._layout(snapshot)
            at = _ticks(snapshot.at)
            for key, reach in self._reaches(scope).items():
                column = snapshot.columns.get(key)
                if column is None:
                    continue
                run = runs.get((scope, key), _Run())
                sample = _Sample(at, layout, self._numbers(column, text=reach.text))
                run = run.add(sample, reach)
                if reach.then > max(reach.window, _PACK_AFTER):
                    _pack(run, at - max(reach.window, _PACK_AFTER))
                runs[scope, key] = run
        usual = self.usual.add(snapshots) if self.usual is not None else None
        return replace(self, usual=usual, _runs=runs, _layouts=layouts)

    def _numbers(self, column: Column, *, text: bool) -> _Numbers:
        present = column.presence == Presence.PRESENT
        if column.is_text is not text:
            return np.full(len(present), np.nan)
        if not text:
            values: _Numbers = column.values.astype(np.float64, copy=False)
            known = present & np.isfinite(values)
            return values if known.all() else np.where(known, values, np.nan)
        codes = [self._code(str(word)) if there else np.nan for word, there in zip(column.values, present, strict=True)]
        return np.array(codes, dtype=np.float64)

    def _code(self, word: str) -> int:
        folded = caseless(word)
        code = self._words.get(folded)
        if code is None:
            code = self._words[folded] = len(self._spelt)
            self._spelt.append(word)
        return code

    def word(self, code: float) -> str:
        """The word behind a number in the samples of a text key, as it was first written."""
        return self._spelt[int(code)]

    def _layout(self, snapshot: Snapshot) -> Layout:
        return layout_of(snapshot, self._layouts.get(snapshot.scope))

    def expected(self, window: Window) -> float:
        """How many samples a window has when no poll is missing."""
        return window.length / (self.poll_every / timedelta(milliseconds=1))

    def _interval(self, window: Window, now: datetime) -> tuple[int, int]:
        """The (after, until] of a window, in microseconds since 1970."""
        at, length = _ticks(now), round(window.length * 1000)
        if FUNCTIONS[window.function].reads is Reads.THEN:
            return at - length - MAX_AGO_POLLS * (self.poll_every // _TICK) - 1, at - length
        return at - length, at

    def _run(self, window: Window, scope: Scope) -> _Run:
        return self._runs.get((scope, window.key.key), _EMPTY_RUN)

    def matrix(self, window: Window, snapshot: Snapshot) -> _Numbers:
        """The samples in a window: one line per poll, oldest first, and one column per row of `snapshot`.

        NaN where a value is missing and where the entity was not there. The window ends at the time of the snapshot.
        Read-only: it may be a view of memory that is shared.
        """
        run = self._run(window, snapshot.scope)
        return run.lines(*self._interval(window, snapshot.at), self._layout(snapshot))

    def samples(self, window: Window, snapshot: Snapshot, row: int) -> list[float | str | None]:
        """The samples in a window for one row, oldest first; None where missing."""
        pair = (snapshot.parent(row)[0], snapshot.ids[row])
        values: list[float | str | None] = []
        for sample in self._run(window, snapshot.scope).between(*self._interval(window, snapshot.at)):
            then = sample.layout.rows.get(pair)
            value = float("nan") if then is None else float(sample.numbers()[then])
            missing = value != value  # NaN is not equal to itself
            values.append(None if missing else self.word(value) if window.key.type is ValueType.TEXT else value)
        return values


def remember(past: Past, polls: Iterable[Mapping[Scope, Snapshot]]) -> Past:
    """The past with these polls added, oldest first."""
    for snapshots in polls:
        past = past.add(snapshots)
    return past


def _aligned(sample: _Sample, present: Layout) -> _Numbers:
    numbers = sample.numbers()
    if sample.layout is present:
        return numbers
    rows = sample.layout.rows_for(present)
    if not len(numbers):
        return np.full(len(rows), np.nan)
    return np.where(rows >= 0, numbers[rows], np.nan)


def _pack(run: _Run, before: int) -> None:
    """Compress the samples that only `ago` can reach, from the newest back to the first that is compressed already."""
    for index in range(run.after(before) - 1, run.start - 1, -1):
        if isinstance(run.samples[index].values, bytes):
            break
        run.samples[index] = run.samples[index].packed()


def _ticks(at: datetime) -> int:
    return (at - _EPOCH) // _TICK
