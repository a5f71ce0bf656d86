"""Delivery with the real store and a Slack that fails at the worst moments: posted once, and never lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alertbot.alerts.alert import Change, Reason, State
from alertbot.alerts.cards import Posted
from alertbot.alerts.delivery import Claimed, EditCard, PostCard
from alertbot.alerts.notice import NoticeKind
from alertbot.evaluation.measure import Measure
from alertbot.rules.catalogue import ValueType
from alertbot.rules.rule import Level
from alertbot.slack.notifier import SlackNotifier
from alertbot.store.records import NoticeState
from tests.notify.cases import FIRING, NASTY, card, notice
from tests.notify.world import ME, World, world
from tests.slack import slack_server as fake
from tests.slack.slack_server import TOKEN


@pytest.fixture
def there(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def titles(there: World, channel: str = "cc-alerts") -> list[str]:
    return [message["blocks"][0]["text"]["text"] for message in there.slack.top(channel) if message.get("blocks")]


def texts(there: World, channel: str) -> list[str]:
    return [message["text"] for message in there.slack.top(channel)]


def test_the_whole_life_of_an_alert_is_one_card(there: World) -> None:
    """Fired, risen, acknowledged, resolved: one post, edits in place, a thread with the timeline."""
    alert = there.fire(level=Level.WARNING, highest=Level.WARNING)
    there.settle()
    there.later(30).rise()
    there.settle()
    assert alert.id is not None
    there.store.acknowledge(alert.id, "U0ALICE00", "calling in Sam", there.later(30).now)
    there.settle()
    there.later(30).resolve()
    there.settle()
    (message,) = there.slack.top()
    assert titles(there) == ["🟢 Resolved: Queue 103 — Longest wait in queue"]
    lines = [
        reply["text"].split("Queue 103 — Longest wait in queue: ", 1)[1] for reply in there.slack.thread(message["ts"])
    ]
    assert [line.split(":")[0].split(" after")[0] for line in lines] == [
        "Now critical",
        "Acknowledged by U0ALICE00",
        "Resolved",
    ]
    totals = there.store.totals()
    assert (totals.cards_posted, totals.lines_posted, totals.given_up, totals.waiting) == (1, 3, 0, 0)


def test_a_restart_repeats_nothing(there: World) -> None:
    """What was delivered is not repeated; what was not is sent."""
    there.fire("1")
    there.settle()
    there.fire("2")
    there.restart()
    there.settle()
    there.restart()
    there.later(60).deliver()
    assert len(there.slack.top()) == 2
    assert len(there.slack.called("chat.postMessage")) == 2


def test_close_of_business_is_that_of_the_drawing(there: World) -> None:
    """By tenant and rule, when the card is posted and at each edit; not asked for what has ended."""
    asked: list[tuple[str, str, datetime]] = []

    def closes_at(tenant: str, rule: str, at: datetime) -> datetime | None:
        asked.append((tenant, rule, at))
        return at + timedelta(hours=1) if len(asked) == 1 else None

    def offered() -> bool:
        (card,) = there.slack.top()
        return "until close of business" in json.dumps(card["blocks"])

    key = there.fire().key
    there.deliver(closes_at=closes_at)
    assert offered()
    there.later(60).rise()
    there.deliver(closes_at=closes_at)
    assert not offered()
    assert asked == [(key.tenant, key.rule, there.now - timedelta(seconds=seconds)) for seconds in (60, 0)]
    there.later(60).resolve()
    there.deliver(closes_at=closes_at)
    assert len(asked) == 2


UNKNOWN = {
    "dropped-after": fake.DROP_AFTER,
    "dropped-before": fake.DROP_BEFORE,
    "500-after": fake.SERVER_ERROR_AFTER,
    "503-before": fake.SERVER_ERROR,
    "timeout-after": fake.HANG_AFTER,
    "html": fake.HTML,
    "fatal-error": fake.refused("fatal_error"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_outcome_is_looked_for(name: str, there: World) -> None:
    """Whether Slack stored the message or not: in the end it is there once."""
    there.slack.next("chat.postMessage", UNKNOWN[name])
    there.fire()
    report = there.deliver()
    assert (report.cards, report.put_off, report.credentials_ok) == (0, 1, True)
    assert there.settle() >= 5  # the first attempt may still arrive before the search
    assert len(there.slack.top()) == 1
    assert len(there.slack.called("conversations.history")) == 1
    assert there.store.totals().cards_posted == 1


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_line_is_looked_for_in_its_thread(name: str, there: World) -> None:
    """Thread lines are posted once as well."""
    there.fire()
    there.settle()
    there.slack.next("chat.postMessage", UNKNOWN[name])
    there.later(10).rise()
    there.settle()
    assert len(there.slack.thread(there.slack.top()[0]["ts"])) == 1


def test_an_adopted_card_is_edited(there: World) -> None:
    """It is not known which state an adopted message shows, so it is edited."""
    there.slack.next("chat.postMessage", fake.DROP_AFTER)
    there.fire()
    there.deliver()
    there.later(2).resolve()
    there.settle()
    assert titles(there) == ["🟢 Resolved: Queue 103 — Longest wait in queue"]
    assert len(there.slack.top()) == 1


KILLED = """
import sys
from datetime import datetime
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from alertbot.notify.deliver import deliver
from alertbot.service.process import name_of_poller
from alertbot.slack.notifier import SlackNotifier
from alertbot.store.sqlite.store import SqliteStore
store, now = SqliteStore(Path(sys.argv[1])), datetime.fromisoformat(sys.argv[3])
notifier = SlackNotifier("xoxb-111-very-secret-token", api_url=sys.argv[2], post_timeout=30)
channels = {"fallback_channel": "#cc-alerts", "ops_channel": "#cc-ops"}
deliver(store.due(now), notifier, store, lambda: now, claimant=name_of_poller(), **channels)
"""


def test_kill_between_post_and_mark(there: World) -> None:
    """`kill -9` after Slack has the message and before it is stored: the next start finds it and does not repeat it."""
    there.fire()
    there.slack.next("chat.postMessage", fake.HANG_AFTER)
    there.store.close()
    root = str(Path(__file__).parent.parent.parent)
    arguments = [str(there.path), there.slack.api_url, there.now.isoformat(), root]
    with subprocess.Popen([sys.executable, "-c", KILLED, *arguments]) as bot:
        end = time.monotonic() + 20
        while not there.slack.top() and time.monotonic() < end:
            assert bot.poll() is None
            time.sleep(0.01)
        bot.send_signal(signal.SIGKILL)
    assert len(there.slack.top()) == 1
    there.start()
    assert there.deliver().delivered == 0  # not within 5 s
    there.later(6)
    assert there.deliver().adopted == 1
    there.settle()
    assert len(there.slack.top()) == 1
    assert len(there.slack.called("chat.postMessage")) == 1


def test_without_history_a_card_is_repeated_and_a_line_is_not(there: World) -> None:
    """A duplicate card is better than a lost alert; and the card shows what the line would have said."""
    there.slack.unreadable.add("C0ALERTS")
    there.slack.next("chat.postMessage", fake.DROP_AFTER)
    there.fire()
    there.settle()
    assert len(there.slack.top()) == 2
    there.slack.next("chat.postMessage", fake.DROP_AFTER)
    there.later(10).rise()
    there.settle()
    assert sum(len(there.slack.thread(message["ts"])) for message in there.slack.top()) == 1
    assert there.store.totals().given_up == 1


def test_without_history_an_ops_notice_is_repeated(there: World) -> None:
    """A duplicate is better than a lost operational message."""
    there.slack.unreadable.add("C0CCOPS")
    there.slack.next("chat.postMessage", fake.DROP_AFTER)
    sent = replace(notice(Reason.OPERATIONS, kind=NoticeKind.OPS, channel="#cc-ops"), alert=None, text="no data")
    there.store.add_notices([sent])
    there.settle()
    assert texts(there, "cc-ops") == ["no data", "no data"]


def test_429_pauses_only_its_channel(there: World) -> None:
    """Retry-After applies to the channel that it was received for; others continue."""
    there.slack.next("chat.postMessage", fake.limited("30"))
    there.fire("1", channel="#cc-alerts")
    there.fire("2", channel="#cc-sales", level=Level.WARNING)
    report = there.deliver()
    assert (report.cards, report.put_off) == (1, 1)
    assert len(there.slack.top("cc-sales")) == 1
    there.fire("3", channel="#cc-alerts")
    assert there.later(29).deliver().delivered == 0
    there.later(2)
    there.settle()
    assert len(there.slack.top("cc-alerts")) == 2
    assert len(there.slack.called("conversations.history")) == 0  # certainly not posted: nothing to look for


def test_waiting_for_a_channel_is_no_failed_search(there: World) -> None:
    """However often a post had to wait, one failed search is one: searched again, found, and not posted twice."""
    there.slack.next("chat.postMessage", *[fake.limited("1")] * 6, fake.DROP_AFTER)
    there.slack.next("conversations.history", fake.SERVER_ERROR)
    there.fire()
    there.settle()
    assert len(there.slack.called("conversations.history")) == 2
    assert len(there.slack.top()) == 1


def test_searches_are_counted_for_each_attempt(there: World) -> None:
    """After five failed searches the card is repeated; the next attempt is searched for as often again."""
    there.slack.next("chat.postMessage", fake.DROP_AFTER, fake.DROP_AFTER)
    there.slack.next("conversations.history", *[fake.refused("internal_error")] * 6)
    there.fire()
    there.settle()
    assert len(there.slack.called("conversations.history")) == 7
    assert len(there.slack.top()) == 2


def test_waiting_does_not_delay_later_retries(there: World) -> None:
    """After a series of 429 the first real failure is retried after five seconds, a post and an edit alike."""
    there.slack.next("chat.postMessage", *[fake.limited("1")] * 8, fake.refused("service_unavailable"))
    there.fire()
    for _ in range(30):
        there.deliver()
        there.later(1)
    assert len(there.slack.top()) == 1
    there.slack.next("chat.update", *[fake.limited("1")] * 8, fake.refused("service_unavailable"))
    there.later(10).rise()
    for _ in range(30):
        there.deliver()
        there.later(1)
    assert "Critical" in titles(there)[0]


def test_retries_are_spaced_and_do_not_end(there: World) -> None:
    """What was certainly not posted is retried after 5 s, 10 s, … at most a minute, without end."""
    there.slack.next("chat.postMessage", *[fake.refused("service_unavailable")] * 12)
    there.fire()
    tries = []
    while not there.slack.top():
        before = len(there.slack.called("chat.postMessage"))
        there.deliver()
        if len(there.slack.called("chat.postMessage")) > before:
            tries.append(there.now)
        there.later(5)
    gaps = [int((b - a).total_seconds()) for a, b in pairwise(tries)]
    assert gaps == [5, 10, 20, 40, 60, 60, 60, 60, 60, 60, 60, 60]


def test_a_card_is_not_given_up_while_it_fires(there: World) -> None:
    """No channel works, and that is not fixed: the card of a firing alert is retried for days."""
    there.slack.archived.update({"C0ALERTS", "C0CCOPS"})
    there.fire()
    for _ in range(60):
        there.deliver()
        there.later(3600)
    there.slack.archived.clear()
    there.settle()
    assert titles(there) == ["🔴 Critical: Queue 103 — Longest wait in queue"]


def test_refused_credentials_stop_everything(there: World) -> None:
    """One refusal is enough: everything waits, and health reports it; with a fixed token nothing is missing."""
    for number in range(3):
        there.fire(str(number), channel=["#cc-alerts", "#cc-sales", "#cc-ops"][number])
    there.token = "xoxb-wrong"
    there.restart()
    report = there.deliver()
    assert not report.credentials_ok
    assert report.put_off == 3
    assert len(there.slack.called("chat.postMessage")) == 1
    assert "xoxb-wrong" not in " ".join(report.errors)
    there.token = fake.TOKEN
    there.restart()
    there.settle()
    assert [len(there.slack.top(name)) for name in there.slack.channels] == [1, 1, 1]


def test_a_broken_channel_falls_back(there: World) -> None:
    """The card goes to the fallback channel, the ops channel gets one message, and the card's lines follow."""
    there.slack.archived.add("C0SALES")
    there.fire("1", channel="#cc-sales")
    there.fire("2", channel="#cc-sales")
    there.settle()
    assert len(there.slack.top("cc-alerts")) == 2
    (text,) = texts(there, "cc-ops")
    assert "#cc-sales does not work" in text
    assert "is_archived" in text
    assert "go to #cc-alerts" in text
    there.later(10).resolve("1", channel="#cc-sales")
    there.settle()
    assert sorted(titles(there)) == [
        "🔴 Critical: Queue 2 — Longest wait in queue",
        "🟢 Resolved: Queue 1 — Longest wait in queue",
    ]


