"""How two values compare: the one place that says so, for conditions, `check`, sentences and cards.

Values are compared in column units (ms, 0 to 1, epoch ms) and exactly: there is no tolerance. What a card rounds
(`60.4 s` against `60 s`) is compared before it is rounded, and the sentence says "just above". Text knows `==` and
`!=` only, without regard to case. Number against text, and anything against a missing value, does not compare: the
answer is None, which is neither true nor false.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from alertbot.rules.tree import Op

OPERATORS: Mapping[Op, Callable[[Any, Any], Any]] = {
    Op.LT: operator.lt,
    Op.LE: operator.le,
    Op.GT: operator.gt,
    Op.GE: operator.ge,
    Op.EQ: operator.eq,
    Op.NE: operator.ne,
}
"""Each comparison as a function of two numbers, or of two numpy columns, row by row."""

MIRRORED: Mapping[Op, Op] = {
    Op.LT: Op.GT,
    Op.LE: Op.GE,
    Op.GT: Op.LT,
    Op.GE: Op.LE,
    Op.EQ: Op.EQ,
    Op.NE: Op.NE,
}
"""`a op b` is `b MIRRORED[op] a`."""

OPPOSITE: Mapping[Op, Op] = {
    Op.LT: Op.GE,
    Op.LE: Op.GT,
    Op.GT: Op.LE,
    Op.GE: Op.LT,
    Op.EQ: Op.NE,
    Op.NE: Op.EQ,
}
"""`not (a op b)` is `a OPPOSITE[op] b`, where both are known."""

TEXT_OPERATORS = frozenset({Op.EQ, Op.NE})


def caseless(text: str) -> str:
    """The form in which texts are compared: `OnBreak` and `ONBREAK` are one text."""
    return text.casefold()


def compare(op: str, left: float | str | None, right: float | str | None) -> bool | None:
    """Whether `left op right`; None where the two do not compare, or `op` is no comparison."""
    if isinstance(left, str) and isinstance(right, str):
        return (caseless(left) == caseless(right)) is (op == Op.EQ) if op in TEXT_OPERATORS else None
    if left is None or right is None or isinstance(left, str) or isinstance(right, str):
        return None
    function = _BY_WORD.get(op)
    return None if function is None else bool(function(left, right))


_BY_WORD: Mapping[str, Callable[[Any, Any], Any]] = {op.value: function for op, function in OPERATORS.items()}


Range = tuple[Any, Any]
"""The smallest and the largest value that something may have: two numbers, or two numpy columns."""


def compare_ranges(op: Op, left: Range, right: Range) -> tuple[Any, Any]:
    """Where `left op right` holds for all values of the ranges, and where for none of them; otherwise it is undecided.

    Two bools for ranges of numbers, two columns for ranges of columns.
    """
    (low, high), (other_low, other_high) = left, right
    if op is Op.GT:
        return low > other_high, high <= other_low
    if op is Op.GE:
        return low >= other_high, high < other_low
    if op is Op.LT:
        return high < other_low, low >= other_high
    if op is Op.LE:
        return high <= other_low, low > other_high
    same = (low == other_high) & (high == other_low)  # a range has low <= high, so both are one value
    apart = (high < other_low) | (low > other_high)
    return (same, apart) if op is Op.EQ else (apart, same)


def high_is_bad(op: str) -> bool:
    """Whether a greater value is further beyond the limit: so for all but `<` and `<=`."""
    return op not in (Op.LT, Op.LE)
