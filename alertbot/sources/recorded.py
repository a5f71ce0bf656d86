"""Recorded: polls that were seen before as a Source, for replay and bug reports; and their file.

The file is JSON Lines, one poll a line, so that it can be cut with `head`, read by eye and attached to a report. It
holds ids, names and values as they came, and no credentials: a Fetched has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from alertbot.errors import SourceBroken
from alertbot.evaluation.snapshot import Column, Fetched, Presence, Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.rules.match import Only


class Recorded:
    """A Source that gives these polls back, one a fetch, in order.

    Each answer holds the scopes and keys that are wanted; one that was not recorded is a failure, or a column of
    NOT_FETCHED. `at` is the time of the recording: hand `times` to whatever drives the clock. After the last poll
    every fetch fails and says so.
    """

    def __init__(self, polls: Iterable[Fetched], name: str = "recording") -> None:
        self.name = name
        self._polls = tuple(polls)
        self._next = 0

    @property
    def times(self) -> tuple[datetime, ...]:
        """When each poll was made."""
        return tuple(poll.at for poll in self._polls)

    def fetch(
        self, wanted: Mapping[Scope, frozenset[str]], now: datetime, only: Mapping[Scope, Only] | None = None
    ) -> Fetched:
        """The next recorded poll, as far as it is wanted."""
        if self._next >= len(self._polls):
            return Fetched(at=now, failures=dict.fromkeys(wanted, f"the {self.name} is over"))
        poll = self._polls[self._next]
        self._next += 1
        absent = {scope: f"the {self.name} has no {scope}" for scope in wanted if scope not in poll.snapshots}
        return replace(
            poll,
            snapshots={s: _cut(poll.snapshots[s], keys) for s, keys in wanted.items() if s in poll.snapshots},
            failures={scope: poll.failures.get(scope, why) for scope, why in absent.items()},
        )

    def close(self) -> None:
        """Nothing is held."""


def _cut(snapshot: Snapshot, keys: frozenset[str]) -> Snapshot:
    """The snapshot with exactly these keys."""
    never = Column(np.full(len(snapshot), np.nan), np.full(len(snapshot), Presence.NOT_FETCHED, dtype=np.uint8))
    return replace(snapshot, columns={key: snapshot.columns.get(key, never) for key in sorted(keys)})


class _Column(msgspec.Struct):
    """Values as JSON; None where missing, and `presence` only where something is."""

    values: list[float | str | None]
    presence: list[int] = []  # msgspec copies it for each
    text: bool = False


class _Snapshot(msgspec.Struct):
    ids: list[str]
    names: list[str]
    columns: dict[str, _Column]
    parent_ids: list[str] = []
    parent_names: list[str] = []
    complete: bool = True
    problems: list[str] = []


class _Poll(msgspec.Struct):
    at: datetime
    snapshots: dict[Scope, _Snapshot] = {}
    failures: dict[Scope, str] = {}
    took_ms: float = 0.0
    refused: bool = False
    retry_after: float | None = None


_DECODER: Final = msgspec.json.Decoder(_Poll)
_ENCODER: Final = msgspec.json.Encoder()


def to_line(poll: Fetched) -> bytes:
    """One poll as one line of a recording. The requests it took are left out."""
    record = _Poll(
        at=poll.at,
        snapshots={scope: _written(snapshot) for scope, snapshot in poll.snapshots.items()},
        failures=dict(poll.failures),
        took_ms=poll.took_ms,
        refused=poll.refused,
        retry_after=poll.retry_after,
    )
    return _ENCODER.encode(record) + b"\n"


def read_recording(path: Path) -> Recorded:
    """The recording in a file of `to_line` lines. Raises SourceBroken, with the line, for what is none."""
    polls = []
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    polls.append(_read(_DECODER.decode(line)))
                except (msgspec.MsgspecError, ValueError) as error:
                    raise SourceBroken(f"{path.name}:{number}: not a recorded poll: {error}") from None
    except OSError as error:
        raise SourceBroken(f"{path.name} cannot be read: {error.strerror}") from None
    return Recorded(polls, path.name)


def _written(snapshot: Snapshot) -> _Snapshot:
    return _Snapshot(
        ids=list(snapshot.ids),
        names=list(snapshot.names),
        columns={key: _written_column(column) for key, column in snapshot.columns.items()},
        parent_ids=list(snapshot.parent_ids),
        parent_names=list(snapshot.parent_names),
        complete=snapshot.complete,
        problems=list(snapshot.problems),
    )


def _written_column(column: Column) -> _Column:
    present = (column.presence == Presence.PRESENT).tolist()
    values = [value if there else None for value, there in zip(column.values.tolist(), present, strict=True)]
    return _Column(values, [] if all(present) else column.presence.tolist(), column.is_text)


def _read(poll: _Poll) -> Fetched:
    return Fetched(
        at=poll.at,
        snapshots={
            scope: Snapshot(
                scope=scope,
                at=poll.at,
                ids=tuple(each.ids),
                names=tuple(each.names),
                columns={key: _read_column(column, len(each.ids)) for key, column in each.columns.items()},
                parent_ids=tuple(each.parent_ids),
                parent_names=tuple(each.parent_names),
                complete=each.complete,
                problems=tuple(each.problems),
            )
            for scope, each in poll.snapshots.items()
        },
        failures=poll.failures,
        took_ms=poll.took_ms,
        refused=poll.refused,
        retry_after=poll.retry_after,
    )


def _read_column(column: _Column, rows: int) -> Column:
    presence = np.array(column.presence or [Presence.PRESENT] * rows, dtype=np.uint8)
    if len(presence) != rows or len(column.values) != rows:
        raise ValueError("a column has not one value an entity")
    kind = str if column.text else float
    if any(value is not None and not isinstance(value, kind) for value in column.values):
        raise ValueError("a column mixes texts and numbers")
    if column.text:
        return Column(np.array([value or "" for value in column.values], dtype=np.object_), presence)
    return Column(np.array([np.nan if value is None else value for value in column.values], dtype=np.float64), presence)
