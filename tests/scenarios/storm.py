"""A contact centre whose queues all get into trouble at once: real polls, store, delivery and a stand-in Slack.

Time is moved by hand. The Slack takes one message a second in a channel and refuses any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from alertbot import poll
from alertbot.alerts.alert import Alert
from alertbot.evaluation.snapshot import Fetched
from alertbot.notify.deliver import DeliveryReport, deliver
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import GroupBy, RuleSet
from alertbot.slack.client import Contact
from alertbot.slack.notifier import SlackNotifier
from alertbot.store.records import LedgerEntry
from alertbot.store.sqlite.store import SqliteStore
from tests.alerts.kit import snapshot
from tests.notify.cases import NOW
from tests.slack.slack_server import TOKEN, SlackServer, slack_server

WAIT = "interactionsLongestWaitInQueue.rt"
CHANNEL = "#cc-alerts"
ONE_RULE = parse_files(
    {
        "rules.yaml": f"""
rules:
  - id: longest-wait
    title: Longest wait in queue
    scope: queue
    warning: {{when: {WAIT} > 60s}}
    critical: {{when: {WAIT} > 120s}}
    mention: {{critical: ["<!subteam^S0123>"]}}
"""
    }
)


def rule_groups(count: int) -> RuleSet:
    """Rules with a card each for all of their alerts, about the queues `R1 …`, `R2 …`; every other one is critical."""
    text = "rules:\n" + "".join(
        f"  - {{id: rule-{number}, title: Rule {number}, scope: queue, match: {{name: ['R{number} *']}}, "
        f"level: {'critical' if number % 2 else 'warning'}, when: {WAIT} > 60s}}\n"
        for number in range(1, count + 1)
    )
    rules = parse_files({"rules.yaml": text})
    return replace(rules, rules=tuple(replace(rule, group_by=GroupBy.RULE) for rule in rules.rules))


@dataclass
class Floor:
    """The bot, its database and its Slack. `waits`: the longest wait of each queue, in seconds."""

    path: Path
    slack: SlackServer
    rules: RuleSet
    now: datetime = NOW
    refresh: timedelta = timedelta(seconds=60)
    waits: dict[str, float] = field(default_factory=dict)
    store: SqliteStore = field(init=False)
    report: DeliveryReport = field(default_factory=DeliveryReport)

    def __post_init__(self) -> None:
        self.slack.clock = self.slack.date = lambda: self.now.timestamp()
        self.slack.one_a_second = True
        self.start()

    def start(self) -> None:
        """The bot starts: all it knows is in the database."""
        self.store = SqliteStore(self.path, synchronous="NORMAL")
        contact = Contact(lambda: self.now)
        self.notifier = SlackNotifier(TOKEN, api_url=self.slack.api_url, contact=contact)
        self.tenant = poll.Tenant("acme", self.rules, CHANNEL, "#cc-ops", refresh=self.refresh)

    def restart(self) -> None:
        self.store.close()
        self.start()

    def poll(self, waits: Mapping[str, float] | None = None) -> poll.Turn:
        """One poll, which sees these waits and, of other queues, the last ones."""
        self.waits |= waits or {}
        names = list(self.waits)
        seen = snapshot({WAIT: [seconds * 1000.0 for seconds in self.waits.values()]}, names=names, at=self.now)
        turn = poll.run(self.tenant, self.store, self.now, Fetched(self.now, {Scope.QUEUE: seen}))
        self.tenant = replace(self.tenant, memory=turn.memory)
        return turn

    def run(self, seconds: int) -> None:
        """Deliver every second for that long."""
        for _ in range(seconds):
            self.deliver()
            self.now += timedelta(seconds=1)

    def settle(self, limit: int = 900) -> int:
        """Deliver every second until no message waits; the seconds from now to the last message."""
        began = self.now
        for _ in range(limit):
            self.deliver()
            if self.store.totals().waiting == 0:
                return int((self.now - began).total_seconds())
            self.now += timedelta(seconds=1)
        raise AssertionError(f"not settled after {limit} s: {self.store.totals()}")

    def deliver(self) -> None:
        self.report.add(
            deliver(
                self.store.due(self.now),
                self.notifier,
                self.store,
                lambda: self.now,
                claimant="the bot",
                fallback_channel=CHANNEL,
                ops_channel="#cc-ops",
                show_tenant=False,
            )
        )

    # What is there.

    def alert(self, name: str) -> Alert:
        return next(alert for alert in self.store.alerts() if alert.entity_name == name)

    def ledger(self) -> list[LedgerEntry]:
        """The notices of every open alert."""
        return [entry for alert in self.store.alerts() for entry in self.store.notices_of(alert.id)]

    def cards(self) -> list[dict[str, Any]]:
        return self.slack.top()

    def headlines(self) -> list[str]:
        return [card["blocks"][0]["text"]["text"] for card in self.cards()]

    def roll_up(self) -> dict[str, Any]:
        """The one card that is about several queues."""
        (card,) = [card for card in self.cards() if " queues —" in card["blocks"][0]["text"]["text"]]
        return card

    def lines(self, card: Mapping[str, Any]) -> list[dict[str, Any]]:
        return self.slack.thread(card["ts"])


def body_of(message: Mapping[str, Any]) -> str:
    """All that a reader sees in the main part of a message."""
    return "\n".join(block["text"]["text"] for block in message.get("blocks", []) if "text" in block)


def named_in(messages: Sequence[Mapping[str, Any]], names: Sequence[str]) -> set[str]:
    """The names that occur in these messages. No name may be the beginning of another one."""
    text = "\n".join(body_of(message) for message in messages)
    return {name for name in names if name in text}


@contextmanager
def floor(folder: Path, rules: RuleSet = ONE_RULE, **more: Any) -> Iterator[Floor]:
    with slack_server() as slack:
        made = Floor(folder / "alertbot.db", slack, rules, **more)
        try:
            yield made
        finally:
            made.store.close()
