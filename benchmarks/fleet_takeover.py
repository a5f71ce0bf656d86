"""How fast the tenants of a worker are taken over, for benchmarks.fleet, by the signal that ended or paused it."""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.fleet_kills import AGAIN_WITHIN_S, WORKERS
from benchmarks.fleet_site import Polls, Site, site, wait_until

OWNED_WITHIN_S = 5.0
"""Another worker owns the tenants of one that got SIGTERM."""
_GIVE_UP_S = 60.0
_REPLACED_AFTER_S = {"SIGKILL": 3.0, "SIGTERM": 1.5, "SIGSTOP": 3.0}


@dataclass
class Takeover:
    """Seconds from a signal until another worker owned the last tenant of that worker, and until the last was polled.

    By signal, one number for each time. The interval of `every` seconds between two polls is part of the latter.
    """

    tenants: int
    every: float
    owned_s: dict[str, list[float]]
    polled_s: dict[str, list[float]]
    details: list[str] = field(default_factory=list)  # of those that took too long

    @property
    def good(self) -> bool:
        """Whether all took no longer than promised."""
        slow = [each for each in self.owned_s["SIGTERM"] if each > OWNED_WITHIN_S]
        return not slow and all(each <= AGAIN_WITHIN_S for kind in self.polled_s.values() for each in kind)

    def lines(self) -> list[str]:
        """What is printed."""
        found = [
            f"{self.tenants} tenants, polled every {self.every:g} s; promised: owned within {OWNED_WITHIN_S:g} s after "
            f"SIGTERM, polled within {AGAIN_WITHIN_S:g} s after all",
            "signal | times | owned again: median s | worst s | polled again: median s | worst s",
        ]
        for kind, owned in self.owned_s.items():
            polled = self.polled_s[kind]
            if owned:
                found.append(
                    f"{kind} | {len(owned)} | {median(owned):.1f} | {max(owned):.1f} | {median(polled):.1f} | "
                    f"{max(polled):.1f}"
                )
        return [*found, *self.details]


def takeover(times: int, tenants: int, folder: Path, workers: int = WORKERS) -> Takeover:
    """Each signal `times` times, to a worker that has its share; the others are healthy.

    A worker that replaces it is started a few seconds later, as a supervisor would, so that all have their shares again
    soon after.
    """
    kinds = ("SIGKILL", "SIGTERM", "SIGSTOP")
    with site(folder, tenants=tenants) as made:
        found = Takeover(tenants, made.every, {kind: [] for kind in kinds}, {kind: [] for kind in kinds})
        polls = Polls(made)
        try:
            for _ in range(workers):
                made.start()
            wait_until(lambda: polls.all_after(0.0, made.tenants), 120)  # a first poll ever has no pace to keep
            for number in range(times * len(kinds)):
                if wait_until(lambda: _shared(made, workers), 120) is None:
                    found.details.append(f"tenants are not shared equally after 120 s: {dict(made.shares())}")
                kind = kinds[number % len(kinds)]
                _signal(made, polls, kind, found)
                print(f"{kind}: {found.owned_s[kind][-1]:.1f} s, {found.polled_s[kind][-1]:.1f} s", file=sys.stderr)
        finally:
            polls.stop()
    return found


def _signal(made: Site, polls: Polls, kind: str, found: Takeover) -> None:
    """One signal to the oldest worker."""
    name = next(iter(made.running))
    owned, worker, at = made.owned_by(name), made.running[name], time.time()
    worker.send_signal(getattr(signal, kind))
    wait_until(lambda: time.time() - at > _REPLACED_AFTER_S[kind], _GIVE_UP_S)
    made.start()
    wait_until(lambda: polls.all_after(at, owned), _GIVE_UP_S)
    taken = {tenant: (polls.owned_after(tenant, at, name) or at + _GIVE_UP_S) - at for tenant in owned}
    again = {tenant: (polls.first_after(tenant, at) or at + _GIVE_UP_S) - at for tenant in owned}
    found.owned_s[kind].append(round(max(taken.values()), 2))
    found.polled_s[kind].append(round(max(again.values()), 2))
    slow = max(again, key=lambda tenant: again[tenant])
    if again[slow] > AGAIN_WITHIN_S or (kind == "SIGTERM" and max(taken.values()) > OWNED_WITHIN_S):
        found.details += [
            "",
            f"{slow}: owned {taken[slow]:.1f} s and polled {again[slow]:.1f} s after {kind} of {name}, from +10 s:",
            *(f"  {each}" for each in polls.near(slow, at - 10, at + again[slow] + 1)),
            *(f"  {each}" for each in made.said(at - 10, at + again[slow] + 1, frozenset([slow]))[-60:]),
        ]
    made.running.pop(name)
    if kind != "SIGTERM":
        worker.kill()
    worker.wait(30)


def _shared(made: Site, workers: int) -> bool:
    """Whether all workers have their shares, and all tenants are owned."""
    shares = made.shares()
    most = -(-len(made.tenants) // workers) + 1
    return len(shares) == workers and sum(shares.values()) == len(made.tenants) and max(shares.values()) <= most
