"""`ack`, `unack`, `resolve`: the wish to change an alert, and the answer once the store has decided."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from alertbot.alerts.alert import Alert, Outcome
from alertbot.commands.command import (
    Acknowledge,
    AcknowledgeCard,
    AlertWish,
    Asker,
    Channel,
    Command,
    Line,
    Person,
    Reply,
    Resolve,
    Unacknowledge,
    UnacknowledgeCard,
    UserGroup,
    WhoMay,
    line,
)
from alertbot.commands.view import View
from alertbot.commands.wording import clock, echo, listed, problem, where, worst_first
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import Level

MAX_NOTE = 500
MAX_CHOICES = 5  # open alerts that are named where none was
_MAX_USERS = 10  # that a refusal names
_CARD = re.compile(r"card:([1-9][0-9]{0,14})")
_ID = re.compile(r"#?0*([1-9][0-9]{0,14})[,:;.]?")


def alert_id(text: str) -> int | None:
    """The id in `#17` or `17`; None where the text is not an id."""
    match = _ID.fullmatch(text)
    return int(match[1]) if match else None


def whole_card(card_id: int) -> str:
    """The value of a button about every alert of a card, in place of the id of one alert."""
    return f"card:{card_id}"


def card_id(text: str) -> int | None:
    """The id in `whole_card`; None where the text is something else."""
    match = _CARD.fullmatch(text)
    return int(match[1]) if match else None


def named_id(command: Command) -> int | None:
    """The id of the alert that a command names with its only argument, or a button; None where it names none."""
    return alert_id(command.args[0]) if len(command.args) == 1 or command.pressed else None


def named_card(command: Command) -> int | None:
    """The id of the card whose button asks this; None where it is about one alert, or was typed."""
    return card_id(command.args[0]) if command.pressed else None


def refused(who: WhoMay | None = None) -> Reply:
    """The answer for users who may not change anything: who may, and where that is set.

    A user group whose members are not known allows no one. That could be the reason, so the answer says so too.
    """
    lines = [Line("You are not allowed to change alerts from here.", strong=True)]
    if who is not None and (who.users or who.usergroups or who.channels):
        groups = ["members of ", *_either([UserGroup(each) for each in who.usergroups])] if who.usergroups else []
        places = ["users in ", *_either([Channel(each) for each in who.channels])] if who.channels else []
        allowed: list[list[str | Person]] = [[Person(each)] for each in who.users[:_MAX_USERS]]
        if len(who.users) > _MAX_USERS:
            allowed.append([f"{len(who.users) - _MAX_USERS:,} other users"])
        allowed += [each for each in (groups, places) if each]
        lines.append(line("Only ", *_joined(allowed), " can change alerts."))
    if who is not None:
        for group, why in who.unread.items():
            says = line("The members of ", UserGroup(group), f" are not known, so none of them can: {why}.")
            lines.append(replace(says, level=Level.WARNING))
    lines.append(Line("This is set in alertbot.yaml: slack.may_change."))
    return Reply(tuple(lines), problem=True)


def _either(these: Sequence[Person]) -> list[str | Person]:
    """`@leads`, `@leads or @floor`."""
    return _joined([[each] for each in these], "or")


def _joined(parts: Sequence[Sequence[str | Person]], word: str = "and") -> list[str | Person]:
    """`a`, `a and b`, `a, b and c`, of parts that are pieces of a line."""
    pieces: list[str | Person] = []
    for place, part in enumerate(parts):
        if place:
            pieces.append(f" {word} " if place == len(parts) - 1 else ", ")
        pieces += part
    return pieces


def acknowledge(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    """`ack ID [note]`, and the button for all alerts of a card."""
    number = card_id(command.args[0]) if command.args else None
    if number is not None:
        return Reply(wish=AcknowledgeCard(number))
    checked = _checked(view, command, "ack", "ID [note]")
    if isinstance(checked, Reply):
        return checked
    note = _note(command)
    return note if isinstance(note, Reply) else Reply(wish=Acknowledge(checked, note))


def unacknowledge(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    """`unack ID`."""
    checked = _checked(view, command, "unack", "ID")
    return checked if isinstance(checked, Reply) else Reply(wish=Unacknowledge(checked))


def give_back(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    """The button Give back: as `unack`, but only for the owner; on a card of several, the alerts that the asker has."""
    number = card_id(command.args[0])
    if number is not None:
        return Reply(wish=UnacknowledgeCard(number))
    number = alert_id(command.args[0])
    return no_target() if number is None else Reply(wish=Unacknowledge(number, own=True))


def target(value: str) -> tuple[str, ...]:
    """The argument that the value of a button stands for: an alert or a card. () where it names neither."""
    return (value,) if alert_id(value) is not None or card_id(value) is not None else ()


def no_target(slash_command: str = "") -> Reply:
    """The answer to a button whose value names nothing."""
    return problem("This button belongs to no alert.")


def resolve(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    """`resolve ID [why]`."""
    checked = _checked(view, command, "resolve", "ID [why]", pending=True)
    if isinstance(checked, Reply):
        return checked
    if any(alert.id == checked and alert.key.scope is Scope.FEED for alert in view.alerts):
        return problem(
            f"#{checked} is about the data from 8x8 itself: it cannot be closed by hand. It ends when the data is "
            "complete again."
        )
    why = _note(command)
    return why if isinstance(why, Reply) else Reply(wish=Resolve(checked, why))


def _note(command: Command) -> str | Reply:
    """What follows the id, or a problem where it is too long."""
    note = " ".join(command.args[1:])
    return note if len(note) <= MAX_NOTE else problem(f"The note is too long: {MAX_NOTE} characters at most.")


def _checked(view: View, command: Command, name: str, usage: str, *, pending: bool = False) -> int | Reply:
    """The id of an alert that may be changed (`pending`: one that has not fired too), or what is wrong."""
    opened = [alert for alert in worst_first(view.alerts) if alert.open and alert.id is not None]
    named = [f"#{alert.id} {where(alert, view)} ({alert.about.title})" for alert in opened]
    choices = f"Open alerts: {listed(named, MAX_CHOICES)}." if opened else "No alert is open."
    if not command.args:
        return problem(f"Which alert? {view.command} {name} {usage}", choices)
    number = alert_id(command.args[0])
    if number is None:
        return problem(f"{echo(command.args[0])} is not the id of an alert: write it as 17 or #17.", choices)
    if any(silence.id == number for silence in view.silences):
        return problem(f"#{number} is a silence: {view.command} unsilence {number} ends it.", choices)
    if len(command.args) > 1 and all(alert_id(word) is not None for word in command.args):
        return problem(f"One id at a time: {view.command} {name} {number}", choices)
    if not pending and any(alert.id == number and not alert.open for alert in view.alerts):
        return problem(f"#{number} has not fired: its condition holds, but not for long enough yet.", choices)
    return number


def change_reply(
    wish: AlertWish,
    result: Outcome,
    alert: Alert | None,
    asker: Asker,
    *,
    now: datetime | None = None,
    timezone: str = "UTC",
) -> Reply:
    """The answer to a wish: what the store decided about it, and the alert as it is now (None: there is none).

    Without `now`, times are shown without their date.
    """
    if isinstance(wish, AcknowledgeCard | UnacknowledgeCard):
        return _card_reply(wish, result, asker, alert)
    number = f"#{wish.alert_id}"
    name = f"{number} ({alert.about.title}: {alert.name})" if alert else number
    level = alert.level if alert else None
    match result:
        case Outcome.DONE:
            if isinstance(wish, Unacknowledge):
                return _said(f"{name}: given back by ", Person(asker.user), level=level)
            if isinstance(wish, Resolve):
                why = f": {wish.why}" if wish.why else ""
                closed = line(f"{name}: closed by ", Person(asker.user), why)
                return Reply((closed, Line("It fires again only after its condition has been false.")))
            noted = f": {wish.note}" if wish.note else ""
            return _said(f"{name}: acknowledged by ", Person(asker.user), noted, level=level)
        case Outcome.ALREADY:
            return _already(number, alert, asker, now, timezone)
        case Outcome.ENDED:
            if alert is None or alert.ended_at is None:
                return problem(f"{name} has already ended: there is nothing to acknowledge.")
            ended = clock(alert.ended_at, timezone, now or alert.ended_at)
            if alert.closed_by:
                return _closed(name, alert, asker, ended, wish)
            return problem(f"{name} has already ended, at {ended}.")
        case Outcome.UNKNOWN_ID:
            return problem(f"There is no alert {number}.")
        case Outcome.NOT_ACKNOWLEDGED:
            return problem(f"{name} is not acknowledged.")
        case Outcome.OTHER_OWNER:
            at = f" at {clock(alert.acked_at, timezone, now or alert.acked_at)}" if alert and alert.acked_at else ""
            owner = Person(alert.acked_by or "") if alert else ""
            only = f"{at}: only they can give it back with this button."
            text = line(f"{name} was acknowledged by ", owner, only, level=level)
            return Reply((text, Line(f"To take it over: unack {number}, then ack {number}.")), problem=True)


def _card_reply(wish: AcknowledgeCard | UnacknowledgeCard, result: Outcome, asker: Asker, alert: Alert | None) -> Reply:
    level = alert.level if alert else None
    match result:
        case Outcome.DONE if isinstance(wish, UnacknowledgeCard):
            return _said("Given back by ", Person(asker.user), level=level)
        case Outcome.DONE:
            return _said("All alerts on this card are acknowledged by ", Person(asker.user), level=level)
        case Outcome.ALREADY:
            return _said("All alerts on this card are already acknowledged.", level=None)
        case Outcome.ENDED:
            return problem("All alerts on this card have already ended.")
        case Outcome.NOT_ACKNOWLEDGED:
            return problem("No alert on this card is acknowledged.")
        case Outcome.OTHER_OWNER if alert is not None:
            owner = Person(alert.acked_by or "")
            text = line("You have none of the alerts on this card: ", owner, f" has #{alert.id}.", level=level)
            return Reply((text, Line(f"To take it over: unack #{alert.id}, then ack #{alert.id}.")), problem=True)
        case _:
            return problem("There is no such card.")


def _said(*pieces: str | Person, level: Level | None) -> Reply:
    return Reply((line(*pieces, level=level),))


def _closed(name: str, alert: Alert, asker: Asker, ended: str, wish: object) -> Reply:
    """It was closed by hand before."""
    if isinstance(wish, Resolve) and alert.closed_by == asker.user:  # typed twice, or delivered twice by Slack
        return _said(f"{name} is already closed: you closed it at {ended}.", level=None)
    why = f": {alert.close_note}" if alert.close_note else "."
    said = line(f"{name} was closed at {ended} by ", Person(alert.closed_by), why, level=Level.WARNING)
    return Reply((said,), problem=True)


def _already(number: str, alert: Alert | None, asker: Asker, now: datetime | None, timezone: str) -> Reply:
    if alert is None or alert.acked_by is None:
        return problem(f"{number} is already acknowledged.")
    at = f" at {clock(alert.acked_at, timezone, now or alert.acked_at)}" if alert.acked_at else ""
    if alert.acked_by == asker.user:  # pressed twice, or delivered twice by Slack: no harm, no problem
        return _said(f"{number} is already acknowledged by you{at}.", level=alert.level)
    noted = f": {alert.ack_note}" if alert.ack_note else "."
    other = line(f"{number} is already acknowledged, by ", Person(alert.acked_by), f"{at}{noted}", level=Level.WARNING)
    return Reply((other, Line(f"unack {number} gives it back, so that another user can take it.")), problem=True)
