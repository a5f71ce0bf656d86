"""The SQLite connection: opening, transactions, threads, and the place where sqlite3's errors become StoreError."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database as SqliteUtilsDatabase
from sqlite_utils.db import TransactionError

from alertbot.errors import StoreError
from alertbot.store.sqlite.migrations import migrations, unknown_steps

MEMORY = ":memory:"
SYNCHRONOUS = ("FULL", "NORMAL")
_KEEP_WAL_BYTES = 16 * 1024 * 1024


class Database:
    """One SQLite database, used by several threads at once and beside other processes.

    One connection behind one lock. A connection for each thread would allow reads during a write, but the longest
    write is about 15 ms, an in-memory database has only one connection anyway, and one connection is closed in one
    place. Callers do what is slow (packing and unpacking columns) outside the lock.

    `synchronous`: FULL makes each commit durable when the power fails; NORMAL can lose the last ones then, never the
    file. Measured on a virtual disk: a small commit 0.17 ms with FULL, 0.03 ms with NORMAL; a poll of 1,000 entities
    x 12 keys with 500 changes 9.4 against 8.6 ms. A lost "delivered" is a card posted twice, so the default is FULL.
    """

    def __init__(self, path: str, *, synchronous: str = "FULL", busy_timeout: float = 5.0, create: bool = True) -> None:
        if synchronous not in SYNCHRONOUS:
            raise ValueError(f"synchronous is FULL or NORMAL, not {synchronous!r}")
        if not create and not Path(path).exists():
            raise _final(f"{path}: there is no database yet; `alertbot run` or `alertbot poll` creates it")
        self.path = path
        self._busy_timeout = busy_timeout
        self._lock = threading.Lock()
        with self._door():
            # isolation_level None: sqlite3 begins no transaction by itself; atomic() begins and ends them all.
            self._conn = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None, check_same_thread=False)
        try:
            with self._door():
                self._open(synchronous)
        except BaseException:
            self._conn.close()
            raise

    def _open(self, synchronous: str) -> None:
        conn = self._conn
        # Plugins of sqlite-utils that happen to be installed must not change the connection.
        self._db = SqliteUtilsDatabase(conn, recursive_triggers=False, execute_plugins=False)
        self._refuse_foreign()  # before anything is written: a wrong `storage:` must not change another program's file
        self._use_wal()
        conn.execute("PRAGMA foreign_keys = OFF")
        conn.execute(f"PRAGMA synchronous = {synchronous}")
        conn.execute(f"PRAGMA journal_size_limit = {_KEEP_WAL_BYTES}")
        if migrations.pending(self._db):
            with self._db.atomic():
                # Two processes may open a new file together: the second waits here, then finds nothing to do.
                # (A statement that changes no row still takes the write lock; no table may exist yet.)
                conn.execute("PRAGMA user_version = 0")
                migrations.apply(self._db)
        # After the steps: one of them replaces a table that others refer to.
        conn.execute("PRAGMA foreign_keys = ON")
        conn.row_factory = sqlite3.Row

    def _refuse_foreign(self) -> None:
        tables = {name for (name,) in self._conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and not migrations.applied(self._db):
            raise _final(f"{self.path} is a database of something else, not of alertbot; name another file")
        if newer := ", ".join(unknown_steps(self._db)):
            raise _final(f"{self.path} was written by a newer alertbot (it has {newer}); use that version, or newer")

    def _use_wal(self) -> None:
        # Switching to WAL needs exclusive access to the file and does not wait for it as other statements do.
        until = time.monotonic() + self._busy_timeout
        while True:
            try:
                self._conn.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as exc:
                if not _is_busy(exc) or time.monotonic() >= until:
                    raise
                time.sleep(0.02)
            else:
                return

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A transaction that reads: one consistent view, whatever other processes write meanwhile."""
        with self._lock, self._door(), self._db.atomic():
            yield self._conn

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that writes: all of it or nothing."""
        with self._lock, self._door(), self._db.atomic():
            # atomic() begins deferred. Reading first and writing then fails at once, without waiting, when another
            # process wrote in between; this takes the write lock now, and waits for it up to `busy_timeout`.
            self._conn.execute("UPDATE leases SET owner = owner WHERE 0")
            yield self._conn

    def close(self) -> None:
        """Close the connection. Closing twice is harmless."""
        with self._lock, self._door():
            self._conn.close()

    @contextmanager
    def _door(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, TransactionError) as exc:
            raise self._explain(exc) from exc

    def _explain(self, exc: Exception) -> StoreError:
        name = getattr(exc, "sqlite_errorname", "")
        path = self.path
        if _is_busy(exc):
            return StoreError(f"{path} is locked: another process has been writing to it for {self._busy_timeout:g} s")
        if name.startswith("SQLITE_FULL"):
            return StoreError(f"{path} cannot be written: the disk is full")
        if name.startswith("SQLITE_READONLY"):
            return StoreError(f"{path} cannot be written: the file or its folder is read-only for this user")
        if name.startswith("SQLITE_CANTOPEN"):
            folder = Path(path).parent
            why = "it is missing, or this user may not read or write it"
            if path != MEMORY and not folder.is_dir():
                why = f"there is no folder {folder}"
            elif Path(path).is_dir():
                why = "it is a folder, not a file"
            return StoreError(f"{path} cannot be opened: {why}")
        if name.startswith("SQLITE_NOTADB"):
            return _final(f"{path} is not a SQLite database; name another file")
        if name.startswith("SQLITE_CORRUPT"):
            return _final(f"{path} is damaged ({exc}); restore a backup, or name another file")
        if name.startswith("SQLITE_IOERR"):
            return StoreError(f"{path} could not be read or written: the disk reports an error ({name})")
        return StoreError(f"{path} could not be read or written: {exc}")


def _is_busy(exc: Exception) -> bool:
    return getattr(exc, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def _final(message: str) -> StoreError:
    """An error for which a retry cannot help."""
    error = StoreError(message)
    error.retryable = False
    return error
