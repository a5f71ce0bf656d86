"""The workers of a database: who lives, how many tenants each may own, and with which settings each was started.

They are in a schema of their own, with the tables of Procrastinate. All in it may be deleted while no worker runs: it
says who works now, and nothing that must outlive that. Times are those of the server, since the clocks of machines
differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import metadata
from importlib.resources import files

from alertbot.errors import LeaseHeld, UsageError
from alertbot.store.postgres.database import Connection, Database
from alertbot.store.postgres.server import SCHEMA_OF_JOBS
from alertbot.store.sql import leases

GONE_AFTER = timedelta(seconds=8)
"""A worker that was not heard of for so long is taken for dead, and its tenants are given to others."""
COUNTS_FOR = timedelta(seconds=6)
"""For how long a worker counts that was not heard of: less, so that the others have room for its tenants by then."""

CHANNEL = "alertbot_changed"
"""On which workers are told that something has changed."""

_TABLE = f"{SCHEMA_OF_JOBS}.workers"
_CREATE = f"""
    CREATE TABLE {_TABLE} (
        name TEXT PRIMARY KEY,
        since TIMESTAMPTZ NOT NULL DEFAULT now(),
        seen_at TIMESTAMPTZ NOT NULL DEFAULT now(),
        max_tenants BIGINT NOT NULL,
        lag_seconds DOUBLE PRECISION NOT NULL DEFAULT 0,
        version TEXT NOT NULL,
        settings TEXT NOT NULL
    )
"""
_LIVING = f"""
    SELECT name, since, CAST(extract(EPOCH FROM now() - seen_at) AS DOUBLE PRECISION) AS seen_ago, max_tenants,
        lag_seconds, version
    FROM {_TABLE} WHERE seen_at > now() - interval '{COUNTS_FOR.total_seconds():g} seconds' ORDER BY name
"""  # noqa: S608  # constants only


@dataclass(frozen=True)
class WorkerRow:
    """A live worker. `lag_seconds`: by how much the turn that is most overdue is late."""

    name: str
    since: datetime
    seen_ago: float  # seconds
    max_tenants: int
    lag_seconds: float
    version: str


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
            before = _version(conn)
            if before == version:
                return
            if before is not None:
                if living := _living(conn):
                    raise UsageError(
                        f"{self._db.name}: {living[0].name.partition(' (')[0]} works here with {before}, and this "
                        f"worker has {version}: stop the workers of the other version first"
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
                    f"{service.owner.partition(' (')[0]}. Stop it before you start workers.",
                    owner=service.owner,
                )
            conn.execute(f"DELETE FROM {_TABLE} WHERE seen_at < now() - interval '1 hour'")  # noqa: S608
            conn.execute(
                f"INSERT INTO {_TABLE} (name, max_tenants, version, settings) VALUES (?, ?, ?, ?)",  # noqa: S608
                (name, max_tenants, version, settings),
            )

    def beat(self, name: str, lag_seconds: float) -> bool:
        """Say that this worker lives. False where it was taken for dead for so long that it is no longer known."""
        with self._db.write(tenant=f"worker {name}") as conn:
            return (
                conn.execute(
                    f"UPDATE {_TABLE} SET seen_at = now(), lag_seconds = ? WHERE name = ?",  # noqa: S608
                    (lag_seconds, name),
                ).rowcount
                == 1
            )

    def notify(self) -> None:
        """Wake all workers of the database that listen."""
        with self._db.read() as conn:
            conn.execute(f"NOTIFY {CHANNEL}")

    def leave(self, name: str) -> None:
        """Be a worker no longer."""
        with self._db.write(tenant=f"worker {name}") as conn:
            conn.execute(f"DELETE FROM {_TABLE} WHERE name = ?", (name,))  # noqa: S608

    def living(self) -> Sequence[WorkerRow]:
        """The workers that live, by name."""
        with self._db.read() as conn:
            return _living(conn) if _version(conn) is not None else []

    def settings(self) -> Mapping[str, str]:
        """With which settings each worker that lives was started, as it said when it joined."""
        with self._db.read() as conn:
            names = [each.name for each in _living(conn)]
            rows = conn.execute(
                f"SELECT name, settings FROM {_TABLE} WHERE name IN (SELECT value FROM json_each(?))",  # noqa: S608
                (json.dumps(names),),
            ).fetchall()
        return {row["name"]: row["settings"] for row in rows}

    def owned(self) -> Mapping[str, int]:
        """How many tenants each worker owns, those of dead ones included."""
        with self._db.read() as conn:
            rows = conn.execute("SELECT worker, count(*) FROM owners WHERE worker <> '' GROUP BY worker").fetchall()
        return {row[0]: row[1] for row in rows}


def refuse_beside_workers(conn: Connection, database: str) -> None:
    """Raise LeaseHeld while workers live: a single process must not poll what they poll."""
    if _version(conn) is None:
        return
    if living := _living(conn):
        raise LeaseHeld(
            f"workers run on this database ({database}), such as {living[0].name.partition(' (')[0]}. Stop them first, "
            "or start this one as `alertbot worker` too.",
            owner=living[0].name,
        )


def _version(conn: Connection) -> str | None:
    """The comment of the schema; None where there is none."""
    row = conn.execute(
        "SELECT obj_description(to_regnamespace(?), 'pg_namespace') WHERE to_regclass(?) IS NOT NULL",
        (SCHEMA_OF_JOBS, _TABLE),
    ).fetchone()
    return None if row is None else str(row[0] or "")


def _living(conn: Connection) -> list[WorkerRow]:
    rows = conn.execute(_LIVING).fetchall()
    return [WorkerRow(*row) for row in rows]