def test_the_fallback_channel_is_broken_too(there: World) -> None:
    """Then the ops channel is the last resort for the message, and the card waits."""
    there.slack.archived.update({"C0SALES", "C0ALERTS"})
    there.fire(channel="#cc-sales")
    for _ in range(20):
        there.deliver()
        there.later(1)
    assert sorted(text.split(" ")[1] for text in texts(there, "cc-ops")) == ["#cc-alerts", "#cc-sales"]
    assert there.store.totals().waiting == 1
    there.slack.archived.discard("C0ALERTS")
    there.settle()
    assert len(there.slack.top("cc-alerts")) == 1


def test_a_channel_that_is_archived_with_a_card_in_it(there: World) -> None:
    """The card is posted again in the fallback channel, and continues there."""
    there.fire(channel="#cc-sales")
    there.settle()
    there.slack.archived.add("C0SALES")
    there.later(10).change(Reason.LEVEL_UP, channel="#cc-sales", level=Level.CRITICAL)
    there.run(60)
    (card,) = there.slack.top("cc-alerts")
    assert len(there.slack.thread(card["ts"])) == 1
    there.slack.archived.discard("C0SALES")  # and the message that was left behind is closed as well
    there.later(10).resolve(channel="#cc-sales")
    there.settle()
    assert titles(there) == titles(there, "cc-sales") == ["🟢 Resolved: Queue 103 — Longest wait in queue"]


