"""What the functions over a window make of its samples, for every entity at once.

Samples are a matrix: a line a poll, the oldest first, a number a row; NaN where it is missing. Text comes as numbers
that are alike where the words are. The functions themselves are declared in `rules/functions.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from alertbot.alerts.past import Past
from alertbot.alerts.snapshot import Snapshot
from alertbot.rules.functions import FUNCTIONS, Reads
from alertbot.rules.tree import Window

_Matrix = NDArray[np.float64]
_Bools = NDArray[np.bool_]


def look_back(window: Window, past: Past, snapshot: Snapshot) -> tuple[NDArray[np.float64], _Bools]:
    """The value of a window for each row of the snapshot, and where it is known. Words are numbers of `past.word`."""
    samples = past.matrix(window, snapshot)
    known: _Bools = ~np.isnan(samples)
    seen = known.sum(axis=0)
    if FUNCTIONS[window.function].reads is Reads.THEN:
        enough: _Bools = seen > 0
    else:
        enough = (seen > 0) & (seen * 2 >= past.belong(window))
    if not enough.any():
        return np.full(len(snapshot), np.nan), enough
    values = BODIES[window.function](samples, known, seen)
    return values, enough & np.isfinite(values)


def _avg(samples: _Matrix, known: _Bools, seen: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(_sum(samples, known, seen) / np.maximum(seen, 1))


def _sum(samples: _Matrix, known: _Bools, seen: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(np.where(known, samples, 0.0).sum(axis=0))


def _min(samples: _Matrix, known: _Bools, seen: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(np.where(known, samples, np.inf).min(axis=0))


def _max(samples: _Matrix, known: _Bools, seen: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(np.where(known, samples, -np.inf).max(axis=0))


def _delta(samples: _Matrix, known: _Bools, seen: NDArray[np.int64]) -> NDArray[np.float64]:
    columns = np.arange(samples.shape[1])
    return np.asarray(_last(samples, known, seen) - samples[known.argmax(axis=0), columns])


def _last(samples: _Matrix, known: _Bools, seen: NDArray[np.int64]) -> NDArray[np.float64]:
    columns = np.arange(samples.shape[1])
    return np.asarray(samples[len(samples) - 1 - known[::-1].argmax(axis=0), columns])


def _changes(samples: _Matrix, known: _Bools, seen: NDArray[np.int64]) -> NDArray[np.float64]:
    if not known.all():  # neighbours are those that were seen: what is missing takes the value before it
        lines = np.arange(len(samples))[:, np.newaxis]
        latest = np.maximum.accumulate(np.where(known, lines, 0), axis=0)
        samples = np.take_along_axis(samples, latest, axis=0)
    before, after = samples[:-1], samples[1:]
    return np.asarray(((before != after) & ~np.isnan(before)).sum(axis=0), dtype=np.float64)


BODIES: Mapping[str, Callable[[_Matrix, _Bools, NDArray[np.int64]], NDArray[np.float64]]] = {
    "avg": _avg,
    "min": _min,
    "max": _max,
    "sum": _sum,
    "delta": _delta,
    "changes": _changes,
    "ago": _last,
}
