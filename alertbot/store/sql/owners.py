"""Owners of tenants: which worker polls a tenant, as a number that rises with each change of owner.

Theory. A worker that was thought to be dead may only have been paused: stopped by a signal, or without network. It goes
on where it was, in the middle of a turn, and must decide nothing more, since another worker owns its tenant by then. So
each ownership has a number, and each transaction that records a turn names the one that it was decided under (`keep`).
The numbers are compared where they are written, in that transaction, so no clock and no lease is trusted.

With the number each turn leaves what the next owner could otherwise not know (`memory`): see `Handover` of
sources/source.py. A single process that holds the lease of its database needs no owners.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from alertbot.errors import NotOwner
from alertbot.store.codec import stamp, unstamp
from alertbot.store.records import Owned, Owner, shown_owner
from alertbot.store.sql.connection import Connection


def take(conn: Connection, tenant: str, worker: str, now: datetime) -> Owner:
    """Make this worker the owner. The next turn of the former one is refused."""
    row = conn.execute(
        "INSERT INTO owners (tenant, number, worker, since, memory) VALUES (?, 1, ?, ?, '') "
        "ON CONFLICT (tenant) DO UPDATE SET number = owners.number + 1, worker = excluded.worker, "
        "since = excluded.since RETURNING number, memory",
        (tenant, worker, stamp(now)),
    ).fetchone()
    return Owner(row["number"], row["memory"])


def keep(conn: Connection, tenant: str, owner: Owner) -> None:
    """Go on as the owner, with this memory for the next one. Raises NotOwner."""
    kept = conn.execute(
        "UPDATE owners SET memory = ? WHERE tenant = ? AND number = ?", (owner.memory, tenant, owner.number)
    )
    if kept.rowcount != 1:
        row = conn.execute("SELECT worker FROM owners WHERE tenant = ?", (tenant,)).fetchone()
        by = f" ({shown_owner(row['worker'])})" if row is not None and row["worker"] else ""
        raise NotOwner(f"{tenant} is owned by another worker now{by}")


def release(conn: Connection, tenant: str, number: int) -> None:
    """Own it no longer. The number stays in force until the next owner takes it; nothing if that has happened."""
    conn.execute("UPDATE owners SET worker = '' WHERE tenant = ? AND number = ?", (tenant, number))


def owned(conn: Connection) -> Mapping[str, Owned]:
    """Who owns which tenant, and since when."""
    rows = conn.execute("SELECT tenant, worker, since FROM owners WHERE worker <> ''").fetchall()
    return {row["tenant"]: Owned(row["worker"], unstamp(row["since"])) for row in rows}
