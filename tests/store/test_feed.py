"""What is stored about a tenant's polls is read back unchanged."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from alertbot.feed.health import Activity, Feed, Health, Meanwhile
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import T0, at, poll

ILL = Health(
    silent=7,
    refused=2,
    skew_s=-1.5,
    served_at=T0,
    blind_since=T0,
    bad_since=T0,
    good_at=T0,
    moved_at=at(-30),
    still=2,
    figures="0a1b",
    activity=Activity.CALLERS,
    opened=False,
    wait_until=at(90) + timedelta(microseconds=1),
    next_try_at=at(300),
    meanwhile=Meanwhile(1, 2, 3, ("Longest wait of Sales began (warning)",)),
)


def test_the_health_of_a_feed(store: SqliteStore) -> None:
    """Every count, time and word; and a tenant that was never polled has none."""
    store.record(poll(now=at(15), feed=Feed("acme", at(15), T0, health=ILL)))
    assert store.feed("acme").health == ILL
    assert store.feed("other").health == Health()
    store.record(poll(now=at(30), feed=Feed("acme", at(30), at(30), health=replace(ILL, silent=0))))
    assert store.feed("acme").health.silent == 0


def test_a_turn_without_a_poll_is_no_poll(store: SqliteStore) -> None:
    store.record(poll(now=at(15)))
    store.record(poll(now=at(30), polled=False))
    assert store.totals().polls == 1
