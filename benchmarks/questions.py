"""What a question costs: what is read from the database for it, and how long the answer takes.

    python -m benchmarks.questions [--tenants 200] [--queues 50] [--agents 100]

Tenants in one SQLite file, each with two snapshots of twelve keys, five open alerts and the shipped rules. Every
question is answered as the running bot answers it (rules in memory) and as `alertbot ask` does (rules read from the
database). Exits with 1 where `help` reads anything, or `status` reads a snapshot or takes longer than LIMIT_MS.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np

from alertbot.alerts.alert import About, Alert, Change, Fingerprint, Reason, State
from alertbot.cli.ask import pasts_of
from alertbot.cli.init import shipped_rules
from alertbot.commands.answers import answer
from alertbot.commands.command import Asker
from alertbot.commands.parse import parse
from alertbot.config.settings import Settings
from alertbot.evaluation.snapshot import Column, Snapshot
from alertbot.feed.health import Feed
from alertbot.rulefiles.on_disk import read_disk
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level
from alertbot.service.of_settings import parser, rule_paths
from alertbot.service.running_rules import rules_that_run
from alertbot.service.views import make_view
from alertbot.store.records import PollRecord, RunningRules
from alertbot.store.roles import Store
from alertbot.store.sqlite.store import SqliteStore
from benchmarks.recording import KEYS

NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
OPEN_ALERTS = 5  # of each tenant
LIMIT_MS = 100.0  # for `status` in the running bot
QUESTIONS = ("help", "status", "queue tenant-7/Queue 7", "why longest-wait tenant-7/Queue 7", "ack 7")
ASKER = Asker("U012BENCH")


@dataclass(frozen=True)
class Asked:
    """One question: store calls and rows (a snapshot is a row), and the time of the answer."""

    text: str
    calls: int
    rows: int
    snapshots: int
    bot_ms: float
    ask_ms: float

    def __str__(self) -> str:
        return (
            f"{self.text.partition(' ')[0]:<7} {self.calls:>5} calls {self.rows:>6} rows {self.snapshots:>5} snapshots "
            f"{self.bot_ms:8.2f} ms in the bot {self.ask_ms:8.1f} ms in ask"
        )


class CountingStore:
    """A store that counts its calls and the rows that come back."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.counts: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name == "names":  # reads nothing where names are shown in full
            return method

        def call(*args: Any) -> Any:
            result = method(*args)
            rows = len(result) if isinstance(result, list | dict) else 1
            self.counts.update(calls=1, rows=rows, snapshots=rows if name == "latest" else 0)
            return result

        return call


def fill(store: SqliteStore, tenants: int, queues: int, agents: int) -> Settings:
    """The database as a poll of every tenant leaves it, and the settings that go with it."""
    disk = read_disk(shipped_rules())
    names = [f"tenant-{number}" for number in range(tenants)]
    sizes = {Scope.QUEUE: queues, Scope.AGENT: agents}
    snapshots = {scope: _snapshot(scope, size) for scope, size in sizes.items()}
    for name in names:
        changes = [_fires(name, number) for number in range(OPEN_ALERTS)]
        store.record(PollRecord(name, NOW, Feed(name, NOW, NOW), changes, snapshots=snapshots))
    store.set_running([RunningRules(name, disk.digest, NOW, disk.rules) for name in names])
    return Settings.model_validate(
        {
            "tenants": [{"name": name, "region": "us", "api_key": "k", "api_secret": "s"} for name in names],
            "slack": {"bot_token": "xoxb-1", "default_channel": "#cc-alerts"},
            "rules": str(shipped_rules()),
        }
    )


def _snapshot(scope: Scope, size: int) -> Snapshot:
    random = np.random.default_rng(8)
    columns = {key: Column(random.uniform(0, 1e5, size), np.zeros(size, dtype=np.uint8)) for key in KEYS}
    noun = scope.value.capitalize()
    return Snapshot(scope, NOW, tuple(map(str, range(size))), tuple(f"{noun} {i}" for i in range(size)), columns)


def _fires(tenant: str, number: int) -> Change:
    alert = Alert(
        Fingerprint(tenant, "longest-wait", Scope.QUEUE, "", str(number)),
        f"Queue {number}",
        About("Longest wait in queue", "interactionsLongestWaitInQueue.rt > 60s"),
        State.FIRING,
        Level.WARNING,
        {Level.WARNING: NOW},
        fired_at=NOW,
    )
    return Change(None, alert, Reason.FIRED, "it fires")


def measure(store: SqliteStore, settings: Settings, text: str, rounds: int = 7) -> Asked:
    """One question, the median of some rounds."""
    counting = CountingStore(store)
    command = parse(text)
    live = rules_that_run(rule_paths(settings), store, parser(settings))

    def in_the_bot(source: Store) -> None:
        view = make_view(command, settings, source, NOW + timedelta(seconds=9), rules=lambda: live, pasts=lambda _: {})
        answer(view, command, ASKER, NOW)

    def in_ask() -> None:
        view = make_view(
            command,
            settings,
            store,
            NOW + timedelta(seconds=9),
            rules=lambda: rules_that_run(rule_paths(settings), store, parser(settings)),
            pasts=lambda rules: pasts_of(settings, store, rules, NOW),
        )
        answer(view, command, ASKER, NOW)

    in_the_bot(cast(Store, counting))
    times: dict[str, list[float]] = {"bot": [], "ask": []}
    for _ in range(rounds):
        begun = time.perf_counter()
        in_the_bot(store)
        asked = time.perf_counter()
        in_ask()
        times["bot"].append(asked - begun)
        times["ask"].append(time.perf_counter() - asked)
    bot, ask = (1000 * statistics.median(times[way]) for way in ("bot", "ask"))
    counts = counting.counts
    return Asked(text, counts["calls"], counts["rows"], counts["snapshots"], bot, ask)


def main(argv: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--tenants", type=int, default=200)
    options.add_argument("--queues", type=int, default=50)
    options.add_argument("--agents", type=int, default=100)
    args = options.parse_args(argv)
    with (
        tempfile.TemporaryDirectory(prefix="alertbot-questions-") as folder,
        closing(SqliteStore(Path(folder) / "alertbot.db", synchronous="NORMAL")) as store,
    ):
        settings = fill(store, args.tenants, args.queues, args.agents)
        results = {text: measure(store, settings, text) for text in QUESTIONS}
    print("\n".join(map(str, results.values())))
    status = results["status"]
    return 1 if results["help"].calls or status.snapshots or status.bot_ms > LIMIT_MS else 0


if __name__ == "__main__":
    sys.exit(main())
