"""Two versions on one PostgreSQL database, of which the newer one has other tables: as processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from alertbot.store.postgres import migrations
from tests.store import postgres
from tests.workers import Rig, alertbot, rig, wait_for

TENANTS = 4


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Rig]:
    postgres.run("CREATE DATABASE versions")
    with rig(tmp_path, postgres.address_of("versions"), tenants=TENANTS) as made:
        yield made
    postgres.run("DROP DATABASE versions WITH (FORCE)")


def test_a_newer_version_beside_live_workers(workers: Rig) -> None:
    """It upgrades nothing; every command names the old workers and says what to do. Then it upgrades."""
    workers.start("a")
    wait_for(lambda: workers.shares() == {"a": TENANTS}, 40)
    postgres.make_old(workers.address)
    for command in (["worker"], ["run"], ["poll"], ["ask", "status"], ["workers"]):
        status, said = alertbot(workers, *command)
        assert status == 2, said
        assert "because workers of an older version are running on it: " in said
        assert f", process {workers.running['a'].pid} (" in said
        assert "stop all of them, then start the new version (docs/scale.md, Upgrading workers)" in said
        assert "Traceback" not in said
    _, said = alertbot(workers, "doctor", "--json")
    (finding,) = [each for each in json.loads(said) if each["what"] == "database"]
    assert "workers of an older version are running on it" in finding["finding"]
    assert finding["remedy"].startswith("stop all of them, then start the new version")
    workers.kill("a")
    wait_for(lambda: alertbot(workers, "ask", "status")[0] == 0, 30, "a killed worker no longer counts")
    assert workers.query("SELECT max(step) FROM alertbot.migrations") == [(migrations.newest(),)]


@pytest.mark.parametrize("command", ["worker", "run"])
def test_tables_that_are_upgraded_all_the_same(workers: Rig, command: str) -> None:
    """The old process (it was paused, say) stores nothing more, and ends with a sentence and exit status 2."""
    process = workers.start("a", command=command)
    wait_for(lambda: len(workers.polled_at()) == TENANTS, 40)
    postgres.run("INSERT INTO alertbot.migrations (step) VALUES (999)", workers.address)
    before = workers.polled_at()
    assert process.wait(30) == 2
    assert workers.polled_at() == before
    said = workers.log_of("a")
    assert said.splitlines()[-1].endswith(
        "was written by a newer alertbot (it has step 999), and was not changed: install that version again, or "
        "restore a backup that this version made (docs/deploy.md, Downgrading)"
    )
    assert "Traceback" not in said
    assert alertbot(workers, "worker")[0] == 2
