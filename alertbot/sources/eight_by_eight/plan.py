"""Which requests a fetch needs: the table of endpoints, and from wanted keys to calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from alertbot.rules.catalogue import Scope

# Region is where the tenant lives. Asia-Pacific is `au` in the path (guide, "Base URL"; OpenAPI `servers`).
REGIONS: Final[Mapping[str, str]] = {
    "us": "https://api.8x8.com/analytics/cc/v5/realtime-metrics",
    "eu": "https://api.8x8.com/eu/analytics/cc/v5/realtime-metrics",
    "ap": "https://api.8x8.com/au/analytics/cc/v5/realtime-metrics",
    "ca": "https://api.8x8.com/ca/analytics/cc/v5/realtime-metrics",
}
# One for all regions is all that is documented.
TOKEN_URL: Final = "https://api.8x8.com/oauth/v2/token"  # noqa: S105  # an address, not a secret

PAGE_SIZE: Final = 1000  # the most that 8x8 gives; a larger size is a 400
MAX_QUERY: Final = 5000  # characters; 8x8 names no limit, common gateways stop a whole URL at 8,000


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One listing of 8x8: where it is and what its elements are called in a sentence."""

    path: str
    noun: str


# One row a scope that can be read.
ENDPOINTS: Final[Mapping[Scope, Endpoint]] = {
    Scope.QUEUE: Endpoint("/queues", "queues"),
    Scope.GROUP: Endpoint("/groups", "groups"),
    Scope.AGENT: Endpoint("/agents", "agents"),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One page of one endpoint with some keys. Without keys only ids and names are asked for."""

    scope: Scope
    endpoint: Endpoint
    part: int  # which share of the scope's keys
    keys: tuple[str, ...]
    timezone: str = ""
    page: int = 0

    def query(self) -> list[tuple[str, str]]:
        """The query string, `metrics` repeated: the one form that the guide and the OpenAPI file both have."""
        query = [("page", str(self.page)), ("size", str(PAGE_SIZE))]
        if not self.keys:
            # Leaving `metrics` out would bring every metric there is.
            return [*query, ("summary", "true")]
        if self.timezone and any(".today" in key for key in self.keys):
            # It only moves `.today`, and a zone that the tenant does not have fails the call: sent where it counts.
            query.append(("timezone", self.timezone))
        return query + [("metrics", key) for key in self.keys]


def plan(wanted: Mapping[Scope, frozenset[str]], timezone: str = "") -> tuple[Call, ...]:
    """The first pages to ask for, in the order of `Scope`; a scope that is not in ENDPOINTS has none.

    A key list that would make the URL too long is split over several calls, which are joined again by id.
    """
    return tuple(
        Call(scope, ENDPOINTS[scope], part, keys, timezone)
        for scope in Scope
        if scope in wanted and scope in ENDPOINTS
        for part, keys in enumerate(_shares(wanted[scope]))
    )


def _shares(keys: frozenset[str]) -> list[tuple[str, ...]]:
    shares: list[list[str]] = [[]]
    length = 0
    for key in sorted(keys):
        cost = len(urlencode({"metrics": key})) + 1
        if shares[-1] and length + cost > MAX_QUERY:
            shares.append([])
            length = 0
        shares[-1].append(key)
        length += cost
    return [tuple(share) for share in shares]
