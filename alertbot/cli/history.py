"""`history`: ended alerts in the terminal, as CSV for a spreadsheet, and as JSON."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import chain
from typing import Annotated

import typer

from alertbot import logs
from alertbot.alerts.alert import Alert
from alertbot.cli.ask import pasts_of, rules_that_run
from alertbot.cli.shell import PROBLEM, AsJson, Config, seconds
from alertbot.cli.show import err, say
from alertbot.clock import wall_clock
from alertbot.commands.answers import is_about, unknown_in_history
from alertbot.commands.command import Command, Line, Person
from alertbot.commands.history import ended_line, summary
from alertbot.commands.history_table import Row, csv_lines, is_listed, json_of, rows
from alertbot.commands.view import View
from alertbot.config.load import config_path, load
from alertbot.config.settings import Settings
from alertbot.errors import UsageError
from alertbot.rules.rule import Level
from alertbot.rules.units import write_duration
from alertbot.service.databases import open_to_read
from alertbot.service.views import make_view
from alertbot.store.roles import Store


def history(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RULE or NAME]", help="Only alerts of this rule, or with this in the entity's name."),
    ] = None,
    since: Annotated[
        str, typer.Option(metavar="DURATION", help="How far back: alerts that ended within this time.")
    ] = "30d",
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV for a spreadsheet: one row per alert, UTF-8, durations in seconds.")
    ] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List ended alerts: when, how long, the worst value, who acknowledged them. RULE or NAME limits the list."""
    if as_csv and as_json:
        raise UsageError("--csv and --json cannot be combined: use one of them")
    back = timedelta(seconds=seconds(since, "--since"))
    settings = load(config_path(config), secrets=False)
    logs.configure()
    store = open_to_read(settings)
    now = wall_clock()
    wanted = " ".join(" ".join(words or ()).split())
    try:
        ended = _matching(store, wanted, now - back)
        first = next(ended, None)
        if first is None and wanted and (refusal := unknown_in_history(_view(settings, store, now, wanted), wanted)):
            raise UsageError(" ".join(part.text for part in refusal.parts[:2] if isinstance(part, Line)))
        found = chain([first], ended) if first is not None else ended
        people = _names_of(store)
        if as_csv or as_json:
            table = rows(found, settings.zones(), settings.zone(), people)
            _write(csv_lines(table) if as_csv else _json_lines(table))
        else:
            _list(found, _view(settings, store, now), people, wanted, back, settings.history, now)
    finally:
        store.close()
    if first is None:
        raise typer.Exit(PROBLEM)


def _matching(store: Store, wanted: str, since: datetime) -> Iterator[Alert]:
    return (alert for alert in store.all_ended(since) if is_listed(alert) and (not wanted or is_about(alert, wanted)))


def _view(settings: Settings, store: Store, now: datetime, wanted: str = "") -> View:
    """The view that resolves a typed name; an empty one without a name."""
    return make_view(
        Command("history", tuple(wanted.split())) if wanted else Command("help"),
        settings,
        store,
        now,
        rules=lambda: rules_that_run(settings, store),
        pasts=lambda rules: pasts_of(settings, store, rules, now),
    )


def _names_of(store: Store) -> Callable[[str], str]:
    """The display name of a user by id; the id if the name is unknown."""
    known = {user: str(logs.with_shown_names(name)) for user, name in store.people().items()}
    return lambda user: known.get(user, user)


def _list(
    found: Iterable[Alert],
    view: View,
    people: Callable[[str], str],
    wanted: str,
    back: timedelta,
    kept: timedelta,
    now: datetime,
) -> None:
    """One line per alert, as in Slack. The summary comes last: the alerts are read while they are shown."""
    levels: Counter[Level] = Counter()
    for alert in found:
        levels[alert.highest or alert.level] += 1
        line = ended_line(alert, view, now)
        pieces = line.pieces or (line.text,)
        say("".join(people(piece.id) if isinstance(piece, Person) else piece for piece in pieces))
    text = summary(levels, wanted, back).text
    if levels:
        say(text, style="bold")
    else:
        err.print(text, markup=False, soft_wrap=True)
    if kept < back:
        kept_for = f"Ended alerts are kept for {write_duration(kept)}: history in alertbot.yaml."
        err.print(kept_for, markup=False, soft_wrap=True)


def _json_lines(table: Iterable[Row]) -> Iterator[str]:
    """A JSON list, one object per line, written while the alerts are read."""
    between = "[\n"
    for row in table:
        yield f"{between}{json.dumps(json_of(row), ensure_ascii=False)}"
        between = ",\n"
    yield "[]\n" if between == "[\n" else "\n]\n"


def _write(lines: Iterable[str]) -> None:
    """Print in UTF-8, whatever the encoding of the terminal: spreadsheets and programs read the output."""
    for line in lines:
        sys.stdout.buffer.write(line.encode("utf-8", "replace"))
    sys.stdout.buffer.flush()
