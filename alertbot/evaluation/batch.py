"""Many recorded polls evaluated at once, for `replay`.

- **Why.** A week has 40,000 polls, and most of the time of one evaluation goes into calling numpy, not into arithmetic.
- **How.** Consecutive polls with the same entities and keys (a *run*) are stacked: their columns are concatenated and
  evaluated as one long snapshot. Each poll then gets its slice of the verdicts. Of these, only rules that matter at the
  poll are returned: those with an open alert, and those for which one may begin. Most polls return none, so `advance`
  has nothing to do.
- **The trade.** Rules with windows or counts of agents read more than their own row and cannot be stacked; they are
  evaluated poll by poll, as live.
- **The trap.** The stacked snapshot repeats every entity, so names must not be matched on it: the rows of each match
  are computed on one poll and tiled (`_TiledSelector`). Verdicts must equal those of live evaluation; a test compares
  the two.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from alertbot.evaluation.block import Block, ColumnsOfPoll
from alertbot.evaluation.evaluate import Evaluation, Selector, Verdicts, agents_of, rows_of
from alertbot.evaluation.past import Past
from alertbot.evaluation.snapshot import Column, Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.rules.match import Match
from alertbot.rules.rule import Rule, RuleSet
from alertbot.rules.tree import Count, Window, walk

Snapshots = Mapping[Scope, Snapshot]


@dataclass(frozen=True)
class _RunVerdicts:
    """One rule over a run of polls; the run begins at poll `first` of the batch."""

    rule: Rule
    first: int
    stacked: Verdicts  # over the stacked snapshot
    rows: NDArray[np.intp]  # in the snapshot of one poll
    begins: frozenset[int]  # the polls of the batch at which an alert may begin

    def at(self, index: int, snapshot: Snapshot) -> Verdicts:
        """The verdicts at one poll of the batch."""
        size = len(self.rows)
        own = slice((index - self.first) * size, (index - self.first + 1) * size)
        return Verdicts(
            rule=self.rule,
            snapshot=snapshot,
            rows=self.rows,
            levels={level: codes[own] for level, codes in self.stacked.levels.items()},
            guard=self.stacked.guard[own],
            own_clear=self.stacked.own_clear[own] if self.stacked.own_clear is not None else None,
        )

    def moved(self, index: int, positions: NDArray[np.intp]) -> bool:
        """As `Batch.moved`."""
        at = index - self.first
        if at == 0 or index in self._stirred:
            return True
        clear = self._clear_moved
        return clear is not None and bool((clear[at - 1, positions] & (positions >= 0)).any())

    @cached_property
    def _stirred(self) -> frozenset[int]:
        """The polls of the batch at which a guard or a level differs from the poll before."""
        codes = self.stacked.guard, *self.stacked.levels.values()
        moved = np.logical_or.reduce([self._differs(each) for each in codes])
        return frozenset((self.first + 1 + moved.any(axis=1).nonzero()[0]).tolist())

    @cached_property
    def _clear_moved(self) -> NDArray[np.bool_] | None:
        """Where `clear` differs from the poll before, by poll from the second on and position."""
        return self._differs(self.stacked.own_clear) if self.stacked.own_clear is not None else None

    def _differs(self, codes: NDArray[np.int8]) -> NDArray[np.bool_]:
        by_poll = codes.reshape(-1, max(1, len(self.rows)))
        differs: NDArray[np.bool_] = by_poll[1:] != by_poll[:-1]
        return differs


class Plan:
    """Which of the rules can be stacked: found out once for all batches of a replay."""

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
        self.separate = frozenset(rule.id for rule in rules.rules if _needs_more(rule))
        self.stackable = {
            scope: [rule for rule in rules.rules if rule.scope is scope and rule.id not in self.separate]
            for scope in rules.scopes()
        }


class Batch:
    """Consecutive polls through a set of rules. `pasts[i]` ends with poll i; None where no rule has a window."""

    def __init__(
        self, plan: Plan, polls: Sequence[Snapshots], pasts: Sequence[Past | None], selector: Selector
    ) -> None:
        self._polls, self._pasts, self._selector = polls, pasts, selector
        self._rules, self._separate = plan.rules, plan.separate
        self._runs: dict[tuple[str, int], _RunVerdicts] = {}
        self._begins: set[int] = set()  # the polls at which an alert of a rule that is stacked may begin
        for scope, stackable in plan.stackable.items():
            if stackable:
                self._stack(scope, stackable)

    def moved(self, index: int, rule: str, positions: NDArray[np.intp]) -> bool:
        """Whether a verdict of the rule may differ from the poll before: guard and levels of any entity, or `clear` of
        those at `positions` (-1: none is there). True at the first poll of a run, and for rules that are not stacked.
        """
        run = self._runs.get((rule, index))
        return run is None or run.moved(index, positions)

    def verdicts(self, index: int, open_rules: Collection[str], still: Collection[str] = frozenset()) -> list[Verdicts]:
        """The verdicts of one poll, in the order of the rules: `open_rules`, and those that may begin an alert.

        `still` are rules that are left out, whatever they say.
        """
        if not open_rules and not self._separate and index not in self._begins:
            return []
        snapshots, verdicts = self._polls[index], []
        separate: dict[Scope, Evaluation] = {}
        for rule in self._rules.rules:
            snapshot = snapshots.get(rule.scope)
            if snapshot is None or rule.id in still:
                continue
            if rule.id in self._separate:
                if rule.scope not in separate:
                    agents = agents_of(snapshot, snapshots)
                    separate[rule.scope] = Evaluation(snapshot, self._selector, agents=agents, past=self._pasts[index])
                verdicts.append(separate[rule.scope].verdicts(rule))
                continue
            run = self._runs[rule.id, index]
            if rule.id in open_rules or index in run.begins:
                verdicts.append(run.at(index, snapshot))
        return verdicts

    def _stack(self, scope: Scope, rules: Sequence[Rule]) -> None:
        present = [(index, poll[scope]) for index, poll in enumerate(self._polls) if scope in poll]
        for _, group in groupby(_numbered(present), key=lambda each: each[0]):
            run = [pair for _, pair in group]
            first, one = run[0]
            for _, snapshot in run[1:]:
                vars(snapshot)["rows"] = one.rows  # where `cached_property` keeps it: the entities are the same
            evaluation = Evaluation(_stacked([snapshot for _, snapshot in run]), self._seeded(one, rules, len(run)))
            known = self._selector.known(one)
            for rule in rules:
                stacked = evaluation.verdicts(rule)
                rows = rows_of(rule.match, one, known)
                polls = stacked.begins() // len(rows) if len(rows) else np.array([], dtype=np.intp)
                begins = frozenset((first + np.unique(polls)).tolist())
                self._begins |= begins
                verdicts = _RunVerdicts(rule, first, stacked, rows, begins)
                self._runs.update(((rule.id, index), verdicts) for index, _ in run)

    def _seeded(self, one: Snapshot, rules: Sequence[Rule], times: int) -> Selector:
        """A selector with the rows of the stacked snapshot: those of one poll, repeated."""
        selector = _TiledSelector(self._selector)
        known = self._selector.known(one)
        starts = np.arange(times, dtype=np.intp)[:, None] * len(one)
        for match in {rule.match for rule in rules} | {each.match for rule in rules for each in rule.overrides}:
            selector.rows[match] = (starts + rows_of(match, one, known)[None, :]).ravel()
        return selector


class _TiledSelector(Selector):
    """The selector of one stacked snapshot, with the rows of every match filled in beforehand.

    Leaves have the numbers that `selector` knows: to find them again for every batch cost a tenth of a replay.
    """

    def __init__(self, selector: Selector) -> None:
        super().__init__()
        self._leaves, self._numbers, self._next_number = selector._leaves, selector._numbers, selector._next_number
        self.rows: dict[Match, NDArray[np.intp]] = {}

    def known(self, snapshot: Snapshot) -> dict[Match, NDArray[np.intp]]:
        return self.rows


def _needs_more(rule: Rule) -> bool:
    """Whether the rule reads more than the present values of its own scope."""
    nodes = (node for condition in rule.conditions() for node in walk(condition))
    return any(isinstance(node, Window | Count) for node in nodes)


def _numbered(
    present: Sequence[tuple[int, Snapshot]],
) -> Iterator[tuple[int, tuple[int, Snapshot]]]:
    """Each poll with the number of its run: consecutive polls with the same entities and keys."""
    run, before = 0, None
    for index, snapshot in present:
        if before is not None and not (index == before[0] + 1 and _same(before[1], snapshot)):
            run += 1
        before = index, snapshot
        yield run, before


def _same(one: Snapshot, other: Snapshot) -> bool:
    if not one.same_entities(other) and (
        one.ids != other.ids or one.names != other.names or one.parent_ids != other.parent_ids
    ):
        return False
    mine, theirs = one.columns, other.columns
    if isinstance(mine, ColumnsOfPoll) and isinstance(theirs, ColumnsOfPoll) and mine.block is theirs.block:
        return True
    return mine.keys() == theirs.keys() and all(column.is_text is theirs[key].is_text for key, column in mine.items())


def _stacked(snapshots: Sequence[Snapshot]) -> Snapshot:
    """The snapshots with their columns concatenated. Names are not matched on it: the rows are known."""
    first = snapshots[0]
    if len(snapshots) == 1:
        return first
    columns = _Concatenated([each.columns for each in snapshots])
    return Snapshot(first.scope, first.at, first.ids * len(snapshots), first.names * len(snapshots), columns)


class _Concatenated(Mapping[str, Column]):
    """The columns of consecutive polls, each concatenated if it is asked for: some are only shown on cards."""

    def __init__(self, polls: Sequence[Mapping[str, Column]]) -> None:
        self._keys = polls[0].keys()
        self._pieces: list[Mapping[str, Column] | tuple[Block, int, int]] = []
        for columns in polls:
            last = self._pieces[-1] if self._pieces else None
            if not isinstance(columns, ColumnsOfPoll):
                self._pieces.append(columns)
            elif isinstance(last, tuple) and last[0] is columns.block and last[2] == columns.line:
                self._pieces[-1] = columns.block, last[1], columns.line + 1
            else:
                self._pieces.append((columns.block, columns.line, columns.line + 1))

    def __getitem__(self, key: str) -> Column:
        if key not in self._keys:
            raise KeyError(key)
        columns = [
            each[0].column(key, each[1], each[2]) if isinstance(each, tuple) else each[key] for each in self._pieces
        ]
        if len(columns) == 1:
            return columns[0]
        return Column(
            np.concatenate([each.values for each in columns]), np.concatenate([each.presence for each in columns])
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)
