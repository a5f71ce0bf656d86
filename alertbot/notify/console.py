"""The same cards in a terminal, drawn with rich: posts as panels, edits as single lines, threads indented."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from alertbot.alerts.cards import Posted
from alertbot.alerts.notice import HEADING, PERSON
from alertbot.errors import DeliveryFailure, NotifyError
from alertbot.notify.facts import Look
from alertbot.notify.notifier import CardContent, LineContent, TemplateFault, no_check
from alertbot.notify.pens import PlainPen, cleaned
from alertbot.notify.render import DrawnCard, Templates

_STYLES = {
    Look.INFO: "blue",
    Look.WARNING: "dark_orange",
    Look.CRITICAL: "red",
    Look.RECOVERING: "bright_yellow",
    Look.ACKNOWLEDGED: "magenta",
    Look.RESOLVED: "green",
}


class ConsoleNotifier:
    """The Notifier that prints to a rich Console. It remembers what it printed, so `find` always succeeds."""

    def __init__(self, console: Console, *, template_folders: Sequence[Path] = ()) -> None:
        self._console = console
        self._templates = Templates(template_folders)
        self._sent: dict[str, Posted] = {}  # by notice id
        self._looks: dict[str, tuple[Look, bool]] = {}  # by ts: as the card was last drawn
        self._faults: dict[str, TemplateFault] = {}

    def post_card(
        self, content: CardContent, *, channel: str, notice_id: str, before_send: Callable[[], None] = no_check
    ) -> Posted:
        drawn = self._drawn(content)
        before_send()
        posted = self._new(channel, notice_id)
        self._looks[posted.ts] = (drawn.look, drawn.open)
        self._console.print(card_panel(drawn, channel))
        return posted

    def edit_card(self, content: CardContent, posted: Posted, *, before_send: Callable[[], None] = no_check) -> None:
        drawn = self._drawn(content)
        before_send()
        before = self._looks.get(posted.ts)
        self._looks[posted.ts] = (drawn.look, drawn.open)
        if before is not None and before != (drawn.look, drawn.open) and not drawn.open:
            self._console.print(card_panel(drawn, posted.channel_id))
            return
        line = Text("  ✎ ", style="dim")
        line.append(f"{_short_id(drawn)} ", style="bold")
        line.append(drawn.title, style=_STYLES[drawn.look])
        line.append(f"  {' '.join(drawn.body)}", style="dim")
        self._console.print(line)

    def post_line(
        self,
        content: LineContent,
        posted: Posted,
        *,
        notice_id: str,
        broadcast: bool,
        before_send: Callable[[], None] = no_check,
    ) -> Posted:
        drawn = self._templates.line(content, PlainPen())
        if drawn.fault is not None:
            self._faults.setdefault(str(drawn.fault), drawn.fault)
        before_send()
        line = Text("    └ ", style="dim")
        line.append(f"#{content.alert.id} ", style="dim")
        names = (", ".join(drawn.names),) if drawn.names else ()
        line.append(" ".join((*drawn.text.splitlines(), *names, *drawn.mention)))
        if broadcast:
            line.append(f"  → {cleaned(posted.channel_id)}", style="dim")
        self._console.print(line)
        return self._new(posted.channel_id, notice_id)

    def post_text(
        self,
        text: str,
        *,
        channel: str,
        notice_id: str,
        by: str = "",
        thread: Posted | None = None,
        before_send: Callable[[], None] = no_check,
    ) -> Posted:
        before_send()
        body = Text("\n").join(_written(line, by) for line in text.splitlines())
        title = Text(f"{cleaned(channel)}{', in the thread' if thread is not None else ''}", style="bold")
        self._console.print(Panel(body, title=title, title_align="left", border_style="cyan"))
        return self._new(channel, notice_id)

    def find(self, *, channel: str, notice_id: str, since: datetime, thread: Posted | None) -> Posted | None:
        return self._sent.get(notice_id)

    def close_duplicate(self, duplicate: Posted, *, card: bool) -> None:
        """Nothing is printed twice: a notice that has a message is found before it is sent again."""

    def use_templates(self, folders: Sequence[Path], files: Mapping[str, bytes]) -> None:
        self._templates = Templates(folders, files)

    def take_faults(self) -> Sequence[TemplateFault]:
        faults, self._faults = list(self._faults.values()), {}
        return faults

    def _drawn(self, content: CardContent) -> DrawnCard:
        drawn = self._templates.card(content, PlainPen())
        if drawn.fault is not None:
            self._faults.setdefault(str(drawn.fault), drawn.fault)
        return drawn

    def _new(self, channel: str, notice_id: str) -> Posted:
        if not channel:
            raise NotifyError(
                "Could not post: no channel is configured", failure=DeliveryFailure.CHANNEL, code="no_channel"
            )
        posted = Posted(channel, f"{len(self._sent) + 1}.000000")
        self._sent[notice_id] = posted
        return posted


def card_panel(card: DrawnCard, channel: str) -> Panel:
    """A card as a panel with a border in the colour of its look. `card` must be drawn with PlainPen."""
    style = _STYLES[card.look]
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in card.fields:
        grid.add_row(Text(label), Text(value))
    outer = Table.grid()
    outer.add_column(overflow="fold")
    for index, line in enumerate(card.body):
        outer.add_row(Text(line, style="bold" if index == 0 else ""))
    if card.trend:
        outer.add_row(Text(card.trend))
    for row in card.rows:
        outer.add_row(Text(row))
    if card.mention:
        outer.add_row(Text(" ".join(card.mention), style="cyan"))
    if card.fields:
        outer.add_row(grid)
    footer = Text(" · ".join((*card.context, cleaned(channel))), style="dim")
    for label in _buttons(card):
        footer.append("  ")
        footer.append(f"[ {label} ]", style="reverse")
    outer.add_row(footer)
    return Panel(outer, title=Text(card.title, style=f"bold {style}"), title_align="left", border_style=style)


def _buttons(card: DrawnCard) -> Iterator[str]:
    """What the buttons of the card in Slack begin with; here they only show that they are there."""
    if card.open_members:
        yield "Acknowledge" if card.acknowledgeable else "Give back"
        if card.silenceable:
            yield "Silence"
        yield "Why"


def _written(line: str, by: str) -> Text:
    heading = line.startswith(HEADING)
    return Text(cleaned(line.removeprefix(HEADING).replace(PERSON, by)), style="bold" if heading else "")


def _short_id(card: DrawnCard) -> str:
    ids = card.open_members or card.members
    more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
    return f"#{ids[0]}{more}" if ids else "#–"
