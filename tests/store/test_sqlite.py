"""SqliteStore on a file: errors are one sentence, crashes lose nothing, processes share the file."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pytest

from alertbot.alerts.alert import Outcome, Reason, State
from alertbot.alerts.cards import Posted
from alertbot.alerts.delivery import PostLine
from alertbot.errors import LeaseHeld, StoreError
from alertbot.rules.catalogue import Scope
from alertbot.store.records import PollRecord
from alertbot.store.roles import Store
from alertbot.store.sqlite import database
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import (
    ME,
    T0,
    at,
    begin,
    begin_posted,
    begins,
    edits,
    ends,
    firing,
    line,
    new_value,
    notice,
    one,
    poll,
    post,
    posts,
    rises,
    snapshot,
)

ROOT = Path(__file__).parents[2]

# Opening


def _text_file(path: Path) -> None:
    path.write_text("tenants: []\n" * 100, encoding="utf-8")


def _other_database(path: Path) -> None:
    with sqlite3.connect(path) as conn:
        conn.execute("CREATE TABLE people (name TEXT)")
    conn.close()


def _newer_database(path: Path) -> None:
    SqliteStore(path).close()
    with sqlite3.connect(path) as conn:
        conn.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
            "VALUES ('alertbot', 'step_999_flying', '2036-01-01')"
        )
    conn.close()


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("prepare", "message", "retryable"),
    [
        (_text_file, "is not a SQLite database", False),
        (_other_database, "is the database of another program", False),
        (_newer_database, r"written by a newer alertbot \(it has step_999_flying\)", False),
        (_folder, "it is a folder, not a file", True),
    ],
    ids=["not a database", "another program's", "newer", "a folder"],
)
def test_a_wrong_file_is_refused(path: Path, prepare: Callable[[Path], None], message: str, retryable: bool) -> None:
    """In one sentence that names the file, which is left unchanged."""
    prepare(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StoreError, match=message) as error:
        SqliteStore(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.retryable is retryable
    assert before == (path.read_bytes() if path.is_file() else b"")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """Instead of "unable to open database file"."""
    with pytest.raises(StoreError, match=r"there is no folder .*nowhere"):
        SqliteStore(tmp_path / "nowhere" / "alertbot.db")


def test_settings_of_sqlite(path: Path) -> None:
    """WAL, foreign keys, and FULL unless NORMAL is given; anything else is a bug in alertbot."""
    for store, synchronous in ((SqliteStore(path), 2), (SqliteStore(path, synchronous="NORMAL"), 1)):
        with store._db.write() as conn:
            pragmas = {name: conn.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "foreign_keys")}
            assert pragmas == {"journal_mode": "wal", "foreign_keys": 1}
            assert conn.execute("PRAGMA synchronous").fetchone()[0] == synchronous
        store.close()
    with pytest.raises(ValueError, match="FULL or NORMAL"):
        SqliteStore(path, synchronous="OFF")


def test_columns_are_readable(path: Path) -> None:
    """With the sqlite3 command line one can see what fires, since when, and what was reported."""
    store = SqliteStore(path)
    alert = begin_posted(store, firing("Sales"))
    assert alert.id is not None
    store.acknowledge(alert.id, "U1", "on it", at(5.25))
    store.close()
    with sqlite3.connect(path) as conn:
        alerts = conn.execute(
            "SELECT id, tenant, rule, entity_name, state, level, fired_at, acked_by, acked_at FROM alerts"
        ).fetchall()
        notices = conn.execute("SELECT kind, reason, state, channel, done_by FROM notices ORDER BY at").fetchall()
    conn.close()
    fired, acked = "2026-03-02T09:00:00.000000Z", "2026-03-02T09:00:05.250000Z"
    assert alerts == [(1, "acme", "longest-wait", "Queue Sales", "firing", "warning", fired, "U1", acked)]
    assert notices == [
        ("card", "fired", "delivered", "#cc-sales", ""),
        ("line", "acknowledged", "waiting", "#cc-sales", "U1"),
    ]


# Failing


def test_a_full_disk_is_reported_and_nothing_is_half_written(path: Path) -> None:
    """The whole poll fails; when there is space again, the next one is written."""
    store = SqliteStore(path)
    begin(store, firing("1"))
    conn = store._db._conn
    pages = conn.execute("PRAGMA page_count").fetchone()[0]
    conn.execute(f"PRAGMA max_page_count = {pages}")
    changes = [begins(firing(str(entity))) for entity in range(2, 500)]
    with pytest.raises(StoreError, match="the disk is full") as error:
        store.record(poll(changes, snapshots={Scope.QUEUE: snapshot()}))
    assert error.value.retryable
    assert len(store.alerts()) == 1
    assert store.latest("acme") == {}
    conn.execute("PRAGMA max_page_count = 100000")
    store.record(poll(changes))
    assert len(store.alerts()) == 499
    store.close()


def test_a_read_only_database_is_reported(path: Path) -> None:
    """Reading still works."""
    store = SqliteStore(path)
    begin(store, firing())
    store._db._conn.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError, match="read-only"):
        store.check_writable()
    assert len(store.alerts()) == 1
    store.close()


def test_a_lock_that_is_never_released_is_reported(path: Path) -> None:
    """After `busy_timeout`; reading continues meanwhile, and writing does when the lock is released."""
    store = SqliteStore(path, busy_timeout=0.05)
    begin(store, firing())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"locked: another process has been writing to it for 0\.05 s"):
        store.acknowledge(1, "U1", "", T0)
    with pytest.raises(StoreError, match=r"locked: another process has been writing to it for 0\.01 s"):
        store.check_writable(0.01)
    assert len(store.alerts()) == 1
    other.execute("ROLLBACK")
    other.close()
    store.check_writable()
    store.close()


def test_a_reader_waits_for_no_writer(path: Path) -> None:
    """While another process holds the write lock and a writer of this one waits for it, reading answers at once."""
    store = SqliteStore(path, busy_timeout=20)
    begin(store, firing())
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    thread = threading.Thread(target=store.acknowledge, args=(1, "U1", "", T0))
    thread.start()
    try:
        while not store._db._lock.locked():  # until the writer waits
            pass
        began = time.monotonic()
        assert len(store.alerts()) == 1
        with pytest.raises(StoreError, match=r"is busy: nothing else could be written to it for 0\.1 s"):
            store.check_writable(0.1)
        assert time.monotonic() - began < 1
    finally:
        other.execute("COMMIT")
        thread.join(10)
    assert one(store, firing()).acked_by == "U1"
    other.close()
    store.close()


def _delete(path: Path) -> None:
    path.unlink()


def _replace(path: Path) -> None:
    other = path.with_name("other.db")
    SqliteStore(other).close()
    other.replace(path)


def _delete_wal(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_delete, "was deleted while alertbot was running"),
        (_replace, "was replaced by another file while alertbot was running"),
        (_delete_wal, "has lost its write-ahead log"),
    ],
    ids=["deleted", "replaced", "its WAL deleted"],
)
def test_a_file_that_is_not_there_any_more_takes_nothing(
    path: Path, change: Callable[[Path], None], words: str
) -> None:
    """Nothing is read or written from then on; all that was written before is saved, once, and can be put back."""
    store = SqliteStore(path)
    begin(store, firing())
    change(path)
    for access in (store.alerts, store.check_writable, lambda: begin(store, firing("2")), store.tidy):
        with pytest.raises(StoreError, match=words) as error:
            access()
        assert f"saved as {path}.saved" in str(error.value)
        assert not error.value.retryable
    assert [each.name for each in path.parent.glob("*.saved*")] == [f"{path.name}.saved"]
    saved = path.with_name(f"{path.name}.saved")
    store.close()
    saved.replace(path)  # nothing else that was left there spoils it
    again = SqliteStore(path)
    assert [alert.key.entity_id for alert in again.alerts()] == ["103"]
    with again._db.read() as conn:
        assert conn.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    again.close()


def test_the_wal_shrinks_when_a_long_reader_ends(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then it is reported; afterwards it is shortened, whatever its size was."""
    monkeypatch.setattr(database, "_KEEP_WAL_BYTES", 100_000)
    monkeypatch.setattr(database, "_LARGE_WAL_BYTES", 200_000)
    store, wal = SqliteStore(path), path.with_name(path.name + "-wal")
    begin(store, firing())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM alerts").fetchone()
    for number in range(30):
        store.record(poll([begins(firing(f"{number}-{each}")) for each in range(20)], now=at(number)))
    assert wal.stat().st_size > 200_000
    assert "has grown to" in store.tidy()
    other.execute("COMMIT")
    assert store.tidy() == ""
    assert wal.stat().st_size == 0
    other.close()
    store.close()


