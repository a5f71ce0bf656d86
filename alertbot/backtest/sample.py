"""An alert as a rule would raise it, without a poll: for previews, drills and template checks."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta

from alertbot.alerts.alert import About, Alert, Fingerprint, State
from alertbot.evaluation.explain import filled, measure
from alertbot.evaluation.measure import Measure
from alertbot.evaluation.snapshot import Snapshot
from alertbot.rules.catalogue import TOTALS_ENTITY, Scope, ValueType, catalogue
from alertbot.rules.match import covers
from alertbot.rules.nouns import parts_of
from alertbot.rules.rule import Level, Rule

_NAMES = {
    Scope.QUEUE: ("103", "Sales EU"),
    Scope.GROUP: ("7", "Front desk"),
    Scope.AGENT: ("ag1", "Sam Lee"),
    Scope.QUEUE_AGENT: ("ag1", "Sam Lee"),
    Scope.GROUP_AGENT: ("ag1", "Sam Lee"),
    Scope.QUEUE_TOTALS: (TOTALS_ENTITY, TOTALS_ENTITY),
    Scope.AGENT_TOTALS: (TOTALS_ENTITY, TOTALS_ENTITY),
}
_PARENTS = {Scope.AGENT: "Front desk", Scope.QUEUE_AGENT: "Sales EU", Scope.GROUP_AGENT: "Front desk"}
_USUAL: dict[ValueType, float | str] = {
    ValueType.COUNT: 12.0,
    ValueType.NUMBER: 12.0,
    ValueType.DURATION: 130_000.0,
    ValueType.RATIO: 0.42,
    ValueType.TEXT: "OnBreak",
}
# Counts that stand beside each other on a card: `7 callers waiting, 4 of 12 agents can take them`.
_COUNTS = {"enabled": 12.0, "eligible": 4.0, "entered": 60.0, "offered": 60.0, "accepted": 48.0}
_COUNT = 7.0


def sample_snapshot(rule: Rule, now: datetime) -> Snapshot:
    """One entity that the rule covers, without values. Its name is made up to fit `match`."""
    entity_id, name = _NAMES.get(rule.scope, ("1", "Sample"))
    match = rule.match
    if not covers(match, entity_id, name):
        if match.ids:
            entity_id = match.ids[0]
        elif match.names:
            name = match.names[0].replace("*", " sample").replace("?", "x").strip()
    parent = _PARENTS.get(rule.scope, "")
    return Snapshot(
        scope=rule.scope,
        at=now,
        ids=(entity_id,),
        names=(name,),
        columns={},
        parent_ids=("1",) if parent else (),
        parent_names=(parent,) if parent else (),
    )


def sample_alert(rule: Rule, level: Level, now: datetime, *, tenant: str = "sample") -> Alert:
    """The rule, firing at this level for four minutes, with a value slightly beyond its threshold."""
    snapshot = sample_snapshot(rule, now)
    sample = measure(rule, level, snapshot, 0)
    if sample is not None and sample.value is None:  # the snapshot has no values: make one up
        threshold = sample.threshold if sample.threshold is not None else _threshold(sample, now)
        sample = replace(sample, threshold=threshold)
        sample = replace(sample, value=_beyond(sample, now))
    alert = drawn_from(rule, level, snapshot, 0, now, tenant=tenant, measured=sample)
    return replace(alert, shown={key: _usual(rule.scope, key, now) for key in rule.shown_keys})


def _usual(scope: Scope, key: str, now: datetime) -> float | str:
    metric = catalogue().lookup(scope, key)
    if metric is not None and metric.type is ValueType.COUNT:
        return _COUNTS.get(parts_of(key).base, _COUNT)
    return _USUAL.get(metric.type if metric is not None else ValueType.NUMBER, now.timestamp() * 1000)


def drawn_from(
    rule: Rule,
    level: Level,
    snapshot: Snapshot,
    row: int,
    now: datetime,
    *,
    tenant: str,
    measured: Measure | None,
) -> Alert:
    """The rule, firing for one row of a snapshot, whether or not its condition holds."""
    parent_id, parent_name = snapshot.parent(row)
    entity_id, name = snapshot.ids[row], snapshot.names[row]
    of_level = rule.level(level)
    condition = filled(rule, of_level.when, of_level.text, entity_id, name) if of_level is not None else ""
    value = measured.value if measured is not None else None
    peak = value if isinstance(value, float) else None
    began = now - timedelta(minutes=4)
    return Alert(
        key=Fingerprint(tenant, rule.id, rule.scope, parent_id, entity_id),
        entity_name=name,
        parent_name=parent_name,
        about=About(
            rule.title, condition, rule.template, rule.runbook, rule.labels, message=rule.message, show=rule.show
        ),
        shown={key: snapshot.reading(key, row)[0] for key in rule.shown_keys},
        state=State.FIRING,
        level=level,
        since={level: began - (of_level.hold if of_level is not None else timedelta(0))},
        pending_since=began - (of_level.hold if of_level is not None else timedelta(0)),
        fired_at=began,
        measure=measured,
        peak=peak,
        peak_at=now - timedelta(minutes=1) if peak is not None else None,
        highest=level,
        seen_at=now,
    )


def _threshold(measured: Measure, now: datetime) -> float | str:
    """Where the threshold is another key: something usual of its type."""
    if measured.type is ValueType.TIMESTAMP:
        return now.timestamp() * 1000
    usual = _USUAL[measured.type]
    return usual if isinstance(usual, str) else usual / 2


def _beyond(measured: Measure, now: datetime) -> float | str:
    """A value for which the comparison clearly holds."""
    limit = measured.threshold
    if limit is None:
        return _USUAL.get(measured.type, now.timestamp() * 1000)
    if isinstance(limit, str):
        return limit if measured.op == "==" else "Available" if limit.casefold() != "available" else "OnBreak"
    if measured.op in ("==", "<=", ">=") and limit == 0:
        return 0.0
    if measured.type is ValueType.TIMESTAMP:
        return limit + (60_000.0 if measured.op in (">", ">=") else -60_000.0)
    if measured.op in (">", ">=", "!="):
        beyond = limit * 1.25 if limit else float(_USUAL[measured.type])
        if measured.type is ValueType.RATIO:
            return min(1.0, beyond)
    else:
        beyond = limit * 0.75 if measured.op in ("<", "<=") else limit
    if measured.type is ValueType.COUNT:
        beyond = float(math.floor(beyond) if measured.op in ("<", "<=") else math.ceil(beyond))
    return beyond
