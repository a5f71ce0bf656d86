"""Back-off doubles from its first wait up to its limit, and never beyond."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alertbot.backoff import doubled

WAITS = {
    "first": (0, 2),
    "once": (1, 4),
    "up to the limit": (7, 256),
    "the limit": (8, 300),
    "after weeks of failures": (1_000_000, 300),
    "never below the first": (-1, 2),
}


@pytest.mark.parametrize(("times", "seconds"), WAITS.values(), ids=WAITS.keys())
def test_doubled(times: int, seconds: int) -> None:
    """2 s, doubled up to five minutes."""
    assert doubled(timedelta(seconds=2), times, timedelta(minutes=5)) == timedelta(seconds=seconds)


def test_a_first_wait_beyond_the_limit_is_the_limit() -> None:
    assert doubled(timedelta(hours=1), 0, timedelta(minutes=5)) == timedelta(minutes=5)
