"""The heartbeat: sent while alertbot works, withheld while it does not, and its address appears nowhere."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import structlog

from alertbot.feed.health import Feed
from alertbot.rules.rule import RuleSet
from alertbot.service.heartbeat import Heartbeat
from alertbot.service.tenant import LiveTenant
from alertbot.store.sqlite.store import SqliteStore
from alertbot.web.metrics import Metrics
from tests.service.loopback import serving
from tests.service.operated import operated
from tests.simulator.kit import HandClock
from tests.sources.recorded import Recorded
from tests.store.build import T0, at, ops, poll

CODE = "5a0d2c1e-very-secret"


@dataclass
class Watchman:
    """A service that expects pings: it keeps what it was sent, and answers with `status`."""

    url: str = ""
    status: int = 200
    pings: list[tuple[str, str, str | None]] = field(default_factory=list)


@contextmanager
def watchman() -> Iterator[Watchman]:
    kept = Watchman()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kept.pings.append(("GET", self.path, self.headers.get("Authorization")))
            self.send_response(kept.status)
            if kept.status == 302:
                self.send_header("Location", f"{kept.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Handler) as url:
        kept.url = f"{url}/{CODE}"
        yield kept


@dataclass
class World:
    store: SqliteStore
    clock: HandClock
    metrics: Metrics = field(default_factory=Metrics)

    def heart(self, url: str) -> Heartbeat:
        tenants = [
            LiveTenant(name, Recorded([]), RuleSet(()), timedelta(seconds=15), "#a", "#ops")
            for name in ("acme", "bolt")
        ]
        return Heartbeat(url, self.store, tenants, self.clock, self.metrics)

    def good_poll(self, tenant: str, seconds: float) -> None:
        """A complete poll at that many seconds after T0."""
        self.store.record(poll(now=at(seconds), tenant=tenant, feed=Feed(tenant, at(seconds), at(seconds))))

    def beats(self) -> dict[str, int]:
        lines = self.metrics.render("")[0].decode().splitlines()
        found = (line.removeprefix('alertbot_heartbeats_total{outcome="').split('"} ') for line in lines)
        return {parts[0]: int(float(parts[1])) for parts in found if len(parts) == 2 and "alertbot" not in parts[0]}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    store = SqliteStore(tmp_path / "alertbot.db", busy_timeout=0.1)
    yield World(store, HandClock(T0))
    store.close()


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    """What is logged, before secrets are removed: whatever an earlier test has set up."""
    with structlog.testing.capture_logs() as captured:
        yield captured


def test_it_is_sent_while_all_is_well(world: World) -> None:
    """One GET of the address for each beat; one tenant with good polls is enough."""
    with watchman() as other:
        heart = world.heart(other.url)
        world.good_poll("acme", 0)
        for second in (10, 70):
            world.clock.now = at(second)
            heart.beat()
        heart.close()
    assert other.pings == [("GET", f"/{CODE}", None)] * 2
    assert world.beats() == {"sent": 2}


WITHHELD = {
    "no poll yet": (lambda w: None, "no tenant has had a good poll recently"),
    "the last good poll is too long ago": (
        lambda w: w.good_poll("acme", -121),
        "no tenant has had a good poll recently",
    ),
    "a message is overdue": (
        lambda w: (w.good_poll("acme", 0), w.store.add_notices([ops("hello", now=at(-130))])),
        "a message has been waiting to be delivered to Slack for 2m 10s",
    ),
    "the database is gone": (lambda w: w.store.close(), "could not be read or written"),
}


@pytest.mark.parametrize(("spoil", "why"), WITHHELD.values(), ids=WITHHELD)
def test_it_is_withheld(world: World, spoil: Any, why: str, lines: list[Any]) -> None:
    """What would make the bot useless withholds the ping; the log says why once, and when it is sent again."""
    with watchman() as other:
        spoil(world)
        heart = world.heart(other.url)
        heart.beat()
        heart.beat()
        heart.close()
    assert other.pings == []
    assert world.beats() == {"withheld": 2}
    assert why in heart.reason_against()
    assert str(lines).count("the heartbeat is withheld") == 1


def test_it_resumes(world: World, lines: list[Any]) -> None:
    with watchman() as other:
        heart = world.heart(other.url)
        heart.beat()
        world.good_poll("bolt", 0)
        heart.beat()
        heart.close()
    assert len(other.pings) == 1
    assert "the heartbeat is sent again" in str(lines)


@pytest.mark.parametrize(("status", "said"), [(500, "answered 500"), (404, "answered 404"), (302, "answered 302")])
def test_a_ping_that_fails(world: World, status: int, said: str, lines: list[Any]) -> None:
    """It is logged without the address, which is a secret; a redirect is not followed; the next beat tries again."""
    world.good_poll("acme", 0)
    with watchman() as other:
        heart = world.heart(other.url)
        other.status = status
        heart.beat()
        other.status = 200
        heart.beat()
        heart.close()
    assert len(other.pings) == 2
    assert world.beats() == {"failed": 1, "sent": 1}
    logged = str(lines)
    assert said in logged
    assert CODE not in logged


def test_nobody_listens(world: World, lines: list[Any]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    world.good_poll("acme", 0)
    heart = world.heart(f"http://127.0.0.1:{port}/{CODE}")
    heart.beat()
    heart.close()
    logged = str(lines)
    assert f"127.0.0.1:{port} refused the connection" in logged
    assert CODE not in logged


def test_a_user_and_password_in_the_address(world: World) -> None:
    """They are sent as Basic auth, with percent-encoded characters decoded."""
    world.good_poll("acme", 0)
    with watchman() as other:
        heart = world.heart(other.url.replace("http://", "http://me:p%40ss@"))
        heart.beat()
        heart.close()
    assert other.pings == [("GET", f"/{CODE}", "Basic bWU6cEBzcw==")]


def test_the_running_bot_has_one(tmp_path: Path) -> None:
    """`heartbeat` of alertbot.yaml makes a job of it; without an address there is none."""
    with watchman() as other, operated(tmp_path, heartbeat={"url": other.url, "every": "10s"}) as bot:
        bot.poll()
        assert bot.app.heartbeat is not None
        bot.app.heartbeat.beat()
        assert len(other.pings) == 1
        bot.app.start()
        assert {"heartbeat", "lease"} <= {job.id for job in bot.app._scheduler._scheduler.get_jobs()}
    other_folder = tmp_path / "without"
    other_folder.mkdir()
    with operated(other_folder, heartbeat={"url": "", "every": "10s"}) as bot:
        assert bot.app.heartbeat is None
