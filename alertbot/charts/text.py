"""A series as text: a sparkline for cards, a plot for terminals and phones, and a description for screen readers.

PURE. Every character is one column wide in a monospaced font.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from types import MappingProxyType

from alertbot.charts.series import Limit, Series
from alertbot.rules.catalogue import ValueType
from alertbot.rules.units import format_duration, format_value

WIDTH, HEIGHT = 72, 10
PHONE_WIDTH = 40
"""Columns of monospaced text that a phone shows without wrapping."""
NO_VALUES = "(no values were recorded)"
_DOT, _BEYOND, _LINE = "·", "●", "─"
_AXIS, _FIRING = "-", "="
_BLOCKS = "▁▂▃▄▅▆▇█"
_NO_DATA = "·"
_MIN_RATIOS = 0.1  # a sparkline of percentages spans at least ten points: 82.1% beside 82.3% is no cliff
_HUGE = 1e15
_MAX_SPANS = 3  # that a description lists
MAX_LIMITS = 6
"""Limits that a chart names; the most severe ones of more."""


def sparkline(series: Series, *, width: int = 15) -> str:
    """The trend as a short text, `▁▁▂▃▅█▆`: each character an interval with its worst value, `·` where there is none.

    An interval without a poll has the value of the last one, so polls may be rarer than characters. "" if there are no
    values at all. Durations and counts are drawn from zero, everything else from its lowest value.
    """
    columns = series.held(width)
    known = [value for value in columns if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    if series.type in (ValueType.COUNT, ValueType.DURATION):
        low = min(0.0, low)
    least = _MIN_RATIOS if series.type is ValueType.RATIO else 0.0
    span = max(high - low, least)
    return "".join(_NO_DATA if value is None else _block((value - low) / span if span else 0.0) for value in columns)


def _block(share: float) -> str:
    return _BLOCKS[min(int(share * len(_BLOCKS)), len(_BLOCKS) - 1)]


def plot(series: Series, zone: tzinfo, *, width: int = WIDTH, height: int = HEIGHT) -> list[str]:
    """The lines of a chart, at most `width` wide: each column is an interval with its worst value, empty without one.

    Values beyond a limit are full dots, limits are lines, and the axis is double where an alert was firing. One line of
    text where there are no values at all.
    """
    if not series.known:
        return [NO_VALUES]
    limits = [limit.value for limit in series.limits]
    moving = [value for value in series.moving if value is not None]
    known = [value for _, value in series.known]
    low, high = min([0.0, *known, *limits, *moving]), max([*known, *limits, *moving])
    high = high if high > low else low + 1.0

    def row(value: float) -> int:
        return round((value - low) / (high - low) * (height - 1))

    marks = {row(value): shown(value, series.type) for value in (low, high, *moving[-1:], *limits)}
    margin = max(len(mark) for mark in marks.values())
    columns = max(1, width - margin - 2)
    grid = [[" "] * columns for _ in range(height)]
    for value in limits:
        grid[row(value)] = [_LINE] * columns
    lines = _moving(series, columns)
    for place, line in enumerate(lines):
        if line is not None:
            grid[row(line)][place] = _LINE
    for place, (worst, line) in enumerate(zip(series.columns(columns), lines, strict=True)):
        if worst is not None:
            grid[row(worst)][place] = _BEYOND if _is_beyond(series, worst, line) else _DOT
    drawn = [f"{marks.get(at, ''):>{margin}} |{''.join(grid[at]).rstrip()}" for at in reversed(range(height))]
    return [*drawn, " " * margin + " +" + _axis(series, columns), " " * (margin + 2) + _ruler(series, zone, columns)]


def _moving(series: Series, columns: int) -> list[float | None]:
    """The last value of the moving limit in each column."""
    found: list[float | None] = [None] * columns
    length = (series.end - series.begin).total_seconds() or 1.0
    if series.moving:
        for at, value in zip(series.samples.times, series.moving, strict=True):
            place = int((at - series.begin).total_seconds() / length * columns)
            if value is not None and 0 <= place <= columns:
                found[min(place, columns - 1)] = value
    return found


def _is_beyond(series: Series, value: float, moving: float | None) -> bool:
    if moving is not None and (value < moving if series.low_is_bad else value > moving):
        return True
    return series.is_beyond(value)


def _axis(series: Series, columns: int) -> str:
    axis = [_AXIS] * columns
    length = (series.end - series.begin).total_seconds() or 1.0
    for span in series.spans:
        first = int((span.begin - series.begin).total_seconds() / length * columns)
        last = int(((span.end or series.end) - series.begin).total_seconds() / length * columns)
        for place in range(max(0, first), min(last, columns - 1) + 1):
            axis[place] = _FIRING
    return "".join(axis)


def _ruler(series: Series, zone: tzinfo, columns: int) -> str:
    begin, end = series.begin.astimezone(zone), series.end.astimezone(zone)
    style = "%H:%M" if begin.date() == end.date() else "%d %b %H:%M"
    left, right = begin.strftime(style), end.strftime(style)
    with_zone = f"{right} {end:%Z}"
    if len(left) + 1 + len(with_zone) <= columns:  # a line that is too long is wrapped by a phone
        right = with_zone
    return left + right.rjust(max(len(right) + 1, columns - len(left)))


def legend(series: Series) -> list[str]:
    """What the marks of a plot mean, a line each: `─ critical above 2m`, `= an alert was firing`."""
    limits = [f"{_LINE} {limit_words(each, series.type)}" for each in series.limits[-MAX_LIMITS:]]
    return [*limits, f"{_FIRING} an alert was firing"] if series.spans else limits


def limit_words(limit: Limit, kind: ValueType) -> str:
    """`critical above 2m`, `warning at least 1`."""
    return f"{limit.level.word} {limit.words} {shown(limit.value, kind)}"


def curve(
    points: Sequence[tuple[str, float]],
    target: float,
    *,
    marks: Mapping[int, str] = MappingProxyType({}),
    width: int = WIDTH,
) -> list[str]:
    """How often each of these values would fire, as the lines of a plot; one column per value, the target as a line.

    The scale ends at four times the target, since the exact number far above it does not matter: `^` is a value above.
    `marks`: a letter below the column of a value, by its index. Labels of values stand below where there is room.
    """
    if not points:
        return [NO_VALUES]
    top = max(4 * target, 1e-9)
    margin = max(len(f"{number:g}") for number in (0.0, target, top))
    step = max(1, min(4, (width - margin - 2) // len(points)))
    columns = step * len(points)

    def row(value: float) -> int:
        return round(min(value, top) / top * (HEIGHT - 1))

    grid = [[" "] * columns for _ in range(HEIGHT)]
    grid[row(target)] = [_LINE] * columns
    for index, (_, value) in enumerate(points):
        grid[row(value)][index * step] = "^" if value > top else _BEYOND if value > target else _DOT
    names = {row(number): f"{number:g}" for number in (0.0, top, target)}
    drawn = [f"{names.get(at, ''):>{margin}} |{''.join(grid[at]).rstrip()}" for at in reversed(range(HEIGHT))]
    below, labels = [" "] * columns, [" "] * (columns + 12)
    for index, mark in marks.items():
        below[index * step] = mark
    free = 0
    for index, (label, _) in enumerate(points):
        if index * step >= free and index * step + len(label) <= columns + 10:
            labels[index * step : index * step + len(label)] = label
            free = index * step + len(label) + 2
    pad = " " * (margin + 2)
    lines = [*drawn, " " * margin + " +" + _AXIS * columns]
    if marks:
        lines.append(pad + "".join(below).rstrip())
    return [*lines, pad + "".join(labels).rstrip()]


def described(series: Series, zone: tzinfo) -> str:
    """The chart in sentences, for screen readers: what, when, its values, its limits, and its alerts."""
    begin, end = (_moment(at, series, zone) for at in (series.begin, series.end))
    what = f"{series.label}, {series.name}, from {begin} to {end} {series.end.astimezone(zone):%Z}."
    limits = ", ".join(limit_words(each, series.type) for each in series.limits[-MAX_LIMITS:])
    parts = [what, values_words(series, zone), f"Limits: {limits}." if limits else "", alerts_words(series, zone)]
    return " ".join(part for part in parts if part)


def values_words(series: Series, zone: tzinfo) -> str:
    """The last, the lowest and the highest value, with their times."""
    known = series.known
    if not known:
        return "No values were recorded."
    last_at, last = known[-1]
    low_at, low = min(known, key=lambda pair: pair[1])
    high_at, high = max(known, key=lambda pair: pair[1])
    if low == high:
        return f"Always {shown(last, series.type)}."
    return (
        f"Last {shown(last, series.type)} at {_moment(last_at, series, zone)}, "
        f"lowest {shown(low, series.type)} at {_moment(low_at, series, zone)}, "
        f"highest {shown(high, series.type)} at {_moment(high_at, series, zone)}."
    )


def alerts_words(series: Series, zone: tzinfo) -> str:
    """When alerts fired, the last ones of many; "" where none did."""
    if not series.spans:
        return ""
    more = len(series.spans) - _MAX_SPANS
    earlier = f", and {more} before" if more > 0 else ""
    return f"Alerts: {', '.join(_spans(series, zone))}{earlier}."


def _spans(series: Series, zone: tzinfo) -> Iterator[str]:
    for span in series.spans[-_MAX_SPANS:]:
        until = f"until {_moment(span.end, series, zone)}" if span.end is not None else "until now"
        yield f"{span.level.word} from {_moment(span.begin, series, zone)} {until}"


def _moment(at: datetime, series: Series, zone: tzinfo) -> str:
    local = at.astimezone(zone)
    same_day = series.begin.astimezone(zone).date() == series.end.astimezone(zone).date()
    return local.strftime("%H:%M" if same_day else "%d %b %H:%M")


def shown(value: float, kind: ValueType) -> str:
    """A value as charts show it: a duration from 10 s on in whole seconds, everything else as cards do.

    A number of more than 15 digits is rounded to three of them: it has to fit beside the axis.
    """
    if abs(value) >= _HUGE:
        return f"{value:.3g}"
    if kind is ValueType.DURATION and abs(value) >= 10_000:
        return format_duration(timedelta(seconds=round(value / 1000)))
    return format_value(value, kind)
