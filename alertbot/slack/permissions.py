"""Who may change something: users, members of user groups, and everybody in some channels."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MayChange:
    """Slack ids; any of them is enough. All empty: everybody may."""

    users: frozenset[str] = frozenset()
    usergroups: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()

    @property
    def everybody(self) -> bool:
        return not (self.users or self.usergroups or self.channels)


class Permissions:
    """Decides by `MayChange`. Members of user groups are asked of Slack beside the answer, and kept for a while.

    `fetch` brings the user ids of one user group; whatever it raises counts as "could not be read". Slack counts
    usergroups.users.list strictly (Tier 2), and an answer has 3 s in all.
    """

    def __init__(
        self,
        may_change: MayChange,
        fetch: Callable[[str], Iterable[str]],
        *,
        keep: float = 600.0,
        try_again: float = 30.0,
        patience: float = 1.0,
    ) -> None:
        """`keep`, `try_again` and `patience` in seconds: how long members are good, how soon a failed look is
        repeated, and how long the very first look may hold up an answer."""
        self._may = may_change
        self._fetch = fetch
        self._keep, self._try_again, self._patience = keep, try_again, patience
        self._members: dict[str, frozenset[str]] = {}
        self._next_look = 0.0
        self._looking: Future[None] | None = None
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="alertbot-usergroups")

    def allows(self, user: str, channel: str) -> bool:
        """Whether this user may change something from this channel. No, while their groups cannot be read."""
        may = self._may
        if may.everybody or user in may.users or channel in may.channels:
            return True
        return bool(may.usergroups) and user in self._in_groups()

    def close(self) -> None:
        """Let go of the thread; what it is asking goes to nobody."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _in_groups(self) -> frozenset[str]:
        with self._lock:
            if time.monotonic() >= self._next_look and (self._looking is None or self._looking.done()):
                self._looking = self._worker.submit(self._look)
            looking = self._looking
        # What was known before beats waiting; only the first look is waited for.
        if looking is not None and len(self._members) < len(self._may.usergroups):
            wait([looking], self._patience)
        return frozenset().union(*self._members.values())

    def _look(self) -> None:
        failed = False
        for group in sorted(self._may.usergroups):
            try:
                self._members[group] = frozenset(self._fetch(group))
            except Exception as error:  # whatever Slack or the network does: the answer goes on without
                failed = True
                _log.warning("the members of user group %s could not be read: %s", group, type(error).__name__)
        self._next_look = time.monotonic() + (self._try_again if failed else self._keep)
