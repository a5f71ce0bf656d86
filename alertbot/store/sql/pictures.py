"""Pictures in the threads of cards: which is next, and what becomes of it. Theory: outbox.py.

A picture comes after everything else: it is due only while no post of any channel is due or waits for its turn, its
channel is not resting, and less than half of `max_messages` is used there. So while a picture is drawn, uploaded or
posted, a message waits at most the one second that Slack requires between two messages of a channel. Each function
works inside the caller's transaction.

Only one process draws it (`reserve`, see claims.py), which delays nothing else. Which process posts it is decided
afterwards by `claim`, whatever became of the drawing.
"""

from __future__ import annotations

import functools
from datetime import datetime, timedelta

from alertbot.alerts.delivery import Claimed, PostPicture
from alertbot.store import codec
from alertbot.store.codec import stamp
from alertbot.store.sql import budget, cards, claims, outbox
from alertbot.store.sql.connection import Connection, Row

_CLOCKS_DIFFER = timedelta(seconds=60)

_WANTED = """
    cards c WHERE c.picture_at > :oldest AND c.picture_at <= :ahead AND c.state = 'posted' AND c.ended_at IS NULL
"""
_ANY_WANTED = f"SELECT 1 FROM {_WANTED} LIMIT 1"  # noqa: S608
_ALL_WANTED = f"SELECT c.id, c.channel FROM {_WANTED} ORDER BY {cards.CARD_RANK} DESC, c.picture_at, c.id"  # noqa: S608
_DROP = "UPDATE cards SET picture_at = NULL WHERE id = :card AND picture_at = :at"
_PUT_BACK = """
    UPDATE cards SET picture_at = :at
    WHERE id = :card AND picture_at IS NULL AND state = 'posted' AND ended_at IS NULL
"""
_IS_MUTED = """
    SELECT 1 FROM card_alerts m JOIN alerts a ON a.id = m.alert_id WHERE m.card_id = ? AND a.muted IS NOT NULL
"""


def due(conn: Connection, now: datetime, max_messages: int, claimant: str) -> PostPicture | None:
    values = {"oldest": stamp(now - outbox.PICTURE_WITHIN), "ahead": stamp(now + _CLOCKS_DIFFER)}
    if conn.execute(_ANY_WANTED, values).fetchone() is None or outbox.a_post_waits(conn, now):
        return None
    drawn = claims.held(conn, claims.PICTURE, now, but=claimant)
    # After a storm hundreds wait in a few channels, so each channel is asked about once, and only one card is read.
    is_free = functools.cache(lambda channel: _is_free(conn, channel, now, max_messages))
    for wanted in conn.execute(_ALL_WANTED, values).fetchall():
        if str(wanted["id"]) not in drawn and is_free(wanted["channel"]) and not _is_muted(conn, wanted["id"]):
            card = cards.card_row(conn, wanted["id"])
            return PostPicture(cards.with_members(conn, card), codec.unstamp(card["picture_at"]))
    return None


def _is_free(conn: Connection, channel: str, now: datetime, max_messages: int) -> bool:
    return not outbox.channel_waits(conn, channel, now) and budget.has_room_to_spare(conn, channel, now, max_messages)


def _is_muted(conn: Connection, card_id: int) -> bool:
    return conn.execute(_IS_MUTED, (card_id,)).fetchone() is not None


def _wanted(conn: Connection, picture: PostPicture) -> Row | None:
    """The card, if it still waits for this picture where it was."""
    card: Row = conn.execute("SELECT * FROM cards WHERE id = ?", (picture.card.id,)).fetchone()
    there = card["state"] == "posted" and codec.posted_of(card) == picture.card.posted
    return card if there and card["picture_at"] == stamp(picture.wanted_at) else None


def reserve(conn: Connection, picture: PostPicture, now: datetime, claimant: str) -> bool:
    return _wanted(conn, picture) is not None and claims.take(conn, claims.PICTURE, str(picture.card.id), claimant, now)


def claim(conn: Connection, picture: PostPicture, now: datetime, max_messages: int) -> Claimed:
    card = _wanted(conn, picture)
    if card is None:
        return Claimed.SETTLED
    if outbox.a_post_waits(conn, now) or _is_muted(conn, card["id"]):
        return Claimed.NOT_DUE
    if not _is_free(conn, card["channel"], now, max_messages):
        return Claimed.NOT_DUE
    conn.execute(_DROP, _as_wanted(picture))
    budget.count_post(conn, picture.notice_id, card["channel"], now, max_messages)
    outbox.rest(conn, card["channel"], None, now)
    return Claimed.DONE


def posted(conn: Connection, picture: PostPicture, now: datetime, claimant: str) -> None:
    claims.give_back(conn, claims.PICTURE, str(picture.card.id), claimant)
    outbox.rest(conn, picture.card.channel, None, now)


def put_back(conn: Connection, picture: PostPicture) -> None:
    budget.forget_post(conn, picture.notice_id)
    conn.execute(_PUT_BACK, _as_wanted(picture))


def drop(conn: Connection, picture: PostPicture, claimant: str) -> None:
    claims.give_back(conn, claims.PICTURE, str(picture.card.id), claimant)
    conn.execute(_DROP, _as_wanted(picture))


def _as_wanted(picture: PostPicture) -> dict[str, object]:
    return {"card": picture.card.id, "at": stamp(picture.wanted_at)}
