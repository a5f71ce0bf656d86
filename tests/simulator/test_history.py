"""Windows over what happened, against the plain way of counting it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from alertbot.simulator.history import KEEP_MS, Log, Merged, Peaks, Series

EVENTS = st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 9_000)), max_size=40)
SINCE = st.integers(-10, 100_000)


def timed(gaps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    at, found = 10_000, []
    for gap, ms in gaps:
        at += gap
        found.append((at, ms))
    return found


@given(EVENTS, SINCE)
def test_a_window_of_a_series_is_what_ended_in_it(gaps: list[tuple[int, int]], since: int) -> None:
    """Count and total are those of a plain scan."""
    series, events = Series(), timed(gaps)
    for at, ms in events:
        series.add(at, ms)
    inside = [ms for at, ms in events if at >= since]
    assert (series.count(since), series.total(since)) == (len(inside), sum(inside))


@given(EVENTS, SINCE)
def test_a_peak_is_the_largest_of_the_window(gaps: list[tuple[int, int]], since: int) -> None:
    """Dropping beaten values changes no answer."""
    peaks, events = Peaks(), timed(gaps)
    for at, value in events:
        peaks.add(at, value)
    assert peaks.since(since) == max((value for at, value in events if at >= since), default=0)


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 9_000)), max_size=40), SINCE)
def test_spans_are_clipped_at_the_window(gaps: list[tuple[int, int]], since: int) -> None:
    """A span that began before the window counts only with the part inside."""
    series, at, spans = Series(), 10_000, []
    for pause, ms in gaps:
        at += pause + ms
        series.add(at, ms)
        spans.append((at - ms, at))
    assert series.overlap(since) == sum(max(0, end - max(begin, since)) for begin, end in spans)


def test_memory_is_bounded_and_today_stays_right() -> None:
    """After many days only about a day is kept, and what is asked within it is still exact."""
    series, peaks = Series(), Peaks()
    hour = 3_600_000
    for i in range(5_000):
        series.add(i * hour // 10, 7)
        peaks.add(i * hour // 10, 5_000 - i)
    assert len(series.times) < 2 * KEEP_MS * 10 // hour
    assert len(peaks.times) <= KEEP_MS * 10 // hour + 2
    now = 4_999 * hour // 10
    assert series.count(now - 24 * hour) == 241
    assert series.total(now - 24 * hour) == 241 * 7
    assert peaks.since(now) == 1


def test_merged_logs_add_up() -> None:
    """Totals are sums of counts and times, and the highest of the peaks."""
    one, two = Log(), Log()
    one.add("wrap", 10, 5)
    two.add("wrap", 20, 7)
    two.add_peak("wait", 20, 9)
    merged = Merged([one, two])
    assert (merged.count("wrap", 0), merged.total("wrap", 15), merged.peak("wait", 0)) == (2, 7, 9)
    assert merged.count("never", 0) == 0
