"""Finds and repairs contradictions in the database. Each function works inside the caller's transaction.

`find` only reads. `repair` finds again, in the transaction in which it writes, so it never undoes a change that another
process has made since. All queries start from what is open or waiting, so the cost does not grow with history.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from alertbot.alerts.alert import Reason
from alertbot.alerts.audit import AuditFinding, AuditKind
from alertbot.alerts.cards import Card, leading
from alertbot.alerts.notice import Notice, NoticeKind, notice_id
from alertbot.store import codec
from alertbot.store.codec import stamp
from alertbot.store.sql import cards
from alertbot.store.sql import record as recording
from alertbot.store.sql.connection import Connection, Row
from alertbot.store.sql.record import NO_ESCALATION, raise_revision

SETTLED = timedelta(minutes=1)
"""A more recent change may still be on its way to Slack."""
STUCK_AFTER = timedelta(hours=1)
RECENTLY_ENDED = timedelta(hours=1)
_NOT_REPORTED = timedelta(minutes=10)  # far more than a poll takes to report an alert that fires
_MAX_CARDS = 500  # that are compared with Slack in one audit

_NO_OPEN_MEMBER = """NOT EXISTS (
    SELECT 1 FROM card_alerts m JOIN alerts a ON a.id = m.alert_id WHERE m.card_id = c.id AND a.ended_at IS NULL
)"""
_OPEN_CARDS = f"SELECT c.* FROM cards c INDEXED BY cards_one_open WHERE c.ended_at IS NULL AND {_NO_OPEN_MEMBER}"  # noqa: S608
_CLOSED_CARDS = """
    SELECT DISTINCT c.*, EXISTS (
        SELECT 1 FROM cards o WHERE o.tenant = c.tenant AND o.group_key = c.group_key
            AND o.wanted_channel = c.wanted_channel AND o.ended_at IS NULL
    ) AS replaced
    FROM alerts a INDEXED BY alerts_open CROSS JOIN card_alerts m ON m.alert_id = a.id JOIN cards c ON c.id = m.card_id
    WHERE a.ended_at IS NULL AND c.ended_at IS NOT NULL AND c.state IN ('waiting', 'posted')
        AND NOT EXISTS (
            SELECT 1 FROM card_alerts n JOIN cards o ON o.id = n.card_id
            WHERE n.alert_id = a.id AND o.wanted_channel = c.wanted_channel AND o.ended_at IS NULL
                AND (o.group_key LIKE 'escalation:%') = (c.group_key LIKE 'escalation:%')
        )
"""
_CARDS_WITHOUT_NOTICE = """
    SELECT c.* FROM cards c INDEXED BY cards_one_open
    WHERE c.ended_at IS NULL AND c.state = 'waiting' AND NOT EXISTS (
        SELECT 1 FROM notices n WHERE n.card_id = c.id AND n.kind = 'card' AND n.state = 'waiting'
    )
"""
_NOTICES_OF_POSTED = """
    SELECT n.id, n.tenant, n.channel, c.id AS card_id, c.posted_channel_id, c.posted_ts
    FROM notices n INDEXED BY notices_waiting CROSS JOIN cards c ON c.id = n.card_id
    WHERE n.state = 'waiting' AND n.kind = 'card' AND n.lead IS NULL AND c.state = 'posted'
"""
_ORPHANS = """
    SELECT n.id, n.tenant, n.channel, n.kind, n.reason, l.state AS lead_state
    FROM notices n INDEXED BY notices_waiting
        LEFT JOIN cards c ON c.id = n.card_id LEFT JOIN notices l ON l.id = n.lead
    WHERE n.state = 'waiting' AND n.kind <> 'ops' AND CASE
        WHEN n.lead IS NOT NULL THEN l.id IS NULL OR l.state <> 'waiting'
        ELSE c.id IS NULL OR c.state IN ('given_up', 'gone') END
"""
_AS_ITS_LEAD = """
    UPDATE notices SET (state, settled_at, error, channel, posted_channel_id, posted_ts) = (
        SELECT l.state, l.settled_at, l.error, l.channel, l.posted_channel_id, l.posted_ts
        FROM notices l WHERE l.id = notices.lead
    ) WHERE id = ?
"""
_WITHOUT_CARD = f"""
    SELECT a.id, a.tenant, a.rule, a.entity_id, a.fired_at, a.reported_level
    FROM alerts a INDEXED BY alerts_open
    WHERE a.ended_at IS NULL AND a.state = 'firing' AND a.muted IS NULL AND NOT EXISTS (
        SELECT 1 FROM card_alerts m JOIN cards c ON c.id = m.card_id
        WHERE m.alert_id = a.id AND c.state IN ('waiting', 'posted') AND {NO_ESCALATION}
    )
