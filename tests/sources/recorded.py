"""Recorded: polls from the past as a Source, for tests that decide what each poll brings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np

from alertbot.evaluation.snapshot import Column, Fetched, Presence, Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.rules.match import Only


class Recorded:
    """A Source that returns these polls, one per fetch, in order.

    Each result holds the wanted scopes and keys; a scope that was not recorded is a failure, a key a column of
    NOT_FETCHED. `at` is the time of the recording: pass `times` to the clock. After the last poll every fetch fails.
    """

    def __init__(self, polls: Iterable[Fetched], name: str = "recording") -> None:
        self.name = name
        self._polls = tuple(polls)
        self._next = 0

    @property
    def times(self) -> tuple[datetime, ...]:
        """When each poll was made."""
        return tuple(poll.at for poll in self._polls)

    def fetch(
        self, wanted: Mapping[Scope, frozenset[str]], now: datetime, only: Mapping[Scope, Only] | None = None
    ) -> Fetched:
        """The next recorded poll, reduced to what is wanted."""
        if self._next >= len(self._polls):
            return Fetched(at=now, failures=dict.fromkeys(wanted, f"the {self.name} has ended"))
        poll = self._polls[self._next]
        self._next += 1
        absent = {scope: f"the {self.name} has no {scope}" for scope in wanted if scope not in poll.snapshots}
        return replace(
            poll,
            snapshots={s: _with_keys(poll.snapshots[s], keys) for s, keys in wanted.items() if s in poll.snapshots},
            failures={scope: poll.failures.get(scope, why) for scope, why in absent.items()},
        )

    def memory(self, now: datetime) -> str:
        """A recording is not asked for too much."""
        return ""

    def resume(self, memory: str, now: datetime) -> None:
        """Nothing to go on with."""

    def close(self) -> None:
        """There is nothing to release."""


def _with_keys(snapshot: Snapshot, keys: frozenset[str]) -> Snapshot:
    """The snapshot with exactly these keys."""
    never = Column(np.full(len(snapshot), np.nan), np.full(len(snapshot), Presence.NOT_FETCHED, dtype=np.uint8))
    return replace(snapshot, columns={key: snapshot.columns.get(key, never) for key in sorted(keys)})
