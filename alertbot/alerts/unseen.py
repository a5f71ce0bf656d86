"""The summary of alerts that began and ended before their cards could be posted: one line for each channel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from alertbot.alerts.alert import Alert
from alertbot.alerts.wording import clock
from alertbot.rules.plain import one_line
from alertbot.rules.words import count

_MAX_NAMES = 10


@dataclass(frozen=True, slots=True)
class Unseen:
    """Alerts (at least one) that began and ended before anything about them could be posted in a channel."""

    channel: str  # as configured
    alerts: tuple[Alert, ...]


def in_one_line(unseen: Unseen, zone: ZoneInfo, now: datetime, *, show_tenant: bool = False) -> str:
    """The number of alerts, their time, and at most ten of their names by rule, the highest levels first.

    `show_tenant`: each with its tenant, since there are several.
    """
    alerts = sorted(unseen.alerts, key=lambda alert: (-(alert.highest or alert.level), alert.fired_at or now))
    began = min(alert.fired_at or alert.ended_at or now for alert in alerts).astimezone(zone)
    ended = max(alert.ended_at or now for alert in alerts).astimezone(zone)
    since = f"{began:%H:%M}" if began.date() == ended.date() else clock(began, zone, now)
    by_title: dict[str, dict[str, int]] = {}
    for alert in alerts:
        names = by_title.setdefault(one_line(alert.about.title), {})
        name = _name(alert, show_tenant=show_tenant)
        names[name] = names.get(name, 0) + 1
    left, groups = _MAX_NAMES, []
    for title, names in by_title.items():
        shown = [name if times == 1 else f"{name} ({times} times)" for name, times in list(names.items())[:left]]
        left -= len(shown)
        more = len(names) - len(shown)
        others = f"{more:,} more" if shown else count(more, "alert")
        groups.append(f"{title}: {', '.join(shown)}{' and ' if shown and more else ''}{others if more else ''}")
    it = "it" if len(alerts) == 1 else "they"
    span = f"between {since} and {clock(ended, zone, now)}"
    return f"{count(len(alerts), 'alert')} began and ended {span}, before {it} could be posted. {'; '.join(groups)}."


def _name(alert: Alert, *, show_tenant: bool) -> str:
    name = f"{alert.key.tenant}: {one_line(alert.name)}" if show_tenant else one_line(alert.name)
    return f"{name} ({one_line(alert.parent_name)})" if alert.parent_name else name
