"""`worker`: the service as one of several workers on a PostgreSQL database."""

from __future__ import annotations

import platform
from typing import Annotated

import typer

from alertbot import __version__, logs
from alertbot.cli.run import serve
from alertbot.cli.shell import Config
from alertbot.config.load import config_path, load
from alertbot.errors import UsageError
from alertbot.fleet.share import MAX_TENANTS
from alertbot.service import heap
from alertbot.service.app import build

log = logs.logger("worker")


def worker(
    config: Config = None,
    tenants: Annotated[
        int,
        typer.Option("--tenants", min=1, metavar="MAX", help="The maximum number of tenants that this worker polls."),
    ] = MAX_TENANTS,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log debug messages too.")] = False,
) -> None:
    """Run the service as one of several workers, which share the tenants of a PostgreSQL database."""
    path = config_path(config)
    settings = load(path)
    logs.configure(settings.secrets(), verbose=verbose)
    if not settings.server:
        raise UsageError(
            f"{path}: `storage` is a SQLite file, which only one process may write: use `alertbot run`, or copy "
            "it to PostgreSQL with `alertbot migrate-storage` and set `storage: postgresql://…`"
        )
    heap.limit_arenas()
    app = build(settings, max_tenants=tenants)
    log.info(
        f"alertbot {__version__} starts as a worker",
        configuration=str(path.absolute()),
        database=settings.database(),
        tenants=len(app.tenants),
        max_tenants=tenants,
        rules=sum(len(tenant.rules.rules) for tenant in app.tenants),
        python=platform.python_version(),
    )
    serve(app)
