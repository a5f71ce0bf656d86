"""Due cards, lines and edits: render and send each one, and mark it. Exactly once, as far as the notifier allows.

Slack has no idempotency key. So a post is claimed in the store before it is sent, the notice id travels with the
message, and an item whose earlier outcome is unknown is looked for before it is posted again. Where looking is
impossible (no scope to read, not in the channel) a card and an OPS notice are posted again, since a duplicate beats a
lost alert; a line of a thread is not, since the card says the same.

A claim has three time limits. A request begins within START_WITHIN of its claim: the notifier checks that
immediately before it sends, on the monotonic clock, since rendering, a lock or a suspended machine may have taken
longer. It gives up GIVE_UP_AFTER at most after the claim. Other processes leave a claim alone for 20 s (the store), so
when they look, nothing is on its way any more. A claimant that is known to be gone is not waited for so long: its
message gets 5 s to appear. The theory of claims is in store/sqlite/outbox.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from alertbot.alerts.alert import Reason
from alertbot.alerts.cards import Posted, has_ended
from alertbot.alerts.delivery import Claimed, Due, EditCard, PostCard, PostLine, PostOps, Tried
from alertbot.alerts.notice import Notice, NoticeKind, notice_id
from alertbot.backoff import doubled
from alertbot.errors import DeliveryFailure, NotifyError
from alertbot.notify.notifier import START_WITHIN, CardContent, LineContent, Notifier
from alertbot.rules.rule import Level
from alertbot.store.roles import Outbox

MESSAGE_APPEARS = timedelta(seconds=5)  # after an unknown outcome: how long the message may take to be found
FIRST_RETRY = timedelta(seconds=5)
MAX_RETRY = timedelta(minutes=5)
MAX_AGE = timedelta(days=1)  # an older notice that cannot be delivered is given up, except the card of an open alert
_MAX_FAILED_LOOKS = 5  # for one message; after that, looking counts as impossible

_THREAD_ONLY_PROBLEM = ("cannot_reply_to_message", "restricted_action_non_threadable_channel", "thread_locked")


@dataclass
class DeliveryReport:
    """What one call delivered, and what it could not. `credentials_ok` is False when Slack refused them."""

    cards: int = 0
    lines: int = 0
    ops: int = 0
    edits: int = 0
    adopted: int = 0  # found in the channel after an unknown outcome, and not posted again
    put_off: int = 0
    claimed_elsewhere: int = 0  # left to another process
    rerouted: int = 0
    reposted: int = 0
    given_up: int = 0
    credentials_ok: bool = True
    errors: list[str] = field(default_factory=list)

    @property
    def delivered(self) -> int:
        """Items that were posted or edited, or had been posted already."""
        return self.cards + self.lines + self.ops + self.edits + self.adopted

    @property
    def failed(self) -> int:
        """Items that were due and were not delivered."""
        return self.put_off + self.given_up


def deliver(
    due: Iterable[Due],
    notifier: Notifier,
    outbox: Outbox,
    clock: Callable[[], datetime],
    *,
    claimant: str,
    fallback_channel: str,
    ops_channel: str,
    timezone: str = "UTC",
    stop: Callable[[], bool] = lambda: False,
    is_gone: Callable[[str], bool] = lambda _: False,
    monotonic: Callable[[], float] = time.monotonic,
) -> DeliveryReport:
    """Deliver what is due, one item after the other, and mark each one as delivered.

    `claimant` is the name under which this process claims what it posts; no other process has it. `is_gone` says of
    another's name whether that process has certainly ended: its claims are then settled sooner. `monotonic` gives
    seconds of a clock that is never set.

    `fallback_channel` takes what another channel refuses; that, and broken templates, are reported in `ops_channel`,
    once a day each. `timezone` names the zone in which times are written where the reader's own is not known. `stop` is
    called before each item; what is left stays due. A failure of one item does not stop the others, except refused
    credentials: then everything left is put off. Raises StoreError only.
    """
    for other in outbox.claimants():
        if other != claimant and is_gone(other):
            outbox.claimant_ended(other, clock())
    work = _Delivery(notifier, outbox, clock, claimant, fallback_channel, ops_channel, timezone, monotonic)
    for item in due:
        if stop():
            break
        work.handle(item)
    work.report_faults()
    return work.report


class _Delivery:
    """One call of `deliver`: its parts, and what it has done so far."""

    def __init__(
        self,
        notifier: Notifier,
        outbox: Outbox,
        clock: Callable[[], datetime],
        claimant: str,
        fallback_channel: str,
        ops_channel: str,
        timezone: str,
        monotonic: Callable[[], float],
    ) -> None:
        self.notifier = notifier
        self.outbox = outbox
        self.clock = clock
        self.claimant = claimant
        self.monotonic = monotonic
        self.fallback_channel = fallback_channel
        self.ops_channel = ops_channel
        self.timezone = timezone
        self.report = DeliveryReport()
        self._held: dict[str, datetime] = {}  # channels that answered 429 during this call

    def handle(self, item: Due) -> None:
        if not self.report.credentials_ok:
            self._put_off(item, self.clock() + MAX_RETRY, "the credentials were refused", _is_open(item), Tried.NOTHING)
        elif isinstance(item, EditCard):
            self._edit(item)
        elif self.clock() < self._held.get(_channel(item), _LONG_AGO):
            self._put_off(item, self._held[_channel(item)], "the channel has to wait", _is_open(item), Tried.NOTHING)
        else:
            self._post(item)

    # Edits.

    def _edit(self, item: EditCard) -> None:
        if item.card.posted is None:
            return  # it is due again when its post is delivered
        try:
            content = CardContent(item.card.members, self.clock(), timezone=self.timezone)
            self.notifier.edit_card(content, item.card.posted)
        except NotifyError as error:
            self._edit_failed(item, error)
            return
        self.outbox.edited(item.card, self.clock())
        self.report.edits += 1

    def _edit_failed(self, item: EditCard, error: NotifyError) -> None:
        self.report.errors.append(str(error))
        now = self.clock()
        match error.failure:
            case DeliveryFailure.GONE | DeliveryFailure.CHANNEL:
                if error.failure is DeliveryFailure.CHANNEL:
                    self._report_broken_channel(
                        item.card.channel, error
                    )  # the new post is refused too, and then rerouted
                self._out_of_reach(item)
            case DeliveryFailure.PAYLOAD:
                # Refused even as plain text, so this version cannot be shown; the next one may pass.
                self._report(f"A card was not edited: {error}", ("edit refused", error.code), item.card.channel)
                self.outbox.edited(item.card, now)
                self.report.given_up += 1
            case _:
                self._put_off(item, now + self._delay(item.attempts, error), str(error), False, _tried(error))
                self._note_credentials(error)

    # Posts.

    def _post(self, item: PostCard | PostLine | PostOps) -> None:
        notice = item.notice
        if item.intent_at is not None and self._settled_by_looking(item, item.intent_at):
            return
        began = self.monotonic()  # before the claim, which may have to wait for the database
        claimed = self.outbox.claim(notice.id, self.claimant, self.clock(), item.intent_at)
        if claimed is not Claimed.DONE:
            self.report.claimed_elsewhere += 1
            return

        def check_claim() -> None:
            if (age := self.monotonic() - began) > START_WITHIN:
                raise NotifyError(f"Not sent: {age:.1f} s passed since it was claimed", failure=DeliveryFailure.LATE)

        try:
            posted = self._send(item, check_claim)
        except NotifyError as error:
            self._post_failed(item, error)
            return
        self._delivered(item, posted, item.card.version if isinstance(item, PostCard) else 0)
        match item:
            case PostCard():
                self.report.cards += 1
            case PostLine():
                self.report.lines += 1
            case PostOps():
                self.report.ops += 1

    def _send(self, item: PostCard | PostLine | PostOps, check: Callable[[], None]) -> Posted:
        notice = item.notice
        match item:
            case PostCard():
                card = CardContent(item.card.members, self.clock(), mention=notice.mention, timezone=self.timezone)
                return self.notifier.post_card(card, channel=item.card.channel, notice_id=notice.id, before_send=check)
            case PostLine():
                assert item.card.posted is not None, "a line is due when its card is posted"
                line = LineContent(notice, item.alert, timezone=self.timezone)
                return self.notifier.post_line(
                    line, item.card.posted, notice_id=notice.id, broadcast=notice.broadcast, before_send=check
                )
            case PostOps():
                return self.notifier.post_text(
                    notice.text, channel=notice.channel, notice_id=notice.id, before_send=check
                )

    def _delivered(self, item: PostCard | PostLine | PostOps, posted: Posted, version: int) -> None:
        self.outbox.delivered(item.notice.id, posted, version, self.clock())

    def _settled_by_looking(self, item: PostCard | PostLine | PostOps, intent_at: datetime) -> bool:
        """Whether the item needs no post now: it was found, must not be repeated, or has to be looked for later."""
        now = self.clock()
        thread = item.card.posted if isinstance(item, PostLine) else None
        try:
            found = self.notifier.find(
                channel=_channel(item), notice_id=item.notice.id, since=min(intent_at, now), thread=thread
            )
        except NotifyError as error:
            self.report.errors.append(str(error))
            self._note_credentials(error)
            if error.failure is not DeliveryFailure.CHANNEL and item.looks + 1 < _MAX_FAILED_LOOKS:
                tried = Tried.NOTHING if error.failure is DeliveryFailure.WAIT else Tried.LOOK
                self._put_off(item, now + self._delay(item.looks, error), str(error), True, tried)
                return True
            if isinstance(item, PostLine):
                self._give_up(item, f"It may have been posted, so it was not posted again. {error}")
                return True
            return False  # a duplicate beats a lost alert
        if found is None:
            return False
        # Which version of the card it shows is not known: an edit updates it.
        self._delivered(item, found, 0)
        self.report.adopted += 1
        return True

    def _post_failed(self, item: PostCard | PostLine | PostOps, error: NotifyError) -> None:
        self.report.errors.append(str(error))
        now, channel = self.clock(), _channel(item)
        match error.failure:
            case DeliveryFailure.WAIT:
                until = now + self._delay(item.attempts, error)
                self._held[channel] = until
                self.outbox.hold_channel(channel, until)
                self._put_off(item, until, str(error), False, Tried.NOTHING)
            case DeliveryFailure.LATE:
                self._put_off(item, now, str(error), False, Tried.NOTHING)
            case DeliveryFailure.CHANNEL:
                self._channel_failed(item, error)
            case DeliveryFailure.GONE if isinstance(item, PostLine):
                self._line_out_of_reach(item, error)
            case DeliveryFailure.PAYLOAD | DeliveryFailure.GONE:
                self._report(
                    f"Not delivered in {channel}: {error}", ("refused", channel, error.code), item.notice.channel
                )
                self._give_up_or_wait(item, error)
            case _:
                unknown = error.failure is DeliveryFailure.UNKNOWN
                if not unknown and self._too_old(item):
                    self._give_up(item, str(error))
                else:
                    delay = max(self._delay(item.attempts, error), MESSAGE_APPEARS)
                    self._put_off(item, now + delay, str(error), unknown, Tried.POST)
                self._note_credentials(error)

    def _channel_failed(self, item: PostCard | PostLine | PostOps, error: NotifyError) -> None:
        channel = _channel(item)
        if isinstance(item, PostLine):
            self._report_broken_channel(item.card.channel, error)
            if error.code in _THREAD_ONLY_PROBLEM:
                self._give_up(item, str(error))
            else:
                self._line_out_of_reach(item, error)
            return
        self._report_broken_channel(channel, error)
        fallback = self.fallback_channel
        if channel != fallback:
            self.outbox.reroute(item.notice.id, fallback, claimant=self.claimant)
            self.report.rerouted += 1
            return  # it is due again, in the other channel
        self._give_up_or_wait(item, error)

    def _out_of_reach(self, item: PostLine | EditCard) -> None:
        """A card's message cannot be reached any more: an open alert gets a new one, and its lines follow it."""
        self.outbox.repost(item.card, self.clock(), claimant=self.claimant)
        if has_ended(item.card.members):
            self.report.given_up += 1
        else:
            self.report.reposted += 1

    def _line_out_of_reach(self, item: PostLine, error: NotifyError) -> None:
        self._out_of_reach(item)
        # Where another process was first to post the card again, only this line's claim is left to end.
        now = self.clock()
        self.outbox.put_off(item.notice.id, now, str(error), claimant=self.claimant, unknown=False, tried=Tried.NOTHING)

    def _give_up_or_wait(self, item: PostCard | PostLine | PostOps, error: NotifyError) -> None:
        """What has to be fixed by hand: retried for a day, and the card of an alert for as long as it fires."""
        if self._too_old(item) or (isinstance(item, PostLine) and error.failure is DeliveryFailure.PAYLOAD):
            self._give_up(item, str(error))
        else:
            self._put_off(item, self.clock() + MAX_RETRY, str(error), False, Tried.POST)

    # Helpers.

    def _give_up(self, item: PostCard | PostLine | PostOps, error: str) -> None:
        self.outbox.give_up(item.notice.id, error, self.clock())
        self.report.given_up += 1

    def _put_off(self, item: Due, until: datetime, error: str, unknown: bool, tried: Tried) -> None:
        if isinstance(item, EditCard):
            self.outbox.put_off_edit(item.card.id, until, error, tried=tried is Tried.POST)
        else:
            self.outbox.put_off(item.notice.id, until, error, claimant=self.claimant, unknown=unknown, tried=tried)
        self.report.put_off += 1

    def _delay(self, failures: int, error: NotifyError) -> timedelta:
        if error.failure is DeliveryFailure.CREDENTIALS:
            return MAX_RETRY
        if error.retry_after is not None:
            return timedelta(seconds=error.retry_after)
        return doubled(FIRST_RETRY, failures, MAX_RETRY)

    def _too_old(self, item: PostCard | PostLine | PostOps) -> bool:
        open_card = isinstance(item, PostCard) and any(member.open for member in item.card.members)
        return not open_card and self.clock() - item.notice.at > MAX_AGE

    def _note_credentials(self, error: NotifyError) -> None:
        if error.failure is DeliveryFailure.CREDENTIALS:
            self.report.credentials_ok = False

    def _report_broken_channel(self, channel: str, error: NotifyError) -> None:
        where = f"Alerts for it go to {self.fallback_channel}." if channel != self.fallback_channel else ""
        self._report(f"Channel {channel} does not work. {error}. {where}".strip(), ("channel", channel), channel)

    def report_faults(self) -> None:
        """Report every template that had to be replaced by the built-in one."""
        for fault in self.notifier.take_faults():
            self._report(
                f"{fault}. The built-in template was used instead.", ("template", fault.template, str(fault.fault)), ""
            )

    def _report(self, text: str, words: tuple[str, ...], broken_channel: str) -> None:
        """Add an OPS notice, at most once a day for the same words, and not in the channel that is broken."""
        channel = self.ops_channel if self.ops_channel != broken_channel else self.fallback_channel
        if channel == broken_channel:
            return  # no channel is left; the error is logged
        now = self.clock()
        day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        notice = Notice(
            id=notice_id(("delivery", *words), Reason.OPERATIONS, channel, day),
            kind=NoticeKind.OPS,
            alert=None,
            channel=channel,
            reason=Reason.OPERATIONS,
            level=Level.WARNING,
            at=now,
            text=text,
        )
        self.outbox.add_notices([notice])


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def _channel(item: PostCard | PostLine | PostOps) -> str:
    return item.notice.channel if isinstance(item, PostOps) else item.card.channel


def _tried(error: NotifyError) -> Tried:
    """What a failed edit counts as. A 429 is not a failure: it must not make later retries rarer."""
    return Tried.NOTHING if error.failure is DeliveryFailure.WAIT else Tried.POST


def _is_open(item: Due) -> bool:
    return not isinstance(item, EditCard) and item.intent_at is not None
