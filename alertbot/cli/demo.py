"""`demo` and `simulate`: a contact centre that does not exist."""

from __future__ import annotations

import sys
import tempfile
from typing import Annotated

import typer

from alertbot import logs
from alertbot.app import build
from alertbot.cli.service import firing_now
from alertbot.cli.shell import PROBLEM, cli, seconds, signals
from alertbot.cli.show import out
from alertbot.clock import ScaledClock, wall_clock
from alertbot.config import Settings
from alertbot.notify.console import ConsoleNotifier
from alertbot.simulator.scenario import shipped_scenarios
from alertbot.simulator.server import Simulator, SimulatorOptions, run_forever, serve
from alertbot.starter import shipped_rules
from alertbot.store.store import Totals


@cli.command()
def demo(
    for_: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long, on the wall clock.")] = "2m",
    speed: Annotated[float, typer.Option(min=0.1, max=100, help="How fast the simulated day goes by.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Another number is another contact centre.")] = 1,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the simulated 8x8; 0: any free one.")] = 0,
) -> None:
    """The whole bot on an embedded simulated contact centre, cards drawn here. No account, no network."""
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
                "folder": folder,
            }
        )
        out.print(
            f"A simulated contact centre, {speed:g} times as fast as a real day; Ctrl-C ends it.\n"
            f"{centre.scenario.about if centre.scenario else ''}\n"
            f"Rules: {shipped_rules()}\n",
            soft_wrap=True,
            markup=False,
        )
        app = build(settings, notifier=ConsoleNotifier(out), clock=clock, speed=speed)
        with signals(app.ask_to_stop):
            try:
                app.take_lease()
                app.start()
                app.wait(until=lambda waited: waited >= lasts)
                app.rest()
                app.deliver_all(patience=5)
                totals, firing = app.store.totals(), firing_now(app, "demo")
            finally:
                app.stop()
        _show_summary(totals, firing)
        if totals.waiting or totals.given_up:
            raise typer.Exit(PROBLEM)


@cli.command()
def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8808,
    scenario: Annotated[str, typer.Option(metavar="FILE", help=f"A file, or {', '.join(shipped_scenarios())}.")] = "",
    seed: Annotated[int, typer.Option(help="Another number is another contact centre.")] = 1,
    queues: Annotated[int, typer.Option(min=1, max=20_000)] = 12,
    groups: Annotated[int, typer.Option(min=1, max=5_000)] = 4,
    agents: Annotated[int, typer.Option(min=1, max=50_000)] = 60,
    speed: Annotated[float, typer.Option(min=0.1, max=100, help="How fast its clock runs.")] = 1.0,
) -> None:
    """The simulated contact centre alone: 8x8's API over HTTP on 127.0.0.1, token endpoint included."""
    logs.configure()
    options = SimulatorOptions(
        seed=seed,
        queues=queues,
        groups=groups,
        agents=agents,
        speed=speed,
        scenario=scenario or None,
        port=port,
        # However fast the centre's day goes by, 8x8's clock is right, or every bot would be told that it is wrong.
        date_clock=wall_clock,
    )
    run_forever(options, _announce)


def _announce(centre: Simulator) -> None:
    out.print(
        f"Simulated 8x8 Contact Center; Ctrl-C ends it. In alertbot.yaml, in place of `region`:\n"
        f"    base_url: {centre.base_url}\n"
        f"    token_url: {centre.token_url}\n"
        f"    api_key: {centre.options.api_key}\n"
        f"    api_secret: {centre.options.api_secret}",
        soft_wrap=True,
        markup=False,
    )
    sys.stdout.flush()


def _show_summary(totals: Totals, firing: int) -> None:
    lost = "nothing lost"
    if totals.waiting or totals.given_up:
        lost = f"{totals.waiting} still waiting, {totals.given_up} given up"
    out.print(
        f"\n{_counted(totals.polls, 'poll')}; {_counted(totals.fired, 'alert')} fired, {totals.resolved} resolved, "
        f"{firing} still open; {_counted(totals.cards_posted, 'card')} posted, {_counted(totals.edits, 'edit')}, "
        f"{_counted(totals.lines_posted, 'thread line')}; {lost}",
        soft_wrap=True,
        style="bold",
    )


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
