"""Drawn parts to a Slack message: blocks, a coloured attachment and the text that notifications read.

The limits are those of Slack's reference (docs.slack.dev, "Block Kit"). For the text of all blocks together the
reference names none; in practice `msg_blocks_too_long` begins at about 13,200 characters. Longer text is cut with a
visible "…", never refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alertbot.alerts.notice import HEADING, PERSON
from alertbot.notify.pens import cleaned, clip, size
from alertbot.notify.render import DrawnCard, DrawnLine
from alertbot.rules.plain import one_line
from alertbot.rules.slack_ids import is_mention
from alertbot.slack.buttons import buttons
from alertbot.slack.text import MrkdwnPen, clip_mrkdwn, entities, escape

_MAX_HEADER, _MAX_SECTION, _MAX_FIELD, _MAX_CONTEXT, _MAX_TEXT = 150, 3000, 700, 1000, 3500
_MAX_ALL = 12_000  # characters of all blocks; see above
_MIN_CUT = 24
_MAX_PARTS = 45  # of a report: Slack takes 50 blocks
_MAX_MENTIONS = 20

Block = dict[str, Any]


@dataclass(frozen=True)
class SlackMessage:
    """What chat.postMessage and chat.update take. Always send all of it: an update keeps the parts that are absent."""

    text: str
    blocks: Sequence[Block] = ()
    attachments: Sequence[Mapping[str, Any]] = ()


def card_message(card: DrawnCard) -> SlackMessage:
    """A card: the important parts in the message itself, the others in an attachment with a colour bar."""
    blocks: list[Block] = [{"type": "header", "text": _plain(clip(card.title, _MAX_HEADER) or "Alert")}]
    body = "\n".join([*card.body, card.trend] if card.trend else card.body)
    if body:
        blocks.append({"type": "section", "text": _mrkdwn(clip_mrkdwn(body, _MAX_SECTION))})
    room = _MAX_ALL - sum(map(size, (card.title, body, *map(" ".join, card.fields), *card.context)))
    blocks += [_section(text) for text in _packed(card.rows, "\n", room)]
    if card.mention:
        blocks.append({"type": "section", "text": _mrkdwn(_mentions(card.mention))})
    elements = _buttons(card)
    if elements:
        # Slack keeps what was chosen in a menu while the id of its block is the same, and choosing that option again is
        # no event. So each drawing has an id of its own, as Slack's reference requires of updates.
        block_id = f"alert-{card.members[0]}-{card.drawn_at:%Y%m%dT%H%M%S}"
        blocks.append({"type": "actions", "block_id": block_id, "elements": elements})
    details: list[Block] = []
    if card.fields:
        fields = [_mrkdwn(_field(label, value)) for label, value in card.fields]
        details.append({"type": "section", "fields": fields})
    if card.context:
        small = clip_mrkdwn("  ·  ".join(card.context), _MAX_CONTEXT)
        details.append({"type": "context", "elements": [_mrkdwn(small)]})
    attachments = [{"color": card.look.colour, "blocks": details}] if details else []
    return SlackMessage(clip_mrkdwn(card.summary, _MAX_TEXT), blocks, attachments)


def plain_card_message(card: DrawnCard) -> SlackMessage:
    """A card as text only, for when Slack refuses the blocks."""
    lines = [f"{card.look.emoji} {card.summary}", *card.body, *card.rows]
    lines += [f"{label}: {value}" if label else value for label, value in card.fields]
    lines += [" · ".join(card.context), _mentions(card.mention)]
    return SlackMessage(clip_mrkdwn("\n".join(line for line in lines if line), _MAX_TEXT))


def line_message(line: DrawnLine) -> SlackMessage:
    """A line of a card's thread. The names of several alerts follow in sections of their own, unless they are few."""
    text = clip_mrkdwn(line.text, _MAX_SECTION - 500) or "…"
    names = _packed(line.names, ", ", _MAX_ALL - _MAX_SECTION)
    if len(names) == 1 and size(text) + size(names[0]) < _MAX_SECTION - 500:
        text, names = f"{text} {names[0]}", []
    blocks: list[Block] = [_section(each) for each in (text, *names)]
    if line.mention:
        blocks.append({"type": "section", "text": _mrkdwn(_mentions(line.mention))})
    return SlackMessage(clip_mrkdwn(line.summary, _MAX_TEXT) or "…", blocks)


