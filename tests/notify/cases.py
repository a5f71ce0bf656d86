"""Alerts, cards and lines that the tests of this room share: plain values, fixed times."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from alertbot.alerts.alert import About, Alert, Fingerprint, Reason, State
from alertbot.alerts.notice import Notice, NoticeKind, notice_id
from alertbot.alerts.silence import Matcher, Silence
from alertbot.evaluation.measure import Measure
from alertbot.notify.notifier import CardContent, LineContent
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.rule import Level

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ZONE = "Europe/Helsinki"
NASTY = "<!channel> @here & <http://x|y>"

FIRING = Alert(
    key=Fingerprint("acme", "longest-wait", Scope.QUEUE, "", "103"),
    entity_name="Sales EU",
    about=About(
        title="Longest wait in queue",
        condition="interactionsLongestWaitInQueue.rt > $crit",
        runbook="https://wiki.example/longest-wait?a=1&b=2",
        labels={"team": "sales"},
    ),
    state=State.FIRING,
    level=Level.CRITICAL,
    since={Level.CRITICAL: NOW - timedelta(minutes=5)},
    id=17,
    fired_at=NOW - timedelta(minutes=5),
    measure=Measure("interactionsLongestWaitInQueue.rt", ValueType.DURATION, ">", 130_000.0, 120_000.0),
    peak=140_000.0,
    peak_at=NOW - timedelta(minutes=2),
    highest=Level.CRITICAL,
    seen_at=NOW,
)
WARNING = replace(
    FIRING,
    level=Level.WARNING,
    measure=Measure("interactionsLongestWaitInQueue.rt", ValueType.DURATION, ">", 70_000.0, 60_000.0),
    peak=70_000.0,
    highest=Level.WARNING,
)
FALLEN = replace(WARNING, highest=Level.CRITICAL, peak=140_000.0)
RECOVERING = replace(
    FIRING,
    state=State.RECOVERING,
    recovering_since=NOW - timedelta(seconds=30),
    measure=Measure("interactionsLongestWaitInQueue.rt", ValueType.DURATION, ">", 30_000.0, 120_000.0),
)
ACKED = replace(FIRING, acked_by="U0ALICE00", acked_at=NOW - timedelta(minutes=1), ack_note="calling in Sam")
RESOLVED = replace(
    ACKED,
    state=State.INACTIVE,
    ended_at=NOW,
    end_reason=Reason.RESOLVED,
    measure=Measure("interactionsLongestWaitInQueue.rt", ValueType.DURATION, ">", 20_000.0, 120_000.0),
)
LOW_SERVICE = replace(
    FIRING,
    about=About(title="Service level of the last 30 minutes", condition="slaPercentage.int-30m < 80%"),
    level=Level.INFO,
    measure=Measure("slaPercentage.int-30m", ValueType.RATIO, "<", 0.715, 0.8),
    peak=0.62,
    highest=Level.INFO,
)
NASTY_ALERT = replace(
    FIRING,
    entity_name=NASTY,
    parent_name="*bold* _it_ ~no~ `code` > quote\n:tada: \x1b[31mred",
    key=Fingerprint("acme & sons <b>", "longest-wait", Scope.QUEUE_AGENT, "1", "103"),
    about=replace(FIRING.about, condition='status.rt == "`<!here>`"', labels={"<@U0ALICE00>": "<!everyone>"}),
    acked_by="<!channel>",
    acked_at=NOW,
    ack_note="*see* <@U0ALICE00> & #general",
)
LONG_ALERT = replace(
    FIRING,
    entity_name="Sehr lange Warteschlange 🐢 " * 40,
    about=replace(
        FIRING.about,
        title="A title that goes on and on " * 20,
        condition="a.rt > 1 and " * 200 + "b.rt > 2",
        labels={f"label-{n}": "x" * 200 for n in range(30)},
    ),
    acked_by="U0ALICE00",
    acked_at=NOW,
    ack_note="<&>" * 1000,
)

CARDS = {
    "firing": FIRING,
    "warning": WARNING,
    "fallen": FALLEN,
    "recovering": RECOVERING,
    "acknowledged": ACKED,
    "resolved": RESOLVED,
    "no-longer-reported": replace(RESOLVED, end_reason=Reason.NO_LONGER_REPORTED),
    "closed-by-hand": replace(
        RESOLVED, end_reason=Reason.CLOSED_BY_HAND, closed_by="U0ALICE00", close_note="a call is *stuck*"
    ),
    "low-service": LOW_SERVICE,
    "nasty-names": NASTY_ALERT,
    "very-long": LONG_ALERT,
}


def card(alert: Alert = FIRING, **more: Any) -> CardContent:
    return CardContent((alert,), NOW, timezone=ZONE, **more)


def notice(
    reason: Reason = Reason.FIRED,
    *,
    alert: Alert = FIRING,
    channel: str = "#cc-alerts",
    at: datetime = NOW,
    **more: Any,
) -> Notice:
    kind = more.pop("kind", NoticeKind.CARD if reason is Reason.FIRED else NoticeKind.LINE)
    return Notice(
        id=notice_id(alert.key, reason, channel, at),
        kind=kind,
        alert=alert.key,
        channel=channel,
        reason=reason,
        level=alert.level,
        at=at,
        text=more.pop("text", "2m 10s is above 2m for 30s"),
        measure=alert.measure,
        **more,
    )


def line(reason: Reason = Reason.LEVEL_UP, *, alert: Alert = FIRING, **more: Any) -> LineContent:
    return LineContent(notice(reason, alert=alert, **more), alert, timezone=ZONE)


SILENCE = Silence(18, Matcher((("name", "Sales EU"),)), NOW, NOW + timedelta(hours=2), "U0BOB0000", "new phones", NOW)

LINES = {
    "silence-ended": line(Reason.SILENCE_ENDED),
    "rising": line(Reason.LEVEL_UP, mention=("<!subteam^S0123>",), broadcast=True),
    "falling": line(Reason.LEVEL_DOWN, alert=FALLEN, text="1m 10s is no longer above 2m, but above 1m"),
    "acknowledged": line(Reason.ACKNOWLEDGED, alert=ACKED, text="calling in Sam", by="U0ALICE00"),
    "given-back": line(Reason.UNACKNOWLEDGED, text="", by="alice"),
    "closed-by-hand": line(Reason.CLOSED_BY_HAND, alert=RESOLVED, text="a call is *stuck*", by="U0ALICE00"),
    "resolved": line(Reason.RESOLVED, alert=RESOLVED, text="20s is no longer above 2m"),
    "no-longer-reported": line(Reason.NO_LONGER_REPORTED, alert=RESOLVED, text="not reported any more for 3 polls"),
    "nasty": line(Reason.LEVEL_UP, alert=NASTY_ALERT, text=f"{NASTY} is *above* it", mention=("<!everyone|x>",)),
}
