"""What the rules of a tenant may evaluate while its feed is ill: missing data is then no evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from alertbot.alerts.alert import Alert, Change
from alertbot.evaluation.snapshot import Snapshot
from alertbot.feed.health import Health
from alertbot.feed.rules import EXPLAINING, is_feed
from alertbot.rules.catalogue import Scope
from alertbot.rules.rule import NoData, RuleSet


def explained(alerts: Sequence[Alert], changes: Sequence[Change], health: Health) -> bool:
    """Whether missing data is explained: by this poll itself, or by a feed alert that is open after it."""
    after = {alert.key: alert for alert in alerts if is_feed(alert)}
    after |= {change.after.key: change.after for change in changes}
    return not health.good or any(alert.open and alert.key.rule in EXPLAINING for alert in after.values())


def without_missing(rules: RuleSet, snapshots: Mapping[Scope, Snapshot]) -> tuple[RuleSet, Mapping[Scope, Snapshot]]:
    """The same rules and snapshots, with nothing in them that can begin an alert because of missing data, or end one.

    Unknown changes nothing, whatever `no_data` says, and an absent entity does not count as gone. What fired before
    keeps firing; a condition that still holds when the feed has recovered is reported then.
    """
    quiet = tuple(each if each.no_data is NoData.KEEP else replace(each, no_data=NoData.KEEP) for each in rules.rules)
    partial = {
        scope: replace(snapshot, complete=False) if snapshot.complete else snapshot
        for scope, snapshot in snapshots.items()
    }
    return replace(rules, rules=quiet), partial
