"""Who may import whom. The pure rooms stay pure, and no room of the shell knows another."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "alertbot"

PURE = {"rules", "alerts", "commands"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "clock": set(),
    "logs": set(),
    "process": set(),
    "scheduler": {"clock"},
    "rules": {"errors"},
    "alerts": {"errors", "rules"},
    "commands": {"errors", "rules", "alerts"},
    "sources": {"errors", "rules", "alerts"},
    "store": {"errors", "rules", "alerts"},
    "notify": {"errors", "rules", "alerts"},
    "config": {"errors", "rules"},
    "reloader": {"errors", "logs", "rules"},
    "live_rules": {"errors", "logs", "reloader", "rules", "alerts", "store", "notify"},
    "web": {"errors", "clock", "rules", "alerts", "commands"},
    "simulator": {"errors", "clock", "rules"},
    "poll": {"errors", "rules", "alerts", "sources", "store", "notify"},
    "parts": {"alerts", "config", "notify", "reloader", "rules", "sources", "store"},
    "views": {"alerts", "commands", "config", "rules", "store"},
    "starter": {"errors", "web"},
}
FREE = {"app", "cli", "__main__", "__init__"}  # app wires, cli commands; nobody imports them
THIRD_PARTY: dict[str, set[str]] = {
    "rules": {"lark", "ruamel", "holidays"},
    "alerts": {"numpy"},
    "commands": set(),
    "poll": set(),
    "scheduler": {"apscheduler"},
    "store": {"numpy", "sqlite_utils", "msgspec"},
    "sources": {"numpy", "msgspec", "requests", "urllib3", "tenacity"},
}
# What a pure room must not reach for: sockets, files, clocks, environment, threads, logs.
IMPURE = {"os", "io", "socket", "sqlite3", "threading", "time", "logging", "pathlib", "subprocess", "random", "secrets"}

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imports(path: Path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are written in full"
            module = node.module or ""
            if module == "alertbot":
                found += [(node.lineno, f"alertbot.{alias.name}") for alias in node.names]
            else:
                found.append((node.lineno, module))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_table(path: Path) -> None:
    """A file imports of ours only what its room may, and of others only what its room needs."""
    room = room_of(path)
    if room in FREE:
        return
    assert room in MAY_IMPORT, f"{path}: a room that the table does not know"
    for line, module in imports(path):
        top, _, rest = module.partition(".")
        if top == "alertbot":
            other = rest.partition(".")[0]
            allowed = MAY_IMPORT[room] | {room}
            assert other in allowed or other == "__version__", f"{path}:{line}: {room} may not import {other}"
        elif room in PURE:
            assert top not in IMPURE, f"{path}:{line}: {room} is pure and may not use {top}"
        if room in THIRD_PARTY and top in ALL_THIRD_PARTY:
            assert top in THIRD_PARTY[room], f"{path}:{line}: {room} may not import {top}"


ALL_THIRD_PARTY = set().union(*THIRD_PARTY.values()) | {
    "jinja2", "pydantic", "rich", "slack_bolt", "slack_sdk", "starlette", "structlog", "typer", "uvicorn",
}  # fmt: skip


def test_nobody_imports_the_wiring() -> None:
    """`app` and `cli` may import everything; nothing but `cli` and `__main__` imports them."""
    for path in FILES:
        for line, module in imports(path):
            if module in ("alertbot.app", "alertbot.cli"):
                assert room_of(path) in ("cli", "__main__"), f"{path}:{line}: imports {module}"


def test_the_table_has_no_room_that_is_gone() -> None:
    rooms = {room_of(path) for path in FILES}
    assert set(MAY_IMPORT) <= rooms
