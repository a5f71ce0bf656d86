"""Fewer samples that look the same: extremes, ends and gaps are kept."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alertbot.charts.series import Samples, samples_of
from alertbot.charts.thin import thinned
from tests.charts.test_series import at

STEP = timedelta(seconds=15)


def thin(values: list[float | None], columns: int, *, pauses: dict[int, timedelta] | None = None) -> Samples:
    """What is kept of these values, polled every 15 s up to now; `pauses`: longer waits, by the place of the value."""
    polled = times(len(values), pauses or {})
    stamps = np.array([round(time.timestamp() * 1000) for time in polled], dtype=np.int64)
    numbers = np.array([np.nan if value is None else value for value in values])
    return thinned(stamps, numbers, polled[0], polled[-1], columns)


def times(number: int, pauses: dict[int, timedelta]) -> list[datetime]:
    made = [at(0)]
    for place in reversed(range(1, number)):
        made.append(made[-1] - pauses.get(place, STEP))
    return made[::-1]


def test_few_samples_stay_as_they_are() -> None:
    """As `samples_of` has them: the same values, the same gaps."""
    values = [1.0, 2.0, None, 3.0, 4.0, 5.0]
    polled = times(6, {4: timedelta(minutes=5)})
    expected = samples_of(zip(polled, values, strict=True))
    assert thin(values, 10_000, pauses={4: timedelta(minutes=5)}) == expected
    assert expected.values == (1.0, 2.0, None, 3.0, None, 4.0, 5.0)


def test_no_samples() -> None:
    nothing = np.array([], dtype=np.int64)
    assert thinned(nothing, np.array([]), at(-5), at(0), 100) == Samples()
    later = np.array([round(at(60).timestamp() * 1000)], dtype=np.int64)
    assert thinned(later, np.array([1.0]), at(-5), at(0), 100) == Samples()


def test_polls_without_a_value_are_one_gap() -> None:
    assert thin([1.0, *[None] * 1000, 2.0], 500).values == (1.0, None, 2.0)


@given(
    st.lists(st.one_of(st.none(), st.integers(-50, 50).map(float)), min_size=2, max_size=400),
    st.integers(1, 40),
)
def test_nothing_that_is_seen_is_lost(values: list[float | None], columns: int) -> None:
    """Of each interval the extremes, overall the first and the last, in the order of time, and never too many."""
    left = thin(values, columns)
    assert list(left.times) == sorted(set(left.times))
    polled = times(len(values), {})
    whole = dict(zip(polled, values, strict=True))
    assert all(whole[time] == value for time, value in zip(left.times, left.values, strict=True))
    known = [value for value in values if value is not None]
    kept = [value for value in left.values if value is not None]
    assert (kept[:1], kept[-1:]) == (known[:1], known[-1:])
    length = (polled[-1] - polled[0]).total_seconds()
    for place in range(columns):
        part = [time for time in polled if int((time - polled[0]).total_seconds() * columns / length) == place]
        there = [value for time in part if (value := whole[time]) is not None]
        shown = [
            value for time, value in zip(left.times, left.values, strict=True) if time in part and value is not None
        ]
        assert bool(there) == bool(shown)
        if there:
            assert (min(shown), max(shown)) == (min(there), max(there))
    gaps = sum(
        1 for before, after in zip([None, *values], values, strict=False) if after is None and before is not None
    )
    assert sum(value is None for value in left.values) == gaps + (values[0] is None)
