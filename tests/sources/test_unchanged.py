"""Responses that are the same as at the last poll are used again; whatever changed is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alertbot.evaluation.snapshot import Column, Fetched, Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.sources.eight_by_eight import EightByEight
from alertbot.sources.eight_by_eight.unchanged import Unchanged
from tests.sources.conftest import KEY, NOW, SECRET, Connect
from tests.sources.standin import Reply, StandIn, by_page, entity, listing

WAIT = "interactionsLongestWaitInQueue.rt"
STATUS = "status.rt"
OWN = "accepted.today.inQueue"
WANTED = {Scope.QUEUE: frozenset({WAIT})}


def queues(*waits: object, first: int = 0, pages: int = 1, **headers: str) -> Reply:
    """A page of queues, each with its longest wait."""
    return listing(*(entity(str(first + i), **{WAIT: wait}) for i, wait in enumerate(waits)), pages=pages, **headers)


def seen(client: EightByEight) -> Snapshot:
    fetched = client.fetch(WANTED, NOW)
    return fetched.snapshots[Scope.QUEUE]


def column(client: EightByEight) -> Column:
    return seen(client).columns[WAIT]


def test_the_same_bytes_give_the_same_objects(connect: Connect, standin: StandIn) -> None:
    """From the third poll on: the second one finds out that the page looks the same, and makes its digest."""
    client = connect()
    standin.routes["/queues"] = by_page([queues(1, None, 3)])
    first, second, third, fourth = (seen(client) for _ in range(4))
    assert first.same_values(second)
    assert second.ids is third.ids is fourth.ids
    assert second.columns[WAIT] is third.columns[WAIT] is fourth.columns[WAIT]


MANY = range(100, 300)  # more bytes than the end of a body that is compared
CHANGES: dict[str, tuple[Reply, Reply]] = {
    "the first value, at the same size": (queues(*MANY), queues(999, *MANY[1:])),
    "the last value, at the same size": (queues(*MANY), queues(*MANY[:-1], 999)),
    "a value that is null now": (queues(*MANY), queues(None, *MANY[1:])),
    "one queue more": (queues(*MANY), queues(*MANY, 999)),
    "two queues in another order": (queues(*MANY), replace(queues(), body=json.dumps(
        [entity(str(row), **{WAIT: wait}) for row, wait in reversed(list(enumerate(MANY)))]).encode())),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_read(connect: Connect, standin: StandIn, before: Reply, after: Reply) -> None:
    client, other = connect(), connect()
    standin.routes["/queues"] = by_page([before])
    for _ in range(3):
        seen(client)
    standin.routes["/queues"] = by_page([after])
    changed = seen(client)
    assert changed.same_values(seen(other))
    standin.routes["/queues"] = by_page([before])
    assert not seen(client).same_values(changed)


def test_what_headers_say_is_read_though_the_body_is_the_same(connect: Connect, standin: StandIn) -> None:
    """8x8 announces more queues than it sends: the snapshot is partial then, and complete again afterwards."""
    client = connect()
    complete = []
    for total in ("3", "3", "3", "4", "3"):
        standin.routes["/queues"] = by_page([queues(1, 2, 3, **{"X-Total-Elements": total})])
        complete.append(seen(client).complete)
    assert complete == [True, True, True, False, True]


def test_one_page_of_several_changes(connect: Connect, standin: StandIn) -> None:
    client = connect()
    pages = [queues(*MANY, pages=2), queues(1, 2, first=1000, pages=2)]
    standin.routes["/queues"] = by_page(pages)
    before = [column(client) for _ in range(3)][-1]
    standin.routes["/queues"] = by_page([pages[0], queues(1, 7, first=1000, pages=2)])
    after = column(client)
    assert before.values.tolist() == [*map(float, MANY), 1.0, 2.0]
    assert after.values.tolist() == [*map(float, MANY), 1.0, 7.0]


def test_a_poll_without_an_answer_is_not_filled_from_an_earlier_one(connect: Connect, standin: StandIn) -> None:
    client = connect(max_tries=1)
    standin.routes["/queues"] = by_page([queues(1, 2, 3)])
    for _ in range(3):
        seen(client)
    standin.routes["/queues"] = by_page([Reply(b"[{", 200)])
    assert Scope.QUEUE in client.fetch(WANTED, NOW).failures
    standin.routes["/queues"] = by_page([queues(1, 2, 3)])
    assert column(client).values.tolist() == [1.0, 2.0, 3.0]


EVERYTHING = {
    Scope.QUEUE: frozenset({WAIT, "brandNew.rt"}),
    Scope.AGENT: frozenset({STATUS}),
    Scope.QUEUE_AGENT: frozenset({STATUS, OWN}),
    Scope.QUEUE_TOTALS: frozenset({"total.entered.today"}),
}
# Few values, so that a poll often has all those of the one before it.
numbers = st.sampled_from([0, 1, 2.5, None, "7", "high", 10**400])
ids = st.sampled_from(["1", "2", "3", None])
rows_of_queues = st.lists(st.tuples(ids, numbers, numbers), max_size=3)
agents = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["OnBreak", "Busy", None])), max_size=2)
sections = st.tuples(
    agents,
    st.lists(st.tuples(st.sampled_from(["1", "2"]), st.lists(st.sampled_from("abc"), max_size=2), agents), max_size=2),
)
polls = st.lists(
    st.tuples(st.lists(rows_of_queues, min_size=1, max_size=2), agents, sections, st.sampled_from(["", "2"])),
    min_size=1,
    max_size=3,
)


def answers(poll: Any) -> dict[str, Any]:
    """The routes of a stand-in for one poll."""
    pages, agents, (present, work), total = poll
    headers = {"X-Total-Elements": total} if total else {}
    replies = [
        listing(
            *(
                entity(
                    identity, "totals" if identity is None else "Q", **{WAIT: a, "brandNew.rt": b, "entered.today": a}
                )
                for identity, a, b in rows
            ),
            pages=len(pages),
            **headers,
        )
        for rows in pages
    ]
    people = listing(*(entity(identity, **{STATUS: word}) for identity, word in agents))
    body = {
        "agents": [{"id": each, "name": each, "metrics": {STATUS: word}} for each, word in present],
        "queues": [
            {
                "queueId": queue,
                "assignedAgents": assigned,
                "agentMetrics": [{"id": each, "name": each, "metrics": {OWN: 3}} for each, _ in done],
            }
            for queue, assigned, done in work
        ],
    }
    return {
        "/queues": by_page(replies),
        "/agents": by_page([people]),
        "/agents-in-queue-groups": by_page([Reply(json.dumps(body).encode())]),
    }


def said(fetched: Fetched) -> dict[Scope, Any]:
    """All of a fetch but its times: rows and values, what is missing, and what is said about it."""
    return {
        scope: (
            [(each.parent(row), each.ids[row], each.names[row]) for row in range(len(each))],
            {key: [each.reading(key, row) for row in range(len(each))] for key in each.columns},
            each.complete,
            each.problems,
        )
        for scope, each in fetched.snapshots.items()
    } | dict(fetched.failures)


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    standin = StandIn()
    yield standin
    standin.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.data(), different=polls)
def test_a_client_that_remembers_says_what_one_that_does_not_says(
    server: StandIn, order: st.DataObject, different: list[Any]
) -> None:
    """Random polls, most of them several times: with every listing, totals, new keys, repeated ids and odd values."""
    options: dict[str, Any] = {"max_tries": 1, "max_requests_per_minute": 100_000, "percent_scale": "ratio"}
    remembers, forgets = (EightByEight("acme", server.base_url, server.token_url, KEY, SECRET, **options) for _ in "ab")
    try:
        for number in order.draw(st.lists(st.integers(0, len(different) - 1), min_size=3, max_size=8)):
            server.routes.update(answers(different[number]))
            vars(forgets)["_unchanged"] = Unchanged()
            assert said(remembers.fetch(EVERYTHING, NOW)) == said(forgets.fetch(EVERYTHING, NOW))
    finally:
        remembers.close()
        forgets.close()
