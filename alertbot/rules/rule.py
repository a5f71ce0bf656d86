"""Rule, Level and RuleSet: frozen; a Rule that exists is valid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from functools import cached_property

from alertbot.rules.catalogue import Scope, ValueType, catalogue
from alertbot.rules.hours import Calendar, Hours, close_of_business
from alertbot.rules.match import EVERY_ENTITY, Match, Only, Override
from alertbot.rules.tree import Condition, Key, Literal, Window, reads


class Level(IntEnum):
    """How bad it is; ordered."""

    INFO = 1
    WARNING = 2
    CRITICAL = 3

    @property
    def word(self) -> str:
        """`info`, `warning` or `critical`, as rule files spell it."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> Level:
        """The level of that `word`. Raises KeyError for any other text."""
        return cls[word.upper()]


class NoData(StrEnum):
    """What a rule does while its condition is unknown."""

    KEEP = "keep"  # nothing changes
    CLEAR = "clear"  # as if the condition were false and the alert clear
    FIRE = "fire"  # as if the condition of the lowest level were true


class GroupBy(StrEnum):
    """Which alerts of a rule share a card."""

    ENTITY = "entity"  # a card for each alert
    RULE = "rule"  # one for all alerts of the rule
    PARENT = "parent"  # one for each queue or group; for rules about their agents


@dataclass(frozen=True, slots=True)
class Remind:
    """`remind`: in the thread, while it fires without an owner. It doubles up to `most`, where that is set."""

    every: timedelta
    most: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Escalation:
    """A step of `escalate`: `after` counts from when the alert fired."""

    after: timedelta
    channels: tuple[str, ...] = ()  # none: the channels of the rule
    mention: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LevelRule:
    """One level of a rule: its condition, its text as written, and how long it must hold."""

    level: Level
    when: Condition
    text: str
    hold: timedelta = timedelta(0)  # `for`

    def __hash__(self) -> int:
        """Hash of the text: the tree is equivalent, and hashing it takes longer than evaluating it for an entity."""
        return hash((self.level, self.text, self.hold))


@dataclass(frozen=True, slots=True)
class Origin:
    """Where something was written. `column` is 0 where only the line is known."""

    file: str
    line: int
    column: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """What to watch. `levels` has at least one, lowest first, each level once."""

    id: str
    title: str
    scope: Scope
    levels: tuple[LevelRule, ...]
    match: Match = EVERY_ENTITY
    guard: Condition | None = None
    guard_text: str = ""
    params: Mapping[str, Literal] = field(default_factory=dict)
    overrides: tuple[Override, ...] = ()
    clear: Condition | None = None  # None: not `when` of the level
    clear_text: str = ""
    keep_firing_for: timedelta = timedelta(0)
    no_data: NoData = NoData.KEEP
    # By level, in the order of the rule; a level that is not here: the default channel.
    channels: Mapping[Level, tuple[str, ...]] = field(default_factory=dict)
    mention: Mapping[Level, tuple[str, ...]] = field(default_factory=dict)  # `<@U…>`, `<!subteam^S…>`, `<!here>`
    template: str = "alert"
    template_origin: Origin | None = None  # where the template is named; None: nowhere
    message: str = ""  # a template for the sentence on the card while it fires; "": the built-in one
    message_keys: tuple[str, ...] = ()  # the metric keys in it
    message_origin: Origin | None = None
    show: tuple[str, ...] = ()  # metric keys of the entity whose values the card shows
    remind: Remind | None = None
    escalate: tuple[Escalation, ...] = ()  # in the order of time
    group_by: GroupBy = GroupBy.ENTITY
    runbook: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    during: Hours | None = None  # active only while this is open ...
    outside: Hours | None = None  # ... and this is closed
    suppressed_by: tuple[str, ...] = ()  # ids of rules; while one of them fires for the entity, it is not reported
    shadow: bool = False  # evaluated and recorded, but not reported
    countable: Match = EVERY_ENTITY  # the agents that `count` counts: those that alertbot.yaml does not ignore
    origin: Origin = Origin("", 0)

    def level(self, level: Level) -> LevelRule | None:
        """That level's rule, or None where this rule has no such level."""
        return next((each for each in self.levels if each.level is level), None)

    @property
    def shown_keys(self) -> tuple[str, ...]:
        """The metric keys whose values cards show, each once."""
        return tuple(dict.fromkeys((*self.show, *self.message_keys))) if self.show or self.message_keys else ()

    def conditions(self) -> Iterator[Condition]:
        """Every condition of the rule: levels, guard, clear."""
        yield from (each.when for each in self.levels)
        yield from (each for each in (self.guard, self.clear) if each is not None)

    def reads(self) -> Iterator[tuple[Scope, Key | Window]]:
        """The keys and windows that this rule reads, each with its scope; counted agents have a scope of their own."""
        for condition in self.conditions():
            yield from reads(condition, self.scope)
        for key in self.shown_keys:
            metric = catalogue().lookup(self.scope, key)
            yield self.scope, Key(key, metric.type if metric is not None else ValueType.NUMBER)

    @property
    def calendar(self) -> Calendar | None:
        """The calendar that the rule names, whose holidays `usual` leaves out; None where it names none."""
        hours = self.during or self.outside
        return hours.calendar if hours is not None else None

    def keys(self) -> frozenset[str]:
        """The metric keys of its own scope that this rule reads."""
        return frozenset(each.key for scope, each in self.reads() if scope is self.scope and isinstance(each, Key))

    def reads_of(self, scope: Scope) -> bool:
        """Whether it reads anything in that scope."""
        return any(of is scope for of, _ in self.reads())


