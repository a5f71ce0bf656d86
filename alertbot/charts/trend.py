"""The trend on a card: the last half hour of the metric that its figure shows, as a sparkline with its range. PURE."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from alertbot.alerts.alert import Alert
from alertbot.charts.series import Limit, Samples, Series, samples_of
from alertbot.charts.text import sparkline
from alertbot.evaluation.measure import Measure
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.nouns import runs_by_itself
from alertbot.rules.rule import Level

WINDOW = timedelta(minutes=30)
WIDTH = 12
"""Characters of the sparkline: with its range, a line of 40 characters."""
_SHORTEST = timedelta(minutes=1)
"""A bot that has seen less than this has no trend to show."""
_OVER_TIME = re.compile(r"(?:avg|min|max)\((?P<key>[^(), ]+), *[0-9a-z]+\)")
_NO_TREND = (ValueType.TEXT, ValueType.TIMESTAMP)


@dataclass(frozen=True, slots=True)
class Trend:
    """A sparkline, its lowest and highest value (column units), and the time that it covers, in whole minutes."""

    line: str
    low: float
    high: float
    span: timedelta


def key_of(alert: Alert) -> str:
    """The metric key whose trend belongs to the figure of this alert; "" if there is none.

    An average (or minimum, or maximum) over time has the trend of its key. An expression of several keys has none, and
    neither does the time that an agent spends in a status, which only says how long ago it began.
    """
    measure = alert.measure
    if measure is None or measure.type in _NO_TREND or alert.key.scope is Scope.FEED:
        return ""
    over_time = _OVER_TIME.fullmatch(measure.label)
    key = over_time["key"] if over_time else measure.label
    return "" if " " in key or "(" in key or runs_by_itself(key) else key


def trend(samples: Samples, measure: Measure, now: datetime) -> Trend | None:
    """The trend up to `now`, from the first value of the last half hour; None if that is less than a minute.

    Each character is the worst value of an interval: the highest if the measure has an upper limit, else the lowest.
    """
    known = [(at, value) for at, value in zip(samples.times, samples.values, strict=True) if value is not None]
    known = [(at, value) for at, value in known if now - WINDOW <= at <= now]
    if not known or now - known[0][0] < _SHORTEST:
        return None
    begin, values = known[0][0], [value for _, value in known]
    # Polls come every few seconds or minutes: the first one of a full half hour is rarely at its beginning.
    span = timedelta(minutes=round((now - begin) / timedelta(minutes=1)))
    series = Series(
        name="",
        label=measure.label,
        type=measure.type,
        begin=begin,
        end=now,
        samples=samples,
        limits=(Limit(0.0, Level.INFO, "", measure.rises),),
    )
    return Trend(sparkline(series, width=WIDTH), min(values), max(values), span)


def recent(values: Iterable[tuple[datetime, float | None]]) -> Samples:
    """The samples of a trend, from what was recorded; NaN and infinity count as missing."""
    return samples_of((at, value if value is not None and math.isfinite(value) else None) for at, value in values)


_SHAPE = (0.0, 0.05, 0.0, 0.1, 0.05, 0.15, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 1.0)


def example(alert: Alert, now: datetime) -> Samples | None:
    """A half hour that ends with the value of this alert, made up for previews; None if it would have no trend."""
    measure = alert.measure
    if measure is None or not key_of(alert) or not isinstance(measure.value, float):
        return None
    limit = measure.threshold if isinstance(measure.threshold, float) and measure.threshold else measure.value
    calm = limit * 0.2 if measure.rises and measure.value else min(1.0, limit * 1.5)
    if measure.type is not ValueType.RATIO and not (measure.rises and measure.value):
        calm = limit * 1.5 or 4.0
    values = [calm + (measure.value - calm) * share for share in _SHAPE]
    if measure.type is ValueType.COUNT:
        values = [float(round(value)) for value in values]
    step = WINDOW / (len(_SHAPE) - 1)
    return samples_of((now - WINDOW + step * place, value) for place, value in enumerate(values))
