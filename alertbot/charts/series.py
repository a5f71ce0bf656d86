"""One metric key of one entity over time: what a chart shows, before it is text or a picture. PURE."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from operator import add, mul, sub, truediv
from statistics import median

from alertbot.alerts.alert import Alert, Fingerprint
from alertbot.evaluation.evaluate import parameter
from alertbot.evaluation.snapshot import Snapshot
from alertbot.rules.catalogue import Scope, ValueType, catalogue
from alertbot.rules.compare import MIRRORED, OPPOSITE, high_is_bad
from alertbot.rules.match import covers
from alertbot.rules.nouns import Worse, label, worse
from alertbot.rules.rule import Level, Rule
from alertbot.rules.tree import (
    And,
    Arithmetic,
    Compare,
    Condition,
    Key,
    Literal,
    Not,
    Op,
    Or,
    Param,
    Value,
    Window,
    is_fixed,
    keys_of,
    reads,
)

GAP = 3.0
"""Polls that are further apart than this many usual intervals have a gap between them."""
_SAME_SCALE = frozenset({"avg", "min", "max"})  # functions whose limit can be drawn beside the samples themselves


@dataclass(frozen=True, slots=True)
class Samples:
    """Values in column units (ms, 0 to 1, epoch ms) at their times, in the order of time; None where there is none."""

    times: tuple[datetime, ...] = ()
    values: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of one level of a rule, in column units.

    `high_is_bad`: the level holds above it, else below. `counts`: it holds at the limit too.
    """

    value: float
    level: Level
    rule: str
    high_is_bad: bool = True
    counts: bool = False

    @property
    def words(self) -> str:
        """`above`, `at least`, `below` or `at most`."""
        if self.high_is_bad:
            return "at least" if self.counts else "above"
        return "at most" if self.counts else "below"

    def is_beyond(self, value: float) -> bool:
        """Whether the level holds for this value."""
        if value == self.value:
            return self.counts
        return value > self.value if self.high_is_bad else value < self.value


@dataclass(frozen=True, slots=True)
class Span:
    """When an alert fired: from `begin` until `end`, or until now (None). `level` is the highest that it reached."""

    begin: datetime
    end: datetime | None
    level: Level
    rule: str


@dataclass(frozen=True)
class Series:
    """What a chart shows, from `begin` to `end`. `label` says what is measured, `name` of which entity.

    `limits` are constant. `moving` is a limit that is not, sample by sample; () where there is none.
    """

    name: str
    label: str
    type: ValueType
    begin: datetime
    end: datetime
    samples: Samples
    limits: tuple[Limit, ...] = ()
    spans: tuple[Span, ...] = ()
    worse: Worse = Worse.NEITHER
    moving: Sequence[float | None] = field(default=())

    @property
    def low_is_bad(self) -> bool:
        """Whether the lower of two values is the worse one: as the limits say, or else the catalogue."""
        if self.limits:
            return not any(limit.high_is_bad for limit in self.limits)
        return self.worse is Worse.LOW

    @property
    def known(self) -> tuple[tuple[datetime, float], ...]:
        """The samples that have a value."""
        pairs = zip(self.samples.times, self.samples.values, strict=True)
        return tuple((at, value) for at, value in pairs if value is not None)

    def worst(self, values: Iterable[float]) -> float:
        """The worst of these values."""
        return min(values) if self.low_is_bad else max(values)

    def is_beyond(self, value: float) -> bool:
        """Whether a value is beyond one of the constant limits."""
        return any(each.is_beyond(value) for each in self.limits)

    def columns(self, number: int) -> list[float | None]:
        """The worst value in each of this many equal intervals of time; None where an interval has no value."""
        return [None if not pairs else self.worst(value for _, value in pairs) for pairs in self.intervals(number)]

    def held(self, number: int) -> list[float | None]:
        """As `columns`, for polls that may be rarer than intervals: one without a poll has the value of the last poll.

        But not across a gap, and not if that poll had no value.
        """
        columns, times = self.columns(number), self.samples.times
        if len(times) < 2:
            return columns
        longest = GAP * median((after - before).total_seconds() for before, after in pairwise(times))
        seen = -1
        for place in range(number):
            until = self.begin + (self.end - self.begin) * ((place + 1) / number)
            while seen + 1 < len(times) and times[seen + 1] < until:
                seen += 1
            if columns[place] is None and seen >= 0 and (until - times[seen]).total_seconds() <= longest:
                columns[place] = self.samples.values[seen]
        return columns

    def intervals(self, number: int) -> list[list[tuple[datetime, float]]]:
        """The samples that have a value, in equal intervals of time."""
        found: list[list[tuple[datetime, float]]] = [[] for _ in range(number)]
        length = (self.end - self.begin).total_seconds() or 1.0
        for at, value in self.known:
            place = int((at - self.begin).total_seconds() / length * number)
            if 0 <= place <= number:
                found[min(place, number - 1)].append((at, value))
        return found


