"""Rules and a snapshot to true, false or unknown, for every entity at once.

- **Logic** is three-valued (Kleene): a missing value makes a comparison unknown, and unknown is neither true nor false.
  A truth is held as two boolean columns, `true` and `false`; unknown is where neither is set. With that encoding `not`
  swaps the two, `and` is (and, or), `or` is (or, and): no table and no third value in the hot path. Only the finished
  verdicts are packed into one int8 column of `Truth` values.
- **Columns.** A condition is evaluated once over all entities of a scope, not once per entity: 10,000 entities cost a
  few numpy calls a leaf. So the price of a poll is the number of distinct leaves. Comparisons, windows, columns and
  matches are cached for the length of one `Evaluation`, keyed by what they depend on: fifty rules that compare one key
  with one limit compare it once. What a comparison depends on is written down once a rule, as a number
  (`Selector.leaf`).
- **The trade.** A rule is evaluated over every entity of its scope, also those that its match leaves out, and the rows
  are selected at the end: that is what lets rules share their leaves. Constants stay 0-dimensional arrays until they
  meet a column.
- **Ranges.** `count(agents …)` is a range where the condition is unknown for some agents: from those for which it is
  true, to those plus the unknown ones. It stays one through arithmetic, and a comparison is decided where it comes out
  the same over the whole range. Ranges are independent: `count(A) - count(A)` is not 0 where A is unknown for an agent.
- **Parameters.** Overrides give a parameter a value per entity. It is then a column like any other, and the cache key
  of a leaf holds every override that changes it (`_what_changes`), so rules share a leaf only if they agree on it.
- **The trap.** Anything computed here must be computed alike in `explain.py`, which answers for one entity with plain
  values, term by term. A property test compares the two on generated rules and snapshots. Both compare by
  `rules/compare.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, lru_cache
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alertbot.evaluation.past import Past
from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.evaluation.windows import look_back
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.compare import OPERATORS, TEXT_OPERATORS, caseless, compare_ranges
from alertbot.rules.functions import AGENTS_OF
from alertbot.rules.hours import Calendar
from alertbot.rules.match import EVERY_ENTITY, Match, covers, matcher
from alertbot.rules.rule import Level, NoData, Rule, RuleSet
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
    walk,
)


class Truth(IntEnum):
    """The three truth values, as verdict arrays hold them."""

    UNKNOWN = -1
    FALSE = 0
    TRUE = 1


@dataclass(frozen=True)
class Verdicts:
    """What a rule decides about the entities it covers.

    `rows` are the snapshot rows that its `match` covers, ascending; every array is aligned with it and holds `Truth`
    values as int8. A *position* is an index into `rows` and these arrays; a *row* is an index into the snapshot.
    """

    rule: Rule
    snapshot: Snapshot
    rows: NDArray[np.intp]
    levels: Mapping[Level, NDArray[np.int8]]
    guard: NDArray[np.int8]  # all TRUE where the rule has none
    own_clear: NDArray[np.int8] | None  # the rule's `clear`, where it has one
    agents: Snapshot | None = None  # from the same poll, for `count`
    past: Past | None = None  # the present poll included, for windows
    evaluation: Evaluation | None = None  # that made it, where it has the columns of this poll

    @cached_property
    def clear(self) -> Mapping[Level, NDArray[np.int8]]:
        """The rule's `clear` for each level, else the negation of that level's `when`."""
        if self.own_clear is not None:
            return dict.fromkeys(self.levels, self.own_clear)
        return {level: np.where(codes < 0, codes, 1 - codes) for level, codes in self.levels.items()}

    def at(self, position: int) -> tuple[Truth, Mapping[Level, Truth], Mapping[Level, Truth]]:
        """Guard, levels and clear at one position."""
        levels = {level: _TRUTHS[codes.item(position)] for level, codes in self.levels.items()}
        if self.own_clear is not None:
            clear = dict.fromkeys(levels, _TRUTHS[self.own_clear.item(position)])
        else:
            clear = {level: _NOT[truth] for level, truth in levels.items()}
        return _TRUTHS[self.guard.item(position)], levels, clear

    def begins(self, taken: NDArray[np.intp] | None = None) -> NDArray[np.intp]:
        """The positions at which an alert may begin: guard true, and a level true (or unknown, where that fires).

        Without those in `taken`, which have one.
        """
        positions = self._begins
        if taken is None or not len(positions) or not len(taken):
            return positions
        free = np.zeros(len(self.rows), dtype=np.bool_)
        free[positions] = True
        free[taken] = False
        left: NDArray[np.intp] = free.nonzero()[0]
        return left

    @cached_property
    def _begins(self) -> NDArray[np.intp]:
        """As `begins`, whichever are taken. Verdicts that are those of the last poll keep it (`Evaluation.again`)."""
        codes = [*self.levels.values()]
        begins = codes[0] == _TRUE
        for more in codes[1:]:
            begins |= more == _TRUE
        if self.rule.no_data is NoData.FIRE:
            begins |= codes[0] == _UNKNOWN
        if self.rule.guard is not None:
            begins &= self.guard == _TRUE
        positions: NDArray[np.intp] = begins.nonzero()[0]
        return positions

    def position(self, row: int) -> int | None:
        """The position of a snapshot row, or None where the rule does not cover it."""
        if len(self.rows) == len(self.snapshot):
            return row
        position = int(np.searchsorted(self.rows, row))
        return position if position < len(self.rows) and self.rows[position] == row else None

    def positions(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """The positions of snapshot rows; -1 where the rule does not cover one, and for a row of -1."""
        if len(self.rows) == len(self.snapshot):
            return rows
        found = np.searchsorted(self.rows, rows)
        if len(self.rows):
            covered = self.rows[np.minimum(found, len(self.rows) - 1)] == rows
            return np.where(covered, found, -1)
        return np.full(len(rows), -1, dtype=np.intp)

    def window(self, node: Window, row: int) -> float | None:
        """The value of a window over numbers for one row of the snapshot, None where unknown. Not for a `Batch`."""
        values, known, *_ = self.column(node)
        return float(values[row]) if known[row] else None

    def column(self, node: Window | Count) -> tuple[NDArray[Any], ...]:
        """What a window or a count is, row by row of the snapshot, as columns to compare with those of another poll.

        Values, where they are known, and the upper ends where they are ranges. Not for verdicts of a `Batch`.
        """
        assert self.evaluation is not None, "a batch does not keep the values of single polls"
        found = self.evaluation.values(node, self.rule)
        return (found.values, found.known) if found.high is None else (found.values, found.known, found.high)


_TRUE, _UNKNOWN = np.int8(Truth.TRUE), np.int8(Truth.UNKNOWN)
_TRUTHS = {int(truth): truth for truth in Truth}  # a dict lookup costs a fifth of Truth(value)
_NOT = {Truth.TRUE: Truth.FALSE, Truth.FALSE: Truth.TRUE, Truth.UNKNOWN: Truth.UNKNOWN}


def parameter(rule: Rule, name: str, entity_id: str, entity_name: str) -> Literal:
    """The value of `$name` for one entity: from the first override that matches it, else the rule's own."""
    for override in rule.overrides:
        if covers(override.match, entity_id, entity_name):
            return override.params.get(name, rule.params[name])
    return rule.params[name]


