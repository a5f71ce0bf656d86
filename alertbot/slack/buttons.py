"""The buttons of open alerts, on cards and on the Home tab: their action ids, and how they are drawn.

Action ids and values are a contract with messages that are already in Slack. The value of a button is its target: the
id of an alert, or `whole_card` for every alert of a card. An option of the Silence menu is a word of `For` and the
target. A press is answered like the command in the same row of COMMANDS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alertbot.commands.changes import whole_card
from alertbot.commands.silence_menu import For, option

ACKNOWLEDGE, GIVE_BACK, SILENCE, WHY = "acknowledge", "give_back", "silence", "why"
"""The action ids."""

Block = dict[str, Any]


def buttons(
    alert_ids: Sequence[int],
    *,
    owned: bool,
    card_id: int | None = None,
    closes: bool = False,
    silenceable: bool = True,
) -> list[Block]:
    """What can be done about these open alerts, the worst first: the elements of an `actions` block.

    `owned`: each of them has an owner, so they can be given back in place of acknowledged. `card_id` is the card that
    shows them; several alerts are acknowledged, given back and silenced together, as that card. `closes`: a business
    closes later today, so "until close of business" is offered. Without alerts there are no buttons.
    """
    if not alert_ids:
        return []
    worst, *others = alert_ids
    every = " all" if others else ""
    target = str(worst) if not others else whole_card(card_id) if card_id is not None else ""
    found: list[Block] = []
    if target and owned:
        found.append(_button(GIVE_BACK, f"Give back{every}", target))
    elif target:
        found.append({**_button(ACKNOWLEDGE, f"Acknowledge{every}", target), "style": "primary"})
    if target and silenceable:
        found.append(silence_menu(target, closes=closes))
    return [*found, _button(WHY, "Why the worst" if others else "Why", str(worst))]


def silence_menu(target: str, *, closes: bool) -> Block:
    """One element: a menu of how long to silence its target."""
    options = [
        {"text": _plain(each.label), "value": option(each, target)} for each in For if closes or each is not For.CLOSE
    ]
    return {"type": "static_select", "action_id": SILENCE, "placeholder": _plain("Silence"), "options": options}


def _button(action: str, label: str, value: str) -> Block:
    return {"type": "button", "action_id": action, "text": _plain(label), "value": value}


def _plain(text: str) -> Block:
    return {"type": "plain_text", "text": text, "emoji": False}
