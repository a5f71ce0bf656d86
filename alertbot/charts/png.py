"""A series as a PNG: drawn by a process of its own, which has a deadline. matplotlib is an extra, imported only there.

A process, not a thread: drawing holds the interpreter lock for a second and more while rules are to be evaluated, and
only a process can be ended when it takes too long. It is given no secrets: neither the environment of the bot nor its
files. One picture is drawn at a time.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from alertbot.charts.series import Series
from alertbot.charts.text import MAX_LIMITS, described
from alertbot.errors import ChartFailed
from alertbot.rules.plain import one_line

MAX_POINTS = 1_000
"""More samples than this are drawn as the worst value of each interval: a picture is about a thousand pixels wide."""
DEADLINE = 20.0
"""Seconds for one picture. The first one of a process may take this long: matplotlib looks at every font then."""
NOT_INSTALLED = "pictures need the extra `charts`: pip install 'alertbot[charts]'"
_KEPT_ENVIRONMENT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "LANG", "LC_ALL", "TZDIR")
_STOPPING = "alertbot is stopping"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_BYTES = 5 * 1024 * 1024


class Painter:
    """Draws pictures in processes of its own; safe to use from several threads."""

    def __init__(self, *, deadline: float = DEADLINE, command: tuple[str, ...] = ()) -> None:
        """`deadline` is in seconds. `command` draws what it is given on stdin; default: `figure.py` of this room."""
        self._deadline = deadline
        self._command = command or (sys.executable, "-P", "-m", "alertbot.charts.figure")
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None  # where matplotlib keeps its list of fonts
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether it draws no more, since alertbot is stopping."""
        return self._closed

    @property
    def problem(self) -> str:
        """Why no picture can be drawn at all; "" where that is not known."""
        return "" if importlib.util.find_spec("matplotlib") is not None else NOT_INSTALLED

    def draw(self, series: Series, zone: tzinfo) -> bytes:
        """The picture, with times in that zone. Raises ChartFailed with the reason, at the latest after twice the
        deadline: a picture that is being drawn for another is waited for."""
        if self.problem:
            raise ChartFailed(self.problem)
        if not self._turn.acquire(timeout=self._deadline):
            raise ChartFailed("too many pictures are being drawn")
        try:
            return self._drawn(json.dumps(drawing(series, zone)).encode())
        finally:
            self._turn.release()

    def close(self) -> None:
        """Draw no more; a picture in progress is abandoned."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = None

    def _drawn(self, wanted: bytes) -> bytes:
        with self._lock:
            if self._closed:
                raise ChartFailed(_STOPPING)
            try:
                process = self._process = subprocess.Popen(  # noqa: S603  # our own module
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=self._environment(),
                    cwd=self._folder_name(),
                )
            except OSError as error:
                raise ChartFailed(f"the process that draws pictures could not be started: {error.strerror}") from error
        try:
            picture, said = process.communicate(wanted, timeout=self._deadline)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise ChartFailed(f"the picture was not drawn within {self._deadline:g} s") from None
        finally:
            with self._lock:
                self._process = None
        if process.returncode or not picture.startswith(_SIGNATURE) or len(picture) > _MAX_BYTES:
            if self._closed:  # by `close`, which has killed the process
                raise ChartFailed(_STOPPING)
            last = said.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise ChartFailed(f"the picture could not be drawn: {last[0][:200] if last else 'no reason given'}")
        return picture

    def _folder_name(self) -> str:
        if self._folder is None or not Path(self._folder.name).is_dir():  # something may have tidied up /tmp
            self._folder = tempfile.TemporaryDirectory(prefix="alertbot-charts-", ignore_cleanup_errors=True)
        return self._folder.name

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        return {**kept, "MPLBACKEND": "Agg", "MPLCONFIGDIR": self._folder_name(), "HOME": self._folder_name()}


def drawing(series: Series, zone: tzinfo) -> dict[str, Any]:
    """What `figure.py` draws, as JSON has it: times in seconds since 1970, values in column units."""
    return {
        "title": f"{series.label}: {series.name}",
        "about": one_line(described(series, zone)),
        "type": series.type.value,
        "zone": getattr(zone, "key", None) or "UTC",
        "begin": series.begin.timestamp(),
        "end": series.end.timestamp(),
        "points": _points(series),
        "limits": [
            {"value": limit.value, "level": limit.level.word, "words": limit.words}
            for limit in series.limits[-MAX_LIMITS:]
        ],
        "spans": [
            {
                "begin": span.begin.timestamp(),
                "end": (span.end or series.end).timestamp(),
                "level": span.level.word,
            }
            for span in series.spans
        ],
    }


def _points(series: Series) -> list[tuple[float, float | None]]:
    times, values = series.samples.times, series.samples.values
    if len(times) <= MAX_POINTS:
        return [(_seconds(at), value) for at, value in zip(times, values, strict=True)]
    points: list[tuple[float, float | None]] = []
    step = (series.end - series.begin) / MAX_POINTS
    for place, pairs in enumerate(series.intervals(MAX_POINTS)):
        at = series.begin + (place + 0.5) * step
        points.append((_seconds(at), series.worst(value for _, value in pairs) if pairs else None))
    return points


def _seconds(at: datetime) -> float:
    return round(at.timestamp(), 3)
