"""Rule files that change while the bot runs: checked when they change, swapped in between two turns."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from alertbot.clock import Clock
from alertbot.errors import AlertbotError
from alertbot.logs import logger
from alertbot.notify.notifier import Notifier
from alertbot.rules.rule import RuleSet
from alertbot.service.live_rules import LiveRules
from alertbot.service.signal import Signal
from alertbot.service.tenant import LiveTenant
from alertbot.service.watch import watch
from alertbot.store.roles import Rules

log = logger("rules")


class Reloader:
    """Keeps the rules of the tenants, and the templates of the notifier, those of `live`."""

    def __init__(
        self,
        live: LiveRules,
        store: Rules,
        tenants: Sequence[LiveTenant],
        notifier: Notifier,
        clock: Clock,
        wake: Signal,
        stopping: threading.Event,
        *,
        ops_channel: str,
        reports: Callable[[], bool] = lambda: True,
    ) -> None:
        """`reports()`: whether this process tells Slack of edits, since each worker sees them."""
        self._live, self._store, self._tenants, self._notifier = live, store, tenants, notifier
        self._clock, self._wake, self._stopping, self._ops_channel = clock, wake, stopping, ops_channel
        self._reports = reports
        self._at_once = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reloader", daemon=True)

    def begin(self) -> None:
        """Store which rules run, at startup. Raises StoreError."""
        self._live.begin(self._store, self._swap, self._clock())

    def look(self, moment: float, *, at_once: bool = False) -> bool:
        """Look for edits of the rule files, see `LiveRules.look`; `moment` is in seconds. Raises StoreError."""
        now = self._clock()
        told = self._ops_channel if self._reports() else None
        if not self._live.look(self._store, self._swap, told, now, moment, at_once=at_once):
            return False
        self._wake.set()
        return True

    def look_at_once(self) -> None:
        """Check the rule files now, even if they are still being written. Safe to call from a signal handler."""
        self._at_once.set()

    def start(self) -> None:
        """Look for edits in a thread, until the bot stops."""
        self._thread.start()

    def _swap(
        self, tenants: Sequence[str], rules: RuleSet, folders: Sequence[Path], templates: Mapping[str, bytes]
    ) -> None:
        # A turn reads its tenant's rules once, so it runs with the old ones or the new ones, never with a mix.
        for tenant in self._tenants:
            if tenant.name in tenants:
                tenant.rules = rules
        self._notifier.use_templates(folders, templates)

    def _run(self) -> None:
        watch(self._live.watched(), self._stopping, self._look)

    def _look(self) -> None:
        at_once = self._at_once.is_set()
        self._at_once.clear()
        try:
            self.look(time.monotonic(), at_once=at_once)
        except AlertbotError as error:
            log.error("rules not reloaded; will retry", error=str(error))
        except Exception:
            log.exception("rules not reloaded because of an unexpected error; will retry")
