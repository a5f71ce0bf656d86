"""The page of a queue, a group or an agent: live figures in words with their trends, and its alerts. PURE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from alertbot.alerts.alert import Alert, State
from alertbot.charts.svg import trend
from alertbot.charts.text import shown
from alertbot.commands.chart import series_of
from alertbot.commands.command import Command, shown_line
from alertbot.commands.find import Entity
from alertbot.commands.history import ended_line
from alertbot.commands.live import freshness, is_of, named, value_words
from alertbot.commands.view import Need, View
from alertbot.commands.wording import worst_first
from alertbot.page.links import metric_link
from alertbot.page.lookup import can_be_drawn, entity_at, keys_of, unknown_entity
from alertbot.page.now import alert_row
from alertbot.page.page import Address, OverTime, Page, Question, Shown
from alertbot.page.tone import toned
from alertbot.rules.catalogue import Scope
from alertbot.rules.nouns import label
from alertbot.rules.rule import Level
from alertbot.rules.units import write_duration

TREND = timedelta(minutes=30)
ENDED = timedelta(days=7)
"""How far back ended alerts of the entity are listed."""
MAX_ENDED = 10
_NEEDS = frozenset({Need.ALERTS, Need.FEEDS, Need.RULES, Need.SILENCES, Need.HISTORY})
_LIST_OF = {Scope.QUEUE: "Queues", Scope.GROUP: "Groups", Scope.AGENT: "Agents"}


@dataclass(frozen=True)
class Figure:
    """One live figure in words. `firing` is the level of the alert that measures it; "" where none does.

    `trend` is the last half hour as SVG, `low` and `high` its range; "" where there is none.
    """

    label: str
    key: str
    value: str
    is_missing: bool
    firing: str
    href: str
    trend: str
    low: str
    high: str


def _asks(scope: Scope, address: Address) -> Question:
    wanted = OverTime(address.text("tenant"), scope, address.path["id"], "", "", TREND)
    return Question(Command("history", (write_duration(ENDED),)), _NEEDS | {scope}, wanted)


def _shows(scope: Scope, view: View, address: Address, now: datetime) -> Shown:
    found = entity_at(view, scope, address.text("tenant"), address.path["id"])
    if found is None:
        return unknown_entity(view, scope, address.path["id"])
    own = worst_first([alert for alert in view.alerts if alert.open and is_of(alert, found)])
    ended = [each for each in view.history if each.fired_at is not None and not each.shadow and is_of(each, found)]
    parent_id, parent = found.snapshot.parent(found.row)
    about = [f"{scope.value} id {found.id}", *([f"in {parent or parent_id}"] if parent or parent_id else [])]
    return Shown(
        "entity.html",
        {
            "name": named(found, view),
            "about": " · ".join(about),
            "list_href": f"/live?scope={scope.value}",
            "list_label": _LIST_OF[scope],
            "fresh": toned(shown_line(freshness(view, found, now), view.names)),
            "rows": [alert_row(alert, view, now) for alert in own],
            "figures": list(_figures(view, found, own, now)),
            "ended": [toned(shown_line(ended_line(each, view, now), view.names)) for each in ended[:MAX_ENDED]],
            "ended_more": max(0, len(ended) - MAX_ENDED),
        },
    )


def _figures(view: View, found: Entity, alerts: Sequence[Alert], now: datetime) -> Iterator[Figure]:
    zone = ZoneInfo(view.timezone)
    firing: dict[str, Level] = {}
    for alert in alerts:
        if alert.key.scope is found.snapshot.scope and alert.state is State.FIRING and alert.measure is not None:
            firing.setdefault(alert.measure.label, alert.level)  # they come worst first
    recorded = {each.key: each for each in view.series}
    for key in keys_of(found):
        series = series_of(view, found, recorded[key], now) if key in recorded else None
        known = [value for _, value in series.known] if series is not None else []
        value, _ = found.snapshot.reading(key, found.row)
        yield Figure(
            label=label(key),
            key=key,
            value=value_words(view, found, key),
            is_missing=value is None,
            firing=firing[key].word if key in firing else "",
            href=metric_link(found.tenant.name, found.snapshot.scope, found.id, key)
            if can_be_drawn(found, key)
            else "",
            trend=trend(series, zone) if series is not None else "",
            low=shown(min(known), series.type) if series is not None and known else "",
            high=shown(max(known), series.type) if series is not None and known else "",
        )


ENTITIES = tuple(
    Page(scope.value, f"/{scope.value}/{{id:path}}", partial(_asks, scope), partial(_shows, scope))
    for scope in (Scope.QUEUE, Scope.GROUP, Scope.AGENT)
)
