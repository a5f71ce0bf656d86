"""Decodes `/agents-in-queue-groups`: agents in one section, their work for queues in another.

Its metrics are an object, not a list, and its queues have an id but no name (guide, "Agents in queue groups"). Keys
without `.inQueue` are with the agents, those with it are with the queues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from alertbot.errors import SourceBroken
from alertbot.sources.eight_by_eight.decode import ABSENT, Entity, Page, loose_entities, page_of, read_json, whole_text
from alertbot.sources.eight_by_eight.plan import IN_QUEUE


class _Queue(msgspec.Struct, gc=False):
    queueId: Any = ABSENT  # noqa: N815  # 8x8's spelling
    assignedAgents: list[Any] | None = None  # noqa: N815
    agentMetrics: list[Entity] | None = None  # noqa: N815


class _Root(msgspec.Struct, gc=False):
    agents: list[Entity] | None
    queues: list[_Queue] | None


_DECODER: Final = msgspec.json.Decoder(_Root)


@dataclass(slots=True)
class Sections:
    """The response as received. `work.ids[i]` worked for `queues[i]`; `assigned` has each queue's agents, in order.

    `without_id` counts elements without a usable id, in all sections.
    """

    agents: Page
    queues: list[str]
    work: Page
    assigned: dict[str, tuple[str, ...]]
    without_id: int = 0
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.agents)


def decode_sections(body: bytes, keys: Sequence[str]) -> Sections:
    """Decode the response. Raises SourceBroken when it is not an object with both sections."""
    notes: list[str] = []
    try:
        root = _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        root = _loose(body, notes)
    agents = page_of(root.agents or [], [key for key in keys if not key.endswith(IN_QUEUE)], notes)
    without_id = agents.without_id
    assigned: dict[str, tuple[str, ...]] = {}
    workers: list[Entity] = []
    queues: list[str] = []
    for queue in root.queues or []:
        identity = _id(queue.queueId)
        if not identity:
            without_id += 1
            notes.append("a queue without an id ignored")
            continue
        if identity in assigned:
            notes.append(f"queue {identity} appears twice; the first one is used")
            continue
        members = [_id(each) for each in queue.assignedAgents or []]
        assigned[identity] = tuple(dict.fromkeys(each for each in members if each))
        without_id += members.count("")
        for each in queue.agentMetrics or []:
            agent = _id(each.id)
            if not agent:
                without_id += 1
                notes.append(f"work of an agent without an id in queue {identity} ignored")
                continue
            each.id = agent
            workers.append(each)
            queues.append(identity)
    work = page_of(workers, [key for key in keys if key.endswith(IN_QUEUE)], notes)
    return Sections(agents, queues, work, assigned, without_id, notes)


def _id(value: object) -> str:
    """An id as text; "" for anything that is not an id. An integer is converted."""
    if type(value) is int:
        return str(value)
    return value if isinstance(value, str) else ""


def _loose(body: bytes, notes: list[str]) -> _Root:
    """The slow way, for what the strict decoder rejects."""
    root = read_json(body)
    if not isinstance(root, dict) or not {"agents", "queues"} <= root.keys():
        raise SourceBroken("JSON without the sections agents and queues")
    return _Root(
        loose_entities(_list(root["agents"], notes), notes),
        [
            _Queue(
                whole_text(each.get("queueId", ABSENT)),
                [whole_text(agent) for agent in _list(each.get("assignedAgents"), notes)],
                loose_entities(_list(each.get("agentMetrics"), notes), notes),
            )
            for each in _objects(_list(root["queues"], notes), notes)
        ],
    )


def _list(value: object, notes: list[str]) -> list[Any]:
    if isinstance(value, list):
        return value
    if value is not None:
        notes.append("a section that is not a list ignored")
    return []


def _objects(values: list[Any], notes: list[str]) -> list[dict[str, Any]]:
    objects = [each for each in values if isinstance(each, dict)]
    if len(objects) != len(values):
        notes.append(f"{len(values) - len(objects)} queues that are not objects ignored")
    return objects
