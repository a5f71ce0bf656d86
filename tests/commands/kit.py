"""A small contact centre on plain values: two tenants can be had, three queues, a group, agents, alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from alertbot.alerts.alert import About, Alert, Fingerprint, State
from alertbot.alerts.silence import Matcher, Silence
from alertbot.commands.answers import answer, history_since, named_rules, needs_of, recorded_of
from alertbot.commands.changes import named_card, named_id
from alertbot.commands.command import Asker, Command, Drawing, Line, Reply, Table
from alertbot.commands.parse import parse
from alertbot.commands.view import Need, Needs, RulesView, TenantView, View
from alertbot.evaluation.measure import Measure
from alertbot.evaluation.snapshot import Column, Presence, Snapshot
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.expression import Compare, Key, Literal, Op
from alertbot.rules.functions import AGENTS_OF
from alertbot.rules.match import Match, Override
from alertbot.rules.rule import Level, LevelRule, Origin, Rule, RuleSet

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ANNA = Asker("U012ANNA")
WAIT = "interactionsLongestWaitInQueue.rt"


def column(*values: float | str | Presence) -> Column:
    """A column from values; a Presence stands for a missing one."""
    text = any(isinstance(value, str) for value in values)
    presence = np.array([value if isinstance(value, Presence) else 0 for value in values], dtype=np.uint8)
    filler: Any = "" if text else np.nan
    plain = [filler if isinstance(value, Presence) else value for value in values]
    return Column(np.array(plain, dtype=object if text else np.float64), presence)


def snapshot(
    scope: Scope,
    entities: Mapping[str, str],
    columns: Mapping[str, Column],
    *,
    age: timedelta = timedelta(seconds=12),
    **other: Any,
) -> Snapshot:
    return Snapshot(scope, NOW - age, tuple(entities), tuple(entities.values()), columns, **other)


QUEUES = snapshot(
    Scope.QUEUE,
    {"103": "Sales EU", "104": "Sales US", "105": "Support"},
    {
        "slaPercentage.int-30m": column(0.823, 1.0, Presence.NULL),
        WAIT: column(161_000.0, 0.0, Presence.NOT_FETCHED),
        "interactionsWaitInQueue.rt": column(7.0, 0.0, Presence.ABSENT),
        "zebraTime.today": column(5.0, 6.0, Presence.INVALID),
    },
)
GROUPS = snapshot(Scope.GROUP, {"1": "Nights"}, {"onBreak.rt": column(2.0)})
AGENTS = snapshot(
    Scope.AGENT,
    {"a1": "Anna Smith", "a2": "Conan O'Brien", "a3": "Ана"},
    {
        "status.rt": column("OnBreak", "Available", Presence.NULL),
        "timeOnStatus.rt": column(1_500_000.0, 61_000.0, Presence.NULL),
        "lastLogin.rt": column(1_772_434_800_000.0, Presence.NULL, Presence.NULL),
    },
    parent_ids=("1", "1", "1"),
    parent_names=("Nights", "Nights", "Nights"),
)

LONGEST_WAIT = Rule(
    id="longest-wait",
    title="Longest wait in queue",
    scope=Scope.QUEUE,
    levels=tuple(
        LevelRule(
            level,
            Compare(Op.GT, Key(WAIT, ValueType.DURATION), Literal(limit, ValueType.DURATION)),
            f"{WAIT} > ${name}",
            hold,
        )
        for level, name, limit, hold in (
            (Level.WARNING, "warn", 60_000.0, timedelta(seconds=30)),
            (Level.CRITICAL, "crit", 120_000.0, timedelta(0)),
        )
    ),
    match=Match(names=("Sales*",), exclude_names=("*test*",)),
    guard=Compare(Op.GE, Key("entered.int-30m", ValueType.COUNT), Literal(10.0, ValueType.NUMBER)),
    guard_text="entered.int-30m >= 10",
    params={"warn": Literal(60_000.0, ValueType.DURATION), "crit": Literal(120_000.0, ValueType.DURATION)},
    overrides=(Override(Match(names=("VIP*",)), {"warn": Literal(20_000.0, ValueType.DURATION)}),),
    keep_firing_for=timedelta(minutes=1),
    channels={Level.CRITICAL: ("#cc-floor",)},
    runbook="https://wiki.example/longest-wait",
    origin=Origin("rules/queues.yaml", 12),
)
ON_BREAK = replace(
    LONGEST_WAIT,
    id="on-break",
    title="On break too long",
    scope=Scope.AGENT,
    levels=LONGEST_WAIT.levels[:1],
    match=Match(),
    guard=None,
    overrides=(),
    params={},
)
GROUP_BREAK = replace(ON_BREAK, id="group-break", title="Too many on break", scope=Scope.GROUP)
RULES = RuleSet((LONGEST_WAIT, ON_BREAK, GROUP_BREAK), "1")


def alert(
    id: int | None = 17,
    *,
    rule: Rule = LONGEST_WAIT,
    entity: tuple[str, str] = ("103", "Sales EU"),
    tenant: str = "acme",
    state: State = State.FIRING,
    level: Level = Level.CRITICAL,
    for_: timedelta = timedelta(minutes=12),
    **other: Any,
) -> Alert:
    began = NOW - for_
    return Alert(
        Fingerprint(tenant, rule.id, rule.scope, "", entity[0]),
        entity[1],
        About(rule.title, f"{WAIT} > $crit"),
        state,
        level,
        {level: began},
        id=id,
        pending_since=began,
        fired_at=None if state is State.PENDING else began,
        **{"measure": Measure(WAIT, ValueType.DURATION, ">", 161_000.0, 120_000.0)} | other,
    )


def silence(
    id: int = 18,
    terms: tuple[tuple[str, str], ...] = (("rule", "longest-wait"),),
    *,
    starts: timedelta = -timedelta(minutes=30),
    lasts: timedelta = timedelta(hours=2),
    author: str = "U034BOB",
    reason: str = "",
) -> Silence:
    begins = NOW + starts
    return Silence(id, Matcher(terms), begins, begins + lasts, author, reason, begins, started=starts <= timedelta(0))


def tenant(
    name: str = "acme",
    *snapshots: Snapshot,
    good: timedelta | None = timedelta(seconds=12),
    error: str = "",
) -> TenantView:
    seen = snapshots or (QUEUES, GROUPS, AGENTS)
    tried = NOW - timedelta(seconds=12)
    by_scope = {each.scope: each for each in seen}
    heads = {scope: each.head for scope, each in by_scope.items()}
    return TenantView(name, None if good is None else NOW - good, tried, error, by_scope, heads=heads)


def view(*tenants: TenantView, alerts: Sequence[Alert] = (), rules: RuleSet = RULES, **other: Any) -> View:
    since = NOW - timedelta(hours=3)
    tenants = tenants or (tenant(),)
    versions = tuple(RulesView(each.name, "1f0c2b3a4d5e", since, len(rules.rules)) for each in tenants)
    return View(tenants, tuple(alerts), rules, **{"versions": versions} | other)


def only(view: View, command: Command) -> View:
    """The view with nothing but what the command needs, as the service makes it."""
    needs = needs_of(command)
    rules = view.rules if needs & {Need.RULES, Need.VERSIONS, Need.EVALUATION, Need.SHADOW_COUNTS} else RuleSet((), "")
    alerts = [*view.alerts, *view.shadows] if Need.ALERTS in needs else []
    named = named_rules(command, rules.rules, alerts)
    scopes = {need for need in needs if isinstance(need, Scope)}
    if Need.EVALUATION in needs:
        scopes |= {scope for rule in named for scope in (rule.scope, AGENTS_OF.get(rule.scope, rule.scope))}
    tenants = tuple(_only(each, needs, scopes) for each in view.tenants)
    read = replace(
        view,
        tenants=tenants,
        alerts=view.alerts if Need.ALERTS in needs else (),
        shadows=view.shadows if Need.ALERTS in needs else (),
        ended=view.ended if Need.ENDED in needs and view.ended and view.ended.id == named_id(command) else None,
        rules=rules,
        rules_of=view.rules_of if Need.RULES in needs else {},
        card=view.card if Need.CARD in needs and named_card(command) is not None else (),
        shadow_fired={id_: view.shadow_fired.get(id_, {}) for id_ in (rule.id for rule in named)}
        if Need.SHADOW_COUNTS in needs
        else {},
        versions=view.versions if Need.VERSIONS in needs else (),
        uncovered=view.uncovered if Need.COVERAGE in needs else {},
        text_values=view.text_values if Need.TEXT_VALUES in needs else {},
        silences=view.silences if Need.SILENCES in needs else (),
        waiting=view.waiting if Need.OUTBOX in needs else 0,
        latched=view.latched if Need.LATCHED in needs else (),
        held_back=view.held_back if Need.OUTBOX in needs else (),
        service=view.service if Need.SERVICE in needs else None,
        history=_history(view, command) if Need.HISTORY in needs else (),
        quality=view.quality if Need.QUALITY in needs else None,
        recorded=None,
    )
    wanted = recorded_of(read, command, NOW) if Need.RECORDING in needs else None
    if wanted is not None and view.recorded is not None:
        read = replace(read, recorded=replace(wanted, samples=view.recorded.samples))
    return read


def _history(view: View, command: Command) -> tuple[Alert, ...]:
    since = history_since(command, NOW)
    return tuple(alert for alert in view.history if alert.ended_at is not None and alert.ended_at >= since)


def _only(tenant: TenantView, needs: Needs, scopes: set[Scope]) -> TenantView:
    feeds = Need.FEEDS in needs
    return TenantView(
        tenant.name,
        tenant.good_at if feeds else None,
        tenant.tried_at if feeds else None,
        tenant.error if feeds else "",
        {scope: each for scope, each in tenant.snapshots.items() if scope in scopes},
        next_try_at=tenant.next_try_at if feeds else None,
        past=tenant.past if Need.EVALUATION in needs else None,
        heads=tenant.heads if Need.HEADS in needs else {},
        failing=tenant.failing if feeds else {},
        ignore=tenant.ignore,
    )


def ask(view: View, text: str, asker: Asker = ANNA) -> Reply:
    """The answer, made from what its row needs: a need that is missing there shows in the test of the answer."""
    command = parse(text)
    return answer(only(view, command), command, asker, NOW)


def text_of(reply: Reply) -> str:
    """The whole answer as text: lines with their level in front, tables with bars between cells."""
    shown = []
    for part in reply.parts:
        if isinstance(part, Line):
            colour = "recovering" if part.recovering else part.level.word if part.level else ""
            shown.append(f"[{colour}] {part.text}" if colour else part.text)
        elif isinstance(part, Drawing):
            shown += part.lines
        else:
            assert isinstance(part, Table)
            assert all(len(row) == len(part.head) for row in part.rows)
            shown += [" | ".join(row) for row in (part.head, *part.rows)]
    return "\n".join(shown)
