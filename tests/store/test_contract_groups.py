"""The contract of a store for cards that alerts share, and for notices that share a message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from alertbot.alerts.alert import Alert, Outcome, Reason
from alertbot.alerts.cards import Posted
from alertbot.alerts.delivery import PostCard, PostLine
from alertbot.alerts.notice import Notice, NoticeKind
from alertbot.rules.rule import Level
from alertbot.store.records import NoticeState
from alertbot.store.roles import Store
from tests.store.build import (
    ME,
    SALES,
    T0,
    at,
    begin,
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

RULE = "rule:longest-wait"
WAITING, DELIVERED, GIVEN_UP = NoticeState.WAITING, NoticeState.DELIVERED, NoticeState.GIVEN_UP
SHOWN = NoticeState.SHOWN_BY_CARD


def together(notices: Sequence[Notice]) -> list[Notice]:
    """Notices that share the message of the first."""
    return [notices[0], *(replace(other, lead=notices[0].id) for other in notices[1:])]


def alerts(*numbers: int, **more: Level) -> list[Alert]:
    return [firing(str(number), **more) for number in numbers]


def fire(
    store: Store, *numbers: int, now: int = 0, kind: NoticeKind = NoticeKind.CARD, level: Level = Level.WARNING
) -> None:
    """Alerts that fire in one poll and share a message."""
    begun = alerts(*numbers, level=level)
    notices = [notice(alert, kind, now=at(now), group=RULE) for alert in begun]
    store.record(poll([begins(alert) for alert in begun], together(notices), now=at(now)))


def end(store: Store, *numbers: int, now: int) -> None:
    ended = [one(store, firing(str(number))) for number in numbers]
    notices = together([line(alert, Reason.RESOLVED, now=at(now)) for alert in ended])
    store.record(poll([ends(alert, at(now)) for alert in ended], notices, now=at(now)))


def states(store: Store, *ids: int) -> list[list[NoticeState]]:
    return [[entry.state for entry in store.notices_of(alert_id)] for alert_id in ids]


def posted(store: Store, *numbers: int) -> PostCard:
    """The card of these alerts, posted at T0."""
    fire(store, *numbers)
    (due,) = posts(store, T0)
    assert isinstance(due, PostCard)
    post(store, due, T0)
    return due


def test_one_card_for_several(store: Store) -> None:
    """One message; each alert has its notice, and all of them have its fate."""
    fire(store, 1, 2, 3)
    (due,) = posts(store, T0)
    assert isinstance(due, PostCard)
    assert [member.id for member in due.card.members] == [1, 2, 3]
    assert (due.card.group, due.card.shared) == (RULE, True)
    assert states(store, 1, 2, 3) == [[WAITING]] * 3
    assert store.totals().waiting == 1
    assert store.cards("acme") == {key(entity): {SALES} for entity in "123"}
    assert store.groups("acme") == {(SALES, RULE): {key("1"), key("2"), key("3")}}
    post(store, due, at(1))
    assert states(store, 1, 2, 3) == [[DELIVERED]] * 3
    assert [entry.posted for entry in store.notices_of(3)] == [Posted("C1", f"{at(1).timestamp():.6f}")]
    assert store.totals().cards_posted == 1
    assert posts(store, at(9)) == []


def test_those_that_join_are_one_line(store: Store) -> None:
    """A later poll's alerts are members, and their notices a line that names all of them."""
    posted(store, 1, 2)
    fire(store, 3, 4, 5, now=5, kind=NoticeKind.LINE)
    (due,) = posts(store, at(5))
    assert isinstance(due, PostLine)
    assert (due.alert.id, [other.id for other in due.others]) == (3, [4, 5])
    (edit,) = edits(store, at(9999))
    assert [member.id for member in edit.card.members] == [1, 2, 3, 4, 5]
    post(store, due, at(6))
    assert states(store, 3, 4, 5) == [[DELIVERED]] * 3
    assert store.totals().lines_posted == 1