"""  # noqa: S608
_STUCK = """
    SELECT n.id, n.channel, n.kind, n.at, COALESCE(p.rest_until, '') AS rested, COALESCE(p.held_until, '') AS held
    FROM notices n INDEXED BY notices_waiting
        LEFT JOIN cards c ON c.id = n.card_id LEFT JOIN channels p ON p.channel = n.channel
    WHERE n.state = 'waiting' AND n.lead IS NULL AND n.error = '' AND n.at < :old
        AND (n.kind = 'ops' OR n.kind = 'card' AND c.state = 'waiting' OR n.kind = 'line' AND c.state = 'posted')
        AND (p.rest_until IS NULL OR p.rest_until < :lately)
        AND (p.held_until IS NULL OR p.held_until < :now)
"""


def find(conn: Connection, now: datetime) -> list[AuditFinding]:
    return _audit(conn, now, write=False)


def repair(conn: Connection, now: datetime) -> list[AuditFinding]:
    return _audit(conn, now, write=True)


def _audit(conn: Connection, now: datetime, *, write: bool) -> list[AuditFinding]:
    return [
        *_open_cards(conn, now, write),
        *_closed_cards(conn, now, write),
        *_cards_without_notice(conn, now, write),
        *_notices_of_posted(conn, now, write),
        *_orphans(conn, now, write),
        *_without_card(conn, now, write),
        *_stuck(conn, now),
    ]


def _open_cards(conn: Connection, now: datetime, write: bool) -> list[AuditFinding]:
    rows = conn.execute(_OPEN_CARDS).fetchall()
    for row in rows if write else ():
        conn.execute(
            "UPDATE cards SET ended_at = COALESCE((SELECT max(a.ended_at) FROM card_alerts m "
            "JOIN alerts a ON a.id = m.alert_id WHERE m.card_id = cards.id), ?) WHERE id = ?",
            (stamp(now), row["id"]),
        )
        _outdate(conn, row["id"], now)
        raise_revision(conn, row["tenant"])
    text = "card {id} in {channel} was open although its alerts have ended"
    return [AuditFinding(AuditKind.OPEN_CARD, _about(text, row), True) for row in rows]


def _closed_cards(conn: Connection, now: datetime, write: bool) -> list[AuditFinding]:
    rows = conn.execute(_CLOSED_CARDS).fetchall()
    for row in rows if write else ():
        if not row["replaced"]:
            conn.execute("UPDATE cards SET ended_at = NULL WHERE id = ?", (row["id"],))
            _outdate(conn, row["id"], now)
            raise_revision(conn, row["tenant"])
    text = "card {id} in {channel} was closed although one of its alerts has not ended"
    return [AuditFinding(AuditKind.CLOSED_CARD, _about(text, row), not row["replaced"]) for row in rows]


def _cards_without_notice(conn: Connection, now: datetime, write: bool) -> list[AuditFinding]:
    rows = conn.execute(_CARDS_WITHOUT_NOTICE).fetchall()
    for row in rows if write else ():
        members = conn.execute(
            "SELECT a.* FROM card_alerts m JOIN alerts a ON a.id = m.alert_id WHERE m.card_id = ?", (row["id"],)
        ).fetchall()
        worst = leading([codec.alert_of(member) for member in members])
        notice = Notice(
            id=notice_id(("audit", str(row["id"])), Reason.FIRED, row["channel"], now),
            kind=NoticeKind.CARD,
            alert=worst.key,
            channel=row["channel"],
            reason=Reason.FIRED,
            level=worst.level,
            at=now,
            measure=worst.measure,
        )
        recording.insert_notice(conn, notice, row["tenant"], NoticeKind.CARD, now=now, alert_id=worst.id, card=row)
    text = "card {id} in {channel} was waiting, and nothing would have posted it"
    return [AuditFinding(AuditKind.CARD_WITHOUT_NOTICE, _about(text, row), True) for row in rows]


def _notices_of_posted(conn: Connection, now: datetime, write: bool) -> list[AuditFinding]:
    rows = conn.execute(_NOTICES_OF_POSTED).fetchall()
    for row in rows if write else ():
        conn.execute(
            "UPDATE notices SET state = 'delivered', settled_at = ?, posted_channel_id = ?, posted_ts = ? WHERE id = ?",
            (stamp(now), row["posted_channel_id"], row["posted_ts"], row["id"]),
        )
    text = "card {card_id} in {channel} was already posted, and would have been posted again"
    return [AuditFinding(AuditKind.NOTICE_OF_POSTED_CARD, _about(text, row), True) for row in rows]


def _orphans(conn: Connection, now: datetime, write: bool) -> list[AuditFinding]:
    rows = conn.execute(_ORPHANS).fetchall()
    for row in rows if write else ():
        if row["lead_state"] is not None:
            conn.execute(_AS_ITS_LEAD, (row["id"],))
            continue
        conn.execute(
            "UPDATE notices SET state = 'given_up', settled_at = ?, error = ? WHERE id = ?",
            (stamp(now), "its card will not be posted", row["id"]),
        )
        recording.count(conn, row["tenant"], "given_up")
    text = "a message ({reason}) for {channel} was waiting for a card that will not be posted"
    return [AuditFinding(AuditKind.ORPHAN_NOTICE, _about(text, row), True) for row in rows]


def _without_card(conn: Connection, now: datetime, write: bool) -> list[AuditFinding]:
    rows = [
        row
        for row in conn.execute(_WITHOUT_CARD).fetchall()
        if row["reported_level"] is not None or row["fired_at"] < stamp(now - _NOT_REPORTED)
    ]
    for row in rows if write else ():
        if row["reported_level"] is not None:
            conn.execute("UPDATE alerts SET reported_level = NULL WHERE id = ?", (row["id"],))
            raise_revision(conn, row["tenant"])
    return [
        AuditFinding(
            AuditKind.ALERT_WITHOUT_CARD,
            f"alert #{row['id']} ({row['rule']}) of {row['tenant']} is firing but has no card",
            row["reported_level"] is not None,
        )
        for row in rows
    ]


def _stuck(conn: Connection, now: datetime) -> list[AuditFinding]:
    times = {"old": stamp(now - STUCK_AFTER), "lately": stamp(now - _NOT_REPORTED), "now": stamp(now)}
    return [
        AuditFinding(
            AuditKind.STUCK_MESSAGE,
            f"a message for {row['channel']} has been due since {row['at'][:16]}Z and was never attempted",
            False,
        )
        for row in conn.execute(_STUCK, times).fetchall()
    ]


def _about(text: str, row: Row) -> str:
    return text.format_map({key: row[key] for key in row.keys()})  # noqa: SIM118  # a Row has no items


def _outdate(conn: Connection, card_id: int, now: datetime) -> None:
    """Make a card due for an edit at once."""
    conn.execute(
        "UPDATE cards SET version = MAX(version, sent_version) + 1, urgent_version = MAX(version, sent_version) + 1, "
        "outdated_since = COALESCE(outdated_since, ?) WHERE id = ?",
        (stamp(now), card_id),
    )


# What is compared with Slack.

_SHOWN = """
    SELECT * FROM cards c INDEXED BY cards_one_open
    WHERE ended_at IS NULL AND state = 'posted' AND version = sent_version AND edited_at < :settled
    ORDER BY id LIMIT :limit
