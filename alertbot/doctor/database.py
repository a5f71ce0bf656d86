"""The database: whether it can be opened and written, its file system, the space that is left, and its log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from alertbot.config.settings import Settings
from alertbot.doctor.finding import Finding, fine, note, problem
from alertbot.errors import StoreError, UsageError
from alertbot.rules.units import format_duration
from alertbot.rules.words import count
from alertbot.service.databases import open_to_read, postgres_store
from alertbot.store.records import Service
from alertbot.store.sql.store import SqlStore

MIN_FREE = 200 * 1024 * 1024
MIN_FREE_INODES = 1000
LARGE_WAL = 16 * 1024 * 1024
LOCK_WITHIN_S = 3.0
"""Seconds to wait for the right to write."""

_NETWORKED = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs", "fuse.glusterfs")
_IN_MEMORY = ("tmpfs", "ramfs")


def check_database(settings: Settings, now: datetime) -> tuple[list[Finding], Service | None]:
    """The findings, and the service that uses the database, if one does."""
    if settings.server:
        return _check_server(settings, now)
    path = settings.path(settings.storage).absolute()
    findings = list(_of_disk(path))
    if not path.exists():
        findings.append(_of_folder(path))
        return findings, None
    try:
        store = open_to_read(settings)
    except StoreError as error:
        findings.append(problem("database", error.finding, error.remedy or _remedy(error.finding, path)))
        return findings, None
    try:
        service = store.service(now)
        findings += _of_file(path, store, service, now)
    except StoreError as error:
        findings.append(problem("database", str(error), _remedy(str(error), path)))
        service = None
    finally:
        store.close()
    return findings, service


def _check_server(settings: Settings, now: datetime) -> tuple[list[Finding], Service | None]:
    """The same for a PostgreSQL server. Its tables may not exist yet: `run` makes them."""
    name = settings.database()
    try:
        if not postgres_store().exists(settings.server):
            postgres_store().check_may_create(settings.server)
            return [fine("database", f"{name} has no tables yet; `alertbot run` creates them")], None
        with closing(open_to_read(settings)) as store:
            assert isinstance(store, postgres_store())
            service, polled = store.service(now), store.tenants_of_workers()
            store.check_writable(within=LOCK_WITHIN_S)
    except UsageError as error:
        return [problem("database", str(error), "install the extra, or name a file in `storage`")], None
    except StoreError as error:
        return [problem("database", error.finding, error.remedy or _remedy_of_server(error.finding))], None
    findings = [fine("database", f"{name} can be written"), *_of_service(service, now)]
    left = len(settings.tenants) - sum(polled.values())
    if polled and left > 0:
        said = f"{left} of {count(len(settings.tenants), 'tenant')} not polled by any worker"
        findings.append(problem("workers", said, "start another worker, or raise --tenants: see `alertbot workers`"))
    return findings, service


def _remedy_of_server(why: str) -> str:
    if "was interrupted" in why:
        return "run `alertbot migrate-storage` with the same arguments again"
    if "another process has been writing" in why:
        return "find the session with `SELECT * FROM pg_locks WHERE locktype = 'advisory'`, and end its program"
    return "correct `storage`, or have the owner of the server do what the sentence says"


def _of_file(path: Path, store: SqlStore, service: Service | None, now: datetime) -> Iterator[Finding]:
    size = path.stat().st_size
    try:
        store.check_writable(within=LOCK_WITHIN_S)
    except StoreError as error:
        yield problem("database", str(error), _remedy(str(error), path))
    else:
        yield fine("database", f"{path} can be written, {_megabytes(size)}")
    try:
        wal = os.stat(f"{path}-wal").st_size
    except OSError:
        wal = 0
    if wal > LARGE_WAL:
        yield problem(
            "database: write-ahead log",
            f"{path}-wal has grown to {_megabytes(wal)}: a program has kept one read transaction open for long",
            f"find the program with `fuser -v {path}` and stop it; the log then shrinks by itself",
        )
    yield from _of_service(service, now)


def _of_service(service: Service | None, now: datetime) -> Iterator[Finding]:
    if service is None:
        yield note("service", "no service has used this database yet", "start `alertbot run`")
    elif service.running:
        yield fine("service", f"running as {service.owner}, for {format_duration(now - service.since)}")
    else:
        ago = format_duration(max(now - service.seen_at, timedelta()))
        yield note("service", f"not running: {service.owner} was last seen {ago} ago", "start `alertbot run`")


def _of_folder(path: Path) -> Finding:
    folder = path.parent
    if not folder.is_dir():
        return problem(
            "database", f"there is no folder {folder}", f"create it, or name another file in `storage`: {path}"
        )
    if not os.access(folder, os.W_OK):
        return problem(
            "database",
            f"this user cannot create {path}",
            f"give the folder to the user of the service: chown USER {folder}; or name another file in `storage`",
        )
    return fine("database", f"there is none yet; `alertbot run` creates {path}")


def _of_disk(path: Path) -> Iterator[Finding]:
    folder = next(each for each in path.parents if each.exists())
    kind = file_system(folder)
    if kind in _NETWORKED:
        yield problem(
            "database: file system",
            f"{folder} is on {kind}, a network file system, where SQLite's locks and its log do not work",
            "name a file on a local disk in `storage`",
        )
    elif kind in _IN_MEMORY:
        yield problem(
            "database: file system",
            f"{folder} is in memory ({kind}): after a restart every alert would be reported again",
            "name a file on a disk in `storage`; in a container, one in a volume",
        )
    elif kind == "overlay":
        yield note(
            "database: file system",
            f"{folder} is in the writable layer of a container, and is removed with it",
            "name a file in a volume in `storage`, such as /data/alertbot.db",
        )
    else:
        yield fine("database: file system", kind or "unknown")
    if not hasattr(os, "statvfs"):
        return
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if status.f_flag & getattr(os, "ST_RDONLY", 1):
        yield problem("disk", f"{folder} is on a read-only file system", "mount it writable, or name another `storage`")
    elif free < MIN_FREE:
        yield problem(
            "disk", f"only {_megabytes(free)} free in {folder}", f"free some space: at least {_megabytes(MIN_FREE)}"
        )
    elif status.f_files > 0 and status.f_favail < MIN_FREE_INODES:
        yield problem("disk", f"only {status.f_favail} more files can be created in {folder}", "delete some files")
    else:
        yield fine("disk", f"{_megabytes(free)} free in {folder}")


def file_system(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """The type of the file system of a folder, as Linux names it; "" where that is not known."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    resolved = str(folder.resolve())
    for line in lines:
        _, point, found, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        inside = resolved == point or resolved.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, found
    return kind


