"""Words that all texts share: a number with its noun, a list, and the known name nearest to a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence


def count(number: int, one: str, many: str = "") -> str:
    """`1 alert`, `2 alerts`; `many` where an "s" is not the plural."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(words: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`; an empty text for no words."""
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)


def nearest(
    word: str,
    known: Iterable[str],
    *,
    limit: int = 1,
    cutoff: float = 0.6,
    fold: Callable[[str], str] = str.casefold,
) -> list[str]:
    """The known words that `word` most likely meant, the likeliest first; an empty list where none is near.

    Compared after `fold`. `cutoff` is difflib's ratio: 0 takes anything, 1 only the same word.
    """
    by_folded: dict[str, str] = {}
    for each in known:
        by_folded.setdefault(fold(each), each)
    return [by_folded[text] for text in difflib.get_close_matches(fold(word), by_folded, n=limit, cutoff=cutoff)]


def likeness(a: str, b: str) -> float:
    """How alike two words are, case ignored: difflib's ratio, 0 to 1."""
    return difflib.SequenceMatcher(None, a.casefold(), b.casefold()).ratio()
