"""The actions of scenarios, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal


@dataclass(frozen=True)
class Demand:
    """Callers of a queue (id or name; "*": all queues) arrive `factor` times as often, for `lasting` or permanently."""

    queue: str
    factor: float
    lasting: timedelta | None = None


@dataclass(frozen=True)
class WalkOut:
    """A share of the agents of a queue or group (neither: all agents) stop taking work: idle agents at once, the others
    when they have finished; for `lasting` or permanently."""

    queue: str | None = None
    group: str | None = None
    share: float = 1.0
    status: Literal["OnBreak", "WorkingOffline", "LoggedOut"] = "OnBreak"
    code: str | None = None
    lasting: timedelta | None = None


Action = Demand | WalkOut
