"""The table of commands says what the commands say, and no command is imported before it is invoked."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import pytest

from alertbot.cli.init import write_files
from alertbot.cli.table import COMMANDS, command
from alertbot.config.load import load
from alertbot.service.databases import open_store
from alertbot.service.live_rules import LiveRules
from alertbot.service.of_settings import parser, rule_paths

ROOM = Path(__file__).parents[2] / "alertbot" / "cli"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_is_the_first_paragraph_of_the_docstring(name: str) -> None:
    module, _, function = COMMANDS[name].function.partition(":")
    doc = inspect.getdoc(getattr(import_module(f"alertbot.cli.{module}"), function)) or ""
    assert COMMANDS[name].summary == doc.split("\n\n")[0]
    assert command(name).name == name


def test_every_file_that_is_named_as_a_command_is_in_the_table() -> None:
    """`poll.py`, whose docstring begins with its name as it is typed, is a row; a command cannot be forgotten."""
    files = {
        path.stem for path in ROOM.glob("*.py") if path.read_text(encoding="utf-8").startswith(f'"""`{path.stem}`')
    }
    assert files - COMMANDS.keys() == set()
    assert len(files) > 10


IMPORTED = """
import atexit, json, sys
atexit.register(lambda: sys.stderr.write(json.dumps([name for name, module in sys.modules.items() if module])))
sys.argv = ["alertbot", *sys.argv[1:]]
from alertbot.__main__ import main
main()
"""
"""Runs a command line, and prints what was imported as the last line of stderr."""
HEAVY = {
    *("apscheduler", "chardet", "charset_normalizer", "holidays", "jinja2", "lark", "matplotlib", "numpy"),
    *("prometheus_client", "requests", "ruamel.yaml", "slack_bolt", "slack_sdk", "sqlite_utils", "starlette"),
    *("structlog", "uvicorn"),
}
"""Without pydantic: Typer imports it to read the arguments of any command."""


def imported(*args: str, folder: Path) -> tuple[int, set[str], set[str]]:
    """The exit status of a command, the modules of commands that it imported, and the heavy libraries."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *args], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Warning" not in done.stderr
    modules = set(json.loads(done.stderr.splitlines()[-1]))
    rows = {row.function.partition(":")[0]: name for name, row in COMMANDS.items()}
    return done.returncode, {rows[each] for each in rows if f"alertbot.cli.{each}" in modules}, HEAVY & modules


@pytest.mark.parametrize(
    ("args", "status"),
    [(["--help"], 0), (["--version"], 0), ([], 2), (["chekc"], 2), (["chekc", "--help"], 2)],
    ids=["--help", "--version", "nothing", "a mistyped name", "its help"],
)
def test_no_command_is_imported_for_what_is_about_all(args: list[str], status: int, tmp_path: Path) -> None:
    assert imported(*args, folder=tmp_path) == (status, set(), set())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `alertbot init` writes it, with a database in which its rules have run."""
    folder = tmp_path_factory.mktemp("folder")
    write_files(folder)
    settings = load(folder / "alertbot.yaml", secrets=False)
    store = open_store(settings)
    try:
        LiveRules(rule_paths(settings), parser(settings)).begin(store, lambda *_: None, datetime.now(UTC))
    finally:
        store.close()
    return folder


@pytest.mark.parametrize(
    ("args", "needed"),
    [
        (["check", "rules/"], {"jinja2", "lark", "numpy", "ruamel.yaml"}),
        (["ask", "status"], {"lark", "numpy", "ruamel.yaml"}),
        (["metrics", "wait"], set()),
        (
            ["run", "--help"],
            {"apscheduler", "jinja2", "lark", "numpy", "prometheus_client", "requests", "ruamel.yaml", "slack_sdk"}
            | {"starlette", "uvicorn"},
        ),
    ],
    ids=["check", "ask status", "metrics", "run"],
)
def test_a_command_imports_no_library_that_it_does_not_need(args: list[str], needed: set[str], folder: Path) -> None:
    """sqlite-utils, for one, is not needed to read a database that is up to date."""
    status, commands, libraries = imported(*args, folder=folder)
    assert (status, commands, libraries) == (0, {args[0]}, needed)


SERVICE = """
import sys
from alertbot import logs
from alertbot.cli import run
logs.configure()
logs.logger("test").info("a line")
print(*sorted({"rich.console", "slack_bolt", "structlog"} & sys.modules.keys()))
"""
"""What `run` imports, and then its first line of the log."""


def test_the_service_imports_no_rich_and_no_slack_bolt() -> None:
    """stderr is no terminal, and nothing says yet that Slack sends anything: rich and slack_bolt are 200 modules."""
    done = subprocess.run([sys.executable, "-c", SERVICE], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["structlog"]
    assert json.loads(done.stderr)["event"] == "a line"
