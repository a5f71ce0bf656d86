"""Chore: what is done at intervals, once for the whole installation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Chore:
    """`run` is called every `every`, first `after` the start (by default after one interval)."""

    name: str
    every: timedelta
    run: Callable[[], object]
    after: timedelta | None = None
