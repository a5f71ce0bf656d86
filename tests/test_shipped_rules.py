"""The rules that ship: they parse, explain themselves, keep quiet on a quiet day and speak up on a bad one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from alertbot.alerts.evaluate import Truth, evaluate
from alertbot.alerts.snapshot import Column, Presence, Snapshot
from alertbot.reloader import load_rules
from alertbot.rules.catalogue import Scope, ValueType, catalogue
from alertbot.rules.rule import Level, Rule

FOLDER = Path(__file__).parent.parent / "rules"
RULES = load_rules([FOLDER])
WAIT, WAITING, ENTERED = "interactionsLongestWaitInQueue.rt", "interactionsWaitInQueue.rt", "entered.int-30m"
SLA, ABANDONED, ABANDONED_SHARE = "slaPercentage.int-30m", "abandoned.int-30m", "abandonedPercentage.int-30m"
ENABLED, ELIGIBLE, IDLE = "enabled.rt", "eligible.rt", "availableIdle.rt"
STATUS, ON_STATUS = "status.rt", "timeOnStatus.rt"

Values = Mapping[str, float | str | None]

NIGHT: Values = {
    **dict.fromkeys([WAIT, WAITING, ENTERED, ABANDONED, ENABLED, ELIGIBLE, IDLE], 0.0),
    **dict.fromkeys([SLA, ABANDONED_SHARE]),  # 8x8 gives null where nobody called
}
CALM: Values = {**NIGHT, ENTERED: 6.0, ENABLED: 4.0, ELIGIBLE: 4.0, IDLE: 3.0, SLA: 1.0, ABANDONED_SHARE: 0.0}
BUSY: Values = {**CALM, ENTERED: 80.0, IDLE: 0.0, ELIGIBLE: 12.0, ENABLED: 14.0, WAITING: 1.0, WAIT: 9_000.0, SLA: 0.9}


def snapshot(scope: Scope, values: Values) -> Snapshot:
    columns = {}
    for key, value in values.items():
        presence = np.array([Presence.NULL if value is None else Presence.PRESENT], dtype=np.uint8)
        metric = catalogue().lookup(scope, key)
        assert metric is not None
        if metric.type is ValueType.TEXT:
            columns[key] = Column(np.array(["" if value is None else value], dtype=np.object_), presence)
        else:
            columns[key] = Column(np.array([np.nan if value is None else value], dtype=np.float64), presence)
    return Snapshot(scope, datetime(2026, 3, 2, 9, 0, tzinfo=UTC), ("1",), ("Sales",), columns)


def rules_of(scope: Scope) -> list[Rule]:
    return [rule for rule in RULES.rules if rule.scope is scope]


def true_levels(scope: Scope, values: Values) -> dict[str, Level]:
    """Of each rule the highest level whose condition holds."""
    found = {}
    for rule in rules_of(scope):
        levels = evaluate(rule, snapshot(scope, values)).levels
        true = [level for level, verdict in levels.items() if verdict[0] == Truth.TRUE]
        if true:
            found[rule.id] = max(true)
    return found


def is_clear(rule_id: str, values: Values) -> bool:
    rule = RULES.by_id(rule_id)
    assert rule is not None
    return all(verdict[0] == Truth.TRUE for verdict in evaluate(rule, snapshot(rule.scope, values)).clear.values())


def test_the_ones_that_were_promised_are_there() -> None:
    assert {rule.id for rule in RULES.rules} >= {
        "longest-wait",
        "too-many-waiting",
        "nobody-eligible",
        "nobody-logged-in",
        "nobody-idle",
        "service-level",
        "abandon-rate",
        "long-break",
    }


@pytest.mark.parametrize("rule", RULES.rules, ids=lambda rule: rule.id)
def test_a_rule_says_why_and_goes_to_the_default_channel(rule: Rule) -> None:
    """A comment stands above it, its end is written down, and no channel is named."""
    lines = Path(rule.origin.file).read_text(encoding="utf-8").splitlines()
    assert lines[rule.origin.line - 2].lstrip().startswith("# "), rule.origin
    assert rule.clear is not None
    assert rule.channels == {}
    assert rule.title


@pytest.mark.parametrize("values", [NIGHT, CALM, BUSY], ids=["night", "calm", "busy and well"])
def test_queues_are_left_alone_while_all_is_well(values: Values) -> None:
    assert true_levels(Scope.QUEUE, values) == {}


@pytest.mark.parametrize("rule", rules_of(Scope.QUEUE), ids=lambda rule: rule.id)
@pytest.mark.parametrize("values", [NIGHT, CALM], ids=["night", "calm"])
def test_an_alert_ends_when_the_calls_stop(rule: Rule, values: Values) -> None:
    """Also at night, when ratios are null: nothing is left open until morning."""
    assert is_clear(rule.id, values)


BAD_DAYS: dict[str, tuple[Values, dict[str, Level]]] = {
    "a long wait": ({**BUSY, WAIT: 61_000.0}, {"longest-wait": Level.WARNING}),
    "a very long wait": ({**BUSY, WAIT: 121_000.0}, {"longest-wait": Level.CRITICAL}),
    "many wait": ({**BUSY, WAITING: 13.0, IDLE: 1.0}, {"too-many-waiting": Level.WARNING}),
    "twice as many as could be taken": ({**BUSY, WAITING: 25.0, IDLE: 1.0}, {"too-many-waiting": Level.CRITICAL}),
    "many wait, but many agents": ({**BUSY, WAITING: 11.0, IDLE: 1.0}, {}),
    "all on break": ({**BUSY, ELIGIBLE: 0.0}, {"nobody-eligible": Level.CRITICAL}),
    "all on break and nobody calls": ({**CALM, ELIGIBLE: 0.0, IDLE: 0.0}, {}),
    "a caller at night": ({**NIGHT, WAITING: 1.0, WAIT: 5_000.0}, {"nobody-logged-in": Level.CRITICAL}),
    "no slack": ({**BUSY, WAITING: 2.0}, {"nobody-idle": Level.WARNING}),
    "a bad half hour": ({**BUSY, SLA: 0.79}, {"service-level": Level.WARNING}),
    "a worse one": ({**BUSY, SLA: 0.59}, {"service-level": Level.CRITICAL}),
    "one of two callers too late": ({**CALM, ENTERED: 2.0, SLA: 0.5}, {}),
    "callers hang up": ({**BUSY, ABANDONED: 8.0, ABANDONED_SHARE: 0.1}, {"abandon-rate": Level.WARNING}),
    "many hang up": ({**BUSY, ABANDONED: 16.0, ABANDONED_SHARE: 0.2}, {"abandon-rate": Level.CRITICAL}),
    "two of twenty hang up": ({**CALM, ENTERED: 20.0, ABANDONED: 2.0, ABANDONED_SHARE: 0.1}, {}),
    "one of two hangs up": ({**CALM, ENTERED: 2.0, ABANDONED: 1.0, ABANDONED_SHARE: 0.5}, {}),
}


@pytest.mark.parametrize(("values", "levels"), BAD_DAYS.values(), ids=BAD_DAYS)
def test_a_queue_in_trouble(values: Values, levels: Mapping[str, Level]) -> None:
    """The rule that fits speaks, at its level, and no other one."""
    assert true_levels(Scope.QUEUE, values) == levels


AGENTS: dict[str, tuple[Values, dict[str, Level]]] = {
    "on a short break": ({STATUS: "OnBreak", ON_STATUS: 900_000.0}, {}),
    "on a long break": ({STATUS: "OnBreak", ON_STATUS: 1_801_000.0}, {"long-break": Level.WARNING}),
    "spelt otherwise": ({STATUS: "onBreak", ON_STATUS: 1_801_000.0}, {"long-break": Level.WARNING}),
    "long gone home": ({STATUS: "LoggedOut", ON_STATUS: 86_400_000.0}, {}),
    "long on a call": ({STATUS: "Handling", ON_STATUS: 3_600_000.0}, {}),
}


@pytest.mark.parametrize(("values", "levels"), AGENTS.values(), ids=AGENTS)
def test_an_agent(values: Values, levels: Mapping[str, Level]) -> None:
    assert true_levels(Scope.AGENT, values) == levels
    assert is_clear("long-break", values) is not (values[STATUS] in ("OnBreak", "onBreak"))
