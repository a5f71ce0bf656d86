"""Recordings: a poll written down and read again is the same poll."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from alertbot.errors import SourceBroken
from alertbot.evaluation.snapshot import Column, Fetched, Presence, Snapshot
from alertbot.rules.catalogue import Scope
from alertbot.sources.recorded import Recorded, read_recording, to_line
from tests.sources.conftest import NOW

STATUS = Column(np.array(["OnBreak", "", ""], dtype=np.object_), np.array([0, 1, 3], dtype=np.uint8))
COUNT = Column(np.array([1.5, np.nan, 0.0]), np.array([0, 4, 0], dtype=np.uint8))
PARTIAL = Snapshot(
    scope=Scope.QUEUE_AGENT,
    at=NOW,
    ids=("ag1", "ag2", "ag1"),
    names=("Ana", "Bö \n", "Ana"),
    columns={"status.rt": STATUS, "accepted.today": COUNT},
    parent_ids=("201", "201", "202"),
    parent_names=("Billing", "Billing", "Support"),
    complete=False,
    problems=("queues: page 2 of 3 not received: 503",),
)
POLLS = (
    Fetched(at=NOW, snapshots={Scope.QUEUE_AGENT: PARTIAL}, failures={Scope.QUEUE: "8x8 answered 503"}, took_ms=12.5),
    Fetched(at=NOW + timedelta(seconds=15), failures={Scope.QUEUE: "refused"}, refused=True, retry_after=9.0),
)
WANTED = {Scope.QUEUE_AGENT: frozenset({"status.rt", "accepted.today"}), Scope.QUEUE: frozenset({"entered.today"})}


def test_a_recording_is_what_was_seen(tmp_path: Path) -> None:
    """Values, what is missing and why, parents, failures and flags come back from the file as they were."""
    file = tmp_path / "polls.jsonl"
    file.write_bytes(b"".join(to_line(poll) for poll in POLLS))
    source = read_recording(file)
    assert source.times == (NOW, NOW + timedelta(seconds=15))
    first, second = source.fetch(WANTED, NOW), source.fetch(WANTED, NOW)
    seen = first.snapshots[Scope.QUEUE_AGENT]
    for name in ("scope", "at", "ids", "names", "parent_ids", "parent_names", "complete", "problems"):
        assert getattr(seen, name) == getattr(PARTIAL, name)
    for key, column in PARTIAL.columns.items():
        np.testing.assert_array_equal(seen.columns[key].values, column.values)
        np.testing.assert_array_equal(seen.columns[key].presence, column.presence)
        assert seen.columns[key].is_text is column.is_text
    assert first.failures == {Scope.QUEUE: "8x8 answered 503"}
    assert (second.refused, second.retry_after) == (True, 9.0)
    assert second.failures[Scope.QUEUE] == "refused"


def test_a_recording_ends() -> None:
    """After the last poll every scope fails: an old value is not shown as a new one."""
    source = Recorded(POLLS[:1], "incident")
    source.fetch(WANTED, NOW)
    late = source.fetch(WANTED, NOW + timedelta(seconds=15))
    assert late.failures == dict.fromkeys(WANTED, "the incident is over")
    assert not late.snapshots


def test_what_was_not_recorded_was_not_fetched() -> None:
    """A key outside the recording is missing with that reason, and a scope outside it has failed."""
    fetched = Recorded(POLLS).fetch({Scope.QUEUE_AGENT: frozenset({"offered.today"}), Scope.GROUP: frozenset()}, NOW)
    assert fetched.snapshots[Scope.QUEUE_AGENT].reading("offered.today", 2) == (None, Presence.NOT_FETCHED)
    assert fetched.failures == {Scope.GROUP: "the recording has no group"}


GOOD = to_line(POLLS[0]).decode()
NO_POLLS = {
    "not JSON": "queues: 7",
    "no time": '{"snapshots": {}}',
    "another scope": '{"at": "2026-03-02T09:00:00Z", "failures": {"shop": "x"}}',
    "a column that is too short": GOOD.replace('[1.5,null,0.0]', "[1.5,null]"),
    "texts among numbers": GOOD.replace("1.5", '"1.5"'),
    "numbers among texts": GOOD.replace('"OnBreak"', "3"),
}  # fmt: skip


@pytest.mark.parametrize("line", NO_POLLS.values(), ids=NO_POLLS)
def test_what_is_no_recording(tmp_path: Path, line: str) -> None:
    """A line that is no poll is refused with file and line."""
    file = tmp_path / "polls.jsonl"
    file.write_text(GOOD + line)
    with pytest.raises(SourceBroken, match=r"^polls\.jsonl:2: not a recorded poll: "):
        read_recording(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file is one clear line."""
    with pytest.raises(SourceBroken, match=r"none\.jsonl cannot be read: No such file"):
        read_recording(tmp_path / "none.jsonl")
