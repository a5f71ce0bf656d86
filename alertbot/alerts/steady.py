"""Which open alerts a turn has to step: those for which something moved. The others are steady.

Theory of operation. A step (`transition.step`) is a function of five things: the alert, what the poll observed of its
entity, the rule, the situation, and the time. An alert for which it returned None need not be stepped again while
nothing that a step reads of these five has changed:

- The alert: the same object. Whatever else changes an alert (a mute, a follow-up, a user, another process, a clock that
  was set back) makes a new object. One that a step itself has changed is steady as the step left it: a second step on
  the same observation returns None.
- The observation: guard, levels and `clear`, and the values behind the comparison and the other figures on the card
  (`explain.measured`, `Rule.shown_keys`). Their columns are kept, and compared with those of the new poll in a few
  numpy calls: a metric once for all rules that read it (`Moves`). If a column of the poll is the same object as before
  (`Snapshot.sharing`, `Selector.last`), it is not compared at all.
- The rule: the same object, and active. During the grace of its calendar, all its alerts are stepped.
- The situation: the same settings. Its other parts matter only to alerts that begin, or are stored in the alert by its
  first step.
- The time: before `transition.steady_until`.

If only values that cards show have moved, the state and all clocks stay the same: a shorter step
(`transition.revalue`) gives the same result.

An alert whose entity was not seen is not steady, since `missed` counts polls. Entities that come and go, or move to
other rows, cost a look-up for each alert of the scope, but no step.

Everything here is a value. A turn makes a new Steady, and only a turn that is recorded passes it on. If it is lost, all
alerts are stepped, with the same result: a property test runs both side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from operator import is_, is_not
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alertbot.alerts.alert import Alert, Fingerprint
from alertbot.alerts.alerting import Alerting
from alertbot.alerts.standing import Kind, OfRule
from alertbot.evaluation.evaluate import Verdicts
from alertbot.evaluation.explain import measured as measured_leaves
from alertbot.evaluation.explain import moving
from alertbot.evaluation.snapshot import Column, Snapshot
from alertbot.rules.rule import Level, Rule
from alertbot.rules.tree import Count, Key, Window

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_NOT_STEADY = np.iinfo(np.int64).min

_Lines = NDArray[np.intp]
_Columns = tuple[NDArray[Any], ...]
Outcome = tuple[Alert, datetime | None]
"""An alert as its step left it, and until when it is steady; None: unchanged."""


class Moves:
    """Where the columns of a poll differ from those of the poll before: found once for all rules that read a column."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, ...], tuple[_Columns, _Columns, NDArray[np.bool_] | None]] = {}

    def between(self, old: _Columns, new: _Columns) -> NDArray[np.bool_] | None:
        """The rows that differ, of columns of the same entities; None where none does."""
        key = *map(id, old), *map(id, new)
        found = self._found.get(key)
        if found is None:  # with the columns, so that no others can have their identity
            where = _differ(old, new)
            found = self._found[key] = old, new, where if where.any() else None
        return found[2]


class Place(NamedTuple):
    """The alerts of one rule, line by line, and where their entities are in a poll. Mostly the same from turn to turn.

    These are tuples, since they are made for each rule of a poll: a frozen dataclass takes five times as long.
    """

    rule: Rule
    alerting: Alerting
    metrics: tuple[str, ...]  # the metric keys that cards show of every alert
    others: tuple[Window | Count, ...]  # and what else
    moving: Mapping[Level, Key | Window | None]  # `explain.moving` of each level
    keys: tuple[Fingerprint, ...]
    entities: Snapshot  # without its columns
    covered: _Lines  # the rows that the rule covers
    rows: _Lines  # of the entities, in the snapshot; -1 where it was not seen
    positions: _Lines  # in the verdicts; -1 where it was not seen, or is not covered
    taken: frozenset[int]  # the positions at which there is an alert


