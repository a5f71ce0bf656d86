"""Where workers are started for benchmarks.fleet: a PostgreSQL server, an 8x8 of known values, a Slack, and their logs.

Everything listens on 127.0.0.1 only, and all that was started is killed at the end, whatever happens.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psycopg

from alertbot.alerts.audit import AuditFinding
from alertbot.clock import wall_clock
from alertbot.service.auditor import Auditor
from alertbot.service.signal import ThreadSignal
from alertbot.slack.notifier import SlackNotifier
from alertbot.store.postgres.store import PostgresStore
from alertbot.web.metrics import Metrics
from benchmarks.fleet_counts import Rise
from benchmarks.slack_faults import CHANNELS, OPS
from tests.slack.slack_server import TOKEN, SlackServer, slack_server
from tests.store.postgres import FAST, OwnServer, own_server

WAIT_KEY = "interactionsLongestWaitInQueue.rt"
QUIET_MS, WARNING_MS, CRITICAL_MS = 10_000, 90_000, 200_000
RULES = f"""
rules:
  - id: longest-wait
    title: Longest wait in queue
    scope: queue
    warning:
      when: {WAIT_KEY} > 60s
    critical:
      when: {WAIT_KEY} > 180s
"""
_PATH = "/analytics/cc/v5/realtime-metrics"


class Waves:
    """A small 8x8 whose queues are over their limit for the first half of each `period`, each with its own phase.

    In the middle third of that half the value is critical. From `calm_from` on all queues are quiet.
    """

    def __init__(self, tenants: Sequence[str], queues: int, period: float) -> None:
        self.tenants, self.queues, self.period = tenants, queues, period
        self.calm_from = float("inf")
        self.requests = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="8x8", daemon=True)
        self._thread.start()
        self._ready.wait(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def value(self, tenant: str, queue: int, at: float) -> int:
        """The longest wait in ms."""
        if at >= self.calm_from:
            return QUIET_MS
        phase = ((at + self._offset(tenant, queue)) / self.period) % 1.0
        if phase >= 0.5:
            return QUIET_MS
        return CRITICAL_MS if 1 / 6 <= phase < 1 / 3 else WARNING_MS

    def rises(self, since: float, until: float) -> list[Rise]:
        """Those that began and ended between these times."""
        found = []
        for tenant in self.tenants:
            for queue in range(self.queues):
                began = since + (-since - self._offset(tenant, queue)) % self.period
                while began + self.period / 2 <= min(until, self.calm_from):
                    found.append(Rise(tenant, str(queue), began, began + self.period / 2))
                    began += self.period
        return found

    def _offset(self, tenant: str, queue: int) -> float:
        return zlib.crc32(f"{tenant} {queue}".encode()) % 10_000 / 10_000 * self.period

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        open_ones = asyncio.all_tasks(self._loop)
        for each in open_ones:
            each.cancel()
        self._loop.run_until_complete(asyncio.gather(*open_ones, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError), closing(writer):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                headers = {name.lower(): value.strip() for name, _, value in map(_split, head.split("\r\n")[1:])}
                await reader.readexactly(int(headers.get("content-length", 0)))
                body = json.dumps(self._answer(head.partition("\r\n")[0], headers)).encode()
                self.requests += 1
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Total-Pages: 1\r\nX-Page: 0\r\n"
                    b"X-Total-Elements: %d\r\nContent-Length: %d\r\n\r\n%b" % (self.queues, len(body), body)
                )
                await writer.drain()

    def _answer(self, request: str, headers: Mapping[str, str]) -> object:
        authorization = headers.get("authorization", "").partition(" ")[2]
        if request.startswith("POST"):  # the token names the tenant
            key = base64.b64decode(authorization).decode().partition(":")[0]
            return {
                "access_token": f"token-of-{key.removeprefix('key-of-')}",
                "expires_in": "1799",
                "issued_at": str(round(1000 * time.time())),
            }
        now, tenant = time.time(), authorization.removeprefix("token-of-")
        return [
            {
                "id": str(queue),
                "name": f"Queue {queue}",
                "metrics": [{"key": WAIT_KEY, "value": self.value(tenant, queue, now)}],
            }
            for queue in range(self.queues)
        ]


def _split(line: str) -> tuple[str, str, str]:
    return line.partition(":")


@dataclass
class Site:
    """Where the workers run. `running` has those that were started and not killed, by name."""

    folder: Path
    server: OwnServer
    slack: SlackServer
    waves: Waves
    every: float
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    processes: dict[int, str] = field(default_factory=dict)  # the names of all that were started, by process id

    @property
    def tenants(self) -> Sequence[str]:
        return self.waves.tenants

    def start(self, port: int = 0) -> str:
        """Start a worker that answers HTTP on this port, or on any; its name."""
        name = f"w{len(self.processes) + 1}"
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "alertbot", "worker", "--config", str(self.folder / "alertbot.yaml")],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "FLEET_PORT": str(port)},
            )
        self.processes[self.running[name].pid] = name
        return name

    def replace_ended(self) -> None:
        """Start a worker for each that has ended by itself: it found no server when it started."""
        for name, worker in list(self.running.items()):
            if worker.poll() is not None:
                del self.running[name]
                self.start()

    def kill(self, name: str) -> None:
        """Kill a worker, stopped or not."""
        worker = self.running.pop(name)
        worker.kill()
        worker.wait(20)

    def end(self, name: str) -> int:
        """Stop a worker as an administrator does; its exit status."""
        worker = self.running.pop(name)
        worker.send_signal(signal.SIGTERM)
        try:
            return worker.wait(30)
        except subprocess.TimeoutExpired:
            worker.kill()
            return worker.wait(20)

    def query(self, sql: str, *parameters: object) -> list[tuple[object, ...]]:
        """Ask the database."""
        with psycopg.connect(self.server.address, autocommit=True) as conn:
            return conn.execute(sql.encode(), parameters).fetchall()

    def owned_by(self, name: str) -> frozenset[str]:
        """The tenants that a worker owns."""
        process = f", process {self.running[name].pid} ("
        rows = self.query("SELECT tenant FROM alertbot.owners WHERE strpos(worker, %s) > 0", process)
        return frozenset(str(tenant) for (tenant,) in rows)

    def held_by(self, name: str) -> frozenset[str]:
        """The tenants that a worker owns, and those whose jobs it has taken without owning them yet.

        The queue does not name the process of a worker: it is the one that runs the jobs of tenants that it owns.
        """
        owned = self.owned_by(name)
        rows = self.query(
            "SELECT args ->> 'tenant', worker_id FROM alertbot_jobs.procrastinate_jobs "
            "WHERE status = 'doing' AND queue_name = 'own' AND worker_id IS NOT NULL"
        )
        runs = Counter(worker for tenant, worker in rows if tenant in owned)
        here = runs.most_common(1)[0][0] if runs else None
        return owned | {str(tenant) for tenant, worker in rows if here is not None and worker == here}

    def restart_server(self, how: str, away: float) -> tuple[float, float]:
        """Stop PostgreSQL for `away` seconds; when it was stopped, and when it accepted a connection again."""
        stopped, accepts = time.time(), [0.0]

        def connect() -> None:
            while not accepts[0]:
                with suppress(psycopg.Error):
                    psycopg.connect(self.server.address).close()
                    accepts[0] = time.time()
                time.sleep(0.01)

        self.server.stop(how)
        time.sleep(away)
        asking = threading.Thread(target=connect, daemon=True)
        asking.start()
        self.server.start()
        asking.join(60)
        return stopped, accepts[0]

    def name_of(self, worker: str) -> str:
        """What a worker is called here, by what it calls itself in the database; "" for none."""
        found = re.search(r", process (\d+) \(", worker)
        return self.processes.get(int(found[1]), worker) if found else worker

    def shares(self) -> Mapping[str, int]:
        """By running worker, how many tenants it owns."""
        return {name: len(self.owned_by(name)) for name in self.running}

    def log_of(self, name: str) -> str:
        """What a worker has logged."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8")

    def logged(self) -> list[dict[str, object]]:
        """All lines of all workers; a line that is no JSON has the level "unknown"."""
        found: list[dict[str, object]] = []
        for name in self.processes.values():
            for line in self.log_of(name).splitlines():
                try:
                    found.append({"worker": name, **json.loads(line)})
                except ValueError:
                    found.append({"worker": name, "level": "unknown", "event": line})
        return found

    def said(self, since: float, until: float, tenants: frozenset[str] = frozenset()) -> list[str]:
        """What workers logged in this time, without what is about other tenants than these."""
        found = []
        for line in self.logged():
            about = line.get("tenant")
            try:
                at = datetime.fromisoformat(str(line["timestamp"])).timestamp()
            except (KeyError, ValueError):
                continue
            if since <= at <= until and (about is None or about in tenants):
                rest = {key: value for key, value in line.items() if key not in ("worker", "timestamp")}
                found.append((at, f"{at - since:+.1f} s {line['worker']}: {json.dumps(rest)[:300]}"))
        return [text for _, text in sorted(found)]

    def audit(self, times: int = 1) -> list[AuditFinding]:
        """What an audit finds, of the store and of Slack."""
        store = PostgresStore(self.server.address)
        try:
            auditor = Auditor(
                store,
                SlackNotifier(TOKEN, api_url=self.slack.api_url),
                wall_clock,
                ThreadSignal(),
                Metrics(),
                claimant="audit",
                ops_channel="#ops",
                timezone="UTC",
                show_tenant=True,
                slack_problem=lambda: "",
            )
            return [found for _ in range(times) for found in auditor.run()]
        finally:
            store.close()


