"""One rule for one entity, with plain values: what a card shows, and why a condition is true, false or unknown.

A separate interpreter, not a slice of the columns of `evaluate.py`: it keeps the texts and values to be shown, and a
property test compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from alertbot.evaluation.evaluate import Truth, parameter
from alertbot.evaluation.measure import Measure
from alertbot.evaluation.past import Past
from alertbot.evaluation.snapshot import Presence, Snapshot
from alertbot.rules.catalogue import ValueType
from alertbot.rules.compare import MIRRORED, OPPOSITE, compare, compare_ranges, high_is_bad
from alertbot.rules.functions import FUNCTIONS, Reads
from alertbot.rules.match import covers
from alertbot.rules.rule import Level, LevelRule, Rule
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
    fill,
    is_fixed,
    show,
    walk,
)


@dataclass(frozen=True, slots=True)
class Term:
    """One node of a condition with its outcome: conditions have a `truth`, values a `value` and its `type`.

    `value` is in column units (ms, 0 to 1), None where unknown; for a key, `presence` gives the reason. A value that is
    a range is None, with the smallest and largest value in `bounds`. `weeks`, of `usual`: how many weeks are known.
    """

    text: str
    truth: Truth | None = None
    value: float | str | None = None
    type: ValueType | None = None
    presence: Presence | None = None
    parts: tuple[Term, ...] = ()
    bounds: tuple[float, float] | None = None
    weeks: int | None = None
    of_weeks: int = 0  # how many `usual` looks at


@dataclass(frozen=True, slots=True)
class Explanation:
    """A rule's conditions for one entity. `guard` and `clear` are None where the rule has none."""

    covered: bool
    guard: Term | None
    levels: Mapping[Level, Term]
    clear: Term | None


def explain(
    rule: Rule, snapshot: Snapshot, row: int, *, agents: Snapshot | None = None, past: Past | None = None
) -> Explanation:
    """Every condition of the rule for one row, term by term.

    `agents` are from the same poll, for `count`; `past` ends with this poll. Without them, those are unknown.
    """
    evaluator = _RowEvaluator(rule, snapshot, row, agents, past)
    return Explanation(
        covered=covers(rule.match, snapshot.ids[row], snapshot.names[row]),
        guard=evaluator.term(rule.guard, rule.guard_text) if rule.guard is not None else None,
        levels={each.level: evaluator.term(each.when, each.text) for each in rule.levels},
        clear=evaluator.term(rule.clear, rule.clear_text) if rule.clear is not None else None,
    )


def truth(
    node: Condition,
    rule: Rule,
    snapshot: Snapshot,
    row: int,
    *,
    agents: Snapshot | None = None,
    past: Past | None = None,
) -> Truth:
    """One condition for one row."""
    return _RowEvaluator(rule, snapshot, row, agents, past).truth(node)


def filled(rule: Rule, node: Node, written: str, entity_id: str, entity_name: str) -> str:
    """A condition as written, with the values its parameters have for this entity: `… > 2m`, not `… > $warn`."""
    if not rule.params:
        return written
    number = next(
        (at for at, each in enumerate(rule.overrides) if covers(each.match, entity_id, entity_name)),
        len(rule.overrides),
    )
    texts = _filled_of(rule)
    known = texts.get((id(node), number))
    if known is None:
        names = {each.name for each in walk(node) if isinstance(each, Param)}
        values = {name: parameter(rule, name, entity_id, entity_name) for name in names}
        known = texts[id(node), number] = node, fill(node, written, values) if names else written
    return known[1]


_Filled = dict[tuple[int, int], tuple[Node, str]]
_FILLED: dict[int, tuple[Rule, _Filled]] = {}
"""What `filled` wrote, by the rule, the node, and the override that applies: every step of an alert asks for it.

By identity, since the hash of a rule is that of its whole tree. The rule and the nodes are kept, so that no other
object can have their identity.
"""
_MAX_FILLED = 2048  # rules; beyond that it begins again


