"""Who may change something: users, members of user groups, and everyone in some channels."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from slack_sdk.errors import SlackApiError

from alertbot.commands.command import WhoMay

_log = logging.getLogger(__name__)

_NOT_YET = "Slack has not listed them yet; try again in a moment"


@dataclass(frozen=True)
class MayChange:
    """Slack ids; any of them is enough. All empty: everyone may."""

    users: frozenset[str] = frozenset()
    usergroups: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()

    @property
    def everyone(self) -> bool:
        return not (self.users or self.usergroups or self.channels)


class Permissions:
    """Decides by `MayChange`. Members of user groups are read from Slack in the background and kept for a while.

    `fetch` returns the user ids of one user group; whatever it raises counts as "could not be read". Slack limits
    usergroups.users.list strictly (Tier 2), and an answer has 3 s in all.
    """

    def __init__(
        self,
        may_change: MayChange,
        fetch: Callable[[str], Iterable[str]],
        *,
        keep: float = 600.0,
        retry_after: float = 30.0,
        first_wait: float = 1.0,
    ) -> None:
        """All in seconds: members are kept for `keep`, a failed read is retried after `retry_after`, and the first
        read may delay an answer by `first_wait`."""
        self._may = may_change
        self._fetch = fetch
        self._keep, self._retry_after, self._first_wait = keep, retry_after, first_wait
        self._members: dict[str, frozenset[str]] = {}
        self._unread: dict[str, str] = {}  # why a group could not be read the last time
        self._next_read = 0.0
        self._reading: Future[None] | None = None
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="alertbot-usergroups")

    def who_may(self) -> WhoMay:
        """Who is allowed, for those who are not."""
        may = self._may
        with self._lock:
            unread = {group: self._unread.get(group, _NOT_YET) for group in self._missing()}
        users, groups, channels = (tuple(sorted(each)) for each in (may.users, may.usergroups, may.channels))
        return WhoMay(users, groups, channels, unread)

    @property
    def problem(self) -> str:
        """Which user groups were never read, and why; "" where there is none."""
        with self._lock:
            unread = [f"{group}: {self._unread[group]}" for group in self._missing() if group in self._unread]
        return f"The members of user groups in slack.may_change are not known: {'; '.join(unread)}" if unread else ""

    def _missing(self) -> list[str]:
        return sorted(self._may.usergroups - self._members.keys())

    def allows(self, user: str, channel: str) -> bool:
        """Whether this user may change something from this channel.

        A user group whose members could never be read allows no one: another user can make a change that was wrongly
        refused, but a change that was wrongly allowed may hide an alert. While Slack is down, the last known members
        count.
        """
        may = self._may
        if may.everyone or user in may.users or channel in may.channels:
            return True
        return bool(may.usergroups) and user in self._in_groups()

    def close(self, *, wait: bool = False) -> None:
        """Stop the thread; a read in progress is abandoned, or waited for."""
        self._worker.shutdown(wait=wait, cancel_futures=True)

    def _in_groups(self) -> frozenset[str]:
        with self._lock:
            if time.monotonic() >= self._next_read and (self._reading is None or self._reading.done()):
                self._reading = self._worker.submit(self._read)
            reading = self._reading
        # Known members are better than a wait: only the first read is waited for.
        if reading is not None and len(self._members) < len(self._may.usergroups):
            wait([reading], self._first_wait)
        return frozenset().union(*self._members.values())

    def _read(self) -> None:
        failed = False
        for group in sorted(self._may.usergroups):
            try:
                self._members[group] = frozenset(self._fetch(group))
            except Exception as error:  # whatever Slack or the network does: the answer goes without
                failed = True
                self._unread[group] = _reason(error)
                _log.warning("the members of user group %s could not be read: %s", group, type(error).__name__)
        self._next_read = time.monotonic() + (self._retry_after if failed else self._keep)


def _reason(error: Exception) -> str:
    """Why Slack did not list the members of a group, and what to do, without anything that was sent to Slack."""
    code = str(error.response.get("error") or "") if isinstance(error, SlackApiError) else ""
    match code:
        case "missing_scope":
            return "the Slack app lacks the scope usergroups:read: add it and reinstall the app"
        case "no_such_subteam" | "subteam_not_found":
            return "Slack knows no such user group: correct slack.may_change.usergroups"
        case "":
            return "Slack could not be reached"
        case _:
            return f"Slack refused to list them ({code})"
