"""`max_messages`: how many messages a channel gets in a minute. Each function works inside the caller's transaction.

A message is counted when it is claimed (`channel_posts`), since its claimant may die right after sending; one that
certainly was not posted is taken off again. The rows are of the last minute, so the limit holds over restarts and over
runs of `poll`. From `UNLIMITED` on nothing is counted: the rest of one second in each channel is that limit.

When a channel may get only one more message for now, and more wait, that one is a report of what is held back
(`Claimed.HOLD`). Then there is a hold: `channels.hold_notice` is the report. It is the next message of its channel, and
there is no second one until nothing waits in that channel any more, or a minute passed without a message. A short wait
is not reported, and with one message a minute there is no room for a report. A report that could not be posted for two
minutes is dropped, since it names a time that has passed.

A place is a Slack channel: two spellings of one channel (#name, id) share it as soon as an answer named its id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from alertbot.alerts.delivery import MINUTE, HeldBack, last_turn
from alertbot.rules.catalogue import Scope
from alertbot.rules.privacy import Names
from alertbot.store import codec
from alertbot.store.codec import stamp
from alertbot.store.sql.connection import Connection

UNLIMITED = 60
"""From here on the rest of one second in each channel is the limit."""
_REPORTED_FROM = timedelta(seconds=5)  # a message that waits this much longer than its turn alone would take
_CLOCKS_DIFFER = timedelta(seconds=60)

_LATELY = """
    SELECT COALESCE(c.channel_id, p.channel) AS place, p.at
    FROM channel_posts p LEFT JOIN channels c ON c.channel = p.channel
    WHERE p.at > :minute_ago AND p.at <= :ahead ORDER BY p.at
"""
_SPELLINGS = """
    SELECT channel FROM channels
    WHERE COALESCE(channel_id, channel) = COALESCE((SELECT channel_id FROM channels WHERE channel = :channel), :channel)
"""
_POSTS = """
    SELECT at FROM channel_posts WHERE channel IN (SELECT value FROM json_each(:channels))
        AND at > :minute_ago AND at <= :ahead ORDER BY at
"""
_WAITING = """
    SELECT n.id FROM notices n INDEXED BY notices_waiting
    WHERE n.state = 'waiting' AND n.channel IN (SELECT value FROM json_each(:channels)) AND n.lead IS NULL
        AND n.id <> :but AND (n.not_before IS NULL OR n.not_before <= :now)
"""
# The names of what waits, worst first, each once. A message about several alerts has the notices of all of them.
_NAMES = """
    SELECT a.tenant, a.scope, a.entity_id, a.entity_name AS name
    FROM notices n INDEXED BY notices_waiting JOIN alerts a ON a.id = n.alert_id
    WHERE n.state = 'waiting' AND n.channel IN (SELECT value FROM json_each(:channels))
        AND (n.not_before IS NULL OR n.not_before <= :now)
    GROUP BY a.tenant, a.scope, a.entity_id, a.entity_name
    ORDER BY max(CASE a.level WHEN 'critical' THEN 3 WHEN 'warning' THEN 2 ELSE 1 END) DESC, min(n.at), min(n.rowid)
