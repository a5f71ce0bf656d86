"""`preview`: the card of a rule as it would look, in the terminal or, as a drill, in Slack."""

from __future__ import annotations

import getpass
import secrets
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from alertbot.alerts.alert import Alert
from alertbot.alerts.shown import drawn_alert
from alertbot.backtest.sample import drawn_from, sample_alert
from alertbot.charts.series import Samples
from alertbot.charts.trend import WINDOW, example, key_of, recent
from alertbot.cli.ask import pasts_of
from alertbot.cli.shell import PROBLEM, Config
from alertbot.cli.show import out, show_faults
from alertbot.cli.suites import lent_settings, load_lent, rule_roots
from alertbot.cli.test import CHANNEL
from alertbot.clock import wall_clock
from alertbot.commands.command import Command
from alertbot.commands.find import entities, find, find_rules, similar
from alertbot.commands.view import TenantView
from alertbot.config.settings import Settings
from alertbot.errors import UsageError
from alertbot.evaluation.evaluate import Truth, agents_of
from alertbot.evaluation.explain import explain, measure
from alertbot.evaluation.past import Past
from alertbot.notify.console import card_panel
from alertbot.notify.notifier import CardContent
from alertbot.notify.pens import PlainPen
from alertbot.notify.render import Templates
from alertbot.rulefiles.on_disk import template_folder
from alertbot.rulefiles.rule_keys import LEVELS
from alertbot.rules.rule import Level, Rule, RuleSet
from alertbot.rules.slack_ids import is_channel
from alertbot.service.databases import open_to_read
from alertbot.service.factories import make_notifier
from alertbot.service.of_settings import template_folders
from alertbot.service.views import make_view
from alertbot.store.roles import Store


def preview(
    rule: Annotated[str, typer.Argument(metavar="RULE", help="The id of the rule, or the beginning of it.")],
    entity: Annotated[
        str | None, typer.Option(metavar="NAME", help="Use its values from the last poll. Default: sample values.")
    ] = None,
    level: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="The level to show. Default: the highest level that holds.")
    ] = None,
    send: Annotated[
        str | None, typer.Option(metavar="CHANNEL", help="Also post it to Slack, marked as a drill.")
    ] = None,
    rules: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The rules. Default: those of alertbot.yaml.")
    ] = None,
    config: Config = None,
) -> None:
    """Draw the card of a rule as it would look. --send posts it, marked as a drill and without mentions."""
    settings = lent_settings(config, needed=rules is None or entity is not None or send is not None)
    roots = [rules] if rules is not None else rule_roots(settings)
    found = _rule(rule, [load_lent([root], settings) for root in roots])
    now = wall_clock()
    if entity is not None:
        assert settings is not None  # required above
        alert, trend = _live(found, entity, _level(found, level), settings, now)
    else:
        alert = sample_alert(found, _level(found, level) or max(each.level for each in found.levels), now)
        trend = example(alert, now)
    folders = [template_folder(rules)] if rules is not None else list(template_folders(settings)) if settings else []
    default = settings.slack.default_channel if settings is not None else CHANNEL
    channel = ", ".join(found.channels.get(alert.level, (default,)))
    timezone = settings.timezone if settings is not None else "UTC"
    view = CardContent((alert,), now, mention=found.mention.get(alert.level, ()), timezone=timezone, trend=trend)
    view = replace(view, show_tenant=settings is not None and len(settings.tenants) > 1)
    card = Templates(folders).card(view, PlainPen())
    if card.fault is not None:
        show_faults([card.fault.fault])
    out.print(card_panel(card, channel))
    if entity is not None and alert.id is None:
        out.print(f"No alert of {found.id} is open for {alert.name}: this is how it would look.", markup=False)
    if send is not None:
        assert settings is not None  # required above
        _send(view, send, settings)
    if card.fault is not None:
        raise typer.Exit(PROBLEM)


def _rule(wanted: str, sets: list[RuleSet]) -> Rule:
    known = list({rule.id: rule for each in sets for rule in each.rules}.values())
    found = find_rules(known, wanted)
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{wanted!r} matches several rules: {', '.join(rule.id for rule in found)}")
    near = similar(wanted, [(rule.id, rule.id) for rule in known])
    hint = f"did you mean {near[0]}?" if near else f"the rules are: {', '.join(rule.id for rule in known)}"
    raise UsageError(f"there is no rule {wanted!r} ({hint})")


