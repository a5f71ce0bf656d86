"""What `history` deletes: alerts that ended long ago, with all that was sent. Works inside the caller's transaction.

Alerts are deleted in small batches, so that a poll never waits long for the database. All rows that refer to a deleted
row are deleted with it:

- an alert is deleted when it ended before the limit, unless it is latched (closed by hand, and its condition has held
  since: the latch is the row), has a notice that still waits, or is on a card with a member that ended later. So a card
  and its members are always deleted together, and a card that is open for months keeps counting those of its members
  that ended;
- a post to the fallback webhook that still waits keeps its alert for a day longer: after that it is of no use, and it
  would wait forever if the webhook was removed from the configuration;
- its cards, what was reported about it, and messages that were left behind are deleted in the same transaction;
- operational messages and silences have no alert: they are deleted if they were settled, or ended, before the limit.

Short ids are never reused: `new_ids` counts on from the highest that was ever given.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from alertbot.alerts.fallback import MAX_AGE
from alertbot.store.codec import stamp
from alertbot.store.sql.connection import Connection

_OLD = """
    FROM alerts a WHERE a.ended_at <= :before AND NOT a.latched
        AND NOT EXISTS (SELECT 1 FROM notices n WHERE n.alert_id = a.id AND n.state = 'waiting')
        AND NOT (a.ended_at > :late
            AND EXISTS (SELECT 1 FROM fallback_posts p WHERE p.alert_id = a.id AND p.state = 'waiting'))
        AND (
            SELECT count(*) FROM card_alerts m JOIN cards c ON c.id = m.card_id
            WHERE m.alert_id = a.id AND (c.ended_at IS NULL OR c.ended_at > :before)
        ) = 0
"""
# The cards are counted: for NOT EXISTS, PostgreSQL would first read all cards, and keep those that have not ended.
_ALERTS = f"SELECT a.id {_OLD} ORDER BY a.ended_at, a.id LIMIT :limit"
_COUNT = f"SELECT count(*) {_OLD}"
_NAMED = "(SELECT CAST(value AS BIGINT) FROM json_each(:ids))"
_MESSAGES = "(SELECT value FROM json_each(:ids))"
_EMPTY_CARDS = f"""
    SELECT DISTINCT m.card_id FROM card_alerts m WHERE m.alert_id IN {_NAMED}
        AND NOT EXISTS (
            SELECT 1 FROM card_alerts o WHERE o.card_id = m.card_id AND o.alert_id NOT IN {_NAMED}
        )
"""  # noqa: S608  # built-in text only
# Carried notices point to their lead: they are cut off first, since either may be about an alert that stays.
_OF_ALERTS = (
    f"DELETE FROM fallback_posts WHERE alert_id IN {_NAMED}",  # noqa: S608
    f"UPDATE notices SET lead = NULL WHERE lead IN (SELECT id FROM notices WHERE alert_id IN {_NAMED})",  # noqa: S608
    f"DELETE FROM notices WHERE alert_id IN {_NAMED}",  # noqa: S608
    f"DELETE FROM card_alerts WHERE alert_id IN {_NAMED}",  # noqa: S608
)
_ALERTS_THEMSELVES = (f"DELETE FROM alerts WHERE id IN {_NAMED}",)  # noqa: S608
_OF_CARDS = (
    f"UPDATE notices SET lead = NULL WHERE lead IN (SELECT id FROM notices WHERE card_id IN {_NAMED})",  # noqa: S608
    f"DELETE FROM notices WHERE card_id IN {_NAMED}",  # noqa: S608
    f"DELETE FROM former_messages WHERE card_id IN {_NAMED}",  # noqa: S608
    f"DELETE FROM cards WHERE id IN {_NAMED}",  # noqa: S608
)
_OPERATIONAL = """
    SELECT id FROM notices INDEXED BY notices_operational
    WHERE alert_id IS NULL AND at <= :before AND state <> 'waiting' ORDER BY at LIMIT :limit
"""
_SILENCES = "DELETE FROM silences WHERE id IN (SELECT id FROM silences WHERE ended_at <= :before LIMIT :limit)"


def old_alerts(conn: Connection, before: datetime) -> int:
    (found,) = conn.execute(_COUNT, _times(before)).fetchone()
    return int(found)


def _times(before: datetime) -> dict[str, str]:
    return {"before": stamp(before), "late": stamp(before - MAX_AGE)}


def delete(conn: Connection, before: datetime, limit: int) -> int:
    """Delete at most `limit` alerts, messages and silences each; the number of all of them."""
    old = {**_times(before), "limit": limit}
    ids = [row[0] for row in conn.execute(_ALERTS, old)]
    cards = [row[0] for row in conn.execute(_EMPTY_CARDS, {"ids": json.dumps(ids)})]
    messages = [row[0] for row in conn.execute(_OPERATIONAL, old)]
    _run(conn, _OF_ALERTS, ids)
    _run(conn, _OF_CARDS, cards)
    _run(conn, _ALERTS_THEMSELVES, ids)
    _run(conn, (f"UPDATE notices SET lead = NULL WHERE lead IN {_MESSAGES}",), messages)  # noqa: S608  # as above
    _run(conn, (f"DELETE FROM notices WHERE id IN {_MESSAGES}",), messages)  # noqa: S608  # as above
    silences = conn.execute(_SILENCES, old).rowcount
    return len(ids) + len(messages) + silences


def _run(conn: Connection, statements: Sequence[str], ids: Sequence[object]) -> None:
    if ids:
        for statement in statements:
            conn.execute(statement, {"ids": json.dumps(ids)})
