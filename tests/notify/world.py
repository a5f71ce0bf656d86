"""A store, a Slack and a clock moved by hand, with `deliver` between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from alertbot.alerts.alert import Alert, Change, Reason, State
from alertbot.alerts.notice import Notice, NoticeKind
from alertbot.feed.health import Feed
from alertbot.notify.deliver import DeliveryReport, deliver, end_claims_of_gone
from alertbot.rules.rule import Level
from alertbot.service.process import is_gone
from alertbot.slack.client import Contact
from alertbot.slack.notifier import SlackNotifier
from alertbot.store.records import PollRecord
from alertbot.store.sqlite.store import SqliteStore
from tests.notify.cases import FIRING, NOW, notice
from tests.slack.slack_server import TOKEN, SlackServer, slack_server

ME = "the bot"


@dataclass
class World:
    """Time moves only when a test moves it."""

    path: Path
    slack: SlackServer
    token: str = TOKEN
    now: datetime = NOW
    slack_is_ahead: timedelta = timedelta()
    max_messages: int = 60
    store: SqliteStore = field(init=False)
    notifier: SlackNotifier = field(init=False)

    def __post_init__(self) -> None:
        self.slack.clock = self.slack.date = lambda: (self.now + self.slack_is_ahead).timestamp()
        self.start()

    def start(self) -> None:
        """The bot starts: all it knows is in the database."""
        self.store = SqliteStore(self.path, synchronous="NORMAL", max_messages=self.max_messages)
        folder = self.path.parent
        self.notifier = SlackNotifier(
            self.token,
            api_url=self.slack.api_url,
            post_timeout=1,
            read_timeout=1,
            template_folders=[folder],
            contact=Contact(lambda: self.now),
        )

    def restart(self) -> None:
        self.store.close()
        self.start()

    def later(self, seconds: float) -> World:
        self.now += timedelta(seconds=seconds)
        return self

    # What polls decide.

    def record(self, change: Change, *notices: Notice) -> None:
        self.store.record(PollRecord("acme", self.now, Feed("acme"), [change], notices))

    def fire(self, entity_id: str = "103", *, channel: str = "#cc-alerts", **more: Any) -> Alert:
        """A new alert fires, and its card is due."""
        alert = replace(
            FIRING, id=None, key=FIRING.key._replace(entity_id=entity_id), entity_name=f"Queue {entity_id}", **more
        )
        sent = notice(alert=alert, channel=channel, at=self.now)
        self.record(Change(None, alert, Reason.FIRED, "it holds"), sent)
        return self.alert(entity_id)

    def alert(self, entity_id: str = "103") -> Alert:
        return next(each for each in self.store.alerts() if each.key.entity_id == entity_id)

    def change(self, reason: Reason, entity_id: str = "103", *, channel: str = "#cc-alerts", **more: Any) -> Alert:
        """An open alert changes, with a line in its thread."""
        before = self.alert(entity_id)
        after = replace(before, **more)
        sent = notice(reason, alert=after, channel=channel, at=self.now, kind=NoticeKind.LINE)
        self.record(Change(before, after, reason, "because"), sent)
        return after

    def resolve(self, entity_id: str = "103", *, channel: str = "#cc-alerts") -> Alert:
        over = {"state": State.INACTIVE, "ended_at": self.now, "end_reason": Reason.RESOLVED}
        return self.change(Reason.RESOLVED, entity_id, channel=channel, **over)

    def rise(self, entity_id: str = "103") -> Alert:
        return self.change(Reason.LEVEL_UP, entity_id, level=Level.CRITICAL)

    # What is delivered.

    def deliver(self, **more: Any) -> DeliveryReport:
        end_claims_of_gone(self.store, ME, is_gone, self.now)
        return deliver(
            more.pop("due", None) or self.store.due(self.now),
            more.pop("notifier", self.notifier),
            more.pop("outbox", self.store),
            lambda: self.now,
            claimant=ME,
            fallback_channel=more.pop("fallback_channel", "#cc-alerts"),
            ops_channel="#cc-ops",
            timezone="Europe/Helsinki",
            **more,
        )

    def run(self, seconds: int) -> None:
        """Deliver every second for this many seconds."""
        for _ in range(seconds):
            self.deliver()
            self.later(1)

    def settle(self, limit: timedelta = timedelta(minutes=30), *, step: int = 1) -> int:
        """Deliver every `step` seconds until nothing waits; how long that took. Fails when it takes longer."""
        end, began = self.now + limit, self.now
        while self.now < end:
            self.deliver()
            if self.idle():
                return int((self.now - began).total_seconds())
            self.later(step)
        raise AssertionError(f"not settled after {limit}: {self.store.totals()}")

    def idle(self) -> bool:
        return self.store.totals().waiting == 0 and not self.store.due(self.now + timedelta(hours=1))


@contextmanager
def world(folder: Path, kind: type[World] | None = None) -> Iterator[World]:
    with slack_server() as slack:
        made = (kind or World)(folder / "alertbot.db", slack)
        try:
            yield made
        finally:
            made.store.close()
