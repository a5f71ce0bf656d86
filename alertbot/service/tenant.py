"""One tenant as the service holds it: its source, the rules it runs now, and its memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from alertbot.alerts.alerting import Alerting
from alertbot.errors import StoreError
from alertbot.evaluation.past import Past, remember
from alertbot.feed.health import Limits
from alertbot.logs import logger
from alertbot.poll import Memory, Tenant, Turn
from alertbot.rules.ignore import Ignore, ignoring
from alertbot.rules.rule import RuleSet
from alertbot.rules.units import write_duration
from alertbot.sources.source import Source
from alertbot.store.roles import Polls, Recording

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
    memory: Memory = field(default_factory=Memory)
    busy: threading.Lock = field(default_factory=threading.Lock)  # held during a turn
    last: Turn | None = None  # the last one with a fetch
    tried: bool = False  # by this process
    turn_at: datetime | None = None  # the time of the last turn of this process
    ignore: Ignore = field(default_factory=dict)  # what no rule evaluates
    _evaluated: tuple[RuleSet, RuleSet] | None = None  # the rules, and the same without what is ignored

    def for_turn(self, store: Polls, now: datetime) -> Tenant:
        """What a turn has to know about it. The rules are read once: they may be swapped meanwhile."""
        rules = self._without_ignored(self.rules)
        windows = rules.windows()
        past = self.memory.past
        if not windows:
            past = None
        elif past is None or past.windows != windows:
            past = self._recall(store, rules, now)
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
        )

    def _without_ignored(self, rules: RuleSet) -> RuleSet:
        """The same object from turn to turn, while the rules stay the same: what is computed from it is kept."""
        if self._evaluated is None or self._evaluated[0] is not rules:
            self._evaluated = (rules, ignoring(rules, self.ignore))
        return self._evaluated[1]

    def _recall(self, store: Recording, rules: RuleSet, now: datetime) -> Past | None:
        empty = Past(self.poll_every, rules.windows())
        if empty.longest > self.keep:
            log.warning(
                "rules look further back than polls are kept",
                tenant=self.name,
                longest=write_duration(empty.longest),
                keep=write_duration(self.keep),
            )
        try:
            return recall(store, self.name, rules, self.poll_every, now)
        except StoreError as error:  # a window that is unknown for a while is better than no poll at all
            log.error("windows begin empty", tenant=self.name, error=str(error))
            return empty


def recall(store: Recording, tenant: str, rules: RuleSet, poll_every: timedelta, now: datetime) -> Past | None:
    """What the windows of these rules look at, as it was recorded up to `now`; None if no rule looks back.

    Raises StoreError when the recording cannot be read.
    """
    windows = rules.windows()
    if not windows:
        return None
    past = Past(poll_every, windows)
    polls = store.polls(tenant, now - past.longest, now, past.keys)
    return remember(past, (poll.snapshots for poll in polls))