def test_a_refused_card_is_posted_as_text_and_reported(there: World) -> None:
    """A message that Slack rejects: only its text is posted, and the ops channel gets the reason."""
    there.slack.next("chat.postMessage", fake.refused("invalid_blocks"))
    there.fire()
    there.settle()
    (message,) = there.slack.top()
    assert "blocks" not in message
    assert message["text"].startswith("🔴 Critical: Queue 103: longest wait 2m 10s, limit 2m.")
    (told,) = texts(there, "cc-ops")
    assert "invalid_blocks" in told


def test_what_slack_refuses_even_as_text(there: World) -> None:
    """A card waits five minutes and is retried; a line, which the card repeats, is given up; both are reported."""
    refusal = fake.refused("invalid_arguments")
    there.slack.next("chat.postMessage", refusal, refusal)
    there.fire()
    there.deliver()
    there.later(299).deliver()
    assert there.slack.top() == []
    assert "invalid_arguments" in texts(there, "cc-ops")[0]
    there.later(1)
    there.settle()
    assert len(there.slack.top()) == 1
    there.slack.next("chat.postMessage", refusal, refusal)
    there.later(10).rise()
    there.settle()
    assert there.store.totals().given_up == 1


def test_an_intent_of_a_clock_that_was_set_back(there: World) -> None:
    """A claim that is hours ahead is not waited for: the message is searched for, and found."""
    alert = there.fire()
    (due,) = there.store.due(there.now)
    assert isinstance(due, PostCard)
    there.store.claim(due.notice.id, ME, there.now)
    there.notifier.post_card(card(alert), channel="#cc-alerts", notice_id=due.notice.id)
    there.later(-3 * 3600).restart()
    there.settle()
    assert len(there.slack.top()) == 1
    assert len(there.slack.called("chat.postMessage")) == 1


