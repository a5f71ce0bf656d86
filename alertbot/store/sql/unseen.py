"""Replaces messages that waited too long by a summary. Each function works inside the caller's transaction.

Theory. After an hour without Slack, a reader wants the current state in few messages: open alerts, critical ones that
have ended, and how much else there was. So before a channel gets a message (`claim`), the store settles what waits for
it, in one transaction with what is posted in its place:

- A card is *unseen* when nothing of it was ever posted, all of its alerts have ended, and none of them was critical.
  (The message of an escalation step may be of a critical alert: the alert has a card of its own.) Once one of them has
  waited for OVERDUE, one operational notice takes the place of all unseen cards of the channel: the summary (`sum_up`).
  It is the lead of their notices, as if they shared a message: they are delivered when it is. So the ledger says what
  became of each of them, and none is lost or reported twice. A single unseen card is posted, closed: it says more than
  a summary.
- The message of an escalation step whose alert has ended says nothing new if the alert has a card in the same channel:
  it is dropped. Of several steps that wait for one channel, the last is posted, with the mentions of all.
- A card that is posted late shows the current state. It takes over the mentions of a rise that still lasts, and its
  waiting lines are dropped (`prepare`). The card of an alert that has ended mentions no one.
- A card that was already posted gets one line, which says what is true now (`prepare`): the end; else the last rise,
  while it lasts and has no owner; else the last event. It gets none if a later one was already posted. Lines of a card
  with many members share one message for each reason. Mentions of a level that no longer lasts are dropped.

The age decides, not whether Slack answers: what has been due for a second is posted as it is, however short the alert
was. The same holds for what `max_messages` held back, and for what waited while the bot was down.

A card with an open claim may have been posted. It is never settled here before it was searched for: `claim` names the
notice that was searched for in vain, whose claim ends with that. While others may still turn out to be unseen, the
summary waits for them, at most for SUMMARY_WAITS: they come one by one, and should not be a summary each. One that
comes later replaces a summary that was not claimed yet, under another id, so no other process can send the old text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from alertbot.alerts.alert import ENDS, Reason, State
from alertbot.alerts.cards import ESCALATIONS
from alertbot.alerts.grouping import NAMED, NAMES
from alertbot.alerts.notice import Notice, NoticeKind
from alertbot.alerts.unseen import Unseen
from alertbot.rules.rule import Level
from alertbot.store import codec
from alertbot.store.codec import stamp
from alertbot.store.sql import budget
from alertbot.store.sql import record as recording
from alertbot.store.sql.connection import Connection, Row

OVERDUE = timedelta(minutes=2)
"""A message that has waited this long is not posted as if it had just happened. `/readyz` counts it as overdue."""
SUMMARY_WAITS = timedelta(minutes=5)
"""For how long a summary waits for cards that are yet to be looked for: the longest pause between two attempts."""

_RISES = frozenset({Reason.FIRED, Reason.LEVEL_UP, Reason.SUPPRESSION_ENDED, Reason.SILENCE_ENDED})

# `echo`: the message of a step, and each of its alerts has a card in that channel, or is in a summary there.
_UNSEEN = f"""
    SELECT n.id, n.at, n.card_id, n.intent_at, n.not_before, n.look_at,
        c.group_key LIKE '{ESCALATIONS}%' AND NOT EXISTS (
            SELECT 1 FROM card_alerts m WHERE m.card_id = c.id AND NOT EXISTS (
                SELECT 1 FROM card_alerts o JOIN cards k ON k.id = o.card_id
                WHERE o.alert_id = m.alert_id AND k.wanted_channel = c.wanted_channel
                    AND k.state IN ('waiting', 'posted', 'gone') AND k.group_key NOT LIKE '{ESCALATIONS}%'
            )
        ) AS echo
    FROM notices n INDEXED BY notices_waiting CROSS JOIN cards c ON c.id = n.card_id
    WHERE n.state = 'waiting' AND n.channel IN (SELECT value FROM json_each(:channels))
        AND n.kind = 'card' AND n.lead IS NULL AND c.state = 'waiting' AND c.ended_at IS NOT NULL
        AND (c.group_key LIKE '{ESCALATIONS}%' OR NOT EXISTS (
            SELECT 1 FROM card_alerts m JOIN alerts a ON a.id = m.alert_id
            WHERE m.card_id = c.id AND a.highest_level = 'critical'
        ))
        AND NOT EXISTS (
            SELECT 1 FROM notices s WHERE s.card_id = c.id AND s.id <> n.id
                AND (s.state = 'delivered' OR (s.state = 'waiting' AND s.intent_at IS NOT NULL))
        )
        AND NOT EXISTS (SELECT 1 FROM former_messages f WHERE f.card_id = c.id)
    ORDER BY n.at, n.rowid
