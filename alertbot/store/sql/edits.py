"""Edits of posted cards: which are due, and what became of them. Each function works inside the caller's transaction.

Theory. A card knows which version Slack should show (`version`) and which it shows (`sent_version`); any number of
versions in between are one edit.

An edit is claimed before it is sent (claims.py), since two processes that edit one message can do harm: by sending the
older state last. `claim` compares: the message must show what it showed when the edit was read, and no other process
may be editing it. Its request begins within 2 s of the claim and has ended 10 s after it (deliver.py), and the claim
holds for 20 s: so nothing of an edit is on its way when another process begins the next one. Repeating an edit is
harmless, so there is nothing to look for afterwards: the next claim sends the current state. An answer that comes late
all the same is believed (`edited`): if it is older than what another process had sent, the card is outdated again. An
outcome for a message that is no longer the card's (`edited`, `repost`) changes nothing: both name the message that they
saw.

Slack allows 50 edits a minute in the whole workspace, whatever their channel. They are counted when they are claimed,
in the same transaction (`card_edits`, the rows of the last minute), so those that any process is sending count too.
Until its outcome is known, an edit counts from the latest time at which it can be sent; after that, from its answer.
One that Slack certainly did not count, such as after a 429, is removed again; one whose process died stays.

What users wait for (an end, a level, an owner) comes before values that only changed, and these leave room for it:
otherwise 200 cards with changing values would use up the minute, and a card that ended would have to wait for the next
one. A waiting edit is superseded by later ones: an edit always shows the current state.

A card that is posted again because its channel did not work leaves a message behind that still says "firing". It is
kept in `former_messages`, due for edits like the card's own, until it shows the end or turns out to be deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from alertbot.alerts.alert import ENDS, Reason
from alertbot.alerts.cards import Card, Posted, leading, worst_first
from alertbot.alerts.delivery import MINUTE, Capacity, Claimed, EditCard
from alertbot.alerts.grouping import NAMES
from alertbot.alerts.notice import Notice, NoticeKind, notice_id
from alertbot.store import codec
from alertbot.store.codec import stamp
from alertbot.store.sql import claims
from alertbot.store.sql import record as recording
from alertbot.store.sql.cards import (
    AT_ONCE,
    CARD_RANK,
    CLOCK_WAS_SET_BACK,
    MAX_WAIT,
    all_with_members,
    card_row,
    wait,
)
from alertbot.store.sql.connection import Connection, Row
from alertbot.store.sql.record import count

# Members of cards to edit that are read at once: beyond that, one card for each channel.
_MAX_MEMBERS = 2000

_Outdated = tuple[bool, int, str, int, bool, Row]
"""Whether only a value changed, minus the level, since when, the id of the card, whether it is a former message."""

SLACK_ALLOWS = 50
"""Edits a minute in all channels (docs.slack.dev, rate limits, tier 3)."""
MAX_A_MINUTE = 46
"""Of these, edits of cards. The rest is left for messages that are closed as duplicates, and for clocks that differ."""
REFRESHES_A_MINUTE = 30
"""Of edits of cards, those because only a value changed. The rest is left for what users wait for."""
_SENT = "SELECT at FROM card_edits WHERE at > :minute_ago AND at <= :ahead ORDER BY at"
_FORGET_SENT = "DELETE FROM card_edits WHERE at <= :minute_ago OR at > :ahead"

_ANSWERED = "UPDATE card_edits SET at = :now WHERE at = :at AND card_id = :card"
_NOT_SENT = "DELETE FROM card_edits WHERE at = :at AND card_id = :card"
_NO_CARD = 0

_EDITS = "chat.update"


def edits_in(channel_id: str = "") -> str:
    """The key in `channels` that holds edits: of all channels, or of one."""
    return f"{_EDITS} {channel_id}".strip()


_EDITS_HELD = """
    (SELECT MAX(held_until) FROM channels h WHERE h.channel IN ('chat.update', 'chat.update ' || {}.posted_channel_id))
"""
_OUTDATED_CARDS = f"""
    SELECT c.*, {CARD_RANK} AS rank, {_EDITS_HELD.format("c")} AS held FROM cards c
    WHERE c.state = 'posted' AND c.version > c.sent_version
        AND (c.edit_not_before IS NULL OR c.edit_not_before <= :now OR c.edit_not_before > :longest)
