"""The delivery ledger: which posts are due, and what became of them. Functions work in the caller's transaction.

Theory. A notice waits until it is delivered, given up, or shown by its card. Edits of cards: see edits.py.

Notices that share a message have a lead (`lead` names it). The lead alone is due, claimed and sent; the others wait
with it and take over its state when it is settled (`_settle_carried`). So the ledger says what became of each alert.

Slack has no idempotency key, so a post is sent by at most one process, and found again by looking. Before it sends,
a deliverer claims the notice: a compare-and-set in one transaction (`claim`), which fails while another claim is
open. `intent_at` is when it was claimed, `claimant` by whom. The claim, and not the lease, keeps two processes from
sending one notice: a process that lost its lease without noticing still holds what it claimed, and claims nothing that
another one holds. A claim ends

- by `delivered`, or by `put_off` without `unknown`: the outcome is known;
- by `put_off` with `unknown`: the claimant gave up. `claimant` goes, `intent_at` stays: look, then replace the claim;
- by `claimant_ended`: the claimant died. The message may be on its way, so looking waits for another 5 s;
- 20 s after it began, whatever the claimant does. It starts its request within 2 s and gives up after 10 s in
  all (deliver.py), so nothing of it is on its way by then.

A process that looks in vain replaces exactly the claim that it looked for (`settled`), so of two that looked only one
sends. A mark that comes late, from a claimant that was replaced, ends no claim but its own. If it is about another
message than the one that is recorded, there are two: see duplicates.py.

An open claim also keeps its channel from all other claimants: nothing else is due there for them, and they can claim
nothing in it (`_POSTING`). So the order of a channel and one message a second hold over all processes, also while a
call is slow. A claim that was given up, or has run out, keeps nobody away. A claimant's own posts keep it away only
from other names of the same channel: the courier makes one call at a time in each channel as it is configured.

How many messages a channel may get in a minute is decided when one is claimed, see budget.py. So is what of that which
waited for long is posted at all, see unseen.py.

A picture of what is measured, in the thread of a card, is no notice. It is not worth a duplicate, and nothing waits
for it. So it has no claim that others settle, no retry, and no row of its own: only `cards.picture_at`, since when it
waits. That is set when a card of one alert is posted for the first time (`_want_picture`), within PICTURE_WITHIN of the
decision: neither an upgrade nor an hour without Slack brings a flood of pictures. It is null again before the picture
is sent, when the alert ends, and where there is nothing to draw. Whatever happens after that, a crash included, it is
not sent again. Only where Slack certainly did not post it, such as with a 429, is it put back. See pictures.py: a
picture comes after all other posts of all channels.

Times that lie further ahead than any that this program writes were written before the clock was set back, and hold
nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from alertbot.alerts.alert import Reason, State
from alertbot.alerts.cards import Card, Posted, is_shared, leading, worst_first
from alertbot.alerts.delivery import Capacity, Claimed, Due, HeldBack, PostCard, PostLine, PostOps, Tried
from alertbot.alerts.grouping import NAMED, NAMES
from alertbot.alerts.notice import Notice, NoticeKind, notice_id, operational
from alertbot.errors import StoreError
from alertbot.rules.privacy import Names
from alertbot.store import codec
from alertbot.store.codec import stamp
from alertbot.store.sql import budget, claims, duplicates, edits, unseen
from alertbot.store.sql import record as recording
from alertbot.store.sql.cards import CLOCK_WAS_SET_BACK, MAX_WAIT, RANK, all_with_members, card_row, wait, with_members
from alertbot.store.sql.claims import CALL_TAKES, CLAIM_HOLDS, MESSAGE_APPEARS
from alertbot.store.sql.connection import Connection, Row
from alertbot.store.sql.record import count, raise_revision

CHANNEL_REST = timedelta(seconds=1)
"""Slack allows one message a second a channel (docs.slack.dev, rate limits, "posting messages")."""
PICTURE_WITHIN = timedelta(minutes=10)
"""A picture is wanted if its card is posted this soon after the decision, and dropped if it waits longer than this."""
# What is being posted now, and where.
_POSTING = """
    SELECT COALESCE(h.channel_id, n.channel) AS place, n.channel, n.claimant, n.look_at
    FROM notices n INDEXED BY notices_claimed LEFT JOIN channels h ON h.channel = n.channel
    WHERE n.state = 'waiting' AND n.claimant IS NOT NULL AND n.look_at > :now AND n.look_at <= :held
