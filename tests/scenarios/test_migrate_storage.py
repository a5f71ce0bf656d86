"""`alertbot migrate-storage`: each ending has a sentence and an exit status, and the password is not shown."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from alertbot.clock import wall_clock
from alertbot.store.postgres.store import PostgresStore
from alertbot.store.sqlite.store import SqliteStore
from tests.service.bot import alertbot, environment, until
from tests.store.build import begin, firing
from tests.store.postgres import address_of, run

PASSWORD = "Tr0ub4dor-and-3"


@pytest.fixture
def address() -> Iterator[str]:
    run("CREATE DATABASE migrated")
    yield address_of("migrated").replace("postgres:@", f"postgres:{PASSWORD}@")
    run("DROP DATABASE migrated WITH (FORCE)")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with two alerts. Its file is all of it: no service uses it."""
    with closing(SqliteStore(tmp_path / "alertbot.db")) as store:
        begin(store, firing("1"))
        begin(store, firing("2"))
    return tmp_path / "alertbot.db"


def test_there_and_back(path: Path, address: str) -> None:
    """A second time nothing is copied, which is no failure. The source is the same file, byte by byte."""
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    first = alertbot("migrate-storage", str(path), address, cwd=path.parent)
    second = alertbot("migrate-storage", str(path), address, cwd=path.parent)
    back = alertbot("migrate-storage", address, "back.db", cwd=path.parent)
    assert [each.returncode for each in (first, second, back)] == [0, 0, 0], first.stderr + second.stderr + back.stderr
    assert first.stdout.startswith("copied 10 of 10 rows: postgresql://postgres@/migrated?host=")
    assert f"has all 10 rows of {path}, verified" in first.stdout.replace("\n", " ")
    assert second.stdout.startswith("nothing to copy: ")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    with closing(SqliteStore(path.parent / "back.db")) as there, closing(SqliteStore(path)) as here:
        assert there.alerts() == here.alerts()
        assert len(there.alerts()) == 2
    assert PASSWORD not in "".join(each.stdout + each.stderr for each in (first, second, back))


TYPED = {
    "a password": ("{address}", {}, True),
    "a reference": ("{reference}", {"DATABASE_PASSWORD": PASSWORD}, False),
    "no password": ("{bare}", {"PGPASSWORD": PASSWORD}, False),
}


@pytest.mark.parametrize(("typed", "env", "warned"), TYPED.values(), ids=TYPED)
def test_how_a_password_is_given(path: Path, address: str, typed: str, env: dict[str, str], warned: bool) -> None:
    """All processes can see one in an argument."""
    spelt = typed.format(
        address=address,
        reference=address.replace(PASSWORD, "${DATABASE_PASSWORD}"),
        bare=address.replace(f":{PASSWORD}@", "@"),
    )
    ran = alertbot("migrate-storage", str(path), spelt, cwd=path.parent, **env)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("copied 10 of 10 rows")
    assert ("the password in an argument is shown in the list of processes" in ran.stderr) is warned
    assert PASSWORD not in ran.stdout + ran.stderr


def test_a_reference_to_nothing(path: Path) -> None:
    ran = alertbot("migrate-storage", str(path), "postgresql://bot:${NO_SUCH}@127.0.0.1/alertbot", cwd=path.parent)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "the environment variable NO_SUCH is not set" in ran.stderr


def test_a_copy_that_was_killed(path: Path, address: str) -> None:
    """Nothing runs on a part of a database, and the same command continues. In both directions."""
    folder = path.parent
    PostgresStore(address).close()
    killed(str(path), address, "notices", address, folder)
    refused(address, folder)
    ran = alertbot("migrate-storage", address, "other.db", cwd=folder)
    assert (ran.returncode, "finish the copy to it first" in ran.stderr.replace("\n", " ")) == (2, True), ran.stderr
    finished(str(path), address, folder)
    killed(address, "back.db", "card_alerts", address, folder)
    refused("back.db", folder)
    finished(address, "back.db", folder)
    with closing(SqliteStore(folder / "back.db")) as there, closing(SqliteStore(path)) as here:
        assert there.alerts() == here.alerts()


