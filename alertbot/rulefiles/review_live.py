"""Findings about rules that need more than their files: the entities of the last poll, and how long polls are kept."""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta

from alertbot.rulefiles import document
from alertbot.rulefiles.document import Documents, Files, Node, YamlMapping, YamlScalar, YamlSequence
from alertbot.rulefiles.faults import Fault, Place, Severity
from alertbot.rulefiles.fields import Report
from alertbot.rulefiles.review import node_of
from alertbot.rules.catalogue import Scope
from alertbot.rules.coverage import Entities, advice, match_in_words, uncovered
from alertbot.rules.functions import FUNCTIONS, Reads
from alertbot.rules.rule import Rule
from alertbot.rules.tree import Condition, Key, Window, show, walk
from alertbot.rules.units import write_duration


def review_coverage(
    rules: Sequence[Rule],
    files: Files,
    polls: Callable[[Scope], Iterable[Entities]],
    documents: Documents | None = None,
) -> list[Fault]:
    """A hint for each match that covers nothing. `polls` has the last entities of a scope, of each tenant."""
    nodes = document.roots(files, documents)
    hints: list[Fault] = []
    for rule in rules:
        report = Report(rule.origin.file, rule.id, severity=Severity.HINT)
        idle = uncovered(rule, list(polls(rule.scope)))
        node = node_of(rule, nodes.get(rule.origin.file))
        for match in idle:
            if match == rule.match:
                words, place = "the match", _place(node, rule)
            else:
                index = next(index for index, override in enumerate(rule.overrides) if override.match == match)
                words, place = "the match of an override", _place_of_override(node, index, rule)
            message = f"{words} covers no {rule.scope} of the last poll: {match_in_words(match)}"
            report.add(place, message, advice(match))
        hints += report.faults
    return hints


def review_look_back(
    rules: Sequence[Rule],
    files: Files,
    keep: timedelta,
    poll_every: timedelta,
    usual: timedelta,
    documents: Documents | None = None,
) -> list[Fault]:
    """A warning for each condition that reads samples older than `keep`, which are gone after a restart.

    `poll_every` is the longest interval of the tenants that run the rules: `ago` reads up to two polls further back.
    `usual` is how long means of quarter-hours are kept; a condition that compares with more weeks is a warning too.
    """
    nodes = document.roots(files, documents)
    warnings: list[Fault] = []
    for rule in rules:
        report = Report(rule.origin.file, rule.id, severity=Severity.WARNING)
        node = node_of(rule, nodes.get(rule.origin.file))
        for window, place in _read_values(rule, node):
            if not isinstance(window, Window):
                continue
            reach = timedelta(milliseconds=window.length)
            if window.weeks:
                if reach > usual:
                    kept = f"means are kept (record.usual: {_weeks(usual)})"
                    message = f"{show(window)} looks back further than {kept}"
                    report.add(place, message, f"set record.usual to {window.weeks}w or more in alertbot.yaml")
                continue
            if FUNCTIONS[window.function].reads is Reads.THEN:
                reach += 2 * poll_every
            if reach <= keep:
                continue
            message = f"{show(window)} looks back further than polls are kept (record.keep: {write_duration(keep)})"
            report.add(place, message, f"set record.keep to {_days(reach)} or more in alertbot.yaml")
        warnings += report.faults
    return list(dict.fromkeys(warnings))


def _weeks(kept: timedelta) -> str:
    """As `record.usual` is written: `8w`; in days where it is not whole weeks."""
    weeks, rest = divmod(kept, timedelta(weeks=1))
    return f"{weeks}w" if weeks and not rest else write_duration(kept)


def review_missing(
    rules: Sequence[Rule],
    files: Files,
    missing: collections.abc.Mapping[tuple[Scope, str], str],
    documents: Documents | None = None,
) -> list[Fault]:
    """A hint at each key in a condition that had no value lately; `missing` says of which polls that is true."""
    nodes = document.roots(files, documents)
    hints: list[Fault] = []
    for rule in rules:
        report = Report(rule.origin.file, rule.id, severity=Severity.HINT)
        node = node_of(rule, nodes.get(rule.origin.file))
        for key, place in _read_values(rule, node):
            polls = missing.get((rule.scope, key.key)) if isinstance(key, Key) else None
            if polls is not None:
                report.add(place, f"{key.key} had no value {polls}, so this is unknown", _WITHOUT_VALUES)
        hints += report.faults
    return list(dict.fromkeys(hints))


_WITHOUT_VALUES = "8x8 may not report it for this tenant; `alertbot doctor` examines the keys"


def _days(reach: timedelta) -> str:
    """Whole days, and one more where it is exactly that long: two polls more are needed at least."""
    return f"{reach // timedelta(days=1) + 1}d"


def _read_values(rule: Rule, node: YamlMapping | None) -> Iterator[tuple[Key | Window, Place]]:
    """The keys and windows in the conditions of a rule, each with its place in the file."""
    for condition, scalar in _conditions(rule, node):
        for each in walk(condition):
            if isinstance(each, Key | Window):
                yield each, Place(rule.origin.line, 1) if scalar is None else _within(scalar, each.span.start)


def _conditions(rule: Rule, node: YamlMapping | None) -> Iterator[tuple[Condition, YamlScalar | None]]:
    """The conditions of a rule, each with its text in the file."""

    def scalar(name: str, block: str = "") -> YamlScalar | None:
        holder: Node | None = node.get(block) if node is not None and block else None
        written = (holder if isinstance(holder, YamlMapping) else node).get(name) if node is not None else None
        return written if isinstance(written, YamlScalar) else None

    for level in rule.levels:
        yield level.when, scalar("when", level.level.word)
    if rule.guard is not None:
        yield rule.guard, scalar("guard")
    if rule.clear is not None:
        yield rule.clear, scalar("clear")


def _within(scalar: YamlScalar, offset: int) -> Place:
    """The place of an offset into a condition, which is read without the whitespace around it."""
    return scalar.place_of(offset + len(scalar.text) - len(scalar.text.lstrip()))


def _place(node: YamlMapping | None, rule: Rule) -> Place:
    match = node.get("match") if node is not None else None
    return match.place if match is not None else node.place if node is not None else Place(rule.origin.line, 1)


def _place_of_override(node: YamlMapping | None, index: int, rule: Rule) -> Place:
    overrides = node.get("overrides") if node is not None else None
    items = overrides.items if isinstance(overrides, YamlSequence) else ()
    item = items[index] if index < len(items) else None
    match = item.get("match") if isinstance(item, YamlMapping) else None
    return match.place if match is not None else _place(node, rule)
