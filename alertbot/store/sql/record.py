"""What a poll writes: alerts, notices, card versions. Each function works inside the caller's transaction."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import NamedTuple, TypeVar

from alertbot.alerts.alert import Alert, Change, Fingerprint, Reason, State
from alertbot.alerts.cards import ESCALATIONS, is_shared, one_alert
from alertbot.alerts.grouping import Groups
from alertbot.alerts.notice import Notice, NoticeKind
from alertbot.errors import Conflict
from alertbot.rules.rule import Level
from alertbot.store import codec
from alertbot.store.codec import Values, stamp
from alertbot.store.sql.connection import Connection, Parameters, Row
from alertbot.store.sql.latest import Seen

_ALERT_KEY = ("tenant", "rule", "scope", "parent_id", "entity_id")
# What a poll writes of an alert; acked_* are not among them.
_ALERT_COLUMNS = (
    *("parent_name", "entity_name", "state", "level", "highest_level", "since", "pending_since", "fired_at"),
    *(
        "recovering_since",
        "ended_at",
        "end_reason",
        "measure",
        "shown",
        "peak",
        "peak_at",
        "missed_polls",
        "seen_at",
        "about",
    ),
    *("reported_level", "muted", "reminded_at", "reminders", "escalated_s", "nagged", "rises", "unstable"),
    *("no_data_since", "unseen_since"),
)
_NOTICE_COLUMNS = (
    *("id", "tenant", "kind", "alert_id", "card_id", "channel", "reason", "level", "at", "text", "measure", "mention"),
    *("broadcast", "done_by", "lead", "also", "replies", "state", "error", "settled_at"),
)
_FEED_COLUMNS = (
    *("tried_at", "good_at", "error", "took_ms", "requests", "entities", "empty_polls", "health", "snapshot_times"),
)
_SNAPSHOT_COLUMNS = (
    *("tenant", "scope", "at", "complete", "problems", "entities", "number_keys", "numbers", "number_presence"),
    *("text_keys", "texts", "text_presence"),
)


def _into(table: str, columns: tuple[str, ...]) -> str:
    return f"INTO {table} ({', '.join(columns)}) VALUES ({', '.join(f':{name}' for name in columns)})"


_INSERT_ALERT = f"INSERT {_into('alerts', ('id', *_ALERT_KEY, *_ALERT_COLUMNS))}"
_UPDATE_ALERT = (
    f"UPDATE alerts SET {', '.join(f'{name} = :{name}' for name in _ALERT_COLUMNS)} "  # noqa: S608  # built-in names only
    "WHERE id = :id AND ended_at IS NULL"
)
_INSERT_NOTICE = f"INSERT {_into('notices', _NOTICE_COLUMNS)}"
# An update in place writes one page; replacing the row would write another one of the index.
_WRITE_FEED = (
    f"INSERT {_into('feeds', ('tenant', *_FEED_COLUMNS, 'turns', 'polls'))} ON CONFLICT (tenant) DO UPDATE SET "
    f"{', '.join(f'{name} = excluded.{name}' for name in _FEED_COLUMNS)}, "
    "turns = feeds.turns + excluded.turns, polls = feeds.polls + excluded.polls"
)
_REPLACE_SNAPSHOT = (
    f"INSERT {_into('snapshots', _SNAPSHOT_COLUMNS)} ON CONFLICT (tenant, scope) DO UPDATE SET "
    f"{', '.join(f'{name} = excluded.{name}' for name in _SNAPSHOT_COLUMNS[2:])}"
)
# An edit is due while version > sent_version: at once for an urgent version, else when the last edit is old enough.
_BUMP_CARD = """
    UPDATE cards SET
        version = version + 1,
        urgent_version = CASE WHEN :urgent THEN version + 1 ELSE urgent_version END,
        outdated_since = COALESCE(outdated_since, :now),
        refresh_seconds = COALESCE(:refresh, refresh_seconds)
    WHERE id = :card
"""
# A card ends with the last of its members, and shows it at once. A picture that waits for its turn is dropped.
_END_CARD = """
    UPDATE cards SET ended_at = :now, urgent_version = version, picture_at = NULL
    WHERE ended_at IS NULL AND id = :card AND NOT EXISTS (
        SELECT 1 FROM card_alerts m JOIN alerts a ON a.id = m.alert_id
        WHERE m.card_id = cards.id AND a.ended_at IS NULL
    )