@pytest.fixture
def shared_path() -> Iterator[Path]:
    """Where a database may be created, in a folder that every user may read; those of pytest are private."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder, "alertbot.db")


@pytest.mark.parametrize("live", [True, False], ids=["beside the service", "the service has stopped"])
def test_reading_needs_no_right_to_write(shared_path: Path, live: bool) -> None:
    """A user who may read the file and neither write it nor its folder reads all of it; a change is refused."""
    path = shared_path
    store = SqliteStore(path)
    begin(store, firing())
    if not live:
        store.close()
    path.chmod(0o644)
    asked = as_another_user(
        f"from alertbot.store.sqlite.store import SqliteStore\n"
        f"from alertbot.errors import StoreError\n"
        f"store = SqliteStore({str(path)!r}, reading=True)\n"
        f"print(len(store.alerts()))\n"
        f"try: store.check_writable()\n"
        f"except StoreError as error: print(error)\n"
    )
    store.close()
    assert asked.startswith("1\n")
    assert f"{path} cannot be written: " in asked


def test_a_new_file_in_a_folder_that_may_not_be_written(shared_path: Path) -> None:
    """The sentence says who may not write where."""
    asked = as_another_user(
        f"from alertbot.store.sqlite.store import SqliteStore\n"
        f"try: SqliteStore({str(shared_path)!r})\n"
        f"except Exception as error: print(error)\n"
    )
    assert "may not write in the folder" in asked


def as_another_user(script: str) -> str:
    """What a script prints that runs without the rights of root, or of a folder's owner where the tests have none."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    before = (  # everything is imported as root: the other user may not be able to read this environment
        "import os; from alertbot.store.sqlite.store import SqliteStore; SqliteStore(':memory:').close(); "
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", before + script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_read_only_file_system_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exact reason, instead of "unable to open database file"."""
    path.mkdir()  # what cannot be opened
    path.rmdir()
    error = sqlite3.OperationalError("unable to open database file")
    error.sqlite_errorname = "SQLITE_CANTOPEN"
    monkeypatch.setattr(database, "_on_read_only_system", lambda folder: True)
    monkeypatch.setattr(database.os, "access", lambda name, mode: False)
    store = SqliteStore(":memory:")
    store._db.path = str(path)
    said = str(store._db._explain(error, 5))
    assert said == f"{path} cannot be opened: the file system is read-only: make it writable, or change `storage`"
    store.close()


