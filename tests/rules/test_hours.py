"""Opening hours: weeks, nights, holidays, exceptions, grace, and the days on which clocks change, in every zone."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertbot.rules.hours import (
    Calendar,
    Country,
    Hours,
    Phase,
    TimeRange,
    close_of_business,
    day_ranges,
    hours_state,
    next_change,
    next_holiday,
    openings,
    state,
    watches,
)

OPEN, GRACE, CLOSED = Phase.OPEN, Phase.GRACE, Phase.CLOSED
HELSINKI, NEW_YORK = "Europe/Helsinki", "America/New_York"
_ZERO = timedelta(0)


def span(text: str) -> TimeRange:
    """`22:00-06:00` as a span."""
    start, end = (60 * int(each[:2]) + int(each[3:]) for each in text.split("-"))
    return TimeRange(start, end if end > start else end + 24 * 60)


def calendar(*days: str, zone: str = HELSINKI, **more: object) -> Calendar:
    """The hours of the days from Monday on, spaces between several time ranges; the last applies until Sunday."""
    week = [tuple(span(each) for each in day.split()) for day in days]
    week += [week[-1]] * (7 - len(week))
    return Calendar("office", zone, tuple(week), **more)  # type: ignore[arg-type]


def local(text: str, zone: str = HELSINKI) -> datetime:
    """`2026-03-02 08:00`; with ` again` behind it the second time a clock shows it."""
    moment = datetime.fromisoformat(text.removesuffix(" again")).replace(tzinfo=ZoneInfo(zone))
    return moment.replace(fold=int(text.endswith(" again"))).astimezone(UTC)


WORKDAYS = ("08:00-18:00",) * 5
OFFICE = calendar(*WORKDAYS, "10:00-14:00 16:00-20:00", "")
GRACEFUL = calendar("08:00-18:00", after_open=timedelta(minutes=5), before_close=timedelta(minutes=10))
NIGHT = calendar("", "", "", "", "22:00-06:00", "", "")  # of Friday
SHIFTS = calendar("00:00-06:00 22:00-24:00", after_open=timedelta(minutes=5))
FESTIVE = calendar(
    "08:00-18:00",
    dates=frozenset({date(2026, 12, 23), date(2026, 12, 31)}),
    countries=(Country("FI"),),
    exceptions=((date(2026, 12, 25), (span("12:00-14:00"),)), (date(2026, 12, 28), ())),
)
ALWAYS = calendar("00:00-24:00")


@pytest.mark.parametrize(
    ("of", "at", "expected"),
    [
        pytest.param(OFFICE, "2026-03-02 08:00", OPEN, id="the first instant of an opening is in it"),
        pytest.param(OFFICE, "2026-03-02 07:59", CLOSED, id="before opening"),
        pytest.param(OFFICE, "2026-03-02 18:00", CLOSED, id="the last instant is not"),
        pytest.param(OFFICE, "2026-03-07 15:00", CLOSED, id="between two spans of a day"),
        pytest.param(OFFICE, "2026-03-07 16:00", OPEN, id="the second span of a day"),
        pytest.param(OFFICE, "2026-03-08 12:00", CLOSED, id="a day without hours"),
        pytest.param(GRACEFUL, "2026-03-02 08:04", GRACE, id="grace after opening"),
        pytest.param(GRACEFUL, "2026-03-02 08:05", OPEN, id="grace after opening has ended"),
        pytest.param(GRACEFUL, "2026-03-02 17:49", OPEN, id="grace before closing has not begun"),
        pytest.param(GRACEFUL, "2026-03-02 17:50", GRACE, id="grace before closing"),
        pytest.param(GRACEFUL, "2026-03-02 18:00", CLOSED, id="closed has no grace"),
        pytest.param(NIGHT, "2026-03-06 23:00", OPEN, id="a night, before midnight"),
        pytest.param(NIGHT, "2026-03-07 05:59", OPEN, id="a night, after midnight"),
        pytest.param(NIGHT, "2026-03-07 06:00", CLOSED, id="a night has ended"),
        pytest.param(NIGHT, "2026-03-06 05:00", CLOSED, id="the night before is not in the calendar"),
        pytest.param(SHIFTS, "2026-03-03 00:01", OPEN, id="spans that touch at midnight are one: no grace there"),
        pytest.param(SHIFTS, "2026-03-03 22:01", GRACE, id="grace where it does open"),
        pytest.param(FESTIVE, "2026-12-23 12:00", CLOSED, id="a holiday by date"),
        pytest.param(FESTIVE, "2026-12-24 12:00", CLOSED, id="a holiday of the country"),
        pytest.param(FESTIVE, "2026-12-25 13:00", OPEN, id="an exception counts before a holiday"),
        pytest.param(FESTIVE, "2026-12-25 15:00", CLOSED, id="and has hours of its own"),
        pytest.param(FESTIVE, "2026-12-28 12:00", CLOSED, id="an exception that is closed"),
        pytest.param(FESTIVE, "2026-12-29 12:00", OPEN, id="a day like any other"),
        pytest.param(ALWAYS, "2026-03-02 00:00", OPEN, id="the whole day, its first instant"),
        pytest.param(ALWAYS, "2026-03-29 03:30", OPEN, id="the whole day, in an hour that no clock shows"),
    ],
)
def test_state(of: Calendar, at: str, expected: Phase) -> None:
    """Open, closed or within grace at a time of the calendar's zone."""
    assert state(of, local(at, of.timezone)) is expected


