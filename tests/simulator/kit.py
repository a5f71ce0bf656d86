"""What the simulator's tests share: a clock moved by hand, a centre, a client that has a token."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from alertbot.simulator.endpoints import Habits, Reading
from alertbot.simulator.layout import Size
from alertbot.simulator.model import Centre
from alertbot.simulator.server import Simulator
from alertbot.simulator.wire import Query

TEN = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
SMALL = Size(queues=6, groups=3, agents=30)


class HandClock:
    """A clock that only moves when a test moves it."""

    def __init__(self, now: datetime = TEN) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


def centre(seed: int = 1, size: Size = SMALL, **more: Any) -> Centre:
    more.setdefault("warm", timedelta(minutes=50))
    return Centre(size, seed=seed, start=TEN, **more)


def read(of: Centre, path: str, *query: tuple[str, str], habits: Habits | None = None) -> Any:
    """The body of an answer, without HTTP: rows are structs, `values` makes maps of them."""
    return Reading(of, habits or Habits(), Query(query)).answer(path.strip("/").split("/")).body


def values(rows: Any) -> dict[str | None, dict[str, Any]]:
    """Id -> key -> value."""
    return {row.id: {metric.key: metric.value for metric in row.metrics} for row in rows}


class Client:
    """A client of one tenant."""

    def __init__(self, sim: Simulator, tenant: int = 0) -> None:
        self.sim = sim
        self.tenant = sim.tenants[tenant]
        self.token = self.grant().json()["access_token"]

    def grant(self) -> requests.Response:
        return requests.post(
            self.sim.token_url,
            auth=(self.tenant.api_key, self.tenant.api_secret),
            data={"grant_type": "client_credentials"},
            timeout=10,
        )

    def get(self, path: str, *query: tuple[str, Any], **headers: str) -> requests.Response:
        sent = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.get(self.sim.base_url + path, params=list(query), headers=sent, timeout=10)

    def keys(self, path: str, *keys: str) -> dict[str | None, dict[str, Any]]:
        """Id -> key -> value of a list endpoint."""
        answer = self.get(path, *(("metrics", key) for key in keys), ("size", 1000))
        assert answer.status_code == 200, answer.text
        return {row["id"]: {m["key"]: m["value"] for m in row["metrics"]} for row in answer.json()}
