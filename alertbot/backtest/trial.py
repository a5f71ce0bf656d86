"""A rule test run: the series of a test through the live code path, and what came of it beside what was expected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from alertbot.alerts.alert import Alert, Change, Fingerprint
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

Draw = Callable[[Rule, Alert, datetime], str]
"""The card of an alert as plain text, at an instant."""

INACTIVE = "inactive"
_BYSTANDER = EntitySeries("bystander", "Bystander")


@dataclass(frozen=True, slots=True)
class TimelinePoint:
    """One entity after one poll. `samples` are its values by key; `notices` were told at this poll."""

    at: timedelta
    entity: EntitySeries
    samples: Mapping[str, Sample]
    state: str
    level: Level | None
    why: str  # of the decision of this poll; "" where nothing was decided
    last_why: str  # of the last decision, this poll's or an earlier one's
    idle: str  # why the rule decides nothing about the entity at this poll; "" where it may
    notices: tuple[Notice, ...]
    failed: bool = False  # the poll brought nothing
    gone: bool = False  # the poll did not have the entity
    alert: Alert | None = None  # as it is, or as it ended at this poll
    carded: bool = False  # it has a card
    suppressors: tuple[str, ...] = ()  # other rules that fire for the entity


@dataclass(frozen=True, slots=True)
class Miss:
    """One thing that was not as expected. `place` is where it was written; (0, 0) for what nobody wrote."""

    at: timedelta
    entity: EntitySeries | None
    place: Place
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class RuleTestResult:
    """What came of a test: it passed where nothing was missed."""

    test: RuleTest
    timeline: tuple[TimelinePoint, ...]  # poll by poll, entity by entity
    misses: tuple[Miss, ...]

    @property
    def passed(self) -> bool:
        return not self.misses


def run_rule_test(
    test: RuleTest, rules: RuleSet, *, default_channel: str = "#cc-alerts", draw: Draw | None = None
) -> RuleTestResult:
    """Run a test through its rule, and through those that suppress it. `draw` is needed for expectations of cards."""
    rule = rules.by_id(test.rule)
    assert rule is not None  # parse_cases refuses a test without its rule
    together = replace(rules, rules=tuple(_with_suppressors(rule, rules)))
    replay = Replay(together, poll_every=test.every, tenant="test", default_channel=default_channel)
    whys: dict[EntitySeries, str] = {}
    carded: set[Fingerprint] = set()
    timeline: list[TimelinePoint] = []
    scopes = frozenset(each.scope for each in together.rules)
    for index, (at, now) in enumerate(test.times().items()):
        failed = _within(test.failed, at)
        snapshots = {} if failed else _snapshots(test, index, at, now)
        step = replay.poll(now, snapshots, scopes if failed else frozenset())
        carded |= {each.alert for each in step.notices if each.alert and each.kind is NoticeKind.CARD}
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
                    why=change.why if change is not None and _tells(change) else "",
                    last_why=whys.get(entity, ""),
                    idle=_idle(rule, snapshots, replay, entity, now),
                    notices=tuple(each for each in step.notices if each.alert == key),
                    failed=failed,
                    gone=_within(entity.gone, at),
                    alert=alert or (change.after if change is not None else None),
                    carded=key in carded,
                    suppressors=tuple(_others_that_fire(replay, key)),
                )
            )
            if alert is None:
                carded.discard(key)
    misses = [*_unmet(test, timeline, rule, draw), *_untold(test, timeline)]
    return RuleTestResult(test, tuple(timeline), tuple(sorted(misses, key=lambda miss: miss.at)))


def _with_suppressors(rule: Rule, rules: RuleSet) -> Iterator[Rule]:
    """The rule, and all that hold it back, or hold those back, in the order of the files."""
    wanted = [rule.id]
    for each in wanted:
        found = rules.by_id(each)
        wanted += [other for other in (found.suppressed_by if found is not None else ()) if other not in wanted]
    return (each for each in rules.rules if each.id in wanted)


def _key(test: RuleTest, entity: EntitySeries, rule_id: str) -> Fingerprint:
    return Fingerprint("test", rule_id, test.scope, entity.parent_id, entity.id)


def _tells(change: Change) -> bool:
    """Whether the decision is worth a word in a timeline: not where only a value moved."""
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
        # An answer of nothing is not taken for complete at once: where one is gone, some other is still there.
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


def _unmet(test: RuleTest, timeline: Sequence[TimelinePoint], rule: Rule, draw: Draw | None) -> Iterator[Miss]:
    for want in test.expect:
        seen = [each for each in timeline if each.entity is want.entity and each.at <= want.at][-1]
        for expected, found in _differences(want, seen, rule, test.start, draw):
            yield Miss(seen.at, want.entity, want.place, expected, found)


def _differences(
    want: Expectation, seen: TimelinePoint, rule: Rule, start: datetime, draw: Draw | None
) -> Iterator[tuple[str, str]]:
    wrong_state = want.state is not None and want.state != seen.state
    if wrong_state or (want.level is not None and want.level is not seen.level):
        yield _standing(want.state or seen.state, want.level), _standing(seen.state, seen.level)
    for text in want.why:
        if text.casefold() not in seen.last_why.casefold():
            yield f"why with {text!r}", seen.last_why or "nothing was decided so far"
    if want.card is None:
        return
    has_card = seen.carded and seen.alert is not None
    if not want.card:
        if has_card:
            yield "no card", "a card"
        return
    if not has_card or seen.alert is None or draw is None:
        yield f"a card with {' and '.join(map(repr, want.card))}", "no card"
        return
    card = draw(rule, seen.alert, start + seen.at)
    for text in want.card:
        if text.casefold() not in card.casefold():
            yield f"a card with {text!r}", card


def _standing(state: str, level: Level | None) -> str:
    return f"{state} {level.word}" if level is not None and state != INACTIVE else state


def _untold(test: RuleTest, timeline: Sequence[TimelinePoint]) -> Iterator[Miss]:
    """What was not told and should have been, and what was told and should not have been."""
    if test.notices is None:
        return
    told = [(each, notice) for each in timeline for notice in each.notices]
    missing: list[ExpectedNotice] = []
    for want in test.notices:
        at = test.every * (want.at // test.every)
        match = next((pair for pair in told if _is(want, at, *pair)), None)
        if match is None:
            missing.append(want)
        else:
            told.remove(match)
    for want in missing:
        nearest = next((pair for pair in told if _about(want, test, pair[0])), None)
        if nearest is not None:
            told.remove(nearest)
        found = _said(nearest[1], test) if nearest is not None else "nothing told"
        yield Miss(want.at, want.entity, want.place, _wanted(want, test), found)
    for point, notice in told:
        yield Miss(point.at, point.entity, Place(0, 0), "nothing told", _said(notice, test))


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
    """Whether something told may be what was meant: at the same poll, of the same entity."""
    return point.at == test.every * (want.at // test.every) and want.entity in (None, point.entity)


def _wanted(want: ExpectedNotice, test: RuleTest) -> str:
    words = [want.reason, want.level.word if want.level is not None else ""]
    words.append(f"in {want.channel}" if want.channel else "")
    words.append(f"with {want.text!r}" if want.text else "")
    return _spoken(words, want.entity, test)


def _said(notice: Notice, test: RuleTest) -> str:
    entity = next((each for each in test.entities if notice.alert and each.id == notice.alert.entity_id), None)
    words = [notice.reason.value, notice.level.word, f"in {notice.channel}"]
    return _spoken(words, entity, test) + (f" ({notice.text})" if notice.text else "")


def _spoken(words: Sequence[str], entity: EntitySeries | None, test: RuleTest) -> str:
    of = [f"for {entity.name}"] if entity is not None and len(test.entities) > 1 else []
    return " ".join(word for word in [*words, *of] if word)
