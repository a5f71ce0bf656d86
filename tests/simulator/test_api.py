"""The API over HTTP: the ten endpoints, their parameters and their refusals, as 8x8's guide has them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests

from alertbot.rules.catalogue import Scope, catalogue
from alertbot.simulator.endpoints import Habits, known_keys
from alertbot.simulator.server import Simulator, SimulatorOptions, serve
from tests.simulator.kit import TEN, Client, HandClock

CLOCK = HandClock()


def options(**more: Any) -> SimulatorOptions:
    base: dict[str, Any] = {
        "queues": 6, "groups": 3, "agents": 30, "clock": CLOCK, "start": TEN, "warm": timedelta(minutes=50),
    }  # fmt: skip
    return SimulatorOptions(**base | more)


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with serve(options(habits=Habits(timezones=("Europe/Helsinki",)))) as running:
        yield running


@pytest.fixture(scope="module")
def client(sim: Simulator) -> Client:
    return Client(sim)


# -- token ---------------------------------------------------------------------------------------------------------


def test_every_scalar_of_a_token_is_a_string(client: Client) -> None:
    """As documented: `expires_in` in seconds and `issued_at` in ms are digit strings."""
    body = client.grant().json()
    assert body.pop("api_product_list_json") == ["analytics realtime-api"]
    assert all(isinstance(value, str) for value in body.values())
    assert body["expires_in"] == "1799"
    assert body["issued_at"] == str(int(CLOCK().timestamp() * 1000))


@pytest.mark.parametrize(
    ("auth", "form", "status", "error"),
    [
        (("sim-key", "wrong"), {"grant_type": "client_credentials"}, 401, "Client credentials are invalid"),
        (("wrong", "sim-secret"), {"grant_type": "client_credentials"}, 401, "Client credentials are invalid"),
        (None, {"grant_type": "client_credentials"}, 401, "Client credentials are invalid"),
        (("sim-key", "sim-secret"), {"grant_type": "password"}, 400, "Unsupported grant type : password"),
        (("sim-key", "sim-secret"), {}, 400, "Unsupported grant type : "),
    ],
    ids=["secret", "key", "no-header", "grant", "no-grant"],
)
def test_no_token_for_a_wrong_request(
    sim: Simulator, auth: tuple[str, str] | None, form: dict[str, str], status: int, error: str
) -> None:
    """The token endpoint says what is wrong in its own shape."""
    answer = requests.post(sim.token_url, auth=auth, data=form, timeout=10)
    assert (answer.status_code, answer.json()["Error"]) == (status, error)


@pytest.mark.parametrize("header", ["Basic !!!", "Basic c2lt", "Bearer x", "Basic"], ids=lambda h: h.replace(" ", "-"))
def test_a_malformed_basic_header_is_401(sim: Simulator, header: str) -> None:
    """Whatever stands in the header, it is refused and nothing breaks."""
    answer = requests.post(sim.token_url, headers={"Authorization": header}, timeout=10)
    assert answer.status_code == 401


def test_a_token_is_fetched_with_post_only(sim: Simulator) -> None:
    """GET on the token endpoint is 405."""
    answer = requests.get(sim.token_url, timeout=10)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("header", ["Bearer nothing", "", "Basic abc"], ids=["unknown", "none", "basic"])
def test_without_a_good_token_the_gateway_answers(sim: Simulator, header: str) -> None:
    """401 in Apigee's shape."""
    answer = requests.get(sim.base_url + "/queues", headers={"Authorization": header}, timeout=10)
    assert answer.status_code == 401
    assert answer.json() == {
        "fault": {
            "faultstring": "Invalid Access Token",
            "detail": {"errorcode": "keymanagement.service.invalid_access_token"},
        }
    }


