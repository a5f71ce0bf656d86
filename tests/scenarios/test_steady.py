"""Whole polls, decided twice: as a bot decides them that remembers the last one, and with every alert stepped.

Whatever happens, both decide the same. Nothing else may depend on what is remembered between two turns.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from alertbot import poll
from alertbot.alerts.alert import Alert
from alertbot.alerts.alerting import Alerting
from alertbot.alerts.silence import Matcher
from alertbot.alerts.standing import Standing
from alertbot.evaluation.past import Past
from alertbot.evaluation.snapshot import Column, Fetched, Presence, Snapshot
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import RuleSet
from alertbot.store import open_alerts
from alertbot.store.sqlite.store import SqliteStore

START = datetime(2026, 3, 2, 7, 58, tzinfo=UTC)  # the office opens two minutes later
EVERY = timedelta(seconds=15)
ALERTING = Alerting(poll_every=EVERY, stale_after=timedelta(seconds=45), flap_rises=2, flap_window=timedelta(minutes=3))

WAIT, WAITING, SLA = "interactionsLongestWaitInQueue.rt", "interactionsWaitInQueue.rt", "slaPercentage.int-30m"
STATUS, ON_STATUS = "status.rt", "timeOnStatus.rt"
VALUES: dict[str, tuple[float | str | None, ...]] = {  # few, so that most of them stay as they are
    WAIT: (0.0, 30_000.0, 70_000.0, 71_000.0, 130_000.0, None),
    WAITING: (0.0, 2.0, 5.0, 6.0, None),
    SLA: (0.9, 0.7, 0.4, None),
    STATUS: ("OnBreak", "onbreak", "Available", None),
    ON_STATUS: (60_000.0, 1_300_000.0, 1_400_000.0, None),
}
ENTITIES = {Scope.QUEUE: 5, Scope.QUEUE_AGENT: 6}
KEYS = {Scope.QUEUE: (WAIT, WAITING, SLA), Scope.QUEUE_AGENT: (STATUS, ON_STATUS)}

RULES = (
    f"""
  - id: long-wait
    scope: queue
    guard: {WAITING} >= 2
    params: {{warn: 60s, crit: 120s}}
    overrides: [{{match: {{name: "Queue 2"}}, params: {{warn: 20s}}}}]
    warning: {{when: {WAIT} > $warn, for: 30s}}
    critical: {{when: {WAIT} > $crit}}
    clear: {WAIT} < 50s
    keep_firing_for: 30s
    remind: 1m
    escalate: [{{after: 45s, channel: "#managers"}}]
    show: [{SLA}]""",
    f"""
  - id: waiting
    scope: queue
    match: {{name: ["Queue 1", "Queue 2", "Queue 3"]}}
    when: {WAITING} > 4 or {WAIT} > 60s
    no_data: clear
    group_by: rule
    suppressed_by: [sla]""",
    f"""
  - id: sla
    scope: queue
    warning: {{when: {SLA} < 80%}}
    critical: {{when: {SLA} < 50%, for: 20s}}
    no_data: fire
    keep_firing_for: 20s""",
    f"""
  - id: average
    scope: queue
    when: avg({WAITING}, 1m) > 3
    clear: max({WAITING}, 45s) < 5""",
    f"""
  - id: was
    scope: queue
    when: {WAITING} - ago({WAITING}, 30s) > 1 or changes({WAITING}, 1m) >= 3
    shadow: true""",
    f"""
  - id: breaks
    scope: queue
    when: count(agents where {STATUS} == "OnBreak" and {ON_STATUS} > 20m) >= 1
    message: "{{{{ value }}}} on break, {{{{ metric('{WAITING}') }}}} waiting\"""",
    f"""
  - id: on-break
    scope: queue_agent
    warning: {{when: {STATUS} == "OnBreak" and {ON_STATUS} > 20m}}
    group_by: parent
    suppressed_by: [long-wait]""",
    f"""
  - id: office-wait
    scope: queue
    when: {WAIT} > 60s
    during: office""",
    f"""
  - id: silent
    scope: queue
    when: {SLA} is missing
    outside: office""",
)
HOURS = """
hours:
  office: {timezone: UTC, open: {mon-fri: "08:00-08:12"}, grace: {after_open: 1m, before_close: 1m}}
rules:"""


@cache
def rule_set(chosen: tuple[str, ...], version: int) -> RuleSet:
    edited = [text.replace("> 60s", "> 65s").replace("for: 30s", "for: 15s") if version else text for text in chosen]
    return parse_files({"rules.yaml": HOURS + "".join(edited) + "\n"})


def without_values(alert: Alert | None) -> Alert | None:
    if alert is None:
        return None
    return replace(alert, measure=None, shown={}, peak=None, peak_at=None, seen_at=None)


