"""Which types go together: the type of `a + b`, and why `a < b` is refused, with what to write instead.

Count, ratio and number are plain numbers, duration is a length of time, timestamp a point in time. A computed value
(the quotient of two counts, a product) is a plain number and compares with `2` and `25%` alike. A bare `80` beside a
ratio, or `120` beside a duration, is refused: the unit that was meant is anyone's guess.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alertbot.rules.catalogue import ValueType
from alertbot.rules.tree import Key, Literal, Node, Op, Param, Value, is_fixed, show, walk
from alertbot.rules.units import write_number

COUNT, DURATION, RATIO = ValueType.COUNT, ValueType.DURATION, ValueType.RATIO
NUMBER, TEXT, TIMESTAMP = ValueType.NUMBER, ValueType.TEXT, ValueType.TIMESTAMP

_PLAIN = frozenset({COUNT, RATIO, NUMBER})
_NAMES = {
    COUNT: "a count",
    DURATION: "a duration",
    RATIO: "a ratio",
    NUMBER: "a number",
    TEXT: "text",
    TIMESTAMP: "a timestamp",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why two values do not go together, and what to write instead."""

    message: str
    hint: str = ""
    at: Value | None = None  # the side that the author should change; None: both


Spell = Callable[[Node], str]  # how a node is written in a sentence: as its author wrote it


def named(kind: ValueType) -> str:
    """The type in words: "a duration"."""
    return _NAMES[kind]


def arithmetic_type(op: Op, left: Value, right: Value, spell: Spell = show) -> ValueType | Refusal:
    """The type of `left op right`, or why there is none."""
    kinds = left.type, right.type
    if TEXT in kinds:
        text = left if left.type is TEXT else right
        return Refusal(f"{spell(text)} is text, which has no {op}", "text has ==, != and in")
    match op:
        case Op.ADD | Op.SUB:
            return _sum_type(op, left, right, spell)
        case Op.MUL:
            if kinds == (DURATION, DURATION):
                return Refusal("two durations cannot be multiplied", "multiply a duration by a plain number")
            return DURATION if DURATION in kinds and TIMESTAMP not in kinds else _plain_type(op, left, right, spell)
        case _:
            if isinstance(right, Literal) and right.value == 0:
                return Refusal(f"{spell(left)} / {spell(right)} divides by zero", "the result is always unknown", right)
            if kinds == (DURATION, DURATION):
                return NUMBER
            if left.type is DURATION and right.type in _PLAIN:
                return DURATION
            if left.type in _PLAIN and right.type is DURATION:
                return Refusal(
                    f"{spell(left)} cannot be divided by a duration",
                    "divide a duration by a plain number or a duration",
                )
            return _plain_type(op, left, right, spell)


def _plain_type(op: Op, left: Value, right: Value, spell: Spell) -> ValueType | Refusal:
    for value in (left, right):
        if value.type not in _PLAIN:
            return Refusal(f"{spell(value)} is {named(value.type)}, which has no {op}", "it has + and - only")
    return NUMBER


def _sum_type(op: Op, left: Value, right: Value, spell: Spell) -> ValueType | Refusal:
    kinds = left.type, right.type
    if kinds == (TIMESTAMP, TIMESTAMP):
        if op is Op.SUB:
            return DURATION
        return Refusal("two timestamps cannot be added", "one minus the other is a duration")
    if kinds == (TIMESTAMP, DURATION) or (op is Op.ADD and kinds == (DURATION, TIMESTAMP)):
        return TIMESTAMP
    if left.type is right.type:
        return left.type
    refusal = _unlike(left, right, "added to" if op is Op.ADD else "subtracted from", spell, swap=True)
    return refusal or NUMBER


def comparison_refusal(op: Op, left: Value, right: Value, spell: Spell = show) -> Refusal | None:
    """Why `left op right` cannot be compared, or None where it can."""
    if not any(isinstance(node, Key | Param) for side in (left, right) for node in walk(side)):
        return Refusal(f"{spell(left)} {op} {spell(right)} never changes", "compare with a metric key")
    if left.type is right.type:
        if left.type is TEXT and op not in (Op.EQ, Op.NE):
            return Refusal(f"text cannot be compared with {op}", "text has ==, != and in")
        return None
    return _unlike(left, right, "compared with", spell)


def _unlike(left: Value, right: Value, verb: str, spell: Spell, *, swap: bool = False) -> Refusal | None:
    """Why two values of different types cannot stand beside each other, or None where they can."""
    first, second = (right, left) if swap else (left, right)
    message = f"{spell(first)} cannot be {verb} {spell(second)}"
    for one, other in ((left, right), (right, left)):
        match one.type, other.type:
            case ValueType.TEXT, _:
                return Refusal(message, _beside_text(other, one, spell), _changed(one, other))
            case ValueType.TIMESTAMP, _:
                hint = "use a timestamp only with timestamps: write another timestamp key"
                return Refusal(message, hint, _changed(one, other))
            case ValueType.DURATION, _:
                hint = _as_duration(other) if is_fixed(other) else _instead(one, other, spell)
                return Refusal(message, hint, _changed(one, other))
            case ValueType.RATIO, ValueType.NUMBER if is_fixed(other):
                return Refusal(message, _as_ratio(other), _changed(one, other))
            case ValueType.RATIO, ValueType.COUNT:
                return Refusal(message, _instead(one, other, spell), _changed(one, other))
    return None


def _changed(one: Value, other: Value) -> Value | None:
    """The side that the author should change: the constant, where only one side is."""
    fixed = [value for value in (other, one) if is_fixed(value)]
    return fixed[0] if fixed else None


def _beside_text(value: Value, text: Value, spell: Spell) -> str:
    """The side with a metric key decides what the other should have been."""
    example = {COUNT: "5", NUMBER: "5", DURATION: "120s", RATIO: "80%"}.get(value.type)
    if not is_fixed(value) and is_fixed(text) and example:
        return f"{named(value.type)}: write {example}, without quotes"
    if isinstance(value, Literal):
        return f'text: write "{spell(value)}"'
    return f"{spell(text)} is text, {spell(value)} is {named(value.type)}"


def _as_duration(value: Value) -> str:
    literal = value.value if isinstance(value, Literal) else None
    if isinstance(value, Param):
        return f"a duration: set ${value.name} to one, such as 120s"
    if not isinstance(literal, float) or value.type is RATIO:
        return "a duration: write 120s"
    if abs(literal) >= 1000:  # 120000 is most likely 8x8's milliseconds
        return f"a duration: write {write_number(literal, DURATION)}, or {write_number(literal, NUMBER)}s for seconds"
    return f"a duration: write {write_number(literal, NUMBER)}s"


def _as_ratio(value: Value) -> str:
    literal = value.value if isinstance(value, Literal) else None
    if isinstance(value, Param):
        return f"a ratio: set ${value.name} to one, such as 80%"
    if not isinstance(literal, float):
        return "a ratio: write 80%"
    if literal == 1:
        return "a ratio: write 100%, or 1%"
    return f"a ratio: write {write_number(literal, RATIO if 0 < literal < 1 else NUMBER).removesuffix('%')}%"


def _instead(one: Value, other: Value, spell: Spell) -> str:
    if one.type is RATIO and is_fixed(one):
        return f"{named(other.type)}: write a plain number, or divide {spell(other)} by another count"
    if one.type is DURATION and is_fixed(one):
        return f"{named(other.type)}: write a plain number" if other.type is not RATIO else "a ratio: write 80%"
    return f"{spell(one)} is {named(one.type)}, {spell(other)} is {named(other.type)}"
