"""The store in PostgreSQL beyond the contract: what it requires of a server, locks, and a server that goes away."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psycopg
import pytest

from alertbot.errors import Conflict, NewerDatabase, OldVersionRuns, StoreError
from alertbot.rules.catalogue import Scope
from alertbot.store.codec import stamp
from alertbot.store.postgres import migrations
from alertbot.store.postgres.database import _WRITES
from alertbot.store.postgres.dialect import translated
from alertbot.store.postgres.living import WorkerRow
from alertbot.store.postgres.server import STARTED, Server, exists
from alertbot.store.postgres.store import PostgresStore
from alertbot.store.postgres.workers import Pulse
from alertbot.store.sqlite.store import SqliteStore
from tests.service.bot import until
from tests.store.build import at, begin, begins, firing, notice, one, ops, poll, posts, snapshot
from tests.store.postgres import (
    OwnServer,
    Wire,
    _contract,
    address_of,
    empty_store,
    make_old,
    own_server,
    run,
    server,
    without_statistics,
)

PASSWORD = "Tr0ub4dor"


@pytest.fixture
def store() -> Iterator[PostgresStore]:
    made = empty_store()
    yield made
    made.close()


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """A new database without tables; its name."""
    name = "d" + re.sub(r"\W", "_", request.node.name.lower())[:40]
    run(f"CREATE DATABASE {name}")
    yield name
    run(f"DROP DATABASE {name} WITH (FORCE)")


# Statements

TRANSLATED = {
    "places": ("a = ? AND b = ?", "a = %s AND b = %s"),
    "names": ("a = :a AND b IN (:b, :a)", "a = %(a)s AND b IN (%(b)s, %(a)s)"),
    "text is left alone": ("a = 'who? :me' AND b = :b", "a = 'who? :me' AND b = %(b)s"),
    "percent signs": ("a LIKE 'x:%' AND b = ?", "a LIKE 'x:%%' AND b = %s"),
    "an index that SQLite is to use": ("FROM a INDEXED BY a_open WHERE b", "FROM a WHERE b"),
    "an order of a join": ("FROM a CROSS JOIN b ON b.id = a.b", "FROM a JOIN b ON b.id = a.b"),
}


@pytest.mark.parametrize(("written", "sent"), TRANSLATED.values(), ids=TRANSLATED)
def test_a_statement_as_it_is_sent(written: str, sent: str) -> None:
    assert translated(written) == sent


def test_the_tables_are_those_of_sqlite(store: PostgresStore, tmp_path: Path) -> None:
    """By table and column, so that a step that is added in one place only is noticed."""
    with store._db.read() as conn:
        rows = conn.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'alertbot' "
            "AND column_name <> 'rowid' AND table_name <> 'migrations'"
        ).fetchall()
    here = {(row["table_name"], row["column_name"]) for row in rows}
    path = tmp_path / "alertbot.db"
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as file:
        there = set(
            file.execute(
                "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' "
                "AND m.name NOT LIKE 'sqlite%' AND m.name NOT LIKE '_sqlite%'"
            ).fetchall()
        )
        indexes = {
            name
            for (name,) in file.execute(
                "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL "
                "AND tbl_name NOT LIKE '_sqlite%'"
            )
        }
    assert here == there
    assert {table for table, _ in here} == set(migrations.TABLES)
    with store._db.read() as conn:
        rows = conn.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'alertbot'").fetchall()
    assert indexes <= {row["indexname"] for row in rows}


def test_text_is_compared_by_its_bytes(store: PostgresStore) -> None:
    """Whatever the language of the database: times are text, and "Z" comes before "a"."""
    with store._db.read() as conn:
        rows = conn.execute(
            "SELECT DISTINCT collation_name AS name FROM information_schema.columns "
            "WHERE table_schema = 'alertbot' AND data_type = 'text'"
        ).fetchall()
    assert [row["name"] for row in rows] == ["C"]


def test_a_name_with_a_nul_character(store: PostgresStore) -> None:
    """PostgreSQL cannot store one; the alert is stored all the same."""
    begin(store, firing(entity_name="Sales\0EU"))
    assert one(store, firing()).entity_name == "Sales\N{REPLACEMENT CHARACTER}EU"


def test_ids_are_never_given_again(store: PostgresStore) -> None:
    """Not even those of a transaction that failed."""

    def fail() -> None:
        with store.alone("acme"):
            begin(store, firing("1"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.alerts() == []
    assert begin(store, firing("2")).id == 2


# Two that write


def test_a_writer_waits_for_another_process(store: PostgresStore) -> None:
    """A process that cannot write within its time says so; reading continues, and sees what was committed."""
    begin(store, firing("1"))
    with closing(PostgresStore(store._db._server.info)) as other, store._db.write():  # for itself, as a delivery
        begin(store, firing("2"))
        with pytest.raises(StoreError, match=r"is locked: another process has been writing to it for 0\.1 s") as caught:
            other.check_writable(within=0.1)
        assert caught.value.retryable
        assert [alert.key.entity_id for alert in other.alerts()] == ["1"]
    assert [alert.key.entity_id for alert in store.alerts()] == ["1", "2"]


def waiting_for_locks() -> int:
    """How many sessions of the server wait for a lock of those that write."""
    with psycopg.connect(server(), autocommit=True) as conn:
        return len(conn.execute(b"SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchall())


def test_a_busy_database_can_be_written(store: PostgresStore) -> None:
    """A check that gets no turn is no error where another turn of the same process was committed meanwhile."""
    first, both, checked = threading.Event(), threading.Barrier(3), threading.Event()
    failed: list[StoreError] = []

    def turn(tenant: str, ends: threading.Event) -> None:
        with store._db.write(tenant=tenant):
            both.wait(10)
            ends.wait(10)

    def check() -> None:
        try:
            store.check_writable(within=1.0)
        except StoreError as error:
            failed.append(error)
        checked.set()

    with closing(PostgresStore(store._db._server.info)) as other:
        threads = [threading.Thread(target=turn, args=args) for args in (("acme", first), ("other", checked))]
        for each in threads:
            each.start()
        both.wait(10)
        for work in (lambda: other.hold_channel("#x", at(60)), check):
            threads.append(threading.Thread(target=work))
            threads[-1].start()
            until("it waits", lambda: waiting_for_locks() == len(threads) - 2)
        first.set()  # one turn is committed; the other process still waits for the second one, and the check for that
        for each in threads:
            each.join(10)
    assert failed == []


def test_tables_that_grow_get_statistics(database: str) -> None:
    """At the next check of the database: the server itself would take a minute."""
    with closing(PostgresStore(address_of(database))) as store:
        assert without_statistics(store) >= {"alerts", "cards", "notices"}
        store.tidy()
        assert without_statistics(store) == set()
        known = [firing(str(number)) for number in range(400)]
        store.record(poll([begins(alert) for alert in known], [notice(alert) for alert in known]))
        assert without_statistics(store) >= {"alerts", "cards", "notices"}
        assert store.tidy() == ""
        assert without_statistics(store) == set()


def test_many_threads_write(store: PostgresStore) -> None:
    """More than there are connections: each waits for its turn, and none decides on what another one changed."""
    conflicts = []

    def turns(number: int) -> None:
        for step in range(5):
            while True:
                revision = store.revision("acme")
                try:
                    store.record(poll([begins(firing(f"{number}-{step}"))], revision=revision))
                except Conflict:
                    conflicts.append(number)
                else:
                    break

    threads = [threading.Thread(target=turns, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.alerts()) == 60
    assert store.revision("acme") == 60


def test_a_transaction_within_another_is_undone_alone(store: PostgresStore) -> None:
    with store.alone("acme"):
        begin(store, firing("1"))
        with suppress(psycopg.Error, StoreError), store._db.write() as conn:
            conn.execute("INSERT INTO people (id, name) VALUES ('U1', 'Ann')")
            conn.execute("INSERT INTO people (id, name) VALUES ('U1', 'Ann again')")
    assert store.people() == {}
    assert len(store.alerts()) == 1


# A server that goes away

END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'alertbot'"


def test_connections_that_were_ended_are_replaced(store: PostgresStore) -> None:
    """As by a restart of the server: nothing was lost, and the next transaction does not fail."""
    begin(store, firing("1"))
    run(END_SESSIONS)
    assert len(store.alerts()) == 1
    run(END_SESSIONS)
    store.add_notices([ops("again")])
    assert store.totals().waiting == 2


def test_a_connection_that_is_ended_in_a_transaction(store: PostgresStore) -> None:
    """All of the transaction is undone, and it can be tried again."""

    def be_ended() -> None:
        with store.alone("acme"):
            begin(store, firing("1"))
            run(END_SESSIONS)
            begin(store, firing("2"))

    with pytest.raises(StoreError, match="cannot be reached") as caught:
        be_ended()
    assert caught.value.retryable
    assert store.alerts() == []
    begin(store, firing("1"))


def test_all_connections_of_the_pool_were_ended(store: PostgresStore) -> None:
    """As many threads as there are connections read and write afterwards, and none of them fails."""
    barrier = threading.Barrier(8)
    failed: list[StoreError] = []

    def read(times: int) -> None:
        for _ in range(times):
            try:
                with store._db.read():
                    barrier.wait(10)
                store.check_writable()
            except StoreError as error:
                failed.append(error)

    def all_at_once() -> None:
        threads = [threading.Thread(target=read, args=[1]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    all_at_once()
    ended = connections("pg_terminate_backend(pid)")
    assert ended == 8
    all_at_once()
    assert failed == []


def connections(what: str = "TRUE") -> int:
    """How many connections there are, after this was done to each."""
    with psycopg.connect(server(), autocommit=True) as conn:
        statement = f"SELECT {what} FROM pg_stat_activity WHERE application_name = 'alertbot'"
        return len(conn.execute(statement.encode()).fetchall())


def test_a_transaction_that_does_nothing_for_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process was stopped, say. The server ends it, so others can write, and the process can try again."""
    monkeypatch.setattr("alertbot.store.postgres.database.MAX_IDLE", 1)

    def be_stopped() -> None:
        with store.alone("acme"):
            begin(store, firing("1"))
            until("the server ends the session", lambda: connections() == 0)
            other.check_writable(within=5)
            begin(store, firing("2"))

    with closing(empty_store()) as store, closing(PostgresStore(store._db._server.info)) as other:
        with pytest.raises(StoreError, match=r"idle-in-transaction timeout|cannot be reached") as caught:
            be_stopped()
        assert caught.value.retryable
        assert other.alerts() == []
        begin(store, firing("1"))
        assert len(other.alerts()) == 1


