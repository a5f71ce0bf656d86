"""Generates what is derived from the code: blocks of documents, the picture of a card, the parse table of conditions.

    python docs/generate.py

`tests/test_docs.py` fails when they are out of date. A block is between `<!-- NAME -->` and `<!-- /NAME -->`. The
picture is drawn by Chromium, only when what it shows has changed: docs/slack_picture.py.
"""

from __future__ import annotations

import ast
import re
import runpy
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from alertbot.alerts.alert import Reason, State
from alertbot.alerts.notice import Notice, NoticeKind
from alertbot.alerts.transition import REASONS, TRANSITIONS
from alertbot.backtest.sample import sample_alert
from alertbot.charts.trend import example
from alertbot.cli import table as command_table
from alertbot.commands.answers import COMMANDS
from alertbot.config.schema import config_schema
from alertbot.notify.notifier import CardContent, LineContent
from alertbot.notify.render import Templates
from alertbot.rulefiles.on_disk import load_rules
from alertbot.rulefiles.rule_keys import RULE_KEYS
from alertbot.rules import grammar_table
from alertbot.rules.catalogue import RULE_SCOPES, ValueType, catalogue
from alertbot.rules.functions import FUNCTIONS, Function
from alertbot.rules.glossary import UNITS, WRITTEN, entries
from alertbot.rules.nouns import PERIODS
from alertbot.rules.rule import Level
from alertbot.simulator.scenario import load_scenario, shipped_scenarios
from alertbot.slack.cards import card_message, line_message
from alertbot.slack.text import FallbackPen, MrkdwnPen
from alertbot.web.metrics import SHARED, Figures, Metrics, StoreFigures, TenantFigures, WorkerFigures

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "card.png"
DOCUMENTS = (
    "README.md",
    "docs/architecture.md",
    "docs/metrics.md",
    "docs/operations.md",
    "docs/reliability.md",
    "docs/rules.md",
    "docs/slack.md",
)
PACKAGE = ROOT / "alertbot"


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def rooms() -> str:
    """One line per file, room by room: the first line of its docstring."""
    lines: list[str] = []
    folders: dict[Path, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        folders.setdefault(path.parent, []).append(path)
    for folder, paths in sorted(folders.items()):
        name = folder.relative_to(ROOT).as_posix()
        about = _first_line(folder / "__init__.py") if folder != PACKAGE else "what belongs to no room"
        lines += [f"**`{name}/`** {about}", ""]
        files = [path for path in paths if path.name not in ("__init__.py", "__main__.py") or folder == PACKAGE]
        lines += [f"- `{path.name}`: {_first_line(path)}" for path in files]
        lines.append("")
    return "\n".join(lines).strip()


def _first_line(path: Path) -> str:
    """The first sentence or line of a file's docstring."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first = docstring.split("\n\n")[0].replace("\n", " ")
    return first.rstrip(".") if first else "(nothing)"


def imports() -> str:
    """What each room imports of the others, as the code has it."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        tree = ast.parse(path.read_text(encoding="utf-8"))
        tree.body = [node for node in tree.body if not isinstance(node, ast.If)]
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "alertbot":
                parts = node.module.split(".")[1:]
                others = parts[:1] or [alias.name for alias in node.names if not alias.name.startswith("_")]
                found.setdefault(room, set()).update(others)
    rooms = sorted((room for room in found if not room.startswith("_")), key=lambda room: (len(found[room]), room))
    return table(("room", "imports"), ((f"`{room}`", ", ".join(sorted(found[room] - {room}))) for room in rooms))


def commands() -> str:
    """Every command with its options, as `--help` has them."""

    def rows() -> Iterator[tuple[str, ...]]:
        for name in command_table.COMMANDS:
            command = command_table.command(name)
            words = [name]
            for each in command.params:
                if each.name in ("help", "config"):
                    continue
                if each.param_type_name == "argument":
                    words.append(each.metavar or f"[{each.name.upper()}]")
                else:
                    word = next(opt for opt in each.opts if opt.startswith("--"))
                    words.append(f"[{word}]" if each.is_flag else f"[{word} {each.metavar or each.name.upper()}]")
            yield f"`{' '.join(words)}`", (command.help or "").split("\n")[0]

    return table(("command", "what"), rows())


def subcommands() -> str:
    """The subcommands of the slash command."""
    return table(("`/alertbot …`", "answer"), ((f"`{each.usage}`", each.help) for each in COMMANDS))


def settings() -> str:
    """Every setting of alertbot.yaml."""
    schema = config_schema()

    def rows(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, ...]]:
        for key, each in node["properties"].items():
            inner = each.get("$ref") or each.get("items", {}).get("$ref") or ""
            name = f"{prefix}{key}{'[]' if 'items' in each and inner else ''}"
            about = str(each.get("description", "")).replace("\n", " ")
            section = schema["$defs"][inner.rpartition("/")[2]] if inner else None
            if section is None or "properties" not in section or key == "ignore":
                yield f"`{name}`", default(each, key in node.get("required", ())), about
            else:
                yield from rows(section, f"{name}.")

    def default(each: Mapping[str, Any], required: bool) -> str:
        if each.get("writeOnly"):
            return "a secret"
        if required:
            return "required"
        value = each.get("default")
        return f"`{value}`" if value not in (None, "", []) else ""

    return table(("key", "default", "what"), rows(schema, ""))


