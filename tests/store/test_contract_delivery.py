"""The contract of Store: the delivery ledger. Run for each implementation (conftest.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from alertbot.alerts.alert import Alert, Change, Reason
from alertbot.alerts.cards import Card, Posted, leading
from alertbot.alerts.delivery import Capacity, Claimed, EditCard, PostCard, PostLine, PostOps
from alertbot.errors import StoreError
from alertbot.rules.rule import Level
from alertbot.store.records import NoticeState
from alertbot.store.roles import Store
from tests.store.build import (
    ME,
    SALES,
    T0,
    at,
    begin,
    begin_posted,
    edits,
    ends,
    firing,
    line,
    new_value,
    notice,
    one,
    ops,
    poll,
    post,
    posts,
    rises,
)


def in_words(store: Store, now: float) -> list[str]:
    """What is due, in words: the action, and the entity or text."""
    words = []
    for due in store.due(at(now)):
        if isinstance(due, PostOps):
            words.append(f"ops {due.notice.text}")
        else:
            words.append(f"{type(due).__name__} {due.card.members[0].key.entity_id}")
    return words


# Order and pace


def test_critical_first_then_the_oldest(store: Store) -> None:
    """Over all channels and kinds; a second deliverer would see the same order."""
    begin(store, firing("old"), at(0), "#a")
    begin(store, firing("older"), at(-5), "#b")
    begin(store, firing("info", level=Level.INFO), at(-9), "#c")
    begin(store, firing("critical", level=Level.CRITICAL), at(3), "#d")
    store.add_notices([replace(ops("no data", now=at(-3)), channel="#e")])
    expected = ["PostCard critical", "PostCard older", "ops no data", "PostCard old", "PostCard info"]
    assert in_words(store, 5) == expected
    assert [len(store.due(at(5), limit=limit)) for limit in (0, 1, 3)] == [0, 1, 3]


def test_edits_and_posts_share_one_order(store: Store) -> None:
    """A critical card that is due for an edit precedes a post of a lower level."""
    loud = begin_posted(store, firing("loud", level=Level.CRITICAL))
    begin(store, firing("new"), at(1), "#b")
    store.record(poll([ends(loud, at(9))], now=at(9)))
    assert in_words(store, 9) == ["EditCard loud", "PostCard new"]


def test_a_card_that_waits_moves_forward_when_its_alert_rises(store: Store) -> None:
    """It waits with the present level, not with that of the decision."""
    begin(store, firing("first"), at(0))
    second = begin(store, firing("second"), at(1))
    assert in_words(store, 2) == ["PostCard first"]
    store.record(poll([rises(second, at(3))], now=at(3)))
    assert in_words(store, 4) == ["PostCard second"]


def test_one_post_a_channel_a_second(store: Store) -> None:
    """Others in the same channel wait for their turn; other channels do not."""
    begin(store, firing("1"), at(0))
    begin(store, firing("2"), at(1))
    begin(store, firing("3"), at(2), "#other")
    first, other = posts(store, at(5))
    post(store, first, at(5))
    assert in_words(store, 5.9) == ["PostCard 3"]
    post(store, other, at(5), channel_id="C2")
    assert in_words(store, 5.999) == []
    assert in_words(store, 6) == ["PostCard 2"]


def test_two_spellings_of_a_channel_share_its_pace(store: Store) -> None:
    """#name and id are one channel from the first post on, which returned its id."""
    begin_posted(store, firing("1"), channel=SALES)
    begin(store, firing("2"), at(10), SALES)
    begin(store, firing("3"), at(11), "C1")
    assert in_words(store, 11) == ["PostCard 2"]
    post(store, posts(store, at(11))[0], at(11))
    assert in_words(store, 11.9) == []
    post(store, posts(store, at(12))[0], at(12))
    begin(store, firing("4"), at(12), SALES)
    assert in_words(store, 12.9) == []
    assert in_words(store, 13) == ["PostCard 4"]


def test_a_throttled_channel_gets_no_post(store: Store) -> None:
    """429: no post before the given time, not even if a shorter wait is received later; edits continue."""
    alert = begin_posted(store, firing("1"))
    begin(store, firing("2"), at(5))
    store.hold_channel(SALES, at(60))
    store.hold_channel(SALES, at(40))
    store.record(poll([rises(alert, at(6))], now=at(6)))
    assert in_words(store, 59) == ["EditCard 1"]
    assert in_words(store, 60) == ["EditCard 1", "PostCard 2"]


def test_a_rest_from_before_the_clock_was_set_back_holds_nothing(store: Store) -> None:
    """A pause must not last an hour because the clock was set back by one."""
    begin_posted(store, firing("1"), at(3600))
    begin(store, firing("2"), at(0))
    assert in_words(store, 1) == ["PostCard 2"]