"""  # noqa: S608
_OUTDATED_URGENTLY = f"{_OUTDATED_CARDS} AND c.urgent_version > c.sent_version"
_OUTDATED_FORMER = f"""
    SELECT f.posted_channel_id AS former_channel_id, f.posted_ts AS former_ts, f.sent_version AS former_version,
        f.edit_attempts AS former_attempts, c.*, {CARD_RANK} AS rank, {_EDITS_HELD.format("f")} AS held
    FROM former_messages f CROSS JOIN cards c ON c.id = f.card_id
    WHERE c.version > f.sent_version
        AND (f.edit_not_before IS NULL OR f.edit_not_before <= :now OR f.edit_not_before > :longest)
"""  # noqa: S608
_ENDS = ", ".join(f"'{reason}'" for reason in sorted(ENDS))


def due(
    conn: Connection, now: datetime, limit: int, claimant: str, capacity: Capacity | None = None
) -> list[tuple[int, str, EditCard]]:
    """The edits that are due: the level of each card as a number, since when it is outdated, and the edit.

    The number is 0 if only a value changed.
    """
    times, sent = _times(now), len(_last_minute(conn, now))
    left, refreshes = min(limit, MAX_A_MINUTE - sent), REFRESHES_A_MINUTE - sent
    if left <= 0 or (capacity and not capacity.edits):
        return []
    cards = conn.execute(_OUTDATED_CARDS if refreshes > 0 else _OUTDATED_URGENTLY, times).fetchall()
    waiting = [row for row in cards if _edit_is_due(row, now)]
    former = conn.execute(_OUTDATED_FORMER, times).fetchall()
    busy = claims.held(conn, claims.EDIT, now, but=claimant) if waiting or former else {}
    outdated: list[_Outdated] = [
        (not (in_former or _is_urgent(row)), -row["rank"], row["outdated_since"] or "", row["id"], in_former, row)
        for in_former, rows in ((False, waiting), (True, former))
        for row in rows
        if not is_held(row["held"], now) and claims.message(_message(row, in_former)) not in busy
    ]
    outdated.sort(key=lambda each: each[:5])
    if capacity is not None:
        outdated = _first_of_each_channel(outdated, capacity)
    found: list[tuple[int, str, EditCard]] = []
    members, channels = 0, set()
    for first in range(0, min(left, len(outdated)), AT_ONCE):
        some: list[_Outdated] = []
        for each in outdated[first : min(left, first + AT_ONCE)]:
            refresh, *_, in_former, row = each
            channel = _message(row, in_former).channel_id
            if refresh and len(found) + len(some) >= refreshes:
                break
            if members > _MAX_MEMBERS and channel in channels:
                continue  # still due after the one before it in that channel
            some.append(each)
            channels.add(channel)
        for (refresh, rank, since, _, in_former, row), card in zip(
            some, all_with_members(conn, [each[-1] for each in some]), strict=True
        ):
            found.append((0 if refresh else -rank, since, _edit(card, row, in_former)))
            members += len(card.members)
    return found


def _first_of_each_channel(outdated: Sequence[_Outdated], capacity: Capacity) -> list[_Outdated]:
    found: dict[str, _Outdated] = {}
    for each in outdated:
        *_, former, row = each
        found.setdefault(_message(row, former).channel_id, each)
    return [each for channel, each in found.items() if channel not in capacity.editing][: capacity.edits]


def _last_minute(conn: Connection, now: datetime) -> list[str]:
    rows = conn.execute(_SENT, {"minute_ago": stamp(now - MINUTE), "ahead": stamp(now + CLOCK_WAS_SET_BACK)}).fetchall()
    return [row["at"] for row in rows]


def _count(conn: Connection, card_id: int, now: datetime, at: datetime) -> None:
    """Count an edit of this time."""
    conn.execute(_FORGET_SENT, {"minute_ago": stamp(now - MINUTE), "ahead": stamp(now + CLOCK_WAS_SET_BACK)})
    conn.execute("INSERT INTO card_edits (at, card_id) VALUES (?, ?)", (stamp(at), card_id))


def _claimed(card_id: int, since: datetime) -> dict[str, object]:
    """How an edit is counted that was claimed then, and whose outcome is not known."""
    return {"at": stamp(since + claims.CALL_TAKES), "card": card_id}


def count_closing(conn: Connection, now: datetime) -> None:
    """A message is about to be closed as a duplicate."""
    _count(conn, _NO_CARD, now, now)


def may_close(conn: Connection, now: datetime) -> bool:
    """Whether a message may be closed as a duplicate now; it is counted."""
    row = conn.execute("SELECT held_until FROM channels WHERE channel = ?", (edits_in(),)).fetchone()
    if (row is not None and is_held(row["held_until"], now)) or len(_last_minute(conn, now)) >= SLACK_ALLOWS:
        return False
    count_closing(conn, now)
    return True


def _is_urgent(card: Row) -> bool:
    return bool(card["urgent_version"] > card["sent_version"])


def _times(now: datetime) -> dict[str, object]:
    return {"now": stamp(now), "longest": stamp(now + MAX_WAIT)}


def _message(row: Row, former: bool) -> Posted:
    kind = "former" if former else "posted"
    return Posted(row[f"{kind}_channel_id"], row[f"{kind}_ts"])


def _edit(card: Card, row: Row, former: bool) -> EditCard:
    if not former:
        return EditCard(card, row["edit_attempts"])
    posted = _message(row, former)
    return EditCard(replace(card, posted=posted, sent_version=row["former_version"]), row["former_attempts"], True)


def is_held(held_until: str | None, now: datetime) -> bool:
    """Whether this time is still to come, and was not written before the clock was set back."""
    until = wait(held_until, now, MAX_WAIT)
    return until is not None and until > now


def _edit_is_due(card: Row, now: datetime) -> bool:
    if _is_urgent(card):
        return True
    edited_at = codec.unstamp(card["edited_at"])
    return now >= edited_at + timedelta(seconds=card["refresh_seconds"]) or edited_at > now + CLOCK_WAS_SET_BACK


# `version > sent_version` follows from the rest; it is what the index of outdated cards is made of.
_URGENT_EDITS = f"""
    SELECT posted_channel_id, posted_ts, edit_not_before, {_EDITS_HELD.format("c")} AS held FROM cards c
    WHERE state = 'posted' AND version > sent_version AND urgent_version > sent_version
    UNION ALL
    SELECT f.posted_channel_id, f.posted_ts, f.edit_not_before, {_EDITS_HELD.format("f")}
    FROM former_messages f CROSS JOIN cards c ON c.id = f.card_id
    WHERE c.version > f.sent_version