"""
_CARDS_OF_ALERTS = """
    SELECT m.alert_id, m.card_id, c.group_key FROM json_each(?) changed
    CROSS JOIN card_alerts m ON m.alert_id = CAST(changed.value AS BIGINT) JOIN cards c ON c.id = m.card_id
"""
# Whether another member has one of these levels: of the hundreds that a card may have, mostly the first one has.
_ANOTHER_MEMBER = """
    SELECT 1 FROM card_alerts m JOIN alerts a ON a.id = m.alert_id
    WHERE m.card_id = :card AND a.ended_at IS NULL
        AND a.level IN (SELECT value FROM json_each(:levels))
        AND a.id NOT IN (SELECT CAST(value AS BIGINT) FROM json_each(:moved))
    LIMIT 1
"""
# The message of an escalation step (`cards.ESCALATIONS`) is not the card of its alert: what is reported of the alert
# does not go there. It does not show the value, so it is edited when its alert moves or ends, or changes its owner.
NO_ESCALATION = f"c.group_key NOT LIKE '{ESCALATIONS}%'"
_CARD_OF_ALERT = f"""
    SELECT c.* FROM card_alerts m JOIN cards c ON c.id = m.card_id
    WHERE m.alert_id = ? AND c.wanted_channel = ? AND {NO_ESCALATION} ORDER BY c.id DESC LIMIT 1
"""  # noqa: S608  # built-in names only
_CARD_OF_GROUP = """
    SELECT * FROM cards WHERE tenant = ? AND group_key = ? AND wanted_channel = ? AND ended_at IS NULL
"""

# What is written of an alert of which only the value changed: as in `codec.value_values`.
_VALUE_COLUMNS = ("measure", "shown", "peak", "peak_at", "missed_polls", "seen_at")
_UPDATE_VALUE = (
    f"UPDATE alerts SET {', '.join(f'{name} = :{name}' for name in _VALUE_COLUMNS)} "  # noqa: S608  # built-in names only
    "WHERE id = :id AND ended_at IS NULL"
)
# The cards of alerts of which only the value changed, as in `_BUMP_CARD`. A message of an escalation shows no value.
_BUMP_VALUES = f"""
    UPDATE cards SET
        version = version + 1, outdated_since = COALESCE(outdated_since, :now), refresh_seconds = :refresh
    WHERE id IN (
        SELECT m.card_id
        FROM json_each(:alerts) changed CROSS JOIN card_alerts m ON m.alert_id = CAST(changed.value AS BIGINT)
    ) AND id NOT IN (SELECT CAST(value AS BIGINT) FROM json_each(:bumped)) AND group_key NOT LIKE '{ESCALATIONS}%'
"""  # noqa: S608

_NOT_SHOWN = {
    *("id", "missed", "seen_at", "acked_by", "acked_at", "ack_note", "reported", "muted"),
    *("reminded_at", "reminders", "escalated", "nagged", "rises", "shown_as"),
}
_LOOK = attrgetter(*(each.name for each in fields(Alert) if each.name not in _NOT_SHOWN))


@dataclass(frozen=True, slots=True)
class TurnBefore:
    """What the last turn of a tenant left behind: the revision, and of each scope its time and digest."""

    revision: int
    snapshot_times: Mapping[str, tuple[str, str]]


_EVERY_TENANT = ""  # whose revision counts for every tenant
_REVISION = (
    "(SELECT COALESCE(sum(revision), 0) FROM revisions WHERE tenant IN (:tenant, :every)) + "
    "COALESCE((SELECT turns FROM feeds WHERE tenant = :tenant), 0)"
)
_TURN_BEFORE = f"""
    SELECT {_REVISION} AS revision, (SELECT snapshot_times FROM feeds WHERE tenant = :tenant) AS snapshot_times
"""  # noqa: S608  # built-in names only


def begin_turn(conn: Connection, tenant: str, expected: int | None) -> TurnBefore:
    """What there is before a turn is written. Raises Conflict if the tenant's revision is not the expected one."""
    row = conn.execute(_TURN_BEFORE, {"tenant": tenant, "every": _EVERY_TENANT}).fetchone()
    if expected is not None and row["revision"] != expected:
        raise Conflict(f"{tenant}: something else was written since this poll was decided")
    return TurnBefore(row["revision"], codec.snapshot_times_of(row["snapshot_times"] or "{}"))


