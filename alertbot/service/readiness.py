"""Whether the bot can do its work, for /readyz."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from alertbot.errors import AlertbotError
from alertbot.feed.rules import UNFIT
from alertbot.rules.units import format_duration
from alertbot.store.roles import Health

if TYPE_CHECKING:  # `ask` asks what is overdue, and needs nothing of what a turn imports
    from alertbot.service.tenant import LiveTenant

OVERDUE_AFTER = timedelta(minutes=2)
"""For how long a message may wait for delivery, apart from its turn in its channel."""


def unready(store: Health, tenants: Sequence[LiveTenant], problems: Sequence[str], now: datetime) -> list[str]:
    """Why the bot is not ready, a sentence each, or an empty list: stale feeds, delivery, the database, and `problems`.

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
        if late := overdue(store, now):
            reasons.append(late)
        store.check_writable()
    except AlertbotError as error:
        reasons.append(str(error))
    return list(dict.fromkeys([*reasons, *(problem for problem in problems if problem)]))


def overdue(store: Health, now: datetime) -> str:
    """That a message has waited for too long, in a sentence, or "". Raises StoreError."""
    since = store.overdue_since(now)
    if since is None or now - since < OVERDUE_AFTER:
        return ""
    return f"a message has been waiting to be delivered to Slack for {format_duration(now - since)}"
