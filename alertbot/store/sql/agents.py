"""The agents of every tenant, with each name they had, for `rules/privacy.py`.

They are kept even if names are shown: so equal initials are known from the moment when names are hidden. A poll whose
agents are all known writes nothing here.

New rows are found by their order of arrival. In PostgreSQL two turns may commit in another order than their rows have:
so a process adds its own rows without reading them, and reads the last rows of others once more.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from alertbot.evaluation.snapshot import Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.rules.privacy import AGENT_SCOPES, NAMES_IN_FULL, Agent, Names
from alertbot.store.sql.connection import Connection

_SINCE = "SELECT tenant, id, name FROM agents WHERE rowid > ?"
_AGAIN = 1000  # rows that are read once more: those of turns that were not committed yet
_Seen = tuple[tuple[str, ...], tuple[str, ...]]  # ids and names of a snapshot


class Agents:
    """What this process knows of agents; other processes may add rows at any time. Thread-safe."""

    def __init__(self, *, hidden: bool) -> None:
        self.hidden = hidden
        self._lock = threading.Lock()
        self._known: set[Agent] = set()  # changed in place: with many tenants it is large
        self._rows = -1  # as many as were read
        self._seen: dict[tuple[str, Scope], _Seen] = {}
        self._names = Names(hidden=True) if hidden else NAMES_IN_FULL

    @property
    def names(self) -> Names:
        """As they were last read or written."""
        return self._names

    def read(self, conn: Connection) -> Names:
        """As they are now. Without hidden names nothing is read."""
        if self.hidden:
            self._load(conn)
        return self._names

    def write(self, conn: Connection, tenant: str, snapshots: Mapping[Scope, Snapshot]) -> dict[Scope, _Seen]:
        """Add the agents of a poll that are new. Pass the result to `written` when the transaction is committed."""
        seen = {scope: (snapshot.ids, snapshot.names) for scope, snapshot in snapshots.items() if scope in AGENT_SCOPES}
        other = {scope: pairs for scope, pairs in seen.items() if self._seen.get((tenant, scope)) != pairs}
        if other:
            self._load(conn)
            new = set(_agents(tenant, other.values())) - self._known
            conn.executemany(
                "INSERT INTO agents (tenant, id, name) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", sorted(new)
            )
        return other

    def written(self, conn: Connection, tenant: str, seen: Mapping[Scope, _Seen]) -> None:
        """The transaction is committed."""
        if seen:
            self._load(conn)
            with self._lock:
                new = set(_agents(tenant, seen.values())) - self._known
                if new:
                    self._known |= new
                    self._names = self._names.including(new)
            self._seen.update({(tenant, scope): pairs for scope, pairs in seen.items()})

    def forget(self) -> None:
        """What was read may not have been committed: everything is read again."""
        with self._lock:
            self._known, self._rows = set(), -1
            self._seen.clear()

    def _load(self, conn: Connection) -> None:
        (rows,) = conn.execute("SELECT COALESCE(max(rowid), 0) FROM agents").fetchone()
        with self._lock:
            if rows == self._rows:
                return
            found = conn.execute(_SINCE, (max(self._rows - _AGAIN, 0),)).fetchall()
            new = {Agent(row["tenant"], row["id"], row["name"]) for row in found} - self._known
            self._known |= new
            self._rows = rows
            self._names = self._names.including(new)


def _agents(tenant: str, seen: Iterable[_Seen]) -> Iterable[Agent]:
    return (Agent(tenant, *pair) for ids, names in seen for pair in zip(ids, names, strict=True) if pair[1])