def write_snapshots(conn: Connection, seen: Collection[Seen], before: TurnBefore) -> str:
    """Write the snapshots whose values changed; returns the times and digests of all, for `write_feed`.

    A snapshot of 10,000 entities is more than a megabyte, and at night most polls see what the last one saw.
    """
    times = dict(before.snapshot_times)
    for snapshot in seen:
        if times.get(snapshot.scope, ("", ""))[1] != snapshot.digest:
            conn.execute(_REPLACE_SNAPSHOT, snapshot.values())
        times[snapshot.scope] = (snapshot.at, snapshot.digest)
    return codec.snapshot_times_text(times)


def write_feed(conn: Connection, values: Values, snapshot_times: str, *, polled: bool) -> None:
    """Write the feed after a turn, and count the turn: that raises the tenant's revision by one."""
    conn.execute(_WRITE_FEED, {**values, "snapshot_times": snapshot_times, "turns": 1, "polls": int(polled)})


def revision(conn: Connection, tenant: str) -> int:
    """The revision of a tenant: its turns, how often else its open alerts were changed, and what concerns all."""
    row = conn.execute(f"SELECT {_REVISION} AS revision", {"tenant": tenant, "every": _EVERY_TENANT}).fetchone()
    return int(row["revision"])


def raise_revision(conn: Connection, tenant: str) -> None:
    """Count a change of a tenant's open alerts that is no turn."""
    conn.execute(
        "INSERT INTO revisions (tenant, revision) VALUES (?, 1) "
        "ON CONFLICT (tenant) DO UPDATE SET revision = revisions.revision + 1",
        (tenant,),
    )


def raise_every_revision(conn: Connection) -> None:
    """Count a change that concerns all tenants, such as one of silences."""
    raise_revision(conn, _EVERY_TENANT)


def count(conn: Connection, tenant: str, name: str, by: int = 1) -> None:
    """Add to a counter."""
    if by:
        conn.execute(
            "INSERT INTO counters (tenant, name, value) VALUES (?, ?, ?) "
            "ON CONFLICT (tenant, name) DO UPDATE SET value = counters.value + excluded.value",
            (tenant, name, by),
        )


class ChangedRow(NamedTuple):
    """A change, and the columns that it writes."""

    change: Change
    id: int | None  # of the alert, where it is known to be open under this id
    only_values: bool  # nothing else changed, so nothing else is written
    values: Values


def changed_row(change: Change, *, known: bool) -> ChangedRow:
    """`known`: nothing was written since the poll was decided, so the row in the database is `change.before`."""
    before, after = change.before, change.after
    if not known or before is None or before.id is None:
        return ChangedRow(change, None, False, codec.alert_values(after))
    if change.only_values:
        values = codec.value_values(after)
        values["id"] = before.id
        return ChangedRow(change, before.id, True, values)
    return ChangedRow(change, before.id, False, codec.alert_values(after))


