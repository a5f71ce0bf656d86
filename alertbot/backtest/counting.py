"""A replay for which only the alerts count, and no values on cards: many times faster where alerts are open for long.

Theory of operation. What an alert does depends on the truth of guard, levels and `clear` of its entity, on holds, and
on what mutes it. It does not depend on the measured value, which only its card shows. So:

- The rules are evaluated as they are, but alerts are stepped with copies of the rules whose conditions compare nothing
  (`_without_values`). Their alerts have no measure, and a value that moves is no change.
- Such an alert changes only at a poll where a truth differs from the poll before, or at a time that is known
  beforehand (`steady_until`, and the agenda of the follow-ups). The other polls are skipped, rule by rule
  (`_is_still`), and where nothing is left of a poll, it is skipped as a whole.

In doubt a rule is stepped: at the first poll of a batch, after one of its alerts began or ended, outside its hours,
when an entity was not seen, and when a scope has no data. A test compares alerts and notices with those of `Replay`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

from alertbot.alerts.alert import State
from alertbot.alerts.alerting import Situation
from alertbot.backtest.replay import BATCH_SIZE, Replay, Step
from alertbot.evaluation.batch import Batch, Snapshots
from alertbot.evaluation.evaluate import Verdicts
from alertbot.rules.catalogue import Scope, ValueType
from alertbot.rules.hours import Phase, watches
from alertbot.rules.rule import Rule, RuleSet
from alertbot.rules.tree import In, Literal

_NOTHING = In(Literal("", ValueType.TEXT), ())


class Counting(Replay):
    """As `Replay`: the same alerts with the same notices, except that no alert has a measure, a peak or figures."""

    def __init__(self, rules: RuleSet, **rest: Any) -> None:
        super().__init__(rules, **rest)
        self._blank = {rule.id: _without_values(rule) for rule in rules.rules}
        self.rules = RuleSet(tuple(self._blank.values()), calendars=rules.calendars)
        self._scopes = frozenset(rules.scopes())
        self._fresh: frozenset[str] = frozenset()  # rules of which an alert began or ended at the last poll

    def poll(self, now: datetime, snapshots: Snapshots, failed: frozenset[Scope] = frozenset()) -> Step:
        return next(self.run([(now, snapshots, failed)]))

    def run(self, polls: Iterable[tuple[datetime, Snapshots, frozenset[Scope]]]) -> Iterator[Step]:
        waiting = iter(polls)
        while polls_of_batch := list(islice(waiting, BATCH_SIZE)):
            checked, pasts = [], []
            for now, snapshots, _ in polls_of_batch:
                checked.append(self._checked(snapshots))
                self._look_back(checked[-1], now)
                pasts.append(self.past)
            batch = Batch(self._plan, checked, pasts, self._selector)
            for index, (now, _, failed) in enumerate(polls_of_batch):
                yield self._turn(now, batch, index, checked[index].keys() - failed, failed)

    def _turn(self, now: datetime, batch: Batch, index: int, received: Set[Scope], failed: frozenset[Scope]) -> Step:
        """`Replay._step`, as far as there is anything to do."""
        before = Situation(self._alerting, self.silences, rises=self._rises, received=dict(self._received))
        self._received.update(dict.fromkeys(received, now))
        whole = not self._scopes <= received or bool(self.silences)  # every alert may change
        open_rules = {rule for _, rule in self._standing.by_rule}
        still = (
            set() if whole else {each for each in open_rules if self._is_still(self._blank[each], batch, index, now)}
        )
        verdicts = [self._blind(each) for each in batch.verdicts(index, open_rules, still)]
        due = self._agenda.rules is not self.rules or (self._agenda.at is not None and self._agenda.at <= now)
        if not verdicts and not (self.alerts and (whole or due)):
            self._fresh = frozenset()
            return Step(now, (), ())
        step = self._advanced(now, verdicts, received, failed, before)
        self._fresh = frozenset(
            change.after.key.rule
            for change in step.changes
            if change.before is None or change.after.state is State.INACTIVE
        )
        return step

    def _is_still(self, rule: Rule, batch: Batch, index: int, now: datetime) -> bool:
        """Whether no alert of the rule can change at this poll, and none can begin."""
        known = self._steady.of((rule.scope, rule.id), now)
        return (
            known is not None
            and rule.id not in self._fresh
            and watches(rule.during, rule.outside, now) is Phase.OPEN
            and not known.due(now)
            and not batch.moved(index, rule.id, known.place.positions)
        )

    def _blind(self, verdicts: Verdicts) -> Verdicts:
        return replace(verdicts, rule=self._blank[verdicts.rule.id])


def _without_values(rule: Rule) -> Rule:
    """The rule for steps: what is evaluated of it comes as verdicts."""
    return replace(
        rule,
        levels=tuple(replace(each, when=_NOTHING, text="") for each in rule.levels),
        clear=None,
        clear_text="",
        params={},
        overrides=(),
        show=(),
        message="",
        message_keys=(),
    )
