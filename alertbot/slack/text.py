"""Text for Slack's mrkdwn. Whatever comes from data goes through `escape` or `in_code`, here and nowhere else.

Slack's rules: "Formatting message text" and "Text object" (docs.slack.dev). In mrkdwn `&`, `<` and `>` are written as
entities and nothing else is. There is no escape for `*`, `_`, `~` and the backtick, so those that could begin or end a
span get zero-width spaces. plain_text has no markup at all, so nothing is escaped there.
"""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from alertbot.notify.pens import ELLIPSIS, PlainPen, cleaned, size
from alertbot.rules.plain import UNSHOWABLE
from alertbot.rules.slack_ids import is_user_id

_ZERO_WIDTH = "\u200b"
_SPAN_MARK = re.compile(r"(?<![^\W_])[*_~`]+|[*_~`]+(?![^\W_])")  # Slack ignores one between two letters or digits
_EMOJI_CODE = re.compile(r":(?=[a-z0-9_+'-]+:)", re.IGNORECASE)
_QUOTE_MARK = re.compile(r"^(\s*)(?=>)")
_TOKEN = re.compile(r"<[^<>]*>|&(?:amp|lt|gt);|.", re.DOTALL)


def escape(text: str) -> str:
    """One line of any text for mrkdwn, shown as it is: it mentions nobody, formats nothing and is no emoji."""
    shown = _SPAN_MARK.sub(lambda mark: _ZERO_WIDTH + _ZERO_WIDTH.join(mark[0]) + _ZERO_WIDTH, text)
    shown = _EMOJI_CODE.sub(":" + _ZERO_WIDTH, shown)
    shown = _QUOTE_MARK.sub(rf"\1{_ZERO_WIDTH}", shown)
    return entities(shown)


def in_code(text: str) -> str:
    """Any text for the inside of backticks: nothing is formatted there, and only a backtick would end it."""
    return entities(text.replace("`", "ˋ"))


def entities(text: str) -> str:
    """The three characters that Slack wants escaped in every text, and nothing else."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def clip_mrkdwn(text: str, limit: int) -> str:
    """As `clip`, for text that is mrkdwn already: never cuts an entity or a `<…>` sequence in two."""
    if size(text) <= limit:
        return text
    kept, length = [], 0
    for token in _TOKEN.findall(text):
        length += size(token)
        if length > limit - 1:
            break
        kept.append(token)
    return "".join(kept).rstrip() + ELLIPSIS


class MrkdwnPen:
    """For mrkdwn text objects with `verbatim: true`, in which Slack makes no links or mentions of its own."""

    def escape(self, text: str) -> str:
        return escape(cleaned(text))

    def strong(self, text: str) -> str:
        shown = self.escape(text)
        return f"*{shown}*" if shown else ""

    def code(self, text: str) -> str:
        shown = in_code(cleaned(text))
        return f"`{shown}`" if shown else ""

    def link(self, url: str, label: str) -> str:
        if not url.startswith(("http://", "https://")) or UNSHOWABLE.search(url):
            return self.escape(url)
        for character, encoded in (("|", "%7C"), ("<", "%3C"), (">", "%3E"), (" ", "%20")):
            url = url.replace(character, encoded)
        return f"<{url.replace('&', '&amp;')}|{self.escape(label).replace('|', '¦')}>"

    def person(self, who: str) -> str:
        return f"<@{who}>" if is_user_id(who) else self.escape(who)

    def when(self, moment: datetime, *, zone: ZoneInfo) -> str:
        fallback = PlainPen().when(moment, zone=zone)
        return f"<!date^{int(moment.timestamp())}^{{date_short_pretty}} at {{time}}|{fallback}>"

    def clock(self, moment: datetime, *, zone: ZoneInfo) -> str:
        fallback = PlainPen().clock(moment, zone=zone)
        return f"<!date^{int(moment.timestamp())}^{{time_secs}}|{fallback}>"

    def minute(self, moment: datetime, *, zone: ZoneInfo) -> str:
        fallback = PlainPen().minute(moment, zone=zone)
        return f"<!date^{int(moment.timestamp())}^{{time}}|{fallback}>"


class FallbackPen(PlainPen):
    """For a message's top-level `text`, which notifications and screen readers read: escaped, and not formatted."""

    def escape(self, text: str) -> str:
        return escape(cleaned(text))
