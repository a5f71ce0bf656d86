"""Turns the responses of a listing into a table of typed columns, and tables into snapshots, noting irregularities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.rules.catalogue import TOTALS_ENTITY, Scope, ValueType, catalogue
from alertbot.sources.eight_by_eight.columns import column_of, not_fetched, take
from alertbot.sources.eight_by_eight.decode import ABSENT, Page
from alertbot.sources.eight_by_eight.percent import Percentages
from alertbot.sources.eight_by_eight.plan import TOTAL
from alertbot.sources.eight_by_eight.sections import Sections

Pair = tuple[str, str]  # parent id ("" if there is none) and id


@dataclass(slots=True)
class KeyBatch:
    """The responses for one batch of a listing's keys, by page; for pages that are missing, the reason."""

    keys: tuple[str, ...]
    pages: dict[int, Page | Sections] = field(default_factory=dict)
    missing: dict[int, str] = field(default_factory=dict)
    total: int = 1  # number of pages, as far as is known
    reported_pages: int = 0  # the highest X-Total-Pages seen; 0 if 8x8 sent none
    reported_elements: int = 0  # the highest X-Total-Elements seen
    truncated: str = ""  # why the pages beyond max_pages were not requested
    refused: tuple[str, ...] = ()  # keys that 8x8 rejected; the others were requested without them

    def is_incomplete(self) -> bool:
        """Whether anything is known to be missing."""
        return bool(self.missing or self.truncated or self.contradiction())

    def contradiction(self) -> str:
        """How the pages contradict what 8x8 reported of them; "" if they do not, or if pages are missing anyway.

        Either the list changed between two pages, or a page came from a cache. Entities may be missing in both cases.
        """
        pages = {number: page for number, page in sorted(self.pages.items()) if isinstance(page, Page)}
        if self.missing or self.truncated or not pages:
            return ""
        odd: dict[str, list[int]] = {}
        seen: set[str] = set()
        rows = 0
        for number in sorted({*range(self.reported_pages), *pages}):
            page = pages.get(number)
            if page is None:
                odd.setdefault("missing", []).append(number + 1)
                continue
            new = sum(identity not in seen for identity in page.ids) if seen else len(page)
            if self.reported_pages > 1 and number < self.reported_pages and not new and not page.without_id:
                odd.setdefault("repeated" if page.ids else "empty", []).append(number + 1)
            rows += new
            if len(pages) > 1:
                seen.update(page.ids)
        if odd:
            return ", ".join(_of_pages(numbers, self.reported_pages, what) for what, numbers in odd.items())
        # Whether 8x8 counts its totals elements is not known.
        others = sum(page.without_id + page.totals_elements for page in pages.values())
        return f"got {rows} of {self.reported_elements}" if rows + others < self.reported_elements else ""


def _of_pages(numbers: Sequence[int], total: int, what: str) -> str:
    return f"page{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))} of {total} {what}"


@dataclass(slots=True)
class EntityTable:
    """A listing as columns: `parents[i]`, `ids[i]`, `names[i]` and row i of each column are one entity.

    Percentages are on 8x8's scale. `totals` holds the raw values of the totals element by key, `total.` included.
    It is not changed once it is made: the next poll may use it again.
    """

    parents: tuple[str, ...]  # "" if there is none
    ids: tuple[str, ...]
    names: tuple[str, ...]
    columns: dict[str, Column]
    complete: bool = True
    problems: list[str] = field(default_factory=list)
    totals: dict[str, Any] | None = None
    groups: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def pairs(self) -> list[Pair]:
        """Parent id and id of each row."""
        return list(zip(self.parents, self.ids, strict=True))

    def __len__(self) -> int:
        return len(self.ids)


