"""What only time changes: it happens on every turn, also on one without a fetch.

Today that is one thing: when the calendar of a rule closes, its open alerts end. No sample is needed to know it, so it
must not wait for the next fetch, which may be an hour away (Retry-After).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from alertbot.alerts.alert import Alert, Change
from alertbot.alerts.alerting import ORDINARY, Situation
from alertbot.alerts.transition import close
from alertbot.rules.hours import Phase
from alertbot.rules.rule import Rule


def followups(
    alerts: Sequence[Alert],
    rules: Mapping[str, Rule],
    phases: Mapping[str, Phase],
    now: datetime,
    situation: Situation = ORDINARY,
) -> Iterator[Change]:
    """The changes that are due at `now` whatever was fetched, in the order of the alerts, at most one per alert.

    `alerts` are open or pending; `phases` says for each rule, by id, whether its calendar lets it be active.
    """
    if Phase.CLOSED not in phases.values():
        return
    for alert in alerts:
        rule = rules.get(alert.key.rule)
        if rule is not None and rule.scope is alert.key.scope and phases[rule.id] is Phase.CLOSED:
            yield close(alert, rule, now)
