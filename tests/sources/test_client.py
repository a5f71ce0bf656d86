"""The 8x8 client over real HTTP on loopback: what it asks for, and what it makes of every way to fail."""

from __future__ import annotations

import base64
import gzip
import json
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from alertbot.errors import SourceError, SourceUnreachable
from alertbot.evaluation.snapshot import Fetched, Presence
from alertbot.rules.catalogue import Scope, catalogue
from alertbot.rules.match import Only
from alertbot.sources.eight_by_eight import REGIONS, EightByEight
from alertbot.sources.eight_by_eight.deadline import Deadline
from alertbot.sources.eight_by_eight.transport import Bearer, Transport
from tests.sources.conftest import KEY, NOW, SECRET, Connect, HandClock
from tests.sources.standin import Reply, Request, StandIn, by_page, entity, error, in_turn, listing, page_of

WAIT = "interactionsLongestWaitInQueue.rt"
QUEUES = {Scope.QUEUE: frozenset({WAIT})}
GOOD = listing(entity("201", **{WAIT: 5}))


def beyond(pages: int) -> Reply:
    """8x8's answer for a page beyond the end."""
    text = "Bad request: Field 'page' must be greater than or equal to 0 and less than the total number of pages, "
    return error(400, {"message": f"{text}which is {pages} for this request"})


def ids(fetched: Fetched, scope: Scope = Scope.QUEUE) -> tuple[str, ...]:
    return fetched.snapshots[scope].ids


# What is asked for


def test_what_is_asked_for(standin: StandIn, connect: Connect) -> None:
    """A token by Basic auth; then one call a scope: only the wanted keys, repeated, in pages of 1000, as JSON."""
    for path in ("/queues", "/groups", "/agents"):
        standin.routes[path] = in_turn(listing(entity("1")))
    wanted = {
        Scope.AGENT: frozenset({"status.rt", "accepted.today"}),
        Scope.QUEUE: frozenset({"entered.int-30m", WAIT}),
        Scope.GROUP: frozenset[str](),
    }
    fetched = connect(tenant_id="acme01", timezone="Europe/Helsinki").fetch(wanted, NOW)
    assert fetched.whole, fetched.failures
    (token,) = standin.asked("token")
    assert token.method == "POST"
    assert token.body == b"grant_type=client_credentials"
    assert token.headers["content-type"] == "application/x-www-form-urlencoded"
    assert token.headers["authorization"] == "Basic " + base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
    (queues,), (groups,), (agents,) = (standin.asked(path) for path in ("/queues", "/groups", "/agents"))
    assert queues.query == (("page", "0"), ("size", "1000"), ("metrics", "entered.int-30m"), ("metrics", WAIT))
    assert agents.query == (
        ("page", "0"),
        ("size", "1000"),
        ("timezone", "Europe/Helsinki"),
        ("metrics", "accepted.today"),
        ("metrics", "status.rt"),
    )
    # No key is wanted: ids and names alone, for without `metrics` 8x8 sends every metric there is.
    assert groups.query == (("page", "0"), ("size", "1000"), ("summary", "true"))
    for request in (queues, groups, agents):
        assert request.method == "GET"
        assert request.headers["authorization"] == "Bearer token-1"
        assert request.headers["accept"] == "application/json"
        assert request.headers["x-tenant-info"] == "acme01"
        assert request.headers["user-agent"].startswith("alertbot/")


def test_a_single_tenant_sends_no_tenant_header(standin: StandIn, connect: Connect) -> None:
    """X-Tenant-Info is for multitenant customers only."""
    standin.routes["/queues"] = in_turn(GOOD)
    connect().fetch(QUEUES, NOW)
    assert "x-tenant-info" not in standin.asked("/queues")[0].headers


def test_regions() -> None:
    """The four base addresses of the guide; Asia-Pacific is `au` in the path."""
    assert REGIONS["us"] == "https://api.8x8.com/analytics/cc/v5/realtime-metrics"
    assert {name: url.split("/")[3] for name, url in REGIONS.items()} == {
        "us": "analytics", "eu": "eu", "ap": "au", "ca": "ca",
    }  # fmt: skip


