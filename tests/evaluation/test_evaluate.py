"""Rules over columns: truth for every entity at once, held against the scalar interpreter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alertbot.evaluation.evaluate import Selector, Truth, Verdicts, evaluate, evaluate_all
from alertbot.evaluation.explain import truth
from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.match import Match, covers
from alertbot.rules.rule import Level, Rule, RuleSet
from alertbot.rules.tree import (
    And,
    Arithmetic,
    Compare,
    Condition,
    In,
    IsMissing,
    Key,
    Literal,
    Not,
    Op,
    Or,
    Param,
    Value,
)
from tests.alerts.kit import NOW, SLA, STATUS, WAIT, WAITING, column, compare, key, level, rule, snapshot

T, F, U = Truth.TRUE, Truth.FALSE, Truth.UNKNOWN
THREE = {"T": T, "F": F, "?": U}


def truths(condition: Condition, seen: Snapshot, **more: Any) -> str:
    found = evaluate(rule(level(Level.WARNING, condition), **more), seen).levels[Level.WARNING]
    return "".join({1: "T", 0: "F", -1: "?"}[int(each)] for each in found)


def number(value: float, kind: ValueType = ValueType.NUMBER) -> Literal:
    return Literal(value, kind)


ABOVE = compare(WAITING, ">", 2)
NONE_IN = compare("entered.int-30m", "==", 0)
A, B = key(WAITING), key("entered.int-30m")
QUOTIENT = Arithmetic(Op.DIV, A, B, ValueType.NUMBER)
TEXTS = snapshot({STATUS: ["OnBreak", "onbreak", "Available", None]})
NUMBERS = snapshot({WAITING: [5, 1, None, 5], "entered.int-30m": [10, 0, 10, 0]})


@pytest.mark.parametrize(
    ("condition", "seen", "expected"),
    [
        pytest.param(ABOVE, NUMBERS, "TF?T", id="a missing value is unknown, not zero"),
        pytest.param(Not(ABOVE), NUMBERS, "FT?F", id="not unknown is unknown"),
        pytest.param(compare("other.rt", ">", 2), NUMBERS, "????", id="a key that did not come is unknown everywhere"),
        pytest.param(Compare(Op.GT, QUOTIENT, number(0.1)), NUMBERS, "T???", id="a quotient by zero is unknown"),
        pytest.param(
            Compare(Op.GT, Arithmetic(Op.MUL, A, number(1e308), ValueType.NUMBER), number(0)),
            NUMBERS,
            "?T??",
            id="what overflows is unknown, never true",
        ),
        pytest.param(And((ABOVE, NONE_IN)), NUMBERS, "FFFT", id="and: one false decides over an unknown"),
        pytest.param(Or((ABOVE, NONE_IN)), NUMBERS, "TT?T", id="or: unknown and false is unknown"),
        pytest.param(IsMissing(A, negated=False), NUMBERS, "FFTF", id="is missing is never unknown"),
        pytest.param(IsMissing(A, negated=True), NUMBERS, "TTFT", id="is not missing"),
        pytest.param(
            IsMissing(key("other.rt"), negated=False), NUMBERS, "TTTT", id="a key that did not come is missing"
        ),
        pytest.param(compare(STATUS, "==", "ONBREAK"), TEXTS, "TTF?", id="text is compared without regard to case"),
        pytest.param(compare(STATUS, "!=", "OnBreak"), TEXTS, "FFT?", id="unlike text"),
        pytest.param(
            In(key(STATUS), (Literal("available", ValueType.TEXT), Literal("Busy", ValueType.TEXT))),
            TEXTS,
            "FFT?",
            id="in, with an unknown",
        ),
        pytest.param(compare(WAITING, "==", 5), snapshot({STATUS: ["a"], WAITING: [5]}), "T", id="equal numbers"),
        pytest.param(
            compare(SLA, "<", 0.8), snapshot({SLA: [0.79, 0.8, float("nan")]}), "TF?", id="a NaN that came is unknown"
        ),
        pytest.param(
            Compare(Op.GT, key(WAIT), number(1)),
            snapshot({STATUS: ["a", "b"]}),
            "??",
            id="no column, no answer",
        ),
        pytest.param(Compare(Op.GT, number(2), number(1)), NUMBERS, "TTTT", id="a constant truth holds everywhere"),
        pytest.param(ABOVE, snapshot({WAITING: []}), "", id="no entities, no verdicts"),
    ],
)
def test_three_valued_logic(condition: Condition, seen: Snapshot, expected: str) -> None:
    """Missing is neither zero nor fine: it makes what depends on it unknown, and nothing else."""
    assert truths(condition, seen) == expected


def test_infinite_values_are_never_true() -> None:
    """A source that lets an infinite value through does not fire an alert with it."""
    column_ = Column(np.array([np.inf, -np.inf, 9.0]), np.zeros(3, dtype=np.uint8))
    seen = Snapshot(Scope.QUEUE, NOW, ("a", "b", "c"), ("A", "B", "C"), {WAITING: column_})
    assert truths(ABOVE, seen) == "??T"


def test_a_text_column_where_a_number_is_expected_is_unknown() -> None:
    """A key whose values turned out to be words compares with nothing, and nothing breaks."""
    seen = snapshot({WAITING: [1, 2]})
    odd = Snapshot(seen.scope, NOW, seen.ids, seen.names, {WAITING: column(["a", "b"], text=True)})
    assert truths(ABOVE, odd) == "??"
    assert truths(compare(STATUS, "==", "a"), snapshot({WAITING: [1]})) == "?"


def test_parameters_come_from_the_rule() -> None:
    """`$warn` is the rule's own value, also when another rule has the same condition with another value."""
    condition = Compare(Op.GT, key(WAIT), Param("warn", ValueType.DURATION))
    low = rule(level(Level.WARNING, condition), id="low", params={"warn": number(10, ValueType.DURATION)})
    high = rule(level(Level.WARNING, condition), id="high", params={"warn": number(99, ValueType.DURATION)})
    verdicts = evaluate_all(RuleSet((low, high)), {Scope.QUEUE: snapshot({WAIT: [50]})})
    assert [int(each.levels[Level.WARNING][0]) for each in verdicts] == [T, F]