"""
_BY_ANOTHER = "posting.claimant <> :claimant OR posting.channel <>"
_WAITS = "(held_until > :now AND held_until <= :longest) OR (rest_until > :now AND rest_until <= :ahead)"
# One ready notice for each place. A place is a Slack channel: two spellings of one channel (#name, id) share its rest
# as soon as an answer named its id. A card waits with the level that it has now, so that a rise moves it forward.
#
# In a storm thousands of notices wait in few channels, and most of the time those rest. So the channels come first,
# hopping from one to the next in the index, and only the notices of those that may be posted in are read.
#
# Whether a member of a card is open is asked of each member: as a condition, PostgreSQL without statistics of a new
# database begins with all open alerts, for each notice.
#
# A line that only names members of a card (they fired, and it is not broadcast) comes after the cards of all levels.
_DUE_POSTS = f"""
    WITH RECURSIVE waiting (channel) AS (
        SELECT min(channel) FROM notices WHERE state = 'waiting'
        UNION ALL
        SELECT (SELECT min(channel) FROM notices WHERE state = 'waiting' AND channel > waiting.channel)
        FROM waiting WHERE waiting.channel IS NOT NULL
    ),
    posting AS ({_POSTING}),
    free AS (
        SELECT w.channel, COALESCE(h.channel_id, w.channel) AS place
        FROM waiting w LEFT JOIN channels h ON h.channel = w.channel
        WHERE w.channel IS NOT NULL
            AND COALESCE(h.channel_id, w.channel) NOT IN (
                SELECT COALESCE(channel_id, channel) FROM channels WHERE {_WAITS}
            )
            AND NOT EXISTS (
                SELECT 1 FROM posting
                WHERE posting.place = COALESCE(h.channel_id, w.channel) AND ({_BY_ANOTHER} w.channel)
            )
            AND COALESCE(h.channel_id, w.channel) NOT IN (SELECT value FROM json_each(:full))
    ),
    ready AS (
        SELECT n.id, n.channel, n.at, n.rowid AS arrived, free.place,
            CASE WHEN n.id IN (SELECT hold_notice FROM channels WHERE hold_notice IS NOT NULL) THEN 4
            WHEN n.kind = 'line' AND n.reason = 'fired' AND NOT n.broadcast THEN 0
            WHEN n.kind <> 'card' OR n.level = 'critical' THEN {RANK.format("n.level")}
            ELSE MAX({RANK.format("n.level")}, COALESCE((
                SELECT MAX(CASE WHEN a.ended_at IS NULL THEN {RANK.format("a.level")} END)
                FROM card_alerts m JOIN alerts a ON a.id = m.alert_id WHERE m.card_id = n.card_id
            ), 0)) END AS rank
        FROM free CROSS JOIN notices n ON n.channel = free.channel
        WHERE n.state = 'waiting' AND n.lead IS NULL
            AND (n.not_before IS NULL OR n.not_before <= :now OR n.not_before > :longest)
            AND (n.look_at IS NULL OR n.look_at <= :now OR n.look_at > :held)
            AND (n.kind <> 'line' OR (SELECT c.state FROM cards c WHERE c.id = n.card_id) = 'posted')
    ),
    in_turn AS (
        SELECT *, ROW_NUMBER() OVER (PARTITION BY place ORDER BY rank DESC, at, arrived) AS turn FROM ready
    )
    SELECT id, channel, rank, at FROM in_turn WHERE turn = 1 ORDER BY rank DESC, at, arrived LIMIT :limit
