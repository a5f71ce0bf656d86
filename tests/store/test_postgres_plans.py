"""No statement of the hot path reads more pages of PostgreSQL as history grows, or what is open, however it is planned.

As tests/store/test_plans.py for SQLite, and with the same turns. The plans depend on what is in the tables, so there is
a history, and the statements are run. psycopg prepares what it runs often, and from its sixth run on the server may
take one plan for all parameters: so a statement is also run that often.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest

from alertbot.alerts.delivery import Claimed
from alertbot.store.postgres import migrations
from alertbot.store.postgres.database import Connection
from alertbot.store.postgres.dialect import translated
from alertbot.store.postgres.store import PostgresStore
from alertbot.store.sql.connection import Parameters
from tests.store.build import ME, at, begins, edits, ends, firing, new_value, notice, one, poll, post, posts
from tests.store.postgres import address_of, empty_store, run
from tests.store.test_plans import GROW, _turns

GROWS = GROW | {"card_alerts"}
HISTORY = 20_000
"""Alerts that ended, as many cards, twice as many notices: their tables have thousands of pages."""
OPEN = 10_000
"""Open alerts of other tenants, with cards that show what they should."""
MAX_PAGES = 100
"""What a statement may read: measured, the most is 37. To read any of the tables as a whole is 400 or more."""


@pytest.fixture(scope="module")
def store() -> Iterator[PostgresStore]:
    made = empty_store()
    made._max_messages = 2
    yield made
    made.close()


@contextmanager
def _hearing() -> Iterator[dict[str, Parameters]]:
    """The statements that are run, with their parameters."""
    found: dict[str, Parameters] = {}
    execute, executemany, execute_each = Connection.execute, Connection.executemany, Connection.execute_each

    def note(self: Connection, sql: str, parameters: Parameters = (), /) -> psycopg.Cursor[Any]:
        found.setdefault(sql, parameters)
        return execute(self, sql, parameters)

    def note_many(self: Connection, sql: str, rows: Iterable[Parameters], /) -> None:
        for row in (rows := list(rows))[:1]:
            found.setdefault(sql, row)
        executemany(self, sql, rows)

    def note_each(self: Connection, sql: str, rows: Sequence[Parameters], /) -> list[list[Any]]:
        for row in rows[:1]:
            found.setdefault(sql, row)
        return execute_each(self, sql, rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "execute", note)
        patch.setattr(Connection, "executemany", note_many)
        patch.setattr(Connection, "execute_each", note_each)
        yield found


@pytest.fixture(scope="module")
def heard(store: PostgresStore) -> dict[str, Parameters]:
    """The statements of turns, delivery and answers, with their parameters; afterwards there is a history."""
    with _hearing() as found:
        _turns(store)  # type: ignore[arg-type]  # it uses no more than any store has
        _answers(store)
    with psycopg.connect(store._db._server.info, autocommit=True) as conn:
        _grow(conn, _HISTORY, HISTORY)
        conn.execute("VACUUM ANALYZE")
    return found


def _answers(store: PostgresStore) -> None:
    """What `status`, /readyz and the pages read."""
    store.overdue_since(at(600))
    for read in (store.feeds, store.heads, store.silences, store.latched_alerts, store.names, store.people):
        read()
    store.ended(at(0))
    store.rises("acme", at(0))
    store.latched("acme")
    store.fired(["longest-wait"], at(0))
    alert = store.alerts("acme")[0]
    list(store.values("acme", alert.key, "waiting.rt", at(0), at(60)))
    store.notices_of(alert.id)


_WHEN = """to_char(TIMESTAMP '2025-06-01' + g * INTERVAL '30 seconds', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
_TENANT = "CASE WHEN g % 2 = 0 THEN 'acme' ELSE 't' || g % 50 END"
_Rows = Sequence[tuple[str, str, int, Mapping[str, str]]]
"""Of each table: which row to copy, how often for each of a number `g`, and what differs, as expressions."""
_HISTORY: _Rows = (
    (
        "alerts",
        "ended_at IS NOT NULL",
        1,
        {"id": "1000 + g", "tenant": _TENANT, "rule": "'rule-' || g % 20", "entity_id": "'e' || g % 200"}
        | {"fired_at": _WHEN, "ended_at": _WHEN, "muted": "NULL"},
    ),
    (
        "cards",
        "ended_at IS NOT NULL",
        1,
        {"id": "1000 + g", "tenant": _TENANT, "group_key": "'alert:' || 1000 + g", "ended_at": _WHEN}
        | {"channel": "'#c' || g % 20", "wanted_channel": "'#c' || g % 20", "state": "'posted'", "version": "3"}
        | {"sent_version": "3", "outdated_since": "NULL", "posted_channel_id": "'C' || g % 20", "posted_ts": "g"},
    ),
    ("card_alerts", "TRUE", 1, {"card_id": "1000 + g", "alert_id": "1000 + g"}),
    (
        "notices",
        "state = 'delivered'",
        2,
        {"id": "'old' || g", "tenant": _TENANT, "alert_id": f"1001 + g % {HISTORY}", "card_id": f"1001 + g % {HISTORY}"}
        | {"channel": "'#c' || g % 20", "at": _WHEN, "settled_at": _WHEN, "rowid": "10000 + g", "lead": "NULL"},
    ),
    (
        "recorded_polls",
        "key_frame",
        4,
        {"id": "1000 + g", "tenant": _TENANT, "at": _WHEN, "key_frame": "g % 20 = 0", "layout_id": "1000 + g % 200"},
    ),
    ("recorded_layouts", "TRUE", 1, {"id": "1000 + g", "tenant": _TENANT, "digest": "'d' || g"}),
    (
        "fallback_posts",
        "TRUE",
        1,
        {"id": "'f' || g", "alert_id": "1000 + g", "state": "'sent'", "closed": "1", "decided_at": _WHEN}
        | {"settled_at": _WHEN, "rowid": "1000 + g"},
    ),
)


def _grow(conn: psycopg.Connection[Any], rows: _Rows, number: int) -> None:
    """Add so many rows, each like one that is there."""
    conn.execute(f"SET search_path = {migrations.SCHEMA}")
    conn.execute("SET session_replication_role = replica")  # references are not checked row by row
    for table, like, times, values in rows:
        names = [column.name for column in conn.execute(f"SELECT * FROM {table} LIMIT 0").description or ()]
        row = ", ".join(values.get(name, f"t.{name}") for name in names)
        added = conn.execute(
            f"INSERT INTO {table} ({', '.join(names)}) SELECT {row} FROM {table} t, "
            f"generate_series(1, {times * number}) g WHERE t.ctid = (SELECT min(ctid) FROM {table} WHERE {like})"
        )
        assert added.rowcount == times * number, table


def _pages(store: PostgresStore, sql: str, parameters: Parameters, times: int = 1) -> tuple[int, list[str]]:
    """The pages that a statement reads when it is run for the last of these times, and the tables that it scans.

    It is undone. A row that is inserted may extend its table by many pages at once: they are not counted.
    """
    values = list(parameters.values() if isinstance(parameters, Mapping) else parameters)
    names = list(parameters) if isinstance(parameters, Mapping) else []
    text = translated(sql).replace("%%", "%")
    if names:
        for place, name in enumerate(names, start=1):
            text = text.replace(f"%({name})s", f"${place}")
    else:
        for place in range(1, len(values) + 1):
            text = text.replace("%s", f"${place}", 1)
    types = f" ({', '.join(map(_type, values))})" if values else ""
    places = f" ({', '.join(['%s'] * len(values))})" if values else ""
    with psycopg.connect(store._db._server.info, autocommit=True, cursor_factory=psycopg.ClientCursor) as conn:
        conn.execute(f"SET search_path = {migrations.SCHEMA}, pg_catalog")
        conn.execute(f"PREPARE statement{types} AS {text}")
        for _ in range(times):
            with conn.transaction(force_rollback=True):
                explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE statement{places}"
                ((found,),) = conn.execute(explain, [_value(value) for value in values]).fetchall()
    plan = found[0]["Plan"]
    nodes = plan.get("Plans", ()) if plan["Node Type"] == "ModifyTable" and plan["Operation"] == "Insert" else [plan]
    read = sum(node["Shared Hit Blocks"] + node["Shared Read Blocks"] for node in nodes)
    scanned = [node["Relation Name"] for node in _nodes(plan) if node["Node Type"].endswith("Seq Scan")]
    return read, [table for table in scanned if table in GROWS]


def _value(value: object) -> object:
    """Enumerations are text."""
    return str(value) if isinstance(value, str) else value


def _type(value: object) -> str:
    kinds = {bool: "boolean", int: "bigint", float: "double precision", bytes: "bytea", type(None): "unknown"}
    return kinds.get(type(value), "text")


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from _nodes(each)


def _slow(store: PostgresStore, heard: Mapping[str, Parameters], times: int) -> dict[str, tuple[int, list[str]]]:
    """The statements that read much: with the pages, and the tables that they scan."""
    found = {}
    for sql, parameters in heard.items():
        if sql.split()[0] in ("SAVEPOINT", "RELEASE"):
            continue
        try:
            pages, scanned = _pages(store, sql, parameters, times)
        except psycopg.errors.UniqueViolation:  # the row is there: it was added by a turn
            assert sql.startswith("INSERT")
            continue
        if pages > MAX_PAGES or scanned:
            found[sql] = (pages, scanned)
    return found


@pytest.mark.parametrize("times", [1, 7], ids=["run once", "run often"])
def test_no_statement_reads_history(store: PostgresStore, heard: Mapping[str, Parameters], times: int) -> None:
    """Collected from the statements themselves, as for SQLite."""
    assert len(heard) > 100
    assert _slow(store, heard, times) == {}


_OTHER = "'t' || g % 50"
_OPEN: _Rows = (
    ("alerts", "state = 'firing'", 1, {"id": "1000 + g", "tenant": _OTHER, "entity_id": "'e' || g"}),
    (
        "cards",
        "state = 'posted'",
        1,
        {"id": "1000 + g", "tenant": _OTHER, "group_key": "'alert:' || 1000 + g", "ended_at": "NULL"}
        | {"channel": "'#c' || g % 20", "wanted_channel": "'#c' || g % 20", "version": "3", "sent_version": "3"}
        | {"urgent_version": "3", "outdated_since": "NULL", "posted_channel_id": "'C' || g % 20", "posted_ts": "g"}
        | {"picture_at": "NULL"},
    ),
    ("card_alerts", "TRUE", 1, {"card_id": "1000 + g", "alert_id": "1000 + g"}),
    (
        "notices",
        "state = 'delivered'",
        1,
        {"id": "'old' || g", "tenant": _OTHER, "alert_id": "1000 + g", "card_id": "1000 + g", "lead": "NULL"}
        | {"channel": "'#c' || g % 20", "rowid": "10000 + g"},
    ),
)


def _one_alert(store: PostgresStore) -> None:
    """A poll in which two alerts begin, and what becomes of one of them."""
    store.record(poll([begins(firing(each)) for each in "12"], [notice(firing(each)) for each in "12"], now=at(0)))
    first, *_ = posts(store, at(1))
    post(store, first, at(1))
    store.picture_due(at(20))
    store.next_due(at(20))
    store.record(poll([new_value(one(store, firing("1")), 1.0, at(200))], now=at(200)))
    for edit in edits(store, at(200)):
        assert store.claim_edit(edit, ME, at(200)) is Claimed.DONE
        store.edited(edit.card, at(200), claimant=ME)
    store.acknowledge(one(store, firing("1")).id or 0, "U1", "", at(210))
    store.record(poll([ends(one(store, firing("1")), at(215))], now=at(215)))
    store.next_due(at(215))


@pytest.mark.parametrize("times", [1, 7], ids=["run once", "run often"])
def test_no_statement_reads_what_is_open_elsewhere(times: int) -> None:
    """In a new database, which has the statistics that `tidy` gives it and no others."""
    name = f"open_{times}"
    run(f"CREATE DATABASE {name}")
    try:
        with closing(PostgresStore(address_of(name))) as store:
            with _hearing() as found:
                _one_alert(store)
            with psycopg.connect(store._db._server.info, autocommit=True) as conn:
                _grow(conn, _OPEN, OPEN)
            store.tidy()
            of_one = {sql: values for sql, values in found.items() if "alerts" in sql or "cards" in sql}
            assert len(of_one) > 20
            assert _slow(store, of_one, times) == {}
    finally:
        run(f"DROP DATABASE {name} WITH (FORCE)")


SLOW = {
    "all rows": "SELECT count(*) FROM cards WHERE state = 'posted'",
    "all of an index": "SELECT count(*) FROM alerts WHERE tenant > ?",
}


@pytest.mark.parametrize("sql", SLOW.values(), ids=SLOW)
def test_a_scan_is_noticed(store: PostgresStore, heard: Mapping[str, Parameters], sql: str) -> None:
    """This check detects a scan of a table, and of an index."""
    pages, _ = _pages(store, sql, ("",) if "?" in sql else ())
    assert pages > MAX_PAGES
