"""What the tests of decoding share: from pages to a snapshot, without a client."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from alertbot.evaluation.snapshot import Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.sources.eight_by_eight.assemble import KeyBatch, snapshot_of, table_of
from alertbot.sources.eight_by_eight.percent import Percentages


def assemble(scope: Scope, noun: str, parts: Sequence[KeyBatch], at: datetime) -> Snapshot | str:
    """The snapshot of the parts of one listing; a sentence where nothing came."""
    table = table_of(scope, parts)
    if isinstance(table, str):
        return table
    keys = frozenset(key for part in parts for key in part.keys)
    return snapshot_of(scope, noun, keys, table, at, Percentages("auto"))