"""  # noqa: S608  # built-in names only
NOTICES_WITH_ALERTS = (
    "SELECT n.*, a.rule, a.scope, a.parent_id, a.entity_id FROM notices n LEFT JOIN alerts a ON a.id = n.alert_id"
)
_ONE_WITH_ALERT = f"{NOTICES_WITH_ALERTS} WHERE n.id = ?"
OF_ALERT = f"{NOTICES_WITH_ALERTS} WHERE n.alert_id = ? ORDER BY n.at, n.rowid"
OF_NO_ALERT = f"{NOTICES_WITH_ALERTS} WHERE n.alert_id IS NULL ORDER BY n.at, n.rowid"


def due(
    conn: Connection,
    now: datetime,
    limit: int,
    max_messages: int,
    claimant: str,
    capacity: Capacity | None = None,
) -> list[Due]:
    full = json.dumps(list(budget.full(conn, now, max_messages)))
    times = {**_times(now), "limit": limit, "full": full, "claimant": claimant}
    first = [] if capacity and not capacity.posts else conn.execute(_DUE_POSTS, times).fetchall()
    if capacity is not None:
        first = [row for row in first if row["channel"] not in capacity.posting][: capacity.posts]
    # Of one level, what was never reported comes before a card that is out of date.
    found: list[tuple[int, bool, str, Due]] = [
        (-row["rank"], False, row["at"], post)
        for row, post in zip(first, _posts(conn, [row["id"] for row in first]), strict=True)
    ]
    found += [(-rank, True, since, edit) for rank, since, edit in edits.due(conn, now, limit, claimant, capacity)]
    found.sort(key=lambda each: each[:3])
    return [each for *_, each in found[:limit]]


def _times(now: datetime) -> dict[str, object]:
    """The moments that the statements compare with: now, and what lies too far ahead to be meant."""
    return {
        "now": stamp(now),
        "ahead": stamp(now + CLOCK_WAS_SET_BACK),
        "held": stamp(now + CLAIM_HOLDS + CLOCK_WAS_SET_BACK),
        "longest": stamp(now + MAX_WAIT),
    }


# In a storm thousands wait in few channels, and most of them wait for the same.
_WAITING_POSTS = """
    SELECT DISTINCT n.channel, n.not_before, n.look_at, p.held_until, p.rest_until,
        COALESCE(p.channel_id, n.channel) AS place
    FROM notices n
        LEFT JOIN cards c ON c.id = n.card_id
        LEFT JOIN channels p ON p.channel = n.channel
    WHERE n.state = 'waiting' AND n.lead IS NULL AND (n.kind <> 'line' OR c.state = 'posted')
"""


def next_due(conn: Connection, now: datetime, max_messages: int, claimant: str) -> datetime | None:
    ready, full = [], budget.full(conn, now, max_messages)
    posting = conn.execute(_POSTING, _times(now)).fetchall()
    for row in conn.execute(_WAITING_POSTS).fetchall():
        waits = [
            wait(row["not_before"], now, MAX_WAIT),
            wait(row["held_until"], now, MAX_WAIT),
            wait(row["look_at"], now, CLAIM_HOLDS + CLOCK_WAS_SET_BACK),
            wait(row["rest_until"], now, CLOCK_WAS_SET_BACK),
            full.get(row["place"]),
            *(
                codec.unstamp(each["look_at"])
                for each in posting
                if each["place"] == row["place"] and (each["claimant"] != claimant or each["channel"] != row["channel"])
            ),
        ]
        ready.append(max([now, *(each for each in waits if each is not None)]))
    ready += edits.next_due(conn, now, claimant)
    return min(ready, default=None)


# Of those that wait for the same, the oldest is overdue first.
_WAITING_SINCE = """
    SELECT min(n.at) AS at, p.rest_until, COALESCE(p.channel_id, n.channel) AS place,
        n.attempts > 0 OR n.looks > 0 OR n.error <> '' OR n.intent_at IS NOT NULL AS tried
    FROM notices n LEFT JOIN cards c ON c.id = n.card_id LEFT JOIN channels p ON p.channel = n.channel
    WHERE n.state = 'waiting' AND n.lead IS NULL AND (n.kind <> 'line' OR c.state = 'posted')
    GROUP BY p.rest_until, place, tried
"""


def overdue_since(conn: Connection, now: datetime, max_messages: int) -> datetime | None:
    since, full = [], budget.full(conn, now, max_messages)
    for row in conn.execute(_WAITING_SINCE).fetchall():
        waits = codec.unstamp(row["at"])
        posted = codec.maybe_unstamp(row["rest_until"])
        if not row["tried"] and posted is not None:
            waits = max(waits, posted - CHANNEL_REST)  # until then others had their turn
        if row["place"] in full:
            waits = now
        since.append(min(waits, now))
    return min(since, default=None)


# The alerts that a line is about: of a card with very many members, some may not be loaded with it.
_NAMED_MEMBERS = """
    SELECT * FROM alerts WHERE id IN (
        SELECT alert_id FROM notices WHERE id = :notice OR lead = :notice
        UNION SELECT CAST(value AS BIGINT) FROM json_each((SELECT also FROM notices WHERE id = :notice))
    )