def test_one_that_joins_a_card_that_waits(store: Store) -> None:
    """The card is posted with it; its line follows."""
    fire(store, 1, 2)
    fire(store, 3, now=5)
    (card,) = posts(store, at(5))
    assert isinstance(card, PostCard)
    assert [member.id for member in card.card.members] == [1, 2, 3]
    post(store, card, at(5))
    (due,) = posts(store, at(7))
    assert isinstance(due, PostLine)
    assert due.alert.id == 3


def test_a_line_can_name_others(store: Store) -> None:
    """Those that were reported before: no notice of theirs is touched."""
    posted(store, 1, 2)
    joins = firing("3")
    named = notice(joins, NoticeKind.LINE, now=at(5), group=RULE, also=(key("1"), key("2")))
    store.record(poll([begins(joins)], [named], now=at(5)))
    (due,) = posts(store, at(5))
    assert isinstance(due, PostLine)
    assert (due.alert.id, [other.id for other in due.others]) == (3, [1, 2])
    assert states(store, 1, 2) == [[DELIVERED]] * 2


def test_others_are_named_as_they_were(store: Store) -> None:
    """A line that waits shows the values of its poll, whatever came after it."""
    posted(store, 1)
    fire(store, 2, 3, now=5, kind=NoticeKind.LINE)
    store.record(
        poll([rises(one(store, firing("3")), at(20)), new_value(one(store, firing("2")), 1.0, at(20))], now=at(20))
    )
    (due,) = posts(store, at(21))
    assert isinstance(due, PostLine)
    assert [(other.level, other.measure and other.measure.value) for other in due.others] == [(Level.WARNING, 72_000.0)]


def test_the_group_ends_with_its_last_member(store: Store) -> None:
    """A new alert then makes a new card."""
    posted(store, 1, 2)
    end(store, 1, now=5)
    assert store.groups("acme") == {(SALES, RULE): {key("2")}}
    end(store, 2, now=6)
    assert store.groups("acme") == {}
    fire(store, 3, now=7)
    _, _, card = (_next(store, 30 + turn) for turn in range(3))
    assert isinstance(card, PostCard)
    assert [member.id for member in card.card.members] == [3]


def test_the_same_entity_twice_on_a_card(store: Store) -> None:
    """It ended and fired again while the card was open: another alert, another member."""
    posted(store, 1, 2)
    end(store, 1, now=5)
    fire(store, 1, now=6)
    (edit,) = edits(store, at(9999))
    assert [(member.id, member.ended_at is None) for member in edit.card.members] == [(1, False), (2, True), (3, True)]
    assert store.groups("acme") == {(SALES, RULE): {key("1"), key("2")}}


def test_another_tenant_has_a_card_of_its_own(store: Store) -> None:
    """The same rule in the same channel."""
    posted(store, 1)
    begin(store, firing("1", tenant="other"), at(5), group=RULE)
    (due,) = posts(store, at(5))
    assert isinstance(due, PostCard)
    assert store.groups("other") == {(SALES, RULE): {key("1", tenant="other")}}


def test_what_is_given_up_takes_along_what_it_carries(store: Store) -> None:
    """And the lines that wait for the card; the next alert of the group tries the card again."""
    fire(store, 1, 2, 3)
    fire(store, 4, 5, now=1)
    (due,) = posts(store, at(1))
    store.give_up(due.notice.id, "refused", at(2))
    assert states(store, 1, 2, 3, 4, 5) == [[GIVEN_UP]] * 5
    assert [entry.error for entry in store.notices_of(3)] == ["refused"]
    assert store.totals().given_up == 5
    assert (store.groups("acme"), store.cards("acme")) == ({}, {})
    fire(store, 6, now=15)
    (again,) = posts(store, at(15))
    assert isinstance(again, PostCard)
    assert [member.id for member in again.card.members] == [1, 2, 3, 4, 5, 6]
    assert len(store.groups("acme")[SALES, RULE]) == 6


def test_a_given_up_line_alone(store: Store) -> None:
    """The card stays, and so do the notices that the line does not carry."""
    posted(store, 1)
    fire(store, 2, 3, now=5, kind=NoticeKind.LINE)
    (due,) = posts(store, at(5))
    store.give_up(due.notice.id, "refused", at(6))
    assert states(store, 1, 2, 3) == [[DELIVERED], [GIVEN_UP], [GIVEN_UP]]


