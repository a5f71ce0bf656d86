"""The auditor against Slack: messages that users deleted, duplicates, and messages that show something else."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from alertbot.alerts.audit import AuditKind, same_headline
from alertbot.rules.rule import Level
from alertbot.service.auditor import MAX_CALLS, Auditor
from alertbot.service.signal import ThreadSignal
from alertbot.slack.notifier import SlackNotifier
from alertbot.store.sqlite.store import SqliteStore
from alertbot.web.metrics import AUDIT_KINDS, Metrics
from tests.foreign import emulate
from tests.notify.world import ME, World, world
from tests.service.operated import operated
from tests.slack.slack_server import limited, refused

DELETED, OUTDATED, DUPLICATE = AuditKind.MESSAGE_DELETED, AuditKind.MESSAGE_OUTDATED, AuditKind.MESSAGE_DUPLICATE


@dataclass
class Audited:
    """A store, a Slack, a clock that the test moves, and the auditor between them."""

    world: World
    problem: str = ""
    metrics: Metrics = field(default_factory=Metrics)
    auditor: Auditor = field(init=False)

    def __post_init__(self) -> None:
        self.auditor = Auditor(
            self.world.store,
            self.world.notifier,
            lambda: self.world.now,
            ThreadSignal(),
            self.metrics,
            claimant=ME,
            ops_channel="#cc-ops",
            timezone="UTC",
            show_tenant=False,
            slack_problem=lambda: self.problem,
        )

    def run(self, after: float = 600) -> list[tuple[AuditKind, bool]]:
        """What is found, that many seconds later."""
        self.world.later(after)
        return [(finding.kind, finding.repaired) for finding in self.auditor.run()]

    def reads(self) -> list[str]:
        """The calls of the last audit, without those of delivery."""
        calls = [method for method, _ in self.world.slack.calls]
        self.world.slack.calls.clear()
        return [method for method in calls if method.startswith("conversations.") or method == "chat.update"]

    def counted(self) -> dict[tuple[str, str], float]:
        families = self.metrics._audit.collect()
        return {
            (sample.labels["kind"], sample.labels["outcome"]): sample.value
            for family in families
            for sample in family.samples
            if sample.name.endswith("_total") and sample.value
        }


@pytest.fixture
def audited(tmp_path: Path) -> Iterator[Audited]:
    with world(tmp_path) as made:
        yield Audited(made)


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as captured:
        yield captured


def test_all_is_well(audited: Audited, lines: list[Any]) -> None:
    """One call for each channel with open cards, and nothing is written, posted or logged."""
    for entity, channel in (("1", "#cc-alerts"), ("2", "#cc-alerts"), ("3", "#cc-sales")):
        audited.world.fire(entity, channel=channel)
    audited.world.settle()
    audited.world.slack.calls.clear()
    assert audited.run() == []
    assert audited.reads() == ["conversations.history"] * 2
    assert lines == []
    with closing(sqlite3.connect(audited.world.path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert audited.run() == []


def test_a_message_that_a_person_deleted(audited: Audited, lines: list[Any]) -> None:
    """The card is posted again, without mentions, and its later lines go to the new thread; one line of the log."""
    slack = audited.world.slack
    for entity in ("1", "2"):
        audited.world.fire(entity)
    audited.world.settle()
    gone, kept = slack.top()
    slack.delete(gone["ts"])
    slack.calls.clear()
    assert audited.run() == [(DELETED, True)]
    assert audited.reads() == ["conversations.history", "conversations.replies"]
    audited.world.settle()
    first, second = slack.top()
    assert (first, second["blocks"][0]) == (kept, gone["blocks"][0])
    audited.world.rise("1")
    audited.world.settle()
    assert len(slack.thread(second["ts"])) == 1
    assert audited.run() == []
    assert audited.counted() == {(DELETED, "repaired"): 1}
    assert len([line for line in lines if "audit" in line["event"]]) == 1


def test_what_is_left_of_a_deleted_message_is_none(audited: Audited) -> None:
    """Slack keeps the place of a message with a thread, as `tombstone`."""
    audited.world.fire()
    audited.world.rise()
    audited.world.settle()
    (message,) = audited.world.slack.top()
    message.update(subtype="tombstone", text="This message was deleted.", user="USLACKBOT")
    for key in ("blocks", "attachments", "bot_id", "metadata"):
        message.pop(key, None)
    assert audited.run() == [(DELETED, True)]


def test_a_deleted_message_of_an_ended_alert_stays_deleted(audited: Audited) -> None:
    audited.world.fire()
    audited.world.settle()
    audited.world.resolve()
    audited.world.settle()
    audited.world.slack.delete(audited.world.slack.top()[0]["ts"])
    assert audited.run() == []


def test_a_message_that_is_there_twice(audited: Audited) -> None:
    """The one that the store knows is kept up to date; the other says that it is a duplicate, once, and stays so."""
    slack = audited.world.slack
    audited.world.fire()
    audited.world.settle()
    (known,) = slack.top()
    slack.messages[slack.channels["cc-alerts"]].append({**known, "ts": f"{float(known['ts']) + 3:.6f}"})
    assert audited.run() == [(DUPLICATE, True)]
    first, second = slack.top()
    assert first == known
    assert second["text"] == "Duplicate: this alert is shown by another message, which is kept up to date."
    assert [second[key] for key in ("blocks", "attachments", "metadata")] == [[], [], {}]
    assert audited.run() == []
    found = audited.world.notifier.find(
        channel="#cc-alerts",
        notice_id=known["metadata"]["event_payload"]["notice_id"],
        since=audited.world.now - timedelta(hours=1),
        thread=None,
    )
    assert found is not None
    assert found.ts == known["ts"]


def test_the_older_one_may_be_the_duplicate(audited: Audited) -> None:
    """Where the store knows the newer one: its thread has the timeline."""
    slack = audited.world.slack
    audited.world.fire("1")
    audited.world.settle()
    audited.world.later(10).fire("2")
    audited.world.settle()
    other, known = slack.top()
    older = {**known, "ts": f"{float(known['ts']) - 3:.6f}"}
    slack.messages[slack.channels["cc-alerts"]].insert(1, older)
    assert audited.run() == [(DUPLICATE, True)]
    assert [message["text"][:9] for message in slack.top()] == ["Critical:", "Duplicate", "Critical:"]
    assert (slack.top()[0], slack.top()[2]) == (other, known)


def test_a_message_that_shows_something_else(audited: Audited) -> None:
    """An older edit came last: the card is edited again. A person's message, and a drill of `preview`, are not read."""
    slack = audited.world.slack
    audited.world.fire(level=Level.WARNING)
    audited.world.settle()
    (message,) = slack.top()
    stale = message["blocks"]
    audited.world.rise()
    audited.world.settle()
    slack.top()[0]["blocks"] = stale
    slack.say("is anyone on this?")
    audited.world.notifier.post_text("a drill", channel="#cc-alerts", notice_id="drill")
    assert audited.run() == [(OUTDATED, True)]
    audited.world.settle()
    assert slack.top()[0]["blocks"][0]["text"]["text"].startswith("🔴 Critical")
    assert audited.run() == []