def test_a_night_into_a_holiday_is_worked_to_its_end() -> None:
    """A span belongs to the day on which it begins: the holiday closes only what would begin on it."""
    nights = calendar("22:00-06:00", dates=frozenset({date(2026, 3, 3)}))
    assert state(nights, local("2026-03-03 05:00")) is OPEN
    assert state(nights, local("2026-03-03 23:00")) is CLOSED
    assert state(nights, local("2026-03-04 05:00")) is CLOSED


# Clocks: 2026-03-29 03:00 to 04:00 and 2026-10-25 04:00 to 03:00 in Helsinki.


@pytest.mark.parametrize(
    ("hours", "day", "expected"),
    [
        pytest.param("08:00-18:00", date(2026, 3, 29), 10, id="spring, by day"),
        pytest.param("00:00-24:00", date(2026, 3, 29), 23, id="spring, the whole day"),
        pytest.param("02:00-05:00", date(2026, 3, 29), 2, id="spring, over the gap"),
        pytest.param("03:15-03:45", date(2026, 3, 29), 0, id="spring, within the gap: no clock shows it"),
        pytest.param("03:30-05:00", date(2026, 3, 29), 1, id="spring, from within the gap"),
        pytest.param("02:00-03:30", date(2026, 3, 29), 1, id="spring, into the gap"),
        pytest.param("22:00-06:00", date(2026, 3, 28), 7, id="spring, the night before"),
        pytest.param("08:00-18:00", date(2026, 10, 25), 10, id="autumn, by day"),
        pytest.param("00:00-24:00", date(2026, 10, 25), 25, id="autumn, the whole day"),
        pytest.param("02:00-05:00", date(2026, 10, 25), 4, id="autumn, over the hour that comes twice"),
        pytest.param("03:15-03:45", date(2026, 10, 25), 1, id="autumn, within it: open twice"),
        pytest.param("22:00-06:00", date(2026, 10, 24), 9, id="autumn, the night before"),
    ],
)
def test_open_hours_on_the_days_on_which_clocks_change(hours: str, day: date, expected: float) -> None:
    """It is open whenever a clock on the wall shows a time within a span."""
    found = openings(calendar(hours), day)
    assert sum(((end - begin) for begin, end in found), _ZERO) == timedelta(hours=expected)


def test_an_hour_that_comes_twice() -> None:
    """03:30 to 03:45 is open both times, and closed in between."""
    of = calendar("03:30-03:45")
    both = [local("2026-10-25 03:30"), local("2026-10-25 03:30 again")]
    assert openings(of, date(2026, 10, 25)) == tuple((each, each + timedelta(minutes=15)) for each in both)
    assert next_change(of, local("2026-10-25 03:35")) == local("2026-10-25 03:45")
    assert next_change(of, local("2026-10-25 03:50")) == local("2026-10-25 03:30 again")


def test_a_day_that_was_left_out() -> None:
    """Samoa had no 30th of December in 2011: nothing opens on it, and the days around it are whole."""
    of = calendar("00:00-24:00", zone="Pacific/Apia")
    lengths = [sum((e - b for b, e in openings(of, date(2011, 12, day))), _ZERO) for day in (29, 30, 31)]
    assert [each / timedelta(hours=1) for each in lengths] == [24, 0, 24]
    assert state(of, local("2011-12-31 00:00", "Pacific/Apia") - timedelta(seconds=1)) is OPEN


