"""Turns of tenants: on schedule, or once for each of them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

from alertbot import poll
from alertbot.alerts.alert import Change, State
from alertbot.clock import Clock
from alertbot.errors import AlertbotError, NotOwner, StoreError
from alertbot.feed import pace
from alertbot.logs import context, logger
from alertbot.poll import Turn
from alertbot.rules.units import format_duration
from alertbot.rules.words import count
from alertbot.service.fill_usual import ONCE_S
from alertbot.service.signal import Signal
from alertbot.service.tenant import LiveTenant
from alertbot.store.roles import Polls
from alertbot.web.metrics import Metrics

MAX_SIDE_BY_SIDE = 32
SUMMARY_EVERY = timedelta(minutes=10)
MAX_LINES = 20
"""Lines about single alerts in one turn; beyond that, one line counts the others."""

log = logger("poll")


class Poller:
    """Runs turns of tenants. `wake` is set when something may have to be delivered."""

    def __init__(
        self,
        store: Polls,
        clock: Clock,
        wake: Signal,
        stopping: threading.Event,
        metrics: Metrics | None = None,
        lost: Callable[[str], None] = lambda tenant: None,
    ) -> None:
        """`lost` is called when a turn could not be recorded since another worker owns the tenant by now."""
        self._lost = lost
        self._store, self._clock, self._wake, self._stopping = store, clock, wake, stopping
        self._metrics = metrics or Metrics()
        self._summaries: dict[str, Summary] = {}
        self.store_problem = ""  # why the last turn of a tenant could not be stored; "" where it was

    def tick(self, tenant: LiveTenant) -> Turn | None:
        """One turn of one tenant on schedule; None when it failed or the last one still runs.

        8x8 is not asked while a pause that it asked for (Retry-After) or our back-off after failures lasts: the turn
        is then one without a fetch. An unexpected error is logged and counts as a failed poll; the next turn retries.
        """
        if self._stopping.is_set():
            return None
        if not tenant.busy.acquire(blocking=False):
            self._metrics.polled(tenant.name, "skipped", {})
            return None
        with context(tenant=tenant.name, poll=f"{self._clock():%Y%m%dT%H%M%SZ}"):
            return self._tick(tenant)

    def _tick(self, tenant: LiveTenant) -> Turn | None:
        """A turn of a tenant whose `busy` is held; it is released."""
        watch = Stopwatch()
        try:
            turn = self._turn(tenant, watch)
        except NotOwner as error:
            self._lost(tenant.name)
            log.debug("a turn was not recorded", tenant=tenant.name, error=str(error))
            return None
        except AlertbotError as error:
            if isinstance(error, StoreError):
                self.store_problem = str(error)
            log.error("poll failed", tenant=tenant.name, error=str(error))
            self._failed(tenant, str(error))
            self._count(tenant, None)
            self._metrics.polled(tenant.name, "error", {})
            return None
        except Exception as error:
            log.exception("poll failed with an unexpected error; the next one will retry", tenant=tenant.name)
            self._failed(tenant, f"alertbot itself failed ({type(error).__name__}), see its log")
            self._count(tenant, None)
            self._metrics.polled(tenant.name, "error", {})
            return None
        finally:
            tenant.busy.release()
            self.announce_silences()
        if turn.fetched is not None:  # it was stored
            self.store_problem = ""
        log_turn(turn)
        self._count(tenant, turn)
        self._measure(turn, watch)
        if turn.fetched is not None:
            tenant.last = turn
        self._wake_delivery(turn)
        return turn

    def _wake_delivery(self, turn: Turn) -> None:
        """Wake it for what it should do now. A value that only changed waits for the next look at what is due."""
        if turn.notices or any(change.moved or change.reason is not None for change in turn.changes):
            self._wake.set()

    def _count(self, tenant: LiveTenant, turn: Turn | None) -> None:
        self._summaries.setdefault(tenant.name, Summary()).add(tenant.name, turn, self._clock())

    def once(self, tenants: Sequence[LiveTenant], *, dry_run: bool = False) -> dict[str, Turn | str]:
        """One turn of every tenant, side by side: for each tenant its turn, or why there was none.

        `dry_run` records nothing.
        """
        with ThreadPoolExecutor(min(MAX_SIDE_BY_SIDE, len(tenants))) as pool:
            outcomes = list(pool.map(lambda tenant: self._once(tenant, dry_run=dry_run), tenants))
        if not dry_run:
            self.announce_silences()
        return {tenant.name: outcome for tenant, outcome in zip(tenants, outcomes, strict=True)}

    def announce_silences(self) -> None:
        """Announce silences that start, end soon or have ended: after a turn, so that its cards are known."""
        try:
            if self._store.announce_silences(self._clock()):
                self._wake.set()
        except AlertbotError as error:
            log.error("silences could not be announced; will retry", error=str(error))

    def _measure(self, turn: Turn, watch: Stopwatch) -> None:
        fetched = turn.fetched
        if fetched is None:
            self._metrics.polled(turn.tenant, "backed_off", {})
            return
        self._metrics.polled(turn.tenant, outcome(turn), watch.laps)
        for each in fetched.requests:
            self._metrics.requested(turn.tenant, each.endpoint, each.outcome, each.took_ms / 1000.0, each.tries)

    def _turn(self, tenant: LiveTenant, watch: Stopwatch) -> Turn:
        now = tenant.turn_at = pace.on_time(self._clock(), tenant.turn_at, tenant.poll_every)
        due = pace.due(self._store.feed(tenant.name).health, now, first=not tenant.tried)
        subject = tenant.for_turn(self._store, now)
        fetched = None
        watch.lap("prepare")
        if due:
            tenant.tried = True
            fetched = tenant.source.fetch(subject.wanted, now, subject.rules.only())
            subject = replace(subject, owner=tenant.as_owner(now))
            watch.lap("fetch")
        turn = poll.run(subject, self._store, now, fetched, lap=watch.lap)
        tenant.after_turn(self._store, turn)
        return turn

    def _failed(self, tenant: LiveTenant, why: str) -> None:
        """A poll failed in alertbot itself: the same turn without a fetch. If the store failed, only the log has it."""
        now = self._clock()
        try:
            turn = poll.run(tenant.for_turn(self._store, now), self._store, now, None, error=why)
        except NotOwner:
            self._lost(tenant.name)
        except AlertbotError as error:
            log.error(
                "a failed poll could not be recorded in the health of the feed", tenant=tenant.name, error=str(error)
            )
        except Exception:
            log.exception("a failed poll could not be recorded in the health of the feed", tenant=tenant.name)
        else:
            _log_changes(tenant.name, turn.changes)
            if turn.changes:
                self._wake.set()

    def _once(self, tenant: LiveTenant, *, dry_run: bool) -> Turn | str:
        try:
            now = self._clock()
            until = pace.asked_to_wait(self._store.feed(tenant.name).health, now)
            subject = tenant.for_turn(self._store, now)
            fetched = tenant.source.fetch(subject.wanted, now, subject.rules.only()) if until is None else None
            turn = (poll.plan if dry_run else poll.run)(subject, self._store, now, fetched)
        except AlertbotError as error:
            return str(error)
        if not dry_run:
            tenant.after_turn(self._store, turn, within=ONCE_S)
        return turn if until is None else f"8x8 asked for a pause until {until:%H:%M:%S} UTC (Retry-After)"


class Stopwatch:
    """How long the phases of a turn take, in seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._last = monotonic()
        self.laps: dict[str, float] = {}

    def lap(self, phase: str) -> None:
        """This phase has ended, and the next one begins."""
        now = self._monotonic()
        self.laps[phase] = self.laps.get(phase, 0.0) + now - self._last
        self._last = now


