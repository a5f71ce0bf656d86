"""From and until when: every form, in several zones, on the days on which clocks change; and what cannot be meant."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from alertbot.commands.spans import parse_later, parse_span

HELSINKI = "Europe/Helsinki"  # 2026: forward on 29 March, 03:00 to 04:00; back on 25 October, 04:00 to 03:00
MONDAY = "2026-03-02 11:00"  # 09:00 UTC


def utc(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


SPANS = {
    # typed, now by the wall clock, zone, from (None: now), until, both in UTC
    "hours": ("2h", MONDAY, HELSINKI, None, "2026-03-02 11:00"),
    "hours and minutes": ("1h30m", MONDAY, HELSINKI, None, "2026-03-02 10:30"),
    "days": ("2d", MONDAY, HELSINKI, None, "2026-03-04 09:00"),
    "for": ("for 2h", MONDAY, HELSINKI, None, "2026-03-02 11:00"),
    "capitals": ("FOR 2H", MONDAY, HELSINKI, None, "2026-03-02 11:00"),
    "until a time of day": ("until 18:00", MONDAY, HELSINKI, None, "2026-03-02 16:00"),
    "until today": ("until today 18:00", MONDAY, HELSINKI, None, "2026-03-02 16:00"),
    "one digit": ("until tomorrow 8:00", MONDAY, HELSINKI, None, "2026-03-03 06:00"),
    "the zone of the asker": ("until 18:00", "2026-03-02 04:00", "America/New_York", None, "2026-03-02 23:00"),
    "their tomorrow": ("until tomorrow 8:00", "2026-03-01 23:30", "America/New_York", None, "2026-03-02 13:00"),
    "a zone with half an hour": ("until 18:00", "2026-03-02 14:30", "Asia/Kolkata", None, "2026-03-02 12:30"),
    "until a weekday": ("until fri 18:00", MONDAY, HELSINKI, None, "2026-03-06 16:00"),
    "today's weekday": ("until monday 18:00", MONDAY, HELSINKI, None, "2026-03-02 16:00"),
    "today's weekday, later in the day": ("until mon 9:00", MONDAY, HELSINKI, None, "2026-03-09 07:00"),
    "until a date": ("until 2026-03-20 8:00", MONDAY, HELSINKI, None, "2026-03-20 06:00"),
    "overnight": ("from 22:00 until 06:00", MONDAY, HELSINKI, "2026-03-02 20:00", "2026-03-03 04:00"),
    "overnight, said": ("from 22:00 until tomorrow 06:00", MONDAY, HELSINKI, "2026-03-02 20:00", "2026-03-03 04:00"),
    "within a day": ("from 13:00 until 15:00", MONDAY, HELSINKI, "2026-03-02 11:00", "2026-03-02 13:00"),
    "from tomorrow for": ("from tomorrow 8:00 for 2h", MONDAY, HELSINKI, "2026-03-03 06:00", "2026-03-03 08:00"),
    "from tomorrow until": ("from tomorrow 8:00 until 18:00", MONDAY, HELSINKI, "2026-03-03 06:00", "2026-03-03 16:00"),
    "from now on": ("from 11:00 for 1h", MONDAY, HELSINKI, None, "2026-03-02 10:00"),
    "thirty days": ("30d", MONDAY, HELSINKI, None, "2026-04-01 09:00"),
    "longer, and meant": ("60d long", MONDAY, HELSINKI, None, "2026-05-01 09:00"),
    # the clocks go forward
    "a duration is real time": ("4h", "2026-03-29 01:00", HELSINKI, None, "2026-03-29 03:00"),
    "a night that is an hour shorter": (
        "from 22:00 until 06:00",
        "2026-03-28 12:00",
        HELSINKI,
        "2026-03-28 20:00",
        "2026-03-29 03:00",
    ),
    "a time that the clock skips": ("until 03:30", "2026-03-29 01:00", HELSINKI, None, "2026-03-29 01:00"),
    "tomorrow, skipped": ("until tomorrow 03:30", "2026-03-28 12:00", HELSINKI, None, "2026-03-29 01:00"),
    "from a time that is skipped": (
        "from tomorrow 03:30 for 1h",
        "2026-03-28 12:00",
        HELSINKI,
        "2026-03-29 01:00",
        "2026-03-29 02:00",
    ),
    "skipped in New York": ("until 02:30", "2026-03-08 01:00", "America/New_York", None, "2026-03-08 07:00"),
    # the clocks go back
    "a night that is an hour longer": (
        "from 22:00 until 06:00",
        "2026-10-24 12:00",
        HELSINKI,
        "2026-10-24 19:00",
        "2026-10-25 04:00",
    ),
    "a time that comes twice": ("until 03:30", "2026-10-25 01:00", HELSINKI, None, "2026-10-25 00:30"),
    "after the first of them": ("until 03:30", "2026-10-25 03:45", HELSINKI, None, "2026-10-25 01:30"),
}


@pytest.mark.parametrize(("text", "now", "zone", "starts", "ends"), SPANS.values(), ids=SPANS)
def test_spans(text: str, now: str, zone: str, starts: str | None, ends: str) -> None:
    at = utc(now, zone)
    span, rest = parse_span([*text.split(), "a", "reason"], at, zone)
    assert (span.starts_at, span.ends_at) == (utc(starts) if starts else at, utc(ends))
    assert span.later is (starts is not None)
    assert rest == ["a", "reason"]


WRITE = "write something like 2h, until 18:00"
WRONG = {
    "nothing": ("", "For how long? Write something like 2h, until 18:00"),
    "no unit": ("2", "“2” has no unit: write 2h for hours, or 2m for minutes."),
    "the unit apart": ("2 hours", "“2 hours”: write 2h, in one word."),
    "minutes apart": ("30 min", "“30 min”: write 30m, in one word."),
    "a longer unit": ("2hours", "“2hours” is not a duration: write 2h."),
    "no time": ("0h", f"“0h” is a duration of zero: {WRITE}"),
    "longer than ten years": ("99999d", "“99999d” is longer than ten years."),
    "a time without until": ("18:00", "“18:00” is a time of day: write until 18:00."),
    "a day without until": ("tomorrow", "“tomorrow”: write until tomorrow and a time of day"),
    "misspelt until": ("untill 18:00", "“untill” is not a duration (did you mean until?)"),
    "a name without quotes": ("EU 2h", "Names with spaces need quotes."),
    "already past": ("until 10:00", "10:00 has already passed (it is 11:00 EET): write until tomorrow 10:00."),
    "already past, today": (
        "until today 10:00",
        "today 10:00 has already passed (it is 11:00 EET): write until tomorrow 10:00.",
    ),
    "this very minute": ("until 11:00", "11:00 has already passed (it is 11:00 EET): write until tomorrow 11:00."),
    "a start that is past": (
        "from 10:00 until 12:00",
        "10:00 has already passed (it is 11:00 EET): write from tomorrow 10:00.",
    ),
    "a date that is past": ("until 2026-03-01 8:00", "2026-03-01 08:00 is in the past"),
    "no such day": ("until 2026-02-30 8:00", "2026-02-30 is not a date"),
    "far away": ("until 9999-12-31 23:00", "9999-12-31 is more than ten years away."),
    "ends before it starts": ("from tomorrow 8:00 until today 18:00", "today 18:00 is before the start"),
    "until when": ("until", "Until when? Write a time of day, such as until 18:00."),
    "a day without a time": ("until tomorrow", "Until when? Write a time of day, such as until tomorrow 18:00."),
    "an hour alone": ("until 8", "“8” is not a time of day: write until 8:00."),
    "an hour alone, tomorrow": ("until tomorrow 8", "“8” is not a time of day: write until tomorrow 8:00."),
    "25:00": ("until 25:00", "“25:00” is not a time of day: write until 18:00."),
    "misspelt day": (
        "until tomorow 8:00",
        "“tomorow” is not a day (did you mean tomorrow?): write until tomorrow 8:00.",
    ),
    "from without an end": (
        "from 22:00",
        "From when until when? Write something like from 22:00 until 06:00, or from 22:00 for 8h.",
    ),
    "from for nothing": ("from 22:00 for", "For how long?"),
    "two durations": ("2h 15m", "“2h 15m” names two times: write 2h15m, in one word."),
    "a duration and a time": ("2h until 18:00 upgrade", "“2h until 18:00” names two times: write one of them."),
    "a duration and a day": ("2h until tomorrow 8:00", "“2h until tomorrow” names two times: write one of them."),
    "two ends": ("until 18:00 2h", "“18:00 2h” names two times: write one of them."),
    "a comma": ("1,5h", "“1,5h” is not a duration: write 1.5h."),
    "yesterday": ("from yesterday 8:00 until 9:00", "yesterday is in the past: write something like 2h"),
    "in the morning": ("until 8am", "“8am” is not a time of day: write until 8:00."),
    "in the evening": ("until tomorrow 6:30PM", "“6:30PM” is not a time of day: write until tomorrow 18:30."),
    "longer than 30 days": ("31d", "That is 31 days, more than 30: if you mean it, append long."),
    "a date in two months": ("until 2026-05-01 8:00", "That is 60 days, more than 30: if you mean it, append long."),
}


@pytest.mark.parametrize(("text", "says"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_meant(text: str, says: str) -> None:
    """One clear sentence, with what to write."""
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_span(text.split(), utc(MONDAY, HELSINKI), HELSINKI)


REASONS = {
    "none": ("2h", []),
    "a word of the reason": ("2h long maintenance", ["long", "maintenance"]),
    "long first": ("60d long maintenance", ["maintenance"]),
    "long last": ("60d maintenance long", ["maintenance"]),
    "alone": ("60d LONG", []),
    "alone and not needed": ("2h long", []),
    "no second time": ("2h until Bob is back", ["until", "Bob", "is", "back"]),
    "a number": ("2h 2 phones", ["2", "phones"]),
    "for": ("2h for tests", ["for", "tests"]),
}


@pytest.mark.parametrize(("text", "rest"), REASONS.values(), ids=REASONS)
def test_long_is_a_word_like_any_other_where_it_is_not_needed(text: str, rest: list[str]) -> None:
    assert parse_span(text.split(), utc(MONDAY, HELSINKI), HELSINKI)[1] == rest


LATER = {
    "by a duration": ("1h", "2026-03-02 11:00"),
    "until": ("until 18:00", "2026-03-02 16:00"),
    "for": ("for 1h", "2026-03-02 11:00"),
}


@pytest.mark.parametrize(("text", "ends"), LATER.values(), ids=LATER)
def test_a_later_end(text: str, ends: str) -> None:
    """A duration is added to the end; what lasts until 12:00 lasts an hour longer."""
    now = utc(MONDAY, HELSINKI)
    assert parse_later(text.split(), now, now + timedelta(hours=1), now, HELSINKI) == (utc(ends), [])


NOT_LATER = {
    "earlier": ("until 11:30", "It already lasts until 12:00 EET: write a later time."),
    "a start": ("from 12:00 until 13:00", "Only its end can be changed"),
    "nothing": ("", "For how much longer?"),
    "no unit": ("1", "“1” has no unit"),
    "too long in all": ("30d", "That is 30 days, more than 30: if you mean it, append long."),
}


@pytest.mark.parametrize(("text", "says"), NOT_LATER.values(), ids=NOT_LATER)
def test_no_later_end(text: str, says: str) -> None:
    now = utc(MONDAY, HELSINKI)
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_later(text.split(), now, now + timedelta(hours=1), now, HELSINKI)
