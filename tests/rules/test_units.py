"""Values as rule files write them and cards show them."""

from __future__ import annotations

import math
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertbot.rules.catalogue import ValueType
from alertbot.rules.units import (
    format_duration,
    format_value,
    parse_duration,
    parse_number,
    write_duration,
    write_number,
)

COUNT, DURATION, RATIO = ValueType.COUNT, ValueType.DURATION, ValueType.RATIO
NUMBER, TEXT, TIMESTAMP = ValueType.NUMBER, ValueType.TEXT, ValueType.TIMESTAMP


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (95_000.0, DURATION, "1m 35s"),
        (120_000.0, DURATION, "2m"),
        (59_700.0, DURATION, "1m"),
        (3_725_000.0, DURATION, "1h 2m"),
        (3_605_000.0, DURATION, "1h"),
        (90_061_000.0, DURATION, "1d 1h"),
        (2_500.0, DURATION, "2.5s"),
        (9_960.0, DURATION, "10s"),
        (250.4, DURATION, "250ms"),
        (999.6, DURATION, "1s"),
        (0.0, DURATION, "0s"),
        (-95_000.0, DURATION, "-1m 35s"),
        (0.825, RATIO, "82.5%"),
        (1.0, RATIO, "100%"),
        (0.0, RATIO, "0%"),
        (14.0, COUNT, "14"),
        (2.333, NUMBER, "2.33"),
        (-0.001, NUMBER, "0"),
        ("OnBreak", TEXT, "OnBreak"),
        (1_767_600_062_003.0, TIMESTAMP, "2026-01-05 08:01:02 UTC"),
        (1e30, TIMESTAMP, "1000000000000000019884624838656 ms since 1970"),
        (None, RATIO, "no data"),
        (math.nan, COUNT, "no data"),
        (math.inf, DURATION, "∞"),
        (-math.inf, NUMBER, "-∞"),
    ],
)
def test_a_displayed_value(value: float | str | None, kind: ValueType, shown: str) -> None:
    assert format_value(value, kind) == shown


def test_a_timestamp_is_shown_where_its_reader_lives() -> None:
    shown = format_value(1_767_600_062_003.0, TIMESTAMP, ZoneInfo("Europe/Helsinki"))
    assert shown == "2026-01-05 10:01:02 EET"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("120s", (120_000.0, DURATION)),
        ("1m30s", (90_000.0, DURATION)),
        ("1d2h3m4s5ms", (93_784_005.0, DURATION)),
        ("1.5h", (5_400_000.0, DURATION)),
        ("250ms", (250.0, DURATION)),
        ("85%", (0.85, RATIO)),
        ("0.1%", (0.001, RATIO)),
        ("3", (3.0, NUMBER)),
        ("2.5", (2.5, NUMBER)),
        *(
            (text, None)
            for text in ("", "s", "3x", "1s1m", "1m1m", "1e5", "3.", ".5", "-3", "3 s", "1m30", "9" * 400, "٣")
        ),
    ],
)
def test_a_literal_number(text: str, number: tuple[float, ValueType] | None) -> None:
    assert parse_number(text) == number


@settings(deadline=None)  # the machine may be busy
@given(st.floats(min_value=0, max_value=1e15), st.sampled_from([DURATION, RATIO, NUMBER]))
def test_a_number_that_is_written_and_read_is_the_same(value: float, kind: ValueType) -> None:
    assert parse_number(write_number(value, kind)) == (value, kind)


def test_durations() -> None:
    assert parse_duration(" 1m30s ") == timedelta(seconds=90)
    assert write_duration(timedelta(seconds=90)) == "1m30s"
    assert write_duration(timedelta(0)) == "0s"
    assert format_duration(timedelta(seconds=95)) == "1m 35s"


@pytest.mark.parametrize("text", ["90", "85%", "soon", "", "-3s", "9" * 400 + "d"])
def test_a_refused_duration_says_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration: write 250ms, 120s"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["3653d1ms", "87673h", "800000d", "99999999999d"])
def test_no_duration_is_longer_than_ten_years(text: str) -> None:
    with pytest.raises(ValueError, match=r"is longer than ten years: write at most 3653d"):
        parse_duration(text)
    assert parse_duration("3653d") == timedelta(days=3653)
