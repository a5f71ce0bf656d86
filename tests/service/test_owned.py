"""When the first turn of a tenant comes that another worker polled before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from alertbot.service.owned import first_after
from alertbot.service.tenant import LiveTenant

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

CASES = {
    "it was polled 4 s ago: one interval after that": (4.0, 11.0),
    "it was polled just now": (0.0, 15.0),
    "it is due now": (15.0, 0.0),
    "it is late, since its worker is gone: at once": (26.0, 0.0),
    "so is the next worker, which had taken it: at once all the same": (59.0, 0.0),
}


def _tenant(name: str = "acme") -> LiveTenant:
    return cast(LiveTenant, SimpleNamespace(name=name, poll_every=timedelta(seconds=15)))


@pytest.mark.parametrize(("ago", "expected"), CASES.values(), ids=CASES)
def test_it_goes_on_at_the_pace_of_the_worker_before(ago: float, expected: float) -> None:
    assert first_after(_tenant(), NOW - timedelta(seconds=ago), NOW) == timedelta(seconds=expected)


@pytest.mark.parametrize("last", [None, NOW - timedelta(hours=1), NOW + timedelta(minutes=5)])
def test_tenants_that_were_not_polled_lately_are_spread_over_one_interval(last: datetime | None) -> None:
    """Each always at the same place, so that a restart moves none of them. A clock may have been set back."""
    first = [first_after(_tenant(f"tenant-{number}"), last, NOW) for number in range(1000)]
    assert first == [first_after(_tenant(f"tenant-{number}"), last, NOW) for number in range(1000)]
    assert all(timedelta(0) <= each < timedelta(seconds=15) for each in first)
    for part in range(5):
        begins = timedelta(seconds=3 * part)
        assert 140 < sum(begins <= each < begins + timedelta(seconds=3) for each in first) < 260
