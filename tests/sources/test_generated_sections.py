"""Arbitrary responses for agents in queue groups and totals: typed errors only, no invented entities or values."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from alertbot.errors import SourceBroken
from alertbot.evaluation.snapshot import Presence
from alertbot.rules.catalogue import Scope
from alertbot.sources.eight_by_eight.assemble import EntityTable, KeyBatch, table_of, totals_of
from alertbot.sources.eight_by_eight.decode import decode_page
from alertbot.sources.eight_by_eight.percent import Percentages
from alertbot.sources.eight_by_eight.sections import decode_sections
from tests.sources.conftest import NOW
from tests.sources.test_generated import elements, roots, scalars, values

OWN, OURS = "timeOnStatus.rt", "accepted.today.inQueue"
KEYS = (OWN, OURS)

agent_ids = st.sampled_from(["ag1", "ag2", "ag3"])
metric_maps = st.dictionaries(st.sampled_from(KEYS), scalars, max_size=2)
people = st.fixed_dictionaries({"id": agent_ids, "name": st.text(max_size=3), "metrics": metric_maps})
good_queues = st.fixed_dictionaries(
    {
        "queueId": st.sampled_from(["201", "202"]),
        "assignedAgents": st.lists(agent_ids, max_size=3),
        "agentMetrics": st.lists(people, max_size=3),
    }
)
odd_queues = st.fixed_dictionaries(
    {},
    optional={
        "queueId": st.sampled_from(["201", 202]) | scalars,
        "assignedAgents": st.lists(agent_ids | values) | values,
        "agentMetrics": st.lists(people | elements, max_size=3) | values,
    },
)
good = st.fixed_dictionaries({"agents": st.lists(people, max_size=3), "queues": st.lists(good_queues, max_size=2)})
odd = st.fixed_dictionaries(
    {},
    optional={
        "agents": st.lists(people | elements, max_size=4) | values,
        "queues": st.lists(good_queues | odd_queues | values, max_size=3) | values,
    },
)


def read(body: bytes) -> EntityTable | None:
    """The table of an answer, or None where it is refused with the one error that is allowed."""
    part = KeyBatch(KEYS)
    try:
        part.pages[0] = decode_sections(body, KEYS)
    except SourceBroken:
        return None
    table = table_of(Scope.QUEUE_AGENT, [part])
    assert isinstance(table, EntityTable)
    return table


def text(value: object) -> str:
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""


def dicts(values: object) -> list[dict[str, Any]]:
    return [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []


def truth(root: dict[str, Any]) -> tuple[set[tuple[str, str]], dict[tuple[str, str, str], list[Any]]]:
    """The plainest reading: who may be a row at all, and which values a cell may have."""
    present: set[tuple[str, str]] = set()
    cells: dict[tuple[str, str, str], list[Any]] = {}
    people = dicts(root.get("agents"))
    for queue in dicts(root.get("queues")):
        identity = text(queue.get("queueId"))
        assigned = queue.get("assignedAgents")
        members = [text(each) for each in assigned] if isinstance(assigned, list) else []
        workers = dicts(queue.get("agentMetrics"))
        known = {text(each.get("id")) for each in people}
        present |= {(identity, agent) for agent in members if agent in known}
        present |= {(identity, text(each.get("id"))) for each in workers}
        for key, section in ((OWN, people), (OURS, workers)):
            for each in section:
                metrics = each.get("metrics")
                found = [metrics[key]] if isinstance(metrics, dict) and key in metrics else []
                found += [pair.get("value") for pair in dicts(metrics) if pair.get("key") == key]
                cells.setdefault((identity, text(each.get("id")), key), []).extend(found)
    return present, cells


@given(root=good | odd | roots)
@settings(max_examples=300, deadline=None)
def test_nobody_is_invented(root: Any) -> None:
    """Every row is an agent that the answer names for that queue, every value stands there for that agent."""
    body = json.dumps(root).encode()
    table = read(body)
    if table is None:
        return
    present, cells = truth(json.loads(body))
    assert len(set(table.pairs)) == len(table.pairs)
    assert set(table.pairs) <= present
    assert len(table.names) == len(table.pairs)
    assert all(table.names)
    for key, column in table.columns.items():
        for row, pair in enumerate(table.pairs):
            if column.presence[row] == Presence.PRESENT:
                candidates = [each for each in cells[*pair, key] if isinstance(each, (int, float, str))]
                assert any(float(column.values[row]) == float(each) for each in candidates if _numeric(each))
            else:
                assert math.isnan(float(column.values[row]))


def _numeric(value: object) -> bool:
    try:
        return math.isfinite(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False


@given(root=good, data=st.data())
@settings(max_examples=200, deadline=None)
def test_spoilt_bytes_raise_only_what_is_promised(root: Any, data: st.DataObject) -> None:
    """A body that is cut, or in which bytes are changed, is an answer or a SourceBroken, nothing else."""
    body = bytearray(json.dumps(root).encode())
    for _ in range(data.draw(st.integers(0, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    read(bytes(body[: data.draw(st.integers(0, len(body)))]))


totals = st.fixed_dictionaries(
    {"id": st.none() | scalars},
    optional={
        "name": st.just("totals") | scalars,
        "metrics": st.lists(
            st.fixed_dictionaries({"key": st.sampled_from(["total.accepted.today", "x"]), "value": scalars}), max_size=3
        ),
    },
)


@given(pages=st.lists(st.lists(totals | elements, max_size=4), min_size=1, max_size=2))
@settings(max_examples=200, deadline=None)
def test_totals_are_never_made_up(pages: list[list[Any]]) -> None:
    """A total that is present stands in a totals element or is the sum of the pages; missing is never zero."""
    part = KeyBatch(("accepted.today",))
    for number, page in enumerate(pages):
        try:
            part.pages[number] = decode_page(json.dumps(page).encode(), part.keys, totals=True)
        except SourceBroken:
            return
    table = table_of(Scope.AGENT, [part])
    assert isinstance(table, EntityTable)
    key = "total.accepted.today"
    snapshot = totals_of(Scope.AGENT_TOTALS, "totals", frozenset({key}), table, NOW, Percentages("auto"))
    found = [
        pair["value"]
        for page in pages
        for each in dicts(page)
        if each.get("id", 0) is None
        for pair in dicts(each.get("metrics"))
        if pair.get("key") == key and "value" in pair
    ]
    if isinstance(snapshot, str):
        return
    value, presence = snapshot.reading(key, 0)
    if presence is Presence.PRESENT:
        numbers = [float(each) for each in found if _numeric(each) and not isinstance(each, bool)]
        assert value in numbers or value == sum(numbers)
    else:
        assert value is None
