"""PostgreSQL is down for a while under three workers, for benchmarks.fleet: what they answer, log, and make up for."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from benchmarks.fleet_counts import Event
from benchmarks.fleet_kills import WORKERS, Kills, finish
from benchmarks.fleet_site import Polls, Site, site, wait_until
from tests.foreign import free_port
from tests.service.bot import get

MAX_LINES = 100
"""Lines above debug that a worker may log while PostgreSQL is down."""
_BEFORE_S = 60.0
"""Seconds of polls before, so that alerts are open and cards are in Slack."""
_AFTER_S = 60.0
"""Seconds of polls afterwards, before everything is counted."""
KIND = "PostgreSQL away"

_T = TypeVar("_T")


@dataclass
class Answers:
    """What a worker answered to probes, once a second while PostgreSQL was down and until it was ready again."""

    ready: dict[int, int] = field(default_factory=dict)  # by status of /readyz
    healthy: dict[int, int] = field(default_factory=dict)  # by status of /healthz
    said: dict[str, int] = field(default_factory=dict)  # by text of /readyz, without numbers
    not_ready_after_s: float | None = None
    ready_after_s: float | None = None  # from when the server accepted connections again


@dataclass
class Outage:
    """What came of it. Lines are those that each worker logged while PostgreSQL was down, by level."""

    away_s: float
    answers: dict[str, Answers]
    lines_logged: dict[str, dict[str, int]]
    kills: Kills

    @property
    def good(self) -> bool:
        """Whether all workers said so and came back by themselves, and nothing is lost, doubled or late."""
        said = all(503 in each.ready and each.ready_after_s is not None for each in self.answers.values())
        alive = all(set(each.healthy) == {200} for each in self.answers.values())
        quiet = all(sum(levels.values()) <= MAX_LINES for levels in self.lines_logged.values())
        return said and alive and quiet and self.kills.good

    def lines(self) -> list[str]:
        """What is printed."""
        found = [f"PostgreSQL was down for {self.away_s:.1f} s"]
        for name, each in self.answers.items():
            logged = self.lines_logged[name]
            found += [
                f"{name}: /readyz {_by_status(each.ready)}, first not ready after {_seconds(each.not_ready_after_s)}, "
                f"ready again {_seconds(each.ready_after_s)} after PostgreSQL; /healthz {_by_status(each.healthy)}; "
                f"{sum(logged.values())} log lines meanwhile {logged}",
                *(f"  {times} x {text}" for text, times in Counter(each.said).most_common(4)),
            ]
        return [*found, "", *self.kills.lines()]


def _by_status(counts: Mapping[int, int]) -> str:
    return ", ".join(f"{status} ({times} times)" for status, times in sorted(counts.items()))


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"


def outage(away: float, tenants: int, folder: Path, workers: int = WORKERS) -> Outage:
    """Polls, then no server for `away` seconds, then polls again; the result."""
    with site(folder, tenants=tenants) as made:
        polls = Polls(made)
        asking = threading.Event()
        try:
            ports = {made.start(port): port for port in [free_port() for _ in range(workers)]}
            began = time.time()
            assert wait_until(lambda: polls.all_after(began, made.tenants), 90) is not None, made.log_of("w1")
            wait_until(lambda: all(get(port, "/readyz")[0] == 200 for port in ports.values()), 30)
            began = time.time()
            time.sleep(_BEFORE_S)
            answers = {name: Answers() for name in ports}
            moments = {"stopped": time.time(), "back": float("inf")}
            threads = [
                threading.Thread(target=_ask, args=[ports[name], answers[name], moments, asking], daemon=True)
                for name in ports
            ]
            for thread in threads:
                thread.start()
            stopped, accepts = made.restart_server("fast", away)
            moments["back"] = accepts
            wait_until(lambda: all(each.ready_after_s is not None for each in answers.values()), _AFTER_S)
            asking.set()
            time.sleep(max(0.0, accepts + _AFTER_S - time.time()))
            logged = {name: _logged(made, name, stopped, accepts) for name in ports}
            event = Event(KIND, stopped, accepts, "", frozenset(made.tenants))
            counted = finish(made, polls, [event], began, rounds=1, seed=0)
            return Outage(accepts - stopped, answers, logged, counted)
        finally:
            asking.set()
            polls.stop()


def _ask(port: int, answers: Answers, moments: dict[str, float], over: threading.Event) -> None:
    while not over.wait(1.0):
        status, text = get(port, "/readyz")
        now = time.time()
        if answers.ready_after_s is None:
            _add(answers.ready, status)
            if status != 200:
                _add(answers.said, re.sub(r"\d+", "N", text.strip())[:300])
        _add(answers.healthy, get(port, "/healthz")[0])
        if status != 200 and answers.not_ready_after_s is None:
            answers.not_ready_after_s = now - moments["stopped"]
        if status == 200 and now > moments["back"] and answers.ready_after_s is None:
            answers.ready_after_s = now - moments["back"]


def _add(counts: dict[_T, int], key: _T) -> None:
    counts[key] = counts.get(key, 0) + 1


def _logged(made: Site, name: str, since: float, until: float) -> dict[str, int]:
    """How many lines a worker logged in this time, by level."""
    found: Counter[str] = Counter()
    for line in made.logged():
        if line["worker"] == name and "timestamp" in line:
            at = datetime.fromisoformat(str(line["timestamp"])).timestamp()
            if since <= at < until and line.get("level") != "debug":
                found[str(line.get("level"))] += 1
    return dict(found)
