"""Ticks: round values, and full hours of the wall clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from alertbot.charts.ticks import time_ticks, value_ticks
from alertbot.rules.catalogue import ValueType

VALUE_TICKS = {
    "whole minutes": (0.0, 150_000.0, ValueType.DURATION, [0.0, 30_000.0, 60_000.0, 90_000.0, 120_000.0, 150_000.0]),
    "hours": (0.0, 3.9 * 3_600_000, ValueType.DURATION, [h * 3_600_000.0 for h in range(5)]),
    "whole counts": (0.0, 2.0, ValueType.COUNT, [0.0, 1.0, 2.0]),
    "tens": (0.0, 42.0, ValueType.COUNT, [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]),
    "percentages": (0.0, 1.0, ValueType.RATIO, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    "below zero": (-4.0, 4.0, ValueType.NUMBER, [-4.0, -2.0, 0.0, 2.0, 4.0]),
}


@pytest.mark.parametrize(("low", "high", "kind", "expected"), VALUE_TICKS.values(), ids=VALUE_TICKS)
def test_value_ticks(low: float, high: float, kind: ValueType, expected: list[float]) -> None:
    assert value_ticks(low, high, kind) == pytest.approx(expected)


def ticks(begin: datetime, length: timedelta, zone: str) -> list[str]:
    return [text for _, text in time_ticks(begin.timestamp(), (begin + length).timestamp(), ZoneInfo(zone))]


TIME_TICKS = {
    "an hour in the reader's zone": (
        datetime(2026, 3, 2, 9, 5, tzinfo=UTC),
        timedelta(hours=1),
        "Europe/Helsinki",
        "11:10 11:20 11:30 11:40 11:50 12:00",
    ),
    "a zone of half an hour": (
        datetime(2026, 3, 2, 9, tzinfo=UTC),
        timedelta(hours=6),
        "Asia/Kolkata",
        "15:00 16:00 17:00 18:00 19:00 20:00",
    ),
    "an hour that is not there": (
        datetime(2026, 3, 29, 0, tzinfo=UTC),
        timedelta(hours=3),
        "Europe/Helsinki",
        "02:00 02:30 04:00 04:30 05:00 05:30 06:00",
    ),
    "over midnight": (
        datetime(2026, 3, 2, 20, tzinfo=UTC),
        timedelta(hours=8),
        "Europe/Helsinki",
        "22:00 03-Mar 02:00 04:00 06:00",
    ),
    "days": (datetime(2026, 3, 1, 12, tzinfo=UTC), timedelta(days=4), "UTC", "02-Mar 03-Mar 04-Mar 05-Mar"),
}


@pytest.mark.parametrize(("begin", "length", "zone", "expected"), TIME_TICKS.values(), ids=TIME_TICKS)
def test_time_ticks(begin: datetime, length: timedelta, zone: str, expected: str) -> None:
    """Full hours of the wall clock, also on the days on which clocks change."""
    assert ticks(begin, length, zone) == [text.replace("-", " ") for text in expected.split()]
