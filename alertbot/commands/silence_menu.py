"""The Silence menu of a card: its options, what each of them silences, and until when. PURE.

It silences `tenant= rule= name=`: what the alert is about, not the alert, so that it does not return a minute later.
For a card with several open alerts it silences the whole rule: no pattern can mean "those on this card".
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum

from alertbot.alerts.alert import Alert
from alertbot.alerts.shown import shown_matcher
from alertbot.alerts.silence import Matcher
from alertbot.commands.changes import MAX_NOTE, alert_id, card_id
from alertbot.commands.command import Asker, Command, CreateSilence, Line, Reply, line
from alertbot.commands.parse import typed
from alertbot.commands.silences import (
    MAX_MATCHER,
    described,
    how_to_change,
    how_to_silence,
    matching,
    terms_of,
    terms_of_rule,
)
from alertbot.commands.spans import QUOTES, Span, parse_span
from alertbot.commands.view import View
from alertbot.commands.wording import clock, echo, problem
from alertbot.rules.catalogue import Scope
from alertbot.rules.hours import Phase, state
from alertbot.rules.terms import write_terms
from alertbot.rules.words import count

_HOUR = timedelta(hours=1)
_LONGER = timedelta(minutes=1)
"""A silence that ends by less than this later is the same one: two users chose an hour, some seconds apart."""
_FORM = 2  # arguments of an option without what was typed into the form


class For(StrEnum):
    """How long an option silences. The value of an option is this word and a target: `1h 17`, `close card:5`."""

    HOUR = "1h"
    CLOSE = "close"
    TOMORROW = "tomorrow"
    OTHER = "other"

    @property
    def label(self) -> str:
        return _LABELS[self]


_LABELS = {
    For.HOUR: "1 hour",
    For.CLOSE: "until close of business",
    For.TOMORROW: "until tomorrow 8:00",
    For.OTHER: "other …",
}


def option(how_long: For, target: str) -> str:
    """The value of an option."""
    return f"{how_long} {target}"


def chosen(value: str) -> tuple[str, ...]:
    """The arguments that the value of an option stands for: the target, and a word of `For`.

    () where there is no such option.
    """
    word, _, target = value.partition(" ")
    known = word in list(For) and (alert_id(target) is not None or card_id(target) is not None)
    return (target, word) if known else ()


def no_option(slash_command: str) -> Reply:
    """The answer to an option that does not exist: made up, or drawn by another version."""
    return problem(
        "This menu option does not exist: choose another one.",
        f"Or type it: {slash_command} help silence shows how.",
    )


def silence_chosen(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    """What an option of the menu asks. Arguments: the target, a word of `For`, and what was typed for OTHER.

    With OTHER alone the answer says what would be silenced; with a time, and perhaps a reason, it is the wish.
    """
    about = _about(view, command, now)
    if isinstance(about, Reply):
        return about
    several = card_id(command.args[0]) is not None
    matcher = Matcher(terms_of_rule(about[0]) if several else terms_of(about[0]))
    if len(str(matcher)) > MAX_MATCHER:
        return problem(
            f"The name is too long for a silence: {MAX_MATCHER} characters at most.",
            f"Type its beginning and a *: {view.command} silence {write_terms(matcher.terms[:2])} name=… 2h",
        )
    _, how_long, text, reason = (*command.args, "", "")[:4]
    if how_long != For.OTHER:
        span = _until(For(how_long), about[0], view, now)
    elif len(command.args) > _FORM:
        span = _typed(text, reason.strip(), view, now)
    else:
        return Reply(tuple(_in_words(about, matcher, view, several=several)))
    if isinstance(span, Reply):
        return span
    alike = [each for each in view.silences if each.matcher == matcher and each.active(now)]
    longest = max(alike, key=lambda each: each.ends_at, default=None)
    if longest is not None and span.ends_at - longest.ends_at < _LONGER:
        already = line("Already silenced: ", *described(longest, view.timezone, now), strong=True)
        return Reply((already, Line(how_to_change(longest))))
    remarks = (matching(matcher, view), *_scope(about, view, several=several))
    return Reply(wish=CreateSilence(matcher, span.starts_at, span.ends_at, " ".join(reason.split()), remarks))


def _about(view: View, command: Command, now: datetime) -> list[Alert] | Reply:
    """The alerts that the menu is about, at least one; or why there is nothing to silence."""
    number = alert_id(command.args[0])
    found = list(view.card) if number is None else [alert for alert in view.alerts if alert.id == number]
    if found and found[0].key.scope is Scope.FEED:
        return problem(f"#{found[0].id} is about the data from 8x8 itself: it cannot be silenced.")
    if found:
        return found
    if number is None:
        return problem("All alerts on this card have already ended: nothing was silenced.")
    ended = view.ended
    if ended is None or ended.ended_at is None:
        return problem(f"There is no alert #{number}.")
    at = clock(ended.ended_at, view.timezone, now)
    return problem(f"#{number} has already ended, at {at}: nothing was silenced.", how_to_silence(ended, view))


def _until(how_long: For, alert: Alert, view: View, now: datetime) -> Span | Reply:
    if how_long is For.HOUR:
        return Span(now, now + _HOUR)
    if how_long is For.TOMORROW:
        return parse_span(("until", "tomorrow", "8:00"), now, view.timezone)[0]
    rules = view.rules_of.get(alert.key.tenant)
    closes_at = rules.closes_at(alert.key.rule, now) if rules is not None else None
    if closes_at is not None:
        return Span(now, closes_at)
    calendar = rules.business_hours(alert.key.rule) if rules is not None else None
    if calendar is None:
        return problem("No opening hours apply to this alert: choose another time.")
    if state(calendar, now) is Phase.CLOSED:
        return problem(f"{calendar.name} is closed now: choose another time.")
    return problem(f"{calendar.name} does not close within a day: choose another time.")


def _typed(text: str, reason: str, view: View, now: datetime) -> Span | Reply:
    if len(reason) > MAX_NOTE:
        return problem(f"The reason is too long: {MAX_NOTE} characters at most.")
    try:
        span, rest = parse_span([word for word, _ in typed(text)], now, view.timezone)
    except ValueError as error:
        return problem(str(error).removesuffix(QUOTES))
    if rest:
        return problem(f"{echo(' '.join(rest))} is not part of a time: write the reason in the field below.")
    return span


def _in_words(about: list[Alert], matcher: Matcher, view: View, *, several: bool) -> Iterator[Line]:
    alert = about[0]
    of_tenant = f" of {alert.key.tenant}" if len(view.tenants) > 1 else ""
    if several:
        opened = count(len(about), "alert on this card", "alerts on this card")
        yield Line(f"{alert.about.title}{of_tenant}: {opened}", strong=True)
    else:
        yield Line(f"{alert.about.title}{of_tenant}: {alert.name}", strong=True)
    yield from (Line(text) for text in _scope(about, view, several=several))
    yield Line(shown_matcher(matcher, view.names), code=True)


def _scope(about: list[Alert], view: View, *, several: bool) -> Iterator[str]:
    """What it covers beyond what a reader may expect."""
    alert = about[0]
    if several:
        yield f"It covers every alert of the rule {alert.key.rule}, including those that are not on this card."
    elif alert.key.scope in (Scope.QUEUE_AGENT, Scope.GROUP_AGENT):
        kind = "queue" if alert.key.scope is Scope.QUEUE_AGENT else "group"
        yield f"It covers {alert.name} in every {kind}."
