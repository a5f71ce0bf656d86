"""alertbot.yaml: what is accepted, and how each mistake is reported."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from alertbot.config.load import MAX_PROBLEMS, config_path, literal_secrets, load, parse, unset_secrets
from alertbot.config.schema import config_schema
from alertbot.errors import ConfigError
from tests.golden import DATA

ENV = {"KEY": "key-value", "SECRET": "secret-value", "TOKEN": "xoxb-value"}
GOOD = """\
tenants:
  - name: acme
    region: eu
    api_key: ${KEY}
    api_secret: ${SECRET}
slack:
  bot_token: ${TOKEN}
  default_channel: "#cc-alerts"
"""


def test_a_small_file_is_enough() -> None:
    """Everything but tenants and slack has a default."""
    settings = parse(GOOD, "alertbot.yaml", ENV)
    assert settings.tenants[0].poll_every == timedelta(seconds=15)
    assert (settings.tenants[0].percent_scale, settings.tenants[0].max_requests_per_minute) == ("auto", 60)
    assert settings.slack.ops == "#cc-alerts"
    assert settings.secrets() == ("xoxb-value", "key-value", "secret-value")


def test_secrets_do_not_show() -> None:
    """No secret is in the repr or in the dump of settings."""
    settings = parse(GOOD, "alertbot.yaml", ENV)
    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert not any(secret in text for secret in ENV.values())


def test_references(tmp_path: Path) -> None:
    """The environment, a default, and a file are read; a file's last newline is not part of the secret."""
    secret = tmp_path / "secret"
    secret.write_text("from-file\n")
    text = GOOD.replace("${KEY}", "${NOT_THERE:-fallback}").replace("${SECRET}", f"${{file:{secret}}}")
    tenant = parse(text, "alertbot.yaml", ENV).tenants[0]
    assert tenant.api_key.get_secret_value() == "fallback"
    assert tenant.api_secret.get_secret_value() == "from-file"


HOURS = """\
hours:
  office:
    timezone: ${ZONE:-Europe/Helsinki}
    open: {mon-fri: "08:00-18:00"}
"""


def test_hours_are_read_as_in_rule_files() -> None:
    """Calendars by name, with references filled in; the dump of settings names them."""
    settings = parse(GOOD + HOURS, "alertbot.yaml", {**ENV, "ZONE": "Europe/Tallinn"})
    office = settings.hours["office"]
    assert (office.timezone, office.where, len(office.weekly[0])) == ("Europe/Tallinn", "alertbot.yaml:10", 1)
    assert settings.model_dump()["hours"] == ["office"]
    assert parse(GOOD, "alertbot.yaml", ENV).hours == {}


def test_every_fault_of_hours_is_named_with_its_place() -> None:
    """Beside those of the other settings, all of them at once."""
    wrong = HOURS.replace("08:00-18:00", "8-18").replace("timezone", "timezoen")
    wrong += "    holidays: [2026-02-30]\nstorge: x\n"
    with pytest.raises(ConfigError) as caught:
        parse(GOOD + wrong, "alertbot.yaml", ENV)
    assert str(caught.value).splitlines() == [
        "alertbot.yaml:10:3: hours: the calendar office has no timezone (write timezone: Europe/Helsinki)",
        'alertbot.yaml:11:5: hours: unknown key "timezoen" (did you mean "timezone"?)',
        'alertbot.yaml:12:21: hours: "8-18" is not a range of hours (write "08:00-18:00")',
        "alertbot.yaml:13:16: hours: there is no date 2026-02-30 (write year-month-day)",
        'alertbot.yaml:14:1: storge: unknown key (did you mean "storage"?)',
    ]


DIGESTS = {
    "weekly": ("{every: mon 08:00, channel: '#cc-reports'}", ("mon 08:00", "#cc-reports")),
    "daily, in the default channel": ("{every: daily 7:30}", ("daily 7:30", None)),
    "switched off by a reference": ("{every: '${DIGEST:-}'}", ("", None)),
}


@pytest.mark.parametrize(("text", "wanted"), DIGESTS.values(), ids=DIGESTS)
def test_digest(text: str, wanted: tuple[str, str | None]) -> None:
    """When and where the digest is sent."""
    digest = parse(f"{GOOD}digest: {text}\n", "alertbot.yaml", ENV).digest
    assert (digest.every, digest.channel) == wanted


