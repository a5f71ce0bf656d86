"""What is announced about silences, when, and where: pure, so that the store can decide it in one transaction.

Theory of operation. A silence has three moments that come by themselves (`due`): it starts, it ends soon, it has ended.
The silence itself says which of them were announced (`started`, `warned`, `ended_at`), and the store writes that in the
transaction that adds the notices: so each is announced once, by whichever process comes first, also after a restart.
What users do (making it, extending it, taking it off) is announced in the transaction of the change.

An announcement goes to each channel that has an open card of an alert that the silence matches, of any tenant. Where
there is none, or its start was never announced, it goes to the author alone. The user whose command
made the change has the answer to it, and gets no other message.
What came late is not repeated in order: a silence that ended while alertbot was down is announced as ended, no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from alertbot.alerts import wording
from alertbot.alerts.alert import Alert, Fingerprint
from alertbot.alerts.notice import PERSON, Notice, operational
from alertbot.alerts.silence import WARN_BEFORE, WARN_IF_LONGER, Silence
from alertbot.rules.rule import Level
from alertbot.rules.slack_ids import is_user_id
from alertbot.rules.units import format_duration
from alertbot.rules.words import count

MAX_NAMED = 5  # alerts that still fire which the announcement of an end names


class Event(StrEnum):
    """What happened to a silence."""

    STARTED = "silence started"
    EXTENDED = "silence extended"
    ENDS_SOON = "silence ends soon"
    ENDED = "silence ended"


def due(silence: Silence, now: datetime) -> Event | None:
    """What is to be announced of a silence that has not ended; None where there is nothing."""
    if silence.ends_at <= now:
        return Event.ENDED
    if not silence.started:
        return Event.STARTED if silence.starts_at <= now else None
    return Event.ENDS_SOON if not silence.warned and _ends_soon(silence, now) else None


def announced(silence: Silence, event: Event, now: datetime) -> Silence:
    """The silence after this event was announced."""
    match event:
        case Event.ENDED:
            return replace(silence, ended_at=now)
        case Event.STARTED:  # what starts shortly before its end says when that is
            return replace(silence, started=True, warned=silence.warned or _ends_soon(silence, now))
        case Event.ENDS_SOON:
            return replace(silence, warned=True)
        case Event.EXTENDED:  # the next end is announced again, unless it is as close
            return replace(silence, warned=_ends_soon(silence, now))


def _ends_soon(silence: Silence, now: datetime) -> bool:
    return silence.lasts > WARN_IF_LONGER and now >= silence.ends_at - WARN_BEFORE


def announcements(
    silence: Silence,
    event: Event,
    alerts: Sequence[Alert],
    cards: Mapping[Fingerprint, frozenset[str]],
    now: datetime,
    *,
    by: str = "",
    timezone: str = "UTC",
) -> Iterator[Notice]:
    """The notices of one event: one for each channel.

    `alerts` are those that have not ended, of every tenant; `cards` the channels that have a card of one. `by` is who
    did it, "" for what time did. Times in the text are of `timezone`.
    """
    matching = [alert for alert in alerts if alert.open and alert.key in cards and silence.matcher.matches(alert)]
    if event is not Event.STARTED and not silence.started:
        matching = []  # its start was announced in no channel
    channels = sorted({channel for alert in matching for channel in cards[alert.key]})
    person = by or silence.author
    zone = ZoneInfo(timezone)
    for channel in channels:
        still = [alert for alert in matching if channel in cards[alert.key]]
        yield _notice(silence, event, channel, _text(silence, event, still, now, zone, by_hand=bool(by)), person, now)
    if not channels and silence.author != by and is_user_id(silence.author):
        text = _text(silence, event, (), now, zone, by_hand=bool(by))
        yield _notice(silence, event, silence.author, text, person, now)


def _notice(silence: Silence, event: Event, channel: str, text: str, person: str, now: datetime) -> Notice:
    once = silence.ends_at if event in (Event.ENDS_SOON, Event.EXTENDED) else silence.starts_at  # not at which poll
    about = (event, str(silence.id))
    return operational(about, channel, text, now, once=once, level=Level.INFO, by=person)


def _text(
    silence: Silence, event: Event, alerts: Sequence[Alert], now: datetime, zone: ZoneInfo, *, by_hand: bool
) -> str:
    what = f"{silence.what}{f' ({silence.reason})' if silence.reason else ''}"
    until = wording.clock(silence.ends_at, zone, now)
    match event:
        case Event.STARTED:
            return (
                f"Silence #{silence.id} by {PERSON} until {until}: {what}. Matching alerts are tracked but "
                f"not reported; cards already posted stay up to date."
            )
        case Event.EXTENDED:
            return f"Silence #{silence.id} was extended by {PERSON} until {until}: {what}."
        case Event.ENDS_SOON:
            left = format_duration(silence.ends_at - now)
            return (
                f"Silence #{silence.id} by {PERSON} ends in {left}, at {until}: {what}. To extend it by an hour: "
                f"silence {silence.id} 1h"
            )
        case Event.ENDED if by_hand:
            return f"Silence #{silence.id} was ended by {PERSON}: {what}.{_still(alerts)}"
        case Event.ENDED:
            return f"Silence #{silence.id} by {PERSON} has ended, at {until}: {what}.{_still(alerts)}"


def _still(alerts: Sequence[Alert]) -> str:
    """What still fires and is reported again from now on."""
    if not alerts:
        return ""
    named = [f"#{alert.id} {alert.name} · {alert.about.title}" for alert in alerts[:MAX_NAMED]]
    more = len(alerts) - len(named)
    tail = f"; and {more:,} more" if more else ""
    return f" {count(len(alerts), 'alert is', 'alerts are')} still open: {'; '.join(named)}{tail}."
