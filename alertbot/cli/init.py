"""The files that `alertbot init` writes: alertbot.yaml, first rules, editor schemas, the Slack app manifest."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer

from alertbot.cli.show import out
from alertbot.config.schema import config_schema
from alertbot.errors import UsageError
from alertbot.rulefiles.schema import rules_schema, tests_schema
from alertbot.slack.manifest import manifest

CONFIG = """\
# yaml-language-server: $schema=schemas/config.json
# The configuration of alertbot. Run `alertbot check` after an edit: it reports every mistake.
# ${NAME} is an environment variable, ${NAME:-default} one with a default, ${file:/run/secrets/x} a file.
# This file is read at startup: restart alertbot after an edit. Rule files are reloaded automatically.

tenants:
  - name: main
    region: us                      # us | eu | ap | ca
    api_key: ${EIGHT_BY_EIGHT_KEY}        # 8x8 Admin Console > API Keys > Create App,
    api_secret: ${EIGHT_BY_EIGHT_SECRET}  # product "Analytics for Contact Center"
    # tenant_id: acme01             # only for multitenant customers
    # timezone: Europe/Helsinki     # of .today metrics; default: the tenant's own
    # poll_every: 15s               # at least 5s
    # default_channel: "#acme"      # for this tenant; default: slack.default_channel
    # percent_scale: auto           # auto | ratio | percent: the scale of 8x8's percentages
    # max_requests_per_minute: 60   # requests beyond it are skipped, and reported

slack:
  bot_token: ${SLACK_BOT_TOKEN}             # xoxb-…, from OAuth & Permissions
  app_token: ${SLACK_APP_TOKEN:-}           # xapp-…, for Socket Mode: no public URL needed
  signing_secret: ${SLACK_SIGNING_SECRET:-} # instead of app_token: signed requests to POST /slack/events
  default_channel: "#cc-alerts"     # invite the bot there
  # ops_channel: "#cc-alerts-ops"   # for operational messages; default: default_channel
  # command: /alertbot
  # fallback_webhook: {url: "${FALLBACK_WEBHOOK_URL:-}", after: 2m, levels: [critical]}   # if Slack is down
  # may_change: {users: [], usergroups: [], channels: []}   # who may change alerts; all empty: every user

rules: rules/
storage: alertbot.db
# hours: {office: {timezone: Europe/Helsinki, open: {mon-fri: "08:00-18:00"}}}   # for `during` and `outside`
# timezone: UTC                     # for times shown where the reader's time zone is not known
# stale_after: 2m                   # no successful poll for this long: alert in ops_channel, /readyz returns 503
# frozen_after: 15m                 # no value changed for this long while there are callers: alert in ops_channel
# storm: {cards: 5}                 # new cards per channel and poll; further alerts of a rule share one card
# max_messages: 60                  # per channel and minute; critical ones first
# history: 90d                      # how long ended alerts are kept, with everything that was sent about them
# record: {keep: 8d, usual: 8w, keys: used}    # polls, for charts, windows and replay; means, for usual(KEY, 4w)
# ignore: {queue: {name: ["*test*"]}}   # what no rule evaluates
# flap: {rises: 4, window: 30m}     # begins more often than this in the window: must stay clear twice as long
# nag_after: 2h                     # still firing this long after it was acknowledged: its owner is mentioned once
# policy: {runbook: critical, labels: [team], tests: true, max_per_day: 20}   # what `check` requires of rules
# privacy: {agents: names}          # initials: agents are shown by their initials in all output, logs included
# http: {host: 127.0.0.1, port: 8080}   # the status page, /healthz, /readyz, /metrics, /slack/events
# page: {password: "${PAGE_PASSWORD:-}"}   # for the status page; without it, only browsers on this machine can see it
# digest: {every: mon 08:00, channel: "#cc-alerts-ops"}   # a report on alert quality; or every: daily 08:00
# heartbeat: {url: "${HEARTBEAT_URL:-}", every: 60s}   # pinged while alertbot works; alarms when pings stop
"""


FIRST_TEST = """\
# yaml-language-server: $schema=../../schemas/tests.json
# Tests of your rules: a series of polls, and what is expected of the alert. Run `alertbot test` after an edit.
# Change a limit in ../queues.yaml and this test says what became of it.

