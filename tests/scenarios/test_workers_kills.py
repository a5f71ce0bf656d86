"""Three workers on one PostgreSQL database that are killed, stopped and paused, or lose the server: nothing is lost."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.fleet_kills import AGAIN_WITHIN_S, kills
from benchmarks.fleet_site import Polls, site, wait_until
from tests.foreign import free_port
from tests.service.bot import get

AWAY_S = 12.0
"""Longer than a worker counts as alive, and than a pool of connections waits."""


@pytest.mark.timeout(300)
def test_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    """`python -m benchmarks.fleet kills` has more of them, with longer pauses and more faults of Slack."""
    found = kills(4, 3, 9, tmp_path, between=(1.0, 4.0), longest_pause=10.0, settle_s=90.0, period=40.0, faults=0.0)
    assert found.exact, "\n".join(found.lines())
    assert found.notices > 20
    assert sum(found.events.values()) >= 4


@pytest.mark.timeout(300)
def test_postgresql_is_away(tmp_path: Path) -> None:
    """Each worker says why it is not ready, and comes back by itself; each rise is one alert all the same."""
    ports = [free_port() for _ in range(3)]
    with site(tmp_path, tenants=9, period=120.0) as made:
        polls = Polls(made)
        try:
            began = time.time()
            names = [made.start(port) for port in ports]
            assert wait_until(lambda: polls.all_after(began, made.tenants), 60) is not None
            assert wait_until(lambda: all(get(port, "/readyz")[0] == 200 for port in ports), 30) is not None

            made.server.stop()
            assert wait_until(lambda: all("cannot be reached" in get(port, "/readyz")[1] for port in ports), 30)
            away = time.monotonic()
            assert wait_until(lambda: time.monotonic() - away > AWAY_S, 2 * AWAY_S) is not None
            assert all(get(port, "/healthz")[0] == 200 for port in ports)
            made.server.start()
            back = time.time()

            assert wait_until(lambda: polls.all_after(back, made.tenants), AGAIN_WITHIN_S) is not None
            assert wait_until(lambda: all(get(port, "/readyz")[0] == 200 for port in ports), 30) is not None
            assert wait_until(lambda: min(made.shares().values()) >= 2, 60) is not None
            assert all(worker.poll() is None for worker in made.running.values())
        finally:
            polls.stop()
        for name in names:
            said = made.log_of(name)
            assert "Traceback" not in said
            errors = Counter(line["event"] for line in map(json.loads, said.splitlines()) if line["level"] == "error")
            assert errors["the worker cannot poll; will retry"] == 1
            assert errors["the database cannot be used: nothing is decided or reported until it can"] <= 1
            assert errors.total() <= 20, errors  # at most one for each turn and each call that was under way
