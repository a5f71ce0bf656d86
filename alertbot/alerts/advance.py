"""All alerts of a tenant at once: what one poll changes."""

from __future__ import annotations

from collections.abc import Container, Iterator, MutableMapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from alertbot.alerts import wording
from alertbot.alerts.alert import Alert, Change, Fingerprint, State
from alertbot.alerts.alerting import ORDINARY, Situation
from alertbot.alerts.followups import closings
from alertbot.alerts.mute import mute
from alertbot.alerts.standing import Kind, Standing
from alertbot.alerts.steady import Moves, OfOneRule, Outcome, Picked, Steady, picked
from alertbot.alerts.transition import (
    ALWAYS,
    Event,
    Observation,
    Sight,
    end,
    revalue,
    steady_until,
    step,
    value_change,
)
from alertbot.evaluation.evaluate import Truth, Verdicts, in_words
from alertbot.evaluation.explain import ending, measure
from alertbot.evaluation.measure import Measure
from alertbot.evaluation.snapshot import Presence, Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.rules.hours import Phase, watches
from alertbot.rules.match import covers
from alertbot.rules.rule import Level, Rule, RuleSet
from alertbot.rules.tree import Key, Window


def advance(
    alerts: Sequence[Alert],
    verdicts: Sequence[Verdicts],
    rules: RuleSet,
    now: datetime,
    *,
    tenant: str,
    failed_scopes: frozenset[Scope] = frozenset(),
    failing: MutableMapping[str, str] | None = None,
    situation: Situation = ORDINARY,
) -> list[Change]:
    """What a turn changes for one tenant: its alerts first, in their order, then those that begin.

    `alerts` are pending or open; those of other tenants are left alone. `verdicts` is empty on a turn without a fetch.
    Scopes in `failed_scopes` change nothing, except for alerts whose rule is gone, no longer covers them, or is outside
    its hours. An alert begins only where some level is true (or unknown, if the rule says that this fires): the
    other entities cost no Python at all. Which changes are reported is decided by `mute`.

    Nothing begins for a fingerprint that is latched (`latch.py`).

    `failing` has the rules that could not be evaluated; their alerts stay as they are. A rule that raises an exception
    here is added, with the exception; without `failing` the exception is raised.
    """
    standing = Standing.of(each for each in alerts if each.key.tenant == tenant and each.state is not State.INACTIVE)
    return _advance(standing, None, verdicts, rules, now, tenant, failed_scopes, failing, situation)[0]


def advance_moved(
    standing: Standing,
    steady: Steady,
    verdicts: Sequence[Verdicts],
    rules: RuleSet,
    now: datetime,
    *,
    tenant: str,
    failed_scopes: frozenset[Scope] = frozenset(),
    failing: MutableMapping[str, str] | None = None,
    situation: Situation = ORDINARY,
) -> tuple[list[Change], Steady]:
    """The same changes as `advance`, without the cost of alerts that are steady: see steady.py.

    `standing` are alerts of this tenant alone, and `verdicts` come from `evaluate_all`. What is returned beside the
    changes is the `steady` of the tenant's next turn, if this one is recorded.
    """
    return _advance(standing, steady, verdicts, rules, now, tenant, failed_scopes, failing, situation)


