"""Workers under load, for benchmarks.fleet: what many tenants of simulated queues cost, and how late their polls are.

The simulated 8x8 is a process of its own (`--serve`). It has CENTRES contact centres, which tenants share, since each
takes memory and CPU time that a real 8x8 would not take here. How late a poll begins is measured there: by when its
first request arrives.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg

from alertbot.cli.init import shipped_rules
from alertbot.simulator.server import Simulator, SimulatorOptions, run_forever
from alertbot.store.postgres.store import PostgresStore
from benchmarks.tenants import LATE_S
from benchmarks.tenants import _lateness as lateness
from benchmarks.tenants import _spread as spread
from tests.slack.slack_server import TOKEN, slack_server
from tests.store.postgres import OwnServer, own_server

CENTRES = 40
CHANNELS = 200
_OPEN_RULE = """
rules:
  - id: agents-handling
    title: Agents that handle interactions
    scope: queue
    match: {id: ["101", "102", "103"]}
    warning:
      when: handling.rt >= 0
"""
"""A rule beside the shipped ones, so that each tenant has three open alerts, whose values change."""
_SERVER = {"max_connections": "200", "shared_buffers": "256MB"}
_START_S = 300.0


@dataclass
class Load:
    """What was measured in `wall_s` seconds. CPU times are seconds of one core."""

    workers: int
    tenants: int
    queues: int
    every: float
    wall_s: float
    owned_after_s: float  # from the start of the workers until every tenant was owned
    share: list[int]
    polls: int
    due: int
    lateness_s: list[float]
    cpu_s: list[float]  # of each worker
    postgres_cpu_s: float
    simulator_cpu_s: float
    rss_mb: list[float]
    threads: list[int]
    connections: int
    transactions: int
    wal_bytes: int
    grown_bytes: int
    open_alerts: int
    errors: dict[str, int]

    @property
    def late(self) -> int:
        return sum(each > LATE_S for each in self.lateness_s)

    @property
    def on_time(self) -> bool:
        return not self.late and self.polls >= self.due - self.tenants / self.every

    def lines(self) -> list[str]:
        polls = max(1, self.polls)
        day = 86400 / self.wall_s
        return [
            f"{self.workers} workers, {self.tenants} tenants of {self.queues} queues every {self.every:g} s: owned "
            f"{self.owned_after_s:.1f} s after the start, as {self.share}",
            f"{self.wall_s:.0f} s: {self.polls} polls of {self.due} due; {self.late} began more than {LATE_S:g} s late",
            f"lateness: {spread(self.lateness_s, 's', 3)}",
            f"CPU of one core: workers {', '.join(f'{each / self.wall_s:.0%}' for each in self.cpu_s)}, PostgreSQL "
            f"{self.postgres_cpu_s / self.wall_s:.0%}, simulated 8x8 {self.simulator_cpu_s / self.wall_s:.0%}",
            f"CPU a poll: workers {1000 * sum(self.cpu_s) / polls:.1f} ms, PostgreSQL "
            f"{1000 * self.postgres_cpu_s / polls:.1f} ms, simulated 8x8 {1000 * self.simulator_cpu_s / polls:.1f} ms",
            f"memory {', '.join(f'{each:.0f}' for each in self.rss_mb)} MB; {self.threads} threads; {self.connections} "
            "connections",
            f"{self.transactions / self.wall_s:.0f} transactions a second, {self.transactions / polls:.1f} a poll; "
            f"{self.wal_bytes / polls / 1000:.1f} kB of WAL a poll",
            f"the database grows by {self.grown_bytes * day / 1e6:.0f} MB a day "
            f"({self.grown_bytes * day / 1e6 / self.tenants:.2f} MB a tenant); {self.open_alerts} open alerts",
            *(f"{times} x {what}" for what, times in self.errors.items()),
        ]


def measure_load(
    folder: Path, *, workers: int, tenants: int, queues: int, every: float, warm_s: float, wall_s: float
) -> Load:
    """Start everything, wait until all tenants are owned and `warm_s` more, then measure."""
    command = [sys.executable, "-m", "benchmarks.fleet_load", "--tenants", str(tenants), "--queues", str(queues)]
    with ExitStack() as stack:
        warnings.simplefilter("ignore")
        server = stack.enter_context(own_server(_SERVER))
        slack = stack.enter_context(slack_server())
        slack.clock = time.time
        slack.channels = {f"c{number}": f"C{number:04}" for number in range(CHANNELS)}
        shutil.copytree(shipped_rules(), folder / "rules")
        (folder / "rules" / "open.yaml").write_text(_OPEN_RULE)
        eight = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        stack.callback(eight.kill)
        assert eight.stdout is not None
        serving = json.loads(eight.stdout.readline())
        settings = {
            "tenants": [
                {
                    "name": f"tenant-{number:05}",
                    "base_url": serving["base_url"],
                    "token_url": serving["token_url"],
                    "api_key": key,
                    "api_secret": secret,
                    "poll_every": f"{every:g}s",
                    "default_channel": f"#c{number % CHANNELS}",
                }
                for number, (key, secret) in enumerate(serving["keys"])
            ],
            "slack": {"bot_token": TOKEN, "default_channel": "#c0", "api_url": slack.api_url},
            "rules": "rules/",
            "storage": server.address,
            "http": {"host": "127.0.0.1", "port": 0},
        }
        (folder / "alertbot.yaml").write_text(json.dumps(settings))
        PostgresStore(server.address).close()
        began = time.monotonic()
        running = [_start(folder, f"w{number}", stack) for number in range(workers)]
        while _owned(server) < tenants and time.monotonic() - began < _START_S:
            time.sleep(0.5)
        owned_after = time.monotonic() - began
        time.sleep(warm_s)
        begun: dict[str, list[float]] = {}
        reader = threading.Thread(target=_read, args=[eight.stdout, begun], daemon=True)
        before = _Figures.now(server, [worker.pid for worker in running], eight.pid)
        eight.send_signal(signal.SIGUSR1)  # from now on it says which tenant asks, and when
        reader.start()
        since, until = time.time(), time.time() + wall_s
        time.sleep(wall_s)
        after = _Figures.now(server, [worker.pid for worker in running], eight.pid)
        eight.send_signal(signal.SIGUSR2)
        reader.join(60)
        return Load(
            workers=workers,
            tenants=tenants,
            queues=queues,
            every=every,
            wall_s=wall_s,
            owned_after_s=owned_after,
            share=_shares(server),
            polls=sum(since <= at < until for each in begun.values() for at in each),
            due=round(tenants * wall_s / every),
            lateness_s=[round(each, 4) for each in lateness(begun, every, since, until)],
            cpu_s=[later - earlier for later, earlier in zip(after.cpu, before.cpu, strict=True)],
            postgres_cpu_s=after.postgres - before.postgres,
            simulator_cpu_s=after.simulator - before.simulator,
            rss_mb=[_status(worker.pid, "VmRSS") / 1000 for worker in running],
            threads=[_status(worker.pid, "Threads") for worker in running],
            connections=int(
                _ask(server, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
            ),
            transactions=after.transactions - before.transactions,
            wal_bytes=after.wal - before.wal,
            grown_bytes=after.size - before.size,
            open_alerts=int(_ask(server, "SELECT count(*) FROM alertbot.alerts WHERE ended_at IS NULL")),
            errors=_errors(folder),
        )


@dataclass
class _Figures:
    cpu: list[float]
    postgres: float
    simulator: float
    transactions: int
    wal: int
    size: int

    @classmethod
    def now(cls, server: OwnServer, workers: Sequence[int], simulator: int) -> _Figures:
        return cls(
            [cpu_of(pid) for pid in workers],
            cpu_of(server.pid, with_ended_children=True) + sum(map(cpu_of, _children(server.pid))),
            cpu_of(simulator),
            int(_ask(server, "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'alertbot'")),
            int(_ask(server, "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")),
            int(_ask(server, "SELECT pg_database_size('alertbot')")),
        )


def _start(folder: Path, name: str, stack: ExitStack) -> subprocess.Popen[bytes]:
    with (folder / f"{name}.log").open("wb") as log:
        made = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "alertbot",
                "worker",
                "--config",
                str(folder / "alertbot.yaml"),
                "--tenants",
                "9999",
            ],
            stdout=log,
            stderr=log,
        )
    stack.callback(made.wait)
    stack.callback(made.kill)
    return made


def _ask(server: OwnServer, statement: str) -> float:
    return float(server.ask(statement))


def _owned(server: OwnServer) -> int:
    return int(_ask(server, "SELECT count(*) FROM alertbot.owners WHERE worker <> ''"))


def _shares(server: OwnServer) -> list[int]:
    with psycopg.connect(server.address, autocommit=True) as conn:
        rows = conn.execute(b"SELECT count(*) FROM alertbot.owners WHERE worker <> '' GROUP BY worker").fetchall()
    return sorted(int(row[0]) for row in rows)


def _errors(folder: Path) -> dict[str, int]:
    found: Counter[str] = Counter()
    for log in folder.glob("w*.log"):
        for line in log.read_text().splitlines():
            try:
                said = json.loads(line)
            except ValueError:
                found[line[:100]] += 1
                continue
            if said.get("level") not in ("info", "debug"):
                found[f"{said.get('level')}: {said.get('event')} {said.get('error', said.get('problem', ''))}"] += 1
    return dict(found.most_common(10))


def cpu_of(pid: int, *, with_ended_children: bool = False) -> float:
    """Seconds of CPU time of a process; 0 for one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11 : 15 if with_ended_children else 13])) / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _read(lines: object, begun: dict[str, list[float]]) -> None:
    """What the simulated 8x8 says: when each tenant began to ask."""
    for line in lines:  # type: ignore[attr-defined]
        begun.update(json.loads(line))
        return