@dataclass(frozen=True)
class RuleSet:
    """All rules that run together. Ids are unique. `version` is a digest of the files they came from.

    `calendars` are all that the rules may name, by name, used or not.
    """

    rules: tuple[Rule, ...] = ()
    version: str = ""
    calendars: Mapping[str, Calendar] = field(default_factory=dict)

    def by_id(self, rule_id: str) -> Rule | None:
        """The rule of that id, or None."""
        return next((rule for rule in self.rules if rule.id == rule_id), None)

    def closes_at(self, rule_id: str, at: datetime) -> datetime | None:
        """Today's close of business, by `business_hours`; None if it is closed at `at`, or if no calendar applies."""
        calendar = self.business_hours(rule_id)
        return close_of_business(calendar, at) if calendar is not None else None

    def business_hours(self, rule_id: str) -> Calendar | None:
        """The calendar of the business that this rule watches: its `during`, else the only calendar, else None."""
        rule = self.by_id(rule_id)
        if rule is not None and rule.during is not None:
            return rule.during.calendar
        return next(iter(self.calendars.values())) if len(self.calendars) == 1 else None

    def scopes(self) -> tuple[Scope, ...]:
        """The scopes that the rules evaluate, in the order of `Scope`."""
        used = {rule.scope for rule in self.rules}
        return tuple(scope for scope in Scope if scope in used)

    def metrics(self) -> Mapping[Scope, frozenset[str]]:
        """What must be fetched: the keys that rules read, by scope, including those of counted agents."""
        return self._metrics

    @cached_property
    def _metrics(self) -> Mapping[Scope, frozenset[str]]:
        found: dict[Scope, set[str]] = {}
        for rule in self.rules:
            found.setdefault(rule.scope, set())
            for scope, each in rule.reads():
                if isinstance(each, Key):
                    found.setdefault(scope, set()).add(each.key)
        return {scope: frozenset(found[scope]) for scope in Scope if scope in found}

    def every_metric(self) -> Mapping[Scope, frozenset[str]]:
        """All keys of the scopes that rules read: those the catalogue confirms, and any others that the rules name."""
        known = catalogue().metrics
        return {
            scope: keys | {key for key, metric in known[scope].items() if metric.confirmed}
            for scope, keys in self.metrics().items()
        }

    def windows(self) -> Mapping[Scope, frozenset[Window]]:
        """What must be kept from earlier polls: the windows that rules read, by scope, without those of `usual`."""
        return self._windows

    def usuals(self) -> Mapping[Scope, Mapping[str, int]]:
        """The keys of which rules read what is usual, by scope, each with the most weeks that a rule looks back."""
        return self._usuals

    @cached_property
    def _usuals(self) -> Mapping[Scope, Mapping[str, int]]:
        found: dict[Scope, dict[str, int]] = {}
        for rule in self.rules:
            for scope, each in rule.reads():
                if isinstance(each, Window) and each.weeks:
                    weeks = found.setdefault(scope, {})
                    weeks[each.key.key] = max(each.weeks, weeks.get(each.key.key, 0))
        return found

    @cached_property
    def _windows(self) -> Mapping[Scope, frozenset[Window]]:
        found: dict[Scope, set[Window]] = {}
        for rule in self.rules:
            for scope, each in rule.reads():
                if isinstance(each, Window) and not each.weeks:
                    found.setdefault(scope, set()).add(each)
        return {scope: frozenset(windows) for scope, windows in found.items()}

    def only(self) -> Mapping[Scope, Only]:
        """The scopes of which only a few entities are read: each of their rules names ids, and no names.

        Rules that count the agents of a few queues or groups need the agents of those parents.
        """
        return self._only

    @cached_property
    def _only(self) -> Mapping[Scope, Only]:
        few = {}
        for scope in self.metrics():
            own = [rule.match for rule in self.rules if rule.scope is scope]
            counting = [rule.match for rule in self.rules if rule.scope is not scope and rule.reads_of(scope)]
            if any(match.names or not match.ids for match in (*own, *counting)) or (own and counting):
                continue
            few[scope] = Only(
                frozenset().union(*(match.ids for match in own)),
                frozenset().union(*(match.ids for match in counting)),
            )
        return few
