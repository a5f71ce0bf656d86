"""One process that takes the turns of one tenant as the service does, and measures each of them.

`whole_poll` runs this file as a script with PYTHONPATH set to the checkout that is measured, and talks to it in lines
of JSON. So it imports nothing of the benchmarks, and of alertbot only what `build_app` names.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing, redirect_stderr, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

TENANT = "acme"
POLL_EVERY = timedelta(seconds=15)
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PHASES = ("fetch", "read", "evaluate", "advance", "decide", "record", "rest")
# Functions that `alertbot.poll` calls by name, and methods of the store. One that a checkout does not have is not
# measured on its own: its time is in "rest".
_FUNCTIONS = {"evaluate_all": "evaluate", "advance": "advance", "advance_moved": "advance", "decide": "decide"}
_METHODS = {"alerts": "read", "cards": "read", "feed": "read", "record": "record"}


def build_app(values: Mapping[str, Any], clock: Callable[[], datetime]) -> tuple[Any, Callable[[], Any]]:
    """The app of the checkout on PYTHONPATH, and a function that takes a turn of its tenant.

    This is the only place that knows the layout of a checkout: where App and Settings are (elsewhere in checkouts
    up to 5a9e394), and what takes a turn (the poller, in older checkouts the app).
    """
    try:
        service = importlib.import_module("alertbot.service.app")
        config = importlib.import_module("alertbot.config.settings")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("alertbot"):
            raise
        service = importlib.import_module("alertbot.app")
        config = importlib.import_module("alertbot.config")
    settings = config.Settings.model_validate(values)
    importlib.import_module("alertbot.logs").configure(settings.secrets())
    # Delivery is never started, so the notifier is never called.
    app = service.build(settings, notifier=object(), clock=clock)
    with suppress(ModuleNotFoundError):  # as `run` does, if this checkout does
        importlib.import_module("alertbot.service.heap").settle()
    poller = getattr(app, "poller", app)
    return app, lambda: poller.tick(app.tenants[0])


class Log(io.TextIOWrapper):
    """A log file that counts its bytes: they are written by the same system calls as those of the database."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.open("ab", buffering=0), encoding="utf-8", write_through=True)
        self.written = 0

    def write(self, text: str) -> int:
        self.written += len(text.encode())
        return super().write(text)


class Profiler:
    """Samples where the main thread is, twice a millisecond, weighted by the CPU time since the sample before.

    What a library or a built-in does counts for the function of alertbot that called it. Unlike cProfile it costs
    nothing per call, so that functions that are called often do not look worse than they are.
    """

    _EVERY_S = 0.0005

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str], float] = {}
        self._turns = 0
        self._last = 0.0

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, self._sample)
        signal.siginterrupt(signal.SIGALRM, False)
        self._turns += 1
        self._last = time.thread_time()
        signal.setitimer(signal.ITIMER_REAL, self._EVERY_S, self._EVERY_S)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        now = time.thread_time()
        while frame is not None and "/alertbot/" not in frame.f_code.co_filename:
            frame = frame.f_back
        key = ("benchmarks/turns.py", "The benchmark itself")
        if frame is not None:
            code = frame.f_code
            place = code.co_filename.rpartition("/alertbot/")[2]
            said = code.co_consts[0] if code.co_consts else None  # the docstring, if there is one
            words = said if isinstance(said, str) and " " in said else frame.f_globals.get("__doc__") or ""
            key = f"{place}:{code.co_qualname}", words.strip().split("\n")[0]
        self._seconds[key] = self._seconds.get(key, 0.0) + now - self._last
        self._last = now

    def top(self, count: int) -> list[dict[str, Any]]:
        """The functions with the most CPU time: its share, milliseconds a turn, and what the function does."""
        whole = sum(self._seconds.values())
        most = sorted(self._seconds.items(), key=lambda item: -item[1])[:count]
        return [
            {
                "function": function,
                "what": what,
                "share": round(seconds / whole, 4),
                "ms": round(1000 * seconds / self._turns, 3),
            }
            for (function, what), seconds in most
        ]


