"""`demo`: the whole bot on a simulated contact centre."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from typing import Annotated

import typer

from alertbot import logs
from alertbot.cli.init import shipped_rules
from alertbot.cli.poll import firing_now
from alertbot.cli.shell import PROBLEM, seconds, signals
from alertbot.cli.show import out
from alertbot.clock import ScaledClock
from alertbot.config.settings import Settings
from alertbot.notify.console import ConsoleNotifier
from alertbot.rules.units import format_duration
from alertbot.service.app import build
from alertbot.simulator.server import SimulatorOptions, serve
from alertbot.store.records import Totals

FIRST_CARD_AFTER_S = 120
"""Of the demo's scenario, in simulated seconds."""


def demo(
    for_: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long to run, in real time.")] = "2m",
    speed: Annotated[
        float, typer.Option(min=0.1, max=100, help="How many times faster than real time the simulation runs.")
    ] = 10.0,
    seed: Annotated[int, typer.Option(help="Seed of the simulation; another seed gives another contact centre.")] = 1,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the simulated 8x8 API; 0: any free port.")] = 0,
    page_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the status page; 0: any free port.")] = 0,
) -> None:
    """Run the whole bot on a built-in simulated contact centre and draw its cards here. No account, no network."""
    lasts = seconds(for_, "--for")
    logs.configure(quiet=True)
    clock = ScaledClock(speed)
    options = SimulatorOptions(seed=seed, clock=clock, scenario="demo", port=port)
    with tempfile.TemporaryDirectory(prefix="alertbot-demo-") as folder, serve(options) as centre:
        settings = Settings.model_validate(
            {
                "tenants": [
                    {
                        "name": "demo",
                        "base_url": centre.base_url,
                        "token_url": centre.token_url,
                        "api_key": options.api_key,
                        "api_secret": options.api_secret,
                    }
                ],
                "slack": {"default_channel": "#cc-alerts"},
                "rules": str(shipped_rules()),
                "http": {"port": page_port},
                "folder": folder,
            }
        )
        out.print(
            f"A simulated contact centre at {speed:g} times real time. The first card comes after about "
            f"{FIRST_CARD_AFTER_S / speed:.0f} s; the demo ends after {format_duration(timedelta(seconds=lasts))}, or "
            "with Ctrl-C.\n"
            "Ids have gaps: an alert whose condition did not hold for long enough has one too, and is not reported.\n"
            f"{centre.scenario.about if centre.scenario else ''}\n"
            f"Rules: {shipped_rules()}\n",
            soft_wrap=True,
            markup=False,
        )
        app = build(settings, notifier=ConsoleNotifier(out.console), clock=clock, speed=speed)
        with signals(app.ask_to_stop):
            try:
                app.take_lease()
                app.listen()
                assert app.listener is not None
                out.print(f"Status page: {app.listener.page_address}\n", soft_wrap=True, markup=False)
                app.start()
                app.wait(until=lambda waited: waited >= lasts)
                app.rest()
                app.courier.deliver_all(max_wait=5)
                totals, firing = app.store.totals(), firing_now(app, "demo")
            finally:
                app.stop()
        _show_summary(totals, firing)
        if totals.waiting or totals.given_up:
            raise typer.Exit(PROBLEM)


def _show_summary(totals: Totals, firing: int) -> None:
    undelivered = "nothing lost"
    if totals.waiting or totals.given_up:
        undelivered = f"{totals.waiting} still waiting, {totals.given_up} given up"
    out.print(
        f"\n{_counted(totals.polls, 'poll')}; {_counted(totals.fired, 'alert')} fired, {totals.resolved} resolved, "
        f"{firing} still open; {_counted(totals.cards_posted, 'card')} posted, {_counted(totals.edits, 'edit')}, "
        f"{_counted(totals.lines_posted, 'thread line')}; {undelivered}",
        soft_wrap=True,
        style="bold",
    )


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
