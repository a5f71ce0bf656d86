"""Many recorded polls evaluated at once: a poll after a poll is a column under a column.

A week has 40,000 polls, and most of a poll's evaluation is the price of calling numpy, not of its arithmetic. Polls in
a row with the same entities and keys are stacked and evaluated as one snapshot; each poll then gets its part of the
verdicts, and only of those rules that have something to say at it. Rules that look back or count agents are evaluated
poll by poll, as live.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from alertbot.evaluation.evaluate import Evaluation, Selector, Verdicts, agents_of, rows_of
from alertbot.evaluation.past import Past
from alertbot.evaluation.snapshot import Column, Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.rules.match import Match
from alertbot.rules.rule import Rule, RuleSet
from alertbot.rules.tree import Count, Window, walk

Snapshots = Mapping[Scope, Snapshot]


@dataclass(frozen=True, slots=True)
class _RunVerdicts:
    """One rule over some polls in a row, the first of them poll `first` of the block."""

    rule: Rule
    first: int
    whole: Verdicts  # of the stacked snapshot
    rows: NDArray[np.intp]  # of one poll
    begins: frozenset[int]  # the polls of the block at which some alert may begin

    def at(self, index: int, snapshot: Snapshot) -> Verdicts:
        """What the rule says at one poll of the block."""
        size = len(self.rows)
        part = slice((index - self.first) * size, (index - self.first + 1) * size)
        return Verdicts(
            rule=self.rule,
            snapshot=snapshot,
            rows=self.rows,
            levels={level: codes[part] for level, codes in self.whole.levels.items()},
            guard=self.whole.guard[part],
            own_clear=self.whole.own_clear[part] if self.whole.own_clear is not None else None,
        )


class Batch:
    """Some polls in a row through some rules. `pasts[i]` has poll i as its last; None where no rule looks back."""

    def __init__(
        self, rules: RuleSet, polls: Sequence[Snapshots], pasts: Sequence[Past | None], selector: Selector
    ) -> None:
        self._polls, self._pasts, self._selector = polls, pasts, selector
        self._rules = rules
        self._alone = frozenset(rule.id for rule in rules.rules if _reads_more(rule))
        self._parts: dict[tuple[str, int], _RunVerdicts] = {}
        for scope in rules.scopes():
            together = [rule for rule in rules.rules if rule.scope is scope and rule.id not in self._alone]
            if together:
                self._stack(scope, together)

    def verdicts(self, index: int, open_rules: Collection[str]) -> list[Verdicts]:
        """Those of one poll, in the order of the rules: of `open_rules`, and where an alert may begin."""
        snapshots, found = self._polls[index], []
        alone: dict[Scope, Evaluation] = {}
        for rule in self._rules.rules:
            snapshot = snapshots.get(rule.scope)
            if snapshot is None:
                continue
            if rule.id in self._alone:
                if rule.scope not in alone:
                    agents = agents_of(snapshot, snapshots)
                    alone[rule.scope] = Evaluation(snapshot, self._selector, agents=agents, past=self._pasts[index])
                found.append(alone[rule.scope].verdicts(rule))
                continue
            part = self._parts[rule.id, index]
            if rule.id in open_rules or index in part.begins:
                found.append(part.at(index, snapshot))
        return found

    def _stack(self, scope: Scope, rules: Sequence[Rule]) -> None:
        present = [(index, poll[scope]) for index, poll in enumerate(self._polls) if scope in poll]
        for _, group in groupby(_numbered(present), key=lambda each: each[0]):
            run = [pair for _, pair in group]
            first, one = run[0]
            evaluation = Evaluation(_stacked([snapshot for _, snapshot in run]), self._seeded(one, rules, len(run)))
            known = self._selector.known(one)
            for rule in rules:
                whole = evaluation.verdicts(rule)
                rows = rows_of(rule.match, one, known)
                places = whole.begins() // len(rows) if len(rows) else np.array([], dtype=np.intp)
                begins = frozenset((first + np.unique(places)).tolist())
                part = _RunVerdicts(rule, first, whole, rows, begins)
                self._parts.update(((rule.id, index), part) for index, _ in run)

    def _seeded(self, one: Snapshot, rules: Sequence[Rule], times: int) -> Selector:
        """A selector that knows the rows of the stack: those of one poll, again and again."""
        selector = _Tiled()
        known = self._selector.known(one)
        starts = np.arange(times, dtype=np.intp)[:, None] * len(one)
        for match in {rule.match for rule in rules} | {each.match for rule in rules for each in rule.overrides}:
            selector.found[match] = (starts + rows_of(match, one, known)[None, :]).ravel()
        return selector


class _Tiled(Selector):
    """A selector of one stack, with all that is asked of it known."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[Match, NDArray[np.intp]] = {}

    def known(self, snapshot: Snapshot) -> dict[Match, NDArray[np.intp]]:
        return self.found


def _reads_more(rule: Rule) -> bool:
    """Whether it reads more than the present values of its own scope."""
    nodes = (node for condition in rule.conditions() for node in walk(condition))
    return any(isinstance(node, Window | Count) for node in nodes)


def _numbered(
    present: Sequence[tuple[int, Snapshot]],
) -> Iterator[tuple[int, tuple[int, Snapshot]]]:
    """Each poll with the number of its run: of polls one after the other with the same entities and keys."""
    run, before = 0, None
    for index, snapshot in present:
        if before is not None and not (index == before[0] + 1 and _same(before[1], snapshot)):
            run += 1
        before = index, snapshot
        yield run, before


def _same(one: Snapshot, other: Snapshot) -> bool:
    entities = one.ids == other.ids and one.names == other.names and one.parent_ids == other.parent_ids
    return (
        entities
        and one.columns.keys() == other.columns.keys()
        and all(column.is_text is other.columns[key].is_text for key, column in one.columns.items())
    )


def _stacked(snapshots: Sequence[Snapshot]) -> Snapshot:
    """The columns of these snapshots under one another. Names stand for nothing here: the rows are known."""
    first = snapshots[0]
    if len(snapshots) == 1:
        return first
    columns = {
        key: Column(
            np.concatenate([each.columns[key].values for each in snapshots]),
            np.concatenate([each.columns[key].presence for each in snapshots]),
        )
        for key in first.columns
    }
    return Snapshot(first.scope, first.at, first.ids * len(snapshots), first.names * len(snapshots), columns)