class Turns:
    """The app on a database of its own, with a clock that moves 15 s a turn."""

    def __init__(self, folder: Path, rules: Path, url: str, log: Log, server: str = "") -> None:
        """`server`: the address of a PostgreSQL database that takes the place of a file in `folder`."""
        self._log = log
        self._round_trips = _RoundTrips() if server else None
        self._database = folder / "alertbot.db"
        self._now = START
        self._phases: dict[str, float] = {}
        self._profiler = Profiler()
        settings = {
            "tenants": [
                {
                    "name": TENANT,
                    "base_url": url,
                    "token_url": f"{url}/token",
                    "api_key": "benchmark-key",
                    "api_secret": "benchmark-secret",
                    "percent_scale": "ratio",
                    "max_requests_per_minute": 6000,  # polls come without a pause
                }
            ],
            "slack": {"default_channel": "#cc-alerts"},
            "rules": str(rules),
            "storage": server or str(self._database),
            "frozen_after": "10h",  # where nothing moves, that is no fault of the feed
            "folder": folder,
        }
        self._app, self._tick = build_app(settings, lambda: self._now)
        poll = importlib.import_module("alertbot.poll")
        for name, phase in _FUNCTIONS.items():
            self._time(poll, name, phase)
        for name, phase in _METHODS.items():
            self._time(self._app.store, name, phase)

    def _time(self, owner: Any, name: str, phase: str) -> None:
        real = getattr(owner, name, None)
        if real is None:
            return

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return real(*args, **kwargs)
            finally:
                self._phases[phase] = self._phases.get(phase, 0.0) + 1000 * (time.perf_counter() - began)

        setattr(owner, name, timed)

    def take(self) -> dict[str, Any]:
        """One turn: milliseconds of wall and CPU time (of this process, all threads), by phase, and what it did.

        `written` is what was passed to write(), log lines excluded; `checkpoint` says whether that includes moving the
        WAL into the database file.
        """
        self._now += POLL_EVERY
        self._phases.clear()
        logged, stamp = self._log.written, self._stamp()
        trips = self._round_trips.count if self._round_trips else 0
        before, cpu, began = _written(), time.process_time(), time.perf_counter()
        polled = self._tick()
        wall_ms, cpu_ms = 1000 * (time.perf_counter() - began), 1000 * (time.process_time() - cpu)
        after = _written()
        if polled is None or not polled.good:
            raise SystemExit(f"the poll failed: {polled.problems if polled else 'see the log (--logs)'}")
        phases = {"fetch": polled.fetched.took_ms, **self._phases}
        phases["rest"] = wall_ms - sum(phases.values())
        return {
            "wall_ms": wall_ms,
            "cpu_ms": cpu_ms,
            "phases": phases,
            "entities": sum(len(snapshot) for snapshot in polled.snapshots.values()),
            "transitions": sum(change.moved for change in polled.changes),
            "notices": len(polled.notices),
            "written": after[0] - before[0] - (self._log.written - logged),
            "to_disk": after[1] - before[1],
            "checkpoint": self._stamp() != stamp,
            "round_trips": (self._round_trips.count if self._round_trips else 0) - trips,
        }

    def profile(self) -> list[dict[str, Any]]:
        """One more turn under the profiler; the ten functions that took most of the CPU time of all such turns."""
        with self._profiler:
            self.take()
        return self._profiler.top(10)

    def _stamp(self) -> int:
        """When the database file itself was written: only a checkpoint of the WAL does that."""
        return 0 if self._round_trips else self._database.stat().st_mtime_ns

    def open_alerts(self) -> int:
        """Alerts that fire or recover now."""
        if self._round_trips:
            return sum(alert.state in ("firing", "recovering") for alert in self._app.store.alerts(TENANT))
        with closing(sqlite3.connect(self._database)) as conn:
            count = conn.execute(
                "SELECT count(*) FROM alerts WHERE tenant = ? AND ended_at IS NULL "
                "AND state IN ('firing', 'recovering')",
                (TENANT,),
            )
            return int(count.fetchone()[0])

    def add_ended(self, count: int, entities: int) -> None:
        """Add alerts that ended in the past, each with its card, one a second until the start of the first poll.

        Rows are copies of the alerts that fire now, on other entities. What is named here and is not in the schema is
        left out, and other columns keep their values: older checkouts have older schemas.
        """
        with closing(sqlite3.connect(self._database, isolation_level=None)) as conn:
            conn.execute("PRAGMA synchronous = OFF")
            conn.execute("BEGIN IMMEDIATE")
            first = {table: _next_id(conn, table) for table in ("alerts", "cards")}
            numbers = {"alert": f"({first['alerts']} + n.i)", "card": f"({first['cards']} + n.i)"}
            ended = f"'%Y-%m-%dT%H:%M:%S.000000Z', '{START:%Y-%m-%d %H:%M:%S}', '-' || ({count} - n.i) || ' seconds'"
            _copy(
                conn,
                count,
                "alerts",
                "SELECT * FROM alerts WHERE state = 'firing' ORDER BY id",
                {
                    "id": numbers["alert"],
                    "entity_id": f"printf('ag%08dAbCdEfGhIj', n.i * 7919 % {entities})",
                    "state": "'inactive'",
                    "fired_at": f"strftime({ended}, '-300 seconds')",
                    "ended_at": f"strftime({ended})",
                    "end_reason": "'resolved'",
                },
            )
            _copy(
                conn,
                count,
                "cards",
                "SELECT * FROM cards ORDER BY id LIMIT 1",
                {
                    "id": numbers["card"],
                    "alert_id": numbers["alert"],
                    "group_key": f"'alert:' || {numbers['alert']}",
                    "ended_at": f"strftime({ended})",
                    "state": "'posted'",
                    "posted_channel_id": "'C0123456789'",
                    "posted_ts": "printf('1772000000.%06d', n.i)",
                    "sent_version": "t.version",
                    "urgent_version": "t.version",
                    "outdated_since": "NULL",
                    "edited_at": f"'{START:%Y-%m-%dT%H:%M:%S}.000000Z'",
                },
            )
            if conn.execute("SELECT 1 FROM sqlite_master WHERE name = 'card_alerts'").fetchone():
                members = {"card_id": numbers["card"], "alert_id": numbers["alert"]}
                _copy(conn, count, "card_alerts", "SELECT * FROM card_alerts LIMIT 1", members)
            conn.execute("COMMIT")
            conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class _RoundTrips:
    """Counts how often this process waits for an answer of a PostgreSQL server."""

    def __init__(self) -> None:
        self.count = 0
        connection = importlib.import_module("psycopg").Connection
        wait = connection.wait

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            return wait(*args, **kwargs)

        connection.wait = counted


