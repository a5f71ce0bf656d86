"""The functions over a window, for every entity at once.

Samples are a matrix: one line per poll, oldest first, one column per row of the snapshot; NaN where missing. Text is
encoded as numbers that are equal where the words are. The functions are declared in `rules/functions.py`.
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
    """The value of a window for each row of the snapshot, and where it is known. Text is encoded as in `past.word`."""
    samples = past.matrix(window, snapshot)
    polls, rows = samples.shape
    then = FUNCTIONS[window.function].reads is Reads.THEN
    needed = 1.0 if then else max(1.0, past.expected(window) / 2)
    if polls < needed:
        return np.full(rows, np.nan), np.zeros(rows, dtype=np.bool_)
    missing = np.isnan(samples)
    if not missing.any():  # the usual case, and much faster
        values = _COMPLETE[window.function](samples)
        return values, np.isfinite(values)
    known = ~missing
    values = _WITH_GAPS[window.function](samples, known)
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
    # Missing samples take the value before them, so that known neighbours are compared.
    lines = np.arange(len(samples))[:, np.newaxis]
    latest = np.maximum.accumulate(np.where(known, lines, 0), axis=0)
    filled = np.take_along_axis(samples, latest, axis=0)
    before, after = filled[:-1], filled[1:]
    return np.asarray(((before != after) & ~np.isnan(before)).sum(axis=0), dtype=np.float64)


# With some samples missing, and the same with none missing.
_WITH_GAPS: Mapping[str, Callable[[_Matrix, _Bools], _Row]] = {
    "avg": _avg,
    "min": lambda samples, known: np.asarray(np.where(known, samples, np.inf).min(axis=0)),
    "max": lambda samples, known: np.asarray(np.where(known, samples, -np.inf).max(axis=0)),
    "sum": _sum,
    "delta": _delta,
    "changes": _changes,
    "ago": _last,
}
_COMPLETE: Mapping[str, Callable[[_Matrix], _Row]] = {
    "avg": lambda samples: np.asarray(samples.sum(axis=0) / len(samples)),
    "min": lambda samples: np.asarray(samples.min(axis=0)),
    "max": lambda samples: np.asarray(samples.max(axis=0)),
    "sum": lambda samples: np.asarray(samples.sum(axis=0)),
    "delta": lambda samples: np.asarray(samples[-1] - samples[0]),
    "changes": lambda samples: np.asarray((samples[:-1] != samples[1:]).sum(axis=0), dtype=np.float64),
    "ago": lambda samples: np.asarray(samples[-1]),
}