def test_what_is_put_off_is_due_at_its_time(store: Store) -> None:
    """With the number of failed attempts, and the reason in the ledger."""
    alert = begin(store, firing())
    (due,) = posts(store, at(0))
    store.claim(due.notice.id, ME, at(0))
    store.put_off(due.notice.id, at(30), "503", claimant=ME, unknown=False)
    assert in_words(store, 29) == []
    (again,) = posts(store, at(30))
    assert (again.attempts, again.intent_at) == (1, None)
    (entry,) = store.notices_of(alert.id)
    assert (entry.state, entry.error, entry.not_before, entry.attempts) == (NoticeState.WAITING, "503", at(30), 1)


LONG_AHEAD = 6 * 3600
"""A time that was stored before the clock was set back by six hours."""


def test_no_wait_from_before_the_clock_was_set_back_holds(store: Store) -> None:
    """Neither a notice that was put off, nor a throttled channel, nor an edit that was put off."""
    alert = begin_posted(store, firing("1"))
    store.record(poll([rises(alert, at(1))], now=at(1)))
    (edit,) = edits(store, at(1))
    store.put_off_edit(edit.card.id, at(LONG_AHEAD), "ratelimited")
    begin(store, firing("2"), at(2))
    for due in posts(store, at(5)):
        store.put_off(due.notice.id, at(LONG_AHEAD), "503", claimant=ME, unknown=False)
    store.hold_channel(SALES, at(LONG_AHEAD))
    assert store.next_due(at(10)) == at(10)
    assert {"EditCard 1", "PostCard 2"} & set(in_words(store, 10)) == {"EditCard 1", "PostCard 2"}
    store.hold_channel(SALES, at(70))
    assert "PostCard 2" not in in_words(store, 10)


# Claims

OTHER = "another process"


def test_a_claim_excludes_every_other_one(store: Store) -> None:
    """Another claimant's, and a second one of the same claimant: each claim is one request."""
    begin(store, firing())
    (due,) = posts(store, at(0))
    assert store.claim(due.notice.id, ME, at(0)) is Claimed.DONE
    for seconds in (0, 1, 19.9):
        assert store.claim(due.notice.id, OTHER, at(seconds)) is Claimed.TAKEN
        assert store.claim(due.notice.id, ME, at(seconds)) is Claimed.TAKEN
        assert store.claim(due.notice.id, OTHER, at(seconds), at(0)) is Claimed.TAKEN
    assert store.claimants() == [ME]
    store.delivered(due.notice.id, Posted("C1", "1"), 1, at(2))
    assert store.claimants() == []


@pytest.mark.parametrize(
    ("what", "looked_for_at"),
    [
        (lambda store, notice: None, 20.0),
        (lambda store, notice: store.claimant_ended(ME, at(3)), 8.0),
        (lambda store, notice: store.claimant_ended(ME, at(18)), 20.0),
        (lambda store, notice: store.claimant_ended(OTHER, at(3)), 20.0),
        (lambda store, notice: store.put_off(notice, at(16), "timeout", claimant=ME, unknown=True), 16.0),
        (lambda store, notice: store.put_off(notice, at(6), "it looked", claimant=OTHER, unknown=True), 20.0),
        (lambda store, notice: store.put_off(notice, at(6), "an old list", claimant=OTHER, unknown=False), 20.0),
    ],
    ids=[
        "may be alive",
        "is gone",
        "is gone, almost 20 s later",
        "another one is gone",
        "gave up",
        "another one put it off",
        "another one put it off, knowing nothing of the claim",
    ],
)
def test_when_an_open_claim_is_looked_for(
    store: Store, what: Callable[[Store, str], None], looked_for_at: float
) -> None:
    """20 s after the claim while its claimant may be alive, 5 s after it ended or gave up; not a moment earlier."""
    begin(store, firing())
    (due,) = posts(store, at(0))
    store.claim(due.notice.id, ME, at(0))
    what(store, due.notice.id)
    assert in_words(store, looked_for_at - 0.1) == []
    assert store.next_due(at(1)) == at(looked_for_at)
    (again,) = posts(store, at(looked_for_at))
    assert again.intent_at == at(0)
    assert store.claim(due.notice.id, OTHER, at(looked_for_at)) is Claimed.TAKEN  # without having looked
    assert store.claim(due.notice.id, OTHER, at(looked_for_at), again.intent_at) is Claimed.DONE


def test_of_two_that_looked_in_vain_one_sends(store: Store) -> None:
    """Both saw the same old claim; replacing it is a compare-and-set."""
    begin(store, firing())
    store.claim(posts(store, at(0))[0].notice.id, "a third", at(0))
    (due,) = posts(store, at(20))
    assert store.claim(due.notice.id, ME, at(20), due.intent_at) is Claimed.DONE
    assert store.claim(due.notice.id, OTHER, at(20.1), due.intent_at) is Claimed.TAKEN


