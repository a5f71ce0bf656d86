"""How benchmarks.fleet counts: what it calls a failure has to be one, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks.fleet_counts import (
    Event,
    Rise,
    Seen,
    count_rises,
    lateness,
    longest_gap,
    polled_again,
    wrong_alerts,
)

INF = float("inf")


def _event(kind: str, at: float, *tenants: str, began: float | None = None) -> Event:
    return Event(kind, at if began is None else began, at, "w1", frozenset(tenants))


AGAIN: dict[str, tuple[list[Event], dict[str, list[float]], list[tuple[str, str, float]]]] = {
    "the last of its tenants counts": (
        [_event("SIGKILL", 10, "a", "b")],
        {"a": [8, 12, 17], "b": [9, 21]},
        [("SIGKILL", "b", 11)],
    ),
    "a poll at the moment itself is one from before": (
        [_event("SIGKILL", 10, "a")],
        {"a": [10, 15]},
        [("SIGKILL", "a", 5)],
    ),
    "a later event that hits the tenant has the time": (
        [_event("SIGKILL", 10, "a"), _event("SIGSTOP", 18, "a")],
        {"a": [9, 29]},
        [("SIGSTOP", "a", 11)],
    ),
    "a later event that hits another tenant changes nothing": (
        [_event("SIGKILL", 10, "a"), _event("SIGSTOP", 18, "b")],
        {"a": [29], "b": [20]},
        [("SIGKILL", "a", 19), ("SIGSTOP", "b", 2)],
    ),
    "a later event after the poll changes nothing": (
        [_event("SIGKILL", 10, "a"), _event("SIGSTOP", 25, "a")],
        {"a": [24, 30]},
        [("SIGKILL", "a", 14), ("SIGSTOP", "a", 5)],
    ),
    "a worker that continues takes no tenants": (
        [_event("SIGSTOP", 10, "a"), _event("SIGCONT", 20, "a")],
        {"a": [29]},
        [("SIGSTOP", "a", 19), ("SIGCONT", "a", 9)],
    ),
    "the server counts from when it accepts connections": (
        [_event("PostgreSQL restart", 14, "a", began=10)],
        {"a": [9, 11, 20]},
        [("PostgreSQL restart", "a", 6)],
    ),
    "a kill before the server was stopped counts no more from then on": (
        [_event("SIGKILL", 8, "a"), _event("PostgreSQL restart", 14, "a", began=10)],
        {"a": [7, 13, 25]},
        [("PostgreSQL restart", "a", 11)],
    ),
    "a tenant that is never polled again is late": ([_event("SIGKILL", 10, "a")], {"a": [9]}, [("SIGKILL", "a", 90)]),
    "an event that hits no tenant": ([_event("SIGKILL", 10)], {"a": [9]}, []),
}


@pytest.mark.parametrize(("events", "polls", "expected"), AGAIN.values(), ids=AGAIN)
def test_polled_again(
    events: list[Event], polls: dict[str, list[float]], expected: list[tuple[str, str, float]]
) -> None:
    found = [(each.event.kind, each.tenant, each.seconds) for each in polled_again(events, polls, 100)]
    assert found == expected


def test_longest_gap() -> None:
    assert longest_gap({"a": [1, 2, 5], "b": [1, 3]}) == 3
    assert longest_gap({"a": [1]}) == 0


LOW, HIGH = 10_000.0, 90_000.0


def _seen(*values: float, every: float = 5.0) -> Seen:
    """Polls at 0, 5, 10 … that saw these values."""
    return Seen([(number * every, value) for number, value in enumerate(values)])


ALERTS: dict[str, tuple[Seen, list[tuple[float, float]], list[str]]] = {
    "one alert": (_seen(LOW, HIGH, HIGH, LOW), [(5, 15)], []),
    "it was over the limit at the first poll, and is at the last": (_seen(HIGH, HIGH), [(0, INF)], []),
    "two, one after the other": (_seen(HIGH, LOW, HIGH, LOW), [(10, 15), (0, 5)], []),
    "exactly at the limit is not over it": (_seen(60_000.0, 60_001.0, 60_000.0), [(5, 10)], []),
    "missed": (_seen(LOW, HIGH, LOW), [], ["0 alerts of the poll at 5.0, which was over the limit"]),
    "twice": (_seen(LOW, HIGH, LOW), [(5, 10), (5, 10)], ["2 alerts of the poll at 5.0, which was over the limit"]),
    "again by a second owner": (
        _seen(LOW, HIGH, HIGH, LOW),
        [(5, 15), (10, 15)],
        ["an alert at 10.0, when no poll went over the limit"],
    ),
    "too late": (
        _seen(LOW, HIGH, HIGH, LOW),
        [(10, 15)],
        ["0 alerts of the poll at 5.0, which was over the limit", "an alert at 10.0, when no poll went over the limit"],
    ),
    "it never ends": (
        _seen(LOW, HIGH, LOW),
        [(5, INF)],
        ["the alert of 5.0 ended at inf, but by the polls at 10.0"],
    ),
    "of nothing": (_seen(LOW, LOW), [(5, 10)], ["an alert at 5.0, when no poll went over the limit"]),
}


@pytest.mark.parametrize(("seen", "alerts", "expected"), ALERTS.values(), ids=ALERTS)
def test_wrong_alerts(seen: Seen, alerts: list[tuple[float, float]], expected: list[str]) -> None:
    assert wrong_alerts(seen, alerts) == expected


FIRST, SECOND = Rise("a", "0", 98, 148), Rise("a", "0", 198, 248)
RISES: dict[str, tuple[list[tuple[float, float]], list[tuple[float, float]], tuple[int, int, int, int]]] = {
    # polls, alerts, then how many rises are one alert, joined, unseen and wrong
    "one alert each": (
        [(95, LOW), (100, HIGH), (150, LOW), (200, HIGH), (250, LOW)],
        [(100, 150), (200, 250)],
        (2, 0, 0, 0),
    ),
    "a turn that began before the rise, and asked in it": (
        [(97, HIGH), (150, LOW), (200, HIGH), (250, LOW)],
        [(97, 150), (200, 250)],
        (2, 0, 0, 0),
    ),
    "no poll saw the second": ([(100, HIGH), (150, LOW), (250, LOW)], [(100, 150)], (1, 0, 1, 0)),
    "no poll between them": ([(100, HIGH), (200, HIGH), (250, LOW)], [(100, 250)], (1, 1, 0, 0)),
    "a poll saw the second, and nothing came of it": (
        [(100, HIGH), (150, LOW), (200, HIGH), (250, LOW)],
        [(100, 150)],
        (1, 0, 0, 1),
    ),
    "two alerts of one rise": (
        [(100, HIGH), (110, HIGH), (150, LOW), (200, HIGH), (250, LOW)],
        [(100, 110), (110, 150), (200, 250)],
        (1, 0, 0, 1),
    ),
    "an alert that was still open": (
        [(100, HIGH), (150, LOW), (200, HIGH), (250, LOW)],
        [(100, 250), (200, 250)],
        (1, 0, 0, 1),
    ),
}


@pytest.mark.parametrize(("polls", "alerts", "expected"), RISES.values(), ids=RISES)
def test_count_rises(
    polls: list[tuple[float, float]], alerts: Sequence[tuple[float, float]], expected: tuple[int, int, int, int]
) -> None:
    found = count_rises([FIRST, SECOND], {("a", "0"): Seen(polls)}, {("a", "0"): alerts})
    assert (found.one, found.joined, len(found.unseen), len(found.wrong)) == expected


def test_lateness() -> None:
    """The phase of a tenant is that of its earliest poll, also of one before the time that is measured."""
    begun = {"a": [100.0, 115.0, 131.5, 145.0], "b": [107.0, 122.25], "c": []}
    assert lateness(begun, 15, 110, 140) == [0.0, 1.5, 0.25]
