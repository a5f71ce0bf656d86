"""Two change one alert at once: one documented outcome each, from threads and from processes, on one database.

RACES is the table in docs/operations.md. Whatever is written about an alert is one transaction, so a race is decided by
the order of transactions: each row is tried in that order. Then all of it happens at once, many times: whatever the
order was, the ledger has to be one that some order explains.
"""

from __future__ import annotations

import multiprocessing
import random
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alertbot import poll
from alertbot.alerts.alert import ENDS, Alert, Outcome, Reason
from alertbot.alerts.cards import Posted
from alertbot.alerts.delivery import Claimed, EditCard, PostCard
from alertbot.alerts.silence import Matcher
from alertbot.evaluation.snapshot import Fetched
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Escalation, Level, Remind, Rule, RuleSet
from alertbot.store.records import LedgerEntry, PollRecord, Recorded
from alertbot.store.sqlite.store import SqliteStore
from tests.alerts.kit import NOW, POLL, WAIT, fingerprint, rule, snapshot

ROOT = Path(__file__).parents[2]
FIRES, RISES, ENDED = 70.0, 130.0, 10.0  # seconds that a caller waits
RULE = rule(
    keep_firing_for=timedelta(0),
    channels=dict.fromkeys(Level, ("#a", "#b")),
    remind=Remind(every=POLL, most=POLL),
    escalate=(Escalation(POLL, ("#managers",)), Escalation(2 * POLL, ("#managers",))),
)
EDITED = replace(
    RULE,
    title="Edited",
    levels=(*(replace(each, hold=timedelta(0)) for each in RULE.levels),),
    labels={"edited": "yes"},
)
REMOVED = replace(RULE, id="another")
KEY = fingerprint("q1")


def turn(store: SqliteStore, now: datetime, wait: float | None, of: Rule = RULE) -> poll.Turn:
    """One turn of the tenant; None: without a fetch."""
    tenant = poll.Tenant("acme", RuleSet((of,)), "#floor", "#ops")
    seen = snapshot({WAIT: [wait * 1000, 0]}, at=now) if wait is not None else None
    return poll.run(tenant, store, now, Fetched(now, {Scope.QUEUE: seen}) if seen is not None else None)


# In order

Act = Callable[["Race"], object]


@dataclass
class Race:
    """One alert that fires, and who does what about it."""

    store: SqliteStore
    now: datetime = NOW
    log: list[tuple[Outcome, Alert | None]] = field(default_factory=list)

    @property
    def alert(self) -> Alert:
        found = self.store.alert(1)
        assert found is not None
        return found

    def tick(self) -> datetime:
        self.now += POLL
        return self.now

    @property
    def entries(self) -> list[LedgerEntry]:
        return self.store.notices_of(1)

    def said(self, channel: str = "#a") -> list[Reason]:
        return [entry.notice.reason for entry in self.entries if entry.notice.channel == channel]


def ack(user: str) -> Act:
    return lambda race: race.log.append(race.store.acknowledge(1, user, "", race.tick()))


def unack(user: str) -> Act:
    return lambda race: race.log.append(race.store.unacknowledge(1, user, race.tick()))


def give_back(user: str) -> Act:
    return lambda race: race.log.append(race.store.unacknowledge(1, user, race.tick(), own=True))


def close(user: str) -> Act:
    return lambda race: race.log.append(race.store.resolve(1, user, "stuck", race.tick()))


def silences(user: str) -> Act:
    matcher = Matcher((("rule", RULE.id),))
    return lambda race: race.store.silence(matcher, race.tick(), race.now + timedelta(hours=1), user, "", race.now)


def polls(wait: float | None, of: Rule = RULE) -> Act:
    return lambda race: turn(race.store, race.tick(), wait, of)


class Interrupted(SqliteStore):
    """Something else happens after a poll was decided and before it is recorded, once."""

    meanwhile: Callable[[], object] | None = None

    def record(self, record: PollRecord) -> Recorded:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return super().record(record)


def during_a_poll(wait: float, act: Act, of: Rule = RULE) -> Act:
    """The poll is decided first; the other one writes first."""

    def both(race: Race) -> None:
        assert isinstance(race.store, Interrupted)
        race.store.meanwhile = lambda: act(race)
        done = turn(race.store, race.now + 2 * POLL, wait, of)
        assert done.overtaken == 1

    return both


def learns(outcome: Outcome, **alert: Any) -> Callable[[Race], bool]:
    """The last one's answer, and the alert that it is shown."""

    def told(race: Race) -> bool:
        got, shown = race.log[-1]
        assert got is outcome
        assert shown == race.alert
        return all(getattr(shown, name) == value for name, value in alert.items())

    return told


