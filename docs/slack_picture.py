"""Draws Slack messages as Slack shows them: HTML from their blocks, and a picture of it made by headless Chromium.

For the picture in the README. Whatever cards use is drawn: header, section, fields, context, buttons, selects, an
attachment with its colour bar, and a thread; anything else is an error, so that the picture never leaves it out. The
picture holds the hash of the HTML that it shows, so a test can say that it is out of date without a browser.

Chromium and the fonts that Slack uses come from Debian: apt-get install chromium fonts-lato fonts-noto-color-emoji
"""

from __future__ import annotations

import hashlib
import html
import io
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

WIDTH, SCALE = 760, 2
"""CSS pixels of the picture, and device pixels for each: sharp on a phone and on a screen of high resolution."""
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_KEYWORD = "Source"  # of the text in the PNG that has the hash
_CLEAR = 255  # the last of 256 colours, around the panes
_SPAN = re.compile(r"\*(?P<bold>[^*\n]+)\*|`(?P<code>[^`\n]+)`|<(?P<link>[^<>\n]+)>")
_DATE = re.compile(r"!date\^(\d+)\^([^|^]*)")

_STYLE = """
* { box-sizing: border-box; margin: 0; }
body { width: 760px; padding: 1px; background: transparent; color: #1d1c1d;
  font: 15px/22px Lato, "Noto Color Emoji", "DejaVu Sans", sans-serif; font-variant-ligatures: none;
  -webkit-font-smoothing: antialiased; }
.pane { background: #fff; border: 1px solid #d4d4d5; border-radius: 8px; overflow: hidden; }
.pane + .pane { margin-top: 16px; }
.top { font-weight: 900; font-size: 17px; padding: 11px 20px 12px; border-bottom: 1px solid #e4e4e5; }
.top span { font-weight: 400; font-size: 13px; color: #616061; margin-left: 6px; }
.message { display: flex; padding: 12px 20px 8px; }
.message:last-child { padding-bottom: 16px; }
.avatar { flex: 0 0 36px; height: 36px; border-radius: 6px; background: #4a154b; margin-right: 10px;
  font-size: 19px; line-height: 36px; text-align: center; }
.content { flex: 1; min-width: 0; }
.author { line-height: 20px; }
.author b { font-weight: 900; }
.author i { font: 700 10px/14px Lato, sans-serif; color: #454547; background: #e4e4e5; border-radius: 2px;
  padding: 1px 3px; margin: 0 5px; vertical-align: 2px; }
.author time { font-size: 12px; color: #616061; }
.header { font-size: 18px; line-height: 24px; font-weight: 900; margin: 6px 0 4px; }
.section { margin: 4px 0; white-space: pre-line; overflow-wrap: anywhere; }
.fields { display: grid; grid-template-columns: 1fr 1fr; gap: 6px 16px; margin: 4px 0; }
.fields div { white-space: pre-line; }
.context { font-size: 13px; line-height: 18px; color: #616061; margin: 6px 0 2px; white-space: pre-wrap; }
.actions { display: flex; flex-wrap: wrap; gap: 8px; margin: 8px 0; }
.button { height: 32px; padding: 0 12px; border: 1px solid #bbbabb; border-radius: 8px; background: #fff;
  font-weight: 700; line-height: 30px; font-size: 14px; }
.primary { background: #007a5a; border-color: #007a5a; color: #fff; }
.danger { background: #e01e5a; border-color: #e01e5a; color: #fff; }
.select { font-weight: 400; color: #616061; padding-right: 10px; }
.select::after { content: ""; display: inline-block; width: 7px; height: 7px; margin: 0 2px 3px 22px;
  border: solid #1d1c1d; border-width: 0 1.5px 1.5px 0; transform: rotate(45deg); }
.attachment { display: flex; margin-top: 4px; }
.bar { flex: 0 0 4px; border-radius: 8px; margin-right: 12px; }
.attachment > div:last-child { flex: 1; padding: 1px 0; min-width: 0; }
.replies { display: flex; align-items: center; color: #616061; font-size: 13px; padding: 2px 20px 0; }
.replies::after { content: ""; flex: 1; border-top: 1px solid #e4e4e5; margin-left: 10px; }
.mention { color: #1264a3; background: #e8f5fa; border-radius: 3px; padding: 0 2px 1px; }
a { color: #1264a3; text-decoration: none; }
b { font-weight: 900; }
code { font: 12px/18px "DejaVu Sans Mono", monospace; color: #c01343; background: #f6f6f6;
  border: 1px solid #dddddd; border-radius: 3px; padding: 1px 3px; }
"""


