"""Values to rows and back; the columns of a snapshot to compact blobs and back.

Nothing here depends on a database: a row to write is a dict by column name, a row that was read is anything that
returns a column's value by its name. Statements are in the room of each database.
"""

from __future__ import annotations

import functools
import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from alertbot.alerts.alert import About, Alert, Fingerprint, Mute, MuteKind, Reason, State
from alertbot.alerts.cards import Card, Posted
from alertbot.alerts.notice import Notice, NoticeKind
from alertbot.alerts.silence import Matcher, Silence
from alertbot.errors import StoreError
from alertbot.evaluation.measure import Measure
from alertbot.evaluation.snapshot import Column, Presence, Snapshot, SnapshotHead
from alertbot.feed.health import Feed, Health
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.rule import Level
from alertbot.store.records import LedgerEntry, NoticeState, RunningRules

_P = ParamSpec("_P")
_R = TypeVar("_R")

Values = dict[str, Any]
"""A row to write: values by column name."""


class Row(Protocol):
    """A row that was read."""

    def __getitem__(self, column: str, /) -> Any:
        """The value of a column. Raises KeyError or IndexError when the row does not have it."""


# Most times of one poll are the same: of the 3,000 in 500 alerts most are found here, at a quarter of the cost.
@functools.lru_cache(maxsize=4096)
def stamp(at: datetime) -> str:
    """An aware time as ISO text in UTC, always of the same width, so that text order is time order."""
    if at.tzinfo is None:
        raise ValueError(f"a time without a zone: {at}")
    return at.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def maybe_stamp(at: datetime | None) -> str | None:
    return None if at is None else stamp(at)


@functools.lru_cache(maxsize=4096)
def unstamp(text: str) -> datetime:
    return datetime.fromisoformat(text)


def maybe_unstamp(text: str | None) -> datetime | None:
    return None if text is None else unstamp(text)


def _pack(value: object) -> str:
    return msgspec.json.encode(value).decode()


_unpack: Callable[[str], Any] = msgspec.json.decode


