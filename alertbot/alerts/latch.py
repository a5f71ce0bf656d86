"""Alerts that were closed by hand: each fires again only after its condition was false.

A user closes an alert because it is stuck: its condition holds, and is no news. So its fingerprint is latched when it
is closed, and nothing begins for it while it is: neither at another level nor after the rule was edited. Unknown is no
evidence that the condition was false, whatever the rule's `no_data` says. The calendar of the rule does not matter
either: an alert that was closed in the evening does not fire in the morning because the office opens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alertbot.alerts.alert import Fingerprint
from alertbot.alerts.transition import MISSED_LIMIT
from alertbot.evaluation.evaluate import Truth, Verdicts
from alertbot.rules.rule import RuleSet


def next_latches(
    latched: Mapping[Fingerprint, int], verdicts: Sequence[Verdicts], rules: RuleSet
) -> Mapping[Fingerprint, int | None]:
    """What one poll changes about `latched`: by fingerprint the complete polls in a row that did not have the entity.

    None: it is latched no more. Its condition was false at every level, its rule is gone or no longer covers it, or
    the entity was absent from complete polls for as long as ends an open alert. `verdicts` are those of the scopes that
    were fetched.
    """
    by_rule = {verdict.rule.id: verdict for verdict in verdicts}
    found = ((key, _next(key, missed, by_rule, rules)) for key, missed in latched.items())
    return {key: missed for key, missed in found if missed != latched[key]}


def _next(key: Fingerprint, missed: int, by_rule: Mapping[str, Verdicts], rules: RuleSet) -> int | None:
    rule = rules.by_id(key.rule)
    if rule is None or rule.scope is not key.scope:
        return None
    verdict = by_rule.get(key.rule)
    if verdict is None:
        return missed
    row = verdict.snapshot.rows.get((key.parent_id, key.entity_id))
    if row is None:
        missed += verdict.snapshot.complete
        return None if missed >= MISSED_LIMIT else missed
    position = verdict.position(row)
    if position is None:
        return None
    guard, levels, _ = verdict.at(position)
    was_false = guard is Truth.TRUE and all(level is Truth.FALSE for level in levels.values())
    return None if was_false else 0