@pytest.mark.parametrize("wrong", [-3600, 300, 3600], ids=lambda wrong: f"{wrong} s ahead")
def test_a_clock_that_was_set_right_after_the_message_was_sent(wrong: int, there: World) -> None:
    """The claim has a time of the wrong clock, and the search one of the right clock: it still finds the message."""
    there.slack_is_ahead = timedelta(seconds=-wrong)
    there.slack.next("chat.postMessage", fake.DROP_AFTER)
    there.fire()
    there.deliver()
    there.slack_is_ahead = timedelta()
    there.later(600 - wrong).restart()
    there.settle(timedelta(hours=2), step=30)
    assert len(there.slack.top()) == 1
    assert len(there.slack.called("chat.postMessage")) == 1


def test_a_broken_template_is_reported_once(there: World) -> None:
    """The cards are posted in the built-in form; two broken cards are one notice."""
    file = there.path.parent / "bad.j2"
    file.write_text('{% extends "alert.j2" %}\n{% block title %}{{ card.nothing }}{% endblock %}')
    about = replace(FIRING.about, template="bad")
    there.fire("1", about=about)
    there.fire("2", about=about)
    there.settle()
    assert len(titles(there)) == 2
    (text,) = texts(there, "cc-ops")
    assert f"{file}:2" in text
    assert "nothing" in text


def test_a_deleted_card_is_posted_again_while_it_fires(there: World) -> None:
    """A user deletes the card: a new one takes its place, its lines go there, and no one is mentioned again."""
    there.fire()
    there.settle()
    first = there.slack.top()[0]["ts"]
    there.slack.delete(first)
    there.later(10).rise()
    there.settle()
    (message,) = there.slack.top()
    assert message["ts"] != first
    there.slack.delete(message["ts"])
    there.later(10).resolve()
    there.settle()
    assert there.slack.top() == []  # ended and deleted: not posted again


def test_many_changes_are_one_edit_with_the_newest_content(there: World) -> None:
    """A card is a projection of the stored state: what changed between two deliveries is one edit."""
    there.fire()
    there.settle()
    for value in (140_000.0, 150_000.0, 160_000.0):
        before = there.later(61).alert()
        measure = Measure("interactionsLongestWaitInQueue.rt", ValueType.DURATION, ">", value, 120_000.0)
        there.record(Change(before, replace(before, measure=measure, peak=value), None, "the value changed"))
    report = there.deliver()
    assert (report.edits, report.delivered) == (1, 1)
    assert there.slack.top()[0]["blocks"][1]["text"]["text"].startswith("Queue 103: *longest wait 2m 40s*, limit 2m")
    assert there.deliver().delivered == 0


