"""Which open alerts a turn has to step: those for which something moved. The others are steady.

Theory of operation. A step (`transition.step`) is a function of five things: the alert, what the poll observed of its
entity, the rule, the situation, and the time. An alert for which it returned None need not be stepped again while
nothing that a step reads of these five has changed:

- The alert: the same object. Whatever else changes an alert (a mute, a follow-up, a user, another process, a clock that
  was set back) makes a new object. One that a step itself has changed is steady as the step left it: a second step on
  the same observation returns None.
- The observation: guard, levels and `clear`, and the values behind the comparison and the other figures on the card
  (`explain.measured`, `Rule.shown_keys`). They are kept as columns with one line for each alert of the rule, and
  compared with those of the new poll in a few numpy calls. If a column of the poll is the same object as before
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

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from operator import is_, is_not
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alertbot.alerts.alert import Alert, Fingerprint
from alertbot.alerts.alerting import Alerting
from alertbot.alerts.standing import Kind, OfRule
from alertbot.evaluation.evaluate import Verdicts
from alertbot.evaluation.explain import measured
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


@dataclass(frozen=True, slots=True)
class _Input:
    """Something that steps read: its columns in the poll, and the lines of the alerts in them. Empty: there is none."""

    whole: _Columns
    own: _Columns


@dataclass(frozen=True, slots=True)
class OfOneRule:
    """The alerts of one rule after a turn, line by line, and what their steps saw."""

    rule: Rule
    alerting: Alerting
    metrics: tuple[str, ...]  # the metric keys that cards show of every alert
    others: tuple[Window | Count, ...]  # and what else
    alerts: OfRule  # before the turn
    keys: tuple[Fingerprint, ...]
    stepped: tuple[Alert, ...]  # as their last steps left them
    entities: Snapshot  # without its columns
    columns: tuple[Column | None, ...]  # of `metrics`
    levels: Mapping[Level, NDArray[np.int8]]  # `Verdicts.levels`
    covered: _Lines  # the rows that the rule covers
    rows: _Lines  # of the entities, in the snapshot; -1 where it was not seen
    positions: _Lines  # in the verdicts; -1 where it was not seen, or is not covered
    inputs: tuple[_Input, ...]
    until: NDArray[np.int64]  # when each has to be stepped, whatever else: microseconds since 1970
    first: int  # the earliest of them

    @property
    def taken(self) -> _Lines:
        """The positions at which there is an alert."""
        return self.positions[self.positions >= 0]

    def is_still(self, alerts: OfRule, verdicts: Verdicts) -> bool:
        """Whether the alerts, and everything that steps read, are the same objects as before."""
        snapshot = verdicts.snapshot
        return (
            alerts is self.alerts
            and verdicts.levels is self.levels  # the verdicts of the last poll (`Selector.last`), guard and clear too
            and not self.others
            and snapshot.same_entities(self.entities)
            and all(map(is_, map(snapshot.columns.get, self.metrics), self.columns))
        )

    def due(self, now: datetime) -> list[int]:
        """The lines of the alerts that must be stepped because their time has come."""
        ticks = _ticks(now)
        return (self.until <= ticks).nonzero()[0].tolist() if self.first <= ticks else []

    def after(self, outcomes: Mapping[int, Outcome]) -> OfOneRule:
        """What to remember after the alerts of these lines have been stepped."""
        if not outcomes:
            return self
        stepped, until = list(self.stepped), self.until.copy()
        for line, (alert, at) in outcomes.items():
            stepped[line] = alert
            if at is not None:
                until[line] = _NOT_STEADY if self.positions[line] < 0 else _ticks(at)
        return replace(self, stepped=tuple(stepped), until=until, first=int(until.min()))


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
    before: OfOneRule | None, alerts: OfRule, rule: Rule, verdicts: Verdicts, alerting: Alerting, now: datetime
) -> Picked:
    """Which of a rule's alerts to step. `before` is what was remembered after the last turn; without it, all."""
    snapshot = verdicts.snapshot
    if not len(snapshot) or not len(verdicts.rows):
        return Picked(None, range(len(alerts)))
    known = before
    if known is None or known.rule is not rule or known.alerting != alerting:
        return Picked(_begin(alerts, rule, verdicts, alerting), range(len(alerts)))
    if known.is_still(alerts, verdicts):
        return Picked(known, known.due(now))
    keys, stepped, rows, until = known.keys, known.stepped, known.rows, known.until
    before_own = [each.own for each in known.inputs]
    moved, revalued = np.zeros((2, len(alerts)), dtype=np.bool_)
    if alerts is not known.alerts:
        then: Sequence[Alert | None] = stepped
        keys, stepped = tuple(alerts), tuple(alerts.values())
        if keys != known.keys:  # some began or ended
            line_of = {key: line for line, key in enumerate(known.keys)}
            lines = np.array([line_of.get(key, -1) for key in keys], dtype=np.intp)
            then = [known.stepped[line] if line >= 0 else None for line in lines.tolist()]
            until = until[lines]
            before_own = [tuple(column[lines] for column in own) for own in before_own]
            rows = rows[lines]
            began = (lines < 0).nonzero()[0]
            if len(began):
                rows[began] = _rows([keys[line] for line in began.tolist()], snapshot)
        moved |= np.fromiter(map(is_not, stepped, then), dtype=np.bool_, count=len(keys))
    if not snapshot.same_entities(known.entities):
        rows = _rows(keys, snapshot)
        moved |= _renamed(stepped, rows, snapshot)
    positions = known.positions
    same_lines = rows is known.rows and verdicts.rows is known.covered
    if not same_lines:
        positions = verdicts.positions(rows)
        moved |= positions < 0
    inputs = []
    read = _read(verdicts, known.metrics, known.others)
    for last, own, (aligned, whole) in zip(known.inputs, before_own, read, strict=True):
        if same_lines and len(whole) == len(last.whole) and all(map(is_, whole, last.whole)):
            inputs.append(last)
        else:
            inputs.append(_Input(whole, tuple(column[positions if aligned else rows] for column in whole)))
            _mark(moved if aligned else revalued, inputs[-1].own, own)
    ticks = _ticks(now)
    if known.first <= ticks:
        moved |= until <= ticks
    first = known.first if until is known.until else int(until.min())
    after = OfOneRule(
        rule,
        alerting,
        known.metrics,
        known.others,
        alerts,
        keys,
        stepped,
        known.entities if snapshot.same_entities(known.entities) else snapshot.entities(),
        tuple(map(snapshot.columns.get, known.metrics)),
        verdicts.levels,
        verdicts.rows,
        rows,
        positions,
        tuple(inputs),
        until,
        first,
    )
    revalued &= ~moved
    return Picked(after, moved.nonzero()[0].tolist(), revalued.nonzero()[0].tolist())


