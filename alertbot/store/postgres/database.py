"""The connections to PostgreSQL: a pool, transactions, and the locks of those that write.

Theory. The statements of store/sql/ rely on one thing: while a transaction writes, no other one writes what it reads.
SQLite's write lock gives them that. Here advisory locks do, which a transaction takes first, and which PostgreSQL
releases at its end, whatever becomes of the process:

- a turn of a tenant takes the lock `_WRITES` shared with other turns, and the lock of its tenant for itself. It
  protects what belongs to one tenant: alerts, cards and their members, new notices, the feed with its count of turns,
  snapshots, recording, means, the agents' names, its counters;
- everything else takes `_WRITES` for itself. That is delivery (claims, the rest of channels, the budget of a minute,
  edits, pictures, posts to the fallback webhook), what users change, silences (they raise the revision of every
  tenant), leases, owners and retention.

So the turns of a thousand tenants are committed side by side, and what delivers or changes by hand, which is rare and
takes a few milliseconds, waits for the turns that have begun. PostgreSQL serves those who wait in their order, so
neither kind waits for long. Ids need no lock (`short_ids`).

The locks are taken with the isolation READ COMMITTED: what a statement reads was committed before it began, and once
they are held nothing else commits what it reads. A transaction that only reads is REPEATABLE READ, so it has one
consistent view, and it waits for no other transaction.

The tables are upgraded under `_WRITES`, and only while no older version is running (`refuse_upgrade`). One that was
only paused continues later, with tables that it does not know. So each transaction that writes reads the last step of
the tables, after it has its locks, and is refused if that is newer than this version.

A server that is gone is noticed by the next transaction. It waits for the server (a restart takes a second or two) and
then fails with StoreError, which can be tried again. From then on, while the server stays away, transactions wait for
WAIT_WHILE_GONE only: so what asks whether the bot is ready gets its answer. The pool connects again when it is asked
for a connection. A process that is stopped within a transaction holds the lock for MAX_IDLE at most: then the server
ends its session, and the transaction with it.

A connection can be cut after COMMIT was sent and before the answer came. Then the server is asked, by the number of the
transaction, what became of it: it was committed, or it is undone and may be tried again. Where even that stays unknown
it is StoreError, and what is kept in memory of what was written is discarded (`SqlStore.record`). It is unknown after a
crash, too: the number of a transaction that the server lost may be that of another one now.
"""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import psycopg
from psycopg_pool import ConnectionPool

from alertbot.errors import StoreError
from alertbot.store.postgres import migrations
from alertbot.store.postgres.dialect import Row, adapt, rows_by_name, translated
from alertbot.store.postgres.living import refuse_upgrade
from alertbot.store.postgres.server import LOCK_WITHIN, STARTED, WAIT, Plain, Server, final, noting
from alertbot.store.sql.connection import Parameters

MAX_IDLE = 5
"""Seconds for which a transaction may do nothing: shorter than others wait for its lock (LOCK_WITHIN).

A process that is paused within one blocks all others for this long, so it is no longer than a busy process needs."""
_CONNECTIONS = 8  # at most; a thread has one during a transaction
_WRITES = 0x616C657274626F74  # "alertbot"
_TENANT = 0x616C6572  # the first half of the key of a lock of a tenant
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# The last result of those that write is the number of the transaction, the last step of the tables, and when the server
# was started. Sent as one: each of them is a round trip less.
_WRITE = (
    "BEGIN; SET LOCAL lock_timeout = {within}; SELECT {locks}; "  # noqa: S608
    f"SELECT CAST(pg_current_xact_id() AS TEXT), (SELECT max(step) FROM migrations), {STARTED}"
)

# At the last ANALYZE (or VACUUM) a table had `relpages` pages; before the first one its `reltuples` is -1, and even an
# empty table is planned with as if it had hundreds of rows.
_GROWN = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ? AND c.relkind = 'r' AND (c.reltuples < 0
        OR pg_relation_size(c.oid) > (2 * c.relpages + 4) * CAST(current_setting('block_size') AS BIGINT))
"""

# They warn of each attempt to connect, and of what is undone when a connection is cut; StoreError says it once.
logging.getLogger("psycopg").setLevel(logging.ERROR)
logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)

_ByName = psycopg.Connection[Row]


class Connection:
    """A connection within a transaction, for the statements of store/sql/."""

    def __init__(self, conn: _ByName) -> None:
        self.conn = conn
        self.depth = 0  # of transactions within it

    def execute(self, sql: str, parameters: Parameters = (), /) -> psycopg.Cursor[Row]:
        return self.conn.execute(translated(sql).encode(), parameters)

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> None:
        rows = list(parameters)
        if rows:
            with self.conn.cursor() as cursor:
                cursor.executemany(translated(sql).encode(), rows)

    def run_script(self, script: str) -> None:
        """Run several statements, with no parameters, as they are written."""
        self.conn.execute(script.encode())

    def execute_each(self, sql: str, parameters: Sequence[Parameters], /) -> list[list[Row]]:
        """All are sent, and then all answers are read: as many round trips as for one statement."""
        if len(parameters) < 2:
            return [self.execute(sql, each).fetchall() for each in parameters]
        with self.conn.cursor() as cursor:
            cursor.executemany(translated(sql).encode(), parameters, returning=True)
            return [result.fetchall() for result in cursor.results()]

    def new_ids(self, expected: int = 1) -> Iterator[int]:
        """Short ids that were never given: alerts and silences share one sequence."""
        while True:
            rows = self.execute(
                "SELECT nextval('short_ids') FROM generate_series(1, ?)", (max(1, expected),)
            ).fetchall()
            yield from (int(number) for (number,) in rows)
            expected = 1

    def last_ids(self) -> dict[str, int]:
        """The highest id ever given, by table; that of `alerts` is of silences too."""
        found = {"alerts": self._last("short_ids")}
        return {**found, **{table: self._last(self._sequence(table, "id")) for table in migrations.COUNTED}}

    def set_last_ids(self, ids: Mapping[str, int]) -> None:
        """Go on after these ids, and after the rows that are there."""
        self._go_on("short_ids", ids.get("alerts", 0))
        for table in migrations.COUNTED:
            self._go_on(self._sequence(table, "id"), max(ids.get(table, 0), self._highest(table, "id")))
        for table in migrations.IN_ORDER:
            self._go_on(self._sequence(table, "rowid"), self._highest(table, "rowid"))

    def _go_on(self, sequence: str, last: int) -> None:
        if last > self._last(sequence):
            self.execute("SELECT setval(CAST(? AS REGCLASS), ?)", (sequence, last))

    def _highest(self, table: str, column: str) -> int:
        (last,) = self.execute(f"SELECT COALESCE(max({column}), 0) FROM {table}").fetchone() or (0,)  # noqa: S608
        return int(last)

    def check_references_last(self) -> None:
        """They are checked at the end of a transaction as they are."""

    def _sequence(self, table: str, column: str) -> str:
        (name,) = self.execute("SELECT pg_get_serial_sequence(?, ?)", (table, column)).fetchone() or ("",)
        return str(name or "")

    def _last(self, sequence: str) -> int:
        (last,) = self.execute(
            f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}"  # noqa: S608  # of our tables
        ).fetchone() or (0,)
        return int(last)


class Database:
    """One PostgreSQL database, used by several threads and processes at once.

    `wait`: seconds to wait for the server. `reading`: the tables must exist.
    """

    def __init__(self, address: str, *, wait: float = WAIT, reading: bool = False) -> None:
        self._server = Server(address, wait)
        self._wait = wait
        self._own = threading.local()  # the connection with which a thread writes
        self.written = 0
        # Threads that write wait here for those of this process: so they need no connection to wait. Turns of several
        # tenants go on together, as many as leave connections for those that read.
        self._lock = threading.BoundedSemaphore(1)
        self._turns = threading.BoundedSemaphore(_CONNECTIONS // 2)
        with self._server.connected() as conn:
            self._prepare(conn, reading=reading)
        self._pool: ConnectionPool[_ByName] = ConnectionPool(
            self._server.info,
            connection_class=noting(self._server),
            kwargs={"autocommit": True, "row_factory": rows_by_name},
            min_size=0,
            max_size=_CONNECTIONS,
            configure=_configure,
            timeout=wait,
            reconnect_timeout=wait,
            open=True,
        )

    @property
    def name(self) -> str:
        """The address without the password."""
        return self._server.name

    @property
    def address(self) -> str:
        """What libpq connects with, the password included."""
        return self._server.info

    def _prepare(self, conn: Plain, *, reading: bool) -> None:
        before = self._server.applied(conn)
        if before == migrations.newest():
            return
        if before is None and reading:
            raise final(f"{self.name}: there are no tables yet", "`alertbot run`, `poll` or `worker` creates them")
        with conn.transaction():
            # Two processes may open a new database together: the second waits here, then finds nothing to do.
            conn.execute("SELECT pg_advisory_xact_lock(%s)", (_WRITES,))
            before = self._server.applied(conn)
            if before == migrations.newest():
                return
            if before is not None:
                refuse_upgrade(Connection(conn), self.name)
            migrations.migrate(conn, before)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that reads: one consistent view, whatever is written meanwhile. It waits for no writer."""
        if (own := self._writer()) is not None:
            with self._server.door():
                yield own
            return
        with self._server.door(), self._connected(_READ, self._wait) as conn:
            yield conn

    @contextmanager
    def write(self, *, within: float | None = None, tenant: str | None = None) -> Iterator[Connection]:
        """A transaction that writes: all of it or nothing. `within`: seconds to wait for other writers, of any process.

        With `tenant` it is a turn of this tenant, and waits for no turn of another one.

        In a transaction that this thread has begun it is a part of that one, and so is what this thread reads.
        """
        if (own := self._writer()) is not None:
            with self._server.door(), _part(own):
                yield own
            return
        mine = self._lock if tenant is None else self._turns
        if not mine.acquire(timeout=within):
            raise StoreError(f"{self.name} is busy: nothing else could be written to it for {within:g} s")
        waited = LOCK_WITHIN if within is None else within
        try:
            begin = _WRITE.format(within=round(waited * 1000), locks=_locks(tenant))
            with self._server.door(waited), self._connected(begin, self._wait if within is None else within) as conn:
                self._own.conn = conn
                yield conn
            self.written += 1
        finally:
            self._own.conn = None
            mine.release()

    def _writer(self) -> Connection | None:
        found: Connection | None = getattr(self._own, "conn", None)
        return found

    @contextmanager
    def _connected(self, begin: str, within: float) -> Iterator[Connection]:
        """A transaction on a connection of the pool."""
        conn, known = self._begun(begin, within)
        try:
            yield Connection(conn)
            try:
                conn.execute("COMMIT")
            except psycopg.OperationalError:
                if known is None or not self._server.was_committed(*known):
                    raise
        except BaseException:
            with suppress(psycopg.Error):
                conn.execute("ROLLBACK")
            raise
        finally:
            self._pool.putconn(conn)  # which closes it if it is broken

    @contextmanager
    def look(self) -> Iterator[Connection]:
        """For one statement that reads, which needs no transaction to be consistent: two round trips less."""
        if (own := self._writer()) is not None:
            with self._server.door():
                yield own
            return
        until = time.monotonic() + self._server.patience(self._wait)
        with self._server.door():
            conn = _Look(lambda: self._pool.getconn(timeout=max(0.05, until - time.monotonic())), self._pool.putconn)
            try:
                yield conn
            finally:
                conn.put_back()

    def _begun(self, begin: str, within: float) -> tuple[_ByName, tuple[str, str] | None]:
        """A connection with a transaction; if that writes, its number, and when the server was started."""
        until = time.monotonic() + self._server.patience(within)
        while True:
            conn = self._pool.getconn(timeout=max(0.05, until - time.monotonic()))
            try:
                cursor, last = conn.execute(begin.encode()), None
                while cursor.nextset():
                    last = cursor
                if last is None or (row := last.fetchone()) is None:
                    return conn, None
                self._server.refuse_newer(row[1])
                return conn, (row[0], row[2])
            except psycopg.OperationalError:
                # It was idle while the server was restarted. Nothing was done with it, so another one is taken.
                if not conn.broken:
                    conn.execute("ROLLBACK")
                self._pool.putconn(conn)
                if not conn.broken or time.monotonic() >= until:
                    raise
            except BaseException:
                with suppress(psycopg.Error):
                    conn.execute("ROLLBACK")
                self._pool.putconn(conn)
                raise

    def size(self) -> int:
        """The bytes of the tables and indexes."""
        with self.read() as conn:
            row = conn.execute(
                "SELECT COALESCE(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c "
                "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ? AND c.relkind = 'r'",
                (migrations.SCHEMA,),
            ).fetchone()
            return int(row[0]) if row else 0

    def tidy(self) -> str:
        """Space is given back by the server itself (autovacuum). Here tables that have grown get new statistics.

        Autovacuum looks at them once a minute. Until then the server plans the statements of a new database, or of one
        that was copied, as if its tables were empty: some of them read every open alert, at each poll.
        """
        with suppress(StoreError):  # what keeps it from that also keeps it from writing, which says so
            with self.look() as conn:
                grown = [row["relname"] for row in conn.execute(_GROWN, (migrations.SCHEMA,)).fetchall()]
            if grown:
                with self.look() as conn:
                    conn.execute(f"ANALYZE (SKIP_LOCKED) {', '.join(grown)}")
        return ""

    def close(self) -> None:
        """Close the connections. Closing twice is harmless."""
        self._pool.close()