class OfOneRule(NamedTuple):
    """The alerts of one rule after a turn, and what their steps saw."""

    place: Place
    alerts: OfRule  # before the turn
    stepped: tuple[Alert, ...]  # as their last steps left them
    levels: Mapping[Level, NDArray[np.int8]]  # `Verdicts.levels`
    judged: _Columns  # guard, levels and `clear`, as far as the rule has them
    columns: tuple[Column | None, ...]  # of `metrics`
    measured: tuple[_Columns, ...]  # of `others`
    until: NDArray[np.int64]  # when each has to be stepped, whatever else: microseconds since 1970
    first: int  # the earliest of them

    def is_still(self, alerts: OfRule, verdicts: Verdicts) -> bool:
        """Whether the alerts, and everything that steps read, are the same objects as before."""
        snapshot, place = verdicts.snapshot, self.place
        return (
            alerts is self.alerts
            and verdicts.levels is self.levels  # the verdicts of the last poll (`Selector.last`), guard and clear too
            and not place.others
            and snapshot.same_entities(place.entities)
            and all(map(is_, map(snapshot.columns.get, place.metrics), self.columns))
        )

    def due(self, now: datetime) -> list[int]:
        """The lines of the alerts that must be stepped because their time has come."""
        ticks = _ticks(now)
        return (self.until <= ticks).nonzero()[0].tolist() if self.first <= ticks else []

    def after(self, outcomes: Mapping[int, Outcome]) -> OfOneRule:
        """What to remember after the alerts of these lines have been stepped."""
        if not outcomes:
            return self
        stepped, until = list(self.stepped), self.until
        for line, (alert, at) in outcomes.items():
            stepped[line] = alert
            if at is not None:
                if until is self.until:
                    until = until.copy()
                until[line] = _NOT_STEADY if self.place.positions[line] < 0 else _ticks(at)
        first = self.first if until is self.until else int(until.min())
        return self._replace(stepped=tuple(stepped), until=until, first=first)


@dataclass(frozen=True, slots=True)
class Picked:
    """The lines of a rule's alerts for which something moved: those to step, and those of which only values moved.

    `alerts` is what is remembered of all of them; None where the poll saw no entity.
    """

    alerts: OfOneRule | None
    to_step: Sequence[int]
    to_revalue: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Steady:
    """What the steps of a tenant's open alerts saw, up to the turn at `at`."""

    at: datetime | None = None
    rules: Mapping[Kind, OfOneRule] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, kind: Kind, now: datetime) -> OfOneRule | None:
        """What is remembered of a rule; None if the clock was set back since."""
        return self.rules.get(kind) if self.at is not None and self.at <= now else None


def picked(
    before: OfOneRule | None,
    alerts: OfRule,
    rule: Rule,
    verdicts: Verdicts,
    alerting: Alerting,
    now: datetime,
    moves: Moves | None = None,
) -> Picked:
    """Which of a rule's alerts to step. `before` is what was remembered after the last turn; without it, all.

    `moves` is that of the turn, for all its rules.
    """
    snapshot = verdicts.snapshot
    if not len(snapshot) or not len(verdicts.rows):
        return Picked(None, range(len(alerts)))
    if before is None or before.place.rule is not rule or _other(before.place.alerting, alerting):
        return Picked(_begin(alerts, rule, verdicts, alerting), range(len(alerts)))
    if before.is_still(alerts, verdicts):
        return Picked(before, before.due(now))
    place, stepped, until = before.place, before.stepped, before.until
    moved, revalued = np.zeros((2, len(alerts)), dtype=np.bool_)
    # Where the alerts were in the last poll, line by line.
    rows_then, positions_then = place.rows, place.positions
    if alerts is not before.alerts:
        then: Sequence[Alert | None] = stepped
        keys, stepped = tuple(alerts), tuple(alerts.values())
        if keys != place.keys:  # some began or ended
            line_of = {key: line for line, key in enumerate(place.keys)}
            lines = np.array([line_of.get(key, -1) for key in keys], dtype=np.intp)
            then = [before.stepped[line] if line >= 0 else None for line in lines.tolist()]
            until, rows_then, positions_then = until[lines], rows_then[lines], positions_then[lines]
            rows = rows_then.copy()
            began = (lines < 0).nonzero()[0]
            if len(began):
                rows[began] = _rows([keys[line] for line in began.tolist()], snapshot)
            place = _placed(place, keys, place.entities, place.covered, rows, verdicts)
        if not all(map(is_, stepped, then)):
            moved |= np.fromiter(map(is_not, stepped, then), dtype=np.bool_, count=len(stepped))
    if not snapshot.same_entities(place.entities):
        rows = _rows(place.keys, snapshot)
        moved |= _renamed(stepped, rows, snapshot)
        place = _placed(place, place.keys, snapshot.entities(), verdicts.rows, rows, verdicts)
    elif verdicts.rows is not place.covered:
        place = _placed(place, place.keys, place.entities, verdicts.rows, place.rows, verdicts)
    judged, columns, measured = _read(verdicts, place.metrics, place.others)
    rows, positions = place.rows, place.positions
    if place is before.place:
        for old, new in zip(before.judged, judged, strict=True):
            if old is not new and old.tobytes() != new.tobytes():  # a quarter of the cost of a comparison by numpy
                moved |= old[positions] != new[positions]
    else:
        moved |= positions < 0
        for old, new in zip(before.judged, judged, strict=True):
            moved |= old[positions_then] != new[positions]
    figures = zip(map(_values, before.columns), map(_values, columns), strict=True)
    for last, here in chain(figures, zip(before.measured, measured, strict=True)):
        if len(last) != len(here):
            revalued[:] = True
        elif all(map(is_, last, here)):
            if place is not before.place and here:
                revalued |= rows_then != rows
        elif place is before.place:
            where = moves.between(last, here) if moves is not None else _differ(last, here)
            if where is not None:
                revalued |= where[rows]
        else:
            was, now_is = (tuple(column[at] for column in of) for of, at in ((last, rows_then), (here, rows)))
            revalued |= _differ(was, now_is)
    ticks = _ticks(now)
    if before.first <= ticks:
        moved |= until <= ticks
    first = before.first if until is before.until else int(until.min())
    after = OfOneRule(place, alerts, stepped, verdicts.levels, judged, columns, measured, until, first)
    revalued &= ~moved
    return Picked(after, moved.nonzero()[0].tolist(), revalued.nonzero()[0].tolist())


