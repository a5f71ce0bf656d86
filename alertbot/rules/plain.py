"""Text from any source, made safe to show on one line."""

from __future__ import annotations

import re

# Control characters and line ends (a name must not start a new line or drive a terminal), lone surrogates (which cannot
# be encoded) and the characters that change the direction of all text after them.
UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


def one_line(text: str) -> str:
    """The text with a space for each run of characters that cannot be shown; spaces at its ends stay."""
    return UNSHOWABLE.sub(" ", text)
