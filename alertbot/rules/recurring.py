"""Times that come every day or every week, as `digest: {every: mon 08:00}` names them; right when clocks change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAILY = "daily"
_WRITTEN = re.compile(r"(?P<day>[a-z]+) +(?P<hour>\d{1,2}):(?P<minute>\d{2})", re.IGNORECASE)


@dataclass(frozen=True)
class Recurring:
    """A time of day, on one day of the week (0 is Monday) or on every day (None), in a zone that callers name.

    On the day on which clocks are set forward, a time that does not exist is the moment an hour later; on the day on
    which they are set back, a time that comes twice is the first of them. So it comes exactly once a day.
    """

    weekday: int | None
    at: time

    def last(self, now: datetime, zone: ZoneInfo) -> datetime:
        """The last such moment, at `now` at the latest, in UTC."""
        today = now.astimezone(zone).date()
        for back in range(9):  # a week, the day itself, and one to spare
            day = today - timedelta(days=back)
            moment = datetime.combine(day, self.at, zone).astimezone(UTC)
            if moment <= now and self.weekday in (None, day.weekday()):
                return moment
        raise AssertionError("each day of the week comes within nine days")

    def before(self, moment: datetime, zone: ZoneInfo) -> datetime:
        """The one before that moment, in UTC."""
        return self.last(moment - timedelta(microseconds=1), zone)


def parse_recurring(text: str) -> Recurring:
    """`mon 08:00` or `daily 08:00`. Raises ValueError, whose text says how it is written."""
    found = _WRITTEN.fullmatch(text.strip())
    day = found["day"].casefold() if found is not None else ""
    if found is None or (day != DAILY and day not in DAYS) or int(found["hour"]) > 23 or int(found["minute"]) > 59:
        raise ValueError(f"must be a day and a time, such as mon 08:00, or {DAILY} 08:00 (days: {', '.join(DAYS)})")
    at = time(int(found["hour"]), int(found["minute"]))
    return Recurring(None if day == DAILY else DAYS.index(day), at)
