"""Random kills of workers for benchmarks.fleet, and what became of alerts and notices in the end.

Theory. The values of the 8x8 are known, polls are recorded, and Slack keeps what it got. So all is counted twice:

- alerts against the recorded polls of their queue: each alert must begin with the poll that first saw the queue over
  the limit, and end with the first that did not. That is exact, whichever worker polled, and whenever;
- rises of the 8x8 against polls and alerts: each that a poll saw is one alert. A rise that no poll saw is
  counted separately: its tenant was not polled for half a minute, which has to show as a late takeover as well;
- notices of the ledger against messages in Slack (settling.py);
- polls against events (fleet_counts.py: `polled_again`).
"""

from __future__ import annotations

import json
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from alertbot.alerts.audit import AuditKind
from alertbot.rules.catalogue import Scope
from alertbot.store.postgres.store import PostgresStore
from benchmarks.fleet_counts import Again, Event, Seen, count_rises, longest_gap, polled_again, wrong_alerts
from benchmarks.fleet_site import WAIT_KEY, Polls, Site, site, wait_until
from benchmarks.settling import Message, compare, settle
from benchmarks.slack_faults import misbehave

AGAIN_WITHIN_S = 15.0
WORKERS = 3
_SETTLE_S = 900.0
"""What Slack refused is retried after 5 minutes at the latest, and Slack gets at most 46 edits a minute."""
_START_S = 90.0
_EDIT_REFUSALS = "external_channel_migrating", "no_permission"
_ARCHIVES = 0.2
_WINDOW_S = 3.0
"""A post that a paused worker had prepared arrives within this time after it continued."""
_SHOWN = 5
"""Examples of each kind of failure, with their details."""


