"""Opening hours: open or closed at an instant, and when that changes; right on the days on which clocks change.

One sentence decides everything: **it is open whenever a clock on the wall there shows a time within a span.** So an
hour that the clock skips in spring is not open, and one that it shows twice in autumn is open twice. A span belongs
to the day on which it begins: `22:00-06:00` of a Friday is worked to its end on Saturday, whatever Saturday is.

Spans that touch are one opening (`22:00-24:00`, then `00:00-06:00`), so midnight is no closing and has no grace.
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
LONGEST_GRACE = timedelta(hours=24)
HORIZON = timedelta(days=400)
"""How far ahead `next_change` and `next_holiday` look."""

_DAY = timedelta(days=1)
_GREATEST_OFFSET = timedelta(hours=16)  # of any zone from UTC, ever: Manila had -15:56 until 1844
_REACH = 3  # days around an instant that say all about it: no span is longer than one day, no grace either


class Phase(StrEnum):
    """What a calendar, or what a rule watches, is at an instant."""

    OPEN = "open"
    GRACE = "grace"  # open, but so shortly after opening or before closing that nothing is decided
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Opening on one day, in minutes after its midnight as the wall clock counts them.

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
    """Whose public holidays count: ISO 3166 codes; `subdivision` "" is what holds in the whole country."""

    code: str
    subdivision: str = ""


@dataclass(frozen=True, slots=True)
class Calendar:
    """Opening hours under a name.

    `weekly` has seven entries, Monday first. On a holiday (a date, or a public holiday of a country) it does not
    open; `exceptions` say otherwise for single dates, with no spans for a closed day. `where` is the file and line.
    """

    name: str
    timezone: str
    weekly: tuple[tuple[Span, ...], ...]
    dates: frozenset[date] = frozenset()
    countries: tuple[Country, ...] = ()
    exceptions: tuple[tuple[date, tuple[Span, ...]], ...] = ()
    after_open: timedelta = timedelta(0)
    before_close: timedelta = timedelta(0)
    where: str = field(default="", compare=False)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


@dataclass(frozen=True, slots=True)
class Hours:
    """When a rule looks, as `during` or `outside` say it.

    `shift` moves every opening of the calendar, grace and all, as a whole: with -10m it is open from ten minutes before
    it opens until ten minutes before it closes. `before_open` takes instead the stretch before each opening, and no
    more: with 10m it is open from ten minutes before it opens until it opens, without grace.
    """

    calendar: Calendar
    shift: timedelta = timedelta(0)
    before_open: timedelta | None = None

    def __str__(self) -> str:
        return self.calendar.name


# One day.


def day_spans(calendar: Calendar, day: date) -> tuple[Span, ...]:
    """The spans that begin on this date of the calendar's zone, as written: exceptions first, then holidays."""
    for other, spans in calendar.exceptions:
        if other == day:
            return spans
    if holiday(calendar, day) is not None:
        return ()
    return calendar.weekly[day.weekday()]


def holiday(calendar: Calendar, day: date) -> str | None:
    """The name of the holiday that this date is, "" for a date without a name, or None for no holiday."""
    for country in calendar.countries:
        name = _public(country, day.year).get(day)
        if name is not None:
            return name
    return "" if day in calendar.dates else None


@lru_cache(maxsize=256)
def _public(country: Country, year: int) -> dict[date, str]:
    from holidays import country_holidays  # takes 0.15 s to import, and most calendars need none of it

    return dict(country_holidays(country.code, subdiv=country.subdivision or None, years=year))


def spans(calendar: Calendar, day: date) -> tuple[tuple[datetime, datetime], ...]:
    """The openings that begin on this date of the calendar's zone: (opens, closes), UTC, in order, without touching.

    Where the clock goes back within a span's end, one span can be two openings.
    """
    return _merged(_instants(calendar, day))


def _instants(calendar: Calendar, day: date) -> Iterator[tuple[datetime, datetime]]:
    midnight = datetime.combine(day, time())
    for span in day_spans(calendar, day):
        begin, end = midnight + timedelta(minutes=span.start), midnight + timedelta(minutes=span.end)
        # Between two changes of the clock the wall is a fixed distance from UTC, and a span is a plain interval.
        for since, until, offset in _offsets(calendar.timezone, begin.date(), end.date()):
            first, last = max(begin - offset, since), min(end - offset, until)
            if first < last:
                yield first.replace(tzinfo=UTC), last.replace(tzinfo=UTC)


