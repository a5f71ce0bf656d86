"""The rules of `poll_cycle.rules_text` as plain values, for programs that evaluate them without alertbot."""

from __future__ import annotations

from typing import Any

from alertbot.rules.units import parse_number
from benchmarks.poll_cycle import NUMBERS, SHAPES


def rule_values(count: int) -> list[dict[str, Any]]:
    """For each rule its metric key, which of SHAPES it has, and its thresholds in the units of 8x8 (ms, 0 to 1)."""
    rules = []
    for index in range(count):
        key, (_, *thresholds) = list(NUMBERS.items())[index % len(NUMBERS)]
        low, limit, high = map(_number, thresholds)
        rules.append({"key": key, "shape": index % len(SHAPES), "low": low, "limit": limit, "high": high})
    return rules


def _number(text: str) -> float:
    parsed = parse_number(text)
    assert parsed is not None, text
    return parsed[0]