def test_one_that_never_shows_it_is_reported(audited: Audited) -> None:
    """Edited once; then reported in the ops channel, once a day, when two audits in a row have found it."""
    audited.world.fire()
    audited.world.settle()
    slack = audited.world.slack
    channel = slack.channels["cc-alerts"]

    def spoil() -> None:
        slack.messages[channel][0]["blocks"][0]["text"]["text"] = "Something else"

    found = []
    for _ in range(4):
        spoil()
        found += audited.run()
        audited.world.settle()
    assert found == [(OUTDATED, True), *[(OUTDATED, False)] * 3]
    (told,) = slack.top("cc-ops")
    assert told["text"].splitlines() == [
        "The audit found 1 problem that it cannot repair:",
        "- the message of card 1 in #cc-alerts does not show its current state, although it was edited again",
    ]


def test_a_template_may_write_the_time_into_the_headline(audited: Audited) -> None:
    """Then the message shows what was true when it was edited: that is no difference."""
    template = '{% extends "builtin/alert.j2" %}{% block title %}{{ card.where }} for {{ card.duration }}{% endblock %}'
    (audited.world.path.parent / "alert.j2").write_text(template)
    audited.world.restart()
    audited.world.fire()
    audited.world.settle()
    audited = Audited(audited.world)
    assert " for " in audited.world.slack.top()[0]["blocks"][0]["text"]["text"]
    assert audited.run() == []