def test_a_long_key_list_is_split_and_joined(standin: StandIn, connect: Connect) -> None:
    """All keys of a scope and more go out in several URLs under 6,000 characters and come back as one snapshot."""
    keys = frozenset(catalogue().metrics[Scope.AGENT]) | {f"aVeryLongMetricNameToCome{n}.int-30m" for n in range(60)}
    standin.routes["/agents"] = lambda request: listing(entity("ag1", **dict.fromkeys(request.metrics, 1)))
    fetched = connect().fetch({Scope.AGENT: keys}, NOW)
    requests = standin.asked("/agents")
    assert len(requests) > 1
    assert all(sum(len(name) + len(value) + 2 for name, value in request.query) < 6000 for request in requests)
    assert sorted(key for request in requests for key in request.metrics) == sorted(keys)
    snapshot = fetched.snapshots[Scope.AGENT]
    assert snapshot.ids == ("ag1",)
    assert set(snapshot.columns) == keys
    assert not any((column.presence == Presence.NOT_FETCHED).any() for column in snapshot.columns.values())


def test_a_scope_that_is_not_read_is_a_failure(standin: StandIn, connect: Connect) -> None:
    """A scope without an endpoint is a failure, not missing silently."""
    standin.routes["/queues"] = in_turn(GOOD)
    fetched = connect().fetch({**QUEUES, Scope.FEED: frozenset({"age"})}, NOW)
    assert ids(fetched) == ("201",)
    assert fetched.failures == {Scope.FEED: "scope feed is not available from 8x8"}


def test_statistics(standin: StandIn, connect: Connect) -> None:
    """Each request is counted with its page, keys, entities, bytes and tries."""
    second = in_turn(error(503), listing(entity("2"), entity("3"), pages=2))
    standin.routes["/queues"] = by_page([listing(entity("1"), pages=2), second])
    fetched = connect().fetch(QUEUES, NOW)
    rows = sorted((r.endpoint, r.page, r.keys, r.entities, r.tries) for r in fetched.requests)
    assert rows == [("/queues", 0, 1, 1, 1), ("/queues", 1, 1, 2, 2), ("token", 0, 0, 0, 1)]
    assert all(request.bytes > 0 for request in fetched.requests if request.endpoint == "/queues")


# Paging


def test_pages_are_followed_in_order(standin: StandIn, connect: Connect) -> None:
    """X-Total-Pages is followed, and rows are in page order whatever page came first."""
    standin.routes["/queues"] = by_page([page_of(number, 6) for number in range(6)])
    fetched = connect().fetch(QUEUES, NOW)
    assert fetched.whole
    assert ids(fetched) == tuple(f"{number}-{row}" for number in range(6) for row in range(3))
    assert fetched.snapshots[Scope.QUEUE].columns[WAIT].values.tolist() == [float(n) for n in range(6) for _ in "abc"]
    assert standin.asked("/queues")[0].page == 0
    assert len(standin.asked("/queues")) == 6


def test_at_most_four_requests_at_once(standin: StandIn, connect: Connect) -> None:
    """Pages after the first come side by side, four at a time and never more."""
    lock, most, inside = threading.Lock(), [0], [0]
    four, fifth = threading.Barrier(4), threading.Event()

    def page(request: Request) -> Reply:
        if request.page == 0:
            return page_of(0, 9)
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        if most[0] > 4:
            fifth.set()
        four.wait(timeout=10)  # breaks, and the test with it, when fewer than four come
        fifth.wait(0.1)  # time enough for a fifth one, if there is one
        with lock:
            inside[0] -= 1
        return page_of(request.page, 9)

    standin.routes["/queues"] = page
    assert connect().fetch(QUEUES, NOW).whole
    assert most[0] == 4


PAGINGS: dict[str, tuple[list[Reply], tuple[str, ...], bool]] = {
    "the list shrank": ([page_of(0, 3), page_of(1, 2), beyond(2)], ("0", "1"), False),
    "no second page, whatever was announced": ([page_of(0, 2), beyond(1)], ("0",), False),
    "the second page is the first one again": ([page_of(0, 2), page_of(0, 2)], ("0",), False),
    "all of it was on other pages": ([page_of(0, 3), page_of(1, 3), page_of(0, 3)], ("0", "1"), False),
    "an empty page in the middle": ([page_of(0, 3), listing(pages=3), page_of(2, 3)], ("0", "2"), False),
    "the list grew": ([page_of(0, 2), page_of(1, 3), page_of(2, 3)], ("0", "1", "2"), True),
    "an empty page at the end": ([page_of(0, 2), listing(pages=2)], ("0",), False),
    "empty, although one page is announced": ([listing(pages=1)], (), True),
    "nothing at all": ([listing(pages=0)], (), True),
    "nothing, and page 0 refused": ([beyond(0)], (), True),
    "a header that is no number": ([listing(entity("0-0"), pages=None, **{"X-Total-Pages": "two"})], ("0",), True),
    "no header": ([listing(entity("0-0"), pages=None)], ("0",), True),
    "a page refused": ([page_of(0, 3), error(400, {"message": "no"}), page_of(2, 3)], ("0", "2"), False),
    "a page that stays broken": ([page_of(0, 3), page_of(1, 3), Reply(b"<html>")], ("0", "1"), False),
    "more pages than are read": ([page_of(n, 100_000) for n in range(5)], ("0", "1", "2", "3", "4"), False),
}


