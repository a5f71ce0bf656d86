"""From what a fetch gathered to a snapshot a scope, or the reason why there is none: parents, totals, percentages."""

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
from alertbot.sources.eight_by_eight.gathering import Gathering, Harvest
from alertbot.sources.eight_by_eight.names import Names
from alertbot.sources.eight_by_eight.percent import Percentages
from alertbot.sources.eight_by_eight.plan import AGENTS, GROUPS, NOUNS, QUEUE_GROUPS, QUEUES
from alertbot.sources.eight_by_eight.sections import Sections

T = TypeVar("T")
_TOTALS = (Scope.QUEUE_TOTALS, Scope.AGENT_TOTALS)


def judge(
    wanted: Mapping[Scope, frozenset[str]], gathering: Gathering, at: datetime, percentages: Percentages, names: Names
) -> dict[Scope, Snapshot | str]:
    """For each wanted scope its snapshot, or a sentence that says why there is none."""
    tables: dict[int, EntityTable | str] = {}
    for harvest in gathering.harvests:
        if harvest.listing.scopes:
            tables[id(harvest)] = _or_why(partial(_table, harvest, names))
    # All evidence first: the scale is the tenant's, whichever scope shows it.
    for harvest in gathering.harvests:
        table = tables.get(id(harvest))
        if isinstance(table, EntityTable):
            tables[id(harvest)] = _or_why(partial(_learn, harvest, table, percentages))
    judged: dict[Scope, Snapshot | str] = {}
    for scope, keys in wanted.items():
        found = gathering.harvest_of(scope)
        if found is None:
            judged[scope] = f"scope {scope} is not read from 8x8"
            continue
        table, failed = tables[id(found)], f"{NOUNS[scope]} could not be read: "
        if isinstance(table, str):
            judged[scope] = failed + table
        else:
            make = partial(_scope, scope, keys, found, gathering, table, at, percentages, names)
            judged[scope] = _or_why(make, failed)
    return judged


def _or_why(make: Callable[[], T], before: str = "") -> T | str:
    """What is made; where making it raises, a sentence: an answer that we did not foresee costs its scopes alone."""
    try:
        return make()
    except Exception as fault:
        place = traceback.extract_tb(fault.__traceback__)[-1]
        # Not its text: that may quote the answer.
        what = f"{type(fault).__name__} in {place.name}, line {place.lineno}"
        return f"{before}alertbot could not put the answer together ({what})"


def _scope(
    scope: Scope,
    keys: frozenset[str],
    harvest: Harvest,
    gathering: Gathering,
    table: EntityTable,
    at: datetime,
    percentages: Percentages,
    names: Names,
) -> Snapshot | str:
    noun = NOUNS[scope]
    if scope in _TOTALS:
        return totals_of(scope, noun, keys, table, at, percentages)
    if scope is Scope.GROUP_AGENT:
        return _group_agents(harvest, gathering, keys, table, at, percentages, names)
    parents: list[tuple[str, str]] = []
    if scope is Scope.QUEUE_AGENT:
        parents = [(queue, names.queues.get(queue, queue)) for queue, _ in table.pairs]
        if any(queue not in names.queues for queue, _ in parents):
            names.miss(QUEUES)
    return snapshot_of(scope, noun, keys, table, at, percentages, parents)


def _table(harvest: Harvest, names: Names) -> EntityTable | str:
    if harvest.asked is None:
        return EntityTable([], [], {})  # nobody of those who were looked for exists
    if harvest.listing.endpoint is QUEUE_GROUPS:
        _keep_assigned(harvest, names)
    return table_of(harvest.rows, harvest.parts, harvest.parent)


def _keep_assigned(harvest: Harvest, names: Names) -> None:
    """Give queues that the answer leaves out the agents that it last named for them.

    A queue is in it only once something happened there today. Without this, somebody who is on a break at midnight
    would be gone from every queue until its first call.
    """
    answers = [page for part in harvest.parts for page in part.pages.values() if isinstance(page, Sections)]
    for answer in answers:
        names.assigned |= answer.assigned
    asked = set(harvest.asked.filter_ids) if harvest.asked else set()
    for answer in answers:
        for queue, agents in names.assigned.items():
            if queue not in answer.assigned and (not asked or queue in asked):
                answer.assigned[queue] = agents


def _learn(harvest: Harvest, table: EntityTable, percentages: Percentages) -> EntityTable:
    percentages.learn(harvest.rows, table.columns)
    for scope in harvest.listing.scopes:
        if scope in _TOTALS and table.totals is not None:
            percentages.learn(scope, total_columns(scope, frozenset(table.totals), table))
    return table


def _group_agents(
    harvest: Harvest,
    gathering: Gathering,
    keys: frozenset[str],
    table: EntityTable,
    at: datetime,
    percentages: Percentages,
    names: Names,
) -> Snapshot | str:
    scope, noun = Scope.GROUP_AGENT, NOUNS[Scope.GROUP_AGENT]
    if harvest.parent:
        group = harvest.parent
        if group not in names.groups:
            names.miss(GROUPS)
        parents = [(group, names.groups.get(group, group))] * len(table)
        return snapshot_of(scope, noun, keys, table, at, percentages, parents)
    groups = {**names.group_of, **table.groups}
    if not groups and len(table):
        return f"{noun} could not be read: {_why_no_groups(gathering)}"
    rows = [row for row, (_, agent) in enumerate(table.pairs) if agent in groups]
    strangers = len(table) - len(rows)
    if strangers:
        names.miss(AGENTS)
    return snapshot_of(
        scope,
        noun,
        keys,
        table,
        at,
        percentages,
        [groups[table.pairs[row][1]] for row in rows],
        None if len(rows) == len(table) else np.array(rows, dtype=np.intp),
        [f"{strangers} left out: 8x8 does not say in which group they are"] if strangers else (),
    )


def _why_no_groups(gathering: Gathering) -> str:
    for harvest in gathering.harvests:
        if harvest.listing.endpoint is AGENTS and not harvest.listing.scopes:
            reasons = [reason for part in harvest.parts for reason in part.missing.values()]
            if reasons:
                return reasons[0]
    return "8x8 does not say in which groups the agents are"
