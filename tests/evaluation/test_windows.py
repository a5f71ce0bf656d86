"""The recent past and the agents of a queue in conditions; parameters that differ by entity."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alertbot.evaluation import windows
from alertbot.evaluation.batch import Batch, Plan
from alertbot.evaluation.evaluate import Selector, Truth, evaluate, evaluate_all
from alertbot.evaluation.explain import explain, filled, measure, truth
from alertbot.evaluation.past import Past, remember
from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.evaluation.windows import look_back
from alertbot.rulefiles.parse_rules import parse_files
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.compare import OPERATORS
from alertbot.rules.functions import FUNCTIONS, Reads
from alertbot.rules.match import Match, Override
from alertbot.rules.rule import Level, Rule, RuleSet
from alertbot.rules.tree import (
    And,
    Arithmetic,
    Compare,
    Condition,
    Count,
    Key,
    Literal,
    Not,
    Op,
    Or,
    Param,
    Value,
    Window,
    show,
    walk,
)
from tests.alerts.kit import NOW, POLL, STATUS, WAIT, WAITING, compare, key, level, poll, rule, snapshot

COUNT, DURATION, NUMBER, TEXT = ValueType.COUNT, ValueType.DURATION, ValueType.NUMBER, ValueType.TEXT
SLOW_IS_FINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def window(function: str, seconds: float, name: str = WAITING) -> Window:
    of = key(name)
    return Window(function, of, seconds * 1000, FUNCTIONS[function].types[of.type])


def past_of(
    values: Sequence[float | str | None], looks: Sequence[Window], name: str = WAITING
) -> tuple[Past, Snapshot]:
    """One entity, one value a poll, the last one now; "gone" for a poll that did not have the entity."""
    past = Past(POLL, {Scope.QUEUE: frozenset(looks)})
    seen = snapshot({name: [None]})
    for index, value in enumerate(values):
        at = NOW - (len(values) - 1 - index) * POLL
        seen = snapshot({name: [1]}, at=at, ids=("other",)) if value == "gone" else snapshot({name: [value]}, at=at)
        past = past.add({Scope.QUEUE: seen})
    return past, seen


SIX = [9, 1, 4, 4, 2, 7]  # the last four are in a window of a minute: 45 s ago, 30 s, 15 s, now


@pytest.mark.parametrize(
    ("looks", "values", "expected"),
    [
        pytest.param(window("avg", 60), SIX, 4.25, id="the mean of (now - w, now]"),
        pytest.param(window("min", 60), SIX, 2, id="the least"),
        pytest.param(window("max", 60), SIX, 7, id="the greatest"),
        pytest.param(window("max", 75), SIX, 7, id="five samples"),
        pytest.param(window("max", 90), SIX, 9, id="six samples: what is as old as the window is not in it"),
        pytest.param(window("sum", 60), SIX, 17, id="added up"),
        pytest.param(window("delta", 60), SIX, 3, id="last minus first"),
        pytest.param(window("changes", 60), SIX, 2, id="unlike neighbours"),
        pytest.param(window("avg", 60), [9, 9, 4, None, None, 8], 6, id="missing ones are left out"),
        pytest.param(window("delta", 60), [9, 9, None, 4, 8, None], 4, id="last minus first of what is there"),
        pytest.param(window("changes", 60), [9, 9, 4, None, 4, 8], 1, id="neighbours are those that are there"),
        pytest.param(window("avg", 60), [9, 9, 4, None, None, None], None, id="fewer than half: unknown"),
        pytest.param(window("avg", 60), [4, 8], 6, id="half is enough"),
        pytest.param(window("avg", 60), [8], None, id="a quarter is not"),
        pytest.param(window("avg", 60), [4, "gone", "gone", 8], 6, id="polls that did not have it are missing"),
        pytest.param(window("avg", 5), [4, 8], 8, id="shorter than a poll: the present sample"),
        pytest.param(window("avg", 5), [4, None], None, id="shorter than a poll, and that is missing"),
        pytest.param(window("ago", 60), SIX, 1, id="ago: exactly then"),
        pytest.param(window("ago", 50), SIX, 1, id="ago: the last one before then"),
        pytest.param(window("ago", 30), [1, 2, None, None, 5, 6], 2, id="ago: two polls older is near enough"),
        pytest.param(window("ago", 30), [2, None, None, None, 5, 6], None, id="ago: three polls older is not"),
        pytest.param(window("ago", 75), [2, 3], None, id="ago: before the first poll"),
        pytest.param(window("ago", 30), [None, 4, 3, 2, 5, 6], 2, id="ago needs no half"),
    ],
)
def test_what_a_window_reads(looks: Window, values: list[float | str | None], expected: float | None) -> None:
    """Samples in (now - w, now], at least half of them; `ago` the last one then, at most two polls older."""
    past, seen = past_of(values, [looks])
    found, known = look_back(looks, past, seen)
    assert (found[0] if known[0] else None) == expected
    alone = explain(rule(level(Level.WARNING, Compare(Op.GT, looks, Literal(0.0, NUMBER)))), seen, 0, past=past)
    assert alone.levels[Level.WARNING].parts[0].value == expected


def test_words_change_and_come_back_as_they_were() -> None:
    """Words are alike without regard to case, and the one of before is shown as it was spelt."""
    changed, before = window("changes", 60, STATUS), window("ago", 30, STATUS)
    past, seen = past_of(["OnBreak", "ONBREAK", "Busy", None, "busy"], [changed, before], STATUS)
    assert look_back(changed, past, seen)[0].tolist() == [1]
    condition = Compare(Op.EQ, before, Literal("busy", TEXT))
    watched = rule(level(Level.WARNING, condition))
    assert evaluate(watched, seen, past=past).levels[Level.WARNING].tolist() == [Truth.TRUE]
    assert explain(watched, seen, 0, past=past).levels[Level.WARNING].parts[0].value == "Busy"


def test_without_a_past_windows_are_unknown() -> None:
    """Neither true nor false."""
    watched = rule(level(Level.WARNING, Compare(Op.GT, window("avg", 60), Literal(0.0, NUMBER))))
    seen = snapshot({WAITING: [5]})
    assert evaluate(watched, seen).levels[Level.WARNING].tolist() == [Truth.UNKNOWN]
    assert truth(watched.levels[0].when, watched, seen, 0) is Truth.UNKNOWN


def test_a_past_is_a_value() -> None:
    """What comes after a past changes nothing of it, also where two go on from the same one."""
    looks = window("sum", 60)
    first, seen = past_of([1, 2], [looks])
    later = replace(snapshot({WAITING: [10]}), at=NOW + POLL)
    other = replace(snapshot({WAITING: [20]}), at=NOW + POLL)
    one, two = first.add({Scope.QUEUE: later}), first.add({Scope.QUEUE: other})
    sums = [look_back(looks, *each)[0].tolist() for each in ((first, seen), (one, later), (two, other))]
    assert sums == [[3], [13], [23]]


def test_a_clock_that_is_set_back_takes_samples_with_it() -> None:
    """What was seen of a time that is still to come is forgotten."""
    looks = window("sum", 60)
    past, _ = past_of([1, 2, 4, 8], [looks])
    back = replace(snapshot({WAITING: [16]}), at=NOW - POLL)
    assert look_back(looks, past.add({Scope.QUEUE: back}), back)[0].tolist() == [19]


def test_a_week_ago_is_kept_packed() -> None:
    """A long `ago` finds its sample exactly, and the past holds hours of polls in few bytes."""
    looks = window("ago", 7200)
    past = Past(POLL, {Scope.QUEUE: frozenset({looks})})
    random = np.random.default_rng(3)
    values = random.normal(size=(600, 50))
    for index, row in enumerate(values):
        seen = snapshot({WAITING: row.tolist()}, at=NOW + index * POLL)
        past = past.add({Scope.QUEUE: seen})
    found, known = look_back(looks, past, seen)
    assert known.all()
    assert found.tolist() == values[599 - 480].tolist()
    assert past.longest == timedelta(hours=2) + 3 * POLL


def test_every_function_has_its_bodies() -> None:
    """The table of functions, the columns and the interpreter know the same names."""
    looking_back = {name for name, each in FUNCTIONS.items() if each.reads in (Reads.WINDOW, Reads.THEN)}
    assert set(windows._WITH_GAPS) == set(windows._COMPLETE) == looking_back
    assert set(FUNCTIONS) - looking_back == {"count", "usual"}


# Agents


def agents(*rows: tuple[str, str | None, float | None], complete: bool = True, at: object = NOW) -> Snapshot:
    """Agents of queues: (queue id, status, time on status in ms)."""
    return snapshot(
        {STATUS: [row[1] for row in rows], "timeOnStatus.rt": [row[2] for row in rows]},
        scope=Scope.QUEUE_AGENT,
        names=[f"Agent {index}" for index in range(len(rows))],
        parent_ids=tuple(row[0] for row in rows),
        parent_names=tuple(row[0] for row in rows),
        complete=complete,
        at=at,
    )


ON_BREAK = compare(STATUS, "==", "OnBreak")
LONG = Compare(Op.GT, Key("timeOnStatus.rt", DURATION), Param("long", DURATION))
TWO = snapshot({WAIT: [1, 2, 3]})
CREW = (
    ("q1", "OnBreak", 100),
    ("q1", "OnBreak", 200),
    ("q1", "Available", 900),
    ("q2", "onbreak", 50),
    ("q9", "OnBreak", 900),
)


@pytest.mark.parametrize(
    ("where", "crew", "expected"),
    [
        pytest.param(ON_BREAK, agents(*CREW), [2, 1, 0], id="each queue its own; a queue without agents has none"),
        pytest.param(And((ON_BREAK, LONG)), agents(*CREW), [1, 0, 0], id="with a parameter"),
        pytest.param(Not(ON_BREAK), agents(*CREW), [1, 0, 0], id="not"),
        pytest.param(ON_BREAK, agents(*CREW, complete=False), [None] * 3, id="some agents are not known: unknown"),
        pytest.param(ON_BREAK, None, [None] * 3, id="no agents came: unknown"),
        pytest.param(
            ON_BREAK, replace(agents(*CREW), scope=Scope.GROUP_AGENT), [None] * 3, id="agents of groups are not meant"
        ),
        pytest.param(
            ON_BREAK,
            agents(*CREW, ("q2", None, 1)),
            [2, (1, 2), 0],
            id="without one status: a range there",
        ),
        pytest.param(
            And((ON_BREAK, LONG)),
            agents(*CREW, ("q2", None, 1)),
            [1, 0, 0],
            id="what is false in any case needs no status",
        ),
        pytest.param(ON_BREAK, agents(), [0, 0, 0], id="no agents at all"),
    ],
)
def test_count(where: Condition, crew: Snapshot | None, expected: list[int | tuple[int, int] | None]) -> None:
    """How many agents of a queue, by the snapshot of the same poll."""
    counted = Count(where, Scope.QUEUE_AGENT)
    params = {"long": Literal(150.0, DURATION)}
    watched = rule(level(Level.WARNING, Compare(Op.GE, counted, Literal(0.0, NUMBER))), params=params)
    for row, number in enumerate(expected):
        low, high = number if isinstance(number, tuple) else (number, number)
        term = explain(watched, TWO, row, agents=crew).levels[Level.WARNING].parts[0]
        assert term.value == (low if low == high else None)
        assert term.bounds == (None if low is None or high is None else (low, high))
        for limit in range(4):
            at_least = level(Level.WARNING, Compare(Op.GE, counted, Literal(float(limit), NUMBER)))
            codes = evaluate(replace(watched, levels=(at_least,)), TWO, agents=crew).levels[Level.WARNING]
            if low is None or high is None or low < limit <= high:
                assert codes[row] == Truth.UNKNOWN
            else:
                assert codes[row] == (low >= limit)


# `count` as a range, against a plain model: every count is any whole number of its range, independently of the others.

BUSY = compare(STATUS, "==", "OnBreak")
FREE = compare(STATUS, "==", "Available")
ONE = snapshot({WAIT: [1]})
_PLAIN = {Op.ADD: operator.add, Op.SUB: operator.sub, Op.MUL: operator.mul, Op.DIV: operator.truediv}


class _DividesByZeroError(Exception):
    pass


def ends_of(node: Value, ranges: Mapping[Condition, tuple[int, int]]) -> list[float]:
    """The value of an expression for each choice of an end of each range that stands in it."""
    if isinstance(node, Literal):
        return [float(node.value)]
    if isinstance(node, Count):
        return [float(end) for end in ranges[node.where]]
    assert isinstance(node, Arithmetic)
    left, right = ends_of(node.left, ranges), ends_of(node.right, ranges)
    if node.op is Op.DIV and min(right) <= 0 <= max(right):
        raise _DividesByZeroError
    return [_PLAIN[node.op](a, b) for a in left for b in right]


COUNTS = st.sampled_from([Count(BUSY, Scope.QUEUE_AGENT), Count(FREE, Scope.QUEUE_AGENT)])
SIDES = st.recursive(
    COUNTS | st.integers(-3, 6).map(lambda each: Literal(each / 2, NUMBER)),
    lambda below: st.builds(Arithmetic, st.sampled_from(sorted(_PLAIN)), below, below, st.just(NUMBER)),
    max_leaves=4,
)


@SLOW_IS_FINE
@given(
    op=st.sampled_from([Op.LT, Op.LE, Op.GT, Op.GE, Op.EQ, Op.NE]),
    left=SIDES,
    right=SIDES,
    busy=st.integers(0, 3),
    free=st.integers(0, 3),
    unknown=st.integers(0, 3),
    complete=st.sampled_from([True, True, True, False]),
)
def test_a_range_is_decided_where_all_its_values_agree(
    op: Op, left: Value, right: Value, busy: int, free: int, unknown: int, complete: bool
) -> None:
    """In columns, term by term and in a batch alike."""
    statuses = ["OnBreak"] * busy + ["Available"] * free + [None] * unknown
    crew = agents(*[("q1", status, 1) for status in statuses], complete=complete)
    ranges: dict[Condition, tuple[int, int]] = {BUSY: (busy, busy + unknown), FREE: (free, free + unknown)}
    condition = Compare(op, left, right)
    watched = rule(level(Level.WARNING, condition))
    counts = any(isinstance(each, Count) for each in walk(condition))
    try:
        below, above = ends_of(left, ranges), ends_of(right, ranges)
    except _DividesByZeroError:
        expected = Truth.UNKNOWN
    else:
        apart = max(below) < min(above) or min(below) > max(above)
        same = len({*below, *above}) == 1
        outcomes = {OPERATORS[op](a, b) for a in below for b in above}
        decided = (apart or same) if op in (Op.EQ, Op.NE) else len(outcomes) == 1
        expected = Truth(outcomes.pop()) if decided else Truth.UNKNOWN
        if counts and not complete:
            expected = Truth.UNKNOWN
    polls = {Scope.QUEUE: ONE, Scope.QUEUE_AGENT: crew}
    (verdict,) = evaluate_all(RuleSet((watched,)), polls)
    batch = Batch(Plan(RuleSet((watched,))), [polls], [None], Selector())
    assert verdict.levels[Level.WARNING].tolist() == [expected]
    assert truth(condition, watched, ONE, 0, agents=crew) is expected
    assert [each.levels[Level.WARNING].tolist() for each in batch.verdicts(0, {watched.id})] == [[expected]]


@pytest.mark.parametrize(
    ("op", "limit", "shown"),
    [
        pytest.param(Op.GE, 1.0, (1, 1), id="at least: the certain ones"),
        pytest.param(Op.LT, 4.0, (3, 4), id="below: the possible ones too"),
        pytest.param(Op.GE, 2.0, (None, 2), id="undecided: no value"),
    ],
)
def test_a_card_shows_the_end_of_the_range_that_decides(
    op: Op, limit: float, shown: tuple[float | None, float]
) -> None:
    crew = agents(("q1", "OnBreak", 1), ("q1", None, 1), ("q1", None, 1))
    watched = rule(level(Level.WARNING, Compare(op, Count(BUSY, Scope.QUEUE_AGENT), Literal(limit, NUMBER))))
    found = measure(watched, Level.WARNING, ONE, 0, agents=crew)
    assert found is not None
    assert (found.value, found.threshold) == shown


def test_agents_come_from_the_same_poll() -> None:
    """`evaluate_all` gives queues the agents of queues; what is counted is what a card shows."""
    counted = Compare(Op.GT, Count(ON_BREAK, Scope.QUEUE_AGENT), Literal(1.0, NUMBER))
    watched = rule(level(Level.WARNING, counted))
    (verdict,) = evaluate_all(RuleSet((watched,)), {Scope.QUEUE: TWO, Scope.QUEUE_AGENT: agents(*CREW)})
    assert verdict.levels[Level.WARNING].tolist() == [Truth.TRUE, Truth.FALSE, Truth.FALSE]
    changes = poll([], [watched], [TWO, agents(*CREW)], NOW)
    assert [(each.after.measure.value, each.after.measure.label) for each in changes if each.after.measure] == [
        (2, 'count(agents where status.rt == "OnBreak")')
    ]


def test_a_rule_that_counts_agents_asks_for_their_keys() -> None:
    """And for those alone: keys and windows of agents are of the scope of the agents."""
    looks = Window("max", Key("timeOnStatus.rt", DURATION), 60_000.0, DURATION)
    inside = Compare(Op.GT, looks, Literal(1.0, DURATION))
    condition = And(
        (
            compare(WAITING, ">", 2),
            Compare(Op.GT, Count(And((ON_BREAK, inside)), Scope.QUEUE_AGENT), Literal(3.0, NUMBER)),
        )
    )
    rules = RuleSet((rule(level(Level.WARNING, condition), match=Match(ids=("q1",))),))
    assert rules.metrics() == {
        Scope.QUEUE: frozenset({WAITING}),
        Scope.QUEUE_AGENT: frozenset({STATUS, "timeOnStatus.rt"}),
    }
    assert rules.windows() == {Scope.QUEUE_AGENT: frozenset({looks})}
    assert rules.rules[0].keys() == {WAITING}
    few = rules.only()
    assert (few[Scope.QUEUE].ids, few[Scope.QUEUE_AGENT].parents) == (frozenset({"q1"}), frozenset({"q1"}))
    everywhere = RuleSet((*rules.rules, rule(level(Level.WARNING, condition), id="all")))
    assert everywhere.only() == {}


# Overrides


def overriding(condition: Condition) -> Rule:
    return rule(
        level(Level.WARNING, condition),
        params={"warn": Literal(60_000.0, DURATION), "many": Literal(5.0, NUMBER)},
        overrides=(
            Override(Match(names=("VIP*",)), {"warn": Literal(20_000.0, DURATION)}),
            Override(Match(ids=("q1", "q2")), {"warn": Literal(30_000.0, DURATION), "many": Literal(1.0, NUMBER)}),
        ),
    )


WARN = Compare(Op.GT, key(WAIT), Param("warn", DURATION))
NAMED = snapshot({WAIT: [25_000.0] * 4, WAITING: [3.0] * 4}, names=["vip", "Sales", "VIP 2", "Other"])


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        pytest.param(WARN, "TFTF", id="the first that matches"),
        pytest.param(Compare(Op.GT, key(WAITING), Param("many", NUMBER)), "FTFF", id="the first counts alone"),
        pytest.param(
            Compare(Op.GT, Arithmetic(Op.MUL, key(WAITING), Param("many", NUMBER), NUMBER), Literal(3.0, NUMBER)),
            "TFTT",
            id="in a product",
        ),
    ],
)
def test_overrides(condition: Condition, expected: str) -> None:
    """An entity has the params of the first override that matches it, and the rule's own for the rest."""
    watched = overriding(condition)
    found = evaluate(watched, NAMED).levels[Level.WARNING]
    assert "".join("FT?"[int(each)] for each in found) == expected
    assert [truth(condition, watched, NAMED, row) for row in range(4)] == found.tolist()


