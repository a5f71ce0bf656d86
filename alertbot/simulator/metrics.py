"""Metric keys to values, read from the model: one function per key, made once per request, called once per entity.

The meaning of each key is that of 8x8's glossary (guide 5.1 to 5.6), as in `rules/catalogue.csv`. Windows are rolling:
the last 15 minutes are the 15 minutes before now. Durations are ms, percentages ratios 0 to 1 (or 0 to 100, if so
configured). A ratio or average of nothing is None, and so is a count of an agent who was not logged in during the
window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from alertbot.simulator.entities import (
    AVAILABLE,
    HANDLING,
    LOGGED_OUT,
    OFFERING,
    ON_BREAK,
    STATUS_NAMES,
    WORKING_OFFLINE,
    WRAP_UP,
    Agent,
    Group,
    Queue,
)
from alertbot.simulator.floor import MINUTE
from alertbot.simulator.history import LogView, Merged
from alertbot.simulator.model import from_ms

Value = int | float | str | None | list[dict[str, str | int]]
QueueGetter = Callable[["QueueView"], Value]
AgentGetter = Callable[["AgentView", LogView], Value]
GroupGetter = Callable[[Group], int]

PERIODS: Mapping[str, int] = {
    "int-15m": 15 * MINUTE,
    "int-30m": 30 * MINUTE,
    "int-1h": 60 * MINUTE,
    "int-4h": 240 * MINUTE,
    "int-8h": 480 * MINUTE,
    "int-12h": 720 * MINUTE,
}
IN_QUEUE = ".inQueue"
_BUSY = (OFFERING, HANDLING, WRAP_UP)
_LOGGED_IN = (AVAILABLE, OFFERING, HANDLING, WRAP_UP, ON_BREAK, WORKING_OFFLINE)


@dataclass(frozen=True)
class Moment:
    """The time of a request (ms): now, midnight in the requested time zone; and the scale of percentages, 1 or 100."""

    now: int
    midnight: int
    scale: int = 1

    def since(self, period: str) -> int:
        return self.midnight if period == "today" else self.now - PERIODS[period]


# -- several as one, for the totals element ------------------------------------------------------------------------


class QueueTotals:
    """Several queues as one. Agents count once per queue: not documented, so the plain sum is used."""

    def __init__(self, queues: Iterable[Queue]) -> None:
        self._queues = list(queues)
        self.log = Merged(queue.log for queue in self._queues)
        self.waiting = sum(queue.waiting for queue in self._queues)
        self.external = sum(queue.external for queue in self._queues)
        self.states = [sum(counts) for counts in zip(*(q.states for q in self._queues), strict=True)] or [0] * 7
        self.own = [sum(counts) for counts in zip(*(q.own for q in self._queues), strict=True)] or [0] * 7
        self.sla_target: float | None = None
        self.sla_ms: int | None = None

    def longest_wait(self, now: int) -> int:
        return max((queue.longest_wait(now) for queue in self._queues), default=0)

    def waiting_in_time(self, now: int) -> int:
        return sum(queue.waiting_in_time(now) for queue in self._queues)


class AgentTotals:
    """Several agents as one."""

    def __init__(self, agents: Iterable[Agent]) -> None:
        self.agents = list(agents)
        self.log = Merged(agent.log for agent in self.agents)

    def time_in(self, status: int, since: int, now: int) -> int:
        return sum(agent.time_in(status, since, now) for agent in self.agents)

    def seen_since(self, since: int) -> bool:
        return any(agent.seen_since(since) for agent in self.agents)


QueueView = Queue | QueueTotals
AgentView = Agent | AgentTotals


# -- queues ----------------------------------------------------------------------------------------------------------


def _entered(queue: QueueView, since: int) -> int:
    # Callers who were waiting when the window began have left since, or still wait: they count as entered.
    return queue.waiting + queue.log.count("left", since)


def _abandoned(queue: QueueView, since: int) -> int:
    return queue.log.count("abandoned", since) + queue.log.count("short", since)


def _queue_count(name: str) -> Callable[[Moment, int], QueueGetter]:
    return lambda moment, since: lambda queue: queue.log.count(name, since)


def _queue_share(part: Callable[[QueueView, int], int]) -> Callable[[Moment, int], QueueGetter]:
    return lambda moment, since: lambda queue: _ratio(part(queue, since), _entered(queue, since), moment.scale)


def _queue_mean(name: str) -> Callable[[Moment, int], QueueGetter]:
    return lambda moment, since: lambda queue: _mean(queue.log.total(name, since), queue.log.count(name, since))


def _queue_effort(*names: str) -> Callable[[Moment, int], QueueGetter]:
    def make(moment: Moment, since: int) -> QueueGetter:
        def value(queue: QueueView) -> Value:
            return _mean(sum(queue.log.total(n, since) for n in names), queue.log.count("accepted", since))

        return value

    return make


def _sla(moment: Moment, since: int) -> QueueGetter:
    def value(queue: QueueView) -> Value:
        decided = _entered(queue, since) - queue.log.count("short", since) - queue.waiting_in_time(moment.now)
        return _ratio(queue.log.count("in_sla", since), decided, moment.scale)

    return value


def _longest_wait(moment: Moment, since: int) -> QueueGetter:
    return lambda queue: max(queue.log.peak("wait", since), queue.longest_wait(moment.now))


_QUEUE_WINDOW: Mapping[str, Callable[[Moment, int], QueueGetter]] = {
    "abandoned": _queue_count("abandoned"),
    "abandonedPercentage": _queue_share(lambda queue, since: queue.log.count("abandoned", since)),
    "accepted": _queue_count("accepted"),
    "acceptedInSla": _queue_count("in_sla"),
    "acceptedInSlaPercentage": lambda moment, since: (
        lambda queue: _ratio(queue.log.count("in_sla", since), queue.log.count("accepted", since), moment.scale)
    ),
    "acceptedPercentage": _queue_share(lambda queue, since: queue.log.count("accepted", since)),
    "avgDivertedTime": _queue_mean("diverted"),
    "avgHandlingTime": _queue_mean("handle"),
    "avgOfferingTime": _queue_mean("offer"),
    "avgProcessingTime": _queue_effort("handle", "wrap"),
    "avgWorkTime": _queue_effort("offer", "handle", "wrap"),
    "avgWrapUpTime": lambda moment, since: lambda queue: _mean(queue.log.total("wrap", since), _entered(queue, since)),
    "diverted": _queue_count("diverted"),
    "divertedPercentage": _queue_share(lambda queue, since: queue.log.count("diverted", since)),
    "entered": lambda moment, since: lambda queue: _entered(queue, since),
    "interactionsAvgWaitTime": _queue_mean("left"),
    "interactionsLongestWaitInQueue": _longest_wait,
    "longestOfferingTimeInQueue": lambda moment, since: lambda queue: queue.log.peak("offer", since),
    "newInQueue": _queue_count("entered"),
    "shortAbandoned": _queue_count("short"),
    "shortAbandonedPercentage": _queue_share(lambda queue, since: queue.log.count("short", since)),
    "slaPercentage": _sla,
    "slaPercentageTarget": lambda moment, since: (
        lambda queue: None if queue.sla_target is None else queue.sla_target * moment.scale
    ),
    "slaTimeThreshold": lambda moment, since: lambda queue: queue.sla_ms,
    "totalAbandoned": lambda moment, since: lambda queue: _abandoned(queue, since),
    "totalAbandonedPercentage": _queue_share(_abandoned),
}


def _busy(queue: QueueView) -> int:
    return queue.own[OFFERING] + queue.own[HANDLING] + queue.own[WRAP_UP]


_QUEUE_NOW: Mapping[str, Callable[[QueueView, int], int]] = {
    "availableIdle": lambda queue, now: queue.states[AVAILABLE],
    "busy": lambda queue, now: _busy(queue),
    "busyExternal": lambda queue, now: queue.external,
    "busyOther": lambda queue, now: sum(queue.states[s] for s in _BUSY) - _busy(queue),
    "eligible": lambda queue, now: queue.states[AVAILABLE] + sum(queue.states[s] for s in _BUSY),
    "enabled": lambda queue, now: sum(queue.states) - queue.states[LOGGED_OUT],
    "handling": lambda queue, now: queue.own[HANDLING],
    "interactionsHandling": lambda queue, now: queue.own[HANDLING],
    "interactionsLongestWaitInQueue": lambda queue, now: queue.longest_wait(now),
    "interactionsWaitInQueue": lambda queue, now: queue.waiting,
    "interactionsWrapUp": lambda queue, now: queue.own[WRAP_UP],
    "offering": lambda queue, now: queue.own[OFFERING],
    "onBreak": lambda queue, now: queue.states[ON_BREAK],
    "workingOffline": lambda queue, now: queue.states[WORKING_OFFLINE],
    "wrapUp": lambda queue, now: queue.own[WRAP_UP],
}


def queue_getter(key: str, moment: Moment) -> QueueGetter:
    """A function that reads `key` of a queue at this moment. Raises KeyError for a key that queues do not have."""
    base, _, period = key.partition(".")
    if period == "rt":
        now_getter = _QUEUE_NOW[base]
        return lambda queue: now_getter(queue, moment.now)
    return _QUEUE_WINDOW[base](moment, moment.since(period))


# -- groups ----------------------------------------------------------------------------------------------------------

_GROUP_NOW: Mapping[str, GroupGetter] = {
    "availableIdle": lambda group: group.states[AVAILABLE],
    "eligible": lambda group: group.states[AVAILABLE] + sum(group.states[s] for s in _BUSY),
    "enabled": lambda group: sum(group.states) - group.states[LOGGED_OUT],
    "handling": lambda group: group.states[HANDLING],
    "onBreak": lambda group: group.states[ON_BREAK],
    "workingOffline": lambda group: group.states[WORKING_OFFLINE],
    "wrapUp": lambda group: group.states[WRAP_UP],
}


def group_getter(key: str) -> GroupGetter:
    """A function that reads `key` of a group. Raises KeyError for a key that groups do not have."""
    base, _, period = key.partition(".")
    if period != "rt":
        raise KeyError(key)
    return _GROUP_NOW[base]


# -- agents ----------------------------------------------------------------------------------------------------------


def _agent_count(*names: str) -> Callable[[Moment, int], AgentGetter]:
    def make(moment: Moment, since: int) -> AgentGetter:
        if len(names) == 1:
            (name,) = names
            return lambda agent, log: log.count(name, since) if agent.seen_since(since) else None
        return lambda agent, log: sum(log.count(n, since) for n in names) if agent.seen_since(since) else None

    return make


def _agent_total(*names: str) -> Callable[[Moment, int], AgentGetter]:
    return lambda moment, since: lambda agent, log: sum(log.total(name, since) for name in names)


def _agent_mean(name: str) -> Callable[[Moment, int], AgentGetter]:
    return lambda moment, since: lambda agent, log: _mean(log.total(name, since), log.count(name, since))


def _agent_peak(name: str) -> Callable[[Moment, int], AgentGetter]:
    return lambda moment, since: lambda agent, log: log.peak(name, since)


def _time(*statuses: int) -> Callable[[Moment, int], AgentGetter]:
    def make(moment: Moment, since: int) -> AgentGetter:
        if len(statuses) == 1:
            (status,) = statuses
            return lambda agent, log: agent.time_in(status, since, moment.now)
        return lambda agent, log: sum(agent.time_in(status, since, moment.now) for status in statuses)

    return make


def _time_share(*statuses: int) -> Callable[[Moment, int], AgentGetter]:
    def make(moment: Moment, since: int) -> AgentGetter:
        def value(agent: AgentView, log: LogView) -> Value:
            spent = sum(agent.time_in(status, since, moment.now) for status in statuses)
            logged_in = sum(agent.time_in(status, since, moment.now) for status in _LOGGED_IN)
            return _ratio(spent, logged_in, moment.scale)

        return value

    return make


def _offered(moment: Moment, since: int) -> AgentGetter:
    """Offers that ended in the window plus the pending one, including carry-over, as the glossary says."""

    def value(agent: AgentView, log: LogView) -> Value:
        if not agent.seen_since(since):
            return None
        agents = agent.agents if isinstance(agent, AgentTotals) else [agent]
        pending = sum(1 for member in agents if _rings_for(member, log, agent.log))
        return log.count("offer", since) + pending

    return value


def _rings_for(agent: Agent, log: LogView, whole: LogView) -> bool:
    """Whether an offer is pending that belongs to `log`: any offer for the `whole` log, else one of its queue."""
    if agent.status != OFFERING:
        return False
    if log is whole:
        return True
    own = agent.pairs.get(agent.queue.index) if agent.queue is not None else None
    return own is not None and (own is log or (isinstance(log, Merged) and any(own is part for part in log.logs)))


def _transfer_share(moment: Moment, since: int) -> AgentGetter:
    def value(agent: AgentView, log: LogView) -> Value:
        made = log.count("blind", since) + log.count("warm", since)
        return _ratio(made, log.count("accepted", since), moment.scale)

    return value


_AGENT_WINDOW: Mapping[str, Callable[[Moment, int], AgentGetter]] = {
    "accepted": _agent_count("accepted"),
    "availableTime": _time(AVAILABLE),
    "availableTimePercentage": _time_share(AVAILABLE),
    "averageHandlingTime": _agent_mean("handle"),
    "averageHoldTime": _agent_mean("hold"),
    "averageOfferingTime": _agent_mean("offer"),
    "averageWrapUpTime": _agent_mean("wrap"),
    "blindTransfers": _agent_count("blind"),
    "busyTime": _time(*_BUSY),
    "busyTimePercentage": _time_share(*_BUSY),
    "conferences": _agent_count("conference"),
    "conferenceTime": _agent_total("conference"),
    "consultations": _agent_count("consult"),
    "directInbounds": _agent_count("direct_in"),
    "directInboundTime": _agent_total("direct_in"),
    "directOutbounds": _agent_count("direct_out"),
    "directOutboundTime": _agent_total("direct_out"),
    "handlingTime": _time(HANDLING),
    "handlingTimePercentage": _time_share(HANDLING),
    "hold": _agent_count("hold"),
    "internalCalls": _agent_count("internal_out", "internal_in"),
    "internalCallsInitiated": _agent_count("internal_out"),
    "internalCallsReceived": _agent_count("internal_in"),
    "internalCallsTime": _agent_total("internal_out", "internal_in"),
    "loggedInTime": _time(*_LOGGED_IN),
    "longestHold": _agent_peak("hold"),
    "longestOffering": _agent_peak("offer"),
    "offered": _offered,
    "offeringTime": _time(OFFERING),
    "onBreakTime": _time(ON_BREAK),
    "onBreakTimePercentage": _time_share(ON_BREAK),
    "onHoldTime": _agent_total("hold"),
    "rejected": _agent_count("rejected"),
    "rejectTimeout": _agent_count("timeout"),
    "transfersInitiated": _agent_count("blind", "warm"),
    "transfersInitiatedPercentage": _transfer_share,
    "transfersReceived": _agent_count("received"),
    "warmTransfers": _agent_count("warm"),
    "workingOfflineTime": _time(WORKING_OFFLINE),
    "workingOfflineTimePercentage": _time_share(WORKING_OFFLINE),
    "wrapUpTime": _time(WRAP_UP),
    "wrapUpTimePercentage": _time_share(WRAP_UP),
}


def _active(agent: Agent) -> int:
    """The number of current interactions: the call, and a consultation beside it."""
    return (1 + (agent.line2 != "Idle")) if agent.busy else 0


def _active_channels(agent: Agent) -> list[dict[str, str | int]]:
    if not agent.busy:
        return []
    id_, name = agent.queue.channel if agent.queue is not None else ("voice", "Phone")
    return [{"id": id_, "name": name, "count": _active(agent)}]


def _active_directions(agent: Agent) -> list[dict[str, str | int]]:
    if not agent.busy:
        return []
    direction = agent.call.direction if agent.call is not None else "InboundDir"
    found: list[dict[str, str | int]] = [{"id": direction, "name": direction, "count": 1}]
    if _active(agent) > 1:
        found.append({"id": "OutboundDir", "name": "OutboundDir", "count": 1})
    return found


def _active_queues(agent: Agent) -> list[dict[str, str | int]]:
    queue = agent.queue
    return [{"id": queue.id, "name": queue.name, "count": 1}] if agent.busy and queue is not None else []


_AGENT_NOW: Mapping[str, Callable[[Agent, int], Value]] = {
    "activeChannels": lambda agent, now: _active_channels(agent),
    "activeDirections": lambda agent, now: _active_directions(agent),
    "activeInteractionsCount": lambda agent, now: _active(agent),
    "activeQueues": lambda agent, now: _active_queues(agent),
    "alerting": lambda agent, now: int(agent.status == OFFERING),
    "lastLogin": lambda agent, now: _stamp(agent.login),
    "lastLogout": lambda agent, now: _stamp(agent.logout),
    "lastStatusChange": lambda agent, now: _stamp(agent.since),
    "lastStatusCodeChange": lambda agent, now: _stamp(agent.code_since),
    "line1Status": lambda agent, now: agent.line1,
    "line1TimeOnStatus": lambda agent, now: now - agent.line1_since,
    "line2Status": lambda agent, now: agent.line2,
    "line2TimeOnStatus": lambda agent, now: now - agent.line2_since,
    "loggedInTime": lambda agent, now: (
        now - agent.login if agent.login is not None and agent.status != LOGGED_OUT else 0
    ),
    "status": lambda agent, now: STATUS_NAMES[agent.status],
    "statusCode": lambda agent, now: agent.code,
    "timeOnStatus": lambda agent, now: now - agent.since,
    "timeOnStatusCode": lambda agent, now: now - agent.code_since,
}


def agent_getter(key: str, moment: Moment) -> AgentGetter:
    """A function that reads `key` (without `.inQueue`) of an agent and a log. Raises KeyError for an unknown key."""
    base, _, period = key.partition(".")
    if period != "rt":
        return _AGENT_WINDOW[base](moment, moment.since(period))
    read = _AGENT_NOW[base]

    def value(agent: AgentView, log: LogView) -> Value:
        if isinstance(agent, Agent):
            return read(agent, moment.now)
        values = [read(member, moment.now) for member in agent.agents]
        return sum(number for number in values if isinstance(number, int))

    return value


# -- helpers --------------------------------------------------------------------------------------------------------


def _ratio(part: int, whole: int, scale: int) -> float | None:
    return part / whole * scale if whole > 0 else None


def _mean(total: int, count: int) -> float | None:
    return round(total / count, 1) if count else None


def _stamp(ms: int | None) -> str | None:
    """ISO 8601 UTC with milliseconds and `Z`, as in the guide's samples."""
    if ms is None:
        return None
    return from_ms(ms).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"