def _advance(
    standing: Standing,
    steady: Steady | None,
    verdicts: Sequence[Verdicts],
    rules: RuleSet,
    now: datetime,
    tenant: str,
    failed_scopes: frozenset[Scope],
    failing: MutableMapping[str, str] | None,
    situation: Situation,
) -> tuple[list[Change], Steady]:
    """`steady` None: every alert is stepped, and nothing is remembered."""
    by_id = {rule.id: rule for rule in rules.rules}
    moves = Moves()
    broken: MutableMapping[str, str] = failing if failing is not None else {}
    hours: dict[str, Phase] = {}
    for rule_id, own in by_id.items():
        if own.during is None and own.outside is None:
            hours[rule_id] = Phase.OPEN
            continue
        try:
            hours[rule_id] = watches(own.during, own.outside, now)
        except Exception as error:
            _isolate(error, rule_id, failing)
    by_rule = {each.rule.id: each for each in verdicts if each.snapshot.scope not in failed_scopes}

    to_step: list[Fingerprint] = []
    chosen: dict[Kind, Picked] = {}
    for kind, alerts in standing.by_rule.items():
        rule = by_id.get(kind[1])
        if steady is None or rule is None or rule.scope is not kind[0] or hours.get(rule.id) is not Phase.OPEN:
            to_step += alerts
            continue
        known, verdict = steady.of(kind, now), by_rule.get(rule.id)
        if verdict is not None:
            try:
                chosen[kind] = found = picked(known, alerts, rule, verdict, situation.alerting, now, moves)
            except Exception as error:
                _isolate(error, rule.id, failing)
                continue
            if found.alerts is None:
                to_step += alerts
            elif found.to_step:
                to_step += [found.alerts.place.keys[line] for line in found.to_step]
        elif known is not None and known.place.rule is rule and known.place.keys == tuple(alerts):
            chosen[kind] = Picked(known, ())  # nothing is new, and the rule covers them as before
        else:
            to_step += alerts

    changes: list[Change] = []
    outcomes: dict[Fingerprint, Outcome] = {}
    active = {rule_id: by_id[rule_id] for rule_id in hours}
    walked = standing.in_order(to_step)
    closed = {change.after.key: change for change in closings(walked, active, hours, now)}
    for alert in walked:
        key = alert.key
        rule = by_id.get(key.rule)
        if rule is None or rule.scope is not key.scope:
            changes.append(end(alert, alert, Event.REMOVED, now, f"the rule {key.rule} is gone"))
        elif key in closed:
            changes.append(closed[key])
        elif rule.id not in broken:
            try:
                observed = _observed(alert, rule, by_rule.get(rule.id), hours[rule.id])
                change = None
                if isinstance(observed, Observation):
                    change = step(alert, observed, rule, now, situation)
                elif not observed:
                    change = end(alert, alert, Event.UNCOVERED, now, wording.NOT_COVERED)
                if steady is not None:
                    after = change.after if change is not None else alert
                    outcomes[key] = after, _steady_until(after, observed, rule, now, situation)
            except Exception as error:
                _isolate(error, rule.id, failing)
            else:
                if change is not None:
                    changes.append(change)
    remembered: dict[Kind, OfOneRule] = {}
    values: list[Change] = []
    for kind, found in chosen.items():
        of_rule = found.alerts
        if of_rule is None or kind[1] in broken:
            continue
        try:
            by_line: dict[int, Outcome] = {line: outcomes[of_rule.place.keys[line]] for line in found.to_step}
            if found.to_revalue:
                for line, change in _revalued(of_rule, found.to_revalue, by_rule[kind[1]], now, situation):
                    if change is not None:
                        by_line[line] = change.after, None
                        values.append(change)
            remembered[kind] = of_rule.after(by_line)
        except Exception as error:
            _isolate(error, kind[1], failing)
    if values:
        changes = standing.changes_in_order([*changes, *values])
    for verdict in by_rule.values():
        rule = verdict.rule
        if hours.get(rule.id) is Phase.OPEN and rule.id not in broken:
            picks = chosen.get((rule.scope, rule.id))
            taken = picks.alerts.place.taken if picks is not None and picks.alerts is not None else frozenset()
            try:
                positions = _free(verdict, taken)
                if positions:
                    changes += list(_beginnings(verdict, standing.by_key, positions, tenant, now, situation))
            except Exception as error:
                _isolate(error, rule.id, failing)
    return mute(standing, changes, rules, now, situation), Steady(now, remembered)