def write_changes(
    conn: Connection, tenant: str, rows: Sequence[ChangedRow], now: datetime, refresh: timedelta
) -> Mapping[Fingerprint, int]:
    """Insert, update, end or delete alerts and make their cards due.

    Returns the id of each alert of which more than the value was changed, the last one where an alert ended and began
    again.
    """
    valued = [row for row in rows if row.only_values]
    if valued:
        rows = [row for row in rows if not row.only_values]
    ids: dict[Fingerprint, int] = {}
    for row in reversed(rows):  # of an alert that ended and began again, the first one
        if row.id is not None:
            ids[row.change.after.key] = row.id
    ids.update(_open_ids(conn, {row.change.after.key for row in rows if row.change.after.key not in ids}))
    new = {row.change.after.key for row in rows if row.change.after.state is not State.INACTIVE} - ids.keys()
    new_ids = conn.new_ids(len(new))
    inserts: dict[int, Values] = {}
    updates: dict[int, Values] = {}
    ended: list[int] = []
    deleted: list[tuple[int]] = []
    shown: dict[int, _Moved] = {}
    fired = resolved = 0
    known = dict(ids)
    for each in rows:
        change, columns = each.change, each.values
        key, after = change.after.key, change.after
        over = after.state is State.INACTIVE
        alert_id = ids.get(key)
        if alert_id is None:
            if over:
                continue  # it began and ended between two polls: no row to end
            alert_id = next(new_ids)
            ids[key] = known[key] = alert_id
            inserts[alert_id] = {"id": alert_id, **codec.key_values(key), **columns}
        elif over and after.fired_at is None and not _has_notices(conn, alert_id):
            deleted.append((alert_id,))
            inserts.pop(alert_id, None)
            del ids[key], known[key]
            continue
        elif alert_id in inserts:
            inserts[alert_id] = {"id": alert_id, **codec.key_values(key), **columns}
        else:
            updates[alert_id] = {"id": alert_id, **columns}
        fired += (
            after.fired_at is not None
            and not after.shadow
            and (change.before is None or change.before.fired_at is None or change.before.shadow)
        )
        if over:
            del ids[key]
            ended.append(alert_id)
            resolved += after.fired_at is not None and not after.shadow
        if _shows(change):
            moved = change.moved or change.reason is not None or _is_silenced_otherwise(change)
            shown[alert_id] = _Moved(after.level, moved or (alert_id in shown and shown[alert_id].moved), over)
    # Ends before inserts: an alert that ends and begins again in one poll must not meet itself in the unique index.
    conn.executemany(_UPDATE_ALERT, list(updates.values()))
    conn.executemany(_UPDATE_VALUE, [row.values for row in valued])
    conn.executemany("DELETE FROM alerts WHERE id = ?", deleted)
    conn.executemany(_INSERT_ALERT, list(inserts.values()))
    bumped = _bump(conn, shown, now, refresh)
    if valued:
        _bump_values(conn, [row.id for row in valued], bumped, now, refresh)
    _end_cards(conn, ended, now)
    count(conn, tenant, "fired", fired)
    count(conn, tenant, "resolved", resolved)
    return known


@dataclass(frozen=True, slots=True)
class _Moved:
    """What a poll changed about an alert that cards show."""

    level: Level
    moved: bool  # not only its value
    over: bool


def _bump_values(
    conn: Connection, alerts: Sequence[int | None], bumped: Iterable[int], now: datetime, refresh: timedelta
) -> None:
    """Make the cards of alerts whose values changed due for an edit, but for those that are due already."""
    values = {
        "alerts": json.dumps(alerts),
        "bumped": json.dumps(list(bumped)),
        "now": stamp(now),
        "refresh": refresh.total_seconds(),
    }
    conn.execute(_BUMP_VALUES, values)


def _bump(conn: Connection, changed: Mapping[int, _Moved], now: datetime, refresh: timedelta) -> list[int]:
    """Make the cards of alerts due for an edit; returns the ids of those cards.

    The card of one alert is edited at once where the alert moved. One of several is edited at once where those
    that moved are worse than all that did not: its level is theirs. Else it waits out its refresh, since in a storm
    members come and go with every poll.
    """
    if not changed:
        return []
    by_card: dict[int, tuple[str, list[int]]] = {}
    for row in conn.execute(_CARDS_OF_ALERTS, (json.dumps(list(changed)),)).fetchall():
        by_card.setdefault(row["card_id"], (row["group_key"], []))[1].append(row["alert_id"])
    bumps: list[Values] = []
    for card, (group, members) in by_card.items():
        if group.startswith(ESCALATIONS) and not any(changed[m].moved or changed[m].over for m in members):
            continue
        moved = {member: changed[member].level for member in members if changed[member].moved}
        urgent = bool(moved)
        if moved and group != one_alert(members[0]):
            as_bad = [level.word for level in Level if level >= max(moved.values())]
            others = {"card": card, "levels": json.dumps(as_bad), "moved": json.dumps(list(moved))}
            urgent = conn.execute(_ANOTHER_MEMBER, others).fetchone() is None
        bumps.append({"card": card, "urgent": urgent, "now": stamp(now), "refresh": refresh.total_seconds()})
    conn.executemany(_BUMP_CARD, bumps)
    return [bump["card"] for bump in bumps]


def _end_cards(conn: Connection, ended: Sequence[int], now: datetime) -> None:
    """End the cards whose last member has ended."""
    rows = conn.execute(_CARDS_OF_ALERTS, (json.dumps(ended),)).fetchall() if ended else []
    conn.executemany(_END_CARD, [{"card": card, "now": stamp(now)} for card in {row["card_id"] for row in rows}])


_LATCHED = """
    SELECT rule, scope, parent_id, entity_id, missed_polls FROM alerts WHERE tenant = ? AND latched ORDER BY id
"""
_LATCH = """
    UPDATE alerts SET latched = :latched, missed_polls = COALESCE(:missed, missed_polls)
    WHERE tenant = :tenant AND latched
        AND rule = :rule AND scope = :scope AND parent_id = :parent_id AND entity_id = :entity_id
"""