# Which entities a rule covers.


class _LastVerdicts(NamedTuple):
    rule: Rule
    keys: frozenset[str]  # that its conditions read
    verdicts: Verdicts | None  # None where they depend on other polls, or on another scope


_MAX_LEAVES = 1000  # of one rule; more are of copies of its conditions, which a cache must not collect for ever


class _Leaves(NamedTuple):
    """The leaves of one rule that were evaluated before, by the identity of their nodes.

    The nodes are kept with their numbers: the identity of one that was freed would be given to another.
    """

    rule: Rule
    numbers: dict[int, tuple[Node, int]]


class Selector:
    """What one poll's evaluation leaves to the next: which rows each match covers, the last verdicts, equal leaves.

    Globbing 10,000 names for each of 50 rules costs more than the rest of a poll, and names rarely change between two
    polls. A rule whose columns have not changed is not evaluated again. Leaves that are equal, with parameters that
    are, have the same number (`leaf`): hashing a tree costs more than comparing a column of 50 entities. Keep one per
    tenant; it holds only the last entities of each scope. All of it is right by what it is compared with, never by
    when it was made: a poll that fails, or is evaluated twice, does no harm.
    """

    def __init__(self) -> None:
        self._scopes: dict[Scope, tuple[tuple[str, ...], tuple[str, ...], dict[Match, NDArray[np.intp]]]] = {}
        self._snapshots: dict[Scope, Snapshot] = {}
        self._verdicts: dict[str, _LastVerdicts] = {}
        self._leaves: dict[str, _Leaves] = {}
        self._numbers: dict[tuple[Node, tuple[object, ...]], int] = {}
        self._next_number = count()

    def leaf(self, node: Compare | In | IsMissing, rule: Rule) -> int:
        """The number of a leaf: leaves of any two rules have the same one only if they are true alike.

        A number is never used again, so one that was given before the rules were edited means no other leaf.
        """
        leaves = self._leaves.get(rule.id)
        if leaves is None or leaves.rule is not rule or len(leaves.numbers) >= _MAX_LEAVES:
            if leaves is not None:  # edited: the numbers of the old rules go, with what they were given for
                self._leaves.clear()
                self._numbers.clear()
            leaves = self._leaves[rule.id] = _Leaves(rule, {})
        known = leaves.numbers.get(id(node))
        if known is None:
            key = node, _what_changes(node, rule)
            number = self._numbers.get(key)
            if number is None:
                number = self._numbers[key] = next(self._next_number)
            known = leaves.numbers[id(node)] = node, number
        return known[1]

    def sharing(self, snapshots: Mapping[Scope, Snapshot]) -> dict[Scope, Snapshot]:
        """The same snapshots, which share what is equal with those that this was called with before."""
        shared = {
            scope: snapshot.sharing(self._snapshots[scope]) if scope in self._snapshots else snapshot
            for scope, snapshot in snapshots.items()
        }
        self._snapshots.update(shared)
        return shared

    def last(self, rule: Rule, snapshot: Snapshot) -> Verdicts | None:
        """The last verdicts of a rule, if this snapshot gives the same ones: it shares the entities and the columns."""
        last = self._verdicts.get(rule.id)
        if last is None or last.verdicts is None or last.rule is not rule:
            return None
        seen = last.verdicts.snapshot
        if not snapshot.same_entities(seen):
            return None
        return last.verdicts if all(seen.columns.get(key) is snapshot.columns.get(key) for key in last.keys) else None

    def keep(self, verdicts: Verdicts) -> None:
        """Remember the verdicts of a rule, if they depend on nothing but columns of its snapshot."""
        rule = verdicts.rule
        last = self._verdicts.get(rule.id)
        if last is None or last.rule is not rule:
            nodes = [node for condition in rule.conditions() for node in walk(condition)]
            alone = not any(isinstance(node, Window | Count) for node in nodes)
            keys = frozenset(node.key for node in nodes if isinstance(node, Key))
            self._verdicts[rule.id] = _LastVerdicts(rule, keys, verdicts if alone else None)
        elif last.verdicts is not None:
            self._verdicts[rule.id] = _LastVerdicts(rule, last.keys, verdicts)

    def known(self, snapshot: Snapshot) -> dict[Match, NDArray[np.intp]]:
        """The rows cached for exactly these entities; `rows_of` adds to it."""
        ids, names, rows = self._scopes.get(snapshot.scope, ((), (), {}))
        same_ids = ids is snapshot.ids or ids == snapshot.ids
        if not (same_ids and (names is snapshot.names or names == snapshot.names)):
            rows = {}
        # The newer tuples are kept even when equal: comparing a tuple with itself is quicker than with its copy, and
        # one poll's evaluation may ask more than once.
        self._scopes[snapshot.scope] = (snapshot.ids, snapshot.names, rows)
        return rows


