"""Pens: how text is written for the place where it stands. Whatever comes from data goes through `escape`."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from alertbot.rules.plain import one_line

ELLIPSIS = "…"


def cleaned(text: str) -> str:
    """The text on one line, trimmed, without characters that cannot be shown."""
    return one_line(text).strip()


def size(text: str) -> int:
    """Length in UTF-16 units. Slack does not document how it counts; no other count is higher."""
    return len(text.encode("utf-16-le", "replace")) // 2


def clip(text: str, limit: int) -> str:
    """The text, or as much of it as fits in `limit` with "…" at its end. For text that is not escaped yet."""
    if size(text) <= limit:
        return text
    kept = text[: max(limit - 1, 0)]
    while size(kept) > limit - 1:
        kept = kept[:-1]
    return kept.rstrip() + ELLIPSIS


class Pen(Protocol):
    """Writes for one kind of place. Everything that it returns is ready for that place."""

    def escape(self, text: str) -> str:
        """Text from data on one line, shown as it is: it mentions no one and formats nothing."""

    def strong(self, text: str) -> str:
        """Text from data that stands out."""

    def code(self, text: str) -> str:
        """Text from data as it was typed: a condition, a metric key."""

    def link(self, url: str, label: str) -> str:
        """A link. A URL that is not http(s) is shown as text."""

    def person(self, who: str) -> str:
        """A Slack user id as the name of that user; anything else as text."""

    def when(self, moment: datetime, *, zone: ZoneInfo) -> str:
        """A day and time: in the reader's own zone where that is possible, else in `zone`, with the zone's name."""

    def clock(self, moment: datetime, *, zone: ZoneInfo) -> str:
        """A time of day with seconds, in the zone of `when`."""

    def minute(self, moment: datetime, *, zone: ZoneInfo) -> str:
        """A time of day without seconds, in the zone of `when`."""


class PlainPen:
    """For plain_text and for terminals, where nothing is markup."""

    def escape(self, text: str) -> str:
        return cleaned(text)

    def strong(self, text: str) -> str:
        return self.escape(text)

    def code(self, text: str) -> str:
        return self.escape(text)

    def link(self, url: str, label: str) -> str:
        return self.escape(url)

    def person(self, who: str) -> str:
        return self.escape(who)

    def when(self, moment: datetime, *, zone: ZoneInfo) -> str:
        return f"{moment.astimezone(zone):%Y-%m-%d %H:%M %Z}"

    def clock(self, moment: datetime, *, zone: ZoneInfo) -> str:
        return f"{moment.astimezone(zone):%H:%M:%S %Z}"

    def minute(self, moment: datetime, *, zone: ZoneInfo) -> str:
        return f"{moment.astimezone(zone):%H:%M %Z}"
