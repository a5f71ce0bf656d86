"""From and until when: `2h`, `until tomorrow 8:00`, `from 22:00 until 06:00`, in the asker's time zone.

Times of day are of the wall clock. One that the clock skips in spring is the moment at which it is set forward; of one
that it shows twice in autumn, the first that is still to come is meant. A duration is real time: `2h` is two hours also
while clocks change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from alertbot.commands.wording import clock
from alertbot.rules.units import MAX_DURATION, parse_duration, write_duration
from alertbot.rules.words import nearest

MAX_SPAN = timedelta(days=30)
"""A longer one needs the word `long`, since most of them are typing errors."""
WRITE = "write something like 2h, until 18:00, until tomorrow 8:00, from 22:00 until 06:00 or from tomorrow 8:00 for 2h"

QUOTES = " Names with spaces need quotes."
"""The end of a sentence about a word that may be part of a name; not for a form, where only a time is typed."""

_DAY = timedelta(days=1)
_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_KEYWORDS = ("until", "from", "for")
_NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)?")
_LOOKS_LIKE_A_DURATION = re.compile(r"[0-9]+(?:[.,][0-9]+)? *([A-Za-z]+)")
_HALF_DAY = re.compile(r"(0?[1-9]|1[0-2])(?:[:.]([0-5][0-9]))?(am|pm)", re.IGNORECASE)
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


@dataclass(frozen=True)
class Span:
    """A time from `starts_at` until before `ends_at`, aware UTC. `later`: it does not start at once."""

    starts_at: datetime
    ends_at: datetime
    later: bool = False


def parse_span(words: Sequence[str], now: datetime, timezone: str) -> tuple[Span, list[str]]:
    """The time that the first of the words name, and the words after it, which are the reason.

    `long` as the first or last of these is taken away where the time is longer than MAX_SPAN, or it is the only one.
    Raises ValueError with a sentence that says what to write: not a time, two of them, in the past, or longer than
    MAX_SPAN without `long`.
    """
    reader = _Reader(words, now, timezone)
    if not words:
        raise ValueError(f"For how long? {_capital(WRITE)}.")
    if reader.takes("from"):
        starts_at = reader.moment("from", now)
        if reader.takes("until"):
            ends_at = reader.moment("until", starts_at, starts=True)
        elif reader.takes("for"):
            ends_at = starts_at + reader.duration()
        else:
            raise ValueError("From when until when? Write something like from 22:00 until 06:00, or from 22:00 for 8h.")
        span = Span(starts_at, ends_at, later=starts_at > now)
    else:
        span = Span(now, reader.end(now))
    if span.ends_at <= span.starts_at:
        raise ValueError(f"It would end before it starts: {WRITE}.")
    rest = _long(span.ends_at - span.starts_at, reader.rest())
    reader.refuse_another(rest)
    return span, rest


def parse_later(
    words: Sequence[str], starts_at: datetime, ends_at: datetime, now: datetime, timezone: str
) -> tuple[datetime, list[str]]:
    """A later end for what lasts from `starts_at` until `ends_at`: `2h` more, or `until 18:00`; and the words after it.

    Raises ValueError as `parse_span`, and where it is no later end.
    """
    reader = _Reader(words, now, timezone)
    if not words:
        raise ValueError("For how much longer? Write something like 2h, or until 18:00.")
    if words[0].casefold() == "from":
        raise ValueError("Only its end can be changed: write something like 2h, or until 18:00.")
    later = reader.end(now, ends_at)
    if later <= ends_at:
        until = clock(ends_at, timezone, now)
        raise ValueError(f"It already lasts until {until}: write a later time. unsilence ends it now.")
    return later, _long(later - starts_at, reader.rest())


def _long(lasts: timedelta, rest: list[str]) -> list[str]:
    if lasts <= MAX_SPAN:
        return rest if [word.casefold() for word in rest] != ["long"] else []
    for at in (0, -1):
        if rest and rest[at].casefold() == "long":
            del rest[at]
            return rest
    days = f"{lasts / _DAY:.0f} days"
    raise ValueError(f"That is {days}, more than {MAX_SPAN.days}: if you mean it, append long.")


class _Reader:
    """Reads words from left to right."""

    def __init__(self, words: Sequence[str], now: datetime, timezone: str) -> None:
        self._words, self._at = list(words), 0
        self._now, self._timezone, self._zone = now, timezone, ZoneInfo(timezone)

    def rest(self) -> list[str]:
        return self._words[self._at :]

    def refuse_another(self, rest: Sequence[str]) -> None:
        """Raise ValueError if what is left begins with a time too: `2h 15m`, `2h until 18:00`. Only one is meant."""
        first, second = (*rest, "", "")[:2]
        taken = self._words[self._at - 1]
        if _is_duration(first):
            both = f"{taken}{first}"
            hint = f"write {both}, in one word" if _is_duration(taken) and _is_duration(both) else "write one of them"
            raise ValueError(f"“{taken} {first}” names two times: {hint}.")
        if first.casefold() in _KEYWORDS and (
            _is_duration(second) or _TIME.fullmatch(second) or _day(second, date.min) is not None
        ):
            raise ValueError(f"“{taken} {first} {second}” names two times: write one of them.")

    def takes(self, keyword: str) -> bool:
        """Whether this word is next; it is taken then."""
        taken = self._next().casefold() == keyword
        self._at += taken
        return taken

    def end(self, now: datetime, since: datetime | None = None) -> datetime:
        """`2h` from `since`, `for 2h`, or `until 18:00`."""
        if self.takes("until"):
            return self.moment("until", now)
        self.takes("for")
        return (since or now) + self.duration()

    def duration(self) -> timedelta:
        word = self._next()
        if not word:
            raise ValueError(f"For how long? {_capital(WRITE)}.")
        if _NUMBER.fullmatch(word):
            unit = self._words[self._at + 1][:1].casefold() if self._at + 1 < len(self._words) else ""
            if unit in _UNITS and self._words[self._at + 1].casefold().rstrip("s") in _UNITS[unit]:
                raise ValueError(f"“{word} {self._words[self._at + 1]}”: write {word}{unit}, in one word.")
            raise ValueError(f"“{word}” has no unit: write {word}h for hours, or {word}m for minutes.")
        try:
            length = parse_duration(word.casefold())
        except ValueError as error:
            raise ValueError(self._no_duration(word, str(error))) from None
        if length <= timedelta(0):
            raise ValueError(f"“{word}” is a duration of zero: {WRITE}.")
        self._at += 1
        return length

    def _no_duration(self, word: str, error: str) -> str:
        if "longer than" in error:
            return f"“{word}” is longer than ten years."
        if _TIME.fullmatch(word):
            return f"“{word}” is a time of day: write until {word}."
        if (parts := _LOOKS_LIKE_A_DURATION.fullmatch(word)) and (unit := parts[1][0].casefold()) in _UNITS:
            number = word[: -len(parts[1])].strip().replace(",", ".")
            return f"“{word}” is not a duration: write {number}{unit}."
        if _day(word, date.min) is not None:
            return f"“{word}”: write until {word} and a time of day, such as until {word} 8:00."
        if near := nearest(word, _KEYWORDS, cutoff=0.7):
            return f"“{word}” is not a duration (did you mean {near[0]}?): {WRITE}."
        return f"“{word}” is not a duration: {WRITE}.{QUOTES}"

    def moment(self, keyword: str, after: datetime, *, starts: bool = False) -> datetime:
        """A time of day, with or without a day before it, that is later than `after` (for `from`: not earlier).

        `starts`: `after` is not now but a start, so a time without a day is the first one after it.
        """
        word = self._next()
        today = self._now.astimezone(self._zone).date()
        days = _day(word, today)
        if days is not None:
            self._at += 1
        at = self._clock_time(keyword, word if days is not None else "")
        shown = f"{word} {at:%H:%M}" if days is not None else f"{at:%H:%M}"
        not_before = keyword == "from"
        if days is None and starts:
            first = after.astimezone(self._zone).date()
            days = (first, first + _DAY)
        for day in days or (today,):
            for found in _moments(day, at, self._zone):
                if found > after or (not_before and found == after):
                    return found
        if starts:
            raise ValueError(f"{shown} is before the start: {WRITE}.")
        if days is not None and (len(days) > 1 or days[0] != today):
            raise ValueError(f"{shown} is in the past: {WRITE}.")
        is_now = clock(self._now, self._timezone, self._now)
        raise ValueError(f"{shown} has already passed (it is {is_now}): write {keyword} tomorrow {at:%H:%M}.")

    def _clock_time(self, keyword: str, day: str) -> time:
        word = self._next()
        parts = _TIME.fullmatch(word)
        if parts is None:
            before = f"{keyword} {day} " if day else f"{keyword} "
            if word.casefold() == "yesterday":
                raise ValueError(f"yesterday is in the past: {WRITE}.")
            if half := _HALF_DAY.fullmatch(word):
                hour = int(half[1]) % 12 + 12 * (half[3].casefold() == "pm")
                raise ValueError(f"“{word}” is not a time of day: write {before}{hour}:{half[2] or '00'}.")
            if not word:
                raise ValueError(f"{_capital(keyword)} when? Write a time of day, such as {before}18:00.")
            if not day and (near := nearest(word, ("today", "tomorrow", *_WEEKDAYS), cutoff=0.7)):
                raise ValueError(f"“{word}” is not a day (did you mean {near[0]}?): write {keyword} {near[0]} 8:00.")
            hour = int(word) if word.isascii() and word.isdigit() and int(word) < 24 else 18
            raise ValueError(f"“{word}” is not a time of day: write {before}{hour}:00.")
        self._at += 1
        return time(int(parts[1]), int(parts[2]))

    def _next(self) -> str:
        return self._words[self._at] if self._at < len(self._words) else ""


def _is_duration(word: str) -> bool:
    try:
        return not _NUMBER.fullmatch(word) and parse_duration(word.casefold()) > timedelta(0)
    except ValueError:
        return False


def _day(word: str, today: date) -> tuple[date, ...] | None:
    """The dates that a word can mean, the nearest first; None where it means no day."""
    name = word.casefold()
    if name == "today":
        return (today,)
    if name == "tomorrow":
        return (min(today, date.max - _DAY) + _DAY,)
    for number, weekday in enumerate(_WEEKDAYS):
        if name in (weekday, weekday[:3]):
            ahead = today + _DAY * ((number - today.weekday()) % 7)
            return ahead, ahead + 7 * _DAY
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", word):
        return None
    try:
        day = date.fromisoformat(word)
    except ValueError:
        raise ValueError(f"{word} is not a date: write one such as 2026-12-24.") from None
    if abs(day.year - today.year) > MAX_DURATION.days // 365 and today != date.min:
        raise ValueError(f"{word} is more than ten years away.")
    return (day,)


def _moments(day: date, at: time, zone: ZoneInfo) -> Iterator[datetime]:
    """The moments at which the wall clock shows this time: one, or two; where it skips it, when it is set forward."""
    early, late = (datetime.combine(day, at, zone).replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    if early <= late:
        yield early
        if late > early:
            yield late
        return
    low, high = late, early  # of a skipped time, the two are an hour apart, around the moment of the change
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    yield high.replace(microsecond=0)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def span_in_words(span: timedelta) -> str:
    """How long a silence lasts or is left: `2h`, `1d 2h`, in whole minutes; `under 1m` for less."""
    minutes = timedelta(minutes=round(span / timedelta(minutes=1)))
    return write_duration(minutes) if minutes else "under 1m"
