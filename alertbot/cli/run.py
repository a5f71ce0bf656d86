"""`run`: the service."""

from __future__ import annotations

import platform
from typing import Annotated

import typer

from alertbot import __version__, logs
from alertbot.cli.shell import Config, leave, signals
from alertbot.config.load import config_path, load
from alertbot.service import heap
from alertbot.service.app import App, build

log = logs.logger("run")


def run(
    config: Config = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log debug messages too.")] = False,
) -> None:
    """Run the service: poll every tenant, post alerts to Slack and answer the slash command, until stopped."""
    path = config_path(config)
    settings = load(path)
    logs.configure(settings.secrets(), verbose=verbose)
    heap.limit_arenas()
    app = build(settings)
    log.info(
        f"alertbot {__version__} starts",
        configuration=str(path.absolute()),
        database=settings.database(),
        tenants=[tenant.name for tenant in app.tenants],
        rules=sum(len(tenant.rules.rules) for tenant in app.tenants),
        python=platform.python_version(),
        settings=settings.model_dump(mode="json", exclude_defaults=True),  # secrets are asterisks in it
    )
    serve(app)


def serve(app: App) -> None:
    """Run until stopped; then end the process."""
    with signals(app.ask_to_stop, app.reload_at_once):
        try:
            app.take_lease()
            app.listen()
            app.start()
            heap.settle()
            app.wait()
        finally:
            clean = app.stop()
            log.info("alertbot has stopped")
    leave(clean)
