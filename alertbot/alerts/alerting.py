"""The settings that the life of alerts depends on, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Alerting:
    """What alertbot.yaml says about the life of alerts; the names are those of its keys."""

    poll_every: timedelta = timedelta(seconds=15)
    stale_after: timedelta = timedelta(minutes=2)
    storm_cards: int = 5  # new cards per channel and poll; the rest shares a card per rule
    flap_rises: int = 4  # more rises than this within `flap_window`: unstable
    flap_window: timedelta = timedelta(minutes=30)
    nag_after: timedelta = timedelta(hours=2)
