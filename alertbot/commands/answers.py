"""One function a subcommand, and the table of them: (view, command, asker, now) -> Reply. PURE.

A new subcommand is one function and one row of COMMANDS; `help` and the README table are made from it.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from alertbot.alerts.alert import Alert, State
from alertbot.commands.changes import acknowledge, settle, unacknowledge
from alertbot.commands.command import SHADOW_DAYS, Asker, Command, Line, Reply, Table, View
from alertbot.commands.find import find_rules, fold, nearest
from alertbot.commands.hours import hours, moved
from alertbot.commands.live import entity
from alertbot.commands.why import why
from alertbot.commands.wording import (
    MOST_ALERTS,
    MOST_NAMES,
    alert_line,
    and_more,
    count,
    echo,
    feed_line,
    listed,
    problem,
    rules_lines,
    worst_first,
)
from alertbot.rules.catalogue import Scope
from alertbot.rules.hours import Phase, watches
from alertbot.rules.match import Match
from alertbot.rules.rule import Level, NoData, Rule
from alertbot.rules.units import format_value, write_duration

__all__ = ["COMMANDS", "Subcommand", "answer", "settle"]

MOST_RULES = 40
MOST_PROBLEMS = 10

Answer = Callable[[View, Command, Asker, datetime], Reply]


@dataclass(frozen=True)
class Subcommand:
    """One row of COMMANDS. `usage` is what comes after the slash command; `help` is one sentence."""

    name: str
    usage: str
    help: str
    answer: Answer


def answer(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    """The answer to what was asked. Looks at nothing but its arguments; a change is a wish in the Reply."""
    found = _BY_NAME.get(command.name)
    if found is None:
        near = _nearest(command.name)
        hint = f"Did you mean {view.command} {near.usage}?" if near else f"There are: {', '.join(_BY_NAME)}."
        return problem(f"There is no subcommand {echo(command.name)}.", hint, f"{view.command} help says more.")
    return found.answer(view, command, asker, now)


def _nearest(name: str) -> Subcommand | None:
    begun = [each for each in COMMANDS if len(name) > 1 and each.name.startswith(name)]
    return next(iter([*begun, *nearest(name, ((each.name, each) for each in COMMANDS), count=1, cutoff=0.5)]), None)


def _help(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    if command.args:
        name = command.args[0].casefold()
        found = _BY_NAME.get(name) or _nearest(name)
        if found is None:
            return problem(f"There is no subcommand {echo(name)}.", f"There are: {', '.join(_BY_NAME)}.")
        return Reply((Line(f"{view.command} {found.usage}", code=True), Line(found.help)))
    rows = tuple((each.usage, each.help) for each in COMMANDS)
    return Reply(
        (
            Line(f"{view.command} and one of:"),
            Table(("What", "Answer"), rows),
            Line("Names may be shortened; quote them where blanks matter. Answers are for your eyes only:"),
            Line("add public at the end to share one with the channel."),
        )
    )


def _status(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    lines = [feed_line(tenant, view, now) for tenant in view.tenants] or [Line("No tenant is configured.")]
    lines.append(_firing(view))
    waiting = (
        count(view.waiting, "message or edit waits", "messages and edits wait") if view.waiting else "nothing waits"
    )
    lines.append(Line(f"To be delivered: {waiting}.", level=Level.WARNING if view.waiting else None))
    lines += rules_lines(view, now)
    problems = list(_problems(view))
    lines += [Line(f"Problem: {each}", level=Level.WARNING) for each in problems[:MOST_PROBLEMS]]
    if more := and_more(MOST_PROBLEMS, len(problems)):
        lines.append(Line(more))
    return Reply(tuple(lines))


def _firing(view: View) -> Line:
    by_level = {level: [a for a in view.alerts if a.open and a.level is level] for level in reversed(Level)}
    total = sum(map(len, by_level.values()))
    pending = sum(alert.state is State.PENDING for alert in view.alerts)
    also = f" {count(pending, 'alert is', 'alerts are')} pending." if pending else ""
    if not total:
        return Line(f"Nothing fires.{also}")
    words = ", ".join(f"{len(alerts)} {level.word}" for level, alerts in by_level.items() if alerts)
    acknowledged = sum(alert.acked_by is not None for alerts in by_level.values() for alert in alerts)
    taken = f"; {acknowledged} acknowledged" if acknowledged else ""
    worst = next(level for level, alerts in by_level.items() if alerts)
    return Line(f"{count(total, 'alert is', 'alerts are')} open: {words}{taken}.{also}", level=worst, strong=True)


def _problems(view: View) -> Iterator[str]:
    yield from view.problems
    for tenant in view.tenants:
        for scope, snapshot in tenant.snapshots.items():
            if not snapshot.complete:
                yield f"{tenant.name}: the last answer about {scope} is partial."
            yield from (f"{tenant.name}: {scope}: {each}" for each in snapshot.problems)


def _alerts(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    terms = [arg for arg in command.args if _LABEL.match(arg)]
    words = " ".join(arg for arg in command.args if arg not in terms)
    wanted = " ".join(command.args)
    alerts = worst_first(
        [alert for alert in view.alerts if (not words or _is_about(alert, words)) and _has_labels(alert, terms)]
    )
    opened = [alert for alert in alerts if alert.open]
    pending = len(alerts) - len(opened)
    about = f" of {echo(wanted)}" if wanted else ""
    lines = [Line(f"{count(len(opened), 'open alert') if opened else 'No open alert'}{about}.", strong=True)]
    lines += [alert_line(alert, view, now) for alert in opened[:MOST_ALERTS]]
    if more := and_more(MOST_ALERTS, len(opened)):
        lines.append(Line(f"{more}; {view.command} alerts RULE or NAME narrows it down"))
    if pending:
        lines.append(Line(f"{count(pending, 'alert is', 'alerts are')} pending: told when the condition lasts."))
    blind = [feed_line(tenant, view, now) for tenant in view.tenants]
    lines += [each for each in blind if each.level is not None]  # "no alert" of a blind bot is no good news
    return Reply(tuple(lines))


def _is_about(alert: Alert, wanted: str) -> bool:
    if alert.key.rule == wanted or f"#{alert.id}" == wanted or alert.key.entity_id == wanted:
        return True
    names = (alert.key.rule, alert.about.title, alert.entity_name, alert.parent_name)
    return any(fold(wanted) in fold(name) for name in names)


_LABEL = re.compile(r"label\.([^=]+)=(.*)", re.DOTALL)


def _has_labels(alert: Alert, terms: list[str]) -> bool:
    """Whether it has the label of every `label.NAME=VALUE`; values are globs, without regard to case."""
    labels = alert.about.labels
    pairs = [found.groups() for term in terms if (found := _LABEL.match(term))]
    return all(name in labels and fnmatch.fnmatchcase(fold(labels[name]), fold(value)) for name, value in pairs)


def _rules(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    rules = view.rules.rules
    if not command.args:
        if not rules:
            return Reply((Line("There are no rules."),))
        shown = sorted(rules, key=lambda rule: (-_open_of(view, rule), rule.id))[:MOST_RULES]
        rows = tuple((rule.id, rule.scope.value, _levels(rule), _open_now(view, rule)) for rule in shown)
        more = and_more(len(shown), len(rules))
        return Reply(
            (
                *rules_lines(view, now),
                Table(("Rule", "Looks at", "Levels", "Open"), rows),
                *([Line(more)] if more else []),
                Line(f"{view.command} rules ID shows what one says."),
            )
        )
    wanted = " ".join(command.args)
    found = find_rules(rules, wanted)
    if len(found) == 1:
        return Reply(tuple(_what_it_says(view, found[0], now)))
    if found:
        ids = [rule.id for rule in found]
        return problem(f"{echo(wanted)} may be any of {len(found)} rules:", listed(ids))
    near = nearest(wanted, [(name, rule.id) for rule in rules for name in (rule.id, rule.title)])
    hint = f"Did you mean {' or '.join(dict.fromkeys(near))}?" if near else f"{view.command} rules lists them."
    return problem(f"There is no rule {echo(wanted)}.", hint)


def _open_of(view: View, rule: Rule) -> int:
    return sum(alert.open and alert.key.rule == rule.id for alert in view.alerts)


def _open_now(view: View, rule: Rule) -> str:
    told = str(_open_of(view, rule) or "")
    if not rule.shadow:
        return told
    would = sum(alert.open and alert.key.rule == rule.id for alert in view.shadows)
    return f"{told} in shadow, {would} would be".strip()


def _levels(rule: Rule) -> str:
    return ", ".join(each.level.word for each in reversed(rule.levels))


_NO_DATA = {
    NoData.KEEP: "Without data nothing changes.",
    NoData.CLEAR: "Without data it counts as clear.",
    NoData.FIRE: "Without data it fires.",
}


def _what_it_says(view: View, rule: Rule, now: datetime) -> Iterator[Line | Table]:
    yield Line(f"{rule.title} ({rule.id})", strong=True)
    yield Line(f"Looks at: {_looks_at(rule)}")
    if rule.guard is not None:
        yield Line(f"only while {rule.guard_text}", code=True)
    for each in reversed(rule.levels):
        hold = f" for {write_duration(each.hold)}" if each.hold else ""
        yield Line(f"{each.level.word} when {each.text}{hold}", level=each.level, code=True)
    if rule.clear is not None:
        yield Line(f"clear when {rule.clear_text}", code=True)
    if rule.params:
        zone = ZoneInfo(view.timezone)
        shown = [f"${name} = {format_value(each.value, each.type, zone)}" for name, each in rule.params.items()]
        own = f"; {count(len(rule.overrides), 'override')} for some entities" if rule.overrides else ""
        yield Line(", ".join(shown) + own)
    if rule.keep_firing_for:
        yield Line(f"It must stay clear for {write_duration(rule.keep_firing_for)} before it resolves.")
    yield Line(_NO_DATA[rule.no_data])
    yield from _when_it_tells(view, rule, now)
    channels = ", ".join(f"{level.word}: {name}" for level, name in sorted(rule.channels.items(), reverse=True))
    if not rule.shadow:
        yield Line(f"Told in {channels or 'the default channel'}.")
    if rule.runbook:
        yield Line(f"Runbook: {rule.runbook}")
    if rule.origin.file:
        yield Line(f"Written in {rule.origin.file}, line {rule.origin.line}.")
    alerts = worst_first([alert for alert in view.alerts if alert.open and alert.key.rule == rule.id])
    if alerts or not rule.shadow:
        yield Line(f"Open now: {len(alerts) or 'nothing'}", strong=True)
    for alert in alerts[:MOST_NAMES]:
        yield alert_line(alert, view, now)
    if more := and_more(MOST_NAMES, len(alerts)):
        yield Line(more)


_LOOKS = {
    Phase.OPEN: "It looks now.",
    Phase.GRACE: "It is within grace now, and decides nothing.",
    Phase.CLOSED: "It does not look now.",
}


def _when_it_tells(view: View, rule: Rule, now: datetime) -> Iterator[Line]:
    """Hours, what suppresses it, labels, and what it would have told where it only watches."""
    for word, used in (("during", rule.during), ("outside", rule.outside)):
        if used is not None:
            yield Line(f"It looks only {word} {used.calendar.name}{moved(used)}.")
    if rule.during is not None or rule.outside is not None:
        yield Line(_LOOKS[watches(rule.during, rule.outside, now)])
    if rule.suppressed_by:
        yield Line(f"Not told while {' or '.join(rule.suppressed_by)} fires for the same {rule.scope}.")
    if rule.labels:
        yield Line("Labels: " + ", ".join(f"{name}={value}" for name, value in sorted(rule.labels.items())))
    if rule.shadow:
        fired = view.shadow_fired.get(rule.id, {})
        times = count(sum(fired.values()), "time")
        yield Line(f"In shadow: told to nobody. It would have fired {times} in {SHADOW_DAYS} days.", strong=True)
        if fired:
            yield Line(f"Most of all: {listed([f'{name} ({times})' for name, times in fired.items()])}")
        for alert in worst_first([each for each in view.shadows if each.open and each.key.rule == rule.id])[
            :MOST_NAMES
        ]:
            yield alert_line(alert, view, now)


def _looks_at(rule: Rule) -> str:
    match: Match = rule.match
    only = [*(f"name {each}" for each in match.names), *(f"id {each}" for each in match.ids)]
    never = [*(f"name {each}" for each in match.exclude_names), *(f"id {each}" for each in match.exclude_ids)]
    text = f"{rule.scope}: {', '.join(only) if only else 'all'}"
    return f"{text}; not {', '.join(never)}" if never else text


def _entity(scope: Scope, view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    return entity(view, command, scope, now)


def _hours(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    return hours(view, command, now)


def _why(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    return why(view, command, now)


def _ack(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    return acknowledge(view, command, asker)


def _unack(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    return unacknowledge(view, command, asker)


COMMANDS: tuple[Subcommand, ...] = (
    Subcommand("help", "help [subcommand]", "What can be asked.", _help),
    Subcommand("status", "status", "How fresh the values are, what fires, what waits, what is wrong.", _status),
    Subcommand(
        "alerts",
        "alerts [rule or name] [label.NAME=VALUE]",
        "Open alerts with value, since when, and who has them.",
        _alerts,
    ),
    Subcommand("queue", "queue NAME", "A queue's values now, and its alerts.", partial(_entity, Scope.QUEUE)),
    Subcommand("group", "group NAME", "A group's values now, and its alerts.", partial(_entity, Scope.GROUP)),
    Subcommand("agent", "agent NAME", "An agent's values now, and their alerts.", partial(_entity, Scope.AGENT)),
    Subcommand("rules", "rules [id]", "What is watched; with an id, what that rule says.", _rules),
    Subcommand("hours", "hours [NAME]", "Opening hours: open or closed now, and when that changes.", _hours),
    Subcommand("why", "why RULE NAME", "The last decision about that entity, term by term, with values.", _why),
    Subcommand("ack", "ack ID [note]", "Take an alert: who has it is shown to all on its card.", _ack),
    Subcommand("unack", "unack ID", "Give an alert back.", _unack),
)
_BY_NAME = {each.name: each for each in COMMANDS}
