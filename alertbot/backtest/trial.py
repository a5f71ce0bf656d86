"""Runs a rule test: its series through the live code path, and the outcome compared with what is expected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from alertbot.alerts.alert import Alert, Change, Fingerprint, Outcome, Reason
from alertbot.alerts.alerting import Alerting
from alertbot.alerts.cards import Card, escalated_after
from alertbot.alerts.notice import Notice, NoticeKind
from alertbot.alerts.silence import Matcher, Silence
from alertbot.backtest.replay import Replay, Step
from alertbot.evaluation.evaluate import Truth, agents_of
from alertbot.evaluation.explain import truth
from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.evaluation.usual import GivenUsual
from alertbot.rulefiles.faults import Place
from alertbot.rulefiles.rule_test import (
    TENANT,
    AgentSeries,
    EntitySeries,
    Expectation,
    ExpectedNotice,
    OwnerChange,
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

Draw = Callable[[Rule, Card, datetime], str]
"""Draws a card as plain text, at an instant."""

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
    card: Card | None = None  # the one that shows it, also when it ended at this poll; None: it has none
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
    replay = Replay(together, poll_every=test.every, tenant=TENANT, default_channel=default_channel, alerting=alerting)
    whys: dict[EntitySeries, str] = {}
    cards = _Cards(replay)
    timeline: list[TimelinePoint] = []
    scopes = frozenset(each.scope for each in together.rules)
    users = _Users(test, rule, replay)
    for index, (at, now) in enumerate(test.times().items()):
        users.before_poll(at)
        failed = _within(test.failed, at)
        snapshots = {} if failed else _snapshots(test, index, at, now)
        replay.take_usual(_usual(test, index))
        step = replay.poll(now, snapshots, scopes if failed else frozenset())
        users.after_poll(at)
        cards.take(step)
        for entity in test.entities:
            key = _key(test, entity, rule.id)
            change = _decision(step, key)
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
                    notices=tuple(_one_per_channel(each for each in step.notices if each.alert == key)),
                    failed=failed,
                    gone=_within(entity.gone, at),
                    card=cards.of(key),
                    suppressors=tuple(_others_that_fire(replay, key)),
                    done=users.done(entity),
                )
            )
        cards.end()
    misses = [*_state_misses(test, timeline, rule, draw), *_notice_misses(test, timeline), *users.misses]
    return RuleTestResult(test, tuple(timeline), tuple(sorted(misses, key=lambda miss: miss.at)))


def _decision(step: Step, key: Fingerprint) -> Change | None:
    """What the poll decided about an alert; a reminder or an escalation only where there is nothing else."""
    changes = [each for each in step.changes if each.after.key == key]
    decided = [each for each in changes if each.reason not in (Reason.REMINDER, Reason.ESCALATED)]
    return (decided or changes)[-1] if changes else None


def _one_per_channel(notices: Iterable[Notice]) -> Iterator[Notice]:
    """Without the lines that say about an escalation what its message in the same channel says."""
    kept = list(notices)
    escalated = {(each.reason, each.channel) for each in kept if escalated_after(each.group) is not None}
    for each in kept:
        if each.kind is not NoticeKind.LINE or (each.reason, each.channel) not in escalated:
            yield each


class _Cards:
    """The open cards of a test, with their members. Messages of escalation steps are not cards."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._of: dict[Fingerprint, tuple[str, object]] = {}  # the card that shows an alert: channel and group
        self._members: dict[tuple[str, object], dict[Fingerprint, Alert]] = {}

    def take(self, step: Step) -> None:
        """What one poll changed."""
        for notice in step.notices:
            key = notice.alert
            if key is None or key in self._of or escalated_after(notice.group) is not None:
                continue
            if notice.kind is NoticeKind.CARD or notice.group:  # one that joins a shared card may be a line
                self._of[key] = card = (notice.channel, notice.group or key)
                self._members.setdefault(card, {})
        for change in step.changes:
            key = change.after.key
            if key in self._of:
                self._members[self._of[key]][key] = change.after

    def of(self, key: Fingerprint) -> Card | None:
        """The card that shows this alert, as it is now; None where there is none."""
        if key not in self._of:
            return None
        channel, group = place = self._of[key]
        members = tuple(self._replay.alerts.get(each, last) for each, last in self._members[place].items())
        silences = tuple(silence for silence in self._replay.silences if silence.ended_at is None)
        group = group if isinstance(group, str) else ""
        return Card(0, members, channel, None, version=1, sent_version=0, silences=silences, group=group)

    def end(self) -> None:
        """After a poll: an alert that has ended is shown until the last on its card has."""
        for key in [key for key in self._of if key not in self._replay.alerts]:
            card = self._of.pop(key)
            if not any(member in self._replay.alerts for member in self._members.get(card, ())):
                self._members.pop(card, None)


