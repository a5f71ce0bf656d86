"""`ignore` of alertbot.yaml: entities that no rule evaluates, whatever its `match`, and agents that none counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from alertbot.rules.catalogue import Scope
from alertbot.rules.functions import AGENTS_OF
from alertbot.rules.match import EVERY_ENTITY, Match, covers
from alertbot.rules.rule import Rule, RuleSet

Ignore = Mapping[Scope, Match]
"""By scope, a match with nothing but `exclude_names` and `exclude_ids`: the entities that are ignored."""

_OF_AGENTS = frozenset(AGENTS_OF.values())  # an agent in a queue or group is the same agent


def ignoring(rules: RuleSet, ignore: Ignore) -> RuleSet:
    """The same rules, none of which covers or counts what is ignored. An alert that it no longer covers ends."""
    if not any(match != EVERY_ENTITY for match in ignore.values()):
        return rules
    return replace(rules, rules=tuple(_ignoring(rule, ignore) for rule in rules.rules))


def is_ignored(ignore: Ignore, scope: Scope, entity_id: str, name: str) -> bool:
    """Whether this entity is one that no rule evaluates."""
    return not covers(_without(EVERY_ENTITY, scope, ignore), entity_id, name)


def _ignoring(rule: Rule, ignore: Ignore) -> Rule:
    counted = AGENTS_OF.get(rule.scope)
    return replace(
        rule,
        match=_without(rule.match, rule.scope, ignore),
        countable=_without(EVERY_ENTITY, counted, ignore) if counted is not None else EVERY_ENTITY,
    )


def _without(match: Match, scope: Scope, ignore: Ignore) -> Match:
    for each in (scope, Scope.AGENT) if scope in _OF_AGENTS else (scope,):
        ignored = ignore.get(each, EVERY_ENTITY)
        match = replace(
            match,
            exclude_names=tuple(dict.fromkeys((*match.exclude_names, *ignored.exclude_names))),
            exclude_ids=tuple(dict.fromkeys((*match.exclude_ids, *ignored.exclude_ids))),
        )
    return match
