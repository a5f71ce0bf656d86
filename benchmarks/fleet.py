"""Several workers on one PostgreSQL database: under kills, how fast tenants are taken over, and under load.

    python -m benchmarks.fleet kills [--rounds 60] [--seed 1] [--tenants 24]
    python -m benchmarks.fleet takeover [--times 20] [--tenants 60]
    python -m benchmarks.fleet load [--workers 3] [--tenants 1000] [--for 60]

Real processes of `alertbot worker`, a real PostgreSQL, 127.0.0.1 only. `--json FILE` writes the figures as well.

`kills`: three workers get SIGKILL, SIGTERM, SIGSTOP with SIGCONT up to 30 s later, or lose PostgreSQL, at random, while
queues rise above their limits and fall again, and Slack answers late, loses answers, limits and refuses. At the end
each rise must be one alert, each notice must stand in Slack once, and each card must show its end. Exits with 1
otherwise. A notice that stands there twice because a worker was paused between its claim and its request is counted
apart, and must have been closed by the auditor.

`takeover`: how long after a signal every tenant of that worker was polled again, the interval of 5 s included.

`load`: tenants of 50 simulated queues each with the shipped rules, polled every 15 s.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median

from alertbot.alerts.audit import AuditKind
from alertbot.store.postgres.store import PostgresStore
from alertbot.store.records import NoticeState
from benchmarks.fleet_load import Load, measure_load
from benchmarks.fleet_site import CHANNELS, Polls, Site, site, wait_until
from tests.slack import slack_server as fake

AGAIN_WITHIN_S = 15.0
WORKERS = 3
_SETTLE_S = 900.0
"""What Slack refused is tried again after 5 minutes at the latest, and it gets at most 46 edits a minute."""
_START_S = 90.0
_WINDOW_S = 3.0
"""A post that a paused worker had prepared arrives within this time after it continued."""


@dataclass(frozen=True)
class Event:
    """Something that happened to the worker `who`, or to the server; `tenants` it polled. `at`: when polls can go on.

    Times are seconds since 1970.
    """

    kind: str
    at: float
    who: str
    tenants: frozenset[str]


@dataclass
class Kills:
    """What came of the rounds."""

    rounds: int
    seconds: float
    events: dict[str, int]
    again_s: dict[str, list[float]]  # by kind of event, for each: until every tenant that it hit was polled again
    longest_gap_s: float  # between two polls of a tenant, whatever happened in it
    rises: int
    notices: int
    messages: int
    calls: int
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    paused: int = 0  # doubled by a worker that was paused
    paused_open: list[str] = field(default_factory=list)  # of these, what the auditor did not close
    out_of_date: list[str] = field(default_factory=list)
    not_alerted: list[str] = field(default_factory=list)  # rises without an alert, or with several
    refused_by_slack: int = 0  # more than one post a second in a channel
    logged: dict[str, int] = field(default_factory=dict)  # warnings and errors of the workers
    tracebacks: int = 0
    unsettled: list[str] = field(default_factory=list)  # what was not over in time
    settled_after_s: float = 0.0
    connections: int = 0  # to PostgreSQL at the end

    @property
    def late(self) -> list[float]:
        return [each for kind in self.again_s.values() for each in kind if each > AGAIN_WITHIN_S]

    @property
    def good(self) -> bool:
        wrong = (self.lost, self.doubled, self.paused_open, self.out_of_date, self.not_alerted, self.tracebacks)
        return not any(wrong) and not self.unsettled

    def lines(self) -> list[str]:
        found = [
            f"{self.rounds} rounds in {self.seconds:.0f} s: {_counts(self.events)}",
            f"{self.rises} rises, {self.notices} notices, {self.messages} messages, {self.calls} calls of Slack: "
            f"{len(self.lost)} lost, {len(self.doubled)} doubled, {len(self.out_of_date)} cards out of date, "
            f"{len(self.not_alerted)} rises that are not one alert",
            f"doubled by a paused worker: {self.paused}, of which not closed by the auditor: {len(self.paused_open)}",
            f"longest time between two polls of a tenant: {self.longest_gap_s:.1f} s; "
            f"{len(self.late)} events after which a tenant was polled later than {AGAIN_WITHIN_S:g} s",
            f"posts that Slack refused as too many: {self.refused_by_slack}; connections to PostgreSQL at the end: "
            f"{self.connections}",
            "",
            "every tenant polled again after | times | median s | worst s",
        ]
        found += [
            f"{kind} | {len(each)} | {median(each):.1f} | {max(each):.1f}"
            for kind, each in sorted(self.again_s.items())
            if each
        ]
        found += ["", *(f"{times} x {what}" for what, times in self.logged.items())]
        for what in ("lost", "doubled", "paused_open", "out_of_date", "not_alerted"):
            found += [f"{what}: {each}" for each in getattr(self, what)[:5]]
        return found + [f"not settled: {each}" for each in self.unsettled]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{times} x {what}" for what, times in sorted(counts.items()))


class Trouble:
    """What happens to the workers, at random. The worst that it does leaves one of them alive."""

    def __init__(self, made: Site, chance: random.Random, longest_pause: float = 30.0) -> None:
        self._site, self._chance, self._longest = made, chance, longest_pause
        self.events: list[Event] = []
        self._paused: dict[str, float] = {}  # until when, by name

    def happen(self) -> None:
        """One thing. Workers whose pause is over go on, and one that is missing is started."""
        self.go_on()
        whole = [name for name in self._site.running if name not in self._paused]
        kinds = ["SIGKILL"] * 3 + ["SIGSTOP"] * 3 + ["SIGTERM"] * 2 + ["PostgreSQL restart"]
        kind = self._chance.choice(kinds)
        if kind == "PostgreSQL restart":
            self._site.server.stop(self._chance.choice(["fast", "immediate"]))
            time.sleep(self._chance.uniform(0.0, 3.0))
            self._site.server.start()
            self._note(kind, "", frozenset(self._site.tenants))
            return
        if len(whole) < 2:
            return
        name = self._chance.choice(whole)
        tenants = self._site.owned_by(name)
        if kind == "SIGSTOP":
            self._site.running[name].send_signal(signal.SIGSTOP)
            self._paused[name] = time.time() + self._chance.uniform(1.0, self._longest)
            self._note(kind, name, tenants)
            return
        at = time.time()
        if kind == "SIGKILL":
            self._site.kill(name)
        else:
            self._site.running[name].send_signal(signal.SIGTERM)
            threading.Thread(target=self._site.end, args=[name], daemon=True).start()
            wait_until(lambda: name not in self._site.running, 5)
        self.events.append(Event(kind, at, name, tenants))
        if self._chance.random() < 0.5:
            time.sleep(self._chance.uniform(0.0, 5.0))
        self._site.start()

    def go_on(self, *, all_of_them: bool = False) -> None:
        """Let workers whose pause is over go on."""
        for name, until in list(self._paused.items()):
            if all_of_them or time.time() >= until:
                del self._paused[name]
                if name in self._site.running:
                    tenants = self._site.owned_by(name)
                    self._site.running[name].send_signal(signal.SIGCONT)
                    self._note("SIGCONT", name, tenants)

    def wait(self, seconds: float) -> None:
        """Until the next thing happens."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.1)
            self._site.replace_ended()
            self.go_on()

    def _note(self, kind: str, who: str, tenants: frozenset[str]) -> None:
        self.events.append(Event(kind, time.time(), who, tenants))