@dataclass(frozen=True)
class Post:
    """One message and its time. `replies` are the messages of its thread (blocks), with their times."""

    blocks: Sequence[Mapping[str, Any]]
    attachments: Sequence[Mapping[str, Any]]
    at: datetime
    replies: Sequence[tuple[datetime, Sequence[Mapping[str, Any]]]] = ()


def page(posts: Sequence[Post], people: Mapping[str, str], channel: str) -> str:
    """The messages below each other, as HTML: one with replies as a thread, any other as the channel shows it.

    `people` are the names of user and group ids; times are shown in UTC.
    """
    names = _Names(people)
    panes = []
    for post in posts:
        where = "Thread" if post.replies else f"# {channel}"
        beside = f"<span># {html.escape(channel)}</span>" if post.replies else ""
        inner = [f'<div class="top">{html.escape(where)}{beside}</div>', names.message(post.blocks, post.at, post)]
        if post.replies:
            count = len(post.replies)
            inner.append(f'<div class="replies">{count} {"reply" if count == 1 else "replies"}</div>')
            inner += [names.message(blocks, at) for at, blocks in post.replies]
        panes.append('<div class="pane">\n' + "\n".join(inner) + "\n</div>")
    head = f'<meta charset="utf-8"><title>A card in Slack</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(panes) + "\n</body></html>\n"


@dataclass(frozen=True)
class _Names:
    people: Mapping[str, str]

    def message(self, blocks: Sequence[Mapping[str, Any]], at: datetime, post: Post | None = None) -> str:
        parts = [f'<div class="author"><b>alertbot</b><i>APP</i><time>{_clock(at)}</time></div>']
        parts += [self._block(block) for block in blocks]
        for attachment in post.attachments if post is not None else ():
            inner = "".join(self._block(block) for block in attachment["blocks"])
            bar = f'<div class="bar" style="background:{attachment["color"]}"></div>'
            parts.append(f'<div class="attachment">{bar}<div>{inner}</div></div>')
        content = "\n".join(parts)
        return f'<div class="message"><div class="avatar">🔔</div><div class="content">\n{content}\n</div></div>'

    def _block(self, block: Mapping[str, Any]) -> str:
        match block["type"]:
            case "header":
                return f'<div class="header">{html.escape(block["text"]["text"])}</div>'
            case "section":
                text = f'<div class="section">{self._mrkdwn(block["text"]["text"])}</div>' if "text" in block else ""
                fields = "".join(f"<div>{self._mrkdwn(each['text'])}</div>" for each in block.get("fields", ()))
                return text + (f'<div class="fields">{fields}</div>' if fields else "")
            case "context":
                return (
                    f'<div class="context">{"  ".join(self._mrkdwn(each["text"]) for each in block["elements"])}</div>'
                )
            case "actions":
                return f'<div class="actions">{"".join(map(_element, block["elements"]))}</div>'
        raise ValueError(f"the picture does not know the block {block['type']}")

    def _mrkdwn(self, text: str) -> str:
        parts, at = [], 0
        for span in _SPAN.finditer(text):
            parts.append(_plain(text[at : span.start()]))
            inner = span[str(span.lastgroup)]
            match span.lastgroup:
                case "bold":
                    parts.append(f"<b>{self._mrkdwn(inner)}</b>")
                case "code":
                    parts.append(f"<code>{_plain(inner)}</code>")
                case _:
                    parts.append(self._reference(inner))
            at = span.end()
        return "".join([*parts, _plain(text[at:])])

    def _reference(self, text: str) -> str:
        """What stands between angle brackets: a time, a person or a group, a link."""
        date = _DATE.match(text)
        if date:
            moment = datetime.fromtimestamp(int(date[1]), UTC)
            shown = date[2].replace("{date_short_pretty}", "today").replace("{time_secs}", f"{moment:%H:%M:%S}")
            return _plain(shown.replace("{time}", _clock(moment)))
        if text.startswith(("@", "!")):
            who = text.lstrip("@!").removeprefix("subteam^").partition("|")[0]
            return f'<span class="mention">@{html.escape(self.people.get(who, who))}</span>'
        url, _, label = text.partition("|")
        return f"<a>{_plain(label or url)}</a>"


