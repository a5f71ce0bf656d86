"""Parts that reach the network, made from the settings: sources and the notifier. Their libraries are large."""

from __future__ import annotations

from functools import partial

from alertbot.config.settings import Settings, TenantSettings
from alertbot.service.lent import LentSource
from alertbot.service.live_rules import LiveRules
from alertbot.service.of_settings import alerting_of, deadline_s, limits_of, template_folders
from alertbot.service.tenant import LiveTenant
from alertbot.slack.client import Contact, Observe, not_observed
from alertbot.slack.notifier import SlackNotifier
from alertbot.sources.eight_by_eight import REGIONS, TOKEN_URL, EightByEight


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
        deadline_s=deadline_s(tenant, speed),
        percent_scale=tenant.percent_scale,
        max_requests_per_minute=round(tenant.max_requests_per_minute * max(1.0, speed)),
    )


def make_tenants(settings: Settings, live: LiveRules, *, speed: float = 1.0, lent: bool = False) -> list[LiveTenant]:
    """The tenants that are polled, with the rules that run for each. `lent`: by several workers, some by each."""
    return [
        LiveTenant(
            name=tenant.name,
            source=LentSource(partial(make_source, tenant, speed=speed)) if lent else make_source(tenant, speed=speed),
            rules=live.rules(tenant.name),
            poll_every=tenant.poll_every,
            default_channel=tenant.default_channel or settings.slack.default_channel,
            ops_channel=tenant.ops_channel or settings.slack.ops,
            limits=limits_of(settings, tenant, speed=speed),
            refresh=settings.slack.refresh,
            alerting=alerting_of(settings, tenant),
            record_all=settings.record.keys == "all",
            keep=settings.record.keep,
            keep_usual=settings.record.usual,
            zone=settings.zone_of(tenant),
            ignore=settings.ignored(tenant),
        )
        for tenant in settings.tenants
    ]
