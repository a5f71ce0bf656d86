"""What templates can use: an alert, or one line of its timeline, as words and values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

from alertbot.alerts import wording
from alertbot.alerts.alert import Alert, Reason, State
from alertbot.alerts.cards import has_ended, leading, worst_first
from alertbot.alerts.grouping import NAMED
from alertbot.alerts.notice import NoticeKind
from alertbot.charts.trend import key_of, trend
from alertbot.evaluation.measure import Measure
from alertbot.notify.notifier import CardContent, LineContent
from alertbot.notify.pens import PlainPen, cleaned, clip
from alertbot.rules import nouns, words
from alertbot.rules.catalogue import Scope, ValueType, catalogue
from alertbot.rules.rule import Level
from alertbot.rules.units import format_duration, format_value

# Slack's header holds 150 characters, for the emoji and words, the title, a dash and the name together.
_TITLE, _NAME = 72, 46
_MEMBER = 100
_LONG_NAME, _NOTE, _CONDITION, _LABEL, _LABELS = 300, 500, 500, 80, 8

_NOUNS = {
    Scope.QUEUE: "queue",
    Scope.GROUP: "group",
    Scope.AGENT: "agent",
    Scope.QUEUE_AGENT: "agent",
    Scope.GROUP_AGENT: "agent",
    Scope.QUEUE_TOTALS: "alert",
    Scope.AGENT_TOTALS: "alert",
    Scope.FEED: "feed",
}
_COMPARISONS = {
    ">": "above",
    ">=": "at or above",
    "<": "below",
    "<=": "at or below",
    "==": "equal to",
    "!=": "other than",
}
_ENDINGS = {
    Reason.RESOLVED: "the condition has cleared",
    Reason.NO_LONGER_REPORTED: "8x8 no longer reports it",
    Reason.RULE_REMOVED: "the rule was removed",
    Reason.NOT_COVERED: "the rule no longer covers it",
    Reason.TENANT_REMOVED: "its tenant is no longer polled",
    Reason.OUTSIDE_HOURS: "it is outside the hours of the rule",
    Reason.CLOSED_BY_HAND: "it was closed by hand",
}


class Look(Enum):
    """How a card looks: word, emoji and colour (hex). Nothing is said by colour alone."""

    INFO = ("Info", "🔵", "#2f7fd1")
    WARNING = ("Warning", "🟠", "#e39a1c")
    CRITICAL = ("Critical", "🔴", "#c4314b")
    RECOVERING = ("Recovering", "🟡", "#ecd444")
    ACKNOWLEDGED = ("Acknowledged", "👀", "#7b61a8")
    RESOLVED = ("Resolved", "🟢", "#2eb67d")

    @property
    def word(self) -> str:
        return self.value[0]

    @property
    def emoji(self) -> str:
        return self.value[1]

    @property
    def colour(self) -> str:
        return self.value[2]

    @classmethod
    def of_level(cls, level: Level) -> Look:
        return {Level.INFO: cls.INFO, Level.WARNING: cls.WARNING, Level.CRITICAL: cls.CRITICAL}[level]

    @classmethod
    def of(cls, members: Sequence[Alert]) -> Look:
        """The look of a card: RESOLVED when every member has ended, RECOVERING when each open one is recovering.

        ACKNOWLEDGED when each open one has an owner. Otherwise it is that of the highest level of a member that has not
        ended.
        """
        if has_ended(members):
            return cls.RESOLVED
        if all(member.state is State.RECOVERING for member in members if member.state is not State.INACTIVE):
            return cls.RECOVERING
        if all(member.acked_by for member in members if member.state is not State.INACTIVE):
            return cls.ACKNOWLEDGED
        return cls.of_level(leading(members).level)


@dataclass(frozen=True)
class MemberFacts:
    """One entry of `card.members` in a template: an alert on a card with several. Texts are not escaped yet.

    level, figure, limit, owner, since: as for `card`; text: its value, or how long it lasted, or "".
    """

    id: str
    emoji: str
    name: str
    level: str
    figure: str
    limit: str
    since: datetime
    one_day: bool
    owner: str
    recovering: bool
    text: str


@dataclass(frozen=True)
class CardFacts:
    """`card` in a template. Texts are not escaped yet; a template's `{{ … }}` does that.

    open: whether it is firing or recovering; recovering: its condition has cleared, but not for long enough; level: the
    level as a word, "Critical"; value: "2m 10s", "no data" where it is missing, "" where the condition compares nothing
    that can be shown; comparison: "above 2m", "no longer above 2m" or ""; exceeds: whether it is the first of these;
    figure: the value with its noun, "longest wait 2m 10s", or ""; limit: "limit 2m", or ""; message: the rule's own
    sentence while the alert fires, or ""; shown: the figures that the rule wants shown, "3 callers waiting"; worst: the
    worst value with its noun, or "", as for peak; data_until: of an alert about missing or frozen data, when the last
    (new) data came, else None; one_day: whether it began and ended, or is, on the same day;
    silenced_until, silenced_by, silenced_why: while a silence mutes every open alert of the card, its end, its author
    and its reason, else None and "";
    began: since when, as far as is known: as `since`, or later where it was first seen after a time without data, which
    began at unseen_since (else None; gap_in_a_day: on the same day); no_data_since: its condition is unknown since
    then, else None; unstable: it rose too often lately; escalated: of the message of an escalation, its `after`, else
    ""; value_at: when the value was last read, or None;
    trend: of the metric in `figure`, on the open card of one alert, a sparkline and its range, "▁▁▂▃▅▇ 20s to 2m 12s",
    or "" where too little is recorded; trend_span: the time that it covers, "30 min"; trend_of: its metric in words,
    where `message` stands in place of the figure, or the figure is an average over time, else "";
    highest: the highest level it reached, as a word, where that is above the present one, else ""; since, until,
    peak_at: times or None; peak_label: "Peak", or "Lowest" where less is worse; labels: "team=sales", the first eight
    and the number of the others; detail, advice: for operational alerts the present state and what to do, else "";
    outcome: of ended alerts, the worst and the last value, "longest wait 2m 20s at worst, 12s at the end", or "";
    because: why they ended, if that is not that the condition has cleared, and is the same for all, else "";
    closed_by, close_note: who closed it by hand, and why, else "".

    A card may have several alerts. Then where is their number, "12 queues"; since is when the first of them began;
    value, figure, limit and worst are about the worst of them, and worst begins with its name; no_data_since is set if
    none of them has data, and unstable if one of them is; owner is the one that all of them have, or "".
    count: how many there are, ended ones left out until all have ended; members: the worst of them, () on a card of
    one; more: how many are not in members; levels: "3 critical, 9 warning"; mixed: whether that is more than one;
    owned: how many have an owner; closed: how many have ended on an open card.
    """

    id: str
    emoji: str
    headline: str  # "Critical", "Critical, acknowledged", "Resolved"
    level: str
    title: str
    where: str
    full_name: str  # the full name where `where` is cut, else ""
    tenant: str
    rule: str
    open: bool
    recovering: bool
    value: str
    comparison: str
    exceeds: bool
    metric: str
    condition: str
    since: datetime
    recovering_since: datetime | None
    until: datetime | None
    duration: str
    ended: str
    peak: str
    peak_label: str
    peak_at: datetime | None
    highest: str
    owner: str
    owned_at: datetime | None
    note: str
    runbook: str
    labels: tuple[str, ...]
    detail: str
    advice: str
    figure: str
    limit: str
    message: str
    shown: tuple[str, ...]
    worst: str
    one_day: bool
    data_until: datetime | None
    closed_by: str
    close_note: str
    silenced_until: datetime | None
    silenced_by: str
    silenced_why: str
    began: datetime
    unseen_since: datetime | None
    gap_in_a_day: bool
    no_data_since: datetime | None
    unstable: bool
    escalated: str
    value_at: datetime | None
    count: int = 1
    members: tuple[MemberFacts, ...] = ()
    more: int = 0
    levels: str = ""
    mixed: bool = False
    owned: int = 0
    closed: int = 0
    outcome: str = ""
    because: str = ""
    trend: str = ""
    trend_span: str = ""
    trend_of: str = ""


@dataclass(frozen=True)
class LineFacts:
    """`line` in a template: one entry of the timeline, with the values of the moment when it was decided.

    reason: "fired", "level_up", …; text: the reason as a sentence, or what the user wrote; by: the user who
    acted; figure, limit: as for `card`; news: the reason in the words of a card, without condition text; lasted: how
    long it had been firing then, or where `by` acknowledged it, how long since.

    In the block `thread_members`, for lines on a card that alerts share: count: how many alerts the line is about;
    where: the name of the one, or their number, "12 queues"; levels: as for `card`.
    """

    reason: str
    emoji: str
    level: str
    value: str
    comparison: str
    text: str
    by: str
    at: datetime
    figure: str
    limit: str
    news: str
    lasted: str
    count: int = 1
    where: str = ""
    levels: str = ""


def zone_of(name: str) -> ZoneInfo:
    """The zone of that name, or UTC where it is unknown: an unknown zone must not stop a card."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