def _filled_of(rule: Rule) -> _Filled:
    kept = _FILLED.get(id(rule))
    if kept is None:
        if len(_FILLED) >= _MAX_FILLED:
            _FILLED.clear()
        kept = _FILLED[id(rule)] = rule, {}
    return kept[1]


def measure(
    rule: Rule,
    level: Level,
    snapshot: Snapshot,
    row: int,
    *,
    agents: Snapshot | None = None,
    past: Past | None = None,
    windows: Callable[[Window], float | None] | None = None,
) -> Measure | None:
    """The comparison to show: what was measured, against what; None where the condition compares no key.

    `windows` has the values of windows over numbers, where they are at hand: reading all samples of one takes long.

    Of `and` the first, of `or` the first that is true; numbers before texts, since "on break for 25m" says more than
    "status is OnBreak". It is mirrored if needed so that the key is on the left.
    """
    level_rule = rule.level(level)
    if level_rule is None:
        return None
    evaluator = _RowEvaluator(rule, snapshot, row, agents, past, windows=windows)
    try:
        scale = _scale(level_rule)
    except _DependsOnTheRowError:
        scale = _scale_of_the_row(level_rule, evaluator)
    if scale is None:
        return None
    label, kind, op, left, right = scale
    if "$" in label:
        label = filled(rule, left, level_rule.text, snapshot.ids[row], snapshot.names[row])
    return Measure(label, kind, op, *evaluator.shown(Op(op), left, right))


@lru_cache(maxsize=4096)
def measured(level: LevelRule) -> tuple[Key | Window | Count, ...]:
    """What `measure` reads: while these stay as they are for an entity, so does the comparison to show.

    Where it depends on which of several comparisons is true, all of them.
    """
    try:
        scale = _scale(level)
    except _DependsOnTheRowError:
        nodes: Iterable[Node] = (level.when,)
    else:
        nodes = scale[3:] if scale is not None else ()
    return tuple(dict.fromkeys(leaf for node in nodes for leaf in _leaves(node)))


@lru_cache(maxsize=4096)
def moving(level: LevelRule) -> Key | Window | None:
    """The key or window whose value is all that can change in the `measure` of an entity.

    None where more can: another comparison may be shown, the limit is no fixed value, or ranges are compared. Values of
    text and of `usual` are read one by one.
    """
    try:
        scale = _scale(level)
    except _DependsOnTheRowError:
        return None
    if scale is None:
        return None
    *_, left, right = scale
    if not isinstance(left, Key | Window) or left.type is ValueType.TEXT or not is_fixed(right):
        return None
    return None if isinstance(left, Window) and left.weeks else left


def _leaves(node: Node) -> Iterator[Key | Window | Count]:
    """The keys, windows and counts of a node; not the keys inside a window or a count."""
    match node:
        case Key() | Window() | Count():
            yield node
        case Arithmetic(left=left, right=right) | Compare(left=left, right=right):
            yield from _leaves(left)
            yield from _leaves(right)
        case In(left=left):
            yield from _leaves(left)
        case IsMissing(key=key):
            yield key
        case Not(operand=operand):
            yield from _leaves(operand)
        case And(parts=parts) | Or(parts=parts):
            for part in parts:
                yield from _leaves(part)
        case Literal() | Param():
            return


def ending(
    rule: Rule,
    level: Level,
    snapshot: Snapshot,
    row: int,
    *,
    agents: Snapshot | None = None,
    past: Past | None = None,
) -> Measure | None:
    """The comparison of a text that ends a level: of `clear`, or else of the level that no longer holds.

    None where no such comparison is true: then the measure itself is what ended it.
    """
    level_rule = rule.level(level)
    if level_rule is None:
        return None
    node, negated = (rule.clear, False) if rule.clear is not None else (level_rule.when, True)
    evaluator = _RowEvaluator(rule, snapshot, row, agents, past)
    for op, left, right in _text_comparisons(node, negated=negated):
        value, other = evaluator.value(left), evaluator.value(right)
        if _compare(op, value, other) is Truth.TRUE:
            written = rule.clear_text if rule.clear is not None else level_rule.text
            return Measure(_text(left, written), ValueType.TEXT, op.value, value, other)
    return None