def samples(
    polls: Iterable[tuple[datetime, Snapshot | None]], key: str, entity_id: str, parent_id: str = ""
) -> Samples:
    """The samples of one key of one entity, from polls in the order of time (None: a poll without data).

    `parent_id` is needed where the same id is there once a parent, as an agent in several queues. Where no poll was
    made for a while, a sample without a value stands in between, so that no line is drawn across.
    """

    def values() -> Iterator[tuple[datetime, float | None]]:
        row: int | None = None
        for at, snapshot in polls:
            value: float | str | None = None
            if snapshot is not None:
                row = _row(snapshot, entity_id, parent_id, row)
                value = snapshot.reading(key, row)[0] if row is not None else None
            yield at, value if isinstance(value, float) else None

    return samples_of(values())


def samples_of(values: Iterable[tuple[datetime, float | None]]) -> Samples:
    """The samples of what was read poll by poll, in the order of time, with gaps as `samples` has them."""
    pairs = list(values)
    return _with_gaps([at for at, _ in pairs], [value for _, value in pairs])


def _row(snapshot: Snapshot, entity_id: str, parent_id: str, last: int | None) -> int | None:
    """The row of the entity; it is mostly the one of the poll before, and then nothing is searched."""

    def is_here(row: int) -> bool:
        return snapshot.ids[row] == entity_id and parent_id in ("", snapshot.parent(row)[0])

    if last is not None and last < len(snapshot) and is_here(last):
        return last
    return next((row for row, each in enumerate(snapshot.ids) if each == entity_id and is_here(row)), None)


def _with_gaps(times: Sequence[datetime], values: Sequence[float | None]) -> Samples:
    steps = [after - before for before, after in pairwise(times)]
    if not steps:
        return Samples(tuple(times), tuple(values))
    longest = GAP * median(step.total_seconds() for step in steps)
    filled_times, filled = [times[0]], [values[0]]
    for step, at, value in zip(steps, times[1:], values[1:], strict=True):
        if step.total_seconds() > longest:
            filled_times.append(at - step / 2)
            filled.append(None)
        filled_times.append(at)
        filled.append(value)
    return Samples(tuple(filled_times), tuple(filled))


# Limits


def limits_of(rules: Iterable[Rule], scope: Scope, key: str, entity_id: str, entity_name: str) -> tuple[Limit, ...]:
    """The constant limits with which these rules compare this key of this entity, each once, the lowest level first.

    A limit of `avg`, `min` or `max` of the key counts too: it is on the same scale. A comparison with a plain 0 does
    not count where another term must be true as well: `waiting > 0 and eligible == 0` is not critical above 0. Rules in
    shadow and rules that do not cover the entity have none.
    """
    found: dict[tuple[float, Level], Limit] = {}
    for rule in rules:
        if rule.scope is not scope or rule.shadow or not covers(rule.match, entity_id, entity_name):
            continue
        for level in rule.levels:
            for op, value in _compared(level.when, key, rule, (entity_id, entity_name), negated=False):
                limit = Limit(value, level.level, rule.id, high_is_bad(op), op in (Op.GE, Op.LE))
                found.setdefault((value, level.level), limit)
    return tuple(sorted(found.values(), key=lambda limit: (limit.level, limit.value)))


def _compared(
    node: Condition, key: str, rule: Rule, entity: tuple[str, str], *, negated: bool
) -> Iterator[tuple[str, float]]:
    """The operator and the constant of every comparison of this key that has an order."""
    match node:
        case Compare(op=op, left=left, right=right):
            if is_fixed(left):
                op, left, right = MIRRORED[op], right, left
            if negated:
                op = OPPOSITE[op]
            if op in (Op.EQ, Op.NE) or not _is_of(left, key) or not is_fixed(right):
                return
            value = _constant(right, rule, entity)
            if value is not None:
                yield op.value, value
        case Not(operand=operand):
            yield from _compared(operand, key, rule, entity, negated=not negated)
        case And(parts=parts) | Or(parts=parts):
            together = isinstance(node, And) is not negated
            for part in parts:
                if not (together and _is_any_at_all(part)):
                    yield from _compared(part, key, rule, entity, negated=negated)
        case _:
            return


