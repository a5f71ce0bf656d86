"""Whole polls over HTTP while a feed is ill: what the ops channel gets, how often 8x8 is polled, and that it ends."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import structlog
from rich.console import Console

from alertbot.alerts.alert import Alert, Reason
from alertbot.commands.answers import answer
from alertbot.commands.command import Asker, Line
from alertbot.commands.parse import parse
from alertbot.config.settings import Settings
from alertbot.errors import StoreError
from alertbot.evaluation.snapshot import Fetched
from alertbot.notify.console import ConsoleNotifier
from alertbot.rules.catalogue import Scope
from alertbot.service.app import App, build
from alertbot.service.tenant import LiveTenant
from alertbot.simulator.faults import TOKEN_PATH, ApiFault
from alertbot.simulator.server import Simulator, SimulatorOptions, serve
from alertbot.sources.eight_by_eight import EightByEight
from alertbot.store.sqlite.store import SqliteStore
from tests.simulator.kit import HandClock

OPS = "#ops"
RULES = """
rules:
  - id: has-callers
    scope: queue
    when: interactionsHandling.rt >= 1
  - id: entered
    scope: queue
    when: entered.today >= 1
    no_data: clear
  - id: nothing-known
    scope: queue
    when: interactionsLongestWaitInQueue.rt > 10h
    no_data: fire
  - id: group-on-break
    scope: group
    when: onBreak.rt >= 100
