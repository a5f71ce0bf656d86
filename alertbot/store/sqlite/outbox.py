"""The delivery ledger: what is due, and what became of it. Each function works inside the caller's transaction.

A notice waits until it is delivered, given up, or told by its card. A card knows which version Slack should show and
which it shows; any number of versions in between are one edit.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

from alertbot.alerts.cards import Card, Posted
from alertbot.alerts.delivery import Due, EditCard, PostCard, PostLine, PostOps, Tried
from alertbot.alerts.notice import Notice, NoticeKind, notice_id
from alertbot.errors import StoreError
from alertbot.store import codec
from alertbot.store.codec import stamp
from alertbot.store.sqlite import record as recording
from alertbot.store.sqlite.record import count

CHANNEL_REST = timedelta(seconds=1)
"""Slack allows one message a second a channel (docs.slack.dev, rate limits, "posting messages")."""
INTENT_SETTLES = timedelta(seconds=5)
"""How old an open intent must be before we look for its message: until then it may still be on its way."""
# A time this far ahead of now was written before the clock was set back, and must not block anything.
_CLOCK_WAS_SET_BACK = timedelta(seconds=60)
# The same for waits: the longest that we keep to is Slack's Retry-After of at most an hour.
_LONGEST_WAIT = timedelta(hours=1, minutes=1)

_RANK = "CASE {} WHEN 'critical' THEN 3 WHEN 'warning' THEN 2 ELSE 1 END"
# The level of a card `c`: the highest of its members that have not ended, or of all where all have (`cards.leading`).
_CARD_RANK = f"""(
    SELECT {_RANK.format("a.level")} FROM card_alerts m JOIN alerts a ON a.id = m.alert_id
    WHERE m.card_id = c.id ORDER BY a.ended_at IS NOT NULL, {_RANK.format("a.level")} DESC LIMIT 1
)"""  # noqa: S608  # built-in names only
# One ready notice for each place. A place is a Slack channel: two spellings of one channel (#name, id) share its rest
# as soon as a post told its id. A card waits with the level that it has now, so that a rise moves it forward.
_DUE_POSTS = f"""
    WITH ready AS (
        SELECT n.id, n.at, n.rowid AS arrived, COALESCE(h.channel_id, n.channel) AS place,
            MAX({_RANK.format("n.level")},
                CASE WHEN n.kind = 'card' AND c.ended_at IS NULL THEN {_CARD_RANK} ELSE 0 END) AS rank
        FROM notices n
            LEFT JOIN cards c ON c.id = n.card_id
            LEFT JOIN channels h ON h.channel = n.channel
        WHERE n.state = 'waiting'
            AND (n.not_before IS NULL OR n.not_before <= :now OR n.not_before > :longest)
            AND (n.intent_at IS NULL OR n.intent_at <= :settled OR n.intent_at > :ahead)
            AND (n.kind <> 'line' OR c.state = 'posted')
    ),
    in_turn AS (
        SELECT *, ROW_NUMBER() OVER (PARTITION BY place ORDER BY rank DESC, at, arrived) AS turn FROM ready
    )
    SELECT id, rank, at FROM in_turn
    WHERE turn = 1 AND place NOT IN (
        SELECT COALESCE(channel_id, channel) FROM channels
        WHERE (held_until > :now AND held_until <= :longest) OR (rest_until > :now AND rest_until <= :ahead)
    )
    ORDER BY rank DESC, at, arrived LIMIT :limit
"""  # noqa: S608  # names of ours
_OUTDATED_CARDS = f"""
    SELECT c.*, {_CARD_RANK} AS rank FROM cards c
    WHERE c.state = 'posted' AND c.version > c.sent_version
        AND (c.edit_not_before IS NULL OR c.edit_not_before <= :now OR c.edit_not_before > :longest)