def latched(conn: Connection, tenant: str) -> Mapping[Fingerprint, int]:
    """What was closed by hand and is latched, with the complete polls in a row that did not have the entity."""
    rows = conn.execute(_LATCHED, (tenant,)).fetchall()
    return {codec.fingerprint(tenant, row): row["missed_polls"] for row in rows}


def write_latches(conn: Connection, latches: Mapping[Fingerprint, int | None]) -> None:
    for key, missed in latches.items():
        conn.execute(_LATCH, {**codec.key_values(key), "latched": missed is not None, "missed": missed})


_OPEN_ID = """
    SELECT id FROM alerts
    WHERE tenant = ? AND rule = ? AND scope = ? AND parent_id = ? AND entity_id = ? AND ended_at IS NULL
"""
_LATEST_ID = """
    SELECT id FROM alerts WHERE tenant = ? AND rule = ? AND scope = ? AND parent_id = ? AND entity_id = ?
    ORDER BY id DESC LIMIT 1
"""


def _open_ids(conn: Connection, keys: Iterable[Fingerprint]) -> dict[Fingerprint, int]:
    """The ids of those of these alerts that have not ended."""
    listed = list(keys)
    found = zip(listed, conn.execute_each(_OPEN_ID, listed), strict=True)
    return {key: rows[0]["id"] for key, rows in found if rows}


def _has_notices(conn: Connection, alert_id: int) -> bool:
    return conn.execute("SELECT 1 FROM notices WHERE alert_id = ?", (alert_id,)).fetchone() is not None


def _shows(change: Change) -> bool:
    """Whether a card looks different now. It shows no counters of polls, and a poll does not change the owner."""
    in_thread = (None, Reason.REMINDER, Reason.ESCALATED)
    if change.before is None or change.moved or change.reason not in in_thread or _is_silenced_otherwise(change):
        return True
    return _LOOK(change.before) != _LOOK(change.after)


def _is_silenced_otherwise(change: Change) -> bool:
    """Whether its card now shows a silence, another one, or none any more."""
    return change.before is not None and change.before.silence != change.after.silence


_CARDS = f"""
    SELECT a.rule, a.scope, a.parent_id, a.entity_id, c.wanted_channel FROM cards c
        JOIN card_alerts m ON m.card_id = c.id JOIN alerts a ON a.id = m.alert_id
    WHERE c.tenant = ? AND c.ended_at IS NULL AND c.state IN ('waiting', 'posted') AND a.ended_at IS NULL
        AND {NO_ESCALATION}
"""  # noqa: S608  # built-in names only
_CARDS_OF_ALERT = f"""
    SELECT a.rule, a.scope, a.parent_id, a.entity_id, c.wanted_channel FROM alerts a
        JOIN card_alerts m ON m.alert_id = a.id JOIN cards c ON c.id = m.card_id
    WHERE a.tenant = ? AND a.rule = ? AND a.scope = ? AND a.parent_id = ? AND a.entity_id = ? AND a.ended_at IS NULL
        AND c.ended_at IS NULL AND c.state IN ('waiting', 'posted') AND {NO_ESCALATION}
"""  # noqa: S608  # built-in names only
# The keys of cards that alerts share come after those of the others (`cards.is_shared`), so the index finds them.
_ANY_GROUP = "SELECT 1 FROM cards WHERE tenant = ? AND group_key >= 'parent:' AND ended_at IS NULL LIMIT 1"
# From the open alerts to their cards: a card that is open for weeks has many members that have ended.
_GROUPS = """
    SELECT c.wanted_channel, c.group_key, a.rule, a.scope, a.parent_id, a.entity_id FROM alerts a
        CROSS JOIN card_alerts m ON m.alert_id = a.id CROSS JOIN cards c ON c.id = m.card_id
    WHERE a.tenant = ? AND a.ended_at IS NULL
        AND c.group_key >= 'parent:' AND c.ended_at IS NULL AND c.state IN ('waiting', 'posted')
"""


