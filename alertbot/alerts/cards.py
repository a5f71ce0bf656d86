"""Card: the Slack message that shows an alert, from firing to resolved."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Posted:
    """Where a message stands: Slack's channel id and its `ts` (a string, never a float)."""

    channel_id: str
    ts: str


@dataclass(frozen=True, slots=True)
class Card:
    """The one message that shows an alert in a channel, for its whole life."""

    id: int
    alert_id: int
    channel: str  # as configured
    posted: Posted | None
    version: int
    sent_version: int
    edited_at: datetime | None = None