def rows_of(match: Match, snapshot: Snapshot, known: dict[Match, NDArray[np.intp]]) -> NDArray[np.intp]:
    """The rows of a snapshot that a match covers, ascending; looked up in `known` first and added to it."""
    rows = known.get(match)
    if rows is None:
        if match == Match():
            rows = np.arange(len(snapshot), dtype=np.intp)
        else:
            covers_entity = matcher(match).covers
            pairs = enumerate(zip(snapshot.ids, snapshot.names, strict=True))
            rows = np.array([row for row, pair in pairs if covers_entity(*pair)], dtype=np.intp)
        known[match] = rows
    return rows


# Values and truths as columns. The array of a constant is 0-dimensional and is broadcast when it meets a column.


class _Values(NamedTuple):
    """Numbers (float64) or case-folded text (object), and where they are known.

    With `high` a row is a range of numbers, from `values` to `high`.
    """

    values: NDArray[Any]
    known: NDArray[np.bool_]
    high: NDArray[Any] | None = None

    @property
    def range(self) -> tuple[NDArray[Any], NDArray[Any]]:
        return self.values, self.values if self.high is None else self.high


class _Truths(NamedTuple):
    """Where it is true and where it is false; unknown where neither."""

    true: NDArray[np.bool_]
    false: NDArray[np.bool_]


