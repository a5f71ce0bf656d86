"""docs/prometheus: alert rules that hold what they say, and a dashboard that only uses metrics which exist."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from alertbot.web.metrics import SHARED

FOLDER = Path(__file__).parent.parent / "docs" / "prometheus"
RULES, DASHBOARD = FOLDER / "alertbot.rules.yaml", FOLDER / "alertbot-dashboard.json"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")


GENERATE = runpy.run_path(str(FOLDER.parent / "generate.py"))


def families(**changes: Any) -> list[Metric]:
    """Every metric of `/metrics`, with the values of docs/generate.py, and these in place of some."""
    metrics = GENERATE["sample_metrics"]()
    metrics.read_from(lambda: replace(GENERATE["sample_figures"](), **changes))
    return list(text_string_to_metric_families(metrics.render("")[0].decode()))


@pytest.fixture(scope="module")
def owners() -> dict[str, str]:
    """What each metric belongs to, as docs/operations.md says."""
    return {
        sample.name: str(GENERATE["shows"](family)) if family.type != "histogram" else "histogram"
        for family in families()
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def labels() -> dict[str, set[str]]:
    """Every metric of `/metrics`, with its labels; `instance` and `job` are added by Prometheus."""
    found: dict[str, set[str]] = {}
    for family in families():
        for sample in family.samples:
            found.setdefault(sample.name, {"instance", "job"}).update(sample.labels)
    return found


def used(expression: str) -> list[tuple[str, set[str]]]:
    """The metrics of an expression, each with the labels that it selects by."""
    found = []
    for name, selector in re.findall(r"\b((?:alertbot|process)_\w+)(?:\{([^}]*)\})?", expression):
        found.append((name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))))
    return found


def expressions(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node[key] for key in ("expr", "query") if isinstance(node.get(key), str)]
        return own + [each for value in node.values() for each in expressions(value)]
    if isinstance(node, list):
        return [each for value in node for each in expressions(value)]
    return []


def test_the_dashboard_uses_metrics_that_exist(labels: dict[str, set[str]]) -> None:
    """Every metric of every panel and variable exists and has the labels that it is selected by."""
    found = expressions(json.loads(DASHBOARD.read_text(encoding="utf-8")))
    names = set()
    for expression in found:
        for name, selected in used(expression):
            assert name in labels, f"{expression}: there is no metric {name}"
            assert selected <= labels[name], f"{expression}: {name} has no {selected - labels[name]}"
            names.add(name)
    assert len(names) > 15


def test_legends_name_labels_that_are_left(labels: dict[str, set[str]]) -> None:
    """A legend shows a label that the sum above it has kept."""
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel["targets"]:
            legend = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            kept = re.search(r"\bby \(([^)]*)\)", target["expr"])
            of_metric = set.union(*(labels[name] for name, _ in used(target["expr"])))
            assert legend <= (set(re.findall(r"\w+", kept[1])) if kept else of_metric), panel["title"]


def test_what_workers_share() -> None:
    """SHARED is what cannot be shown without the database, and what a worker sees of all workers."""
    shown, without = ({family.name for family in each} for each in (families(), families(store=None)))
    assert set(SHARED) == (shown - without) | {"alertbot_workers", "alertbot_tenants_without_worker"}


COUNTED = {
    "of the database": ("sum(max by (job) (alertbot_notices_waiting{}))", ""),
    "of the database, its rate": ("max by (job) (increase(alertbot_alerts_fired_total[5m]))", ""),
    "of the database, added up": ("sum(alertbot_notices_waiting)", "alertbot_notices_waiting"),
    "of the database, by worker": ("increase(alertbot_alerts_fired_total[5m])", "alertbot_alerts_fired_total"),
    "of a tenant": ("sum by (level) (max by (job, tenant, level) (alertbot_alerts{state='firing'}))", ""),
    "of a tenant, added up": ("sum by (level) (alertbot_alerts)", "alertbot_alerts"),
    "of a tenant, over all of them": ("max(alertbot_rules)", "alertbot_rules"),
    "of a process": ("sum by (outcome) (rate(alertbot_polls_total[5m])) * 60", ""),
    "of a process, its state": ("alertbot_problem == 1", ""),
    "of a process, its state added up": ("sum(alertbot_problem)", "alertbot_problem"),
}


@pytest.mark.parametrize(("expression", "wrong"), COUNTED.values(), ids=COUNTED)
def test_how_metrics_are_counted(expression: str, wrong: str, owners: dict[str, str]) -> None:
    assert ", ".join(miscounted(expression, owners)) == wrong


def miscounted(expression: str, owners: dict[str, str]) -> list[str]:
    """The metrics of an expression that would count twice where several workers show them."""
    wrong = []
    for found in re.finditer(r"\balertbot_\w+", expression):
        around = re.search(r"(\w+)(?: by \(([^)]*)\))? ?\((?:(?:rate|increase)\()?$", expression[: found.start()])
        function, by = (around[1], set(re.findall(r"\w+", around[2] or ""))) if around else ("", set())
        owner, counter = owners[found[0]], found[0].endswith("_total")
        if owner == "database":
            right = function == "max" and "job" in by
        elif owner == "tenant":
            right = function == "max" and {"job", "tenant"} <= by
        else:
            right = owner == "histogram" or counter or function in ("", "max")
        if not right:
            wrong.append(found[0])
    return wrong


def test_nothing_counts_twice_with_several_workers(owners: dict[str, str]) -> None:
    """On the dashboard and in the alert rules: what belongs to a tenant or to the database counts once."""
    rules = YAML(typ="safe", pure=True).load(RULES.read_text(encoding="utf-8"))
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    found = [*expressions(rules), *expressions(dashboard["panels"])]
    assert len(found) > 35
    for expression in found:
        assert not miscounted(expression, owners), expression


def test_panels_do_not_overlap() -> None:
    """Each panel has its own place on the grid, and its own id."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_alert_rules_use_metrics_that_exist(labels: dict[str, set[str]]) -> None:
    """Every metric of the alert rules and their tests exists with those labels."""
    for path in (RULES, FOLDER / "alertbot.rules.test.yaml"):
        found = used(path.read_text(encoding="utf-8"))
        assert found
        for name, selected in found:
            assert name in labels, f"{path.name}: there is no metric {name}"
            assert selected <= labels[name] | {"le"}, f"{path.name}: {name} has no {selected - labels[name]}"


def test_every_alert_rule_has_a_test() -> None:
    """Each alert is expected to fire in one test, and not to fire in the test of a bot that works."""
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text(encoding="utf-8"))
    tests = (FOLDER / "alertbot.rules.test.yaml").read_text(encoding="utf-8")
    healthy, _, broken = tests.partition("  - name: the process is gone")
    for alert in alerts:
        assert f"alertname: {alert}}}" in healthy, alert
        assert re.search(rf"alertname: {alert}\n\s+exp_alerts:", broken), alert


@needs_promtool
@pytest.mark.parametrize(
    "command",
    [
        ["test", "rules", "alertbot.rules.test.yaml"],
        ["check", "rules", "alertbot.rules.yaml"],
        ["check", "config", "prometheus.yaml"],
    ],
    ids=" ".join,
)
def test_promtool_accepts(command: list[str]) -> None:
    """The alert rules hold their tests, and the files are valid."""
    checked = subprocess.run([PROMTOOL, *command], cwd=FOLDER, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "SUCCESS" in checked.stdout
