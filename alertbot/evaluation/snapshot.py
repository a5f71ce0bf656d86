"""What one poll saw: one numpy column per metric key, with what is missing and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alertbot.rules.catalogue import Scope


class Presence(IntEnum):
    """Whether a value is present, and if not, why not. Missing is neither zero nor fine."""

    PRESENT = 0
    NULL = 1  # 8x8 sent null: no data for this period
    ABSENT = 2  # the key was not in the response
    INVALID = 3  # a value of the wrong type, NaN or infinite
    NOT_FETCHED = 4  # the request for it failed


@dataclass(frozen=True, slots=True)
class Column:
    """One metric key over all entities of a snapshot, row by row.

    `values` is float64 (NaN where missing; ms, ratio 0 to 1, epoch ms) or, for text, an object array of str (""
    where missing). `presence` holds `Presence` values as uint8.
    """

    values: NDArray[np.float64] | NDArray[np.object_]
    presence: NDArray[np.uint8]

    @property
    def is_text(self) -> bool:
        return self.values.dtype == np.object_

    def same_values(self, other: Column) -> bool:
        """Whether the other one has the same values, bit for bit, and the same of them are missing."""
        if self.values is other.values and self.presence is other.presence:
            return True
        # Bytes and lists: numpy's own comparison of two short arrays costs ten times as much, of long ones no less.
        if self.values.dtype != other.values.dtype or self.presence.tobytes() != other.presence.tobytes():
            return False
        if self.is_text:
            return bool(self.values.tolist() == other.values.tolist())
        return self.values.tobytes() == other.values.tobytes()


@dataclass(frozen=True)
class SnapshotHead:
    """What there is to say of a snapshot without its entities and values; the fields are those of `Snapshot`."""

    at: datetime
    complete: bool = True
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """What one poll saw of one scope: `ids[i]`, `names[i]` and row i of each column belong together.

    `complete` is False when part of the data is missing; an entity that is absent is then unknown, not gone. `problems`
    are sentences about what is missing or was unexpected. Parents (the queue of a queue_agent, the group of an agent)
    are "" where there is none.
    """

    scope: Scope
    at: datetime
    ids: tuple[str, ...]
    names: tuple[str, ...]
    columns: Mapping[str, Column]
    parent_ids: tuple[str, ...] = ()
    parent_names: tuple[str, ...] = ()
    complete: bool = True
    problems: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def head(self) -> SnapshotHead:
        """When it was taken and whether it is complete."""
        return SnapshotHead(self.at, self.complete, self.problems)

    def sharing(self, before: Snapshot) -> Snapshot:
        """The same snapshot, made of parts of an earlier one of its scope where they are equal.

        Names and ids, with `rows`, are shared while the entities stay the same, and then each column that has not
        changed. So whatever is derived from a part is still right while the part is the same object, which costs
        nothing to check.
        """
        if not (
            self.ids == before.ids
            and self.names == before.names
            and self.parent_ids == before.parent_ids
            and self.parent_names == before.parent_names
        ):
            return self
        columns = {
            key: old if (old := before.columns.get(key)) is not None and old.same_values(column) else column
            for key, column in self.columns.items()
        }
        shared = replace(
            self,
            ids=before.ids,
            names=before.names,
            parent_ids=before.parent_ids,
            parent_names=before.parent_names,
            columns=columns,
        )
        vars(shared)["rows"] = before.rows  # where `cached_property` keeps it
        if columns.keys() == before.columns.keys() and all(columns[key] is old for key, old in before.columns.items()):
            vars(shared)["derived"] = before.derived
        return shared

    def entities(self) -> Snapshot:
        """The snapshot without its columns: to remember entities without the memory of all their values."""
        parents = self.parent_ids, self.parent_names
        return Snapshot(self.scope, self.at, self.ids, self.names, {}, *parents, self.complete, self.problems)

    def same_entities(self, other: Snapshot) -> bool:
        """Whether the entities are those of `other`, row by row, as far as `sharing` has found out."""
        return (
            self.ids is other.ids
            and self.names is other.names
            and self.parent_ids is other.parent_ids
            and self.parent_names is other.parent_names
        )

    @cached_property
    def rows(self) -> Mapping[tuple[str, str], int]:
        """(parent id, id) to row."""
        parents = self.parent_ids or ("",) * len(self.ids)
        return {pair: row for row, pair in enumerate(zip(parents, self.ids, strict=True))}

    @cached_property
    def derived(self) -> dict[str, Any]:
        """A place for what depends on entities and values alone: the same dict while those of later polls are equal.

        `sharing` hands it on. Whether a snapshot is complete is no part of that.
        """
        return {}

    def same_values(self, other: Snapshot) -> bool:
        """Whether the other one differs in nothing but its time."""
        return (
            (self.scope, self.complete, self.problems) == (other.scope, other.complete, other.problems)
            and (self.ids, self.names) == (other.ids, other.names)
            and (self.parent_ids, self.parent_names) == (other.parent_ids, other.parent_names)
            and list(self.columns) == list(other.columns)
            and all(column.same_values(other.columns[key]) for key, column in self.columns.items())
        )

    def parent(self, row: int) -> tuple[str, str]:
        """(parent id, parent name) of a row; ("", "") where there is none."""
        if not self.parent_ids:
            return "", ""
        return self.parent_ids[row], self.parent_names[row] if self.parent_names else ""

    def reading(self, key: str, row: int) -> tuple[float | str | None, Presence]:
        """One value and its presence; (None, why) where it is missing. An unknown column is ABSENT."""
        column = self.columns.get(key)
        if column is None:
            return None, Presence.ABSENT
        presence = _PRESENCES[column.presence.item(row)]
        value: float | str | None = column.values.item(row) if presence is _PRESENT else None
        return value, presence

    def readings(self, key: str, rows: NDArray[np.intp]) -> list[float | str | None]:
        """The values of `reading` for many rows at once."""
        column = self.columns.get(key)
        if column is None:
            return [None] * len(rows)
        values: list[float | str | None] = column.values[rows].tolist()
        for at in (column.presence[rows] != Presence.PRESENT).nonzero()[0].tolist():
            values[at] = None
        return values


_PRESENCES = {int(presence): presence for presence in Presence}  # a dict lookup costs a fifth of Presence(value)
_PRESENT = Presence.PRESENT  # as does a global of a member of an enum


@dataclass(frozen=True, slots=True)
class RequestStats:
    """One HTTP request of a poll, for `poll --json`.

    `endpoint` has `{id}` for ids. `scopes` are those that it serves; none for the token and for names. `outcome`
    is ok, or one word for why there is no answer.
    """

    endpoint: str
    page: int
    keys: int
    entities: int
    bytes: int
    took_ms: float
    tries: int = 1
    scopes: tuple[Scope, ...] = ()
    outcome: str = "ok"


@dataclass(frozen=True)
class Fetched:
    """The result of one poll of one tenant.

    A scope is in `snapshots` (complete or partial) or, when there is no data at all, in `failures` with the reason as a
    sentence. A failure changes no alert. `refused`: the credentials were refused. `notes` are for the log, `problems`
    are for the administrator to fix (a rule names an id that 8x8 does not know); the source reports each of both once.
    """

    at: datetime
    snapshots: Mapping[Scope, Snapshot] = field(default_factory=dict)
    failures: Mapping[Scope, str] = field(default_factory=dict)
    requests: tuple[RequestStats, ...] = ()
    took_ms: float = 0.0
    refused: bool = False
    retry_after: float | None = None  # seconds to back off, as the source asked
    clock_skew_s: float | None = None  # how far the source's clock is ahead of the local one; None: unknown
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether every scope was received, and completely."""
        return not self.failures and all(snapshot.complete for snapshot in self.snapshots.values())