_TRUE, _PRESENT = int(Truth.TRUE), int(Presence.PRESENT)
_FEW = 32
"""Up to this many values are read one by one: each call of numpy costs as much as several of these."""


def _revalued(
    known: OfOneRule,
    lines: Sequence[int],
    verdict: Verdicts,
    now: datetime,
    situation: Situation,
) -> Iterator[tuple[int, Change | None]]:
    """What changes of the alerts of a rule for which only values moved, line by line: as `revalue`, in columns.

    Most rules compare one key, or one window, with a limit that is the same for as long as the rule is. Then all else
    of the comparison on the card is as the last step left it.
    """
    place, rule, snapshot = known.place, verdict.rule, verdict.snapshot
    rows, positions = place.rows, place.positions
    if len(lines) > _FEW:
        at = np.array(lines, dtype=np.intp)
        rows, positions = rows[at], positions[at]
        row_list, position_list = rows.tolist(), positions.tolist()
    else:
        row_list, position_list = [rows.item(line) for line in lines], [positions.item(line) for line in lines]
    by_key = {key: _readings(snapshot, key, rows, row_list) for key in rule.shown_keys}
    shown = list(zip(*by_key.values(), strict=True)) if by_key else None
    moved: dict[Level, Sequence[float | str | None] | None] = {}
    for number, (line, row, position) in enumerate(zip(lines, row_list, position_list, strict=True)):
        alert = known.stepped[line]
        level, last = alert.level, alert.measure
        if level not in moved:
            moved[level] = _moved_values(place.moving.get(level), verdict, rows, row_list)
        values = moved[level]
        if values is None or last is None or (rule.guard is not None and verdict.guard.item(position) != _TRUE):
            yield line, revalue(alert, _seen(alert.key, verdict, row, position), rule, now, situation)
            continue
        value = values[number]
        measure = last if last.value == value else Measure(last.label, last.type, last.op, value, last.threshold)
        figures = dict(zip(by_key, shown[number], strict=True)) if shown is not None else {}
        seen = partial(_seen, alert.key, verdict, row, position)
        yield line, value_change(alert, measure, figures, seen, rule, now, situation)


def _readings(
    snapshot: Snapshot, key: str, rows: NDArray[np.intp], row_list: Sequence[int]
) -> Sequence[float | str | None]:
    if len(row_list) <= _FEW:
        return [snapshot.reading(key, row)[0] for row in row_list]
    return snapshot.readings(key, rows)


def _moved_values(
    leaf: Key | Window | None, verdict: Verdicts, rows: NDArray[np.intp], row_list: Sequence[int]
) -> Sequence[float | str | None] | None:
    """The values that `measure` compares, row by row; None where they have to be read one by one.

    `rows` are those of `row_list` where these are many.
    """
    if leaf is None or (isinstance(leaf, Window) and verdict.evaluation is None):
        return None
    few = len(row_list) <= _FEW
    if isinstance(leaf, Window):
        values, known, *_ = verdict.column(leaf)
        if few:
            return [values.item(row) if known.item(row) else None for row in row_list]
        values, known = values[rows], known[rows]
    else:
        column = verdict.snapshot.columns.get(leaf.key)
        if column is None or column.is_text:
            return [None] * len(row_list)
        if few:
            pairs = zip(map(column.values.item, row_list), map(column.presence.item, row_list), strict=True)
            return [value if presence == _PRESENT and isfinite(value) else None for value, presence in pairs]
        values = column.values[rows]
        known = (column.presence[rows] == _PRESENT) & np.isfinite(values.astype(np.float64))
    return [value if there else None for value, there in zip(values.tolist(), known.tolist(), strict=True)]


def _steady_until(
    alert: Alert, observed: Observation | bool, rule: Rule, now: datetime, situation: Situation
) -> datetime:
    """Until when an alert is steady, as its step left it."""
    if not isinstance(observed, Observation) or alert.state is State.INACTIVE:
        return ALWAYS
    return steady_until(alert, observed, rule, now, situation)