def card_facts(content: CardContent, message: str = "") -> CardFacts:
    """The facts of a card at `content.now`: its level is that of all its members, the rest is about `content.alert`.

    `message` is the rule's own sentence, as rendered. It is about one alert, so a card of several does not have it.
    """
    shown = shown_members(content.members)
    facts = _card_facts(content, message if len(shown) == 1 else "")
    if len(shown) == 1 and facts.open:
        facts = _with_trend(facts, content, shown[0])
    if len(content.members) == 1:
        return facts
    zone, now = zone_of(content.timezone), content.now
    began = [_since(member, now) for member in (shown if facts.open else content.members)]
    ends = [member.ended_at for member in content.members if member.ended_at is not None]
    if content.began is not None and not facts.open:
        began.append(content.began)
    since, until = min(began), None if facts.open else max(ends, default=None)
    entities = content.entities or len({member.key for member in content.members})
    number = len(shown) if facts.open else entities
    closed = entities - len(shown) if facts.open else 0
    facts = replace(
        facts,
        since=since,
        until=until,
        duration=format_duration(max((until or now) - since, timedelta(0))),
        one_day=since.astimezone(zone).date() == (until or now).astimezone(zone).date(),
        closed=closed,
        began=facts.began if len(shown) == 1 and facts.unseen_since is not None else since,
    )
    if len(shown) == 1:
        return facts
    owners = {member.acked_by for member in shown}
    same_owner = len(owners) == 1 and None not in owners
    reasons = {member.end_reason for member in shown}
    no_data = [member.no_data_since for member in shown if member.no_data_since is not None]
    worst = facts.worst if facts.open else _worst_of(shown, zone)
    name = _name_of(content.alert if facts.open else _worst_member(shown))
    recovering = [member.recovering_since for member in shown if member.recovering_since is not None]
    return replace(
        facts,
        recovering=facts.recovering and len(recovering) == len(shown),
        recovering_since=max(recovering) if len(recovering) == len(shown) else None,
        id=words.count(number, "alert"),
        where=_where(shown, number),
        full_name="",
        count=number,
        began=since,
        unseen_since=None,
        gap_in_a_day=True,
        no_data_since=max(no_data) if facts.open and len(no_data) == len(shown) else None,
        unstable=facts.open and any(member.unstable for member in shown),
        members=tuple(_member_facts(member, now, zone, parent=not _parent_of(shown)) for member in shown[:NAMED]),
        more=max(0, len(shown) - NAMED),
        levels=_levels(shown),
        mixed=len({(member.level, member.state) for member in shown}) > 1,
        owned=sum(member.acked_by is not None for member in shown),
        owner=facts.owner if same_owner else "",
        ended=facts.ended if len(reasons) == 1 else "all of them have ended",
        because=facts.because if len(reasons) == 1 else "",
        outcome=f"worst: {name}, {worst}" if worst else "",
        worst=f"{name}, {worst}" if worst else "",
        highest="",
        shown=(),
    )


