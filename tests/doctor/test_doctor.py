"""`doctor`: a right configuration has no problem; each breakage has its finding, with its remedy."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from alertbot.clock import wall_clock
from alertbot.config.load import load
from alertbot.doctor import database, tenant
from alertbot.doctor.database import file_system
from alertbot.doctor.examine import examine
from alertbot.doctor.finding import Finding, Verdict
from alertbot.doctor.running import check_page
from alertbot.service.databases import open_store
from alertbot.simulator.faults import ApiFault
from alertbot.simulator.server import Simulator, SimulatorOptions, serve
from alertbot.slack.manifest import manifest
from alertbot.store.sqlite.store import SqliteStore
from tests.page.kit import settings as page_settings
from tests.service.bot import alertbot
from tests.slack.slack_server import HTML, TOKEN, SlackServer, limited, refused, slack_server

KEY, SECRET = "key-of-8x8-0123456789", "secret-of-8x8-0123456789"
APP_TOKEN = "xapp-1-very-secret-token"
SIGNING_SECRET = "8f742231b10e8888abcd99eeefff85a5"
SCOPES = ",".join(manifest("/alertbot", None)["oauth_config"]["scopes"]["bot"])
CONFIG = """\
tenants:
  - name: acme
    {where}
    api_key: ${{KEY}}
    api_secret: ${{SECRET}}
{tenant}
slack:
  bot_token: ${{TOKEN}}
  app_token: ${{APP_TOKEN:-}}
  signing_secret: ${{SIGNING_SECRET:-}}
  default_channel: "#cc-alerts"
  api_url: {api_url}
{slack}
http: {{port: 0}}
{more}
"""
RULES = """\
hours:
  office: {timezone: UTC, open: {mon-fri: "08:00-18:00"}, holidays: [%s]}
rules:
  - id: long-wait
    scope: queue
    during: office
    critical: {when: interactionsLongestWaitInQueue.rt > 120s}
    channel: "#cc-sales"
  - id: on-break
    scope: agent
    when: status.rt == "OnBreak" and timeOnStatus.rt > 20m
"""


@dataclass
class World:
    """A configuration in `folder`, an 8x8 and a Slack; each may be spoilt before `findings`."""

    folder: Path
    centre: Simulator
    slack: SlackServer
    environment: dict[str, str]
    tenant: str = ""
    slack_settings: str = ""
    more: str = ""
    where: str = ""
    rules: str = ""
    holiday: str = "2199-12-24"
    slept: list[float] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.folder / "alertbot.yaml"

    @property
    def database(self) -> Path:
        return self.folder / "alertbot.db"

    def write(self) -> None:
        where = self.where or f"base_url: {self.centre.base_url}\n    token_url: {self.centre.token_url}"
        text = CONFIG.format(
            where=where, tenant=self.tenant, api_url=self.slack.api_url, slack=self.slack_settings, more=self.more
        )
        self.path.write_text(text, encoding="utf-8")
        (self.folder / "rules").mkdir(exist_ok=True)
        rules = self.rules or RULES % self.holiday
        (self.folder / "rules" / "all.yaml").write_text(rules, encoding="utf-8")

    def findings(self, *, regions: bool = False, written: bool = False) -> list[Finding]:
        if not written:
            self.write()
        settings = load(self.path, self.environment, secrets=False)
        with pytest.MonkeyPatch.context() as patch:
            for name in (*KEYS, "HTTPS_PROXY", "https_proxy"):
                patch.delenv(name, raising=False)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            return list(
                examine(
                    self.path,
                    settings,
                    wall_clock(),
                    regions=regions,
                    sleep=self.slept.append,
                    progress=self.steps.append,
                )
            )

    def store(self) -> SqliteStore:
        """The database, made as `run` makes it."""
        self.write()
        return open_store(load(self.path, self.environment))


KEYS = ("KEY", "SECRET", "TOKEN", "APP_TOKEN", "SIGNING_SECRET")


@contextmanager
def listener() -> Iterator[int]:
    """A port that accepts connections, and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    options = SimulatorOptions(
        queues=2, groups=1, agents=3, warm=timedelta(minutes=5), api_key=KEY, api_secret=SECRET, tenant_id=None
    )
    with serve(options) as centre, slack_server() as slack, listener() as port:
        slack.scopes = SCOPES
        slack.socket_url = f"ws://127.0.0.1:{port}/link/?ticket=very-secret-ticket"
        environment = {"KEY": KEY, "SECRET": SECRET, "TOKEN": TOKEN, "APP_TOKEN": APP_TOKEN}
        yield World(tmp_path, centre, slack, environment)


