"""The service while its PostgreSQL server is gone, restarts, refuses connections or cuts them: nothing lost or doubled.

A breach begins meanwhile. It is reported once, when the database works again; the bot is not restarted.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from alertbot.simulator.server import Simulator, SimulatorOptions, serve
from tests.foreign import free_port
from tests.service.bot import RULES, alertbot, environment, get, until
from tests.simulator.kit import HandClock
from tests.slack.slack_server import TOKEN, SlackServer, slack_server
from tests.store.postgres import OwnServer, own_server

PASSWORD = "Tr0ub4dor-and-3"


@pytest.fixture(scope="module")
def own() -> Iterator[OwnServer]:
    with own_server() as made:
        yield made


@dataclass
class Site:
    """A contact centre, a Slack, a PostgreSQL server, and a folder with alertbot.yaml."""

    folder: Path
    port: int
    server: OwnServer
    centre: Simulator
    clock: HandClock
    slack: SlackServer

    @property
    def cards(self) -> list[str]:
        return [message["text"] for message in self.slack.top()]

    def ready(self) -> tuple[bool, str]:
        """What /readyz answers."""
        status, text = get(self.port, "/readyz")
        return status == 200, text

    def turns(self) -> int:
        """How many turns were recorded."""
        return int(self.server.ask("SELECT COALESCE(sum(turns), 0) FROM alertbot.feeds"))


@pytest.fixture
def site(tmp_path: Path, own: OwnServer) -> Iterator[Site]:
    own.run("DROP DATABASE alertbot WITH (FORCE)", "postgres")
    own.run("CREATE DATABASE alertbot OWNER bot", "postgres")
    clock = HandClock(datetime.now(UTC))
    options = SimulatorOptions(clock=clock, scenario="demo", queue_names={0: "Sales EU"})
    with serve(options) as centre, slack_server() as slack:
        slack.clock = time.time  # messages are looked for by their time
        made = Site(tmp_path, free_port(), own, centre, clock, slack)
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
            "storage": own.address.replace("bot@", f"bot:{PASSWORD}@"),
            "http": {"port": made.port},
        }
        (tmp_path / "alertbot.yaml").write_text(json.dumps(settings))  # JSON is YAML too
        yield made


@contextmanager
def running(site: Site) -> Iterator[None]:
    """`alertbot run --verbose`. Afterwards its log has no traceback and no password, and no line time and again."""
    log = site.folder / "run.log"
    with log.open("wb") as out:
        bot = subprocess.Popen(
            [sys.executable, "-m", "alertbot", "run", "--verbose"],
            cwd=site.folder,
            env=environment(),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        until("ready", lambda: site.ready()[0])
        yield
    finally:
        bot.terminate()
        bot.wait(30)
    lines = log.read_text().splitlines()
    assert "Traceback" not in "\n".join(lines)
    assert PASSWORD not in "\n".join(lines)
    problems = Counter(problem for line in lines if (problem := warned(line)))
    assert {line: times for line, times in problems.items() if times > 1} == {}
    assert len(problems) <= 20, problems


def warned(line: str) -> str:
    """What a line of level warning or worse says, without numbers; "" of any other line."""
    said = json.loads(line)
    if said["level"] not in ("warning", "error", "critical"):
        return ""
    return re.sub(r"\d+", "#", f"{said['event']} {said.get('error', '')} {said.get('problem', '')}")


# Each makes the database fail, and ends that; it yields what /readyz says.
Fault = Callable[[Site], AbstractContextManager[str]]


@contextmanager
def stopped(site: Site) -> Iterator[str]:
    site.server.stop()
    yield "Connection refused"
    site.server.start()


@contextmanager
def refusing(site: Site) -> Iterator[str]:
    site.server.run("ALTER DATABASE alertbot ALLOW_CONNECTIONS false", "postgres")
    cut(site)
    yield "is not currently accepting connections"
    site.server.run("ALTER DATABASE alertbot ALLOW_CONNECTIONS true", "postgres")


def cut(site: Site) -> None:
    """End all connections of the bot, whatever they are doing."""
    site.server.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'alertbot'", "postgres"
    )


FAULTS: dict[str, Fault] = {
    "stopped": stopped,
    "refusing connections": refusing,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_run_while_the_server_is_gone(site: Site, fault: Fault) -> None:
    with running(site):
        with fault(site) as said:
            site.clock.forward(seconds=100)  # the breach begins
            until("the reason", lambda: said in site.ready()[1])
            ready, why = site.ready()
            assert not ready
            assert f"postgresql://bot@127.0.0.1:{site.server.port}/alertbot cannot be reached: " in why
            assert get(site.port, "/healthz")[0] == 200
            assert site.cards == []
        until("one card", lambda: len(site.cards) == 1)
        until("ready again", lambda: site.ready()[0])
        turns = site.turns()
        until("it polls as before", lambda: site.turns() >= turns + 1)
    assert len(site.cards) == 1


def test_run_while_the_server_restarts(site: Site) -> None:
    """What needs the database waits for it: no turn fails for a restart that takes a second."""
    with running(site):
        for how in ("fast", "immediate", "fast"):
            turns = site.turns()
            site.server.stop(how)
            site.server.start()
            until("it polls again", lambda: site.turns() > turns)  # noqa: B023  # called at once
        site.clock.forward(seconds=100)
        until("one card", lambda: len(site.cards) == 1)
        until("ready", lambda: site.ready()[0])
    assert len(site.cards) == 1


# Of the statements that write a notice, the server ends the session in the first, the third and the fifth: when the
# alert is recorded, when its card is claimed, and when the card, which was posted, is marked as delivered.
CUTTING = """
    CREATE SEQUENCE public.writes;
    CREATE FUNCTION public.cut() RETURNS TRIGGER LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        IF nextval('public.writes') IN (1, 3, 5) THEN
            PERFORM pg_terminate_backend(pg_backend_pid());
        END IF;
        RETURN NULL;
    END
    $$;
    CREATE TRIGGER cut AFTER INSERT OR UPDATE ON alertbot.notices EXECUTE FUNCTION public.cut()
