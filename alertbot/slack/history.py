"""Reads what a channel shows, for audits: its recent messages, and single ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alertbot.alerts.cards import Posted
from alertbot.errors import DeliveryFailure, NotifyError
from alertbot.slack.notifier import SlackNotifier, notice_of

_PAGE = 200


@dataclass(frozen=True, slots=True)
class Shown:
    """One message of this bot, as Slack shows it. `headline`: of a card that was drawn, else ""."""

    posted: Posted
    notice_id: str
    headline: str


class ChannelHistory:
    """Reads what channels show, and counts its calls. Every method raises NotifyError as `Notifier.find` does."""

    def __init__(self, notifier: SlackNotifier) -> None:
        self._notifier = notifier
        self.calls = 0

    def recent(self, channel_id: str, oldest: str, max_pages: int) -> Mapping[str, Shown]:
        """The messages of this bot from `oldest` on, by `ts`; if there are more pages than this, the newest."""
        return self._read(channel_id, max_pages, oldest=oldest, inclusive=True)

    def _read(self, channel_id: str, max_pages: int, **args: Any) -> Mapping[str, Shown]:
        found: dict[str, Shown] = {}
        cursor = ""
        for _ in range(max_pages):
            self.calls += 1
            messages, cursor = self._notifier.read_page(channel_id, limit=_PAGE, cursor=cursor, **args)
            for message in messages:
                shown = self._shown(channel_id, message)
                if shown is not None:
                    found[shown.posted.ts] = shown
            if not cursor:
                break
        return found

    def exists(self, posted: Posted) -> bool:
        """Whether there is such a message of this bot."""
        self.calls += 1
        try:
            messages, _ = self._notifier.read_page(posted.channel_id, thread_ts=posted.ts, limit=1)
        except NotifyError as error:
            if error.failure is DeliveryFailure.GONE:
                return False
            raise
        return any(self._shown(posted.channel_id, message) is not None for message in messages[:1])

    def replies(self, thread: Posted, oldest: str, max_pages: int) -> Mapping[str, Shown]:
        """The messages of this bot in a thread from `oldest` on, by `ts`; the first ones if there are more pages."""
        return self._read(thread.channel_id, max_pages, thread_ts=thread.ts, oldest=oldest, inclusive=True)

    def close_duplicate(self, duplicate: Shown) -> None:
        """Replace a message by a sentence that it is a duplicate."""
        self.calls += 1
        self._notifier.close_duplicate(duplicate.posted, card=bool(duplicate.headline))

    def _shown(self, channel_id: str, message: Mapping[str, Any]) -> Shown | None:
        """None for a message of another, and for what is left of a deleted one (its `subtype` is `tombstone`)."""
        if message.get("subtype") == "tombstone" or not self._notifier.is_own(message):
            return None
        return Shown(Posted(channel_id, str(message.get("ts"))), notice_of(message) or "", _headline(message))


def _headline(message: Mapping[str, Any]) -> str:
    blocks = message.get("blocks")
    for block in blocks if isinstance(blocks, list) else ():
        text = block.get("text") if isinstance(block, dict) and block.get("type") == "header" else None
        if isinstance(text, dict):
            return str(text.get("text") or "")
    return ""
