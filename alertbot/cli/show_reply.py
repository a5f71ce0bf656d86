"""How a terminal shows an answer: lines in the colour of their level, tables, charts as text."""

from __future__ import annotations

from alertbot.cli.show import out, say
from alertbot.commands.command import Drawing, Line, Reply
from alertbot.rules.plain import one_line
from alertbot.rules.rule import Level

STYLES = {Level.INFO: "cyan", Level.WARNING: "yellow", Level.CRITICAL: "bold red"}


def show_reply(reply: Reply) -> None:
    for part in reply.parts:
        if isinstance(part, Line):
            style = STYLES[part.level] if part.level and not part.recovering else "bold" if part.strong else ""
            say(part.text, style=style)
        elif isinstance(part, Drawing):
            for text in part.lines:
                out.print(text, markup=False, soft_wrap=True)
        else:
            from rich.table import Table
            from rich.text import Text

            table = Table(*part.head, box=None, pad_edge=False, header_style="bold")
            for row in part.rows:
                table.add_row(*(Text(one_line(cell)) for cell in row))
            out.print(table)
