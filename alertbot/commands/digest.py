"""`digest [window]`: alert quality over a window, with what to do about each finding. PURE.

A digest is made once (`digest_of`) and shown in three ways: as the answer in Slack, in a terminal, and as messages that
are sent (`messages`): one that fits a phone, with the rest in its thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from alertbot.alerts.alert import Alert
from alertbot.alerts.quality import Fired, Interval, Quality
from alertbot.commands.command import Asker, Command, Line, Reply
from alertbot.commands.view import View
from alertbot.commands.window import split_window
from alertbot.commands.wording import clock, problem
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.coverage import match_in_words
from alertbot.rules.plain import one_line
from alertbot.rules.rule import Rule
from alertbot.rules.tree import Compare, Op, walk
from alertbot.rules.units import format_duration, write_duration
from alertbot.rules.words import count

DEFAULT = timedelta(days=7)
LONGEST = timedelta(days=366)
MAX_MESSAGE = 2_900
"""The maximum number of characters of a message that is sent, as Slack counts them: its limit for a text is 3,000."""
MAX_THREAD = 10
"""The maximum number of messages in the thread of a digest."""
MAX_ANSWERED = 5
MAX_ITEMS = 30
"""The maximum number of items of a finding: in the answer, and in the terminal and in the thread."""
_IDS_A_LINE = 4
_SHORTER = (3, 2, 1)  # items of a finding in the message that is sent: as many as fit
_LONG_OPEN = timedelta(days=1)
_MAX_NAME = 60
_FEW = 3  # fewer alerts without an owner say nothing about their rule
_LIMITS = frozenset({Op.GT, Op.GE, Op.LT, Op.LE})


class Kind(StrEnum):
    """What a finding is about."""

    NOISY_RULES = "noisy_rules"
    NOISY_ENTITIES = "noisy_entities"
    IGNORED = "never_acknowledged"
    BRIEF = "ended_within_a_minute"
    FLAPPING = "flapping"
    REMINDED = "reminded_or_escalated"
    ACKNOWLEDGED = "time_to_acknowledge"
    OPEN = "open_for_over_a_day"
    SHADOW = "in_shadow"
    NO_DATA = "time_without_data"
    QUIET = "never_fired"
    UNCOVERED = "matches_nothing"


_HEADINGS: Mapping[Kind, str] = {
    Kind.NOISY_RULES: "Fired most: rules",
    Kind.NOISY_ENTITIES: "Fired most: entities",
    Kind.IGNORED: "Never acknowledged",
    Kind.BRIEF: "Ended within a minute",
    Kind.FLAPPING: "Flapping",
    Kind.REMINDED: "Reminded or escalated",
    Kind.ACKNOWLEDGED: "Time to acknowledge",
    Kind.OPEN: "Open for over a day",
    Kind.SHADOW: "In shadow",
    Kind.NO_DATA: "Without data",
    Kind.QUIET: "Rules that never fired",
    Kind.UNCOVERED: "Rules that match nothing",
}


@dataclass(frozen=True)
class Item:
    """One line of a finding, and the same as values for JSON. `rule`: which one `tune` can help with; "": none."""

    text: str
    facts: Mapping[str, Any]
    rule: str = ""


@dataclass(frozen=True)
class Finding:
    """The findings of one kind, the worst first, with one sentence on what to do."""

    kind: Kind
    items: tuple[Item, ...]
    advice: str

    @property
    def heading(self) -> str:
        """`Flapping`."""
        return _HEADINGS[self.kind]


@dataclass(frozen=True)
class Section:
    """The findings about one tenant, or about the rules (`tenant` is ""), with a sentence that sums them up."""

    tenant: str
    summary: str
    findings: tuple[Finding, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Digest:
    """Alert quality over a window. `empty`: no alert fired in it, and there was no time without data."""

    since: datetime
    until: datetime
    title: str
    sections: tuple[Section, ...]
    empty: bool
    notes: tuple[str, ...] = ()


def looks_back(command: Command) -> timedelta:
    """How far back the command asks."""
    split = split_window(command.args, DEFAULT, LONGEST)
    return timedelta(0) if isinstance(split, str) else split[1]


def digest(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    """The digest of the window that ends now; MAX_ANSWERED items of each finding."""
    split = split_window(command.args, DEFAULT, LONGEST)
    usage = f"{view.command} digest [window]"
    if isinstance(split, str):
        return problem(split, usage)
    if split[0]:
        return problem(f"{' '.join(split[0])} is not a window: write a duration such as 1d or 14d.", usage)
    lines = lines_of(digest_of(view, now), MAX_ANSWERED, more=f"alertbot digest --since {write_duration(split[1])}")
    return Reply(tuple(lines))


# What is found.


def digest_of(view: View, now: datetime) -> Digest:
    """The digest of a view: its `quality`, active rules, open alerts, and matches that cover nothing."""
    quality = view.quality or Quality(now, now)
    names = [tenant.name for tenant in view.tenants]
    several = len(names) > 1
    sections = [_of_tenant(name, view, quality, now, several=several) for name in names]
    rules = _of_rules(view, quality)
    if rules.findings or rules.summary:
        sections.append(rules)
    window = quality.until - quality.since
    notes = []
    if view.history_kept is not None and view.history_kept < window:
        notes.append(f"Ended alerts are kept for {write_duration(view.history_kept)}: history in alertbot.yaml.")
    return Digest(
        quality.since,
        quality.until,
        f"Alert digest: {_length(window)} until {quality.until.astimezone(ZoneInfo(view.timezone)):%a %d %b %H:%M %Z}",
        tuple(sections),
        empty=not quality.fired and not any(quality.without_data.values()),
        notes=tuple(notes),
    )


def _length(window: timedelta) -> str:
    """`7d`, also for a week in which a change of clocks adds or removes an hour."""
    days = round(window / timedelta(days=1))
    is_days = days and abs(window - timedelta(days=days)) <= timedelta(hours=1)
    return write_duration(timedelta(days=days)) if is_days else format_duration(window)


def _of_tenant(name: str, view: View, quality: Quality, now: datetime, *, several: bool) -> Section:
    days = max((quality.until - quality.since) / timedelta(days=1), 0.0)
    fired = [each for each in quality.fired if each.key.tenant == name]
    live = [each for each in fired if not each.shadow]
    rules = _Rules(view, name, new=name in quality.new)
    after = {rule: seconds for (tenant, rule), seconds in quality.acknowledged_after.items() if tenant == name}
    found = [
        _noisy_rules(live, days, rules),
        _noisy_entities(live, rules),
        _ignored(live, rules),
        _brief(live, rules),
        _flapping(live, rules),
        _reminded(live),
        _acknowledged(live, after),
        _open_long(name, view, now),
        _in_shadow(fired, days, rules),
        _no_data(quality.without_data.get(name, ()), view, now),
    ]
    return Section(
        name if several else "",
        _summary(live, after),
        tuple(each for each in found if each is not None),
        {
            "tenant": name,
            "alerts": sum(each.alerts for each in live),
            "critical": sum(each.critical for each in live),
            "reported": sum(each.reported for each in live),
            "acknowledged": sum(each.acknowledged for each in live),
        },
    )


class _Rules:
    """The rules that run for a tenant: which of them `tune` can help with. `new`: too little is recorded for it."""

    def __init__(self, view: View, tenant: str, *, new: bool) -> None:
        ruleset = None if new else view.rules_of.get(tenant)
        self._tunable = {rule.id for rule in (ruleset.rules if ruleset is not None else ()) if is_tunable(rule)}

    def tunable(self, rule: str) -> str:
        return rule if rule in self._tunable else ""


def is_tunable(rule: Rule) -> bool:
    """Whether a level of the rule compares a number with a limit, which `tune` can try other values of."""
    return any(
        isinstance(node, Compare) and node.op in _LIMITS and node.left.type is not ValueType.TEXT
        for level in rule.levels
        for node in walk(level.when)
    )


def _summary(live: Sequence[Fired], after: Mapping[str, Sequence[float]]) -> str:
    """`312 alerts, 41 critical, 22 not reported; 120 acknowledged, half of them within 3m 12s.`"""
    total = sum(each.alerts for each in live)
    if not total:
        return "No alert fired."
    parts = [count(total, "alert")]
    critical, silent = sum(each.critical for each in live), total - sum(each.reported for each in live)
    parts += [f"{critical:,} critical"] if critical else []
    parts += [f"{silent:,} not reported (silenced or suppressed)"] if silent else []
    acknowledged = sum(each.acknowledged for each in live)
    seconds = [each for times in after.values() for each in times]
    within = f", half of them within {_seconds(median(seconds))}" if len(seconds) > 1 else ""
    return f"{', '.join(parts)}; {f'{acknowledged:,}' if acknowledged else 'none'} acknowledged{within}."


def _finding(kind: Kind, items: Iterable[Item], advice: Callable[[str], str]) -> Finding | None:
    """The finding, or None without items. `advice` is given the first rule that `tune` can help with, or ""."""
    listed = tuple(items)
    if not listed:
        return None
    return Finding(kind, listed, advice(next((item.rule for item in listed if item.rule), "")))


def _tune(rule: str, does: str, otherwise: str) -> str:
    return f"alertbot tune {rule} {does}." if rule else f"{otherwise}."


def _by_rule(live: Iterable[Fired]) -> list[tuple[str, list[Fired]]]:
    ordered = sorted(live, key=lambda each: each.key.rule)
    return [(rule, list(same)) for rule, same in groupby(ordered, key=lambda each: each.key.rule)]


def _noisy_rules(live: Sequence[Fired], days: float, rules: _Rules) -> Finding | None:
    def item(rule: str, same: Sequence[Fired]) -> Item:
        alerts, critical = sum(each.alerts for each in same), sum(each.critical for each in same)
        entities = len({each.key for each in same})
        parts = [f"{count(alerts, 'alert')}{_a_day(alerts, days)}", *([f"{critical:,} critical"] if critical else [])]
        parts.append(count(entities, "entity", "entities"))
        facts = {"rule": rule, "alerts": alerts, "critical": critical, "entities": entities}
        return Item(f"{rule}: {', '.join(parts)}", facts, rules.tunable(rule))

    items = [item(rule, same) for rule, same in _by_rule(live)]
    items.sort(key=lambda each: (-each.facts["alerts"], each.facts["rule"]))
    return _finding(
        Kind.NOISY_RULES,
        items,
        lambda rule: (
            f"If these are too many to act on: {_tune(rule, 'shows which limit fires less often', 'lengthen `for`')}"
        ),
    )


def _a_day(alerts: int, days: float) -> str:
    return f" ({_rate(alerts / days)} a day)" if days >= 1.5 and alerts / days >= 0.95 else ""


def _rate(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.1f}".removesuffix(".0")


def _noisy_entities(live: Sequence[Fired], rules: _Rules) -> Finding | None:
    def item(same: Sequence[Fired]) -> Item:
        alerts, top = sum(each.alerts for each in same), max(same, key=lambda each: (each.alerts, each.key.rule))
        which = f"all of {top.key.rule}" if top.alerts == alerts else f"{top.alerts:,} of {top.key.rule}"
        facts = {
            "entity": same[0].name,
            "parent": same[0].parent,
            "scope": str(same[0].key.scope),
            "alerts": alerts,
            "rule": top.key.rule,
            "alerts_of_rule": top.alerts,
        }
        return Item(f"{_entity(same[0])}: {count(alerts, 'alert')}, {which}", facts, rules.tunable(top.key.rule))

    def who(each: Fired) -> tuple[str, str, str]:
        return each.key.scope, each.key.parent_id, each.key.entity_id

    items = [item(list(same)) for _, same in groupby(sorted(live, key=who), key=who)]
    items.sort(key=lambda each: (-each.facts["alerts"], each.text))
    return _finding(
        Kind.NOISY_ENTITIES,
        items if len(items) > 1 else [],  # a single entity adds nothing to the summary
        lambda rule: (
            f"If one differs from the rest: {_tune(rule, 'proposes an override', 'give it its own limit (overrides)')}"
        ),
    )


def _entity(fired: Fired) -> str:
    parent = f" ({_short(fired.parent)})" if fired.parent else ""
    return f"{_short(fired.name or fired.key.entity_id)}{parent}"


def _short(name: str) -> str:
    plain = one_line(name)
    return plain if len(plain) <= _MAX_NAME else f"{plain[: _MAX_NAME - 1]}…"


def _ignored(live: Sequence[Fired], rules: _Rules) -> Finding | None:
    items = []
    for rule, same in _by_rule(live):
        ignored, acknowledged = sum(each.ignored for each in same), sum(each.acknowledged for each in same)
        if ignored >= _FEW and not acknowledged:
            facts = {"rule": rule, "alerts": ignored}
            items.append(Item(f"{rule}: {count(ignored, 'alert')}", facts, rules.tunable(rule)))
    items.sort(key=lambda each: (-each.facts["alerts"], each.facts["rule"]))
    return _finding(
        Kind.IGNORED,
        items,
        lambda rule: (
            "If nothing is done about them, lower their level to info"
            + (f", or use a limit that fires less often: alertbot tune {rule}." if rule else ".")
        ),
    )


def _share(
    kind: Kind, live: Sequence[Fired], rules: _Rules, part: Callable[[Fired], int], advice: str
) -> Finding | None:
    """Rules with alerts of this kind, and how many of all: `abandoned: 30 of 41 alerts`."""
    items = []
    for rule, same in _by_rule(live):
        number, alerts = sum(map(part, same)), sum(each.alerts for each in same)
        if number:
            facts = {"rule": rule, "alerts": number, "of": alerts}
            items.append(Item(f"{rule}: {number:,} of {count(alerts, 'alert')}", facts, rules.tunable(rule)))
    items.sort(key=lambda each: (-each.facts["alerts"], each.facts["rule"]))
    return _finding(kind, items, lambda rule: f"{advice}{f': alertbot tune {rule} shows the effect' if rule else ''}.")


def _brief(live: Sequence[Fired], rules: _Rules) -> Finding | None:
    return _share(Kind.BRIEF, live, rules, lambda each: each.brief, "A longer `for` avoids these")


def _flapping(live: Sequence[Fired], rules: _Rules) -> Finding | None:
    advice = "Move `clear` further from the limit, or lengthen `keep_firing_for`"
    return _share(Kind.FLAPPING, live, rules, lambda each: each.unstable, advice)


def _reminded(live: Sequence[Fired]) -> Finding | None:
    items = []
    for rule, same in _by_rule(live):
        reminded, reminders, escalated = (
            sum(each.reminded for each in same),
            sum(each.reminders for each in same),
            sum(each.escalated for each in same),
        )
        parts = [f"{count(reminded, 'alert')} reminded {_times(reminders)}"] if reminded else []
        parts += [f"{escalated:,} escalated"] if escalated else []
        if parts:
            facts = {"rule": rule, "reminded": reminded, "reminders": reminders, "escalated": escalated}
            items.append(Item(f"{rule}: {', '.join(parts)}", facts))
    items.sort(key=lambda each: (-each.facts["escalated"], -each.facts["reminders"], each.facts["rule"]))
    advice = "These waited for an owner: make sure that the channel is watched at that time, or set `mention`."
    return _finding(Kind.REMINDED, items, lambda _: advice)


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


def _acknowledged(live: Sequence[Fired], after: Mapping[str, Sequence[float]]) -> Finding | None:
    alerts: Counter[str] = Counter()
    for each in live:
        alerts[each.key.rule] += each.alerts
    items = []
    for rule, seconds in after.items():
        if not seconds or rule not in alerts:
            continue
        half, worst = median(seconds), max(seconds)
        times = f"median {_seconds(half)}, worst {_seconds(worst)}" if len(seconds) > 1 else _seconds(worst)
        facts = {
            "rule": rule,
            "median_s": round(half, 3),
            "worst_s": round(worst, 3),
            "acknowledged": len(seconds),
            "of": alerts[rule],
        }
        items.append(Item(f"{rule}: {times} ({len(seconds):,} of {alerts[rule]:,})", facts))
    items.sort(key=lambda each: (-each.facts["median_s"], each.facts["rule"]))
    advice = "If that is too long, set `mention` or an earlier step of `escalate`."
    return _finding(Kind.ACKNOWLEDGED, items, lambda _: advice)


def _seconds(seconds: float) -> str:
    return format_duration(timedelta(seconds=round(seconds)))


def _open_long(tenant: str, view: View, now: datetime) -> Finding | None:
    def opened(alert: Alert) -> timedelta:
        return now - (alert.fired_at or now)

    alerts = [
        alert
        for alert in view.alerts
        if alert.open
        and alert.key.tenant == tenant
        and alert.key.scope is not Scope.FEED
        and opened(alert) > _LONG_OPEN
    ]
    alerts.sort(key=lambda alert: (-opened(alert), alert.id or 0))
    items = [
        Item(
            f"#{alert.id} {_short(alert.name)}: {alert.key.rule}, for {_days(opened(alert))}",
            {
                "id": alert.id,
                "entity": alert.name,
                "rule": alert.key.rule,
                "seconds": round(opened(alert).total_seconds()),
            },
        )
        for alert in alerts
    ]
    return _finding(
        Kind.OPEN,
        items,
        lambda _: "Fix the cause, or give the entity an override: an alert that never ends hides the next problem.",
    )


def _days(span: timedelta) -> str:
    return count(span.days, "day") if span >= _LONG_OPEN else format_duration(span)


def _in_shadow(fired: Sequence[Fired], days: float, rules: _Rules) -> Finding | None:
    items = []
    for rule, same in _by_rule(each for each in fired if each.shadow):
        alerts, entities = sum(each.alerts for each in same), len(same)
        facts = {"rule": rule, "alerts": alerts, "entities": entities}
        often = f"{_times(alerts)}{_a_day(alerts, days)}"
        text = f"{rule}: would have fired {often} for {count(entities, 'entity', 'entities')}"
        items.append(Item(text, facts, rules.tunable(rule)))
    items.sort(key=lambda each: (-each.facts["alerts"], each.facts["rule"]))
    return _finding(
        Kind.SHADOW,
        items,
        lambda rule: (
            "When the number is right, remove `shadow`"
            + (f"; alertbot tune {rule} shows what other limits would do." if rule else ".")
        ),
    )


def _no_data(intervals: Sequence[Interval], view: View, now: datetime) -> Finding | None:
    total = sum((end - begin for begin, end in intervals), timedelta(0))
    items = [
        Item(
            f"{_seconds((end - begin).total_seconds())} from {clock(begin, view.timezone, now)}",
            {"from": begin.isoformat(), "until": end.isoformat(), "seconds": round((end - begin).total_seconds())},
        )
        for begin, end in sorted(intervals, key=lambda each: each[0] - each[1])
    ]
    often = f" in {len(intervals):,} periods" if len(intervals) > 1 else ""
    return _finding(
        Kind.NO_DATA,
        items,
        lambda _: (
            f"{_seconds(total.total_seconds())}{often} in which nothing could fire: alertbot doctor tests the "
            "connection to 8x8, and the log says when alertbot was down."
        ),
    )


def _of_rules(view: View, quality: Quality) -> Section:
    """The findings about rules, whichever tenants run them."""
    rules = {rule.id: rule for ruleset in view.rules_of.values() for rule in ruleset.rules}
    if not rules:
        return Section("", "No rule is active: write rules in rules/, or copy some from rules/optional/.", ())
    busy = {each.key.rule for each in quality.fired} | {rule for _, rule in quality.open_rules}
    blind = {rule for rule, matches in view.uncovered.items() if rule in rules and rules[rule].match in matches}
    quiet = [rule for rule in rules.values() if rule.id not in busy | blind]
    new = all(tenant.name in quality.new for tenant in view.tenants)  # `tune` cannot replay a day of any of them
    otherwise = "Less than a day of polls is recorded: too early to say" if new else "Check that each of them can fire"
    uncovered = [
        Item(
            f"{rule}: {', '.join(view.names.text(match_in_words(match)) for match in matches)}",
            {"rule": rule, "matches": [view.names.text(match_in_words(match)) for match in matches]},
        )
        for rule, matches in sorted(view.uncovered.items())
        if rule in rules
    ]
    found = [
        _finding(
            Kind.QUIET,
            [
                Item(
                    f"{rule.id}{' (in shadow)' if rule.shadow else ''}",
                    {"rule": rule.id, "shadow": rule.shadow},
                    rule.id if is_tunable(rule) and not new else "",
                )
                for rule in quiet
            ],
            lambda rule: _tune(rule, "shows which limit would have fired", otherwise),
        ),
        _finding(
            Kind.UNCOVERED,
            uncovered,
            lambda _: f"Correct the match, or remove the rule: {view.command} rules ID shows what it covers.",
        ),
    ]
    return Section("", "", tuple(each for each in found if each is not None))


# How it is shown.


def lines_of(digest: Digest, most: int, *, more: str = "") -> Iterator[Line]:
    """All findings with at most `most` items each; `more` is the command that shows the rest."""
    yield Line(f"{digest.title}.", strong=True)
    several = sum(bool(section.tenant) for section in digest.sections) > 1
    for section in digest.sections:
        yield from _head_of(section, several=several)
        for finding in section.findings:
            yield from _lines(finding, most)
    yield from (Line(note) for note in digest.notes)
    if more and any(_is_cut(finding, most) for section in digest.sections for finding in section.findings):
        yield Line(f"{more} shows everything.")


def _head_of(section: Section, *, several: bool) -> Iterator[Line]:
    if several:
        yield Line(_short(section.tenant) if section.tenant else "Rules", strong=True)
    if section.summary:
        yield Line(section.summary)


def _lines(finding: Finding, most: int) -> Iterator[Line]:
    yield Line(finding.heading, strong=True)
    shown = [item.text for item in finding.items[: _most(finding, most)]]
    left = len(finding.items) - len(shown)
    more = f"and {left:,} more" if left else ""
    if finding.kind is Kind.QUIET:
        yield Line(f"• {', '.join(shown)} {more}".rstrip())
    else:
        yield from (Line(f"• {text}") for text in shown)
        if more:
            yield Line(f"• {more}")
    yield Line(f"→ {finding.advice}")


def _most(finding: Finding, most: int) -> int:
    """How many items fit where other findings have `most` lines: ids of rules share a line."""
    return most * _IDS_A_LINE if finding.kind is Kind.QUIET else most


def _is_cut(finding: Finding, most: int) -> bool:
    return len(finding.items) > _most(finding, most)


def messages(digest: Digest) -> list[list[Line]]:
    """The digest as messages of at most MAX_MESSAGE characters each: what is posted, then what goes into its thread.

    The first has as many items as fit. The thread has, in full, each finding that the first message cut or left out; if
    there is none, there is no thread.
    """
    for most in _SHORTER:
        head = list(lines_of(digest, most))
        if _size(head) <= MAX_MESSAGE - 100:
            break
    else:
        most = 0
        head = _summaries(digest)
    rest = [*_rest(digest, most)]
    if rest:
        head.append(Line("The rest is in the thread."))
    return [head, *_packed(rest)]


def _summaries(digest: Digest) -> list[Line]:
    """As many summaries of tenants as fit. For many tenants, where one item of each finding would be too long."""
    lines = [Line(f"{digest.title}.", strong=True)]
    for number, section in enumerate(digest.sections):
        name = _short(section.tenant) or "Rules"
        kinds = ", ".join(finding.heading.lower() for finding in section.findings)
        noisy = next((finding for finding in section.findings if finding.kind is Kind.NOISY_RULES), None)
        most = f" Most: {noisy.items[0].text}." if noisy is not None else ""
        line = Line(f"• {name}: {section.summary or kinds}{most}")
        if _size([*lines, line]) > MAX_MESSAGE - 100:
            return [*lines, Line(f"• and {len(digest.sections) - number:,} more")]
        lines.append(line)
    return lines


def _rest(digest: Digest, most: int) -> Iterator[list[Line]]:
    """The findings that have more than `most` items, in full: a block of lines for each."""
    several = sum(bool(section.tenant) for section in digest.sections) > 1
    for section in digest.sections:
        cut = [finding for finding in section.findings if _is_cut(finding, most)]
        for place, finding in enumerate(cut):
            head = list(_head_of(section, several=several)) if place == 0 and several else []
            yield [*head, *_lines(finding, MAX_ITEMS)]


def _packed(blocks: Sequence[list[Line]]) -> list[list[Line]]:
    """The blocks in as few messages as they fit, in order; one that is too long continues in the next message."""
    packed: list[list[Line]] = []
    for block in blocks:
        if packed and _size([*packed[-1], *block]) <= MAX_MESSAGE:
            packed[-1] += block
            continue
        packed.append([])
        for line in block:
            if packed[-1] and _size([*packed[-1], line]) > MAX_MESSAGE:
                packed.append([])
            packed[-1].append(line)
    if len(packed) > MAX_THREAD:
        packed = packed[:MAX_THREAD]
        packed[-1] = [*packed[-1][:-1], Line("alertbot digest in a terminal shows the rest.")]
    return packed


_ESCAPED = {"&": 5, "<": 4, ">": 4, "*": 3, "_": 3, "~": 3, "`": 3, ":": 2}


def _size(lines: Sequence[Line]) -> int:
    """The maximum length of the lines after escaping for Slack, in UTF-16 units."""
    return sum(
        1 + 2 * line.strong + sum(_ESCAPED.get(char, 2 if ord(char) > 0xFFFF else 1) for char in line.text)
        for line in lines
    )


def json_of(digest: Digest) -> dict[str, Any]:
    """The digest as JSON: every finding with all of its items."""

    def findings(section: Section) -> list[dict[str, Any]]:
        return [
            {"kind": str(finding.kind), "advice": finding.advice, "items": [dict(item.facts) for item in finding.items]}
            for finding in section.findings
        ]

    return {
        "since": digest.since.isoformat(),
        "until": digest.until.isoformat(),
        "tenants": [{**section.facts, "findings": findings(section)} for section in digest.sections if section.facts],
        "rules": [found for section in digest.sections if not section.facts for found in findings(section)],
    }
