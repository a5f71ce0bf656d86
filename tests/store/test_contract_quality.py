"""What the digest reads: how alerts went within a window, and when there was no data."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from alertbot.alerts.alert import Alert, Fingerprint, Reason
from alertbot.alerts.quality import Fired, Interval, merged
from alertbot.feed.rules import PARTIAL, REFUSED, STALE
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level
from alertbot.store.roles import Store
from tests.store.build import at, begins, ends, firing, pending, poll, snapshot

HOUR = timedelta(hours=1)
LONGEST = {"acme": timedelta(minutes=2)}


def record(
    store: Store, made: Alert, fired: float, ended: float | None, acked: float | None = None, **after: Any
) -> None:
    """One alert that fired, was acknowledged and ended at these seconds."""
    begun = replace(made, fired_at=at(fired))
    store.record(poll([begins(begun)], now=at(fired), tenant=made.key.tenant))
    if acked is not None:
        (alert_id,) = [each.id for each in store.alerts() if each.key == made.key]
        store.acknowledge(alert_id or 0, "U1", "", at(acked))
    if ended is not None:
        opened = next(each for each in store.alerts() if each.key == made.key)
        over = ends(replace(opened, **after), at(ended), after.get("end_reason", Reason.RESOLVED))
        store.record(poll([over], now=at(ended), tenant=made.key.tenant))


def read(store: Store, since: float = 0, until: float = 3600) -> dict[tuple[str, str, bool], Fired]:
    quality = store.quality(at(since), at(until), LONGEST)
    return {(each.key.rule, each.key.entity_id, each.shadow): each for each in quality.fired}


def test_what_fired_is_counted_by_rule_and_entity(store: Store) -> None:
    """The names are those of the last alert; what a counter means is in `Fired`."""
    record(store, firing("103", entity_name="Old name"), 0, 30)
    record(store, firing("103"), 100, 400, unstable=True, acked=130, reminders=2)
    record(store, firing("103", level=Level.CRITICAL), 500, 1000, reminders=1, escalated=timedelta(minutes=5))
    record(store, firing("104", level=Level.INFO), 600, 900)
    record(store, firing("103", rule="other"), 700, None)
    found = read(store)
    assert set(found) == {("longest-wait", "103", False), ("longest-wait", "104", False), ("other", "103", False)}
    one = found["longest-wait", "103", False]
    assert (one.name, one.title, one.highest) == ("Queue 103", "Longest wait in queue", Level.CRITICAL)
    assert one._asdict() | {"key": None} == {
        "key": None,
        "name": "Queue 103",
        "parent": "",
        "title": "Longest wait in queue",
        "highest": Level.CRITICAL,
        "shadow": False,
        "alerts": 3,
        "critical": 1,
        "reported": 0,
        "acknowledged": 1,
        "ignored": 0,
        "brief": 1,
        "unstable": 1,
        "reminded": 2,
        "reminders": 3,
        "escalated": 1,
    }
    assert found["other", "103", False].alerts == 1


REPORTED: dict[str, tuple[dict[str, Any], float | None, tuple[int, int, int]]] = {
    # alerts, ended after, (reported, ignored, brief)
    "reported, and ended late without an owner": ({"reported": Level.WARNING}, 300, (1, 1, 0)),
    "open still": ({"reported": Level.WARNING}, None, (1, 1, 0)),
    "over within a minute": ({"reported": Level.WARNING}, 59, (1, 0, 1)),
    "after exactly a minute": ({"reported": Level.WARNING}, 60, (1, 1, 0)),
    "info needs no owner": ({"reported": Level.INFO, "level": Level.INFO}, 300, (1, 0, 0)),
    "not reported": ({}, 300, (0, 0, 0)),
    "of a version that did not keep the highest level": (
        {"reported": Level.CRITICAL, "level": Level.CRITICAL, "highest": None},
        300,
        (1, 1, 0),
    ),
}


@pytest.mark.parametrize(("made", "ended", "wanted"), REPORTED.values(), ids=REPORTED)
def test_what_counts_as_ignored(
    store: Store, made: dict[str, Any], ended: float | None, wanted: tuple[int, int, int]
) -> None:
    record(store, firing("103", **made), 0, ended)
    (one,) = read(store).values()
    assert (one.reported, one.ignored, one.brief) == wanted
    assert one.critical == (made.get("level") is Level.CRITICAL)


def test_an_end_for_another_reason_is_not_brief(store: Store) -> None:
    """Closing hours or an edited rule say nothing about the threshold."""
    record(store, firing("103"), 0, 30, end_reason=Reason.OUTSIDE_HOURS)
    (one,) = read(store).values()
    assert one.brief == 0


def test_shadow_rules_are_apart(store: Store) -> None:
    """What was in shadow, and what was reported before it was: two rows."""
    shadow = replace(firing("103").about, shadow=True)
    record(store, firing("103", about=shadow), 0, 100)
    record(store, firing("103", about=shadow, reported=Level.WARNING), 200, 300)
    found = read(store)
    assert {key: each.alerts for key, each in found.items()} == {
        ("longest-wait", "103", True): 1,
        ("longest-wait", "103", False): 1,
    }


def test_the_window_is_of_the_moment_of_firing(store: Store) -> None:
    """From `since` on, and before `until`; pending alerts and feed alerts are not counted."""
    record(store, firing("1"), 0, 5000)
    record(store, firing("2"), 99, 5000)
    record(store, firing("3"), 100, 5000)
    record(store, firing("4"), 3600, 5000)
    store.record(poll([begins(pending("5"))], now=at(200)))
    feed = replace(firing("x"), key=Fingerprint("acme", STALE, Scope.FEED, "", "acme"))
    record(store, feed, 300, 400)
    assert {entity for _, entity, _ in read(store, 100)} == {"3"}


def test_open_rules(store: Store) -> None:
    """Rules with an alert that was open in the window, whenever it fired: those have not been quiet."""
    record(store, firing("1", rule="ended-before"), 0, 50)
    record(store, firing("1", rule="ended-within"), 0, 150)
    record(store, firing("1", rule="open-still"), 0, None)
    record(store, firing("1", rule="fired-after"), 4000, None)
    assert store.quality(at(100), at(3600), LONGEST).open_rules == {("acme", "ended-within"), ("acme", "open-still")}


def test_times_to_acknowledge(store: Store) -> None:
    """In seconds, in order, by tenant and rule; what was not acknowledged has none."""
    for number, after in enumerate((90.5, 10.0, 400.0)):
        record(store, firing(str(number)), 0, 1000, acked=after)
    record(store, firing("8", tenant="beta"), 0, 1000, acked=5)
    record(store, firing("9"), 0, 1000)
    found = store.quality(at(0), at(3600), LONGEST).acknowledged_after
    assert {key: tuple(round(each, 3) for each in after) for key, after in found.items()} == {
        ("acme", "longest-wait"): (10.0, 90.5, 400.0),
        ("beta", "longest-wait"): (5.0,),
    }


def outage(store: Store, rule: str, fired: float, ended: float | None) -> None:
    record(store, replace(firing("x"), key=Fingerprint("acme", rule, Scope.FEED, "", "acme")), fired, ended)


def without_data(store: Store, since: float, until: float) -> list[tuple[float, float]]:
    found = store.quality(at(since), at(until), LONGEST).without_data.get("acme", ())
    return [((begin - at(0)).total_seconds(), (end - at(0)).total_seconds()) for begin, end in found]


def test_time_without_data_by_feed_alerts(store: Store) -> None:
    """A stale feed had no data for `longest` before it fired; refused credentials none from then on."""
    outage(store, STALE, 1000, 1300)
    outage(store, REFUSED, 1250, 1400)
    outage(store, PARTIAL, 1500, 1600)
    outage(store, STALE, 3000, None)
    assert without_data(store, 0, 3600) == [(880, 1400), (2880, 3600)]
    assert without_data(store, 1100, 1200) == [(1100, 1200)]
    assert without_data(store, 1450, 2800) == []


def polled(store: Store, *seconds: float) -> None:
    for moment in seconds:
        seen = snapshot(at(moment))
        store.record(poll(now=at(moment), snapshots={seen.scope: seen}))


def test_time_without_data_by_gaps_between_polls(store: Store) -> None:
    """While nothing was polled, such as while alertbot did not run; also over both edges of the window."""
    polled(store, 0, 60, 120, 600, 660, 780)
    assert without_data(store, 60, 790) == [(120, 600)]
    assert without_data(store, 300, 790) == [(300, 600)]
    assert without_data(store, 0, 1000) == [(120, 600), (780, 1000)]
    assert without_data(store, 2000, 3000) == [(2000, 3000)]
    assert store.quality(at(0), at(1000), {"beta": HOUR}).without_data == {}


def test_nothing_is_known_of_time_without_a_recording(store: Store) -> None:
    """An empty database, or polls that are no longer kept: no gap."""
    assert without_data(store, 0, 3600) == []
    polled(store, 3000, 3060)
    assert without_data(store, 0, 3100) == []


MERGED = {
    "nothing": ([], []),
    "in order": ([(50, 60), (10, 20)], [(10, 20), (50, 60)]),
    "overlapping": ([(10, 30), (20, 40)], [(10, 40)]),
    "touching": ([(10, 30), (30, 40)], [(10, 40)]),
    "one within another": ([(10, 40), (20, 30)], [(10, 40)]),
    "over the edges": ([(-10, 5), (95, 200)], [(0, 5), (95, 100)]),
    "outside": ([(-10, 0), (100, 200)], []),
}


@pytest.mark.parametrize(("intervals", "wanted"), MERGED.values(), ids=MERGED)
def test_merged(intervals: list[tuple[float, float]], wanted: list[tuple[float, float]]) -> None:
    def moments(pairs: list[tuple[float, float]]) -> tuple[Interval, ...]:
        return tuple((at(begin), at(end)) for begin, end in pairs)

    assert merged(moments(intervals), at(0), at(100)) == moments(wanted)


@pytest.mark.parametrize(
    ("begun", "new"),
    [(None, True), (0, True), (-86_399, True), (-86_400, False)],
    ids=["nothing is recorded", "since now", "a second less than a day", "a day"],
)
def test_less_than_a_day_of_polls_is_new(store: Store, begun: float | None, new: bool) -> None:
    """However long the window is."""
    polled(store, *([] if begun is None else [begun]))
    assert store.quality(at(-7 * 86_400), at(0), LONGEST).new == (frozenset(["acme"]) if new else frozenset())
