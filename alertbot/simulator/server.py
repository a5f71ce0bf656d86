"""The simulated contact centre as a server on loopback, in a thread. The only file here that reads a clock."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import FrameType

import uvicorn

from alertbot.clock import Clock, ScaledClock
from alertbot.errors import UsageError
from alertbot.simulator.api import API, Api, SeenRequest, SimulatedTenant
from alertbot.simulator.endpoints import Habits
from alertbot.simulator.faults import TOKEN_PATH, Faults
from alertbot.simulator.layout import Size
from alertbot.simulator.model import Centre
from alertbot.simulator.scenario import Scenario, load_scenario

_STOP_WITHIN_S = 2.0


@dataclass(frozen=True)
class SimulatorOptions:
    """What is simulated and how it is served.

    `clock` is the time of the model and of all responses; by default it starts at `start` and runs `speed` times as
    fast as real time. Without `start` it begins now, and the working day is shifted so that it is mid-morning in the
    centre; with `start` the rota follows the time of day in `timezone`, unless `busy_now` is set. `scenario` is a file
    or the name of a built-in one. With `port` 0, any free port is used. `token_lifetime_s` is on that clock too.
    `tenants` is the number of customers, each with its own centre, key and secret (see `Simulator.tenants`). With
    `tenant_id` the key is that of a multitenant customer, and `X-Tenant-Info` must match. `warm` is how long each
    centre has been open at the start; by default hours for a small one, 45 minutes for a big one.
    """

    seed: int = 1
    queues: int = 12
    groups: int = 6
    agents: int = 60
    speed: float = 1.0
    scenario: str | None = None
    port: int = 0
    api_key: str = "sim-key"
    api_secret: str = field(default="sim-secret", repr=False)
    start: datetime | None = None
    clock: Clock | None = None
    timezone: str = "UTC"
    busy_now: bool | None = None
    token_lifetime_s: int = 1799
    clock_skew_s: float = 0.0
    date_clock: Clock | None = None  # the time in the `Date` header, if it is not the centre's time
    tenants: int = 1
    tenant_id: str | None = None
    queue_names: Mapping[int, str] = field(default_factory=dict)
    warm: timedelta | None = None
    habits: Habits = field(default_factory=Habits)


class Simulator:
    """A running simulated 8x8, created by `serve`."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.options = options
        self.clock: Clock = options.clock or ScaledClock(options.speed, options.start)
        self.started_at = options.start or self.clock()
        self.scenario: Scenario | None = load_scenario(options.scenario) if options.scenario else None
        self.tenants = [self._tenant(number) for number in range(options.tenants)]
        self.faults = Faults()
        self.api = Api(
            self.tenants,
            self.clock,
            token_lifetime=timedelta(seconds=options.token_lifetime_s),
            clock_skew=timedelta(seconds=options.clock_skew_s),
            date_clock=options.date_clock,
            habits=options.habits,
            faults=self.faults,
        )
        self.port = 0
        if self.scenario is not None:
            for fault in self.scenario.faults(self.started_at):
                self.faults.add(fault)
            # The first centre is created now, so that a scenario that does not fit fails before anything is served.
            self.tenants[0].centre  # noqa: B018

    def _tenant(self, number: int) -> SimulatedTenant:
        options = self.options
        ending = f"-{number}" if number else ""
        tenant_id = f"{options.tenant_id}{ending}" if options.tenant_id is not None else None
        return SimulatedTenant(
            number,
            options.api_key + ending,
            options.api_secret + ending,
            tenant_id,
            lambda: self._centre(number),
        )

    def _centre(self, number: int) -> Centre:
        options = self.options
        warm = options.warm
        if warm is None and options.tenants > 1:
            warm = timedelta(minutes=45)
        centre = Centre(
            Size(options.queues, options.groups, options.agents, options.queue_names),
            seed=options.seed + number,
            start=self.started_at,
            timezone=options.timezone,
            busy_now=options.start is None if options.busy_now is None else options.busy_now,
            warm=warm,
        )
        if self.scenario is not None:
            self.scenario.apply(centre)
        return centre

    @property
    def centre(self) -> Centre:
        """The contact centre of the first tenant."""
        return self.tenants[0].centre

    @property
    def requests(self) -> list[SeenRequest]:
        """The requests answered so far, oldest first (the latest 20,000)."""
        return list(self.api.requests)

    @property
    def counts(self) -> dict[str, int]:
        """How many requests each endpoint answered, its path with `{id}` for ids."""
        return dict(self.api.counts)

    @property
    def root_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """The URL up to `/queues`."""
        return self.root_url + API

    @property
    def token_url(self) -> str:
        return self.root_url + TOKEN_PATH


@contextmanager
def serve(options: SimulatorOptions | None = None) -> Iterator[Simulator]:
    """Serve on 127.0.0.1 until the block ends; requests that are still open are then cut off within two seconds.

    Raises UsageError when the port is taken or the scenario does not fit, ConfigError when the scenario file is wrong.
    """
    sim = Simulator(options or SimulatorOptions())
    listener = _listen(sim.options.port)
    sim.port = listener.getsockname()[1]
    config = uvicorn.Config(
        sim.api.app,
        log_level="critical",
        access_log=False,
        date_header=False,  # it has the simulated time
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
        timeout_keep_alive=60,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="simulator", daemon=True)
    thread.start()
    try:
        yield sim
    finally:
        server.should_exit = True
        thread.join(_STOP_WITHIN_S)
        if thread.is_alive():
            server.force_exit = True
            thread.join(_STOP_WITHIN_S)
        listener.close()


def _listen(port: int) -> socket.socket:
    # Bound here and not by uvicorn: the port is known, and connections queue up, before its thread has started.
    # With an explicit protocol, asyncio turns off Nagle's algorithm; without it, many responses wait 40 ms for an ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise UsageError(f"cannot listen on 127.0.0.1:{port}: {error}") from error
    listener.listen(256)
    return listener


def run_forever(options: SimulatorOptions, announce: Callable[[Simulator], None]) -> None:
    """Serve until SIGINT or SIGTERM; `announce` is called once the server accepts requests. For the main thread."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with serve(options) as sim:
            announce(sim)
            stop.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