"""


@dataclass
class World:
    """One tenant whose turns are started by the test."""

    clock: HandClock
    sim: Simulator
    app: App
    screen: io.StringIO
    make: Callable[[], App]
    next_turn: datetime

    @property
    def tenant(self) -> LiveTenant:
        return self.app.tenants[0]

    def turns(self, number: int = 1) -> None:
        """This many turns, 15 s apart; all that is due is delivered before the next one."""
        for _ in range(number):
            self.clock.now = self.next_turn
            self.next_turn += timedelta(seconds=15)
            self.app.poller.tick(self.tenant)
            while self.app.courier.deliver_due().delivered:
                self.clock.forward(seconds=1)  # a channel takes one message a second
            self.clock.now = self.next_turn - timedelta(seconds=15)

    def feed(self) -> list[Alert]:
        return [alert for alert in self.app.store.alerts() if alert.key.scope is Scope.FEED and alert.open]

    def others(self) -> set[int | None]:
        return {alert.id for alert in self.app.store.alerts() if alert.key.scope is not Scope.FEED and alert.open}

    def ended(self, rule: str) -> list[Alert]:
        return [alert for alert in self.app.store.ended(self.sim.started_at) if alert.key.rule == rule]

    def reasons(self, alert: Alert) -> list[Reason]:
        return [entry.notice.reason for entry in self.app.store.notices_of(alert.id)]

    def asked(self, path: str) -> list[datetime]:
        return [seen.time for seen in self.sim.requests if seen.path == path]

    def status(self) -> str:
        command = parse("status")
        reply = answer(self.app.view(command), command, Asker("test"), self.clock())
        return "\n".join(part.text for part in reply.parts if isinstance(part, Line))

    def restart(self) -> None:
        self.app.stop()
        self.app = self.make()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = HandClock(datetime(2026, 3, 2, 10, 0, tzinfo=UTC))
    (tmp_path / "rules.yaml").write_text(RULES)
    screen = io.StringIO()
    with serve(SimulatorOptions(clock=clock, start=clock(), busy_now=True, warm=timedelta(minutes=45))) as sim:
        settings = Settings.model_validate(
            {
                "tenants": [
                    {
                        "name": "acme",
                        "base_url": sim.base_url,
                        "token_url": sim.token_url,
                        "api_key": sim.options.api_key,
                        "api_secret": sim.options.api_secret,
                        "max_requests_per_minute": 6000,  # in real time, which the manual clock outruns
                    }
                ],
                "slack": {"default_channel": "#floor", "ops_channel": OPS},
                "rules": "rules.yaml",
                "folder": tmp_path,
            }
        )

        def make() -> App:
            app = build(settings, notifier=ConsoleNotifier(Console(file=screen, width=200)), clock=clock)
            # Only the waits between retries are skipped; the retries themselves are real.
            source = app.tenants[0].source
            assert isinstance(source, EightByEight)
            source.close()
            app.tenants[0].source = EightByEight(
                "acme",
                sim.base_url,
                sim.token_url,
                sim.options.api_key,
                sim.options.api_secret,
                sleep=lambda _: None,
                max_requests_per_minute=6000,
            )
            return app

        made = World(clock, sim, make(), screen, make, clock() + timedelta(seconds=15))
        made.turns(2)
        assert not made.feed()
        assert len(made.others()) > 3
        yield made
        made.app.stop()


def gaps(times: list[datetime]) -> list[float]:
    return [(after - before).total_seconds() for before, after in pairwise(times)]


def test_an_outage_of_ten_minutes(world: World) -> None:
    """One card in the ops channel after two minutes; no alert ends; 8x8 is polled less often; one line at the end."""
    before = world.others()
    began = world.clock()
    fault = world.sim.faults.add(ApiFault("status", status=503))
    world.turns(8)
    assert not world.feed()
    world.turns(1)
    (alert,) = world.feed()
    assert (alert.key.rule, alert.key.tenant, alert.level.word) == ("feed-stale", "acme", "critical")
    assert "503" in alert.about.detail
    assert world.app.store.cards("acme")[alert.key] == {OPS}
    assert any("No data" in reason for reason in world.app.unready())
    assert "No data" in world.status()
    assert "next try at" in world.status()
    world.turns(31)
    assert world.clock() - began == timedelta(minutes=10)
    assert world.others() == before
    tried = [at for at in world.asked("/queues") if at > began]
    polls = sorted(set(tried))
    assert len(polls) < 10  # instead of forty
    assert max(gaps(polls)) <= 300

    world.sim.faults.remove(fault)
    for _ in range(22):
        world.turns(1)
        if not world.feed():
            break
    (over,) = world.ended("feed-stale")
    assert over.id == alert.id
    assert over.about.detail.startswith("back after ")
    assert "meanwhile" in over.about.detail
    assert world.reasons(over) == [Reason.FIRED, Reason.RESOLVED]
    assert gaps(sorted(set(world.asked("/queues"))))[-1] == 15  # the usual pace again
    assert not world.app.unready()
    assert "No data since" in world.screen.getvalue()


def test_a_restart_in_the_middle(world: World) -> None:
    """A card that was posted is not posted again, and how long it lasted is still known."""
    fault = world.sim.faults.add(ApiFault("status", status=503))
    world.turns(12)
    (alert,) = world.feed()
    world.restart()
    world.turns(4)
    assert [each.id for each in world.feed()] == [alert.id]
    world.sim.faults.remove(fault)
    world.restart()
    world.turns(3)
    (over,) = world.ended("feed-stale")
    assert over.about.detail.startswith("back after 4m")
    assert world.reasons(over) == [Reason.FIRED, Reason.RESOLVED]


def test_refused_credentials(world: World) -> None:
    """One alert at once, and the token endpoint is called rarely; once fixed and restarted, all is well at once."""
    before = world.others()
    world.sim.faults.add(ApiFault("revoke"))
    fault = world.sim.faults.add(ApiFault("refuse"))
    asked = len(world.asked(TOKEN_PATH))
    world.turns(1)
    (alert,) = world.feed()
    assert (alert.key.rule, alert.level.word) == ("feed-refused", "critical")
    assert world.sim.options.api_secret not in alert.about.detail
    world.turns(47)
    assert [each.id for each in world.feed()] == [alert.id]  # and no second one for missing data
    assert len(world.asked(TOKEN_PATH)) - asked <= 6  # in twelve minutes
    assert world.others() == before

    world.sim.faults.remove(fault)
    world.restart()
    world.turns(1)
    assert world.tenant.last is not None
    assert world.tenant.last.good
    world.turns(2)
    (over,) = world.ended("feed-refused")
    assert over.about.detail.startswith("back after 12m")
    assert world.reasons(over) == [Reason.FIRED, Reason.RESOLVED]


def test_a_revoked_token_is_renewed(world: World) -> None:
    """A new one is requested within the same poll."""
    before = world.others()
    world.sim.faults.add(ApiFault("revoke"))
    world.turns(1)
    assert world.tenant.last is not None
    assert world.tenant.last.good
    world.turns(10)
    assert not world.feed()
    assert before


def test_frozen_data(world: World) -> None:
    """A cache that returns the same responses for 15 minutes is noticed; the alert ends when values change."""
    world.turns(1)
    fault = world.sim.faults.add(ApiFault("frozen", path="/*"))
    world.turns(1)
    before = world.others()
    world.turns(59)
    assert not world.feed()
    world.turns(3)
    (alert,) = world.feed()
    assert alert.key.rule == "feed-frozen"
    assert "there are callers" in alert.about.detail
    assert world.others() == before
    world.sim.faults.remove(fault)
    world.turns(6)
    assert not world.feed()
    assert world.reasons(world.ended("feed-frozen")[0]) == [Reason.FIRED, Reason.RESOLVED]


def test_partial_polls(world: World) -> None:
    """One scope fails for minutes: reported once; the data that came is evaluated, missing data is not reported."""
    fault = world.sim.faults.add(ApiFault("status", path="/groups", status=500))
    world.turns(3)
    assert not world.feed()
    world.turns(1)
    (alert,) = world.feed()
    assert (alert.key.rule, alert.level.word) == ("feed-partial", "warning")
    nulls = world.sim.faults.add(ApiFault("malformed", path="/queues", body="nulls"))
    world.turns(6)
    open_rules = {each.key.rule for each in world.app.store.alerts() if each.open}
    assert "nothing-known" not in open_rules  # no_data: fire
    assert "entered" in open_rules  # no_data: clear
    world.sim.faults.remove(fault)
    world.turns(3)
    assert not world.feed()
    assert world.ended("feed-partial")[0].about.detail.startswith("complete again after")
    world.turns(1)  # now that the feed is well, what is still missing is told
    open_rules = {each.key.rule for each in world.app.store.alerts() if each.open}
    assert "nothing-known" in open_rules
    world.sim.faults.remove(nulls)


def test_empty_responses(world: World) -> None:
    """Three empty responses in a row end nothing, and nothing is reported."""
    before = world.others()
    fault = world.sim.faults.add(ApiFault("empty", path="/queues"))
    world.turns(3)
    assert world.others() == before
    assert not world.feed()
    world.sim.faults.remove(fault)
    world.turns(3)
    assert not world.feed()
    assert not [each for each in world.app.store.ended(world.sim.started_at) if each.end_reason is not Reason.RESOLVED]


def test_8x8_asks_for_a_pause(world: World) -> None:
    """A Retry-After that is longer than a poll is respected by the following polls, also after a restart."""
    world.sim.faults.add(ApiFault("status", status=429, retry_after=100, times=1))
    world.turns(1)
    at = world.clock()
    asked = len(world.sim.requests)
    world.turns(3)
    world.restart()
    world.turns(3)
    assert len(world.sim.requests) == asked
    assert "asked for a pause until" in str(world.app.poller.once(world.app.tenants)["acme"])
    world.turns(1)
    assert world.clock() - at == timedelta(seconds=105)
    assert len(world.sim.requests) > asked
    assert world.tenant.last is not None
    assert world.tenant.last.good


def test_polls_from_cron_notice_that_nobody_sees_anything(world: World) -> None:
    """`alertbot poll` keeps to the pause too, and time passes for it as for `run`."""
    world.sim.faults.add(ApiFault("status", status=429, retry_after=3600, times=1))
    world.app.poller.once(world.app.tenants)
    asked = len(world.sim.requests)
    world.clock.forward(seconds=150)
    for dry_run in (True, False):
        assert not world.feed()
        (outcome,) = world.app.poller.once(world.app.tenants, dry_run=dry_run).values()
        assert "asked for a pause until" in str(outcome)
    assert [alert.key.rule for alert in world.feed()] == ["feed-stale"]
    assert len(world.sim.requests) == asked


@pytest.mark.parametrize("status", [429, 503])
def test_8x8_asks_for_a_pause_of_an_hour(world: World, status: int) -> None:
    """It is respected, and the missing data is reported in the ops channel within minutes."""
    world.sim.faults.add(ApiFault("status", status=status, retry_after=3600, times=1))
    world.turns(12)
    (alert,) = world.feed()
    assert alert.key.rule == "feed-stale"
    assert OPS in world.screen.getvalue()
    world.turns(228)
    world.restart()  # the client itself waits an hour of real time
    world.turns(6)
    assert not world.feed()
    assert world.tenant.last is not None
    assert world.tenant.last.good


@dataclass
class Broken:
    """A source with an unexpected error."""

    error: Exception

    def fetch(self, *_: object) -> Fetched:
        raise self.error

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("error", [StoreError("the disk is odd"), ValueError("a secret")], ids=["known", "unexpected"])
@pytest.mark.parametrize("restarted", [False, True], ids=["running", "first start"])
def test_polls_that_fail_in_alertbot_itself(world: World, error: Exception, restarted: bool) -> None:
    """Then there is no data either, and the ops channel gets the reason; it ends like any other lack of data."""
    if restarted:  # no earlier poll is known
        assert isinstance(world.app.store, SqliteStore)
        with world.app.store._db.write() as conn:
            conn.execute("DELETE FROM feeds")
    source = world.tenant.source
    world.tenant.source = Broken(error)
    with structlog.testing.capture_logs():  # rendering a traceback with all its locals takes seconds
        world.turns(12)
    (alert,) = world.feed()
    assert alert.key.rule == "feed-stale"
    assert ("the disk is odd" if isinstance(error, StoreError) else "ValueError") in world.screen.getvalue()
    assert "a secret" not in world.screen.getvalue()
    world.tenant.source = source
    world.turns(1)
    assert world.feed()
    world.turns(2)
    assert not world.feed()


def test_clocks_that_differ(world: World) -> None:
    """8x8's clock by its own Date header: reported when it is off for minutes, and when it is right again."""
    world.sim.api.clock_skew = timedelta(seconds=-70)
    world.turns(8)
    assert not world.feed()
    world.turns(2)
    (alert,) = world.feed()
    assert (alert.key.rule, alert.level.word) == ("feed-clock", "warning")
    assert "behind this machine's clock" in alert.about.detail
    world.sim.api.clock_skew = timedelta(0)
    world.turns(5)
    assert not world.feed()