@dataclass
class Day:
    """A bot that remembers, on a database; what happens is drawn from `random`."""

    random: random.Random
    store: SqliteStore
    now: datetime = START
    rules: RuleSet = field(default_factory=lambda: rule_set(RULES, 0))
    memory: poll.Memory = field(default_factory=poll.Memory)
    values: dict[Scope, list[list[float | str | None]]] = field(default_factory=dict)  # by entity
    rows: dict[Scope, list[int]] = field(default_factory=dict)  # the entities that are there, in their order
    names: dict[int, str] = field(default_factory=dict)  # queues that were renamed

    def __post_init__(self) -> None:
        for scope, keys in KEYS.items():
            self.values[scope] = [[self.random.choice(VALUES[key]) for key in keys] for _ in range(ENTITIES[scope])]
            self.rows[scope] = list(range(ENTITIES[scope]))
        self._forget_past()

    def _forget_past(self) -> None:
        self.memory = replace(self.memory, past=Past(EVERY, self.rules.windows()))

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def turn(self) -> None:
        """Time passes, things happen, and the turn is decided twice."""
        self.now += self.random.choice([EVERY] * 12 + [2 * EVERY, 5 * EVERY, timedelta(seconds=-1), -6 * EVERY])
        if self.chance(0.2):
            self.somebody_acts()
        if self.chance(0.06):
            gone = self.random.choice([(), (), (1, 3), (4, 6, 8)])  # no rule goes without those that it suppresses
            chosen = tuple(text for number, text in enumerate(RULES) if number not in gone)
            self.rules = rule_set(chosen, self.random.randint(0, 1))
            self._forget_past()
        fetched = self.fetched() if self.chance(0.92) else None
        tenant = poll.Tenant(
            "acme", self.rules, "#floor", "#ops", alerting=ALERTING, memory=self.memory, record_all=False
        )
        expected = self.everything_stepped(tenant, fetched)
        done = poll.run(tenant, self.store, self.now, fetched)
        assert done.changes == expected.changes
        assert done.notices == expected.notices
        assert done.feed == expected.feed
        assert done.failing == expected.failing == {}
        for change in done.changes:
            if change.only_values:
                assert without_values(change.before) == without_values(change.after)
        self.memory = done.memory
        if done.memory.open is not None:  # what is written is what is remembered
            assert self.store.alerts("acme") == list(done.memory.open.by_key.values())

    def everything_stepped(self, tenant: poll.Tenant, fetched: Fetched | None) -> poll.Turn:
        """What is decided where no step and no verdict is remembered, and every alert is asked whether it is muted."""
        known = open_alerts.current(tenant.memory.open, self.store, "acme", self.now - ALERTING.flap_window)
        asked = replace(known, standing=Standing(known.by_key, known.standing.by_rule, known.by_key))
        memory = poll.Memory(past=tenant.memory.past, open=asked)
        return poll.plan(replace(tenant, memory=memory), self.store, self.now, fetched)

    def somebody_acts(self) -> None:
        alerts = self.store.alerts("acme")
        alert: Alert | None = self.random.choice(alerts) if alerts else None
        if alert is None or alert.id is None or self.chance(0.3):
            term = self.random.choice([("rule", "long-wait"), ("name", "Queue 2"), ("level", "warning")])
            lasts = EVERY * self.random.randint(1, 6)
            begins = self.now + EVERY * self.random.randint(0, 2)
            self.store.silence(Matcher((term,)), begins, begins + lasts, "U1", "", self.now)
        elif self.chance(0.3):
            self.store.resolve(alert.id, "U1", "", self.now)
        elif alert.acked_by is None:
            self.store.acknowledge(alert.id, "U1", "", self.now)
        else:
            self.store.unacknowledge(alert.id, "U1", self.now)

    def fetched(self) -> Fetched:
        snapshots, failures = {}, {}
        for scope in KEYS:
            if self.chance(0.03):
                failures[scope] = "8x8 did not answer"
            else:
                snapshots[scope] = self.snapshot(scope)
        return Fetched(self.now, snapshots, failures)

    def snapshot(self, scope: Scope) -> Snapshot:
        keys, rows = KEYS[scope], self.rows[scope]
        moving = self.random.choice([0.0, 0.0, 0.1, 0.1, 0.5])
        for entity in self.values[scope]:
            for index, key in enumerate(keys):
                if self.chance(moving):
                    entity[index] = self.random.choice(VALUES[key])
        if self.chance(0.1):
            self.random.shuffle(rows)
        if self.chance(0.1) and rows:
            rows.pop(self.random.randrange(len(rows)))
        if self.chance(0.1):
            gone = sorted(set(range(ENTITIES[scope])) - set(rows))
            rows.extend(gone[:2])
        if self.chance(0.02):
            rows.clear()
        if self.chance(0.03):
            self.names[self.random.randrange(3)] = self.random.choice(["Queue 1", "Queue 2", "Renamed"])
        served = [key for key in keys if not self.chance(0.03)]
        columns = {key: self.column(scope, index, rows) for index, key in enumerate(keys) if key in served}
        more: dict[str, tuple[str, ...]] = {}
        if scope is Scope.QUEUE_AGENT:
            more = {
                "parent_ids": tuple(f"q{entity % 3}" for entity in rows),
                "parent_names": tuple(self.queue_name(entity % 3) for entity in rows),
            }
            ids, names = tuple(f"a{entity // 3}" for entity in rows), tuple(f"Agent {entity // 3}" for entity in rows)
        else:
            ids, names = tuple(f"q{entity}" for entity in rows), tuple(self.queue_name(entity) for entity in rows)
        partial = self.chance(0.06)
        problems = ("a page is missing",) if partial else ()
        return Snapshot(scope, self.now, ids, names, columns, complete=not partial, problems=problems, **more)

    def queue_name(self, entity: int) -> str:
        return self.names.get(entity, f"Queue {entity}")

    def column(self, scope: Scope, index: int, rows: Sequence[int]) -> Column:
        values = [self.values[scope][entity][index] for entity in rows]
        presence = np.array([Presence.NULL if each is None else Presence.PRESENT for each in values], dtype=np.uint8)
        if KEYS[scope][index] == STATUS:
            words = np.empty(len(values), dtype=np.object_)
            words[:] = ["" if each is None else each for each in values]
            return Column(words, presence)
        return Column(np.array([np.nan if each is None else each for each in values], dtype=np.float64), presence)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_remembered_changes_no_decision(seed: int) -> None:
    """Values, entities that come, go and move, edits, silences, users, hours, pauses, a clock that is set back."""
    store = SqliteStore(":memory:")
    day = Day(random.Random(seed), store)
    for _ in range(40):
        day.turn()
    store.close()
