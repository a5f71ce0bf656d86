"""Notice: one thing to report to one receiver, with its reason."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from alertbot.alerts.alert import Fingerprint, Reason
from alertbot.evaluation.measure import Measure
from alertbot.rules.rule import Level

PERSON = "\ufffc"
"""Where the text of an OPS notice names the one in `by`: a notifier writes them as it writes people."""

HEADING = "\ufffb"
"""A line of the text of an OPS notice that begins with this is a heading: a notifier writes it as it writes those."""


class NoticeKind(StrEnum):
    """How a notice is delivered."""

    CARD = "card"  # the card itself is posted
    LINE = "line"  # a line in the thread of the card
    OPS = "ops"  # a separate message in the ops channel; belongs to no alert


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to report to one receiver, with its reason.

    `id` is made from what is reported, so the same thing has the same id however often it is decided. The other fields
    say what was true then: a thread line is written from them, while a card is always drawn from the alert as it is
    now.
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
    broadcast: bool = False  # a line that is also shown in the channel
    by: str = ""  # who did it, for acknowledgements and the like; of OPS, who stands at PERSON in the text
    group: str = ""  # the group key of the card (cards.py); "": the card of the alert alone
    lead: str = ""  # the id of the notice whose message carries this one as well; "": it has a message of its own
    also: tuple[Fingerprint, ...] = ()  # of a line: other alerts that it names, which were reported before
    replies: tuple[str, ...] = ()  # of OPS: texts that are posted in the thread of its message, in their order


def notice_id(alert: Fingerprint | tuple[str, ...], reason: Reason, channel: str, at: datetime) -> str:
    """The id of a notice:

    20 hex digits, the same for the same thing reported. For OPS notices, `alert` is any tuple of words.
    """
    text = "\x1f".join([*alert, reason, channel, at.isoformat()])
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def operational(
    about: tuple[str, ...],
    channel: str,
    text: str,
    now: datetime,
    *,
    once: datetime,
    level: Level = Level.WARNING,
    by: str = "",
) -> Notice:
    """A separate message in a channel, which belongs to no alert: one for the same `about`, `channel` and `once`."""
    return Notice(
        id=notice_id(about, Reason.OPERATIONS, channel, once),
        kind=NoticeKind.OPS,
        alert=None,
        channel=channel,
        reason=Reason.OPERATIONS,
        level=level,
        at=now,
        text=text,
        by=by,
    )