"""


def _posts(conn: Connection, notice_ids: Sequence[str]) -> list[Due]:
    """The posts of these notices, in their order."""
    rows = [row for found in conn.execute_each(_ONE_WITH_ALERT, [(each,) for each in notice_ids]) for row in found]
    ids = sorted({row["card_id"] for row in rows if row["card_id"] is not None})
    found = [
        card
        for each in conn.execute_each("SELECT * FROM cards WHERE id = ?", [(each,) for each in ids])
        for card in each
    ]
    cards = {card.id: card for card in all_with_members(conn, found)}
    return [_post(conn, row, cards.get(row["card_id"])) for row in rows]


def _post(conn: Connection, row: Row, card: Card | None) -> Due:
    entry = codec.ledger_entry_of(row)
    if card is None:
        return PostOps(entry.notice, entry.intent_at, entry.attempts, entry.looks, codec.thread_of(row))
    if entry.notice.kind is NoticeKind.CARD:
        return PostCard(entry.notice, card, entry.intent_at, entry.attempts, entry.looks)
    by_id = {member.id: member for member in card.members}
    for member in conn.execute(_NAMED_MEMBERS, {"notice": row["id"]}).fetchall():
        by_id.setdefault(member["id"], codec.alert_of(member))
    carried = conn.execute("SELECT alert_id, level, measure FROM notices WHERE lead = ?", (row["id"],)).fetchall()
    named = [codec.carried_of(other, by_id[other["alert_id"]]) for other in carried]
    named += [by_id[alert_id] for alert_id in codec.also_of(row)]
    return PostLine(
        entry.notice, card, by_id[row["alert_id"]], tuple(named), entry.intent_at, entry.attempts, entry.looks
    )


def _with_alert(conn: Connection, notice_id: str) -> Row:
    row: Row = conn.execute(_ONE_WITH_ALERT, (notice_id,)).fetchone()
    return row


def _notice(conn: Connection, notice_id: str) -> Row:
    row: Row | None = conn.execute("SELECT * FROM notices WHERE id = ?", (notice_id,)).fetchone()
    if row is None:
        raise StoreError(f"there is no notice {notice_id}")
    return row


_CHANNEL_WAITS = f"""
    SELECT 1 FROM channels
    WHERE COALESCE(channel_id, channel) = COALESCE((SELECT channel_id FROM channels WHERE channel = :channel), :channel)
        AND ({_WAITS})
"""  # noqa: S608


_POSTS_IN = f"""
    SELECT 1 FROM ({_POSTING}) AS posting
    WHERE posting.place = COALESCE((SELECT channel_id FROM channels WHERE channel = :channel), :channel)
        AND ({_BY_ANOTHER} :channel)
"""  # noqa: S608


def _another_posts(conn: Connection, channel: str, claimant: str, now: datetime) -> bool:
    """Whether another claimant is posting in this channel now."""
    values = {**_times(now), "channel": channel, "claimant": claimant}
    return conn.execute(_POSTS_IN, values).fetchone() is not None


def channel_waits(conn: Connection, channel: str, now: datetime) -> bool:
    """Whether nothing may be posted in this channel now: it rests after a message, or Slack asked to wait."""
    return conn.execute(_CHANNEL_WAITS, {**_times(now), "channel": channel}).fetchone() is not None


# A post that was put off, or whose channel Slack holds, is not due: waiting for it could take an hour.
_A_POST_WAITS = """
    SELECT 1 FROM notices n LEFT JOIN channels p ON p.channel = n.channel
    WHERE n.state = 'waiting' AND n.lead IS NULL
        AND (n.not_before IS NULL OR n.not_before <= :now OR n.not_before > :longest)
        AND (p.held_until IS NULL OR p.held_until <= :now OR p.held_until > :longest)
        AND (n.kind <> 'line' OR (SELECT c.state FROM cards c WHERE c.id = n.card_id) = 'posted')
    LIMIT 1
