"""Workers under load, for benchmarks.fleet: what many tenants of simulated queues cost, and how late their polls are.

The simulated 8x8 is a process of its own (`--serve`). It has CENTRES contact centres, which tenants share, since each
takes memory and CPU time that a real 8x8 would not take here. How late a poll begins is measured there: by when its
first request arrives.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg

from alertbot.cli.init import shipped_rules
from alertbot.simulator.server import Simulator, SimulatorOptions, run_forever
from alertbot.store.postgres.store import PostgresStore
from benchmarks.fleet_counts import lateness, spread
from tests.slack.slack_server import TOKEN, SlackServer, slack_server
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
LATE_S = 1.0
LATE_SHARE = 0.01
MAX_STEPS = 12
LIMIT_WITHIN_S = 900.0
"""Seconds after which no further step begins; one takes two or three minutes."""
COUNTED_S = 10.0
"""For how long statements are counted, after everything else was measured: logging them takes time."""


@dataclass
class Load:
    """What was measured in `wall_s` seconds. CPU times are seconds of one core, sizes are bytes."""

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
    statements: int  # in COUNTED_S seconds right after
    wal_bytes: int
    size_bytes: tuple[int, int]  # of the database, at the beginning and at the end
    grown: dict[str, int]  # of these, by table with its indexes
    open_alerts: int
    errors: dict[str, int]

    @property
    def late(self) -> int:
        """How many polls began more than LATE_S late."""
        return sum(each > LATE_S for each in self.lateness_s)

    @property
    def missed(self) -> int:
        """How many polls did not begin at all. Those due in LATE_S may begin just after the time measured."""
        return max(0, round(self.due - self.polls - self.tenants * LATE_S / self.every))

    @property
    def late_share(self) -> float:
        """The share of the polls that began late, or not at all."""
        return (self.late + self.missed) / max(1, self.due)

    @property
    def good(self) -> bool:
        """Whether every poll began on time."""
        return not self.late and not self.missed

    def lines(self) -> list[str]:
        """What is printed."""
        polls, (before, after) = max(1, self.polls), self.size_bytes
        return [
            f"{self.workers} workers, {self.tenants} tenants of {self.queues} queues every {self.every:g} s: owned "
            f"{self.owned_after_s:.1f} s after the start; tenants a worker: {self.share}",
            f"{self.wall_s:.0f} s: {self.polls} polls of {self.due} due; {self.late} began more than {LATE_S:g} s late",
            f"lateness: {spread(self.lateness_s, 's', 3)}",
            f"CPU of one core: workers {', '.join(f'{each / self.wall_s:.0%}' for each in self.cpu_s)}, PostgreSQL "
            f"{self.postgres_cpu_s / self.wall_s:.0%}, simulated 8x8 {self.simulator_cpu_s / self.wall_s:.0%}",
            f"CPU a poll: workers {1000 * sum(self.cpu_s) / polls:.1f} ms, PostgreSQL "
            f"{1000 * self.postgres_cpu_s / polls:.1f} ms, simulated 8x8 {1000 * self.simulator_cpu_s / polls:.1f} ms",
            f"memory {', '.join(f'{each:.0f}' for each in self.rss_mb)} MB; {self.threads} threads; {self.connections} "
            f"connections; {self.open_alerts} open alerts",
            f"{self.transactions / self.wall_s:.0f} transactions a second, {self.transactions / polls:.1f} a poll; "
            f"{self.statements / COUNTED_S:.0f} statements a second (counted for {COUNTED_S:g} s in the log of the "
            "server)",
            f"database {before / 1e6:.1f} MB, and {after / 1e6:.1f} MB {self.wall_s:.0f} s later: "
            f"{(after - before) / polls / 1000:.2f} kB a poll; WAL {self.wal_bytes / 1e6:.1f} MB, "
            f"{self.wal_bytes / polls / 1000:.1f} kB a poll",
            f"of which grew: {', '.join(f'{table} {grown / 1e6:.1f} MB' for table, grown in self.grown.items())}",
            *(f"{times} x {what}" for what, times in self.errors.items()),
        ]


@dataclass
class Limit:
    """One worker with more and more tenants, until too many polls begin late."""

    steps: list[Load]

    @property
    def good(self) -> bool:
        """Whether the limit was found: the first step is on time, and the last one is not."""
        return self.steps[0].late_share <= LATE_SHARE < self.steps[-1].late_share

    def lines(self) -> list[str]:
        """What is printed."""
        found = ["tenants | began late or never | median s | 99 % s | maximum s | CPU of the worker | PostgreSQL"]
        for each in self.steps:
            times = sorted(each.lateness_s) or [0.0]
            middle, most = times[len(times) // 2], times[int(len(times) * 0.99)]
            found.append(
                f"{each.tenants} | {each.late_share:.1%} | {middle:.3f} | {most:.3f} | {times[-1]:.3f} | "
                f"{each.cpu_s[0] / each.wall_s:.0%} | {each.postgres_cpu_s / each.wall_s:.0%}"
            )
        on_time = [each.tenants for each in self.steps if each.late_share <= LATE_SHARE]
        found.append(
            f"{max(on_time, default=0)} tenants of {self.steps[0].queues} queues every {self.steps[0].every:g} s: at "
            f"most {LATE_SHARE:.0%} of the polls began more than {LATE_S:g} s late"
        )
        return found + [f"{times} x {what}" for each in self.steps for what, times in each.errors.items()]


def measure_load(
    folder: Path, *, workers: int, tenants: int, queues: int, every: float, warm_s: float, wall_s: float
) -> Load:
    """Start everything, wait until all tenants are owned and `warm_s` more, then measure."""
    with _place(folder, tenants, queues, every) as place:
        return place.measure(workers, tenants, warm_s, wall_s)


def find_limit(folder: Path, first: int, step: int, queues: int, every: float) -> Limit:
    """One worker with more tenants in each step, until more than LATE_SHARE of the polls begin late."""
    began, steps = time.monotonic(), list[Load]()
    with _place(folder, first + MAX_STEPS * step, queues, every) as place:
        for number in range(MAX_STEPS):
            steps.append(place.measure(1, first + number * step, 2 * every, 4 * every))
            print("; ".join(steps[-1].lines()[1:3]), file=sys.stderr)
            if steps[-1].late_share > LATE_SHARE or time.monotonic() - began > LIMIT_WITHIN_S:
                break
    return Limit(steps)


@dataclass
class _Place:
    """Where the workers run: a server, a simulated 8x8 that serves `tenants`, and a Slack."""

    folder: Path
    server: OwnServer
    slack: SlackServer
    eight: subprocess.Popen[str]
    serving: dict[str, Any]
    queues: int
    every: float
    started: int = 0

    def configure(self, tenants: int) -> None:
        """Write alertbot.yaml for this many of the tenants."""
        settings = {
            "tenants": [
                {
                    "name": f"tenant-{number:05}",
                    "base_url": self.serving["base_url"],
                    "token_url": self.serving["token_url"],
                    "api_key": key,
                    "api_secret": secret,
                    "poll_every": f"{self.every:g}s",
                    "default_channel": f"#c{number % CHANNELS}",
                }
                for number, (key, secret) in enumerate(self.serving["keys"][:tenants])
            ],
            "slack": {"bot_token": TOKEN, "default_channel": "#c0", "api_url": self.slack.api_url},
            "rules": "rules/",
            "storage": self.server.address,
            "http": {"host": "127.0.0.1", "port": 0},
        }
        (self.folder / "alertbot.yaml").write_text(json.dumps(settings))

    def measure(self, workers: int, tenants: int, warm_s: float, wall_s: float) -> Load:
        """Start workers, wait until all tenants are owned and `warm_s` more, then measure; they are stopped at the end.

        Polls are noted from when all tenants are owned, so that the phase of each is known.
        """
        self.configure(tenants)
        with ExitStack() as stack:
            began, first = time.monotonic(), self.started
            self.server.run("UPDATE alertbot.owners SET worker = ''")
            running = [self._start(stack) for _ in range(workers)]
            while _owned(self.server) < tenants and time.monotonic() - began < _START_S:
                if any(worker.poll() is not None for worker in running):
                    sys.exit((self.folder / f"w{first}.log").read_text())
                time.sleep(0.5)
            owned_after = time.monotonic() - began
            self.eight.send_signal(signal.SIGUSR1)  # from now on it notes which tenant asks, and when
            time.sleep(warm_s)
            pids = [worker.pid for worker in running]
            before, since = _Figures.now(self.server, pids, self.eight.pid), time.time()
            time.sleep(max(0.0, since + wall_s - time.time()))
            after, until = _Figures.now(self.server, pids, self.eight.pid), since + wall_s
            self.eight.send_signal(signal.SIGUSR2)
            assert self.eight.stdout is not None
            begun = json.loads(self.eight.stdout.readline())
            return Load(
                workers=workers,
                tenants=tenants,
                queues=self.queues,
                every=self.every,
                wall_s=wall_s,
                owned_after_s=owned_after,
                share=_shares(self.server),
                polls=sum(since <= at < until for each in begun.values() for at in each),
                due=round(tenants * wall_s / self.every),
                lateness_s=[round(each, 4) for each in lateness(begun, self.every, since, until)],
                cpu_s=[later - earlier for later, earlier in zip(after.cpu, before.cpu, strict=True)],
                postgres_cpu_s=after.postgres - before.postgres,
                simulator_cpu_s=after.simulator - before.simulator,
                rss_mb=[_status(pid, "VmRSS") / 1000 for pid in pids],
                threads=[_status(pid, "Threads") for pid in pids],
                connections=int(
                    _ask(self.server, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
                ),
                transactions=after.transactions - before.transactions,
                statements=_statements(self.server),
                wal_bytes=after.wal - before.wal,
                size_bytes=(before.size, after.size),
                grown=_grown(before.tables, after.tables),
                open_alerts=int(_ask(self.server, "SELECT count(*) FROM alertbot.alerts WHERE ended_at IS NULL")),
                errors=_errors(self.folder, range(first, self.started)),
            )

    def _start(self, stack: ExitStack) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "alertbot", "worker", "--config", str(self.folder / "alertbot.yaml")]
        with (self.folder / f"w{self.started}.log").open("wb") as log:
            made = subprocess.Popen([*command, "--tenants", "9999"], stdout=log, stderr=log)
        self.started += 1
        stack.callback(_stop, made)
        return made


def _stop(worker: subprocess.Popen[bytes]) -> None:
    worker.terminate()
    try:
        worker.wait(20)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


@contextmanager
def _place(folder: Path, tenants: int, queues: int, every: float) -> Iterator[_Place]:
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
        stack.callback(eight.wait)
        stack.callback(eight.kill)
        assert eight.stdout is not None
        serving = json.loads(eight.stdout.readline())
        PostgresStore(server.address).close()
        yield _Place(folder, server, slack, eight, serving, queues, every)


@dataclass
class _Figures:
    cpu: list[float]
    postgres: float
    simulator: float
    transactions: int
    wal: int
    size: int
    tables: dict[str, int]

    @classmethod
    def now(cls, server: OwnServer, workers: Sequence[int], simulator: int) -> _Figures:
        return cls(
            [cpu_of(pid) for pid in workers],
            cpu_of(server.pid, with_ended_children=True) + sum(map(cpu_of, _children(server.pid))),
            cpu_of(simulator),
            int(_ask(server, "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'alertbot'")),
            int(_ask(server, "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")),
            int(_ask(server, "SELECT pg_database_size('alertbot')")),
            _tables(server),
        )


def _ask(server: OwnServer, statement: str) -> float:
    return float(server.ask(statement))


def _owned(server: OwnServer) -> int:
    return int(_ask(server, "SELECT count(*) FROM alertbot.owners WHERE worker <> ''"))


def _shares(server: OwnServer) -> list[int]:
    with psycopg.connect(server.address, autocommit=True) as conn:
        rows = conn.execute(b"SELECT count(*) FROM alertbot.owners WHERE worker <> '' GROUP BY worker").fetchall()
    return sorted(int(row[0]) for row in rows)


def _tables(server: OwnServer) -> dict[str, int]:
    """The bytes of each table with its indexes."""
    with psycopg.connect(server.address, autocommit=True) as conn:
        rows = conn.execute(
            b"SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r' "
            b"AND relnamespace::regnamespace::text LIKE 'alertbot%'"
        ).fetchall()
    return {str(name): int(size) for name, size in rows}


def _grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """The tables that grew most, and by how much."""
    grown = Counter({table: size - before.get(table, 0) for table, size in after.items()})
    return {table: by for table, by in grown.most_common(6) if by > 0}


def _statements(server: OwnServer) -> int:
    """How many statements are sent to the server in COUNTED_S seconds: it logs each. Several in one string are one."""
    log = Path(str(server.ask("SHOW data_directory"))) / "log"
    server.run("ALTER SYSTEM SET log_statement = 'all'", "postgres")
    server.ask("SELECT pg_reload_conf()", "postgres")
    time.sleep(1.0)  # until every session has noticed
    before = log.stat().st_size
    time.sleep(COUNTED_S)
    after = log.stat().st_size
    server.run("ALTER SYSTEM RESET log_statement", "postgres")
    server.ask("SELECT pg_reload_conf()", "postgres")
    with log.open("rb") as file:
        file.seek(before)
        logged = file.read(after - before)
    return len(re.findall(rb"LOG:  (?:statement|execute [^:]*): ", logged))


def _errors(folder: Path, workers: Iterable[int]) -> dict[str, int]:
    """Warnings and errors of these workers, without numbers, so that they can be counted."""
    found: Counter[str] = Counter()
    for number in workers:
        for line in (folder / f"w{number}.log").read_text().splitlines():
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

    def note(number: int, frame: object) -> None:
        begun.clear()
        noting.set()

    signal.signal(signal.SIGUSR1, note)
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
