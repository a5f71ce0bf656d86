"""Leases: names that one owner holds for a time. Each function works inside the caller's transaction.

A lease says who begins new work; it cannot stop an owner that was paused between two statements. So what must happen
once (a delivery) is claimed as well, see outbox.py, and a claim holds whatever became of the lease.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from alertbot.errors import LeaseHeld
from alertbot.store.codec import stamp, unstamp
from alertbot.store.records import Service, shown_owner
from alertbot.store.sql.connection import Connection, Row

CLOCK_STEP = timedelta(seconds=2)
"""How far a clock may be set back before leases become void: less is an ordinary adjustment."""


def take(conn: Connection, path: str, names: Sequence[str], owner: str, now: datetime, ttl: timedelta) -> None:
    """Take or renew all of these, or raise LeaseHeld. `path` names the database in that error."""
    since: dict[str, str] = {}
    for name in names:
        lease = conn.execute("SELECT * FROM leases WHERE name = ?", (name,)).fetchone()
        if lease is None or not _runs(lease, now):
            continue
        if lease["owner"] != owner:
            raise _held(path, lease, now)
        since[name] = lease["since"]
    conn.executemany(
        "INSERT INTO leases (name, owner, since, until, ttl_seconds) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, since = excluded.since, until = excluded.until, "
        "ttl_seconds = excluded.ttl_seconds",
        [(name, owner, since.get(name, stamp(now)), stamp(now + ttl), ttl.total_seconds()) for name in names],
    )


def release(conn: Connection, owner: str) -> None:
    """Give up every lease of this owner. The rows stay, as of a lease that ended when it was last renewed."""
    for lease in conn.execute("SELECT * FROM leases WHERE owner = ? AND ttl_seconds > 0", (owner,)).fetchall():
        conn.execute(
            "UPDATE leases SET until = ?, ttl_seconds = 0 WHERE name = ?", (stamp(_renewed_at(lease)), lease["name"])
        )


def service(conn: Connection, now: datetime) -> Service | None:
    """Who holds the lease of delivery, or held it last: every process that polls holds that one too."""
    lease = conn.execute("SELECT * FROM leases WHERE name = 'delivery'").fetchone()
    if lease is None:
        return None
    return Service(lease["owner"], unstamp(lease["since"]), _renewed_at(lease), running=_runs(lease, now))


def _renewed_at(lease: Row) -> datetime:
    return unstamp(lease["until"]) - timedelta(seconds=lease["ttl_seconds"])


def _runs(lease: Row, now: datetime) -> bool:
    """Whether a lease is in force: not released or expired, and not written before the clock was set back."""
    latest = now + timedelta(seconds=lease["ttl_seconds"]) + CLOCK_STEP
    return lease["ttl_seconds"] > 0 and now < unstamp(lease["until"]) <= latest


def _held(path: str, lease: Row, now: datetime) -> LeaseHeld:
    since = unstamp(lease["since"])
    day = "" if since.date() == now.date() else f"{since:%Y-%m-%d} "
    return LeaseHeld(
        f"alertbot already runs on this database ({path}): host {shown_owner(lease['owner'])}, "
        f"since {day}{since:%H:%M} UTC. Stop it, or give this one its own `storage`.",
        owner=lease["owner"],
    )
