"""Names of agents in output: as they are, or as initials (`privacy.agents`). Matching always uses full names.

Theory of operation. Rules, silences and commands compare full names, and the database holds them: history from before
the setting was changed is shown as the setting says now. Only output differs, in two ways. What has a name of its own
(an alert, a row of an answer) is shown by `of`, which knows whose name it is. What is only text (a note, an error, a
log line) goes through `text`, which looks for full names of known agents in it.

`Dana Whitfield` is `DW`. Two agents of one tenant with equal initials are `DW (A12)` and `DW (A40)`, by id. Initials
are compared among all agents that the tenant ever had in this database. So an agent that logs out, or leaves, changes
no other name, and a name changes at most once: when a second agent with its initials appears.

`text` looks for whole names of at least two words. A name of one word may be an ordinary word ("Sales"), and replacing
that everywhere would make texts unreadable.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from alertbot.rules.catalogue import Scope, shown_name
from alertbot.rules.match import fold, matches

AGENT_SCOPES = frozenset({Scope.AGENT, Scope.QUEUE_AGENT, Scope.GROUP_AGENT})
"""The scopes whose entities are agents. A parent is a queue or a group, and always has its name."""

# A word begins with a letter or digit. It ends at a blank or at punctuation, but not at an apostrophe (O'Neil), nor at
# a combining mark, which is neither a letter nor punctuation.
_WORD = re.compile(r"[^\W_][^\s!-&(-/:-@\[-`{-~\u2010-\u2018\u201a-\u206f]*")
_PART = re.compile(r"[^\W_][^\s!-/:-@\[-`{-~\u2010-\u206f]*")  # the same, and it ends at an apostrophe
_MAX_GAP = 3  # characters between two words of a name: a blank, or a comma and a blank


class Agent(NamedTuple):
    """One agent of one tenant, with its full name."""

    tenant: str
    id: str
    name: str


@lru_cache(maxsize=16_384)
def initials(name: str) -> str:
    """The first letter of each word, in capitals: `Dana Whitfield` is `DW`. "" where the name has no letter or digit.

    Of an email address, those of the part before the @.
    """
    words = _WORD.findall(unicodedata.normalize("NFKC", name.split("@")[0] or name))
    return "".join(_first(word) for word in words)


def _first(word: str) -> str:
    """The first letter of a word, with its marks."""
    letter = word[0].upper() if len(word[0].upper()) == 1 else word[0]
    marks = 1
    while marks < len(word) and unicodedata.category(word[marks]).startswith("M"):
        marks += 1
    return letter + word[1:marks]


class Names:
    """How output shows the names of agents. Without `hidden`, as they are; then `agents` does not matter.

    `agents` are all that are known, including those that left. One that is not among them is shown by initials too.
    """

    def __init__(self, agents: Iterable[Agent] = (), *, hidden: bool = False) -> None:
        self.hidden = hidden
        self._agents = frozenset(agents) if hidden else frozenset()
        self._pairs: dict[str, set[tuple[str, str]]] = {}  # ids and names, by tenant
        self._ids: dict[tuple[str, str], set[str]] = {}  # by tenant and initials
        self._by_name: dict[str, set[Agent]] = {}  # by the folded name
        for agent in self._agents:
            self._pairs.setdefault(agent.tenant, set()).add((agent.id, agent.name))
            self._ids.setdefault((agent.tenant, initials(agent.name)), set()).add(agent.id)
            self._by_name.setdefault(fold(agent.name), set()).add(agent)
        self._phrases: dict[str, list[tuple[tuple[str, ...], str]]] = {}  # by the first word, the longest first
        for same in self._by_name.values():
            words = tuple(word for _, _, word in _parts(next(iter(same)).name))
            if len(words) > 1 and any(not word.isdigit() for word in words):
                self._phrases.setdefault(words[0], []).append((words, self._shared(same)))
        for phrases in self._phrases.values():
            phrases.sort(key=lambda phrase: -len(phrase[0]))

    def including(self, agents: Iterable[Agent]) -> Names:
        """The same with these agents as well."""
        new = set(agents) - self._agents if self.hidden else set()
        return Names(self._agents | new, hidden=True) if new else self

    def seeing(self, tenant: str, ids: Sequence[str], names: Sequence[str]) -> Names:
        """The same with the agents of a snapshot. Few snapshots have a new one, so each pair is only looked up."""
        known = self._pairs.get(tenant, set())
        new = [pair for pair in zip(ids, names, strict=True) if pair not in known] if self.hidden else []
        return self.including(Agent(tenant, *pair) for pair in new)

    def of(self, tenant: str, scope: Scope, entity_id: str, name: str) -> str:
        """The name of an entity as output shows it; the id where a hidden name has no initials."""
        if not self.hidden or scope not in AGENT_SCOPES or not name:
            return shown_name(scope, name)
        short = initials(name)
        if not short:
            return entity_id
        ids = self._ids.get((tenant, short), ())
        shared = len(ids) > 1 or (len(ids) == 1 and entity_id not in ids)
        return f"{short} ({entity_id})" if shared else short

    def text(self, text: str) -> str:
        """A text with the full names of known agents replaced, in any letter case."""
        if not self._phrases:
            return text
        parts = _parts(text)
        pieces, end, at = [], 0, 0
        while at < len(parts):
            found = self._found(text, parts, at)
            if found is None:
                at += 1
                continue
            length, shown = found
            pieces += [text[end : parts[at][0]], shown]
            at += length
            end = parts[at - 1][1]
        return "".join((*pieces, text[end:])) if pieces else text

    def pattern(self, pattern: str) -> str:
        """The pattern of a `name=` term: that of one known agent, as `of` shows it, else as `text` shows it."""
        if not self.hidden:
            return pattern
        if (same := self._by_name.get(fold(pattern))) is not None:
            return self._shared(same)
        if any(wildcard in pattern for wildcard in "*?") and len(_parts(pattern)) > 1:
            meant = {agent for agent in self._agents if matches(pattern, agent.name)}
            if len({(agent.tenant, agent.id) for agent in meant}) == 1:
                return self._shared(meant)
        return self.text(pattern)

    def meant(self, typed: str) -> str:
        """The full name of the one agent that output shows as this; else what was typed."""
        if not self.hidden:
            return typed
        wanted = fold(typed)
        names = {
            agent.name
            for agent in self._agents
            if fold(self.of(agent.tenant, Scope.AGENT, agent.id, agent.name)) == wanted
        }
        return names.pop() if len(names) == 1 else typed

    def _found(self, text: str, parts: list[tuple[int, int, str]], at: int) -> tuple[int, str] | None:
        """The longest name that begins at this word: its number of words, and what is shown instead."""
        for words, shown in self._phrases.get(parts[at][2], ()):
            here = parts[at : at + len(words)]
            if tuple(word for _, _, word in here) != words:
                continue
            gaps = [text[one[1] : other[0]] for one, other in pairwise(here)]
            if all(len(gap) <= _MAX_GAP for gap in gaps):
                return len(words), shown
        return None

    def _shared(self, agents: set[Agent]) -> str:
        """How agents of one name are shown when only the name is known: without an id if there are several.

        An agent whose name has no initials is shown by its id.
        """
        one = min(agents)
        if len({(agent.tenant, agent.id) for agent in agents}) == 1:
            return self.of(one.tenant, Scope.AGENT, one.id, one.name)
        return initials(one.name) or one.id


NAMES_IN_FULL = Names()
"""Output shows all names as they are."""


def _parts(text: str) -> list[tuple[int, int, str]]:
    """The words of a text as (begin, end, the word for comparing)."""
    return [(found.start(), found.end(), _comparable(found[0])) for found in _PART.finditer(text)]


def _comparable(word: str) -> str:
    return word.casefold() if word.isascii() else unicodedata.normalize("NFKC", word).casefold()
