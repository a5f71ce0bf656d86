"""One tenant as the service holds it: its source, the rules it runs now, and its memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from alertbot.alerts.alerting import Alerting
from alertbot.errors import StoreError
from alertbot.evaluation.past import Past
from alertbot.evaluation.usual import Usual, quarter_of
from alertbot.feed.health import Limits
from alertbot.logs import logger
from alertbot.poll import Memory, Tenant, Turn
from alertbot.rules.ignore import Ignore, ignoring
from alertbot.rules.rule import RuleSet
from alertbot.rules.units import write_duration
from alertbot.service.fill_usual import SLICE_S, Filled, after_closing, fill
from alertbot.sources.source import Source
from alertbot.store.records import Owner
from alertbot.store.roles import Polls, Recording, UsualMeans

log = logger("tenant")


@dataclass
class LiveTenant:
    """A tenant that is polled. Its memory can be rebuilt at any time; its rules may be swapped between two turns."""

    name: str
    source: Source
    rules: RuleSet
    poll_every: timedelta
    default_channel: str
    ops_channel: str
    limits: Limits = field(default_factory=Limits)
    refresh: timedelta = timedelta(seconds=60)
    alerting: Alerting = field(default_factory=Alerting)
    record_all: bool = False
    keep: timedelta = timedelta(days=8)  # how long polls are recorded
    keep_usual: timedelta = timedelta(weeks=8)  # how long means of quarter-hours are kept
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    memory: Memory = field(default_factory=Memory)
    busy: threading.Lock = field(default_factory=threading.Lock)  # held during a turn
    last: Turn | None = None  # the last one with a fetch
    tried: bool = False  # by this process
    turn_at: datetime | None = None  # the time of the last turn of this process
    ignore: Ignore = field(default_factory=dict)  # what no rule evaluates
    owner: Owner | None = None  # as whom this process polls it, where several workers share a database
    _filled: Filled | None = None  # until when the means of each key are filled; None: not read yet
    _fill_error: str = ""  # why the last attempt to fill them failed
    _evaluated: tuple[RuleSet, RuleSet] | None = None  # the rules, and the same without what is ignored

    def begin(self, owner: Owner, now: datetime) -> None:
        """Go on as the new owner, where the one before was: another process has polled it since, or never did."""
        self.end()
        self.source.resume(owner.memory, now)
        self.owner = owner

    def end(self) -> None:
        """Be polled by this process no longer: nothing of its polls stays in memory, and no connection."""
        self.owner = None
        self.memory, self.last, self.turn_at, self.tried = Memory(), None, None, False
        self._filled, self._evaluated = None, None
        self.source.close()

    def wait(self, within: float) -> bool:
        """Wait until no turn of it runs. False if one still does after `within` seconds."""
        idle = self.busy.acquire(timeout=within)
        if idle:
            self.busy.release()
        return idle

    def as_owner(self, now: datetime) -> Owner | None:
        """As whom a turn is recorded, with what the next owner has to know after it."""
        return None if self.owner is None else replace(self.owner, memory=self.source.memory(now))

    def for_turn(self, store: Polls, now: datetime) -> Tenant:
        """What a turn has to know about it. The rules are read once: they may be swapped meanwhile."""
        rules = self._without_ignored(self.rules)
        past = self.memory.past
        if not looks_back(rules, self.keep_usual):
            past = None
        elif past is None or past.windows != rules.windows() or self._usual_differs(past, rules):
            past = self._recall(store, rules, now)
        if past is not None and isinstance(past.usual, Usual):
            past = replace(past, usual=self._of_this_quarter(past.usual, store, now))
        return Tenant(
            name=self.name,
            rules=rules,
            default_channel=self.default_channel,
            ops_channel=self.ops_channel,
            limits=self.limits,
            refresh=self.refresh,
            alerting=self.alerting,
            record_all=self.record_all,
            memory=replace(self.memory, past=past),
            names=store.names(),
            owner=self.owner,
        )

    def _without_ignored(self, rules: RuleSet) -> RuleSet:
        """The same object from turn to turn, while the rules stay the same: what is computed from it is kept."""
        if self._evaluated is None or self._evaluated[0] is not rules:
            self._evaluated = (rules, ignoring(rules, self.ignore))
        return self._evaluated[1]

    def after_turn(self, store: Polls, turn: Turn, *, within: float = SLICE_S) -> None:
        """Keep the memory of a turn that was recorded; then, for `within` seconds, fill in means that are missing."""
        past = turn.memory.past
        self.memory = turn.memory
        if turn.fetched is None or past is None or not isinstance(past.usual, Usual):
            return
        try:
            filled = self._filled if self._filled is not None else store.filled(self.name)
            filled, added = fill(
                store, self.name, past.usual, after_closing(filled, turn.closed), turn.now, self.keep, within=within
            )
        except StoreError as error:
            if str(error) != self._fill_error:  # once, not after each turn
                self._fill_error = str(error)
                log.error(
                    "means could not be filled from the recording; will retry", tenant=self.name, error=str(error)
                )
            return
        self._filled, self._fill_error = filled, ""
        if added:
            usual = self._of_this_quarter(past.usual.without(), store, turn.now)
            self.memory = replace(turn.memory, past=replace(past, usual=usual))

    def _usual_differs(self, past: Past, rules: RuleSet) -> bool:
        keys = past.usual.keys if isinstance(past.usual, Usual) else {}
        return bool(self.keep_usual) and keys != rules.usuals()

    def _of_this_quarter(self, usual: Usual, store: UsualMeans, now: datetime) -> Usual:
        """With the means for the quarter-hour of `now`."""
        try:
            return usual.at(now, partial(store.means, self.name))
        except StoreError as error:  # unknown for a while is better than no poll at all, and than another time of day
            log.error("usual values cannot be read, so they are unknown", tenant=self.name, error=str(error))
            return usual.without()

    def _recall(self, store: Polls, rules: RuleSet, now: datetime) -> Past | None:
        empty = empty_past(rules, self.poll_every, self.zone, self.keep_usual)
        if empty.longest > self.keep:
            log.warning(
                "rules look further back than polls are kept",
                tenant=self.name,
                longest=write_duration(empty.longest),
                keep=write_duration(self.keep),
            )
        try:
            return recall(store, self.name, empty, now)
        except StoreError as error:  # a window that is unknown for a while is better than no poll at all
            log.error("windows begin empty", tenant=self.name, error=str(error))
            return empty


def looks_back(rules: RuleSet, keep_usual: timedelta) -> bool:
    """Whether these rules read anything from before the present poll."""
    return bool(rules.windows() or (keep_usual and rules.usuals()))


def empty_past(rules: RuleSet, poll_every: timedelta, zone: ZoneInfo, keep_usual: timedelta) -> Past:
    """The past that these rules look back at, before any poll was added."""
    usual = Usual(poll_every, zone, rules.usuals()) if keep_usual and rules.usuals() else None
    return Past(poll_every, rules.windows(), usual)


def recall(store: Recording, tenant: str, past: Past, now: datetime) -> Past:
    """An empty past, filled with what was recorded up to `now`: the windows, and the quarter-hour that is not over.

    Raises StoreError when the recording cannot be read.
    """
    usual, since = past.usual, now - past.longest
    keys = {scope: set(keys) for scope, keys in past.keys.items()}
    quarter = quarter_of(now)
    if isinstance(usual, Usual):
        for scope, own in usual.keys.items():
            keys.setdefault(scope, set()).update(own)
    past = replace(past, usual=None)  # it counts the polls of this quarter-hour only
    wanted = {scope: frozenset(own) for scope, own in keys.items()}
    for poll in store.polls(tenant, min(since, quarter) if usual is not None else since, now, wanted):
        if poll.at >= since:
            past = past.add(poll.snapshots)
        if usual is not None and poll.at >= quarter:
            usual = usual.add(poll.snapshots)
    return replace(past, usual=usual)
