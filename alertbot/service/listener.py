"""What the bot listens on: HTTP, and what is sent from Slack, by Socket Mode or as signed HTTP requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute

from alertbot.alerts.alert import Alert, Outcome
from alertbot.alerts.silence import Silence
from alertbot.clock import Clock
from alertbot.commands.command import Asker, Command, Wish
from alertbot.commands.view import Needs, View
from alertbot.config.settings import Settings
from alertbot.logs import logger
from alertbot.page.updates import Updates
from alertbot.service.closers import Closers, at_once
from alertbot.service.recorded import ReadValues
from alertbot.service.signal import Signal
from alertbot.service.status_page import StatusPage, status_page_routes
from alertbot.web.metrics import Metrics
from alertbot.web.routes import http_app
from alertbot.web.server import HttpServer, serve_http

if TYPE_CHECKING:
    from alertbot.slack.socket_mode import SocketMode

STOP_WITHIN = 1.0
"""Seconds in which HTTP and Socket Mode have to stop; what is still being answered then is dropped."""

log = logger("listener")


class Listener:
    """HTTP and Slack's requests. Raises ConfigError if the address cannot be listened on."""

    def __init__(
        self,
        settings: Settings,
        *,
        view: Callable[[Command, Needs | None], View],
        values: ReadValues,
        change: Callable[[Wish, Asker, datetime], tuple[Outcome, Alert | Silence | None]],
        redraw: Callable[[Command], None],
        ended: Callable[[datetime], Iterator[Alert]],
        unready: Callable[[], list[str]],
        metrics: Metrics,
        updates: Updates,
        wake: Signal,
        clock: Clock,
        closers: Closers,
        called: Callable[[str, str], None],
        people: Callable[[], Mapping[str, str]],
    ) -> None:
        slack = settings.slack
        routes: list[BaseRoute] = []
        secret = slack.signing_secret.get_secret_value()
        app_token = slack.app_token.get_secret_value()
        self._socket_mode: SocketMode | None = None
        if app_token or secret:
            # Not at the top: a bot that only notifies needs no slack_bolt, which is 120 modules.
            from alertbot.slack.client import Contact, SlackClient
            from alertbot.slack.desk import SlackApp
            from alertbot.slack.permissions import MayChange
            from alertbot.slack.signed import slack_route
            from alertbot.slack.socket_mode import SocketMode

            client = SlackClient(
                slack.bot_token.get_secret_value(),
                base_url=slack.api_url,
                timeout=10,
                contact=Contact(observe=metrics.called_slack),
            )
            desk = SlackApp(
                client=client,
                command=slack.command,
                view=lambda command: view(command, None),
                change=change,
                redraw=redraw,
                wake=wake.set,
                clock=clock,
                may_change=MayChange(
                    frozenset(slack.may_change.users),
                    frozenset(slack.may_change.usergroups),
                    frozenset(slack.may_change.channels),
                ),
                called=called,
            )
            closers.push("slack", desk.close)
            if app_token:
                self._socket_mode = socket_mode = SocketMode(desk.bolt, app_token, client)
                closers.push("socket mode", at_once(partial(socket_mode.stop, STOP_WITHIN)))
                socket_mode.start()
            else:
                routes = [slack_route(desk.dispatch, secret)]
        else:
            log.warning(
                "the slash command and the buttons are off: set slack.app_token (Socket Mode) or slack.signing_secret "
                "(HTTP)"
            )
        page = StatusPage(view, values, clock, updates.changed, people=people)
        closers.push("status page", at_once(page.close))
        paged = status_page_routes(settings, page, ended, updates, clock)
        self._host = settings.http.host
        self._http: HttpServer = serve_http(
            http_app(reasons=unready, metrics=metrics, routes=[*routes, *paged]),
            settings.http.host,
            settings.http.port,
        )
        closers.push("http", at_once(partial(self._http.stop, STOP_WITHIN)))
        closers.push("page updates", at_once(updates.close))  # before the server, which waits for open streams
        log.info("listening for HTTP requests", host=settings.http.host, port=self._http.port)
        if paged:
            log.info("the status page is served", address=self.page_address)
        else:
            log.info("the status page is off: http.host is not loopback, and page.password is not set")

    @property
    def port(self) -> int:
        """The port of HTTP, which is a free one if the setting is 0."""
        return self._http.port

    @property
    def page_address(self) -> str:
        """The address of the status page for a browser on this machine."""
        host = self._host
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(host, host)  # noqa: S104  # only read
        return f"http://{f'[{shown}]' if ':' in shown and not shown.startswith('[') else shown}:{self.port}/"

    @property
    def problem(self) -> str:
        """Why Slack cannot reach the bot by Socket Mode; "" if it can, or another way is used."""
        return self._socket_mode.problem if self._socket_mode else ""
