"""`why RULE NAME`: the last decision about one entity, term by term, with what every term was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from alertbot.alerts.alert import Alert, Fingerprint, Reason, State
from alertbot.alerts.transition import MISSED_LIMIT
from alertbot.commands.changes import named_id
from alertbot.commands.command import Asker, Command, Line, Person, Reply, line
from alertbot.commands.find import Entity, entities, find, find_rules, loose, similar
from alertbot.commands.live import missing, named
from alertbot.commands.silences import silencing
from alertbot.commands.view import View
from alertbot.commands.wording import (
    MAX_NAMES,
    age,
    and_more,
    clock,
    echo,
    figure,
    is_stale,
    listed,
    problem,
    since,
    where,
)
from alertbot.evaluation.evaluate import Truth, agents_of
from alertbot.evaluation.explain import Explanation, Term, explain
from alertbot.evaluation.usual import needed_weeks
from alertbot.rules.catalogue import ValueType
from alertbot.rules.hours import Hours, Phase, next_change, watches
from alertbot.rules.rule import Level, LevelRule, Rule
from alertbot.rules.units import format_duration, format_value, write_duration
from alertbot.rules.words import count

_WORDS = {Truth.TRUE: "true", Truth.FALSE: "false", Truth.UNKNOWN: "unknown"}
_MAX_CONDITION_LINES = 40


def why(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    """The answer to `why RULE NAME`, or to `why ID` for an alert that has not ended."""
    usage = f"{view.command} why RULE NAME"
    if not command.args:
        return problem(f"Which rule? {usage}", f"{view.command} rules lists the rules.")
    number = named_id(command)
    if number is not None:
        return _by_id(view, number, now)
    rules = find_rules(view.rules.rules, command.args[0])
    if not rules:
        near = similar(command.args[0], [(rule.id, rule.id) for rule in view.rules.rules])
        hint = f"Did you mean {' or '.join(near)}?" if near else f"{view.command} rules lists them."
        return problem(f"There is no rule {echo(command.args[0])}.", hint)
    if len(rules) > 1:
        return problem(f"{echo(command.args[0])} matches several rules:", listed([rule.id for rule in rules]))
    return _by_name(view, rules[0], " ".join(command.args[1:]), now)


def decision(view: View, rule: Rule, entity: Fingerprint, now: datetime) -> Reply | None:
    """The last decision of a rule about the entity with these ids; None where no poll and no open alert has it.

    The rule of the fingerprint does not matter.
    """
    key = entity._replace(rule=rule.id)
    alert = next((each for each in (*view.alerts, *view.shadows) if each.key == key), None)
    found = next((each for each in _of_rule(view, rule) if fingerprint(each)._replace(rule=rule.id) == key), None)
    if alert is None and found is None:
        return None
    return Reply(tuple(_shown(view, rule, found, alert, now)))


def named_by_why(command: Command, rules: Sequence[Rule], alerts: Sequence[Alert]) -> Sequence[Rule]:
    """The one rule that the command is about; () where it names none, or may mean several."""
    if not command.args:
        return ()
    number = named_id(command)
    if number is not None:
        ids = {alert.key.rule for alert in alerts if alert.id == number}
        return [rule for rule in rules if rule.id in ids]
    matching = find_rules(rules, command.args[0])
    return matching if len(matching) == 1 else ()


def _by_id(view: View, number: int, now: datetime) -> Reply:
    alert = next((each for each in (*view.alerts, *view.shadows) if each.id == number), None)
    if alert is None and view.ended is not None:
        return _ended(view, view.ended, now)
    if alert is None:
        return problem(f"There is no alert #{number}.", f"{view.command} alerts lists what is open.")
    rule = view.rules.by_id(alert.key.rule)
    if rule is None:
        return problem(f"#{number} belongs to the rule {alert.key.rule}, which is not in the rule files.")
    found = next((each for each in _of_rule(view, rule) if _is_of(alert, each)), None)
    return Reply(tuple(_shown(view, rule, found, alert, now)))


_ENDINGS = {
    Reason.RESOLVED: "its condition had cleared",
    Reason.NO_LONGER_REPORTED: "8x8 no longer reported it",
    Reason.RULE_REMOVED: "its rule was removed",
    Reason.OUTSIDE_HOURS: "the hours of its rule had ended",
    Reason.CLOSED_BY_HAND: "it was closed by hand",
}


def _ended(view: View, alert: Alert, now: datetime) -> Reply:
    """When an alert ended, why, and what it was: there is no decision about it any more."""
    assert alert.ended_at is not None
    began = alert.fired_at or alert.pending_since
    lasted = f" after {age(began, alert.ended_at)}" if began is not None else ""
    why = f": {_ENDINGS[alert.end_reason]}" if alert.end_reason in _ENDINGS else ""
    lines = [
        Line(f"#{alert.id} {where(alert, view)} · {alert.about.title}", strong=True),
        Line(f"It ended at {clock(alert.ended_at, view.timezone, now)}{lasted}{why}."),
    ]
    if alert.peak is not None and alert.measure is not None:
        worst = figure(alert.peak, alert.measure.type, ZoneInfo(view.timezone))
        lines.append(Line(f"{(alert.highest or alert.level).word.capitalize()}; worst value {worst}."))
    if alert.acked_by:
        lines.append(line("It was acknowledged by ", Person(alert.acked_by), "."))
    if alert.closed_by:
        lines.append(
            line("It was closed by ", Person(alert.closed_by), f": {alert.close_note}" if alert.close_note else ".")
        )
    return Reply(tuple(lines))


def _by_name(view: View, rule: Rule, name: str, now: datetime) -> Reply:
    known = _of_rule(view, rule)
    if not known:
        return problem(f"No {rule.scope} has been seen yet, so {rule.id} has made no decision.")
    if not name and len(known) > 1:
        opened = [alert.name for alert in view.alerts if alert.key.rule == rule.id]
        names = sorted({named(each, view) for each in known}, key=str.casefold)
        hint = f"It has alerts of {listed(opened)}." if opened else f"{count(len(names), 'name')}: {listed(names)}"
        return problem(f"Which {rule.scope}? {view.command} why {rule.id} NAME", hint)
    found = find(known, name) if name else known
    if not found:
        near = similar(name, [(each.full_name, named(each, view)) for each in known])
        gone = [alert for alert in view.alerts if alert.key.rule == rule.id and _is_called(alert, name)]
        if gone:
            return Reply(tuple(_shown(view, rule, None, gone[0], now)))
        hint = f"Did you mean {' or '.join(near)}?" if near else f"{len(known)} are known."
        return problem(f"No {rule.scope} is called {echo(name)}.", hint)
    if len(found) > 1:
        names = [_with_parent(each, view) for each in found]
        more = and_more(MAX_NAMES, len(names))
        listing = [f"• {each}" for each in names[:MAX_NAMES]] + ([more] if more else [])
        return problem(f"{echo(name)} matches {len(found)}:", *listing)
    alert = next((each for each in (*view.alerts, *view.shadows) if _is_rules(each, rule, found[0])), None)
    return Reply(tuple(_shown(view, rule, found[0], alert, now)))


def _is_called(alert: Alert, name: str) -> bool:
    return any(loose(name) in loose(each) for each in (alert.entity_name, alert.name))


def _of_rule(view: View, rule: Rule) -> list[Entity]:
    return entities(view.tenants, rule.scope)


def _with_parent(found: Entity, view: View) -> str:
    parent = found.snapshot.parent(found.row)[1]
    return f"{named(found, view)}{f' ({parent})' if parent else ''}, id {found.id}"


def fingerprint(found: Entity) -> Fingerprint:
    """The fingerprint of an entity, without a rule."""
    return Fingerprint(found.tenant.name, "", found.snapshot.scope, found.snapshot.parent(found.row)[0], found.id)


def _is_of(alert: Alert, found: Entity) -> bool:
    return alert.key._replace(rule="") == fingerprint(found)


def _is_rules(alert: Alert, rule: Rule, found: Entity) -> bool:
    return alert.key.rule == rule.id and _is_of(alert, found)


def _shown(view: View, rule: Rule, found: Entity | None, alert: Alert | None, now: datetime) -> Iterator[Line]:
    name = _with_parent(found, view) if found is not None else alert.name if alert is not None else ""
    yield Line(f"{rule.title} ({rule.id}): {name}", strong=True)
    yield _standing(rule, alert, view, now)
    latched = [each for each in view.latched if found is not None and _is_rules(each, rule, found)]
    if alert is None and latched:
        yield _latched(latched[-1], view, now)
    if found is None:
        missed = f" ({alert.missed} of {MISSED_LIMIT} polls that end it)" if alert is not None and alert.missed else ""
        yield Line(f"It was not in the last poll{missed}, so all of it is unknown.")
        if alert is not None:
            yield from silencing(view, rule, alert, alert.key.tenant, alert.entity_name, now)
        return
    snapshot = found.snapshot
    stale = is_stale(snapshot.at, view, now)
    partial = "" if snapshot.complete else "; that poll was partial"
    yield Line(f"{'STALE: ' if stale else ''}Based on values from {age(snapshot.at, now)} ago{partial}:")
    agents = agents_of(snapshot, found.tenant.snapshots)
    explanation = explain(rule, snapshot, found.row, agents=agents, past=found.tenant.past)
    if not explanation.covered:
        yield Line("The rule does not cover it: see its match, and ignore in alertbot.yaml.")
        return
    yield from _hours(rule, view, snapshot.at, now)
    yield from _conditions(rule, explanation, alert, view, now)
    yield from _muted(rule, alert)
    yield from silencing(view, rule, alert, found.tenant.name, found.full_name, now)


def _standing(rule: Rule, alert: Alert | None, view: View, now: datetime) -> Line:
    if alert is None:
        return Line("inactive")
    number = f"#{alert.id} " if alert.id is not None else ""
    began = {State.PENDING: alert.pending_since, State.RECOVERING: alert.recovering_since}.get(
        alert.state, alert.fired_at
    )
    text = f"{number}{alert.state} {alert.level.word}" + (f" since {since(began, view, now)}" if began else "")
    return Line(text, level=alert.level, recovering=alert.state is State.RECOVERING)


def _latched(alert: Alert, view: View, now: datetime) -> Line:
    """Why nothing fires although the condition holds."""
    at = f" at {clock(alert.ended_at, view.timezone, now)}" if alert.ended_at is not None else ""
    note = f": {alert.close_note}." if alert.close_note else "."
    return line(
        f"#{alert.id} was closed{at} by ",
        Person(alert.closed_by),
        f"{note} It fires again only after its condition has been false.",
        level=Level.WARNING,
    )


def _conditions(rule: Rule, explanation: Explanation, alert: Alert | None, view: View, now: datetime) -> Iterator[Line]:
    zone = ZoneInfo(view.timezone)
    if explanation.guard is not None:
        decides = "" if explanation.guard.truth is Truth.TRUE else ", so nothing is decided"
        yield Line(f"guard: {_truth(explanation.guard)}{decides}")
        yield from _terms(explanation.guard, zone)
    for each in reversed(rule.levels):
        term = explanation.levels[each.level]
        marked = each.level if term.truth is Truth.TRUE else None  # red is for what is the case
        yield Line(f"{each.level.word}: {_truth(term)}{_holds(each, alert, term, now)}", level=marked)
        yield from _terms(term, zone)
    if explanation.clear is not None:
        yield Line(f"clear: {_truth(explanation.clear)}")
        yield from _terms(explanation.clear, zone)
    if alert is not None and alert.recovering_since is not None and rule.keep_firing_for:
        left = rule.keep_firing_for - (now - alert.recovering_since)
        yield Line(f"It ends when it has been clear for {write_duration(rule.keep_firing_for)}: {_left(left)}.")
    if any(term.truth is Truth.UNKNOWN for term in explanation.levels.values()):
        does = {"keep": "nothing changes", "clear": "it counts as clear", "fire": "it fires"}[rule.no_data.value]
        yield Line(f"While a level is unknown, {does} (no_data: {rule.no_data.value}).")


def _holds(each: LevelRule, alert: Alert | None, term: Term, now: datetime) -> str:
    """How long a condition has held, of how long it must; what is left where the level is still to come."""
    began = alert.since.get(each.level) if alert is not None else None
    if alert is None or began is None or term.truth is Truth.FALSE:
        return f", must hold for {write_duration(each.hold)}" if each.hold else ""
    left = each.hold - (now - began)
    if left <= timedelta(0):
        return f", held {age(began, now)}"
    to_come = alert.state is State.PENDING or each.level > alert.level
    return f", held {age(began, now)} of {write_duration(each.hold)}" + (f": {_left(left)}" if to_come else "")


def _left(left: timedelta) -> str:
    seconds = max(timedelta(seconds=round(left.total_seconds())), timedelta(0))
    return f"{format_duration(seconds)} left"


def truth_word(truth: Truth) -> str:
    """`true`, `false` or `unknown`."""
    return _WORDS[truth]


def _truth(term: Term) -> str:
    return _WORDS[term.truth if term.truth is not None else Truth.UNKNOWN]


def _terms(term: Term, zone: ZoneInfo) -> Iterator[Line]:
    """One line a comparison, those of `and`, `or` and `not` indented below them."""
    lines = list(_tree(term, zone, 1))
    yield from lines[:_MAX_CONDITION_LINES]
    if more := and_more(_MAX_CONDITION_LINES, len(lines)):
        yield Line(f"    {more}", code=True)


def _tree(term: Term, zone: ZoneInfo, depth: int) -> Iterator[Line]:
    inner = [part for part in term.parts if part.truth is not None]
    values = "" if inner else _values(term, zone)
    yield Line(f"{'  ' * depth}{_truth(term):<7} {term.text}{values}", code=True)
    for part in inner:
        yield from _tree(part, zone, depth + 1)


def _values(term: Term, zone: ZoneInfo) -> str:
    said = dict.fromkeys(f"{leaf.text} is {_value(leaf, zone)}" for leaf in _leaves(term))
    return f"   [{', '.join(said)}]" if said else ""


def _leaves(term: Term) -> Iterator[Term]:
    """What has a value that cannot be read off the condition: keys, parameters, windows, counts, and their results."""
    for part in term.parts:
        if part.parts:
            yield from _leaves(part)
            if part.truth is None:  # arithmetic: a quotient that is compared with 25% is shown as a percentage
                as_ratio = any(other.type is ValueType.RATIO for other in term.parts)
                yield replace(part, type=ValueType.RATIO) if as_ratio and part.type is ValueType.NUMBER else part
        elif part.presence is not None or part.text.startswith("$") or "(" in part.text:
            yield part


def _value(leaf: Term, zone: ZoneInfo) -> str:
    if leaf.value is None and leaf.bounds is not None and leaf.type is not None:
        low, high = (format_value(end, leaf.type, zone) for end in leaf.bounds)
        return f"{low} to {high} (some agents have no data)"
    if leaf.weeks is not None:
        return _usual(leaf, leaf.weeks, zone)
    if leaf.value is None:
        return missing(leaf.presence) if leaf.presence is not None else "unknown"
    if isinstance(leaf.value, str) or leaf.type is None:
        return str(leaf.value)
    return format_value(leaf.value, leaf.type, zone)


def _usual(leaf: Term, weeks: int, zone: ZoneInfo) -> str:
    """The usual value, and how many weeks are known."""
    known = f"{weeks} of {count(leaf.of_weeks, 'week')} known"
    if not isinstance(leaf.value, float) or leaf.type is None:
        return f"unknown ({known}, {needed_weeks(leaf.of_weeks)} needed)"
    return f"{format_value(leaf.value, leaf.type, zone)} ({known})"


def _hours(rule: Rule, view: View, at: datetime, now: datetime) -> Iterator[Line]:
    for word, used in (("during", rule.during), ("outside", rule.outside)):
        if used is not None:
            yield Line(f"{word} {used}{_changes(used, now)}")
    phase = watches(rule.during, rule.outside, at)
    if phase is Phase.CLOSED:
        yield Line("The rule is not active at this time.")
    elif phase is Phase.GRACE:
        yield Line("Within the grace period of its hours no decision is made.")


def _changes(used: Hours, now: datetime) -> str:
    moment = next_change(used.calendar, now)
    return f" (changes {clock(moment, used.calendar.timezone, now)})" if moment is not None else ""


def _muted(rule: Rule, alert: Alert | None) -> Iterator[Line]:
    if rule.shadow:
        yield Line("The rule is in shadow: it is not reported.")
    if alert is not None and alert.suppressor is not None:
        yield Line(f"Suppressed by {alert.suppressor.rule}, which is firing for it: tracked, not reported.")
    elif rule.suppressed_by:
        yield Line(f"Not suppressed: {listed(list(rule.suppressed_by))} would suppress it while firing.")
    if alert is not None and alert.acked_by:
        yield line("Acknowledged by ", Person(alert.acked_by), f": {alert.ack_note}" if alert.ack_note else "")