def test_a_replaced_claimant_ends_only_its_own_claim(store: Store) -> None:
    """It was paused for a while, and reports its failure late."""
    begin(store, firing())
    (due,) = posts(store, at(0))
    store.claim(due.notice.id, ME, at(0))
    store.claim(due.notice.id, OTHER, at(21), at(0))
    store.put_off(due.notice.id, at(22), "503", claimant=ME, unknown=False)
    store.reroute(due.notice.id, "#elsewhere", claimant=ME)
    assert store.claimants() == [OTHER]
    assert store.claim(due.notice.id, ME, at(23)) is Claimed.TAKEN


def test_a_line_that_is_being_sent_keeps_its_claim_when_its_card_is_posted_again(store: Store) -> None:
    """Another process found the card gone: the line is looked for in the new thread before it is repeated."""
    alert = begin_posted(store, firing())
    store.record(poll([rises(alert, at(5))], [line(alert, Reason.LEVEL_UP, now=at(5))], now=at(5)))
    (sent,) = posts(store, at(5))
    store.claim(sent.notice.id, ME, at(5))
    store.repost(edits(store, at(5))[0].card, at(6), claimant=OTHER)
    assert posts(store, at(24.9)) == []
    (card,) = posts(store, at(25))
    post(store, card, at(25))
    assert posts(store, at(26))[0].intent_at == at(5)


def test_a_message_that_is_no_longer_the_cards_changes_nothing(store: Store) -> None:
    """A second process learns late that the first message was gone, or that its edit reached it."""
    alert = begin_posted(store, firing())
    store.record(poll([rises(alert, at(5))], now=at(5)))
    (edit,) = edits(store, at(5))
    store.repost(edit.card, at(6), claimant=ME)
    post(store, posts(store, at(7))[0], at(7))
    store.record(poll([new_value(one(store, alert), 1.0, at(8))], now=at(8)))
    store.repost(edit.card, at(9), claimant=OTHER)
    assert posts(store, at(10)) == []
    store.edited(replace(edit.card, version=99), at(10))
    assert len(edits(store, at(70))) == 1


def test_an_older_edit_that_lands_last_is_edited_again(store: Store) -> None:
    """Two processes edit one card, and Slack ends up with the older version: the card is outdated."""
    alert = begin_posted(store, firing())
    store.record(poll([rises(alert, at(1))], now=at(1)))
    (older,) = edits(store, at(1))
    store.record(poll([replace(new_value(one(store, alert), 1.0, at(2)), reason=Reason.LEVEL_DOWN)], now=at(2)))
    (newer,) = edits(store, at(2))
    store.edited(newer.card, at(3))
    assert edits(store, at(3)) == []
    store.edited(older.card, at(4))
    (again,) = edits(store, at(4))
    assert (again.card.version, again.card.sent_version) == (3, 2)


def test_a_channel_rests_after_a_claim_too(store: Store) -> None:
    """Its claimant may die right after sending: nothing else may be posted there within the same second."""
    begin(store, firing("1"), at(0))
    begin(store, firing("2"), at(1))
    first, second = posts(store, at(2))[0].notice.id, notice(firing("2"), now=at(1)).id
    store.claim(first, ME, at(2))
    assert in_words(store, 2.9) == []
    assert store.claim(second, ME, at(2.9)) is Claimed.NOT_DUE  # from a list that it read before
    store.claimant_ended(ME, at(2.9))
    assert in_words(store, 2.99) == []
    assert in_words(store, 3) == ["PostCard 2"]
    assert store.claim(second, OTHER, at(3)) is Claimed.DONE


def test_a_line_cannot_be_claimed_before_its_card_is_posted(store: Store) -> None:
    """Another process found that its card is gone."""
    alert = begin_posted(store, firing())
    store.record(poll([rises(alert, at(5))], [line(alert, Reason.LEVEL_UP, now=at(5))], now=at(5)))
    (due,) = posts(store, at(5))
    store.repost(edits(store, at(5))[0].card, at(6), claimant=OTHER)
    assert store.claim(due.notice.id, ME, at(7)) is Claimed.NOT_DUE


def test_an_open_claim_outlives_a_later_try(store: Store) -> None:
    """`unknown` keeps it open during the pause."""
    begin(store, firing())
    (due,) = posts(store, at(0))
    store.claim(due.notice.id, ME, at(0))
    store.put_off(due.notice.id, at(10), "timeout", claimant=ME, unknown=True)
    (again,) = posts(store, at(10))
    assert (again.intent_at, again.attempts) == (at(0), 1)


def test_a_claim_from_before_the_clock_was_set_back_is_looked_for_at_once(store: Store) -> None:
    """A claim an hour ahead of now would hold the card back for an hour."""
    begin(store, firing())
    store.claim(posts(store, at(3600))[0].notice.id, ME, at(3600))
    assert in_words(store, 10) == ["PostCard 103"]
    assert in_words(store, 3599.9) == []  # two clocks a little apart: still on its way


def test_what_no_longer_waits_cannot_be_claimed(store: Store) -> None:
    """A second deliverer with an old list is stopped before it sends."""
    begin(store, firing())
    (due,) = posts(store, at(0))
    post(store, due, at(0))
    assert store.claim(due.notice.id, OTHER, at(1)) is Claimed.SETTLED
    with pytest.raises(StoreError, match="no notice nowhere"):
        store.claim("nowhere", ME, at(1))


