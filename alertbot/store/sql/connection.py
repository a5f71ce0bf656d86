"""What the statements need of a database: transactions, rows by name, and new short ids.

Theory. Each statement exists once, in the form that SQLite and PostgreSQL share. SQLite runs it as it is written.
PostgreSQL runs it after two changes, see postgres/dialect.py, and its migrations create the functions of SQLite that it
lacks. To stay in the common form:

- parameters are `?` in order, or `:name`; a list is JSON, read with `json_each`. Its ids are cast to BIGINT;
- rows are written with ON CONFLICT and RETURNING; within DO UPDATE a column of the table is named with its table;
- a flag is TRUE or FALSE, and is tested as it is: `WHERE latched` (`complete` and `closed` are numbers). What is true
  is counted with count(*) FILTER;
- a column of a grouped statement is grouped or aggregated; a subquery after FROM has a name;
- where NULL may be sorted, the statement says where it goes;
- hints to SQLite are `INDEXED BY name` and `CROSS JOIN table ON`, which also fixes the order of a join.

Within a transaction that writes, no other one writes what it reads: what a statement read is still so when the next one
writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from alertbot.store import codec

Parameters = Sequence[Any] | Mapping[str, Any]

UNFINISHED_COPY = "unfinished_copy"
"""The counter (of no tenant) of a database to which another one is being copied, from the first row to the last."""
WRITE_CHECKS = "write_checks"
"""The counter (of no tenant) of how often it was tried whether the database can be written."""


class Row(codec.Row, Protocol):
    """A row that was read: columns by name or place."""

    def __getitem__(self, column: str | int, /) -> Any:
        """The value of a column."""

    def __iter__(self) -> Iterator[Any]:
        """The values in their order."""

    def keys(self) -> Iterable[str]:
        """The names of the columns."""


class Cursor(Protocol):
    """The result of a statement."""

    @property
    def rowcount(self) -> int:
        """How many rows were written."""

    def fetchone(self) -> Any:
        """The next Row, or None."""

    def fetchall(self) -> list[Any]:
        """All that are left, each a Row."""

    def __iter__(self) -> Iterator[Any]:
        """The same, one by one."""


class Connection(Protocol):
    """A connection within a transaction."""

    def execute(self, sql: str, parameters: Parameters = ..., /) -> Cursor:
        """Run one statement."""

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> object:
        """Run one statement for each of these rows."""

    def execute_each(self, sql: str, parameters: Sequence[Parameters], /) -> list[list[Any]]:
        """The rows that one statement returns for each of these parameters."""

    def new_ids(self, expected: int = 1) -> Iterator[int]:
        """Short ids that were never given, for alerts and silences of this transaction. `expected`: how many."""


class Database(Protocol):
    """A database. Raises StoreError, here and in every method, and so do statements within a transaction."""

    @property
    def name(self) -> str:
        """How the database is called in messages: no password is part of it."""

    @property
    def written(self) -> int:
        """A number that is higher whenever this process has written something since."""

    def read(self) -> AbstractContextManager[Connection]:
        """A transaction that reads: one consistent view, whatever is written meanwhile."""

    def look(self) -> AbstractContextManager[Connection]:
        """The same for one statement: that is consistent by itself."""

    def write(self, *, within: float | None = None, tenant: str | None = None) -> AbstractContextManager[Connection]:
        """A transaction that writes: all of it or nothing. `within`: seconds to wait for others that write.

        With `tenant` it writes only what belongs to this tenant, and reads only that and what no other such
        transaction writes: those of different tenants may then run side by side.

        In a transaction that this thread has begun it is a part of that one, and so is what this thread reads.
        """

    def tidy(self) -> str:
        """Keep it small and fast, if it needs help with that; what prevents it, in a sentence, or ""."""

    def close(self) -> None:
        """Close it. Closing twice is harmless."""