def table_of(scope: Scope, batches: Sequence[KeyBatch], parent: str = "") -> EntityTable | str:
    """The table of a listing, or the reason why there was no response at all. `scope` is the scope of its rows.

    Rows are in the order of the response; of a repeated id only the first row is used. `complete` is False when a
    page, a batch of keys or the id of an element is missing. `parent` is the queue or group of all rows.
    """
    if not any(batch.pages for batch in batches):
        reasons = [reason for batch in batches for reason in batch.missing.values()]
        return reasons[0] if reasons else "nothing was requested"
    problems = [problem for batch in batches for problem in _missing(batch)]
    complete = not problems
    tables = [_sections(scope, batch) if _sectioned(batch) else _pages(scope, batch, parent) for batch in batches]
    table = tables[0] if len(tables) == 1 else _side_by_side(tables)
    for batch in batches:
        complete = complete and not any(page.without_id for page in batch.pages.values())
    notes = list(dict.fromkeys(note for each in tables for note in each.problems))
    table.complete, table.problems = complete, [*problems, *notes, *_oddities(table.columns)]
    return table


def _missing(batch: KeyBatch) -> list[str]:
    """A sentence for each reason why part of this batch is missing."""
    pages_by_reason: dict[str, list[int]] = {}
    for page, reason in sorted(batch.missing.items()):
        pages_by_reason.setdefault(reason, []).append(page + 1)
    problems = []
    for reason, pages in pages_by_reason.items():
        if not batch.pages:
            problems.append(f"{', '.join(batch.keys)} were not received: {reason}")
            continue
        problems.append(f"{_of_pages(pages, batch.total, 'not received')}: {reason}")
    if changed := batch.contradiction():
        problems.append(f"the list changed while it was being read: {changed}")
    return [*problems, batch.truncated] if batch.truncated else problems


# Pages of a list


def _pages(scope: Scope, batch: KeyBatch, parent: str) -> EntityTable:
    """The pages one after another, without repeated ids."""
    pages = [page for _, page in sorted(batch.pages.items()) if isinstance(page, Page)]
    notes = [note for page in pages for note in page.notes]
    ids, names, rows = _join(pages, notes)
    return EntityTable(
        parents=(parent,) * len(ids),
        ids=tuple(ids),
        names=tuple(names),
        columns={key: _column(scope, key, pages, rows) for key in sorted(pages[0].cells)} if pages else {},
        totals=_totals(scope, pages, notes),
        groups={agent: group for page in reversed(pages) for agent, group in page.groups.items()},
        problems=notes,
    )


def _join(pages: Sequence[Page], notes: list[str]) -> tuple[list[str], list[str], list[int] | None]:
    """The ids and names of the pages, and which rows of theirs are used: None is all of them."""
    ids = [identity for page in pages for identity in page.ids]
    names = [name for page in pages for name in page.names]
    if len(set(ids)) == len(ids):
        return ids, names, None
    first = {identity: row for row, identity in reversed(list(enumerate(ids)))}
    rows = sorted(first.values())
    notes.append(f"{len(ids) - len(rows)} elements repeat an id; the first of each is used")
    return [ids[row] for row in rows], [names[row] for row in rows], rows


def _column(scope: Scope, key: str, pages: Sequence[Page], rows: list[int] | None) -> Column:
    """The column of one key over all pages; `rows` as `_join` returns them."""
    if catalogue().lookup(scope, key) is None and (len(pages) > 1 or rows is not None):
        # Whether it is a number or a text is what all of its values say, not those of one page.
        cells = [cell for page in pages for cell in page.cells[key]]
        return column_of(scope, key, cells if rows is None else [cells[row] for row in rows])
    parts = [_page_column(scope, key, page) for page in pages]
    column = parts[0]
    if len(parts) > 1:
        values = np.concatenate([part.values for part in parts])
        column = Column(values, np.concatenate([part.presence for part in parts]))
        end = 0
        for page in pages:  # from now on they are parts of the whole column, not copies of them
            start, end = end, end + len(page)
            page.columns[key] = Column(values[start:end], column.presence[start:end])
    return column if rows is None else Column(column.values[rows], column.presence[rows])


def _page_column(scope: Scope, key: str, page: Page) -> Column:
    """The column of one key of one page. It is kept with the page, which may come again at the next poll."""
    column = page.columns.get(key)
    if column is None:
        column = page.columns[key] = column_of(scope, key, page.cells[key])
        if page.totals is None and catalogue().lookup(scope, key) is not None:
            page.cells[key] = []  # four times the memory of the column, and not read again
    return column