def test_delivered_twice_is_delivered_once(store: Store) -> None:
    """The second mark changes nothing."""
    begin(store, firing())
    (due,) = posts(store, at(0))
    first = post(store, due, at(0))
    store.delivered(due.notice.id, Posted("C9", "9"), 1, at(9))
    store.record(poll([rises(store.alerts()[0], at(10))], now=at(10)))
    assert edits(store, at(10))[0].card.posted == first
    assert store.totals().cards_posted == 1


# Lines


def test_a_line_waits_for_its_card(store: Store) -> None:
    """It then has the place of the card."""
    alert = begin(store, firing())
    store.record(poll([rises(alert, at(1))], [line(alert, Reason.LEVEL_UP, now=at(1))], now=at(1)))
    (card,) = posts(store, at(2))
    assert isinstance(card, PostCard)
    posted = post(store, card, at(2))
    (due,) = posts(store, at(3))
    assert isinstance(due, PostLine)
    assert due.card.posted == posted
    assert due.notice.reason is Reason.LEVEL_UP


def test_a_line_goes_to_the_card_of_its_channel(store: Store) -> None:
    """An alert with two cards has two threads."""
    alert = begin_posted(store, firing(), channel="#a")
    store.record(poll(notices=[notice(alert, channel="#b", now=at(1))], now=at(1)))
    post(store, posts(store, at(1))[0], at(1), channel_id="CB")
    store.record(poll(notices=[line(alert, Reason.LEVEL_UP, now=at(2), channel=name) for name in ("#a", "#b")]))
    assert {due.notice.channel: due.card.posted.channel_id for due in posts(store, at(9))} == {  # type: ignore[union-attr]
        "#a": "C1",
        "#b": "CB",
    }


# Edits


def moved(alert: Alert, now: float) -> Change:
    return rises(alert, at(now))


def only_the_value(alert: Alert, now: float) -> Change:
    return new_value(alert, 99_000.0 + now, at(now))


def only_bookkeeping(alert: Alert, now: float) -> Change:
    return Change(alert, replace(alert, seen_at=at(now), missed=1), None, "not seen")


@pytest.mark.parametrize(
    ("change", "at_once", "after_a_minute"),
    [(moved, 1, 1), (only_the_value, 0, 1), (only_bookkeeping, 0, 0)],
    ids=["moved", "value", "nothing to see"],
)
def test_when_an_edit_is_due(
    store: Store, change: Callable[[Alert, float], Change], at_once: int, after_a_minute: int
) -> None:
    """A card posted at T0 and changed at 10 s: a move shows at once, a value after a minute, bookkeeping never."""
    alert = begin_posted(store, firing())
    store.record(poll([change(alert, 10)], now=at(10)))
    assert len(edits(store, at(10))) == at_once
    assert len(edits(store, at(59.999))) == at_once
    assert len(edits(store, at(60))) == after_a_minute


def test_a_reason_makes_an_edit_due_at_once(store: Store) -> None:
    """Even where state and level stayed."""
    alert = begin_posted(store, firing())
    change = replace(new_value(alert, 1.0, at(5)), reason=Reason.LEVEL_DOWN)
    store.record(poll([change], now=at(5)))
    assert len(edits(store, at(5))) == 1


def test_an_edit_of_before_the_clock_was_set_back_holds_none(store: Store) -> None:
    """A card that was posted six hours from now shows a changed value all the same."""
    alert = begin_posted(store, firing(), at(LONG_AHEAD))
    store.record(poll([only_the_value(alert, 10)], now=at(10)))
    assert len(edits(store, at(10))) == 1


def test_the_refresh_of_the_poll_counts(store: Store) -> None:
    """`slack.refresh` is a setting."""
    alert = begin_posted(store, firing())
    store.record(poll([new_value(alert, 1.0, at(5))], now=at(5), refresh=timedelta(seconds=10)))
    assert edits(store, at(9)) == []
    assert len(edits(store, at(10))) == 1


def test_many_changes_are_one_edit(store: Store) -> None:
    """The edit brings the newest version, and then nothing is due."""
    alert = begin_posted(store, firing())
    for second in range(1, 6):
        store.record(poll([new_value(alert, float(second), at(second))], now=at(second)))
    (edit,) = edits(store, at(60))
    assert (edit.card.version, edit.card.sent_version) == (6, 1)
    assert edit.card.members[0].peak == 5.0
    store.edited(edit.card, at(60))
    assert edits(store, at(9999)) == []
    assert store.totals().edits == 1