def _with_trend(facts: CardFacts, content: CardContent, alert: Alert) -> CardFacts:
    key, measure = key_of(alert), alert.measure
    if content.trend is None or content.escalated is not None or measure is None or not key:
        return facts
    found = trend(content.trend, measure, content.now)
    if found is None:
        return facts
    low, high = (wording.shown(measure, value) for value in (found.low, found.high))
    return replace(
        facts,
        trend=f"{found.line} {f'{low} to {high}' if low != high else f'steady at {low}'}",
        trend_span=f"{found.span // timedelta(minutes=1)} min",
        trend_of=cleaned(nouns.noun(nouns.parts_of(key).base)) if facts.message or key != measure.label else "",
    )


def shown_members(members: Sequence[Alert]) -> list[Alert]:
    """The members that a card shows, the worst first: those that have not ended, or all of them once all have.

    An entity whose alert ended and fired again is counted once.
    """
    ordered = worst_first(members)
    if not has_ended(members):
        return [member for member in ordered if member.state is not State.INACTIVE]
    return list({member.key: member for member in reversed(ordered)}.values())[::-1]


def _since(alert: Alert, now: datetime) -> datetime:
    return alert.fired_at or alert.pending_since or alert.seen_at or now


def _name_of(alert: Alert, *, parent: bool = True) -> str:
    name = cleaned(alert.name) or alert.key.entity_id
    return clip(f"{name} ({cleaned(alert.parent_name)})" if parent and alert.parent_name else name, _MEMBER)


