"""The database that the settings name: opened to write, to read, or for a dry run."""

from __future__ import annotations

from pathlib import Path

from alertbot import logs
from alertbot.config.settings import Settings
from alertbot.store.sqlite.store import SqliteStore


def open_store(settings: Settings) -> SqliteStore:
    """The database that the settings name, made where there is none. Raises StoreError."""
    return _opened(settings, settings.path(settings.storage))


def open_to_read(settings: Settings) -> SqliteStore:
    """The same for commands that read: it need not be writable. Raises StoreError where there is none."""
    return _opened(settings, settings.path(settings.storage), reading=True)


def open_for_dry_run(settings: Settings) -> SqliteStore:
    """The same, or an empty one in memory where there is no database yet, so that none is made. Raises StoreError."""
    if not settings.path(settings.storage).exists():
        return _opened(settings, ":memory:")
    return open_to_read(settings)


def _opened(settings: Settings, path: str | Path, *, reading: bool = False) -> SqliteStore:
    """With names of agents shown as the settings say, in log lines too."""
    store = SqliteStore(
        path,
        reading=reading,
        keep_polls=settings.record.keep,
        keep_usual=settings.record.usual,
        max_messages=settings.max_messages,
        timezone=settings.timezone,
        initials=settings.privacy.agents == "initials",
    )
    logs.show_names((lambda text: store.last_names.text(text)) if store.last_names.hidden else str)
    return store