def test_an_edit_that_was_limited_comes_later_with_the_newest_content(there: World) -> None:
    """429 on an edit waits as long as Retry-After says."""
    there.fire()
    there.settle()
    there.slack.next("chat.update", fake.limited("20"))
    there.later(10).rise()
    there.deliver()
    there.later(5).resolve()
    there.settle()
    assert titles(there) == ["🟢 Resolved: Queue 103 — Longest wait in queue"]
    assert len(there.slack.called("chat.update")) == 2


def test_stop_leaves_the_rest_due(there: World) -> None:
    """Asked to stop, it ends after the current item; the rest is due at the next start."""
    for number, channel in enumerate(["#cc-alerts", "#cc-sales", "#cc-ops"]):
        there.fire(str(number), channel=channel)
    report = there.deliver(stop=lambda: bool(there.slack.called("chat.postMessage")))
    assert report.cards == 1
    there.restart()
    there.settle()
    assert there.store.totals().cards_posted == 3


def test_a_hostile_name_all_the_way(there: World) -> None:
    """Through the store and out: the name is unchanged."""
    before = there.fire()
    there.record(Change(before, replace(before, entity_name=NASTY), None, "renamed"))
    there.settle()
    (message,) = there.slack.top()
    assert message["blocks"][0]["text"]["text"].endswith(f"{NASTY} — Longest wait in queue")
    assert "<!channel>" not in json.dumps([message["text"], message["blocks"][1:], message["attachments"]])


class Watch:
    """A monotonic clock that jumps: `seconds` before its reading of that number."""

    def __init__(self, **jumps: float) -> None:
        self.jumps = jumps
        self.now = 0.0
        self.readings = 0

    def __call__(self) -> float:
        self.readings += 1
        self.now += self.jumps.get(f"reading_{self.readings}", 0.0)
        return self.now


@pytest.mark.parametrize(("seconds", "sent"), [(2.0, True), (2.1, False), (3600.0, False)])
def test_what_was_claimed_too_long_ago_is_not_sent(there: World, seconds: float, sent: bool) -> None:
    """The machine was suspended, or the database locked: others may search by now, so it is claimed again first."""
    there.fire()
    report = there.deliver(monotonic=Watch(reading_2=seconds))
    assert (report.cards, report.put_off) == ((1, 0) if sent else (0, 1))
    assert len(there.slack.called("chat.postMessage")) == sent
    assert there.settle() <= 2
    assert len(there.slack.called("chat.postMessage")) == 1  # nothing had to be looked for
    assert there.slack.called("conversations.history") == []


@pytest.mark.parametrize(("seconds", "sent"), [(2.0, True), (2.1, False), (3600.0, False)])
def test_an_edit_that_was_claimed_too_long_ago_is_not_sent(there: World, seconds: float, sent: bool) -> None:
    """Another process may have sent a newer state by now. It is due again at once."""
    there.fire()
    there.settle()
    there.later(5).rise()
    (edit,) = [each for each in there.store.due(there.now) if isinstance(each, EditCard)]
    report = there.deliver(due=[edit], monotonic=Watch(reading_2=seconds))
    assert (report.edits, report.put_off) == ((1, 0) if sent else (0, 1))
    assert len(there.slack.called("chat.update")) == sent
    assert there.store.claimants() == []
    there.settle()
    assert len(there.slack.called("chat.update")) == 1


def test_a_refused_edit_that_took_too_long(there: World) -> None:
    """As for a post: the plain text is sent under the next claim."""
    there.fire()
    there.settle()
    there.later(5).rise()
    (edit,) = [each for each in there.store.due(there.now) if isinstance(each, EditCard)]
    there.slack.next("chat.update", fake.refused("invalid_blocks"))
    assert there.deliver(due=[edit], monotonic=Watch(reading_3=3.0)).put_off == 1
    assert there.deliver(due=[edit]).edits == 1
    assert len(there.slack.called("chat.update")) == 2
    assert not there.slack.top()[0].get("blocks")


def test_what_another_process_edits_is_left_to_it(there: World) -> None:
    """Until its outcome is known, or 20 s have passed."""
    there.fire()
    there.settle()
    there.later(5).rise()
    (edit,) = [each for each in there.store.due(there.now) if isinstance(each, EditCard)]
    assert there.store.claim_edit(edit, "another process", there.now) is Claimed.DONE
    assert there.deliver(due=[edit]).claimed_elsewhere == 1
    assert there.later(19).deliver(due=[edit]).edits == 0
    assert there.later(1).deliver(due=[edit]).edits == 1