"""  # noqa: S608
NOTICES_WITH_ALERTS = (
    "SELECT n.*, a.rule, a.scope, a.parent_id, a.entity_id FROM notices n LEFT JOIN alerts a ON a.id = n.alert_id"
)


def due(conn: sqlite3.Connection, now: datetime, limit: int) -> list[Due]:
    """What should be delivered now, critical first, then the oldest."""
    times = {
        "now": stamp(now),
        "settled": stamp(now - INTENT_SETTLES),
        "ahead": stamp(now + _CLOCK_WAS_SET_BACK),
        "longest": stamp(now + _LONGEST_WAIT),
        "limit": limit,
    }
    found: list[tuple[int, str, Due]] = [
        (-row["rank"], row["at"], _post(conn, row["id"])) for row in conn.execute(_DUE_POSTS, times).fetchall()
    ]
    waiting = [row for row in conn.execute(_OUTDATED_CARDS, times).fetchall() if _edit_is_due(row, now)]
    waiting.sort(key=lambda row: (-row["rank"], row["outdated_since"], row["id"]))
    found += [
        (
            -row["rank"],
            row["outdated_since"],
            EditCard(_with_members(conn, row), row["edit_attempts"]),
        )
        for row in waiting[:limit]
    ]
    found.sort(key=lambda each: each[:2])
    return [each for _, _, each in found[:limit]]


_WAITING_POSTS = """
    SELECT n.not_before, n.intent_at, p.held_until, p.rest_until FROM notices n
        LEFT JOIN cards c ON c.id = n.card_id
        LEFT JOIN channels p ON p.channel = n.channel
    WHERE n.state = 'waiting' AND (n.kind <> 'line' OR c.state = 'posted')
