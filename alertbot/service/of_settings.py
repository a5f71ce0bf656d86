"""What the settings say about a tenant (its rules and templates, the limits of its polls, the life of its alerts), and
whether there is a status page.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from alertbot.alerts.alerting import Alerting
from alertbot.config.settings import Settings, TenantSettings
from alertbot.feed.health import Limits
from alertbot.rulefiles.on_disk import template_folder
from alertbot.rulefiles.parse_rules import ParsedRules, read_files
from alertbot.service.running_rules import Read
from alertbot.web.hosts import is_loopback


def deadline_s(tenant: TenantSettings, speed: float) -> float:
    """The seconds that one fetch may take."""
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
        slow_after=timedelta(seconds=max(0.5, min(0.75 * period_s, 0.9 * deadline_s(tenant, speed)))),
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


def serves_page(settings: Settings) -> bool:
    """Whether there is a status page: with a password, or where only this machine can reach it."""
    return bool(settings.page.password.get_secret_value()) or is_loopback(settings.http.host)
