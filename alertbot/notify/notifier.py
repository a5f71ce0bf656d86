"""The Notifier protocol: code that sends. A receiver is where it sends to, a channel only ever a Slack channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from alertbot.alerts.alert import Alert
from alertbot.alerts.cards import Posted
from alertbot.alerts.notice import Notice
from alertbot.rulefiles.faults import Fault


@dataclass(frozen=True)
class CardView:
    """What a card is drawn from: the alert as it is now, and what the channel is called on to look at."""

    alert: Alert
    now: datetime
    mention: tuple[str, ...] = ()
    timezone: str = "UTC"


@dataclass(frozen=True)
class LineView:
    """What a thread line is written from: what was true when it was decided, and the alert as it is now."""

    notice: Notice
    alert: Alert
    timezone: str = "UTC"


@dataclass(frozen=True)
class TemplateFault:
    """A template that broke, or a card that was refused as drawn: it was told in a plainer way, and this says why."""

    template: str
    fault: Fault

    def __str__(self) -> str:
        return f"Template {self.template}: {self.fault}"


class Notifier(Protocol):
    """Sends cards and lines, draws them its own way, and can look for what it sent.

    All raise NotifyError, whose `delivery` says what the failure means; no other error of the transport leaves it, and
    no secret is in its text. `notice_id` travels with the message so that `find` can know it again.
    """

    def post_card(self, view: CardView, *, channel: str, notice_id: str) -> Posted:
        """Post a card, once; no silent repeat."""

    def edit_card(self, view: CardView, posted: Posted) -> None:
        """Bring a posted card to `view`. Repeating is harmless."""

    def post_line(self, view: LineView, posted: Posted, *, notice_id: str, broadcast: bool) -> Posted:
        """Add a line to a card's thread, once; `broadcast` shows it in the channel as well."""

    def post_text(self, text: str, *, channel: str, notice_id: str) -> Posted:
        """Post plain text (of ours, escaped by the notifier) in a channel, once."""

    def find(self, *, channel: str, notice_id: str, since: datetime, thread: Posted | None) -> Posted | None:
        """The message with this notice id that was sent at or after `since` (in that thread), or None when it was not.

        NotifyError where it cannot look (not in the channel, no scope to read).
        """

    def use_templates(self, folders: Sequence[Path], files: Mapping[str, bytes]) -> None:
        """Draw with the templates of these folders from the next message on: contents by path, read before."""

    def take_faults(self) -> Sequence[TemplateFault]:
        """What had to be drawn in a plainer way since this was last asked, and why; each fault once."""
