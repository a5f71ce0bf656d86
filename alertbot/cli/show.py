"""What commands print: results on stdout, problems on stderr, JSON for machines.

rich is imported when something needs it: a terminal, a table, markup. The service needs none of them, and neither do
plain lines that go to a file or a pipe.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alertbot import logs
from alertbot.rulefiles.faults import Fault, Severity
from alertbot.rules.plain import one_line
from alertbot.rules.words import count, listed

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_FORCES_COLOUR = ("FORCE_COLOR", "TTY_COMPATIBLE")  # variables that make rich write as to a terminal


class Output:
    """stdout or stderr, with names of agents shown as the settings say (`privacy.agents`), in whatever text."""

    def __init__(self, *, stderr: bool = False) -> None:
        self._stderr = stderr

    @cached_property
    def console(self) -> Console:
        from rich.console import Console

        return Console(stderr=self._stderr, highlight=False, emoji=False)

    @property
    def is_terminal(self) -> bool:
        return not self._is_plain() and self.console.is_terminal

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as `Console.print` of rich does."""
        shown = [logs.with_shown_names(each) if isinstance(each, str) else each for each in objects]
        if shown and options.get("markup") is False and options.get("soft_wrap") and self._is_plain():
            text = shown[0]
            if len(shown) == 1 and isinstance(text, str) and text.isprintable():
                self._stream.write(f"{text}\n")
                self._stream.flush()
                return
        self.console.print(*shown, **options)

    @property
    def _stream(self) -> Any:
        return sys.stderr if self._stderr else sys.stdout

    def _is_plain(self) -> bool:
        """Whether it is neither a terminal nor to be treated as one: then rich would write text as it is."""
        return not self._stream.isatty() and not any(name in os.environ for name in _FORCES_COLOUR)


out = Output()
err = Output(stderr=True)

MAX_LINE = 2000  # characters of a line that is shown with its fault


def say(text: str, *, style: str = "") -> None:
    """Print one line. Names in it can neither start another line nor send control characters to the terminal."""
    out.print(one_line(text), markup=False, soft_wrap=True, style=style)


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(logs.with_shown_names(value), indent=2, ensure_ascii=False) + "\n")


def show_faults(faults: Sequence[Fault], console: Output = out) -> None:
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
    console.print(listed(counts), markup=False, soft_wrap=True, style="bold")


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
    from rich.cells import cell_len
    from rich.text import Text

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
