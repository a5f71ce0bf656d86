"""The contract of a store for messages that were posted twice, by a process that another one had given up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from alertbot.alerts.alert import Reason
from alertbot.alerts.cards import Posted
from alertbot.alerts.delivery import Claimed
from alertbot.store.records import NoticeState, PossibleDuplicate
from alertbot.store.roles import Store
from alertbot.store.sql.store import SqlStore
from tests.store.build import at, begin, begin_posted, edits, ends, firing, line, one, ops, poll, post, posts, rises

ONE, OTHER = "one process", "another process"
FIRST, SECOND = Posted("C1", "101.0"), Posted("C1", "102.0")
CHECKED_AT = 400.0
"""When every notice that may have a second message is looked at."""


@pytest.fixture
def claimed(store: SqlStore) -> str:
    """The notice of a card that `ONE` has claimed at 5 s."""
    begin(store, firing(), at(0))
    (due,) = posts(store, at(5))
    assert store.claim(due.notice.id, ONE, at(5)) is Claimed.DONE
    return due.notice.id


Event = Callable[[Store, str], None]


def given_up(store: Store, notice: str) -> None:
    store.put_off(notice, at(15), "timeout", claimant=ONE, unknown=True)


def late_without_answer(store: Store, notice: str) -> None:
    """It was known to have ended, and continues all the same: what became of its request is not known."""
    store.claimant_ended(ONE, at(16))
    store.claim(notice, OTHER, at(30), at(5))
    store.put_off(notice, at(31), "timeout", claimant=ONE, unknown=True)


def late_and_not_sent(store: Store, notice: str) -> None:
    store.claimant_ended(ONE, at(16))
    store.claim(notice, OTHER, at(30), at(5))
    store.put_off(notice, at(31), "late", claimant=ONE, unknown=False)


# What becomes of the claim, and whether there may be a second message once another process has posted the first.
EVENTS: dict[str, tuple[Event, bool]] = {
    "the claimant is silent": (lambda store, notice: store.claimant_ended(ONE, at(16), certain=False), True),
    "it is silent, and has only just claimed it": (
        lambda store, notice: store.claimant_ended(ONE, at(8), certain=False),
        True,  # since the claim runs out
    ),
    "the claim runs out": (lambda store, notice: None, True),
    "the claimant has ended": (lambda store, notice: store.claimant_ended(ONE, at(8)), False),
    "it gave up, the outcome unknown": (given_up, False),
    "it continues without an answer": (late_without_answer, True),
    "it continues, and has sent nothing": (late_and_not_sent, False),
}


@pytest.mark.parametrize(("event", "possible"), EVENTS.values(), ids=EVENTS)
def test_when_there_may_be_a_second_message(store: Store, claimed: str, event: Event, possible: bool) -> None:
    """If the claimant may still send. It is looked for once the notice is delivered, minutes later, and once."""
    event(store, claimed)
    store.claim(claimed, OTHER, at(60), at(5))
    assert store.possible_duplicates(at(CHECKED_AT)) == []
    assert store.delivered(claimed, FIRST, 1, at(61))
    assert store.possible_duplicates(at(61)) == []
    found = store.possible_duplicates(at(CHECKED_AT))
    assert [each.notice_id for each in found] == [claimed] * possible
    assert all(each.since <= at(30) for each in found)  # when it was claimed again: what is older was looked for
    store.forget_possible_duplicates([claimed])
    assert store.possible_duplicates(at(CHECKED_AT)) == []


def test_a_process_that_claims_again_is_no_other(store: Store, claimed: str) -> None:
    """Its first message was looked for, by itself: nothing of that is on its way."""
    assert store.claim(claimed, ONE, at(60), at(5)) is Claimed.DONE
    store.delivered(claimed, FIRST, 1, at(61))
    assert store.possible_duplicates(at(CHECKED_AT)) == []


def test_a_late_answer_about_another_message(store: SqlStore, claimed: str) -> None:
    """Changes nothing: the first one stays the card's. An audit makes sure that the other one is closed."""
    store.claimant_ended(ONE, at(16), certain=False)
    assert store.claim(claimed, OTHER, at(21), at(5)) is Claimed.DONE
    assert store.delivered(claimed, FIRST, 1, at(22))
    assert store.delivered(claimed, FIRST, 1, at(23))
    before = store.notices_of(one(store, firing()).id)
    assert not store.delivered(claimed, SECOND, 1, at(80))
    assert store.notices_of(one(store, firing()).id) == before
    assert before[0].posted == FIRST
    assert store.possible_duplicates(at(80)) == [PossibleDuplicate(claimed, at(5))]


