"""A condition reported as never true is never true: ranges compared with the evaluation of real values."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertbot.evaluation.evaluate import Truth, evaluate
from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.expression import parse
from alertbot.rules.ranges import can_be_true
from alertbot.rules.rule import Level, LevelRule, Rule
from alertbot.rules.tree import And, Compare, Condition, In, IsMissing, Key, Literal, Not, Op, Or
from tests.alerts.kit import NOW

WAITING, ENTERED = Key("interactionsWaitInQueue.rt", ValueType.COUNT), Key("entered.today", ValueType.COUNT)
STATUS = Key("status.rt", ValueType.TEXT)
WORDS = ("OnBreak", "onbreak", "Available")
LIMITS = range(5)
VALUES: list[float | None] = [None, *map(float, range(-1, 7))]

limits = st.sampled_from(LIMITS).map(lambda value: Literal(float(value), ValueType.NUMBER))
numbers = st.sampled_from([WAITING, ENTERED])
orders = st.sampled_from([Op.LT, Op.LE, Op.GT, Op.GE, Op.EQ, Op.NE])
leaves: st.SearchStrategy[Condition] = st.one_of(
    st.builds(Compare, orders, numbers, limits),
    st.builds(Compare, orders, limits, numbers),
    st.builds(Compare, orders, numbers, numbers),
    st.builds(IsMissing, numbers, st.booleans()),
    st.builds(
        Compare,
        st.sampled_from([Op.EQ, Op.NE]),
        st.just(STATUS),
        st.sampled_from(WORDS).map(lambda word: Literal(word, ValueType.TEXT)),
    ),
    st.builds(
        In,
        st.just(STATUS),
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=2).map(
            lambda words: tuple(Literal(word, ValueType.TEXT) for word in words)
        ),
    ),
)
conditions: st.SearchStrategy[Condition] = st.recursive(
    leaves,
    lambda below: st.one_of(
        st.builds(Not, below),
        st.lists(below, min_size=2, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(below, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=6,
)


def everything() -> Snapshot:
    """An entity for each combination of values that a condition over these keys could distinguish."""
    rows = list(itertools.product(VALUES[:1] + VALUES[2:], VALUES[:1] + VALUES[2:], [None, *WORDS, "Other"]))
    waiting, entered, status = zip(*rows, strict=True)

    def presence(values: tuple[object, ...]) -> np.ndarray:
        return np.array([Presence.NULL if each is None else Presence.PRESENT for each in values], dtype=np.uint8)

    def column(values: tuple[float | None, ...]) -> Column:
        return Column(np.array([np.nan if each is None else each for each in values]), presence(values))

    words = np.array(["" if each is None else each for each in status], dtype=np.object_)
    ids = tuple(str(index) for index in range(len(rows)))
    columns = {WAITING.key: column(waiting), ENTERED.key: column(entered), STATUS.key: Column(words, presence(status))}
    return Snapshot(Scope.QUEUE, NOW, ids, ids, columns)


EVERYTHING = everything()


@settings(max_examples=400, deadline=None)
@given(conditions)
def test_never_true_is_never_true_and_nothing_else_is(condition: Condition) -> None:
    """Against every mix of values. A condition over one difference of two keys may be missed, never the other way."""
    rule = Rule("r", "R", Scope.QUEUE, (LevelRule(Level.WARNING, condition, ""),))
    true = bool((evaluate(rule, EVERYTHING).levels[Level.WARNING] == Truth.TRUE).any())
    possible = can_be_true(condition, {})
    assert possible or not true
    if not any(isinstance(leaf, Compare) and isinstance(leaf.right, Key) for leaf in leaves_of(condition)):
        assert possible is true


def leaves_of(condition: Condition) -> list[Condition]:
    match condition:
        case Not(operand=operand):
            return leaves_of(operand)
        case And(parts=parts) | Or(parts=parts):
            return [leaf for part in parts for leaf in leaves_of(part)]
        case _:
            return [condition]


@pytest.mark.parametrize(
    ("text", "possible"),
    [
        ("slaPercentage.today > 50% and slaPercentage.today < 51%", True),
        ("slaPercentage.today > 100%", False),
        ("interactionsLongestWaitInQueue.rt > 5s and interactionsLongestWaitInQueue.rt < 6s", True),
        ("interactionsWaitInQueue.rt / enabled.rt > 3 and interactionsWaitInQueue.rt / enabled.rt < 2", False),
        ("2 * interactionsWaitInQueue.rt > 3 and interactionsWaitInQueue.rt * 2 < 2", True),
        ("avg(entered.today, 5m) > 5 and avg(entered.today, 10m) < 5", True),
        ("changes(entered.today, 5m) > 5 and changes(entered.today, 5m) < 6", False),
        ("avg(entered.today, 5m) > 5 and entered.today is missing", True),
        ("delta(entered.today, 5m) < 0", True),
    ],
)
def test_by_hand(text: str, possible: bool) -> None:
    assert can_be_true(parse(text, Scope.QUEUE, {}), {}) is possible


def test_a_condition_with_too_many_ways_may_be_true() -> None:
    """It does not take minutes, and nothing is reported about it."""
    ors = " and ".join(f"(entered.today > {n} or interactionsWaitInQueue.rt > {n})" for n in range(40))
    assert can_be_true(parse(f"{ors} and entered.today < 0", Scope.QUEUE, {}), {})
