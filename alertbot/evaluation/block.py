"""Consecutive recorded polls of one scope as matrices: one per metric key, with a line per poll.

The polls share their entities and keys. A recording is read, and evaluated by `replay`, many polls at a time; a poll
of it is then no more than a line number, and its columns are made only if they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alertbot.evaluation.snapshot import Column


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """`values` and `presence` by metric key, as in `Column`, but with a line per poll, oldest first. Read-only."""

    values: Mapping[str, NDArray[np.float64] | NDArray[np.object_]]
    presence: Mapping[str, NDArray[np.uint8]]

    def column(self, key: str, first: int, end: int) -> Column:
        """One key of the polls from `first` to before `end`, as one long column."""
        return Column(self.values[key][first:end].ravel(), self.presence[key][first:end].ravel())


class ColumnsOfPoll(Mapping[str, Column]):
    """The columns of the poll at line `line` of a block. The same object each time for the same key."""

    __slots__ = ("_made", "block", "line")

    def __init__(self, block: Block, line: int) -> None:
        self.block, self.line = block, line
        self._made: dict[str, Column] = {}

    def __getitem__(self, key: str) -> Column:
        column = self._made.get(key)
        if column is None:
            values, presence = self.block.values[key], self.block.presence[key]
            column = self._made[key] = Column(values[self.line], presence[self.line])
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self.block.values)

    def __len__(self) -> int:
        return len(self.block.values)

    def __contains__(self, key: object) -> bool:
        return key in self.block.values