def _begin(alerts: OfRule, rule: Rule, verdicts: Verdicts, alerting: Alerting) -> OfOneRule:
    leaves = list(dict.fromkeys(leaf for level in rule.levels for leaf in measured(level)))
    metrics = tuple(dict.fromkeys((*(leaf.key for leaf in leaves if isinstance(leaf, Key)), *rule.shown_keys)))
    others = tuple(leaf for leaf in leaves if not isinstance(leaf, Key))
    keys = tuple(alerts)
    rows = _rows(keys, verdicts.snapshot)
    positions = verdicts.positions(rows)
    inputs = tuple(
        _Input(whole, tuple(column[positions if aligned else rows] for column in whole))
        for aligned, whole in _read(verdicts, metrics, others)
    )
    return OfOneRule(
        rule,
        alerting,
        metrics,
        others,
        alerts,
        keys,
        tuple(alerts.values()),
        verdicts.snapshot.entities(),
        tuple(map(verdicts.snapshot.columns.get, metrics)),
        verdicts.levels,
        verdicts.rows,
        rows,
        positions,
        inputs,
        np.full(len(keys), _NOT_STEADY),
        _NOT_STEADY,
    )


def _read(
    verdicts: Verdicts, metrics: Sequence[str], others: Sequence[Window | Count]
) -> Iterator[tuple[bool, _Columns]]:
    """What steps read of a poll, always in the same order, each with whether it is aligned with the verdicts."""
    truths = [verdicts.guard, *verdicts.levels.values()]
    yield from ((True, (column,)) for column in truths)
    yield True, () if verdicts.own_clear is None else (verdicts.own_clear,)
    for key in metrics:
        column = verdicts.snapshot.columns.get(key)
        yield False, () if column is None else (column.values, column.presence)
    yield from ((False, verdicts.column(node)) for node in others)


def _mark(moved: NDArray[np.bool_], own: _Columns, before: _Columns) -> None:
    """Mark the lines that differ."""
    if len(own) != len(before):
        moved[:] = True
        return
    for new, old in zip(own, before, strict=True):
        if new.dtype == np.float64 and old.dtype == np.float64:
            moved |= new.view(np.int64) != old.view(np.int64)  # missing is the same as missing
        else:
            moved |= new != old


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