RACES: dict[tuple[str, str], tuple[Sequence[Act], str, Callable[[Race], bool]]] = {
    ("acknowledge", "acknowledge by another user"): (
        [ack("U1"), ack("U2")],
        "the first user is the owner; the second is shown who that is, and since when",
        learns(Outcome.ALREADY, acked_by="U1", acked_at=NOW + POLL),
    ),
    ("acknowledge", "unacknowledge by another user"): (
        [ack("U1"), unack("U2")],
        "it has no owner; the thread says who gave it back",
        learns(Outcome.DONE, acked_by=None),
    ),
    ("acknowledge", "Give back by another user"): (
        [ack("U1"), give_back("U2")],
        "nothing changes; the second user is shown who has it, and what to type to take it over",
        learns(Outcome.OTHER_OWNER, acked_by="U1", acked_at=NOW + POLL),
    ),
    ("Give back", "Give back"): (
        [ack("U1"), give_back("U1"), give_back("U2")],
        "the second user is shown that it is not acknowledged",
        learns(Outcome.NOT_ACKNOWLEDGED, acked_by=None),
    ),
    ("unacknowledge", "unacknowledge"): (
        [ack("U1"), unack("U1"), unack("U2")],
        "the second user is shown that it is not acknowledged",
        learns(Outcome.NOT_ACKNOWLEDGED, acked_by=None),
    ),
    ("acknowledge", "resolve by another user"): (
        [ack("U1"), close("U2")],
        "it is closed; the card keeps its owner",
        learns(Outcome.DONE, acked_by="U1", closed_by="U2"),
    ),
    ("resolve", "acknowledge"): (
        [close("U1"), ack("U2")],
        "it stays closed; the second is shown who closed it, and when",
        learns(Outcome.ENDED, acked_by=None, closed_by="U1", ended_at=NOW + POLL),
    ),
    ("resolve", "unacknowledge"): (
        [ack("U2"), close("U1"), unack("U2")],
        "it stays closed, and the card keeps its owner; the second is shown who closed it, and when",
        learns(Outcome.ENDED, acked_by="U2", closed_by="U1", ended_at=NOW + 2 * POLL),
    ),
    ("resolve", "resolve by another user"): (
        [close("U1"), close("U2")],
        "closed by the first; the second is shown who closed it, and when",
        learns(Outcome.ENDED, closed_by="U1", ended_at=NOW + POLL),
    ),
    ("a poll that ends it", "acknowledge, unacknowledge or resolve"): (
        [polls(ENDED), ack("U1"), unack("U1"), close("U1")],
        "it stays resolved; the user is shown when it ended",
        learns(Outcome.ENDED, end_reason=Reason.RESOLVED, closed_by="", acked_by=None, ended_at=NOW + POLL),
    ),
    ("acknowledge", "a poll that was decided before"): (
        [during_a_poll(RISES, ack("U1"))],
        "the poll is decided again: a rise or an end is reported, a reminder or an escalation is not",
        lambda race: (
            (race.alert.level, race.alert.acked_by) == (Level.CRITICAL, "U1")
            and race.said() == [Reason.FIRED, Reason.ACKNOWLEDGED, Reason.LEVEL_UP]
            and race.said("#managers") == []
        ),
    ),
    ("resolve", "a poll that was decided before"): (
        [during_a_poll(RISES, close("U1"))],
        "the poll is decided again: nothing more is reported, and it does not begin again",
        lambda race: (
            race.said() == [Reason.FIRED, Reason.CLOSED_BY_HAND]
            and race.store.alerts("acme") == []
            and race.store.latched("acme") == {KEY: 0}
        ),
    ),
    ("resolve", "a poll that would have ended it"): (
        [during_a_poll(ENDED, close("U1"))],
        "closed by the user, once; the poll removes the latch, because the condition was false",
        lambda race: race.said() == [Reason.FIRED, Reason.CLOSED_BY_HAND] and race.store.latched("acme") == {},
    ),
    ("silence", "a poll that was decided before"): (
        [during_a_poll(RISES, silences("U1"))],
        "the poll is decided again: what the silence matches is not reported",
        lambda race: race.alert.level is Level.CRITICAL and Reason.LEVEL_UP not in race.said(),
    ),
    ("silence", "resolve"): (
        [silences("U1"), close("U2")],
        "it is closed; the card and its thread say so",
        lambda race: race.alert.closed_by == "U2" and race.said() == [Reason.FIRED, Reason.CLOSED_BY_HAND],
    ),
    ("a rule is edited", "a poll that began before"): (
        [polls(FIRES), polls(FIRES, EDITED)],
        "the poll uses the rules that it began with, the next one the edited ones; the alert stays the same",
        lambda race: (
            race.alert.about.title == "Edited"
            and race.said() == [Reason.FIRED, Reason.ESCALATED, Reason.REMINDER, Reason.ESCALATED, Reason.REMINDER]
        ),
    ),
    ("resolve", "a poll after the rule was edited"): (
        [close("U1"), polls(FIRES, EDITED)],
        "it stays closed until its condition has been false",
        lambda race: race.store.alerts("acme") == [] and race.store.latched("acme") == {KEY: 0},
    ),
    ("resolve", "a poll after the rule was removed"): (
        [close("U1"), polls(FIRES, REMOVED), polls(FIRES)],
        "closed by the user; a rule with that id that comes back later may fire",
        lambda race: (
            race.said() == [Reason.FIRED, Reason.CLOSED_BY_HAND]
            and [each.id for each in race.store.alerts("acme") if each.key == KEY] != [1]
        ),
    ),
    ("a poll after the rule was removed", "acknowledge or resolve"): (
        [polls(FIRES, REMOVED), ack("U1"), close("U1")],
        "it has ended with its rule; the user is shown when",
        learns(Outcome.ENDED, end_reason=Reason.RULE_REMOVED, closed_by=""),
    ),
}


