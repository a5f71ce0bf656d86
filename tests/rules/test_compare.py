"""Two values compared: the one table behind conditions, checks, sentences and cards."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertbot.rules.compare import MIRRORED, OPERATORS, OPPOSITE, compare, high_is_bad

CASES: dict[str, tuple[str, float | str | None, float | str | None, bool | None]] = {
    "below": ("<", 1.0, 2.0, True),
    "not below itself": ("<", 2.0, 2.0, False),
    "at most itself": ("<=", 2.0, 2.0, True),
    "above": (">", 3.0, 2.0, True),
    "at least itself": (">=", 2.0, 2.0, True),
    "equal": ("==", 2.0, 2, True),
    "other": ("!=", 2.0, 3.0, True),
    "exactly, not as rounded": (">", 60_400.0, 60_000.0, True),
    "text, whatever its case": ("==", "OnBreak", "ONBREAK", True),
    "another text": ("!=", "OnBreak", "Available", True),
    "text has no order": ("<", "a", "b", None),
    "text against a number": ("==", "1", 1.0, None),
    "missing on the left": ("==", None, 1.0, None),
    "missing on the right": (">", 1.0, None, None),
    "missing on both sides": ("==", None, None, None),
    "not a comparison": ("+", 1.0, 1.0, None),
    "no operator": ("", 1.0, 1.0, None),
}


@pytest.mark.parametrize(("op", "left", "right", "expected"), CASES.values(), ids=CASES)
def test_compare(op: str, left: float | str | None, right: float | str | None, expected: bool | None) -> None:
    assert compare(op, left, right) is expected


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(op=st.sampled_from([*OPERATORS]), left=NUMBERS, right=NUMBERS)
def test_mirrored_and_opposite(op: str, left: float, right: float) -> None:
    """`a op b` is its mirror image with the sides swapped, and never its opposite."""
    assert compare(op, left, right) is compare(MIRRORED[op], right, left)  # type: ignore[index]
    assert compare(op, left, right) is not compare(OPPOSITE[op], left, right)  # type: ignore[index]


def test_what_is_worse() -> None:
    assert [op for op in OPERATORS if not high_is_bad(op)] == ["<", "<="]
    assert compare(">", math.inf, 1.0) is True
