"""A backup is one state of the database, whatever is written meanwhile; what cannot be one is refused in a sentence."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from alertbot.errors import AlertbotError, StoreError, UsageError
from alertbot.rules.catalogue import Scope
from alertbot.store.sqlite.backup import PAGES_A_STEP, back_up
from alertbot.store.sqlite.store import SqliteStore
from tests.service.bot import alertbot
from tests.store.build import at, begin, begins, firing, notice, poll, snapshot

CONFIG = """\
tenants: [{name: acme, region: us, api_key: k, api_secret: s}]
slack: {bot_token: xoxb-1, default_channel: "#a"}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alertbot.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(path)
    yield made
    made.close()


def rows(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All of a database, table by table."""
    with closing(sqlite3.connect(path)) as conn:
        found = conn.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
        numbered = {name: "" if "WITHOUT ROWID" in sql else "rowid, " for name, sql in found}
        return {table: conn.execute(f"SELECT {row}* FROM [{table}]").fetchall() for table, row in numbered.items()}


def test_it_is_the_same_database(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    """Every row of every table with its number, what stands in the log alone included; the source stays as it is."""
    begin(store, firing("1"))
    store.record(poll([begins(firing("2"))], snapshots={Scope.QUEUE: snapshot()}))
    assert Path(f"{path}-wal").stat().st_size > 0
    before = rows(path)
    copy = tmp_path / "copy.db"
    assert back_up(path, copy) == copy.stat().st_size
    assert rows(copy) == before == rows(path)
    assert sorted(each.name for each in tmp_path.iterdir() if "copy" in each.name) == ["copy.db"]
    restored = SqliteStore(copy)
    assert {alert.entity_name for alert in restored.alerts()} == {"Queue 1", "Queue 2"}
    restored.close()


def test_what_is_written_meanwhile(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    """Writers do not wait for it, it does not begin again, and it shows the state in which it began."""
    for number in range(200):
        changes = [begins(firing(f"{number}-{each}")) for each in range(40)]
        store.record(poll(changes, [notice(change.after) for change in changes], now=at(number)))
    steps: list[tuple[int, int]] = []

    def write_between(done: int, total: int) -> None:
        steps.append((done, total))
        with closing(SqliteStore(path)) as other:  # as another process does
            begin(other, firing(f"meanwhile-{len(steps)}"), now=at(1000 + len(steps)))

    before = len(store.alerts())
    back_up(path, tmp_path / "copy.db", write_between)
    total = steps[0][1]
    assert total > 3 * PAGES_A_STEP
    assert [done for done, _ in steps] == [*range(PAGES_A_STEP, total, PAGES_A_STEP), total]
    with closing(SqliteStore(tmp_path / "copy.db")) as copy:
        assert len(copy.alerts()) == before == 8000
    assert len(store.alerts()) == before + len(steps)


def test_a_storm(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    """While polls are recorded without a pause, each backup is consistent: every alert has its card and is counted."""
    stop = threading.Event()

    def storm() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            changes = [begins(firing(f"{number}-{each}")) for each in range(30)]
            store.record(poll(changes, [notice(change.after) for change in changes], now=at(number)))

    writer = threading.Thread(target=storm)
    writer.start()
    try:
        for number in range(8):
            back_up(path, tmp_path / f"copy-{number}.db")
    finally:
        stop.set()
        writer.join(30)
    sizes = []
    for number in range(8):
        with closing(sqlite3.connect(tmp_path / f"copy-{number}.db")) as copy:
            assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert copy.execute("PRAGMA foreign_key_check").fetchall() == []
            alerts, cards, notices, fired, polls = (
                copy.execute(query).fetchone()[0]
                for query in (
                    "SELECT count(*) FROM alerts",
                    "SELECT count(*) FROM cards",
                    "SELECT count(*) FROM notices",
                    "SELECT coalesce(sum(value), 0) FROM counters WHERE name = 'fired'",
                    "SELECT coalesce(sum(polls), 0) FROM feeds",
                )
            )
        assert alerts == cards == notices == fired == 30 * polls
        sizes.append(alerts)
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]


Spoil = Callable[[Path, Path], Any]  # the database, the target


def _newer(path: Path, _: Path) -> None:
    with closing(sqlite3.connect(path)) as conn:
        columns = [row[1] for row in conn.execute("PRAGMA table_info(_sqlite_migrations)")]
        row = dict(zip(columns, conn.execute("SELECT * FROM _sqlite_migrations").fetchone(), strict=True))
        row["name"] = "from_the_future"
        row |= {"id": 9999} if "id" in row else {}
        marks = ", ".join("?" * len(row))
        conn.execute(f"INSERT INTO _sqlite_migrations ({', '.join(row)}) VALUES ({marks})", list(row.values()))
        conn.commit()


def _foreign(path: Path, _: Path) -> None:
    for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        each.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("CREATE TABLE theirs (a)")


BAD: dict[str, tuple[Spoil, str, type[AlertbotError], str]] = {
    "onto an existing file": (lambda _, target: target.write_text("mine"), "", UsageError, "copy.db already exists"),
    "onto a link that leads nowhere": (
        lambda _, target: target.symlink_to("gone"),
        "",
        UsageError,
        "copy.db already exists",
    ),
    "onto the database itself": (lambda *_: None, "../alertbot.db", UsageError, "alertbot.db already exists"),
    "onto a folder": (lambda _, target: target.mkdir(), "", UsageError, "is a folder: name a file in it"),
    "into a missing folder": (lambda *_: None, "nowhere/copy.db", UsageError, "there is no folder"),
    "of no database": (lambda path, _: path.unlink(), "", StoreError, "there is no database yet"),
    "of a database of a newer version": (_newer, "", StoreError, "make the backup with that version"),
    "of another program's database": (_foreign, "", StoreError, "is not an alertbot database"),
    "of what is no database": (lambda path, _: path.write_text("x" * 5000), "", StoreError, "is not a SQLite database"),
}


@pytest.mark.parametrize(("spoil", "name", "error", "said"), BAD.values(), ids=BAD)
def test_what_cannot_be(
    path: Path, tmp_path: Path, spoil: Spoil, name: str, error: type[AlertbotError], said: str
) -> None:
    """One clear sentence, and nothing is left behind or overwritten."""
    SqliteStore(path).close()
    folder = tmp_path / "backups"
    folder.mkdir()
    target = folder / (name or "copy.db")
    spoil(path, target)
    there = {each.name: each.read_bytes() if each.is_file() else b"" for each in folder.iterdir()}
    with pytest.raises(error, match=said):
        back_up(path, target)
    assert {each.name: each.read_bytes() if each.is_file() else b"" for each in folder.iterdir()} == there


def test_a_database_that_is_locked(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a program that keeps it to itself: as long as that lasts there is no backup."""
    monkeypatch.setattr("alertbot.store.sqlite.backup.BUSY_TIMEOUT_S", 0.1)
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="is locked"):
            back_up(path, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of one megabyte, where this user may mount one."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(path: Path) -> None:
    """Make the database larger than the small disk."""
    with closing(SqliteStore(path)) as store:
        for number in range(40):
            changes = [begins(firing(f"{number}-{each}")) for each in range(40)]
            store.record(poll(changes, [notice(change.after) for change in changes], now=at(number)))


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a file system")
def test_a_full_disk(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known before the copy begins; where the space goes meanwhile, the copy ends with the same kind of sentence."""
    fill(path)
    assert path.stat().st_size > 1 << 20
    with small_disk(tmp_path / "small") as folder:
        with pytest.raises(StoreError, match=r"the copy needs .* MiB, and 1\.0 MiB are free: free some space"):
            back_up(path, folder / "copy.db")
        monkeypatch.delattr(os, "statvfs")  # as on a system that cannot say what is free
        with pytest.raises(StoreError, match="the disk is full"):
            back_up(path, folder / "copy.db")
        assert list(folder.iterdir()) == []


def test_who_may_read_it(path: Path, tmp_path: Path) -> None:
    """Those who may read the database, whatever the umask says."""
    SqliteStore(path).close()
    path.chmod(0o640)
    back_up(path, tmp_path / "copy.db")
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o640


def test_an_old_database_stays_old(path: Path, tmp_path: Path) -> None:
    """The backup before an upgrade must be one that the older version can read: nothing is brought up to date."""
    dump = Path(__file__).parent.parent / "data" / "store-v5.sql"
    with closing(sqlite3.connect(path)) as conn:
        conn.executescript(dump.read_text(encoding="utf-8"))
    before = rows(path)
    back_up(path, tmp_path / "copy.db")
    assert rows(tmp_path / "copy.db") == before == rows(path)


def test_the_command(tmp_path: Path) -> None:
    """What it wrote, and exit status 2 for a target that cannot be one, 1 where there is nothing to copy."""
    (tmp_path / "alertbot.yaml").write_text(CONFIG)
    (tmp_path / "rules").mkdir()
    nothing = alertbot("backup", "copy.db", cwd=tmp_path)
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "there is no database yet" in nothing.stderr
    SqliteStore(tmp_path / "alertbot.db").close()
    done = alertbot("backup", "copy.db", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("wrote copy.db: ")
    again = alertbot("backup", "copy.db", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr.strip().endswith("copy.db already exists: name another file, or remove it first")