_PRESENT = np.uint8(Presence.PRESENT)
_NOTHING = _Values(np.array(np.nan), np.array(False))

_ARITHMETIC: Mapping[Op, Callable[[Any, Any], Any]] = {
    Op.ADD: np.add,
    Op.SUB: np.subtract,
    Op.MUL: np.multiply,
    Op.DIV: np.divide,
}


class Evaluation:
    """Rules over one snapshot; what several rules share (keys, comparisons, matches) is computed once.

    `agents` are the agents of the snapshot's queues or groups, from the same poll. `past` ends with the poll of the
    snapshot; without it every window is unknown.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        selector: Selector | None = None,
        *,
        agents: Snapshot | None = None,
        past: Past | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._selector = selector or Selector()
        self._rows = self._selector.known(snapshot)
        self._past = past
        self._agents = agents
        self._columns: dict[tuple[str, bool], _Values] = {}
        self._windows: dict[Window, _Values] = {}
        self._usuals: dict[tuple[Window, Calendar | None], _Values] = {}
        self._always: dict[int, NDArray[np.int8]] = {}
        self._leaves: dict[int, _Truths] = {}  # by the number that the selector gives them
        self._chosen: dict[tuple[Match, ...], NDArray[np.intp]] = {}
        self._inner: Evaluation | None = None
        # Set where the rows are agents: the evaluation of their queues or groups, and the row of each parent there.
        self._outer: tuple[Evaluation, NDArray[np.intp]] | None = None

    def verdicts(self, rule: Rule) -> Verdicts:
        """What this rule decides about every entity it covers."""
        rows = rows_of(rule.match, self._snapshot, self._rows)
        with np.errstate(all="ignore"):  # x / 0 and the like are unknown, detected from the result
            return Verdicts(
                rule=rule,
                snapshot=self._snapshot,
                rows=rows,
                levels={each.level: self._codes(self._truths(each.when, rule), rows) for each in rule.levels},
                guard=self._codes(self._truths(rule.guard, rule), rows)
                if rule.guard is not None
                else self._true(len(rows)),
                own_clear=self._codes(self._truths(rule.clear, rule), rows) if rule.clear is not None else None,
                agents=self._agents,
                past=self._past,
                evaluation=self,
            )

    def again(self, known: Verdicts) -> Verdicts:
        """Verdicts of an earlier poll for this one, which is known to give the same (`Selector.last`)."""
        again = Verdicts(
            known.rule,
            self._snapshot,
            known.rows,
            known.levels,
            known.guard,
            known.own_clear,
            self._agents,
            self._past,
            self,
        )
        vars(again)["_begins"] = known._begins  # where `cached_property` keeps it
        return again

    def drop_conditions(self) -> None:
        """Free the memory of conditions that were evaluated; verdicts keep their evaluation for its values."""
        self._leaves.clear()

    def _true(self, size: int) -> NDArray[np.int8]:
        codes = self._always.get(size)
        if codes is None:
            codes = self._always[size] = np.ones(size, dtype=np.int8)
        return codes

    def _codes(self, truths: _Truths, rows: NDArray[np.intp]) -> NDArray[np.int8]:
        true, false = truths
        if np.ndim(true) == 0 or np.ndim(false) == 0:  # a constant
            true, false = (np.full(len(self._snapshot), bool(each)) if np.ndim(each) == 0 else each for each in truths)
        codes = true.view(np.int8) - (~(true | false)).view(np.int8)  # 1 - 0, 0 - 0, 0 - 1
        return codes if len(rows) == len(self._snapshot) else codes[rows]

    def _truths(self, node: Condition, rule: Rule) -> _Truths:
        match node:
            case Not(operand=operand):
                true, false = self._truths(operand, rule)
                return _Truths(false, true)
            case And(parts=parts):
                true, false = self._truths(parts[0], rule)
                for part in parts[1:]:
                    more = self._truths(part, rule)
                    true, false = true & more.true, false | more.false
                return _Truths(true, false)
            case Or(parts=parts):
                true, false = self._truths(parts[0], rule)
                for part in parts[1:]:
                    more = self._truths(part, rule)
                    true, false = true | more.true, false & more.false
                return _Truths(true, false)
            case _:
                number = self._selector.leaf(node, rule)
                truths = self._leaves.get(number)
                if truths is None:
                    truths = self._leaves[number] = self._leaf(node, rule)
                return truths

    def _leaf(self, node: Compare | In | IsMissing, rule: Rule) -> _Truths:
        match node:
            case Compare(op=op, left=left, right=right):
                return _compare(op, self.values(left, rule), self.values(right, rule))
            case In(left=left, choices=choices):
                value = self.values(left, rule)
                true = np.zeros(np.shape(value.known), dtype=np.bool_)
                for choice in choices:
                    true = true | _compare(Op.EQ, value, _constant(choice)).true
                return _Truths(true, value.known & ~true)
            case IsMissing(key=key, negated=negated):
                known = self._column(key).known
                return _Truths(known, ~known) if negated else _Truths(~known, known)

    def values(self, node: Value, rule: Rule) -> _Values:
        """A value as a column, row by row of the snapshot."""
        match node:
            case Literal():
                return _constant(node)
            case Param(name=name):
                return self._parameter(name, rule)
            case Key():
                return self._column(node)
            case Window():
                return self._usual(node, rule.calendar) if node.weeks else self._window(node)
            case Count():
                return self._count(node, rule)
            case Arithmetic(op=op, left=left, right=right):
                a, b = self.values(left, rule), self.values(right, rule)
                if _is_text(a) or _is_text(b):
                    return _NOTHING
                if a.high is not None or b.high is not None:
                    return _range_arithmetic(op, a, b)
                values = _ARITHMETIC[op](a.values, b.values)
                return _Values(values, a.known & b.known & np.isfinite(values))

    def _parameter(self, name: str, rule: Rule) -> _Values:
        uniform = not any(name in override.params for override in rule.overrides)
        if uniform or not len((self._outer or (self,))[0]._snapshot):
            return _constant(rule.params[name])
        if self._outer is not None:  # an agent has the value of its queue or group; without a parent, any value will do
            outer, parents = self._outer
            whole = outer._parameter(name, rule)
            return _Values(whole.values[parents], whole.known[parents])
        chosen = self._choose(tuple(override.match for override in rule.overrides))
        own = rule.params[name]
        literals = (own, *(override.params.get(name, own) for override in rule.overrides))
        values, known = (np.stack(arrays) for arrays in zip(*(_constant(each)[:2] for each in literals), strict=True))
        return _Values(values[chosen], known[chosen])

    def _choose(self, matches: tuple[Match, ...]) -> NDArray[np.intp]:
        """For each row the number of the first match that covers it, counted from 1; 0 where none does."""
        chosen = self._chosen.get(matches)
        if chosen is None:
            chosen = self._chosen[matches] = np.zeros(len(self._snapshot), dtype=np.intp)
            for number in range(len(matches), 0, -1):
                chosen[rows_of(matches[number - 1], self._snapshot, self._rows)] = number
        return chosen

    def _window(self, window: Window) -> _Values:
        values = self._windows.get(window)
        if values is None:
            if self._past is None:
                rows = len(self._snapshot)
                values = _Values(np.full(rows, np.nan), np.zeros(rows, dtype=np.bool_))
            else:
                values = _Values(*look_back(window, self._past, self._snapshot))
                if window.type is ValueType.TEXT:
                    words = np.empty(len(self._snapshot), dtype=np.object_)
                    codes = zip(values.values.tolist(), values.known.tolist(), strict=True)
                    words[:] = [caseless(self._past.word(code)) if known else "" for code, known in codes]
                    values = _Values(words, values.known)
            self._windows[window] = values
        return values

    def _usual(self, window: Window, calendar: Calendar | None) -> _Values:
        values = self._usuals.get((window, calendar))
        if values is None:
            usual = self._past.usual if self._past is not None else None
            if usual is None:
                rows = len(self._snapshot)
                values = _Values(np.full(rows, np.nan), np.zeros(rows, dtype=np.bool_))
            else:
                values = _Values(*usual.typical(window, self._snapshot, calendar)[:2])
            self._usuals[window, calendar] = values
        return values

    def _count(self, node: Count, rule: Rule) -> _Values:
        rows, agents = len(self._snapshot), self._agents
        if agents is None or agents.scope is not node.scope:
            return _Values(np.full(rows, np.nan), np.zeros(rows, dtype=np.bool_))
        if self._inner is None or self._inner._outer is None:
            row_of = {entity_id: row for row, entity_id in enumerate(self._snapshot.ids)}
            parents = np.array([row_of.get(parent_id, -1) for parent_id in agents.parent_ids], dtype=np.intp)
            self._inner = Evaluation(agents, self._selector, past=self._past)
            self._inner._outer = (self, parents)
        else:
            _, parents = self._inner._outer
        true, false = (np.broadcast_to(each, parents.shape) for each in self._inner._truths(node.where, rule))
        has_parent = parents >= 0  # the snapshot may not have the agent's queue
        if rule.countable != EVERY_ENTITY:
            countable = np.zeros(len(agents), dtype=np.bool_)
            countable[rows_of(rule.countable, agents, self._inner._rows)] = True
            has_parent &= countable
        counted = np.bincount(parents[has_parent & true], minlength=rows)
        unknown = np.bincount(parents[has_parent & ~(true | false)], minlength=rows)
        known = np.full(rows, agents.complete)
        low = counted.astype(np.float64)
        return _Values(low, known, low + unknown) if unknown.any() else _Values(low, known)

    def _column(self, key: Key) -> _Values:
        text = key.type is ValueType.TEXT
        values = self._columns.get((key.key, text))
        if values is None:
            column = self._snapshot.columns.get(key.key)
            values = self._columns[key.key, text] = _load(column, text, len(self._snapshot))
        return values


def _load(column: Column | None, text: bool, rows: int) -> _Values:
    # A column of another kind than the condition was written for holds nothing comparable.
    if column is None or column.is_text is not text:
        return _Values(np.full(rows, np.nan), np.zeros(rows, dtype=np.bool_))
    present = column.presence == _PRESENT
    if text:
        folded = np.empty(rows, dtype=np.object_)
        words = column.values.tolist()
        known = {word: caseless(str(word)) for word in set(words)}  # few words, many agents
        folded[:] = [known[word] for word in words]
        return _Values(folded, present)
    numbers = column.values if column.values.dtype == np.float64 else column.values.astype(np.float64)
    return _Values(column.values, present & np.isfinite(numbers))


@lru_cache(maxsize=4096)
def _constant(literal: Literal) -> _Values:
    """The same arrays each time: nothing writes into the arrays of a value."""
    if isinstance(literal.value, str):
        return _Values(np.array(caseless(literal.value), dtype=np.object_), np.array(True))
    return _Values(np.array(float(literal.value)), np.array(bool(np.isfinite(literal.value))))


def _is_text(values: _Values) -> bool:
    return bool(values.values.dtype == np.object_)


def _range_arithmetic(op: Op, a: _Values, b: _Values) -> _Values:
    """The range of `a op b` for all values of the two ranges; unknown where the divisor may be zero."""
    (low, high), (other_low, other_high) = a.range, b.range
    known = a.known & b.known
    if op is Op.DIV:
        known = known & ((other_low > 0) | (other_high < 0))
    ends = [_ARITHMETIC[op](one, other) for one in (low, high) for other in (other_low, other_high)]
    low, high = np.minimum.reduce(ends), np.maximum.reduce(ends)
    return _Values(low, known & np.isfinite(low) & np.isfinite(high), high)


def _compare(op: Op, left: _Values, right: _Values) -> _Truths:
    known = left.known & right.known
    text = _is_text(left)
    if text is not _is_text(right) or (text and op not in TEXT_OPERATORS):
        return _Truths(np.zeros_like(known), np.zeros_like(known))  # not comparable: unknown
    if left.high is not None or right.high is not None:
        true, false = compare_ranges(op, left.range, right.range)
        return _Truths(true & known, false & known)
    result = np.asarray(OPERATORS[op](left.values, right.values), dtype=np.bool_)
    true = result & known
    return _Truths(true, known ^ true)


def _what_changes(node: Node, rule: Rule) -> tuple[object, ...]:
    """What a leaf reads of its rule: parameters, the agents that are counted, and the calendar of `usual`."""
    found: tuple[object, ...] = ()
    if rule.params:
        found = tuple(_parameter_key(rule, each.name) for each in walk(node) if isinstance(each, Param))
    if rule.countable != EVERY_ENTITY:
        found = (*found, rule.countable)
    if rule.calendar is not None and _reads_usual(node):
        found = (*found, rule.calendar)  # its holidays are left out
    return found


def _reads_usual(node: Node) -> bool:
    return any(isinstance(each, Window) and each.weeks for each in walk(node))


def _parameter_key(rule: Rule, name: str) -> object:
    """A parameter's value at every entity, as a cache key: rules that agree on it share the leaves that use it."""
    others = tuple((each.match, each.params.get(name)) for each in rule.overrides)
    own = rule.params[name]
    return (own, others) if any(literal is not None for _, literal in others) else own


