"""How often a tenant is asked: requests a minute, and a Retry-After that holds for all of it, also over polls."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alertbot.rules.catalogue import Scope
from tests.sources.conftest import NOW, Connect, HandClock
from tests.sources.standin import StandIn, by_page, entity, error, in_turn, listing, page_of

WAIT = "interactionsLongestWaitInQueue.rt"
QUEUES = {Scope.QUEUE: frozenset({WAIT})}
BOTH = {**QUEUES, Scope.GROUP: frozenset({"enabled.rt"})}
GOOD = listing(entity("201", **{WAIT: 5}))


def test_no_more_than_so_many_a_minute(standin: StandIn, connect: Connect, clock: HandClock) -> None:
    """What does not fit into the minute is not requested, and the snapshot says which page and why."""
    standin.routes["/queues"] = by_page([page_of(number, 9) for number in range(9)])
    client = connect(max_requests_per_minute=6)
    fetched = client.fetch(QUEUES, NOW)
    assert len(standin.requests) == 6  # the token and five pages
    snapshot = fetched.snapshots[Scope.QUEUE]
    assert not snapshot.complete
    assert len(snapshot) == 15
    (problem,) = snapshot.problems
    assert problem.startswith("queues: pages ")
    assert problem.endswith(
        " of 9 not received: skipped: 6 requests were made in the last minute (max_requests_per_minute)"
    )
    clock.seconds += 15
    assert "skipped" in client.fetch(QUEUES, NOW).failures[Scope.QUEUE]
    assert len(standin.requests) == 6
    clock.seconds += 45
    assert len(client.fetch(QUEUES, NOW).snapshots[Scope.QUEUE]) == 18  # the token is still good
    assert len(standin.requests) == 12


def test_a_short_wait_for_the_minute_is_waited_for(standin: StandIn, connect: Connect, clock: HandClock) -> None:
    """A request that fits before the deadline waits until then."""
    standin.routes["/queues"] = in_turn(GOOD)
    client = connect(max_requests_per_minute=2)
    assert client.fetch(QUEUES, NOW).whole
    clock.seconds += 55
    assert client.fetch(QUEUES, NOW).whole
    assert clock.slept == [5.0]


def test_any_minute_counts(standin: StandIn, connect: Connect, clock: HandClock) -> None:
    """Not only full minutes: in no window of 60 s are there more requests than allowed."""
    sent: list[float] = []
    standin.routes["/queues"] = lambda request: (sent.append(clock()), GOOD)[1]
    client = connect(max_requests_per_minute=4, deadline_s=12.0)
    for _ in range(100):
        client.fetch(QUEUES, NOW)
        clock.seconds += 7
    assert all(later - earlier >= 60 for earlier, later in zip(sent, sent[4:], strict=False))
    assert len(sent) > 35


def test_tries_count_too(standin: StandIn, connect: Connect) -> None:
    """A request that is tried again is another request."""
    standin.routes["/queues"] = in_turn(error(503))
    fetched = connect(max_requests_per_minute=3, max_tries=9).fetch(QUEUES, NOW)
    assert len(standin.requests) == 3
    assert "skipped" in fetched.failures[Scope.QUEUE]


def test_retry_after_holds_over_polls(standin: StandIn, connect: Connect, clock: HandClock) -> None:
    """With a Retry-After of 40 s no poll sends a request for this tenant until then; after that, all are sent."""
    standin.routes["/queues"] = in_turn(error(429, None, **{"Retry-After": "40"}), GOOD)
    standin.routes["/groups"] = in_turn(listing(entity("301", **{"enabled.rt": "7"})))
    client = connect()
    assert client.fetch(BOTH, NOW).retry_after == 40
    asked = len(standin.requests)
    for left in (25, 13):
        clock.seconds = 1000.0 + 40 - left
        fetched = client.fetch(BOTH, NOW)
        words = f"backing off for {left} s more, as 8x8 asked (Retry-After)"
        assert fetched.failures == {
            Scope.QUEUE: f"queues could not be read: {words}",
            Scope.GROUP: f"groups could not be read: {words}",
        }
        assert fetched.retry_after == left
        assert not fetched.requests
    assert len(standin.requests) == asked
    clock.seconds = 1000.0 + 40 - 2
    assert client.fetch(BOTH, NOW).whole  # two seconds are waited for
    assert clock.seconds >= 1040


def test_a_token_endpoint_may_ask_for_it_too(standin: StandIn, connect: Connect) -> None:
    """What the token endpoint says about staying away holds for the rest."""
    standin.routes["token"] = in_turn(error(429, {"Error": "slow down"}, **{"Retry-After": "100"}))
    client = connect()
    assert client.fetch(QUEUES, NOW).retry_after == 100
    assert client.fetch(QUEUES, NOW).retry_after == 100
    assert len(standin.requests) == 1


def test_tenants_do_not_share_it(standin: StandIn, connect: Connect) -> None:
    """Each client has a pace of its own."""
    standin.routes["/queues"] = in_turn(error(429, None, **{"Retry-After": "40"}), GOOD)
    assert connect().fetch(QUEUES, NOW).failures
    assert connect().fetch(QUEUES, NOW).whole


@pytest.mark.parametrize("status", [429, 503])
def test_both_statuses_may_name_a_wait(standin: StandIn, connect: Connect, status: int) -> None:
    """503 with Retry-After is the same wish."""
    standin.routes["/queues"] = in_turn(error(status, None, **{"Retry-After": "40"}), GOOD)
    client = connect()
    client.fetch(QUEUES, NOW)
    assert client.fetch(QUEUES, NOW).retry_after == 40


def test_another_process_goes_on_with_the_minute(standin: StandIn, connect: Connect, clock: HandClock) -> None:
    """What the owner of a tenant before has sent counts, until it is a minute ago."""
    standin.routes["/queues"] = in_turn(GOOD)
    former = connect(max_requests_per_minute=4)
    assert former.fetch(QUEUES, NOW).whole  # the token and one page
    clock.seconds += 10
    later = NOW + timedelta(seconds=20)
    following = connect(max_requests_per_minute=4)
    following.resume(former.memory(NOW + timedelta(seconds=10)), later)  # 10 s after the last word of the former
    assert following.fetch(QUEUES, later).whole  # its own token and one page
    assert "skipped: 4 requests were made in the last minute" in following.fetch(QUEUES, later).failures[Scope.QUEUE]
    clock.seconds += 41  # 61 s after the requests of the former
    assert following.fetch(QUEUES, later).whole


MEMORIES = {
    "none": "",
    "of a process that sent nothing": '{"requests":[],"percent":null}',
    "cut off": '{"requests":[17',
    "of another kind": '["what?"]',
    "of a clock that is ahead": '{"requests":[99999999999.0],"percent":false}',
}


@pytest.mark.parametrize("memory", MEMORIES.values(), ids=MEMORIES)
def test_any_memory_can_be_gone_on_with(standin: StandIn, connect: Connect, memory: str) -> None:
    standin.routes["/queues"] = in_turn(GOOD)
    client = connect(max_requests_per_minute=4)
    client.resume(memory, NOW)
    assert client.fetch(QUEUES, NOW).whole
