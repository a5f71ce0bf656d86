"""HTTP over loopback: which requests are answered, and how every malformed one is refused."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from slack_bolt import BoltResponse

from alertbot.commands.command import Acknowledge, AcknowledgeCard
from alertbot.errors import ConfigError, StoreError
from alertbot.slack.permissions import MayChange
from alertbot.slack.signed import MAX_BODY, slack_route
from alertbot.web.routes import http_app
from alertbot.web.server import MAX_CONNECTIONS, HttpServer, serve_http
from tests.web.kit import SECRET, Desk, press, signed, slash


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def server(desk: Desk) -> Iterator[HttpServer]:
    app = desk.app(answer_within=0.3)
    asgi = http_app(reasons=list, routes=[slack_route(app.dispatch, SECRET, body_within=0.5)])
    running = serve_http(asgi, "127.0.0.1", 0)
    yield running
    running.stop()
    app.close()


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session


def post(server: HttpServer, body: bytes, headers: dict[str, str], path: str = "/slack/events") -> requests.Response:
    with _session() as session:
        return session.post(f"http://127.0.0.1:{server.port}{path}", data=body, headers=headers, timeout=10)


def get(server: HttpServer, path: str) -> requests.Response:
    with _session() as session:
        return session.get(f"http://127.0.0.1:{server.port}{path}", timeout=10)


def test_a_signed_command_is_answered(server: HttpServer) -> None:
    """A slash command gets its answer in the body of the 200, visible only to the asker."""
    body = slash("status")
    answer = post(server, body, signed(body))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    message = answer.json()
    assert message["response_type"] == "ephemeral"
    assert message["text"].startswith("Last good poll 12s ago")
    assert message["blocks"]


def test_public_is_shared(server: HttpServer) -> None:
    """`… public` is shown to the channel, a problem never is."""
    body = slash("status public")
    assert post(server, body, signed(body)).json()["response_type"] == "in_channel"
    body = slash("quue public")
    assert post(server, body, signed(body)).json()["response_type"] == "ephemeral"


BODY = slash("status")
GOOD = signed(BODY)
REFUSED: dict[str, tuple[bytes, dict[str, str]]] = {
    "no headers": (BODY, {}),
    "no signature": (BODY, {k: v for k, v in GOOD.items() if k != "X-Slack-Signature"}),
    "no timestamp": (BODY, {k: v for k, v in GOOD.items() if k != "X-Slack-Request-Timestamp"}),
    "a wrong signature": (BODY, GOOD | {"X-Slack-Signature": "v0=" + "0" * 64}),
    "a cut signature": (BODY, GOOD | {"X-Slack-Signature": GOOD["X-Slack-Signature"][:-1]}),
    "an empty signature": (BODY, GOOD | {"X-Slack-Signature": ""}),
    "a signature that is not ASCII": (BODY, GOOD | {"X-Slack-Signature": "v0=\xe9\xff"}),
    "another version": (BODY, GOOD | {"X-Slack-Signature": GOOD["X-Slack-Signature"].replace("v0", "v1")}),
    "another secret": (BODY, signed(BODY, secret="other")),
    "another body": (BODY + b"&x=1", GOOD),
    "another timestamp": (BODY, GOOD | {"X-Slack-Request-Timestamp": str(int(time.time()) - 1)}),
    "an old timestamp": (BODY, signed(BODY, at=time.time() - 400)),
    "a timestamp in the future": (BODY, signed(BODY, at=time.time() + 86_400)),
    "a timestamp that is not a number": (BODY, GOOD | {"X-Slack-Request-Timestamp": "soon"}),
    "a timestamp with a decimal point": (BODY, GOOD | {"X-Slack-Request-Timestamp": f"{time.time()}"}),
    "a timestamp that is too large": (BODY, GOOD | {"X-Slack-Request-Timestamp": "9" * 5000}),
    "a negative timestamp": (BODY, GOOD | {"X-Slack-Request-Timestamp": "-1"}),
    "an empty timestamp": (BODY, GOOD | {"X-Slack-Request-Timestamp": ""}),
    "a body that is not UTF-8": (b"text=\xff\xfe", GOOD),
    "an empty body": (b"", GOOD),
    "an empty body, signed": (b"", signed(b"")),
    "unsigned JSON": (b'{"type":"url_verification","challenge":"x"}', {}),
    "an unsigned ssl_check": (b"ssl_check=1", {}),
}


@pytest.mark.parametrize(("body", "headers"), REFUSED.values(), ids=REFUSED)
def test_what_slack_did_not_sign_is_refused(
    server: HttpServer, desk: Desk, body: bytes, headers: dict[str, str]
) -> None:
    """Every malformed or unsigned request is 401, whatever its form, and has no effect."""
    latin = {name: value.encode("latin-1") for name, value in headers.items()}  # requests would refuse to send it
    answer = post(server, body, latin)  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert answer.text == "Unauthorized\n"
    assert desk.asked == []


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "a request without Slack's signature"),
        (signed(BODY, secret="other"), "the signature does not fit slack.signing_secret"),
        (signed(BODY, at=time.time() - 600), r"their time is \d{3,} s from ours: check the clock"),
        (GOOD | {"X-Slack-Request-Timestamp": "soon"}, "the signature does not fit"),
        (GOOD | {"X-Slack-Signature": "v0=\xe9"}, "the signature does not fit"),
    ],
    ids=["no signature", "another secret", "a clock ten minutes off", "no time", "not ASCII"],
)
def test_a_refusal_is_logged_once_a_minute(
    server: HttpServer, caplog: pytest.LogCaptureFixture, headers: dict[str, str], reason: str
) -> None:
    """People in Slack see "dispatch_failed" alone; the log says why, and neither body nor signature."""
    caplog.set_level("WARNING", "alertbot")
    latin = {name: value.encode("latin-1") for name, value in headers.items()}
    for _ in range(3):
        assert post(server, BODY, latin).status_code == 401  # type: ignore[arg-type]
    (line,) = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert re.search(f"requests to /slack/events are refused: {reason}", line)
    assert "status" not in line


def test_signed_body_that_is_not_utf8_is_refused(server: HttpServer) -> None:
    """The right signature over bytes that are not text is 401 too, not an internal error."""
    body, timestamp = b"text=\xff\xfe", str(int(time.time()))
    digest = hmac.new(SECRET.encode(), b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    answer = post(server, body, {"X-Slack-Signature": f"v0={digest}", "X-Slack-Request-Timestamp": timestamp})
    assert answer.status_code == 401


SIGNED_NONSENSE = {
    "payload that is not JSON": (b"payload=%7Bnot", 400),
    "JSON that is a list": (b"payload=%5B1%5D", 400),
    "JSON that is a number": (b"payload=1", 400),
    "a form of something else": (b"hello=world", 404),
    "an unknown type": (b"payload=%7B%22type%22%3A%22surprise%22%7D", 404),
    "a press without a button": (press(actions=[]), 400),
    "a press of something else": (press(actions=[None]), 400),
    "a press without a user": (press(user=None), 200),
    "a ssl_check": (b"ssl_check=1&token=x", 200),
}


@pytest.mark.parametrize(("body", "status"), SIGNED_NONSENSE.values(), ids=SIGNED_NONSENSE)
def test_signed_nonsense_is_no_internal_error(server: HttpServer, body: bytes, status: int) -> None:
    """A signed request that alertbot does not understand is refused without an internal error."""
    assert post(server, body, signed(body)).status_code == status


def test_url_verification(server: HttpServer) -> None:
    """Slack's challenge for a request URL is answered if it is signed."""
    body = json.dumps({"type": "url_verification", "challenge": "abc", "token": "x"}).encode()
    answer = post(server, body, signed(body) | {"Content-Type": "application/json"})
    assert answer.status_code == 200
    assert answer.json() == {"challenge": "abc"}