def _text_comparisons(node: Condition, *, negated: bool) -> Iterator[_Shown]:
    match node:
        case Compare(op=op, left=left, right=right):
            if isinstance(left, Key) and left.type is ValueType.TEXT:
                yield OPPOSITE[op] if negated else op, left, right
        case Not(operand=operand):
            yield from _text_comparisons(operand, negated=not negated)
        case And(parts=parts) | Or(parts=parts):
            for part in parts:
                yield from _text_comparisons(part, negated=negated)
        case In() | IsMissing():
            return


_Shown = tuple[Op, Value, Value]
_Scale = tuple[str, ValueType, str, Value, Value]


class _DependsOnTheRowError(Exception):
    """The comparison to show depends on which of several is true."""


@lru_cache(maxsize=4096)
def _scale(level: LevelRule) -> _Scale | None:
    """The comparison to show. Raises _DependsOnTheRowError when it is not the same for every row and poll."""
    return _scale_of(_shown(level.when, None, negated=False), level.text)


def _scale_of_the_row(level: LevelRule, evaluator: _RowEvaluator) -> _Scale | None:
    choices = _choices(level)
    if choices is None:
        return _scale_of(_shown(level.when, evaluator, negated=False), level.text)
    true = [scale for part, scale in choices if evaluator.truth(part) is Truth.TRUE]
    scales = true or [scale for _, scale in choices]
    return next((scale for scale in scales if scale[3].type is not ValueType.TEXT), scales[0])


@lru_cache(maxsize=4096)
def _choices(level: LevelRule) -> tuple[tuple[Condition, _Scale], ...] | None:
    """The comparisons of `a or b`, of which the first that is true is shown; None for what is less simple."""
    if not isinstance(level.when, Or) or not all(isinstance(part, Compare) for part in level.when.parts):
        return None
    shown = [(part, _scale_of(_shown(part, None, negated=False), level.text)) for part in level.when.parts]
    return tuple((part, scale) for part, scale in shown if scale is not None)


def _scale_of(shown: _Shown | None, written: str) -> _Scale | None:
    if shown is None:
        return None
    op, left, right = shown
    if is_fixed(left):
        op, left, right = MIRRORED[op], right, left
    kind = right.type if left.type is ValueType.NUMBER else left.type  # a quotient of counts against 25% is a ratio
    return _text(left, written), kind, op.value, left, right


def _shown(node: Condition, evaluator: _RowEvaluator | None, *, negated: bool) -> _Shown | None:
    match node:
        case Compare(op=op, left=left, right=right):
            return (OPPOSITE[op] if negated else op, left, right) if not is_fixed(node) else None
        case Not(operand=operand):
            return _shown(operand, evaluator, negated=not negated)
        case And(parts=parts) | Or(parts=parts):
            usable = [
                (part, shown) for part in parts if (shown := _shown(part, evaluator, negated=negated)) is not None
            ]
            if isinstance(node, Or) is not negated and len(usable) > 1:  # `not (a and b)` is an or
                if evaluator is None:
                    raise _DependsOnTheRowError
                wanted = Truth.FALSE if negated else Truth.TRUE
                usable = [pair for pair in usable if evaluator.truth(pair[0]) is wanted] or usable
            numbers = [shown for _, shown in usable if shown[1].type is not ValueType.TEXT]
            return next(iter(numbers or [shown for _, shown in usable]), None)
        case In() | IsMissing():
            return None


