"""What is usual at this time of the week: quarter-hours, weeks, both changes of the clock, holidays."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alertbot.evaluation.evaluate import evaluate, evaluate_all
from alertbot.evaluation.explain import explain
from alertbot.evaluation.past import Past
from alertbot.evaluation.snapshot import Snapshot
from alertbot.evaluation.usual import QUARTER, QuarterHour, Usual, quarter_of, weeks_before
from alertbot.rules.catalogue import Scope
from alertbot.rules.hours import Calendar, Hours
from alertbot.rules.rule import Level, RuleSet
from alertbot.rules.tree import WEEK, Compare, Key, Op, Window
from tests.alerts.kit import STATUS, WAITING, key, level, rule, snapshot

HELSINKI = ZoneInfo("Europe/Helsinki")
POLL = timedelta(minutes=3)  # five polls a quarter-hour: three are half of them


def usual_of(weeks: int) -> Window:
    return Window("usual", key(WAITING), weeks * WEEK, key(WAITING).type)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


# Which quarter-hours are compared.


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(
            "2026-03-02T09:20:00+02:00",
            [["2026-02-23T09:15:00+02:00"], ["2026-02-16T09:15:00+02:00"]],
            id="the begin of the same quarter-hour, weeks before",
        ),
        pytest.param(
            "2026-03-30T09:15:00+03:00",
            [["2026-03-23T09:15:00+02:00"], ["2026-03-16T09:15:00+02:00"]],
            id="summer time: the wall clock counts, in UTC it is an hour later",
        ),
        pytest.param(
            "2026-04-05T03:30:00+03:00",
            [[], ["2026-03-22T03:30:00+02:00"]],
            id="an hour that the clock skipped a week ago: that week has none",
        ),
        pytest.param(
            "2026-11-01T03:45:00+02:00",
            [["2026-10-25T03:45:00+03:00", "2026-10-25T03:45:00+02:00"], ["2026-10-18T03:45:00+03:00"]],
            id="an hour that the clock showed twice a week ago: that week has two",
        ),
        pytest.param(
            "2026-10-25T03:45:00+03:00",
            [["2026-10-18T03:45:00+03:00"], ["2026-10-11T03:45:00+03:00"]],
            id="within the repeated hour, the first time",
        ),
        pytest.param(
            "2026-10-25T03:45:00+02:00",
            [["2026-10-18T03:45:00+03:00"], ["2026-10-11T03:45:00+03:00"]],
            id="within the repeated hour, the second time: the same weeks, and not the hour before",
        ),
    ],
)
def test_the_same_time_of_the_week(now: str, expected: list[list[str]]) -> None:
    """It is decided by the wall clock of the tenant."""
    assert weeks_before(utc(now), HELSINKI, 2) == tuple(tuple(map(utc, week)) for week in expected)


# What counts.


class Kept:
    """The means that were closed, as a store keeps them."""

    def __init__(self) -> None:
        self.hours: list[QuarterHour] = []

    def __call__(self, keys: Mapping[Scope, Collection[str]], at: Collection[datetime]) -> Iterable[QuarterHour]:
        return [each for each in self.hours if each.at in set(at)]


Polls = Sequence[tuple[datetime, Mapping[str, float | None]]]


def through(polls: Polls, weeks: int, *, zone: ZoneInfo = HELSINKI) -> tuple[Past, Snapshot]:
    """All polls, oldest first: for each its time, and the values of the queues that are there."""
    kept = Kept()
    past = Past(POLL, {}, Usual(POLL, zone, {Scope.QUEUE: {WAITING: weeks}}))
    for at, values in polls:
        seen = snapshot({WAITING: list(values.values())}, names=list(values), ids=tuple(values), at=at)
        past = past.add({Scope.QUEUE: seen})
        assert isinstance(past.usual, Usual)
        kept.hours += past.usual.closed
        past = replace(past, usual=past.usual.at(at, kept))
    return past, seen


def quarter(at: str, *values: float | None, queue: str = "q1") -> list[tuple[datetime, dict[str, float | None]]]:
    """Polls of one quarter-hour, each with its value."""
    return [(utc(at) + index * POLL, {queue: value}) for index, value in enumerate(values)]


MONDAY = "2026-03-{}T09:15:00+02:00"
LAST = MONDAY.format("16")
WEEKS = [
    *quarter(MONDAY.format("02"), 1, 2, 3, 4, 5),
    *quarter(MONDAY.format("09"), 8, 8, 8, 8, 8),
    *quarter(LAST, 6, 6, 6),
]
SECOND_TIME = [*quarter("2026-10-25T03:45:00+02:00", 4, 4, 4, 4, 4), *quarter("2026-11-01T03:45:00+02:00", 9)]
SKIPPED = [*quarter("2026-03-29T04:30:00+03:00", 7, 7, 7), *quarter("2026-04-05T03:30:00+03:00", 9)]
BESIDE = [*quarter("2026-03-16T09:00:00+02:00", 1, 1, 1), *quarter("2026-03-16T09:30:00+02:00", 2, 2, 2)]
NOW = quarter(MONDAY.format("23"), 50)


@pytest.mark.parametrize(
    ("polls", "weeks", "expected"),
    [
        pytest.param([*WEEKS, *NOW], 3, (6, 3), id="the median of the means"),
        pytest.param([*WEEKS, *NOW], 2, (7, 2), id="between the two in the middle"),
        pytest.param([*WEEKS, *NOW], 6, (6, 3), id="half of the weeks are enough"),
        pytest.param([*WEEKS, *NOW], 7, (None, 3), id="fewer are not"),
        pytest.param([*WEEKS, *NOW], 1, (6, 1), id="one week"),
        pytest.param([*quarter(LAST, 6, 6), *NOW], 1, (None, 0), id="two of five polls are not half"),
        pytest.param([*quarter(LAST, 6, None, 9, None, 9), *NOW], 1, (8, 1), id="missing ones are left out"),
        pytest.param([*quarter(LAST, 6, None, 9, None, None), *NOW], 1, (None, 0), id="too few: less than half"),
        pytest.param([*quarter(LAST, 6, 6, 6, queue="q2"), *NOW], 1, (None, 0), id="another queue"),
        pytest.param(NOW * 1, 1, (None, 0), id="nothing yet"),
        pytest.param(
            [*BESIDE, *NOW],
            1,
            (None, 0),
            id="the quarter-hours beside it do not count",
        ),
        pytest.param(
            [*quarter("2026-10-25T03:45:00+03:00", 2, 2, 2), *SECOND_TIME],
            1,
            (3, 1),
            id="a repeated hour: the mean of the two",
        ),
        pytest.param(
            [*quarter("2026-10-25T03:45:00+03:00", 2, 2), *SECOND_TIME],
            1,
            (4, 1),
            id="a repeated hour of which one does not count",
        ),
        pytest.param(
            [*quarter("2026-03-22T03:30:00+02:00", 5, 5, 5), *SKIPPED],
            2,
            (5, 1),
            id="a skipped hour: that week is not known",
        ),
    ],
)  # fmt: skip
def test_what_is_usual(polls: list[Any], weeks: int, expected: tuple[float | None, int]) -> None:
    """In columns and for one entity: the value, and how many of the weeks are known."""
    past, seen = through(polls, weeks)
    condition = Compare(Op.GE, Key(WAITING, key(WAITING).type), usual_of(weeks))
    watched = rule(level(Level.WARNING, condition))
    term = explain(watched, seen, 0, past=past).levels[Level.WARNING].parts[1]
    assert (term.value, term.weeks) == expected
    assert term.of_weeks == weeks
    codes = evaluate(watched, seen, past=past).levels[Level.WARNING].tolist()
    assert codes == [-1 if expected[0] is None else 1]


def test_without_a_past_it_is_unknown() -> None:
    watched = rule(level(Level.WARNING, Compare(Op.GE, key(WAITING), usual_of(4))))
    assert evaluate(watched, snapshot({WAITING: [1]})).levels[Level.WARNING].tolist() == [-1]
    term = explain(watched, snapshot({WAITING: [1]}), 0).levels[Level.WARNING].parts[1]
    assert (term.value, term.weeks) == (None, 0)


OFFICE = Calendar("office", "Europe/Helsinki", ((),) * 7, dates=frozenset({date(2026, 3, 9)}))
CLOSED = replace(OFFICE, dates=frozenset(), exceptions=((date(2026, 3, 16), ()),))


@pytest.mark.parametrize(
    ("calendar", "expected"),
    [
        pytest.param(None, (6, 3), id="no calendar"),
        pytest.param(OFFICE, (4.5, 2), id="a holiday"),
        pytest.param(CLOSED, (5.5, 2), id="a day that an exception closes"),
        pytest.param(replace(OFFICE, dates=frozenset()), (6, 3), id="a calendar without holidays"),
    ],
)
def test_each_rule_leaves_out_the_holidays_of_its_own_calendar(
    calendar: Calendar | None, expected: tuple[float, int]
) -> None:
    """Several rules in one evaluation, which shares what they have in common."""
    past, seen = through([*WEEKS, *NOW], 3)
    hours = Hours(calendar) if calendar is not None else None
    condition = Compare(Op.GE, key(WAITING), usual_of(3))
    for more in ({"during": hours}, {"outside": hours}):
        term = explain(rule(level(Level.WARNING, condition), **more), seen, 0, past=past).levels[Level.WARNING].parts[1]
        assert (term.value, term.weeks) == expected


def test_rules_with_two_calendars_share_no_comparison() -> None:
    """In one evaluation: with the holiday 6 is usual and 5 is less; without it 4.5 is usual and 5 is not."""
    past, seen = through([*WEEKS, *quarter(MONDAY.format("23"), 5)], 3)
    condition = Compare(Op.GE, key(WAITING), usual_of(3))
    plain = rule(level(Level.WARNING, condition), id="plain")
    office = rule(level(Level.WARNING, condition), id="office", during=Hours(OFFICE))
    verdicts = evaluate_all(RuleSet((plain, office)), {Scope.QUEUE: seen}, past=past)
    assert [each.levels[Level.WARNING].tolist() for each in verdicts] == [[0], [1]]


def test_text_is_never_usual() -> None:
    """A column of another kind than the catalogue says is missing."""
    usual = Usual(POLL, HELSINKI, {Scope.QUEUE: {STATUS: 1}})
    for index in range(6):
        usual = usual.add({Scope.QUEUE: snapshot({STATUS: ["Busy"]}, at=utc(MONDAY.format("02")) + index * POLL)})
    assert [dict(each.means) for each in usual.closed] == [{}]


def test_the_same_poll_again_counts_once_and_a_clock_set_back_begins_again() -> None:
    usual = Usual(POLL, HELSINKI, {Scope.QUEUE: {WAITING: 1}})
    start = utc(MONDAY.format("02"))
    seen = [snapshot({WAITING: [value]}, at=start + index * POLL) for index, value in enumerate([9, 1, 1, 4, 4])]
    for each in (*seen[:2], seen[1], *seen[2:]):
        usual = usual.add({Scope.QUEUE: each})
    assert [each.means[WAITING].tolist() for each in usual.end()] == [[pytest.approx(19 / 5, rel=1e-4)]]
    for each in seen[1:4]:
        usual = usual.add({Scope.QUEUE: each})
    assert [each.means[WAITING].tolist() for each in usual.end()] == [[2]]


# Against all samples gone through one by one.

ZONES = ["Europe/Helsinki", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]
CHANGES = [date(2026, *each) for each in ((3, 8), (3, 29), (4, 5), (10, 4), (10, 25), (11, 1))]


@st.composite
def histories(draw: st.DrawFn) -> tuple[ZoneInfo, int, list[tuple[datetime, dict[str, float | None]]]]:
    """Weeks of polls around one time of the week near a change of the clock; queues come and go, polls are missing."""
    zone = ZoneInfo(draw(st.sampled_from(ZONES)))
    weeks = draw(st.integers(1, 4))
    day = draw(st.sampled_from(CHANGES)) + timedelta(days=draw(st.sampled_from([0, 0, 7, 14])))
    wall = time(draw(st.integers(0, 4)), draw(st.sampled_from([0, 15, 30, 45])), fold=draw(st.integers(0, 1)))
    now = datetime.combine(day, wall, zone).astimezone(UTC)
    polls: dict[datetime, dict[str, float | None]] = {}
    cells = st.one_of(st.none(), st.integers(0, 40).map(lambda each: each / 4))
    for back in range(weeks, 0, -1):
        begin = now - back * timedelta(weeks=1) - timedelta(minutes=draw(st.sampled_from([60, 75, 90])))
        for index in range(draw(st.sampled_from([0, 60]))):
            if draw(st.integers(0, 3)):
                there = draw(st.lists(st.sampled_from(["a", "b", "c"]), unique=True, max_size=3))
                polls[begin + index * POLL] = {each: draw(cells) for each in there}
    polls[now] = {"a": 1.0, "b": 2.0, "c": None}
    return zone, weeks, sorted(polls.items())


def by_hand(zone: ZoneInfo, weeks: int, polls: Polls, name: str) -> tuple[float | None, int]:
    """What is usual for one queue at the last poll, by definition."""
    now = polls[-1][0]
    wall = now.astimezone(zone).replace(tzinfo=None)
    wall -= timedelta(minutes=wall.minute % 15, seconds=wall.second)
    means = []
    for back in range(1, weeks + 1):
        then = wall - timedelta(weeks=back)
        # The samples at which the wall clock showed this quarter-hour of that day, by offset: the hour may be repeated.
        found: dict[timedelta | None, list[float]] = {}
        for at, values in polls:
            local = at.astimezone(zone)
            if then <= local.replace(tzinfo=None) < then + timedelta(minutes=15) and values.get(name) is not None:
                found.setdefault(local.utcoffset(), []).append(float(values[name] or 0))
        counted = [statistics.fmean(each) for each in found.values() if len(each) >= 15 / 3 / 2]
        if counted:
            means.append(statistics.fmean(counted))
    return (statistics.median(means) if len(means) >= weeks / 2 else None), len(means)


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)
@given(histories())
def test_the_median_equals_all_samples_gone_through_by_hand(
    history: tuple[ZoneInfo, int, list[tuple[datetime, dict[str, float | None]]]],
) -> None:
    zone, weeks, polls = history
    past, seen = through(polls, weeks, zone=zone)
    assert isinstance(past.usual, Usual)
    found = past.usual.typical(usual_of(weeks), seen, None)
    for row, name in enumerate(seen.ids):
        value, known = by_hand(zone, weeks, polls, name)
        assert found.weeks[row] == known
        assert bool(found.known[row]) is (value is not None)
        if value is not None:
            assert found.values[row] == pytest.approx(value, rel=2e-4, abs=1e-9)


@given(st.floats(1e-6, 1e12))
def test_a_mean_is_kept_to_a_hundredth_of_a_percent(value: float) -> None:
    """Whole seconds up to hours, and whole percents, are shown as they are."""
    usual = Usual(timedelta(minutes=15), HELSINKI, {Scope.QUEUE: {WAITING: 1}})
    usual = usual.add({Scope.QUEUE: snapshot({WAITING: [value]}, at=utc(MONDAY.format("02")))})
    ((mean,),) = (each.means[WAITING].tolist() for each in usual.end())
    assert mean == pytest.approx(value, rel=1e-4)
    assert np.float32(mean).view(np.uint32) % 256 == 0  # the last byte is not stored


def test_every_zone_is_quarter_hours_from_utc() -> None:
    """So that quarter-hours of UTC are quarter-hours of every wall clock."""
    for name in sorted(available_timezones()):
        for month in (1, 7):
            offset = datetime(2026, month, 1, tzinfo=ZoneInfo(name)).utcoffset()
            assert offset is not None
            assert offset % QUARTER == timedelta(0), name
    assert quarter_of(utc("2026-03-02T09:29:59+05:45")) == utc("2026-03-02T09:15:00+05:45")
