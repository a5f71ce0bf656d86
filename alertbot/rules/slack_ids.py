"""How Slack spells channels, users and mentions, in configuration and in messages.

Slack's ids are a letter for the kind and capital letters and digits (docs.slack.dev, "Object types"); their length is
not documented.
"""

from __future__ import annotations

import re

CHANNEL_ID = r"[CGD][A-Z0-9]{6,}"
CHANNEL = rf"#[^\s,#]{{1,80}}|{CHANNEL_ID}"
"""A channel as it is configured: "#name", or its id."""
USER_ID = r"[UW][A-Z0-9]{2,20}"
USER_GROUP_ID = r"S[A-Z0-9]+"
# An id of any length: what a rule file says is sent as it stands, and Slack decides whether it knows the id.
MENTION = rf"<@[UW][A-Z0-9]+>|<!subteam\^{USER_GROUP_ID}>|<!(?:here|channel|everyone)>"
"""A mention as Slack spells it: of a user, a user group, or everyone in a channel."""

_CHANNEL_ID, _CHANNEL, _USER_ID, _MENTION = (re.compile(text) for text in (CHANNEL_ID, CHANNEL, USER_ID, MENTION))
_USER_GROUP_ID = re.compile(USER_GROUP_ID)


def is_channel(text: str) -> bool:
    """Whether this is a channel as it may be configured: "#cc-alerts", or an id."""
    return _CHANNEL.fullmatch(text) is not None


def is_channel_id(text: str) -> bool:
    """Whether this is the id of a channel, rather than its name."""
    return _CHANNEL_ID.fullmatch(text) is not None


_LINK = re.compile(rf"https?://\S*?/(?:archives|client/T[A-Z0-9]+)/({CHANNEL_ID})(?:[/?#]\S*)?")
_QUOTES = "\"'`“”„«»‘’ \t"
MAX_CHANNEL_NAME = 80


def channel_hint(text: str) -> str:
    """What to write in place of a text that is no channel."""
    name = text.strip(_QUOTES)
    if not name:
        return 'such as "#cc-alerts"' if text else '# begins a comment in YAML: write "#cc-alerts", in quotes'
    link = _LINK.fullmatch(name)
    if link:
        return f'write "{link[1]}", the id in that link'
    if name.startswith(("@", "#@")) or re.fullmatch(rf"<?@?{USER_ID}>?", name):
        return "alerts go to channels, not to a person: mention is for people"
    if "://" in name:
        return 'such as "#cc-alerts"'
    name = re.sub(r"[\s,#]+", "-", name).strip("-").lower()
    if len(name) > MAX_CHANNEL_NAME:
        return f"the name of a channel has at most {MAX_CHANNEL_NAME} characters"
    return f'write "#{name}"' if name else 'such as "#cc-alerts"'


def channel_without_capitals(text: str) -> str:
    """The name of a channel as Slack has it, where it was written with capitals; "" where there is nothing to say."""
    return text.lower() if text.startswith("#") and text != text.lower() else ""


def is_user_id(text: str) -> bool:
    """Whether this is a Slack user id, rather than the name of a local user."""
    return _USER_ID.fullmatch(text) is not None


def is_user_group_id(text: str) -> bool:
    """Whether this is the id of a user group."""
    return _USER_GROUP_ID.fullmatch(text) is not None


def is_mention(text: str) -> bool:
    """Whether this is one mention that Slack understands, and nothing else."""
    return _MENTION.fullmatch(text) is not None