def test_a_refusal_that_took_too_long(there: World) -> None:
    """Slack refuses the rendered card after 3 s: the plain text is not sent under that claim, but under the next."""
    there.slack.next("chat.postMessage", fake.refused("invalid_blocks"))
    there.fire()
    assert there.deliver(monotonic=Watch(reading_3=3.0)).put_off == 1
    there.later(2).deliver()
    (message,) = there.slack.top()
    assert "blocks" not in message
    assert len(there.slack.called("chat.postMessage")) == 2


def test_what_another_process_claimed_is_left_to_it(there: World) -> None:
    """Nothing is sent and nothing is marked; once the other may be dead, the message is searched for first."""
    there.fire()
    (due,) = items = there.store.due(there.now)
    assert isinstance(due, PostCard)
    there.store.claim(due.notice.id, "another process", there.now)
    assert there.deliver(due=items).claimed_elsewhere == 1
    assert there.later(19).deliver().delivered == 0
    assert there.slack.calls == []
    there.later(1)
    there.settle()
    methods = [method for method, _ in there.slack.calls]
    assert methods[-2:] == ["conversations.history", "chat.postMessage"]


FAULTS = st.sampled_from(
    [
        fake.DROP_AFTER,
        fake.DROP_BEFORE,
        fake.SERVER_ERROR,
        fake.SERVER_ERROR_AFTER,
        fake.HTML,
        fake.limited("3"),
        fake.refused("service_unavailable"),
        fake.refused("internal_error"),
        None,
    ]
)


@given(
    posts=st.lists(FAULTS, max_size=8),
    edits=st.lists(FAULTS, max_size=4),
    looks=st.lists(FAULTS, max_size=4),
    restarts=st.sets(st.integers(0, 3)),
)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_exactly_once_whatever_fails(
    posts: list[fake.Fault | None],
    edits: list[fake.Fault | None],
    looks: list[fake.Fault | None],
    restarts: set[int],
) -> None:
    """Any order of faults and restarts: every card and line is there once, and the card shows the end."""
    with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as there:
        for method, faults in (("chat.postMessage", posts), ("chat.update", edits), ("conversations.history", looks)):
            there.slack.next(method, *[fault for fault in faults if fault])
        there.fire("1", level=Level.WARNING)
        there.fire("2")
        steps = [
            lambda: there.rise("1"),
            lambda: there.resolve("2"),
            lambda: there.change(Reason.LEVEL_DOWN, "1", level=Level.WARNING),
            lambda: there.resolve("1"),
        ]
        for number, step in enumerate(steps):
            for _ in range(4):
                there.deliver()
                there.later(2)
            step()
            if number in restarts:
                there.restart()
        there.settle(timedelta(hours=2), step=5)
        assert sorted(titles(there)) == [f"🟢 Resolved: Queue {n} — Longest wait in queue" for n in (1, 2)]
        waiting = [entry for alert_id in (1, 2) for entry in there.store.notices_of(alert_id)]
        assert {entry.state for entry in waiting} <= {NoticeState.DELIVERED, NoticeState.SHOWN_BY_CARD}
        lines = [entry for entry in waiting if entry.state is NoticeState.DELIVERED and entry.notice.kind == "line"]
        told = [reply for card in there.slack.top() for reply in there.slack.thread(card["ts"])]
        assert len(told) == len(lines)


# One bad thing must not stop the others, and no card stays out of date.


@pytest.mark.parametrize("code", ["no_permission", "access_denied", "team_access_not_granted", "missing_scope"])
def test_a_refusal_of_one_channel_is_not_one_of_the_token(code: str, there: World) -> None:
    """The token is good, as auth.test says: the card goes to the fallback channel, and all others are delivered."""
    there.slack.next("chat.postMessage", fake.refused(code))
    there.fire("1", channel="#cc-sales", level=Level.CRITICAL)
    there.fire("2", channel="#cc-alerts", level=Level.WARNING)
    report = there.deliver()
    assert (report.credentials_ok, report.rerouted, report.cards) == (True, 1, 1)
    there.settle()
    assert len(there.slack.top("cc-alerts")) == 2
    (reported,) = texts(there, "cc-ops")
    assert code in reported


def test_refused_credentials_put_nothing_off(there: World) -> None:
    """All stays due, so that the next run of `poll` tries again at once."""
    there.fire("1")
    there.fire("2", channel="#cc-sales")
    there.slack.next("chat.postMessage", fake.refused("token_revoked"))
    there.slack.next("auth.test", fake.refused("token_revoked"))
    report = there.deliver()
    assert (report.credentials_ok, report.cards, report.put_off) == (False, 0, 2)
    assert there.later(1).deliver().cards == 2


