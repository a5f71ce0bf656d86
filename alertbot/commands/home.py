"""The Home tab of the app: the answers of `status`, `alerts` and `silences` as one page. PURE.

It is made from the view of `status`, which reads all that is needed. What can be done about an alert is data here;
`slack/home.py` draws the buttons.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from alertbot.alerts.alert import Alert
from alertbot.commands.answers import COMMANDS
from alertbot.commands.command import Asker, Command, Line, Table, shown_line
from alertbot.commands.silences import silences
from alertbot.commands.status import data_lines, headline, trouble_lines
from alertbot.commands.view import View
from alertbot.commands.wording import MAX_ALERTS, alert_line, and_more, worst_first
from alertbot.rules.catalogue import Scope

READS = Command("status")
"""The command whose view the page reads."""


@dataclass(frozen=True)
class Entry:
    """One open alert, and what its buttons depend on."""

    line: Line
    alert_id: int
    owned: bool  # it has an owner, who can give it back
    silenceable: bool  # a silence can match it
    closes: bool  # a business closes later today: it can be silenced until then


@dataclass(frozen=True)
class Section:
    """Lines under a heading."""

    heading: str
    parts: tuple[Line | Table, ...]


@dataclass(frozen=True)
class Home:
    """The page: the headline, the worst open alerts, a line about those left out, and the sections below."""

    at: datetime
    timezone: str
    headline: Line
    entries: tuple[Entry, ...]
    more: tuple[Line, ...]
    sections: tuple[Section, ...]


def home(view: View, asker: Asker, now: datetime) -> Home:
    """The page for one reader, from the view of `READS`: alerts worst first, those that recover last."""
    opened = worst_first([alert for alert in view.alerts if alert.open])
    entries = [_entry(alert, alert.id, view, now) for alert in opened[:MAX_ALERTS] if alert.id is not None]
    more = and_more(len(entries), len(opened))
    narrows = Line(f"{more}; {view.command} alerts RULE or NAME narrows it down")
    shown = partial(shown_line, names=view.names)
    return Home(
        at=now,
        timezone=view.timezone,
        headline=headline(view.alerts, opened),
        entries=tuple(entries),
        more=(narrows,) if more else (),
        sections=(
            Section("Data and delivery", tuple(map(shown, (*data_lines(view, now), *trouble_lines(view, now))))),
            Section("Silences", tuple(map(shown, _silences(view, asker, now)))),
            Section("Commands", _help(view)),
        ),
    )


def _entry(alert: Alert, alert_id: int, view: View, now: datetime) -> Entry:
    rules = view.rules_of.get(alert.key.tenant)
    return Entry(
        shown_line(alert_line(alert, view, now), view.names),
        alert_id,
        owned=alert.acked_by is not None,
        silenceable=alert.key.scope is not Scope.FEED,
        closes=rules is not None and rules.closes_at(alert.key.rule, now) is not None,
    )


def _silences(view: View, asker: Asker, now: datetime) -> list[Line]:
    return [part for part in silences(view, Command("silences"), asker, now).parts if isinstance(part, Line)]


def _help(view: View) -> tuple[Line | Table, ...]:
    """The subcommands that the manifest hints at, in one line each."""
    rows = tuple((row.hint, row.help) for row in COMMANDS if row.hint)
    all_of_them = Line(f"Type them after {view.command}, in any channel; {view.command} help lists all of them.")
    return Table(("What", "Answer"), rows), all_of_them