def test_the_answer_that_comes_first_is_kept(store: Store, claimed: str) -> None:
    """The paused process answers while the other one still sends: then the other's message is the duplicate."""
    store.claimant_ended(ONE, at(16), certain=False)
    assert store.claim(claimed, OTHER, at(21), at(5)) is Claimed.DONE
    assert store.delivered(claimed, SECOND, 1, at(22))
    assert not store.delivered(claimed, FIRST, 1, at(23))
    assert store.notices_of(one(store, firing()).id)[0].posted == SECOND


def test_messages_that_a_card_had_or_has_are_no_duplicates(store: SqlStore) -> None:
    """The one that it left behind in a channel that does not work, and the one that it has now."""
    alert = begin_posted(store, firing())
    (first,) = [entry for entry in store.notices_of(alert.id) if entry.posted]
    store.record(poll([rises(alert, at(5))], now=at(5)))
    (left,) = edits(store, at(5))
    assert left.card.posted is not None
    assert store.repost(left.card, at(6), claimant=ONE, keep=True)
    (again,) = posts(store, at(7))
    post(store, again, at(7), channel_id="C2")
    new = [entry.posted for entry in store.notices_of(alert.id)][-1]
    assert new is not None
    for known in (left.card.posted, new):
        assert store.delivered(first.notice.id, known, 1, at(9))
    assert not store.delivered(first.notice.id, Posted("C2", "9.9"), 1, at(9))


def test_where_a_second_message_would_stand(store: SqlStore) -> None:
    """A line in the thread of its card, a reply in the thread of its message, and the others in their channel."""
    alert = begin_posted(store, firing())
    store.record(poll([], [line(alert, Reason.REMINDER, now=at(10))], now=at(10)))
    store.add_notices([ops("a report", now=at(11), channel="#ops")])
    places: dict[str, Posted | None] = {}
    for number, due in enumerate(store.due(at(20))):
        assert store.claim(due.notice.id, ONE, at(20)) is Claimed.DONE  # type: ignore[union-attr]
        places[due.notice.id] = due.card.posted if hasattr(due, "card") else None  # type: ignore[union-attr]
        store.claimant_ended(ONE, at(31), certain=False)
        assert store.delivered(due.notice.id, Posted("C1", f"{number}.5"), 0, at(32))  # type: ignore[union-attr]
    found = store.possible_duplicates(at(CHECKED_AT))
    assert {each.notice_id: each.thread for each in found} == places
    assert sorted(map(bool, places.values())) == [False, True]


def test_one_of_an_alert_that_was_deleted_is_still_there(store: SqlStore, claimed: str) -> None:
    """An audit finds no notice of it, and forgets it."""
    store.delivered(claimed, FIRST, 1, at(6))
    assert not store.delivered(claimed, SECOND, 1, at(7))
    store.record(poll([ends(one(store, firing()), at(8))], now=at(8)))
    while store.delete_old(at(1000), 100):
        pass
    assert store.posted_notices([claimed]) == {}
    assert [each.notice_id for each in store.possible_duplicates(at(2000))] == [claimed]
    store.forget_possible_duplicates([claimed, "unknown"])
    assert store.possible_duplicates(at(2000)) == []


def test_a_notice_that_still_waits_is_looked_at_later(store: Store, claimed: str) -> None:
    """It is not posted yet: what would stand there is found before it is posted again."""
    store.claimant_ended(ONE, at(16), certain=False)
    assert store.possible_duplicates(at(CHECKED_AT)) == []
    store.give_up(claimed, "no", at(CHECKED_AT))
    assert [each.notice_id for each in store.possible_duplicates(at(CHECKED_AT))] == [claimed]
    assert store.posted_notices([claimed])[claimed].state is NoticeState.GIVEN_UP