def _is_any_at_all(part: Condition) -> bool:
    """`waiting > 0`, beside another term: it asks whether there is anything at all, and is no limit by itself."""
    return isinstance(part, Compare) and any(
        isinstance(side, Literal) and side.value == 0 for side in (part.left, part.right)
    )


def _is_of(node: Value, key: str) -> bool:
    if isinstance(node, Window):
        return node.key.key == key and node.function in _SAME_SCALE
    return isinstance(node, Key) and node.key == key


_ARITHMETIC: Mapping[Op, Callable[[float, float], float]] = {Op.ADD: add, Op.SUB: sub, Op.MUL: mul, Op.DIV: truediv}


def _constant(node: Value, rule: Rule, entity: tuple[str, str]) -> float | None:
    """The number that a value without keys has for this entity; None for text and for x / 0."""
    match node:
        case Literal(value=value):
            return value if isinstance(value, float) else None
        case Param(name=name):
            return _constant(parameter(rule, name, *entity), rule, entity)
        case Arithmetic(op=op, left=left, right=right):
            a, b = _constant(left, rule, entity), _constant(right, rule, entity)
            return None if a is None or b is None or (op is Op.DIV and not b) else _ARITHMETIC[op](a, b)
        case _:
            return None


# Alerts


def watching(rules: Iterable[Rule], scope: Scope, key: str) -> frozenset[str]:
    """The ids of the rules of this scope with a level whose condition reads this key."""
    return frozenset(
        rule.id
        for rule in rules
        if rule.scope is scope and not rule.shadow and any(key in keys_of(level.when) for level in rule.levels)
    )


def spans_of(
    alerts: Iterable[Alert],
    entity: Fingerprint,
    key: str,
    rules: Collection[str],
    begin: datetime,
    end: datetime,
) -> tuple[Span, ...]:
    """When alerts of this entity about this key fired between `begin` and `end`, the first one first.

    `entity` is a fingerprint whose rule does not matter, and whose parent does not matter if it is "". An alert is
    about the key if its rule is one of `rules`, or if it measured the key, as those of a removed rule did. Times
    outside the chart are cut off.
    """
    found = []
    for alert in alerts:
        parent_id = alert.key.parent_id if entity.parent_id else ""
        if alert.key._replace(rule=entity.rule, parent_id=parent_id) != entity:
            continue
        if alert.fired_at is None or alert.shadow:
            continue
        if alert.key.rule not in rules and (alert.measure is None or alert.measure.label != key):
            continue
        if alert.fired_at > end or (alert.ended_at is not None and alert.ended_at < begin):
            continue
        ended = alert.ended_at if alert.ended_at is not None and alert.ended_at <= end else None
        found.append(Span(max(alert.fired_at, begin), ended, alert.highest or alert.level, alert.key.rule))
    return tuple(sorted(found, key=lambda span: (span.begin, span.level)))


def chart_of(
    entity: Fingerprint,
    entity_name: str,
    key: str,
    rules: Sequence[Rule],
    alerts: Iterable[Alert],
    recorded: Samples,
    begin: datetime,
    end: datetime,
    *,
    title: str = "",
) -> Series:
    """One metric key of one entity with the limits of these rules, and when these alerts were firing.

    The rule of the fingerprint does not matter. `title` is the name that the chart shows, if it is not that of the
    entity.
    """
    metric = catalogue().lookup(entity.scope, key)
    return Series(
        name=title or entity_name,
        label=label(key),
        type=metric.type if metric is not None else ValueType.NUMBER,
        begin=begin,
        end=end,
        samples=recorded,
        limits=limits_of(rules, entity.scope, key, entity.entity_id, entity_name),
        spans=spans_of(alerts, entity, key, watching(rules, entity.scope, key), begin, end),
        worse=worse(key),
    )


def measured_key(alert: Alert, rule: Rule | None) -> str | None:
    """The metric key that a chart of this alert shows; None if there is none that can be drawn.

    It is the key that the alert measured, or one within the expression that it measured, or else the first one that
    the condition of its level reads. `rule` is None if the rule was removed.
    """
    measured = alert.measure.label if alert.measure is not None else ""
    level = rule.level(alert.level) if rule is not None else None
    nodes = [node for scope, node in reads(level.when, alert.key.scope) if scope is alert.key.scope] if level else []
    found = [node.key for node in nodes if isinstance(node, Key) and node.type in _DRAWN]
    metric = catalogue().lookup(alert.key.scope, measured)
    if measured in found or (metric is not None and metric.type in _DRAWN):
        return measured
    return next((key for key in found if key in measured), found[0] if found else None)


_DRAWN = frozenset({ValueType.COUNT, ValueType.DURATION, ValueType.RATIO, ValueType.NUMBER})