def test_guard_and_clear() -> None:
    """A rule without guard decides everywhere; clear is the rule's own for all levels, or else not `when` of each."""
    seen = snapshot({WAIT: [130_000, 50_000, 10_000], "entered.int-30m": [20, 5, None]})
    plain = evaluate(rule(), seen)
    assert plain.guard.tolist() == [T, T, T]
    assert plain.clear[Level.CRITICAL].tolist() == [F, T, T]
    kept = evaluate(rule(guard=compare("entered.int-30m", ">=", 10), clear=compare(WAIT, "<", 45_000)), seen)
    assert kept.guard.tolist() == [T, F, U]
    assert kept.clear[Level.WARNING].tolist() == kept.clear[Level.CRITICAL].tolist() == [F, F, T]


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        pytest.param(Match(), [0, 1, 2, 3], id="all"),
        pytest.param(Match(names=("sales*",)), [0, 1], id="a glob, without regard to case"),
        pytest.param(Match(names=("Sales*", "support ?u")), [0, 1, 2], id="several globs"),
        pytest.param(Match(ids=("q4",)), [3], id="ids"),
        pytest.param(Match(names=("sales*",), ids=("q4",)), [0, 1, 3], id="names or ids"),
        pytest.param(Match(names=("*",), exclude_names=("*TEST*",)), [0, 2, 3], id="excluded by name"),
        pytest.param(Match(exclude_ids=("q1", "q9")), [1, 2, 3], id="excluded by id"),
        pytest.param(Match(names=("sales",)), [], id="a glob covers the whole name"),
        pytest.param(Match(names=("[vip]*",)), [3], id="a bracket in a name"),
    ],
)
def test_match(match: Match, expected: list[int]) -> None:
    """A rule covers what its match names, less what it excludes; arrays are as long as that."""
    seen = snapshot({WAIT: [1, 2, 3, 4]}, names=["Sales EU", "SALES test", "Support EU", "[VIP] x\ny"])
    verdicts = evaluate(rule(match=match), seen)
    assert verdicts.rows.tolist() == expected
    assert len(verdicts.levels[Level.WARNING]) == len(verdicts.guard) == len(expected)
    assert [covers(match, *pair) for pair in zip(seen.ids, seen.names, strict=True)] == [
        row in expected for row in range(4)
    ]
    assert [verdicts.position(row) is not None for row in range(4)] == [row in expected for row in range(4)]


def test_selector_follows_the_entities() -> None:
    """Cached rows are those of the present entities: a renamed or new entity is matched again."""
    selector, matching = Selector(), rule(match=Match(names=("Sales*",)))
    first = evaluate(matching, snapshot({WAIT: [1, 2]}, names=["Sales", "Support"]), selector)
    same = evaluate(matching, snapshot({WAIT: [3, 4]}, names=["Sales", "Support"]), selector)
    renamed = evaluate(matching, snapshot({WAIT: [1, 2]}, names=["Support", "Sales"]), selector)
    assert same.rows is first.rows
    assert renamed.rows.tolist() == [1]


