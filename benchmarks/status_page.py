"""How long the pages of the status page take, over HTTP on loopback, with nothing kept from an earlier request.

    python -m benchmarks.status_page [--agents 10000] [--alerts 1000] [--rounds 5] [--days 7] [--queues 200]

One tenant in a SQLite file: agents with the twelve keys and fifty rules of `poll_cycle`, open alerts of them, and twice
as many ended ones. Then charts, of another tenant with queues that were recorded every 15 seconds for some days: the
first answer and later ones. Exits with 1 where a page takes more than LIMIT_MS of CPU time (median), a chart more than
CHART_LIMIT_MS, or either has more than MAX_BYTES.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
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
from alertbot.commands.view import Needs, TenantView, View
from alertbot.config.settings import Settings
from alertbot.evaluation.measure import Measure
from alertbot.evaluation.snapshot import Column, Snapshot
from alertbot.feed.health import Feed
from alertbot.page.frame import Frame
from alertbot.page.lookup import series_wanted
from alertbot.page.metric import METRIC
from alertbot.page.page import Address
from alertbot.page.updates import Updates
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.rule import Level
from alertbot.service.recorded import Recordings
from alertbot.service.status_page import FRESH, StatusPage, status_page_routes
from alertbot.service.views import make_view
from alertbot.store.records import PollRecord, RunningRules
from alertbot.store.sqlite.store import SqliteStore
from alertbot.web.routes import http_app
from alertbot.web.server import serve_http
from benchmarks.poll_cycle import NUMBERS, STATUSES, rules
from benchmarks.questions import NOW

LIMIT_MS = 200.0
CHART_LIMIT_MS = 100.0
MAX_BYTES = 200_000
RULE = "rule-0"
CHARTED = "interactionsLongestWaitInQueue.rt"
CHARTS = tuple(f"/chart/{CHARTED}/1?window={window}" for window in ("6h", "24h", "7d"))
PATHS = (
    "/",
    "/live?scope=agent",
    "/live?scope=agent&q=77",
    "/agent/7",
    "/?wall",
    "/?sheet=10",
    "/ended",
    "/ended?name=Agent+7&window=1d",
    "/rules",
    f"/rules/{RULE}",
    "/rules/rule-3?name=EU",
    f"/why/{RULE}/7?tenant=acme",
)
EMPTY_FRAME = {"nav": (), "wall": False, "problem": "", "as_of": None, "logout": False}
"""What the frame of a page shows beside the page."""


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

        updates = Updates()
        page = StatusPage(view, store.values, lambda: NOW, updates.changed, within=60.0, monotonic=monotonic)
        routes = status_page_routes(settings, page, store.all_ended, updates, lambda: NOW)
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


def charts(queues: int, days: float, rounds: int, folder: Path) -> list[tuple[str, float, float, float]]:
    """Each chart: CPU ms of the first answer, of the values that it did not wait for, and of later answers (median)."""
    random, present = np.random.default_rng(8), np.zeros(queues, dtype=np.uint8)
    ids, number = tuple(map(str, range(queues))), round(days * 5760)
    waits, others = np.zeros(queues), [np.zeros(queues) for _ in range(11)]
    found = []
    with closing(SqliteStore(folder / "charts.db", synchronous="NORMAL")) as store:
        for place in range(number):
            moved = random.random(queues) < 0.1
            waits = np.where(moved, random.integers(0, 2, queues) * 15_000.0, waits + 15_000.0 * (waits > 0))
            others = [np.where(moved, random.integers(0, 40, queues).astype(np.float64), each) for each in others]
            columns = {f"other{key}.rt": Column(each, present) for key, each in enumerate(others)}
            at = NOW - (number - 1 - place) * timedelta(seconds=15)
            seen = Snapshot(Scope.QUEUE, at, ids, ids, {CHARTED: Column(waits, present), **columns})
            store.record(PollRecord("acme", at, Feed("acme", at, at), (), snapshots={Scope.QUEUE: seen}))
        frame = Frame()
        view = View((TenantView("acme", NOW, NOW, "", store.latest("acme", {Scope.QUEUE})),), (), rules())
        for path in (CHARTS[0], *CHARTS):  # the first one compiles the template
            read = threading.Event()
            recordings = Recordings(store.values, read.set)
            address = Address({"key": CHARTED, "id": "1"}, {"window": path.rpartition("=")[2]})
            times = []
            whole = 0.0
            for place in range(rounds + 1):
                began = time.process_time()
                question = METRIC.asks(address)
                assert question.over_time is not None
                wanted = series_wanted(view, question.over_time, NOW)
                series = tuple(recordings.filled(each, NOW) for each in wanted)
                shown = METRIC.shows(replace(view, series=series), address, NOW)
                frame.draw(shown.template, {**EMPTY_FRAME, **shown.values})
                times.append((time.process_time() - began) * 1000)
                if not place and series[0].read_since is not None:
                    began = time.process_time()
                    read.wait(60)
                    whole = (time.process_time() - began) * 1000
            recordings.close()
            found.append((path, times[0], whole, statistics.median(times[1:])))
    return found[1:]


def main(args: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a page is too slow or too large."""
    options = argparse.ArgumentParser(description="How long the pages of the status page take.")
    options.add_argument("--agents", type=int, default=10_000)
    options.add_argument("--alerts", type=int, default=1_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--days", type=float, default=1.0, help="of recorded polls, for the charts")
    options.add_argument("--queues", type=int, default=200, help="that were recorded, for the charts")
    chosen = options.parse_args(args)
    with tempfile.TemporaryDirectory(prefix="alertbot-pages-") as folder:
        found = measure(chosen.agents, chosen.alerts, chosen.rounds, Path(folder))
        drawn = charts(chosen.queues, chosen.days, chosen.rounds, Path(folder))
    for each in found:
        print(each)
    for path, first, rest, later in drawn:
        print(f"{path:<52} first {first:6.1f} ms CPU, the rest of its values {rest:6.1f}, later {later:6.1f}")
    bad = [path for path, first, _, later in drawn if max(first, later) > CHART_LIMIT_MS]
    bad += [each.path for each in found if each.cpu_ms > LIMIT_MS or each.size > MAX_BYTES]
    if bad:
        limits = f"{LIMIT_MS:g} ms of CPU time ({CHART_LIMIT_MS:g} of a chart)"
        print(f"over {limits} or larger than {MAX_BYTES:,} bytes: {', '.join(bad)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
