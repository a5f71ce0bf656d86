"""The contact centre that `whole_poll` polls: agents with seeded values, as HTTP pages that are made in advance.

Each metric key is over the limits of its rules for 1 % of the agents. Those values stay over the limits, so the alerts
keep firing. In each poll 5 % of the values change (all in the variant `every`), and 1 % of the values over their limits
return to normal while others take their place, so a few alerts begin and end. In the variant `all` every value of every
agent is over its limits.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
import numpy.typing as npt

from benchmarks.poll_cycle import NUMBERS, STATUSES, agent_id, pages_of

FIRING = 0.01  # the share of agents that are over the limits of a metric key
MOVING = 0.05  # the share of values that change in a poll
SWAPPED = 0.01  # the share of values over their limits that return to normal in a poll
NULL = 0.05  # the share of agents without averages and percentages
NORMAL = (0.1, 0.45)  # times the limit; rules clear under half of it
OVER = (1.3, 1.9)
_LIMITS = tuple(limit for limit, *_ in NUMBERS.values())
_ON_BREAK = STATUSES.index("OnBreak")  # with this status, and only with it, every rule fires that is over its limit

_Flags = npt.NDArray[np.bool_]
_Numbers = npt.NDArray[np.float64]


class Centre:
    """The values of all agents, one row a metric key of NUMBERS. `move` makes those of the next poll."""

    def __init__(self, agents: int, variant: str = "moving", seed: int = 8) -> None:
        self._random = np.random.default_rng(seed)
        everything = variant == "all"
        self._moving = 1.0 if variant == "every" else MOVING
        kinds = ("EU", "US") if everything else ("EU", "US", "test")
        self.ids = [agent_id(row) for row in range(agents)]
        self.names = [f"Agent {row} {kinds[row % len(kinds)]}" for row in range(agents)]
        shape = (len(_LIMITS), agents)
        self._null: _Flags = self._random.random(shape) < (0 if everything else NULL)
        self._null[:6] = False  # only averages and percentages are null
        # Some rules exclude the test agents, and no rule fires on null.
        self._may_fire: _Flags = ~self._null & (np.arange(agents) % 3 != 2)
        self._over: _Flags = np.full(shape, everything)
        firing = 0 if everything else max(1, round(FIRING * agents))
        for key in range(len(_LIMITS)):
            candidates = np.flatnonzero(self._may_fire[key])
            self._over[key, self._random.choice(candidates, firing, replace=False)] = True
        self._status = self._random.integers(0, len(STATUSES), agents)
        self._values = self._draw(np.zeros(shape))

    def _draw(self, present: _Numbers) -> _Numbers:
        """A new value for every agent and key, always another one than the present value."""
        self._status[self._over.any(axis=0)] = _ON_BREAK
        low, high = (np.where(self._over, over, normal) for over, normal in zip(OVER, NORMAL, strict=True))
        limits = np.array(_LIMITS)[:, None]
        values = limits * self._random.uniform(low, high)
        values = np.where(limits < 1, np.round(values, 4), np.floor(values))
        step = np.where(limits < 1, 0.0001, 1)
        other = np.where(~self._over & (values > 0), values - step, values + step)
        return np.where(values == present, other, values)

    def move(self) -> None:
        """Change 5 % of the values, or all, and swap a few of those that are over their limits."""
        moved = self._random.random(self._values.shape) < self._moving
        cells = np.argwhere(self._over)
        for key, agent in self._random.choice(cells, max(1, round(SWAPPED * len(cells))), replace=False):
            candidates = np.flatnonzero(self._may_fire[key] & ~self._over[key])
            other = self._random.choice(candidates)
            self._over[key, [agent, other]] = False, True
            moved[key, [agent, other]] = True
        changing = self._random.random(len(self._status)) < self._moving
        others = (self._status + self._random.integers(1, len(STATUSES), len(self._status))) % len(STATUSES)
        self._status = np.where(changing, others, self._status)
        self._values = np.where(moved, self._draw(self._values), self._values)

    def columns(self) -> list[list[object]]:
        """The values of all agents, one list a key in the order of KEYS; None is null."""
        columns: list[list[object]] = []
        for key, limit in enumerate(_LIMITS):
            numbers = self._values[key].tolist()
            null = (self._null[key] & ~self._over[key]).tolist()
            columns.append(
                [
                    None if no else round(value, 4) if limit < 1 else int(value)
                    for value, no in zip(numbers, null, strict=True)
                ]
            )
        columns.append([STATUSES[code] for code in self._status.tolist()])
        return columns

    def pages(self) -> list[bytes]:
        """All agents as 8x8 sends them."""
        return pages_of(self.names, self.columns())


def polls(agents: int, count: int, variant: str = "moving") -> Iterator[list[bytes]]:
    """The pages of `count` polls, one after the other."""
    centre = Centre(agents, variant)
    for number in range(count):
        if number:
            centre.move()
        yield centre.pages()


class PageServer(ThreadingHTTPServer):
    """Serves the token and the pages of one poll at a time; `current` is the number of that poll."""

    daemon_threads = True

    def __init__(self, polls: Sequence[list[bytes]], agents: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.polls = polls
        self.agents = agents
        self.current = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: PageServer

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(b'{"access_token": "benchmark", "token_type": "bearer", "expires_in": "86400"}', "")

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        pages = self.server.polls[self.server.current]
        page = int(parse_qs(address.query)["page"][0])
        if not address.path.endswith("/agents") or page >= len(pages):
            self.send_error(404)
            return
        self._answer(pages[page], f"X-Total-Pages: {len(pages)}\r\nX-Total-Elements: {self.server.agents}\r\n")

    def _answer(self, body: bytes, headers: str) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: stdout belongs to the protocol with the parent process."""


def serve(agents: int, count: int, variant: str) -> None:
    """Serve `count` polls until stdin ends. Prints the address as JSON; `{"poll": N}` on stdin selects the poll."""
    with PageServer(list(polls(agents, count, variant)), agents) as server:
        threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
        print(json.dumps({"url": server.url}), flush=True)
        for line in sys.stdin:
            server.current = json.loads(line)["poll"]
            print(json.dumps({"poll": server.current}), flush=True)
        server.shutdown()


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
