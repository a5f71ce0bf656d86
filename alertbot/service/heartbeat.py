"""The heartbeat, a dead man's switch: an external service is pinged, and raises an alarm when the pings stop.

It is not pinged while no tenant had a good poll for as long as makes a feed stale, or a message has been waiting to be
delivered for as long as makes `/readyz` return 503: a bot that runs but does nothing is as bad as one that is down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from alertbot.clock import Clock
from alertbot.errors import AlertbotError, SourceError
from alertbot.logs import logger
from alertbot.service.readiness import overdue
from alertbot.service.secret_address import SecretAddress
from alertbot.service.tenant import LiveTenant
from alertbot.store.roles import Health
from alertbot.web.metrics import Metrics

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
        self._store, self._tenants, self._clock = store, tenants, clock
        self._metrics = metrics
        self._withheld = False
        self._address = SecretAddress(url, monotonic)

    def beat(self) -> None:
        """Ping, unless there is a reason not to. What fails is logged; the next beat is the next attempt."""
        why = self.reason_against()
        if why:
            if not self._withheld:
                log.warning("the heartbeat is withheld", reason=why, begins=True)
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
        self._address.close()

    def _ping(self) -> str:
        """What went wrong, in a sentence without the address, or ""."""
        try:
            answer = self._address.send("GET")
        except SourceError as error:
            return str(error)
        return "" if 200 <= answer.status < 300 else f"{self._address.host} answered {answer.status}"
