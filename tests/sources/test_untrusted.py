"""What 8x8, or a proxy, may send instead of what is documented: over HTTP, each with what is reported."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field

import pytest

from alertbot.evaluation.snapshot import Fetched, Presence
from alertbot.rules.catalogue import Scope
from alertbot.rules.match import Only
from tests.sources.conftest import NOW, Connect
from tests.sources.standin import Reply, Route, StandIn, by_page, entity, error, in_turn, listing

WAIT = "interactionsLongestWaitInQueue.rt"
P = Presence
HOST = "{host}"
Seen = dict[str, float | str | Presence]  # by id: the value, or why there is none


@dataclass(frozen=True)
class Case:
    """An answer, and what has to become of it: entities with one value each, or a failure."""

    answer: Reply | Route
    seen: Seen | None = None  # None: the scope has failed
    says: str = ""  # the one sentence, "" for none
    whole: bool = True
    scope: Scope = Scope.QUEUE
    key: str = WAIT
    others: dict[str, Reply | Route] = field(default_factory=dict)


def raw(body: object, **headers: str) -> Reply:
    return Reply(body if isinstance(body, bytes) else json.dumps(body).encode(), headers=headers)


def value(text: str) -> Reply:
    """One queue with this JSON as its value, and a good one."""
    good = json.dumps(entity("2", **{WAIT: 7}))
    return raw(f'[{{"id": "1", "name": "A", "metrics": [{{"key": "{WAIT}", "value": {text}}}]}}, {good}]'.encode())


UNREADABLE = f"queues: {WAIT} is unreadable for 1 of 2"
GOOD: Seen = {"1": 5.0}
OF = "agents of queues: "
ANSWERED = "queues could not be read: {host} answered "
BAD = "queues could not be read: {host} sent "
TRIED = " (after 3 attempts)"
ONE = entity("1", **{WAIT: 5})
TOTALS = {"id": None, "name": "totals", "metrics": [{"key": f"total.{WAIT}", "value": 9}]}
HTML = b"<!DOCTYPE html><html><body>Bad Gateway</body></html>"
ZIPPED = gzip.compress(json.dumps([ONE]).encode())
SHRANK = error(400, {"message": "Bad request: Field 'page' must be greater than or equal to 0 and less than the total "
                     "number of pages, which is 1 for this request"})  # fmt: skip
AGENT_LIST = "activeQueues.rt"

LISTS: dict[str, Case] = {
    "array at the root": Case(raw([ONE]), GOOD),
    "object at the root": Case(raw(ONE), GOOD),
    "metrics as a map": Case(raw([{"id": "1", "name": "A", "metrics": {WAIT: 5}}]), GOOD),
    "digit strings": Case(value('"12"'), {"1": 12.0, "2": 7.0}),
    "null": Case(value("null"), {"1": P.NULL, "2": 7.0}),
    "NaN": Case(value("NaN"), {"1": P.INVALID, "2": 7.0}, UNREADABLE),
    "infinite": Case(value("Infinity"), {"1": P.INVALID, "2": 7.0}, UNREADABLE),
    "huge": Case(value("1e999"), {"1": P.INVALID, "2": 7.0}, UNREADABLE),
    "huge integer": Case(value("9" * 5000), {"1": P.INVALID, "2": 7.0}, UNREADABLE),
    "true": Case(value("true"), {"1": P.INVALID, "2": 7.0}, UNREADABLE),
    "a text for a number": Case(value('"soon"'), {"1": P.INVALID, "2": 7.0}, UNREADABLE),
    "an object for a number": Case(value('{"ms": 5}'), {"1": P.INVALID, "2": 7.0}, UNREADABLE),
    "lists of counts": Case(
        raw([entity("a", **{AGENT_LIST: [{"id": "1", "count": 2}, {"id": "2", "count": 1}]})]),
        {"a": 3.0}, scope=Scope.AGENT, key=AGENT_LIST,
    ),
    "an empty list of counts": Case(
        raw([entity("a", **{AGENT_LIST: []})]), {"a": 0.0}, scope=Scope.AGENT, key=AGENT_LIST
    ),
    "an unknown status": Case(
        raw([entity("a", **{"status.rt": "Levitating"})]), {"a": "Levitating"}, scope=Scope.AGENT, key="status.rt"
    ),
    "duplicate ids": Case(
        raw([ONE, entity("1", **{WAIT: 9})]), GOOD, "queues: 1 elements repeat an id; the first of each is used",
    ),
    "totals that were not requested": Case(raw([ONE, TOTALS]), GOOD),
    "totals beyond a float": Case(
        raw([
            entity("1", **{"entered.today": 9}),
            entity(None, "totals", **{"total.entered.today": 10**350}),
        ]),
        {"totals": P.INVALID}, "totals of queues: total.entered.today is unreadable for 1 of 1",
        scope=Scope.QUEUE_TOTALS, key="total.entered.today",
    ),
    "a count beyond a float under totals": Case(
        raw([
            entity("1", **{"entered.today": 10**350}),
            entity(None, "totals", **{"total.entered.today": 9}),
        ]),
        {"totals": 9.0}, "totals of queues: entered.today is unreadable for 1 of 1",
        scope=Scope.QUEUE_TOTALS, key="total.entered.today",
    ),
    "pages of totals beyond a float": Case(
        lambda request: listing(
            entity(str(request.page), **{"entered.today": 9}),
            entity(None, "totals", **{"total.entered.today": 10**350}),
            pages=2,
        ),
        {"totals": P.INVALID}, "totals of queues: total.entered.today is unreadable for 1 of 1",
        scope=Scope.QUEUE_TOTALS, key="total.entered.today",
    ),
    "no id": Case(raw([ONE, {"name": "B", "metrics": []}]), GOOD, "queues: 1 without an id ignored", whole=False),
    "an id null that is not the totals": Case(
        raw([ONE, {"id": None, "name": "Sales", "metrics": []}]), GOOD, "queues: 1 without an id ignored", whole=False
    ),
    "a missing key": Case(raw([ONE, entity("2")]), {"1": 5.0, "2": P.ABSENT}),
    "a key that no entity has": Case(raw([entity("1")]), {"1": P.ABSENT}, f"queues: 8x8 sent no {WAIT}"),
    "a repeated key": Case(
        raw([{"id": "1", "name": "A", "metrics": [{"key": WAIT, "value": 5}, {"key": WAIT, "value": 6}]}]),
        GOOD, f"queues: repeated keys, the first value is used: {WAIT}",
    ),
    "keys that were not requested": Case(raw([entity("1", **{"else.rt": 1, WAIT: 5})]), GOOD),
    "elements that are none": Case(raw([7, ONE, "x"]), GOOD, "queues: 2 elements that are not objects ignored"),
    "xml": Case(raw(b"<UnmodifiableRandomAccessList/>"), None, BAD + "XML or HTML, not JSON" + TRIED),
    "html": Case(raw(HTML), None, BAD + "an HTML page, not JSON: perhaps it came from a proxy" + TRIED),
    "truncated": Case(raw(json.dumps([ONE]).encode()[:-9]), None, BAD + "truncated or malformed JSON" + TRIED),
    "cut off on the way": Case(
        Reply(json.dumps([ONE]).encode(), how="cut"), None, BAD + "a truncated response" + TRIED
    ),
    "gzip that is none": Case(
        raw([ONE], **{"Content-Encoding": "gzip"}), None, BAD + "a response with broken compression" + TRIED
    ),
    "gzip cut off": Case(
        raw(ZIPPED[:40], **{"Content-Encoding": "gzip"}), None, BAD + "truncated or malformed JSON" + TRIED
    ),
    "not UTF-8": Case(
        raw('[{"id": "1", "name": "Müller"}]'.encode("latin-1")), None, BAD + "a response that is not UTF-8" + TRIED
    ),
    "nested too deep": Case(raw(b"[" * 100_000), None, BAD + "JSON that is nested too deeply" + TRIED),
    "an error with status 200": Case(
        raw({"message": "no"}), None, BAD + "an object that is not an entity where a list was expected" + TRIED
    ),
    "an empty body": Case(raw(b""), None, BAD + "an empty response" + TRIED),
    "too large": Case(raw(b" " * 2_000_000), None, BAD + "more than 1,000,000 bytes in one response" + TRIED),
    "a list that shrinks": Case(
        by_page([listing(ONE, pages=3), SHRANK, SHRANK]),
        GOOD, "queues: the list changed while it was being read: pages 2, 3 of 3 missing", whole=False,
    ),
    "a page that fails": Case(
        by_page([listing(ONE, pages=3), error(503), listing(entity("3", **{WAIT: 8}), pages=3)]),
        {"1": 5.0, "3": 8.0}, "queues: page 2 of 3 not received: {host} answered 503 (after 3 attempts)", whole=False,
    ),
    "endless pages": Case(
        lambda request: listing(entity(str(request.page), **{WAIT: 1}), pages=9_999_999),
        {"0": 1.0, "1": 1.0, "2": 1.0}, "queues: 8x8 has 9999999 pages; only the first 3 are read", whole=False,
    ),
    "error as message": Case(error(400, {"message": "Bad request: x"}), None, ANSWERED + "400: Bad request: x"),
    "error as fault": Case(
        error(404, {"fault": {"faultstring": "No such proxy", "detail": {}}}),
        None, ANSWERED + "404: No such proxy",
    ),
    "error as Error": Case(
        error(405, {"ErrorCode": "x", "Error": "Not this way"}), None, ANSWERED + "405: Not this way"
    ),
    "error as HTML": Case(Reply(HTML, 404), None, ANSWERED + "404: an HTML or XML page"),
}  # fmt: skip


def route(answer: Reply | Route) -> Route:
    return in_turn(answer) if isinstance(answer, Reply) else answer


def check(case: Case, fetched: Fetched, host: str) -> None:
    said = case.says.replace(HOST, host)
    if case.seen is None:
        assert fetched.failures == {case.scope: said}
        return
    assert not fetched.failures
    snapshot = fetched.snapshots[case.scope]
    readings = {each: snapshot.reading(case.key, row) for row, each in enumerate(snapshot.ids)}
    assert {each: there if there is not P.PRESENT else value for each, (value, there) in readings.items()} == case.seen
    assert snapshot.problems == ((said,) if said else ())
    assert snapshot.complete is case.whole


@pytest.mark.parametrize("case", LISTS.values(), ids=LISTS)
def test_lists(standin: StandIn, connect: Connect, case: Case) -> None:
    """A list endpoint: what can be read is, the rest is missing with a reason, and a sentence says so."""
    path = {Scope.QUEUE: "/queues", Scope.QUEUE_TOTALS: "/queues", Scope.AGENT: "/agents"}[case.scope]
    standin.routes[path] = route(case.answer)
    client = connect(max_bytes=1_000_000, max_pages=3)
    check(case, client.fetch({case.scope: frozenset({case.key})}, NOW), standin.url.removeprefix("http://"))


MINE, OURS = "status.rt", "accepted.today.inQueue"


def sections(agents: object, queues: object) -> Reply:
    return raw({"agents": agents, "queues": queues})


def person(identity: object, name: object = "Ana", **metrics: object) -> dict[str, object]:
    return {"id": identity, "name": name, "metrics": metrics}


def queue(identity: object, assigned: object, *work: object) -> dict[str, object]:
    return {"queueId": identity, "assignedAgents": assigned, "agentMetrics": list(work)}


ANA = person("ag1", **{MINE: "OnBreak"})
WORK = person("ag1", **{OURS: 4})
THERE = sections([ANA], [queue("201", ["ag1"], WORK)])
SECTIONS: dict[str, Case] = {
    "as promised": Case(THERE, {"ag1": 4.0}),
    "metrics as a list": Case(
        sections([ANA], [queue("201", ["ag1"], entity("ag1", "Ana", **{OURS: 4}))]), {"ag1": 4.0}
    ),
    "digit strings": Case(sections([ANA], [queue("201", ["ag1"], person("ag1", **{OURS: "4"}))]), {"ag1": 4.0}),
    "null": Case(sections([ANA], [queue("201", ["ag1"], person("ag1", **{OURS: None}))]), {"ag1": P.NULL}),
    "assigned without work": Case(
        sections([ANA], [queue("201", ["ag1"])]), {"ag1": P.ABSENT}, OF + f"8x8 sent no {OURS}"
    ),
    "work without being assigned": Case(sections([ANA], [queue("201", [], WORK)]), {"ag1": 4.0}),
    "work of an agent who is not listed": Case(
        sections([], [queue("201", [], WORK)]), {"ag1": 4.0}, OF + f"8x8 sent no {MINE}"
    ),
    "assigned, and nothing known of them": Case(sections([], [queue("201", ["ag1", "ag2"])]), {}),
    "numbers as ids": Case(sections([person(1, **{MINE: "x"})], [queue(201, [1], person(1, **{OURS: 4}))]), {"1": 4.0}),
    "an agent twice": Case(
        sections([ANA, person("ag1", **{MINE: "x"})], [queue("201", ["ag1", "ag1"], WORK, person("ag1", **{OURS: 9}))]),
        {"ag1": 4.0}
    ),
    "a queue twice": Case(
        sections([ANA], [queue("201", ["ag1"], WORK), queue("201", ["ag1"], person("ag1", **{OURS: 9}))]),
        {"ag1": 4.0}, OF + "queue 201 appears twice; the first one is used",
    ),
    "a queue without an id": Case(
        sections([ANA], [queue("201", ["ag1"], WORK), queue(None, ["ag1"])]),
        {"ag1": 4.0}, OF + "a queue without an id ignored", whole=False,
    ),
    "an agent without an id": Case(
        sections([ANA, person(None)], [queue("201", ["ag1"], WORK)]),
        {"ag1": 4.0}, OF + "1 without an id ignored", whole=False,
    ),
    "work without an agent": Case(
        sections([ANA], [queue("201", ["ag1"], WORK, person(None, **{OURS: 1}))]),
        {"ag1": 4.0}, OF + "work of an agent without an id in queue 201 ignored", whole=False,
    ),
    "assigned is no list": Case(
        sections([ANA], [queue("201", "ag1", WORK)]), {"ag1": 4.0}, OF + "a section that is not a list ignored"
    ),
    "sections null": Case(sections(None, None), {}),
    "queues that are none": Case(
        sections([ANA], [5, queue("201", ["ag1"], WORK)]), {"ag1": 4.0}, OF + "1 queues that are not objects ignored"
    ),
    "a huge number": Case(
        raw(THERE.body.replace(b": 4", b": 1e999")), {"ag1": P.INVALID}, OF + f"{OURS} is unreadable for 1 of 1"
    ),
    "a list": Case(raw([ONE]), None, "JSON without the sections agents and queues"),
    "one section": Case(raw({"agents": []}), None, "JSON without the sections agents and queues"),
    "an error with status 200": Case(raw({"message": "no"}), None, "JSON without the sections agents and queues"),
    "html": Case(raw(HTML), None, "an HTML page, not JSON: perhaps it came from a proxy"),
    "truncated": Case(raw(THERE.body[:-9]), None, "truncated or malformed JSON"),
}  # fmt: skip


@pytest.mark.parametrize("case", SECTIONS.values(), ids=SECTIONS)
def test_agents_in_queue_groups(standin: StandIn, connect: Connect, case: Case) -> None:
    """The endpoint with two sections: the same promises, by agent of a queue."""
    standin.routes["/agents-in-queue-groups"] = route(case.answer)
    standin.routes["/queues"] = in_turn(listing({"id": "201", "name": "Billing"}))
    fetched = connect().fetch({Scope.QUEUE_AGENT: frozenset({MINE, OURS})}, NOW)
    if case.seen is None:
        host = standin.url.removeprefix("http://")
        assert fetched.failures == {
            Scope.QUEUE_AGENT: f"agents of queues could not be read: {host} sent {case.says}{TRIED}"
        }
        return
    check(Case(case.answer, case.seen, case.says, case.whole, Scope.QUEUE_AGENT, OURS), fetched, "")
    snapshot = fetched.snapshots[Scope.QUEUE_AGENT]
    assert set(zip(snapshot.parent_ids, snapshot.parent_names, strict=True)) <= {("201", "Billing")}


SINGLE: dict[str, Reply] = {"array of one": raw([ONE]), "object": raw(ONE)}


@pytest.mark.parametrize("answer", SINGLE.values(), ids=SINGLE)
def test_a_single_entity(standin: StandIn, connect: Connect, answer: Reply) -> None:
    """The guide shows an array of one, the OpenAPI file an object: both are the entity."""
    standin.routes["/queues/1"] = in_turn(answer)
    fetched = connect().fetch({Scope.QUEUE: frozenset({WAIT})}, NOW, {Scope.QUEUE: Only(frozenset({"1"}))})
    check(Case(answer, GOOD), fetched, "")