def problems(findings: list[Finding]) -> list[Finding]:
    return [each for each in findings if each.verdict is Verdict.PROBLEM]


def test_a_right_configuration(world: World) -> None:
    """Nothing is wrong, everything is named, and nothing was posted or written."""
    found = world.findings()
    assert problems(found) == []
    assert not [each for each in found if each.verdict is Verdict.SKIPPED]
    assert {each.what for each in found} >= {
        *("configuration file", "rules", "calendar office", "database", "database: file system", "disk", "http"),
        *("8x8 acme: token", "8x8 acme: base_url", "8x8 acme: metric keys", "8x8 acme: request budget"),
        *("8x8 acme: duration", "8x8 acme: clock", "matches", "Slack: token", "Slack: scopes", "Slack: #cc-alerts"),
        *("Slack: #cc-sales", "Slack: clock", "Slack: Socket Mode", "status page"),
    }
    called = {method for method, _ in world.slack.calls}
    assert called == {"auth.test", "conversations.list", "conversations.history", "apps.connections.open"}
    assert not world.database.exists()
    assert "8x8 acme: one poll" in world.steps


Spoil = Callable[[World], Any]


def _config(**parts: str) -> Spoil:
    def spoil(world: World) -> None:
        for name, text in parts.items():
            setattr(world, name, text)

    return spoil


def _unset(*names: str) -> Spoil:
    return lambda world: [world.environment.pop(name) for name in names]


def _set(**values: str) -> Spoil:
    return lambda world: world.environment.update(values)


def _slack(method: str, *faults: Any) -> Spoil:
    return lambda world: world.slack.next(method, *faults)


def _8x8(*args: Any, **more: Any) -> Spoil:
    return lambda world: world.centre.faults.add(ApiFault(*args, **more))


def _attribute(name: str, value: Any) -> Spoil:
    return lambda world: setattr(world.slack, name, value)