def _next_id(conn: sqlite3.Connection, table: str) -> int:
    return 1 + int(conn.execute(f"SELECT seq FROM sqlite_sequence WHERE name = '{table}'").fetchone()[0])


def _copy(conn: sqlite3.Connection, count: int, table: str, templates: str, values: Mapping[str, str]) -> None:
    """Insert `count` rows: templates in turn, with the columns of `values` (SQL; n.i is the number of the row)."""
    conn.execute(f"CREATE TEMP TABLE templates AS {templates}")
    rows = conn.execute("SELECT count(*) FROM templates").fetchone()[0]
    columns = [row[1] for row in conn.execute(f"PRAGMA table_info({table})")]
    conn.execute(
        f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count}) "
        f"INSERT INTO {table} ({', '.join(columns)}) "
        f"SELECT {', '.join(values.get(name, f't.{name}') for name in columns)} "
        f"FROM n CROSS JOIN templates t ON t.rowid = n.i % {rows} + 1"
    )
    conn.execute("DROP TABLE templates")


def _written() -> tuple[int, int]:
    """Bytes that this process has written: by system calls, and to storage. Zeros where /proc does not say."""
    path = Path("/proc/self/io")
    if not path.exists():
        return 0, 0
    fields = dict(line.split(": ") for line in path.read_text().splitlines())
    return int(fields["wchar"]), int(fields["write_bytes"])


def main() -> None:
    """Take commands from stdin, one JSON object a line, until it ends; answer each with one line."""
    begin = json.loads(sys.stdin.readline())
    package = Path(begin["package"]).resolve()
    imported = Path(importlib.import_module("alertbot").__file__ or "").resolve()
    if not imported.is_relative_to(package):
        raise SystemExit(f"alertbot was imported from {imported.parent}, not from {package}")
    with Log(Path(begin["logs"] or os.devnull)) as log:
        with redirect_stderr(log):  # logs go to stderr as it is now; errors of this script keep the real one
            turns = Turns(Path(begin["folder"]), Path(begin["rules"]), begin["url"], log, begin.get("server", ""))
        print(json.dumps({"imported": str(imported)}), flush=True)
        for line in sys.stdin:
            command = json.loads(line)
            answer: Mapping[str, Any] = {}
            if command["do"] == "turn":
                answer = turns.take()
            elif command["do"] == "add_ended":
                turns.add_ended(command["count"], command["entities"])
            elif command["do"] == "profile":
                answer = {"profile": turns.profile()}
            elif command["do"] == "open_alerts":
                answer = {"open": turns.open_alerts()}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
