"""The digest on a schedule: created when it is due, and delivered like every other message.

It is one operational notice with replies; the time at which it was due is part of its id. The store keeps one notice
for each id, so the digest is sent once, whichever process is first and however often it restarts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from alertbot.alerts.alert import Reason
from alertbot.alerts.notice import HEADING, Notice, NoticeKind, notice_id
from alertbot.clock import Clock
from alertbot.commands.command import Command, Line
from alertbot.commands.digest import digest_of, messages
from alertbot.commands.view import View
from alertbot.errors import StoreError
from alertbot.logs import logger
from alertbot.rules.recurring import Recurring
from alertbot.rules.rule import Level
from alertbot.service.signal import Signal
from alertbot.store.roles import Audited

CHECK_EVERY = timedelta(minutes=1)
"""How often to check whether the digest is due."""
MAX_LATE = timedelta(hours=4)
"""A digest that fell due while alertbot was down is sent at the next start if it is at most this late. Later it is
skipped: a report for Monday morning is of no use on Monday evening, and the next one has its own window."""

log = logger("digest")


class ViewAt(Protocol):
    """The view for a command, as if it was asked at that moment. Raises StoreError."""

    def __call__(self, command: Command, at: datetime) -> View: ...


class ScheduledDigest:
    """Queues the digest for delivery to `channel` when it is due."""

    def __init__(
        self,
        store: Audited,
        clock: Clock,
        wake: Signal,
        view: ViewAt,
        *,
        every: Recurring,
        zone: ZoneInfo,
        channel: str,
    ) -> None:
        self._store, self._clock, self._wake, self._view = store, clock, wake, view
        self._every, self._zone, self._channel = every, zone, channel
        self._done: datetime | None = None  # the last moment that needs no more work

    def run(self) -> bool:
        """Add the digest if it is due and not yet added. Database errors are logged; the next run retries."""
        now = self._clock()
        due = self._every.last(now, self._zone)
        if due == self._done:
            return False
        try:
            added = now - due <= MAX_LATE and self._add(due, now)
        except StoreError as error:
            log.warning("the digest could not be created; will retry", problem=str(error))
            return False
        self._done = due
        return added

    def _add(self, due: datetime, now: datetime) -> bool:
        """Add the digest that was due at that moment. False if it had been added before. Raises StoreError."""
        id_ = notice_id(("digest",), Reason.OPERATIONS, "", due)
        if self._store.posted_notices([id_]):
            return False
        seconds = round((due - self._every.before(due, self._zone)).total_seconds())
        digest = digest_of(self._view(Command("digest", (f"{seconds}s",)), due), due)
        first, *replies = map(as_text, messages(digest))
        self._store.add_notices([_notice(id_, self._channel, first, tuple(replies), now)])
        self._wake.set()
        log.info("the digest is due", channel=self._channel, messages=1 + len(replies))
        return True


def _notice(id_: str, channel: str, text: str, replies: tuple[str, ...], now: datetime) -> Notice:
    return Notice(
        id=id_,
        kind=NoticeKind.OPS,
        alert=None,
        channel=channel,
        reason=Reason.OPERATIONS,
        level=Level.INFO,
        at=now,
        text=text,
        replies=replies,
    )


def as_text(lines: Sequence[Line]) -> str:
    """The lines as the text of a notice."""
    return "\n".join(f"{HEADING if line.strong else ''}{line.text}" for line in lines)
