"""The server: faults from tests, several tenants, starting and stopping."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests

from alertbot.errors import UsageError
from alertbot.simulator.faults import BODIES, ERROR_BODIES, ApiFault
from alertbot.simulator.server import Simulator, SimulatorOptions, serve
from tests.service.bot import until
from tests.simulator.kit import TEN, Client, HandClock

SMALL: dict[str, Any] = {"queues": 5, "groups": 2, "agents": 20, "start": TEN, "warm": timedelta(minutes=50)}


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    with serve(SimulatorOptions(**SMALL, clock=HandClock())) as sim:
        yield sim


@pytest.fixture
def sim(running: Simulator) -> Iterator[Simulator]:
    yield running
    running.faults.clear()


@pytest.fixture
def client(sim: Simulator) -> Client:
    return Client(sim)


QUEUES = ("/queues", ("metrics", "entered.today,slaPercentage.int-30m"), ("size", 2))


def test_a_fault_hits_what_it_names_and_ends_after_its_times(sim: Simulator, client: Client) -> None:
    """A 429 on `/queues` twice: other paths are served, and so is the third request."""
    sim.faults.add(ApiFault(kind="status", status=429, retry_after=2, path="/queues", times=2))
    assert client.get("/groups").status_code == 200
    assert client.get("/queues/101").status_code == 200
    answers = [client.get("/queues") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "2"


def test_a_fault_may_hit_one_page(sim: Simulator, client: Client) -> None:
    """Page 1 fails while the others succeed: a partial fetch."""
    sim.faults.add(ApiFault(kind="status", status=500, path="/queues", page=1))
    assert [client.get(*QUEUES, ("page", page)).status_code for page in range(3)] == [200, 500, 200]


def test_a_list_may_shrink_between_two_pages(sim: Simulator, client: Client) -> None:
    """The second page is beyond the end although the first announced it."""
    sim.faults.add(ApiFault(kind="shrink", path="/queues"))
    assert client.get(*QUEUES).headers["X-Total-Pages"] == "3"
    gone = client.get(*QUEUES, ("page", 1))
    assert gone.status_code == 400
    assert gone.json()["message"].endswith("which is 1 for this request")


def test_a_token_may_be_revoked(sim: Simulator, client: Client) -> None:
    """Tokens given out so far are refused; a new one is good."""
    sim.faults.add(ApiFault(kind="revoke"))
    assert client.get("/groups").status_code == 401
    client.token = client.grant().json()["access_token"]
    assert client.get("/groups").status_code == 200


def test_credentials_may_be_refused(sim: Simulator, client: Client) -> None:
    """No new token is issued, while issued ones stay valid."""
    sim.faults.add(ApiFault(kind="refuse"))
    assert client.grant().status_code == 401
    assert client.get("/groups").status_code == 200


def test_the_token_endpoint_may_be_down(sim: Simulator, client: Client) -> None:
    """A fault hits the token endpoint only when its path names it."""
    sim.faults.add(ApiFault(kind="status", status=500))
    assert client.grant().status_code == 200
    sim.faults.add(ApiFault(kind="status", status=503, path="/oauth*", times=1))
    assert [client.grant().status_code for _ in range(2)] == [503, 200]


@pytest.mark.parametrize("body", list(ERROR_BODIES))
def test_errors_come_in_every_known_shape(sim: Simulator, client: Client, body: str) -> None:
    """The three JSON shapes, a proxy's page, and nothing at all."""
    sim.faults.add(ApiFault(kind="status", status=502, body=body))
    answer = client.get("/queues")
    assert answer.status_code == 502
    told = {
        "message": lambda: answer.json()["message"],
        "fault": lambda: answer.json()["fault"]["faultstring"],
        "error": lambda: answer.json()["Error"],
        "html": lambda: "502" if answer.text.startswith("<!DOCTYPE html>") else "",
        "empty": lambda: "502" if answer.content == b"" else "",
    }[body]()
    assert "502" in told


RAW = ["html", "truncated", "not_json", "empty_body", "xml", "not_utf8", "deep"]


@pytest.mark.parametrize("body", RAW)
def test_a_malformed_body_is_no_json(sim: Simulator, client: Client, body: str) -> None:
    """Status 200, and nothing that a JSON parser would take."""
    sim.faults.add(ApiFault(kind="malformed", body=body))
    answer = client.get(*QUEUES)
    assert answer.status_code == 200
    with pytest.raises((ValueError, RecursionError)):
        json.loads(answer.content)