tests:
  - name: a spike waits, a long wait fires
    rule: longest-wait
    every: 15s
    entity: {id: "101", name: Sales}
    series:
      interactionsLongestWaitInQueue.rt: 10s 70s 10s 130s 130s 20s 20s 20s
    expect:
      - {at: 15s, state: pending, level: warning}
      - {at: 30s, state: inactive}
      - {at: 45s, state: firing, level: critical}
      - {at: 75s, state: recovering}
      - {at: 105s, state: inactive}
"""


NEXT_STEPS = """
Next:
  1. 8x8 Admin Console > API Keys > Create App, product "Analytics for Contact Center";
     export EIGHT_BY_EIGHT_KEY=… EIGHT_BY_EIGHT_SECRET=…
  2. https://api.slack.com/apps > Create New App > From a manifest: paste slack-manifest.json; install the app;
     export SLACK_BOT_TOKEN=xoxb-… SLACK_APP_TOKEN=xapp-…; invite the bot to your channel
  3. alertbot check, then alertbot doctor, then alertbot run"""


# Read by yaml-language-server, the language server of most editors; relative to the file that the line is in.
MODELINE = "# yaml-language-server: $schema="
SCHEMAS = {"config": config_schema, "rules": rules_schema, "tests": tests_schema}
# For files without such a line in VS Code and its relatives. The patterns are relative to the folder that is opened.
EDITOR_SETTINGS = {
    "yaml.schemas": {
        "./schemas/config.json": ["alertbot.yaml"],
        "./schemas/rules.json": ["rules/**/*.yaml", "rules/**/*.yml", "!rules/**/tests/*"],
        "./schemas/tests.json": ["rules/**/tests/*.yaml", "rules/**/tests/*.yml"],
    }
}


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def shipped_rules() -> Path:
    """The folder with the rules that ship with alertbot."""
    packed = Path(str(resources.files("alertbot"))) / "shipped_rules"
    # In a checkout the rules are next to the package.
    return packed if packed.is_dir() else packed.parent.parent / "rules"


def write_files(folder: Path) -> list[tuple[Path, bool]]:
    """Write the files that `folder` does not have; returns each path and whether it was written.

    Raises UsageError when a file cannot be written.
    """
    files = {
        folder / "alertbot.yaml": CONFIG,
        folder / "slack-manifest.json": _json(manifest("/alertbot", None)),
        folder / ".vscode" / "settings.json": _json(EDITOR_SETTINGS),
        **{folder / "schemas" / f"{name}.json": _json(schema()) for name, schema in SCHEMAS.items()},
    }
    if not (folder / "rules").exists():
        # With one test: those of the shipped rules are for the rules as shipped, and these are meant to be changed.
        files[folder / "rules" / "tests" / "queues.yaml"] = FIRST_TEST
        for path in sorted([*shipped_rules().glob("*.yaml"), *shipped_rules().glob("optional/*.yaml")]):
            name = path.relative_to(shipped_rules())
            line = f"{MODELINE}{'../' * len(name.parts)}schemas/rules.json\n"
            files[folder / "rules" / name] = line + path.read_text(encoding="utf-8")
    done = []
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            done.append((path, True))
        except FileExistsError:
            done.append((path, False))
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from None
    return done


def init(
    folder: Annotated[Path, typer.Argument(help="The folder to write to.")] = Path(),
) -> None:
    """Write alertbot.yaml, rules, a rule test, editor settings and the Slack app manifest. Keep existing files."""
    for path, written in write_files(folder):
        out.print(f"{'wrote' if written else 'kept '} {path}", soft_wrap=True)
    out.print(NEXT_STEPS, soft_wrap=True)
