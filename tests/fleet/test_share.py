"""Which share of the tenants each worker has."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alertbot.fleet.share import SHARES_FOR, shares, with_share
from alertbot.store.postgres.living import COUNTS_FOR
from alertbot.store.postgres.workers import GONE_AFTER

CASES: dict[str, tuple[int, dict[str, int], dict[str, int]]] = {
    "one worker has all": (7, {"a": 10}, {"a": 7}),
    "equal parts": (9, {"a": 10, "b": 10, "c": 10}, {"a": 3, "b": 3, "c": 3}),
    "what is left over has room anywhere": (10, {"a": 10, "b": 10, "c": 10}, {"a": 4, "b": 4, "c": 4}),
    "a worker with a low limit leaves more to the others": (9, {"a": 1, "b": 10, "c": 10}, {"a": 1, "b": 4, "c": 4}),
    "more tenants than the limits allow": (9, {"a": 2, "b": 3}, {"a": 2, "b": 3}),
    "no tenants": (0, {"a": 2}, {"a": 0}),
    "no workers": (5, {}, {}),
}


@pytest.mark.parametrize(("tenants", "limits", "expected"), CASES.values(), ids=CASES)
def test_shares(tenants: int, limits: dict[str, int], expected: dict[str, int]) -> None:
    assert shares(tenants, limits) == expected


@example(1, {"a": 1, "b": 1})
@given(
    st.integers(0, 5000),
    st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.integers(1, 2000), min_size=1, max_size=12),
)
def test_all_tenants_have_room_and_the_parts_are_equal(tenants: int, limits: dict[str, int]) -> None:
    """Nobody is above its limit; who is not at its limit has the same share as the others of that kind."""
    found = shares(tenants, limits)
    assert found.keys() == limits.keys()
    assert all(found[name] <= limits[name] for name in limits)
    assert sum(found.values()) >= min(tenants, sum(limits.values()))
    assert sum(found.values()) < tenants + len(limits)
    below = {share for name, share in found.items() if share < limits[name]}
    assert len(below) <= 1
    assert all(share <= equal for share in found.values() for equal in below)


def test_a_worker_that_was_not_heard_of_leaves_its_part_to_others() -> None:
    """So they have room for tenants of another one that died before it, and long before it is taken for dead itself."""
    heard = with_share({"a": 0.4, "b": SHARES_FOR, "c": 5.0})
    assert heard == {"a"}
    assert shares(9, dict.fromkeys([*heard, "me"], 100)) == {"a": 5, "me": 5}
    assert SHARES_FOR < COUNTS_FOR.total_seconds() < GONE_AFTER.total_seconds()