SHAPED = {
    "null": lambda body: body is None,
    "error_200": lambda body: set(body) == {"message"},
    "object_root": lambda body: len(body["items"]) == 2,
    "nan": lambda body: body[0]["metrics"][0]["value"] != body[0]["metrics"][0]["value"],
    "huge": lambda body: body[0]["metrics"][0]["value"] == 10**400,
    "wrong_types": lambda body: isinstance(body[0]["metrics"][0]["value"], dict),
    "booleans": lambda body: body[0]["metrics"][0]["value"] is True,
    "strings": lambda body: isinstance(body[0]["metrics"][0]["value"], str),
    "nulls": lambda body: body[0]["metrics"][0]["value"] is None,
    "duplicate_ids": lambda body: body[0]["id"] == body[-1]["id"] and len(body) == 3,
    "no_ids": lambda body: all("id" not in row for row in body),
    "repeated_keys": lambda body: len(body[0]["metrics"]) == 4,
    "missing_keys": lambda body: [len(row["metrics"]) for row in body] == [1, 2],
    "metrics_map": lambda body: set(body[0]["metrics"]) == {"entered.today", "slaPercentage.int-30m"},
}


@pytest.mark.parametrize(("body", "holds"), SHAPED.items(), ids=SHAPED.keys())
def test_a_strange_body_is_json_still(sim: Simulator, client: Client, body: str, holds: Any) -> None:
    """JSON that parses, but with an undocumented shape or values."""
    sim.faults.add(ApiFault(kind="malformed", body=body))
    assert holds(json.loads(client.get(*QUEUES).content))


def test_a_status_nobody_knows(sim: Simulator, client: Client) -> None:
    """Agents may be in a status that is not among the examples."""
    sim.faults.add(ApiFault(kind="malformed", body="unknown_status", path="/agents"))
    rows = client.get("/agents", ("metrics", "status.rt")).json()
    assert {m["value"] for row in rows for m in row["metrics"]} == {"Levitating"}


def test_broken_gzip(sim: Simulator, client: Client) -> None:
    """Declared as gzip and cut short: the client's decoder fails, not its parser."""
    sim.faults.add(ApiFault(kind="malformed", body="bad_gzip"))
    headers = {"Authorization": f"Bearer {client.token}", "Accept": "application/json"}
    answer = requests.get(sim.base_url + "/queues", headers=headers, stream=True, timeout=10)
    assert answer.headers["Content-Encoding"] == "gzip"
    with pytest.raises(EOFError):
        gzip.decompress(answer.raw.read(decode_content=False))


def test_a_connection_that_breaks(sim: Simulator, client: Client) -> None:
    """Fewer bytes than were declared."""
    sim.faults.add(ApiFault(kind="malformed", body="cut_off"))
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        client.get("/queues")


def test_a_body_that_does_not_end(sim: Simulator, client: Client) -> None:
    """A body of 64 MB, so that a limit of the client can be seen to hold."""
    sim.faults.add(ApiFault(kind="malformed", body="oversize"))
    headers = {"Authorization": f"Bearer {client.token}", "Accept": "application/json"}
    with requests.get(sim.base_url + "/queues", headers=headers, stream=True, timeout=10) as answer:
        assert int(answer.headers["Content-Length"]) > 64_000_000


def test_every_body_is_tested() -> None:
    """A new way to spoil a body gets a test."""
    assert {*RAW, *SHAPED, "unknown_status", "bad_gzip", "cut_off", "oversize"} == set(BODIES)


def test_an_empty_answer(sim: Simulator, client: Client) -> None:
    """No entities where there were some, in each kind of list."""
    sim.faults.add(ApiFault(kind="empty"))
    answer = client.get("/queues")
    assert (answer.json(), answer.headers["X-Total-Elements"]) == ([], "0")
    assert client.get("/agents-in-queue-groups").json() == {"agents": [], "queues": []}


def test_a_slow_answer_delays_no_other(sim: Simulator, client: Client) -> None:
    """One request is late; another one, asked meanwhile, is not."""
    sim.faults.add(ApiFault(kind="slow", path="/queues", delay_s=1.0))
    done: list[str] = []
    late = threading.Thread(target=lambda: (client.get("/queues"), done.append("queues")))
    late.start()
    client.get("/groups")
    done.append("groups")
    late.join(10)
    assert done == ["groups", "queues"]