"""


def a_post_waits(conn: Connection, now: datetime) -> bool:
    """Whether any post of any channel is due, is being sent, or waits for its turn in its channel."""
    return conn.execute(_A_POST_WAITS, _times(now)).fetchone() is not None


def claim(
    conn: Connection,
    notice_id: str,
    claimant: str,
    now: datetime,
    settled: datetime | None,
    max_messages: int,
) -> Claimed:
    """Claim a notice for a post that begins now, or say why not. Its channel rests from here on."""
    row = _notice(conn, notice_id)
    times = _times(now)
    if row["state"] != "waiting":
        return Claimed.SETTLED
    held = row["look_at"] is not None and times["now"] < row["look_at"] <= times["held"]
    if held or row["intent_at"] != codec.maybe_stamp(settled):
        return Claimed.TAKEN
    if _another_posts(conn, row["channel"], claimant, now):
        return Claimed.NOT_DUE
    card = None if row["card_id"] is None else card_row(conn, row["card_id"])
    if card is not None and row["kind"] == NoticeKind.LINE and card["state"] != "posted":
        return Claimed.NOT_DUE
    if settled is not None and row["claimant"] not in (None, claimant):
        duplicates.suspect(conn, notice_id, now, now + duplicates.CHECK_AFTER)
    if unseen.is_wanted(conn, row["channel"], now, looked_for=notice_id if settled is not None else ""):
        if settled is not None:  # the message of that claim does not exist
            conn.execute(_END_LOOKED_FOR, (notice_id,))
            budget.forget_post(conn, notice_id)
        return Claimed.UNSEEN
    if card is not None and unseen.prepare(conn, row, card, now):
        return Claimed.SUPERSEDED
    if card is None and row["intent_at"] is None and unseen.is_overdue(row, now) and budget.is_report(conn, notice_id):
        budget.drop_report(conn, row["channel"], now)
        return Claimed.SUPERSEDED
    if channel_waits(conn, row["channel"], now):
        return Claimed.NOT_DUE
    if why := budget.refused(conn, notice_id, row["channel"], now, max_messages):
        return Claimed.HOLD if why == "hold" else Claimed.NOT_DUE
    budget.count_post(conn, notice_id, row["channel"], now, max_messages)
    conn.execute(
        "UPDATE notices SET intent_at = ?, claimant = ?, look_at = ?, looks = 0 WHERE id = ?",
        (stamp(now), claimant, stamp(now + CLAIM_HOLDS), notice_id),
    )
    rest(conn, row["channel"], None, now)
    return Claimed.DONE


_END_LOOKED_FOR = "UPDATE notices SET intent_at = NULL, look_at = NULL, claimant = NULL WHERE id = ?"


def hold_back(
    conn: Connection,
    channel: str,
    report: Callable[[HeldBack], Notice],
    now: datetime,
    max_messages: int,
    names: Names,
) -> None:
    held = budget.about_to_hold(conn, channel, now, max_messages, names)
    if held is not None:
        notice = report(held)
        recording.add_notices(conn, "", [notice], {}, now)
        budget.hold(conn, channel, notice.id)


def claimants(conn: Connection) -> list[str]:
    rows = conn.execute("SELECT DISTINCT claimant FROM notices WHERE state = 'waiting' AND claimant IS NOT NULL")
    return sorted({*(row["claimant"] for row in rows.fetchall()), *claims.claimants(conn)})


def claimant_ended(conn: Connection, claimant: str, now: datetime, *, certain: bool) -> None:
    if not certain:
        duplicates.suspect_claimed(conn, claimant, now)
    conn.execute(
        "UPDATE notices SET claimant = NULL, look_at = MIN(look_at, :look_at) "
        "WHERE state = 'waiting' AND claimant = :claimant AND (:certain OR intent_at <= :over)",
        {
            "look_at": stamp(now + MESSAGE_APPEARS),
            "claimant": claimant,
            "certain": certain,
            "over": stamp(now - CALL_TAKES),
        },
    )
    claims.claimant_ended(conn, claimant, now, certain=certain)


def rest(conn: Connection, channel: str, channel_id: str | None, now: datetime) -> None:
    """No message in this channel for a second. `channel_id`: its id, where an answer named it."""
    conn.execute(
        "INSERT INTO channels (channel, channel_id, rest_until) VALUES (?, ?, ?) ON CONFLICT (channel) DO UPDATE SET "
        "channel_id = COALESCE(excluded.channel_id, channels.channel_id), rest_until = excluded.rest_until",
        (channel, channel_id, stamp(now + CHANNEL_REST)),
    )


def hold_channel(conn: Connection, channel: str, until: datetime) -> None:
    conn.execute(
        "INSERT INTO channels (channel, held_until) VALUES (?, ?) "
        "ON CONFLICT (channel) DO UPDATE SET held_until = CASE WHEN channels.held_until > ? THEN "
        "excluded.held_until ELSE MAX(COALESCE(channels.held_until, ''), excluded.held_until) END",
        (channel, stamp(until), stamp(until + MAX_WAIT)),
    )


def delivered(conn: Connection, notice_id: str, posted: Posted, version: int, now: datetime) -> bool:
    row = _notice(conn, notice_id)
    if row["state"] == "delivered":
        if posted in duplicates.posted_notices(conn, [notice_id])[notice_id].known:
            return True
        duplicates.suspect(conn, notice_id, now, now)
        edits.count_closing(conn, now)
        return False
    conn.execute(
        "UPDATE notices SET state = 'delivered', settled_at = ?, posted_channel_id = ?, posted_ts = ?, error = '' "
        "WHERE id = ?",
        (stamp(now), posted.channel_id, posted.ts, notice_id),
    )
    _settle_carried(conn, notice_id)
    _add_replies(conn, row, posted, now)
    rest(conn, row["channel"], posted.channel_id, now)
    if row["kind"] == NoticeKind.LINE:
        count(conn, row["tenant"], "lines_posted")
    elif row["kind"] == NoticeKind.CARD:
        count(conn, row["tenant"], "cards_posted")
        _card_posted(conn, row["card_id"], posted, version, now)
        _want_picture(conn, row, now)
    return True


def _add_replies(conn: Connection, row: Row, posted: Posted, now: datetime) -> None:
    """What belongs into the thread of an operational message is due once the message stands there."""
    if row["replies"] == "[]":
        return
    notice = codec.ledger_entry_of(_with_alert(conn, row["id"])).notice
    for place, text in enumerate(notice.replies):
        words = ("reply", notice.id, str(place))
        reply = operational(words, row["channel"], text, now, once=notice.at, level=notice.level)
        recording.add_notices(conn, row["tenant"], [reply], {}, now)
        conn.execute(
            "UPDATE notices SET thread_channel_id = ?, thread_ts = ? WHERE id = ?",
            (posted.channel_id, posted.ts, reply.id),
        )


_SETTLE_CARRIED = """
    UPDATE notices SET (state, settled_at, error, channel, posted_channel_id, posted_ts) = (
        SELECT l.state, l.settled_at, l.error, l.channel, l.posted_channel_id, l.posted_ts
        FROM notices l WHERE l.id = notices.lead
    )
    WHERE lead = ? AND state = 'waiting'