def _parent_of(members: Sequence[Alert]) -> str:
    """The name of the queue or group that all of several agents are of; "" where they are of different ones."""
    parents = {member.parent_name for member in members}
    return cleaned(parents.pop()) if len(parents) == 1 else ""


def _where(members: Sequence[Alert], number: int = 0) -> str:
    """The name of one, or the number of several: `12 queues`, `5 agents (Sales EU)` where all are of one queue.

    `number`: of more than these.
    """
    if len(members) == 1:
        return clip(_name_of(members[0]), _NAME)
    counted = words.count(number or len(members), _NOUNS[members[0].key.scope])
    parent = _parent_of(members)
    return clip(f"{counted} ({parent})" if parent else counted, _NAME)


def _levels(members: Sequence[Alert]) -> str:
    """`critical`, or `3 critical, 8 warning, 1 recovering`."""
    counts: dict[str, int] = {}
    for member in sorted(worst_first(members), key=lambda member: member.state is State.RECOVERING):
        word = "recovering" if member.state is State.RECOVERING else member.level.word
        counts[word] = counts.get(word, 0) + 1
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{number} {word}" for word, number in counts.items())


def _member_facts(alert: Alert, now: datetime, zone: ZoneInfo, *, parent: bool) -> MemberFacts:
    """`parent`: whether the name needs that of its queue or group, since the members are of several."""
    measure, since = alert.measure, _since(alert, now)
    lasted = format_duration(max(alert.ended_at - since, timedelta(0))) if alert.ended_at is not None else ""
    return MemberFacts(
        id=f"#{alert.id}" if alert.id is not None else "#–",
        emoji=Look.of((alert,)).emoji if not alert.acked_by else Look.of_level(alert.level).emoji,
        name=_name_of(alert, parent=parent),
        level=Look.of_level(alert.level).word,
        figure=_figure(measure, zone),
        limit=wording.limit(measure, _formatted(measure, zone)),
        since=since,
        one_day=since.astimezone(zone).date() == now.astimezone(zone).date(),
        owner=clip(alert.acked_by or "", _LABEL),
        recovering=alert.state is State.RECOVERING,
        text=f"after {lasted}" if lasted else _value(measure, zone),
    )


def _worst_member(members: Sequence[Alert]) -> Alert:
    """The one that was worst while it lasted: the highest level it reached, then the worst value."""

    def rank(member: Alert) -> tuple[Level, float]:
        measure = replace(member.measure, value=member.peak) if member.measure is not None else None
        return member.highest or member.level, measure.excess if measure is not None else 0.0

    return max(members, key=rank)


def _worst_of(members: Sequence[Alert], zone: ZoneInfo) -> str:
    return _worst(_worst_member(members), zone)


