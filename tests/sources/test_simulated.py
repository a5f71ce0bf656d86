"""The client against the simulated contact centre: thousands of agents, dying tokens, every fault it knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import numpy as np
import pytest

from alertbot.evaluation.snapshot import Fetched, Presence
from alertbot.rules.catalogue import Scope, catalogue
from alertbot.simulator.faults import BODIES, ApiFault
from alertbot.simulator.server import Simulator, SimulatorOptions, serve
from alertbot.sources.eight_by_eight import EightByEight
from tests.sources.conftest import NOW, HandClock

AGENTS = 3100
WANTED = {
    Scope.QUEUE: frozenset({"entered.today", "interactionsWaitInQueue.rt", "slaPercentage.int-30m"}),
    Scope.GROUP: frozenset({"enabled.rt", "availableIdle.rt"}),
    Scope.AGENT: frozenset({"status.rt", "timeOnStatus.rt", "accepted.today", "activeQueues.rt", "lastLogin.rt"}),
}
_time = [NOW]


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    """One big centre for all tests, on a clock that they move."""
    options = SimulatorOptions(
        seed=3, queues=20, groups=10, agents=AGENTS, clock=lambda: _time[0], warm=timedelta(minutes=20), busy_now=True
    )
    with serve(options) as running:
        yield running


@pytest.fixture
def client(sim: Simulator, clock: HandClock) -> Iterator[EightByEight]:
    sim.faults.clear()
    made = EightByEight(
        "acme",
        sim.base_url,
        sim.token_url,
        sim.options.api_key,
        sim.options.api_secret,
        sleep=clock.sleep,
        monotonic=clock,
    )
    yield made
    made.close()
    sim.faults.clear()


def ids(fetched: Fetched, scope: Scope) -> set[str]:
    return set(fetched.snapshots[scope].ids)


def test_a_big_centre_comes_whole(client: EightByEight) -> None:
    """3,100 agents over four pages, 20 queues and 10 groups: seven requests and a token, every value readable."""
    fetched = client.fetch(WANTED, _time[0])
    assert fetched.whole, fetched
    assert {scope: len(snapshot) for scope, snapshot in fetched.snapshots.items()} == {
        Scope.QUEUE: 20, Scope.GROUP: 10, Scope.AGENT: AGENTS,
    }  # fmt: skip
    assert sorted(request.endpoint for request in fetched.requests) == ["/agents"] * 4 + ["/groups", "/queues", "token"]
    agents = fetched.snapshots[Scope.AGENT]
    assert not agents.problems
    assert set(agents.columns["status.rt"].values.tolist()) > {"Available"}
    assert (agents.columns["timeOnStatus.rt"].values >= 0).all()
    logins = agents.columns["lastLogin.rt"]
    there = logins.presence == Presence.PRESENT
    assert there.any()
    assert (logins.values[there] <= _time[0].timestamp() * 1000).all()
    groups = fetched.snapshots[Scope.GROUP].columns
    assert (groups["availableIdle.rt"].values <= groups["enabled.rt"].values).all()


def test_every_key_of_the_catalogue_can_be_read(client: EightByEight) -> None:
    """All confirmed keys of the three scopes at once: nothing is of a wrong type, whatever the catalogue says it is."""
    wanted = {
        scope: frozenset(key for key, metric in catalogue().metrics[scope].items() if metric.confirmed)
        for scope in WANTED
    }
    fetched = client.fetch(wanted, _time[0])
    assert fetched.whole, fetched.failures
    for scope, snapshot in fetched.snapshots.items():
        assert set(snapshot.columns) == wanted[scope]
        wrong = [k for k, column in snapshot.columns.items() if (column.presence == Presence.INVALID).any()]
        assert not wrong
        assert not any((column.presence == Presence.ABSENT).all() for column in snapshot.columns.values())


def test_a_token_that_ends_during_the_run(client: EightByEight, sim: Simulator) -> None:
    """The token expires on 8x8's clock earlier than expected: a 401, a new token, and no poll is lost."""
    tokens = sim.counts["/oauth/v2/token"]
    assert client.fetch(WANTED, _time[0]).whole
    _time[0] += timedelta(seconds=1800)
    assert client.fetch(WANTED, _time[0]).whole
    assert sim.counts["/oauth/v2/token"] == tokens + 2


TROUBLES: dict[str, list[ApiFault]] = {
    "429 in the middle": [ApiFault("status", "/agents", page=1, times=1, status=429, retry_after=2)],
    "503 in the middle": [ApiFault("status", "/agents", page=2, times=1, status=503)],
    "both": [
        ApiFault("status", "/agents", page=1, times=1, status=429, retry_after=2),
        ApiFault("status", "/agents", page=2, times=1, status=503, body="html"),
        ApiFault("status", "/queues", times=2, status=500, body="fault"),
    ],
    "token withdrawn": [ApiFault("revoke", "/agents", page=1, times=1)],
    "token endpoint stumbles": [ApiFault("status", "/oauth/v2/token", times=2, status=503)],
    "body cut off once": [ApiFault("malformed", "/agents", page=3, times=1, body="cut_off")],
}


