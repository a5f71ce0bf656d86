"""The Slack app manifest (docs.slack.dev/reference/app-manifest): what to paste when the app is created."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from alertbot.commands.answers import usage_hint

EVENTS_PATH = "/slack/events"
HOME_EVENT = "app_home_opened"
"""The event on which the Home tab is published. Neither the event nor the tab needs a scope."""

_SCOPES = (
    "chat:write",  # cards, edits, thread lines
    "commands",  # the slash command
    "channels:history",  # to check, after a lost response, whether a card was posted
    "groups:history",  # the same in private channels
    "channels:read",  # channel names to ids
    "groups:read",
    "usergroups:read",  # slack.may_change.usergroups
    "users:read",  # the time zone of those who ask
    "files:write",  # pictures of charts
)


def manifest(command: str, url: str | None) -> dict[str, Any]:
    """The manifest for a bot whose slash command is `command`; Socket Mode unless `url` is given.

    `url` is the bot's public address, with or without the path of the endpoint (`/slack/events`). Slack verifies it
    once the bot runs. Tokens and the signing secret are not part of a manifest: Slack shows them when the app exists.
    """
    request = {"url": _endpoint(url)} if url else {}
    request_url = {"request_url": request["url"]} if request else {}
    return {
        "_metadata": {"major_version": 1, "minor_version": 1},
        "display_information": {
            "name": "alertbot",
            "description": "Threshold alerts for a contact centre on 8x8",
            "background_color": "#2c2d30",
        },
        "features": {
            "app_home": {
                "home_tab_enabled": True,
                # The bot posts there what concerns one user, such as the end of their silence; it reads no messages.
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": True,
            },
            "bot_user": {"display_name": "alertbot", "always_online": True},
            "slash_commands": [
                {
                    "command": command,
                    "description": "Ask what is going on in the contact centre",
                    "usage_hint": usage_hint(),
                    "should_escape": False,  # `#17` and names arrive as typed
                    **request,
                }
            ],
        },
        "oauth_config": {"scopes": {"bot": list(_SCOPES)}},
        "settings": {
            "event_subscriptions": {**request_url, "bot_events": [HOME_EVENT]},
            "interactivity": {"is_enabled": True, **request_url},
            "socket_mode_enabled": url is None,
            "org_deploy_enabled": False,
            "token_rotation_enabled": False,
        },
    }


def _endpoint(url: str) -> str:
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    if not path.endswith(EVENTS_PATH):
        path += EVENTS_PATH
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))
