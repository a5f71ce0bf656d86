"""SqlStore: all roles of the store in a database, which other processes may read and change too."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from alertbot.alerts.alert import Alert, Change, Fingerprint, Outcome, State
from alertbot.alerts.audit import AuditFinding
from alertbot.alerts.cards import Card, Posted
from alertbot.alerts.delivery import Capacity, Claimed, Due, EditCard, HeldBack, PostPicture, Tried
from alertbot.alerts.fallback import FallbackPost, NewPost
from alertbot.alerts.grouping import Groups
from alertbot.alerts.notice import Notice
from alertbot.alerts.quality import Quality
from alertbot.alerts.shown import drawn_alert, shown_alert, shown_card, shown_due, shown_silence
from alertbot.alerts.silence import Matcher, Silence
from alertbot.alerts.unseen import Unseen
from alertbot.errors import Conflict, StoreError
from alertbot.evaluation.snapshot import Snapshot, SnapshotHead
from alertbot.evaluation.usual import QuarterHour
from alertbot.feed.health import Feed
from alertbot.rules.catalogue import Scope
from alertbot.rules.privacy import Names
from alertbot.rules.rule import Level
from alertbot.store import codec
from alertbot.store.codec import stamp, unstamp
from alertbot.store.records import (
    LedgerEntry,
    Owned,
    Owner,
    PollRecord,
    PossibleDuplicate,
    PostedNotice,
    Recorded,
    RecordedPoll,
    RunningRules,
    Service,
    Totals,
)
from alertbot.store.sql import (
    audit,
    budget,
    changes,
    duplicates,
    edits,
    fallback,
    leases,
    outbox,
    owners,
    pictures,
    quality,
    retention,
    silences,
    unseen,
    usual,
)
from alertbot.store.sql import record as recording
from alertbot.store.sql import recording as polls
from alertbot.store.sql.agents import Agents
from alertbot.store.sql.connection import UNFINISHED_COPY, WRITE_CHECKS, Connection, Database
from alertbot.store.sql.latest import Latest

_COUNTERS = ("polls", "fired", "resolved", "cards_posted", "lines_posted", "edits", "given_up")

# Two statements, since one with `? IS NULL OR` would read every alert that ever ended. Without the plus SQLite would
# walk the whole table in the order of ids.
_COUNTS = """
    SELECT name, sum(value) FROM (SELECT name, value FROM counters UNION ALL SELECT 'polls', polls FROM feeds) AS counts
    GROUP BY name
"""
_OPEN = "SELECT * FROM alerts WHERE tenant = ? AND ended_at IS NULL ORDER BY id"
_ALL_OPEN = "SELECT * FROM alerts WHERE ended_at IS NULL ORDER BY +id"
_ENDED = """
    SELECT * FROM alerts WHERE ended_at >= ? AND (fired_at IS NOT NULL OR end_reason <> 'closed_by_hand')
    ORDER BY ended_at DESC, id DESC LIMIT ?
"""
_ENDED_BEFORE = _ENDED.replace("ORDER BY", "AND (ended_at, id) < (?, ?) ORDER BY")
_PAGE = 500  # ended alerts that are read at a time
_RISES = """
    SELECT rule, scope, parent_id, entity_id, rises FROM alerts
    WHERE tenant = ? AND ended_at >= ? AND rises <> '[]' ORDER BY +id
"""
# A snapshot that was seen again keeps its row. Without the time of that, it was seen when it was written.
_SEEN_AT = "COALESCE(json_extract(f.snapshot_times, '$.' || s.scope || '[0]'), s.at)"
_LATEST = f"""
    SELECT s.scope, {_SEEN_AT} AS at, s.complete, s.problems, s.entities, s.number_keys, s.numbers, s.number_presence,
        s.text_keys, s.texts, s.text_presence
    FROM snapshots s LEFT JOIN feeds f ON f.tenant = s.tenant
    WHERE s.tenant = ? AND s.scope IN (SELECT value FROM json_each(?))
