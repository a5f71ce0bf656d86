"""The Notifier protocol: code that sends cards and lines, and what they are drawn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from alertbot.alerts.alert import Alert
from alertbot.alerts.cards import Posted, leading
from alertbot.alerts.notice import Notice
from alertbot.alerts.silence import Silence
from alertbot.charts.series import Samples
from alertbot.rulefiles.faults import Fault

START_WITHIN = 2.0
"""Seconds after its claim in which the request of a post or an edit may begin."""
GIVE_UP_AFTER = 10.0
"""Seconds after its claim at which a post or an edit is given up, its outcome unknown."""


def no_check() -> None:
    """Nothing has to be checked before sending: the message is not claimed."""


@dataclass(frozen=True)
class CardContent:
    """What a card is drawn from: its member alerts as they are now, and whom to mention.

    `timezone` names the zone in which times are written where the reader's own is not known. `show_tenant`: there are
    several tenants, so the card says which one it is about.
    """

    members: tuple[Alert, ...]  # at least one
    now: datetime
    mention: tuple[str, ...] = ()
    timezone: str = "UTC"
    show_tenant: bool = True
    silence: Silence | None = None  # it mutes every open member
    escalated: timedelta | None = None  # the `after` of a step of `escalate`, whose message this is
    card_id: int | None = None  # in the store; None: it is not stored
    closes_at: datetime | None = None  # today's close of business for the rule of the card; None: no such option
    entities: int | None = None  # as in `Card`
    began: datetime | None = None
    trend: Samples | None = None  # of the metric that the figure of a card of one alert shows; None: not known

    @property
    def alert(self) -> Alert:
        """The member that the card's words are about."""
        return leading(self.members)


@dataclass(frozen=True)
class LineContent:
    """What a thread line is written from: what was true when it was decided, and its alert as it is now.

    `others`: the other alerts that it is about. `shared`: alerts share the card, so the line names its alerts.
    """

    notice: Notice
    alert: Alert
    timezone: str = "UTC"
    show_tenant: bool = True
    others: tuple[Alert, ...] = ()
    shared: bool = False


@dataclass(frozen=True)
class TemplateFault:
    """Why a template could not be used, or why a message was refused as drawn and sent as plain text."""

    template: str
    fault: Fault

    def __str__(self) -> str:
        return f"Template {self.template}: {self.fault}"


class Notifier(Protocol):
    """Draws cards and lines, sends them, and can look for what it sent.

    Every method that sends or looks raises NotifyError when that fails. Its `failure` says what to do next. No other
    error of the transport leaves a notifier, and no error text holds a secret. `notice_id` travels with the message, so
    that `find` can recognise it. `before_send` is called immediately before each request that could post or edit; where
    it raises (LATE: the claim is too old) nothing is sent. A request takes at most GIVE_UP_AFTER - START_WITHIN.
    """

    def post_card(
        self, content: CardContent, *, channel: str, notice_id: str, before_send: Callable[[], None] = no_check
    ) -> Posted:
        """Post a card once. Never retries by itself."""

    def edit_card(self, content: CardContent, posted: Posted, *, before_send: Callable[[], None] = no_check) -> None:
        """Redraw a posted card from `content`. Harmless to repeat."""

    def post_line(
        self,
        content: LineContent,
        posted: Posted,
        *,
        notice_id: str,
        broadcast: bool,
        before_send: Callable[[], None] = no_check,
    ) -> Posted:
        """Add a line to a card's thread once. `broadcast` shows it in the channel as well."""

    def post_text(
        self,
        text: str,
        *,
        channel: str,
        notice_id: str,
        by: str = "",
        thread: Posted | None = None,
        before_send: Callable[[], None] = no_check,
    ) -> Posted:
        """Post plain text in a channel once. The notifier escapes it. `by` is the person who stands at PERSON in it.

        A line that begins with HEADING is a heading. `thread`: it goes into the thread of this message. The channel may
        be a user id: then only that user gets it.
        """

    def find(self, *, channel: str, notice_id: str, since: datetime, thread: Posted | None) -> Posted | None:
        """The message with this notice id sent at or after `since`, or None where there is none.

        `thread`: look in the thread of this message, else in the channel. Raises NotifyError with failure CHANNEL when
        the channel cannot be read: the bot is not in it, or a scope is missing.
        """

    def close_duplicate(self, duplicate: Posted, *, card: bool) -> None:
        """Replace a message by a sentence that it is a duplicate: of a card, or of another message.

        It no longer carries a notice id, so `find` does not find it.
        """

    def use_templates(self, folders: Sequence[Path], files: Mapping[str, bytes]) -> None:
        """Draw with these templates from the next message on. `files` holds the contents of `folders` by path."""

    def take_faults(self) -> Sequence[TemplateFault]:
        """The faults that made a message plainer than its template since the last call, each once."""
