"""Whether the bot can do its work, for /readyz."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from alertbot.errors import AlertbotError
from alertbot.feed.rules import UNFIT
from alertbot.service.tenant import LiveTenant
from alertbot.store.roles import Health


def unready(store: Health, tenants: Sequence[LiveTenant], problems: Sequence[str], now: datetime) -> list[str]:
    """Why the bot is not ready, a sentence each, or an empty list: stale feeds, the database, and `problems`.

    `problems` are those of parts, such as a Slack that refuses the credentials; "" is none.
    """
    reasons: list[str] = []
    try:
        ill: dict[str, list[str]] = {}
        for alert in store.alerts():
            if alert.open and alert.key.rule in UNFIT:
                ill.setdefault(alert.key.tenant, []).append(f"{alert.about.title}: {alert.about.detail}")
        for tenant in tenants:
            good_at = store.feed(tenant.name).good_at
            if tenant.name in ill:
                reasons += [f"{tenant.name}: {sentence}" for sentence in ill[tenant.name]]
            elif good_at is None:
                reasons.append(f"{tenant.name}: no good poll yet")
            elif now - good_at > tenant.limits.stale_limit:
                reasons.append(f"{tenant.name}: no good poll for {(now - good_at).total_seconds():.0f} s")
        store.check_writable()
    except AlertbotError as error:
        reasons.append(str(error))
    return [*reasons, *(problem for problem in problems if problem)]