@pytest.mark.parametrize("race", RACES, ids=" / ".join)
def test_who_wins(race: tuple[str, str], tmp_path: Path) -> None:
    """The outcome in the table, and a ledger without a contradiction."""
    acts, _, holds = RACES[race]
    with closing(Interrupted(tmp_path / "alertbot.db")) as store:
        turn(store, NOW, FIRES)
        state = Race(store)
        for act in acts:
            act(state)
        assert holds(state)
        for channel in ("#a", "#b"):
            assert sum(reason in ENDS for reason in state.said(channel)) <= 1


def test_the_table_is_in_the_documentation() -> None:
    """Word for word, in this order."""
    rows = [f"| {first} | {then} | {outcome} |" for (first, then), (_, outcome, _) in RACES.items()]
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert "| first | then | outcome |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n\n" in page


# All at once

ROLES = ("anna", "bob", "cleo", "poller", "courier")
ROUNDS = 40


@dataclass(frozen=True)
class Said:
    """What one of them did in a round, and what the answer was."""

    who: str
    what: str
    outcome: Outcome
    alert: Alert


def take_part(role: str, store: SqliteStore, number: int, alert_id: int, base: datetime) -> list[Said]:
    """What one of them does in one round, in an order of its own."""
    now, chance = base + POLL, random.Random(f"{role} {number}")
    if role == "poller":
        waits = (RISES, None, ENDED) if number % 2 else (RISES, None, FIRES)
        for index, wait in enumerate(waits, start=1):
            turn(store, base + index * POLL, wait, chance.choice((RULE, EDITED)))
        return []
    if role == "courier":
        for index in range(6):
            deliver(store, now + timedelta(seconds=2 * index))
        return []
    asked: dict[str, Callable[[datetime], tuple[Outcome, Alert | None]]] = {
        "acknowledge": lambda at: store.acknowledge(alert_id, role, "", at),
        "unacknowledge": lambda at: store.unacknowledge(alert_id, role, at),
        "resolve": lambda at: store.resolve(alert_id, role, "", at),
    }
    wishes = ["acknowledge", "unacknowledge"] * 2 + ["resolve"] * (number % 4 != 3)
    chance.shuffle(wishes)
    said = []
    for index, wish in enumerate(wishes):
        outcome, alert = asked[wish](now + timedelta(milliseconds=index))
        assert alert is not None
        said.append(Said(role, wish, outcome, alert))
    return said


def deliver(store: SqliteStore, now: datetime) -> None:
    """Post and edit what is due, as a notifier would that never fails."""
    for due in store.due(now):
        if isinstance(due, EditCard):
            store.edited(due.card, now)
        elif store.claim(due.notice.id, "courier", now, due.intent_at) is Claimed.DONE:
            posted = Posted(due.notice.channel, due.notice.id)
            store.delivered(due.notice.id, posted, due.card.version if isinstance(due, PostCard) else 0, now)


