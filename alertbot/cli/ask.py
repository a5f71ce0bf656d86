"""`ask`: the slash command in a terminal."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Annotated

import typer

from alertbot import logs
from alertbot.cli.shell import PROBLEM, Config
from alertbot.cli.show_reply import show_reply
from alertbot.clock import wall_clock
from alertbot.commands.answers import answer, changed
from alertbot.commands.command import Asker
from alertbot.commands.parse import parse
from alertbot.config.load import config_path, load
from alertbot.config.settings import Settings, TenantSettings
from alertbot.evaluation.past import Past
from alertbot.evaluation.usual import Usual
from alertbot.rules.rule import RuleSet
from alertbot.service.databases import open_to_read
from alertbot.service.views import change, make_view
from alertbot.store.roles import Store


def ask(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help='What you would type after the slash command, such as "status".'),
    ] = None,
    config: Config = None,
) -> None:
    """Print what the slash command would answer. Changes are made in the name of the local user."""
    settings = load(config_path(config), secrets=False)
    logs.configure()
    store = open_to_read(settings)
    try:
        asker = Asker(user=getpass.getuser(), local=True)
        now = wall_clock()
        command = parse(" ".join(words or ["help"]))
        view = make_view(
            command,
            settings,
            store,
            now,
            rules=lambda: rules_that_run(settings, store),
            pasts=lambda rules: pasts_of(settings, store, rules, now),
        )
        reply = answer(view, command, asker, now)
        if reply.wish:
            result, subject = change(store, reply.wish, asker, now)
            reply = changed(reply.wish, result, subject, asker, now, settings.timezone, view.names)
    finally:
        store.close()
    show_reply(reply)
    if reply.problem:
        raise typer.Exit(PROBLEM)


def rules_that_run(settings: Settings, store: Store) -> tuple[Mapping[str, RuleSet], Mapping[str, str]]:
    """By tenant, the rules that run, and how the files on disk differ from them. Raises StoreError, FaultsFound."""
    # Not at the top: most questions need no rules, and to parse them takes lark.
    from alertbot.service import running_rules
    from alertbot.service.of_settings import parser, rule_paths

    return running_rules.rules_that_run(rule_paths(settings), store, parser(settings))


def pasts_of(settings: Settings, store: Store, rules: RuleSet, now: datetime) -> dict[str, Past | None]:
    """What the windows of these rules read, as it was recorded, by tenant. Raises StoreError."""
    heads = store.heads()
    return {
        tenant.name: _past_of(settings, store, tenant, rules, max(last, default=now))
        for tenant in settings.tenants
        for last in ([head.at for head in heads.get(tenant.name, {}).values()],)
    }


def _past_of(settings: Settings, store: Store, tenant: TenantSettings, rules: RuleSet, at: datetime) -> Past | None:
    """The past up to a poll, with what is usual at its time."""
    from alertbot.service.tenant import empty_past, looks_back, recall  # not at the top: few questions need a past

    keep = settings.record.usual
    if not looks_back(rules, keep):
        return None
    past = recall(store, tenant.name, empty_past(rules, tenant.poll_every, settings.zone_of(tenant), keep), at)
    usual = past.usual.at(at, partial(store.means, tenant.name)) if isinstance(past.usual, Usual) else past.usual
    return replace(past, usual=usual)
