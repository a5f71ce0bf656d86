"""Messages that were posted twice: which notices may have one, and which messages a notice is known by.

Theory. A process that was paused between its last check and its request posts when it continues, however late; by then
another one may have looked for the message in vain, and posted it. There are two ways to find out.

- The process that holds an answer about another message than the one that is recorded has posted the duplicate itself
  (`outbox.delivered`). It closes it at once.
- If it dies before that, or had no answer, it stays unknown. So a notice whose claim was ended from outside, while its
  claimant may be alive, is noted here (`suspect`), and so is one of which a duplicate was found. The auditor reads the
  place where that message would stand, once: a thread, or a channel. It reads the channels of open cards anyway, but no
  threads.

Nothing is noted for a claimant that has certainly ended or gave up its claim itself, as a single process does.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from alertbot.alerts.cards import Posted
from alertbot.alerts.notice import NoticeKind
from alertbot.store import codec
from alertbot.store.codec import stamp
from alertbot.store.records import NoticeState, PossibleDuplicate, PostedNotice
from alertbot.store.sql.cards import CLOCK_WAS_SET_BACK
from alertbot.store.sql.claims import CALL_TAKES
from alertbot.store.sql.connection import Connection

CHECK_AFTER = timedelta(minutes=5)
"""How long after a claim was ended its message is looked for once more: most pauses have ended by then."""
_MAX_CHECKED = 20  # in one audit

_SUSPECT = """
    INSERT INTO possible_duplicates (notice_id, since, check_at)
    SELECT id, COALESCE(intent_at, :now), :check_at FROM notices WHERE {}
    ON CONFLICT (notice_id) DO UPDATE SET check_at = excluded.check_at
"""
_SUSPECT_ONE = _SUSPECT.format("id = :notice")
_SUSPECT_CLAIMED = _SUSPECT.format("state = 'waiting' AND claimant = :claimant AND intent_at <= :over")


def suspect(conn: Connection, notice_id: str, now: datetime, check_at: datetime) -> None:
    """There may be a second message of this notice: the auditor checks that."""
    conn.execute(_SUSPECT_ONE, {"now": stamp(now), "check_at": stamp(check_at), "notice": notice_id})


def suspect_claimed(conn: Connection, claimant: str, now: datetime) -> None:
    """This claimant may be alive, and loses its claims: what it sends after that is a second message."""
    values = {"now": stamp(now), "check_at": stamp(now + CHECK_AFTER), "over": stamp(now - CALL_TAKES)}
    conn.execute(_SUSPECT_CLAIMED, {**values, "claimant": claimant})


_POSSIBLE = """
    SELECT p.notice_id, p.since, n.state, n.kind, n.thread_channel_id, n.thread_ts,
        c.posted_channel_id AS card_channel_id, c.posted_ts AS card_ts
    FROM possible_duplicates p LEFT JOIN notices n ON n.id = p.notice_id LEFT JOIN cards c ON c.id = n.card_id
    WHERE (p.check_at <= :now OR p.check_at > :ahead) AND (n.state IS NULL OR n.state <> 'waiting')
    ORDER BY p.check_at, p.notice_id LIMIT :limit
"""


def possible(conn: Connection, now: datetime) -> list[PossibleDuplicate]:
    times = {"now": stamp(now), "ahead": stamp(now + CHECK_AFTER + CLOCK_WAS_SET_BACK), "limit": _MAX_CHECKED}
    found = []
    for row in conn.execute(_POSSIBLE, times).fetchall():
        thread = "thread" if row["kind"] == NoticeKind.OPS else "card" if row["kind"] == NoticeKind.LINE else ""
        ts = row[f"{thread}_ts"] if thread else None
        place = Posted(row[f"{thread}_channel_id"], ts) if ts is not None else None
        found.append(PossibleDuplicate(row["notice_id"], codec.unstamp(row["since"]), place))
    return found


def forget(conn: Connection, ids: Collection[str]) -> None:
    conn.execute(
        "DELETE FROM possible_duplicates WHERE notice_id IN (SELECT value FROM json_each(?))", (json.dumps([*ids]),)
    )


_POSTED = """
    SELECT n.state, n.posted_channel_id, n.posted_ts, n.card_id, n.kind, c.state AS card_state,
        c.posted_channel_id AS card_channel_id, c.posted_ts AS card_ts
    FROM notices n LEFT JOIN cards c ON c.id = n.card_id WHERE n.id = ?
"""
_FORMER = "SELECT posted_channel_id, posted_ts FROM former_messages WHERE card_id = ?"


def posted_notices(conn: Connection, ids: Collection[str]) -> Mapping[str, PostedNotice]:
    """What is known of the messages of these notices; those that were never stored here are left out."""
    found = {}
    for each in ids:
        row = conn.execute(_POSTED, (each,)).fetchone()
        if row is None:
            continue
        posted = codec.posted_of(row)
        known = {posted} if posted is not None else set()
        kept = posted
        if row["kind"] == NoticeKind.CARD:
            kept = Posted(row["card_channel_id"], row["card_ts"]) if row["card_ts"] is not None else None
            known |= {kept} if kept is not None else set()
            known |= {Posted(*former) for former in conn.execute(_FORMER, (row["card_id"],)).fetchall()}
        found[each] = PostedNotice(NoticeState(row["state"]), kept, frozenset(known))
    return found
