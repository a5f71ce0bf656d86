"""Many tenants in one process: what the whole bot costs, and whether every poll begins on time.

    python -m benchmarks.tenants [--tenants 200] [--queues 50] [--every 15] [--for 90] [--hang 0]

The simulated 8x8 runs in a separate process, so its CPU time is reported separately (it still shares the machine). The
bot is the real one: scheduler, 8x8 client over HTTP with a token for each tenant, the shipped rules, SQLite on disk
with synchronous=FULL, delivery. Only the notifier differs: it prints the cards to /dev/null. Exits with 1 if polls
were skipped or began late.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from alertbot import logs
from alertbot.cli.init import shipped_rules
from alertbot.config.settings import Settings
from alertbot.notify.console import ConsoleNotifier
from alertbot.poll import Turn
from alertbot.service import heap
from alertbot.service.app import App, build
from alertbot.service.tenant import LiveTenant
from alertbot.simulator.faults import ApiFault
from alertbot.simulator.server import Simulator, SimulatorOptions, run_forever

LATE_S = 1.0
WARM = timedelta(minutes=10)


@dataclass
class Figures:
    """What was measured in `wall_s` seconds."""

    tenants: int
    wall_s: float
    cpu_s: float
    delivery_cpu_s: float
    rss_mb: float
    threads: int
    due: int
    polls: int
    good: int
    lateness_s: list[float] = field(default_factory=list)
    took_ms: list[float] = field(default_factory=list)
    fetch_ms: list[float] = field(default_factory=list)
    delivered: int = 0
    simulator_cpu_s: float = 0.0

    @property
    def core(self) -> float:
        """The share of one core that was used."""
        return self.cpu_s / self.wall_s

    @property
    def late(self) -> int:
        return sum(seconds > LATE_S for seconds in self.lateness_s)

    def lines(self) -> list[str]:
        return [
            f"{self.tenants} tenants, {self.wall_s:.0f} s: {self.polls} polls of {self.due} due, {self.good} good, "
            f"{self.late} began more than {LATE_S:g} s late",
            f"lateness: {_spread(self.lateness_s, 's', 3)}",
            f"duration of a poll: {_spread(self.took_ms, 'ms')}; of the fetch: {_spread(self.fetch_ms, 'ms')}",
            f"CPU {self.core:.0%} of one core ({1000 * self.cpu_s / max(1, self.polls):.1f} ms a poll), "
            f"of which delivery {self.delivery_cpu_s / self.wall_s:.0%} for {self.delivered} cards, lines and edits",
            f"memory {self.rss_mb:.0f} MB, {self.threads} threads",
            f"the simulated 8x8 in its own process: CPU {self.simulator_cpu_s / self.wall_s:.0%} of one core",
        ]


def _spread(values: Sequence[float], unit: str, digits: int = 0) -> str:
    if not values:
        return "no data"
    ordered = sorted(values)
    half, most = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.99))
    return f"median {half:.{digits}f} {unit}, 99 % {most:.{digits}f} {unit}, maximum {ordered[-1]:.{digits}f} {unit}"


def measure(serving: dict[str, Any], folder: Path, *, every: float, warm_s: float, wall_s: float) -> Figures:
    """Run the bot against what `serve` announced: `warm_s` seconds unmeasured, then `wall_s` seconds measured."""
    settings = Settings.model_validate(
        {
            "tenants": [
                {
                    "name": f"tenant-{number:03}",
                    "base_url": serving["base_url"],
                    "token_url": serving["token_url"],
                    "api_key": key,
                    "api_secret": secret,
                    "poll_every": f"{every:g}s",
                }
                for number, (key, secret) in enumerate(serving["keys"])
            ],
            "slack": {"default_channel": "#cc-alerts"},
            "rules": str(shipped_rules()),
            "folder": folder,
        }
    )
    with Path(os.devnull).open("w") as null:
        heap.limit_arenas()  # as `run` does
        app = build(settings, notifier=ConsoleNotifier(Console(file=null, width=100)))
        begun, done = _watch(app)
        app.take_lease()
        app.start()
        heap.settle()
        try:
            time.sleep(warm_s)
            delivery = time.pthread_getcpuclockid(_thread("delivery"))
            began, cpu, delivering = time.monotonic(), time.process_time(), time.clock_gettime(delivery)
            before = app.store.totals()
            time.sleep(wall_s)
            ended = time.monotonic()
            cpu, delivering = time.process_time() - cpu, time.clock_gettime(delivery) - delivering
            after, threads, rss_mb = app.store.totals(), threading.active_count(), _rss_mb()
        finally:
            app.stop()
    measured = [entry for entry in done if began <= entry[0] < ended]
    return Figures(
        tenants=len(app.tenants),
        wall_s=ended - began,
        cpu_s=cpu,
        delivery_cpu_s=delivering,
        rss_mb=rss_mb,
        threads=threads,
        due=round(len(app.tenants) * (ended - began) / every),
        polls=len(measured),
        good=sum(good for _, _, _, good in measured),
        lateness_s=_lateness(begun, every, began, ended),
        took_ms=[1000 * took for _, took, _, _ in measured],
        fetch_ms=[fetch for _, _, fetch, _ in measured],
        delivered=sum(
            getattr(after, name) - getattr(before, name) for name in ("cards_posted", "lines_posted", "edits")
        ),
    )


def _watch(app: App) -> tuple[dict[str, list[float]], list[tuple[float, float, float, bool]]]:
    """When each tenant's turns began; and for each poll its start, its seconds, its fetch ms and if it was good."""
    begun: dict[str, list[float]] = defaultdict(list)
    done: list[tuple[float, float, float, bool]] = []
    real = app.poller.tick

    def tick(tenant: LiveTenant) -> Turn | None:
        start = time.monotonic()
        begun[tenant.name].append(start)
        polled = real(tenant)
        if polled is not None and polled.fetched is not None:
            done.append((start, time.monotonic() - start, polled.fetched.took_ms, polled.good))
        return polled

    app.poller.tick = tick  # type: ignore[method-assign]
    return begun, done


