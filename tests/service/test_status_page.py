"""The status page of the whole bot: between 8x8 and Slack, while either or the database fails, and in the demo."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from html import unescape
from pathlib import Path

import pytest

from alertbot.logs import configure
from alertbot.simulator.faults import ApiFault
from tests.service.bot import environment, get, until
from tests.service.operated import operated

ADDRESS = re.compile(r"Status page: http://127\.0\.0\.1:(\d+)/$")


def seen(text: str) -> str:
    """A page without its markup."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


def test_what_the_bot_knows_is_on_the_page(tmp_path: Path) -> None:
    """Alerts as soon as they are recorded; ended ones, rules and decisions as the commands have them."""
    with operated(tmp_path) as bot:
        assert "Not polled yet" in seen(bot.get("/").text)
        bot.poll()
        until("a new view", lambda: "2 firing, all critical" in seen(bot.get("/").text))
        assert "Last good poll" in seen(bot.get("/").text)
        assert "anything-entered" in seen(bot.get("/rules").text)
        assert "It matches 2 queues now. " in seen(bot.get("/rules/anything-entered").text)
        (why, *_) = re.findall(r'href="(/why/anything-entered/[^"]+)"', bot.get("/rules/anything-entered").text)
        assert "critical: true" in seen(bot.get(unescape(why)).text)
        bot.app.store.resolve(1, "U0DANA", "tested", bot.clock())
        until("a new view", lambda: "1 firing, critical" in seen(bot.get("/").text))
        assert "closed by U0DANA" in seen(bot.get("/ended").text)
        assert bot.get("/ended.csv").text.count("anything-entered") == 1
        assert bot.get("/nothing").status_code == 404


def test_people_are_called_by_their_names(tmp_path: Path) -> None:
    """On pages and in the CSV, as Slack named them when they asked; an id where it never did."""
    with operated(tmp_path) as bot:
        bot.app.store.note_name("U0DANA", "Dana Whitfield")
        bot.poll()
        bot.app.store.acknowledge(1, "U0DANA", "", bot.clock())
        bot.app.store.acknowledge(2, "U0BOB", "", bot.clock())
        text = until("a new view", lambda: "2 acknowledged" in (shown := seen(bot.get("/").text)) and shown)
        assert "Dana Whitfield" in text
        assert "U0DANA" not in text
        assert "U0BOB" in text
        bot.app.store.resolve(1, "U0DANA", "", bot.clock())
        assert "closed by Dana Whitfield" in seen(bot.get("/ended").text)
        assert ",Dana Whitfield," in bot.get("/ended.csv").text


def test_while_8x8_is_down_the_last_state_is_shown(tmp_path: Path) -> None:
    """With the age of the data and the reason; the page itself is up to date."""
    with operated(tmp_path) as bot:
        bot.poll()
        bot.centre.faults.add(ApiFault("status", status=503, times=1000))
        bot.poll(seconds=300)
        text = until("a new view", lambda: "STALE" in (shown := seen(bot.get("/").text)) and shown)
        assert "STALE: last good poll 5m ago" in text
        assert "2 firing, all critical" in text
        assert "503" in text
        assert "Not up to date" not in text


def test_while_another_process_writes_the_page_can_be_read(tmp_path: Path) -> None:
    """A write lock keeps no page waiting: what is recorded is shown, and its age grows."""
    with operated(tmp_path) as bot, closing(sqlite3.connect(tmp_path / "alertbot.db", isolation_level=None)) as other:
        bot.poll()
        other.execute("BEGIN EXCLUSIVE")
        bot.clock.forward(seconds=400)
        text = until("a new view", lambda: "STALE" in (shown := seen(bot.get("/").text)) and shown)
        assert re.search(r"STALE: last good poll 6m 4\ds ago", text)
        assert "2 firing, all critical" in text


def test_when_the_database_is_gone_the_last_state_is_shown(tmp_path: Path) -> None:
    with operated(tmp_path) as bot:
        bot.poll()
        until("a view", lambda: "2 firing" in seen(bot.get("/").text))
        (tmp_path / "alertbot.db").unlink()
        bot.clock.forward(seconds=120)
        text = until("the reason", lambda: "Not up to date" in (shown := seen(bot.get("/").text)) and shown)
        assert "was deleted while alertbot was running" in text
        assert "2 firing, all critical" in text
        assert re.search(r"As of [0-9:]+ UTC , 2m( \d+s)? ago", text)
        assert bot.get("/ended.csv").status_code == 503


def test_the_log_says_where_the_page_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    with operated(tmp_path) as bot:
        assert bot.app.listener is not None
        port = bot.app.listener.port
    assert f"http://127.0.0.1:{port}/" in capsys.readouterr().err


def test_a_host_that_is_not_loopback_has_a_page_with_a_password_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure()
    with operated(tmp_path, http={"host": "0.0.0.0", "port": 0}) as bot:
        assert bot.get("/").status_code == 404
    assert "the status page is off" in capsys.readouterr().err
    with operated(tmp_path, http={"host": "0.0.0.0", "port": 0}, page={"password": "correct horse"}) as bot:
        assert "Log in" in bot.get("/").text


def test_the_demo_serves_the_page(tmp_path: Path) -> None:
    """It prints the address before anything else happens, and the page shows the demo's tenant."""
    command = [sys.executable, "-m", "alertbot", "demo", "--for", "60s", "--speed", "20"]
    demo = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        assert demo.stdout is not None
        lines = iter(demo.stdout.readline, "")
        address = next(
            found for line in lines if (found := re.match(r"Status page: http://127\.0\.0\.1:(\d+)/$", line))
        )
        port = int(address[1])
        until("the demo has polled", lambda: "Last good poll" in get(port, "/")[1])
        assert get(port, "/rules/longest-wait")[0] == 200
    finally:
        demo.kill()
        demo.wait(10)
        if demo.stdout is not None:
            demo.stdout.close()
