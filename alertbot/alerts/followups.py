"""What only time changes: it happens on every turn, also on one without a fetch.

Theory of operation. Two things are decided here, neither of which needs a sample.

`closings` come before the step of a poll and replace it: when the calendar of a rule closes, its open alerts end. That
must not wait for the next fetch, which may be an hour away (Retry-After).

`followups` come after the step, and after the mutes, so that an alert can both take a step by a verdict and have a
follow-up in one turn:

- `remind`: in the thread, while the alert fires and has no owner. It counts from when the alert fired, then from the
  reminder before. Without `most` it is always `every`; with it, it doubles up to `most`.
- `escalate`: each step once, in the order of time, `after` counted from when the alert fired. Steps that fell due
  together are taken together, each as a change of its own.
- the nag: the owner of an alert that still fires `nag_after` after it was acknowledged is reminded, once for each
  acknowledgement. (The time of an acknowledgement is not moved when the clock is set back: the card shows it.)
- flapping: an unstable alert becomes stable when its rises have left the window (flapping.py).
- no data: when a scope has had no data for longer than `Alerting.gap`, each of its reported alerts says since when,
  once. The next step of the alert takes that back. Shorter outages are not worth an edit of every card.

Only an alert that fires, was reported and is not muted has reminders and steps. What falls due while it is recovering,
acknowledged or muted happens when that ends, once. It is decided from what the alert has taken (`reminded_at`,
`reminders`, `escalated`, `nagged`), which the store writes in the same transaction as the notices. So neither a crash
nor a restart repeats or forgets any of it: whatever is due when the bot is back happens then. A reminder that comes
more than a minute late is the only one for the time that was missed: the next counts from then.

A turn must not cost time for each open alert. So the follow-ups of a turn leave an `Agenda`: when the first one of any
open alert is due. Before that time only the alerts that this turn changed are looked at, and a still turn looks at
none. The agenda is kept beside the open alerts in memory (store/open_alerts.py), and is empty whenever those were
read again: everything is looked at then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from alertbot.alerts import flapping, wording
from alertbot.alerts.alert import Alert, Change, Fingerprint, Reason, State
from alertbot.alerts.alerting import ORDINARY, Alerting, Situation
from alertbot.alerts.transition import close
from alertbot.backoff import doubled
from alertbot.rules.catalogue import Scope
from alertbot.rules.hours import Phase
from alertbot.rules.rule import Escalation, Remind, Rule, RuleSet

LATE = timedelta(minutes=1)
"""A reminder that is later than this makes the next one count from now, not from when it was due."""


@dataclass(frozen=True, slots=True)
class Agenda:
    """When the first follow-up of any open alert is due. The empty one knows nothing: all alerts are looked at."""

    rules: RuleSet | None = None  # those that it was made for
    at: datetime | None = None  # None: nothing will be due
    without_data: frozenset[Scope] = frozenset()  # scopes whose alerts say so


def closings(
    alerts: Sequence[Alert], rules: Mapping[str, Rule], phases: Mapping[str, Phase], now: datetime
) -> Iterator[Change]:
    """The alerts that end because the calendar of their rule is closed at `now`, in their order.

    `alerts` are open or pending; `phases` says for each rule, by id, whether its calendar lets it be active.
    """
    if Phase.CLOSED not in phases.values():
        return
    for alert in alerts:
        rule = rules.get(alert.key.rule)
        if rule is not None and rule.scope is alert.key.scope and phases[rule.id] is Phase.CLOSED:
            yield close(alert, rule, now)


def followups(
    alerts: Iterable[Alert],
    changes: Sequence[Change],
    rules: RuleSet,
    now: datetime,
    received: Collection[Scope],
    situation: Situation = ORDINARY,
    agenda: Agenda = Agenda(),
) -> tuple[list[Change], Agenda]:
    """The follow-ups that are due at `now`, and the agenda for the next turn, if this one is recorded.

    `alerts` are a tenant's alerts before the turn, `changes` what the turn changed so far, mutes included; the
    follow-ups come after these, in the order of the alerts, and several of one alert each build on the one before.
    `received` are the scopes for which this turn has data. `agenda` is that of the turn before.
    """
    without_data = _without_data(rules, received, now, situation)
    is_due = agenda.at is not None and agenda.at <= now
    known = agenda.rules is rules and agenda.without_data == without_data.keys() and not is_due
    # A value decides nothing here. Where all alerts are looked at, they are looked at as they are now.
    changed = {change.after.key: change.after for change in changes if not (known and change.only_values)}
    by_id = {rule.id: rule for rule in rules.rules if rule.remind is not None or rule.escalate}
    due: list[Change] = []
    first = agenda.at if known else None
    for alert in changed.values() if known else _all(alerts, changed):
        since = without_data.get(alert.key.scope)
        if since is not None and alert.no_data_since is None and alert.open and alert.reported is not None:
            due.append(Change(alert, replace(alert, no_data_since=since), None, "no data for its scope"))
            alert = due[-1].after
        rule = by_id.get(alert.key.rule)
        at = due_at(alert, rule, situation.alerting)
        if at is not None and at <= now:
            for change in _taken(alert, rule, now, situation.alerting):
                due.append(change)
                alert = change.after
            at = due_at(alert, rule, situation.alerting)
        if at is not None and (first is None or at < first):
            first = at
    return due, Agenda(rules, first, frozenset(without_data))


def due_at(alert: Alert, rule: Rule | None, alerting: Alerting) -> datetime | None:
    """When the next follow-up of an alert is due, if nothing else changes it; None if none will be.

    The time may have passed. `rule` is None where it has no follow-ups of its own.
    """
    settles = flapping.settles_at(alert.rises, alerting) if alert.unstable and alert.open else None
    fired_at = _follows(alert)
    if fired_at is None:
        return settles
    times = [settles]
    if alert.acked_by is not None:
        times.append(alert.acked_at + alerting.nag_after if alert.acked_at is not None and not alert.nagged else None)
    elif rule is not None:
        step = _next_step(alert, rule)
        times.append(_reminder_at(alert, rule.remind, fired_at) if rule.remind is not None else None)
        times.append(fired_at + step.after if step is not None else None)
    return min((each for each in times if each is not None), default=None)


def _follows(alert: Alert) -> datetime | None:
    """When it fired, if it can have reminders and steps now; else None."""
    reported = alert.state is State.FIRING and alert.reported is not None and alert.muted is None
    return alert.fired_at if reported else None


def _all(alerts: Iterable[Alert], changed: Mapping[Fingerprint, Alert]) -> Iterator[Alert]:
    """All alerts as they are now, those before the turn first."""
    before = set()
    for alert in alerts:
        before.add(alert.key)
        yield changed.get(alert.key, alert)
    yield from (alert for key, alert in changed.items() if key not in before)


def _without_data(
    rules: RuleSet, received: Collection[Scope], now: datetime, situation: Situation
) -> dict[Scope, datetime]:
    """The scopes of the rules that have had no data for too long, and when they last had some."""
    found = {scope: situation.last_data(scope) for scope in rules.scopes() if scope not in received}
    return {scope: at for scope, at in found.items() if at is not None and now - at > situation.alerting.gap}


def _taken(alert: Alert, rule: Rule | None, now: datetime, alerting: Alerting) -> Iterator[Change]:
    """What is due for an alert, one change after the other."""
    if alert.unstable and not flapping.is_unstable(alert.rises, now, alerting):
        settled = replace(alert, unstable=False)
        yield Change(alert, settled, None, "no longer unstable")
        alert = settled
    fired_at = _follows(alert)
    if fired_at is None:
        return
    if alert.acked_by is not None:
        if not alert.nagged and alert.acked_at is not None and alert.acked_at + alerting.nag_after <= now:
            why = f"still {alert.level.word} {wording.lasting(now - alert.acked_at)} after it was acknowledged"
            yield Change(alert, replace(alert, nagged=True), Reason.REMINDER, why)
        return
    if rule is None:
        return
    lasts = f"still {alert.level.word} after {wording.lasting(now - fired_at)}, not acknowledged"
    while (step := _next_step(alert, rule)) is not None and fired_at + step.after <= now:
        if alert.id is None:
            break  # it begins in this turn: the message of a step is named by its alert's id
        after = replace(alert, escalated=step.after)
        yield Change(alert, after, Reason.ESCALATED, f"{lasts}; escalated")
        alert = after
    at = _reminder_at(alert, rule.remind, fired_at) if rule.remind is not None else None
    if at is not None and at <= now:
        counts_from = at if now - at <= LATE else now
        reminded = replace(alert, reminded_at=counts_from, reminders=alert.reminders + 1)
        yield Change(alert, reminded, Reason.REMINDER, lasts)


def _reminder_at(alert: Alert, remind: Remind, fired_at: datetime) -> datetime:
    wait = remind.every if remind.most is None else doubled(remind.every, alert.reminders, remind.most)
    return (alert.reminded_at or fired_at) + wait


def _next_step(alert: Alert, rule: Rule) -> Escalation | None:
    """The next step that was not taken. Steps of the same time are one."""
    if not rule.escalate:
        return None
    return next((each for each in rule.escalate if alert.escalated is None or each.after > alert.escalated), None)
