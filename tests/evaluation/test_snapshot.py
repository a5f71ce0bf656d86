"""What one poll saw, read row by row and many rows at once."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.rules.catalogue import Scope

PRESENCE = np.array([Presence.PRESENT, Presence.NULL, Presence.PRESENT, Presence.INVALID], dtype=np.uint8)
SEEN = Snapshot(
    Scope.QUEUE,
    datetime(2026, 3, 2, 9, tzinfo=UTC),
    ("1", "2", "3", "4"),
    ("A", "B", "C", "D"),
    {
        "wait.rt": Column(np.array([1.0, np.nan, 3.5, np.nan]), PRESENCE),
        "status.rt": Column(np.array(["OnBreak", "", "Available", ""], dtype=np.object_), PRESENCE),
    },
)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        pytest.param("wait.rt", [3.5, None, 1.0, None], id="numbers"),
        pytest.param("status.rt", ["Available", None, "OnBreak", None], id="text"),
        pytest.param("other.rt", [None, None, None, None], id="no such key"),
    ],
)
def test_readings_of_many_rows(key: str, expected: list[float | str | None]) -> None:
    """The same values as one by one, in the order of the rows that are asked for, as Python's own types."""
    rows = [2, 1, 0, 3]
    found = SEEN.readings(key, np.array(rows, dtype=np.intp))
    assert found == expected == [SEEN.reading(key, row)[0] for row in rows]
    assert {type(value) for value in found} <= {float, str, type(None)}


def test_a_reading_says_why_it_is_missing() -> None:
    """Each kind of missing is told apart."""
    assert [SEEN.reading("wait.rt", row)[1] for row in range(4)] == PRESENCE.tolist()
    assert SEEN.reading("other.rt", 0) == (None, Presence.ABSENT)
