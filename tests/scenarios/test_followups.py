"""Whole polls with a store on disk and a Slack: reminders, escalation, nags, flapping, and what is said without data.

Each runs twice: with one process, and with a restart before every turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alertbot import poll
from alertbot.alerts.alert import Alert
from alertbot.alerts.alerting import Alerting
from alertbot.evaluation.snapshot import Fetched
from alertbot.feed.health import Limits
from alertbot.rules.catalogue import Scope
from alertbot.rules.hours import Calendar, Hours, TimeRange
from alertbot.rules.rule import Escalation, Level, Remind, Rule, RuleSet
from tests.alerts.kit import WAIT, compare, level, rule, snapshot
from tests.notify.world import World
from tests.slack.slack_server import refused, slack_server

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)  # ten o'clock in Helsinki
CALM = Limits(frozen_after=timedelta(days=9))
LOUD = {Level.WARNING: ("<@U1>",), Level.CRITICAL: ("<!subteam^S1>",)}
WATCHED = rule(
    level(Level.WARNING, compare(WAIT, ">", 60_000)),
    level(Level.CRITICAL, compare(WAIT, ">", 120_000)),
    channels=dict.fromkeys(Level, ("#cc-sales",)),
    mention=LOUD,
)
CHAIN = (Escalation(10 * MINUTE, ("#cc-leads",), ("<@U0LEAD>",)), Escalation(30 * MINUTE, ("#cc-sales",)))


@dataclass
class Bot(World):
    """One queue, polled by hand. `restarts`: before each turn all memory is lost."""

    rules: RuleSet = field(default_factory=RuleSet)
    settings: Alerting = field(default_factory=Alerting)
    restarts: bool = False
    memory: poll.Memory = field(default_factory=poll.Memory)
    seen: set[tuple[str, str]] = field(default_factory=set)

    def turn(self, minute: float, wait: float | None = 70.0, *, fetch: str = "good", quiet: bool = False) -> list[str]:
        """A turn that many minutes after START, at which the longest wait is this; what Slack has of it.

        `fetch`: good, none (8x8 is not asked), or failed. `quiet`: nothing is delivered. Each new message is
        "#channel text", in a thread with > before it.
        """
        self.now = START + minute * MINUTE
        if self.restarts:
            self.restart()
            self.memory = poll.Memory()
        fetched = {
            "good": lambda: Fetched(
                self.now,
                {Scope.QUEUE: snapshot({WAIT: [None if wait is None else wait * 1000]}, names=["Sales"], at=self.now)},
            ),
            "failed": lambda: Fetched(self.now, failures={Scope.QUEUE: "503 from 8x8"}),
            "none": lambda: None,
        }[fetch]()
        tenant = poll.Tenant(
            "acme", self.rules, "#cc-alerts", "#cc-ops", limits=CALM, alerting=self.settings, memory=self.memory
        )
        self.memory = poll.run(tenant, self.store, self.now, fetched).memory
        if not quiet:
            self.run(8)
        return self.new()

    def new(self) -> list[str]:
        """The messages that were posted since the last call."""
        found = []
        names = {place: name for name, place in self.slack.channels.items()}
        for place, messages in self.slack.messages.items():
            for message in messages:
                if (place, message["ts"]) not in self.seen and place != "C0CCOPS":
                    self.seen.add((place, message["ts"]))
                    thread = "> " if message.get("thread_ts") else ""
                    cast = " (broadcast)" if message.get("reply_broadcast") else ""
                    found.append(f"#{names[place]} {thread}{_said(message)}{cast}")
        return found

    def card(self, channel: str = "cc-sales", index: int = 0) -> str:
        """What a card says now: title and body."""
        return _said(self.slack.top(channel)[index])

    def edits(self) -> int:
        """How often a card of the queue was edited."""
        return sum(call["channel"] != "C0CCOPS" for call in self.slack.called("chat.update"))

    def the_alert(self) -> Alert:
        (alert,) = (alert for alert in self.store.alerts("acme") if alert.key.scope is Scope.QUEUE)
        return alert


def _said(message: dict[str, Any]) -> str:
    """The texts of the blocks, without the markup of times."""
    parts = [block["text"]["text"] for block in message["blocks"] if "text" in block]
    text = " / ".join(line for part in parts for line in part.splitlines())
    while "<!date^" in text:
        before, _, rest = text.partition("<!date^")
        date, _, after = rest.partition(">")
        text = before + date.rpartition("|")[2].removeprefix("2026-03-02 ").removesuffix(" EET") + after
    return text.replace("*", "")


@contextmanager
def made(folder: Path, watched: Rule, restarts: bool, **settings: Any) -> Iterator[Bot]:
    with slack_server() as slack:
        slack.channels["cc-leads"] = "C0CLEADS"
        rules = RuleSet((watched,))
        bot = Bot(folder / "alertbot.db", slack, rules=rules, settings=Alerting(**settings), restarts=restarts)
        try:
            yield bot
        finally:
            bot.store.close()


BOTH = pytest.mark.parametrize("restarts", [False, True], ids=["one process", "restarts"])


def day(bot: Bot, minutes: range, fetch: str = "good", wait: float = 70.0) -> dict[int, list[str]]:
    """A turn each minute; what is posted, by minute."""
    said = {minute: bot.turn(minute, wait, fetch=fetch, quiet=minute % 5 != 0) for minute in minutes}
    return {minute: messages for minute, messages in said.items() if messages}


@BOTH
@pytest.mark.parametrize("fetch", ["good", "none", "failed"])
def test_reminders(tmp_path: Path, restarts: bool, fetch: str) -> None:
    """With back-off, on time whether 8x8 is polled or not, and with what is known."""
    watched = replace(WATCHED, remind=Remind(15 * MINUTE, 30 * MINUTE))
    with made(tmp_path, watched, restarts) as bot:
        (card,) = bot.turn(0)
        assert card.startswith("#cc-sales 🟠 Warning: Sales — Longest wait / Sales: longest wait 1m 10s, limit 1m")
        now = "longest wait 1m 10s, limit 1m" if fetch == "good" else "no data since 10:00"
        assert day(bot, range(1, 110), fetch) == {
            15: [f"#cc-sales > 🟠 10:15:00 Still warning after 15m, not acknowledged: {now}. / <@U1>"],
            45: [f"#cc-sales > 🟠 10:45:00 Still warning after 45m, not acknowledged: {now}. / <@U1>"],
            75: [f"#cc-sales > 🟠 11:15:00 Still warning after 1h 15m, not acknowledged: {now}. / <@U1>"],
            105: [f"#cc-sales > 🟠 11:45:00 Still warning after 1h 45m, not acknowledged: {now}. / <@U1>"],
        }


@BOTH
def test_a_critical_reminder_is_broadcast(tmp_path: Path, restarts: bool) -> None:
    """With the mentions of its level; none while it recovers, and the one that fell due comes when it is back."""
    watched = replace(WATCHED, remind=Remind(10 * MINUTE), keep_firing_for=20 * MINUTE)
    with made(tmp_path, watched, restarts) as bot:
        bot.turn(0, 150)
        (said,) = bot.turn(10, 150)
        assert said.endswith("limit 2m. / <!subteam^S1> (broadcast)")
        assert day(bot, range(11, 25), wait=10) == {}
        (back,) = bot.turn(25, 130)
        assert "Still critical after 25m, not acknowledged: longest wait 2m 10s, limit 2m." in back
        assert day(bot, range(26, 36), wait=130).keys() == {35}, "it counts from then"


@BOTH
def test_escalation(tmp_path: Path, restarts: bool) -> None:
    """Two steps: into a channel of its own, and into that of the card; edited with the owner and with the end."""
    with made(tmp_path, replace(WATCHED, escalate=CHAIN), restarts) as bot:
        bot.turn(0, 150)
        assert day(bot, range(1, 31), wait=150) == {
            10: [
                "#cc-sales > 🔴 10:10:00 Escalated to #cc-leads: critical for 10m, not acknowledged; longest wait "
                "2m 30s, limit 2m.",
                "#cc-leads 🔴 Critical, escalated: Sales — Longest wait / Sales — Longest wait: critical. / Since "
                "10:00, escalated after 10m. / Not acknowledged. / 10:00: longest wait 2m 30s, limit 2m / <@U0LEAD>",
            ],
            30: [
                "#cc-sales > 🔴 10:30:00 Escalated to #cc-sales: critical for 30m, not acknowledged; longest wait "
                "2m 30s, limit 2m.",
                "#cc-sales 🔴 Critical, escalated: Sales — Longest wait / Sales — Longest wait: critical. / Since "
                "10:00, escalated after 30m. / Not acknowledged. / 10:00: longest wait 2m 30s, limit 2m",
            ],
        }
        edits = bot.edits()
        bot.turn(40, 160)
        assert bot.edits() == edits + 1, "the card alone shows the new value"
        alert = bot.the_alert()
        assert alert.id is not None
        bot.store.acknowledge(alert.id, "U0ALICE00", "on it", bot.later(10).now)
        bot.run(8)
        assert bot.new() == ["#cc-sales > 👀 10:40:18 Acknowledged by <@U0ALICE00>: on it."]
        for channel, index in (("cc-leads", 0), ("cc-sales", 1)):
            assert bot.card(channel, index).startswith(
                "👀 Critical, acknowledged, escalated: Sales — Longest wait / Sales — Longest wait: critical. / "
            )
            assert "Acknowledged by <@U0ALICE00>, 10:40: on it." in bot.card(channel, index)
        assert bot.turn(50, 10) == ["#cc-sales > 🟢 10:50:00 Resolved after 50m: longest wait 10s, limit 2m."]
        for channel, index in (("cc-leads", 0), ("cc-sales", 0), ("cc-sales", 1)):
            assert bot.card(channel, index).startswith("🟢 Resolved: Sales — Longest wait / Resolved after 50m")
        assert bot.store.cards("acme") == {}


@BOTH
def test_the_buttons_of_an_escalation(tmp_path: Path, restarts: bool) -> None:
    """The lead can take the alert where the lead was asked."""
    with made(tmp_path, replace(WATCHED, escalate=CHAIN), restarts) as bot:
        bot.turn(0, 150)
        bot.turn(10, 150)
        (message,) = bot.slack.top("cc-leads")
        (actions,) = [block for block in message["blocks"] if block["type"] == "actions"]
        assert [element["action_id"] for element in actions["elements"]] == ["acknowledge", "silence", "why"]
        buttons = [element for element in actions["elements"] if element["type"] == "button"]
        assert {element["value"] for element in buttons} == {str(bot.the_alert().id)}


@BOTH
def test_an_acknowledgement_stops_both(tmp_path: Path, restarts: bool) -> None:
    """Given back, what fell due comes at once, each of it once."""
    with made(tmp_path, replace(WATCHED, remind=Remind(15 * MINUTE), escalate=CHAIN), restarts) as bot:
        bot.turn(0)
        alert = bot.the_alert()
        assert alert.id is not None
        bot.store.acknowledge(alert.id, "U0ALICE00", "", bot.now)
        bot.turn(1)
        assert day(bot, range(2, 60)) == {}
        bot.store.unacknowledge(alert.id, "U0BOBBY00", bot.now)
        said = bot.turn(60, fetch="none")
        assert [message.split(": ")[0] for message in said] == [
            "#cc-sales > 🟠 10:59:00 Given back by <@U0BOBBY00>.",
            "#cc-sales > 🟠 11:00:00 Escalated to #cc-leads",
            "#cc-sales > 🟠 11:00:00 Escalated to #cc-sales",
            "#cc-sales 🟠 Warning, escalated",
            "#cc-sales > 🟠 11:00:00 Still warning after 1h, not acknowledged",
            "#cc-leads 🟠 Warning, escalated",
        ]
        assert day(bot, range(61, 76)).keys() == {75}


@BOTH
def test_a_long_downtime(tmp_path: Path, restarts: bool) -> None:
    """Suspended for five hours: one reminder and each step, at once; the next reminder counts from then."""
    with made(tmp_path, replace(WATCHED, remind=Remind(15 * MINUTE), escalate=CHAIN), restarts) as bot:
        bot.turn(0)
        assert len(bot.turn(300)) == 5
        assert day(bot, range(301, 331)).keys() == {315, 330}


@BOTH
def test_a_nag(tmp_path: Path, restarts: bool) -> None:
    """The owner alone, once for each acknowledgement."""
    with made(tmp_path, replace(WATCHED, remind=Remind(15 * MINUTE)), restarts, nag_after=HOUR) as bot:
        bot.turn(0)
        alert = bot.the_alert()
        assert alert.id is not None
        bot.store.acknowledge(alert.id, "U0ALICE00", "", bot.now)
        bot.turn(1)
        assert day(bot, range(2, 200), fetch="none").keys() == {65}
        bot.store.unacknowledge(alert.id, "U0ALICE00", bot.now)
        bot.store.acknowledge(alert.id, "U0BOBBY00", "", bot.now)
        bot.run(8)
        bot.new()
        assert bot.the_alert().nagged is False
        said = day(bot, range(200, 300))
        assert said == {
            260: [
                "#cc-sales > 🟠 14:19:00 Still warning 1h after <@U0BOBBY00> acknowledged it: longest wait 1m 10s, "
                "limit 1m. / <@U0BOBBY00>"
            ]
        }


@BOTH
def test_a_broken_channel(tmp_path: Path, restarts: bool) -> None:
    """The message of a step goes to the default channel, and the alert's card is left alone."""
    with made(tmp_path, replace(WATCHED, escalate=CHAIN), restarts) as bot:
        bot.turn(0, 150)
        bot.slack.archived.add("C0CLEADS")
        (line, message) = bot.turn(10, 150)
        assert line.startswith("#cc-sales > 🔴 10:10:00 Escalated to #cc-leads")
        assert message.startswith("#cc-alerts 🔴 Critical, escalated: Sales — Longest wait")
        bot.turn(15, 10)
        assert bot.card("cc-alerts").startswith("🟢 Resolved: Sales")


