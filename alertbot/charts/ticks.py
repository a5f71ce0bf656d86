"""The ticks of a chart: round values and round times of day, with their labels. PURE."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, tzinfo

from alertbot.rules.catalogue import ValueType

MAX_TICKS = 6
_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)
_MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1440, 2880, 10_080)


def value_ticks(low: float, high: float, kind: ValueType) -> list[float]:
    """Up to 7 round values from `low` to at least `high`: whole minutes for durations, whole numbers for counts."""
    span = (high - low) or span_of_zero(kind)
    if kind is ValueType.DURATION:
        steps = [seconds * 1000.0 for seconds in _SECONDS]
        step = next((each for each in steps if span / each <= MAX_TICKS), steps[-1] * math.ceil(span / steps[-1] / 6))
    else:
        step = 10.0 ** math.floor(math.log10(span / MAX_TICKS))
        step = next(step * factor for factor in (1, 2, 5, 10) if span / (step * factor) <= MAX_TICKS)
        step = max(step, 1.0) if kind is ValueType.COUNT else step
    first = math.floor(low / step)
    return [round((first + place) * step, 9) for place in range(math.ceil(high / step - 1e-9) - first + 1)]


def time_ticks(begin: float, end: float, zone: tzinfo, *, most: int = MAX_TICKS) -> list[tuple[float, str]]:
    """Round local times of day between two times (in seconds since 1970), with labels; at most `most` + 1."""
    minutes = next((each for each in _MINUTES if (end - begin) / 60 / each <= most), _MINUTES[-1])
    local = datetime.fromtimestamp(begin, UTC).astimezone(zone)
    wall = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    last = datetime.fromtimestamp(end, UTC).astimezone(zone)
    found: list[tuple[float, str]] = []
    # Steps are in local time, so that ticks are at full hours also on the days on which clocks change.
    while wall <= last.replace(tzinfo=None) + timedelta(hours=2):
        at = wall.replace(tzinfo=zone).timestamp()
        is_there = datetime.fromtimestamp(at, UTC).astimezone(zone).replace(tzinfo=None) == wall
        if begin <= at <= end and is_there:
            midnight = wall.hour == wall.minute == 0 and end - begin > 6 * 3600
            found.append((at, wall.strftime("%d %b" if minutes >= 1440 or midnight else "%H:%M")))
        wall += timedelta(minutes=minutes)
    return found


def span_of_zero(kind: ValueType) -> float:
    """How far the axis of values reaches, in column units, where all of them are the same."""
    return 1000.0 if kind is ValueType.DURATION else 0.01 if kind is ValueType.RATIO else 1.0
