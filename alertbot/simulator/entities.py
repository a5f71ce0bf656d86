"""Queues, groups, agents and interactions of the model: plain state, changed only by `floor`. Times are ms since
1970."""

from __future__ import annotations

from collections import deque
from typing import Final

from alertbot.simulator.history import EMPTY_LOG, Log, LogView, Series

LOGGED_OUT: Final = 0
AVAILABLE: Final = 1
OFFERING: Final = 2
HANDLING: Final = 3
WRAP_UP: Final = 4
ON_BREAK: Final = 5
WORKING_OFFLINE: Final = 6

STATUS_NAMES: Final = ("LoggedOut", "Available", "Offering", "Handling", "WrapUp", "OnBreak", "WorkingOffline")
"""Five are 8x8's own examples (guide 5.3); its spelling of Offering and WrapUp is not published: these are guesses."""

SLOTS: Final = 48  # half hours of the working day


class Interaction:
    """One caller, from the first queue to the last goodbye."""

    __slots__ = (
        "agent", "answered", "direction", "entered", "gone", "hops", "leg", "offered", "origin", "queue", "transferred",
    )  # fmt: skip

    def __init__(self, queue: Queue | None, direction: str = "InboundDir") -> None:
        self.queue = queue
        self.direction = direction
        self.entered = 0
        self.offered = 0
        self.answered = 0
        self.agent: Agent | None = None
        self.gone = False  # hung up or diverted; the line drops it when it reaches the front
        self.leg = 0  # counts the queues entered: events of an earlier queue are void
        self.hops = 0  # transfers and overflows so far
        self.origin: Queue | None = None
        self.transferred = False


class Queue:
    """A line of waiting callers, and how many of its agents are in which status."""

    __slots__ = (
        "agents", "aht_mean", "aht_sigma", "channel", "divert_ms", "external", "factor", "factors", "group", "id",
        "index", "line", "log", "name", "overflow", "own", "rates", "ringing", "sla_ms", "sla_target", "states",
        "token", "waiting", "wrap_mean",
    )  # fmt: skip

    def __init__(self, index: int, id_: str, name: str, group: Group) -> None:
        self.index = index
        self.id = id_
        self.name = name
        self.group = group
        self.channel = ("voice", "Phone")
        self.agents: list[Agent] = []
        self.aht_mean = 240_000.0
        self.aht_sigma = 0.5
        self.wrap_mean = 20_000.0
        self.sla_ms = 20_000
        self.sla_target = 0.8
        self.divert_ms = 0  # 0: calls are not diverted
        self.overflow: Queue | None = None  # where diverted calls go; None: to voice mail, outside the model
        self.rates: list[float] = [0.0] * SLOTS  # arrivals per ms for each half hour of the working day
        self.factors: dict[int, float] = {}  # the current factors of scenarios on the rate
        self.factor = 1.0
        self.token = 0  # the valid scheduled arrival; a changed rate voids it
        self.line: deque[Interaction] = deque()
        self.ringing: list[Interaction] = []  # offered, not answered: still waiting
        self.waiting = 0
        self.states = [0] * len(STATUS_NAMES)  # its agents by status, for any work
        self.own = [0] * len(STATUS_NAMES)  # its agents by status, for work from this queue
        self.external = 0
        self.log = Log()

    def head(self) -> Interaction | None:
        """The caller who has waited longest and is not being offered to an agent."""
        line = self.line
        while line and line[0].gone:
            line.popleft()
        return line[0] if line else None

    def oldest(self) -> int | None:
        """When the longest waiting caller arrived, being offered or not; None if no caller waits."""
        head = self.head()
        oldest = head.entered if head is not None else None
        for call in self.ringing:
            if oldest is None or call.entered < oldest:
                oldest = call.entered
        return oldest

    def longest_wait(self, now: int) -> int:
        oldest = self.oldest()
        return now - oldest if oldest is not None else 0

    def waiting_in_time(self, now: int) -> int:
        """How many callers wait and are still within the SLA threshold."""
        limit = now - self.sla_ms
        in_line = sum(1 for call in self.line if not call.gone and call.entered >= limit)
        return in_line + sum(1 for call in self.ringing if call.entered >= limit)


class Group:
    """A group of agents; every agent is in one."""

    __slots__ = ("agents", "id", "index", "name", "queues", "states")

    def __init__(self, index: int, id_: str, name: str) -> None:
        self.index = index
        self.id = id_
        self.name = name
        self.agents: list[Agent] = []
        self.queues: list[Queue] = []
        self.states = [0] * len(STATUS_NAMES)


class Agent:
    """An agent: status and history."""

    __slots__ = (
        "away", "call", "code", "code_since", "group", "id", "idle_since", "index", "line1", "line1_since", "line2",
        "line2_since", "log", "login", "logout", "name", "pairs", "pending", "queue", "queues", "session",
        "shift_length", "shift_start", "since", "status", "times", "token",
    )  # fmt: skip

    def __init__(self, index: int, id_: str, name: str, group: Group) -> None:
        self.index = index
        self.id = id_
        self.name = name
        self.group = group
        self.queues: list[Queue] = []
        self.shift_start = 0  # minutes of the working day
        self.shift_length = 0  # minutes
        self.status = LOGGED_OUT
        self.code: str | None = None
        self.since = 0
        self.code_since = 0
        self.login: int | None = None
        self.logout: int | None = None
        self.idle_since = 0
        self.queue: Queue | None = None  # the queue of the current work
        self.call: Interaction | None = None
        self.pending: tuple[int, str | None, int] | None = None  # status, code and ms to take when the work is done
        self.away: tuple[int, str | None] | None = None  # a scenario keeps the agent away; status and code
        self.token = 0  # the valid scheduled event; any new one voids it
        self.session = 0  # counts logins
        self.times = [Series() for _ in STATUS_NAMES]  # completed times in each status
        self.log = Log()  # all work
        self.pairs: dict[int, Log] = {}  # work for one queue, by the index of the queue
        self.line1 = "Idle"  # 8x8 does not document line statuses: these are a guess
        self.line1_since = 0
        self.line2 = "Idle"
        self.line2_since = 0

    @property
    def busy(self) -> bool:
        return OFFERING <= self.status <= WRAP_UP

    def pair(self, queue: Queue) -> Log:
        """The log of this agent's work for `queue`, to write to."""
        log = self.pairs.get(queue.index)
        if log is None:
            log = self.pairs[queue.index] = Log()
        return log

    def pair_view(self, queue: Queue) -> LogView:
        """The same, to read."""
        return self.pairs.get(queue.index, EMPTY_LOG)

    def time_in(self, status: int, since: int, now: int) -> int:
        """The time (ms) in `status` after `since`, up to `now`."""
        done = self.times[status].overlap(since)
        return done + now - max(self.since, since) if self.status == status and now > since else done

    def seen_since(self, since: int) -> bool:
        """Whether the agent was logged in at any time after `since`."""
        return self.status != LOGGED_OUT or (self.logout is not None and self.logout > since)
