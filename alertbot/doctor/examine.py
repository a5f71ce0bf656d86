"""The whole examination, in order. What cannot be checked stops nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from alertbot.config.settings import Settings
from alertbot.doctor.configuration import check_calendars, check_file, check_rules
from alertbot.doctor.database import check_database
from alertbot.doctor.finding import Finding
from alertbot.doctor.running import check_fallback, check_heartbeat, check_http, check_page
from alertbot.doctor.slack import SlackCheck
from alertbot.doctor.tenant import Polled, check_coverage, check_regions, check_tenant


def examine(
    path: Path,
    settings: Settings,
    now: datetime,
    *,
    regions: bool,
    sleep: Callable[[float], None],
    progress: Callable[[str], None],
) -> Iterator[Finding]:
    """Every finding about the configuration in `path`, as it is made.

    Nothing is posted, and no alert is decided. `regions`: try the other regions of 8x8. `sleep` waits, in seconds;
    `progress` is called with what comes next, before each step that may take long.
    """
    yield from check_file(path)
    rules, findings = check_rules(settings)
    yield from findings
    yield from check_calendars(settings, rules.by_tenant, now)
    progress("the database")
    findings, service = check_database(settings, now)
    yield from findings
    yield from check_http(settings, service)
    yield from check_page(settings)
    polled: list[Polled] = []
    for tenant in settings.tenants:
        progress(f"8x8 {tenant.name}: one poll")
        findings = []
        found = check_tenant(settings, tenant, rules.by_tenant[tenant.name], now, findings)
        yield from findings
        if found is not None:
            polled.append(found)
        if regions:
            yield from check_regions(tenant, found, now, progress)
    yield from check_coverage(polled)
    yield from SlackCheck(settings, rules.by_tenant, sleep, progress).findings()
    progress("the heartbeat and the fallback webhook")
    yield from check_heartbeat(settings)
    yield from check_fallback(settings)
