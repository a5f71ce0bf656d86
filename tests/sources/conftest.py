from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from alertbot.sources.eight_by_eight import EightByEight
from tests.sources.standin import StandIn

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
KEY = "sample-key-7f3a"
SECRET = "sample-secret-ü-91c2"


class HandClock:
    """A monotonic clock that moves only when it is advanced, or by a sleep on it."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


@pytest.fixture
def standin() -> Iterator[StandIn]:
    server = StandIn()
    yield server
    server.close()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


Connect = Callable[..., EightByEight]


@pytest.fixture
def connect(standin: StandIn, clock: HandClock) -> Iterator[Connect]:
    """Makes clients of the stand-in, on the hand-moved clock unless a test says otherwise."""
    made: list[EightByEight] = []

    def build(**settings: Any) -> EightByEight:
        values: dict[str, Any] = {"timeout_s": 5.0, "sleep": clock.sleep, "monotonic": clock, **settings}
        client = EightByEight("acme", standin.base_url, standin.token_url, KEY, SECRET, **values)
        made.append(client)
        return client

    yield build
    for client in made:
        client.close()
