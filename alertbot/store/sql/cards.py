"""Cards as delivery reads them: with members and level, and the times until which something waits."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from alertbot.alerts.cards import Card
from alertbot.errors import StoreError
from alertbot.store import codec
from alertbot.store.sql import silences
from alertbot.store.sql.connection import Connection, Row

# How far ahead of now a time may lie because clocks differ.
CLOCK_WAS_SET_BACK = timedelta(seconds=60)
# The longest wait that is ever written is Slack's Retry-After, at most an hour.
MAX_WAIT = timedelta(hours=1, minutes=1)
_MAX_ENDED = 1000  # members of one card that have ended and are read with it
AT_ONCE = 8
"""Cards whose members are read together: two round trips for all of them, and memory until they are decoded."""

RANK = "CASE {} WHEN 'critical' THEN 3 WHEN 'warning' THEN 2 ELSE 1 END"
# The level of a card `c`: the highest of its members that have not ended, or of all where all have (`cards.leading`).
CARD_RANK = f"""(
    SELECT {RANK.format("a.level")} FROM card_alerts m JOIN alerts a ON a.id = m.alert_id
    WHERE m.card_id = c.id ORDER BY a.ended_at IS NOT NULL, {RANK.format("a.level")} DESC LIMIT 1
)"""  # noqa: S608  # built-in names only


def wait(stamped: str | None, now: datetime, longest: timedelta) -> datetime | None:
    """The end of a wait; None where there is none, or it lies further ahead than any that is written."""
    until = codec.maybe_unstamp(stamped)
    return until if until is not None and until <= now + longest else None


_MEMBERS = "SELECT a.* FROM card_alerts m JOIN alerts a ON a.id = m.alert_id WHERE m.card_id = :card"
_OPEN_MEMBERS = f"{_MEMBERS} AND a.ended_at IS NULL"
# A card that stays open for weeks has had very many: of those that have ended, the worst are read.
_ENDED_MEMBERS = f"""
    {_MEMBERS} AND a.ended_at IS NOT NULL ORDER BY {RANK.format("a.highest_level")} DESC, a.id DESC LIMIT :limit
"""
_ALL_MEMBERS = """
    SELECT count(*) AS entities, min(fired_at) AS began FROM (
        SELECT min(a.fired_at) AS fired_at FROM card_alerts m JOIN alerts a ON a.id = m.alert_id
        WHERE m.card_id = ? GROUP BY a.rule, a.scope, a.parent_id, a.entity_id
    ) AS entities
"""


def with_members(conn: Connection, card: Row) -> Card:
    """The card of this row. Of more than 1,000 members that have ended, the worst."""
    return all_with_members(conn, [card])[0]


def all_with_members(conn: Connection, cards: Sequence[Row]) -> list[Card]:
    """The cards of these rows, in their order, as `with_members` of each."""
    found = []
    for first in range(0, len(cards), AT_ONCE):
        some = cards[first : first + AT_ONCE]
        left = conn.execute_each(_OPEN_MEMBERS, [{"card": card["id"]} for card in some])
        ended = conn.execute_each(_ENDED_MEMBERS, [{"card": card["id"], "limit": _MAX_ENDED + 1} for card in some])
        found += [_with(conn, card, *members) for card, *members in zip(some, left, ended, strict=True)]
    return found


def _with(conn: Connection, card: Row, left: list[Any], ended: list[Any]) -> Card:
    rows = (*left, *ended[:_MAX_ENDED])
    members = tuple(
        sorted(map(_member_of if len(rows) > _MANY else codec.alert_of, rows), key=lambda member: member.id or 0)
    )
    loaded = codec.card_of(card, members, silences.of(conn, members))
    if len(ended) <= _MAX_ENDED:
        return loaded
    all_of_them = conn.execute(_ALL_MEMBERS, (card["id"],)).fetchone()
    return replace(loaded, entities=all_of_them["entities"], began=codec.maybe_unstamp(all_of_them["began"]))


# What is due is asked after every message of a storm, and decoding 500 members takes longer than reading them. A row
# takes 8 kB here, and each change of an alert is another row: those of small cards would only fill the memory.
_MANY = 20
_member_of = functools.lru_cache(maxsize=1024)(codec.alert_of)


def card_row(conn: Connection, card_id: int) -> Row:
    """The row of a card. Raises StoreError where there is none."""
    row: Row | None = conn.execute("SELECT * FROM cards WHERE id = ?", (card_id,)).fetchone()
    if row is None:
        raise StoreError(f"there is no card {card_id}")
    return row
