"""The means of quarter-hours, kept for weeks. Each function but `pack` works inside the caller's transaction.

A row has the means of a scope in one quarter-hour, all keys and entities in one blob: 1,000 queues x 5 keys are about
8 kB. A week has 672 quarter-hours, and what `usual` reads is one of them per week, found by an index: reading costs the
same however long means are kept.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from alertbot.errors import StoreError
from alertbot.evaluation.layout import Layout, Pairs
from alertbot.evaluation.usual import QUARTER, QuarterHour
from alertbot.rules.catalogue import Scope
from alertbot.store.codec import stamp, unstamp
from alertbot.store.sql.connection import Connection

PRUNE_EVERY = timedelta(minutes=15)
_PRUNED_AT_ONCE = 500
_PLANES = 3  # of the four bytes of a float32: the last one is always zero, see `evaluation/usual.py`


class _Row(NamedTuple):
    """One quarter-hour, packed before the database is locked."""

    scope: Scope
    at: str
    digest: str
    entities: bytes
    keys: tuple[str, ...]
    packed: bytes


def pack(quarter_hours: Sequence[QuarterHour]) -> list[_Row]:
    """The rows of these quarter-hours; none for one without a mean that counts."""
    rows = []
    for each in quarter_hours:
        means = {key: numbers for key, numbers in each.means.items() if not np.isnan(numbers).all()}
        if means:
            entities = zlib.compress(msgspec.msgpack.encode(each.layout.pairs), 6)
            keys = tuple(sorted(means))
            digest = hashlib.sha256(entities + msgspec.json.encode(keys)).hexdigest()[:32]
            packed = _packed(np.stack([means[key] for key in keys]))
            rows.append(_Row(each.scope, stamp(each.at), digest, entities, keys, packed))
    return rows


def _packed(means: NDArray[np.float32]) -> bytes:
    """The bytes of all numbers plane by plane, the highest first: similar ones are adjacent."""
    planes = means.astype(">f4").reshape(-1).view(np.uint8).reshape(-1, 4)[:, :_PLANES]
    return zlib.compress(np.ascontiguousarray(planes.T).tobytes(), 6)


def _unpacked(packed: bytes, keys: int, entities: int) -> NDArray[np.float32]:
    planes = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(_PLANES, keys * entities)
    whole = np.zeros((keys * entities, 4), dtype=np.uint8)
    whole[:, :_PLANES] = planes.T
    return whole.reshape(-1).view(">f4").astype(np.float32).reshape(keys, entities)


def write(conn: Connection, tenant: str, rows: Sequence[_Row]) -> None:
    """Keep the means of these quarter-hours, in place of those of the same keys."""
    for row in rows:
        place = (tenant, row.scope, row.digest)
        listed = msgspec.json.encode(row.keys).decode()
        conn.execute(
            "INSERT INTO usual_layouts (tenant, scope, digest, entities, metric_keys) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            (*place, row.entities, listed),
        )
        (layout_id,) = conn.execute(
            "SELECT id FROM usual_layouts WHERE tenant = ? AND scope = ? AND digest = ?", place
        ).fetchone()
        conn.execute(
            "DELETE FROM usual_means WHERE tenant = ? AND scope = ? AND at = ? AND layout_id IN (SELECT id FROM "
            "usual_layouts AS layout WHERE layout.id = layout_id AND NOT EXISTS (SELECT 1 FROM "
            "json_each(layout.metric_keys) WHERE value NOT IN (SELECT value FROM json_each(?))))",
            (tenant, row.scope, row.at, listed),
        )
        conn.execute(
            "INSERT INTO usual_means (tenant, scope, at, layout_id, packed) VALUES (?, ?, ?, ?, ?)",
            (tenant, row.scope, row.at, layout_id, row.packed),
        )


def closed(conn: Connection, tenant: str, quarter_hours: Sequence[QuarterHour]) -> None:
    """Keys whose recording was in their means until one of these quarter-hours began are so until its end."""
    for each in quarter_hours:
        conn.executemany(
            "UPDATE usual_keys SET filled_until = ? "
            "WHERE tenant = ? AND scope = ? AND metric_key = ? AND filled_until = ?",
            [(stamp(each.at + QUARTER), tenant, each.scope, key, stamp(each.at)) for key in each.means],
        )


def mark(conn: Connection, tenant: str, filled: Mapping[tuple[Scope, str], datetime]) -> None:
    """Note until when the recording of each key is in its means."""
    conn.executemany(
        "INSERT INTO usual_keys (tenant, scope, metric_key, filled_until) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (tenant, scope, metric_key) DO UPDATE SET filled_until = excluded.filled_until",
        [(tenant, scope, key, stamp(until)) for (scope, key), until in filled.items()],
    )


def filled(conn: Connection, tenant: str) -> dict[tuple[Scope, str], datetime]:
    """Until when the recording of each key is in its means."""
    rows = conn.execute("SELECT scope, metric_key, filled_until FROM usual_keys WHERE tenant = ?", (tenant,))
    return {(Scope(scope), key): unstamp(until) for scope, key, until in rows}


def prune(conn: Connection, tenant: str, before: datetime) -> None:
    """Delete means of quarter-hours that began earlier, a limited number of rows at a time.

    An hour more is kept: on the days around a change of the clock, the same time of the week is that much further back.
    """
    done = conn.execute(
        "DELETE FROM usual_means WHERE id IN (SELECT id FROM usual_means WHERE tenant = ? AND scope IN "
        "(SELECT value FROM json_each(?)) AND at < ? LIMIT ?)",
        (tenant, msgspec.json.encode(list(Scope)).decode(), stamp(before - 5 * QUARTER), _PRUNED_AT_ONCE),
    ).rowcount
    if done:
        conn.execute(
            "DELETE FROM usual_layouts WHERE tenant = ? AND NOT EXISTS "
            "(SELECT 1 FROM usual_means WHERE layout_id = usual_layouts.id)",
            (tenant,),
        )


def read(
    conn: Connection, tenant: str, keys: Mapping[Scope, Collection[str]], at: Collection[datetime]
) -> list[QuarterHour]:
    """The means of these keys in the quarter-hours that begin at these times, the rows of each in their order."""
    rows = conn.execute(
        "SELECT scope, at, layout_id, packed FROM usual_means WHERE tenant = ? "
        "AND scope IN (SELECT value FROM json_each(?)) AND at IN (SELECT value FROM json_each(?)) ORDER BY id",
        (
            tenant,
            msgspec.json.encode(list(keys)).decode(),
            msgspec.json.encode([stamp(each) for each in at]).decode(),
        ),
    ).fetchall()
    layouts = {layout_id: _layout(conn, layout_id) for layout_id in {row["layout_id"] for row in rows}}
    # Rows with the same entities share one Layout, whatever their keys: readers map its rows once.
    shared: dict[Pairs, Layout] = {}
    found = []
    for row in rows:
        scope = Scope(row["scope"])
        pairs, kept = layouts[row["layout_id"]]
        layout = shared.setdefault(pairs, Layout(pairs))
        try:
            means = _unpacked(row["packed"], len(kept), layout.size)
        except (zlib.error, ValueError) as error:
            raise StoreError(f"the means of {scope} at {row['at']} cannot be read: {error}") from error
        wanted = {key: means[place] for place, key in enumerate(kept) if key in keys[scope]}
        if wanted:
            found.append(QuarterHour(scope, unstamp(row["at"]), layout, wanted))
    return found


def _layout(conn: Connection, layout_id: int) -> tuple[Pairs, tuple[str, ...]]:
    row = conn.execute("SELECT entities, metric_keys FROM usual_layouts WHERE id = ?", (layout_id,)).fetchone()
    if row is None:
        raise StoreError("there are means of quarter-hours whose list of entities is missing")
    try:
        pairs = msgspec.msgpack.decode(zlib.decompress(row["entities"]), type=Pairs)
        return pairs, tuple(msgspec.json.decode(row["metric_keys"], type=list[str]))
    except (zlib.error, msgspec.MsgspecError) as error:
        raise StoreError(f"there are means of quarter-hours whose entities cannot be read: {error}") from error
