"""Delivery: what is due is taken to the notifier, one item at a time in each lane, or once for `poll`.

A lane is the posts of one channel, or the edits in one. Lanes do not wait for each other, so a channel that does not
answer delays no other, and edits delay no post. After every item what is due is read again: what is critical comes next
in its lane, however much was due before it. A lane that gets no answer three times in a row rests; the store holds
until when, so other processes keep to it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from alertbot.alerts.delivery import Capacity, Due, EditCard, PostOps
from alertbot.alerts.notice import operational
from alertbot.backoff import doubled
from alertbot.clock import Clock
from alertbot.errors import AlertbotError, DeliveryFailure, NotifyError, StoreError
from alertbot.logs import context, logger
from alertbot.notify.deliver import ClosesAt, DeliveryReport, IsGone, deliver, end_claims_of_gone, not_known, not_silent
from alertbot.notify.notifier import Notifier
from alertbot.service.process import is_gone
from alertbot.service.signal import Signal
from alertbot.slack.notifier import SlackNotifier
from alertbot.store.roles import Outbox
from alertbot.web.metrics import Metrics

MAX_PAUSE = 0.5
"""Seconds between two looks at what is due, where no signal asks for one sooner."""
MAX_POSTS, MAX_EDITS = 12, 4
"""Lanes of each kind that may be in a call at the same time."""
REST_AFTER = 3  # calls of one lane in a row without an answer
FIRST_REST, MAX_REST = timedelta(seconds=30), timedelta(minutes=1)
RETRY_CREDENTIALS = 60.0
"""Seconds after which refused credentials are tried again."""
ASK_AFTER = 15.0
"""Seconds without an answer from Slack after which it is asked whether it is there."""
UNREACHABLE_AFTER = timedelta(seconds=30)
REPORT_SKEW = timedelta(seconds=30)

_OUTCOMES = ("adopted", "duplicate", "put_off", "claimed_elsewhere", "rerouted", "reposted", "given_up")
"""The counts of a DeliveryReport that say what became of one item, if it was not delivered now."""

log = logger("delivery")


class Lane(NamedTuple):
    """What is delivered one after the other: posts in `channel` as configured, or edits in a channel by its id."""

    edits: bool
    channel: str


class Courier:
    """Takes what is due to the notifier. `claimant` is the name under which it claims what it posts."""

    def __init__(
        self,
        store: Outbox,
        notifier: Notifier,
        clock: Clock,
        wake: Signal,
        stopping: threading.Event,
        *,
        claimant: str,
        fallback_channel: str,
        ops_channel: str,
        timezone: str,
        show_tenant: bool = True,
        closes_at: ClosesAt = not_known,
        speed: float = 1.0,
        metrics: Metrics | None = None,
        is_gone: IsGone = is_gone,
        is_silent: IsGone = not_silent,
    ) -> None:
        """`is_gone` and `is_silent` say which other claimants have ended, see `end_claims_of_gone`."""
        self._is_gone, self._is_silent = is_gone, is_silent
        self._store, self._notifier, self._clock, self._wake, self._stopping = store, notifier, clock, wake, stopping
        self._fallback_channel, self._ops_channel, self._timezone = fallback_channel, ops_channel, timezone
        self._show_tenant, self._closes_at = show_tenant, closes_at
        self._claimant, self._speed = claimant, speed
        self._metrics = metrics or Metrics()
        self.notified = 0  # posts and thread lines that were delivered since the start
        self._refusal = ""  # why Slack refuses the credentials
        self._identified = False  # Slack accepted the token
        self._asking = threading.Lock()  # held while Slack is asked who we are
        self._asked_at = -RETRY_CREDENTIALS
        self._refused_until = 0.0  # on the monotonic clock: the credentials were refused
        self._skew_reported = ""  # the day
        self._changed = threading.Condition()
        self._busy: dict[Lane, str] = {}  # what is in a call now, by lane
        self._finished: list[tuple[DeliveryReport, StoreError | None]] = []  # since it was last asked for
        self._unanswered: dict[Lane, int] = {}  # calls in a row
        self._resting = threading.Event()
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    @property
    def problem(self) -> str:
        """Why nothing can be delivered: Slack refuses the credentials, or was not reached for 30 s. "" where it can."""
        if self._refusal:
            return self._refusal
        since = self.unreachable_since
        if since is None or self._clock() - since < UNREACHABLE_AFTER:
            return ""
        return f"Slack cannot be reached since {since.astimezone(UTC):%H:%M:%S} UTC"

    @property
    def answers(self) -> bool:
        """Whether a post can be expected to arrive: Slack answered the last call, and accepts the credentials."""
        return not self._refusal and self.unreachable_since is None

    @property
    def unreachable_since(self) -> datetime | None:
        """When the first call failed since Slack last answered anything; None while it answers."""
        if not isinstance(self._notifier, SlackNotifier):
            return None
        seconds = self._notifier.contact.unreachable_for
        return None if seconds is None else self._clock() - timedelta(seconds=seconds * self._speed)

    def deliver_due(self, stop: Callable[[], bool] = lambda: False) -> DeliveryReport:
        """Deliver what is due now, and what becomes due meanwhile; return when nothing of it is in a call any more.

        `stop` is asked before each item. Raises StoreError.
        """
        total = DeliveryReport()
        self._dispatch(stop)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._finished or not self._busy)
                finished, self._finished = self._finished, []
                if not finished and not self._busy:
                    return total
            for report, problem in finished:
                if problem is not None:
                    raise problem
                total.add(report)
            if any(_progress(report) for report, _ in finished):
                self._dispatch(stop)

    def deliver_all(self, max_wait: float) -> None:
        """Deliver until nothing is due, or what is left has to wait longer than `max_wait` seconds in all.

        Raises StoreError.
        """
        deadline = time.monotonic() + max_wait
        while True:
            report = self.deliver_due()
            if report.delivered:
                continue
            ready_at = self._store.next_due(self._clock(), claimant=self._claimant)
            if ready_at is None or not report.credentials_ok:
                break
            wait = (ready_at - self._clock()).total_seconds() / self._speed
            if time.monotonic() + wait > deadline:
                break
            time.sleep(max(0.01, wait))
        self._report_skew()

    def check_slack(self) -> None:
        """Ask Slack who we are: at the start, when it has not answered for a while, and while it refuses us.

        So a wrong token is reported before the first alert, a corrected one is known before the next, and a Slack that
        cannot be reached is known while nothing is due.
        """
        if not isinstance(self._notifier, SlackNotifier):
            return
        now, answered = time.monotonic(), self._notifier.contact.answered_ago
        if self._refusal:
            if now - self._asked_at < RETRY_CREDENTIALS:
                return
        elif self._identified and answered is not None and answered < ASK_AFTER:
            return
        self._asked_at = now
        try:
            with self._asking:
                me = self._notifier.check()
        except NotifyError as error:
            if error.failure is DeliveryFailure.CREDENTIALS:
                self._refuse(str(error))
            else:
                log.warning("Slack does not answer", problem=str(error))
        else:
            if self._refusal or not self._identified:
                log.info("Slack accepts the bot token", bot=me.user_id)
            self._identified, self._refusal, self._refused_until = True, "", 0.0
            self._wake.set()
        self._report_skew()

    def start(self) -> None:
        """Deliver in the background until `stop`."""
        self._thread.start()

    def stop(self, within: float) -> bool:
        """Stop delivering in the background, within this many seconds. False when a call of Slack still hangs."""
        deadline = time.monotonic() + within
        self._resting.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(within)
        with self._changed:
            idle = self._changed.wait_for(lambda: not self._busy, max(0.0, deadline - time.monotonic()))
        answered = self._asking.acquire(timeout=max(0.0, deadline - time.monotonic()))
        if answered:
            self._asking.release()
        return idle and answered and not self._thread.is_alive()

    def _run(self) -> None:
        pause = max(0.02, min(MAX_PAUSE, MAX_PAUSE / self._speed))
        while not self._must_stop():
            try:
                self._dispatch(self._must_stop)
            except AlertbotError as error:
                log.error("delivery failed", error=str(error))
            except Exception:
                log.exception("delivery failed with an unexpected error; will retry")
            with self._changed:
                self._finished.clear()
            self._wake.wait(pause)

    def _must_stop(self) -> bool:
        return self._stopping.is_set() or self._resting.is_set()

    # Lanes

    def _dispatch(self, stop: Callable[[], bool]) -> None:
        """Begin with what is due in every lane that is free. Raises StoreError."""
        if time.monotonic() < self._refused_until:
            return
        end_claims_of_gone(self._store, self._claimant, self._is_gone, self._clock(), is_silent=self._is_silent)
        # A lane that becomes free from here on is not served from this list, which is old for it: its end asks again.
        with self._changed:
            begun = set(self._busy)
        for item in self._store.due(self._clock(), claimant=self._claimant, capacity=_capacity(begun)):
            if stop():
                return
            lane, name = _lane(item), _name(item)
            if lane in begun:
                continue
            with self._changed:
                alike = sum(other.edits is lane.edits for other in self._busy)
                full = alike >= (MAX_EDITS if lane.edits else MAX_POSTS)
                if full or lane in self._busy or name in self._busy.values():
                    continue
                self._busy[lane] = name
            begun.add(lane)
            if not isinstance(self._notifier, SlackNotifier):
                self._carry(lane, item, stop)  # a terminal never hangs, and is written by one thread
                continue
            # A thread of its own, which nothing waits for at the end: what it claimed is looked for at the next start.
            threading.Thread(target=self._carry, args=[lane, item, stop], name="delivery-lane", daemon=True).start()

    def _carry(self, lane: Lane, item: Due, stop: Callable[[], bool]) -> None:
        about = {"card": item.card.id} if isinstance(item, EditCard) else {"notice": item.notice.id}
        with context(**about):
            self._carried(lane, item, stop)

    def _carried(self, lane: Lane, item: Due, stop: Callable[[], bool]) -> None:
        report, problem = DeliveryReport(), None
        try:
            report = deliver(
                [item],
                self._notifier,
                self._store,
                self._clock,
                claimant=self._claimant,
                fallback_channel=self._fallback_channel,
                ops_channel=self._ops_channel,
                timezone=self._timezone,
                show_tenant=self._show_tenant,
                closes_at=self._closes_at,
                stop=stop,
            )
            self._measure(item, report)
            self._note(lane, report)
        except StoreError as error:
            problem = error
            log.error("delivery failed", error=str(error))
        except Exception:
            log.exception("delivery failed with an unexpected error; will retry")
        finally:
            with self._changed:
                del self._busy[lane]
                self._finished.append((report, problem))
                self.notified += report.cards + report.lines + report.ops
                self._changed.notify_all()
            if _progress(report):
                self._wake.set()

    def _measure(self, item: Due, report: DeliveryReport) -> None:
        """Count what became of one item. (A report may hold more: faults of templates that were reported.)"""
        outcomes = [name for name in _OUTCOMES if getattr(report, name)]
        if isinstance(item, EditCard):
            for outcome in ["delivered"] * bool(report.edits) + outcomes:
                self._metrics.edited(outcome)
            return
        kind = item.notice.kind.value
        if report.cards or report.lines or report.ops:
            self._metrics.noticed(kind, "delivered", (self._clock() - item.notice.at).total_seconds())
        for outcome in outcomes:
            self._metrics.noticed(kind, outcome)

    def _note(self, lane: Lane, report: DeliveryReport) -> None:
        """Learn from one item. Raises StoreError."""
        for error in report.errors:
            log.warning("something could not be delivered", problem=error)
        if not report.credentials_ok:
            self._refuse("Slack refuses the credentials")
        elif report.delivered:  # with nothing due nothing is known: a refusal stays reported
            self._refusal = ""
        if report.unanswered and not report.delivered:
            times = self._unanswered[lane] = self._unanswered.get(lane, 0) + 1
            if times >= REST_AFTER:
                self._rest(lane, self._clock() + doubled(FIRST_REST, times - REST_AFTER, MAX_REST))
        elif report.delivered or report.failed:
            self._unanswered.pop(lane, None)

    def _rest(self, lane: Lane, until: datetime) -> None:
        if lane.edits:
            self._store.hold_edits(until, lane.channel)
        else:
            self._store.hold_channel(lane.channel, until)
        what = "edits" if lane.edits else "posts"
        log.warning("no answer from Slack; pausing a channel", channel=lane.channel, what=what, until=until.isoformat())

    def _refuse(self, problem: str) -> None:
        if not self._refusal:
            log.error("there is a problem with Slack", problem=problem)
        self._refusal = problem
        self._refused_until = time.monotonic() + RETRY_CREDENTIALS

    def _report_skew(self) -> None:
        """Report in the ops channel, once a day, a clock that differs much from Slack's. Raises StoreError."""
        if not isinstance(self._notifier, SlackNotifier):
            return
        now, offset = self._clock(), self._notifier.contact.offset
        day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if self._speed != 1.0 or abs(offset) < REPORT_SKEW or self._skew_reported == str(day):
            return
        self._skew_reported = str(day)
        ahead = "ahead of" if offset < timedelta() else "behind"
        text = (
            f"The clock of this machine is {abs(offset).total_seconds():.0f} s {ahead} Slack's. "
            "Times on cards are wrong. Check that the machine synchronises its clock (NTP)."
        )
        log.warning("the clock of this machine differs from that of Slack", problem=text)
        notice = operational(("delivery", "clock of Slack"), self._ops_channel, text, now, once=day)
        self._store.add_notices([notice])


def _progress(report: DeliveryReport) -> bool:
    """Whether something changed, so that the next item of its lane may follow at once."""
    left = report.held_back or report.summed_up or report.superseded
    return bool(report.delivered or report.rerouted or report.reposted or left)


def _capacity(busy: Collection[Lane]) -> Capacity:
    posting = frozenset(lane.channel for lane in busy if not lane.edits)
    editing = frozenset(lane.channel for lane in busy if lane.edits)
    return Capacity(MAX_POSTS - len(posting), MAX_EDITS - len(editing), posting, editing)


def _lane(item: Due) -> Lane:
    if isinstance(item, EditCard):
        return Lane(True, item.card.posted.channel_id if item.card.posted else "")
    return Lane(False, item.notice.channel if isinstance(item, PostOps) else item.card.channel)


def _name(item: Due) -> str:
    return f"card {item.card.id}, {item.card.posted}" if isinstance(item, EditCard) else item.notice.id