def _other(one: Alerting, other: Alerting) -> bool:
    return one is not other and one != other


def _begin(alerts: OfRule, rule: Rule, verdicts: Verdicts, alerting: Alerting) -> OfOneRule:
    leaves = list(dict.fromkeys(leaf for level in rule.levels for leaf in measured_leaves(level)))
    metrics = tuple(dict.fromkeys((*(leaf.key for leaf in leaves if isinstance(leaf, Key)), *rule.shown_keys)))
    others = tuple(leaf for leaf in leaves if not isinstance(leaf, Key))
    keys, snapshot = tuple(alerts), verdicts.snapshot
    nowhere = np.zeros(0, dtype=np.intp)
    moves = {each.level: moving(each) for each in rule.levels}
    empty = Place(rule, alerting, metrics, others, moves, (), snapshot, nowhere, nowhere, nowhere, frozenset())
    place = _placed(empty, keys, snapshot.entities(), verdicts.rows, _rows(keys, snapshot), verdicts)
    judged, columns, measured = _read(verdicts, metrics, others)
    until = np.full(len(keys), _NOT_STEADY)
    stepped = tuple(alerts.values())
    return OfOneRule(place, alerts, stepped, verdicts.levels, judged, columns, measured, until, _NOT_STEADY)


def _placed(
    before: Place, keys: tuple[Fingerprint, ...], entities: Snapshot, covered: _Lines, rows: _Lines, verdicts: Verdicts
) -> Place:
    """The place of these alerts, of the same rule; `covered` and `rows` are those of the poll of `verdicts`."""
    positions = verdicts.positions(rows)
    taken = frozenset(positions[positions >= 0].tolist())
    return Place(*before[:5], keys, entities, covered, rows, positions, taken)


def _read(
    verdicts: Verdicts, metrics: Sequence[str], others: Sequence[Window | Count]
) -> tuple[_Columns, tuple[Column | None, ...], tuple[_Columns, ...]]:
    """What steps read of a poll, as in OfOneRule. Without a guard, all that there is to say of it is always true."""
    judged = [*verdicts.levels.values()]
    if verdicts.rule.guard is not None:
        judged.append(verdicts.guard)
    if verdicts.own_clear is not None:
        judged.append(verdicts.own_clear)
    columns = tuple(map(verdicts.snapshot.columns.get, metrics))
    return tuple(judged), columns, tuple(map(verdicts.column, others))


def _values(column: Column | None) -> _Columns:
    return () if column is None else (column.values, column.presence)


def _differ(old: _Columns, new: _Columns) -> NDArray[np.bool_]:
    """Where two sets of columns of the same length differ."""
    found: NDArray[np.bool_] | None = None
    for before, after in zip(old, new, strict=True):
        if before.dtype == np.float64 and after.dtype == np.float64:
            differs = before.view(np.int64) != after.view(np.int64)  # missing is the same as missing
        else:
            differs = before != after
        found = differs if found is None else found | differs
    assert found is not None, "a column at least"
    return found


def _rows(keys: Sequence[Fingerprint], snapshot: Snapshot) -> _Lines:
    """The row of each entity in the snapshot; -1 where it was not seen."""
    rows = snapshot.rows
    return np.array([rows.get((key.parent_id, key.entity_id), -1) for key in keys], dtype=np.intp)


def _renamed(alerts: Sequence[Alert], rows: _Lines, snapshot: Snapshot) -> NDArray[np.bool_]:
    """Where the entity or its parent has been renamed."""
    names = snapshot.names
    pairs = zip(alerts, rows.tolist(), strict=True)
    return np.array(
        [
            row >= 0 and (names[row] != alert.entity_name or snapshot.parent(row)[1] != alert.parent_name)
            for alert, row in pairs
        ],
        dtype=np.bool_,
    )


def _ticks(at: datetime) -> int:
    return (at - _EPOCH) // _TICK
