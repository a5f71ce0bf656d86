"""The pages of rules: the list, one rule with its last decision about each entity, and one decision in full. PURE.

Decisions are evaluated on the last poll for all entities at once, as the poll itself did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from alertbot.alerts.alert import Alert, Fingerprint
from alertbot.commands.answers import needs_of
from alertbot.commands.command import Command, Line, Reply, shown, shown_line
from alertbot.commands.find import Entity, entities, find, loose
from alertbot.commands.live import named
from alertbot.commands.rules import levels_of, open_now, rule_text
from alertbot.commands.view import Need, TenantView, View
from alertbot.commands.why import decision, fingerprint, truth_word
from alertbot.commands.wording import alert_line, is_stale, rules_lines
from alertbot.evaluation.evaluate import Truth, Verdicts, agents_of, evaluate, rows_of
from alertbot.evaluation.snapshot import Snapshot
from alertbot.page.links import entity_link, rule_link, why_link
from alertbot.page.missing import nearest, no_entity, no_rule
from alertbot.page.page import Address, Link, Page, Question, Shown
from alertbot.page.sheet import sheet
from alertbot.page.tone import TonedLine, toned
from alertbot.rules.catalogue import RULE_SCOPES
from alertbot.rules.match import Match
from alertbot.rules.rule import Rule
from alertbot.rules.words import count

PER_SHEET = 100
_Rows = dict[Match, NDArray[np.intp]]
"""By match, the rows that it covers."""
_ALL = Command("rules")


# All rules


@dataclass(frozen=True)
class RuleRow:
    """One rule. `matches`: how many entities it covers now; "" where none of its scope has been seen."""

    title: str
    id: str
    href: str
    scope: str
    levels: str
    matches: str
    open: str


def _asks_all(address: Address) -> Question:
    return Question(_ALL, needs_of(_ALL) | frozenset(RULE_SCOPES))


def _shows_all(view: View, address: Address, now: datetime) -> Shown:
    opened = Counter(alert.key.rule for alert in view.alerts if alert.open)
    cut = sheet(
        sorted(view.rules.rules, key=lambda rule: (-opened[rule.id], rule.title.casefold(), rule.id)),
        PER_SHEET,
        address.number("sheet"),
    )
    known: dict[str, _Rows] = {}
    rows = [
        RuleRow(
            rule.title,
            rule.id,
            rule_link(rule.id),
            rule.scope.value.replace("_", " "),
            levels_of(rule),
            _matches(view, rule, known),
            open_now(view, rule) or "0",
        )
        for rule in cut.items
    ]
    return Shown(
        "rules.html",
        {"versions": [toned(line) for line in rules_lines(view, now)], "rows": rows, "sheet": cut.linked("/rules", {})},
    )


def _matches(view: View, rule: Rule, known: dict[str, _Rows]) -> str:
    """How many entities of the last poll a rule covers, in all tenants that run it. Many rules share a match."""
    numbers = [
        len(rows_of(own.match, snapshot, known.setdefault(f"{tenant.name}/{rule.scope}", {})))
        for tenant, own, snapshot in _runs(view, rule.id)
    ]
    return f"{sum(numbers):,}" if numbers else ""


def _runs(view: View, rule_id: str) -> Iterator[tuple[TenantView, Rule, Snapshot]]:
    """The tenants that run a rule and whose last poll has its scope; the rule as it is there, and that snapshot."""
    for tenant in view.tenants:
        rules = view.rules_of.get(tenant.name)
        rule = rules.by_id(rule_id) if rules is not None else None
        if rule is not None and rule.scope in tenant.snapshots:
            yield tenant, rule, tenant.snapshots[rule.scope]


RULES = Page("rules", "/rules", _asks_all, _shows_all, label="Rules")


# One rule


@dataclass(frozen=True)
class DecisionRow:
    """The last decision of a rule about one entity, in short. `alert` says what is open for it, "" for nothing."""

    entity: str
    entity_href: str
    decision: str
    why_href: str
    alert: TonedLine | None


@dataclass(frozen=True)
class _Decided:
    """One entity that a rule covers, for sorting: those with alerts first, then what is true, unknown, false."""

    rank: tuple[int, int, str]
    verdicts: Verdicts
    position: int
    entity: Entity
    alert: Alert | None


def _asks_one(address: Address) -> Question:
    command = Command("rules", (address.path["rule"],))
    return Question(command, needs_of(command) | {Need.EVALUATION})


def _shows_one(view: View, address: Address, now: datetime) -> Shown:
    wanted = address.path["rule"]
    rule = view.rules.by_id(wanted)
    if rule is None:
        return no_rule(view, wanted)
    name = address.text("name")
    decided = _decided(view, rule)
    matching = [each for each in decided if not name or _is_named(each.entity, name)]
    cut = sheet(sorted(matching, key=lambda each: each.rank), PER_SHEET, address.number("sheet"))
    text = shown(Reply(tuple(rule_text(view, rule, now))), view.names).parts
    lines = [toned(each) for each in text if isinstance(each, Line)]
    old = any(is_stale(snapshot.at, view, now) for _, _, snapshot in _runs(view, rule.id))
    return Shown(
        "rule.html",
        {
            "title": lines[0].text,
            "lines": lines[1:],
            "matches": f"It matches {count(len(decided), rule.scope.value.replace('_', ' '))} now.",
            "old": old,
            "name": name,
            "path": rule_link(rule.id),
            "rows": [_decision_row(each, view, now) for each in cut.items],
            "sheet": cut.linked(rule_link(rule.id), {"name": name}),
        },
    )


def _is_named(entity: Entity, name: str) -> bool:
    return entity.id == name or any(loose(name) in loose(each) for each in (entity.full_name, entity.name))


def _decided(view: View, rule: Rule) -> list[_Decided]:
    """Every entity that the rule covers, in all tenants, with what was decided."""
    alerts = {alert.key: alert for alert in (*view.alerts, *view.shadows) if alert.key.rule == rule.id}
    found = []
    for tenant, own, snapshot in _runs(view, rule.id):
        agents = agents_of(snapshot, tenant.snapshots)
        verdicts = evaluate(own, snapshot, agents=agents, past=tenant.past)
        states = _states(verdicts)
        for position, row in enumerate(verdicts.rows.tolist()):
            entity = Entity(tenant, snapshot, row)
            parent = snapshot.parent(row)[0]
            alert = alerts.get(Fingerprint(tenant.name, rule.id, rule.scope, parent, entity.id))
            rank = (0 if alert is not None else 1, states[position], entity.name.casefold())
            found.append(_Decided(rank, verdicts, position, entity, alert))
    return found


def _states(verdicts: Verdicts) -> Sequence[int]:
    """For each position 0 where the condition of a level holds, 1 where one is unknown, 2 where none does."""
    codes = np.array([*verdicts.levels.values()])
    ranks = np.where((codes == Truth.TRUE).any(axis=0), 0, np.where((codes == Truth.UNKNOWN).any(axis=0), 1, 2))
    return [int(rank) for rank in ranks]


def _decision_row(decided: _Decided, view: View, now: datetime) -> DecisionRow:
    entity, rule = decided.entity, decided.verdicts.rule
    key = fingerprint(entity)
    parent = entity.snapshot.parent(entity.row)[1]
    line = alert_line(decided.alert, view, now, with_entity=False) if decided.alert is not None else None
    return DecisionRow(
        entity=f"{named(entity, view)}{f' ({parent})' if parent else ''}",
        entity_href=entity_link(key.tenant, key.scope, key.entity_id),
        decision=_in_short(decided.verdicts, decided.position),
        why_href=why_link(key._replace(rule=rule.id)),
        alert=toned(shown_line(line, view.names)) if line is not None else None,
    )


def _in_short(verdicts: Verdicts, position: int) -> str:
    """`critical: false, warning: true`, or the guard where it prevents a decision; in the words of `why`."""
    guard, levels, _ = verdicts.at(position)
    if guard is not Truth.TRUE:
        return f"guard: {truth_word(guard)}, so nothing is decided"
    return ", ".join(f"{level.word}: {truth_word(levels[level])}" for level in sorted(levels, reverse=True))


RULE = Page("rule", "/rules/{rule}", _asks_one, _shows_one)


# One decision


def _asks_why(address: Address) -> Question:
    command = Command("why", (address.path["rule"],))
    return Question(command, needs_of(command))


def _shows_why(view: View, address: Address, now: datetime) -> Shown:
    rule = view.rules.by_id(address.path["rule"])
    if rule is None:
        return no_rule(view, address.path["rule"])
    wanted = address.path["entity"]
    tenant = address.text("tenant") or (view.tenants[0].name if view.tenants else "")
    key = Fingerprint(tenant, rule.id, rule.scope, address.text("parent"), wanted)
    reply = decision(view, rule, key, now)
    if reply is None:
        known = entities(view.tenants, rule.scope)
        found = find(known, wanted)
        if len(found) != 1:
            near = [(named(each, view), each) for each in found] or nearest(known, wanted, view)
            return no_entity(view, rule.scope, known, wanted, [_why_of(name, each, rule) for name, each in near[:10]])
        key = fingerprint(found[0])
        reply = decision(view, rule, key, now)
    lines = [toned(each) for each in shown(reply, view.names).parts if isinstance(each, Line)] if reply else []
    values = {
        "title": lines[0].text,
        "lines": lines[1:],
        "rule": Link(rule.title, rule_link(rule.id)),
        "figures": entity_link(key.tenant, key.scope, key.entity_id),
    }
    return Shown("why.html", values)


def _why_of(name: str, entity: Entity, rule: Rule) -> Link:
    parent = entity.snapshot.parent(entity.row)[1]
    text = f"{name}{f' ({parent})' if parent else ''}"
    return Link(text, why_link(fingerprint(entity)._replace(rule=rule.id)))


WHY = Page("why", "/why/{rule}/{entity:path}", _asks_why, _shows_why)
RULE_PAGES: Sequence[Page] = (RULES, RULE, WHY)
