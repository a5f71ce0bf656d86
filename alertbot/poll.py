"""One poll of one tenant, from top to bottom. Read this file first.

Nothing below calls back up. A crash before `store.record` has decided nothing; after it, all that was
decided is told later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from alertbot.alerts.advance import advance
from alertbot.alerts.alert import Alert, Change
from alertbot.alerts.decide import decide
from alertbot.alerts.notice import Notice
from alertbot.evaluation.evaluate import Selector, evaluate_all
from alertbot.evaluation.past import Past
from alertbot.evaluation.snapshot import Fetched, Snapshot
from alertbot.feed import health as feeds
from alertbot.feed import observe as feed_polls
from alertbot.feed.blindness import blindfold, explained
from alertbot.feed.health import Health, Limits
from alertbot.feed.observe import judge
from alertbot.feed.rules import feed_rules, is_feed, snapshot_of
from alertbot.feed.wording import tell
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import RuleSet
from alertbot.sources.source import Source
from alertbot.store.records import Feed, PollRecord
from alertbot.store.roles import Store

DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Polled:
    """What one poll saw and decided; `changes` has those of feed health first."""

    tenant: str
    now: datetime
    fetched: Fetched
    snapshots: Mapping[Scope, Snapshot]
    changes: tuple[Change, ...]
    notices: tuple[Notice, ...]
    health: Health
    past: Past | None = None  # this poll included; for the next one

    @property
    def good(self) -> bool:
        """The tenant was polled whole."""
        return self.health.good > 0

    @property
    def problems(self) -> tuple[str, ...]:
        """Why it was not, in words for people."""
        scopes_by_reason: dict[str, list[str]] = {}
        for scope, why in self.fetched.failures.items():
            scopes_by_reason.setdefault(why, []).append(scope)
        failed = tuple(f"{', '.join(scopes)}: {why}" for why, scopes in scopes_by_reason.items())
        partial = tuple(
            f"{scope}: {problem}" for scope, snapshot in self.snapshots.items() for problem in snapshot.problems
        )
        return failed + partial

    @property
    def error(self) -> str:
        """Why it was not good, in one sentence; "" when it was."""
        incomplete = {scope: snapshot for scope, snapshot in self.snapshots.items() if not snapshot.complete}
        partial = [problem for snapshot in incomplete.values() for problem in snapshot.problems]
        reasons = list(dict.fromkeys([*self.fetched.failures.values(), *partial]))
        if self.good:
            return ""
        if not reasons:
            return "8x8 refused the credentials" if self.fetched.refused else "not all came"
        return reasons[0] + (f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else "")


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
    past: Past | None = None,
    wanted: Mapping[Scope, frozenset[str]] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    ops_channel: str = "",
    dry_run: bool = False,
) -> Polled:
    """Poll one tenant: fetch, evaluate, advance its alerts, decide who is told, and record all of it at once.

    A failed fetch changes no alert but those of feed health, which are told in `ops_channel` ("": `default_channel`).
    `selector` remembers between polls which entities the rules cover; `past` is what `Polled.past` of the last poll was
    (None: windows are unknown). `wanted` are the keys to ask for, where more are to be recorded than the rules use.
    `dry_run` records nothing. Raises StoreError; what 8x8 does never raises.
    """
    fetched = source.fetch(rules.metrics() if wanted is None else wanted, now, rules.only())
    feed = store.feed(tenant)
    alerts = store.alerts(tenant)
    snapshots = {
        scope: judge(snapshot, feed.entities.get(scope, 0), feed.empty_polls.get(scope, 0))
        for scope, snapshot in fetched.snapshots.items()
    }
    past = None if past is None else past.add(snapshots)

    # The feed first: while it is ill, nothing may say "missing".
    health = feed_polls.observe(feed.health, fetched, snapshots, limits, now, opened=feed_polls.opening(rules, now))
    builtin = feed_rules(limits, ops_channel or default_channel)
    feed_changes = _advance_feed(tenant, health, alerts, builtin, limits, now)
    judged: RuleSet = rules
    visible: Mapping[Scope, Snapshot] = snapshots
    if explained(alerts, feed_changes, health):
        judged, visible = blindfold(rules, snapshots)

    seen = evaluate_all(judged, visible, selector, past)
    others = [alert for alert in alerts if not is_feed(alert)]
    changes = advance(others, seen, judged, now, tenant=tenant, failed_scopes=frozenset(fetched.failures))
    health = feed_polls.gathered(health, changes)
    polled = Polled(tenant, now, fetched, snapshots, (), (), health, past)
    changes = [*tell(feed_changes, health, polled.error, fetched.took_ms, limits, now), *changes]
    all_rules = replace(rules, rules=(*builtin.rules, *rules.rules))
    notices = decide(changes, all_rules, store.cards(tenant), default_channel, now)
    polled = replace(
        polled,
        changes=tuple(changes),
        notices=tuple(notices),
        health=feed_polls.settled(health, alerts, feed_changes),
    )
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
                failures=fetched.failures,
            )
        )
    return polled


def pause(
    tenant: str,
    store: Store,
    *,
    limits: Limits,
    ops_channel: str,
    refresh: timedelta,
    now: datetime,
    failed: str = "",
) -> tuple[Change, ...]:
    """A poll's turn in which the tenant is left in peace: the time goes by all the same, and is told. StoreError.

    `failed`: why the poll of this turn came to nothing in alertbot itself, before anything of it was recorded.
    """
    feed = store.feed(tenant)
    if failed:
        feed = replace(feed, tried_at=now, error=failed, health=feed_polls.missed(feed.health, now))
    health = feeds.set_right(feed.health, now)
    set_back = health != feed.health
    feed = replace(feed, health=health)
    alerts = [alert for alert in store.alerts(tenant) if is_feed(alert)]
    builtin = feed_rules(limits, ops_channel)
    found = _advance_feed(tenant, feed.health, alerts, builtin, limits, now, paused=True)
    changes = tell(found, feed.health, feed.error, feed.took_ms, limits, now)
    if changes or failed or set_back:
        notices = decide(changes, builtin, store.cards(tenant), ops_channel, now)
        store.record(PollRecord(tenant, now, feed, changes, notices, refresh=refresh, polled=False))
    return tuple(changes)


def _advance_feed(
    tenant: str,
    health: Health,
    alerts: Sequence[Alert],
    rules: RuleSet,
    limits: Limits,
    now: datetime,
    *,
    paused: bool = False,
) -> list[Change]:
    mine = [alert for alert in alerts if is_feed(alert)]
    row = snapshot_of(tenant, health, limits, now, paused=paused)
    return advance(mine, evaluate_all(rules, {Scope.FEED: row}), rules, now, tenant=tenant)


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
        error=polled.error,
        took_ms=polled.fetched.took_ms,
        requests=len(polled.fetched.requests),
        entities=entities,
        empty_polls=empty_polls,
        health=polled.health,
    )
