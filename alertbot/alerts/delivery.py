"""What is due to be delivered: cards to post, lines to add, cards to edit, operational messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum

from alertbot.alerts.alert import Alert, Reason
from alertbot.alerts.cards import Card, Posted
from alertbot.alerts.notice import Notice, notice_id
from alertbot.rules.plain import one_line
from alertbot.rules.words import count, listed


class Tried(StrEnum):
    """What had failed when an item was put off. An item that only waited for a 429 to pass was not attempted."""

    POST = "post"
    LOOK = "look"
    NOTHING = "nothing"


MINUTE = timedelta(minutes=1)
"""The time in which a channel gets at most `max_messages`."""
_SECOND = timedelta(seconds=1)
_MAX_NAMES = 10


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Messages that wait because their channel got `limit` messages within the last minute."""

    channel: str  # as configured
    messages: int
    names: tuple[str, ...]  # of the entities that they are about, worst first; operational messages have none
    until: datetime  # when the last of them can be sent
    limit: int


def last_turn(posts: Sequence[datetime], waiting: int, limit: int) -> datetime:
    """When the last of `waiting` messages can be sent in a channel that got `posts` (at least one), in order.

    At most `limit` a minute, and one a second.
    """
    sent = list(posts[-limit:])
    for _ in range(waiting):
        sent.append(max(sent[-1] + _SECOND, sent[-limit] + MINUTE) if len(sent) >= limit else sent[-1] + _SECOND)
    return sent[-1]


def in_one_line(held: HeldBack, zone: tzinfo) -> str:
    """What is held back, until when, and why, as one line without an end."""
    until = (held.until + MINUTE - timedelta(microseconds=1)).astimezone(zone)  # the minute in which it is over
    what = count(held.messages, "message is", "messages are")
    shown = [one_line(name) for name in held.names[:_MAX_NAMES]]
    more = len(held.names) - len(shown)
    names = f"{', '.join(shown)} and {more:,} more" if more else listed(shown)
    return f"{what} held back until {until:%H:%M %Z} (limit {held.limit} per minute){': ' if names else ''}{names}"


class Claimed(StrEnum):
    """What became of a claim to post a notice."""

    DONE = "done"  # send it now
    TAKEN = "taken"  # another claim of it is open
    SETTLED = "settled"  # it no longer waits
    HOLD = "hold"  # more wait than its channel may get: report that first (`hold_back`)
    UNSEEN = "unseen"  # alerts began and ended unseen in its channel: sum them up first (`sum_up`)
    SUPERSEDED = "superseded"  # lines of its card were dropped, since it waited for long: read again what is due
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
    """Post an operational message, which belongs to no card. The rest as for `PostCard`.

    `thread`: the message in whose thread it is posted; None: it stands in the channel.
    """

    notice: Notice
    intent_at: datetime | None = None
    attempts: int = 0
    looks: int = 0
    thread: Posted | None = None


@dataclass(frozen=True, slots=True)
class EditCard:
    """Bring a posted card to the present state of its members. Harmless to repeat.

    `former`: `card.posted` is a message that the card had before it was posted elsewhere.
    """

    card: Card
    attempts: int = 0
    former: bool = False


Due = PostCard | PostLine | PostOps | EditCard


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many posts and edits can be begun with now, each in another channel, and in none that is busy.

    `posting` are the channels, as configured, in which a post is on its way; `editing` are channel ids.
    """

    posts: int
    edits: int
    posting: frozenset[str] = frozenset()
    editing: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PostPicture:
    """Show what was measured in the thread of a posted card of one alert. `wanted_at`: since when it has been waiting.

    It is posted at most once. Nothing depends on it, so it is not a notice.
    """

    card: Card
    wanted_at: datetime

    @property
    def alert(self) -> Alert:
        """The one alert of the card."""
        return self.card.members[0]

    @property
    def notice_id(self) -> str:
        """The id in the metadata of its message, as for a notice."""
        return notice_id((*self.alert.key, "picture"), Reason.FIRED, self.card.channel, self.wanted_at)