def test_a_card_says_what_holds_for_its_entity() -> None:
    """The condition has the values of the entity instead of names, and so has the threshold."""
    plain = overriding(And((WARN, compare(WAITING, "<", 9))))
    changes = poll([], [plain], [NAMED], NOW)
    assert [(each.after.entity_name, each.after.about.condition) for each in changes] == [
        ("vip", f"{WAIT} > 20s and {WAITING} < 9"),
        ("VIP 2", f"{WAIT} > 20s and {WAITING} < 9"),
    ]
    found = measure(plain, Level.WARNING, NAMED, 0)
    assert found is not None
    assert (found.label, found.threshold) == (WAIT, 20_000)


def test_a_condition_is_filled_in_as_it_was_written() -> None:
    """Spaces and parentheses of the author stay; only the names are replaced."""
    rules = parse_files(
        {
            "a.yaml": "rules:\n  - id: a\n    scope: queue\n    params: {warn: 90s, least: 2}\n"
            "    overrides: [{match: {name: VIP*}, params: {warn: 20s}}]\n"
            "    when: (interactionsLongestWaitInQueue.rt>$warn/$least) and  interactionsWaitInQueue.rt / $least >= 1\n"
        }
    )
    seen = snapshot({WAIT: [99_000.0, 99_000.0], "interactionsWaitInQueue.rt": [8.0, 8.0]}, names=["VIP", "Sales"])
    changes = poll([], rules.rules, [seen], NOW)
    assert [each.after.about.condition for each in changes] == [
        "(interactionsLongestWaitInQueue.rt>20s/2) and  interactionsWaitInQueue.rt / 2 >= 1",
        "(interactionsLongestWaitInQueue.rt>1m30s/2) and  interactionsWaitInQueue.rt / 2 >= 1",
    ]


