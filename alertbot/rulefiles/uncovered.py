"""Hints about rules and overrides whose match covers no entity of the last poll, at their place in the file."""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Iterable, Sequence

from alertbot.rulefiles import document
from alertbot.rulefiles.document import Node, YamlMapping, YamlSequence
from alertbot.rulefiles.faults import Fault, Place, Severity
from alertbot.rulefiles.fields import Report
from alertbot.rules.catalogue import Scope
from alertbot.rules.coverage import Entities, advice, match_in_words, uncovered
from alertbot.rules.rule import Rule

Files = collections.abc.Mapping[str, bytes | str]


def review_coverage(rules: Sequence[Rule], files: Files, polls: Callable[[Scope], Iterable[Entities]]) -> list[Fault]:
    """A hint for each match that covers nothing. `polls` has the last entities of a scope, of each tenant."""
    nodes = {file: document.read(file, data)[0] for file, data in files.items()}
    hints: list[Fault] = []
    for rule in rules:
        report = Report(rule.origin.file, rule.id, severity=Severity.HINT)
        idle = uncovered(rule, list(polls(rule.scope)))
        node = _node_of(rule, nodes.get(rule.origin.file))
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


def _node_of(rule: Rule, root: Node | None) -> YamlMapping | None:
    rules = root.get("rules") if isinstance(root, YamlMapping) else None
    for item in rules.items if isinstance(rules, YamlSequence) else ():
        if isinstance(item, YamlMapping) and item.place.line == rule.origin.line:
            return item
    return None


def _place(node: YamlMapping | None, rule: Rule) -> Place:
    match = node.get("match") if node is not None else None
    return match.place if match is not None else node.place if node is not None else Place(rule.origin.line, 1)


def _place_of_override(node: YamlMapping | None, index: int, rule: Rule) -> Place:
    overrides = node.get("overrides") if node is not None else None
    items = overrides.items if isinstance(overrides, YamlSequence) else ()
    item = items[index] if index < len(items) else None
    match = item.get("match") if isinstance(item, YamlMapping) else None
    return match.place if match is not None else _place(node, rule)
