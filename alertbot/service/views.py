"""What answers may look at, and the changes that people wish for: the same for the slash command and for `ask`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from alertbot.alerts.alert import AckResult, Alert
from alertbot.commands.command import SHADOW_DAYS, Acknowledge, Asker, RulesView, TenantView, View, Wish
from alertbot.config.settings import Settings
from alertbot.evaluation.past import Past
from alertbot.feed.health import Feed
from alertbot.rules.hours import Calendar
from alertbot.rules.rule import RuleSet
from alertbot.store.roles import Store


def make_view(
    settings: Settings,
    store: Store,
    rules: Mapping[str, RuleSet],
    now: datetime,
    *,
    on_disk: Mapping[str, str] | None = None,
    problems: tuple[str, ...] = (),
    pasts: Mapping[str, Past | None] | None = None,
) -> View:
    """What answers may look at, from the store and the rules: the same for the slash command and for `ask`.

    `on_disk`: by tenant, what to say of rule files that are not what runs. `pasts`: by tenant, for `why`.
    """
    tenants, versions = [], []
    for tenant in settings.tenants:
        stored = store.feed(tenant.name)
        running = store.running(tenant.name)
        versions.append(
            RulesView(
                tenant.name,
                rules[tenant.name].version,
                running.since if running and running.version == rules[tenant.name].version else None,
                len(rules[tenant.name].rules),
                (on_disk or {}).get(tenant.name, ""),
            )
        )
        tenants.append(replace(_tenant_view(stored, store), past=(pasts or {}).get(tenant.name)))
    every = {rule.id: rule for ruleset in rules.values() for rule in ruleset.rules}
    alerts = store.alerts()
    shadow_rules = [rule.id for rule in every.values() if rule.shadow]
    totals = store.totals()
    if totals.waiting_for and not any(totals.waiting_for in problem for problem in problems):
        problems = (*problems, f"Not delivered, tried again: {totals.waiting_for}")
    return View(
        tenants=tuple(tenants),
        alerts=tuple(alert for alert in alerts if not alert.shadow),
        shadows=tuple(alert for alert in alerts if alert.shadow),
        shadow_fired=store.fired(shadow_rules, now - timedelta(days=SHADOW_DAYS)) if shadow_rules else {},
        rules=RuleSet(tuple(every.values()), next(iter(rules.values())).version, _calendars(rules)),
        versions=tuple(versions),
        waiting=totals.waiting,
        command=settings.slack.command,
        timezone=settings.timezone,
        stale_after=settings.stale_after,
        problems=problems,
    )


def _calendars(rules: Mapping[str, RuleSet]) -> Mapping[str, Calendar]:
    """All calendars by name; one that two tenants mean differently has its tenant before its name."""
    found: dict[str, Calendar] = {}
    for tenant, ruleset in rules.items():
        for name, calendar in ruleset.calendars.items():
            found[name if found.get(name, calendar) == calendar else f"{tenant}/{name}"] = calendar
    return found


def _tenant_view(stored: Feed, store: Store) -> TenantView:
    return TenantView(
        stored.tenant,
        stored.good_at,
        stored.tried_at,
        stored.error,
        store.latest(stored.tenant),
        next_try_at=stored.health.wait_until or stored.health.next_try_at,
    )


def change(store: Store, wish: Wish, asker: Asker, now: datetime) -> tuple[AckResult, Alert | None]:
    """Carry out a wish."""
    if isinstance(wish, Acknowledge):
        return store.acknowledge(wish.alert_id, asker.user, wish.note, now)
    return store.unacknowledge(wish.alert_id, asker.user, now)
