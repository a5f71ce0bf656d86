"""Text of any origin, made safe to show on one line."""

from __future__ import annotations

import re

# Control characters and line ends (a name must not begin a new line, nor drive a terminal), lone surrogates (not
# sendable) and the characters that turn the direction of all that follows.
UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


def one_line(text: str) -> str:
    """The text with a blank for each run of what cannot be shown; blanks at its edges stay."""
    return UNSHOWABLE.sub(" ", text)
