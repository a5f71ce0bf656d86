"""`backup`: a consistent copy of the database while the bot runs."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from alertbot.cli.shell import Config
from alertbot.cli.show import err, say
from alertbot.config.load import config_path, load
from alertbot.errors import UsageError
from alertbot.store.sqlite.backup import back_up


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; it must not exist.")],
    config: Config = None,
) -> None:
    """Write a consistent copy of the database, whether or not the bot is running."""
    settings = load(config_path(config), secrets=False)
    if settings.server:
        raise UsageError(
            "`backup` copies a SQLite file, and `storage` names a PostgreSQL server: use pg_dump --format=custom "
            f"--schema=alertbot --file={file} {settings.database()}"
        )
    began = time.monotonic()
    shown = Progress(console=err.console, transient=True) if err.is_terminal else None
    task = shown.add_task("copying") if shown is not None else None

    def progress(done: int, total: int) -> None:
        if shown is not None and task is not None:
            shown.update(task, completed=done, total=total)

    with shown or nullcontext():
        size = back_up(settings.path(settings.storage), file, progress)
    say(f"wrote {file}: {size / 2**20:.1f} MiB, checked, in {time.monotonic() - began:.1f} s")