def evaluate(
    rule: Rule,
    snapshot: Snapshot,
    selector: Selector | None = None,
    *,
    agents: Snapshot | None = None,
    past: Past | None = None,
) -> Verdicts:
    """What one rule decides about every entity it covers. The snapshot has the rule's scope."""
    return Evaluation(snapshot, selector, agents=agents, past=past).verdicts(rule)


def evaluate_all(
    rules: RuleSet,
    snapshots: Mapping[Scope, Snapshot],
    selector: Selector | None = None,
    past: Past | None = None,
    failing: MutableMapping[str, str] | None = None,
) -> list[Verdicts]:
    """The verdicts of the rules whose scope is in `snapshots`, in the order of the rules.

    Pass the tenant's `Selector` from poll to poll: without it, names are matched against globs again each time.
    `past` ends with these snapshots; without it every window is unknown. A rule whose evaluation raises an exception is
    left out, and its id is added to `failing` with the exception; without `failing` the exception is raised.
    """
    evaluations = {
        scope: Evaluation(snapshot, selector, agents=agents_of(snapshot, snapshots), past=past)
        for scope, snapshot in snapshots.items()
    }
    verdicts = []
    for rule in rules.rules:
        evaluation = evaluations.get(rule.scope)
        if evaluation is None:
            continue
        try:
            verdict = selector.last(rule, snapshots[rule.scope]) if selector is not None else None
            verdict = evaluation.again(verdict) if verdict is not None else evaluation.verdicts(rule)
        except Exception as error:  # whatever one rule meets, the other rules of the tenant are evaluated
            if failing is None:
                raise
            failing[rule.id] = in_words(error)
        else:
            verdicts.append(verdict)
            if selector is not None:
                selector.keep(verdict)
    for evaluation in evaluations.values():
        evaluation.drop_conditions()
    return verdicts


def in_words(error: Exception) -> str:
    """An unexpected exception on one line: its type, what it says, and the line of code that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" ({trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno})" if trace is not None else ""
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}{f': {text}' if text else ''}{place}"


def agents_of(snapshot: Snapshot, snapshots: Mapping[Scope, Snapshot]) -> Snapshot | None:
    """The agents of a snapshot's queues or groups, from the same poll; None where it has none."""
    scope = AGENTS_OF.get(snapshot.scope)
    return None if scope is None else snapshots.get(scope)
