"""The recording: what each poll saw, kept for charts, `ago`, windows over a restart, and replay.

Each function but `Recorder.pack` works inside the caller's transaction.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import msgspec

from alertbot.errors import StoreError
from alertbot.evaluation.block import ColumnsOfPoll
from alertbot.evaluation.snapshot import Column, Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.store.codec import stamp, unstamp
from alertbot.store.packing import (
    MAX_CELLS,
    STILL,
    Cell,
    Frame,
    columns_of,
    pack,
    unpack,
    unpack_block,
    unpack_cell,
)
from alertbot.store.records import RecordedPoll
from alertbot.store.sql.connection import Connection, Row
from alertbot.store.sql.latest import Seen

KEY_FRAME_EVERY = 40
"""Polls from one key frame to the next. Reading begins at a key frame, and pruning ends at one."""
KEY_FRAME_AT_LATEST = 480
"""The same, where those whose values are the same as in the poll before are counted too: they are a few bytes each."""
PRUNE_EVERY = timedelta(minutes=10)
_PRUNED_AT_ONCE = 500
_READ_AT_ONCE = 500

_Entities = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]
_Keys = tuple[tuple[str, bool], ...]  # metric key, whether it is text


@dataclass(slots=True)
class _Written:
    """The last recorded snapshot of a scope, which the next one is compared with."""

    layout_id: int
    entities: _Entities
    keys: _Keys
    frame: Frame
    at: datetime
    age: int  # polls since the key frame, without those whose values stayed the same
    still: int  # those


@dataclass(frozen=True, slots=True)
class _Row:
    """One scope of one poll, packed before the database is locked. `written` is what the next one is compared with."""

    scope: Scope
    layout: tuple[str, bytes, bytes] | None  # digest, entities and keys of a layout that may be new
    layout_id: int | None
    key_frame: bool
    complete: bool
    problems: str
    packed: bytes | None
    written: _Written | None


class Recorder:
    """Remembers the last poll of each scope of one tenant, so that the next one can be written as a difference.

    Only this process knows it: the first poll after a start is a key frame.
    """

    def __init__(self, tenant: str, keep: timedelta) -> None:
        self._tenant = tenant
        self._keep = keep
        self._written: dict[Scope, _Written] = {}
        self._prune_at: datetime | None = None

    def pack(self, seen: Mapping[Scope, Seen], failures: Mapping[Scope, str], now: datetime) -> list[_Row]:
        """The rows of one poll. Slow, so it is done before the database is locked."""
        rows = [self._pack(each, now) for each in seen.values()]
        for scope, why in failures.items():
            if scope not in seen:
                rows.append(_Row(scope, None, None, False, False, _text([why]), None, None))
        return rows

    def _pack(self, seen: Seen, now: datetime) -> _Row:
        snapshot, last = seen.snapshot, self._written.get(seen.scope)
        # `last` is the snapshot that `still` compares with: both are remembered when the transaction is committed.
        if seen.still and last is not None and last.at < now and last.age + last.still < KEY_FRAME_AT_LATEST:
            written = replace(last, at=now, still=last.still + 1)
            problems = _text(snapshot.problems)
            return _Row(snapshot.scope, None, last.layout_id, False, snapshot.complete, problems, STILL, written)
        entities = (snapshot.ids, snapshot.names, snapshot.parent_ids, snapshot.parent_names)
        keys = tuple((key, column.is_text) for key, column in snapshot.columns.items())
        known = last is not None and last.entities == entities and last.keys == keys
        continues = (
            known
            and last is not None
            and last.age < KEY_FRAME_EVERY
            and last.age + last.still < KEY_FRAME_AT_LATEST
            and last.at < now
        )
        packed, frame = pack(snapshot.columns, last.frame if continues and last is not None else None)
        layout = None
        if not known:
            content = zlib.compress(msgspec.msgpack.encode(entities), 6)
            listed = msgspec.json.encode(keys)
            layout = (hashlib.sha256(content + listed).hexdigest()[:32], content, listed)
        return _Row(
            scope=snapshot.scope,
            layout=layout,
            layout_id=last.layout_id if known and last is not None else None,
            key_frame=not continues,
            complete=snapshot.complete,
            problems=_text(snapshot.problems),
            packed=packed,
            written=_Written(
                0,
                entities,
                keys,
                frame,
                now,
                age=last.age + 1 if continues and last is not None else 1,
                still=last.still if continues and last is not None else 0,
            ),
        )

    def write(self, conn: Connection, rows: Sequence[_Row], now: datetime) -> dict[Scope, _Written]:
        """Write the rows of one poll. Pass the result to `written` when the transaction is committed."""
        at = stamp(now)
        # The clock was set back: polls with a time in the future cannot precede this one.
        conn.execute("DELETE FROM recorded_polls WHERE tenant = ? AND at >= ?", (self._tenant, at))
        written = {}
        for row in rows:
            layout_id = row.layout_id if row.layout is None else self._layout(conn, row.scope, row.layout)
            conn.execute(
                "INSERT INTO recorded_polls (tenant, at, scope, layout_id, key_frame, complete, problems, packed) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (self._tenant, at, row.scope, layout_id, row.key_frame, int(row.complete), row.problems, row.packed),
            )
            if row.written is not None and layout_id is not None:
                row.written.layout_id = layout_id
                written[row.scope] = row.written
        return written

    def _layout(self, conn: Connection, scope: Scope, layout: tuple[str, bytes, bytes]) -> int:
        digest, entities, keys = layout
        values = (self._tenant, scope, digest)
        conn.execute(
            "INSERT INTO recorded_layouts (tenant, scope, digest, entities, metric_keys) "
            "VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (*values, entities, keys.decode()),
        )
        row = conn.execute(
            "SELECT id FROM recorded_layouts WHERE tenant = ? AND scope = ? AND digest = ?", values
        ).fetchone()
        return int(row[0])

    def written(self, written: Mapping[Scope, _Written]) -> None:
        """The transaction is committed."""
        self._written.update(written)

    def prune(self, conn: Connection, now: datetime) -> None:
        """Delete what is older than `keep`, every PRUNE_EVERY and a limited number of rows at a time.

        The key frame that a kept poll needs is kept too, and with it up to KEY_FRAME_EVERY polls, and those between
        them that saw the same again.
        """
        if self._prune_at is not None and now < self._prune_at:
            return
        cutoff, done = stamp(now - self._keep), 0
        for scope in Scope:
            frame = conn.execute(
                "SELECT max(at) FROM recorded_polls WHERE tenant = ? AND scope = ? AND key_frame AND at <= ?",
                (self._tenant, scope, cutoff),
            ).fetchone()[0]
            if frame is None:
                continue
            if self._newest(conn, scope) <= cutoff:  # nothing newer needs it: this scope is no longer fetched
                frame = cutoff + "~"
            done += conn.execute(
                "DELETE FROM recorded_polls WHERE id IN "
                "(SELECT id FROM recorded_polls WHERE tenant = ? AND scope = ? AND at < ? ORDER BY at LIMIT ?)",
                (self._tenant, scope, frame, _PRUNED_AT_ONCE),
            ).rowcount
        if done:
            # Every layout in use has a key frame, except that the last one of a scope may be used again by this poll.
            self._written = {scope: each for scope, each in self._written.items() if now - each.at <= self._keep}
            in_use = msgspec.json.encode([each.layout_id for each in self._written.values()]).decode()
            conn.execute(
                "DELETE FROM recorded_layouts WHERE tenant = ? "
                "AND id NOT IN (SELECT CAST(value AS BIGINT) FROM json_each(?)) "
                "AND id NOT IN (SELECT layout_id FROM recorded_polls WHERE tenant = ? AND key_frame)",
                (self._tenant, in_use, self._tenant),
            )
        self._prune_at = now if done >= _PRUNED_AT_ONCE else now + PRUNE_EVERY

    def _newest(self, conn: Connection, scope: Scope) -> str:
        row = conn.execute(
            "SELECT max(at) FROM recorded_polls WHERE tenant = ? AND scope = ?", (self._tenant, scope)
        ).fetchone()
        return str(row[0] or "")


@dataclass(slots=True)
class _Layout:
    """The entities and keys of recorded polls, read once."""

    entities: _Entities
    keys: Mapping[str, bool]


Transaction = Callable[[], AbstractContextManager[Connection]]

_FIRST_FRAMES = """
    SELECT min(at) FROM (
        SELECT (
            SELECT max(at) FROM recorded_polls WHERE tenant = :tenant AND scope = value AND key_frame AND at <= :since
        ) AS at
        FROM json_each(:scopes)
    ) AS frames
