"""What an audit finds: places where the database contradicts itself, or where Slack shows something else.

The code should never leave any of these behind: each change is one transaction. They come from a database that was
edited or restored, from bugs, and from users who delete messages. Findings with one right answer are repaired, in the
transaction that found them; the others are reported.

Some things need no audit, since delivery handles them: an abandoned claim is due for a search 20 s after it began, and
an edit that Slack refuses stays due. A message in the card's former channel is kept until it is closed.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from alertbot.rules.words import count


class AuditKind(StrEnum):
    """What is wrong. The comments say what is done about it."""

    OPEN_CARD = "open_card_of_ended_alerts"  # the card is closed
    CLOSED_CARD = "closed_card_of_open_alert"  # the card is opened again; reported if another has replaced it
    CARD_WITHOUT_NOTICE = "card_without_notice"  # it would never be posted: a notice for it is added
    NOTICE_OF_POSTED_CARD = "notice_of_posted_card"  # it would be posted twice: the notice is settled
    ORPHAN_NOTICE = "orphan_notice"  # its card will never be posted: it is given up, or settled as its lead was
    ALERT_WITHOUT_CARD = "alert_without_card"  # the next poll reports it as one that fires; reported if none did
    STUCK_MESSAGE = "stuck_message"  # due for an hour, never attempted, although its channel was free: reported
    MESSAGE_DELETED = "message_deleted"  # the card is posted again
    MESSAGE_OUTDATED = "message_outdated"  # the card is edited again; reported if that changed nothing
    MESSAGE_DUPLICATE = "message_duplicate"  # the message that is not kept up to date is edited to say so


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """One finding, with a sentence that names what it is about. `repaired`: it was repaired, or the repair is due."""

    kind: AuditKind
    text: str
    repaired: bool


def report(findings: Sequence[AuditFinding]) -> str:
    """The report of findings that were not repaired: at most ten, and the number of the others."""
    shown = [f"- {finding.text}" for finding in findings[:10]]
    more = len(findings) - len(shown)
    head = f"The audit found {count(len(findings), 'problem')} that it cannot repair:"
    return "\n".join([head, *shown, *([f"- and {more} more"] if more else [])])


_SHORTCODE = re.compile(r":[a-z0-9_+'-]+:")


def same_headline(drawn: str, shown: str) -> bool:
    """Whether the headline of a card, as drawn, is the one that a message shows.

    Slack writes emoji as `:red_circle:`, escapes `&`, `<` and `>`, and may change blanks: letters and digits count.
    """
    return _letters(drawn) == _letters(shown)


def _letters(text: str) -> str:
    plain = html.unescape(_SHORTCODE.sub(" ", text))
    return "".join(letter for letter in plain if letter.isalnum()).casefold()