@BOTH
def test_ended_before_it_could_be_posted(tmp_path: Path, restarts: bool) -> None:
    """The message of a step that waited too long is posted closed."""
    with made(tmp_path, replace(WATCHED, escalate=CHAIN), restarts) as bot:
        bot.turn(0, 150)
        bot.turn(10, 150, quiet=True)
        said = bot.turn(20, 10)
        assert [message.split(":")[0] for message in said if "> " not in message] == ["#cc-leads 🟢 Resolved"]


@BOTH
def test_a_level_keeps_its_steps(tmp_path: Path, restarts: bool) -> None:
    """A rise begins no step again; the message of the step says what it is now."""
    with made(tmp_path, replace(WATCHED, escalate=CHAIN), restarts) as bot:
        bot.turn(0, 70)
        bot.turn(10, 70)
        (said,) = bot.turn(11, 150)
        assert "Now critical" in said
        assert bot.the_alert().escalated == 10 * MINUTE


@BOTH
def test_both_changes_of_the_clock(tmp_path: Path, restarts: bool) -> None:
    """An hour that is missing or comes twice makes no reminder late, early or double."""
    for began in (datetime(2026, 3, 29, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)):
        folder = tmp_path / f"{began:%m}"
        folder.mkdir()
        with made(folder, replace(WATCHED, remind=Remind(15 * MINUTE)), restarts) as bot:
            offset = int((began - START) / MINUTE)
            bot.turn(offset)
            said = day(bot, range(offset + 1, offset + 91))
            assert [minute - offset for minute in said] == [15, 30, 45, 60, 75, 90]