def outcome(turn: Turn) -> str:
    """One word for what a poll returned: complete, partial, refused or failed."""
    if turn.good:
        return "complete"
    if turn.fetched is not None and turn.fetched.refused:
        return "refused"
    return "partial" if turn.snapshots else "failed"


def log_turn(turn: Turn) -> None:
    """The lines of one turn. One on which nothing changed and nothing failed is a line at level debug."""
    moved = _log_changes(turn.tenant, turn.changes)
    for rule, error in turn.failing.items():
        log.error("rule failed; the other rules are evaluated", tenant=turn.tenant, rule=rule, error=error)
    if turn.fetched is None:
        return
    for note in turn.fetched.notes:
        log.info(f"note about 8x8: {note}", tenant=turn.tenant)
    for problem in turn.fetched.problems:
        log.warning(f"problem with 8x8: {problem}", tenant=turn.tenant)
    line, event = log.debug, "polled 8x8"
    if not turn.good:
        line, event = log.warning, f"polled 8x8, with problems: {'; '.join(turn.problems)}"
    elif moved:
        line, event = log.info, "polled 8x8: alerts changed"
    line(
        event,
        tenant=turn.tenant,
        entities=sum(len(snapshot) for snapshot in turn.snapshots.values()),
        requests=len(turn.fetched.requests),
        took_ms=round(turn.fetched.took_ms),
        changes=moved,
        notices=len(turn.notices),
        **({"overtaken": turn.overtaken} if turn.overtaken else {}),  # decided again: something else was written
    )


