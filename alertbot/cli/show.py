"""What commands print: results on stdout, problems on stderr, and JSON where a machine reads it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from alertbot.commands.command import Line, Reply
from alertbot.errors import Fault
from alertbot.rules.rule import Level

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

STYLES = {Level.INFO: "cyan", Level.WARNING: "yellow", Level.CRITICAL: "bold red"}


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def fault_json(fault: Fault) -> dict[str, Any]:
    return {
        "file": fault.file,
        "line": fault.line,
        "column": fault.column,
        "rule": fault.rule,
        "message": fault.message,
        "hint": fault.hint,
    }


def show_faults(faults: Sequence[Fault]) -> None:
    """On stdout, as a compiler would; on a terminal the offending text stands underlined below."""
    for fault in faults:
        out.print(str(fault), markup=False, soft_wrap=True)
        if fault.excerpt and out.is_terminal:
            out.print("    " + fault.excerpt.splitlines()[0], markup=False, style="underline red")
    out.print(f"{len(faults)} fault{'s' if len(faults) != 1 else ''}", style="bold")


def show_reply(reply: Reply) -> None:
    for part in reply.parts:
        if isinstance(part, Line):
            style = STYLES[part.level] if part.level else "bold" if part.strong else ""
            out.print(part.text, markup=False, style=style, soft_wrap=True)
        else:
            table = RichTable(*part.head, box=None, pad_edge=False, header_style="bold")
            for row in part.rows:
                table.add_row(*(Text(cell) for cell in row))
            out.print(table)
