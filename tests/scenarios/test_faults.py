"""Whole polls of a large contact centre while 8x8 misbehaves: no alert ends because of it; the next poll continues."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from alertbot import poll
from alertbot.alerts.alert import Alert, Reason
from alertbot.poll import Turn
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.simulator.faults import ApiFault
from alertbot.simulator.server import Simulator, SimulatorOptions, serve
from alertbot.sources.eight_by_eight import EightByEight
from alertbot.store import open_alerts
from alertbot.store.sqlite.store import SqliteStore
from tests.simulator.kit import HandClock

RULES = parse_files(
    {
        "rules.yaml": """
rules:
  - id: break-too-long
    scope: agent
    when: status.rt == "OnBreak" and timeOnStatus.rt > 1m
    clear: status.rt != "OnBreak"
  - id: nobody-idle
    scope: queue
    when: availableIdle.rt == 0 and eligible.rt >= 0
"""
    }
)


TENANT = poll.Tenant("acme", RULES, "#cc-alerts", "#cc-alerts")


@dataclass
class World:
    """One tenant of 3,100 agents, polled by hand."""

    clock: HandClock
    sim: Simulator
    store: SqliteStore
    source: EightByEight

    memory: poll.Memory = field(default_factory=poll.Memory)

    def poll(self) -> Turn:
        """One turn with the memory of the one before; the memory equals a fresh read."""
        now = self.clock()
        tenant = replace(TENANT, memory=self.memory)
        turn = poll.run(tenant, self.store, now, self.source.fetch(TENANT.wanted, now, RULES.only()))
        self.memory = turn.memory
        assert turn.memory.open == open_alerts.current(None, self.store, "acme", now - TENANT.alerting.flap_window)
        return turn

    def open(self) -> list[Alert]:
        return [alert for alert in self.store.alerts("acme") if alert.open]


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    clock = HandClock(datetime(2026, 3, 2, 10, 0, tzinfo=UTC))
    options = SimulatorOptions(clock=clock, start=clock(), agents=3_100, queues=40, groups=10, token_lifetime_s=60)
    with serve(options) as running:
        yield running


@pytest.fixture
def world(sim: Simulator) -> Iterator[World]:
    clock = sim.clock
    assert isinstance(clock, HandClock)
    sim.faults.clear()
    # Only the waits between retries are skipped; the retries themselves are real.
    source = EightByEight(
        "acme",
        sim.base_url,
        sim.token_url,
        sim.tenants[0].api_key,
        sim.tenants[0].api_secret,
        sleep=lambda _: None,
        max_requests_per_minute=10_000,  # hours on the manual clock are seconds for the client
    )
    store = SqliteStore(":memory:")
    yield World(clock, sim, store, source)
    source.close()
    store.close()


FAULTS = {
    "a 429 in the middle": (ApiFault(kind="status", status=429, retry_after=1, path="/agents", page=1, times=1), True),
    "a 503 in the middle": (ApiFault(kind="status", status=503, path="/agents", page=2, times=1), True),
    "the token is revoked in the middle": (ApiFault(kind="revoke", path="/agents", page=1, times=1), True),
    "one page keeps failing": (ApiFault(kind="status", status=503, path="/agents", page=3), False),
    "everything fails": (ApiFault(kind="status", status=503, path="*"), False),
    "no page after the first, although more were announced": (ApiFault(kind="shrink", path="/agents"), False),
    "an empty page at the end": (ApiFault(kind="empty", path="/agents", page=3), False),
    "an empty answer": (ApiFault(kind="empty", path="/agents"), False),
    "a body that is cut off": (ApiFault(kind="malformed", body="truncated", path="/agents"), False),
}


@pytest.mark.parametrize(("fault", "good"), FAULTS.values(), ids=FAULTS.keys())
def test_no_alert_ends_because_of_a_fault(world: World, fault: ApiFault, good: bool) -> None:
    """While a fault lasts, what fires keeps firing; when it has ended, the next poll is complete again."""
    first = world.poll()
    assert first.good, first.problems
    assert len([each for each in first.fetched.requests if each.endpoint == "/agents"]) >= 4
    before = {alert.id for alert in world.open()}
    assert len(before) > 10
    world.sim.faults.add(fault)
    faulty = world.poll()
    assert faulty.good is good, faulty.problems
    assert {alert.id for alert in world.open()} == before
    assert not [change for change in faulty.changes if change.reason in (Reason.RESOLVED, Reason.NO_LONGER_REPORTED)]
    world.sim.faults.clear()
    world.clock.forward(seconds=15)
    assert world.poll().good


def test_a_token_that_expires_during_the_run(world: World) -> None:
    """Tokens of a minute over four minutes of polls: every poll is complete, without more requests than it needs."""
    asked = len(world.sim.requests)
    for _ in range(16):
        assert world.poll().good
        world.clock.forward(seconds=15)
    tokens = [seen for seen in world.sim.requests[asked:] if "oauth" in seen.path]
    assert 3 <= len(tokens) <= 16


def test_a_failed_poll_is_reported_in_words(world: World) -> None:
    world.poll()
    world.sim.faults.add(ApiFault(kind="status", status=503, path="*"))
    polled = world.poll()
    assert not polled.changes
    assert all("503" in problem for problem in polled.problems)
    assert world.store.feed("acme").error
