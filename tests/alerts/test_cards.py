"""What the headline of a card shows about its members."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alertbot.alerts.alert import Alert, State
from alertbot.alerts.cards import has_ended, leading
from alertbot.notify.facts import Look
from alertbot.rules.rule import Level
from tests.notify.cases import FIRING


def member(number: int, level: Level, state: State = State.FIRING, owner: str | None = None) -> Alert:
    return replace(FIRING, id=number, level=level, state=state, acked_by=owner)


INFO, WARNING, CRITICAL = Level.INFO, Level.WARNING, Level.CRITICAL
OPEN, RECOVERING, ENDED = State.FIRING, State.RECOVERING, State.INACTIVE

CASES = {
    "one": ([member(1, WARNING)], 1, Look.WARNING),
    "one that recovers": ([member(1, CRITICAL, RECOVERING)], 1, Look.RECOVERING),
    "one that has ended": ([member(1, CRITICAL, ENDED)], 1, Look.RESOLVED),
    "one with an owner": ([member(1, CRITICAL, owner="U1")], 1, Look.ACKNOWLEDGED),
    "the highest level": ([member(1, WARNING), member(2, CRITICAL), member(3, INFO)], 2, Look.CRITICAL),
    "the earliest of a level": ([member(1, INFO), member(2, WARNING), member(3, WARNING)], 2, Look.WARNING),
    "a higher one has ended": ([member(1, CRITICAL, ENDED), member(2, INFO)], 2, Look.INFO),
    "a higher one recovers": ([member(1, CRITICAL, RECOVERING), member(2, INFO)], 1, Look.CRITICAL),
    "the last has ended": ([member(1, WARNING, ENDED), member(2, CRITICAL, ENDED)], 2, Look.RESOLVED),
    "one of two has an owner": ([member(1, CRITICAL, owner="U1"), member(2, WARNING)], 1, Look.CRITICAL),
    "each open one has an owner": ([member(1, INFO, owner="U1"), member(2, CRITICAL, ENDED)], 1, Look.ACKNOWLEDGED),
}


@pytest.mark.parametrize(("members", "headline", "look"), CASES.values(), ids=CASES)
def test_the_headline_of_several_members(members: list[Alert], headline: int, look: Look) -> None:
    """The highest level of a member that has not ended; resolved only when all have."""
    assert leading(members).id == headline
    assert has_ended(members) is (look is Look.RESOLVED)
    assert Look.of(members) is look
