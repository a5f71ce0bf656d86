"""Several workers on one PostgreSQL database: real processes, with signals, against a simulated 8x8 of many tenants."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store import postgres
from tests.workers import Rig, alertbot, rig, wait_for

TENANTS = 24
_numbers = itertools.count()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Rig]:
    database = f"workers{next(_numbers)}"
    postgres.run(f"CREATE DATABASE {database}")
    with rig(tmp_path, postgres.address_of(database), tenants=TENANTS) as made:
        yield made
    postgres.run(f"DROP DATABASE {database} WITH (FORCE)")


def _balanced(workers: Rig, *names: str) -> bool:
    """Whether these workers own all tenants, and none more than its share and one."""
    shares = workers.shares()
    most = -(-TENANTS // len(names)) + 1
    return sum(shares[name] for name in names) == TENANTS and max(shares[name] for name in names) <= most


def _polled_since(workers: Rig, before: dict[str, str]) -> bool:
    now = workers.polled_at()
    return len(now) == TENANTS and all(at > before.get(tenant, "") for tenant, at in now.items())


@pytest.mark.timeout(400)
def test_tenants_are_shared_and_taken_over(workers: Rig) -> None:
    """From a worker that is killed, that is stopped, and that is paused; a new one gets its share."""
    for name in ("a", "b", "c"):
        workers.start(name)
    wait_for(lambda: _balanced(workers, "a", "b", "c"), 120, "three workers share all tenants")
    wait_for(lambda: _polled_since(workers, {}), 20, "every tenant is polled")
    wait_for(lambda: "alertbot_workers 3.0" in workers.get("a", "/metrics")[1], 20, "it sees three workers")
    _, metrics = workers.get("a", "/metrics")
    assert f"alertbot_worker_tenants {workers.shares()['a']:.1f}" in metrics
    assert metrics.count("alertbot_rules{") == workers.shares()["a"]  # of its own tenants alone
    wait_for(lambda: workers.get("a", "/readyz")[0] == 200, 20, "it is ready")

    workers.kill("a")
    before = dict(workers.polled_at())
    wait_for(lambda: _polled_since(workers, before), 60, "a killed worker's tenants are polled again")

    assert workers.end("b") == 0
    wait_for(lambda: workers.shares() == {"c": TENANTS}, 5, "a stopped worker hands its tenants over")

    workers.start("d")
    wait_for(lambda: _balanced(workers, "c", "d"), 120, "a new worker gets its share")

    workers.signal("d", signal.SIGSTOP)
    wait_for(lambda: workers.shares()["c"] == TENANTS, 30, "a paused worker's tenants are taken over")
    numbers = workers.query("SELECT tenant, number FROM alertbot.owners ORDER BY tenant")
    workers.signal("d", signal.SIGCONT)
    wait_for(lambda: "the worker was paused" in workers.log_of("d"), 20, "it notices that it was paused")
    wait_for(lambda: _balanced(workers, "c", "d"), 120, "it gets its share again")
    later = workers.query("SELECT tenant, number FROM alertbot.owners ORDER BY tenant")
    assert all(new[1] >= old[1] for old, new in zip(numbers, later, strict=True))  # type: ignore[operator]
    for name in ("c", "d"):
        assert "Traceback" not in workers.log_of(name)
    assert '"level": "error"' not in workers.log_of("c")  # the other one may say that its connection was cut meanwhile
    assert "is owned by another worker" not in workers.log_of("d")


def test_what_cannot_be_started_beside_workers(workers: Rig) -> None:
    """A single process, and a worker with other settings: a sentence each, with the remedy."""
    workers.start("a")
    wait_for(lambda: workers.shares() == {"a": TENANTS}, 120)
    for command in ("run", "poll"):
        status, said = alertbot(workers, command)
        assert status == 2
        assert "workers are running on this database" in said
        assert "Stop them first, or use `alertbot worker` instead." in said
    file = workers.folder / "alertbot.yaml"
    file.write_text(file.read_text().replace('"poll_every": "5s"', '"poll_every": "6s"', 1))
    status, said = alertbot(workers, "worker")
    assert status == 2
    assert "the configuration of this worker differs from that of" in said
    assert "tenants tenant-0000.poll_every is 6s here and 5s there" in said
    assert "Traceback" not in said


def test_workers_are_listed(workers: Rig) -> None:
    """With what each polls. Tenants that no worker has room for are a problem, which the log names once."""
    status, said = alertbot(workers, "workers")
    assert status == 1
    assert "no workers are running on this database; start one with `alertbot worker`" in said
    workers.start("a", "--tenants", str(TENANTS - 4))
    wait_for(lambda: workers.shares() == {"a": TENANTS - 4}, 120)
    status, said = alertbot(workers, "workers")
    assert status == 1
    assert f"{TENANTS - 4} tenants, at most {TENANTS - 4}" in said
    assert f"4 of {TENANTS} tenants not polled by any worker" in said
    status, said = alertbot(workers, "doctor")
    assert status == 1
    assert f"4 of {TENANTS} tenants not polled by any worker" in said
    assert "start another worker, or raise --tenants" in said
    wait_for(lambda: "some tenants are not polled by any worker" in workers.log_of("a"), 30, "it is logged")
    (line,) = [each for each in workers.log_of("a").splitlines() if "not polled by any worker" in each]
    assert json.loads(line)["tenants"] == 4
    workers.start("b", "--tenants", "4")
    wait_for(lambda: "room for all tenants again" in workers.log_of("a"), 60, "that it is over, too")
    assert workers.log_of("a").count("not polled by any worker") == 1
    assert "tenants are not polled" not in workers.log_of("b")


def test_a_worker_that_was_forgotten_joins_again(workers: Rig) -> None:
    """One that is paused for more than an hour is no longer in the table when it continues."""
    workers.start("a")
    wait_for(lambda: workers.shares() == {"a": TENANTS}, 40)
    (gone,) = workers.query("DELETE FROM alertbot_jobs.workers RETURNING name")
    wait_for(lambda: workers.query("SELECT name FROM alertbot_jobs.workers") == [gone], 20, "it has joined again")
    before = dict(workers.polled_at())
    wait_for(lambda: _polled_since(workers, before), 30, "it polls")
    assert '"level": "error"' not in workers.log_of("a")


@pytest.mark.parametrize("command", ["worker", "workers"])
def test_workers_need_postgresql(command: str, tmp_path: Path) -> None:
    file = tmp_path / "alertbot.yaml"
    file.write_text(
        "tenants: [{name: acme, region: us, api_key: k, api_secret: s}]\n"
        "slack: {bot_token: xoxb-1, default_channel: '#a'}\nrules: rules.yaml\n"
    )
    (tmp_path / "rules.yaml").write_text("rules: []\n")
    done = subprocess.run(
        [sys.executable, "-m", "alertbot", command, "--config", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"{file}: `storage` is a SQLite file" in done.stderr


def test_a_broken_edit_is_reported_once(workers: Rig) -> None:
    """Each worker sees an edit of the rule files; one of them tells Slack."""
    for name in ("a", "b"):
        workers.start(name)
    wait_for(lambda: _balanced(workers, "a", "b"), 120)
    file = workers.folder / "rules" / "rules.yaml"
    file.write_text(file.read_text() + "  - id: broken\n    scoop: 5\n")
    for name in ("a", "b"):
        wait_for(lambda name=name: "rule files are broken" in workers.log_of(name), 30)  # type: ignore[misc]
    reported = "SELECT count(*) FROM alertbot.notices WHERE alert_id IS NULL AND text LIKE '%rule files%'"
    wait_for(lambda: workers.query(reported) == [(1,)], 10)
