"""Which requests a fetch needs: the ten endpoints, and the fewest listings for what rules read. Pure.

The choices, and their cost:

- A scope is one listing; totals come with it (`includeTotals`), and agents of groups with the listing of agents.
- Agents of queues come from `/agents-in-queue-groups`, in one response without pages, instead of one call per queue.
  It covers queues with activity today and their agents who were active today; `showEnabledAgents` adds all who are
  logged in. An agent who logged out without any work today is therefore not in it, and counts as gone. If rules read
  only one queue, `/queues/{id}/agents` costs the same and has every agent, so that is used.
- `/agents` with metrics need not have the group, its summary does (guide): two listings for any number of groups, and
  the summary is cached (see names.py).
- Ids are sent only if every rule of a scope names ids: one that 8x8 does not know fails the whole request.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final
from urllib.parse import quote, urlencode

from alertbot.rules.catalogue import Scope
from alertbot.rules.match import Only

# Asia-Pacific is `au` in the path (guide, "Base URL"; OpenAPI `servers`).
REGIONS: Final[Mapping[str, str]] = {
    "us": "https://api.8x8.com/analytics/cc/v5/realtime-metrics",
    "eu": "https://api.8x8.com/eu/analytics/cc/v5/realtime-metrics",
    "ap": "https://api.8x8.com/au/analytics/cc/v5/realtime-metrics",
    "ca": "https://api.8x8.com/ca/analytics/cc/v5/realtime-metrics",
}
# The documents have only this one, for all regions.
TOKEN_URL: Final = "https://api.8x8.com/oauth/v2/token"  # noqa: S105  # an address, not a secret

PAGE_SIZE: Final = 1000  # the maximum of 8x8; a larger size is a 400
MAX_URL: Final = 6000  # characters; 8x8 documents no limit, common gateways accept 8,000 for a whole URL
_MAX_IDS: Final = 2000  # of those, for ids; with more ids everything is listed and the rest ignored
IN_QUEUE: Final = ".inQueue"
TOTAL: Final = "total."


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One of the ten endpoints. `path` has `{id}` for each id; `noun` names its elements in a sentence."""

    path: str
    noun: str
    filter: str = ""  # the query parameter that takes ids
    listed: bool = True  # a paged list with a summary; else one element, or the sections of QUEUE_GROUPS


QUEUES: Final = Endpoint("/queues", "queues", "queue-ids")
ONE_QUEUE: Final = Endpoint("/queues/{id}", "queues", listed=False)
QUEUE_AGENTS: Final = Endpoint("/queues/{id}/agents", "agents of queues", "agent-ids")
ONE_QUEUE_AGENT: Final = Endpoint("/queues/{id}/agents/{id}", "agents of queues", listed=False)
QUEUE_GROUPS: Final = Endpoint("/agents-in-queue-groups", "agents of queues", "queue-ids", listed=False)
AGENTS: Final = Endpoint("/agents", "agents", "agent-ids")
GROUPS: Final = Endpoint("/groups", "groups", "group-ids")
ONE_GROUP: Final = Endpoint("/groups/{id}", "groups", listed=False)
GROUP_AGENTS: Final = Endpoint("/groups/{id}/agents", "agents of groups", "agent-ids")
ONE_GROUP_AGENT: Final = Endpoint("/groups/{id}/agents/{id}", "agents of groups", listed=False)

