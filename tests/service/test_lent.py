"""A source that exists only while its tenant is polled here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from alertbot.evaluation.snapshot import Fetched
from alertbot.rules.catalogue import Scope
from alertbot.rules.match import Only
from alertbot.service.lent import LentSource

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


@dataclass
class Scripted:
    """A source that notes what it is asked."""

    calls: list[str] = field(default_factory=list)

    def fetch(
        self, wanted: Mapping[Scope, frozenset[str]], now: datetime, only: Mapping[Scope, Only] | None = None
    ) -> Fetched:
        self.calls.append("fetch")
        return Fetched(at=now, snapshots={}, failures={})

    def memory(self, now: datetime) -> str:
        return "what it sent"

    def resume(self, memory: str, now: datetime) -> None:
        self.calls.append(f"resume {memory}")

    def close(self) -> None:
        self.calls.append("close")


def test_it_is_made_when_it_is_needed_and_again_after_it_was_closed() -> None:
    made: list[Scripted] = []

    def make() -> Scripted:
        made.append(Scripted())
        return made[-1]

    source = LentSource(make)
    source.close()
    assert made == []
    source.resume("then", NOW)
    assert source.fetch({}, NOW).at == NOW
    assert source.memory(NOW) == "what it sent"
    source.close()
    source.resume("later", NOW)
    assert [each.calls for each in made] == [["resume then", "fetch", "close"], ["resume later"]]
