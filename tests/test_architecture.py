"""Who may import whom. The pure rooms stay pure, and no room of the shell knows another."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "alertbot"

PURE = {"rules", "rulefiles", "evaluation", "alerts", "feed", "backtest", "commands", "charts"}
# Files of a pure room that read the disk, or run and are a process of its own.
SHELL_FILES = {"rulefiles/on_disk.py", "charts/png.py", "charts/figure.py"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "clock": set(),
    "logs": set(),
    "backoff": set(),
    "rules": {"errors"},
    "rulefiles": {"errors", "rules"},
    "evaluation": {"rules"},
    "alerts": {"backoff", "errors", "rules", "evaluation"},
    "feed": {"backoff", "rules", "evaluation", "alerts"},
    "backtest": {"rules", "rulefiles", "evaluation", "alerts", "feed", "errors"},
    "charts": {"errors", "rules", "evaluation", "alerts"},
    "commands": {"rules", "evaluation", "alerts", "charts"},
    "sources": {"errors", "rules", "evaluation"},
    "store": {"errors", "rules", "evaluation", "alerts", "feed"},
    "notify": {"errors", "backoff", "clock", "rules", "rulefiles", "evaluation", "alerts", "charts", "store"},
    "slack": {"errors", "clock", "rules", "rulefiles", "alerts", "charts", "commands", "notify"},
    "config": {"errors", "rules", "rulefiles"},
    "web": {"errors"},
    "page": {"alerts", "charts", "commands", "errors", "evaluation", "rules", "web"},
    "simulator": {"errors", "clock", "rules", "rulefiles"},
    "poll": {"errors", "rules", "evaluation", "alerts", "feed", "store"},
    "fleet": {"clock", "config", "errors", "logs", "rules", "store"},
    "service": {
        *("errors", "clock", "logs", "backoff", "rules", "rulefiles", "evaluation", "alerts", "feed", "fleet"),
        *("backtest", "charts", "commands", "sources", "store", "notify", "slack", "config", "web", "page", "poll"),
    },
    "doctor": {
        *("errors", "rules", "rulefiles", "evaluation", "feed", "sources", "store", "slack", "config", "service"),
    },
}
FREE = {"cli", "__main__", "__init__"}  # cli commands; nothing imports them
THIRD_PARTY: dict[str, set[str]] = {
    "rules": {"lark", "holidays"},
    "rulefiles": {"ruamel", "_ruamel_yaml", "holidays"},
    "evaluation": {"numpy"},
    "alerts": {"numpy"},
    "feed": {"numpy"},
    "backtest": {"numpy"},
    "charts": {"matplotlib", "numpy"},
    "commands": set(),
    "poll": set(),
    "store": {"numpy", "sqlite_utils", "msgspec", "psycopg", "psycopg_pool"},
    "sources": {"numpy", "msgspec", "requests", "urllib3", "tenacity"},
    "notify": {"jinja2", "rich"},
    "slack": {"slack_bolt", "slack_sdk", "starlette", "tenacity"},
    "config": {"pydantic"},
    "fleet": {"procrastinate", "psycopg"},
    "web": {"starlette", "uvicorn", "prometheus_client"},
    "page": {"itsdangerous", "jinja2", "numpy", "starlette"},
    "doctor": {"numpy"},
}
# What a pure room must not reach for: sockets, files, clocks, environment, threads, logs.
IMPURE = {"os", "io", "socket", "sqlite3", "threading", "time", "logging", "pathlib", "subprocess", "random", "secrets"}

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def _for_types_only(node: ast.stmt) -> bool:
    """`if TYPE_CHECKING:`, which is never run."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(path: Path) -> list[tuple[int, str]]:
    found = []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not _for_types_only(node)]
    for node in ast.walk(tree):
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
    """A file imports only what its room may, from alertbot and from libraries."""
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
        elif room in PURE and str(path.relative_to(PACKAGE)) not in SHELL_FILES:
            assert top not in IMPURE, f"{path}:{line}: {room} is pure and may not use {top}"
        if room in THIRD_PARTY and top in ALL_THIRD_PARTY:
            assert top in THIRD_PARTY[room], f"{path}:{line}: {room} may not import {top}"


ALL_THIRD_PARTY = set().union(*THIRD_PARTY.values()) | {
    "jinja2", "prometheus_client", "pydantic", "rich", "slack_bolt", "slack_sdk", "starlette", "structlog", "typer",
    "uvicorn",
}  # fmt: skip


def test_the_table_allows_nothing_that_is_not_used() -> None:
    """So docs/architecture.md, whose table is made from the imports, says who may import whom as well."""
    used: dict[str, set[str]] = {room: set() for room in MAY_IMPORT}
    for path in FILES:
        room = room_of(path)
        if room in MAY_IMPORT:
            used[room] |= {module.split(".")[1] for _, module in imports(path) if module.startswith("alertbot.")} - {
                room
            }
    assert {room: others - {"__version__"} for room, others in used.items()} == MAY_IMPORT


MAP = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
NAMED = sorted(
    set(re.findall(r"`([a-z_0-9/]+\.py)(?::(\w+))?`", re.sub(r"<!-- (\w+) -->.*?<!-- /\1 -->", "", MAP, flags=re.S)))
)


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[":".join(each).strip(":") for each in NAMED])
def test_the_map_names_what_is_there(file: str, name: str) -> None:
    """Every file that docs/architecture.md names exists, and has the function, class or table of that name."""
    path = PACKAGE / file if (PACKAGE / file).exists() else PACKAGE.parent / file
    assert path.exists(), f"docs/architecture.md names {file}, which does not exist"
    if name:
        assert name in defined(path), f"docs/architecture.md names {name} of {file}, which has no such thing"


def defined(path: Path) -> set[str]:
    """The names at the top level of a file."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
    return names


def test_nobody_imports_the_wiring() -> None:
    """`service` and `cli` wire; nothing but `cli` and `__main__` imports them."""
    for path in FILES:
        for line, module in imports(path):
            if module in ("alertbot.service.app", "alertbot.cli"):
                assert room_of(path) in ("cli", "__main__"), f"{path}:{line}: imports {module}"


def test_the_table_has_no_room_that_is_gone() -> None:
    rooms = {room_of(path) for path in FILES}
    assert set(MAY_IMPORT) <= rooms


FULL_NAMES = {
    *("alerts/advance.py", "alerts/alert.py", "alerts/shown.py", "alerts/silence.py", "alerts/transition.py"),
    *(
        "backtest/episodes.py",
        "backtest/sample.py",
        "charts/series.py",
        "cli/recorded.py",
        "cli/replay.py",
        "commands/answers.py",
    ),
    *("commands/silences.py", "commands/why.py", "evaluation/evaluate.py", "evaluation/explain.py", "notify/render.py"),
    *("store/codec.py", "store/sql/budget.py", "store/sqlite/migrations.py", "store/sql/record.py"),
    *(
        "alerts/steady.py",
        "service/pictures.py",
        "store/sql/quality.py",
        "store/sql/store.py",
        "store/postgres/migrations.py",
    ),
}
"""The files that may read `entity_name`: to match, to store, or to make the name that is shown."""


def test_output_shows_name_and_not_entity_name() -> None:
    """`entity_name` is the full name, whatever `privacy.agents` says: what is shown of an alert is its `name`."""
    reading = {path.relative_to(PACKAGE).as_posix() for path in FILES if "entity_name" in path.read_text("utf-8")}
    assert reading == FULL_NAMES
