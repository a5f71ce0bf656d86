"""`simulate`: the simulated contact centre alone."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from alertbot import logs
from alertbot.cli.shell import cli
from alertbot.cli.show import out
from alertbot.clock import wall_clock
from alertbot.simulator.scenario import shipped_scenarios
from alertbot.simulator.server import Simulator, SimulatorOptions, run_forever


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
