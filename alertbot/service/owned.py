"""The tenants that this process polls because it owns them, as one of several workers."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from alertbot.clock import Clock
from alertbot.errors import StoreError
from alertbot.service.poller import Poller
from alertbot.service.scheduler import Scheduler
from alertbot.service.tenant import LiveTenant
from alertbot.store.records import Owner
from alertbot.store.roles import Feeds

OVERDUE_FOR = timedelta(minutes=1)
"""A tenant that was polled within this time is taken over from a worker, or from a few that died one after another."""


class Owned:
    """Starts and stops polling tenants, as a fleet says (`Landlord` of fleet/fleet.py)."""

    def __init__(
        self, tenants: Sequence[LiveTenant], store: Feeds, poller: Poller, scheduler: Scheduler, clock: Clock
    ) -> None:
        self._tenants = {tenant.name: tenant for tenant in tenants}
        self._store, self._poller, self._scheduler, self._clock = store, poller, scheduler, clock

    def begin(self, tenant: str, owner: Owner) -> None:
        """Poll it from now on, at the pace of the owner before: its next turn is one interval after the last one."""
        live, now = self._tenants[tenant], self._clock()
        live.begin(owner, now)
        try:
            last = self._store.feed(tenant).tried_at
        except StoreError:
            last = None
        tick, after = partial(self._poller.tick, live), first_after(live, last, now)
        self._scheduler.every(live.poll_every, tick, name=name_of_job(live), after=after)

    def end(self, tenant: str, within: float) -> None:
        """Stop polling it. Waits for a running turn, at most `within` seconds."""
        live = self._tenants[tenant]
        self._scheduler.remove(name_of_job(live))
        idle = live.busy.acquire(timeout=within)
        live.owner = None
        if idle:  # else the turn that hangs still needs what it has
            live.end()
            live.busy.release()

    def lag(self) -> float:
        """By how many seconds the turn that is most overdue is late; 0 where all are on time."""
        now = self._clock()
        late = [
            (now - live.turn_at - live.poll_every).total_seconds()
            for live in list(self._tenants.values())
            if live.owner is not None and live.turn_at is not None
        ]
        return max([0.0, *late])


def name_of_job(tenant: LiveTenant) -> str:
    """What the turns of a tenant are called in the scheduler."""
    return f"tenant:{tenant.name}"


def first_after(tenant: LiveTenant, last: datetime | None, now: datetime) -> timedelta:
    """How long from now its first turn comes: one interval after the `last` one, of whatever process.

    So it comes at once if it is overdue, since the worker before is gone. A tenant that was never polled, or not for a
    while, starts at some point within one interval, always the same one, so that a thousand of them do not call 8x8 at
    the same moment.
    """
    if last is not None and timedelta(0) <= now - last < max(3 * tenant.poll_every, OVERDUE_FOR):
        return max(timedelta(0), last + tenant.poll_every - now)
    return tenant.poll_every * (zlib.crc32(tenant.name.encode()) % 1000) / 1000
