"""Everything that a full run ever printed, stored or served, searched for every secret, in every form."""

from __future__ import annotations

import base64
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from alertbot.simulator.faults import ApiFault
from alertbot.simulator.server import SimulatorOptions, serve
from tests.foreign import free_port
from tests.service.bot import Bot, alertbot, environment, get, until
from tests.service.loopback import serving
from tests.slack.slack_server import DROP_BEFORE, HTML, SERVER_ERROR, TOKEN, limited, refused, slack_server

KEY, SECRET = "8x8-key+with/odd=chars&more", 'secret "of" 8x8 \\ with quotes'
APP_TOKEN, SIGNING_SECRET = "xapp-1-very-secret-token", "8f742231b10e8888abcd99eeefff85a5"
HEARTBEAT, PROXY, TICKET = "5a0d2c1e-heartbeat", "pass-of-the-proxy", "very-secret-ticket"
WEBHOOK = "7b1f-webhook-of-the-night"
PAGE = "the password of the page"
RULES = """\
rules:
  - id: anything
    scope: queue
    critical: {when: entered.today >= 0}
"""
CONFIG = """\
tenants:
  - name: acme
    base_url: {base_url}
    token_url: {token_url}
    api_key: ${{KEY}}
    api_secret: ${{SECRET}}
    poll_every: 5s
  - name: echo
    base_url: {echo}/v5
    token_url: {echo}/token
    api_key: ${{KEY}}
    api_secret: ${{SECRET}}
    tenant_id: tenant-of-echo
    poll_every: 5s
slack:
  bot_token: ${{TOKEN}}
  app_token: ${{APP_TOKEN}}
  signing_secret: ${{SIGNING_SECRET}}
  default_channel: "#cc-alerts"
  ops_channel: "#cc-ops"
  api_url: {slack}
  fallback_webhook: {{url: "${{WEBHOOK}}", after: 30s}}
heartbeat: {{url: "${{HEARTBEAT}}", every: 10s}}
http: {{port: {port}}}
page: {{password: "${{PAGE}}"}}
"""


