"""The sentences that decisions carry: plain words with values, for logs, cards and answers. Nothing is escaped here."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from alertbot.evaluation.measure import Measure
from alertbot.rules import nouns
from alertbot.rules.catalogue import ValueType
from alertbot.rules.rule import Level, Rule
from alertbot.rules.units import format_value

NOT_COVERED = "the rule no longer covers it"
TENANT_REMOVED = "its tenant is no longer in the configuration"

_ABOVE_BELOW = {">": "above", ">=": "at least", "<": "below", "<=": "at most"}


def lasting(span: timedelta) -> str:
    """A length of time in words, to the second, `1m 30s`: polls are not exact enough for fractions."""
    return _formatted(round(span.total_seconds()) * 1000.0, ValueType.DURATION)


def shown(measure: Measure, value: float | str | None) -> str:
    """A value of this measure, with its unit; `no data` where there is none."""
    return _formatted(_whole(measure, value), measure.type)


def _whole(measure: Measure, value: float | str | None) -> float | str | None:
    """A length of time in whole seconds: polls are not exact enough for more. One below a second is `0s`."""
    if measure.type is not ValueType.DURATION or not isinstance(value, float) or not math.isfinite(value):
        return value
    limit = measure.threshold
    if isinstance(limit, float) and abs(limit) < 10_000.0 and limit % 1_000.0:
        return value  # the rule itself is about fractions of a second
    return math.floor(value / 1_000.0) * 1_000.0 if value >= 0 else value


# The same thresholds and lengths of time recur, and formatting them is a third of the time of a decision.
_formatted = lru_cache(maxsize=2048)(format_value)


def holds(measure: Measure | None, held: timedelta = timedelta(0)) -> str:
    """Why a condition is true: `2m 10s is above 2m for 30s`."""
    tail = f" for {lasting(held)}" if held >= timedelta(seconds=1) else ""
    if measure is None:
        return f"the condition holds{tail}"
    if measure.value is None:
        return f"{measure.label} is missing{tail}"
    return f"{_stands(measure)}{tail}"


def holds_no_more(measure: Measure | None) -> str:
    """Why a condition is no longer true: `20s is no longer above 2m`."""
    if measure is None:
        return "the condition no longer holds"
    if measure.value is None:
        return f"{measure.label} is missing, which counts as clear"
    if measure.holds:  # another part of the condition, which the card does not show, is no longer true
        return f"the condition no longer holds ({measure.label} is {shown(measure, measure.value)})"
    value, threshold = shown(measure, measure.value), shown(measure, measure.threshold)
    if measure.op in _ABOVE_BELOW and value == threshold:
        return f"{noun(measure.label)} is no longer {_ABOVE_BELOW[measure.op]} {threshold}"
    if measure.op in _ABOVE_BELOW:
        return f"{value} is no longer {_ABOVE_BELOW[measure.op]} {threshold}"
    return f"{measure.label} is {value}" + (f", no longer {threshold}" if measure.op == "==" else " again")


def holds_less(high: Measure | None, low: Measure | None, held: timedelta) -> str:
    """Why a lower level follows a higher one: `1m 40s is no longer above 2m, but above 1m for 30s`."""
    more, less = holds_no_more(high), holds(low, held)
    if high is not None and low is not None and low.op in _ABOVE_BELOW and high.value == low.value:
        start = f"{shown(low, low.value)} is "
        if high.label == low.label and more.startswith(start) and less.startswith(start):
            return f"{more}, but {less.removeprefix(start)}"
    return f"{more}; {less}"


def unknown(measure: Measure | None) -> str:
    """Why there is no decision about a level."""
    if measure is not None and measure.value is None:
        return f"{measure.label} is missing"
    return "unknown at the moment"


def not_clear(clear: str, measure: Measure | None, words: str) -> str:
    """Why it does not end although the condition does not hold: `50s is not clear yet (waiting.rt < 45s)`."""
    value = "" if measure is None else f"{shown(measure, measure.value)} is "
    return f"{value}{words}" + (f" ({clear})" if clear else "")


def cleared(clear: str, measure: Measure | None, ending: Measure | None = None) -> str:
    """Why it ends: `44s is clear (waiting.rt < 45s)`, or without a `clear` that the condition does not hold.

    `ending` is a comparison of text that became true or false with it, `status is Available`: that is the news then,
    since the number beside it began again.
    """
    if ending is not None and ending.value is not None and (measure is None or measure.type is not ValueType.TEXT):
        return f"{noun(ending.label)} is {shown(ending, ending.value)}"
    if not clear or measure is None or measure.value is None:
        return holds_no_more(measure)
    return not_clear(clear, measure, "clear")


def waits(level: Level, left: timedelta) -> str:
    """What a pending alert will become: `warning if this lasts for 30s`."""
    return f"{level.word} if this lasts for {lasting(left)}"


def not_reported(missed: int, limit: int) -> str:
    """Why an alert is about to end, or ends: complete polls do not have its entity."""
    return f"no longer reported for {missed} {'poll' if missed == 1 else 'polls'}" + (
        "" if missed >= limit else f"; ends after {limit}"
    )


def outside_hours(rule: Rule) -> str:
    """Why a rule is not active now."""
    if rule.during is None:
        return f"within the hours {rule.outside}" if rule.outside is not None else "outside its hours"
    return f"outside the hours {rule.during}"


def _stands(measure: Measure) -> str:
    value, threshold = shown(measure, measure.value), shown(measure, measure.threshold)
    if measure.op in _ABOVE_BELOW:
        if value == threshold and measure.op in ("<", ">"):  # 60.4 s against 60 s
            return f"{noun(measure.label)} is just {_ABOVE_BELOW[measure.op]} {threshold}"
        return f"{value} is {_ABOVE_BELOW[measure.op]} {threshold}"
    return f"{measure.label} is {value}" + (f", not {threshold}" if measure.op == "!=" else "")


# Figures: a value with its noun and its limit, for cards and answers.

Formatted = Callable[[float | str | None], str]
_KEY = re.compile(r"(?:total\.)?[A-Za-z][A-Za-z0-9]*(?:\.(?:int-[0-9]+[mh]|rt|today|inQueue))+")
_WINDOW = re.compile(r"\b(avg|min|max|sum|delta|changes|ago|usual)\(([^(),]+), *([0-9a-z]+)\)")
_WINDOWS = {
    "avg": "average {} over {}",
    "min": "lowest {} in {}",
    "max": "highest {} in {}",
    "sum": "sum of {} in {}",
    "delta": "change of {} in {}",
    "changes": "changes of {} in {}",
    "ago": "{} {} ago",
    "usual": "usual {} ({})",
}


def figure(measure: Measure | None, formatted: Formatted | None = None) -> str:
    """What was measured, with its noun: `longest wait 2m 12s`, `2 callers waiting`; "" where there is nothing to show.

    `formatted` writes the value, where that depends on the reader's time zone.
    """
    if measure is None:
        return ""
    return with_noun(measure.label, measure.type, measure.value, formatted or (lambda value: shown(measure, value)))


def with_noun(label: str, kind: ValueType, value: float | str | None, formatted: Formatted) -> str:
    """A value of a metric key, or of an expression as written, with its noun."""
    if value is None:
        return f"no data for {noun(label)}"
    text = formatted(value)
    if "where" in label.split():  # count(agents where …)
        return f"{text} {'agent' if value == 1 else 'agents'}" if kind is ValueType.COUNT else text
    if _KEY.fullmatch(label):
        return nouns.measured(label, text, counted=kind is ValueType.COUNT, singular=value == 1)
    return f"{noun(label)}: {text}"


def noun(label: str) -> str:
    """What a metric key, or an expression of several, is called."""
    if "where" in label.split():
        return "agents"
    words = _WINDOW.sub(lambda window: _WINDOWS[window[1]].format(window[2], window[3]), label)
    return _KEY.sub(lambda key: nouns.noun(key[0]), words)


def limit(measure: Measure | None, formatted: Formatted | None = None) -> str:
    """The limit of a measure, to be added to its figure: `limit 2m`; "" where it would say nothing.

    It says nothing for `== 0` or `> 0`, and a value is never compared with one that is written the same.
    """
    if measure is None or measure.value is None or measure.threshold is None or measure.op in ("==", "!=", ""):
        return ""
    if isinstance(measure.threshold, str) or measure.threshold == 0:
        return ""
    write = formatted or (lambda value: shown(measure, value))
    text = write(measure.threshold)
    if write(measure.value) != text:
        return f"limit {text}"
    if measure.value == measure.threshold or isinstance(measure.value, str):
        return "at the limit"
    return "just above the limit" if measure.value > measure.threshold else "just below the limit"


def clock(at: datetime, zone: ZoneInfo, now: datetime) -> str:
    """`14:05 EET`, with the date in front when it is another day."""
    local = at.astimezone(zone)
    day = "" if local.date() == now.astimezone(zone).date() else f"{local:%Y-%m-%d} "
    return f"{day}{local:%H:%M %Z}"
