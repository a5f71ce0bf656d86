"""The whole bot, from a simulated 8x8 over HTTP to a third-party Slack (`emulate`)."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from alertbot.simulator.server import Simulator, SimulatorOptions, serve
from tests.foreign import Emulate, emulate, free_port
from tests.service.bot import RULES, Bot, Gate, alertbot, bot, get, until
from tests.simulator.kit import HandClock

NASTY = "<!channel> @here & <http://x|y>"


class World:
    """A contact centre in which a rush is started and ended by the test, a Slack behind a gate, and a bot."""

    def __init__(self, clock: HandClock, centre: Simulator, slack: Emulate, gate: Gate, bot: Bot, port: int) -> None:
        self.clock, self.centre, self.slack, self.gate, self.bot, self.port = clock, centre, slack, gate, bot, port
        self.began = clock()

    def rush(self, state: str) -> None:
        """Move the centre's clock to where the longest wait is above one minute, above two, or back to calm."""
        seconds = {"calm": 0, "above 1m": 100, "above 2m": 140, "over": 300}[state]
        self.clock.forward(seconds=seconds - (self.clock() - self.began).total_seconds())

    def titles(self) -> list[str]:
        return [message["blocks"][0]["text"]["text"] for message in self.slack.history("cc-alerts")]

    def lines(self) -> list[str]:
        (card,) = self.slack.history("cc-alerts")
        return [reply["text"] for reply in self.slack.replies("cc-alerts", card["ts"])]


@contextmanager
def world(folder: Path, *, queue_name: str = "") -> Iterator[World]:
    clock = HandClock(datetime.now(UTC))
    options = SimulatorOptions(clock=clock, scenario="demo", queue_names={0: queue_name} if queue_name else {})
    with serve(options) as centre, emulate(folder) as slack:
        gate = Gate(slack.api_url)
        port = free_port()
        rules = RULES % centre.centre.find_queue("#1").id
        settings = {"bot_token": slack.token, "api_url": gate.api_url}
        try:
            with bot(folder, centre, settings, port=port, rules=rules) as made:
                yield World(clock, centre, slack, gate, made, port)
        finally:
            gate.close()


def test_one_card_for_its_whole_life_over_restarts(tmp_path: Path) -> None:
    """Posted once, edited as it rises, resolved in place, with its history in the thread; a restart repeats nothing."""
    with world(tmp_path) as w:
        w.bot.start()
        until("ready", lambda: get(w.port, "/readyz")[0] == 200)
        assert get(w.port, "/healthz") == (200, "alive\n")
        assert get(w.port, "/slack/events")[0] == 404
        assert w.titles() == []
        w.rush("above 1m")
        (title,) = until("a card", w.titles)
        assert title.startswith("🟠 Warning: ")
        status, took = w.bot.stop()
        assert (status, took < 5) == (0, True)
        w.rush("above 2m")
        w.bot.start()
        until("the rise", lambda: w.titles()[0].startswith("🔴 Critical: "))
        (line,) = until("the line of the rise", w.lines)
        assert "Now critical" in line
        w.bot.stop(signal.SIGKILL)
        w.rush("over")
        w.bot.start()  # the lease of a process that died here does not block the next one
        until("the end", lambda: w.titles()[0].startswith("🟢 Resolved: "))
        until("the line of the end", lambda: len(w.lines()) == 2)
        assert w.bot.stop()[0] == 0
        assert len(w.titles()) == 1
        assert w.gate.calls.count("chat.postMessage") == 3  # the card and two lines
        assert not w.bot.logged("Traceback")
        for secret in (w.slack.token, w.centre.options.api_secret):
            assert not w.bot.logged(secret)
        status = alertbot("ask", "status", cwd=tmp_path)
        assert (status.returncode, "Last good poll" in status.stdout) == (0, True)


def test_killed_between_post_and_mark(tmp_path: Path) -> None:
    """Slack has the card, and the bot dies before it stores that: the next start finds it and posts no second one."""
    with world(tmp_path) as w:
        w.gate.keep = "chat.postMessage"
        w.rush("above 1m")
        w.bot.start()
        assert w.gate.kept.wait(30)
        w.bot.stop(signal.SIGKILL)
        assert len(w.titles()) == 1
        w.rush("above 2m")
        w.bot.start()
        until("the card found again and edited", lambda: w.titles()[0].startswith("🔴 Critical"))
        until("the line", w.lines)
        assert len(w.titles()) == 1
        assert w.gate.calls.count("chat.postMessage") == 2  # the card, and one line


