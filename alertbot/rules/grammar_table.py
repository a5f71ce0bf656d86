"""The parse table of `expression.lark`, kept in `expression.json`: to build it takes 30 ms, to read it 3 ms.

`python docs/generate.py` writes the file. A table of another grammar, or of another version of lark, is not used: the
parser is then built from the grammar, so nothing depends on the file but the time that the first condition takes.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import lark
from lark import Lark
from lark.grammar import Rule
from lark.lexer import TerminalDef

FILE = "expression.json"


def built(grammar: str) -> Lark:
    """The parser of a grammar, built from its text."""
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=True)


def written(grammar: str) -> str:
    """The text of the file for this grammar. The numbers of its states differ from process to process."""
    data, memo = built(grammar).memo_serialize([TerminalDef, Rule])
    table = {"of": _of(grammar), "data": data, "memo": memo}
    return json.dumps(table, separators=(",", ":"), sort_keys=True) + "\n"


def belongs(grammar: str, table: str) -> bool:
    """Whether the text of a file is the table of this grammar, for this version of lark."""
    return _read(grammar, table) is not None


def parser(grammar: str, table: str) -> Lark:
    """The parser of a grammar from its table; built from the grammar if the table belongs to another one."""
    kept = _read(grammar, table)
    if kept is None:
        return built(grammar)
    data = kept["data"]
    states = data["parser"]["parser"]
    states["tokens"] = _numbered(states["tokens"])  # JSON has no numbers as keys, and no tuples
    states["states"] = {
        state: {token: tuple(action) for token, action in _numbered(actions).items()}
        for state, actions in _numbered(states["states"]).items()
    }
    made = Lark.__new__(Lark)
    made._load({"data": data, "memo": _numbered(kept["memo"])})
    return made


def _read(grammar: str, table: str) -> dict[str, Any] | None:
    try:
        kept: dict[str, Any] = json.loads(table)
    except ValueError:
        return None
    return kept if kept.get("of") == _of(grammar) else None


def _of(grammar: str) -> str:
    """What a table belongs to."""
    return f"lark {lark.__version__}, grammar {hashlib.sha256(grammar.encode()).hexdigest()[:16]}"


def _numbered(values: dict[str, Any]) -> dict[int, Any]:
    return {int(key): value for key, value in values.items()}
