"""One rule for one entity: the comparison that a card shows, and the terms of a condition with their values."""

from __future__ import annotations

import pytest

from alertbot.evaluation.evaluate import Truth
from alertbot.evaluation.explain import Term, explain, measure, moving
from alertbot.evaluation.measure import Measure
from alertbot.evaluation.snapshot import Presence, Snapshot
from alertbot.rules.catalogue import ValueType
from alertbot.rules.match import Match
from alertbot.rules.rule import Level
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
    Span,
    Window,
)
from tests.alerts.kit import SLA, STATUS, WAIT, WAITING, compare, key, level, rule, snapshot

COUNT, DURATION, NUMBER = ValueType.COUNT, ValueType.DURATION, ValueType.NUMBER
LONG, MANY = compare(WAIT, ">", 60_000), compare(WAITING, ">=", 5)
SHARE = Arithmetic(Op.DIV, key("accepted.rt"), key("entered.rt"), NUMBER)
ON_BREAK = compare(STATUS, "==", "OnBreak")
SEEN = snapshot({WAIT: [50_000], WAITING: [7], STATUS: ["OnBreak"], "accepted.rt": [3], "entered.rt": [12]})
WAIT_SHOWN = Measure(WAIT, DURATION, ">", 50_000, 60_000)
MANY_SHOWN = Measure(WAITING, COUNT, ">=", 7, 5)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        pytest.param(LONG, WAIT_SHOWN, id="one comparison"),
        pytest.param(
            Compare(Op.LT, Literal(60_000.0, DURATION), key(WAIT)),
            WAIT_SHOWN,
            id="turned, so that the key is on the left",
        ),
        pytest.param(And((MANY, LONG)), MANY_SHOWN, id="of and the first"),
        pytest.param(Or((LONG, MANY)), MANY_SHOWN, id="of or the first that is true"),
        pytest.param(Or((LONG, compare("other.rt", ">", 1))), WAIT_SHOWN, id="of or, with none true, the first"),
        pytest.param(And((ON_BREAK, LONG)), WAIT_SHOWN, id="numbers before words"),
        pytest.param(
            ON_BREAK,
            Measure(STATUS, ValueType.TEXT, "==", "OnBreak", "OnBreak"),
            id="words where there is nothing else",
        ),
        pytest.param(Not(LONG), Measure(WAIT, DURATION, "<=", 50_000, 60_000), id="not turns the operator"),
        pytest.param(
            Not(And((MANY, LONG))),
            Measure(WAIT, DURATION, "<=", 50_000, 60_000),
            id="not and is an or: what made it true",
        ),
        pytest.param(
            Compare(Op.LT, SHARE, Literal(0.5, ValueType.RATIO)),
            Measure("accepted.rt / entered.rt", ValueType.RATIO, "<", 0.25, 0.5),
            id="a quotient against a percentage is a ratio",
        ),
        pytest.param(
            Compare(Op.GT, key(WAIT), Param("warn", DURATION)),
            Measure(WAIT, DURATION, ">", 50_000, 45_000),
            id="a parameter is the threshold",
        ),
        pytest.param(
            Compare(Op.GT, key(WAITING), Arithmetic(Op.MUL, key("accepted.rt"), Literal(2.0, NUMBER), NUMBER)),
            Measure(WAITING, COUNT, ">", 7, 6),
            id="a threshold that is computed",
        ),
        pytest.param(compare(SLA, "<", 0.8), Measure(SLA, ValueType.RATIO, "<", None, 0.8), id="no value: none"),
        pytest.param(In(key(STATUS), (Literal("OnBreak", ValueType.TEXT),)), None, id="nothing to compare with"),
        pytest.param(IsMissing(key(WAIT), negated=False), None, id="is missing has no comparison"),
        pytest.param(Compare(Op.GT, Literal(2.0, NUMBER), Literal(1.0, NUMBER)), None, id="no key, no measure"),
    ],
)
def test_measure(condition: Condition, expected: Measure | None) -> None:
    """A card shows what was measured against what, the key on the left."""
    watched = rule(level(Level.WARNING, condition), params={"warn": Literal(45_000.0, DURATION)})
    assert measure(watched, Level.WARNING, SEEN, 0) == expected


def test_no_measure_for_a_level_that_is_not_there() -> None:
    """A level that the rule does not have has nothing to show."""
    assert measure(rule(level(Level.WARNING, LONG)), Level.CRITICAL, SEEN, 0) is None


