"""Which conditions can be true at all: interval arithmetic over `and`, `or` and `not` of comparisons.

For `alertbot check`: a rule that can never fire is valid YAML and almost certainly a mistake.

- **What it does.** A condition is expanded into its disjunctive normal form: the list of ways in which it can be true,
  each a set of leaves (comparisons, `in`, `is missing`) that must all hold. Within one way, every subject (a key, a
  window, a difference of two keys) gets bounds, which each leaf narrows; a way is impossible when nothing is left
  between some subject's bounds. The bounds start with the range of the type: counts and durations are never below 0,
  ratios lie between 0% and 100%, counts are whole numbers.
- **The trade.** It must never call a condition impossible that is not, so everything it cannot judge counts as
  possible: arithmetic over several keys, more than _MAX_WAYS ways, texts of unknown words. It misses some impossible
  conditions; it never reports a possible one.
- **The trap.** `not (a < 5)` is not `a >= 5` when a is missing, since both are unknown then. Here that makes no
  difference (unknown is not true, and the question is whether the condition can be true), but it is why a way also
  collects the keys that must be present, and why `a is missing and a > 5` is impossible.
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

_MAX_WAYS = 512  # of making a condition true; with more, it counts as possible
_RANGES = {
    ValueType.COUNT: (0.0, math.inf),
    ValueType.DURATION: (0.0, math.inf),
    ValueType.RATIO: (0.0, 1.0),
}

Leaf = Compare | In | IsMissing
_Way = tuple[tuple[Leaf, bool], ...]  # leaves that must all hold, negated where the flag is True


def can_be_true(condition: Condition, params: Params) -> bool:
    """False when no values of the keys make it true."""
    ways = _ways(condition, negated=False)
    return ways is None or any(_holds_together(way, params) for way in ways)


def constant(node: Value, params: Params) -> float | str | None:
    """The value of a node of constants and parameters only, in column units; None for anything else."""
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
    """The smallest and the largest possible value; infinite where nothing is known."""
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
    """A comparison whose outcome never changes, since its threshold is outside the range of its key."""

    compare: Compare
    subject: Value
    always: bool  # always true; else never


def out_of_range(condition: Condition, params: Params) -> Iterator[OutOfRange]:
    """The comparisons whose threshold is outside the range of their key, including those on counted agents."""
    for node in walk(condition):
        if not isinstance(node, Compare):
            continue
        side = _sided(node, params)
        if side is None:
            continue
        subject, op, limit = side
        low, high = range_of(subject)
        if isinstance(limit, str):
            continue
        outside = limit < low or limit > high
        if (
            (outside and op is Op.EQ)
            or (op is Op.LT and limit <= low)
            or (op is Op.LE and limit < low)
            or (op is Op.GT and limit >= high)
            or (op is Op.GE and limit > high)
        ):
            yield OutOfRange(node, subject, always=False)
        elif outside:  # `>= 0` is always true too, but is a way of asking whether the key is present
            yield OutOfRange(node, subject, always=True)


def _sided(node: Compare, params: Params) -> tuple[Value, Op, float | str] | None:
    """A comparison with a constant, mirrored if needed so that the constant is on the right."""
    left, right = constant(node.left, params), constant(node.right, params)
    if right is not None and left is None:
        return node.left, node.op, right
    if left is not None and right is None:
        return node.right, MIRRORED[node.op], left
    return None


# All ways of making a condition true.


def _ways(node: Condition, *, negated: bool) -> list[_Way] | None:
    """The disjunctive normal form; None where there are too many ways."""
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
            # A part with too many ways may be true: leaving it out can only make more conditions possible.
            return _products([ways for ways in below if ways is not None])
        case _:
            return [((node, negated),)]


def _products(factors: Sequence[list[_Way]]) -> list[_Way] | None:
    product: list[_Way] = [()]
    for ways in factors:
        if len(product) * len(ways) > _MAX_WAYS:
            return None
        product = [(*one, *other) for one in product for other in ways]
    return product


@dataclass
class _Bounds:
    """The values that one number, or one text, may still have."""

    low: float = -math.inf
    high: float = math.inf
    low_included: bool = True
    high_included: bool = True
    whole: bool = False  # whole numbers only
    excluded: set[float | str] = field(default_factory=set)
    words: set[str] | None = None  # the texts that remain; None: any

    def narrow(self, op: Op, limit: float) -> None:
        if op in (Op.GT, Op.GE, Op.EQ) and (limit > self.low or (limit == self.low and op is Op.GT)):
            self.low, self.low_included = limit, op is not Op.GT
        if op in (Op.LT, Op.LE, Op.EQ) and (limit < self.high or (limit == self.high and op is Op.LT)):
            self.high, self.high_included = limit, op is not Op.LT
        if op is Op.NE:
            self.excluded.add(limit)

    def narrow_words(self, words: Iterable[str], *, negated: bool) -> None:
        folded = {caseless(word) for word in words}
        if negated:
            self.excluded |= folded
        else:
            self.words = folded if self.words is None else self.words & folded

    def any_left(self) -> bool:
        if self.words is not None:
            return bool(self.words - {word for word in self.excluded if isinstance(word, str)})
        low, high = self.low, self.high
        if self.whole and math.isfinite(low):
            low = math.floor(low) + 1 if not self.low_included else math.ceil(low)
        if self.whole and math.isfinite(high):
            high = math.ceil(high) - 1 if not self.high_included else math.floor(high)
        if self.whole and math.isfinite(low) and math.isfinite(high):
            return any(value not in self.excluded for value in range(int(low), min(int(high), int(low) + 64) + 1))
        if low > high:
            return False
        return low < high or (self.low_included and self.high_included and low not in self.excluded)


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
    return not (present & missing) and all(each.any_left() for each in bounds.values())


def _needs(leaf: Compare | In) -> set[str]:
    """The keys that must be present for it to be true or false."""
    if any(isinstance(each, Window | Count) for each in walk(leaf)):
        return set()
    return set(keys_of(leaf))


def _narrow(leaf: Compare | In, negated: bool, bounds: dict[str, _Bounds], params: Params) -> bool:
    """Apply one leaf to the bounds; False where it is impossible on its own."""
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
    """Two sides that both vary: their difference against 0."""
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
    own = bounds.get(name)
    if own is None:
        low, high = range_of(subject)
        own = bounds[name] = _Bounds(low, high, whole=_is_whole(subject))
    return own


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
