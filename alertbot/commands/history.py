"""`history [rule or name] [window]`: ended alerts: when, how long, the worst value, and who had them. PURE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from alertbot.alerts.alert import Alert, Reason
from alertbot.commands.command import Asker, Command, Line, Person, Reply, line
from alertbot.commands.history_table import is_listed
from alertbot.commands.view import MAX_HISTORY, View
from alertbot.commands.window import split_window
from alertbot.commands.wording import age, and_more, clock, echo, figure, problem, where
from alertbot.rules.rule import Level
from alertbot.rules.units import write_duration
from alertbot.rules.words import count

DEFAULT = timedelta(days=1)
LONGEST = timedelta(days=366)
MAX_SHOWN = 15

_ENDINGS = {
    Reason.NO_LONGER_REPORTED: "ended: no longer reported by 8x8",
    Reason.RULE_REMOVED: "ended: its rule was removed",
    Reason.NOT_COVERED: "ended: no longer covered by its rule",
    Reason.TENANT_REMOVED: "ended: its tenant is no longer polled",
    Reason.OUTSIDE_HOURS: "ended: outside the hours of its rule",
}


def looks_back(command: Command) -> timedelta:
    """How far back the command asks."""
    split = split_window(command.args, DEFAULT, LONGEST)
    return timedelta(0) if isinstance(split, str) else split[1]


def history(
    is_about: Callable[[Alert, str], bool],
    unknown: Callable[[View, str], Reply | None],
    view: View,
    command: Command,
    asker: Asker,
    now: datetime,
) -> Reply:
    """The ended alerts, the last one first.

    `is_about` says whether an alert is about a rule or name, `unknown` is the answer for a name that nothing has.
    """
    split = split_window(command.args, DEFAULT, LONGEST)
    if isinstance(split, str):
        return problem(split, f"{view.command} history [rule or name] [window]")
    words, window = split
    wanted = " ".join(words)
    matching = [alert for alert in view.history if is_listed(alert) and (not wanted or is_about(alert, wanted))]
    if wanted and not matching and (refused := unknown(view, wanted)) is not None:
        return refused
    return Reply(tuple(_shown(view, matching, wanted, window, now)))


def summary(levels: Mapping[Level, int], wanted: str, window: timedelta) -> Line:
    """`3 alerts for “Sales EU” ended in the last 1d: 2 critical, 1 warning.` `levels`: how many of each level."""
    total = sum(levels.values())
    about = f" for {echo(wanted)}" if wanted else ""
    length = write_duration(window)
    if not total:
        return Line(f"No alert{about} ended in the last {length}.", strong=True)
    present = [f"{levels[level]:,} {level.word}" for level in reversed(Level) if levels.get(level)]
    return Line(f"{count(total, 'alert')}{about} ended in the last {length}: {', '.join(present)}.", strong=True)


def _shown(view: View, alerts: Sequence[Alert], wanted: str, window: timedelta, now: datetime) -> Iterator[Line]:
    yield summary(Counter(alert.highest or alert.level for alert in alerts), wanted, window)
    for alert in alerts[:MAX_SHOWN]:
        yield ended_line(alert, view, now)
    if more := and_more(MAX_SHOWN, len(alerts)):
        yield Line(f"{more}; {view.command} history RULE or NAME narrows it down")
    if view.history_kept is not None and view.history_kept < window:
        kept = write_duration(view.history_kept)
        yield Line(f"Ended alerts are kept for {kept}: history in alertbot.yaml.")
    if len(view.history) >= MAX_HISTORY:
        yield Line(f"Only the {MAX_HISTORY:,} most recently ended alerts were searched.")


def ended_line(alert: Alert, view: View, now: datetime) -> Line:
    """`#17 critical: Sales EU · Longest wait · 09:12 to 09:31 EET (19m) · worst 4m 10s · acknowledged by Anna`."""
    assert alert.fired_at is not None
    assert alert.ended_at is not None
    parts = [
        f"#{alert.id} {(alert.highest or alert.level).word}: {where(alert, view)} · {alert.about.title}",
        _when(alert, view, now),
    ]
    if worst := worst_value(alert, ZoneInfo(view.timezone)):
        parts.append(f"worst {worst}")
    if alert.end_reason in _ENDINGS:
        parts.append(_ENDINGS[alert.end_reason])
    pieces: list[str | Person] = [" · ".join(parts)]
    if alert.closed_by:
        pieces += [" · closed by ", Person(alert.closed_by)]
    pieces += [" · acknowledged by ", Person(alert.acked_by)] if alert.acked_by else [" · not acknowledged"]
    return line(*pieces)  # without the colour of its level, which says that it fires


def ending(alert: Alert) -> str:
    """How an alert ended, in words: `no longer reported by 8x8`, `closed by U0DANA`; "" where it simply cleared."""
    if alert.closed_by:
        return f"closed by {alert.closed_by}"
    return _ENDINGS[alert.end_reason].removeprefix("ended: ") if alert.end_reason in _ENDINGS else ""


def worst_value(alert: Alert, zone: tzinfo) -> str:
    """The worst value of an ended alert; "" where nothing was compared."""
    if alert.peak is None or alert.measure is None or not alert.measure.op:
        return ""
    return figure(alert.peak, alert.measure.type, zone)


def _when(alert: Alert, view: View, now: datetime) -> str:
    assert alert.fired_at is not None
    assert alert.ended_at is not None
    begin, end = (clock(at, view.timezone, now) for at in (alert.fired_at, alert.ended_at))
    zone = ZoneInfo(view.timezone)
    same_day = alert.fired_at.astimezone(zone).date() == alert.ended_at.astimezone(zone).date()
    if same_day:  # the date and the zone stand once
        begin = begin.rpartition(" ")[0]
        end = end.split(" ", 1)[1] if end.count(" ") > 1 else end
    return f"{begin} to {end} ({age(alert.fired_at, alert.ended_at)})"
