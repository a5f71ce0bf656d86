"""What is tracked and not told: suppressed alerts, and those of rules that only watch.

`advance` hands its changes through here, so the suppressor's state is that of the same poll. Whether people know of an
alert is in the alert (`told`), so nothing is told twice and nothing is lost over a restart:

- while an alert that suppresses it is open, an alert that nobody knows of is not told; when none is open any more and
  it fires, it is told, with the reason "suppression ended";
- one that people know of keeps its card, which goes on to show what is true, and its end is told; in between, no
  level is told. A level that is another one when the suppression ends is told then;
- a rule in shadow tells nobody and suppresses nothing. What people know of is told to its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from alertbot.alerts import wording
from alertbot.alerts.alert import Alert, Change, Fingerprint, Reason, State, Withheld
from alertbot.rules.rule import Rule, RuleSet
from alertbot.rules.suppression import KINSHIPS, Kinship


def withhold(alerts: Sequence[Alert], changes: Sequence[Change], rules: RuleSet, now: datetime) -> list[Change]:
    """The changes of a poll with what people are told of them, then those of alerts about which only that is new.

    `alerts` are one tenant's that were not over before the poll; `changes` are of this tenant.
    """
    by_id = {rule.id: rule for rule in rules.rules}
    suppressors = _Suppressors(alerts, changes, by_id)
    found = [_settle(change, by_id.get(change.after.key.rule), suppressors, now) for change in changes]
    changed = {change.after.key for change in changes}
    for alert in alerts:
        rule = by_id.get(alert.key.rule)
        if rule is None or not alert.open or alert.key in changed:
            continue
        if alert.told is not None and alert.suppressor is None and not rule.suppressed_by:
            continue
        change = _settle(Change(alert, alert, None, ""), rule, suppressors, now)
        if change.after != alert:
            found.append(change)
    return found


class _Suppressors:
    """The open alerts of rules that suppress others, after the poll."""

    def __init__(self, alerts: Sequence[Alert], changes: Sequence[Change], by_id: dict[str, Rule]) -> None:
        self._rules = by_id
        named = {by for rule in by_id.values() for by in rule.suppressed_by}
        wanted = {by for by in named if by in by_id and not by_id[by].shadow}
        after = {alert.key: alert for alert in alerts if alert.key.rule in wanted}
        after.update({change.after.key: change.after for change in changes if change.after.key.rule in wanted})
        self._same: dict[tuple[str, str, str], Fingerprint] = {}
        self._any: dict[tuple[str, str], Fingerprint] = {}
        self._totals: dict[str, Fingerprint] = {}
        for key, alert in after.items():
            if alert.open:
                self._same[key.rule, key.parent_id, key.entity_id] = key
                self._any.setdefault((key.rule, key.entity_id), key)
                self._totals.setdefault(key.rule, key)

    def of(self, key: Fingerprint, rule: Rule) -> Fingerprint | None:
        """The first open alert that suppresses this one, in the order in which the rule names them."""
        for by in rule.suppressed_by:
            other = self._rules.get(by)
            kinship = KINSHIPS.get((rule.scope, other.scope)) if other is not None else None
            found: Fingerprint | None = None
            match kinship:
                case Kinship.SAME:
                    found = self._same.get((by, key.parent_id, key.entity_id))
                case Kinship.PARENT:
                    found = self._any.get((by, key.parent_id))
                case Kinship.MEMBER:
                    found = self._any.get((by, key.entity_id))
                case Kinship.TOTALS:
                    found = self._totals.get(by)
            if found is not None:
                return found
        return None


def _settle(change: Change, rule: Rule | None, suppressors: _Suppressors, now: datetime) -> Change:
    """One change with who is told of it; `change.before` is the alert itself where nothing else is new."""
    before, after, reason = change.before, change.after, change.reason
    if not after.open:
        if after.suppressor is not None:
            change = replace(change, after=replace(after, suppressor=None))
        never_told = reason is not None and after.told is None
        return replace(change, withheld=Withheld.NEVER_TOLD) if never_told else change
    if rule is None:
        return change
    by = suppressors.of(after.key, rule) if rule.suppressed_by else None
    if by != after.suppressor:
        after = replace(after, suppressor=by)
    withheld: Withheld | None = None
    why = change.why
    known = after.told is not None
    if rule.shadow and not known:
        withheld = Withheld.SHADOW if reason else None
    elif by is not None:
        withheld = Withheld.SUPPRESSED if reason else None
        why = why or f"suppressed by {by.rule}"
    elif _is_news(change, after):
        reason = Reason.SUPPRESSION_ENDED if known or rule.suppressed_by or _ended(before) else Reason.FIRED
        over = f"{before.suppressor.rule} is over; " if before is not None and before.suppressor is not None else ""
        held = max(now - after.since.get(after.level, now), timedelta(0))
        why = over + (change.why or wording.holds(after.measure, held))
        after = replace(after, told=after.level)
    elif reason is not None:
        after = replace(after, told=after.level)
    else:
        why = why or "not suppressed any more"
    return Change(before, after, reason, why, withheld)


def _is_news(change: Change, after: Alert) -> bool:
    """Whether people have to hear of it now though it did not just fire: what they know is not how it stands."""
    if after.told is None:
        return after.state is State.FIRING and change.reason is not Reason.FIRED
    return _ended(change.before) and after.level is not after.told and change.reason is None


def _ended(before: Alert | None) -> bool:
    return before is not None and before.suppressor is not None