BAD = {
    "digest without a time": (
        GOOD + "digest: {channel: '#a'}\n",
        "alertbot.yaml:9:1: digest: every is missing: when to send the digest, such as mon 08:00",
    ),
    "digest at no time": (
        GOOD + "digest: {every: weekly}\n",
        "alertbot.yaml:9:10: digest.every: must be a day and a time, such as mon 08:00, or daily 08:00 "
        "(days: mon, tue, wed, thu, fri, sat, sun)",
    ),
    "digest without a channel": (
        GOOD + "digest: {every: mon 08:00, channel: reports}\n",
        "digest.channel: a channel is",
    ),
    "empty": ("", "alertbot.yaml:1:1: expected settings such as `tenants:` and `slack:`"),
    "list": ("- a\n", "alertbot.yaml:1:1: expected settings"),
    "tab": ("tenants:\n\t- name: a\n", "alertbot.yaml:2:1: a tab"),
    "duplicate key": (GOOD + "slack: {}\n", 'alertbot.yaml:9:1: duplicate key "slack"'),
    "unknown key": (
        GOOD.replace("region", "regoin"),
        'alertbot.yaml:3:5: tenants[0].regoin: unknown key (did you mean "region"?)',
    ),
    "unknown key at the top": (
        GOOD + "storge: x\n",
        'alertbot.yaml:9:1: storge: unknown key (did you mean "storage"?)',
    ),
    "no tenants": (
        "tenants: []\nslack: {bot_token: x, default_channel: '#a'}\n",
        "alertbot.yaml:1:1: tenants: at least one tenant is required",
    ),
    "tenant is no mapping": (GOOD.replace("  - name: acme\n    ", "  - acme\n  - "), "tenants[0]: expected keys"),
    "no region": (
        GOOD.replace("    region: eu\n", ""),
        "set either region (us, eu, ap, ca), or base_url and token_url",
    ),
    "wrong region": (
        GOOD.replace("eu", "mars"),
        'alertbot.yaml:3:5: tenants[0].region: must be us, eu, ap or ca, not "mars"',
    ),
    "base_url alone": (
        GOOD.replace("region: eu", "base_url: https://example.com/x"),
        "base_url and token_url go together",
    ),
    "plain http": (
        GOOD.replace("region: eu", "base_url: http://example.com/x\n    token_url: http://example.com/t"),
        "tenants[0].token_url: plain http:// is allowed only on loopback",
    ),
    "too fast": (GOOD.replace("region: eu", "region: eu\n    poll_every: 2s"), "poll_every is at least 5s"),
    "duration without unit": (
        GOOD.replace("region: eu", "region: eu\n    poll_every: 20"),
        "tenants[0].poll_every: a duration is written as 15s, 2m or 1m30s, not 20",
    ),
    "record.keep beyond ten years": (
        GOOD + "record: {keep: 3000000d}\n",
        "alertbot.yaml:9:10: record.keep: must not be longer than ten years",
    ),
    "refresh beyond ten years": (
        GOOD.replace("slack:", "slack:\n  refresh: 999999999d"),
        "slack.refresh: must not be longer than ten years",
    ),
    "poll_every beyond ten years": (
        GOOD.replace("region: eu", "region: eu\n    poll_every: 999999999999d"),
        "tenants[0].poll_every: must not be longer than ten years",
    ),
    "no card at all": (GOOD + "storm: {cards: 0}\n", "storm.cards: must be at least 1, not 0"),
    "storm is a number": (GOOD + "storm: 5\n", "storm: expected keys, indented below it"),
    "more messages than Slack takes": (GOOD + "max_messages: 100\n", "max_messages: must be at most 60, not 100"),
    "no messages": (GOOD + "max_messages: 0\n", "max_messages: must be at least 1, not 0"),
    "never unstable": (GOOD + "flap: {rises: 0}\n", "flap.rises: must be at least 1, not 0"),
    "a short window": (GOOD + "flap: {window: 30s}\n", 'flap.window: must be from 1m to 1d, not "30s"'),
    "a long window": (GOOD + "flap: {window: 2d}\n", 'flap.window: must be from 1m to 1d, not "2d"'),
    "a window without unit": (GOOD + "flap: {window: 30}\n", "flap.window: a duration is written as 15s, 2m or 1m30s"),
    "a misspelt key of flap": (GOOD + "flap: {raises: 4}\n", 'flap.raises: unknown key (did you mean "rises"?)'),
    "nag at once": (GOOD + "nag_after: 0s\n", 'nag_after: must be from 1m to 30d, not "0s"'),
    "stale_after beyond ten years": (GOOD + "stale_after: 4000d\n", "stale_after: must not be longer than ten years"),
    "percent scale": (
        GOOD.replace("region: eu", "region: eu\n    percent_scale: 100"),
        "tenants[0].percent_scale: must be auto, ratio or percent, not 100",
    ),
    "no requests at all": (
        GOOD.replace("region: eu", "region: eu\n    max_requests_per_minute: 0"),
        "tenants[0].max_requests_per_minute: must be at least 1, not 0",
    ),
    "time zone": (
        GOOD + "timezone: Europe/Helsinky\n",
        'timezone: must be a time zone, not "Europe/Helsinky" (did you mean Europe/Helsinki?)',
    ),
    "channel": (GOOD.replace('"#cc-alerts"', "cc-alerts"), 'slack.default_channel: a channel is written "#name"'),
    "channel as a comment": (GOOD.replace('"#cc-alerts"', "#cc-alerts"), "slack.default_channel: "),
    "port": (GOOD + "http: {port: 70000}\n", "alertbot.yaml:9:8: http.port: must be at most 65535, not 70000"),
    "tenant twice": (
        GOOD.replace("slack:", "  - {name: acme, region: us, api_key: a, api_secret: b}\nslack:"),
        "duplicate tenant name: acme",
    ),
    "unset variable": (
        GOOD.replace("${KEY}", "${UNSET_KEY}"),
        "alertbot.yaml:4:5: tenants[0].api_key: the environment variable UNSET_KEY is not set",
    ),
    "missing secret": (
        GOOD.replace("    api_key: ${KEY}\n", ""),
        "tenants[0].api_key: missing: create the pair in the 8x8 Admin Console",
    ),
    "secret that reads as an alias": (
        GOOD.replace("${KEY}", "*key-value"),
        "alertbot.yaml:4:14: not valid YAML (write the value in quotes)",
    ),
    "secret that reads as a tag": (
        GOOD.replace("${KEY}", "!key-value"),
        "alertbot.yaml:4:14: not valid YAML (write the value in quotes)",
    ),
    "unreadable secret file": (
        GOOD.replace("${KEY}", "${file:/nonexistent/key}"),
        "tenants[0].api_key: cannot read /nonexistent/key: No such file",
    ),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD.keys())
