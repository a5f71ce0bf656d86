"""An older alertbot on the database of a newer one, as after a downgrade: each command says so, with what to do."""

from __future__ import annotations

import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from alertbot.store.sqlite.store import SqliteStore
from tests.cli.test_cli import configure, folder, ran

__all__ = ["folder"]  # a fixture

FOUND = "alertbot.db was written by a newer alertbot (it has step_999_flying)"
REMEDY = "install that version again, or restore a backup that this version made (docs/deploy.md, Downgrading)"


@pytest.fixture
def newer(folder: Path) -> Path:
    """The database of a newer alertbot."""
    configure(folder, secret="secret-of-8x8")
    path = folder / "alertbot.db"
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
            "VALUES ('alertbot', 'step_999_flying', '2036-01-01')"
        )
    return path


COMMANDS = [
    "run",
    "poll",
    "poll --dry-run",
    "poll --json",
    "ask status",
    "ask 'ack 1'",
    "replay",
    "preview longest-wait --entity x",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_says_what_to_do(command: str, newer: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One sentence and exit status 2; the file stays as it is."""
    before = newer.read_bytes()
    capfd.readouterr()
    assert ran(*shlex.split(command)) == 2
    printed = capfd.readouterr()
    said = printed.out + printed.err
    assert f"{FOUND}, and was not changed: {REMEDY}\n" in said
    assert "Traceback" not in said
    assert newer.read_bytes() == before


def test_a_backup_is_made_by_the_newer_version(newer: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """This one could not check the copy."""
    assert ran("backup", "copy.db") == 2
    assert (
        f"{FOUND}: make the backup with that version, since this one cannot check the copy\n" in capfd.readouterr().err
    )
    assert not (newer.parent / "copy.db").exists()


def test_the_doctor_reports_it_beside_the_rest(newer: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It is one of the problems that it finds: exit status 1, with the same remedy."""
    assert ran("doctor") == 1
    said = capfd.readouterr().out
    assert f"{FOUND}, and was not changed\n" in said
    assert f"-> {REMEDY}\n" in said
    assert "Slack: token" in said


def test_check_needs_no_database(newer: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The files are checked all the same: only hints about what was polled are left out."""
    assert ran("check") == 0
    assert "Traceback" not in capfd.readouterr().err
