"""The contract of a store for pictures in the threads of cards. Run for each implementation (conftest.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from alertbot.alerts.alert import Alert, Change, Mute, MuteKind, Reason, State
from alertbot.alerts.cards import Posted, escalation
from alertbot.alerts.delivery import Claimed, PostPicture
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level
from alertbot.store.roles import Store
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import (
    ME,
    SALES,
    at,
    begin,
    begin_posted,
    begins,
    edits,
    ends,
    firing,
    notice,
    one,
    ops,
    poll,
    post,
    posts,
    rises,
)


def due(store: Store, now: float) -> PostPicture:
    """The picture that is due."""
    picture = store.picture_due(at(now))
    assert picture is not None
    return picture


def test_the_first_message_of_a_card_gets_a_picture(store: Store) -> None:
    """Due when its channel has rested for a second; claimed, it is never due again."""
    alert = begin_posted(store, firing("1"))
    assert store.picture_due(at(0.9)) is None
    picture = due(store, 1)
    assert (picture.alert, picture.wanted_at) == (alert, at(0))
    assert picture.card.posted == Posted("C1", f"{at(0).timestamp():.6f}")
    assert store.claim_picture(picture, at(1)) is Claimed.DONE
    assert store.claim_picture(picture, at(3)) is Claimed.SETTLED
    assert store.picture_due(at(3)) is None
    assert len(picture.notice_id) == 20


def test_its_message_counts_for_the_channel(store: Store) -> None:
    """A second of rest from the claim on, and another one from the answer on."""
    begin_posted(store, firing("1"))
    picture = due(store, 1)
    store.claim_picture(picture, at(1))
    begin(store, firing("2"), at(1))
    assert posts(store, at(1.9)) == []
    store.picture_posted(picture, at(3))
    assert posts(store, at(3.9)) == []
    assert len(posts(store, at(4))) == 1


def posted_with(**more: object) -> Callable[[Store], None]:
    def act(store: Store) -> None:
        begin_posted(store, firing("1", **more))

    return act


def _late(store: Store) -> None:
    """Such as after an hour without Slack."""
    begin(store, firing("1"), at(0))
    (card,) = posts(store, at(601))
    post(store, card, at(601))


def _ended(store: Store) -> None:
    store.record(poll([ends(begin_posted(store, firing("1")), at(5))], now=at(5)))


def _ended_before(store: Store) -> None:
    store.record(poll([ends(begin(store, firing("1")), at(5))], now=at(5)))
    (card,) = posts(store, at(5))
    post(store, card, at(5))


def _closed_by_hand(store: Store) -> None:
    store.resolve(begin_posted(store, firing("1")).id or 0, "U0ALICE", "", at(5))
    for line in posts(store, at(5)):
        post(store, line, at(5))


def _of_an_escalation(store: Store) -> None:
    group = escalation(1, at(60) - at(0))
    alert = firing("1")
    store.record(poll([begins(alert)], [notice(alert, channel="#floor", group=group)]))
    post(store, posts(store, at(0))[0], at(0))


def _shared(store: Store) -> None:
    alerts = [firing("1"), firing("2")]
    notices = [notice(alert, group="storm:longest-wait") for alert in alerts]
    notices[1] = replace(notices[1], lead=notices[0].id)
    store.record(poll([begins(alert) for alert in alerts], notices))
    post(store, posts(store, at(0))[0], at(0))


def _a_rise(store: Store) -> None:
    """The picture was posted before; the rise is a line in the same thread."""
    alert = begin_posted(store, firing("1"))
    store.claim_picture(due(store, 1), at(1))
    rise = notice(alert, reason=Reason.LEVEL_UP, now=at(5))
    store.record(poll([rises(alert, at(5))], [rise], now=at(5)))
    post(store, posts(store, at(5))[0], at(5))


def _posted_again(store: Store) -> None:
    """The card was deleted by a person after the picture: the new thread is without it."""
    alert = begin_posted(store, firing("1"))
    store.claim_picture(due(store, 1), at(1))
    store.record(poll([rises(alert, at(5))], now=at(5)))
    (edit,) = edits(store, at(5))
    store.repost(edit.card, at(5), claimant=ME)
    post(store, posts(store, at(5))[0], at(5), channel_id="C2")


MUTED = Mute(MuteKind.SILENCED, 7, at(5))


def _muted_after(store: Store) -> None:
    alert = begin_posted(store, firing("1"))
    store.record(poll([Change(alert, replace(alert, muted=MUTED), None, "silenced")], now=at(5)))


def _dropped(store: Store) -> None:
    begin_posted(store, firing("1"))
    store.drop_picture(due(store, 1))


NONE = {
    "a card posted late": _late,
    "an alert that has ended": _ended,
    "a card posted after the end": _ended_before,
    "an alert closed by hand": _closed_by_hand,
    "the message of an escalation": _of_an_escalation,
    "a card of several alerts": _shared,
    "a rise": _a_rise,
    "a card posted again": _posted_again,
    "an alert that is muted": posted_with(muted=MUTED),
    "an alert that was muted before its turn": _muted_after,
    "an alert of the feed": posted_with(key=firing("1").key._replace(scope=Scope.FEED)),
    "an alert that recovers": posted_with(state=State.RECOVERING),
    "nothing to draw": _dropped,
}


@pytest.mark.parametrize("act", NONE.values(), ids=NONE)
def test_what_gets_no_picture(store: Store, act: Callable[[Store], None]) -> None:
    act(store)
    assert not any(due.notice for due in posts(store, at(602)))
    assert [store.picture_due(at(now)) for now in (7, 100, 602)] == [None, None, None]


def test_a_picture_waits_ten_minutes_at_most(store: Store) -> None:
    """For its turn; so what waits in a database after a long stop is not posted."""
    begin_posted(store, firing("1"))
    assert due(store, 599)
    assert store.picture_due(at(600)) is None


def test_the_clock_was_set_back(store: Store) -> None:
    """What seems to wait since the day after tomorrow is left."""
    begin_posted(store, firing("1"), at(200_000))
    assert store.picture_due(at(10)) is None


def test_after_every_post_of_every_channel(store: Store) -> None:
    """One that is due, rests, waits for others of its channel, or is being sent; but none that was put off."""
    begin_posted(store, firing("1"))
    begin(store, firing("2"), at(2), "#other")
    begin(store, firing("3"), at(2), "#other")
    assert store.picture_due(at(1)) is None
    first, *_ = posts(store, at(2))
    post(store, first, at(2))
    assert store.picture_due(at(2.5)) is None  # the third waits for its turn in its channel
    (second,) = posts(store, at(3))
    store.claim(second.notice.id, ME, at(3))
    assert store.picture_due(at(6)) is None  # it is being sent
    store.put_off(second.notice.id, at(100), "no answer", claimant=ME, unknown=True)
    assert due(store, 6).alert.key.entity_id == "1"
    assert store.picture_due(at(100)) is None


def test_a_channel_that_slack_holds_delays_no_other(store: Store) -> None:
    """Its posts may wait for an hour."""
    begin_posted(store, firing("1"))
    store.hold_channel("#other", at(900))
    begin(store, firing("2"), at(2), "#other")
    assert due(store, 3).alert.key.entity_id == "1"
    store.hold_channel(SALES, at(60))
    assert store.picture_due(at(59)) is None
    assert due(store, 60)


def test_a_line_whose_card_is_not_posted_is_not_waited_for(store: Store) -> None:
    """It cannot be posted either: its card was put off."""
    begin_posted(store, firing("1"))
    other = begin(store, firing("2"), at(2), "#other")
    (card,) = posts(store, at(2))
    store.put_off(card.notice.id, at(300), "no such channel", claimant=ME, unknown=False)
    line = notice(other, reason=Reason.LEVEL_UP, channel="#other", now=at(3))
    store.record(poll([rises(other, at(3))], [line], now=at(3)))
    assert due(store, 5)


def test_what_becomes_due_while_it_is_drawn_comes_first(store: Store) -> None:
    """The claim says so; later it is claimed all the same."""
    begin_posted(store, firing("1"))
    picture = due(store, 1)
    store.add_notices([ops("no data", now=at(2))])
    assert store.claim_picture(picture, at(3)) is Claimed.NOT_DUE
    post(store, posts(store, at(3))[0], at(3))
    assert store.claim_picture(picture, at(4)) is Claimed.DONE


def test_a_card_that_went_elsewhere_while_it_was_drawn(store: Store) -> None:
    """It is not posted in the old thread; the new one gets it."""
    alert = begin_posted(store, firing("1"))
    picture = due(store, 1)
    store.record(poll([rises(alert, at(2))], now=at(2)))
    (edit,) = edits(store, at(2))
    store.repost(edit.card, at(2), claimant=ME)
    assert store.claim_picture(picture, at(3)) is Claimed.SETTLED
    posted = post(store, posts(store, at(3))[0], at(3), channel_id="C2")
    assert due(store, 5).card.posted == posted


def test_what_was_not_posted_is_put_back(store: Store) -> None:
    """As it was, for the rest of its ten minutes; but not when the alert has ended meanwhile."""
    alert = begin_posted(store, firing("1"))
    picture = due(store, 1)
    store.claim_picture(picture, at(1))
    store.put_back_picture(picture)
    assert due(store, 2) == picture
    store.claim_picture(picture, at(2))
    store.record(poll([ends(one(store, alert), at(3))], now=at(3)))
    store.put_back_picture(picture)
    assert store.picture_due(at(5)) is None


def test_the_worst_first_then_the_oldest(store: Store) -> None:
    for number, level in enumerate((Level.INFO, Level.WARNING, Level.CRITICAL, Level.CRITICAL)):
        begin_posted(store, firing(str(number), level=level), at(number), f"#channel-{number}")
    order = []
    for now in range(10, 14):
        picture = due(store, now)
        assert store.claim_picture(picture, at(now)) is Claimed.DONE
        order.append(picture.alert.key.entity_id)
    assert order == ["2", "3", "1", "0"]


def test_each_channel_with_a_card_has_a_picture(store: Store) -> None:
    """Their readers may be others; with the same alert, the messages have ids of their own."""
    alert = firing("1")
    store.record(poll([begins(alert)], [notice(alert), notice(alert, channel="#floor")]))
    for card in posts(store, at(0)):
        post(store, card, at(0), channel_id=f"C{card.notice.channel}")
    first = due(store, 1)
    store.claim_picture(first, at(1))
    second = due(store, 1)
    assert {first.card.channel, second.card.channel} == {SALES, "#floor"}
    assert first.notice_id != second.notice_id


def test_half_of_max_messages_is_left_for_what_matters(tmp_path: Path) -> None:
    """Four in a minute: a picture is the second message or none."""
    store = SqliteStore(tmp_path / "alertbot.db", max_messages=4)
    begin_posted(store, firing("1"))
    begin_posted(store, firing("2"), at(2))
    assert store.picture_due(at(10)) is None
    assert due(store, 60.1).alert.key.entity_id == "1"
    assert store.claim_picture(due(store, 60.1), at(60.1)) is Claimed.DONE
    assert store.picture_due(at(61.5)) is None  # its message counts
    assert due(store, 62.1).alert.key.entity_id == "2"
    store.close()


def test_an_alert_as_stored(store: Store) -> None:
    """Drawn with the state that the alert has now."""
    alert: Alert = begin_posted(store, firing("1"))
    store.record(poll([rises(alert, at(5))], now=at(5)))
    assert due(store, 6).alert.level is Level.CRITICAL


OTHER = "another process"


def due_for(store: Store, claimant: str, now: float) -> bool:
    return store.picture_due(at(now), claimant=claimant) is not None


def posted(store: Store, picture: PostPicture) -> None:
    assert store.claim_picture(picture, at(10)) is Claimed.DONE
    store.picture_posted(picture, at(11), claimant=ME)


def put_back(store: Store, picture: PostPicture) -> None:
    assert store.claim_picture(picture, at(10)) is Claimed.DONE
    store.put_back_picture(picture)


def reserved_again(store: Store, picture: PostPicture) -> None:
    assert store.reserve_picture(picture, at(10), claimant=ME)


Event = Callable[[Store, PostPicture], None]

# What happens at 10 s to a picture that was reserved at 1 s, and from when another process may draw it.
RESERVED: dict[str, tuple[Event, float | None]] = {
    "its outcome stays unknown": (lambda store, picture: None, 61),
    "its process has ended": (lambda store, picture: store.claimant_ended(ME, at(10)), 15),
    "its process is silent": (lambda store, picture: store.claimant_ended(ME, at(10), certain=False), 15),
    "it is posted": (posted, None),
    "it was not posted": (put_back, 61),  # the one that has drawn it tries again
    "it is reserved again": (reserved_again, 70),
    "there is nothing to draw": (lambda store, picture: store.drop_picture(picture, claimant=ME), None),
}


@pytest.mark.parametrize(("event", "free_at"), RESERVED.values(), ids=RESERVED)
def test_one_process_draws_a_picture(store: Store, event: Event, free_at: float | None) -> None:
    """While it does, no other draws it, and nothing else waits: messages are posted, and edits are made."""
    begin_posted(store, firing("1"))
    picture = due(store, 1)
    assert store.reserve_picture(picture, at(1), claimant=ME)
    assert (due_for(store, ME, 2), due_for(store, OTHER, 2)) == (True, False)
    assert not store.reserve_picture(picture, at(2), claimant=OTHER)
    begin(store, firing("2"), at(3))
    (waiting,) = posts(store, at(3))
    assert store.claim(waiting.notice.id, OTHER, at(3)) is Claimed.DONE
    store.delivered(waiting.notice.id, Posted("C1", "3.0"), 1, at(3))
    store.drop_picture(due(store, 5))
    event(store, picture)
    if free_at is None:
        assert not due_for(store, OTHER, 200)
        assert not store.reserve_picture(picture, at(200), claimant=OTHER)
        assert store.claimants() == []
        return
    assert not due_for(store, OTHER, free_at - 0.01)
    assert due_for(store, OTHER, free_at)
    assert store.reserve_picture(picture, at(free_at), claimant=OTHER)
    assert store.claimants() == [OTHER]


def test_several_processes_draw_different_pictures(store: Store) -> None:
    """Each takes the next one that no other draws."""
    for number in range(3):
        begin_posted(store, firing(str(number)), at(number), channel=f"#{number}")
    taken = []
    for claimant in (ME, OTHER, "a third process"):
        picture = store.picture_due(at(10), claimant=claimant)
        assert picture is not None
        assert store.reserve_picture(picture, at(10), claimant=claimant)
        taken.append(picture.card.id)
    assert sorted(taken) == sorted(set(taken))
    assert store.picture_due(at(10), claimant="a fourth process") is None


def test_a_claim_of_a_dead_process_is_forgotten(store: Store) -> None:
    """Once it holds nothing any more, so nothing is written about that process again and again."""
    begin_posted(store, firing("1"))
    assert store.reserve_picture(due(store, 1), at(1), claimant=ME)
    store.claimant_ended(ME, at(10))
    assert store.claimants() == [ME]
    store.claimant_ended(ME, at(16))
    assert store.claimants() == []
