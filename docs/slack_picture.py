"""Draws Slack messages as SVG, about as Slack shows them: for the picture in the README.

Only what cards use: header, section, fields, context, buttons, an attachment with its colour bar, and a thread. Widths
of letters are estimated, since there is no font here to measure: lines are broken a little early rather than late.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

WIDTH = 760
_LEFT, _RIGHT, _INDENT = 72, 24, 44
_FONT = "Lato, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
_STYLES = {
    "": "",
    "bold": ' font-weight="700"',
    "code": ' font-family="ui-monospace, Menlo, Consolas, monospace" fill="#c01343"',
    "link": ' fill="#1264a3"',
}
_SPAN = re.compile(r"\*(?P<bold>[^*\n]+)\*|`(?P<code>[^`\n]+)`|<(?P<link>[^<>\n]+)>")
_DATE = re.compile(r"!date\^(\d+)\^([^|^]*)")


@dataclass(frozen=True)
class Post:
    """One message, its time, and its replies (texts in mrkdwn, with their times). `edited`: as Slack marks it."""

    blocks: Sequence[Mapping[str, Any]]
    attachments: Sequence[Mapping[str, Any]]
    at: datetime
    replies: Sequence[tuple[datetime, str]] = ()
    edited: bool = False


def draw(posts: Sequence[Post], people: Mapping[str, str]) -> str:
    """The messages below each other. `people` are the names of user ids; times are shown in UTC."""
    canvas = _Canvas(dict(people))
    for post in posts:
        canvas.post(post)
    return canvas.svg()


@dataclass
class _Canvas:
    people: dict[str, str]
    y: float = 18.0
    shapes: list[str] = field(default_factory=list)

    def post(self, post: Post) -> None:
        self._author(post.at, _LEFT)
        for block in post.blocks:
            self._block(block, _LEFT, WIDTH - _RIGHT)
        if post.edited:
            self._text([("(edited)", "")], _LEFT, WIDTH, size=12, colour="#696969")
        for attachment in post.attachments:
            top = self.y + 4
            self.y = top
            for block in attachment["blocks"]:
                self._block(block, _LEFT + 16, WIDTH - _RIGHT)
            self._rect(_LEFT, top, 4, self.y - top, fill=str(attachment["color"]), radius=2)
        for at, text in post.replies:
            self.y += 8
            top = self.y
            self._author(at, _LEFT + _INDENT)
            self._text(self._runs(text), _LEFT + _INDENT, WIDTH - _RIGHT)
            self._rect(_LEFT - 10, top, 2, self.y - top, fill="#dddddd", radius=1)
        self.y += 22

    def svg(self) -> str:
        height = round(self.y)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="{_FONT}" '
            f'font-size="15" fill="#1d1c1d" role="img" aria-label="A card in Slack, firing and then resolved">'
        )
        frame = f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff" stroke="#dddddd"/>'
        return "\n".join([head, frame, *self.shapes, "</svg>"])

    def _author(self, at: datetime, x: float) -> None:
        self._rect(x - _INDENT, self.y, 36, 36, fill="#2c2d30", radius=6)
        self.shapes.append(f'<text x="{x - 26}" y="{self.y + 24:.0f}" font-size="17" text-anchor="middle">🔔</text>')
        self.y += 15
        self.shapes.append(f'<text x="{x}" y="{self.y:.0f}" font-weight="700">alertbot</text>')
        self._rect(x + 70, self.y - 11, 30, 14, fill="#dddddd", radius=2)
        self.shapes.append(f'<text x="{x + 75}" y="{self.y:.0f}" font-size="10" fill="#454547">APP</text>')
        self.shapes.append(f'<text x="{x + 108}" y="{self.y:.0f}" font-size="12" fill="#696969">{_clock(at)}</text>')
        self.y += 6

    def _block(self, block: Mapping[str, Any], left: float, right: float) -> None:
        match block["type"]:
            case "header":
                self.y += 4
                self._text([(str(block["text"]["text"]), "bold")], left, right, size=18)
            case "section":
                if "text" in block:
                    self._text(self._runs(str(block["text"]["text"])), left, right)
                self._fields([str(each["text"]) for each in block.get("fields", ())], left, right)
            case "context":
                text = "  ".join(str(each["text"]) for each in block["elements"])
                self._text(self._runs(text), left, right, size=13, colour="#616061")
            case "actions":
                self._buttons(block["elements"], left)

    def _fields(self, fields: Sequence[str], left: float, right: float) -> None:
        middle = (left + right) / 2
        for pair in (fields[i : i + 2] for i in range(0, len(fields), 2)):
            top, bottom = self.y, self.y
            for text, x, end in zip(pair, (left, middle), (middle - 12, right), strict=False):
                self.y = top
                self._text(self._runs(text), x, end)
                bottom = max(bottom, self.y)
            self.y = bottom + 6

    def _buttons(self, buttons: Sequence[Mapping[str, Any]], left: float) -> None:
        self.y += 6
        for button in buttons:
            menu = button["type"] == "static_select"
            label = f"{button['placeholder']['text']} ▾" if menu else str(button["text"]["text"])
            width = _width(label, 14) + 28
            primary = button.get("style") == "primary"
            fill, ink, edge = ("#007a5a", "#ffffff", "#007a5a") if primary else ("#ffffff", "#1d1c1d", "#bbbbbb")
            self._rect(left, self.y, width, 30, fill=fill, radius=4, stroke=edge)
            self.shapes.append(
                f'<text x="{left + width / 2:.0f}" y="{self.y + 20:.0f}" font-size="14" font-weight="700" '
                f'text-anchor="middle" fill="{ink}">{html.escape(label)}</text>'
            )
            left += width + 8
        self.y += 36

    def _rect(
        self, x: float, y: float, width: float, height: float, *, fill: str, radius: int, stroke: str = "none"
    ) -> None:
        self.shapes.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" rx="{radius}" '
            f'fill="{fill}" stroke="{stroke}"/>'
        )

    def _text(
        self, runs: Sequence[tuple[str, str]], left: float, right: float, *, size: int = 15, colour: str = ""
    ) -> None:
        """Runs of text and style, broken into lines between words."""
        for line in _lines(runs, right - left, size):
            self.y += size * 1.45
            spans = "".join(f"<tspan{_STYLES[style]}>{html.escape(text)}</tspan>" for text, style in line)
            fill = f' fill="{colour}"' if colour else ""
            self.shapes.append(
                f'<text x="{left:.0f}" y="{self.y - 2:.0f}" font-size="{size}"{fill} xml:space="preserve">'
                f"{spans}</text>"
            )

    def _runs(self, mrkdwn: str) -> list[tuple[str, str]]:
        """Mrkdwn as runs of text and style."""
        runs, at = [], 0
        for span in _SPAN.finditer(mrkdwn):
            runs.append((_plain(mrkdwn[at : span.start()]), ""))
            style = str(span.lastgroup)
            text = span[style]
            runs.append(self._reference(text) if style == "link" else (_plain(self._inner(text)), style))
            at = span.end()
        runs.append((_plain(mrkdwn[at:]), ""))
        return [(text, style) for text, style in runs if text]

    def _inner(self, text: str) -> str:
        """References inside of bold text."""
        return re.sub(r"<([^<>]+)>", lambda inner: self._reference(inner[1])[0], text)

    def _reference(self, text: str) -> tuple[str, str]:
        """What stands between angle brackets: a time, a person, a link."""
        date = _DATE.match(text)
        if date:
            moment = datetime.fromtimestamp(int(date[1]), UTC)
            shown = date[2].replace("{date_short_pretty}", "today").replace("{time_secs}", f"{moment:%H:%M:%S}")
            return shown.replace("{time}", _clock(moment)), ""
        if text.startswith("@"):
            return f"@{self.people.get(text[1:], text[1:])}", "link"
        url, _, label = text.partition("|")
        return _plain(label or url), "link"


def _plain(text: str) -> str:
    return html.unescape(text).replace("\u200b", "")


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M}"


def _lines(runs: Sequence[tuple[str, str]], width: float, size: int) -> Iterator[list[tuple[str, str]]]:
    """The lines that fit into the width, each as runs; a line break in a run begins a new one."""
    line: list[tuple[str, str]] = []
    used = 0.0
    for text, style in runs:
        for word in re.findall(r"\n|[^\S\n]+|[^\s]+", text):
            need = _width(word, size, style)
            if word == "\n" or (line and used + need > width and word.strip()):
                yield line
                line, used = [], 0.0
            if word == "\n" or (not line and not word.strip()):
                continue
            if line and line[-1][1] == style:
                line[-1] = (line[-1][0] + word, style)
            else:
                line.append((word, style))
            used += need
    if line:
        yield line


def _width(text: str, size: int, style: str = "") -> float:
    if style == "code":
        return len(text) * size * 0.62
    widths = (1.3 if ord(char) > 0x2000 else 0.3 if char in "il.,:;'|!· " else 0.56 for char in text)
    return sum(widths) * size * (1.06 if style == "bold" else 1.0)
