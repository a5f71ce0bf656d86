"""Detects the scale on which 8x8 sends percentages, 0 to 1 or 0 to 100, and converts columns to 0 to 1.

8x8 does not document the scale (one sample is a ratio). The counts behind a percentage are metric keys too, so the
scale can be derived from a pair of them: with 5 diverted of 10 entered, divertedPercentage is near 0.5 or near 50.
Near means within a factor of three: the definitions differ in what they leave out, the scales differ by a hundred.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from alertbot.evaluation.snapshot import Column, Presence
from alertbot.rules.catalogue import Scope, ValueType, catalogue
from alertbot.sources.eight_by_eight.plan import TOTAL

PercentScale = Literal["auto", "ratio", "percent"]

# Numerator and denominator of each percentage (guide, glossary 5.1 to 5.6): base names; the period is the same.
PAIRS: Final[Mapping[str, tuple[str, str]]] = {
    "divertedPercentage": ("diverted", "entered"),
    "acceptedPercentage": ("accepted", "entered"),
    "abandonedPercentage": ("abandoned", "entered"),
    "totalAbandonedPercentage": ("totalAbandoned", "entered"),
    "shortAbandonedPercentage": ("shortAbandoned", "entered"),
    "acceptedInSlaPercentage": ("acceptedInSla", "accepted"),
    "slaPercentage": ("acceptedInSla", "entered"),
    "transfersInitiatedPercentage": ("transfersInitiated", "accepted"),
    "availableTimePercentage": ("availableTime", "loggedInTime"),
    "busyTimePercentage": ("busyTime", "loggedInTime"),
    "handlingTimePercentage": ("handlingTime", "loggedInTime"),
    "onBreakTimePercentage": ("onBreakTime", "loggedInTime"),
    "workingOfflineTimePercentage": ("workingOfflineTime", "loggedInTime"),
    "wrapUpTimePercentage": ("wrapUpTime", "loggedInTime"),
}
# A setting of the tenant, not a measurement: it is not documented to have the same scale, so it has a separate one.
_OWN_SCALE: Final = "slaPercentageTarget"
_ONE: Final = 1.0005  # a value above it is not a ratio; a sum of rounded floats may slightly exceed 1
_NEAR: Final = 0.5  # of a power of ten


@dataclass(frozen=True, slots=True)
class _Votes:
    """What rows indicate: how many are ratios, how many percent, how many are above 1; with an example."""

    ratio: int = 0
    percent: int = 0
    above_one: int = 0
    example: str = ""

    def __add__(self, other: _Votes) -> _Votes:
        return _Votes(
            self.ratio + other.ratio,
            self.percent + other.percent,
            self.above_one + other.above_one,
            self.example or other.example,
        )


class Percentages:
    """The scale of one tenant.

    With the `setting` auto, it is derived from the values and kept once a pair of counts has shown it. Until then it
    is ratio, or percent once a value is above 1. Each message is given once.
    """

    def __init__(self, setting: PercentScale) -> None:
        self._auto = setting == "auto"
        self.percent = setting == "percent"
        self.known = not self._auto  # set, or shown by pairs
        self._shown = not self._auto  # or by a value above 1
        self._contradicted = False
        self.notes: list[str] = []
        self.problems: list[str] = []

    @property
    def shown(self) -> bool | None:
        """Whether 8x8 sends 0 to 100, where pairs of counts have shown it; None where they have not."""
        return self.percent if self._auto and self.known else None

    def resume(self, percent: bool) -> None:
        """Take it as shown, by another process. What was set or shown here stays."""
        if not self.known:
            self.percent, self.known, self._shown = percent, True, True

    def evidence(self, scope: Scope, keys: Iterable[str]) -> frozenset[str]:
        """Extra keys to fetch to detect the scale: one cheap pair, and only while it is needed."""
        wanted = set(keys)
        known = catalogue().metrics[scope]
        shares = [key for key in wanted if _is_share(scope, key)]
        if self.known or not shares:
            return frozenset()
        candidates = [_triple(key) for key in sorted(shares)]
        # A period without a pair, such as int-1h: any percentage of the day will do.
        candidates += [_triple(f"{base}.today") for base in PAIRS]
        usable = [set(each) for each in candidates if each and known.keys() >= set(each)]
        if not usable or any(each <= wanted for each in usable):
            return frozenset()
        return frozenset(usable[0] - wanted)

    def learn(self, scope: Scope, columns: Mapping[str, Column]) -> None:
        """Take evidence from the raw columns of a scope, before any is converted."""
        if not any(_is_share(scope, key) for key in columns):
            return
        votes = _Votes()
        for key, column in columns.items():
            if _is_share(scope, key):
                votes += _count(key, column, columns)
        self._decide(votes)

    def _decide(self, votes: _Votes) -> None:
        seen = f" ({votes.example})" if votes.example else ""
        if votes.ratio != votes.percent:
            percent = votes.percent > votes.ratio
            if not self.known:
                self.percent, self.known, self._shown = percent, True, True
                self.notes.append(f"percentages are read as {_word(percent)}{seen}")
            elif percent != self.percent:
                self._contradict(votes)
        elif votes.above_one and not self.percent:
            if not self._shown:
                self.percent, self._shown = True, True
                self.notes.append(f"percentages are read as {_word(True)}: a value is above 1")
            else:
                self._contradict(votes)

    def _contradict(self, votes: _Votes) -> None:
        if self._contradicted:
            return
        self._contradicted = True
        source = "are known to be" if self._auto else "are set to be"
        seen = f": {votes.example}" if votes.example else ""
        self.problems.append(
            f"percentages {source} {_word(self.percent)}, but 8x8 sends some on the other scale{seen}; "
            "values that do not fit are treated as unreadable (see percent_scale)"
        )

    def convert(self, scope: Scope, key: str, column: Column) -> Column:
        """The column as ratios 0 to 1 if its key is a percentage; values that do not fit the scale become INVALID."""
        metric = catalogue().metrics[scope].get(key)
        if metric is None or metric.type is not ValueType.RATIO or column.is_text:
            return column
        values: NDArray[np.float64] = column.values.astype(np.float64, copy=False)
        percent = self.percent
        if self._auto and _base(key)[0] == _OWN_SCALE:
            percent = bool((values > _ONE).any())
        if percent:
            values = values / 100.0
        elif not ((values > 1.0) | (values < 0.0)).any():
            return column  # the usual case
        wrong = (values > _ONE) | (values < 0.0)
        presence = column.presence
        if wrong.any():
            presence = np.where(wrong, np.uint8(Presence.INVALID), presence)
            values = np.where(wrong, np.nan, values)
        return replace(column, values=np.minimum(values, 1.0), presence=presence)

    def take_messages(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Notes and problems since the last call."""
        notes, problems = tuple(self.notes), tuple(self.problems)
        self.notes.clear()
        self.problems.clear()
        return notes, problems


