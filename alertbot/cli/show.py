"""What commands print: results on stdout, problems on stderr, JSON for machines."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from alertbot import logs
from alertbot.rulefiles.faults import Fault, Severity
from alertbot.rules.plain import one_line
from alertbot.rules.words import count, listed


class _Output(Console):
    """A console that shows names of agents as the settings say (`privacy.agents`), in whatever text is printed."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(logs.with_shown_names(each) if isinstance(each, str) else each for each in objects), **options)


out = _Output(highlight=False, emoji=False)
err = _Output(stderr=True, highlight=False, emoji=False)

MAX_LINE = 2000  # characters of a line that is shown with its fault


def say(text: str, *, style: str = "") -> None:
    """Print one line. Names in it can neither start another line nor send control characters to the terminal."""
    out.print(one_line(text), markup=False, soft_wrap=True, style=style)


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(logs.with_shown_names(value), indent=2, ensure_ascii=False) + "\n")


def show_faults(faults: Sequence[Fault], console: Console = out) -> None:
    """Print faults as a compiler would; on a terminal, each with its line and the offending text underlined."""
    lines: dict[str, list[str]] = {}
    for fault in faults:
        console.print(str(fault), markup=False, soft_wrap=True)
        if console.is_terminal:
            if fault.file not in lines:
                lines[fault.file] = _lines(fault.file)
            for text in _underlined(fault, lines[fault.file]):
                console.print(text, soft_wrap=True)
    words = {Severity.ERROR: "fault", Severity.WARNING: "warning", Severity.HINT: "hint"}
    numbers = Counter(fault.severity for fault in faults)
    counts = [count(numbers[severity], word) for severity, word in words.items() if numbers[severity]]
    console.print(listed(counts), style="bold")


def _lines(file: str) -> list[str]:
    """The lines of a file; none if it cannot be read."""
    try:
        return Path(file).read_bytes().decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def _underlined(fault: Fault, lines: Sequence[str]) -> list[Text]:
    """The line of a fault and a line of `^` below it; nothing for a fault without a position, or in a huge line."""
    if not 0 < fault.line <= len(lines) or not fault.column or len(lines[fault.line - 1]) > MAX_LINE:
        return []
    line = _plain(lines[fault.line - 1])
    start = min(fault.column - 1, len(line))
    length = _length(fault.excerpt, line[start:])
    margin = f"{fault.line:>5} | "
    source = Text(margin, style="dim")
    source.append(line[:start], style="not dim")
    source.append(line[start : start + length], style="not dim underline red")
    source.append(line[start + length :], style="not dim")
    caret = Text(" " * (len(margin) - 2) + "| ", style="dim")
    caret.append(
        " " * cell_len(line[:start]) + "^" * max(1, cell_len(line[start : start + length])), style="not dim red"
    )
    return [source, caret]


def _plain(line: str) -> str:
    """The line with a space for every character that would move the cursor."""
    return "".join(char if char.isprintable() else " " for char in line).rstrip()


def _length(excerpt: str, rest: str) -> int:
    """How many characters to underline: as far as the line agrees with the excerpt, at least one."""
    quoted = rest[:1] in ("'", '"') and not excerpt.startswith(rest[:1])
    wanted = excerpt.removesuffix("…")
    length = 0
    for character, expected in zip(rest[quoted:], wanted, strict=False):
        if character != expected:
            break
        length += 1
    return length + quoted if length else 1
