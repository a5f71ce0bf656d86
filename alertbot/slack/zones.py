"""The time zones of those who ask: from Slack's users.info, read beside the answer and kept for a while."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from slack_sdk.errors import SlackApiError

_log = logging.getLogger(__name__)

_MAX_KEPT = 5_000  # users
_THREADS = 4
NO_SCOPE = "times are shown in the configured time zone, not in the reader's: the Slack app lacks the scope users:read"


@dataclass
class _Kept:
    zone: str  # "" where it is not known
    until: float  # on the monotonic clock


class Zones:
    """The time zone of a user, "" while it is not known: the configured one is used then.

    `fetch` returns the zone of a user as Slack names it (`Europe/Helsinki`), or "" where Slack has none; whatever it
    raises counts as "could not be read". An app without the scope users:read is not asked with for `keep`; nothing
    else depends on that scope.
    """

    def __init__(
        self,
        fetch: Callable[[str], str],
        *,
        keep: float = 6 * 3600.0,
        retry_after: float = 300.0,
        first_wait: float = 0.5,
    ) -> None:
        """All in seconds: a zone is kept for `keep`, a failed read is retried after `retry_after`, and the first read
        of a user may delay the answer by `first_wait`."""
        self._fetch = fetch
        self._keep, self._retry_after, self._first_wait = keep, retry_after, first_wait
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._reading: dict[str, Future[None]] = {}
        self._refused_until = 0.0
        self._lock = threading.Lock()
        self._workers = ThreadPoolExecutor(_THREADS, thread_name_prefix="alertbot-zones")

    @property
    def problem(self) -> str:
        """Why zones cannot be read at all; "" where they can."""
        return NO_SCOPE if time.monotonic() < self._refused_until else ""

    def of(self, user: str, within: float | None = None) -> str:
        """The zone of this user. A zone that is known is better than a wait: only the first read is waited for.

        `within`: how many seconds, in place of `first_wait`.
        """
        with self._lock:
            kept = self._kept.get(user)
            now = time.monotonic()
            if (kept is None or now >= kept.until) and now >= self._refused_until and user not in self._reading:
                self._reading[user] = self._workers.submit(self._read, user)
            reading = self._reading.get(user)
        if kept is None and reading is not None:
            wait([reading], self._first_wait if within is None else within)
        with self._lock:
            kept = self._kept.get(user)
        return kept.zone if kept is not None else ""

    def close(self, *, wait: bool = False) -> None:
        """Stop the threads; a read in progress is abandoned, or waited for."""
        self._workers.shutdown(wait=wait, cancel_futures=True)

    def _read(self, user: str) -> None:
        zone, keep = "", self._keep
        refused = False
        try:
            zone = _usable(self._fetch(user))
        except SlackApiError as error:
            keep, refused = self._retry_after, error.response.get("error") == "missing_scope"
            if not refused:
                _log.warning("the time zone of %s could not be read: %s", user, error.response.get("error"))
        except Exception as error:  # whatever the network does: the answer uses the configured zone
            keep = self._retry_after
            _log.warning("the time zone of %s could not be read: %s", user, type(error).__name__)
        now = time.monotonic()
        with self._lock:
            self._reading.pop(user, None)
            if refused:
                self._refused_until = now + self._keep
            else:
                known = self._kept.get(user)
                if keep < self._keep and known is not None:
                    zone = known.zone  # an old zone is better than none
                self._kept[user] = _Kept(zone, now + keep)
                self._kept.move_to_end(user)
                while len(self._kept) > _MAX_KEPT:
                    self._kept.popitem(last=False)
        if refused:
            _log.warning("%s", NO_SCOPE)


def _usable(zone: str) -> str:
    """The zone where this machine knows it, else ""."""
    try:
        return ZoneInfo(zone).key if zone else ""
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        _log.warning("Slack named a time zone that is not known here: %r", zone[:60])
        return ""
