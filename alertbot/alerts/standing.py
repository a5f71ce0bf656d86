"""The open alerts of a tenant, indexed so that a turn finds those that it needs without a loop over all of them.

A value: a change makes a new one, which shares all unchanged parts with the old one. So a turn that fails, or that is
decided again, has changed nothing. The mapping of a rule stays the same object while none of its alerts changes, and so
does an alert while it does not change: steady.py compares by identity.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from types import MappingProxyType

from alertbot.alerts.alert import Alert, Change, Fingerprint
from alertbot.rules.catalogue import Scope

Kind = tuple[Scope, str]
"""Scope and id of a rule."""
OfRule = Mapping[Fingerprint, Alert]
_ID, _ID_BEFORE = attrgetter("id"), attrgetter("before.id")


@dataclass(frozen=True)
class Standing:
    """Alerts that have not ended: pending, firing or recovering. `by_key` is in the order in which they began.

    `quiet`: those that are open, and muted or never reported. When a mute ends, these are reported.
    """

    by_key: Mapping[Fingerprint, Alert] = field(default_factory=lambda: MappingProxyType({}))
    by_rule: Mapping[Kind, OfRule] = field(default_factory=lambda: MappingProxyType({}), compare=False)
    quiet: Mapping[Fingerprint, Alert] = field(default_factory=lambda: MappingProxyType({}), compare=False)

    @classmethod
    def of(cls, alerts: Iterable[Alert]) -> Standing:
        """A Standing of these alerts, in this order."""
        return cls().changed((alert.key, alert) for alert in alerts)

    def changed(self, changes: Iterable[tuple[Fingerprint, Alert | None]]) -> Standing:
        """After these changes, one after the other: an alert as it is now, or None for one that has ended."""
        by_key: dict[Fingerprint, Alert] | None = None
        by_rule, quiet = dict(self.by_rule), dict(self.quiet)
        own: dict[Kind, dict[Fingerprint, Alert]] = {}  # copies, of the rules that changed
        for key, alert in changes:
            if by_key is None:
                by_key = dict(self.by_key)
            kind = (key.scope, key.rule)
            of_rule = own.get(kind)
            if of_rule is None:
                of_rule = own[kind] = dict(by_rule.get(kind, ()))
            if alert is None:
                by_key.pop(key, None)
                of_rule.pop(key, None)
                quiet.pop(key, None)
                continue
            by_key[key] = of_rule[key] = alert
            if alert.open and (alert.reported is None or alert.muted is not None):
                quiet[key] = alert
            else:
                quiet.pop(key, None)
        if by_key is None:
            return self
        by_rule.update(own)
        return Standing(by_key, {kind: each for kind, each in by_rule.items() if each}, quiet)

    def without(self, scope: Scope) -> Standing:
        """The same alerts without those of one scope."""
        if not any(kind[0] is scope for kind in self.by_rule):
            return self
        return Standing(
            {key: alert for key, alert in self.by_key.items() if key.scope is not scope},
            {kind: of_rule for kind, of_rule in self.by_rule.items() if kind[0] is not scope},
            {key: alert for key, alert in self.quiet.items() if key.scope is not scope},
        )

    def of_scope(self, scope: Scope) -> list[Alert]:
        """The alerts of one scope, in order."""
        return self.only([kind for kind in self.by_rule if kind[0] is scope])

    def only(self, kinds: Collection[Kind]) -> list[Alert]:
        """The alerts of these rules, in order."""
        return self.in_order([key for kind in kinds for key in self.by_rule.get(kind, ())])

    def in_order(self, keys: Collection[Fingerprint]) -> list[Alert]:
        """The alerts with these keys, each once, in order. What the store has kept is in the order of ids."""
        if len(keys) == len(self.by_key):
            return list(self.by_key.values())
        found = [self.by_key[key] for key in keys]
        if None not in map(_ID, found):
            return sorted(found, key=_ID)
        wanted = set(keys)
        return [alert for key, alert in self.by_key.items() if key in wanted]

    def changes_in_order(self, changes: Sequence[Change]) -> list[Change]:
        """Changes of these alerts, one each, in the order of the alerts."""
        if None not in map(_ID_BEFORE, changes):
            return sorted(changes, key=_ID_BEFORE)
        by_key = {change.after.key: change for change in changes}
        return [by_key[key] for key in self.by_key if key in by_key]
