"""Hours of service at speed: the whole bot under faults, silences, edits of its rules and clock changes.

`python -m benchmarks.soak --hours 2 --speed 20 --seed 1`. The bot runs in a process of its own, with its scheduler, its
threads, HTTP to a simulated 8x8 and to a stand-in Slack, and SQLite on disk with `synchronous=FULL`; only its clock is
`--speed` times as fast. Callers come in waves, 8x8 and Slack fail in every way, users acknowledge and silence alerts,
rule files are edited and broken, and the bot's clock is set forward and back.

At the end all faults stop, and everything that is due is delivered. Then nothing may be lost, doubled or out of date in
Slack, and memory, threads and descriptors must be what they were after a quarter of the time. Otherwise the exit status
is 1.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from alertbot import logs
from alertbot.alerts.silence import Matcher
from alertbot.cli.init import shipped_rules
from alertbot.commands.command import Acknowledge, Asker, CreateSilence
from alertbot.config.settings import Settings
from alertbot.service import heap
from alertbot.service.app import App, build
from alertbot.simulator.actions import Demand, WalkOut
from alertbot.simulator.faults import ApiFault
from alertbot.simulator.server import Simulator, SimulatorOptions, serve
from alertbot.store.records import Totals
from tests.slack import slack_server as fake
from tests.slack.slack_server import TOKEN, SlackServer, slack_server

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
KEY, SECRET = "key-of-8x8-0123456789", "secret-of-8x8-0123456789"
EVENT_EVERY = timedelta(seconds=30)
SAMPLE_EVERY = timedelta(seconds=60)
SETTLE = timedelta(minutes=30)
"""How long what is due may take, once nothing fails any more."""
MAX_GROWTH = 1.05
"""Of memory, from the second quarter of the time to the last."""
BROKEN = "rules:\n  - id: broken\n    scope: queue\n    wen: 1\n"


@dataclass
class SharedClock:
    """The same time in every process of this machine; `step` sets it forward or back in this process alone."""

    speed: float
    began: float  # of time.monotonic
    shift: timedelta = timedelta()

    def __call__(self) -> datetime:
        return START + self.shift + timedelta(seconds=(time.monotonic() - self.began) * self.speed)

    def step(self, by: timedelta) -> None:
        self.shift += by


@dataclass(frozen=True)
class Sample:
    """What the process of the bot holds at one moment. `rss_mb` is its resident memory."""

    rss_mb: float
    threads: int
    descriptors: int
    totals: Totals


def bot(settings: Mapping[str, Any], clock: SharedClock, orders: Connection) -> None:
    """The process of the bot; `orders` are a name and arguments, each answered."""
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115  # until this process ends
    logs.configure()
    heap.limit_arenas()  # as `run` does
    app = build(Settings.model_validate(settings), clock=clock, speed=clock.speed)
    app.take_lease()
    app.listen()
    app.start()
    heap.settle()
    carry: dict[str, Callable[..., Any]] = {
        "sample": lambda: _sample(app),
        "acknowledge": partial(_acknowledge, app),
        "silence": partial(_silence, app),
        "step": clock.step,
        "reload": app.reload_at_once,
        "finish": partial(_finish, app),
    }
    while True:
        name, *args = orders.recv()
        if name == "stop":
            orders.send(app.stop())
            return
        orders.send(carry[name](*args))


def _sample(app: App) -> Sample:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Sample(
        pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        threading.active_count(),
        len(os.listdir("/proc/self/fd")),
        app.store.totals(),
    )


def _acknowledge(app: App) -> None:
    opened = [alert for alert in app.store.alerts() if alert.open and alert.id is not None and alert.acked_by is None]
    for alert in opened[:1]:
        assert alert.id is not None
        app.change(Acknowledge(alert.id, "on it"), Asker("U1"), app.clock())


def _finish(app: App) -> None:
    """Poll no more, and deliver what is left."""
    app.rest()
    app.courier.deliver_all(max_wait=60)


def _silence(app: App, name: str, lasts: timedelta) -> None:
    now = app.clock()
    app.change(CreateSilence(Matcher((("name", name),)), now, now + lasts, "soak"), Asker("U1"), now)


@dataclass
class World:
    """Everything around the bot, and what happens to it. `happened` counts it by kind."""

    sim: Simulator
    slack: SlackServer
    rules: Path
    clock: SharedClock
    orders: Connection
    chance: random.Random
    happened: Counter[str] = field(default_factory=Counter)
    until: list[tuple[datetime, Callable[[], object]]] = field(default_factory=list)

    def order(self, name: str, *args: object) -> Any:
        """Let the bot do something."""
        self.orders.send((name, *args))
        return self.orders.recv()

    def happen(self) -> None:
        """One thing, at random."""
        kinds = ("callers", "break", "8x8", "slack", "outage", "archived", "acknowledge", "silence", "rules", "clock")
        kind = self.chance.choices(kinds, (30, 15, 5, 25, 1, 2, 8, 6, 4, 2))[0]
        self.happened[kind] += 1
        now = self.clock()
        seconds = partial(timedelta, seconds=self.chance.randrange(20, 180))
        queue = f"#{self.chance.randrange(1, 13)}"
        match kind:
            case "callers":
                self.sim.centre.schedule(Demand(queue, self.chance.choice((10.0, 25.0, 40.0)), seconds()))
            case "break":
                self.sim.centre.schedule(WalkOut(queue, share=self.chance.choice((0.5, 1.0)), lasting=seconds()))
            case "8x8":
                self.sim.faults.add(self._fault(now, now + seconds()))
            case "slack":
                posts = (fake.DROP_AFTER, fake.DROP_BEFORE, fake.SERVER_ERROR_AFTER, fake.limited("1"), fake.HTML)
                self.slack.next("chat.postMessage", self.chance.choice(posts))
                self.slack.next("chat.update", self.chance.choice((*posts, fake.refused("fatal_error"))))
            case "outage":
                self._slack_is_down(now + 3 * seconds())
            case "archived":
                self.slack.archived.add(self.slack.channels["cc-alerts"])
                self.until.append((now + seconds(), self.slack.archived.clear))
            case "acknowledge":
                self.order("acknowledge")
            case "silence":
                self.order("silence", self.chance.choice(("*a*", "*e*", "*")), seconds())
            case "rules":
                self._edit_rules(now + seconds())
            case "clock":
                step = timedelta(seconds=self.chance.choice((-45, -5, 5, 300)))
                self.order("step", step)

    def _fault(self, now: datetime, until: datetime) -> ApiFault:
        kind = self.chance.choice(("status", "status", "slow", "revoke", "malformed", "frozen", "empty"))
        body = self.chance.choice(("html", "truncated", "nan", "missing_keys")) if kind == "malformed" else "message"
        again = self.chance.choice((None, 5.0))
        return ApiFault(kind, start=now, until=until, retry_after=again, delay_s=0.2, body=body)

    def _slack_is_down(self, until: datetime) -> None:
        for method in ("chat.postMessage", "chat.update", "auth.test", "conversations.history"):
            for channel in ("", *self.slack.channels.values()):
                self.slack.always[method, channel] = fake.SERVER_ERROR
        self.until.append((until, self.slack.always.clear))

    def _edit_rules(self, until: datetime) -> None:
        changed = self.rules / "soak.yaml"
        changed.write_text(BROKEN if self.chance.random() < 0.3 else _extra_rule(self.chance.randrange(1, 6)))
        self.until.append((until, partial(changed.write_text, _extra_rule(3))))
        self.order("reload")

    def heal(self, now: datetime | None = None) -> None:
        """End what is over by now; without `now` all of it, and everything else that fails."""
        due = [each for each in self.until if now is None or each[0] <= now]
        self.until = [each for each in self.until if each not in due]
        for _, end in due:
            end()
        if now is None:
            self.sim.faults.clear()
            self.slack.faults.clear()


def _extra_rule(callers: int) -> str:
    return (
        f"rules:\n  - id: soak\n    title: Callers wait\n    scope: queue\n"
        f"    warning: {{when: interactionsWaitInQueue.rt > {callers}}}\n"
        f"    critical: {{when: interactionsWaitInQueue.rt > {3 * callers}, for: 30s}}\n    remind: 5m\n"
    )


def run(lasts: timedelta, speed: float, seed: int, folder: Path) -> int:
    """Serve for this long, settle, and compare. The exit status."""
    rules = folder / "rules"
    rules.mkdir()
    for source in shipped_rules().glob("*.yaml"):
        (rules / source.name).write_bytes(source.read_bytes())
    (rules / "soak.yaml").write_text(_extra_rule(3))
    clock = SharedClock(speed, time.monotonic())
    options = SimulatorOptions(seed=seed, clock=clock, start=START, busy_now=True, api_key=KEY, api_secret=SECRET)
    context = multiprocessing.get_context("spawn")
    with serve(options) as sim, slack_server() as slack:
        sim.centre  # noqa: B018  # made now, so that the first poll does not wait for it
        slack.clock = lambda: clock().timestamp()
        mine, theirs = context.Pipe()
        process = context.Process(target=bot, args=[_settings(sim, slack, folder), clock, theirs], daemon=True)
        process.start()
        world = World(sim, slack, rules, clock, mine, random.Random(seed))
        samples = _serve(world, clock() + lasts)
        world.heal()
        settled = _settle(world)
        samples.append(world.order("sample"))
        world.order("finish")
        world.order("stop")
        process.join(30)
        return report(samples, world, settled, _compare(folder / "alertbot.db", slack))


def _settings(sim: Simulator, slack: SlackServer, folder: Path) -> dict[str, Any]:
    tenant = {
        "name": "acme",
        "base_url": sim.base_url,
        "token_url": sim.token_url,
        "api_key": KEY,
        "api_secret": SECRET,
        "max_requests_per_minute": 600,
    }
    channels = {"default_channel": "#cc-alerts", "ops_channel": "#cc-ops"}
    return {
        "tenants": [tenant],
        "slack": {**channels, "bot_token": TOKEN, "api_url": slack.api_url},
        "http": {"port": 0},
        "rules": "rules/",
        "folder": folder,
    }


def _serve(world: World, end: datetime) -> list[Sample]:
    samples: list[Sample] = []
    event_at = sample_at = world.clock()
    while (now := world.clock()) < end:
        world.heal(now)
        if now >= event_at:
            world.happen()
            event_at = now + EVENT_EVERY
        if now >= sample_at:
            samples.append(world.order("sample"))
            sample_at = now + SAMPLE_EVERY
        time.sleep(0.05)
    return samples


def _settle(world: World) -> bool:
    """Wait until nothing waits to be delivered: three times in a row, since the polls go on."""
    end, quiet = world.clock() + SETTLE, 0
    while world.clock() < end and quiet < 3:
        quiet = quiet + 1 if world.order("sample").totals.waiting == 0 else 0
        time.sleep(0.3)
    return quiet == 3


@dataclass(frozen=True)
class Compared:
    """What stands in Slack against what was decided."""

    notices: int
    messages: int
    lost: Sequence[str]
    doubled: Sequence[str]
    stale: Sequence[str]


def _compare(path: Path, slack: SlackServer) -> Compared:
    """The bot has stopped, so cards that only wait for their refresh are as old as `slack.refresh` allows."""
    with closing(sqlite3.connect(path)) as conn:
        notices = conn.execute("SELECT id, state, reason, error, lead FROM notices").fetchall()
        cards = conn.execute(
            "SELECT posted_channel_id, posted_ts, ended_at IS NOT NULL FROM cards "
            "WHERE state = 'posted' AND group_key NOT LIKE 'escalation%'"
        ).fetchall()
    messages = [message for stored in slack.messages.values() for message in stored]
    stands = Counter(message["metadata"]["event_payload"]["notice_id"] for message in messages)
    lost = [f"{reason}: {state} {error}" for _, state, reason, error, _ in notices if state in ("waiting", "given_up")]
    carried = [(lead or id, state, reason) for id, state, reason, _, lead in notices]
    lost += [f"{reason}: not in Slack" for id, state, reason in carried if state == "delivered" and not stands[id]]
    texts = {(channel, message["ts"]): message["text"] for channel, all in slack.messages.items() for message in all}
    shown = [(texts.get((channel, ts), "no message"), bool(ended)) for channel, ts, ended in cards]
    stale = [text for text, ended in shown if ("Resolved" in text) is not ended]
    return Compared(len(notices), len(messages), lost, [id for id, times in stands.items() if times > 1], stale)


def report(samples: Sequence[Sample], world: World, settled: bool, compared: Compared) -> int:
    """Print the figures; 0 when all is as promised."""
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter] or samples, samples[-quarter or -1 :]
    rss = [sum(each.rss_mb for each in part) / len(part) for part in (early, late)]
    totals = samples[-1].totals
    threads = [max(each.threads for each in part) for part in (early, late)]
    files = [max(each.descriptors for each in part) for part in (early, late)]
    course = " ".join(f"{each.rss_mb:.0f}" for each in samples[:: max(1, len(samples) // 24)])
    print(f"what happened: {dict(sorted(world.happened.items()))}")
    print(
        f"{totals.polls} polls, {totals.fired} alerts fired, {totals.resolved} resolved, {totals.cards_posted} cards, "
        f"{totals.lines_posted} lines, {totals.edits} edits; {len(world.slack.calls)} calls of Slack"
    )
    print(f"memory {rss[0]:.1f} then {rss[1]:.1f} MB, threads {threads}, descriptors {files} (2nd and last quarter)")
    print(f"memory over time: {course}")
    print(
        f"{compared.notices} notices, {compared.messages} messages: {len(compared.lost)} lost, "
        f"{len(compared.doubled)} doubled, {len(compared.stale)} out of date{'' if settled else '; never settled'}"
    )
    for what in (*compared.lost[:5], *compared.doubled[:5], *compared.stale[:5]):
        print(f"  {what}")
    flat = rss[1] <= rss[0] * MAX_GROWTH and all(last <= first + 4 for first, last in (threads, files))
    good = settled and not (compared.lost or compared.doubled or compared.stale)
    return 0 if good and flat else 1


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--speed", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        return run(timedelta(hours=options.hours), options.speed, options.seed, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