def test_what_was_filled_in_is_remembered_by_rule_and_override() -> None:
    """Asked again, each entity gets its own text; a rule with other parameters never gets that of another one."""
    text = (
        "rules:\n  - id: a\n    scope: queue\n    params: {{warn: {0}}}\n"
        "    overrides: [{{match: {{name: VIP*}}, params: {{warn: {1}}}}}]\n"
        "    when: interactionsLongestWaitInQueue.rt > $warn\n"
    )
    first, second = (parse_files({"a.yaml": text.format(*each)}).rules[0] for each in (("90s", "20s"), ("80s", "10s")))
    for _ in range(2):
        for watched, name, limit in (
            (first, "Sales", "1m30s"),
            (first, "VIP 1", "20s"),
            (second, "Sales", "1m20s"),
            (second, "VIP 2", "10s"),
        ):
            level = watched.levels[0]
            filled_in = filled(watched, level.when, level.text, "1", name)
            assert filled_in == f"interactionsLongestWaitInQueue.rt > {limit}"


# Columns against the scalar interpreter, and both against all polls gone through one by one.

NUMBERS = ("a", "b")
WORD = "s"
LOOKS = [
    Window(name, Key(of, kind), seconds * 1000.0, FUNCTIONS[name].types[kind])
    for name, function in FUNCTIONS.items()
    for of, kind in (("a", COUNT), ("b", COUNT), (WORD, TEXT))
    if kind in function.types and function.reads is not Reads.USUAL
    for seconds in (10, 45, 60, 100)
]
CELLS = st.integers(-40, 40).map(lambda each: each / 4)
PRESENCES = st.sampled_from([Presence.PRESENT] * 4 + [Presence.NULL, Presence.ABSENT, Presence.NOT_FETCHED])
WORDS = st.sampled_from(["OnBreak", "ONBREAK", "Busy", ""])


