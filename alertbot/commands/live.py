"""`queue NAME`, `group NAME`, `agent NAME`: the live values of one entity, with its alerts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from alertbot.alerts.alert import Alert
from alertbot.commands.command import Asker, Command, Line, Reply, Table
from alertbot.commands.find import Entity, entities, find, similar
from alertbot.commands.view import View
from alertbot.commands.wording import (
    MAX_ALERTS,
    MAX_NAMES,
    age,
    alert_line,
    and_more,
    clock,
    echo,
    figure,
    is_stale,
    listed,
    of_tenant,
    problem,
    worst_first,
)
from alertbot.evaluation.snapshot import Presence
from alertbot.rules.catalogue import Scope, ValueType, catalogue
from alertbot.rules.nouns import label, order
from alertbot.rules.rule import Level
from alertbot.rules.words import count

MAX_VALUES = 40
FEW_VALUES = 6
_MISSING = {
    Presence.NULL: "no data (8x8 sent null)",
    Presence.ABSENT: "not in 8x8's response",
    Presence.INVALID: "8x8 sent a value that cannot be read",
    Presence.NOT_FETCHED: "its request failed",
}


def entity(scope: Scope, view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    """The live values of the entity that the command names, or the entities that it may mean."""
    name = " ".join(command.args)
    known = entities(view.tenants, scope)
    if not known:
        return _nothing_known(view, scope)
    ask = f"{view.command} {scope} NAME"
    if not name:
        names = sorted({named(each, view) for each in known}, key=str.casefold)
        return problem(f"Which {scope}? {ask}", f"{count(len(names), 'name')}: {listed(names)}")
    found = find(known, name)
    if not found:
        near = [named(each, view) for each in similar(name, ((each.full_name, each) for each in known))]
        asked = f"No {scope} is called {echo(name)}."
        if near:
            return problem(asked, f"Did you mean {' or '.join(near)}?")
        return problem(asked, f"{count(len(known), scope)} are known; a part of the name is enough.")
    if len(found) > 1:
        return _candidates(view, scope, name, found)
    return Reply(tuple(_shown(view, found[0], now)))


def _nothing_known(view: View, scope: Scope) -> Reply:
    if scope not in view.rules.scopes():
        return problem(f"No rule covers {scope}s, so alertbot does not ask 8x8 for them.")
    troubles = [of_tenant(tenant.error, tenant, view) for tenant in view.tenants if tenant.error]
    return problem(f"No {scope} has been seen yet.", *(troubles or ["The first poll may not have finished."]))


def missing(presence: Presence) -> str:
    """Why a value is missing, in words."""
    return _MISSING[presence]


def named(found: Entity, view: View) -> str:
    """The name of an entity, with its tenant where there are several."""
    return f"{found.tenant.name}/{found.name}" if len(view.tenants) > 1 else found.name


def _candidates(view: View, scope: Scope, name: str, found: list[Entity]) -> Reply:
    names = [named(each, view) for each in found]
    twice = {each for each in names if names.count(each) > 1} if len(names) <= MAX_NAMES else set()
    lines = [
        f"• {shown}" + (f" (id {each.id})" if shown in twice else "")
        for each, shown in sorted(zip(found, names, strict=True), key=lambda pair: pair[1].casefold())
    ]
    more = and_more(MAX_NAMES, len(lines))
    return problem(
        f"{echo(name)} matches {len(found)} {scope}s:",
        *lines[:MAX_NAMES],
        *([more] if more else []),
        "Use the whole name, or the id." if twice else "Use the whole name.",
    )


def _shown(view: View, found: Entity, now: datetime) -> Iterator[Line | Table]:
    snapshot, row, scope = found.snapshot, found.row, found.snapshot.scope
    parent_id, parent_name = snapshot.parent(row)
    about = [f"id {found.id}"]
    if parent_id or parent_name:
        about.append(f"in {parent_name or parent_id}")
    if len(view.tenants) > 1:
        about.append(found.tenant.name)
    yield Line(f"{scope.capitalize()} {found.name} ({', '.join(about)})", strong=True)
    yield freshness(view, found, now)
    yield from _alert_lines(view, found, now)
    keys = sorted(snapshot.columns, key=order)
    if keys:
        rows = tuple((label(key), value_words(view, found, key)) for key in keys[:MAX_VALUES])
        yield Table(("Metric", "Value"), rows)
    if more := and_more(MAX_VALUES, len(keys)):
        yield Line(more)
    if len(keys) < FEW_VALUES:
        yield Line(f"alertbot asks 8x8 only for what rules use: {count(len(keys), 'value')} here.")


def freshness(view: View, found: Entity, now: datetime) -> Line:
    """How old the values of an entity are, and what is wrong with them; marked if they are stale."""
    at = found.snapshot.at
    why = f" The last poll: {found.tenant.error}" if found.tenant.error else ""
    if is_stale(at, view, now):
        text = f"STALE: these values are {age(at, now)} old (of {clock(at, view.timezone, now)}).{why}"
        return Line(text, level=Level.CRITICAL, strong=True)
    partial = "" if found.snapshot.complete else " That poll was partial."
    return Line(f"As of {age(at, now)} ago.{partial}{why}", level=Level.WARNING if why or partial else None)


def _alert_lines(view: View, found: Entity, now: datetime) -> Iterator[Line]:
    alerts = worst_first([alert for alert in view.alerts if is_of(alert, found)])
    if not alerts:
        yield Line("No alerts.")
    for alert in alerts[:MAX_ALERTS]:
        yield alert_line(alert, view, now, with_entity=alert.key.scope is not found.snapshot.scope)
    if more := and_more(MAX_ALERTS, len(alerts)):
        yield Line(more)


def is_of(alert: Alert, found: Entity) -> bool:
    """Whether an alert is of the entity, or of what belongs to it: the agents of a queue, an agent in its queues."""
    key, scope = alert.key, found.snapshot.scope
    if key.tenant != found.tenant.name:
        return False
    if key.scope is scope:
        return key.entity_id == found.id
    if scope is Scope.AGENT:
        return key.scope in (Scope.QUEUE_AGENT, Scope.GROUP_AGENT) and key.entity_id == found.id
    belongs = {Scope.QUEUE: Scope.QUEUE_AGENT, Scope.GROUP: Scope.GROUP_AGENT}
    return key.scope is belongs.get(scope) and key.parent_id == found.id


def value_words(view: View, found: Entity, key: str) -> str:
    """The live value of a metric in words, or why there is none."""
    value, presence = found.snapshot.reading(key, found.row)
    if value is None:
        return missing(presence)
    metric = catalogue().lookup(found.snapshot.scope, key)
    kind = metric.type if metric else ValueType.TEXT if isinstance(value, str) else ValueType.NUMBER
    return figure(value, kind, ZoneInfo(view.timezone))