@BOTH
@pytest.mark.parametrize("back", [10, 60 * 24], ids=["ten minutes", "a day"])
def test_a_clock_that_is_set_back(tmp_path: Path, restarts: bool, back: int) -> None:
    """Reminders and steps come after as much time as they would have."""
    with made(tmp_path, replace(WATCHED, remind=Remind(15 * MINUTE), escalate=CHAIN), restarts) as bot:
        bot.turn(0)
        assert day(bot, range(1, 21)).keys() == {10, 15}
        said = {minute: bot.turn(minute - back) for minute in range(21, 46)}
        # To within the time between two polls: what passed between them by the old clock is not known.
        assert {minute: len(messages) for minute, messages in said.items() if messages} == {31: 3}
        assert any("Still warning after 30m, not acknowledged" in message for message in said[31])


@BOTH
def test_a_clock_that_jumps_ahead(tmp_path: Path, restarts: bool) -> None:
    """What is due by the new time happens, once."""
    with made(tmp_path, replace(WATCHED, remind=Remind(15 * MINUTE)), restarts) as bot:
        bot.turn(0)
        assert len(bot.turn(60 * 24 * 3)) == 1
        assert bot.turn(60 * 24 * 3 + 1) == []


@BOTH
def test_a_calendar_that_closes(tmp_path: Path, restarts: bool) -> None:
    """The end comes before what falls due in the same minute."""
    hours = Hours(Calendar("office", "UTC", ((TimeRange(0, 8 * 60 + 15),),) * 7))
    watched = replace(WATCHED, remind=Remind(15 * MINUTE), escalate=CHAIN, during=hours)
    with made(tmp_path, watched, restarts) as bot:
        bot.turn(0)
        (said,) = bot.turn(15, fetch="none")
        assert "Resolved after 15m" in said


