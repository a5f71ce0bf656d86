"""`run`: the service."""

from __future__ import annotations

from typing import Annotated

import typer

from alertbot import logs
from alertbot.cli.shell import Config, cli, leave, signals
from alertbot.config.load import config_path, load
from alertbot.service.app import build


@cli.command()
def run(
    config: Config = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log debug messages too.")] = False,
) -> None:
    """Run the service: poll every tenant, post alerts to Slack and answer the slash command, until stopped."""
    settings = load(config_path(config))
    logs.configure(settings.secrets(), verbose=verbose)
    app = build(settings)
    with signals(app.ask_to_stop, app.reload_at_once):
        try:
            app.take_lease()
            app.listen()
            app.start()
            app.wait()
        finally:
            clean = app.stop()
            logs.logger("run").info("stopped")
    leave(clean)
