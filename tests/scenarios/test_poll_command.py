"""`alertbot poll` says whether every tenant was fully polled, and why not."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from alertbot.simulator.faults import ApiFault
from alertbot.simulator.server import Simulator, SimulatorOptions, serve
from alertbot.store.sqlite.store import SqliteStore
from tests.service.bot import alertbot
from tests.slack.slack_server import TOKEN, slack_server

RULES = """
rules:
  - {id: waiting, scope: queue, when: interactionsWaitInQueue.rt > 1000}
  - {id: on-break, scope: group, when: onBreak.rt > 1000}
"""
# What goes wrong with each tenant, and a word of the reason.
TENANTS: dict[str, tuple[ApiFault | None, str]] = {
    "whole": (None, ""),
    "partial": (ApiFault("status", path="/groups", status=403, tenant=1), "403"),
    "failed": (ApiFault("status", status=400, tenant=2), "400"),
    "refused": (None, "refused"),
}


def config(sim: Simulator, names: Sequence[str]) -> str:
    """alertbot.yaml with these tenants; `refused` has the wrong secret."""
    tenants = [
        {
            "name": name,
            "base_url": sim.base_url,
            "token_url": sim.token_url,
            "api_key": sim.tenants[number].api_key,
            "api_secret": "wrong-secret" if name == "refused" else sim.tenants[number].api_secret,
        }
        for number, name in enumerate(TENANTS)
        if name in names
    ]
    slack = {"bot_token": "xoxb-nobody", "default_channel": "#cc-alerts"}
    return json.dumps({"tenants": tenants, "slack": slack, "rules": "rules.yaml"})  # JSON is YAML too


def test_the_limit_of_a_channel_holds_over_runs(tmp_path: Path) -> None:
    """Four cards at two messages a minute: one, and the report; the next run, in the same minute, posts nothing."""
    (tmp_path / "rules.yaml").write_text("rules:\n  - {id: open, scope: queue, when: entered.today >= 0}\n")
    options = SimulatorOptions(queues=4, groups=1, agents=6)
    with serve(options) as sim, slack_server() as slack:
        settings = json.loads(config(sim, ["whole"]))
        settings["slack"] |= {"bot_token": TOKEN, "api_url": slack.api_url}
        (tmp_path / "alertbot.yaml").write_text(json.dumps(settings | {"max_messages": 2}))
        first = alertbot("poll", "--json", cwd=tmp_path)
        posted = [message["text"] for message in slack.top()]
        second = alertbot("poll", cwd=tmp_path)
        assert [message["text"] for message in slack.top()] == posted
    assert (first.returncode, second.returncode) == (1, 1), first.stderr + second.stderr
    assert len(posted) == 2
    assert posted[1].startswith("3 messages are held back until ")
    read = json.loads(first.stdout)["whole"]
    assert (read["told"], read["held_back"]) == (2, 3)
    (held,) = read["held_back_in"]
    assert (held["channel"], held["messages"], held["limit"], len(held["names"])) == ("#cc-alerts", 3, 2, 3)
    assert "3 held back: #cc-alerts: 3 messages are held back until " in second.stdout


def test_exit_status_and_reasons(tmp_path: Path) -> None:
    """0 if all data came, else 1 with each tenant's reason, as text and as JSON; no secret is shown."""
    (tmp_path / "rules.yaml").write_text(RULES)
    yaml = tmp_path / "alertbot.yaml"
    with serve(SimulatorOptions(tenants=4, queues=4, groups=1, agents=6)) as sim:
        for fault, _ in TENANTS.values():
            if fault is not None:
                sim.faults.add(fault)
        yaml.write_text(config(sim, list(TENANTS)))
        shown = alertbot("poll", "--dry-run", cwd=tmp_path)
        read = alertbot("poll", "--dry-run", "--json", cwd=tmp_path)
        yaml.write_text(config(sim, ["whole"]))
        fine = alertbot("poll", "--dry-run", cwd=tmp_path)
    assert (shown.returncode, read.returncode, fine.returncode) == (1, 1, 0), shown.stderr + read.stderr + fine.stderr
    assert not list(tmp_path.glob("*.db*")), "a dry run makes no database"
    found = json.loads(read.stdout)
    for name, (_, words) in TENANTS.items():
        assert bool(found[name]["problems"]) is (name != "whole"), name
        assert words in " ".join(found[name]["problems"]), name
        assert words in shown.stdout, name
    assert "8x8 refuses the credentials" in shown.stdout  # the alert that this raises
    everything = shown.stdout + shown.stderr + read.stdout + read.stderr
    assert not [each.api_secret for each in sim.tenants if each.number and each.api_secret in everything]
    assert "wrong-secret" not in everything


def test_silences_from_cron(tmp_path: Path) -> None:
    """Each command is a process of its own: what is made, what starts and what ends is announced once."""
    (tmp_path / "rules.yaml").write_text(
        "rules: [{id: waiting, title: Waiting, scope: queue, when: interactionsWaitInQueue.rt >= 0}]"
    )
    with serve(SimulatorOptions(tenants=1, queues=1, groups=1, agents=2)) as sim, slack_server() as slack:
        (tmp_path / "alertbot.yaml").write_text(
            json.dumps(
                {
                    "tenants": [
                        {
                            "name": "acme",
                            "base_url": sim.base_url,
                            "token_url": sim.token_url,
                            "api_key": sim.tenants[0].api_key,
                            "api_secret": sim.tenants[0].api_secret,
                        }
                    ],
                    "slack": {
                        "bot_token": TOKEN,
                        "default_channel": "#cc-alerts",
                        "api_url": slack.api_url,
                    },
                    "rules": "rules.yaml",
                    "timezone": "Europe/Helsinki",
                }
            )
        )
        alertbot("poll", cwd=tmp_path)
        refused = alertbot("ask", "silence rule=wating 1s", cwd=tmp_path)
        made = alertbot("ask", "silence rule=waiting 1ms", "test", cwd=tmp_path)
        assert (refused.returncode, made.returncode) == (1, 0), refused.stderr + made.stderr
        assert "There is no rule “wating”: did you mean rule=waiting?" in refused.stdout
        alertbot("poll", "--dry-run", cwd=tmp_path)
        assert len(announced(tmp_path)) == 1, "a dry run announces nothing"
        for _ in range(2):
            alertbot("poll", cwd=tmp_path)
    start, end = announced(tmp_path)
    assert re.fullmatch(
        r"Silence #2 by \ufffc until .* EET: rule=waiting \(test\)\. Matching alerts are tracked.*", start
    )
    assert re.fullmatch(
        r"Silence #2 by \ufffc has ended, at .* EET: rule=waiting \(test\)\. 1 alert is still open: #1 .* · Waiting\.",
        end,
    )


def announced(folder: Path) -> list[str]:
    """The texts of the announcements, in their order."""
    store = SqliteStore(folder / "alertbot.db")
    try:
        return [entry.notice.text for entry in store.notices_of(None) if entry.notice.text.startswith("Silence")]
    finally:
        store.close()