def _totals(scope: Scope, pages: Sequence[Page], notes: list[str]) -> dict[str, Any] | None:
    """The totals over all pages.

    8x8 does not document whether totals cover the page or the whole list. If the counts of each page add up to its
    totals, they cover the page: counts are then summed, and what cannot be summed (averages, percentages) is missing.
    """
    having = [page for page in pages if page.totals is not None]
    if not having:
        return None
    first = having[0].totals or {}
    counts = [key for key in first if _is_count(scope, key)]
    if len(having) < 2 or not counts or not all(_adds_up(page, counts) for page in having):
        return first
    notes.append("8x8's totals cover single pages: counts were summed, averages and percentages are missing")
    return {
        key: sum(_number(page.totals[key]) or 0.0 for page in having if page.totals) if key in counts else ABSENT
        for key in first
    }


def beyond_the_page(scope: Scope, page: Page) -> bool:
    """Whether a page's totals certainly cover more than the page, or have no counts that could show it."""
    if page.totals is None:
        return False
    sums = _sums(page, [key for key in page.totals if _is_count(scope, key)])
    return not sums or any((_number(page.totals[key]) or 0.0) > total for key, total in sums.items())


def _is_count(scope: Scope, key: str) -> bool:
    metric = catalogue().lookup(scope, key.removeprefix(TOTAL))
    return metric is not None and metric.type is ValueType.COUNT


def _adds_up(page: Page, counts: Sequence[str]) -> bool:
    """Whether a page's totals are the sums of its own rows, and not all zero."""
    sums = _sums(page, counts)
    return any(sums.values()) and all(_number((page.totals or {})[key]) == total for key, total in sums.items())


def _sums(page: Page, counts: Sequence[str]) -> dict[str, float]:
    """The sums over the rows of a page, by the key of its totals."""
    return {key: sum(_number(cell) or 0.0 for cell in page.cells[key.removeprefix(TOTAL)]) for key in counts}


def _number(cell: object) -> float | None:
    try:
        return float(cell) if isinstance(cell, (int, float)) and not isinstance(cell, bool) else None
    except OverflowError:  # integers in JSON have no upper bound
        return None


# The two sections of agents in queue groups


def _sectioned(batch: KeyBatch) -> bool:
    return any(isinstance(page, Sections) for page in batch.pages.values())


def _sections(scope: Scope, batch: KeyBatch) -> EntityTable:
    """A row for each agent of each queue that the response has values for.

    Those are the assigned agents who are in the agents section (logged in, or active today), and every agent who
    worked for the queue today. Other assigned agents have no row: 8x8 gives nothing but their id.
    """
    (answer,) = (page for page in batch.pages.values() if isinstance(page, Sections))
    agent_rows = {identity: row for row, identity in reversed(list(enumerate(answer.agents.ids)))}
    work_pairs = list(zip(answer.queues, answer.work.ids, strict=True))
    work_rows = {pair: row for row, pair in reversed(list(enumerate(work_pairs)))}
    workers: dict[str, list[str]] = {}
    for queue, agent in work_rows:
        workers.setdefault(queue, []).append(agent)

    pairs: list[Pair] = []
    for queue, assigned in answer.assigned.items():
        present = [agent for agent in assigned if agent in agent_rows]
        pairs += [(queue, agent) for agent in dict.fromkeys((*present, *reversed(workers.get(queue, ()))))]
    in_agents = np.array([agent_rows.get(agent, -1) for _, agent in pairs], dtype=np.intp)
    in_work = np.array([work_rows.get(pair, -1) for pair in pairs], dtype=np.intp)
    names = [
        answer.agents.names[of_agent] if of_agent >= 0 else answer.work.names[of_work]
        for of_agent, of_work in zip(in_agents.tolist(), in_work.tolist(), strict=True)
    ]
    columns = {}
    for page, rows in ((answer.agents, in_agents), (answer.work, in_work)):
        for key in page.cells:
            columns[key] = take(_page_column(scope, key, page), rows, Presence.ABSENT)
    parents, ids = tuple(queue for queue, _ in pairs), tuple(agent for _, agent in pairs)
    return EntityTable(parents, ids, tuple(names), columns, problems=list(answer.notes))


# Several batches of keys


