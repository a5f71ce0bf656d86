"""The Slack app manifest, against Slack's own schema of it.

`tests/data/slack/manifest-schema` is a copy of that schema for version 1 (github.com/slackapi/manifest-schema, MIT).
"""

from __future__ import annotations

import json

import jsonschema
import pytest

from alertbot.slack.manifest import manifest
from tests.golden import DATA

SCHEMA = json.loads((DATA / "slack/manifest-schema/manifest.schema.1.0.0.json").read_text(encoding="utf-8"))


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
    assert made["settings"]["event_subscriptions"] == {"bot_events": ["app_home_opened"]}
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
    """With a URL, commands, buttons and events go to the endpoint below it."""
    made = manifest("/cc", url)
    assert made["settings"]["socket_mode_enabled"] is False
    assert made["settings"]["interactivity"]["request_url"] == "https://bot.example/slack/events"
    assert made["features"]["slash_commands"][0]["url"] == "https://bot.example/slack/events"
    assert made["settings"]["event_subscriptions"] == {
        "request_url": "https://bot.example/slack/events",
        "bot_events": ["app_home_opened"],
    }


@pytest.mark.parametrize("url", [None, "https://bot.example"], ids=["Socket Mode", "HTTP"])
def test_slack_accepts_it(url: str | None) -> None:
    """It conforms to the schema that Slack publishes, with its limits: no key that Slack does not know."""
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft7Validator(SCHEMA)
    made = manifest("/alertbot", url)
    assert [error.message for error in validator.iter_errors(made)] == []
    made["features"]["app_home"]["home_tab"] = True
    assert len(list(validator.iter_errors(made))) == 1  # the schema does refuse what is wrong


def test_the_tabs_of_the_app() -> None:
    """The Home tab, and a tab of messages that is for reading: the bot posts there what concerns one user."""
    assert manifest("/alertbot", None)["features"]["app_home"] == {
        "home_tab_enabled": True,
        "messages_tab_enabled": True,
        "messages_tab_read_only_enabled": True,
    }


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
