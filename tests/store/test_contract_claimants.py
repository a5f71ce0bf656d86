"""The contract of a store for several processes that deliver: what one of them claimed keeps the others away."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest

from alertbot.alerts.cards import Posted
from alertbot.alerts.delivery import Claimed, Due, PostCard
from alertbot.store.roles import Store
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import SALES, at, begin, begin_posted, firing, posts

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
    "nothing is heard of it": (lambda store, notice: None, "slow", 25),
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


def each_in(due: Due, channel: str) -> bool:
    return isinstance(due, PostCard) and due.notice.channel == channel


def test_two_spellings_of_a_channel_are_one_place(store: Store) -> None:
    """#name and id, once an answer named the id: a post in one of them keeps others from both."""
    begin_posted(store, firing("known"), channel=SALES)
    begin(store, firing("by name"), at(10), SALES)
    begin(store, firing("by id"), at(11), "C1")
    (first,) = posts(store, at(20))
    assert store.claim(first.notice.id, ONE, at(20)) is Claimed.DONE
    (second,) = store.due(at(22), claimant=ONE)
    assert isinstance(second, PostCard)
    assert (second.notice.channel, due_for(store, OTHER, 22)) == ("C1", [])
    assert store.claim(second.notice.id, OTHER, at(22)) is Claimed.NOT_DUE
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