def clock_minutes(zone: ZoneInfo, day: date, hours: tuple[TimeRange, ...]) -> int:
    """Independent of the code: the minutes at which the wall clock of a zone shows this date and a time in a span."""
    at = datetime.combine(day, time(), UTC) - timedelta(hours=15)
    found = 0
    for _ in range(54 * 60):
        shown = at.astimezone(zone)
        if shown.date() == day:
            minute = 60 * shown.hour + shown.minute
            found += any(each.start <= minute < each.end for each in hours)
        at += timedelta(minutes=1)
    return found


def days_of_change(zone: ZoneInfo, year: int) -> list[date]:
    """The local dates on which the distance from UTC changes."""
    noon = datetime(year, 1, 1, 12, tzinfo=UTC)
    moments = [noon + timedelta(days=ahead) for ahead in range(366)]
    pairs = itertools.pairwise(moments)
    changed = [(a, b) for a, b in pairs if a.astimezone(zone).utcoffset() != b.astimezone(zone).utcoffset()]
    return sorted({each.astimezone(zone).date() for pair in changed for each in pair})


def test_open_time_of_a_day_is_what_the_wall_clock_says_in_every_zone() -> None:
    """All zones of the tz database: on both days on which clocks change, and on a day like any other."""
    hours = (span("00:30-02:15"), span("02:45-09:00"), span("17:00-24:00"))
    known: dict[tuple[object, ...], int] = {}
    changes = 0
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        of = Calendar("all", name, (hours,) * 7)
        days = days_of_change(zone, 2026)
        changes += bool(days)
        for day in [date(2026, 3, 2), *days]:
            begin = datetime.combine(day, time(), UTC) - timedelta(hours=15)
            # Many zones share their clocks: one count does for all that show the same offsets around this day.
            shown = tuple((begin + timedelta(minutes=30 * step)).astimezone(zone).utcoffset() for step in range(108))
            if (day, shown) not in known:
                known[day, shown] = clock_minutes(zone, day, hours)
            total = sum(((end - start) for start, end in openings(of, day)), _ZERO)
            assert total == timedelta(minutes=known[day, shown]), (name, day)
    assert changes > 100


ZONES = st.sampled_from(sorted(available_timezones()))
TIMES = st.tuples(st.integers(0, 1439), st.integers(1, 1440)).map(lambda pair: TimeRange(pair[0], pair[0] + pair[1]))
WEEKS = st.lists(st.lists(TIMES, max_size=2).map(tuple), min_size=7, max_size=7).map(tuple)
SECONDS = st.integers(345_600, 2_145_300_000)  # 1970-01-05 to 2037-12-24
MOMENTS = SECONDS.map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


def shows_open(of: Calendar, at: datetime) -> bool:
    """Independent of the code: whether the wall clock shows a time within a span of today, or of last night."""
    wall = at.astimezone(of.zone).replace(tzinfo=None)
    for day in (wall.date(), wall.date() - timedelta(days=1)):
        minutes = (wall - datetime.combine(day, time())) / timedelta(minutes=1)
        if any(each.start <= minutes < each.end for each in day_ranges(of, day)):
            return True
    return False


@settings(deadline=None, max_examples=300)
@given(ZONES, WEEKS, MOMENTS, st.lists(st.integers(0, 3 * 86_400), max_size=20))
def test_open_is_what_the_wall_clock_says(
    zone: str, week: tuple[tuple[TimeRange, ...], ...], at: datetime, later: list[int]
) -> None:
    """At any instant since 1970, in any zone, for any hours."""
    of = Calendar("any", zone, week)
    for each in (at, *(at + timedelta(seconds=ahead) for ahead in later)):
        assert (state(of, each) is not CLOSED) is shows_open(of, each)


@settings(deadline=None, max_examples=150)
@given(ZONES, WEEKS, MOMENTS, st.lists(st.integers(0, 999), max_size=10))
def test_nothing_changes_before_the_next_change(
    zone: str, week: tuple[tuple[TimeRange, ...], ...], at: datetime, parts: list[int]
) -> None:
    """It is the first instant at which it is open where it was closed, or the other way round."""
    of = Calendar("any", zone, week)
    was_open = state(of, at) is not CLOSED
    changes = next_change(of, at)
    if changes is None:
        assert not any(week) or was_open
        changes = at + timedelta(days=300)
    else:
        assert changes > at
        assert (state(of, changes) is not CLOSED) is not was_open
    for part in parts:
        assert (state(of, at + part * (changes - at) / 1000) is not CLOSED) is was_open