REFUSALS = ("external_channel_migrating", "a_code_of_tomorrow", "invalid_arguments", "deprecated_endpoint")


@pytest.mark.parametrize("code", [*REFUSALS, "channel_not_found", "not_in_channel", "no_permission"])
def test_a_last_edit_that_is_refused_is_made_later(code: str, there: World) -> None:
    """For whatever reason, as drawn and as plain text: it stays due with its error, and the card is closed."""
    there.fire()
    there.settle()
    there.slack.next("chat.update", *[fake.refused(code)] * 4)
    there.later(10).resolve()
    there.deliver()
    assert not there.idle()  # outstanding
    there.settle()
    assert titles(there) == ["🟢 Resolved: Queue 103 — Longest wait in queue"]
    assert len(there.slack.top()) == 1


def test_a_channel_error_on_an_edit_makes_no_second_card(there: World) -> None:
    """One `channel_not_found` while the alert is open: the same message is edited a little later."""
    there.fire(level=Level.WARNING)
    there.settle()
    there.slack.next("chat.update", fake.refused("channel_not_found"))
    there.later(10).rise()
    there.settle()
    assert titles(there) == ["🔴 Critical: Queue 103 — Longest wait in queue"]
    assert texts(there, "cc-ops") == []  # it passed
    assert [entry.state for entry in there.store.notices_of(1)] == [NoticeState.DELIVERED] * 2


def test_a_channel_that_refuses_edits_for_long(there: World) -> None:
    """An open card is posted again, once; when the channel works again both messages show the end."""
    there.fire(channel="#cc-sales", level=Level.WARNING)
    there.settle()
    there.slack.next("chat.update", *[fake.refused("not_in_channel")] * 40)
    there.later(10).change(Reason.LEVEL_UP, channel="#cc-sales", level=Level.CRITICAL)
    there.run(300)
    assert len(there.slack.top("cc-sales")) == 2
    there.slack.faults["chat.update"].clear()
    there.resolve(channel="#cc-sales")
    there.settle()
    assert titles(there, "cc-sales") == ["🟢 Resolved: Queue 103 — Longest wait in queue"] * 2


def test_a_former_message_that_is_deleted_is_forgotten(there: World) -> None:
    """`message_not_found` says that there is nothing to close."""
    there.fire(channel="#cc-sales")
    there.settle()
    there.slack.archived.add("C0SALES")
    there.later(10).change(Reason.LEVEL_UP, channel="#cc-sales", level=Level.CRITICAL)
    there.run(60)
    there.slack.archived.clear()
    there.slack.messages["C0SALES"].clear()
    there.resolve(channel="#cc-sales")
    there.settle()
    assert titles(there) == ["🟢 Resolved: Queue 103 — Longest wait in queue"]
    assert titles(there, "cc-sales") == []


@pytest.mark.parametrize("with_line", [True, False], ids=["with a line of its end", "without"])
@pytest.mark.parametrize("code", ["cant_update_message", "edit_window_closed"])
def test_a_card_that_may_not_be_edited_is_closed_in_its_thread(code: str, with_line: bool, there: World) -> None:
    """The message stands there, so its thread says that it has ended; ops hears once that it cannot be edited."""
    there.fire("1")
    there.fire("2")
    there.settle()
    there.slack.next("chat.update", *[fake.refused(code)] * 50)
    for entity in ("1", "2"):
        if with_line:
            there.later(10).resolve(entity)
        else:  # as when it is muted
            before = there.later(10).alert(entity)
            ended = {"state": State.INACTIVE, "ended_at": there.now, "end_reason": Reason.RESOLVED}
            there.record(Change(before, replace(before, **ended), Reason.RESOLVED, "muted"))
    there.settle()
    for message in there.slack.top():
        (reply,) = there.slack.thread(message["ts"])
        assert "Resolved" in reply["text"]
    (reported,) = texts(there, "cc-ops")
    assert code in reported
    assert there.store.totals().given_up == 0


def test_a_refused_edit_stays_outstanding_over_a_restart(there: World) -> None:
    """What is known of it is stored."""
    there.fire()
    there.settle()
    there.slack.next("chat.update", *[fake.refused("a_code_of_tomorrow")] * 2)
    there.later(10).resolve()
    there.deliver()
    there.restart()
    assert not there.idle()
    there.settle()
    assert titles(there) == ["🟢 Resolved: Queue 103 — Longest wait in queue"]