class _Users:
    """What users do in a test, in the order of time, each at its own time; and what of it was not possible."""

    def __init__(self, test: RuleTest, rule: Rule, replay: Replay) -> None:
        self._test, self._rule, self._replay = test, rule, replay
        both = [*((each, True) for each in test.acks), *((each, False) for each in test.unacks)]
        self._owners = sorted(both, key=lambda pair: pair[0].at)
        self._silences = sorted(test.silences, key=lambda each: each.at)
        self._active: list[Silence] = []
        self.misses: list[Miss] = []
        self._done: dict[EntitySeries, list[str]] = {}

    def before_poll(self, at: timedelta) -> None:
        """All until before this poll, and the silences that begin with it."""
        while self._owners and self._owners[0][0].at < at:
            self._change_owner(*self._owners.pop(0))
        now = self._test.start + at
        for ended in [silence for silence in self._active if not silence.active(now)]:
            self._active.remove(ended)
            self._say(ended, f"silence #{ended.id} has ended")
        while self._silences and self._silences[0].at <= at:
            wanted = self._silences.pop(0)
            begins = self._test.start + wanted.at
            silence = self._replay.silence(Matcher(wanted.terms), begins, begins + wanted.lasts)
            if silence.active(now):
                self._active.append(silence)
                self._say(silence, f"silence #{silence.id}: {silence.matcher} for {write_duration(wanted.lasts)}")

    def after_poll(self, at: timedelta) -> None:
        """The changes of owners at the time of this poll."""
        while self._owners and self._owners[0][0].at == at:
            self._change_owner(*self._owners.pop(0))

    def done(self, entity: EntitySeries) -> tuple[str, ...]:
        """What was done about an entity since this was last asked."""
        return tuple(self._done.pop(entity, ()))

    def _change_owner(self, wish: OwnerChange, takes: bool) -> None:
        key, now = _key(self._test, wish.entity, self._rule.id), self._test.start + wish.at
        outcome, alert = self._replay.acknowledge(key, wish.by, now) if takes else self._replay.unacknowledge(key, now)
        if outcome is Outcome.DONE:
            by = f" by {wish.by}" if wish.by else ""
            words = f"{'acknowledged' if takes else 'given back'}{by} at {write_duration(wish.at)}"
            self._done.setdefault(wish.entity, []).append(words)
            return
        wanted = "an alert to acknowledge" if takes else "an acknowledged alert to give back"
        actual = "no open alert"
        if alert is not None and alert.open:
            actual = f"it is acknowledged by {alert.acked_by}" if alert.acked_by else "it is not acknowledged"
        self.misses.append(Miss(wish.at, wish.entity, wish.place, wanted, actual))

    def _say(self, silence: Silence, words: str) -> None:
        for entity in self._test.entities:
            if silence.matcher.may_match(TENANT, self._rule, entity.name):
                self._done.setdefault(entity, []).append(words)


def _with_suppressors(rule: Rule, rules: RuleSet) -> Iterator[Rule]:
    """The rule and its suppressors, and theirs, in the order of the files."""
    wanted = [rule.id]
    for rule_id in wanted:  # grows while it is walked
        known = rules.by_id(rule_id)
        wanted += [other for other in (known.suppressed_by if known is not None else ()) if other not in wanted]
    return (each for each in rules.rules if each.id in wanted)


def _key(test: RuleTest, entity: EntitySeries, rule_id: str) -> Fingerprint:
    return Fingerprint(TENANT, rule_id, test.scope, entity.parent_id, entity.id)


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


def _usual(test: RuleTest, index: int) -> GivenUsual:
    """What the test says is usual at one poll."""
    values: dict[tuple[Scope, str], dict[tuple[str, str], float | None]] = {}
    rows = [(test.scope, (each.parent_id, each.id), each.usual) for each in test.entities]
    if test.scope in AGENTS_OF:
        agents = AGENTS_OF[test.scope]
        rows += [(agents, (each.id, agent.id), agent.usual) for each in test.entities for agent in each.agents]
    for scope, pair, usual in rows:
        for series in usual:
            sample = series.samples[index]
            values.setdefault((scope, series.key), {})[pair] = sample if isinstance(sample, float) else None
    return GivenUsual(values)


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
    if not want.card:
        if point.card is not None:
            yield "no card", "a card"
        return
    if point.card is None or draw is None:
        yield f"a card with {' and '.join(map(repr, want.card))}", "no card"
        return
    card = draw(rule, point.card, start + point.at)
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
