"""Text from any source, made safe to show on one line."""

from __future__ import annotations

import re
import unicodedata

# Control characters and line ends (a name must not start a new line or drive a terminal), lone surrogates (which cannot
# be encoded) and the characters that change the direction of all text after them.
UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


# Characters that are drawn as nothing or as a space, and are neither: they come with a copy from a page or an editor.
INVISIBLE = re.compile(
    "[\xa0\xad\u034f\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u2066-\u206f\u3000\ufeff]"
)


def invisible_name(character: str) -> str:
    """A character that is not seen, in words: `a no-break space (U+00A0)`."""
    name = "a byte order mark" if character == "\ufeff" else f"a {unicodedata.name(character, 'character').lower()}"
    return f"{name} (U+{ord(character):04X})"


def one_line(text: str) -> str:
    """The text with a space for each run of characters that cannot be shown; spaces at its ends stay."""
    return UNSHOWABLE.sub(" ", text)
