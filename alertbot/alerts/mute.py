"""Mutes: why an alert is tracked but not reported.

Theory of operation. Muting never changes the life of an alert: states and levels move as if nothing muted it. It
decides only whether a change is reported, and it can make a report out of no change at all: when the mute ends.

- MUTERS are asked in their order, and the first that mutes an alert is written down in it: `Alert.muted`, a
  Mute(kind, ref, since). `since` stays while kind and ref stay. A new kind of mute is one class and one entry here.
- What was reported is written down in the alert too: `Alert.reported`, the last level that a reader was notified of. So
  nothing is reported twice and nothing is lost over a restart.
- While an alert is muted, nothing about it is reported. Its card, where it has one, is still kept accurate: cards are
  drawn from the alert, not from notices.
- When the mute ends, what is different from what was reported is reported once: an alert that fires and was never
  reported (reason by kind of mute, see _ENDED), or a level other than the one reported.
- The end of an alert that was reported is always reported, muted or not; the end of one that never was, never.
- A silence mutes what it matches at the level that the alert has now: one for `level=warning` does not hide a rise to
  critical. Where several match, the first by id is written down; another that still matches when that ends takes over,
  and nothing is reported.
- A rule in shadow mutes its own alerts, and suppresses nothing. An alert that had been reported before its rule went
  into shadow is reported to its end.

`advance` passes its changes through here, so the state of a suppressing alert is that of the same poll.

What is deliberately not here: pending alerts are not muted (nothing about them is ever reported), and neither are feed
alerts by anything but themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Protocol

from alertbot.alerts import wording
from alertbot.alerts.alert import Alert, Change, Fingerprint, Mute, MuteKind, Reason, State, Withheld
from alertbot.alerts.alerting import ORDINARY, Situation
from alertbot.alerts.standing import Kind, Standing
from alertbot.rules.rule import Rule, RuleSet
from alertbot.rules.suppression import KINSHIPS, Kinship


@dataclass(frozen=True)
class Poll:
    """The alerts of a tenant before a poll, what the poll changed, the rules by id, and what else is known."""

    alerts: Standing
    changes: Sequence[Change]
    rules: Mapping[str, Rule]
    now: datetime
    situation: Situation = ORDINARY


class Muter(Protocol):
    """One reason to mute. `kind` is what it stores in the alert."""

    kind: MuteKind

    def __init__(self, poll: Poll) -> None:
        """What the muter needs of the poll is prepared once."""

    def may_mute_again(self, rule: Rule) -> bool:
        """Whether it may mute an already reported alert of this rule. Asked once per rule, not once per alert."""

    def mutes(self, alert: Alert, rule: Rule) -> tuple[bool, Fingerprint | int | None]:
        """Whether it mutes this open alert now, and what mutes it (`Mute.ref`)."""


class Shadow:
    """The alert's own rule is in shadow, and the alert was never reported."""

    kind = MuteKind.SHADOW

    def __init__(self, poll: Poll) -> None:
        pass

    def may_mute_again(self, rule: Rule) -> bool:
        return False

    def mutes(self, alert: Alert, rule: Rule) -> tuple[bool, Fingerprint | None]:
        return rule.shadow and alert.reported is None, None


class Suppression:
    """An alert of a rule in `suppressed_by` is open for the same entity, or for a related one."""

    kind = MuteKind.SUPPRESSED

    def __init__(self, poll: Poll) -> None:
        self._rules = rules = poll.rules
        named = {by for rule in rules.values() for by in rule.suppressed_by}
        wanted = {by for by in named if by in rules and not rules[by].shadow}
        after = {alert.key: alert for alert in poll.alerts.only([(rules[by].scope, by) for by in wanted])}
        after.update({change.after.key: change.after for change in poll.changes if change.after.key.rule in wanted})
        self._same: dict[tuple[str, str, str], Fingerprint] = {}
        self._any: dict[tuple[str, str], Fingerprint] = {}
        self._totals: dict[str, Fingerprint] = {}
        for key, alert in after.items():
            if alert.open:
                self._same[key.rule, key.parent_id, key.entity_id] = key
                self._any.setdefault((key.rule, key.entity_id), key)
                self._totals.setdefault(key.rule, key)

    def may_mute_again(self, rule: Rule) -> bool:
        return any(by in self._totals for by in rule.suppressed_by)

    def mutes(self, alert: Alert, rule: Rule) -> tuple[bool, Fingerprint | None]:
        """The first open alert that suppresses this one, in the order in which the rule names them."""
        key = alert.key
        for by in rule.suppressed_by:
            other = self._rules.get(by)
            kinship = KINSHIPS.get((rule.scope, other.scope)) if other is not None else None
            suppressor: Fingerprint | None = None
            match kinship:
                case Kinship.SAME:
                    suppressor = self._same.get((by, key.parent_id, key.entity_id))
                case Kinship.PARENT:
                    suppressor = self._any.get((by, key.parent_id))
                case Kinship.MEMBER:
                    suppressor = self._any.get((by, key.entity_id))
                case Kinship.TOTALS:
                    suppressor = self._totals.get(by)
            if suppressor is not None:
                return True, suppressor
        return False, None