def test_the_card_that_is_outdated_for_longest_is_edited_first(store: Store) -> None:
    """A card that changes again and again does not lose its place to one that changed once."""
    first, second = (begin_posted(store, firing(entity), channel=f"#{entity}") for entity in ("first", "second"))
    store.record(poll([replace(new_value(first, 1.0, at(1)), reason=Reason.LEVEL_DOWN)], now=at(1)))
    store.record(poll([replace(new_value(second, 1.0, at(2)), reason=Reason.LEVEL_DOWN)], now=at(2)))
    store.record(poll([replace(new_value(first, 2.0, at(3)), reason=Reason.LEVEL_DOWN)], now=at(3)))
    assert in_words(store, 4) == ["EditCard first", "EditCard second"]


def test_a_value_after_an_edit_waits_again(store: Store) -> None:
    """The minute starts at the last edit, whatever caused it."""
    alert = begin_posted(store, firing())
    store.record(poll([rises(alert, at(30))], now=at(30)))
    (edit,) = edits(store, at(30))
    store.edited(edit.card, at(30))
    store.record(poll([new_value(one(store, alert), 1.0, at(45))], now=at(45)))
    assert edits(store, at(89)) == []
    assert len(edits(store, at(90))) == 1


@pytest.mark.parametrize("change", [moved, only_the_value])
def test_what_changes_during_an_edit_stays_due(store: Store, change: Callable[[Alert, float], Change]) -> None:
    """At once if it matters; a value that changed meanwhile waits its minute."""
    alert = begin_posted(store, firing())
    store.record(poll([replace(new_value(alert, 1.0, at(5)), reason=Reason.LEVEL_DOWN)], now=at(5)))
    (edit,) = edits(store, at(5))
    store.record(poll([change(one(store, alert), 6)], now=at(6)))
    store.edited(edit.card, at(7))
    assert len(edits(store, at(7))) == (1 if change is moved else 0)
    assert len(edits(store, at(67))) == 1


@pytest.mark.parametrize("change", [moved, only_the_value])
def test_what_changes_during_the_post_of_the_card_is_edited(
    store: Store, change: Callable[[Alert, float], Change]
) -> None:
    """The card is posted with the version that was drawn; the newer one follows."""
    alert = begin(store, firing())
    (due,) = posts(store, at(1))
    store.claim(due.notice.id, ME, at(1))
    store.record(poll([change(alert, 2)], now=at(2)))
    store.delivered(due.notice.id, Posted("C1", "1.0"), due.card.version, at(3))  # type: ignore[union-attr]
    assert len(edits(store, at(3))) == (1 if change is moved else 0)
    (edit,) = edits(store, at(63))
    assert (edit.card.version, edit.card.sent_version) == (2, 1)


def test_a_card_found_again_is_edited_at_once(store: Store) -> None:
    """Which version was posted is not known, so it is marked as none."""
    begin(store, firing())
    (due,) = posts(store, at(1))
    store.claim(due.notice.id, ME, at(1))
    store.delivered(due.notice.id, Posted("C1", "1.0"), 0, at(7))
    assert len(edits(store, at(7))) == 1


def test_an_edit_that_was_put_off_is_due_again(store: Store) -> None:
    """With its attempts counted; success resets them."""
    alert = begin_posted(store, firing())
    store.record(poll([rises(alert, at(1))], now=at(1)))
    (edit,) = edits(store, at(1))
    store.put_off_edit(edit.card.id, at(31), "ratelimited")
    assert edits(store, at(30)) == []
    (edit,) = edits(store, at(31))
    assert edit.attempts == 1
    store.edited(edit.card, at(31))
    store.record(poll([ends(one(store, alert), at(32))], now=at(32)))
    assert edits(store, at(32))[0].attempts == 0


def test_the_edit_that_closes_a_card_is_made_however_late(store: Store) -> None:
    """The bot was away for a month after the alert ended."""
    alert = begin_posted(store, firing())
    store.record(poll([ends(alert, at(5))], now=at(5)))
    month = 30 * 86_400
    (edit,) = edits(store, at(month))
    assert edit.card.members[0].ended_at == at(5)
    store.edited(edit.card, at(month))
    assert store.due(at(2 * month)) == []


# Ends before the card


def test_a_card_whose_alert_ended_first_is_posted_closed(store: Store) -> None:
    """Nothing is lost, and the lines that would repeat it are not posted."""
    alert = begin(store, firing())
    raised = rises(alert, at(1))
    store.record(poll([raised], [line(alert, Reason.LEVEL_UP, now=at(1), broadcast=True)], now=at(1)))
    over = ends(raised.after, at(2))
    store.record(poll([over], [line(raised.after, Reason.RESOLVED, now=at(2))], now=at(2)))
    (due,) = store.due(at(9))
    assert isinstance(due, PostCard)
    assert due.card.members[0].end_reason is Reason.RESOLVED
    post(store, due, at(9))
    assert store.due(at(99)) == []
    states = [entry.state for entry in store.notices_of(alert.id)]
    assert states == [NoticeState.DELIVERED, NoticeState.SHOWN_BY_CARD, NoticeState.SHOWN_BY_CARD]
    assert store.totals().waiting == 0


