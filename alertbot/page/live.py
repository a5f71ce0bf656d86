"""The live page: every queue, group or agent with its main figures, those with alerts first. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from alertbot.alerts.alert import Alert
from alertbot.commands.command import Command
from alertbot.commands.find import Entity, entities, loose
from alertbot.commands.live import is_of, named, value_words
from alertbot.commands.view import Need, View
from alertbot.commands.wording import echo, worst_first
from alertbot.page.links import entity_link, metric_link, with_query
from alertbot.page.lookup import can_be_drawn
from alertbot.page.page import Address, Page, Question, Shown
from alertbot.page.sheet import sheet
from alertbot.rules.catalogue import Scope
from alertbot.rules.nouns import label, order
from alertbot.rules.words import count

PER_SHEET = 50
MAX_COLUMNS = 6
SCOPES = (Scope.QUEUE, Scope.GROUP, Scope.AGENT)
_NEEDS = frozenset({Need.ALERTS, Need.FEEDS, Need.RULES})


@dataclass(frozen=True)
class Cell:
    """A live figure, and the page of its metric."""

    label: str
    text: str
    href: str


@dataclass(frozen=True)
class LiveRow:
    """One entity. `tone` and `state` are those of its worst alert, "" without one; `alerts` says how many it has."""

    name: str
    href: str
    parent: str
    tone: str
    state: str
    alerts: str
    cells: Sequence[Cell]


def _scope(address: Address) -> Scope:
    named = address.text("scope")
    return next((scope for scope in SCOPES if scope.value == named), Scope.QUEUE)


def _asks(address: Address) -> Question:
    scope = _scope(address)
    return Question(Command(scope.value), _NEEDS | {scope})


def _shows(view: View, address: Address, now: datetime) -> Shown:
    scope, text = _scope(address), address.text("q")
    known = entities(view.tenants, scope)
    wanted = loose(text)
    matching = [each for each in known if wanted in loose(named(each, view)) or text == each.id] if wanted else known
    alerts = _alerts_of(view, matching)
    ordered = sorted(matching, key=lambda each: (*_urgency(alerts.get(_key(each), ())), each.name.casefold(), each.id))
    cut = sheet(ordered, PER_SHEET, address.number("sheet"))
    keys = _keys(known)
    parents = any(each.snapshot.parent(each.row)[1] for each in cut.items)
    return Shown(
        "live.html",
        {
            "scope": scope.value,
            "scopes": [
                {"label": f"{each.value}s".capitalize(), "href": f"/live?scope={each.value}", "current": each is scope}
                for each in SCOPES
                if each in view.rules.scopes()
            ],
            "query": text,
            "summary": _summary(scope, known, matching, text, view),
            "head": [label(key) for key in keys],
            "parents": parents,
            "rows": [_row(each, alerts.get(_key(each), ()), keys, view) for each in cut.items],
            "sheet": cut.linked("/live", {"scope": scope.value, "q": text}),
            "clear": with_query("/live", {"scope": scope.value}),
        },
    )


def _key(entity: Entity) -> tuple[str, str]:
    return entity.tenant.name, entity.id


def _alerts_of(view: View, known: Iterable[Entity]) -> Mapping[tuple[str, str], Sequence[Alert]]:
    """The open alerts of each entity that has any, the worst first."""
    nearby: dict[tuple[str, str], list[Alert]] = {}  # by every id that they name: those of one entity are few
    for alert in worst_first([alert for alert in view.alerts if alert.open]):
        for id in {alert.key.entity_id, alert.key.parent_id} - {""}:
            nearby.setdefault((alert.key.tenant, id), []).append(alert)
    found = {}
    for each in known:
        own = [alert for alert in nearby.get(_key(each), ()) if is_of(alert, each)]
        if own:
            found[_key(each)] = own
    return found


def _urgency(alerts: Sequence[Alert]) -> tuple[int, int]:
    """Worst level first; among these, the entity with more alerts."""
    return (-alerts[0].level, -len(alerts)) if alerts else (0, 0)


def _keys(known: Sequence[Entity]) -> list[str]:
    """The metrics that are shown: the most interesting ones of the first snapshot that has any."""
    return next((sorted(each.snapshot.columns, key=order)[:MAX_COLUMNS] for each in known), [])


def _row(entity: Entity, alerts: Sequence[Alert], keys: Sequence[str], view: View) -> LiveRow:
    tenant, scope = entity.tenant.name, entity.snapshot.scope
    return LiveRow(
        name=named(entity, view),
        href=entity_link(tenant, scope, entity.id),
        parent=entity.snapshot.parent(entity.row)[1],
        tone=alerts[0].level.word if alerts else "",
        state=alerts[0].level.word if alerts else "",
        alerts=count(len(alerts), "alert") if len(alerts) > 1 else "",
        cells=[
            Cell(
                label(key),
                value_words(view, entity, key) if key in entity.snapshot.columns else "",
                metric_link(tenant, scope, entity.id, key)
                if key in entity.snapshot.columns and can_be_drawn(entity, key)
                else "",
            )
            for key in keys
        ],
    )


def _summary(scope: Scope, known: Sequence[Entity], matching: Sequence[Entity], text: str, view: View) -> str:
    if not known:
        if view.rules.rules and scope not in view.rules.scopes():
            return f"No rule covers {scope.value}s, so alertbot does not ask 8x8 for them."
        errors = [tenant.error for tenant in view.tenants if tenant.error]
        return " ".join(
            [f"No {scope.value} has been seen yet.", *(errors or ["The first poll may not have finished."])]
        )
    if text:
        return f"{count(len(matching), scope.value)} of {len(known):,} with {echo(text)} in the name."
    return f"{count(len(known), scope.value)}, those with alerts first."


LIVE = Page("live", "/live", _asks, _shows, label="Live")
