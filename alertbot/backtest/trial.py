"""Runs a rule test: its series through the live code path, and the outcome compared with what is expected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from alertbot.alerts.alert import Alert, Change, Fingerprint, Outcome
from alertbot.alerts.alerting import Alerting
from alertbot.alerts.notice import Notice, NoticeKind
from alertbot.backtest.replay import Replay
from alertbot.evaluation.evaluate import Truth, agents_of
from alertbot.evaluation.explain import truth
from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.rulefiles.faults import Place
from alertbot.rulefiles.rule_test import (
    AgentSeries,
    EntitySeries,
    Expectation,
    ExpectedNotice,
    PollRange,
    RuleTest,
    SampleSeries,
)
from alertbot.rulefiles.series import Sample
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.functions import AGENTS_OF
from alertbot.rules.hours import Phase, watches
from alertbot.rules.match import covers
from alertbot.rules.rule import Level, Rule, RuleSet
from alertbot.rules.units import write_duration

Draw = Callable[[Rule, Alert, datetime], str]
"""Draws the card of an alert as plain text, at an instant."""

INACTIVE = "inactive"
_BYSTANDER = EntitySeries("bystander", "Bystander")


@dataclass(frozen=True, slots=True)
class TimelinePoint:
    """One entity after one poll. `samples` are its values by key; `notices` were delivered at this poll."""

    at: timedelta
    entity: EntitySeries
    samples: Mapping[str, Sample]
    state: str
    level: Level | None
    why: str  # of the decision at this poll; "" where nothing was decided
    last_why: str  # of the last decision, at this poll or before
    idle: str  # why the rule decides nothing about the entity at this poll; "" where it can
    notices: tuple[Notice, ...]
    failed: bool = False  # the poll has no data
    gone: bool = False  # the entity is absent from the poll
    alert: Alert | None = None  # as it is, or as it was when it ended at this poll
    has_card: bool = False
    suppressors: tuple[str, ...] = ()  # the other rules that fire for the entity
    done: tuple[str, ...] = ()  # what users did since the poll before, or at the time of this one


@dataclass(frozen=True, slots=True)
class Miss:
    """One thing that was not as expected. `place` is that of the expectation; (0, 0) where there is none."""

    at: timedelta
    entity: EntitySeries | None
    place: Place
    expected: str
    actual: str


@dataclass(frozen=True, slots=True)
class RuleTestResult:
    """The outcome of a test: it passed if there are no misses."""

    test: RuleTest
    timeline: tuple[TimelinePoint, ...]  # poll by poll, entity by entity
    misses: tuple[Miss, ...]

    @property
    def passed(self) -> bool:
        return not self.misses


def run_rule_test(
    test: RuleTest,
    rules: RuleSet,
    *,
    default_channel: str = "#cc-alerts",
    alerting: Alerting | None = None,
    draw: Draw | None = None,
) -> RuleTestResult:
    """Run a test on its rule and on those that suppress it.

    `alerting` as for `Replay`. `draw` is needed for expectations about cards.
    """
    rule = rules.by_id(test.rule)
    assert rule is not None  # parse_tests refuses a test of an unknown rule
    together = replace(rules, rules=tuple(_with_suppressors(rule, rules)))
    replay = Replay(together, poll_every=test.every, tenant="test", default_channel=default_channel, alerting=alerting)
    whys: dict[EntitySeries, str] = {}
    with_card: set[Fingerprint] = set()
    timeline: list[TimelinePoint] = []
    scopes = frozenset(each.scope for each in together.rules)
    owners = _Owners(test, rule.id)
    for index, (at, now) in enumerate(test.times().items()):
        owners.change(replay, until=at)
        failed = _within(test.failed, at)
        snapshots = {} if failed else _snapshots(test, index, at, now)
        step = replay.poll(now, snapshots, scopes if failed else frozenset())
        owners.change(replay, until=at, also=True)
        with_card |= {each.alert for each in step.notices if each.alert and each.kind is NoticeKind.CARD}
        for entity in test.entities:
            key = _key(test, entity, rule.id)
            change = next((each for each in step.changes if each.after.key == key), None)
            if change is not None:
                whys[entity] = change.why
            alert = replay.alerts.get(key)
            timeline.append(
                TimelinePoint(
                    at=at,
                    entity=entity,
                    samples={each.key: each.samples[index] for each in entity.series if index < len(each.samples)},
                    state=str(alert.state) if alert is not None else INACTIVE,
                    level=alert.level if alert is not None else None,
                    why=change.why if change is not None and _is_decision(change) else "",
                    last_why=whys.get(entity, ""),
                    idle=_idle(rule, snapshots, replay, entity, now),
                    notices=tuple(each for each in step.notices if each.alert == key),
                    failed=failed,
                    gone=_within(entity.gone, at),
                    alert=alert or (change.after if change is not None else None),
                    has_card=key in with_card,
                    suppressors=tuple(_others_that_fire(replay, key)),
                    done=tuple(owners.done.pop(entity, ())),
                )
            )
            if alert is None:
                with_card.discard(key)
    misses = [*_state_misses(test, timeline, rule, draw), *_notice_misses(test, timeline), *owners.misses]
    return RuleTestResult(test, tuple(timeline), tuple(sorted(misses, key=lambda miss: miss.at)))


class _Owners:
    """The acknowledgements of a test and their ends, in the order of time; each at its own time."""

    def __init__(self, test: RuleTest, rule_id: str) -> None:
        self._test, self._rule_id = test, rule_id
        both = [*((each, True) for each in test.acks), *((each, False) for each in test.unacks)]
        self._left = sorted(both, key=lambda pair: pair[0].at)
        self.misses: list[Miss] = []
        self.done: dict[EntitySeries, list[str]] = {}

    def change(self, replay: Replay, *, until: timedelta, also: bool = False) -> None:
        """Make the changes before `until`; `also`: those at that time as well."""
        while self._left and (self._left[0][0].at < until or (also and self._left[0][0].at == until)):
            wish, takes = self._left.pop(0)
            key, now = _key(self._test, wish.entity, self._rule_id), self._test.start + wish.at
            outcome, alert = replay.acknowledge(key, wish.by, now) if takes else replay.unacknowledge(key, now)
            if outcome is Outcome.DONE:
                by = f" by {wish.by}" if wish.by else ""
                words = f"{'acknowledged' if takes else 'given back'}{by} at {write_duration(wish.at)}"
                self.done.setdefault(wish.entity, []).append(words)
                continue
            wanted = "an alert to acknowledge" if takes else "an acknowledged alert to give back"
            actual = "no open alert"
            if alert is not None and alert.open:
                actual = f"it is acknowledged by {alert.acked_by}" if alert.acked_by else "it is not acknowledged"
            self.misses.append(Miss(wish.at, wish.entity, wish.place, wanted, actual))


def _with_suppressors(rule: Rule, rules: RuleSet) -> Iterator[Rule]:
    """The rule and its suppressors, and theirs, in the order of the files."""
    wanted = [rule.id]
    for rule_id in wanted:  # grows while it is walked
        known = rules.by_id(rule_id)
        wanted += [other for other in (known.suppressed_by if known is not None else ()) if other not in wanted]
    return (each for each in rules.rules if each.id in wanted)


def _key(test: RuleTest, entity: EntitySeries, rule_id: str) -> Fingerprint:
    return Fingerprint("test", rule_id, test.scope, entity.parent_id, entity.id)


def _is_decision(change: Change) -> bool:
    """Whether the change belongs in a timeline: not where only a value changed."""
    return change.moved or change.reason is not None


def _idle(rule: Rule, snapshots: Mapping[Scope, Snapshot], replay: Replay, entity: EntitySeries, now: datetime) -> str:
    if not covers(rule.match, entity.id, entity.name):
        return "the rule does not cover it"
    phase = watches(rule.during, rule.outside, now)
    if phase is not Phase.OPEN:
        return "outside the hours of the rule" if phase is Phase.CLOSED else "within the grace of its hours"
    snapshot = snapshots.get(rule.scope)
    row = snapshot.rows.get((entity.parent_id, entity.id)) if snapshot is not None else None
    if rule.guard is None or snapshot is None or row is None:
        return ""
    agents = agents_of(snapshot, snapshots)
    guard = truth(rule.guard, rule, snapshot, row, agents=agents, past=replay.past)
    words = {Truth.TRUE: "", Truth.FALSE: "is not true", Truth.UNKNOWN: "is unknown"}[guard]
    return f"the guard {words} ({rule.guard_text})" if words else ""


def _others_that_fire(replay: Replay, key: Fingerprint) -> Iterator[str]:
    for other, alert in replay.alerts.items():
        if other.rule != key.rule and alert.open and (other.parent_id, other.entity_id) == key[3:]:
            yield other.rule


# A poll of the test.


def _within(ranges: Sequence[PollRange], at: timedelta) -> bool:
    return any(each.contains(at) for each in ranges)


def _snapshots(test: RuleTest, index: int, at: timedelta, now: datetime) -> dict[Scope, Snapshot]:
    present = [each for each in test.entities if not _within(each.gone, at)]
    if any(each.gone for each in test.entities):
        # An empty answer does not count as complete at once, so one entity always stays.
        present.append(_BYSTANDER)
    parents = any(each.parent_id for each in test.entities)
    found = {
        test.scope: Snapshot(
            scope=test.scope,
            at=now,
            ids=tuple(each.id for each in present),
            names=tuple(each.name for each in present),
            columns=_columns([each.series for each in present], index),
            parent_ids=tuple(each.parent_id for each in present) if parents else (),
            parent_names=tuple(each.parent_name for each in present) if parents else (),
        )
    }
    scope = AGENTS_OF.get(test.scope)
    if scope is not None and any(each.agents for each in test.entities):
        rows: list[tuple[EntitySeries, AgentSeries]] = [
            (entity, agent) for entity in present for agent in entity.agents
        ]
        found[scope] = Snapshot(
            scope=scope,
            at=now,
            ids=tuple(agent.id for _, agent in rows),
            names=tuple(agent.name for _, agent in rows),
            columns=_columns([agent.series for _, agent in rows], index),
            parent_ids=tuple(entity.id for entity, _ in rows),
            parent_names=tuple(entity.name for entity, _ in rows),
        )
    return found


def _columns(rows: Sequence[tuple[SampleSeries, ...]], index: int) -> dict[str, Column]:
    kinds = {series.key: series.type for row in rows for series in row}
    columns = {}
    for key, kind in kinds.items():
        values = [next((each.samples[index] for each in row if each.key == key), None) for row in rows]
        presence = np.array([Presence.NULL if value is None else Presence.PRESENT for value in values], dtype=np.uint8)
        if kind is ValueType.TEXT:
            words = np.empty(len(values), dtype=np.object_)
            words[:] = [str(value) if value is not None else "" for value in values]
            columns[key] = Column(words, presence)
        else:
            numbers = [np.nan if value is None else value for value in values]
            columns[key] = Column(np.array(numbers, dtype=np.float64), presence)
    return columns


# What was expected.


def _state_misses(test: RuleTest, timeline: Sequence[TimelinePoint], rule: Rule, draw: Draw | None) -> Iterator[Miss]:
    for want in test.expect:
        point = [each for each in timeline if each.entity is want.entity and each.at <= want.at][-1]
        for expected, actual in _differences(want, point, rule, test.start, draw):
            yield Miss(point.at, want.entity, want.place, expected, actual)


def _differences(
    want: Expectation, point: TimelinePoint, rule: Rule, start: datetime, draw: Draw | None
) -> Iterator[tuple[str, str]]:
    wrong_state = want.state is not None and want.state != point.state
    if wrong_state or (want.level is not None and want.level is not point.level):
        yield _state_text(want.state or point.state, want.level), _state_text(point.state, point.level)
    for text in want.why:
        if text.casefold() not in point.last_why.casefold():
            yield f"why with {text!r}", point.last_why or "no decision so far"
    if want.card is None:
        return
    has_card = point.has_card and point.alert is not None
    if not want.card:
        if has_card:
            yield "no card", "a card"
        return
    if not has_card or point.alert is None or draw is None:
        yield f"a card with {' and '.join(map(repr, want.card))}", "no card"
        return
    card = draw(rule, point.alert, start + point.at)
    for text in want.card:
        if text.casefold() not in card.casefold():
            yield f"a card with {text!r}", card


def _state_text(state: str, level: Level | None) -> str:
    return f"{state} {level.word}" if level is not None and state != INACTIVE else state


def _notice_misses(test: RuleTest, timeline: Sequence[TimelinePoint]) -> Iterator[Miss]:
    """Notices that are missing, and notices that were not expected."""
    if test.notices is None:
        return
    unmatched = [(each, notice) for each in timeline for notice in each.notices]
    missing: list[ExpectedNotice] = []
    for want in test.notices:
        at = test.every * (want.at // test.every)
        matching = next((pair for pair in unmatched if _is(want, at, *pair)), None)
        if matching is None:
            missing.append(want)
        else:
            unmatched.remove(matching)
    for want in missing:
        nearest = next((pair for pair in unmatched if _about(want, test, pair[0])), None)
        if nearest is not None:
            unmatched.remove(nearest)
        actual = _described(nearest[1], test) if nearest is not None else "no notice"
        yield Miss(want.at, want.entity, want.place, _wanted(want, test), actual)
    for point, notice in unmatched:
        yield Miss(point.at, point.entity, Place(0, 0), "no notice", _described(notice, test))


def _is(want: ExpectedNotice, at: timedelta, point: TimelinePoint, notice: Notice) -> bool:
    return (
        point.at == at
        and notice.reason == want.reason
        and (want.entity is None or want.entity is point.entity)
        and (want.level is None or want.level is notice.level)
        and (not want.channel or want.channel == notice.channel)
        and want.text.casefold() in notice.text.casefold()
    )


def _about(want: ExpectedNotice, test: RuleTest, point: TimelinePoint) -> bool:
    """Whether a notice at this point may be the one that was meant: at the same poll, for the same entity."""
    return point.at == test.every * (want.at // test.every) and want.entity in (None, point.entity)


def _wanted(want: ExpectedNotice, test: RuleTest) -> str:
    words = [want.reason, want.level.word if want.level is not None else ""]
    words.append(f"in {want.channel}" if want.channel else "")
    words.append(f"with {want.text!r}" if want.text else "")
    return _joined(words, want.entity, test)


def _described(notice: Notice, test: RuleTest) -> str:
    entity = next((each for each in test.entities if notice.alert and each.id == notice.alert.entity_id), None)
    words = [notice.reason.value, notice.level.word, f"in {notice.channel}"]
    return _joined(words, entity, test) + (f" ({notice.text})" if notice.text else "")


def _joined(words: Sequence[str], entity: EntitySeries | None, test: RuleTest) -> str:
    of = [f"for {entity.name}"] if entity is not None and len(test.entities) > 1 else []
    return " ".join(word for word in [*words, *of] if word)
