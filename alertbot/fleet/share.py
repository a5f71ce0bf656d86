"""Which share of the tenants each worker has. PURE"""

from __future__ import annotations

from collections.abc import Mapping

MAX_TENANTS = 2000
"""The maximum number of tenants of one worker, unless `--tenants` says otherwise."""

SHARES_FOR = 3.0
"""For how many seconds a worker without a heartbeat still has a share. Then others have room for its tenants.

It is short because tenants may be waiting for room: those of a worker that died before, and that this one would have
taken. Nothing is taken away from a worker that is only slow: others have more room, and hand the surplus over later.
"""


def with_share(heard_ago: Mapping[str, float]) -> frozenset[str]:
    """The workers that have a share, by the seconds since the last heartbeat of each."""
    return frozenset(name for name, seconds in heard_ago.items() if seconds < SHARES_FOR)


def shares(tenants: int, limits: Mapping[str, int]) -> Mapping[str, int]:
    """How many tenants each worker owns at most, so that all are owned and none has more than another needs to have.

    `limits` has the limit of each live worker. Workers that are not at their limits have the same share: an equal part,
    rounded up, of what the others leave. Shares may add up to more than `tenants`, by less than one for each worker,
    and to fewer where the limits do.
    """
    found: dict[str, int] = {}
    left, workers = tenants, sorted(limits, key=lambda name: (limits[name], name))
    for index, name in enumerate(workers):
        equal = -(-left // (len(workers) - index))
        if limits[name] >= equal:  # so have all that follow
            found |= dict.fromkeys(workers[index:], equal)
            break
        found[name] = limits[name]
        left -= limits[name]
    return found