def test_a_disk_that_became_read_only_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error of the disk the kernel mounts it read-only: to a file that is open, SQLite calls that an error."""
    store = SqliteStore(":memory:")
    store._db.path = "/data/alertbot.db"
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = "SQLITE_IOERR_WRITE"
    said = []
    for code in (errno.EROFS, errno.EIO):

        def refuse(dir: Path, code: int = code) -> NoReturn:
            raise OSError(code, "")

        monkeypatch.setattr(database, "TemporaryFile", refuse)
        said.append(str(store._db._explain(error, 5)))
    assert said == [
        "/data/alertbot.db cannot be written: the file system is read-only: make it writable, or change `storage`",
        "/data/alertbot.db could not be read or written: the disk reports an error (SQLITE_IOERR_WRITE)",
    ]
    store.close()


def test_a_lock_that_is_let_go_is_waited_for(path: Path) -> None:
    """Two writers take turns; neither fails because the other wrote in between."""
    store = SqliteStore(path)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    started, done = threading.Event(), threading.Event()

    def write() -> None:
        started.set()
        store.check_writable(10)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    assert started.wait(10)
    assert not done.wait(0.05)
    other.execute("COMMIT")
    assert done.wait(10)
    thread.join(10)
    other.close()
    store.close()


def test_a_closed_store_raises(path: Path) -> None:
    """Closing twice is harmless, using it later is a StoreError."""
    store = SqliteStore(path)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.alerts()


def test_a_damaged_file_is_reported(path: Path) -> None:
    """With the remedy; a retry does not help."""
    store = SqliteStore(path)
    for entity in range(300):
        begin(store, firing(str(entity)))
    store.close()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\x55" * (len(data) - 4096)
    path.write_bytes(bytes(data))
    with pytest.raises(StoreError, match=r"damaged .*restore a backup") as error:
        SqliteStore(path).alerts()
    assert not error.value.retryable


def test_a_row_that_cannot_be_read_is_reported(path: Path) -> None:
    """A word from a newer version, or an edit by hand: the kind of row, and what is wrong."""
    store = SqliteStore(path)
    begin(store, firing())
    with store._db.write() as conn:
        conn.execute("UPDATE alerts SET state = 'dancing'")
    with pytest.raises(StoreError, match=r"a row \(alert\) that this version cannot read: 'dancing'"):
        store.alerts()
    store.close()


# Crashes: a second store on the same file sees what a restart would see


def test_killed_between_claim_and_post_or_mark(path: Path) -> None:
    """The next process looks for the message five seconds later, and adopts it; nothing is posted twice."""
    store = SqliteStore(path)
    begin(store, firing())
    (due,) = posts(store, at(0))
    store.claim(due.notice.id, ME, at(1))
    after = SqliteStore(path)  # the first one is gone
    assert after.claimants() == [ME]
    after.claimant_ended(ME, at(1))
    assert after.due(at(5.9)) == []
    (again,) = posts(after, at(6))
    assert (again.notice.id, again.intent_at) == (due.notice.id, at(1))
    after.delivered(again.notice.id, Posted("C1", "1.0"), 1, at(6))
    assert after.due(at(99)) == []
    after.close()
    store.close()


def test_killed_between_record_and_delivery(path: Path) -> None:
    """What was decided is posted by the next process, and the pause of the channel lasts across the restart."""
    store = SqliteStore(path)
    begin_posted(store, firing("1"), at(0))
    alert = one(store, firing("1"))
    store.record(poll([rises(alert, at(0.1))], [line(alert, Reason.LEVEL_UP, now=at(0.1))], now=at(0.1)))
    after = SqliteStore(path)
    assert posts(after, at(0.5)) == []
    assert len(edits(after, at(0.5))) == 1
    (due,) = posts(after, at(1))
    assert isinstance(due, PostLine)
    after.close()
    store.close()


def test_killed_in_the_middle_of_a_poll(path: Path) -> None:
    """A transaction that was not committed is not there."""
    script = """