RULE = "rules:\n  - id: r\n    scope: queue\n    {}\n"
_SALES = "C0SALES"
TABLE: dict[str, tuple[Spoil, str, str, str]] = {
    # the configuration
    "a rule file with a fault": (
        _config(rules=RULE.format("when: interactionsLongestWaitInQueue.rt > 120")),
        *("rules", "write 120s", "`alertbot check` lists every fault"),
    ),
    "no rules": (_config(rules="rules: []\n"), "rules", "has no rules", "`alertbot init` writes some"),
    "a calendar that has ended": (
        _config(holiday="2020-12-24"),
        *("calendar office", "its last holiday was 2020-12-24", "add later dates, or use `{country: …}`"),
    ),
    "a calendar that ends soon": (
        lambda world: setattr(world, "holiday", (datetime.now(UTC) + timedelta(days=9)).date().isoformat()),
        *("calendar office", "in 9 days", "add later dates"),
    ),
    "half of the secrets": (
        _unset("SECRET"),
        *("secret SECRET", "the environment variable is not set here", "or run doctor where it is set"),
    ),
    # 8x8
    "a wrong key": (_set(KEY="other"), "8x8 acme: token", "were refused", "Admin Console > API Keys"),
    "8x8 is away": (
        _config(where="base_url: http://127.0.0.1:9/x\n    token_url: http://127.0.0.1:9/token"),
        *("8x8 acme: token", "refused the connection", "allow HTTPS to 127.0.0.1:9 in the firewall"),
    ),
    "a proxy that answers HTML in place of 8x8": (
        lambda world: (
            setattr(world, "where", f"base_url: {world.slack.url}/x\n    token_url: {world.slack.url}/token")
            or world.slack.next("/token", HTML, HTML, HTML)
        ),
        *("8x8 acme: token", "an HTML page", "set HTTPS_PROXY to a proxy that lets"),
    ),
    "8x8 fails": (
        _8x8("status", path="/queues", status=500),
        *("8x8 acme: data", "answered 500", "run doctor again in a few minutes"),
    ),
    "8x8 limits": (
        _8x8("status", path="/queues", status=429, retry_after=300),
        *("8x8 acme: data", "429", "another program may be using the same key"),
    ),
    "a tenant id that is not needed and wrong": (
        _8x8("status", path="/queues", status=400, body="message"),
        *("8x8 acme: data", "answered 400", "check base_url, token_url and tenant_id"),
    ),
    "a time zone that the tenant does not have": (
        _config(tenant="    timezone: Asia/Tokyo"),
        *("8x8 acme: timezone", "Invalid value for field 'timezone'", "one of the tenant's time zones in 8x8"),
    ),
    "nothing to see": (
        _8x8("empty"),
        *("8x8 acme: base_url", "has no entities: 0 queues", "`alertbot doctor --regions` tries the other regions"),
    ),
    "a metric key that 8x8 does not know": (
        _config(rules=RULE.format("known: false\n    when: noSuchKey.rt > 3 and interactionsWaitInQueue.rt > 3")),
        *("8x8 acme: metric keys", "noSuchKey.rt", "`alertbot metrics WORD` finds it"),
    ),
    "a rule that matches nothing": (
        _config(rules=RULE.format('match: {name: ["Nowhere"]}\n    when: interactionsWaitInQueue.rt > 3')),
        *("rule r", "its match covers nothing: name Nowhere", "a name is the whole name: write *VIP*"),
    ),
    "an override that matches nothing": (
        _config(
            rules=RULE.format(
                'params: {n: 3}\n    overrides: [{match: {name: ["[X]"]}, params: {n: 5}}]\n'
                "    when: interactionsWaitInQueue.rt > $n"
            )
        ),
        *("rule r", "an override covers nothing: name [X]", "brackets are literal"),
    ),
    "an id that 8x8 does not know": (
        _config(rules=RULE.format('match: {id: ["999999"]}\n    when: interactionsWaitInQueue.rt > 3')),
        *("8x8 acme: metric keys", "the id 999999", "correct the id in `match`"),
    ),
    "more requests than are allowed": (
        _config(tenant="    poll_every: 5s\n    max_requests_per_minute: 10"),
        *("8x8 acme: request budget", "24 of the 10 allowed per minute", "set poll_every to 12s or more"),
    ),
    "a clock that is wrong": (
        lambda world: setattr(world.slack, "date", lambda: datetime.now(UTC).timestamp() + 90),
        *("Slack: clock", "s behind that of Slack", "synchronise it (NTP)"),
    ),
    # Slack
    "no bot token": (_unset("TOKEN"), "secret TOKEN", "not set here", "set it, or run doctor where it is set"),
    "a wrong bot token": (_set(TOKEN="xoxb-other"), "Slack: token", "invalid_auth", "OAuth & Permissions"),
    "a revoked bot token": (
        _slack("auth.test", refused("token_revoked")),
        *("Slack: token", "token_revoked", "reinstall the app"),
    ),
    "a proxy that answers HTML in place of Slack": (
        _slack("auth.test", HTML),
        *("Slack: token", "no usable answer from Slack", "such as a proxy or a captive portal"),
    ),
    "Slack is away": (
        lambda world: setattr(world.slack, "url", "http://127.0.0.1:9"),
        *("Slack: token", "the connection was refused", "allow HTTPS to 127.0.0.1 in the firewall"),
    ),
    "a scope is missing": (
        _attribute("scopes", SCOPES.replace("channels:history,", "")),
        *("Slack: scope channels:history", "cannot be searched for", "then reinstall the app"),
    ),
    "a channel that is not there": (
        lambda world: world.slack.channels.pop("cc-sales"),
        *("Slack: #cc-sales", "the bot cannot find this channel (rule long-wait)", "/invite @alertbot"),
    ),
    "a channel that is misspelt": (
        _config(slack_settings='  ops_channel: "#cc-alert"'),
        *("Slack: #cc-alert", "(slack.ops_channel)", "did you mean #cc-alerts?"),
    ),
    "the channel of the digest": (
        _config(more='digest: {every: mon 08:00, channel: "#cc-report"}\n'),
        *("Slack: #cc-report", "the bot cannot find this channel (digest)", "/invite @alertbot"),
    ),
    "an archived channel": (
        _attribute("archived", {_SALES}),
        *("Slack: #cc-sales", "it is archived (rule long-wait)", "unarchive it"),
    ),
    "a channel without the bot": (
        _attribute("without_bot", {_SALES}),
        *("Slack: #cc-sales", "the bot is not a member: it cannot post there", "/invite @alertbot` in #cc-sales"),
    ),
    "a channel id that is not there": (
        _config(slack_settings='  ops_channel: "C0NOWHERE"'),
        *("Slack: C0NOWHERE", "the bot cannot find this channel", "if it is private"),
    ),
    "a history that cannot be read": (
        lambda world: world.slack.always.update({("conversations.history", _SALES): refused("missing_scope")}),
        *("Slack: #cc-sales", "the scope channels:history is missing", "Bot Token Scopes"),
    ),
    "channels that cannot be listed": (
        _slack("conversations.list", refused("missing_scope")),
        *("Slack: channels", "missing_scope", "Bot Token Scopes"),
    ),
    "a user group that is not there": (
        _config(slack_settings="  may_change: {usergroups: [S0NOWHERE]}"),
        *("Slack: user group S0NOWHERE", "there is no such user group", "slack.may_change.usergroups"),
    ),
    "a bot token as app token": (
        _set(APP_TOKEN="xoxb-1"),
        *("Slack: Socket Mode", "not an app-level token", "Basic Information > App-Level Tokens"),
    ),
    "a wrong app token": (
        _set(APP_TOKEN="xapp-other"),
        *(
            "Slack: Socket Mode",
            "Slack refuses slack.app_token (invalid_auth)",
            "connections:write, and enable Socket Mode",
        ),
    ),
    "a socket behind a firewall": (
        _attribute("socket_url", "wss://127.0.0.1:9/link"),
        *("Slack: Socket Mode", "the connection was refused", "allow HTTPS and WebSockets to 127.0.0.1 (port 9)"),
    ),
    "a signing secret that is none": (
        _set(APP_TOKEN="", SIGNING_SECRET="xoxb-1"),
        *("Slack: signing secret", "it does not look like one", "App Credentials > Signing Secret"),
    ),
    # the machine
    "a database of another program": (
        lambda world: sqlite3.connect(world.database).executescript("CREATE TABLE theirs (a)"),
        *("database", "the database of another program", "name another file in `storage`"),
    ),
    "a folder in place of the database": (
        lambda world: world.database.mkdir(),
        *("database", "it is a folder, not a file", "name a file in `storage`"),
    ),
    "a folder that is not there": (
        _config(more="storage: nowhere/alertbot.db"),
        *("database", "there is no folder", "create it, or name another file"),
    ),
    "a heartbeat that leads nowhere": (
        _config(more="heartbeat: {url: 'http://127.0.0.1:9/secret-of-the-heartbeat'}"),
        *("heartbeat", "127.0.0.1 cannot be reached: the connection was refused", "correct heartbeat.url"),
    ),
    "a fallback webhook that leads nowhere": (
        _config(slack_settings="  fallback_webhook: {url: 'http://127.0.0.1:9/secret-of-the-webhook'}"),
        "fallback webhook",
        "127.0.0.1 cannot be reached: the connection was refused",
        "correct slack.fallback_webhook.url",
    ),
}