@pytest.mark.parametrize(
    ("of", "at", "expected"),
    [
        pytest.param(OFFICE, "2026-03-02 12:00", "2026-03-02 18:00", id="open: when it closes"),
        pytest.param(OFFICE, "2026-03-02 18:00", "2026-03-03 08:00", id="just closed: when it opens"),
        pytest.param(OFFICE, "2026-03-07 20:00", "2026-03-09 08:00", id="over the weekend"),
        pytest.param(GRACEFUL, "2026-03-02 08:01", "2026-03-02 18:00", id="grace is no change"),
        pytest.param(SHIFTS, "2026-03-02 23:00", "2026-03-03 06:00", id="midnight is none either"),
        pytest.param(FESTIVE, "2026-12-23 19:00", "2026-12-25 12:00", id="over holidays, to an exception"),
        pytest.param(ALWAYS, "2026-03-02 12:00", None, id="never"),
    ],
)
def test_next_change(of: Calendar, at: str, expected: str | None) -> None:
    """When it next opens or closes."""
    assert next_change(of, local(at)) == (local(expected) if expected else None)


def test_an_exception_far_ahead_is_the_next_opening() -> None:
    """A calendar without weekly hours opens on its exceptions only."""
    of = calendar("", exceptions=((date(2026, 11, 27), (span("06:00-23:00"),)),))
    assert next_change(of, local("2026-03-02 12:00")) == local("2026-11-27 06:00")
    assert next_change(of, local("2026-11-28 12:00")) is None


@pytest.mark.parametrize(
    ("of", "at", "expected"),
    [
        pytest.param(FESTIVE, "2026-12-20 12:00", (date(2026, 12, 23), ""), id="by date: without a name"),
        pytest.param(FESTIVE, "2026-12-24 12:00", (date(2026, 12, 26), "Second Day of Christmas"), id="by country"),
        pytest.param(OFFICE, "2026-12-20 12:00", None, id="no holidays at all"),
        pytest.param(
            calendar(*WORKDAYS, "", "", countries=(Country("FI"),)),
            "2026-05-20 12:00",
            (date(2026, 6, 19), "Midsummer Eve"),
            id="one on which it is closed anyway is no news",
        ),
        pytest.param(
            calendar(*WORKDAYS, "", "", zone=NEW_YORK, countries=(Country("US", "CA"),)),
            "2026-03-02 12:00",
            (date(2026, 3, 31), "Cesar Chavez Day"),
            id="of a part of a country",
        ),
    ],
)
def test_next_holiday(of: Calendar, at: str, expected: tuple[date, str] | None) -> None:
    """The first day ahead on which it stays closed because of a holiday."""
    assert next_holiday(of, local(at)) == expected


# What a rule makes of a calendar.

EARLY = Hours(GRACEFUL, shift=timedelta(minutes=-10))
LATE = Hours(GRACEFUL, shift=timedelta(minutes=30))
BEFORE = Hours(GRACEFUL, before_open=timedelta(minutes=10))


@pytest.mark.parametrize(
    ("hours", "at", "expected"),
    [
        pytest.param(EARLY, "07:49", CLOSED, id="shift: not yet"),
        pytest.param(EARLY, "07:50", GRACE, id="shift: grace moves along"),
        pytest.param(EARLY, "07:55", OPEN, id="shift: open before it opens"),
        pytest.param(EARLY, "17:39", OPEN, id="shift: until its grace before closing"),
        pytest.param(EARLY, "17:50", CLOSED, id="shift: closed before it closes"),
        pytest.param(LATE, "08:20", CLOSED, id="shift: later"),
        pytest.param(LATE, "18:15", OPEN, id="shift: later, and still open"),
        pytest.param(BEFORE, "07:49", CLOSED, id="before_open: not yet"),
        pytest.param(BEFORE, "07:50", OPEN, id="before_open: its first instant, without grace"),
        pytest.param(BEFORE, "07:59", OPEN, id="before_open: until it opens"),
        pytest.param(BEFORE, "08:00", CLOSED, id="before_open: over when it opens"),
        pytest.param(BEFORE, "12:00", CLOSED, id="before_open: not while it is open"),
        pytest.param(
            Hours(calendar("08:00-12:00 12:05-18:00"), before_open=timedelta(minutes=10)),
            "11:57",
            CLOSED,
            id="before_open: not while the opening before lasts",
        ),
        pytest.param(
            Hours(calendar("08:00-12:00 12:05-18:00"), before_open=timedelta(minutes=10)),
            "12:01",
            OPEN,
            id="before_open: in a break",
        ),
    ],
)
def test_hours_of_a_rule(hours: Hours, at: str, expected: Phase) -> None:
    """`shift` moves the whole opening; `before_open` is the stretch before it."""
    assert hours_state(hours, local(f"2026-03-02 {at}")) is expected