def channels(
    conn: Connection, tenant: str, keys: Iterable[Fingerprint] | None = None
) -> Mapping[Fingerprint, frozenset[str]]:
    """The channels that have a card of an open alert: of these alerts, or of every one of the tenant."""
    if keys is None:
        rows = conn.execute(_CARDS, (tenant,)).fetchall()
    else:
        rows = [row for each in conn.execute_each(_CARDS_OF_ALERT, list(keys)) for row in each]
    found: dict[Fingerprint, set[str]] = {}
    for row in rows:
        found.setdefault(codec.fingerprint(tenant, row), set()).add(row["wanted_channel"])
    return {key: frozenset(names) for key, names in found.items()}


def groups(conn: Connection, tenant: str) -> Groups:
    """The open cards that alerts may join, with their members that have not ended."""
    if conn.execute(_ANY_GROUP, (tenant,)).fetchone() is None:
        return {}
    found: dict[tuple[str, str], set[Fingerprint]] = {}
    for row in conn.execute(_GROUPS, (tenant,)).fetchall():
        place = row["wanted_channel"], row["group_key"]
        found.setdefault(place, set()).add(codec.fingerprint(tenant, row))
    return {place: frozenset(members) for place, members in found.items()}


def bump_cards(conn: Connection, alert_ids: Sequence[int], now: datetime, *, urgent: bool = True) -> None:
    """Make the cards of alerts due for an edit at once, or, if it is not urgent, as for a value that moved."""
    rows = conn.execute(_CARDS_OF_ALERTS, (json.dumps(alert_ids),)).fetchall()
    bumps = [
        {"card": card, "urgent": urgent, "now": stamp(now), "refresh": None}
        for card in sorted({row["card_id"] for row in rows})
    ]
    conn.executemany(_BUMP_CARD, bumps)


def end_cards(conn: Connection, alert_id: int, now: datetime) -> None:
    """End those cards of an alert that ended whose members have all ended."""
    _end_cards(conn, [alert_id], now)


def add_notices(
    conn: Connection,
    tenant: str,
    notices: Iterable[Notice],
    ids: Mapping[Fingerprint, int],
    now: datetime,
    refresh: timedelta = timedelta(seconds=60),
) -> Groups:
    """Add notices. `ids` has the alerts of this poll; for others the latest alert of the fingerprint is meant.

    Returns the alerts that joined open cards, by channel and group key. Everything is read before it is decided and
    written after it, so that the round trips to a server do not grow with the number of notices.
    """
    listed = list(notices)
    there = _existing(conn, [notice.id for notice in listed]) if listed else set()
    first: dict[str, Notice] = {}
    for notice in listed:
        if notice.id not in there:
            first.setdefault(notice.id, notice)
    new = list(first.values())
    if not new:
        return {}
    found = _Places(conn, new, ids)
    rows: list[_NoticeRow] = []
    made: list[_CardHere] = []
    joins: list[tuple[_CardHere, int, Notice, bool]] = []  # the last: the card changes, since it was there before

    def join(card: _CardHere, alert_id: int, notice: Notice, *, first: bool = False) -> None:
        joins.append((card, alert_id, notice, not first))
        found.joined(card, alert_id)

    for notice in new:
        if notice.alert is None:
            rows.append(_NoticeRow(notice, tenant, NoticeKind.OPS))
            continue
        alert_id, of = found.alert_id(notice.alert), notice.alert.tenant
        lone = replace(notice, lead="")
        if alert_id is None:
            rows.append(_NoticeRow(lone, of, notice.kind, error="there is no such alert"))
            continue
        lead = found.card_of_lead(notice)
        if lead is not None:
            join(lead, alert_id, notice)
            rows.append(_NoticeRow(notice, of, notice.kind, alert_id, lead))
            continue
        card = found.place(notice, alert_id)
        if card is not None and card.state in ("waiting", "posted"):
            # A line, and a second card too: where a card is, what is new goes into its thread.
            join(card, alert_id, notice)
            also = [each for each in map(found.alert_id, notice.also) if each is not None]
            rows.append(_NoticeRow(lone, of, NoticeKind.LINE, alert_id, card, also=also))
            found.leads[notice.id] = card
        elif notice.kind is NoticeKind.CARD or notice.group:
            if card is None:
                card = found.new_card(notice, alert_id)
                made.append(card)
            else:
                card.row = _revive(conn, card.the_row)
            join(card, alert_id, notice, first=True)
            rows.append(_NoticeRow(lone, of, NoticeKind.CARD, alert_id, card))
            found.leads[notice.id] = card
        else:
            error = "there is no card of this alert in this channel" if card is None else "its card was given up"
            rows.append(_NoticeRow(lone, of, notice.kind, alert_id, card, error=error))
    values = [(*card.key, card.key.channel, refresh.total_seconds(), card.alert_id) for card in made]
    for card, (row,) in zip(made, conn.execute_each(_NEW_CARD, values), strict=True):
        card.row = row
    written = conn.execute_each(_JOIN, [(card.the_row["id"], alert_id) for card, alert_id, _, _ in joins])
    conn.executemany(_INSERT_NOTICE, [row.values(now) for row in rows])
    for of, given_up in Counter(row.tenant for row in rows if row.error).items():
        count(conn, of, "given_up", given_up)
    members: dict[tuple[str, str], set[Fingerprint]] = {}
    moved: dict[int, _Moved] = {}
    for (card, alert_id, notice, changes), is_new in zip(joins, written, strict=True):
        if notice.alert is not None and is_shared(card.key.group) and card.the_row["ended_at"] is None:
            members.setdefault((card.key.channel, card.key.group), set()).add(notice.alert)
        if changes and is_new:
            moved[alert_id] = _Moved(notice.level, True, False)
    if moved:
        _bump(conn, moved, now, refresh)
    return {place: frozenset(keys) for place, keys in members.items()}