@pytest.mark.parametrize(("spoil", "what", "finding", "remedy"), TABLE.values(), ids=TABLE)
def test_each_breakage_has_its_remedy(world: World, spoil: Spoil, what: str, finding: str, remedy: str) -> None:
    """The finding names the place and the reason, the remedy what to do; the rest is examined; no secret shows."""
    spoil(world)
    found = world.findings()
    matching = [each for each in problems(found) if each.what == what and finding in each.finding]
    assert matching, [f"{each.what}: {each.finding}" for each in problems(found)]
    assert remedy in matching[0].remedy
    assert all(each.remedy for each in found if each.verdict is not Verdict.OK)
    for part in ("configuration file", "database: file system", "8x8 acme: token", "Slack: token"):
        assert part in {each.what for each in found}, part
    text = "\n".join(f"{each.what} {each.finding} {each.remedy}" for each in found)
    for secret in (
        KEY,
        SECRET,
        TOKEN,
        APP_TOKEN,
        "very-secret-ticket",
        "secret-of-the-heartbeat",
        "secret-of-the-webhook",
    ):
        assert secret not in text


def test_a_tenant_id(tmp_path: Path) -> None:
    """A multitenant customer without the id, and with a wrong one; the right one is accepted."""
    options = SimulatorOptions(
        queues=2, groups=1, agents=3, warm=timedelta(minutes=5), api_key=KEY, api_secret=SECRET, tenant_id="acme01"
    )
    with serve(options) as centre, slack_server() as slack:
        for line, said in (("", "header is missing"), ("    tenant_id: other", "Invalid value")):
            world = World(tmp_path, centre, slack, {"KEY": KEY, "SECRET": SECRET, "TOKEN": TOKEN}, tenant=line)
            (found,) = [each for each in problems(world.findings()) if each.what == "8x8 acme: tenant id"]
            assert said in found.finding
            assert "set tenant_id to the id of the tenant" in found.remedy
        world.tenant = "    tenant_id: acme01"
        assert "8x8 acme: tenant id" in {each.what for each in world.findings() if each.ok}