class _RowEvaluator:
    """One row of a snapshot through one rule."""

    __slots__ = ("_agents", "_entity", "_past", "_row", "_rule", "_snapshot", "_windows")

    def __init__(
        self,
        rule: Rule,
        snapshot: Snapshot,
        row: int,
        agents: Snapshot | None,
        past: Past | None,
        entity: tuple[str, str] | None = None,
        windows: Callable[[Window], float | None] | None = None,
    ) -> None:
        self._rule = rule
        self._snapshot = snapshot
        self._row = row
        self._agents = agents
        self._past = past
        self._windows = windows
        self._entity = entity or (snapshot.ids[row], snapshot.names[row])  # id and name, for overrides

    def value(self, node: Value) -> float | str | None:
        match node:
            case Literal(value=value):
                return _finite(value)
            case Param(name=name):
                return _finite(parameter(self._rule, name, *self._entity).value)
            case Key():
                return self._read(node)[0]
            case Window():
                return self._usual(node)[0] if node.weeks else self._look_back(node)
            case Count() | Arithmetic():
                bounds = self.bounds(node)
                return bounds[0] if bounds is not None and bounds[0] == bounds[1] else None

    def bounds(self, node: Value) -> tuple[float, float] | None:
        """The smallest and the largest number that a value may be; None where it is unknown, or text."""
        match node:
            case Count(where=where):
                if self._agents is None or not self._agents.complete or self._agents.scope is not node.scope:
                    return None
                truths = [evaluator.truth(where) for evaluator in self._agents_of(node)]
                certain = truths.count(Truth.TRUE)
                return float(certain), float(certain + truths.count(Truth.UNKNOWN))
            case Arithmetic(op=op, left=left, right=right):
                a, b = self.bounds(left), self.bounds(right)
                if a is None or b is None or (op is Op.DIV and b[0] <= 0.0 <= b[1]):
                    return None
                ends = [_ARITHMETIC[op](one, other) for one in a for other in b]
                return (min(ends), max(ends)) if all(map(math.isfinite, ends)) else None
            case _:
                value = self.value(node)
                return (value, value) if isinstance(value, float) else None

    def shown(self, op: Op, left: Value, right: Value) -> tuple[float | str | None, float | str | None]:
        """The two sides of a comparison for a card: of ranges the ends that decide it, nothing where they do not."""
        if not isinstance(left, Count | Arithmetic) and not isinstance(right, Count | Arithmetic):
            return self.value(left), self.value(right)
        a, b = self.bounds(left), self.bounds(right)
        if a is None or b is None or (a[0] == a[1] and b[0] == b[1]):
            return self.value(left), self.value(right)
        if not any(compare_ranges(op, a, b)):
            return None, b[0] if b[0] == b[1] else None
        return (a[0], b[1]) if high_is_bad(op) else (a[1], b[0])

    def truth(self, node: Condition) -> Truth:
        match node:
            case Compare(op=op, left=left, right=right):
                a, b = self.bounds(left), self.bounds(right)
                if a is None or b is None:
                    return _compare(op, self.value(left), self.value(right))
                true, false = compare_ranges(op, a, b)
                return Truth.TRUE if true else Truth.FALSE if false else Truth.UNKNOWN
            case In(left=left, choices=choices):
                value = self.value(left)
                if value is None:
                    return Truth.UNKNOWN
                alike = [_compare(Op.EQ, value, _finite(choice.value)) for choice in choices]
                return Truth.TRUE if Truth.TRUE in alike else Truth.FALSE
            case IsMissing(key=key, negated=negated):
                return Truth((self.value(key) is None) is not negated)
            case Not(operand=operand):
                return {Truth.TRUE: Truth.FALSE, Truth.FALSE: Truth.TRUE, Truth.UNKNOWN: Truth.UNKNOWN}[
                    self.truth(operand)
                ]
            case And(parts=parts):
                truths = [self.truth(part) for part in parts]
                if Truth.FALSE in truths:
                    return Truth.FALSE
                return Truth.UNKNOWN if Truth.UNKNOWN in truths else Truth.TRUE
            case Or(parts=parts):
                truths = [self.truth(part) for part in parts]
                if Truth.TRUE in truths:
                    return Truth.TRUE
                return Truth.UNKNOWN if Truth.UNKNOWN in truths else Truth.FALSE

    def term(self, node: Node, written: str) -> Term:
        """The tree of a node; `written` is the text that its spans point into."""
        text = _text(node, written)
        match node:
            case Literal() | Param():
                return Term(text, value=self.value(node), type=node.type)
            case Key():
                value, presence = self._read(node)
                return Term(text, value=value, type=node.type, presence=presence)
            case Window(weeks=0):
                return Term(text, value=self.value(node), type=node.type)
            case Window():
                value, weeks = self._usual(node)
                return Term(text, value=value, type=node.type, weeks=weeks, of_weeks=node.weeks)
            case Count():
                # Without the condition inside: it has a value per agent, and none here.
                return Term(text, value=self.value(node), type=node.type, bounds=self.bounds(node))
            case Arithmetic(left=left, right=right):
                parts = (self.term(left, written), self.term(right, written))
                return Term(text, value=self.value(node), type=node.type, parts=parts, bounds=self.bounds(node))
            case Compare(left=left, right=right):
                return self._condition(node, text, (left, right), written)
            case In(left=left):
                return self._condition(node, text, (left,), written)
            case IsMissing(key=key):
                return self._condition(node, text, (key,), written)
            case Not(operand=operand):
                return self._condition(node, text, (operand,), written)
            case And(parts=below) | Or(parts=below):
                return self._condition(node, text, below, written)

    def _condition(self, node: Condition, text: str, below: Sequence[Node], written: str) -> Term:
        return Term(text, truth=self.truth(node), parts=tuple(self.term(each, written) for each in below))

    def _agents_of(self, node: Count) -> Iterator[_RowEvaluator]:
        agents = self._agents
        if agents is not None and agents.scope is node.scope:
            for row, parent_id in enumerate(agents.parent_ids):
                if parent_id == self._entity[0] and covers(self._rule.countable, agents.ids[row], agents.names[row]):
                    yield _RowEvaluator(self._rule, agents, row, None, self._past, self._entity)

    def _look_back(self, window: Window) -> float | str | None:
        if self._windows is not None and window.type is not ValueType.TEXT:
            return self._windows(window)
        if self._past is None:
            return None
        samples = self._past.samples(window, self._snapshot, self._row)
        known = [value for value in samples if value is not None]
        needed = self._past.expected(window) / 2 if FUNCTIONS[window.function].reads is Reads.WINDOW else 0
        if not known or len(known) < needed:
            return None
        return _finite(_WINDOW_FUNCTIONS[window.function](known))

    def _usual(self, window: Window) -> tuple[float | None, int]:
        """What is usual, and how many of the weeks are known."""
        usual = self._past.usual if self._past is not None else None
        if usual is None:
            return None, 0
        values, known, weeks = usual.typical(window, self._snapshot, self._rule.calendar)
        return (float(values[self._row]) if known[self._row] else None), int(weeks[self._row])

    def _read(self, key: Key) -> tuple[float | str | None, Presence]:
        value, presence = self._snapshot.reading(key.key, self._row)
        if value is not None and isinstance(value, str) is not (key.type is ValueType.TEXT):
            return None, Presence.INVALID
        value = _finite(value)
        return value, Presence.INVALID if value is None and presence is Presence.PRESENT else presence


_WINDOW_FUNCTIONS: Mapping[str, Callable[[list[Any]], float | str]] = {
    "avg": lambda samples: sum(samples) / len(samples),
    "min": min,
    "max": max,
    "sum": sum,
    "delta": lambda samples: samples[-1] - samples[0],
    "changes": lambda samples: float(sum(not compare(Op.EQ, one, other) for one, other in pairwise(samples))),
    "ago": lambda samples: samples[-1],
}
_ARITHMETIC: Mapping[Op, Callable[[float, float], float]] = {
    Op.ADD: lambda a, b: a + b,
    Op.SUB: lambda a, b: a - b,
    Op.MUL: lambda a, b: a * b,
    Op.DIV: lambda a, b: a / b,
}


def _finite(value: float | str | None) -> float | str | None:
    if value is None or isinstance(value, str):
        return value
    return float(value) if math.isfinite(value) else None


def _compare(op: Op, left: float | str | None, right: float | str | None) -> Truth:
    outcome = compare(op, left, right)
    return Truth.UNKNOWN if outcome is None else Truth(outcome)


def _text(node: Node, written: str) -> str:
    """A node as written; for a rule made in code, as `show` writes it."""
    return written[node.span.start : node.span.end] if node.span.end > node.span.start else show(node)