"""
_ROWS = """
    SELECT at, scope, layout_id, key_frame, complete, problems, packed FROM recorded_polls
    WHERE tenant = ? AND (at, scope) > (?, ?) AND at <= ? AND scope IN (SELECT value FROM json_each(?))
    ORDER BY at, scope LIMIT ?
"""


def read(
    transaction: Transaction,
    tenant: str,
    since: datetime,
    until: datetime,
    keys: Mapping[Scope, frozenset[str]] | None,
) -> Iterator[RecordedPoll]:
    """The recorded polls of [since, until] in the order of time. Reads in portions, so that others can write."""
    scopes = msgspec.json.encode(list(Scope) if keys is None else list(keys)).decode()
    first, last = stamp(since), stamp(until)
    layouts: dict[int, _Layout] = {}
    last_of: dict[str, _Run] = {}  # by scope
    with transaction() as conn:
        begin = conn.execute(_FIRST_FRAMES, {"tenant": tenant, "since": first, "scopes": scopes}).fetchone()[0] or first
    place, at = (begin, ""), ""
    snapshots: dict[Scope, Snapshot] = {}
    failures: dict[Scope, str] = {}
    while True:
        with transaction() as conn:
            rows = conn.execute(_ROWS, (tenant, *place, last, scopes, _READ_AT_ONCE)).fetchall()
            for layout_id in {row["layout_id"] for row in rows} - {None, *layouts}:
                layouts[layout_id] = _read_layout(conn, layout_id)
        for row, found in zip(rows, _runs(rows, layouts, keys, last_of), strict=True):
            if row["at"] != at:
                if snapshots or failures:
                    yield RecordedPoll(unstamp(at), snapshots, failures)
                at, snapshots, failures = row["at"], {}, {}
            scope = Scope(row["scope"])
            problems = tuple(msgspec.json.decode(row["problems"]))
            if found is None:
                if at >= first:
                    failures[scope] = problems[0]
                continue
            run, line = found
            columns = run.columns(line, at)
            if at >= first:
                snapshots[scope] = _snapshot(scope, unstamp(at), run.layout, columns, bool(row["complete"]), problems)
        if len(rows) < _READ_AT_ONCE:
            break
        place = (rows[-1]["at"], rows[-1]["scope"])
    if snapshots or failures:
        yield RecordedPoll(unstamp(at), snapshots, failures)


@dataclass(slots=True)
class _Run:
    """Rows of one scope that follow one another, from a key frame or from the end of another run.

    They are unpacked together, when the first one is asked for.
    """

    scope: str
    layout_id: int
    layout: _Layout
    wanted: frozenset[str] | None
    before: _Run | None
    rows: list[bytes] = field(default_factory=list)
    read: list[Mapping[str, Column]] | None = None
    frame: Frame | None = None  # of the last row
    error: Exception | None = None  # why the row after those in `read` cannot be read

    @property
    def is_full(self) -> bool:
        keys = len(self.layout.keys) if self.wanted is None else len(self.wanted & self.layout.keys.keys())
        return len(self.rows) * keys * len(self.layout.entities[0]) >= MAX_CELLS

    def columns(self, line: int, at: str) -> Mapping[str, Column]:
        """The columns of one row, which is of the poll at `at`. Raises StoreError if it cannot be read."""
        if self.read is None:
            self.read = self._unpacked(self.before.frame if self.before is not None else None)
            self.before = None  # or all runs would stay in memory
        if line >= len(self.read):
            raise StoreError(f"the recording of {self.scope} at {at} cannot be read: {self.error}") from self.error
        return self.read[line]

    def _unpacked(self, before: Frame | None) -> list[Mapping[str, Column]]:
        keys, size = self.layout.keys, len(self.layout.entities[0])
        try:
            block, self.frame = unpack_block(self.rows, keys, size, before, self.wanted)
        except (ValueError, IndexError):
            pass
        else:
            return [ColumnsOfPoll(block, line) for line in range(len(self.rows))]
        read = []
        try:  # one by one, as far as they can be read
            for packed in self.rows:
                before = unpack(packed, keys, size, before, self.wanted)
                read.append(columns_of(before))
        except (ValueError, IndexError) as error:
            self.error = error
        self.frame = before
        return read


def _runs(
    rows: Sequence[Row],
    layouts: Mapping[int, _Layout],
    keys: Mapping[Scope, frozenset[str]] | None,
    last_of: dict[str, _Run],
) -> list[tuple[_Run, int] | None]:
    """For each row its run, and its line in that; None for one without data. `last_of`: the last run of each scope."""
    places: list[tuple[_Run, int] | None] = []
    open_runs: dict[str, _Run] = {}  # those that these rows continue
    for row in rows:
        scope, layout_id = row["scope"], row["layout_id"]
        if layout_id is None:
            places.append(None)
            continue
        run = open_runs.get(scope)
        if run is None or run.layout_id != layout_id or row["key_frame"] or run.is_full:
            last = last_of.get(scope)
            # A key frame is complete, even if the poll before it has the same layout.
            before = last if last is not None and last.layout_id == layout_id and not row["key_frame"] else None
            wanted = None if keys is None else keys[Scope(scope)]
            run = open_runs[scope] = last_of[scope] = _Run(scope, layout_id, layouts[layout_id], wanted, before)
        places.append((run, len(run.rows)))
        run.rows.append(row["packed"])
    return places


def read_one(
    transaction: Transaction,
    tenant: str,
    entity: tuple[Scope, str, str],
    key: str,
    since: datetime,
    until: datetime,
) -> Iterator[tuple[datetime, float | None]]:
    """One key of one entity (scope, parent id, id) in the recorded polls of [since, until], in the order of time."""
    scope, parent_id, entity_id = entity
    scopes = msgspec.json.encode([scope]).decode()
    first, last = stamp(since), stamp(until)
    places: dict[int, tuple[tuple[str, ...], int, int | None]] = {}  # keys, entities, and the row, by layout
    before_id: int | None = None
    before: Cell | None = None
    with transaction() as conn:
        begin = conn.execute(_FIRST_FRAMES, {"tenant": tenant, "since": first, "scopes": scopes}).fetchone()[0] or first
    place = (begin, "")
    while True:
        with transaction() as conn:
            rows = conn.execute(_ROWS, (tenant, *place, last, scopes, _READ_AT_ONCE)).fetchall()
            for layout_id in {row["layout_id"] for row in rows} - {None, *places}:
                layout = _read_layout(conn, layout_id)
                places[layout_id] = (tuple(layout.keys), len(layout.entities[0]), _row_of(layout, parent_id, entity_id))
        for row in rows:
            cell, layout_id = None, row["layout_id"]
            if layout_id is not None:
                keys, size, number = places[layout_id]
                if number is not None and key in keys:
                    continues = before_id == layout_id and not row["key_frame"]
                    try:
                        cell = unpack_cell(row["packed"], keys, size, before if continues else None, key, number)
                    except (ValueError, IndexError) as error:
                        at = row["at"]
                        raise StoreError(f"the recording of {scope} at {at} cannot be read: {error}") from error
                before_id, before = layout_id, cell
            if row["at"] >= first:
                yield unstamp(row["at"]), None if cell is None else cell.value
        if len(rows) < _READ_AT_ONCE:
            return
        place = (rows[-1]["at"], rows[-1]["scope"])


def _row_of(layout: _Layout, parent_id: str, entity_id: str) -> int | None:
    """The row of an entity; `parent_id` is "" where ids are unique without it."""
    ids, _, parents, _ = layout.entities
    for row, each in enumerate(ids):
        if each == entity_id and (not parent_id or (parents and parents[row] == parent_id)):
            return row
    return None


def _read_layout(conn: Connection, layout_id: int) -> _Layout:
    row = conn.execute("SELECT entities, metric_keys FROM recorded_layouts WHERE id = ?", (layout_id,)).fetchone()
    if row is None:
        raise StoreError("the recording has polls whose list of entities is missing")
    try:
        entities = msgspec.msgpack.decode(zlib.decompress(row["entities"]), type=_Entities)
        return _Layout(entities, dict(msgspec.json.decode(row["metric_keys"], type=_Keys)))
    except (zlib.error, msgspec.MsgspecError) as error:
        raise StoreError(f"the recording has entities that cannot be read: {error}") from error


def _snapshot(
    scope: Scope,
    at: datetime,
    layout: _Layout,
    columns: Mapping[str, Column],
    complete: bool,
    problems: tuple[str, ...],
) -> Snapshot:
    ids, names, parent_ids, parent_names = layout.entities
    return Snapshot(scope, at, ids, names, columns, parent_ids, parent_names, complete, problems)


def _text(problems: Sequence[str]) -> str:
    return msgspec.json.encode(list(problems)).decode()
