"""Polls through rules, with nothing behind them: the timeline of alerts and notices, kept in memory.

The way of a live poll (`poll.run`) step by step: judge, evaluate, advance, decide, and what the store would make of
it. A test holds the two together. Behind `alertbot test` and `alertbot replay`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from alertbot.alerts.advance import advance
from alertbot.alerts.alert import Alert, Change, Fingerprint, State
from alertbot.alerts.decide import decide
from alertbot.alerts.notice import Notice, NoticeKind
from alertbot.evaluation.batch import Batch, Snapshots
from alertbot.evaluation.evaluate import Selector, Verdicts, evaluate_all
from alertbot.evaluation.past import Past
from alertbot.evaluation.snapshot import Snapshot
from alertbot.feed.observe import doubt_empty
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import RuleSet

BATCH_SIZE = 64
"""Polls that are evaluated together."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one poll changed. `notices` are those that would be told, as they would be told: by a card or a line."""

    now: datetime
    changes: tuple[Change, ...]
    notices: tuple[Notice, ...]


class Replay:
    """One tenant's rules, fed with polls in the order of their times. It remembers what the store would."""

    def __init__(
        self,
        rules: RuleSet,
        *,
        poll_every: timedelta,
        tenant: str = "replay",
        default_channel: str = "#cc-alerts",
    ) -> None:
        self.rules = rules
        self.past: Past | None = Past(poll_every, rules.windows()) if rules.windows() else None
        self.tenant = tenant
        self._default_channel = default_channel
        self._selector = Selector()
        self._alerts: dict[Fingerprint, Alert] = {}  # that are not over, by id, since the id is given in order
        self._cards: dict[Fingerprint, frozenset[str]] = {}
        self._entities: dict[Scope, int] = {}
        self._empty_polls: dict[Scope, int] = {}
        self._next_id = 1

    @property
    def alerts(self) -> Mapping[Fingerprint, Alert]:
        """Those that are not over."""
        return self._alerts

    def poll(self, now: datetime, snapshots: Snapshots, failed: frozenset[Scope] = frozenset()) -> Step:
        """What this poll changes. `failed`: scopes of which nothing came."""
        judged = self._judged(snapshots)
        if self.past is not None:
            self.past = self.past.add(judged)
        return self._step(now, evaluate_all(self.rules, judged, self._selector, self.past), failed)

    def run(self, polls: Iterable[tuple[datetime, Snapshots, frozenset[Scope]]]) -> Iterator[Step]:
        """The same for many polls, the oldest first, and many times quicker: see `blocks.py`."""
        waiting = iter(polls)
        while block := list(islice(waiting, BATCH_SIZE)):
            judged = [self._judged(snapshots) for _, snapshots, _ in block]
            pasts: list[Past | None] = []
            for snapshots in judged:
                self.past = self.past.add(snapshots) if self.past is not None else None
                pasts.append(self.past)
            seen = Batch(self.rules, judged, pasts, self._selector)
            for index, (now, _, failed) in enumerate(block):
                verdicts = seen.verdicts(index, {key.rule for key in self._alerts})
                yield self._step(now, verdicts, failed) if verdicts or self._alerts else Step(now, (), ())

    def _step(self, now: datetime, seen: Sequence[Verdicts], failed: frozenset[Scope]) -> Step:
        changes = advance(tuple(self._alerts.values()), seen, self.rules, now, tenant=self.tenant, failed_scopes=failed)
        if not changes:
            return Step(now, (), ())
        notices = decide(changes, self.rules, self._cards, self._default_channel, now)
        kept = self._keep(changes)
        told = self._told(notices)
        for change in kept:
            if change.after.state is State.INACTIVE:
                self._alerts.pop(change.after.key, None)
                self._cards.pop(change.after.key, None)
        return Step(now, tuple(kept), tuple(told))

    def remember(self, snapshots: Mapping[Scope, Snapshot]) -> None:
        """Take a poll into the past that windows look at, and decide nothing."""
        if self.past is not None:
            self.past = self.past.add(self._judged(snapshots))

    def _judged(self, snapshots: Mapping[Scope, Snapshot]) -> dict[Scope, Snapshot]:
        judged = {}
        for scope, snapshot in snapshots.items():
            empty = self._empty_polls.get(scope, 0)
            found = judged[scope] = doubt_empty(snapshot, self._entities.get(scope, 0), empty)
            self._empty_polls[scope] = 0 if len(found) else empty + 1
            if found.complete:
                self._entities[scope] = len(found)
        return judged

    def _keep(self, changes: Iterable[Change]) -> list[Change]:
        """The changes with the ids that the alerts have; an alert that ends leaves when all is told."""
        kept = []
        for change in changes:
            key, after = change.after.key, change.after
            before = self._alerts.get(key)
            if after.id is None:
                number = before.id if before is not None else self._next_id
                self._next_id += before is None
                after = replace(after, id=number)
            self._alerts[key] = after
            kept.append(replace(change, after=after))
        return kept

    def _told(self, notices: Sequence[Notice]) -> list[Notice]:
        """A card where its channel has one already is a line; a line without a card to go to is told to nobody."""
        told = []
        for notice in notices:
            if notice.alert is None or notice.kind is NoticeKind.OPS:
                told.append(notice)
                continue
            cards = self._cards.get(notice.alert, frozenset())
            if notice.channel in cards:
                told.append(replace(notice, kind=NoticeKind.LINE) if notice.kind is NoticeKind.CARD else notice)
            elif notice.kind is NoticeKind.CARD:
                self._cards[notice.alert] = cards | {notice.channel}
                told.append(notice)
        return told