@pytest.mark.parametrize("faults", TROUBLES.values(), ids=TROUBLES)
def test_trouble_that_passes_costs_nothing(client: EightByEight, sim: Simulator, faults: list[ApiFault]) -> None:
    """A 429, a 503 or a dead token in the middle of a poll: all of it still comes."""
    for fault in faults:
        sim.faults.add(fault)
    fetched = client.fetch(WANTED, _time[0])
    assert fetched.whole, fetched
    assert len(fetched.snapshots[Scope.AGENT]) == AGENTS
    assert sum(request.tries for request in fetched.requests) > len(fetched.requests) or "revoke" in faults[0].kind


def test_a_page_that_keeps_failing(client: EightByEight, sim: Simulator) -> None:
    """A page that fails to the end leaves a partial scope that says so; the next poll is whole again."""
    fault = sim.faults.add(ApiFault("status", "/agents", page=1, status=503))
    fetched = client.fetch(WANTED, _time[0])
    agents = fetched.snapshots[Scope.AGENT]
    assert (len(agents), agents.complete) == (AGENTS - 1000, False)
    assert any("page 2 of 4 not received" in problem for problem in agents.problems)
    assert fetched.snapshots[Scope.QUEUE].complete
    sim.faults.remove(fault)
    assert client.fetch(WANTED, _time[0]).whole


def test_a_list_that_shrinks_between_pages(client: EightByEight, sim: Simulator) -> None:
    """The 400 for pages that are no longer there ends the paging quietly."""
    sim.faults.add(ApiFault("shrink", "/agents"))
    fetched = client.fetch(WANTED, _time[0])
    assert not fetched.failures
    assert 0 < len(fetched.snapshots[Scope.AGENT]) <= AGENTS


def test_refused_credentials(client: EightByEight, sim: Simulator) -> None:
    """No token: every scope has failed, and the credentials are named as the reason."""
    sim.faults.add(ApiFault("refuse", "/oauth/v2/token"))
    fetched = client.fetch(WANTED, _time[0])
    assert fetched.refused
    assert set(fetched.failures) == set(WANTED)
    assert sim.options.api_secret not in repr(fetched)


def unreadable(fetched: Fetched) -> None:
    assert Scope.QUEUE in fetched.failures


def missing(reason: Presence) -> Callable[[Fetched], None]:
    """Some values are spoilt, the others are as they were, and every queue is there."""

    def check(fetched: Fetched) -> None:
        snapshot = fetched.snapshots[Scope.QUEUE]
        presence = np.array([column.presence for column in snapshot.columns.values()])
        assert (presence == reason).any()
        assert (presence != reason).any()
        assert snapshot.complete

    return check


def partial(fetched: Fetched) -> None:
    assert not fetched.snapshots[Scope.QUEUE].complete


def noted(fetched: Fetched) -> None:
    assert fetched.snapshots[Scope.QUEUE].problems


def fine(fetched: Fetched) -> None:
    assert fetched.whole


P = Presence
SPOILT: dict[str, Callable[[Fetched], None]] = {
    **dict.fromkeys(
        ("html", "truncated", "cut_off", "not_json", "empty_body", "null", "not_utf8", "xml", "deep", "oversize",
         "error_200", "object_root"),
        unreadable,
    ),
    "nan": missing(P.INVALID),
    "huge": missing(P.INVALID),
    "wrong_types": missing(P.INVALID),
    "booleans": missing(P.INVALID),
    "nulls": missing(P.NULL),
    "strings": fine,
    "missing_keys": missing(P.ABSENT),
    "duplicate_ids": noted,
    "repeated_keys": noted,
    "no_ids": partial,
    "unknown_status": fine,
    "metrics_map": fine,
}  # fmt: skip


def test_every_spoilt_body_is_in_the_table() -> None:
    """A new way to spoil a body is a new row here; broken compression is tested byte by byte elsewhere."""
    assert set(SPOILT) | {"bad_gzip"} == set(BODIES)


@pytest.mark.parametrize(("body", "check"), SPOILT.items(), ids=SPOILT)
def test_spoilt_bodies(client: EightByEight, sim: Simulator, body: str, check: Callable[[Fetched], None]) -> None:
    """Each is a failure in words or values that are missing with a reason; no entity is invented, and no group lost."""
    wanted = {scope: WANTED[scope] for scope in (Scope.QUEUE, Scope.GROUP)}
    known = ids(client.fetch(wanted, _time[0]), Scope.QUEUE)
    sim.faults.add(ApiFault("malformed", "/queues", body=body))
    fetched = client.fetch(wanted, _time[0])
    check(fetched)
    if Scope.QUEUE in fetched.snapshots:
        assert ids(fetched, Scope.QUEUE) <= known
    assert len(fetched.snapshots[Scope.GROUP]) == 10


def test_a_frozen_clock_is_not_ours(client: EightByEight) -> None:
    """The time of a snapshot is the poll's own, whatever 8x8 says the time is."""
    at = datetime(2031, 5, 5, tzinfo=NOW.tzinfo)
    assert client.fetch(WANTED, at).snapshots[Scope.AGENT].at == at
