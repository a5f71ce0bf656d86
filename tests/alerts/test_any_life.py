"""Any series of polls, rule edits and restarts: the invariants that always hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from alertbot.alerts.alert import ENDS, Alert, Change, Fingerprint, Reason, State
from alertbot.alerts.decide import decide
from alertbot.evaluation.evaluate import Truth
from alertbot.evaluation.explain import truth
from alertbot.evaluation.snapshot import Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.rules.match import Match
from alertbot.rules.rule import Level, NoData, Rule, RuleSet
from tests.alerts import kit
from tests.alerts.kit import NOW, WAIT, WAITING, compare, keep, level, poll, snapshot

ENTITIES = ("q1", "q2", "q3")
RULE_IDS = ("longest-wait", "other")
VALUES = st.sampled_from([None, 0, 30, 60, 61, 100, 130, 500])


@st.composite
def watched(draw: st.DrawFn, rule_id: str) -> Rule:
    """A rule with one to three levels, and random holds and other keys."""
    chosen = draw(st.sets(st.sampled_from(list(Level)), min_size=1))
    levels = [
        level(each, compare(WAIT, ">", draw(st.sampled_from([20, 60, 120]))), draw(st.sampled_from([0, 15, 40])))
        for each in sorted(chosen)
    ]
    return kit.rule(
        *levels,
        id=rule_id,
        match=draw(st.sampled_from([Match(), Match(ids=("q1", "q2")), Match(exclude_names=("Queue 1",))])),
        guard=draw(st.sampled_from([None, compare(WAITING, ">=", 1)])),
        clear=draw(st.sampled_from([None, compare(WAIT, "<", 15)])),
        keep_firing_for=timedelta(seconds=draw(st.sampled_from([0, 0, 20, 60]))),
        no_data=draw(st.sampled_from(list(NoData))),
    )


def restart(alerts: Sequence[Alert]) -> list[Alert]:
    """Alerts as they come back from outside this process: only what was stored."""
    return [_revive(msgspec.json.decode(msgspec.json.encode(_plain(each)), type=dict[str, Any])) for each in alerts]


def _plain(alert: Alert) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(replace(alert, since={}))
    return {**plain, "since": [[int(each), since.isoformat()] for each, since in alert.since.items()]}


def _revive(plain: dict[str, Any]) -> Alert:
    since = msgspec.convert(plain.pop("since"), list[tuple[Level, kit.datetime]])
    alert = msgspec.convert({**plain, "since": {}}, Alert)
    return replace(alert, since=dict(since))


class AnyLife(RuleBasedStateMachine):
    """Polls, failures and edits in any order; a second bot that restarts before each poll sees the same."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.rules: tuple[Rule, ...] = ()
        self.alerts: list[Alert] = []
        self.restarted: list[Alert] = []
        self.cards: dict[Fingerprint, frozenset[str]] = {}

    @initialize(first=watched("longest-wait"))
    def begin(self, first: Rule) -> None:
        self.rules = (first,)

    @rule(which=st.sampled_from(RULE_IDS), data=st.data())
    def edit(self, which: str, data: st.DataObject) -> None:
        """A rule is added or edited."""
        others = tuple(each for each in self.rules if each.id != which)
        self.rules = (*others, data.draw(watched(which)))

    @rule(which=st.sampled_from(RULE_IDS))
    def remove(self, which: str) -> None:
        self.rules = tuple(each for each in self.rules if each.id != which)

    @rule(
        after=st.sampled_from([1, 15, 15, 15, 45, 3600]),
        present=st.lists(st.sampled_from(ENTITIES), unique=True, max_size=3),
        complete=st.booleans(),
        waits=st.lists(VALUES, min_size=3, max_size=3),
        waiting=st.lists(st.sampled_from([None, 0, 5]), min_size=3, max_size=3),
    )
    def look(
        self,
        after: int,
        present: list[str],
        complete: bool,  # hypothesis passes it by name
        waits: list[float | None],
        waiting: list[float | None],
    ) -> None:
        """A poll of the present entities."""
        self.now += timedelta(seconds=after)
        seen = snapshot(
            {WAIT: waits[: len(present)], WAITING: waiting[: len(present)]},
            ids=tuple(present),
            names=[f"Queue {each[1]}" for each in present],
            complete=complete,
        )
        changes = self._poll([seen], frozenset())
        self._check_values(seen, changes)

    @rule(after=st.sampled_from([15, 600]))
    def fail(self, after: int) -> None:
        """A poll without data ends alerts whose rule is gone, and changes nothing else."""
        self.now += timedelta(seconds=after)
        changes = self._poll([], frozenset({Scope.QUEUE}))
        for change in changes:
            assert change.before is not None
            assert change.after.state is State.INACTIVE
            assert change.reason in (None, Reason.RULE_REMOVED, Reason.NOT_COVERED)

    def _poll(self, seen: list[Snapshot], failed: frozenset[Scope]) -> list[Change]:
        before = {alert.key: alert for alert in self.alerts}
        changes = poll(self.alerts, self.rules, seen, self.now, failed)
        assert changes == poll(restart(self.restarted), self.rules, seen, self.now, failed)
        assert len({change.after.key for change in changes}) == len(changes)
        for change in changes:
            self._check(change, before.get(change.after.key))
        notices = decide(changes, RuleSet(self.rules), self.cards, "#default", self.now)
        assert len({notice.id for notice in notices}) == len(notices)
        reported = {change.after.key for change in changes if change.reason is not None}
        assert {notice.alert for notice in notices} == reported  # whatever fired has a card
        for notice in notices:
            assert notice.alert is not None
            if notice.kind == "card":
                self.cards[notice.alert] = self.cards.get(notice.alert, frozenset()) | {notice.channel}
        self.alerts = keep(self.alerts, changes)
        self.restarted = keep(restart(self.restarted), changes)
        self.cards = {key: where for key, where in self.cards.items() if key in {alert.key for alert in self.alerts}}
        return changes

    def _check(self, change: Change, stored: Alert | None) -> None:
        before, after = change.before, change.after
        assert before == stored
        assert after != before
        assert change.why
        was_open = before is not None and before.open
        if change.reason in ENDS:
            assert was_open
            assert (after.state, after.ended_at, after.end_reason) == (State.INACTIVE, self.now, change.reason)
        elif after.state is State.INACTIVE:
            assert not was_open
        if change.reason is Reason.FIRED:
            assert not was_open
            assert (after.state, after.fired_at) == (State.FIRING, self.now)
        if change.reason is Reason.LEVEL_UP:
            assert before is not None
            assert was_open
            assert after.level > before.level
        if change.reason is Reason.LEVEL_DOWN:
            assert before is not None
            assert was_open
            assert after.level < before.level
        if was_open and after.open and change.reason is None:
            assert before is not None
            assert after.level is before.level

    def _check_values(self, seen: Snapshot, changes: list[Change]) -> None:
        """A level without `for` fires in the first poll that finds it true; a level that fires was found true."""
        kept = {alert.key: alert for alert in self.alerts}
        ended = {change.after.key for change in changes if change.reason in ENDS}
        for each in self.rules:
            for row, entity in enumerate(seen.ids):
                key = Fingerprint(kit.TENANT, each.id, Scope.QUEUE, "", entity)
                if key in ended or not _covers(each, entity):
                    continue
                guarded = each.guard is not None and truth(each.guard, each, seen, row) is not Truth.TRUE
                truths = {one.level: truth(one.when, each, seen, row) for one in each.levels}
                if guarded:
                    assert not [change for change in changes if change.after.key == key and change.reason]
                    continue
                alert = kept.get(key)
                for one in each.levels:
                    if truths[one.level] is Truth.TRUE and not one.hold:
                        assert alert is not None
                        assert alert.state is State.FIRING
                        assert alert.level >= one.level
        for change in changes:
            if change.reason in (Reason.FIRED, Reason.LEVEL_UP):
                self._check_fired(change.after, seen)

    def _check_fired(self, alert: Alert, seen: Snapshot) -> None:
        watching = next(each for each in self.rules if each.id == alert.key.rule)
        fired = watching.level(alert.level)
        assert fired is not None
        row = seen.rows.get(("", alert.key.entity_id))
        found = truth(fired.when, watching, seen, row) if row is not None else Truth.UNKNOWN
        assert found is Truth.TRUE or (found is Truth.UNKNOWN and watching.no_data is NoData.FIRE)
        assert self.now - alert.since[alert.level] >= fired.hold

    @invariant()
    def one_alert_an_entity(self) -> None:
        """Never two alerts with the same fingerprint; each alert is consistent."""
        assert len({alert.key for alert in self.alerts}) == len(self.alerts)
        for alert in self.alerts:
            assert alert.state is not State.INACTIVE
            assert (alert.fired_at is not None) is alert.open
            assert (alert.highest is not None) is alert.open
            assert alert.highest is None or alert.highest >= alert.level
            assert alert.state is not State.RECOVERING or alert.recovering_since is not None
            assert alert.missed < 3


def _covers(watching: Rule, entity: str) -> bool:
    match = watching.match
    return (not match.ids or entity in match.ids) and (not match.exclude_names or entity != "q1")


AnyLife.TestCase.settings = settings(
    max_examples=80, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestAnyLife = AnyLife.TestCase