def test_a_card_that_goes_elsewhere_takes_along_what_it_carries(store: Store) -> None:
    """The ledger names the channel in which each was reported."""
    fire(store, 1, 2, 3)
    (due,) = posts(store, T0)
    store.reroute(due.notice.id, "#cc-alerts", claimant=ME)
    (moved,) = posts(store, T0)
    assert (moved.notice.channel, len(moved.card.members)) == ("#cc-alerts", 3)  # type: ignore[union-attr]
    post(store, moved, at(1), channel_id="C2")
    entries = [entry for alert_id in (1, 2, 3) for entry in store.notices_of(alert_id)]
    assert {(entry.state, entry.notice.channel, entry.posted and entry.posted.channel_id) for entry in entries} == {
        (DELIVERED, "#cc-alerts", "C2")
    }


def test_a_reposted_card_of_many_names_them_again(store: Store) -> None:
    """In lines of its new thread; a card that shows all of its members needs none."""
    fire(store, *range(1, 31))
    (due,) = posts(store, T0)
    post(store, due, T0)
    (card,) = [due.card for due in edits(store, at(9999))] or [due.card]  # type: ignore[union-attr]
    store.repost(replace(card, posted=Posted("C1", f"{T0.timestamp():.6f}")), at(5), claimant=ME)
    (again,) = posts(store, at(5))
    assert isinstance(again, PostCard)
    post(store, again, at(5))
    (names,) = posts(store, at(7))
    assert isinstance(names, PostLine)
    assert {names.alert.id, *(other.id for other in names.others)} == set(range(1, 31))


def test_one_that_ends_before_the_card_is_posted(store: Store) -> None:
    """The card is drawn without it, and its end is still a line; with the last of them the lines are shown by it."""
    fire(store, 1, 2)
    end(store, 1, now=1)
    (due,) = posts(store, at(1))
    post(store, due, at(1))
    assert states(store, 1, 2) == [[DELIVERED, WAITING], [DELIVERED]]
    fire(store, 3, now=20, kind=NoticeKind.LINE)
    store.repost(replace(due.card, posted=Posted("C1", f"{at(1).timestamp():.6f}")), at(21), claimant=ME)  # type: ignore[union-attr]
    end(store, 2, 3, now=22)
    (again,) = [due for due in posts(store, at(30)) if isinstance(due, PostCard)]
    post(store, again, at(30))
    assert states(store, 1, 2, 3) == [[DELIVERED, SHOWN], [DELIVERED, DELIVERED, SHOWN], [SHOWN, SHOWN]]


def test_the_level_of_a_shared_card_decides_when_it_is_edited(store: Store) -> None:
    """At once where it rises or the card ends; what comes and goes below it waits for the refresh."""
    posted(store, 1, 2, 3)
    end(store, 1, now=5)
    assert edits(store, at(5)) == []
    store.record(poll([rises(one(store, firing("2")), at(6))], now=at(6)))
    (edit,) = edits(store, at(6))
    store.edited(edit.card, at(6))
    fire(store, 4, now=7, kind=NoticeKind.LINE, level=Level.CRITICAL)
    assert edits(store, at(7)) == []
    assert len(edits(store, at(66))) == 1
    end(store, 2, 3, 4, now=8)
    assert len(edits(store, at(8))) == 1


def test_a_card_comes_before_lines_that_only_name(store: Store) -> None:
    """Even a card of a lower level; a line that is broadcast keeps its place."""
    posted(store, 1)
    fire(store, 2, 3, now=5, kind=NoticeKind.LINE, level=Level.CRITICAL)
    begin(store, firing("9", rule="other", level=Level.INFO), at(6))
    first, second = [_next(store, 10 + 2 * turn) for turn in range(2)]
    assert (first.notice.kind, second.notice.kind) == (NoticeKind.CARD, NoticeKind.LINE)
    loud = notice(firing("4", level=Level.CRITICAL), NoticeKind.LINE, now=at(20), group=RULE, broadcast=True)
    begin(store, firing("8", rule="other", level=Level.INFO), at(20))
    store.record(poll([begins(firing("4", level=Level.CRITICAL))], [loud], now=at(20)))
    assert _next(store, 30).notice.broadcast