@pytest.mark.parametrize(
    ("during", "outside", "at", "expected"),
    [
        pytest.param(None, None, "12:00", OPEN, id="neither: always"),
        pytest.param(Hours(GRACEFUL), None, "12:00", OPEN, id="during, open"),
        pytest.param(Hours(GRACEFUL), None, "20:00", CLOSED, id="during, closed"),
        pytest.param(None, Hours(GRACEFUL), "12:00", CLOSED, id="outside, open"),
        pytest.param(None, Hours(GRACEFUL), "20:00", OPEN, id="outside, closed"),
        pytest.param(None, Hours(GRACEFUL), "08:01", GRACE, id="within grace neither decides"),
        pytest.param(Hours(GRACEFUL), Hours(calendar("12:00-13:00")), "12:30", CLOSED, id="both: outside says no"),
        pytest.param(Hours(GRACEFUL), Hours(calendar("12:00-13:00")), "13:30", OPEN, id="both say yes"),
        pytest.param(Hours(GRACEFUL), Hours(calendar("08:00-09:00")), "08:01", CLOSED, id="no beats grace"),
    ],
)
def test_watches(during: Hours | None, outside: Hours | None, at: str, expected: Phase) -> None:
    """A rule is active while `during` is open and `outside` is closed."""
    assert watches(during, outside, local(f"2026-03-02 {at}")) is expected


CLOSE: dict[str, tuple[Calendar, str, str | None]] = {
    "before opening": (OFFICE, "2026-03-02 07:59", None),
    "from the opening on": (OFFICE, "2026-03-02 08:00", "2026-03-02 18:00"),
    "the last minute": (OFFICE, "2026-03-02 17:59", "2026-03-02 18:00"),
    "at the close": (OFFICE, "2026-03-02 18:00", None),
    "grace is open": (GRACEFUL, "2026-03-02 17:55", "2026-03-02 18:00"),
    "a break is no close": (OFFICE, "2026-03-07 10:30", "2026-03-07 20:00"),
    "during a break": (OFFICE, "2026-03-07 15:00", None),
    "after a break": (OFFICE, "2026-03-07 16:00", "2026-03-07 20:00"),
    "a day that stays closed": (OFFICE, "2026-03-08 12:00", None),
    "a holiday": (FESTIVE, "2026-12-31 12:00", None),
    "a night, before midnight": (NIGHT, "2026-03-06 23:00", "2026-03-07 06:00"),
    "a night, after midnight": (NIGHT, "2026-03-07 05:00", "2026-03-07 06:00"),
    "round the clock": (calendar("00:00-24:00"), "2026-03-04 12:00", None),
    "round the clock until Friday, on Thursday": (
        calendar(*["00:00-24:00"] * 5, "", ""),
        "2026-03-05 12:00",
        None,
    ),
    "round the clock until Friday, on Friday": (
        calendar(*["00:00-24:00"] * 5, "", ""),
        "2026-03-06 12:00",
        "2026-03-07 00:00",
    ),
    "a day on which clocks change": (calendar("01:00-18:00"), "2026-03-29 02:00", "2026-03-29 18:00"),
}


@pytest.mark.parametrize(("of", "at", "expected"), CLOSE.values(), ids=CLOSE)
def test_close_of_business(of: Calendar, at: str, expected: str | None) -> None:
    """The end of today's opening while it is in progress, and nothing otherwise."""
    assert close_of_business(of, local(at)) == (local(expected) if expected is not None else None)