def test_a_mistake_is_reported(text: str, message: str) -> None:
    """Each mistake names file, line, column and key, and never shows a secret."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "alertbot.yaml", ENV)
    assert message in str(caught.value)
    assert not any(secret in str(caught.value) for secret in ENV.values())


def test_faults_of_yaml_stand_beside_the_others() -> None:
    """A duplicate key hides no other mistake: both are reported, in the order of the file."""
    with pytest.raises(ConfigError) as caught:
        parse(GOOD.replace("region", "regoin") + "slack: {}\n", "alertbot.yaml", ENV)
    assert [problem.split(": ")[0] for problem in caught.value.problems] == [
        "alertbot.yaml:3:5",
        "alertbot.yaml:9:1",
    ]


VALUES = {
    "whole number": ("http: {port: 9090}", 9090),
    "number with underscores": ("http: {port: 9_090}", 9090),
    "hexadecimal number": ("http: {port: 0x1F90}", 8080),
    "number from the environment": ("http: {port: '${PORT:-9090}'}", 9090),
    "merge key": ("http:\n  <<: &base {port: 9090}", 9090),
    "merge key that loses": ("http:\n  port: 9091\n  <<: {port: 9090}", 9091),
}


@pytest.mark.parametrize(("text", "port"), VALUES.values(), ids=VALUES.keys())
def test_values_are_those_of_yaml(text: str, port: int) -> None:
    """Numbers, references and merge keys mean what they mean in YAML 1.2."""
    assert parse(f"{GOOD}{text}\n", "alertbot.yaml", ENV).http.port == port


def test_a_date_is_a_text() -> None:
    """Not a date object: a setting that takes a text gets what is written."""
    assert parse(f"{GOOD}storage: 2026-02-30\n", "alertbot.yaml", ENV).storage == "2026-02-30"


def test_all_mistakes_at_once_in_at_most_15_lines() -> None:
    """A file with many mistakes lists them in one report that fits a screen."""
    text = GOOD + "".join(f"wrong{n}: 1\n" for n in range(40))
    with pytest.raises(ConfigError) as caught:
        parse(text, "alertbot.yaml", ENV)
    assert len(caught.value.problems) == MAX_PROBLEMS + 1 == 15
    assert caught.value.problems[-1] == "alertbot.yaml: and 26 more"


def test_commands_that_do_not_post_need_no_secrets() -> None:
    """`check` and `ask` run without the secrets, but still refuse a wrong file."""
    assert parse(GOOD, "alertbot.yaml", {}, secrets=False).secrets() == ()
    with pytest.raises(ConfigError):
        parse(GOOD.replace("region", "regoin"), "alertbot.yaml", {}, secrets=False)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file .*alertbot init"):
        load(tmp_path / "alertbot.yaml", {})


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "alertbot.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "alertbot.yaml", {})


def test_paths_count_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "alertbot.yaml").write_text(GOOD)
    settings = load(tmp_path / "alertbot.yaml", ENV)
    assert settings.path(settings.storage) == tmp_path / "alertbot.db"


def test_which_file() -> None:
    assert config_path(None, {}) == Path("alertbot.yaml")
    assert config_path(None, {"ALERTBOT_CONFIG": "/etc/a.yaml"}) == Path("/etc/a.yaml")
    assert config_path(Path("b.yaml"), {"ALERTBOT_CONFIG": "/etc/a.yaml"}) == Path("b.yaml")


def test_the_schema_names_every_setting() -> None:
    schema = config_schema()
    assert set(schema["properties"]) == {
        *("tenants", "slack", "rules", "hours", "storage", "record", "timezone", "stale_after", "frozen_after", "http"),
        *("ignore", "storm", "max_messages", "flap", "nag_after", "heartbeat", "history", "privacy", "policy", "page"),
        "digest",
    }


SECRET = "Tr0ub4dor-and-more"
WRONG_PLACES = (
    "slack.default_channel",
    "slack.api_url",
    "slack.command",
    "slack.refresh",
    "tenants[0].region",
    "tenants[0].timezone",
    "tenants[0].poll_every",
    "tenants[0].max_requests_per_minute",
    "tenants[0].rules",
    "rules",
    "timezone",
    "stale_after",
    "hours",
    "hours.office.timezone",
    "hours.office.open",
    "hours.office.holidays",
    "http.port",
    "record.keys",
    "storge",
)


def put(dotted: str, value: Any) -> str:
    """A configuration with that value under one key."""
    base: dict[str, Any] = {
        "tenants": [{"name": "acme", "region": "eu", "api_key": "k", "api_secret": "s"}],
        "slack": {"bot_token": "x", "default_channel": "#a"},
        "hours": {"office": {"timezone": "UTC", "open": {"mon": "08:00-18:00"}}},
        "http": {},
        "record": {},
    }
    holder: Any = base
    *above, last = dotted.replace("[0]", ".0").split(".")
    for part in above:
        holder = holder[0 if part == "0" else part]
    holder[last] = value
    return json.dumps(base)


@pytest.mark.parametrize("key", WRONG_PLACES)
@pytest.mark.parametrize("way", ["${KEY}", "${file:%s}", " ${KEY} and more"])
def test_a_secret_under_the_wrong_key_is_never_printed(tmp_path: Path, key: str, way: str) -> None:
    """The reference is quoted in its place."""
    (tmp_path / "secret").write_text(SECRET)
    value = way.replace("%s", str(tmp_path / "secret"))
    path = tmp_path / "alertbot.yaml"
    path.write_text(put(key, value))
    with pytest.raises(ConfigError) as caught:
        load(path, {"KEY": SECRET})
    said = str(caught.value).casefold()
    assert all(SECRET[start : start + 5].casefold() not in said for start in range(len(SECRET) - 5))


NOT_PRINTED = {
    "the address of the heartbeat": put("heartbeat", {"url": "ftp://hc.example/Tr0ub4dor"}),
    "the address of the fallback webhook": put("slack.fallback_webhook", {"url": "ftp://hook.example/Tr0ub4dor"}),
    "a short password of the page": put("page", {"password": "Tr0ub4dor"}),
    "a token under the wrong key": put("slack.default_channel", "xoxb-1-Tr0ub4dor"),
    "a password in an address": put("slack.api_url", "ftp://bot:Tr0ub4dor@proxy"),
    "a database with a password": put("storage", "mysql://bot:Tr0ub4dor@host/db"),
    "a password with @ and /": put("storage", "postgresql://bot:Tr0ub4dor@/x@host/db"),
}


@pytest.mark.parametrize("text", NOT_PRINTED.values(), ids=NOT_PRINTED)
def test_what_looks_like_a_secret_is_not_printed(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "alertbot.yaml", {})
    assert "ub4dor" not in str(caught.value)


STORAGES = {
    "in its place": ("postgresql://bot:Tr0ub4dor@db.example:5432/alertbot", "Tr0ub4dor"),
    "as a parameter": ("postgresql://bot@db.example:5432/alertbot?password=Tr0ub4dor", "Tr0ub4dor"),
    "with special characters": ("postgresql://bot:Tr0ub%264dor@db.example:5432/alertbot", "Tr0ub&4dor"),
}


@pytest.mark.parametrize(("address", "password"), STORAGES.values(), ids=STORAGES)
def test_the_password_of_the_database_is_a_secret(address: str, password: str) -> None:
    """It is redacted as it is written and as it is meant, and is not shown with the settings."""
    settings = parse(put("storage", address), "alertbot.yaml", {})
    assert settings.server == address
    assert password in settings.secrets()
    assert settings.database() == "postgresql://bot@db.example:5432/alertbot"
    assert "Tr0ub" not in f"{settings!r} {settings.model_dump_json()} {settings.database()}"


def test_the_address_of_the_heartbeat_is_a_secret() -> None:
    """It lets others silence the alarm. A reference that is not set means that there is none."""
    settings = parse(put("heartbeat", {"url": "https://hc.example/Tr0ub4dor", "every": "2m"}), "alertbot.yaml", {})
    assert "https://hc.example/Tr0ub4dor" in settings.secrets()
    assert "Tr0ub4dor" not in f"{settings!r} {settings.model_dump_json()}"
    unset = parse(put("heartbeat", {"url": "${HEARTBEAT:-}"}), "alertbot.yaml", {})
    assert unset.heartbeat.url.get_secret_value() == ""


def test_the_address_of_the_fallback_webhook_is_a_secret() -> None:
    """So is a password in it. Without an address there is none."""
    address = "https://me:pass-of-hook@hook.example/Tr0ub4dor"
    settings = parse(put("slack.fallback_webhook", {"url": address}), "alertbot.yaml", {})
    assert {address, "pass-of-hook"} <= set(settings.secrets())
    assert "Tr0ub4dor" not in f"{settings!r} {settings.model_dump_json()}"
    assert settings.slack.fallback_webhook.levels == ("critical",)
    unset = parse(put("slack.fallback_webhook", {"url": "${HOOK:-}"}), "alertbot.yaml", {})
    assert unset.slack.fallback_webhook.url.get_secret_value() == ""


def test_the_password_of_the_page_is_a_secret() -> None:
    """A reference that is not set means that there is none; in a dump it is asterisks."""
    settings = parse(put("page", {"password": "Tr0ub4dor and more"}), "alertbot.yaml", {})
    assert "Tr0ub4dor and more" in settings.secrets()
    assert "Tr0ub4dor" not in f"{settings!r} {settings.model_dump_json()}"
    unset = parse(put("page", {"password": "${PAGE_PASSWORD:-}"}), "alertbot.yaml", {})
    assert unset.page.password.get_secret_value() == ""
    assert literal_secrets("page: {password: Tr0ub4dor and more}") == ["page.password"]


def test_a_password_in_an_address_is_redacted() -> None:
    assert "Tr0ub4dor" in parse(put("slack.api_url", "https://bot:Tr0ub4dor@proxy/"), "alertbot.yaml", {}).secrets()


REFUSED = {
    "a line break in a header": (put("tenants[0].tenant_id", "a\nb"), "character 2 is U+000A, which no HTTP header"),
    "a control character in a key": (put("tenants[0].api_key", "a\u0007"), "character 2 is U+0007"),
    "a no-break space in a token": (put("slack.bot_token", "xoxb\u00a01"), "slack.bot_token: character 5 is U+00A0"),
    "a line break in an address": (put("slack.api_url", "https://a\n.b/"), "an address starts with https://"),
    "a database in memory": (put("storage", ":memory:"), "storage: must be the path of a file: a database in memory"),
    "a database of another kind": (
        put("storage", "mysql://host/db"),
        "storage: must be the path of a file, or postgresql://USER:PASSWORD@HOST:PORT/DATABASE",
    ),
    "a server without a database": (put("storage", "postgresql://bot@host:5432"), "storage: must name the database"),
    "a port that is none": (put("storage", "postgresql://bot@host:five/db"), "storage: must be an address such as"),
    "a database in memory by URI": (put("storage", "file::memory:?cache=shared"), "must be the path of a file"),
    "a number for a text": (
        put("tenants[0].tenant_id", "X").replace('"X"', "12"),
        "tenant_id: must be text, not 12 (put it in quotes)",
    ),
    "no number": (put("http.port", "http"), 'http.port: must be a whole number, not "http"'),
    "a name with a blank": (put("tenants[0].name", "a b"), "name: must be a short name of letters, digits"),
    "a channel as a comment": (
        GOOD.replace('"#cc-alerts"', "#cc-alerts").replace("${", "x{"),
        'slack.default_channel: empty: # begins a comment in YAML: write "#cc-alerts", in quotes',
    ),
    "a heartbeat without an address": (
        put("heartbeat", {"every": "1m"}),
        "heartbeat: url is missing: the address to ping",
    ),
    "a heartbeat too often": (
        put("heartbeat", {"url": "https://hc.example/x", "every": "5s"}),
        "heartbeat: every must be at least 10s",
    ),
    "a heartbeat in the clear": (
        put("heartbeat", {"url": "http://hc.example/x"}),
        "heartbeat.url: plain http:// is allowed only on loopback",
    ),
    "a short password of the page": (
        put("page", {"password": "Tr0ub4dor&3"}),
        "page.password: must have at least 12 characters",
    ),
    "a password of the page without quotes": (
        "page: {password: 1234}\n" + GOOD.replace("${", "x{"),
        "page.password: must be text",
    ),
    "a webhook without an address": (
        put("slack.fallback_webhook", {"after": "1m"}),
        "slack.fallback_webhook: url is missing: the address to post to",
    ),
    "a webhook in the clear": (
        put("slack.fallback_webhook", {"url": "http://hook.example/x"}),
        "slack.fallback_webhook.url: plain http:// is allowed only on loopback",
    ),
    "a webhook too soon": (
        put("slack.fallback_webhook", {"url": "https://hook.example/x", "after": "5s"}),
        "slack.fallback_webhook.after: must be from 30s to 1d",
    ),
    "a level that does not exist": (
        put("slack.fallback_webhook", {"url": "https://hook.example/x", "levels": ["fatal"]}),
        "slack.fallback_webhook.levels[0]: ",
    ),
    "no level": (
        put("slack.fallback_webhook", {"url": "https://hook.example/x", "levels": []}),
        "slack.fallback_webhook: levels must name at least one of info, warning, critical",
    ),
    "a misspelt key of the webhook": (
        put("slack.fallback_webhook", {"url": "https://hook.example/x", "level": ["critical"]}),
        'slack.fallback_webhook.level: unknown key (did you mean "levels"?)',
    ),
    "a person for a channel": (put("slack.ops_channel", "@ann"), "alerts go to channels, not to a person"),
    "an offset for a zone": (put("timezone", "GMT+2"), "(write the place, such as Europe/Helsinki)"),
    "aliases of aliases": (
        "a: &a [x]\n"
        + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in itertools.pairwise("abcdefghij")),
        "its aliases stand for more than 100,000 values",
    ),
    "deep lists": ("a: " + "[" * 2000 + "]" * 2000, "nested too deeply"),
}


@pytest.mark.parametrize(("text", "said"), REFUSED.values(), ids=REFUSED)
def test_a_value_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "alertbot.yaml", {})
    assert said in str(caught.value)
    assert len(caught.value.problems) == 1


def test_a_misspelt_key_is_one_problem() -> None:
    """Not also the missing one that it stands for."""
    with pytest.raises(ConfigError) as caught:
        parse(GOOD.replace("default_channel", "defaultchannel"), "alertbot.yaml", ENV)
    assert caught.value.problems == (
        'alertbot.yaml:8:3: slack.defaultchannel: unknown key (did you mean "default_channel"?)',
    )


def test_values_of_variables_are_trimmed_like_those_of_files() -> None:
    """As env files with the line ends of Windows have them; a variable of blanks counts as unset."""
    settings = parse(GOOD, "alertbot.yaml", {**ENV, "SECRET": " secret-value\r\n"})
    assert settings.tenants[0].api_secret.get_secret_value() == "secret-value"
    with pytest.raises(ConfigError, match="KEY is not set"):
        parse(GOOD, "alertbot.yaml", {**ENV, "KEY": " \r"})


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("secrets", [True, False])
def test_quotes_around_a_value_are_reported(quote: str, secrets: bool) -> None:
    """`docker --env-file` keeps them, and 8x8 would refuse the credentials."""
    with pytest.raises(ConfigError) as caught:
        parse(GOOD, "alertbot.yaml", {**ENV, "SECRET": f"{quote}secret-value{quote}"}, secrets=secrets)
    assert caught.value.problems == (
        "alertbot.yaml:5:5: tenants[0].api_secret: the value of the environment variable SECRET has quotes around it: "
        "remove them",
    )


def test_a_place_for_anchors() -> None:
    """Top-level keys that begin with x- are left alone; a reference below one is read where an alias uses it."""
    text = "x-keys: &keys {api_key: '${KEY}', api_secret: '${SECRET}'}\nx-other: ${NOT_THERE}\n"
    text += GOOD.replace("    api_key: ${KEY}\n    api_secret: ${SECRET}\n", "    <<: *keys\n")
    assert "key-value" in parse(text, "alertbot.yaml", ENV).secrets()


def test_what_is_not_set_here(tmp_path: Path) -> None:
    path = tmp_path / "alertbot.yaml"
    path.write_text(GOOD.replace("  bot_token: ${TOKEN}\n", ""))
    assert unset_secrets(path, {"KEY": "x"}) == ["SECRET", "slack.bot_token"]
    assert unset_secrets(path, ENV) == ["slack.bot_token"]


TAKEN = {
    "poll_every": ["5s", " 5s ", "1m30s", "1.5h", "30s1m", "5", 5, "${X:-15s}", None],
    "region": ["us", "mars", "${X:-us}", 5],
    "timezone": ["UTC", "${X:-UTC}", 5],
    "percent_scale": ["auto", "half", "${X:-auto}"],
    "max_requests_per_minute": [60, "60", " 60 ", 0, 1.5, "many", "${X:-60}", [60]],
    "default_channel": ["#a", "${X:-#a}", 5, ["#a"]],
    "tenant_id": ["a", "12", 12, "${X:-a}"],
    "nonsense": ["x"],
}


@pytest.mark.parametrize("key", TAKEN)
def test_the_schema_and_the_loader_agree(key: str) -> None:
    validator = jsonschema.Draft202012Validator(config_schema())
    for value in TAKEN[key]:
        text = put(f"tenants[0].{key}", value)
        try:
            parse(text, "alertbot.yaml", {})
            loader = True
        except ConfigError:
            loader = False
        assert loader == validator.is_valid(json.loads(text)), value


def test_a_reported_file_passes() -> None:
    """References and numbers in quotes, which the schema once refused."""
    path = DATA / "reports" / "config-schema.yaml"
    settings = load(path, {})
    assert (settings.frozen_after, settings.http.port) == (timedelta(hours=1.5), 8080)
    document = YAML(typ="safe", pure=True).load(path.read_bytes())
    assert jsonschema.Draft202012Validator(config_schema()).is_valid(document)


LONGEST_POLLS = {
    "the top-level rules": (["rules"], 30),
    "a file in them": (["rules/queues.yaml"], 30),
    "a tenant's own": (["slow"], 60),
    "a folder above both": (["."], 60),
    "rules of no tenant": (["elsewhere"], 60),
}


@pytest.mark.parametrize(("paths", "longest"), LONGEST_POLLS.values(), ids=LONGEST_POLLS)
def test_the_longest_poll_of_those_who_use_rules(paths: list[str], longest: int) -> None:
    """Reminders are bounded by it; where no tenant uses the rules, all tenants count."""
    text = """
tenants:
  - {name: a, region: eu, api_key: k, api_secret: s, poll_every: 10s}
  - {name: b, region: eu, api_key: k, api_secret: s, poll_every: 30s}
  - {name: c, region: eu, api_key: k, api_secret: s, poll_every: 60s, rules: slow/}
slack: {bot_token: x, default_channel: "#a"}
"""
    settings = parse(text, "/opt/alertbot/alertbot.yaml", {})
    found = settings.longest_poll([Path("/opt/alertbot") / path for path in paths])
    assert found == timedelta(seconds=longest)