def test_a_hostile_queue_name(tmp_path: Path) -> None:
    """It mentions no one, in no part of the message, and is shown as it is."""
    with world(tmp_path, queue_name=NASTY) as w:
        w.rush("above 1m")
        w.bot.start()
        (title,) = until("a card", w.titles)
        assert title.endswith(f": {NASTY} — Longest wait in queue")
        (message,) = w.slack.history("cc-alerts")
        header, rest = message["blocks"][0], [message["text"], message["blocks"][1:], message.get("attachments")]
        assert header["text"]["type"] == "plain_text"
        assert "<!channel>" not in str(rest)
        assert "<http://x|y>" not in str(rest)


def test_one_poller_a_database(tmp_path: Path) -> None:
    """A second poller reports who holds the database and exits with 2; `ask` works beside it."""
    with world(tmp_path) as w:
        w.bot.start()
        until("ready", lambda: get(w.port, "/readyz")[0] == 200)
        for command in ("run", "poll"):
            second = alertbot(command, cwd=tmp_path, **w.bot.secrets)
            assert second.returncode == 2
            assert "already runs on this database" in second.stderr
            assert f"process {w.bot.process.pid if w.bot.process else 0}" in second.stderr
        assert alertbot("ask", "status", cwd=tmp_path).returncode == 0
        assert alertbot("poll", "--dry-run", cwd=tmp_path, **w.bot.secrets).returncode == 0


def test_stopped_while_another_process_writes(tmp_path: Path) -> None:
    """A locked database neither delays the stop beyond five seconds nor makes it fail."""
    with world(tmp_path) as w:
        w.bot.start()
        until("ready", lambda: get(w.port, "/readyz")[0] == 200)
        with closing(sqlite3.connect(tmp_path / "alertbot.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            status, took = w.bot.stop()
            other.execute("ROLLBACK")
        assert (status, took < 5.5) == (0, True)
        assert w.bot.logged("lease not released")
        assert w.bot.logged('"alertbot has stopped"')
        w.bot.start()  # the lease that was left is that of a process that is gone
        until("ready again", lambda: get(w.port, "/readyz")[0] == 200)
        assert w.bot.stop()[0] == 0


def test_poll_by_hand_notifies_once(tmp_path: Path) -> None:
    """`alertbot poll` from cron does what `run` does: one card, then nothing more."""
    with world(tmp_path) as w:
        w.rush("above 1m")
        first = alertbot("poll", cwd=tmp_path, **w.bot.secrets)
        again = alertbot("poll", cwd=tmp_path, **w.bot.secrets)
        assert [first.returncode, again.returncode] == [0, 0], first.stderr + again.stderr
        assert "1 notified" in first.stdout
        assert "0 notified" in again.stdout
        assert len(w.titles()) == 1


@pytest.mark.parametrize("what", ["Slack's token", "8x8's secret"])
def test_refused_credentials(tmp_path: Path, what: str) -> None:
    """`poll` says in one line who refuses the credentials, without the secret, and exits with 1; nothing is lost."""
    with world(tmp_path) as w:
        w.rush("above 1m")
        secrets = dict(w.bot.secrets)
        if what == "Slack's token":
            file = tmp_path / "alertbot.yaml"
            good = file.read_text()
            file.write_text(good.replace(w.slack.token, "xoxb-of-another-app"))
        else:
            secrets["EIGHT_BY_EIGHT_SECRET"] = "not-the-secret"
        wrong = alertbot("poll", cwd=tmp_path, **secrets)
        assert wrong.returncode == 1
        assert "Traceback" not in wrong.stdout + wrong.stderr
        assert "not-the-secret" not in wrong.stdout + wrong.stderr
        assert "xoxb-of-another-app" not in wrong.stdout + wrong.stderr
        if what == "Slack's token":
            assert "1 held back" in wrong.stdout
            assert w.titles() == []
        else:
            assert "refused" in wrong.stdout
