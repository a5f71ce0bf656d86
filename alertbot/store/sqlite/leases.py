"""Leases: names that one owner holds for a time. Each function works inside the caller's transaction.

A lease says who begins new work; it cannot stop an owner that was paused between two statements. So what must happen
once (a delivery) is claimed as well, see outbox.py, and a claim holds whatever became of the lease.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta

from alertbot.errors import LeaseHeld
from alertbot.store.codec import stamp, unstamp

CLOCK_STEP = timedelta(seconds=2)
"""How far a clock may be set back before leases count as written in another time: less is an ordinary adjustment."""


def take(conn: sqlite3.Connection, path: str, names: Sequence[str], owner: str, now: datetime, ttl: timedelta) -> None:
    """Take or renew all of these, or raise LeaseHeld. `path` names the database in that error."""
    since: dict[str, str] = {}
    for name in names:
        lease = conn.execute("SELECT * FROM leases WHERE name = ?", (name,)).fetchone()
        if lease is None or not _runs(lease, now):
            continue
        if lease["owner"] != owner:
            raise _held(path, lease)
        since[name] = lease["since"]
    conn.executemany(
        "INSERT OR REPLACE INTO leases (name, owner, since, until, ttl_seconds) VALUES (?, ?, ?, ?, ?)",
        [(name, owner, since.get(name, stamp(now)), stamp(now + ttl), ttl.total_seconds()) for name in names],
    )


def release(conn: sqlite3.Connection, owner: str) -> None:
    """Give up every lease of this owner."""
    conn.execute("DELETE FROM leases WHERE owner = ?", (owner,))


def _runs(lease: sqlite3.Row, now: datetime) -> bool:
    """Whether a lease is in force: it has not expired, and was not written before the clock was set back."""
    latest = now + timedelta(seconds=lease["ttl_seconds"]) + CLOCK_STEP
    return now < unstamp(lease["until"]) <= latest


def _held(path: str, lease: sqlite3.Row) -> LeaseHeld:
    since, until = (f"{unstamp(lease[name]):%Y-%m-%d %H:%M:%S} UTC" for name in ("since", "until"))
    return LeaseHeld(
        f"{path} is polled by {lease['owner']} since {since}, at least until {until}; "
        "only one poller a database: stop that one, or give this one another `storage`",
        owner=lease["owner"],
    )