def misbehave(slack: fake.SlackServer, chance: random.Random) -> None:
    """Something goes wrong in Slack, or with one channel, for a while."""
    faults = [
        fake.DROP_AFTER,
        fake.DROP_BEFORE,
        fake.SERVER_ERROR_AFTER,
        fake.limited("1"),
        fake.refused("service_unavailable"),
    ]
    slack.next("chat.postMessage", chance.choice(faults))
    if chance.random() < 0.5:
        slack.next("chat.update", fake.refused(chance.choice(["external_channel_migrating", "no_permission"])))
    if chance.random() < 0.2:
        channel = f"C{chance.randrange(1, CHANNELS):04}"
        if channel in slack.archived:
            slack.archived.discard(channel)
        else:
            slack.archived.add(channel)


def kills(
    rounds: int,
    seed: int,
    tenants: int,
    folder: Path,
    *,
    between: tuple[float, float] = (3.0, 20.0),
    longest_pause: float = 30.0,
    settle_s: float = _SETTLE_S,
    workers: int = WORKERS,
    period: float = 100.0,
    faults: float = 0.3,
) -> Kills:
    """So many rounds, then peace until nothing waits; what came of it. `faults`: how likely one of Slack is."""
    chance = random.Random(seed)  # a scenario, no secret
    with site(folder, tenants=tenants, period=period) as made:
        made.slack.pause = lambda: random.random() * 0.15
        made.slack.one_a_second = True
        polls = Polls(made)
        try:
            for _ in range(workers):
                made.start()
            began = time.time()
            assert wait_until(lambda: polls.all_after(began, made.tenants), _START_S) is not None, made.log_of("w1")
            began = time.time()
            trouble = Trouble(made, chance, longest_pause)
            for number in range(rounds):
                trouble.happen()
                if chance.random() < faults:
                    misbehave(made.slack, chance)
                trouble.wait(chance.uniform(*between))
                if number % 10 == 9:
                    print(f"{number + 1} rounds, {len(made.slack.calls)} calls", file=sys.stderr)
            trouble.go_on(all_of_them=True)
            troubled = time.time() - began
            made.replace_ended()
            made.slack.archived.clear()
            made.slack.faults.clear()
            made.waves.calm_from = time.time()
            settled = time.monotonic()
            unsettled = _settle(made, settle_s)
            polls.stop()
            found = Kills(
                rounds=rounds,
                seconds=troubled,
                events=dict(Counter(event.kind for event in trouble.events)),
                again_s=_again(trouble.events, polls),
                longest_gap_s=max(later - earlier for each in polls.at.values() for earlier, later in pairwise(each)),
                rises=len(made.waves.rises(began, time.time())),
                notices=0,
                messages=0,
                calls=len(made.slack.calls),
                unsettled=unsettled,
                settled_after_s=time.monotonic() - settled,
                connections=_connections(made),
            )
            _compare(made, found, trouble.events, began, polls)
            return found
        finally:
            polls.stop()


