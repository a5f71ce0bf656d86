"""`suppressed_by`: which scopes can stand for one another, and chains that lead back to themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from alertbot.rules.catalogue import Scope


class Kinship(StrEnum):
    """Which alerts of the suppressing rule concern an alert of the suppressed one, within one tenant."""

    SAME = "same"  # the same entity, with the same parent
    PARENT = "parent"  # that of its parent: the queue of an agent in a queue
    MEMBER = "member"  # that of the same id: the agent, wherever they are
    TOTALS = "totals"  # the one of the totals


KINSHIPS: Mapping[tuple[Scope, Scope], Kinship] = {
    **{(scope, scope): Kinship.SAME for scope in Scope},
    (Scope.QUEUE, Scope.QUEUE_TOTALS): Kinship.TOTALS,
    (Scope.AGENT, Scope.AGENT_TOTALS): Kinship.TOTALS,
    (Scope.QUEUE_AGENT, Scope.QUEUE): Kinship.PARENT,
    (Scope.QUEUE_AGENT, Scope.AGENT): Kinship.MEMBER,
    (Scope.QUEUE_AGENT, Scope.QUEUE_TOTALS): Kinship.TOTALS,
    (Scope.QUEUE_AGENT, Scope.AGENT_TOTALS): Kinship.TOTALS,
    (Scope.GROUP_AGENT, Scope.GROUP): Kinship.PARENT,
    (Scope.GROUP_AGENT, Scope.AGENT): Kinship.MEMBER,
    (Scope.GROUP_AGENT, Scope.AGENT_TOTALS): Kinship.TOTALS,
}
"""(scope of the suppressed, scope of the suppressing) to how they belong together; what is not here does not.

Which group an agent is in, 8x8 says only of the scope group_agent.
"""


def may_suppress(scope: Scope) -> str:
    """The scopes whose rules can suppress one of this scope, for people."""
    return " or ".join(by.value for of, by in KINSHIPS if of is scope)


def circles(suppressed_by: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """The rules that suppress themselves by way of others: id to the way back, the id first and last.

    Each circle is told once, of the first of its rules in the order of the mapping.
    """
    found: dict[str, tuple[str, ...]] = {}
    settled: set[str] = set()
    for start in suppressed_by:
        if start in settled:
            continue
        way = _way_back(start, suppressed_by)
        if way:
            found[start] = way
            settled.update(way)
    return found


def _way_back(start: str, suppressed_by: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The shortest way from a rule over its suppressors to itself, or ()."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen: set[str] = set()
    for way in ways:  # grows while it is walked: breadth first
        for by in suppressed_by.get(way[-1], ()):
            if by == start:
                return (*way, by)
            if by not in seen:
                seen.add(by)
                ways.append((*way, by))
    return ()
