"""What an answer does not say and others did: names and groups, who was assigned, and of what totals are."""

from __future__ import annotations

import pytest

from alertbot.evaluation.snapshot import Presence
from alertbot.rules.catalogue import Scope
from alertbot.sources.eight_by_eight.names import SUMMARY_TTL_S
from tests.sources.conftest import NOW, Connect, HandClock
from tests.sources.standin import Reply, StandIn, by_page, entity, error, in_turn, listing
from tests.sources.test_untrusted import person, queue, sections

STATUS, OURS = "status.rt", "accepted.today.inQueue"
OF_QUEUES = {Scope.QUEUE_AGENT: frozenset({STATUS, OURS})}
OF_GROUPS = {Scope.GROUP_AGENT: frozenset({STATUS})}
BILLING = listing({"id": "201", "name": "Billing"})
ANA, BO = (person(each, each.upper(), **{STATUS: "OnBreak"}) for each in ("ag1", "ag2"))


def in_group(identity: str, group: object = "301", **metrics: object) -> dict[str, object]:
    return {**entity(identity, **metrics), "groupId": group, "groupName": f"Group {group}"}


def test_midnight(standin: StandIn, connect: Connect) -> None:
    """A queue is in the answer once something happened there today; until then its agents of yesterday stay in it.

    Otherwise an agent who is on a break at midnight would be gone from the queue, and an alert about it closed.
    """
    before = sections([ANA, BO], [queue("201", ["ag1", "ag2"], person("ag1", **{OURS: 9}))])
    after = sections([ANA], [])
    standin.routes["/agents-in-queue-groups"] = in_turn(before, after)
    standin.routes["/queues"] = in_turn(BILLING)
    client = connect()
    client.fetch(OF_QUEUES, NOW)
    snapshot = client.fetch(OF_QUEUES, NOW).snapshots[Scope.QUEUE_AGENT]
    assert (snapshot.ids, snapshot.parent_ids) == (("ag1",), ("201",))  # Bo has logged out: 8x8 knows nothing of him
    assert snapshot.reading(STATUS, 0) == ("OnBreak", Presence.PRESENT)
    assert snapshot.reading(OURS, 0) == (None, Presence.ABSENT)  # and not 9, and not 0


def test_a_queue_that_is_gone_keeps_nobody(standin: StandIn, connect: Connect, clock: HandClock) -> None:
    """Once 8x8 does not list a queue any more, its agents are forgotten."""
    standin.routes["/agents-in-queue-groups"] = in_turn(sections([ANA], [queue("201", ["ag1"])]), sections([ANA], []))
    standin.routes["/queues"] = in_turn(BILLING, listing({"id": "202", "name": "Sales"}))
    client = connect()
    sizes = [len(client.fetch(OF_QUEUES, NOW).snapshots[Scope.QUEUE_AGENT])]
    clock.seconds += SUMMARY_TTL_S
    sizes.append(len(client.fetch(OF_QUEUES, NOW).snapshots[Scope.QUEUE_AGENT]))
    assert sizes == [1, 0]


def test_without_names_the_ids_serve(standin: StandIn, connect: Connect, clock: HandClock) -> None:
    """A summary that fails costs names, not agents; it is asked for again with the next poll."""
    standin.routes["/agents-in-queue-groups"] = in_turn(sections([ANA], [queue("201", ["ag1"])]))
    standin.routes["/queues"] = in_turn(error(404), BILLING)
    client = connect()
    names = [client.fetch(OF_QUEUES, NOW).snapshots[Scope.QUEUE_AGENT].parent_names for _ in range(2)]
    assert names == [("201",), ("Billing",)]


def test_a_new_queue_gets_its_name_within_a_minute(standin: StandIn, connect: Connect, clock: HandClock) -> None:
    """An id that the kept summary does not have makes it be read again, though not with every poll."""
    both = [queue("201", ["ag1"]), queue("202", ["ag1"])]
    standin.routes["/agents-in-queue-groups"] = in_turn(sections([ANA], both[:1]), sections([ANA], both))
    standin.routes["/queues"] = in_turn(
        BILLING, listing({"id": "201", "name": "Billing"}, {"id": "202", "name": "New"})
    )
    client = connect()
    names = []
    for _ in range(3):
        names.append(client.fetch(OF_QUEUES, NOW).snapshots[Scope.QUEUE_AGENT].parent_names)
        clock.seconds += 40
    assert names == [("Billing",), ("Billing", "202"), ("Billing", "New")]


def test_agents_that_name_their_group(standin: StandIn, connect: Connect) -> None:
    """Where `/agents` says the group beside the metrics (the OpenAPI file has it so), the summary is read just once."""
    standin.routes["/agents"] = in_turn(
        listing(in_group("ag1", **{STATUS: "x"}), in_group("ag2", 302, **{STATUS: "y"}))
    )
    client = connect()
    for requests in (2, 1, 1):
        standin.requests.clear()
        snapshot = client.fetch(OF_GROUPS, NOW).snapshots[Scope.GROUP_AGENT]
        assert snapshot.parent_ids == ("301", "302")
        assert snapshot.parent_names == ("Group 301", "Group 302")
        assert len(standin.asked("/agents")) == requests