NOUNS: Final[Mapping[Scope, str]] = {
    Scope.QUEUE: "queues",
    Scope.GROUP: "groups",
    Scope.AGENT: "agents",
    Scope.QUEUE_AGENT: "agents of queues",
    Scope.GROUP_AGENT: "agents of groups",
    Scope.QUEUE_TOTALS: "totals of queues",
    Scope.AGENT_TOTALS: "totals of agents",
}
"""The scopes that 8x8 serves."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One thing to read: an endpoint with its ids, and the wanted keys.

    `scopes` are the scopes that are read from it; a listing without scopes is read for its names. `path_ids` fill the
    `{id}`s, `filter_ids` are sent as the filter. Without keys, the summary of a list is requested: ids and names.
    """

    endpoint: Endpoint
    scopes: tuple[Scope, ...] = ()
    keys: frozenset[str] = frozenset()
    path_ids: tuple[str, ...] = ()
    filter_ids: tuple[str, ...] = ()
    filter_name: str = ""
    totals: bool = False
    timezone: str = ""

    @property
    def path(self) -> str:
        """The path below the base URL, with its ids."""
        path = self.endpoint.path
        for each in self.path_ids:
            path = path.replace("{id}", quote(each, safe=""), 1)
        return path

    @property
    def whole(self) -> bool:
        """Whether every element is requested, not a selection by id."""
        return not self.filter_ids and not self.path_ids

    def calls(self, room: int = MAX_URL) -> tuple[Call, ...]:
        """The calls for the first page: one per batch of keys that fits into `room` characters of path and query."""
        return tuple(Call(self, batch, keys) for batch, keys in enumerate(_first_batches(self, room)))

    def suspects(self) -> tuple[SuspectIds, ...]:
        """The ids that may be the reason when 8x8 rejects this listing, outermost first."""
        suspects = []
        outer = QUEUES if self.endpoint.path.startswith("/queues/") else GROUPS
        inner = QUEUE_AGENTS if outer is QUEUES else GROUP_AGENTS
        if self.path_ids:
            suspects.append(SuspectIds(Listing(outer), self.path_ids[:1]))
        if len(self.path_ids) > 1:
            suspects.append(SuspectIds(Listing(inner, path_ids=self.path_ids[:1]), self.path_ids[1:]))
        if self.filter_ids:
            lists = {"queue-ids": QUEUES, "group-ids": GROUPS}
            listed = lists.get(self.filter_name, self.endpoint)
            suspects.append(SuspectIds(Listing(listed, path_ids=self.path_ids), self.filter_ids))
        return tuple(suspects)

    def without(self, ids: Set[str]) -> Listing | None:
        """The same listing without these ids; None if nothing is left to request."""
        if any(each in ids for each in self.path_ids):
            return None
        left = tuple(each for each in self.filter_ids if each not in ids)
        return replace(self, filter_ids=left) if left or not self.filter_ids else None


@dataclass(frozen=True, slots=True)
class SuspectIds:
    """Ids that 8x8 may not know, and the summary that lists the known ones."""

    summary: Listing
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """One page of a listing with one batch of its keys."""

    listing: Listing
    batch: int
    keys: tuple[str, ...]
    page: int = 0

    def query(self) -> list[tuple[str, str]]:
        """The query parameters, with `metrics` repeated: the one form that both the guide and the OpenAPI file have.

        Ids are repeated too, or comma-separated if there are many (guide: both forms are accepted).
        """
        listing, query = self.listing, list[tuple[str, str]]()
        if listing.endpoint.listed:
            query += [("page", str(self.page)), ("size", str(PAGE_SIZE))]
        if not self.keys and listing.endpoint.listed:
            # Without `metrics`, 8x8 would send every metric.
            return [*query, ("summary", "true")]
        if listing.endpoint is QUEUE_GROUPS:
            query.append(("showEnabledAgents", "true"))
        if listing.totals:
            query.append(("includeTotals", "true"))
        query += _id_query(listing.filter_name, listing.filter_ids)
        if listing.timezone and any(".today" in key for key in self.keys):
            # It only affects `.today`, and a zone that the tenant does not have fails the call: sent only if needed.
            query.append(("timezone", listing.timezone))
        return query + [("metrics", key) for key in self.keys]


# Every poll asks for the same, and so do tenants with the same rules.
@lru_cache(maxsize=256)
def _first_batches(listing: Listing, room: int) -> tuple[tuple[str, ...], ...]:
    room -= len(listing.path) + len(urlencode(Call(listing, 0, ("x.today",)).query()))
    return tuple(_batches(listing.keys, room))


def _id_query(name: str, ids: tuple[str, ...]) -> list[tuple[str, str]]:
    repeated = [(name, each) for each in ids]
    return repeated if _length(repeated) <= _MAX_IDS else [(name, ",".join(ids))]


def _length(query: list[tuple[str, str]]) -> int:
    return len(urlencode(query))


def plan(
    wanted: Mapping[Scope, frozenset[str]], only: Mapping[Scope, Only] | None = None, timezone: str = ""
) -> tuple[Listing, ...]:
    """The listings to read for these keys of these scopes; a scope that is not in NOUNS has none."""
    only = only or {}
    listings = [
        *_queues(wanted, only.get(Scope.QUEUE, Only())),
        *_groups(wanted, only.get(Scope.GROUP, Only())),
        *_agents(wanted, only),
        *_queue_agents(wanted, only.get(Scope.QUEUE_AGENT, Only())),
    ]
    return tuple(replace(listing, timezone=timezone) for listing in listings)


