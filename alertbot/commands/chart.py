"""`chart KEY NAME [window]`: one metric of one entity over time, with its limits and alerts. PURE.

The answer is a Drawing: the shell shows its picture where it can, and its text plot otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from alertbot.alerts.alert import Fingerprint
from alertbot.charts.series import Series, chart_of
from alertbot.charts.text import PHONE_WIDTH, alerts_words, legend, plot, values_words
from alertbot.commands.command import Asker, Command, Drawing, Line, Reply
from alertbot.commands.find import Entity, entities, find, similar
from alertbot.commands.keys import NamedKey, kind_of, named_key
from alertbot.commands.live import named
from alertbot.commands.view import Recorded, View
from alertbot.commands.window import split_window
from alertbot.commands.wording import MAX_NAMES, and_more, echo, is_stale, listed, problem, since
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.match import same_name
from alertbot.rules.nouns import label
from alertbot.rules.rule import Level
from alertbot.rules.units import write_duration
from alertbot.rules.words import count

DEFAULT = timedelta(hours=6)
LONGEST = timedelta(days=8)
PLOT_HEIGHT = 8
_OF_PARENT = re.compile(r"(?P<name>.+?)\s*\((?P<parent>.+)\)\s*", re.DOTALL)
_JOINING = re.compile(r"^(of|in|for|at|by) +", re.IGNORECASE)  # as in: chart callers waiting in Sales
_PARENTED = (Scope.QUEUE_AGENT, Scope.GROUP_AGENT)


@dataclass(frozen=True)
class _Asked:
    named: NamedKey
    entity: Entity
    window: timedelta

    @property
    def scope(self) -> Scope:
        return self.entity.snapshot.scope


def chart(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    """The chart, or why there is none."""
    asked = _asked(view, command)
    if isinstance(asked, Reply):
        return asked
    entity, key = asked.entity, asked.named.key
    name = whole_name(entity, view)
    recorded = view.recorded
    if recorded is None or not any(value is not None for value in recorded.samples.values):
        return problem(
            f"No value of {label(key)} was recorded for {name} in the last {write_duration(asked.window)}.",
            "Try a longer window: add 1d." if asked.window < timedelta(days=1) else "",
        )
    series = series_of(view, entity, recorded, now)
    zone = ZoneInfo(view.timezone)
    lines = [heading(series)]
    if is_stale(entity.snapshot.at, view, now):
        stale = f"STALE: the last values are from {since(entity.snapshot.at, view, now)}."
        lines.append(Line(stale, level=Level.CRITICAL, strong=True))
    below = [Line(words) for words in (values_words(series, zone), alerts_words(series, zone)) if words]
    return Reply((*lines, drawing(series, view.timezone), *below))


def series_of(view: View, entity: Entity, recorded: Recorded, now: datetime) -> Series:
    """What was recorded of an entity since some time, with the limits of its rules and the alerts of that time."""
    fingerprint = Fingerprint(entity.tenant.name, "", entity.snapshot.scope, recorded.parent_id, entity.id)
    return chart_of(
        fingerprint,
        entity.full_name,
        recorded.key,
        view.rules.rules,
        (*view.history, *view.alerts),
        recorded.samples,
        recorded.since,
        now,
        title=whole_name(entity, view),
    )


def heading(series: Series) -> Line:
    """What a chart shows: `Longest wait: Sales EU, last 6h`."""
    return Line(f"{series.label}: {series.name}, last {write_duration(series.end - series.begin)}", strong=True)


def drawing(series: Series, timezone: str) -> Drawing:
    """A chart as a picture, or as a plot that a phone shows."""
    text = plot(series, ZoneInfo(timezone), width=PHONE_WIDTH, height=PLOT_HEIGHT)
    return Drawing(series, timezone, (*text, *legend(series)))


def recorded_of(view: View, command: Command, now: datetime) -> Recorded | None:
    """What has to be read from the recording for this command; None where it names no metric of one entity."""
    asked = _asked(view, command)
    if isinstance(asked, Reply):
        return None
    snapshot, entity = asked.entity.snapshot, asked.entity
    parent_id = snapshot.parent(entity.row)[0] if asked.scope in _PARENTED else ""
    return Recorded(entity.tenant.name, asked.scope, asked.named.key, entity.id, parent_id, now - asked.window)


def whole_name(entity: Entity, view: View) -> str:
    """The name of an entity with the queue or group of an agent, where that belongs to what is measured."""
    parent = entity.snapshot.parent(entity.row)[1] if entity.snapshot.scope in _PARENTED else ""
    return named(entity, view) + (f" ({parent})" if parent else "")


def looks_back(command: Command) -> timedelta:
    """The window of a command, before anything else of it is understood."""
    split = split_window(command.args, DEFAULT, LONGEST)
    return timedelta(0) if isinstance(split, str) else split[1]


def _asked(view: View, command: Command) -> _Asked | Reply:
    usage = f"{view.command} chart KEY NAME [window]"
    example = f"For example: {view.command} chart longest wait Sales 6h"
    if not command.args:
        return problem(f"Which metric, of which entity? {usage}", example)
    split = split_window(command.args, DEFAULT, LONGEST)
    if isinstance(split, str):
        return problem(split, usage)
    words, window = split
    key = named_key(words, view, usage) if words else problem(f"Which metric, of which entity? {usage}", example)
    if isinstance(key, Reply):
        return key
    kind = kind_of(key.key, key.scopes)
    if kind in (ValueType.TEXT, ValueType.TIMESTAMP):
        return problem(f"{key.key} cannot be drawn: its values are {'text' if kind is ValueType.TEXT else 'times'}.")
    entity = _entity(view, key, words[key.used :], usage)
    return entity if isinstance(entity, Reply) else _Asked(key, entity, window)


def _entity(view: View, key: NamedKey, words: Sequence[str], usage: str) -> Entity | Reply:
    """The one entity that these words name among those that have the key; or which there are."""
    known = [each for scope in key.scopes for each in entities(view.tenants, scope)]
    known = [each for each in known if key.key in each.snapshot.columns]
    name = " ".join(words)
    if not name:
        if len(known) == 1:
            return known[0]
        names = sorted({named(each, view) for each in known}, key=str.casefold)
        return problem(f"{label(key.key)} of which entity? {usage}", f"{count(len(names), 'name')}: {listed(names)}")
    found = find(known, name) or _of_parent(known, name) or find(known, _JOINING.sub("", name))
    if not found:
        near = dict.fromkeys(named(each, view) for each in similar(name, ((each.full_name, each) for each in known)))
        hint = (
            f"Did you mean {' or '.join(near)}?"
            if near
            else f"{count(len(known), 'entity has', 'entities have')} {key.key}."
        )
        return problem(f"No entity with {label(key.key)} is called {echo(name)}.", hint)
    first = min((each.snapshot.scope for each in found), key=key.scopes.index)
    found = [each for each in found if each.snapshot.scope is first]
    if len(found) > 1:
        return _candidates(view, name, found)
    return found[0]


def _of_parent(known: Sequence[Entity], name: str) -> list[Entity]:
    """`Anna Smith (Sales EU)`: an agent in one of her queues."""
    match = _OF_PARENT.fullmatch(name)
    if match is None:
        return []
    parent = match["parent"]
    return find([each for each in known if same_name(each.snapshot.parent(each.row)[1], parent)], match["name"])


def _candidates(view: View, name: str, found: Sequence[Entity]) -> Reply:
    shown = [whole_name(each, view) for each in found]
    if len(set(shown)) < len(shown):
        shown = [f"{text} (id {each.id})" for text, each in zip(shown, found, strict=True)]
    lines = sorted((f"• {text}" for text in shown), key=str.casefold)
    more = and_more(MAX_NAMES, len(lines))
    return problem(f"{echo(name)} matches {len(found)}:", *lines[:MAX_NAMES], *([more] if more else []))
