"""The contact centre: a seeded discrete-event model. It reads no clock; `advance` is given the time.

`floor` has the behaviour of callers and agents; this file starts it, advances its time and applies scenarios. Every
metric is read from what happened there, so metrics agree with each other.

The result depends only on the seed, the start and the scenario, not on how often or how far `advance` is called.
"""

from __future__ import annotations

import math
import threading
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from alertbot.simulator.actions import Action, Demand, WalkOut
from alertbot.simulator.entities import LOGGED_OUT, ON_BREAK, WORKING_OFFLINE, Agent, Group, Queue
from alertbot.simulator.floor import MINUTE, Floor
from alertbot.simulator.layout import Size, build, on_shift

MID_MORNING = 10 * 60
_Entity = TypeVar("_Entity", Queue, Group, Agent)


def to_ms(moment: datetime) -> int:
    """Ms since 1970 of an aware datetime, rounded down."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def from_ms(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Centre(Floor):
    """One contact centre, on a working day that has already lasted `warm` when it is created.

    With `busy_now` the working day is shifted so that `start` is in mid-morning, whatever the time of day; otherwise
    the rota follows the time of day in `timezone`. `.today` metrics follow the real calendar in both cases. Hold
    `lock` to advance or read a centre that other threads use too.
    """

    def __init__(
        self,
        size: Size | None = None,
        *,
        seed: int = 1,
        start: datetime,
        timezone: str = "UTC",
        busy_now: bool = False,
        warm: timedelta | None = None,
    ) -> None:
        if start.tzinfo is None:
            raise ValueError("start has to be an aware datetime")
        self.lock = threading.RLock()
        self.timezone = ZoneInfo(timezone)
        self.start = start.astimezone(UTC)
        self.hidden: set[str] = set()
        self._steps = 0
        layout = build(size or Size(), seed)
        start_ms = to_ms(start)
        local = start.astimezone(self.timezone)
        minute = MID_MORNING if busy_now else local.hour * 60 + local.minute
        before = _warm_ms(layout.calls_per_ms(minute // 30)) if warm is None else warm // _MS
        super().__init__(layout, seed, opens=start_ms - before, phase=minute * MINUTE - start_ms)
        self._run(start_ms)

    # -- time ----------------------------------------------------------------------------------------------------

    def advance(self, to: datetime) -> None:
        """Process all events up to and including `to`. A time in the past changes nothing."""
        with self.lock:
            self._run(to_ms(to))

    def midnight(self, zone: ZoneInfo | None = None) -> int:
        """When today began in `zone` (the tenant's by default), in ms."""
        local = from_ms(self.now).astimezone(zone or self.timezone)
        return to_ms(local.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC))

    # -- scenarios and tests -----------------------------------------------------------------------------------

    def schedule(self, action: Action, after: timedelta = timedelta(0)) -> None:
        """Schedule `action` for `after` from the centre's current time.

        Raises LookupError when it names a queue or group that does not exist.
        """
        with self.lock:
            if isinstance(action, Demand):
                self._at(after // _MS, self._demand_begins, action, self._queues_named(action.queue))
            else:
                self._at(after // _MS, self._walk_out_begins, action, self._agents_of(action))

    def rename_queue(self, queue: str, name: str) -> None:
        """Rename the queue with this id or name."""
        with self.lock:
            self.find_queue(queue).name = name

    def hide(self, id_: str) -> None:
        """Stop reporting the queue, group or agent with this id, as if it had been deleted; it keeps working unseen."""
        with self.lock:
            self.hidden.add(id_)

    def show(self, id_: str) -> None:
        with self.lock:
            self.hidden.discard(id_)

    def find_queue(self, id_or_name: str) -> Queue:
        """The queue with this id or exact name, or the n-th as `#n`.

        Raises LookupError, with the known names, when there is none.
        """
        return _find(self.queues, id_or_name, "queue")

    def find_group(self, id_or_name: str) -> Group:
        return _find(self.groups, id_or_name, "group")

    def find_agent(self, id_or_name: str) -> Agent:
        return _find(self.agents, id_or_name, "agent")

    def _queues_named(self, name: str) -> list[Queue]:
        return self.queues if name == "*" else [self.find_queue(name)]

    def _agents_of(self, action: WalkOut) -> list[Agent]:
        if action.queue is not None:
            crew = [agent for queue in self._queues_named(action.queue) for agent in queue.agents]
        elif action.group is not None:
            crew = list(self.agents if action.group == "*" else self.find_group(action.group).agents)
        else:
            crew = list(self.agents)
        crew = list(dict.fromkeys(crew))
        return crew[: math.ceil(len(crew) * action.share)]

    def _demand_begins(self, action: Demand, queues: list[Queue]) -> None:
        self._steps += 1
        for queue in queues:
            queue.factors[self._steps] = action.factor
            self._rate_changed(queue)
        if action.lasting is not None:
            self._at(action.lasting // _MS, self._demand_ends, queues, self._steps)

    def _demand_ends(self, queues: list[Queue], mark: int) -> None:
        for queue in queues:
            queue.factors.pop(mark, None)
            self._rate_changed(queue)

    def _rate_changed(self, queue: Queue) -> None:
        queue.factor = math.prod(queue.factors.values())
        queue.token += 1
        self._next_arrival(queue)

    def _walk_out_begins(self, action: WalkOut, crew: list[Agent]) -> None:
        away = (_STATUS_OF[action.status], action.code)
        for agent in crew:
            if agent.status in (ON_BREAK, WORKING_OFFLINE) and agent.away is None:
                self._plan_break(agent)  # their current break ends with the step, so the next one is planned here
            agent.away = away
            if agent.status != LOGGED_OUT and not agent.busy:
                self._leave(agent)
        if action.lasting is not None:
            self._at(action.lasting // _MS, self._walk_out_ends, crew, away)

    def _walk_out_ends(self, crew: list[Agent], away: tuple[int, str | None]) -> None:
        for agent in crew:
            if agent.away is not away:
                continue  # a later step applies to them now
            agent.away = None
            if agent.status == LOGGED_OUT and on_shift(agent, self.minute_of_day()):
                self._log_in(agent)
            elif agent.status == away[0]:
                self._free(agent)


_MS = timedelta(milliseconds=1)
_STATUS_OF = {"OnBreak": ON_BREAK, "WorkingOffline": WORKING_OFFLINE, "LoggedOut": LOGGED_OUT}


def _warm_ms(calls_per_ms: float) -> int:
    """How long (ms) a new centre has been open: hours for a small one, at least 45 minutes, so that half-hour windows
    are full."""
    enough = 12_000 / calls_per_ms if calls_per_ms > 0 else 0.0
    return int(min(max(enough, 45 * MINUTE), 5 * 60 * MINUTE))


def _find(entities: list[_Entity], id_or_name: str, what: str) -> _Entity:
    if id_or_name[:1] == "#" and id_or_name[1:].isdecimal() and 1 <= int(id_or_name[1:]) <= len(entities):
        return entities[int(id_or_name[1:]) - 1]
    for entity in entities:
        if id_or_name in (entity.id, entity.name):
            return entity
    names = ", ".join(entity.name for entity in entities[:12])
    raise LookupError(f"no {what} {id_or_name!r}; known are {names}{', ...' if len(entities) > 12 else ''}")
