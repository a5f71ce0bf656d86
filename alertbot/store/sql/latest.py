"""The latest snapshot of each scope of a tenant: packed when its values changed, else only its time is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from alertbot.evaluation.snapshot import Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.store import codec
from alertbot.store.codec import Values, stamp


@dataclass(slots=True)
class Seen:
    """One snapshot of a poll. `still`: its values are those of the snapshot that was written before it."""

    tenant: str
    snapshot: Snapshot
    digest: str
    still: bool
    packed: Values | None

    @property
    def scope(self) -> Scope:
        return self.snapshot.scope

    @property
    def at(self) -> str:
        return stamp(self.snapshot.at)

    def values(self) -> Values:
        """Its row. Packed here only if another process has written another snapshot meanwhile."""
        return self.packed or codec.snapshot_values(self.tenant, self.snapshot)


class Latest:
    """Remembers what was written last, so that a poll that saw the same is neither packed nor hashed."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._written: dict[Scope, Seen] = {}

    def see(self, snapshots: Iterable[Snapshot]) -> dict[Scope, Seen]:
        """The snapshots of a poll, packed where they differ. Done before the database is locked."""
        return {snapshot.scope: self._see(snapshot) for snapshot in snapshots}

    def _see(self, snapshot: Snapshot) -> Seen:
        last = self._written.get(snapshot.scope)
        if last is not None and last.snapshot.same_values(snapshot):
            return Seen(self._tenant, snapshot, last.digest, True, None)
        values = codec.snapshot_values(self._tenant, snapshot)
        return Seen(self._tenant, snapshot, codec.digest(values), False, values)

    def written(self, seen: Mapping[Scope, Seen]) -> None:
        """The transaction is committed."""
        for scope, each in seen.items():
            each.packed = None  # large, and in the database
            self._written[scope] = each
