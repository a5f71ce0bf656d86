"""What templates can use: an alert, or one line of its timeline, as words and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

from alertbot.alerts.alert import Alert, Reason, State
from alertbot.alerts.cards import has_ended, leading
from alertbot.evaluation.measure import Measure
from alertbot.notify.notifier import CardContent, LineContent
from alertbot.notify.pens import cleaned, clip
from alertbot.rules.catalogue import ValueType
from alertbot.rules.rule import Level
from alertbot.rules.units import format_duration, format_value

# Slack's header holds 150 characters, for the emoji and words, the title, a dash and the name together.
_TITLE, _NAME = 72, 46
_LONG_NAME, _NOTE, _CONDITION, _LABEL, _LABELS = 300, 500, 500, 80, 8

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
    Reason.OUTSIDE_HOURS: "it is outside of opening hours",
}


class Look(Enum):
    """How a card looks: word, emoji and colour (hex). Nothing is said by colour alone."""

    INFO = ("Info", "🔵", "#2f7fd1")
    WARNING = ("Warning", "🟠", "#e39a1c")
    CRITICAL = ("Critical", "🔴", "#c4314b")
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
        """The look of a card: RESOLVED when every member has ended, ACKNOWLEDGED when each open one has an owner.

        Otherwise it is that of the highest level of a member that has not ended.
        """
        if has_ended(members):
            return cls.RESOLVED
        if all(member.acked_by for member in members if member.state is not State.INACTIVE):
            return cls.ACKNOWLEDGED
        return cls.of_level(leading(members).level)


@dataclass(frozen=True)
class CardFacts:
    """`card` in a template. Texts are not escaped yet; a template's `{{ … }}` does that.

    open: whether it is firing or recovering; recovering: its condition has cleared, but not for long enough; level: the
    level as a word, "Critical"; value: "2m 10s", "no data" where it is missing, "" where the condition compares nothing
    that can be shown; comparison: "above 2m", "no longer above 2m" or ""; exceeds: whether it is the first of these;
    highest: the highest level it reached, as a word, where that is above the present one, else ""; since, until,
    peak_at: times or None; peak_label: "Peak", or "Lowest" where less is worse; labels: "team=sales", the first eight
    and the number of the others; detail, advice: for operational alerts the present state and what to do, else "".
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


@dataclass(frozen=True)
class LineFacts:
    """`line` in a template: one entry of the timeline, with the values of the moment when it was decided.

    reason: "fired", "level_up", …; text: the reason as a sentence, or the note of an acknowledgement; by: the user who
    acted.
    """

    reason: str
    emoji: str
    level: str
    value: str
    comparison: str
    text: str
    by: str
    at: datetime


def zone_of(name: str) -> ZoneInfo:
    """The zone of that name, or UTC where it is unknown: an unknown zone must not stop a card."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


def card_facts(content: CardContent) -> CardFacts:
    """The facts of a card at `content.now`: its level is that of all its members, the rest is about `content.alert`."""
    alert, zone = content.alert, zone_of(content.timezone)
    look = Look.of(content.members)
    is_open = look is not Look.RESOLVED
    level = Look.of_level(alert.level).word
    headline = level if is_open else Look.RESOLVED.word
    if look is Look.ACKNOWLEDGED:
        headline = f"{level}, acknowledged"
    since = alert.fired_at or alert.pending_since or alert.seen_at or content.now
    name = cleaned(alert.entity_name) or alert.key.entity_id
    where = f"{name} ({cleaned(alert.parent_name)})" if alert.parent_name else name
    highest = alert.highest if is_open and alert.highest and alert.highest > alert.level else None
    measure = alert.measure
    return CardFacts(
        id=f"#{alert.id}" if alert.id is not None else "#–",
        emoji=look.emoji,
        headline=headline,
        level=level if is_open else Look.RESOLVED.word,
        title=clip(cleaned(alert.about.title), _TITLE),
        where=clip(where, _NAME),
        full_name=clip(where, _LONG_NAME) if clip(where, _NAME) != where else "",
        tenant=clip(alert.key.tenant, _LABEL),
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
        ended=_ENDINGS.get(alert.end_reason or Reason.RESOLVED, str(alert.end_reason).replace("_", " ")),
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
    )


def line_facts(content: LineContent) -> LineFacts:
    """The facts of one line of the timeline."""
    notice, zone = content.notice, zone_of(content.timezone)
    look = {
        Reason.RESOLVED: Look.RESOLVED,
        Reason.NO_LONGER_REPORTED: Look.RESOLVED,
        Reason.RULE_REMOVED: Look.RESOLVED,
        Reason.NOT_COVERED: Look.RESOLVED,
        Reason.TENANT_REMOVED: Look.RESOLVED,
        Reason.OUTSIDE_HOURS: Look.RESOLVED,
        Reason.ACKNOWLEDGED: Look.ACKNOWLEDGED,
    }.get(notice.reason, Look.of_level(notice.level))
    return LineFacts(
        reason=notice.reason.value,
        emoji=look.emoji,
        level=Look.of_level(notice.level).word,
        value=_value(notice.measure, zone),
        comparison=_comparison(notice.measure, zone),
        text=clip(cleaned(notice.text), _NOTE),
        by=clip(notice.by, _LABEL),
        at=notice.at,
    )


def _value(measure: Measure | None, zone: ZoneInfo) -> str:
    if measure is None:
        return ""
    return clip(cleaned(format_value(measure.value, measure.type, zone)), _LONG_NAME)


def _comparison(measure: Measure | None, zone: ZoneInfo) -> str:
    if measure is None or measure.threshold is None or measure.op not in _COMPARISONS:
        return ""
    threshold = clip(cleaned(format_value(measure.threshold, measure.type, zone)), _LONG_NAME)
    if measure.value is None:
        return ""
    words = f"{_COMPARISONS[measure.op]} {threshold}"
    return words if measure.holds else f"no longer {words}"


def _peak(alert: Alert, zone: ZoneInfo) -> str:
    measure = alert.measure
    if alert.peak is None or measure is None or measure.type in (ValueType.TEXT, ValueType.TIMESTAMP):
        return ""
    return format_value(alert.peak, measure.type, zone)


def _labels(labels: Mapping[str, Any]) -> tuple[str, ...]:
    shown = [clip(cleaned(f"{key}={value}"), _LABEL) for key, value in sorted(labels.items())]
    more = len(shown) - _LABELS
    return (*shown[:_LABELS], f"and {more} more") if more > 0 else tuple(shown)
