"""`init` and `manifest`: what an administrator runs once."""

from __future__ import annotations

from typing import Annotated

import typer

from alertbot.cli.shell import Config
from alertbot.cli.show import print_json
from alertbot.config.load import config_path, load
from alertbot.errors import UsageError
from alertbot.slack.manifest import manifest


def manifest_(
    url: Annotated[str | None, typer.Option(metavar="URL", help="Public URL, for signed HTTP requests.")] = None,
    config: Config = None,
) -> None:
    """Print the Slack app manifest: for Socket Mode, unless a URL is given."""
    if url is not None and not url.startswith("https://"):
        raise UsageError(f"--url takes the bot's public address, https://…, not {url!r}: Slack calls no other")
    path = config_path(config)
    command = load(path, secrets=False).slack.command if config or path.exists() else "/alertbot"
    print_json(manifest(command, url))