def _log_changes(tenant: str, changes: Sequence[Change]) -> int:
    """A line for each alert that moved or is reported, of many for the worst of them; how many moved.

    The end of a mute is reported although nothing moved.
    """
    shown = [change for change in changes if change.moved or (change.reason is not None and change.withheld is None)]
    lines, more = shown, []
    if len(shown) > MAX_LINES + 1:  # one line more is no longer than the line that stands for it
        worst_first = sorted(shown, key=lambda change: -change.after.level)
        lines, more = worst_first[:MAX_LINES], worst_first[MAX_LINES:]
    for change in lines:
        _log_change(log.info, tenant, change)
    if more:
        _log_more(tenant, more)
    return sum(change.moved for change in changes)


def _log_change(line: Callable[..., object], tenant: str, change: Change) -> None:
    line(
        f"alert {_now(change)}",
        tenant=tenant,
        rule=change.after.key.rule,
        entity=change.after.name,
        alert_level=change.after.level.word,  # `level` is the line's own
        reason=str(change.reason) if change.reason else None,
        why=change.why,
        **({"withheld": str(change.withheld)} if change.withheld else {}),
    )


def _now(change: Change) -> str:
    return "has ended" if change.after.state is State.INACTIVE else f"is {change.after.state}"


def _log_more(tenant: str, changes: Sequence[Change]) -> None:
    """One line for many alerts: how many of each state and of each rule. Their own lines are at level debug."""
    states = Counter("ended" if change.after.state is State.INACTIVE else str(change.after.state) for change in changes)
    rules = Counter(change.after.key.rule for change in changes)
    log.info(
        f"{len(changes)} more alerts changed in this poll",
        tenant=tenant,
        **states,
        rules=", ".join(f"{rule} ({times})" for rule, times in rules.most_common()),
    )
    for change in changes:
        _log_change(log.debug, tenant, change)


class Summary:
    """One line for all polls of a tenant since the last one, every SUMMARY_EVERY."""

    def __init__(self) -> None:
        self._begin(None)

    def _begin(self, since: datetime | None) -> None:
        self._since = since
        self._polls = self._failed = self._paused = self._changes = self._notices = 0
        self._took_ms = 0.0

    def add(self, tenant: str, turn: Turn | None, now: datetime) -> None:
        """Count a turn; None is one that failed."""
        if turn is not None and turn.fetched is None:
            self._paused += 1
        else:
            self._polls += 1
            self._failed += turn is None or not turn.good
        if turn is not None and turn.fetched is not None:
            self._changes += sum(change.moved for change in turn.changes)
            self._notices += len(turn.notices)
            self._took_ms += turn.fetched.took_ms
        if self._since is None or self._since > now:  # the clock may have been set back
            self._since = now
        elif now - self._since >= SUMMARY_EVERY:
            log.info(
                f"polled 8x8 {count(self._polls, 'time')} in {format_duration(now - self._since)}",
                tenant=tenant,
                failed=self._failed,
                changes=self._changes,
                notices=self._notices,
                mean_took_ms=round(self._took_ms / max(1, self._polls)),
                **({"paused": self._paused} if self._paused else {}),  # turns of a back-off, without a poll
            )
            self._begin(now)
