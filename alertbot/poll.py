"""One poll of one tenant, from top to bottom. Read this file first.

Nothing below calls back up. A crash before `store.record` has decided nothing; after it, all that was
decided is told later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from alertbot.alerts.alert import Change, Notice
from alertbot.alerts.decide import decide
from alertbot.alerts.evaluate import Selector, evaluate_all
from alertbot.alerts.snapshot import Fetched, Snapshot
from alertbot.alerts.transition import advance, judge
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import RuleSet
from alertbot.sources.source import Source
from alertbot.store.store import Feed, PollRecord, Store


@dataclass(frozen=True)
class Polled:
    """What one poll saw and decided."""

    tenant: str
    now: datetime
    fetched: Fetched
    snapshots: Mapping[Scope, Snapshot]
    changes: tuple[Change, ...]
    notices: tuple[Notice, ...]

    @property
    def good(self) -> bool:
        """The tenant was polled whole."""
        return not self.fetched.failures and all(snapshot.complete for snapshot in self.snapshots.values())

    @property
    def problems(self) -> tuple[str, ...]:
        """Why it was not, in words for people."""
        failed = tuple(f"{scope}: {why}" for scope, why in self.fetched.failures.items())
        partial = tuple(
            f"{scope}: {problem}" for scope, snapshot in self.snapshots.items() for problem in snapshot.problems
        )
        return failed + partial


def run(
    tenant: str,
    source: Source,
    store: Store,
    rules: RuleSet,
    *,
    default_channel: str,
    refresh: timedelta,
    now: datetime,
    selector: Selector | None = None,
    dry_run: bool = False,
) -> Polled:
    """Poll one tenant: fetch, evaluate, advance its alerts, decide who is told, and record all of it at once.

    A failed fetch changes no alert. `selector` remembers between polls which
    entities the rules cover. `dry_run` records nothing. Raises StoreError; what 8x8 does never raises.
    """
    fetched = source.fetch(rules.metrics(), now)
    feed = store.feed(tenant)
    snapshots = {
        scope: judge(snapshot, feed.entities.get(scope, 0), feed.empty_polls.get(scope, 0))
        for scope, snapshot in fetched.snapshots.items()
    }
    seen = evaluate_all(rules, snapshots, selector)
    changes = advance(store.alerts(tenant), seen, rules, now, tenant=tenant, failed_scopes=frozenset(fetched.failures))
    notices = decide(changes, rules, store.cards(tenant), default_channel, now)
    polled = Polled(tenant, now, fetched, snapshots, tuple(changes), tuple(notices))
    if not dry_run:
        store.record(
            PollRecord(
                tenant=tenant,
                now=now,
                feed=_next_feed(feed, polled),
                changes=changes,
                notices=notices,
                snapshots=snapshots,
                refresh=refresh,
            )
        )
    return polled


def _next_feed(feed: Feed, polled: Polled) -> Feed:
    """How the tenant's polls go, this one included."""
    entities, empty_polls = dict(feed.entities), dict(feed.empty_polls)
    for scope, snapshot in polled.snapshots.items():
        empty_polls[scope] = empty_polls.get(scope, 0) + 1 if not len(snapshot) else 0
        if snapshot.complete:
            entities[scope] = len(snapshot)
    return replace(
        feed,
        tried_at=polled.now,
        good_at=polled.now if polled.good else feed.good_at,
        error="; ".join(polled.problems) if not polled.good else "",
        took_ms=polled.fetched.took_ms,
        requests=len(polled.fetched.requests),
        entities=entities,
        empty_polls=empty_polls,
    )
