"""Socket Mode: connections that cannot be opened, that are replaced, or that end; and what arrives on them."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest
from slack_sdk import WebClient

from alertbot.slack.socket_mode import SocketMode
from tests.service.bot import until
from tests.slack.socket_server import APP_TOKEN, SocketServer, socket_server
from tests.web.kit import NOWHERE, Desk, press, slash

TOKEN = "xapp-1-very-secret"


class _Slack(ThreadingHTTPServer):
    """Answers apps.connections.open with a given body."""

    answer: bytes = b""
    tries: threading.Semaphore

    def __init__(self) -> None:
        self.tries = threading.Semaphore(0)
        super().__init__(("127.0.0.1", 0), _Open)

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/api/"


class _Open(BaseHTTPRequestHandler):
    server: _Slack

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(self.server.answer)
        self.server.tries.release()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Slack]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = _Slack()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join(5)


FAILURES = {
    "a wrong token": (json.dumps({"ok": False, "error": "invalid_auth"}), "Slack refused the app token (invalid_auth)"),
    "a bot token": (
        json.dumps({"ok": False, "error": "not_allowed_token_type"}),
        "Slack refused the app token (not_allowed_token_type): slack.app_token must be an app-level token, xapp-…",
    ),
    "no scope": (json.dumps({"ok": False, "error": "missing_scope"}), "lacks the scope connections:write"),
    "an error of Slack's": (json.dumps({"ok": False, "error": "internal_error"}), "(internal_error)"),
    "a proxy's page": ("<html>sign in</html>", "could not be read"),
    "a socket that is not there": (json.dumps({"ok": True, "url": "ws://127.0.0.1:9/x"}), "did not open a socket"),
}


@pytest.mark.parametrize(("answer", "says"), FAILURES.values(), ids=FAILURES)
def test_a_first_connect_that_fails(slack: _Slack, caplog: pytest.LogCaptureFixture, answer: str, says: str) -> None:
    """The reason is logged in one line, however often it is retried, and without the token."""
    slack.answer = answer.encode()
    desk = Desk()
    app = desk.app()
    connection = SocketMode(app.bolt, TOKEN, WebClient(base_url=slack.api_url), first_wait=0.01, max_wait=0.02)
    with caplog.at_level(logging.INFO, logger="alertbot"):
        connection.start()
        for _ in range(3):
            assert slack.tries.acquire(timeout=10)
        assert says in connection.problem
        before = time.monotonic()
        connection.stop()
        assert time.monotonic() - before < 3.0
    assert [record.getMessage() for record in caplog.records] == [connection.problem]
    assert TOKEN not in caplog.text
    app.close()


def test_slack_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network is reported in words, and `start` does not wait for it."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    app = Desk().app()
    connection = SocketMode(app.bolt, TOKEN, WebClient(base_url=NOWHERE), first_wait=0.01)
    assert connection.problem == "Slack: not connected yet"
    connection.start()
    pause = threading.Event()
    for _ in range(500):
        if connection.problem.startswith("Slack cannot be reached for Socket Mode"):
            break
        pause.wait(0.01)
    else:
        pytest.fail(f"unexpected problem: {connection.problem}")
    assert not connection.wait_until_up(0)
    connection.stop()
    app.close()


def test_stop_without_start() -> None:
    """A bot that fails during startup can stop all its parts."""
    app = Desk().app()
    SocketMode(app.bolt, TOKEN, WebClient(base_url=NOWHERE)).stop()
    app.close()


# Connections that are replaced, and what arrives on them.


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[SocketServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket_server() as running:
        yield running


@contextmanager
def connected(sockets: SocketServer, desk: Desk | None = None, **other: float) -> Iterator[SocketMode]:
    app = (desk or Desk()).app(answer_within=0.3)
    waits = {"first_wait": 0.05, "max_wait": 0.2, "read_on_for": 20.0, "check_every": 0.05, "lasts": 0.0}
    connection = SocketMode(app.bolt, APP_TOKEN, WebClient(base_url=sockets.api_url), **waits | other)
    connection.start()
    assert connection.wait_until_up(10)
    yield connection
    connection.stop(10)
    app.close(10)


def command(text: str, **other: str) -> dict[str, Any]:
    """The payload of a slash command."""
    return {name: values[0] for name, values in parse_qs(slash(text, **other).decode()).items()}


@pytest.mark.parametrize("reason", ["warning", "refresh_requested"])
def test_slack_asks_for_a_new_connection(sockets: SocketServer, reason: str) -> None:
    """The next one is opened at once; on both, what arrives is acknowledged well within 3 s; no problem is reported."""
    with connected(sockets) as connection:
        first = sockets.link()
        first.send(type="disconnect", reason=reason, debug_info={"host": "wss-1"})
        second = sockets.link(within=2)
        began = time.monotonic()
        second.envelope("on the new one")
        first.envelope("on the old one")
        assert second.acknowledged() == {"envelope_id": "on the new one"}
        assert first.acknowledged() == {"envelope_id": "on the old one"}
        assert time.monotonic() - began < 1.5  # seconds; the library alone needs 3
        assert connection.problem == ""
        first.close()  # as Slack does it then
        second.envelope("after that")
        assert second.acknowledged() == {"envelope_id": "after that"}
        assert sockets.links.empty()


def test_a_replaced_connection_ends(sockets: SocketServer) -> None:
    """It is read for a time that is set, and then closed by the bot."""
    with connected(sockets, read_on_for=0.1):
        first = sockets.link()
        first.send(type="disconnect", reason="warning")
        sockets.link()
        assert first.closed.wait(10)


def test_many_refreshes(sockets: SocketServer) -> None:
    """One connection after the other, and no thread is left of those that ended."""
    with connected(sockets, read_on_for=0.0) as connection:
        link = sockets.link()
        before = threading.active_count()
        for number in range(10):
            link.envelope(str(number))
            assert link.acknowledged() == {"envelope_id": str(number)}
            link.send(type="disconnect", reason="refresh_requested")
            link = sockets.link()
        # Those of the desk are made when they are needed, and stay: a client alone has more than four.
        until("the threads have ended", lambda: threading.active_count() <= before + 12, within=10)
        assert connection.problem == ""


@pytest.mark.parametrize("how", ["cut", "close"])
def test_a_connection_that_ends(sockets: SocketServer, caplog: pytest.LogCaptureFixture, how: str) -> None:
    """It is noticed at once, by its end or by the protocol, and a new one is opened."""
    with caplog.at_level(logging.INFO, logger="alertbot.slack.socket_mode"), connected(sockets) as connection:
        first = sockets.link()
        getattr(first, how)()
        second = sockets.link(within=2)  # seconds; the library alone needs 30
        until("it is connected", lambda: connection.problem == "", within=10)
        second.envelope("1")
        assert second.acknowledged() == {"envelope_id": "1"}
    assert [record.getMessage() for record in caplog.records if record.name == "alertbot.slack.socket_mode"] == [
        "connected to Slack over Socket Mode",
        "the connection to Slack (Socket Mode) was lost; reconnecting",
        "connected to Slack over Socket Mode",
    ]


def test_a_connection_that_falls_silent(sockets: SocketServer) -> None:
    """Where the network drops everything the socket stays open: a connection without pongs is replaced."""
    sockets.pongs = False
    with connected(sockets, ping_every=0.1):
        sockets.link()
        sockets.pongs = True
        second = sockets.link(within=10)
        second.envelope("1")
        assert second.acknowledged() == {"envelope_id": "1"}


def test_a_refresh_that_fails(sockets: SocketServer) -> None:
    """While no new connection can be opened, the old one works on, and nothing is reported: nothing is wrong yet."""
    with connected(sockets) as connection:
        first = sockets.link()
        for _ in range(3):
            sockets.refuse("internal_error")
        first.send(type="disconnect", reason="warning")
        first.envelope("1")
        assert first.acknowledged() == {"envelope_id": "1"}
        assert sockets.links.get(timeout=10)
        assert connection.problem == ""


def test_a_rate_limit_does_not_hold_up_requests(sockets: SocketServer) -> None:
    """Retry-After of apps.connections.open is kept; meanwhile requests on the old connection are answered."""
    with connected(sockets):
        first = sockets.link()
        sockets.refuse("ratelimited", 429, Retry_After="1")
        began = time.monotonic()
        first.send(type="disconnect", reason="refresh_requested")
        first.envelope("1")
        assert first.acknowledged(within=0.9) == {"envelope_id": "1"}
        sockets.link()
        assert time.monotonic() - began >= 1.0


def test_socket_mode_is_turned_off(sockets: SocketServer) -> None:
    """The reason is reported with what to do, until it is turned on again."""
    with connected(sockets, first_wait=0.5) as connection:
        first = sockets.link()
        for _ in range(2):
            sockets.refuse("some_error")
        first.send(type="disconnect", reason="link_disabled")
        until("the problem is known", lambda: "link_disabled" in connection.problem, within=10)
        assert "Slack app > Settings > Socket Mode" in connection.problem
        first.close()
        sockets.link()
        until("it is connected", lambda: connection.problem == "", within=10)


def test_connections_that_do_not_last(sockets: SocketServer) -> None:
    """They are opened again with waits that double, not as fast as Slack ends them."""
    with connected(sockets, first_wait=0.1, max_wait=10.0, lasts=30.0):
        began = time.monotonic()
        for _ in range(4):
            sockets.link().send(type="disconnect", reason="refresh_requested")
        sockets.link()
        assert time.monotonic() - began >= 0.1 + 0.2 + 0.4 + 0.8


ENVELOPES: dict[str, dict[str, Any]] = {
    "an event of a type that is not known": {"payload": {"type": "event_callback", "event": {"type": "surprise"}}},
    "an interaction of a type that is not known": {"kind": "interactive", "payload": {"type": "surprise"}},
    "an envelope of a type that is not known": {"kind": "surprise", "payload": {"type": "surprise"}},
    "a payload of another form": {"payload": ["surprise"]},
    "an empty payload": {"payload": {}},
    "a retry": {"retry_attempt": 1, "retry_reason": "timeout"},
}


@pytest.mark.parametrize("envelope", ENVELOPES.values(), ids=ENVELOPES)
def test_every_envelope_is_acknowledged(sockets: SocketServer, envelope: dict[str, Any]) -> None:
    """Slack repeats what is not acknowledged; frames without an id, and those that are no JSON, do no harm."""
    with connected(sockets):
        link = sockets.link()
        link.send(type="surprise")
        link.envelope("1", **envelope)
        assert link.acknowledged() == {"envelope_id": "1"}
        link.envelope("2", "slash_commands", payload=command("help"))
        assert link.acknowledged()["envelope_id"] == "2"


def test_the_same_envelope_twice(sockets: SocketServer) -> None:
    """On one connection, and again on the next: one change, one answer, and each envelope acknowledged."""
    desk = Desk()
    with connected(sockets, desk):
        first = sockets.link()
        asked = command("ack 17", trigger_id="7.1")
        for _ in range(2):
            first.envelope("1", "slash_commands", payload=asked, accepts_response_payload=True)
        answers = [first.acknowledged() for _ in range(2)]
        first.send(type="disconnect", reason="warning")
        second = sockets.link()
        second.envelope("1", "slash_commands", payload=asked, accepts_response_payload=True)
        answers.append(second.acknowledged())
    assert [answer["envelope_id"] for answer in answers] == ["1"] * 3
    assert answers[0] == answers[1] == answers[2]
    assert "acknowledged by" in answers[0]["payload"]["text"]
    assert len(desk.asked) == 1


def test_a_storm_of_requests_while_the_database_hangs(sockets: SocketServer) -> None:
    """A hundred commands and buttons at once: each is acknowledged within 3 s, whatever the answers take."""
    desk = Desk(wait_for=threading.Event())
    with connected(sockets, desk) as connection:
        link = sockets.link()
        began = time.monotonic()
        for number in range(100):
            if number % 2:
                link.envelope(str(number), "slash_commands", payload=command("status", trigger_id=str(number)))
            else:
                pressed = json.loads(parse_qs(press(trigger_id=str(number)).decode())["payload"][0])
                link.envelope(str(number), "interactive", payload=pressed)
        acknowledged = {link.acknowledged()["envelope_id"] for _ in range(100)}
        assert time.monotonic() - began < 3.0
        assert acknowledged == {str(number) for number in range(100)}
        assert connection.problem == ""
        assert desk.wait_for is not None
        desk.wait_for.set()
