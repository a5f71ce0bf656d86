"""The whole bot in its own process, and a Slack that can be made to answer late."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from alertbot.simulator.server import Simulator

MAX_WAIT = 30.0  # seconds, for anything that a bot on a busy machine should have done
RULES = """\
rules:
  - id: longest-wait
    title: Longest wait in queue
    scope: queue
    match: {id: ["%s"]}
    warning: {when: interactionsLongestWaitInQueue.rt > 60s}
    critical: {when: interactionsLongestWaitInQueue.rt > 120s}
"""


def until(what: str, condition: Callable[[], Any], *, within: float = MAX_WAIT) -> Any:
    """What `condition` returns as soon as it is true; fails if it is not true within this many seconds."""
    end = time.monotonic() + within
    pause = threading.Event()
    while time.monotonic() < end:
        if found := condition():
            return found
        pause.wait(0.05)
    raise AssertionError(f"not within {within:g} s: {what}")


def environment(**more: str) -> dict[str, str]:
    """Our environment, except for proxies, which must not be used for loopback."""
    kept = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    return {**kept, "PYTHONUNBUFFERED": "1", "COLUMNS": "120", **more}


def alertbot(*args: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    command = [sys.executable, "-m", "alertbot", *args]
    return subprocess.run(command, cwd=cwd, env=environment(**env), capture_output=True, text=True, timeout=60)


def config(centre: Simulator, slack: dict[str, str], port: int) -> str:
    """alertbot.yaml for a simulated contact centre and a foreign Slack."""
    lines = "\n".join(f"  {key}: {value}" for key, value in slack.items())
    return f"""\
tenants:
  - name: acme
    base_url: {centre.base_url}
    token_url: {centre.token_url}
    api_key: ${{EIGHT_BY_EIGHT_KEY}}
    api_secret: ${{EIGHT_BY_EIGHT_SECRET}}
    poll_every: 5s
slack:
{lines}
  default_channel: "#cc-alerts"
http: {{port: {port}}}
"""


@dataclass
class Bot:
    """`alertbot run` in `folder`, started and stopped as often as a test needs. Its log is in `log`."""

    folder: Path
    secrets: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "run.log"

    def start(self) -> None:
        command = [sys.executable, "-m", "alertbot", "run"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=environment(**self.secrets), stdout=log, stderr=log
            )

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; exit status and the seconds until it exited."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(number)
        status = self.process.wait(timeout=15)
        self.process = None
        return status, time.monotonic() - began

    def logged(self, text: str) -> bool:
        return self.log.exists() and text in self.log.read_text(errors="replace")


@contextmanager
def bot(folder: Path, centre: Simulator, slack: dict[str, str], *, port: int, rules: str) -> Iterator[Bot]:
    """A bot that is set up and not started yet; it is killed at the end if it still runs."""
    (folder / "rules").mkdir()
    (folder / "rules" / "queues.yaml").write_text(rules)
    (folder / "alertbot.yaml").write_text(config(centre, slack, port))
    made = Bot(
        folder,
        {"EIGHT_BY_EIGHT_KEY": centre.options.api_key, "EIGHT_BY_EIGHT_SECRET": centre.options.api_secret},
    )
    try:
        yield made
    finally:
        if made.process is not None:
            made.process.kill()
            made.process.wait(timeout=10)


class Gate:
    """A gate in front of a Web API: forwards every call, and holds back a response on demand.

    `calls`: the methods that succeeded. (`emulate` does not know `#name`, which costs the bot one refused post.)
    """

    def __init__(self, api_url: str) -> None:
        self.calls: list[str] = []
        self.keep = ""  # the method whose next response is held back
        self.kept = threading.Event()
        self._let_go = threading.Event()
        self._session = requests.Session()
        self._session.trust_env = False
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                method = self.path.rpartition("/")[2]
                headers = {k: v for k, v in self.headers.items() if k in ("Authorization", "Content-Type")}
                answer = gate._session.post(api_url + method, data=body, headers=headers, timeout=10)
                if answer.json()["ok"]:
                    gate.calls.append(method)
                if gate.keep == method and answer.json()["ok"]:
                    gate.keep = ""
                    gate.kept.set()
                    gate._let_go.wait(MAX_WAIT)
                    self.close_connection = True
                    return
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.api_url = f"http://127.0.0.1:{self._server.server_address[1]}/api/"

    def close(self) -> None:
        self._let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
        self._session.close()


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body of a GET; (0, "") while nothing listens."""
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(f"http://127.0.0.1:{port}{path}", timeout=5)
    except requests.ConnectionError:
        return 0, ""
    return answer.status_code, answer.text
