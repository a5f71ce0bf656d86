"""`alertbot poll` says whether every tenant was fully polled, and why not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from alertbot.simulator.faults import ApiFault
from alertbot.simulator.server import Simulator, SimulatorOptions, serve
from tests.service.bot import alertbot

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
