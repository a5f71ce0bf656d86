"""Every scope from the simulated contact centre, as it is there: agents of queues and groups, totals, choices by id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from alertbot.evaluation.snapshot import Fetched, Presence, Snapshot
from alertbot.rules.catalogue import Scope, catalogue
from alertbot.rules.match import Only
from alertbot.simulator.endpoints import Habits
from alertbot.simulator.entities import LOGGED_OUT
from alertbot.simulator.server import Simulator, SimulatorOptions, serve
from alertbot.sources.eight_by_eight import EightByEight
from alertbot.sources.eight_by_eight.plan import NOUNS
from tests.sources.conftest import HandClock

S = Scope
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
_time = [NOON]
OPTIONS = SimulatorOptions(
    seed=5, queues=8, groups=4, agents=80, clock=lambda: _time[0], start=NOON, timezone="UTC", tenant_id="acme01",
    warm=timedelta(minutes=50), busy_now=True, habits=Habits(timezones=("Europe/Helsinki",)),
)  # fmt: skip
Build = Callable[..., EightByEight]


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with serve(OPTIONS) as running:
        yield running


@pytest.fixture
def build(sim: Simulator, clock: HandClock) -> Iterator[Build]:
    """Makes clients of the simulator, a multitenant customer."""
    _time[0] = NOON
    made: list[EightByEight] = []

    def one(**settings: object) -> EightByEight:
        values = {"tenant_id": "acme01", "sleep": clock.sleep, "monotonic": clock, **settings}
        client = EightByEight("acme", sim.base_url, sim.token_url, "sim-key", "sim-secret", **values)  # type: ignore[arg-type]
        made.append(client)
        return client

    yield one
    for client in made:
        client.close()


@pytest.fixture
def client(build: Build) -> EightByEight:
    return build()


def pairs(snapshot: Snapshot) -> set[tuple[str, str]]:
    return set(zip(snapshot.parent_ids, snapshot.ids, strict=True))


def endpoints(fetched: Fetched) -> list[str]:
    return sorted(each.endpoint for each in fetched.requests if each.endpoint != "token")


@pytest.mark.parametrize("scope", list(NOUNS), ids=str)
def test_every_key_of_every_scope(client: EightByEight, scope: Scope) -> None:
    """All confirmed keys of a scope: each comes, and none is of a wrong type."""
    keys = frozenset(key for key, metric in catalogue().metrics[scope].items() if metric.confirmed)
    fetched = client.fetch({scope: keys}, NOON)
    assert fetched.whole, fetched.failures
    snapshot = fetched.snapshots[scope]
    assert len(snapshot)
    assert set(snapshot.columns) == keys
    columns = snapshot.columns.items()
    assert not [key for key, column in columns if (column.presence == Presence.INVALID).any()]
    assert not [key for key, column in columns if (column.presence == Presence.ABSENT).all()]


def test_agents_of_queues(client: EightByEight, sim: Simulator) -> None:
    """Assigned agents who are logged in or were active today, with the name of the queue; one extra request."""
    own = "accepted.today.inQueue"
    wanted = {S.QUEUE_AGENT: frozenset({"status.rt", own}), S.QUEUE: frozenset({"entered.today"})}
    fetched = client.fetch(wanted, NOON)
    assert endpoints(fetched) == ["/agents-in-queue-groups", "/queues"]
    snapshot = fetched.snapshots[S.QUEUE_AGENT]
    expected = {
        (queue.id, agent.id) for queue in sim.centre.queues for agent in queue.agents if agent.status != LOGGED_OUT
    }
    assert expected <= pairs(snapshot)
    names = {queue.id: queue.name for queue in sim.centre.queues}
    assert all(names[queue] == name for queue, name in zip(snapshot.parent_ids, snapshot.parent_names, strict=True))
    for row in range(len(snapshot)):
        queue = sim.centre.find_queue(snapshot.parent_ids[row])
        agent = next(each for each in queue.agents if each.id == snapshot.ids[row])
        assert snapshot.names[row] == agent.name
        value, there = snapshot.reading(own, row)
        took = agent.pair_view(queue).count("handle", 0)
        assert there is Presence.ABSENT or (value or 0) <= took + 1


def test_a_name_that_nobody_lists_is_read_once(client: EightByEight, clock: HandClock) -> None:
    """Without the queues themselves the summary names them: read with the first poll, kept, and read again later."""
    wanted = {S.QUEUE_AGENT: frozenset({"status.rt"})}
    polls = [endpoints(client.fetch(wanted, NOON)) for _ in range(2)]
    clock.seconds += 301
    polls.append(endpoints(client.fetch(wanted, NOON)))
    assert polls == [["/agents-in-queue-groups", "/queues"], ["/agents-in-queue-groups"],
                     ["/agents-in-queue-groups", "/queues"]]  # fmt: skip


def test_agents_of_groups(client: EightByEight, sim: Simulator) -> None:
    """One listing of the agents and one summary, whatever the number of groups; then the listing alone."""
    wanted = {S.GROUP_AGENT: frozenset({"status.rt"}), S.AGENT: frozenset({"timeOnStatus.rt"})}
    fetched = client.fetch(wanted, NOON)
    assert endpoints(fetched) == ["/agents", "/agents"]
    snapshot = fetched.snapshots[S.GROUP_AGENT]
    assert pairs(snapshot) == {(agent.group.id, agent.id) for agent in sim.centre.agents}
    assert set(snapshot.parent_names) == {group.name for group in sim.centre.groups}
    assert fetched.snapshots[S.AGENT].parent_ids == ()
    assert endpoints(client.fetch(wanted, NOON)) == ["/agents"]


def test_totals(client: EightByEight, sim: Simulator) -> None:
    """The one entity `totals`, from the same request as the queues; its counts are those of all queues."""
    wanted = {S.QUEUE: frozenset({"entered.today"}), S.QUEUE_TOTALS: frozenset({"total.entered.today"})}
    fetched = client.fetch(wanted, NOON)
    assert endpoints(fetched) == ["/queues"]
    totals, queues = fetched.snapshots[S.QUEUE_TOTALS], fetched.snapshots[S.QUEUE]
    assert (totals.ids, totals.names) == (("totals",), ("totals",))
    assert totals.reading("total.entered.today", 0)[0] == queues.columns["entered.today"].values.sum()
    assert "totals" not in queues.names


CHOICES: dict[str, tuple[Scope, Callable[[Simulator], Only], str]] = {
    "one queue": (S.QUEUE, lambda sim: Only(frozenset({"101"})), "/queues/{id}"),
    "two queues": (S.QUEUE, lambda sim: Only(frozenset({"101", "103"})), "/queues"),
    "one group": (S.GROUP, lambda sim: Only(frozenset({"301"})), "/groups/{id}"),
    "two groups": (S.GROUP, lambda sim: Only(frozenset({"301", "302"})), "/groups"),
    "two agents": (S.AGENT, lambda sim: Only(ids_of(sim)), "/agents"),
    "agents of a queue": (S.QUEUE_AGENT, lambda sim: Only(parents=frozenset({"101"})), "/queues/{id}/agents"),
    "an agent of a queue": (
        S.QUEUE_AGENT,
        lambda sim: Only(frozenset({sim.centre.queues[0].agents[0].id}), frozenset({"101"})),
        "/queues/{id}/agents/{id}",
    ),
    "agents of a group": (S.GROUP_AGENT, lambda sim: Only(parents=frozenset({"301"})), "/groups/{id}/agents"),
    "an agent of a group": (
        S.GROUP_AGENT,
        lambda sim: Only(frozenset({sim.centre.groups[0].agents[0].id}), frozenset({"301"})),
        "/groups/{id}/agents/{id}",
    ),
    "agents of two groups": (S.GROUP_AGENT, lambda sim: Only(parents=frozenset({"301", "302"})), "/agents"),
    "agents of two queues": (
        S.QUEUE_AGENT, lambda sim: Only(parents=frozenset({"101", "102"})), "/agents-in-queue-groups",
    ),
}  # fmt: skip
KEYS = {
    S.QUEUE: "entered.today", S.GROUP: "enabled.rt", S.AGENT: "status.rt", S.QUEUE_AGENT: "status.rt",
    S.GROUP_AGENT: "status.rt",
}  # fmt: skip


def ids_of(sim: Simulator) -> frozenset[str]:
    return frozenset(agent.id for agent in sim.centre.agents[3:5])


@pytest.mark.parametrize("as_object", [False, True], ids=["array of one", "object"])
@pytest.mark.parametrize(("scope", "choose", "endpoint"), CHOICES.values(), ids=CHOICES)
def test_a_choice_by_id(
    client: EightByEight,
    sim: Simulator,
    scope: Scope,
    choose: Callable[[Simulator], Only],
    endpoint: str,
    as_object: bool,
) -> None:
    """Where rules look at a few by id, only those are asked for; single ones in either form of the documents."""
    sim.api.habits = Habits(single_as_object=as_object)
    only = choose(sim)
    try:
        fetched = client.fetch({scope: frozenset({KEYS[scope]})}, NOON, {scope: only})
    finally:
        sim.api.habits = OPTIONS.habits
    assert fetched.whole, fetched.failures
    snapshot = fetched.snapshots[scope]
    assert len(snapshot)
    assert not only.ids or set(snapshot.ids) == only.ids
    assert not only.parents or set(snapshot.parent_ids) == only.parents
    assert all(name != parent for name, parent in zip(snapshot.parent_names, snapshot.parent_ids, strict=True))
    assert endpoint in [each.endpoint for each in fetched.requests if scope in each.scopes]


UNKNOWN: dict[str, tuple[Scope, Only, int, str]] = {
    "one of three queues": (
        S.QUEUE, Only(frozenset({"101", "102", "999"})), 2, "999, which 8x8 does not list in /queues",
    ),
    "the only queue": (S.QUEUE, Only(frozenset({"999"})), 0, "999, which 8x8 does not list in /queues"),
    "the only group": (S.GROUP, Only(frozenset({"999"})), 0, "999, which 8x8 does not list in /groups"),
    "an agent": (S.AGENT, Only(frozenset({"agNobody"})), 0, "agNobody, which 8x8 does not list in /agents"),
    "the queue of agents": (
        S.QUEUE_AGENT, Only(parents=frozenset({"999"})), 0, "999, which 8x8 does not list in /queues",
    ),
    "an agent of a queue": (
        S.QUEUE_AGENT,
        Only(frozenset({"agNobody"}), frozenset({"101"})),
        0,
        "agNobody, which 8x8 does not list in /queues/101/agents",
    ),
    "two agents of a group": (
        S.GROUP_AGENT,
        Only(frozenset({"agNobody", "agNoone"}), frozenset({"301"})),
        0,
        "agNobody, which 8x8 does not list in /groups/301/agents",
    ),
    "one of two groups of agents": (
        S.GROUP_AGENT, Only(parents=frozenset({"301", "999"})), 20, "999, which 8x8 does not list in /groups",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("scope", "only", "served", "words"), UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_id_is_told_once(
    client: EightByEight, clock: HandClock, scope: Scope, only: Only, served: int, words: str
) -> None:
    """One unknown id fails the request: the summary shows which, it is reported once, and the rest is read."""
    wanted = {scope: frozenset({KEYS[scope]})}
    first = client.fetch(wanted, NOON, {scope: only})
    assert first.whole, first
    assert len(first.snapshots[scope]) == served
    assert f"rules name the id {words}" in first.problems
    second = client.fetch(wanted, NOON, {scope: only})
    assert second.whole
    assert second.problems == ()
    assert len(second.requests) <= 1 + (scope is S.QUEUE_AGENT)  # no status_error again
    clock.seconds += 601
    third = client.fetch(wanted, NOON, {scope: only})
    assert len(third.requests) > 1  # tried again after a while
    assert third.problems == ()
    assert len(third.snapshots[scope]) == served


def test_a_key_that_8x8_refuses_does_not_cost_the_others(client: EightByEight) -> None:
    """`known: false` allows a rule any key; one that 8x8 rejects is reported once, and left out for a while."""
    wanted = {S.QUEUE: frozenset({"entered.today", "brandNew.rt"})}
    first, second = client.fetch(wanted, NOON), client.fetch(wanted, NOON)
    for fetched in (first, second):
        snapshot = fetched.snapshots[S.QUEUE]
        assert snapshot.complete
        assert snapshot.reading("entered.today", 0)[1] is Presence.PRESENT
        assert snapshot.reading("brandNew.rt", 0) == (None, Presence.NOT_FETCHED)
    assert first.problems == ("rules use brandNew.rt, a key that 8x8 rejects for /queues",)
    assert second.problems == ()
    assert len(second.requests) == 1


def test_headers_and_zone(build: Build) -> None:
    """X-Tenant-Info has to be right, and the zone one of the tenant's: what 8x8 says of a wrong one is the reason."""
    wanted = {S.QUEUE: frozenset({"entered.today"})}
    assert build(timezone="Europe/Helsinki").fetch(wanted, NOON).whole
    for settings, words in (
        ({"tenant_id": ""}, "X-Tenant-Info header is missing."),
        ({"tenant_id": "other"}, "Invalid value for X-Tenant-Info header."),
        ({"timezone": "Asia/Tokyo"}, "Invalid value for field 'timezone': Asia/Tokyo"),
    ):
        assert words in build(**settings).fetch(wanted, NOON).failures[S.QUEUE]