def _side_by_side(tables: Sequence[EntityTable]) -> EntityTable:
    """Batches of keys side by side, by id. A cell of an entity that a batch does not have was not fetched."""
    names: dict[Pair, str] = {}
    for table in tables:
        for pair, name in zip(table.pairs, table.names, strict=True):
            names.setdefault(pair, name)
    columns: dict[str, Column] = {}
    totals: dict[str, Any] = {}
    groups: dict[str, tuple[str, str]] = {}
    for table in tables:
        row_of = {pair: row for row, pair in enumerate(table.pairs)}
        rows = np.array([row_of.get(pair, -1) for pair in names], dtype=np.intp)
        columns |= {key: take(column, rows, Presence.NOT_FETCHED) for key, column in table.columns.items()}
        totals |= table.totals or {}
        groups = {**table.groups, **groups}
    parents, ids = tuple(parent for parent, _ in names), tuple(identity for _, identity in names)
    return EntityTable(parents, ids, tuple(names.values()), columns, totals=totals or None, groups=groups)


def _oddities(columns: Mapping[str, Column]) -> list[str]:
    notes = []
    absent = []
    for key, column in columns.items():
        if not column.presence.any():  # all present, as most are
            continue
        if (column.presence == Presence.ABSENT).all():
            absent.append(key)
        unreadable = _invalid(column)
        if unreadable:
            notes.append(f"{key} is unreadable for {unreadable} of {len(column.presence)}")
    return [f"8x8 sent no {', '.join(sorted(absent))}", *notes] if absent else notes


def _invalid(column: Column) -> int:
    return int(np.count_nonzero(column.presence == Presence.INVALID))


# Snapshots


def snapshot_of(
    scope: Scope,
    noun: str,
    keys: frozenset[str],
    table: EntityTable,
    at: datetime,
    percentages: Percentages,
    parents: Sequence[tuple[str, str]] = (),
    rows: NDArray[np.intp] | None = None,
    problems: Sequence[str] = (),
) -> Snapshot:
    """The snapshot of a scope: the wanted keys of a table's rows, percentages as ratios 0 to 1.

    `rows` are the rows that belong to the scope; None means all. `parents` has the id and name of the parent of each.
    `problems` are added to those of the table; any of them makes the snapshot incomplete.
    """
    ids, names = table.ids, table.names
    if rows is not None:
        chosen = rows.tolist()
        ids, names = tuple([ids[row] for row in chosen]), tuple([names[row] for row in chosen])
    columns, notes = {}, list(table.problems)
    for key in sorted(keys):
        column = table.columns.get(key)
        if column is None:  # no batch that was received has it
            column = not_fetched(scope, key, len(table))
        raw, column = column, percentages.convert(scope, key, column)
        if column is not raw and (lost := _invalid(column) - _invalid(raw)):
            notes.append(f"{key} is not a valid percentage for {lost} of {len(table)}")
        columns[key] = column if rows is None else take(column, rows, Presence.NOT_FETCHED)
    sentences = dict.fromkeys(f"{noun}: {text}" for text in (*notes, *problems))
    return Snapshot(
        scope=scope,
        at=at,
        ids=ids,
        names=names,
        columns=columns,
        parent_ids=tuple(parent for parent, _ in parents),
        parent_names=tuple(name for _, name in parents),
        complete=table.complete and not problems,
        problems=tuple(sentences),
    )


def totals_of(
    scope: Scope, noun: str, keys: frozenset[str], table: EntityTable, at: datetime, percentages: Percentages
) -> Snapshot | str:
    """The snapshot of a totals scope, with its one entity; or a sentence, if 8x8 sent no totals."""
    if table.totals is None:
        return f"{noun} could not be read: 8x8 sent none"
    columns = total_columns(scope, keys, table)
    return Snapshot(
        scope=scope,
        at=at,
        ids=(TOTALS_ENTITY,),
        names=(TOTALS_ENTITY,),
        columns={key: percentages.convert(scope, key, column) for key, column in columns.items()},
        complete=table.complete,
        problems=tuple(f"{noun}: {text}" for text in (*table.problems, *_oddities(columns))),
    )


def total_columns(scope: Scope, keys: frozenset[str], table: EntityTable) -> dict[str, Column]:
    """The totals as columns of one row, percentages on 8x8's scale."""
    return {key: column_of(scope, key, [(table.totals or {}).get(key, ABSENT)]) for key in sorted(keys)}