def test_secrets_in_a_file_that_others_may_read(world: World) -> None:
    """Only where the secrets are in the file itself; references may be read by everyone."""
    world.write()
    world.path.chmod(0o644)
    assert problems(world.findings(written=True)) == []
    world.path.write_text(world.path.read_text().replace("${SECRET}", SECRET))
    (found,) = problems(world.findings(written=True))
    assert found.finding.endswith("holds secrets (tenants[0].api_secret) and other users can read it (mode 644)")
    assert found.remedy.startswith(f"run: chmod 600 {world.path}")
    world.path.chmod(0o600)
    assert problems(world.findings(written=True)) == []
    world.path.chmod(0o602)
    (found,) = problems(world.findings(written=True))
    assert found.remedy == f"run: chmod o-w {world.path}"


PAGES = {
    "loopback": ("", "127.0.0.1", Verdict.OK, "at /, only for browsers on this machine: page.password is not set"),
    "a password": ("correct horse battery", "0.0.0.0", Verdict.OK, "at /, for users with page.password"),
    "all interfaces": ("", "0.0.0.0", Verdict.NOTE, "off: without page.password it is served only on loopback"),
}


@pytest.mark.parametrize(("password", "host", "verdict", "said"), PAGES.values(), ids=PAGES)
def test_who_can_see_the_status_page(password: str, host: str, verdict: Verdict, said: str) -> None:
    (found,) = check_page(page_settings(password, host))
    assert found.verdict is verdict
    assert found.finding.startswith(said)


