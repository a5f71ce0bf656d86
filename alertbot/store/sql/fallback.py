"""What is posted to `slack.fallback_webhook`. Each function works inside the caller's transaction.

A row is decided in the transaction that reads what it depends on: the notices that wait for Slack, the alert, and the
rows that exist. So an alert is posted once per level, however many processes look. A row that is no longer needed
(Slack accepted the message, the alert ended or is muted now) is deleted if it was certainly not received. One that may
have been received is sent until it certainly was; then its end is sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from alertbot.alerts.fallback import ALARMS, MAX_AGE, FallbackPost, NewPost, PostKind
from alertbot.rules.rule import Level
from alertbot.store import codec
from alertbot.store.codec import stamp
from alertbot.store.sql.connection import Connection

Draw = Callable[[NewPost], str]

MAX_NEW = 100
"""What one transaction decides at most: writing the JSON of a storm of thousands would keep polls waiting."""
# The longest wait that is written is an hour: a later time was written before the clock was set back.
_MAX_WAIT = timedelta(hours=1, minutes=1)
_ALARMS = ", ".join(f"'{reason}'" for reason in sorted(ALARMS))
_UNDELIVERED = f"""
    SELECT a.*, n.waiting_since, n.channels, n.problem FROM (
        SELECT alert_id, min(at) AS waiting_since, json_group_array(DISTINCT channel) AS channels, max(error) AS problem
        FROM notices INDEXED BY notices_waiting
        WHERE state = 'waiting' AND kind <> 'ops' AND reason IN ({_ALARMS}) AND alert_id IS NOT NULL
        GROUP BY alert_id HAVING min(at) <= :before OR max(at) > :ahead
    ) n CROSS JOIN alerts a ON a.id = n.alert_id
    WHERE a.state = 'firing' AND a.muted IS NULL AND a.level IN (SELECT value FROM json_each(:levels))
    ORDER BY n.waiting_since, a.id
"""  # noqa: S608  # built-in names only
_WAITING = "SELECT id, alert_id, kind, level, maybe_sent FROM fallback_posts WHERE state = 'waiting'"
_INCIDENT = """
    SELECT json_extract(body, '$.incident') FROM fallback_posts
    WHERE alert_id = ? AND json_valid(body) ORDER BY rowid LIMIT 1
"""
_KNOWN = "SELECT 1 FROM fallback_posts WHERE alert_id = ? AND kind = 'firing' AND level = ?"
# Alerts of which something was posted, or may have been, and that have ended since.
_ENDED = """
    SELECT a.* FROM (
        SELECT DISTINCT alert_id FROM fallback_posts INDEXED BY fallback_posts_open
        WHERE kind = 'firing' AND closed = 0 AND (state = 'sent' OR maybe_sent)
    ) f CROSS JOIN alerts a ON a.id = f.alert_id
    WHERE a.ended_at IS NOT NULL ORDER BY a.ended_at, a.id LIMIT :limit
"""
_INSERT = """
    INSERT INTO fallback_posts (id, alert_id, kind, level, decided_at, body)
    VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
# The end of an alert comes after what was posted before about it.
_DUE = """
    SELECT * FROM fallback_posts p
    WHERE p.state = 'waiting' AND (p.not_before IS NULL OR p.not_before <= :now OR p.not_before > :longest)
        AND NOT (p.kind = 'resolved' AND EXISTS (
            SELECT 1 FROM fallback_posts f WHERE f.alert_id = p.alert_id AND f.kind = 'firing' AND f.state = 'waiting'
        ))
    ORDER BY p.attempts, p.decided_at, p.rowid LIMIT :limit
"""


@dataclass(frozen=True)
class _Plan:
    new: list[NewPost]
    dropped: list[str]  # ids
    ended: list[int]  # alerts whose end is decided


