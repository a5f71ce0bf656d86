"""The trend of a card: which metric it is of, what it covers, and when there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from alertbot.charts.trend import Trend, example, key_of, recent, trend
from alertbot.evaluation.measure import Measure
from alertbot.rules.catalogue import Scope, ValueType
from tests.notify.cases import FIRING, LOW_SERVICE, NOW

MINUTE = timedelta(minutes=1)
WAIT = Measure("interactionsLongestWaitInQueue.rt", ValueType.DURATION, ">", 130_000.0, 120_000.0)
WAITING = Measure("interactionsWaitInQueue.rt", ValueType.COUNT, ">", 7.0, 5.0)
SERVICE = Measure("slaPercentage.int-30m", ValueType.RATIO, "<", 0.7, 0.8)


def every(
    minutes: float, values: Sequence[float | None], *, before: float = 0.0
) -> list[tuple[datetime, float | None]]:
    """Polls this many minutes apart, the last one `before` minutes before now."""
    last = len(values) - 1
    return [(NOW - (before + minutes * (last - place)) * MINUTE, value) for place, value in enumerate(values)]


RISING = [float(value) for value in (0, 1, 1, 2, 1, 2, 3, 3, 4, 5, 6, 7)]

TRENDS = {
    "from zero to the limit": (WAITING, every(2.5, RISING), Trend("▁▂▂▃▂▃▄▄▅▆▇█", 0.0, 7.0, 28 * MINUTE)),
    "polls every 15 s": (
        WAITING,
        every(0.25, [float(place // 10) for place in range(121)]),
        Trend("▁▁▂▃▃▄▅▅▆▇▇█", 0.0, 12.0, 30 * MINUTE),
    ),
    "the lowest value is the worst": (
        SERVICE,
        every(0.25, [0.9] * 60 + [0.9, 0.5] * 30 + [0.9]),
        Trend("██████▁▁▁▁▁▁", 0.5, 0.9, 30 * MINUTE),
    ),
    "polls are rarer than characters": (
        WAITING,
        every(5, [0.0, 0.0, 7.0, 7.0, 3.0, 3.0, 3.0]),
        Trend("▁▁▁▁████▄▄▄▄", 0.0, 7.0, 30 * MINUTE),
    ),
    "nothing changes": (WAITING, every(1, [4.0] * 31), Trend("█" * 12, 4.0, 4.0, 30 * MINUTE)),
    "the bot was down": (
        WAITING,
        every(0.25, [2.0] * 40, before=20) + every(0.25, [4.0] * 20),
        Trend("▅▅▅▅······██", 2.0, 4.0, 30 * MINUTE),
    ),
    "polls without a value": (
        WAITING,
        every(1, [2.0] * 10 + [None] * 11 + [4.0] * 10),
        Trend("▅▅▅▅····████", 2.0, 4.0, 30 * MINUTE),
    ),
    "there is data since ten minutes": (
        WAITING,
        every(1, [None] * 20 + RISING[1:]),
        Trend("▂▂▃▂▃▃▄▄▅▆▇█", 1.0, 7.0, 10 * MINUTE),
    ),
    "no data any more": (WAITING, every(1, [2.0] * 20 + [None] * 11), Trend("████████····", 2.0, 2.0, 30 * MINUTE)),
    "no number": (WAITING, every(1, [math.nan, math.inf] * 3 + [2.0] * 10), Trend("█" * 12, 2.0, 2.0, 9 * MINUTE)),
    "older than half an hour": (WAITING, every(1, [9.0] * 30, before=31), None),
    "the bot has just started": (WAITING, every(0.25, [3.0] * 4), None),
    "never a value": (WAITING, every(1, [None] * 31), None),
    "nothing is recorded": (WAITING, [], None),
}


@pytest.mark.parametrize(("measure", "recorded", "expected"), TRENDS.values(), ids=TRENDS)
def test_a_trend(measure: Measure, recorded: list[tuple[datetime, float | None]], expected: Trend | None) -> None:
    assert trend(recent(recorded), measure, NOW) == expected


KEYS = {
    "a metric": ("interactionsWaitInQueue.rt", ValueType.COUNT, "interactionsWaitInQueue.rt"),
    "of the totals": ("total.entered.int-30m", ValueType.COUNT, "total.entered.int-30m"),
    "an average over time": ("avg(interactionsWaitInQueue.rt, 10m)", ValueType.NUMBER, "interactionsWaitInQueue.rt"),
    "a change over time": ("delta(entered.today, 10m)", ValueType.COUNT, ""),
    "of two metrics": ("interactionsWaitInQueue.rt / enabled.rt", ValueType.NUMBER, ""),
    "a count of agents": ('count(agents where status.rt == "OnBreak")', ValueType.COUNT, ""),
    "a status": ("status.rt", ValueType.TEXT, ""),
    "a time of day": ("lastLogin.rt", ValueType.TIMESTAMP, ""),
    "how long a status lasts": ("timeOnStatus.rt", ValueType.DURATION, ""),
    "how long a phone line is in use": ("line1TimeOnStatus.rt", ValueType.DURATION, ""),
}


@pytest.mark.parametrize(("label", "kind", "key"), KEYS.values(), ids=KEYS)
def test_what_the_trend_is_of(label: str, kind: ValueType, key: str) -> None:
    assert key_of(replace(FIRING, measure=Measure(label, kind, ">", 1.0, 0.0))) == key


def test_alerts_without_a_trend() -> None:
    """Feeds, and conditions that measure nothing."""
    assert key_of(replace(FIRING, measure=None)) == ""
    assert key_of(replace(FIRING, key=FIRING.key._replace(scope=Scope.FEED))) == ""


@pytest.mark.parametrize("measure", [WAIT, WAITING, SERVICE, replace(WAITING, op="==", value=0.0, threshold=0.0)])
def test_an_example_ends_with_the_value(measure: Measure) -> None:
    """It begins where all is well, and covers half an hour."""
    shown = example(replace(FIRING, measure=measure), NOW)
    assert shown is not None
    assert shown.values[-1] == measure.value
    found = trend(shown, measure, NOW)
    assert found is not None
    assert found.span == 30 * MINUTE
    assert found.low != found.high
    assert not replace(measure, value=shown.values[0]).holds or measure.op == "=="


def test_no_example_of_a_status() -> None:
    assert (
        example(replace(LOW_SERVICE, measure=Measure("status.rt", ValueType.TEXT, "==", "OnBreak", "OnBreak")), NOW)
        is None
    )