def test_an_end_during_the_post_of_the_card_is_reported_as_usual(store: Store) -> None:
    """The card was posted open: it is closed by an edit, and its thread gets a line."""
    alert = begin(store, firing())
    (due,) = posts(store, at(1))
    store.claim(due.notice.id, ME, at(1))
    store.record(poll([ends(alert, at(2))], [line(alert, Reason.RESOLVED, now=at(2))], now=at(2)))
    store.delivered(due.notice.id, Posted("C1", "1.0"), due.card.version, at(3))  # type: ignore[union-attr]
    assert sorted(in_words(store, 4)) == ["EditCard 103", "PostLine 103"]


# What cannot be delivered


def test_a_card_given_up_takes_its_lines_along(store: Store) -> None:
    """With its reason; the next rise tries again."""
    alert = begin(store, firing())
    store.record(poll([], [line(alert, Reason.LEVEL_UP, now=at(1))], now=at(1)))
    (due,) = posts(store, at(2))
    store.give_up(due.notice.id, "channel is archived", at(2))
    assert store.due(at(99)) == []
    entries = store.notices_of(alert.id)
    assert {(entry.state, entry.error, entry.settled_at) for entry in entries} == {
        (NoticeState.GIVEN_UP, "channel is archived", at(2))
    }
    assert store.totals().given_up == 2
    assert store.cards("acme") == {}
    late = line(alert, Reason.ACKNOWLEDGED, now=at(3))
    store.add_notices([late])
    assert store.notices_of(alert.id)[-1].error == "its card was given up"
    store.record(poll([rises(alert, at(9))], [notice(alert, reason=Reason.LEVEL_UP, now=at(9))], now=at(9)))
    (again,) = posts(store, at(9))
    assert isinstance(again, PostCard)
    post(store, again, at(9))
    assert store.cards("acme") == {alert.key: {SALES}}
    assert edits(store, at(99)) == []


def test_a_line_given_up_does_not_affect_its_card(store: Store) -> None:
    """Only that line is lost."""
    alert = begin_posted(store, firing())
    store.record(poll([], [line(alert, Reason.LEVEL_UP, now=at(1))], now=at(1)))
    store.give_up(posts(store, at(2))[0].notice.id, "too long", at(2))
    assert store.cards("acme") == {alert.key: {SALES}}
    assert store.totals().given_up == 1


def test_a_rerouted_card_takes_its_lines_along(store: Store) -> None:
    """Later posts for the channel that the rule names go there too."""
    alert = begin(store, firing())
    store.record(poll([], [line(alert, Reason.LEVEL_UP, now=at(1))], now=at(1)))
    (due,) = posts(store, at(2))
    store.claim(due.notice.id, ME, at(2))
    store.reroute(due.notice.id, "#cc-alerts", claimant=ME)
    (due,) = posts(store, at(3))
    assert isinstance(due, PostCard)
    assert (due.notice.channel, due.card.channel, due.intent_at) == ("#cc-alerts", "#cc-alerts", None)
    post(store, due, at(3), channel_id="C7")
    store.record(poll([], [line(alert, Reason.RESOLVED, now=at(4))], now=at(4)))
    for second, reason in ((5, Reason.LEVEL_UP), (7, Reason.RESOLVED)):
        (due,) = posts(store, at(second))
        assert isinstance(due, PostLine)
        assert (due.notice.channel, due.notice.reason, due.card.posted.channel_id) == ("#cc-alerts", reason, "C7")  # type: ignore[union-attr]
        post(store, due, at(second), channel_id="C7")


def test_a_rerouted_ops_notice_goes_elsewhere(store: Store) -> None:
    """It belongs to no card."""
    store.add_notices([ops("no data")])
    store.reroute(posts(store, at(1))[0].notice.id, SALES, claimant=ME)
    assert [due.notice.channel for due in posts(store, at(1))] == [SALES]


def test_rerouting_a_line_posts_its_card_again(store: Store) -> None:
    """A line cannot be posted without its card."""
    alert = begin_posted(store, firing())
    store.record(poll([ends(alert, at(1))], [line(alert, Reason.RESOLVED, now=at(1))], now=at(1)))
    (due,) = posts(store, at(2))
    store.reroute(due.notice.id, "#cc-alerts", claimant=ME)
    (due,) = store.due(at(3))
    assert isinstance(due, PostCard)
    assert due.card.channel == "#cc-alerts"
    post(store, due, at(3))
    assert store.due(at(99)) == []  # it was posted closed, which is what the line would have said


def test_a_card_whose_message_is_gone_is_posted_again(store: Store) -> None:
    """In its present state, mentioning no one a second time; its waiting lines follow into the new thread."""
    alert = begin(store, firing(), mention=("<!here>",))
    (due,) = posts(store, at(0))
    assert due.notice.mention == ("<!here>",)
    old = post(store, due, at(0))
    store.record(poll([rises(alert, at(5))], [line(alert, Reason.LEVEL_UP, now=at(5))], now=at(5)))
    store.claim(posts(store, at(5))[0].notice.id, ME, at(5))
    store.repost(edits(store, at(5))[0].card, at(6), claimant=ME)
    (due,) = store.due(at(12))
    assert isinstance(due, PostCard)
    assert (due.notice.id == notice(alert).id, due.notice.mention) == (False, ())
    assert due.card.members[0].level is Level.CRITICAL
    new = post(store, due, at(12))
    assert new != old
    (after,) = store.due(at(14))
    assert isinstance(after, PostLine)
    assert (after.card.posted, after.intent_at) == (new, None)
    assert store.totals().cards_posted == 2


