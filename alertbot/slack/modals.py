"""The form behind "other …" of the Silence menu: a modal that asks for a time and a reason.

What is silenced travels in the form itself (`private_metadata`), and is read from the store again when it is submitted:
a form may stay open for hours. Limits (docs.slack.dev/surfaces/modals): 24 characters for the title and the buttons,
100 blocks, 3,000 characters of metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alertbot.commands.changes import MAX_NOTE
from alertbot.commands.command import Line, Reply
from alertbot.notify.pens import cleaned, clip
from alertbot.slack.replies import slack_message

SILENCE_FORM = "silence"
"""The callback id."""

_TIME, _REASON, _INPUT = "time", "reason", "text"  # block ids, and the action id of both inputs
_MAX_TIME = 200  # characters
_MAX_ERROR = 500
_TITLE = "Silence"

View = dict[str, Any]


@dataclass(frozen=True)
class Submitted:
    """A form that was filled in: its target (as of a button), the channel of its card, and what was typed."""

    target: str
    channel: str
    time: str
    reason: str


def silence_form(about: Reply, target: str, channel: str) -> View:
    """The form. `about` says what is silenced."""
    metadata = json.dumps({"target": target, "channel": channel})
    time = _input(_TIME, "For how long, or until when", "2h, until 18:00, until tomorrow 8:00", _MAX_TIME)
    time["hint"] = _plain("Times of day are in your own time zone. For more than 30 days, append long.")
    reason = _input(_REASON, "Reason", "Shown on cards and in the list of silences", MAX_NOTE)
    blocks = [*slack_message(about)["blocks"], time, {**reason, "optional": True}]
    form = {"callback_id": SILENCE_FORM, "private_metadata": metadata, "submit": _plain("Silence")}
    return {**_modal(blocks, "Cancel"), **form}


def said(answer: Reply) -> View:
    """A modal in place of the form, with an answer."""
    return _modal(slack_message(answer)["blocks"], "Close")


def errors(answer: Reply) -> dict[str, str]:
    """An answer that says what is wrong, as errors of the form: shown at its first input."""
    lines = (cleaned(part.text) for part in answer.parts if isinstance(part, Line))
    return {_TIME: clip(" ".join(lines), _MAX_ERROR)}


def submitted(view: Mapping[str, Any]) -> Submitted | None:
    """What a submitted form says; None if it does not have this shape."""
    try:
        metadata = json.loads(view["private_metadata"])
        values = view["state"]["values"]
        time, reason = (str(values[block][_INPUT].get("value") or "") for block in (_TIME, _REASON))
        return Submitted(str(metadata["target"]), str(metadata["channel"]), time, reason)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _modal(blocks: list[dict[str, Any]], close: str) -> View:
    return {"type": "modal", "title": _plain(_TITLE), "close": _plain(close), "blocks": blocks}


def _input(block_id: str, label: str, placeholder: str, longest: int) -> dict[str, Any]:
    element = {
        "type": "plain_text_input",
        "action_id": _INPUT,
        "placeholder": _plain(placeholder),
        "max_length": longest,
    }
    return {"type": "input", "block_id": block_id, "label": _plain(label), "element": element}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}
