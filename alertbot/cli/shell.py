"""The command line: options that commands share, exit statuses, and errors as one clear line.

Exit status: 0 success, 1 a problem was found or occurred, 2 incorrect usage or configuration.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from alertbot import __version__
from alertbot.cli.show import out
from alertbot.cli.table import CommandGroup, add_commands
from alertbot.errors import UsageError
from alertbot.rules.units import TOO_LONG, parse_duration

PROBLEM, WRONG_USE = 1, 2

cli = typer.Typer(
    name="alertbot",
    cls=CommandGroup,
    help="Threshold alerts in Slack for contact centres that run on 8x8. To try it, run `alertbot demo`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
add_commands(cli)
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The configuration file. Default: $ALERTBOT_CONFIG, else ./alertbot.yaml.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _version(value: bool) -> None:
    if value:
        out.print(f"alertbot {__version__}")
        raise typer.Exit


@cli.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    config: Config = None,
) -> None:
    """`--config` may stand before the command too: `CommandGroup` hands it on."""


def seconds(text: str, option: str) -> float:
    """The seconds of a duration such as 2m. Raises UsageError, naming the option, when it is not one."""
    try:
        return parse_duration(text).total_seconds()
    except ValueError as error:
        if TOO_LONG in str(error):
            raise UsageError(f"{option}: {error}") from None
        raise UsageError(f"{option} takes a duration such as 60s or 2m, not {text!r}") from None


def leave(clean: bool) -> None:
    """End the process at once unless everything stopped cleanly."""
    if not clean:
        # A poll or a post still hangs in a thread that Python would wait for. Everything important is stored.
        sys.stdout.flush()
        os._exit(0)


@contextmanager
def signals(stop: Callable[[], None], reload: Callable[[], None] | None = None) -> Iterator[None]:
    """SIGTERM and Ctrl-C call `stop`, a second one ends the process at once. SIGHUP (if any) calls `reload`."""

    def handle(number: int, _: object) -> None:
        stop()
        signal.signal(number, signal.SIG_DFL)

    before: dict[int, Any] = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    if reload is not None and hasattr(signal, "SIGHUP"):
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda number, frame: reload())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