def _plan(conn: Connection, levels: Collection[Level], after: timedelta, now: datetime) -> _Plan:
    words = json.dumps([level.word for level in levels])
    # A time so far ahead was written before the clock was set back: how long that message waits is not known.
    times = {"before": stamp(now - after), "ahead": stamp(now + after)}
    found = conn.execute(_UNDELIVERED, {**times, "levels": words}).fetchall()
    wanted = {(row["id"], row["level"]) for row in found}
    dropped = [
        row["id"]
        for row in conn.execute(_WAITING).fetchall()
        if row["kind"] == PostKind.FIRING and not row["maybe_sent"] and (row["alert_id"], row["level"]) not in wanted
    ]
    ended = [codec.alert_of(row) for row in conn.execute(_ENDED, {"limit": MAX_NEW}).fetchall()]
    late = now - MAX_AGE
    new = [NewPost(PostKind.RESOLVED, alert, now) for alert in ended if alert.ended_at and alert.ended_at > late]
    for row in found:
        if len(new) >= MAX_NEW:
            break
        if conn.execute(_KNOWN, (row["id"], row["level"])).fetchone() is None:
            since, channels = min(codec.unstamp(row["waiting_since"]), now), sorted(json.loads(row["channels"]))
            alert = codec.alert_of(row)
            new.append(NewPost(PostKind.FIRING, alert, now, since, tuple(channels), row["problem"]))
    return _Plan(new, dropped, [alert.id for alert in ended if alert.id is not None])


def is_stale(conn: Connection, levels: Collection[Level], after: timedelta, now: datetime) -> bool:
    """Whether there is anything to decide."""
    plan = _plan(conn, levels, after, now)
    return bool(plan.new or plan.dropped or plan.ended)


def decide(conn: Connection, levels: Collection[Level], after: timedelta, draw: Draw, now: datetime) -> tuple[int, int]:
    """Decide what is posted and what need not be any more; the number of each."""
    plan = _plan(conn, levels, after, now)
    conn.executemany("DELETE FROM fallback_posts WHERE id = ?", [(each,) for each in plan.dropped])
    conn.executemany(
        "UPDATE fallback_posts SET closed = 1 WHERE alert_id = ? AND kind = 'firing'", [(each,) for each in plan.ended]
    )
    for each in plan.new:
        known = conn.execute(_INCIDENT, (each.alert.id,)).fetchone()
        post = replace(each, opened_as=known[0] or "") if known is not None else each
        row = (post.id, post.alert.id, post.kind, post.level.word, stamp(now), draw(post))
        conn.execute(_INSERT, row)
    return len(plan.new), len(plan.dropped)


def due(conn: Connection, now: datetime, limit: int) -> list[FallbackPost]:
    times = {"now": stamp(now), "longest": stamp(now + _MAX_WAIT), "limit": limit}
    return [
        FallbackPost(
            row["id"],
            PostKind(row["kind"]),
            row["alert_id"],
            Level.of(row["level"]),
            codec.unstamp(row["decided_at"]),
            row["body"],
            row["attempts"],
        )
        for row in conn.execute(_DUE, times).fetchall()
    ]


def waiting(conn: Connection) -> int:
    """How many posts wait to be sent."""
    return len(conn.execute(_WAITING).fetchall())


def sent(conn: Connection, post_id: str, now: datetime) -> None:
    conn.execute(
        "UPDATE fallback_posts SET state = 'sent', attempts = attempts + 1, error = '', settled_at = ? WHERE id = ?",
        (stamp(now), post_id),
    )


def put_off(conn: Connection, post_id: str, until: datetime, error: str, maybe_sent: bool) -> None:
    conn.execute(
        "UPDATE fallback_posts SET attempts = attempts + 1, not_before = ?, error = ?, "
        "maybe_sent = maybe_sent OR ? WHERE id = ? AND state = 'waiting'",
        (stamp(until), error, maybe_sent, post_id),
    )


def give_up(conn: Connection, post_id: str, error: str, now: datetime) -> None:
    conn.execute(
        "UPDATE fallback_posts SET state = 'given_up', closed = 1, error = ?, settled_at = ? "
        "WHERE id = ? AND state = 'waiting'",
        (error, stamp(now), post_id),
    )