@BOTH
def test_flapping(tmp_path: Path, restarts: bool) -> None:
    """The fifth rise in half an hour makes it unstable; it is marked, stays clear for longer, and settles by itself."""
    with made(tmp_path, WATCHED, restarts) as bot:
        unstable = (
            "Unstable: this alert keeps firing and clearing, so it must stay clear for longer before it resolves."
        )
        for minute in range(9):
            bot.turn(minute, 0 if minute % 2 else 70)
        assert unstable in bot.card(index=4)
        assert all(unstable not in bot.card(index=index) for index in range(4))
        assert bot.turn(9, 0, quiet=True) == []
        assert bot.the_alert().state == "recovering"
        assert bot.turn(9.25, 70, quiet=True) == []
        assert bot.the_alert().rises == tuple(START + minute * MINUTE for minute in (2, 4, 6, 8, 9.25))
        bot.turn(31.75, fetch="none")
        assert bot.the_alert().unstable
        bot.turn(32, fetch="none")
        assert not bot.the_alert().unstable
        bot.turn(34, fetch="none")
        assert unstable not in bot.card(index=4)
        bot.turn(35, 0)
        assert bot.store.alerts("acme") == []


@BOTH
@pytest.mark.parametrize("fetch", ["none", "failed"])
def test_an_outage(tmp_path: Path, restarts: bool, fetch: str) -> None:
    """The card says since when, is edited once for it, and once when there is data again."""
    with made(tmp_path, WATCHED, restarts) as bot:
        bot.turn(0)
        edits = bot.edits()
        for minute in range(1, 40):
            bot.turn(minute, fetch=fetch)
        assert "No data since 10:00; showing the last known state." in bot.card()
        assert bot.edits() == edits + 1
        bot.turn(40)
        assert "No data" not in bot.card()
        assert bot.the_alert().no_data_since is None


@BOTH
def test_a_breach_that_began_unseen(tmp_path: Path, restarts: bool) -> None:
    """The card, and the line in its thread, say since when at least, and when there was no data."""
    with made(tmp_path, WATCHED, restarts) as bot:
        bot.turn(0, 0)
        (card,) = bot.turn(65, 70)
        assert "Since at least 11:05 (no data from 10:00 to 11:05)." in card
        assert bot.slack.top("cc-sales")[0]["text"].endswith("Since at least 2026-03-02 11:05 EET.")
        (end,) = bot.turn(66, 0)
        assert "Resolved after 1m" in end


@BOTH
def test_no_message_is_lost_with_a_refusal(tmp_path: Path, restarts: bool) -> None:
    """A reminder that Slack refuses for a while is posted later, once."""
    with made(tmp_path, replace(WATCHED, remind=Remind(15 * MINUTE)), restarts) as bot:
        bot.turn(0)
        bot.slack.next("chat.postMessage", refused("fatal_error"), refused("fatal_error"))
        bot.turn(15, quiet=True)
        bot.run(60)
        (said,) = bot.new()
        assert "Still warning after 15m" in said
