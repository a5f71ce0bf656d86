"""What is to be delivered: cards as the store knows them, and the due posts, lines and edits.

A card is a projection of stored state: `version` is what Slack should have, `sent_version` what it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from alertbot.alerts.alert import Alert
from alertbot.alerts.cards import Card
from alertbot.alerts.notice import Notice


class Tried(StrEnum):
    """What had failed when an item was put off. What only had to wait (429, an earlier item's 429) was not tried."""

    POST = "post"
    LOOK = "look"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class PostCard:
    """Post the card of an alert.

    `intent_at`: an earlier try began then and its outcome is unknown: look first. `looks`: how often that failed for
    this try. `attempts`: posts that failed, without those that only had to wait.
    """

    notice: Notice
    card: Card
    alert: Alert
    intent_at: datetime | None = None
    attempts: int = 0
    looks: int = 0


@dataclass(frozen=True, slots=True)
class PostLine:
    """Add a line to the thread of a posted card. The rest as for `PostCard`."""

    notice: Notice
    card: Card
    alert: Alert
    intent_at: datetime | None = None
    attempts: int = 0
    looks: int = 0


@dataclass(frozen=True, slots=True)
class PostOps:
    """Post a message of its own in the ops channel. The rest as for `PostCard`."""

    notice: Notice
    intent_at: datetime | None = None
    attempts: int = 0
    looks: int = 0


@dataclass(frozen=True, slots=True)
class EditCard:
    """Bring a posted card to the alert's present state. Harmless to repeat."""

    card: Card
    alert: Alert
    attempts: int = 0


Due = PostCard | PostLine | PostOps | EditCard
