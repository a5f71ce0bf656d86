"""A consistent copy of a database while other processes write to it.

With SQLite's backup API, in one read transaction: in WAL mode that sees one state and keeps no writer waiting, and the
copy does not begin again when something is written, as it would between two transactions. VACUUM INTO would do as well;
it renumbers rows where a table has no key of its own, and cannot say how far it is.

The copy gets its name when it is complete and checked: a backup that was interrupted leaves nothing under that name.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from alertbot.errors import NewerDatabase, StoreError, UsageError
from alertbot.store.sqlite.migrations import applied_steps, unknown_steps

PAGES_A_STEP = 500
BUSY_TIMEOUT_S = 5.0


def back_up(database: Path, target: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> int:
    """Copy `database` to `target`, which must not exist; the number of bytes of the copy.

    `progress` is called with the pages that are copied, and of how many. The database is not changed, nor brought up to
    date. Raises UsageError where the target cannot be one, and StoreError where the database cannot be read or the copy
    not be written; then no file is left behind.
    """
    target = target.absolute()
    _check_target(target)
    if not database.exists():
        raise StoreError(f"{database}: there is no database yet; `alertbot run` or `alertbot poll` creates it")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with _reading(database) as source:
            _refuse(source, database)
            _check_space(source, target)
            _copy(source, part, target, progress)
        _check_copy(part, target)
        os.chmod(part, os.stat(database).st_mode & 0o777)
        _name(part, target)
    finally:
        for left in (part, Path(f"{part}-journal"), Path(f"{part}-wal"), Path(f"{part}-shm")):
            with contextlib.suppress(OSError):
                left.unlink()
    return target.stat().st_size


def _check_target(target: Path) -> None:
    if target.is_dir():
        raise UsageError(f"{target} is a folder: name a file in it")
    if os.path.lexists(target):
        raise UsageError(f"{target} already exists: name another file, or remove it first")
    if not target.parent.is_dir():
        raise UsageError(f"{target}: there is no folder {target.parent}")
    if not os.access(target.parent, os.W_OK):
        raise UsageError(f"{target}: this user cannot write to the folder {target.parent}")


@contextlib.contextmanager
def _reading(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection that reads one state of the database, whatever is written meanwhile."""
    uri = f"{database.absolute().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as source:
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            yield source
    except sqlite3.Error as error:
        raise StoreError(_unreadable(error, database)) from error


def _unreadable(error: sqlite3.Error, database: Path) -> str:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"{database} is locked: another process has held the lock for {BUSY_TIMEOUT_S:g} s"
    if name.startswith("SQLITE_NOTADB"):
        return f"{database} is not a SQLite database"
    if name.startswith("SQLITE_CORRUPT"):
        return f"{database} is damaged ({error}): no consistent copy can be made"
    if name.startswith("SQLITE_CANTOPEN"):
        return f"{database} cannot be opened: this user cannot read it, or cannot write next to it"
    return f"{database} could not be read: {error}"


def _refuse(source: sqlite3.Connection, database: Path) -> None:
    applied = applied_steps(source)
    if not applied:
        raise StoreError(f"{database} is not an alertbot database: `storage` names a file of another program")
    if newer := ", ".join(unknown_steps(applied)):
        raise NewerDatabase(
            f"{database} was written by a newer alertbot (it has {newer})",
            "make the backup with that version, since this one cannot check the copy",
        )


def _check_space(source: sqlite3.Connection, target: Path) -> None:
    if not hasattr(os, "statvfs"):
        return
    pages, size = (source.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    status = os.statvfs(target.parent)
    free, needed = status.f_bavail * status.f_frsize, pages * size
    if needed > free:
        raise StoreError(
            f"{target}: the copy needs {needed / 2**20:.1f} MiB, and {free / 2**20:.1f} MiB are free: free some space, "
            "or name a file on another disk"
        )


def _copy(source: sqlite3.Connection, part: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    try:
        descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        os.close(descriptor)
        with contextlib.closing(sqlite3.connect(part)) as copy:
            source.backup(
                copy,
                pages=PAGES_A_STEP,
                progress=lambda _, remaining, total: progress(total - remaining, total),
                sleep=0,
            )
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith("SQLITE_FULL"):
            raise StoreError(f"{target} cannot be written: the disk is full") from error
        if name.startswith(("SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN")):
            raise StoreError(f"{target} cannot be written: the disk reports an error ({name})") from error
        raise
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror}") from error


def _check_copy(part: Path, target: Path) -> None:
    """Read the whole copy once. `immutable`: no files are made beside it."""
    try:
        with contextlib.closing(sqlite3.connect(f"{part.as_uri()}?immutable=1", uri=True)) as copy:
            found = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        raise StoreError(f"{target}: the copy is damaged ({found}): check both disks, and try again")


def _name(part: Path, target: Path) -> None:
    """Give the copy its name, unless a file has it by now, and let both reach the disk."""
    try:
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        try:
            os.link(part, target)
        except FileExistsError:
            raise UsageError(f"{target} already exists: name another file, or remove it first") from None
        except OSError:  # a file system without hard links
            part.rename(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # not every file system can
                os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror}") from error
