"""The audit of the store: every inconsistency that it knows, made by hand in SQLite, and what becomes of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from alertbot.alerts.alert import Change, Mute, MuteKind, Reason, State
from alertbot.alerts.audit import AuditKind
from alertbot.alerts.delivery import PostCard
from alertbot.rules.rule import Level
from alertbot.store.records import NoticeState
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

LATER = 700.0  # seconds after T0: far more than a poll or a delivery takes


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(path, busy_timeout=0.05)
    yield made
    made.close()


def by_hand(store: SqliteStore, *statements: str) -> None:
    with closing(sqlite3.connect(store._db.path)) as conn, conn:
        for statement in statements:
            conn.execute(statement)


def audited(store: SqliteStore, seconds: float = LATER) -> list[tuple[AuditKind, bool]]:
    return [(finding.kind, finding.repaired) for finding in store.audit(at(seconds))]


def the_card_of_an_ended_alert(store: SqliteStore) -> None:
    alert = begin_posted(store, firing())
    store.record(poll([ends(alert, at(30))], [line(alert, Reason.RESOLVED, now=at(30))], now=at(30)))
    _settle(store, 31)
    by_hand(store, "UPDATE cards SET ended_at = NULL")


def it_ends(store: SqliteStore) -> None:
    """At the time at which its alert ended; it is edited once more, so that Slack shows it."""
    (edit,) = edits(store, at(LATER))
    assert edit.card.members[0].ended_at == at(30)
    store.edited(edit.card, at(LATER))
    assert store.groups("acme") == {}


def a_closed_card_of_an_open_alert(store: SqliteStore) -> None:
    begin_posted(store, firing())
    by_hand(store, "UPDATE cards SET ended_at = '2026-03-02T09:00:30.000000Z'")


def it_is_open_again(store: SqliteStore) -> None:
    """It is edited at once, and it has the lines that follow."""
    (edit,) = edits(store, at(LATER))
    store.edited(edit.card, at(LATER))
    assert store.cards("acme") == {firing().key: frozenset({SALES})}


def a_card_that_nothing_posts(store: SqliteStore) -> None:
    begin(store, firing(level=Level.CRITICAL))
    by_hand(store, "DELETE FROM notices")


def a_card_is_due(store: SqliteStore) -> None:
    """Once, with its alert and level, and posting it leaves nothing behind."""
    (due,) = posts(store, at(LATER))
    assert isinstance(due, PostCard)
    assert (due.notice.level, due.notice.channel, due.notice.mention) == (Level.CRITICAL, SALES, ())
    post(store, due, at(LATER))


def a_posted_card_that_is_due(store: SqliteStore) -> None:
    begin_posted(store, firing())
    by_hand(store, "UPDATE notices SET state = 'waiting', settled_at = NULL, posted_ts = NULL, intent_at = NULL")


def nothing_is_posted_again(store: SqliteStore) -> None:
    assert posts(store, at(LATER)) == []
    (entry,) = store.notices_of(1)
    assert (entry.state, entry.posted is not None) == (NoticeState.DELIVERED, True)


def a_line_of_a_card_that_was_given_up(store: SqliteStore) -> None:
    alert = begin(store, firing())
    store.record(poll([rises(alert, T0)], [line(alert, Reason.LEVEL_UP, now=T0)]))
    by_hand(store, "UPDATE cards SET state = 'given_up'", "UPDATE notices SET state = 'given_up' WHERE kind = 'card'")
    store.record(poll([ends(one(store, alert), T0)]))


def a_line_without_a_card(store: SqliteStore) -> None:
    alert = begin_posted(store, firing())
    store.record(poll([rises(alert, T0)], [line(alert, Reason.LEVEL_UP, now=T0)]))
    by_hand(store, "UPDATE notices SET card_id = NULL WHERE kind = 'line'")


def it_is_given_up(store: SqliteStore) -> None:
    waits = [entry for entry in store.notices_of(1) if entry.notice.reason is Reason.LEVEL_UP]
    assert [(entry.state, entry.error) for entry in waits] == [(NoticeState.GIVEN_UP, "its card will not be posted")]
    assert store.totals().given_up >= 1


def one_that_its_lead_left_behind(store: SqliteStore) -> None:
    first, second = firing("1"), firing("2")
    lead = notice(first, group="storm:longest-wait")
    rest = notice(second, group="storm:longest-wait", lead=lead.id)
    store.record(poll([begins(each) for each in (first, second)], [lead, rest]))
    _settle(store, 1)
    by_hand(store, "UPDATE notices SET state = 'waiting', posted_ts = NULL WHERE lead IS NOT NULL")


def it_has_its_fate(store: SqliteStore) -> None:
    (entry,) = store.notices_of(2)
    assert (entry.state, entry.posted) == (NoticeState.DELIVERED, store.notices_of(1)[0].posted)


def an_alert_without_a_card(store: SqliteStore) -> None:
    store.record(poll([begins(replace(firing(), reported=Level.WARNING))]))


def the_next_poll_reports_it(store: SqliteStore) -> None:
    """It counts as never reported, and a poll that was being decided is decided again."""
    assert one(store, firing()).reported is None


def an_alert_whose_card_was_given_up(store: SqliteStore) -> None:
    begin(store, replace(firing(), reported=Level.WARNING))
    by_hand(store, "UPDATE cards SET state = 'given_up'", "UPDATE notices SET state = 'given_up'")


TABLE: dict[str, tuple[Callable[[SqliteStore], None], list[AuditKind], Callable[[SqliteStore], None]]] = {
    "an open card of ended alerts": (the_card_of_an_ended_alert, [AuditKind.OPEN_CARD], it_ends),
    "a closed card of an open alert": (a_closed_card_of_an_open_alert, [AuditKind.CLOSED_CARD], it_is_open_again),
    "a card without a notice": (a_card_that_nothing_posts, [AuditKind.CARD_WITHOUT_NOTICE], a_card_is_due),
    "a notice of a posted card": (
        a_posted_card_that_is_due,
        [AuditKind.NOTICE_OF_POSTED_CARD],
        nothing_is_posted_again,
    ),
    "a line of a card that was given up": (
        a_line_of_a_card_that_was_given_up,
        [AuditKind.ORPHAN_NOTICE],
        it_is_given_up,
    ),
    "a line without a card": (a_line_without_a_card, [AuditKind.ORPHAN_NOTICE], it_is_given_up),
    "a notice that its lead left behind": (
        one_that_its_lead_left_behind,
        [AuditKind.ORPHAN_NOTICE],
        it_has_its_fate,
    ),
    "an alert without a card": (an_alert_without_a_card, [AuditKind.ALERT_WITHOUT_CARD], the_next_poll_reports_it),
    "an alert whose card was given up": (
        an_alert_whose_card_was_given_up,
        [AuditKind.ALERT_WITHOUT_CARD],
        the_next_poll_reports_it,
    ),
}


@pytest.mark.parametrize(("make", "kinds", "afterwards"), TABLE.values(), ids=TABLE)
def test_what_is_repaired(
    store: SqliteStore,
    make: Callable[[SqliteStore], None],
    kinds: list[AuditKind],
    afterwards: Callable[[SqliteStore], None],
) -> None:
    """Found, repaired, and not found again."""
    make(store)
    assert audited(store) == [(kind, True) for kind in kinds]
    afterwards(store)
    assert audited(store) in ([], [(AuditKind.ALERT_WITHOUT_CARD, False)])  # until a poll reports it


def never_reported(store: SqliteStore) -> None:
    store.record(poll([begins(firing())]))


def a_message_that_nothing_attempts(store: SqliteStore) -> None:
    store.add_notices([ops("the file is broken")])


def its_place_is_taken(store: SqliteStore) -> None:
    """Two cards of one rule: the older one was closed while its alert is open."""
    one_of_two, other = firing("1"), firing("2")
    store.record(poll([begins(one_of_two)], [notice(one_of_two, group="rule:longest-wait")]))
    _settle(store, 1)
    by_hand(store, "UPDATE cards SET ended_at = '2026-03-02T09:00:30.000000Z'")
    store.record(poll([begins(other)], [notice(other, group="rule:longest-wait")]))
    _settle(store, 3)


REPORTED = {
    "it fires, and no poll reports it": (never_reported, LATER, AuditKind.ALERT_WITHOUT_CARD),
    "due for an hour": (a_message_that_nothing_attempts, 3_601, AuditKind.STUCK_MESSAGE),
    "a closed card whose place is taken": (its_place_is_taken, LATER, AuditKind.CLOSED_CARD),
}


@pytest.mark.parametrize(("make", "seconds", "kind"), REPORTED.values(), ids=REPORTED)
def test_what_is_only_reported(
    store: SqliteStore, make: Callable[[SqliteStore], None], seconds: float, kind: AuditKind
) -> None:
    """What has no one right answer is found every time, and nothing is written."""
    make(store)
    before = store.revision("acme"), store.totals()
    for _ in range(2):
        assert audited(store, seconds) == [(kind, False)]
    assert (store.revision("acme"), store.totals()) == before


def _settle(store: SqliteStore, seconds: float) -> None:
    """Deliver everything that is due, in a few seconds."""
    for step in range(6):
        now = at(seconds + step * 1.5)
        for due in posts(store, now):
            post(store, due, now)
        for edit in edits(store, now):
            store.edited(edit.card, now)


def an_ordinary_day(store: SqliteStore) -> None:
    """One of everything that is as it should be."""
    for entity in ("1", "2", "3", "4", "5"):
        begin(store, replace(firing(entity), reported=Level.WARNING), channel=f"#{entity}")
    _settle(store, 1)
    store.record(poll([rises(one(store, firing("1")), at(20))], [], now=at(20)))
    store.record(poll([new_value(one(store, firing("2")), 80_000.0, at(21))], now=at(21)))
    ended = one(store, firing("3"))
    store.record(poll([ends(ended, at(22))], [line(ended, Reason.RESOLVED, now=at(22), channel="#3")], now=at(22)))
    recovering = replace(one(store, firing("4")), state=State.RECOVERING, recovering_since=at(23))
    store.record(poll([Change(one(store, firing("4")), recovering, None, "better")], now=at(23)))
    silenced = replace(firing("6"), muted=Mute(MuteKind.SILENCED, 9, T0))
    store.record(poll([begins(silenced), begins(firing("7", fired_at=at(650)))], now=at(24)))
    begin(store, replace(firing("8"), reported=Level.WARNING), at(25), channel="#8")  # not delivered yet
    step = notice(one(store, firing("5")), reason=Reason.ESCALATED, channel="#5", group="escalation:5:600", now=at(26))
    store.record(poll([], [step], now=at(26)))


def test_an_ordinary_day_has_no_findings(store: SqliteStore) -> None:
    """And the audit only reads: it waits for no writer."""
    an_ordinary_day(store)
    with closing(sqlite3.connect(store._db.path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert store.audit(at(LATER)) == []


def test_a_channel_that_waits_is_not_stuck(store: SqliteStore) -> None:
    """A 429, a refusal that is retried, and a channel in which others are posted have reasons of their own."""
    for channel in ("#held", "#busy", "#refuses"):
        store.add_notices([ops("x", channel=channel)])
    store.hold_channel("#held", at(4_000))
    for due in posts(store, at(3_500)):
        if due.notice.channel == "#busy":
            post(store, due, at(3_500))
        elif due.notice.channel == "#refuses":
            store.put_off(due.notice.id, at(3_700), "restricted_action", claimant="me", unknown=False)
    store.add_notices([ops("y", channel="#busy")])
    assert store.audit(at(3_601)) == []


def test_what_is_compared_with_slack(store: SqliteStore) -> None:
    """Cards that are up to date for a minute: open ones, and those that ended within an hour."""
    an_ordinary_day(store)
    shown = [(card.channel, card.sent_version) for card in store.shown_cards(at(LATER))]
    assert shown == [("#5", 1)]  # 1, 2 and 4 are due for an edit, 3 too, and 8 was not posted
    _settle(store, LATER)
    assert [card.channel for card in store.shown_cards(at(LATER + 30))] == ["#5"]
    assert [card.channel for card in store.shown_cards(at(LATER + 75))] == ["#1", "#2", "#4", "#5", "#8", "#5", "#3"]
    assert "#3" not in [card.channel for card in store.shown_cards(at(22) + timedelta(hours=1, seconds=1))]


def test_only_a_card_that_did_not_change_is_edited_again(store: SqliteStore) -> None:
    begin_posted(store, firing())
    (card,) = store.shown_cards(at(LATER))
    store.record(poll([rises(one(store, firing()), at(LATER))], now=at(LATER)))
    assert store.outdate(card, at(LATER)) is False
    (edit,) = edits(store, at(LATER))
    store.edited(edit.card, at(LATER))
    (card,) = store.shown_cards(at(LATER + 61))
    assert store.outdate(card, at(LATER + 61)) is True
    assert [each.card.id for each in edits(store, at(LATER + 61))] == [card.id]
