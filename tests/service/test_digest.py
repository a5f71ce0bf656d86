"""The digest on a schedule: once for each time that it is due, over restarts, outages and clocks that change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from alertbot.alerts.quality import Quality
from alertbot.commands.command import Command
from alertbot.commands.view import View
from alertbot.errors import StoreError
from alertbot.rules.recurring import parse_recurring
from alertbot.service.digest import MAX_LATE, ScheduledDigest
from alertbot.service.signal import ThreadSignal
from tests.commands.test_digest import busy
from tests.notify.world import World, world
from tests.service.operated import operated
from tests.slack.slack_server import DROP_AFTER, refused

HELSINKI = ZoneInfo("Europe/Helsinki")
DUE = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)  # Monday, 8:00 in Helsinki
MINUTE, HOUR, WEEK = timedelta(minutes=1), timedelta(hours=1), timedelta(days=7)


@dataclass
class Office(World):
    """A World with a digest, whose view is a busy week."""

    every: str = "mon 08:00"
    asked: list[tuple[Command, datetime]] = field(default_factory=list)
    fails: bool = False
    digest: ScheduledDigest = field(init=False)

    def start(self) -> None:
        super().start()
        self.digest = ScheduledDigest(
            self.store,
            lambda: self.now,
            ThreadSignal(),
            self._view,
            every=parse_recurring(self.every),
            zone=HELSINKI,
            channel="#cc-ops",
        )

    def _view(self, command: Command, at: datetime) -> View:
        if self.fails:
            raise StoreError("the database is locked")
        self.asked.append((command, at))
        return replace(busy(), quality=replace(busy().quality or Quality(at, at), since=at - WEEK, until=at))

    def at(self, now: datetime) -> Office:
        self.now = now
        return self

    def sent(self) -> list[str]:
        """The digests in the channel, by their first lines, once all that is due was delivered."""
        self.run(20)
        return [message["text"].splitlines()[0] for message in self.slack.top("cc-ops")]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with world(tmp_path, Office) as made:
        yield made


def test_it_is_sent_when_it_is_due(office: Office) -> None:
    """Not before; then about the time since the one before, with the rest in the thread."""
    assert not office.at(DUE - timedelta(days=3)).digest.run()
    assert not office.at(DUE - MINUTE).digest.run()
    assert office.at(DUE + timedelta(seconds=30)).digest.run()
    assert office.asked == [(Command("digest", ("604800s",)), DUE)]
    assert office.sent() == ["Alert digest: 7d until Mon 02 Mar 08:00 EET."]
    (message,) = office.slack.top("cc-ops")
    replies = office.slack.thread(message["ts"], "cc-ops")
    assert len(replies) == 1
    assert replies[0]["text"].startswith("Fired most: rules\n• longest-wait: 208 alerts")
    assert message["text"].endswith("The rest is in the thread.")


def test_once(office: Office) -> None:
    """However often it is asked, by whichever process, and over a restart."""
    assert office.at(DUE).digest.run()
    assert not office.later(60).digest.run()
    office.restart()
    assert not office.later(60).digest.run()
    assert len(office.sent()) == 1
    office.restart()
    assert not office.at(DUE + HOUR).digest.run()
    assert len(office.sent()) == 1
    assert len(office.asked) == 1


def test_two_processes(office: Office) -> None:
    """Both found that it was not there: the store keeps one."""
    first, made = office.digest, []
    original = office._view

    def overtaken(command: Command, at: datetime) -> View:
        if not made:
            made.append(True)
            office.start()
            assert office.digest.run()
        return original(command, at)

    first._view = overtaken
    office.at(DUE)
    first.run()
    assert len(office.sent()) == 1


LATE = {
    "a minute": (MINUTE, 1),
    "just in time": (MAX_LATE, 1),
    "too late": (MAX_LATE + timedelta(seconds=1), 0),
    "days": (timedelta(days=5), 0),
}


@pytest.mark.parametrize(("late", "digests"), LATE.values(), ids=LATE)
def test_after_downtime(office: Office, late: timedelta, digests: int) -> None:
    """It is sent up to four hours late, about the window that was due. What is later is left out; the next is sent."""
    office.at(DUE + late).digest.run()
    assert [at for _, at in office.asked] == [DUE] * digests
    assert len(office.sent()) == digests
    assert office.at(DUE + timedelta(days=7)).digest.run()
    assert len(office.sent()) == digests + 1


def test_every_day_over_the_change_of_clocks(office: Office) -> None:
    """At the same local time, and the window is what lies between."""
    office.every = "daily 08:00"
    office.start()
    sunday = datetime(2026, 3, 29, 5, 0, tzinfo=UTC)  # 8:00 in summer time
    assert not office.at(sunday - MINUTE).digest.run() or office.asked[-1][1] < sunday
    assert office.at(sunday).digest.run()
    assert office.asked[-1] == (Command("digest", (f"{23 * 3600}s",)), sunday)


def test_a_database_that_cannot_be_read_is_tried_again(office: Office) -> None:
    office.fails = True
    assert not office.at(DUE).digest.run()
    office.fails = False
    assert office.later(60).digest.run()
    assert len(office.sent()) == 1


def test_a_post_with_an_unknown_outcome_is_found(office: Office) -> None:
    """The message and each reply stand there once, although the connection broke after each of them."""
    office.slack.next("chat.postMessage", DROP_AFTER, DROP_AFTER)
    assert office.at(DUE).digest.run()
    office.run(60)
    (message,) = office.slack.top("cc-ops")
    assert len(office.slack.thread(message["ts"], "cc-ops")) == 1


def test_a_channel_that_does_not_work(office: Office) -> None:
    """The digest goes to the default channel, with its thread."""
    office.slack.always["chat.postMessage", "#cc-ops"] = refused("is_archived")
    office.slack.always["chat.postMessage", "C0CCOPS"] = refused("is_archived")
    assert office.at(DUE).digest.run()
    office.run(30)
    found = [message for message in office.slack.top() if message["text"].startswith("Alert digest: 7d")]
    assert len(found) == 1
    assert len(office.slack.thread(found[0]["ts"])) == 1


def test_the_whole_bot(tmp_path: Path) -> None:
    """From the setting: made of what was polled, and delivered by the courier."""
    with operated(tmp_path, digest={"every": "daily 00:00", "channel": "#cc-sales"}) as bot:
        assert bot.app.digest is not None
        bot.poll()
        midnight = bot.clock().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        bot.clock.forward(seconds=(midnight - bot.clock()).total_seconds() + 5)
        assert bot.app.digest.run()
        bot.deliver()
        (message,) = bot.slack.top("cc-sales")
        assert message["text"].splitlines()[:2] == [
            f"Alert digest: 1d until {midnight:%a %d %b} 00:00 UTC.",
            "2 alerts, 2 critical; none acknowledged.",
        ]
        assert "agents-there: would have fired 3 times for 3 entities" in message["text"]
        bot.app.stop()
        bot.restart()
        assert bot.app.digest is not None
        assert not bot.app.digest.run()
