"""Separate processes that deliver from one database at once, each as the service does it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from alertbot.store.sqlite.store import SqliteStore
from tests.service.bot import environment
from tests.store.build import begins, firing, notice, ops, poll

ROOT = Path(__file__).parents[2]

# Every process reads what is due before any may send, so that all of them begin with the same list.
_DELIVERER = """
import json, sys
from datetime import UTC, datetime, timedelta
from alertbot.notify.deliver import deliver, end_claims_of_gone
from alertbot.service.process import is_gone, name_of_poller
from alertbot.slack.notifier import SlackNotifier
from alertbot.store.sqlite.store import SqliteStore

def clock():
    return datetime.now(UTC)

path, api_url, token = sys.argv[1:]
store, name = SqliteStore(path), name_of_poller()
notifier = SlackNotifier(token, api_url=api_url)
posted = elsewhere = 0
due, end = store.due(clock(), 500), clock() + timedelta(seconds=60)
print("ready", flush=True)
sys.stdin.readline()
while due or (store.totals().waiting and clock() < end):
    end_claims_of_gone(store, name, is_gone, clock())
    report = deliver(due, notifier, store, clock, claimant=name, fallback_channel="C", ops_channel="C")
    posted += report.cards + report.lines + report.ops
    elsewhere += report.claimed_elsewhere
    due = store.due(clock(), 500)
print(json.dumps([posted, elsewhere]))
"""


def fill(path: Path, channels: Sequence[str], size: int) -> set[str]:
    """This many notices, cards and ops alternately, in these channels; returns their ids."""
    now = datetime.now(UTC)
    ids = set()
    with closing(SqliteStore(path)) as store:
        for number in range(size):
            channel = channels[number % len(channels)]
            if number % 3:
                alert = firing(str(number))
                sent = notice(alert, channel=channel, now=now)
                store.record(poll([begins(alert)], [sent], now=now))
            else:
                sent = ops(f"notice {number}", channel=channel, now=now)
                store.add_notices([sent])
            ids.add(sent.id)
    return ids


def deliver_at_once(path: Path, api_url: str, token: str, processes: int = 2) -> tuple[int, int]:
    """Let this many processes deliver what waits, starting together: how many each posted, and left to others."""
    command = [sys.executable, "-c", _DELIVERER, str(path), api_url, token]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment())
        for _ in range(processes)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        results = []
        for process in running:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in running:
            output, _ = process.communicate(timeout=120)
            assert process.returncode == 0
            results.append(tuple(map(int, output.strip("[]\n").split(","))))
    finally:
        for process in running:
            process.kill()
            process.wait(10)
    return sum(posted for posted, _ in results), sum(left for _, left in results)
