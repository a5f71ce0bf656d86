"""`ask`: the slash command in a terminal."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from alertbot import logs
from alertbot.app import change, make_view, open_store, parser, rule_paths
from alertbot.cli.shell import PROBLEM, Config, cli
from alertbot.cli.show import show_reply
from alertbot.clock import wall_clock
from alertbot.commands.answers import answer, settle
from alertbot.commands.command import Asker, parse
from alertbot.config import config_path, load
from alertbot.live_rules import rules_that_run


@cli.command()
def ask(
    text: Annotated[str, typer.Argument(help='What you would write behind the slash command: "status".')] = "help",
    config: Config = None,
) -> None:
    """What the slash command would answer. A change is made in the name of the local user."""
    settings = load(config_path(config), secrets=False)
    logs.configure()
    store = open_store(settings, create=False)
    try:
        asker = Asker(user=getpass.getuser(), local=True)
        now = wall_clock()
        rules, on_disk = rules_that_run(rule_paths(settings), store, parser(settings))
        reply = answer(make_view(settings, store, rules, now, on_disk=on_disk), parse(text), asker, now)
        if reply.wish:
            result, alert = change(store, reply.wish, asker, now)
            reply = settle(reply.wish, result, alert, asker, now=now, timezone=settings.timezone)
    finally:
        store.close()
    show_reply(reply)
    if reply.problem:
        raise typer.Exit(PROBLEM)
