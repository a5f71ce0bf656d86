"""PostgresStore: all roles of the store in a PostgreSQL database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from alertbot.store.postgres.database import Database
from alertbot.store.postgres.living import WorkerRow, refuse_beside_workers
from alertbot.store.postgres.server import WAIT, check_may_create, exists
from alertbot.store.postgres.workers import Workers
from alertbot.store.records import Service
from alertbot.store.sql import budget
from alertbot.store.sql.store import SqlStore


class PostgresStore(SqlStore):
    """The store in a PostgreSQL database, in its schema `alertbot`, which is created and migrated when it is opened.

    Safe to use from several threads and processes at once. Raises StoreError, here and in every method: the server
    cannot be reached or refuses, the database is not alertbot's, of a newer version, locked for too long, or full.
    """

    _db: Database

    def __init__(
        self,
        address: str,
        *,
        wait: float = WAIT,
        reading: bool = False,
        keep_polls: timedelta = timedelta(days=8),
        keep_usual: timedelta = timedelta(weeks=8),
        max_messages: int = budget.UNLIMITED,
        timezone: str = "UTC",
        initials: bool = False,
    ) -> None:
        """`address`: postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with libpq's parameters after a question mark.

        `wait`: seconds to wait for the server. `reading`: opened to be read; the tables must exist then. The others:
        see `SqlStore`.
        """
        super().__init__(
            Database(address, wait=wait, reading=reading),
            keep_polls=keep_polls,
            keep_usual=keep_usual,
            max_messages=max_messages,
            timezone=timezone,
            initials=initials,
        )

    @staticmethod
    def exists(address: str) -> bool:
        """Whether this database has the tables of alertbot. Raises StoreError where it cannot be reached."""
        return exists(address)

    @staticmethod
    def check_may_create(address: str) -> None:
        """Raise StoreError where this database has no tables yet, and its user may not create them."""
        check_may_create(address)

    def take_leases(self, names: Collection[str], owner: str, now: datetime, ttl: timedelta) -> None:
        """As promised; LeaseHeld is raised while workers live, too."""
        with self._db.write() as conn:
            refuse_beside_workers(conn, self._db.name)
            super().take_leases(names, owner, now, ttl)

    def service(self, now: datetime) -> Service | None:
        """As promised; several workers are one service, named after all of them."""
        living = self.workers.living()
        if not living:
            return super().service(now)
        name = living[0].name if len(living) == 1 else f"{len(living)} workers"
        seen_at = now - timedelta(seconds=min(each.seen_ago for each in living))
        return Service(name, min(each.since for each in living), seen_at, running=True)

    @property
    def workers(self) -> Workers:
        """The workers of this database."""
        return Workers(self._db)

    def tenants_of_workers(self) -> Mapping[WorkerRow, int]:
        """The live workers, by name, and how many tenants each polls."""
        owners = Counter(each.worker for each in self.owned().values())
        return {each: owners[each.name] for each in self.workers.living()}

    @property
    def address(self) -> str:
        """How it is connected to, the password included: for a library that has connections of its own."""
        return self._db.address

    def size(self) -> int:
        """The bytes of the tables and indexes."""
        return self._db.size()
