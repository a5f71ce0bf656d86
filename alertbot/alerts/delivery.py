"""What is due to be delivered: cards to post, lines to add, cards to edit, operational messages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from alertbot.alerts.alert import Alert
from alertbot.alerts.cards import Card
from alertbot.alerts.notice import Notice


class Tried(StrEnum):
    """What had failed when an item was put off. An item that only waited for a 429 to pass was not attempted."""

    POST = "post"
    LOOK = "look"
    NOTHING = "nothing"


class Claimed(StrEnum):
    """What became of a claim to post a notice."""

    DONE = "done"  # send it now
    TAKEN = "taken"  # another claim of it is open
    SETTLED = "settled"  # it no longer waits
    NOT_DUE = "not_due"  # its channel has to wait, or its card is not posted


@dataclass(frozen=True, slots=True)
class PostCard:
    """Post a card. `notice` says why, and for which of its members.

    `intent_at`: it was claimed then and the outcome is unknown, so search for its message first. `looks`: how
    often that search has failed since. `attempts`: posts that failed; those that only had to wait are not counted.
    """

    notice: Notice
    card: Card
    intent_at: datetime | None = None
    attempts: int = 0
    looks: int = 0


@dataclass(frozen=True, slots=True)
class PostLine:
    """Add a line about `alert`, a member of the card, to the thread of a posted card. The rest as for `PostCard`.

    `others`: the other members that it names, as they were when it was decided.
    """

    notice: Notice
    card: Card
    alert: Alert
    others: tuple[Alert, ...] = ()
    intent_at: datetime | None = None
    attempts: int = 0
    looks: int = 0


@dataclass(frozen=True, slots=True)
class PostOps:
    """Post an operational message, which belongs to no card. The rest as for `PostCard`."""

    notice: Notice
    intent_at: datetime | None = None
    attempts: int = 0
    looks: int = 0


@dataclass(frozen=True, slots=True)
class EditCard:
    """Bring a posted card to the present state of its members. Harmless to repeat.

    `former`: `card.posted` is a message that the card had before it was posted elsewhere.
    """

    card: Card
    attempts: int = 0
    former: bool = False


Due = PostCard | PostLine | PostOps | EditCard