def killed(source: str, target: str, table: str, address: str, folder: Path) -> None:
    """A copy that is killed while it waits for a table, of which another session keeps it."""
    with psycopg.connect(address) as conn:
        mode = "ACCESS EXCLUSIVE" if address == source else "SHARE"
        conn.execute(f"LOCK TABLE alertbot.{table} IN {mode} MODE")
        command = [sys.executable, "-m", "alertbot", "migrate-storage", source, target]
        copying = subprocess.Popen(command, cwd=folder, env=environment(), stderr=subprocess.DEVNULL)
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = %s::regclass"
        until("it waits", lambda: conn.execute(waiting, [f"alertbot.{table}"]).fetchone())
        copying.kill()
        copying.wait(10)


def refused(storage: str, folder: Path) -> None:
    """Every command that would use it says what to do."""
    (folder / "rules.yaml").write_text("rules: [{id: open, title: Open, scope: queue, when: entered.today >= 0}]")
    tenant = {"name": "acme", "region": "eu", "api_key": "key", "api_secret": "secret"}
    slack = {"bot_token": "xoxb-1", "default_channel": "#cc-alerts"}
    settings = {"tenants": [tenant], "slack": slack, "rules": "rules.yaml", "storage": storage}
    (folder / "alertbot.yaml").write_text(json.dumps(settings))
    for command in ("run", "ask status"):
        ran = alertbot(*command.split(), cwd=folder)
        assert ran.returncode == 1, command
        assert "has only a part of another database: `alertbot migrate-storage` was interrupted; run the same" in (
            ran.stderr.replace("\n", " ")
        )
        assert PASSWORD not in ran.stderr


def finished(source: str, target: str, folder: Path) -> None:
    """The same command adds what is missing; then it is a database as any other."""
    ran = alertbot("migrate-storage", source, target, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    added = int(ran.stdout.split()[1])
    assert 0 < added < 10, ran.stdout
    status = alertbot("ask", "status", cwd=folder)
    assert status.returncode == 0, status.stderr
    assert "2 firing" in status.stdout


def test_a_database_in_use(path: Path, address: str) -> None:
    with closing(SqliteStore(path)) as store:
        store.take_leases(["delivery"], "vm, process 7 (run 0a1b2c3d)", wall_clock(), timedelta(minutes=5))
    ran = alertbot("migrate-storage", str(path), address, cwd=path.parent)
    assert ran.returncode == 2
    assert "is used by alertbot (vm, process 7): stop it first" in ran.stderr.replace("\n", " ")


def test_a_database_with_workers(path: Path, address: str) -> None:
    """In both directions."""
    with closing(PostgresStore(address)) as store:
        store.workers.create()
        store.workers.join("vm, process 7 (run 0a1b2c3d)", 5, "0.2.0", "{}", wall_clock())
    for arguments in ((str(path), address), (address, "back.db")):
        ran = alertbot("migrate-storage", *arguments, cwd=path.parent)
        assert ran.returncode == 2
        assert "is used by alertbot (vm, process 7): stop it first" in ran.stderr.replace("\n", " ")


def test_a_target_with_other_data(path: Path, address: str) -> None:
    with closing(PostgresStore(address)) as store:
        begin(store, firing("other"))
    ran = alertbot("migrate-storage", str(path), address, cwd=path.parent)
    assert ran.returncode == 2
    assert "has data that is not a copy of the other database" in ran.stderr.replace("\n", " ")


WRONG = {
    "no such file": ("gone.db", "there is no database yet"),
    "an empty server": ("{address}", "there are no tables yet"),
    "the same": ("copy.db", "FROM and TO are the same database"),
}


@pytest.mark.parametrize(("source", "said"), WRONG.values(), ids=WRONG)
def test_a_source_that_is_none(tmp_path: Path, address: str, source: str, said: str) -> None:
    """Nothing is created for it."""
    ran = alertbot("migrate-storage", source.format(address=address), "copy.db", cwd=tmp_path)
    assert ran.returncode != 0
    assert said in ran.stderr.replace("\n", " ")
    assert PASSWORD not in ran.stdout + ran.stderr
    assert not (tmp_path / "copy.db").exists()
