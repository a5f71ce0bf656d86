"""All alerts of a tenant at once: what one poll changes."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from alertbot.alerts import wording
from alertbot.alerts.alert import Alert, Change, Fingerprint, State
from alertbot.alerts.alerting import ORDINARY, Situation
from alertbot.alerts.followups import closings
from alertbot.alerts.mute import mute
from alertbot.alerts.transition import Event, Observation, Sight, end, step
from alertbot.evaluation.evaluate import Truth, Verdicts, in_words
from alertbot.evaluation.explain import ending, measure
from alertbot.rules.catalogue import Scope
from alertbot.rules.hours import Phase, watches
from alertbot.rules.match import covers
from alertbot.rules.rule import Rule, RuleSet


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
    by_id = {rule.id: rule for rule in rules.rules}
    broken: MutableMapping[str, str] = failing if failing is not None else {}
    hours: dict[str, Phase] = {}
    for rule_id, own in by_id.items():
        with _isolated(rule_id, failing):
            hours[rule_id] = watches(own.during, own.outside, now)
    active = {rule_id: by_id[rule_id] for rule_id in hours}
    closed = {change.after.key: change for change in closings(alerts, active, hours, now)}
    by_rule = {each.rule.id: each for each in verdicts if each.snapshot.scope not in failed_scopes}
    changes: list[Change] = []
    taken: set[Fingerprint] = set()
    for alert in alerts:
        key = alert.key
        if key.tenant != tenant or alert.state is State.INACTIVE:
            continue
        taken.add(key)
        rule = by_id.get(key.rule)
        if rule is None or rule.scope is not key.scope:
            changes.append(end(alert, alert, Event.REMOVED, now, f"the rule {key.rule} is gone"))
        elif key in closed:
            changes.append(closed[key])
        elif rule.id not in broken:
            try:  # as `_isolated`, which would cost more than the step of an alert that does not change
                change = _next(alert, rule, by_rule.get(rule.id), hours[rule.id], now, situation)
            except Exception as error:
                if failing is None:
                    raise
                failing[rule.id] = in_words(error)
            else:
                if change is not None:
                    changes.append(change)
    for verdict in by_rule.values():
        if hours.get(verdict.rule.id) is Phase.OPEN and verdict.rule.id not in broken:
            with _isolated(verdict.rule.id, failing):
                changes.extend(list(_beginnings(verdict, taken, tenant, now, situation)))
    before = [alert for alert in alerts if alert.key in taken]
    return mute(before, changes, rules, now, situation)


def _next(
    alert: Alert, rule: Rule, verdict: Verdicts | None, phase: Phase, now: datetime, situation: Situation
) -> Change | None:
    """The next step of one alert, whose rule still exists; `verdict` is None where its scope was not fetched."""
    key = alert.key
    row = verdict.snapshot.rows.get((key.parent_id, key.entity_id)) if verdict is not None else None
    position = verdict.position(row) if verdict is not None and row is not None else None
    if position is None and (row is not None or not covers(rule.match, key.entity_id, alert.entity_name)):
        return end(alert, alert, Event.UNCOVERED, now, wording.NOT_COVERED)
    if verdict is None:
        return None
    seen = _unseen(alert, verdict) if row is None or position is None else _seen(key, verdict, row, position)
    if phase is not Phase.OPEN:
        seen = replace(seen, hours=phase)
    return step(alert, seen, rule, now, situation)


@contextmanager
def _isolated(rule_id: str, failed: MutableMapping[str, str] | None) -> Iterator[None]:
    """An exception inside belongs to this rule alone: it is added to `failed` (None: it is raised)."""
    try:
        yield
    except Exception as error:  # whatever one rule meets, the alerts of the others go on
        if failed is None:
            raise
        failed[rule_id] = in_words(error)


def _beginnings(
    verdict: Verdicts, taken: set[Fingerprint], tenant: str, now: datetime, situation: Situation
) -> Iterator[Change]:
    rule, snapshot = verdict.rule, verdict.snapshot
    for position in verdict.begins().tolist():
        row = int(verdict.rows[position])
        parent_id, _ = snapshot.parent(row)
        key = Fingerprint(tenant, rule.id, rule.scope, parent_id, snapshot.ids[row])
        if (
            key in taken or key in situation.latched or snapshot.rows[parent_id, key.entity_id] != row
        ):  # an id that appears twice is one entity
            continue
        change = step(None, _seen(key, verdict, row, position), rule, now, situation)
        if change is not None:
            yield change


def _seen(key: Fingerprint, verdict: Verdicts, row: int, position: int) -> Observation:
    rule, snapshot = verdict.rule, verdict.snapshot
    guard, levels, clear = verdict.at(position)
    return Observation(
        key=key,
        entity_name=snapshot.names[row],
        parent_name=snapshot.parent(row)[1],
        sight=Sight.SEEN,
        guard=guard,
        levels=levels,
        clear=clear,
        measure=lambda level: measure(rule, level, snapshot, row, agents=verdict.agents, past=verdict.past),
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
