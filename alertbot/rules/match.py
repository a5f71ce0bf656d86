"""Which entities a rule is about: globs on names, exact ids, and the overrides for some of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alertbot.rules.tree import Literal


@dataclass(frozen=True, slots=True)
class Match:
    """Which entities. Globs on the name (without regard to case) or exact ids; empty means all."""

    names: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    exclude_names: tuple[str, ...] = ()
    exclude_ids: tuple[str, ...] = ()


EVERY_ENTITY = Match()


@dataclass(frozen=True, slots=True)
class Only:
    """The only entities of a scope that rules look at, by id. Empty: all of them.

    `parents`: the queues of queue_agents, the groups of group_agents.
    """

    ids: frozenset[str] = frozenset()
    parents: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Override:
    """Other parameters for some entities; the first override that matches counts."""

    match: Match
    params: Mapping[str, Literal]
