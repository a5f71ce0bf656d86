"""`rules [id]`: the rules that run, and what one of them says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from alertbot.alerts.alert import Alert
from alertbot.commands.command import Asker, Command, Line, Person, Reply, Table, line
from alertbot.commands.find import find_rules, similar
from alertbot.commands.hours import moved
from alertbot.commands.silences import muting
from alertbot.commands.view import SHADOW_DAYS, View
from alertbot.commands.wording import MAX_NAMES, alert_line, and_more, echo, listed, problem, rules_lines, worst_first
from alertbot.rules.coverage import advice, match_in_words
from alertbot.rules.hours import Phase, watches
from alertbot.rules.rule import GroupBy, Level, NoData, Rule
from alertbot.rules.units import format_value, write_duration
from alertbot.rules.words import count
from alertbot.rules.words import listed as either

MAX_RULES = 40
MAX_VALUES = 12


def rules(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    """All rules in a line each; with an id or a title, what that rule says."""
    running = view.rules.rules
    if not command.args:
        if not running:
            return Reply((Line("There are no rules."),))
        shown = sorted(running, key=lambda rule: (-_open_of(view, rule), rule.id))[:MAX_RULES]
        rows = tuple((rule.id, rule.scope.value, levels_of(rule), open_now(view, rule)) for rule in shown)
        more = and_more(len(shown), len(running))
        return Reply(
            (
                *rules_lines(view, now),
                Table(("Rule", "Scope", "Level", "Open"), rows),
                *([Line(more)] if more else []),
                Line(f"{view.command} rules ID shows one in full."),
            )
        )
    wanted = " ".join(command.args)
    matching = find_rules(running, wanted)
    if len(matching) == 1:
        return Reply(tuple(rule_text(view, matching[0], now)))
    if matching:
        ids = [rule.id for rule in matching]
        return problem(f"{echo(wanted)} matches {len(matching)} rules:", listed(ids))
    near = similar(wanted, [(name, rule.id) for rule in running for name in (rule.id, rule.title)])
    hint = f"Did you mean {' or '.join(dict.fromkeys(near))}?" if near else f"{view.command} rules lists them."
    return problem(f"There is no rule {echo(wanted)}.", hint)


def named_by_rules(command: Command, rules: Sequence[Rule], alerts: Sequence[Alert]) -> Sequence[Rule]:
    """The one rule that the command is about; () where it names none, or may mean several."""
    matching = find_rules(rules, " ".join(command.args)) if command.args else []
    return matching if len(matching) == 1 else ()


def _open_of(view: View, rule: Rule) -> int:
    return sum(alert.open and alert.key.rule == rule.id for alert in view.alerts)


def open_now(view: View, rule: Rule) -> str:
    """How many alerts of a rule are open, in words; of a shadow rule, how many would be."""
    open_now = str(_open_of(view, rule) or "")
    if not rule.shadow:
        return open_now
    would = sum(alert.open and alert.key.rule == rule.id for alert in view.shadows)
    return f"{open_now} in shadow, {would} would be".strip()


def levels_of(rule: Rule) -> str:
    """`critical or warning`."""
    return either([each.level.word for each in reversed(rule.levels)], "or")


_NO_DATA = {
    NoData.KEEP: "Without data nothing changes.",
    NoData.CLEAR: "Without data it counts as clear.",
    NoData.FIRE: "Without data it fires.",
}


_GROUP_BY = {
    GroupBy.ENTITY: "",
    GroupBy.RULE: " All alerts of the rule share one card.",
    GroupBy.PARENT: " Alerts of the same queue or group share one card.",
}


def _while_unowned(rule: Rule) -> Iterator[Line]:
    """`remind` and `escalate` in words."""
    if rule.remind is not None:
        every, most = write_duration(rule.remind.every), rule.remind.most
        more = f", then at intervals that double up to {write_duration(most)}" if most is not None else ""
        yield Line(f"Reminder {'after' if more else 'every'} {every}{more}, while it fires and is not acknowledged.")
    for step in rule.escalate:
        channels = f"in {listed(step.channels)}" if step.channels else "in the channels of the rule"
        pieces: list[str | Person] = [f"Escalated {channels}", *_mentioned(step.mention)]
        pieces.append(f" if it is not acknowledged {write_duration(step.after)} after it fired.")
        yield line(*pieces)


def _mentioned(mentions: Sequence[str]) -> Iterator[str | Person]:
    """`, mentioning @ann and @here`: users as people, whom only the shell draws, and other mentions in words."""
    for index, mention in enumerate(mentions):
        yield ", mentioning " if not index else " and " if index == len(mentions) - 1 else ", "
        inside = mention.strip("<>")
        if inside.startswith("@"):
            yield Person(inside[1:])
        elif inside.startswith("!subteam^"):
            yield f"user group {inside.removeprefix('!subteam^')}"
        else:
            yield f"@{inside[1:]}"


def rule_text(view: View, rule: Rule, now: datetime) -> Iterator[Line | Table]:
    """What a rule says: what it covers, its conditions, when and where it is reported, and its open alerts."""
    yield Line(f"{rule.title} ({rule.id})", strong=True)
    yield Line(f"Covers: {rule.scope}: {match_in_words(rule.match)}")
    yield from _uncovered(view, rule)
    if rule.guard is not None:
        yield Line(f"only while {rule.guard_text}", code=True)
    for each in reversed(rule.levels):
        hold = f" for {write_duration(each.hold)}" if each.hold else ""
        yield Line(f"{each.level.word} when {each.text}{hold}", level=each.level, code=True)
    if rule.clear is not None:
        yield Line(f"clear when {rule.clear_text}", code=True)
    for key, values in view.text_values.get(rule.id, {}).items():
        yield Line(f"Values of {key} in the last poll: {listed(values, MAX_VALUES)}")
    if rule.params:
        zone = ZoneInfo(view.timezone)
        shown = [f"${name} = {format_value(each.value, each.type, zone)}" for name, each in rule.params.items()]
        own = f"; {count(len(rule.overrides), 'override')} for some entities" if rule.overrides else ""
        yield Line(", ".join(shown) + own)
    if rule.keep_firing_for:
        yield Line(f"It must stay clear for {write_duration(rule.keep_firing_for)} before it resolves.")
    yield Line(_NO_DATA[rule.no_data])
    yield from _when_reported(view, rule, now)
    channels = "; ".join(
        f"{level.word}: {', '.join(names)}" for level, names in sorted(rule.channels.items(), reverse=True)
    )
    if not rule.shadow:
        yield Line(f"Reported in {channels or 'the default channel'}.{_GROUP_BY[rule.group_by]}")
        yield from _while_unowned(rule)
    if rule.runbook:
        yield Line(f"Runbook: {rule.runbook}")
    if rule.origin.file:
        yield Line(f"Defined in {rule.origin.file}, line {rule.origin.line}.")
    alerts = worst_first([alert for alert in view.alerts if alert.open and alert.key.rule == rule.id])
    if alerts or not rule.shadow:
        yield Line(f"Open now: {len(alerts) or 'nothing'}", strong=True)
    for alert in alerts[:MAX_NAMES]:
        yield alert_line(alert, view, now)
    if more := and_more(MAX_NAMES, len(alerts)):
        yield Line(more)


_ACTIVE = {
    Phase.OPEN: "It is active now.",
    Phase.GRACE: "It is within its grace period now and makes no decision.",
    Phase.CLOSED: "It is not active now.",
}


def _when_reported(view: View, rule: Rule, now: datetime) -> Iterator[Line]:
    """Hours, what suppresses it, labels, and for a shadow rule what it would have reported."""
    for word, used in (("during", rule.during), ("outside", rule.outside)):
        if used is not None:
            yield Line(f"Active only {word} {used.calendar.name}{moved(used)}.")
    if rule.during is not None or rule.outside is not None:
        yield Line(_ACTIVE[watches(rule.during, rule.outside, now)])
    if rule.suppressed_by:
        yield Line(f"Not reported while {' or '.join(rule.suppressed_by)} fires for the same {rule.scope}.")
    yield from muting(view, rule, now)
    if rule.labels:
        yield Line("Labels: " + ", ".join(f"{name}={value}" for name, value in sorted(rule.labels.items())))
    if rule.shadow:
        fired = view.shadow_fired.get(rule.id, {})
        times = count(sum(fired.values()), "time")
        yield Line(f"In shadow: not reported. It would have fired {times} in {SHADOW_DAYS} days.", strong=True)
        if fired:
            yield Line(f"Most often: {listed([f'{name} ({times})' for name, times in fired.items()])}")
        shadows = [alert for alert in view.shadows if alert.open and alert.key.rule == rule.id]
        for alert in worst_first(shadows)[:MAX_NAMES]:
            yield alert_line(alert, view, now)


def _uncovered(view: View, rule: Rule) -> Iterator[Line]:
    """A line for each match of the rule and its overrides that covers nothing."""
    for match in view.uncovered.get(rule.id, ()):
        whose = "Its match" if match == rule.match else f"Its override for {match_in_words(match)}"
        yield Line(f"{whose} covers no {rule.scope} of the last poll ({advice(match)}).", level=Level.WARNING)
