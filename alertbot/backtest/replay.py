"""Polls through rules in memory, without a store: the alerts and notices that they lead to.

It takes the steps of a live poll (`poll.run`): check for completeness, evaluate, advance, decide, and then what the
store would do with the result. A test compares the two. Used by `alertbot test` and `alertbot replay`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from alertbot.alerts.advance import advance_moved
from alertbot.alerts.alert import Alert, Change, Fingerprint, Outcome, State, changed
from alertbot.alerts.alerting import Alerting, Situation
from alertbot.alerts.cards import ESCALATIONS, is_shared
from alertbot.alerts.decide import decide
from alertbot.alerts.followups import Agenda, followups
from alertbot.alerts.notice import Notice, NoticeKind
from alertbot.alerts.silence import Matcher, Silence
from alertbot.alerts.standing import Standing
from alertbot.alerts.steady import Steady
from alertbot.evaluation.batch import Batch, Plan, Snapshots
from alertbot.evaluation.evaluate import Selector, Verdicts, evaluate_all
from alertbot.evaluation.past import Past
from alertbot.evaluation.snapshot import Snapshot
from alertbot.evaluation.usual import GivenUsual, QuarterHour, ReadMeans, Usual, no_means
from alertbot.feed.observe import doubt_empty
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import RuleSet

UTC_ZONE = ZoneInfo("UTC")
BATCH_SIZE = 64
"""How many polls are evaluated together."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one poll changed. `notices` are those that would be delivered, each as a card or a line."""

    now: datetime
    changes: tuple[Change, ...]
    notices: tuple[Notice, ...]


