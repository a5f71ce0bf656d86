"""The Slack app manifest."""

from __future__ import annotations

import pytest

from alertbot.slack.manifest import manifest


def test_socket_mode() -> None:
    """Without a URL the app uses Socket Mode, and the manifest has no URL."""
    made = manifest("/alertbot", None)
    assert made["settings"]["socket_mode_enabled"] is True
    assert made["settings"]["interactivity"] == {"is_enabled": True}
    (command,) = made["features"]["slash_commands"]
    assert command["command"] == "/alertbot"
    assert command["usage_hint"] == (
        "help | status | alerts | history | queue NAME | top KEY | chart KEY NAME | ack ID | silence MATCH FOR"
    )
    assert "url" not in command
    assert set(made["oauth_config"]["scopes"]["bot"]) >= {
        "chat:write",
        "commands",
        "channels:history",
        "groups:history",
        "channels:read",
        "groups:read",
        "usergroups:read",
        "users:read",
        "files:write",
    }


@pytest.mark.parametrize(
    "url",
    [
        "https://bot.example",
        "https://bot.example/",
        "https://bot.example/slack/events",
        "https://bot.example/slack/events/",
    ],
)
def test_http(url: str) -> None:
    """With a URL, commands and buttons go to the endpoint below it."""
    made = manifest("/cc", url)
    assert made["settings"]["socket_mode_enabled"] is False
    assert made["settings"]["interactivity"]["request_url"] == "https://bot.example/slack/events"
    assert made["features"]["slash_commands"][0]["url"] == "https://bot.example/slack/events"


def test_a_path_prefix_is_kept() -> None:
    """A bot behind a path of a proxy."""
    made = manifest("/cc", "https://x.example/bots/cc")
    assert made["features"]["slash_commands"][0]["url"] == "https://x.example/bots/cc/slack/events"


def test_limits() -> None:
    """Names and texts are within Slack's limits."""
    made = manifest("/alertbot", None)
    assert len(made["display_information"]["name"]) <= 35
    assert len(made["display_information"]["description"]) <= 140
    (command,) = made["features"]["slash_commands"]
    assert len(command["usage_hint"]) <= 1000
    assert made["settings"]["token_rotation_enabled"] is False
