"""A series as inline SVG for a page: real text, classes instead of colours, no styles and no scripts. PURE.

A chart has to be as readable on a phone as on a wall, so it is not scaled like a picture: the outer element has no
viewBox. Places are percentages of the size that the page gives it, and text keeps its size. Only the line is drawn in a
nested element that is stretched, with strokes that are not. The marks of the axes are outside of the element, at its
left and below: the page leaves room for them.

Colour is never the only sign: limits have a dash pattern and their words, the times of firing alerts a hatching for
their level and its word, and the description says all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from html import escape
from operator import itemgetter

from alertbot.charts.series import Limit, Series
from alertbot.charts.text import MAX_LIMITS, described, limit_words, shown, values_words
from alertbot.charts.ticks import span_of_zero, time_ticks, value_ticks
from alertbot.rules.catalogue import ValueType
from alertbot.rules.plain import one_line
from alertbot.rules.rule import Level

MAX_COLUMNS = 504
"""Intervals of time that are drawn: each as the first, the lowest, the highest and the last of its values."""
_TICKS = 8
_WIDE, _HIGH = 1920, 1000  # the units of the stretched element: whole numbers, several in a pixel
_LABEL = 7.5  # percent of the height that the words of a limit need
_BETWEEN = 9.0  # percent of the width from the word of one span to the next
_THIN = 0.3  # percent of the width that a short span is drawn with
_HATCHINGS = {
    Level.CRITICAL: "M-1,1l2,-2M0,6l6,-6M5,7l2,-2",
    Level.WARNING: "M0,12l12,-12M-1,1l2,-2M11,13l2,-2",
    Level.INFO: "M3,3h.01M9,9h.01",
}
_SIZES = {Level.CRITICAL: 6, Level.WARNING: 12, Level.INFO: 12}

_Point = tuple[float, float]


def chart(series: Series, zone: tzinfo, *, id: str) -> str:
    """The chart, with times in this zone. `id` makes its ids different from those of other charts in the page.

    Classes: `chart`, `plot`, `line`, `grid`, `tick` (`minor`: every other one of the times), `limit`, `hatching`,
    `firing` (the area), `fired` (its edge and its word), `none` and the levels.
    """
    title = f"{series.label}, {series.name}"
    low, high, ticks = _range(series)
    spans = list(_spans(series, id))
    parts = [
        f'<svg class="chart" role="img" aria-labelledby="{id}-title {id}-about">',
        f'<title id="{id}-title">{_text(title)}</title>',
        f'<desc id="{id}-about">{_text(described(series, zone))}</desc>',
        *_patterns(series, id),
        *_value_axis(ticks, low, high, series.type),
        *_time_axis(series, zone),
        *spans,
        *_limit_lines(series, low, high),
        _lines(series, low, high),
        *_limit_words(series, low, high),
    ]
    if not series.known:
        parts.append('<text class="none" x="50%" y="50%" text-anchor="middle">no values were recorded</text>')
    return "".join((*parts, "</svg>"))


def trend(series: Series, zone: tzinfo) -> str:
    """The line alone, as small as a word; "" without values. Durations and counts are drawn from zero."""
    if not series.known:
        return ""
    low, high, _ = _range(series)
    return (
        f'<svg class="trend" role="img" viewBox="0 0 {_WIDE} {_HIGH}" preserveAspectRatio="none" '
        f'aria-label="{_text(values_words(series, zone))}">'
        f'<path class="line" vector-effect="non-scaling-stroke" d="{_path(_strokes(series), low, high)}"/></svg>'
    )


# The axes


def _range(series: Series) -> tuple[float, float, list[float]]:
    """The lowest and the highest value of the axis, and its ticks. It begins at zero, or below."""
    values = [value for value in (*series.samples.values, *series.moving) if value is not None]
    values += [limit.value for limit in series.limits]
    low, high = min([0.0, *values]), max([0.0, *values])
    high = high if high > low else low + span_of_zero(series.type)
    ticks = value_ticks(low, high, series.type)
    return min(low, ticks[0]), max(high, ticks[-1]), ticks


def _value_axis(ticks: Sequence[float], low: float, high: float, kind: ValueType) -> Iterable[str]:
    for tick in ticks:
        y = _percent(_down(tick, low, high))
        yield f'<line class="grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>'
        yield f'<text class="tick" x="-8" y="{y}" dy=".32em" text-anchor="end">{_text(shown(tick, kind))}</text>'


def _time_axis(series: Series, zone: tzinfo) -> Iterable[str]:
    begin, end = series.begin.timestamp(), series.end.timestamp()
    for place, (at, words) in enumerate(time_ticks(begin, end, zone, most=_TICKS)):
        x = _percent(_across(at, series))
        kind = "tick minor" if place % 2 else "tick"
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="0" y2="100%"/>'
        yield f'<text class="{kind}" x="{x}" y="100%" dy="1.5em" text-anchor="middle">{words}</text>'


def _across(at: float, series: Series) -> float:
    """Percent of the width, from seconds since 1970."""
    begin, end = series.begin.timestamp(), series.end.timestamp()
    return 100 * (at - begin) / ((end - begin) or 1.0)


def _down(value: float, low: float, high: float) -> float:
    """Percent of the height, from the top."""
    return 100 * (high - value) / (high - low)


def _percent(share: float) -> str:
    return f"{share:.2f}".rstrip("0").rstrip(".") + "%"


# Alerts and limits


def _patterns(series: Series, id: str) -> Iterable[str]:
    levels = sorted({span.level for span in series.spans})
    if not levels:
        return
    yield "<defs>"
    for level in levels:
        size = _SIZES[level]
        yield (
            f'<pattern id="{id}-{level.word}" class="hatching {level.word}" width="{size}" height="{size}" '
            f'patternUnits="userSpaceOnUse"><rect width="{size}" height="{size}"/><path d="{_HATCHINGS[level]}"/>'
            "</pattern>"
        )
    yield "</defs>"


def _spans(series: Series, id: str) -> Iterable[str]:
    free = 0.0
    for span in series.spans:
        begin = _across(span.begin.timestamp(), series)
        end = _across((span.end or series.end).timestamp(), series)
        width, word = max(end - begin, _THIN), span.level.word
        yield (
            f'<rect class="firing {word}" x="{_percent(begin)}" width="{_percent(width)}" y="0" height="100%" '
            f'fill="url(#{id}-{word})"/><rect class="fired {word}" x="{_percent(begin)}" width="{_percent(width)}" '
            'y="0" height="3"/>'
        )
        if begin >= free:
            at_end = begin > 100 - _BETWEEN
            x, anchor = (_percent(100), "end") if at_end else (_percent(begin), "start")
            yield f'<text class="fired {word}" x="{x}" y="-6" text-anchor="{anchor}">{word}</text>'
            free = begin + _BETWEEN


def _limits(series: Series) -> list[Limit]:
    return sorted(series.limits[-MAX_LIMITS:], key=lambda limit: limit.value, reverse=True)


def _limit_lines(series: Series, low: float, high: float) -> Iterable[str]:
    for limit in _limits(series):
        y = _percent(_down(limit.value, low, high))
        yield f'<line class="limit {limit.level.word}" x1="0" x2="100%" y1="{y}" y2="{y}"/>'


def _limit_words(series: Series, low: float, high: float) -> Iterable[str]:
    """The words of the limits, from the top: above their lines, or lower where another one's words are."""
    free = 0.0
    for limit in _limits(series):
        at = max(_down(limit.value, low, high) - 1.5, free + _LABEL)
        free = at
        yield (
            f'<text class="limit {limit.level.word}" x="100%" dx="-4" y="{_percent(at)}" text-anchor="end">'
            f"{_text(limit_words(limit, series.type))}</text>"
        )