"""


def _settle_carried(conn: Connection, lead: str) -> int:
    """The notices that this one's message carries have its fate; the number of those that waited."""
    return conn.execute(_SETTLE_CARRIED, (lead,)).rowcount


def _card_posted(conn: Connection, card_id: int, posted: Posted, version: int, now: datetime) -> None:
    card = card_row(conn, card_id)
    if card["state"] == "given_up":  # by another process, while this one was sending it
        raise_revision(conn, card["tenant"])
    conn.execute(
        "UPDATE cards SET state = 'posted', posted_channel_id = ?, posted_ts = ? WHERE id = ?",
        (posted.channel_id, posted.ts, card_id),
    )
    edits.shows_version(conn, card_id, version, now)
    # Posted after the end, it is closed and shows what its lines would have said one by one, perhaps hours late. It
    # does not name all of many members: the lines that do are still posted.
    if version >= card["version"] and card["ended_at"] is not None:
        (members,) = conn.execute("SELECT count(*) FROM card_alerts WHERE card_id = ?", (card_id,)).fetchone()
        conn.execute(
            "UPDATE notices SET state = 'told_by_card', settled_at = :now "
            "WHERE card_id = :card AND kind = 'line' AND state = 'waiting' AND (:named OR reason <> 'fired')",
            {"now": stamp(now), "card": card_id, "named": members <= NAMED},
        )


_WANT_PICTURE = """
    UPDATE cards SET picture_at = :now
    WHERE id = :card AND group_key LIKE 'alert:%' AND ended_at IS NULL
        AND (SELECT count(*) FROM notices WHERE card_id = :card AND kind = 'card' AND state = 'delivered') = 1
        AND EXISTS (
            SELECT 1 FROM card_alerts m JOIN alerts a ON a.id = m.alert_id
            WHERE m.card_id = :card AND a.state = 'firing' AND a.scope <> 'feed' AND a.muted IS NULL
        )
"""


def _want_picture(conn: Connection, notice: Row, now: datetime) -> None:
    """The first message of a card that shows one alert of a rule gets a picture, unless it is late."""
    if now - codec.unstamp(notice["at"]) <= PICTURE_WITHIN:
        conn.execute(_WANT_PICTURE, {"now": stamp(now), "card": notice["card_id"]})


