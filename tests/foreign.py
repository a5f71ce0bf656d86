"""Third-party programs for end-to-end tests, installed by `.ci/foreign`.

`emulate` (npm, 0.12.2) is a stateful Slack Web API: posts, edits, threads, metadata, history.
`local-slack` (npm, 0.1.8) has Socket Mode, slash commands and buttons. It listens on all interfaces, so it runs only
in a network namespace with nothing but loopback, together with its test.
`prism` (npm, 5.14.2) serves an OpenAPI file and rejects requests that do not conform to it.

    @pytest.fixture
    def slack(tmp_path: Path) -> Iterator[Emulate]:
        with emulate(tmp_path) as running:
            yield running

    @pytest.fixture
    def slack(tmp_path: Path) -> Iterator[LocalSlack]:
        with lonely_network(), local_slack(tmp_path, mode="socket") as running:
            yield running

Each skips the test, with a reason, if it cannot run.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import logging
import os
import queue
import random
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import requests
from slack_sdk.socket_mode.builtin.connection import Connection, ConnectionState

_log = logging.getLogger(__name__)
FOLDER = Path(os.environ.get("ALERTBOT_FOREIGN") or Path(__file__).parent.parent / ".foreign")
BOT_SCOPES = ("chat:write", "channels:history", "channels:read", "groups:history", "groups:read", "files:write")

PORTS = range(20_000, 30_000)  # Linux gives connections ports from 32768 on

_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


def program(name: str) -> str:
    """The path of an installed program; skips the test if it is not installed."""
    path = FOLDER / "bin" / name
    if not path.exists():
        pytest.skip(f"{name} is not installed: run .ci/foreign")
    return str(path)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free, and that no other test of this machine gets while this process runs.

    A port that the system chose for a moment could be given away again before the program that is to listen there has
    started: to another test, or to an outgoing connection. So these ports are below those that the system gives to
    connections, and each is reserved by a lock on a file, which is left open until the process ends.
    """
    folder = Path(tempfile.gettempdir()) / f"alertbot-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for port in random.sample(PORTS, len(PORTS)):
        reservation = os.open(folder / str(port), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(reservation, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(reservation)
            continue
        return port
    raise AssertionError("no port is free")


@contextmanager
def lonely_network() -> Iterator[None]:
    """Put this thread, and threads and processes started by it, into a network with nothing but loopback.

    Needs the permission to create a network namespace (root, or the whole run inside `unshare -rn`; loopback is
    brought up here). Skips the test if that is not allowed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    except OSError as error:
        pytest.skip(f"no network namespaces here: {error}")
    try:
        if libc.unshare(_CLONE_NEWNET) != 0:
            reason = os.strerror(ctypes.get_errno())
            pytest.skip(f"a network namespace is not allowed here ({reason}); `unshare -rn pytest …` may be")
        try:
            _loopback_up()
            yield
        finally:
            if libc.setns(home, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "cannot return to the first network namespace")
    finally:
        os.close(home)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


@contextmanager
def _running(command: list[str], url: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        _wait_until_answers(process, url, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=5)


def _wait_until_answers(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with _session() as session:
                session.get(url, timeout=2)
            return
        except requests.ConnectionError:
            time.sleep(0.05)
    raise AssertionError(f"{process.args!r} did not start: {log.read_text(errors='replace')[-2000:]}")


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # no proxy from the environment for loopback
    return session


@dataclass(frozen=True)
class Emulate:
    """A running `emulate`: `api_url` for the bot (`slack.api_url`), its token, and its channels."""

    api_url: str
    channels: dict[str, str]  # name (without #) to id
    process: subprocess.Popen[bytes]
    token: str = "xoxb-foreign-emulate-token"  # of the emulator
    narrow_token: str = "xoxb-foreign-narrow-token"  # of an app that was installed before files:write was asked for
    reading_token: str = "xoxb-foreign-reading-token"  # for tests: it may list files, which the bot may not
    bot_id: str = "B0ALERTBOT"
    bot_user_id: str = "U0ALERTBOT"

    def call(self, method: str, **args: Any) -> dict[str, Any]:
        """A Web API call as the bot; the whole answer."""
        return _call(self.api_url, self.token, method, args)

    def files(self) -> list[dict[str, Any]]:
        """Every file that was uploaded."""
        answer = _call(self.api_url, self.reading_token, "files.list", {})
        return list(answer["files"])

    def history(self, channel: str) -> list[dict[str, Any]]:
        """The messages of a channel (by name, without #), oldest first, without threads."""
        answer = self.call("conversations.history", channel=self.channels[channel], limit=500)
        return list(reversed(answer["messages"]))

    def replies(self, channel: str, ts: str) -> list[dict[str, Any]]:
        """The replies in the thread of a message, oldest first."""
        answer = self.call("conversations.replies", channel=self.channels[channel], ts=ts)
        return [message for message in answer["messages"] if message["ts"] != ts]


def _call(api_url: str, token: str, method: str, args: dict[str, Any]) -> dict[str, Any]:
    with _session() as session:
        answer = session.post(api_url + method, json=args, headers={"Authorization": f"Bearer {token}"}, timeout=10)
    body: dict[str, Any] = answer.json()
    return body


@contextmanager
def emulate(
    folder: Path, *, channels: tuple[str, ...] = ("cc-alerts", "cc-sales", "cc-alerts-ops"), port: int | None = None
) -> Iterator[Emulate]:
    """Run `emulate` with these channels (names without #; a bare `name` resolves there, `#name` does not).

    Tokens and scopes are checked as strictly as it can. Its output goes to `folder`.
    """
    command = program("emulate")
    port = port or free_port()
    app = {
        "app_id": "A0ALERTBOT",
        "bot_id": Emulate.bot_id,
        "bot_user_id": Emulate.bot_user_id,
        "client_id": "1.2",
    }
    seed = {
        "slack": {
            "team": {"name": "Acme", "domain": "acme"},
            "users": [{"name": "alice"}],
            "oauth_apps": [
                app
                | {"client_secret": "not-used", "name": "alertbot", "bot_name": "alertbot", "redirect_uris": []}
                | {"scopes": BOT_SCOPES}
            ],
            "channels": [{"name": name} for name in channels],
            "tokens": [
                app | {"token": token, "type": "bot", "user_id": Emulate.bot_user_id, "scopes": scopes}
                for token, scopes in (
                    (Emulate.token, BOT_SCOPES),
                    (Emulate.narrow_token, BOT_SCOPES[:-1]),
                    (Emulate.reading_token, (*BOT_SCOPES, "files:read")),
                )
            ],
            "strict_scopes": True,
        }
    }
    file = folder / "emulate-seed.json"
    file.write_text(json.dumps(seed))
    start = [command, "start", "--service", "slack", "--port", str(port), "--host", "127.0.0.1", "--seed", str(file)]
    with _running(start, f"http://127.0.0.1:{port}/", folder / "emulate.log") as process:
        api_url = f"http://127.0.0.1:{port}/api/"
        listed = _call(api_url, Emulate.token, "conversations.list", {"limit": 1000})
        for each in listed["channels"]:
            _call(api_url, Emulate.token, "conversations.join", {"channel": each["id"]})
        yield Emulate(api_url, {each["name"]: each["id"] for each in listed["channels"]}, process)


class Form:
    """What the page of local-slack shows: the open modal, None where there is none, and errors in it."""

    def __init__(self) -> None:
        self.modal: dict[str, Any] | None = None
        self.errors: queue.Queue[dict[str, str]] = queue.Queue()  # those that the bot answered with
        self.send: Callable[[str], None] = lambda _: None

    def received(self, message: str) -> None:
        """What local-slack sends to its page."""
        event = json.loads(message)
        if event["t"] == "view_errors":
            self.errors.put(event["errors"])
        elif event["t"] == "view":
            self.modal = event["stack"][-1] if event["stack"] else None

    def submit(self, values: dict[str, str], user: str) -> None:
        """Fill in the inputs, by block id, and submit."""
        filled = {block: {"text": {"type": "plain_text_input", "value": text}} for block, text in values.items()}
        self.send(json.dumps({"t": "view_submit", "user": user, "values": filled}))


@dataclass(frozen=True)
class LocalSlack:
    """A running `local-slack`. Channels and users by id: see `CHANNELS` and `USERS`."""

    api_url: str
    url: str
    process: subprocess.Popen[bytes]
    bot_token: str = "xoxb-foreign-local-token"  # of the emulator
    app_token: str = "xapp-foreign-local-token"
    signing_secret: str = "foreign-local-signing-secret"

    CHANNELS = {"cc-alerts": "C01ALERTS", "cc-sales": "C02SALES", "cc-alerts-ops": "C03OPS"}  # noqa: RUF012
    USERS = {"alice": "U01ALICE", "bob": "U02BOB"}  # noqa: RUF012

    def control(self, path: str, **args: Any) -> dict[str, Any]:
        """Act as a user of the workspace: `command`, `interact`, `message`, … (POST /_control/PATH)."""
        with _session() as session:
            answer = session.post(f"{self.url}/_control/{path}", json=args, timeout=15)
        found: dict[str, Any] = answer.json()
        return found

    def command(
        self, text: str, *, command: str = "/alertbot", user: str = "alice", channel: str = "cc-alerts"
    ) -> None:
        """Type a slash command; returns when the bot has acknowledged it (or local-slack stopped waiting)."""
        self.control("command", channel=self.CHANNELS[channel], user=self.USERS[user], command=command, text=text)

    def press(self, message: dict[str, Any], action: dict[str, Any], *, user: str = "alice") -> None:
        """Press a button: `action` is the element as it is in the message's blocks."""
        self.control(
            "interact", channel=message["channel"], messageTs=message["ts"], user=self.USERS[user], action=action
        )

    def choose(self, message: dict[str, Any], menu: dict[str, Any], value: str, *, user: str = "alice") -> None:
        """Choose an option of a menu: `menu` is the element as it is in the message's blocks."""
        option = next(each for each in menu["options"] if each["value"] == value)
        self.press(message, {**menu, "selected_option": option}, user=user)

    @contextmanager
    def form(self) -> Iterator[Form]:
        """A user at the modal that the bot opens: only the WebSocket of local-slack's page shows it and takes input."""
        form = Form()
        connection = Connection(
            self.url.replace("http:", "ws:") + "/ui", _log, receive_timeout=0.2, on_message_listener=form.received
        )
        connection.connect()
        state = ConnectionState()
        reader = threading.Thread(target=connection.run_until_completion, args=[state], daemon=True)
        reader.start()
        form.send = connection.send
        try:
            yield form
        finally:
            state.terminated = True
            reader.join(5)
            connection.close()

    def open_home(self, *, user: str = "alice") -> None:
        """Open the app's Home tab; returns when the bot has acknowledged the event."""
        self.control("open-home", user=self.USERS[user])

    def homes(self, user: str = "alice") -> list[dict[str, Any]]:
        """The Home tabs that were published for this user, oldest first."""
        with _session() as session:
            log = session.get(f"{self.url}/_control/log", timeout=5).json()["log"]
        published = [entry["detail"] for entry in log if entry["summary"] == "views.publish"]
        return [each["view"] for each in published if each["user_id"] == self.USERS[user]]

    def messages(self, channel: str = "cc-alerts") -> list[dict[str, Any]]:
        """Everything in a channel, including threads and ephemeral messages, oldest first."""
        with _session() as session:
            answer = session.get(f"{self.url}/_control/messages/{self.CHANNELS[channel]}", timeout=5)
        return list(answer.json()["messages"])


@contextmanager
def local_slack(
    folder: Path, *, mode: Literal["socket", "events"], request_url: str = "", port: int | None = None
) -> Iterator[LocalSlack]:
    """Run `local-slack` (inside `lonely_network`). `request_url`: for commands and buttons in the mode `events`."""
    command = program("local-slack")
    if _has_other_interfaces():
        pytest.fail("local-slack listens on all interfaces: enter lonely_network() first")
    port = port or free_port()
    app = {
        "appId": "A0ALERTBOT",
        "botUserId": "U0BOT",
        "botName": "alertbot",
        "botToken": LocalSlack.bot_token,
        "appToken": LocalSlack.app_token,
        "signingSecret": LocalSlack.signing_secret,
        "mode": mode,
    }
    if request_url:
        app["requestUrl"] = request_url
    members = [*LocalSlack.USERS.values(), "U0BOT"]
    config = {
        "workspace": {"name": "Acme", "domain": "acme", "teamId": "T0ACME"},
        "app": app,
        "apps": [app],
        "users": [{"id": id, "name": name} for name, id in LocalSlack.USERS.items()],
        "channels": [{"id": id, "name": name, "members": members} for name, id in LocalSlack.CHANNELS.items()],
    }
    file = folder / "local-slack.json"
    file.write_text(json.dumps(config))
    files = folder / "local-slack-files"
    files.mkdir(exist_ok=True)
    start = [command, "--config", str(file), "--port", str(port), "--base-host", "127.0.0.1", "--files-dir", str(files)]
    url = f"http://127.0.0.1:{port}"
    with _running(start, f"{url}/_control/state", folder / "local-slack.log") as process:
        yield LocalSlack(f"{url}/api/", url, process)


@contextmanager
def prism(openapi: Path, folder: Path) -> Iterator[str]:
    """Serve an OpenAPI file with `prism`; yields the base URL.

    A request that does not conform to the file gets 400, 401 or 404; one that does gets the examples in the file.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    start = [program("prism"), "mock", "--host", "127.0.0.1", "--port", str(port), "--errors", str(openapi)]
    with _running(start, url, folder / "prism.log"):
        yield url


def _has_other_interfaces() -> bool:
    # /sys shows the network namespace in which it was mounted; this shows that of the calling thread.
    return any(name != "lo" for _, name in socket.if_nameindex())
