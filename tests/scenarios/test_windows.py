"""Whole polls of rules that look back and at agents: windows fill, survive a restart, and everything is recorded."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from alertbot.config.settings import Settings
from alertbot.notify.console import ConsoleNotifier
from alertbot.rules.catalogue import Scope, catalogue
from alertbot.service.app import App, build
from alertbot.simulator.server import Simulator, SimulatorOptions, serve
from alertbot.store.sqlite.store import SqliteStore
from tests.simulator.kit import HandClock

RULES = """
rules:
  - id: looks-back
    scope: queue
    when: min(eligible.rt, 2m) >= 0      # eight samples, of which four must be known
  - id: counts
    scope: queue
    params: {least: 1}
    overrides: [{match: {name: "*"}, params: {least: 0}}]
    when: count(agents where status.rt != "LoggedOut") >= $least
"""
TEN = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
Make = Callable[..., App]


@pytest.fixture
def clock() -> HandClock:
    return HandClock(TEN)


@pytest.fixture
def sim(clock: HandClock) -> Iterator[Simulator]:
    with serve(SimulatorOptions(clock=clock, start=clock(), busy_now=True, warm=timedelta(minutes=45))) as served:
        yield served


@pytest.fixture
def make(sim: Simulator, clock: HandClock, tmp_path: Path) -> Iterator[Make]:
    (tmp_path / "rules.yaml").write_text(RULES)
    running: list[App] = []

    def bot(**more: Any) -> App:
        while running:
            running.pop().stop()  # a restart
        tenant = {
            "name": "acme",
            "base_url": sim.base_url,
            "token_url": sim.token_url,
            "api_key": sim.options.api_key,
            "api_secret": sim.options.api_secret,
            "max_requests_per_minute": 6000,
        }
        settings = Settings.model_validate(
            {
                "tenants": [tenant],
                "slack": {"default_channel": "#floor"},
                "rules": "rules.yaml",
                "folder": tmp_path,
                **more,
            }
        )
        notifier = ConsoleNotifier(Console(file=io.StringIO(), width=200))
        running.append(build(settings, notifier=notifier, clock=clock))
        return running[-1]

    yield bot
    for app in running:
        app.stop()


def turns(app: App, clock: HandClock, number: int) -> None:
    for _ in range(number):
        clock.forward(seconds=15)
        assert app.poller.tick(app.tenants[0]) is not None


def open_of(app: App, rule: str) -> int:
    return sum(1 for alert in app.store.alerts() if alert.key.rule == rule)


def test_a_window_fills_and_survives_a_restart(make: Make, clock: HandClock) -> None:
    """Unknown until half of the samples are there; after a restart it continues with what was recorded."""
    app = make()
    turns(app, clock, 3)
    assert open_of(app, "looks-back") == 0
    again = make()
    turns(again, clock, 1)
    queues = len(again.store.latest("acme")[Scope.QUEUE])
    assert open_of(again, "looks-back") == queues > 1


def test_a_recorded_poll_that_cannot_be_read(make: Make, clock: HandClock) -> None:
    """Windows then start empty, and polling continues."""
    app = make()
    turns(app, clock, 3)
    assert isinstance(app.store, SqliteStore)
    with app.store._db.write() as conn:
        conn.execute("UPDATE recorded_polls SET packed = x'00112233'")
    again = make()
    turns(again, clock, 3)
    assert open_of(again, "looks-back") == 0
    turns(again, clock, 3)
    assert open_of(again, "looks-back") > 1


def test_windows_are_filled_for_rules_that_were_edited(make: Make, clock: HandClock, tmp_path: Path) -> None:
    """A new window is filled from what was recorded of its key before."""
    app = make()
    turns(app, clock, 6)
    (tmp_path / "rules.yaml").write_text(RULES.replace("min(eligible.rt, 2m)", "max(eligible.rt, 3m)"))
    app.reloader.look(0.0, at_once=True)
    app.reloader.look(10.0, at_once=True)
    turns(app, clock, 1)
    past = app.tenants[0].memory.past
    assert past is not None
    ((window,),) = past.windows.values()
    assert (window.function, len(past.matrix(window, app.store.latest("acme")[Scope.QUEUE]))) == ("max", 7)


def test_agents_are_counted_in_one_poll_with_their_queues(make: Make, clock: HandClock) -> None:
    """Each queue with its own agents, and the card shows what holds for it."""
    app = make()
    turns(app, clock, 1)
    counts = [alert for alert in app.store.alerts() if alert.key.rule == "counts"]
    assert len(counts) == len(app.store.latest("acme")[Scope.QUEUE])
    assert {alert.about.condition for alert in counts} == {'count(agents where status.rt != "LoggedOut") >= 0'}
    values = [alert.measure.value for alert in counts if alert.measure is not None]
    assert max(each for each in values if isinstance(each, float)) >= 1


def test_what_is_recorded_is_what_rules_use_or_everything(make: Make, clock: HandClock) -> None:
    """`record.keys: all` requests every key of the scopes that rules read."""
    app = make(record={"keep": "1h"})
    turns(app, clock, 1)
    (used,) = app.store.polls("acme", TEN, clock())
    assert set(used.snapshots[Scope.QUEUE].columns) == {"eligible.rt"}
    everything = make(record={"keys": "all"})
    turns(everything, clock, 1)
    *_, found = everything.store.polls("acme", TEN, clock())
    known = {key for key, metric in catalogue().metrics[Scope.QUEUE].items() if metric.confirmed}
    assert set(found.snapshots[Scope.QUEUE].columns) == known
    assert "timeOnStatus.rt" in found.snapshots[Scope.QUEUE_AGENT].columns
