"""One series over time as text, with its threshold: fits a terminal, and plain enough for an email."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from alertbot.rules.catalogue import ValueType
from alertbot.rules.units import format_value

WIDTH, HEIGHT = 64, 10
_DOT, _BEYOND, _LINE = "·", "●", "─"


@dataclass(frozen=True)
class Curve:
    """Values in column units at their times; None where missing. `rises`: beyond the threshold means above it."""

    times: Sequence[datetime]
    values: Sequence[float | None]
    thresholds: Sequence[float | None]
    type: ValueType
    rises: bool


def draw(curve: Curve, zone: tzinfo, *, width: int = WIDTH, height: int = HEIGHT) -> list[str]:
    """The lines of a chart: each column is an interval with its worst value, empty where there is none.

    Values beyond the threshold are full dots. A single line of text where there are no values at all.
    """
    known = [value for value in (*curve.values, *curve.thresholds) if value is not None]
    if not known or not any(value is not None for value in curve.values):
        return ["(no values were recorded)"]
    width = max(1, min(width, len(curve.values)))
    low, high = min(0.0, *known), max(known)
    high = high if high > low else low + 1.0
    columns = [_interval(curve, index, width) for index in range(width)]

    def level(value: float) -> int:
        return round((value - low) / (high - low) * (height - 1))

    grid = [[" "] * width for _ in range(height)]
    for column, (value, threshold) in enumerate(columns):
        if threshold is not None:
            grid[level(threshold)][column] = _LINE
        if value is not None:
            beyond = threshold is not None and (value > threshold if curve.rises else value < threshold)
            grid[level(value)][column] = _BEYOND if beyond else _DOT
    marks = {level(value): _written(value, curve.type) for value in (low, high)}
    last = next((each for each in reversed(curve.thresholds) if each is not None), None)
    if last is not None:
        marks[level(last)] = _written(last, curve.type)
    margin = max(len(mark) for mark in marks.values())
    lines = [f"{marks.get(row, ''):>{margin}} |{''.join(grid[row]).rstrip()}" for row in reversed(range(height))]
    begin, end = (time.astimezone(zone) for time in (curve.times[0], curve.times[-1]))
    style = "%H:%M" if begin.date() == end.date() else "%d %b %H:%M"
    left, right = begin.strftime(style), end.strftime(style)
    ruler = left + right.rjust(max(len(right) + 1, width - len(left)))
    return [*lines, " " * margin + " +" + "-" * width, " " * (margin + 2) + ruler]


def _interval(curve: Curve, index: int, width: int) -> tuple[float | None, float | None]:
    """The worst value of one column, and the threshold at its end."""
    size = len(curve.values)
    begin, end = index * size // width, max(index * size // width + 1, (index + 1) * size // width)
    values = [value for value in curve.values[begin:end] if value is not None]
    thresholds = [value for value in curve.thresholds[begin:end] if value is not None]
    worst = max if curve.rises else min
    return (worst(values) if values else None), (thresholds[-1] if thresholds else None)


def _written(value: float, kind: ValueType) -> str:
    return format_value(value, kind)