"""


def test_run_while_connections_are_cut_in_transactions(site: Site) -> None:
    """Each transaction is undone and tried again; a message that may have been posted is looked for, and found."""
    with running(site):
        site.server.run(CUTTING)
        site.clock.forward(seconds=100)
        until(
            "it is known that the card was delivered",
            lambda: site.server.ask("SELECT count(*) FROM alertbot.notices WHERE state = 'delivered'") == 1,
            within=90,
        )
        assert site.server.ask("SELECT last_value FROM public.writes") >= 6
        until("ready", lambda: site.ready()[0])
    assert len(site.cards) == 1


def test_run_without_a_server(site: Site) -> None:
    """It ends at once, with the reason, so that whatever supervises it starts it again."""
    site.server.stop()
    try:
        ran = alertbot("run", cwd=site.folder)
    finally:
        site.server.start()
    assert ran.returncode == 1
    assert "cannot be reached: " in ran.stderr
    assert "Connection refused" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert PASSWORD not in ran.stderr


def test_a_password_that_is_wrong(site: Site) -> None:
    """Every command says so, with the remedy, and none shows the password."""
    site.server.run("ALTER ROLE bot PASSWORD 'another'")
    site.server.allow("host all postgres 127.0.0.1/32 trust", "host all all 127.0.0.1/32 scram-sha-256")
    try:
        ran = {
            command: alertbot(*command.split(), cwd=site.folder)
            for command in ("run --verbose", "poll", "ask status", "doctor", "doctor --json", "history")
        }
        source = site.server.address.replace("bot@", "bot:${DATABASE_PASSWORD}@")
        ran["migrate"] = alertbot("migrate-storage", source, "copy.db", cwd=site.folder, DATABASE_PASSWORD=PASSWORD)
    finally:
        site.server.allow("host all all 127.0.0.1/32 trust")
    for command, each in ran.items():
        assert each.returncode == 1, command
        assert "password authentication failed" in (each.stdout + each.stderr).replace("\n", " "), command
        assert PASSWORD not in each.stdout + each.stderr, command
        assert "Traceback" not in each.stderr, command
    assert "correct the user and the password in `storage`" in ran["doctor"].stdout.replace("\n", " ")


def test_a_user_who_may_not_use_the_tables(site: Site) -> None:
    """It is not the one who made them. `run` and `doctor` say so."""
    assert alertbot("poll", cwd=site.folder).returncode == 0
    site.server.run("DROP ROLE IF EXISTS guest")
    site.server.run("CREATE ROLE guest LOGIN")
    path = site.folder / "alertbot.yaml"
    path.write_text(path.read_text().replace("bot:", "guest:"))
    for command in ("run", "doctor"):
        ran = alertbot(command, cwd=site.folder)
        assert ran.returncode == 1
        assert "the user guest may not use the tables" in (ran.stdout + ran.stderr).replace("\n", " ")
        assert PASSWORD not in ran.stdout + ran.stderr


def test_metrics_show_no_password(site: Site) -> None:
    """Nor does the status page, while the server is down."""
    with running(site):
        site.server.stop()
        until("the reason", lambda: "cannot be reached" in site.ready()[1])
        shown = get(site.port, "/metrics")[1] + get(site.port, "/")[1] + site.ready()[1]
        site.server.start()
        until("ready again", lambda: site.ready()[0])
    assert "alertbot_" in shown
    assert PASSWORD not in shown