def _queues(wanted: Mapping[Scope, frozenset[str]], only: Only) -> list[Listing]:
    scopes = tuple(scope for scope in (Scope.QUEUE, Scope.QUEUE_TOTALS) if scope in wanted)
    if not scopes:
        return []
    keys = frozenset(key.removeprefix(TOTAL) for scope in scopes for key in wanted[scope])
    if Scope.QUEUE_TOTALS in scopes:
        return [Listing(QUEUES, scopes, keys, totals=True)]  # a filter would change the totals
    return [_chosen(QUEUES, ONE_QUEUE, scopes, keys, only.ids)]


def _groups(wanted: Mapping[Scope, frozenset[str]], only: Only) -> list[Listing]:
    if Scope.GROUP not in wanted:
        return []
    return [_chosen(GROUPS, ONE_GROUP, (Scope.GROUP,), wanted[Scope.GROUP], only.ids)]


def _agents(wanted: Mapping[Scope, frozenset[str]], only: Mapping[Scope, Only]) -> list[Listing]:
    scopes = tuple(s for s in (Scope.AGENT, Scope.GROUP_AGENT, Scope.AGENT_TOTALS) if s in wanted)
    if not scopes:
        return []
    keys = frozenset(key.removeprefix(TOTAL) for scope in scopes for key in wanted[scope])
    if Scope.AGENT_TOTALS in scopes:
        return [Listing(AGENTS, scopes, keys, totals=True)]
    few = [only.get(scope, Only()) for scope in scopes]
    if scopes == (Scope.GROUP_AGENT,) and few[0].parents:
        if len(few[0].parents) == 1:
            return [_of_one(GROUP_AGENTS, ONE_GROUP_AGENT, scopes, keys, few[0])]
        return [_filtered(AGENTS, scopes, keys, few[0].parents, "group-ids")]
    ids = frozenset().union(*(each.ids for each in few)) if all(each.ids for each in few) else frozenset[str]()
    return [_filtered(AGENTS, scopes, keys, ids, AGENTS.filter)]


def _queue_agents(wanted: Mapping[Scope, frozenset[str]], only: Only) -> list[Listing]:
    scopes = (Scope.QUEUE_AGENT,)
    if Scope.QUEUE_AGENT not in wanted:
        return []
    keys = wanted[Scope.QUEUE_AGENT]
    if len(only.parents) == 1:
        return [_of_one(QUEUE_AGENTS, ONE_QUEUE_AGENT, scopes, keys, only)]
    # It has no summary: without keys, the cheapest one is requested.
    return [_filtered(QUEUE_GROUPS, scopes, keys or frozenset({"status.rt"}), only.parents, QUEUE_GROUPS.filter)]


def _chosen(
    many: Endpoint, one: Endpoint, scopes: tuple[Scope, ...], keys: frozenset[str], ids: frozenset[str]
) -> Listing:
    if len(ids) == 1 and keys:
        return Listing(one, scopes, keys, path_ids=tuple(ids))
    return _filtered(many, scopes, keys, ids, many.filter)


def _of_one(many: Endpoint, one: Endpoint, scopes: tuple[Scope, ...], keys: frozenset[str], only: Only) -> Listing:
    """The agents of one queue or group."""
    if len(only.ids) == 1 and keys:
        return Listing(one, scopes, keys, path_ids=(*only.parents, *only.ids))
    return replace(_filtered(many, scopes, keys, only.ids, many.filter), path_ids=tuple(only.parents))


def _filtered(
    endpoint: Endpoint, scopes: tuple[Scope, ...], keys: frozenset[str], ids: frozenset[str], name: str
) -> Listing:
    chosen = tuple(sorted(ids))
    # A summary has no filter, and too many ids do not fit into a URL.
    if not chosen or not keys or _length(_id_query(name, chosen)) > _MAX_IDS:
        return Listing(endpoint, scopes, keys)
    return Listing(endpoint, scopes, keys, filter_ids=chosen, filter_name=name)


def _batches(keys: frozenset[str], room: int) -> list[tuple[str, ...]]:
    shares: list[list[str]] = [[]]
    length = 0
    for key in sorted(keys):
        cost = len(urlencode({"metrics": key})) + 1
        if shares[-1] and length + cost > room:
            shares.append([])
            length = 0
        shares[-1].append(key)
        length += cost
    return [tuple(share) for share in shares]