def serve(tenants: int, queues: int) -> None:
    """Run the simulated 8x8. Between SIGUSR1 and SIGUSR2 it notes when each tenant begins a poll, then prints that."""
    begun: dict[str, list[float]] = {}
    noting = threading.Event()

    def announce(sim: Simulator) -> None:
        for number, tenant in enumerate(sim.tenants):
            if number >= CENTRES:
                shared = sim.tenants[number % CENTRES]
                tenant.make_centre = lambda shared=shared: shared.centre  # type: ignore[misc]
            tenant.centre  # noqa: B018  # made now, so that the first polls do not wait for it
        real = sim.api._who

        def who(request: object, now: object) -> object:
            found = real(request, now)  # type: ignore[arg-type]
            if noting.is_set() and found[0] is not None:
                times = begun.setdefault(str(found[0].number), [])
                at = time.time()
                if not times or at - times[-1] > 2.0:  # further requests of one poll follow at once
                    times.append(at)
            return found

        sim.api._who = who  # type: ignore[method-assign, assignment]
        keys = [(tenant.api_key, tenant.api_secret) for tenant in sim.tenants]
        print(json.dumps({"base_url": sim.base_url, "token_url": sim.token_url, "keys": keys}), flush=True)

    def tell(number: int, frame: object) -> None:
        noting.clear()
        print(json.dumps(begun), flush=True)

    signal.signal(signal.SIGUSR1, lambda number, frame: noting.set())
    signal.signal(signal.SIGUSR2, tell)
    options = SimulatorOptions(
        tenants=tenants, queues=queues, groups=4, agents=2 * queues, warm=timedelta(minutes=10), token_lifetime_s=7200
    )
    run_forever(options, announce)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tenants", type=int, required=True)
    parser.add_argument("--queues", type=int, required=True)
    options = parser.parse_args()
    serve(options.tenants, options.queues)


if __name__ == "__main__":
    main()
