"""Words that several answers share: times, ages, lists, one line for an alert."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from alertbot.alerts import wording
from alertbot.alerts.alert import Alert, State
from alertbot.commands.command import Line, Person, Reply, line
from alertbot.commands.view import RulesView, TenantView, View
from alertbot.evaluation.measure import Measure
from alertbot.rules.catalogue import Scope, ValueType, catalogue
from alertbot.rules.rule import Level
from alertbot.rules.units import format_duration, format_value
from alertbot.rules.words import count

MAX_NAMES = 10  # candidates and names that an answer lists
MAX_ALERTS = 20
_MAX_ECHO = 60


def problem(*lines: str) -> Reply:
    """The answer where the question could not be answered as asked: why, and what to do."""
    first, *rest = lines
    return Reply((Line(first, strong=True), *(Line(text) for text in rest)), problem=True)


def echo(text: str) -> str:
    """What was typed, in quotes, cut where it is long."""
    shown = " ".join(text.split())
    return f"“{shown if len(shown) <= _MAX_ECHO else shown[: _MAX_ECHO - 1] + '…'}”"


def and_more(shown: int, total: int) -> str:
    """ "and 3 more", or "" when all are shown."""
    return f"and {total - shown:,} more" if total > shown else ""


def listed(names: Sequence[str], most: int = MAX_NAMES) -> str:
    """Names in one line, cut with "and N more"."""
    more = and_more(most, len(names))
    return ", ".join(names[:most]) + (f" {more}" if more else "")


def age(since: datetime, now: datetime) -> str:
    """How long ago, in whole seconds; "0s" where `since` is later (two clocks that disagree a little)."""
    return format_duration(max(timedelta(seconds=round((now - since).total_seconds())), timedelta(0)))


def clock(moment: datetime, timezone: str, now: datetime) -> str:
    """`14:05 EET`, with the date in front when it was another day."""
    return wording.clock(moment, ZoneInfo(timezone), now)


def since(moment: datetime, view: View, now: datetime) -> str:
    """`14:05 EET (12m 3s)`."""
    return f"{clock(moment, view.timezone, now)} ({age(moment, now)})"


def is_stale(moment: datetime | None, view: View, now: datetime) -> bool:
    """Whether values of that moment are too old to be called live."""
    return moment is None or now - moment > view.stale_after


def where(alert: Alert, view: View) -> str:
    """The entity of an alert, with its parent, and its tenant where there are several."""
    parent = f" ({alert.parent_name})" if alert.parent_name else ""
    tenant = f"{alert.key.tenant}: " if len(view.tenants) > 1 else ""
    return f"{tenant}{alert.name}{parent}"


def figure(value: float | str | None, kind: ValueType, zone: tzinfo) -> str:
    """A value for reading: as `format_value` shows it, but a duration in whole seconds."""
    if kind is not ValueType.DURATION or not isinstance(value, float) or not math.isfinite(value):
        return format_value(value, kind, zone)
    seconds = round(value / 1000)
    return "under 1s" if seconds == 0 and value > 0 else format_value(seconds * 1000.0, kind)


def reading(alert: Alert, view: View) -> str:
    """`longest wait 2m 41s, limit 2m`, or `now 20s (limit 2m)` while it recovers; "" where nothing is compared.

    The noun is left out where the title has it already. What is compared with `==`, `!=` or text has no limit.
    """
    measure = alert.measure
    if measure is None or not measure.op:
        return ""
    shown, limit = value_and_limit(alert, ZoneInfo(view.timezone))
    if alert.state is State.RECOVERING:
        return f"now {shown}{f' (limit {limit})' if limit else ''}"
    return f"{_with_noun(alert, measure, shown)}{_beyond(measure, shown, limit)}"


def value_and_limit(alert: Alert, zone: tzinfo) -> tuple[str, str]:
    """The value of an alert and its limit, for reading; "" where nothing is compared, or where there is no limit."""
    measure = alert.measure
    if measure is None or not measure.op:
        return "", ""
    limit = format_value(measure.threshold, measure.type, zone) if measure.op in _LIMITS else ""
    return figure(measure.value, measure.type, zone), limit


_LIMITS = frozenset({">", ">=", "<", "<="})


def _with_noun(alert: Alert, measure: Measure, shown: str) -> str:
    metric = catalogue().lookup(alert.key.scope, measure.label)
    if metric is None or measure.value is None or metric.noun.casefold() in alert.about.title.casefold():
        return shown
    return metric.measured(shown, singular=measure.value == 1.0)


def _beyond(measure: Measure, shown: str, limit: str) -> str:
    if not limit or measure.value is None:
        return ""
    if shown != limit:
        return f", limit {limit}"
    if measure.op in (">=", "<="):
        return ", at the limit"
    return f", just {'over' if measure.op == '>' else 'under'} the limit"


def alert_line(alert: Alert, view: View, now: datetime, *, with_entity: bool = True) -> Line:
    """One alert with id, level, entity, value, since and owner."""
    recovering = alert.state is State.RECOVERING
    number = f"#{alert.id} " if alert.id is not None else ""
    subject = f"{where(alert, view)} · {alert.about.title}" if with_entity else alert.about.title
    parts = [f"{number}{f'recovering ({alert.level.word})' if recovering else alert.level.word}: {subject}"]
    began = {State.PENDING: alert.pending_since, State.RECOVERING: alert.recovering_since}.get(
        alert.state, alert.fired_at
    )
    if value := reading(alert, view):
        parts.append(value)
    if recovering and began:
        recovers = f"recovering since {since(began, view, now)}"
        parts = [*parts[:1], f"{value}, {recovers}" if value else recovers]
    elif began:
        parts.append(f"{'pending ' if alert.state is State.PENDING else ''}since {since(began, view, now)}")
    parts += muted_words(alert, view, now)
    pieces: list[str | Person] = [" · ".join(parts)]
    if alert.acked_by:
        pieces += [" · acknowledged by ", Person(alert.acked_by)]
        if alert.ack_note:
            pieces.append(f": {alert.ack_note}")
    return line(*pieces, level=alert.level, recovering=recovering)


def muted_words(alert: Alert, view: View, now: datetime) -> list[str]:
    """`suppressed by #12`, `silenced by #18 until 18:00 EET`: why an alert is not reported now; [] where it is."""
    words = []
    unreported = "not reported: " if alert.reported is None else ""
    if alert.suppressor is not None:
        other = next((each for each in view.alerts if each.key == alert.suppressor), None)
        number = f"#{other.id}" if other is not None and other.id is not None else alert.suppressor.rule
        words.append(f"{unreported}suppressed by {number}")
    if alert.silence is not None:
        words.append(f"{unreported}silenced by #{alert.silence}{_until(alert, view, now)}")
    return words


def _until(alert: Alert, view: View, now: datetime) -> str:
    silence = next((each for each in view.silences if each.id == alert.silence), None)
    return f" until {clock(silence.ends_at, view.timezone, now)}" if silence is not None else ", which has ended"


def worst_first(alerts: Sequence[Alert]) -> list[Alert]:
    """Firing ones first, then recovering, then pending ones; each by level, then the longest first."""

    def key(alert: Alert) -> tuple[bool, bool, int, float, int]:
        began = alert.fired_at or alert.pending_since
        recovering = alert.state is State.RECOVERING
        return not alert.open, recovering, -alert.level, began.timestamp() if began else 0.0, alert.id or 0

    return sorted(alerts, key=key)


def counted(alerts: Sequence[Alert]) -> str:
    """Open alerts in numbers: `12 open, all recovering`, `2 firing, all critical`, `3 firing (2 critical, 1 warning)`.

    Those that recover are counted apart.
    """
    firing = [alert for alert in alerts if alert.state is State.FIRING]
    recovering = sum(alert.state is State.RECOVERING for alert in alerts)
    if recovering and not firing:
        return "1 open, recovering" if recovering == 1 else f"{recovering:,} open, all recovering"
    levels = [(level, sum(alert.level is level for alert in firing)) for level in reversed(Level)]
    present = [(level, number) for level, number in levels if number]
    if len(present) == 1:
        words = f", {'all ' if len(firing) > 1 else ''}{present[0][0].word}"
    else:
        words = f" ({', '.join(f'{number:,} {level.word}' for level, number in present)})"
    return f"{len(firing):,} firing{words}" + (f", {recovering:,} recovering" if recovering else "")


def of_tenant(text: str, tenant: TenantView, view: View) -> str:
    """A sentence about a tenant: with its name where there are several, else with a capital letter."""
    return f"{tenant.name}: {text}" if len(view.tenants) > 1 else f"{text[:1].upper()}{text[1:]}"


def feed_line(tenant: TenantView, view: View, now: datetime) -> Line:
    """How old a tenant's data is, and what is wrong with its polls; marked where it is stale.

    The tenant is named where there are several.
    """
    if tenant.good_at is None and tenant.tried_at is None:
        return Line(of_tenant("not polled yet", tenant, view), level=Level.WARNING)
    why = f": {tenant.error}" if tenant.error else ""
    troubles = worst_first(
        [each for each in view.alerts if each.key.scope is Scope.FEED and each.key.tenant == tenant.name and each.open]
    )
    words = [f"{alert.about.title}{f': {alert.about.detail}' if alert.about.detail else ''}" for alert in troubles]
    if tenant.next_try_at is not None and tenant.next_try_at > now:
        words.append(f"next try at {clock(tenant.next_try_at, view.timezone, now)}")
    if troubles:  # they give the reason already
        why = ""
    also = f". {'. '.join(words)}" if words else ""
    if tenant.good_at is None:
        return Line(
            of_tenant(f"NO DATA: no good poll so far{why}{also}", tenant, view), level=Level.CRITICAL, strong=True
        )
    good = f"last good poll {age(tenant.good_at, now)} ago"
    if is_stale(tenant.good_at, view, now):
        text = f"STALE: {good} (at {clock(tenant.good_at, view.timezone, now)}){why}{also}"
        return Line(of_tenant(text, tenant, view), level=Level.CRITICAL, strong=True)
    if tenant.error:
        level = troubles[0].level if troubles else Level.WARNING
        return Line(of_tenant(f"{good}; the last poll was not good{why}{also}", tenant, view), level=level)
    return Line(of_tenant(f"{good}{also}", tenant, view), level=troubles[0].level if troubles else None)


def rules_lines(view: View, now: datetime) -> list[Line]:
    """Which version of the rules runs and since when, one line per version; a warning if the files on disk differ."""
    lines = []
    versions: dict[tuple[str, datetime | None, str], list[RulesView]] = {}
    for each in view.versions:
        versions.setdefault((each.version, each.since, each.on_disk), []).append(each)
    for (version, since, on_disk), same in versions.items():
        whose = "" if len(versions) == 1 else f"{listed([each.tenant for each in same])}: "
        runs = f"live since {clock(since, view.timezone, now)}" if since else "not live yet"
        lines.append(Line(f"{whose}{count(same[0].rules, 'rule')}, version {version}, {runs}.", strong=True))
        if on_disk:
            differ = f"{whose}The files on disk differ from the running rules: {on_disk}"
            lines.append(Line(differ, level=Level.WARNING))
    return lines or [Line(f"{count(len(view.rules.rules), 'rule')}.", strong=True)]
