"""From a name that somebody typed to the entities that it may mean."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from alertbot.commands.command import TenantView
from alertbot.evaluation.snapshot import Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Rule

_T = TypeVar("_T")


@dataclass(frozen=True)
class Entity:
    """One row of one tenant's last snapshot."""

    tenant: TenantView
    snapshot: Snapshot
    row: int

    @property
    def id(self) -> str:
        return self.snapshot.ids[self.row]

    @property
    def name(self) -> str:
        return self.snapshot.names[self.row]


def fold(text: str) -> str:
    """For comparing names: without regard to case, kinds of blanks and ways to encode the same letter."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def entities(tenants: Iterable[TenantView], scope: Scope) -> list[Entity]:
    """Every entity of a scope, over all tenants."""
    return [
        Entity(tenant, tenant.snapshots[scope], row)
        for tenant in tenants
        if scope in tenant.snapshots
        for row in range(len(tenant.snapshots[scope]))
    ]


def find(known: Sequence[Entity], name: str) -> list[Entity]:
    """The entities that `name` means: the first of exact, without regard to case, id, prefix, part that has any.

    The id comes before prefix and part, or one of two entities with the same name could not be asked for.
    `tenant/name` looks in that tenant only.
    """
    found = _tiers(known, name)
    if not found and "/" in name:
        tenant, _, rest = name.partition("/")
        of_tenant = [each for each in known if fold(each.tenant.name) == fold(tenant)]
        found = _tiers(of_tenant, rest.strip())
    return found


def _tiers(known: Sequence[Entity], name: str) -> list[Entity]:
    wanted = fold(name)
    if not wanted:
        return []
    folded = [(each, fold(each.name)) for each in known]
    tiers: list[Callable[[Entity, str], bool]] = [
        lambda each, _: each.name == name,
        lambda _, text: text == wanted,
        lambda each, _: each.id == name.strip().removeprefix("#"),
        lambda _, text: text.startswith(wanted),
        lambda _, text: wanted in text,
    ]
    for tier in tiers:
        found = [each for each, text in folded if tier(each, text)]
        if found:
            return found
    return []


def find_rules(rules: Iterable[Rule], wanted: str) -> list[Rule]:
    """The rules that a word means, by id or title: the first of exact, prefix, part that has any."""
    known, text = list(rules), fold(wanted)
    for tier in (
        lambda name: name == text,
        lambda name: name.startswith(text),
        lambda name: text in name,
    ):
        if found := [rule for rule in known if tier(fold(rule.id)) or tier(fold(rule.title))]:
            return found
    return []


def nearest(name: str, known: Iterable[tuple[str, _T]], count: int = 3, cutoff: float = 0.6) -> list[_T]:
    """The likeliest meanings of a misspelt name, the likeliest first; `known` are names with what they name."""
    by_name: dict[str, _T] = {}
    for text, thing in known:
        by_name.setdefault(fold(text), thing)
    return [by_name[text] for text in difflib.get_close_matches(fold(name), by_name, n=count, cutoff=cutoff)]