@contextmanager
def site(
    folder: Path, *, tenants: int, queues: int = 3, every: float = 5.0, period: float = 100.0, more: str = ""
) -> Iterator[Site]:
    """All that workers need, and no worker yet."""
    names = tuple(f"tenant-{number:04}" for number in range(tenants))
    waves = Waves(names, queues, period)
    try:
        with own_server({**FAST, "max_connections": "100"}) as server, slack_server() as slack:
            slack.channels = {**CHANNELS, **OPS}
            slack.clock = time.time
            (folder / "rules").mkdir()
            (folder / "rules" / "rules.yaml").write_text(RULES)
            settings = {
                "tenants": [
                    {
                        "name": name,
                        "base_url": waves.url + _PATH,
                        "token_url": waves.url + "/oauth/v2/token",
                        "api_key": f"key-of-{name}",
                        "api_secret": "benchmark-secret",
                        "poll_every": f"{every:g}s",
                        "default_channel": f"#c{number % len(CHANNELS)}",
                    }
                    for number, name in enumerate(names)
                ],
                "slack": {
                    "bot_token": TOKEN,
                    "default_channel": "#c0",
                    "ops_channel": "#ops",
                    "api_url": slack.api_url,
                },
                "rules": "rules/",
                "storage": server.address,
                "flap": {"rises": 100},
                "http": {"host": "127.0.0.1", "port": "${FLEET_PORT:-0}"},
            }
            (folder / "alertbot.yaml").write_text(json.dumps(settings, indent=1) + "\n" + more)  # JSON is YAML
            PostgresStore(server.address).close()  # the tables
            made = Site(folder, server, slack, waves, every)
            try:
                yield made
            finally:
                for name in list(made.running):
                    made.kill(name)
    finally:
        waves.close()


