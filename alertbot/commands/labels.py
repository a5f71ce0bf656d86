"""What metric keys are called in answers, and in which order they are shown."""

from __future__ import annotations

import re

# By the first part of the key (8x8's guide "CC Realtime Statistics", glossary 5.1 to 5.6). The order is that of
# interest: what waits now, who could take it, how well it went. Keys that are not here come after, by name.
_KNOWN = {
    "status": "Status",
    "timeOnStatus": "Time in this status",
    "statusCode": "Status code",
    "timeOnStatusCode": "Time in this status and code",
    "interactionsWaitInQueue": "Waiting",
    "interactionsLongestWaitInQueue": "Longest wait",
    "interactionsAvgWaitTime": "Average wait",
    "enabled": "Agents logged in",
    "eligible": "Agents eligible",
    "availableIdle": "Agents available and idle",
    "handling": "Agents handling",
    "offering": "Agents being offered",
    "busy": "Agents busy",
    "busyOther": "Agents busy in other queues",
    "wrapUp": "Agents in wrap-up",
    "onBreak": "Agents on break",
    "workingOffline": "Agents working offline",
    "interactionsHandling": "Being handled",
    "interactionsWrapUp": "In wrap-up",
    "busyExternal": "Handed over from other queues",
    "activeInteractionsCount": "Interactions in hand",
    "slaPercentage": "Service level",
    "slaPercentageTarget": "Service level target",
    "slaTimeThreshold": "Service level time",
    "acceptedInSla": "Answered in time",
    "acceptedInSlaPercentage": "Answered in time, of answered",
    "entered": "Entered",
    "newInQueue": "New",
    "offered": "Offered",
    "accepted": "Answered",
    "acceptedPercentage": "Answered, of entered",
    "abandoned": "Abandoned",
    "abandonedPercentage": "Abandoned, of entered",
    "shortAbandoned": "Abandoned within 5 s",
    "shortAbandonedPercentage": "Abandoned within 5 s, of entered",
    "totalAbandoned": "Abandoned, short ones too",
    "totalAbandonedPercentage": "Abandoned, short ones too, of entered",
    "diverted": "Diverted",
    "divertedPercentage": "Diverted, of entered",
    "rejected": "Offers declined",
    "rejectTimeout": "Offers not answered",
}
_PLACE = {base: place for place, base in enumerate(_KNOWN)}
_PERIODS = {
    "rt": "",
    "int-15m": "last 15 min",
    "int-30m": "last 30 min",
    "int-1h": "last hour",
    "int-4h": "last 4 h",
    "int-8h": "last 8 h",
    "int-12h": "last 12 h",
    "today": "today",
}
_PERIOD_PLACE = {period: place for place, period in enumerate(_PERIODS)}
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def label(key: str) -> str:
    """What a metric key is called: `slaPercentage.int-30m` is "Service level, last 30 min"."""
    base, period, rest = _split(key)
    name = _KNOWN.get(base) or _HUMP.sub(" ", base).capitalize()
    suffixes = [_PERIODS.get(period, period), *("in queues" if each == "inQueue" else each for each in rest)]
    return ", ".join([name, *(suffix for suffix in suffixes if suffix)])


def order(key: str) -> tuple[int, str, int, str]:
    """What to sort metric keys by."""
    base, period, _ = _split(key)
    return _PLACE.get(base, len(_PLACE)), base, _PERIOD_PLACE.get(period, len(_PERIOD_PLACE)), key


def _split(key: str) -> tuple[str, str, list[str]]:
    base, _, rest = key.removeprefix("total.").partition(".")
    period, *more = rest.split(".")
    return base, period, more