@st.composite
def seen_polls(draw: st.DrawFn) -> list[dict[Scope, Snapshot]]:
    """A few polls of queues and their agents, who come and go; times that jitter, polls that are missing."""
    polls = []
    at = NOW
    for _ in range(draw(st.integers(1, 9))):
        at += POLL * draw(st.sampled_from([1, 1, 1, 2])) + timedelta(milliseconds=draw(st.integers(-40, 40)))
        ids = draw(st.lists(st.sampled_from(["1", "2", "3"]), unique=True, max_size=3))
        crew = draw(
            st.lists(st.tuples(st.sampled_from(["1", "2", "9"]), st.sampled_from("xyz")), unique=True, max_size=5)
        )
        queues = Snapshot(Scope.QUEUE, at, tuple(ids), tuple(ids), draw(columns(len(ids))))
        both = {
            Scope.QUEUE: queues,
            Scope.QUEUE_AGENT: Snapshot(
                Scope.QUEUE_AGENT,
                at,
                tuple(each for _, each in crew),
                tuple(each for _, each in crew),
                draw(columns(len(crew))),
                tuple(parent for parent, _ in crew),
                tuple(parent for parent, _ in crew),
                complete=draw(st.sampled_from([True, True, True, False])),
            ),
        }
        polls.append({scope: each for scope, each in both.items() if draw(st.sampled_from([True] * 5 + [False]))})
    return polls