def states() -> str:
    """The state table of an alert."""

    def rows() -> Iterator[tuple[str, ...]]:
        for (state, event), after in TRANSITIONS.items():
            silent = state == "pending" and after == "inactive"
            yield state.value, event.value, after.value, "" if silent else str(REASONS.get(event, ""))

    return table(("state", "event", "next", "reported as"), rows())


def scenarios() -> str:
    """The scenarios that `simulate --scenario` knows by name."""
    return table(
        ("scenario", "what happens"), ((f"`{name}`", load_scenario(name).about) for name in shipped_scenarios())
    )


def rule_keys() -> str:
    """Every key of a rule."""
    rows = ((f"`{each.name}`", "yes" if each.default else "", each.help) for each in RULE_KEYS)
    return table(("key", "in `defaults`", "what"), rows)


def functions() -> str:
    """The functions of conditions."""

    def takes(function: Function) -> str:
        if not function.types:
            return "agents"
        return "any key" if set(function.types) == set(ValueType) else ", ".join(function.types)

    def gives(function: Function) -> str:
        changed = {kind: result for kind, result in function.types.items() if result is not kind}
        if not function.types or set(function.types.values()) == {ValueType.COUNT}:
            return "count"
        return "; ".join(["as the key", *(f"of a {kind} a {result}" for kind, result in changed.items())])

    rows = (
        (f"`{each.name}({each.arguments})`", takes(each), gives(each), each.help, f"`{each.example}`")
        for each in FUNCTIONS.values()
    )
    return table(("function", "accepts", "returns", "what", "example"), rows)


def metrics() -> str:
    """Every metric key in words, scope by scope; the totals scopes have keys of the others."""
    parts = []
    for scope in RULE_SCOPES:
        if scope.value.endswith("_totals"):
            continue
        rows = (
            (f"`{each.key}`", each.noun, each.type.value, ", ".join(each.periods), each.worse.value, each.meaning)
            for each in entries(catalogue().metrics[scope].values())
        )
        parts.append(f"### {scope.value}\n\n" + table(("key", "in words", "type", "periods", "bad", "meaning"), rows))
    return "\n\n".join(parts)


def metric_types() -> str:
    """The types of values, their units, and how a condition has them."""
    used = {metric.type for known in catalogue().metrics.values() for metric in known.values()}
    rows = ((kind.value, UNITS[kind], WRITTEN[kind].replace("write ", "")) for kind in ValueType if kind in used)
    return table(("type", "unit of 8x8", "in a condition"), rows)


def periods() -> str:
    """The periods that keys can have."""
    return table(("period", "what"), ((f"`{name}`", words or "now") for name, (words, _) in PERIODS.items()))


def sample_metrics() -> Metrics:
    """Every metric of `/metrics`, with a value of each."""
    metrics = Metrics(["acme"])
    metrics.polled("acme", "complete", {"fetch": 0.1})
    metrics.requested("acme", "/queues", "ok", 0.1, 2)
    metrics.noticed("card", "delivered", 1.0)
    metrics.edited("delivered")
    metrics.beat("sent")
    metrics.called_slack("chat.postMessage", "ok", 0.1, None)
    metrics.read_from(sample_figures)
    return metrics


def sample_figures() -> Figures:
    """A value of each metric that is read at a scrape."""
    tenant = TenantFigures("acme", alerts={}, entities={"queue": 1}, good_at=1.0, took_s=0.1, rules=1, version="1f0c")
    return Figures(
        tenants=[tenant],
        store=StoreFigures(since={"acme": 1.0}),
        problems={"slack": False},
        sizes={"main": 1},
        reloads={"loaded": 1},
        worker=WorkerFigures(tenants=1, lag_s=0.0, workers=3, unowned=0),
    )


def prometheus() -> str:
    """Every metric of `/metrics`, without those of the process."""

    def rows() -> Iterator[tuple[str, ...]]:
        families = text_string_to_metric_families(sample_metrics().render("")[0].decode())
        for family in sorted(families, key=lambda each: each.name):
            if family.name.startswith("alertbot_"):
                name = family.name + ("_total" if family.type == "counter" else "")
                labels = dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
                shown = ", ".join(f"`{label}`" for label in labels)
                yield f"`{name}`", family.type, shown, shows(family), family.documentation

    return table(("metric", "type", "labels", "belongs to", "what"), rows())