import os, sys
from alertbot.store.sql import record as recording
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import begins, firing, notice, poll
store = SqliteStore(sys.argv[1])
recording.write_snapshots = lambda *_: os._exit(9)
store.record(poll([begins(firing())], [notice(firing())]))
"""
    SqliteStore(path).close()
    assert subprocess.run([sys.executable, "-c", script, str(path)], timeout=60, check=False, cwd=ROOT).returncode == 9
    store = SqliteStore(path)
    assert store.alerts() == []
    assert store.totals().polls == 0
    begin(store, firing())
    assert [alert.id for alert in store.alerts()] == [1]
    store.close()


# Processes and threads


def _python(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_two_processes_and_one_lease(path: Path) -> None:
    """The second poller is refused while the first lives, and may poll after the first released its leases."""
    script = """
import sys
from datetime import timedelta
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import T0
store = SqliteStore(sys.argv[1])
store.take_leases(["delivery"], "the other", T0, timedelta(seconds=30))
print("taken", flush=True)
sys.stdin.readline()
store.release_leases("the other")
print("released", flush=True)
"""
    store = SqliteStore(path)
    with _python(script, path) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "taken\n"
        with pytest.raises(LeaseHeld, match="the other"):
            store.take_leases(["delivery"], "me", at(1), timedelta(seconds=30))
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "released\n"
        store.take_leases(["delivery"], "me", at(2), timedelta(seconds=30))
    store.close()


def test_another_process_acknowledges_beside_the_poller(path: Path) -> None:
    """`ask` beside `run`: its change is seen at once, and the poll that follows keeps it."""
    script = """
import sys
from alertbot.store.sqlite.store import SqliteStore
from tests.store.build import at
store = SqliteStore(sys.argv[1])
print(store.acknowledge(int(sys.argv[2]), "jane", "from a terminal", at(3))[0])
"""
    store = SqliteStore(path)
    alert = begin_posted(store, firing())
    with _python(script, path, alert.id) as other:
        assert other.communicate(timeout=60)[0] == "done\n"
    store.record(poll([new_value(alert, 99_000.0, at(15))], now=at(15)))
    owned = one(store, alert)
    assert (owned.acked_by, owned.peak) == ("jane", 99_000.0)
    assert store.acknowledge(alert.id or 0, "U1", "", at(16))[0] is Outcome.ALREADY
    store.close()


def test_processes_may_open_a_new_file_together(path: Path) -> None:
    """One makes the tables, the others wait; none fails."""
    script = """
