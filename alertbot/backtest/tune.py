"""Which limit a rule should have: how often it would have fired with each of many, by replay of the recorded polls.

Theory of operation. Every value that is tried is a rule of its own in one rule set, so one pass over the recording
replays all of them, through the code that runs live. A tuning has three passes:

1. `survey` samples the recording once a minute: how the compared value is distributed where the limit decides (the
   guard and the other parts of the condition hold, no rule of `suppressed_by` does, the calendar is open). How often it
   crosses a value there tells roughly how often a limit of that value would fire, so `values_to_try` can pick readable
   values around the target without replaying.
2. `replayed` replays the rule with each of these values. `meets` picks the one for the target, `odd_ones` the entities
   that differ from the rest. Alerts of different entities do not affect each other, so the same results show what an
   override would do.
3. `replayed` again: variants of `for`, `clear` and `keep_firing_for` at that value, and the proposed YAML.

Only reported alerts count. An alert that fired and ended while another rule suppressed it is counted separately: it
would not have been reported, and a limit that is chosen by such alerts is too high for the others.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from statistics import median
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from alertbot.alerts.alerting import Alerting
from alertbot.backtest.counting import Counting
from alertbot.backtest.episodes import Episode, ReplayPoll, RuleResult, replay
from alertbot.backtest.limits import Limit, Tunable, readable
from alertbot.backtest.replay import UTC_ZONE, Replay
from alertbot.evaluation.evaluate import Evaluation, Selector, Truth, agents_of
from alertbot.evaluation.past import Past
from alertbot.evaluation.snapshot import Snapshot
from alertbot.evaluation.usual import ReadMeans, no_means
from alertbot.rules.catalogue import ValueType
from alertbot.rules.compare import OPPOSITE
from alertbot.rules.hours import Phase, watches
from alertbot.rules.match import covers
from alertbot.rules.rule import GroupBy, Level, Rule, RuleSet
from alertbot.rules.tree import And, Compare, Condition, Literal, Op, show, substituted
from alertbot.rules.units import write_duration

MIN_VALUES, MAX_VALUES = 20, 40
"""How many values to try, if the recording has that many different ones."""
_USUAL_VALUES = 26  # few, since each replay takes time
SOON = timedelta(minutes=30)
"""An alert that begins this soon after the last one of the same entity ended is counted as the same problem again."""
SHORT = timedelta(minutes=1)
"""An alert that ended within this time was hardly worth a message."""

_ALWAYS = 1e100  # beyond every value that 8x8 sends, and finite when multiplied with one
_SAMPLE_EVERY = timedelta(minutes=1)
_BUSIEST = 20.0  # the most sensitive value that is tried fires about this many times as often as the target
_ENOUGH = 2.0  # but at least this many times
_MAX_OPEN = 0.4  # alerts open at a time, on average, at the most sensitive value: each of them costs time at each poll
_MAX_OPEN_SHARE = 0.25  # of all entities, likewise
_SPREAD, _NEAR = 20, 10  # values over the whole range, and close to the target
_CONSTANT = 0.5  # alerts that are open for more than this share of the time say nothing
_NO_STORM = 1_000_000  # cards per poll: an alert on a roll-up card counts like any other


@dataclass(frozen=True)
class Bench:
    """One tenant's recording, and what its replay needs to know.

    `polls` reads the recorded polls from the beginning, as `RuleSet.metrics` and windows of these rules need them.
    """

    rules: RuleSet
    polls: Callable[[RuleSet], Iterable[ReplayPoll]]
    poll_every: timedelta
    since: datetime
    tenant: str = "replay"
    alerting: Alerting = field(default_factory=Alerting)
    zone: ZoneInfo = UTC_ZONE  # of quarter-hours, as for `Replay`
    means: ReadMeans = no_means

    def around(self, rules: Sequence[Rule], suppressed_by: Sequence[str]) -> RuleSet:
        """A rule set of variants, with the rules that suppress them."""
        suppressors = [_bare(each) for each in self.rules.rules if each.id in suppressed_by]
        return RuleSet((*suppressors, *rules), calendars=self.rules.calendars)


def _bare(rule: Rule) -> Rule:
    """The rule without what a replay need not compute: it only has to suppress."""
    return replace(rule, show=(), message="", message_keys=(), remind=None, escalate=(), suppressed_by=())


def variant(rule: Rule, name: str) -> Rule:
    """The rule as it is replayed beside others: with an id and a channel of its own, and no shadow.

    Without overrides its parameters become numbers in the conditions: filling them into texts takes time.
    """
    return replace(
        rule if rule.overrides else _filled(rule),
        id=name,
        show=(),
        message="",
        message_keys=(),
        remind=None,
        escalate=(),
        mention={},
        group_by=GroupBy.ENTITY,
        shadow=False,
        channels={each.level: (f"#{name}",) for each in rule.levels},
    )


def _filled(rule: Rule) -> Rule:
    def filled(condition: Condition) -> Condition:
        filled: Condition = substituted(condition, rule.params)
        return filled

    return replace(
        rule,
        levels=tuple(replace(each, when=filled(each.when)) for each in rule.levels),
        guard=filled(rule.guard) if rule.guard is not None else None,
        clear=filled(rule.clear) if rule.clear is not None else None,
        params={},
    )


# What was recorded.


@dataclass(frozen=True)
class Distribution:
    """The values that a limit was compared with, sampled once a minute where the limit decides.

    Negated where a lower value is worse, so that a greater number is always worse. Ascending.
    """

    values: NDArray[np.float64]
    twice: NDArray[np.float64]  # the lesser of two consecutive samples of an entity
    all: NDArray[np.float64]  # the values with those while another rule suppresses the alert

    def above(self, value: float) -> int:
        """How many samples are worse than `value` (negated as above)."""
        return len(self.values) - int(np.searchsorted(self.values, value, side="right"))

    def open(self, value: float) -> int:
        """How many samples are worse than `value`, those while the alert is suppressed included."""
        return len(self.all) - int(np.searchsorted(self.all, value, side="right"))

    def crossings(self, value: float) -> int:
        """How many samples are worse than `value`, after one of the same entity that was not."""
        return self.above(value) - (len(self.twice) - int(np.searchsorted(self.twice, value, side="right")))


@dataclass(frozen=True)
class Survey:
    """What the recording holds for one rule. `days` is the recorded time: gaps between polls do not count."""

    first: datetime | None
    last: datetime | None
    polls: int
    days: float
    entities: Mapping[str, str]  # covered ids, with their names
    samples: int
    distributions: Mapping[str, Distribution]  # by the name of the limit


def survey(bench: Bench, tunable: Tunable, limits: Sequence[Limit]) -> Survey:
    """Sample the recording, for these limits."""
    return _Surveyor(bench, tunable, limits).run()


class _Surveyor:
    def __init__(self, bench: Bench, tunable: Tunable, limits: Sequence[Limit]) -> None:
        self.bench, self.tunable, self.limits = bench, tunable, limits
        rule = tunable.rule
        named = [each for each in bench.rules.rules if each.id in rule.suppressed_by]
        self.suppressors = [_bare(each) for each in named if each.scope is rule.scope and not each.shadow]
        self.rules = bench.around([variant(rule, rule.id)], rule.suppressed_by)
        plain = replace(rule, overrides=())
        self.ends = {
            each.name: tuple(
                Tunable(plain, (), ()).with_({each.name: side * (_ALWAYS if each.rises else -_ALWAYS)})
                for side in (-1.0, 1.0)
            )
            for each in limits
        }
        self.selector = Selector()
        self.entities: dict[str, str] = {}
        self.ids: tuple[str, ...] = ()
        self.last: dict[str, NDArray[np.float64]] = {}
        self.found: dict[str, tuple[list[NDArray[np.float64]], ...]] = {each.name: ([], [], []) for each in limits}

    def run(self) -> Survey:
        bench, scope = self.bench, self.tunable.rule.scope
        step = max(1, round(_SAMPLE_EVERY / bench.poll_every))
        gap = Alerting(poll_every=bench.poll_every).gap
        memory = Replay(self.rules, poll_every=bench.poll_every, zone=bench.zone, means=bench.means)
        first = before = None
        polls = samples = 0
        recorded = timedelta(0)
        for poll in bench.polls(self.rules):
            memory.remember(poll.snapshots, poll.at if poll.at >= bench.since else None)
            snapshot = poll.snapshots.get(scope)
            if poll.at < bench.since or snapshot is None:
                continue
            first = first or poll.at
            if before is not None:
                passed = poll.at - before
                recorded += passed if passed <= gap else bench.poll_every
            before = poll.at
            if polls % step == 0:
                samples += 1
                self._sample(poll, snapshot, memory.past)
            polls += 1
        if polls:
            recorded += bench.poll_every
        distributions = {name: Distribution(*(_sorted(each) for each in found)) for name, found in self.found.items()}
        return Survey(first, before, polls, recorded / timedelta(days=1), self.entities, samples, distributions)

    def _sample(self, poll: ReplayPoll, snapshot: Snapshot, past: Past | None) -> None:
        rule = self.tunable.rule
        if snapshot.ids is not self.ids and snapshot.ids != self.ids:
            self.last = {}
            match = rule.match
            pairs = zip(snapshot.ids, snapshot.names, strict=True)
            self.entities.update((one, name) for one, name in pairs if covers(match, one, name))
        self.ids = snapshot.ids
        if watches(rule.during, rule.outside, poll.at) is not Phase.OPEN:
            self.last = {}
            return
        agents = agents_of(snapshot, poll.snapshots)
        evaluation = Evaluation(snapshot, self.selector, agents=agents, past=past)
        free = np.ones(len(snapshot), dtype=np.bool_)
        for each in self.suppressors:
            verdicts = evaluation.verdicts(each)
            for codes in verdicts.levels.values():
                free[verdicts.rows[codes == Truth.TRUE]] = False
        for limit in self.limits:
            assert limit.level is not None
            keen, blunt = (evaluation.verdicts(each) for each in self.ends[limit.name])
            decides = (
                (keen.levels[limit.level] == Truth.TRUE)
                & (blunt.levels[limit.level] != Truth.TRUE)
                & (keen.guard == Truth.TRUE)
            )
            with np.errstate(all="ignore"):
                column = evaluation.values(limit.compared, rule)
            values, known = (np.broadcast_to(each, (len(snapshot),)) for each in column[:2])
            rows = keen.rows
            seen = np.where(decides & known[rows], values[rows] if limit.rises else -values[rows], -np.inf)
            alone, twice, every = self.found[limit.name]
            every.append(seen[seen > -np.inf])
            seen = np.where(free[rows], seen, -np.inf)
            alone.append(seen[seen > -np.inf])
            last = self.last.get(limit.name)
            if last is not None and len(last) == len(seen):
                both = np.minimum(last, seen)
                twice.append(both[both > -np.inf])
            self.last[limit.name] = seen


def _sorted(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.sort(np.concatenate(parts)) if parts else np.array([], dtype=np.float64)


# The values to try.


def values_to_try(survey: Survey, limit: Limit, per_day: float, *, beyond: float | None = None) -> tuple[float, ...]:
    """Readable values of a limit, the most sensitive first: from one that fires far more often than `per_day` to one
    that would hardly ever fire. The present value is among them.

    `beyond`: only values that are less sensitive than this one. Fewer than 20 where the recording has no more.
    """
    found = survey.distributions[limit.name]
    present = {limit.present} if beyond is None or limit.keener(beyond, limit.present) else set()
    if not len(found.values):
        return tuple(present)
    sign = 1.0 if limit.rises else -1.0
    top = float(found.values[-1])
    bottom = _most_sensitive(survey, found, per_day)
    whole = limit.type is not ValueType.DURATION and bool((found.values == np.round(found.values)).all())
    inclusive = limit.op in (Op.GE, Op.LE)
    near = _by_rate(found, bottom, per_day * survey.days)
    values: set[float] = set()
    for fineness in (1, 5, 25):
        wanted = (*_spread(bottom, top, limit.type), *near)
        rounded = {_rounded(sign * each, limit.type, fineness, whole=whole) for each in wanted}
        values = {
            each
            for each in rounded
            if (sign * each < top or (inclusive and sign * each == top)) and sign * each >= bottom - abs(bottom) * 0.05
        }
        if len(values) >= MIN_VALUES or whole:
            break
    finer = {_rounded(sign * each, limit.type, 5, whole=whole) for each in near} - values
    values |= set(_thinned(sorted(finer), max(0, _USUAL_VALUES - len(values))))
    if beyond is not None:
        values = {each for each in values if limit.keener(beyond, each)}
    return tuple(sorted({*_thinned(sorted(values), MAX_VALUES - 1), *present}, reverse=not limit.rises))


def _thinned(values: Sequence[float], most: int) -> Sequence[float]:
    """At most `most` of the values, evenly spaced."""
    return values if len(values) <= most else [values[round(each)] for each in np.linspace(0, len(values) - 1, most)]


def _most_sensitive(survey: Survey, found: Distribution, per_day: float) -> float:
    """The value down to which it is worth trying: not too many alerts a day, not too many open at a time.

    Twice the target is always tried, and more than that only where replaying it does not take long.
    """
    needed, most = (times * per_day * survey.days for times in (_ENOUGH, _BUSIEST))
    open_at_most = min(_MAX_OPEN, _MAX_OPEN_SHARE * max(1, len(survey.entities))) * survey.samples
    worst = float(found.values[-1])
    for number in np.unique(np.geomspace(1, len(found.values), 200).astype(int)):
        value = float(found.values[-number])
        rate = found.crossings(value)
        if value <= found.values[0] and worst > value:
            break  # no sample is better: such a limit would separate nothing
        if rate > most or (rate > needed and found.open(value) > open_at_most):
            break
        worst = value
    return worst


def _by_rate(found: Distribution, bottom: float, alerts: float) -> list[float]:
    """Values that fire about as often as the target: from half to twice as often."""
    tried = [float(each) for each in np.unique(found.values[found.values >= bottom])]
    step = max(1, len(tried) // 2000)
    rates = [(found.crossings(each), each) for each in tried[::step]]
    close = [each for rate, each in rates if alerts / 2 <= rate <= alerts * 2]
    if not close:
        return []
    return [float(each) for each in np.linspace(close[0], close[-1], _NEAR)]


def _spread(bottom: float, top: float, kind: ValueType) -> list[float]:
    """Values from one to the other: in equal ratios where they are far apart."""
    low, high = sorted((abs(bottom), abs(top)))
    if kind is not ValueType.RATIO and low > 0 and high / low > 3 and (bottom > 0) is (top > 0):
        return [math.copysign(float(each), bottom) for each in np.geomspace(abs(bottom), abs(top), _SPREAD)]
    return [float(each) for each in np.linspace(bottom, top, _SPREAD)]


def _rounded(value: float, kind: ValueType, fineness: int, *, whole: bool) -> float:
    return float(round(value)) if whole else readable(value, kind, fineness)


# Replaying variants.


@dataclass(frozen=True)
class Outcome:
    """The outcome of one variant over the recording. Only alerts that reached the counted level are included."""

    alerts: int
    suppressed: int  # alerts that fired as well, and were never reported
    days: float
    median_s: float
    longest_s: float
    open_share: float  # of the time of all covered entities
    again: int  # began within SOON after the last one of the entity
    short: int  # ended within SHORT
    by_entity: Mapping[str, int]  # ids
    by_hour: tuple[int, ...]

    @property
    def per_day(self) -> float:
        return self.alerts / self.days if self.days else 0.0

    @property
    def constant(self) -> bool:
        """Whether alerts are open most of the time: such a limit separates nothing."""
        return self.open_share > _CONSTANT


@dataclass(frozen=True)
class Row:
    """One value of the limit, with the values of other limits that it moves, and its outcome."""

    value: float
    settings: Mapping[str, float]
    outcome: Outcome


def replayed(
    bench: Bench, survey: Survey, variants: Mapping[str, tuple[Rule, Level]], zone: tzinfo
) -> dict[str, Outcome]:
    """Replay rules side by side, by name. Only alerts that reached the level given with each rule count."""
    rules = [variant(rule, name) for name, (rule, _) in variants.items()]
    suppressed_by = rules[0].suppressed_by if rules else ()
    history = replay(
        around := bench.around(rules, suppressed_by),
        bench.polls(around),
        poll_every=bench.poll_every,
        since=bench.since,
        tenant=bench.tenant,
        alerting=replace(bench.alerting, storm_cards=_NO_STORM),
        zone=bench.zone,
        means=bench.means,
        kind=Counting,
    )
    results = {each.rule.id: each for each in history.rules}
    last = history.last
    return {
        name: _outcome(results[name], level, survey, last, zone) if last is not None else _nothing(survey)
        for name, (_, level) in variants.items()
    }


def _nothing(survey: Survey) -> Outcome:
    return Outcome(0, 0, survey.days, 0.0, 0.0, 0.0, 0, 0, {}, (0,) * 24)


def _outcome(result: RuleResult, level: Level, survey: Survey, last: datetime, zone: tzinfo) -> Outcome:
    fired = [each for each in result.episodes if each.level >= level]
    episodes = [each for each in fired if each.cards]
    lasted = [each.lasted(last).total_seconds() for each in episodes]
    reported = replace(result, episodes=tuple(episodes))
    whole = survey.days * 86_400 * max(1, len(survey.entities))
    return Outcome(
        alerts=len(episodes),
        suppressed=len(fired) - len(episodes),
        days=survey.days,
        median_s=median(lasted) if lasted else 0.0,
        longest_s=max(lasted, default=0.0),
        open_share=sum(lasted) / whole if whole else 0.0,
        again=_again(episodes),
        short=sum(each.ended is not None and each.lasted(last) < SHORT for each in episodes),
        by_entity=Counter(each.key.entity_id for each in episodes),
        by_hour=reported.by_hour(zone),
    )


def _again(episodes: Iterable[Episode]) -> int:
    count = 0
    ended: dict[tuple[str, str], datetime | None] = {}
    for each in episodes:  # in the order in which they fired
        entity = each.key.parent_id, each.key.entity_id
        before = ended.get(entity)
        count += before is not None and each.fired - before < SOON
        ended[entity] = each.ended
    return count


# What to choose.


def meets(limit: Limit, rows: Sequence[Row], per_day: float) -> Row | None:
    """The row of the most sensitive value that fires at most that often; None if every value fires more often."""
    return _keenest(limit, [each for each in rows if _fits(each.outcome, per_day)])


def nearest_to(limit: Limit, rows: Sequence[Row]) -> Row:
    """The row that fires least often; of several, the most sensitive one."""
    least = min(each.outcome.per_day for each in rows)
    keenest = _keenest(limit, [each for each in rows if each.outcome.per_day == least])
    assert keenest is not None
    return keenest


def _fits(outcome: Outcome, per_day: float) -> bool:
    return outcome.per_day <= per_day * (1 + 1e-9) and not outcome.constant


def _keenest(limit: Limit, rows: Sequence[Row]) -> Row | None:
    return min(rows, key=lambda each: each.value if limit.rises else -each.value) if rows else None


@dataclass(frozen=True)
class Odd:
    """An entity that fires far more often than the others at the same value, and the override that it needs.

    `row` has the value at which it fires no more often than the busiest of the others; None where no value does that.
    """

    entity_id: str
    name: str
    alerts: int
    most_of_others: int
    row: Row | None


@dataclass(frozen=True)
class WithOverrides:
    """The value for the rest, and an override for each odd entity."""

    row: Row
    odd: tuple[Odd, ...]
    alerts: int


_ODD_ALERTS = 3  # fewer may be chance
_ODD_SHARE = 0.2  # of all alerts
_ODD_TIMES = 4.0  # as often as the mean of the others


def odd_ones(tunable: Tunable, limit: Limit, survey: Survey, rows: Sequence[Row], row: Row) -> tuple[Odd, ...]:
    """The entities that differ from the rest at this value, the busiest first.

    One that has an override of this limit already is none: its alerts do not depend on the value. With fewer than three
    entities there is no rest to differ from.
    """
    counts = row.outcome.by_entity
    own = {one for one, name in survey.entities.items() if _has_own(tunable.rule, limit, one, name)}
    free = {one: counts.get(one, 0) for one in survey.entities if one not in own}
    total, odd = sum(free.values()), list[str]()
    for one, number in sorted(free.items(), key=lambda pair: (-pair[1], pair[0])):
        rest = len(free) - len(odd) - 1
        if rest < 2:
            break
        others = (sum(free.values()) - sum(free[each] for each in odd) - number) / rest
        if number < _ODD_ALERTS or number < _ODD_SHARE * total or number < _ODD_TIMES * others:
            break
        odd.append(one)
    most = max((number for one, number in free.items() if one not in odd), default=0)
    return tuple(
        Odd(one, survey.entities[one], free[one], most, _override(limit, rows, row, one, max(1, most))) for one in odd
    )


def _has_own(rule: Rule, limit: Limit, entity_id: str, name: str) -> bool:
    override = next((each for each in rule.overrides if covers(each.match, entity_id, name)), None)
    return override is not None and limit.name in override.params


def _override(limit: Limit, rows: Sequence[Row], base: Row, entity_id: str, most: int) -> Row | None:
    blunter = [each for each in rows if limit.keener(base.value, each.value)]
    return _keenest(limit, [each for each in blunter if each.outcome.by_entity.get(entity_id, 0) <= most])


def with_overrides(limit: Limit, rows: Sequence[Row], odd: Sequence[Odd], per_day: float) -> WithOverrides | None:
    """The most sensitive value for the rest when each of these entities has an override; None where that does not help.

    Alerts of one entity do not depend on others, so the sum is exact.
    """
    ids = {each.entity_id for each in odd if each.row is not None}
    if not ids:
        return None
    best: WithOverrides | None = None
    for row in sorted(rows, key=lambda each: each.value, reverse=limit.rises):  # the least sensitive first
        counts = row.outcome.by_entity
        most = max((number for one, number in counts.items() if one not in ids), default=0)
        changed = []
        for each in odd:
            own = _override(limit, rows, row, each.entity_id, max(1, most)) if each.entity_id in ids else None
            if own is None and each.entity_id in ids:
                break
            changed.append(replace(each, row=own, most_of_others=most))
        else:
            alerts = sum(number for one, number in counts.items() if one not in ids) + sum(
                each.row.outcome.by_entity.get(each.entity_id, 0) for each in changed if each.row is not None
            )
            if alerts <= per_day * row.outcome.days * (1 + 1e-9) and not row.outcome.constant:
                best = WithOverrides(row, tuple(each for each in changed if each.row is not None), alerts)
    return best


# The effect of `for`, `clear` and `keep_firing_for`.


@dataclass(frozen=True)
class Variant:
    """One change of the rule beside the limit. `key` is the key of the rule file, `written` its value there."""

    key: str
    written: str
    rule: Rule
    present: bool  # the rule has this value now


def variants(tunable: Tunable, limit: Limit, settings: Mapping[str, float]) -> Iterator[Variant]:
    """The rule at these settings with other values of `for`, `clear` and `keep_firing_for`."""
    rule = tunable.with_(settings)
    assert limit.level is not None
    level = rule.level(limit.level)
    assert level is not None
    for hold in _durations(level.hold):
        changed = tuple(replace(each, hold=hold) if each is level else each for each in rule.levels)
        yield Variant("for", write_duration(hold), replace(rule, levels=changed), hold == level.hold)
    if rule.clear is not None:
        yield Variant("clear", "(not set)", replace(rule, clear=None), False)
    if isinstance(level.when, Compare | And):
        for share in (0.9, 0.75, 0.5):
            at = _inside(limit, settings[limit.name], share)
            if at is not None:
                clear = Compare(OPPOSITE[limit.op], limit.compared, Literal(at, limit.type))
                yield Variant("clear", show(clear), replace(rule, clear=clear, clear_text=""), False)
    for keep in _durations(rule.keep_firing_for):
        yield Variant(
            "keep_firing_for", write_duration(keep), replace(rule, keep_firing_for=keep), keep == rule.keep_firing_for
        )


def _durations(present: timedelta) -> list[timedelta]:
    usual = [timedelta(0), timedelta(seconds=30), timedelta(minutes=1), timedelta(minutes=2), timedelta(minutes=5)]
    return sorted({*usual, present})


def _inside(limit: Limit, value: float, share: float) -> float | None:
    """A limit for `clear`, this far inside the limit of the level; None where there is none."""
    if value <= 0:
        return None
    if limit.rises:
        inside = value * share
    elif limit.type is ValueType.RATIO:
        inside = value + (1 - value) * (1 - share)
    else:
        inside = value / share
    if limit.compared.type is ValueType.COUNT:
        inside = float(math.floor(inside) if limit.rises else math.ceil(inside))
    else:
        inside = readable(inside, limit.type)
    return inside if limit.keener(inside, value) else None
