"""The contract of a store for several processes that deliver: what one of them claimed keeps the others away."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest

from alertbot.alerts.cards import Posted
from alertbot.alerts.delivery import Claimed, Due, EditCard, PostCard
from alertbot.store.roles import Store
from alertbot.store.sql.edits import MAX_A_MINUTE, REFRESHES_A_MINUTE, SLACK_ALLOWS
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import (
    SALES,
    T0,
    at,
    begin,
    begin_posted,
    begins,
    edits,
    ends,
    firing,
    new_value,
    notice,
    one,
    poll,
    post,
    posts,
    rises,
)

ONE, OTHER = "one process", "another process"


def due_for(store: Store, claimant: str, now: float) -> list[str]:
    """The entities of the cards that this process may post."""
    found = store.due(at(now), claimant=claimant)
    return [each.card.members[0].key.entity_id for each in found if isinstance(each, PostCard)]


@pytest.fixture
def claimed(store: Store) -> str:
    """`ONE` posts a card in a channel in which a second one waits, and others in another channel; the first's id."""
    begin(store, firing("slow"), at(0))
    begin(store, firing("waits"), at(1))
    begin(store, firing("elsewhere"), at(2), "#elsewhere")
    first = next(each for each in posts(store, at(5)) if each.notice.channel == SALES)
    assert store.claim(first.notice.id, ONE, at(5)) is Claimed.DONE
    return first.notice.id


Event = Callable[[Store, str], None]

# What happens 8 s after the start, and from when the other process may post: which card, and when.
EVENTS: dict[str, tuple[Event, str, float]] = {
    "its outcome stays unknown": (lambda store, notice: None, "slow", 25),
    "it has posted": (lambda store, notice: store.delivered(notice, Posted("C1", "1.0"), 1, at(8)), "waits", 9),
    "it was refused": (
        lambda store, notice: store.put_off(notice, at(60), "503", claimant=ONE, unknown=False),
        "waits",
        8,
    ),
    "it gave up, the outcome unknown": (
        lambda store, notice: store.put_off(notice, at(60), "timeout", claimant=ONE, unknown=True),
        "waits",
        8,
    ),
    "it has ended": (lambda store, notice: store.claimant_ended(ONE, at(8)), "waits", 8),
    "a third process has ended": (lambda store, notice: store.claimant_ended("a third process", at(8)), "slow", 25),
    "another process put it off": (
        lambda store, notice: store.put_off(notice, at(60), "503", claimant=OTHER, unknown=False),
        "waits",
        25,
    ),
    "the notice is given up": (lambda store, notice: store.give_up(notice, "no", at(8)), "waits", 8),
}


@pytest.mark.parametrize(("event", "card", "free_at"), EVENTS.values(), ids=EVENTS)
def test_how_long_a_post_keeps_others_from_its_channel(
    store: Store, claimed: str, event: Event, card: str, free_at: float
) -> None:
    """Until its outcome is known or its claim runs out; what it posted itself, and other channels, are not kept."""
    (second,) = [each for each in store.due(at(7.9), claimant=ONE) if each_in(each, SALES)]
    assert isinstance(second, PostCard)
    assert due_for(store, OTHER, 7.9) == ["elsewhere"]
    assert store.claim(second.notice.id, OTHER, at(7.9)) is Claimed.NOT_DUE
    event(store, claimed)
    if free_at > 8:
        assert due_for(store, OTHER, free_at - 0.01) == ["elsewhere"]
        assert store.claim(second.notice.id, OTHER, at(free_at - 0.01)) is Claimed.NOT_DUE
    assert sorted(due_for(store, OTHER, free_at)) == sorted(["elsewhere", card])
    assert store.claim(second.notice.id, OTHER, at(free_at)) is Claimed.DONE


def waiting(store: Store) -> str:
    """The notice of the card that waits in the channel of `claimed`."""
    (alert,) = [alert for alert in store.alerts() if alert.key.entity_id == "waits"]
    return store.notices_of(alert.id)[0].notice.id


def each_in(due: Due, channel: str) -> bool:
    return isinstance(due, PostCard) and due.notice.channel == channel


def test_two_spellings_of_a_channel_are_one_place(store: Store) -> None:
    """#name and id, once an answer named the id: a post in one of them keeps all others from both."""
    begin_posted(store, firing("known"), channel=SALES)
    begin(store, firing("by name"), at(10), SALES)
    begin(store, firing("by id"), at(11), "C1")
    (first,) = posts(store, at(20))
    assert store.claim(first.notice.id, ONE, at(20)) is Claimed.DONE
    assert (due_for(store, ONE, 22), due_for(store, OTHER, 22)) == ([], [])
    (second,) = [entry.notice.id for entry in store.notices_of(one(store, firing("by id")).id)]
    for claimant in (ONE, OTHER):
        assert store.next_due(at(22), claimant=claimant) == at(40)
        assert store.claim(second, claimant, at(22)) is Claimed.NOT_DUE
    store.delivered(first.notice.id, Posted("C1", "2.0"), 1, at(25))
    assert due_for(store, OTHER, 26) == ["by id"]


