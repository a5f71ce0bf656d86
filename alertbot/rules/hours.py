"""Opening hours: open or closed at an instant, and when that changes; right on the days on which clocks change.

One rule decides everything: **a calendar is open whenever the local wall clock shows a time within a time range.** So
an hour that the clock skips in spring is not open, and one that it shows twice in autumn is open twice. A time range
belongs to the day on which it begins: `22:00-06:00` on a Friday runs to its end on Saturday, whatever Saturday is.

Time ranges that touch are one opening (`22:00-24:00`, then `00:00-06:00`): midnight is not a closing and has no grace.
All instants are aware UTC. Public holidays come from the library `holidays`, by ISO 3166 country and subdivision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

MINUTES_OF_A_DAY = 24 * 60
MAX_GRACE = timedelta(hours=24)
HORIZON = timedelta(days=400)
"""How far ahead `next_change` and `next_holiday` look."""

_DAY = timedelta(days=1)
_MAX_OFFSET = timedelta(hours=16)  # the furthest any zone was ever from UTC: Manila had -15:56 until 1844
_REACH = 3  # days around an instant that decide its phase: neither a time range nor a grace exceeds a day


class Phase(StrEnum):
    """What a calendar, or the active time of a rule, is at an instant."""

    OPEN = "open"
    GRACE = "grace"  # open, but so close to opening or closing that nothing is decided
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, order=True)
class TimeRange:
    """Opening hours of one day, in minutes after midnight by the wall clock.

    `0 <= start < 1440` and `start < end <= start + 1440`: an `end` above 1440 is on the next day.
    """

    start: int
    end: int

    def __str__(self) -> str:
        return f"{_clock(self.start)}-{_clock(self.end)}"


def _clock(minute: int) -> str:
    hour, rest = divmod(minute if minute <= MINUTES_OF_A_DAY else minute - MINUTES_OF_A_DAY, 60)
    return f"{hour:02}:{rest:02}"


@dataclass(frozen=True, slots=True, order=True)
class Country:
    """Whose public holidays count: ISO 3166 codes; `subdivision` "" means the whole country."""

    code: str
    subdivision: str = ""


@dataclass(frozen=True, slots=True)
class Calendar:
    """Opening hours under a name.

    `weekly` has seven entries, Monday first. On a holiday (a date, or a public holiday of a country) it does not open;
    `exceptions` replace both for single dates, with no time ranges for a closed day. `where` is the file and line.
    """

    name: str
    timezone: str
    weekly: tuple[tuple[TimeRange, ...], ...]
    dates: frozenset[date] = frozenset()
    countries: tuple[Country, ...] = ()
    exceptions: tuple[tuple[date, tuple[TimeRange, ...]], ...] = ()
    after_open: timedelta = timedelta(0)
    before_close: timedelta = timedelta(0)
    where: str = field(default="", compare=False)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


@dataclass(frozen=True, slots=True)
class Hours:
    """When a rule is active, as `during` or `outside` state it.

    `shift` moves every opening of the calendar, grace and all, as a whole: with -10m it is open from ten minutes before
    it opens until ten minutes before it closes. `before_open` takes only the time before each opening instead: with
    10m it is open from ten minutes before it opens until it opens, without grace.
    """

    calendar: Calendar
    shift: timedelta = timedelta(0)
    before_open: timedelta | None = None

    def __str__(self) -> str:
        return self.calendar.name


# One day.


def day_ranges(calendar: Calendar, day: date) -> tuple[TimeRange, ...]:
    """The time ranges that begin on this date in the calendar's zone, as written: exceptions first, then holidays."""
    for other, ranges in calendar.exceptions:
        if other == day:
            return ranges
    if holiday(calendar, day) is not None:
        return ()
    return calendar.weekly[day.weekday()]


def holiday(calendar: Calendar, day: date) -> str | None:
    """The name of the holiday on this date, "" for a holiday without a name, or None for no holiday."""
    for country in calendar.countries:
        name = _public(country, day.year).get(day)
        if name is not None:
            return name
    return "" if day in calendar.dates else None


@lru_cache(maxsize=256)
def _public(country: Country, year: int) -> dict[date, str]:
    from holidays import country_holidays  # takes 0.15 s to import, and most calendars do not need it

    return dict(country_holidays(country.code, subdiv=country.subdivision or None, years=year))


def openings(calendar: Calendar, day: date) -> tuple[tuple[datetime, datetime], ...]:
    """The openings that begin on this date of the calendar's zone: (opens, closes), UTC, in order, without touching.

    Where the clock goes back over the end of a time range, one range can be two openings.
    """
    return _merged(_instants(calendar, day))


def _instants(calendar: Calendar, day: date) -> Iterator[tuple[datetime, datetime]]:
    midnight = datetime.combine(day, time())
    for hours in day_ranges(calendar, day):
        begin, end = midnight + timedelta(minutes=hours.start), midnight + timedelta(minutes=hours.end)
        # Between two clock changes the wall clock is a fixed offset from UTC, and a time range is a plain interval.
        for since, until, offset in _offsets(calendar.timezone, begin.date(), end.date()):
            first, last = max(begin - offset, since), min(end - offset, until)
            if first < last:
                yield first.replace(tzinfo=UTC), last.replace(tzinfo=UTC)


