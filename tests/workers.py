"""Several workers on one PostgreSQL database, as processes, with a simulated 8x8 of many tenants and a Slack."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from alertbot.store.postgres.store import PostgresStore
from tests.slack.slack_server import TOKEN, SlackServer, slack_server

RULES = """
rules:
  - id: longest-wait
    title: Longest wait in queue
    scope: queue
    warning:
      when: interactionsLongestWaitInQueue.rt > 60s
"""


@dataclass
class Rig:
    """Where the workers are started. `folder` has their alertbot.yaml, and their logs as NAME.log."""

    folder: Path
    address: str
    slack: SlackServer
    tenants: tuple[str, ...]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *options: str, command: str = "worker") -> subprocess.Popen[bytes]:
        """Start a worker."""
        log = (self.folder / f"{name}.log").open("ab")
        made = subprocess.Popen(
            [sys.executable, "-m", "alertbot", command, "--config", str(self.folder / "alertbot.yaml"), *options],
            stdout=log,
            stderr=log,
            env={**os.environ, "FLEET_PORT": "0", "PYTHONUNBUFFERED": "1"},
        )
        log.close()
        self.running[name] = made
        return made

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a worker."""
        self.running[name].send_signal(number)

    def end(self, name: str) -> int:
        """Stop a worker as an administrator does; its exit status."""
        worker = self.running.pop(name)
        worker.send_signal(signal.SIGTERM)
        return worker.wait(20)

    def kill(self, name: str) -> None:
        """Kill a worker, stopped or not."""
        worker = self.running.pop(name)
        worker.kill()
        worker.wait(20)

    def owners(self) -> Mapping[str, str]:
        """By tenant, the name of the process that owns it: `host, process PID`."""
        rows = self.query("SELECT tenant, worker FROM alertbot.owners WHERE worker <> ''")
        return {str(tenant): str(worker).partition(" (")[0] for tenant, worker in rows}

    def shares(self) -> Mapping[str, int]:
        """By name of a running worker, how many tenants it owns."""
        owned = Counter(int(owner.rpartition(" ")[2]) for owner in self.owners().values())
        return {name: owned.get(worker.pid, 0) for name, worker in self.running.items()}

    def polled_at(self) -> Mapping[str, str]:
        """By tenant, when its last poll was."""
        return {str(tenant): str(at) for tenant, at in self.query("SELECT tenant, tried_at FROM alertbot.feeds")}

    def query(self, sql: str) -> list[tuple[object, ...]]:
        """Ask the database."""
        with psycopg.connect(self.address, autocommit=True) as conn:
            return conn.execute(sql.encode()).fetchall()

    def get(self, name: str, path: str) -> tuple[int, str]:
        """What a worker answers over HTTP: status and body."""
        port = json.loads(next(line for line in self.log_of(name).splitlines() if '"listening for HTTP' in line))[
            "port"
        ]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def log_of(self, name: str) -> str:
        """What a worker has logged."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8")


def wait_for(condition: Callable[[], bool], within: float, what: str = "") -> float:
    """Wait until this is so; after how many seconds it was. Raises AssertionError when it is not within the time."""
    began = time.monotonic()
    while not condition():
        passed = time.monotonic() - began
        assert passed < within, f"not within {within:g} s: {what or condition}"
        time.sleep(0.05)
    return time.monotonic() - began


@contextmanager
def rig(
    folder: Path,
    address: str,
    *,
    tenants: int,
    queues: int = 3,
    every: float = 5.0,
    rules: str = RULES,
    more: str = "",
) -> Iterator[Rig]:
    """What workers need, on an empty database; all that was started is killed at the end."""
    PostgresStore(address).close()  # the tables
    command = [
        sys.executable,
        "-m",
        "benchmarks.tenants",
        "--serve",
        "--tenants",
        str(tenants),
        "--queues",
        str(queues),
    ]
    with (
        slack_server() as slack,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
    ):
        assert server.stdout is not None
        serving = json.loads(server.stdout.readline())
        (folder / "rules").mkdir()
        (folder / "rules" / "rules.yaml").write_text(rules)
        names = tuple(f"tenant-{number:04}" for number in range(tenants))
        settings = {
            "tenants": [
                {
                    "name": name,
                    "base_url": serving["base_url"],
                    "token_url": serving["token_url"],
                    "api_key": key,
                    "api_secret": secret,
                    "poll_every": f"{every:g}s",
                }
                for name, (key, secret) in zip(names, serving["keys"], strict=True)
            ],
            "slack": {"bot_token": TOKEN, "default_channel": "#cc-alerts", "api_url": slack.url},
            "rules": "rules/",
            "storage": address,
            "http": {"host": "127.0.0.1", "port": "${FLEET_PORT:-0}"},
        }
        (folder / "alertbot.yaml").write_text(yaml_of(settings) + more)
        made = Rig(folder, address, slack, names)
        try:
            yield made
        finally:
            for name in list(made.running):
                made.kill(name)
            server.terminate()


def yaml_of(settings: Mapping[str, object]) -> str:
    """YAML, which JSON is."""
    return json.dumps(settings, indent=1) + "\n"


def alertbot(workers: Rig, *arguments: str) -> tuple[int, str]:
    """Exit status and output of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "alertbot", "--config", str(workers.folder / "alertbot.yaml"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr
