"""A PostgreSQL server as `storage` names it: its address, what it must be, and psycopg's errors as StoreError."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import PoolTimeout

from alertbot.errors import NewerDatabase, StoreError
from alertbot.store.postgres import migrations
from alertbot.store.postgres.dialect import Row, adapt, rows_by_name

MIN_VERSION = 14
SCHEMA_OF_JOBS = "alertbot_jobs"
"""Where the tables of Procrastinate and of the workers are."""
WAIT = 4.0
"""Seconds to wait for the server, where the caller names no time: longer than a restart takes, and than the pool waits
between its second attempt to connect and its third."""
WAIT_WHILE_GONE = 0.5
"""Seconds to wait for a server that was waited for in vain."""
STARTED = "CAST(pg_postmaster_start_time() AS TEXT)"
"""When the server was started, as SQL."""
LOCK_WITHIN = 10.0
"""Seconds to wait for others that write, where the caller names no time."""
# A server that does not answer is given up after this; parameters in the address take precedence.
_DEFAULTS = {
    "application_name": "alertbot",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}

Plain = psycopg.Connection[Row]


class Server:
    """The address of a database; `wait`: seconds to wait for a connection."""

    def __init__(self, address: str, wait: float) -> None:
        self._parts = _parts(address)
        self._wait = wait
        timeout = str(max(2, round(wait)))  # libpq takes 1 for 2
        self.info = make_conninfo("", **{"connect_timeout": timeout, **_DEFAULTS, **self._parts})
        self._failed: psycopg.Error | None = None  # why the last attempt to connect failed; None where it did not
        self._failing_since = 0.0  # on the monotonic clock

    @property
    def name(self) -> str:
        """The address without the password."""
        user, host, port, base = (self._parts.get(key, "") for key in ("user", "host", "port", "dbname"))
        user += "@" if user else ""
        if host.startswith("/"):  # the folder of a socket
            return f"postgresql://{user}/{base}?host={host}"
        return f"postgresql://{user}{host}{':' if port else ''}{port}/{base}"

    @contextmanager
    def connected(self) -> Iterator[Plain]:
        """A connection that is closed at the end. Raises StoreError where the server is not as it is needed."""
        with self.door(opening=True), psycopg.connect(self.info, autocommit=True, row_factory=rows_by_name) as conn:
            adapt(conn)
            self._check(conn)
            yield conn

    def _check(self, conn: Plain) -> None:
        version = conn.info.server_version // 10000
        if version < MIN_VERSION:
            raise final(
                f"{self.name}: the server is PostgreSQL {version}, and alertbot needs {MIN_VERSION} or newer",
                "upgrade the server, or name another one in `storage`",
            )
        encoding = conn.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise final(
                f"{self.name}: the encoding of the database is {encoding}, and alertbot needs UTF-8",
                "create another one with CREATE DATABASE alertbot ENCODING 'UTF8' TEMPLATE template0",
            )

    def applied(self, conn: Plain) -> int | None:
        """The last step of the tables; None where there are none. Raises NewerDatabase."""
        before = migrations.applied(conn)
        if before is not None:
            self.refuse_newer(before)
        return before

    def refuse_newer(self, step: int) -> None:
        """Raise NewerDatabase if this, the last step of the tables, is of a newer version."""
        if step > migrations.newest():
            raise NewerDatabase(
                f"{self.name} was written by a newer alertbot (it has step {step}), and was not changed",
                "install that version again, or restore a backup that this version made (docs/deploy.md, Downgrading)",
            )

    @contextmanager
    def door(self, waited: float = LOCK_WITHIN, *, opening: bool = False) -> Iterator[None]:
        """Within it, errors of psycopg are StoreErrors. `waited`: seconds that were waited for a lock.

        `opening`: the address may be wrong, since nothing was done with it yet.
        """
        try:
            yield
        except PoolTimeout as exc:
            raise self._unreachable() from exc
        except psycopg.Error as exc:
            error = self._explained(exc, waited)
            raise self._with_remedy(error) if opening and not error.remedy else error from exc

    def note(self, failed: psycopg.Error | None) -> None:
        """What came of an attempt to connect."""
        if failed is not None and self._failed is None:
            self._failing_since = time.monotonic()
        self._failed = failed

    def patience(self, within: float) -> float:
        """For how long a connection is worth waiting for, of these seconds: hardly, if it was waited for in vain."""
        if self._failed is None:
            return within
        return min(within, max(WAIT_WHILE_GONE, self._failing_since + within - time.monotonic()))

    def was_committed(self, number: str, started: str) -> bool:
        """Whether the transaction with this number was committed; asked when the answer to COMMIT did not arrive.

        `started`: when the server was started, as it said in that transaction. A server that crashed may have given the
        number of a transaction that it lost to another one, which is committed by now.

        Raises psycopg.Error where that is not known: the server cannot be asked in time, or was started again.
        """
        until, pause = time.monotonic() + self._wait, threading.Event()
        while True:
            try:
                with psycopg.connect(self.info, autocommit=True) as conn:
                    row = conn.execute(
                        f"SELECT pg_xact_status(CAST(%s AS XID8)), {STARTED}".encode(), (number,)
                    ).fetchone()
                state, now_started = row or (None, started)
                if state == "committed" and now_started != started:
                    break
                if state != "in progress" or time.monotonic() >= until:  # its session may not know yet that it is cut
                    return bool(state == "committed")
            except psycopg.OperationalError:
                if time.monotonic() >= until:
                    raise
            pause.wait(0.1)
        raise psycopg.OperationalError("the server was started again before it answered whether it committed")

    def _unreachable(self) -> StoreError:
        """Why the pool has no connection: the pool itself does not say it."""
        if self._failed is not None:
            return self._explained(self._failed, self._wait)
        try:
            with psycopg.connect(self.info, autocommit=True):
                return StoreError(f"{self.name} is busy: all connections to it are in use")
        except psycopg.Error as exc:
            self.note(exc)
            return self._explained(exc, self._wait)

    def _explained(self, exc: psycopg.Error, waited: float) -> StoreError:
        state, what = exc.sqlstate or "", self._told(exc)
        user, base = self._parts.get("user", ""), self._parts.get("dbname", "")
        if state == "55P03":
            return StoreError(f"{self.name} is locked: another process has been writing to it for {waited:g} s")
        if state == "53100":
            return StoreError(f"{self.name} cannot be written: the disk of the server is full", "free some space on it")
        if state == "25006":
            return StoreError(
                f"{self.name} cannot be written: the server is read-only, such as a standby",
                "name the primary server in `storage`",
            )
        if state == "42501" and "permission denied for database" not in what:
            return final(
                f"{self.name}: the user {user} may not use the tables ({what})",
                f"name the user who owns them in `storage`, or make {user} the owner of the schema "
                f"{migrations.SCHEMA} and of what is in it",
            )
        if state == "42501":
            return self._may_not_create(what)
        if not state and "permission denied for database" in what:
            return final(
                f"{self.name}: the user {user} may not connect to the database {base}",
                f'its owner allows it with GRANT CONNECT ON DATABASE "{base}" TO "{user}"',
            )
        # The server refuses a connection: psycopg has no code for that, only the text.
        if state == "3D000" or (not state and f'database "{base}" does not exist' in what):
            return final(f"{self.name}: there is no database {base}", f"create it: createdb --encoding UTF8 {base}")
        if "no password supplied" in what:
            return final(
                f"{self.name}: the server asks for a password, and `storage` has none",
                "add it to `storage`, or set PGPASSWORD, or write it into ~/.pgpass",
            )
        if state.startswith("28") or (not state and any(words in what for words in _REFUSED)):
            return final(
                f"{self.name}: the server refuses the user or the password of `storage`: {what}",
                "correct the user and the password in `storage`, or pg_hba.conf of the server",
            )
        if state == "53300" or any(words in what for words in _FULL):
            return StoreError(
                f"{self.name} cannot be reached: {what}",
                "raise max_connections of the server, or the limit of the user (docs/scale.md, Sizing)",
            )
        if isinstance(exc, psycopg.OperationalError):
            return StoreError(f"{self.name} cannot be reached: {what}")
        return StoreError(f"{self.name} could not be read or written: {what}")

    def check_may_create(self, conn: Plain) -> None:
        """Raise StoreError where this user may not create the tables, in a database that has none."""
        if migrations.applied(conn) is None and not _may_create(conn):
            raise self._may_not_create(f"permission denied for database {self._parts.get('dbname', '')}")

    def _may_not_create(self, what: str) -> StoreError:
        user, base = self._parts.get("user", ""), self._parts.get("dbname", "")
        return final(
            f"{self.name}: the user {user} may not create the schema of the tables ({what})",
            f'the owner of the database allows it with GRANT CREATE ON DATABASE "{base}" TO "{user}"',
        )

    def _with_remedy(self, error: StoreError) -> StoreError:
        """The same error, with what to do about a server that was never reached."""
        if "cannot be reached" not in error.finding:
            return error
        if "SSL" in error.finding:
            return StoreError(error.finding, "correct sslmode in `storage`, or the SSL settings of the server")
        return StoreError(
            error.finding,
            "start the server, or correct the host and the port in `storage`; a firewall may be in the way",
        )

    def _told(self, exc: psycopg.Error) -> str:
        """What psycopg says in one line, without the password: of several attempts to connect, the last one."""
        lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
        told = [line for line in lines if line.startswith("connection ")] or lines[:1] or [type(exc).__name__]
        password = self._parts.get("password", "")
        shown = told[-1].removeprefix("connection failed: ")
        return shown.replace(password, "***") if password else shown


_REFUSED = (
    *("authentication failed", "no pg_hba.conf entry", "pg_hba.conf rejects"),
    *('" does not exist', "is not permitted to log in"),
)
_FULL = ("too many connections", "too many clients", "remaining connection slots")


def _parts(address: str) -> dict[str, str]:
    """What an address consists of. Raises StoreError where it cannot be read; a wrong one may hold the password."""
    try:
        parts = {key: str(value) for key, value in conninfo_to_dict(address).items() if value is not None}
    except psycopg.ProgrammingError:
        parts = {}
    if not parts or "@" in parts.get("host", "") or "@" in parts.get("dbname", ""):
        # The cause is left out on purpose: it quotes parts of the address.
        raise final(
            "the address of the database cannot be read",
            "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with %XX for special characters of the password, "
            "such as %40 for @",
        ) from None
    return parts


def noting(server: Server) -> type[psycopg.Connection[Row]]:
    """A class of connections for a pool: the server notes what comes of each attempt to connect."""

    class Noting(psycopg.Connection[Row]):
        @classmethod
        def connect(cls, *args: Any, **kwargs: Any) -> Any:
            try:
                conn = super().connect(*args, **kwargs)
            except psycopg.Error as exc:
                server.note(exc)
                raise
            server.note(None)
            return conn

    return Noting


def check_may_create(address: str, wait: float = WAIT) -> None:
    """Raise StoreError where the database has no tables, and its user may not create them."""
    server = Server(address, wait)
    with server.connected() as conn:
        server.check_may_create(conn)


def _may_create(conn: Plain) -> bool:
    row = conn.execute(
        "SELECT CASE WHEN to_regnamespace(%(schema)s) IS NULL "
        "THEN has_database_privilege(current_database(), 'CREATE') "
        "ELSE has_schema_privilege(%(schema)s, 'CREATE') END",
        {"schema": migrations.SCHEMA},
    ).fetchone()
    return bool(row and row[0])


def exists(address: str, wait: float = WAIT) -> bool:
    """Whether this database has the tables of alertbot. Raises StoreError where it cannot be reached."""
    server = Server(address, wait)
    with server.connected() as conn:
        return server.applied(conn) is not None


def final(finding: str, remedy: str) -> StoreError:
    """An error for which a retry cannot help."""
    error = StoreError(finding, remedy)
    error.retryable = False
    return error