def test_a_database_in_use(world: World) -> None:
    """A running service is named; a write lock that another program holds is a problem."""
    store = world.store()
    try:
        store.take_leases(["delivery"], "host:1", wall_clock(), timedelta(seconds=30))
        found = {each.what: each for each in world.findings()}
        assert found["service"].finding.startswith("running as host:1")
        assert found["database"].ok
        with closing(sqlite3.connect(world.database)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(database, "LOCK_WITHIN_S", 0.1)
                locked = {each.what: each for each in world.findings()}["database"]
        assert locked.verdict is Verdict.PROBLEM
        assert "is locked" in locked.finding
        assert "fuser -v" in locked.remedy
    finally:
        store.close()


def test_a_database_of_a_newer_version(world: World) -> None:
    world.store().close()
    with closing(sqlite3.connect(world.database)) as other:
        columns = [row[1] for row in other.execute("PRAGMA table_info(_sqlite_migrations)")]
        row = list(other.execute("SELECT * FROM _sqlite_migrations").fetchone())
        row[columns.index("name")] = "from_the_future"
        if "id" in columns:
            row[columns.index("id")] = 9999
        other.execute(f"INSERT INTO _sqlite_migrations VALUES ({', '.join('?' * len(row))})", row)
        other.commit()
    (found,) = problems(world.findings())
    assert "was written by a newer alertbot" in found.finding
    assert found.remedy.startswith("install that version again, or restore a backup")


def test_a_port_that_another_program_has(world: World) -> None:
    """Something that is not alertbot listens there; alertbot itself is asked whether it is ready."""
    with _http(b"hello") as port:
        world.more = ""
        world.write()
        world.path.write_text(world.path.read_text().replace("http: {port: 0}", f"http: {{port: {port}}}"))
        (found,) = problems(world.findings(written=True))
        assert (found.what, found.remedy) == ("http", "stop it, or set http.port to another port")
    with _http(b'{"ready": false, "reasons": ["acme: no good poll yet"]}') as port:
        world.write()
        world.path.write_text(world.path.read_text().replace("http: {port: 0}", f"http: {{port: {port}}}"))
        (found,) = problems(world.findings(written=True))
        assert (found.what, found.finding) == ("service: readiness", "acme: no good poll yet")


@contextmanager
def _http(body: bytes) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def test_slack_that_asks_to_wait(world: World) -> None:
    """A Retry-After is waited for once; a long one is a finding."""
    world.slack.next("conversations.list", limited("7"))
    assert problems(world.findings()) == []
    assert world.slept == [7.0]
    assert "Slack: waiting 7 s, as Slack asked" in world.steps
    world.slack.next("conversations.list", limited("90"))
    (found,) = problems(world.findings())
    assert found.remedy == "wait a few minutes: another program may be using the same token"


def test_regions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only with --regions the other ones are tried; where the key works is named."""
    regions = {"us": f"{world.centre.root_url}/nothing-here", "eu": world.centre.base_url}
    monkeypatch.setattr(tenant, "REGIONS", regions)
    monkeypatch.setattr("alertbot.service.factories.REGIONS", regions)
    monkeypatch.setattr("alertbot.service.factories.TOKEN_URL", world.centre.token_url)
    world.where = "region: us"
    found = world.findings()
    assert not [each for each in found if each.what == "8x8 acme: regions"]
    (own,) = [each for each in problems(found) if each.what == "8x8 acme: region us"]
    assert "`alertbot doctor --regions`" in own.remedy
    (other,) = [each for each in problems(world.findings(regions=True)) if each.what == "8x8 acme: regions"]
    assert other.finding == "the key has queues in region eu, not in us"
    assert other.remedy == "set region: eu"
    world.where = "region: eu"
    (right,) = [each for each in world.findings(regions=True) if each.what == "8x8 acme: regions"]
    assert (right.verdict, right.finding) == (Verdict.OK, "the key has no queues in region us")
    world.environment["KEY"] = "other"
    (unknown,) = [each for each in world.findings(regions=True) if each.what == "8x8 acme: regions"]
    assert (unknown.verdict, unknown.finding) == (Verdict.SKIPPED, "not checked: there is no token")


MOUNTS = """\
overlay / overlay rw 0 0
tmpfs /dev/shm tmpfs rw 0 0
server:/x /data nfs4 rw 0 0
/dev/sda1 /data/with\\040blank ext4 rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/srv", "overlay"),
        ("/dev/shm/x", "tmpfs"),
        ("/data", "nfs4"),
        ("/data/with blank/y", "ext4"),
        ("/database", "overlay"),
    ],
)
def test_the_file_system_of_a_folder(tmp_path: Path, folder: str, kind: str) -> None:
    """The innermost mount counts, and a name that only begins alike does not."""
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    assert file_system(Path(folder), mounts) == kind


@pytest.mark.parametrize(
    ("kind", "verdict", "remedy"),
    [
        ("nfs4", Verdict.PROBLEM, "name a file on a local disk"),
        ("tmpfs", Verdict.PROBLEM, "name a file on a disk"),
        ("overlay", Verdict.NOTE, "name a file in a volume"),
        ("ext4", Verdict.OK, ""),
    ],
)
def test_file_systems(world: World, monkeypatch: pytest.MonkeyPatch, kind: str, verdict: Verdict, remedy: str) -> None:
    """A network file system breaks SQLite's locks; what is in memory or in a container's layer is lost with it."""
    monkeypatch.setattr(database, "file_system", lambda _: kind)
    (found,) = [each for each in world.findings() if each.what == "database: file system"]
    assert found.verdict is verdict
    assert remedy in found.remedy


