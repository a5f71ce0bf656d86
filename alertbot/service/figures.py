"""What `/metrics` shows of the present state: from memory, and a few small queries that are given half a second.

A scrape must not slow a poll down, and a database that is locked or slow must not hang a scrape. So the database is
read in a thread of its own, at most one read at a time, and a scrape waits for it for at most half a second.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from alertbot.clock import Clock
from alertbot.errors import AlertbotError
from alertbot.feed.rules import is_feed
from alertbot.logs import logger
from alertbot.service.courier import Courier
from alertbot.service.live_rules import LiveRules
from alertbot.service.tenant import LiveTenant
from alertbot.store.open_alerts import OpenAlerts
from alertbot.store.roles import Questions
from alertbot.web.metrics import Figures, StoreFigures, TenantFigures, WorkerFigures

STORE_WITHIN = 0.5
"""Seconds that a scrape waits for the database."""
STORE_FRESH = 5.0
"""Seconds for which what was read from the database is used again."""

log = logger("metrics")


class FiguresReader:
    """Reads the Figures of a running bot. Thread-safe; never raises.

    `tenants()` are those that this process polls now. `problems()` returns what is wrong with each part, by part, ""
    where nothing is.
    """

    def __init__(
        self,
        tenants: Callable[[], Sequence[LiveTenant]],
        live: LiveRules,
        store: Questions,
        courier: Courier,
        clock: Clock,
        problems: Callable[[], Mapping[str, str]],
        database: Path | None,
        worker: Callable[[], WorkerFigures | None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tenants, self._live, self._store, self._courier = tenants, live, store, courier
        self._clock, self._problems, self._database, self._monotonic = clock, problems, database, monotonic
        self._worker = worker
        self._counted: dict[str, tuple[OpenAlerts, TenantAlerts]] = {}
        self._lock = threading.Lock()
        self._reading: threading.Thread | None = None
        self._read: StoreFigures | None = None
        self._read_at = 0.0

    def __call__(self) -> Figures:
        now, since = self._clock(), self._courier.unreachable_since
        on_disk = self._live.on_disk()
        return Figures(
            tenants=[self._tenant(tenant, bool(on_disk.get(tenant.name))) for tenant in self._tenants()],
            store=self._from_store(),
            problems={part: bool(why) for part, why in self._problems().items()},
            slack_unreachable_s=0.0 if since is None else max(0.0, (now - since).total_seconds()),
            sizes=_sizes(self._database),
            reloads={"loaded": self._live.loaded, "refused": self._live.refused},
            worker=self._worker(),
        )

    def _tenant(self, tenant: LiveTenant, files_broken: bool) -> TenantFigures:
        turn, alerts, rules = tenant.last, self._alerts(tenant), tenant.rules
        figures = TenantFigures(
            tenant.name,
            alerts=alerts.counts if alerts else None,
            problems=alerts.problems if alerts else frozenset(),
            rules=len(rules.rules),
            version=rules.version,
            files_broken=files_broken,
        )
        if turn is None:
            return figures
        return TenantFigures(
            tenant.name,
            alerts=figures.alerts,
            problems=figures.problems,
            entities={str(scope): len(snapshot) for scope, snapshot in turn.snapshots.items()},
            good_at=turn.feed.good_at.timestamp() if turn.feed.good_at else None,
            took_s=turn.fetched.took_ms / 1000.0 if turn.fetched else None,
            rules=figures.rules,
            failing_rules=len(turn.feed.health.failing),
            version=figures.version,
            files_broken=files_broken,
        )

    def _alerts(self, tenant: LiveTenant) -> TenantAlerts | None:
        """The counts of the open alerts that the last turn left in memory; those of the turn before if it left none."""
        known = self._counted.get(tenant.name)
        now_open = tenant.memory.open
        if now_open is None or (known is not None and known[0] is now_open):
            return known[1] if known else None
        counted = TenantAlerts(now_open)
        self._counted[tenant.name] = (now_open, counted)
        return counted

    def _from_store(self) -> StoreFigures | None:
        with self._lock:
            if self._read is not None and self._monotonic() - self._read_at < STORE_FRESH:
                return self._read
            if self._reading is None or not self._reading.is_alive():
                self._read = None
                self._reading = threading.Thread(target=self._read_store, name="metrics-store", daemon=True)
                self._reading.start()
            reading = self._reading
        reading.join(STORE_WITHIN)
        return self._read

    def _read_store(self) -> None:
        now = self._clock()
        try:
            totals, oldest = self._store.totals(), self._store.overdue_since(now)
            since = {tenant: at.timestamp() for tenant, (_, at) in self._store.running_versions().items()}
        except AlertbotError as error:
            log.warning("the database could not be read for /metrics", problem=str(error))
            return
        oldest_s = 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())
        self._read = StoreFigures(totals.waiting, oldest_s, totals.fired, totals.resolved, since)
        self._read_at = self._monotonic()


class TenantAlerts:
    """How many alerts of a tenant are open, by state and level, and which feed alerts fire."""

    def __init__(self, open_now: OpenAlerts) -> None:
        alerts = [alert for alert in open_now.by_key.values() if not alert.shadow]
        self.counts = Counter((str(alert.state), alert.level.word) for alert in alerts)
        self.problems = frozenset(
            alert.key.rule.removeprefix("feed-") for alert in alerts if is_feed(alert) and alert.open
        )


def _sizes(database: Path | None) -> dict[str, int]:
    """The bytes of the files of a SQLite database; a server measures its own."""
    if database is None:
        return {}
    return {"main": _size(database), "wal": _size(Path(f"{database}-wal"))}


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
