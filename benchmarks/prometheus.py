"""What Prometheus needs for the same rules: its CPU time per scrape and evaluation cycle, for `whole_poll`.

A Prometheus of its own, with its configuration and data in a temporary folder, scrapes one target on loopback that
serves the agents of pages.py as metrics: one metric a key with the labels `id` and `name`, and the status as a label
of `status_rt`. The rules of `poll_cycle.rules_text` are written as alerting rules: levels as two alerts, holds as
`for` and `keep_firing_for`, windows as `avg_over_time`. What PromQL has no word for is left out, which is in favour of
Prometheus: a clear threshold of its own (`or KEY >= LOW and on(id) ALERTS{...}` made a cycle a quarter longer), and
unknown values. The rules have no annotations and there is no Alertmanager: nothing is worded, and nobody is notified.

A cycle is one scrape and one evaluation of all rules. Durations are counted in cycles as the bot counts them in polls
of 15 s (a window of ten minutes is 40 cycles), so that the cycles need not be 15 s apart. First the target is scraped
often and without rules, until windows are full. CPU time is that of the Prometheus process, from /proc/PID/stat.
"""

from __future__ import annotations

import json
import math
import os
import re
import signal
import socket
import statistics
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

from benchmarks.floor import HOLD, KEEP, WINDOW
from benchmarks.pages import Centre
from benchmarks.poll_cycle import NUMBERS, SHAPES
from benchmarks.rule_values import rule_values

DEFAULT = Path("/usr/bin/prometheus")
SETTLING = HOLD + 3  # cycles with rules that are not measured: holds end in them
_START_S = 60.0


@dataclass(frozen=True)
class Cycles:
    """CPU milliseconds of each measured cycle, and how many alerts fire at the end."""

    cpu_ms: list[float]
    firing: int

    @property
    def median_ms(self) -> float:
        return statistics.median(self.cpu_ms)


def missing(binary: Path = DEFAULT) -> str:
    """Why Prometheus cannot be measured here, or an empty string."""
    if not os.access(binary, os.X_OK):
        return f"{binary} is not installed (Debian: apt-get install prometheus)"
    if not Path("/proc/self/stat").exists():
        return "there is no /proc/PID/stat on this system"
    return ""


def rules_text(count: int, every_s: int) -> str:
    """The same rules as `poll_cycle.rules_text`, as a rule file of Prometheus."""
    lines = ["groups:", "- name: benchmark", "  rules:"]

    def alert(name: str, condition: str, level: str, more: str = "") -> None:
        lines.append(f"  - {{alert: {name}, expr: {json.dumps(condition)}, labels: {{level: {level}}}{more}}}")

    for number, rule in enumerate(rule_values(count)):
        name, key = f"rule-{number}", _metric(rule["key"])
        limit, high = (f"{rule[each]:g}" for each in ("limit", "high"))
        named = '{name=~"(?i).*a.*|.*eu.*",name!~"(?i).*test.*"}'
        shape = rule["shape"]
        if shape == 0:
            alert(name, f"{key} > {limit}", "warning", f", for: {HOLD * every_s}s")
            alert(name, f"{key} > {high}", "critical")
        elif shape == 1:
            alert(name, f"{key} >= {limit} and on(id) {_metric('accepted.int-30m')} >= 2", "warning")
        elif shape == 2:
            condition = f'{key} > {limit} unless on(id) status_rt{{status="LoggedOut"}}'
            alert(name, condition, "warning", f", keep_firing_for: {KEEP * every_s}s")
        elif shape == 3:
            alert(name, f"{key}{named} > {limit} or {key}{named} > {high}", "warning")
        elif shape == 4:
            alert(name, f'{key} > {limit} and on(id) status_rt{{status=~"OnBreak|WorkingOffline"}}', "warning")
        else:
            assert shape == len(SHAPES) - 1
            alert(name, f"avg_over_time({key}[{WINDOW * every_s}s]) > {limit}", "warning")
    return "\n".join(lines) + "\n"


def exposition(centre: Centre) -> bytes:
    """The values of all agents in Prometheus's text format; null is a sample that is not there."""
    labels = [f'id="{name_id}",name="{name}"' for name_id, name in zip(centre.ids, centre.names, strict=True)]
    lines: list[str] = []
    *numbers, statuses = centre.columns()
    for key, column in zip(NUMBERS, numbers, strict=True):
        metric = _metric(key)
        lines += [
            f"{metric}{{{label}}} {value}" for label, value in zip(labels, column, strict=True) if value is not None
        ]
    lines += [f'status_rt{{{label},status="{status}"}} 1' for label, status in zip(labels, statuses, strict=True)]
    return ("\n".join(lines) + "\n").encode()


