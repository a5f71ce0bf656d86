"""From the pages of a scope to its snapshot, with what is missing or odd said in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from alertbot.alerts.snapshot import Column, Presence, Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.sources.eight_by_eight.columns import NOT_FETCHED, column_of
from alertbot.sources.eight_by_eight.decode import Page


@dataclass(slots=True)
class Part:
    """What came of one share of a scope's keys: pages by number, and for the missing ones the reason."""

    keys: tuple[str, ...]
    pages: dict[int, Page] = field(default_factory=dict)
    missing: dict[int, str] = field(default_factory=dict)
    total: int = 1  # pages that 8x8 says there are, as far as is known
    cut: str = ""  # why pages beyond a bound were not asked for


def assemble(scope: Scope, noun: str, parts: Sequence[Part], at: datetime) -> Snapshot | str:
    """The snapshot of one scope, or, where no page came at all, a sentence that says why.

    Rows are in the order of the answer; an id that comes twice counts once, as it first came. `complete` is False
    when a page, a share of the keys or the id of an element is missing.
    """
    if not any(part.pages for part in parts):
        reasons = [reason for part in parts for reason in part.missing.values()]
        return f"{noun} could not be read: {reasons[0] if reasons else 'nothing was asked for'}"

    problems = [problem for part in parts for problem in _missing(part)]
    complete = not problems
    notes: list[str] = []
    joined = [_join(part, notes) for part in parts]
    ids, names, cells = joined[0] if len(joined) == 1 else _align(parts, joined)
    for page in (page for part in parts for page in part.pages.values()):
        notes += page.notes
        complete = complete and not page.nameless
    columns = {key: column_of(scope, key, cells[key]) for key in sorted(cells)}
    notes += _oddities(columns)
    return Snapshot(
        scope=scope,
        at=at,
        ids=tuple(ids),
        names=tuple(names),
        columns=columns,
        complete=complete,
        problems=tuple(dict.fromkeys(f"{noun}: {text}" for text in (*problems, *notes))),
    )


_Rows = tuple[list[str], list[str], dict[str, list[Any]]]


def _missing(part: Part) -> list[str]:
    """A sentence for each reason why something of this part is missing."""
    pages_by_reason: dict[str, list[int]] = {}
    for page, reason in sorted(part.missing.items()):
        pages_by_reason.setdefault(reason, []).append(page + 1)
    problems = []
    for reason, pages in pages_by_reason.items():
        if not part.pages:
            problems.append(f"{', '.join(part.keys)} did not come: {reason}")
            continue
        word = "page" if len(pages) == 1 else "pages"
        problems.append(f"{word} {', '.join(map(str, pages))} of {part.total} did not come: {reason}")
    return [*problems, part.cut] if part.cut else problems


def _join(part: Part, notes: list[str]) -> _Rows:
    """The pages one after another, without repeated ids."""
    pages = [part.pages[number] for number in sorted(part.pages)]
    if len(pages) == 1 and len(set(pages[0].ids)) == len(pages[0]):
        return pages[0].ids, pages[0].names, pages[0].cells
    ids = [identity for page in pages for identity in page.ids]
    names = [name for page in pages for name in page.names]
    cells = {key: [cell for page in pages for cell in page.cells[key]] for key in part.keys}
    first = {identity: row for row, identity in reversed(list(enumerate(ids)))}
    if len(first) == len(ids):
        return ids, names, cells
    keep = sorted(first.values())
    notes.append(f"{len(ids) - len(keep)} elements repeat an id; the first of each was taken")
    return (
        [ids[row] for row in keep],
        [names[row] for row in keep],
        {key: [column[row] for row in keep] for key, column in cells.items()},
    )


def _align(parts: Sequence[Part], joined: Sequence[_Rows]) -> _Rows:
    """Shares of the keys side by side, by id. A cell of an entity that a share does not have was not fetched."""
    names: dict[str, str] = {}
    for ids, labels, _ in joined:
        for identity, label in zip(ids, labels, strict=True):
            names.setdefault(identity, label)
    row_of = {identity: row for row, identity in enumerate(names)}
    cells: dict[str, list[Any]] = {}
    for part, (ids, _, columns) in zip(parts, joined, strict=True):
        rows = [row_of[identity] for identity in ids]
        for key in part.keys:
            cells[key] = [NOT_FETCHED] * len(names)
            for row, cell in zip(rows, columns[key], strict=True):
                cells[key][row] = cell
    return list(names), list(names.values()), cells


def _oddities(columns: dict[str, Column]) -> list[str]:
    notes = []
    nobody = []
    for key, column in columns.items():
        if not column.presence.any():  # all present, as most are
            continue
        if (column.presence == Presence.ABSENT).all():
            nobody.append(key)
        unreadable = int(np.count_nonzero(column.presence == Presence.INVALID))
        if unreadable:
            notes.append(f"{key} could not be read for {unreadable} of {len(column.presence)}")
    return [f"8x8 sent no {', '.join(nobody)}", *notes] if nobody else notes
