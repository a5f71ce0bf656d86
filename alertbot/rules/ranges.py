"""Which conditions can be true at all: intervals over `and` and `or` of comparisons with constants.

Only what is certain is said: a condition that is too large to look at, or that compares what has no fixed side, may be
true. What the keys can be is known by type: a count and a duration are never below 0, a ratio is from 0 % to 100 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from alertbot.rules.catalogue import ValueType
from alertbot.rules.compare import MIRRORED, OPPOSITE, caseless, compare
from alertbot.rules.tree import (
    And,
    Arithmetic,
    Compare,
    Condition,
    Count,
    In,
    IsMissing,
    Key,
    Literal,
    Node,
    Not,
    Op,
    Or,
    Param,
    Value,
    Window,
    keys_of,
    show,
    walk,
)

Params = Mapping[str, Literal]

_MAX_WAYS = 512  # of making a condition true; one with more is taken as possible
_RANGES = {
    ValueType.COUNT: (0.0, math.inf),
    ValueType.DURATION: (0.0, math.inf),
    ValueType.RATIO: (0.0, 1.0),
}

Leaf = Compare | In | IsMissing
_Way = tuple[tuple[Leaf, bool], ...]  # leaves that are all true, or (True) not true


def can_be_true(condition: Condition, params: Params) -> bool:
    """False where no values of the keys make it true."""
    ways = _ways(condition, negated=False)
    return ways is None or any(_holds_together(way, params) for way in ways)


def constant(node: Value, params: Params) -> float | str | None:
    """The value of what is built of constants and parameters alone, in column units; None for anything else."""
    match node:
        case Literal(value=value):
            return value
        case Param(name=name):
            literal = params.get(name)
            return None if literal is None else literal.value
        case Arithmetic(op=op, left=left, right=right):
            a, b = constant(left, params), constant(right, params)
            if not isinstance(a, float | int) or not isinstance(b, float | int) or (op is Op.DIV and b == 0):
                return None
            return {Op.ADD: a + b, Op.SUB: a - b, Op.MUL: a * b}.get(op, a / b if b else 0.0)
        case _:
            return None


def range_of(node: Value) -> tuple[float, float]:
    """The least and the greatest value that something can have; infinite where nothing is known."""
    match node:
        case Key(type=kind):
            return _RANGES.get(kind, (-math.inf, math.inf))
        case Count():
            return 0.0, math.inf
        case Window(function="changes"):
            return 0.0, math.inf
        case Window(function="delta"):
            return -math.inf, math.inf
        case Window(function="sum", key=key):
            return range_of(key)[0], math.inf
        case Window(key=key):
            return range_of(key)
        case _:
            return -math.inf, math.inf


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """A comparison that is the same whatever the key is, since its threshold lies where the key never is."""

    compare: Compare
    subject: Value
    always: bool  # true whatever it is; else never


def out_of_range(condition: Condition, params: Params) -> Iterator[OutOfRange]:
    """The comparisons whose threshold is outside of what their key can be, those of counted agents included."""
    for node in walk(condition):
        if not isinstance(node, Compare):
            continue
        side = _sided(node, params)
        if side is None:
            continue
        subject, op, limit = side
        least, most = range_of(subject)
        if isinstance(limit, str):
            continue
        outside = limit < least or limit > most
        if (
            (outside and op is Op.EQ)
            or (op is Op.LT and limit <= least)
            or (op is Op.LE and limit < least)
            or (op is Op.GT and limit >= most)
            or (op is Op.GE and limit > most)
        ):
            yield OutOfRange(node, subject, always=False)
        elif outside:  # `>= 0` is always true as well, but says no more than that the key is there
            yield OutOfRange(node, subject, always=True)


def _sided(node: Compare, params: Params) -> tuple[Value, Op, float | str] | None:
    """A comparison with a constant, turned so that the constant stands on the right."""
    left, right = constant(node.left, params), constant(node.right, params)
    if right is not None and left is None:
        return node.left, node.op, right
    if left is not None and right is None:
        return node.right, MIRRORED[node.op], left
    return None


# All ways of making a condition true.


def _ways(node: Condition, *, negated: bool) -> list[_Way] | None:
    """Sums of products; None where there are too many."""
    match node:
        case Not(operand=operand):
            return _ways(operand, negated=not negated)
        case And(parts=parts) | Or(parts=parts):
            below = [_ways(part, negated=negated) for part in parts]
            if isinstance(node, Or) is not negated:
                joined: list[_Way] = []
                for ways in below:
                    if ways is None:
                        return None
                    joined += ways
                return joined if len(joined) <= _MAX_WAYS else None
            # A part that cannot be looked at may be true: leaving it out makes nothing impossible that is not.
            return _products([ways for ways in below if ways is not None])
        case _:
            return [((node, negated),)]


def _products(factors: Sequence[list[_Way]]) -> list[_Way] | None:
    found: list[_Way] = [()]
    for ways in factors:
        if len(found) * len(ways) > _MAX_WAYS:
            return None
        found = [(*one, *other) for one in found for other in ways]
    return found


@dataclass
class _Bounds:
    """What one number, or one text, may still be."""

    least: float = -math.inf
    most: float = math.inf
    least_itself: bool = True
    most_itself: bool = True
    whole: bool = False  # only whole numbers
    not_these: set[float | str] = field(default_factory=set)
    words: set[str] | None = None  # the texts that are left; None: any

    def narrow(self, op: Op, limit: float) -> None:
        if op in (Op.GT, Op.GE, Op.EQ) and (limit > self.least or (limit == self.least and op is Op.GT)):
            self.least, self.least_itself = limit, op is not Op.GT
        if op in (Op.LT, Op.LE, Op.EQ) and (limit < self.most or (limit == self.most and op is Op.LT)):
            self.most, self.most_itself = limit, op is not Op.LT
        if op is Op.NE:
            self.not_these.add(limit)

    def narrow_words(self, words: Iterable[str], *, negated: bool) -> None:
        folded = {caseless(word) for word in words}
        if negated:
            self.not_these |= folded
        else:
            self.words = folded if self.words is None else self.words & folded

    def left(self) -> bool:
        if self.words is not None:
            return bool(self.words - {each for each in self.not_these if isinstance(each, str)})
        least, most = self.least, self.most
        if self.whole and math.isfinite(least):
            least = math.floor(least) + 1 if not self.least_itself else math.ceil(least)
        if self.whole and math.isfinite(most):
            most = math.ceil(most) - 1 if not self.most_itself else math.floor(most)
        if self.whole and math.isfinite(least) and math.isfinite(most):
            return any(value not in self.not_these for value in range(int(least), min(int(most), int(least) + 64) + 1))
        if least > most:
            return False
        return least < most or (self.least_itself and self.most_itself and least not in self.not_these)


def _holds_together(way: _Way, params: Params) -> bool:
    bounds: dict[str, _Bounds] = {}
    present: set[str] = set()
    missing: set[str] = set()
    for leaf, negated in way:
        if isinstance(leaf, IsMissing):
            (present if leaf.negated is not negated else missing).add(leaf.key.key)
            continue
        present |= _needs(leaf)
        if not _narrow(leaf, negated, bounds, params):
            return False
    return not (present & missing) and all(each.left() for each in bounds.values())


def _needs(leaf: Compare | In) -> set[str]:
    """The keys that must be there for it to be true or false."""
    if any(isinstance(each, Window | Count) for each in walk(leaf)):
        return set()
    return set(keys_of(leaf))


def _narrow(leaf: Compare | In, negated: bool, bounds: dict[str, _Bounds], params: Params) -> bool:
    """Take a leaf into account; False where it is impossible by itself."""
    if isinstance(leaf, In):
        _of(leaf.left, bounds).narrow_words((str(each.value) for each in leaf.choices), negated=negated)
        return True
    op = OPPOSITE[leaf.op] if negated else leaf.op
    left, right = constant(leaf.left, params), constant(leaf.right, params)
    if left is not None and right is not None:
        return compare(op, left, right) is not False
    side = _sided(leaf, params)
    if side is None:
        return _narrow_pair(leaf, op, bounds)
    subject, sided, limit = side
    if negated:
        sided = OPPOSITE[sided]
    if isinstance(limit, str):
        if sided in (Op.EQ, Op.NE):
            _of(subject, bounds).narrow_words([limit], negated=sided is Op.NE)
        return True
    _of(subject, bounds).narrow(sided, float(limit))
    return True


def _narrow_pair(leaf: Compare, op: Op, bounds: dict[str, _Bounds]) -> bool:
    """Two things that both vary: their difference against 0."""
    left, right = show(leaf.left), show(leaf.right)
    if left == right:
        return op in (Op.LE, Op.GE, Op.EQ)
    if leaf.left.type is ValueType.TEXT:
        return True
    if left > right:
        left, right, op = right, left, MIRRORED[op]
    bounds.setdefault(f"{left} - {right}", _Bounds()).narrow(op, 0.0)
    return True


def _of(subject: Value, bounds: dict[str, _Bounds]) -> _Bounds:
    name = show(subject)
    found = bounds.get(name)
    if found is None:
        least, most = range_of(subject)
        found = bounds[name] = _Bounds(least, most, whole=_is_whole(subject))
    return found


def _is_whole(node: Node) -> bool:
    match node:
        case Key(type=ValueType.COUNT) | Count():
            return True
        case Window(function="changes"):
            return True
        case Window(function="min" | "max" | "sum" | "ago" | "delta", key=Key(type=ValueType.COUNT)):
            return True
        case _:
            return False
