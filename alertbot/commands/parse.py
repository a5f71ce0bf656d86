"""From the text after the slash command to a `Command`."""

from __future__ import annotations

import re

from alertbot.commands.command import Command
from alertbot.rules.terms import words

_UNSEEN = dict.fromkeys(map(ord, "\u200b\u2060\ufeff"), " ")  # pasted along with text, and invisible
_MARKS = dict.fromkeys([0xAD, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])  # inside words, as well
_CLEAN = _UNSEEN | _MARKS
_ESCAPED = re.compile("\u200b?([*_~`])\u200b?")  # as `slack/text.py` shows it; it is copied along with the character


def parse(text: str) -> Command:
    """The text after the slash command, parsed; never fails. No text is `help`.

    Words and quotes are as in `rules/terms.py`. A bare `public` at the end is a flag.
    """
    found = typed(text)
    if not found:
        return Command("help")
    (name, _), *rest = found
    public = bool(rest) and not rest[-1][1] and rest[-1][0].casefold() == "public"
    if public:
        rest.pop()
    return Command(name.casefold(), tuple(word for word, _ in rest), public)


def typed(text: str) -> list[tuple[str, bool]]:
    """The words that were typed or pasted, without what cannot be seen, and whether a quote was in them."""
    return words(_ESCAPED.sub(r"\1", text).translate(_CLEAN))
