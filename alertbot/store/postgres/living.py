"""Which workers of a database are alive, and what must not be done while they are.

They are in a schema of their own, with the tables of Procrastinate. Times are those of the server, since the clocks of
machines differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from alertbot import __version__
from alertbot.errors import LeaseHeld, OldVersionRuns
from alertbot.store.postgres.migrations import SCHEMA
from alertbot.store.postgres.server import SCHEMA_OF_JOBS
from alertbot.store.records import shown_owner
from alertbot.store.sql import leases
from alertbot.store.sql.connection import Connection

TABLE = f"{SCHEMA_OF_JOBS}.workers"
COUNTS_FOR = timedelta(seconds=6)
"""A worker counts as alive for this long after its last heartbeat. Its tenants are given away a little later
(`GONE_AFTER` of workers.py), so the others have room for them by then."""

ROWS = f"""
    SELECT name, since, CAST(extract(EPOCH FROM now() - seen_at) AS DOUBLE PRECISION) AS seen_ago, max_tenants,
        lag_seconds, version
    FROM {TABLE}
"""  # noqa: S608  # constants only
COUNTS = f"seen_at > now() - interval '{COUNTS_FOR.total_seconds():g} seconds'"
_LIVING = f"{ROWS} WHERE {COUNTS} ORDER BY name"
_NAMED = 3  # workers that a message names; it counts the others


@dataclass(frozen=True)
class WorkerRow:
    """A live worker. `lag_seconds`: by how much the turn that is most overdue is late."""

    name: str
    since: datetime
    seen_ago: float  # seconds
    max_tenants: int
    lag_seconds: float
    version: str


def version_of_jobs(conn: Connection) -> str | None:
    """The comment of the schema, which is the version of Procrastinate; None where there is no table of workers."""
    row = conn.execute(
        "SELECT obj_description(to_regnamespace(?), 'pg_namespace') WHERE to_regclass(?) IS NOT NULL",
        (SCHEMA_OF_JOBS, TABLE),
    ).fetchone()
    return None if row is None else str(row[0] or "")


def living(conn: Connection) -> Sequence[WorkerRow]:
    """The live workers, by name."""
    if version_of_jobs(conn) is None:
        return []
    return [WorkerRow(*row) for row in conn.execute(_LIVING).fetchall()]


def refuse_beside_workers(conn: Connection, database: str) -> None:
    """Raise LeaseHeld while workers are alive: a single process must not poll what they poll."""
    if workers := living(conn):
        raise LeaseHeld(
            f"workers are running on this database ({database}), such as {shown_owner(workers[0].name)}. Stop "
            "them first, or use `alertbot worker` instead.",
            owner=workers[0].name,
        )


def refuse_upgrade(conn: Connection, database: str) -> None:
    """Raise OldVersionRuns while a process uses these tables, which have to be upgraded.

    Every such process is of an older version: one of this version would have upgraded them. To be called under the
    lock under which workers join and leases are taken, so none begins between this and the upgrade.
    """
    conn.execute(f"SET LOCAL search_path = {SCHEMA}, pg_catalog")
    if workers := living(conn):
        named = ", ".join(f"{shown_owner(each.name)} ({each.version})" for each in workers[:_NAMED])
        more = f" and {len(workers) - _NAMED} more" if len(workers) > _NAMED else ""
        raise OldVersionRuns(
            f"alertbot {__version__} did not upgrade {database}, because workers of an older version are running on "
            f"it: {named}{more}",
            "stop all of them, then start the new version (docs/scale.md, Upgrading workers). A killed worker "
            f"counts as alive for {COUNTS_FOR.total_seconds():g} s",
        )
    (now,) = conn.execute("SELECT now()").fetchone()
    service = leases.service(conn, now)
    if service is not None and service.running:
        raise OldVersionRuns(
            f"alertbot {__version__} did not upgrade {database}, because an older version is running on it: "
            f"{shown_owner(service.owner)}",
            "stop it, then start the new version (docs/deploy.md, Upgrading). A killed one holds its "
            "lease for up to 30 s",
        )