def test_an_agent_without_a_group_is_left_out_and_said(standin: StandIn, connect: Connect) -> None:
    """No agent is assigned to a group that 8x8 does not name."""
    metrics = listing(entity("ag1", **{STATUS: "x"}), entity("ag2", **{STATUS: "y"}))
    summary = listing({"id": "ag1", "name": "Ana", "groupId": "301", "groupName": "Tier 1"})
    standin.routes["/agents"] = lambda request: metrics if request.metrics else summary
    snapshot = connect().fetch(OF_GROUPS, NOW).snapshots[Scope.GROUP_AGENT]
    assert (snapshot.ids, snapshot.parent_names) == (("ag1",), ("Tier 1",))
    assert not snapshot.complete
    assert snapshot.problems == ("agents of groups: 1 ignored: 8x8 does not say which group they are in",)


SUMMARIES: dict[str, tuple[Reply, str]] = {
    "refused": (error(404, {"message": "no"}), "answered 404: no"),
    "without groups": (listing({"id": "ag1", "name": "Ana"}), "8x8 does not say which groups the agents are in"),
}


@pytest.mark.parametrize(("summary", "words"), SUMMARIES.values(), ids=SUMMARIES)
def test_no_groups_at_all(standin: StandIn, connect: Connect, summary: Reply, words: str) -> None:
    """Without any group the scope has failed, with the reason; the agents themselves are served."""
    metrics = listing(entity("ag1", **{STATUS: "x"}))
    standin.routes["/agents"] = lambda request: metrics if request.metrics else summary
    fetched = connect().fetch({**OF_GROUPS, Scope.AGENT: frozenset({STATUS})}, NOW)
    assert words in fetched.failures[Scope.GROUP_AGENT]
    assert fetched.snapshots[Scope.AGENT].ids == ("ag1",)


# Of what totals are

ENTERED, SHARE = "entered.today", "avgHandlingTime.today"
TOTALS = {Scope.QUEUE_TOTALS: frozenset({f"total.{ENTERED}", f"total.{SHARE}"})}


def total(entered: object, average: object = 5.0) -> dict[str, object]:
    metrics = [{"key": f"total.{ENTERED}", "value": entered}, {"key": f"total.{SHARE}", "value": average}]
    return {"id": None, "name": "totals", "metrics": metrics}


def page(pages: int, of_all: object, *entered: int) -> Reply:
    rows = [entity(f"{pages}-{n}-{value}", **{ENTERED: value, SHARE: 1}) for n, value in enumerate(entered)]
    return listing(*rows, total(of_all), pages=pages)


PAGES: dict[str, tuple[list[Reply], int, float, bool]] = {
    "one page": ([page(1, 30, 10, 20)], 1, 30.0, True),
    "of all queues": ([page(2, 90, 10, 20), page(2, 90, 60)], 1, 90.0, True),
    "of the page": ([page(2, 30, 10, 20), page(2, 60, 60)], 2, 90.0, False),
    "of all, where only the first page has work": ([page(2, 30, 10, 20), page(2, 30, 0)], 2, 30.0, True),
    "nothing happened yet": ([page(2, 0, 0), page(2, 0, 0)], 2, 0.0, True),
}


@pytest.mark.parametrize(("pages", "requests", "entered", "average"), PAGES.values(), ids=PAGES)
def test_totals_of_what(
    standin: StandIn, connect: Connect, pages: list[Reply], requests: int, entered: float, average: bool
) -> None:
    """8x8 does not say of what totals are, a page or all: the numbers do. One page is enough where they show it."""
    standin.routes["/queues"] = by_page(pages)
    snapshot = connect().fetch(TOTALS, NOW).snapshots[Scope.QUEUE_TOTALS]
    assert len(standin.asked("/queues")) == requests
    assert snapshot.reading(f"total.{ENTERED}", 0)[0] == entered
    assert (snapshot.reading(f"total.{SHARE}", 0)[0] == 5.0) is average
    assert any("cover single pages" in problem for problem in snapshot.problems) is not average


def test_no_totals_is_a_failure(standin: StandIn, connect: Connect) -> None:
    """Where no totals come none are made up, least of all zero."""
    standin.routes["/queues"] = in_turn(listing(entity("1", **{ENTERED: 5})))
    fetched = connect().fetch({**TOTALS, Scope.QUEUE: frozenset({ENTERED})}, NOW)
    assert fetched.failures == {Scope.QUEUE_TOTALS: "totals of queues could not be read: 8x8 sent none"}
    assert fetched.snapshots[Scope.QUEUE].complete