class _Look(Connection):
    """A connection for one statement that reads."""

    def __init__(self, take: Callable[[], _ByName], put: Callable[[_ByName], None]) -> None:
        super().__init__(take())
        self._take, self._put = take, put
        self._taken = True

    def execute(self, sql: str, parameters: Parameters = (), /) -> psycopg.Cursor[Row]:
        while True:
            try:
                return super().execute(sql, parameters)
            except psycopg.OperationalError:
                if not self.conn.broken:
                    raise
                # It was idle while the server was restarted, say. Another one is asked, until there is none.
                self.put_back()
                self.conn, self._taken = self._take(), True

    def put_back(self) -> None:
        if self._taken:
            self._taken = False
            self._put(self.conn)


def _locks(tenant: str | None) -> str:
    """The locks of a turn of this tenant, or that of everything else."""
    if tenant is None:
        return f"pg_advisory_xact_lock({_WRITES})"
    # As hashtext() of the server would, but for a literal in the statement: two tenants may share one, and then wait.
    key = zlib.crc32(tenant.encode()) - 2**31
    return f"pg_advisory_xact_lock_shared({_WRITES}), pg_advisory_xact_lock({_TENANT}, {key})"


def _configure(conn: _ByName) -> None:
    adapt(conn)
    conn.execute(
        f"SET search_path = {migrations.SCHEMA}, pg_catalog; "
        f"SET idle_in_transaction_session_timeout = '{MAX_IDLE}s'; SET timezone = 'UTC'".encode()
    )


@contextmanager
def _part(conn: Connection) -> Iterator[None]:
    """A transaction within one: undone alone if it fails."""
    conn.depth += 1
    name = f"part_{conn.depth}"
    try:
        conn.execute(f"SAVEPOINT {name}")
        yield
        conn.execute(f"RELEASE SAVEPOINT {name}")
    except BaseException:
        with suppress(psycopg.Error):
            conn.execute(f"ROLLBACK TO SAVEPOINT {name}")
        raise
    finally:
        conn.depth -= 1
