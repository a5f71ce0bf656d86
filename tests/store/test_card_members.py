"""A card with two members on SQLite. No code puts several alerts on a card yet, so the tests add the second one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from alertbot.alerts.alert import Alert, Reason
from alertbot.alerts.cards import Posted
from alertbot.alerts.delivery import PostCard, PostLine
from alertbot.errors import StoreError
from alertbot.rules.rule import Level
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import (
    ME,
    T0,
    at,
    begin,
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
    poll,
    post,
    posts,
    rises,
)


@dataclass
class Pair:
    """The posted card 1 in #cc-sales: its alert, and the alert that joined it."""

    store: SqliteStore
    first: Alert
    second: Alert

    def versions(self) -> list[tuple[int, int]]:
        """Id and version of the cards that are due for an edit."""
        return [(edit.card.id, edit.card.version) for edit in edits(self.store, at(9999))]


@pytest.fixture
def pair() -> Iterator[Pair]:
    store = SqliteStore(":memory:")
    first = begin_posted(store, firing("101"))
    store.record(poll([begins(firing("102"))], now=at(2)))
    second = one(store, firing("102"))
    with store._db.write() as conn:
        conn.execute("INSERT INTO card_alerts (card_id, alert_id) VALUES (1, ?)", (second.id,))
    yield Pair(store, first, second)
    store.close()


@pytest.mark.parametrize("entity", ["101", "102"], ids=["its first member", "the one that joined"])
def test_a_change_of_any_member_makes_the_card_due(pair: Pair, entity: str) -> None:
    """The version belongs to the card; the edit carries both alerts as they are."""
    changed = one(pair.store, firing(entity))
    pair.store.record(poll([new_value(changed, 5.0, at(3))], now=at(3)))
    (edit,) = edits(pair.store, at(9999))
    assert (edit.card.id, edit.card.version, edit.card.sent_version) == (1, 2, 1)
    assert [member.id for member in edit.card.members] == [pair.first.id, pair.second.id]
    assert {member.peak for member in edit.card.members} == {72_000.0, 5.0}


def test_an_acknowledgement_of_a_member_is_an_edit_and_a_line(pair: Pair) -> None:
    """The line names the member that has an owner now."""
    assert pair.second.id is not None
    pair.store.acknowledge(pair.second.id, "U1", "", at(3))
    assert pair.versions() == [(1, 2)]
    (due,) = posts(pair.store, at(3))
    assert isinstance(due, PostLine)
    assert (due.card.id, due.alert.id, due.notice.reason) == (1, pair.second.id, Reason.ACKNOWLEDGED)


def test_both_members_have_their_card_in_the_channel(pair: Pair) -> None:
    """So what follows about either is a line in that thread, and so is a second card notice."""
    assert pair.store.cards("acme") == {key("101"): {"#cc-sales"}, key("102"): {"#cc-sales"}}
    pair.store.record(
        poll([rises(pair.second, at(3))], [line(pair.second, Reason.LEVEL_UP, now=at(3))], now=at(3)),
    )
    pair.store.add_notices([notice(pair.second, now=at(4))])
    first, _ = (entry.notice.kind for entry in pair.store.notices_of(pair.second.id))
    (due,) = posts(pair.store, at(9))
    assert isinstance(due, PostLine)
    assert (first, due.card.id, due.card.posted) == ("line", 1, Posted("C1", f"{T0.timestamp():.6f}"))


def test_a_card_ends_with_its_last_member(pair: Pair) -> None:
    """After the first end the card still belongs to the other alert, and can be posted again."""
    store = pair.store
    store.record(poll([ends(pair.first, at(3))], now=at(3)))
    assert store.cards("acme") == {key("102"): {"#cc-sales"}}
    store.repost(edits(store, at(4))[0].card, at(4), claimant=ME)
    (again,) = posts(store, at(4))
    assert isinstance(again, PostCard)
    post(store, again, at(4))
    store.record(poll([ends(pair.second, at(5))], now=at(5)))
    assert store.cards("acme") == {}
    store.repost(edits(store, at(6))[0].card, at(6), claimant=ME)
    assert store.due(at(9999)) == []


def test_members_that_end_in_one_poll_end_the_card(pair: Pair) -> None:
    """The order of the changes does not matter."""
    pair.store.record(poll([ends(pair.first, at(3)), ends(pair.second, at(3))], now=at(3)))
    (edit,) = edits(pair.store, at(3))
    assert [member.ended_at for member in edit.card.members] == [at(3), at(3)]
    with pair.store._db.read() as conn:
        assert conn.execute("SELECT ended_at FROM cards").fetchone()[0] is not None


def test_a_card_waits_with_the_level_of_its_worst_open_member(pair: Pair) -> None:
    """An edit of a card with a critical member precedes one without; a member that has ended does not count."""
    store = pair.store
    other = begin(store, firing("103"), at(3), "#cc-floor")
    for due in posts(store, at(3)):
        post(store, due, at(3))
    store.record(poll([rises(pair.second, at(5)), new_value(other, 1.0, at(4))], now=at(5)))
    assert [edit.card.id for edit in edits(store, at(9999))] == [1, 2]
    critical = one(store, pair.second)
    store.record(poll([rises(other, at(6)), ends(critical, at(6))], now=at(6)))
    assert [edit.card.id for edit in edits(store, at(9999))] == [2, 1]
    assert [member.level for member in edits(store, at(9999))[1].card.members] == [Level.WARNING, Level.CRITICAL]


def test_a_group_has_one_open_card_in_a_channel(pair: Pair) -> None:
    """The database refuses a second one until the first has ended."""
    copy = (
        "INSERT INTO cards (tenant, group_key, channel, wanted_channel, state, version, urgent_version, sent_version, "
        "refresh_seconds) SELECT tenant, group_key, channel, wanted_channel, 'waiting', 1, 1, 0, 60 FROM cards"
    )
    with pytest.raises(StoreError) as caught, pair.store._db.write() as conn:
        conn.execute(copy)
    assert isinstance(caught.value.__cause__, sqlite3.IntegrityError)
    pair.store.record(poll([ends(pair.first, at(3)), ends(pair.second, at(3))], now=at(3)))
    with pair.store._db.write() as conn:
        conn.execute(copy)