"""  # noqa: S608


def next_due(conn: Connection, now: datetime, claimant: str) -> list[datetime]:
    """When each of the urgent edits can be tried."""
    rows, sent = conn.execute(_URGENT_EDITS).fetchall(), _last_minute(conn, now)
    free = codec.unstamp(sent[-MAX_A_MINUTE]) + MINUTE if len(sent) >= MAX_A_MINUTE else now
    busy = claims.held(conn, claims.EDIT, now, but=claimant) if rows else {}
    return [
        max(
            now,
            free,
            busy.get(claims.message(_message(row, False)), now),
            *(wait(row[column], now, MAX_WAIT) or now for column in ("edit_not_before", "held")),
        )
        for row in rows
    ]


_SHOWS = """
    SELECT sent_version, urgent_version FROM cards
    WHERE id = :card AND state = 'posted' AND posted_channel_id = :channel_id AND posted_ts = :ts
"""


def claim(conn: Connection, card: Card, former: bool, claimant: str, now: datetime) -> Claimed:
    """Claim an edit of the message of `card` that begins now, or say why not."""
    row = conn.execute(_SHOWS_FORMER if former else _SHOWS, _former(card.id, card.posted)).fetchone()
    if row is None or card.posted is None or row["sent_version"] != card.sent_version:
        return Claimed.SETTLED
    place = claims.message(card.posted)
    own = claims.since(conn, claims.EDIT, place, claimant)
    most = MAX_A_MINUTE if former or _is_urgent(row) else REFRESHES_A_MINUTE
    if own is None and len(_last_minute(conn, now)) >= most:
        return Claimed.NOT_DUE
    if not claims.take(conn, claims.EDIT, place, claimant, now):
        return Claimed.TAKEN
    if own is not None:  # it counts once
        conn.execute(_NOT_SENT, _claimed(card.id, own))
    _count(conn, card.id, now, now + claims.CALL_TAKES)
    return Claimed.DONE


def end_claim(conn: Connection, posted: Posted | None, claimant: str) -> datetime | None:
    """End the claim that this claimant may have of an edit of this message: when it began, None if there is none."""
    return None if posted is None else claims.give_back(conn, claims.EDIT, claims.message(posted), claimant)


def shows_version(conn: Connection, card_id: int, version: int, now: datetime) -> None:
    conn.execute(
        "UPDATE cards SET sent_version = :version, edited_at = :now, "
        "outdated_since = CASE WHEN version > :version THEN :now END, "
        "edit_attempts = 0, edit_not_before = NULL, edit_error = '' WHERE id = :id",
        {"version": version, "now": stamp(now), "id": card_id},
    )


def edited(conn: Connection, card: Card, now: datetime, claimant: str) -> None:
    since = end_claim(conn, card.posted, claimant)
    row = card_row(conn, card.id)
    if since is None:
        _count(conn, card.id, now, now)
    else:
        conn.execute(_ANSWERED, {**_claimed(card.id, since), "now": stamp(now)})
    if row["state"] == "posted" and codec.posted_of(row) == card.posted:
        count(conn, row["tenant"], "edits")
        shows_version(conn, card.id, card.version, now)
    elif row["ended_at"] is not None and card.version >= row["version"]:
        forget_former(conn, card, claimant)
    else:
        conn.execute(_FORMER_SHOWS, {"version": card.version, **_former(card.id, card.posted)})


_FORMER = "WHERE card_id = :card AND posted_channel_id = :channel_id AND posted_ts = :ts"
_FORMER_SHOWS = (
    "UPDATE former_messages SET sent_version = :version, edit_attempts = 0, edit_not_before = NULL, "  # noqa: S608
    f"edit_error = '' {_FORMER}"
)
_SHOWS_FORMER = f"SELECT sent_version FROM former_messages {_FORMER}"  # noqa: S608
_FORGET_FORMER = f"DELETE FROM former_messages {_FORMER}"  # noqa: S608
_SAID_THE_END = (
    "SELECT state FROM notices WHERE card_id = ? AND kind = 'line' "  # noqa: S608
    f"AND reason IN ({_ENDS}) AND at >= ?"
)


def _former(card_id: int, posted: Posted | None) -> dict[str, object]:
    return {
        "card": card_id,
        "channel_id": posted.channel_id if posted else None,
        "ts": posted.ts if posted else None,
    }


def forget_former(conn: Connection, card: Card, claimant: str) -> None:
    end_claim(conn, card.posted, claimant)
    conn.execute(_FORGET_FORMER, _former(card.id, card.posted))


def close_in_thread(conn: Connection, card: Card, now: datetime) -> bool:
    row = card_row(conn, card.id)
    if row["state"] != "posted" or codec.posted_of(row) != card.posted:
        return True  # the message is not this card's any more
    if row["ended_at"] is None:
        return False
    states = conn.execute(_SAID_THE_END, (card.id, row["ended_at"])).fetchall()
    if states:
        return any(line["state"] == "delivered" for line in states)
    alert = leading(card.members)
    reason = alert.end_reason or Reason.RESOLVED
    closing = Notice(
        id=notice_id(("closed in its thread", str(card.id)), reason, card.channel, codec.unstamp(row["ended_at"])),
        kind=NoticeKind.LINE,
        alert=alert.key,
        channel=card.channel,
        reason=reason,
        level=alert.level,
        at=codec.unstamp(row["ended_at"]),
        measure=alert.measure,
    )
    others = [member.id for member in worst_first(card.members) if member.id not in (None, alert.id)]
    also = [member for member in others[: NAMES - 1] if member is not None]
    recording.insert_notice(
        conn, closing, row["tenant"], NoticeKind.LINE, now=now, alert_id=alert.id, card=row, also=also
    )
    return False


_PUT_OFF_EDIT = "SET edit_not_before = :until, edit_error = :error, edit_attempts = edit_attempts + :tried"


def put_off_edit(
    conn: Connection,
    card_id: int,
    until: datetime,
    error: str,
    claimant: str,
    *,
    tried: bool,
    sent: bool,
    former: Posted | None = None,
) -> None:
    card = card_row(conn, card_id)
    since = end_claim(conn, former or codec.posted_of(card), claimant)
    if since is not None and not sent:
        conn.execute(_NOT_SENT, _claimed(card_id, since))
    values = {
        "until": stamp(until),
        "error": error,
        "tried": int(tried),
        **_former(card["id"], former),
    }
    if former is None:
        conn.execute(f"UPDATE cards {_PUT_OFF_EDIT} WHERE id = :card", values)
    else:
        conn.execute(f"UPDATE former_messages {_PUT_OFF_EDIT} {_FORMER}", values)
