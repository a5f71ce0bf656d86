"""Long lists are paginated: one sheet of a list, with the addresses of the next and the previous one. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from alertbot.page.links import with_query

_T = TypeVar("_T")


@dataclass(frozen=True)
class Sheet(Generic[_T]):
    """Part of a list: the items from `first` to `last` of `total`, counted from 1. `next`, `previous`: addresses."""

    items: Sequence[_T]
    number: int
    first: int
    last: int
    total: int
    more: bool
    previous: str = ""
    next: str = ""

    def linked(self, path: str, query: Mapping[str, str]) -> Sheet[_T]:
        """This sheet with the addresses of its neighbours."""

        def at(number: int) -> str:
            return with_query(path, {**query, "sheet": str(number) if number > 1 else ""})

        return replace(
            self,
            previous=at(self.number - 1) if self.number > 1 else "",
            next=at(self.number + 1) if self.more else "",
        )


def sheet(items: Sequence[_T], size: int, number: int) -> Sheet[_T]:
    """The sheet with this number, from 1; the last sheet if there are fewer."""
    last_one = max(1, -(-len(items) // size))
    number = min(max(1, number), last_one)
    begin = (number - 1) * size
    part = items[begin : begin + size]
    return Sheet(part, number, begin + 1 if part else 0, begin + len(part), len(items), number < last_one)
