"""The tree of a condition: every kind of node, how to walk it, and how to write it as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from typing import Any, ClassVar

from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.units import write_number


@dataclass(frozen=True, slots=True)
class Span:
    """Where a node stands in its text: 0-based offsets, `end` exclusive."""

    start: int
    end: int


_NOWHERE = Span(0, 0)
USUAL = "usual"
"""The function that compares with the weeks before; its window is whole weeks."""
WEEK = 7 * 86_400_000.0  # ms


class Op(StrEnum):
    """Operators between two values."""

    ADD = "+"
    SUB = "-"
    MUL = "*"
    DIV = "/"
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    EQ = "=="
    NE = "!="


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant in column units: ms for durations, 0 to 1 for ratios, epoch ms for timestamps; text as written."""

    value: float | str
    type: ValueType
    span: Span = field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Key:
    """The present value of a metric key."""

    key: str
    type: ValueType
    span: Span = field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Param:
    """`$name`: a rule's parameter; its value may differ by entity (overrides)."""

    name: str
    type: ValueType
    span: Span = field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Window:
    """`avg(KEY, 10m)`: a function of `functions.py` over the recent samples of a key. `length` is in ms.

    `usual(KEY, 4w)` is one too. Its value changes with the quarter-hour, and it depends on the calendar of its rule.
    """

    function: str
    key: Key
    length: float
    type: ValueType
    span: Span = field(default=_NOWHERE, compare=False)

    @property
    def weeks(self) -> int:
        """The weeks of `usual`; 0 for every other function."""
        return round(self.length / WEEK) if self.function == USUAL else 0


@dataclass(frozen=True, slots=True)
class Count:
    """`count(agents where …)`: how many agents of a queue or group; `where` is over the keys of `scope`.

    A range where the condition is unknown for some of them: from those for which it is true, to those plus the unknown
    ones. Unknown where the list of agents is incomplete or missing.
    """

    where: Condition
    scope: Scope  # queue_agent or group_agent
    span: Span = field(default=_NOWHERE, compare=False)
    type: ClassVar[ValueType] = ValueType.COUNT


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`+ - * /`; a range where a side is one. Unknown where a side is unknown, and where the divisor may be zero."""

    op: Op
    left: Value
    right: Value
    type: ValueType
    span: Span = field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Compare:
    """`< <= > >= == !=`; unknown where a side is unknown, or a range over which it does not come out the same.

    Text compares without regard to case.
    """

    op: Op
    left: Value
    right: Value
    span: Span = field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class In:
    """`KEY in ["A", "B"]`."""

    left: Value
    choices: tuple[Literal, ...]
    span: Span = field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class IsMissing:
    """`KEY is missing` (or `is not missing`): never unknown."""

    key: Key
    negated: bool
    span: Span = field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """Not; unknown stays unknown."""

    operand: Condition
    span: Span = field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class And:
    """True when all are, false when one is, else unknown. At least two parts."""

    parts: tuple[Condition, ...]
    span: Span = field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Or:
    """True when one is, false when all are, else unknown. At least two parts."""

    parts: tuple[Condition, ...]
    span: Span = field(default=_NOWHERE, compare=False)


Value = Literal | Key | Param | Window | Count | Arithmetic
Condition = Compare | In | IsMissing | Not | And | Or
Node = Value | Condition


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it, depth first."""
    yield node
    for below in _below(node):
        yield from walk(below)


def _below(node: Node) -> tuple[Node, ...]:
    match node:
        case Arithmetic(left=left, right=right) | Compare(left=left, right=right):
            return left, right
        case In(left=left):
            return (left,)
        case IsMissing(key=key) | Window(key=key):
            return (key,)
        case Count(where=operand) | Not(operand=operand):
            return (operand,)
        case And(parts=parts) | Or(parts=parts):
            return parts
        case Literal() | Key() | Param():
            return ()