EVENTS = {
    "a tab of messages": {"type": "app_home_opened", "user": "U012ANNA", "tab": "messages"},
    "without a user": {"type": "app_home_opened", "tab": "home"},
    "an event that is not answered": {"type": "message", "channel": "C1", "text": "hi", "user": "U1", "ts": "1.2"},
    "an event of a type that is not known": {"type": "surprise"},
}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_events_are_acknowledged(server: HttpServer, event: dict[str, str]) -> None:
    """Whatever the app is subscribed to: Slack repeats, and in the end stops, events that are not acknowledged."""
    body = json.dumps({"type": "event_callback", "event_id": "Ev1", "team_id": "T0ACME", "event": event}).encode()
    answer = post(server, body, signed(body) | {"Content-Type": "application/json"})
    assert (answer.status_code, answer.text) == (200, "")
    assert post(server, body, {"Content-Type": "application/json"}).status_code == 401


def test_many_slow_answers(server: HttpServer, desk: Desk, hook: _Hook) -> None:
    """While the database hangs, each of many requests is acknowledged within Slack's 3 s, and answered in the end."""
    desk.wait_for = threading.Event()
    took: list[float] = []

    def ask(number: int) -> None:
        text = slash("status", response_url=hook.url, trigger_id=f"c{number}")
        body = text if number % 2 else press(response_url=hook.url, trigger_id=f"b{number}", action="why")
        began = time.monotonic()
        assert post(server, body, signed(body)).status_code == 200
        took.append(time.monotonic() - began)

    threads = [threading.Thread(target=ask, args=[number]) for number in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(took) == 60
    assert max(took) < 3.0
    assert hook.got == []
    desk.wait_for.set()
    assert all("longest" in hook.take()["text"].lower() for _ in range(60))


def test_a_huge_body_is_refused_before_it_is_read(server: HttpServer) -> None:
    """A body that declares its size as too large is not read; one that does not is cut off."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as raw:
        raw.sendall(f"POST /slack/events HTTP/1.1\r\nHost: x\r\nContent-Length: {MAX_BODY + 1}\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")

    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 100_000

    with _session() as session:
        try:
            url = f"http://127.0.0.1:{server.port}/slack/events"
            assert session.post(url, data=endless(), timeout=10).status_code == 413
        except requests.ConnectionError:
            pass  # the connection was closed while it was sending, which is a refusal too


def test_a_body_that_does_not_arrive_times_out(server: HttpServer) -> None:
    """A request that never ends is dropped after a few seconds, and others are answered meanwhile."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as raw:
        raw.sendall(b"POST /slack/events HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        assert get(server, "/healthz").status_code == 200
        assert raw.recv(100).startswith(b"HTTP/1.1 408 ")


def test_a_head_that_does_not_arrive_times_out() -> None:
    """Nothing at all, half a head, and half a head after an answer: the connection is closed after a few seconds."""
    running = serve_http(http_app(reasons=list), "127.0.0.1", 0, head_within=0.4)
    try:
        for before in (b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"):
            with socket.create_connection(("127.0.0.1", running.port), timeout=5) as raw:
                raw.sendall(before)
                assert ended(raw) == b""
        for pause in (False, True):  # together with the first request, and after its answer
            with socket.create_connection(("127.0.0.1", running.port), timeout=5) as raw:
                whole, half = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /he"
                raw.sendall(whole if pause else whole + half)
                answer = raw.recv(1000)
                if pause:
                    raw.sendall(half)
                assert (answer + ended(raw)).count(b"HTTP/1.1 200") == 1
    finally:
        running.stop()


def ended(raw: socket.socket) -> bytes:
    """All that is received until the other side closes the connection."""
    got = b""
    try:
        while piece := raw.recv(1000):
            got += piece
    except ConnectionResetError:
        pass
    return got


HALVES = {
    "half a head": b"POST /slack/events HTTP/1.1\r\nHost: x\r\n",
    "the beginning of a body": b"POST /slack/events HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\nabc",
    "the beginning of a chunk": b"POST /slack/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\na",
    "a body that is not read": b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\nabc",
}


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
def test_the_rest_of_a_request_is_not_waited_for_long(desk: Desk, half: bytes) -> None:
    """Whatever is missing, and however it drips: the connection is closed after a few seconds."""
    app = desk.app()
    asgi = http_app(reasons=list, routes=[slack_route(app.dispatch, SECRET)])
    running = serve_http(asgi, "127.0.0.1", 0, head_within=0.4, body_within=0.4)
    try:
        with socket.create_connection(("127.0.0.1", running.port), timeout=5) as raw:
            raw.sendall(half)
            assert b" 200 " not in ended(raw)
    finally:
        running.stop()
        app.close()


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
def test_held_connections_do_not_keep_others_out(desk: Desk, half: bytes) -> None:
    """More unfinished requests than connections: health and Slack are answered at once all the same."""
    app = desk.app()
    asgi = http_app(reasons=list, routes=[slack_route(app.dispatch, SECRET)])
    running = serve_http(asgi, "127.0.0.1", 0)
    held: list[socket.socket] = []
    try:
        for _ in range(MAX_CONNECTIONS + 50):
            held.append(socket.create_connection(("127.0.0.1", running.port), timeout=5))
            with contextlib.suppress(ConnectionError):
                held[-1].sendall(half)
        body = slash("status")
        for _ in range(3):
            assert get(running, "/healthz").status_code == 200
            assert post(running, body, signed(body)).status_code == 200
    finally:
        for each in held:
            each.close()
        running.stop()
        app.close()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/slack/events"),
        ("PUT", "/slack/events"),
        ("POST", "/healthz"),
        ("GET", "/healthz/"),
        ("GET", "/docs"),
        ("GET", "/slack/install"),
        ("GET", "/slack/oauth_redirect?code=1"),
        ("POST", "/slack/events/x"),
    ],
)
def test_everything_else_is_404(server: HttpServer, method: str, path: str) -> None:
    """There are only the three endpoints."""
    with _session() as session:
        answer = session.request(method, f"http://127.0.0.1:{server.port}{path}", timeout=5, allow_redirects=False)
    assert (answer.status_code, answer.text) == (404, "Not Found\n")


def test_health() -> None:
    """/healthz says alive; /readyz says why not ready, with 503; without a secret there is no endpoint for Slack."""
    why: list[str] = ["acme: no good poll yet"]
    running = serve_http(http_app(reasons=lambda: why), "127.0.0.1", 0)
    try:
        assert get(running, "/healthz").text == "alive\n"
        answer = get(running, "/readyz")
        assert (answer.status_code, answer.json()) == (503, {"ready": False, "reasons": ["acme: no good poll yet"]})
        why.clear()
        answer = get(running, "/readyz")
        assert (answer.status_code, answer.json()) == (200, {"ready": True, "reasons": []})
        assert post(running, BODY, GOOD).status_code == 404
    finally:
        running.stop()


def test_readiness_that_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    """If the state cannot be read, the bot is not ready; no detail of the failure is returned."""

    def broken() -> list[str]:
        raise StoreError("disk I/O error in /secret/path")

    running = serve_http(http_app(reasons=broken), "127.0.0.1", 0)
    try:
        answer = get(running, "/readyz")
        assert answer.status_code == 503
        assert "secret" not in answer.text
        assert "disk I/O error" in caplog.text
    finally:
        running.stop()


def test_a_request_changes_no_level_of_a_log(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bolt gives the logger of its app the level of its own log, which is errors alone."""
    monkeypatch.setattr(logging.getLogger("alertbot"), "level", logging.INFO)
    body = slash("status")
    assert post(server, body, signed(body)).status_code == 200
    assert logging.getLogger("alertbot").level == logging.INFO


def test_a_failure_is_one_sentence(server: HttpServer, desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever fails inside, the asker gets one sentence and the log has the rest."""
    desk.error = StoreError("the database is locked")
    body = slash("status")
    answer = post(server, body, signed(body))
    assert answer.status_code == 200
    assert answer.json()["text"].startswith("Could not answer")
    assert "locked" not in answer.text
    assert "the database is locked" in caplog.text


class _Hook(ThreadingHTTPServer):
    """The server behind a response_url."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.arrived = threading.Semaphore(0)
        super().__init__(("127.0.0.1", 0), _Take)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"

    def take(self) -> dict[str, Any]:
        assert self.arrived.acquire(timeout=10)
        return self.got.pop(0)


class _Take(BaseHTTPRequestHandler):
    server: _Hook

    def do_POST(self) -> None:
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")
        self.server.arrived.release()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Hook]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = _Hook()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join(5)


def test_a_slow_answer_follows(server: HttpServer, desk: Desk, hook: _Hook) -> None:
    """If the view is not ready in time, Slack gets an acknowledgement, and the answer is sent later."""
    desk.wait_for = threading.Event()
    body = slash("status public", response_url=hook.url, trigger_id="1")
    answer = post(server, body, signed(body))
    assert answer.status_code == 200
    assert "the answer follows" in answer.json()["text"]
    assert hook.got == []
    desk.wait_for.set()
    late = hook.take()
    assert late["text"].startswith("Last good poll")
    assert late["response_type"] == "in_channel"
    assert late["replace_original"] is False


def test_closing_says_that_an_answer_hangs(desk: Desk, hook: _Hook) -> None:
    """Python waits for its thread at the end, so what stops the bot has to know; an idle one is closed at once."""
    app = desk.app(answer_within=0.05)
    running = serve_http(http_app(reasons=list, routes=[slack_route(app.dispatch, SECRET)]), "127.0.0.1", 0)
    try:
        body = slash("status")
        assert "Last good poll" in post(running, body, signed(body)).json()["text"]
        desk.wait_for = threading.Event()
        body = slash("status", response_url=hook.url, trigger_id="1")
        assert "the answer follows" in post(running, body, signed(body)).json()["text"]
        assert not app.close(0.1)
        desk.wait_for.set()
        hook.take()
        assert app.close(10.0)
    finally:
        running.stop()


def test_the_button(server: HttpServer, desk: Desk, hook: _Hook) -> None:
    """The first press wins and wakes the delivery; the other press is answered with the winner, ephemerally."""
    body = press(user="U012ANNA", response_url=hook.url, trigger_id="1")
    answer = post(server, body, signed(body))
    assert (answer.status_code, answer.text) == (200, "")
    assert desk.woken.wait(5)
    body = press(user="U034BOB", response_url=hook.url, trigger_id="2")
    assert post(server, body, signed(body)).status_code == 200
    late = hook.take()
    assert late["response_type"] == "ephemeral"
    assert late["replace_original"] is False
    assert "already acknowledged, by <@U012ANNA>" in late["text"]
    assert hook.got == []
    assert [(wish, asker.user) for wish, asker in desk.asked] == [
        (Acknowledge(17), "U012ANNA"),
        (Acknowledge(17), "U034BOB"),
    ]


def test_the_button_of_a_card_of_several(server: HttpServer, desk: Desk, hook: _Hook) -> None:
    """It asks for all alerts of that card; one that does not exist is reported."""
    body = press("card:4", response_url=hook.url, trigger_id="1")
    assert post(server, body, signed(body)).status_code == 200
    assert desk.woken.wait(5)
    body = press("card:5", response_url=hook.url, trigger_id="2")
    assert post(server, body, signed(body)).status_code == 200
    assert hook.take()["text"] == "There is no such card."
    assert [wish for wish, _ in desk.asked] == [AcknowledgeCard(4), AcknowledgeCard(5)]


@pytest.mark.parametrize("value", ["", "abc", "17; drop", "-1", "1" * 2000, "18", "card:", "card:0", "card:4 x"])
def test_the_value_of_a_button_is_not_trusted(server: HttpServer, desk: Desk, hook: _Hook, value: str) -> None:
    """A value that is not an id, or not of an alert, changes nothing and is reported."""
    body = press(value, response_url=hook.url)
    assert post(server, body, signed(body)).status_code == 200
    assert hook.take()["text"] in ("This button belongs to no alert.", "There is no alert #18.")
    assert desk.alert.acked_by is None


def test_the_same_request_twice_is_one(server: HttpServer, desk: Desk, hook: _Hook) -> None:
    """A repeated delivery (same trigger_id) of a command or a press has no effect and is not answered twice."""
    body = press(response_url=hook.url, trigger_id="7.1")
    for _ in range(3):
        assert post(server, body, signed(body)).status_code == 200
    assert desk.woken.wait(5)
    body = slash("unack 17", trigger_id="7.2")
    first, second = (post(server, body, signed(body)) for _ in range(2))
    assert first.json() == second.json()
    assert "given back by" in first.json()["text"]
    assert len(desk.asked) == 2
    assert hook.got == []


def test_many_press_at_once(server: HttpServer, desk: Desk, hook: _Hook) -> None:
    """Of ten who press together one wins, and each of the others gets the winner's name."""
    bodies = [press(user=f"U{number:03}X", response_url=hook.url, trigger_id=str(number)) for number in range(10)]
    threads = [threading.Thread(target=post, args=[server, body, signed(body)]) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    answers = [hook.take()["text"] for _ in range(9)]
    assert all(f"by <@{desk.alert.acked_by}>" in text for text in answers)
    assert len(desk.asked) == 10


def test_other_buttons_are_acknowledged(server: HttpServer, desk: Desk) -> None:
    """A link button sends an interaction too; Slack would show a warning without an acknowledgement."""
    body = press(action="runbook")
    assert post(server, body, signed(body)).status_code == 200
    assert desk.asked == []


def test_another_command_name_is_explained(server: HttpServer) -> None:
    """A command that is in Slack but not in the configuration: the answer names the setting."""
    body = slash("status", command="/cc")
    assert "set to answer /alertbot, not /cc" in post(server, body, signed(body)).json()["text"]


def test_escaped_text_is_read_as_typed(server: HttpServer) -> None:
    """Slack writes & < > as entities in what was typed."""
    body = slash("queue R&amp;D &lt;x&gt;")
    answer = post(server, body, signed(body)).json()
    assert "No queue is called “R&amp;D &lt;x&gt;”." in answer["text"]


@pytest.mark.parametrize(
    ("may", "allowed"),
    [
        (MayChange(), True),
        (MayChange(users=frozenset({"U012ANNA"})), True),
        (MayChange(channels=frozenset({"C01ALERTS"})), True),
        (MayChange(users=frozenset({"U9"}), channels=frozenset({"C9"})), False),
    ],
    ids=["everybody", "the user", "the channel", "neither"],
)
def test_who_may_change(desk: Desk, hook: _Hook, may: MayChange, allowed: bool) -> None:
    """Only those named in the configuration may change something; anyone may ask."""
    app = desk.app(may_change=may)
    running = serve_http(http_app(reasons=list, routes=[slack_route(app.dispatch, SECRET)]), "127.0.0.1", 0)
    try:
        body = press(response_url=hook.url)
        assert post(running, body, signed(body)).status_code == 200
        if allowed:
            assert desk.woken.wait(5)
        else:
            assert "slack.may_change" in hook.take()["text"]
        body = slash("ack 17")
        assert ("slack.may_change" in post(running, body, signed(body)).json()["text"]) is not allowed
        body = slash("status")
        assert "Last good poll" in post(running, body, signed(body)).json()["text"]
        assert (desk.alert.acked_by is not None) is allowed
    finally:
        running.stop()
        app.close()


def test_a_port_in_use_is_one_clear_error() -> None:
    """An address that is in use, or invalid, is a configuration error in one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigError, match=rf"^http: cannot listen on 127\.0\.0\.1:{port}: the address is already in use"
        ):
            serve_http(http_app(reasons=list), "127.0.0.1", port)
    with pytest.raises(ConfigError, match=r"^http: cannot listen on not a host:0: .+"):
        serve_http(http_app(reasons=list), "not a host", 0)


def test_stopping_is_quick_even_while_a_request_waits() -> None:
    """Stop returns within two seconds with a request in flight, and the port is free again."""
    began, release = threading.Event(), threading.Event()

    def hang(_: object) -> BoltResponse:
        began.set()
        release.wait(20)
        return BoltResponse(status=200)

    running = serve_http(http_app(reasons=list, routes=[slack_route(hang, SECRET)]), "127.0.0.1", 0)
    caller = threading.Thread(target=_swallow, args=[running])
    caller.start()
    assert began.wait(5)
    before = time.monotonic()
    running.stop()
    assert time.monotonic() - before < 2.5
    with socket.create_server(("127.0.0.1", running.port)):
        pass
    release.set()
    caller.join(10)


def _swallow(server: HttpServer) -> None:
    with contextlib.suppress(requests.ConnectionError):
        post(server, BODY, signed(BODY))


def test_the_why_button(server: HttpServer, desk: Desk, hook: _Hook) -> None:
    """The last decision about the alert, visible only to the user who pressed; nothing is changed."""
    body = press(action="why", response_url=hook.url)
    assert post(server, body, signed(body)).status_code == 200
    late = hook.take()
    assert (late["response_type"], late["replace_original"]) == ("ephemeral", False)
    assert late["text"].startswith("#17 belongs to the rule") or "longest-wait" in late["text"]
    assert desk.asked == []
    body = press("nonsense", action="why", response_url=hook.url)
    assert post(server, body, signed(body)).status_code == 200
    assert hook.take()["text"] == "This button belongs to no alert."