def _element(element: Mapping[str, Any]) -> str:
    match element["type"]:
        case "button":
            style = element.get("style", "")
            return f'<div class="button {style}">{html.escape(element["text"]["text"])}</div>'
        case "static_select" | "overflow":
            label = element.get("placeholder", {"text": "…"})["text"]
            return f'<div class="button select">{html.escape(label)}</div>'
    raise ValueError(f"the picture does not know the element {element['type']}")


def _plain(text: str) -> str:
    return html.escape(html.unescape(text).replace("\u200b", ""))


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M}"


# The picture.


def browser() -> str | None:
    """The browser that draws the picture; None where there is none."""
    return next((found for name in _BROWSERS if (found := shutil.which(name))), None)


def render(source: str, path: Path) -> None:
    """Draw this HTML as a PNG. Raises FileNotFoundError without a browser, and CalledProcessError where it fails."""
    command = browser()
    if command is None:
        raise FileNotFoundError("no chromium: apt-get install chromium fonts-lato fonts-noto-color-emoji")
    with tempfile.TemporaryDirectory() as folder:
        file, picture = Path(folder) / "card.html", Path(folder) / "card.png"
        measured = "<script>document.title = document.body.getBoundingClientRect().height</script></body>"
        file.write_text(source.replace("</body>", measured), encoding="utf-8")
        height = re.search(r"<title>([\d.]+)</title>", _run(command, "--dump-dom", folder, file).decode())
        assert height is not None
        file.write_text(source, encoding="utf-8")
        # Transparent around the panes: the page behind may be light or dark.
        options = (f"--screenshot={picture}", f"--window-size={WIDTH},{-(-float(height[1]) // 1):.0f}")
        _run(command, *options, "--default-background-color=00000000", folder, file)
        path.write_bytes(with_hash(picture.read_bytes(), source))


def _run(command: str, *options: str | Path) -> bytes:
    *flags, folder, file = options
    fixed = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-lcd-text")
    profile = (f"--user-data-dir={folder}/profile", f"--force-device-scale-factor={SCALE}")
    line = [command, *fixed, *profile, *map(str, flags), Path(file).as_uri()]
    return subprocess.run(line, check=True, capture_output=True, timeout=120).stdout  # noqa: S603  # our own page


def hash_of(source: str) -> str:
    """What a picture of this HTML holds."""
    return hashlib.sha256(source.encode()).hexdigest()


def with_hash(picture: bytes, source: str) -> bytes:
    """The PNG with the hash of what it shows; 256 colours, which makes it a third of its size."""
    about, out = PngInfo(), io.BytesIO()
    about.add_text(_KEYWORD, hash_of(source))
    with Image.open(io.BytesIO(picture)) as image:
        drawn = image.convert("RGBA")
    on_white = Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB")
    few = on_white.quantize(_CLEAR, method=Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE)
    few.putpalette([*(few.getpalette() or [])[: 3 * _CLEAR], 255, 255, 255])
    few.paste(_CLEAR, mask=drawn.getchannel("A").point(lambda alpha: 255 if alpha < 128 else 0))
    few.save(out, "PNG", optimize=True, pnginfo=about, transparency=_CLEAR)
    return out.getvalue()


def shown_by(picture: bytes) -> str:
    """The hash of the HTML that a picture shows; "" where it holds none."""
    with Image.open(io.BytesIO(picture)) as image:
        return str(image.info.get(_KEYWORD, ""))