def _word(percent: bool) -> str:
    return "percent, 0 to 100" if percent else "ratios, 0 to 1"


def _base(key: str) -> tuple[str, str, str]:
    """Base name, rest and prefix (`total.` or "") of a key."""
    prefix = TOTAL if key.startswith(TOTAL) else ""
    base, dot, rest = key.removeprefix(TOTAL).partition(".")
    return (base, dot + rest, prefix)


@lru_cache(maxsize=4096)  # asked for every column of every poll
def _is_share(scope: Scope, key: str) -> bool:
    metric = catalogue().metrics[scope].get(key)
    return metric is not None and metric.type is ValueType.RATIO and _base(key)[0] != _OWN_SCALE


@lru_cache(maxsize=4096)
def _triple(key: str) -> tuple[str, str, str] | None:
    """A percentage with its numerator and denominator; None if they are unknown."""
    base, rest, prefix = _base(key)
    pair = PAIRS.get(base)
    return (key, f"{prefix}{pair[0]}{rest}", f"{prefix}{pair[1]}{rest}") if pair else None


def _count(key: str, column: Column, columns: Mapping[str, Column]) -> _Votes:
    values = column.values.astype(np.float64, copy=False)
    above = int(np.count_nonzero(values > _ONE))
    triple = _triple(key)
    if triple is None or triple[1] not in columns or triple[2] not in columns:
        return _Votes(above_one=above, example=f"{key} {np.nanmax(values):g}" if above else "")
    parts, wholes = (columns[each].values.astype(np.float64, copy=False) for each in triple[1:])
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = np.log10(values * wholes / parts)
    ratio, percent = np.abs(powers) < _NEAR, np.abs(powers - 2.0) < _NEAR  # NaN is neither
    rows = np.flatnonzero(percent if percent.sum() >= ratio.sum() else ratio)
    example = ""
    if len(rows):
        row = rows[0]
        example = f"{key} {values[row]:g} where {triple[1]} is {parts[row]:g} and {triple[2]} {wholes[row]:g}"
    return _Votes(int(ratio.sum()), int(percent.sum()), above, example)