def test_too_little_space(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MIN_FREE", 1 << 60)
    (found,) = [each for each in problems(world.findings()) if each.what == "disk"]
    assert found.remedy.startswith("free some space")


def test_a_large_log(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LARGE_WAL", 10)
    store = world.store()
    try:
        store.check_writable()
        (found,) = problems(world.findings())
    finally:
        store.close()
    assert found.what == "database: write-ahead log"
    assert "fuser -v" in found.remedy


def test_a_read_only_file_system(world: World) -> None:
    """Its remedy is not to change the owner of the file."""
    volume = world.folder / "volume"
    volume.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(volume)], capture_output=True, check=False).returncode:
        pytest.skip("takes a mount")
    try:
        world.more = "storage: volume/alertbot.db"
        world.store().close()
        subprocess.run(["mount", "-o", "remount,ro", str(volume)], check=True)
        (found,) = [each for each in problems(world.findings()) if each.what == "database"]
    finally:
        subprocess.run(["umount", str(volume)], check=True)
    assert "the file system is read-only" in found.finding
    assert "mount it writable" in found.remedy


def test_the_command(world: World) -> None:
    """Text and JSON, exit status 1 with problems and 0 without; without a network what can be checked is checked."""
    world.write()
    right = alertbot("doctor", "--json", cwd=world.folder, **world.environment)
    assert (right.returncode, right.stderr) == (0, "")
    found = json.loads(right.stdout)
    assert all(set(each) == {"what", "ok", "finding", "remedy", "verdict"} for each in found)
    assert all(each["ok"] for each in found)
    world.where = "region: us"
    world.write()
    offline = alertbot(
        "doctor",
        cwd=world.folder,
        NO_PROXY="127.0.0.1",
        HTTPS_PROXY="http://me:pass-of-proxy@127.0.0.1:9",
        **world.environment,
    )
    assert offline.returncode == 1
    assert "PROBLEM  8x8 acme: token: " in offline.stdout
    assert "-> check HTTPS_PROXY: the proxy must let HTTPS to api.8x8.com through" in offline.stdout
    assert "ok       Slack: token: " in offline.stdout
    assert offline.stdout.splitlines()[-1].endswith("1 problem, 1 not checked")
    assert "pass-of-proxy" not in offline.stdout + offline.stderr
    assert "Traceback" not in offline.stderr
    world.path.write_text("tenants: 5\n")
    assert alertbot("doctor", cwd=world.folder).returncode == 2
    assert alertbot("doctor", "--config", "nowhere.yaml", cwd=world.folder).returncode == 2


def test_a_proxy_that_answers_html(world: World) -> None:
    """HTTPS_PROXY leads to a server that answers every request with a page: a sentence, and the rest is checked."""
    with _proxy() as port:
        world.where = "region: us"
        world.write()
        environment = {**world.environment, "HTTPS_PROXY": f"http://127.0.0.1:{port}", "NO_PROXY": "127.0.0.1"}
        found = alertbot("doctor", "--json", cwd=world.folder, **environment)
    assert found.returncode == 1
    (token,) = [each for each in json.loads(found.stdout) if each["what"] == "8x8 acme: token"]
    assert not token["ok"]
    assert "HTTPS_PROXY" in token["remedy"]
    assert "Traceback" not in found.stderr


@contextmanager
def _proxy() -> Iterator[int]:
    """A proxy that answers CONNECT, and what follows, with HTML."""
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 19\r\n\r\n<html>log in</html>"
    stop = threading.Event()

    def answer(server: socket.socket) -> None:
        while not stop.is_set():
            try:
                sock, _ = server.accept()
            except OSError:
                return
            with closing(sock):
                sock.recv(4096)
                sock.sendall(page)
                sock.settimeout(1)
                with pytest.MonkeyPatch.context():
                    try:
                        sock.recv(4096)
                        sock.sendall(page)
                    except OSError:
                        pass

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        thread = threading.Thread(target=answer, args=[server], daemon=True)
        thread.start()
        yield server.getsockname()[1]
        stop.set()
        with closing(socket.create_connection(("127.0.0.1", server.getsockname()[1]))):
            pass
        thread.join(5)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(world: World) -> None:
    (world.folder / "data").mkdir(mode=0o555)
    world.more = "storage: data/alertbot.db"
    (found,) = problems(world.findings())
    assert "this user cannot create" in found.finding
    assert "chown USER" in found.remedy
