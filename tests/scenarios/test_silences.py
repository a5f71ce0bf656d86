"""Whole polls with a store on disk and silences as they are typed: what is reported and announced, across restarts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from alertbot import poll
from alertbot.alerts.alert import Alert
from alertbot.alerts.delivery import EditCard, PostCard, PostLine, PostOps
from alertbot.alerts.notice import PERSON
from alertbot.commands.answers import answer, changed
from alertbot.commands.command import Asker
from alertbot.commands.parse import parse
from alertbot.commands.view import TenantView, View
from alertbot.evaluation.snapshot import Fetched
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rules.catalogue import Scope
from alertbot.service.views import change
from alertbot.store.sqlite.store import SqliteStore
from tests.alerts.kit import snapshot
from tests.commands.kit import text_of
from tests.store.build import post

WAIT = "interactionsLongestWaitInQueue.rt"
RULES = parse_files(
    {
        "rules.yaml": f"""
rules:
  - id: long-wait
    title: Long wait
    scope: queue
    warning: {{when: {WAIT} > 60s}}
    critical: {{when: {WAIT} > 120s}}
"""
    }
)
ANNA, BOB = "U012ANNA", "U034BOB"
ZONE = "Europe/Helsinki"


@dataclass
class Bot:
    """Two tenants on one database; every process is a new one: each poll, each command, each delivery."""

    path: Path
    card: str = ""  # what the card that was edited last says of its silence
    tenants: dict[str, str] = field(default_factory=lambda: {"acme": "#cc", "beta": "#beta"})

    def time(self, at: str) -> datetime:
        day, _, clock = at.rpartition(" ")
        return datetime.fromisoformat(f"{day or '2026-03-02'}T{clock}+02:00").astimezone(UTC)

    def store(self) -> SqliteStore:
        return SqliteStore(self.path, timezone=ZONE)

    def ask(self, at: str, text: str, user: str = ANNA) -> str:
        """The first line of the answer to a command."""
        now, command, asker = self.time(at), parse(text), Asker(user)
        store = self.store()
        try:
            tenants = tuple(TenantView(name, snapshots=store.latest(name)) for name in self.tenants)
            view = View(tenants, tuple(store.alerts()), RULES, silences=store.silences(), timezone=ZONE)
            reply = answer(view, command, asker, now)
            if reply.wish is not None:
                result, subject = change(store, reply.wish, asker, now)
                reply = changed(reply.wish, result, subject, asker, now, ZONE)
        finally:
            store.close()
        return text_of(reply).partition("\n")[0]

    def poll(self, at: str, wait: float | None = None, *, tenant: str = "acme") -> list[str]:
        """One turn, with a fetch if there is a wait in seconds; what is posted, a few words each."""
        now, store = self.time(at), self.store()
        try:
            subject = poll.Tenant(tenant, RULES, self.tenants[tenant], "#ops")
            fetched = None
            if wait is not None:
                seen = snapshot({WAIT: [wait * 1000.0]}, names=["Sales"], at=now)
                fetched = Fetched(now, {Scope.QUEUE: seen})
            poll.run(subject, store, now, fetched)
            store.announce_silences(now)
            return self._delivered(store, now)
        finally:
            store.close()

    def _delivered(self, store: SqliteStore, now: datetime) -> list[str]:
        said = []
        for second in range(10):  # a channel takes one message a second
            at = now + timedelta(seconds=second)
            for due in store.due(at):
                if isinstance(due, EditCard):
                    self.card = _silenced(due)
                    store.edited(due.card, at)
                    continue
                post(store, due, at)
                match due:
                    case PostCard() | PostLine():
                        kind = "card" if isinstance(due, PostCard) else "line"
                        said.append(f"{due.notice.channel}: {kind} {due.notice.reason} {due.notice.level.word}")
                    case PostOps():
                        text = due.notice.text.replace(PERSON, due.notice.by).partition(": ")[0]
                        said.append(f"{due.notice.channel}: {text}")
        return [each for each in said if not each.startswith("#ops")]  # about the gaps between these polls

    def alert_of_rule(self) -> Alert:
        store = self.store()
        try:
            return next(alert for alert in store.alerts("acme") if alert.key.rule == "long-wait")
        finally:
            store.close()


def _silenced(due: EditCard) -> str:
    silence = due.card.silence
    return f"{silence.author} until {silence.ends_at:%H:%M}" if silence else "-"


def test_a_silence_from_start_to_end(tmp_path: Path) -> None:
    """Announced where its alert has a card; the card says so; warned; what still fires at the end is reported."""
    bot = Bot(tmp_path / "alertbot.db")
    assert bot.poll("09:00:00", 70) == ["#cc: card fired warning"]
    assert bot.ask("09:01", "silence rule=long-wait 2h new phones") == (
        "Silence #2 until 11:01 EET (2h left), by U012ANNA: rule=long-wait"
    )
    assert bot.poll("09:01:15", 70) == ["#cc: Silence #2 by U012ANNA until 11:01 EET"]
    assert bot.card == "U012ANNA until 09:01"
    assert bot.poll("09:05:00", 130) == []
    assert bot.poll("10:51:00", 130) == ["#cc: Silence #2 by U012ANNA ends in 10m, at 11:01 EET"]
    assert bot.poll("10:51:15", 130) == []
    assert bot.poll("11:01:00", 130) == [
        "#cc: line silence_ended critical",
        "#cc: Silence #2 by U012ANNA has ended, at 11:01 EET",
    ]
    assert bot.card == "-"
    assert bot.poll("11:01:15", 130) == []
    assert bot.poll("11:02:00", 10) == ["#cc: line resolved critical"]
    assert bot.ask("11:03", "silences") == "No silences."


def test_time_passes_without_a_fetch(tmp_path: Path) -> None:
    """8x8 asked for a pause: a silence that was made for later starts, warns and ends on time all the same."""
    bot = Bot(tmp_path / "alertbot.db")
    assert bot.poll("09:00:00", 70) == ["#cc: card fired warning"]
    assert bot.ask("09:01", "silence name=Sales from 10:00 until 12:00") == (
        "Silence #2 from 10:00 EET until 12:00 EET (starts in 59m), by U012ANNA: name=Sales"
    )
    assert bot.poll("09:59:59") == []
    assert bot.poll("10:00:00") == ["#cc: Silence #2 by U012ANNA until 12:00 EET"]
    assert bot.alert_of_rule().silence == 2
    assert bot.poll("11:49:59") == []
    assert bot.poll("11:50:00") == ["#cc: Silence #2 by U012ANNA ends in 10m, at 12:00 EET"]
    assert bot.poll("12:00:00") == ["#cc: Silence #2 by U012ANNA has ended, at 12:00 EET"]
    assert bot.alert_of_rule().silence is None
    assert bot.poll("12:00:15") == []


def test_what_fired_meanwhile_is_reported_at_the_end(tmp_path: Path) -> None:
    """A card for what was never reported, on the turn at which the silence has ended, with or without a fetch."""
    bot = Bot(tmp_path / "alertbot.db")
    bot.poll("09:00:00", 10)
    bot.ask("09:00:10", "silence tenant=acme 30m")
    assert bot.poll("09:00:15", 70) == []
    assert bot.poll("09:30:00", 70) == []
    assert bot.poll("09:30:15") == [
        "#cc: card silence_ended warning",
        "#cc: Silence #1 by U012ANNA has ended, at 09:30 EET",
    ]
    assert bot.poll("09:30:30", 70) == []


def test_warnings_alone(tmp_path: Path) -> None:
    """`level=warning` does not hide a rise, and hides the fall after it."""
    bot = Bot(tmp_path / "alertbot.db")
    bot.poll("09:00:00", 10)
    bot.ask("09:00:10", "silence level=warning 2h")
    assert bot.poll("09:00:15", 70) == []
    assert bot.poll("09:00:30", 130) == ["#cc: card silence_ended critical"]
    assert bot.poll("09:00:45", 10) == ["#cc: line resolved critical"]


def test_extended_and_taken_off(tmp_path: Path) -> None:
    """The announcement names who changed it, and on the next turn what still fires is reported."""
    bot = Bot(tmp_path / "alertbot.db")
    assert bot.poll("09:00:00", 70) == ["#cc: card fired warning"]
    bot.ask("09:00:10", "silence rule=long-wait 30m")
    assert bot.poll("09:00:15", 130) == ["#cc: Silence #2 by U012ANNA until 09:30 EET"]
    assert bot.ask("09:20", "silence 2 2h", BOB) == (
        "Silence #2 until 11:30 EET (2h10m left), by U012ANNA: rule=long-wait"
    )
    assert bot.ask("09:20", "silence 2 until 11:30") == "It already lasts until 11:30 EET: write a later time. " + (
        "unsilence ends it now."
    )
    assert bot.poll("09:20:15", 130) == ["#cc: Silence #2 was extended by U034BOB until 11:30 EET"]
    assert bot.card == "U012ANNA until 09:30"
    assert bot.poll("09:31:00", 130) == []
    assert bot.ask("10:00", "unsilence #2", BOB) == "Silence #2 ended by U034BOB: rule=long-wait"
    assert bot.ask("10:00", "unsilence #2") == "Silence #2 was already ended at 10:00 EET by U034BOB."
    assert bot.poll("10:00:15", 130) == ["#cc: line silence_ended critical", "#cc: Silence #2 was ended by U034BOB"]


def test_alertbot_was_down(tmp_path: Path) -> None:
    """The end that nobody announced is announced at the next start, with what still fires."""
    bot = Bot(tmp_path / "alertbot.db")
    bot.poll("09:00:00", 10)
    bot.ask("09:00:10", "silence tenant=acme until 18:00")
    assert bot.poll("09:00:15", 70) == []
    assert bot.poll("2026-03-03 08:00:00", 70) == [
        "#cc: card silence_ended warning",
        "#cc: Silence #1 by U012ANNA has ended, at 2026-03-02 18:00 EET",
    ]


def test_several_tenants(tmp_path: Path) -> None:
    """One silence for two tenants: announced in the channels of both, by whichever turn comes first."""
    bot = Bot(tmp_path / "alertbot.db")
    assert bot.poll("09:00:00", 70) == ["#cc: card fired warning"]
    assert bot.poll("09:00:05", 70, tenant="beta") == ["#beta: card fired warning"]
    bot.ask("09:01", "silence name=Sales 30m")
    said = bot.poll("09:01:00", 70, tenant="beta")
    assert sorted(said) == [
        "#beta: Silence #3 by U012ANNA until 09:31 EET",
        "#cc: Silence #3 by U012ANNA until 09:31 EET",
    ]
    assert bot.poll("09:01:15", 130) == []
    assert sorted(bot.poll("09:31:00", 130)) == [
        "#beta: Silence #3 by U012ANNA has ended, at 09:31 EET",
        "#cc: Silence #3 by U012ANNA has ended, at 09:31 EET",
        "#cc: line silence_ended critical",
    ]
    assert bot.poll("09:31:05", 130, tenant="beta") == ["#beta: line level_up critical"]


def test_a_poll_in_memory_sees_a_silence_that_another_process_made(tmp_path: Path) -> None:
    """What a turn keeps for the next one is read again when silences change."""
    bot = Bot(tmp_path / "alertbot.db")
    store = bot.store()
    tenant = poll.Tenant("acme", RULES, "#cc", "#ops")

    def turn(at: str, wait: float) -> list[str]:
        nonlocal tenant
        now = bot.time(at)
        seen = snapshot({WAIT: [wait * 1000.0]}, names=["Sales"], at=now)
        done = poll.run(tenant, store, now, Fetched(now, {Scope.QUEUE: seen}))
        tenant = replace(tenant, memory=done.memory)
        return [str(notice.reason) for notice in done.notices]

    assert turn("09:00:00", 10) == []
    bot.ask("09:00:05", "silence rule=long-wait 10m")
    assert turn("09:00:15", 70) == []
    bot.ask("09:00:20", "unsilence 1")
    assert turn("09:00:30", 70) == ["silence_ended"]
    store.close()