def test_every_kind_is_counted_from_zero() -> None:
    assert set(AUDIT_KINDS) == set(AuditKind)


def test_as_slack_writes_it(audited: Audited) -> None:
    """Slack returns emoji as short codes, and `&amp;`: that is no difference."""
    audited.world.fire()
    audited.world.settle()
    header = audited.world.slack.top()[0]["blocks"][0]["text"]
    header["text"] = header["text"].replace("🔴", ":red_circle:")
    assert audited.run() == []
    assert same_headline("🟢 Resolved: A & B <c> — Wait", ":large_green_circle: Resolved: A &amp; B &lt;c&gt; — Wait")
    assert not same_headline("🟢 Resolved: Sales — Wait", ":red_circle: Critical: Sales — Wait")


def test_its_calls_are_bounded(audited: Audited) -> None:
    """Cards that are older than what a page holds are read one by one, others in the next audit."""
    slack = audited.world.slack
    for number in range(30):
        audited.world.fire(str(number))
    audited.world.settle()
    for _ in range(450):
        slack.say("chatter")
    for message in slack.top()[:30]:
        slack.delete(message["ts"])
    slack.calls.clear()
    repaired = []
    for _ in range(2):
        repaired.append(len(audited.run()))
        assert len(audited.reads()) <= MAX_CALLS
    assert repaired[0] == MAX_CALLS - 2  # two pages first
    assert sum(repaired) == 30


def test_every_channel_has_its_turn(audited: Audited) -> None:
    """More channels than calls: the next audit continues where this one stopped."""
    slack = audited.world.slack
    for number in range(30):
        slack.channels[f"team-{number:02}"] = f"C1TEAM{number:02}"
        audited.world.fire(str(number), channel=f"#team-{number:02}")
    audited.world.settle()
    slack.calls.clear()
    read: list[str] = []
    for _ in range(3):
        assert audited.run() == []
        read += [args["channel"] for args in slack.called("conversations.history")]
        audited.reads()
    assert read == [f"C1TEAM{number % 30:02}" for number in range(60)]


def test_it_stops_at_the_first_429(audited: Audited) -> None:
    slack = audited.world.slack
    for entity, channel in (("1", "#cc-alerts"), ("2", "#cc-sales"), ("3", "#cc-ops")):
        audited.world.fire(entity, channel=channel)
    audited.world.settle()
    slack.calls.clear()
    slack.next("conversations.history", limited("60"))
    assert audited.run() == []
    assert audited.reads() == ["conversations.history"]


def test_a_429_of_an_edit_holds_all_edits(audited: Audited) -> None:
    """The duplicate is edited by the audit after it."""
    slack = audited.world.slack
    audited.world.fire()
    audited.world.settle()
    (known,) = slack.top()
    slack.messages[slack.channels["cc-alerts"]].append({**known, "ts": f"{float(known['ts']) + 3:.6f}"})
    slack.next("chat.update", limited("700"))
    assert audited.run() == []
    assert not audited.world.store.may_close_duplicate(audited.world.now)
    assert audited.run() == []
    assert audited.run() == [(DUPLICATE, True)]


UNREADABLE = {"not a member": "not_in_channel", "no scope": "missing_scope"}