AVERAGE = Window("avg", key(WAITING), 600_000.0, NUMBER)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        pytest.param(LONG, key(WAIT), id="a key against a limit"),
        pytest.param(Compare(Op.LT, Literal(60_000.0, DURATION), key(WAIT)), key(WAIT), id="turned"),
        pytest.param(Compare(Op.GT, key(WAIT), Param("warn", DURATION)), key(WAIT), id="a parameter"),
        pytest.param(Compare(Op.GT, AVERAGE, Literal(3.0, NUMBER)), AVERAGE, id="a window"),
        pytest.param(And((ON_BREAK, LONG)), key(WAIT), id="of and the number"),
        pytest.param(ON_BREAK, None, id="text"),
        pytest.param(Or((LONG, MANY)), None, id="of or, whichever is true"),
        pytest.param(Compare(Op.GT, key(WAITING), AVERAGE), None, id="a limit that moves"),
        pytest.param(Compare(Op.LT, SHARE, Literal(0.5, ValueType.RATIO)), None, id="computed of two keys"),
        pytest.param(
            Compare(Op.GT, Window("usual", key(WAITING), 4 * 7 * 86_400_000.0, NUMBER), Literal(3.0, NUMBER)),
            None,
            id="usual",
        ),
        pytest.param(IsMissing(key(WAIT), negated=False), None, id="no comparison"),
    ],
)
def test_what_moves_in_a_measure(condition: Condition, expected: Key | Window | None) -> None:
    """Where only one key or window can move, its values are read in columns."""
    assert moving(level(Level.WARNING, condition)) == expected


def test_the_label_is_as_written() -> None:
    """An expression is shown as its author spelt it, cut from the condition's text."""
    text = "(accepted.rt/entered.rt) < 50%"
    written = Arithmetic(SHARE.op, SHARE.left, SHARE.right, SHARE.type, span=Span(1, 23))
    condition = Compare(Op.LT, written, Literal(0.5, ValueType.RATIO))
    one = level(Level.WARNING, condition)
    watched = rule(type(one)(one.level, condition, text))
    found = measure(watched, Level.WARNING, SEEN, 0)
    assert found is not None
    assert found.label == "accepted.rt/entered.rt"


def _lines(term: Term, depth: int = 0) -> list[str]:
    said = term.truth.name.lower() if term.truth is not None else str(term.value)
    why = f" ({term.presence.name.lower()})" if term.presence not in (None, Presence.PRESENT) else ""
    return ["  " * depth + f"{term.text}: {said}{why}"] + [
        line for part in term.parts for line in _lines(part, depth + 1)
    ]


def test_explain_goes_term_by_term() -> None:
    """Every part of a condition with its value, and for what is missing the reason."""
    condition = And(
        (
            Or((LONG, Not(ON_BREAK))),
            Compare(Op.LT, SHARE, Literal(0.5, ValueType.RATIO)),
            IsMissing(key(SLA), negated=False),
        )
    )
    watched = rule(
        level(Level.WARNING, condition), guard=compare(SLA, "<", 0.9), guard_text="slaPercentage.int-30m < 90%"
    )
    found = explain(watched, SEEN, 0)
    assert found.covered
    assert found.clear is None
    assert found.guard is not None
    assert _lines(found.guard) == [
        "slaPercentage.int-30m < 90%: unknown",
        "  slaPercentage.int-30m: None (absent)",
        "  90%: 0.9",
    ]
    assert _lines(found.levels[Level.WARNING]) == [
        '(interactionsLongestWaitInQueue.rt > 1m or not status.rt == "OnBreak") and accepted.rt / entered.rt < 50% '
        "and slaPercentage.int-30m is missing: false",
        '  interactionsLongestWaitInQueue.rt > 1m or not status.rt == "OnBreak": false',
        "    interactionsLongestWaitInQueue.rt > 1m: false",
        "      interactionsLongestWaitInQueue.rt: 50000.0",
        "      1m: 60000.0",
        '    not status.rt == "OnBreak": false',
        '      status.rt == "OnBreak": true',
        "        status.rt: OnBreak",
        '        "OnBreak": OnBreak',
        "  accepted.rt / entered.rt < 50%: true",
        "    accepted.rt / entered.rt: 0.25",
        "      accepted.rt: 3.0",
        "      entered.rt: 12.0",
        "    50%: 0.5",
        "  slaPercentage.int-30m is missing: true",
        "    slaPercentage.int-30m: None (absent)",
    ]


def test_explain_an_entity_that_is_not_covered() -> None:
    """The conditions are shown all the same, and that the rule does not cover it."""
    found = explain(rule(match=Match(names=("Sales*",))), SEEN, 0)
    assert not found.covered
    assert found.levels[Level.CRITICAL].truth is Truth.FALSE


def test_values_of_the_wrong_kind_are_missing() -> None:
    """Text where a number belongs is not a value, and is reported as invalid."""
    words = snapshot({STATUS: ["a"]})
    odd = Snapshot(words.scope, words.at, words.ids, words.names, {WAIT: words.columns[STATUS]})
    term = explain(rule(), odd, 0).levels[Level.WARNING].parts[0]
    assert (term.value, term.presence) == (None, Presence.INVALID)
