"""A Reply as a Slack message: blocks within Slack's limits, everything that comes from data shown as it is.

Limits (docs.slack.dev/reference/block-kit): 50 blocks a message, 3,000 characters a text object, and about 13,200
characters of block text a message, which is not documented.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from alertbot.charts.text import described
from alertbot.commands.command import Channel, Drawing, Line, Person, Reply, Table, UserGroup
from alertbot.notify.pens import size
from alertbot.rules.plain import one_line
from alertbot.rules.rule import Level
from alertbot.rules.slack_ids import is_channel_id, is_user_group_id, is_user_id
from alertbot.slack.text import clip_mrkdwn, escape, in_code

MAX_BLOCKS = 45
MAX_CHARACTERS = 11_000
MAX_TEXT = 2_900
MAX_FALLBACK = 3_000
MAX_LINE = 1_000
MAX_ESCAPED = 2_800  # of a line: escaping can make it five times as long
MAX_CELL = 80
MAX_ALT = 1_900
MAX_WIDTH = 44  # columns of monospaced text that a phone shows without wrapping

_EMOJI = {Level.CRITICAL: "🔴 ", Level.WARNING: "🟠 ", Level.INFO: "🔵 "}
_RECOVERING = "🟡 "


def slack_message(reply: Reply, *, public: bool = False, picture: str = "") -> dict[str, Any]:
    """The message (`response_type`, `text`, `blocks`) for an answer to a slash command or a button.

    Ephemeral unless `public`; a reply to what could not be answered is always ephemeral. `picture` is the id of a file
    with the picture of the reply's chart; "": the chart is a text plot.
    """
    return {
        "response_type": "in_channel" if public and not reply.problem else "ephemeral",
        "text": _fallback(reply),
        "blocks": blocks_of(reply.parts, picture=picture),
    }


def blocks_of(
    parts: Sequence[Line | Table | Drawing], *, picture: str = "", most: int = MAX_BLOCKS
) -> list[dict[str, Any]]:
    """The parts of an answer as blocks: `most` of them and about MAX_CHARACTERS, then how many lines are left out."""
    blocks, cut = _within_limits(list(_sections(parts, picture)), most)
    if cut:
        blocks.append(_section(f"and {cut} more lines"))
    return blocks


def text_message(text: str) -> dict[str, Any]:
    """One plain sentence, ephemeral."""
    return slack_message(Reply((Line(text),)))


def _line(line: Line) -> str:
    emoji = _RECOVERING if line.recovering else _EMOJI[line.level] if line.level else ""
    if line.code:
        return f"{emoji}`{clip_mrkdwn(in_code(_cut(one_line(line.text), MAX_LINE)), MAX_ESCAPED) or ' '}`"
    shown = "".join(_piece(piece) for piece in _cut_pieces(line.pieces or (line.text,)))
    shown = clip_mrkdwn(shown, MAX_ESCAPED)
    if line.strong and shown.strip():
        # Bold wants letters at its edges; the zero-width spaces of escaped characters may stand inside.
        shown = f"*{shown.strip()}*"
    return emoji + shown


def _piece(piece: str | Person) -> str:
    if isinstance(piece, UserGroup):
        return f"<!subteam^{piece.id}>" if is_user_group_id(piece.id) else escape(piece.id)
    if isinstance(piece, Channel):
        return f"<#{piece.id}>" if is_channel_id(piece.id) else escape(piece.id)
    if isinstance(piece, Person):
        return f"<@{piece.id}>" if is_user_id(piece.id) else escape(piece.id)
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


def _image(drawing: Drawing, picture: str) -> dict[str, Any]:
    alt = _cut(one_line(described(drawing.series, ZoneInfo(drawing.timezone))), MAX_ALT)
    return {"type": "image", "slack_file": {"id": picture}, "alt_text": alt}


def _sections(parts: Sequence[Line | Table | Drawing], picture: str) -> Iterator[tuple[dict[str, Any], int]]:
    """Blocks, each with the number of lines in it."""
    gathered: list[str] = []
    for part in parts:
        if isinstance(part, Line):
            gathered.append(_line(part))
            continue
        yield from _packed(gathered, "", "")
        gathered = []
        if isinstance(part, Drawing) and picture:
            yield _image(part, picture), 1
            continue
        if isinstance(part, Drawing):
            yield from _packed([in_code(text) for text in part.lines], "```\n", "\n```")
            continue
        rows = _table(part)
        if max(map(_width, rows)) <= MAX_WIDTH:
            yield from _packed([in_code(row) for row in rows], "```\n", "\n```")
        else:
            gathered = [_row(part.head, row) for row in part.rows]
    yield from _packed(gathered, "", "")


def _packed(lines: list[str], before: str, after: str) -> Iterator[tuple[dict[str, Any], int]]:
    most = MAX_TEXT - len(before) - len(after)
    held: list[str] = []
    total = 0
    for text in lines:
        if held and total + size(text) + 1 > most:
            yield _section(before + "\n".join(held) + after), len(held)
            held, total = [], 0
        held.append(text)
        total += size(text) + 1
    if held and "".join(held).strip():  # a text object is never empty
        yield _section(before + "\n".join(held) + after), len(held)


def _within_limits(sections: list[tuple[dict[str, Any], int]], most: int) -> tuple[list[dict[str, Any]], int]:
    """The blocks that fit, and how many lines do not."""
    kept: list[dict[str, Any]] = []
    total = 0
    for place, (block, _) in enumerate(sections):
        total += size(block["text"]["text"]) if "text" in block else 0
        if place >= most or total > MAX_CHARACTERS:
            return kept, sum(lines for _, lines in sections[place:])
        kept.append(block)
    return kept, 0


def _table(table: Table) -> list[str]:
    """The rows as monospaced text, columns aligned."""
    rows = [[_cut(one_line(cell), MAX_CELL) for cell in row] for row in (table.head, *table.rows)]
    widths = [max(_width(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [_aligned(row, widths) for row in rows]


def _row(head: tuple[str, ...], row: tuple[str, ...]) -> str:
    """One row as a line that a phone can wrap; from the third cell on with the heading, which stands nowhere else."""
    first, *rest = (_cut(one_line(cell), MAX_LINE // len(row)) for cell in row)
    words = [cell if place < 2 else f"{head[place].lower()} {cell}" for place, cell in enumerate(rest, 1) if cell]
    return clip_mrkdwn(escape("• " + ": ".join([first, *([" · ".join(words)] if words else [])])), MAX_ESCAPED)


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
    total = 0
    for text in _fallback_lines(reply):
        if total + size(text) + 1 > MAX_FALLBACK:
            lines.append("…")
            break
        lines.append(text)
        total += size(text) + 1
    return "\n".join(lines) or " "


def _fallback_lines(reply: Reply) -> Iterator[str]:
    for part in reply.parts:
        if isinstance(part, Line):
            yield "".join(_piece(piece) for piece in _cut_pieces(part.pieces or (part.text,)))
        elif isinstance(part, Drawing):
            continue  # the lines beside it say what it shows
        else:
            for row in part.rows:
                yield escape(": ".join(_cut(one_line(cell), MAX_CELL) for cell in row[:2]))
