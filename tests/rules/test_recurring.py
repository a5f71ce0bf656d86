"""Times that come every day or every week: how they are written, and when they come."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from alertbot.rules.recurring import Recurring, parse_recurring

HELSINKI = ZoneInfo("Europe/Helsinki")
WRITTEN = {
    "a day of the week": ("mon 08:00", Recurring(0, time(8))),
    "the last day": ("sun 23:59", Recurring(6, time(23, 59))),
    "every day": ("daily 08:00", Recurring(None, time(8))),
    "capitals": ("Mon 08:00", Recurring(0, time(8))),
    "one digit": ("daily 8:05", Recurring(None, time(8, 5))),
    "blanks": ("  fri   17:00 ", Recurring(4, time(17))),
}


@pytest.mark.parametrize(("text", "wanted"), WRITTEN.values(), ids=WRITTEN)
def test_written(text: str, wanted: Recurring) -> None:
    assert parse_recurring(text) == wanted


@pytest.mark.parametrize("text", ["", "mon", "08:00", "monday 08:00", "mon 24:00", "mon 08:60", "mon 8", "weekly 8:00"])
def test_refused(text: str) -> None:
    """What it is not, and how it is written."""
    with pytest.raises(ValueError, match=r"must be a day and a time, such as mon 08:00, or daily 08:00 \(days: mon,"):
        parse_recurring(text)


COMES = {
    # every, now in UTC, the last moment, and the one before it
    "weekly, just before": ("mon 08:00", "2026-03-02T05:59", "2026-02-23T06:00", "2026-02-16T06:00"),
    "weekly, at the moment": ("mon 08:00", "2026-03-02T06:00", "2026-03-02T06:00", "2026-02-23T06:00"),
    "weekly, on another day": ("mon 08:00", "2026-03-08T23:00", "2026-03-02T06:00", "2026-02-23T06:00"),
    "daily": ("daily 08:00", "2026-03-04T05:00", "2026-03-03T06:00", "2026-03-02T06:00"),
    "after midnight there, before it in UTC": ("tue 00:30", "2026-03-02T22:45", "2026-03-02T22:30", "2026-02-23T22:30"),
    "clocks were set forward meanwhile": ("mon 08:00", "2026-03-30T12:00", "2026-03-30T05:00", "2026-03-23T06:00"),
    "clocks were set back meanwhile": ("mon 08:00", "2026-10-26T12:00", "2026-10-26T06:00", "2026-10-19T05:00"),
    "a time that does not exist": ("daily 03:30", "2026-03-29T12:00", "2026-03-29T01:30", "2026-03-28T01:30"),
    "a time that comes twice: the first": ("daily 03:30", "2026-10-25T12:00", "2026-10-25T00:30", "2026-10-24T00:30"),
    "between the two": ("daily 03:30", "2026-10-25T01:00", "2026-10-25T00:30", "2026-10-24T00:30"),
}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(("every", "now", "last", "before"), COMES.values(), ids=COMES)
def test_when_it_comes(every: str, now: str, last: str, before: str) -> None:
    recurring = parse_recurring(every)
    assert recurring.last(utc(now), HELSINKI) == utc(last)
    assert recurring.before(utc(last), HELSINKI) == utc(before)


def test_once_a_day_over_a_year() -> None:
    """Asked every ten minutes, it comes once on each local day, whatever the clocks do."""
    recurring, moments = parse_recurring("daily 03:30"), []
    now = utc("2026-01-01T00:00")
    while now < utc("2027-01-01T00:00"):
        moment = recurring.last(now, HELSINKI)
        if not moments or moments[-1] != moment:
            moments.append(moment)
        now += timedelta(minutes=10)
    days = [moment.astimezone(HELSINKI).date() for moment in moments]
    assert len(days) == len(set(days)) == 366