@dataclass
class Kills:
    """What came of the rounds."""

    rounds: int
    seed: int
    seconds: float
    events: dict[str, int] = field(default_factory=dict)
    again_s: dict[str, list[float]] = field(default_factory=dict)
    """By kind of event, for each: until every tenant that it hit was polled again."""
    longest_gap_s: float = 0.0  # between two polls of a tenant, whatever happened in it
    rises: int = 0  # that began and ended while workers were killed
    one_alert: int = 0  # of these
    joined: int = 0  # of these, in one alert with the rise before: no poll fell between them
    polls: int = 0  # recorded
    alerts: int = 0
    notices: int = 0
    messages: int = 0
    calls: int = 0
    late: list[str] = field(default_factory=list)  # events after which a tenant was polled too late
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    paused: int = 0  # doubled by a worker that was paused
    paused_open: list[str] = field(default_factory=list)  # of these, what the auditor did not close
    out_of_date: list[str] = field(default_factory=list)
    not_alerted: list[str] = field(default_factory=list)  # rises that polls saw, without an alert or with several
    wrong_alerts: list[str] = field(default_factory=list)  # that do not begin and end with the polls that saw it
    unseen: list[str] = field(default_factory=list)  # rises that no poll saw
    refused_by_slack: int = 0  # more than one post a second in a channel
    logged: dict[str, int] = field(default_factory=dict)  # warnings and errors of the workers
    tracebacks: list[str] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)  # what had not ended in time
    settled_after_s: float = 0.0
    connections: int = 0  # to PostgreSQL at the end
    details: list[str] = field(default_factory=list)  # of failures

    _FAILURES = (
        *("lost", "doubled", "paused_open", "out_of_date", "not_alerted", "wrong_alerts", "tracebacks"),
        *("unsettled", "late"),
    )

    @property
    def good(self) -> bool:
        """Whether nothing is lost, doubled, wrong or late."""
        return not any(getattr(self, what) for what in self._FAILURES)

    @property
    def exact(self) -> bool:
        """Whether nothing is lost, doubled or wrong, however late tenants were polled again."""
        return not any(getattr(self, what) for what in self._FAILURES if what != "late")

    def lines(self) -> list[str]:
        """What is printed."""
        found = [
            f"{self.rounds} rounds (seed {self.seed}) in {self.seconds:.0f} s: {_counts(self.events)}; settled "
            f"{self.settled_after_s:.0f} s later",
            f"{self.polls} polls, {self.alerts} alerts: {len(self.wrong_alerts)} that do not begin and end as the "
            "polls saw it",
            f"{self.rises} rises of the 8x8: {self.one_alert} are one alert, {self.joined} are one with the rise "
            f"before (no poll fell between them), {len(self.unseen)} were seen by no poll, {len(self.not_alerted)} "
            "are wrong",
            f"{self.notices} notices, {self.messages} messages, {self.calls} calls of Slack: {len(self.lost)} lost, "
            f"{len(self.doubled)} doubled, {len(self.out_of_date)} cards out of date",
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
        for what in (*self._FAILURES, "unseen"):
            found += [f"{what}: {each}" for each in getattr(self, what)[:_SHOWN]]
        return [*found, *self.details]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{times} x {what}" for what, times in sorted(counts.items()))


class Trouble:
    """What happens to the workers, at random. At worst it leaves one of them alive."""

    def __init__(self, made: Site, chance: random.Random, longest_pause: float = 30.0) -> None:
        self._site, self._chance, self._longest = made, chance, longest_pause
        self.events: list[Event] = []
        self._paused: dict[str, float] = {}  # until when, by name

    def happen(self) -> None:
        """One event. Workers whose pause has ended continue, and a missing one is started."""
        self.resume()
        whole = [name for name in self._site.running if name not in self._paused]
        kinds = ["SIGKILL"] * 3 + ["SIGSTOP"] * 3 + ["SIGTERM"] * 2 + ["PostgreSQL restart"]
        kind = self._chance.choice(kinds)
        if kind == "PostgreSQL restart":
            how, away = self._chance.choice(["fast", "immediate"]), self._chance.uniform(0.0, 3.0)
            stopped, accepts = self._site.restart_server(how, away)
            self.events.append(Event(kind, stopped, accepts, "", frozenset(self._site.tenants)))
            return
        if len(whole) < 2:
            return
        name = self._chance.choice(whole)
        worker, at = self._site.running[name], time.time()
        if kind == "SIGSTOP":
            worker.send_signal(signal.SIGSTOP)
            self._paused[name] = at + self._chance.uniform(1.0, self._longest)
            self._note(kind, at, name)
            return
        if kind == "SIGKILL":
            worker.kill()
            self._note(kind, at, name)
            self._site.kill(name)
        else:
            self._note(kind, at, name)
            # Once only: a second SIGTERM ends a worker at once.
            threading.Thread(target=self._site.end, args=[name], daemon=True).start()
            wait_until(lambda: name not in self._site.running, 5)
        if self._chance.random() < 0.5:
            time.sleep(self._chance.uniform(0.0, 5.0))
        self._site.start()

    def resume(self, *, all_of_them: bool = False) -> None:
        """Continue the workers whose pause has ended."""
        for name, until in list(self._paused.items()):
            if all_of_them or time.time() >= until:
                del self._paused[name]
                if name in self._site.running:
                    at = time.time()
                    self._site.running[name].send_signal(signal.SIGCONT)
                    self._note("SIGCONT", at, name)

    def wait(self, seconds: float) -> None:
        """Until the next thing happens."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.1)
            self._site.replace_ended()
            self.resume()

    def _note(self, kind: str, at: float, who: str) -> None:
        """An event of a worker. After most signals it does nothing more, so what it holds is read only then."""
        self.events.append(Event(kind, at, at, who, self._site.held_by(who)))


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
    """Rounds of trouble, then quiet until nothing waits; the result. `faults`: the probability of one in Slack."""
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
                    misbehave(made.slack, chance, _EDIT_REFUSALS, _ARCHIVES)
                trouble.wait(chance.uniform(*between))
                if number % 10 == 9:
                    print(f"{number + 1} rounds, {len(made.slack.calls)} calls", file=sys.stderr)
            trouble.resume(all_of_them=True)
            return finish(made, polls, trouble.events, began, rounds=rounds, seed=seed, settle_s=settle_s)
        finally:
            polls.stop()


def finish(
    made: Site,
    polls: Polls,
    events: Sequence[Event],
    began: float,
    *,
    rounds: int,
    seed: int,
    settle_s: float = _SETTLE_S,
) -> Kills:
    """Calm everything, wait until nothing is left to be sent, and count. `began`: when all workers ran."""
    ended = time.time()
    made.replace_ended()
    made.slack.archived.clear()
    made.slack.faults.clear()
    made.waves.calm_from = ended
    unsettled = _settle(made, settle_s)
    quiet = time.time()
    polls.stop()
    found = Kills(rounds=rounds, seed=seed, seconds=ended - began, unsettled=unsettled, settled_after_s=quiet - ended)
    found.events = dict(Counter(event.kind for event in events))
    found.calls = len(made.slack.calls)
    _count(made, found, events, polls, began, quiet)
    return found


def _settle(made: Site, within: float) -> list[str]:
    """Wait until all alerts have ended, and nothing waits for Slack; what is not so in time."""
    time.sleep(3 * made.every)
    store = PostgresStore(made.server.address)
    try:
        left = settle(store, within, lambda: not _open(made))
        if left:
            left += [f"open alert: {each}" for each in _open(made)]
            left.append(f"tenants by worker: {dict(made.shares())}")
        return left
    finally:
        store.close()


def _open(made: Site) -> list[tuple[object, ...]]:
    return made.query("SELECT tenant, entity_id, state, fired_at FROM alertbot.alerts WHERE ended_at IS NULL")


def _count(made: Site, found: Kills, events: Sequence[Event], polls: Polls, began: float, until: float) -> None:
    """Compare what is in the database and in Slack with what should be there."""
    store = PostgresStore(made.server.address)
    try:
        standing = compare(store, made.slack)
        seen = _seen(store, made)
    finally:
        store.close()
    found.notices, found.messages, found.lost = standing.notices, standing.messages, standing.lost
    apart = _doubled(made, found, standing.doubled, [event.at for event in events if event.kind == "SIGCONT"])
    found.out_of_date = standing.out_of_date(apart)

    alerts = _alerts(made)
    found.alerts = sum(map(len, alerts.values()))
    _count_alerts(made, found, seen, alerts, events, polls, began)
    # What the reader of polls did not catch is in the recording.
    for tenant in made.tenants:
        recorded = [at for at, _ in seen[tenant, "0"].polls]
        polls.at[tenant] = sorted({*polls.at[tenant], *recorded})
        found.polls += len(recorded)
    found.longest_gap_s = longest_gap(polls.at)
    for again in sorted(polled_again(events, polls.at, until), key=lambda each: each.event.at):
        found.again_s.setdefault(again.event.kind, []).append(round(again.seconds, 2))
        if again.seconds > AGAIN_WITHIN_S:
            found.late.append(_named(again))
            found.details += _explained(made, events, polls, again)
    lines = made.logged()
    told = Counter(
        f"{line['level']}: {line['event']}" for line in lines if line.get("level") not in ("info", "debug", "unknown")
    )
    found.logged = dict(told.most_common(15))
    found.tracebacks = [json.dumps(line)[:1000] for line in lines if "Traceback" in json.dumps(line)]
    found.refused_by_slack = made.slack.refused
    rows = made.query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
    found.connections = int(str(rows[0][0]))


def _seen(store: PostgresStore, made: Site) -> dict[tuple[str, str], Seen]:
    """What recorded polls saw, by tenant and queue."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {
        (tenant, str(queue)): [] for tenant in made.tenants for queue in range(made.waves.queues)
    }
    first, last = datetime.fromtimestamp(0, UTC), datetime.now(UTC)
    for tenant in made.tenants:
        for poll in store.polls(tenant, first, last, {Scope.QUEUE: frozenset([WAIT_KEY])}):
            snapshot = poll.snapshots.get(Scope.QUEUE)
            if snapshot is None or WAIT_KEY not in snapshot.columns:
                continue
            for queue, value in zip(snapshot.ids, snapshot.columns[WAIT_KEY].values.tolist(), strict=True):
                found[tenant, queue].append((poll.at.timestamp(), float(value)))
    return {key: Seen(polls) for key, polls in found.items()}


