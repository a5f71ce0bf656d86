"""Pens: how text is written for the place where it stands. Whatever comes from data goes through `escape`.

Slack's rules: "Formatting message text" and "Text object" (docs.slack.dev). In mrkdwn `&`, `<` and `>` are written as
entities and nothing else is; there is no escape for `*`, `_`, `~` and the backtick, so those that could begin or end
a span get zero-width spaces. plain_text has no markup at all, so nothing is escaped there.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from alertbot.rules.plain import UNSHOWABLE, one_line

_ZERO_WIDTH = "\u200b"
_ELLIPSIS = "…"
_SPAN_MARK = re.compile(r"(?<![^\W_])[*_~`]+|[*_~`]+(?![^\W_])")  # between two letters or digits Slack lets them be
_EMOJI_CODE = re.compile(r":(?=[a-z0-9_+'-]+:)", re.IGNORECASE)
_QUOTE_MARK = re.compile(r"^(\s*)(?=>)")
_USER_ID = re.compile(r"[UW][A-Z0-9]{5,20}")
_MENTION = re.compile(r"<(?:@[UW][A-Z0-9]+|!subteam\^S[A-Z0-9]+|!here|!channel|!everyone)>")
_MRKDWN_TOKEN = re.compile(r"<[^<>]*>|&(?:amp|lt|gt);|.", re.DOTALL)


def cleaned(text: str) -> str:
    """The text on one line, without what cannot be shown."""
    return one_line(text).strip()


def size(text: str) -> int:
    """Length in UTF-16 units: Slack does not say how it counts, and this is the most that it may find."""
    return len(text.encode("utf-16-le", "replace")) // 2


def clip(text: str, limit: int) -> str:
    """The text, or as much of it as fits `limit` with "…" behind it. For text that is not escaped yet."""
    if size(text) <= limit:
        return text
    kept = text[: max(limit - 1, 0)]
    while size(kept) > limit - 1:
        kept = kept[:-1]
    return kept.rstrip() + _ELLIPSIS


def clip_mrkdwn(text: str, limit: int) -> str:
    """As `clip`, for written mrkdwn: never cuts an entity or a `<…>` sequence in two."""
    if size(text) <= limit:
        return text
    kept, length = [], 0
    for token in _MRKDWN_TOKEN.findall(text):
        length += size(token)
        if length > limit - 1:
            break
        kept.append(token)
    return "".join(kept).rstrip() + _ELLIPSIS


def is_mention(text: str) -> bool:
    """Whether a configured mention is one that Slack knows: a user, a user group, here, channel or everyone."""
    return _MENTION.fullmatch(text) is not None


class Pen(Protocol):
    """Writes for one kind of place. Everything returned is ready for that place."""

    def escape(self, text: str) -> str:
        """Text from data, shown as it is, on one line; it mentions nobody and formats nothing."""

    def strong(self, text: str) -> str:
        """Text from data that stands out."""

    def code(self, text: str) -> str:
        """Text from data as typed: a condition, a metric key."""

    def link(self, url: str, label: str) -> str:
        """A link; anything but http(s) is shown as text."""

    def person(self, who: str) -> str:
        """A Slack user id as that user's name, anything else as text."""

    def when(self, moment: datetime, *, zone: ZoneInfo) -> str:
        """A day and time; where the reader's own zone is not known, in `zone`, which is named."""

    def clock(self, moment: datetime, *, zone: ZoneInfo) -> str:
        """A time of day with seconds, as `when`."""


class PlainPen:
    """For plain_text and for terminals: nothing is markup."""

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


class MrkdwnPen:
    """For mrkdwn text objects with `verbatim: true`, so that Slack links and mentions nothing by itself."""

    def escape(self, text: str) -> str:
        shown = _SPAN_MARK.sub(lambda mark: _ZERO_WIDTH + _ZERO_WIDTH.join(mark[0]) + _ZERO_WIDTH, cleaned(text))
        shown = _EMOJI_CODE.sub(":" + _ZERO_WIDTH, shown)
        shown = _QUOTE_MARK.sub(rf"\1{_ZERO_WIDTH}", shown)
        return entities(shown)

    def strong(self, text: str) -> str:
        shown = self.escape(text)
        return f"*{shown}*" if shown else ""

    def code(self, text: str) -> str:
        shown = entities(cleaned(text).replace("`", "ˋ"))  # no escape exists inside a code span either
        return f"`{shown}`" if shown else ""

    def link(self, url: str, label: str) -> str:
        if not url.startswith(("http://", "https://")) or UNSHOWABLE.search(url):
            return self.escape(url)
        for character, encoded in (("|", "%7C"), ("<", "%3C"), (">", "%3E"), (" ", "%20")):
            url = url.replace(character, encoded)
        return f"<{url.replace('&', '&amp;')}|{self.escape(label).replace('|', '¦')}>"

    def person(self, who: str) -> str:
        return f"<@{who}>" if _USER_ID.fullmatch(who) else self.escape(who)

    def when(self, moment: datetime, *, zone: ZoneInfo) -> str:
        fallback = PlainPen().when(moment, zone=zone)
        return f"<!date^{int(moment.timestamp())}^{{date_short_pretty}} at {{time}}|{fallback}>"

    def clock(self, moment: datetime, *, zone: ZoneInfo) -> str:
        fallback = PlainPen().clock(moment, zone=zone)
        return f"<!date^{int(moment.timestamp())}^{{time_secs}}|{fallback}>"


class FallbackPen(PlainPen):
    """For a message's top-level `text`, which notifications and screen readers read: escaped, and no formatting."""

    def escape(self, text: str) -> str:
        return MrkdwnPen().escape(text)


def entities(text: str) -> str:
    """The three characters that Slack wants escaped, and nothing else."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