def _settle(made: Site, within: float) -> list[str]:
    """Wait until all alerts have ended, and nothing waits for Slack; what is not so in time."""
    time.sleep(3 * made.every)
    later = timedelta(hours=1)
    store = PostgresStore(made.server.address)

    def quiet() -> bool:
        (opened,) = made.query("SELECT count(*) FROM alertbot.alerts WHERE ended_at IS NULL")[0]
        return not opened and not store.totals().waiting and not store.due(datetime.now(UTC) + later)

    try:
        if wait_until(quiet, within) is not None:
            return []
        opened = made.query("SELECT tenant, entity_id, state FROM alertbot.alerts WHERE ended_at IS NULL")
        return [
            *(f"open alert: {each}" for each in opened),
            *(f"due: {each}"[:300] for each in store.due(datetime.now(UTC) + later)),
            f"{store.totals().waiting} notices wait; workers: {made.shares()}",
        ]
    finally:
        store.close()


def _connections(made: Site) -> int:
    return int(str(made.query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")[0][0]))


def _again(events: Sequence[Event], polls: Polls) -> dict[str, list[float]]:
    """For each event, how long it took until every tenant that it hit was polled again.

    Where another thing happens to a tenant before, it counts for that one.
    """
    found: dict[str, list[float]] = {}
    ordered = sorted(events, key=lambda event: event.at)
    for number, event in enumerate(ordered):
        took = 0.0
        for tenant in event.tenants:
            polled = polls.first_after(tenant, event.at)
            if polled is None:
                continue
            if any(later.at < polled and tenant in later.tenants for later in ordered[number + 1 :]):
                continue
            took = max(took, polled - event.at)
        if took:
            found.setdefault(event.kind, []).append(took)
    return found


def _compare(made: Site, found: Kills, events: Sequence[Event], began: float, polls: Polls) -> None:
    """What stands in Slack and in the database against what should be there."""
    store = PostgresStore(made.server.address)
    try:
        last = int(str(made.query("SELECT COALESCE(max(id), 0) FROM alertbot.alerts")[0][0]))
        plain = store.notices_of(None)
        entries = [*plain, *(entry for number in range(1, last + 1) for entry in store.notices_of(number))]
    finally:
        store.close()
    messages = [message for stored in made.slack.messages.values() for message in stored]
    stands: dict[str, list[dict[str, object]]] = {}
    for message in messages:
        stands.setdefault(str(message["metadata"]["event_payload"]["notice_id"]), []).append(message)
    found.notices, found.messages = len(entries), len(messages)

    shown = (NoticeState.DELIVERED, NoticeState.SHOWN_BY_CARD)
    carrier = {entry.notice.id: entry.notice.lead or entry.notice.id for entry in entries}
    found.lost = [f"{entry.notice.id} {entry.state}" for entry in entries if entry.state not in shown]
    found.lost += [
        f"{entry.notice.id} is in no channel"
        for entry in entries
        if entry.state is NoticeState.DELIVERED and carrier[entry.notice.id] not in stands
    ]

    continued = [event.at for event in events if event.kind == "SIGCONT"]
    doubled = {notice: each for notice, each in stands.items() if len(each) > 1}
    apart = {
        notice
        for notice, each in doubled.items()
        if any(0 <= _posted_at(message) - at < _WINDOW_S for message in each for at in continued)
    }
    found.doubled = [notice for notice in doubled if notice not in apart]
    found.paused = len(apart)
    audited = made.audit(2) if apart else []
    closed = sum(each.kind is AuditKind.MESSAGE_DUPLICATE and each.repaired for each in audited)
    if closed < len(apart):
        found.paused_open = [f"{notice}: {doubled[notice][0]['text']}" for notice in apart]

    operational = {entry.notice.id for entry in plain}
    for message in messages:
        payload = (message.get("metadata") or {}).get("event_payload") or {}
        top = not message.get("thread_ts")
        if top and payload.get("notice_id") not in operational | apart and "Resolved" not in message["text"]:
            found.out_of_date.append(str(message["text"]))

    found.not_alerted = _not_alerted(made, began, events, polls)
    found.refused_by_slack = made.slack.refused
    lines = made.logged()
    told = Counter(
        f"{line['level']}: {line['event']}" for line in lines if line.get("level") not in ("info", "debug", "unknown")
    )
    found.logged = dict(told.most_common(15))
    found.tracebacks = sum("Traceback" in json.dumps(line) for line in lines)


def _posted_at(message: dict[str, object]) -> float:
    return float(str(message["ts"]))


def _not_alerted(made: Site, began: float, events: Sequence[Event], polls: Polls) -> list[str]:
    """Rises that are not exactly one alert, of those that began once all workers ran."""
    alerts: dict[tuple[str, str], list[tuple[float, float]]] = {}
    rows = made.query("SELECT tenant, entity_id, fired_at, ended_at FROM alertbot.alerts WHERE fired_at IS NOT NULL")
    for tenant, entity, fired, ended in rows:
        times = [datetime.fromisoformat(str(at)).timestamp() if at else float("inf") for at in (fired, ended)]
        alerts.setdefault((str(tenant), str(entity)), []).append((times[0], times[1]))
    found = []
    for rise in made.waves.rises(began, time.time()):
        # A turn has the time at which it began: its request may arrive later.
        since, until = rise.began - 10, rise.ended + 1
        fired = [at for at, _ in alerts.get((rise.tenant, rise.queue), []) if since <= at <= until]
        if len(fired) != 1:
            before = [
                f"{event.kind} {event.at - rise.began:+.1f} s"
                for event in events
                if rise.began - 40 < event.at < rise.ended
            ]
            near = [
                f"{begun - rise.began:+.1f} to {over - rise.began:+.1f} s"
                for begun, over in sorted(alerts.get((rise.tenant, rise.queue), []))
                if rise.began - 150 < begun < rise.ended + 100
            ]
            polled = [round(at - rise.began, 1) for at in polls.at[rise.tenant] if -60 < at - rise.began < 110]
            found.append(
                f"{rise.tenant} queue {rise.queue}: {len(fired)} alerts in {rise.ended - rise.began:.0f} s; alerts "
                f"{near}; polls {polled}; {before}"
            )
    return found


@dataclass
class Takeover:
    """Seconds until every tenant of a worker was polled again, by signal."""

    tenants: int
    seconds: dict[str, list[float]]

    def lines(self) -> list[str]:
        found = ["every tenant polled again after | times | median s | worst s"]
        return found + [
            f"{kind} | {len(each)} | {median(each):.1f} | {max(each):.1f}"
            for kind, each in self.seconds.items()
            if each
        ]


def takeover(times: int, tenants: int, folder: Path, workers: int = WORKERS) -> Takeover:
    """Each signal so many times, to a worker that has its share; the others are healthy."""
    found = Takeover(tenants, {"SIGKILL": [], "SIGTERM": [], "SIGSTOP": []})
    with site(folder, tenants=tenants) as made:
        polls = Polls(made)
        try:
            for _ in range(workers):
                made.start()
            for number in range(times * len(found.seconds)):
                wait_until(lambda: _shared(made, workers), 120)
                time.sleep(made.every)
                kind = list(found.seconds)[number % len(found.seconds)]
                name = next(iter(made.running))
                owned = made.owned_by(name)
                at = time.time()
                if kind == "SIGKILL":
                    made.kill(name)
                elif kind == "SIGTERM":
                    made.running[name].send_signal(signal.SIGTERM)
                else:
                    made.running[name].send_signal(signal.SIGSTOP)
                wait_until(lambda at=at, owned=owned: polls.all_after(at, owned), 60)  # type: ignore[misc]
                taken = [polls.first_after(tenant, at) for tenant in owned]
                found.seconds[kind].append(max((each or at + 60) - at for each in taken))
                if kind == "SIGTERM":
                    made.end(name)
                elif kind == "SIGSTOP":
                    made.kill(name)
                made.start()
                print(f"{kind}: {found.seconds[kind][-1]:.1f} s", file=sys.stderr)
        finally:
            polls.stop()
    return found


def _shared(made: Site, workers: int) -> bool:
    """Whether all workers have their shares, and all tenants are owned."""
    shares = made.shares()
    most = -(-len(made.tenants) // workers) + 1
    return len(shares) == workers and sum(shares.values()) == len(made.tenants) and max(shares.values()) <= most


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    commands = parser.add_subparsers(dest="command", required=True)
    under_kills = commands.add_parser("kills")
    under_kills.add_argument("--rounds", type=int, default=60)
    under_kills.add_argument("--seed", type=int, default=1)
    under_kills.add_argument("--tenants", type=int, default=24)
    under_kills.add_argument("--keep", type=Path, metavar="FOLDER", help="keep configuration and logs there")
    taken_over = commands.add_parser("takeover")
    taken_over.add_argument("--times", type=int, default=20)
    taken_over.add_argument("--tenants", type=int, default=60)
    under_load = commands.add_parser("load")
    under_load.add_argument("--workers", type=int, default=WORKERS)
    under_load.add_argument("--tenants", type=int, default=1000)
    under_load.add_argument("--queues", type=int, default=50)
    under_load.add_argument("--every", type=float, default=15.0)
    under_load.add_argument("--for", dest="wall_s", type=float, default=60.0, help="seconds to measure")
    under_load.add_argument("--warm-up", type=float, default=45.0, help="seconds from when all tenants are owned")
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # what was started is killed then too
    with tempfile.TemporaryDirectory(prefix="alertbot-fleet-") as folder:
        where = Path(folder)
        result: Kills | Takeover | Load
        if options.command == "kills":
            if options.keep:
                options.keep.mkdir(parents=True)
                where = options.keep
            result = kills(options.rounds, options.seed, options.tenants, where)
            status = 0 if result.good and not result.late else 1
        elif options.command == "takeover":
            result = takeover(options.times, options.tenants, where)
            status = 0 if all(each <= AGAIN_WITHIN_S for kind in result.seconds.values() for each in kind) else 1
        else:
            result = measure_load(
                where,
                workers=options.workers,
                tenants=options.tenants,
                queues=options.queues,
                every=options.every,
                warm_s=options.warm_up,
                wall_s=options.wall_s,
            )
            status = 0 if result.on_time else 1
    print("\n".join(result.lines()))
    if options.json:
        options.json.write_text(json.dumps(asdict(result), indent=1) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
