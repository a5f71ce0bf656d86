"""The leases of a process: each tenant and delivery have one owner at a time, and a dead owner is replaced."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import timedelta

from alertbot.clock import Clock
from alertbot.errors import AlertbotError, LeaseHeld, NewerDatabase
from alertbot.logs import logger
from alertbot.service.process import is_gone, name_of_poller
from alertbot.store.roles import Leases

DURATION = timedelta(seconds=30)
"""How long a poller that died blocks others, if it cannot be seen that it died."""

RENEW_EVERY = DURATION / 3
MIN_TO_RELEASE = 0.5
"""Seconds in which the leases are released even when stopping has already taken as long as it may."""

log = logger("lease")


class Lease:
    """This process's leases: of the tenants that it polls, and of delivery. It holds all of them or none.

    `on_loss` is called when another poller holds one of them, or when a newer version has upgraded the database; `lost`
    then says so.
    """

    def __init__(
        self,
        store: Leases,
        tenants: Iterable[str],
        clock: Clock,
        on_loss: Callable[[], None],
        *,
        speed: float = 1.0,
    ) -> None:
        self._store, self._clock, self._on_loss, self._speed = store, clock, on_loss, speed
        self._names = [*(f"tenant:{tenant}" for tenant in tenants), "delivery"]
        self.owner = name_of_poller()
        self.lost: LeaseHeld | NewerDatabase | None = None

    def take(self) -> None:
        """Become the poller of these tenants. Raises LeaseHeld while another one lives, StoreError.

        The leases of a poller that is gone need not expire first.
        """
        while True:
            try:
                self._store.take_leases(self._names, self.owner, self._clock(), DURATION)
            except LeaseHeld as held:
                if not is_gone(held.owner):
                    raise
                self._store.release_leases(held.owner)
            else:
                return

    def renew(self) -> None:
        """Hold them for another DURATION. If another poller has taken one, or the tables are newer, this must stop."""
        try:
            self._store.take_leases(self._names, self.owner, self._clock(), DURATION * self._speed)
        except (LeaseHeld, NewerDatabase) as error:
            self.lost = error
            self._on_loss()
        except AlertbotError as error:
            log.error("lease not renewed", error=str(error))

    def release(self, within: float) -> bool:
        """Give them back. False if the database was locked for `within` seconds.

        Then they are taken over all the same when the next poller sees that this process has ended.
        """
        thread = threading.Thread(target=self._release, name="release", daemon=True)
        thread.start()
        thread.join(within)
        if thread.is_alive():
            log.warning("lease not released: the database is locked")
        return not thread.is_alive()

    def _release(self) -> None:
        try:
            self._store.release_leases(self.owner)
        except AlertbotError as error:
            log.warning("lease not released", problem=str(error))