class Silencing:
    """A silence that is active matches the alert, as it is after this poll: at the level that it has now."""

    kind = MuteKind.SILENCED

    def __init__(self, poll: Poll) -> None:
        self._active = [silence for silence in poll.situation.silences if silence.active(poll.now)]
        keys = (*islice(poll.alerts.by_key, 1), *(change.after.key for change in poll.changes[:1]))
        self._tenant = keys[0].tenant if keys else ""  # of all of them
        self._of_rule: dict[str, list[tuple[int, Callable[[Alert], bool]]]] = {}

    def may_mute_again(self, rule: Rule) -> bool:
        return bool(self._active) and bool(self._for(rule))

    def mutes(self, alert: Alert, rule: Rule) -> tuple[bool, int | None]:
        """The first silence that matches, by id: one that is made meanwhile changes nothing for what is silenced."""
        if self._active:
            for silence_id, matches in self._for(rule):
                if matches(alert):
                    return True, silence_id
        return False, None

    def _for(self, rule: Rule) -> list[tuple[int, Callable[[Alert], bool]]]:
        """Those that can match alerts of this rule: the alerts of other rules cost nothing."""
        found = self._of_rule.get(rule.id)
        if found is None:
            tests = ((silence.id, silence.matcher.for_rule(self._tenant, rule)) for silence in self._active)
            found = self._of_rule[rule.id] = [(silence_id, test) for silence_id, test in tests if test is not None]
        return found


MUTERS: tuple[type[Muter], ...] = (Shadow, Suppression, Silencing)
"""The kinds of mute, in the order in which they are asked."""

_ENDED: Mapping[MuteKind, Reason] = {
    MuteKind.SHADOW: Reason.FIRED,
    MuteKind.SUPPRESSED: Reason.SUPPRESSION_ENDED,
    MuteKind.SILENCED: Reason.SILENCE_ENDED,
}
"""The reason with which an alert that was never reported is reported, if it still fires when its mute ends."""


def mute(
    alerts: Standing, changes: Sequence[Change], rules: RuleSet, now: datetime, situation: Situation = ORDINARY
) -> list[Change]:
    """The changes of a poll with what mutes each alert, then changes for alerts whose mute is all that changed.

    `alerts` are those of one tenant before the poll; `changes` are of this tenant. A change that is not to be reported
    says why in `withheld`. Alerts that are reported and not muted are only looked at where something may mute them now.
    """
    by_id = {rule.id: rule for rule in rules.rules}
    poll = Poll(alerts, changes, by_id, now, situation)
    muters = tuple(make(poll) for make in MUTERS)
    asked = {
        (rule.scope, rule.id): None
        for rule in rules.rules
        if (rule.scope, rule.id) in alerts.by_rule and any(muter.may_mute_again(rule) for muter in muters)
    }
    decided = [
        change
        if change.only_values and change.after.key not in alerts.quiet and _kind(change) not in asked
        else _decide(change, by_id.get(change.after.key.rule), muters, now)
        for change in changes
    ]
    changed = {change.after.key for change in changes}
    keys = dict.fromkeys(alerts.quiet)
    for kind in asked:
        keys.update(dict.fromkeys(alerts.by_rule[kind]))
    for alert in alerts.in_order(keys):
        rule = by_id.get(alert.key.rule)
        if rule is None or not alert.open or alert.key in changed:
            continue
        muted = _muted(alert, rule, muters, now)
        if muted == alert.muted and (muted is not None or alert.reported is not None):
            continue  # as the most of them: nothing has to be made for what stays as it is
        change = _decide(Change(alert, alert, None, ""), rule, muters, now)
        if change.after != alert:
            decided.append(change)
    return decided


def _kind(change: Change) -> Kind:
    key = change.after.key
    return key.scope, key.rule


def _muted(alert: Alert, rule: Rule, muters: Sequence[Muter], now: datetime) -> Mute | None:
    """What mutes an open alert now. A mute that continues keeps the time at which it began."""
    for muter in muters:
        applies, ref = muter.mutes(alert, rule)
        if applies:
            old = alert.muted
            return old if old is not None and (old.kind, old.ref) == (muter.kind, ref) else Mute(muter.kind, ref, now)
    return None


def _decide(change: Change, rule: Rule | None, muters: Sequence[Muter], now: datetime) -> Change:
    """One change with whether it is reported; `change.before` is the alert itself if nothing else changed."""
    before, after, reason = change.before, change.after, change.reason
    if not after.open:
        if after.muted is not None:
            change = replace(change, after=replace(after, muted=None), only_values=False)
        never_reported = reason is not None and after.reported is None
        return replace(change, withheld=Withheld.NEVER_REPORTED) if never_reported else change
    if rule is None:
        return change
    muted = _muted(after, rule, muters, now)
    if muted != after.muted:
        after = replace(after, muted=muted)
    if muted is not None:
        why = change.words
        if isinstance(muted.ref, Fingerprint):
            why = why or f"suppressed by {muted.ref.rule}"
        elif isinstance(muted.ref, int):
            why = why or f"silenced by #{muted.ref}"
        return Change(before, after, reason, why, Withheld(muted.kind.value) if reason is not None else None)
    ended = before.muted if before is not None else None
    why = change.words
    if _is_overdue(change, after, ended):
        known = after.reported is not None
        if ended is not None and ended.kind in _ENDED and (not known or ended.kind is MuteKind.SILENCED):
            reason = _ENDED[ended.kind]
        else:
            reason = Reason.SUPPRESSION_ENDED if known or rule.suppressed_by else Reason.FIRED
        by = f"{ended.ref.rule} has ended; " if ended is not None and isinstance(ended.ref, Fingerprint) else ""
        held = max(now - after.since.get(after.level, now), timedelta(0))
        why = by + (change.why or wording.holds(after.measure, held))
    elif reason is None:
        return change if why and after is change.after else Change(before, after, None, why or "no longer muted")
    return Change(before, replace(after, reported=after.level), reason, why)


def _is_overdue(change: Change, after: Alert, ended: Mute | None) -> bool:
    """Whether it must be reported now although it did not just fire: what was reported is not the current state."""
    if after.reported is None:
        return after.state is State.FIRING and change.reason is not Reason.FIRED
    return ended is not None and after.level is not after.reported and change.reason is None
