"""The heartbeat, a dead man's switch: an external service is pinged, and raises an alarm when the pings stop.

It is not pinged while no tenant had a good poll for as long as makes a feed stale, or a message has been waiting to be
delivered for as long as makes `/readyz` return 503: a bot that runs but does nothing is as bad as one that is down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

from requests import PreparedRequest
from requests.auth import AuthBase, HTTPBasicAuth

from alertbot.clock import Clock
from alertbot.errors import AlertbotError, SourceError
from alertbot.logs import logger
from alertbot.service.readiness import overdue
from alertbot.service.tenant import LiveTenant
from alertbot.sources.eight_by_eight.deadline import Deadline
from alertbot.sources.eight_by_eight.transport import Transport, host_of, is_loopback
from alertbot.store.roles import Health
from alertbot.web.metrics import Metrics

PING_WITHIN_S: Final = 10.0
"""Seconds that one ping may take in all."""

log = logger("heartbeat")


class Heartbeat:
    """Pings `url`, which may hold a secret and appears nowhere, with GET whenever `beat` is called and all is well."""

    def __init__(
        self,
        url: str,
        store: Health,
        tenants: Sequence[LiveTenant],
        clock: Clock,
        metrics: Metrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url, self._store, self._tenants, self._clock = url, store, tenants, clock
        self._metrics, self._monotonic = metrics, monotonic
        self._withheld = False
        self._transport = Transport(
            connect_timeout_s=PING_WITHIN_S / 2,
            read_timeout_s=PING_WITHIN_S / 2,
            max_bytes=65_536,
            connections=1,
            loopback=is_loopback(url),
        )

    def beat(self) -> None:
        """Ping, unless there is a reason not to. What fails is logged; the next beat is the next attempt."""
        why = self.reason_against()
        if why:
            if not self._withheld:
                log.warning("the heartbeat is withheld", reason=why)
            self._withheld = True
            self._metrics.beat("withheld")
            return
        if self._withheld:
            log.info("the heartbeat is sent again")
        self._withheld = False
        problem = self._ping()
        if problem:
            log.warning("the heartbeat could not be sent", problem=problem)
        self._metrics.beat("failed" if problem else "sent")

    def reason_against(self) -> str:
        """Why no ping may be sent now, in a sentence, or ""."""
        now = self._clock()
        try:
            good = [(tenant, self._store.feed(tenant.name).good_at) for tenant in self._tenants]
            if not any(at is not None and now - at <= tenant.limits.stale_limit for tenant, at in good):
                return "no tenant has had a good poll recently"
            return overdue(self._store, now)
        except AlertbotError as error:
            return str(error)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def _ping(self) -> str:
        """What went wrong, in a sentence without the address, or ""."""
        deadline = Deadline(self._monotonic() + PING_WITHIN_S, self._monotonic)
        try:
            answer = self._transport.send("GET", self._url, _auth_of(self._url), deadline)
        except SourceError as error:
            return str(error)
        return "" if 200 <= answer.status < 300 else f"{host_of(self._url)} answered {answer.status}"


class _NoAuth(AuthBase):
    """With any `auth`, requests does not look for a password in ~/.netrc."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        return request


def _auth_of(url: str) -> AuthBase:
    """The user and password in an address."""
    parts = urlsplit(url)
    if parts.password is None:
        return _NoAuth()
    return HTTPBasicAuth(unquote(parts.username or ""), unquote(parts.password))