def test_a_token_ends_by_the_clock_of_the_server() -> None:
    """A token of 60 seconds is good at 59 and refused at 60; a new one is good again."""
    clock = HandClock()
    with serve(options(clock=clock, token_lifetime_s=60)) as sim:
        client = Client(sim)
        clock.forward(seconds=59)
        assert client.get("/groups").status_code == 200
        clock.forward(seconds=1)
        assert client.get("/groups").status_code == 401
        client.token = client.grant().json()["access_token"]
        assert client.get("/groups").status_code == 200


# -- the ten endpoints -------------------------------------------------------------------------------------------------


def agent_of(sim: Simulator, queue: int = 0) -> str:
    return sim.centre.queues[queue].agents[0].id


ENDPOINTS: list[tuple[str, Scope, int | None]] = [
    ("/queues", Scope.QUEUE, 6),
    ("/queues/101", Scope.QUEUE, 1),
    ("/queues/101/agents", Scope.QUEUE_AGENT, None),
    ("/queues/101/agents/AGENT", Scope.QUEUE_AGENT, 1),
    ("/agents", Scope.AGENT, 30),
    ("/groups", Scope.GROUP, 3),
    ("/groups/301", Scope.GROUP, 1),
    ("/groups/301/agents", Scope.GROUP_AGENT, 10),
    ("/groups/301/agents/AGENT", Scope.GROUP_AGENT, 1),
]
NAMES = [path for path, _, _ in ENDPOINTS]


@pytest.mark.parametrize(("path", "scope", "count"), ENDPOINTS, ids=NAMES)
def test_every_endpoint_has_every_key_of_its_scope(
    sim: Simulator, client: Client, path: str, scope: Scope, count: int | None
) -> None:
    """All keys of the catalogue come back once, each with a value of its type."""
    keys = known_keys(scope)
    path = path.replace("AGENT", sim.centre.groups[0].agents[0].id)
    answer = client.get(path, ("metrics", ",".join(keys)), ("size", 1000))
    assert answer.status_code == 200, answer.text
    rows = answer.json()
    assert len(rows) == (count or len(sim.centre.queues[0].agents))
    for row in rows:
        assert set(row) == {"id", "name", "metrics"}
        assert [m["key"] for m in row["metrics"]] == list(keys)
        for metric in row["metrics"]:
            assert fits(metric["value"], metric["key"], scope), metric


def fits(value: object, key: str, scope: Scope) -> bool:
    known = catalogue().metrics[scope][key]
    if scope == Scope.GROUP:
        return isinstance(value, str) and value.isdecimal()
    if known.is_list:
        return isinstance(value, list) and all(set(item) == {"id", "name", "count"} for item in value)
    kinds: dict[str, tuple[type, ...]] = {
        "count": (int,) if scope == Scope.QUEUE else (int, type(None)),
        "duration": (int, float, type(None)),
        "ratio": (float, type(None)),
        "text": (str, type(None)),
        "timestamp": (str, type(None)),
    }
    return isinstance(value, kinds[known.type.value])


@pytest.mark.parametrize(
    ("path", "scope"),
    [(p, s) for p, s, _ in ENDPOINTS if p != "/agents"],
    ids=[p for p in NAMES if p != "/agents"],
)
def test_without_metrics_all_come(sim: Simulator, client: Client, path: str, scope: Scope) -> None:
    """Leaving `metrics` out asks for every key; `/agents` alone insists on it."""
    path = path.replace("AGENT", sim.centre.groups[0].agents[0].id)
    rows = client.get(path).json()
    assert [m["key"] for m in rows[0]["metrics"]] == list(known_keys(scope))


def test_agents_wants_metrics_unless_it_is_a_summary(client: Client) -> None:
    """`/agents` without `metrics` is refused; the summary of it names the groups."""
    refused = client.get("/agents")
    assert (refused.status_code, refused.json()) == (400, {"message": "Bad request: Field 'metrics' is required"})
    rows = client.get("/agents", ("summary", "true"), ("size", 5)).json()
    assert len(rows) == 5
    assert all(set(row) == {"id", "name", "groupId", "groupName"} for row in rows)


