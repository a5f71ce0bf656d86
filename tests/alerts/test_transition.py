"""The life of one alert, poll by poll, and of all alerts of a tenant at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from alertbot.alerts.alert import Alert, Change, Reason, State
from alertbot.alerts.transition import REASONS, TRANSITIONS, Event, Observation, Sight, move, step
from alertbot.errors import ImpossibleMove
from alertbot.evaluation.evaluate import Truth
from alertbot.evaluation.measure import Measure
from alertbot.feed.observe import doubt_empty
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.hours import Calendar, Hours, Phase, TimeRange
from alertbot.rules.match import Match
from alertbot.rules.rule import Level, NoData
from tests.alerts.kit import (
    NOW,
    POLL,
    SLA,
    TENANT,
    WAIT,
    WAITING,
    column,
    compare,
    fingerprint,
    keep,
    level,
    poll,
    rule,
    snapshot,
)

INFO, W, C = Level.INFO, Level.WARNING, Level.CRITICAL
_TRUTH = {"T": Truth.TRUE, "F": Truth.FALSE, "?": Truth.UNKNOWN}
_HOURS = {"o": Phase.OPEN, "g": Phase.GRACE, "c": Phase.CLOSED}
_SIGHT = {"s": Sight.SEEN, "u": Sight.UNSEEN, "g": Sight.GONE}


@dataclass(frozen=True)
class Series:
    """One alert over polls of 15 s, one letter per poll. T, F, ? for truths; s seen, u not in a partial answer, g gone;
    o, g, c open, within grace, closed.

    `holds` are in seconds. `clear` and `guard` are omitted if the rule has none.
    """

    levels: Mapping[Level, str]
    expected: str  # one word per poll: - or P, F, R with the level's letter; ~ while the recovering clock runs; :reason
    holds: Mapping[Level, int] = field(default_factory=dict)
    clear: str = ""
    guard: str = ""
    sight: str = ""
    hours: str = ""
    keep: int = 0
    no_data: NoData = NoData.KEEP

    def play(self) -> str:
        levels = [level(each, compare(WAIT, ">", 1), self.holds.get(each, 0)) for each in sorted(self.levels)]
        watched = rule(*levels, keep_firing_for=timedelta(seconds=self.keep), no_data=self.no_data)
        alert: Alert | None = None
        words = []
        for index in range(len(self.expected.split())):
            sight = _SIGHT[self.sight[index]] if self.sight else Sight.SEEN
            truths = {
                each: _TRUTH[series[index]] if sight is Sight.SEEN else Truth.UNKNOWN
                for each, series in self.levels.items()
            }
            opposite = {Truth.TRUE: Truth.FALSE, Truth.FALSE: Truth.TRUE, Truth.UNKNOWN: Truth.UNKNOWN}
            seen = Observation(
                key=fingerprint(),
                entity_name="Queue 1",
                parent_name="",
                sight=sight,
                guard=_TRUTH[self.guard[index]] if self.guard else Truth.TRUE,
                levels=truths,
                clear={each: _TRUTH[self.clear[index]] if self.clear else opposite[truths[each]] for each in truths},
                measure=lambda _: Measure("waiting.rt", ValueType.COUNT, ">", 3.0, 1.0),
                hours=_HOURS[self.hours[index]] if self.hours else Phase.OPEN,
            )
            change = step(alert, seen, watched, NOW + index * POLL)
            if change is not None:
                alert = change.after
            words.append(_word(alert, change))
            if alert is not None and alert.state is State.INACTIVE:
                alert = None
        return " ".join(words)


def _word(alert: Alert | None, change: Change | None) -> str:
    if alert is None:
        return "-"
    word = "-" if alert.state is State.INACTIVE else alert.state.value[0].upper() + alert.level.word[0]
    clock = "~" if alert.state is State.FIRING and alert.recovering_since is not None else ""
    return word + clock + (f":{change.reason}" if change is not None and change.reason else "")


@pytest.mark.parametrize(
    "series",
    [
        pytest.param(Series({W: "FTTF"}, "- Fw:fired Fw -:resolved"), id="no `for`: fires and resolves at once"),
        pytest.param(
            Series({W: "TTTT"}, "Pw Pw Fw:fired Fw", holds={W: 30}), id="`for` counts from the first true poll"
        ),
        pytest.param(Series({W: "TTFTTT"}, "Pw Pw - Pw Pw Fw:fired", holds={W: 30}), id="false restarts `for`"),
        pytest.param(
            Series({W: "T??T"}, "Pw Pw Pw Fw:fired", holds={W: 30}),
            id="unknown neither restarts nor ends `for`, nor fires",
        ),
        pytest.param(Series({W: "??T?F"}, "- - Fw:fired Fw -:resolved"), id="unknown begins nothing and ends nothing"),
        pytest.param(
            Series({W: "TTTTT", C: "FFTTT"}, "Fw:fired Fw Fw Fw Fc:level_up", holds={C: 30}),
            id="a higher level takes over when its own `for` has passed",
        ),
        pytest.param(Series({W: "TT", C: "TT"}, "Fc:fired Fc"), id="both at once: the higher one fires"),
        pytest.param(
            Series({W: "TTTT", C: "TTTT"}, "Pc Pc Fw:fired Fc:level_up", holds={W: 30, C: 45}),
            id="pending shows the highest level that holds",
        ),
        pytest.param(
            Series({W: "TTTF", C: "TTFF"}, "Pc Pc Fw:fired -:resolved", holds={W: 30, C: 45}),
            id="a higher level that did not last leaves the lower one",
        ),
        pytest.param(
            Series({W: "TTTT", C: "TFFF"}, "Fc:fired Fw:level_down Fw Fw"),
            id="a lower level takes over when the higher has cleared",
        ),
        pytest.param(
            Series({W: "TTTTT", C: "TFFFF"}, "Fc:fired Fc~ Fc~ Fw:level_down Fw", keep=30),
            id="it takes over only after keep_firing_for, and fires meanwhile",
        ),
        pytest.param(
            Series({W: "TTTT", C: "TFFF"}, "Fc:fired -:resolved Pw Pw", holds={W: 30}),
            id="a lower level whose `for` has not passed does not take over",
        ),
        pytest.param(
            Series({W: "FTTT", C: "TFFT"}, "Fc:fired Fc~ Fc~ Fc", keep=60, holds={W: 60}),
            id="true again: the clock is reset, and nothing is reported",
        ),
        pytest.param(
            Series({W: "TFFTFFF"}, "Fw:fired Rw Rw Fw Rw Rw -:resolved", keep=30),
            id="keep_firing_for starts again after each return",
        ),
        pytest.param(
            Series({W: "TTF", C: "TFF"}, "Fc:fired Fc~ Rc", keep=60), id="recovering when no lower level holds any more"
        ),
        pytest.param(
            Series({W: "FFTF", C: "TFFF"}, "Fc:fired Rc Fc~ Rc", keep=60),
            id="a lower level that becomes true while recovering",
        ),
        pytest.param(
            Series({W: "FFFF", C: "TFTF"}, "Fc:fired Rc Fc Rc", keep=60), id="back to firing at the same level"
        ),
        pytest.param(
            Series({W: "TFT", C: "FFT"}, "Fw:fired Rw Fc:level_up", keep=60), id="a rise while recovering is a rise"
        ),
        pytest.param(
            Series({W: "TFFFF"}, "Fw:fired Fw Fw -:resolved -", clear="FFFTT"),
            id="hysteresis: between clear and when it keeps firing",
        ),
        pytest.param(
            Series({W: "TFFFF"}, "Fw:fired Rw Fw Rw Rw", clear="FTFTT", keep=30),
            id="no longer clear: the clock is reset",
        ),
        pytest.param(
            Series({W: "TFFF"}, "Fw:fired Rw Rw -:resolved", clear="FT?T", keep=30),
            id="an unknown clear does not reset the clock, and resolves nothing",
        ),
        pytest.param(Series({W: "TF??"}, "Fw:fired Rw Rw Rw", keep=15), id="unknown never resolves"),
        pytest.param(
            Series({W: "TTTFFF"}, "- - Fw:fired Fw Fw -:resolved", guard="F?TF?T"),
            id="a guard that is not true decides nothing",
        ),
        pytest.param(
            Series({W: "TTFTT"}, "Pw Pw Pw Pw Fw:fired", guard="T?F?T", holds={W: 60}),
            id="`for` continues from what was stored while the guard was not true",
        ),
        pytest.param(
            Series({W: "T?"}, "Fw:fired -:resolved", no_data=NoData.CLEAR), id="no_data clear: unknown resolves"
        ),
        pytest.param(
            Series({W: "T?TT"}, "Pw - Pw Pw", no_data=NoData.CLEAR, holds={W: 30}),
            id="no_data clear ends a pending one",
        ),
        pytest.param(
            Series({W: "T?"}, "Fw:fired Rw", no_data=NoData.CLEAR, clear="F?", keep=60),
            id="no_data clear: an unknown clear counts as clear",
        ),
        pytest.param(
            Series({W: "F???F"}, "- Pw Pw Fw:fired -:resolved", no_data=NoData.FIRE, holds={W: 30}),
            id="no_data fire: unknown counts as true, with its `for`",
        ),
        pytest.param(
            Series({W: "?T", C: "?T"}, "Fw:fired Fc:level_up", no_data=NoData.FIRE),
            id="no_data fire raises the lowest level only",
        ),
        pytest.param(
            Series({W: "TF?FF"}, "Fw:fired Rw Fw Rw Rw", no_data=NoData.FIRE, keep=60),
            id="no_data fire: unknown is not clear",
        ),
        pytest.param(
            Series({W: "TT?", C: "T??"}, "Fc:fired Fc Fc", no_data=NoData.FIRE), id="no_data fire keeps a higher level"
        ),
        pytest.param(
            Series({W: "TTTTT"}, "Fw:fired Fw Fw -:no_longer_reported Fw:fired", sight="sgggs"),
            id="gone from three complete polls: no longer reported",
        ),
        pytest.param(
            Series({W: "TTTTTTTT"}, "Fw:fired Fw Fw Fw Fw Fw Fw -:no_longer_reported", sight="sggsgugg"),
            id="a poll that has it restarts the count, a partial poll does not count",
        ),
        pytest.param(
            Series({W: "TTTT"}, "Pw Pw Pw -", sight="sggg", holds={W: 600}),
            id="a pending one that is gone is forgotten",
        ),
        pytest.param(
            Series({W: "TTTT"}, "Fw:fired Fw Fw -:no_longer_reported", sight="sggg", guard="T???"),
            id="gone counts whatever the guard says",
        ),
        pytest.param(
            Series({W: "TT"}, "Fw:fired -:resolved", sight="su", no_data=NoData.CLEAR),
            id="not in a partial answer: unknown, so no_data decides",
        ),
        pytest.param(
            Series(
                {W: "TTTT"}, "Pw Pw Fw:fired -:no_longer_reported", sight="sggg", no_data=NoData.FIRE, holds={W: 30}
            ),
            id="no_data fire keeps firing for an entity that is gone, until the alert ends",
        ),
        pytest.param(
            Series({INFO: "TTTTT", W: "FTTFF", C: "FFTFF"}, "Fi:fired Fw:level_up Fc:level_up Fi:level_down Fi"),
            id="three levels, down to what still holds",
        ),
        pytest.param(
            Series({W: "TTTTT"}, "- Fw:fired Fw -:outside_hours -", hours="coocc"),
            id="closed: nothing begins, and what is open ends",
        ),
        pytest.param(
            Series({W: "TTTTTTT"}, "Pw Pw - - Pw Pw Fw:fired", hours="ooccooo", holds={W: 30}),
            id="closing drops a pending one, and `for` starts again after opening",
        ),
        pytest.param(
            Series({W: "TFFF"}, "Fw:fired Rw -:outside_hours -", hours="oocc", keep=60),
            id="closing ends a recovering one",
        ),
        pytest.param(
            Series({W: "TTTFFF"}, "- - Fw:fired Fw Fw -:resolved", hours="ggoggo"),
            id="within grace nothing begins and nothing ends",
        ),
        pytest.param(
            Series({W: "TTTTT"}, "Pw Pw Pw Pw Fw:fired", hours="oggoo", holds={W: 60}),
            id="`for` continues during grace",
        ),
        pytest.param(
            Series({W: "TTTT"}, "Fw:fired Fw Fw -:no_longer_reported", hours="oggg", sight="sggg"),
            id="an entity that is gone ends within grace too",
        ),
        pytest.param(
            Series({W: "T???"}, "Fw:fired -:outside_hours - -", hours="occc", guard="T???"),
            id="closing ignores guard and values",
        ),
        pytest.param(
            Series({W: "????"}, "Fw:fired -:outside_hours - Fw:fired", hours="occo", no_data=NoData.FIRE),
            id="no_data fire does not fire while closed",
        ),
        pytest.param(
            Series({INFO: "TT", W: "TT", C: "TF"}, "Fc:fired Fw:level_down"), id="down to the highest that still holds"
        ),
    ],
)
def test_life(series: Series) -> None:
    """What each poll makes of the alert: state, level, and what is reported."""
    assert series.play() == series.expected


def test_an_impossible_move_raises() -> None:
    """The table is complete: a resolved alert cannot resolve again."""
    with pytest.raises(ImpossibleMove, match="inactive cannot take the event resolves"):
        move(State.INACTIVE, Event.RESOLVES)


def test_the_table_is_complete() -> None:
    """Each state but inactive can end, pending is never reported, and every event is used."""
    assert {event for _, event in TRANSITIONS} == set(Event)
    ends = {(state, event) for (state, event), after in TRANSITIONS.items() if after is State.INACTIVE}
    assert {state for state, _ in ends} == {State.PENDING, State.FIRING, State.RECOVERING}
    assert all(event in REASONS for state, event in ends if state is not State.PENDING)
    assert Event.CLEARS not in REASONS
    assert Event.RETURNS not in REASONS


def test_holds_start_again_after_the_clock_was_set_back() -> None:
    """`for` and `keep_firing_for` do not become six hours longer."""
    watched = rule(level(W, compare(WAIT, ">", 60_000), 30), keep_firing_for=timedelta(seconds=30))
    alerts: list[Alert] = []
    words = []
    ahead = timedelta(hours=6)
    for index, (value, off) in enumerate(
        [(70, ahead), *[(70, timedelta(0))] * 3, (0, ahead), *[(0, timedelta(0))] * 3]
    ):
        found = poll(alerts, [watched], [snapshot({WAIT: [value * 1000]})], NOW + index * POLL + off)
        alerts = keep(alerts, found)
        words.append(next((str(change.reason) for change in found if change.reason), "-"))
    assert words == ["-", "-", "-", "fired", "-", "-", "-", "resolved"]


# What an alert keeps.


def _watch(values: list[float | None], **more: object) -> list[Change]:
    watched = rule(**more)
    alerts: list[Alert] = []
    changes = []
    for index, value in enumerate(values):
        found = poll(alerts, [watched], [snapshot({WAIT: [value]})], NOW + index * POLL)
        alerts = keep(alerts, found)
        changes += found
    return changes


def test_a_change_only_if_something_stored_changes() -> None:
    """The same value twice is no change; another value is a change that is not reported."""
    changes = _watch([70_000, 70_000, 70_000, 71_000])
    assert [(change.reason, change.moved) for change in changes] == [(Reason.FIRED, True), (None, False)]
    assert changes[-1].after.seen_at == NOW + 3 * POLL


def test_the_peak_is_the_worst_value() -> None:
    """The peak rises with the value, keeps its time, and survives a missing value."""
    last = _watch([70_000, 90_000, 80_000, None, 65_000])[-1].after
    assert (last.peak, last.peak_at) == (90_000, NOW + POLL)
    assert last.measure == Measure(WAIT, ValueType.DURATION, ">", 65_000, 60_000)


def test_the_peak_of_a_falling_measure_is_its_lowest() -> None:
    """If lower is worse, the peak is the lowest value."""
    watched = rule(level(W, compare(SLA, "<", 0.8)))
    alerts: list[Alert] = []
    for index, value in enumerate([0.7, 0.5, 0.6]):
        alerts = keep(alerts, poll(alerts, [watched], [snapshot({SLA: [value]})], NOW + index * POLL))
    assert alerts[0].peak == 0.5


def test_the_peak_starts_over_when_another_key_is_measured() -> None:
    """A level with its own condition has its own peak."""
    watched = rule(level(W, compare(WAIT, ">", 60_000)), level(C, compare(WAITING, ">", 5)))
    alerts: list[Alert] = []
    for index, waiting in enumerate([1, 9]):
        seen = snapshot({WAIT: [90_000], WAITING: [waiting]})
        alerts = keep(alerts, poll(alerts, [watched], [seen], NOW + index * POLL))
    assert (alerts[0].level, alerts[0].peak, alerts[0].about.condition) == (C, 9, "waiting.rt > 5")


def test_the_end_says_when_why_and_with_which_value() -> None:
    """A resolved alert is history: value at recovery, highest level, and the times of its life."""
    ended = _watch([130_000, 20_000])[-1].after
    assert (ended.state, ended.end_reason, ended.ended_at) == (State.INACTIVE, Reason.RESOLVED, NOW + POLL)
    assert (ended.fired_at, ended.highest, ended.peak) == (NOW, C, 130_000)
    assert ended.measure is not None
    assert ended.measure.value == 20_000


def test_an_acknowledgement_is_kept() -> None:
    """A rise, a fall and the end keep who acknowledged."""
    fired = replace(_watch([70_000])[-1].after, acked_by="U1", acked_at=NOW, ack_note="mine", id=7)
    for value in (130_000, 70_000, 10):
        (change,) = poll([fired], [rule()], [snapshot({WAIT: [value]})], NOW + POLL)[:1] or [None]
        if change is not None:
            fired = change.after
        assert (fired.id, fired.acked_by, fired.acked_at, fired.ack_note) == (7, "U1", NOW, "mine")
    assert fired.state is State.INACTIVE


def test_a_renamed_entity_keeps_its_alert() -> None:
    """The alert is identified by id, and takes the new name."""
    (alert,) = keep([], poll([], [rule()], [snapshot({WAIT: [70_000]}, names=["Sales"])], NOW))
    (change,) = poll([alert], [rule()], [snapshot({WAIT: [70_000]}, names=["Sales EU"])], NOW + POLL)
    assert (change.after.entity_name, change.reason, change.after.key) == ("Sales EU", None, alert.key)


# All at once: which alerts a poll evaluates.

FIRING = [70_000.0]


def _fire(**more: object) -> Alert:
    (alert,) = keep([], poll([], [rule(**more)], [snapshot({WAIT: FIRING}, names=["Sales"])], NOW))
    return alert


def _only(changes: list[Change]) -> Change:
    (change,) = changes
    return change


def test_one_alert_an_entity_that_matches() -> None:
    """Alerts begin for the entities whose condition and guard are true, and for no others."""
    seen = snapshot({WAIT: [70_000, 10, None, 130_000, 70_000], WAITING: [1, 1, 1, 1, 0]})
    changes = poll([], [rule(guard=compare(WAITING, ">=", 1), match=Match(exclude_ids=("q4",)))], [seen], NOW)
    assert [(change.before, change.after.key) for change in changes] == [(None, fingerprint("q1"))]


def test_a_failed_scope_changes_nothing() -> None:
    """A poll without data of a scope leaves its alerts as they are, however often."""
    alert = _fire()
    assert poll([alert], [rule()], [], NOW + POLL, frozenset({Scope.QUEUE})) == []
    assert poll([alert], [rule()], [snapshot({WAIT: [10]})], NOW + POLL, frozenset({Scope.QUEUE})) == []


@pytest.mark.parametrize("failed", [frozenset[Scope](), frozenset({Scope.QUEUE})], ids=["polled", "failed poll"])
@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        pytest.param([], Reason.RULE_REMOVED, id="rule gone"),
        pytest.param([rule(scope=Scope.AGENT)], Reason.RULE_REMOVED, id="rule of another scope"),
        pytest.param([rule(match=Match(names=("Support*",)))], Reason.NOT_COVERED, id="no longer matched"),
        pytest.param([rule(match=Match(exclude_ids=("q1",)))], Reason.NOT_COVERED, id="excluded"),
    ],
)
def test_what_no_rule_covers_ends(rules: list[object], reason: Reason, failed: frozenset[Scope]) -> None:
    """An alert whose rule was removed or does not cover its entity ends with that reason, even if the poll failed."""
    alert = _fire()
    seen = [] if failed else [snapshot({WAIT: FIRING}, names=["Sales"])]
    change = _only(poll([alert], rules, seen, NOW + POLL, failed))  # type: ignore[arg-type]
    assert (change.reason, change.after.state, change.after.end_reason) == (
        reason,
        State.INACTIVE,
        reason,
    )


def test_a_pending_alert_without_a_rule_is_forgotten() -> None:
    """Its beginning was not reported, so its end is not either."""
    slow = rule(level(W, compare(WAIT, ">", 60_000), 30))
    (alert,) = keep([], poll([], [slow], [snapshot({WAIT: FIRING})], NOW))
    change = _only(poll([alert], [], [], NOW + POLL))
    assert (change.reason, change.after.state, change.after.end_reason) == (None, State.INACTIVE, None)


def test_a_partial_snapshot_removes_no_entity() -> None:
    """An entity that is absent from partial responses stays; absent from complete ones it ends after three."""
    alerts = [_fire()]
    other = snapshot({WAIT: [10]}, names=["Other"], ids=("q9",))
    for index in range(1, 6):
        partial = replace(other, complete=False)
        alerts = keep(alerts, poll(alerts, [rule()], [partial], NOW + index * POLL))
    assert (alerts[0].state, alerts[0].missed) == (State.FIRING, 0)
    reasons = []
    for index in range(6, 9):
        changes = poll(alerts, [rule()], [other], NOW + index * POLL)
        alerts = keep(alerts, changes)
        reasons += [change.reason for change in changes]
    assert (reasons, alerts) == ([None, None, Reason.NO_LONGER_REPORTED], [])


def test_other_tenants_are_left_alone() -> None:
    """One tenant's poll neither changes another's alerts nor treats them as its own."""
    alert = _fire()
    foreign = replace(alert, key=alert.key._replace(tenant="other"))
    changes = poll([foreign], [rule()], [snapshot({WAIT: FIRING}, names=["Sales"])], NOW + POLL)
    assert [change.after.key.tenant for change in changes] == [TENANT]


def test_an_id_that_comes_twice_is_one_alert() -> None:
    """A source that reports an entity twice does not create two alerts."""
    seen = snapshot({WAIT: [70_000, 80_000]}, ids=("q1", "q1"))
    assert len(poll([], [rule()], [seen], NOW)) == 1


def test_parents_tell_entities_apart() -> None:
    """The same agent in two queues is two entities."""
    both = snapshot(
        {WAIT: [70_000, 80_000]},
        ids=("a1", "a1"),
        parent_ids=("q1", "q2"),
        parent_names=("Sales", "Support"),
        scope=Scope.QUEUE_AGENT,
    )
    changes = poll([], [rule(scope=Scope.QUEUE_AGENT)], [both], NOW)
    assert [(change.after.key.parent_id, change.after.parent_name) for change in changes] == [
        ("q1", "Sales"),
        ("q2", "Support"),
    ]


# Opening hours.

EVERY_DAY = Calendar("office", "UTC", ((TimeRange(8 * 60, 9 * 60 + 1),),) * 7, after_open=timedelta(minutes=5))
"""08:00 to 09:01; NOW is 09:00."""


def test_closing_ends_the_alerts_of_the_rule() -> None:
    """Whatever the poll returned, even nothing: the reason is the hours, not the value."""
    watched = rule(during=Hours(EVERY_DAY))
    alert = _fire(during=Hours(EVERY_DAY))
    later = NOW + timedelta(minutes=1)
    for seen, failed in (([snapshot({WAIT: FIRING})], frozenset[Scope]()), ([], frozenset({Scope.QUEUE}))):
        change = _only(poll([alert], [watched], seen, later, failed))
        assert (change.reason, change.after.end_reason) == (Reason.OUTSIDE_HOURS, Reason.OUTSIDE_HOURS)
        assert change.why == "outside the hours office"
    assert poll([], [watched], [snapshot({WAIT: FIRING})], later) == []


def test_the_inverse_begins_when_it_closes() -> None:
    """`outside` is active when `during` is not; within grace neither decides."""
    inside, outside = (rule(**{word: Hours(EVERY_DAY)}) for word in ("during", "outside"))
    seen = snapshot({WAIT: FIRING})
    hours = [NOW.replace(hour=7), NOW.replace(hour=8, minute=1), NOW.replace(hour=8, minute=30), NOW.replace(hour=10)]
    assert [len(poll([], [inside], [seen], at)) for at in hours] == [0, 0, 1, 0]
    assert [len(poll([], [outside], [seen], at)) for at in hours] == [1, 0, 0, 1]
    alert = _fire(during=Hours(EVERY_DAY))
    tomorrow = hours[1] + timedelta(days=1)
    assert poll([alert], [inside], [snapshot({WAIT: [10]})], tomorrow) == []
    assert _only(poll([alert], [outside], [seen], NOW)).why == "within the hours office"


# Editing a rule.


@pytest.mark.parametrize(
    ("edited", "value", "expected"),
    [
        pytest.param(
            rule(level(W, compare(WAIT, ">", 90_000))), 70_000, "-:resolved", id="a higher threshold resolves"
        ),
        pytest.param(
            rule(level(W, compare(WAIT, ">", 20_000)), level(C, compare(WAIT, ">", 65_000))),
            70_000,
            "Fc:level_up",
            id="a lower threshold raises",
        ),
        pytest.param(
            rule(level(INFO, compare(WAIT, ">", 30_000), 600)),
            70_000,
            "Fi:level_down",
            id="level gone: down to what holds",
        ),
        pytest.param(rule(level(C, compare(WAIT, ">", 65_000))), 70_000, "Fc:level_up", id="level gone: up"),
        pytest.param(rule(level(C, compare(WAIT, ">", 95_000))), 70_000, "-:resolved", id="level gone: nothing holds"),
        pytest.param(rule(level(C, compare(WAIT, ">", 95_000))), None, "Fw", id="level gone: unknown decides nothing"),
        pytest.param(rule(title="Waiting long", labels={"team": "sales"}), 70_000, "Fw", id="words only"),
    ],
)
def test_an_edited_rule_keeps_and_reevaluates_its_alert(edited: object, value: float | None, expected: str) -> None:
    """Same id, same alert: the edited rule decides from now on, and cards use its new words."""
    seen = snapshot({WAIT: [value]}, names=["Sales"])
    change = _only(poll([_fire()], [edited], [seen], NOW + POLL))  # type: ignore[list-item]
    assert _word(change.after, change) == expected
    assert change.after.about.title == edited.title  # type: ignore[attr-defined]
    assert change.after.about.labels == edited.labels  # type: ignore[attr-defined]


# What counts as partial.


@pytest.mark.parametrize(
    ("rows", "known", "empty_polls", "complete"),
    [
        pytest.param(0, 5, 0, False, id="first empty poll"),
        pytest.param(0, 5, 2, False, id="third empty poll"),
        pytest.param(0, 5, 3, True, id="after three it is accepted"),
        pytest.param(0, 0, 0, True, id="there was never anything"),
        pytest.param(2, 5, 0, True, id="fewer are not none"),
    ],
)
def test_an_empty_response(rows: int, known: int, empty_polls: int, *, complete: bool) -> None:
    """An empty response where there were entities counts as partial for the first three polls, with the reason."""
    seen = snapshot({WAIT: [1] * rows})
    judged = doubt_empty(seen, known, empty_polls)
    assert judged.complete is complete
    assert judged.problems == (() if complete else ("8x8 returned no entities where there were 5",))


def test_columns_of_an_empty_response_are_harmless() -> None:
    """No rows, no verdicts, no changes."""
    assert poll([], [rule()], [replace(snapshot({}), columns={WAIT: column([])})], NOW) == []
