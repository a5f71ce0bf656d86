"""How much the database of a typical site grows in a day, from real polls of the simulator.

    python -m benchmarks.growth [--hours 24] [--rushes 36] [--alerts 40]

50 queues, 12 groups and 120 agents, the shipped rules, a poll every 15 s for a whole day, opening hours and night
included, and about `--rushes` rushes of callers spread over the day. The whole bot polls over HTTP and posts to a
stand-in Slack; only its clock is moved by hand. What is counted are the bytes of the pages of each table with its
indexes. The forecast is what the database holds with `--alerts` alerts a day, once `record.keep` and `history` are
full.
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, redirect_stderr
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from alertbot import logs
from alertbot.cli.init import shipped_rules
from alertbot.config.settings import Settings
from alertbot.service.app import App, build
from alertbot.simulator.actions import Demand
from alertbot.simulator.server import Simulator, SimulatorOptions, serve
from tests.simulator.kit import HandClock
from tests.slack.slack_server import TOKEN, slack_server

QUEUES, GROUPS, AGENTS = 50, 12, 120
POLL_EVERY = timedelta(seconds=15)
POLLS_A_DAY = timedelta(days=1) / POLL_EVERY
START = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)  # a Monday
OPEN = range(8, 18)  # hours in which rushes begin
KEY, SECRET = "key-of-8x8-0123456789", "secret-of-8x8-0123456789"
# How the names of the tables begin that hold polls, and those that hold alerts and messages. The rest does not grow.
RECORDING = ("recorded_",)
HISTORY = ("alerts", "cards", "card_", "notices", "channel", "former_", "fallback_")
KEEP_DAYS, HISTORY_DAYS = 8, 90  # the defaults of record.keep and history


@dataclass(frozen=True)
class Measured:
    """`recorded` and `history` are bytes by which these have grown, `fixed` those of all else."""

    polls: int
    fired: int
    messages: int
    recorded: int
    history: int
    fixed: int
    took: float  # seconds

    @property
    def recorded_a_day(self) -> float:
        """Bytes of polls in a day."""
        return self.recorded / self.polls * POLLS_A_DAY

    def full(self, alerts_a_day: float) -> float:
        """Bytes once all that is kept is there."""
        alerts = self.history / max(1, self.fired) * alerts_a_day
        return KEEP_DAYS * self.recorded_a_day + HISTORY_DAYS * alerts + self.fixed


def measure(lasts: timedelta, rushes: int, folder: Path) -> Measured:
    """Serve for this long."""
    rules = folder / "rules"
    rules.mkdir()
    for source in shipped_rules().glob("*.yaml"):
        (rules / source.name).write_bytes(source.read_bytes())
    clock = HandClock(START)
    options = SimulatorOptions(
        queues=QUEUES, groups=GROUPS, agents=AGENTS, clock=clock, start=START, api_key=KEY, api_secret=SECRET
    )
    began = time.perf_counter()
    with serve(options) as sim, slack_server() as slack:
        slack.clock = lambda: clock().timestamp()
        app = build(_settings(sim, slack.api_url, folder), clock=clock)
        try:
            app.take_lease()
            empty = _sizes(folder / "alertbot.db")
            _serve(app, sim, clock, START + lasts, rushes)
            totals = app.store.totals()
        finally:
            app.stop()
    sizes = _sizes(folder / "alertbot.db")
    recorded, history = (
        sum(size - empty.get(name, 0) for name, size in sizes.items() if name.startswith(names))
        for names in (RECORDING, HISTORY)
    )
    fixed = sum(sizes.values()) - recorded - history
    messages = totals.cards_posted + totals.lines_posted
    return Measured(totals.polls, totals.fired, messages, recorded, history, fixed, time.perf_counter() - began)


def _settings(sim: Simulator, slack: str, folder: Path) -> Settings:
    tenant = {
        "name": "acme",
        "base_url": sim.base_url,
        "token_url": sim.token_url,
        "api_key": KEY,
        "api_secret": SECRET,
        "max_requests_per_minute": 6000,
    }
    channels = {"default_channel": "#cc-alerts", "ops_channel": "#cc-ops"}
    return Settings.model_validate(
        {
            "tenants": [tenant],
            "slack": {**channels, "bot_token": TOKEN, "api_url": slack},
            "http": {"port": 0},
            "rules": "rules/",
            "folder": folder,
        }
    )


def _serve(app: App, sim: Simulator, clock: HandClock, end: datetime, rushes: int) -> None:
    chance = random.Random(1)
    share = rushes / (len(OPEN) * timedelta(hours=1) / POLL_EVERY)
    while clock() < end:
        if clock().hour in OPEN and chance.random() < share:
            sim.centre.schedule(Demand(f"#{chance.randrange(1, QUEUES + 1)}", 40.0, timedelta(minutes=6)))
        app.poller.tick(app.tenants[0])
        for _ in range(3):  # a channel takes one message a second
            app.courier.deliver_due()
            clock.forward(seconds=1.5)
        clock.forward(seconds=POLL_EVERY.total_seconds() - 4.5)


def _sizes(path: Path) -> dict[str, int]:
    """Bytes of the pages of each table with its indexes."""
    sizes: dict[str, int] = {}
    with closing(sqlite3.connect(path)) as conn:
        tables = dict(conn.execute("SELECT name, tbl_name FROM sqlite_master"))
        for name, size in conn.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"):
            table = tables.get(name, name)
            sizes[table] = sizes.get(table, 0) + size
    return sizes


def report(found: Measured, alerts: int) -> None:
    """Print the figures."""
    print(
        f"{QUEUES} queues, {GROUPS} groups, {AGENTS} agents, shipped rules: {found.polls} polls, {found.fired} alerts, "
        f"{found.messages} messages, in {found.took:.0f} s"
    )
    print(f"  {found.recorded_a_day / 1e6:>6.1f} MB of recorded polls a day")
    print(f"  {found.history / 1e3 / max(1, found.fired):>6.1f} kB for an alert, with its card and messages")
    print(f"  {found.fixed / 1e6:>6.1f} MB that do not grow")
    print(f"  {found.full(alerts) / 1e6:>6.1f} MB in all with {alerts} alerts a day, once record.keep ({KEEP_DAYS}d)")
    print(f"         and history ({HISTORY_DAYS}d) are full")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--rushes", type=int, default=36, metavar="N", help="of callers, in the day (default: 36)")
    parser.add_argument("--alerts", type=int, default=40, metavar="N", help="a day, for the forecast (default: 40)")
    chosen = parser.parse_args(argv)
    with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere), tempfile.TemporaryDirectory() as folder:
        logs.configure()
        report(measure(timedelta(hours=chosen.hours), chosen.rushes, Path(folder)), chosen.alerts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
