"""Delivery under SIGKILL: whole lives of alerts, and a courier that is killed again and again at random moments.

`python -m benchmarks.kills --kills 250 --seed 1`. A separate process delivers to a stand-in Slack that answers late,
loses answers, throttles, refuses edits and archives channels for a while. The process is killed after a random part of
a second, and the next one starts at once on the same database. At the end one is left alive until nothing waits. Then
each notice must be in Slack exactly once, and every message of a card must show its end. The exit status is 1
otherwise.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from alertbot.alerts.alert import Alert, Change, Reason, State
from alertbot.clock import wall_clock
from alertbot.rules.rule import Level
from alertbot.service.courier import Courier
from alertbot.service.process import name_of_poller
from alertbot.service.signal import ThreadSignal
from alertbot.slack.notifier import SlackNotifier
from alertbot.store.sqlite.store import SqliteStore
from benchmarks.settling import compare, settle
from benchmarks.slack_faults import CHANNELS, OPS, misbehave
from tests.slack.slack_server import TOKEN, SlackServer, slack_server
from tests.store.build import begins, firing, line, notice, ops, poll

SETTLE_S = 240.0
_EDIT_REFUSALS = "external_channel_migrating", "channel_not_found", "no_permission"
_ARCHIVES = 0.3


def deliver_until_killed(path: str, api_url: str) -> None:
    """The process that is killed."""
    store = SqliteStore(path)
    courier = Courier(
        store,
        SlackNotifier(TOKEN, api_url=api_url, post_timeout=2, read_timeout=2),
        wall_clock,
        ThreadSignal(),
        threading.Event(),
        claimant=name_of_poller(),
        fallback_channel="#c0",
        ops_channel="#ops",
        timezone="UTC",
    )
    courier.start()
    threading.Event().wait()


class Floor:
    """What polls would decide: alerts that fire, rise, are acknowledged and end, in a random order."""

    def __init__(self, store: SqliteStore, chance: random.Random) -> None:
        self._store, self._chance = store, chance
        self._fired = 0
        self.decided: Counter[str] = Counter()

    def happen(self) -> None:
        """One thing."""
        now, alerts = datetime.now(UTC), self._store.alerts("acme")
        what = self._chance.choice(["fire", "rise", "acknowledge", "end", "ops"])
        if what == "ops":
            told = ops(f"problem {self.decided.total()}", now=now, channel="#ops")
            self._store.add_notices([told])
            self.decided["ops"] += 1
        elif what == "fire" or not alerts:
            self._fired += 1
            alert = replace(firing(str(self._fired)), since={Level.WARNING: now}, fired_at=now, seen_at=now)
            channel = f"#c{self._fired % len(CHANNELS)}"
            self._store.record(poll([begins(alert)], [notice(alert, channel=channel, now=now)], now=now))
            self.decided["card"] += 1
        else:
            self._change(what, self._chance.choice(alerts), now)

    def end_all(self) -> None:
        """Every alert ends."""
        for alert in self._store.alerts("acme"):
            self._change("end", alert, datetime.now(UTC))

    def _change(self, what: str, alert: Alert, now: datetime) -> None:
        if what == "acknowledge":
            assert alert.id is not None
            self._store.acknowledge(alert.id, "U1", "", now)
            return
        if what == "end":
            over = {"state": State.INACTIVE, "ended_at": now, "end_reason": Reason.RESOLVED}
            after, reason = replace(alert, seen_at=now, **over), Reason.RESOLVED  # type: ignore[arg-type]
        elif alert.level is Level.WARNING:
            after = replace(alert, level=Level.CRITICAL, highest=Level.CRITICAL, seen_at=now)
            reason = Reason.LEVEL_UP
        else:
            after, reason = replace(alert, level=Level.WARNING, seen_at=now), Reason.LEVEL_DOWN
        (channel,) = self._store.cards("acme")[alert.key]
        told = line(after, reason, now=now, channel=channel)
        self._store.record(poll([Change(alert, after, reason, "because")], [told], now=now))
        self.decided["line"] += 1


def run(kills: int, seed: int, folder: Path) -> int:
    """Kill so often, settle, and count. The exit status."""
    chance = random.Random(seed)  # a scenario, no secret
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.kills"])
    path = folder / "alertbot.db"
    with slack_server() as slack:
        slack.channels = {**CHANNELS, **OPS}
        slack.clock = time.time
        slack.pause = lambda: chance.random() * 0.15
        store = SqliteStore(path, synchronous="NORMAL")
        floor = Floor(store, chance)
        busy = 0
        for number in range(kills):
            process = context.Process(target=deliver_until_killed, args=[str(path), slack.api_url])
            process.start()
            end = time.monotonic() + 0.05 + chance.random() * 0.6
            calls = len(slack.calls)
            for _ in range(chance.randrange(1, 4)):
                floor.happen()
            if chance.random() < 0.3:
                misbehave(slack, chance, _EDIT_REFUSALS, _ARCHIVES)
            time.sleep(max(0.0, end - time.monotonic()))
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            busy += len(slack.calls) > calls
            if number % 50 == 49:
                print(f"{number + 1} kills, {len(slack.calls)} calls", file=sys.stderr)
        slack.archived.clear()
        floor.end_all()
        slack.faults.clear()
        process = context.Process(target=deliver_until_killed, args=[str(path), slack.api_url])
        process.start()
        left = settle(store, SETTLE_S)
        process.kill()
        process.join()
        return report(store, slack, floor, kills, busy, left)


def report(store: SqliteStore, slack: SlackServer, floor: Floor, kills: int, busy: int, left: Sequence[str]) -> int:
    """Print what stands in Slack against what was decided; 0 when nothing is lost, doubled, out of date or left."""
    found = compare(store, slack)
    stale = found.out_of_date()
    print(
        f"{kills} kills, {busy} of them after a call had begun; {len(slack.calls)} calls; "
        f"decided: {dict(floor.decided)}; {found.notices} notices, {found.messages} messages, "
        f"{len(found.cards)} cards: {len(found.lost)} lost, {len(found.doubled)} doubled, {len(stale)} out of date"
    )
    for what, examples in (
        ("lost", found.lost),
        ("doubled", list(found.doubled)),
        ("out of date", stale),
        ("left", left),
    ):
        for each in examples[:5]:
            print(f"{what}: {each}")
    store.close()
    return 1 if found.lost or found.doubled or stale or left else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=250)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return run(options.kills, options.seed, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
