"""Rules that are valid but cannot be meant: levels that never fire, thresholds out of range, duplicates.

For `alertbot check`. These findings do not keep a rule from running.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from alertbot.rulefiles import document
from alertbot.rulefiles.document import YamlMapping, YamlScalar
from alertbot.rulefiles.faults import Fault, Place
from alertbot.rulefiles.fields import Report
from alertbot.rules.ranges import Params, can_be_true, out_of_range, range_of
from alertbot.rules.rule import LevelRule, Rule
from alertbot.rules.tree import And, Condition, Not, Span, fill, show
from alertbot.rules.units import write_number
from alertbot.rules.value_types import named

Files = collections.abc.Mapping[str, bytes | str]


def review(rules: Sequence[Rule], files: Files) -> list[Fault]:
    """What cannot be meant in these rules; `files` are the files they were read from, for the places."""
    nodes = {file: document.read(file, data)[0] for file, data in files.items()}
    faults: list[Fault] = []
    first: dict[object, Rule] = {}
    for rule in rules:
        node = _node_of(rule, nodes.get(rule.origin.file))
        if node is None:
            continue
        reviewer = _Reviewer(rule, node, Report(rule.origin.file, rule.id))
        reviewer.read()
        other = first.setdefault(_duplicate_key(rule), rule)
        if other is not rule:
            where = f"{other.origin.file}:{other.origin.line}" if other.origin.file != rule.origin.file else ""
            place = where or f"line {other.origin.line}"
            message = f"the same as {other.id}: scope, entities, conditions, hours and channels"
            reviewer.report.add(reviewer.place("id"), message, f"it is in {place}; remove one of them", rule.id)
        faults += reviewer.report.faults
    return faults


def _node_of(rule: Rule, root: document.Node | None) -> YamlMapping | None:
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

    def scalar(self, name: str, level: LevelRule | None = None) -> YamlScalar | None:
        holder: document.Node | None = self.node.get(level.level.word) if level is not None else None
        found = holder.get(name) if isinstance(holder, YamlMapping) else self.node.get(name)
        return found if isinstance(found, YamlScalar) else None

    def place(self, name: str) -> Place:
        found = self.node.get(name)
        return self.node.place if found is None else found.place

    def add(
        self, scalar: YamlScalar | None, message: str, hint: str = "", start: int = 0, end: int | None = None
    ) -> None:
        if scalar is None:
            self.report.add(self.node.place, message, hint)
            return
        text = scalar.text.strip().replace("\n", " ")
        shift = len(scalar.text) - len(scalar.text.lstrip())
        self.report.add(
            scalar.place_of(start + shift), message, hint, text[start : end if end is not None else len(text)]
        )
