"""Reduces many samples to the few that a chart can show, without losing a peak, a dip or a gap. PURE.

A week of polls every 15 seconds is 40,000 samples; a chart is about a thousand pixels wide. Of each interval that is
drawn, the first, the lowest, the highest and the last value are kept: a line through these looks the same as a line
through all of them.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from alertbot.charts.series import GAP, Samples

Times = NDArray[np.int64]
"""Milliseconds since 1970, ascending."""
Values = NDArray[np.float64]
"""In column units; NaN where there is none."""


def thinned(times: Times, values: Values, begin: datetime, end: datetime, columns: int) -> Samples:
    """The samples from `begin` to `end`, at most six for each of this many intervals, with gaps as `samples_of` has.

    A sample without a value stands for each gap: polls without a value, or a time without polls.
    """
    first, last = _ms(begin), _ms(end)
    inside = slice(int(np.searchsorted(times, first)), int(np.searchsorted(times, last, side="right")))
    times, values = times[inside], values[inside]
    if not len(times):
        return Samples()
    steps = np.diff(times)
    longest = GAP * float(np.median(steps)) if len(steps) else 0.0
    known = ~np.isnan(values)
    column = (times - first) * columns // max(last - first, 1)
    # A run is drawn as one interval: values of the same column without a gap between them.
    parted = np.ones(len(times), dtype=bool)
    parted[1:] = (np.diff(column) != 0) | (known[1:] != known[:-1]) | (steps > longest)
    starts = np.flatnonzero(parted)
    ends = np.append(starts[1:], len(times)) - 1
    kept: list[tuple[int, float | None]] = []
    for start, stop in zip(starts.tolist(), ends.tolist(), strict=True):
        if start and times[start] - times[start - 1] > longest:
            kept.append((int(times[start] + times[start - 1]) // 2, None))
        if not known[start]:
            if not kept or kept[-1][1] is not None:  # one for each gap is enough
                kept.append((int(times[start]), None))
            continue
        run = values[start : stop + 1]
        places = {start, start + int(run.argmin()), start + int(run.argmax()), stop}
        kept += [(int(times[place]), float(values[place])) for place in sorted(places)]
    return Samples(tuple(datetime.fromtimestamp(at / 1000, UTC) for at, _ in kept), tuple(value for _, value in kept))


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
