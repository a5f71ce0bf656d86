"""Charts as text: a sparkline, a plot that fits a phone, and sentences."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

import pytest

from alertbot.charts.series import Limit, Series, Span
from alertbot.charts.text import NO_VALUES, PHONE_WIDTH, described, legend, plot, sparkline
from alertbot.rules.catalogue import ValueType
from alertbot.rules.nouns import Worse
from alertbot.rules.rule import Level
from tests.charts.test_series import at, series

RUSH = series(
    *(float(value) for value in [0, 10_000, 30_000, 70_000, 130_000, 150_000, 140_000, 90_000]),
    *(None, None),
    *(float(value) for value in [50_000, 20_000, 0, 0, 0]),
    limits=(Limit(60_000.0, Level.WARNING, "r"), Limit(120_000.0, Level.CRITICAL, "r")),
    spans=(Span(at(-12), at(-7), Level.CRITICAL, "r"),),
)

SPARKLINES = {
    "from zero": (series(0.0, 50.0, 100.0, 150.0), "▁▃▆█"),
    "all zero": (series(0.0, 0.0, 0.0), "▁▁▁"),
    "a gap": (series(100.0, None, 100.0), "█·█"),
    "no value at all": (series(None, None), ""),
    "no sample": (series(), ""),
    "percentages from their lowest": (series(0.5, 0.6, 0.8, type=ValueType.RATIO), "▁▃█"),
    "percentages that hardly move": (series(0.821, 0.823, 0.822, type=ValueType.RATIO), "▁▁▁"),
    "a number below zero": (series(-5.0, 0.0, 5.0, type=ValueType.NUMBER), "▁▅█"),
}


@pytest.mark.parametrize(("what", "expected"), SPARKLINES.values(), ids=SPARKLINES)
def test_sparkline(what: Series, expected: str) -> None:
    assert sparkline(what, width=max(1, len(expected))) == expected


def test_a_sparkline_shows_the_worst_of_each_interval() -> None:
    """One character each, however many polls there were."""
    many = series(*(float(minute % 30) for minute in range(60)))
    assert sparkline(many, width=2) == "██"
    assert sparkline(replace(many, worse=Worse.LOW), width=2) == "▁▁"
    assert len(sparkline(many)) == 15


def test_a_plot_fits_a_phone() -> None:
    """Values, limits, gaps, and on the axis when an alert was firing."""
    lines = plot(RUSH, ZoneInfo("Europe/Helsinki"), width=PHONE_WIDTH, height=8)
    assert lines == [
        "2m 30s |          ● ●",
        "    2m |────────●───────────────────────",
        "       |",
        "       |              ●",
        "    1m |──────●─────────────────────────",
        "       |                     ·",
        "       |    ·                  ·",
        "    0s |· ·                      · · ·",
        "       +------============--------------",
        "        10:45                  11:00 EET",
    ]
    assert max(map(len, lines)) == PHONE_WIDTH


def test_plots_without_and_with_little() -> None:
    """Nothing recorded is a sentence; one value, and values that are all alike, are drawn too."""
    assert plot(series(None), UTC) == [NO_VALUES]
    assert plot(series(), UTC) == [NO_VALUES]
    assert sum("·" in line for line in plot(series(5_000.0), UTC)) == 1
    assert sum("·" in line for line in plot(series(0.0, 0.0), UTC)) == 1


def test_a_limit_that_moves() -> None:
    """As `replay` draws it: a value is beyond the limit of its own time."""
    moving = series(5.0, 5.0, type=ValueType.COUNT, worse=Worse.HIGH, moving=[10.0, 3.0])
    text = "\n".join(plot(moving, UTC, width=40))
    assert text.count("●") == 1
    assert text.count("·") == 1
    low = replace(moving, worse=Worse.LOW)
    assert "\n".join(plot(low, UTC, width=40)).index("●") < "\n".join(plot(low, UTC, width=40)).index("·")


def test_times_of_several_days_have_their_date() -> None:
    long = replace(series(1.0), begin=at(0) - timedelta(days=2))
    assert plot(long, UTC, width=40)[-1].split() == ["28", "Feb", "09:00", "02", "Mar", "09:00", "UTC"]


def test_a_narrow_plot_leaves_out_the_zone() -> None:
    """A line that is too long would be wrapped by a phone."""
    long = replace(series(1.0), begin=at(0) - timedelta(days=2))
    assert plot(long, UTC, width=32)[-1].split() == ["28", "Feb", "09:00", "02", "Mar", "09:00"]


def test_the_legend_says_what_the_marks_mean() -> None:
    assert legend(RUSH) == ["─ warning above 1m", "─ critical above 2m", "= an alert was firing"]
    assert legend(series(1.0)) == []


@pytest.mark.parametrize(
    ("limit", "words", "mark"),
    [
        (Limit(1_000.0, Level.WARNING, "r"), "warning above 1s", "·"),
        (Limit(1_000.0, Level.WARNING, "r", counts=True), "warning at least 1s", "●"),
        (Limit(1_000.0, Level.WARNING, "r", high_is_bad=False), "warning below 1s", "·"),
        (Limit(1_000.0, Level.WARNING, "r", high_is_bad=False, counts=True), "warning at most 1s", "●"),
    ],
    ids=[">", ">=", "<", "<="],
)
def test_a_value_at_the_limit(limit: Limit, words: str, mark: str) -> None:
    """Whether it is beyond it is what the condition says: `>= 1` fires at 1."""
    at_limit = series(1_000.0, 1_000.0, limits=(limit,))
    assert legend(at_limit) == [f"─ {words}"]
    assert words in described(at_limit, UTC)
    assert mark in plot(at_limit, UTC, width=40)[0]


DESCRIBED = {
    "everything": (
        RUSH,
        "Longest wait, Sales EU, from 10:45 to 11:00 EET. Last 0s at 10:59, lowest 0s at 10:45, highest 2m 30s at "
        "10:50. Limits: warning above 1m, critical above 2m. Alerts: critical from 10:48 until 10:53.",
    ),
    "always the same": (series(5_000.0, 5_000.0), "Longest wait, Sales EU, from 10:58 to 11:00 EET. Always 5s."),
    "nothing": (series(None), "Longest wait, Sales EU, from 10:59 to 11:00 EET. No values were recorded."),
    "many alerts": (
        replace(
            series(1_000.0, 1_000.0),
            spans=tuple(Span(at(-2), None, Level.WARNING, f"r{number}") for number in range(5)),
        ),
        "Longest wait, Sales EU, from 10:58 to 11:00 EET. Always 1s. "
        "Alerts: warning from 10:58 until now, warning from 10:58 until now, warning from 10:58 until now, "
        "and 2 before.",
    ),
}


@pytest.mark.parametrize(("what", "expected"), DESCRIBED.values(), ids=DESCRIBED)
def test_what_a_screen_reader_says(what: Series, expected: str) -> None:
    """In the reader's zone: what, the values that matter, limits, alerts."""
    assert described(what, ZoneInfo("Europe/Helsinki")) == expected