@pytest.mark.parametrize("path", ["/queues", "/groups", "/queues/101/agents", "/groups/301/agents"])
def test_a_summary_has_ids_and_names_only(client: Client, path: str) -> None:
    """Filters and metrics count for nothing in a summary, not even wrong ones."""
    rows = client.get(path, ("summary", "true"), ("queue-ids", "999"), ("metrics", "no.such")).json()
    assert len(rows) > 2
    assert all(set(row) == {"id", "name"} for row in rows)


@pytest.mark.parametrize("path", ["/queues", "/queues/101/agents", "/agents", "/groups/301/agents"])
def test_totals_stand_at_the_end_of_each_page(client: Client, path: str) -> None:
    """id null, name totals, keys with `total.`; it is not counted as an element."""
    scope = Scope.QUEUE if path == "/queues" else Scope.AGENT
    key = "accepted.today" if scope == Scope.QUEUE else "directInbounds.today"
    query = (("includeTotals", "true"), ("metrics", key), ("size", 2))
    first, second = (client.get(path, *query, ("page", page)) for page in (0, 1))
    for answer in (first, second):
        rows = answer.json()
        assert len(rows) == 3
        assert (rows[-1]["id"], rows[-1]["name"], rows[-1]["metrics"][0]["key"]) == (None, "totals", f"total.{key}")
    assert first.json()[-1] == second.json()[-1]
    assert int(first.headers["X-Total-Elements"]) == len(client.get(path, ("metrics", key), ("size", 1000)).json())


def test_group_totals_do_not_exist(client: Client) -> None:
    """The groups endpoint knows no totals; asking changes nothing."""
    assert client.get("/groups", ("includeTotals", "true")).json() == client.get("/groups").json()


def test_agents_in_queue_groups_has_two_sections(sim: Simulator, client: Client) -> None:
    """Metrics are objects; keys with `.inQueue` stand with the queues, the others with the agents."""
    body = client.get("/agents-in-queue-groups").json()
    keys = known_keys(Scope.QUEUE_AGENT)
    plain = {key for key in keys if not key.endswith(".inQueue")}
    assert set(body) == {"agents", "queues"}
    assert all(set(agent["metrics"]) == plain for agent in body["agents"])
    assert len(body["agents"]) > 10
    assert len(body["queues"]) == 6
    for queue in body["queues"]:
        assert set(queue) == {"queueId", "assignedAgents", "agentMetrics"}
        known = sim.centre.find_queue(queue["queueId"])
        assert queue["assignedAgents"] == [agent.id for agent in known.agents]
        assert {agent["id"] for agent in queue["agentMetrics"]} <= set(queue["assignedAgents"])
        assert all(set(agent["metrics"]) == set(keys) - plain for agent in queue["agentMetrics"])


def test_agents_in_queue_groups_can_be_filtered(client: Client) -> None:
    """Some queues, some keys: each key goes to the section it belongs to."""
    query = [("queue-ids", "101,103"), ("metrics", "status.rt"), ("metrics", "accepted.today.inQueue")]
    body = client.get("/agents-in-queue-groups", *query).json()
    assert [queue["queueId"] for queue in body["queues"]] == ["101", "103"]
    assert all(set(agent["metrics"]) == {"status.rt"} for agent in body["agents"])
    assert all(set(a["metrics"]) == {"accepted.today.inQueue"} for q in body["queues"] for a in q["agentMetrics"])


