"""The page of one metric of one entity over time: a chart with limits and alerts, and the same in words. PURE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from alertbot.charts.series import Series
from alertbot.charts.svg import chart
from alertbot.charts.text import shown, values_words
from alertbot.commands.chart import LONGEST, series_of, whole_name
from alertbot.commands.command import Command, shown_line
from alertbot.commands.find import Entity
from alertbot.commands.live import freshness, value_words
from alertbot.commands.view import Need, Recorded, View
from alertbot.commands.window import split_window
from alertbot.commands.wording import age, clock, echo
from alertbot.page.links import entity_link, metric_link, rule_link, with_query
from alertbot.page.lookup import (
    can_be_drawn,
    entity_at,
    keys_of,
    unknown_entity,
    unknown_key,
)
from alertbot.page.missing import not_found
from alertbot.page.page import Address, OverTime, Page, Question, Shown
from alertbot.page.tone import toned
from alertbot.rules.catalogue import RULE_SCOPES, Scope
from alertbot.rules.nouns import label
from alertbot.rules.units import write_duration

DEFAULT = timedelta(hours=24)
WINDOWS = (timedelta(hours=1), timedelta(hours=6), DEFAULT, timedelta(days=2), timedelta(days=7))
ROWS = {timedelta(hours=1): 12, timedelta(hours=6): 12, DEFAULT: 24, timedelta(days=2): 24, timedelta(days=7): 28}
_NEEDS = frozenset({Need.ALERTS, Need.FEEDS, Need.RULES, Need.HISTORY})


@dataclass(frozen=True)
class Firing:
    """A time during which an alert fired. `until` is "" while it fires."""

    level: str
    title: str
    href: str
    begun: str
    until: str
    lasted: str


@dataclass(frozen=True)
class Interval:
    """The values of an interval of time, in words; "" where it has none."""

    begin: str
    low: str
    high: str


def _asks(address: Address) -> Question:
    scope, window = _scope(address), _window(address)
    wanted = OverTime(
        address.text("tenant"), scope, address.path["id"], address.text("parent"), address.path["key"], window
    )
    command = Command("chart", (address.path["key"], address.path["id"], write_duration(window)))
    return Question(command, _NEEDS | {scope}, wanted)


def _scope(address: Address) -> Scope:
    """The scope in the address; queue if it names none, or an unknown one."""
    named = address.text("scope")
    return next((scope for scope in RULE_SCOPES if scope.value == named), Scope.QUEUE)


def _window(address: Address) -> timedelta:
    """The window in the address; the default if there is none, or it cannot be shown."""
    split = split_window([address.text("window")], DEFAULT, LONGEST)
    return DEFAULT if isinstance(split, str) else split[1]


def _wrong_window(address: Address) -> str:
    """What is wrong with the window in the address, as a sentence; "" if it is valid."""
    text = address.text("window")
    split = split_window([text], DEFAULT, LONGEST)
    if isinstance(split, str):
        return f"{split} The last {write_duration(DEFAULT)} is shown instead."
    if text and split[0]:
        return f"{echo(text)} is not a window: write 6h or 2d. The last {write_duration(DEFAULT)} is shown instead."
    return ""


def _shows(view: View, address: Address, now: datetime) -> Shown:
    scope, window, key = _scope(address), _window(address), address.path["key"]
    tenant, parent = address.text("tenant"), address.text("parent")
    found = entity_at(view, scope, tenant, address.path["id"], parent)
    if found is None:
        return unknown_entity(view, scope, address.path["id"])
    drawn = [each for each in keys_of(found) if can_be_drawn(found, each)]
    links = [(each, metric_link(found.tenant.name, scope, found.id, each)) for each in drawn]
    if key not in found.snapshot.columns:
        return unknown_key(found, key, links)
    recorded = next((each for each in view.series if each.key == key), None)
    if recorded is None:
        return not_found("Not found", f"{label(key)} ({key}) cannot be drawn: its values are text or times.")
    return Shown("metric.html", _values(view, found, recorded, address, window, links, now))


def _values(
    view: View,
    found: Entity,
    recorded: Recorded,
    address: Address,
    window: timedelta,
    links: Sequence[tuple[str, str]],
    now: datetime,
) -> Mapping[str, object]:
    series = series_of(view, found, recorded, now)
    zone, key = ZoneInfo(view.timezone), address.path["key"]
    query = {"scope": found.snapshot.scope.value, "tenant": found.tenant.name, "parent": address.text("parent")}
    path = metric_link("", found.snapshot.scope, found.id, key).partition("?")[0]
    return {
        "label": series.label,
        "key": key,
        "name": whole_name(found, view),
        "name_href": entity_link(found.tenant.name, found.snapshot.scope, found.id),
        "value": value_words(view, found, key),
        "fresh": toned(shown_line(freshness(view, found, now), view.names)),
        "window": write_duration(window),
        "wrong_window": _wrong_window(address),
        "partly": _partly(recorded.read_since, view, now),
        "windows": [
            {
                "label": write_duration(each),
                "href": with_query(path, {**query, "window": write_duration(each)}),
                "current": each == window,
            }
            for each in WINDOWS
        ],
        "chart": chart(series, zone, id="chart"),
        "summary": values_words(series, zone),
        "zone": f"{now.astimezone(zone):%Z}",
        "firings": list(_firings(view, series, now)),
        "intervals": list(_intervals(series, window, zone)),
        "others": [{"label": label(each), "href": href, "current": each == key} for each, href in links],
    }


def _partly(read_since: datetime | None, view: View, now: datetime) -> str:
    """A sentence that says from when on values are still missing; "" if all have been read."""
    if read_since is None:
        return ""
    return f"Values before {clock(read_since, view.timezone, now)} are still being read. Reload the page to see them."


def _firings(view: View, series: Series, now: datetime) -> Iterator[Firing]:
    """The alerts that fired, the latest first."""
    for span in reversed(series.spans):
        rule = view.rules.by_id(span.rule)
        yield Firing(
            level=span.level.word,
            title=rule.title if rule is not None else span.rule,
            href=rule_link(span.rule) if rule is not None else "",
            begun=clock(span.begin, view.timezone, now),
            until=clock(span.end, view.timezone, now) if span.end is not None else "",
            lasted=age(span.begin, span.end or series.end),
        )


def _intervals(series: Series, window: timedelta, zone: ZoneInfo) -> Iterator[Interval]:
    """The range of the values interval by interval: the chart as a table."""
    number = ROWS.get(window, 24)
    step = (series.end - series.begin) / number
    for place, pairs in enumerate(series.intervals(number)):
        begin = (series.begin + place * step).astimezone(zone)
        values = [value for _, value in pairs]
        yield Interval(
            begin=begin.strftime("%d %b %H:%M" if window > timedelta(days=1) else "%H:%M"),
            low=shown(min(values), series.type) if values else "",
            high=shown(max(values), series.type) if values else "",
        )


METRIC = Page("chart", "/chart/{key}/{id:path}", _asks, _shows)
