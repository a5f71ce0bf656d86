"""The access token over real HTTP on loopback: kept, renewed ahead or when refused, by one thread at a time."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from alertbot.rules.catalogue import Scope
from tests.sources.conftest import NOW, Connect, HandClock
from tests.sources.standin import Reply, Request, StandIn, entity, error, in_turn, listing, page_of

WAIT = "interactionsLongestWaitInQueue.rt"
QUEUES = {Scope.QUEUE: frozenset({WAIT})}
GOOD = listing(entity("201", **{WAIT: 5}))


def test_the_token_is_kept_and_renewed_ahead(standin: StandIn, connect: Connect, clock: HandClock) -> None:
    """One token serves many polls, and a new one is fetched before it ends, by the answered `expires_in`."""
    standin.routes["/queues"] = in_turn(GOOD)
    client = connect()
    for seconds, tokens in ((0, 1), (1700, 1), (60, 2), (30, 2)):
        clock.seconds += seconds
        assert client.fetch(QUEUES, NOW + timedelta(seconds=clock.seconds)).whole
        assert len(standin.asked("token")) == tokens
    assert standin.asked("/queues")[-1].headers["authorization"] == "Bearer token-2"


@pytest.mark.parametrize(
    ("expires_in", "good_for"),
    [
        ("1799", 1739),
        (3600, 3540),
        (30, 27),
        ("", 270),
        (None, 270),
        ("-5", 270),
        ("NaN", 270),
        ([], 270),
        ("1e9", 270),
    ],
    ids=repr,
)
def test_life_of_a_token(
    standin: StandIn, connect: Connect, clock: HandClock, expires_in: object, good_for: float
) -> None:
    """`expires_in` is text or number, in seconds; what cannot be read counts as five minutes."""
    standin.expires_in = expires_in
    standin.routes["/queues"] = in_turn(GOOD)
    client = connect()
    client.fetch(QUEUES, NOW)
    clock.seconds += good_for - 1
    client.fetch(QUEUES, NOW)
    assert len(standin.asked("token")) == 1
    clock.seconds += 2
    client.fetch(QUEUES, NOW)
    assert len(standin.asked("token")) == 2


def test_a_token_that_is_still_good_outlives_a_failed_renewal(
    standin: StandIn, connect: Connect, clock: HandClock
) -> None:
    """Renewing ahead leaves time: while the token endpoint is down, the old token serves to its end."""
    standin.routes["/queues"] = in_turn(GOOD)
    client = connect()
    client.fetch(QUEUES, NOW)
    standin.routes["token"] = in_turn(error(503))
    clock.seconds += 1750
    assert client.fetch(QUEUES, NOW).whole
    clock.seconds += 60
    fetched = client.fetch(QUEUES, NOW)
    assert "503" in fetched.failures[Scope.QUEUE]
    assert not fetched.refused


def test_a_refused_token_is_renewed_once(standin: StandIn, connect: Connect) -> None:
    """A 401 in the middle of a token's life gets a new token and the same request again."""

    def queues(request: Request) -> Reply:
        old = request.headers["authorization"] == "Bearer token-1"
        return error(401, {"fault": {"faultstring": "Invalid Access Token"}}) if old else GOOD

    standin.routes["/queues"] = queues
    fetched = connect().fetch(QUEUES, NOW)
    assert fetched.whole
    assert not fetched.refused
    assert len(standin.asked("token")) == 2


def test_one_renewal_at_a_time(standin: StandIn, connect: Connect) -> None:
    """Four pages that meet a dead token at once cost one new token, not four."""
    four = threading.Barrier(4)

    def queues(request: Request) -> Reply:
        if request.page and request.headers["authorization"] == "Bearer token-1":
            four.wait(timeout=10)
            return error(401)
        return page_of(request.page, 5)

    standin.routes["/queues"] = queues
    fetched = connect().fetch(QUEUES, NOW)
    assert fetched.whole
    assert len(standin.asked("token")) == 2


def test_one_refusal_serves_all(standin: StandIn, connect: Connect) -> None:
    """Four pages that meet a dead token when the key pair is refused too: 8x8 is asked once, not four times."""
    four, waiting = threading.Barrier(4), threading.Event()

    def queues(request: Request) -> Reply:
        if request.page:
            four.wait(timeout=10)
            return error(401)
        standin.routes["token"] = token
        return page_of(0, 5)

    def token(request: Request) -> Reply:
        waiting.wait(0.6)  # so that the other three stand in line meanwhile
        return error(401, {"Error": "Invalid key"})

    standin.routes["/queues"] = queues
    fetched = connect().fetch(QUEUES, NOW)
    assert fetched.refused
    assert len(standin.asked("token")) == 2
    problems = fetched.snapshots[Scope.QUEUE].problems
    assert len(problems) == 1
    assert "pages 2, 3, 4, 5 of 5 not received: the API key and secret were refused" in problems[0]


def test_a_token_that_is_always_refused(standin: StandIn, connect: Connect) -> None:
    """Two tokens refused: the credentials are reported as refused, and not tried for every page."""
    standin.routes["/queues"] = in_turn(error(401, {"fault": {"faultstring": "Invalid Access Token"}}))
    fetched = connect().fetch(QUEUES, NOW)
    assert fetched.refused
    assert "answered 401: Invalid Access Token" in fetched.failures[Scope.QUEUE]
    assert (len(standin.asked("token")), len(standin.asked("/queues"))) == (2, 2)


TOKEN_FAILURES: dict[str, tuple[Reply, str, bool, int]] = {
    "wrong secret": (error(401, {"ErrorCode": "invalid_client", "Error": "Invalid key"}), "Invalid key", True, 1),
    "bad request": (error(400, {"Error": "Unsupported grant type"}), "API key and secret were refused", True, 1),
    "forbidden": (error(403), "API key and secret were refused", True, 1),
    "wrong address": (error(404), "answered 404", False, 1),
    "down": (error(503), "answered 503", False, 3),
    "no token": (Reply(b"{}"), "without a usable access token", False, 3),
    "a list": (Reply(b"[]"), "without a usable access token", False, 3),
    "an empty token": (Reply(b'{"access_token": ""}'), "without a usable access token", False, 3),
    "a token that breaks headers": (Reply(b'{"access_token": "a\\r\\nX: y"}'), "without a usable access", False, 3),
    "html": (Reply(b"<html>"), "HTML page", False, 3),
}


@pytest.mark.parametrize(("reply", "words", "refused", "tries"), TOKEN_FAILURES.values(), ids=TOKEN_FAILURES)
def test_token_failures(
    standin: StandIn, connect: Connect, reply: Reply, words: str, refused: bool, tries: int
) -> None:
    """Without a token nothing else is asked; every scope says why, and refused credentials are marked."""
    standin.routes["token"] = in_turn(reply)
    fetched = connect().fetch({**QUEUES, Scope.AGENT: frozenset({"status.rt"})}, NOW)
    assert set(fetched.failures) == {Scope.QUEUE, Scope.AGENT}
    assert all(words in failure for failure in fetched.failures.values()), fetched.failures
    assert fetched.refused is refused
    assert len(standin.asked("token")) == tries
    assert not standin.asked("/queues")
    assert not standin.asked("/agents")