class Replay:
    """One tenant's rules, fed with polls in the order of their times. It keeps the state that the store would."""

    def __init__(
        self,
        rules: RuleSet,
        *,
        poll_every: timedelta,
        tenant: str = "replay",
        default_channel: str = "#cc-alerts",
        alerting: Alerting | None = None,
        zone: ZoneInfo = UTC_ZONE,
        means: ReadMeans = no_means,
    ) -> None:
        """`alerting`: what alertbot.yaml says about alerts; its `poll_every` is replaced. None: the defaults.

        `zone`: of the tenant, for the time of the week. `means`: reads the means of earlier quarter-hours, as far as
        they are kept. Others are made from the polls of the replay. All of them ended before the poll that is compared.
        """
        self.rules = rules
        usual = Usual(poll_every, zone, rules.usuals()) if rules.usuals() else None
        self.past: Past | None = Past(poll_every, rules.windows(), usual) if rules.windows() or usual else None
        self._means = means
        self._closed: dict[datetime, list[QuarterHour]] = {}  # by their begin
        self.tenant = tenant
        self._default_channel = default_channel
        self._alerting = replace(alerting or Alerting(), poll_every=poll_every)
        self._plan = Plan(rules)
        self._selector = Selector()
        self._standing = Standing()
        self._steady = Steady()
        self._cards: dict[Fingerprint, frozenset[str]] = {}
        self._groups: dict[tuple[str, str], frozenset[Fingerprint]] = {}
        self._entities: dict[Scope, int] = {}
        self._empty_polls: dict[Scope, int] = {}
        self._next_id = 1
        self.silences: tuple[Silence, ...] = ()
        self._rises: dict[Fingerprint, tuple[datetime, ...]] = {}  # of alerts that ended lately
        self._received: dict[Scope, datetime] = {}
        self._agenda = Agenda()

    @property
    def alerts(self) -> Mapping[Fingerprint, Alert]:
        """The open alerts, in the order of their ids."""
        return self._standing.by_key

    def poll(self, now: datetime, snapshots: Snapshots, failed: frozenset[Scope] = frozenset()) -> Step:
        """What this poll changes. `failed`: scopes without data."""
        checked = self._checked(snapshots)
        self._look_back(checked, now)
        verdicts = evaluate_all(self.rules, checked, self._selector, self.past)
        return self._step(now, verdicts, checked.keys() - failed, failed)

    def run(self, polls: Iterable[tuple[datetime, Snapshots, frozenset[Scope]]]) -> Iterator[Step]:
        """The same for many polls, oldest first, and many times faster: see `evaluation/batch.py`."""
        waiting = iter(polls)
        while polls_of_batch := list(islice(waiting, BATCH_SIZE)):
            checked = [self._checked(snapshots) for _, snapshots, _ in polls_of_batch]
            pasts: list[Past | None] = []
            for (now, _, _), snapshots in zip(polls_of_batch, checked, strict=True):
                self._look_back(snapshots, now)
                pasts.append(self.past)
            batch = Batch(self._plan, checked, pasts, self._selector)
            for index, (now, _, failed) in enumerate(polls_of_batch):
                verdicts = batch.verdicts(index, {rule for _, rule in self._standing.by_rule})
                yield self._step(now, verdicts, checked[index].keys() - failed, failed)

    def _step(
        self, now: datetime, verdicts: Sequence[Verdicts], received: Set[Scope], failed: frozenset[Scope]
    ) -> Step:
        before = Situation(self._alerting, self.silences, rises=self._rises, received=dict(self._received))
        self._received.update(dict.fromkeys(received, now))
        if not verdicts and not self.alerts:
            return Step(now, (), ())
        return self._advanced(now, verdicts, received, failed, before)

    def _advanced(
        self,
        now: datetime,
        verdicts: Sequence[Verdicts],
        received: Set[Scope],
        failed: frozenset[Scope],
        situation: Situation,
    ) -> Step:
        changes, self._steady = advance_moved(
            self._standing,
            self._steady,
            verdicts,
            self.rules,
            now,
            tenant=self.tenant,
            failed_scopes=failed,
            situation=situation,
        )
        due, self._agenda = followups(self.alerts.values(), changes, self.rules, now, received, situation, self._agenda)
        return self._taken(now, [*changes, *due])

    def _taken(self, now: datetime, changes: Sequence[Change]) -> Step:
        """The step of these changes: what is reported of them, and what is remembered."""
        if not changes:
            return Step(now, (), ())
        notices = decide(
            changes,
            self.rules,
            self._cards,
            self._default_channel,
            now,
            alerts=self.alerts,
            groups=self._groups,
            storm_cards=self._alerting.storm_cards,
        )
        kept = self._keep(changes)
        delivered = self._delivered(notices, {each.after.key for each in kept if each.after.state is State.INACTIVE})
        for change in kept:
            if change.after.state is State.INACTIVE:
                self._leave(change.after.key)
                if change.after.fired_at is not None:
                    self._rises[change.after.key] = change.after.rises
        self._standing = self._standing.changed(
            (each.after.key, None if each.after.state is State.INACTIVE else each.after) for each in kept
        )
        return Step(now, tuple(kept), tuple(delivered))

    def silence(self, matcher: Matcher, starts_at: datetime, ends_at: datetime) -> Silence:
        """Silence what matches, from the next poll on. Silences share their ids with alerts."""
        silence = Silence(self._next_id, matcher, starts_at, ends_at, author="", reason="", created_at=starts_at)
        self._next_id += 1
        self.silences = (*self.silences, silence)
        return silence

    def acknowledge(self, key: Fingerprint, by: str, now: datetime) -> tuple[Outcome, Alert | None]:
        """As `Store.acknowledge`, for the open alert of that fingerprint; without the notice of it."""
        alert = self.alerts.get(key)
        if alert is None or not alert.open:
            return Outcome.UNKNOWN_ID, alert
        if alert.acked_by is not None:
            return Outcome.ALREADY, alert
        return Outcome.DONE, self._set(replace(alert, acked_by=by, acked_at=now, nagged=False))

    def unacknowledge(self, key: Fingerprint, now: datetime) -> tuple[Outcome, Alert | None]:
        """As `Store.unacknowledge`, likewise."""
        alert = self.alerts.get(key)
        if alert is None or not alert.open:
            return Outcome.UNKNOWN_ID, alert
        if alert.acked_by is None:
            return Outcome.NOT_ACKNOWLEDGED, alert
        return Outcome.DONE, self._set(replace(alert, acked_by=None, acked_at=None, ack_note="", nagged=False))

    def _set(self, alert: Alert) -> Alert:
        """Put an alert that a user changed in place of what it was."""
        self._standing = self._standing.changed([(alert.key, alert)])
        self._agenda = Agenda()
        return alert

    def take_usual(self, usual: GivenUsual) -> None:
        """What is usual from the next poll on, as a rule test gives it."""
        if self.past is not None and self.past.usual is not None:
            self.past = replace(self.past, usual=usual)

    def remember(self, snapshots: Mapping[Scope, Snapshot], now: datetime | None = None) -> None:
        """Add a poll to the past that rules look back at, without evaluating it; with what is usual at `now`."""
        if self.past is not None:
            self._look_back(self._checked(snapshots), now)

    def _look_back(self, checked: Mapping[Scope, Snapshot], now: datetime | None) -> None:
        if self.past is None:
            return
        self.past = self.past.add(checked)
        usual = self.past.usual
        if isinstance(usual, Usual):
            for each in usual.closed:
                self._closed.setdefault(each.at, []).append(each)
            if now is not None:
                self.past = replace(self.past, usual=usual.at(now, self._means_at))

    def _means_at(self, keys: Mapping[Scope, Collection[str]], at: Collection[datetime]) -> Iterator[QuarterHour]:
        for begin in at:
            yield from self._closed.get(begin, ())
        yield from self._means(keys, at)

    def _checked(self, snapshots: Mapping[Scope, Snapshot]) -> dict[Scope, Snapshot]:
        checked = {}
        for scope, snapshot in snapshots.items():
            empty = self._empty_polls.get(scope, 0)
            result = checked[scope] = doubt_empty(snapshot, self._entities.get(scope, 0), empty)
            self._empty_polls[scope] = 0 if len(result) else empty + 1
            if result.complete:
                self._entities[scope] = len(result)
        return checked

    def _keep(self, changes: Iterable[Change]) -> list[Change]:
        """The changes with the ids of their alerts, as the store would give them."""
        kept = []
        numbers: dict[Fingerprint, int] = {}  # of those that begin
        for change in changes:
            key, after = change.after.key, change.after
            if after.id is None:
                before = self.alerts.get(key)
                number = before.id if before is not None else numbers.get(key)
                if number is None:
                    number = numbers[key] = self._next_id
                    self._next_id += 1
                change = replace(change, after=changed(after, {"id": number}))
            kept.append(change)
        return kept

    def _leave(self, key: Fingerprint) -> None:
        """Take an alert that has ended off its cards; one that alerts share ends with the last of them."""
        channels = self._cards.pop(key, frozenset())
        for place in [place for place, members in self._groups.items() if place[0] in channels and key in members]:
            self._groups[place] -= {key}
            if not self._groups[place]:
                del self._groups[place]

    def _delivered(self, notices: Sequence[Notice], ended: Set[Fingerprint]) -> list[Notice]:
        """The notices as delivered: a second card in a channel becomes a line; a line without a card is dropped.

        `ended`: the alerts that end with this poll. A card whose last members are among them can no longer be joined:
        what was to join it begins a new card of that group.
        """
        delivered = []
        for notice in notices:
            if notice.alert is None or notice.kind is NoticeKind.OPS or notice.group.startswith(ESCALATIONS):
                delivered.append(notice)
                continue
            key = notice.alert
            cards = self._cards.get(key, frozenset())
            if notice.channel in cards:
                delivered.append(replace(notice, kind=NoticeKind.LINE) if notice.kind is NoticeKind.CARD else notice)
            elif notice.kind is NoticeKind.CARD or is_shared(notice.group):
                self._cards[key] = cards | {notice.channel}
                if is_shared(notice.group):
                    place = notice.channel, notice.group
                    members = self._groups.get(place, frozenset())
                    if not notice.lead and not members - ended:
                        notice = replace(notice, kind=NoticeKind.CARD)
                    self._groups[place] = members | {key}
                delivered.append(notice)
        return delivered