def _next(store: Store, second: int) -> PostCard | PostLine:
    (due,) = posts(store, at(second))
    assert isinstance(due, PostCard | PostLine)
    post(store, due, at(second))
    return due


@pytest.mark.parametrize("number", [1, 2], ids=["the lead", "one that it carries"])
def test_the_same_notice_twice(store: Store, number: int) -> None:
    """It is one notice, and it is not detached from its message."""
    fire(store, 1, 2)
    repeated = store.notices_of(number)[0].notice
    store.add_notices([replace(repeated, alert=key(str(number)), group=RULE)])
    assert states(store, 1, 2) == [[WAITING]] * 2
    assert len(posts(store, T0)) == 1


def test_acknowledging_a_card(store: Store) -> None:
    """Each member that has no owner gets one, in one line; the others keep theirs."""
    card = posted(store, 1, 2, 3, 4).card
    end(store, 4, now=1)
    assert store.acknowledge(1, "U1", "", at(2))[0] is Outcome.DONE
    outcome, first = store.acknowledge_card(card.id, "U2", at(3))
    assert (outcome, first and first.id) == (Outcome.DONE, 2)
    assert [alert.acked_by for alert in store.alerts()] == ["U1", "U2", "U2"]
    acks = [entry for alert_id in (1, 2, 3) for entry in store.notices_of(alert_id)][1:]
    lines = [entry.notice for entry in acks if entry.notice.reason is Reason.ACKNOWLEDGED]
    assert [(entry.by, bool(entry.lead)) for entry in lines] == [("U1", False), ("U2", False), ("U2", True)]
    assert store.acknowledge_card(card.id, "U3", at(4))[0] is Outcome.ALREADY
    end(store, 1, 2, 3, now=5)
    assert store.acknowledge_card(card.id, "U3", at(6))[0] is Outcome.ENDED
    assert store.acknowledge_card(99, "U3", at(6)) == (Outcome.UNKNOWN_ID, None)


def test_giving_a_card_back(store: Store) -> None:
    """What one user has of it, in one line; other users keep theirs, and have to be asked."""
    card = posted(store, 1, 2, 3, 4).card
    assert store.unacknowledge_card(card.id, "U2", at(1))[0] is Outcome.NOT_ACKNOWLEDGED
    end(store, 4, now=1)
    store.acknowledge(1, "U1", "", at(2))
    store.acknowledge_card(card.id, "U2", at(3))
    outcome, first = store.unacknowledge_card(card.id, "U2", at(4))
    assert (outcome, first and first.id, first and first.acked_by) == (Outcome.DONE, 2, None)
    assert [alert.acked_by for alert in store.alerts()] == ["U1", None, None]
    given = [entry.notice for alert_id in (1, 2, 3) for entry in store.notices_of(alert_id)]
    lines = [entry for entry in given if entry.reason is Reason.UNACKNOWLEDGED]
    assert [(entry.by, bool(entry.lead)) for entry in lines] == [("U2", False), ("U2", True)]
    outcome, other = store.unacknowledge_card(card.id, "U2", at(5))
    assert (outcome, other and other.acked_by) == (Outcome.OTHER_OWNER, "U1")
    assert [alert.id for alert in store.open_members(card.id)] == [1, 2, 3]
    end(store, 1, 2, 3, now=6)
    assert store.unacknowledge_card(card.id, "U1", at(7))[0] is Outcome.ENDED
    assert store.unacknowledge_card(99, "U1", at(7)) == (Outcome.UNKNOWN_ID, None)
    assert store.open_members(card.id) == store.open_members(99) == []