def _alerts(made: Site) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """When alerts began and ended, by tenant and queue; infinite for one that is open."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    rows = made.query("SELECT tenant, entity_id, fired_at, ended_at FROM alertbot.alerts WHERE fired_at IS NOT NULL")
    for tenant, queue, *times in rows:
        fired, ended = (datetime.fromisoformat(str(at)).timestamp() if at else float("inf") for at in times)
        found.setdefault((str(tenant), str(queue)), []).append((fired, ended))
    return found


def _count_alerts(
    made: Site,
    found: Kills,
    seen: Mapping[tuple[str, str], Seen],
    alerts: Mapping[tuple[str, str], Sequence[tuple[float, float]]],
    events: Sequence[Event],
    polls: Polls,
    began: float,
) -> None:
    """Alerts against recorded polls, and rises of the 8x8 against both."""
    for (tenant, queue), each in seen.items():
        for wrong in wrong_alerts(each, alerts.get((tenant, queue), ())):
            found.wrong_alerts.append(f"{tenant} queue {queue}: {wrong}")
    rises = made.waves.rises(began, time.time())
    counted = count_rises(rises, seen, alerts)
    found.rises, found.one_alert, found.joined = len(rises), counted.one, counted.joined
    wrong = [(rise, what) for rise, what in counted.wrong]
    found.not_alerted = [f"{rise.tenant} queue {rise.queue} at {rise.began:.1f}: {what}" for rise, what in wrong]
    found.unseen = [f"{rise.tenant} queue {rise.queue} at {rise.began:.1f}" for rise in counted.unseen]
    for rise in [*(rise for rise, _ in wrong), *counted.unseen][:_SHOWN]:
        since, until = rise.began - 40, rise.ended + 10
        values = [f"{at - since:+.1f} s {value:g}" for at, value in seen[rise.tenant, rise.queue].polls]
        found.details += [
            "",
            f"the rise of {rise.tenant} queue {rise.queue}, from +40 s to {rise.ended - since:+.1f} s:",
            f"  values: {values}",
            f"  alerts: {[(a - since, b - since) for a, b in alerts.get((rise.tenant, rise.queue), ())]}",
            *(f"  {each}" for each in _around(made, events, polls, rise.tenant, since, until)),
        ]


def _doubled(
    made: Site, found: Kills, doubled: Mapping[str, list[Message]], continued: Sequence[float]
) -> frozenset[str]:
    """Which notices are in Slack twice because of a worker that was paused; the auditor must close these."""
    apart = frozenset(
        notice
        for notice, each in doubled.items()
        if any(0 <= float(message["ts"]) - at < _WINDOW_S for message in each for at in continued)
    )
    found.doubled = [
        f"{notice} at {', '.join(message['ts'] for message in each)}: {each[0]['text']}"
        for notice, each in doubled.items()
        if notice not in apart
    ]
    found.paused = len(apart)
    audited = made.audit(2) if apart else []
    closed = sum(each.kind is AuditKind.MESSAGE_DUPLICATE and each.repaired for each in audited)
    if closed < len(apart):
        found.paused_open = [f"{notice}: {doubled[notice][0]['text']}" for notice in apart]
    return apart


def _named(again: Again) -> str:
    event = again.event
    return f"{again.tenant}: {again.seconds:.1f} s after {event.kind} of {event.who or 'the server'} at {event.at:.1f}"


def _explained(made: Site, events: Sequence[Event], polls: Polls, again: Again) -> list[str]:
    since, until = again.event.began - 20, again.event.at + again.seconds + 2
    return [
        "",
        f"{_named(again)}, from +{again.event.at - since:.1f} s:",
        *(f"  {each}" for each in _around(made, events, polls, again.tenant, since, until)),
    ]


def _around(made: Site, events: Sequence[Event], polls: Polls, tenant: str, since: float, until: float) -> list[str]:
    """All that happened in a time: events (with * if they hit the tenant), its polls, its owners, and log lines."""
    return [
        *(
            f"{event.began - since:+.1f} s to {event.at - since:+.1f} s {event.kind} {event.who}"
            f"{' *' if tenant in event.tenants else ''}"
            for event in events
            if since <= event.at <= until
        ),
        *polls.near(tenant, since, until),
        *made.said(since, until, frozenset([tenant]))[-60:],
    ]
