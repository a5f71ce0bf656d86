"""The workers of a database: which are alive, how many tenants each may own, and the settings that each started with.

They are in a schema of their own, with the tables of Procrastinate. All of it may be deleted while no worker runs: it
describes only workers that are running. Times are those of the server, since the clocks of machines
differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from importlib import metadata
from importlib.resources import files
from typing import Any

import psycopg

from alertbot.errors import LeaseHeld, UsageError
from alertbot.store.postgres.database import Database
from alertbot.store.postgres.living import COUNTS, ROWS, TABLE, WorkerRow, living, version_of_jobs
from alertbot.store.postgres.migrations import SCHEMA, newest
from alertbot.store.postgres.server import SCHEMA_OF_JOBS
from alertbot.store.records import shown_owner
from alertbot.store.sql import leases

GONE_AFTER = timedelta(seconds=8)
"""A worker without a heartbeat for this long is presumed dead, and its tenants are given to others."""

CHANNEL = "alertbot_changed"
"""The channel of PostgreSQL that notifies workers of changes."""

_CREATE = f"""
    CREATE TABLE {TABLE} (
        name TEXT PRIMARY KEY,
        since TIMESTAMPTZ NOT NULL DEFAULT now(),
        seen_at TIMESTAMPTZ NOT NULL DEFAULT now(),
        max_tenants BIGINT NOT NULL,
        lag_seconds DOUBLE PRECISION NOT NULL DEFAULT 0,
        version TEXT NOT NULL,
        settings TEXT NOT NULL
    )
"""
# What this statement reads is from before its own UPDATE. A worker whose tables a newer version has upgraded must not
# count as alive: it can store nothing, and would keep its tenants from workers that can.
_BEAT = f"""
    WITH beaten AS (
        UPDATE {TABLE} SET seen_at = now(), lag_seconds = %(lag)s
        WHERE name = %(name)s AND (SELECT max(step) FROM {SCHEMA}.migrations) <= {newest()} RETURNING name
    )
    {ROWS} WHERE ({COUNTS} OR name = %(name)s) AND EXISTS (SELECT 1 FROM beaten) ORDER BY name
"""  # noqa: S608  # constants only


class Workers:
    """The table of workers of one database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def create(self) -> None:
        """Create the schema with its tables, or create it again where it is of another version of Procrastinate.

        Raises UsageError where that cannot be done because workers of the other version live, and StoreError.
        """
        version = f"procrastinate {metadata.version('procrastinate')}"
        with self._db.write() as conn:
            before = version_of_jobs(conn)
            if before == version:
                return
            if before is not None:
                if others := living(conn):
                    raise UsageError(
                        f"{self._db.name}: {shown_owner(others[0].name)} uses {before}, and this worker has "
                        f"{version}: stop the workers of the other version first"
                    )
                conn.execute(f"DROP SCHEMA {SCHEMA_OF_JOBS} CASCADE")
            conn.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA_OF_JOBS}")
            conn.execute(f"SET LOCAL search_path = {SCHEMA_OF_JOBS}, pg_catalog")
            conn.run_script(files("procrastinate.sql").joinpath("schema.sql").read_text(encoding="utf-8"))
            conn.execute(_CREATE)
            conn.execute(f"COMMENT ON SCHEMA {SCHEMA_OF_JOBS} IS '{version}'")

    def join(self, name: str, max_tenants: int, version: str, settings: str, now: datetime) -> None:
        """Become one of the workers. Raises LeaseHeld while a single process holds the lease of the database."""
        with self._db.write() as conn:
            service = leases.service(conn, now)
            if service is not None and service.running:
                raise LeaseHeld(
                    f"alertbot already runs as a single process on this database ({self._db.name}): "
                    f"{shown_owner(service.owner)}. Stop it before you start workers.",
                    owner=service.owner,
                )
            conn.execute(f"DELETE FROM {TABLE} WHERE seen_at < now() - interval '1 hour'")  # noqa: S608
            conn.execute(
                f"INSERT INTO {TABLE} (name, max_tenants, version, settings) VALUES (?, ?, ?, ?)",  # noqa: S608
                (name, max_tenants, version, settings),
            )

    def notify(self) -> None:
        """Wake all workers of the database that listen."""
        with self._db.read() as conn:
            conn.execute(f"NOTIFY {CHANNEL}")

    def leave(self, name: str, within: float) -> None:
        """Stop being a worker, and own nothing. `within`: seconds to wait for others that write."""
        with self._db.write(within=within, tenant=f"worker {name}") as conn:
            conn.execute("UPDATE owners SET worker = '' WHERE worker = ?", (name,))
            conn.execute(f"DELETE FROM {TABLE} WHERE name = ?", (name,))  # noqa: S608

    def living(self) -> Sequence[WorkerRow]:
        """The workers that live, by name."""
        with self._db.read() as conn:
            return living(conn)

    def settings(self) -> Mapping[str, str]:
        """With which settings each worker that lives was started, as it said when it joined."""
        with self._db.read() as conn:
            names = [each.name for each in living(conn)]
            rows = conn.execute(
                f"SELECT name, settings FROM {TABLE} WHERE name IN (SELECT value FROM json_each(?))",  # noqa: S608
                (json.dumps(names),),
            ).fetchall()
        return {row["name"]: row["settings"] for row in rows}


class Pulse:
    """The heartbeat of a worker, on a connection of its own and without the locks of those that write.

    A worker that has much to do, or that waits for another one, must not be presumed dead because of that.
    """

    def __init__(self, address: str, name: str) -> None:
        self._address, self._name = address, name
        self._conn: psycopg.AsyncConnection[tuple[Any, ...]] | None = None

    async def connect(self) -> None:
        """Connect, if not connected. Raises psycopg.Error, at once while the server is down."""
        if self._conn is None:
            self._conn = await psycopg.AsyncConnection.connect(self._address, autocommit=True)
            # A beat that is lost with a crash of the server is followed by the next one.
            await self._conn.execute(f"SET synchronous_commit = off; SET search_path = {SCHEMA_OF_JOBS}, pg_catalog")

    async def beat(self, lag_seconds: float, worker_id: int | None) -> Sequence[WorkerRow]:
        """Report that this worker is alive; the live workers, by name, with this one.

        `worker_id`: what it is called in the queue of jobs, where it has begun to take some.

        An empty list if it is no longer known, since it was silent for more than an hour, or if a newer version
        has upgraded the tables. Raises psycopg.Error; the next call connects again.
        """
        try:
            await self.connect()
            assert self._conn is not None
            if worker_id is not None:
                await self._conn.execute("SELECT procrastinate_update_heartbeat_v1(%s)", (worker_id,))
            cursor = await self._conn.execute(_BEAT.encode(), {"lag": lag_seconds, "name": self._name})
            return [WorkerRow(*row) for row in await cursor.fetchall()]
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connection; `beat` opens another one."""
        conn, self._conn = self._conn, None
        if conn is not None:
            await conn.close()
