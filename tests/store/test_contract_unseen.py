"""The contract of a store for what waited long: what began and ended unseen, and lines that are no longer true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from alertbot.alerts.alert import Alert, Reason
from alertbot.alerts.cards import Posted, escalation
from alertbot.alerts.delivery import Claimed, PostCard, PostLine, PostOps
from alertbot.alerts.notice import Notice, NoticeKind
from alertbot.alerts.unseen import Unseen
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
    begins,
    ends,
    firing,
    line,
    notice,
    one,
    ops,
    poll,
    post,
    posts,
    rises,
)

CRITICAL, WARNING = Level.CRITICAL, Level.WARNING
DELIVERED, SHOWN, WAITING = NoticeState.DELIVERED, NoticeState.SHOWN_BY_CARD, NoticeState.WAITING
TEAM = ("<!subteam^S0123>",)
HOUR = 3600


def summary(unseen: Unseen, now: float = HOUR) -> Notice:
    """As delivery makes it, in fewer words."""
    names = " ".join(alert.key.entity_id for alert in unseen.alerts)
    return replace(ops(f"unseen: {names}", now=at(now), channel=unseen.channel), level=Level.INFO)


def end(store: Store, alert: Alert, now: float) -> None:
    store.record(poll([ends(one(store, alert), at(now))], [line(alert, Reason.RESOLVED, now=at(now))], now=at(now)))


def come_and_go(store: Store, *entities: str, now: float = 0, lasts: float = 20, **more: Level) -> list[Alert]:
    """Alerts that begin and end, one after the other."""
    found = []
    for number, entity in enumerate(entities):
        found.append(begin(store, firing(entity, **more), at(now + number)))
        end(store, found[-1], now + number + lasts)
    return found


def claim(store: Store, now: float, index: int = 0) -> Claimed:
    due = posts(store, at(now))[index]
    return store.claim(due.notice.id, ME, at(now), due.intent_at)


def sum_up(store: Store, now: float = HOUR) -> None:
    store.sum_up(SALES, lambda unseen: summary(unseen, now), at(now))


def states(store: Store, alerts: Sequence[Alert]) -> set[NoticeState]:
    return {entry.state for alert in alerts for entry in store.notices_of(alert.id)}


def sent(store: Store, now: float) -> list[str]:
    """All that is posted from now on, a message a second: its reason, or the text of a summary."""
    found = []
    for second in range(60):
        for due in posts(store, at(now + second)):
            claimed = store.claim(due.notice.id, ME, at(now + second), due.intent_at)
            if claimed is Claimed.UNSEEN:
                sum_up(store, now + second)
            if claimed is not Claimed.DONE:
                continue
            mention = " to all" * bool(due.notice.mention) + " broadcast" * due.notice.broadcast
            what = due.notice.text if isinstance(due, PostOps) else f"{due.notice.kind} {due.notice.reason}{mention}"
            found.append(what)
            version = due.card.version if isinstance(due, PostCard) else 0
            store.delivered(due.notice.id, posted_at(second), version, at(now + second))
    return found


def posted_at(second: float) -> Posted:
    return Posted("C1", f"{second}.0")


# Began and ended unseen.


def test_what_began_and_ended_unseen_is_one_message(store: Store) -> None:
    """Which carries every notice of these alerts: they are delivered when it is."""
    alerts = come_and_go(store, "1", "2", "3")
    assert claim(store, HOUR) is Claimed.UNSEEN
    sum_up(store)
    (due,) = posts(store, at(HOUR))
    assert isinstance(due, PostOps)
    assert due.notice.text == "unseen: 1 2 3"
    assert states(store, alerts) == {WAITING}
    posted = post(store, due, at(HOUR))
    assert states(store, alerts) == {DELIVERED}
    assert {entry.posted for alert in alerts for entry in store.notices_of(alert.id)} == {posted}
    assert store.due(at(HOUR + 9)) == []
    assert store.totals().waiting == 0


def test_what_is_due_for_seconds_is_posted(store: Store) -> None:
    """However short the alerts were: only what waited for two minutes is summed up."""
    come_and_go(store, "1", "2", "3")
    assert claim(store, 119) is Claimed.DONE


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        pytest.param({}, ["unseen: 1 2 3"], id="another one"),
        pytest.param({"level": CRITICAL}, ["card fired", "unseen: 1 2"], id="a critical one, which has a card"),
        pytest.param({"open": True}, ["card fired", "unseen: 1 2"], id="one that is still open"),
    ],
)
def test_one_message_for_each_alert_that_is_open_or_was_critical(
    last: dict[str, Level], expected: list[str], store: Store
) -> None:
    come_and_go(store, "1", "2")
    third = begin(store, firing("3", level=last.get("level", WARNING)), at(100))
    if "open" not in last:
        end(store, third, 130)
    assert sent(store, HOUR) == expected


def test_a_single_one_is_posted_closed(store: Store) -> None:
    """It says more than a summary would."""
    come_and_go(store, "1")
    assert sent(store, HOUR) == ["card fired"]


def test_the_youngest_are_summed_up_with_the_others(store: Store) -> None:
    """Of what ended while Slack was down, nothing is posted separately because it was recent when Slack came back."""
    come_and_go(store, "1")
    come_and_go(store, "2", "3", now=HOUR - 60)
    assert sent(store, HOUR) == ["unseen: 1 2 3"]


def test_each_channel_has_its_own(store: Store) -> None:
    """What is unseen in one is not reported in another."""
    for entity in "1234":
        alert = begin(store, firing(entity), channel=SALES if entity < "3" else "#other")
        store.record(poll([ends(alert, at(20))], now=at(20)))
    assert claim(store, HOUR) is Claimed.UNSEEN
    sum_up(store)
    found = sorted((due.notice.channel, due.notice.text) for due in posts(store, at(HOUR)))
    assert found == [("#cc-sales", "unseen: 1 2"), ("#other", "")]


def test_a_card_with_many_members(store: Store) -> None:
    """All of them are named, and their notices settled."""
    begun = [firing(entity) for entity in "123"]
    first, *others = [notice(alert, group="rule:longest-wait") for alert in begun]
    shared = [first, *(replace(other, lead=first.id) for other in others)]
    store.record(poll([begins(alert) for alert in begun], shared))
    alerts = [one(store, alert) for alert in begun]
    for alert in begun:
        end(store, alert, 30)
    alerts += come_and_go(store, "4")
    assert sent(store, HOUR) == ["unseen: 1 2 3 4"]
    assert states(store, alerts) == {DELIVERED}


def test_a_second_time_changes_nothing(store: Store) -> None:
    """Of two processes that found out at once, one makes the summary."""
    come_and_go(store, "1", "2")
    sum_up(store)
    sum_up(store)
    assert [due.notice.text for due in posts(store, at(HOUR))] == ["unseen: 1 2"]


def test_a_card_that_was_seen_is_not_unseen(store: Store) -> None:
    """A user deleted it, and the alert ended before it could be posted again."""
    alert = begin_posted(store, firing("1"))
    store.record(poll([rises(alert, at(5))], [line(alert, Reason.LEVEL_UP, now=at(5))], now=at(5)))
    (due,) = posts(store, at(6))
    assert isinstance(due, PostLine)
    store.repost(due.card, at(6), claimant=ME)
    end(store, alert, 7)
    come_and_go(store, "2", "3", now=10)
    assert sent(store, HOUR) == ["card fired", "unseen: 2 3"]


def test_a_single_one_that_comes_later_is_added_while_the_summary_waits(store: Store) -> None:
    """As another notice: a process that read the first one cannot send it any more."""
    come_and_go(store, "1", "2")
    sum_up(store)
    (first,) = posts(store, at(HOUR))
    alerts = come_and_go(store, "3", now=10)
    assert store.claim(first.notice.id, ME, at(HOUR)) is Claimed.UNSEEN
    sum_up(store, HOUR + 1)
    assert store.claim(first.notice.id, ME, at(HOUR + 1)) is Claimed.SETTLED
    assert sent(store, HOUR + 1) == ["unseen: 1 2 3"]
    assert states(store, alerts) == {DELIVERED}


# Claims.


def test_what_may_have_been_posted_is_looked_for_first(store: Store) -> None:
    """It is left out, and the summary waits for it; looked for in vain, it is added."""
    alerts = come_and_go(store, "1", "2", "3")
    (due,) = posts(store, at(60))
    assert store.claim(due.notice.id, ME, at(60)) is Claimed.DONE
    store.put_off(due.notice.id, at(HOUR + 30), "timeout", claimant=ME, unknown=True)
    sum_up(store)
    assert posts(store, at(HOUR + 29)) == []
    due, *_ = posts(store, at(HOUR + 30))
    assert due.intent_at == at(60)
    assert store.claim(due.notice.id, ME, at(HOUR + 30), at(60)) is Claimed.UNSEEN
    sum_up(store, HOUR + 30)
    assert sent(store, HOUR + 31) == ["unseen: 1 2 3"]
    assert states(store, alerts) == {DELIVERED}


def test_what_was_found_is_not_summed_up(store: Store) -> None:
    """Its message stands there, and is closed by an edit."""
    come_and_go(store, "1", "2", "3")
    (due,) = posts(store, at(60))
    store.claim(due.notice.id, ME, at(60))
    store.put_off(due.notice.id, at(HOUR + 30), "timeout", claimant=ME, unknown=True)
    sum_up(store)
    store.delivered(due.notice.id, posted_at(60), 0, at(HOUR + 30))
    assert sent(store, HOUR + 40) == ["line resolved", "unseen: 2 3"]


def test_a_claim_of_another_process_is_left_alone(store: Store) -> None:
    """It may be sending it right now, for the first time."""
    come_and_go(store, "1", "2", "3")
    (due,) = posts(store, at(HOUR))
    now = at(HOUR)
    with_claim = store.claim(due.notice.id, "another", at(100))
    assert with_claim is Claimed.DONE
    sum_up(store)
    assert store.claim(due.notice.id, ME, now) is not Claimed.DONE
    store.delivered(due.notice.id, posted_at(1), 1, now)
    assert sent(store, HOUR + 60) == ["line resolved", "unseen: 2 3"]


# Messages of escalation.


def escalated(store: Store, alert: Alert, now: float, channel: str, mention: tuple[str, ...] = ()) -> None:
    assert alert.id is not None
    after = escalation(alert.id, at(now) - T0)
    step = notice(alert, reason=Reason.ESCALATED, channel=channel, now=at(now), group=after, mention=mention)
    store.record(poll([], [step], now=at(now)))


@pytest.mark.parametrize("level", Level)
def test_escalations_of_alerts_that_ended(level: Level, store: Store) -> None:
    """Of critical ones too: they have a card of their own elsewhere."""
    for entity in "12":
        alert = begin(store, firing(entity, level=level), channel="#other")
        escalated(store, alert, 60, SALES)
        store.record(poll([ends(alert, at(90))], now=at(90)))
    assert sent(store, HOUR)[-1] == "unseen: 1 2"


def test_an_escalation_in_the_channel_of_its_card_says_nothing_new(store: Store) -> None:
    """The alert has ended, and its card stands there: no message, and no summary."""
    alert = begin_posted(store, firing("1", level=CRITICAL))
    escalated(store, alert, 60, SALES)
    end(store, alert, 90)
    assert sent(store, HOUR) == ["line resolved"]


def test_of_several_steps_for_one_channel_the_last_is_posted(store: Store) -> None:
    """With the mentions of all of them; a step for another channel has its own message."""
    alert = begin_posted(store, firing("1"))
    for now, channel, mention in ((60, "#boss", ("<@U1>",)), (120, "#boss", ("<@U2>",)), (180, "#floor", ())):
        escalated(store, alert, now, channel, mention)
    found = {}
    for second in range(5):
        for due in posts(store, at(HOUR + second)):
            if store.claim(due.notice.id, ME, at(HOUR + second), due.intent_at) is Claimed.DONE:
                found[due.notice.channel, due.notice.at] = due.notice.mention
                store.delivered(due.notice.id, posted_at(second), 1, at(HOUR + second))
    assert found == {("#boss", at(120)): ("<@U2>", "<@U1>"), ("#floor", at(180)): ()}
    assert states(store, [alert]) == {DELIVERED, SHOWN}


# Cards that are posted late, and lines in the threads of older ones.


def test_a_late_card_shows_the_present(store: Store) -> None:
    """It takes over the mentions of a rise that lasts; the lines of the hour are not posted."""
    alert = begin(store, firing("1"))
    up = replace(line(alert, Reason.LEVEL_UP, now=at(60), level=CRITICAL), mention=TEAM, broadcast=True)
    store.record(poll([rises(alert, at(60))], [up], now=at(60)))
    store.record(poll([], [line(alert, Reason.REMINDER, now=at(900), level=CRITICAL)], now=at(900)))
    assert sent(store, HOUR) == ["card fired to all"]
    assert [entry.state for entry in store.notices_of(alert.id)] == [DELIVERED, SHOWN, SHOWN]


def test_a_late_card_of_what_is_over_mentions_no_one(store: Store) -> None:
    alert = begin(store, firing("1", level=CRITICAL), mention=TEAM)
    end(store, alert, 60)
    assert sent(store, HOUR) == ["card fired"]


def test_a_card_that_is_due_for_seconds_keeps_its_lines(store: Store) -> None:
    alert = begin(store, firing("1"))
    store.record(poll([rises(alert, at(1))], [line(alert, Reason.LEVEL_UP, now=at(1), broadcast=True)], now=at(1)))
    assert sent(store, 2) == ["card fired", "line level_up broadcast"]


UP, DOWN, REMINDER, RESOLVED = Reason.LEVEL_UP, Reason.LEVEL_DOWN, Reason.REMINDER, Reason.RESOLVED


@pytest.mark.parametrize(
    ("reasons", "level", "expected"),
    [
        pytest.param([UP], CRITICAL, "line level_up to all broadcast", id="it got worse"),
        pytest.param([UP, REMINDER, REMINDER], CRITICAL, "line level_up to all broadcast", id="and was reminded of"),
        pytest.param([UP, DOWN], WARNING, "line level_down", id="it got worse, and recovered"),
        pytest.param([UP, DOWN, UP, RESOLVED], None, "line resolved", id="it is over"),
        pytest.param([REMINDER, REMINDER], WARNING, "line reminder", id="nothing but reminders"),
    ],
)
def test_an_older_card_gets_one_line(reasons: list[Reason], level: Level | None, expected: str, store: Store) -> None:
    """What is true now; the others are dropped, and no one is mentioned for what has ended."""
    alert = begin_posted(store, firing("1"))
    for number, reason in enumerate(reasons):
        now = at(60 + 10 * number)
        of = CRITICAL if reason is UP else level or WARNING
        loud = {"mention": TEAM, "broadcast": True} if reason is UP else {}
        told = replace(line(alert, reason, now=now, level=of), **loud)
        before = one(store, alert)
        changes = {UP: [rises(before, now)], RESOLVED: [ends(before, now)]}.get(reason, [])
        if reason is DOWN:
            changes = [replace(rises(before, now), after=replace(before, level=WARNING), reason=DOWN)]
        store.record(poll(changes, [told], now=now))
    assert sent(store, HOUR) == [expected]
    found = [entry.state for entry in store.notices_of(alert.id)]
    assert sorted(found) == sorted([DELIVERED, DELIVERED, *[SHOWN] * (len(reasons) - 1)])


def test_a_line_that_was_overtaken_is_not_posted(store: Store) -> None:
    """It may have been posted, and was looked for in vain after the end had been reported."""
    alert = begin_posted(store, firing("1"))
    store.record(poll([rises(alert, at(60))], [line(alert, UP, now=at(60), level=CRITICAL)], now=at(60)))
    (due,) = posts(store, at(61))
    store.claim(due.notice.id, ME, at(61))
    store.put_off(due.notice.id, at(HOUR + 30), "timeout", claimant=ME, unknown=True)
    end(store, alert, 90)
    assert sent(store, HOUR) == ["line resolved"]


def test_a_card_with_many_members_gets_a_line_for_each_reason(store: Store) -> None:
    """One names those that ended, one those that joined."""
    begun = [firing(entity) for entity in "123"]
    first, *others = [notice(alert, group="rule:longest-wait") for alert in begun]
    store.record(
        poll([begins(alert) for alert in begun], [first, *(replace(other, lead=first.id) for other in others)])
    )
    post(store, posts(store, T0)[0], T0)
    for number, alert in enumerate(begun[:2]):
        end(store, alert, 60 + number)
    for number, entity in enumerate("45"):
        joins = firing(entity)
        joined = notice(joins, NoticeKind.LINE, now=at(70 + number), group="rule:longest-wait")
        store.record(poll([begins(joins)], [joined], now=at(70 + number)))
    assert claim(store, HOUR) is Claimed.SUPERSEDED
    named = {}
    for second in range(9):
        for due in posts(store, at(HOUR + second)):
            assert isinstance(due, PostLine)
            named[due.notice.reason] = [due.alert.key.entity_id, *(other.key.entity_id for other in due.others)]
            post(store, due, at(HOUR + second))
    assert named == {RESOLVED: ["1", "2"], Reason.FIRED: ["4", "5"]}
