"""What the store decides about the fallback webhook: once per alert and level, and the end of what was posted."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from alertbot.alerts import clock_step
from alertbot.alerts.alert import Alert, Change, Mute, MuteKind, Reason, State
from alertbot.alerts.fallback import NewPost, PostKind, incident
from alertbot.rules.rule import Level
from alertbot.store.roles import Store
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import (
    ME,
    T0,
    at,
    begin,
    begin_posted,
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

AFTER = timedelta(minutes=2)
CRITICAL = (Level.CRITICAL,)


def drawn(new: NewPost) -> str:
    waiting = "" if new.waiting_since is None else f" since {(new.waiting_since - T0).total_seconds():g}"
    return f"{new.kind} {new.level.word} #{new.alert.id}{waiting} {','.join(new.channels)} {new.problem}".strip()


def decide(store: Store, now: datetime, levels: tuple[Level, ...] = CRITICAL) -> tuple[int, int]:
    return store.decide_fallback(levels, AFTER, drawn, now)


def due(store: Store, now: datetime) -> list[str]:
    return [each.body for each in store.due_fallback(now)]


def critical(entity: str = "103", **more: object) -> Alert:
    return firing(entity, level=Level.CRITICAL, **more)


def undelivered(store: Store) -> None:
    begin(store, critical())


def a_rise_waits(store: Store) -> None:
    """Its card is in Slack as a warning; the line about its rise is not."""
    alert = begin_posted(store, firing())
    store.record(poll([rises(alert, T0)], [line(replace(alert, level=Level.CRITICAL), Reason.LEVEL_UP, now=T0)]))


def in_slack(store: Store) -> None:
    begin_posted(store, critical())


def only_a_warning(store: Store) -> None:
    begin(store, firing())


def fell_to_warning(store: Store) -> None:
    alert = begin(store, critical())
    store.record(poll([Change(alert, replace(alert, level=Level.WARNING), Reason.LEVEL_DOWN, "better")]))


def recovers(store: Store) -> None:
    alert = begin(store, critical())
    store.record(poll([Change(alert, replace(alert, state=State.RECOVERING), None, "better")]))


def muted(store: Store) -> None:
    alert = begin(store, critical())
    silenced = replace(alert, muted=Mute(MuteKind.SILENCED, 7, T0))
    store.record(poll([Change(alert, silenced, None, "silenced by #7")]))


def has_ended(store: Store) -> None:
    alert = begin(store, critical())
    store.record(poll([ends(alert, T0)]))


def a_reminder_waits(store: Store) -> None:
    alert = begin_posted(store, critical())
    store.record(poll([], [line(alert, Reason.REMINDER, now=T0)]))


def an_escalation_waits(store: Store) -> None:
    alert = begin_posted(store, critical())
    step = notice(alert, reason=Reason.ESCALATED, channel="#cc-managers", group="escalation:1:600")
    store.record(poll([], [step]))


def carried_by_another(store: Store) -> None:
    """Two alerts of a storm share a card that waits."""
    first, second = critical("1"), critical("2")
    lead = notice(first, group="storm:longest-wait")
    rest = notice(second, group="storm:longest-wait", lead=lead.id)
    store.record(poll([Change(None, each, Reason.FIRED, "it holds") for each in (first, second)], [lead, rest]))


def operations(store: Store) -> None:
    store.add_notices([ops("a file is broken")])


DECIDED = {
    "its card waits": (undelivered, ["firing critical #1 since 0 #cc-sales"]),
    "its rise waits": (a_rise_waits, ["firing critical #1 since 0 #cc-sales"]),
    "it is escalated, and that waits": (an_escalation_waits, ["firing critical #1 since 0 #cc-managers"]),
    "two in a storm": (
        carried_by_another,
        ["firing critical #1 since 0 #cc-sales", "firing critical #2 since 0 #cc-sales"],
    ),
    "its card is in Slack": (in_slack, []),
    "another level": (only_a_warning, []),
    "it fell to another level": (fell_to_warning, []),
    "it is recovering": (recovers, []),
    "it is muted": (muted, []),
    "it has ended unseen": (has_ended, []),
    "a reminder waits": (a_reminder_waits, []),
    "an operational message": (operations, []),
}


@pytest.mark.parametrize(("make", "wanted"), DECIDED.values(), ids=DECIDED)
def test_what_is_posted(store: Store, make: Callable[[Store], None], wanted: list[str]) -> None:
    """After `after` and not before; once, however often it is asked."""
    make(store)
    assert decide(store, at(119)) == (0, 0)
    assert decide(store, at(120)) == (len(wanted), 0)
    assert decide(store, at(125)) == (0, 0)
    assert due(store, at(125)) == wanted


def test_a_level_is_posted_once_and_the_next_one_at_once(store: Store) -> None:
    """Slack has not taken it for long enough already, so the rise does not wait. A fall and a rise post nothing."""
    both = (Level.WARNING, Level.CRITICAL)
    alert = begin(store, firing())
    assert decide(store, at(120), both) == (1, 0)
    (first,) = store.due_fallback(at(120))
    store.sent_fallback(first.id, at(121))
    store.record(poll([rises(alert, at(130))], now=at(130)))
    assert decide(store, at(131), both) == (1, 0)
    (second,) = store.due_fallback(at(131))
    assert second.body == "firing critical #1 since 0 #cc-sales"
    assert second.id != first.id
    store.sent_fallback(second.id, at(132))
    critical = one(store, alert)
    falls = Change(critical, replace(critical, level=Level.WARNING), Reason.LEVEL_DOWN, "better")
    store.record(poll([falls], now=at(140)))
    store.record(poll([rises(one(store, alert), at(150))], now=at(150)))
    assert decide(store, at(160), both) == (0, 0)


def test_the_end_of_what_was_posted(store: Store) -> None:
    """Also where Slack has taken the alert meanwhile; once, and not for what was never posted."""
    alert, other = begin(store, critical()), begin(store, critical("104"), channel="#other")
    decide(store, at(120))
    first, second = store.due_fallback(at(120))
    store.sent_fallback(first.id, at(121))
    for each in posts(store, at(122)):
        post(store, each, at(122))
    store.record(poll([ends(alert, at(130)), ends(other, at(130))], now=at(130)))
    assert decide(store, at(131)) == (1, 1)  # the end of the first; the second was not sent, and is not needed now
    assert due(store, at(131)) == ["resolved critical #1"]
    (resolved,) = store.due_fallback(at(131))
    assert (resolved.kind, resolved.alert_id) == (PostKind.RESOLVED, 1)
    store.sent_fallback(resolved.id, at(132))
    assert decide(store, at(133)) == (0, 0)
    assert store.waiting_fallback() == 0
    assert second.id not in {each.id for each in store.due_fallback(at(999))}


def test_what_may_have_been_received_is_sent_again_before_its_end(store: Store) -> None:
    alert = begin(store, critical())
    decide(store, at(120))
    (first,) = store.due_fallback(at(120))
    store.put_off_fallback(first.id, at(125), "timed out", maybe_sent=True)
    store.record(poll([ends(alert, at(122))], now=at(122)))
    assert decide(store, at(123)) == (1, 0)
    assert due(store, at(124)) == []
    assert due(store, at(125)) == [first.body]
    store.sent_fallback(first.id, at(126))
    assert due(store, at(126)) == ["resolved critical #1"]


def test_slack_takes_it_before_the_webhook_does(store: Store) -> None:
    """What was certainly not received is taken off; when Slack fails again for its next message, it is posted."""
    alert = begin(store, critical())
    decide(store, at(120))
    (first,) = store.due_fallback(at(120))
    store.put_off_fallback(first.id, at(125), "refused", maybe_sent=False)
    (card,) = posts(store, at(121))
    post(store, card, at(121))
    assert decide(store, at(122)) == (0, 1)
    assert store.waiting_fallback() == 0
    step = notice(one(store, alert), reason=Reason.ESCALATED, channel="#b", group="escalation:1:600", now=at(200))
    store.record(poll([], [step], now=at(200)))
    assert decide(store, at(320)) == (1, 0)
    assert [each.id for each in store.due_fallback(at(320))] == [first.id]


def test_why_slack_did_not_take_it(store: Store) -> None:
    begin(store, critical())
    (card,) = posts(store, at(0))
    store.claim(card.notice.id, ME, at(0))
    store.put_off(card.notice.id, at(500), "Could not post in #cc-sales: account_inactive", claimant=ME, unknown=False)
    decide(store, at(120))
    assert due(store, at(120)) == ["firing critical #1 since 0 #cc-sales Could not post in #cc-sales: account_inactive"]


def test_one_that_is_given_up_is_not_tried_again(store: Store) -> None:
    begin(store, critical())
    decide(store, at(120))
    (first,) = store.due_fallback(at(120))
    store.give_up_fallback(first.id, "404", at(121))
    assert (due(store, at(999)), decide(store, at(999))) == ([], (0, 0))


def test_an_end_of_long_ago_is_not_posted(store: Store) -> None:
    """The webhook was taken out of the configuration for days."""
    alert = begin(store, critical())
    decide(store, at(120))
    (first,) = store.due_fallback(at(120))
    store.sent_fallback(first.id, at(121))
    store.record(poll([ends(alert, at(130))], now=at(130)))
    assert decide(store, at(130) + timedelta(days=2)) == (0, 0)
    assert decide(store, at(130)) == (0, 0)


def test_a_clock_that_was_set_back_holds_nothing(store: Store) -> None:
    begin(store, critical())
    decide(store, at(120))
    (first,) = store.due_fallback(at(120))
    store.put_off_fallback(first.id, at(120) + timedelta(days=3), "503", maybe_sent=False)
    assert len(store.due_fallback(at(121))) == 1


def test_the_end_has_the_incident_of_what_was_posted(store: Store) -> None:
    """A clock that was set back moves the time at which the alert fired, but not the name under which it was opened."""
    alert = begin(store, critical())
    store.decide_fallback(CRITICAL, AFTER, as_json, at(120))
    (first,) = store.due_fallback(at(120))
    store.sent_fallback(first.id, at(121))
    moved = clock_step.moved_back(one(store, alert), timedelta(hours=1))
    back = at(122) - timedelta(hours=1)
    store.record(poll([Change(alert, moved, None, clock_step.WHY)], now=back))
    store.record(poll([ends(one(store, alert), back)], now=back))
    store.decide_fallback(CRITICAL, AFTER, as_json, back)
    (end,) = store.due_fallback(back)
    assert json.loads(end.body) == {"kind": "resolved", "incident": json.loads(first.body)["incident"]}
    assert end.id != first.id


def as_json(new: NewPost) -> str:
    return json.dumps({"kind": new.kind, "incident": new.incident})


@pytest.mark.parametrize(
    ("step", "decided"),
    [(timedelta(minutes=1), [180]), (timedelta(hours=1), [0])],
    ids=["by less than `after`", "by an hour"],
)
def test_a_message_from_before_the_clock_was_set_back(store: Store, step: timedelta, decided: list[int]) -> None:
    """How long it waits is not known: it is posted at once, and not when the clock shows that time again."""
    begin(store, critical())
    found = [second for second in range(0, 3600, 60) if decide(store, at(second) - step) == (1, 0)]
    assert found == decided


def test_another_alert_of_the_same_rule_and_queue_is_another_incident(store: Store) -> None:
    """So nothing is taken for a repetition on the other side."""
    first = begin(store, critical())
    store.record(poll([ends(first, at(60))], now=at(60)))
    second = begin(store, replace(critical(), fired_at=at(70)), at(70))
    assert first.key == second.key
    assert incident(first) != incident(second)


def test_a_still_check_writes_nothing(path: Path) -> None:
    """Asked every few seconds for months: while nothing changes it only reads, so it waits for no writer."""
    store = SqliteStore(path, busy_timeout=0.05)
    begin(store, critical())
    decide(store, at(120))
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert decide(store, at(125)) == (0, 0)
        assert len(store.due_fallback(at(125))) == 1
    store.close()
