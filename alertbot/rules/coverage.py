"""Which rules and overrides cover nothing: their match covers no entity of the last poll, which is mostly a typo."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from alertbot.rules.match import EVERY_ENTITY, Match, covers
from alertbot.rules.rule import Rule

Entities = tuple[Sequence[str], Sequence[str]]
"""The ids and the names of the entities of one poll, in the same order."""


def uncovered(rule: Rule, polls: Iterable[Entities]) -> tuple[Match, ...]:
    """The matches of a rule, its own first, then those of its overrides, that cover no entity of these polls.

    `polls` are of the scope of the rule, one for each tenant that runs it. Without any entity nothing is known, so the
    result is empty.
    """
    known = [entities for entities in polls if entities[0]]
    if not known:
        return ()
    wanted = [rule.match, *(override.match for override in rule.overrides)]
    return tuple(match for match in dict.fromkeys(wanted) if match != EVERY_ENTITY and not _covers_any(match, known))


def _covers_any(match: Match, polls: Sequence[Entities]) -> bool:
    return any(covers(match, *entity) for ids, names in polls for entity in zip(ids, names, strict=True))


def match_in_words(match: Match) -> str:
    """`name VIP*, id 103; not name *test*`, or `all`."""
    only = [*(f"name {name}" for name in match.names), *(f"id {id_}" for id_ in match.ids)]
    never = [*(f"name {name}" for name in match.exclude_names), *(f"id {id_}" for id_ in match.exclude_ids)]
    text = ", ".join(only) if only else "all"
    return f"{text}; not {', '.join(never)}" if never else text


def advice(match: Match) -> str:
    """What may be wrong with a match that covers nothing."""
    if any("[" in name for name in (*match.names, *match.exclude_names)):
        return "brackets are literal: only * and ? are special"
    if any("*" not in name for name in match.names):
        return "a name is the whole name: write *VIP* for a part of it"
    return "no name of the last poll is like it"
