"""A source that exists only while its tenant is polled by this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from alertbot.evaluation.snapshot import Fetched
from alertbot.rules.catalogue import Scope
from alertbot.rules.match import Only
from alertbot.sources.source import Source


class LentSource:
    """Makes its source when it is first needed, and drops it when it is closed; then it can be used again.

    One of several workers polls some of the tenants, and others tomorrow. A source takes memory (a client, a token, the
    last page) and has open connections, which thousands of tenants that are polled elsewhere must not have here.
    """

    def __init__(self, make: Callable[[], Source]) -> None:
        self._make = make
        self._source: Source | None = None

    def fetch(
        self, wanted: Mapping[Scope, frozenset[str]], now: datetime, only: Mapping[Scope, Only] | None = None
    ) -> Fetched:
        return self._made().fetch(wanted, now, only)

    def memory(self, now: datetime) -> str:
        return self._made().memory(now)

    def resume(self, memory: str, now: datetime) -> None:
        self._made().resume(memory, now)

    def close(self) -> None:
        """As promised. What it had in memory is gone: the next use begins with a new source."""
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def _made(self) -> Source:
        if self._source is None:
            self._source = self._make()
        return self._source
