"""Which alerts a poll steps. That nothing else depends on it is in tests/scenarios/test_steady.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from alertbot.alerts.advance import advance, advance_moved
from alertbot.alerts.alert import Alert
from alertbot.alerts.alerting import Alerting, Situation
from alertbot.alerts.standing import Standing
from alertbot.alerts.steady import Steady, picked
from alertbot.evaluation.evaluate import Selector, Verdicts, evaluate_all
from alertbot.evaluation.snapshot import Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level, Rule, RuleSet
from tests.alerts.kit import NOW, POLL, SLA, TENANT, WAIT, WAITING, compare, keep, level, rule, snapshot

MINUTE = timedelta(minutes=1)
RULE = rule(
    level(Level.WARNING, compare(WAIT, ">", 60_000)),
    level(Level.CRITICAL, compare(WAIT, ">", 120_000), hold=45),
    guard=compare(WAITING, ">=", 1),
    keep_firing_for=2 * MINUTE,
    show=(SLA,),
)
BEFORE = {WAIT: [70_000.0, 130_000.0, 80_000.0, 0.0], WAITING: [1.0, 2.0, 3.0, 4.0], SLA: [0.5, 0.6, 0.7, 0.8]}
KIND = (Scope.QUEUE, RULE.id)


@dataclass
class Turns:
    """Polls of one rule; `kept` are its alerts as a store keeps them."""

    rule: Rule = RULE
    steady: Steady = field(default_factory=Steady)
    kept: Standing = field(default_factory=Standing)
    selector: Selector = field(default_factory=Selector)
    now: datetime = NOW

    def verdicts(self, seen: Snapshot) -> list[Verdicts]:
        return evaluate_all(RuleSet((self.rule,)), self.selector.sharing({Scope.QUEUE: seen}), self.selector)

    def poll(self, **columns: list[float]) -> None:
        verdicts = self.verdicts(seen(**columns))
        changes, self.steady = advance_moved(
            self.kept, self.steady, verdicts, RuleSet((self.rule,)), self.now, tenant=TENANT
        )
        self.kept = self.kept.changed((each.after.key, each.after) for each in changes)
        self.now += POLL

    def stepped(self, seen: Snapshot, alerting: Alerting | None = None) -> str:
        """Of each alert, in their order: S stepped, v only its values, - neither."""
        (verdicts,) = self.verdicts(seen)
        alerts = self.kept.by_rule[KIND]
        settings = alerting or Situation().alerting
        found = picked(self.steady.of(KIND, self.now), alerts, self.rule, verdicts, settings, self.now)
        letters = {**dict.fromkeys(found.to_step, "S"), **dict.fromkeys(found.to_revalue, "v")}
        return "".join(letters.get(line, "-") for line in range(len(alerts)))


def seen(**columns: Any) -> Snapshot:
    """A poll like the first one but for these columns, by the names of the constants; `more` are other fields."""
    more = columns.pop("more", {})
    named = {"WAIT": WAIT, "WAITING": WAITING, "SLA": SLA}
    return snapshot({**BEFORE, **{named[name]: values for name, values in columns.items()}}, **more)


def twice() -> Turns:
    turns = Turns()
    turns.poll()
    turns.poll()
    return turns


def edited(turns: Turns) -> None:
    turns.rule = replace(turns.rule, title="Other")


def touched(turns: Turns) -> None:
    key, alert = next(iter(turns.kept.by_key.items()))
    turns.kept = turns.kept.changed([(key, replace(alert, acked_by="U1"))])


def ended(turns: Turns) -> None:
    turns.kept = turns.kept.changed([(next(iter(turns.kept.by_key)), None)])


def at(seconds: float) -> Callable[[Turns], None]:
    def later(turns: Turns) -> None:
        turns.now = NOW + timedelta(seconds=seconds)

    return later


NOTHING: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("between", "columns", "expected"),
    [
        pytest.param(None, NOTHING, "---", id="nothing moves"),
        pytest.param(None, {"WAIT": [70_000, 131_000, 80_000, 5_000]}, "-v-", id="a value"),
        pytest.param(None, {"SLA": [0.5, 0.6, 0.9, 0.8]}, "--v", id="a figure on the card"),
        pytest.param(None, {"WAITING": [1, 2, 9, 9]}, "---", id="a value that only the guard reads"),
        pytest.param(None, {"WAITING": [1, 0, 3, 4]}, "-S-", id="the guard"),
        pytest.param(None, {"WAIT": [70_000, 130_000, 125_000, 0]}, "--S", id="a level"),
        pytest.param(None, {"SLA": [None, 0.6, 0.7, 0.8]}, "v--", id="a value is missing"),
        pytest.param(at(44), NOTHING, "---", id="before a hold is over"),
        pytest.param(at(45), NOTHING, "-S-", id="a hold is over"),
        pytest.param(at(14), NOTHING, "SSS", id="the clock was set back"),
        pytest.param(edited, NOTHING, "SSS", id="the rule was edited"),
        pytest.param(touched, NOTHING, "S--", id="a user has an alert"),
        pytest.param(ended, {"WAIT": [70_000, 130_000, 81_000, 0]}, "-v", id="an alert ended"),
        pytest.param(None, {"more": {"ids": ("q1", "q2", "q9", "q4")}}, "--S", id="an entity is gone"),
        pytest.param(
            None,
            {
                "WAIT": [0, 80_000, 130_000, 70_000],
                "WAITING": [4, 3, 2, 1],
                "SLA": [0.8, 0.7, 0.6, 0.5],
                "more": {"ids": ("q4", "q3", "q2", "q1"), "names": [f"Queue {row}" for row in (4, 3, 2, 1)]},
            },
            "---",
            id="the entities are in other rows",
        ),
        pytest.param(None, {"more": {"names": ["Queue 1", "Renamed", "Queue 3", "Queue 4"]}}, "-S-", id="renamed"),
        pytest.param(None, {"more": {"complete": False}}, "---", id="the rest of the poll is missing"),
    ],
)
def test_what_a_poll_steps(between: Callable[[Turns], None] | None, columns: dict[str, Any], expected: str) -> None:
    """Three alerts: one at its level, one whose higher level holds for 15 s, and one more."""
    turns = twice()
    assert [alert.level for alert in turns.kept.by_key.values()] == [Level.WARNING] * 3
    if between is not None:
        between(turns)
    assert turns.stepped(seen(**columns)) == expected


@pytest.mark.parametrize("size", [3, 90], ids=["few, one by one", "many, in columns"])
def test_values_that_move_are_those_that_a_step_finds(size: int) -> None:
    """Of every third alert the value, of another third the figure; and an alert begins."""
    waits, figures = [70_000.0 + row for row in range(size)] + [0.0], [0.5] * (size + 1)
    waiting = [1.0] * (size + 1)
    turns = Turns()
    for _ in range(2):
        turns.poll(WAIT=waits, WAITING=waiting, SLA=figures)
    waits = [wait + 500.0 if row % 3 == 0 else wait for row, wait in enumerate(waits[:-1])] + [99_000.0]
    shown: list[Any] = [(0.6 if row % 2 else None) if row % 3 == 1 else 0.5 for row in range(size + 1)]
    poll = seen(WAIT=waits, WAITING=waiting, SLA=shown)
    assert turns.stepped(poll) == ("vv-" * size)[:size]
    expected = advance(
        list(turns.kept.by_key.values()),
        evaluate_all(RuleSet((RULE,)), {Scope.QUEUE: poll}),
        RuleSet((RULE,)),
        turns.now,
        tenant=TENANT,
    )
    changes, _ = advance_moved(
        turns.kept, turns.steady, turns.verdicts(poll), RuleSet((RULE,)), turns.now, tenant=TENANT
    )
    assert changes == expected
    assert [change.only_values for change in changes] == [True] * (size - size // 3) + [False]


def test_settings_that_changed_step_all() -> None:
    """What makes an alert unstable is one of them."""
    assert twice().stepped(seen(), Alerting(flap_rises=9)) == "SSS"


def test_a_recovering_alert_is_stepped_when_its_time_has_come() -> None:
    """Not before: two minutes after it was clear first, and then it ends."""
    turns = twice()
    clear = {"WAIT": [0.0, 130_000.0, 80_000.0, 0.0]}
    turns.poll(**clear)
    began = turns.now - POLL
    turns.poll(**clear)
    stepped = []
    for seconds in (60, 119, 120):
        turns.now = began + timedelta(seconds=seconds)
        stepped.append(turns.stepped(seen(**clear))[0])
    assert stepped == ["-", "-", "S"]


def test_a_standing_shares_what_does_not_change() -> None:
    """The mapping of a rule is another object only if one of its alerts changed; the old value stays as it was."""
    turns = twice()
    other = [replace(alert, key=alert.key._replace(rule="other")) for alert in turns.kept.by_key.values()]
    both = Standing.of([*turns.kept.by_key.values(), *other])
    first = other[0]
    after = both.changed([(first.key, replace(first, missed=1))])
    assert after.by_rule[KIND] is both.by_rule[KIND]
    assert after.by_rule[Scope.QUEUE, "other"] is not both.by_rule[Scope.QUEUE, "other"]
    assert both.by_key[first.key].missed == 0
    assert both.changed([]) is both


@pytest.mark.parametrize("ids", [True, False], ids=["kept by a store", "without ids"])
def test_alerts_in_order(ids: bool) -> None:
    """However they were found: in the order of ids, or else in that in which they were given."""
    alerts = [
        replace(alert, id=number if ids else None) for number, alert in enumerate(twice().kept.by_key.values(), start=1)
    ]
    standing = Standing.of(alerts)
    found: list[Alert] = standing.in_order([alerts[2].key, alerts[0].key])
    assert found == [alerts[0], alerts[2]]
    assert keep(alerts, []) == standing.in_order([alert.key for alert in reversed(alerts)])
