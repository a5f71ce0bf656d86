"""The floor of a poll: the least that any such bot must do, as a small program of its own, for `whole_poll`.

It fetches the same pages over HTTP on loopback, decodes them into one numpy column a metric key, evaluates the same
rules over all entities at once (holds, hysteresis, guards, globs, windows), compares with the last poll, and writes
what changed in one SQLite transaction with synchronous=FULL: the alerts that began, rose or ended, the value of the
alerts whose value changed, and the cells of the recording that changed, as one blob. That is all: no reasons, no
notices, cards, mutes, feed health, logs or checks of what arrives, and one tenant with one scope. So it is no goal in
itself, but a cost that no rewrite of the bot can avoid.

`whole_poll` runs this file as a script and talks to it in lines of JSON, as with turns.py. It imports nothing of
alertbot. A pair is one rule and one entity; arrays of pairs have one row a rule and one column an entity.
"""

from __future__ import annotations

import gc
import http.client
import json
import sqlite3
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
import numpy as np
import numpy.typing as npt

HOLD = 2  # polls of 15 s that make up `for: 30s`
KEEP = 4  # and `keep_firing_for: 1m`
WINDOW = 40  # and a window of ten minutes
WARNING, CRITICAL = 1, 2
_GUARD = "accepted.int-30m"
_STATUS = "status.rt"

Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]


class Fetch:
    """Pages over one HTTP connection, decoded into columns: names, a matrix of numbers (NaN: null), and a text."""

    def __init__(self, url: str, keys: Sequence[str]) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc)
        self._numbers = [(number, key) for number, key in enumerate(keys) if key != _STATUS]
        self._keys = list(keys)
        metric = msgspec.defstruct("Metric", [("key", Literal[tuple(keys)]), ("value", Any)], gc=False)
        entity = msgspec.defstruct(
            "Entity",
            [("id", str), ("name", str), ("metrics", list[metric])],  # type: ignore[valid-type]
            gc=False,
        )
        self._decoder = msgspec.json.Decoder(list[entity])  # type: ignore[valid-type]

    def poll(self) -> tuple[list[str], list[str], Numbers, list[str]]:
        """Ids, names, one row of numbers a key, and the status of each entity."""
        ids: list[str] = []
        names: list[str] = []
        texts: list[str] = []
        parts: list[Numbers] = []
        page, pages = 0, 1
        while page < pages:
            self._connection.request("GET", f"/agents?page={page}")
            response = self._connection.getresponse()
            pages = int(response.headers["X-Total-Pages"])
            entities: list[Any] = self._decoder.decode(response.read())
            ids += [entity.id for entity in entities]
            names += [entity.name for entity in entities]
            cells = [metric for entity in entities for metric in entity.metrics]
            width = len(self._keys)
            if [metric.key for metric in cells] != self._keys * len(entities):
                raise SystemExit("the metrics of a page are not in the order of the keys")
            values = [metric.value for metric in cells]
            numbers = [np.array(values[number::width], dtype=np.float64) for number, _ in self._numbers]
            parts.append(np.stack(numbers))
            texts += values[self._keys.index(_STATUS) :: width]
            page += 1
        return ids, names, np.concatenate(parts, axis=1), texts


