"""Recorded, the source of other tests: it returns what was recorded and nothing else."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from alertbot.evaluation.snapshot import Column, Fetched, Presence, Snapshot
from alertbot.rules.catalogue import Scope
from tests.sources.conftest import NOW
from tests.sources.recorded import Recorded

STATUS = Column(np.array(["OnBreak", "", ""], dtype=np.object_), np.array([0, 1, 3], dtype=np.uint8))
PARTIAL = Snapshot(
    scope=Scope.QUEUE_AGENT,
    at=NOW,
    ids=("ag1", "ag2", "ag1"),
    names=("Ana", "Bö \n", "Ana"),
    columns={"status.rt": STATUS},
    parent_ids=("201", "201", "202"),
    parent_names=("Billing", "Billing", "Support"),
    complete=False,
    problems=("queues: page 2 of 3 not received: 503",),
)
POLLS = (Fetched(at=NOW, snapshots={Scope.QUEUE_AGENT: PARTIAL}, failures={Scope.QUEUE: "8x8 answered 503"}),)
WANTED = {Scope.QUEUE_AGENT: frozenset({"status.rt"}), Scope.QUEUE: frozenset({"entered.today"})}


def test_a_recording_ends() -> None:
    """After the last poll every scope fails: an old value is not shown as a new one."""
    source = Recorded(POLLS, "incident")
    source.fetch(WANTED, NOW)
    late = source.fetch(WANTED, NOW + timedelta(seconds=15))
    assert late.failures == dict.fromkeys(WANTED, "the incident has ended")
    assert not late.snapshots


def test_what_was_not_recorded_was_not_fetched() -> None:
    """A key outside the recording is missing with that reason, and a scope outside it has failed."""
    fetched = Recorded(POLLS).fetch({Scope.QUEUE_AGENT: frozenset({"offered.today"}), Scope.GROUP: frozenset()}, NOW)
    assert fetched.snapshots[Scope.QUEUE_AGENT].reading("offered.today", 2) == (None, Presence.NOT_FETCHED)
    assert fetched.failures == {Scope.GROUP: "the recording has no group"}
