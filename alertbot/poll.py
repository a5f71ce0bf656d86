"""One turn of one tenant, from top to bottom. Read this file first.

A turn is what happens to a tenant each time it is due: 8x8 was polled, or it was not (it asked for a pause, or alertbot
backs off), or it did not answer. It is the same turn each time, with a fetch or without one.

Nothing below calls back up. A crash before `store.record` has decided nothing; after it, all that was decided is
reported later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain

from alertbot.alerts import clock_step
from alertbot.alerts.advance import advance_moved
from alertbot.alerts.alert import Change, Fingerprint
from alertbot.alerts.alerting import Alerting, Situation
from alertbot.alerts.decide import decide, rule_failures
from alertbot.alerts.followups import Agenda, followups
from alertbot.alerts.latch import next_latches
from alertbot.alerts.notice import Notice
from alertbot.alerts.shown import shown_changes
from alertbot.alerts.standing import Standing
from alertbot.alerts.steady import Steady
from alertbot.errors import Conflict
from alertbot.evaluation.evaluate import Selector, evaluate_all
from alertbot.evaluation.past import Past
from alertbot.evaluation.snapshot import Fetched, Snapshot
from alertbot.evaluation.usual import QuarterHour, Usual
from alertbot.feed import turn as feed_turn
from alertbot.feed.health import Feed, Limits, not_in_the_future
from alertbot.rules.catalogue import Scope
from alertbot.rules.privacy import AGENT_SCOPES, NAMES_IN_FULL, Names
from alertbot.rules.rule import RuleSet
from alertbot.rules.words import listed
from alertbot.store import open_alerts
from alertbot.store.open_alerts import OpenAlerts
from alertbot.store.records import Owner, PollRecord
from alertbot.store.roles import Polls

_OPTIMISTIC = 2  # decisions of one turn beside other writers; after that, the others wait
_AND_MORE = re.compile(r" \(and [0-9]+ more\)$")  # requests that failed in the same way
_NOT_READ = " could not be read: "  # between what was not read and why, in `Fetched.failures`


@dataclass(frozen=True)
class Memory:
    """What one turn keeps for the next one, so that it need not be read or computed again. All of it can be rebuilt."""

    selector: Selector = field(default_factory=Selector)  # which entities the rules cover
    past: Past | None = None  # what windows look at; None: windows are unknown
    open: OpenAlerts | None = None  # read again if anything but this tenant's turns has written since
    steady: Steady = field(default_factory=Steady)  # which alerts need not be stepped


@dataclass(frozen=True)
class Tenant:
    """What a turn needs to know about its tenant."""

    name: str
    rules: RuleSet
    default_channel: str
    ops_channel: str  # receives messages about the feed
    limits: Limits = field(default_factory=Limits)
    refresh: timedelta = timedelta(seconds=60)  # a changed value alone edits a card at most this often
    alerting: Alerting = field(default_factory=Alerting)
    record_all: bool = False  # all keys of the scopes are fetched and recorded, not only those that rules read
    memory: Memory = field(default_factory=Memory)
    names: Names = NAMES_IN_FULL  # how names of agents are shown
    owner: Owner | None = None  # as whom the turn is recorded, where several workers share a database

    @property
    def wanted(self) -> Mapping[Scope, frozenset[str]]:
        """The keys to fetch, by scope."""
        return self.rules.every_metric() if self.record_all else self.rules.metrics()


@dataclass(frozen=True)
class Turn:
    """What one turn saw and decided. `changes` starts with those of feed alerts; `feed` is the feed after the turn."""

    tenant: str
    now: datetime
    fetched: Fetched | None
    snapshots: Mapping[Scope, Snapshot]
    changes: tuple[Change, ...]
    notices: tuple[Notice, ...]
    feed: Feed
    memory: Memory
    failing: Mapping[str, str] = field(default_factory=dict)  # rules that failed now and not before: the exceptions
    overtaken: int = 0  # how often it had to be decided again, since something else was written meanwhile

    @property
    def good(self) -> bool:
        """Whether 8x8 was polled and all data was received."""
        return self.fetched is not None and self.feed.health.good > 0

    @property
    def closed(self) -> tuple[QuarterHour, ...]:
        """The quarter-hours that ended before this poll, with their means."""
        usual = self.memory.past.usual if self.memory.past is not None and self.fetched is not None else None
        return usual.closed if isinstance(usual, Usual) else ()

    @property
    def problems(self) -> tuple[str, ...]:
        """Why data is missing, in sentences; empty if none is."""
        if self.fetched is None:
            return (self.feed.error,) if self.feed.error else ()
        whys = list(self.fetched.failures.items())
        whys += [(scope, problem) for scope, snapshot in self.snapshots.items() for problem in snapshot.problems]
        by_reason: dict[str, dict[Scope, str]] = {}  # each reason once, however many scopes have it
        for scope, why in whys:
            noun, separator, _ = why.partition(_NOT_READ)
            reason = _AND_MORE.sub("", why.rpartition(_NOT_READ)[2])
            key, noun = (separator + reason, noun) if separator else (why, "")
            by_reason.setdefault(key, {})[scope] = noun
        return tuple(
            f"{', '.join(nouns)}: {listed(list(dict.fromkeys(nouns.values())))}{reason}"
            for reason, nouns in by_reason.items()
        )


def no_lap(_: str) -> None:
    """Takes no notice of the phases of a turn."""


def run(
    tenant: Tenant,
    store: Polls,
    now: datetime,
    fetched: Fetched | None,
    *,
    error: str = "",
    lap: Callable[[str], None] = no_lap,
) -> Turn:
    """One turn: decide what `fetched` and the time mean for the tenant, and record all of it in one transaction.

    `fetched` is None if 8x8 was not polled; `error` says why, if that is because alertbot itself failed. A turn
    without a fetch changes only what time changes: feed alerts, alerts whose calendar closes, and what followups.py
    has. A turn that changes nothing is not recorded. The turn's `memory` is for the tenant's next turn. `lap` is called
    after each phase, with its name; a phase may come again.

    What a user changes while the turn is decided wins: the turn is decided again on that, with the same data. One
    that was overtaken every time is decided while nothing else can be written.

    Raises StoreError when the database cannot be read or written: then nothing was decided. Its kind NotOwner says that
    another worker owns the tenant now.
    """
    for tries in range(_OPTIMISTIC):
        with suppress(Conflict):
            return _run(tenant, store, now, fetched, error, tries, lap)
    with store.alone(tenant.name):
        return _run(tenant, store, now, fetched, error, _OPTIMISTIC, lap)


def _run(
    tenant: Tenant,
    store: Polls,
    now: datetime,
    fetched: Fetched | None,
    error: str,
    overtaken: int,
    lap: Callable[[str], None],
) -> Turn:
    decided = _decide(tenant, store, now, fetched, error)
    lap("decide")
    turn = replace(decided.turn, overtaken=overtaken)
    if fetched is None and not turn.changes and not turn.notices and turn.feed == decided.before:
        return turn
    record = PollRecord(
        tenant=tenant.name,
        now=now,
        feed=turn.feed,
        changes=turn.changes,
        notices=turn.notices,
        snapshots=turn.snapshots,
        refresh=tenant.refresh,
        failures=fetched.failures if fetched is not None else {},
        polled=fetched is not None,
        latches=decided.latches,
        revision=decided.revision,
        quarter_hours=turn.closed,
        owner=tenant.owner,
    )
    recorded = store.record(record)
    lap("record")
    assert turn.memory.open is not None, "what the turn was decided on"
    after = open_alerts.after(turn.memory.open, record, recorded, now - tenant.alerting.flap_window)
    return replace(turn, memory=replace(turn.memory, open=after))


def plan(tenant: Tenant, store: Polls, now: datetime, fetched: Fetched | None) -> Turn:
    """What `run` would decide; nothing is recorded. Raises StoreError when the database cannot be read."""
    return _decide(tenant, store, now, fetched, "").turn


@dataclass(frozen=True)
class _Decided:
    """A turn that is not recorded yet, and what it was decided on."""

    turn: Turn
    before: Feed
    revision: int
    latches: Mapping[Fingerprint, int | None]


def _decide(tenant: Tenant, store: Polls, now: datetime, fetched: Fetched | None, error: str) -> _Decided:
    open_now = open_alerts.current(tenant.memory.open, store, tenant.name, now - tenant.alerting.flap_window)
    feed = store.feed(tenant.name)  # after the revision: if another turn writes it meanwhile, `record` refuses
    feed_alerts, standing = open_now.standing.of_scope(Scope.FEED), open_now.standing.without(Scope.FEED)
    # On a turn without a fetch the time of the last poll stays, so the step would be taken again on the next one.
    step = clock_step.set_back_by(feed.tried_at, now) if fetched is not None or error else timedelta(0)
    before = [*feed_alerts, *standing.by_key.values()] if step else []
    if step:
        feed_alerts = [clock_step.moved_back(alert, step) for alert in feed_alerts]
        standing = Standing.of(clock_step.moved_back(alert, step) for alert in standing.by_key.values())

    if fetched is not None:
        fetched = replace(fetched, snapshots=tenant.memory.selector.sharing(fetched.snapshots))

    # The feed first: while it is ill, nothing may count as missing.
    fed = feed_turn.begin(feed, feed_alerts, fetched, tenant.rules, tenant.limits, tenant.ops_channel, now, error=error)
    past = tenant.memory.past
    if past is not None and fetched is not None:
        past = past.add(fed.snapshots)

    failing: dict[str, str] = {}  # one rule that raises stops none of the others
    verdicts = evaluate_all(fed.rules, fed.visible, tenant.memory.selector, past, failing)
    failed = frozenset(fetched.failures) if fetched is not None else frozenset()
    read = [verdict for verdict in verdicts if verdict.snapshot.scope not in failed]
    latches = next_latches(open_now.latched, read, tenant.rules) if fetched is not None and open_now.latched else {}
    received = not_in_the_future(feed.health, now).received
    situation = Situation(tenant.alerting, open_now.silences, open_now.latched, open_now.rises, feed.good_at, received)
    changes, steady = advance_moved(
        standing,
        tenant.memory.steady,
        verdicts,
        fed.rules,
        now,
        tenant=tenant.name,
        failed_scopes=failed,
        failing=failing,
        situation=situation,
    )
    if tenant.names.hidden and changes:
        names = tenant.names
        for scope in AGENT_SCOPES & fed.snapshots.keys():  # an agent may be there for the first time
            names = names.seeing(tenant.name, fed.snapshots[scope].ids, fed.snapshots[scope].names)
        changes = shown_changes(changes, names)
    after, feed_changes = feed_turn.finish(fed, changes, failing, tenant.limits, now)
    changes = [*feed_changes, *changes]
    begun = {rule: error for rule, error in after.health.failing.items() if rule not in feed.health.failing}
    if step:
        moved = {**{alert.key: alert for alert in feed_alerts}, **standing.by_key}
        changes += clock_step.moves(before, moved, changes)

    # What only time changes, last: on the alerts as the poll and the mutes leave them.
    agenda = Agenda() if step else open_now.agenda
    due, agenda = followups(
        chain(feed_alerts, standing.by_key.values()),
        changes,
        tenant.rules,
        now,
        fed.visible.keys() - failed,
        situation,
        agenda,
    )
    changes += due

    rules = replace(tenant.rules, rules=(*fed.builtin.rules, *tenant.rules.rules))
    notices = decide(
        changes,
        rules,
        open_now.cards,
        tenant.default_channel,
        now,
        alerts=open_now.by_key,
        groups=open_now.groups,
        storm_cards=tenant.alerting.storm_cards,
    )
    notices += rule_failures(begun, tenant.name, tenant.rules.version, tenant.ops_channel, now)
    memory = replace(tenant.memory, past=past, open=replace(open_now, agenda=agenda), steady=steady)
    return _Decided(
        Turn(tenant.name, now, fetched, fed.snapshots, tuple(changes), tuple(notices), after, memory, begun),
        feed,
        open_now.revision,
        latches,
    )
