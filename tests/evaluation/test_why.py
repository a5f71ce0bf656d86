"""The sentence of each change: complete and with values."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from alertbot.alerts.alert import Alert
from alertbot.rules.catalogue import ValueType
from alertbot.rules.rule import Level, NoData, Rule
from alertbot.rules.tree import And, In, Literal, show
from tests.alerts.kit import NOW, POLL, SLA, STATUS, WAIT, WAITING, compare, keep, level, poll, rule, snapshot

GOLDEN = Path(__file__).parent.parent / "data" / "why.txt"
W, C = Level.WARNING, Level.CRITICAL
KEEP = {"keep_firing_for": timedelta(seconds=30)}
CLEAR = compare(WAIT, "<", 45_000)
GONE = "gone"
PARTIAL = "partial"

STORIES: dict[str, tuple[Rule, str, list[float | str | None]]] = {
    "a spike waits, a long wait fires, and recovers": (
        rule(level(W, compare(WAIT, ">", 60_000), 30), level(C, compare(WAIT, ">", 120_000)), **KEEP),
        WAIT,
        [1000.0 * each for each in (70, 20, 70, 75, 80, 130, 140, 50, 130, 70, 71, 72, 30, 70, 30, 20, 10)],
    ),
    "hysteresis": (
        rule(level(W, compare(WAIT, ">", 60_000)), clear=CLEAR, clear_text=show(CLEAR), **KEEP),
        WAIT,
        [70_000, 50_000, 40_000, 50_000, 40_000, 40_000, 40_000],
    ),
    "too low a ratio": (rule(level(W, compare(SLA, "<", 0.8))), SLA, [0.795, 0.8125]),
    "a hair above, which rounds away": (rule(), WAIT, [60_400, 60_000]),
    "at most and at least": (
        rule(level(W, compare(WAITING, ">=", 5)), level(C, compare(WAITING, "<=", 1))),
        WAITING,
        [5, 1, 6, 3],
    ),
    "equal and unequal": (
        rule(level(W, compare(WAITING, "!=", 3)), level(C, compare(WAITING, "==", 0))),
        WAITING,
        [2, 0, 4, 3],
    ),
    "words": (rule(level(W, compare(STATUS, "==", "OnBreak"), 15)), STATUS, ["OnBreak", "OnBreak", "Available"]),
    "a status ends it, and the time in it begins again": (
        rule(level(W, And((compare(STATUS, "==", "OnBreak"), compare(WAIT, ">", 60_000))))),
        STATUS,
        ["OnBreak", "Available"],
    ),
    "no comparison to show": (
        rule(level(W, In(compare(STATUS, "==", "").left, (Literal("OnBreak", ValueType.TEXT),)), 15)),
        STATUS,
        ["OnBreak", "OnBreak", "Available"],
    ),
    "another part of the condition ended it": (
        rule(level(W, And((compare(WAITING, ">", 2), compare(STATUS, "==", "OnBreak"))))),
        STATUS,
        ["OnBreak", "Available"],
    ),
    "missing, kept": (rule(level(W, compare(WAIT, ">", 60_000), 30)), WAIT, [70_000, None, 80_000, None, 20_000]),
    "missing, which fires": (
        rule(level(W, compare(WAIT, ">", 60_000), 15), no_data=NoData.FIRE),
        WAIT,
        [None, None, 20_000],
    ),
    "missing, which clears": (rule(no_data=NoData.CLEAR), WAIT, [70_000, None]),
    "gone": (rule(), WAIT, [70_000, GONE, PARTIAL, 71_000, GONE, GONE, GONE]),
}


def _tell(watched: Rule, name: str, values: list[float | str | None]) -> list[str]:
    alerts: list[Alert] = []
    lines = []
    for index, value in enumerate(values):
        if value in (GONE, PARTIAL):
            seen = replace(snapshot({WAIT: [1]}, ids=("other",)), complete=value == GONE)
        else:
            seen = snapshot({WAITING: [7], WAIT: [705 if value == "Available" else 90_000], name: [value]})
        changes = poll(alerts, [watched], [seen], NOW + index * POLL)
        alerts = keep(alerts, changes)
        lines += [
            f"  {15 * index:>4}s {change.after.state:<10} {change.after.level.word:<8} "
            f"{change.reason or '-':<18} {change.why}"
            for change in changes
        ]
    return lines


def _all() -> str:
    return "\n".join("\n".join([name, *_tell(*story)]) for name, story in STORIES.items()) + "\n"


def test_why_sentences() -> None:
    """Each decision has a reason, with values, as a sentence that fits after "because"."""
    assert _all() == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", STORIES)
def test_no_sentence_says_what_is_not_so(name: str) -> None:
    """No sentence is empty, unfinished, or has a time in it (the time zone of the reader is not known here)."""
    lines = _tell(*STORIES[name])
    assert lines
    assert not [line for line in lines if line.endswith((" ", ";", "-")) or "None" in line or "09:0" in line]
