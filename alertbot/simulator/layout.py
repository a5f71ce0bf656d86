"""How a contact centre is set up: which agents work when, for which queues, and how many callers they can handle.

Arrivals are derived from the rota, so that a centre of any size has a normal day: busy before noon and in the
afternoon, quiet at night, and with few long waits unless a scenario causes them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from alertbot.simulator.entities import SLOTS, Agent, Group, Queue
from alertbot.simulator.names import agent_ids, agent_names, group_names, queue_names

# Share of the agents' time taken by callers, by hour of the working day: two peaks, a calm lunch, a quiet night.
LOAD = (
    0.30, 0.28, 0.26, 0.25, 0.25, 0.27, 0.32, 0.38, 0.48, 0.56, 0.60, 0.59,
    0.54, 0.52, 0.57, 0.58, 0.55, 0.50, 0.44, 0.41, 0.38, 0.36, 0.34, 0.32,
)  # fmt: skip
# Start and length in minutes; assigned in turn within each group, so that even a group of three has an agent at ten.
SHIFTS = (
    (8 * 60, 540), (8 * 60 + 30, 510), (9 * 60, 510), (13 * 60, 540), (7 * 60 + 30, 510),
    (9 * 60 + 30, 510), (8 * 60, 510), (14 * 60, 540), (21 * 60 + 30, 660), (8 * 60 + 30, 540),
)  # fmt: skip
MAX_QUEUES_PER_AGENT = 5
OFFER_MS = 4_000  # what ringing adds to the work of a call


@dataclass(frozen=True)
class Size:
    """The size of a contact centre. `queue_names` replaces names of queues, by their number from 0."""

    queues: int = 12
    groups: int = 6
    agents: int = 60
    queue_names: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what in ("queues", "groups", "agents"):
            if getattr(self, what) < 1:
                raise ValueError(f"a simulated contact centre needs at least one of its {what}")


@dataclass(frozen=True)
class Layout:
    """Everything that exists before the first caller."""

    queues: list[Queue]
    groups: list[Group]
    agents: list[Agent]

    def calls_per_ms(self, slot: int) -> float:
        return sum(queue.rates[slot] for queue in self.queues)


def on_shift(agent: Agent, minute: int) -> bool:
    """Whether `minute` of the working day is inside the agent's shift. Shifts may run past midnight."""
    return (minute - agent.shift_start) % 1440 < agent.shift_length


def build(size: Size, seed: int) -> Layout:
    """The same layout for the same size and seed."""
    rng = random.Random(f"layout {seed}")
    groups = [Group(i, str(301 + i), name) for i, name in enumerate(group_names(size.groups))]
    queues = []
    for i, name in enumerate(queue_names(size.queues, size.groups)):
        queue = Queue(i, str(101 + i), size.queue_names.get(i, name), groups[i % size.groups])
        _character(queue, rng)
        queue.group.queues.append(queue)
        queues.append(queue)
    for queue in queues:
        siblings = queue.group.queues
        if queue.divert_ms and len(siblings) > 1 and rng.random() < 0.5:
            queue.overflow = siblings[(siblings.index(queue) + 1) % len(siblings)]
    agents = []
    for i, (id_, name) in enumerate(zip(agent_ids(seed, size.agents), agent_names(seed, size.agents), strict=True)):
        agent = Agent(i, id_, name, groups[i % size.groups])
        _skills(agent, queues, rng)
        agent.shift_start, agent.shift_length = SHIFTS[len(agent.group.agents) % len(SHIFTS)]
        agent.group.agents.append(agent)
        agents.append(agent)
    _demand(queues)
    return Layout(queues, groups, agents)


def _character(queue: Queue, rng: random.Random) -> None:
    queue.aht_mean = rng.uniform(180_000, 330_000)
    queue.aht_sigma = rng.uniform(0.4, 0.6)
    queue.wrap_mean = rng.uniform(12_000, 30_000)
    queue.sla_ms, queue.sla_target = rng.choice(((20_000, 0.8), (20_000, 0.8), (30_000, 0.8), (60_000, 0.9)))
    queue.divert_ms = rng.choice((0, 0, 420_000, 600_000))
    if queue.name.endswith("Chat"):
        queue.channel = ("chat", "Web chat")
    elif queue.name.endswith("Email"):
        queue.channel = ("email", "Email")


def _skills(agent: Agent, queues: list[Queue], rng: random.Random) -> None:
    """Assign a few queues of the agent's group, in turn so that each has agents, and sometimes one of another group."""
    own = agent.group.queues or [queues[agent.index % len(queues)]]
    first = len(agent.group.agents) * MAX_QUEUES_PER_AGENT
    for k in range(min(len(own), MAX_QUEUES_PER_AGENT)):
        agent.queues.append(own[(first + k) % len(own)])
    if rng.random() < 0.3:
        other = rng.choice(queues)
        if other not in agent.queues:
            agent.queues.append(other)
    for queue in agent.queues:
        queue.agents.append(agent)


def _demand(queues: list[Queue]) -> None:
    for queue in queues:
        effort = queue.aht_mean * math.exp(queue.aht_sigma**2 / 2) + queue.wrap_mean + OFFER_MS
        for slot in range(SLOTS):
            minute = slot * 30 + 15
            there = [agent for agent in queue.agents if on_shift(agent, minute)]
            staff = sum(1 / len(agent.queues) for agent in there)
            # At the same wait, a few agents can handle less load per head than a pool of fifty.
            pooling = 1 - 0.95 / math.sqrt(len(there) + 1)
            queue.rates[slot] = LOAD[slot // 2] * pooling * staff / effort
