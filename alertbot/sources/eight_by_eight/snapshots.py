"""Builds one snapshot per scope from the responses of a fetch, or the reason why there is none."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import TypeVar

import numpy as np

from alertbot.evaluation.snapshot import Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.sources.eight_by_eight.assemble import EntityTable, snapshot_of, table_of, total_columns, totals_of
from alertbot.sources.eight_by_eight.collector import Collector, ListingResult
from alertbot.sources.eight_by_eight.names import Names
from alertbot.sources.eight_by_eight.percent import Percentages
from alertbot.sources.eight_by_eight.plan import AGENTS, GROUPS, NOUNS, QUEUE_GROUPS, QUEUES
from alertbot.sources.eight_by_eight.sections import Sections
from alertbot.sources.eight_by_eight.unchanged import Unchanged

T = TypeVar("T")
_TOTALS = (Scope.QUEUE_TOTALS, Scope.AGENT_TOTALS)


def build_snapshots(
    wanted: Mapping[Scope, frozenset[str]],
    collector: Collector,
    at: datetime,
    percentages: Percentages,
    names: Names,
    unchanged: Unchanged,
) -> dict[Scope, Snapshot | str]:
    """For each wanted scope its snapshot, or a sentence that says why there is none.

    Never raises: an unexpected response costs only the scopes that are read from it.
    """
    tables: dict[int, EntityTable | str] = {}
    for result in collector.results:
        if result.listing.scopes:
            tables[id(result)] = _or_why(partial(_table, result, names, unchanged))
    # All evidence first: the scale belongs to the tenant, whichever scope shows it.
    for result in collector.results:
        table = tables.get(id(result))
        if isinstance(table, EntityTable):
            tables[id(result)] = _or_why(partial(_learn, result, table, percentages))
    built: dict[Scope, Snapshot | str] = {}
    for scope, keys in wanted.items():
        found = collector.result_for(scope)
        if found is None:
            built[scope] = f"scope {scope} is not available from 8x8"
            continue
        table, failed = tables[id(found)], f"{NOUNS[scope]} could not be read: "
        if isinstance(table, str):
            built[scope] = failed + table
        else:
            make = partial(_scope, scope, keys, found, collector, table, at, percentages, names)
            built[scope] = _or_why(make, failed)
    return built


def _or_why(make: Callable[[], T], before: str = "") -> T | str:
    """What `make` returns or, if it raises, a sentence: an unexpected response costs only its own scopes."""
    try:
        return make()
    except Exception as fault:
        origin = traceback.extract_tb(fault.__traceback__)[-1]
        # Not the text of the exception: it may quote the response.
        what = f"{type(fault).__name__} in {origin.name}, line {origin.lineno}"
        return f"{before}unexpected error while reading the response ({what})"


def _scope(
    scope: Scope,
    keys: frozenset[str],
    result: ListingResult,
    collector: Collector,
    table: EntityTable,
    at: datetime,
    percentages: Percentages,
    names: Names,
) -> Snapshot | str:
    noun = NOUNS[scope]
    if scope in _TOTALS:
        return totals_of(scope, noun, keys, table, at, percentages)
    if scope is Scope.GROUP_AGENT:
        return _group_agents(result, collector, keys, table, at, percentages, names)
    parents: list[tuple[str, str]] = []
    if scope is Scope.QUEUE_AGENT:
        parents = [(queue, names.queues.get(queue, queue)) for queue in table.parents]
        if any(queue not in names.queues for queue, _ in parents):
            names.miss(QUEUES)
    return snapshot_of(scope, noun, keys, table, at, percentages, parents)


def _table(result: ListingResult, names: Names, unchanged: Unchanged) -> EntityTable | str:
    if result.asked is None:
        return EntityTable((), (), (), {})  # none of the requested ids exist
    if result.listing.endpoint is QUEUE_GROUPS:
        _keep_assigned(result, names)
    make = partial(table_of, result.rows, result.batches, result.parent)
    return unchanged.table(result.listing, result.batches, make)


def _keep_assigned(result: ListingResult, names: Names) -> None:
    """Give queues that the response leaves out the agents that they last had.

    The response has a queue only once there was activity today. Without this, an agent who is on a break at midnight
    would be missing from every queue until its first call.
    """
    answers = [page for batch in result.batches for page in batch.pages.values() if isinstance(page, Sections)]
    for answer in answers:
        names.assigned |= answer.assigned
    asked = set(result.asked.filter_ids) if result.asked else set()
    for answer in answers:
        for queue, agents in names.assigned.items():
            if queue not in answer.assigned and (not asked or queue in asked):
                answer.assigned[queue] = agents


def _learn(result: ListingResult, table: EntityTable, percentages: Percentages) -> EntityTable:
    percentages.learn(result.rows, table.columns)
    for scope in result.listing.scopes:
        if scope in _TOTALS and table.totals is not None:
            percentages.learn(scope, total_columns(scope, frozenset(table.totals), table))
    return table


def _group_agents(
    result: ListingResult,
    collector: Collector,
    keys: frozenset[str],
    table: EntityTable,
    at: datetime,
    percentages: Percentages,
    names: Names,
) -> Snapshot | str:
    scope, noun = Scope.GROUP_AGENT, NOUNS[Scope.GROUP_AGENT]
    if result.parent:
        group = result.parent
        if group not in names.groups:
            names.miss(GROUPS)
        parents = [(group, names.groups.get(group, group))] * len(table)
        return snapshot_of(scope, noun, keys, table, at, percentages, parents)
    groups = {**names.group_of, **table.groups}
    if not groups and len(table):
        return f"{noun} could not be read: {_why_no_groups(collector)}"
    rows = [row for row, agent in enumerate(table.ids) if agent in groups]
    without_group = len(table) - len(rows)
    if without_group:
        names.miss(AGENTS)
    return snapshot_of(
        scope,
        noun,
        keys,
        table,
        at,
        percentages,
        [groups[table.ids[row]] for row in rows],
        None if len(rows) == len(table) else np.array(rows, dtype=np.intp),
        [f"{without_group} ignored: 8x8 does not say which group they are in"] if without_group else (),
    )


def _why_no_groups(collector: Collector) -> str:
    for result in collector.results:
        if result.listing.endpoint is AGENTS and not result.listing.scopes:
            reasons = [reason for batch in result.batches for reason in batch.missing.values()]
            if reasons:
                return reasons[0]
    return "8x8 does not say which groups the agents are in"