def _readable(decode: Callable[Concatenate[Row, _P], _R]) -> Callable[Concatenate[Row, _P], _R]:
    """Raise StoreError for a row that cannot be decoded: edited by hand, or with a word from a newer version."""

    @functools.wraps(decode)
    def guarded(row: Row, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return decode(row, *args, **kwargs)
        except (ValueError, KeyError, TypeError, IndexError) as exc:
            what = decode.__name__.removesuffix("_of")
            raise StoreError(f"the database holds a row ({what}) that this version cannot read: {exc}") from exc

    return guarded


# Alerts


def measure_text(measure: Measure | None) -> str | None:
    if measure is None:
        return None
    return _pack([measure.label, measure.type, measure.op, measure.value, measure.threshold])


def _measure(text: str | None) -> Measure | None:
    if text is None:
        return None
    label, kind, op, value, threshold = _unpack(text)
    return Measure(label, ValueType(kind), op, value, threshold)


def value_values(alert: Alert) -> Values:
    """What a poll writes of an alert of which only the value changed, or that was seen: a part of `alert_values`."""
    return {
        "measure": measure_text(alert.measure),
        "shown": _pack(dict(alert.shown)) if alert.shown else "{}",
        "peak": alert.peak,
        "peak_at": maybe_stamp(alert.peak_at),
        "missed_polls": alert.missed,
        "seen_at": maybe_stamp(alert.seen_at),
    }


def alert_values(alert: Alert) -> Values:
    """What a poll writes of an alert: not its key, and never acked_*, closed_by and close_note, which users write."""
    about = alert.about
    return {
        "parent_name": alert.parent_name,
        "entity_name": alert.entity_name,
        "state": alert.state,
        "level": alert.level.word,
        "highest_level": alert.highest.word if alert.highest is not None else None,
        "since": _pack({level.word: stamp(at) for level, at in alert.since.items()}),
        "pending_since": maybe_stamp(alert.pending_since),
        "fired_at": maybe_stamp(alert.fired_at),
        "recovering_since": maybe_stamp(alert.recovering_since),
        "ended_at": maybe_stamp(alert.ended_at),
        "end_reason": alert.end_reason,
        **value_values(alert),
        "about": _pack(
            {
                "title": about.title,
                "condition": about.condition,
                "template": about.template,
                "runbook": about.runbook,
                "labels": dict(about.labels),
                **({"shadow": True} if about.shadow else {}),
                **({"detail": about.detail} if about.detail else {}),
                **({"advice": about.advice} if about.advice else {}),
                **({"message": about.message} if about.message else {}),
                **({"show": about.show} if about.show else {}),
            }
        ),
        "reported_level": alert.reported.word if alert.reported is not None else None,
        "muted": _muted_text(alert.muted),
        "reminded_at": maybe_stamp(alert.reminded_at),
        "reminders": alert.reminders,
        "escalated_s": alert.escalated.total_seconds() if alert.escalated is not None else None,
        "nagged": alert.nagged,
        "rises": _pack([stamp(at) for at in alert.rises]) if alert.rises else "[]",
        "unstable": alert.unstable,
        "no_data_since": maybe_stamp(alert.no_data_since),
        "unseen_since": maybe_stamp(alert.unseen_since),
    }


def key_values(key: Fingerprint) -> Values:
    """The key of an alert, as columns."""
    return {
        "tenant": key.tenant,
        "rule": key.rule,
        "scope": key.scope,
        "parent_id": key.parent_id,
        "entity_id": key.entity_id,
    }


_SCOPES = {scope.value: scope for scope in Scope}  # a third of the cost of Scope("queue")


def fingerprint(tenant: str, row: Row) -> Fingerprint:
    """The key of an alert from a row that has its columns; `tenant` may be known without it."""
    word = row["scope"]
    scope = _SCOPES.get(word) or Scope(word)
    return Fingerprint(tenant, row["rule"], scope, row["parent_id"], row["entity_id"])


def _about(parts: dict[str, Any]) -> About:
    return About(**{**parts, "show": tuple(parts.get("show", ()))})


@_readable
def alert_of(row: Row) -> Alert:
    """The alert of a row of `alerts`."""
    return Alert(
        key=fingerprint(row["tenant"], row),
        entity_name=row["entity_name"],
        about=_about(_unpack(row["about"])),
        state=State(row["state"]),
        level=Level.of(row["level"]),
        since={Level.of(word): unstamp(at) for word, at in _unpack(row["since"]).items()},
        parent_name=row["parent_name"],
        id=row["id"],
        pending_since=maybe_unstamp(row["pending_since"]),
        fired_at=maybe_unstamp(row["fired_at"]),
        recovering_since=maybe_unstamp(row["recovering_since"]),
        ended_at=maybe_unstamp(row["ended_at"]),
        end_reason=Reason(row["end_reason"]) if row["end_reason"] is not None else None,
        measure=_measure(row["measure"]),
        shown=_unpack(row["shown"]),
        peak=row["peak"],
        peak_at=maybe_unstamp(row["peak_at"]),
        highest=Level.of(row["highest_level"]) if row["highest_level"] is not None else None,
        missed=row["missed_polls"],
        acked_by=row["acked_by"],
        acked_at=maybe_unstamp(row["acked_at"]),
        ack_note=row["ack_note"],
        seen_at=maybe_unstamp(row["seen_at"]),
        reported=Level.of(row["reported_level"]) if row["reported_level"] is not None else None,
        muted=_muted(row["tenant"], row["muted"]),
        reminded_at=maybe_unstamp(row["reminded_at"]),
        reminders=row["reminders"],
        escalated=timedelta(seconds=row["escalated_s"]) if row["escalated_s"] is not None else None,
        nagged=bool(row["nagged"]),
        rises=rises_of(row),
        unstable=bool(row["unstable"]),
        no_data_since=maybe_unstamp(row["no_data_since"]),
        unseen_since=maybe_unstamp(row["unseen_since"]),
        closed_by=row["closed_by"],
        close_note=row["close_note"],
    )


@_readable
def rises_of(row: Row) -> tuple[datetime, ...]:
    """When the alert of a row of `alerts` rose to firing."""
    return tuple(unstamp(at) for at in _unpack(row["rises"])) if row["rises"] != "[]" else ()


def _muted_text(muted: Mute | None) -> str | None:
    if muted is None:
        return None
    ref = muted.ref[1:] if isinstance(muted.ref, Fingerprint) else muted.ref
    return _pack([muted.kind, ref, stamp(muted.since)])


def _muted(tenant: str, text: str | None) -> Mute | None:
    if text is None:
        return None
    kind, ref, since = _unpack(text)
    if isinstance(ref, list):
        ref = Fingerprint(tenant, ref[0], Scope(ref[1]), ref[2], ref[3])
    return Mute(MuteKind(kind), ref, unstamp(since))


# Silences


def silence_values(silence: Silence) -> Values:
    """The row of a silence."""
    return {
        "id": silence.id,
        "matcher": _pack(silence.matcher.terms),
        "starts_at": stamp(silence.starts_at),
        "ends_at": stamp(silence.ends_at),
        "author": silence.author,
        "reason": silence.reason,
        "created_at": stamp(silence.created_at),
        "ended_at": maybe_stamp(silence.ended_at),
        "ended_by": silence.ended_by,
        "started": silence.started,
        "warned": silence.warned,
    }


@_readable
def silence_of(row: Row) -> Silence:
    """The silence of a row of `silences`."""
    return Silence(
        id=row["id"],
        matcher=Matcher(tuple((name, pattern) for name, pattern in _unpack(row["matcher"]))),
        starts_at=unstamp(row["starts_at"]),
        ends_at=unstamp(row["ends_at"]),
        author=row["author"],
        reason=row["reason"],
        created_at=unstamp(row["created_at"]),
        ended_at=maybe_unstamp(row["ended_at"]),
        ended_by=row["ended_by"],
        started=bool(row["started"]),
        warned=bool(row["warned"]),
    )


# Cards and notices


@_readable
def card_of(row: Row, members: tuple[Alert, ...], silences: tuple[Silence, ...] = ()) -> Card:
    """The card of a row of `cards`. Its channel is where it goes, which is not always the one that the rule names."""
    return Card(
        id=row["id"],
        members=members,
        channel=row["channel"],
        posted=posted_of(row),
        version=row["version"],
        sent_version=row["sent_version"],
        edited_at=maybe_unstamp(row["edited_at"]),
        group=row["group_key"],
        silences=silences,
    )


def posted_of(row: Row) -> Posted | None:
    """Where a card or a notice is in Slack; None while it is not there."""
    return None if row["posted_ts"] is None else Posted(row["posted_channel_id"], row["posted_ts"])


def notice_values(
    notice: Notice,
    *,
    tenant: str,
    kind: NoticeKind,
    alert_id: int | None,
    card_id: int | None,
    channel: str,
    error: str,
    now: str,
    also: Iterable[int] = (),
) -> Values:
    """The row of a new notice: waiting, or given up at once if `error` says why. `also`: ids for `notice.also`."""
    return {
        "id": notice.id,
        "tenant": tenant,
        "kind": kind,
        "alert_id": alert_id,
        "card_id": card_id,
        "channel": channel,
        "reason": notice.reason,
        "level": notice.level.word,
        "at": stamp(notice.at),
        "text": notice.text,
        "measure": measure_text(notice.measure),
        "mention": _pack(notice.mention),
        "broadcast": notice.broadcast,
        "done_by": notice.by,
        "lead": notice.lead or None,
        "also": _pack(list(also)),
        "replies": _pack(notice.replies),
        "state": NoticeState.GIVEN_UP if error else NoticeState.WAITING,
        "error": error,
        "settled_at": now if error else None,
    }


@_readable
def ledger_entry_of(row: Row) -> LedgerEntry:
    """The ledger entry of a row of `notices` with the key columns of its alert beside it."""
    alert = None if row["alert_id"] is None else fingerprint(row["tenant"], row)
    notice = Notice(
        id=row["id"],
        kind=NoticeKind(row["kind"]),
        alert=alert,
        channel=row["channel"],
        reason=Reason(row["reason"]),
        level=Level.of(row["level"]),
        at=unstamp(row["at"]),
        text=row["text"],
        measure=_measure(row["measure"]),
        mention=tuple(_unpack(row["mention"])),
        broadcast=bool(row["broadcast"]),
        by=row["done_by"],
        lead=row["lead"] or "",
        replies=tuple(_unpack(row["replies"])),
    )
    return LedgerEntry(
        notice=notice,
        state=NoticeState(row["state"]),
        attempts=row["attempts"],
        looks=row["looks"],
        intent_at=maybe_unstamp(row["intent_at"]),
        not_before=maybe_unstamp(row["not_before"]),
        settled_at=maybe_unstamp(row["settled_at"]),
        error=row["error"],
        posted=posted_of(row),
    )


def thread_of(row: Row) -> Posted | None:
    """The message in whose thread the notice of this row is posted; None where it stands in its channel."""
    return None if row["thread_ts"] is None else Posted(row["thread_channel_id"], row["thread_ts"])


@_readable
def carried_of(row: Row, alert: Alert) -> Alert:
    """The alert as it was when the notice of this row was decided."""
    return replace(alert, level=Level.of(row["level"]), measure=_measure(row["measure"]) or alert.measure)


@_readable
def also_of(row: Row) -> list[int]:
    """The ids of the other alerts that a line names."""
    ids: list[int] = _unpack(row["also"])
    return ids


# Feeds


def feed_values(feed: Feed) -> Values:
    """The row of a feed."""
    return {
        "tenant": feed.tenant,
        "tried_at": maybe_stamp(feed.tried_at),
        "good_at": maybe_stamp(feed.good_at),
        "error": feed.error,
        "took_ms": feed.took_ms,
        "requests": feed.requests,
        "entities": _pack(dict(feed.entities)),
        "empty_polls": _pack(dict(feed.empty_polls)),
        "health": _pack(feed.health),
    }


@_readable
def feed_of(row: Row) -> Feed:
    """The feed of a row of `feeds`."""
    return Feed(
        tenant=row["tenant"],
        tried_at=maybe_unstamp(row["tried_at"]),
        good_at=maybe_unstamp(row["good_at"]),
        error=row["error"],
        took_ms=row["took_ms"],
        requests=row["requests"],
        entities=_by_scope(row["entities"]),
        empty_polls=_by_scope(row["empty_polls"]),
        health=msgspec.json.decode(row["health"], type=Health),
    )


def _by_scope(text: str) -> Mapping[Scope, int]:
    return {Scope(scope): count for scope, count in _unpack(text).items()}


# Snapshots


def snapshot_values(tenant: str, snapshot: Snapshot) -> Values:
    """The row of a snapshot. Numbers are one raw little-endian float64 matrix, key by key.

    Measured for 12 keys, packing and writing together: 1,000 entities 0.4 ms raw, 1.5 ms with zlib level 1; 10,000
    entities 1.5 ms raw, 10 ms with zlib, for 960 against 385 kB. One snapshot per scope is kept, so time counts.
    """
    numbers = {key: column for key, column in snapshot.columns.items() if not column.is_text}
    texts = {key: column for key, column in snapshot.columns.items() if column.is_text}
    return {
        "tenant": tenant,
        "scope": snapshot.scope,
        "at": stamp(snapshot.at),
        "complete": int(snapshot.complete),  # not a flag: it is a part of the digest
        "problems": _pack(snapshot.problems),
        "entities": _pack([snapshot.ids, snapshot.names, snapshot.parent_ids, snapshot.parent_names]),
        "number_keys": _pack(list(numbers)),
        "numbers": b"".join(column.values.astype("<f8", copy=False).tobytes() for column in numbers.values()),
        "number_presence": _presence_bytes(numbers.values()),
        "text_keys": _pack(list(texts)),
        "texts": _pack([column.values.tolist() for column in texts.values()]),
        "text_presence": _presence_bytes(texts.values()),
    }


def digest(snapshot: Values) -> str:
    """The same for the rows of two snapshots that differ only in their time."""
    digest = hashlib.blake2b(digest_size=16)
    for column, value in snapshot.items():
        if column != "at":
            data = value if isinstance(value, bytes) else str(value).encode()
            digest.update(b"%d:" % len(data))
            digest.update(data)
    return digest.hexdigest()


def snapshot_times_text(times: Mapping[str, tuple[str, str]]) -> str:
    """When each scope was last seen, and the digest of its snapshot."""
    return _pack(times)


_decode_times = msgspec.json.Decoder(dict[str, tuple[str, str]]).decode


def snapshot_times_of(text: str) -> Mapping[str, tuple[str, str]]:
    """What `snapshot_times_text` wrote. Raises StoreError where it cannot be read."""
    try:
        return _decode_times(text)
    except msgspec.MsgspecError as error:
        raise StoreError(f"the database holds times of snapshots that cannot be read: {error}") from error


def _presence_bytes(columns: Iterable[Column]) -> bytes:
    """One byte per value; empty if every value is present, which is the usual case."""
    packed = b"".join(column.presence.astype(np.uint8, copy=False).tobytes() for column in columns)
    return packed if packed.strip(b"\0") else b""


@_readable
def head_of(row: Row) -> SnapshotHead:
    """The head of a row of `snapshots`; of its columns only those before the entities are needed."""
    return SnapshotHead(unstamp(row["at"]), bool(row["complete"]), tuple(_unpack(row["problems"])))


@_readable
def snapshot_of(row: Row) -> Snapshot:
    """The snapshot of a row of `snapshots`."""
    ids, names, parent_ids, parent_names = (tuple(part) for part in _unpack(row["entities"]))
    size = len(ids)
    number_keys, text_keys = _unpack(row["number_keys"]), _unpack(row["text_keys"])
    numbers = np.frombuffer(row["numbers"], "<f8").astype(np.float64).reshape(len(number_keys), size)
    number_presence = _presence(row["number_presence"], len(number_keys), size)
    text_presence = _presence(row["text_presence"], len(text_keys), size)
    columns = {key: Column(numbers[at], number_presence[at]) for at, key in enumerate(number_keys)}
    for at, (key, values) in enumerate(zip(text_keys, _unpack(row["texts"]), strict=True)):
        column = np.empty(size, dtype=np.object_)
        column[:] = values
        columns[key] = Column(column, text_presence[at])
    return Snapshot(
        scope=Scope(row["scope"]),
        at=unstamp(row["at"]),
        ids=ids,
        names=names,
        columns=columns,
        parent_ids=parent_ids,
        parent_names=parent_names,
        complete=bool(row["complete"]),
        problems=tuple(_unpack(row["problems"])),
    )


def _presence(packed: bytes, keys: int, size: int) -> NDArray[np.uint8]:
    if not packed:
        return np.full((keys, size), Presence.PRESENT, dtype=np.uint8)
    return np.frombuffer(packed, np.uint8).copy().reshape(keys, size)


def running_values(running: RunningRules) -> Values:
    """The row of the rules that run."""
    files = zlib.compress(msgspec.msgpack.encode(dict(running.files)))
    return {"tenant": running.tenant, "version": running.version, "since": stamp(running.since), "files": files}


def running_of(row: Row) -> RunningRules:
    """The rules of a row of `running_rules`."""
    try:
        files = msgspec.msgpack.decode(zlib.decompress(row["files"]), type=dict[str, bytes])
    except (zlib.error, msgspec.DecodeError) as error:
        raise StoreError(f"the rules of {row['tenant']} in the database cannot be read: {error}") from error
    return RunningRules(row["tenant"], row["version"], unstamp(row["since"]), files)
