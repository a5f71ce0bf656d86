"""What the life of alerts depends on beside the alerts and the poll: settings, silences, and what is remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from alertbot.alerts.alert import Fingerprint
from alertbot.alerts.silence import Silence
from alertbot.rules.catalogue import Scope


@dataclass(frozen=True)
class Alerting:
    """What alertbot.yaml says about the life of alerts; the names are those of its keys."""

    poll_every: timedelta = timedelta(seconds=15)
    stale_after: timedelta = timedelta(minutes=2)
    storm_cards: int = 5  # new cards per channel and poll; the rest shares a card per rule
    flap_rises: int = 4  # more rises than this within `flap_window`: unstable
    flap_window: timedelta = timedelta(minutes=30)
    nag_after: timedelta = timedelta(hours=2)

    @property
    def gap(self) -> timedelta:
        """A longer time without data is a gap: `stale_after`, or two and a half polls if that is longer."""
        return max(self.stale_after, self.poll_every * 2.5)


@dataclass(frozen=True)
class Situation:
    """What a turn knows beside its alerts and verdicts."""

    alerting: Alerting = field(default_factory=Alerting)
    silences: tuple[Silence, ...] = ()  # those that have not ended, by id; some may not have begun
    latched: Mapping[Fingerprint, int] = field(default_factory=dict)  # closed by hand, see latch.py
    rises: Mapping[Fingerprint, tuple[datetime, ...]] = field(default_factory=dict)  # of alerts that ended lately
    good_at: datetime | None = None  # the last good poll before this turn; None: there was none
    received: Mapping[Scope, datetime] = field(default_factory=dict)  # when each scope last had data, before this turn

    def last_data(self, scope: Scope) -> datetime | None:
        """When this scope last had data, before this turn; None if it never had, as far as is known."""
        return self.received.get(scope, self.good_at)


ORDINARY = Situation()
"""Default settings, and nothing to remember."""