@lru_cache(maxsize=2048)
def _offsets(timezone: str, first: date, last: date) -> tuple[tuple[datetime, datetime, timedelta], ...]:
    """(since, until, offset from UTC), naive UTC: together they cover every instant at which these dates are shown."""
    zone = ZoneInfo(timezone)

    def offset(at: datetime) -> timedelta:
        from_utc = at.replace(tzinfo=UTC).astimezone(zone).utcoffset()
        assert from_utc is not None
        return from_utc

    begin = datetime.combine(first, time()) - _MAX_OFFSET
    end = datetime.combine(last, time()) + _DAY + _MAX_OFFSET
    pieces = []
    since, at, now = begin, begin, offset(begin)
    while at < end:
        later = at + timedelta(hours=1)
        then = offset(later)
        if then != now:
            changes = _end_of(now, at, later, offset)
            pieces.append((since, changes, now))
            since, now = changes, then
        at = later
    pieces.append((since, at, now))
    return tuple(pieces)


def _end_of(old: timedelta, before: datetime, after: datetime, offset: Callable[[datetime], timedelta]) -> datetime:
    """The second at which the clock leaves `old`, which it has at `before` and not at `after`."""
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=int((after - before).total_seconds()) // 2)
        before, after = (middle, after) if offset(middle) == old else (before, middle)
    return after


def _merged(openings: Iterable[tuple[datetime, datetime]]) -> tuple[tuple[datetime, datetime], ...]:
    merged: list[tuple[datetime, datetime]] = []
    for begin, end in sorted(openings):
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((begin, end))
    return tuple(merged)


@lru_cache(maxsize=1024)
def _openings(calendar: Calendar, first: date, days: int) -> tuple[tuple[datetime, datetime], ...]:
    """The openings that begin on these dates; those that touch are one."""
    return _merged(opening for ahead in range(days) for opening in _instants(calendar, first + ahead * _DAY))


def _around(calendar: Calendar, at: datetime) -> tuple[tuple[datetime, datetime], ...]:
    """The openings near an instant. One that reaches further than the longest grace may be cut off there."""
    day = at.astimezone(calendar.zone).date()
    return _openings(calendar, day - _REACH * _DAY, 2 * _REACH + 1)


# An instant.


def state(calendar: Calendar, at: datetime) -> Phase:
    """Open, closed, or open within grace. An opening includes its first instant and not its last."""
    for begin, end in _around(calendar, at):
        if begin <= at < end:
            outside_grace = begin + calendar.after_open <= at < end - calendar.before_close
            return Phase.OPEN if outside_grace else Phase.GRACE
    return Phase.CLOSED


def hours_state(hours: Hours, at: datetime) -> Phase:
    """The same for the calendar that `during` names, moved as it states."""
    if hours.before_open is None:
        return state(hours.calendar, at - hours.shift)
    if state(hours.calendar, at) is not Phase.CLOSED:
        return Phase.CLOSED
    soon = any(at < begin <= at + hours.before_open for begin, _ in _around(hours.calendar, at))
    return Phase.OPEN if soon else Phase.CLOSED


_INVERSE = {Phase.OPEN: Phase.CLOSED, Phase.GRACE: Phase.GRACE, Phase.CLOSED: Phase.OPEN}


def watches(during: Hours | None, outside: Hours | None, at: datetime) -> Phase:
    """Whether a rule is active: it is while `during` is open and `outside` is closed.

    CLOSED where either rules it out, else GRACE where either is within its grace: then nothing is decided.
    """
    phases = {Phase.OPEN}
    if during is not None:
        phases.add(hours_state(during, at))
    if outside is not None:
        phases.add(_INVERSE[hours_state(outside, at)])
    return next(phase for phase in (Phase.CLOSED, Phase.GRACE, Phase.OPEN) if phase in phases)


def next_change(calendar: Calendar, at: datetime) -> datetime | None:
    """When it next opens or closes, later than `at`; grace does not count. None: not within HORIZON."""
    day = at.astimezone(calendar.zone).date()
    for ahead in (_REACH, 14, HORIZON.days):
        openings = _openings(calendar, day - _DAY, ahead + 2)
        known_until = at + (ahead - 1) * _DAY  # what ends later may continue: the next day was not read
        change = next((instant for opening in openings for instant in opening if instant > at), None)
        if change is not None and change < known_until:
            return change
    return None


def close_of_business(calendar: Calendar, at: datetime) -> datetime | None:
    """The end of today's opening, which is in progress at `at`; of several openings today, the end of the last one.

    Today is the day on which the opening in progress began. None: it is closed, or does not close within a day.
    """
    openings = _around(calendar, at)
    for begin, end in openings:
        if begin <= at < end:
            today = begin.astimezone(calendar.zone).date()
            ends = (last for first, last in openings if first.astimezone(calendar.zone).date() == today)
            closes_at = max(ends)
            return closes_at if closes_at - at <= _DAY else None
    return None


def next_holiday(calendar: Calendar, at: datetime) -> tuple[date, str] | None:
    """The first holiday after today, in the calendar's zone, on which it would have opened; with its name or ""."""
    today = at.astimezone(calendar.zone).date()
    for ahead in range(1, HORIZON.days):
        day = today + ahead * _DAY
        name = holiday(calendar, day)
        if name is not None and calendar.weekly[day.weekday()] and not day_ranges(calendar, day):
            return day, name
    return None


def is_special(calendar: Calendar, at: datetime) -> bool:
    """Whether the day of an instant, in the calendar's zone, is a holiday, or closed by one of its exceptions."""
    day = at.astimezone(calendar.zone).date()
    return holiday(calendar, day) is not None or (day, ()) in calendar.exceptions