_K = TypeVar("_K")


class _CardKey(NamedTuple):
    """What tells an open card from the others; `channel` is the wanted one."""

    tenant: str
    group: str
    channel: str


@dataclass(eq=False)
class _CardHere:
    """A card that a notice may go to. `row`: None while it is to be made, for this alert."""

    key: _CardKey
    row: Row | None
    alert_id: int | None = None

    @property
    def state(self) -> str:
        return "waiting" if self.row is None else str(self.row["state"])

    @property
    def the_row(self) -> Row:
        assert self.row is not None, "a card is made before it is used"
        return self.row


@dataclass(frozen=True)
class _NoticeRow:
    """A notice that is to be added: waiting, or given up at once if `error` says why. With a card it goes there."""

    notice: Notice
    tenant: str
    kind: NoticeKind
    alert_id: int | None = None
    card: _CardHere | None = None
    error: str = ""
    also: Sequence[int] = ()

    def values(self, now: datetime) -> Values:
        return _notice_values(
            self.notice,
            self.tenant,
            self.kind,
            now=now,
            alert_id=self.alert_id,
            card=None if self.card is None else self.card.the_row,
            error=self.error,
            also=self.also,
        )


class _Places:
    """Where notices go: what is stored, and what becomes of it with those that come first."""

    def __init__(self, conn: Connection, notices: Sequence[Notice], ids: Mapping[Fingerprint, int]) -> None:
        about = [notice for notice in notices if notice.alert is not None]
        keys = {key for notice in about for key in (notice.alert, *notice.also) if key is not None}
        unknown = [key for key in keys if not ids.get(key)]
        latest = zip(unknown, conn.execute_each(_LATEST_ID, unknown), strict=True)
        self._ids = {**ids, **{key: int(rows[0]["id"]) for key, rows in latest if rows}}
        self._cards: dict[int, _CardHere] = {}
        here = {notice.id for notice in notices}
        leads = sorted({notice.lead for notice in about if notice.lead} - here)
        self.leads = self._read(conn, _CARD_OF_LEAD, leads, [(lead,) for lead in leads])
        single = [
            (alert_id, notice.channel)
            for notice in about
            if (alert_id := self.alert_id(notice.alert)) is not None and (not notice.group or is_shared(notice.group))
        ]
        self._of_alert = self._read(conn, _CARD_OF_ALERT, single, single)
        groups = [_CardKey(n.alert.tenant, n.group, n.channel) for n in about if n.group and n.alert is not None]
        self._of_group = self._read(conn, _CARD_OF_GROUP, groups, groups)
        made = [alert_id for notice in about if (alert_id := self.alert_id(notice.alert)) is not None and notice.group]
        ended = conn.execute(_ENDED, (json.dumps(made),)).fetchall() if made else []
        self._ended = {row["id"] for row in ended}

    def _read(
        self, conn: Connection, sql: str, keys: Sequence[_K], parameters: Sequence[Parameters]
    ) -> dict[_K, _CardHere]:
        """The card of each key that has one. A card that several have is one."""
        found = {}
        for key, rows in zip(keys, conn.execute_each(sql, parameters), strict=True):
            for row in rows:
                card = _CardHere(_CardKey(row["tenant"], row["group_key"], row["wanted_channel"]), row)
                found[key] = self._cards.setdefault(row["id"], card)
        return found

    def alert_id(self, key: Fingerprint | None) -> int | None:
        return None if key is None else self._ids.get(key)

    def card_of_lead(self, notice: Notice) -> _CardHere | None:
        """The card of the notice whose message carries this one, while that message is still to be posted."""
        return self.leads.get(notice.lead) if notice.lead else None

    def place(self, notice: Notice, alert_id: int) -> _CardHere | None:
        """The card to which a notice about this alert goes: the one that it has there, else that of its group."""
        card: _CardHere | None = None
        if not notice.group or is_shared(notice.group):
            card = self._of_alert.get((alert_id, notice.channel))
        if notice.group and notice.alert is not None and (card is None or card.state not in ("waiting", "posted")):
            card = self._of_group.get(_CardKey(notice.alert.tenant, notice.group, notice.channel))
        return card

    def new_card(self, notice: Notice, alert_id: int) -> _CardHere:
        """A card for this alert, which is to join it, in the channel of the notice."""
        assert notice.alert is not None, "a card is about an alert"
        key = _CardKey(notice.alert.tenant, notice.group or one_alert(alert_id), notice.channel)
        card = _CardHere(key, None, alert_id)
        if alert_id not in self._ended:
            self._of_group[key] = card
        return card

    def joined(self, card: _CardHere, alert_id: int) -> None:
        """An alert is a member of a card from here on: of several in a channel, the newest is its card."""
        if card.key.group.startswith(ESCALATIONS):
            return
        before = self._of_alert.get((alert_id, card.key.channel))
        if before is None or card.row is None or (before.row is not None and before.row["id"] < card.row["id"]):
            self._of_alert[alert_id, card.key.channel] = card