# The line


def _lines(series: Series, low: float, high: float) -> str:
    moving = ""
    if series.moving:
        strokes = _strokes(series, series.moving)
        moving = f'<path class="limit moving" vector-effect="non-scaling-stroke" d="{_path(strokes, low, high)}"/>'
    return (
        f'<svg class="plot" width="100%" height="100%" viewBox="0 0 {_WIDE} {_HIGH}" preserveAspectRatio="none">'
        f'{moving}<path class="line" vector-effect="non-scaling-stroke" d="{_path(_strokes(series), low, high)}"/>'
        "</svg>"
    )


def _strokes(series: Series, values: Sequence[float | None] | None = None) -> list[list[_Point]]:
    """The values between two gaps, as (share of the width, value): no more of each column than can be seen."""
    begin = series.begin.timestamp()
    length = (series.end.timestamp() - begin) or 1.0
    strokes: list[list[_Point]] = []
    stroke: list[_Point] = []
    column: list[_Point] = []
    here = -1
    times: Iterable[datetime] = series.samples.times
    for at, value in zip(times, series.samples.values if values is None else values, strict=True):
        share = (at.timestamp() - begin) / length
        place = int(share * MAX_COLUMNS)
        if value is None or place != here:
            stroke += _seen(column)
            column, here = [], place
            if value is None and stroke:
                strokes.append(stroke)
                stroke = []
        if value is not None and 0.0 <= share <= 1.0:
            column.append((share, value))
    stroke += _seen(column)
    return [*strokes, stroke] if stroke else strokes


def _seen(column: list[_Point]) -> list[_Point]:
    """The first, the lowest, the highest and the last value of a column: all that its pixels can show."""
    if len(column) <= 4:
        return column
    low, high = min(column, key=itemgetter(1)), max(column, key=itemgetter(1))
    return sorted({column[0], low, high, column[-1]})


def _path(strokes: Iterable[Sequence[_Point]], low: float, high: float) -> str:
    """A value between two gaps is a dot: a line without length, with a round end."""
    pieces = []
    for stroke in strokes:
        points = [f"{share * _WIDE:.0f},{(high - value) / (high - low) * _HIGH:.0f}" for share, value in stroke]
        pieces.append(f"M{'L'.join(points)}" + ("h0" if len(points) == 1 else ""))
    return "".join(pieces)


def _text(words: str) -> str:
    return escape(one_line(words))