@pytest.mark.parametrize("code", UNREADABLE.values(), ids=UNREADABLE)
def test_a_channel_that_cannot_be_read(audited: Audited, code: str, lines: list[Any]) -> None:
    """The other channels are audited, and nothing is taken for deleted."""
    slack = audited.world.slack
    for entity, channel in (("1", "#cc-alerts"), ("2", "#cc-sales")):
        audited.world.fire(entity, channel=channel)
    audited.world.settle()
    slack.delete(slack.top("cc-sales")[0]["ts"])
    slack.always["conversations.history", slack.channels["cc-alerts"]] = refused(code)
    slack.delete(slack.top("cc-alerts")[0]["ts"])
    assert audited.run() == [(DELETED, True)]
    assert "error" not in {line["log_level"] for line in lines}


def test_while_slack_is_away_only_the_store_is_audited(audited: Audited) -> None:
    audited.world.fire()
    audited.world.settle()
    audited.world.slack.delete(audited.world.slack.top()[0]["ts"])
    audited.world.slack.calls.clear()
    audited.problem = "Slack cannot be reached"
    assert audited.run() == []
    assert audited.reads() == []
    audited.problem = ""
    assert audited.run() == [(DELETED, True)]


def test_the_database_cannot_be_used(audited: Audited, lines: list[Any]) -> None:
    audited.world.store.close()
    assert audited.run() == []
    assert "the audit could not use the database" in str(lines)
    audited.world.start()


def test_a_card_that_was_just_posted_is_left_alone(audited: Audited) -> None:
    """It may not be in the history yet."""
    audited.world.fire()
    audited.world.deliver()
    audited.world.slack.delete(audited.world.slack.top()[0]["ts"])
    assert audited.run(after=30) == []


def test_an_alert_without_a_card_gets_one_from_the_next_poll(tmp_path: Path) -> None:
    """The whole bot: its card and notices are lost in the database."""
    with operated(tmp_path, queues=1) as bot:
        bot.poll()
        bot.deliver()
        (message,) = bot.slack.top()
        with closing(sqlite3.connect(tmp_path / "alertbot.db")) as conn, conn:
            conn.execute("DELETE FROM notices")
            conn.execute("DELETE FROM card_alerts")
            conn.execute("DELETE FROM cards")
        bot.clock.forward(seconds=600)
        assert [(each.kind, each.repaired) for each in bot.app.auditor.run()] == [(AuditKind.ALERT_WITHOUT_CARD, True)]
        bot.poll()
        bot.deliver()
        again = bot.slack.top()[-1]
        assert again["ts"] != message["ts"]
        assert again["blocks"][0] == message["blocks"][0]
        assert bot.app.auditor.run() == []


def test_the_running_bot_has_one(tmp_path: Path) -> None:
    with operated(tmp_path) as bot:
        bot.app.start()
        assert "audit" in {job.id for job in bot.app._scheduler._scheduler.get_jobs()}


def test_a_third_party_slack(tmp_path: Path) -> None:
    """Deleted, doubled, and shown as it was before: each once, against `emulate`."""
    with emulate(tmp_path) as slack:
        made = World.__new__(World)
        made.path, made.now, made.max_messages = tmp_path / "alertbot.db", datetime.now(UTC), 60
        made.store = SqliteStore(made.path)
        made.notifier = SlackNotifier(slack.token, api_url=slack.api_url)
        audited = Audited(made)
        for entity in ("1", "2", "3"):
            made.fire(entity, channel="#cc-alerts")
        made.settle()
        assert audited.run() == []
        first, second, third = slack.history("cc-alerts")
        channel = slack.channels["cc-alerts"]
        slack.call("chat.delete", channel=channel, ts=first["ts"])
        copy = {key: second[key] for key in ("text", "blocks", "attachments", "metadata")}
        slack.call("chat.postMessage", channel=channel, **copy)
        header = {"type": "header", "text": {"type": "plain_text", "text": "🟢 Resolved: an older edit"}}
        slack.call("chat.update", channel=channel, ts=third["ts"], text="older", blocks=[header])
        assert sorted(audited.run()) == sorted([(DELETED, True), (DUPLICATE, True), (OUTDATED, True)])
        made.settle()
        assert audited.run() == []
        texts = [message["text"][:9] for message in slack.history("cc-alerts")]
        assert sorted(texts) == ["Critical:", "Critical:", "Critical:", "Duplicate"]
        made.store.close()
