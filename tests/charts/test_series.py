"""What a chart shows: samples with their gaps, limits of rules for that entity, alerts that fired meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from alertbot.alerts.alert import Fingerprint, Reason, State
from alertbot.charts.series import (
    Limit,
    Samples,
    Series,
    Span,
    chart_of,
    limits_of,
    measured_key,
    samples,
    spans_of,
    watching,
)
from alertbot.evaluation.measure import Measure
from alertbot.evaluation.snapshot import Presence, Snapshot
from alertbot.rulefiles.parse_rules import read_files
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.nouns import Worse
from alertbot.rules.rule import Level, Rule
from tests.commands.kit import LONGEST_WAIT, NOW, WAIT, alert, column, snapshot

MINUTE = timedelta(minutes=1)
QUEUE = Fingerprint("acme", "", Scope.QUEUE, "", "103")


def at(minutes: float) -> datetime:
    return NOW + minutes * MINUTE


def queues(*values: float | Presence, ids: Sequence[str] = ("103", "104")) -> Snapshot:
    return snapshot(Scope.QUEUE, dict.fromkeys(ids, "x"), {WAIT: column(*values)} if values else {})


def rules(*lines: str, scope: str = "queue") -> tuple[Rule, ...]:
    """Rules from their YAML, one line each after the id."""
    text = "rules:\n" + "".join(f"  - {{id: r{place}, scope: {scope}, {line}}}\n" for place, line in enumerate(lines))
    parsed = read_files({"rules.yaml": text.encode()})
    assert parsed.faults == ()
    return parsed.rules.rules


def test_samples_of_one_entity() -> None:
    """A value that is missing, an entity that is absent and a poll that failed are samples without a value."""
    polls = [
        (at(0), queues(1.0, 9.0)),
        (at(1), queues(Presence.NULL, 9.0)),
        (at(2), queues(9.0, 2.0, ids=("104", "103"))),  # another order of rows
        (at(3), queues(9.0, ids=("104",))),
        (at(4), None),
        (at(5), queues()),
        (at(6), queues(3.0, 9.0)),
    ]
    seen = samples(polls, WAIT, "103")
    assert seen == Samples(tuple(time for time, _ in polls), (1.0, None, 2.0, None, None, None, 3.0))


def test_an_agent_of_several_queues_is_known_by_the_queue() -> None:
    """The same id is there once a queue; without a parent, any will do, so a change of group is no gap."""
    both = replace(queues(1.0, 2.0), ids=("a1", "a1"), parent_ids=("q1", "q2"), parent_names=("One", "Two"))
    assert samples([(at(0), both)], WAIT, "a1", "q2").values == (2.0,)
    assert samples([(at(0), both)], WAIT, "a1").values == (1.0,)
    assert samples([(at(0), both)], WAIT, "a1", "q3").values == (None,)


def test_a_pause_of_the_bot_is_a_gap() -> None:
    """No line is drawn from before the pause to after it; a poll that was a little late is no pause."""
    minutes = [0, 1, 2, 3.5, 4, 30, 31]
    seen = samples([(at(minute), queues(1.0, 2.0)) for minute in minutes], WAIT, "103")
    assert [time for time, value in zip(seen.times, seen.values, strict=True) if value is None] == [at(17)]
    assert samples([], WAIT, "103") == Samples()


LIMITS = {
    "a level each": (
        [f"warning: {{when: {WAIT} > 60s}}, critical: {{when: {WAIT} >= 2m}}"],
        [(60_000.0, Level.WARNING, True), (120_000.0, Level.CRITICAL, True)],
    ),
    "the key on the right": ([f"when: 60s < {WAIT}"], [(60_000.0, Level.WARNING, True)]),
    "below": ([f"when: {WAIT} < 5s"], [(5_000.0, Level.WARNING, False)]),
    "not": ([f"when: not {WAIT} <= 60s"], [(60_000.0, Level.WARNING, True)]),
    "one of several terms": (
        [f"when: entered.today > 3 and ({WAIT} > 60s or {WAIT} > 90s)"],
        [(60_000.0, Level.WARNING, True), (90_000.0, Level.WARNING, True)],
    ),
    "whether there is anything at all": ([f"when: {WAIT} > 0s and entered.today > 3"], []),
    "the same, negated": ([f"when: not ({WAIT} <= 0s or entered.today <= 3)"], []),
    "a limit of 0 by itself": ([f"when: {WAIT} > 0s"], [(0.0, Level.WARNING, True)]),
    "a limit of 0 that suffices": ([f"when: {WAIT} > 0s or entered.today > 3"], [(0.0, Level.WARNING, True)]),
    "a computed constant": ([f"when: {WAIT} > 2 * 30s + 1s"], [(61_000.0, Level.WARNING, True)]),
    "a mean is on the same scale": ([f'when: "avg({WAIT}, 10m) > 60s"'], [(60_000.0, Level.WARNING, True)]),
    "a change is not": ([f'when: "delta({WAIT}, 10m) > 60s"'], []),
    "against another key": ([f"when: {WAIT} > interactionsAvgWaitTime.today"], []),
    "a quotient": ([f"when: {WAIT} / interactionsAvgWaitTime.today > 2"], []),
    "missing": ([f"when: {WAIT} is missing"], []),
    "another key": (["when: entered.today > 3"], []),
    "shadow": ([f"when: {WAIT} > 60s, shadow: true"], []),
    "another entity": ([f"when: {WAIT} > 60s, match: {{name: [Other]}}"], []),
    "the same limit twice": ([f"when: {WAIT} > 60s", f"when: {WAIT} > 60s"], [(60_000.0, Level.WARNING, True)]),
    "a parameter with an override": (
        [
            f"params: {{warn: 60s}}, when: {WAIT} > $warn, overrides: "
            "[{match: {name: ['Sales*']}, params: {warn: 20s}}]"
        ],
        [(20_000.0, Level.WARNING, True)],
    ),
}


@pytest.mark.parametrize(("lines", "expected"), LIMITS.values(), ids=LIMITS)
def test_limits(lines: list[str], expected: list[tuple[float, Level, bool]]) -> None:
    """The constants with which rules compare the key, for that entity."""
    found = limits_of(rules(*lines), Scope.QUEUE, WAIT, "103", "Sales EU")
    assert [(limit.value, limit.level, limit.high_is_bad) for limit in found] == expected


@pytest.mark.parametrize(
    ("condition", "counts"),
    [(f"{WAIT} >= 60s", True), (f"{WAIT} > 60s", False), (f"60s >= {WAIT}", True), (f"not {WAIT} < 60s", True)],
)
def test_whether_the_limit_itself_counts(condition: str, counts: bool) -> None:
    (limit,) = limits_of(rules(f"when: {condition}"), Scope.QUEUE, WAIT, "103", "Sales EU")
    assert limit.counts is counts


def test_the_rules_that_watch_a_key() -> None:
    """Those with a level that reads it; a guard, a figure on the card and the key of another scope are not enough."""
    watched = rules(
        f"when: {WAIT} > 60s",
        f"when: entered.today > 3, guard: {WAIT} > 0s",
        f"when: entered.today > 3, show: [{WAIT}]",
        f"when: {WAIT} is missing",
        f"when: {WAIT} > 60s, shadow: true",
    )
    assert watching(watched, Scope.QUEUE, WAIT) == {"r0", "r3"}
    assert watching(watched, Scope.GROUP, WAIT) == frozenset()


def ended(id: int, begin: float, end: float, **other: object) -> object:
    changed = {"fired_at": at(begin), "ended_at": at(end), "end_reason": Reason.RESOLVED} | other
    return replace(alert(id, state=State.INACTIVE), **changed)  # type: ignore[arg-type]


SPANS = {
    "within": (ended(1, -30, -10), [(-30, -10)]),
    "it began before": (ended(1, -90, -10), [(-60, -10)]),
    "it still fires": (replace(alert(1), fired_at=at(-5)), [(-5, None)]),
    "it ended after the chart": (ended(1, -5, 5), [(-5, None)]),
    "before the chart": (ended(1, -90, -70), []),
    "after it": (ended(1, 5, 9), []),
    "of another entity": (replace(alert(1, entity=("104", "Sales US")), fired_at=at(-5)), []),
    "of another tenant": (replace(alert(1, tenant="beta"), fired_at=at(-5)), []),
    "of a rule about another key": (
        replace(alert(1), key=QUEUE._replace(rule="other"), measure=None, fired_at=at(-5)),
        [],
    ),
    "of a rule that was removed": (replace(alert(1), key=QUEUE._replace(rule="gone"), fired_at=at(-5)), [(-5, None)]),
    "pending": (alert(1, state=State.PENDING), []),
    "in shadow": (replace(alert(1), fired_at=at(-5), about=replace(alert().about, shadow=True)), []),
}


@pytest.mark.parametrize(("one", "expected"), SPANS.values(), ids=SPANS)
def test_spans(one: object, expected: list[tuple[float, float | None]]) -> None:
    """When alerts about the key fired, cut to the chart."""
    found = spans_of([one], QUEUE, WAIT, {LONGEST_WAIT.id}, at(-60), at(0))  # type: ignore[list-item]
    assert [(span.begin, span.end) for span in found] == [
        (at(begin), None if end is None else at(end)) for begin, end in expected
    ]


def test_a_span_has_the_highest_level_that_the_alert_reached() -> None:
    reached = replace(
        alert(1, level=Level.INFO), highest=Level.CRITICAL, measure=Measure(WAIT, ValueType.TEXT, "", 1, 1)
    )
    (span,) = spans_of([reached], QUEUE, WAIT, (), at(-60), at(0))
    assert span == Span(at(-12), None, Level.CRITICAL, "longest-wait")


ENTERED, TIME_ON = "entered.today", "timeOnStatus.rt"
MEASURED = {
    "the key that it measured": (f"when: {WAIT} > 60s", WAIT, WAIT),
    "of several": (f"when: {ENTERED} > 3 and {WAIT} > 60s", WAIT, WAIT),
    "in a function": (f'when: "{ENTERED} > 3 and avg({WAIT}, 10m) > 60s"', f"avg({WAIT}, 10m)", WAIT),
    "in a quotient": (f"when: {WAIT} / interactionsAvgWaitTime.today > 2", f"{WAIT} / interactionsAvg…", WAIT),
    "another level's": (f"warning: {{when: {ENTERED} > 3}}, critical: {{when: {WAIT} > 60s}}", "", WAIT),
    "nothing measured": (f"when: {ENTERED} is missing", "", ENTERED),
    "a text has no chart": ("""when: 'status.rt == "OnBreak"'""", "status.rt", None),
    "another key of the condition has": (
        f"""when: 'status.rt == "OnBreak" and {TIME_ON} > 5m'""",
        "status.rt",
        TIME_ON,
    ),
    "agents that are counted": (f"when: count(agents where {TIME_ON} > 5m) > 2", "count(agents…", None),
    "a removed rule": ("", WAIT, WAIT),
    "a removed rule about an expression": ("", f"avg({WAIT}, 10m)", None),
}


@pytest.mark.parametrize(("line", "label", "expected"), MEASURED.values(), ids=MEASURED)
def test_the_key_that_a_chart_of_an_alert_shows(line: str, label: str, expected: str | None) -> None:
    """What was measured, or the first number that the condition reads of the entity itself."""
    scope = "agent" if label == "status.rt" else "queue"
    rule = rules(line, scope=scope)[0] if line else None
    fired = replace(
        alert(1, level=Level.CRITICAL if "critical" in line else Level.WARNING),
        key=QUEUE._replace(rule="r0", scope=Scope(scope)),
        measure=Measure(label, ValueType.NUMBER, ">", 1.0, 1.0) if label else None,
    )
    assert measured_key(fired, rule) == expected


def test_a_chart_has_limits_and_alerts_of_its_entity() -> None:
    """Those of the rules that run, and of alerts of any age; its name is that of the entity unless there is a title."""
    watched = rules(f"warning: {{when: {WAIT} > 60s}}, critical: {{when: {WAIT} > 2m}}", f"when: {ENTERED} > 3")
    alerts = [replace(alert(1), fired_at=at(-5)), ended(2, -30, -10), replace(alert(3, entity=("104", "Other")))]
    drawn = chart_of(QUEUE, "Sales EU", WAIT, watched, alerts, Samples(), at(-60), at(0))  # type: ignore[arg-type]
    assert (drawn.name, drawn.label, drawn.type, drawn.worse) == (
        "Sales EU",
        "Longest wait",
        ValueType.DURATION,
        Worse.HIGH,
    )
    assert [limit.value for limit in drawn.limits] == [60_000.0, 120_000.0]
    assert [(span.begin, span.end) for span in drawn.spans] == [(at(-30), at(-10)), (at(-5), None)]
    titled = chart_of(QUEUE, "Anna", "new.rt", (), (), Samples(), at(-60), at(0), title="Anna (Sales EU)")
    assert (titled.name, titled.type) == ("Anna (Sales EU)", ValueType.NUMBER)


def series(*values: float | None, **other: object) -> Series:
    times = tuple(at(minute - len(values)) for minute in range(len(values)))
    fixed = {"name": "Sales EU", "label": "Longest wait", "type": ValueType.DURATION, "begin": at(-len(values))}
    return Series(**fixed | {"end": at(0), "samples": Samples(times, values)} | other)  # type: ignore[arg-type]


def test_columns_have_the_worst_value_of_their_interval() -> None:
    """The highest or the lowest, as the limits say, or else the catalogue; None where there is no value."""
    values = (1.0, 5.0, None, None, 3.0, 2.0)
    assert series(*values).columns(3) == [5.0, None, 3.0]
    assert series(*values, worse=Worse.LOW).columns(3) == [1.0, None, 2.0]
    below = (Limit(2.0, Level.WARNING, "r", high_is_bad=False),)
    assert series(*values, limits=below, worse=Worse.HIGH).columns(3) == [1.0, None, 2.0]
    assert series(*values).columns(2) == [5.0, 3.0]
    assert series().columns(2) == [None, None]
