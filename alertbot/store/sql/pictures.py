"""Pictures in the threads of cards: which is next, and what becomes of it. Theory: outbox.py.

A picture comes after everything else: it is due only while no post of any channel is due or waits for its turn, its
channel is not resting, and less than half of `max_messages` is used there. So while a picture is drawn, uploaded or
posted, a message waits at most the one second that Slack requires between two messages of a channel. Each function
works inside the caller's transaction.

Only one process draws it (`reserve`, see claims.py), which delays nothing else. Which process posts it is decided
afterwards by `claim`, whatever became of the drawing.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from alertbot.alerts.delivery import Claimed, PostPicture
from alertbot.store import codec
from alertbot.store.codec import stamp
from alertbot.store.sql import budget, cards, claims, outbox
from alertbot.store.sql.connection import Connection, Row

_CLOCKS_DIFFER = timedelta(seconds=60)

_WANTED = """
    SELECT * FROM cards
    WHERE picture_at > :oldest AND picture_at <= :ahead AND state = 'posted' AND ended_at IS NULL
    ORDER BY picture_at, id
"""
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
    wanted = conn.execute(_WANTED, values).fetchall()
    if not wanted or outbox.a_post_waits(conn, now):
        return None
    drawn = claims.held(conn, claims.PICTURE, now, but=claimant)
    free = [card for card in wanted if str(card["id"]) not in drawn and _is_free(conn, card, now, max_messages)]
    if not free:
        return None
    found = [PostPicture(cards.with_members(conn, card), codec.unstamp(card["picture_at"])) for card in free]
    return max(found, key=lambda picture: picture.alert.level)  # of several that are equal, the first


def _is_free(conn: Connection, card: Row, now: datetime, max_messages: int) -> bool:
    if outbox.channel_waits(conn, card["channel"], now) or conn.execute(_IS_MUTED, (card["id"],)).fetchone():
        return False
    return budget.has_room_to_spare(conn, card["channel"], now, max_messages)


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
    if outbox.a_post_waits(conn, now) or not _is_free(conn, card, now, max_messages):
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
