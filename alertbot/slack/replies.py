"""A Reply as a Slack message: blocks within Slack's limits, everything that comes from data shown as it is.

Limits (docs.slack.dev/reference/block-kit): 50 blocks a message, 3,000 characters a text object, and about 13,200
characters of block text a message, which is not documented.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from alertbot.commands.command import Line, Person, Reply, Table
from alertbot.rules.plain import one_line
from alertbot.rules.rule import Level

MAX_BLOCKS = 45
MAX_CHARACTERS = 11_000
MAX_TEXT = 2_900
MAX_FALLBACK = 3_000
MAX_LINE = 1_000
MAX_CELL = 80

_EMOJI = {Level.CRITICAL: "🔴 ", Level.WARNING: "🟠 ", Level.INFO: "🔵 "}
_USER = re.compile(r"[UW][A-Z0-9]{2,20}")
_ZERO_WIDTH = "\u200b"
# A character of formatting counts only at the edge of a word. Slack has no escape for it; one that is followed by a
# zero-width space is not taken for formatting.
_FORMATTING = re.compile(r"(?<!\w)([*_~`])|([*_~`])(?!\w)")


def slack_message(reply: Reply, *, public: bool = False) -> dict[str, Any]:
    """The message (`response_type`, `text`, `blocks`) for an answer to a slash command or a button.

    Ephemeral unless `public`; a reply to what could not be answered is always ephemeral.
    """
    blocks, cut = _within_limits(list(_sections(reply)))
    if cut:
        blocks.append(_section(f"and {cut} more lines"))
    return {
        "response_type": "in_channel" if public and not reply.problem else "ephemeral",
        "text": _fallback(reply),
        "blocks": blocks,
    }


def text_message(text: str) -> dict[str, Any]:
    """One plain sentence, ephemeral."""
    return slack_message(Reply((Line(text),)))


def escape(text: str) -> str:
    """Text of any origin for mrkdwn: `& < >` as entities, formatting characters neutralised."""
    return _entities(_FORMATTING.sub(lambda found: f"{found[0]}{_ZERO_WIDTH}", text))


def _entities(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _in_code(text: str) -> str:
    """For inside backticks: nothing is formatted there, only a backtick would end it."""
    return _entities(text.replace("`", "ˋ"))


def _line(line: Line) -> str:
    emoji = _EMOJI[line.level] if line.level else ""
    if line.code:
        return f"{emoji}`{_in_code(_cut(one_line(line.text), MAX_LINE)) or ' '}`"
    shown = "".join(_piece(piece) for piece in _cut_pieces(line.pieces or (line.text,)))
    if line.strong and shown.strip():
        # Bold wants letters at its edges; the zero-width spaces of escaped characters may stand inside.
        shown = f"*{shown.strip()}*"
    return emoji + shown


def _piece(piece: str | Person) -> str:
    if isinstance(piece, Person):
        return f"<@{piece.id}>" if _USER.fullmatch(piece.id) else escape(piece.id)
    return escape(one_line(piece))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _cut_pieces(pieces: tuple[str | Person, ...]) -> Iterator[str | Person]:
    left = MAX_LINE
    for piece in pieces:
        if isinstance(piece, Person):
            yield piece
        elif left > 0:
            yield _cut(piece, left)
            left -= len(piece)


def _section(text: str) -> dict[str, Any]:
    # verbatim: without it Slack would also make links and mentions of a bare @here, #name or address.
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _sections(reply: Reply) -> Iterator[tuple[dict[str, Any], int]]:
    """Blocks, each with the number of lines in it."""
    gathered: list[str] = []
    for part in reply.parts:
        if isinstance(part, Line):
            gathered.append(_line(part))
            continue
        yield from _packed(gathered, "", "")
        gathered = []
        yield from _packed(_table(part), "```\n", "\n```")
    yield from _packed(gathered, "", "")


def _packed(lines: list[str], before: str, after: str) -> Iterator[tuple[dict[str, Any], int]]:
    most = MAX_TEXT - len(before) - len(after)
    held: list[str] = []
    size = 0
    for text in lines:
        if held and size + _length(text) + 1 > most:
            yield _section(before + "\n".join(held) + after), len(held)
            held, size = [], 0
        held.append(text)
        size += _length(text) + 1
    if held and "".join(held).strip():  # a text object is never empty
        yield _section(before + "\n".join(held) + after), len(held)


def _length(text: str) -> int:
    """In UTF-16 units: whether Slack counts those or characters is not documented; they are never fewer."""
    return len(text.encode("utf-16-le", errors="surrogatepass")) // 2


def _within_limits(sections: list[tuple[dict[str, Any], int]]) -> tuple[list[dict[str, Any]], int]:
    """The blocks that fit, and how many lines do not."""
    kept: list[dict[str, Any]] = []
    size = 0
    for place, (block, _) in enumerate(sections):
        size += _length(block["text"]["text"])
        if place >= MAX_BLOCKS or size > MAX_CHARACTERS:
            return kept, sum(lines for _, lines in sections[place:])
        kept.append(block)
    return kept, 0


def _table(table: Table) -> list[str]:
    """The rows as monospaced text, columns aligned."""
    rows = [[_cut(one_line(cell), MAX_CELL) for cell in row] for row in (table.head, *table.rows)]
    widths = [max(_width(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [_in_code(_aligned(row, widths)) for row in rows]


def _aligned(row: list[str], widths: list[int]) -> str:
    cells = [cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
    return "  ".join(cells).rstrip()


def _width(text: str) -> int:
    """In columns of a monospaced font: East Asian letters and most emoji take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1
        for char in text
    )


def _fallback(reply: Reply) -> str:
    """The whole answer as text: what notifications and screen readers use, where blocks are not shown."""
    lines: list[str] = []
    size = 0
    for text in _fallback_lines(reply):
        if size + _length(text) + 1 > MAX_FALLBACK:
            lines.append("…")
            break
        lines.append(text)
        size += _length(text) + 1
    return "\n".join(lines) or " "


def _fallback_lines(reply: Reply) -> Iterator[str]:
    for part in reply.parts:
        if isinstance(part, Line):
            yield "".join(_piece(piece) for piece in _cut_pieces(part.pieces or (part.text,)))
        else:
            for row in part.rows:
                yield escape(": ".join(_cut(one_line(cell), MAX_CELL) for cell in row[:2]))