def plain_line_message(line: DrawnLine) -> SlackMessage:
    """A line as text only."""
    names = ", ".join(line.names)
    text = "\n".join(part for part in (line.summary or "…", names, _mentions(line.mention)) if part)
    return SlackMessage(clip_mrkdwn(text, _MAX_TEXT))


def text_message(text: str) -> SlackMessage:
    """Plain text, shown as it is, line by line. Post it with `mrkdwn` off."""
    escaped = "\n".join(entities(cleaned(line)) for line in text.splitlines())
    return SlackMessage(clip_mrkdwn(escaped, _MAX_TEXT).strip() or "…")


def text_about(text: str, person: str) -> SlackMessage:
    """Text in which this person stands at PERSON, for mrkdwn: the rest of it is shown as it is."""
    pen = MrkdwnPen()
    lines = (_written(line.split(PERSON), pen.person(person)) for line in text.splitlines())
    return SlackMessage(clip_mrkdwn("\n".join(lines), _MAX_TEXT).strip() or "…")


def report_message(text: str) -> SlackMessage:
    """Text with headings: bold lines, each of which begins a block. The rest of it is shown as it is."""
    parts: list[list[str]] = []
    for line in text.splitlines():
        heading = line.startswith(HEADING)
        shown = escape(one_line(line.removeprefix(HEADING))).strip()
        if not parts or (heading and len(parts) < _MAX_PARTS):
            parts.append([])
        parts[-1].append(f"*{shown}*" if heading and shown else shown)
    blocks: list[Block] = [
        _section(clip_mrkdwn("\n".join(part), _MAX_SECTION)) for part in parts if "".join(part).strip()
    ]
    plain = "\n".join(escape(one_line(line.removeprefix(HEADING))) for line in text.splitlines())
    return SlackMessage(clip_mrkdwn(plain, _MAX_TEXT).strip() or "…", blocks)


def _written(pieces: Sequence[str], person: str) -> str:
    return person.join(escape(one_line(piece)) for piece in pieces)


def _buttons(card: DrawnCard) -> list[Block]:
    """What can be done about the alerts of an open card."""
    if not card.open:
        return []
    return buttons(
        card.open_members,
        owned=not card.acknowledgeable,
        card_id=card.card_id,
        closes=card.closes_at is not None,
        silenceable=card.silenceable,
    )


def _section(text: str) -> Block:
    return {"type": "section", "text": _mrkdwn(text)}


def _packed(texts: Sequence[str], separator: str, room: int) -> list[str]:
    """Texts joined, in as few pieces as sections hold, cut evenly so that all of them together fit in `room`."""
    longest = _MAX_SECTION // 3
    while texts and longest > _MIN_CUT and sum(min(size(text), longest) + len(separator) for text in texts) > room:
        longest = longest * 9 // 10
    pieces: list[str] = []
    for text in (clip_mrkdwn(each, longest) for each in texts):
        if pieces and size(pieces[-1]) + len(separator) + size(text) < _MAX_SECTION - 100:
            pieces[-1] += separator + text
        else:
            pieces.append(text)
    return pieces


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _mrkdwn(text: str) -> dict[str, Any]:
    # verbatim: without it Slack makes links and mentions of addresses, #names and @here in the text.
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _field(label: str, value: str) -> str:
    return clip_mrkdwn(f"*{label}*\n{value}" if label else value, _MAX_FIELD)


def _mentions(mention: Sequence[str]) -> str:
    return " ".join([each for each in mention if is_mention(each)][:_MAX_MENTIONS])