# The answer to COMMIT


def test_the_number_of_a_transaction_after_a_restart(store: PostgresStore) -> None:
    """A server that crashed may have given it to another transaction, so that it is committed says nothing then."""

    def number(*, fails: bool) -> tuple[str, str]:
        found = ("", "")
        with suppress(RuntimeError), store._db.write() as conn:
            row = conn.execute(f"SELECT CAST(pg_current_xact_id() AS TEXT), {STARTED}").fetchone()
            found = (row[0], row[1])
            if fails:
                raise RuntimeError
        return found

    server = store._db._server
    (committed, started), (undone, _) = number(fails=False), number(fails=True)
    assert server.was_committed(committed, started)
    assert not server.was_committed(undone, started)
    assert not server.was_committed(undone, "earlier")
    with pytest.raises(psycopg.OperationalError, match="started again"):
        server.was_committed(committed, "earlier")


@pytest.fixture(scope="module")
def own() -> Iterator[OwnServer]:
    with own_server() as made:
        yield made


@pytest.fixture
def wired(own: OwnServer) -> Iterator[tuple[PostgresStore, Wire]]:
    """A store whose connection can be cut, in a new database."""
    own.run("DROP DATABASE alertbot WITH (FORCE)", "postgres")
    own.run("CREATE DATABASE alertbot OWNER bot", "postgres")
    wire = Wire(own.port)
    with closing(PostgresStore(own.address.replace(str(own.port), str(wire.port)))) as store:
        yield store, wire
    wire.close()


