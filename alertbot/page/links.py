"""The addresses of pages. They hold ids, not names, so that entities with the same name have a page each. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from alertbot.alerts.alert import Fingerprint
from alertbot.rules.catalogue import Scope

_PAGE_OF = {Scope.QUEUE_AGENT: Scope.AGENT, Scope.GROUP_AGENT: Scope.AGENT}
"""Scopes whose entities are shown on the page of another scope."""
_WITH_PAGE = frozenset({Scope.QUEUE, Scope.GROUP, Scope.AGENT})


def with_query(path: str, query: Mapping[str, str]) -> str:
    """The path with a query of the values that are not empty."""
    kept = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(kept)}" if kept else path


def entity_link(tenant: str, scope: Scope, entity_id: str) -> str:
    """The page of an entity: `/queue/103?tenant=acme`. "" for scopes without one (feeds, totals)."""
    scope = _PAGE_OF.get(scope, scope)
    if scope not in _WITH_PAGE or not entity_id:
        return ""
    return with_query(f"/{scope.value}/{quote(entity_id, safe='')}", {"tenant": tenant})


def metric_link(tenant: str, scope: Scope, entity_id: str, key: str) -> str:
    """The page of one metric of an entity over time: `/chart/KEY/103?scope=queue&tenant=acme`."""
    path = f"/chart/{quote(key, safe='')}/{quote(entity_id, safe='')}"
    return with_query(path, {"scope": scope.value, "tenant": tenant})


def rule_link(rule: str) -> str:
    """The page of a rule: what it says, and what it matches now."""
    return f"/rules/{quote(rule, safe='')}"


def why_link(key: Fingerprint) -> str:
    """The page of the last decision of a rule about an entity."""
    return with_query(
        f"/why/{quote(key.rule, safe='')}/{quote(key.entity_id, safe='')}",
        {"tenant": key.tenant, "parent": key.parent_id},
    )