"""
_SHOWN_ENDED = """
    SELECT DISTINCT c.* FROM alerts a INDEXED BY alerts_ended
        CROSS JOIN card_alerts m ON m.alert_id = a.id JOIN cards c ON c.id = m.card_id
    WHERE a.ended_at >= :lately AND c.ended_at IS NOT NULL AND c.state = 'posted' AND c.version = c.sent_version
        AND c.edited_at < :settled
    ORDER BY c.id LIMIT :limit
"""


def shown_cards(conn: Connection, now: datetime) -> list[Card]:
    """The cards that Slack should show as they are now: the open ones, then those that ended lately."""
    times = {"settled": stamp(now - SETTLED), "lately": stamp(now - RECENTLY_ENDED), "limit": _MAX_CARDS}
    rows = [*conn.execute(_SHOWN, times).fetchall(), *conn.execute(_SHOWN_ENDED, times).fetchall()]
    return cards.all_with_members(conn, rows)


def outdate(conn: Connection, card: Card, now: datetime) -> bool:
    """Make a card due for an edit, if it is as it was read; whether it was."""
    row = conn.execute("SELECT * FROM cards WHERE id = ?", (card.id,)).fetchone()
    as_read = (card.version, card.sent_version, card.posted)
    if row is None or (row["version"], row["sent_version"], codec.posted_of(row)) != as_read:
        return False
    _outdate(conn, card.id, now)
    return True
