"""What the model is about: rules, silences, polls and alerts, as far as it needs them. Times are seconds."""

from __future__ import annotations

from dataclasses import dataclass, field

WARNING, CRITICAL = LEVELS = 2, 3
DEFAULT_CHANNEL = "#main"

Key = tuple[str, str]  # rule, entity
Report = tuple[str, str, str, str]  # rule, entity, reason, channel


@dataclass(frozen=True)
class Watch:
    """A rule about one number of each entity: `limits` are what it must exceed for warning and for critical.

    `channels` are those of warning and of critical; none: the default channel.
    """

    id: str
    limits: tuple[int, int] = (60, 120)
    holds: tuple[int, int] = (0, 0)  # `for`
    clear: int | None = None  # below this it is clear; None: not above the limit of its level
    keep: int = 0  # keep_firing_for
    no_data: str = "keep"
    channels: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    covers: tuple[str, ...] = ("q1", "q2", "q3")
    suppressed_by: tuple[str, ...] = ()
    remind: tuple[int, int] = (0, 0)  # every, at most; (0, 0): never
    escalate: tuple[tuple[int, tuple[str, ...]], ...] = ()  # after, channels; none: those of the rule
    group_by: str = "entity"


@dataclass(frozen=True)
class Silence:
    """A matcher, and when it begins and ends; None matches all."""

    rule: str | None
    entity: str | None
    level: int | None
    begins: float
    ends: float
    author: str = "U0ALICE00"

    def matches(self, key: Key, level: int) -> bool:
        return self.rule in (None, key[0]) and self.entity in (None, key[1]) and self.level in (None, level)


@dataclass(frozen=True)
class Poll:
    """A number for each entity, None where it is missing; an entity that is absent is not in `values`."""

    values: dict[str, int | None] = field(default_factory=dict)
    complete: bool = True
    failed: bool = False


@dataclass
class Alert:
    """One alert; `cards` are the channels in which it has a card."""

    rises: tuple[float, ...] = ()
    state: str = "pending"
    level: int = WARNING
    since: dict[int, float] = field(default_factory=dict)
    clear_since: float | None = None
    missed: int = 0
    fired: float = 0.0
    owner: str = ""
    owned: float = 0.0
    nagged: bool = False
    reported: int = 0  # the level that was last reported
    muted: bool = False
    cards: tuple[str, ...] = ()
    reminded: float | None = None
    reminders: int = 0
    escalated: int = 0  # `after` of the last step
