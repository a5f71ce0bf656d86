"""Every exception of ours, as one tree. Each says whether trying again can help (`retryable`).

AlertbotError
├── UsageError            the command was used wrongly                     exit status 2
│   ├── ConfigError       alertbot.yaml, or a secret it names
│   └── LeaseHeld         another poller has this database
├── FaultsFound           rule files, tests or templates with faults       exit status 1
├── BadExpression         a condition that cannot be read, or that compares what cannot be compared
├── SourceError           8x8 did not give us the samples
│   ├── SourceUnreachable no answer: DNS, refused, timeout, reset          retryable
│   ├── SourceLimited     429                                              retryable, after `retry_after`
│   ├── SourceBroken      5xx, or an answer that cannot be read            retryable
│   ├── SourceRefused     the credentials were refused                     not until somebody mends them
│   └── SourceRejected    our request was refused (400, 404)               not with the same request
├── NotifyError           a message was not, or may not have been, delivered; see `DeliveryFailure`
├── StoreError            the database could not be read or written
└── ImpossibleMove        an alert was to make a move that the table of states does not have: a mistake of ours
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the values that two of them carry; their rooms import this file
    from alertbot.rulefiles.faults import Fault
    from alertbot.rules.expression import Mistake


class AlertbotError(Exception):
    """Base of all. Its text is one clear sentence for people, without secrets."""

    retryable = False


class UsageError(AlertbotError):
    """The command was used wrongly: exit status 2."""


class ConfigError(UsageError):
    """alertbot.yaml is wrong. `problems` holds one line for each, all of them."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class LeaseHeld(UsageError):
    """Another poller holds the database; the text says who and since when, `owner` who as it named itself."""

    def __init__(self, message: str, *, owner: str = "") -> None:
        super().__init__(message)
        self.owner = owner


class FaultsFound(AlertbotError):
    """Files that people wrote have faults; `faults` holds all of them, in file order."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__("\n".join(str(fault) for fault in self.faults))


class BadExpression(AlertbotError):
    """A condition was refused; `mistakes` holds all of them, in the order of the text."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(sorted(set(mistakes)))
        super().__init__("; ".join(each.message + (f" ({each.hint})" if each.hint else "") for each in self.mistakes))


class SourceError(AlertbotError):
    """Samples did not come. `retry_after` is in seconds, where the other side named a wait."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SourceUnreachable(SourceError):
    """No answer: name not found, connection refused or reset, timeout."""

    retryable = True


class SourceLimited(SourceError):
    """429: too many requests; `retry_after` says how long to wait, where it was told."""

    retryable = True


class SourceBroken(SourceError):
    """5xx, or a body that is not what the API promises."""

    retryable = True


class SourceRefused(SourceError):
    """The credentials were refused. Somebody has to mend them."""


class SourceRejected(SourceError):
    """Our request was refused; the same request will be refused again."""


class DeliveryFailure(StrEnum):
    """What a failed delivery means for the next try (Slack's codes by class: chat.postMessage, "Errors")."""

    WAIT = "wait"  # 429: certainly not posted; try again after `retry_after`
    RETRY = "retry"  # certainly not posted; try again later
    UNKNOWN = "unknown"  # posted or not, nobody can tell: look before trying again
    CREDENTIALS = "credentials"  # nothing can be delivered until somebody mends the token
    CHANNEL = "channel"  # this channel does not work; use the fallback channel
    PAYLOAD = "payload"  # our message is wrong; a plainer one may pass
    GONE = "gone"  # the message to edit or reply to is not there any more


class NotifyError(AlertbotError):
    """A delivery failed. `failure` says what that means, `retry_after` is in seconds, `code` the other side's word."""

    def __init__(
        self, message: str, *, failure: DeliveryFailure, retry_after: float | None = None, code: str = ""
    ) -> None:
        super().__init__(message)
        self.failure = failure
        self.retry_after = retry_after
        self.code = code

    @property
    def retryable(self) -> bool:  # type: ignore[override]  # a property answers for the class attribute
        return self.failure in (DeliveryFailure.WAIT, DeliveryFailure.RETRY, DeliveryFailure.UNKNOWN)


class StoreError(AlertbotError):
    """The database could not be read or written."""

    retryable = True


class ImpossibleMove(AlertbotError):
    """An alert was to make a move that the table of states does not have. Nothing was changed."""