"""  # noqa: S608  # built-in names only
# An operational notice carries others only when it is a summary.
_SUMMARIES = """
    SELECT n.id FROM notices n INDEXED BY notices_waiting
    WHERE n.state = 'waiting' AND n.channel IN (SELECT value FROM json_each(?)) AND n.kind = 'ops'
        AND n.intent_at IS NULL AND EXISTS (SELECT 1 FROM notices c WHERE c.lead = n.id)
"""
_ALERTS_OF_CARDS = """
    SELECT DISTINCT a.* FROM card_alerts m JOIN alerts a ON a.id = m.alert_id
    WHERE m.card_id IN (SELECT CAST(value AS BIGINT) FROM json_each(:cards)) ORDER BY a.id
"""
_CARDS_OF_LEADS = "SELECT DISTINCT card_id FROM notices WHERE lead IN (SELECT value FROM json_each(?))"
_CARRY_CARDS = """
    UPDATE notices SET lead = :lead
    WHERE state = 'waiting' AND card_id IN (SELECT CAST(value AS BIGINT) FROM json_each(:cards))
"""
_CARDS_ARE_GONE = "UPDATE cards SET state = 'gone' WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(?))"
_DROP = (
    "UPDATE notices SET state = 'told_by_card', settled_at = ?, lead = NULL "
    "WHERE id IN (SELECT value FROM json_each(?))"
)
_DROP_CARDS = (
    "UPDATE notices SET state = 'told_by_card', settled_at = ? "
    "WHERE state = 'waiting' AND card_id IN (SELECT CAST(value AS BIGINT) FROM json_each(?))"
)


def is_wanted(conn: Connection, channel: str, now: datetime, looked_for: str = "") -> bool:
    """Whether `sum_up` has something to do in this channel. `looked_for`: a claimed notice that was not posted."""
    channels = budget.spellings(conn, channel)
    cards = _unseen(conn, channels)
    settled = [row for row in cards if row["intent_at"] is None or row["id"] == looked_for]
    if not any(is_overdue(row, now) for row in settled):
        return False
    if any(row["echo"] for row in settled):
        return True
    return len(cards) > 1 or _summaries(conn, channels) != []


def sum_up(conn: Connection, channel: str, report: Callable[[Unseen], Notice], now: datetime) -> None:
    """Settle the unseen cards of a channel, as `is_wanted` says; all but echoes with the notice that `report` makes."""
    if not is_wanted(conn, channel, now):
        return
    channels = budget.spellings(conn, channel)
    cards = _unseen(conn, channels)
    open_claims = [row for row in cards if row["intent_at"] is not None]
    echoes = [row["card_id"] for row in cards if row["intent_at"] is None and row["echo"]]
    unseen = [row["card_id"] for row in cards if row["intent_at"] is None and not row["echo"]]
    conn.execute(_DROP_CARDS, (stamp(now), json.dumps(echoes)))
    conn.execute(_CARDS_ARE_GONE, (json.dumps(echoes),))
    earlier = _summaries(conn, channels)
    if not unseen or len(unseen) + len(open_claims) + len(earlier) == 1:
        return
    summed = [row["card_id"] for row in conn.execute(_CARDS_OF_LEADS, (json.dumps(earlier),)).fetchall()]
    rows = conn.execute(_ALERTS_OF_CARDS, {"cards": json.dumps([*summed, *unseen])}).fetchall()
    summary = report(Unseen(channel, tuple(map(codec.alert_of, rows))))
    recording.insert_notice(conn, summary, "", NoticeKind.OPS, now=now)
    conn.execute(_CARRY_CARDS, {"lead": summary.id, "cards": json.dumps([*summed, *unseen])})
    conn.execute(_CARDS_ARE_GONE, (json.dumps(unseen),))
    conn.execute(_DROP, (stamp(now), json.dumps(earlier)))
    if open_claims:
        until = min(now + SUMMARY_WAITS, max(_tried_at(row, now) for row in open_claims))
        conn.execute("UPDATE notices SET not_before = ? WHERE id = ?", (stamp(until), summary.id))


def _tried_at(row: Row, now: datetime) -> datetime:
    """When it is looked for, as far as is known."""
    times = [codec.maybe_unstamp(row[column]) for column in ("not_before", "look_at")]
    return max(now, *(each for each in times if each is not None)) if any(times) else now


def _unseen(conn: Connection, channels: Sequence[str]) -> list[Row]:
    return conn.execute(_UNSEEN, {"channels": json.dumps(channels)}).fetchall()


def _summaries(conn: Connection, channels: Sequence[str]) -> list[str]:
    return [row["id"] for row in conn.execute(_SUMMARIES, (json.dumps(channels),)).fetchall()]


def is_overdue(notice: Row, now: datetime) -> bool:
    """Whether this notice has waited for too long to be posted as if it had just happened."""
    return now - codec.unstamp(notice["at"]) >= OVERDUE


def prepare(conn: Connection, notice: Row, card: Row, now: datetime) -> bool:
    """Drop the waiting lines that a message of this card makes superfluous; whether anything was changed.

    `notice` is about to be claimed. Nothing changes unless it is overdue.
    """
    if not is_overdue(notice, now):
        return False
    if card["group_key"].startswith(ESCALATIONS) and _next_step_says_it(conn, notice, card, now):
        return True
    lines = _lines(conn, card["id"], notice["id"])
    if notice["kind"] == NoticeKind.CARD:
        return _take_over(conn, notice, card, lines, now)
    return _supersede(conn, lines, now)


# A later step, about all alerts of this one, that waits for the same channel.
_NEXT_STEP = f"""
    SELECT n.id, n.mention FROM notices n INDEXED BY notices_waiting JOIN cards c ON c.id = n.card_id
    WHERE n.state = 'waiting' AND n.channel = :channel AND n.kind = 'card' AND n.lead IS NULL AND n.intent_at IS NULL
        AND c.group_key LIKE '{ESCALATIONS}%' AND (n.at, n.rowid) > (SELECT at, rowid FROM notices WHERE id = :notice)
        AND NOT EXISTS (
            SELECT 1 FROM card_alerts m WHERE m.card_id = :card AND NOT EXISTS (
                SELECT 1 FROM card_alerts o WHERE o.card_id = c.id AND o.alert_id = m.alert_id
            )
        )
    ORDER BY n.at, n.rowid LIMIT 1