_ENDED = """
    SELECT id FROM alerts
    WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(?)) AND ended_at IS NOT NULL
"""
_CARD_OF_LEAD = """
    SELECT c.* FROM notices n JOIN cards c ON c.id = n.card_id
    WHERE n.id = ? AND n.state = 'waiting' AND n.lead IS NULL
"""
_JOIN = "INSERT INTO card_alerts (card_id, alert_id) VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING card_id"
_NEW_CARD = (
    "INSERT INTO cards (tenant, group_key, wanted_channel, channel, state, version, urgent_version, sent_version, "
    "refresh_seconds, ended_at) "
    "VALUES (?, ?, ?, ?, 'waiting', 1, 1, 0, ?, (SELECT ended_at FROM alerts WHERE id = ?)) RETURNING *"
)


def _existing(conn: Connection, ids: Sequence[str]) -> set[str]:
    """Those of these notices that were added before."""
    rows = conn.execute("SELECT id FROM notices WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(ids),))
    return {row["id"] for row in rows}


def insert_notice(
    conn: Connection,
    notice: Notice,
    tenant: str,
    kind: NoticeKind,
    *,
    now: datetime,
    alert_id: int | None = None,
    card: Row | None = None,
    also: Sequence[int] = (),
) -> None:
    """Add one notice, which waits. With a card it goes where the card goes.

    `also`: the ids of the other alerts that a line names.
    """
    values = _notice_values(notice, tenant, kind, now=now, alert_id=alert_id, card=card, also=also)
    conn.execute(_INSERT_NOTICE, values)


def _notice_values(
    notice: Notice,
    tenant: str,
    kind: NoticeKind,
    *,
    now: datetime,
    alert_id: int | None,
    card: Row | None,
    error: str = "",
    also: Sequence[int] = (),
) -> Values:
    return codec.notice_values(
        notice,
        tenant=tenant,
        kind=kind,
        alert_id=alert_id,
        card_id=None if card is None else card["id"],
        channel=notice.channel if card is None else card["channel"],
        error=error,
        now=stamp(now),
        also=also,
    )


def _revive(conn: Connection, card: Row) -> Row:
    conn.execute(
        "UPDATE cards SET state = 'waiting', channel = wanted_channel, sent_version = 0, posted_channel_id = NULL, "
        "posted_ts = NULL WHERE id = ?",
        (card["id"],),
    )
    return _card(conn, card["id"])


def _card(conn: Connection, card_id: int) -> Row:
    row: Row = conn.execute("SELECT * FROM cards WHERE id = ?", (card_id,)).fetchone()
    return row
