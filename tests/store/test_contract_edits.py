"""The contract of a store for the pace of edits: Slack counts them for the whole workspace."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from alertbot.alerts.alert import Alert, Change, Reason
from alertbot.alerts.notice import Notice
from alertbot.rules.rule import Level
from alertbot.store.roles import Store
from alertbot.store.sql.edits import MAX_A_MINUTE, REFRESHES_A_MINUTE
from tests.store.build import (
    T0,
    at,
    begins,
    edits,
    ends,
    firing,
    line,
    new_value,
    notice,
    one,
    poll,
    post,
    posts,
    rises,
)

CARDS = 60


@pytest.fixture
def alerts(store: Store) -> list[Alert]:
    """Many alerts, each with a posted card in a channel of its own."""
    begun = [firing(str(number)) for number in range(CARDS)]
    notices = [notice(alert, channel=f"#{alert.key.entity_id}") for alert in begun]
    store.record(poll([begins(alert) for alert in begun], notices))
    while due := posts(store, T0):
        for each in due:
            post(store, each, T0, channel_id=f"C{each.notice.channel}")
    return [one(store, alert) for alert in begun]


def move(store: Store, alerts: Sequence[Alert], now: float) -> None:
    """Their values change, and nothing else."""
    current = {alert.key: alert for alert in store.alerts()}
    changes = [new_value(current[alert.key], now, at(now)) for alert in alerts]
    store.record(poll(changes, now=at(now)))


def happen(store: Store, changes: Sequence[Change], now: float) -> None:
    notices: list[Notice] = []
    store.record(poll(changes, notices, now=at(now)))


def edit_all(store: Store, now: float) -> list[int]:
    """The alerts of the cards that are edited at this moment, in order."""
    found: list[int] = []
    while due := edits(store, at(now)):
        for each in due:
            store.edited(each.card, at(now))
            found.append(each.card.members[0].id or 0)
    return found


def test_values_that_moved_leave_room(store: Store, alerts: list[Alert]) -> None:
    """Of the edits of a minute, some are left for what users wait for; the next minute has them all again."""
    move(store, alerts, 70)
    assert len(edit_all(store, 70)) == REFRESHES_A_MINUTE
    assert edit_all(store, 129) == []
    happen(store, [rises(one(store, alert), at(129)) for alert in alerts], 129)
    assert len(edit_all(store, 129)) == MAX_A_MINUTE - REFRESHES_A_MINUTE
    assert len(edit_all(store, 130)) == REFRESHES_A_MINUTE
    assert len(edit_all(store, 189)) == CARDS - MAX_A_MINUTE


def test_no_more_than_the_limit_in_any_minute(store: Store, alerts: list[Alert]) -> None:
    """Whatever waits, and over a restart: what was sent is in the database."""
    happen(store, [ends(alert, at(10)) for alert in alerts], 10)
    assert len(edit_all(store, 10)) == MAX_A_MINUTE
    assert edit_all(store, 69.9) == []
    assert store.next_due(at(50)) == at(70)
    assert len(edit_all(store, 70)) == CARDS - MAX_A_MINUTE


def test_a_card_that_is_drawn_again(store: Store, alerts: list[Alert]) -> None:
    """At once, as of a card that was quiet, and with the pace of values that change: no user can use up the edits."""
    store.redraw([alerts[0].id or 0], at(60))
    assert edit_all(store, 60) == [alerts[0].id]
    for now in range(61, 120, 10):
        store.redraw([alerts[0].id or 0], at(now))
        assert edit_all(store, now) == []
    assert store.next_due(at(119)) is None
    assert edit_all(store, 120) == [alerts[0].id]
    assert edit_all(store, 300) == []


def test_an_end_comes_before_values_of_worse_alerts(store: Store, alerts: list[Alert]) -> None:
    """And of what users wait for, the worse one."""
    first, second, *others = alerts
    happen(store, [rises(alert, at(5)) for alert in others], 5)
    edit_all(store, 5)
    edit_all(store, 65)
    move(store, others, 130)
    happen(store, [ends(one(store, first), at(130)), rises(one(store, second), at(130))], 130)
    found = edit_all(store, 130)
    assert found[:2] == [second.id, first.id]
    assert len(found) == REFRESHES_A_MINUTE


def test_what_waits_is_superseded(store: Store, alerts: list[Alert]) -> None:
    """A card that changes again while it waits is edited once, and shows the present."""
    move(store, alerts, 70)
    edit_all(store, 70)
    waiting = {alert.id for alert in alerts} - {each.card.members[0].id for each in edits(store, at(70))}
    for now in (80, 90, 100):
        move(store, alerts, now)
    assert waiting
    (value,) = {each.card.members[0].peak for each in edits(store, at(131))}
    assert value == 100


def test_edits_of_before_the_clock_was_set_back_hold_none(store: Store, alerts: list[Alert]) -> None:
    happen(store, [ends(alert, at(10)) for alert in alerts], 10)
    edit_all(store, 7200)
    assert len(edit_all(store, 20)) == CARDS - MAX_A_MINUTE


def test_the_next_rise_is_announced_in_time(store: Store, alerts: list[Alert]) -> None:
    """An urgent edit is waited for, a changed value is not."""
    move(store, alerts, 70)
    edit_all(store, 70)
    assert store.next_due(at(71)) is None
    up = rises(one(store, alerts[0]), at(71))
    store.record(poll([up], [line(up.after, Reason.LEVEL_UP, now=at(71), level=Level.CRITICAL)], now=at(71)))
    assert store.next_due(at(71)) == at(71)
