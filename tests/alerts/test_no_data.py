"""Alerts and missing data: since when an alert stays as it is, and what may have begun unseen."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from alertbot.alerts.alert import Alert, State
from alertbot.alerts.alerting import Alerting, Situation
from alertbot.alerts.followups import followups
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level, NoData, RuleSet
from tests.alerts.kit import NOW, POLL, WAIT, WAITING, compare, keep, level, poll, rule, snapshot

MINUTE = timedelta(minutes=1)
HIGH, LOW = 70_000.0, 10.0


def life(letters: str, **more: Any) -> list[str]:
    """After each poll the state of the alert, with the number of the poll since which it has no data.

    The condition is true (T), false (F) or unknown (?), its entity is absent from a partial (p) or a complete answer
    (g), the guard is unknown (u) or false (l), the scope was not fetched (x). A gap is longer than two polls.
    """
    watched = rule(guard=compare(WAITING, ">=", 1), **more)
    settings = Alerting(poll_every=timedelta(0), stale_after=2 * POLL)
    alerts: list[Alert] = []
    received: dict[Scope, datetime] = {}
    words = []
    for index, letter in enumerate(letters):
        now = NOW + index * POLL
        known = Situation(settings, received=dict(received))
        changes = []
        if letter != "x":
            value = {"T": HIGH, "F": LOW, "u": HIGH, "l": HIGH}.get(letter)
            waiting = {"u": None, "l": 0.0}.get(letter, 5.0)
            names = [] if letter in "pg" else ["Queue 1"]
            columns = {WAIT: [value], WAITING: [waiting]} if names else {WAIT: [], WAITING: []}
            others = {"ids": (), "complete": letter != "p"} if not names else {}
            seen = snapshot(columns, names=names, at=now, **others)
            changes = poll(alerts, [watched], [seen], now, situation=known)
        rules = RuleSet((watched,))
        due, _ = followups(alerts, changes, rules, now, () if letter == "x" else SEEN, known)
        if letter != "x":
            received[Scope.QUEUE] = now
        alerts = keep(alerts, [*changes, *due])
        words.append(_word(alerts))
    return words


SEEN = (Scope.QUEUE,)


def _word(alerts: list[Alert]) -> str:
    if not alerts:
        return "-"
    (alert,) = alerts
    since = alert.no_data_since
    return alert.state[0].upper() + ("" if since is None else str((since - NOW) // POLL))


@pytest.mark.parametrize(
    ("letters", "expected", "more"),
    [
        pytest.param("TTTF", "F F F -", {}, id="there is data"),
        pytest.param("TT??T", "F F F1 F1 F", {}, id="unknown: since the last poll that knew it"),
        pytest.param("T?F", "F F0 -", {}, id="it ends with the next known value"),
        pytest.param("Tp", "F F0", {}, id="not in a partial answer"),
        pytest.param("TggT", "F F0 F0 F", {}, id="not in a complete answer, twice"),
        pytest.param("Tggg", "F F0 F0 -", {}, id="three times: it ends"),
        pytest.param("TuT", "F F0 F", {}, id="the guard is unknown"),
        pytest.param("TlT", "F F F", {}, id="the guard is false: that is known"),
        pytest.param("T?lT", "F F0 F F", {}, id="unknown, then not guarded: there is data again"),
        pytest.param("TxxxxT", "F F F F0 F0 F", {}, id="the scope was not fetched for longer than a gap"),
        pytest.param("TxxT", "F F F F", {}, id="a gap that is short"),
        pytest.param("TxxxF", "F F F F0 -", {}, id="and false after it"),
        pytest.param("T?T", "F F F", {"no_data": NoData.FIRE}, id="a rule that fires without data"),
        pytest.param("T?", "F -", {"no_data": NoData.CLEAR}, id="a rule that clears without data"),
        pytest.param("TF?F", "F R R1 R", {"keep_firing_for": 3 * POLL}, id="while it recovers"),
        pytest.param("TF??F", "F R R1 R1 -", {"keep_firing_for": 3 * POLL}, id="the clock of recovering continues"),
    ],
)
def test_no_data_since(letters: str, expected: str, more: dict[str, Any]) -> None:
    """Of alerts that fire or recover."""
    assert " ".join(life(letters, **more)) == expected


@pytest.mark.parametrize("letters", ["T????T", "TxxxxT"], ids=["unknown", "not fetched"])
def test_holds_go_on_without_data(letters: str) -> None:
    """`for` counts while nothing is known, but the alert fires with the next known value."""
    watched = level(Level.WARNING, compare(WAIT, ">", 60_000), 30)
    states = []
    alerts: list[Alert] = []
    for index, letter in enumerate(letters):
        if letter != "x":
            seen = snapshot({WAIT: [HIGH if letter == "T" else None]})
            alerts = keep(alerts, poll(alerts, [rule(watched)], [seen], NOW + index * POLL))
        states.append(alerts[0].state)
    assert states == [*[State.PENDING] * 5, State.FIRING]


@pytest.mark.parametrize(
    ("gap", "unseen"),
    [
        pytest.param(None, False, id="the first poll ever"),
        pytest.param(POLL, False, id="the next poll"),
        pytest.param(2 * MINUTE, False, id="as long as stale_after"),
        pytest.param(2 * MINUTE + POLL, True, id="a gap"),
        pytest.param(timedelta(days=9), True, id="a long downtime"),
        pytest.param(-timedelta(hours=1), False, id="the clock was set back"),
    ],
)
def test_what_began_in_a_gap(gap: timedelta | None, unseen: bool) -> None:
    """It says when there was data before; pending alerts keep that until they fire, and as long as they live."""
    last = NOW - gap if gap is not None else None
    watched = rule(level(Level.WARNING, compare(WAIT, ">", 60_000), 30))
    alerts: list[Alert] = []
    for index in range(4):
        received = {Scope.QUEUE: last} if last is not None else {}
        situation = Situation(received=received)
        seen = snapshot({WAIT: [HIGH]})
        alerts = keep(alerts, poll(alerts, [watched], [seen], NOW + index * POLL, situation=situation))
        last = NOW + index * POLL
    (alert,) = alerts
    assert alert.state is State.FIRING
    assert alert.pending_since == NOW
    assert alert.unseen_since == (NOW - gap if unseen and gap is not None else None)


def test_the_last_good_poll_where_nothing_is_known_of_the_scope() -> None:
    """A database of an earlier version has only that."""
    seen = snapshot({WAIT: [HIGH]})
    (change,) = poll([], [rule()], [seen], NOW, situation=Situation(good_at=NOW - 10 * MINUTE))
    assert change.after.unseen_since == NOW - 10 * MINUTE
