"""The catalogue as a list to read: keys that differ only in period and scope are one entry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from alertbot.rules.catalogue import Metric, Scope, ValueType
from alertbot.rules.nouns import IN_QUEUE, PERIODS, TOTAL, Worse, noun, order, parts_of

PERIOD = "PERIOD"
UNITS: Mapping[ValueType, str] = {
    ValueType.COUNT: "count",
    ValueType.DURATION: "ms",
    ValueType.RATIO: "ratio 0 to 1",
    ValueType.NUMBER: "number",
    ValueType.TEXT: "text",
    ValueType.TIMESTAMP: "ms since 1970 UTC",
}
"""By type: the unit of a value as 8x8 sends it and columns hold it."""
WRITTEN: Mapping[ValueType, str] = {
    ValueType.COUNT: "write 3",
    ValueType.DURATION: "write 90s or 2m",
    ValueType.RATIO: "write 80%",
    ValueType.NUMBER: "write 2.5",
    ValueType.TEXT: 'write "OnBreak"',
    ValueType.TIMESTAMP: "compare with another time",
}
"""By type: how a condition has such a value."""
TOTALS: Mapping[Scope, Scope] = {Scope.QUEUE: Scope.QUEUE_TOTALS, Scope.AGENT: Scope.AGENT_TOTALS}


@dataclass(frozen=True)
class Entry:
    """Keys of one base name. In `key`, PERIOD stands for any of `periods` where there are several.

    `keys` are spelt as in the scopes that are no totals; in those, `total.` stands before each.
    """

    key: str
    keys: tuple[str, ...]
    scopes: tuple[Scope, ...]
    periods: tuple[str, ...]
    type: ValueType
    unit: str
    noun: str  # without the period
    worse: Worse
    meaning: str

    @property
    def kind(self) -> str:
        """Its type, and how a condition has such a value."""
        return f"{self.type} ({WRITTEN[self.type]})"

    @property
    def totals_too(self) -> bool:
        """Whether it has keys of the totals scopes beside the others."""
        return not self.key.startswith(TOTAL) and any(scope in self.scopes for scope in TOTALS.values())


def entries(metrics: Iterable[Metric]) -> list[Entry]:
    """The entries of these metrics, in the order of interest."""
    grouped: dict[tuple[str, bool, ValueType], list[Metric]] = {}
    for metric in metrics:
        parts = parts_of(metric.key)
        grouped.setdefault((parts.base, parts.in_queue, metric.type), []).append(metric)
    return sorted((_entry(group) for group in grouped.values()), key=lambda entry: order(entry.keys[0]))


def notes(shown: Iterable[Entry]) -> list[str]:
    """What has to be known to write the keys of these entries; an empty list where that is nothing."""
    listed, lines = list(shown), []
    if any(PERIOD in entry.key for entry in listed):
        lines.append(f"{PERIOD} stands for one of the periods: entered.int-30m, entered.today.")
    if any(entry.totals_too for entry in listed):
        lines.append("In the scopes queue_totals and agent_totals, total. stands before the key.")
    return lines


def _entry(group: list[Metric]) -> Entry:
    only_totals = all(metric.key.startswith(TOTAL) for metric in group)
    keys = sorted({metric.key if only_totals else metric.key.removeprefix(TOTAL) for metric in group}, key=order)
    first, last = group[0], parts_of(keys[0])
    present = {parts_of(key).period for key in keys}
    periods = tuple(period for period in PERIODS if period in present)
    suffix = f".{IN_QUEUE}" if last.in_queue else ""
    prefix = TOTAL if only_totals else ""
    key = keys[0] if len(keys) == 1 else f"{prefix}{last.base}.{PERIOD}{suffix}"
    return Entry(
        key,
        tuple(keys),
        tuple(scope for scope in Scope if any(metric.scope is scope for metric in group)),
        periods,
        first.type,
        UNITS[first.type],
        noun(f"{last.base}.rt{suffix}"),
        first.worse,
        first.description,
    )
