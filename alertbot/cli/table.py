"""The table of commands: names, functions and one-line helps. A command's module is imported when it is invoked.

`alertbot --help`, suggestions for a mistyped name and shell completion read this table and import no command: between
them, the commands import every library there is, which takes ten times as long as what one of them needs.
"""

from __future__ import annotations

import gc
from importlib import import_module
from typing import Any, NamedTuple

import typer
import typer.main
from typer.core import TyperGroup


class Row(NamedTuple):
    """One command. `function` is `module:name` in this room; `summary` is the first paragraph of its docstring."""

    function: str
    summary: str


COMMANDS: dict[str, Row] = {
    "demo": Row(
        "demo:demo",
        "Run the whole bot on a built-in simulated contact centre and draw its cards here. No account, no network.",
    ),
    "init": Row(
        "init:init",
        "Write alertbot.yaml, rules, a rule test, editor settings and the Slack app manifest. Keep existing files.",
    ),
    "run": Row(
        "run:run",
        "Run the service: poll every tenant, post alerts to Slack and answer the slash command, until stopped.",
    ),
    "worker": Row(
        "worker:worker",
        "Run the service as one of several workers, which share the tenants of a PostgreSQL database.",
    ),
    "workers": Row(
        "workers:workers",
        "List the live workers: how many tenants each polls, and whether its polls start on time.",
    ),
    "poll": Row(
        "poll:poll",
        "Poll every tenant once, deliver what is due, and report what was seen and decided. For cron and for testing.",
    ),
    "doctor": Row(
        "doctor:doctor",
        "Test everything that the configuration names, without posting anything; each problem comes with a remedy.",
    ),
    "check": Row(
        "check:check",
        "Check configuration, rules, templates and rule tests: each fault as path:line:column. With PATH, only that.",
    ),
    "test": Row(
        "test:run_tests",
        "Run rule tests: series in, expected alerts and notices out, through the same code as live polls.",
    ),
    "replay": Row(
        "replay:replay_",
        "Run recorded polls through rules: what would have fired; with --against, what would change.",
    ),
    "history": Row(
        "history:history",
        "List ended alerts: when, how long, the worst value, who acknowledged them. RULE or NAME limits the list.",
    ),
    "digest": Row(
        "digest:digest",
        "Report on alert quality: what fired most, was never acknowledged or flapped, and what to do about it.",
    ),
    "tune": Row(
        "tune:tune",
        "Find the limit for a rule: how often it would have fired on recorded polls, with each of many values.",
    ),
    "preview": Row(
        "preview:preview",
        "Draw the card of a rule as it would look. --send posts it, marked as a drill and without mentions.",
    ),
    "metrics": Row(
        "metrics:metrics",
        "List metric keys in words: scopes, periods, type, unit and meaning. With words, only the keys that have them.",
    ),
    "ask": Row(
        "ask:ask",
        "Print what the slash command would answer. Changes are made in the name of the local user.",
    ),
    "migrate-storage": Row(
        "migrate_storage:migrate_storage",
        "Copy a database to another one, such as a SQLite file to PostgreSQL or back, and verify the copy.",
    ),
    "backup": Row(
        "backup:backup",
        "Write a consistent copy of the database, whether or not the bot is running.",
    ),
    "simulate": Row(
        "simulate:simulate",
        "Serve 8x8's API from a simulated contact centre, over HTTP on 127.0.0.1, including the token endpoint.",
    ),
    "schema": Row(
        "schema:schema",
        "Print the JSON Schema of a kind of file, for editors.",
    ),
    "manifest": Row(
        "manifest:manifest_",
        "Print the Slack app manifest: for Socket Mode, unless a URL is given.",
    ),
}
"""In the order of `--help` and of the README. A test compares the summaries with the docstrings."""


def command(name: str) -> Any:
    """The command of this name with its options, for Typer. Imports its module."""
    module, _, function = COMMANDS[name].function.partition(":")
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command(name)(getattr(import_module(f"alertbot.cli.{module}"), function))
    return typer.main.get_command(single)


class CommandGroup(TyperGroup):
    """A group whose commands are summaries, for lists and suggestions, until one of them is invoked."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, found, rest = super().resolve_command(ctx, args)
        if name in COMMANDS:
            found = command(name)
            config = ctx.params.get("config")
            if config is not None and any(each.name == "config" for each in found.params):
                rest = ["--config", str(config), *rest]  # one after the command comes later, and wins
        if not gc.isenabled():  # as `__main__` left it; what is imported need not be searched for garbage
            gc.freeze()
            gc.enable()
        return name, found, rest


def add_commands(cli: typer.Typer) -> None:
    """Give a command line the summaries of all commands. Its `cls` has to be CommandGroup."""
    for name, row in COMMANDS.items():
        cli.command(name, help=row.summary)(_never_called)


def _never_called() -> None:
    raise AssertionError("CommandGroup puts the command in place of its summary")
