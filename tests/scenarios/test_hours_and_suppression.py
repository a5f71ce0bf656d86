"""Whole polls with a store on disk: the effect of hours, suppressors and shadow, across restarts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from alertbot import poll
from alertbot.alerts.alert import Reason
from alertbot.alerts.delivery import PostCard, PostLine
from alertbot.evaluation.snapshot import Fetched, Snapshot
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rules.catalogue import Scope
from alertbot.rules.match import Only
from alertbot.store.sqlite.store import SqliteStore
from tests.alerts.kit import snapshot
from tests.store.build import post

RULES = parse_files(
    {
        "rules.yaml": """
hours:
  office: {timezone: Europe/Helsinki, open: {mon-fri: "08:00-18:00"}, grace: {after_open: 1m}}
rules:
  - {id: nobody, scope: queue, level: critical, when: enabled.rt == 0, during: office}
  - {id: long-wait, scope: queue, when: interactionsWaitInQueue.rt > 5, suppressed_by: [nobody], during: office}
  - {id: watched, scope: queue, when: interactionsWaitInQueue.rt > 5, shadow: true}
"""
    }
)


class Centre:
    """One queue, whose values a test sets."""

    def __init__(self) -> None:
        self.waiting, self.enabled = 0.0, 3.0

    def fetch(
        self, wanted: Mapping[Scope, frozenset[str]], now: datetime, only: Mapping[Scope, Only] | None = None
    ) -> Fetched:
        seen: Snapshot = snapshot(
            {"interactionsWaitInQueue.rt": [self.waiting], "enabled.rt": [self.enabled]}, names=["Sales"], at=now
        )
        return Fetched(now, {Scope.QUEUE: seen})

    def close(self) -> None:
        """Closes nothing."""


class Bot:
    """A bot that restarts before each poll."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.centre = Centre()

    def poll(self, at: str, *, waiting: float = 0, enabled: float = 0, asked: bool = True) -> list[str]:
        """What is notified on this turn: rule, card or line, and reason. `asked`: whether 8x8 is polled."""
        now = datetime.fromisoformat(f"2026-03-02T{at}+02:00").astimezone(UTC)
        self.centre.waiting, self.centre.enabled = waiting, enabled
        store = SqliteStore(self.path)
        try:
            tenant = poll.Tenant("acme", RULES, "#cc", "#cc")
            fetched = self.centre.fetch(tenant.wanted, now, RULES.only()) if asked else None
            poll.run(tenant, store, now, fetched)
            sent = []
            for second in range(1, 10):  # a channel takes one message a second
                for due in store.due(now + timedelta(seconds=second)):
                    if isinstance(due, PostCard | PostLine):
                        post(store, due, now + timedelta(seconds=second))
                        kind = "card" if isinstance(due, PostCard) else "line"
                        sent.append(f"{due.card.members[0].key.rule} {kind} {due.notice.reason}")
            self.alerts = {alert.key.rule: alert for alert in store.alerts("acme")}
            self.fired = store.fired(["watched"], now - timedelta(days=1))
            self.ended = {alert.key.rule: alert.end_reason for alert in store.ended(now)}
        finally:
            store.close()
        return sent


def test_a_day(tmp_path: Path) -> None:
    """Before opening, within grace, suppressed, reported when the suppressor ends, and ended when it closes."""
    bot = Bot(tmp_path / "alertbot.db")
    assert bot.poll("07:59:00", waiting=9, enabled=0) == []
    assert set(bot.alerts) == {"watched"}
    assert bot.poll("08:00:30", waiting=9, enabled=0) == []
    assert bot.poll("08:01:00", waiting=9, enabled=0) == ["nobody card fired"]
    waits = bot.alerts["long-wait"]
    assert (waits.reported, waits.suppressor) == (None, bot.alerts["nobody"].key)
    assert bot.poll("08:01:15", waiting=9, enabled=0) == []
    assert bot.poll("08:01:30", waiting=9, enabled=2) == [
        "nobody line resolved",
        "long-wait card suppression_ended",
    ]
    assert bot.alerts["long-wait"].id == waits.id
    assert bot.poll("12:00:00", waiting=9, enabled=0) == ["nobody card fired"]
    assert bot.poll("18:00:00", waiting=9, enabled=0) == ["nobody line outside_hours", "long-wait line outside_hours"]
    assert bot.ended == {"nobody": Reason.OUTSIDE_HOURS, "long-wait": Reason.OUTSIDE_HOURS}
    assert bot.poll("18:00:15", waiting=0, enabled=0) == []
    assert bot.alerts == {}
    assert bot.fired == {"watched": {"Sales": 1}}


def test_a_calendar_closes_on_a_turn_without_a_fetch(tmp_path: Path) -> None:
    """8x8 asked for a pause of an hour: what is outside its hours meanwhile ends at once; the rest stays as it is."""
    bot = Bot(tmp_path / "alertbot.db")
    assert bot.poll("17:59:00", waiting=9, enabled=3) == ["long-wait card fired"]
    assert bot.poll("17:59:45", asked=False) == []
    assert bot.poll("18:00:00", asked=False) == ["long-wait line outside_hours"]
    assert bot.ended == {"long-wait": Reason.OUTSIDE_HOURS}
    assert set(bot.alerts) == {"watched"}
    assert bot.poll("18:00:15", asked=False) == []
