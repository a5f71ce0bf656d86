"""Which entities a rule is about: globs on names, exact ids, and the overrides for some of them.

Names are compared here and nowhere else, so that rules, overrides, rule tests and commands agree on what a name is.
What differs only in how it was typed or encoded is the same name (`fold`): letter case, runs of whitespace, the kind of
quote or apostrophe, composed or combining accents. In a pattern only `*` and `?` are special: brackets are part of many
names.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from alertbot.rules.tree import Literal


@dataclass(frozen=True, slots=True)
class Match:
    """Which entities. Globs on the name (compared by `fold`) or exact ids; empty means all."""

    names: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    exclude_names: tuple[str, ...] = ()
    exclude_ids: tuple[str, ...] = ()


EVERY_ENTITY = Match()


@dataclass(frozen=True, slots=True)
class Only:
    """The only entities of a scope that any rule reads, by id. Empty: all of them.

    `parents`: the queues of queue_agents, the groups of group_agents.
    """

    ids: frozenset[str] = frozenset()
    parents: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Override:
    """Other parameters for some entities; the first override that matches counts."""

    match: Match
    params: Mapping[str, Literal]


class Matcher:
    """A Match with its globs compiled; all globs of a kind are one pattern, so a name is scanned once."""

    def __init__(self, match: Match) -> None:
        self._all = not match.names and not match.ids
        self._names = globs(match.names)
        self._ids = frozenset(match.ids)
        self._not_names = globs(match.exclude_names)
        self._not_ids = frozenset(match.exclude_ids)

    def covers(self, entity_id: str, name: str) -> bool:
        """Whether it lets this entity through."""
        wanted = self._all or entity_id in self._ids or (self._names is not None and bool(self._names(name)))
        if not wanted:
            return False
        return not (entity_id in self._not_ids or (self._not_names is not None and self._not_names(name)))


@lru_cache(maxsize=1024)
def matcher(match: Match) -> Matcher:
    """The compiled form of a match; compiled once, since the same rules are evaluated at every poll."""
    return Matcher(match)


def covers(match: Match, entity_id: str, name: str) -> bool:
    """Whether a match lets this entity through: by name or id (all where it names none), and not excluded."""
    return matcher(match).covers(entity_id, name)


def globs(patterns: tuple[str, ...]) -> Callable[[str], bool] | None:
    """Whether a name matches one of the patterns, as a function; None where there are no patterns."""
    if not patterns:
        return None
    matches = re.compile("|".join(map(_expression, patterns)), re.DOTALL).fullmatch
    return lambda name: matches(fold(name)) is not None


def matches(pattern: str, name: str) -> bool:
    """Whether a name matches a pattern."""
    return re.fullmatch(_expression(pattern), fold(name), re.DOTALL) is not None


def exactly(name: str) -> str:
    """The pattern for this one name. Each `*` in the name becomes `?`, since it cannot be escaped."""
    return name.translate(_STARS)


def same_name(one: str, other: str) -> bool:
    """Whether two texts are the same name."""
    return fold(one) == fold(other)


@lru_cache(maxsize=65_536)
def fold(name: str) -> str:
    """The form in which names are compared.

    Unicode NFKC, without regard to case; any run of whitespace is one space, none at the ends; every quote and
    apostrophe is the same character.
    """
    if name.isascii():
        return " ".join(name.translate(_QUOTES).casefold().split())
    text = unicodedata.normalize("NFC", name).translate(_QUOTES)
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(text.split())


def _expression(pattern: str) -> str:
    """A regular expression that never tries again where a `*` ends: the first place that fits is as good as any.

    Otherwise a dozen `*` in a pattern would take hours for one name, and anyone may write a silence.
    """
    first, *rest = re.sub(r"\*+", "*", fold(pattern)).split("*")
    if not rest:
        return _literally(first)
    *middle, last = rest
    return _literally(first) + "".join(f"(?>.*?{_literally(part)})" for part in middle) + f".*{_literally(last)}"


def _literally(part: str) -> str:
    return "".join("." if character == "?" else re.escape(character) for character in part)


# NFKC makes a star of each of these.
_STARS = str.maketrans(dict.fromkeys("*\N{SMALL ASTERISK}\N{FULLWIDTH ASTERISK}", "?"))
# Before NFKC, which would take some of them apart: U+00B4 into a space and an accent, U+2033 into two primes.
_QUOTES = str.maketrans(dict.fromkeys('"`´‘’‚‛“”„‟‹›«»′″‴‵‶ʹʺʻʼʽˈˊˋ＂＇｀「」『』❛❜❝❞', "'"))
