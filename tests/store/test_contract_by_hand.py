"""Alerts that users close by hand, whichever implementation stores them."""

from __future__ import annotations

import pytest

from alertbot.alerts.alert import Alert, Outcome, Reason, State
from alertbot.alerts.delivery import EditCard, PostCard, PostLine
from alertbot.store.records import NoticeState
from alertbot.store.roles import Store
from tests.store.build import (
    SALES,
    at,
    begin,
    begin_posted,
    begins,
    edits,
    ends,
    firing,
    key,
    notice,
    one,
    pending,
    poll,
    post,
    posts,
)


def test_an_open_alert_is_closed(store: Store) -> None:
    """The row, the card and its thread say who and why, all from one transaction."""
    stored = begin_posted(store, firing())
    assert stored.id is not None
    before = store.revision("acme")
    outcome, closed = store.resolve(stored.id, "U1", "a call is stuck", at(60))
    assert outcome is Outcome.DONE
    assert closed == store.alert(stored.id)
    assert closed is not None
    assert (closed.state, closed.ended_at, closed.end_reason) == (State.INACTIVE, at(60), Reason.CLOSED_BY_HAND)
    assert (closed.closed_by, closed.close_note, closed.since) == ("U1", "a call is stuck", {})
    assert store.alerts() == []
    assert store.ended(at(60)) == [closed]
    assert store.cards("acme") == {}
    assert store.revision("acme") == before + 1
    assert store.totals().resolved == 1
    line, edit = store.due(at(61))
    assert isinstance(line, PostLine)
    assert (line.notice.reason, line.notice.by, line.notice.text) == (Reason.CLOSED_BY_HAND, "U1", "a call is stuck")
    assert line.notice.channel == SALES
    assert isinstance(edit, EditCard)
    assert edit.card.members == (closed,)


def test_what_was_acknowledged_keeps_its_owner(store: Store) -> None:
    """Resolve beats acknowledge; history says who had it."""
    stored = begin_posted(store, firing())
    assert stored.id is not None
    store.acknowledge(stored.id, "U1", "on it", at(30))
    outcome, closed = store.resolve(stored.id, "U2", "", at(60))
    assert outcome is Outcome.DONE
    assert closed is not None
    assert (closed.acked_by, closed.closed_by) == ("U1", "U2")


def test_a_card_that_was_not_posted_yet_is_posted_closed(store: Store) -> None:
    """Once; the line, which would only repeat it, is not posted."""
    stored = begin(store, firing())
    assert stored.id is not None
    store.resolve(stored.id, "U1", "", at(1))
    (due,) = posts(store, at(2))
    assert isinstance(due, PostCard)
    assert due.card.members[0].closed_by == "U1"
    post(store, due, at(2))
    assert [entry.state for entry in store.notices_of(stored.id)] == [
        NoticeState.DELIVERED,
        NoticeState.SHOWN_BY_CARD,
    ]
    assert store.due(at(10)) == []


def test_a_pending_alert_is_closed_and_latched(store: Store) -> None:
    """Nothing was reported, so nothing is now; it is no history, and its id still says who closed it."""
    store.record(poll([begins(pending())]))
    stored = one(store, pending())
    assert stored.id is not None
    assert store.resolve(stored.id, "U1", "", at(5))[0] is Outcome.DONE
    assert store.alerts() == []
    assert store.ended(at(0)) == []
    assert store.notices_of(stored.id) == []
    assert store.latched("acme") == {key(): 0}
    assert store.totals().resolved == 0
    outcome, closed = store.acknowledge(stored.id, "U2", "", at(6))
    assert outcome is Outcome.ENDED
    assert closed is not None
    assert (closed.closed_by, closed.ended_at) == ("U1", at(5))


def test_a_latch_is_kept_until_a_poll_takes_it_off(store: Store) -> None:
    """What a poll says of one fingerprint changes no other, and an alert that fires again is a new one."""
    for entity in ("1", "2"):
        stored = begin(store, firing(entity))
        assert stored.id is not None
        store.resolve(stored.id, "U1", "", at(5))
    other = begin(store, firing("1", tenant="other"))
    assert other.id is not None
    store.resolve(other.id, "U1", "", at(5))
    assert store.latched("acme") == {key("1"): 0, key("2"): 0}
    store.record(poll(latches={key("1"): 2}, now=at(10)))
    assert store.latched("acme") == {key("1"): 2, key("2"): 0}
    store.record(poll(latches={key("1"): None}, now=at(15)))
    assert store.latched("acme") == {key("2"): 0}
    assert store.latched("other") == {key("1", tenant="other"): 0}
    again = begin(store, firing("1", fired_at=at(20)), at(20))
    assert again.id == 4
    store.record(poll([ends(again, at(30))], now=at(30)))
    assert store.latched("acme") == {key("2"): 0}


def _poll_ends(store: Store, alert: Alert) -> None:
    store.record(poll([ends(alert, at(20))], now=at(20)))


def _hand(store: Store, alert: Alert) -> None:
    assert alert.id is not None
    store.resolve(alert.id, "U1", "first", at(20))


@pytest.mark.parametrize("first", [_poll_ends, _hand], ids=["a poll", "a user"])
@pytest.mark.parametrize("second", ["acknowledge", "unacknowledge", "resolve"])
def test_who_comes_after_the_end_learns_of_it(store: Store, first: object, second: str) -> None:
    """Nothing changes any more, and the answer has the alert as the first one left it."""
    stored = begin_posted(store, firing())
    assert stored.id is not None
    first(store, stored)  # type: ignore[operator]
    left, revision = store.alert(stored.id), store.revision("acme")
    more = {"acknowledge": ["mine"], "unacknowledge": [], "resolve": ["second"]}[second]
    assert getattr(store, second)(stored.id, "U2", *more, at(25)) == (Outcome.ENDED, left)
    assert store.alert(stored.id) == left
    assert store.revision("acme") == revision
    assert not any(entry.notice.by == "U2" for entry in store.notices_of(stored.id))


def test_an_unknown_id(store: Store) -> None:
    """There is no such alert."""
    assert store.resolve(17, "U1", "", at(0)) == (Outcome.UNKNOWN_ID, None)
    assert edits(store, at(0)) == []


def test_the_message_of_an_escalation_step_is_edited_and_gets_no_line(store: Store) -> None:
    """It shows that the alert was closed; its thread, if any, says nothing, and nothing is given up."""
    stored = begin_posted(store, firing())
    assert stored.id is not None
    step = notice(stored, reason=Reason.ESCALATED, channel="#managers", now=at(5), group=f"escalation:{stored.id}:600")
    store.record(poll(notices=[step], now=at(5)))
    for due in posts(store, at(6)):
        post(store, due, at(6), channel_id="C2")
    assert store.resolve(stored.id, "U1", "stuck", at(10))[0] is Outcome.DONE
    assert [(entry.notice.channel, entry.notice.reason) for entry in store.notices_of(stored.id)] == [
        (SALES, Reason.FIRED),
        ("#managers", Reason.ESCALATED),
        (SALES, Reason.CLOSED_BY_HAND),
    ]
    assert store.totals().given_up == 0
    assert sorted(each.card.channel for each in edits(store, at(10))) == ["#cc-sales", "#managers"]