def _card_facts(content: CardContent, message: str) -> CardFacts:
    alert, zone, silence = content.alert, zone_of(content.timezone), content.silence
    look = Look.of(content.members)
    is_open = look is not Look.RESOLVED
    level = Look.of_level(alert.level).word
    headline = level if is_open and look is not Look.RECOVERING else look.word
    if look is Look.ACKNOWLEDGED:
        headline = f"{level}, acknowledged"
    since = alert.fired_at or alert.pending_since or alert.seen_at or content.now
    began = (alert.pending_since or since) if alert.unseen_since is not None else since
    name = cleaned(alert.name) or alert.key.entity_id
    where = f"{name} ({cleaned(alert.parent_name)})" if alert.parent_name else name
    highest = alert.highest if is_open and alert.highest and alert.highest > alert.level else None
    measure = alert.measure
    return CardFacts(
        id=f"#{alert.id}" if alert.id is not None else "#–",
        emoji=look.emoji,
        headline=headline,
        level=headline if look in (Look.RESOLVED, Look.RECOVERING) else level,
        title=clip(cleaned(alert.about.title), _TITLE),
        where=clip(where, _NAME),
        full_name=clip(where, _LONG_NAME) if clip(where, _NAME) != where else "",
        tenant=clip(alert.key.tenant, _LABEL) if content.show_tenant else "",
        rule=clip(alert.key.rule, _LABEL),
        open=is_open,
        recovering=alert.state is State.RECOVERING,
        value=_value(measure, zone),
        comparison=_comparison(measure, zone),
        exceeds=measure is not None and measure.holds,
        metric=clip(measure.label, _CONDITION) if measure else "",
        condition=clip(cleaned(alert.about.condition), _CONDITION),
        since=since,
        recovering_since=alert.recovering_since,
        until=alert.ended_at,
        duration=format_duration(max((alert.ended_at or content.now) - since, timedelta(0))),
        ended=_ending(alert),
        peak=_peak(alert, zone),
        peak_label="Peak" if measure is None or measure.rises else "Lowest",
        peak_at=alert.peak_at,
        highest=Look.of_level(highest).word if highest else "",
        owner=clip(alert.acked_by or "", _LABEL),
        owned_at=alert.acked_at,
        note=clip(cleaned(alert.ack_note), _NOTE),
        runbook=alert.about.runbook if len(alert.about.runbook) <= _CONDITION else "",
        labels=_labels(alert.about.labels),
        detail=clip(cleaned(alert.about.detail), _NOTE),
        advice=clip(cleaned(alert.about.advice), _NOTE),
        figure=_figure(measure, zone),
        limit=wording.limit(measure, _formatted(measure, zone)),
        message=clip(cleaned(message), _NOTE),
        shown=_shown(alert, zone),
        worst=_worst(alert, zone),
        data_until=_data_until(alert),
        closed_by=clip(alert.closed_by, _LABEL),
        close_note=clip(cleaned(alert.close_note), _NOTE),
        silenced_until=silence.ends_at if silence else None,
        silenced_by=clip(silence.author, _LABEL) if silence else "",
        silenced_why=clip(cleaned(silence.reason), _NOTE) if silence else "",
        began=began,
        unseen_since=alert.unseen_since,
        gap_in_a_day=alert.unseen_since is None
        or alert.unseen_since.astimezone(zone).date() == began.astimezone(zone).date(),
        no_data_since=alert.no_data_since if alert.open else None,
        unstable=alert.unstable and alert.open,
        escalated=format_duration(content.escalated) if content.escalated is not None else "",
        value_at=alert.seen_at,
        outcome="" if is_open else _outcome(alert, zone),
        because=_ending(alert) if alert.end_reason not in (None, Reason.RESOLVED) else "",
        one_day=since.astimezone(zone).date() == (alert.ended_at or content.now).astimezone(zone).date(),
    )


def line_members(content: LineContent) -> tuple[MemberFacts, ...]:
    """The alerts that a line is about, the worst first."""
    zone = zone_of(content.timezone)
    members = worst_first((content.alert, *content.others))
    parent = not _parent_of(members)
    return tuple(_member_facts(member, content.notice.at, zone, parent=parent) for member in members)


