"""Lines of answers as pages show them: the text, and its tone as a CSS class. PURE."""

from __future__ import annotations

from dataclasses import dataclass

from alertbot.commands.command import Line


@dataclass(frozen=True)
class TonedLine:
    """A line. `tone` is the word of its level, `recovering`, or ""; its text says the same in words."""

    text: str
    tone: str = ""
    strong: bool = False
    code: bool = False


def toned(line: Line) -> TonedLine:
    """A line of an answer."""
    tone = "recovering" if line.recovering else line.level.word if line.level is not None else ""
    return TonedLine(line.text, tone, line.strong, line.code)