# Ends the claims that no other claimant can be sending.
_END_CLAIM = """
    intent_at = CASE WHEN claimant IS NULL OR claimant = :claimant THEN NULL ELSE intent_at END,
    look_at = CASE WHEN claimant IS NULL OR claimant = :claimant THEN NULL ELSE look_at END,
    claimant = NULLIF(claimant, :claimant)
"""
_MOVE = f"UPDATE notices SET channel = :channel, not_before = NULL, attempts = attempts + 1, {_END_CLAIM} "  # noqa: S608
_MOVE_NOTICE = f"{_MOVE} WHERE id = :id"
_LEAVE_THREAD = "UPDATE notices SET thread_channel_id = NULL, thread_ts = NULL WHERE id = :id"
_MOVE_CARD = f"{_MOVE} WHERE card_id = :card AND state = 'waiting'"
_FOLLOW_CARD = f"UPDATE notices SET not_before = NULL, {_END_CLAIM} WHERE card_id = :card AND state = 'waiting'"  # noqa: S608


def put_off(
    conn: Connection,
    notice_id: str,
    until: datetime,
    error: str,
    claimant: str,
    *,
    unknown: bool,
    tried: Tried,
) -> None:
    row = _notice(conn, notice_id)
    if not unknown:
        _was_not_posted(conn, row, claimant)
    elif tried is Tried.POST and row["claimant"] != claimant:  # it was replaced, and may have posted all the same
        duplicates.suspect(conn, notice_id, until, until + duplicates.CHECK_AFTER)
    conn.execute(
        "UPDATE notices SET not_before = :until, error = :error, attempts = attempts + :attempts, "
        "looks = looks + :looks, "
        "intent_at = CASE WHEN claimant = :claimant AND NOT :unknown THEN NULL ELSE intent_at END, "
        "look_at = CASE WHEN claimant = :claimant THEN NULL ELSE look_at END, "
        "claimant = NULLIF(claimant, :claimant) WHERE id = :id AND state = 'waiting'",
        {
            "until": stamp(until),
            "error": error,
            "attempts": int(tried is Tried.POST),
            "looks": int(tried is Tried.LOOK),
            "claimant": claimant,
            "unknown": unknown,
            "id": notice_id,
        },
    )


def _was_not_posted(conn: Connection, row: Row, claimant: str) -> None:
    """The message of this claimant does not count in its channel, unless another one claimed the notice meanwhile."""
    if row["claimant"] in (None, claimant):
        budget.forget_post(conn, row["id"])


def give_up(conn: Connection, notice_id: str, error: str, now: datetime) -> None:
    row = _notice(conn, notice_id)
    if row["state"] != "waiting":
        return
    _settle_given_up(conn, row, error, now)
    budget.forget_post(conn, notice_id)
    if row["kind"] == NoticeKind.CARD:
        conn.execute("UPDATE cards SET state = 'given_up' WHERE id = ?", (row["card_id"],))
        raise_revision(conn, row["tenant"])
        _give_up_lines(conn, row["card_id"], error, now)


def _give_up_lines(conn: Connection, card_id: int, error: str, now: datetime) -> None:
    waiting = conn.execute(
        "SELECT * FROM notices WHERE card_id = ? AND state = 'waiting' AND lead IS NULL", (card_id,)
    ).fetchall()
    for line in waiting:
        _settle_given_up(conn, line, error, now)


def _settle_given_up(conn: Connection, row: Row, error: str, now: datetime) -> None:
    conn.execute(
        "UPDATE notices SET state = 'given_up', settled_at = ?, error = ? WHERE id = ?", (stamp(now), error, row["id"])
    )
    count(conn, row["tenant"], "given_up", 1 + _settle_carried(conn, row["id"]))


def reroute(conn: Connection, notice_id: str, channel: str, claimant: str) -> None:
    row = _notice(conn, notice_id)
    if row["state"] != "waiting":
        return
    _was_not_posted(conn, row, claimant)
    if row["kind"] == NoticeKind.OPS:
        conn.execute(_MOVE_NOTICE, {"channel": channel, "claimant": claimant, "id": notice_id})
        conn.execute(_LEAVE_THREAD, {"id": notice_id})
        return
    card = card_row(conn, row["card_id"])
    if row["kind"] == NoticeKind.LINE:
        _post_again(conn, card, codec.unstamp(row["at"]), claimant)
    conn.execute("UPDATE cards SET channel = ? WHERE id = ?", (channel, card["id"]))
    raise_revision(conn, card["tenant"])
    conn.execute(_MOVE_CARD, {"channel": channel, "claimant": claimant, "card": card["id"]})