def _level(rule: Rule, wanted: str | None) -> Level | None:
    if wanted is None:
        return None
    level = LEVELS.get(wanted)
    if level is None or rule.level(level) is None:
        words = " and ".join(each.level.word for each in rule.levels)
        raise UsageError(f"--level: {rule.id} has {words}, not {wanted!r}")
    return level


def _live(
    rule: Rule, name: str, level: Level | None, settings: Settings, now: datetime
) -> tuple[Alert, Samples | None]:
    """The alert of an entity as it is, or as it would be with the values of the last poll, and its trend."""
    store = open_to_read(settings)
    try:
        alert = _alert(store, rule, name, level, settings, now)
        key = key_of(alert)
        values = store.values(alert.key.tenant, alert.key, key, now - WINDOW, now) if key else ()
        return alert, recent(values)
    finally:
        store.close()


def _alert(store: Store, rule: Rule, name: str, level: Level | None, settings: Settings, now: datetime) -> Alert:
    sets = dict.fromkeys((tenant.name for tenant in settings.tenants), RuleSet((rule,)))
    view = make_view(
        Command("why", (rule.id, name)),  # it needs the same: the alert, and what the rule is evaluated on
        settings,
        store,
        now,
        rules=lambda: (sets, {}),
        pasts=lambda rules: pasts_of(settings, store, rules, now),
    )
    known = entities(view.tenants, rule.scope)
    found = find(known, name)
    if not found:
        near = similar(name, [(each.full_name, each.name) for each in known])
        hint = f"did you mean {near[0]}?" if near else f"{len(known)} are known"
        raise UsageError(f"--entity: there is no {rule.scope} {name!r} ({hint})")
    if len(found) > 1:
        raise UsageError(f"--entity: {name!r} matches several: {', '.join(each.name for each in found[:10])}")
    one = found[0]
    for alert in (*view.alerts, *view.shadows):
        key = alert.key
        if (key.tenant, key.rule, key.entity_id) == (one.tenant.name, rule.id, one.id) and alert.open:
            return drawn_alert(replace(alert, level=level or alert.level), view.names)
    return drawn_alert(_as_it_would_be(rule, one.tenant, one.row, level, one.tenant.past, now), view.names)


def _as_it_would_be(
    rule: Rule, tenant: TenantView, row: int, level: Level | None, past: Past | None, now: datetime
) -> Alert:
    snapshot = tenant.snapshots[rule.scope]
    agents = agents_of(snapshot, tenant.snapshots)
    explanation = explain(rule, snapshot, row, agents=agents, past=past)
    holding = [each for each, term in explanation.levels.items() if term.truth is Truth.TRUE]
    level = level or max(holding or explanation.levels)
    measured = measure(rule, level, snapshot, row, agents=agents, past=past)
    return drawn_from(rule, level, snapshot, row, now, tenant=tenant.name, measured=measured)


def _send(view: CardContent, channel: str, settings: Settings) -> None:
    """Post the card under a title that cannot be taken for an alert, without buttons or mentions.

    Raises NotifyError when Slack refuses it, and UsageError when the channel or the token is missing.
    """
    if not is_channel(channel):
        raise UsageError(f'--send takes a channel such as "#cc-alerts", or its id, not {channel!r}')
    if not settings.slack.bot_token.get_secret_value():
        raise UsageError("--send needs slack.bot_token, which is not set")
    about = view.alert.about
    labels = {**about.labels, "drill": f"sent by {getpass.getuser()}; nothing is wrong"}
    drill = replace(view.alert, id=None, shown_as=f"DRILL: {view.alert.name}", about=replace(about, labels=labels))
    notifier = make_notifier(settings)
    notifier.post_card(
        replace(view, members=(drill,), mention=()), channel=channel, notice_id=f"drill-{secrets.token_hex(8)}"
    )
    out.print(f"sent to {channel}, marked as a drill", markup=False)