def once(when: str) -> Callable[[bytes], str]:
    """Cut at the next COMMIT, and at no later one."""
    left = [when]
    return lambda sent: left.pop() if b"COMMIT" in sent and left else ""


CUTS = {"after it arrived": ("after", 1), "before it arrived": ("before", 0)}


@pytest.mark.parametrize(("when", "stored"), CUTS.values(), ids=CUTS)
def test_a_commit_whose_answer_is_lost(wired: tuple[PostgresStore, Wire], when: str, stored: int) -> None:
    """The server is asked what became of it: a turn that was recorded is one, and any other can be tried again."""
    store, wire = wired
    seen = {Scope.QUEUE: snapshot(at(0))}
    turn = poll([begins(firing("1"))], [notice(firing("1"))], snapshots=seen, revision=store.revision("acme"))
    wire.cut = once(when)
    if stored:
        assert store.record(turn).revision == 1
    else:
        with pytest.raises(StoreError, match="cannot be reached") as caught:
            store.record(turn)
        assert caught.value.retryable
    assert len(store.alerts()) == len(posts(store, at(1))) == store.revision("acme") == stored
    assert recorded(store) == stored
    store.record(poll(snapshots={Scope.QUEUE: snapshot(at(15))}, now=at(15)))
    assert recorded(store) == stored + 1


