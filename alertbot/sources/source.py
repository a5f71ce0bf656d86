"""The Source protocol: where samples come from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from alertbot.evaluation.snapshot import Fetched
from alertbot.rules.catalogue import Scope
from alertbot.rules.match import Only


class Source(Protocol):
    """One tenant's samples."""

    def fetch(
        self, wanted: Mapping[Scope, frozenset[str]], now: datetime, only: Mapping[Scope, Only] | None = None
    ) -> Fetched:
        """The current values of these keys for every entity of these scopes.

        `only` has the entities of a scope that rules are limited to: a source may leave out the others. `now` is aware.
        Never raises for what the other side does: a scope that could not be read is in `Fetched.failures`, one that
        was read in part is a snapshot with `complete=False`. Neither holds a secret.
        """

    def memory(self, now: datetime) -> str:
        """What another process that continues with this tenant has to know of the requests up to now, as a text."""

    def resume(self, memory: str, now: datetime) -> None:
        """Go on where the process that left this `memory` was. One that cannot be read is as good as none."""

    def close(self) -> None:
        """Release connections and threads."""
