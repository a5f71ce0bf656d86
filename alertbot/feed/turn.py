"""What one turn means for a tenant's feed: `begin` before its rules are evaluated, `finish` after.

A turn on which 8x8 was not polled is a turn like any other: time passes, and a feed alert such as "no data for 2m" may
begin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from alertbot.alerts.advance import advance
from alertbot.alerts.alert import Alert, Change
from alertbot.evaluation.evaluate import evaluate_all
from alertbot.evaluation.snapshot import Fetched, Snapshot
from alertbot.feed.blindness import explained, without_missing
from alertbot.feed.health import Feed, Limits, not_in_the_future
from alertbot.feed.observe import doubt_empty, missed, observe, opening, with_meanwhile, without_ended_trouble
from alertbot.feed.rules import feed_rules, may_begin, snapshot_of, values_of
from alertbot.feed.wording import in_words
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import RuleSet


@dataclass(frozen=True)
class FeedTurn:
    """A feed after the fetch of a turn. `rules` and `visible`: what the tenant's rules may report, and about what."""

    feed: Feed
    alerts: Sequence[Alert]  # feed alerts that were open before the turn
    changes: Sequence[Change]  # of feed alerts, not yet in words
    builtin: RuleSet
    snapshots: Mapping[Scope, Snapshot]  # what was fetched; an empty response where there were entities is incomplete
    rules: RuleSet
    visible: Mapping[Scope, Snapshot]


def begin(
    feed: Feed,
    alerts: Sequence[Alert],
    fetched: Fetched | None,
    rules: RuleSet,
    limits: Limits,
    channel: str,
    now: datetime,
    *,
    error: str = "",
) -> FeedTurn:
    """The feed after a fetch. `alerts` are its open feed alerts, which are reported in `channel`.

    `fetched` is None on a turn on which 8x8 was not polled; `error` says why, if alertbot itself failed.
    """
    builtin = feed_rules(limits, channel)
    if fetched is None:
        snapshots: Mapping[Scope, Snapshot] = {}
        if error:
            feed = replace(feed, tried_at=now, error=error, health=missed(feed.health, now))
        else:
            feed = replace(feed, health=not_in_the_future(feed.health, now))
    else:
        snapshots = {
            scope: doubt_empty(snapshot, feed.entities.get(scope, 0), feed.empty_polls.get(scope, 0))
            for scope, snapshot in fetched.snapshots.items()
        }
        feed = _after_fetch(feed, fetched, snapshots, rules, limits, now)
    changes: Sequence[Change] = ()
    if alerts or may_begin(values_of(feed.health, limits, now, paused=fetched is None), builtin):
        row = snapshot_of(feed.tenant, feed.health, limits, now, paused=fetched is None)
        changes = advance(alerts, evaluate_all(builtin, {Scope.FEED: row}), builtin, now, tenant=feed.tenant)
    visible = snapshots
    if fetched is not None and explained(alerts, changes, feed.health):
        rules, visible = without_missing(rules, snapshots)
    return FeedTurn(feed, alerts, changes, builtin, snapshots, rules, visible)


def finish(
    turn: FeedTurn, changes: Sequence[Change], failing: Mapping[str, str], limits: Limits, now: datetime
) -> tuple[Feed, list[Change]]:
    """The feed as it is stored, and the changes of its alerts in words.

    `changes` are those of the tenant's rules; `failing` has the rules that could not be evaluated, with the exception.
    A rule whose scope was not fetched stays as it was.
    """
    feed = turn.feed
    health = with_meanwhile(feed.health, changes)
    worded = in_words(turn.changes, health, feed.error, feed.took_ms, limits, now)
    health = without_ended_trouble(health, turn.alerts, turn.changes)
    if health.failing or failing:
        unevaluated = {rule.id for rule in turn.rules.rules if rule.scope not in turn.visible}
        still = {rule: error for rule, error in health.failing.items() if rule in unevaluated}
        health = replace(health, failing={**still, **failing})
    return (feed if health is feed.health else replace(feed, health=health)), worded


def _after_fetch(
    feed: Feed,
    fetched: Fetched,
    snapshots: Mapping[Scope, Snapshot],
    rules: RuleSet,
    limits: Limits,
    now: datetime,
) -> Feed:
    health = observe(feed.health, fetched, snapshots, limits, now, opened=opening(rules, now))
    entities, empty_polls = dict(feed.entities), dict(feed.empty_polls)
    for scope, snapshot in snapshots.items():
        empty_polls[scope] = empty_polls.get(scope, 0) + 1 if not len(snapshot) else 0
        if snapshot.complete:
            entities[scope] = len(snapshot)
    good = health.good > 0
    return replace(
        feed,
        tried_at=now,
        good_at=now if good else feed.good_at,
        error="" if good else _what_failed(fetched, snapshots),
        took_ms=fetched.took_ms,
        requests=len(fetched.requests),
        entities=entities,
        empty_polls=empty_polls,
        health=health,
    )


def _what_failed(fetched: Fetched, snapshots: Mapping[Scope, Snapshot]) -> str:
    """Why a poll was not good, in one sentence."""
    partial = [problem for snapshot in snapshots.values() if not snapshot.complete for problem in snapshot.problems]
    reasons = list(dict.fromkeys([*fetched.failures.values(), *partial]))
    if not reasons:
        return "8x8 refused the credentials" if fetched.refused else "incomplete data"
    return reasons[0] + (f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else "")
