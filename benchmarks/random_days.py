"""Random days in any number: `tests/proof`, for as many steps as wanted.

`python -m benchmarks.random_days --steps 100000 --seed 1`. A step is a poll, a restart, an edit, a change by a user, a
delivery with faults of Slack, a clock that is set, and so on. Every 50 steps the day ends, and all that was decided
must stand in Slack. The first day that goes wrong is printed as a list of steps, and the exit status is 1. `--shrink`
makes that list as short as possible, which may take minutes.
"""

from __future__ import annotations

import argparse
import sys
import time

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.proof.test_any_day import STEPS_A_DAY, AnyDay


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shrink", action="store_true")
    options = parser.parse_args(arguments)
    chosen = settings(
        max_examples=-(-options.steps // STEPS_A_DAY),
        stateful_step_count=STEPS_A_DAY,
        deadline=None,
        database=None,
        phases=[Phase.generate, *([Phase.shrink] if options.shrink else [])],
        suppress_health_check=list(HealthCheck),
    )
    began, before = time.monotonic(), AnyDay.steps
    try:
        run_state_machine_as_test(seed(options.seed)(AnyDay), settings=chosen)
        wrong = 0
    except AssertionError as error:
        print(error, *getattr(error, "__notes__", ()), sep="\n")
        wrong = 1
    took = time.monotonic() - began
    print(f"seed {options.seed}: {AnyDay.steps - before} steps in {took:.0f} s, {wrong} days went wrong")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