def reads(node: Node, scope: Scope) -> Iterator[tuple[Scope, Key | Window]]:
    """The keys and windows that a condition over `scope` reads, each with its scope."""
    if isinstance(node, Key | Window):
        yield scope, node
    inner = node.scope if isinstance(node, Count) else scope
    for below in _below(node):
        yield from reads(below, inner)


def keys_of(node: Node) -> frozenset[str]:
    """The metric keys of the entity itself that a node reads, without those of the agents that it counts."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Key):
            found.add(each.key)
        if not isinstance(each, Count):
            waiting.extend(_below(each))
    return frozenset(found)


def is_fixed(node: Node) -> bool:
    """Whether it consists of constants and parameters only."""
    return not any(isinstance(each, Key) for each in walk(node))


def fill(node: Node, text: str, values: Mapping[str, Literal]) -> str:
    """The text of a node with its parameters replaced by these values; `text` is what its spans point into.

    A node that was not parsed from text (a rule made in code) is written by `show`.
    """
    if node.span.end <= node.span.start:
        return show(substituted(node, values))
    params = [each for each in walk(node) if isinstance(each, Param)]
    at, pieces = node.span.start, []
    for param in sorted(params, key=lambda each: each.span.start):
        pieces += [text[at : param.span.start], show(values[param.name])]
        at = param.span.end
    return "".join([*pieces, text[at : node.span.end]])


def substituted(node: Any, values: Mapping[str, Literal]) -> Any:
    """A node of the same kind with its parameters replaced by these values."""
    if isinstance(node, Param):
        return values[node.name]
    if isinstance(node, tuple):
        return tuple(substituted(each, values) for each in node)
    if not is_dataclass(node) or isinstance(node, type | Literal | Span):
        return node
    return replace(node, **{each.name: substituted(getattr(node, each.name), values) for each in fields(node)})


# Precedence: a looser node inside a tighter one needs parentheses.
_LOOSENESS: Mapping[type, int] = {Or: 6, And: 5, Not: 4, Compare: 3, In: 3, IsMissing: 3}
_SUM, _PRODUCT, _ATOM = 2, 1, 0


def show(node: Node) -> str:
    """The node as text, with only the parentheses it needs: parsing it gives the same tree."""
    match node:
        case Literal(value=value, type=kind):
            return _quoted(value) if isinstance(value, str) else write_number(value, kind)
        case Key(key=key):
            return key
        case Param(name=name):
            return f"${name}"
        case Window(function=function, key=key, length=length):
            return f"{function}({key.key}, {_length(function, length)})"
        case Count(where=where):
            return f"count(agents where {show(where)})"
        case Arithmetic(op=op, left=left, right=right):
            own = _looseness(node)
            # `a - (b - c)`: an operand to the right of an operator of its own kind keeps its parentheses.
            return f"{_within(left, own)} {op} {_within(right, own - 1)}"
        case Compare(op=op, left=left, right=right):
            return f"{show(left)} {op} {show(right)}"
        case In(left=left, choices=choices):
            return f"{show(left)} in [{', '.join(show(choice) for choice in choices)}]"
        case IsMissing(key=key, negated=negated):
            return f"{key.key} is {'not ' if negated else ''}missing"
        case Not(operand=operand):
            return f"not {_within(operand, _LOOSENESS[Not])}"
        case And(parts=parts):
            return " and ".join(_within(part, _LOOSENESS[Not]) for part in parts)
        case Or(parts=parts):
            return " or ".join(_within(part, _LOOSENESS[And]) for part in parts)


def _length(function: str, length: float) -> str:
    return f"{length / WEEK:g}w" if function == USUAL else write_number(length, ValueType.DURATION)


def _looseness(node: Node) -> int:
    if isinstance(node, Arithmetic):
        return _SUM if node.op in (Op.ADD, Op.SUB) else _PRODUCT
    return _LOOSENESS.get(type(node), _ATOM)


def _within(node: Node, loosest: int) -> str:
    return f"({show(node)})" if _looseness(node) > loosest else show(node)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
