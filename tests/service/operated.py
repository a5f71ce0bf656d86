"""The whole bot in this process, between a simulated 8x8 and a small Slack, with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from alertbot.config.settings import Settings
from alertbot.poll import Turn
from alertbot.service.app import App, build
from alertbot.simulator.server import Simulator, SimulatorOptions, serve
from tests.simulator.kit import HandClock
from tests.slack.slack_server import TOKEN, SlackServer, slack_server

KEY, SECRET = "key-of-8x8-0123456789", "secret-of-8x8-0123456789"
RULES = """\
rules:
  - id: anything-entered
    scope: queue
    match: {name: ["*"]}
    guard: entered.today >= 0
    critical: {when: entered.today >= 0}
  - id: agents-there
    scope: agent
    shadow: true
    when: status.rt != "NoSuchStatus"
"""


@dataclass
class Operated:
    """A bot whose turns and deliveries the test makes one by one."""

    app: App
    centre: Simulator
    slack: SlackServer
    clock: HandClock
    folder: Path

    def poll(self, seconds: float = 15) -> Turn | None:
        self.clock.forward(seconds=seconds)
        return self.app.poller.tick(self.app.tenants[0])

    def deliver(self, times: int = 4) -> None:
        """Deliver what is due, and so often what is due a second later: a channel takes one message a second."""
        for _ in range(times):
            self.app.courier.deliver_due()
            self.clock.forward(seconds=1.1)

    def restart(self) -> None:
        """The same bot again, after `app.stop()`, on the database that is there now."""
        self.app = build(self.app.settings, clock=self.clock)
        self.app.take_lease()
        self.app.listen()

    def get(self, path: str, **headers: str) -> requests.Response:
        assert self.app.listener is not None
        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"http://127.0.0.1:{self.app.listener.port}{path}", headers=headers, timeout=10)


@contextmanager
def operated(folder: Path, *, rules: str = RULES, queues: int = 2, agents: int = 3, **more: Any) -> Iterator[Operated]:
    """The bot, listening; `more` are settings."""
    (folder / "rules").mkdir(exist_ok=True)
    (folder / "rules" / "all.yaml").write_text(rules, encoding="utf-8")
    clock = HandClock(datetime.now(UTC))
    options = SimulatorOptions(
        queues=queues,
        groups=1,
        agents=agents,
        clock=clock,
        warm=timedelta(minutes=5),
        api_key=KEY,
        api_secret=SECRET,
    )
    with serve(options) as centre, slack_server() as slack:
        settings = Settings.model_validate(
            {
                "tenants": [
                    {
                        "name": "acme",
                        "base_url": centre.base_url,
                        "token_url": centre.token_url,
                        "api_key": KEY,
                        "api_secret": SECRET,
                        "max_requests_per_minute": 6000,
                    }
                ],
                "http": {"port": 0},
                "folder": folder,
                **more,
                "slack": {
                    "default_channel": "#cc-alerts",
                    "bot_token": TOKEN,
                    "api_url": slack.api_url,
                    **more.get("slack", {}),
                },
            }
        )
        bot = Operated(build(settings, clock=clock), centre, slack, clock, folder)
        try:
            bot.app.take_lease()
            bot.app.listen()
            yield bot
        finally:
            bot.app.stop()
