"""Rules that are valid but cannot be meant: levels that never fire, thresholds out of range, duplicates.

For `alertbot check`. These findings do not keep a rule from running. A warning is almost certainly a mistake; a hint
is worth knowing and may be right as it is: a status word that is not known, a country without its subdivision.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

from alertbot.rulefiles import document
from alertbot.rulefiles.document import Documents, Files, Node, YamlMapping, YamlScalar, YamlSequence
from alertbot.rulefiles.faults import Fault, Place, Severity, make_fault
from alertbot.rulefiles.fields import Report
from alertbot.rulefiles.rule_test import RuleTest
from alertbot.rules.catalogue import STATUS_KEY, STATUS_WORDS, ValueType
from alertbot.rules.compare import MIRRORED
from alertbot.rules.match import covers
from alertbot.rules.ranges import Params, can_be_true, constant, out_of_range, range_of
from alertbot.rules.rule import LevelRule, Rule, RuleSet
from alertbot.rules.slack_ids import channel_without_capitals
from alertbot.rules.tree import (
    And,
    Arithmetic,
    Compare,
    Condition,
    In,
    Key,
    Literal,
    Not,
    Op,
    Span,
    Value,
    fill,
    show,
    walk,
)
from alertbot.rules.units import write_number
from alertbot.rules.value_types import named
from alertbot.rules.words import listed, nearest
from alertbot.rules.zones import fixed_offset


def review(rules: Sequence[Rule], files: Files, documents: Documents | None = None) -> list[Fault]:
    """What cannot be meant in these rules; `files` are the files they were read from, for the places.

    `documents`, here and in the other reviews: as in `document.read_each`.
    """
    nodes = document.roots(files, documents)
    faults: list[Fault] = []
    for file, root in nodes.items():
        if isinstance(root, YamlMapping):
            faults += _review_channels(file, root)
            faults += _review_comments(file, root, document.lines_of(files[file]))
            faults += review_hours(file, root.get("hours"))
    first: dict[object, Rule] = {}
    for rule in rules:
        node = node_of(rule, nodes.get(rule.origin.file))
        if node is None:
            continue
        reviewer = _Reviewer(rule, node, Report(rule.origin.file, rule.id, severity=Severity.WARNING))
        reviewer.read()
        other = first.setdefault(_duplicate_key(rule), rule)
        if other is not rule:
            where = f"{other.origin.file}:{other.origin.line}" if other.origin.file != rule.origin.file else ""
            place = where or f"line {other.origin.line}"
            message = f"the same as {other.id}: scope, entities, conditions, hours and channels"
            reviewer.report.add(reviewer.place("id"), message, f"it is in {place}; remove one of them", rule.id)
        faults += reviewer.report.faults
    return faults


def review_tests(tests: Sequence[RuleTest], rules: RuleSet) -> list[Fault]:
    """A hint for each entity of a test that its rule does not cover: right in a test of `exclude`, else a slip."""
    hints = []
    for test in tests:
        rule = rules.by_id(test.rule)
        for entity in test.entities:
            if rule is not None and not covers(rule.match, entity.id, entity.name):
                place = Place(test.line, 1)
                message = f'the rule does not cover "{entity.name}", so nothing can fire for it'
                hints.append(make_fault(test.file, place, message, "", "", rule.id, Severity.HINT))
    return hints


def review_hours(file: str, hours: Node | None) -> list[Fault]:
    """Hints about the calendars below `hours:` of a rule file or of alertbot.yaml."""
    report = Report(file, severity=Severity.HINT)
    for _, calendar in hours.entries if isinstance(hours, YamlMapping) else ():
        if not isinstance(calendar, YamlMapping):
            continue
        zone, holidays = calendar.get("timezone"), calendar.get("holidays")
        if isinstance(zone, YamlScalar):
            review_zone(zone, report)
        for item in holidays.items if isinstance(holidays, YamlSequence) else (holidays,):
            if isinstance(item, YamlMapping):
                _review_country(item, report)
    return report.faults


def review_zone(zone: YamlScalar, report: Report) -> None:
    """Add a hint for a zone that has the same offset all year and is no place."""
    refusal = fixed_offset(zone.text.strip())
    if refusal is not None:
        report.add(zone.place, *refusal, zone.text.strip())


def _review_country(item: YamlMapping, report: Report) -> None:
    country = item.get("country")
    if not isinstance(country, YamlScalar) or item.key("subdivision") is not None:
        return
    code = country.text.strip()
    parts = _parts_with_more(code)
    if parts:
        names = listed(parts, "or") if len(parts) <= 8 else f"{', '.join(parts[:8])} and more"
        message = f"{code} alone has only the public holidays of the whole country"
        report.add(country.place, message, f"each part has more: add a subdivision, such as {names}", code)


_YEARS = (2026, 2027, 2028)  # any: whether the parts of a country have more holidays does not change


@cache
def _parts_with_more(code: str) -> tuple[str, ...]:
    """The subdivisions of a country, where every one of them has more public holidays; else none."""
    from holidays import country_holidays, list_supported_countries  # takes 0.15 s to import

    parts = list_supported_countries(include_aliases=True).get(code, [])
    whole = len(country_holidays(code, years=_YEARS)) if parts else 0
    return tuple(parts) if all(len(country_holidays(code, subdiv=part, years=_YEARS)) > whole for part in parts) else ()


def review_channel(channel: YamlScalar, report: Report) -> None:
    """Add a warning for the name of a channel with capitals: Slack has none."""
    name = channel_without_capitals(channel.text)
    if name:
        report.add(channel.place, "channel names have no capitals in Slack", f'write "{name}"', channel.text)


def _review_channels(file: str, root: YamlMapping) -> list[Fault]:
    report = Report(file, severity=Severity.WARNING)
    defaults, rules = root.get("defaults"), root.get("rules")
    items: list[Node] = [defaults] if defaults is not None else []
    items += rules.items if isinstance(rules, YamlSequence) else ()
    for item in items:
        rule_id = item.get("id") if isinstance(item, YamlMapping) else None
        report.rule = rule_id.text if isinstance(rule_id, YamlScalar) else ""
        for channel in _channels(item):
            review_channel(channel, report)
    return list(dict.fromkeys(report.faults))  # an alias repeats the channel of its anchor


def _review_comments(file: str, root: YamlMapping, lines: Sequence[str]) -> list[Fault]:
    """A warning for a title that is cut by what YAML reads as a comment: `Queue #1 waits`."""
    report = Report(file, severity=Severity.WARNING)
    rules = root.get("rules")
    for item in rules.items if isinstance(rules, YamlSequence) else ():
        title, rule_id = (item.get("title"), item.get("id")) if isinstance(item, YamlMapping) else (None, None)
        report.rule = rule_id.text if isinstance(rule_id, YamlScalar) else ""
        if not isinstance(title, YamlScalar) or title.quoted or "\n" in title.text:
            continue
        end = title.place_of(len(title.text))
        rest = lines[end.line - 1][end.column - 1 :] if end.line <= len(lines) else ""
        cut = re.match(r"\s+(#[^\s#]\S*)", rest)
        if cut:
            report.add(
                title.place, f"the title ends before {cut[1]}: # begins a comment", "put it in quotes", title.text
            )
    return report.faults


def _channels(node: Node, *, inside: bool = False) -> Iterator[YamlScalar]:
    """Every value of a key `channel`, at any depth."""
    match node:
        case YamlMapping(entries=entries):
            for key, value in entries:
                yield from _channels(value, inside=inside or key.text == "channel")
        case YamlSequence(items=items):
            for item in items:
                yield from _channels(item, inside=inside)
        case YamlScalar() if inside:
            yield node


def node_of(rule: Rule, root: document.Node | None) -> YamlMapping | None:
    """The rule as it is written, where the root of its file is known."""
    rules = root.get("rules") if isinstance(root, YamlMapping) else None
    for item in rules.items if isinstance(rules, document.YamlSequence) else ():
        if isinstance(item, YamlMapping) and item.place.line == rule.origin.line:
            return item
    return None


def _duplicate_key(rule: Rule) -> object:
    """Equal for rules that report the same things about the same entities to the same channels."""
    levels = tuple((each.level, _filled(each.when, rule)) for each in rule.levels)
    guard = _filled(rule.guard, rule) if rule.guard is not None else ""
    channels = tuple(sorted(rule.channels.items()))
    others = tuple((each.match, tuple(sorted((k, show(v)) for k, v in each.params.items()))) for each in rule.overrides)
    return rule.scope, rule.match, levels, guard, others, rule.during, rule.outside, rule.shadow, channels


def _filled(condition: Condition, rule: Rule) -> str:
    """A condition with its parameters filled in, however it was written."""
    bare: Any = _without_spans(condition)
    return fill(bare, "", rule.params)


def _without_spans(node: Any) -> Any:
    if isinstance(node, Span):
        return Span(0, 0)
    if isinstance(node, tuple):
        return tuple(_without_spans(each) for each in node)
    if not is_dataclass(node) or isinstance(node, type):
        return node
    return replace(node, **{each.name: _without_spans(getattr(node, each.name)) for each in fields(node)})


class _Reviewer:
    """One rule and the node it was read from."""

    def __init__(self, rule: Rule, node: YamlMapping, report: Report) -> None:
        self.rule, self.node, self.report = rule, node, report
        self.param_sets: list[Params] = [rule.params, *({**rule.params, **each.params} for each in rule.overrides)]

    def read(self) -> None:
        rule = self.rule
        written = [(each.when, self.scalar("when", each)) for each in rule.levels]
        written += [(each, self.scalar(name)) for name, each in (("guard", rule.guard), ("clear", rule.clear)) if each]
        reported = {id(condition) for condition, scalar in written if self.thresholds(condition, scalar)}
        for each in rule.levels:
            if id(each.when) not in reported and self.never(each.when):
                self.add(
                    self.scalar("when", each),
                    f"{each.level.word} can never fire: {self.condition_text(each)} is never true",
                )
        if rule.guard is not None and id(rule.guard) not in reported and self.never(rule.guard):
            self.add(self.scalar("guard"), "the guard is never true, so the rule never decides anything")
        if rule.clear is not None and id(rule.clear) not in reported and self.never(rule.clear):
            self.add(self.scalar("clear"), "clear is never true, so an alert of this rule never ends")
        self.hidden_levels()
        for condition, scalar in written:
            self.status_words(condition, scalar)
            self.quotients(condition, scalar)

    def never(self, condition: Condition) -> bool:
        return not any(can_be_true(condition, params) for params in self.param_sets)

    def condition_text(self, level: LevelRule) -> str:
        return fill(level.when, level.text, self.rule.params) if self.rule.params else level.text

    def thresholds(self, condition: Condition, scalar: YamlScalar | None) -> bool:
        """Report comparisons with a threshold outside the range of the key; whether there was one."""
        any_reported = False
        for each in {
            node.compare: node for params in self.param_sets for node in out_of_range(condition, params)
        }.values():
            if not all(
                each.compare in [out.compare for out in out_of_range(condition, way)] for way in self.param_sets
            ):
                continue
            any_reported = True
            low, high = range_of(each.subject)
            kind = each.subject.type
            limits = f"never below {write_number(low, kind)}"
            if high != float("inf"):
                limits = f"from {write_number(low, kind)} to {write_number(high, kind)}"
            outcome = "always" if each.always else "never"
            text = scalar.text.strip() if scalar is not None else ""
            start, end = each.compare.span.start, each.compare.span.end
            spelt = text[each.subject.span.start : each.subject.span.end] or show(each.subject)
            message = f"{text[start:end] or show(each.compare)} is {outcome} true"
            hint = f"{spelt} is {named(kind)}, {limits}"
            self.add(scalar, message, hint, start, end)
        return any_reported

    def hidden_levels(self) -> None:
        """Report a lower level that never shows, since a higher one always holds with it, and no later."""
        for low, high in zip(self.rule.levels, self.rule.levels[1:], strict=False):
            if high.hold > low.hold or self.never(low.when) or self.never(high.when):
                continue
            if self.never(And((low.when, Not(high.when)))):
                message = f"{low.level.word} never shows: whenever it holds, {high.level.word} holds too"
                self.add(self.scalar("when", low), message, f"{high.level.word} must be harder to reach")

    def status_words(self, condition: Condition, scalar: YamlScalar | None) -> None:
        """A hint for each status that is not known: 8x8 may have it, but it is more likely misspelt."""
        for node in walk(condition):
            sides: tuple[object, ...] = ()
            if isinstance(node, Compare):
                sides = (node.left, node.right)
            elif isinstance(node, In):
                sides = (node.left, *node.choices)
            if not any(isinstance(side, Key) and side.key == STATUS_KEY for side in sides):
                continue
            literals = [side for side in sides if isinstance(side, Literal) and isinstance(side.value, str)]
            words = [str(side.value).strip() for side in literals]
            if any(word.casefold() in _STATUS_WORDS for word in words):
                continue  # beside a known word the others are spellings of it
            for side, word in zip(literals, words, strict=True):
                near = nearest(word, STATUS_WORDS, fold=lambda text: text.casefold().replace("-", "").replace(" ", ""))
                hint = f'did you mean "{near[0]}"?' if near else f"known are {listed(STATUS_WORDS)}"
                message = f'"{word}" is not a known value of {STATUS_KEY}'
                self.add(scalar, message, hint, side.span.start, side.span.end, Severity.HINT)

    def quotients(self, condition: Condition, scalar: YamlScalar | None) -> None:
        """A share of counts compared with more than 100 %: `onBreak.rt / enabled.rt > 30`."""
        for node in walk(condition):
            if not isinstance(node, Compare):
                continue
            for side, other, op in (
                (node.left, node.right, node.op),
                (node.right, node.left, MIRRORED.get(node.op, node.op)),
            ):
                if not _is_share(side):
                    continue
                limit = constant(other, self.rule.params)
                # "== 1" and "< 1.0" are all of them, or not all: more than 100 % is out of reach.
                if not isinstance(limit, float | int) or limit <= 1:
                    continue
                outcome = "always" if op in (Op.LT, Op.LE, Op.NE) else "never"
                text = scalar.text.strip() if scalar is not None else ""
                share = text[side.span.start : side.span.end] or show(side)
                message = f"{share} is at most 100%, so this is {outcome} true: {write_number(limit, other.type)}"
                message += f" means {write_number(limit, ValueType.RATIO)}" if other.type is not ValueType.RATIO else ""
                hint = "write a percentage of at most 100%"
                if other.type is not ValueType.RATIO and limit <= 100:
                    hint = f"write {write_number(limit / 100, ValueType.RATIO)}"
                self.add(scalar, message, hint, node.span.start, node.span.end)

    def scalar(self, name: str, level: LevelRule | None = None) -> YamlScalar | None:
        holder: document.Node | None = self.node.get(level.level.word) if level is not None else None
        found = holder.get(name) if isinstance(holder, YamlMapping) else self.node.get(name)
        return found if isinstance(found, YamlScalar) else None

    def place(self, name: str) -> Place:
        found = self.node.get(name)
        return self.node.place if found is None else found.place

    def add(
        self,
        scalar: YamlScalar | None,
        message: str,
        hint: str = "",
        start: int = 0,
        end: int | None = None,
        severity: Severity = Severity.WARNING,
    ) -> None:
        self.report.severity = severity
        if scalar is None:
            self.report.add(self.node.place, message, hint)
            return
        text = scalar.text.strip().replace("\n", " ")
        shift = len(scalar.text) - len(scalar.text.lstrip())
        self.report.add(
            scalar.place_of(start + shift), message, hint, text[start : end if end is not None else len(text)]
        )


_STATUS_WORDS = frozenset(word.casefold() for word in STATUS_WORDS)

# Counts that are a part of another count of the same period: their quotient is at most 1.
_AGENTS = frozenset(
    {"onBreak", "availableIdle", "busyOther", "eligible", "handling", "offering", "workingOffline", "wrapUp"}
)
_INTERACTIONS = frozenset({"abandoned", "accepted", "acceptedInSla", "diverted", "newInQueue", "shortAbandoned"})
_PARTS = {
    "enabled": _AGENTS,
    "entered": _INTERACTIONS,
    "accepted": frozenset({"acceptedInSla"}),
    "totalAbandoned": frozenset({"abandoned", "shortAbandoned"}),
}


def _is_share(node: Value) -> bool:
    """Whether it is a count divided by a count that contains it."""
    if not isinstance(node, Arithmetic) or node.op is not Op.DIV:
        return False
    part, whole = node.left, node.right
    if not isinstance(part, Key) or not isinstance(whole, Key):
        return False
    (part_name, _, period), (whole_name, _, other) = (
        each.key.removeprefix("total.").partition(".") for each in (part, whole)
    )
    return period == other and part_name in _PARTS.get(whole_name, ())
