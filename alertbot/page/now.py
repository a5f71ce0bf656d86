"""The now page: open alerts, feeds, what is held back, silences. PURE.

It reads what `status` reads, and shows the same sentences; alerts are rows, so that their figures can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from alertbot.alerts.alert import Alert, State
from alertbot.commands.answers import needs_of
from alertbot.commands.command import Asker, Command, Line, shown_line
from alertbot.commands.silences import silences
from alertbot.commands.status import data_lines, headline, trouble_lines
from alertbot.commands.view import View
from alertbot.commands.wording import age, clock, muted_words, value_and_limit, where, worst_first
from alertbot.page.links import entity_link, rule_link, why_link
from alertbot.page.page import Address, Page, Question, Shown
from alertbot.page.sheet import sheet
from alertbot.page.tone import toned

PER_SHEET = 100
ON_THE_WALL = 40
"""Open alerts that a wall screen shows: it cannot be scrolled."""
READER = Asker("", may_change=False)
_STATUS = Command("status")


@dataclass(frozen=True)
class AlertRow:
    """One open alert. `tone` is its level, or `recovering`; `state` says so in words."""

    number: str
    tone: str
    state: str
    entity: str
    entity_href: str
    title: str
    rule_href: str
    why_href: str
    value: str
    limit: str
    since: str
    since_iso: str
    lasts: str
    owner: str
    note: str


def alert_row(alert: Alert, view: View, now: datetime) -> AlertRow:
    """An open alert as a row; the same words as `alerts` has."""
    recovering = alert.state is State.RECOVERING
    began = alert.recovering_since if recovering else alert.fired_at
    value, limit = value_and_limit(alert, ZoneInfo(view.timezone))
    hide = view.names.text
    known = view.rules.by_id(alert.key.rule) is not None
    return AlertRow(
        number=f"#{alert.id}" if alert.id is not None else "",
        tone="recovering" if recovering else alert.level.word,
        state=f"recovering ({alert.level.word})" if recovering else alert.level.word,
        entity=where(alert, view),
        entity_href=entity_link(alert.key.tenant, alert.key.scope, alert.key.entity_id),
        title=alert.about.title,
        rule_href=rule_link(alert.key.rule) if known else "",
        why_href=why_link(alert.key) if known else "",
        value=value,
        limit=limit,
        since=clock(began, view.timezone, now) if began else "",
        since_iso=began.isoformat(timespec="seconds") if began else "",
        lasts=age(began, now) if began else "",
        owner=hide(alert.acked_by or ""),
        note=hide(" · ".join(_notes(alert, view, now))),
    )


def _notes(alert: Alert, view: View, now: datetime) -> list[str]:
    detail = [alert.about.detail] if alert.about.detail else []
    return [*detail, *muted_words(alert, view, now), *([alert.ack_note] if alert.ack_note else [])]


def _asks(address: Address) -> Question:
    return Question(_STATUS, needs_of(_STATUS))


def _shows(view: View, address: Address, now: datetime) -> Shown:
    opened = worst_first([alert for alert in view.alerts if alert.open])
    query: Mapping[str, str] = {}
    cut = sheet(opened, ON_THE_WALL if address.wall else PER_SHEET, 1 if address.wall else address.number("sheet"))
    silenced = silences(view, Command("silences"), READER, now).parts if view.silences else ()
    return Shown(
        "now.html",
        {
            "headline": toned(shown_line(headline(view.alerts, opened), view.names)),
            "rows": [alert_row(alert, view, now) for alert in cut.items],
            "sheet": cut.linked("/", query),
            "feeds": [toned(shown_line(each, view.names)) for each in data_lines(view, now)],
            "troubles": [toned(shown_line(each, view.names)) for each in trouble_lines(view, now)],
            "silences": [toned(shown_line(each, view.names)) for each in silenced if isinstance(each, Line)],
        },
    )


NOW = Page("now", "/", _asks, _shows, label="Now")
