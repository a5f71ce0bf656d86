"""`simulate`: the simulated contact centre alone."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from alertbot import logs
from alertbot.cli.show import out
from alertbot.clock import wall_clock
from alertbot.simulator.scenario import shipped_scenarios
from alertbot.simulator.server import Simulator, SimulatorOptions, run_forever


def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free port.")] = 8808,
    scenario: Annotated[
        str, typer.Option(metavar="FILE", help=f"A scenario file, or one of {', '.join(shipped_scenarios())}.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Seed of the simulation; another seed gives another contact centre.")] = 1,
    queues: Annotated[int, typer.Option(min=1, max=20_000, help="Number of queues.")] = 12,
    groups: Annotated[int, typer.Option(min=1, max=5_000, help="Number of groups.")] = 4,
    agents: Annotated[int, typer.Option(min=1, max=50_000, help="Number of agents.")] = 60,
    speed: Annotated[
        float, typer.Option(min=0.1, max=100, help="How many times faster than real time its clock runs.")
    ] = 1.0,
) -> None:
    """Serve 8x8's API from a simulated contact centre, over HTTP on 127.0.0.1, including the token endpoint."""
    logs.configure()
    options = SimulatorOptions(
        seed=seed,
        queues=queues,
        groups=groups,
        agents=agents,
        speed=speed,
        scenario=scenario or None,
        port=port,
        # The Date header shows real time at any speed; otherwise every bot would report a clock difference.
        date_clock=wall_clock,
    )
    run_forever(options, _announce)


def _announce(centre: Simulator) -> None:
    out.print(
        f"Simulated 8x8 Contact Center. Press Ctrl-C to stop. In alertbot.yaml, instead of `region`, use:\n"
        f"    base_url: {centre.base_url}\n"
        f"    token_url: {centre.token_url}\n"
        f"    api_key: {centre.options.api_key}\n"
        f"    api_secret: {centre.options.api_secret}",
        soft_wrap=True,
        markup=False,
    )
    sys.stdout.flush()