def test_only_rules_of_the_scope_are_evaluated() -> None:
    """A snapshot of queues has no verdicts about agents."""
    rules = RuleSet((rule(), rule(id="agents", scope=Scope.AGENT)))
    assert [each.rule.id for each in evaluate_all(rules, {Scope.QUEUE: snapshot({WAIT: [1]})})] == ["longest-wait"]


# Columns against the scalar interpreter.

# A busy machine must not fail the test.
SLOW_IS_FINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NUMBER_KEYS = ("a", "b", "c", "never")
TEXT_KEYS = ("s", "t", "never")
PARAMS = {"p": number(2.0), "q": number(0.0)}
WORDS = st.sampled_from(["OnBreak", "ONBREAK", "busy", "", "Straße", "STRASSE", "0"])
FLOATS = st.sampled_from([0.0, -0.0, 1.0, 2.0, 3.5, -1.0, 1e308, -1e308, 1e-308, 60_000.0]) | st.floats(
    allow_nan=False, allow_infinity=False
)


def values_() -> st.SearchStrategy[Value]:
    leaf = st.one_of(
        st.builds(number, FLOATS),
        st.sampled_from([Key(name, ValueType.COUNT) for name in NUMBER_KEYS]),
        st.sampled_from([Param(name, ValueType.NUMBER) for name in PARAMS]),
    )
    ops = st.sampled_from([Op.ADD, Op.SUB, Op.MUL, Op.DIV])
    return st.recursive(
        leaf, lambda sides: st.builds(Arithmetic, ops, sides, sides, st.just(ValueType.NUMBER)), max_leaves=5
    )


