"""What DESIGN.md promises about the health of a feed: when data is missing, and that this is reported. See model.py."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.proof.shapes import CRITICAL, WARNING, Poll, Report

STALE_AFTER = 120.0


@dataclass
class FeedModel:
    """Counts are of polls in a row. `open`: the feed alerts, as (state, level) by rule and tenant."""

    tried: float | None = None
    heard: float | None = None  # the last answer, else the first failure
    good: int = 0
    served: int = 0
    silent: int = 0
    partial: int = 0
    empty: int = 0
    known: int = 0  # entities in the last complete answer
    open: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)

    def set_back(self, now: float) -> float:
        """By how much the clock was set back since the last poll."""
        return self.tried - now if self.tried is not None and self.tried - now >= 2 else 0.0

    def turn(self, now: float, seen: Poll | None) -> tuple[Counter[Report], bool, Poll | None]:
        """What is reported of the feed, whether missing data is explained, and the poll as it counts."""
        if seen is not None:
            self.tried = now
            seen = self._count(now, seen)
        self.heard = min(now, self.heard) if self.heard is not None else None
        silence = now - self.heard if self.heard is not None and (seen is None or self.silent > 1) else 0.0
        stale = silence > STALE_AFTER
        reports = self._alert("feed-stale", CRITICAL, begins=stale, ends=not stale and self.served >= 3)
        reports += self._alert("feed-partial", WARNING, begins=self.partial >= 4, ends=self.good >= 3)
        return reports, not self.good or bool(self.open), seen

    def _count(self, now: float, seen: Poll) -> Poll:
        if seen.failed:
            self.good, self.served, self.partial, self.silent = 0, 0, 0, self.silent + 1
            self.heard = now if self.heard is None else self.heard
            return seen
        doubtful = not seen.values and self.known > 0 and self.empty < 3
        seen = Poll(seen.values, seen.complete and not doubtful)
        self.empty = 0 if seen.values else self.empty + 1
        self.served, self.silent, self.heard = self.served + 1, 0, now
        self.good, self.partial = (self.good + 1, 0) if seen.complete else (0, self.partial + 1)
        self.known = len(seen.values) if seen.complete else self.known
        return seen

    def _alert(self, rule: str, level: int, *, begins: bool, ends: bool) -> Counter[Report]:
        key = (rule, "acme")
        if begins and key not in self.open:
            self.open[key] = ("firing", level)
            return Counter({(*key, "began", "#ops"): 1})
        if ends and self.open.pop(key, None) is not None:
            return Counter({(*key, "resolved", "#ops"): 1})
        return Counter()
