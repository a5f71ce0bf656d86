"""The shipped rules: they parse, have comments, stay quiet on a quiet day and fire on a bad one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise, takewhile
from pathlib import Path

import numpy as np
import pytest

from alertbot import poll
from alertbot.alerts.alert import State
from alertbot.alerts.notice import NoticeKind
from alertbot.backtest.trial import RuleTestResult, TimelinePoint, run_rule_test
from alertbot.cli import main
from alertbot.evaluation.evaluate import Truth, evaluate
from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.rulefiles.on_disk import load_rules
from alertbot.rulefiles.parse_tests import parse_tests
from alertbot.rulefiles.series import Sample
from alertbot.rules.catalogue import Scope, ValueType, catalogue
from alertbot.rules.rule import Level, Rule
from alertbot.rules.tree import Window, walk
from alertbot.simulator.server import SimulatorOptions, serve
from alertbot.sources.eight_by_eight import EightByEight
from alertbot.store import open_alerts
from alertbot.store.sqlite.store import SqliteStore
from tests.simulator.kit import HandClock

FOLDER = Path(__file__).parent.parent / "rules"
RULES = load_rules([FOLDER])
OPTIONAL = load_rules([FOLDER / "optional"])
WAIT, WAITING, ENTERED = "interactionsLongestWaitInQueue.rt", "interactionsWaitInQueue.rt", "entered.int-30m"
SLA, ABANDONED, ABANDONED_SHARE = "slaPercentage.int-30m", "abandoned.int-30m", "abandonedPercentage.int-30m"
ENABLED, ELIGIBLE, IDLE = "enabled.rt", "eligible.rt", "availableIdle.rt"
DIVERTED_SHARE = "divertedPercentage.int-30m"
SHORT, SHORT_SHARE = "shortAbandoned.int-30m", "shortAbandonedPercentage.int-30m"
MISSED = "rejectTimeout.int-30m.inQueue"
STATUS, ON_STATUS = "status.rt", "timeOnStatus.rt"

Values = Mapping[str, float | str | None]

NIGHT: Values = {
    **dict.fromkeys([WAIT, WAITING, ENTERED, ABANDONED, SHORT, ENABLED, ELIGIBLE, IDLE], 0.0),
    **dict.fromkeys([SLA, ABANDONED_SHARE, DIVERTED_SHARE, SHORT_SHARE]),  # 8x8 sends null where there were no calls
}
CALM: Values = {
    **NIGHT,
    DIVERTED_SHARE: 0.05,
    SHORT_SHARE: 0.0,
    ENTERED: 6.0,
    ENABLED: 4.0,
    ELIGIBLE: 4.0,
    IDLE: 3.0,
    SLA: 1.0,
    ABANDONED_SHARE: 0.0,
}
BUSY: Values = {**CALM, ENTERED: 80.0, IDLE: 0.0, ELIGIBLE: 12.0, ENABLED: 14.0, WAITING: 1.0, WAIT: 9_000.0, SLA: 0.9}


def snapshot(scope: Scope, values: Values) -> Snapshot:
    columns = {}
    for key, value in values.items():
        presence = np.array([Presence.NULL if value is None else Presence.PRESENT], dtype=np.uint8)
        metric = catalogue().lookup(scope, key)
        assert metric is not None
        if metric.type is ValueType.TEXT:
            columns[key] = Column(np.array(["" if value is None else value], dtype=np.object_), presence)
        else:
            columns[key] = Column(np.array([np.nan if value is None else value], dtype=np.float64), presence)
    return Snapshot(scope, datetime(2026, 3, 2, 9, 0, tzinfo=UTC), ("1",), ("Sales",), columns)


def rules_of(scope: Scope) -> list[Rule]:
    return [rule for rule in RULES.rules if rule.scope is scope]


def true_levels(scope: Scope, values: Values) -> dict[str, Level]:
    """Of each rule the highest level whose condition holds."""
    found = {}
    for rule in rules_of(scope):
        levels = evaluate(rule, snapshot(scope, values)).levels
        true = [level for level, verdict in levels.items() if verdict[0] == Truth.TRUE]
        if true:
            found[rule.id] = max(true)
    return found


def is_clear(rule_id: str, values: Values) -> bool:
    rule = RULES.by_id(rule_id)
    assert rule is not None
    return all(verdict[0] == Truth.TRUE for verdict in evaluate(rule, snapshot(rule.scope, values)).clear.values())


def test_the_ones_that_were_promised_are_there() -> None:
    assert {rule.id for rule in RULES.rules} >= {
        "longest-wait",
        "too-many-waiting",
        "nobody-eligible",
        "nobody-logged-in",
        "nobody-idle",
        "service-level",
        "abandon-rate",
        "long-break",
        "long-offline",
        "long-interaction",
        "missed-offers",
        "many-on-break",
        "diverted-share",
        "short-abandons",
    }
    assert {rule.id for rule in OPTIONAL.rules} >= {
        "wait-over-sla-time",
        "waiting-per-agent",
        "below-sla-target",
        "occupancy",
        "group-nobody-idle",
        "several-long-breaks",
        "long-wrap-up",
        "stranded-after-close",
        "not-staffed-before-opening",
        "all-lines-silent",
        "handle-time-drift",
        "volume-drop",
        "volume-surge",
    }


@pytest.mark.parametrize("rule", [*RULES.rules, *OPTIONAL.rules], ids=lambda rule: rule.id)
def test_a_rule_says_why_and_goes_to_the_default_channel(rule: Rule) -> None:
    """Two lines of comment: what it is for, and why the threshold. It has a `clear`, and names no channel."""
    lines = Path(rule.origin.file).read_text(encoding="utf-8").splitlines()
    above = lines[: rule.origin.line - 1]
    comments = list(takewhile(lambda line: line.startswith("  # "), reversed(above)))
    assert len(comments) == 2, rule.origin
    assert all(len(line) <= 120 for line in comments)
    assert rule.clear is not None
    assert rule.channels == {}
    assert rule.title


@pytest.mark.parametrize("values", [NIGHT, CALM, BUSY], ids=["night", "calm", "busy and well"])
def test_queues_are_left_alone_while_all_is_well(values: Values) -> None:
    assert true_levels(Scope.QUEUE, values) == {}


@pytest.mark.parametrize("rule", rules_of(Scope.QUEUE), ids=lambda rule: rule.id)
@pytest.mark.parametrize("values", [NIGHT, CALM], ids=["night", "calm"])
def test_an_alert_ends_when_the_calls_stop(rule: Rule, values: Values) -> None:
    """Also at night, when ratios are null: nothing is left open until morning."""
    assert is_clear(rule.id, values)


BAD_DAYS: dict[str, tuple[Values, dict[str, Level]]] = {
    "a long wait": ({**BUSY, WAIT: 61_000.0}, {"longest-wait": Level.WARNING}),
    "a very long wait": ({**BUSY, WAIT: 121_000.0}, {"longest-wait": Level.CRITICAL}),
    "many wait": ({**BUSY, WAITING: 13.0, IDLE: 1.0}, {"too-many-waiting": Level.WARNING}),
    "twice as many as could be taken": ({**BUSY, WAITING: 25.0, IDLE: 1.0}, {"too-many-waiting": Level.CRITICAL}),
    "many wait, but many agents": ({**BUSY, WAITING: 11.0, IDLE: 1.0}, {}),
    "all on break": ({**BUSY, ELIGIBLE: 0.0}, {"nobody-eligible": Level.CRITICAL}),
    "all on break and no calls": ({**CALM, ELIGIBLE: 0.0, IDLE: 0.0}, {}),
    "a caller at night": ({**NIGHT, WAITING: 1.0, WAIT: 5_000.0}, {"nobody-logged-in": Level.CRITICAL}),
    "no slack": ({**BUSY, WAITING: 2.0}, {"nobody-idle": Level.WARNING}),
    "a bad half hour": ({**BUSY, SLA: 0.79}, {"service-level": Level.WARNING}),
    "a worse one": ({**BUSY, SLA: 0.59}, {"service-level": Level.CRITICAL}),
    "one of two callers too late": ({**CALM, ENTERED: 2.0, SLA: 0.5}, {}),
    "callers hang up": ({**BUSY, ABANDONED: 8.0, ABANDONED_SHARE: 0.1}, {"abandon-rate": Level.WARNING}),
    "many hang up": ({**BUSY, ABANDONED: 16.0, ABANDONED_SHARE: 0.2}, {"abandon-rate": Level.CRITICAL}),
    "a third is sent elsewhere": ({**BUSY, DIVERTED_SHARE: 0.33}, {"diverted-share": Level.WARNING}),
    "most are sent elsewhere": ({**BUSY, DIVERTED_SHARE: 0.6}, {"diverted-share": Level.CRITICAL}),
    "callers hang up at once": ({**BUSY, SHORT: 20.0, SHORT_SHARE: 0.25}, {"short-abandons": Level.WARNING}),
    "two of twenty hang up": ({**CALM, ENTERED: 20.0, ABANDONED: 2.0, ABANDONED_SHARE: 0.1}, {}),
    "one of two hangs up": ({**CALM, ENTERED: 2.0, ABANDONED: 1.0, ABANDONED_SHARE: 0.5}, {}),
}


@pytest.mark.parametrize(("values", "levels"), BAD_DAYS.values(), ids=BAD_DAYS)
def test_a_queue_in_trouble(values: Values, levels: Mapping[str, Level]) -> None:
    """The rule that fits speaks, at its level, and no other one."""
    assert true_levels(Scope.QUEUE, values) == levels


MINUTE = 60_000.0
AGENTS: dict[str, tuple[Values, dict[str, Level]]] = {
    "on a short break": ({STATUS: "OnBreak", ON_STATUS: 15 * MINUTE}, {}),
    "on a long break": ({STATUS: "OnBreak", ON_STATUS: 31 * MINUTE}, {"long-break": Level.WARNING}),
    "spelt otherwise": ({STATUS: "onBreak", ON_STATUS: 31 * MINUTE}, {"long-break": Level.WARNING}),
    "long gone home": ({STATUS: "LoggedOut", ON_STATUS: 1440 * MINUTE, MISSED: 9.0}, {}),
    "on a long call": ({STATUS: "Handling", ON_STATUS: 40 * MINUTE}, {}),
    "on a very long call": ({STATUS: "Handling", ON_STATUS: 46 * MINUTE}, {"long-interaction": Level.WARNING}),
    "offline for a while": ({STATUS: "WorkingOffline", ON_STATUS: 50 * MINUTE}, {}),
    "offline for long": ({STATUS: "WorkingOffline", ON_STATUS: 61 * MINUTE}, {"long-offline": Level.WARNING}),
    "lets it ring": ({STATUS: "Available", ON_STATUS: MINUTE, MISSED: 3.0}, {"missed-offers": Level.WARNING}),
    "never answers": ({STATUS: "Available", ON_STATUS: MINUTE, MISSED: 7.0}, {"missed-offers": Level.CRITICAL}),
    "an unknown status": ({STATUS: "Zzz", ON_STATUS: 900 * MINUTE}, {}),
}


@pytest.mark.parametrize(("values", "levels"), AGENTS.values(), ids=AGENTS)
def test_an_agent(values: Values, levels: Mapping[str, Level]) -> None:
    values = {MISSED: 0.0, **values}
    assert true_levels(Scope.AGENT, values) == levels
    assert not any(is_clear(rule_id, values) for rule_id in levels)


# The ones to copy, and the tests of all


def test_there_is_a_whole_set() -> None:
    """At least twenty, each id once, so that all of them can run together."""
    ids = [rule.id for rule in (*RULES.rules, *OPTIONAL.rules)]
    assert len(ids) == len(set(ids)) >= 20


@pytest.mark.parametrize("file", sorted((FOLDER / "optional").glob("*.yaml")), ids=lambda file: file.name)
def test_an_optional_file_can_be_copied_by_itself(file: Path, tmp_path: Path) -> None:
    """It parses alone, and alongside the shipped ones: it needs no other file, and reuses none of their ids."""
    alone = load_rules([file])
    together = load_rules([*sorted(FOLDER.glob("*.yaml")), file])
    assert len(together.rules) == len(RULES.rules) + len(alone.rules)


@pytest.mark.parametrize("rule", RULES.rules, ids=lambda rule: rule.id)
def test_no_calendar_is_needed(rule: Rule) -> None:
    """A new installation has no calendar and no recording: the active rules need neither."""
    assert rule.during is None
    assert rule.outside is None
    assert not any(isinstance(node, Window) for each in (*rule.levels,) for node in walk(each.when))


@cache
def outcomes() -> tuple[RuleTestResult, ...]:
    """All rule tests, run without their expectations about cards: `alertbot test` below draws those."""
    found = []
    for folder, rules in ((FOLDER, RULES), (FOLDER / "optional", OPTIONAL)):
        files = {path.as_posix(): path.read_bytes() for path in sorted((folder / "tests").glob("*.yaml"))}
        for test in parse_tests(files, rules):
            expect = tuple(replace(each, card=None) for each in test.expect)
            found.append(run_rule_test(replace(test, expect=expect), rules))
    return tuple(found)


def timelines_of(rule: Rule) -> list[list[TimelinePoint]]:
    """The timeline of each test of a rule, entity by entity."""
    return [
        [point for point in outcome.timeline if point.entity is entity]
        for outcome in outcomes()
        if outcome.test.rule == rule.id
        for entity in outcome.test.entities
    ]


ALL = (*RULES.rules, *OPTIONAL.rules)


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.id)
def test_every_rule_has_its_tests(rule: Rule) -> None:
    """One entity for which it fires at each level and ends, one for which it never fires, and one without data."""
    seen = timelines_of(rule)
    fired = {point.level for timeline in seen for point in timeline if point.state == State.FIRING}
    assert fired == {each.level for each in rule.levels}
    assert any(
        before.state in (State.FIRING, State.RECOVERING) and after.state == State.INACTIVE
        for timeline in seen
        for before, after in pairwise(timeline)
    )
    assert any(all(point.state != State.FIRING for point in timeline) for timeline in seen)
    assert any(None in values_of(point) for timeline in seen for point in timeline)


def values_of(point: TimelinePoint) -> list[Sample]:
    """The values of an entity after a poll, those of its agents too."""
    own = list(point.samples.values())
    return own + [series.samples[0] for agent in point.entity.agents for series in agent.series]


@pytest.mark.parametrize("rule", [rule for rule in ALL if rule.during or rule.outside], ids=lambda rule: rule.id)
def test_hours_are_tested(rule: Rule) -> None:
    """Some poll is outside of them, and one inside."""
    idle = {point.idle for timeline in timelines_of(rule) for point in timeline}
    assert {"outside the hours of the rule", ""} <= idle


@pytest.mark.parametrize("rule", [rule for rule in ALL if rule.guard], ids=lambda rule: rule.id)
def test_guards_are_tested(rule: Rule) -> None:
    """Some poll decides nothing because of it."""
    assert any("the guard is not true" in point.idle for timeline in timelines_of(rule) for point in timeline)


@pytest.mark.parametrize(
    ("rule", "name"), [(rule, name) for rule in ALL for name in rule.params], ids=lambda each: getattr(each, "id", each)
)
def test_a_changed_threshold_is_noticed(rule: Rule, name: str) -> None:
    """Ten times as much, or a tenth: some test of the rule fails. So its tests hold it to the numbers it has."""
    rules = RULES if rule in RULES.rules else OPTIONAL
    tests = [outcome.test for outcome in outcomes() if outcome.test.rule == rule.id]
    for factor in (10, 0.1):
        value = rule.params[name].value
        assert isinstance(value, float | int)
        params = {**rule.params, name: replace(rule.params[name], value=value * factor)}
        changed = replace(rules, rules=tuple(replace(r, params=params) if r is rule else r for r in rules.rules))
        if not all(run_rule_test(test, changed).passed for test in tests):
            return
    pytest.fail(f"no test of {rule.id} depends on ${name}")


# Whole days on the simulated centre


@pytest.mark.parametrize(
    ("scenario", "seed", "minutes", "most"),
    [("demo", seed, 20, 8) for seed in (1, 2, 3)] + [("quiet", 1, 60, 0)],
    ids=["demo 1", "demo 2", "demo 3", "a quiet hour"],
)
def test_the_demo_is_telling_and_calm(scenario: str, seed: int, minutes: int, most: int) -> None:
    """One rush: a long wait is reported, with few cards in all. None on a quiet day."""
    clock = HandClock(datetime(2026, 3, 2, 10, 0, tzinfo=UTC))
    store, cards = SqliteStore(":memory:"), 0
    with serve(SimulatorOptions(clock=clock, seed=seed, scenario=scenario)) as centre:
        options = centre.options
        source = EightByEight(
            "demo", centre.base_url, centre.token_url, options.api_key, options.api_secret, max_requests_per_minute=6000
        )
        tenant = poll.Tenant("demo", RULES, "#a", "#a")
        for _ in range(minutes * 2):
            now = clock()
            polled = poll.run(tenant, store, now, source.fetch(tenant.wanted, now, RULES.only()))
            assert polled.good, polled.problems
            assert polled.memory.open == open_alerts.current(None, store, "demo", now - tenant.alerting.flap_window)
            tenant = replace(tenant, memory=polled.memory)
            cards += sum(notice.kind is NoticeKind.CARD for notice in polled.notices)
            clock.forward(seconds=30)
        source.close()
    reported = {
        alert.key.rule for alert in (*store.ended(clock.now - timedelta(days=1)), *store.alerts()) if alert.fired_at
    }
    store.close()
    assert cards <= most
    assert ("longest-wait" in reported) is (scenario == "demo")


def test_all_rule_tests_pass(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the command line, cards included."""
    monkeypatch.delenv("ALERTBOT_CONFIG", raising=False)
    with suppress(SystemExit):
        main(["test", str(FOLDER)])
    assert f"{len(outcomes())} rule tests passed" in capsys.readouterr().out
    assert len(outcomes()) > 60
