"""`suppressed_by`: which scopes can suppress which, and chains that lead back to their first rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from alertbot.rules.catalogue import Scope


class Kinship(StrEnum):
    """Which alerts of the suppressing rule apply to an alert of the suppressed one, within one tenant."""

    SAME = "same"  # the same entity with the same parent
    PARENT = "parent"  # the alert of its parent: the queue of an agent in a queue
    MEMBER = "member"  # the alert of the same id: the agent, in any queue or group
    TOTALS = "totals"  # the alert of the totals


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
"""(scope of the suppressed, scope of the suppressing) to how they relate; a pair that is not here cannot suppress.

8x8 reports the group of an agent only in the scope group_agent.
"""


def may_suppress(scope: Scope) -> str:
    """The scopes whose rules can suppress one of this scope, in words."""
    return " or ".join(by.value for of, by in KINSHIPS if of is scope)


def cycles(suppressed_by: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """The rules that suppress themselves, directly or through others: id to the path back, the id first and last.

    Each cycle is reported once, for the first of its rules in the order of the mapping.
    """
    found: dict[str, tuple[str, ...]] = {}
    reported: set[str] = set()
    for start in suppressed_by:
        if start in reported:
            continue
        path = _path_back(start, suppressed_by)
        if path:
            found[start] = path
            reported.update(path)
    return found


def _path_back(start: str, suppressed_by: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The shortest path from a rule through its suppressors to itself, or ()."""
    paths: list[tuple[str, ...]] = [(start,)]
    visited: set[str] = set()
    for path in paths:  # grows while it is walked: breadth first
        for by in suppressed_by.get(path[-1], ()):
            if by == start:
                return (*path, by)
            if by not in visited:
                visited.add(by)
                paths.append((*path, by))
    return ()
