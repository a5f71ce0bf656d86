"""From what rules look at to the fewest requests: no network."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from alertbot.rules.catalogue import Scope, catalogue
from alertbot.rules.match import Only
from alertbot.sources.eight_by_eight.plan import MAX_URL, NOUNS, Call, plan

S = Scope
ids = frozenset
STATUS = frozenset({"status.rt"})
MANY = frozenset(str(number) for number in range(100, 400))
TOO_MANY = frozenset(str(number) for number in range(10_000, 12_000))


def asked(*scopes: Scope, only: dict[Scope, Only] | None = None) -> list[str]:
    """The requests of a plan: path, and what stands in the query besides pages and metrics."""
    calls = [call for listing in plan(dict.fromkeys(scopes, STATUS), only) for call in listing.calls()]
    found = []
    for call in calls:
        query = [(name, value) for name, value in call.query() if name not in ("page", "size", "metrics")]
        found.append(call.listing.path + ("?" + urlencode(query, safe=",") if query else ""))
    return found


ENABLED = "showEnabledAgents=true"
PLANS: dict[str, tuple[tuple[Scope, ...], dict[Scope, Only], list[str]]] = {
    "nothing": ((), {}, []),
    "queues": ((S.QUEUE,), {}, ["/queues"]),
    "queues and their totals": ((S.QUEUE, S.QUEUE_TOTALS), {}, ["/queues?includeTotals=true"]),
    "totals alone": ((S.QUEUE_TOTALS,), {}, ["/queues?includeTotals=true"]),
    "one queue": ((S.QUEUE,), {S.QUEUE: Only(ids({"201"}))}, ["/queues/201"]),
    "an id with a slash": ((S.QUEUE,), {S.QUEUE: Only(ids({"a/b ü"}))}, ["/queues/a%2Fb%20%C3%BC"]),
    "two queues": ((S.QUEUE,), {S.QUEUE: Only(ids({"202", "201"}))}, ["/queues?queue-ids=201&queue-ids=202"]),
    "many queues": ((S.QUEUE,), {S.QUEUE: Only(MANY)}, ["/queues?queue-ids=" + ",".join(sorted(MANY))]),
    "too many queues for a URL": ((S.QUEUE,), {S.QUEUE: Only(TOO_MANY)}, ["/queues"]),
    "totals are never of a choice": (
        (S.QUEUE, S.QUEUE_TOTALS), {S.QUEUE: Only(ids({"201"}))}, ["/queues?includeTotals=true"],
    ),
    "groups": ((S.GROUP,), {}, ["/groups"]),
    "one group": ((S.GROUP,), {S.GROUP: Only(ids({"301"}))}, ["/groups/301"]),
    "two groups": ((S.GROUP,), {S.GROUP: Only(ids({"301", "302"}))}, ["/groups?group-ids=301&group-ids=302"]),
    "agents": ((S.AGENT,), {}, ["/agents"]),
    "agents in three ways are one listing": (
        (S.AGENT, S.GROUP_AGENT, S.AGENT_TOTALS), {}, ["/agents?includeTotals=true"],
    ),
    "one agent": ((S.AGENT,), {S.AGENT: Only(ids({"ag1"}))}, ["/agents?agent-ids=ag1"]),
    "an agent here, all of them there": ((S.AGENT, S.GROUP_AGENT), {S.AGENT: Only(ids({"ag1"}))}, ["/agents"]),
    "agents named in both": (
        (S.AGENT, S.GROUP_AGENT),
        {S.AGENT: Only(ids({"ag1"})), S.GROUP_AGENT: Only(ids({"ag2"}))},
        ["/agents?agent-ids=ag1&agent-ids=ag2"],
    ),
    "agents of groups": ((S.GROUP_AGENT,), {}, ["/agents"]),
    "agents of one group": ((S.GROUP_AGENT,), {S.GROUP_AGENT: Only(parents=ids({"301"}))}, ["/groups/301/agents"]),
    "one agent of one group": (
        (S.GROUP_AGENT,), {S.GROUP_AGENT: Only(ids({"ag1"}), ids({"301"}))}, ["/groups/301/agents/ag1"],
    ),
    "agents of two groups": (
        (S.GROUP_AGENT,), {S.GROUP_AGENT: Only(parents=ids({"301", "302"}))}, ["/agents?group-ids=301&group-ids=302"],
    ),
    "agents of queues": ((S.QUEUE_AGENT,), {}, [f"/agents-in-queue-groups?{ENABLED}"]),
    "agents of one queue": ((S.QUEUE_AGENT,), {S.QUEUE_AGENT: Only(parents=ids({"201"}))}, ["/queues/201/agents"]),
    "two agents of one queue": (
        (S.QUEUE_AGENT,),
        {S.QUEUE_AGENT: Only(ids({"ag1", "ag2"}), ids({"201"}))},
        ["/queues/201/agents?agent-ids=ag1&agent-ids=ag2"],
    ),
    "one agent of one queue": (
        (S.QUEUE_AGENT,), {S.QUEUE_AGENT: Only(ids({"ag1"}), ids({"201"}))}, ["/queues/201/agents/ag1"],
    ),
    "agents of two queues": (
        (S.QUEUE_AGENT,),
        {S.QUEUE_AGENT: Only(parents=ids({"201", "202"}))},
        [f"/agents-in-queue-groups?{ENABLED}&queue-ids=201&queue-ids=202"],
    ),
    "everything": (
        tuple(NOUNS), {},
        ["/queues?includeTotals=true", "/groups", "/agents?includeTotals=true", f"/agents-in-queue-groups?{ENABLED}"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("scopes", "only", "requests"), PLANS.values(), ids=PLANS)
def test_the_fewest_requests(scopes: tuple[Scope, ...], only: dict[Scope, Only], requests: list[str]) -> None:
    """One listing per kind of entity, for any number of scopes; ids only if rules read nothing else."""
    assert asked(*scopes, only=only) == requests


def test_keys_are_united() -> None:
    """Scopes that share a listing share its keys; totals ask for the key that they are the totals of."""
    wanted = {
        S.AGENT: ids({"status.rt"}),
        S.GROUP_AGENT: ids({"timeOnStatus.rt", "status.rt"}),
        S.AGENT_TOTALS: ids({"total.accepted.today"}),
    }
    (listing,) = plan(wanted)
    assert listing.keys == {"status.rt", "timeOnStatus.rt", "accepted.today"}


@pytest.mark.parametrize("scope", [scope for scope in NOUNS if scope not in (S.QUEUE_TOTALS, S.AGENT_TOTALS)], ids=str)
def test_no_url_is_too_long(scope: Scope) -> None:
    """With every key of the catalogue, and as many ids as are sent, a URL stays within its bound."""
    wanted = {scope: ids(catalogue().metrics[scope])}
    only = {scope: Only(ids(str(number) for number in range(1000, 1330)))}
    base = "https://api.8x8.com/eu/analytics/cc/v5/realtime-metrics"
    (listing,) = plan(wanted, only, "America/Argentina/ComodRivadavia")
    calls = listing.calls(MAX_URL - len(base))
    assert all(len(base + call.listing.path + "?" + urlencode(call.query())) <= MAX_URL for call in calls)
    assert frozenset(key for call in calls for key in call.keys) == wanted[scope]
    assert len(calls) <= 3


def test_a_summary_takes_no_filter() -> None:
    """Without keys ids and names are asked for, of all: 8x8 ignores ids in a summary (guide)."""
    (listing,) = plan({S.QUEUE: ids()}, {S.QUEUE: Only(ids({"201", "202"}))})
    assert Call(listing, 0, ()).query() == [("page", "0"), ("size", "1000"), ("summary", "true")]