def test_the_last_line_of_a_card_survives_a_channel_error(there: World) -> None:
    """An ended card keeps its message, and its thread gets the line a little later."""
    there.fire()
    there.settle()
    refusal = fake.refused("channel_not_found")
    there.slack.next("chat.postMessage", refusal, refusal)
    there.slack.next("chat.update", refusal)
    there.later(10).resolve()
    there.settle()
    (message,) = there.slack.top()
    assert titles(there) == ["🟢 Resolved: Queue 103 — Longest wait in queue"]
    assert len(there.slack.thread(message["ts"])) == 1


@pytest.mark.parametrize("restart", [False, True], ids=["running", "restarted"])
def test_429_on_an_edit_holds_every_edit(restart: bool, there: World) -> None:
    """Edits are counted for the workspace: one request, not one for each card; posts go on."""
    for number in range(5):
        there.fire(str(number), channel=["#cc-alerts", "#cc-sales", "#cc-ops"][number % 3])
    there.settle()
    there.slack.next("chat.update", *[fake.limited("20")] * 20)
    there.later(10)
    for number in range(5):
        there.resolve(str(number), channel=["#cc-alerts", "#cc-sales", "#cc-ops"][number % 3])
    there.deliver()
    if restart:
        there.restart()
    there.fire("new", channel="#cc-sales")
    there.run(19)
    assert len(there.slack.called("chat.update")) == 1
    assert len(there.slack.top("cc-sales")) == 3
    there.slack.faults["chat.update"].clear()
    there.settle()
    assert sum("Resolved" in title for name in there.slack.channels for title in titles(there, name)) == 5


UNUSUAL = {
    "nested": fake.Fault(body="[" * 5000),
    "retry-after-nan": fake.limited("NaN"),
    "drips": fake.DRIP_AFTER,
    "redirect": fake.Fault(status=302, body="", headers=(("Location", "http://127.0.0.1:9/"),)),
}


@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update"])
@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_answer_ends_no_batch(name: str, method: str, there: World) -> None:
    """The items behind it are delivered in the same call, and its own is delivered later, once."""
    there.fire("1")
    there.settle()
    there.slack.next(method, UNUSUAL[name])
    there.later(10).rise("1")
    there.fire("2", channel="#cc-sales", level=Level.WARNING)
    assert there.deliver().cards == 1
    there.settle()
    assert len(there.slack.thread(there.slack.top()[0]["ts"])) == 1
    assert (len(there.slack.top()), len(there.slack.top("cc-sales"))) == (1, 1)


class Broken(SlackNotifier):
    """Fails in a way that no notifier promises, before or after it sent."""

    fails = ""

    def post_card(self, *args: Any, **options: Any) -> Posted:
        failing, Broken.fails = Broken.fails, ""
        if failing == "before":
            raise RecursionError
        posted = super().post_card(*args, **options)
        if failing == "after":
            raise ZeroDivisionError
        return posted


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_unexpected_error_ends_no_batch(when: str, there: World) -> None:
    """It may have been sent: it is looked for, and posted once."""
    Broken.fails = when
    there.notifier = Broken(TOKEN, api_url=there.slack.api_url)
    there.fire("1")
    there.fire("2", channel="#cc-sales", level=Level.WARNING)
    report = there.deliver()
    assert (report.cards, report.put_off) == (1, 1)
    there.settle()
    assert (len(there.slack.top()), len(there.slack.top("cc-sales"))) == (1, 1)


@pytest.mark.parametrize("ahead", [-300, -70, 120], ids=["far behind", "behind", "ahead"])
def test_one_card_whatever_the_clock_of_slack(ahead: int, there: World) -> None:
    """The answer is lost after Slack took the message; its clock is not ours."""
    there.slack_is_ahead = timedelta(seconds=ahead)
    there.slack.next("chat.postMessage", fake.DROP_AFTER)
    there.fire()
    there.deliver()
    there.restart()
    there.settle()
    assert len(there.slack.top()) == 1
    assert len(there.slack.called("chat.postMessage")) == 1


def test_since_when_a_message_is_overdue(there: World) -> None:
    """From its decision, once it was tried; waiting for its turn in a busy channel does not count."""
    assert there.store.overdue_since(there.now) is None
    for number in range(3):
        there.fire(str(number))
    began = there.now
    there.later(200).deliver()  # the first of three; the others had to wait for their turn from now on
    assert there.store.overdue_since(there.now) == there.now
    there.later(2)
    there.slack.next("chat.postMessage", fake.refused("service_unavailable"))
    there.deliver()
    assert there.store.overdue_since(there.now) == began
    there.settle()
    assert there.store.overdue_since(there.now) is None
