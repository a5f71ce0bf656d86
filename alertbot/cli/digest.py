"""`digest`: alert quality over a window, in the terminal, as JSON, or sent to a channel."""

from __future__ import annotations

import secrets
import time
from datetime import datetime
from typing import Annotated

import typer

from alertbot import logs
from alertbot.alerts.cards import Posted
from alertbot.cli.ask import pasts_of, rules_that_run
from alertbot.cli.shell import PROBLEM, AsJson, Config, seconds
from alertbot.cli.show import out, print_json, say
from alertbot.clock import wall_clock
from alertbot.commands.command import Command
from alertbot.commands.digest import LONGEST, MAX_ITEMS, Digest, digest_of, json_of, lines_of, messages
from alertbot.config.load import config_path, load
from alertbot.config.settings import Settings
from alertbot.errors import DeliveryFailure, NotifyError, UsageError
from alertbot.notify.notifier import Notifier
from alertbot.rules.slack_ids import is_channel
from alertbot.rules.units import write_duration
from alertbot.service.databases import open_to_read
from alertbot.service.digest import as_text
from alertbot.service.views import make_view

MAX_WAIT_S = 60.0
"""The maximum number of seconds that `--send` waits when Slack asks for a pause (Retry-After)."""


def digest(
    since: Annotated[str, typer.Option(metavar="DURATION", help="How far back: alerts that fired since then.")] = "7d",
    send: Annotated[
        str | None,
        typer.Option(metavar="CHANNEL", help="Also post it to Slack: one message, with the rest in its thread."),
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Report on alert quality: what fired most, was never acknowledged or flapped, and what to do about it."""
    back = seconds(since, "--since")
    if not 0 < back <= LONGEST.total_seconds():
        raise UsageError(f"--since takes a duration of {write_duration(LONGEST)} at most, not {since!r}")
    if send is not None and not is_channel(send):
        raise UsageError(f'--send takes a channel such as "#cc-alerts", or its id, not {send!r}')
    settings = load(config_path(config), secrets=send is not None)
    logs.configure()
    now = wall_clock()
    made = _made(settings, back, now)
    if as_json:
        print_json(json_of(made))
    else:
        for line in lines_of(made, MAX_ITEMS):
            say(line.text, style="bold" if line.strong else "")
    if send is not None:
        _send(made, send, settings)
        if not as_json:
            out.print(f"sent to {send}", markup=False)
    if made.empty:
        raise typer.Exit(PROBLEM)


def _made(settings: Settings, back: float, now: datetime) -> Digest:
    store = open_to_read(settings)
    try:
        view = make_view(
            Command("digest", (f"{max(round(back), 1)}s",)),
            settings,
            store,
            now,
            rules=lambda: rules_that_run(settings, store),
            pasts=lambda rules: pasts_of(settings, store, rules, now),
        )
    finally:
        store.close()
    return digest_of(view, now)


def _send(made: Digest, channel: str, settings: Settings) -> None:
    """Post it immediately, whether or not the service runs. Raises NotifyError when Slack refuses it."""
    from alertbot.service.factories import make_notifier  # its libraries are large, and only this needs them

    notifier = make_notifier(settings)
    sent, thread = secrets.token_hex(8), None
    for place, lines in enumerate(messages(made)):
        posted = _post(notifier, as_text(lines), channel, f"digest-{sent}-{place}", thread)
        thread = thread or posted


def _post(notifier: Notifier, text: str, channel: str, notice: str, thread: Posted | None) -> Posted:
    try:
        return notifier.post_text(text, channel=channel, notice_id=notice, thread=thread)
    except NotifyError as error:
        if error.failure is not DeliveryFailure.WAIT:
            raise
        time.sleep(min(error.retry_after or 1.0, MAX_WAIT_S))
    return notifier.post_text(text, channel=channel, notice_id=notice, thread=thread)