def test_show_enabled_agents_adds_those_without_activity() -> None:
    """Logged in without activity: listed only with `showEnabledAgents`, and in `agents` only."""
    with serve(options(queues=2, groups=1, agents=8, warm=timedelta(seconds=61))) as sim:
        client = Client(sim)
        query = [("metrics", "status.rt"), ("metrics", "accepted.today.inQueue")]
        plain = client.get("/agents-in-queue-groups", *query).json()
        shown = client.get("/agents-in-queue-groups", *query, ("showEnabledAgents", "true")).json()
        added = {a["id"] for a in shown["agents"]} - {a["id"] for a in plain["agents"]}
        assert added
        assert all(a["metrics"]["status.rt"] != "LoggedOut" for a in shown["agents"] if a["id"] in added)
        assert shown["queues"] == plain["queues"]


def test_a_single_entity_can_be_an_object() -> None:
    """The guide shows an array of one, the OpenAPI file an object: a tenant of the second kind can be had."""
    with serve(options(habits=Habits(single_as_object=True))) as sim:
        client = Client(sim)
        assert client.get("/queues/101", ("metrics", "enabled.rt")).json()["id"] == "101"
        assert isinstance(client.get("/queues").json(), list)


# -- parameters --------------------------------------------------------------------------------------------------------


def test_pages_fit_together(client: Client) -> None:
    """All pages make the whole list, and the headers say where one is."""
    whole = [row["id"] for row in client.get("/agents", ("metrics", "status.rt"), ("size", 1000)).json()]
    found = []
    for page in range(4):
        answer = client.get("/agents", ("metrics", "status.rt"), ("size", 8), ("page", page))
        found += [row["id"] for row in answer.json()]
        names = ("X-Page-Size", "X-Page", "X-Total-Pages", "X-Total-Elements")
        assert [answer.headers[name] for name in names] == ["8", str(page), "4", "30"]
    assert found == whole


FILTERS = [
    ("/queues", [("queue-ids", "101"), ("queue-ids", "104")], ["101", "104"]),
    ("/queues", [("queue-ids", "101,104")], ["101", "104"]),
    ("/groups", [("group-ids", "302,303")], ["302", "303"]),
]


@pytest.mark.parametrize(("path", "query", "ids"), FILTERS, ids=["repeated", "commas", "groups"])
def test_ids_in_both_forms(client: Client, path: str, query: list[tuple[str, str]], ids: list[str]) -> None:
    """Several ids are given one by one or with commas between."""
    assert [row["id"] for row in client.get(path, *query).json()] == ids


def test_agents_by_id_and_by_group(sim: Simulator, client: Client) -> None:
    """`/agents` takes agent ids and group ids, also both at once."""
    ours = [agent.id for agent in sim.centre.groups[1].agents]
    keys = ("metrics", "status.rt")
    by_group = client.get("/agents", keys, ("group-ids", "302")).json()
    assert [row["id"] for row in by_group] == ours
    both = client.get("/agents", keys, ("group-ids", "302"), ("agent-ids", f"{ours[0]},{agent_of(sim)}")).json()
    assert [row["id"] for row in both] == ours[:1]


def test_metrics_in_both_forms(client: Client) -> None:
    """Repeated and comma separated keys are the same; a repeated one comes once."""
    one = client.get("/queues", ("metrics", "entered.today"), ("metrics", "enabled.rt"), ("metrics", "enabled.rt"))
    other = client.get("/queues", ("metrics", "entered.today,enabled.rt"))
    assert one.json() == other.json()
    assert [m["key"] for m in one.json()[0]["metrics"]] == ["entered.today", "enabled.rt"]