def conditions() -> st.SearchStrategy[Condition]:
    words = st.sampled_from([Key(name, ValueType.TEXT) for name in TEXT_KEYS])
    literals = st.builds(Literal, WORDS, st.just(ValueType.TEXT))
    comparing = st.sampled_from([Op.LT, Op.LE, Op.GT, Op.GE, Op.EQ, Op.NE])
    leaf = st.one_of(
        st.builds(Compare, comparing, values_(), values_()),
        st.builds(Compare, st.sampled_from([Op.EQ, Op.NE]), words, literals | words),
        st.builds(In, words, st.lists(literals, min_size=1, max_size=3).map(tuple)),
        st.builds(In, values_(), st.lists(st.builds(number, FLOATS), min_size=1, max_size=3).map(tuple)),
        st.builds(
            IsMissing,
            st.sampled_from([Key(name, ValueType.COUNT) for name in NUMBER_KEYS]) | words,
            st.booleans(),
        ),
    )
    return st.recursive(
        leaf,
        lambda below: st.one_of(
            st.builds(Not, below),
            st.builds(And, st.lists(below, min_size=2, max_size=3).map(tuple)),
            st.builds(Or, st.lists(below, min_size=2, max_size=3).map(tuple)),
        ),
        max_leaves=6,
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    size = draw(st.integers(0, 5))
    columns: dict[str, Column] = {}
    for name in (*NUMBER_KEYS[:3], *TEXT_KEYS[:2]):
        cell = WORDS if name in TEXT_KEYS else FLOATS | st.sampled_from([float("inf"), float("nan")])
        cells = draw(st.lists(st.tuples(cell, st.sampled_from(list(Presence))), min_size=size, max_size=size))
        made = np.empty(size, dtype=np.object_ if name in TEXT_KEYS else np.float64)
        made[:] = [value for value, _ in cells]
        columns[name] = Column(made, np.array([presence for _, presence in cells], dtype=np.uint8))
    ids = tuple(str(row) for row in range(size))
    return Snapshot(Scope.QUEUE, NOW, ids, ids, columns)


@SLOW_IS_FINE
@given(condition=conditions(), seen=snapshots())
def test_columns_equal_the_scalar_interpreter(condition: Condition, seen: Snapshot) -> None:
    """For any condition and any data, all rows at once agree with one row at a time."""
    made: Rule = rule(level(Level.WARNING, condition), params=PARAMS)
    verdicts = evaluate(made, seen)
    alone = [truth(condition, made, seen, row) for row in range(len(seen))]
    assert verdicts.levels[Level.WARNING].tolist() == alone
    assert verdicts.levels[Level.WARNING].dtype == np.int8
    assert verdicts.clear[Level.WARNING].tolist() == [{T: F, F: T, U: U}[each] for each in alone]


@SLOW_IS_FINE
@given(first=conditions(), second=conditions(), seen=snapshots())
def test_shared_work_changes_nothing(first: Condition, second: Condition, seen: Snapshot) -> None:
    """Rules evaluated together give the same verdicts as alone, whatever they share."""
    rules = [
        rule(level(Level.WARNING, first), id="a", params=PARAMS),
        rule(level(Level.WARNING, second), id="b", params={"p": number(1.0), "q": number(7.0)}),
        rule(level(Level.WARNING, And((first, second))), id="c", params=PARAMS),
    ]
    for together in evaluate_all(RuleSet(tuple(rules)), {seen.scope: seen}):
        alone = evaluate(together.rule, seen)
        assert together.levels[Level.WARNING].tolist() == alone.levels[Level.WARNING].tolist()


def test_a_poll_shares_with_the_last_one_what_is_equal() -> None:
    """Names, ids, rows and columns, missing values included; nothing where an entity has changed."""
    first = snapshot({WAITING: [5, 1, None], SLA: [0.5, None, 0.7], STATUS: ["OnBreak", None, "Busy"]})
    again = snapshot({WAITING: [5, 2, None], SLA: [0.5, None, 0.7], STATUS: ["OnBreak", None, "Busy"]})
    shared = again.sharing(first)
    assert shared == replace(again, columns=shared.columns)
    assert [shared.columns[name] is first.columns[name] for name in (WAITING, SLA, STATUS)] == [False, True, True]
    assert shared.rows is first.rows
    assert shared.same_entities(first)
    renamed = replace(again, names=("Queue 1", "Other", "Queue 3")).sharing(first)
    assert not renamed.same_entities(first)
    assert renamed.columns[SLA] is not first.columns[SLA]


def test_a_rule_is_evaluated_again_where_a_column_that_it_reads_has_changed() -> None:
    """Else its verdicts are those of the last poll, with the snapshot of this one."""
    rules = RuleSet(
        (
            rule(level(Level.WARNING, compare(WAITING, ">", 2)), id="waiting"),
            rule(level(Level.WARNING, compare(SLA, "<", 0.6)), id="sla", guard=compare(WAITING, ">=", 0)),
            rule(level(Level.WARNING, compare(SLA, "<", 0.6)), id="alone"),
        )
    )
    selector = Selector()

    def evaluated(*waiting: float) -> list[str]:
        polled = selector.sharing({Scope.QUEUE: snapshot({WAITING: waiting, SLA: [0.5, 0.7]})})
        verdicts = evaluate_all(rules, polled, selector)
        assert [each.snapshot is polled[Scope.QUEUE] for each in verdicts] == [True] * 3
        fresh = evaluate_all(rules, polled)
        for one, other in zip(verdicts, fresh, strict=True):
            assert one.levels[Level.WARNING].tolist() == other.levels[Level.WARNING].tolist()
        known, again = {each.rule.id: id(each.guard) for each in verdicts}, [each.rule.id for each in verdicts]
        found = [rule_id for rule_id in again if seen.get(rule_id) != known[rule_id]]
        kept.extend(verdicts)  # so that no array gets the address of one that is gone
        seen.update(known)
        return found

    seen: dict[str, int] = {}
    kept: list[Verdicts] = []
    assert evaluated(5, 1) == ["waiting", "sla", "alone"]
    assert evaluated(5, 1) == []
    assert evaluated(5, 3) == ["waiting", "sla"]


def test_leaves_have_one_number_only_where_they_are_true_alike() -> None:
    """Equal comparisons share one, also of two rules; other parameters, and copies of a condition, are told apart."""
    limit = Compare(Op.GT, A, Param("warn", ValueType.COUNT))

    def of(value: float, name: str) -> Rule:
        return rule(level(Level.WARNING, limit), id=name, params={"warn": number(value, ValueType.COUNT)})

    selector = Selector()
    low, same, high = of(2, "low"), of(2, "same"), of(9, "high")
    numbers = [selector.leaf(limit, each) for each in (low, same, high)]
    assert numbers[0] == numbers[1] != numbers[2]
    assert selector.leaf(replace(limit), low) == numbers[0]
    # A node that is freed leaves its address to the next one.
    assert len({selector.leaf(Compare(Op.GT, A, number(each)), low) for each in range(200)}) == 200
    edited = of(5, "low")
    assert selector.leaf(limit, edited) not in numbers
    assert selector.leaf(limit, low) not in numbers, "a number is never used again"
