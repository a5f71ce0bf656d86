"""What a clock that was set back means for the alerts of a tenant.

Their times were taken from the clock as it was before. Left as they are, an alert that fired at 09:00 would end at
08:10, "after 0s", and a hold would begin again. So they are moved back with the clock: how long something has lasted
stays as it was, to within the time between two polls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from alertbot.alerts.alert import Alert, Change, Fingerprint

MIN_STEP = timedelta(seconds=2)
"""Less is an ordinary adjustment of a clock, or two clocks that differ a little."""
WHY = "the clock was set back"


def set_back_by(last: datetime | None, now: datetime) -> timedelta:
    """How far the clock was set back since `last`, the time of the last poll; zero where it was not."""
    step = last - now if last is not None else timedelta(0)
    return step if step >= MIN_STEP else timedelta(0)


def moved_back(alert: Alert, by: timedelta) -> Alert:
    """The alert with all its times earlier by this much. When it was acknowledged is not a poll's to change."""

    def earlier(moment: datetime | None) -> datetime | None:
        return None if moment is None else moment - by

    return replace(
        alert,
        since={level: moment - by for level, moment in alert.since.items()},
        pending_since=earlier(alert.pending_since),
        fired_at=earlier(alert.fired_at),
        recovering_since=earlier(alert.recovering_since),
        peak_at=earlier(alert.peak_at),
        seen_at=earlier(alert.seen_at),
        muted=None if alert.muted is None else replace(alert.muted, since=alert.muted.since - by),
        reminded_at=earlier(alert.reminded_at),
        rises=tuple(moment - by for moment in alert.rises),
        no_data_since=earlier(alert.no_data_since),
        unseen_since=earlier(alert.unseen_since),
    )


def moves(alerts: Sequence[Alert], moved: Mapping[Fingerprint, Alert], changes: Sequence[Change]) -> list[Change]:
    """The changes that store the moved alerts, for those that nothing else changes. They are not reported."""
    changed = {change.after.key for change in changes}
    return [Change(alert, moved[alert.key], None, WHY) for alert in alerts if alert.key not in changed]