_KEEP_MESSAGE = """
    INSERT INTO former_messages (card_id, posted_channel_id, posted_ts, sent_version)
    SELECT id, posted_channel_id, posted_ts, sent_version FROM cards c
    WHERE id = ? AND ended_at IS NULL AND NOT EXISTS (
        SELECT 1 FROM former_messages f WHERE f.card_id = c.id AND f.posted_channel_id = c.posted_channel_id
    )
"""


def repost(conn: Connection, card: Card, now: datetime, claimant: str, keep: bool = False) -> bool:
    edits.end_claim(conn, card.posted, claimant)
    row = card_row(conn, card.id)
    if row["state"] != "posted" or codec.posted_of(row) != card.posted:
        return True  # another process found out first
    if keep and conn.execute(_KEEP_MESSAGE, (card.id,)).rowcount == 0:
        return False
    if row["ended_at"] is not None:
        conn.execute("UPDATE cards SET state = 'gone' WHERE id = ?", (card.id,))
        _give_up_lines(conn, card.id, "the card's message is gone, and its alert has ended", now)
    else:
        _post_again(conn, row, now, claimant)
    raise_revision(conn, row["tenant"])
    return True


def _post_again(conn: Connection, card: Row, now: datetime, claimant: str) -> None:
    """Post a card again, elsewhere. The notice for it mentions no one: that was done the first time."""
    conn.execute(
        "UPDATE cards SET state = 'waiting', posted_channel_id = NULL, posted_ts = NULL, sent_version = 0, "
        "edit_not_before = NULL, edit_attempts = 0, edit_error = '' WHERE id = ?",
        (card["id"],),
    )
    # A line that may have reached the old thread is posted again in the new one, unless it is being sent right now.
    conn.execute(_FOLLOW_CARD, {"claimant": claimant, "card": card["id"]})
    row = conn.execute(
        f"{NOTICES_WITH_ALERTS} WHERE n.card_id = ? AND n.kind = 'card' ORDER BY n.rowid LIMIT 1", (card["id"],)
    ).fetchone()
    first, alert_id = codec.ledger_entry_of(row).notice, row["alert_id"]
    if is_shared(card["group_key"]):  # the alert with which the card began may have ended
        worst = leading(with_members(conn, card).members)
        first = replace(first, alert=worst.key, level=worst.level, measure=worst.measure, text="")
        alert_id = worst.id
    again = Notice(
        id=notice_id(("posted again", str(card["id"]), card["posted_ts"] or ""), first.reason, card["channel"], now),
        kind=NoticeKind.CARD,
        alert=first.alert,
        channel=card["channel"],
        reason=first.reason,
        level=first.level,
        at=now,
        text=first.text,
        measure=first.measure,
    )
    recording.insert_notice(conn, again, card["tenant"], NoticeKind.CARD, now=now, alert_id=alert_id, card=card)
    _name_again(conn, card, now)


_SAID_LATER = (
    "SELECT alert_id FROM notices WHERE card_id = ? AND kind = 'line' AND reason = 'fired' AND state = 'waiting'"
)


def _name_again(conn: Connection, card: Row, now: datetime) -> None:
    """The new thread of a card with more members than it names gets their names, but for those of waiting lines."""
    members = [member for member in with_members(conn, card).members if member.state is not State.INACTIVE]
    if len(members) <= NAMED:
        return
    later = {row["alert_id"] for row in conn.execute(_SAID_LATER, (card["id"],)).fetchall()}
    left = [member for member in worst_first(members) if member.id not in later]
    for step in range(0, len(left), NAMES):
        first, *others = left[step : step + NAMES]
        words = ("named again", str(card["id"]), card["posted_ts"] or "", str(step))
        names = Notice(
            id=notice_id(words, Reason.FIRED, card["channel"], now),
            kind=NoticeKind.LINE,
            alert=first.key,
            channel=card["channel"],
            reason=Reason.FIRED,
            level=first.level,
            at=now,
            measure=first.measure,
        )
        also = [other.id for other in others if other.id is not None]
        recording.insert_notice(
            conn, names, card["tenant"], NoticeKind.LINE, now=now, alert_id=first.id, card=card, also=also
        )
