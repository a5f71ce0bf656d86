"""The SQLite connection: opening, transactions, threads, and the place where sqlite3's errors become StoreError."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from threading import get_ident
from typing import TYPE_CHECKING

from alertbot.errors import NewerDatabase, StoreError
from alertbot.store.sql.connection import Parameters
from alertbot.store.sqlite.migrations import applied_steps, migrations, pending_steps, unknown_steps

if TYPE_CHECKING:
    import sqlite_utils

MEMORY = ":memory:"
SYNCHRONOUS = ("FULL", "NORMAL")
_KEEP_WAL_BYTES = 8 * 1024 * 1024
_LARGE_WAL_BYTES = 16 * 1024 * 1024

_COUNTED = ("alerts", "cards", "recorded_layouts")  # tables with AUTOINCREMENT; `alerts` counts silences too
_SMALLEST_FILE = 64 * 1024  # bytes that SQLite needs beside the database at least: the index of the WAL, and a page

_Identity = tuple[int, int]  # of a file: device and inode


class Connection(sqlite3.Connection):
    """A connection to SQLite. The statements of store/sql/ are run as they are written."""

    def execute_each(self, sql: str, parameters: Sequence[Parameters], /) -> list[list[sqlite3.Row]]:
        """The rows that one statement returns for each of these parameters."""
        return [self.execute(sql, each).fetchall() for each in parameters]

    def new_ids(self, expected: int = 1) -> Iterator[int]:
        """Short ids that were never given: alerts and silences share one sequence.

        No other transaction can give them before this one ends: it has the write lock.
        """
        row = self.execute(
            "SELECT max(seq) AS last FROM sqlite_sequence WHERE name IN ('alerts', 'silences')"
        ).fetchone()
        yield from count(int(row["last"] or 0) + 1)

    def last_ids(self) -> dict[str, int]:
        """The highest id ever given, by table; that of `alerts` is of silences too."""
        found = {row["name"]: int(row["seq"]) for row in self.execute("SELECT name, seq FROM sqlite_sequence")}
        return {**found, "alerts": max(found.get("alerts", 0), found.pop("silences", 0))}

    def set_last_ids(self, ids: Mapping[str, int]) -> None:
        """Go on after these ids."""
        here = self.last_ids()
        for table in _COUNTED:
            last = max(ids.get(table, 0), here.get(table, 0))
            self.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
            self.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, last))

    def check_references_last(self) -> None:
        """Rows may refer to rows that are added later in this transaction."""
        self.execute("PRAGMA defer_foreign_keys = ON")


class Database:
    """One SQLite database, used by several threads at once and beside other processes.

    Two connections, each behind a lock of its own: one that writes, and one that reads and never waits for a writer of
    this process or of another one. (An in-memory database has only one.) A connection for each thread would gain
    little: the longest write is about 15 ms, and two connections are closed in one place. Callers do what is slow
    (packing and unpacking columns) outside the locks.

    `synchronous`: FULL makes each commit durable if the power fails; NORMAL can lose the last ones then, never the
    file. Measured on a virtual disk: a small commit 0.17 ms with FULL, 0.03 ms with NORMAL; a poll of 1,000 entities
    x 12 keys with 500 changes 9.4 against 8.6 ms. A lost "delivered" is a card posted twice, so the default is FULL.

    A file that was deleted or replaced while it is open would take every write and keep none of them. So its device and
    inode are compared before each transaction; where they differ nothing is read or written, and what this process
    still has of the old file is saved beside it, once.

    `reading`: it is opened to be read. It need not be writable then, nor its folder; it is not created and not migrated
    where this user may not write it. A write raises StoreError there. `upgrade` False: an older database is a
    StoreError too.
    """

    def __init__(
        self,
        path: str,
        *,
        synchronous: str = "FULL",
        busy_timeout: float = 5.0,
        create: bool = True,
        reading: bool = False,
        upgrade: bool = True,
    ) -> None:
        if synchronous not in SYNCHRONOUS:
            raise ValueError(f"synchronous is FULL or NORMAL, not {synchronous!r}")
        if (reading or not create) and path != MEMORY and not os.path.exists(path):
            raise _final(f"{path}: there is no database yet; `alertbot run` or `alertbot poll` creates it")
        self.path = path
        self._busy_timeout = busy_timeout
        self._upgrade = upgrade
        self._lock = threading.Lock()
        self._writer: int | None = None  # the thread that writes
        self.written = 0
        self._identity: _Identity | None = None  # None: not compared
        self._wal_identity: _Identity | None = None  # None: not known yet
        self._saved = ""  # where the contents of a deleted or replaced file were saved, or why not
        self._open(synchronous, reading=reading)
        if path != MEMORY and not reading:
            with suppress(OSError):
                self._identity = _identity(path)

    @property
    def name(self) -> str:
        """How the database is called in messages."""
        return self.path

    def _open(self, synchronous: str, *, reading: bool) -> None:
        try:
            self._open_as(self.path, synchronous, reading=reading)
        except StoreError as error:
            cause = error.__cause__
            name = getattr(cause, "sqlite_errorname", "")
            # A WAL database whose folder may not be written cannot be opened unless some process has it open. Without
            # a WAL no process has, and the file alone is all of it.
            unwritable = name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN"))
            if not reading or not unwritable or not os.path.isfile(self.path) or _size(f"{self.path}-wal"):
                raise
            self._open_as(f"{Path(self.path).absolute().as_uri()}?immutable=1", synchronous, reading=True)

    def _open_as(self, name: str, synchronous: str, *, reading: bool) -> None:
        with self._door():
            self._conn = self._connect(name)
        try:
            with self._door():
                self._prepare(synchronous, reading=reading)
                if self.path == MEMORY:
                    self._reader, self._reader_lock = self._conn, self._lock
                else:
                    self._reader, self._reader_lock = self._connect(name), threading.Lock()
                    self._reader.row_factory = sqlite3.Row
                    self._reader.execute("PRAGMA foreign_keys = ON")
                    self._reader.execute("PRAGMA query_only = ON")
        except BaseException:
            self._conn.close()
            raise

    def _connect(self, name: str) -> Connection:
        # isolation_level None: sqlite3 begins no transaction by itself; atomic() begins and ends them all.
        return sqlite3.connect(
            name,
            timeout=self._busy_timeout,
            isolation_level=None,
            check_same_thread=False,
            uri=name.startswith("file:///"),
            factory=Connection,
        )

    def _db(self) -> sqlite_utils.Database:
        """The connection that writes, for transactions and migrations."""
        import sqlite_utils  # not at the top: commands that only read do without it, see migrations.py

        # Plugins of sqlite-utils that happen to be installed must not change the connection.
        return sqlite_utils.Database(self._conn, recursive_triggers=False, execute_plugins=False)

    def _prepare(self, synchronous: str, *, reading: bool) -> None:
        conn = self._conn
        applied = applied_steps(conn)
        # Before anything is written: a wrong `storage:` must not change the file of another program.
        self._refuse_foreign(applied)
        if not reading:
            self._use_wal()
        conn.execute("PRAGMA foreign_keys = OFF")
        conn.execute(f"PRAGMA synchronous = {synchronous}")
        conn.execute(f"PRAGMA journal_size_limit = {_KEEP_WAL_BYTES}")
        if pending_steps(applied):
            self._migrate(reading=reading)
        # After the steps: one of them replaces a table that others refer to.
        conn.execute("PRAGMA foreign_keys = ON")
        conn.row_factory = sqlite3.Row

    def _migrate(self, *, reading: bool) -> None:
        if not self._upgrade:
            raise _final(f"{self.path} was written by an older alertbot; `alertbot ask status` brings it up to date")
        try:
            with self._db().atomic():
                # Two processes may open a new file together: the second waits here, then finds nothing to do.
                # (A statement that changes no row still takes the write lock; no table may exist yet.)
                self._conn.execute("PRAGMA user_version = 0")
                migrations().apply(self._db())
        except sqlite3.OperationalError as exc:
            if reading and getattr(exc, "sqlite_errorname", "").startswith("SQLITE_READONLY"):
                raise _final(
                    f"{self.path} was written by an older alertbot, and this user may not bring it up to date; "
                    "`alertbot run` or `alertbot poll` does, as the user it belongs to"
                ) from exc
            raise

    def _refuse_foreign(self, applied: list[str]) -> None:
        tables = {name for (name,) in self._conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and not applied:
            raise _final(f"{self.path} is the database of another program; name another file")
        if newer := ", ".join(unknown_steps(applied)):
            raise NewerDatabase(
                f"{self.path} was written by a newer alertbot (it has {newer}), and was not changed",
                "install that version again, or restore a backup that this version made (docs/deploy.md, Downgrading)",
            )

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
    def read(self) -> Iterator[Connection]:
        """A transaction that reads: one consistent view, whatever is written meanwhile. It waits for no writer."""
        if self._writer == get_ident():
            with self._door():
                yield self._conn
            return
        self._check_file()
        with self._reader_lock, self._door():
            self._reader.execute("BEGIN")
            try:
                yield self._reader
            finally:
                if self._reader.in_transaction:  # an error may have ended it
                    self._reader.execute("ROLLBACK")

    def look(self) -> AbstractContextManager[Connection]:
        """For one statement that reads. The file needs a transaction for it too."""
        return self.read()

    @contextmanager
    def write(
        self, *, within: float | None = None, tenant: str | None = None
    ) -> Iterator[Connection]:  # there is one lock for all
        """A transaction that writes: all of it or nothing. `within`: seconds to wait for other writers, of any process.

        `tenant` changes nothing, since SQLite has one lock for all that writes. Without `within`, those of this
        process are waited for without a limit, and other processes for `busy_timeout`.
        In a transaction that this thread has begun it is a part of that one, and so is what this thread reads.
        """
        if self._writer == get_ident():
            with self._door(within), self._db().atomic():
                yield self._conn
            return
        self._check_file()
        if not self._lock.acquire(timeout=-1 if within is None else within):
            raise StoreError(f"{self.path} is busy: nothing else could be written to it for {within:g} s")
        try:
            with self._door(within), self._waiting(within), self._db().atomic():
                # atomic() begins deferred. Reading first and writing then fails at once, without waiting, when another
                # process wrote in between; this takes the write lock now, and waits for it.
                self._conn.execute("UPDATE leases SET owner = owner WHERE 0")
                self._writer = get_ident()
                yield self._conn
            self.written += 1
        finally:
            self._writer = None
            self._lock.release()

    @contextmanager
    def _waiting(self, within: float | None) -> Iterator[None]:
        if within is None:
            yield
            return
        self._conn.execute(f"PRAGMA busy_timeout = {round(within * 1000)}")
        try:
            yield
        finally:
            with suppress(sqlite3.Error):
                self._conn.execute(f"PRAGMA busy_timeout = {round(self._busy_timeout * 1000)}")

    def tidy(self) -> str:
        """Shorten the write-ahead log where it has grown; why it cannot be, in a sentence, or "".

        SQLite begins it again at its start when no transaction still reads from it. One that lasts for hours, in any
        process, lets it grow without a limit.
        """
        wal = f"{self.path}-wal"
        self._check_file()
        if self.path == MEMORY or _size(wal) <= _KEEP_WAL_BYTES:
            return ""
        with self._lock, self._door(0), self._waiting(0):
            self._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        size = _size(wal)
        if size <= _LARGE_WAL_BYTES:
            return ""
        return (
            f"{wal} has grown to {size / 2**20:.0f} MiB: a program has been reading {self.path} in one transaction for "
            "a long time; it shrinks when that program ends it"
        )

    def _check_file(self) -> None:
        """Raise StoreError when the open file is not the one that its path names."""
        if self._identity is None:
            return
        what = ""
        try:
            if _identity(self.path) != self._identity:
                what = "was replaced by another file"
        except FileNotFoundError:
            what = "was deleted"
        except OSError:
            return  # SQLite says what is wrong
        if not what:
            try:
                wal = _identity(f"{self.path}-wal")
            except OSError:
                wal = None
            if self._wal_identity is None:
                self._wal_identity = wal
            elif wal != self._wal_identity:
                what = "has lost its write-ahead log (the file with -wal at its end)"
        if what:
            raise _final(
                f"{self.path} {what} while alertbot was running: nothing more is decided or sent. {self._save()}, and "
                "restart alertbot"
            )

    def _save(self) -> str:
        """Save what the open file holds, once; what to do with it."""
        with self._lock:
            if not self._saved:
                copy = _unused(f"{self.path}.saved")
                try:
                    self._conn.execute("VACUUM INTO ?", (copy,))
                    # Emptied, since SQLite would apply what is left of this WAL to the file that is put in place.
                    self._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                    self._saved = f"Its last state was saved as {copy}: move that back to {self.path} to keep it"
                except sqlite3.Error as exc:
                    self._saved = f"Its last state could not be saved ({exc}): put a database in its place"
            return self._saved

    def close(self) -> None:
        """Close the connection. Closing twice is harmless."""
        if self._reader is not self._conn:
            with self._reader_lock, self._door():
                self._reader.close()  # first: the last connection to close tidies up the WAL
        with self._lock, self._door():
            self._conn.close()

    @contextmanager
    def _door(self, within: float | None = None) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise self._explain(exc, self._busy_timeout if within is None else within) from exc

    def _explain(self, exc: Exception, waited: float) -> StoreError:
        name = getattr(exc, "sqlite_errorname", "")
        path = self.path
        if _is_busy(exc):
            return StoreError(f"{path} is locked: another process has been writing to it for {waited:g} s")
        # Where there is no space for its files beside the database, SQLite calls it an error of the disk.
        if name.startswith("SQLITE_FULL") or (name.startswith("SQLITE_IOERR") and _on_full_system(Path(path).parent)):
            return StoreError(f"{path} cannot be written: the disk is full")
        if name.startswith("SQLITE_READONLY"):
            return StoreError(f"{path} cannot be written: {_why_read_only(path)}")
        if name.startswith("SQLITE_CANTOPEN"):
            folder = Path(path).parent
            why = "it is missing, or this user may not read or write it"
            if path != MEMORY and not os.path.isdir(folder):
                why = f"there is no folder {folder}"
            elif os.path.isdir(path):
                why = "it is a folder, not a file"
            elif path != MEMORY and not os.access(path if os.path.exists(path) else folder, os.W_OK):
                why = _why_read_only(path)
            return StoreError(f"{path} cannot be opened: {why}")
        if name.startswith("SQLITE_NOTADB"):
            return _final(f"{path} is not a SQLite database; name another file")
        if name.startswith("SQLITE_CORRUPT"):
            return _final(f"{path} is damaged ({exc}); restore a backup, or name another file")
        if name.startswith("SQLITE_IOERR"):
            if path != MEMORY and _on_read_only_system(Path(path).parent):
                return StoreError(f"{path} cannot be written: {_why_read_only(path)}")
            return StoreError(f"{path} could not be read or written: the disk reports an error ({name})")
        return StoreError(f"{path} could not be read or written: {exc}")


def _is_busy(exc: Exception) -> bool:
    return getattr(exc, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def _final(message: str) -> StoreError:
    """An error for which a retry cannot help."""
    error = StoreError(message)
    error.retryable = False
    return error


def _why_read_only(path: str) -> str:
    """Why this file, or a new one in its place, cannot be written."""
    folder = Path(path).parent
    if _on_read_only_system(folder):
        return "the file system is read-only: make it writable, or change `storage`"
    user = f"this user (uid {os.geteuid()})" if hasattr(os, "geteuid") else "this user"
    if os.path.exists(path) and not os.access(path, os.W_OK):
        return f"the file is read-only for {user}"
    if not os.access(folder, os.W_OK):
        return f"{user} may not write in the folder {folder}, where SQLite keeps files beside the database"
    return "the file or its folder is read-only for this user"


def _on_read_only_system(folder: Path) -> bool:
    try:
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            return True
    except (OSError, AttributeError):  # Windows has no statvfs
        pass
    # After an error of the disk, Linux may refuse every write and still list the file system as writable.
    try:
        with TemporaryFile(dir=folder):
            return False
    except OSError as exc:
        return exc.errno == errno.EROFS


def _on_full_system(folder: Path) -> bool:
    try:
        system = os.statvfs(folder)
    except (OSError, AttributeError):  # Windows has no statvfs
        return False
    return system.f_bavail * system.f_frsize < _SMALLEST_FILE


def _identity(path: str) -> _Identity:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _size(path: str) -> int:
    """The bytes of a file; 0 where there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _unused(path: str) -> str:
    """This path, or with a number at its end the first one that does not exist."""
    number, name = 1, path
    while os.path.exists(name):
        number += 1
        name = f"{path}-{number}"
    return name
