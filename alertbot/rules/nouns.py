"""Metric keys in words: what each is called in cards, answers and lists, and whether high or low is bad.

The words are in `nouns.csv`, one row for each base name (`abandoned` of `abandoned.int-30m`), in the order of interest:
what is waiting now, who could take it, how well it went. The period of a key is put into words here.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources

TOTAL = "total."
IN_QUEUE = "inQueue"
PERIODS: Mapping[str, tuple[str, str]] = {
    "rt": ("", ""),
    "int-15m": ("last 15 min", "in the last 15 min"),
    "int-30m": ("last 30 min", "in the last 30 min"),
    "int-1h": ("last hour", "in the last hour"),
    "int-4h": ("last 4 h", "in the last 4 h"),
    "int-8h": ("last 8 h", "in the last 8 h"),
    "int-12h": ("last 12 h", "in the last 12 h"),
    "today": ("today", "today"),
}
"""By the period of a key, shortest first: the words in a list, and in a sentence. `rt` is now, and has none."""

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Worse(StrEnum):
    """Which values of a metric are the bad ones."""

    HIGH = "high"
    LOW = "low"
    NEITHER = ""


@dataclass(frozen=True, slots=True)
class KeyParts:
    """The parts of a key: `total.accepted.int-15m.inQueue` has all of them."""

    base: str
    period: str  # "" where the key has none
    rest: tuple[str, ...] = ()  # what follows the period
    total: bool = False

    @property
    def in_queue(self) -> bool:
        """Whether it counts the work of queues only."""
        return IN_QUEUE in self.rest


def parts_of(key: str) -> KeyParts:
    """A key taken apart. Never fails: a key that 8x8 does not have is all base, or has an unknown period."""
    base, _, rest = key.removeprefix(TOTAL).partition(".")
    period, *more = rest.split(".")
    return KeyParts(base, period, tuple(more), key.startswith(TOTAL))


def words_of(base: str) -> str:
    """The words that a base name is written from, in small letters: `longest wait` of `longestWait`."""
    return _HUMP.sub(" ", base).lower()


def noun(key: str, *, singular: bool = False) -> str:
    """`abandon rate in the last 30 min`, `callers waiting`; with `singular` as after the number 1, `caller waiting`."""
    parts = parts_of(key)
    return " ".join([_base(parts.base, singular), *_when(parts)])


def measured(key: str, figure: str, *, counted: bool, singular: bool = False) -> str:
    """A figure with its noun: `2 callers waiting` where things are counted, else `longest wait 2m 12s`.

    `singular` is for the number 1.
    """
    parts = parts_of(key)
    name = _base(parts.base, singular)
    return " ".join([figure, name, *_when(parts)] if counted else [name, figure, *_when(parts)])


def label(key: str) -> str:
    """What a key is called in a list: `Abandon rate, last 30 min`."""
    parts = parts_of(key)
    name = _base(parts.base, singular=False)
    suffixes = [PERIODS.get(parts.period, (parts.period, ""))[0]]
    suffixes += ["in queues" if word == IN_QUEUE else word for word in parts.rest]
    return ", ".join([name[:1].upper() + name[1:], *(suffix for suffix in suffixes if suffix)])


def order(key: str) -> tuple[int, str, int, str]:
    """What to sort metric keys by: interest, then name, then the length of the period."""
    parts, rows, periods = parts_of(key), _rows(), list(PERIODS)
    place = periods.index(parts.period) if parts.period in PERIODS else len(periods)
    row = rows.get(parts.base)
    return row.place if row is not None else len(rows), parts.base, place, key


def runs_by_itself(key: str) -> bool:
    """Whether a key is a time that grows while nothing happens, such as `timeOnStatus.rt`."""
    return parts_of(key).base.casefold().endswith(("timeonstatus", "timeonstatuscode"))


def worse(key: str) -> Worse:
    """Whether high or low values of a key are bad."""
    row = _rows().get(parts_of(key).base)
    return row.worse if row is not None else Worse.NEITHER


def bases() -> tuple[str, ...]:
    """The base names that have words, in the order of interest."""
    return tuple(_rows())


@dataclass(frozen=True, slots=True)
class _Row:
    noun: str
    one: str  # as after the number 1; "" where it is no count
    worse: Worse
    place: int


@cache
def _rows() -> Mapping[str, _Row]:
    text = resources.files("alertbot.rules").joinpath("nouns.csv").read_text(encoding="utf-8")
    return {
        row["base"]: _Row(row["noun"], row["one"], Worse(row["worse"]), place)
        for place, row in enumerate(csv.DictReader(text.splitlines()))
    }


def _base(base: str, singular: bool) -> str:
    row = _rows().get(base)
    if row is None:
        return words_of(base)
    return row.one if singular and row.one else row.noun


def _when(parts: KeyParts) -> list[str]:
    """What follows the noun in a sentence."""
    words = ["for queues" if word == IN_QUEUE else word for word in parts.rest]
    words.append(PERIODS.get(parts.period, ("", parts.period))[1])
    words += ["in total"] if parts.total else []
    return [word for word in words if word]