"""


def _times(now: datetime) -> dict[str, object]:
    return {"now": stamp(now), "minute_ago": stamp(now - MINUTE), "ahead": stamp(now + _CLOCKS_DIFFER)}


def spellings(conn: Connection, channel: str) -> list[str]:
    """The names and ids under which this channel is configured, as far as answers named its id."""
    return sorted({channel, *(row["channel"] for row in conn.execute(_SPELLINGS, {"channel": channel}).fetchall())})


def _posts(conn: Connection, channels: Sequence[str], now: datetime) -> list[datetime]:
    rows = conn.execute(_POSTS, {**_times(now), "channels": json.dumps(channels)}).fetchall()
    return [codec.unstamp(row["at"]) for row in rows]


def _waiting(conn: Connection, channels: Sequence[str], now: datetime, but: str = "") -> int:
    values = {**_times(now), "channels": json.dumps(channels), "but": but}
    return len(conn.execute(_WAITING, values).fetchall())


def full(conn: Connection, now: datetime, limit: int) -> Mapping[str, datetime]:
    """The places that may get nothing now, and when each may again."""
    if limit >= UNLIMITED:
        return {}
    posts = _lately(conn, now)
    return {place: codec.unstamp(times[-limit]) + MINUTE for place, times in posts.items() if len(times) >= limit}


def _lately(conn: Connection, now: datetime) -> Mapping[str, Sequence[str]]:
    """When messages were posted within the last minute, by place."""
    found: dict[str, list[str]] = {}
    for row in conn.execute(_LATELY, _times(now)).fetchall():
        found.setdefault(row["place"], []).append(row["at"])
    return found


def count_post(conn: Connection, notice_id: str, channel: str, now: datetime, limit: int) -> None:
    """A message is about to be sent."""
    if limit >= UNLIMITED:
        return
    forget_post(conn, notice_id)
    conn.execute("DELETE FROM channel_posts WHERE at <= :minute_ago OR at > :ahead", _times(now))
    conn.execute(
        "INSERT INTO channel_posts (channel, at, notice_id) VALUES (?, ?, ?)", (channel, stamp(now), notice_id)
    )
    if not _waiting(conn, channels := spellings(conn, channel), now, but=notice_id):
        _end_hold(conn, channels, now, but=notice_id)


def _end_hold(conn: Connection, channels: Sequence[str], now: datetime, but: str = "") -> None:
    """End the hold of a channel. Its report is not posted any more if it waits, but for the one that is sent now."""
    values = {"channels": json.dumps(channels), "now": stamp(now), "but": but}
    conn.execute(
        "UPDATE notices SET state = 'told_by_card', settled_at = :now "
        "WHERE state = 'waiting' AND intent_at IS NULL AND id <> :but AND id IN "
        "(SELECT hold_notice FROM channels WHERE channel IN (SELECT value FROM json_each(:channels)))",
        values,
    )
    conn.execute(
        "UPDATE channels SET hold_notice = NULL WHERE channel IN (SELECT value FROM json_each(:channels))", values
    )


def forget_post(conn: Connection, notice_id: str) -> None:
    """This message was not posted."""
    conn.execute("DELETE FROM channel_posts WHERE notice_id = ?", (notice_id,))


def refused(conn: Connection, notice_id: str, channel: str, now: datetime, limit: int) -> str:
    """Why this message may not be sent now: "full", "hold" (what is held back has to be reported first), or ""."""
    if limit >= UNLIMITED:
        return ""
    channels = spellings(conn, channel)
    posts = _posts(conn, channels, now)
    if len(posts) >= limit:
        return "full"
    hold = _hold(conn, channels)
    if hold == notice_id:
        return ""
    if hold is not None and not posts:  # what was held back then is not what waits now
        _end_hold(conn, channels, now)
        hold = None
    if hold is not None and _is_due(conn, hold, now):
        return "full"
    if hold is not None or len(posts) < limit - 1 or limit == 1:
        return ""
    # With this one sent, the others would wait for the next minute.
    others = _waiting(conn, channels, now, but=notice_id)
    if not others:
        return ""
    return "hold" if _is_late(last_turn([*posts, now], others, limit), others, now) else ""


def has_room_to_spare(conn: Connection, channel: str, now: datetime, limit: int) -> bool:
    """Whether this channel got less than half of `limit` messages within the last minute."""
    return limit >= UNLIMITED or len(_posts(conn, spellings(conn, channel), now)) < limit // 2


def _is_late(last: datetime, messages: int, now: datetime) -> bool:
    """Whether the last of these messages comes much later than one message a second would."""
    return last - now - messages * timedelta(seconds=1) >= _REPORTED_FROM


def _hold(conn: Connection, channels: Sequence[str]) -> str | None:
    row = conn.execute(
        "SELECT hold_notice FROM channels WHERE channel IN (SELECT value FROM json_each(?)) "
        "AND hold_notice IS NOT NULL LIMIT 1",
        (json.dumps(channels),),
    ).fetchone()
    return None if row is None else str(row["hold_notice"])


def _is_due(conn: Connection, notice_id: str, now: datetime) -> bool:
    row = conn.execute(
        "SELECT 1 FROM notices WHERE id = ? AND state = 'waiting' AND (not_before IS NULL OR not_before <= ?)",
        (notice_id, stamp(now)),
    ).fetchone()
    return row is not None


def about_to_hold(conn: Connection, channel: str, now: datetime, limit: int, names: Names) -> HeldBack | None:
    """What is held back in a channel once that was reported in it; None where it was, or nothing waits."""
    channels = spellings(conn, channel)
    if _hold(conn, channels) is not None:
        return None
    return _held(conn, channel, channels, [*_posts(conn, channels, now), now], now, limit, names)


def hold(conn: Connection, channel: str, notice_id: str) -> None:
    """This notice reports what is held back in the channel."""
    conn.execute(
        "INSERT INTO channels (channel, hold_notice) VALUES (?, ?) "
        "ON CONFLICT (channel) DO UPDATE SET hold_notice = excluded.hold_notice",
        (channel, notice_id),
    )


def is_report(conn: Connection, notice_id: str) -> bool:
    """Whether this notice reports what is held back now."""
    return conn.execute("SELECT 1 FROM channels WHERE hold_notice = ?", (notice_id,)).fetchone() is not None


def drop_report(conn: Connection, channel: str, now: datetime) -> None:
    """End the hold of a channel, and settle its report."""
    _end_hold(conn, spellings(conn, channel), now)


def held_back(conn: Connection, now: datetime, limit: int, names: Names) -> list[HeldBack]:
    """What waits because its channel got `limit` messages within the last minute, by channel.

    Between two messages of a hold there may be room for one more: what waits is held back all the same.
    """
    if limit >= UNLIMITED:
        return []
    found = []
    for place in sorted(_lately(conn, now)):
        spelt = conn.execute(
            "SELECT min(p.channel) AS channel FROM channel_posts p LEFT JOIN channels c ON c.channel = p.channel "
            "WHERE COALESCE(c.channel_id, p.channel) = ?",
            (place,),
        ).fetchone()
        channels = spellings(conn, spelt["channel"])
        held = _held(conn, spelt["channel"], channels, _posts(conn, channels, now), now, limit, names)
        found += [held] if held is not None else []
    return sorted(found, key=lambda each: each.channel)


def _held(
    conn: Connection,
    channel: str,
    channels: Sequence[str],
    posts: Sequence[datetime],
    now: datetime,
    limit: int,
    names: Names,
) -> HeldBack | None:
    waiting = _waiting(conn, channels, now)
    until = last_turn(posts, waiting, limit)
    if not waiting or not (len(posts) >= limit or _is_late(until, waiting, now)):
        return None
    rows = conn.execute(_NAMES, {**_times(now), "channels": json.dumps(channels)}).fetchall()
    shown = (names.of(row["tenant"], Scope(row["scope"]), row["entity_id"], row["name"]) for row in rows)
    return HeldBack(channel, waiting, tuple(dict.fromkeys(shown)), until, limit)
