"""From a typed name to the entities and rules that it may mean."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from alertbot.commands.view import TenantView
from alertbot.evaluation.snapshot import Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.rules.match import fold, same_name
from alertbot.rules.rule import Rule
from alertbot.rules.words import nearest

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
    def full_name(self) -> str:
        """What rules and silences match."""
        return self.snapshot.names[self.row]

    @property
    def name(self) -> str:
        """What output calls it."""
        return self.tenant.names.of(self.tenant.name, self.snapshot.scope, self.id, self.full_name)


def loose(text: str) -> str:
    """For comparing names in commands, which are typed on phones: as `fold`, and accents are ignored too."""
    plain = fold(text)
    if plain.isascii():
        return plain
    letters = unicodedata.normalize("NFKD", plain.translate(_PLAIN))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


# Letters that Unicode does not take apart into a plain one and its accent.
_PLAIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"})


def entities(tenants: Iterable[TenantView], scope: Scope) -> list[Entity]:
    """Every entity of a scope, over all tenants."""
    return [
        Entity(tenant, tenant.snapshots[scope], row)
        for tenant in tenants
        if scope in tenant.snapshots
        for row in range(len(tenant.snapshots[scope]))
    ]


def find(known: Sequence[Entity], name: str) -> list[Entity]:
    """The entities that `name` means, by the first of these that has any: exact, the same name, the same without regard
    to accents, id, the name as output shows it, prefix, part.

    The id comes before prefix and part: otherwise one of two entities with the same name could not be asked for.
    `tenant/name` searches that tenant alone.
    """
    matching = _tiers(known, name)
    if not matching and "/" in name:
        tenant, _, rest = name.partition("/")
        of_tenant = [entity for entity in known if same_name(entity.tenant.name, tenant)]
        matching = _tiers(of_tenant, rest.strip())
    return matching


def _tiers(known: Sequence[Entity], name: str) -> list[Entity]:
    wanted = loose(name)
    if not wanted:
        return []
    folded = [(entity, loose(entity.full_name)) for entity in known]
    tiers: list[Callable[[Entity, str], bool]] = [
        lambda entity, _: entity.full_name == name,
        lambda entity, _: same_name(entity.full_name, name),
        lambda _, text: text == wanted,
        lambda entity, _: entity.id == name.strip().removeprefix("#"),
        lambda entity, _: entity.name != entity.full_name and loose(entity.name) == wanted,
        lambda _, text: text.startswith(wanted),
        lambda _, text: wanted in text,
    ]
    for tier in tiers:
        matching = [entity for entity, text in folded if tier(entity, text)]
        if matching:
            return matching
    return []


def find_rules(rules: Iterable[Rule], wanted: str) -> list[Rule]:
    """The rules that a word means, by id or title: by the first of exact, prefix, part that has any."""
    known, text = list(rules), loose(wanted)
    for tier in (
        lambda name: name == text,
        lambda name: name.startswith(text),
        lambda name: text in name,
    ):
        if matching := [rule for rule in known if tier(loose(rule.id)) or tier(loose(rule.title))]:
            return matching
    return []


_SMALL_WORDS = frozenset(
    "a an and are as at by for from in is it not of on or than the to too was with".split()  # noqa: SIM905
)
"""Words of titles that name nothing: `foo` is nearly `for`."""


def similar(name: str, known: Iterable[tuple[str, _T]], limit: int = 3) -> list[_T]:
    """What a misspelt name may mean, the likeliest first; `known` are names with what they name.

    A single word is compared with each word of a name too: of an agent, most people type the first name alone.
    """
    by_word: dict[str, dict[str, _T]] = {}  # by the whole name or a word of it: what has that name, by the whole name
    for text, thing in known:
        whole = loose(text)
        words = whole.split() if " " not in loose(name) else ()
        for word in {whole, *(word for word in words if word not in _SMALL_WORDS)}:
            by_word.setdefault(word, {}).setdefault(whole, thing)
    likely: dict[str, _T] = {}
    for word in nearest(name, by_word, limit=limit, fold=loose):
        for whole, thing in by_word[word].items():
            likely.setdefault(whole, thing)
    return list(likely.values())[:limit]
