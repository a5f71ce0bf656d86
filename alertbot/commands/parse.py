"""From the text after the slash command to a `Command`."""

from __future__ import annotations

from alertbot.commands.command import Command

_DOUBLE = frozenset('"“”„‟«»＂')
_SINGLE = frozenset("'‘’‚‛")
_UNSEEN = frozenset("\u200b\u2060\ufeff")  # pasted along with text, and invisible


def parse(text: str) -> Command:
    """The text after the slash command, parsed; never fails. No text is `help`.

    Words are separated by whitespace of any kind. Quotes (`"`, `'`, and the smart ones that phones write) keep spaces;
    a quote without its partner, and an apostrophe inside a word, is a letter. A bare `public` at the end is a flag.
    """
    words = _words("".join(" " if char in _UNSEEN else char for char in text))
    if not words:
        return Command("help")
    (name, _), *rest = words
    public = bool(rest) and not rest[-1][1] and rest[-1][0].casefold() == "public"
    if public:
        rest.pop()
    return Command(name.casefold(), tuple(word for word, _ in rest), public)


def _words(text: str) -> list[tuple[str, bool]]:
    """The words, and whether a quote was in them."""
    words: list[tuple[str, bool]] = []
    word: list[str] = []
    quoted = begun = False
    unmatched = False  # no single quote closes from here on: do not search again
    at = 0
    while at < len(text):
        char = text[at]
        if char.isspace():
            if begun:
                words.append(("".join(word), quoted))
                word, quoted, begun = [], False, False
            at += 1
            continue
        end = None
        if char in _DOUBLE:
            end = next((i for i in range(at + 1, len(text)) if text[i] in _DOUBLE), None)
        elif char in _SINGLE and not begun and not unmatched:
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
        words.append(("".join(word), quoted))
    return words


def _single_end(text: str, start: int) -> int | None:
    """Where a single quote that opens a word closes one: `'O'Brien'` has an apostrophe inside."""
    for at in range(start + 1, len(text)):
        if text[at] in _SINGLE and (at + 1 == len(text) or text[at + 1].isspace()):
            return at
    return None
