"""The benchmarks run: what is measured is the real poll, so they break with it and not after it."""

from __future__ import annotations

from pathlib import Path

from benchmarks.poll_cycle import KEYS, PHASES, RULES, measure, rules


def test_poll_cycle_measures_every_phase(tmp_path: Path) -> None:
    """A small run has a time for each phase of each poll, over 12 keys and 50 rules that are all read."""
    watched = rules()
    assert (len(watched.rules), len(KEYS)) == (RULES, 12)
    assert frozenset().union(*watched.metrics().values()) == set(KEYS)
    found = measure(entities=300, rounds=2, warm_up=1, folder=tmp_path)
    assert {phase: len(times) for phase, times in found.times.phases.items()} == dict.fromkeys(("json", *PHASES), 2)
    assert found.open > 0
    assert found.ratio > 0
