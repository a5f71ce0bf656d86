"""`migrate-storage`: a database copied to another one, such as a SQLite file to PostgreSQL or back."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing, nullcontext
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

import typer
from rich.progress import Progress, TextColumn

from alertbot.cli.show import err, say
from alertbot.clock import wall_clock
from alertbot.config.load import filled
from alertbot.errors import UsageError
from alertbot.service.databases import open_database, worked_on_by
from alertbot.store.records import shown_owner
from alertbot.store.sql.connection import Database
from alertbot.store.sql.copying import copy

_PLACE = "A SQLite file, or postgresql://USER:PASSWORD@HOST:PORT/DATABASE; ${NAME} is read from the environment."


def migrate_storage(
    source: Annotated[str, typer.Argument(metavar="FROM", help=_PLACE)],
    target: Annotated[str, typer.Argument(metavar="TO", help=f"{_PLACE} It must be empty, or not exist yet.")],
) -> None:
    """Copy a database to another one, such as a SQLite file to PostgreSQL or back, and verify the copy.

    FROM is not changed. Stop alertbot first. If the copy is interrupted, run the command again: it copies what is
    missing.

    Quote an address with ${NAME} in single quotes, so that the password is not shown in the list of processes. One
    without a password takes it from PGPASSWORD or ~/.pgpass.
    """
    for argument in (source, target):
        if has_password(argument):
            err.print(
                "warning: the password in an argument is shown in the list of processes: write '${NAME}' in its place, "
                "or set PGPASSWORD",
                markup=False,
                soft_wrap=True,
            )
    source, target = filled(source), filled(target)
    if source == target:
        raise UsageError("FROM and TO are the same database")
    began = time.monotonic()
    with ExitStack() as stack:
        here = stack.enter_context(closing(open_database(source, reading=True)))
        _check_stopped(here)
        there = stack.enter_context(closing(open_database(target)))
        _check_stopped(there)
        columns = (TextColumn("{task.description}"), TextColumn("{task.completed:,} rows"))
        shown = Progress(*columns, console=err.console, transient=True) if err.is_terminal else None
        task = shown.add_task("comparing") if shown is not None else None

        def progress(table: str, rows: int) -> None:
            if shown is not None and task is not None:
                shown.update(task, description=f"copying {table}", completed=rows)

        with shown or nullcontext():
            copied = copy(here, there, progress)
        added = f"copied {copied.added:,} of {copied.rows:,} rows" if copied.added else "nothing to copy"
        took = time.monotonic() - began
        say(f"{added}: {there.name} has all {copied.rows:,} rows of {here.name}, verified, in {took:.1f} s")


def has_password(address: str) -> bool:
    """Whether an address as it was typed has a password in it, and not a reference to one."""
    parts = urlsplit(address) if "://" in address else None
    written = parts and (parts.password or ",".join(parse_qs(parts.query).get("password", [])))
    return bool(written) and "${" not in str(written)


def _check_stopped(database: Database) -> None:
    if name := worked_on_by(database, wall_clock()):
        raise UsageError(f"{database.name} is used by alertbot ({shown_owner(name)}): stop it first")