def judge(store: SqliteStore, path: Path, alert_id: int, said: Sequence[Said], still_true: bool) -> None:
    """Whether some order of transactions explains what each was answered, and what the ledger says."""
    alert = store.alert(alert_id)
    assert alert is not None
    with closing(sqlite3.connect(path)) as conn:
        rows = conn.execute(
            "SELECT channel, reason, done_by FROM notices WHERE alert_id = ? ORDER BY rowid", (alert_id,)
        ).fetchall()
    for channel in ("#a", "#b"):
        lines = [(Reason(reason), by) for where, reason, by in rows if where == channel]
        assert lines[0][0] is Reason.FIRED
        owner, last = None, Reason.FIRED
        for reason, by in lines[1:]:
            assert last not in ENDS, "nothing is said about an alert that has ended"
            last = reason
            if reason is Reason.ACKNOWLEDGED:
                assert owner is None
                owner = by
            elif reason is Reason.UNACKNOWLEDGED:
                assert owner is not None
                owner = None
            elif reason in (Reason.REMINDER, Reason.ESCALATED):
                assert owner is None, "an alert that has an owner is neither reminded of nor escalated"
        assert alert.acked_by == owner
        assert alert.end_reason == (last if last in ENDS else None)
        reasons = [reason for reason, _ in lines]
        assert reasons.count(Reason.LEVEL_UP) <= 1
        done = {
            "acknowledge": Reason.ACKNOWLEDGED,
            "unacknowledge": Reason.UNACKNOWLEDGED,
            "resolve": Reason.CLOSED_BY_HAND,
        }
        for what, reason in done.items():
            winners = sorted(each.who for each in said if each.what == what and each.outcome is Outcome.DONE)
            assert winners == sorted(by for each, by in lines if each is reason)
    for each in said:
        match each.outcome:
            case Outcome.ENDED:
                assert (each.alert.ended_at, each.alert.closed_by) == (alert.ended_at, alert.closed_by)
            case Outcome.ALREADY:
                assert each.alert.acked_by in ("anna", "bob", "cleo")
            case Outcome.NOT_ACKNOWLEDGED:
                assert each.alert.acked_by is None
    if alert.closed_by and still_true:
        assert store.latched("acme") == {KEY: 0}
        assert store.alerts("acme") == []


def run_rounds(path: Path, round_of: Callable[[int, int, datetime], list[Said]], rounds: int) -> None:
    """One alert a round, about which all of them do something at once."""
    with closing(SqliteStore(path, synchronous="NORMAL")) as store:
        ends: set[Reason | None] = set()
        for number in range(rounds):
            base = NOW + number * timedelta(minutes=10)
            turn(store, base - POLL, ENDED)
            turn(store, base, FIRES)
            (alert,) = store.alerts("acme")
            assert alert.id is not None
            judge(store, path, alert.id, round_of(number, alert.id, base), still_true=number % 2 == 0)
            deliver(store, base + timedelta(minutes=1))
            over = store.alert(alert.id)
            assert over is not None
            ends.add(over.end_reason)
        assert Reason.CLOSED_BY_HAND in ends


@pytest.mark.parametrize("shared", [True, False], ids=["one store", "a store each"])
def test_all_at_once_in_threads(tmp_path: Path, shared: bool) -> None:
    """Users, a poller whose rules are edited, and a courier, on one connection and on several."""
    path = tmp_path / "alertbot.db"
    with closing(SqliteStore(path, synchronous="NORMAL")) as first, ExitStack() as stack:
        stores = {
            role: first if shared else stack.enter_context(closing(SqliteStore(path, synchronous="NORMAL")))
            for role in ROLES
        }
        start = threading.Barrier(len(ROLES))

        def one(role: str, number: int, alert_id: int, base: datetime) -> list[Said]:
            start.wait(10)
            return take_part(role, stores[role], number, alert_id, base)

        with ThreadPoolExecutor(len(ROLES)) as pool:

            def round_of(number: int, alert_id: int, base: datetime) -> list[Said]:
                parts = [pool.submit(one, role, number, alert_id, base) for role in ROLES]
                return [said for part in parts for said in part.result(60)]

            run_rounds(path, round_of, ROUNDS)


def _process(role: str, path: Path, start: Any, asked: Any, answers: Any) -> None:
    """One of them as a process of its own, until it is asked for nothing more."""
    with closing(SqliteStore(path, synchronous="NORMAL", busy_timeout=30)) as store:
        while (work := asked.get()) is not None:
            start.wait(30)
            try:
                answers.put(take_part(role, store, *work))
            except BaseException as error:
                answers.put(f"{role}: {error!r}")
                raise


def test_all_at_once_in_processes(tmp_path: Path) -> None:
    """The same, each in a process of its own."""
    path = tmp_path / "alertbot.db"
    SqliteStore(path).close()
    spawn = multiprocessing.get_context("spawn")
    start, answers = spawn.Barrier(len(ROLES)), spawn.Queue()
    asked = {role: spawn.Queue() for role in ROLES}
    processes = [spawn.Process(target=_process, args=(role, path, start, asked[role], answers)) for role in ROLES]
    for process in processes:
        process.start()

    def round_of(number: int, alert_id: int, base: datetime) -> list[Said]:
        for queue in asked.values():
            queue.put((number, alert_id, base))
        parts = [answers.get(timeout=60) for _ in ROLES]
        assert [part for part in parts if isinstance(part, str)] == []
        return [said for part in parts for said in part]

    try:
        run_rounds(path, round_of, ROUNDS)
    finally:
        for queue in asked.values():
            queue.put(None)
        for process in processes:
            process.join(30)
            process.kill()
