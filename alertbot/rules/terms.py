"""Words and terms as people type them: `rule=longest-wait name="Sales EU"`, in commands, silences and rule tests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from alertbot.rules.match import fold
from alertbot.rules.words import listed, nearest

TERMS = ("tenant", "rule", "name", "level", "scope")
"""What a term can be about, beside the labels: `label.KEY`."""
LABEL = "label."
EXAMPLE = 'rule=longest-wait name="Sales EU"'

_DOUBLE = frozenset('"“”„‟«»＂')
_SINGLE = frozenset("'‘’‚‛")
_TERM = re.compile(r"([^=\s]*)=(.*)", re.DOTALL)

Terms = tuple[tuple[str, str], ...]
"""Each the name of a term and its pattern, with `*` and `?` as wildcards."""


def words(text: str) -> list[tuple[str, bool]]:
    """The words of a text, and whether a quote was in them; never fails.

    Words are separated by whitespace of any kind. Quotes (`"`, `'`, and the smart ones that phones write) keep spaces,
    at the beginning of a word or after its `=`; a quote without its partner, and an apostrophe inside a word, is a
    letter.
    """
    found: list[tuple[str, bool]] = []
    word: list[str] = []
    quoted = begun = False
    unmatched = False  # no single quote closes from here on: do not search again
    at = 0
    while at < len(text):
        char = text[at]
        if char.isspace():
            if begun:
                found.append(("".join(word), quoted))
                word, quoted, begun = [], False, False
            at += 1
            continue
        end = None
        if char in _DOUBLE:
            end = next((i for i in range(at + 1, len(text)) if text[i] in _DOUBLE), None)
        elif char in _SINGLE and (not begun or word[-1:] == ["="]) and not unmatched:
            end = _single_end(text, at)
            unmatched = end is None
        begun = True
        if end is None:
            word.append(char)
            at += 1
        else:
            word.append(text[at + 1 : end])
            quoted = True
            at = end + 1
    if begun:
        found.append(("".join(word), quoted))
    return found


def _single_end(text: str, start: int) -> int | None:
    """Where a single quote that opens a word closes one: `'O'Brien'` has an apostrophe inside."""
    for at in range(start + 1, len(text)):
        if text[at] in _SINGLE and (at + 1 == len(text) or text[at + 1].isspace()):
            return at
    return None


def is_term(word: str) -> bool:
    """Whether a word has the form of a term, whether or not there is such a term."""
    return _TERM.fullmatch(word) is not None


def parse_terms(given: Iterable[str]) -> Terms:
    """The terms of these words, whose quotes are resolved: `name=Sales EU`.

    Raises ValueError with a sentence that says what to write.
    """
    return tuple(_term(word) for word in given)


def _term(word: str) -> tuple[str, str]:
    parts = _TERM.fullmatch(word)
    if parts is None:
        raise ValueError(f"“{word}” is not a term: write a name, = and a pattern, such as {EXAMPLE}.")
    name, pattern = fold(parts[1]), parts[2].strip()
    if not name:
        raise ValueError(f"“{word}” has nothing before the =: write it without spaces, such as {EXAMPLE}.")
    if name not in TERMS and not (name.startswith(LABEL) and len(name) > len(LABEL)):
        near = nearest(name, [*TERMS, "label.KEY"], cutoff=0.5)
        hint = f"did you mean {near[0]}=?" if near else f"the terms are {listed([*TERMS, 'label.KEY'])}."
        raise ValueError(f"There is no term “{parts[1]}”: {hint}")
    if not pattern:
        raise ValueError(f"{name}= has no value: write it without spaces, such as {EXAMPLE}.")
    return name, pattern


def write_terms(terms: Sequence[tuple[str, str]]) -> str:
    """Terms as they can be typed, with quotes where a pattern has spaces."""
    return " ".join(f"{name}={_quoted(pattern)}" for name, pattern in terms)


def _quoted(pattern: str) -> str:
    plain = not any(char.isspace() or char in _DOUBLE for char in pattern) and pattern[:1] not in _SINGLE
    if plain:
        return pattern
    # A pattern that has double quotes is written with ? for each: any character, so the quote as well.
    return f'"{"".join("?" if char in _DOUBLE else char for char in pattern)}"'