class Rules:
    """The rules of `poll_cycle.rules_text`, one array operation for all rules of the same shape."""

    def __init__(self, rules: Sequence[dict[str, Any]], keys: Sequence[str]) -> None:
        numbers = [key for key in keys if key != _STATUS]
        self.count = len(rules)
        self._guard = numbers.index(_GUARD)
        self._shapes: list[tuple[npt.NDArray[np.intp], list[int], Numbers, Numbers, Numbers]] = []
        self.key = np.array([numbers.index(rule["key"]) for rule in rules])
        for shape in range(6):
            rows = [row for row, rule in enumerate(rules) if rule["shape"] == shape]
            low, limit, high = (np.array([[rules[row][name]] for row in rows]) for name in ("low", "limit", "high"))
            self._shapes.append((self.key[rows], rows, low, limit, high))
        hold = np.zeros(self.count, dtype=np.int32)
        hold[self._shapes[0][1]] = HOLD
        keep = np.zeros(self.count, dtype=np.int32)
        keep[self._shapes[2][1]] = KEEP
        self.hold, self.keep = hold[:, None], keep[:, None]
        self._names: list[str] = []
        self._covered: Flags = np.zeros(0, dtype=bool)
        self._window: Numbers = np.zeros((0, 0, 0))

    def evaluate(self, poll: int, names: list[str], values: Numbers, texts: list[str]) -> tuple[Flags, Flags, Flags]:
        """For every pair: whether the condition holds, whether the alert may clear, and whether it is critical.

        A pair of which neither of the first two is true keeps its state: that is what unknown means.
        """
        if names != self._names:
            self._names = names
            folded = [name.casefold() for name in names]
            self._covered = np.array([("a" in name or "eu" in name) and "test" not in name for name in folded])
        status = np.array(texts)
        shape = (self.count, len(names))
        true, clear, critical = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)

        keys, rows, low, limit, high = self._shapes[0]
        value = values[keys]
        true[rows], clear[rows], critical[rows] = value > limit, value <= limit, value > high

        keys, rows, low, limit, high = self._shapes[1]
        value, guard = values[keys], values[self._guard] >= 2
        true[rows] = (value >= limit) & guard
        clear[rows] = ~(value >= limit) & guard  # no_data: clear

        keys, rows, low, limit, high = self._shapes[2]
        value = values[keys]
        true[rows], clear[rows] = (value > limit) & (status != "LoggedOut"), value < low

        keys, rows, low, limit, high = self._shapes[3]
        value = values[keys]
        true[rows] = ((value > limit) | (value > high)) & self._covered
        clear[rows] = (value <= limit) & (value <= high)

        keys, rows, low, limit, high = self._shapes[4]
        value, away = values[keys], (status == "OnBreak") | (status == "WorkingOffline")
        true[rows], clear[rows] = (value > limit) & away, (value <= limit) | ~away

        keys, rows, low, limit, high = self._shapes[5]
        true[rows], clear[rows] = self._average(poll, values)[keys] > limit, values[keys] < low
        return true, clear & ~true, critical

    def _average(self, poll: int, values: Numbers) -> Numbers:
        """The mean of each value over the window; NaN while fewer than half of its polls were seen."""
        if self._window.shape[1:] != values.shape:
            self._window = np.full((WINDOW, *values.shape), np.nan)
            self._sum, self._present = np.zeros(values.shape), np.zeros(values.shape)
        known, oldest = ~np.isnan(values), self._window[poll % WINDOW]
        left = ~np.isnan(oldest)
        self._sum += np.where(known, values, 0) - np.where(left, oldest, 0)
        self._present += known
        self._present -= left
        self._window[poll % WINDOW] = values
        if poll + 1 < WINDOW / 2:
            return np.full(values.shape, np.nan)
        mean: Numbers = self._sum / np.where(self._present, self._present, np.nan)
        return mean


SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE alerts (
    rule INTEGER, entity TEXT, level INTEGER, since INTEGER, value REAL, ended INTEGER,
    PRIMARY KEY (rule, entity, since)
) WITHOUT ROWID;
CREATE TABLE polls (poll INTEGER PRIMARY KEY, cells BLOB);
"""


class Floor:
    """The state of all pairs, and the database in which what changed is written."""

    def __init__(self, folder: Path, url: str, keys: Sequence[str], rules: Sequence[dict[str, Any]]) -> None:
        self._fetch, self._rules = Fetch(url, keys), Rules(rules, keys)
        self._database = sqlite3.connect(folder / "floor.db", isolation_level=None)
        self._database.executescript(SCHEMA)
        self._poll = -1
        self._values: Numbers = np.zeros((0, 0))
        self._texts: list[str] = []
        self._level = self._since = self._clearing = np.zeros((0, 0), dtype=np.int32)

    @property
    def open(self) -> int:
        """Pairs that fire or recover."""
        return int(np.count_nonzero(self._level))

    def turn(self) -> int:
        """One poll; returns how many alerts began, changed their level, or ended."""
        ids, names, values, texts = self._fetch.poll()
        self._poll += 1
        now = self._poll
        true, clear, critical = self._rules.evaluate(now, names, values, texts)
        if self._level.shape != true.shape:
            self._level = np.zeros(true.shape, dtype=np.int32)
            self._since, self._clearing = np.full(true.shape, -1, dtype=np.int32), np.full(true.shape, -1, np.int32)
            self._values, self._texts = np.full(values.shape, np.nan), [""] * len(texts)
        before = self._level.copy()
        firing = before > 0

        # Pending, and firing at the end of the hold; then recovering, and ended at the end of `keep_firing_for`.
        self._since[~firing & ~true] = -1
        begins = true & (self._since < 0)
        self._since[begins] = now
        fires = true & ~firing & (now - self._since >= self._rules.hold)
        self._level[fires] = WARNING
        self._level[critical] = CRITICAL
        self._level[firing & true & ~critical] = WARNING
        self._clearing[~clear | ~firing] = -1
        recovers = clear & firing & (self._clearing < 0)
        self._clearing[recovers] = now
        ends = firing & clear & (now - self._clearing >= self._rules.keep)
        self._level[ends] = 0
        self._since[ends] = -1

        changed = np.argwhere(self._level != before)
        same = (values == self._values) | (np.isnan(values) & np.isnan(self._values))
        moved = np.argwhere((self._level > 0) & (self._level == before) & ~same[self._rules.key])
        self._write(ids, values, texts, changed, moved, before, np.flatnonzero(~same))
        self._values, self._texts = values, texts
        return len(changed)

    def _write(
        self,
        ids: list[str],
        values: Numbers,
        texts: list[str],
        changed: npt.NDArray[np.intp],
        moved: npt.NDArray[np.intp],
        before: npt.NDArray[np.int32],
        cells: npt.NDArray[np.intp],
    ) -> None:
        now, execute, executemany = self._poll, self._database.execute, self._database.executemany
        keys = self._rules.key
        begun, level, ended = [], [], []
        for rule, entity in changed.tolist():
            value = values[keys[rule], entity]
            if not before[rule, entity]:
                begun.append((rule, ids[entity], int(self._level[rule, entity]), now, value))
            elif self._level[rule, entity]:
                level.append((int(self._level[rule, entity]), value, rule, ids[entity]))
            else:
                ended.append((now, rule, ids[entity]))
        worst = values[keys[moved[:, 0]], moved[:, 1]].tolist()
        newer = [(value, rule, ids[entity]) for value, (rule, entity) in zip(worst, moved.tolist(), strict=True)]
        text = {row: text for row, (text, old) in enumerate(zip(texts, self._texts, strict=True)) if text != old}
        blob = cells.astype(np.uint32).tobytes() + values.ravel()[cells].tobytes() + json.dumps(text).encode()
        of_pair = "WHERE rule = ? AND entity = ? AND ended IS NULL"
        execute("BEGIN IMMEDIATE")
        executemany("INSERT INTO alerts (rule, entity, level, since, value) VALUES (?, ?, ?, ?, ?)", begun)
        executemany(f"UPDATE alerts SET level = ?, value = ? {of_pair}", level)
        executemany(f"UPDATE alerts SET ended = ? {of_pair}", ended)
        executemany(f"UPDATE alerts SET value = ? {of_pair}", newer)
        execute("INSERT INTO polls VALUES (?, ?)", (now, zlib.compress(blob, 1)))
        execute("COMMIT")


def main() -> None:
    """Take commands from stdin, one JSON object a line, until it ends; answer each with one line."""
    begin = json.loads(sys.stdin.readline())
    floor = Floor(Path(begin["folder"]), begin["url"], begin["keys"], begin["rules"])
    gc.collect()
    gc.disable()  # nothing here makes cycles
    print("{}", flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        answer: dict[str, Any] = {"open": floor.open}
        if command["do"] == "turn":
            cpu, began = time.process_time(), time.perf_counter()
            moved = floor.turn()
            wall_ms, cpu_ms = 1000 * (time.perf_counter() - began), 1000 * (time.process_time() - cpu)
            answer = {"wall_ms": wall_ms, "cpu_ms": cpu_ms, "transitions": moved}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