"""  # noqa: S608  # built-in names only


def _next_step_says_it(conn: Connection, notice: Row, card: Row, now: datetime) -> bool:
    """Whether the message of this step was dropped: that of a later one takes over its mentions."""
    values = {"channel": notice["channel"], "notice": notice["id"], "card": card["id"]}
    later = conn.execute(_NEXT_STEP, values).fetchone()
    if notice["kind"] != NoticeKind.CARD or later is None:
        return False
    mention = list(dict.fromkeys([*_mention(later), *_mention(notice)]))
    conn.execute("UPDATE notices SET mention = ? WHERE id = ?", (json.dumps(mention), later["id"]))
    cards = json.dumps([card["id"]])
    conn.execute(_DROP_CARDS, (stamp(now), cards))
    conn.execute(_CARDS_ARE_GONE, (cards,))
    return True


_LINES = """
    SELECT n.*, a.state AS alert_state, a.level AS alert_level, a.acked_by, a.ended_at AS alert_ended_at,
        EXISTS (
            SELECT 1 FROM notices d WHERE d.card_id = n.card_id AND d.alert_id = n.alert_id AND d.kind = 'line'
                AND d.state = 'delivered' AND d.at > n.at
        ) AS overtaken
    FROM notices n JOIN alerts a ON a.id = n.alert_id LEFT JOIN notices l ON l.id = n.lead
    WHERE n.card_id = :card AND n.kind = 'line' AND n.state = 'waiting' AND n.also = '[]'
        AND (n.intent_at IS NULL OR n.id = :notice)
        AND (l.id IS NULL OR ((l.intent_at IS NULL OR l.id = :notice) AND l.also = '[]'))
    ORDER BY n.at, n.rowid
