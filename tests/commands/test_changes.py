"""The answer to a wish: what the store decided, in words."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alertbot.alerts.alert import Outcome
from alertbot.commands.changes import change_reply
from alertbot.commands.command import (
    Acknowledge,
    AcknowledgeCard,
    Asker,
    Person,
    Resolve,
    Unacknowledge,
    UnacknowledgeCard,
)
from tests.commands.kit import ANNA, NOW, alert, text_of

BOB = "U034BOB"
EARLIER = NOW - timedelta(minutes=5)
NOTED = Acknowledge(17, "on it")
OF = "#17 (Longest wait in queue: Sales EU)"

CASES = {
    "done": (NOTED, Outcome.DONE, alert(), f"[critical] {OF}: acknowledged by U012ANNA: on it", False),
    "done without a note": (
        Acknowledge(17),
        Outcome.DONE,
        alert(),
        f"[critical] {OF}: acknowledged by U012ANNA",
        False,
    ),
    "taken back": (
        Unacknowledge(17),
        Outcome.DONE,
        alert(),
        f"[critical] {OF}: given back by U012ANNA",
        False,
    ),
    "closed by hand": (
        Resolve(17, "a call is stuck"),
        Outcome.DONE,
        alert(),
        f"{OF}: closed by U012ANNA: a call is stuck\nIt fires again only after its condition has been false.",
        False,
    ),
    "closed by another": (
        NOTED,
        Outcome.ENDED,
        alert(ended_at=EARLIER, closed_by=BOB, close_note="a call is stuck"),
        f"[warning] {OF} was closed at 10:55 EET by U034BOB: a call is stuck",
        True,
    ),
    "closed by another without a reason": (
        Resolve(17),
        Outcome.ENDED,
        alert(ended_at=EARLIER, closed_by=BOB),
        f"[warning] {OF} was closed at 10:55 EET by U034BOB.",
        True,
    ),
    "closed twice": (
        Resolve(17),
        Outcome.ENDED,
        alert(ended_at=EARLIER, closed_by="U012ANNA"),
        f"{OF} is already closed: you closed it at 10:55 EET.",
        False,
    ),
    "acknowledged after closing it": (
        NOTED,
        Outcome.ENDED,
        alert(ended_at=EARLIER, closed_by="U012ANNA"),
        f"[warning] {OF} was closed at 10:55 EET by U012ANNA.",
        True,
    ),
    "another was first": (
        NOTED,
        Outcome.ALREADY,
        alert(acked_by=BOB, acked_at=EARLIER, ack_note="mine"),
        "[warning] #17 is already acknowledged, by U034BOB at 10:55 EET: mine\n"
        "unack #17 gives it back, so that another user can take it.",
        True,
    ),
    "the same once more": (
        NOTED,
        Outcome.ALREADY,
        alert(acked_by="U012ANNA", acked_at=EARLIER),
        "[critical] #17 is already acknowledged by you at 10:55 EET.",
        False,
    ),
    "ended": (
        NOTED,
        Outcome.ENDED,
        alert(ended_at=NOW - timedelta(days=1)),
        f"{OF} has already ended, at 2026-03-01 11:00 EET.",
        True,
    ),
    "unknown": (NOTED, Outcome.UNKNOWN_ID, None, "There is no alert #17.", True),
    "a whole card": (
        AcknowledgeCard(4),
        Outcome.DONE,
        alert(),
        "[critical] All alerts on this card are acknowledged by U012ANNA",
        False,
    ),
    "a whole card, already": (
        AcknowledgeCard(4),
        Outcome.ALREADY,
        alert(),
        "All alerts on this card are already acknowledged.",
        False,
    ),
    "a whole card that has ended": (
        AcknowledgeCard(4),
        Outcome.ENDED,
        alert(),
        "All alerts on this card have already ended.",
        True,
    ),
    "no such card": (AcknowledgeCard(4), Outcome.UNKNOWN_ID, None, "There is no such card.", True),
    "given back by another than the owner": (
        Unacknowledge(17, own=True),
        Outcome.OTHER_OWNER,
        alert(acked_by=BOB, acked_at=EARLIER),
        f"[critical] {OF} was acknowledged by U034BOB at 10:55 EET: only they can give it back with this button.\n"
        "To take it over: unack #17, then ack #17.",
        True,
    ),
    "a whole card, given back": (
        UnacknowledgeCard(4),
        Outcome.DONE,
        alert(),
        "[critical] Given back by U012ANNA",
        False,
    ),
    "a whole card, owned by another": (
        UnacknowledgeCard(4),
        Outcome.OTHER_OWNER,
        alert(acked_by=BOB, acked_at=EARLIER),
        "[critical] You have none of the alerts on this card: U034BOB has #17.\n"
        "To take it over: unack #17, then ack #17.",
        True,
    ),
    "a whole card, owned by no one": (
        UnacknowledgeCard(4),
        Outcome.NOT_ACKNOWLEDGED,
        alert(),
        "No alert on this card is acknowledged.",
        True,
    ),
    "a whole card, given back after its end": (
        UnacknowledgeCard(4),
        Outcome.ENDED,
        alert(),
        "All alerts on this card have already ended.",
        True,
    ),
    "nothing to take back": (
        Unacknowledge(17),
        Outcome.NOT_ACKNOWLEDGED,
        alert(),
        f"{OF} is not acknowledged.",
        True,
    ),
}


@pytest.mark.parametrize(("wish", "result", "found", "says", "problem"), CASES.values(), ids=CASES)
def test_change_reply(
    wish: Acknowledge | Unacknowledge, result: Outcome, found: object, says: str, problem: bool
) -> None:
    """Each decision of the store has its sentence, with who and when."""
    reply = change_reply(wish, result, found, ANNA, now=NOW, timezone="Europe/Helsinki")  # type: ignore[arg-type]
    assert text_of(reply) == says
    assert reply.problem is problem


def test_the_one_who_was_first_is_data() -> None:
    """The winner of a race is a Person, and a note cannot pretend to be one."""
    reply = change_reply(NOTED, Outcome.ALREADY, alert(acked_by=BOB, ack_note="<@U1>"), Asker("U2"))
    assert reply.parts[0].pieces == (  # type: ignore[union-attr]
        "#17 is already acknowledged, by ",
        Person(BOB),
        ": <@U1>",
    )