@lru_cache(maxsize=2048)
def _offsets(timezone: str, first: date, last: date) -> tuple[tuple[datetime, datetime, timedelta], ...]:
    """(since, until, offset from UTC), naive UTC, that together hold every instant at which these dates are shown."""
    zone = ZoneInfo(timezone)

    def offset(at: datetime) -> timedelta:
        found = at.replace(tzinfo=UTC).astimezone(zone).utcoffset()
        assert found is not None
        return found

    begin = datetime.combine(first, time()) - _GREATEST_OFFSET
    end = datetime.combine(last, time()) + _DAY + _GREATEST_OFFSET
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
    found: list[tuple[datetime, datetime]] = []
    for begin, end in sorted(openings):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((begin, end))
    return tuple(found)


@lru_cache(maxsize=1024)
def _openings(calendar: Calendar, first: date, days: int) -> tuple[tuple[datetime, datetime], ...]:
    """The openings that begin on these dates; those that touch are one."""
    return _merged(each for ahead in range(days) for each in _instants(calendar, first + ahead * _DAY))


def _around(calendar: Calendar, at: datetime) -> tuple[tuple[datetime, datetime], ...]:
    """The openings near an instant. One that has begun or ends further away than a grace lasts may be cut there."""
    day = at.astimezone(calendar.zone).date()
    return _openings(calendar, day - _REACH * _DAY, 2 * _REACH + 1)


# An instant.


def state(calendar: Calendar, at: datetime) -> Phase:
    """Open, closed, or open within grace. An opening includes its first instant and not its last."""
    for begin, end in _around(calendar, at):
        if begin <= at < end:
            settled = begin + calendar.after_open <= at < end - calendar.before_close
            return Phase.OPEN if settled else Phase.GRACE
    return Phase.CLOSED


def hours_state(hours: Hours, at: datetime) -> Phase:
    """The same of what `during` names, moved as it says."""
    if hours.before_open is None:
        return state(hours.calendar, at - hours.shift)
    if state(hours.calendar, at) is not Phase.CLOSED:
        return Phase.CLOSED
    soon = any(at < begin <= at + hours.before_open for begin, _ in _around(hours.calendar, at))
    return Phase.OPEN if soon else Phase.CLOSED


_INVERSE = {Phase.OPEN: Phase.CLOSED, Phase.GRACE: Phase.GRACE, Phase.CLOSED: Phase.OPEN}


def watches(during: Hours | None, outside: Hours | None, at: datetime) -> Phase:
    """Whether a rule looks: it does while `during` is open and `outside` is closed.

    CLOSED where either says no, else GRACE where either is within its grace: then nothing is decided.
    """
    phases = {Phase.OPEN}
    if during is not None:
        phases.add(hours_state(during, at))
    if outside is not None:
        phases.add(_INVERSE[hours_state(outside, at)])
    return next(phase for phase in (Phase.CLOSED, Phase.GRACE, Phase.OPEN) if phase in phases)


def next_change(calendar: Calendar, at: datetime) -> datetime | None:
    """When it next opens or closes, later than `at`; grace is no change. None: not within HORIZON."""
    day = at.astimezone(calendar.zone).date()
    for ahead in (_REACH, 14, HORIZON.days):
        openings = _openings(calendar, day - _DAY, ahead + 2)
        known_until = at + (ahead - 1) * _DAY  # what ends later may go on: the day after was not looked at
        moments = (moment for opening in openings for moment in opening if moment > at)
        found = next(moments, None)
        if found is not None and found < known_until:
            return found
    return None


def next_holiday(calendar: Calendar, at: datetime) -> tuple[date, str] | None:
    """The first holiday after today, of the calendar's zone, on which it would have opened; with its name or ""."""
    today = at.astimezone(calendar.zone).date()
    for ahead in range(1, HORIZON.days):
        day = today + ahead * _DAY
        name = holiday(calendar, day)
        if name is not None and calendar.weekly[day.weekday()] and not day_spans(calendar, day):
            return day, name
    return None
