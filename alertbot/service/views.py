"""The view that an answer reads, built by need, and the change that it asks for: for the slash command and `ask`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from alertbot.alerts.alert import Alert, Fingerprint, Outcome
from alertbot.alerts.quality import Quality
from alertbot.alerts.silence import Silence
from alertbot.charts.series import samples_of
from alertbot.commands.answers import history_since, named_rules, needs_of, recorded_of
from alertbot.commands.changes import named_card, named_id
from alertbot.commands.command import (
    Acknowledge,
    AcknowledgeCard,
    Asker,
    Command,
    CreateSilence,
    EndSilence,
    ExtendSilence,
    Resolve,
    Unacknowledge,
    UnacknowledgeCard,
    Wish,
)
from alertbot.commands.view import (
    MAX_HISTORY,
    SHADOW_DAYS,
    Need,
    Needs,
    Recorded,
    RulesView,
    ServiceView,
    TenantView,
    TextValues,
    View,
)
from alertbot.config.settings import Settings
from alertbot.evaluation.past import Past
from alertbot.evaluation.snapshot import Presence, Snapshot
from alertbot.feed.health import Feed, Limits
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.coverage import uncovered
from alertbot.rules.functions import AGENTS_OF
from alertbot.rules.hours import Calendar
from alertbot.rules.ignore import ignoring
from alertbot.rules.match import EVERY_ENTITY, Match
from alertbot.rules.privacy import Names
from alertbot.rules.rule import Rule, RuleSet
from alertbot.rules.tree import Key
from alertbot.service.process import is_alive, is_gone
from alertbot.service.readiness import overdue
from alertbot.store.records import shown_owner
from alertbot.store.roles import Questions

RulesThatRun = Callable[[], tuple[Mapping[str, RuleSet], Mapping[str, str]]]
"""By tenant: the rules that run, and how the files on disk differ from them ("" or absent: they do not)."""
PastsOf = Callable[[RuleSet], Mapping[str, Past | None]]
"""By tenant, up to the last poll, the past that these rules look back at."""
Polls = Mapping[str, Mapping[Scope, Snapshot]]
"""By tenant, the snapshots of its last poll."""


def make_view(
    command: Command,
    settings: Settings,
    store: Questions,
    now: datetime,
    *,
    rules: RulesThatRun,
    pasts: PastsOf,
    problems: tuple[str, ...] = (),
    needs: Needs | None = None,
) -> View:
    """What the answer to this command reads, by the `needs` of its row: nothing else is read from the store.

    Other `needs` are those of a page, which shows more or less than the answer.

    `rules` and `pasts` are called where they are needed. `problems` are those that the process itself knows. Raises
    StoreError, and FaultsFound where the rules that run cannot be read.
    """
    needs = needs_of(command) if needs is None else needs
    names = store.names()  # reads nothing where they are shown in full
    sets, on_disk = rules() if needs & {Need.RULES, Need.VERSIONS, Need.EVALUATION, Need.SHADOW_COUNTS} else ({}, {})
    sets = {
        tenant.name: ignoring(sets[tenant.name], settings.ignored(tenant))
        for tenant in settings.tenants
        if tenant.name in sets
    }
    every = {rule.id: rule for ruleset in sets.values() for rule in ruleset.rules}
    alerts = store.alerts() if Need.ALERTS in needs else []
    named = tuple(named_rules(command, tuple(every.values()), alerts))
    matching = [rule for rule in named if rule.overrides or rule.match != EVERY_ENTITY]
    covering = matching if Need.COVERAGE in needs else []
    texts = {rule.id: keys for rule in named if (keys := _text_keys(rule))} if Need.TEXT_VALUES in needs else {}
    polls = _last_polls(store, sets, {rule.scope for rule in covering}.union(*texts.values()))
    totals = store.totals() if Need.OUTBOX in needs else None
    if totals and totals.waiting_for and not any(totals.waiting_for in problem for problem in problems):
        problems = (*problems, f"Not delivered, will retry: {totals.waiting_for}")
    if Need.OUTBOX in needs and (late := overdue(store, now)):
        problems = (*problems, f"{late[0].upper()}{late[1:]}.")
    view = View(
        tenants=_tenants(settings, store, needs, named, pasts, names),
        alerts=tuple(alert for alert in alerts if not alert.shadow),
        shadows=tuple(alert for alert in alerts if alert.shadow),
        ended=_ended(store, command) if Need.ENDED in needs else None,
        shadow_fired=_shadow_fired(store, named, now) if Need.SHADOW_COUNTS in needs else {},
        rules=RuleSet(tuple(every.values()), next((each.version for each in sets.values()), ""), _calendars(sets)),
        rules_of=sets if Need.RULES in needs else {},
        card=_card(store, command) if Need.CARD in needs else (),
        versions=_versions(settings, store, sets, on_disk) if Need.VERSIONS in needs else (),
        waiting=totals.waiting if totals else 0,
        latched=tuple(store.latched_alerts()) if Need.LATCHED in needs else (),
        held_back=tuple(store.held_back(now)) if Need.OUTBOX in needs else (),
        command=settings.slack.command,
        timezone=settings.timezone,
        stale_after=settings.stale_after,
        service=_service(store, now) if Need.SERVICE in needs else None,
        problems=problems,
        uncovered=_uncovered(covering, polls, sets),
        text_values=_text_values(texts, polls, sets),
        history_kept=settings.history if needs & {Need.HISTORY, Need.QUALITY} else None,
        history=tuple(store.ended(history_since(command, now), MAX_HISTORY)) if Need.HISTORY in needs else (),
        quality=_quality(command, settings, store, now) if Need.QUALITY in needs else None,
        silences=store.silences() if Need.SILENCES in needs else (),
        names=names,
    )
    wanted = recorded_of(view, command, now) if Need.RECORDING in needs else None
    return view if wanted is None else replace(view, recorded=_recorded(store, wanted, now))


def _quality(command: Command, settings: Settings, store: Questions, now: datetime) -> Quality:
    limits = {each.name: Limits(each.poll_every, settings.stale_after) for each in settings.tenants}
    longest = {name: each.stale_limit for name, each in limits.items()}
    return store.quality(history_since(command, now), now, longest)


def _recorded(store: Questions, wanted: Recorded, now: datetime) -> Recorded:
    entity = Fingerprint(wanted.tenant, "", wanted.scope, wanted.parent_id, wanted.entity_id)
    return replace(wanted, samples=samples_of(store.values(wanted.tenant, entity, wanted.key, wanted.since, now)))


def _tenants(
    settings: Settings,
    store: Questions,
    needs: Needs,
    named: tuple[Rule, ...],
    pasts: PastsOf,
    names: Names,
) -> tuple[TenantView, ...]:
    feeds = store.feeds() if Need.FEEDS in needs else {}
    heads = store.heads() if Need.HEADS in needs else {}
    scopes = {need for need in needs if isinstance(need, Scope)}
    remembered: Mapping[str, Past | None] = {}
    if Need.EVALUATION in needs and named:
        evaluated = {rule.scope for rule in named}
        scopes |= evaluated | {AGENTS_OF[scope] for scope in evaluated if scope in AGENTS_OF}
        remembered = pasts(RuleSet(named))
    tenants = []
    for tenant in settings.tenants:
        name = tenant.name
        feed = feeds.get(name) or Feed(name)
        tenants.append(
            TenantView(
                name,
                feed.good_at,
                feed.tried_at,
                feed.error,
                store.latest(name, scopes) if scopes else {},
                next_try_at=feed.health.wait_until or feed.health.next_try_at,
                past=remembered.get(name),
                heads=heads.get(name, {}),
                failing=feed.health.failing,
                ignore=settings.ignored(tenant),
                names=names,
            )
        )
    return tuple(tenants)


def _service(store: Questions, now: datetime) -> ServiceView | None:
    service = store.service(now)
    if service is None:
        return None
    running = service.running and not is_gone(service.owner)
    return ServiceView(
        shown_owner(service.owner), service.seen_at, running, stuck=not running and is_alive(service.owner)
    )


def _versions(
    settings: Settings, store: Questions, sets: Mapping[str, RuleSet], on_disk: Mapping[str, str]
) -> tuple[RulesView, ...]:
    running = store.running_versions()
    views = []
    for name in (tenant.name for tenant in settings.tenants):
        version, since = running.get(name, ("", None))
        live = sets[name]
        views.append(
            RulesView(
                name,
                live.version,
                since if version == live.version else None,
                len(live.rules),
                on_disk.get(name, ""),
            )
        )
    return tuple(views)


def _last_polls(store: Questions, sets: Mapping[str, RuleSet], scopes: set[Scope]) -> Polls:
    """One read a tenant, for all that asks about the last poll; no read where nothing does."""
    return {tenant: store.latest(tenant, scopes) for tenant in sets} if scopes else {}


def _uncovered(subjects: Sequence[Rule], polls: Polls, sets: Mapping[str, RuleSet]) -> Mapping[str, tuple[Match, ...]]:
    """By rule, the matches that cover no entity of the last poll of any tenant that runs it."""
    uncovered_by_rule = {}
    for rule in subjects:
        snapshots = [
            poll[rule.scope]
            for tenant, poll in polls.items()
            if rule.scope in poll and poll[rule.scope].complete and sets[tenant].by_id(rule.id) is not None
        ]
        matches = uncovered(rule, [(snapshot.ids, snapshot.names) for snapshot in snapshots])
        if matches:
            uncovered_by_rule[rule.id] = matches
    return uncovered_by_rule


def _text_keys(rule: Rule) -> Mapping[Scope, tuple[str, ...]]:
    """The text keys that a rule reads, by scope, each once and in their order."""
    keys: dict[Scope, tuple[str, ...]] = {}
    for scope, node in rule.reads():
        if isinstance(node, Key) and node.type is ValueType.TEXT and node.key not in keys.get(scope, ()):
            keys[scope] = (*keys.get(scope, ()), node.key)
    return keys


def _text_values(
    texts: Mapping[str, Mapping[Scope, tuple[str, ...]]], polls: Polls, sets: Mapping[str, RuleSet]
) -> TextValues:
    """The values of these text keys, by rule; a key without a value is left out."""
    by_rule: dict[str, Mapping[str, tuple[str, ...]]] = {}
    for rule, keys_by_scope in texts.items():
        counts: dict[str, Counter[str]] = {}
        for scope, keys in keys_by_scope.items():
            for tenant, poll in polls.items():
                if scope in poll and sets[tenant].by_id(rule) is not None:
                    for key in keys:
                        counts.setdefault(key, Counter()).update(_texts(poll[scope], key))
        by_rule[rule] = {
            key: tuple(sorted(count, key=lambda text: (-count[text], text))) for key, count in counts.items() if count
        }
    return by_rule


def _texts(snapshot: Snapshot, key: str) -> Iterable[str]:
    column = snapshot.columns.get(key)
    if column is None or not column.is_text:
        return []
    return [str(text) for text in column.values[column.presence == Presence.PRESENT] if text]


def _ended(store: Questions, command: Command) -> Alert | None:
    number = named_id(command)
    alert = store.alert(number) if number is not None else None
    return alert if alert is not None and alert.ended_at is not None else None


def _card(store: Questions, command: Command) -> tuple[Alert, ...]:
    number = named_card(command)
    return tuple(store.open_members(number)) if number is not None else ()


def _shadow_fired(store: Questions, named: tuple[Rule, ...], now: datetime) -> Mapping[str, Mapping[str, int]]:
    shadows = [rule.id for rule in named if rule.shadow]
    return store.fired(shadows, now - timedelta(days=SHADOW_DAYS)) if shadows else {}


def _calendars(rules: Mapping[str, RuleSet]) -> Mapping[str, Calendar]:
    """All calendars by name; one that differs between tenants has its tenant before its name."""
    calendars: dict[str, Calendar] = {}
    for tenant, ruleset in rules.items():
        for name, calendar in ruleset.calendars.items():
            calendars[name if calendars.get(name, calendar) == calendar else f"{tenant}/{name}"] = calendar
    return calendars


def redraw(store: Questions, command: Command, now: datetime) -> None:
    """Draw the cards of what a button is about again. Raises StoreError."""
    alert_id, card_id = named_id(command), named_card(command)
    if card_id is not None:
        store.redraw([alert.id for alert in store.open_members(card_id) if alert.id is not None], now)
    elif alert_id is not None:
        store.redraw([alert_id], now)


def change(store: Questions, wish: Wish, asker: Asker, now: datetime) -> tuple[Outcome, Alert | Silence | None]:
    """Carry out a change; the alert or the silence as it is then. Raises StoreError."""
    match wish:
        case Acknowledge():
            return store.acknowledge(wish.alert_id, asker.user, wish.note, now)
        case AcknowledgeCard():
            return store.acknowledge_card(wish.card_id, asker.user, now)
        case Unacknowledge():
            return store.unacknowledge(wish.alert_id, asker.user, now, own=wish.own)
        case UnacknowledgeCard():
            return store.unacknowledge_card(wish.card_id, asker.user, now)
        case Resolve():
            return store.resolve(wish.alert_id, asker.user, wish.why, now)
        case CreateSilence():
            starts_at = max(wish.starts_at, now)
            made = store.silence(wish.matcher, starts_at, wish.ends_at, asker.user, wish.reason, now)
            return Outcome.DONE, made
        case ExtendSilence():
            return store.extend(wish.silence_id, wish.ends_at, asker.user, now)
        case EndSilence():
            return store.unsilence(wish.silence_id, asker.user, now)
