"""The condition language: texts and their trees, refusals and their sentences, and writing a tree down again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertbot.errors import BadExpression
from alertbot.rules.catalogue import RULE_SCOPES, Scope, ValueType, catalogue
from alertbot.rules.expression import MAX_LENGTH, parse
from alertbot.rules.functions import FUNCTIONS
from alertbot.rules.tree import (
    USUAL,
    WEEK,
    And,
    Arithmetic,
    Compare,
    Condition,
    Count,
    In,
    IsMissing,
    Key,
    Literal,
    Not,
    Op,
    Or,
    Param,
    Value,
    Window,
    keys_of,
    show,
    walk,
)
from alertbot.rules.value_types import Refusal, arithmetic_type, comparison_refusal

COUNT, DURATION, RATIO = ValueType.COUNT, ValueType.DURATION, ValueType.RATIO
NUMBER, TEXT, TIMESTAMP = ValueType.NUMBER, ValueType.TEXT, ValueType.TIMESTAMP

PARAMS = {
    "warn": Literal(60_000.0, DURATION),
    "share": Literal(0.85, RATIO),
    "n": Literal(3.0, NUMBER),
    "word": Literal("Lunch", TEXT),
}

WAIT = Key("interactionsLongestWaitInQueue.rt", DURATION)
WAITING = Key("interactionsWaitInQueue.rt", COUNT)
ELIGIBLE = Key("eligible.rt", COUNT)
ENTERED = Key("entered.int-30m", COUNT)
SLA = Key("slaPercentage.int-30m", RATIO)
STATUS = Key("status.rt", TEXT)
ON_STATUS = Key("timeOnStatus.rt", DURATION)
LOGIN, LOGOUT = Key("lastLogin.rt", TIMESTAMP), Key("lastLogout.rt", TIMESTAMP)


def number(value: float) -> Literal:
    return Literal(value, NUMBER)


def more(left: Value, right: Value) -> Compare:
    return Compare(Op.GT, left, right)


def read(text: str, scope: Scope = Scope.QUEUE, *, known: bool = True) -> Condition:
    return parse(text, scope, PARAMS, known)


A, B, C = more(WAITING, number(5)), more(ELIGIBLE, number(1)), more(ENTERED, number(20))
a, b, c = "interactionsWaitInQueue.rt > 5", "eligible.rt > 1", "entered.int-30m > 20"

GOOD: dict[str, tuple[Scope, str, Condition]] = {
    "a minus belongs to the key": (Scope.QUEUE, "entered.int-30m > 20", C),
    "a minus between keys subtracts": (
        Scope.QUEUE,
        "entered.int-30m-eligible.rt > 5",
        more(Arithmetic(Op.SUB, ENTERED, ELIGIBLE, COUNT), number(5)),
    ),
    "a suffix": (
        Scope.QUEUE_AGENT,
        "accepted.int-15m.inQueue >= 1",
        Compare(Op.GE, Key("accepted.int-15m.inQueue", COUNT), number(1)),
    ),
    "a total": (
        Scope.QUEUE_TOTALS,
        "total.entered.int-15m != 0",
        Compare(Op.NE, Key("total.entered.int-15m", COUNT), number(0)),
    ),
    "a key that begins like a word": (
        Scope.AGENT,
        "internalCalls.today > 1 and offered.today > 1",
        And((more(Key("internalCalls.today", COUNT), number(1)), more(Key("offered.today", COUNT), number(1)))),
    ),
    "seconds": (Scope.QUEUE, f"{WAIT.key} > 120s", more(WAIT, Literal(120_000.0, DURATION))),
    "minutes and seconds": (Scope.QUEUE, f"{WAIT.key} > 1m30s", more(WAIT, Literal(90_000.0, DURATION))),
    "milliseconds": (Scope.QUEUE, f"{WAIT.key} > 250ms", more(WAIT, Literal(250.0, DURATION))),
    "hours": (Scope.QUEUE, f"{WAIT.key} > 2h", more(WAIT, Literal(7_200_000.0, DURATION))),
    "a percentage": (Scope.QUEUE, f"{SLA.key} < 82.5%", Compare(Op.LT, SLA, Literal(0.825, RATIO))),
    "a negative number": (Scope.QUEUE, f"{ELIGIBLE.key} == -2.5", Compare(Op.EQ, ELIGIBLE, number(-2.5))),
    "a text with quotes in it": (
        Scope.AGENT,
        r'status.rt == "a \"b\" \\c"',
        Compare(Op.EQ, STATUS, Literal(r'a "b" \c', TEXT)),
    ),
    "a list": (
        Scope.AGENT,
        'status.rt in ["OnBreak","WorkingOffline"]',
        In(STATUS, (Literal("OnBreak", TEXT), Literal("WorkingOffline", TEXT))),
    ),
    "a parameter": (Scope.QUEUE, f"{WAIT.key} > $warn", more(WAIT, Param("warn", DURATION))),
    "a text as parameter": (Scope.AGENT, "status.rt == $word", Compare(Op.EQ, STATUS, Param("word", TEXT))),
    "products before sums": (
        Scope.QUEUE,
        f"{WAITING.key} + 2 * {ELIGIBLE.key} > 5",
        more(Arithmetic(Op.ADD, WAITING, Arithmetic(Op.MUL, number(2), ELIGIBLE, NUMBER), NUMBER), number(5)),
    ),
    "differences from the left": (
        Scope.QUEUE,
        f"{WAITING.key} - {ELIGIBLE.key} - 1 > 5",
        more(Arithmetic(Op.SUB, Arithmetic(Op.SUB, WAITING, ELIGIBLE, COUNT), number(1), NUMBER), number(5)),
    ),
    "parentheses first": (
        Scope.QUEUE,
        f"{WAITING.key} - ({ELIGIBLE.key} - 1) > 5",
        more(Arithmetic(Op.SUB, WAITING, Arithmetic(Op.SUB, ELIGIBLE, number(1), NUMBER), NUMBER), number(5)),
    ),
    "a quotient of counts against a plain number": (
        Scope.QUEUE,
        f"{WAITING.key} / {ELIGIBLE.key} > 2",
        more(Arithmetic(Op.DIV, WAITING, ELIGIBLE, NUMBER), number(2)),
    ),
    "a quotient of counts against a percentage": (
        Scope.QUEUE,
        f"{WAITING.key} / {ELIGIBLE.key} > 25%",
        more(Arithmetic(Op.DIV, WAITING, ELIGIBLE, NUMBER), Literal(0.25, RATIO)),
    ),
    "a duration times a number is a duration": (
        Scope.QUEUE,
        f"{WAIT.key} > 1.5 * slaTimeThreshold.today",
        more(WAIT, Arithmetic(Op.MUL, number(1.5), Key("slaTimeThreshold.today", DURATION), DURATION)),
    ),
    "a duration by a duration is a number": (
        Scope.QUEUE,
        f"{WAIT.key} / slaTimeThreshold.today > 80%",
        more(Arithmetic(Op.DIV, WAIT, Key("slaTimeThreshold.today", DURATION), NUMBER), Literal(0.8, RATIO)),
    ),
    "a ratio beside a product": (
        Scope.QUEUE,
        f"{SLA.key} < slaPercentageTarget.today * 0.9",
        Compare(Op.LT, SLA, Arithmetic(Op.MUL, Key("slaPercentageTarget.today", RATIO), number(0.9), NUMBER)),
    ),
    "timestamps": (Scope.AGENT, "lastLogin.rt > lastLogout.rt", more(LOGIN, LOGOUT)),
    "between timestamps lies a duration": (
        Scope.AGENT,
        "lastLogout.rt - lastLogin.rt > 8h",
        more(Arithmetic(Op.SUB, LOGOUT, LOGIN, DURATION), Literal(28_800_000.0, DURATION)),
    ),
    "and before or": (Scope.QUEUE, f"{a} or {b} and {c}", Or((A, And((B, C))))),
    "not before and": (Scope.QUEUE, f"not {a} and {b}", And((Not(A), B))),
    "not of a parenthesis": (Scope.QUEUE, f"not ({a} and {b})", Not(And((A, B)))),
    "parentheses keep their shape": (Scope.QUEUE, f"({a} and {b}) and {c}", And((And((A, B)), C))),
    "a mean over a window": (
        Scope.QUEUE,
        f"avg({WAIT.key}, 10m) > 60s",
        more(Window("avg", WAIT, 600_000.0, DURATION), Literal(60_000.0, DURATION)),
    ),
    "a value of last week": (
        Scope.QUEUE,
        f"{ENTERED.key} < ago({ENTERED.key}, 7d) / 2",
        Compare(Op.LT, ENTERED, Arithmetic(Op.DIV, Window("ago", ENTERED, 604_800_000.0, COUNT), number(2), NUMBER)),
    ),
    "what is usual at this time of the week": (
        Scope.QUEUE,
        f"{ENTERED.key} > 2 * usual({ENTERED.key}, 4w)",
        more(ENTERED, Arithmetic(Op.MUL, number(2), Window("usual", ENTERED, 4 * WEEK, COUNT), NUMBER)),
    ),
    "weeks may be written in days": (
        Scope.QUEUE,
        f"{WAIT.key} > usual({WAIT.key}, 14d)",
        more(WAIT, Window("usual", WAIT, 2 * WEEK, DURATION)),
    ),
    "how often a status changed": (
        Scope.AGENT,
        "changes(status.rt, 1h30m) >= 10",
        Compare(Op.GE, Window("changes", STATUS, 5_400_000.0, COUNT), number(10)),
    ),
    "between two times lies a duration": (
        Scope.AGENT,
        "delta(lastLogin.rt, 1h) > 10m",
        more(Window("delta", LOGIN, 3_600_000.0, DURATION), Literal(600_000.0, DURATION)),
    ),
    "a status of before": (
        Scope.AGENT,
        'ago(status.rt, 5m) in ["OnBreak"]',
        In(Window("ago", STATUS, 300_000.0, TEXT), (Literal("OnBreak", TEXT),)),
    ),
    "a count of agents": (
        Scope.QUEUE,
        f'{WAITING.key} > 2 * count( agents where status.rt == "Available" or timeOnStatus.rt > $warn)',
        more(
            WAITING,
            Arithmetic(
                Op.MUL,
                number(2),
                Count(
                    Or(
                        (
                            Compare(Op.EQ, STATUS, Literal("Available", TEXT)),
                            more(ON_STATUS, Param("warn", DURATION)),
                        )
                    ),
                    Scope.QUEUE_AGENT,
                ),
                NUMBER,
            ),
        ),
    ),
    "agents of a group over a window": (
        Scope.GROUP,
        "count(agents where max(timeOnStatus.rt, 5m) > 20m) == 0",
        Compare(
            Op.EQ,
            Count(
                more(Window("max", ON_STATUS, 300_000.0, DURATION), Literal(1_200_000.0, DURATION)), Scope.GROUP_AGENT
            ),
            number(0),
        ),
    ),
    "missing": (Scope.QUEUE, f"{WAIT.key} is missing", IsMissing(WAIT, False)),
    "not missing": (Scope.QUEUE, f"{WAIT.key} is not missing", IsMissing(WAIT, True)),
    "spaces and line breaks mean nothing": (Scope.QUEUE, f"  (({a}))\n\tand\r\n{b} ", And((A, B))),
}


@pytest.mark.parametrize(("scope", "text", "tree"), GOOD.values(), ids=GOOD)
def test_a_text_and_its_tree(scope: Scope, text: str, tree: Condition) -> None:
    """What is written is what is meant, types included."""
    assert read(text, scope) == tree
    assert read(show(tree), scope) == tree


# Text with the wrong part between « and », message, hint.
BAD: dict[str, tuple[str, str, str]] = {
    "seconds without unit": (
        f"{WAIT.key} > «120»",
        f"{WAIT.key} cannot be compared with 120",
        "a duration: write 120s",
    ),
    "milliseconds without unit": (
        f"{WAIT.key} > «90000»",
        f"{WAIT.key} cannot be compared with 90000",
        "a duration: write 1m30s, or 90000s for seconds",
    ),
    "a sum without unit": (
        f"{WAIT.key} + «5» > 60s",
        f"5 cannot be added to {WAIT.key}",
        "a duration: write 5s",
    ),
    "a percentage without sign": (f"{SLA.key} < «80»", f"{SLA.key} cannot be compared with 80", "a ratio: write 80%"),
    "a fraction": (f"{SLA.key} < «0.8»", f"{SLA.key} cannot be compared with 0.8", "a ratio: write 80%"),
    "one": (f"{SLA.key} < «1»", f"{SLA.key} cannot be compared with 1", "a ratio: write 100%, or 1%"),
    "constant on the left": (f"«80» > {SLA.key}", f"80 cannot be compared with {SLA.key}", "a ratio: write 80%"),
    "a ratio beside a count": (
        f"«{SLA.key} > {ELIGIBLE.key}»",
        f"{SLA.key} cannot be compared with {ELIGIBLE.key}",
        f"{SLA.key} is a ratio, {ELIGIBLE.key} is a count",
    ),
    "a count with percent": (
        f"{ENTERED.key} > «85%»",
        f"{ENTERED.key} cannot be compared with 85%",
        f"a count: write a plain number, or divide {ENTERED.key} by another count",
    ),
    "a count with seconds": (
        f"{ENTERED.key} > «120s»",
        f"{ENTERED.key} cannot be compared with 120s",
        "a count: write a plain number",
    ),
    "a duration with percent": (
        f"{WAIT.key} > «85%»",
        f"{WAIT.key} cannot be compared with 85%",
        "a duration: write 120s",
    ),
    "a parameter of another type": (
        f"{WAIT.key} > «$n»",
        f"{WAIT.key} cannot be compared with $n",
        "a duration: set $n to one, such as 120s",
    ),
    "durations multiplied": (
        f"«{WAIT.key} * {WAIT.key}» > 5",
        "two durations cannot be multiplied",
        "multiply a duration by a plain number",
    ),
    "divided by a duration": (
        f"«{WAITING.key} / {WAIT.key}» > 5",
        f"{WAITING.key} cannot be divided by a duration",
        "divide a duration by a plain number or a duration",
    ),
    "divided by zero": (
        f"{WAITING.key} / «0» > 5",
        f"{WAITING.key} / 0 divides by zero",
        "the result is always unknown",
    ),
    "constants": ("«3 > 2»", "3 > 2 never changes", "compare with a metric key"),
    "a number in quotes": (
        f'{ENTERED.key} == «"5"»',
        f'{ENTERED.key} cannot be compared with "5"',
        "a count: write 5, without quotes",
    ),
    "an unknown key": (
        "«interactionsWaitInQeue.rt» > 5",
        'unknown key "interactionsWaitInQeue.rt" for scope queue',
        'did you mean "interactionsWaitInQueue.rt"?',
    ),
    "a guessed key": (
        "«longestWait.rt» > 2m",
        'unknown key "longestWait.rt" for scope queue',
        'did you mean "interactionsLongestWaitInQueue.rt"?',
    ),
    "another case": ("«Eligible.RT» > 5", 'unknown key "Eligible.RT" for scope queue', 'did you mean "eligible.rt"?'),
    "a key of another scope": (
        '«statusCode.rt» == "Lunch"',
        'unknown key "statusCode.rt" for scope queue',
        "agent, queue_agent and group_agent have it, queue does not",
    ),
    "a key without period": (
        "«newInQueue» > 5",
        'unknown key "newInQueue" for scope queue',
        "which period? newInQueue.int-15m, newInQueue.int-30m or newInQueue.today",
    ),
    "an undefined parameter": (f"{WAIT.key} > «$wran»", "there is no parameter $wran", "did you mean $warn?"),
    "an unknown function": (
        f"«avrg({WAIT.key}, 10m)» > 60s",
        "unknown function avrg(…)",
        "did you mean avg?",
    ),
    "a function of another language": (
        f"«mean({WAIT.key}, 10m)» > 60s",
        "unknown function mean(…)",
        "did you mean avg?",
    ),
    "an unknown function, far from any": (
        "«sqrt(2)» > 60s",
        "unknown function sqrt(…)",
        "the functions are avg, min, max, sum, delta, changes, ago, usual and count",
    ),
    "usual over part of a week": (
        f"{WAIT.key} > usual({WAIT.key}, «10d»)",
        "10d is not a number of weeks",
        "usual takes whole weeks: write 1w",
    ),
    "usual over minutes": (
        f"{WAIT.key} > usual({WAIT.key}, «10m»)",
        "10m is not a number of weeks",
        "usual takes whole weeks: write 1w",
    ),
    "usual with a bare number": (
        f"{WAIT.key} > usual({WAIT.key}, «4»)",
        "4 is not a window",
        "a duration: write 4w",
    ),
    "usual over a parameter": (
        f"{WAIT.key} > usual({WAIT.key}, «$warn»)",
        "$warn is not a window",
        "a number of weeks such as 4w",
    ),
    "usual of nothing": (
        f"{WAIT.key} > «usual({WAIT.key})»",
        "usual takes a metric key and a window",
        "such as accepted.int-30m > 2 * usual(accepted.int-30m, 4w)",
    ),
    "usual by another name": (
        f"{WAIT.key} > «baseline({WAIT.key}, 4w)»",
        "unknown function baseline(…)",
        "did you mean usual?",
    ),
    "a window left out": (
        f"«avg({WAIT.key})» > 60s",
        "avg takes a metric key and a window",
        "such as avg(interactionsWaitInQueue.rt, 10m) > 5",
    ),
    "a window without unit": (
        f"avg({WAIT.key}, «10») > 60s",
        "10 is not a window",
        "a duration: write 10m or 10s",
    ),
    "a window that is a key": (
        f"avg({WAIT.key}, «{WAIT.key}») > 60s",
        f"{WAIT.key} is not a window",
        "a duration such as 10m",
    ),
    "a window of no length": (f"avg({WAIT.key}, «0s») > 60s", "0s is not a window", "a duration such as 10m"),
    "a negative window": (f"avg({WAIT.key}, «-5m») > 60s", "-5m is not a window", "a duration such as 10m"),
    "a sum in a function": (
        f"avg(«{WAITING.key} + 1», 10m) > 5",
        f"avg takes one metric key, not {WAITING.key} + 1",
        "such as avg(interactionsWaitInQueue.rt, 10m) > 5",
    ),
    "where in a window": (
        f"avg(«{WAITING.key} where {a}», 10m) > 5",
        "avg does not take `where`",
        "such as avg(interactionsWaitInQueue.rt, 10m) > 5",
    ),
    "a window keeps the type of its key": (
        f"avg({WAIT.key}, 10m) > «60»",
        f"avg({WAIT.key}, 10m) cannot be compared with 60",
        "a duration: write 60s",
    ),
    "changes are a count": (
        f"changes({WAIT.key}, 10m) > «60s»",
        f"changes({WAIT.key}, 10m) cannot be compared with 60s",
        "a count: write a plain number",
    ),
    "a window is a value": (
        f"«max({WAIT.key}, 10m)»",
        f"max({WAIT.key}, 10m) is a duration, not a condition",
        f"compare it, as in max({WAIT.key}, 10m) > 60s",
    ),
    "a window is not missing": (
        f"«avg({WAIT.key}, 10m)» is missing",
        f"avg({WAIT.key}, 10m) is missing: only a metric key can be missing",
        "",
    ),
    "a key of a queue for its agents": (
        f"count(agents where «{WAITING.key}» > 5) > 3",
        f'unknown key "{WAITING.key}" for scope queue_agent',
        "queue has it, queue_agent does not",
    ),
    "agents without condition": (
        "«count(agents)» > 3",
        "count takes `agents where` and a condition",
        'such as count(agents where status.rt == "OnBreak" and timeOnStatus.rt > 20m) > 3',
    ),
    "a count of something else": (
        f"«count(calls where {a})» > 3",
        "count takes `agents where` and a condition",
        'such as count(agents where status.rt == "OnBreak" and timeOnStatus.rt > 20m) > 3',
    ),
    "a type error among the agents": (
        "count(agents where timeOnStatus.rt > «20») > 3",
        "timeOnStatus.rt cannot be compared with 20",
        "a duration: write 20s",
    ),
    "a count of agents in a count": (
        "count(agents where «count(agents where timeOnStatus.rt > 1m)» > 1) > 3",
        "count(agents …) works in the scopes queue and group",
        "a rule of scope queue_agent has no agents to count",
    ),
    "a value alone": (
        f"«{WAIT.key}» or {a}",
        f"{WAIT.key} is a duration, not a condition",
        f"compare it, as in {WAIT.key} > 60s",
    ),
    "a condition in a sum": (
        f"1 + («{a}») > 2",
        f"{a} is a condition, not a value",
        "join conditions with and, or, not",
    ),
    "two comparisons": (
        f"«1 < {ELIGIBLE.key} <= 3»",
        "two comparisons in a row",
        f"write 1 < {ELIGIBLE.key} and {ELIGIBLE.key} <= 3",
    ),
    "a sum is missing": (
        f"«{WAIT.key} + 1s» is missing",
        f"{WAIT.key} + 1s is missing: only a metric key can be missing",
        "",
    ),
    "in for numbers": (
        f"«{ENTERED.key}» in [1, 2]",
        f"{ENTERED.key} is a count, and `in` works on text only",
        "compare with == and join with or",
    ),
    "a unit of words": (f"{WAIT.key} > «5minutes»", "5minutes is neither a number, a duration nor a ratio", "write 5m"),
    "units out of order": (
        f"{WAIT.key} > «30s1m»",
        "30s1m is neither a number, a duration nor a ratio",
        "write 3, 2.5, 85%, 250ms, 120s, 1m30s or 2h",
    ),
    "a unit apart": (f"{WAIT.key} > «120 s»", "120 s has a space before its unit", "write 120s"),
    "a percent sign apart": (f"{SLA.key} < «80 %»", "80 % has a space before its unit", "write 80%"),
    "one equals sign": (f"{ENTERED.key} «=» 5", "unexpected =", "write =="),
    "arrows": (f"{ENTERED.key} «=>» 5", "unexpected =>", "write >="),
    "unlike in SQL": (f"{ENTERED.key} «<>» 5", "unexpected <>", "write !="),
    "and of C": (f"{a} «&&» {b}", "unexpected &&", "write and"),
    "or of C": (f"{a} «||» {b}", "unexpected ||", "write or"),
    "not of C": (f"«!»({a})", "unexpected !", "write not"),
    "AND": (f"{a} «AND» {b}", "unexpected AND", "write and, in lower case"),
    "single quotes": (f"{ENTERED.key} == «'x'»", "unexpected 'x'", 'write "x"'),
    "no zero before the point": (f"{ENTERED.key} > «.5»", "unexpected .5", "write 0.5"),
    "no operator": (
        f"{a} «eligible.rt» > 1",
        "unexpected eligible.rt",
        "write an operator in between, such as > or and",
    ),
    "nothing after and": (f"{a} and«»", "the condition ends too early", "write a metric key or a value"),
    "a parenthesis that stays open": (f"({a}«»", "the condition ends too early", "write the closing )"),
    "a parenthesis too much": (f"{a}«)»", "a ) without a (", ""),
    "a list that stays open": (
        f'{ENTERED.key} in ["a"«»',
        "the condition ends too early",
        "write a comma or the closing ]",
    ),
    "is what": (f"{ENTERED.key} is«»", "the condition ends too early", "write is missing, or is not missing"),
    "a text that stays open": (f'{ENTERED.key} == «"x»', 'text without its closing "', ""),
    "no name behind $": (f"{ENTERED.key} > «$5»", "$5 is not a parameter", "write $name: letters, digits and _"),
    "nothing": ("«»", "an empty condition", "write one such as entered.today > 5"),
}

BAD_FOR_AGENTS: dict[str, tuple[str, str, str]] = {
    "a text without quotes": ("status.rt == «OnBreak»", "OnBreak needs quotes", 'write "OnBreak"'),
    "a list without quotes": ('status.rt in ["A", «B»]', "B is not text", 'write "B"'),
    "a number for a text": ("status.rt == «3»", "status.rt cannot be compared with 3", 'text: write "3"'),
    "texts are not ordered": ('«status.rt > "A"»', "text cannot be compared with >", "text has ==, != and in"),
    "texts are not added": (
        '«status.rt + "A"» == "B"',
        "status.rt is text, which has no +",
        "text has ==, != and in",
    ),
    "not in": ('«status.rt not in ["A"]»', "there is no `not in`", 'write not status.rt in ["A"]'),
    "an empty list": ("«status.rt in []»", "an empty list: it matches nothing", 'write the choices, as in ["A", "B"]'),
    "a mean of texts": (
        "avg(«status.rt», 10m) > 5",
        "status.rt is text, which avg does not accept",
        "changes and ago accept it",
    ),
    "agents of an agent": (
        '«count(agents where status.rt == "OnBreak")» > 3',
        "count(agents …) works in the scopes queue and group",
        "a rule of scope agent has no agents to count",
    ),
    "a mean of timestamps": (
        "avg(«lastLogin.rt», 10m) > lastLogout.rt",
        "lastLogin.rt is a timestamp, which avg does not accept",
        "min, max, delta, changes and ago accept it",
    ),
    "a timestamp and a number": (
        "lastLogin.rt > «5»",
        "lastLogin.rt cannot be compared with 5",
        "use a timestamp only with timestamps: write another timestamp key",
    ),
    "timestamps added": (
        "«lastLogin.rt + lastLogout.rt» > lastLogin.rt",
        "two timestamps cannot be added",
        "one minus the other is a duration",
    ),
    "a timestamp multiplied": (
        "«lastLogin.rt * 2» > lastLogin.rt",
        "lastLogin.rt is a timestamp, which has no *",
        "it has + and - only",
    ),
}


@pytest.mark.parametrize(
    ("scope", "marked", "message", "hint"),
    [(Scope.QUEUE, *case) for case in BAD.values()] + [(Scope.AGENT, *case) for case in BAD_FOR_AGENTS.values()],
    ids=[*BAD, *BAD_FOR_AGENTS],
)
def test_a_refusal_names_what_to_write_instead(scope: Scope, marked: str, message: str, hint: str) -> None:
    """One mistake, its sentence, and exactly the part of the text that is wrong."""
    start, end = marked.index("«"), marked.index("»") - 1
    text = marked.replace("«", "").replace("»", "")
    with pytest.raises(BadExpression) as caught:
        read(text, scope)
    (mistake,) = caught.value.mistakes
    assert (mistake.message, mistake.hint) == (message, hint)
    assert (mistake.start, mistake.end) == (start, end)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_examples_of_the_functions_can_be_read(name: str) -> None:
    """They are what error messages tell an author to write."""
    example = FUNCTIONS[name].example
    scopes = [scope for scope in (Scope.QUEUE, Scope.AGENT) if _reads(example, scope)]
    assert scopes
    tree = read(example, scopes[0])
    assert any(isinstance(node, Count) or (isinstance(node, Window) and node.function == name) for node in walk(tree))


def _reads(text: str, scope: Scope) -> bool:
    try:
        read(text, scope)
    except BadExpression:
        return False
    return True


def test_all_type_errors_come_at_once() -> None:
    """In the order of the text; a part that is wrong does not make what holds it wrong again."""
    text = f"{WAIT.key} > 120 and (not {SLA.key} < 80 or (wrong.rt + 1) * 2 > 5s) and $nobody > mean(x.rt, 1m)"
    with pytest.raises(BadExpression) as caught:
        read(text)
    assert [text[each.start : each.end] for each in caught.value.mistakes] == [
        "120",
        "80",
        "wrong.rt",
        "$nobody",
        "mean(x.rt, 1m)",
    ]


UNKNOWN_KEYS = {
    "beside a number": ("new.rt > 5", NUMBER),
    "beside a count": ("new.rt > alerting.rt", NUMBER),
    "beside a duration": ("new.rt > 60s", DURATION),
    "beside a ratio": ("25% < new.rt", RATIO),
    "beside a text": ('new.rt == "A"', TEXT),
    "in a list": ('new.rt in ["A", "B"]', TEXT),
    "beside a timestamp": ("new.rt > lastLogin.rt", TIMESTAMP),
    "in a sum": ("new.rt + 5s > timeOnStatus.rt", DURATION),
    "inferred from another comparison": ("new.rt * 2 > timeOnStatus.rt and new.rt > 60s", DURATION),
    "missing": ("new.rt is missing", NUMBER),
    "in a window": ("avg(new.rt, 10m) > 60s", DURATION),
    "changes say nothing": ("changes(new.rt, 10m) > 5", NUMBER),
    "a text of before": ('ago(new.rt, 10m) in ["A"]', TEXT),
}


@pytest.mark.parametrize(("text", "kind"), UNKNOWN_KEYS.values(), ids=UNKNOWN_KEYS)
def test_an_unknown_key_takes_its_type_from_what_stands_beside_it(text: str, kind: ValueType) -> None:
    """Only with `known: false`; all places of the key agree."""
    tree = read(text, Scope.AGENT, known=False)
    assert {node.type for node in walk(tree) if isinstance(node, Key) and node.key == "new.rt"} == {kind}
    with pytest.raises(BadExpression):
        read(text, Scope.AGENT)


def test_an_unknown_key_is_one_thing_only() -> None:
    with pytest.raises(BadExpression, match=r"new\.rt cannot be compared with 5 \(a duration: write 5s\)"):
        read("new.rt > 60s and new.rt < 5", Scope.AGENT, known=False)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 2000 + a + ")" * 1000,
        "not " * 61 + a,
        " + ".join(["busy.rt"] * 61) + " > 5",
        a + " " * MAX_LENGTH,
    ],
    ids=["parentheses that stay open", "not not not", "a long sum", "a long text"],
)
def test_extreme_conditions_are_refused(text: str) -> None:
    """Trees are gone down by recursion: depth and length have a limit, far above what is sensible."""
    with pytest.raises(BadExpression):
        read(text)


def test_many_parentheses_are_no_depth() -> None:
    assert read("(" * 300 + a + ")" * 300) == A


@pytest.mark.parametrize("scope", RULE_SCOPES)
def test_every_key_of_the_catalogue_can_be_written(scope: Scope) -> None:
    for metric in catalogue().metrics[scope].values():
        tree = read(f"not {metric.key} is missing or {metric.key} == {metric.key}", scope)
        assert keys_of(tree) == {metric.key}
        assert {node.type for node in walk(tree) if isinstance(node, Key)} == {metric.type}


def test_spans_are_offsets_into_the_text() -> None:
    text = f"  {WAITING.key}  >  ( {ELIGIBLE.key} + 2 )"
    tree = read(text)
    assert isinstance(tree, Compare)
    written = [text[node.span.start : node.span.end] for node in walk(tree)]
    assert written == [text.strip(), WAITING.key, f"{ELIGIBLE.key} + 2", ELIGIBLE.key, "2"]


# Random trees over the keys of agents, which have every type.

KEYS = {
    kind: [Key(metric.key, kind) for metric in catalogue().metrics[Scope.AGENT].values() if metric.type is kind][:5]
    for kind in ValueType
}
FLOATS = st.floats(min_value=-3e11, max_value=3e11, allow_nan=False)  # in ms: less than ten years
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=8)


def literals(kind: ValueType) -> st.SearchStrategy[Value]:
    if kind is TEXT:
        return st.builds(Literal, WORDS, st.just(TEXT))
    if kind in (COUNT, TIMESTAMP):
        return st.sampled_from(KEYS[kind])
    return st.builds(Literal, FLOATS, st.just(kind))


LEAVES = st.sampled_from(list(ValueType)).flatmap(
    lambda kind: st.one_of(literals(kind), st.sampled_from([*KEYS[kind], *_params(kind)] or [ELIGIBLE]))
)


def _params(kind: ValueType) -> list[Value]:
    return [Param(name, literal.type) for name, literal in PARAMS.items() if literal.type is kind]


@st.composite
def sums(draw: st.DrawFn, values: st.SearchStrategy[Value]) -> Value:
    op = draw(st.sampled_from([Op.ADD, Op.SUB, Op.MUL, Op.DIV]))
    left, right = draw(values), draw(values)
    kind = arithmetic_type(op, left, right)
    return left if isinstance(kind, Refusal) else Arithmetic(op, left, right, kind)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """A window of whole or broken milliseconds, over a key that the function can look at."""
    function = FUNCTIONS[draw(st.sampled_from([name for name, each in FUNCTIONS.items() if each.types]))]
    key = draw(st.sampled_from([each for kind in function.types for each in KEYS[kind]]))
    length = st.integers(1, 500).map(lambda weeks: weeks * WEEK) if function.name == USUAL else st.floats(1e-3, 1e10)
    return Window(function.name, key, draw(length), function.types[key.type])


VALUES = st.recursive(
    st.one_of(LEAVES.filter(lambda value: not (isinstance(value, Key) and not KEYS[value.type])), windows()),
    sums,
    max_leaves=6,
)


@st.composite
def comparisons(draw: st.DrawFn) -> Condition:
    left, right = draw(VALUES), draw(VALUES)
    op = draw(st.sampled_from([Op.LT, Op.LE, Op.GT, Op.GE, Op.EQ, Op.NE]))
    if comparison_refusal(op, left, right) is None:
        return Compare(op, left, right)
    if left.type is TEXT and isinstance(left, Key | Param | Window):
        return In(left, tuple(draw(st.lists(st.builds(Literal, WORDS, st.just(TEXT)), min_size=1, max_size=3))))
    return IsMissing(draw(st.sampled_from(KEYS[COUNT])), draw(st.booleans()))


def joined(parts: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    several = st.lists(parts, min_size=2, max_size=3).map(tuple)
    return st.one_of(st.builds(And, several), st.builds(Or, several), st.builds(Not, parts))


@settings(deadline=None)  # the machine may be busy
@given(st.recursive(comparisons(), joined, max_leaves=4), st.recursive(comparisons(), joined, max_leaves=4))
def test_a_count_that_is_shown_and_read_is_the_same_tree(first: Condition, second: Condition) -> None:
    """Also with counts of agents beside one another, and conditions of any shape in them."""
    tree = Compare(Op.GT, Count(first, Scope.GROUP_AGENT), Count(second, Scope.GROUP_AGENT))
    assert read(show(tree), Scope.GROUP) == tree


@settings(deadline=None)  # the machine may be busy
@given(st.recursive(comparisons(), joined, max_leaves=8))
def test_a_tree_that_is_shown_and_read_is_the_same_tree(tree: Condition) -> None:
    """`show` writes every parenthesis that is needed, and every literal exactly."""
    assert read(show(tree), Scope.AGENT) == tree


WORDS_AND_SIGNS = (
    "busy.rt status.rt 12 80% 5s $n and or not in is missing where f( ( ) [ ] , < == + - * / = && . int-15m é $"
)
PIECES = st.sampled_from([*WORDS_AND_SIGNS.split(), '"a"', '"', "'", "\\", "\n"])


@settings(deadline=None)  # the machine may be busy
@given(st.one_of(st.text(max_size=40), st.lists(PIECES, max_size=15).map(" ".join)), st.booleans())
def test_nothing_but_bad_expression_comes_of_any_text(text: str, known: bool) -> None:
    """No error of the parser leaves the room, and every mistake has a place in the text."""
    try:
        read(text, Scope.AGENT, known=known)
    except BadExpression as error:
        places = [(each.start, each.end) for each in error.mistakes]
    else:
        return
    assert places
    assert all(0 <= start <= end <= len(text) for start, end in places)


MINIMAL = {
    "a sum on the right": "busy.rt - (busy.rt + busy.rt) > 1",
    "a product needs none": "busy.rt - busy.rt * busy.rt > 1",
    "a sum in a product": "(busy.rt + busy.rt) * busy.rt > 1",
    "a quotient on the right": "busy.rt / (busy.rt / busy.rt) > 1",
    "and in or": "busy.rt > 1 or busy.rt > 2 and busy.rt > 3",
    "or in and": "(busy.rt > 1 or busy.rt > 2) and busy.rt > 3",
    "not of not": "not not busy.rt > 1",
    "a negative literal": "busy.rt - -2 > -3",
    "a window in a product": "2 * avg(busy.rt, 1m30s) > 1",
    "a count in a difference": 'busy.rt - count(agents where not timeOnStatus.rt > 1m or status.rt == "A") > 1',
    "an exact literal": "interactionsLongestWaitInQueue.rt > 0.25ms",
}


@pytest.mark.parametrize("text", MINIMAL.values(), ids=MINIMAL)
def test_show_writes_no_parenthesis_too_many(text: str) -> None:
    assert show(read(text)) == text
