"""Exponential back-off as one pure function: how long to wait after repeated failures."""

from __future__ import annotations

from datetime import timedelta

_MAX_EXPONENT = 30  # keeps the product within what a timedelta can hold, however many failures there were


def doubled(first: timedelta, times: int, at_most: timedelta) -> timedelta:
    """`first`, doubled this many times, but at most `at_most`."""
    wait: timedelta = first * 2 ** min(max(times, 0), _MAX_EXPONENT)
    return min(wait, at_most)