class Polls:
    """When each tenant was polled, as the database says, and who had it: read in a thread until `stop`."""

    def __init__(self, made: Site) -> None:
        self._site = made
        self._stopping = threading.Event()
        self.at: dict[str, list[float]] = {name: [] for name in made.tenants}
        self.held: dict[str, list[tuple[float, str]]] = {name: [] for name in made.tenants}
        """For each tenant each change of its owner and of its job, and when it was seen."""
        self.owners: dict[str, list[tuple[float, str]]] = {name: [] for name in made.tenants}
        """For each tenant its owners: since when, by its own clock, and its name here."""
        self._thread = threading.Thread(target=self._run, name="polls", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(10)

    def first_after(self, tenant: str, moment: float) -> float | None:
        """The first poll of a tenant after this moment."""
        return next((at for at in self.at[tenant] if at > moment), None)

    def all_after(self, moment: float, tenants: Sequence[str] | frozenset[str]) -> bool:
        """Whether these tenants were all polled after this moment."""
        return all(bool(self.at[name]) and self.at[name][-1] > moment for name in tenants)

    def near(self, tenant: str, since: float, until: float) -> list[str]:
        """The polls of a tenant and who had it in this time, as seconds after its beginning."""
        events = [(at, "polled") for at in self.at[tenant] if since <= at <= until]
        events += [each for each in self.held[tenant] if since <= each[0] <= until]
        return [f"{at - since:+.1f} s {what}" for at, what in sorted(events)]

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with psycopg.connect(self._site.server.address, autocommit=True) as conn:
                    while not self._stopping.wait(0.2):
                        for tenant, at, worker, number, since, job in conn.execute(_POLLED).fetchall():
                            self._note(tenant, at, self._site.name_of(worker or ""), since, f"({number}), job {job}")
            except psycopg.Error:  # the server is restarted
                self._stopping.wait(0.2)

    def owned_after(self, tenant: str, moment: float, but: str) -> float | None:
        """When another worker than `but` began to own a tenant after this moment."""
        return next(
            (since for since, worker in self.owners[tenant] if since > moment and worker not in ("", but)), None
        )

    def _note(self, tenant: str, at: str | None, worker: str, since: str | None, more: str) -> None:
        held = f"owner {worker or 'nobody'} {more}"
        if since and worker:
            own = datetime.fromisoformat(since).timestamp(), worker
            if not self.owners[tenant] or self.owners[tenant][-1] != own:
                self.owners[tenant].append(own)
        moment = datetime.fromisoformat(at).timestamp() if at else 0.0
        if moment and (not self.at[tenant] or self.at[tenant][-1] != moment):
            self.at[tenant].append(moment)
        if not self.held[tenant] or self.held[tenant][-1][1] != held:
            self.held[tenant].append((time.time(), held))


_POLLED = b"""
    SELECT f.tenant, f.tried_at, o.worker, o.number, o.since, (
        SELECT string_agg(format('%s by %s', j.status, COALESCE(j.worker_id::text, 'nobody')), ' and ' ORDER BY j.id)
        FROM alertbot_jobs.procrastinate_jobs j WHERE j.queueing_lock = 'own:' || f.tenant
    )
    FROM alertbot.feeds f LEFT JOIN alertbot.owners o ON o.tenant = f.tenant
"""


def wait_until(condition: Callable[[], bool], within: float) -> float | None:
    """Wait until this is so; after how many seconds it was, or None."""
    began = time.monotonic()
    while time.monotonic() - began < within:
        with suppress(psycopg.Error):
            if condition():
                return time.monotonic() - began
        time.sleep(0.1)
    return None