def test_a_card_may_be_gone_more_than_once(store: Store) -> None:
    """Each time it is posted once."""
    begin_posted(store, firing())
    for round_ in (1, 2, 3):
        now = at(round_ * 100)
        store.record(poll([rises(replace(store.alerts()[0], level=Level.WARNING), now)], now=now))
        (edit,) = edits(store, now)
        store.repost(edit.card, now, claimant=ME)
        store.repost(edit.card, now, claimant=ME)
        (due,) = store.due(now)
        assert isinstance(due, PostCard)
        post(store, due, now)
        assert store.due(at(round_ * 100 + 50)) == []


def test_a_closed_card_whose_message_is_gone_is_given_up(store: Store) -> None:
    """Its alert has ended: there is nothing left to show, and its lines are given up with the reason."""
    alert = begin_posted(store, firing())
    store.record(poll([ends(alert, at(1))], [line(alert, Reason.RESOLVED, now=at(1))], now=at(1)))
    store.repost(edits(store, at(2))[0].card, at(2), claimant=ME)
    assert store.due(at(99)) == []
    last = store.notices_of(alert.id)[-1]
    assert (last.state, last.error) == (NoticeState.GIVEN_UP, "the card's message is gone, and its alert has ended")


def test_an_edit_that_lands_after_the_message_was_given_up_does_nothing(store: Store) -> None:
    """It belonged to the old message."""
    alert = begin_posted(store, firing())
    store.record(poll([rises(alert, at(1))], now=at(1)))
    (edit,) = edits(store, at(1))
    store.repost(edit.card, at(2), claimant=ME)
    store.edited(edit.card, at(3))
    (due,) = store.due(at(9))
    assert isinstance(due, PostCard)
    assert due.card.sent_version == 0


NO_CARD = Card(99, (firing(),), SALES, Posted("C1", "1"), 1, 0)


@pytest.mark.parametrize(
    "act",
    [
        lambda store: store.delivered("x", Posted("C1", "1"), 1, T0),
        lambda store: store.put_off("x", T0, "", claimant=ME, unknown=False),
        lambda store: store.give_up("x", "", T0),
        lambda store: store.reroute("x", "#a", claimant=ME),
        lambda store: store.edited(NO_CARD, T0),
        lambda store: store.put_off_edit(99, T0, ""),
        lambda store: store.repost(NO_CARD, T0, claimant=ME),
    ],
    ids=["delivered", "put_off", "give_up", "reroute", "edited", "put_off_edit", "repost"],
)
def test_marking_what_is_not_there_says_so(store: Store, act: Callable[[Store], None]) -> None:
    """A bug in alertbot raises an error."""
    with pytest.raises(StoreError, match="there is no"):
        act(store)


def test_a_storm_is_posted_one_by_one(store: Store) -> None:
    """A storm in one channel: one post per second, critical cards first, until all are posted."""
    for entity in range(6):
        level = Level.CRITICAL if entity in (2, 4) else Level.WARNING
        begin(store, firing(str(entity), level=level), at(entity))
    order = []
    for second in range(10, 16):
        (due,) = posts(store, at(second))
        assert isinstance(due, PostCard)
        order.append(due.card.members[0].key.entity_id)
        post(store, due, at(second))
    assert order == ["2", "4", "0", "1", "3", "5"]
    assert store.due(at(99)) == []


# Edits that Slack refuses, and messages that are left behind


def test_all_edits_wait_or_those_of_one_channel(store: Store) -> None:
    """A hold of edits keeps no post, and `next_due` knows of it."""
    for entity, channel in (("1", "C1"), ("2", "C2")):
        alert = begin_posted(store, firing(entity), channel=channel)
        store.record(poll([rises(alert, at(10))], now=at(10)))
    begin(store, firing("3"), at(10), "C3")
    edit_1 = next(edit for edit in edits(store, at(10)) if edit.card.members[0].key.entity_id == "1")
    assert edit_1.card.posted is not None
    store.hold_edits(at(30), edit_1.card.posted.channel_id)
    held = [word for word in in_words(store, 20) if word.startswith("Edit")]
    store.hold_edits(at(40))
    assert in_words(store, 39) == ["PostCard 3"]
    assert len(held) <= 1
    post(store, posts(store, at(39))[0], at(39))
    assert store.next_due(at(39)) == at(40)
    assert sorted(in_words(store, 41)) == ["EditCard 1", "EditCard 2"]