def test_when_the_next_post_can_be_tried(store: Store) -> None:
    """By another process after the claim in its channel; by the same one as soon as the channel has rested."""
    begin(store, firing("slow"), at(0))
    begin(store, firing("waits"), at(1))
    (first,) = posts(store, at(5))
    store.claim(first.notice.id, ONE, at(5))
    assert store.next_due(at(7), claimant=ONE) == at(7)
    assert store.next_due(at(7), claimant=OTHER) == at(25)
    store.put_off(first.notice.id, at(90), "timeout", claimant=ONE, unknown=True)
    assert store.next_due(at(7), claimant=OTHER) == at(7)


def test_a_claim_from_before_the_clock_was_set_back_keeps_nobody_away(store: Store) -> None:
    begin(store, firing("slow"), at(0))
    begin(store, firing("waits"), at(1))
    (first,) = posts(store, at(3600))
    store.claim(first.notice.id, ONE, at(3600))
    assert due_for(store, OTHER, 10) == ["slow"]


@pytest.mark.parametrize(
    "mark",
    [
        lambda store, notice: store.put_off(notice, at(21), "late", claimant=ONE, unknown=False),
        lambda store, notice: store.reroute(notice, SALES, claimant=ONE),
    ],
    ids=["put off", "rerouted"],
)
def test_the_message_of_a_replaced_claim_counts_once(mark: Event) -> None:
    """Of `max_messages`: the first process was stopped, and did not send. The message of the other one still counts."""
    with closing(SqliteStore(":memory:", max_messages=1)) as store:
        begin(store, firing("1"), at(0))
        begin(store, firing("2"), at(1))
        (first,) = posts(store, at(1))
        store.claim(first.notice.id, ONE, at(1))
        assert store.claim(first.notice.id, OTHER, at(62), at(1)) is Claimed.DONE
        mark(store, first.notice.id)
        store.delivered(first.notice.id, Posted("C1", "1.0"), 1, at(63))
        assert due_for(store, OTHER, 121) == []
        assert due_for(store, OTHER, 122) == ["2"]


# Edits


@pytest.fixture
def edit(store: Store) -> EditCard:
    """A posted card that shows its first state, while its alert has ended since."""
    alert = begin_posted(store, firing())
    store.record(poll([ends(alert, at(5))], now=at(5)))
    (found,) = edits(store, at(5))
    return found


EditEvent = Callable[[Store, EditCard], None]

# What happens 8 s after the start, and from when another process may edit the message, if it is outdated then.
EDIT_EVENTS: dict[str, tuple[EditEvent, float | None]] = {
    "its outcome stays unknown": (lambda store, edit: None, 26),
    "it has edited": (lambda store, edit: store.edited(edit.card, at(8), claimant=ONE), None),
    "it was refused": (lambda store, edit: store.put_off_edit(edit.card.id, at(10), "503", claimant=ONE), 10),
    "another process put it off": (
        lambda store, edit: store.put_off_edit(edit.card.id, at(10), "503", claimant=OTHER),
        26,
    ),
    "it has ended": (lambda store, edit: store.claimant_ended(ONE, at(8)), 13),
    "it is silent, and its call may last": (lambda store, edit: store.claimant_ended(ONE, at(8), certain=False), 26),
    "it is silent, and its call is over": (lambda store, edit: store.claimant_ended(ONE, at(16), certain=False), 21),
    "a third process has ended": (lambda store, edit: store.claimant_ended("a third process", at(8)), 26),
    "the message is gone": (lambda store, edit: store.repost(edit.card, at(8), claimant=ONE), None),
}


@pytest.mark.parametrize(("event", "free_at"), EDIT_EVENTS.values(), ids=EDIT_EVENTS)
def test_how_long_an_edit_keeps_others_from_its_message(
    store: Store, edit: EditCard, event: EditEvent, free_at: float | None
) -> None:
    """Until its outcome is known or its claim runs out: an older state is never sent after a newer one."""
    assert store.claim_edit(edit, ONE, at(6)) is Claimed.DONE
    assert store.claimants() == [ONE]
    assert store.claim_edit(edit, OTHER, at(7)) is Claimed.TAKEN
    assert (store.due(at(7), claimant=OTHER), store.next_due(at(7), claimant=OTHER)) == ([], at(26))
    assert store.due(at(7), claimant=ONE) == [edit]
    event(store, edit)
    if free_at is None:
        assert edits_for(store, OTHER, 100) == []
        assert store.claim_edit(edit, OTHER, at(100)) is Claimed.SETTLED
        return
    assert edits_for(store, OTHER, free_at - 0.01) == []
    (again,) = edits_for(store, OTHER, free_at)
    assert store.claim_edit(again, OTHER, at(free_at)) is Claimed.DONE


