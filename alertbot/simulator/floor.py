"""The floor of the contact centre: what callers and agents do, event by event, in the order of simulated time.

Callers arrive (Poisson, at a rate that follows the working day), wait, abandon when their patience ends, overflow at
the limit of the queue, are offered to the agent who has been idle longest (who may decline, or not respond), are
handled (lognormal), held, transferred and wrapped up. Agents log in and out by their rota, take breaks, work offline,
and make and take calls outside the queues.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import Any

from alertbot.simulator.entities import (
    AVAILABLE,
    HANDLING,
    LOGGED_OUT,
    OFFERING,
    ON_BREAK,
    WORKING_OFFLINE,
    WRAP_UP,
    Agent,
    Interaction,
    Queue,
)
from alertbot.simulator.layout import Layout, on_shift

MINUTE = 60_000
DAY_MINUTES = 1440
SHORT_ABANDON_MS = 5_000  # fixed by 8x8 for now (fact sheet, section 10)
_MAX_GAP = 10 * MINUTE  # how far ahead an arrival is scheduled: the rate may change before then
_BREAKS = (("Coffee", 10 * MINUTE), ("Lunch", 25 * MINUTE), ("Coffee", 8 * MINUTE), ("Personal", 4 * MINUTE))
_OFFLINE = (("Admin work", 8 * MINUTE), ("Training", 15 * MINUTE), ("Coaching", 10 * MINUTE))


class Floor:
    """Events and the state that they change. Time plus `phase` is ms since a midnight of the working day."""

    def __init__(self, layout: Layout, seed: int, opens: int, phase: int) -> None:
        self.layout = layout
        self.queues, self.groups, self.agents = layout.queues, layout.groups, layout.agents
        self.now = opens
        self._phase = phase
        self._rng = random.Random(seed)
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._seq = 0
        self._open()

    def minute_of_day(self) -> int:
        """Minutes since midnight of the working day, which follows the rota, not the calendar."""
        return (self.now + self._phase) // MINUTE % DAY_MINUTES

    # -- the engine ------------------------------------------------------------------------------------------------

    def _at(self, delay: int, do: Callable[..., None], *args: Any) -> None:
        self._seq += 1
        heappush(self._heap, (self.now + max(0, delay), self._seq, do, args))

    def _run(self, until: int) -> None:
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, do, args = heappop(heap)
            do(*args)
        self.now = max(self.now, until)

    def _lognormal(self, mean: float, sigma: float) -> int:
        return int(self._rng.lognormvariate(math.log(mean), sigma))

    def _open(self) -> None:
        minute = self.minute_of_day()
        for agent in self.agents:
            agent.since = agent.code_since = agent.line1_since = agent.line2_since = self.now
            for queue in agent.queues:
                queue.states[LOGGED_OUT] += 1
            agent.group.states[LOGGED_OUT] += 1
            if on_shift(agent, minute):
                self._at(self._rng.randrange(MINUTE), self._log_in, agent)
            to_shift = ((agent.shift_start - minute - 1) % DAY_MINUTES + 1) * MINUTE
            self._at(to_shift + self._rng.randrange(5 * MINUTE), self._shift_begins, agent)
        for queue in self.queues:
            self._next_arrival(queue)
        self._next_side_call()

    # -- agents ------------------------------------------------------------------------------------------------

    def _leave(self, agent: Agent) -> None:
        assert agent.away is not None
        status, code = agent.away
        agent.token += 1
        if status == LOGGED_OUT:
            self._log_out(agent)
        else:
            self._set(agent, status, code)

    def _set(self, agent: Agent, status: int, code: str | None = None, queue: Queue | None = None) -> None:
        """The only place where a status changes, so that every count of agents is right."""
        now, old = self.now, agent.status
        if agent.queue is not None:
            agent.queue.own[old] -= 1
        if queue is not None:
            queue.own[status] += 1
        agent.queue = queue
        if status != old:
            if now > agent.since:
                agent.times[old].add(now, now - agent.since)
            for each in agent.queues:
                states = each.states
                states[old] -= 1
                states[status] += 1
            states = agent.group.states
            states[old] -= 1
            states[status] += 1
            agent.status, agent.since = status, now
        if status != old or code != agent.code:
            agent.code, agent.code_since = code, now
        line = "Ringing" if status == OFFERING else "Talking" if status == HANDLING else "Idle"
        if line != agent.line1:
            agent.line1, agent.line1_since = line, now

    def _line2(self, agent: Agent, status: str) -> None:
        agent.line2, agent.line2_since = status, self.now

    def _shift_begins(self, agent: Agent) -> None:
        self._at(DAY_MINUTES * MINUTE, self._shift_begins, agent)
        if agent.status == LOGGED_OUT and agent.away is None:
            self._log_in(agent)

    def _log_in(self, agent: Agent) -> None:
        if agent.status != LOGGED_OUT or agent.away is not None:
            return
        agent.session += 1
        agent.login = self.now
        into_shift = (self.minute_of_day() - agent.shift_start) % DAY_MINUTES
        left = max(1, agent.shift_length - into_shift) * MINUTE
        self._at(left + self._rng.randrange(5 * MINUTE), self._due, agent, agent.session, LOGGED_OUT, None, 0)
        self._plan_break(agent)
        self._free(agent)

    def _plan_break(self, agent: Agent) -> None:
        if self._rng.random() < 0.3:
            status, (code, mean) = WORKING_OFFLINE, self._rng.choice(_OFFLINE)
        else:
            status, (code, mean) = ON_BREAK, self._rng.choice(_BREAKS)
        length = int(mean * self._rng.uniform(0.7, 1.2))
        gap = int(self._rng.uniform(35, 130) * MINUTE)
        self._at(gap, self._due, agent, agent.session, status, code, length)

    def _due(self, agent: Agent, session: int, status: int, code: str | None, length: int) -> None:
        """A break or the end of the shift: at once if idle, otherwise after the current work."""
        if session != agent.session or agent.status == LOGGED_OUT:
            return
        if agent.pending is None or status == LOGGED_OUT:
            agent.pending = (status, code, length)
        if agent.status == AVAILABLE:
            self._free(agent)
        elif status == LOGGED_OUT and agent.away is not None and not agent.busy:
            self._log_out(agent)

    def _log_out(self, agent: Agent) -> None:
        agent.logout = self.now
        agent.token += 1
        agent.session += 1
        agent.pending = None
        self._set(agent, LOGGED_OUT)

    def _back(self, agent: Agent, token: int) -> None:
        if token != agent.token:
            return
        if agent.pending is None or agent.pending[0] != LOGGED_OUT:
            agent.pending = None
            self._plan_break(agent)
        self._free(agent)

    def _free(self, agent: Agent) -> None:
        """The current work has ended: leave if that is due, otherwise take the next caller, or wait for one."""
        agent.call = None
        agent.token += 1
        if agent.away is not None:
            self._leave(agent)
            return
        if agent.pending is not None:
            status, code, length = agent.pending
            agent.pending = None
            if status == LOGGED_OUT:
                self._log_out(agent)
            else:
                self._set(agent, status, code)
                self._at(length, self._back, agent, agent.token)
            return
        agent.idle_since = self.now
        self._set(agent, AVAILABLE)
        best: Interaction | None = None
        for queue in agent.queues:
            head = queue.head()
            if head is not None and (best is None or head.entered < best.entered):
                best = head
        if best is not None:
            self._offer(agent, best)

    # -- callers -----------------------------------------------------------------------------------------------

    def _next_arrival(self, queue: Queue) -> None:
        rate = queue.rates[self.minute_of_day() // 30] * queue.factor
        gap = self._rng.expovariate(rate) if rate > 0 else math.inf
        if gap > _MAX_GAP:
            self._at(_MAX_GAP, self._replan_arrival, queue, queue.token)
        else:
            self._at(int(gap), self._arrive, queue, queue.token)

    def _replan_arrival(self, queue: Queue, token: int) -> None:
        if token == queue.token:
            self._next_arrival(queue)

    def _arrive(self, queue: Queue, token: int) -> None:
        if token != queue.token:
            return
        self._next_arrival(queue)
        self._enter(queue, Interaction(queue))

    def _enter(self, queue: Queue, call: Interaction) -> None:
        rng = self._rng
        call.queue = queue
        call.entered = self.now
        call.leg += 1
        queue.waiting += 1
        queue.log.add("entered", self.now)
        # One in twenty-five hangs up within seconds; the others wait some minutes, a few of them very long.
        impatient = rng.random() < 0.04
        patience = int(rng.expovariate(1 / 3_000)) if impatient else int(rng.weibullvariate(330_000, 1.4)) + 4_000
        if queue.divert_ms and queue.divert_ms < patience:
            self._at(queue.divert_ms, self._divert, call, call.leg)
        else:
            self._at(patience, self._abandon, call, call.leg)
        queue.line.append(call)
        self._match(queue)

    def _match(self, queue: Queue) -> None:
        while queue.states[AVAILABLE]:
            call = queue.head()
            if call is None:
                return
            self._offer(_longest_idle(queue.agents), call)

    def _offer(self, agent: Agent, call: Interaction) -> None:
        queue, rng = call.queue, self._rng
        assert queue is not None
        queue.line.popleft()
        queue.ringing.append(call)
        call.agent, call.offered = agent, self.now
        agent.call = call
        agent.pair(queue)
        agent.token += 1
        self._set(agent, OFFERING, queue=queue)
        chance = rng.random()
        if chance < 0.012:
            self._at(20_000, self._decline, agent, agent.token, "timeout")
        elif chance < 0.035:
            self._at(rng.randrange(2_000, 8_000), self._decline, agent, agent.token, "rejected")
        else:
            self._at(1_000 + self._lognormal(2_200, 0.5), self._answer, agent, agent.token)

    def _offer_ends(self, agent: Agent, call: Interaction) -> Queue:
        queue = call.queue
        assert queue is not None
        queue.ringing.remove(call)
        took = self.now - call.offered
        for log in (queue.log, agent.log, agent.pair(queue)):
            log.add("offer", self.now, took)
            log.add_peak("offer", self.now, took)
        call.agent = None
        return queue

    def _leaves_line(self, call: Interaction, how: str) -> None:
        queue = call.queue
        assert queue is not None
        wait = self.now - call.entered
        queue.waiting -= 1
        queue.log.add("left", self.now, wait)
        queue.log.add(how, self.now, wait)
        queue.log.add_peak("wait", self.now, wait)
        call.leg += 1  # voids the scheduled abandon and overflow events

    def _decline(self, agent: Agent, token: int, how: str) -> None:
        if token != agent.token or agent.call is None:
            return
        call = agent.call
        queue = self._offer_ends(agent, call)
        agent.log.add(how, self.now)
        agent.pair(queue).add(how, self.now)
        index = 0  # back in line by waiting time: other callers may have been sent back as well
        while index < len(queue.line) and queue.line[index].entered <= call.entered:
            index += 1
        queue.line.insert(index, call)
        if how == "timeout" and agent.pending is None:
            agent.pending = (ON_BREAK, "Missed offer", self._rng.randrange(1 * MINUTE, 3 * MINUTE))
        agent.token += 1
        self._match(queue)  # others get the offer before the agent who has just declined
        self._free(agent)

    def _answer(self, agent: Agent, token: int) -> None:
        if token != agent.token or agent.call is None:
            return
        now, rng, call = self.now, self._rng, agent.call
        queue = self._offer_ends(agent, call)
        call.agent, call.answered = agent, now
        self._leaves_line(call, "accepted")
        if now - call.entered <= queue.sla_ms:
            queue.log.add("in_sla", now)
        pair = agent.pair(queue)
        agent.log.add("accepted", now)
        pair.add("accepted", now)
        if call.transferred:
            agent.log.add("received", now)
            pair.add("received", now)
            call.transferred = False
        if call.origin is not None and call.origin is not queue:
            queue.external += 1
        agent.token += 1
        self._set(agent, HANDLING, queue=queue)
        length = 5_000 + self._lognormal(queue.aht_mean, queue.aht_sigma)
        if rng.random() < 0.18:
            begin = int(length * rng.uniform(0.2, 0.6))
            self._at(begin, self._hold_begins, agent, agent.token)
            end = min(begin + 3_000 + self._lognormal(30_000, 0.6), length - 1_000)
            self._at(end, self._hold_ends, agent, agent.token, queue, end - begin, length - end)
        self._at(length, self._handled, agent, agent.token)

    def _hold_begins(self, agent: Agent, token: int) -> None:
        if token == agent.token:
            agent.line1, agent.line1_since = "OnHold", self.now
            if self._rng.random() < 0.25:
                self._line2(agent, "Talking")
                assert agent.queue is not None
                agent.log.add("consult", self.now)
                agent.pair(agent.queue).add("consult", self.now)

    def _hold_ends(self, agent: Agent, token: int, queue: Queue, took: int, left: int) -> None:
        if token != agent.token:
            return
        agent.line1, agent.line1_since = "Talking", self.now
        for log in (agent.log, agent.pair(queue)):
            log.add("hold", self.now, took)
            log.add_peak("hold", self.now, took)
        if agent.line2 == "Talking":
            if self._rng.random() < 0.4:  # becomes a conference
                length = int(left * self._rng.uniform(0.3, 0.9))
                self._at(length, self._conference_ends, agent, token, queue, length)
            else:
                self._line2(agent, "Idle")

    def _conference_ends(self, agent: Agent, token: int, queue: Queue, length: int) -> None:
        if token == agent.token:
            self._line2(agent, "Idle")
            agent.log.add("conference", self.now, length)
            agent.pair(queue).add("conference", self.now, length)

    def _handled(self, agent: Agent, token: int) -> None:
        call = agent.call
        if token != agent.token or call is None or call.queue is None:
            return
        now, rng, queue = self.now, self._rng, call.queue
        took = now - call.answered
        pair = agent.pair(queue)
        for log in (queue.log, agent.log, pair):
            log.add("handle", now, took)
        if call.origin is not None and call.origin is not queue:
            queue.external -= 1
        target = self._transfer_target(queue) if call.hops < 2 and rng.random() < 0.06 else None
        if target is not None:
            how = "blind" if rng.random() < 0.6 else "warm"
            agent.log.add(how, now)
            pair.add(how, now)
        agent.token += 1
        self._set(agent, WRAP_UP, queue=queue)
        self._at(2_000 + self._lognormal(queue.wrap_mean, 0.6), self._wrapped_up, agent, agent.token, queue)
        if target is not None:
            passed_on = Interaction(target)
            passed_on.hops, passed_on.origin, passed_on.transferred = call.hops + 1, queue, True
            self._enter(target, passed_on)

    def _transfer_target(self, queue: Queue) -> Queue | None:
        if len(self.queues) == 1:
            return None
        siblings = queue.group.queues
        target = self._rng.choice(siblings if len(siblings) > 1 and self._rng.random() < 0.6 else self.queues)
        staffed = sum(target.states) > target.states[LOGGED_OUT]
        return target if target is not queue and staffed else None

    def _wrapped_up(self, agent: Agent, token: int, queue: Queue) -> None:
        if token != agent.token:
            return
        took = self.now - agent.since
        for log in (queue.log, agent.log, agent.pair(queue)):
            log.add("wrap", self.now, took)
        self._free(agent)

    def _abandon(self, call: Interaction, leg: int) -> None:
        if leg == call.leg:
            short = self.now - call.entered < SHORT_ABANDON_MS
            self._gives_up(call, "short" if short else "abandoned")

    def _divert(self, call: Interaction, leg: int) -> None:
        if leg != call.leg:
            return
        queue = call.queue
        assert queue is not None
        self._gives_up(call, "diverted")
        if queue.overflow is not None and call.hops < 2:
            moved = Interaction(queue.overflow)
            moved.hops, moved.origin = call.hops + 1, queue
            self._enter(queue.overflow, moved)

    def _gives_up(self, call: Interaction, how: str) -> None:
        agent = call.agent
        call.gone = True
        if agent is not None:
            self._offer_ends(agent, call)
        self._leaves_line(call, how)
        if agent is not None:
            self._free(agent)

    # -- calls outside the queues --------------------------------------------------------------------------------

    def _next_side_call(self) -> None:
        gap = self._rng.expovariate(len(self.agents) / (50 * MINUTE))
        self._at(int(gap), self._side_call)

    def _side_call(self) -> None:
        """An idle agent makes or takes a direct call, or calls a colleague."""
        self._next_side_call()
        rng = self._rng
        agent = rng.choice(self.agents)
        kind = rng.random()
        if agent.status != AVAILABLE:
            return
        length = 8_000 + self._lognormal(90_000, 0.7)
        if kind < 0.4:
            self._side_call_begins(agent, "direct_out", "OutboundDir", length)
        elif kind < 0.7:
            self._side_call_begins(agent, "direct_in", "InboundDir", length)
        else:
            idle = [other for other in agent.group.agents if other.status == AVAILABLE and other is not agent]
            if idle:
                other = rng.choice(idle)
                self._side_call_begins(agent, "internal_out", "InternalDir", length)
                self._side_call_begins(other, "internal_in", "InternalDir", length)

    def _side_call_begins(self, agent: Agent, kind: str, direction: str, length: int) -> None:
        agent.call = Interaction(None, direction)
        agent.token += 1
        self._set(agent, HANDLING)
        self._at(length, self._side_call_ends, agent, agent.token, kind)

    def _side_call_ends(self, agent: Agent, token: int, kind: str) -> None:
        if token == agent.token:
            agent.log.add(kind, self.now, self.now - agent.since)
            self._free(agent)


def _longest_idle(agents: Iterable[Agent]) -> Agent:
    best: Agent | None = None
    for agent in agents:
        if agent.status == AVAILABLE and (best is None or agent.idle_since < best.idle_since):
            best = agent
    assert best is not None, "the count of idle agents and the agents disagree"
    return best
