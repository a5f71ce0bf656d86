"""The functions of the condition language, one row each; the parser, the type checker and the docs follow this table.

They are computed in `evaluation/windows.py` (all entities at once) and `evaluation/explain.py` (one entity, in words).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from alertbot.rules.catalogue import Scope, ValueType

COUNT, DURATION, RATIO = ValueType.COUNT, ValueType.DURATION, ValueType.RATIO
NUMBER, TEXT, TIMESTAMP = ValueType.NUMBER, ValueType.TEXT, ValueType.TIMESTAMP


class Reads(StrEnum):
    """What a function reads."""

    WINDOW = "window"  # the samples in (now - w, now]; unknown while fewer than half of them are known
    USUAL = "usual"  # the means of this quarter-hour of the week, over the last w / 1w weeks; see evaluation/usual.py
    THEN = "then"  # the last sample at or before now - w and at most two polls older
    AGENTS = "agents"  # the agents of the queue or group, in the same poll


@dataclass(frozen=True, slots=True)
class Function:
    """One function. `types` maps the type of the key to the type of the result; a type that is not in it is refused."""

    name: str
    arguments: str
    reads: Reads
    help: str
    example: str
    types: Mapping[ValueType, ValueType] = field(default_factory=dict)


_AMOUNTS = {kind: kind for kind in (COUNT, DURATION, RATIO, NUMBER)}
_ORDERED = {**_AMOUNTS, TIMESTAMP: TIMESTAMP}
_ANY = {**_ORDERED, TEXT: TEXT}

_ROWS = (
    Function(
        "avg",
        "KEY, WINDOW",
        Reads.WINDOW,
        "The mean of the samples.",
        "avg(interactionsWaitInQueue.rt, 10m) > 5",
        _AMOUNTS,
    ),
    Function(
        "min",
        "KEY, WINDOW",
        Reads.WINDOW,
        "The smallest sample: above a limit if the value was above it the whole time.",
        "min(interactionsLongestWaitInQueue.rt, 5m) > 60s",
        _ORDERED,
    ),
    Function(
        "max",
        "KEY, WINDOW",
        Reads.WINDOW,
        "The largest sample: above a limit if the value was above it at any time.",
        "max(availableIdle.rt, 15m) == 0",
        _ORDERED,
    ),
    Function(
        "sum",
        "KEY, WINDOW",
        Reads.WINDOW,
        "The sum of the samples, one per poll.",
        "sum(interactionsWaitInQueue.rt, 5m) > 100",
        _AMOUNTS,
    ),
    Function(
        "delta",
        "KEY, WINDOW",
        Reads.WINDOW,
        "The last sample minus the first: how much a counter grew. For timestamps the result is a duration.",
        "delta(abandoned.today, 10m) >= 5",
        {**_AMOUNTS, TIMESTAMP: DURATION},
    ),
    Function(
        "changes",
        "KEY, WINDOW",
        Reads.WINDOW,
        "The number of samples that differed from the one before.",
        "changes(status.rt, 30m) > 10",
        dict.fromkeys(_ANY, COUNT),
    ),
    Function(
        "ago",
        "KEY, WINDOW",
        Reads.THEN,
        "The value one window ago: the last sample at that time, at most two polls older.",
        "entered.int-30m < ago(entered.int-30m, 7d) / 2",
        _ANY,
    ),
    Function(
        "usual",
        "KEY, WEEKS",
        Reads.USUAL,
        "What is usual at this time of the week: the median, over the last weeks, of the mean in this quarter-hour.",
        "accepted.int-30m > 2 * usual(accepted.int-30m, 4w)",
        _AMOUNTS,
    ),
    Function(
        "count",
        "agents where CONDITION",
        Reads.AGENTS,
        "For how many agents of this queue or group the condition is true; it reads the keys of an agent there. A "
        "range while the condition is unknown for some of them.",
        'count(agents where status.rt == "OnBreak" and timeOnStatus.rt > 20m) > 3',
        {},
    ),
)
FUNCTIONS: Mapping[str, Function] = {each.name: each for each in _ROWS}

# The scopes whose agents `count` can count, and the scope of those agents.
AGENTS_OF: Mapping[Scope, Scope] = {Scope.QUEUE: Scope.QUEUE_AGENT, Scope.GROUP: Scope.GROUP_AGENT}

# Names from other languages, and common guesses.
ALSO_CALLED: Mapping[str, str] = {
    "average": "avg",
    "mean": "avg",
    "avg_over_time": "avg",
    "minimum": "min",
    "maximum": "max",
    "total": "sum",
    "increase": "delta",
    "rate": "delta",
    "diff": "delta",
    "difference": "delta",
    "changed": "changes",
    "lag": "ago",
    "offset": "ago",
    "before": "ago",
    "baseline": "usual",
    "normal": "usual",
    "typical": "usual",
    "median": "usual",
    "agents": "count",
}
