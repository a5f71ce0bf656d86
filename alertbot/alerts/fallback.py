"""What is posted to `slack.fallback_webhook`: an alert that cannot be delivered to Slack, once per level, and its end.

An alert is posted when it is firing at one of the configured levels, is not muted, and a message that it fires or rose
has been waiting for Slack for long enough, whatever the reason: Slack or the network is down, the token is revoked,
the channel is broken, or messages are held back. If an alert was posted, its end is posted too, even if Slack works
again by then: what was opened on the other side has to be closed there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from alertbot.alerts.alert import Alert, Reason
from alertbot.rules.rule import Level

ALARMS = frozenset({Reason.FIRED, Reason.LEVEL_UP, Reason.SUPPRESSION_ENDED, Reason.SILENCE_ENDED, Reason.ESCALATED})
"""The reasons of the messages that must not wait: they say that an alert fires, rose, or has no owner."""
MAX_AGE = timedelta(days=1)
"""An end that could not be posted for this long is given up."""


class PostKind(StrEnum):
    """What a post says about its alert."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class NewPost:
    """One post that was just decided, to be written as JSON.

    Of kind FIRING: since when the first message about the alert has been waiting for Slack, in which channels, and why
    (if that is known). `opened_as`: the incident of what was posted before about the alert, or "".
    """

    kind: PostKind
    alert: Alert
    at: datetime
    waiting_since: datetime | None = None
    channels: tuple[str, ...] = ()
    problem: str = ""
    opened_as: str = ""

    @property
    def level(self) -> Level:
        """The level that the post is about."""
        return self.alert.level

    @property
    def incident(self) -> str:
        """The same for all posts about one alert, also when a clock that was set back has moved its times."""
        return self.opened_as or incident(self.alert)

    @property
    def id(self) -> str:
        """The same for the same post, however often it is decided and sent."""
        return _digest(self.incident, self.kind, self.level.word)


@dataclass(frozen=True, slots=True)
class FallbackPost:
    """A post that waits to be sent. `body` is the JSON; `alert_id` is for the log."""

    id: str
    kind: PostKind
    alert_id: int
    level: Level
    decided_at: datetime
    body: str
    attempts: int = 0


def incident(alert: Alert) -> str:
    """A name for this one alert, which no other has: 20 hex digits."""
    return _digest(*alert.key, str(alert.id), alert.fired_at.isoformat() if alert.fired_at else "")


def _digest(*words: str) -> str:
    return hashlib.sha256("\x1f".join(words).encode()).hexdigest()[:20]
