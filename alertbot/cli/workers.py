"""`workers`: the live workers of a PostgreSQL database, how many tenants each polls, and how late it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import typer

from alertbot import logs
from alertbot.cli.shell import PROBLEM, AsJson, Config
from alertbot.cli.show import say
from alertbot.config.load import config_path, load
from alertbot.errors import UsageError
from alertbot.rules.units import format_duration
from alertbot.rules.words import count
from alertbot.service.databases import open_to_read, postgres_store
from alertbot.store.records import shown_owner

if TYPE_CHECKING:  # the extra `postgres` may not be installed
    from alertbot.store.postgres.living import WorkerRow


def workers(config: Config = None, as_json: AsJson = False) -> None:
    """List the live workers: how many tenants each polls, and whether its polls start on time."""
    path = config_path(config)
    settings = load(path, secrets=False)
    logs.configure()
    if not settings.server:
        raise UsageError(f"{path}: `storage` is a SQLite file, and workers need `storage: postgresql://…`")
    with closing(open_to_read(settings)) as store:
        assert isinstance(store, postgres_store())
        living = store.tenants_of_workers()
    unowned = max(0, len(settings.tenants) - sum(living.values()))
    if as_json:
        typer.echo(json.dumps(_json(living, unowned), indent=2))
    else:
        for line in _lines(living, unowned):
            say(line)
    if unowned:
        raise typer.Exit(PROBLEM)


def _json(living: Mapping[WorkerRow, int], unowned: int) -> dict[str, object]:
    rows = [
        {
            "name": each.name,
            "since": each.since.isoformat(),
            "seen_seconds_ago": round(each.seen_ago, 1),
            "tenants": tenants,
            "max_tenants": each.max_tenants,
            "lag_seconds": round(each.lag_seconds, 3),
            "version": each.version,
        }
        for each, tenants in living.items()
    ]
    return {"workers": rows, "tenants_without_a_worker": unowned}


def _lines(living: Mapping[WorkerRow, int], unowned: int) -> list[str]:
    late = {
        each.name: format_duration(timedelta(seconds=round(each.lag_seconds)))
        for each in living
        if each.lag_seconds >= 1
    }
    shown = [
        (
            shown_owner(each.name),
            f"{count(tenants, 'tenant')}, at most {each.max_tenants}",
            f"{late[each.name]} late" if each.name in late else "on time",
            f"since {each.since:%Y-%m-%d %H:%M} UTC",
            each.version,
        )
        for each, tenants in living.items()
    ]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)] if shown else []
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]
    if not living:
        lines.append("no workers are running on this database; start one with `alertbot worker`")
    if unowned:
        lines.append(f"{unowned} of {count(sum(living.values()) + unowned, 'tenant')} not polled by any worker")
    return lines
