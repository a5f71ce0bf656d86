"""Values that the tests of this room are made of: rules, snapshots and conditions in a line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from alertbot.alerts.advance import advance
from alertbot.alerts.alert import Alert, Change, Fingerprint
from alertbot.alerts.alerting import ORDINARY, Situation
from alertbot.evaluation.evaluate import evaluate_all
from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.rule import Level, LevelRule, Rule, RuleSet
from alertbot.rules.tree import Compare, Condition, Key, Literal, Op, show

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
POLL = timedelta(seconds=15)
TENANT = "acme"

WAIT = "interactionsLongestWaitInQueue.rt"
WAITING = "waiting.rt"
STATUS = "status.rt"
SLA = "slaPercentage.int-30m"
_TYPES = {WAIT: ValueType.DURATION, STATUS: ValueType.TEXT, SLA: ValueType.RATIO}


def key(name: str) -> Key:
    return Key(name, _TYPES.get(name, ValueType.COUNT))


def compare(name: str, op: str, value: float | str) -> Compare:
    """`name op value`, the value in column units and of the key's type."""
    return Compare(Op(op), key(name), Literal(value, _TYPES.get(name, ValueType.COUNT)))


def level(which: Level, when: Condition, hold: float = 0) -> LevelRule:
    return LevelRule(which, when, show(when), timedelta(seconds=hold))


def rule(*levels: LevelRule, **more: Any) -> Rule:
    """The rule `longest-wait` of scope queue, with `more` changed; without levels: above 60 s and above 120 s."""
    levels = levels or (
        level(Level.WARNING, compare(WAIT, ">", 60_000)),
        level(Level.CRITICAL, compare(WAIT, ">", 120_000)),
    )
    return Rule(**{"id": "longest-wait", "title": "Longest wait", "scope": Scope.QUEUE, "levels": levels, **more})


def column(values: Sequence[float | str | None], *, text: bool = False) -> Column:
    """A column; None is a null."""
    presence = np.array([Presence.NULL if value is None else Presence.PRESENT for value in values], dtype=np.uint8)
    if text:
        words = np.empty(len(values), dtype=np.object_)
        words[:] = ["" if value is None else value for value in values]
        return Column(words, presence)
    return Column(np.array([np.nan if value is None else value for value in values], dtype=np.float64), presence)


def snapshot(
    columns: Mapping[str, Sequence[float | str | None]],
    *,
    names: Sequence[str] | None = None,
    at: datetime = NOW,
    **more: Any,
) -> Snapshot:
    """Entities q1, q2, ... (or by `names`) with these columns; a column of words is a text column."""
    size = len(next(iter(columns.values()))) if columns else len(names or ())
    made = {name: column(values, text=name == STATUS) for name, values in columns.items()}
    called = tuple(names) if names is not None else tuple(f"Queue {row + 1}" for row in range(size))
    given = {"ids": tuple(f"q{row + 1}" for row in range(size)), **more}
    return Snapshot(**{"scope": Scope.QUEUE, "at": at, "names": called, "columns": made, **given})


def fingerprint(entity: str = "q1", rule_id: str = "longest-wait") -> Fingerprint:
    return Fingerprint(TENANT, rule_id, Scope.QUEUE, "", entity)


def poll(
    alerts: Sequence[Alert],
    rules: Sequence[Rule],
    snapshots: Sequence[Snapshot],
    now: datetime,
    failed: frozenset[Scope] = frozenset(),
    situation: Situation = ORDINARY,
) -> list[Change]:
    """Evaluate and advance, as a poll does; `followups` come after that."""
    together = RuleSet(tuple(rules))
    verdicts = evaluate_all(together, {seen.scope: seen for seen in snapshots})
    return advance(alerts, verdicts, together, now, tenant=TENANT, failed_scopes=failed, situation=situation)


def keep(alerts: Sequence[Alert], changes: Sequence[Change]) -> list[Alert]:
    """What a store would return at the next poll: the alerts that have not ended."""
    kept = {alert.key: alert for alert in alerts}
    kept.update({change.after.key: change.after for change in changes})
    return [alert for alert in kept.values() if alert.state != "inactive"]
