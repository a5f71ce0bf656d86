"""What the rules of a tenant may see while its feed is ill."""

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
    """Whether what is missing is explained: by this poll itself, or by a feed alert that is open after it."""
    after = {alert.key: alert for alert in alerts if is_feed(alert)}
    after |= {change.after.key: change.after for change in changes}
    return not health.good or any(alert.open and alert.key.rule in EXPLAINING for alert in after.values())


def without_missing(rules: RuleSet, snapshots: Mapping[Scope, Snapshot]) -> tuple[RuleSet, Mapping[Scope, Snapshot]]:
    """The same rules and snapshots, with nothing left that can say "missing".

    What is unknown stays as it was, whatever `no_data` says, and an entity that is not there is not gone. What fired
    before stays; what still holds when the trouble is over is told then.
    """
    quiet = tuple(each if each.no_data is NoData.KEEP else replace(each, no_data=NoData.KEEP) for each in rules.rules)
    partial = {
        scope: replace(snapshot, complete=False) if snapshot.complete else snapshot
        for scope, snapshot in snapshots.items()
    }
    return replace(rules, rules=quiet), partial