def test_a_fault_ends_by_the_clock() -> None:
    """`start` and `until` are on the clock that was handed in."""
    clock = HandClock()
    with serve(SimulatorOptions(**SMALL, clock=clock)) as sim:
        client = Client(sim)
        begin, end = TEN + timedelta(minutes=1), TEN + timedelta(minutes=2)
        sim.faults.add(ApiFault(kind="status", start=begin, until=end))
        seen = []
        for minute in (0, 1, 2):
            clock.now = TEN + timedelta(minutes=minute)
            seen.append(client.get("/groups").status_code)
        assert seen == [200, 503, 200]


@pytest.mark.parametrize(
    "make",
    [
        lambda: ApiFault(kind="explode"),
        lambda: ApiFault(kind="malformed", body="htm"),
        lambda: ApiFault(kind="status", body="x"),
    ],  # type: ignore[arg-type]
    ids=["kind", "body", "error-body"],
)
def test_an_unknown_fault_is_refused(make: Any) -> None:
    """A typo in a test or a scenario is not a fault that never happens."""
    with pytest.raises(ValueError, match=r"unknown (fault|body) .*; known are"):
        make()


def test_tenants_have_their_own_keys_and_centres() -> None:
    """The token says whose centre is read; a hanging tenant delays no other."""
    with serve(SimulatorOptions(**SMALL, tenants=3, clock=HandClock())) as sim:
        clients = [Client(sim, number) for number in range(3)]
        assert len({tenant.api_key for tenant in sim.tenants}) == 3
        bodies = [client.get("/agents", ("summary", "true")).content for client in clients]
        assert len(set(bodies)) == 3
        sim.faults.add(ApiFault(kind="hang", tenant=1))
        with pytest.raises(requests.Timeout):
            requests.get(sim.base_url + "/groups", headers={"Authorization": f"Bearer {clients[1].token}"}, timeout=0.3)
        assert clients[2].get("/groups").status_code == 200
        assert {seen.tenant for seen in sim.requests if seen.path == "/agents"} == {0, 1, 2}


def test_it_stops_in_two_seconds_whatever_hangs() -> None:
    """A request that hangs is cut off when the server stops."""
    failed: list[Exception] = []

    def ask(client: Client) -> None:
        try:
            client.get("/queues")
        except requests.RequestException as error:
            failed.append(error)

    with serve(SimulatorOptions(**SMALL)) as sim:
        client = Client(sim)
        sim.faults.add(ApiFault(kind="hang", path="/queues"))
        hanging = threading.Thread(target=ask, args=(client,))
        hanging.start()
        client.get("/groups")
        began = time.monotonic()
    assert time.monotonic() - began < 2.5
    hanging.join(5)
    assert not hanging.is_alive()


def test_a_taken_port_is_said_in_one_line() -> None:
    """The port is named in the error."""
    with serve(SimulatorOptions(**SMALL)) as sim:
        second = serve(SimulatorOptions(**SMALL, port=sim.port))
        with pytest.raises(UsageError, match=rf"127\.0\.0\.1:{sim.port}"):
            second.__enter__()


def test_the_clock_runs_faster_on_demand() -> None:
    """Without a clock the server's own runs `speed` times as fast as the wall, from a working day in the morning."""
    with serve(SimulatorOptions(queues=5, groups=2, agents=20, speed=1000)) as sim:
        first = Client(sim).keys("/queues", "newInQueue.int-30m")
        assert sum(row["newInQueue.int-30m"] for row in first.values()) > 5  # whatever the clock on the wall says
        before = sim.centre.now

        def five_minutes_later() -> bool:
            Client(sim).get("/queues")  # with a new token: on a busy machine the last one has expired already
            return sim.centre.now > before + 300_000

        until("five minutes of the model", five_minutes_later)


def test_secrets_are_not_in_a_repr() -> None:
    """Neither the options nor a tenant shows its secret."""
    with serve(SimulatorOptions(**SMALL, api_secret="hush-hush")) as sim:
        assert "hush-hush" not in repr(sim.options) + repr(sim.tenants)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_run_forever_ends_on_a_signal(number: signal.Signals) -> None:
    """It announces itself once it accepts requests, and ends silently with status 0 when stopped."""
    code = (
        "from alertbot.simulator.server import SimulatorOptions, run_forever\n"
        "run_forever(SimulatorOptions(queues=2, groups=1, agents=4), lambda sim: print(sim.base_url, flush=True))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert requests.get(url + "/queues", timeout=10).status_code == 401
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")
