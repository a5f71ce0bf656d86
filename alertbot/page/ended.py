"""The page of ended alerts: filtered by rule, name and window, in sheets; and the same alerts as CSV. PURE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from alertbot.alerts.alert import Alert
from alertbot.commands.answers import is_named
from alertbot.commands.command import Command
from alertbot.commands.history import LONGEST, ending, summary, worst_value
from alertbot.commands.history_table import csv_lines, is_listed, rows
from alertbot.commands.view import MAX_HISTORY, Need, View
from alertbot.commands.wording import age, clock, where
from alertbot.page.links import entity_link, rule_link, with_query
from alertbot.page.missing import no_rule
from alertbot.page.page import Address, Page, Question, Shown
from alertbot.page.sheet import sheet
from alertbot.page.tone import toned
from alertbot.rules.units import parse_duration, write_duration

PER_SHEET = 100
DEFAULT = "7d"
OFFERED = (("1d", "24 hours"), ("7d", "7 days"), ("30d", "30 days"), ("90d", "90 days"))
"""Windows that the form offers; an address may have others."""
PATH, CSV_PATH = "/ended", "/ended.csv"


@dataclass(frozen=True)
class Filter:
    """Which ended alerts to list: of one rule (its id), with a text in the name of the entity; "": any.

    `wrong` says in a sentence what the address has instead of a window.
    """

    rule: str
    name: str
    window: timedelta
    typed: str
    wrong: str = ""

    def lets_through(self, alert: Alert) -> bool:
        """Whether to list this alert. Alerts that never fired, and those of shadow rules, are not listed."""
        if not is_listed(alert) or (self.rule and alert.key.rule != self.rule):
            return False
        return not self.name or is_named(alert, self.name)


def filter_of(address: Address) -> Filter:
    """What an address asks for."""
    typed = address.text("window") or DEFAULT
    rule, name = address.text("rule"), address.text("name")
    try:
        window = parse_duration(typed.casefold())
    except ValueError:
        window = timedelta(0)
    if timedelta(0) < window <= LONGEST:
        return Filter(rule, name, window, typed)
    wrong = f"“{typed[:40]}” is not a window: write 12h or 7d, {write_duration(LONGEST)} or less."
    return Filter(rule, name, parse_duration(DEFAULT), DEFAULT, wrong)


@dataclass(frozen=True)
class EndedRow:
    """One ended alert. It has no tone: the colour of a level says that it fires."""

    number: str
    level: str
    entity: str
    entity_href: str
    title: str
    rule_href: str
    begun: str
    begun_iso: str
    ended: str
    ended_iso: str
    lasted: str
    worst: str
    owner: str
    acknowledged_after: str
    ending: str


def ended_row(alert: Alert, view: View, now: datetime) -> EndedRow:
    """An ended alert as a row; the same words as `history` has."""
    assert alert.fired_at is not None
    assert alert.ended_at is not None
    hide = view.names.text
    known = view.rules.by_id(alert.key.rule) is not None
    return EndedRow(
        number=f"#{alert.id}" if alert.id is not None else "",
        level=(alert.highest or alert.level).word,
        entity=where(alert, view),
        entity_href=entity_link(alert.key.tenant, alert.key.scope, alert.key.entity_id),
        title=alert.about.title,
        rule_href=rule_link(alert.key.rule) if known else "",
        begun=clock(alert.fired_at, view.timezone, now),
        begun_iso=alert.fired_at.isoformat(timespec="seconds"),
        ended=clock(alert.ended_at, view.timezone, now),
        ended_iso=alert.ended_at.isoformat(timespec="seconds"),
        lasted=age(alert.fired_at, alert.ended_at),
        worst=worst_value(alert, ZoneInfo(view.timezone)),
        owner=hide(alert.acked_by or ""),
        acknowledged_after=age(alert.fired_at, alert.acked_at) if alert.acked_by and alert.acked_at else "",
        ending=hide(ending(alert)),
    )


def _asks(address: Address) -> Question:
    wanted = filter_of(address)
    return Question(Command("history", (write_duration(wanted.window),)), frozenset({Need.HISTORY, Need.RULES}))


def _shows(view: View, address: Address, now: datetime) -> Shown:
    wanted = filter_of(address)
    rules = _rules(view)
    if wanted.rule and wanted.rule not in rules:
        return no_rule(view, wanted.rule)
    alerts = [alert for alert in view.history if wanted.lets_through(alert)]
    cut = sheet(alerts, PER_SHEET, address.number("sheet"))
    query = {"rule": wanted.rule, "name": wanted.name, "window": wanted.typed if wanted.typed != DEFAULT else ""}
    levels = Counter(alert.highest or alert.level for alert in alerts)
    named = " ".join(each for each in (wanted.rule, wanted.name) if each)
    notes = [wanted.wrong] if wanted.wrong else []
    if view.history_kept is not None and view.history_kept < wanted.window:
        notes.append(f"Ended alerts are kept for {write_duration(view.history_kept)}: history in alertbot.yaml.")
    if len(view.history) >= MAX_HISTORY:
        notes.append(
            f"Only the {MAX_HISTORY:,} most recently ended alerts were searched. The CSV has all alerts of the window."
        )
    return Shown(
        "ended.html",
        {
            "summary": toned(summary(levels, named, wanted.window)),
            "notes": notes,
            "rows": [ended_row(alert, view, now) for alert in cut.items],
            "sheet": cut.linked(PATH, query),
            "csv": with_query(CSV_PATH, query),
            "rule": wanted.rule,
            "name": wanted.name,
            "rules": sorted(rules.items(), key=lambda each: (each[1].casefold(), each[0])),
            "window": wanted.typed,
            "windows": _windows(wanted.typed),
            "path": PATH,
        },
        status=400 if wanted.wrong else 200,
    )


def _rules(view: View) -> dict[str, str]:
    """The titles by id of all active rules, and of rules that an alert of this window belongs to."""
    titles = {alert.key.rule: alert.about.title for alert in reversed(view.history) if is_listed(alert)}
    return titles | {rule.id: rule.title for rule in view.rules.rules if not rule.shadow}


def _windows(chosen: str) -> list[tuple[str, str]]:
    offered = list(OFFERED)
    return offered if chosen in dict(OFFERED) else [*offered, (chosen, chosen)]


def ended_csv(
    alerts: Iterable[Alert],
    wanted: Filter,
    zones: Mapping[str, tzinfo],
    otherwise: tzinfo,
    owner: Callable[[str], str] = str,
) -> Iterator[str]:
    """The lines of the CSV: the alerts that the filter matches."""
    return csv_lines(rows(filter(wanted.lets_through, alerts), zones, otherwise, owner))


ENDED = Page("ended", PATH, _asks, _shows, label="Ended")
