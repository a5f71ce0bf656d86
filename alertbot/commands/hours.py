"""`hours [NAME]`: open or closed, when that changes, and the hours of the days ahead; in the calendar's own zone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta

from alertbot.commands.command import Asker, Command, Line, Reply, Table
from alertbot.commands.find import loose, similar
from alertbot.commands.view import View
from alertbot.commands.wording import clock, echo, listed, problem
from alertbot.rules.hours import Calendar, Hours, Phase, day_ranges, holiday, next_change, next_holiday, state
from alertbot.rules.units import format_duration, write_duration

DAYS_AHEAD = 7


def hours(view: View, command: Command, asker: Asker, now: datetime) -> Reply:
    """All calendars in a line each; with a name, one of them in full."""
    calendars = view.rules.calendars
    if not calendars:
        return Reply(
            (Line("There are no opening hours. They are defined under hours: in a rule file or alertbot.yaml."),)
        )
    if not command.args:
        lines = [_now(name, calendar, now) for name, calendar in sorted(calendars.items())]
        if len(calendars) == 1:
            (only,) = calendars.items()
            return Reply((*lines, *_rest(view, *only, now)))
        return Reply((*lines, Line(f"{view.command} hours NAME shows the days ahead.")))
    wanted = " ".join(command.args)
    names = _find(calendars, wanted)
    if len(names) == 1:
        return Reply((_now(names[0], calendars[names[0]], now), *_rest(view, names[0], calendars[names[0]], now)))
    if names:
        return problem(f"{echo(wanted)} matches {len(names)} calendars:", listed(names))
    near = similar(wanted, ((name, name) for name in calendars))
    hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {listed(sorted(calendars))}."
    return problem(f"There is no calendar {echo(wanted)}.", hint)


def _find(calendars: Mapping[str, Calendar], wanted: str) -> list[str]:
    text = loose(wanted)
    exact = [name for name in calendars if loose(name) == text]
    return exact or sorted(name for name in calendars if text in loose(name))


def _now(name: str, calendar: Calendar, now: datetime) -> Line:
    phase = state(calendar, now)
    changes = next_change(calendar, now)
    word = "closed" if phase is Phase.CLOSED else "open"
    if changes is None:
        return Line(f"{name}: {word}, and that does not change", strong=True)
    left = format_duration(timedelta(seconds=round((changes - now).total_seconds())))
    then = "opens" if phase is Phase.CLOSED else "closes"
    grace = ", within the grace period: no decision yet" if phase is Phase.GRACE else ""
    return Line(f"{name}: {word}{grace}, {then} {clock(changes, calendar.timezone, now)} (in {left})", strong=True)


def _rest(view: View, name: str, calendar: Calendar, now: datetime) -> Iterator[Line | Table]:
    today = now.astimezone(calendar.zone).date()
    days = [today + timedelta(days=ahead) for ahead in range(DAYS_AHEAD)]
    yield Table(("Day", "Hours", ""), tuple(_row(calendar, day, today) for day in days))
    coming = next_holiday(calendar, now)
    if coming is not None:
        day, of = coming
        yield Line(f"Next holiday: {day:%a %Y-%m-%d}" + (f", {of}" if of else ""))
    grace = {"after opening": calendar.after_open, "before closing": calendar.before_close}
    if any(grace.values()):
        lengths = " and ".join(f"{write_duration(length)} {when}" for when, length in grace.items() if length)
        yield Line(f"Grace period, without decisions: {lengths}.")
    users = [
        f"{rule.id} ({word}{moved(used)})"
        for rule in view.rules.rules
        for word, used in (("during", rule.during), ("outside", rule.outside))
        if used is not None and used.calendar == calendar
    ]
    yield Line(f"Rules: {listed(users)}" if users else "No rule uses it.")
    yield Line(f"Time zone: {calendar.timezone}" + (f"; defined in {calendar.where}" if calendar.where else ""))


def _row(calendar: Calendar, day: date, today: date) -> tuple[str, str, str]:
    spans = day_ranges(calendar, day)
    off = holiday(calendar, day)
    about = []
    if any(day == other for other, _ in calendar.exceptions):
        about.append("exception")
    if off is not None:
        about.append(off or "holiday")
    shown = f"{day:%a %Y-%m-%d}" + (", today" if day == today else "")
    return shown, ", ".join(map(str, spans)) or "closed", ", ".join(about)


def moved(used: Hours) -> str:
    """How `during` moves its calendar: ", 10m earlier", or ""."""
    if used.before_open is not None:
        return f", {write_duration(used.before_open)} before it opens"
    if not used.shift:
        return ""
    return f", {write_duration(abs(used.shift))} {'earlier' if used.shift < timedelta(0) else 'later'}"