import sys
from alertbot.store.sqlite.store import SqliteStore
sys.stdin.readline()
SqliteStore(sys.argv[1]).check_writable()
"""
    processes = [_python(script, path) for _ in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0, 0, 0, 0]


def test_writers_of_two_connections_take_turns(path: Path) -> None:
    """Each reads before it writes; neither fails because the other wrote in between."""
    store = SqliteStore(path)
    alerts = [begin_posted(store, firing(str(entity)), channel=f"#{entity}") for entity in range(2)]
    stores = [SqliteStore(path) for _ in alerts]
    barrier = threading.Barrier(len(stores), timeout=10)
    results: list[Outcome] = []

    def change_hands(mine: SqliteStore, alert_id: int) -> None:
        barrier.wait()
        for second in range(60):
            results.append(mine.acknowledge(alert_id, "U1", "", at(second))[0])
            results.append(mine.unacknowledge(alert_id, "U1", at(second))[0])

    threads = [
        threading.Thread(target=change_hands, args=(mine, alert.id)) for mine, alert in zip(stores, alerts, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [Outcome.DONE] * 240
    for each in (store, *stores):
        each.close()


@pytest.mark.parametrize("others", [["U2"], ["U1"], ["U1", "U1", "U2", "U3"]], ids=["another", "twice", "all of them"])
def test_giving_back_at_once(path: Path, others: list[str]) -> None:
    """The owner gives it back once; the others learn whose it is, or that it is free by now."""
    store = SqliteStore(path)
    alert_id = begin_posted(store, firing()).id
    assert alert_id is not None
    store.acknowledge(alert_id, "U1", "", at(1))
    users = ["U1", *others]
    stores = [SqliteStore(path) for _ in users]
    barrier = threading.Barrier(len(users), timeout=10)
    results: list[tuple[str, Outcome]] = []

    def give_back(mine: SqliteStore, user: str) -> None:
        barrier.wait()
        results.append((user, mine.unacknowledge(alert_id, user, at(2), own=True)[0]))

    threads = [threading.Thread(target=give_back, args=each) for each in zip(stores, users, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    of_owner = sorted(result for user, result in results if user == "U1")
    assert of_owner == [Outcome.DONE, *[Outcome.NOT_ACKNOWLEDGED] * (users.count("U1") - 1)]
    assert {result for user, result in results if user != "U1"} <= {Outcome.OTHER_OWNER, Outcome.NOT_ACKNOWLEDGED}
    assert [entry.notice.reason for entry in store.notices_of(alert_id)].count(Reason.UNACKNOWLEDGED) == 1
    for each in (store, *stores):
        each.close()


def test_polls_deliveries_and_questions_at_once(path: Path) -> None:
    """Pollers, a deliverer and readers on one store, a reader on another, one file: every card lands once."""
    store, beside = SqliteStore(path), SqliteStore(path)
    failures: list[BaseException] = []
    posted: list[str] = []
    polled = threading.Event()
    rounds, entities = 6, 20

    def guard(work: Callable[[], None]) -> Callable[[], None]:
        def guarded() -> None:
            try:
                work()
            except BaseException as exc:
                failures.append(exc)

        return guarded

    def poller(tenant: str) -> None:
        for entity in range(entities):
            alert = firing(str(entity), tenant=tenant)
            channel = f"#{tenant}-{entity}"
            store.record(
                PollRecord(
                    tenant, T0, store.feed(tenant), [begins(alert)], [notice(alert, channel=channel)],
                    {Scope.QUEUE: snapshot()},
                )
            )  # fmt: skip
            for round_ in range(rounds):
                store.record(poll([new_value(one(store, alert), float(round_), at(round_))], tenant=tenant))

    def deliverer() -> None:
        finished = False
        while True:
            finished = polled.is_set()
            batch = posts(store, at(100))
            for due in batch:
                post(store, due, at(10), channel_id=due.notice.channel)
                posted.append(due.notice.id)
            if finished and not batch:
                return

    def reader(of: Store) -> None:
        while not polled.is_set():
            for alert in of.alerts():
                assert alert.state is State.FIRING
            of.totals()
            of.latest("one")
            of.cards("two")

    pollers = [threading.Thread(target=guard(lambda name=name: poller(name))) for name in ("one", "two")]  # type: ignore[misc]
    others = [
        threading.Thread(target=guard(work)) for work in (deliverer, lambda: reader(store), lambda: reader(beside))
    ]
    for thread in pollers + others:
        thread.start()
    for thread in pollers:
        thread.join(60)
    polled.set()
    for thread in others:
        thread.join(60)
    assert failures == []
    assert len(posted) == len(set(posted)) == 2 * entities
    assert store.totals().cards_posted == 2 * entities
    assert store.totals().waiting == 0
    store.close()
    beside.close()


def test_an_end_frees_the_fingerprint_for_other_processes_too(path: Path) -> None:
    """The unique index on open alerts is in the file."""
    first, second = SqliteStore(path), SqliteStore(path)
    alert = begin(first, firing())
    second.record(poll([ends(alert, at(1))], now=at(1)))
    again = begin(first, firing(), at(2))
    assert [each.id for each in second.alerts()] == [again.id]
    first.close()
    second.close()