@st.composite
def columns(draw: st.DrawFn, size: int) -> Mapping[str, Column]:
    made = {}
    for name in (*NUMBERS, WORD):
        cells = draw(st.lists(CELLS if name != WORD else WORDS, min_size=size, max_size=size))
        presence = draw(st.lists(PRESENCES, min_size=size, max_size=size))
        values = np.empty(size, dtype=np.object_ if name == WORD else np.float64)
        values[:] = cells
        made[name] = Column(values, np.array(presence, dtype=np.uint8))
    return {name: each for name, each in made.items() if draw(st.sampled_from([True] * 5 + [False]))}


def by_hand(looks: Window, polls: Sequence[Mapping[Scope, Snapshot]], seen: Snapshot, row: int) -> float | str | None:
    """Windows by definition, poll by poll."""
    length = timedelta(milliseconds=looks.length)
    pair = (seen.parent(row)[0], seen.ids[row])
    found: list[tuple[timedelta, float | str]] = []
    for each in (every.get(seen.scope) for every in polls):
        place = each.rows.get(pair) if each is not None else None
        value = each.reading(looks.key.key, place)[0] if each is not None and place is not None else None
        if each is not None and value is not None:
            found.append((seen.at - each.at, value.casefold() if isinstance(value, str) else value))
    if looks.function == "ago":
        near = [value for age, value in found if length <= age <= length + 2 * POLL]
        return near[-1] if near else None
    inside = [value for age, value in found if timedelta(0) <= age < length]
    if not inside or 2 * len(inside) < length / POLL:
        return None
    if looks.function == "changes":
        return sum(one != other for one, other in pairwise(inside))
    numbers = [float(value) for value in inside]
    return {
        "avg": sum(numbers) / len(numbers),
        "min": min(numbers),
        "max": max(numbers),
        "sum": sum(numbers),
        "delta": numbers[-1] - numbers[0],
    }[looks.function]