def test_percent_of_a_centre_that_sends_percent(build: Build, sim: Simulator) -> None:
    """Every percentage of every scope is a ratio in the snapshot, though 8x8 sends 0 to 100."""
    wanted = {
        S.QUEUE: frozenset({"slaPercentage.today", "slaPercentageTarget.today"}),
        S.QUEUE_TOTALS: frozenset({"total.acceptedPercentage.today"}),
        S.AGENT: frozenset({"availableTimePercentage.today"}),
        S.QUEUE_AGENT: frozenset({"busyTimePercentage.today"}),
    }
    ratio = build().fetch(wanted, NOON)
    sim.api.habits = Habits(percentages=100)
    try:
        percent = build().fetch(wanted, NOON)
    finally:
        sim.api.habits = OPTIONS.habits
    assert [note.split(" (")[0] for fetched in (ratio, percent) for note in fetched.notes] == [
        "percentages are read as ratios, 0 to 1", "percentages are read as percent, 0 to 100",
    ]  # fmt: skip
    for scope, keys in wanted.items():
        for key in keys:
            ours, theirs = (each.snapshots[scope].columns[key] for each in (ratio, percent))
            assert ours.values.tolist() == pytest.approx(theirs.values.tolist(), nan_ok=True)
            assert ours.presence.tolist() == theirs.presence.tolist()
            assert (ours.presence == Presence.PRESENT).any()


def test_the_clock_of_the_other_side(build: Build, sim: Simulator) -> None:
    """The difference to 8x8's clock is measured by the Date of its responses, to about a second."""
    wanted = {S.QUEUE: frozenset({"entered.today"})}
    client = build()
    for off in (0, 90, -300):
        skew = client.fetch(wanted, NOON - timedelta(seconds=off)).clock_skew_s
        assert skew == pytest.approx(off, abs=1.0)