def measure(
    entities: int,
    rules: int,
    variant: str,
    folder: Path,
    *,
    cycles: int,
    every_s: int | None = None,
    binary: Path = DEFAULT,
) -> Cycles:
    """Run Prometheus in `folder` and measure `cycles` of it. Raises RuntimeError where it does not do its work."""
    every_s = every_s or (10 if entities * rules > 200_000 else 5)
    (folder / "rules.yml").write_text(rules_text(rules, every_s))
    with _target(Centre(entities, variant), still=variant in ("still", "all")) as target:
        config = folder / "prometheus.yml"
        config.write_text(_config(target.server_address[1], 0.25))
        with _running(binary, config, folder) as (process, url):
            _wait(lambda: target.served >= WINDOW, process, "to fill windows", _START_S + 2 * WINDOW)
            config.write_text(_config(target.server_address[1], every_s, "rules.yml"))
            process.send_signal(signal.SIGHUP)
            deadline = SETTLING * every_s + _START_S
            _wait(lambda: _count(url, "prometheus_rule_group_iterations_total") >= SETTLING, process, "rules", deadline)
            spent: list[float] = []
            began, before = time.monotonic(), _cpu_ms(process.pid)
            evaluated = _count(url, "prometheus_rule_group_iterations_total")
            for cycle in range(1, cycles + 1):
                time.sleep(max(0.0, began + cycle * every_s - time.monotonic()))
                now = _cpu_ms(process.pid)
                spent.append(now - before)
                before = now
            evaluated = _count(url, "prometheus_rule_group_iterations_total") - evaluated
            if abs(evaluated - cycles) > 1:
                raise RuntimeError(f"Prometheus evaluated its rules {evaluated} times in {cycles} cycles")
            return Cycles(spent, _query(url, 'count(ALERTS{alertstate="firing"})'))


def _metric(key: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", key)


def _config(port: int, every_s: float, rules: str = "") -> str:
    every = f"{round(every_s * 1000)}ms"
    return json.dumps(
        {
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
            "rule_files": [rules] if rules else [],
            "scrape_configs": [{"job_name": "centre", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}],
        }
    )


class _Target(ThreadingHTTPServer):
    """Serves the values of one poll after another; `served` counts the scrapes."""

    daemon_threads = True

    def __init__(self, centre: Centre, still: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.centre = centre
        self.still = still
        self.served = 0
        self.body = exposition(centre)

    def next(self) -> None:
        """Make the values of the next scrape."""
        self.served += 1
        if not self.still and self.served >= WINDOW:  # before that, windows fill
            self.centre.move()
            self.body = exposition(self.centre)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Target

    def do_GET(self) -> None:
        body = self.server.body
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.server.next()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the report is on stdout."""


@contextmanager
def _target(centre: Centre, *, still: bool) -> Iterator[_Target]:
    with _Target(centre, still) as server:
        thread = threading.Thread(target=server.serve_forever, name="scraped", daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _running(binary: Path, config: Path, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                str(binary),
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
                "--log.level=warn",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process, f"http://{address}"
    except RuntimeError as error:
        said = (folder / "prometheus.log").read_text(errors="replace")[-500:]
        raise RuntimeError(f"{error}; its log: {said}" if said else str(error)) from error
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(done: Callable[[], bool], process: subprocess.Popen[bytes], what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if process.poll() is not None:
            raise RuntimeError(f"Prometheus ended with status {process.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"Prometheus took longer than {seconds:.0f} s {what}")
        time.sleep(0.1)


def _cpu_ms(pid: int) -> float:
    """User and system time of all threads of a process (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def _count(url: str, metric: str) -> int:
    """The sum of one of Prometheus's own metrics."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as response:
        lines = response.read().decode().splitlines()
    return math.floor(sum(float(line.rpartition(" ")[2]) for line in lines if re.match(rf"{metric}(\{{|\s)", line)))


def _query(url: str, query: str) -> int:
    with urllib.request.urlopen(f"{url}/api/v1/query?query={quote(query)}", timeout=60) as response:
        found = json.load(response)["data"]["result"]
    return int(found[0]["value"][1]) if found else 0
