"""Notice: one thing to report to one receiver, with its reason."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from alertbot.alerts.alert import Fingerprint, Reason
from alertbot.evaluation.measure import Measure
from alertbot.rules.rule import Level


class NoticeKind(StrEnum):
    """How a notice is told."""

    CARD = "card"  # by posting the card itself
    LINE = "line"  # by a line in the card's thread
    OPS = "ops"  # by a message of its own in the ops channel; belongs to no alert


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell one receiver, with its reason.

    `id` is made from what is told, so the same thing has the same id however often it is decided. The rest says what
    was true then: a thread line is written from it, while a card is always drawn from the alert as it is now.
    """

    id: str
    kind: NoticeKind
    alert: Fingerprint | None  # None only for OPS
    channel: str  # as configured: "#name" or an id
    reason: Reason
    level: Level
    at: datetime
    text: str = ""  # why, for the line; for OPS the whole message
    measure: Measure | None = None
    mention: tuple[str, ...] = ()
    broadcast: bool = False  # a line that is shown in the channel as well
    by: str = ""  # who did it, for what people did


def notice_id(alert: Fingerprint | tuple[str, ...], reason: Reason, channel: str, at: datetime) -> str:
    """The id of a notice: 20 hex digits, the same for the same thing told. OPS notices hand in words of their own."""
    text = "\x1f".join([*alert, reason, channel, at.isoformat()])
    return hashlib.sha256(text.encode()).hexdigest()[:20]
