"""What a user sees when the database fails under `poll` and `run`: one clear sentence, and no alert lost or repeated.

A breach begins while the database cannot be used. Nothing is reported then, since what is not stored is not decided;
when the database works again, it is reported once.

The full disk is a real one, a small tmpfs, where this user may mount it. Elsewhere the size of files is limited
(RLIMIT_FSIZE): that is the other way in which a file cannot grow, and SQLite calls it an error of the disk.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from alertbot.simulator.server import Simulator, SimulatorOptions, serve
from alertbot.store.sqlite.migrations import pending_steps
from tests.foreign import free_port
from tests.service.bot import RULES, environment, get, until
from tests.simulator.kit import HandClock
from tests.slack.slack_server import TOKEN, SlackServer, slack_server

DUMP = Path(__file__).parents[1] / "data" / "store-v12.sql"


@dataclass
class Site:
    """A contact centre, a Slack, and a folder with alertbot.yaml; the database is in `volume`."""

    folder: Path
    volume: Path
    mounted: bool
    centre: Simulator
    clock: HandClock
    slack: SlackServer
    limit: int | None = None  # of the size of files, in bytes

    @property
    def database(self) -> Path:
        return self.volume / "alertbot.db"

    def command(self, *args: str) -> subprocess.Popen[str]:
        def limited() -> None:
            if self.limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, self.limit))

        return subprocess.Popen(
            [sys.executable, "-m", "alertbot", *args],
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=limited,
        )

    def poll(self) -> tuple[int, str]:
        """Exit status and output of one `alertbot poll`."""
        process = self.command("poll")
        output, _ = process.communicate(timeout=60)
        assert "Traceback" not in output
        return process.returncode, output

    @property
    def cards(self) -> list[str]:
        return [message["text"] for message in self.slack.top()]


@contextmanager
def mounted(volume: Path) -> Iterator[bool]:
    """A tmpfs of 2 MiB, where this user may mount one; whether it is."""
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(volume)]
    done = shutil.which("mount") is not None and subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield done
    finally:
        if done:
            subprocess.run(["umount", "-l", str(volume)], check=True)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    clock = HandClock(datetime.now(UTC))
    (volume := tmp_path / "volume").mkdir()
    options = SimulatorOptions(clock=clock, scenario="demo", queue_names={0: "Sales EU"})
    with mounted(volume) as done, serve(options) as centre, slack_server() as slack:
        made = Site(tmp_path, volume, done, centre, clock, slack)
        (tmp_path / "rules.yaml").write_text(RULES % centre.centre.find_queue("#1").id)
        tenant = {
            "name": "acme",
            "base_url": centre.base_url,
            "token_url": centre.token_url,
            "api_key": centre.options.api_key,
            "api_secret": centre.options.api_secret,
            "poll_every": "5s",
        }
        settings = {
            "tenants": [tenant],
            "slack": {"bot_token": TOKEN, "api_url": slack.api_url, "default_channel": "#cc-alerts"},
            "rules": "rules.yaml",
            "storage": str(made.database),
            "http": {"port": free_port()},
        }
        (tmp_path / "alertbot.yaml").write_text(json.dumps(settings))  # JSON is YAML too
        yield made


# Each makes the database fail, and ends that; it yields what the user is shown.
Fault = Callable[[Site], AbstractContextManager[tuple[str, ...]]]


@contextmanager
def locked(site: Site) -> Iterator[tuple[str, ...]]:
    with closing(sqlite3.connect(site.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield (f"{site.database} is locked: another process has been writing to it for 5 s",)
        other.execute("ROLLBACK")


@contextmanager
def read_only(site: Site) -> Iterator[tuple[str, ...]]:
    if not site.mounted:
        pytest.skip("a read-only file system takes a mount")
    subprocess.run(["mount", "-o", "remount,ro", str(site.volume)], check=True)
    try:
        yield (f"{site.database} cannot be ", "the file system is read-only: make it writable, or change `storage`")
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(site.volume)], check=True)


@contextmanager
def full(site: Site) -> Iterator[tuple[str, ...]]:
    if not site.mounted:
        site.limit = site.database.stat().st_size
        yield (str(site.database), "the disk reports an error")
        site.limit = None
        return
    filler = site.volume / "filler"
    with filler.open("wb", buffering=0) as file:
        while shutil.disk_usage(site.volume).free:
            file.write(b"x" * 4096)
    yield (f"{site.database} cannot be written: the disk is full",)
    filler.unlink()


@contextmanager
def replaced(site: Site, replace: Callable[[Path], None]) -> Iterator[None]:
    """The file is another one for a while; that one is not changed by alertbot."""
    kept = site.folder / "kept.db"
    shutil.copy(site.database, kept)
    replace(site.database)
    before = site.database.read_bytes()
    yield
    assert site.database.read_bytes() == before
    shutil.copy(kept, site.database)


@contextmanager
def truncated(site: Site) -> Iterator[tuple[str, ...]]:
    with replaced(site, lambda path: os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)):
        yield (f"{site.database} is damaged", "restore a backup")


@contextmanager
def foreign(site: Site) -> Iterator[tuple[str, ...]]:
    def other(path: Path) -> None:
        path.unlink()
        with closing(sqlite3.connect(path)) as conn, conn:
            conn.execute("CREATE TABLE people (name TEXT)")

    with replaced(site, other):
        yield (f"{site.database} is the database of another program; name another file",)


@contextmanager
def no_database(site: Site) -> Iterator[tuple[str, ...]]:
    with replaced(site, lambda path: path.write_text("tenants: []\n" * 400) and None):
        yield (f"{site.database} is not a SQLite database; name another file",)


FAULTS: dict[str, Fault] = {
    "locked": locked,
    "read-only": read_only,
    "full": full,
    "truncated": truncated,
    "of another program": foreign,
    "not a database": no_database,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_poll_while_the_database_fails(site: Site, fault: Fault) -> None:
    """The sentence, exit status 1, and nothing in Slack; then one card, and not a second one."""
    assert site.poll()[0] == 0
    with fault(site) as says:
        site.clock.forward(seconds=100)  # the breach begins
        status, output = site.poll()
        assert status == 1
        assert [words for words in says if words not in output] == [], output
        assert site.cards == []
    for _ in range(2):
        status, output = site.poll()
        assert status == 0, output
        assert len(site.cards) == 1
    assert "Sales EU" in site.cards[0]


def test_poll_on_an_older_database(site: Site) -> None:
    """It is brought up to date; what is open in it ends as it would have, and what is new is reported once."""
    with closing(sqlite3.connect(site.database)) as conn:
        conn.executescript(DUMP.read_text(encoding="utf-8"))
    site.clock.forward(seconds=100)
    site.poll()
    assert sum("Sales EU: longest wait" in card for card in site.cards) == 1
    with closing(sqlite3.connect(site.database)) as conn:
        steps = [name for (name,) in conn.execute("SELECT name FROM _sqlite_migrations ORDER BY id")]
        ended = conn.execute("SELECT id, end_reason FROM alerts WHERE ended_at IS NOT NULL ORDER BY id").fetchall()
    assert steps == pending_steps([])
    assert (2, "not_covered") in ended


@pytest.mark.parametrize("fault", [locked, full], ids=["locked", "full"])
def test_run_while_the_database_fails(site: Site, fault: Fault) -> None:
    """/readyz says why, the bot keeps trying, and reports the breach once when it can be stored."""
    if fault is full and not site.mounted:
        pytest.skip("the limit of a process cannot be taken off while it runs")
    port = json.loads((site.folder / "alertbot.yaml").read_text())["http"]["port"]
    bot = site.command("run")
    try:
        until("ready", lambda: get(port, "/readyz")[0] == 200)
        with fault(site):
            site.clock.forward(seconds=100)
            until("not ready", lambda: get(port, "/readyz")[0] == 503)
            until("the reason", lambda: {locked: "locked", full: "full"}[fault] in str(get(port, "/readyz")[1]))
            assert site.cards == []
            assert get(port, "/healthz")[0] == 200
        until("one card", lambda: len(site.cards) == 1)
        until("ready again", lambda: get(port, "/readyz")[0] == 200)
    finally:
        bot.terminate()
        output, _ = bot.communicate(timeout=30)
    assert "Traceback" not in output
    assert len(site.cards) == 1
