"""A status page over a real database, served on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

from alertbot.alerts.alert import Alert
from alertbot.commands.command import Command
from alertbot.commands.view import Needs, View
from alertbot.config.settings import Settings
from alertbot.evaluation.snapshot import Snapshot
from alertbot.feed.health import Feed
from alertbot.page.updates import Updates
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import RuleSet
from alertbot.service.status_page import StatusPage, status_page_routes
from alertbot.service.views import make_view
from alertbot.store.records import PollRecord
from alertbot.store.sqlite.store import SqliteStore
from alertbot.web.routes import http_app
from alertbot.web.server import serve_http
from tests.commands.kit import AGENTS, GROUPS, NOW, QUEUES, RULES
from tests.store.build import begins

PASSWORD = "correct horse battery"


@dataclass
class Clock:
    """Both clocks of a page, moved by hand."""

    now: datetime = NOW
    monotonic: float = 1000.0

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Site:
    """A running status page, and a browser for it that keeps cookies."""

    port: int
    store: SqliteStore
    clock: Clock
    browser: requests.Session = field(default_factory=requests.Session)
    updates: Updates = field(default_factory=Updates)
    error: Exception | None = None  # raised where a view is read
    export_error: Exception | None = None  # raised where ended alerts are read for the CSV
    wait: Callable[[], object] | None = None  # called before a view is read

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.request("GET", path, headers=headers)

    def request(self, method: str, path: str, **more: Any) -> requests.Response:
        """One request; redirects are not followed."""
        url = f"http://127.0.0.1:{self.port}{path}"
        return self.browser.request(method, url, allow_redirects=False, timeout=10, **more)

    def log_in(self, password: str = PASSWORD, **more: Any) -> requests.Response:
        return self.request("POST", "/login", data={"password": password}, **more)


def settings(password: str = "", host: str = "127.0.0.1", **more: Any) -> Settings:
    return Settings.model_validate(
        {
            "tenants": [{"name": "acme", "region": "us", "api_key": "k", "api_secret": "s"}],
            "slack": {"bot_token": "xoxb-1", "default_channel": "#cc-alerts"},
            "page": {"password": password},
            "http": {"host": host},
            **more,
        }
    )


@contextmanager
def site(
    folder: Path,
    *,
    alerts: Sequence[Alert] = (),
    snapshots: Sequence[Snapshot] = (QUEUES, GROUPS, AGENTS),
    rules: RuleSet = RULES,
    feed: Feed | None = None,
    chosen: Settings | None = None,
    updates: Updates | None = None,
    **more: Any,
) -> Iterator[Site]:
    """The page of one tenant whose last poll saw `snapshots` and began `alerts`."""
    chosen = chosen if chosen is not None else settings()
    folder.mkdir(exist_ok=True)
    store = SqliteStore(folder / "alertbot.db", initials=chosen.privacy.agents == "initials")
    polled: dict[Scope, Snapshot] = {each.scope: each for each in snapshots}
    begun = [begins(replace(each, id=None)) for each in alerts]
    store.record(PollRecord("acme", NOW, feed or Feed("acme", NOW, NOW), begun, snapshots=polled))
    clock = Clock()
    made = Site(0, store, clock, updates=updates if updates is not None else Updates())

    def view(command: Command, needs: Needs | None) -> View:
        if made.wait is not None:
            made.wait()
        if made.error is not None:
            raise made.error
        sets = dict.fromkeys((tenant.name for tenant in chosen.tenants), rules)
        return make_view(command, chosen, store, clock(), rules=lambda: (sets, {}), pasts=lambda _: {}, needs=needs)

    def ended(since: datetime) -> Iterator[Alert]:
        if made.export_error is not None:
            raise made.export_error
        return store.all_ended(since)

    def monotonic() -> float:
        return clock.monotonic

    page = StatusPage(
        view, store.values, clock, made.updates.changed, **{"within": 10.0, "monotonic": monotonic} | more
    )
    routes = status_page_routes(chosen, page, ended, made.updates, clock, monotonic)
    app = http_app(reasons=list, routes=routes)
    server = serve_http(app, "127.0.0.1", 0)
    made.port = server.port
    made.browser.trust_env = False
    try:
        yield made
    finally:
        made.browser.close()
        made.updates.close()
        server.stop()
        page.close()
        store.close()
