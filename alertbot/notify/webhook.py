"""The JSON that is posted to `slack.fallback_webhook`: versioned, and documented in docs/operations.md.

Within a version keys may be added; none is renamed or removed, and none changes its meaning. Agents are named as on
cards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from alertbot.alerts.alert import Alert
from alertbot.alerts.fallback import NewPost, PostKind
from alertbot.evaluation.measure import Measure
from alertbot.notify.facts import CardFacts, card_facts
from alertbot.notify.notifier import CardContent
from alertbot.notify.pens import PlainPen
from alertbot.notify.render import Templates
from alertbot.rules.catalogue import ValueType
from alertbot.rules.units import format_duration
from alertbot.rules.words import listed

VERSION = 1

_templates = Templates()  # the built-in ones: what is posted does not depend on files


def document(post: NewPost, *, timezone: str, show_tenant: bool) -> str:
    """The JSON of one post, on one line. Times in `text` are in `timezone`; all others are UTC."""
    content = CardContent((post.alert,), post.at, timezone=timezone, show_tenant=show_tenant)
    facts = card_facts(content)
    found: dict[str, Any] = {
        "version": VERSION,
        "id": post.id,
        "kind": post.kind,
        "incident": post.incident,
        "sent_by": "alertbot",
        "at": _time(post.at),
        "text": _text(post, content),
        "alert": _alert(post.alert, facts),
        "slack": None,
    }
    if post.kind is PostKind.FIRING:
        found["slack"] = {
            "waiting_since": _time(post.waiting_since),
            "channels": list(post.channels),
            "problem": post.problem,
        }
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def _text(post: NewPost, content: CardContent) -> str:
    drawn = _templates.card(content, PlainPen())
    if post.kind is PostKind.RESOLVED:
        return drawn.summary
    waited = format_duration(post.at - (post.waiting_since or post.at))
    why = f": {post.problem.rstrip('.')}" if post.problem else ""
    return f"{drawn.summary} Not delivered to Slack for {waited}, in {listed(list(post.channels))}{why}."


def _alert(alert: Alert, facts: CardFacts) -> Mapping[str, Any]:
    return {
        "id": alert.id,
        "tenant": alert.key.tenant,
        "rule": alert.key.rule,
        "title": alert.about.title,
        "scope": alert.key.scope,
        "entity_id": alert.key.entity_id,
        "entity": facts.full_name or facts.where,
        "level": alert.level.word,
        "state": alert.state if alert.ended_at is None else "resolved",
        "fired_at": _time(alert.fired_at),
        "ended_at": _time(alert.ended_at),
        "end_reason": alert.end_reason,
        "measure": _measure(alert.measure),
        "owner": alert.acked_by,
        "runbook": alert.about.runbook or None,
        "labels": dict(alert.about.labels),
    }


def _measure(measure: Measure | None) -> Mapping[str, Any] | None:
    """What was measured, against what: durations in seconds, ratios 0 to 1, times as ISO text."""
    if measure is None:
        return None
    value, limit = _plain(measure, measure.value), _plain(measure, measure.threshold)
    return {"metric": measure.label, "type": measure.type, "value": value, "operator": measure.op, "limit": limit}


def _plain(measure: Measure, value: float | str | None) -> float | str | None:
    if not isinstance(value, float | int):
        return value
    if measure.type is ValueType.DURATION:
        return value / 1000.0
    if measure.type is ValueType.TIMESTAMP:
        return _time(datetime.fromtimestamp(value / 1000.0, UTC))
    return value


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
