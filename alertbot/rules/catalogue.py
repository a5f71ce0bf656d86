"""The metric keys that 8x8 serves: scope, value type, unit and words of each, and the nearest key.

The data is `catalogue.csv`, read from 8x8's guide "CC Realtime Statistics" (glossary 5.1 to 5.6) and OpenAPI file.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources

from alertbot.rules import nouns
from alertbot.rules.nouns import Worse
from alertbot.rules.words import likeness, nearest


class Scope(StrEnum):
    """The kind of entity that a rule evaluates."""

    QUEUE = "queue"
    GROUP = "group"
    AGENT = "agent"
    QUEUE_AGENT = "queue_agent"
    GROUP_AGENT = "group_agent"
    QUEUE_TOTALS = "queue_totals"
    AGENT_TOTALS = "agent_totals"
    FEED = "feed"  # a tenant's polls themselves; only the built-in rules of `feed/rules.py` evaluate it


RULE_SCOPES = tuple(scope for scope in Scope if scope is not Scope.FEED)
"""The scopes that 8x8 serves and a rule file may name."""

TOTALS_ENTITY = "totals"
"""The id and name of the one entity of a totals scope: what rules, silences and rule tests match."""
TOTALS_NAMES: Mapping[Scope, str] = {Scope.QUEUE_TOTALS: "All queues", Scope.AGENT_TOTALS: "All agents"}
"""What output calls that entity."""


def shown_name(scope: Scope, name: str) -> str:
    """What output calls an entity of this name: `All queues` for `totals`, any other as it is."""
    return TOTALS_NAMES.get(scope, name) if name == TOTALS_ENTITY else name


class ValueType(StrEnum):
    """What a value is. Columns and literals hold the same unit, named here."""

    COUNT = "count"
    DURATION = "duration"  # milliseconds, as 8x8 gives them
    RATIO = "ratio"  # 0 to 1
    NUMBER = "number"  # plain: the quotient of two counts, a product, a literal
    TEXT = "text"
    TIMESTAMP = "timestamp"  # milliseconds since 1970 UTC


STATUS_KEY = "status.rt"
STATUS_WORDS = ("Available", "Offering", "Handling", "WrapUp", "OnBreak", "WorkingOffline", "LoggedOut")
"""Values of `status.rt` that are known. 8x8 lists none in full, so a condition may name others."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One key of one scope. `is_list`: 8x8 sends a list of {id, name, count}; alertbot uses the sum of the counts."""

    key: str
    scope: Scope
    type: ValueType
    description: str
    is_list: bool = False
    confirmed: bool = True  # False: only in the OpenAPI example list, not in the guide

    @property
    def noun(self) -> str:
        """What it is called: `longest wait`, `callers waiting`, `abandon rate in the last 30 min`."""
        return nouns.noun(self.key)

    @property
    def label(self) -> str:
        """What it is called in a list: `Abandon rate, last 30 min`."""
        return nouns.label(self.key)

    @property
    def worse(self) -> Worse:
        """Whether high or low values are bad."""
        return nouns.worse(self.key)

    def measured(self, figure: str, *, singular: bool = False) -> str:
        """A figure with its noun: `2 callers waiting`, `longest wait 2m 12s`; `singular` is for the number 1."""
        return nouns.measured(self.key, figure, counted=self.type is ValueType.COUNT, singular=singular)

    def says(self, words: Sequence[str]) -> bool:
        """Whether key, noun and meaning together have all these words, which are in small letters."""
        text = f"{self.key} {self.noun} {self.description}".casefold()
        return all(word in text for word in words)


_TYPES = {
    "count": ValueType.COUNT,
    "time": ValueType.DURATION,
    "average": ValueType.DURATION,
    "percentage": ValueType.RATIO,
    "timestamp": ValueType.TIMESTAMP,
    "status": ValueType.TEXT,
    "other": ValueType.COUNT,  # the three list-valued keys, counted
}
# The guide's totals sample has every queue key but these two settings.
_NOT_IN_TOTALS = {"slaPercentageTarget.today", "slaTimeThreshold.today"}


@dataclass(frozen=True)
class Catalogue:
    """All known metrics, by scope and key."""

    metrics: Mapping[Scope, Mapping[str, Metric]]

    def lookup(self, scope: Scope, key: str) -> Metric | None:
        """The metric of that exact spelling, or None."""
        return self.metrics.get(scope, {}).get(key)

    def nearest(self, scope: Scope, key: str) -> str | None:
        """The known key of this scope that `key` most likely meant, or None where none is near.

        A misspelt key is near by its letters, a guessed one by its words: `longestWait.rt` means
        `interactionsLongestWaitInQueue.rt`, and `serviceLevel.today` means `slaPercentage.today`.
        """
        return next(iter(self._by_words(scope, key) or nearest(key, self.metrics[scope])), None)

    def _by_words(self, scope: Scope, key: str) -> list[str]:
        """The keys whose own words, noun or meaning have all words of `key`, the likeliest first."""
        parts = nouns.parts_of(key)
        words = [word.removesuffix("s") for word in nouns.words_of(parts.base).split()]
        matching = [metric.key for metric in self.metrics[scope].values() if words and metric.says(words)]
        return sorted(matching, key=lambda each: (nouns.parts_of(each).period != parts.period, -likeness(key, each)))

    def search(self, words: Sequence[str], scope: Scope | None = None) -> list[Metric]:
        """The metrics of one scope, or of all, that have all these words in key, noun or meaning. Case is ignored."""
        scopes = RULE_SCOPES if scope is None else (scope,)
        folded = [part.casefold() for word in words for part in word.split()]
        return [metric for each in scopes for metric in self.metrics[each].values() if metric.says(folded)]

    def scopes_of(self, key: str) -> tuple[Scope, ...]:
        """The scopes that have this key, for "queue has no such key, but agent does"."""
        return tuple(scope for scope, known in self.metrics.items() if key in known)


@cache
def catalogue() -> Catalogue:
    """The catalogue that ships with alertbot."""
    text = resources.files("alertbot.rules").joinpath("catalogue.csv").read_text(encoding="utf-8")
    metrics: dict[Scope, dict[str, Metric]] = {scope: {} for scope in RULE_SCOPES}
    for row in csv.DictReader(text.splitlines()):
        if row["scope"] not in set(RULE_SCOPES):
            continue  # the two sections of /agents-in-queue-groups: the keys of queue_agent again
        scope = Scope(row["scope"])
        metric = Metric(
            key=row["key"],
            scope=scope,
            type=_TYPES[row["type"]],
            description=row["description"],
            is_list=row["type"] == "other",
            confirmed="unconfirmed" not in row["source"],
        )
        metrics[scope][metric.key] = metric
        totals = {Scope.QUEUE: Scope.QUEUE_TOTALS, Scope.AGENT: Scope.AGENT_TOTALS}.get(scope)
        adds_up = row["type"] in ("count", "time", "average", "percentage")
        if totals and adds_up and metric.key not in _NOT_IN_TOTALS and metric.confirmed:
            key = f"total.{metric.key}"
            metrics[totals][key] = Metric(key, totals, metric.type, f"{metric.description}, in total")
    return Catalogue(metrics)
