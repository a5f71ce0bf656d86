"""What answers do not say about themselves and others did: names of queues and groups, and who belongs where.

`/agents-in-queue-groups` names no queue, `/agents` need not name the group, `/groups/{id}/agents` does not name its
own. The summaries do; they change rarely, so they are kept for a while instead of being read with every poll.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from alertbot.rules.catalogue import Scope
from alertbot.sources.eight_by_eight.plan import (
    AGENTS,
    GROUP_AGENTS,
    GROUPS,
    ONE_GROUP_AGENT,
    ONE_QUEUE_AGENT,
    QUEUE_AGENTS,
    QUEUE_GROUPS,
    QUEUES,
    Endpoint,
    Listing,
)

KEPT_S: Final = 300.0  # how long a summary is believed
_AGAIN_S: Final = 60.0  # and how long, where somebody is missing in it: whom it does not know it may never know


@dataclass(slots=True)
class _Book:
    """One summary: when it was read (monotonic s), and whether somebody was looked for in vain since."""

    read_at: float | None = None
    missed: bool = False


@dataclass(slots=True)
class Names:
    """Names by id, and the group of each agent. What is not known any more is forgotten with the next reading."""

    monotonic: Callable[[], float]
    queues: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    group_of: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    # The agents of each queue as last seen: a queue without activity today is in no answer, its agents are.
    assigned: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _books: dict[Endpoint, _Book] = field(default_factory=lambda: {each: _Book() for each in (QUEUES, GROUPS, AGENTS)})

    def needed(self, listings: Iterable[Listing]) -> list[Listing]:
        """The summaries that have to be read beside these listings."""
        listings = list(listings)
        told = {each.endpoint for each in listings if each.whole}
        wanted = set[Endpoint]()
        for each in listings:
            if each.endpoint in (QUEUE_GROUPS, QUEUE_AGENTS, ONE_QUEUE_AGENT):
                wanted.add(QUEUES)
            elif each.endpoint in (GROUP_AGENTS, ONE_GROUP_AGENT):
                wanted.add(GROUPS)
            elif each.endpoint is AGENTS and Scope.GROUP_AGENT in each.scopes:
                wanted.add(AGENTS)
        # The listing of all queues or groups names them; that of the agents does not say more than they are.
        wanted -= told - {AGENTS}
        return [Listing(each) for each in (QUEUES, GROUPS, AGENTS) if each in wanted and self._stale(each)]

    def _stale(self, endpoint: Endpoint) -> bool:
        book = self._books[endpoint]
        if book.read_at is None:
            return True
        return self.monotonic() - book.read_at >= (_AGAIN_S if book.missed else KEPT_S)

    def learn(self, endpoint: Endpoint, names: Mapping[str, str], group_of: Mapping[str, tuple[str, str]]) -> None:
        """Take in a whole listing: names by id, and for the agents their groups."""
        if endpoint is QUEUES:
            self.queues = names
            self.assigned = {queue: agents for queue, agents in self.assigned.items() if queue in names}
        elif endpoint is GROUPS:
            self.groups = names
        elif endpoint is AGENTS:
            self.group_of = group_of
        else:
            return
        self._books[endpoint] = _Book(self.monotonic())

    def miss(self, endpoint: Endpoint) -> None:
        """Somebody is not in it: read it again soon."""
        self._books[endpoint].missed = True
