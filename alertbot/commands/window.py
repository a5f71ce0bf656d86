"""The window at the end of a command: `chart KEY NAME 6h`, `history 2d`. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from alertbot.rules.units import parse_duration, write_duration


def split_window(words: Sequence[str], default: timedelta, longest: timedelta) -> tuple[list[str], timedelta] | str:
    """The words without a length of time at their end, and that length; or what is wrong with it, as a sentence."""
    if not words:
        return [], default
    try:
        window = parse_duration(words[-1].casefold())
    except ValueError:
        return list(words), default
    if not timedelta(0) < window <= longest:
        return f"{words[-1]} is not a valid window: write {write_duration(longest)} or less."
    return list(words[:-1]), window
