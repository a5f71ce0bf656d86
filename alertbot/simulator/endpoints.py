"""The ten endpoints: from a path and a query to rows, for one centre at its current time. No HTTP here.

What 8x8 does not document is decided here: an unknown id in a filter, an unknown metric key or time
zone is a 400, an unknown id in a path a 404; totals cover the filtered entities, are at the end of each page, and do
not count in `X-Total-Elements`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from alertbot.rules.catalogue import Scope, ValueType, catalogue
from alertbot.simulator.entities import LOGGED_OUT, Agent, Group, Queue
from alertbot.simulator.history import LogView, Merged
from alertbot.simulator.metrics import (
    IN_QUEUE,
    AgentTotals,
    Moment,
    QueueTotals,
    Value,
    agent_getter,
    group_getter,
    queue_getter,
)
from alertbot.simulator.model import Centre
from alertbot.simulator.wire import Page, Query, Refused, bad_request

LIST_ROOT = "UnmodifiableRandomAccessList"
ONE_ROOT = "MetricsResponse"
_Entity = Queue | Group | Agent
_Read = Callable[[Any], Any]


@dataclass(frozen=True)
class Habits:
    """Behaviour that is not documented, or inconsistently, and may differ between tenants."""

    single_as_object: bool = False  # the OpenAPI file's form of single entities, instead of the guide's array of one
    ignore_unknown_metrics: bool = False  # leave them out instead of refusing the request
    percentages: int = 1  # 1: ratios 0 to 1; 100: percent
    timezones: tuple[str, ...] = ()  # optional zones of the tenant, besides its own


class Metric(msgspec.Struct, gc=False):
    """One value. A struct that the garbage collector does not track: a page has tens of thousands."""

    key: str
    value: Value


class MetricRow(msgspec.Struct, gc=False):
    """One entity of a list."""

    id: str | None
    name: str
    metrics: list[Metric]


@dataclass(frozen=True)
class Answered:
    """A successful response: its body, its XML root, its page headers, and whether it is JSON only."""

    body: Any
    root: str = LIST_ROOT
    headers: Mapping[str, str] = field(default_factory=dict)
    json_only: bool = False


@cache
def known_keys(scope: Scope) -> tuple[str, ...]:
    """The keys of the guide, in its order: what is returned without `metrics`."""
    return tuple(key for key, metric in catalogue().metrics[scope].items() if metric.confirmed)


@cache
def _adds_up(scope: Scope) -> frozenset[str]:
    kinds = (ValueType.COUNT, ValueType.DURATION, ValueType.RATIO)
    settings = ("slaPercentageTarget.today", "slaTimeThreshold.today")
    found = catalogue().metrics[scope].values()
    return frozenset(m.key for m in found if m.type in kinds and not m.is_list and m.key not in settings)


class Reading:
    """One request to one centre. The caller holds the centre's lock."""

    def __init__(self, centre: Centre, habits: Habits, query: Query) -> None:
        self.centre = centre
        self.habits = habits
        self.query = query
        self.moment = Moment(centre.now, centre.midnight(self._zone()), habits.percentages)

    def answer(self, segments: Sequence[str]) -> Answered:
        """The response for the path after `.../realtime-metrics`. Raises Refused when there is none."""
        match segments:
            case ["queues"]:
                return self._queues()
            case ["queues", queue]:
                found = [self._by_id(self.centre.queues, queue, "queue")]
                return self._single(self._read_queues(self._keys(Scope.QUEUE))(found))
            case ["queues", queue, "agents"]:
                return self._agents_of(self._by_id(self.centre.queues, queue, "queue"))
            case ["queues", queue, "agents", agent]:
                return self._agent_of(self._by_id(self.centre.queues, queue, "queue"), agent)
            case ["agents-in-queue-groups"]:
                return self._agents_in_queue_groups()
            case ["agents"]:
                return self._agents()
            case ["groups"]:
                chosen = self._chosen(self.centre.groups, "group-ids")
                return self._list(chosen, lambda: self._read_groups(self._keys(Scope.GROUP)))
            case ["groups", group]:
                found = [self._by_id(self.centre.groups, group, "group")]
                return self._single(self._read_groups(self._keys(Scope.GROUP))(found))
            case ["groups", group, "agents"]:
                return self._agents_of(self._by_id(self.centre.groups, group, "group"))
            case ["groups", group, "agents", agent]:
                return self._agent_of(self._by_id(self.centre.groups, group, "group"), agent)
        raise Refused(404, {"message": f"Not found: /{'/'.join(segments)}"})

    # -- parameters ----------------------------------------------------------------------------------------------

    def _zone(self) -> ZoneInfo:
        asked = self.query.one("timezone")
        own = self.centre.timezone
        if asked is None or asked == own.key:
            return own
        if asked not in self.habits.timezones:
            raise bad_request(f"Invalid value for field 'timezone': {asked}")
        return ZoneInfo(asked)

    def _keys(self, scope: Scope) -> list[str]:
        asked = self.query.many("metrics")
        if not asked:
            return list(known_keys(scope))
        known = catalogue().metrics[scope]
        unknown = [key for key in asked if key not in known]
        if unknown and not self.habits.ignore_unknown_metrics:
            raise bad_request(f"Invalid value for field 'metrics': {', '.join(unknown)}")
        return [key for key in asked if key in known]

    def _visible(self, entities: Sequence[Any]) -> list[Any]:
        hidden = self.centre.hidden
        return [entity for entity in entities if entity.id not in hidden] if hidden else list(entities)

    def _by_id(self, entities: Sequence[Any], id_: str, what: str) -> Any:
        for entity in self._visible(entities):
            if entity.id == id_:
                return entity
        raise Refused(404, {"message": f"Not found: {what} {id_}"})

    def _chosen(self, entities: Sequence[Any], field_name: str) -> list[Any]:
        """All entities, or those with the requested ids; an unknown id fails the request. A summary ignores ids."""
        visible = self._visible(entities)
        ids = self.query.many(field_name)
        if not ids or self.query.flag("summary"):
            return visible
        by_id = {entity.id: entity for entity in visible}
        unknown = [id_ for id_ in ids if id_ not in by_id]
        if unknown:
            raise bad_request(f"Invalid value for field '{field_name}': {', '.join(unknown)}")
        return [by_id[id_] for id_ in ids]

    # -- lists ---------------------------------------------------------------------------------------------------

    def _queues(self) -> Answered:
        chosen: list[Queue] = self._chosen(self.centre.queues, "queue-ids")

        def totals() -> list[tuple[str, Any]]:
            keys = [key for key in self._keys(Scope.QUEUE) if key in _adds_up(Scope.QUEUE)]
            whole = QueueTotals(chosen)
            return [(f"total.{key}", queue_getter(key, self.moment)(whole)) for key in keys]

        return self._list(chosen, lambda: self._read_queues(self._keys(Scope.QUEUE)), totals)

    def _agents(self) -> Answered:
        chosen: list[Agent] = self._chosen(self.centre.agents, "agent-ids")
        groups = self._chosen(self.centre.groups, "group-ids")
        if self.query.many("group-ids") and not self.query.flag("summary"):
            chosen = [agent for agent in chosen if agent.group in groups]
        if not self.query.flag("summary") and not self.query.many("metrics"):
            raise bad_request("Field 'metrics' is required")
        found = self._agent_list(chosen, Scope.AGENT, None, with_group=True)
        return Answered(found.body, found.root, found.headers, json_only=True)

    def _agents_of(self, owner: Queue | Group) -> Answered:
        queue = owner if isinstance(owner, Queue) else None
        scope = Scope.GROUP_AGENT if queue is None else Scope.QUEUE_AGENT
        return self._agent_list(self._chosen(owner.agents, "agent-ids"), scope, queue)

    def _agent_of(self, owner: Queue | Group, id_: str) -> Answered:
        queue = owner if isinstance(owner, Queue) else None
        scope = Scope.GROUP_AGENT if queue is None else Scope.QUEUE_AGENT
        agent = self._by_id(owner.agents, id_, "agent")
        return self._single(self._read_agents(self._keys(scope), queue)([agent]))

    def _agent_list(
        self, chosen: list[Agent], scope: Scope, queue: Queue | None, *, with_group: bool = False
    ) -> Answered:
        def totals() -> list[tuple[str, Any]]:
            keys = [key for key in self._keys(scope) if key in _adds_up(scope)]
            whole = AgentTotals(chosen)
            own = Merged(agent.pair_view(queue) for agent in chosen) if queue is not None else whole.log
            found = []
            for key in keys:
                bare = key.removesuffix(IN_QUEUE)
                log = own if bare != key else whole.log
                found.append((f"total.{key}", agent_getter(bare, self.moment)(whole, log)))
            return found

        return self._list(chosen, lambda: self._read_agents(self._keys(scope), queue), totals, with_group)

    def _list(
        self,
        chosen: Sequence[_Entity],
        reader: Callable[[], _Read],
        totals: Callable[[], Sequence[tuple[str, Any]]] | None = None,
        with_group: bool = False,
    ) -> Answered:
        page = Page.of(self.query, len(chosen))
        part = page.slice(chosen)
        if self.query.flag("summary"):
            return Answered([_summary(entity, with_group) for entity in part], headers=page.headers())
        rows = reader()(part)
        if totals is not None and self.query.flag("includeTotals"):
            rows.append(MetricRow(None, "totals", [Metric(key, value) for key, value in totals()]))
        return Answered(rows, headers=page.headers())

    def _single(self, rows: list[MetricRow]) -> Answered:
        return Answered(rows[0] if self.habits.single_as_object else rows, root=ONE_ROOT)

    # -- rows ------------------------------------------------------------------------------------------------------

    def _read_queues(self, keys: Sequence[str]) -> Callable[[Sequence[Queue]], list[MetricRow]]:
        getters = [(key, queue_getter(key, self.moment)) for key in keys]
        return lambda queues: [MetricRow(q.id, q.name, [Metric(key, get(q)) for key, get in getters]) for q in queues]

    def _read_groups(self, keys: Sequence[str]) -> Callable[[Sequence[Group]], list[MetricRow]]:
        """Numbers as digit strings, as in every group sample of the guide."""
        getters = [(key, group_getter(key)) for key in keys]
        return lambda groups: [
            MetricRow(g.id, g.name, [Metric(key, str(get(g))) for key, get in getters]) for g in groups
        ]

    def _read_agents(self, keys: Sequence[str], queue: Queue | None) -> Callable[[Sequence[Agent]], list[MetricRow]]:
        """`.inQueue` keys cover the work for `queue`; without a queue, all queue work."""
        getters = [
            (key, agent_getter(key.removesuffix(IN_QUEUE), self.moment), queue is not None and key.endswith(IN_QUEUE))
            for key in keys
        ]

        def metrics(agent: Agent) -> list[Metric]:
            whole: LogView = agent.log
            own = agent.pair_view(queue) if queue is not None else whole
            return [Metric(key, get(agent, own if in_queue else whole)) for key, get, in_queue in getters]

        return lambda agents: [MetricRow(a.id, a.name, metrics(a)) for a in agents]

    # -- agents in queue groups --------------------------------------------------------------------------------------

    def _agents_in_queue_groups(self) -> Answered:
        """Agents and queues with activity today, in two sections; metrics are objects here, and queues have no name."""
        chosen: list[Queue] = self._chosen(self.centre.queues, "queue-ids")
        keys = self._keys(Scope.QUEUE_AGENT)
        plain = [(key, agent_getter(key, self.moment)) for key in keys if not key.endswith(IN_QUEUE)]
        own = [(key, agent_getter(key.removesuffix(IN_QUEUE), self.moment)) for key in keys if key.endswith(IN_QUEUE)]
        today = self.moment.midnight
        show_enabled = self.query.flag("showEnabledAgents")
        candidates = self._visible(list(dict.fromkeys(agent for queue in chosen for agent in queue.agents)))
        agents = [
            {"id": a.id, "name": a.name, "metrics": {key: get(a, a.log) for key, get in plain}}
            for a in candidates
            if _worked(a.log, today) or (show_enabled and a.status != LOGGED_OUT)
        ]
        queues = []
        for queue in chosen:
            working = [(a, a.pair_view(queue)) for a in self._visible(queue.agents)]
            working = [(a, log) for a, log in working if _worked(log, today)]
            if not working and not queue.log.count("entered", today):
                continue
            queues.append(
                {
                    "queueId": queue.id,
                    "assignedAgents": [agent.id for agent in self._visible(queue.agents)],
                    "agentMetrics": [
                        {"id": a.id, "name": a.name, "metrics": {key: get(a, log) for key, get in own}}
                        for a, log in working
                    ],
                }
            )
        return Answered({"agents": agents, "queues": queues}, json_only=True)


_WORK = ("offer", "handle", "wrap", "direct_in", "direct_out", "internal_in", "internal_out")


def _worked(log: LogView, since: int) -> bool:
    return any(log.count(name, since) for name in _WORK)


def _summary(entity: _Entity, with_group: bool) -> dict[str, str]:
    row = {"id": entity.id, "name": entity.name}
    if with_group and isinstance(entity, Agent):
        row |= {"groupId": entity.group.id, "groupName": entity.group.name}
    return row