REFUSALS = [
    ("/queues", [("size", 1001)], 400, "Bad request: Field 'size' must be less than or equal to 1000"),
    ("/queues", [("size", 0)], 400, "Bad request: Field 'size' must be greater than or equal to 1"),
    ("/queues", [("size", "many")], 400, "Bad request: Field 'size' must be a number"),
    (
        "/queues",
        [("size", 3), ("page", 2)],
        400,
        "Bad request: Field 'page' must be greater than or equal to 0 and less than the total number of pages, "
        "which is 2 for this request",
    ),
    (
        "/groups",
        [("page", -1)],
        400,
        "Bad request: Field 'page' must be greater than or equal to 0 and less than the total number of pages, "
        "which is 1 for this request",
    ),
    ("/queues", [("queue-ids", "101,999")], 400, "Bad request: Invalid value for field 'queue-ids': 999"),
    ("/groups", [("group-ids", "1")], 400, "Bad request: Invalid value for field 'group-ids': 1"),
    (
        "/agents",
        [("metrics", "status.rt"), ("agent-ids", "agX")],
        400,
        "Bad request: Invalid value for field 'agent-ids': agX",
    ),
    ("/queues", [("metrics", "nope.rt")], 400, "Bad request: Invalid value for field 'metrics': nope.rt"),
    ("/groups", [("metrics", "enabled.today")], 400, "Bad request: Invalid value for field 'metrics': enabled.today"),
    ("/queues", [("timezone", "Asia/Tokyo")], 400, "Bad request: Invalid value for field 'timezone': Asia/Tokyo"),
    ("/queues", [("summary", "yes")], 400, "Bad request: Field 'summary' must be true or false"),
    ("/queues/999", [], 404, "Not found: queue 999"),
    ("/queues/101/agents/agX", [], 404, "Not found: agent agX"),
    ("/groups/999/agents", [], 404, "Not found: group 999"),
    ("/nothing", [], 404, "Not found: /nothing"),
    ("/queues/101/calls", [], 404, "Not found: /queues/101/calls"),
]


@pytest.mark.parametrize(
    ("path", "query", "status", "message"),
    REFUSALS,
    ids=[f"{path} {query}".replace("/", "").replace("'", "") for path, query, _, _ in REFUSALS],
)
def test_wrong_requests_are_refused(
    client: Client, path: str, query: list[tuple[str, Any]], status: int, message: str
) -> None:
    """The two documented 400s word for word, and the others in their shape."""
    answer = client.get(path, *query)
    assert (answer.status_code, answer.json()) == (status, {"message": message})


def test_an_agent_of_another_queue_is_not_found(sim: Simulator, client: Client) -> None:
    """The agent of a path has to belong to the queue of the path."""
    ours = {agent.id for agent in sim.centre.queues[0].agents}
    stranger = next(agent.id for agent in sim.centre.agents if agent.id not in ours)
    assert client.get(f"/queues/101/agents/{stranger}").status_code == 404


def test_other_methods_are_405(sim: Simulator, client: Client) -> None:
    """Metrics are read with GET."""
    headers = {"Authorization": f"Bearer {client.token}"}
    answer = requests.post(sim.base_url + "/queues", headers=headers, timeout=10)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")


def test_an_optional_time_zone_of_the_tenant_is_accepted(client: Client) -> None:
    """The tenant's own zone and its optional ones are good."""
    for zone in ("UTC", "Europe/Helsinki"):
        assert client.get("/queues", ("timezone", zone)).status_code == 200


def test_unknown_metrics_may_be_left_out() -> None:
    """What 8x8 does with an unknown key is not documented: the other way can be had as well."""
    with serve(options(habits=Habits(ignore_unknown_metrics=True))) as sim:
        rows = Client(sim).get("/queues", ("metrics", "enabled.rt,brandNew.rt")).json()
        assert [m["key"] for m in rows[0]["metrics"]] == ["enabled.rt"]


def test_percentages_may_be_percent(client: Client) -> None:
    """The scale of percentages is inferred from one sample: a tenant that sends percent can be had."""
    ratio = client.keys("/queues", "acceptedPercentage.today", "slaPercentageTarget.today")
    with serve(options(habits=Habits(percentages=100))) as sim:
        percent = Client(sim).keys("/queues", "acceptedPercentage.today", "slaPercentageTarget.today")
    for id_, row in ratio.items():
        for key, value in row.items():
            assert percent[id_][key] == pytest.approx(value * 100)


