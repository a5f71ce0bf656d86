"""All exceptions of alertbot, as one tree. Each says whether a retry can help (`retryable`).

AlertbotError
├── UsageError            the command was used wrongly                     exit status 2
│   ├── ConfigError       alertbot.yaml, or a secret it names
│   └── LeaseHeld         another poller has this database
├── FaultsFound           rule files, tests or templates with faults       exit status 1
├── BadExpression         a condition that cannot be parsed, or that compares incompatible types
├── SourceError           samples could not be fetched from 8x8
│   ├── SourceUnreachable no answer: DNS, connection refused, timeout      retryable
│   │   └── SourceUnconnected  no connection was made                      retryable
│   ├── SourceLimited     429                                              retryable, after `retry_after`
│   ├── SourceBroken      5xx, or a response that cannot be read           retryable
│   ├── SourceRefused     the credentials were refused                     not until they are fixed
│   └── SourceRejected    the request was rejected (400, 404)              not with the same request
├── NotifyError           a message was not, or may not have been, delivered; see `DeliveryFailure`
├── ChartFailed           a chart could not be drawn, or its picture not be given to Slack: the text is shown instead
├── StoreError            the database could not be read or written
│   ├── Conflict          something else was written since the poll was decided  retryable: decide again
│   ├── NotOwner          another worker polls this tenant now            not by this one
│   └── OtherVersion      another version of alertbot uses it                 exit status 2
│       ├── NewerDatabase   a newer one has written it
│       └── OldVersionRuns  an older one is running on it, so it is not upgraded
└── ImpossibleMove        a transition that the state table does not have: a bug in alertbot
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # types of values that two of the errors carry; their modules import this file
    from alertbot.rulefiles.faults import Fault
    from alertbot.rules.expression import Mistake


class AlertbotError(Exception):
    """The base class. Its text is one clear sentence for users, without secrets."""

    retryable = False


class UsageError(AlertbotError):
    """The command was used wrongly: exit status 2."""


class ConfigError(UsageError):
    """alertbot.yaml has problems; `problems` has one line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class LeaseHeld(UsageError):
    """Another poller holds the lease on the database; the text says which and since when, `owner` is its name."""

    def __init__(self, message: str, *, owner: str = "") -> None:
        super().__init__(message)
        self.owner = owner


class FaultsFound(AlertbotError):
    """Rule files, tests or templates have faults; `faults` has all of them, in file order."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__("\n".join(str(fault) for fault in self.faults))


class BadExpression(AlertbotError):
    """A condition is wrong; `mistakes` has every mistake, in the order of the text."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(sorted(set(mistakes)))
        super().__init__("; ".join(each.message + (f" ({each.hint})" if each.hint else "") for each in self.mistakes))


class SourceError(AlertbotError):
    """Samples could not be fetched. `retry_after` (s) is the wait that 8x8 asked for, if it did."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SourceUnreachable(SourceError):
    """No response: name not found, connection refused or reset, timeout."""

    retryable = True


class SourceUnconnected(SourceUnreachable):
    """No connection was made, so the request was certainly not received."""


class SourceLimited(SourceError):
    """429: too many requests; `retry_after` (s) is how long to wait, if 8x8 said so."""

    retryable = True


class SourceBroken(SourceError):
    """5xx, or a body that is not what the API promises."""

    retryable = True


class SourceRefused(SourceError):
    """The credentials were refused. A retry cannot help until they are fixed."""


class SourceRejected(SourceError):
    """The request was rejected; the same request will be rejected again."""


class DeliveryFailure(StrEnum):
    """What a failed delivery means for the next attempt (Slack's error codes: chat.postMessage, "Errors")."""

    WAIT = "wait"  # 429: certainly not posted; retry after `retry_after`
    RETRY = "retry"  # certainly not posted; retry later
    UNKNOWN = "unknown"  # unknown whether posted: look before a retry
    CREDENTIALS = "credentials"  # nothing can be delivered until the token is fixed
    CHANNEL = "channel"  # this channel does not work; use the fallback channel
    PAYLOAD = "payload"  # the message was rejected; a simpler one may be accepted
    GONE = "gone"  # the message to edit or reply to no longer exists
    REFUSED = "refused"  # certainly not posted, for a reason that may pass: retry later
    LATE = "late"  # its claim was too old to send it: certainly not posted; claim it again


class NotifyError(AlertbotError):
    """A delivery failed. `failure` says what that means, `retry_after` is in seconds, `code` is Slack's error code."""

    def __init__(
        self, message: str, *, failure: DeliveryFailure, retry_after: float | None = None, code: str = ""
    ) -> None:
        super().__init__(message)
        self.failure = failure
        self.retry_after = retry_after
        self.code = code

    @property
    def retryable(self) -> bool:  # type: ignore[override]  # a property in place of the class attribute
        return self.failure in (
            DeliveryFailure.WAIT,
            DeliveryFailure.RETRY,
            DeliveryFailure.UNKNOWN,
            DeliveryFailure.LATE,
            DeliveryFailure.REFUSED,
        )


class ChartFailed(AlertbotError):
    """A chart could not be drawn, or its picture could not be given to Slack. The chart as text says the same."""


class StoreError(AlertbotError):
    """The database could not be read or written: `finding` says why, and `remedy`, where it is known, what to do."""

    retryable = True
    _between = "; "

    def __init__(self, finding: str, remedy: str = "") -> None:
        super().__init__(f"{finding}{self._between}{remedy}" if remedy else finding)
        self.finding, self.remedy = finding, remedy


class Conflict(StoreError):
    """Something else was written to the tenant since the poll was decided: nothing was recorded, decide again."""


class NotOwner(StoreError):
    """Another worker owns the tenant now: nothing was recorded, and this one must not go on with it."""

    retryable = False


class OtherVersion(StoreError):
    """Another version of alertbot uses the database, which was not changed."""

    retryable = False


class NewerDatabase(OtherVersion):
    """The database was written by a newer alertbot."""

    _between = ": "


class OldVersionRuns(OtherVersion):
    """A process of an older version is running on the database, so it was not upgraded."""


class ImpossibleMove(AlertbotError):
    """An alert was to make a transition that the state table does not have. Nothing was changed."""
