"""SqliteStore: all roles of the store in one SQLite file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from alertbot.store.sql import budget
from alertbot.store.sql.store import SqlStore
from alertbot.store.sqlite.database import Database


class SqliteStore(SqlStore):
    """The store in one SQLite file (":memory:": no file). It is created and migrated when it is opened.

    Safe to use from several threads at once, and beside other processes on the same file. Raises StoreError, here
    and in every method: cannot be opened or written, not a database, not alertbot's, of a newer version, locked for
    longer than `busy_timeout` (seconds), disk full, damaged. `synchronous` is SQLite's: FULL or NORMAL.
    """

    _db: Database

    def __init__(
        self,
        path: str | Path,
        *,
        synchronous: str = "FULL",
        busy_timeout: float = 5.0,
        create: bool = True,
        reading: bool = False,
        keep_polls: timedelta = timedelta(days=8),
        keep_usual: timedelta = timedelta(weeks=8),
        max_messages: int = budget.UNLIMITED,
        timezone: str = "UTC",
        initials: bool = False,
    ) -> None:
        """`create` False: a file that does not exist is a StoreError. The others: see `SqlStore`.

        `reading`: opened to be read, which a user who may not write the file can do too; it is not created.
        """
        super().__init__(
            Database(str(path), synchronous=synchronous, busy_timeout=busy_timeout, create=create, reading=reading),
            keep_polls=keep_polls,
            keep_usual=keep_usual,
            max_messages=max_messages,
            timezone=timezone,
            initials=initials,
        )