"""  # noqa: S608  # built-in names only
_HEADS = f"""
    SELECT s.tenant, s.scope, {_SEEN_AT} AS at, s.complete, s.problems
    FROM snapshots s LEFT JOIN feeds f ON f.tenant = s.tenant
"""  # noqa: S608


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class SqlStore:
    """The store in a database, for `store/sqlite/` and `store/postgres/`. Safe to use from several threads at once."""

    def __init__(
        self,
        db: Database,
        *,
        keep_polls: timedelta = timedelta(days=8),
        keep_usual: timedelta = timedelta(weeks=8),
        max_messages: int = budget.UNLIMITED,
        timezone: str = "UTC",
        initials: bool = False,
    ) -> None:
        """`keep_polls`: how long polls are recorded. `keep_usual`: how long the means of quarter-hours are kept.

        `max_messages`: how many messages a channel gets in a minute at most. `timezone`: in which messages that the
        store adds write times. `initials`: names of agents are shown as initials, see `Names` in rules/privacy.py.
        """
        self._keep_polls, self._max_messages, self._timezone = keep_polls, max_messages, timezone
        self._keep_usual = keep_usual
        self._means_pruned: dict[str, datetime] = {}
        self._recorders: dict[str, polls.Recorder] = {}
        self._latest: dict[str, Latest] = {}
        self._agents = Agents(hidden=initials)
        self._db = db

    # Reading

    def alerts(self, tenant: str | None = None) -> list[Alert]:
        with self._db.read() as conn:
            rows = conn.execute(*((_OPEN, (tenant,)) if tenant is not None else (_ALL_OPEN,))).fetchall()
            names = self._agents.read(conn)
        return [shown_alert(codec.alert_of(row), names) for row in rows]

    def alert(self, alert_id: int) -> Alert | None:
        with self._db.read() as conn:
            found = changes.alert(conn, alert_id)
            return None if found is None else shown_alert(found, self._agents.read(conn))

    def latched_alerts(self) -> list[Alert]:
        with self._db.read() as conn:
            rows = conn.execute("SELECT * FROM alerts INDEXED BY alerts_latched WHERE latched ORDER BY id").fetchall()
            names = self._agents.read(conn)
        return [shown_alert(codec.alert_of(row), names) for row in rows]

    def ended(self, since: datetime, limit: int = 100) -> list[Alert]:
        with self._db.read() as conn:
            rows = conn.execute(_ENDED, (stamp(since), limit)).fetchall()
            names = self._agents.read(conn)
        return [shown_alert(codec.alert_of(row), names) for row in rows]

    def all_ended(self, since: datetime) -> Iterator[Alert]:
        last: tuple[str, int] | None = None
        while True:
            with self._db.read() as conn:
                if last is None:
                    rows = conn.execute(_ENDED, (stamp(since), _PAGE)).fetchall()
                else:
                    rows = conn.execute(_ENDED_BEFORE, (stamp(since), *last, _PAGE)).fetchall()
                names = self._agents.read(conn)
            for row in rows:
                yield shown_alert(codec.alert_of(row), names)
            if len(rows) < _PAGE:
                return
            last = rows[-1]["ended_at"], rows[-1]["id"]

    def quality(self, since: datetime, until: datetime, longest: Mapping[str, timedelta]) -> Quality:
        return quality.quality(self._db, self._agents, since, until, longest)

    def fired(self, rules: Collection[str], since: datetime) -> Mapping[str, Mapping[str, int]]:
        found: dict[str, dict[str, int]] = {rule: {} for rule in rules}
        with self._db.read() as conn:
            names = self._agents.read(conn)
            for rule in found:
                rows = conn.execute(
                    "SELECT tenant, max(scope) AS scope, entity_id, max(entity_name) AS entity_name, count(*) AS times "
                    "FROM alerts WHERE fired_at >= ? AND rule = ? "
                    "GROUP BY tenant, parent_id, entity_id ORDER BY times DESC, entity_name",
                    (stamp(since), rule),
                ).fetchall()
                for row in rows:
                    name = names.of(row["tenant"], Scope(row["scope"]), row["entity_id"], row["entity_name"])
                    found[rule][name] = found[rule].get(name, 0) + row["times"]
        return found

    def cards(self, tenant: str) -> Mapping[Fingerprint, frozenset[str]]:
        with self._db.read() as conn:
            return recording.channels(conn, tenant)

    def groups(self, tenant: str) -> Groups:
        with self._db.read() as conn:
            return recording.groups(conn, tenant)

    def rises(self, tenant: str, since: datetime) -> Mapping[Fingerprint, tuple[datetime, ...]]:
        with self._db.read() as conn:
            rows = conn.execute(_RISES, (tenant, stamp(since))).fetchall()
        return {codec.fingerprint(tenant, row): codec.rises_of(row) for row in rows}

    def notices_of(self, alert_id: int | None) -> list[LedgerEntry]:
        with self._db.read() as conn:
            if alert_id is None:
                rows = conn.execute(outbox.OF_NO_ALERT).fetchall()
            else:
                rows = conn.execute(outbox.OF_ALERT, (alert_id,)).fetchall()
        return [codec.ledger_entry_of(row) for row in rows]

    def feed(self, tenant: str) -> Feed:
        with self._db.look() as conn:
            row = conn.execute("SELECT * FROM feeds WHERE tenant = ?", (tenant,)).fetchone()
        return Feed(tenant) if row is None else codec.feed_of(row)

    def feeds(self) -> Mapping[str, Feed]:
        with self._db.read() as conn:
            rows = conn.execute("SELECT * FROM feeds").fetchall()
        return {row["tenant"]: codec.feed_of(row) for row in rows}

    def latest(self, tenant: str, scopes: Collection[Scope] | None = None) -> Mapping[Scope, Snapshot]:
        wanted = json.dumps(list(Scope if scopes is None else scopes))
        with self._db.read() as conn:
            rows = conn.execute(_LATEST, (tenant, wanted)).fetchall()
        return {Scope(row["scope"]): codec.snapshot_of(row) for row in rows}

    def heads(self) -> Mapping[str, Mapping[Scope, SnapshotHead]]:
        with self._db.read() as conn:
            rows = conn.execute(_HEADS).fetchall()
        found: dict[str, dict[Scope, SnapshotHead]] = {}
        for row in rows:
            found.setdefault(row["tenant"], {})[Scope(row["scope"])] = codec.head_of(row)
        return found

    def polls(
        self,
        tenant: str,
        since: datetime,
        until: datetime,
        keys: Mapping[Scope, frozenset[str]] | None = None,
    ) -> Iterator[RecordedPoll]:
        return polls.read(self._db.read, tenant, since, until, keys)

    def values(
        self, tenant: str, entity: Fingerprint, key: str, since: datetime, until: datetime
    ) -> Iterator[tuple[datetime, float | None]]:
        place = (entity.scope, entity.parent_id, entity.entity_id)
        return polls.read_one(self._db.read, tenant, place, key, since, until)

    def means(self, tenant: str, keys: Mapping[Scope, Collection[str]], at: Collection[datetime]) -> list[QuarterHour]:
        with self._db.read() as conn:
            return usual.read(conn, tenant, keys, at)

    def filled(self, tenant: str) -> Mapping[tuple[Scope, str], datetime]:
        with self._db.read() as conn:
            return usual.filled(conn, tenant)

    def fill(
        self, tenant: str, quarter_hours: Sequence[QuarterHour], filled: Mapping[tuple[Scope, str], datetime]
    ) -> None:
        rows = usual.pack(quarter_hours)
        with self._db.write(tenant=tenant) as conn:
            usual.write(conn, tenant, rows)
            usual.mark(conn, tenant, filled)

    def running(self, tenant: str) -> RunningRules | None:
        with self._db.read() as conn:
            row = conn.execute("SELECT * FROM running_rules WHERE tenant = ?", (tenant,)).fetchone()
        return None if row is None else codec.running_of(row)

    def running_versions(self) -> Mapping[str, tuple[str, datetime]]:
        with self._db.read() as conn:
            rows = conn.execute("SELECT tenant, version, since FROM running_rules").fetchall()
        return {row["tenant"]: (row["version"], unstamp(row["since"])) for row in rows}

    def set_running(self, running: Sequence[RunningRules]) -> None:
        rows = [codec.running_values(each) for each in running]
        with self._db.write() as conn:
            conn.executemany(
                "INSERT INTO running_rules (tenant, version, since, files) VALUES (:tenant, :version, :since, :files) "
                "ON CONFLICT (tenant) DO UPDATE SET files = excluded.files, version = excluded.version, "
                "since = CASE WHEN running_rules.version = excluded.version THEN running_rules.since "
                "ELSE excluded.since END",
                rows,
            )

    def totals(self) -> Totals:
        with self._db.read() as conn:
            counts = dict(conn.execute(_COUNTS).fetchall())
            (waiting,) = conn.execute(
                "SELECT count(*) FROM notices WHERE state = 'waiting' AND lead IS NULL"
            ).fetchone()
            failed = conn.execute(
                "SELECT error FROM notices WHERE state = 'waiting' AND error <> '' "
                "ORDER BY COALESCE(not_before, '') DESC LIMIT 1"
            ).fetchone()
        return Totals(
            waiting=waiting,
            waiting_for=failed[0] if failed else "",
            **{name: counts.get(name, 0) for name in _COUNTERS},
        )

    def names(self) -> Names:
        if not self._agents.hidden:
            return self._agents.names
        with self._db.read() as conn:
            return self._agents.read(conn)

    def people(self) -> Mapping[str, str]:
        with self._db.read() as conn:
            return dict(conn.execute("SELECT id, name FROM people").fetchall())

    def note_name(self, user: str, name: str) -> None:
        with self._db.read() as conn:
            known = conn.execute("SELECT name FROM people WHERE id = ?", (user,)).fetchone()
        if known is None or known["name"] != name:
            with self._db.write() as conn:
                conn.execute(
                    "INSERT INTO people (id, name) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name",
                    (user, name),
                )

    @property
    def last_names(self) -> Names:
        """`names` as they were last read, for log lines: nothing is read."""
        return self._agents.names

    # One poll

    def latched(self, tenant: str) -> Mapping[Fingerprint, int]:
        with self._db.look() as conn:
            return recording.latched(conn, tenant)

    def revision(self, tenant: str) -> int:
        with self._db.look() as conn:
            return recording.revision(conn, tenant)

    def record(self, record: PollRecord) -> Recorded:
        # Packing takes longer than writing: done before the lock is taken.
        rows = [
            recording.changed_row(
                change if change.only_values else _ended_by(change, record.now), known=record.revision is not None
            )
            for change in record.changes
        ]
        latest = self._latest.setdefault(record.tenant, Latest(record.tenant))
        seen = latest.see(record.snapshots.values())
        feed = codec.feed_values(record.feed)
        recorder = self._recorders.setdefault(record.tenant, polls.Recorder(record.tenant, self._keep_polls))
        kept = recorder.pack(seen, record.failures, record.now) if self._keep_polls else []
        means = usual.pack(record.quarter_hours)
        # Also after the last rule that read means is gone.
        prunes_means = abs(record.now - self._means_pruned.get(record.tenant, _LONG_AGO)) >= usual.PRUNE_EVERY
        with self._forgetting(record.tenant), self._db.write(tenant=record.tenant) as conn:
            if record.owner is not None:
                owners.keep(conn, record.tenant, record.owner)
            before = recording.begin_turn(conn, record.tenant, record.revision)
            ids = recording.write_changes(conn, record.tenant, rows, record.now, record.refresh)
            joined = recording.add_notices(conn, record.tenant, record.notices, ids, record.now, record.refresh)
            recording.write_latches(conn, record.latches)
            times = recording.write_snapshots(conn, seen.values(), before)
            recording.write_feed(conn, feed, times, polled=record.polled)
            agents = self._agents.write(conn, record.tenant, record.snapshots)
            written = recorder.write(conn, kept, record.now)
            recorder.prune(conn, record.now)
            usual.write(conn, record.tenant, means)
            usual.closed(conn, record.tenant, record.quarter_hours)
            if prunes_means:
                usual.prune(conn, record.tenant, record.now - self._keep_usual)
            noticed = {notice.alert for notice in record.notices if notice.alert is not None}
            recorded = Recorded(
                revision=before.revision + 1,
                ids=ids,
                cards=recording.channels(conn, record.tenant, noticed),
                joined=joined,
            )
        latest.written(seen)
        recorder.written(written)
        if prunes_means:
            self._means_pruned[record.tenant] = record.now
        if agents:
            with self._db.read() as conn:
                self._agents.written(conn, record.tenant, agents)
        return recorded

    @contextmanager
    def alone(self, tenant: str) -> Iterator[None]:
        try:
            with self._db.write(tenant=tenant):
                yield
        except BaseException:
            self._forget(tenant)  # what was not committed
            raise

    @contextmanager
    def _forgetting(self, tenant: str) -> Iterator[None]:
        """Where it may be unknown whether a turn was committed, the next one builds on nothing of this memory."""
        try:
            yield
        except Conflict:  # nothing was written
            raise
        except StoreError:
            self._forget(tenant)
            raise

    def _forget(self, tenant: str) -> None:
        """Build on nothing that may not be committed."""
        self._forget_turns(tenant)
        self._agents.forget()

    def _forget_turns(self, tenant: str) -> None:
        self._recorders.pop(tenant, None)
        self._latest.pop(tenant, None)

    # Owners

    def own(self, tenant: str, worker: str, now: datetime) -> Owner:
        with self._db.write(tenant=tenant) as conn:
            taken = owners.take(conn, tenant, worker, now)
        self._forget_turns(tenant)  # another process has written since
        return taken

    def disown(self, tenant: str, number: int) -> None:
        with self._db.write(tenant=tenant) as conn:
            owners.release(conn, tenant, number)

    def owned(self) -> Mapping[str, Owned]:
        with self._db.read() as conn:
            return owners.owned(conn)

    def add_notices(self, notices: Sequence[Notice]) -> None:
        with self._db.write() as conn:
            for notice in notices:
                recording.add_notices(conn, "", [notice], {}, notice.at)
                if notice.alert is not None:
                    recording.raise_revision(conn, notice.alert.tenant)

    # Changes by users

    def acknowledge(self, alert_id: int, by: str, note: str, now: datetime) -> tuple[Outcome, Alert | None]:
        with self._db.write() as conn:
            return self._shown(conn, changes.acknowledge(conn, alert_id, by, note, now))

    def acknowledge_card(self, card_id: int, by: str, now: datetime) -> tuple[Outcome, Alert | None]:
        with self._db.write() as conn:
            return self._shown(conn, changes.acknowledge_card(conn, card_id, by, now))

    def unacknowledge(
        self, alert_id: int, by: str, now: datetime, *, own: bool = False
    ) -> tuple[Outcome, Alert | None]:
        with self._db.write() as conn:
            return self._shown(conn, changes.unacknowledge(conn, alert_id, by, now, own=own))

    def unacknowledge_card(self, card_id: int, by: str, now: datetime) -> tuple[Outcome, Alert | None]:
        with self._db.write() as conn:
            return self._shown(conn, changes.unacknowledge_card(conn, card_id, by, now))

    def redraw(self, alert_ids: Sequence[int], now: datetime) -> None:
        with self._db.write() as conn:
            recording.bump_cards(conn, alert_ids, now, urgent=False)

    def open_members(self, card_id: int) -> list[Alert]:
        with self._db.read() as conn:
            names = self._agents.read(conn)
            return [shown_alert(alert, names) for alert in changes.open_members(conn, card_id)]

    def resolve(self, alert_id: int, by: str, why: str, now: datetime) -> tuple[Outcome, Alert | None]:
        with self._db.write() as conn:
            return self._shown(conn, changes.resolve(conn, alert_id, by, why, now))

    def _shown(self, conn: Connection, result: tuple[Outcome, Alert | None]) -> tuple[Outcome, Alert | None]:
        outcome, alert = result
        return outcome, None if alert is None else shown_alert(alert, self._agents.read(conn))

    # Silences

    def silences(self) -> tuple[Silence, ...]:
        with self._db.read() as conn:
            names = self._agents.read(conn)
            return tuple(shown_silence(silence, names) for silence in silences.to_come(conn))

    def silence(
        self, matcher: Matcher, starts_at: datetime, ends_at: datetime, author: str, reason: str, now: datetime
    ) -> Silence:
        with self._db.write() as conn:
            names = self._agents.read(conn)
            made = silences.create(conn, matcher, starts_at, ends_at, author, reason, now, self._timezone, names)
            return shown_silence(made, names)

    def extend(self, silence_id: int, ends_at: datetime, by: str, now: datetime) -> tuple[Outcome, Silence | None]:
        with self._db.write() as conn:
            names = self._agents.read(conn)
            outcome, silence = silences.extend(conn, silence_id, ends_at, by, now, self._timezone, names)
            return outcome, None if silence is None else shown_silence(silence, names)

    def unsilence(self, silence_id: int, by: str, now: datetime) -> tuple[Outcome, Silence | None]:
        with self._db.write() as conn:
            names = self._agents.read(conn)
            outcome, silence = silences.end(conn, silence_id, by, now, self._timezone, names)
            return outcome, None if silence is None else shown_silence(silence, names)

    def announce_silences(self, now: datetime) -> int:
        with self._db.look() as conn:
            if not silences.is_due(conn, now):
                return 0
        with self._db.write() as conn:
            return silences.announce(conn, now, self._timezone, self._agents.read(conn))

    # Delivery

    def due(self, now: datetime, limit: int = 50, *, claimant: str = "", capacity: Capacity | None = None) -> list[Due]:
        with self._db.read() as conn:
            names = self._agents.read(conn)
            found = outbox.due(conn, now, limit, self._max_messages, claimant, capacity)
            return [shown_due(item, names) for item in found]

    def next_due(self, now: datetime, *, claimant: str = "") -> datetime | None:
        with self._db.read() as conn:
            return outbox.next_due(conn, now, self._max_messages, claimant)

    def overdue_since(self, now: datetime) -> datetime | None:
        with self._db.read() as conn:
            return outbox.overdue_since(conn, now, self._max_messages)

    def held_back(self, now: datetime) -> list[HeldBack]:
        with self._db.read() as conn:
            return budget.held_back(conn, now, self._max_messages, self._agents.read(conn))

    def claim(self, notice_id: str, claimant: str, now: datetime, settled: datetime | None = None) -> Claimed:
        with self._db.write() as conn:
            return outbox.claim(conn, notice_id, claimant, now, settled, self._max_messages)

    def hold_back(self, channel: str, report: Callable[[HeldBack], Notice], now: datetime) -> None:
        with self._db.write() as conn:
            outbox.hold_back(conn, channel, report, now, self._max_messages, self._agents.read(conn))

    def sum_up(self, channel: str, report: Callable[[Unseen], Notice], now: datetime) -> None:
        with self._db.write() as conn:
            names = self._agents.read(conn)
            unseen.sum_up(conn, channel, lambda found: report(_drawn(found, names)), now)

    def claimants(self) -> list[str]:
        with self._db.look() as conn:
            return outbox.claimants(conn)

    def claimant_ended(self, claimant: str, now: datetime, *, certain: bool = True) -> None:
        with self._db.write() as conn:
            outbox.claimant_ended(conn, claimant, now, certain=certain)

    def delivered(self, notice_id: str, posted: Posted, version: int, now: datetime) -> bool:
        with self._db.write() as conn:
            return outbox.delivered(conn, notice_id, posted, version, now)

    def claim_edit(self, edit: EditCard, claimant: str, now: datetime) -> Claimed:
        with self._db.write() as conn:
            return edits.claim(conn, edit.card, edit.former, claimant, now)

    def edited(self, card: Card, now: datetime, *, claimant: str = "") -> None:
        with self._db.write() as conn:
            edits.edited(conn, card, now, claimant)

    def put_off(
        self,
        notice_id: str,
        until: datetime,
        error: str,
        *,
        claimant: str,
        unknown: bool,
        tried: Tried = Tried.POST,
    ) -> None:
        with self._db.write() as conn:
            outbox.put_off(conn, notice_id, until, error, claimant, unknown=unknown, tried=tried)

    def put_off_edit(
        self,
        card_id: int,
        until: datetime,
        error: str,
        *,
        claimant: str = "",
        tried: bool = True,
        sent: bool = True,
        former: Posted | None = None,
    ) -> None:
        with self._db.write() as conn:
            edits.put_off_edit(conn, card_id, until, error, claimant, tried=tried, sent=sent, former=former)

    def close_in_thread(self, card: Card, now: datetime) -> bool:
        with self._db.write() as conn:
            return edits.close_in_thread(conn, card, now)

    def forget_former(self, card: Card, *, claimant: str = "") -> None:
        with self._db.write() as conn:
            edits.forget_former(conn, card, claimant)

    def give_up(self, notice_id: str, error: str, now: datetime) -> None:
        with self._db.write() as conn:
            outbox.give_up(conn, notice_id, error, now)

    def hold_channel(self, channel: str, until: datetime) -> None:
        with self._db.write() as conn:
            outbox.hold_channel(conn, channel, until)

    def hold_edits(self, until: datetime, channel_id: str = "") -> None:
        with self._db.write() as conn:
            outbox.hold_channel(conn, edits.edits_in(channel_id), until)

    def reroute(self, notice_id: str, channel: str, *, claimant: str) -> None:
        with self._db.write() as conn:
            outbox.reroute(conn, notice_id, channel, claimant)

    def repost(self, card: Card, now: datetime, *, claimant: str, keep: bool = False) -> bool:
        with self._db.write() as conn:
            return outbox.repost(conn, card, now, claimant, keep)

    # Retention

    def old_alerts(self, before: datetime) -> int:
        with self._db.read() as conn:
            return retention.old_alerts(conn, before)

    def delete_old(self, before: datetime, limit: int) -> int:
        with self._db.write() as conn:
            return retention.delete(conn, before, limit)

    # Pictures

    def picture_due(self, now: datetime, *, claimant: str = "") -> PostPicture | None:
        with self._db.read() as conn:
            found = pictures.due(conn, now, self._max_messages, claimant)
            return found and replace(found, card=shown_card(found.card, self._agents.read(conn)))

    def reserve_picture(self, picture: PostPicture, now: datetime, *, claimant: str) -> bool:
        with self._db.write() as conn:
            return pictures.reserve(conn, picture, now, claimant)

    def claim_picture(self, picture: PostPicture, now: datetime) -> Claimed:
        with self._db.write() as conn:
            return pictures.claim(conn, picture, now, self._max_messages)

    def picture_posted(self, picture: PostPicture, now: datetime, *, claimant: str = "") -> None:
        with self._db.write() as conn:
            pictures.posted(conn, picture, now, claimant)

    def put_back_picture(self, picture: PostPicture) -> None:
        with self._db.write() as conn:
            pictures.put_back(conn, picture)

    def drop_picture(self, picture: PostPicture, *, claimant: str = "") -> None:
        with self._db.write() as conn:
            pictures.drop(conn, picture, claimant)

    # The fallback webhook

    def decide_fallback(
        self, levels: Collection[Level], after: timedelta, draw: Callable[[NewPost], str], now: datetime
    ) -> tuple[int, int]:
        with self._db.read() as conn:
            if not fallback.is_stale(conn, levels, after, now):
                return 0, 0
        with self._db.write() as conn:
            names = self._agents.read(conn)
            return fallback.decide(conn, levels, after, lambda new: draw(_drawn_post(new, names)), now)

    def due_fallback(self, now: datetime, limit: int = 100) -> list[FallbackPost]:
        with self._db.read() as conn:
            return fallback.due(conn, now, limit)

    def waiting_fallback(self) -> int:
        with self._db.read() as conn:
            return fallback.waiting(conn)

    def sent_fallback(self, post_id: str, now: datetime) -> None:
        with self._db.write() as conn:
            fallback.sent(conn, post_id, now)

    def put_off_fallback(self, post_id: str, until: datetime, error: str, *, maybe_sent: bool) -> None:
        with self._db.write() as conn:
            fallback.put_off(conn, post_id, until, error, maybe_sent)

    def give_up_fallback(self, post_id: str, error: str, now: datetime) -> None:
        with self._db.write() as conn:
            fallback.give_up(conn, post_id, error, now)

    # Audit

    def audit(self, now: datetime) -> list[AuditFinding]:
        with self._db.read() as conn:
            found = audit.find(conn, now)
        if not any(finding.repaired for finding in found):
            return found
        with self._db.write() as conn:
            return audit.repair(conn, now)

    def shown_cards(self, now: datetime) -> list[Card]:
        with self._db.read() as conn:
            names = self._agents.read(conn)
            return [shown_card(card, names) for card in audit.shown_cards(conn, now)]

    def outdate(self, card: Card, now: datetime) -> bool:
        with self._db.write() as conn:
            return audit.outdate(conn, card, now)

    def posted_notices(self, ids: Collection[str]) -> Mapping[str, PostedNotice]:
        with self._db.read() as conn:
            return duplicates.posted_notices(conn, ids)

    def possible_duplicates(self, now: datetime) -> list[PossibleDuplicate]:
        with self._db.look() as conn:
            return duplicates.possible(conn, now)

    def forget_possible_duplicates(self, notice_ids: Collection[str]) -> None:
        with self._db.write() as conn:
            duplicates.forget(conn, notice_ids)

    def may_close_duplicate(self, now: datetime) -> bool:
        with self._db.write() as conn:
            return edits.may_close(conn, now)

    # Leases

    def take_leases(self, names: Collection[str], owner: str, now: datetime, ttl: timedelta) -> None:
        with self._db.write() as conn:
            leases.take(conn, self._db.name, sorted(names), owner, now, ttl)

    def service(self, now: datetime) -> Service | None:
        with self._db.read() as conn:
            return leases.service(conn, now)

    def release_leases(self, owner: str) -> None:
        with self._db.write() as conn:
            leases.release(conn, owner)

    def check_writable(self, within: float = 0.5) -> None:
        written = self._db.written
        try:
            with self._db.write(within=within, tenant="") as conn:  # turns that go on need not end first
                recording.count(conn, "", WRITE_CHECKS)
        except StoreError as error:
            # While hundreds of tenants begin, they can be first for longer than that.
            if not error.retryable or self._db.written == written:
                raise

    def check_complete(self) -> None:
        with self._db.read() as conn:
            found = conn.execute("SELECT 1 FROM counters WHERE tenant = '' AND name = ?", (UNFINISHED_COPY,)).fetchone()
        if found is not None:
            error = StoreError(
                f"{self._db.name} has only a part of another database: `alertbot migrate-storage` was interrupted; run "
                "the same command again, and it continues"
            )
            error.retryable = False
            raise error

    def tidy(self) -> str:
        return self._db.tidy()

    def close(self) -> None:
        self._db.close()


def _ended_by(change: Change, now: datetime) -> Change:
    """An inactive alert has an end, even if the decision did not name one."""
    after = change.after
    if after.state is State.INACTIVE and after.ended_at is None:
        return replace(change, after=replace(after, ended_at=now))
    return change


def _drawn(unseen: Unseen, names: Names) -> Unseen:
    return replace(unseen, alerts=tuple(drawn_alert(alert, names) for alert in unseen.alerts))


def _drawn_post(post: NewPost, names: Names) -> NewPost:
    return replace(post, alert=drawn_alert(post.alert, names), problem=names.text(post.problem))