def _observed(alert: Alert, rule: Rule, verdict: Verdicts | None, phase: Phase) -> Observation | bool:
    """What a poll says about an alert, whose rule still exists; False where the rule does not cover the entity.

    True where the scope was not fetched (`verdict` is None): the rule covers it, and that is all there is to say.
    """
    key = alert.key
    row = verdict.snapshot.rows.get((key.parent_id, key.entity_id)) if verdict is not None else None
    position = verdict.position(row) if verdict is not None and row is not None else None
    if position is None and (row is not None or not covers(rule.match, key.entity_id, alert.entity_name)):
        return False
    if verdict is None:
        return True
    seen = _unseen(alert, verdict) if row is None or position is None else _seen(key, verdict, row, position)
    return seen if phase is Phase.OPEN else replace(seen, hours=phase)


def _isolate(error: Exception, rule_id: str, failing: MutableMapping[str, str] | None) -> None:
    """Whatever one rule meets, the alerts of the others go on: `failing` says what it was. Without it, raise `error`.

    It is called in each handler of the loops above: a context manager would cost more than most of their rounds.
    """
    if failing is None:
        raise error
    failing[rule_id] = in_words(error)


def _free(verdict: Verdicts, taken: frozenset[int]) -> list[int]:
    """The positions at which an alert may begin, without those at which there is one."""
    positions = verdict.begins()
    if len(positions) <= _FEW:
        return [position for position in positions.tolist() if position not in taken]
    free: list[int] = verdict.begins(np.fromiter(taken, dtype=np.intp, count=len(taken))).tolist()
    return free


def _beginnings(
    verdict: Verdicts,
    alerts: Container[Fingerprint],
    positions: Sequence[int],
    tenant: str,
    now: datetime,
    situation: Situation,
) -> Iterator[Change]:
    """The alerts that begin at these positions. `alerts` are there already."""
    rule, snapshot = verdict.rule, verdict.snapshot
    for position in positions:
        row = int(verdict.rows[position])
        parent_id, _ = snapshot.parent(row)
        key = Fingerprint(tenant, rule.id, rule.scope, parent_id, snapshot.ids[row])
        if (
            key in alerts or key in situation.latched or snapshot.rows[parent_id, key.entity_id] != row
        ):  # an id that appears twice is one entity
            continue
        change = step(None, _seen(key, verdict, row, position), rule, now, situation)
        if change is not None:
            yield change


def _seen(key: Fingerprint, verdict: Verdicts, row: int, position: int) -> Observation:
    rule, snapshot = verdict.rule, verdict.snapshot
    guard, levels, clear = verdict.at(position)
    windows = (lambda node: verdict.window(node, row)) if verdict.evaluation is not None else None
    return Observation(
        key=key,
        entity_name=snapshot.names[row],
        parent_name=snapshot.parent(row)[1],
        sight=Sight.SEEN,
        guard=guard,
        levels=levels,
        clear=clear,
        measure=lambda level: measure(
            rule, level, snapshot, row, agents=verdict.agents, past=verdict.past, windows=windows
        ),
        shown={key: snapshot.reading(key, row)[0] for key in rule.shown_keys},
        ending=lambda level: ending(rule, level, snapshot, row, agents=verdict.agents, past=verdict.past),
    )


def _unseen(alert: Alert, verdict: Verdicts) -> Observation:
    unknown = {each.level: Truth.UNKNOWN for each in verdict.rule.levels}
    last = alert.measure
    missing = replace(last, value=None) if last is not None else None
    return Observation(
        key=alert.key,
        entity_name=alert.entity_name,
        parent_name=alert.parent_name,
        sight=Sight.GONE if verdict.snapshot.complete else Sight.UNSEEN,
        guard=Truth.TRUE if verdict.rule.guard is None else Truth.UNKNOWN,
        levels=unknown,
        clear=unknown,
        measure=lambda _: missing,
    )