@SLOW_IS_FINE
@given(polls=seen_polls())
def test_windows_equal_all_polls_gone_through_by_hand(polls: list[dict[Scope, Snapshot]]) -> None:
    """For entities that come and go, values that are missing, polls that failed and clocks that jitter."""
    past = remember(Past(POLL, dict.fromkeys((Scope.QUEUE, Scope.QUEUE_AGENT), frozenset(LOOKS))), polls)
    for seen in polls[-1].values():
        for looks in LOOKS:
            values, known = look_back(looks, past, seen)
            found = [
                None if not sure else past.word(value).casefold() if looks.type is TEXT else value
                for value, sure in zip(values.tolist(), known.tolist(), strict=True)
            ]
            assert found == [by_hand(looks, polls, seen, row) for row in range(len(seen))], show(looks)


PARAMS = {"p": Literal(2.0, NUMBER), "w": Literal("busy", TEXT)}
OVERRIDES = (
    Override(Match(ids=("1",)), {"p": Literal(-1.0, NUMBER)}),
    Override(Match(ids=("2", "1")), {"w": Literal("OnBreak", TEXT), "p": Literal(0.5, NUMBER)}),
)


def pick(nodes: Sequence[Value]) -> st.SearchStrategy[Value]:
    """One of them; `sampled_from` would write all of them down."""
    return st.integers(0, len(nodes) - 1).map(lambda place: nodes[place])