def test_an_escalation_is_not_the_card_of_its_alert(store: Store) -> None:
    """It is a message of its own where the card is too; lines go to the card, and it is edited when the alert ends."""
    alert = begin(store, firing("1"))
    step = notice(alert, NoticeKind.CARD, Reason.ESCALATED, now=at(1), group="escalation:1:600")
    store.record(poll([], [step], now=at(1)))
    assert [due.card.group for due in _cards(store, 1)] == ["alert:1", "escalation:1:600"]
    assert (store.cards("acme"), store.groups("acme")) == ({key("1"): {SALES}}, {})
    store.record(poll([new_value(alert, 1.0, at(60))], [line(alert, Reason.LEVEL_UP, now=at(60))], now=at(60)))
    (due,) = posts(store, at(60))
    assert (due.card.group) == "alert:1"  # type: ignore[union-attr]
    assert [edit.card.group for edit in edits(store, at(9999))] == ["alert:1"]
    store.record(poll([ends(one(store, alert), at(70))], now=at(70)))
    assert {edit.card.group for edit in edits(store, at(70))} == {"alert:1", "escalation:1:600"}


def test_a_message_of_escalation_for_several(store: Store) -> None:
    """One message; it is edited as its alerts end, at once with the last of them."""
    for entity in ("1", "2"):
        begin(store, firing(entity))
    steps = [
        notice(
            one(store, key(entity)),
            NoticeKind.CARD,
            Reason.ESCALATED,
            now=at(1),
            channel="#m",
            group="escalation:1:600",
        )
        for entity in ("1", "2")
    ]
    store.record(poll([], together(steps), now=at(1)))
    (due,) = [due for due in posts(store, at(1)) if due.notice.channel == "#m"]
    assert isinstance(due, PostCard)
    assert [member.id for member in due.card.members] == [1, 2]
    post(store, due, at(1), channel_id="C2")
    store.record(poll([ends(one(store, key("1")), at(2))], now=at(2)))
    assert edits(store, at(2)) == []
    store.record(poll([ends(one(store, key("2")), at(3))], now=at(3)))
    assert [edit.card.group for edit in edits(store, at(3))] == ["escalation:1:600"]
    assert [entry.state for entry in store.notices_of(2)][1:] == [DELIVERED]


def _cards(store: Store, second: int) -> list[PostCard]:
    found = []
    for turn in range(2):
        (due,) = posts(store, at(second + 2 * turn))
        assert isinstance(due, PostCard)
        post(store, due, at(second + 2 * turn))
        found.append(due)
    return found


def test_a_claim_that_is_lost_finds_the_message_for_all(store: Store) -> None:
    """A carried notice is never claimed; what the message of its lead became holds for it."""
    fire(store, 1, 2)
    (due,) = posts(store, T0)
    store.claim(due.notice.id, "gone", T0)
    store.claimant_ended("gone", at(1))
    (looked,) = posts(store, at(7))
    assert looked.intent_at == T0
    store.delivered(due.notice.id, Posted("C1", "1.0"), 0, at(7))
    assert states(store, 1, 2) == [[DELIVERED]] * 2
    assert store.next_due(at(8)) is not None  # the card is edited: which version it shows is not known
    assert store.overdue_since(at(8) + timedelta(minutes=9)) is None


def test_a_card_that_stays_open_for_long(store: Store) -> None:
    """Of more than a thousand members that ended, the worst are read; how many there were, and since when, is known."""
    fire(store, *range(1, 1203))
    (due,) = posts(store, T0)
    assert isinstance(due, PostCard)
    assert (len(due.card.members), due.card.entities) == (1202, None)
    post(store, due, T0)
    critical = [rises(alert, at(2)) for alert in store.alerts()[:10]]
    store.record(poll(critical, now=at(2)))
    ended = store.alerts()[:-1]
    notices = together([line(alert, Reason.RESOLVED, now=at(5)) for alert in ended])
    store.record(poll([ends(alert, at(5)) for alert in ended], notices, now=at(5)))
    (edit,) = edits(store, at(9999))
    numbers = {member.id for member in edit.card.members}
    assert {1202, *range(1, 11)} <= numbers
    assert (len(numbers), edit.card.entities, edit.card.began) == (1001, 1202, T0)
    (line_of_all,) = posts(store, at(9))
    assert isinstance(line_of_all, PostLine)
    assert len(line_of_all.others) == 1200
