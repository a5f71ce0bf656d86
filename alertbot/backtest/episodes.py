"""What a replay finds: episodes, notices and hours by rule, and the difference between two sets of rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo

from alertbot.alerts.alert import Alert, Change, Fingerprint, Reason, State
from alertbot.alerts.alerting import Alerting
from alertbot.backtest.replay import UTC_ZONE, Replay, Step
from alertbot.evaluation.measure import Measure
from alertbot.evaluation.snapshot import Snapshot
from alertbot.evaluation.usual import ReadMeans, no_means
from alertbot.rules.catalogue import Scope, shown_name
from alertbot.rules.rule import Level, Rule, RuleSet


class ReplayPoll(Protocol):
    """One recorded poll: its snapshots, and the scopes without data, with the reason."""

    @property
    def at(self) -> datetime: ...
    @property
    def snapshots(self) -> Mapping[Scope, Snapshot]: ...
    @property
    def failures(self) -> Mapping[Scope, str]: ...


@dataclass(frozen=True, slots=True)
class Episode:
    """One alert from firing to its end. `ended` None: it still fired at the end of the recording."""

    key: Fingerprint
    entity_name: str
    parent_name: str
    level: Level  # the highest that it reached
    fired: datetime
    ended: datetime | None
    end_reason: Reason | None
    measure: Measure | None  # its last value
    peak: float | None
    cards: int  # how many channels got a card
    shown_as: str = field(default="", compare=False)  # instead of `entity_name`, where names are hidden

    @property
    def name(self) -> str:
        """What output calls the entity."""
        return self.shown_as or shown_name(self.key.scope, self.entity_name)

    def lasted(self, until: datetime) -> timedelta:
        return (self.ended or until) - self.fired


@dataclass(frozen=True)
class RuleResult:
    """What one rule did. `notices` counts cards and lines by reason."""

    rule: Rule
    episodes: tuple[Episode, ...]
    notices: Mapping[Reason, int]

    @property
    def notice_count(self) -> int:
        return sum(self.notices.values())

    def by_hour(self, zone: tzinfo) -> tuple[int, ...]:
        """How often it fired in each hour of the day in that zone, from midnight on."""
        hours = Counter(episode.fired.astimezone(zone).hour for episode in self.episodes)
        return tuple(hours[hour] for hour in range(24))


@dataclass(frozen=True)
class ReplayResult:
    """What a replay found. `first` and `last` are the times of the first and last poll, None without polls."""

    rules: tuple[RuleResult, ...]
    polls: int
    failed: int  # polls in which a scope has no data
    first: datetime | None
    last: datetime | None

    @property
    def days(self) -> float:
        """The length of the recording in days; 0 for a single poll."""
        if self.first is None or self.last is None:
            return 0.0
        return (self.last - self.first) / timedelta(days=1)

    def of(self, rule_id: str) -> RuleResult | None:
        return next((each for each in self.rules if each.rule.id == rule_id), None)


@dataclass
class _Collector:
    """Collects episodes and notices, step by step."""

    open: dict[Fingerprint, Alert] = field(default_factory=dict)
    cards: Counter[Fingerprint] = field(default_factory=Counter)
    done: dict[str, list[Episode]] = field(default_factory=dict)
    notices: dict[str, Counter[Reason]] = field(default_factory=dict)

    def take(self, step: Step) -> None:
        for notice in step.notices:
            if notice.alert is not None:
                self.notices.setdefault(notice.alert.rule, Counter())[notice.reason] += 1
                self.cards[notice.alert] += notice.kind == "card"
        for change in step.changes:
            self._change(change)

    def _change(self, change: Change) -> None:
        after = change.after
        if after.state is not State.INACTIVE:
            if after.fired_at is not None:
                self.open[after.key] = after
            return
        self.open.pop(after.key, None)
        if after.fired_at is not None:
            self.close(after)

    def close(self, alert: Alert) -> None:
        assert alert.fired_at is not None
        self.done.setdefault(alert.key.rule, []).append(
            Episode(
                key=alert.key,
                entity_name=alert.entity_name,
                parent_name=alert.parent_name,
                level=alert.highest or alert.level,
                fired=alert.fired_at,
                ended=alert.ended_at,
                end_reason=alert.end_reason,
                measure=alert.measure,
                peak=alert.peak,
                cards=self.cards.pop(alert.key, 0),
            )
        )


def replay(
    rules: RuleSet,
    polls: Iterable[ReplayPoll],
    *,
    poll_every: timedelta,
    since: datetime | None = None,
    tenant: str = "replay",
    default_channel: str = "#cc-alerts",
    alerting: Alerting | None = None,
    zone: ZoneInfo = UTC_ZONE,
    means: ReadMeans = no_means,
    on_poll: Callable[[datetime], None] | None = None,
    kind: type[Replay] = Replay,
) -> ReplayResult:
    """Replay these polls, oldest first. Polls before `since` only fill windows and means, and are not evaluated.

    `alerting`, `zone` and `means` as for `Replay`. `kind`: `Counting` where values of alerts are not needed.
    """
    bot = kind(
        rules,
        poll_every=poll_every,
        tenant=tenant,
        default_channel=default_channel,
        alerting=alerting,
        zone=zone,
        means=means,
    )
    collector = _Collector()
    count = failed = 0
    first = last = None

    def evaluated() -> Iterator[tuple[datetime, Mapping[Scope, Snapshot], frozenset[Scope]]]:
        nonlocal count, failed, first, last
        for poll in polls:
            if on_poll is not None:
                on_poll(poll.at)
            if since is not None and poll.at < since:
                bot.remember(poll.snapshots)
                continue
            count, failed = count + 1, failed + bool(poll.failures)
            first, last = first or poll.at, poll.at
            yield poll.at, poll.snapshots, frozenset(poll.failures)

    for step in bot.run(evaluated()):
        collector.take(step)
    for alert in collector.open.values():
        collector.close(alert)
    results = (
        RuleResult(
            rule,
            tuple(sorted(collector.done.get(rule.id, ()), key=lambda episode: episode.fired)),
            collector.notices.get(rule.id, {}),
        )
        for rule in rules.rules
    )
    return ReplayResult(tuple(results), count, failed, first, last)


# What another set of rules would change.


@dataclass(frozen=True)
class Difference:
    """One rule in two sets of rules. `old` or `new` is None where that set does not have it.

    `added` fire only in the new set, `removed` only in the old one; `changed` are pairs that overlap and differ in
    level, or by more than a poll in their begin or end.
    """

    rule_id: str
    old: RuleResult | None
    new: RuleResult | None
    added: tuple[Episode, ...]
    removed: tuple[Episode, ...]
    changed: tuple[tuple[Episode, Episode], ...]
    same: int

    @property
    def any(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def compare(old: ReplayResult, new: ReplayResult, poll_every: timedelta) -> tuple[Difference, ...]:
    """The difference for each rule: in the order of the new rules, then those that were removed."""
    ids = dict.fromkeys([*(each.rule.id for each in new.rules), *(each.rule.id for each in old.rules)])
    until = max((each for each in (old.last, new.last) if each is not None), default=None)
    return tuple(_difference(rule_id, old.of(rule_id), new.of(rule_id), until, poll_every) for rule_id in ids)


def _difference(
    rule_id: str,
    old: RuleResult | None,
    new: RuleResult | None,
    until: datetime | None,
    poll_every: timedelta,
) -> Difference:
    before = list(old.episodes) if old is not None else []
    added, changed, same = [], [], 0
    for episode in new.episodes if new is not None else ():
        partner = next((each for each in before if _overlap(each, episode, until)), None)
        if partner is None:
            added.append(episode)
            continue
        before.remove(partner)
        if _alike(partner, episode, until, poll_every):
            same += 1
        else:
            changed.append((partner, episode))
    return Difference(rule_id, old, new, tuple(added), tuple(before), tuple(changed), same)


def _overlap(one: Episode, other: Episode, until: datetime | None) -> bool:
    if one.key[1:] != other.key[1:]:
        return False
    ends = [each.ended or until or each.fired for each in (one, other)]
    return one.fired <= ends[1] and other.fired <= ends[0]


def _alike(one: Episode, other: Episode, until: datetime | None, poll_every: timedelta) -> bool:
    ends = [each.ended or until or each.fired for each in (one, other)]
    near = abs(one.fired - other.fired) <= poll_every and abs(ends[0] - ends[1]) <= poll_every
    return near and one.level is other.level
