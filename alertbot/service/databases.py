"""The database that the settings name: opened to write, to read, or for a dry run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from alertbot import logs
from alertbot.config.settings import Settings
from alertbot.errors import StoreError, UsageError
from alertbot.store.sql import leases
from alertbot.store.sql.connection import Database
from alertbot.store.sql.store import SqlStore
from alertbot.store.sqlite.database import Database as SqliteDatabase
from alertbot.store.sqlite.store import SqliteStore

if TYPE_CHECKING:  # the extra `postgres` may not be installed
    from alertbot.store.postgres.store import PostgresStore

IN_MEMORY = ":memory:"
NEEDS_EXTRA = "that needs the extra `postgres`: pip install -c requirements.lock '.[postgres]'"


def open_store(settings: Settings) -> SqlStore:
    """The database that the settings name, made where there is none. Raises StoreError."""
    return _opened(settings, settings.storage)


def open_to_read(settings: Settings) -> SqlStore:
    """The same for commands that read: it need not be writable. Raises StoreError where there is none."""
    return _opened(settings, settings.storage, reading=True)


def open_for_dry_run(settings: Settings) -> SqlStore:
    """The same, or an empty one in memory where there is no database yet, so that none is made. Raises StoreError."""
    server, path = settings.server, settings.path(settings.storage)
    exists = postgres_store().exists(server) if server else path.exists()
    return open_to_read(settings) if exists else _opened(settings, IN_MEMORY)


def open_database(storage: str, *, reading: bool = False) -> Database:
    """A database as `storage` names it, without settings: to be read as it is, or made where there is none.

    Raises StoreError, and UsageError where the extra for PostgreSQL is not installed.
    """
    if "://" in storage:
        postgres_store()
        from alertbot.store.postgres.database import Database as PostgresDatabase

        return PostgresDatabase(storage, reading=reading)
    return SqliteDatabase(storage, reading=reading, upgrade=not reading)


def worked_on_by(database: Database, now: datetime) -> str:
    """The name of the service, or of one of the workers, that uses this database now; "" where none does."""
    if not isinstance(database, SqliteDatabase):
        from alertbot.store.postgres.database import Database as PostgresDatabase
        from alertbot.store.postgres.workers import Workers

        assert isinstance(database, PostgresDatabase), "there are two kinds"
        if living := Workers(database).living():
            return living[0].name
    with database.read() as conn:
        service = leases.service(conn, now)
    return service.owner if service is not None and service.running else ""


def postgres_store() -> type[PostgresStore]:
    """The class of the store in PostgreSQL. Raises UsageError where the extra is not installed."""
    try:
        from alertbot.store.postgres.store import PostgresStore
    except ImportError as error:
        raise UsageError(f"`storage` names a PostgreSQL server, and {NEEDS_EXTRA}") from error
    return PostgresStore


def _opened(settings: Settings, storage: str, *, reading: bool = False) -> SqlStore:
    """With names of agents shown as the settings say, in log lines too."""
    make: Callable[..., SqlStore] = postgres_store() if "://" in storage else SqliteStore
    store = make(
        storage if "://" in storage or storage == IN_MEMORY else settings.path(storage),
        reading=reading,
        keep_polls=settings.record.keep,
        keep_usual=settings.record.usual,
        max_messages=settings.max_messages,
        timezone=settings.timezone,
        initials=settings.privacy.agents == "initials",
    )
    try:
        store.check_complete()
    except StoreError:
        store.close()
        raise
    logs.show_names((lambda text: store.last_names.text(text)) if store.last_names.hidden else str)
    return store
