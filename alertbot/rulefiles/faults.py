"""Faults: what is wrong in a file of rules or tests, with its place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from alertbot.rules.plain import one_line


class Severity(StrEnum):
    """How much a finding matters to `alertbot check`."""

    ERROR = "error"  # what it is about cannot be loaded
    WARNING = "warning"  # loaded, and almost certainly a mistake
    HINT = "hint"  # loaded, and worth knowing; it does not change the exit status


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong in a file. Lines and columns count from 1; 0 means the whole file."""

    file: str
    line: int
    column: int
    message: str
    rule: str = ""
    hint: str = ""
    excerpt: str = ""  # the offending text, for underlining
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        rule = f"rule {self.rule}: " if self.rule else ""
        hint = f" ({self.hint})" if self.hint else ""
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        severity = "" if self.severity is Severity.ERROR else f"{self.severity}: "
        return f"{where}: {severity}{rule}{self.message}{hint}"


MAX_EXCERPT = 80


def short(text: str) -> str:
    """The text, cut to at most MAX_EXCERPT characters."""
    return text if len(text) <= MAX_EXCERPT else text[: MAX_EXCERPT - 1] + "…"


def make_fault(
    file: str,
    place: Place,
    message: str,
    hint: str = "",
    excerpt: str = "",
    rule: str = "",
    severity: Severity = Severity.ERROR,
) -> Fault:
    """A fault with each of its texts on one line, whatever they quote."""
    parts = one_line(message), one_line(rule), one_line(hint), short(one_line(excerpt))
    return Fault(file, place.line, place.column, *parts, severity)


@dataclass(frozen=True, slots=True)
class Place:
    """A line and a column, both from 1."""

    line: int
    column: int
