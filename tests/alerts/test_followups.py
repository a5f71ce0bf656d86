"""What only time changes: reminders, escalation, nags, the end of flapping, and alerts without data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from alertbot.alerts.alert import Alert, Change, Mute, MuteKind, Reason, State
from alertbot.alerts.alerting import Alerting, Situation
from alertbot.alerts.clock_step import moved_back
from alertbot.alerts.followups import Agenda, due_at, followups
from alertbot.evaluation.measure import Measure
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.rule import Escalation, Level, Remind, Rule, RuleSet
from tests.alerts.kit import NOW, fingerprint, rule

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
SEEN = frozenset({Scope.QUEUE})
MUTED = Mute(MuteKind.SUPPRESSED, None, NOW)


def firing(**more: Any) -> Alert:
    """An alert that fired at NOW and was reported."""
    values: dict[str, Any] = {
        "key": fingerprint(),
        "entity_name": "Queue 1",
        "about": None,
        "state": State.FIRING,
        "level": Level.CRITICAL,
        "since": {Level.CRITICAL: NOW},
        "id": 17,
        "fired_at": NOW,
        "reported": Level.CRITICAL,
        "measure": Measure("waiting.rt", ValueType.COUNT, ">", 3.0, 1.0),
        "seen_at": NOW,
    }
    return Alert(**{**values, **more})


EVERY_15 = rule(remind=Remind(15 * MINUTE))
BACKS_OFF = rule(remind=Remind(15 * MINUTE, 60 * MINUTE))
CHAIN = rule(escalate=(Escalation(10 * MINUTE, ("#team-leads",)), Escalation(20 * MINUTE, ("#managers",), ("<@U1>",))))
PLAIN = rule()


@dataclass
class Watch:
    """One alert, looked at once a minute; `happens` gives it other values at that minute."""

    watched: Rule
    happens: dict[float, dict[str, Any]]

    def play(self, minutes: Sequence[float]) -> list[str]:
        """What happens at which of these minutes: reminder, nag, or the `after` of a step."""
        rules = RuleSet((self.watched,))
        alert, agenda, words = firing(), Agenda(), []
        for minute in minutes:
            before = alert
            alert = replace(alert, **self.happens.get(minute, {}))
            changes = [Change(before, alert, None, "")] if alert != before else []
            now = NOW + minute * MINUTE
            due, agenda = followups([before], changes, rules, now, SEEN, agenda=agenda)
            for change in due:
                assert change.before == alert, "each builds on the one before"
                alert = change.after
                words.append(f"{minute:g} {_word(change)}")
        return words


def _word(change: Change) -> str:
    if change.reason is Reason.ESCALATED:
        assert change.after.escalated is not None
        return f"{change.after.escalated // MINUTE}m"
    if change.reason is Reason.REMINDER:
        return "nag" if change.after.acked_by else "reminder"
    return change.why


ACKED = {"acked_by": "U1", "acked_at": NOW + 5 * MINUTE}
FREE = {"acked_by": None, "acked_at": None}
BACK = {"state": State.FIRING, "recovering_since": None}


@pytest.mark.parametrize(
    ("watched", "happens", "minutes", "expected"),
    [
        pytest.param(EVERY_15, {}, range(50), ["15 reminder", "30 reminder", "45 reminder"], id="every"),
        pytest.param(
            BACKS_OFF,
            {},
            range(240),
            ["15 reminder", "45 reminder", "105 reminder", "165 reminder", "225 reminder"],
            id="doubles, up to most",
        ),
        pytest.param(EVERY_15, {5: ACKED}, range(60), [], id="an acknowledged alert is not reminded of"),
        pytest.param(
            EVERY_15,
            {5: ACKED, 40: FREE},
            range(60),
            ["40 reminder", "55 reminder"],
            id="given back: what fell due meanwhile comes once",
        ),
        pytest.param(
            EVERY_15,
            {10: {"state": State.RECOVERING}, 20: BACK},
            range(40),
            ["20 reminder", "35 reminder"],
            id="nor one that recovers",
        ),
        pytest.param(
            EVERY_15,
            {10: {"muted": MUTED}, 40: {"muted": None}},
            range(60),
            ["40 reminder", "55 reminder"],
            id="nor one that is muted",
        ),
        pytest.param(EVERY_15, {0: {"reported": None}}, range(60), [], id="nor one that was never reported"),
        pytest.param(
            EVERY_15,
            {},
            [0, 15.5, 29, 30, 44.9, 45],
            ["15.5 reminder", "30 reminder", "45 reminder"],
            id="a little late: the next one is on time",
        ),
        pytest.param(
            EVERY_15,
            {},
            [0, 100, 101, 114, 115],
            ["100 reminder", "115 reminder"],
            id="after a long downtime: one, and the next counts from then",
        ),
        pytest.param(
            rule(remind=Remind(15 * MINUTE), shadow=True),
            {0: {"reported": None, "muted": Mute(MuteKind.SHADOW, None, NOW)}},
            range(60),
            [],
            id="not in shadow",
        ),
        pytest.param(CHAIN, {}, range(60), ["10 10m", "20 20m"], id="each step once, in their order"),
        pytest.param(CHAIN, {5: ACKED}, range(60), [], id="an acknowledged alert is not escalated"),
        pytest.param(CHAIN, {15: ACKED}, range(60), ["10 10m"], id="acknowledged between two steps"),
        pytest.param(CHAIN, {5: ACKED, 30: FREE}, range(60), ["30 10m", "30 20m"], id="given back: what is due comes"),
        pytest.param(CHAIN, {}, [0, 100], ["100 10m", "100 20m"], id="after a long downtime: all steps"),
        pytest.param(CHAIN, {10: {"state": State.RECOVERING}, 12: BACK}, range(15), ["12 10m"], id="back to firing"),
        pytest.param(CHAIN, {10: {"state": State.INACTIVE}}, range(60), [], id="an alert that ended"),
        pytest.param(
            rule(escalate=(Escalation(10 * MINUTE, ("#a",)), Escalation(10 * MINUTE, ("#b",)))),
            {},
            range(60),
            ["10 10m"],
            id="steps of one time are one",
        ),
        pytest.param(
            rule(escalate=(Escalation(timedelta(0), ("#a",)),)),
            {0: {"id": None}, 1: {"id": 17}},
            range(60),
            ["1 0m"],
            id="a new alert has no id: the message waits for the next turn",
        ),
        pytest.param(
            rule(remind=Remind(10 * MINUTE), escalate=(Escalation(10 * MINUTE),)),
            {},
            range(15),
            ["10 10m", "10 reminder"],
            id="both at once",
        ),
        pytest.param(PLAIN, {}, range(1000), [], id="a rule without any"),
        pytest.param(PLAIN, {5: ACKED}, range(300), ["125 nag"], id="the owner, once, two hours after"),
        pytest.param(
            PLAIN,
            {5: ACKED, 130: {"state": State.RECOVERING}},
            [5, 130, 140],
            [],
            id="no nag while it recovers",
        ),
        pytest.param(
            PLAIN,
            {5: ACKED, 6: {"nagged": True}, 200: {"acked_at": NOW + 200 * MINUTE, "nagged": False}},
            range(400),
            ["320 nag"],
            id="once for each acknowledgement",
        ),
    ],
)
def test_on_time_and_once(
    watched: Rule, happens: dict[float, dict[str, Any]], minutes: Sequence[float], expected: list[str]
) -> None:
    """Minute by minute, from the minute at which the alert fired."""
    assert Watch(watched, happens).play(minutes) == expected


def test_a_restart_repeats_nothing() -> None:
    """All that decides is in the alert: without the agenda of the turn before the same happens."""
    rules = RuleSet((replace(CHAIN, remind=Remind(7 * MINUTE)),))
    alert, happened = firing(), 0
    for minute in range(60):
        due, _ = followups([alert], [], rules, NOW + minute * MINUTE, SEEN)
        happened += len(due)
        alert = due[-1].after if due else alert
    assert happened == 2 + 8


@pytest.mark.parametrize("back", [MINUTE, 5 * HOUR, timedelta(days=400)], ids=str)
def test_a_clock_that_was_set_back_moves_all_times(back: timedelta) -> None:
    """What is due stays due after as much time as before."""
    alert = firing(
        reminded_at=NOW + 15 * MINUTE,
        reminders=1,
        escalated=10 * MINUTE,
        rises=(NOW, NOW + MINUTE),
        no_data_since=NOW + 2 * MINUTE,
        unseen_since=NOW - HOUR,
    )
    watched = replace(CHAIN, remind=Remind(15 * MINUTE))
    before = due_at(alert, watched, Alerting())
    after = due_at(moved_back(alert, back), watched, Alerting())
    assert before == NOW + 20 * MINUTE
    assert after == before - back
    moved = moved_back(alert, back)
    assert moved.rises == (NOW - back, NOW + MINUTE - back)
    assert (moved.no_data_since, moved.unseen_since) == (NOW + 2 * MINUTE - back, NOW - HOUR - back)


def test_an_unstable_alert_settles_by_itself() -> None:
    """When its rises have left the window, without a poll; nothing is reported."""
    settings = Alerting(flap_rises=1, flap_window=10 * MINUTE)
    rises = (NOW, NOW + MINUTE)
    alert = firing(rises=rises, unstable=True)
    agenda = Agenda()
    for minute in range(20):
        now = NOW + minute * MINUTE
        due, agenda = followups([alert], [], RuleSet((PLAIN,)), now, SEEN, Situation(settings), agenda)
        if due:
            break
    assert minute == 10
    (change,) = due
    assert (change.reason, change.after.unstable, change.after.rises) == (None, False, rises)
    assert agenda.at is None


class Counted(Sequence[Alert]):
    """Alerts that count how often they are gone through."""

    def __init__(self, alerts: list[Alert]) -> None:
        self.alerts, self.times = alerts, 0

    def __iter__(self) -> Iterator[Alert]:
        self.times += 1
        return iter(self.alerts)

    def __len__(self) -> int:
        return len(self.alerts)

    def __getitem__(self, index: Any) -> Any:
        return self.alerts[index]


def test_a_still_turn_looks_at_no_alert() -> None:
    """The agenda says when the first follow-up is due; before that only what changed is looked at."""
    rules = RuleSet((EVERY_15,))
    alerts = Counted([firing(key=fingerprint(f"q{number}"), id=number) for number in range(1, 100)])
    _, agenda = followups(alerts, [], rules, NOW, SEEN)
    assert (alerts.times, agenda.at) == (1, NOW + 15 * MINUTE)
    for second in range(15, 900, 15):
        due, agenda = followups(alerts, [], rules, NOW + timedelta(seconds=second), SEEN, agenda=agenda)
        assert due == []
    assert alerts.times == 1
    changed = replace(alerts[3], acked_by="U1", acked_at=NOW - 2 * HOUR)
    due, agenda = followups(alerts, [Change(alerts[3], changed, None, "")], rules, NOW + MINUTE, SEEN, agenda=agenda)
    assert [_word(change) for change in due] == ["nag"]
    assert alerts.times == 1
    due, later = followups(alerts, [], rules, NOW + 15 * MINUTE, SEEN, agenda=agenda)
    assert (len(due), alerts.times, later.at) == (99, 2, NOW + 30 * MINUTE)
    _, edited = followups(alerts, [], RuleSet((BACKS_OFF,)), NOW, SEEN, agenda=agenda)
    assert alerts.times == 3, "other rules: everything is looked at"
    followups(alerts, [], edited.rules or rules, NOW + MINUTE, SEEN, agenda=edited)
    assert alerts.times == 3


# Without data.

LAST = NOW - 10 * MINUTE


@pytest.mark.parametrize(
    ("minutes", "received", "alert", "since"),
    [
        pytest.param(1.5, (), firing(), None, id="a short outage changes nothing"),
        pytest.param(2.1, (), firing(), LAST, id="a longer one: since the last data"),
        pytest.param(60, (Scope.QUEUE,), firing(), None, id="its scope has data"),
        pytest.param(60, (Scope.AGENT,), firing(), LAST, id="another scope has data"),
        pytest.param(60, (), firing(state=State.RECOVERING), LAST, id="one that recovers"),
        pytest.param(60, (), firing(state=State.PENDING, reported=None), None, id="one that no card shows"),
        pytest.param(60, (), firing(muted=MUTED), LAST, id="a muted one with a card"),
    ],
)
def test_a_scope_without_data(minutes: float, received: Sequence[Scope], alert: Alert, since: Any) -> None:
    """Once, whatever becomes of the next turns."""
    rules = RuleSet((PLAIN, rule(id="agents", scope=Scope.AGENT)))
    situation = Situation(received={Scope.QUEUE: LAST, Scope.AGENT: LAST})
    now = LAST + minutes * MINUTE
    due, agenda = followups([alert], [], rules, now, received, situation)
    assert [change.after.no_data_since for change in due] == ([since] if since else [])
    after = due[0].after if due else alert
    alerts = Counted([after])
    again, _ = followups(alerts, [], rules, now + timedelta(seconds=15), received, situation, agenda)
    assert again == []
    if since:
        assert (due[0].reason, alerts.times) == (None, 0)


def test_a_pace_slower_than_stale_after_is_no_outage() -> None:
    """Polls of five minutes have data for five minutes."""
    slow = Situation(Alerting(poll_every=5 * MINUTE), received={Scope.QUEUE: LAST})
    for minutes, changes in ((12, 0), (13, 1)):
        due, _ = followups([firing()], [], RuleSet((PLAIN,)), LAST + minutes * MINUTE, (), slow)
        assert len(due) == changes
