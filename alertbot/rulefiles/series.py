"""Series of rule tests: `10s 70s _ 5x3 10s+5sx4` to values in column units.

Samples separated by spaces, one per poll: `_` is missing, `5x3` is 5 three times, `10s+5sx4` is 10 s and four steps of
5 s (five samples), `OnBreak` or `"On Break"` is text, `85%` a ratio, `2026-03-02T09:00:00+02:00` a timestamp.
A word that ends in x and digits is that word, since break codes are called `Aux1` and `Aux2`; `"Aux1"x3` repeats it.
Only a known status is repeated without quotes: `OnBreakx3`.
"""

from __future__ import annotations

import re
from datetime import datetime

from alertbot.errors import BadExpression
from alertbot.rules.catalogue import STATUS_WORDS, ValueType
from alertbot.rules.expression import Mistake
from alertbot.rules.units import MAX_DURATION, TOO_LONG, parse_number, too_long, write_duration
from alertbot.rules.value_types import named

Sample = float | str | None
"""A value in column units (ms, 0 to 1, epoch ms) or text; None where missing."""

MAX_SAMPLES = 100_000  # of one series; without a limit, one typo could make a series of millions

_TOKEN = re.compile(r'(?:"(?:\\.|[^"\\])*"|[^\s"])+|"\S*')  # the last alternative: a quote that is not closed
_TIMES = re.compile(r"(?P<value>.+?)x(?P<times>[0-9]+)", re.DOTALL)
_TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)"
_RAMP = re.compile(rf"(?P<start>{_TIMESTAMP}|-?[^+\-\s]+)(?P<sign>[+-])(?P<step>[^+\-\s]+)")
_WORD = re.compile(r"[^\s,\[\]{}\"]+")
_EXAMPLES = {
    ValueType.DURATION: "120s or 1m30s",
    ValueType.RATIO: "85%",
    ValueType.TEXT: 'OnBreak or "On Break"',
    ValueType.TIMESTAMP: "2026-03-02T09:00:00+02:00",
}


def parse_series(text: str, kind: ValueType) -> tuple[Sample, ...]:
    """The samples of a series of that type. Raises BadExpression, with every wrong sample by its offsets."""
    samples: list[Sample] = []
    mistakes: list[Mistake] = []
    for match in _TOKEN.finditer(text):
        try:
            samples.extend(_samples(match.group(), kind))
        except _RefusedError as error:
            mistakes.append(Mistake(match.start(), match.end(), error.message, error.hint))
        if len(samples) > MAX_SAMPLES:
            mistakes.append(Mistake(match.start(), match.end(), f"a series of more than {MAX_SAMPLES} samples"))
            break
    if not samples and not mistakes:
        mistakes.append(Mistake(0, len(text), "a series without samples", "such as 10s 70s _ 20sx4"))
    if mistakes:
        raise BadExpression(mistakes)
    return tuple(samples)


def parse_timestamp(text: str) -> datetime:
    """An instant in ISO 8601 with its offset from UTC. Raises ValueError, with what to write, when it is not one."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time: write 2026-03-02T09:00:00+02:00") from None
    if time.tzinfo is None and "T" not in text:
        raise ValueError(f"{text!r} has no time of day: write {text}T09:00:00+02:00")
    if time.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone: write {text}Z or {text}+02:00")
    return time


class _RefusedError(Exception):
    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def _samples(token: str, kind: ValueType) -> list[Sample]:
    value, times = token, 1
    repeated = _TIMES.fullmatch(token)
    if repeated and kind is ValueType.TEXT and repeated["value"][-1].isalpha():
        known = repeated["value"].casefold() in {word.casefold() for word in STATUS_WORDS}
        repeated = repeated if known else None
    if repeated:
        value, times = repeated["value"], int(repeated["times"])
        if not 0 < times <= MAX_SAMPLES:
            raise _RefusedError(f"{token} means {times} samples", f"from 1 to {MAX_SAMPLES}")
    if value == "_":
        return [None] * times
    ramp = None if value.startswith('"') or kind is ValueType.TEXT else _RAMP.fullmatch(value)
    if ramp is None:
        return [_value(value, kind)] * times
    if repeated is None:
        raise _RefusedError(f"{token} has no number of steps", f"write {token}x4 for five samples")
    start = _number(ramp["start"], kind)
    step = _number(ramp["step"], ValueType.DURATION if kind is ValueType.TIMESTAMP else kind)
    step = -step if ramp["sign"] == "-" else step
    return [round(start + step * index, 9) for index in range(times + 1)]  # so that 80% - 2 x 5% is exactly 70%


def _value(text: str, kind: ValueType) -> Sample:
    if kind is not ValueType.TEXT:
        return _number(text, kind)
    if text.startswith('"'):
        if not (len(text) > 1 and text.endswith('"')):
            raise _RefusedError(f"{text} is not one text", 'write "On Break", or "On Break"x3')
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    if not _WORD.fullmatch(text):
        raise _RefusedError(f"{text} is not one text", f'put it in quotes: "{text}"')
    return text


def _number(text: str, kind: ValueType) -> float:
    if kind is ValueType.TIMESTAMP:
        try:
            return parse_timestamp(text).timestamp() * 1000
        except ValueError as error:
            message, _, hint = str(error).partition(": ")
            raise _RefusedError(message.replace("'", ""), hint) from None
    sign, digits = (-1.0, text[1:]) if text.startswith("-") else (1.0, text)
    number = parse_number(digits)
    wanted = ValueType.NUMBER if kind is ValueType.COUNT else kind
    if number is None:
        raise _RefusedError(f"{text} is not {named(kind)}", f"write {_EXAMPLES.get(kind, '5')}")
    if number[1] is not wanted:
        raise _RefusedError(f"{text} is {named(number[1])}, but the key is {named(kind)}", _instead(text, kind))
    if too_long(*number):
        raise _RefusedError(f"{text} is {TOO_LONG}", f"write at most {write_duration(MAX_DURATION)}")
    return sign * number[0]


def _instead(text: str, kind: ValueType) -> str:
    if re.fullmatch(r"[0-9.]+", text):
        if kind is ValueType.DURATION:
            return f"write {text}s"
        if kind is ValueType.RATIO:
            return f"write {text}%"
    return f"write {_EXAMPLES.get(kind, '5')}"
