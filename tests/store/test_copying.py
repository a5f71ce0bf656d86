"""A database copied to another one: all rows, once, and only into an empty one or its own copy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from alertbot.errors import StoreError, UsageError
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level
from alertbot.store.postgres import migrations
from alertbot.store.postgres.store import PostgresStore
from alertbot.store.sql import copying
from alertbot.store.sql.copying import TABLES, copy
from alertbot.store.sql.store import SqlStore
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import at, begin, begin_posted, begins, firing, notice, one, ops, poll, snapshot
from tests.store.postgres import empty_store, without_statistics


@pytest.fixture
def postgres() -> Iterator[PostgresStore]:
    made = empty_store()
    yield made
    made.close()


@pytest.fixture
def filled(path: Path) -> Iterator[SqliteStore]:
    """A SQLite file with rows in most tables, and ids that were given and are gone."""
    with closing(SqliteStore(path)) as store:
        begin_posted(store, firing("1", entity_name="Sales\0EU"))
        begin(store, firing("2"), channel="#other")
        shared = [notice(firing(each), channel="#x", group="rule:x", now=at(45)) for each in ("6", "7")]
        store.record(
            poll(
                [begins(firing(each)) for each in ("6", "7")],
                shared,
                snapshots={Scope.QUEUE: snapshot()},
                failures={Scope.AGENT: "503"},
            )
        )
        store.acknowledge(one(store, firing("1")).id or 0, "U1", "", at(2))
        store.add_notices([ops("no data")])
        store.note_name("U1", "Ann")
        store.hold_channel("#x", at(60))
        store.take_leases(["delivery"], "me", at(0), timedelta(seconds=30))
        assert store.decide_fallback(list(Level), timedelta(minutes=2), lambda new: new.id, at(500))[0] > 0
        yield store


def rows(store: SqlStore) -> dict[str, list[dict[str, object]]]:
    with store._db.read() as conn:
        return {table.name: list(copying._between(conn, table, None, None).values()) for table in TABLES}


def test_all_tables_are_copied() -> None:
    """But for what says who does what now, which is no matter of another database."""
    left = ("owners", "claims")
    assert [table.name for table in TABLES] == [table for table in migrations.TABLES if table not in left]


def test_there_and_back(filled: SqliteStore, postgres: PostgresStore, tmp_path: Path) -> None:
    """Every row and value, the order of arrival, and the ids that may not be given again; the source is untouched."""
    before = rows(filled)
    copied = copy(filled._db, postgres._db)
    assert copied.rows == copied.added == sum(map(len, before.values()))
    assert rows(postgres) == before
    assert without_statistics(postgres) == set()
    assert len([table for table, found in before.items() if found]) >= 14
    with closing(SqliteStore(tmp_path / "back.db")) as back:
        assert copy(postgres._db, back._db) == copied
        assert rows(back) == before == rows(filled)
        with closing(sqlite3.connect(tmp_path / "back.db")) as conn:
            assert conn.execute("PRAGMA foreign_key_check").fetchall() == []
        assert [each.id for each in back.alerts()] == [each.id for each in filled.alerts()]
    assert postgres.notices_of(None) == filled.notices_of(None) != []
    assert begin(postgres, firing("9"), at(900)).id == begin(filled, firing("9"), at(900)).id == 5


def test_a_second_time_copies_nothing(filled: SqliteStore, postgres: PostgresStore) -> None:
    first = copy(filled._db, postgres._db)
    second = copy(filled._db, postgres._db)
    assert (second.rows, second.added) == (first.rows, 0)


def test_an_interrupted_copy_goes_on(
    filled: SqliteStore, postgres: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any table: what was copied stays, and what is missing is added."""
    monkeypatch.setattr(copying, "_PAGE", 1)

    def stop(table: str, done: int) -> None:
        if (table, done) == ("notices", 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(filled._db, postgres._db, stop)
    assert len(postgres.alerts()) == 4
    with pytest.raises(StoreError, match="has only a part of another database: `alertbot migrate-storage` was"):
        postgres.check_complete()
    filled.check_writable()  # that is counted, and is no difference
    copied = copy(filled._db, postgres._db)
    postgres.check_complete()
    assert 0 < copied.added < copied.rows
    assert rows(postgres) == rows(filled)


def test_a_database_with_other_data(filled: SqliteStore, postgres: PostgresStore) -> None:
    """Nothing is written to it."""
    begin(postgres, firing("other"))
    before = rows(postgres)
    with pytest.raises(UsageError, match=r"has data that is not a copy of the other database \(in feeds\)"):
        copy(filled._db, postgres._db)
    assert rows(postgres) == before


def test_a_copy_that_was_used_since(filled: SqliteStore, postgres: PostgresStore) -> None:
    """What happened in it is not overwritten."""
    copy(filled._db, postgres._db)
    begin(postgres, firing("9"), at(900))
    with pytest.raises(UsageError, match="has data that is not a copy"):
        copy(filled._db, postgres._db)
    assert len(postgres.alerts()) == 5


def test_a_notice_whose_lead_came_later(filled: SqliteStore, postgres: PostgresStore) -> None:
    """Rows of one table may refer to each other in any order, in both directions."""
    with filled._db.write() as conn:
        first, *_, last = conn.execute("SELECT id FROM notices ORDER BY rowid").fetchall()
        conn.execute("UPDATE notices SET lead = ? WHERE id = ?", (last["id"], first["id"]))
    copy(filled._db, postgres._db)
    assert rows(postgres)["notices"] == rows(filled)["notices"]
