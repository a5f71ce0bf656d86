"""Copies all rows of one database to another, in pages, and verifies them by count and content.

Theory. Rows are compared page by page in the order of a key, and only those that the target lacks are added: so a copy
that was interrupted continues where it stopped, and a complete one adds nothing. A row of the target that the source
does not have, or has otherwise, is data of another bot: it is found before anything is written. At the end all rows are
compared once more.

The target has a mark (`UNFINISHED_COPY`) from the first row that is added until all rows were compared at the end. So
no command takes a part of a database for all of it, whenever the copy was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from alertbot.errors import StoreError, UsageError
from alertbot.store.sql.connection import UNFINISHED_COPY, WRITE_CHECKS, Connection, Database
from alertbot.store.sql.record import count

_PAGE = 500


class Copyable(Connection, Protocol):
    """A connection whose sequences of ids can be read and set."""

    def last_ids(self) -> Mapping[str, int]:
        """The highest id ever given, by table; that of `alerts` is of silences too."""

    def set_last_ids(self, ids: Mapping[str, int]) -> None:
        """Go on after these ids."""

    def check_references_last(self) -> None:
        """Rows may refer to rows that are added later in this transaction."""


@dataclass(frozen=True)
class _Table:
    """`key`: columns that no two rows share; `flags`: numbers in SQLite, booleans elsewhere."""

    name: str
    key: tuple[str, ...]
    flags: tuple[str, ...] = ()
    at_once: bool = False  # rows refer to others of this table
    where: str = "TRUE"  # the other rows are about the database that has them

    @property
    def columns(self) -> str:
        return "rowid, *" if "rowid" in self.key else "*"


# Each after those that it refers to. A table whose rows have an order of arrival is read in that order. Without
# `owners` and `claims`, which say what processes of that database do now.
TABLES = (
    _Table("feeds", ("tenant",)),
    _Table("alerts", ("id",), ("nagged", "unstable", "latched")),
    _Table("cards", ("id",)),
    _Table("card_alerts", ("card_id", "alert_id")),
    _Table("notices", ("rowid",), ("broadcast",), at_once=True),
    _Table("channels", ("channel",)),
    _Table("snapshots", ("tenant", "scope")),
    _Table("counters", ("tenant", "name"), where=f"name NOT IN ('{UNFINISHED_COPY}', '{WRITE_CHECKS}')"),
    _Table("running_rules", ("tenant",)),
    _Table("recorded_layouts", ("id",)),
    _Table("recorded_polls", ("id",), ("key_frame",)),
    _Table("leases", ("name",)),
    _Table("revisions", ("tenant",)),
    _Table("former_messages", ("card_id", "posted_channel_id", "posted_ts")),
    _Table("silences", ("id",), ("started", "warned")),
    _Table("channel_posts", ("channel", "at", "notice_id")),
    _Table("agents", ("rowid",)),
    _Table("card_edits", ("at", "card_id")),
    _Table("fallback_posts", ("rowid",), ("maybe_sent",)),
    _Table("usual_layouts", ("id",)),
    _Table("usual_means", ("id",)),
    _Table("usual_keys", ("tenant", "scope", "metric_key")),
    _Table("people", ("id",)),
    _Table("possible_duplicates", ("notice_id",)),
)

_Values = dict[str, Any]
_Key = tuple[Any, ...]


@dataclass(frozen=True)
class Copied:
    """`rows`: how many both have now; `added`: how many of them were copied by this call."""

    rows: int
    added: int


def copy(source: Database, target: Database, progress: Callable[[str, int], None] = lambda table, rows: None) -> Copied:
    """Copy what the target lacks. `progress` is called with a table, and the rows of it that are done.

    Raises UsageError where the target has other data (nothing is written then), and StoreError where a database cannot
    be read or written.
    """
    with source.read() as reading:
        if _is_unfinished(reading):
            raise UsageError(f"{source.name} has only a part of another database: finish the copy to it first")
        for table in TABLES:
            _pass(reading, target, table, None, other_data=True)
        with target.write() as writing:
            count(writing, "", UNFINISHED_COPY)
        added = sum(_pass(reading, target, table, progress, write=True) for table in TABLES)
        with target.write() as writing:
            _copyable(writing).set_last_ids(_copyable(reading).last_ids())
        missing = [table.name for table in TABLES if _pass(reading, target, table, None)]
        if missing:
            lacking = ", ".join(missing)
            raise StoreError(f"{target.name} lacks rows that were just copied ({lacking}); run the command again")
        counts = [(_count(reading, table), table) for table in TABLES]
        with target.read() as there:
            for rows, table in counts:
                if _count(there, table) != rows:
                    raise StoreError(f"{target.name} and {source.name} differ in the number of rows in {table.name}")
    with target.write() as writing:
        writing.execute("DELETE FROM counters WHERE tenant = '' AND name = ?", (UNFINISHED_COPY,))
    target.tidy()
    return Copied(sum(rows for rows, _ in counts), added)


def _copyable(conn: Any) -> Copyable:
    found: Copyable = conn
    return found


def _is_unfinished(conn: Connection) -> bool:
    row = conn.execute("SELECT 1 FROM counters WHERE tenant = '' AND name = ?", (UNFINISHED_COPY,)).fetchone()
    return row is not None


def _count(conn: Connection, table: _Table) -> int:
    (rows,) = conn.execute(f"SELECT count(*) FROM {table.name} WHERE {table.where}").fetchone()  # noqa: S608  # built-in
    return int(rows)


def _pass(
    reading: Connection,
    target: Database,
    table: _Table,
    progress: Callable[[str, int], None] | None,
    *,
    write: bool = False,
    other_data: bool = False,
) -> int:
    """Compare one table; the number of rows that the target lacks, or lacked and has now with `write`."""
    if write and table.at_once:
        with target.write() as writing:
            _copyable(writing).check_references_last()
            return _compare(reading, target, table, progress, write=True)
    with target.read() as there:
        if other_data and _count(there, table) == 0:
            return 0
    return _compare(reading, target, table, progress, write=write)


def _compare(
    reading: Connection,
    target: Database,
    table: _Table,
    progress: Callable[[str, int], None] | None,
    *,
    write: bool,
) -> int:
    lacking = done = 0
    last: _Key | None = None
    for page in _pages(reading, table):
        end = next(reversed(page))
        with target.read() as there:
            found = _between(there, table, last, end)
        missing = [values for key, values in page.items() if key not in found]
        if any(page.get(key) != values for key, values in found.items()):
            raise _other_data(target, table)
        if missing and write:
            with target.write() as writing:
                _insert(writing, table, missing)
        lacking += len(missing)
        done += len(page)
        last = end
        if progress is not None:
            progress(table.name, done)
    with target.read() as there:
        if _between(there, table, last, None):
            raise _other_data(target, table)
    return lacking


def _other_data(target: Database, table: _Table) -> UsageError:
    return UsageError(
        f"{target.name} has data that is not a copy of the other database (in {table.name}): name an empty database, "
        "or a file that does not exist"
    )


def _pages(conn: Connection, table: _Table) -> Iterator[dict[_Key, _Values]]:
    last: _Key | None = None
    while page := _between(conn, table, last, None):
        yield page
        last = next(reversed(page))


def _between(conn: Connection, table: _Table, after: _Key | None, until: _Key | None) -> dict[_Key, _Values]:
    """The rows after this key, at most a page; or all until another key."""
    names, places = ", ".join(table.key), ", ".join("?" for _ in table.key)
    where = [table.where]
    where += [f"({names}) > ({places})"] if after is not None else []
    where += [f"({names}) <= ({places})"] if until is not None else []
    statement = f"SELECT {table.columns} FROM {table.name} WHERE {' AND '.join(where)}"  # noqa: S608
    limit = f" LIMIT {_PAGE}" if until is None else ""
    rows = conn.execute(f"{statement} ORDER BY {names}{limit}", (*(after or ()), *(until or ()))).fetchall()
    found = {}
    for row in rows:
        values = {name: _plain(row[name], name in table.flags) for name in row.keys()}  # noqa: SIM118  # a Row
        found[tuple(values[name] for name in table.key)] = values
    return found


def _plain(value: Any, flag: bool) -> Any:
    """A value as every database returns it. PostgreSQL cannot store a NUL character."""
    if flag:
        return bool(value)
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else value


def _insert(conn: Connection, table: _Table, rows: list[_Values]) -> None:
    names = list(rows[0])
    statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"  # noqa: S608
    conn.executemany(statement, rows)
