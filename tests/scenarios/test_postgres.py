"""The commands on a PostgreSQL database: as on a SQLite file, and no password is shown."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from alertbot.simulator.server import SimulatorOptions, serve
from alertbot.store.postgres.server import exists
from alertbot.store.postgres.store import PostgresStore
from alertbot.store.sqlite.store import SqliteStore
from tests.service.bot import alertbot
from tests.slack.slack_server import TOKEN, SlackServer, slack_server
from tests.store.postgres import address_of, run

PASSWORD = "Tr0ub4dor-and-3"
RULES = "rules: [{id: open, title: Open, scope: queue, when: entered.today >= 0}]"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A database of its own, with a password in the address (which the server does not ask for)."""
    run("CREATE DATABASE commands")
    yield address_of("commands").replace("postgres:@", f"postgres:{PASSWORD}@")
    run("DROP DATABASE commands WITH (FORCE)")


@pytest.fixture
def slack(tmp_path: Path, address: str) -> Iterator[SlackServer]:
    """A configuration with that database, beside a stand-in 8x8 and Slack."""
    (tmp_path / "rules.yaml").write_text(RULES)
    with serve(SimulatorOptions(queues=2, groups=1, agents=2)) as sim, slack_server() as slack:
        tenant = {
            "name": "acme",
            "base_url": sim.base_url,
            "token_url": sim.token_url,
            "api_key": sim.tenants[0].api_key,
            "api_secret": sim.tenants[0].api_secret,
        }
        settings = {
            "tenants": [tenant],
            "slack": {"bot_token": TOKEN, "default_channel": "#cc-alerts", "api_url": slack.api_url},
            "rules": "rules.yaml",
            "storage": address,
        }
        (tmp_path / "alertbot.yaml").write_text(json.dumps(settings))
        yield slack


def test_poll_and_ask(tmp_path: Path, address: str, slack: SlackServer) -> None:
    """A dry run makes no tables; the first poll makes them and posts, the next one posts nothing again."""
    dry = alertbot("poll", "--dry-run", cwd=tmp_path)
    assert (dry.returncode, exists(address)) == (0, False), dry.stderr
    assert "firing" in dry.stdout
    first = alertbot("poll", cwd=tmp_path)
    posted = len(slack.top())
    second = alertbot("poll", cwd=tmp_path)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert posted == len(slack.top()) == 2
    acknowledged = alertbot("ask", "ack 1", cwd=tmp_path)
    status = alertbot("ask", "status", cwd=tmp_path)
    assert (acknowledged.returncode, status.returncode) == (0, 0), acknowledged.stderr + status.stderr
    assert "2 firing" in status.stdout
    with closing(PostgresStore(address)) as store:
        assert [alert.acked_by is not None for alert in store.alerts()] == [True, False]
        assert store.totals().polls == 2
    checked = alertbot("doctor", cwd=tmp_path)
    assert "/commands?host=" in checked.stdout or "/commands can be written" in checked.stdout
    backup = alertbot("backup", "copy.db", cwd=tmp_path)
    assert backup.returncode == 2
    assert "`backup` copies a SQLite file, and `storage` names a PostgreSQL server: use pg_dump" in backup.stderr
    ran = (dry, first, second, acknowledged, status, checked, backup)
    assert PASSWORD not in "".join(each.stdout + each.stderr for each in ran)


def test_a_worker_that_cannot_start(tmp_path: Path, address: str, slack: SlackServer) -> None:
    """Another program has its port: it says so, and does not count as a worker."""
    file = tmp_path / "alertbot.yaml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = {**json.loads(file.read_text()), "http": {"port": taken.getsockname()[1]}}
        file.write_text(json.dumps(settings))
        ran = alertbot("worker", cwd=tmp_path)
    assert ran.returncode == 2
    assert "the address is already in use" in ran.stderr
    with closing(PostgresStore(address)) as store:
        assert store.workers.living() == []


def test_without_the_extra(tmp_path: Path, address: str, slack: SlackServer) -> None:
    """A sentence says what to install."""
    without = (
        "import sys; sys.modules['{}'] = None; sys.argv[0] = 'alertbot'; "
        "from alertbot.__main__ import main; sys.exit(main())"
    )
    commands = (["poll"], ["ask", "status"], ["worker"], ["workers"], ["migrate-storage", "a.db", address])
    SqliteStore(tmp_path / "a.db").close()
    for module, command in [*(("psycopg", each) for each in commands), ("procrastinate", ["worker"])]:
        code = without.format(module)
        ran = subprocess.run(
            [sys.executable, "-c", code, *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 2, ran.stderr
        assert "Traceback" not in ran.stderr
        assert "that needs the extra `postgres`: pip install -c requirements.lock '.[postgres]'" in ran.stderr
        assert PASSWORD not in ran.stdout + ran.stderr
