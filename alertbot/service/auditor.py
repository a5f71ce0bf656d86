"""The auditor compares open cards with the database and with Slack every ten minutes, and repairs or reports problems.

It runs beside delivery and polls. What it repairs in Slack becomes due, and delivery sends it. It makes at most
MAX_CALLS calls to Slack in one audit, stops at the first 429, and begins the next audit with the channels that it did
not reach. A finding that cannot be repaired is reported in the ops channel, at most once a day, when two audits in a
row have found it.

It closes duplicates of messages: those that it sees in the channels of open cards, and those of the few notices that
may have one (store/sql/duplicates.py), for each of which it reads a channel or a thread once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from alertbot.alerts import audit
from alertbot.alerts.audit import AuditFinding, AuditKind
from alertbot.alerts.cards import Card, Posted, has_ended
from alertbot.alerts.notice import operational
from alertbot.clock import Clock
from alertbot.errors import DeliveryFailure, NotifyError, StoreError
from alertbot.logs import logger
from alertbot.notify.deliver import content_of
from alertbot.notify.notifier import Notifier
from alertbot.service.signal import Signal
from alertbot.slack.errors import DEFAULT_WAIT
from alertbot.slack.history import ChannelHistory, Shown
from alertbot.slack.notifier import SlackNotifier
from alertbot.store.records import NoticeState, PossibleDuplicate, PostedNotice
from alertbot.store.roles import Audited
from alertbot.web.metrics import Metrics

AUDIT_EVERY = timedelta(minutes=10)
MAX_CALLS = 20
"""Calls to Slack in one audit: Slack allows 50 a minute of each method that is called here."""
MAX_EDITS = 10
"""The most cards that one audit makes due for an edit, and the most duplicates that it edits."""
_PAGES = 2  # of a channel, or of a thread
_CLOCK_SKEW = timedelta(minutes=1)

log = logger("audit")


class Auditor:
    """Audits the store, and Slack while `slack_problem()` is "". `claimant`: the name of this process in the store."""

    def __init__(
        self,
        store: Audited,
        notifier: Notifier,
        clock: Clock,
        wake: Signal,
        metrics: Metrics,
        *,
        claimant: str,
        ops_channel: str,
        timezone: str,
        show_tenant: bool,
        slack_problem: Callable[[], str],
    ) -> None:
        self._store, self._notifier, self._clock, self._wake = store, notifier, clock, wake
        self._metrics, self._claimant, self._ops_channel = metrics, claimant, ops_channel
        self._timezone, self._show_tenant, self._slack_problem = timezone, show_tenant, slack_problem
        self._first = ""  # the channel with which the next audit begins
        self._read: set[int] = set()  # cards that were read one by one, until all of their channel were
        self._redrawn: set[int] = set()  # cards that were edited again, and have not been seen to be correct since
        self._suspects: frozenset[str] = frozenset()  # what the last audit found and could not repair

    def run(self) -> list[AuditFinding]:
        """Make one audit and return its findings. Problems of the database or Slack are logged, never raised."""
        now = self._clock()
        try:
            found = self._store.audit(now)
            if isinstance(self._notifier, SlackNotifier) and not self._slack_problem():
                found += self._audit_slack(self._notifier, now)
            self._note(found, now)
        except StoreError as error:
            log.warning("the audit could not use the database; will retry", problem=str(error))
            return []
        return found

    def _note(self, found: Sequence[AuditFinding], now: datetime) -> None:
        """Count, log and report. Raises StoreError."""
        self._metrics.audited((each.kind, "repaired" if each.repaired else "reported") for each in found)
        if found:
            kinds = Counter(str(finding.kind) for finding in found)
            log.warning("the audit found problems", found=dict(kinds), what=[each.text for each in found[:10]])
        if any(finding.repaired for finding in found):
            self._wake.set()
        left = [finding for finding in found if not finding.repaired]
        again = [finding for finding in left if finding.text in self._suspects]
        self._suspects = frozenset(finding.text for finding in left)
        if again:
            day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            text = audit.report(again)
            self._store.add_notices([operational(("audit",), self._ops_channel, text, now, once=day)])

    # Slack.

    def _audit_slack(self, notifier: SlackNotifier, now: datetime) -> list[AuditFinding]:
        history, found = ChannelHistory(notifier), list[AuditFinding]()
        self._possible_duplicates(notifier, history, found, now)
        by_channel: dict[str, list[Card]] = {}
        for card in self._store.shown_cards(now):
            if card.posted is not None:
                by_channel.setdefault(card.posted.channel_id, []).append(card)
        self._redrawn &= {card.id for cards in by_channel.values() for card in cards}
        first, self._first = self._first, ""
        for channel_id in sorted(by_channel, key=lambda channel_id: (channel_id < first, channel_id)):
            if history.calls >= MAX_CALLS:
                self._first = channel_id
                break
            try:
                self._audit_channel(notifier, history, channel_id, by_channel[channel_id], found, now)
            except NotifyError as error:
                if error.failure is DeliveryFailure.CHANNEL:
                    log.debug("a channel cannot be audited", channel=channel_id, problem=str(error))
                    continue
                log.info("the audit of Slack stopped; the next one continues", problem=str(error))
                break
        return found

    def _audit_channel(
        self,
        notifier: SlackNotifier,
        history: ChannelHistory,
        channel_id: str,
        cards: Sequence[Card],
        found: list[AuditFinding],
        now: datetime,
    ) -> None:
        """Add what is wrong with the cards in one channel. Raises NotifyError, StoreError."""
        placed = {card.posted.ts: card for card in cards if card.posted is not None}
        recent = history.recent(channel_id, min(placed), _PAGES)
        older: list[Card] = []
        for ts, card in placed.items():
            shown = recent.get(ts)
            if shown is not None:
                self._compare(notifier, card, shown, found, now)
            elif not has_ended(card.members):
                older.append(card)
        if self._read.issuperset(card.id for card in older):
            self._read.difference_update(card.id for card in older)
        for card in sorted(older, key=lambda card: card.id in self._read):
            if history.calls >= MAX_CALLS:
                break
            self._read.add(card.id)
            # A page may be incomplete, and a card that is posted again notifies again: so each is read separately.
            if card.posted is not None and not history.exists(card.posted):
                self._store.repost(card, now, claimant=self._claimant)
                text = f"the message of card {card.id} in {card.channel} was deleted"
                found.append(AuditFinding(AuditKind.MESSAGE_DELETED, text, True))
        self._duplicates(history, recent, found, now)

    def _compare(
        self, notifier: SlackNotifier, card: Card, shown: Shown, found: list[AuditFinding], now: datetime
    ) -> None:
        drawn = self._headline(notifier, card, now)
        if not shown.headline or audit.same_headline(drawn, shown.headline):
            self._redrawn.discard(card.id)
            return
        if card.edited_at is not None and self._headline(notifier, card, card.edited_at) != drawn:
            return  # a custom template writes the time into it: it shows what was true when it was edited
        text = f"the message of card {card.id} in {card.channel} does not show its current state"
        edited = sum(finding.kind is AuditKind.MESSAGE_OUTDATED and finding.repaired for finding in found)
        if card.id in self._redrawn:
            text += ", although it was edited again"
            found.append(AuditFinding(AuditKind.MESSAGE_OUTDATED, text, False))
        elif edited < MAX_EDITS and self._store.outdate(card, now):
            self._redrawn.add(card.id)
            found.append(AuditFinding(AuditKind.MESSAGE_OUTDATED, text, True))

    def _headline(self, notifier: SlackNotifier, card: Card, now: datetime) -> str:
        return notifier.headline(content_of(card, now, timezone=self._timezone, show_tenant=self._show_tenant))

    def _duplicates(
        self, history: ChannelHistory, recent: Mapping[str, Shown], found: list[AuditFinding], now: datetime
    ) -> None:
        """Edit the messages that carry the id of a notice but are not its message."""
        self._close(history, self._doubled(recent.values()), found, now)

    def _doubled(self, messages: Collection[Shown]) -> list[Shown]:
        ledger = self._store.posted_notices(sorted({shown.notice_id for shown in messages if shown.notice_id}))
        return [shown for shown in messages if _is_duplicate(shown.posted, ledger.get(shown.notice_id))]

    def _close(
        self, history: ChannelHistory, doubled: Sequence[Shown], found: list[AuditFinding], now: datetime
    ) -> bool:
        """Edit duplicates; whether all of them. Raises NotifyError, StoreError."""
        for shown in doubled[:MAX_EDITS]:
            if history.calls >= MAX_CALLS or not self._store.may_close_duplicate(now):
                return False
            try:
                history.close_duplicate(shown)
            except NotifyError as error:
                if error.failure is DeliveryFailure.WAIT:
                    self._store.hold_edits(now + timedelta(seconds=error.retry_after or DEFAULT_WAIT))
                raise
            text = f"a message in {shown.posted.channel_id} was a duplicate"
            found.append(AuditFinding(AuditKind.MESSAGE_DUPLICATE, text, True))
        return len(doubled) <= MAX_EDITS

    def _possible_duplicates(
        self, notifier: SlackNotifier, history: ChannelHistory, found: list[AuditFinding], now: datetime
    ) -> None:
        """Look once for the second messages that some notices may have, and close them. Raises StoreError."""
        settled: list[str] = []
        for each in self._store.possible_duplicates(now):
            if history.calls >= MAX_CALLS:
                break
            try:
                if self._has_no_duplicate(notifier, history, each, found, now):
                    settled.append(each.notice_id)
            except NotifyError as error:
                if error.failure not in (DeliveryFailure.CHANNEL, DeliveryFailure.GONE):
                    log.info("the search for duplicates stopped; the next audit continues", problem=str(error))
                    break
                settled.append(each.notice_id)
        if settled:
            self._store.forget_possible_duplicates(settled)

    def _has_no_duplicate(
        self,
        notifier: SlackNotifier,
        history: ChannelHistory,
        possible: PossibleDuplicate,
        found: list[AuditFinding],
        now: datetime,
    ) -> bool:
        """Whether a notice has none, or not any more. Raises NotifyError, StoreError."""
        notice = self._store.posted_notices([possible.notice_id]).get(possible.notice_id)
        if notice is None or notice.state is not NoticeState.DELIVERED or notice.kept is None:
            return True
        since = min(possible.since, possible.since + notifier.contact.offset) - _CLOCK_SKEW
        oldest = f"{since.timestamp():.6f}"
        if possible.thread is None:
            messages = history.recent(notice.kept.channel_id, oldest, _PAGES)
        else:
            messages = history.replies(possible.thread, oldest, _PAGES)
        mine = [shown for shown in messages.values() if shown.notice_id == possible.notice_id]
        return self._close(history, self._doubled(mine), found, now)


def _is_duplicate(posted: Posted, notice: PostedNotice | None) -> bool:
    """Whether a message is not one of the known messages of its notice. False while the notice is not delivered."""
    return notice is not None and notice.state is NoticeState.DELIVERED and posted not in notice.known
