"""The statements of store/sql/ as PostgreSQL runs them, and its rows as they read them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

from psycopg import BaseConnection, Cursor
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.types.string import StrDumper

# Text in quotes stays as it is, but for % signs, which mark parameters here.
_PARTS = re.compile(
    r"""(?P<text>'[^']*')|(?P<hint>\s+INDEXED\s+BY\s+\w+)|(?P<fixed>CROSS\s+JOIN)|:(?P<name>[a-z]\w*)|(?P<place>\?)"""
)


@functools.lru_cache(maxsize=1024)
def translated(sql: str) -> str:
    """A statement in the common form as PostgreSQL and psycopg write it: parameters, and no hints to SQLite."""
    return _PARTS.sub(_translated, sql.replace("%", "%%"))


def _translated(found: re.Match[str]) -> str:
    if found["text"]:
        return found["text"]
    if found["hint"]:
        return ""
    if found["fixed"]:
        return "JOIN"
    return f"%({found['name']})s" if found["name"] else "%s"


class Row(tuple[Any, ...]):
    """A row that was read: columns by name or place. Of two columns with one name, the first is meant, as in SQLite."""

    __slots__ = ()
    places: dict[str, int] = {}  # noqa: RUF012  # replaced by each of the classes that `_row_class` makes

    def __getitem__(self, column: Any) -> Any:
        return tuple.__getitem__(self, self.places[column] if isinstance(column, str) else column)

    def keys(self) -> Sequence[str]:
        return list(self.places)


@functools.lru_cache(maxsize=1024)
def _row_class(names: tuple[str, ...]) -> type[Row]:
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        places.setdefault(name, place)
    return type("Row", (Row,), {"__slots__": (), "places": places})


def rows_by_name(cursor: Cursor[Any]) -> Callable[[Sequence[Any]], Row]:
    """The row factory of a connection."""
    return _row_class(tuple(column.name for column in cursor.description or ()))


class _Text(StrDumper):
    """Text is sent as text, so that functions are found by it; PostgreSQL cannot store a NUL character."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(obj.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in obj else obj)


class _Sum(Loader):
    """A sum of BIGINT is NUMERIC."""

    def load(self, data: Buffer) -> int | float:
        text = bytes(data).decode()
        return float(text) if "." in text else int(text)


def adapt(conn: BaseConnection[Any]) -> None:
    """Make a new connection send and return the types that the statements use."""
    conn.adapters.register_dumper(str, _Text)
    conn.adapters.register_loader("numeric", _Sum)