@pytest.mark.parametrize(("pages", "seen", "whole"), PAGINGS.values(), ids=PAGINGS)
def test_paging(standin: StandIn, connect: Connect, pages: list[Reply], seen: tuple[str, ...], whole: bool) -> None:
    """What has come is used; it is whole, or says what is missing."""
    standin.routes["/queues"] = by_page(pages)
    fetched = connect(max_pages=5).fetch(QUEUES, NOW)
    assert dict.fromkeys(identity.split("-")[0] for identity in ids(fetched)) == dict.fromkeys(seen)
    assert not fetched.failures
    assert fetched.whole is whole
    problems = fetched.snapshots[Scope.QUEUE].problems
    if not whole:
        assert any("page" in problem for problem in problems), problems


CONTRADICTIONS: dict[str, tuple[list[Reply], str]] = {
    "gone": ([page_of(0, 3), page_of(1, 2), beyond(2)], "page 3 of 3 missing"),
    "empty": ([page_of(0, 3), listing(pages=3), page_of(2, 3)], "page 2 of 3 empty"),
    "repeated": ([page_of(0, 2), page_of(0, 2)], "page 2 of 2 repeated"),
    "two gone": ([page_of(0, 3), beyond(1), beyond(1)], "pages 2, 3 of 3 missing"),
    "gone, by an answer that knows no better": ([page_of(0, 2), beyond(999_999_999)], "page 2 of 2 missing"),
    "gone and empty": ([page_of(0, 3), listing(pages=3), beyond(2)], "page 2 of 3 empty, page 3 of 3 missing"),
}


