"""The numbers in the conditions of a rule that can be tuned, and the rule with other numbers in their place.

A *limit* is a number that a condition compares something with: `$warn` in `KEY > $warn`, `2m` in `KEY > 2m`, the factor
in `KEY > 1.5 * OTHER` (there, what is compared is the quotient). Inside, a number that is no parameter becomes one with
a name that no rule file can have, so every variant of a rule differs from it in its parameters alone.

Several limits of a rule may compare the same thing: the two levels and `clear` of `KEY > $warn`, `KEY > $crit`,
`KEY < $calm`. When one of them moves past another, that one has to move along (`settings`): a critical level below the
warning, or an alert that is clear while its condition holds, is no rule that anybody would write.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from alertbot.errors import UsageError
from alertbot.rules.catalogue import ValueType
from alertbot.rules.compare import MIRRORED, OPPOSITE, high_is_bad
from alertbot.rules.rule import Level, Rule
from alertbot.rules.tree import (
    And,
    Arithmetic,
    Compare,
    Condition,
    In,
    IsMissing,
    Literal,
    Not,
    Op,
    Or,
    Param,
    Span,
    Value,
    is_fixed,
    keys_of,
    show,
)
from alertbot.rules.units import write_number
from alertbot.rules.words import listed, nearest

_ORDERED = frozenset({Op.LT, Op.LE, Op.GT, Op.GE})


class NothingToTuneError(Exception):
    """The rule has no number that could be tuned; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One number in a condition. The condition demands `compared op number`.

    `name` is the parameter that holds it in `Tunable.rule`; `param` is the name that the rule file gives it, "" for a
    number that is written in the condition itself. `level` is None for `clear`.
    """

    name: str
    param: str
    level: Level | None
    op: Op
    compared: Value
    present: float
    type: ValueType
    span: Span  # of the number, in the text of the condition
    text: str  # the comparison as written

    @property
    def rises(self) -> bool:
        """Whether a higher limit is less sensitive."""
        return high_is_bad(self.op)

    @property
    def shown(self) -> str:
        """What output calls it: `$warn`, or the number as written."""
        return f"${self.param}" if self.param else write_number(self.present, self.type)

    def keener(self, one: float, other: float) -> bool:
        """Whether a limit of `one` is more sensitive than one of `other`."""
        return one < other if self.rises else one > other


@dataclass(frozen=True)
class Tunable:
    """A rule whose limits are all parameters, with those limits."""

    rule: Rule
    levels: tuple[Limit, ...]
    clear: tuple[Limit, ...]

    def with_(self, values: Mapping[str, float], **changes: Any) -> Rule:
        """The rule with these values of its limits, by name, and other changes."""
        params = dict(self.rule.params)
        for name, value in values.items():
            params[name] = Literal(value, params[name].type)
        return replace(self.rule, params=params, **changes)

    def settings(self, limit: Limit, value: float, base: Mapping[str, float] | None = None) -> dict[str, float]:
        """The values to set when this limit becomes `value`: its own, and those of limits that it would pass.

        `base`: values that were set before.
        """
        values = {**(base or {}), limit.name: value}
        alike = [each for each in self.levels if each.name != limit.name and _alike(each, limit)]
        for other in alike:
            assert other.level is not None
            assert limit.level is not None
            now = values.get(other.name, other.present)
            higher = other.level > limit.level
            if other.level is not limit.level and not (
                limit.keener(value, now) if higher else limit.keener(now, value)
            ):
                values[other.name] = _moved(other, limit, value, up=higher)
        lowest = min(
            (values.get(each.name, each.present) for each in self.levels if _alike(each, limit)),
            key=lambda each: each if limit.rises else -each,
        )
        for other in self.clear:
            now = values.get(other.name, other.present)
            opposite = other.compared == limit.compared and other.rises is not limit.rises
            if opposite and other.name != limit.name and limit.keener(lowest, now):
                values[other.name] = _moved(other, limit, value, up=False, most=lowest)
        return values


def _alike(one: Limit, other: Limit) -> bool:
    return one.compared == other.compared and one.rises is other.rises


def _moved(other: Limit, limit: Limit, value: float, *, up: bool, most: float | None = None) -> float:
    """Where `other` goes when `limit` becomes `value`: as far from it as before, in proportion.

    `up`: to the less sensitive side of `value`, else to the other one.
    """
    if limit.present > 0 and other.present > 0 and limit.present != other.present:
        moved = other.present * value / limit.present
    else:
        moved = value + (other.present - limit.present)
    if limit.type is ValueType.RATIO and moved > 1.0:
        moved = value + (1.0 - value) / 2 if value < 1.0 else 1.0
    whole = float(other.present).is_integer() and other.type not in (ValueType.RATIO, ValueType.DURATION)
    moved = float(round(moved)) if whole else readable(moved, other.type)
    wrong = limit.keener(moved, value) if up else limit.keener(value, moved)
    if wrong or moved < 0:
        moved = value
    return most if most is not None and limit.keener(most, moved) else moved


def tunable(rule: Rule) -> Tunable:
    """The rule with every limit as a parameter."""
    params = dict(rule.params)
    levels, limits = [], list[Limit]()
    for level in rule.levels:
        when, found = _parameterised(level.when, level.text, level.level, rule.params)
        levels.append(replace(level, when=when))
        limits += found
    clear, clears = rule.clear, list[Limit]()
    if clear is not None:
        clear, clears = _parameterised(clear, rule.clear_text, None, rule.params)
    for each in (*limits, *clears):
        params.setdefault(each.name, Literal(each.present, each.type))
    return Tunable(replace(rule, levels=tuple(levels), clear=clear, params=params), tuple(limits), tuple(clears))


def _parameterised(
    condition: Condition, text: str, level: Level | None, params: Mapping[str, Literal]
) -> tuple[Condition, list[Limit]]:
    limits: list[Limit] = []
    replaced: dict[int, Param] = {}
    for compare, negated in _comparisons(condition, negated=False):
        if compare.op not in _ORDERED:
            continue
        for side, other, op in (
            (compare.right, compare.left, compare.op),
            (compare.left, compare.right, MIRRORED[compare.op]),
        ):
            number, divisor = _number(side)
            if number is None or (divisor is None and is_fixed(other)):
                continue
            value = params[number.name] if isinstance(number, Param) else number
            if not isinstance(value.value, float | int) or value.type in (ValueType.TEXT, ValueType.TIMESTAMP):
                continue
            param = number.name if isinstance(number, Param) else ""
            name = param or f"{level.word if level is not None else 'clear'} {len(limits)}"
            compared = other if divisor is None else Arithmetic(Op.DIV, other, divisor, ValueType.NUMBER)
            if not param:
                replaced[id(number)] = Param(name, number.type, number.span)
            limits.append(
                Limit(
                    name=name,
                    param=param,
                    level=level,
                    op=OPPOSITE[op] if negated else op,
                    compared=compared,
                    present=float(value.value),
                    type=value.type,
                    span=number.span,
                    text=text[compare.span.start : compare.span.end] or show(compare),
                )
            )
            break
    return _replaced(condition, replaced) if replaced else condition, limits


def _comparisons(node: Condition, *, negated: bool) -> Iterator[tuple[Compare, bool]]:
    match node:
        case Compare():
            yield node, negated
        case Not(operand=operand):
            yield from _comparisons(operand, negated=not negated)
        case And(parts=parts) | Or(parts=parts):
            for part in parts:
                yield from _comparisons(part, negated=negated)
        case In() | IsMissing():
            return


def _number(side: Value) -> tuple[Literal | Param | None, Value | None]:
    """The number of one side of a comparison, and what it is multiplied with; (None, None) where there is none."""
    if isinstance(side, Literal | Param):
        return side, None
    if isinstance(side, Arithmetic) and side.op is Op.MUL:
        for number, factor in ((side.left, side.right), (side.right, side.left)):
            if isinstance(number, Param):
                return number, factor
        for number, factor in ((side.left, side.right), (side.right, side.left)):
            if isinstance(number, Literal):
                return number, factor
    return None, None


def _replaced(node: Any, by: Mapping[int, Param]) -> Any:
    """The tree with some of its nodes replaced, by identity."""
    if id(node) in by:
        return by[id(node)]
    if isinstance(node, tuple):
        return tuple(_replaced(each, by) for each in node)
    if not is_dataclass(node) or isinstance(node, type | Literal | Span):
        return node
    return replace(node, **{each.name: _replaced(getattr(node, each.name), by) for each in fields(node)})


# Which of them is tuned.


def choose(
    tunable: Tunable, *, level: Level | None = None, param: str | None = None, key: str | None = None
) -> tuple[Limit, ...]:
    """The limits to tune, the lowest level first, each number once.

    Of a level: the only number that it compares with, else the only parameter; comparisons with a plain 0 ask whether
    there is anything at all, and are left out. `level`, `param` and `key` narrow it down.

    Raises NothingToTuneError where no number is left, and UsageError for a name that the rule does not have, or where
    several numbers of a level are left: then it lists them.
    """
    rule = tunable.rule
    if level is not None and rule.level(level) is None:
        words = listed([each.level.word for each in rule.levels], "and")
        raise UsageError(f"--level: rule {rule.id} has no level {level.word} (it has {words})")
    limits = [each for each in tunable.levels if level in (None, each.level)]
    if param is not None:
        limits = _with_param(tunable, limits, param.removeprefix("$"))
    if key is not None:
        limits = _with_key(tunable, limits, key)
    if param is None and key is None:
        limits = [each for each in limits if each.param or each.present != 0]
    chosen: dict[str, Limit] = {}
    for each in rule.levels:
        own = [limit for limit in limits if limit.level is each.level]
        named = {limit.name: limit for limit in own if limit.param}
        if len(own) > 1 and len(named) == 1:
            own = list(named.values())
        if len(own) > 1:
            raise UsageError(_several(rule, each.level, own, param, key))
        for limit in own:
            chosen.setdefault(limit.name, limit)
    if not chosen:
        raise NothingToTuneError(_nothing(tunable, level))
    return tuple(chosen.values())


def _with_param(tunable: Tunable, limits: Sequence[Limit], name: str) -> list[Limit]:
    known = [each for each in tunable.rule.params if " " not in each]
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean {near[0]}?" if near else f"it has {listed(known)}" if known else "it has none"
        raise UsageError(f"--param: rule {tunable.rule.id} has no parameter {name!r} ({hint})")
    found = [each for each in limits if each.param == name]
    if not found:
        elsewhere = [each.level.word for each in tunable.levels if each.param == name and each.level is not None]
        if elsewhere:
            raise UsageError(f"--param: ${name} of rule {tunable.rule.id} is a limit of {listed(elsewhere, 'and')}")
        raise NothingToTuneError(
            f"${name} of rule {tunable.rule.id} is not a limit of a level: no level compares with it using < <= > or >="
        )
    return found


def _with_key(tunable: Tunable, limits: Sequence[Limit], key: str) -> list[Limit]:
    found = [each for each in limits if key.casefold() in {one.casefold() for one in keys_of(each.compared)}]
    if not found:
        known = list(dict.fromkeys(one for each in tunable.levels for one in sorted(keys_of(each.compared))))
        near = nearest(key, known)
        hint = f"did you mean {near[0]}?" if near else f"it compares {listed(known)}" if known else "it compares none"
        raise UsageError(f"--key: rule {tunable.rule.id} compares no {key!r} with a number ({hint})")
    return found


def _several(rule: Rule, level: Level, own: Sequence[Limit], param: str | None, key: str | None) -> str:
    lines = [
        f"rule {rule.id}: {level.word} has several numbers; name the one to tune:",
        *(f"  {each.text}    {_option(each, own)}" for each in own),
    ]
    return "\n".join(lines)


def _option(limit: Limit, own: Sequence[Limit]) -> str:
    if limit.param:
        return f"--param {limit.param}"
    keys = sorted(keys_of(limit.compared))
    alone = [key for key in keys if sum(key in keys_of(each.compared) for each in own) == 1]
    return (
        f"--key {alone[0]}" if alone else "(write it as a parameter: params: {limit: …}, and $limit in the condition)"
    )


def _nothing(tunable: Tunable, level: Level | None) -> str:
    rule = tunable.rule
    where = f"level {level.word} of rule {rule.id}" if level is not None else f"rule {rule.id}"
    zeros = [each for each in tunable.levels if level in (None, each.level)]
    if zeros:
        key = next(iter(sorted(keys_of(zeros[0].compared))), "")
        return f"{where} has no number to tune: it compares only with 0 (--key {key} tunes it anyway)"
    return f"{where} has no number to tune: nothing is compared with a number or a parameter using < <= > or >="


# Readable values.

_SECOND = 1_000.0
_MINUTE, _HOUR = 60 * _SECOND, 3600 * _SECOND
_DURATION_STEPS: tuple[tuple[float, float, float], ...] = (  # up to this many ms, a coarse step and a fine one
    (2 * _SECOND, 250.0, 50.0),
    (10 * _SECOND, _SECOND, 250.0),
    (_MINUTE, 5 * _SECOND, _SECOND),
    (5 * _MINUTE, 15 * _SECOND, 5 * _SECOND),
    (20 * _MINUTE, _MINUTE, 15 * _SECOND),
    (_HOUR, 5 * _MINUTE, _MINUTE),
    (6 * _HOUR, 15 * _MINUTE, 5 * _MINUTE),
    (24 * _HOUR, _HOUR, 15 * _MINUTE),
    (math.inf, 6 * _HOUR, _HOUR),
)


def readable(value: float, kind: ValueType, fineness: int = 1) -> float:
    """The nearest round value. `fineness`: 1 is coarse, 5 and 25 take smaller steps."""
    if value == 0 or not math.isfinite(value):
        return value
    size = abs(value)
    if kind is ValueType.DURATION:
        coarse, fine = next((coarse, fine) for most, coarse, fine in _DURATION_STEPS if size <= most)
        step = coarse if fineness == 1 else fine * 5 / fineness
    elif kind is ValueType.RATIO:
        step = (0.01 if size >= 0.05 else 0.005) / fineness
    else:
        power = 10.0 ** math.floor(math.log10(size))
        mantissa = size / power
        step = power * (0.1 if mantissa < 2 else 0.2 if mantissa < 5 else 0.5) / fineness
    rounded = round(value / step) * step
    return float(f"{rounded:.10g}")
