"""How much memory `alertbot run` needs: its resident set after some polls, at three sizes.

    python -m benchmarks.memory [--sizes 50 1000 10000] [--for 60] [--map]

The real process with its threads: agents with twelve keys from pages.py, fifty rules, SQLite on disk, and a Slack that
accepts everything. The figure is the resident set (VmRSS) once a minute of polls is over. `--map` adds where it is: the
heap, mapped libraries, stacks of threads, and the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

from benchmarks.poll_cycle import rules_text
from benchmarks.startup import compiled
from benchmarks.whole_poll import HERE, Child

SIZES = (50, 1000, 10_000)
GOALS = {50: 80.0, 1000: 85.0, 10_000: 115.0}
"""MiB that are wanted at most, by entities."""
RULES = 50
POLL_EVERY_S = 5
_START_S = 60.0
_SETTINGS = """\
tenants:
  - {{name: acme, base_url: {url}, token_url: {url}/token, api_key: benchmark-key, api_secret: benchmark-secret,
     percent_scale: ratio, poll_every: {every}s}}
slack: {{bot_token: xoxb-benchmark, default_channel: "#cc-alerts", api_url: "{slack}/"}}
rules: rules.yaml
storage: alertbot.db
http: {{host: 127.0.0.1, port: {port}}}
"""


@dataclass
class Measured:
    """The memory of one process in MiB."""

    entities: int
    rss: float
    peak: float
    threads: int
    places: dict[str, float] = field(default_factory=dict)  # MiB of it, by what is mapped there


class _Slack(BaseHTTPRequestHandler):
    """Accepts every call."""

    protocol_version = "HTTP/1.1"
    numbers = count(1)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = {
            "ok": True,
            "channel": "C0BENCHMARK",
            "ts": f"1772000000.{next(self.numbers):06d}",
            "channels": [{"id": "C0BENCHMARK", "name": "cc-alerts", "is_member": True}],
            "messages": [],
            "user_id": "U0BENCHMARK",
            "bot_id": "B0BENCHMARK",
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815  # as http.server spells it

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@contextmanager
def _slack() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Slack) as server:
        threading.Thread(target=server.serve_forever, name="slack", daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def measure(entities: int, folder: Path, *, seconds: float, package: Path = HERE, places: bool = False) -> Measured:
    """Run the bot in `folder` for that long, and read its memory. Raises RuntimeError where it ends meanwhile."""
    compiled(package)
    polls = max(2, round(seconds / POLL_EVERY_S) + 2)
    with ExitStack() as stack:
        pages = stack.enter_context(Child(["-m", "benchmarks.pages", str(entities), str(polls), "moving"], HERE))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        values = {"url": pages.read()["url"], "slack": stack.enter_context(_slack()), "port": port}
        (folder / "alertbot.yaml").write_text(_SETTINGS.format(every=POLL_EVERY_S, **values))
        (folder / "rules.yaml").write_text(rules_text(RULES))
        process = stack.enter_context(_running(folder, package))
        _wait_for(f"http://127.0.0.1:{port}/healthz", process)
        for poll in range(polls - 1):
            pages.ask(poll=poll)
            time.sleep(seconds / (polls - 1))
            if process.poll() is not None:
                raise RuntimeError(f"the bot ended: {(folder / 'log').read_text()[-2000:]}")
        return _memory(entities, process.pid, places=places)


@contextmanager
def _running(folder: Path, package: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": str(package), "ALERTBOT_CONFIG": "alertbot.yaml"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "alertbot", "run"], cwd=folder, env=environment, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Until the bot has started: it answers there."""
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the bot did not start")


def _memory(entities: int, pid: int, *, places: bool) -> Measured:
    """From /proc/PID/status (kB, proc(5)), and with `places` from /proc/PID/smaps."""
    fields = dict(re.findall(r"^(\w+):\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE))
    found = Measured(entities, int(fields["VmRSS"]) / 1024, int(fields["VmHWM"]) / 1024, int(fields["Threads"]))
    if places:
        by_place: Counter[str] = Counter()
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            head = re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+ *(.*)", line)
            if head:
                place = _place(head[1])
            elif line.startswith("Rss:"):
                by_place[place] += int(line.split()[1])
        found.places = {place: kilobytes / 1024 for place, kilobytes in by_place.most_common(12)}
    return found


def _place(mapped: str) -> str:
    """What is mapped, as far as it matters: a package, a library, the heap, or memory without a file."""
    if package := re.search(r"site-packages/([^/]+)", mapped):
        return package[1]
    return Path(mapped).name if mapped.startswith("/") else mapped or "without a file (numpy, SQLite, arenas, stacks)"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), metavar="N", help="entities")
    parser.add_argument("--for", dest="seconds", type=float, default=60.0, metavar="S", help="seconds (default: 60)")
    parser.add_argument("--map", action="store_true", help="print where the memory is")
    parser.add_argument("--package", type=Path, default=HERE, metavar="DIR", help="another checkout")
    options = parser.parse_args(argv)
    for entities in options.sizes:
        with tempfile.TemporaryDirectory(prefix="alertbot-memory-") as folder:
            found = measure(
                entities, Path(folder), seconds=options.seconds, package=options.package.resolve(), places=options.map
            )
        goal = f", goal {GOALS[entities]:g}" if entities in GOALS else ""
        print(f"{entities:>6,} entities: {found.rss:.1f} MiB{goal}; peak {found.peak:.1f}, {found.threads} threads")
        for place, size in found.places.items():
            print(f"  {size:>6.1f}  {place}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
