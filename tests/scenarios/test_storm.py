"""Storms and shared cards in whole polls: what stands in Slack, and what the ledger says of each alert."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from alertbot.alerts.alert import Reason
from alertbot.backtest.replay import Replay
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Escalation, GroupBy, RuleSet
from alertbot.store.records import NoticeState
from tests.alerts.kit import POLL, snapshot
from tests.scenarios.storm import CHANNEL, ONE_RULE, WAIT, Floor, body_of, floor, named_in, rule_groups

TOGETHER = replace(ONE_RULE, rules=(replace(ONE_RULE.rules[0], group_by=GroupBy.RULE),))


def names(count: int, start: int = 0) -> list[str]:
    return [f"Queue {number:03d}" for number in range(start, start + count)]


def waits(found: list[str], seconds: float = 90.0) -> dict[str, float]:
    return dict.fromkeys(found, seconds)


def next_poll(bot: Floor, found: dict[str, float], seconds: int = 15) -> None:
    """Deliver until the next poll is due, then poll."""
    bot.run(seconds)
    bot.poll(found)


def test_five_hundred_queues_in_one_poll(tmp_path: Path) -> None:
    """Five cards, a roll-up card and three lines: every name within 10 s, nothing refused, one notice an alert."""
    with floor(tmp_path) as bot:
        bot.poll(waits(names(500), 90.0) | waits(names(40), 130.0))
        assert bot.settle() == 8
        assert (len(bot.cards()), bot.report.lines, bot.slack.refused) == (6, 3, 0)
        card = bot.roll_up()
        assert card["blocks"][0]["text"]["text"] == "🔴 Critical: 495 queues — Longest wait in queue"
        assert "*495 queues*: 35 critical, 460 warning" in body_of(card)
        assert body_of(card).count("longest wait 2m 10s, limit 2m") == 20
        assert body_of(card).endswith("and 475 more, all listed in the thread\n<!subteam^S0123>")
        lines = bot.lines(card)
        assert [len(named_in([line], names(500))) for line in lines] == [165, 165, 165]
        own = {
            name for card in bot.cards() for name in names(500) if f": {name} —" in card["blocks"][0]["text"]["text"]
        }
        assert own | named_in(lines, names(500)) == set(names(500))
        assert own == set(names(5))  # critical ones, in the order of the poll
        states = [(entry.state, entry.notice.reason) for entry in bot.ledger()]
        assert states == [(NoticeState.DELIVERED, Reason.FIRED)] * 500
        assert not any(line.get("reply_broadcast") for line in lines)


def test_rule_groups_in_one_channel(tmp_path: Path) -> None:
    """Fifty cards at once: each within 60 s, the critical ones first, the lines of names after all cards."""
    found = {f"R{rule} {number:02d}": 90.0 for rule in range(1, 51) for number in range(21)}
    with floor(tmp_path, rule_groups(50)) as bot:
        bot.poll(found)
        bot.run(50)
        assert [headline.split()[1] for headline in bot.headlines()] == ["Critical:"] * 25 + ["Warning:"] * 25
        assert bot.report.lines == 0
        assert bot.settle() == 49
        assert (bot.report.lines, bot.slack.refused) == (50, 0)
        assert all(entry.state is NoticeState.DELIVERED for entry in bot.ledger())


def test_those_that_join_are_one_line_a_poll(tmp_path: Path) -> None:
    """Broadcast and with mentions where one of them is critical; the card follows at most once a minute."""
    with floor(tmp_path) as bot:
        bot.poll(waits(names(30)))
        bot.settle()
        card = bot.roll_up()
        began = len(bot.lines(card))
        next_poll(bot, waits(names(3, 100)))
        next_poll(bot, waits(names(2, 200)) | waits(names(1, 300), 130.0))
        bot.settle()
        quiet, loud = bot.lines(card)[began:]
        assert named_in([quiet], names(400)) == set(names(3, 100))
        assert (quiet.get("reply_broadcast"), "<!subteam" in body_of(quiet)) == (None, False)
        assert named_in([loud], names(400)) == {*names(2, 200), *names(1, 300)}
        assert body_of(loud).endswith(
            "*3 queues*: 1 critical, 2 warning: Queue 300 (2m 10s), Queue 200 (1m 30s), Queue 201 (1m 30s)\n"
            "<!subteam^S0123>"
        )
        assert loud["reply_broadcast"] is True
        assert "Critical: 31 queues" in bot.roll_up()["blocks"][0]["text"]["text"]  # the level rose: at once


def test_the_line_that_passes_twenty_names_all(tmp_path: Path) -> None:
    """Up to twenty are on the card; from then on it says that all are in the thread, so they are."""
    with floor(tmp_path, TOGETHER) as bot:
        bot.poll(waits(names(12)))
        bot.settle()
        (card,) = bot.cards()
        assert (bot.lines(card), len(named_in([card], names(12)))) == ([], 12)
        next_poll(bot, waits(names(5, 100)))
        next_poll(bot, waits(names(10, 200)))
        bot.run(60)
        few, all_of_them = bot.lines(card)
        assert named_in([few], names(300)) == set(names(5, 100))
        assert named_in([all_of_them], names(300)) == {*names(12), *names(5, 100), *names(10, 200)}
        assert "and 7 more, all listed in the thread" in body_of(bot.cards()[0])


def test_from_the_first_end_to_the_last(tmp_path: Path) -> None:
    """Members that end are one line a poll; the card is resolved with the last one, and says how many and the worst."""
    with floor(tmp_path, TOGETHER) as bot:
        bot.poll(waits(names(6)) | waits(["Queue 003"], 170.0))
        next_poll(bot, waits(names(3), 10.0))
        bot.settle()
        (card,) = bot.cards()
        (line,) = bot.lines(card)
        assert body_of(line).endswith(
            "*3 queues*: Resolved: Queue 000 (after 15s), Queue 001 (after 15s), Queue 002 (after 15s)"
        )
        bot.run(60)
        assert bot.headlines() == ["🔴 Critical: 3 queues — Longest wait in queue"]
        assert "3 more have ended." in body_of(bot.cards()[0])
        bot.poll(waits(names(6), 10.0))
        bot.settle()
        bot.deliver()
        (card,) = bot.cards()
        assert card["blocks"][0]["text"]["text"] == "🟢 Resolved: 6 queues — Longest wait in queue"
        assert "\nResolved after *1m 15s*: 6 queues; worst: Queue 003, longest wait 2m 50s.\n" in body_of(card)
        assert not any(block["type"] == "actions" for block in card["blocks"])
        assert "Resolved" in body_of(bot.lines(card)[-1])
        bot.poll(waits(names(1)))
        bot.settle()
        assert len(bot.cards()) == 2  # the card that has ended is left alone


def test_an_alert_that_fires_again_joins_again(tmp_path: Path) -> None:
    """While the card is open; it is counted once."""
    with floor(tmp_path, TOGETHER) as bot:
        bot.poll(waits(names(3)))
        next_poll(bot, waits(names(1), 10.0))
        next_poll(bot, waits(names(1)))
        bot.run(70)
        (card,) = bot.cards()
        assert card["blocks"][0]["text"]["text"].startswith("🟠 Warning: 3 queues")
        assert [body_of(line).split("*: ")[1].split(":")[0] for line in bot.lines(card)] == [
            "Resolved after *15s",
            "Warning",
        ]


@pytest.mark.parametrize("ended", [3, 6], ids=["some of its members", "all of them"])
def test_members_that_end_before_the_card_is_posted(tmp_path: Path, ended: int) -> None:
    """It shows what is left, or is closed; a line that would only repeat it is not posted."""
    with floor(tmp_path, TOGETHER) as bot:
        bot.poll(waits(names(6)))
        bot.now += timedelta(seconds=15)
        bot.poll(waits(names(ended), 10.0))
        bot.settle()
        (card,) = bot.cards()
        headline = card["blocks"][0]["text"]["text"]
        assert headline.startswith("🟢 Resolved: 6 queues" if ended == 6 else "🟠 Warning: 3 queues")
        assert len(bot.lines(card)) == (0 if ended == 6 else 1)
        (first,) = [
            alert for alert in bot.store.ended(bot.now - timedelta(hours=1)) if alert.entity_name == "Queue 001"
        ]
        last = bot.store.notices_of(first.id)[-1]
        assert last.state is (NoticeState.SHOWN_BY_CARD if ended == 6 else NoticeState.DELIVERED)


def test_a_large_card_that_is_posted_closed_still_names_all(tmp_path: Path) -> None:
    """A closed card names none of them, so the lines with the names are posted; what says that they ended is not."""
    with floor(tmp_path, TOGETHER) as bot:
        bot.poll(waits(names(40)))
        bot.now += timedelta(seconds=15)
        bot.poll(waits(names(40), 10.0))
        bot.settle()
        (card,) = bot.cards()
        assert card["blocks"][0]["text"]["text"].startswith("🟢 Resolved: 40 queues")
        (line,) = bot.lines(card)
        assert named_in([line], names(40)) == set(names(40))


def test_a_restart_repeats_nothing(tmp_path: Path) -> None:
    """The open roll-up card, its waiting lines and who is on it are in the database."""
    with floor(tmp_path) as bot:
        bot.poll(waits(names(200)))
        bot.run(3)
        bot.restart()
        next_poll(bot, waits(names(10, 300)), seconds=2)
        bot.settle()
        assert len(bot.cards()) == 6
        assert bot.store.cards("acme").keys() == {alert.key for alert in bot.store.alerts()}
        lines = bot.lines(bot.roll_up())
        assert [len(named_in([line], names(400))) for line in lines] == [165, 30, 10]


def test_a_card_whose_channel_closes_goes_elsewhere_with_all_names(tmp_path: Path) -> None:
    """The new thread names the members again; what waits follows the card."""
    (rule,) = TOGETHER.rules
    routed = replace(rule, channels={level.level: ("#cc-sales",) for level in rule.levels})
    with floor(tmp_path, RuleSet((routed,))) as bot:
        bot.poll(waits(names(30)))
        bot.settle()
        assert len(bot.slack.top("cc-sales")) == 1
        bot.slack.archived.add("C0SALES")
        bot.poll(waits(names(2, 100), 130.0))
        bot.run(300)
        (card,) = bot.slack.top("cc-alerts")
        assert card["blocks"][0]["text"]["text"] == "🔴 Critical: 32 queues — Longest wait in queue"
        assert named_in(bot.slack.thread(card["ts"], "cc-alerts"), names(200)) == {*names(30), *names(2, 100)}
        assert bot.store.totals().given_up == 0


def test_a_card_that_was_given_up_is_tried_again(tmp_path: Path) -> None:
    """Its notices are given up with it; the next alert of the group brings the card back, with all that is open."""
    with floor(tmp_path, TOGETHER) as bot:
        bot.poll(waits(names(30)))
        (card,) = [due for due in bot.store.due(bot.now) if due.card is not None]  # type: ignore[union-attr]
        bot.store.give_up(card.notice.id, "refused", bot.now)  # type: ignore[union-attr]
        assert {entry.state for entry in bot.ledger()} == {NoticeState.GIVEN_UP}
        assert bot.store.totals().given_up == 30
        next_poll(bot, waits(names(1, 100)))
        bot.settle()
        (posted,) = bot.cards()
        assert posted["blocks"][0]["text"]["text"].startswith("🟠 Warning: 31 queues")


def test_a_whole_card_is_acknowledged_at_once(tmp_path: Path) -> None:
    """By its button: one line, and an owner for each that had none. A member alone can have another owner."""
    with floor(tmp_path, TOGETHER) as bot:
        bot.poll(waits(names(4)))
        bot.settle()
        first = bot.alert("Queue 000")
        assert first.id is not None
        bot.store.acknowledge(first.id, "U0ALICE00", "mine", bot.now)
        bot.run(2)
        (card,) = bot.cards()
        (button,) = [
            each for block in card["blocks"] for each in block.get("elements", []) if "primary" in each.values()
        ]
        assert (button["text"]["text"], button["value"]) == ("Acknowledge all", "card:1")
        assert "1 of 4 acknowledged." in body_of(card)
        bot.store.acknowledge_card(1, "U0BOB0000", bot.now)
        bot.run(3)
        owners = {alert.entity_name: alert.acked_by for alert in bot.store.alerts()}
        assert owners == {"Queue 000": "U0ALICE00"} | dict.fromkeys(names(3, 1), "U0BOB0000")
        mine, others = (re.sub(r"^.*?\*", "*", body_of(line)) for line in bot.lines(card))
        assert mine == "*Queue 000*: Acknowledged by <@U0ALICE00> (mine)."
        assert others.startswith("*3 queues*: Acknowledged by <@U0BOB0000>: Queue 001 (1m 30s), ")
        assert bot.headlines() == ["👀 Warning, acknowledged: 4 queues — Longest wait in queue"]


def test_members_that_come_and_go_edit_the_card_once_a_minute(tmp_path: Path) -> None:
    """In twenty polls the members of a card of 200 change in each; it is edited as often as its refresh allows."""
    with floor(tmp_path, TOGETHER) as bot:
        bot.poll(waits(names(200)))
        bot.settle()
        for round_ in range(20):
            next_poll(bot, waits(names(10, 10 * round_), 10.0) | waits(names(5, 300 + 5 * round_)))
        assert bot.report.edits == 5
        bot.run(60)
        (headline,) = bot.headlines()
        assert headline.startswith("🟠 Warning: 100 queues")


def test_a_rise_above_the_level_of_the_card_is_loud(tmp_path: Path) -> None:
    """The first critical member is broadcast with its mentions; the next one is a quiet line."""
    with floor(tmp_path, TOGETHER) as bot:
        bot.poll(waits(names(4)))
        next_poll(bot, waits(names(1), 130.0))
        next_poll(bot, waits(names(1, 1), 130.0))
        bot.settle()
        (card,) = bot.cards()
        loud, quiet = bot.lines(card)
        assert "*Queue 000*: Now critical: longest wait 2m 10s, limit 2m." in body_of(loud)
        assert (loud.get("reply_broadcast"), "<!subteam^S0123>" in body_of(loud)) == (True, True)
        assert "*Queue 001*: Now critical" in body_of(quiet)
        assert (quiet.get("reply_broadcast"), "<!subteam^S0123>" in body_of(quiet)) == (None, False)


def test_a_storm_that_escalates(tmp_path: Path) -> None:
    """Five steps have messages of their own, the others share one; it is closed with the last of its alerts."""
    (rule,) = ONE_RULE.rules
    step = Escalation(timedelta(minutes=1), ("#cc-sales",), ("<@U0BOSS000>",))
    with floor(tmp_path, replace(ONE_RULE, rules=(replace(rule, escalate=(step,)),))) as bot:
        bot.poll(waits(names(12)))
        for _ in range(5):
            next_poll(bot, {})
        bot.settle()
        managers = bot.slack.top("cc-sales")
        headlines = [message["blocks"][0]["text"]["text"] for message in managers]
        assert headlines == [
            *(f"🟠 Warning, escalated: {name} — Longest wait in queue" for name in names(5)),
            "🟠 Warning, escalated: 7 queues — Longest wait in queue",
        ]
        assert named_in(managers, names(12)) == set(names(12))
        assert all("<@U0BOSS000>" in body_of(message) for message in managers)
        (line,) = bot.lines(bot.roll_up())
        assert "*7 queues*: Escalated to #cc-sales, warning, not acknowledged: Queue 005 (1m 30s)" in body_of(line)
        assert {entry.state for entry in bot.ledger()} == {NoticeState.DELIVERED}
        bot.poll(waits(names(12), 10.0))
        bot.settle()
        bot.run(60)
        assert [message["blocks"][0]["text"]["text"].split()[1] for message in bot.slack.top("cc-sales")] == [
            "Resolved:"
        ] * 6


@pytest.mark.parametrize("rules", [ONE_RULE, TOGETHER], ids=["storm", "group_by"])
def test_replay_decides_the_same(tmp_path: Path, rules: RuleSet) -> None:
    """Polls through the store and through a replay lead to the same notices, with the same cards and messages.

    What is kept in memory between polls is what the store would return.
    """
    polls = [
        waits(names(30)),
        waits(names(3, 100)) | waits(names(2), 130.0),
        waits(names(10), 10.0),
        waits(names(5)) | waits(names(40, 200), 130.0),
        waits(names(300), 10.0),
        waits(names(8)),
    ]
    with floor(tmp_path, rules) as bot:
        replay = Replay(rules, poll_every=POLL, tenant="acme", default_channel=CHANNEL)
        for found in polls:
            turn = bot.poll(found)
            columns = {WAIT: [seconds * 1000.0 for seconds in bot.waits.values()]}
            step = replay.poll(bot.now, {Scope.QUEUE: snapshot(columns, names=list(bot.waits), at=bot.now)})
            assert step.notices == turn.notices
            remembered = turn.memory.open
            assert remembered is not None
            assert (remembered.groups, remembered.cards) == (bot.store.groups("acme"), bot.store.cards("acme"))
            assert len({notice.id for notice in step.notices}) == len(step.notices)
            bot.run(15)
