"""Owners of tenants: a worker that is no longer the owner can record nothing."""

from __future__ import annotations

import pytest

from alertbot.errors import NotOwner
from alertbot.store.records import Owned, Owner, PollRecord
from alertbot.store.sql.store import SqlStore
from tests.store.build import at, begins, firing, poll


def _decided(owner: Owner | None, second: float) -> PollRecord:
    return poll([begins(firing())], now=at(second), owner=owner)


def test_each_ownership_has_a_higher_number(store: SqlStore) -> None:
    """Also when the same worker takes it again, and for each tenant by itself."""
    assert [store.own("acme", worker, at(0)).number for worker in ("a", "b", "b")] == [1, 2, 3]
    assert store.own("zenith", "b", at(0)) == Owner(1, "")


def test_a_turn_of_a_former_owner_is_refused(store: SqlStore) -> None:
    first = store.own("acme", "host a, process 1 (run x)", at(0))
    store.record(_decided(first, 1))
    second = store.own("acme", "host b, process 2 (run y)", at(2))
    before = store.alerts("acme"), store.revision("acme")
    with pytest.raises(NotOwner, match="acme is owned by another worker now \\(host b, process 2\\)"):
        store.record(_decided(first, 3))
    assert (store.alerts("acme"), store.revision("acme")) == before
    store.record(_decided(second, 4))


def test_what_the_next_owner_needs_is_kept_with_each_turn(store: SqlStore) -> None:
    first = store.own("acme", "a", at(0))
    store.record(_decided(Owner(first.number, "seven requests"), 1))
    assert store.own("acme", "b", at(2)) == Owner(2, "seven requests")


def test_an_owner_that_hands_a_tenant_over(store: SqlStore) -> None:
    """It is nobody's then; one who is no longer the owner can hand nothing over."""
    first = store.own("acme", "a", at(0))
    assert store.owned() == {"acme": Owned("a", at(0))}
    store.own("acme", "b", at(1))
    store.disown("acme", first.number)
    assert store.owned() == {"acme": Owned("b", at(1))}
    store.disown("acme", 2)
    assert store.owned() == {}


def test_a_turn_without_an_owner_is_recorded(store: SqlStore) -> None:
    """As by the one process that holds the lease of a database."""
    store.record(_decided(None, 1))
    assert len(store.alerts("acme")) == 1
