"""The contract of Store: messages of escalations, and what a new alert inherits. Run for each implementation."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from alertbot.alerts.alert import Alert, Change, Reason
from alertbot.alerts.cards import escalated_after, escalation
from alertbot.alerts.delivery import PostCard, PostLine
from alertbot.alerts.notice import NoticeKind
from alertbot.store.roles import Store
from tests.store.build import (
    SALES,
    T0,
    at,
    begin_posted,
    begins,
    edits,
    ends,
    firing,
    key,
    line,
    new_value,
    notice,
    one,
    pending,
    poll,
    post,
    posts,
    rises,
)

STEP = timedelta(minutes=10)


def escalates(store: Store, alert: Alert, *, channel: str = SALES, now: float = 600, posted: bool = True) -> Alert:
    """A step of `escalate` is taken: its line, and its message, which are delivered."""
    assert alert.id is not None
    after = replace(alert, escalated=STEP)
    message = replace(
        notice(alert, NoticeKind.CARD, Reason.ESCALATED, channel=channel, now=at(now)),
        id="step",
        group=escalation(alert.id, STEP),
    )
    told = line(alert, Reason.ESCALATED, now=at(now), text=channel)
    store.record(poll([Change(alert, after, Reason.ESCALATED, "no owner")], [told, message], now=at(now)))
    for seconds in range(5) if posted else ():
        for due in posts(store, at(now + seconds)):
            post(store, due, at(now + seconds))
    return after


def test_the_message_of_a_step_stands_beside_the_card(store: Store) -> None:
    """In the same channel, and it is no card of the alert: what follows goes into the thread of the card alone."""
    alert = begin_posted(store, firing())
    alert = escalates(store, alert)
    entries = store.notices_of(alert.id)
    assert [(entry.notice.kind, entry.notice.reason, entry.state) for entry in entries] == [
        ("card", "fired", "delivered"),
        ("line", "escalated", "delivered"),
        ("card", "escalated", "delivered"),
    ]
    card, step = entries[0].posted, entries[2].posted
    assert card != step
    assert store.cards("acme") == {alert.key: {SALES}}
    change = rises(alert, at(700))
    store.record(poll([change], [line(change.after, Reason.LEVEL_UP, now=at(700))], now=at(700)))
    (due,) = posts(store, at(700))
    assert isinstance(due, PostLine)
    assert due.card.posted == card
    post(store, due, at(700))
    store.acknowledge(one(store, alert).id or 0, "U0ALICE00", "", at(710))
    (due,) = posts(store, at(710))
    assert isinstance(due, PostLine)
    assert (due.card.posted, due.notice.reason) == (card, Reason.ACKNOWLEDGED)


def test_a_step_without_a_card(store: Store) -> None:
    """Only the message: its channel has no card of the alert, and gets no lines."""
    alert = begin_posted(store, firing())
    escalates(store, alert, channel="#leads")
    assert store.cards("acme") == {alert.key: {SALES}}
    store.acknowledge(alert.id or 0, "U0ALICE00", "", at(710))
    assert [due.notice.channel for due in posts(store, at(710))] == [SALES]
    assert store.totals().given_up == 0


@pytest.mark.parametrize(
    ("what", "edited"),
    [
        pytest.param("value", {"alert:1"}, id="a new value"),
        pytest.param("rise", {"alert:1", "escalation:1:600"}, id="another level"),
        pytest.param("end", {"alert:1", "escalation:1:600"}, id="the end"),
        pytest.param("owner", {"alert:1", "escalation:1:600"}, id="an owner"),
        pytest.param("reminder", set(), id="a reminder, which shows in the thread alone"),
    ],
)
def test_what_edits_the_message_of_a_step(store: Store, what: str, edited: set[str]) -> None:
    """Not the value: it would be edited once a minute for as long as the alert fires."""
    alert = escalates(store, begin_posted(store, firing()))
    now = at(700)
    if what == "owner":
        store.acknowledge(alert.id or 0, "U0ALICE00", "", now)
    else:
        change = {
            "value": new_value(alert, 80_000.0, now),
            "rise": rises(alert, now),
            "end": ends(alert, now),
            "reminder": Change(alert, replace(alert, reminders=1, reminded_at=now), Reason.REMINDER, "still firing"),
        }[what]
        store.record(poll([change], now=now))
    due = edits(store, at(800))
    assert {edit.card.group for edit in due} == edited
    assert all(edit.card.members[0].acked_by == ("U0ALICE00" if what == "owner" else None) for edit in due)


def test_a_message_says_which_step_it_is_of(store: Store) -> None:
    """The card that is due names its group, from which the `after` of the step can be read."""
    alert = escalates(store, begin_posted(store, firing()), posted=False)
    (due,) = posts(store, at(600))
    post(store, due, at(600))
    (message,) = posts(store, at(601))
    assert isinstance(message, PostCard)
    assert [member.id for member in message.card.members] == [alert.id]
    assert escalated_after(message.card.group) == STEP
    assert escalated_after("alert:1") is None


def test_two_messages_of_one_alert(store: Store) -> None:
    """In one channel: the steps are messages of their own."""
    alert = escalates(store, begin_posted(store, firing()))
    later = replace(alert, escalated=2 * STEP)
    second = replace(
        notice(alert, NoticeKind.CARD, Reason.ESCALATED, now=at(1200)), id="2", group=escalation(1, 2 * STEP)
    )
    store.record(poll([Change(alert, later, Reason.ESCALATED, "no owner")], [second], now=at(1200)))
    (due,) = posts(store, at(1200))
    assert isinstance(due, PostCard)
    post(store, due, at(1200))
    store.record(poll([ends(later, at(1300))], now=at(1300)))
    assert len(edits(store, at(1300))) == 3


@pytest.mark.parametrize("given_back", [False, True], ids=["still owned", "given back"])
def test_a_new_owner_is_nagged_again(store: Store, given_back: bool) -> None:
    """The nag is that of one acknowledgement; polls keep it."""
    alert = begin_posted(store, firing())
    alert_id = alert.id or 0
    store.acknowledge(alert_id, "U0ALICE00", "", at(10))
    alert = one(store, alert)
    store.record(poll([Change(alert, replace(alert, nagged=True), Reason.REMINDER, "still firing")], now=at(7300)))
    assert one(store, alert).nagged
    if given_back:
        store.unacknowledge(alert_id, "U0ALICE00", at(7400))
        _, again = store.acknowledge(alert_id, "U0BOBBY00", "", at(7500))
        assert again is not None
        assert again.nagged is False
    assert one(store, alert).nagged is not given_back


def test_the_rises_of_alerts_that_ended(store: Store) -> None:
    """Of this tenant, of those that ended lately, by fingerprint; those of the last one, which has them all."""
    for number, entity, tenant in ((0, "1", "acme"), (10, "1", "acme"), (20, "2", "acme"), (30, "1", "other")):
        fired = firing(entity, tenant=tenant, rises=(T0, at(number)))
        store.record(poll([begins(fired)], now=at(number), tenant=tenant))
        store.record(poll([ends(one(store, fired), at(number + 5))], now=at(number + 5), tenant=tenant))
    store.record(poll([begins(firing("3", rises=(at(40),)))], now=at(40)))
    store.record(poll([begins(pending("4", rises=(at(40),)))], now=at(40)))
    store.record(poll([replace(ends(one(store, key("4")), at(41)), reason=None)], now=at(41)))
    ended = {key("1"): (T0, at(10)), key("2"): (T0, at(20))}
    assert store.rises("acme", T0) == ended
    assert store.rises("acme", at(25)) == {key("2"): (T0, at(20))}
    assert store.rises("acme", at(26)) == {}


def test_the_last_alert_is_the_one_that_began_last(store: Store) -> None:
    """Not the one that ended latest by the clock: it may have been set back by an hour in between."""
    for begun, ended, times in ((0, 100, (T0,)), (-3400, -3300, (T0, at(-3400)))):
        alert = firing("1", rises=times)
        store.record(poll([begins(alert)], now=at(begun)))
        store.record(poll([ends(one(store, alert), at(ended))], now=at(ended)))
    assert store.rises("acme", at(-5000)) == {key("1"): (T0, at(-3400))}


def test_what_only_time_writes(store: Store) -> None:
    """All of it comes back as it was written."""
    alert = begin_posted(store, firing())
    after = replace(
        alert,
        reminded_at=at(900),
        reminders=3,
        escalated=timedelta(seconds=90.5),
        nagged=True,
        rises=(T0, at(3)),
        unstable=True,
        no_data_since=at(880),
        unseen_since=at(-9000),
    )
    store.record(poll([Change(alert, after, None, "")], now=at(900)))
    assert one(store, alert) == after
