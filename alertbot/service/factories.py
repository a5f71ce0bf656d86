"""Parts made from the settings. A command makes only the ones that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from alertbot import logs
from alertbot.alerts.alerting import Alerting
from alertbot.config.settings import Settings, TenantSettings
from alertbot.feed.health import Limits
from alertbot.rulefiles.on_disk import template_folder
from alertbot.rulefiles.parse_rules import ParsedRules, read_files
from alertbot.service.live_rules import LiveRules, Read
from alertbot.service.tenant import LiveTenant
from alertbot.slack.client import Contact, Observe, not_observed
from alertbot.slack.notifier import SlackNotifier
from alertbot.sources.eight_by_eight import REGIONS, TOKEN_URL, EightByEight
from alertbot.store.sqlite.store import SqliteStore


def open_store(settings: Settings) -> SqliteStore:
    """The database that the settings name, made where there is none. Raises StoreError."""
    return _opened(settings, settings.path(settings.storage))


def open_to_read(settings: Settings) -> SqliteStore:
    """The same for commands that read: it need not be writable. Raises StoreError where there is none."""
    return _opened(settings, settings.path(settings.storage), reading=True)


def open_for_dry_run(settings: Settings) -> SqliteStore:
    """The same, or an empty one in memory where there is no database yet, so that none is made. Raises StoreError."""
    if not settings.path(settings.storage).exists():
        return _opened(settings, ":memory:")
    return open_to_read(settings)


def _opened(settings: Settings, path: str | Path, *, reading: bool = False) -> SqliteStore:
    """With names of agents shown as the settings say, in log lines too."""
    store = SqliteStore(
        path,
        reading=reading,
        keep_polls=settings.record.keep,
        max_messages=settings.max_messages,
        timezone=settings.timezone,
        initials=settings.privacy.agents == "initials",
    )
    logs.show_names((lambda text: store.last_names.text(text)) if store.last_names.hidden else str)
    return store


def make_notifier(settings: Settings, *, observe: Observe = not_observed) -> SlackNotifier:
    """The notifier for the Slack of the settings. `observe` is called after each request."""
    return SlackNotifier(
        settings.slack.bot_token.get_secret_value(),
        api_url=settings.slack.api_url,
        template_folders=template_folders(settings),
        contact=Contact(observe=observe),
    )


def make_source(tenant: TenantSettings, *, speed: float = 1.0, base_url: str = "") -> EightByEight:
    """The 8x8 client of one tenant. Its deadline ends a fetch before the next one is due.

    `base_url` replaces that of its region.
    """
    base_url = base_url or tenant.base_url or REGIONS[tenant.region or "us"]
    return EightByEight(
        tenant.name,
        base_url,
        tenant.token_url or TOKEN_URL,
        tenant.api_key.get_secret_value(),
        tenant.api_secret.get_secret_value(),
        tenant_id=tenant.tenant_id,
        timezone=tenant.timezone or "",
        deadline_s=_deadline_s(tenant, speed),
        percent_scale=tenant.percent_scale,
        max_requests_per_minute=round(tenant.max_requests_per_minute * max(1.0, speed)),
    )


def _deadline_s(tenant: TenantSettings, speed: float) -> float:
    return max(4.0, min(30.0, 0.8 * tenant.poll_every.total_seconds() / speed))


def limits_of(settings: Settings, tenant: TenantSettings, *, speed: float = 1.0) -> Limits:
    """What is expected of a tenant's polls.

    A poll is slow after three quarters of the interval, or close to the deadline.
    """
    period_s = tenant.poll_every.total_seconds() / speed
    return Limits(
        poll_every=tenant.poll_every,
        stale_after=settings.stale_after,
        frozen_after=settings.frozen_after,
        slow_after=timedelta(seconds=max(0.5, min(0.75 * period_s, 0.9 * _deadline_s(tenant, speed)))),
    )


def alerting_of(settings: Settings, tenant: TenantSettings) -> Alerting:
    """What the settings say about the life of a tenant's alerts."""
    return Alerting(
        poll_every=tenant.poll_every,
        stale_after=settings.stale_after,
        storm_cards=settings.storm.cards,
        flap_rises=settings.flap.rises,
        flap_window=settings.flap.window,
        nag_after=settings.nag_after,
    )


def make_tenants(settings: Settings, live: LiveRules, *, speed: float = 1.0) -> list[LiveTenant]:
    """The tenants that are polled, with the rules that run for each."""
    return [
        LiveTenant(
            name=tenant.name,
            source=make_source(tenant, speed=speed),
            rules=live.rules(tenant.name),
            poll_every=tenant.poll_every,
            default_channel=tenant.default_channel or settings.slack.default_channel,
            ops_channel=tenant.ops_channel or settings.slack.ops,
            limits=limits_of(settings, tenant, speed=speed),
            refresh=settings.slack.refresh,
            alerting=alerting_of(settings, tenant),
            record_all=settings.record.keys == "all",
            keep=settings.record.keep,
            ignore=settings.ignored(tenant),
        )
        for tenant in settings.tenants
    ]


def rule_paths(settings: Settings) -> Mapping[str, Path]:
    """By tenant, the folder or file of its rules."""
    return {tenant.name: settings.path(tenant.rules or settings.rules) for tenant in settings.tenants}


def parser(settings: Settings) -> Read:
    """A parser of rule files that knows alertbot.yaml: its calendars, and how often tenants are polled."""

    def read(path: Path, files: Mapping[str, bytes]) -> ParsedRules:
        return read_files(files, settings.hours, settings.longest_poll([path]))

    return read


def template_folders(settings: Settings) -> tuple[Path, ...]:
    """`templates/` next to each tenant's rules."""
    return tuple(sorted({template_folder(path) for path in rule_paths(settings).values()}))
