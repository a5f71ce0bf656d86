"""Silence: a matcher and an end time. Alerts that it matches are tracked but not reported."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Matcher:
    """Which alerts are meant. All terms must match.

    A term is its name (`tenant`, `rule`, `name`, `level`, `scope` or `label.KEY`) and a pattern with `*` and `?`.
    """

    terms: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Silence:
    """One silence. Times are aware UTC; it is active from `starts_at` until before `ends_at`."""

    id: int
    matcher: Matcher
    starts_at: datetime
    ends_at: datetime
    author: str  # a Slack user id, or a local user's name
    reason: str
    created_at: datetime
    ended_at: datetime | None = None  # when it was taken off, or its end was announced
    ended_by: str = ""  # who took it off
    started: bool = False  # its start was announced
    warned: bool = False  # that it ends soon was announced
