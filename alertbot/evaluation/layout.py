"""The entities of a snapshot, row by row, and the mapping between the rows of two snapshots."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alertbot.evaluation.snapshot import Snapshot

Pairs = tuple[tuple[str, ...], tuple[str, ...]]
"""Parent ids (empty where there are none) and ids, row by row."""


class Layout:
    """The entities of a snapshot, row by row; the same object while they stay the same."""

    __slots__ = ("_from", "_rows", "pairs", "size")

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs
        self.size = len(pairs[1])
        self._rows: dict[tuple[str, str], int] | None = None
        self._from: tuple[Layout, NDArray[np.intp]] | None = None

    @property
    def rows(self) -> dict[tuple[str, str], int]:
        """(parent id, id) to row."""
        if self._rows is None:
            parents, ids = self.pairs
            self._rows = {pair: row for row, pair in enumerate(zip(parents or ("",) * len(ids), ids, strict=True))}
        return self._rows

    def rows_for(self, present: Layout) -> NDArray[np.intp]:
        """For each row of `present` the row of the same entity here, or -1."""
        cached = self._from  # the last answer: the next call is for the same entities
        if cached is None or cached[0] is not present:
            own = self.rows
            rows = np.fromiter((own.get(pair, -1) for pair in present.rows), dtype=np.intp, count=len(present.rows))
            if len(rows) != present.size:  # an id that is there twice is one entity, and both rows show its past
                by_pair = dict(zip(present.rows, rows.tolist(), strict=True))
                parents, ids = present.pairs
                pairs = zip(parents or ("",) * len(ids), ids, strict=True)
                rows = np.array([by_pair[pair] for pair in pairs], dtype=np.intp)
            cached = self._from = (present, rows)
        return cached[1]


def layout_of(snapshot: Snapshot, known: Layout | None) -> Layout:
    """The layout of a snapshot: `known`, the same object, while it has the same entities in the same order."""
    pairs = (snapshot.parent_ids, snapshot.ids)
    return known if known is not None and known.pairs == pairs else Layout(pairs)