def edits_for(store: Store, claimant: str, now: float) -> list[EditCard]:
    return [each for each in store.due(at(now), claimant=claimant) if isinstance(each, EditCard)]


def test_an_old_list_of_what_is_due_edits_nothing(store: Store) -> None:
    """A process read it, and was stopped. Meanwhile another one showed a newer state."""
    alert = begin_posted(store, firing())
    store.record(poll([rises(alert, at(5))], now=at(5)))
    (old,) = edits(store, at(5))
    store.record(poll([ends(one(store, alert), at(10))], now=at(10)))
    (new,) = edits(store, at(10))
    assert store.claim_edit(new, OTHER, at(10)) is Claimed.DONE
    store.edited(new.card, at(11), claimant=OTHER)
    assert store.claim_edit(old, ONE, at(70)) is Claimed.SETTLED


def test_a_late_answer_makes_the_card_outdated_again(store: Store) -> None:
    """Of a process that was stopped while it was sending: its message is newer than that of the other one."""
    alert = begin_posted(store, firing())
    store.record(poll([rises(alert, at(5))], now=at(5)))
    (old,) = edits(store, at(5))
    assert store.claim_edit(old, ONE, at(5)) is Claimed.DONE
    store.record(poll([ends(one(store, alert), at(10))], now=at(10)))
    (new,) = edits(store, at(30))
    assert store.claim_edit(new, OTHER, at(30)) is Claimed.DONE
    store.edited(old.card, at(31), claimant=ONE)
    assert store.claimants() == [OTHER]
    store.edited(new.card, at(32), claimant=OTHER)
    assert edits(store, at(100)) == []
    store.edited(old.card, at(101), claimant=ONE)
    (again,) = edits(store, at(101))
    assert again.card.version == new.card.version


def test_a_former_message_is_claimed_by_itself(store: Store) -> None:
    """The message that a card left behind, and the one that it has now, are edited side by side."""
    alert = begin_posted(store, firing())
    store.record(poll([rises(alert, at(5))], now=at(5)))
    (left,) = edits(store, at(5))
    assert store.repost(left.card, at(6), claimant=ONE, keep=True)
    (card,) = posts(store, at(7))
    post(store, card, at(7), channel_id="C2")
    store.record(poll([ends(one(store, alert), at(10))], now=at(10)))
    now, former = sorted(edits(store, at(10)), key=lambda edit: edit.former)
    assert store.claim_edit(former, ONE, at(10)) is Claimed.DONE
    assert edits_for(store, OTHER, 11) == [now]
    assert store.claim_edit(now, OTHER, at(11)) is Claimed.DONE
    store.forget_former(former.card, claimant=ONE)
    assert store.claimants() == [OTHER]
    assert store.claim_edit(former, OTHER, at(12)) is Claimed.SETTLED


@pytest.fixture
def many(store: Store) -> list[EditCard]:
    """As many edits as a minute allows, and one more card that is outdated too: all ended."""
    alerts = [firing(str(number)) for number in range(MAX_A_MINUTE + 1)]
    notices = [notice(alert, channel=f"#{alert.key.entity_id}") for alert in alerts]
    store.record(poll([begins(alert) for alert in alerts], notices))
    while due := posts(store, T0):
        for each in due:
            post(store, each, T0, channel_id=f"C{each.notice.channel}")
    store.record(poll([ends(one(store, alert), at(5)) for alert in alerts], now=at(5)))
    found = edits(store, at(5))
    assert len(found) == MAX_A_MINUTE
    return found


# What happens at 8 s to an edit that was claimed at 6 s, and until when it counts.
COUNTED: dict[str, tuple[EditEvent, float]] = {
    "its outcome stays unknown": (lambda store, edit: None, 76),
    "it was answered": (lambda store, edit: store.edited(edit.card, at(8), claimant=ONE), 68),
    "there was no answer": (lambda store, edit: store.put_off_edit(edit.card.id, at(10), "timeout", claimant=ONE), 76),
    "it was not sent": (
        lambda store, edit: store.put_off_edit(edit.card.id, at(90), "429", claimant=ONE, sent=False),
        31,  # when it is looked at
    ),
    "its claimant has ended": (lambda store, edit: store.claimant_ended(ONE, at(8)), 76),
    "its message is gone": (lambda store, edit: store.repost(edit.card, at(8), claimant=ONE), 76),
}


