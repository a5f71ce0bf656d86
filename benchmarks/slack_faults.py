"""Slack under kills: its channels, and what goes wrong in it. For benchmarks.kills and benchmarks.fleet."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from tests.slack import slack_server as fake

CHANNELS: Mapping[str, str] = {f"c{number}": f"C{number:04}" for number in range(16)}
"""Those with cards, by name. The first one always works."""
OPS: Mapping[str, str] = {"ops": "C0OPS"}
_ANSWERS = [
    fake.DROP_AFTER,
    fake.DROP_BEFORE,
    fake.SERVER_ERROR_AFTER,
    fake.limited("1"),
    fake.refused("service_unavailable"),
]


def misbehave(slack: fake.SlackServer, chance: random.Random, edit_refusals: Sequence[str], archives: float) -> None:
    """The next post fails, perhaps the next edit too, and a channel may be archived, or work again.

    An edit is refused with one of these errors. `archives`: the probability that it happens to a channel.
    """
    slack.next("chat.postMessage", chance.choice(_ANSWERS))
    if chance.random() < 0.5:
        slack.next("chat.update", fake.refused(chance.choice(edit_refusals)))
    if chance.random() < archives:
        slack.archived ^= {chance.choice(list(CHANNELS.values())[1:])}
