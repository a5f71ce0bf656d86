"""The Silence menu of a card: its options, and what the value of one says."""

from __future__ import annotations

from enum import StrEnum


class For(StrEnum):
    """How long an option silences. The value of an option is this word and a target: `1h 17`, `close card:5`."""

    HOUR = "1h"
    CLOSE = "close"
    TOMORROW = "tomorrow"
    OTHER = "other"

    @property
    def label(self) -> str:
        return _LABELS[self]


_LABELS = {
    For.HOUR: "1 hour",
    For.CLOSE: "until close of business",
    For.TOMORROW: "until tomorrow 8:00",
    For.OTHER: "other …",
}


def chosen(value: str) -> tuple[For, str] | None:
    """What an option means: how long, and its target. None where the value is of no option that exists."""
    word, _, target = value.partition(" ")
    return (For(word), target) if word in list(For) and target else None