@pytest.mark.parametrize(("event", "until"), COUNTED.values(), ids=COUNTED)
def test_until_when_an_edit_counts(store: Store, many: list[EditCard], event: EditEvent, until: float) -> None:
    """For all processes, from its claim on: as one that is sent as late as it can be, until its answer is known."""
    first, *others = many
    assert store.claim_edit(first, ONE, at(6)) is Claimed.DONE
    event(store, first)
    for edit in others:
        assert store.claim_edit(edit, ONE, at(30)) is Claimed.DONE
    assert store.next_due(at(31), claimant=OTHER) == at(until)
    if until > 31:
        assert edits_for(store, OTHER, until - 0.01) == []
    assert len(edits_for(store, OTHER, until)) == 1


def test_old_lists_of_several_processes_stay_within_the_limit(store: Store, many: list[EditCard]) -> None:
    """Each read that all of them are due; the claims count, and one that is claimed again counts once."""
    first, second, *_ = many
    for edit in many:
        assert store.claim_edit(edit, ONE, at(6)) is Claimed.DONE
        assert store.claim_edit(edit, ONE, at(6)) is Claimed.DONE
    store.put_off_edit(first.card.id, at(7), "timeout", claimant=ONE)
    assert store.claim_edit(first, OTHER, at(8)) is Claimed.NOT_DUE
    store.put_off_edit(second.card.id, at(7), "429", claimant=ONE, sent=False)
    assert store.claim_edit(first, OTHER, at(8)) is Claimed.DONE
    assert store.claim_edit(second, "a third process", at(8)) is Claimed.NOT_DUE


def test_values_that_changed_leave_room_in_all_processes(store: Store) -> None:
    """Also where each of them read that there was room for its own."""
    alerts = [
        begin_posted(store, firing(str(number)), channel=f"#{number}") for number in range(REFRESHES_A_MINUTE + 1)
    ]
    store.record(poll([new_value(one(store, alert), 90_000.0, at(90)) for alert in alerts], now=at(90)))
    listed = edits(store, at(90))
    assert len(listed) == REFRESHES_A_MINUTE
    for edit in listed:
        assert store.claim_edit(edit, ONE, at(90)) is Claimed.DONE
    store.put_off_edit(listed[0].card.id, at(91), "timeout", claimant=ONE)
    assert store.claim_edit(listed[0], OTHER, at(92)) is Claimed.NOT_DUE
    shown = listed[0].card.members[0]
    store.record(poll([rises(one(store, shown), at(93))], now=at(93)))
    (urgent,) = edits_for(store, OTHER, 93)
    assert urgent.card.id == listed[0].card.id
    assert store.claim_edit(urgent, OTHER, at(93)) is Claimed.DONE


def test_messages_that_are_closed_as_duplicates_count_too(store: Store, many: list[EditCard]) -> None:
    """Slack's limit is a little higher than that of cards, so that there is room for a few of them."""
    for edit in many:
        assert store.claim_edit(edit, ONE, at(6)) is Claimed.DONE
    left = SLACK_ALLOWS - MAX_A_MINUTE
    assert [store.may_close_duplicate(at(7)) for _ in range(left + 1)] == [True] * left + [False]
    for edit in many:
        store.edited(edit.card, at(8), claimant=ONE)
    assert edits_for(store, OTHER, 66.9) == []
    assert store.may_close_duplicate(at(67))
    store.hold_edits(at(300))
    assert not store.may_close_duplicate(at(200))


def test_an_edit_of_before_the_clock_was_set_back_keeps_nobody_away(store: Store) -> None:
    alert = begin_posted(store, firing())
    store.record(poll([ends(alert, at(5))], now=at(5)))
    (edit,) = edits(store, at(5))
    assert store.claim_edit(edit, ONE, at(3600)) is Claimed.DONE
    assert edits_for(store, OTHER, 10) == [edit]
    assert store.claim_edit(edit, OTHER, at(10)) is Claimed.DONE


@pytest.mark.parametrize(("at_", "free_at"), [(8, 25), (15, 20)], ids=["its call may last", "its call is over"])
def test_a_post_of_a_process_that_is_silent(store: Store, claimed: str, at_: float, free_at: float) -> None:
    """It may be alive, so its claim ends early only when its call must be over, 10 s after it."""
    store.claimant_ended(ONE, at(at_), certain=False)
    assert store.claim(waiting(store), OTHER, at(at_)) is (Claimed.DONE if at_ == 15 else Claimed.NOT_DUE)
    (entry,) = store.notices_of(next(alert.id for alert in store.alerts() if alert.key.entity_id == "slow"))
    assert store.claim(entry.notice.id, "a third", at(free_at - 0.01), at(5)) is Claimed.TAKEN
    store.put_off(waiting(store), at(90), "503", claimant=OTHER, unknown=False)
    assert due_for(store, "a third", free_at) == ["slow", "elsewhere"]