def line_facts(content: LineContent) -> LineFacts:
    """The facts of one line of the timeline."""
    members = (content.alert, *content.others)
    notice, zone = content.notice, zone_of(content.timezone)
    look = {
        Reason.RESOLVED: Look.RESOLVED,
        Reason.NO_LONGER_REPORTED: Look.RESOLVED,
        Reason.RULE_REMOVED: Look.RESOLVED,
        Reason.NOT_COVERED: Look.RESOLVED,
        Reason.TENANT_REMOVED: Look.RESOLVED,
        Reason.OUTSIDE_HOURS: Look.RESOLVED,
        Reason.CLOSED_BY_HAND: Look.RESOLVED,
        Reason.ACKNOWLEDGED: Look.ACKNOWLEDGED,
    }.get(notice.reason, Look.of_level(notice.level))
    return LineFacts(
        reason=notice.reason.value,
        emoji=look.emoji,
        level=Look.of_level(notice.level).word,
        value=_value(notice.measure, zone),
        comparison=_comparison(notice.measure, zone),
        text=clip(cleaned(notice.text), _NOTE),
        figure=_figure(notice.measure, zone),
        limit=wording.limit(notice.measure, _formatted(notice.measure, zone)),
        news=_news(content, zone),
        by=clip(notice.by, _LABEL),
        at=notice.at,
        lasted=_lasted(content),
        count=len(members),
        where=_where(members),
        levels=_levels(members) if len(members) > 1 else notice.level.word,
    )