@contextmanager
def echo() -> Iterator[str]:
    """A server that refuses every request, and says in its answer all that it was sent."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            coded = self.headers.get("Authorization", "").partition(" ")[2]
            plain = base64.b64decode(coded + "==").decode("latin-1") if coded else ""
            said = f"refused: {plain} {coded} {self.path} {body}"
            data = json.dumps({"message": said, "Error": said}).encode()
            self.send_response(500 if "heartbeat" in self.path else 401)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET  # noqa: N815  # as http.server calls it

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Handler) as url:
        yield url


def forms(secret: str) -> set[str]:
    """A secret as it is, and as URLs, JSON, Python and Basic auth write it."""
    pair = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
    return {secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1], pair}


@contextmanager
def on_a_terminal(folder: Path, secrets: dict[str, str]) -> Iterator[list[bytes]]:
    """`alertbot run -v` whose output is a terminal; what it prints."""
    master, slave = pty.openpty()
    printed: list[bytes] = []

    def read() -> None:
        while True:
            try:
                part = os.read(master, 65_536)
            except OSError:
                return
            if not part:
                return
            printed.append(part)

    process = subprocess.Popen(
        [sys.executable, "-m", "alertbot", "run", "-v"],
        cwd=folder,
        env=environment(**secrets),
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield printed
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
        reader.join(5)
        os.close(master)


@pytest.mark.timeout(240)
def test_no_secret_is_ever_printed(tmp_path: Path) -> None:
    """Two runs, a terminal, every command, faults of both sides, broken edits and wrong configurations."""
    options = SimulatorOptions(queues=3, groups=1, agents=3, warm=timedelta(minutes=5), api_key=KEY, api_secret=SECRET)
    with serve(options) as centre, slack_server() as slack, echo() as refusing, closing(socket.socket()) as closed:
        closed.bind(("127.0.0.1", 0))  # nothing listens there
        slack.socket_url = f"ws://127.0.0.1:{closed.getsockname()[1]}/link/?ticket={TICKET}"
        port = free_port()
        secrets = {
            "KEY": KEY,
            "SECRET": SECRET,
            "TOKEN": TOKEN,
            "APP_TOKEN": APP_TOKEN,
            "SIGNING_SECRET": SIGNING_SECRET,
            "HEARTBEAT": f"{refusing}/{HEARTBEAT}",
            "WEBHOOK": f"{refusing}/{WEBHOOK}",
            "PAGE": PAGE,
        }
        outside = {"HTTPS_PROXY": f"http://me:{PROXY}@127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
        text = CONFIG.format(
            base_url=centre.base_url, token_url=centre.token_url, echo=refusing, slack=slack.api_url, port=port
        )
        (tmp_path / "alertbot.yaml").write_text(text)
        (tmp_path / "rules").mkdir()
        rules = tmp_path / "rules" / "all.yaml"
        rules.write_text(RULES)
        (tmp_path / "wrong.yaml").write_text(text.replace('"#cc-ops"', "${TOKEN}").replace("5s", "${SECRET}"))
        (tmp_path / "region.yaml").write_text(
            text.replace(f"base_url: {refusing}/v5\n    token_url: {refusing}/token", "region: us")
        )
        printed: list[str] = []

        def command(*args: str, **more: str) -> None:
            done = alertbot(*args, cwd=tmp_path, **{**secrets, **more})
            printed.extend([done.stdout, done.stderr])

        running = Bot(tmp_path, secrets)
        slack.next("chat.postMessage", limited("1"), HTML, DROP_BEFORE, SERVER_ERROR)
        try:
            running.start()
            until("a card", slack.top)
            until("the heartbeat fails", lambda: running.logged("heartbeat could not be sent"))
            centre.faults.add(ApiFault("status", status=503, times=3))
            centre.faults.add(ApiFault("revoke", times=1))
            rules.write_text(RULES + "    scoop: 5\n")
            until("the edit is refused", lambda: running.logged("rule files are broken"))
            rules.write_text(RULES)
            until("the edit is taken", lambda: running.logged("rules are live"))
            printed.extend(get(port, path)[1] for path in ("/metrics", "/readyz", "/healthz", "/", "/login"))
            for args in (
                ("ask", "status"),
                ("doctor", "--json"),
                ("backup", "copy.db"),
            ):
                command(*args)
            command("poll")  # the lease is held
        finally:
            running.stop()
        slack.next("auth.test", refused("invalid_auth"), refused("token_revoked"))
        wrong = {**secrets, "SECRET": SECRET + "-wrong", "TOKEN": TOKEN + "-wrong", "APP_TOKEN": APP_TOKEN + "-wrong"}
        with on_a_terminal(tmp_path, wrong) as shown:
            until("both refuse", lambda: b"refuses the bot token" in b"".join(shown) and b"401" in b"".join(shown))
        printed.append(b"".join(shown).decode(errors="replace"))
        for args in (
            ("poll", "--json"),
            ("poll", "--dry-run"),
            ("check",),
            ("check", "wrong.yaml"),
            ("run", "--config", "wrong.yaml"),
        ):
            command(*args)
        command("doctor", "--regions", "--config", "region.yaml", **outside)
        tokens = list(centre.api._tokens)
        assert tokens
        assert "refused: ***" in running.log.read_text()  # there was something to remove
        assert running.log.read_text().count('"poll": "') > 3
        printed.append(running.log.read_text())
        files = [path.read_bytes().decode("latin-1") for path in tmp_path.glob("*.db*")]
        assert len(files) >= 2
        assert sum(map(len, printed)) > 20_000
        for secret in (KEY, SECRET, TOKEN, APP_TOKEN, SIGNING_SECRET, HEARTBEAT, WEBHOOK, PAGE, PROXY, TICKET, *tokens):
            for form in forms(secret):
                for where in (*printed, *files):
                    assert form not in where, (secret, where[max(0, where.find(form) - 200) :][:400])
