"""How long the pages of the status page take, over HTTP on loopback, with nothing kept from an earlier request.

    python -m benchmarks.status_page [--agents 10000] [--alerts 1000] [--rounds 5]

One tenant in a SQLite file: agents with the twelve keys and fifty rules of `poll_cycle`, open alerts of them, and twice
as many ended ones. Exits with 1 where a page takes more than LIMIT_MS of CPU time (median) or has more than MAX_BYTES.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import requests

from alertbot.alerts.alert import About, Alert, Change, Fingerprint, Reason, State
from alertbot.commands.command import Command
from alertbot.commands.view import Needs, View
from alertbot.config.settings import Settings
from alertbot.evaluation.measure import Measure
from alertbot.evaluation.snapshot import Column, Snapshot
from alertbot.feed.health import Feed
from alertbot.page.updates import Updates
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.rule import Level
from alertbot.service.status_page import FRESH, StatusPage, status_page_routes
from alertbot.service.views import make_view
from alertbot.store.records import PollRecord, RunningRules
from alertbot.store.sqlite.store import SqliteStore
from alertbot.web.routes import http_app
from alertbot.web.server import serve_http
from benchmarks.poll_cycle import NUMBERS, STATUSES, rules
from benchmarks.questions import NOW

LIMIT_MS = 200.0
MAX_BYTES = 200_000
RULE = "rule-0"
PATHS = (
    "/",
    "/?wall",
    "/?sheet=10",
    "/ended",
    "/ended?name=Agent+7&window=1d",
    "/rules",
    f"/rules/{RULE}",
    "/rules/rule-3?name=EU",
    f"/why/{RULE}/7?tenant=acme",
    "/live",
    "/agent/7?tenant=acme",
    "/chart/timeOnStatus.rt/7?scope=agent&tenant=acme",
)


@dataclass(frozen=True)
class Measured:
    """One page: medians of the CPU time of an answer (the browser's included) and of the time it took; its size."""

    path: str
    cpu_ms: float
    wall_ms: float
    size: int

    def __str__(self) -> str:
        return f"{self.path:<34} {self.cpu_ms:7.1f} ms CPU {self.wall_ms:7.1f} ms {self.size:>8,} bytes"


def fill(store: SqliteStore, agents: int, alerts: int) -> None:
    """What polls leave: ended alerts, open ones, and the last values."""
    feed = Feed("acme", NOW, NOW)
    ended = [_alert(number, ended=True) for number in range(2 * alerts)]
    begun = [Change(None, replace(each, state=State.FIRING, ended_at=None), Reason.FIRED, "") for each in ended]
    store.record(PollRecord("acme", NOW - timedelta(hours=2), feed, begun))
    known = {each.key: each for each in store.alerts()}
    ends = [Change(known[each.key], replace(each, id=known[each.key].id), Reason.RESOLVED, "") for each in ended]
    store.record(PollRecord("acme", NOW - timedelta(hours=1), feed, ends))
    firing = [Change(None, _alert(number), Reason.FIRED, "over its limit") for number in range(alerts)]
    store.record(PollRecord("acme", NOW, feed, firing, snapshots={Scope.AGENT: _snapshot(agents)}))
    store.set_running([RunningRules("acme", "benchmark", NOW, {})])


def _snapshot(agents: int) -> Snapshot:
    random, present = np.random.default_rng(8), np.zeros(agents, dtype=np.uint8)
    columns = {key: Column(random.uniform(0, 1.2 * limit, agents), present) for key, (limit, *_) in NUMBERS.items()}
    columns["status.rt"] = Column(np.array([STATUSES[row % 5] for row in range(agents)], dtype=object), present)
    names = tuple(f"Agent {row} {('EU', 'US', 'test')[row % 3]}" for row in range(agents))
    return Snapshot(Scope.AGENT, NOW, tuple(map(str, range(agents))), names, columns)


def _alert(number: int, *, ended: bool = False) -> Alert:
    began, level = NOW - timedelta(hours=2 if ended else 1), Level.CRITICAL if number % 3 else Level.WARNING
    return Alert(
        Fingerprint("acme", RULE, Scope.AGENT, "", str(number)),
        f"Agent {number} {('EU', 'US', 'test')[number % 3]}",
        About("Rule 0", "timeOnStatus.rt > 20m"),
        State.INACTIVE if ended else State.FIRING,
        level,
        {level: began},
        pending_since=began,
        fired_at=began,
        ended_at=NOW - timedelta(hours=1) if ended else None,
        end_reason=Reason.RESOLVED if ended else None,
        measure=Measure("timeOnStatus.rt", ValueType.DURATION, ">", 1_500_000.0, 1_200_000.0),
        peak=1_600_000.0,
        highest=level,
        reported=level,
    )


def measure(agents: int, alerts: int, rounds: int, folder: Path) -> list[Measured]:
    """Every page, `rounds` times, each time read again."""
    settings = Settings.model_validate(
        {
            "tenants": [{"name": "acme", "region": "us", "api_key": "k", "api_secret": "s"}],
            "slack": {"bot_token": "xoxb-1", "default_channel": "#cc-alerts"},
        }
    )
    running = {"acme": rules()}
    moved = 0.0
    with closing(SqliteStore(folder / "alertbot.db")) as store:
        fill(store, agents, alerts)

        def view(command: Command, needs: Needs | None) -> View:
            return make_view(
                command, settings, store, NOW, rules=lambda: (running, {}), pasts=lambda _: {}, needs=needs
            )

        def monotonic() -> float:
            return moved

        page = StatusPage(view, store.values, lambda: NOW, within=60.0, monotonic=monotonic)
        routes = status_page_routes(settings, page, store.all_ended, Updates(), lambda: NOW)
        server = serve_http(http_app(reasons=list, routes=routes), "127.0.0.1", 0)
        found = []
        try:
            with requests.Session() as browser:
                browser.trust_env = False
                for path in PATHS:
                    times: list[tuple[float, float]] = []
                    for _ in range(rounds):
                        moved += 2 * FRESH
                        began = time.process_time(), time.perf_counter()
                        answer = browser.get(f"http://127.0.0.1:{server.port}{path}", timeout=60)
                        times.append((time.process_time() - began[0], time.perf_counter() - began[1]))
                        if answer.status_code != 200:
                            raise RuntimeError(f"{path}: {answer.status_code}")
                    cpu, wall = (statistics.median(each) * 1000 for each in zip(*times, strict=True))
                    found.append(Measured(path, cpu, wall, len(answer.content)))
        finally:
            server.stop()
            page.close()
    return found


def main(args: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a page is too slow or too large."""
    options = argparse.ArgumentParser(description="How long the pages of the status page take.")
    options.add_argument("--agents", type=int, default=10_000)
    options.add_argument("--alerts", type=int, default=1_000)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args(args)
    with tempfile.TemporaryDirectory(prefix="alertbot-pages-") as folder:
        found = measure(chosen.agents, chosen.alerts, chosen.rounds, Path(folder))
    for each in found:
        print(each)
    bad = [each.path for each in found if each.cpu_ms > LIMIT_MS or each.size > MAX_BYTES]
    if bad:
        print(f"over {LIMIT_MS:g} ms of CPU time or larger than {MAX_BYTES:,} bytes: {', '.join(bad)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
