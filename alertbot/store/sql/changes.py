"""What users change about one alert: each decided on what is there, inside the caller's transaction.

Whatever else is written about the alert, by a poll or by another user, is written before or after: so of two that
change it at once one is first, and the other one's answer is the alert as the first left it. A poll that was decided
before the change is refused (`record`), since each of these raises the tenant's revision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from alertbot.alerts import grouping
from alertbot.alerts.alert import Alert, Outcome, Reason
from alertbot.alerts.notice import Notice, NoticeKind, notice_id
from alertbot.alerts.transition import close_by_hand
from alertbot.store import codec
from alertbot.store.sql import record as recording
from alertbot.store.sql.connection import Connection

Result = tuple[Outcome, Alert | None]

_MEMBERS = "SELECT a.* FROM card_alerts m JOIN alerts a ON a.id = m.alert_id WHERE m.card_id = ? ORDER BY a.id"
_OPEN_MEMBERS = (
    "SELECT a.* FROM card_alerts m JOIN alerts a ON a.id = m.alert_id "
    "WHERE m.card_id = ? AND a.ended_at IS NULL ORDER BY a.id"
)
_CARDS_OF = (
    "SELECT c.wanted_channel, c.group_key FROM card_alerts m JOIN cards c ON c.id = m.card_id "  # noqa: S608  # built-in names only
    f"WHERE m.alert_id = ? AND c.state IN ('waiting', 'posted') AND {recording.NO_ESCALATION} ORDER BY c.id"
)


def alert(conn: Connection, alert_id: int) -> Alert | None:
    row = conn.execute("SELECT * FROM alerts WHERE id = ?", (alert_id,)).fetchone()
    return None if row is None else codec.alert_of(row)


def acknowledge(conn: Connection, alert_id: int, by: str, note: str, now: datetime) -> Result:
    found = alert(conn, alert_id)
    if found is None or found.ended_at is not None:
        return _gone(found)
    if found.acked_by is not None:
        return Outcome.ALREADY, found
    after = replace(found, acked_by=by, acked_at=now, ack_note=note, nagged=False)
    _set_owner(conn, after)
    _report(conn, [after], Reason.ACKNOWLEDGED, by, note, now)
    return Outcome.DONE, after


def acknowledge_card(conn: Connection, card_id: int, by: str, now: datetime) -> Result:
    members = [codec.alert_of(row) for row in conn.execute(_MEMBERS, (card_id,)).fetchall()]
    left = [member for member in members if member.ended_at is None]
    free = [member for member in left if member.acked_by is None]
    after = [replace(member, acked_by=by, acked_at=now, ack_note="", nagged=False) for member in free]
    if not members:
        return Outcome.UNKNOWN_ID, None
    if not left:
        return Outcome.ENDED, members[0]
    if not after:
        return Outcome.ALREADY, left[0]
    for member in after:
        _set_owner(conn, member)
    _report(conn, after, Reason.ACKNOWLEDGED, by, "", now)
    return Outcome.DONE, after[0]


def unacknowledge(conn: Connection, alert_id: int, by: str, now: datetime, *, own: bool) -> Result:
    found = alert(conn, alert_id)
    if found is None or found.ended_at is not None:
        return _gone(found)
    if found.acked_by is None:
        return Outcome.NOT_ACKNOWLEDGED, found
    if own and found.acked_by != by:
        return Outcome.OTHER_OWNER, found
    return Outcome.DONE, _give_back(conn, [found], by, now)


def unacknowledge_card(conn: Connection, card_id: int, by: str, now: datetime) -> Result:
    left = open_members(conn, card_id)
    if not left:
        row = conn.execute(f"{_MEMBERS} LIMIT 1", (card_id,)).fetchone()
        return _gone(None if row is None else codec.alert_of(row))
    owned = [member for member in left if member.acked_by is not None]
    own = [member for member in owned if member.acked_by == by]
    if not own:
        return (Outcome.OTHER_OWNER, owned[0]) if owned else (Outcome.NOT_ACKNOWLEDGED, left[0])
    return Outcome.DONE, _give_back(conn, own, by, now)


def open_members(conn: Connection, card_id: int) -> list[Alert]:
    return [codec.alert_of(row) for row in conn.execute(_OPEN_MEMBERS, (card_id,)).fetchall()]


def _give_back(conn: Connection, owned: Sequence[Alert], by: str, now: datetime) -> Alert:
    """Take the owner off each of these alerts of one tenant; the first of them as it is then."""
    after = [replace(alert, acked_by=None, acked_at=None, ack_note="", nagged=False) for alert in owned]
    for alert in after:
        _set_owner(conn, alert)
    _report(conn, after, Reason.UNACKNOWLEDGED, by, "", now)
    return after[0]


def resolve(conn: Connection, alert_id: int, by: str, why: str, now: datetime) -> Result:
    found = alert(conn, alert_id)
    if found is None or found.ended_at is not None:
        return _gone(found)
    after = close_by_hand(found, by, why, now)
    conn.execute(
        "UPDATE alerts SET state = :state, since = :since, ended_at = :ended_at, end_reason = :end_reason, "
        "missed_polls = :missed_polls, latched = TRUE, closed_by = :by, close_note = :why WHERE id = :id",
        {**codec.alert_values(after), "by": by, "why": why, "id": alert_id},
    )
    # Reported before its cards end: after that there is no thread for the line.
    _report(conn, [after], Reason.CLOSED_BY_HAND, by, why, now)
    recording.end_cards(conn, alert_id, now)
    if after.fired_at is not None and not after.shadow:
        recording.count(conn, after.key.tenant, "resolved")
    return Outcome.DONE, after


def _gone(found: Alert | None) -> Result:
    return (Outcome.UNKNOWN_ID if found is None else Outcome.ENDED), found


def _set_owner(conn: Connection, after: Alert) -> None:
    conn.execute(
        "UPDATE alerts SET acked_by = ?, acked_at = ?, ack_note = ?, nagged = FALSE WHERE id = ?",
        (after.acked_by, codec.maybe_stamp(after.acked_at), after.ack_note, after.id),
    )


def _report(conn: Connection, alerts: Sequence[Alert], reason: Reason, by: str, text: str, now: datetime) -> None:
    """Show it on the cards of these alerts of one tenant, and in their threads: one line on a card that they share."""
    messages: dict[tuple[str, str], list[Notice]] = {}
    for after in alerts:
        for card in conn.execute(_CARDS_OF, (after.id,)).fetchall():
            line = Notice(
                id=notice_id((*after.key, by), reason, card["wanted_channel"], now),
                kind=NoticeKind.LINE,
                alert=after.key,
                channel=card["wanted_channel"],
                reason=reason,
                level=after.level,
                at=now,
                text=text,
                measure=after.measure,
                by=by,
            )
            messages.setdefault((card["wanted_channel"], card["group_key"]), []).append(line)
    lines = [line for about in messages.values() for line in grouping.lines(about)]
    ids = {after.key: after.id for after in alerts if after.id is not None}
    recording.bump_cards(conn, list(ids.values()), now)
    recording.raise_revision(conn, alerts[0].key.tenant)
    recording.add_notices(conn, alerts[0].key.tenant, lines, ids, now)
