"""What the functions over a window make of its samples, for every entity at once.

Samples are a matrix: a line a poll, the oldest first, a number a row; NaN where it is missing. Text comes as numbers
that are alike where the words are. The functions themselves are declared in `rules/functions.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from alertbot.evaluation.past import Past
from alertbot.evaluation.snapshot import Snapshot
from alertbot.rules.functions import FUNCTIONS, Reads
from alertbot.rules.tree import Window

_Matrix = NDArray[np.float64]
_Bools = NDArray[np.bool_]
_Row = NDArray[np.float64]


def look_back(window: Window, past: Past, snapshot: Snapshot) -> tuple[NDArray[np.float64], _Bools]:
    """The value of a window for each row of the snapshot, and where it is known. Words are numbers of `past.word`."""
    samples = past.matrix(window, snapshot)
    polls, rows = samples.shape
    then = FUNCTIONS[window.function].reads is Reads.THEN
    needed = 1.0 if then else max(1.0, past.belong(window) / 2)
    if polls < needed:
        return np.full(rows, np.nan), np.zeros(rows, dtype=np.bool_)
    missing = np.isnan(samples)
    if not missing.any():  # as it mostly is, and all of what follows is quicker
        values = _WHOLE[window.function](samples)
        return values, np.isfinite(values)
    known = ~missing
    values = _PARTS[window.function](samples, known)
    return values, (known.sum(axis=0) >= needed) & np.isfinite(values)


def _avg(samples: _Matrix, known: _Bools) -> _Row:
    return np.asarray(_sum(samples, known) / np.maximum(known.sum(axis=0), 1))


def _sum(samples: _Matrix, known: _Bools) -> _Row:
    return np.asarray(np.where(known, samples, 0.0).sum(axis=0))


def _delta(samples: _Matrix, known: _Bools) -> _Row:
    return np.asarray(_last(samples, known) - samples[known.argmax(axis=0), np.arange(samples.shape[1])])


def _last(samples: _Matrix, known: _Bools) -> _Row:
    return np.asarray(samples[len(samples) - 1 - known[::-1].argmax(axis=0), np.arange(samples.shape[1])])


def _changes(samples: _Matrix, known: _Bools) -> _Row:
    # Neighbours are those that were seen: what is missing takes the value before it.
    lines = np.arange(len(samples))[:, np.newaxis]
    latest = np.maximum.accumulate(np.where(known, lines, 0), axis=0)
    filled = np.take_along_axis(samples, latest, axis=0)
    before, after = filled[:-1], filled[1:]
    return np.asarray(((before != after) & ~np.isnan(before)).sum(axis=0), dtype=np.float64)


# Where some samples are missing, and the same where none is.
_PARTS: Mapping[str, Callable[[_Matrix, _Bools], _Row]] = {
    "avg": _avg,
    "min": lambda samples, known: np.asarray(np.where(known, samples, np.inf).min(axis=0)),
    "max": lambda samples, known: np.asarray(np.where(known, samples, -np.inf).max(axis=0)),
    "sum": _sum,
    "delta": _delta,
    "changes": _changes,
    "ago": _last,
}
_WHOLE: Mapping[str, Callable[[_Matrix], _Row]] = {
    "avg": lambda samples: np.asarray(samples.sum(axis=0) / len(samples)),
    "min": lambda samples: np.asarray(samples.min(axis=0)),
    "max": lambda samples: np.asarray(samples.max(axis=0)),
    "sum": lambda samples: np.asarray(samples.sum(axis=0)),
    "delta": lambda samples: np.asarray(samples[-1] - samples[0]),
    "changes": lambda samples: np.asarray((samples[:-1] != samples[1:]).sum(axis=0), dtype=np.float64),
    "ago": lambda samples: np.asarray(samples[-1]),
}
