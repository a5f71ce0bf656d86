"""What was asked, by whom, and what an answer is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from alertbot.alerts.silence import Matcher
from alertbot.charts.series import Series
from alertbot.rules.privacy import Names
from alertbot.rules.rule import Level


@dataclass(frozen=True)
class WhoMay:
    """Who may change something, as Slack ids, for refusals.

    `unread`: user groups whose members are not known, with the reason: until they are, none of them is allowed.
    """

    users: tuple[str, ...] = ()
    usergroups: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asker:
    """Who asks. `may_change` is decided by the configuration; `who_may` says who is allowed to, where that is known."""

    user: str  # a Slack user id (U…), or a local user's name
    may_change: bool = True
    local: bool = False  # from a terminal, not from Slack
    who_may: WhoMay | None = None


@dataclass(frozen=True)
class Command:
    """The text after the slash command, parsed. `public`: it ended in `public`.

    `pressed`: it comes from a button and was not typed. The first argument is the target of the button.
    """

    name: str
    args: tuple[str, ...] = ()
    public: bool = False
    pressed: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells under headings; every row as long as the head."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Drawing:
    """A chart. Where pictures cannot be shown, `lines` are: a plot of monospaced text.

    `timezone` is that of the time axis.
    """

    series: Series
    timezone: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Person:
    """A person in a line: a Slack user id or a local name. Data, so that only the shell makes a mention of it."""

    id: str


@dataclass(frozen=True)
class UserGroup(Person):
    """A user group of Slack, by its id, where a line names people."""


@dataclass(frozen=True)
class Channel(Person):
    """A channel of Slack, by its id, where a line names the people in it."""


@dataclass(frozen=True)
class Line:
    """A line of plain text, to be escaped where it is shown. `level` colours it, `code` shows it as typed.

    `recovering`: it is about an alert whose condition has cleared, which has a colour of its own instead.
    `pieces` is the same line with its people as data, for places that can show them; () where there are none.
    """

    text: str
    level: Level | None = None
    code: bool = False
    strong: bool = False
    pieces: tuple[str | Person, ...] = ()
    recovering: bool = False


def line(*pieces: str | Person, level: Level | None = None, strong: bool = False, recovering: bool = False) -> Line:
    """A line of text and people; `text` has their ids, for places that cannot show people."""
    text = "".join(piece.id if isinstance(piece, Person) else piece for piece in pieces)
    named = any(isinstance(piece, Person) for piece in pieces)
    return Line(text, level, strong=strong, pieces=pieces if named else (), recovering=recovering)


@dataclass(frozen=True)
class Acknowledge:
    """A wish to change something, as data: the store decides about it, and `change_reply` words what it decided."""

    alert_id: int
    note: str = ""


@dataclass(frozen=True)
class AcknowledgeCard:
    """A wish to acknowledge every alert of a card that has not ended and has no owner."""

    card_id: int


@dataclass(frozen=True)
class Unacknowledge:
    """A wish to take an acknowledgement back. `own`: only if it is the asker's."""

    alert_id: int
    own: bool = False


@dataclass(frozen=True)
class UnacknowledgeCard:
    """A wish to take the asker's acknowledgements on a card back."""

    card_id: int


@dataclass(frozen=True)
class Resolve:
    """A wish to close an alert by hand."""

    alert_id: int
    why: str = ""


@dataclass(frozen=True)
class CreateSilence:
    """A wish to silence what `matcher` matches, from `starts_at` until `ends_at`. `remarks` are for the answer."""

    matcher: Matcher
    starts_at: datetime
    ends_at: datetime
    reason: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExtendSilence:
    """A wish that a silence ends later."""

    silence_id: int
    ends_at: datetime


@dataclass(frozen=True)
class EndSilence:
    """A wish to end a silence now."""

    silence_id: int


SilenceWish = CreateSilence | ExtendSilence | EndSilence
AlertWish = Acknowledge | AcknowledgeCard | Unacknowledge | UnacknowledgeCard | Resolve
Wish = AlertWish | SilenceWish


@dataclass(frozen=True)
class Reply:
    """An answer: what to show, and what to change, if anything. Plain text everywhere; nothing is escaped yet."""

    parts: tuple[Line | Table | Drawing, ...] = ()
    wish: Wish | None = None
    problem: bool = False  # the question could not be answered as asked: `alertbot ask` exits with 1

    @property
    def drawing(self) -> Drawing | None:
        """The chart of the answer; None where it has none."""
        return next((part for part in self.parts if isinstance(part, Drawing)), None)


def shown(reply: Reply, names: Names) -> Reply:
    """The reply with its texts as `names` shows them. Its wish keeps the full names."""
    if not names.hidden:
        return reply

    def part(each: Line | Table | Drawing) -> Line | Table | Drawing:
        match each:
            case Line():
                return shown_line(each, names)
            case Table():
                return replace(each, rows=tuple(tuple(map(names.text, row)) for row in each.rows))
            case Drawing():  # its series was named by an `Entity`
                return each

    return replace(reply, parts=tuple(map(part, reply.parts)))


def shown_line(each: Line, names: Names) -> Line:
    """The line with its text as `names` shows it."""
    if not names.hidden:
        return each
    pieces = tuple(piece if isinstance(piece, Person) else names.text(piece) for piece in each.pieces)
    return replace(each, text=names.text(each.text), pieces=pieces)