def shows(family: Metric) -> str:
    """What the values of a metric belong to: the process, the tenants that it polls, or the database."""
    if family.name in SHARED:
        return "database"
    return "tenant" if family.type == "gauge" and any("tenant" in each.labels for each in family.samples) else "process"


def walk() -> str:
    """The life of one alert, from a script: docs/walk.py."""
    return str(runpy.run_path(str(ROOT / "docs" / "walk.py"))["walk"]())


BLOCKS: Mapping[str, Callable[[], str]] = {
    "commands": commands,
    "subcommands": subcommands,
    "settings": settings,
    "states": states,
    "scenarios": scenarios,
    "rule_keys": rule_keys,
    "functions": functions,
    "metrics": metrics,
    "metric_types": metric_types,
    "periods": periods,
    "prometheus": prometheus,
    "rooms": rooms,
    "imports": imports,
    "walk": walk,
}


def filled(text: str) -> str:
    """A document with its blocks generated again."""

    def block(match: re.Match[str]) -> str:
        name = match["name"]
        return f"<!-- {name} -->\n{BLOCKS[name]()}\n<!-- /{name} -->"

    return re.sub(r"<!-- (?P<name>\w+) -->\n.*?<!-- /(?P=name) -->", block, text, flags=re.DOTALL)


PEOPLE = {"U0DANA000": "Dana Whitfield", "S0FLOOR00": "floor-leads"}


def picture() -> str:
    """A card as Slack shows it, as HTML: firing, and the same message after it has been resolved, with its thread."""
    slack = slack_picture()
    now = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    (rule,) = (rule for rule in load_rules([ROOT / "rules"]).rules if rule.id == "longest-wait")
    alert = sample_alert(rule, Level.CRITICAL, now)
    shown = dict(zip(rule.show, (7.0, 2.0, 9.0), strict=True))
    assert alert.measure is not None
    measure = replace(alert.measure, value=132_000.0)
    alert = replace(alert, id=17, shown=shown, measure=measure, peak=132_000.0)
    acked_at, ended_at = now + timedelta(minutes=1), now + timedelta(minutes=6)
    acked = replace(alert, acked_by="U0DANA000", acked_at=acked_at, ack_note="two more from Support are logging in")
    last = replace(measure, value=12_000.0)
    over = replace(
        acked,
        state=State.INACTIVE,
        measure=last,
        peak=171_000.0,
        peak_at=now + timedelta(minutes=2),
        ended_at=ended_at,
        end_reason=Reason.RESOLVED,
    )
    templates, began = Templates(), alert.fired_at

    def card(content: CardContent, **other: Any) -> Any:
        message = card_message(templates.card(content, MrkdwnPen(), FallbackPen()))
        return slack["Post"](message.blocks, message.attachments, began, **other)

    def reply(reason: Reason, at: datetime, text: str, by: str = "") -> tuple[datetime, Any]:
        notice = Notice(
            id=reason.value,
            kind=NoticeKind.LINE,
            alert=alert.key,
            channel="#cc-alerts",
            reason=reason,
            level=alert.level,
            at=at,
            by=by,
            text=text,
            measure=last,
        )
        return at, line_message(templates.line(LineContent(notice, over), MrkdwnPen(), FallbackPen())).blocks

    replies = (
        reply(Reason.ACKNOWLEDGED, acked_at, acked.ack_note, "U0DANA000"),
        reply(Reason.RESOLVED, ended_at, "12s is clear"),
    )
    firing = CardContent(
        (alert,), now, mention=("<!subteam^S0FLOOR00>",), show_tenant=False, trend=example(alert, now), card_id=1
    )
    closed = CardContent((over,), ended_at, show_tenant=False, card_id=1)
    posts = [card(firing), card(closed, replies=replies)]
    return str(slack["page"](posts, PEOPLE, "cc-alerts"))


def slack_picture() -> dict[str, Any]:
    """The names in docs/slack_picture.py."""
    return runpy.run_path(str(ROOT / "docs" / "slack_picture.py"))


def main() -> int:
    """Update the documents and, where they are out of date, the parse table and the picture.

    Returns 1 if there is no browser to draw the picture.
    """
    grammar = (PACKAGE / "rules" / "expression.lark").read_text(encoding="utf-8")
    kept = PACKAGE / "rules" / grammar_table.FILE
    if not kept.exists() or not grammar_table.belongs(grammar, kept.read_text(encoding="utf-8")):
        kept.write_text(grammar_table.written(grammar), encoding="utf-8")
    for name in DOCUMENTS:
        path = ROOT / name
        if path.exists():
            path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
    slack, source = slack_picture(), picture()
    if PICTURE.exists() and slack["shown_by"](PICTURE.read_bytes()) == slack["hash_of"](source):
        return 0
    try:
        slack["render"](source, PICTURE)
    except FileNotFoundError as error:
        sys.stderr.write(f"{PICTURE.relative_to(ROOT)} is out of date, and cannot be drawn here: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