@pytest.mark.parametrize(("pages", "words"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_list_that_contradicts_its_page_count(
    standin: StandIn, connect: Connect, pages: list[Reply], words: str
) -> None:
    """Entities that are not on the received pages are unknown, not gone; a page beyond the end is not retried."""
    standin.routes["/queues"] = by_page(pages)
    fetched = connect().fetch(QUEUES, NOW)
    snapshot = fetched.snapshots[Scope.QUEUE]
    assert not snapshot.complete
    assert f"queues: the list changed while it was being read: {words}" in snapshot.problems
    assert len(standin.asked("/queues")) == len(pages)


def counted(rows: range, pages: int | None, elements: object, *others: object) -> Reply:
    """A page of these rows that says how many elements there are in all."""
    return listing(*others, *(entity(str(row)) for row in rows), pages=pages, **{"X-Total-Elements": str(elements)})


SUMS = entity(None, "totals", **{f"total.{WAIT}": 1})
COUNTS: dict[str, tuple[list[Reply], str]] = {
    "all": ([counted(range(3), 2, 5), counted(range(3, 5), 2, 5)], ""),
    "none": ([counted(range(0), 0, 0)], ""),
    "more than announced": ([counted(range(3), 1, 2)], ""),
    "one left meanwhile": ([counted(range(3), 2, 6), counted(range(4, 6), 2, 5)], "got 5 of 6"),
    "one came meanwhile": ([counted(range(3), 2, 5), counted(range(2, 5), 2, 6)], "got 5 of 6"),
    "too few of one page": ([counted(range(3), 1, 4)], "got 3 of 4"),
    "empty, although entities are announced": ([counted(range(0), 1, 4)], "got 0 of 4"),
    "no count": ([counted(range(3), 1, "many")], ""),
    "the totals are counted": ([counted(range(2), 2, 5, SUMS), counted(range(2, 3), 2, 5, SUMS)], ""),
    "the totals are not counted": ([counted(range(2), 2, 3, SUMS), counted(range(2, 3), 2, 3, SUMS)], ""),
    "a page repeats an id of its own": ([counted(range(1), 1, 2, entity("0"))], ""),
    "no page count": ([counted(range(1), None, 2)], "got 1 of 2"),
}


@pytest.mark.parametrize(("pages", "words"), COUNTS.values(), ids=COUNTS)
def test_fewer_than_8x8_counts(standin: StandIn, connect: Connect, pages: list[Reply], words: str) -> None:
    """Where 8x8 says how many there are (X-Total-Elements), fewer different ones are a part of the list."""
    standin.routes["/queues"] = by_page(pages)
    snapshot = connect().fetch(QUEUES, NOW).snapshots[Scope.QUEUE]
    assert snapshot.complete is (not words)
    said = [problem for problem in snapshot.problems if "the list changed" in problem]
    assert said == ([f"queues: the list changed while it was being read: {words}"] if words else [])


def test_what_is_missing_is_named(standin: StandIn, connect: Connect) -> None:
    """A partial snapshot says which page is missing, and why."""
    standin.routes["/queues"] = by_page([page_of(0, 3), error(404, {"message": "lost"}), page_of(2, 3)])
    (problem,) = connect().fetch(QUEUES, NOW).snapshots[Scope.QUEUE].problems
    host = standin.url.removeprefix("http://")
    assert problem == f"queues: page 2 of 3 not received: {host} answered 404: lost"


def test_full_pages_without_a_header_are_followed(standin: StandIn, connect: Connect) -> None:
    """Where the paging header is missing, a full page is followed by the next, until one is short or repeats."""
    full = [entity(str(row)) for row in range(1000)]
    standin.routes["/queues"] = by_page([listing(*full, pages=None), listing(entity("x"), pages=None)])
    assert len(connect().fetch(QUEUES, NOW).snapshots[Scope.QUEUE]) == 1001
    standin.requests.clear()
    standin.routes["/queues"] = in_turn(listing(*full, pages=None))
    assert len(connect().fetch(QUEUES, NOW).snapshots[Scope.QUEUE]) == 1000
    assert len(standin.asked("/queues")) == 2


def test_an_entity_on_two_pages_counts_once(standin: StandIn, connect: Connect) -> None:
    """A list that shifts between two pages repeats an entity: the first row is used, with a note."""
    first = listing(entity("1", **{WAIT: 1}), entity("2", **{WAIT: 2}), pages=2)
    standin.routes["/queues"] = by_page([first, listing(entity("2", **{WAIT: 9}), entity("3", **{WAIT: 3}), pages=2)])
    snapshot = connect().fetch(QUEUES, NOW).snapshots[Scope.QUEUE]
    assert snapshot.ids == ("1", "2", "3")
    assert snapshot.columns[WAIT].values.tolist() == [1.0, 2.0, 3.0]
    assert snapshot.complete
    assert snapshot.problems == ("queues: 1 elements repeat an id; the first of each is used",)


# Failing and trying again

BROKEN_GZIP = {"Content-Encoding": "gzip"}
ZIPPED = gzip.compress(json.dumps([entity(str(n), **{WAIT: n * 7919}) for n in range(500)]).encode())
FAILURES: dict[str, tuple[Reply, str, int]] = {
    "500": (error(500, {"message": "Internal"}), "answered 500: Internal (after 3 attempts)", 3),
    "502 from a gateway": (Reply(b"<html>bad gateway</html>", 502), "answered 502: an HTML or XML page", 3),
    "503 without a body": (error(503), "answered 503 (after 3 attempts)", 3),
    "429": (error(429, {"message": "slow down"}), "answered 429: slow down", 3),
    "404": (error(404), "answered 404", 1),
    "405": (error(405), "answered 405", 1),
    "400": (error(400, {"message": "Bad request: X-Tenant-Info header is missing."}), "X-Tenant-Info header is mis", 1),
    "403": (error(403, {"message": "Forbidden", "errors": []}), "answered 403: Forbidden", 1),
    "204": (Reply(status=204), "answered 204", 3),
    "redirect": (error(302, Location="http://127.0.0.1:9/x"), "a redirect, which is not followed", 1),
    "reset": (Reply(how="drop"), "was lost", 3),
    "cut off": (Reply(GOOD.body, how="cut"), "truncated response", 3),
    "html": (Reply(b"<html>Sign in</html>"), "sent an HTML page, not JSON: perhaps it came from a proxy", 3),
    "xml": (Reply(b"<UnmodifiableRandomAccessList/>"), "sent XML or HTML, not JSON", 3),
    "truncated JSON": (Reply(GOOD.body[:-3]), "sent truncated or malformed JSON", 3),
    "empty": (Reply(), "sent an empty response", 3),
    "no gzip": (Reply(GOOD.body, headers=BROKEN_GZIP), "broken compression", 3),
    "spoilt gzip": (Reply(ZIPPED[:200] + b"\0" * 50 + ZIPPED[250:], headers=BROKEN_GZIP), "broken compression", 3),
    "truncated gzip": (Reply(ZIPPED[:300], headers=BROKEN_GZIP), "truncated or malformed", 3),
    "too large": (Reply(gzip.compress(b" " * 3_000_000), headers=BROKEN_GZIP), "more than 1,000,000 bytes", 3),
}


@pytest.mark.parametrize(("reply", "words", "tries"), FAILURES.values(), ids=FAILURES)
def test_failures(standin: StandIn, connect: Connect, reply: Reply, words: str, tries: int) -> None:
    """A scope that cannot be read is a failure with a sentence; the others are served; what can help is tried again."""
    standin.routes["/queues"] = in_turn(reply)
    standin.routes["/groups"] = in_turn(listing(entity("301", **{"enabled.rt": "7"})))
    fetched = connect(max_bytes=1_000_000).fetch({**QUEUES, Scope.GROUP: frozenset({"enabled.rt"})}, NOW)
    assert set(fetched.failures) == {Scope.QUEUE}
    assert fetched.failures[Scope.QUEUE].startswith("queues could not be read: ")
    assert words in fetched.failures[Scope.QUEUE]
    assert ids(fetched, Scope.GROUP) == ("301",)
    assert len(standin.asked("/queues")) == tries
    assert next(r.tries for r in fetched.requests if r.endpoint == "/queues") == tries
    assert not fetched.whole
    assert fetched.refused is (reply.status == 403)


@pytest.mark.parametrize("name", [name for name, (_, _, tries) in FAILURES.items() if tries > 1])
def test_one_bad_answer_is_got_over(standin: StandIn, connect: Connect, clock: HandClock, name: str) -> None:
    """A temporary failure costs a retry and a short wait, not the poll."""
    standin.routes["/queues"] = in_turn(FAILURES[name][0], GOOD)
    fetched = connect(max_bytes=1_000_000).fetch(QUEUES, NOW)
    assert fetched.whole
    assert ids(fetched) == ("201",)
    assert len(clock.slept) == 1
    assert 0 <= clock.slept[0] <= 8


DATE = "Mon, 02 Mar 2026 09:00:00 GMT"
WAITS: dict[str, tuple[dict[str, str], float]] = {
    "seconds": ({"Retry-After": "4"}, 4),
    "zero": ({"Retry-After": "0"}, 0),
    "date by the server's clock": ({"Retry-After": "Mon, 02 Mar 2026 09:00:07 GMT", "Date": DATE}, 7),
    "date by the wall": ({"Retry-After": "Mon, 02 Mar 2026 09:00:06 GMT", "Date": "soon"}, 6),
    "a date gone by": ({"Retry-After": "Sun, 01 Mar 2026 09:00:06 GMT", "Date": DATE}, 0),
}


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("headers", "wait"), WAITS.values(), ids=WAITS)
def test_retry_after_is_kept(
    standin: StandIn, connect: Connect, clock: HandClock, headers: dict[str, str], wait: float, status: int
) -> None:
    """Retry-After, in seconds or as a date, is the wait before the next try."""
    standin.routes["/queues"] = in_turn(error(status, None, **headers), GOOD)
    fetched = connect().fetch(QUEUES, NOW)
    assert fetched.whole
    assert clock.slept == [pytest.approx(wait, abs=0.2)]
    assert fetched.retry_after is None


def test_a_long_retry_after_ends_the_fetch(standin: StandIn, connect: Connect, clock: HandClock) -> None:
    """A wait that the poll has no time for is not slept through: nothing more is asked, and the wait is handed on."""
    standin.routes["/queues"] = by_page([page_of(0, 9), *[error(429, None, **{"Retry-After": "90"})] * 8])
    fetched = connect().fetch(QUEUES, NOW)
    assert fetched.retry_after == 90
    assert clock.slept == []
    assert len(standin.asked("/queues")) <= 5  # page 0 and the four that were under way
    snapshot = fetched.snapshots[Scope.QUEUE]
    assert not snapshot.complete
    assert ids(fetched) == ("0-0", "0-1", "0-2")
    assert any("8x8 asked for a back-off of 90 s (Retry-After)" in problem for problem in snapshot.problems)


def test_a_wait_holds_for_all(standin: StandIn, connect: Connect, clock: HandClock) -> None:
    """A Retry-After for one request delays the next ones of the same fetch too."""
    asked, told, slept = threading.Event(), threading.Event(), list[float]()
    limited = in_turn(error(429, None, **{"Retry-After": "3"}), GOOD)
    both = threading.Barrier(2, action=lambda: clock.sleep(3.0))

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        told.set()
        both.wait(10)  # the clock moves on once two sleep

    def queues(request: Request) -> Reply:
        assert asked.wait(10)
        return limited(request)

    def groups(request: Request) -> Reply:
        if request.page == 0:
            asked.set()
            assert told.wait(10)
        return listing(entity(str(request.page)), pages=2)

    standin.routes["/queues"] = queues
    standin.routes["/groups"] = groups
    assert connect(sleep=sleep).fetch({**QUEUES, Scope.GROUP: frozenset({"enabled.rt"})}, NOW).whole
    assert slept == [3.0, 3.0]


def test_a_mad_retry_after_is_bounded(standin: StandIn, connect: Connect) -> None:
    """A Retry-After of days is limited to an hour."""
    standin.routes["/queues"] = in_turn(error(429, None, **{"Retry-After": "99999999999"}))
    assert connect().fetch(QUEUES, NOW).retry_after == 3600


def test_tries_end_with_the_deadline(standin: StandIn, connect: Connect, clock: HandClock) -> None:
    """However many tries are allowed, no wait goes beyond the time of the fetch."""
    standin.routes["/queues"] = in_turn(error(503))
    fetched = connect(max_tries=1000, deadline_s=20.0).fetch(QUEUES, NOW)
    assert "503" in fetched.failures[Scope.QUEUE]
    assert clock.slept
    assert sum(clock.slept) < 20


def test_nobody_there(clock: HandClock, standin: StandIn) -> None:
    """A refused connection and an unknown host name are reported as such."""
    for url, words in (
        ("http://127.0.0.1:1", "127.0.0.1:1 refused the connection (after 3 attempts)"),
        ("http://no-such-host.localhost:1", "the host name no-such-host.localhost:1 was not found (after 3 attempts)"),
        ("ftp://127.0.0.1", "could not be made: check the address"),
    ):
        client = EightByEight("acme", url, url + "/token", KEY, SECRET, sleep=clock.sleep, monotonic=clock)
        fetched = client.fetch(QUEUES, NOW)
        client.close()
        assert words in fetched.failures[Scope.QUEUE]
        assert not fetched.refused


# Time, on the real clock


def test_silence_ends_with_the_timeout(standin: StandIn, connect: Connect) -> None:
    """A server that does not respond costs the timeout, and no other scope."""
    standin.routes["/queues"] = in_turn(Reply(how="hang"))
    standin.routes["/groups"] = in_turn(listing(entity("301")))
    began = time.monotonic()
    wanted = {**QUEUES, Scope.GROUP: frozenset({"enabled.rt"})}
    fetched = connect(timeout_s=0.2, max_tries=2, monotonic=time.monotonic).fetch(wanted, NOW)
    assert time.monotonic() - began < 4
    assert "timed out (after 2 attempts)" in fetched.failures[Scope.QUEUE]
    assert ids(fetched, Scope.GROUP) == ("301",)


@pytest.mark.parametrize("how", ["hang", "drip"])
def test_the_deadline_holds(standin: StandIn, connect: Connect, how: str) -> None:
    """Neither silence nor an answer that drips in byte by byte holds a fetch much longer than its deadline."""
    standin.routes["/queues"] = in_turn(Reply(GOOD.body * 20, how=how))  # type: ignore[arg-type]
    began = time.monotonic()
    fetched = connect(deadline_s=0.5, monotonic=time.monotonic).fetch(QUEUES, NOW)
    assert time.monotonic() - began < 3
    assert "could not be read" in fetched.failures[Scope.QUEUE]


@pytest.mark.parametrize("how", ["drip", "drip headers", "continue"])
def test_a_drip_ends_at_the_deadline(standin: StandIn, how: Any) -> None:
    """The thread that reads an answer bit by bit ends too, not only the fetch that waits for it."""
    standin.routes["/queues"] = in_turn(Reply(GOOD.body * 20, how=how))
    transport = Transport(connect_timeout_s=3, read_timeout_s=3, max_bytes=10_000, connections=1, loopback=True)
    began = time.monotonic()
    with pytest.raises(SourceUnreachable, match="sent its response too slowly"):
        transport.send(
            "GET", standin.base_url + "/queues", Bearer("mine"), Deadline(time.monotonic() + 0.3, time.monotonic)
        )
    assert time.monotonic() - began < 2
    transport.close()


def test_close_ends_a_fetch(standin: StandIn, connect: Connect) -> None:
    """Stopping does not wait for 8x8: a fetch that is under way comes back with what it has."""
    standin.routes["/queues"] = in_turn(Reply(how="hang"))
    client = connect(deadline_s=60.0, timeout_s=60.0, monotonic=time.monotonic)
    results: list[Fetched] = []
    fetching = threading.Thread(target=lambda: results.append(client.fetch(QUEUES, NOW)))
    fetching.start()
    assert standin.arrived.wait(5)
    client.close()
    fetching.join(5)
    assert results[0].failures == {Scope.QUEUE: "queues could not be read: alertbot is stopping"}
    assert client.fetch(QUEUES, NOW).failures  # and a closed one does not begin again


# Errors and secrets

ERROR_BODIES: dict[str, tuple[bytes, str]] = {
    "message": (b'{"message": "Bad request: Field \'size\'", "Error": "x"}', "Bad request: Field 'size'"),
    "fault": (b'{"fault": {"faultstring": "Rate limit", "detail": {"errorcode": "x"}}}', "Rate limit"),
    "Error": (b'{"ErrorCode": "invalid_request", "Error": "Unsupported"}', "Unsupported"),
    "message of a wrong type": (b'{"message": 5, "Error": "Unsupported"}', "Unsupported"),
    "fault of a wrong type": (b'{"fault": "x", "Error": "Unsupported"}', "Unsupported"),
    "plain": (b"no such\r\n\tqueue\x00", "no such queue"),
    "other JSON": (b"[1, 2]", "[1, 2]"),
    "xml": (b"<error>x</error>", "an HTML or XML page"),
    "latin-1": (b"F\xfcr", "F\ufffdr"),
    "nested too deep": (b"[" * 60_000, "[" * 199 + "…"),
    "endless": (b"x" * 100_000, "x" * 199 + "…"),
}


@pytest.mark.parametrize(("body", "text"), ERROR_BODIES.values(), ids=ERROR_BODIES)
def test_error_bodies(standin: StandIn, connect: Connect, body: bytes, text: str) -> None:
    """Each known shape of an error is read to its sentence, on one line and cut."""
    standin.routes["/queues"] = in_turn(Reply(body, 404))
    assert connect().fetch(QUEUES, NOW).failures[Scope.QUEUE].endswith(f"answered 404: {text}")


def test_no_secret_gets_out(standin: StandIn, connect: Connect) -> None:
    """Whatever 8x8 echoes, key, secret and token are in no sentence, no repr and no number of the result."""
    basic = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
    echo = f"who are you, {KEY} / {SECRET} / {basic} / token-1 / token-2?"
    client = connect()
    results = []
    for path, status in (("/queues", 401), ("/queues", 400), ("/queues", 500), ("/queues", 302), ("token", 401)):
        standin.routes[path] = in_turn(error(status, {"message": echo}, Location=f"http://127.0.0.1:9/{SECRET}"))
        results.append(client.fetch(QUEUES, NOW))
    seen = repr((results, client, vars(client)))
    assert "who are you, *** / *** / *** / *** / ***?" in seen
    for secret in (KEY, SECRET, basic, "token-1", "token-2", repr(SECRET.encode())[2:-1]):
        assert secret not in seen


def test_a_password_in_an_address_stays_inside(clock: HandClock) -> None:
    """An address with a user and password in it is shown as host and port."""
    url = "http://someone:hunter2@127.0.0.1:1"
    client = EightByEight("acme", url, url, KEY, SECRET, sleep=clock.sleep, monotonic=clock)
    shown = repr((client, client.fetch(QUEUES, NOW)))
    client.close()
    assert "127.0.0.1:1" in shown
    assert "hunter2" not in shown


def test_a_redirect_is_not_followed(standin: StandIn, connect: Connect) -> None:
    """The bearer token goes to the configured host only."""
    other = StandIn()
    try:
        other.routes["/queues"] = in_turn(GOOD)
        standin.routes["/queues"] = in_turn(error(307, Location=f"{other.base_url}/queues"))
        assert "redirect" in connect().fetch(QUEUES, NOW).failures[Scope.QUEUE]
        assert other.requests == []
    finally:
        other.close()


def test_a_password_file_does_not_replace_the_token(
    standin: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """requests prefers ~/.netrc to a header that is set by hand; it must not replace the token."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    standin.routes["/queues"] = in_turn(GOOD)
    transport = Transport(
        connect_timeout_s=3, read_timeout_s=3, max_bytes=10_000, connections=1, loopback=False
    )  # as for a real host
    url = standin.base_url + "/queues"
    transport.send("GET", url, Bearer("mine"), Deadline(time.monotonic() + 5, time.monotonic))
    transport.close()
    assert standin.asked("/queues")[0].headers["authorization"] == "Bearer mine"


def test_each_request_has_its_own_token_and_query(standin: StandIn) -> None:
    """What is kept of a request between two polls is all but its token, and of that query and those headers alone."""
    standin.routes["/queues"] = in_turn(GOOD)
    transport = Transport(connect_timeout_s=3, read_timeout_s=3, max_bytes=10_000, connections=1, loopback=True)
    url = standin.base_url + "/queues"
    for token, page, tenant in (("a", "0", ""), ("b", "0", ""), ("b", "1", ""), ("c", "0", "acme01")):
        deadline = Deadline(time.monotonic() + 5, time.monotonic)
        headers = {"X-Tenant-Info": tenant} if tenant else {}
        transport.send("GET", url, Bearer(token), deadline, query=[("page", page)], headers=headers)
    transport.close()
    assert [
        (each.headers["authorization"], each.query, each.headers.get("x-tenant-info"))
        for each in standin.asked("/queues")
    ] == [
        ("Bearer a", (("page", "0"),), None),
        ("Bearer b", (("page", "0"),), None),
        ("Bearer b", (("page", "1"),), None),
        ("Bearer c", (("page", "0"),), "acme01"),
    ]


def test_other_keys_are_asked_for_as_soon_as_they_are_wanted(standin: StandIn, connect: Connect) -> None:
    """The plan of the last poll is used again only for the same keys and ids."""
    standin.routes["/queues"] = in_turn(GOOD)
    client = connect()
    only = {Scope.QUEUE: Only(ids=frozenset({"201", "202"}))}
    for keys, few in ((WAIT, {}), (WAIT, {}), ("eligible.rt", {}), (WAIT, only)):
        client.fetch({Scope.QUEUE: frozenset({keys})}, NOW, few)
    asked = [[pair for pair in each.query if pair[0] not in ("page", "size")] for each in standin.asked("/queues")]
    assert asked == [
        [("metrics", WAIT)],
        [("metrics", WAIT)],
        [("metrics", "eligible.rt")],
        [("queue-ids", "201"), ("queue-ids", "202"), ("metrics", WAIT)],
    ]


def test_loopback_needs_no_proxy(standin: StandIn, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment is not asked for an address on this machine."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    standin.routes["/queues"] = in_turn(GOOD)
    assert connect().fetch(QUEUES, NOW).whole


def _answers_407(port_of: list[int], stop: threading.Event) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port_of.append(server.getsockname()[1])
        server.settimeout(0.05)
        while not stop.is_set():
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("REQUESTS_CA_BUNDLE", "/etc/ssl/corp-missing.pem", "check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE"),
        ("HTTPS_PROXY", "http://user:hidden@127.0.0.1:9", "the proxy cannot be reached, it refuses connections"),
        ("HTTPS_PROXY", "http://user:hidden@nowhere.invalid:3128", "the host name of the proxy was not found"),
        ("HTTPS_PROXY", "407", "the proxy asks for a user and password (407): write them in HTTPS_PROXY"),
    ],
    ids=["no CA file", "no proxy there", "a wrong host name", "a proxy that asks for a password"],
)
def test_proxies_and_certificates_are_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    """The sentence points to the setting that is wrong, and holds no password."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    port_of: list[int] = []
    stop = threading.Event()
    thread = threading.Thread(target=_answers_407, args=(port_of, stop))
    if value == "407":
        thread.start()
        while not port_of:
            pass
        value = f"http://127.0.0.1:{port_of[0]}"
    monkeypatch.setenv(variable, value)
    transport = Transport(connect_timeout_s=3, read_timeout_s=3, max_bytes=10_000, connections=1, loopback=False)
    try:
        with pytest.raises(SourceError, match=re.escape(says)) as caught:
            transport.send("GET", "https://api.invalid/x", Bearer("t"), Deadline(time.monotonic() + 5, time.monotonic))
    finally:
        stop.set()
        if thread.is_alive():
            thread.join(5)
        transport.close()
    assert "hidden" not in str(caught.value)


def test_cookies_are_not_kept(standin: StandIn, connect: Connect) -> None:
    """Each request stands alone."""
    standin.routes["/queues"] = in_turn(listing(entity("1"), pages=1, **{"Set-Cookie": "track=1; Path=/"}))
    client = connect()
    client.fetch(QUEUES, NOW)
    client.fetch(QUEUES, NOW)
    assert all("cookie" not in request.headers for request in standin.requests)


def test_a_fault_of_ours_is_not_hidden(standin: StandIn, connect: Connect) -> None:
    """An exception that is not 8x8's doing comes out of fetch, and does not die with a thread."""

    def broken(seconds: float) -> None:
        raise ZeroDivisionError

    standin.routes["/queues"] = in_turn(error(503))
    with pytest.raises(ZeroDivisionError):
        connect(sleep=broken).fetch(QUEUES, NOW)