"""
_URGENT_EDITS = "SELECT edit_not_before FROM cards WHERE state = 'posted' AND urgent_version > sent_version"


def next_due(conn: sqlite3.Connection, now: datetime) -> datetime | None:
    """When the first of the waiting posts and urgent edits can be tried; None when nothing waits."""
    ahead = now + _CLOCK_WAS_SET_BACK
    ready = []
    for row in conn.execute(_WAITING_POSTS).fetchall():
        intent, rest = codec.maybe_unstamp(row["intent_at"]), codec.maybe_unstamp(row["rest_until"])
        waits = [
            _wait(row["not_before"], now),
            _wait(row["held_until"], now),
            intent + INTENT_SETTLES if intent is not None and intent <= ahead else None,
            rest if rest is not None and rest <= ahead else None,
        ]
        ready.append(max([now, *(each for each in waits if each is not None)]))
    edits = conn.execute(_URGENT_EDITS).fetchall()
    ready += [max(now, _wait(row["edit_not_before"], now) or now) for row in edits]
    return min(ready, default=None)


def _wait(stamped: str | None, now: datetime) -> datetime | None:
    """The end of a wait; None where there is none, or it is longer than any that we make."""
    until = codec.maybe_unstamp(stamped)
    return until if until is not None and until <= now + _LONGEST_WAIT else None


def _edit_is_due(card: sqlite3.Row, now: datetime) -> bool:
    if card["urgent_version"] > card["sent_version"]:
        return True
    return now >= codec.unstamp(card["edited_at"]) + timedelta(seconds=card["refresh_seconds"])


def _post(conn: sqlite3.Connection, notice_id: str) -> Due:
    row = conn.execute(f"{NOTICES_WITH_ALERTS} WHERE n.id = ?", (notice_id,)).fetchone()
    entry = codec.ledger_entry_of(row)
    if row["card_id"] is None:
        return PostOps(entry.notice, entry.intent_at, entry.attempts, entry.looks)
    card = _with_members(conn, _card(conn, row["card_id"]))
    if entry.notice.kind is NoticeKind.CARD:
        return PostCard(entry.notice, card, entry.intent_at, entry.attempts, entry.looks)
    alert = next(member for member in card.members if member.id == row["alert_id"])
    return PostLine(entry.notice, card, alert, entry.intent_at, entry.attempts, entry.looks)


def _with_members(conn: sqlite3.Connection, card: sqlite3.Row) -> Card:
    rows = conn.execute(
        "SELECT a.* FROM card_alerts m JOIN alerts a ON a.id = m.alert_id WHERE m.card_id = ? ORDER BY a.id",
        (card["id"],),
    ).fetchall()
    return codec.card_of(card, tuple(codec.alert_of(row) for row in rows))


def _card(conn: sqlite3.Connection, card_id: int) -> sqlite3.Row:
    row: sqlite3.Row | None = conn.execute("SELECT * FROM cards WHERE id = ?", (card_id,)).fetchone()
    if row is None:
        raise StoreError(f"there is no card {card_id}")
    return row


def _notice(conn: sqlite3.Connection, notice_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = conn.execute("SELECT * FROM notices WHERE id = ?", (notice_id,)).fetchone()
    if row is None:
        raise StoreError(f"there is no notice {notice_id}")
    return row


def intend(conn: sqlite3.Connection, notice_id: str, now: datetime) -> None:
    """A post begins. Its channel rests from here on already: if we die now, the message may have gone out."""
    row = _notice(conn, notice_id)
    if row["state"] != "waiting":
        raise StoreError(f"notice {notice_id} does not wait any more: it is {row['state']}")
    conn.execute("UPDATE notices SET intent_at = ?, looks = 0 WHERE id = ?", (stamp(now), notice_id))
    _rest(conn, row["channel"], None, now)


def _rest(conn: sqlite3.Connection, channel: str, channel_id: str | None, now: datetime) -> None:
    conn.execute(
        "INSERT INTO channels (channel, channel_id, rest_until) VALUES (?, ?, ?) ON CONFLICT (channel) DO UPDATE SET "
        "channel_id = COALESCE(excluded.channel_id, channel_id), rest_until = excluded.rest_until",
        (channel, channel_id, stamp(now + CHANNEL_REST)),
    )


def hold_channel(conn: sqlite3.Connection, channel: str, until: datetime) -> None:
    conn.execute(
        "INSERT INTO channels (channel, held_until) VALUES (?, ?) "
        "ON CONFLICT (channel) DO UPDATE SET held_until = CASE WHEN held_until > ? THEN excluded.held_until "
        "ELSE MAX(COALESCE(held_until, ''), excluded.held_until) END",
        (channel, stamp(until), stamp(until + _LONGEST_WAIT)),
    )


def delivered(conn: sqlite3.Connection, notice_id: str, posted: Posted, version: int, now: datetime) -> None:
    row = _notice(conn, notice_id)
    if row["state"] == "delivered":
        return
    conn.execute(
        "UPDATE notices SET state = 'delivered', settled_at = ?, posted_channel_id = ?, posted_ts = ?, error = '' "
        "WHERE id = ?",
        (stamp(now), posted.channel_id, posted.ts, notice_id),
    )
    _rest(conn, row["channel"], posted.channel_id, now)
    if row["kind"] == NoticeKind.LINE:
        count(conn, row["tenant"], "lines_posted")
    elif row["kind"] == NoticeKind.CARD:
        count(conn, row["tenant"], "cards_posted")
        _card_stands(conn, row["card_id"], posted, version, now)


def _card_stands(conn: sqlite3.Connection, card_id: int, posted: Posted, version: int, now: datetime) -> None:
    card = _card(conn, card_id)
    conn.execute(
        "UPDATE cards SET state = 'posted', posted_channel_id = ?, posted_ts = ? WHERE id = ?",
        (posted.channel_id, posted.ts, card_id),
    )
    _shows_version(conn, card_id, version, now)
    # Drawn after the end, it came closed, and says what its lines would have said one by one, hours late perhaps.
    if version >= card["version"] and card["ended_at"] is not None:
        conn.execute(
            "UPDATE notices SET state = 'told_by_card', settled_at = ? "
            "WHERE card_id = ? AND kind = 'line' AND state = 'waiting'",
            (stamp(now), card_id),
        )


def _shows_version(conn: sqlite3.Connection, card_id: int, version: int, now: datetime) -> None:
    conn.execute(
        "UPDATE cards SET sent_version = :version, edited_at = :now, "
        "outdated_since = CASE WHEN version > :version THEN :now END, "
        "edit_attempts = 0, edit_not_before = NULL, edit_error = '' WHERE id = :id",
        {"version": version, "now": stamp(now), "id": card_id},
    )


def edited(conn: sqlite3.Connection, card_id: int, version: int, now: datetime) -> None:
    card = _card(conn, card_id)
    if card["state"] != "posted" or version < card["sent_version"]:
        return  # the message that was edited is not this card's any more
    count(conn, card["tenant"], "edits")
    _shows_version(conn, card_id, version, now)


def put_off(conn: sqlite3.Connection, notice_id: str, until: datetime, error: str, unknown: bool, tried: Tried) -> None:
    conn.execute(
        "UPDATE notices SET not_before = ?, error = ?, attempts = attempts + ?, looks = looks + ?, "
        "intent_at = CASE WHEN ? THEN intent_at END WHERE id = ? AND state = 'waiting'",
        (stamp(until), error, tried is Tried.POST, tried is Tried.LOOK, unknown, _notice(conn, notice_id)["id"]),
    )


def put_off_edit(conn: sqlite3.Connection, card_id: int, until: datetime, error: str, tried: bool) -> None:
    conn.execute(
        "UPDATE cards SET edit_not_before = ?, edit_error = ?, edit_attempts = edit_attempts + ? WHERE id = ?",
        (stamp(until), error, tried, _card(conn, card_id)["id"]),
    )


def give_up(conn: sqlite3.Connection, notice_id: str, error: str, now: datetime) -> None:
    row = _notice(conn, notice_id)
    if row["state"] != "waiting":
        return
    _settle_given_up(conn, row, error, now)
    if row["kind"] == NoticeKind.CARD:
        conn.execute("UPDATE cards SET state = 'given_up' WHERE id = ?", (row["card_id"],))
        _give_up_lines(conn, row["card_id"], error, now)


def _give_up_lines(conn: sqlite3.Connection, card_id: int, error: str, now: datetime) -> None:
    waiting = conn.execute("SELECT * FROM notices WHERE card_id = ? AND state = 'waiting'", (card_id,)).fetchall()
    for line in waiting:
        _settle_given_up(conn, line, error, now)


def _settle_given_up(conn: sqlite3.Connection, row: sqlite3.Row, error: str, now: datetime) -> None:
    conn.execute(
        "UPDATE notices SET state = 'given_up', settled_at = ?, error = ? WHERE id = ?", (stamp(now), error, row["id"])
    )
    count(conn, row["tenant"], "given_up")


def reroute(conn: sqlite3.Connection, notice_id: str, channel: str) -> None:
    row = _notice(conn, notice_id)
    if row["state"] != "waiting":
        return
    if row["kind"] == NoticeKind.OPS:
        conn.execute(
            "UPDATE notices SET channel = ?, intent_at = NULL, not_before = NULL, attempts = attempts + 1 WHERE id = ?",
            (channel, notice_id),
        )
        return
    card = _card(conn, row["card_id"])
    if row["kind"] == NoticeKind.LINE:
        _post_anew(conn, card, codec.unstamp(row["at"]))
    conn.execute("UPDATE cards SET channel = ? WHERE id = ?", (channel, card["id"]))
    conn.execute(
        "UPDATE notices SET channel = ?, intent_at = NULL, not_before = NULL, attempts = attempts + 1 "
        "WHERE card_id = ? AND state = 'waiting'",
        (channel, card["id"]),
    )


def repost(conn: sqlite3.Connection, card_id: int, now: datetime) -> None:
    card = _card(conn, card_id)
    if card["state"] != "posted":
        return
    if card["ended_at"] is not None:
        conn.execute("UPDATE cards SET state = 'gone' WHERE id = ?", (card_id,))
        _give_up_lines(conn, card_id, "the card's message is gone, and its alert is over", now)
        return
    _post_anew(conn, card, now)


def _post_anew(conn: sqlite3.Connection, card: sqlite3.Row, now: datetime) -> None:
    """Forget where a card stood. It is posted by a notice of its own, which calls nobody: they were called once."""
    conn.execute(
        "UPDATE cards SET state = 'waiting', posted_channel_id = NULL, posted_ts = NULL, sent_version = 0, "
        "edit_not_before = NULL, edit_attempts = 0, edit_error = '' WHERE id = ?",
        (card["id"],),
    )
    # A line that may have reached the old thread is told again in the new one.
    conn.execute(
        "UPDATE notices SET intent_at = NULL, not_before = NULL WHERE card_id = ? AND state = 'waiting'", (card["id"],)
    )
    row = conn.execute(
        f"{NOTICES_WITH_ALERTS} WHERE n.card_id = ? AND n.kind = 'card' ORDER BY n.rowid LIMIT 1", (card["id"],)
    ).fetchone()
    first = codec.ledger_entry_of(row).notice
    anew = Notice(
        id=notice_id(("posted anew", str(card["id"]), card["posted_ts"] or ""), first.reason, card["channel"], now),
        kind=NoticeKind.CARD,
        alert=first.alert,
        channel=card["channel"],
        reason=first.reason,
        level=first.level,
        at=now,
        text=first.text,
        measure=first.measure,
    )
    recording.insert_notice(conn, anew, card["tenant"], NoticeKind.CARD, now=now, alert_id=row["alert_id"], card=card)
