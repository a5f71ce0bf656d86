"""Tenants that are in the database and no longer in the configuration: their open alerts end when the bot starts.

Nothing else would ever end them, since a tenant's alerts change in its turns alone.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from alertbot.alerts.decide import decide
from alertbot.alerts.transition import depart
from alertbot.logs import logger
from alertbot.rules.rule import RuleSet
from alertbot.store.records import PollRecord
from alertbot.store.roles import Polls

log = logger("tenant")


def end_departed(store: Polls, tenants: Collection[str], default_channel: str, now: datetime) -> int:
    """End every alert whose tenant is not one of `tenants`, those about feeds included; the number of them.

    Their cards are closed, with the reason in the thread. Raises StoreError.
    """
    departed = sorted({alert.key.tenant for alert in store.alerts()} - set(tenants))
    ended = 0
    for tenant in departed:
        with store.alone(tenant):  # a user of another process may acknowledge meanwhile
            changes = [depart(alert, now) for alert in store.alerts(tenant)]
            cards, groups = store.cards(tenant), store.groups(tenant)
            notices = decide(changes, RuleSet(), cards, default_channel, now, groups=groups)
            store.record(PollRecord(tenant, now, store.feed(tenant), changes, notices, polled=False))
        log.info(
            "the tenant is no longer in the configuration: its alerts have ended", tenant=tenant, alerts=len(changes)
        )
        ended += len(changes)
    return ended