def test_a_message_left_behind_is_due_until_it_shows_the_end(store: Store) -> None:
    """Kept where the channel did not work; each version is an edit of both messages."""
    alert = begin_posted(store, firing())
    store.record(poll([rises(alert, at(5))], now=at(5)))
    (edit,) = edits(store, at(5))
    assert store.repost(edit.card, at(6), claimant=ME, keep=True)
    post(store, posts(store, at(6))[0], at(6))
    (left,) = edits(store, at(7))
    assert (left.former, left.card.posted) == (True, edit.card.posted)
    store.put_off_edit(left.card.id, at(20), "not_in_channel", former=left.card.posted)
    assert edits(store, at(19)) == []
    (left,) = edits(store, at(20))
    assert left.attempts == 1
    store.edited(left.card, at(20))
    assert edits(store, at(21)) == []
    store.record(poll([ends(one(store, firing()), at(30))], now=at(30)))
    assert sorted(each.former for each in edits(store, at(30))) == [False, True]
    for each in edits(store, at(30)):
        store.edited(each.card, at(31))
    assert edits(store, at(32)) == []


def test_a_card_is_left_behind_once_in_a_channel(store: Store) -> None:
    """Another one would be refused as well; and an ended card keeps its message."""
    alert = begin_posted(store, firing())
    store.record(poll([rises(alert, at(5))], now=at(5)))
    (edit,) = edits(store, at(5))
    assert store.repost(edit.card, at(6), claimant=ME, keep=True)
    post(store, posts(store, at(6))[0], at(6))
    store.record(poll([new_value(one(store, firing()), 1.0, at(70))], now=at(70)))
    (main,) = [each for each in edits(store, at(200)) if not each.former]
    assert not store.repost(main.card, at(200), claimant=ME, keep=True)
    store.record(poll([ends(one(store, firing()), at(210))], now=at(210)))
    (main,) = [each for each in edits(store, at(211)) if not each.former]
    assert not store.repost(main.card, at(211), claimant=ME, keep=True)


def test_an_ended_card_is_closed_in_its_thread_once(store: Store) -> None:
    """A line is added where there is none; it counts once it is delivered."""
    alert = begin_posted(store, firing())
    store.record(poll([ends(alert, at(5))], now=at(5)))
    (edit,) = edits(store, at(5))
    assert not store.close_in_thread(edit.card, at(6))
    assert not store.close_in_thread(edit.card, at(7))
    (closing,) = posts(store, at(8))
    assert isinstance(closing, PostLine)
    assert closing.notice.reason is Reason.RESOLVED
    post(store, closing, at(8))
    assert store.close_in_thread(edit.card, at(9))


def test_waiting_for_its_turn_is_not_overdue(store: Store) -> None:
    """One message a second and channel: what was not tried counts from the last post in its channel."""
    assert store.overdue_since(at(0)) is None
    for entity in ("1", "2"):
        begin(store, firing(entity), at(0))
    assert store.overdue_since(at(200)) == at(0)
    post(store, posts(store, at(200))[0], at(200))
    assert store.overdue_since(at(210)) == at(200)
    (second,) = posts(store, at(210))
    store.claim(second.notice.id, ME, at(210))
    store.put_off(second.notice.id, at(220), "timeout", claimant=ME, unknown=False)
    assert store.overdue_since(at(211)) == at(0)


def test_no_more_is_due_than_can_be_begun_with(store: Store) -> None:
    """Posts and edits of other channels than those that are busy, and of each channel the first."""
    for entity, channel in (("1", "#a"), ("2", "#a"), ("3", "#b"), ("4", "#c")):
        now = at(10 * int(entity))
        begin(store, firing(entity), now, channel=channel)
        (first,) = posts(store, now)
        post(store, first, now, channel_id=f"C-{channel}")
        store.record(poll([rises(one(store, firing(entity)), now)], now=now))
    for entity, channel in (("5", "#a"), ("6", "#b"), ("7", "#c")):
        begin(store, firing(entity, level=Level.CRITICAL), at(50), channel=channel)

    def due(capacity: Capacity | None) -> list[str]:
        found = store.due(at(100), capacity=capacity)
        return [f"edit {leading(each.card.members).key.entity_id}" for each in found if isinstance(each, EditCard)] + [
            f"post {each.card.members[0].key.entity_id}" for each in found if isinstance(each, PostCard)
        ]

    assert due(None) == ["edit 1", "edit 2", "edit 3", "edit 4", "post 5", "post 6", "post 7"]
    assert due(Capacity(9, 9)) == ["edit 1", "edit 3", "edit 4", "post 5", "post 6", "post 7"]
    assert due(Capacity(1, 2)) == ["edit 1", "edit 3", "post 5"]
    assert due(Capacity(1, 1, frozenset({"#a"}), frozenset({"C-#a", "C-#b"}))) == ["edit 4", "post 6"]
    assert due(Capacity(0, 1)) == ["edit 1"]
    assert due(Capacity(1, 0)) == ["post 5"]
