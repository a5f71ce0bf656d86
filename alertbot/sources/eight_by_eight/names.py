"""Names of queues and groups, and the group of each agent, for responses that leave them out.

`/agents-in-queue-groups` has no queue names, `/agents` need not name the group, `/groups/{id}/agents` does not name
its own. The summaries do; they change rarely, so they are cached instead of being read with every poll.
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

SUMMARY_TTL_S: Final = 300.0  # how long a summary is used
_INCOMPLETE_TTL_S: Final = 60.0  # the same for one that lacks an entity, which may never be in it


@dataclass(slots=True)
class _Summary:
    """The state of one summary: when it was read (monotonic, s), and whether a name was missing from it since."""

    read_at: float | None = None
    missed: bool = False


@dataclass(slots=True)
class Names:
    """Names by id, and the group of each agent. Each new summary replaces what was known."""

    monotonic: Callable[[], float]
    queues: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    group_of: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    # The agents of each queue as last seen: a queue without activity today is in no response, but has agents.
    assigned: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _summaries: dict[Endpoint, _Summary] = field(
        default_factory=lambda: {each: _Summary() for each in (QUEUES, GROUPS, AGENTS)}
    )

    def needed(self, listings: Iterable[Listing]) -> list[Listing]:
        """The summaries that have to be read in addition to these listings."""
        listings = list(listings)
        named = {each.endpoint for each in listings if each.whole}
        wanted = set[Endpoint]()
        for each in listings:
            if each.endpoint in (QUEUE_GROUPS, QUEUE_AGENTS, ONE_QUEUE_AGENT):
                wanted.add(QUEUES)
            elif each.endpoint in (GROUP_AGENTS, ONE_GROUP_AGENT):
                wanted.add(GROUPS)
            elif each.endpoint is AGENTS and Scope.GROUP_AGENT in each.scopes:
                wanted.add(AGENTS)
        # A listing of all queues or groups has their names; one of all agents need not have their groups.
        wanted -= named - {AGENTS}
        return [Listing(each) for each in (QUEUES, GROUPS, AGENTS) if each in wanted and self._stale(each)]

    def _stale(self, endpoint: Endpoint) -> bool:
        summary = self._summaries[endpoint]
        if summary.read_at is None:
            return True
        return self.monotonic() - summary.read_at >= (_INCOMPLETE_TTL_S if summary.missed else SUMMARY_TTL_S)

    def learn(self, endpoint: Endpoint, names: Mapping[str, str], group_of: Mapping[str, tuple[str, str]]) -> None:
        """Take in a complete listing: names by id, and for agents their groups by agent id."""
        if endpoint is QUEUES:
            self.queues = names
            self.assigned = {queue: agents for queue, agents in self.assigned.items() if queue in names}
        elif endpoint is GROUPS:
            self.groups = names
        elif endpoint is AGENTS:
            self.group_of = group_of
        else:
            return
        self._summaries[endpoint] = _Summary(self.monotonic())

    def miss(self, endpoint: Endpoint) -> None:
        """Note that the summary lacks an entity: it will be read again soon."""
        self._summaries[endpoint].missed = True
