"""The files that `alertbot init` writes: a commented alertbot.yaml, a first rule file, the Slack app manifest."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from alertbot.cli.shell import cli
from alertbot.cli.show import out
from alertbot.errors import UsageError
from alertbot.slack.manifest import manifest

CONFIG = """\
# alertbot's configuration. `alertbot check` reads it and says what is wrong with it.
# ${NAME} reads the environment, ${NAME:-default} with a default, ${file:/run/secrets/x} a file.
# It is read at the start: restart alertbot after an edit. Rule files are read again by themselves.

tenants:
  - name: main
    region: us                      # us | eu | ap | ca: where your 8x8 tenant lives
    api_key: ${EIGHT_BY_EIGHT_KEY}        # 8x8 Admin Console > API Keys > Create App,
    api_secret: ${EIGHT_BY_EIGHT_SECRET}  # product "Analytics for Contact Center"
    # tenant_id: acme01             # only for multitenant customers
    # timezone: Europe/Helsinki     # for .today metrics; default: the tenant's own
    # poll_every: 15s               # at least 5s
    # default_channel: "#acme"      # of this tenant; default: that of slack, as is ops_channel
    # percent_scale: auto           # auto | ratio | percent: how 8x8 sends percentages
    # max_requests_per_minute: 60   # what does not fit is left out of a poll, and said

slack:
  bot_token: ${SLACK_BOT_TOKEN}             # xoxb-…: OAuth & Permissions
  app_token: ${SLACK_APP_TOKEN:-}           # xapp-…: Socket Mode, no public address needed
  signing_secret: ${SLACK_SIGNING_SECRET:-} # instead: signed HTTP at POST /slack/events
  default_channel: "#cc-alerts"     # invite the bot there
  # ops_channel: "#cc-alerts-ops"   # where alertbot speaks of itself; default: default_channel
  # command: /alertbot
  # may_change: {users: [], usergroups: [], channels: []}   # who may acknowledge; empty: everybody

rules: rules/
storage: alertbot.db
# hours: {office: {timezone: Europe/Helsinki, open: {mon-fri: "08:00-18:00"}}}   # for during and outside of rules
# timezone: UTC                     # for times where the reader's own zone is not known
# stale_after: 2m                   # no good poll for so long: told in ops_channel, and by /readyz
# frozen_after: 15m                 # figures that stand still for so long, with callers there: told in ops_channel
# http: {host: 127.0.0.1, port: 8080}   # /healthz, /readyz, /slack/events
"""


NEXT_STEPS = """
Next:
  1. 8x8 Admin Console > API Keys > Create App, product "Analytics for Contact Center";
     export EIGHT_BY_EIGHT_KEY=… EIGHT_BY_EIGHT_SECRET=…
  2. https://api.slack.com/apps > Create New App > From a manifest: slack-manifest.json; install it;
     export SLACK_BOT_TOKEN=xoxb-… SLACK_APP_TOKEN=xapp-…; invite the bot to your channel
  3. alertbot check, then alertbot poll --dry-run, then alertbot run"""


def shipped_rules() -> Path:
    """The folder of the rules that ship with alertbot."""
    packed = Path(str(resources.files("alertbot"))) / "shipped_rules"
    # In a checkout the rules stand beside the package, where people edit them.
    return packed if packed.is_dir() else packed.parent.parent / "rules"


def write_files(folder: Path) -> list[tuple[Path, bool]]:
    """Write what is missing in `folder` and leave the rest: (path, whether it was written) each."""
    files = {
        folder / "alertbot.yaml": CONFIG,
        folder / "slack-manifest.json": json.dumps(manifest("/alertbot", None), indent=2) + "\n",
    }
    if not (folder / "rules").exists():
        # Not their tests: those hold for the rules as they ship, and these are written to be changed.
        for path in sorted([*shipped_rules().glob("*.yaml"), *shipped_rules().glob("optional/*.yaml")]):
            files[folder / "rules" / path.relative_to(shipped_rules())] = path.read_text(encoding="utf-8")
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


@cli.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where.")] = Path(),
) -> None:
    """Write a commented alertbot.yaml, the first rules and the Slack app manifest; leave what is there."""
    for path, written in write_files(folder):
        out.print(f"{'wrote' if written else 'kept '} {path}", soft_wrap=True)
    out.print(NEXT_STEPS, soft_wrap=True)