def _lateness(begun: dict[str, list[float]], every: float, since: float, until: float) -> list[float]:
    """How many seconds late each turn began; a tenant's punctual turns are a whole number of periods apart."""
    lateness = []
    for times in begun.values():
        # The earliest phase of all its turns is the scheduled one: no turn begins before its time.
        phase = min((began - times[0] + every / 2) % every for began in times)
        lateness += [(began - times[0] + every / 2) % every - phase for began in times if since <= began < until]
    return lateness


def _thread(name: str) -> int:
    return next(thread.ident or 0 for thread in threading.enumerate() if thread.name == name)


def _rss_mb() -> float:
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def serve(tenants: int, queues: int, hang: int) -> None:
    """Run the simulated 8x8 in this process until it is terminated; prints its address as one line of JSON."""

    def announce(sim: Simulator) -> None:
        for tenant in sim.tenants:
            tenant.centre  # noqa: B018  # made now, so that the first polls do not wait for it
        for number in range(hang):
            sim.faults.add(ApiFault("hang", tenant=number))
        keys = [(tenant.api_key, tenant.api_secret) for tenant in sim.tenants]
        print(json.dumps({"base_url": sim.base_url, "token_url": sim.token_url, "keys": keys}), flush=True)

    run_forever(SimulatorOptions(tenants=tenants, queues=queues, groups=4, agents=2 * queues, warm=WARM), announce)


def simulated(tenants: int, queues: int, hang: int, *, every: float, warm_s: float, wall_s: float) -> Figures:
    """As `measure`, against a simulated 8x8 in a process of its own; `hang`: tenants that never get an answer."""
    logs.configure(quiet=True)
    command = [sys.executable, "-m", "benchmarks.tenants", "--serve", "--tenants", str(tenants)]
    command += ["--queues", str(queues), "--hang", str(hang)]
    with (
        tempfile.TemporaryDirectory(prefix="alertbot-tenants-") as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
    ):
        try:
            assert server.stdout is not None
            serving = json.loads(server.stdout.readline())
            before = _cpu_of(server.pid)
            figures = measure(serving, Path(folder), every=every, warm_s=warm_s, wall_s=wall_s)
            figures.simulator_cpu_s = (_cpu_of(server.pid) - before) * wall_s / (wall_s + warm_s)
        finally:
            server.terminate()
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=200)
    parser.add_argument("--queues", type=int, default=50)
    parser.add_argument("--every", type=float, default=15.0, help="seconds between two polls of a tenant")
    parser.add_argument("--for", dest="wall_s", type=float, default=90.0, help="seconds to measure")
    parser.add_argument("--warm-up", type=float, default=30.0, help="seconds before that")
    parser.add_argument("--hang", type=int, default=0, help="tenants that never get an answer (default: 0)")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.serve:
        serve(args.tenants, args.queues, args.hang)
        return 0
    figures = simulated(args.tenants, args.queues, args.hang, every=args.every, warm_s=args.warm_up, wall_s=args.wall_s)
    print("\n".join(figures.lines()))
    unanswered = args.hang * figures.wall_s / args.every
    return 1 if figures.late or figures.polls < figures.due - unanswered - figures.tenants / args.every else 0


def _cpu_of(pid: int) -> float:
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    user, system = stat.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