"""


def _lines(conn: Connection, card_id: int, notice_id: str) -> list[Row]:
    """The waiting lines of a card that no one may be sending. One that names earlier members as well stays as it is.

    `notice_id`: the one that is about to be claimed. Where it has a claim, it was looked for in vain.
    """
    return conn.execute(_LINES, {"card": card_id, "notice": notice_id}).fetchall()


def _lasts(line: Row) -> bool:
    """Whether the level that this line is about is still that of its alert."""
    return bool(line["alert_state"] != State.INACTIVE and line["alert_level"] == line["level"])


def _mention(notice: Row) -> list[str]:
    found: list[str] = json.loads(notice["mention"])
    return found


def _take_over(conn: Connection, notice: Row, card: Row, lines: Sequence[Row], now: datetime) -> bool:
    (members,) = conn.execute("SELECT count(*) FROM card_alerts WHERE card_id = ?", (card["id"],)).fetchone()
    dropped = [line for line in lines if members <= NAMED or line["reason"] != Reason.FIRED]
    rises = [line for line in dropped if line["reason"] in _RISES and _lasts(line) and line["acked_by"] is None]
    mention = dict.fromkeys([*_mention(notice), *(each for line in rises for each in _mention(line))])
    wanted = list(mention) if card["ended_at"] is None else []
    if not dropped and wanted == _mention(notice):
        return False
    conn.execute(_DROP, (stamp(now), json.dumps([line["id"] for line in dropped])))
    conn.execute("UPDATE notices SET mention = ? WHERE id = ?", (json.dumps(wanted), notice["id"]))
    return True


def _supersede(conn: Connection, lines: Sequence[Row], now: datetime) -> bool:
    by_alert: dict[int, list[Row]] = {}
    for line in lines:
        by_alert.setdefault(line["alert_id"], []).append(line)
    kept = [line for line in map(_present, by_alert.values()) if not line["overtaken"]]
    keep = {line["id"] for line in kept}
    messages: dict[tuple[str, str, str], list[Row]] = {}
    for line in kept:
        where = line["text"] if line["reason"] == Reason.ESCALATED else ""
        messages.setdefault((line["reason"], line["done_by"], where), []).append(line)
    wanted: dict[str, tuple[str | None, list[str], bool]] = {}  # by id: lead, mentions, broadcast
    for sharing in messages.values():
        sharing.sort(key=lambda line: -Level.of(line["level"]))
        for start in range(0, len(sharing), NAMES):
            first, *others = sharing[start : start + NAMES]
            loud = [line for line in (first, *others) if line["reason"] not in _RISES or _lasts(line)]
            mention = list(dict.fromkeys(each for line in loud for each in _mention(line)))
            wanted[first["id"]] = None, mention, any(line["broadcast"] for line in loud)
            wanted |= {line["id"]: (first["id"], _mention(line), bool(line["broadcast"])) for line in others}
    found = {line["id"]: (line["lead"], _mention(line), bool(line["broadcast"])) for line in kept}
    dropped = [line["id"] for line in lines if line["id"] not in keep]
    if not dropped and found == wanted:
        return False
    conn.execute(_DROP, (stamp(now), json.dumps(dropped)))
    conn.executemany(
        "UPDATE notices SET lead = ?, mention = ?, broadcast = ? WHERE id = ?",
        [(lead, json.dumps(mention), broadcast, line) for line, (lead, mention, broadcast) in wanted.items()],
    )
    return True


def _present(lines: Sequence[Row]) -> Row:
    """Of the lines about one alert, in order, the one that says what is true now."""
    *_, last = lines
    if last["alert_ended_at"] is not None:
        return next((line for line in reversed(lines) if line["reason"] in ENDS), last)
    if last["acked_by"] is not None:
        return last
    return next((line for line in reversed(lines) if line["reason"] in _RISES and _lasts(line)), last)
