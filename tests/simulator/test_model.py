"""The model is consistent: for any seed, metrics agree with each other and with its callers and agents."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alertbot.rules.catalogue import Scope
from alertbot.simulator.actions import Demand, WalkOut
from alertbot.simulator.endpoints import Habits, known_keys
from alertbot.simulator.entities import (
    AVAILABLE,
    HANDLING,
    LOGGED_OUT,
    OFFERING,
    ON_BREAK,
    STATUS_NAMES,
    WORKING_OFFLINE,
    WRAP_UP,
)
from alertbot.simulator.layout import Size
from alertbot.simulator.model import Centre
from tests.simulator.kit import TEN, centre, read, values

WINDOWS = ("int-15m", "int-30m", "today")
SIZES = st.builds(Size, queues=st.integers(1, 9), groups=st.integers(1, 4), agents=st.integers(1, 40))
lively = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def moments(of: Centre, count: int, every: timedelta = timedelta(seconds=97)) -> Any:
    for step in range(count):
        of.advance(of.start + every * step)
        yield step


@lively
@given(st.integers(0, 10_000), SIZES, st.sampled_from([0.2, 1.0, 6.0]))
def test_every_caller_is_somewhere(seed: int, size: Size, factor: float) -> None:
    """Those who entered were answered, gave up, were diverted, or wait still; in every window."""
    of = centre(seed, size)
    of.schedule(Demand("*", factor))
    for _ in moments(of, 8):
        for row in values(read(of, "queues")).values():
            for window in WINDOWS:
                left = ("accepted", "abandoned", "shortAbandoned", "diverted")
                gone = sum(row[f"{key}.{window}"] for key in left)
                assert row[f"entered.{window}"] == gone + row["interactionsWaitInQueue.rt"]
                assert row[f"entered.{window}"] >= row[f"newInQueue.{window}"]
                assert row[f"totalAbandoned.{window}"] == (row[f"abandoned.{window}"] + row[f"shortAbandoned.{window}"])
                assert row[f"acceptedInSla.{window}"] <= row[f"accepted.{window}"]


@lively
@given(st.integers(0, 10_000), SIZES, st.sampled_from([0.2, 1.0, 6.0]))
def test_counts_of_agents_are_those_of_their_statuses(seed: int, size: Size, factor: float) -> None:
    """What a queue or group says about its agents is what one counts by asking them."""
    of = centre(seed, size)
    of.schedule(Demand("*", factor))
    of.schedule(WalkOut(share=0.4, lasting=timedelta(minutes=3)), timedelta(minutes=4))
    for _ in moments(of, 8):
        rows = values(read(of, "queues"))
        for queue in of.queues:
            row = rows[queue.id]
            by = [sum(agent.status == status for agent in queue.agents) for status in range(len(STATUS_NAMES))]
            own = [agent for agent in queue.agents if agent.queue is queue]
            busy = by[OFFERING] + by[HANDLING] + by[WRAP_UP]
            assert row["enabled.rt"] == len(queue.agents) - by[LOGGED_OUT]
            assert row["availableIdle.rt"] == by[AVAILABLE]
            assert row["eligible.rt"] == by[AVAILABLE] + busy
            assert row["onBreak.rt"] == by[ON_BREAK]
            assert row["workingOffline.rt"] == by[WORKING_OFFLINE]
            assert row["busy.rt"] == len(own) == row["offering.rt"] + row["handling.rt"] + row["wrapUp.rt"]
            assert row["busyOther.rt"] == busy - len(own)
            assert 0 <= row["busyExternal.rt"] <= row["interactionsHandling.rt"]
            # No caller waits while an agent is idle.
            ringing = row["offering.rt"]
            assert row["interactionsWaitInQueue.rt"] == ringing or row["availableIdle.rt"] == 0
            oldest = max([0, *(of.now - c.entered for c in [*queue.line, *queue.ringing] if not c.gone)])
            assert row["interactionsLongestWaitInQueue.rt"] == oldest
        for group in of.groups:
            row = values(read(of, f"groups/{group.id}"))[group.id]
            statuses = [agent.status for agent in group.agents]
            assert row["enabled.rt"] == str(sum(status != LOGGED_OUT for status in statuses))
            assert row["availableIdle.rt"] == str(statuses.count(AVAILABLE))
            assert row["eligible.rt"] == str(sum(AVAILABLE <= status <= WRAP_UP for status in statuses))


RATIOS = {
    "abandonedPercentage": ("abandoned", "entered"),
    "acceptedPercentage": ("accepted", "entered"),
    "divertedPercentage": ("diverted", "entered"),
    "shortAbandonedPercentage": ("shortAbandoned", "entered"),
    "totalAbandonedPercentage": ("totalAbandoned", "entered"),
    "acceptedInSlaPercentage": ("acceptedInSla", "accepted"),
}


@lively
@given(st.integers(0, 10_000), SIZES, st.sampled_from([1.0, 6.0]))
def test_percentages_are_their_ratio_and_null_without_a_base(seed: int, size: Size, factor: float) -> None:
    """Each percentage is the quotient of the counts beside it; where the base is 0 it is null, and so are averages."""
    of = centre(seed, size)
    of.schedule(Demand("*", factor))
    for _ in moments(of, 6):
        rows = values(read(of, "queues"))
        for queue in of.queues:
            row = rows[queue.id]
            waiting = [call for call in [*queue.line, *queue.ringing] if not call.gone]
            undecided = sum(of.now - call.entered <= row["slaTimeThreshold.today"] for call in waiting)
            for window in WINDOWS:
                decided = row[f"entered.{window}"] - row[f"shortAbandoned.{window}"] - undecided
                in_sla = row[f"acceptedInSla.{window}"]
                assert row[f"slaPercentage.{window}"] == (in_sla / decided if decided else None)
                for key, (part, whole) in RATIOS.items():
                    base = row[f"{whole}.{window}"]
                    expected = row[f"{part}.{window}"] / base if base else None
                    assert row[f"{key}.{window}"] == expected
                if row[f"accepted.{window}"] == 0:
                    assert row[f"avgProcessingTime.{window}"] is None
                if row[f"diverted.{window}"] == 0:
                    assert row[f"avgDivertedTime.{window}"] is None
            for window in ("int-1h", "int-4h", "int-8h", "int-12h", *WINDOWS):
                sla = row[f"slaPercentage.{window}"]
                assert sla is None or 0 <= sla <= 1


@lively
@given(st.integers(0, 10_000))
def test_the_time_of_an_agent_adds_up(seed: int) -> None:
    """Available, busy, on break and offline make the logged-in time, to the millisecond; shares are its parts."""
    of = centre(seed)
    for _ in moments(of, 4):
        for row in values(read(of, "agents", *(("metrics", key) for key in known_keys(Scope.AGENT)))).values():
            for window in WINDOWS:
                parts = ("availableTime", "busyTime", "onBreakTime", "workingOfflineTime")
                logged_in = row[f"loggedInTime.{window}"]
                assert logged_in == sum(row[f"{part}.{window}"] for part in parts)
                busy = ("offeringTime", "handlingTime", "wrapUpTime")
                assert row[f"busyTime.{window}"] == sum(row[f"{part}.{window}"] for part in busy)
                if window != "today":
                    assert logged_in <= {"int-15m": 900_000, "int-30m": 1_800_000}[window]
                for part in parts:
                    share = row[f"{part}Percentage.{window}"]
                    assert share == (row[f"{part}.{window}"] / logged_in if logged_in else None)
                if row[f"offered.{window}"] is None:
                    assert row["status.rt"] == "LoggedOut"
                    assert logged_in == 0
                else:
                    taken = row[f"accepted.{window}"] + row[f"rejected.{window}"] + row[f"rejectTimeout.{window}"]
                    assert taken <= row[f"offered.{window}"]  # the rest rings, or the caller hung up meanwhile
                    both = row[f"internalCallsInitiated.{window}"] + row[f"internalCallsReceived.{window}"]
                    assert row[f"internalCalls.{window}"] == both


@lively
@given(st.integers(0, 10_000))
def test_the_work_of_an_agent_is_the_sum_over_the_queues(seed: int) -> None:
    """`.inQueue` figures of all queues of an agent make the figure without the suffix, and those of a queue its own."""
    of = centre(seed)
    of.advance(TEN + timedelta(minutes=20))
    plain = values(read(of, "agents", *(("metrics", key) for key in known_keys(Scope.AGENT))))
    queues = values(read(of, "queues"))
    sums: dict[str, int] = dict.fromkeys(plain, 0)
    for queue in of.queues:
        rows = values(read(of, f"queues/{queue.id}/agents", ("size", "1000")))
        accepted = {id_: row["accepted.int-30m.inQueue"] or 0 for id_, row in rows.items()}
        assert sum(accepted.values()) == queues[queue.id]["accepted.int-30m"]
        for id_, count in accepted.items():
            sums[str(id_)] += count
    assert sums == {id_: row["accepted.int-30m"] or 0 for id_, row in plain.items()}


def test_totals_are_the_sums_of_the_rows() -> None:
    """The totals element has id null, keys with `total.`, sums of counts, the longest wait, and ratios of sums."""
    of = centre()
    of.advance(TEN + timedelta(minutes=7))
    rows = read(of, "queues", ("includeTotals", "true"))
    assert (rows[-1].id, rows[-1].name) == (None, "totals")
    totals = values(rows)[None]
    each = [row for id_, row in values(rows).items() if id_ is not None]
    assert len(totals) == len(known_keys(Scope.QUEUE)) - 2 == 99
    for key in ("entered.today", "accepted.int-15m", "interactionsWaitInQueue.rt", "enabled.rt"):
        assert totals[f"total.{key}"] == sum(row[key] for row in each)
    longest = "interactionsLongestWaitInQueue.today"
    assert totals[f"total.{longest}"] == max(row[longest] for row in each)
    assert totals["total.acceptedPercentage.today"] == (totals["total.accepted.today"] / totals["total.entered.today"])


@lively
@given(st.integers(0, 10_000))
def test_counters_of_today_only_grow(seed: int) -> None:
    """Within a day nothing that happened is taken back."""
    of = centre(seed)
    keys = [key for key in known_keys(Scope.QUEUE) if key.endswith(".today")]
    counters = [key for key in keys if "Percentage" not in key and "avg" not in key and "AvgWait" not in key]
    before: dict[str, dict[str, int]] = {}
    for _ in moments(of, 10):
        now = values(read(of, "queues", *(("metrics", key) for key in counters)))
        for id_, row in before.items():
            assert all(now[id_][key] >= row[key] for key in counters)
        before = now


def test_today_begins_at_midnight_of_the_asked_zone() -> None:
    """Counters of today start from nothing at the midnight of the time zone, and only there."""
    start = TEN.replace(hour=21, minute=30)  # half an hour to midnight in Helsinki, in March
    of = Centre(Size(6, 3, 30), start=start, timezone="Europe/Helsinki", busy_now=True, warm=timedelta(hours=1))
    habits = Habits(timezones=("UTC",))

    def entered(*query: tuple[str, str]) -> int:
        rows = values(read(of, "queues", ("metrics", "newInQueue.today"), *query, habits=habits))
        return sum(row["newInQueue.today"] for row in rows.values())

    assert entered() == entered(("timezone", "UTC")) > 20
    of.advance(start + timedelta(minutes=31))
    assert entered() < 10 < 20 < entered(("timezone", "UTC"))


@pytest.mark.parametrize("steps", [1, 7, 600], ids=["one-leap", "seven-steps", "second-by-second"])
def test_the_same_seed_and_time_give_the_same_bytes(steps: int) -> None:
    """However time is handed in, what the centre says at a moment is the same, byte for byte; another seed differs."""

    def run(seed: int, steps: int) -> bytes:
        of = centre(seed)
        of.schedule(Demand("#2", 5, timedelta(minutes=2)), timedelta(minutes=1))
        for step in range(1, steps + 1):
            of.advance(TEN + timedelta(minutes=10) * step / steps)
        agents = read(of, "agents", *(("metrics", key) for key in known_keys(Scope.AGENT)))
        return msgspec.json.encode([read(of, "queues"), agents, read(of, "agents-in-queue-groups")])

    assert run(3, steps) == run(3, 1)
    assert run(4, 1) != run(3, 1)


def test_waiting_falls_when_an_agent_becomes_free() -> None:
    """No agent is logged in: callers queue up. When agents return, callers are offered at once, oldest first."""
    of = centre(size=Size(1, 1, 8))
    of.schedule(WalkOut(code="Meeting", lasting=timedelta(minutes=4)))
    of.schedule(Demand("*", 20))
    of.advance(TEN + timedelta(minutes=4) - timedelta(milliseconds=1))
    queue = of.queues[0]
    before = [call for call in queue.line if not call.gone]
    assert queue.states[AVAILABLE] == 0
    assert len(before) > 8
    of.advance(TEN + timedelta(minutes=4))
    assert 0 < len(queue.ringing) <= 8
    assert queue.ringing == before[: len(queue.ringing)]
    of.advance(TEN + timedelta(minutes=4, seconds=20))
    assert queue.log.count("accepted", of.now - 20_000) > 0


def test_the_oldest_of_all_queues_comes_first() -> None:
    """An agent of two queues who becomes free gets the longest waiting caller of both."""
    met = 0
    for seed in range(8):
        of = centre(seed, Size(2, 1, 1))
        of.schedule(WalkOut(lasting=timedelta(minutes=9)))
        of.schedule(Demand("*", 60))
        of.advance(TEN + timedelta(minutes=9) - timedelta(milliseconds=1))
        waiting = [call for queue in of.queues for call in queue.line if not call.gone]
        assert all(queue.head() for queue in of.queues)
        of.advance(TEN + timedelta(minutes=9))
        offered = of.agents[0].call
        if offered is not None:  # otherwise a break of their own was due
            met += 1
            assert offered.entered == min(call.entered for call in waiting)
    assert met >= 4


def test_a_normal_day_is_busy_by_day_and_thin_by_night() -> None:
    """Callers and staff follow the time of day; an ordinary hour meets its service level."""
    of = Centre(Size(12, 6, 60), start=TEN, warm=timedelta(hours=2))
    day = values(read(of, "queues", ("metrics", "newInQueue.int-30m"), ("metrics", "slaPercentage.int-1h")))
    by_day = sum(row["newInQueue.int-30m"] for row in day.values())
    assert by_day > 60
    served = [row["slaPercentage.int-1h"] for row in day.values() if row["slaPercentage.int-1h"] is not None]
    assert sum(served) / len(served) > 0.85
    of.advance(TEN + timedelta(hours=17))
    night = values(read(of, "queues", ("metrics", "newInQueue.int-30m"), ("metrics", "enabled.rt")))
    assert sum(row["newInQueue.int-30m"] for row in night.values()) < by_day / 5
    of.advance(TEN + timedelta(hours=24))
    again = values(read(of, "queues", ("metrics", "newInQueue.int-30m")))
    assert sum(row["newInQueue.int-30m"] for row in again.values()) > by_day / 2


def test_every_counter_of_the_catalogue_moves() -> None:
    """In nine busy hours no metric is 0, null or empty all the time: nothing is served that the model does not do."""
    of = Centre(Size(12, 6, 60), start=TEN, warm=timedelta(hours=1))
    of.schedule(WalkOut(share=0.9, lasting=timedelta(minutes=40)))
    of.schedule(Demand("*", 1.5))
    seen: dict[str, set[str]] = {}
    for moment in range(40):
        of.advance(TEN + timedelta(minutes=14, seconds=7) * moment)
        for path, scope in (("queues", Scope.QUEUE), ("agents", Scope.AGENT), ("groups", Scope.GROUP)):
            rows = read(of, path, ("size", "1000"), *(("metrics", key) for key in known_keys(scope)))
            for row in values(rows).values():
                for key, value in row.items():
                    seen.setdefault(f"{path} {key}", set()).add(str(value))
    still = {key for key, found in seen.items() if found <= {"0", "None", "[]"}}
    assert still == set()


def test_names_can_be_given_and_changed() -> None:
    """A queue may be called anything; the other names stay those of the seed."""
    odd = "<!channel> @here & <http://x|y>"
    of = centre(size=Size(3, 2, 6, queue_names={1: odd}))
    assert [queue.name for queue in of.queues] == ["Sales EU", odd, "Sales UK"]
    of.rename_queue("Sales UK", "Sales GB")
    assert [row.name for row in read(of, "queues")] == ["Sales EU", odd, "Sales GB"]


def test_a_hidden_entity_is_reported_no_more() -> None:
    """It leaves every list, and comes back when it is shown again."""
    of = centre()
    of.hide("102")
    assert "102" not in values(read(of, "queues"))
    of.show("102")
    assert "102" in values(read(of, "queues"))


def test_names_and_ids_are_unique_in_a_big_centre() -> None:
    """2,345 queues and 3,100 agents: ids and names are unique, and every queue has an agent."""
    of = Centre(Size(2345, 40, 3100), start=TEN, warm=timedelta(0))
    for entities in (of.queues, of.groups, of.agents):
        assert len({entity.id for entity in entities}) == len(entities)
        assert len({entity.name for entity in entities}) == len(entities)
    assert all(queue.agents for queue in of.queues)


@pytest.mark.parametrize(
    "call",
    [lambda of: of.schedule(Demand("Sails EU", 2)), lambda of: of.schedule(WalkOut(group="Nobody"))],
    ids=["queue", "group"],
)
def test_an_unknown_name_is_refused_with_the_known_ones(call: Any) -> None:
    """A step for what is not there does not pass in silence."""
    with pytest.raises(LookupError, match=r"no (queue|group) .*; known are Sales"):
        call(centre())
