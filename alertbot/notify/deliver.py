"""Due cards, lines and edits: render and send each one, and mark it. Exactly once, as far as the notifier allows.

Slack has no idempotency key. So a post is claimed in the store before it is sent, the notice id travels with the
message, and an item whose earlier outcome is unknown is looked for before it is posted again. Where looking is
impossible (no scope to read, not in the channel) a card and an OPS notice are posted again, since a duplicate beats a
lost alert; a line of a thread is not, since the card says the same.

An edit is claimed too: not because it must not be repeated, but because an older state must not be sent after a newer
one, by another process that has read what was due long ago.

A claim has three time limits. A request begins within START_WITHIN of its claim: the notifier checks that immediately
before it sends, on a clock that continues while the process is stopped or the machine is suspended, since rendering, a
lock or such a pause may have taken longer. It gives up GIVE_UP_AFTER at most after the claim. Other processes leave a
claim alone for 20 s (the store), so when they look, nothing is on its way any more. For a claimant that is known to be
gone the wait is shorter: its message gets 5 s to appear. The theory of claims is in store/sql/outbox.py.

Between the check and the request there is a moment in which a process can be paused and then sends too late. Its answer
says so: the store has another message by then, so this one is closed as a duplicate (`_delivered`).

Edits are repeated freely, so one that Slack refuses is never dropped: it is retried, and stays due with its error until
Slack takes it. Only `message_not_found` says that a message is gone. An ended card whose message cannot be edited is
closed by a line in its thread. Where a channel refuses the edits of an open card, the card is posted again, and the
message left behind stays due for edits, so that it is closed when the channel works again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from alertbot.alerts.alert import State
from alertbot.alerts.cards import Card, Posted, escalated_after, has_ended
from alertbot.alerts.delivery import Claimed, Due, EditCard, HeldBack, PostCard, PostLine, PostOps, Tried, in_one_line
from alertbot.alerts.notice import Notice, operational
from alertbot.alerts.unseen import Unseen
from alertbot.alerts.unseen import in_one_line as summary
from alertbot.backoff import doubled
from alertbot.charts.series import Samples
from alertbot.charts.trend import WINDOW, key_of, recent
from alertbot.clock import steady
from alertbot.errors import DeliveryFailure, NotifyError, StoreError
from alertbot.notify.facts import zone_of
from alertbot.notify.notifier import START_WITHIN, CardContent, LineContent, Notifier
from alertbot.rules.rule import Level
from alertbot.store.roles import Outbox

MESSAGE_APPEARS = timedelta(seconds=5)  # after an unknown outcome: how long the message may take to be found
FIRST_RETRY = timedelta(seconds=5)
MAX_RETRY = timedelta(minutes=5)
MAX_RETRY_AWAY = timedelta(minutes=1)
"""The longest pause while Slack is down, with or without an answer: afterwards nothing should wait for long."""
MAX_AGE = timedelta(days=1)
"""An older notice that is refused is given up, except the card of an open alert. No card is while Slack is down."""
# A clock that was wrong by this much when a message was sent, and was set since, must not hide the message.
_CLOCK_STEP = timedelta(hours=2)
_MAX_FAILED_LOOKS = 5  # for one message; after that, looking counts as impossible
_MAX_PATIENCE = timedelta(hours=1)  # if none of these looks had an answer: after this time instead

_REPORT_AFTER = 2  # refusals of one edit: most pass
_GO_ELSEWHERE_AFTER = 4  # refusals of one item: about a minute
_NEVER_EDITABLE = ("cant_update_message", "edit_window_closed")
_THREAD_ONLY_PROBLEM = ("cannot_reply_to_message", "restricted_action_non_threadable_channel", "thread_locked")

_log = logging.getLogger(__name__)


ClosesAt = Callable[[str, str, datetime], datetime | None]
"""Close of business today, by tenant and rule: see `RuleSet.closes_at`."""


def not_known(tenant: str, rule: str, at: datetime) -> None:
    """No calendar is known."""


@dataclass
class DeliveryReport:
    """What one call delivered, and what it could not. `credentials_ok` is False when Slack refused them."""

    cards: int = 0
    lines: int = 0
    ops: int = 0
    edits: int = 0
    adopted: int = 0  # found in the channel after an unknown outcome, and not posted again
    duplicate: int = 0  # posted although another process had posted it by then
    put_off: int = 0
    claimed_elsewhere: int = 0  # left to another process
    held_back: int = 0  # left until it was reported that messages are held back
    summed_up: int = 0  # left until it was reported what began and ended unseen
    superseded: int = 0  # left to be read again, since lines of its card were dropped
    rerouted: int = 0
    reposted: int = 0
    given_up: int = 0
    unanswered: int = 0  # calls without an answer that could be read
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

    def add(self, other: DeliveryReport) -> None:
        """Count what another call did as well."""
        for counted in fields(DeliveryReport):
            mine, theirs = getattr(self, counted.name), getattr(other, counted.name)
            together = mine and theirs if counted.name == "credentials_ok" else mine + theirs
            setattr(self, counted.name, together)


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
    show_tenant: bool = True,
    closes_at: ClosesAt = not_known,
    stop: Callable[[], bool] = lambda: False,
    monotonic: Callable[[], float] = steady,
) -> DeliveryReport:
    """Deliver what is due, one item after the other, and mark each one as delivered.

    `claimant` is the name under which this process claims what it posts; no other process has it. `monotonic` gives
    seconds of a clock that is never set.

    `fallback_channel` takes what another channel refuses; that, and broken templates, are reported in `ops_channel`,
    once a day each. `timezone` names the zone in which times are written where the reader's own is not known.
    `show_tenant`: cards name their tenant, since there are several. `closes_at`: until then, open cards offer a
    silence. `stop` is called before each item; what is left stays due. A failure of one item does not stop the others,
    an unexpected error included, except refused credentials: then everything left stays due. Raises StoreError only.
    """
    work = _Delivery(
        notifier, outbox, clock, claimant, fallback_channel, ops_channel, timezone, show_tenant, monotonic, closes_at
    )
    for item in due:
        if stop():
            break
        work.handle(item)
    work.report_faults()
    return work.report


def content_of(
    card: Card, now: datetime, *, timezone: str, show_tenant: bool, mention: tuple[str, ...] = ()
) -> CardContent:
    """What a card is drawn from at `now`."""
    return CardContent(
        card.members,
        now,
        mention=mention,
        timezone=timezone,
        show_tenant=show_tenant,
        silence=card.silence,
        card_id=card.id,
        escalated=escalated_after(card.group),
        entities=card.entities,
        began=card.began,
    )


IsGone = Callable[[str], bool]
"""Whether the process of this name has ended."""


def not_silent(_: str) -> bool:
    """No process is thought to have ended without being known to."""
    return False


def end_claims_of_gone(
    outbox: Outbox, claimant: str, is_gone: IsGone, now: datetime, *, is_silent: IsGone = not_silent
) -> None:
    """Let what another process claimed be settled sooner, where that process has ended.

    `is_gone`: it has certainly ended. `is_silent`: it has not been heard of for a while, but may be alive, so it gets
    the time that its last call may take. Raises StoreError.
    """
    for other in outbox.claimants():
        if other == claimant:
            continue
        if is_gone(other):
            outbox.claimant_ended(other, now)
        elif is_silent(other):
            outbox.claimant_ended(other, now, certain=False)


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
        show_tenant: bool,
        monotonic: Callable[[], float],
        closes_at: ClosesAt,
    ) -> None:
        self.notifier = notifier
        self.outbox = outbox
        self.clock = clock
        self.claimant = claimant
        self.monotonic = monotonic
        self.fallback_channel = fallback_channel
        self.ops_channel = ops_channel
        self.timezone = timezone
        self.show_tenant = show_tenant
        self.closes_at = closes_at
        self.report = DeliveryReport()
        self._held: dict[str, datetime] = {}  # channels that answered 429 during this call; "" holds all edits

    def handle(self, item: Due) -> None:
        if not self.report.credentials_ok:
            self.report.put_off += 1  # it stays due: whether the token is good is asked again soon enough
            return
        try:
            self._handle(item)
        except StoreError:
            raise
        except Exception as error:  # of a notifier or a template, of any kind: the other items must not wait for it
            _log.exception("delivery: unexpected error; will retry")
            self.report.errors.append(f"Unexpected error: {type(error).__name__}")
            # It may have been sent, so a post is looked for before it is repeated.
            self._put_off(item, self.clock() + max(MESSAGE_APPEARS, FIRST_RETRY), "unexpected error", True, Tried.POST)

    def _handle(self, item: Due) -> None:
        if isinstance(item, EditCard):
            if self.clock() < self._held.get("", _LONG_AGO):
                self.report.put_off += 1
            else:
                self._edit(item)
        elif self.clock() < self._held.get(_channel(item), _LONG_AGO):
            self._put_off(
                item, self._held[_channel(item)], "the channel has to wait", item.intent_at is not None, Tried.NOTHING
            )
        else:
            self._post(item)

    # Edits.

    def _edit(self, item: EditCard) -> None:
        if item.card.posted is None:
            return  # it is due again when its post is delivered
        content = self._content(item.card)
        began = self.monotonic()
        if self.outbox.claim_edit(item, self.claimant, self.clock()) is not Claimed.DONE:
            self.report.claimed_elsewhere += 1
            return
        try:
            self.notifier.edit_card(content, item.card.posted, before_send=partial(self._check_claim, began))
        except NotifyError as error:
            self._edit_failed(item, error)
            return
        self.outbox.edited(item.card, self.clock(), claimant=self.claimant)
        self.report.edits += 1

    def _edit_failed(self, item: EditCard, error: NotifyError) -> None:
        self.report.errors.append(str(error))
        now = self.clock()
        match error.failure:
            case DeliveryFailure.GONE if item.former:
                self.outbox.forget_former(item.card, claimant=self.claimant)
            case DeliveryFailure.GONE:
                self._out_of_reach(item)
            case DeliveryFailure.CHANNEL | DeliveryFailure.PAYLOAD | DeliveryFailure.REFUSED:
                self._edit_refused(item, error)
            case DeliveryFailure.WAIT:
                # Edits are counted for the whole workspace: every other card would only get the same answer.
                self._held[""] = now + self._delay(item.attempts, error)
                self.outbox.hold_edits(self._held[""])
                self._put_off(item, self._held[""], str(error), False, Tried.NOTHING)
            case DeliveryFailure.LATE:
                self._put_off(item, now, str(error), False, Tried.NOTHING)
            case _:
                unknown = error.failure is DeliveryFailure.UNKNOWN
                self._put_off(item, now + self._delay(item.attempts, error), str(error), unknown, _tried(error))
                self._note(error)

    def _edit_refused(self, item: EditCard, error: NotifyError) -> None:
        """The message exists and still shows an earlier state: retried, until it is made good in another way."""
        now, card = self.clock(), item.card
        ended = has_ended(card.members)
        too_late = ended and all(now - (member.ended_at or now) > MAX_AGE for member in card.members)
        never = error.code in _NEVER_EDITABLE
        if never or item.attempts >= _REPORT_AFTER:
            if error.failure is DeliveryFailure.CHANNEL:
                self._report_broken_channel(card.channel, error)
            else:
                retry = "Its end is reported in its thread." if never else "It will be retried."
                self._report(
                    f"A card could not be edited: {error}. {retry}", ("edit refused", error.code), card.channel
                )
        if item.former and (too_late or (never and ended)):
            self.outbox.forget_former(card, claimant=self.claimant)
            self.report.given_up += 1
            return
        if ended and not item.former and (never or too_late or item.attempts >= _REPORT_AFTER):
            said = self.outbox.close_in_thread(card, now)
            if too_late or (never and said):
                self.outbox.edited(card, now, claimant=self.claimant)
                self.report.given_up += 1
                return
        broken = error.failure is DeliveryFailure.CHANNEL and item.attempts >= _GO_ELSEWHERE_AFTER
        movable = broken and not ended and not item.former
        # Posted where it stood, or where that is refused too, in the fallback channel.
        if movable and self.outbox.repost(card, now, claimant=self.claimant, keep=True):
            self.report.reposted += 1
            return
        self._put_off(item, now + self._delay(item.attempts, error), str(error), True, Tried.POST)

    # Posts.

    def _post(self, item: PostCard | PostLine | PostOps) -> None:
        notice = item.notice
        if item.intent_at is not None and self._settled_by_looking(item, item.intent_at):
            return
        # Before the claim, which gives a request 2 s to begin.
        content = self._content(item.card, notice.mention) if isinstance(item, PostCard) else None
        began = self.monotonic()  # before the claim, which may have to wait for the database
        claimed = self.outbox.claim(notice.id, self.claimant, self.clock(), item.intent_at)
        if claimed is Claimed.HOLD:
            self.outbox.hold_back(notice.channel, self._held_back, self.clock())
            self.report.held_back += 1
            return
        if claimed is Claimed.UNSEEN:
            self.outbox.sum_up(notice.channel, self._unseen, self.clock())
            self.report.summed_up += 1
            return
        if claimed is Claimed.SUPERSEDED:
            self.report.superseded += 1
            return
        if claimed is not Claimed.DONE:
            self.report.claimed_elsewhere += 1
            return
        try:
            posted = self._send(item, content, partial(self._check_claim, began))
        except NotifyError as error:
            self._post_failed(item, error)
            return
        if not self._delivered(item, posted, item.card.version if isinstance(item, PostCard) else 0):
            return
        match item:
            case PostCard():
                self.report.cards += 1
            case PostLine():
                self.report.lines += 1
            case PostOps():
                self.report.ops += 1

    def _check_claim(self, began: float) -> None:
        """Raises NotifyError where a request would begin too late after its claim."""
        if (age := self.monotonic() - began) > START_WITHIN:
            raise NotifyError(f"Not sent: {age:.1f} s passed since it was claimed", failure=DeliveryFailure.LATE)

    def _send(
        self, item: PostCard | PostLine | PostOps, content: CardContent | None, check: Callable[[], None]
    ) -> Posted:
        notice = item.notice
        match item:
            case PostCard():
                assert content is not None, "the content of a card is made before its claim"
                return self.notifier.post_card(
                    content, channel=item.card.channel, notice_id=notice.id, before_send=check
                )
            case PostLine():
                assert item.card.posted is not None, "a line is due when its card is posted"
                line = LineContent(
                    notice, item.alert, self.timezone, self.show_tenant, item.others, shared=item.card.shared
                )
                return self.notifier.post_line(
                    line, item.card.posted, notice_id=notice.id, broadcast=notice.broadcast, before_send=check
                )
            case PostOps():
                return self.notifier.post_text(
                    notice.text,
                    channel=notice.channel,
                    notice_id=notice.id,
                    by=notice.by,
                    thread=item.thread,
                    before_send=check,
                )

    def _content(self, card: Card, mention: tuple[str, ...] = ()) -> CardContent:
        now, alert = self.clock(), card.members[0]
        content = content_of(card, now, timezone=self.timezone, show_tenant=self.show_tenant, mention=mention)
        closes_at = None if has_ended(card.members) else self.closes_at(alert.key.tenant, alert.key.rule, now)
        return replace(content, closes_at=closes_at, trend=self._trend(card))

    def _trend(self, card: Card) -> Samples | None:
        """What was recorded of the figure of a card of one alert; None where there is none, or it cannot be read.

        A card is sent without it then: whatever is wrong with the recording, the alert has to be reported.
        """
        shown = [member for member in card.members if member.state is not State.INACTIVE]
        key = key_of(shown[0]) if len(shown) == 1 and escalated_after(card.group) is None else ""
        if not key:
            return None
        alert, now = shown[0].key, self.clock()
        try:
            return recent(self.outbox.values(alert.tenant, alert, key, now - WINDOW, now))
        except Exception as error:
            _log.warning("a card is sent without its trend: %s", error)
            return None

    def _delivered(self, item: PostCard | PostLine | PostOps, posted: Posted, version: int) -> bool:
        """Mark an item as delivered; False where another process had posted it, and this message is a duplicate."""
        if self.outbox.delivered(item.notice.id, posted, version, self.clock()):
            return True
        self.report.duplicate += 1
        _log.warning("a message was posted by another process too; this one is closed as a duplicate")
        try:
            self.notifier.close_duplicate(posted, card=isinstance(item, PostCard))
        except NotifyError as error:  # an audit finds it
            self.report.errors.append(str(error))
            if error.failure is DeliveryFailure.WAIT:
                self.outbox.hold_edits(self.clock() + self._delay(item.attempts, error))
        return False

    def _settled_by_looking(self, item: PostCard | PostLine | PostOps, intent_at: datetime) -> bool:
        """Whether the item needs no post now: it was found, must not be repeated, or has to be looked for later."""
        now = self.clock()
        thread = _thread(item)
        try:
            found = self.notifier.find(
                channel=_channel(item),
                notice_id=item.notice.id,
                since=min(intent_at, now) - _CLOCK_STEP,
                thread=thread,
            )
        except NotifyError as error:
            self.report.errors.append(str(error))
            self._note(error)
            # Slack is down: it can be asked when it works again. But if it answers posts and never reads, a card must
            # not wait forever.
            patience = MAX_AGE if isinstance(item, PostLine) else _MAX_PATIENCE
            patient = _unanswered(error) and now - min(intent_at, now) < patience
            if error.failure is not DeliveryFailure.CHANNEL and (patient or item.looks + 1 < _MAX_FAILED_LOOKS):
                waits = error.failure in (DeliveryFailure.WAIT, DeliveryFailure.CREDENTIALS)
                tried = Tried.NOTHING if waits else Tried.LOOK
                self._put_off(item, now + self._delay(item.looks, error), str(error), True, tried)
                return True
            if isinstance(item, PostLine):
                self._give_up(item, f"It may have been posted, so it was not posted again. {error}")
                return True
            return False  # a duplicate beats a lost alert
        if found is None:
            return False
        # Which version of the card it shows is not known: an edit updates it.
        if self._delivered(item, found, 0):
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
            case DeliveryFailure.REFUSED:
                self._post_refused(item, error)
            case _:
                unknown = error.failure is DeliveryFailure.UNKNOWN
                # Slack is down, or refuses the token: that says nothing about this card, which is summed up later.
                if not unknown and not isinstance(item, PostCard) and self._too_old(item):
                    self._give_up(item, str(error))
                else:
                    least = MESSAGE_APPEARS if unknown else timedelta()
                    until = now + max(self._delay(item.attempts, error), least)
                    self._put_off(item, until, str(error), unknown, _tried(error))
                self._note(error)

    def _post_refused(self, item: PostCard | PostLine | PostOps, error: NotifyError) -> None:
        """For a reason that may pass: retried, and after a minute in the fallback channel."""
        channel = _channel(item)
        if item.attempts >= _REPORT_AFTER:
            self._report(f"Not delivered in {channel}: {error}", ("refused", channel, error.code), item.notice.channel)
        lasts = item.attempts >= _GO_ELSEWHERE_AFTER and channel != self.fallback_channel
        if lasts and not isinstance(item, PostLine):
            self.outbox.reroute(item.notice.id, self.fallback_channel, claimant=self.claimant)
            self.report.rerouted += 1
        elif self._too_old(item):
            self._give_up(item, str(error))
        else:
            self._put_off(item, self.clock() + self._delay(item.attempts, error), str(error), False, Tried.POST)

    def _channel_failed(self, item: PostCard | PostLine | PostOps, error: NotifyError) -> None:
        channel = _channel(item)
        if isinstance(item, PostLine):
            self._thread_failed(item, error)
            return
        self._report_broken_channel(channel, error)
        fallback = self.fallback_channel
        if channel != fallback:
            self.outbox.reroute(item.notice.id, fallback, claimant=self.claimant)
            self.report.rerouted += 1
            return  # it is due again, in the other channel
        self._give_up_or_wait(item, error)

    def _thread_failed(self, item: PostLine, error: NotifyError) -> None:
        """A channel refuses a line. Once may be chance; then an open card moves, and its lines follow it."""
        if item.attempts or error.code in _THREAD_ONLY_PROBLEM:
            self._report_broken_channel(item.card.channel, error)
        now = self.clock()
        if error.code in _THREAD_ONLY_PROBLEM:
            self._give_up(item, str(error))
        elif item.attempts and self.outbox.repost(item.card, now, claimant=self.claimant, keep=True):
            self.report.reposted += 1
            self._end_claim(item, error)
        elif self._too_old(item):
            self._give_up(item, str(error))
        else:
            self._put_off(item, now + self._delay(item.attempts, error), str(error), False, Tried.POST)

    def _out_of_reach(self, item: PostLine | EditCard) -> None:
        """A card's message cannot be reached any more: an open alert gets a new one, and its lines follow it."""
        self.outbox.repost(item.card, self.clock(), claimant=self.claimant)
        if has_ended(item.card.members):
            self.report.given_up += 1
        else:
            self.report.reposted += 1

    def _line_out_of_reach(self, item: PostLine, error: NotifyError) -> None:
        self._out_of_reach(item)
        self._end_claim(item, error)

    def _end_claim(self, item: PostLine, error: NotifyError) -> None:
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
        """`unknown`: Slack may have received it; of an edit, also if it was refused, since Slack counts that too."""
        if isinstance(item, EditCard):
            self.outbox.put_off_edit(
                item.card.id,
                until,
                error,
                claimant=self.claimant,
                tried=tried is Tried.POST,
                sent=unknown,
                former=item.card.posted if item.former else None,
            )
        else:
            self.outbox.put_off(item.notice.id, until, error, claimant=self.claimant, unknown=unknown, tried=tried)
        self.report.put_off += 1

    def _delay(self, failures: int, error: NotifyError) -> timedelta:
        if error.failure is DeliveryFailure.CREDENTIALS:
            return timedelta()  # when to ask again whether the token is good is up to the caller
        if error.retry_after is not None:
            return timedelta(seconds=error.retry_after)
        away = error.failure in (DeliveryFailure.UNKNOWN, DeliveryFailure.RETRY)
        return doubled(FIRST_RETRY, failures, MAX_RETRY_AWAY if away else MAX_RETRY)

    def _too_old(self, item: PostCard | PostLine | PostOps) -> bool:
        open_card = isinstance(item, PostCard) and any(member.open for member in item.card.members)
        return not open_card and self.clock() - item.notice.at > MAX_AGE

    def _note(self, error: NotifyError) -> None:
        if error.failure is DeliveryFailure.CREDENTIALS:
            self.report.credentials_ok = False
        if _unanswered(error):
            self.report.unanswered += 1

    def _report_broken_channel(self, channel: str, error: NotifyError) -> None:
        where = f"Alerts for it go to {self.fallback_channel}." if channel != self.fallback_channel else ""
        self._report(f"Channel {channel} does not work. {error}. {where}".strip(), ("channel", channel), channel)

    def _held_back(self, held: HeldBack) -> Notice:
        now = self.clock()
        text = f"{in_one_line(held, zone_of(self.timezone))}."
        return operational(("held back", held.channel), held.channel, text, now, once=now, level=Level.INFO)

    def _unseen(self, unseen: Unseen) -> Notice:
        now = self.clock()
        which = ",".join(str(alert.id) for alert in unseen.alerts)
        text = summary(unseen, zone_of(self.timezone), now, show_tenant=self.show_tenant)
        return operational(("unseen", which), unseen.channel, text, now, once=now, level=Level.INFO)

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
        self.outbox.add_notices([operational(("delivery", *words), channel, text, now, once=day)])


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def _channel(item: PostCard | PostLine | PostOps) -> str:
    return item.notice.channel if isinstance(item, PostOps) else item.card.channel


def _thread(item: PostCard | PostLine | PostOps) -> Posted | None:
    """The message in whose thread an item is posted."""
    match item:
        case PostLine():
            return item.card.posted
        case PostOps():
            return item.thread
        case PostCard():
            return None


def _unanswered(error: NotifyError) -> bool:
    """Whether there was no answer that could be read."""
    return not error.code and error.failure in (DeliveryFailure.UNKNOWN, DeliveryFailure.RETRY)


def _tried(error: NotifyError) -> Tried:
    """What a failure counts as. Refused credentials are not the item's: they must not make its retries rarer."""
    return Tried.NOTHING if error.failure is DeliveryFailure.CREDENTIALS else Tried.POST
