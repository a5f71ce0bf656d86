"""What the store decided about a wish, in words."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alertbot.commands.answers import settle
from alertbot.commands.command import Acknowledge, Asker, Person, Unacknowledge, Wish
from tests.commands.kit import ANNA, NOW, alert, text_of

BOB = "U034BOB"
EARLIER = NOW - timedelta(minutes=5)
MINE = Acknowledge(17, "on it")
OF = "#17 (Longest wait in queue: Sales EU)"

CASES = {
    "done": (MINE, "done", alert(), f"[critical] {OF}: acknowledged by U012ANNA: on it", False),
    "done without a note": (Acknowledge(17), "done", alert(), f"[critical] {OF}: acknowledged by U012ANNA", False),
    "taken back": (
        Unacknowledge(17),
        "done",
        alert(),
        f"[critical] {OF}: no longer acknowledged; taken back by U012ANNA",
        False,
    ),
    "somebody was first": (
        MINE,
        "already",
        alert(acked_by=BOB, acked_at=EARLIER, ack_note="mine"),
        "[warning] #17 is acknowledged already, by U034BOB at 10:55 EET: mine",
        True,
    ),
    "the same once more": (
        MINE,
        "already",
        alert(acked_by="U012ANNA", acked_at=EARLIER),
        "[critical] #17 is acknowledged by you already at 10:55 EET.",
        False,
    ),
    "over": (
        MINE,
        "ended",
        alert(ended_at=NOW - timedelta(days=1)),
        f"{OF} is over already: it ended at 2026-03-01 11:00 EET.",
        True,
    ),
    "unknown": (MINE, "unknown_id", None, "There is no alert #17.", True),
    "nothing to take back": (
        Unacknowledge(17),
        "not_acknowledged",
        alert(),
        f"{OF} is not acknowledged by anybody.",
        True,
    ),
}


@pytest.mark.parametrize(("wish", "result", "found", "says", "problem"), CASES.values(), ids=CASES)
def test_settle(wish: Wish, result: str, found: object, says: str, problem: bool) -> None:
    """Each decision of the store has its sentence, with who and when."""
    reply = settle(wish, result, found, ANNA, now=NOW, timezone="Europe/Helsinki")  # type: ignore[arg-type]
    assert text_of(reply) == says
    assert reply.problem is problem


def test_the_one_who_was_first_is_data() -> None:
    """The winner of a race is a Person, and a note cannot pretend to be one."""
    reply = settle(MINE, "already", alert(acked_by=BOB, ack_note="<@U1>"), Asker("U2"))
    assert reply.parts[0].pieces == (  # type: ignore[union-attr]
        "#17 is acknowledged already, by ",
        Person(BOB),
        ": <@U1>",
    )


def test_an_unknown_result_is_a_mistake_of_ours() -> None:
    """A word that no store says raises instead of saying something wrong."""
    with pytest.raises(ValueError, match="no such result"):
        settle(MINE, "perhaps", None, ANNA)
