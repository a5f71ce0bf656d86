"""Operational messages with a thread: what follows is due once the message stands in Slack, each text once."""

from __future__ import annotations

from dataclasses import replace

from alertbot.alerts.cards import Posted
from alertbot.alerts.delivery import PostOps
from alertbot.store.roles import Store
from tests.store.build import ME, T0, at, ops, post, posts

DIGEST = replace(ops("digest"), replies=("first", "second", "third"))


def due(store: Store, seconds: float) -> PostOps:
    (item,) = posts(store, at(seconds))
    assert isinstance(item, PostOps)
    return item


def test_replies_follow_in_their_order(store: Store) -> None:
    """One after the other, in the thread of the message, in its channel."""
    store.add_notices([DIGEST])
    first = due(store, 0)
    assert (first.notice, first.thread) == (DIGEST, None)
    posted = post(store, first, at(0))
    assert posts(store, at(0.5)) == []  # the channel rests
    for number, text in enumerate(DIGEST.replies, start=1):
        item = due(store, 2.0 * number)
        assert (item.notice.text, item.thread, item.notice.channel) == (text, posted, "#cc-ops")
        post(store, item, at(2.0 * number))
    assert posts(store, at(60)) == []
    assert store.totals().waiting == 0


def test_a_reply_waits_for_its_message(store: Store) -> None:
    """Nothing of it is due before, nor if the message is given up."""
    store.add_notices([DIGEST])
    store.give_up(due(store, 0).notice.id, "refused", at(1))
    assert posts(store, at(60)) == []


def test_a_message_is_added_once(store: Store) -> None:
    """Also when it was delivered, and when its outcome is reported twice."""
    store.add_notices([DIGEST])
    item = due(store, 0)
    posted = post(store, item, at(0))
    store.delivered(item.notice.id, posted, 0, at(1))
    store.add_notices([DIGEST])
    assert [entry.notice.text for entry in store.notices_of(None)] == ["digest", "first", "second", "third"]


def test_in_another_channel_a_reply_stands_alone(store: Store) -> None:
    """Its thread is in the channel that does not work."""
    store.add_notices([DIGEST])
    post(store, due(store, 0), at(0))
    reply = due(store, 2)
    store.reroute(reply.notice.id, "#cc-alerts", claimant=ME)
    (moved,) = [item for item in posts(store, at(2)) if item.notice.id == reply.notice.id]
    assert isinstance(moved, PostOps)
    assert (moved.notice.channel, moved.thread) == ("#cc-alerts", None)


def test_a_message_that_moved_has_its_thread_there(store: Store) -> None:
    store.add_notices([DIGEST])
    store.reroute(due(store, 0).notice.id, "#cc-alerts", claimant=ME)
    posted = post(store, due(store, 0), at(0), channel_id="C2")
    reply = due(store, 2)
    assert (reply.notice.channel, reply.thread) == ("#cc-alerts", posted)
    assert posted == Posted("C2", posted.ts)


def test_without_replies_nothing_follows(store: Store) -> None:
    store.add_notices([ops("alone", now=T0)])
    post(store, due(store, 0), at(0))
    assert posts(store, at(60)) == []