def _lasted(content: LineContent) -> str:
    """How long an alert had been firing, or had had its owner, at the time of a line: to the minute, if that is exact
    enough.
    """
    alert, at = content.alert, content.notice.at
    since = (alert.acked_at if content.notice.by else None) or alert.fired_at or at
    span = max(at - since, timedelta(0))
    minutes = timedelta(minutes=span // timedelta(minutes=1))
    return format_duration(minutes if minutes >= timedelta(minutes=5) else span)


def _formatted(measure: Measure | None, zone: ZoneInfo) -> Callable[[float | str | None], str]:
    """How values of a measure are written for the reader: times of day in their zone, the rest as everywhere."""
    if measure is None or measure.type is ValueType.TIMESTAMP:
        return lambda value: clip(cleaned(format_value(value, ValueType.TIMESTAMP, zone)), _LONG_NAME)
    return lambda value: clip(cleaned(wording.shown(measure, value)), _LONG_NAME)


def _value(measure: Measure | None, zone: ZoneInfo) -> str:
    return "" if measure is None else _formatted(measure, zone)(measure.value)


def _figure(measure: Measure | None, zone: ZoneInfo) -> str:
    return clip(cleaned(wording.figure(measure, _formatted(measure, zone))), _LONG_NAME)


def _worst(alert: Alert, zone: ZoneInfo) -> str:
    measure = alert.measure
    if measure is None or not _peak(alert, zone):
        return ""
    return _figure(replace(measure, value=alert.peak), zone)


def _ending(alert: Alert) -> str:
    return _ENDINGS.get(alert.end_reason or Reason.RESOLVED, str(alert.end_reason).replace("_", " "))


def _outcome(alert: Alert, zone: ZoneInfo) -> str:
    """The worst value with its noun, and the value at the end: `longest wait 2m 20s at worst, 12s at the end`."""
    worst, last = _worst(alert, zone), _value(alert.measure, zone)
    if not last:
        return ""
    if not worst:
        return f"{_figure(alert.measure, zone)} at the end"
    return f"{worst} at worst, {last} at the end" if last != _peak(alert, zone) else f"{worst} at worst and at the end"


def _data_until(alert: Alert) -> datetime | None:
    """When the last data came before a feed alert, which begins a while later: its worst value is the longest wait."""
    measure = alert.measure
    if (
        measure is None
        or measure.label not in ("feed.silence", "feed.standstill")
        or not alert.peak
        or not alert.peak_at
    ):
        return None
    return alert.peak_at - timedelta(milliseconds=alert.peak)


def _shown(alert: Alert, zone: ZoneInfo) -> tuple[str, ...]:
    return tuple(_with_noun(alert, key, zone) for key in alert.about.show if key in alert.shown)


def _with_noun(alert: Alert, key: str, zone: ZoneInfo) -> str:
    value = alert.shown[key]
    measure = Measure(key, type_of(alert.key.scope, key, value), "", value, None)
    return _figure(measure, zone)


def message_facts(alert: Alert, content: CardContent) -> Mapping[str, Any]:
    """What a rule's `message` can use: value, limit, level, entity, parent, since and metric('KEY')."""
    zone = zone_of(content.timezone)
    measure = alert.measure
    since = alert.fired_at or alert.pending_since or alert.seen_at or content.now

    def metric(key: str) -> int | float | str:
        try:
            return shown_value(alert, key, zone)
        except KeyError:
            raise TypeError(f"metric({key!r}): write the key itself, in quotes") from None

    return {
        "value": "" if measure is None else _plain(measure.value, measure, zone),
        "limit": "" if measure is None or measure.threshold is None else _plain(measure.threshold, measure, zone),
        "level": alert.level.word,
        "entity": cleaned(alert.name) or alert.key.entity_id,
        "parent": cleaned(alert.parent_name),
        "since": PlainPen().minute(since, zone=zone),
        "metric": metric,
    }


def _plain(value: float | str | None, measure: Measure, zone: ZoneInfo) -> int | float | str:
    """A number where it is a plain one, so that a message can compare it; else text with its unit."""
    if isinstance(value, float) and measure.type in (ValueType.COUNT, ValueType.NUMBER):
        return int(value) if value.is_integer() else round(value, 2)
    return _formatted(measure, zone)(value)


def shown_value(alert: Alert, key: str, zone: ZoneInfo) -> int | float | str:
    """A stored value of a metric key for `metric('KEY')` in a message: a number where it is a plain one, else text.

    Raises KeyError where the alert does not have it.
    """
    value = alert.shown[key]
    return _plain(value, Measure(key, type_of(alert.key.scope, key, value), "", value, None), zone)


def type_of(scope: Scope, key: str, value: float | str | None) -> ValueType:
    """The type of a key; of one that the catalogue does not have, as its value suggests."""
    metric = catalogue().lookup(scope, key)
    if metric is not None:
        return metric.type
    return ValueType.TEXT if isinstance(value, str) else ValueType.NUMBER


def _news(content: LineContent, zone: ZoneInfo) -> str:
    """Why, in the words of a card: the figure with its noun where the sentence is about it, else the sentence."""
    notice = content.notice
    measure, text = notice.measure, cleaned(notice.text)
    if notice.kind is NoticeKind.OPS or not text or measure is None or content.alert.key.scope is Scope.FEED:
        return clip(text, _NOTE)
    begins = (f"{wording.shown(measure, measure.value)} is ", f"{wording.noun(measure.label)} is ", f"{measure.label} ")
    if not text.startswith(begins) or (measure.type is ValueType.TEXT and not text.startswith(begins[2])):
        return clip(text, _NOTE)
    parts = (_figure(measure, zone), wording.limit(measure, _formatted(measure, zone)))
    return clip(", ".join(part for part in parts if part), _NOTE)


def _comparison(measure: Measure | None, zone: ZoneInfo) -> str:
    if measure is None or measure.threshold is None or measure.op not in _COMPARISONS:
        return ""
    threshold = _formatted(measure, zone)(measure.threshold)
    if measure.value is None:
        return ""
    text = f"{_COMPARISONS[measure.op]} {threshold}"
    return text if measure.holds else f"no longer {text}"


def _peak(alert: Alert, zone: ZoneInfo) -> str:
    measure = alert.measure
    if alert.peak is None or measure is None or measure.type in (ValueType.TEXT, ValueType.TIMESTAMP):
        return ""
    if measure.op in ("==", "!="):
        return ""  # no value is worse than another one
    return _formatted(measure, zone)(alert.peak)


def _labels(labels: Mapping[str, Any]) -> tuple[str, ...]:
    shown = [clip(cleaned(f"{key}={value}"), _LABEL) for key, value in sorted(labels.items())]
    more = len(shown) - _LABELS
    return (*shown[:_LABELS], f"and {more} more") if more > 0 else tuple(shown)