def _remedy(why: str, path: Path) -> str:
    """What to do about a database that cannot be used, from the sentence that says why."""
    if "was interrupted" in why:
        return "run `alertbot migrate-storage` with the same arguments again"
    if "is a folder" in why:
        return "name a file in `storage`"
    if "older alertbot" in why:
        return "start `alertbot run` as the user of the service: it brings the database up to date"
    if "another program" in why or "not a SQLite database" in why:
        return "name another file in `storage`"
    if "is locked" in why or "is busy" in why:
        return f"find the program that holds it with `fuser -v {path}`, and stop it"
    if "damaged" in why:
        return "stop alertbot and restore a backup (docs/operations.md, Backup)"
    if "disk is full" in why:
        return f"free some space: at least {_megabytes(MIN_FREE)}"
    if "file system is read-only" in why:
        return "mount it writable, or name a file on another disk in `storage`; the kernel log says if the disk failed"
    if "read-only" in why or "may not" in why or "missing" in why:
        return f"give the file and its folder to the user of the service: chown USER {path.parent} {path}*"
    if "deleted" in why or "replaced" in why:
        return "restart alertbot"
    return "check the disk, and the kernel log for disk errors"


def _megabytes(number: int) -> str:
    mega = number / (1024 * 1024)
    return f"{mega / 1024:.1f} GiB" if mega >= 1024 else f"{mega:.0f} MiB" if mega >= 1 else f"{number / 1024:.0f} KiB"