def conditions(*, inside: bool = False) -> st.SearchStrategy[Condition]:
    """Over queues, or `inside` of a count over their agents."""
    numbers = [Key(name, COUNT) for name in NUMBERS] + [each for each in LOOKS if each.type is not TEXT]
    words = [Key(WORD, TEXT)] + [each for each in LOOKS if each.type is TEXT]
    leaves = [
        pick(numbers),
        CELLS.map(lambda each: Literal(each, NUMBER)),
        st.just(Param("p", NUMBER)),
    ]
    if not inside:
        leaves.append(conditions(inside=True).map(lambda where: Count(where, Scope.QUEUE_AGENT)))
    value = st.one_of(leaves)
    either = value | st.builds(
        Arithmetic, st.sampled_from([Op.ADD, Op.SUB, Op.MUL, Op.DIV]), value, value, st.just(NUMBER)
    )
    comparing = st.sampled_from([Op.LT, Op.LE, Op.GT, Op.GE, Op.EQ, Op.NE])
    leaf = st.one_of(
        st.builds(Compare, comparing, either, either),
        st.builds(
            Compare,
            st.sampled_from([Op.EQ, Op.NE]),
            pick(words),
            WORDS.map(lambda each: Literal(each, TEXT)) | st.just(Param("w", TEXT)),
        ),
    )
    return st.recursive(
        leaf,
        lambda below: st.one_of(
            st.builds(Not, below),
            st.builds(And, st.lists(below, min_size=2, max_size=2).map(tuple)),
            st.builds(Or, st.lists(below, min_size=2, max_size=2).map(tuple)),
        ),
        max_leaves=3,
    )


@SLOW_IS_FINE
@given(condition=conditions(), other=conditions(), polls=seen_polls())
def test_columns_equal_the_scalar_interpreter(
    condition: Condition, other: Condition, polls: list[dict[Scope, Snapshot]]
) -> None:
    """With windows, counts of agents and overrides too, all rows at once agree with one row at a time."""
    made = [
        rule(level(Level.WARNING, condition), id="a", params=PARAMS, overrides=OVERRIDES),
        rule(level(Level.WARNING, condition), id="b", params=PARAMS),
        rule(level(Level.WARNING, And((other, condition))), id="c", params=PARAMS, overrides=OVERRIDES[::-1]),
    ]
    rules = RuleSet(tuple(made))
    past = remember(Past(POLL, rules.windows()), polls)
    crew = polls[-1].get(Scope.QUEUE_AGENT)
    for verdict in evaluate_all(rules, polls[-1], past=past):
        seen, (lowest,) = verdict.snapshot, verdict.rule.levels
        alone = [truth(lowest.when, verdict.rule, seen, row, agents=crew, past=past) for row in range(len(seen))]
        assert verdict.levels[Level.WARNING].tolist() == alone
