"""Means of quarter-hours: what is kept, what replaces what, until when keys are filled, and what is pruned."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from alertbot.errors import StoreError
from alertbot.evaluation.layout import Layout
from alertbot.evaluation.usual import QUARTER, QuarterHour
from alertbot.rules.catalogue import Scope
from alertbot.store.roles import Store
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import T0, poll

QUEUE, AGENTS = Scope.QUEUE, Scope.QUEUE_AGENT
NONE = float("nan")


def hour(number: int, ids: str, scope: Scope = QUEUE, **means: Sequence[float]) -> QuarterHour:
    """The quarter-hour that many after T0, entities by letter, means by key."""
    parents = tuple("p" for _ in ids) if scope is AGENTS else ()
    columns = {key: np.array(values, dtype=np.float32) for key, values in means.items()}
    return QuarterHour(scope, T0 + number * QUARTER, Layout((parents, tuple(ids))), columns)


def close(store: Store, number: int, *hours: QuarterHour) -> None:
    """A poll in a later quarter-hour."""
    store.record(poll(now=T0 + (number + 1) * QUARTER, quarter_hours=hours))


def kept(store: Store, *keys: str, scope: Scope = QUEUE, until: int = 9, tenant: str = "acme") -> list[object]:
    found = store.means(tenant, {scope: frozenset(keys)}, [T0 + number * QUARTER for number in range(until)])
    return [
        ((each.at - T0) // QUARTER, each.layout.pairs[1], {key: list(map(str, each.means[key])) for key in each.means})
        for each in found
    ]


def test_a_new_database_knows_nothing(store: Store) -> None:
    assert kept(store, "a") == []
    assert store.filled("acme") == {}


def test_means_come_back_as_they_were(store: Store) -> None:
    """Only the keys that are asked for, of that tenant, and not those of which none counts."""
    close(store, 0, hour(0, "xyz", a=[1.5, NONE, 120_000], b=[0, 0, -2], c=[NONE] * 3), hour(0, "x", AGENTS, a=[0.25]))
    assert kept(store, "a") == [(0, tuple("xyz"), {"a": ["1.5", "nan", "120000.0"]})]
    assert kept(store, "a", "b", "c") == [
        (0, tuple("xyz"), {"a": ["1.5", "nan", "120000.0"], "b": ["0.0", "0.0", "-2.0"]})
    ]
    assert kept(store, "a", scope=AGENTS) == [(0, ("x",), {"a": ["0.25"]})]
    assert kept(store, "d") == kept(store, "a", until=0) == kept(store, "a", tenant="other") == []


def test_a_quarter_hour_that_is_closed_again_replaces_the_first(store: Store) -> None:
    """Of the same keys; a key that was filled in beside it stays, and of two rows the newer one comes last."""
    close(store, 0, hour(0, "xy", a=[1, 2]))
    store.fill("acme", [hour(0, "xyz", b=[3, 4, 5])], {})
    assert kept(store, "a", "b") == [
        (0, tuple("xy"), {"a": ["1.0", "2.0"]}),
        (0, tuple("xyz"), {"b": ["3.0", "4.0", "5.0"]}),
    ]
    close(store, 0, hour(0, "x", a=[7]))
    assert kept(store, "a", "b") == [(0, tuple("xyz"), {"b": ["3.0", "4.0", "5.0"]}), (0, ("x",), {"a": ["7.0"]})]
    close(store, 0, hour(0, "x", a=[8], b=[9]))
    assert kept(store, "a", "b") == [(0, ("x",), {"a": ["8.0"], "b": ["9.0"]})]


def test_until_when_keys_are_filled(store: Store) -> None:
    """A turn that closes a quarter-hour moves it only where nothing is missing before it."""
    filled = {(QUEUE, "a"): T0, (QUEUE, "b"): T0 - QUARTER}
    store.fill("acme", [], filled)
    assert store.filled("acme") == filled
    close(store, 0, hour(0, "x", a=[1], b=[1], c=[NONE]))
    assert store.filled("acme") == {(QUEUE, "a"): T0 + QUARTER, (QUEUE, "b"): T0 - QUARTER}
    assert store.filled("other") == {}


def test_old_means_are_pruned(path: Path) -> None:
    """An hour later than `keep_usual`, for the days on which clocks change, and with them entities nobody needs."""
    store = SqliteStore(path, keep_usual=timedelta(hours=2))
    for number in range(20):
        close(store, number, hour(number, "x" if number < 10 else "y", a=[number]))
    numbers = [number for number, _, _ in kept(store, "a", until=20)]  # type: ignore[misc]
    assert numbers == list(range(7, 20))
    with store._db.read() as conn:
        assert conn.execute("SELECT count(*) FROM usual_layouts").fetchone()[0] == 2
    for number in range(20, 24):
        close(store, number, hour(number, "y", a=[number]))
    with store._db.read() as conn:
        assert conn.execute("SELECT count(*) FROM usual_layouts").fetchone()[0] == 1
    store.record(poll(now=T0 + timedelta(days=1)))  # no rule reads means any more
    assert kept(store, "a", until=99) == []
    with store._db.read() as conn:
        assert conn.execute("SELECT count(*) FROM usual_layouts").fetchone()[0] == 0
    store.close()


def test_what_one_quarter_hour_reads_does_not_grow(path: Path) -> None:
    """Means are found by an index: neither reading nor pruning goes through all of them."""
    store = SqliteStore(path)
    with store._db.read() as conn:
        for statement in (
            "SELECT scope, at, layout_id, packed FROM usual_means WHERE tenant = 'acme' "
            "AND scope IN (SELECT value FROM json_each('[\"queue\"]')) AND at IN (SELECT value FROM json_each('[]'))",
            "SELECT id FROM usual_means WHERE tenant = 'acme' AND scope IN (SELECT value FROM json_each('[]')) "
            "AND at < '2026' LIMIT 500",
            "SELECT 1 FROM usual_means WHERE layout_id = 1",
        ):
            plan = " ".join(str(row["detail"]) for row in conn.execute(f"EXPLAIN QUERY PLAN {statement}"))
            assert "SCAN usual_means" not in plan
    store.close()


@pytest.mark.parametrize(
    "damage", ["UPDATE usual_means SET packed = x'0011'", "UPDATE usual_layouts SET entities = x'0011'"]
)
def test_damaged_means_are_a_store_error(path: Path, damage: str) -> None:
    """The sentence says what cannot be read."""
    store = SqliteStore(path)
    close(store, 0, hour(0, "x", a=[1]))
    with store._db.write() as conn:
        conn.execute(damage)
    with pytest.raises(StoreError, match=r"means .* cannot be read"):
        list(store.means("acme", {QUEUE: frozenset("a")}, [T0]))
    store.close()
