"""A Slack in memory, as a Notifier: it takes posts and edits, and fails in every way that Slack does.

It keeps its own time, which nobody sets. `faults` are used up one a call. What it holds is what a reader would see.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from alertbot.alerts.alert import Alert
from alertbot.alerts.cards import Posted
from alertbot.errors import DeliveryFailure, NotifyError
from alertbot.notify.notifier import CardContent, LineContent, TemplateFault, no_check

BEGINNING = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
FAULTS = (
    *("refused", "timeout before it landed", "timeout after it landed", "limited", "rejected", "channel refuses"),
    *("killed before it landed", "killed after it landed", "late", "credentials"),
)


class Killed(BaseException):
    """The process ends here, as with SIGKILL: no `except Exception` sees it."""


@dataclass
class Message:
    """What stands in Slack. `shows`: the alerts as they were when it was last drawn; a line shows one."""

    notice_id: str
    place: Posted
    thread: str  # the `ts` of the card; "" for a card, and for a message that is neither
    shows: tuple[Alert, ...]
    reason: str = ""  # of a line
    text: str = ""
    deleted: bool = False


@dataclass
class Workspace:
    """All channels, by name. `now` is Slack's own clock, in seconds since BEGINNING; ours is ahead of it by `skew`."""

    now: float = 0.0
    skew: float = 0.0
    messages: list[Message] = field(default_factory=list)
    faults: deque[str] = field(default_factory=deque)
    away: str = ""  # what happens to every call, while it does
    broken: set[str] = field(default_factory=set)  # channels that are archived: they can be read, and that is all
    wrong: list[str] = field(default_factory=list)  # what must never happen
    max_messages: int = 60  # per channel and minute, as configured
    too_soon: int = 0  # posts over Slack's limit of one per second and channel
    too_many: int = 0  # posts over `max_messages`
    _posted_at: dict[str, list[float]] = field(default_factory=dict)  # by channel

    # The protocol.

    def post_card(
        self, content: CardContent, *, channel: str, notice_id: str, before_send: Callable[[], None] = no_check
    ) -> Posted:
        return self._post(channel.removeprefix("#"), notice_id, before_send, shows=content.members)

    def post_line(
        self,
        content: LineContent,
        posted: Posted,
        *,
        notice_id: str,
        broadcast: bool,
        before_send: Callable[[], None] = no_check,
    ) -> Posted:
        thread = self._at(posted)
        return self._post(
            posted.channel_id,
            notice_id,
            before_send,
            gone=thread is None,
            thread=posted.ts,
            shows=(content.alert,),
            reason=str(content.notice.reason),
        )

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
        return self._post(channel.removeprefix("#"), notice_id, before_send, text=text)

    def edit_card(self, content: CardContent, posted: Posted, *, before_send: Callable[[], None] = no_check) -> None:
        before_send()
        self._call(posted.channel_id, lambda: self._redraw(content, posted))

    def find(self, *, channel: str, notice_id: str, since: datetime, thread: Posted | None) -> Posted | None:
        # As SlackNotifier does it: the difference of the clocks now is known, and a minute is allowed on top.
        at = min(_seconds(since), _seconds(since) - self.skew) - 60.0
        place = thread.channel_id if thread is not None else channel.removeprefix("#")
        found: list[Posted] = []

        def look() -> None:
            for each in self.messages:
                here = each.place.channel_id == place and not each.deleted and float(each.place.ts) > at
                if here and each.notice_id == notice_id and each.thread == (thread.ts if thread else ""):
                    found.append(each.place)

        self._call(place, look, looking=True)
        return found[0] if found else None

    def close_duplicate(self, duplicate: Posted, *, card: bool) -> None:
        raise AssertionError("one process posts nothing twice")

    def use_templates(self, folders: Sequence[Path], files: Mapping[str, bytes]) -> None:
        """Nothing is drawn here."""

    def take_faults(self) -> Sequence[TemplateFault]:
        return ()

    # What happens to a call.

    def _post(
        self,
        place: str,
        notice_id: str,
        before_send: Callable[[], None],
        *,
        gone: bool = False,
        thread: str = "",
        shows: tuple[Alert, ...] = (),
        reason: str = "",
        text: str = "",
    ) -> Posted:
        if self.faults and self.faults[0] == "late":
            self.faults.popleft()
            self.now += 3  # the machine was suspended
        before_send()
        posted = Posted(place, f"{self.now + len(self.messages) / 1e6:.6f}")

        def land() -> None:
            if gone:
                raise NotifyError("gone", failure=DeliveryFailure.GONE, code="message_not_found")
            before = self._posted_at.setdefault(place, [])
            if before and self.now - before[-1] < 1.0:
                self.too_soon += 1
                raise NotifyError("429", failure=DeliveryFailure.WAIT, retry_after=3.0, code="ratelimited")
            if any(each.notice_id == notice_id and not each.deleted for each in self.messages):
                self.wrong.append(f"{notice_id} was posted twice")
            before.append(self.now)
            self.too_many += sum(self.now - each < 60.0 for each in before) > self.max_messages
            self.messages.append(Message(notice_id, posted, thread, shows, reason, text))

        self._call(place, land)
        return posted

    def _redraw(self, content: CardContent, posted: Posted) -> None:
        message = self._at(posted)
        if message is None:
            raise NotifyError("gone", failure=DeliveryFailure.GONE, code="message_not_found")
        message.shows = content.members

    def _call(self, place: str, effect: Callable[[], None], looking: bool = False) -> None:
        fault = self.faults.popleft() if self.faults else self.away
        if fault in ("killed before it landed", "killed after it landed"):
            if fault.startswith("killed after") and place not in self.broken:
                effect()
            raise Killed
        if place in self.broken and not looking:
            raise NotifyError("archived", failure=DeliveryFailure.CHANNEL, code="is_archived")
        match fault:
            case "timeout after it landed":
                effect()
                raise NotifyError("timeout", failure=DeliveryFailure.UNKNOWN)
            case "timeout before it landed":
                raise NotifyError("timeout", failure=DeliveryFailure.UNKNOWN)
            case "refused":
                raise NotifyError("503", failure=DeliveryFailure.RETRY)
            case "limited":
                raise NotifyError("429", failure=DeliveryFailure.WAIT, retry_after=7.0, code="ratelimited")
            case "rejected" if not looking:
                raise NotifyError("fatal_error", failure=DeliveryFailure.REFUSED, code="fatal_error")
            case "channel refuses" if not looking:
                raise NotifyError("not_in_channel", failure=DeliveryFailure.CHANNEL, code="not_in_channel")
            case "credentials":
                raise NotifyError("token_revoked", failure=DeliveryFailure.CREDENTIALS, code="token_revoked")
        effect()

    def _at(self, posted: Posted) -> Message | None:
        return next((each for each in self.messages if each.place == posted and not each.deleted), None)


def _seconds(moment: datetime) -> float:
    return (moment - BEGINNING) / timedelta(seconds=1)