def test_a_commit_of_which_nothing_is_known(wired: tuple[PostgresStore, Wire], monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is gone for longer than it is waited for. The turn counts once, and the next builds on what is there.

    The next poll is recorded in full: it must not be the difference from a poll that may not exist.
    """
    store, wire = wired
    store.record(poll(snapshots={Scope.QUEUE: snapshot(at(0))}))
    monkeypatch.setattr(store._db._server, "_wait", 0.0)
    lost = once("after")

    def cut(sent: bytes) -> str:
        if b"COMMIT" in sent:
            wire.cut = lambda sent: "before"
        return lost(sent)

    wire.cut = cut
    turn = poll(
        [begins(firing("1"))],
        [notice(firing("1"))],
        now=at(15),
        snapshots={Scope.QUEUE: snapshot(at(15))},
        revision=1,
    )
    with pytest.raises(StoreError, match="cannot be reached"):
        store.record(turn)
    wire.cut = lambda sent: ""
    assert until("it is reached again", lambda: tried(lambda: len(store.alerts()))) == 1
    with pytest.raises(Conflict):
        store.record(turn)
    store.record(poll(snapshots={Scope.QUEUE: snapshot(at(30))}, now=at(30)))
    assert recorded(store) == 3
    with store._db.read() as conn:
        frames = [row["key_frame"] for row in conn.execute("SELECT key_frame FROM recorded_polls ORDER BY at")]
    assert frames == [True, False, True]
    assert len(posts(store, at(31))) == 1


def tried(what: Callable[[], int]) -> int:
    """What it returns; 0 while the database cannot be used."""
    try:
        return what()
    except StoreError:
        return 0


def recorded(store: PostgresStore) -> int:
    """The recorded polls; each can be read."""
    return len(list(store.polls("acme", at(-60), at(60))))


# What is required of a server


def test_two_processes_open_a_new_database_together(database: str) -> None:
    opened: list[PostgresStore] = []
    threads = [threading.Thread(target=lambda: opened.append(PostgresStore(address_of(database)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for each in opened:
        each.close()


def test_a_database_without_tables(database: str) -> None:
    """It is not created by a command that only reads."""
    assert not exists(address_of(database))
    with pytest.raises(StoreError, match="there are no tables yet; `alertbot run`, `poll` or `worker` creates them"):
        PostgresStore(address_of(database), reading=True)
    PostgresStore(address_of(database)).close()
    assert exists(address_of(database))
    PostgresStore(address_of(database), reading=True).close()


def test_a_database_of_a_newer_version(database: str) -> None:
    PostgresStore(address_of(database)).close()
    run("INSERT INTO alertbot.migrations (step) VALUES (999)", address_of(database))
    with pytest.raises(NewerDatabase, match=r"was written by a newer alertbot \(it has step 999\)"):
        PostgresStore(address_of(database))


# Versions side by side

HOST = "vm1, process 12 (run 0a1b2c3d)"


@pytest.fixture
def old(database: str) -> str:
    """The address of a database that an older version made, with the schema of workers."""
    address = address_of(database)
    with closing(PostgresStore(address)) as store:
        store.workers.create()
    make_old(address)
    return address


def add_worker(address: str, name: str = HOST, seen_ago: float = 0.0) -> None:
    """A worker of an older version."""
    run(
        "INSERT INTO alertbot_jobs.workers (name, seen_at, max_tenants, version, settings) "
        f"VALUES ('{name}', now() - interval '{seen_ago} seconds', 10, '0.1.9', '{{}}')",
        address,
    )


def add_lease(address: str, until: datetime) -> None:
    """A single process of an older version."""
    run(
        "INSERT INTO alertbot.leases (name, owner, since, until, ttl_seconds) "
        f"VALUES ('delivery', '{HOST}', '2026-01-01T00:00:00Z', '{stamp(until)}', 30)",
        address,
    )


def steps(address: str) -> int:
    """The last step of the tables."""
    with psycopg.connect(address) as conn:
        (last,) = conn.execute("SELECT max(step) FROM alertbot.migrations").fetchone() or (0,)
    return int(last)


@pytest.mark.parametrize("reading", [False, True], ids=["to write", "to read"])
def test_tables_are_not_upgraded_beside_older_workers(old: str, reading: bool) -> None:
    """Every command refuses, and names some of the workers with their version, and what to do."""
    for number in range(1, 6):
        add_worker(old, HOST.replace("vm1", f"vm{number}"))
    with pytest.raises(OldVersionRuns) as caught:
        PostgresStore(old, reading=reading)
    said = str(caught.value)
    assert "because workers of an older version are running on it: vm1, process 12 (0.1.9), vm2, process 12" in said
    assert "vm3, process 12 (0.1.9) and 2 more; stop all of them, then start the new version" in said
    assert "docs/scale.md, Upgrading workers" in said
    assert steps(old) == migrations.newest() - 1


def test_tables_are_upgraded_when_older_workers_are_silent(old: str) -> None:
    """For as long as makes `alertbot workers` leave them out."""
    add_worker(old, seen_ago=6.1)
    with closing(PostgresStore(old)) as store:
        assert store.workers.living() == []
    assert steps(old) == migrations.newest()


def test_tables_are_not_upgraded_beside_a_single_process(old: str) -> None:
    """One that was stopped or killed is in the way for as long as its lease."""
    add_lease(old, datetime.now(UTC) + timedelta(seconds=20))
    with pytest.raises(OldVersionRuns, match="an older version is running on it: vm1, process 12; stop it, then"):
        PostgresStore(old)
    assert steps(old) == migrations.newest() - 1
    run("DELETE FROM alertbot.leases", old)
    add_lease(old, datetime.now(UTC) - timedelta(seconds=1))
    PostgresStore(old).close()
    assert steps(old) == migrations.newest()


def test_a_worker_that_joins_during_an_upgrade(old: str) -> None:
    """The upgrade waits for it, and is refused."""
    refused: list[OldVersionRuns] = []

    def upgrade() -> None:
        try:
            PostgresStore(old).close()
        except OldVersionRuns as error:
            refused.append(error)

    with psycopg.connect(old) as joining:
        joining.execute(f"SELECT pg_advisory_xact_lock({_WRITES})".encode())
        joining.execute(
            "INSERT INTO alertbot_jobs.workers (name, max_tenants, version, settings) VALUES (%s, 10, '0.1.9', '{}')",
            (HOST,),
        )
        thread = threading.Thread(target=upgrade)
        thread.start()
        until("the upgrade waits", lambda: waiting_for_locks() == 1)
    thread.join()
    assert len(refused) == 1
    assert steps(old) == migrations.newest() - 1


def test_nothing_is_written_into_tables_of_a_newer_version(database: str) -> None:
    """By a process that was paused while they were upgraded: it cannot even join the workers, or beat."""
    address = address_of(database)
    with closing(PostgresStore(address)) as store:
        store.workers.create()
        join = partial(store.workers.join, version="0.2.0", settings="{}", max_tenants=10, now=at(0))
        join("a")
        run("INSERT INTO alertbot.migrations (step) VALUES (999)", address)
        writes: list[Callable[[], object]] = [
            lambda: store.record(poll([begins(firing("1"))])),
            lambda: store.add_notices([ops("hello")]),
            lambda: store.take_leases(["delivery"], "a", at(0), timedelta(seconds=30)),
            lambda: store.own("acme", "a", at(0)),
            lambda: join("b"),
            store.check_writable,
        ]
        for write in [*writes, *writes]:  # more than there are connections
            with pytest.raises(NewerDatabase, match=r"was written by a newer alertbot \(it has step 999\)"):
                write()
        assert asyncio.run(beat(address, "a")) == []
        assert store.alerts() == []
        run("DELETE FROM alertbot.migrations WHERE step = 999", address)
        assert [each.name for each in asyncio.run(beat(address, "a"))] == ["a"]
        store.add_notices([ops("hello")])
        assert store.totals().waiting == 1


async def beat(address: str, name: str) -> Sequence[WorkerRow]:
    """One heartbeat of a worker."""
    pulse = Pulse(address, name)
    try:
        return await pulse.beat(0.0, None)
    finally:
        await pulse.close()


# What else is required


def test_another_encoding(database: str) -> None:
    run(f"CREATE DATABASE {database}_latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        with pytest.raises(
            StoreError, match="the encoding of the database is LATIN1, and alertbot needs UTF-8; create"
        ) as caught:
            PostgresStore(address_of(f"{database}_latin"))
    finally:
        run(f"DROP DATABASE {database}_latin")
    assert not caught.value.retryable


def test_a_server_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alertbot.store.postgres.server.MIN_VERSION", 99)
    with pytest.raises(
        StoreError, match=r"the server is PostgreSQL \d+, and alertbot needs 99 or newer; upgrade the server"
    ):
        exists(server())


def test_a_user_who_may_not_create_tables(database: str) -> None:
    run("DROP ROLE IF EXISTS guest")
    run("CREATE ROLE guest LOGIN")
    address = address_of(database).replace("postgres:@", "guest@")
    with pytest.raises(StoreError, match="the user guest may not create the schema of the tables") as caught:
        PostgresStore(address)
    remedy = f'GRANT CREATE ON DATABASE "{database}" TO "guest"'
    assert remedy in str(caught.value)
    with pytest.raises(StoreError) as known:  # as `doctor` says it, which creates none
        PostgresStore.check_may_create(address)
    assert str(known.value) == str(caught.value)
    run(remedy)
    PostgresStore.check_may_create(address)
    assert not exists(address)
    store = PostgresStore(address)
    store.workers.create()  # in a schema of its own
    store.close()


UNREACHABLE = {
    "nothing listens there": (
        "127.0.0.1:1",
        "/alertbot",
        "cannot be reached: .*Connection refused; start the server, or correct",
    ),
    "no such host": ("db.invalid", "/alertbot", "cannot be reached: .*(could not translate|failed to resolve)"),
}


@pytest.mark.parametrize(("host", "path", "said"), UNREACHABLE.values(), ids=UNREACHABLE)
def test_a_server_that_cannot_be_reached(host: str, path: str, said: str) -> None:
    """It can be tried again; the password is not in the message."""
    with pytest.raises(StoreError, match=said) as caught:
        PostgresStore(f"postgresql://bot:{PASSWORD}@{host}{path}", wait=2)
    assert caught.value.retryable
    assert f"postgresql://bot@{host}{path}" in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_server_without_ssl(own: OwnServer) -> None:
    """It runs, at the right host and port: the remedy is another one."""
    remedy = "but SSL was required; correct sslmode in `storage`, or the SSL settings of the server"
    with pytest.raises(StoreError, match=remedy) as caught:
        PostgresStore(own.address + "?sslmode=require")
    assert "start the server" not in str(caught.value)


def test_a_user_who_does_not_exist() -> None:
    with pytest.raises(StoreError, match="the server refuses the user or the password of `storage`"):
        PostgresStore(server().replace("postgres:@", f"nobody:{PASSWORD}@"))


WRONG_ADDRESSES = {
    "an @ in the password": f"postgresql://bot:p@{PASSWORD}@host/db",
    "a % in the password": f"postgresql://bot:%{PASSWORD}@host/db",
    "an unknown parameter": f"postgresql://bot:{PASSWORD}@host/db?{PASSWORD}=1",
}


@pytest.mark.parametrize("address", WRONG_ADDRESSES.values(), ids=WRONG_ADDRESSES)
def test_an_address_that_cannot_be_read(address: str) -> None:
    """What is wrong is not quoted: it may be a part of the password."""
    with pytest.raises(
        StoreError, match="the address of the database cannot be read; write postgresql://USER:PASSWORD@HOST"
    ) as caught:
        Server(address, 1.0)
    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None


def test_agents_of_a_turn_that_was_committed_late(store: PostgresStore) -> None:
    """Its rows may have lower numbers than those that were read already; equal initials are told apart all the same."""
    insert = "INSERT INTO alertbot.agents (tenant, id, name) VALUES ('acme', '{}', '{}')"
    address = _contract()
    with closing(PostgresStore(address, initials=True)) as reading:
        with psycopg.connect(address) as late:
            late.execute(insert.format("A1", "Dana Whitfield").encode())
            run(insert.format("A2", "Dora Winter"), address)
            assert reading.names().of("acme", Scope.AGENT, "A2", "Dora Winter") == "DW"
        run(insert.format("A3", "Eve Young"), address)
        names = reading.names()
    assert names.of("acme", Scope.AGENT, "A2", "Dora Winter") == "DW (A2)"
    assert names.of("acme", Scope.AGENT, "A1", "Dana Whitfield") == "DW (A1)"
