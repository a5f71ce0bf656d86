"""The comparison that a card shows: what was measured, against what."""

from __future__ import annotations

import math
from dataclasses import dataclass

from alertbot.rules.catalogue import ValueType
from alertbot.rules.compare import compare, high_is_bad


@dataclass(frozen=True, slots=True)
class Measure:
    """The comparison that a card shows: what was measured, against what. Values in column units (ms, 0 to 1)."""

    label: str  # the metric key, or the expression as written
    type: ValueType
    op: str  # `>`, `<`, ...; "" where the condition has no comparison to show
    value: float | str | None  # None: missing
    threshold: float | str | None

    @property
    def rises(self) -> bool:
        """Whether a greater value is worse: decides what the peak is."""
        return high_is_bad(self.op)

    @property
    def holds(self) -> bool:
        """Whether the comparison is true; False while a side is missing."""
        return compare(self.op, self.value, self.threshold) is True

    @property
    def excess(self) -> float:
        """How far the value is beyond the limit, as a share of the limit; of a limit of 0, and of times, the distance.

        Negative on the other side of the limit; 0 for words; minus infinity while the value is missing.
        """
        if self.value is None:
            return -math.inf
        if not isinstance(self.value, float | int) or not isinstance(self.threshold, float | int):
            return 0.0
        distance = (self.value - self.threshold) * (1 if self.rises else -1)
        relative = self.type is not ValueType.TIMESTAMP and self.threshold != 0
        return distance / abs(self.threshold) if relative else distance
