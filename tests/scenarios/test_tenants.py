"""Several tenants in one bot: each with its own settings, and none that waits for another."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console

from alertbot.clock import Clock, ScaledClock
from alertbot.config.settings import Settings
from alertbot.notify.console import ConsoleNotifier
from alertbot.rules.catalogue import Scope
from alertbot.service.app import App, build
from alertbot.simulator.faults import ApiFault
from alertbot.simulator.server import Simulator, SimulatorOptions, serve

RULE = """
rules:
  - id: {id}
    scope: queue
    match: {{id: ["{queue}"]}}
    when: entered.today >= 0
{more}"""
QUEUE = "101"
SPEED = 10.0
SMALL: dict[str, Any] = {"queues": 4, "groups": 1, "agents": 6, "warm": timedelta(minutes=5)}
BOUND_S = 30.0


def until(what: str, condition: Callable[[], Any]) -> None:
    """Wait for a condition; fails if it is not true within a generous time limit."""
    end, pause = time.monotonic() + BOUND_S, threading.Event()
    while not condition():
        assert time.monotonic() < end, what
        pause.wait(0.02)


def tenant(sim: Simulator, number: int, name: str, **more: Any) -> dict[str, Any]:
    own = sim.tenants[number]
    return {
        "name": name,
        "base_url": sim.base_url,
        "token_url": sim.token_url,
        "api_key": own.api_key,
        "api_secret": own.api_secret,
        "max_requests_per_minute": 6000,
        **more,
    }


@contextmanager
def running(folder: Path, clock: Clock, tenants: list[dict[str, Any]]) -> Iterator[App]:
    """The real bot, polling by itself at ten times the usual pace."""
    (folder / "rules.yaml").write_text(RULE.format(id="entered", queue=QUEUE, more=""))
    settings = Settings.model_validate(
        {
            "tenants": tenants,
            "slack": {"default_channel": "#floor"},
            "rules": "rules.yaml",
            "stale_after": "30s",
            "folder": folder,
        }
    )
    app = build(settings, notifier=ConsoleNotifier(Console(file=io.StringIO())), clock=clock, speed=SPEED)
    try:
        app.take_lease()
        yield app
    finally:
        app.stop()


def polls(sim: Simulator, number: int) -> list[float]:
    """When a tenant's queues were requested, in real seconds."""
    return [
        seen.time.timestamp() / SPEED
        for seen in sim.requests
        if seen.tenant == number and seen.path.startswith("/queues")
    ]


def test_one_that_hangs_delays_no_other(tmp_path: Path) -> None:
    """While one tenant's requests are never answered, the others are polled as often as ever, and it is reported."""
    clock = ScaledClock(SPEED)
    with serve(SimulatorOptions(tenants=5, **SMALL, clock=clock)) as sim:
        for each in sim.tenants:
            each.centre  # noqa: B018  # made now, so that no poll waits for it
        sim.faults.add(ApiFault("hang", tenant=0))
        sim.faults.add(ApiFault("hang", tenant=1))
        with running(
            tmp_path, clock, [tenant(sim, number, f"t{number}", poll_every="5s") for number in range(5)]
        ) as app:
            app.start()
            until("the others are polled twelve times", lambda: min(len(polls(sim, n)) for n in (2, 3, 4)) >= 13)
            for number in (2, 3, 4):
                times = polls(sim, number)
                waits = [after - before for before, after in pairwise(times[:13])]
                # Half a second each. A busy machine may be late for one; a hanging neighbour would cost 4 s each time.
                assert sorted(waits)[len(waits) // 2] < 1.0, waits
                assert sum(waits) < 12 * 0.5 + 3, waits
            assert len(polls(sim, 0)) == len(polls(sim, 1)) == 0
            until("the hanging ones are reported", lambda: without_data(app) == {"t0", "t1"})


def without_data(app: App) -> set[str]:
    return {alert.key.tenant for alert in app.store.alerts() if alert.open and alert.key.rule == "feed-stale"}


def test_each_has_its_own_settings(tmp_path: Path) -> None:
    """URLs, keys, rules, channels and pace: what one says or breaks does not affect the other."""
    (tmp_path / "other").mkdir()
    more = '    channel: "#south-floor"\n'
    (tmp_path / "other" / "rules.yaml").write_text(RULE.format(id="entered-south", queue=QUEUE, more=more))
    clock = ScaledClock(SPEED)
    with (
        serve(SimulatorOptions(**SMALL, clock=clock, api_key="k1", api_secret="s1")) as north,
        serve(SimulatorOptions(**SMALL, clock=clock, api_key="k2", api_secret="s2")) as south,
        running(
            tmp_path,
            clock,
            [
                tenant(north, 0, "north", default_channel="#north", ops_channel="#north-ops", poll_every="10s"),
                tenant(south, 0, "south", rules="other/", poll_every="20s"),
                tenant(south, 0, "broken", api_secret="wrong", ops_channel="#broken-ops", poll_every="20s"),
            ],
        ) as app,
    ):
        app.start()
        until("both are polled", lambda: len(polls(north, 0)) >= 4 and len(polls(south, 0)) >= 2)
        until("the broken one is reported", lambda: app.store.cards("broken"))
        cards = {
            (key.tenant, key.rule): set(channels)
            for name in ("north", "south", "broken")
            for key, channels in app.store.cards(name).items()
        }
    assert cards == {
        ("north", "entered"): {"#north"},
        ("south", "entered-south"): {"#south-floor"},
        ("broken", "feed-refused"): {"#broken-ops"},
    }
    assert len(polls(north, 0)) > len(polls(south, 0))  # twice as often
    assert {seen.status for seen in north.requests} == {200}
    assert app.tenants[0].rules.metrics() == {Scope.QUEUE: frozenset({"entered.today"})}


def test_a_tenant_may_have_any_name(tmp_path: Path) -> None:
    """Also one that a part of the service has."""
    clock = ScaledClock(SPEED)
    with (
        serve(SimulatorOptions(tenants=2, **SMALL, clock=clock)) as sim,
        running(tmp_path, clock, [tenant(sim, number, name) for number, name in enumerate(("lease", "slack"))]) as app,
    ):
        app.start()
        until("both are polled", lambda: min(len(polls(sim, number)) for number in range(2)) >= 2)
