"""What benchmarks.fleet counts: takeovers after events, alerts against recorded polls, lateness. PURE

Times are seconds since 1970.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median, quantiles

LIMIT_MS = 60_000
"""The limit of the rule: a queue is over it or not."""


@dataclass(frozen=True)
class Rise:
    """A time in which a queue is over the limit of the rule."""

    tenant: str
    queue: str
    began: float
    ended: float


@dataclass(frozen=True)
class Event:
    """Something that happened to the worker `who`, or to the server ("").

    `tenants` are those that it may have delayed: of a worker, those that it owned and those whose jobs it had taken; of
    the server, all. Polls may fail from `began`; the time to the next one counts from `at`. The two differ for the
    server alone: `began` is when it was stopped, `at` when it accepted a connection again.
    """

    kind: str
    began: float
    at: float
    who: str
    tenants: frozenset[str]


@dataclass(frozen=True)
class Again:
    """How long after an event the last of its tenants was polled again, and which one that was."""

    event: Event
    tenant: str
    seconds: float


def polled_again(events: Sequence[Event], polls: Mapping[str, Sequence[float]], until: float) -> list[Again]:
    """For each event, how long it took until all its tenants were polled again.

    A tenant that another event hits before it is polled counts for that other event. SIGCONT takes no tenant
    from a worker, so it does not restart the time after SIGSTOP. A tenant that is not polled again by `until`, the end
    of the run, counts as polled then.
    """
    found = []
    for event in events:
        worst: Again | None = None
        for tenant in event.tenants:
            times = polls.get(tenant, ())
            index = bisect_right(times, event.at)
            again = times[index] if index < len(times) else until
            if any(
                event.at < other.began < again and tenant in other.tenants and other.kind != "SIGCONT"
                for other in events
                if other is not event
            ):
                continue
            if worst is None or again - event.at > worst.seconds:
                worst = Again(event, tenant, again - event.at)
        if worst is not None:
            found.append(worst)
    return found


def longest_gap(polls: Mapping[str, Sequence[float]]) -> float:
    """The longest time between two polls of a tenant."""
    return max((later - earlier for each in polls.values() for earlier, later in pairwise(each)), default=0.0)


@dataclass(frozen=True)
class Seen:
    """What recorded polls saw of one queue: when each began, and the value of the rule; in the order of time."""

    polls: Sequence[tuple[float, float]]

    def spans(self) -> list[tuple[float, float]]:
        """When an alert has to begin and to end: the poll that is first over the limit, and the first that is not.

        The end of a span that lasts beyond the last poll is infinite.
        """
        found: list[tuple[float, float]] = []
        began: float | None = None
        for at, value in self.polls:
            if began is None and value > LIMIT_MS:
                began = at
            elif began is not None and value <= LIMIT_MS:
                found.append((began, at))
                began = None
        return found if began is None else [*found, (began, float("inf"))]

    def of(self, rise: Rise) -> list[float]:
        """The polls that were over the limit during a rise. The time of a turn is before that of its request."""
        return [at for at, value in self.polls if value > LIMIT_MS and rise.began - _BEFORE_S < at <= rise.ended]


_BEFORE_S = 10.0
"""A request arrives at most this long after its turn began."""


def wrong_alerts(seen: Seen, alerts: Sequence[tuple[float, float]]) -> list[str]:
    """What is wrong with the alerts of one queue: each must begin and end with polls that saw that, and no other."""
    wanted, there = seen.spans(), sorted(alerts)
    found = []
    for began, ended in wanted:
        same = [each for each in there if each[0] == began]
        if len(same) != 1:
            found.append(f"{len(same)} alerts of the poll at {began:.1f}, which was over the limit")
        elif same[0][1] != ended:
            found.append(f"the alert of {began:.1f} ended at {same[0][1]:.1f}, but by the polls at {ended:.1f}")
    begins = {began for began, _ in wanted}
    found += [f"an alert at {began:.1f}, when no poll went over the limit" for began, _ in there if began not in begins]
    return found


@dataclass(frozen=True)
class Rises:
    """What became of rises: `one` alert each, `unseen` by any poll, `joined` to the rise before, or `wrong`.

    Joined: no poll saw the queue below the limit between them, so both are one alert.
    """

    one: int
    joined: int
    unseen: Sequence[Rise]
    wrong: Sequence[tuple[Rise, str]]


def count_rises(
    rises: Sequence[Rise],
    seen: Mapping[tuple[str, str], Seen],
    alerts: Mapping[tuple[str, str], Sequence[tuple[float, float]]],
) -> Rises:
    """What became of each rise. `seen` and `alerts` are by tenant and queue; an alert has its begin and its end."""
    one, joined, unseen, wrong = 0, 0, [], []
    for rise in rises:
        key = (rise.tenant, rise.queue)
        over = seen[key].of(rise) if key in seen else []
        if not over:
            unseen.append(rise)
            continue
        of_it = [each for each in alerts.get(key, ()) if over[0] <= each[0] <= over[-1]]
        open_before = [each for each in alerts.get(key, ()) if each[0] < over[0] < each[1]]
        if len(of_it) == 1 and not open_before:
            one += 1
        elif not of_it and len(open_before) == 1:
            joined += 1
        else:
            wrong.append((rise, f"{len(of_it)} alerts began in it, {len(open_before)} were open before"))
    return Rises(one, joined, unseen, wrong)


def lateness(begun: Mapping[str, Sequence[float]], every: float, since: float, until: float) -> list[float]:
    """By how many seconds each poll from `since` to before `until` began late.

    Polls on time are a whole number of intervals apart. None begins before its time, so the earliest phase of a
    tenant's polls is the scheduled one.
    """
    found = []
    for times in begun.values():
        if not times:
            continue
        phases = [(at - times[0] + every / 2) % every for at in times]
        earliest = min(phases)
        first, last = bisect_left(times, since), bisect_left(times, until)
        found += [phase - earliest for phase in phases[first:last]]
    return found


def spread(values: Sequence[float], unit: str, digits: int = 1) -> str:
    """Median, 99 % and maximum."""
    if not values:
        return "none"
    ninety_nine = quantiles(values, n=100)[98] if len(values) > 1 else values[0]
    parts = (("median", median(values)), ("99 %", min(ninety_nine, max(values))), ("maximum", max(values)))
    return ", ".join(f"{name} {value:.{digits}f} {unit}" for name, value in parts)
