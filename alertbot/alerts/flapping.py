"""Flap damping: an alert that rises too often is unstable, and has to stay clear for longer before it ends.

A rise is a change to firing from any other state. The rises of a rule for one entity are counted together, whichever of
its alerts rose: a new alert inherits those of the one that ended (`Situation.rises`). An alert holds at most
`flap_rises + 1` of them, which is all that a decision needs: with one more than allowed within the window it is
unstable, until the oldest of those leaves the window.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from alertbot.alerts.alerting import Alerting

Rises = tuple[datetime, ...]
"""When an alert rose to firing, oldest first."""


def risen(rises: Rises, now: datetime, alerting: Alerting) -> Rises:
    """The rises after another one at `now`; those that no longer matter are left out."""
    return (*not_before(rises, now, alerting), now)[-(alerting.flap_rises + 1) :]


def is_unstable(rises: Rises, now: datetime, alerting: Alerting) -> bool:
    """Whether more than `flap_rises` of these are within the window."""
    if len(rises) <= alerting.flap_rises:
        return False
    return sum(at <= now for at in not_before(rises, now, alerting)) > alerting.flap_rises


def settles_at(rises: Rises, alerting: Alerting) -> datetime | None:
    """When an unstable alert becomes stable by itself, if it does not rise again; None if it is not unstable."""
    return rises[-(alerting.flap_rises + 1)] + alerting.flap_window if len(rises) > alerting.flap_rises else None


def stays_clear_for(keep_firing_for: timedelta, alerting: Alerting) -> timedelta:
    """How long an unstable alert must be clear before it ends: twice as long, and at least two polls."""
    return max(2 * keep_firing_for, 2 * alerting.poll_every)


def not_before(rises: Rises, now: datetime, alerting: Alerting) -> Rises:
    """Those since the window began. One later than now is from before the clock was set back: it counts from then."""
    return tuple(at for at in rises if at > now - alerting.flap_window)
