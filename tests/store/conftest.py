"""The implementations that the contract tests run against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from alertbot.store.sql.store import SqlStore
from alertbot.store.sqlite.store import SqliteStore
from tests.store.postgres import empty_store

IMPLEMENTATIONS = {
    "sqlite file": lambda folder: SqliteStore(folder / "alertbot.db"),
    "sqlite memory": lambda folder: SqliteStore(":memory:"),
    "postgresql": lambda folder: empty_store(),
}


@pytest.fixture(params=IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStore]:
    made: SqlStore = request.param(tmp_path)
    yield made
    made.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be created."""
    return tmp_path / "alertbot.db"