# -- headers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", ["*/*", "application/xml", "text/html"], ids=["any", "xml", "html"])
def test_xml_comes_unless_json_is_named(client: Client, accept: str) -> None:
    """A list has one root, a single entity another, as the OpenAPI file names them."""
    answer = client.get("/queues", ("metrics", "enabled.rt"), Accept=accept)
    assert answer.headers["Content-Type"] == "application/xml"
    root = ET.fromstring(answer.text)
    assert (root.tag, len(root.findall("item"))) == ("UnmodifiableRandomAccessList", 6)
    assert root.findtext("item/metrics/metrics/key") == "enabled.rt"
    one = ET.fromstring(client.get("/queues/101", ("metrics", "enabled.rt"), Accept=accept).text)
    assert (one.tag, one.findtext("id")) == ("MetricsResponse", "101")


@pytest.mark.parametrize("path", ["/agents", "/agents-in-queue-groups"])
def test_two_endpoints_speak_json_only(client: Client, path: str) -> None:
    """`/agents` and `/agents-in-queue-groups` declare no XML."""
    answer = client.get(path, ("metrics", "status.rt"), Accept="*/*")
    assert answer.headers["Content-Type"] == "application/json"


def test_json_among_others_is_json(client: Client) -> None:
    """`Accept` may name several types, with weights."""
    answer = client.get("/queues", Accept="text/html, application/json;q=0.9")
    assert isinstance(answer.json(), list)


@pytest.mark.parametrize("region", ["/eu", "/au", "/ca"])
def test_every_region_has_its_prefix(sim: Simulator, client: Client, region: str) -> None:
    """The same paths stand under the prefix of each region."""
    url = sim.root_url + region + "/analytics/cc/v5/realtime-metrics/groups"
    headers = {"Authorization": f"Bearer {client.token}", "Accept": "application/json"}
    assert requests.get(url, headers=headers, timeout=10).json() == client.get("/groups").json()


def test_the_date_is_that_of_the_clock_and_its_skew(client: Client) -> None:
    """`Date` follows the clock that was handed in, so that skew can be measured."""
    assert client.get("/groups").headers["Date"] == "Mon, 02 Mar 2026 10:00:00 GMT"
    with serve(options(clock_skew_s=90)) as sim:
        assert Client(sim).get("/groups").headers["Date"] == "Mon, 02 Mar 2026 10:01:30 GMT"


@pytest.mark.parametrize(
    ("given", "status", "message"),
    [
        ({}, 400, "Bad request: X-Tenant-Info header is missing."),
        ({"X_Tenant_Info": "other"}, 400, "Bad request: Invalid value for X-Tenant-Info header."),
        ({"X_Tenant_Info": "acme01"}, 200, None),
    ],
    ids=["missing", "wrong", "right"],
)
def test_a_multitenant_key_needs_the_tenant(given: dict[str, str], status: int, message: str | None) -> None:
    """The two documented refusals, word for word."""
    with serve(options(tenant_id="acme01")) as sim:
        answer = Client(sim).get("/groups", **given)
        assert answer.status_code == status
        assert message is None or answer.json() == {"message": message}


def test_requests_are_counted_by_endpoint() -> None:
    """A test can read what was asked: path, query, status, time, and how often each endpoint."""
    with serve(options()) as sim:
        client = Client(sim)
        client.get("/queues/101/agents", ("metrics", "status.rt"))
        client.get("/queues/102/agents")
        client.get("/queues/999")
        assert sim.counts == {"/oauth/v2/token": 1, "/queues/{id}/agents": 2, "/queues/{id}": 1}
        assert [(seen.path, seen.query, seen.status) for seen in sim.requests[1:]] == [
            ("/queues/101/agents", "metrics=status.rt", 200),
            ("/queues/102/agents", "", 200),
            ("/queues/999", "", 404),
        ]
        assert {seen.time for seen in sim.requests} == {CLOCK()}
