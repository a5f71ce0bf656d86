"""Values as rule files write them (`1m30s`, `85%`) and as cards show them ("1m 35s", "82.5%")."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

from alertbot.rules.catalogue import ValueType

NO_DATA = "no data"
WRITE_A_DURATION = "write 250ms, 120s, 1m30s or 2h"
MAX_DURATION = timedelta(days=3653)
"""Ten years: no duration that is written anywhere is longer. A longer one would leave the calendar beside a date."""
TOO_LONG = "longer than ten years"

# Milliseconds of each unit, largest first: the order in which they are written. Weeks are read, and written as days.
_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_READ_UNITS = {"w": 7 * _UNITS["d"], **_UNITS}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[wdhms])")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def parse_number(text: str) -> tuple[float, ValueType] | None:
    """A literal number with its unit: `120s` (in ms), `85%` (0.85) or `3`; None for anything else.

    None too for a number that is too large for a float.
    """
    if _NUMBER.fullmatch(text):
        return _finite(Decimal(text), ValueType.NUMBER)
    if text.endswith("%") and _NUMBER.fullmatch(text[:-1]):
        return _finite(Decimal(text[:-1]) / 100, ValueType.RATIO)
    parts = _PART.findall(text)
    units = [unit for _, unit in parts]
    in_order = units == [unit for unit in _READ_UNITS if unit in units]  # each at most once, largest first
    if not parts or not in_order or "".join(amount + unit for amount, unit in parts) != text:
        return None
    return _finite(sum((Decimal(amount) * _READ_UNITS[unit] for amount, unit in parts), Decimal(0)), ValueType.DURATION)


def _finite(value: Decimal, kind: ValueType) -> tuple[float, ValueType] | None:
    number = float(value)
    return (number, kind) if math.isfinite(number) else None


def parse_duration(text: str) -> timedelta:
    """`120s`, `1m30s`, `250ms`, `2h`, `7d`, `4w`.

    Raises ValueError, with what to write, when it is not one or is longer than MAX_DURATION.
    """
    number = parse_number(text.strip())
    if number is None or number[1] is not ValueType.DURATION:
        raise ValueError(f"{text.strip()!r} is not a duration: {WRITE_A_DURATION}")
    if too_long(*number):
        raise ValueError(f"{text.strip()!r} is {TOO_LONG}: write at most {write_duration(MAX_DURATION)}")
    return timedelta(milliseconds=number[0])


def too_long(value: float, kind: ValueType) -> bool:
    """Whether it is a duration longer than MAX_DURATION."""
    return kind is ValueType.DURATION and abs(value) > MAX_DURATION / timedelta(milliseconds=1)


def write_number(value: float, kind: ValueType) -> str:
    """A number as a condition writes it, exactly: `parse_number` returns the same value and type."""
    if kind is ValueType.RATIO:
        return f"{_plain(Decimal(repr(value)) * 100)}%"
    if kind is ValueType.DURATION:
        return _write_milliseconds(value)
    return _plain(Decimal(repr(value)))


def write_duration(duration: timedelta) -> str:
    """A duration as rule files write it: `1m30s`."""
    return _write_milliseconds(duration / timedelta(milliseconds=1))


def _write_milliseconds(value: float) -> str:
    sign, rest = ("-" if value < 0 else ""), abs(value)
    if rest != int(rest):
        return f"{sign}{_plain(Decimal(repr(rest)))}ms"
    parts, left = [], int(rest)
    for unit, size in _UNITS.items():
        amount, left = divmod(left, size)
        if amount:
            parts.append(f"{amount}{unit}")
    return sign + ("".join(parts) or "0s")


def _plain(number: Decimal) -> str:
    """Without an exponent and without trailing zeros after the point."""
    text = f"{number:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def format_value(value: float | str | None, kind: ValueType, zone: tzinfo = UTC) -> str:
    """A value in column units (ms, 0 to 1, epoch ms) for display: "1m 35s", "82.5%", "14", "2026-01-05 08:01:02 UTC".

    None and NaN are "no data". Rounded: a duration shows its two largest units, a ratio one digit after the point, a
    number two. `zone` is for timestamps only.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NO_DATA
    if isinstance(value, str):
        return value
    if kind is ValueType.DURATION:
        return _format_milliseconds(float(value))
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if kind is ValueType.RATIO:
        return f"{_rounded(value * 100, 1)}%"
    if kind is ValueType.TIMESTAMP:
        return _format_timestamp(value, zone)
    return _rounded(value, 2)


def _format_timestamp(value: float, zone: tzinfo) -> str:
    try:
        moment = datetime.fromtimestamp(value / 1000, UTC).astimezone(zone)
    except (OverflowError, OSError, ValueError):
        return f"{_rounded(value, 0)} ms since 1970"  # outside the range of a calendar
    return f"{moment:%Y-%m-%d %H:%M:%S %Z}".strip()


def format_duration(duration: timedelta) -> str:
    """A duration for display: "1m 35s"; rounded as in `format_value`."""
    return _format_milliseconds(duration / timedelta(milliseconds=1))


def _format_milliseconds(value: float) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    sign, rest = ("-" if value < 0 else ""), abs(value)
    if rest < 1_000:
        whole = round(rest)
        if whole == 0:
            return "0s"
        if whole < 1_000:
            return f"{sign}{whole}ms"
    if rest < 10_000:
        seconds = _rounded(rest / 1_000, 1)
        if seconds != "10":
            return f"{sign}{seconds}s"
    left = round(rest / 1_000)
    parts = []
    for unit in ("d", "h", "m", "s"):
        amount, left = divmod(left, _UNITS[unit] // 1_000)
        parts.append((amount, unit))
    first = next(index for index, (amount, _) in enumerate(parts) if amount)
    return sign + " ".join(f"{amount}{unit}" for amount, unit in parts[first : first + 2] if amount)


def _rounded(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text
