"""Socket Mode: a first connect that fails, one that succeeds later, and a clean stop."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from slack_sdk import WebClient

from alertbot.slack.socket_mode import SocketMode
from tests.web.kit import NOWHERE, Desk

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
