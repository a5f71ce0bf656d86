"""Plain values for the tests of the store: alerts, notices, polls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from alertbot.alerts.alert import About, Alert, Change, Fingerprint, Reason, State
from alertbot.alerts.cards import Posted
from alertbot.alerts.delivery import Claimed, EditCard, PostCard, PostLine, PostOps
from alertbot.alerts.notice import Notice, NoticeKind, notice_id
from alertbot.evaluation.measure import Measure
from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.feed.health import Feed
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.rule import Level
from alertbot.store.records import PollRecord
from alertbot.store.roles import Store

T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SALES = "#cc-sales"
ME = "the deliverer"


def at(seconds: float) -> datetime:
    """That many seconds after T0."""
    return T0 + timedelta(seconds=seconds)


def key(entity: str = "103", rule: str = "longest-wait", tenant: str = "acme") -> Fingerprint:
    return Fingerprint(tenant, rule, Scope.QUEUE, "", entity)


def firing(entity: str = "103", *, level: Level = Level.WARNING, value: float = 72_000.0, **more: Any) -> Alert:
    """An alert that has been firing since T0, without an id."""
    values: dict[str, Any] = {
        "key": key(entity, more.pop("rule", "longest-wait"), more.pop("tenant", "acme")),
        "entity_name": f"Queue {entity}",
        "about": About("Longest wait in queue", "interactionsLongestWaitInQueue.rt > 60s", labels={"team": "sales"}),
        "state": State.FIRING,
        "level": level,
        "since": {level: T0},
        "fired_at": T0,
        "measure": Measure("interactionsLongestWaitInQueue.rt", ValueType.DURATION, ">", value, 60_000.0),
        "peak": value,
        "peak_at": T0,
        "highest": level,
        "seen_at": T0,
    }
    return Alert(**{**values, **more})


def pending(entity: str = "103", **more: Any) -> Alert:
    values: dict[str, Any] = {"state": State.PENDING, "fired_at": None, "highest": None, "pending_since": T0}
    return firing(entity, **{**values, **more})


def begins(alert: Alert) -> Change:
    return Change(None, alert, Reason.FIRED if alert.fired_at else None, "it began")


def new_value(alert: Alert, value: float, now: datetime) -> Change:
    """Only the value changed."""
    assert alert.measure is not None
    return Change(
        alert,
        replace(alert, measure=replace(alert.measure, value=value), peak=value, seen_at=now),
        None,
        "the value changed",
    )


def rises(alert: Alert, now: datetime) -> Change:
    after = replace(alert, level=Level.CRITICAL, highest=Level.CRITICAL, seen_at=now)
    return Change(alert, after, Reason.LEVEL_UP, "worse")


def ends(alert: Alert, now: datetime, reason: Reason = Reason.RESOLVED) -> Change:
    after = replace(alert, state=State.INACTIVE, ended_at=now, end_reason=reason, seen_at=now)
    return Change(alert, after, reason, "it has ended")


def notice(
    alert: Alert,
    kind: NoticeKind = NoticeKind.CARD,
    reason: Reason = Reason.FIRED,
    *,
    channel: str = SALES,
    now: datetime = T0,
    **more: Any,
) -> Notice:
    return Notice(
        id=notice_id(alert.key, reason, channel, now),
        kind=kind,
        alert=alert.key,
        channel=channel,
        reason=reason,
        level=more.pop("level", alert.level),
        at=now,
        **more,
    )


def line(alert: Alert, reason: Reason, *, now: datetime, **more: Any) -> Notice:
    return notice(alert, NoticeKind.LINE, reason, now=now, **more)


def ops(text: str, *, now: datetime = T0, channel: str = "#cc-ops") -> Notice:
    return Notice(
        id=notice_id((text,), Reason.OPERATIONS, channel, now),
        kind=NoticeKind.OPS,
        alert=None,
        channel=channel,
        reason=Reason.OPERATIONS,
        level=Level.WARNING,
        at=now,
        text=text,
    )


def poll(
    changes: Sequence[Change] = (),
    notices: Sequence[Notice] = (),
    *,
    now: datetime = T0,
    tenant: str = "acme",
    **more: Any,
) -> PollRecord:
    return PollRecord(tenant, now, more.pop("feed", Feed(tenant, now, now)), changes, notices, **more)


def snapshot(now: datetime = T0, scope: Scope = Scope.QUEUE) -> Snapshot:
    """Two entities with numbers, text, and a missing value of each kind."""
    return Snapshot(
        scope=scope,
        at=now,
        ids=("103", "104"),
        names=("Sales EU", 'Tuki "päivystys"\n'),
        columns={
            "waiting.rt": Column(np.array([3.0, 0.0]), np.array([0, 0], np.uint8)),
            "slaPercentage.today": Column(
                np.array([np.nan, 0.1 + 0.2]), np.array([Presence.NULL, Presence.PRESENT], np.uint8)
            ),
            "status.rt": Column(
                np.array(["OnBreak", ""], np.object_), np.array([Presence.PRESENT, Presence.INVALID], np.uint8)
            ),
        },
        parent_ids=("7", ""),
        parent_names=("North", ""),
        complete=False,
        problems=("page 2: 503",),
    )


def assert_same_snapshot(left: Snapshot, right: Snapshot) -> None:
    """Equal in every part; arrays cannot be compared with ==."""
    for name in ("scope", "at", "ids", "names", "parent_ids", "parent_names", "complete", "problems"):
        assert getattr(left, name) == getattr(right, name), name
    assert set(left.columns) == set(right.columns)
    for metric, column in left.columns.items():
        other = right.columns[metric]
        assert column.values.dtype == other.values.dtype
        assert column.presence.dtype == other.presence.dtype
        np.testing.assert_array_equal(column.values, other.values)
        np.testing.assert_array_equal(column.presence, other.presence)


def posts(store: Store, now: datetime) -> list[PostCard | PostLine | PostOps]:
    """What is due to be posted."""
    return [due for due in store.due(now) if not isinstance(due, EditCard)]


def edits(store: Store, now: datetime) -> list[EditCard]:
    """The cards that are due for an edit."""
    return [due for due in store.due(now) if isinstance(due, EditCard)]


def post(store: Store, due: PostCard | PostLine | PostOps, now: datetime, *, channel_id: str = "C1") -> Posted:
    """Deliver one due post as a notifier would: claim, message, mark."""
    posted = Posted(channel_id, f"{now.timestamp():.6f}")
    assert store.claim(due.notice.id, ME, now, due.intent_at) is Claimed.DONE
    store.delivered(due.notice.id, posted, due.card.version if isinstance(due, PostCard) else 0, now)
    return posted


def one(store: Store, alert: Alert | Fingerprint) -> Alert:
    """The alert of that fingerprint that has not ended."""
    wanted = alert.key if isinstance(alert, Alert) else alert
    return next(each for each in store.alerts(wanted.tenant) if each.key == wanted)


def begin(store: Store, alert: Alert, now: datetime = T0, channel: str = SALES, **more: Any) -> Alert:
    """Make an alert fire with a card notice; the alert as stored."""
    store.record(
        poll([begins(alert)], [notice(alert, channel=channel, now=now, **more)], now=now, tenant=alert.key.tenant)
    )
    return one(store, alert)


def begin_posted(store: Store, alert: Alert, now: datetime = T0, channel: str = SALES) -> Alert:
    """The same, with its card posted (and everything else that is due)."""
    stored = begin(store, alert, now, channel)
    for each in posts(store, now):
        post(store, each, now)
    return stored
