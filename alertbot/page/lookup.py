"""From the address of a page to the entity and the metric that it names, or to the nearest ones. PURE."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from alertbot.commands.find import Entity, entities, find, similar
from alertbot.commands.live import named
from alertbot.commands.view import Recorded, View
from alertbot.commands.wording import echo
from alertbot.page.links import entity_link
from alertbot.page.missing import not_found
from alertbot.page.page import Link, OverTime, Shown
from alertbot.rules.catalogue import Scope, ValueType, catalogue
from alertbot.rules.nouns import label, order
from alertbot.rules.words import nearest

MAX_NEAR = 5
MAX_KEYS = 40
"""Metrics of one entity that are shown."""
_DRAWN = frozenset({ValueType.COUNT, ValueType.DURATION, ValueType.RATIO, ValueType.NUMBER})


def entity_at(view: View, scope: Scope, tenant: str, entity_id: str, parent_id: str = "") -> Entity | None:
    """The entity with this id; the first one where neither tenant nor parent says which."""
    for each in view.tenants:
        snapshot = each.snapshots.get(scope)
        if snapshot is None or tenant not in ("", each.name):
            continue
        for row, known in enumerate(snapshot.ids):
            if known == entity_id and parent_id in ("", snapshot.parent(row)[0]):
                return Entity(each, snapshot, row)
    return None


def kind_of(entity: Entity, key: str) -> ValueType:
    """The type of a metric of this entity; a metric that the catalogue does not know is a number, or text."""
    metric = catalogue().lookup(entity.snapshot.scope, key)
    if metric is not None:
        return metric.type
    column = entity.snapshot.columns.get(key)
    return ValueType.TEXT if column is not None and column.is_text else ValueType.NUMBER


def can_be_drawn(entity: Entity, key: str) -> bool:
    """Whether a metric has a chart: its values are numbers."""
    return kind_of(entity, key) in _DRAWN


def keys_of(entity: Entity) -> list[str]:
    """The metrics of an entity, the most interesting first."""
    return sorted(entity.snapshot.columns, key=order)[:MAX_KEYS]


def series_wanted(view: View, wanted: OverTime, now: datetime) -> tuple[Recorded, ...]:
    """What to read from the recording; an empty list for an unknown entity or metric."""
    entity = entity_at(view, wanted.scope, wanted.tenant, wanted.entity_id, wanted.parent_id)
    if entity is None:
        return ()
    keys = [wanted.key] if wanted.key else keys_of(entity)
    parent = entity.snapshot.parent(entity.row)[0] if wanted.scope in (Scope.QUEUE_AGENT, Scope.GROUP_AGENT) else ""
    return tuple(
        Recorded(entity.tenant.name, wanted.scope, key, entity.id, parent, now - wanted.window)
        for key in keys
        if key in entity.snapshot.columns and can_be_drawn(entity, key)
    )


def unknown_entity(view: View, scope: Scope, text: str) -> Shown:
    """404 for an unknown entity, with the ones that the text may mean."""
    known = entities(view.tenants, scope)
    # A user who types an address types a name. Ids are numbers, and a similar number means nothing.
    near = find(known, text) or similar(text, ((each.full_name, each) for each in known))
    words = [f"No {_words(scope)} with the id {echo(text)} was in the last poll."]
    if not known:
        errors = [tenant.error for tenant in view.tenants if tenant.error]
        words = [f"No {_words(scope)} has been seen yet.", *(errors or ["The first poll may not have finished."])]
    links = [Link(named(each, view), entity_link(each.tenant.name, scope, each.id)) for each in near[:MAX_NEAR]]
    return not_found("Not found", *words, near=[each for each in links if each.href])


def unknown_key(entity: Entity, key: str, links: Iterable[tuple[str, str]]) -> Shown:
    """404 for a metric that an entity does not have. `links`: the metrics that it has, and their addresses."""
    known = dict(links)
    near = nearest(key, known, limit=MAX_NEAR)
    words = f"{entity.name} has no metric called {echo(key)}."
    if catalogue().lookup(entity.snapshot.scope, key) is not None:
        words = f"{key} ({label(key)}) is not polled: no rule reads it."
    found = [Link(f"{label(each)} ({each})", known[each]) for each in near or known]
    return not_found("Not found", words, near=found[:10])


def _words(scope: Scope) -> str:
    return scope.value.replace("_", " ")
