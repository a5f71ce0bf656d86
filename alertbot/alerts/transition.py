"""One alert, what a poll observed, and the time: the next state of the alert.

Theory of operation. A step has two halves. The first chooses an event from the observation; the second looks the event
up in TRANSITIONS, which says what state follows. The table is data: it is printed in the documentation, and a move that
it does not have raises ImpossibleMove. Nothing here reads a clock or remembers anything: what a decision needs of the
past is in the alert (`since`, `recovering_since`, `missed`). So a restart, however long, repeats nothing and forgets
nothing: holds continue from what was stored.

How the event is chosen, in this order; the first that applies wins:

1. The calendar is closed: CLOSES. No sample is needed, so turns without a fetch do this too (`followups.py`).
2. The entity is absent from a complete poll, for the third time in a row: VANISHES. Absent from a partial one, it is
   unknown.
3. The guard is not true, or the calendar is within grace: no decision. Only `missed` is kept up to date.
4. Unknown is replaced as `no_data` says (`apply_no_data`). From here on each level is true, false or (keep) unknown.
   `since` of a level starts at its first true poll and survives unknown ones: an unknown poll neither restarts nor ends
   a hold.
5. Pending or new: FIRES when the `for` of any level has passed (the highest such level), HOLDS while one holds, LAPSES
   when none holds any more.
6. Open (firing or recovering), see `_choose_for_open`: RISES beats everything. Then, while the present level holds or
   `clear` is false: STAYS, or RETURNS from recovering. While `clear` is unknown: STAYS, and the clock of recovering
   continues. While `clear` is true: CLEARS (EASES where a lower level still holds) until `keep_firing_for` has passed,
   then FALLS to a lower level whose own `for` has passed, else RESOLVES.

Beside the move, a step keeps three things of the alert:

- `rises`: a change to firing from another state is one. Too many of them make the alert unstable, and `keep_firing_for`
  longer (flapping.py).
- `no_data_since`: it is as it was because nothing is known. The time is that of the last poll that had data. Where a
  whole scope has no data there is no step, and `followups.py` sets it.
- `unseen_since`: the alert was first seen after a gap without data, so it may have begun at any time in that gap. It is
  the last time that its scope had data before, and stays for the life of the alert; the gap ends at `pending_since`.

What is deliberately not in the table:

- (INACTIVE, anything but HOLDS or FIRES): an alert that does not exist cannot end. `advance` asks only about entities
  for which some level is true.
- (PENDING, RISES), (PENDING, FALLS), …: levels of a pending alert change with HOLDS; nothing was reported yet.
- (RECOVERING, HOLDS): an alert that recovers and breaches again RETURNS to firing at once. A new `for` would hide it.
- a state "resolved": an alert that ended is inactive, and its row is history with `ended_at` and a reason.
- acknowledge: who has an alert is not its state. The store writes it, and a poll never does.

CLOSED_BY_HAND is no event of a step: a user closes an alert between two polls, and the store writes it
(`close_by_hand`). Until its condition was false nothing begins for its fingerprint (`latch.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum
from functools import partial
from typing import Any

from alertbot.alerts import flapping, wording
from alertbot.alerts.alert import About, Alert, Change, Fingerprint, Reason, State, changed
from alertbot.alerts.alerting import ORDINARY, Situation
from alertbot.errors import ImpossibleMove
from alertbot.evaluation.evaluate import Truth
from alertbot.evaluation.explain import filled
from alertbot.evaluation.measure import Measure
from alertbot.rules.hours import Phase
from alertbot.rules.rule import Level, LevelRule, NoData, Rule

MISSED_LIMIT = 3  # an alert ends after this many complete polls in a row without its entity


class Event(StrEnum):
    """What a poll means for an alert."""

    HOLDS = "holds"  # some level holds, no `for` has passed
    FIRES = "fires"  # the `for` of a level has passed
    LAPSES = "lapses"  # no level holds any more, and none had fired
    STAYS = "stays"  # as it was
    RISES = "rises"  # the `for` of a higher level has passed
    CLEARS = "clears"  # `clear` holds, `keep_firing_for` has not passed
    EASES = "eases"  # the same, but a lower level still holds
    RETURNS = "returns"  # it holds again, or is no longer clear
    FALLS = "falls"  # clear for `keep_firing_for`, and the `for` of a lower level has passed
    RESOLVES = "resolves"  # clear for `keep_firing_for`
    VANISHES = "vanishes"  # three complete polls in a row did not have the entity
    REMOVED = "removed"  # the rule is gone
    UNCOVERED = "uncovered"  # the rule no longer covers the entity
    DEPARTS = "departs"  # the tenant is no longer in the configuration
    CLOSES = "closes"  # the calendar of the rule closed
    CLOSED_BY_HAND = "closed_by_hand"  # a user closed it: at any time, between two polls


TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (State.INACTIVE, Event.HOLDS): State.PENDING,
    (State.INACTIVE, Event.FIRES): State.FIRING,
    (State.PENDING, Event.HOLDS): State.PENDING,
    (State.PENDING, Event.FIRES): State.FIRING,
    (State.PENDING, Event.LAPSES): State.INACTIVE,
    (State.PENDING, Event.VANISHES): State.INACTIVE,
    (State.PENDING, Event.REMOVED): State.INACTIVE,
    (State.PENDING, Event.UNCOVERED): State.INACTIVE,
    (State.PENDING, Event.DEPARTS): State.INACTIVE,
    (State.PENDING, Event.CLOSES): State.INACTIVE,
    (State.PENDING, Event.CLOSED_BY_HAND): State.INACTIVE,
    (State.FIRING, Event.STAYS): State.FIRING,
    (State.FIRING, Event.RISES): State.FIRING,
    (State.FIRING, Event.CLEARS): State.RECOVERING,
    (State.FIRING, Event.EASES): State.FIRING,
    (State.FIRING, Event.RETURNS): State.FIRING,
    (State.FIRING, Event.FALLS): State.FIRING,
    (State.FIRING, Event.RESOLVES): State.INACTIVE,
    (State.FIRING, Event.VANISHES): State.INACTIVE,
    (State.FIRING, Event.REMOVED): State.INACTIVE,
    (State.FIRING, Event.UNCOVERED): State.INACTIVE,
    (State.FIRING, Event.DEPARTS): State.INACTIVE,
    (State.FIRING, Event.CLOSES): State.INACTIVE,
    (State.FIRING, Event.CLOSED_BY_HAND): State.INACTIVE,
    (State.RECOVERING, Event.STAYS): State.RECOVERING,
    (State.RECOVERING, Event.RISES): State.FIRING,
    (State.RECOVERING, Event.CLEARS): State.RECOVERING,
    (State.RECOVERING, Event.EASES): State.FIRING,
    (State.RECOVERING, Event.RETURNS): State.FIRING,
    (State.RECOVERING, Event.FALLS): State.FIRING,
    (State.RECOVERING, Event.RESOLVES): State.INACTIVE,
    (State.RECOVERING, Event.VANISHES): State.INACTIVE,
    (State.RECOVERING, Event.REMOVED): State.INACTIVE,
    (State.RECOVERING, Event.UNCOVERED): State.INACTIVE,
    (State.RECOVERING, Event.DEPARTS): State.INACTIVE,
    (State.RECOVERING, Event.CLOSES): State.INACTIVE,
    (State.RECOVERING, Event.CLOSED_BY_HAND): State.INACTIVE,
}

# Why an event is reported. An event that is not here is not reported, nor is any end of a pending alert.
REASONS: Mapping[Event, Reason] = {
    Event.FIRES: Reason.FIRED,
    Event.RISES: Reason.LEVEL_UP,
    Event.FALLS: Reason.LEVEL_DOWN,
    Event.RESOLVES: Reason.RESOLVED,
    Event.VANISHES: Reason.NO_LONGER_REPORTED,
    Event.REMOVED: Reason.RULE_REMOVED,
    Event.UNCOVERED: Reason.NOT_COVERED,
    Event.DEPARTS: Reason.TENANT_REMOVED,
    Event.CLOSES: Reason.OUTSIDE_HOURS,
    Event.CLOSED_BY_HAND: Reason.CLOSED_BY_HAND,
}


def move(state: State, event: Event) -> State:
    """The state that follows. Raises ImpossibleMove if the table has no such move."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ImpossibleMove(f"an alert that is {state} cannot take the event {event}") from None


class Sight(Enum):
    """Whether the poll saw the entity."""

    SEEN = "seen"
    UNSEEN = "unseen"  # it was not in a partial answer
    GONE = "gone"  # it was not in a complete one


@dataclass(frozen=True, slots=True)
class Observation:
    """What one poll says about one rule for one entity. Everything about an entity that was not seen is unknown.

    `measure` gives the comparison that a card shows for a level; it is called at most twice in a step. `ending` gives
    the comparison of text that ends a level, where there is one. `hours`: whether the calendar of the rule lets it be
    active now.
    """

    key: Fingerprint
    entity_name: str
    parent_name: str
    sight: Sight
    guard: Truth
    levels: Mapping[Level, Truth]
    clear: Mapping[Level, Truth]
    measure: Callable[[Level], Measure | None]
    hours: Phase = Phase.OPEN
    shown: Mapping[str, float | str | None] | None = None  # values for the card; None: as they were
    ending: Callable[[Level], Measure | None] = lambda _: None


@dataclass(frozen=True, slots=True)
class _Move:
    """The outcome of a step: the event, the level after it, and since when it has been recovering."""

    event: Event
    level: Level
    recovering_since: datetime | None = None


def step(
    alert: Alert | None, seen: Observation, rule: Rule, now: datetime, situation: Situation = ORDINARY
) -> Change | None:
    """The next state of one alert, as a change; None if nothing changes that is worth storing.

    `alert` is None if there is none yet; it is pending or open otherwise. The rule covers the entity.
    """
    if seen.hours is Phase.CLOSED:
        return None if alert is None else close(alert, rule, now)
    missed = 0
    if alert is not None and seen.sight is not Sight.SEEN:
        missed = alert.missed + (seen.sight is Sight.GONE)
        if missed >= MISSED_LIMIT:
            vanished = replace(alert, missed=missed, measure=seen.measure(alert.level))
            return end(alert, vanished, Event.VANISHES, now, wording.not_reported(missed, MISSED_LIMIT))
    if seen.guard is not Truth.TRUE or seen.hours is Phase.GRACE:
        return None if alert is None else _undecided(alert, seen, missed, now, situation)

    levels, clear = apply_no_data(seen.levels, seen.clear, rule.no_data)
    since: dict[Level, datetime] = {}
    satisfied: list[Level] = []
    for each in rule.levels:
        began = alert.since.get(each.level) if alert is not None else None
        if levels[each.level] is Truth.TRUE:
            began = min(began or now, now)  # never in the future: the clock may have been set back
            if now - began >= each.hold:
                satisfied.append(each.level)
        if began is not None and levels[each.level] is not Truth.FALSE:
            since[each.level] = began

    if alert is None or alert.state is State.PENDING:
        if satisfied:
            taken = _Move(Event.FIRES, max(satisfied))
        elif since:
            taken = _Move(Event.HOLDS, max(since))
        elif alert is None:
            return None
        else:
            taken = _Move(Event.LAPSES, alert.level)
    else:
        unstable = flapping.is_unstable(alert.rises, now, situation.alerting)
        keep = rule.keep_firing_for
        if unstable:
            keep = flapping.stays_clear_for(keep, situation.alerting)
        taken = _choose_for_open(alert, rule, keep, levels, clear, satisfied, now)

    start = _fresh(seen, rule, taken.level, now, situation) if alert is None else alert
    unknown = start.open and _is_unknown(start.level, levels, clear)
    after, fresh = _follow(start, taken, seen, rule, since, missed, unknown, now, situation)
    if alert is not None and not fresh:
        return None
    why = partial(_why, alert, after, taken, seen, rule, levels, clear, now, situation)
    if after.state is State.INACTIVE:
        assert alert is not None
        return end(alert, after, taken.event, now, why())
    reason = REASONS.get(taken.event)
    only_values = reason is None and alert is not None and (alert.state, alert.level) == (after.state, after.level)
    return Change(alert, after, reason, why if only_values else why())


def revalue(alert: Alert, seen: Observation, rule: Rule, now: datetime, situation: Situation) -> Change | None:
    """`step`, for a steady alert of whose observation only values moved: what it would find the same is not computed.

    The entity was seen, guard, levels and `clear` are as they were at the last step, and its time has not come
    (`steady_until`). So the state, the level and all clocks stay.
    """
    found = rule.level(alert.level)
    if seen.guard is not Truth.TRUE or found is None:
        return step(alert, seen, rule, now, situation)
    measured = seen.measure(alert.level)
    shown = alert.shown if seen.shown is None else seen.shown
    return value_change(alert, measured, shown, lambda: seen, rule, now, situation)


def value_change(
    alert: Alert,
    measured: Measure | None,
    shown: Mapping[str, float | str | None],
    seen: Callable[[], Observation],
    rule: Rule,
    now: datetime,
    situation: Situation,
) -> Change | None:
    """A change of an alert's values alone; None where they are as they were. `seen` is asked for when `why` is read."""
    peak, peak_at = _peak(alert, measured, now)
    if measured == alert.measure and shown == alert.shown and (peak, peak_at) == (alert.peak, alert.peak_at):
        return None
    after = changed(alert, {"measure": measured, "shown": shown, "peak": peak, "peak_at": peak_at, "seen_at": now})
    why = partial(_why_valued, alert, after, seen, rule, now, situation)
    return Change(alert, after, None, why, only_values=True)


def _why_valued(
    alert: Alert, after: Alert, seen: Callable[[], Observation], rule: Rule, now: datetime, situation: Situation
) -> str:
    """Why an alert of which only values moved is still what it was."""
    observed = seen()
    levels, clear = apply_no_data(observed.levels, observed.clear, rule.no_data)
    taken = _Move(Event.HOLDS, alert.level)
    if alert.open:
        satisfied = [each.level for each in rule.levels if _is_satisfied(alert, each, levels, now)]
        keep = rule.keep_firing_for
        if alert.unstable:
            keep = flapping.stays_clear_for(keep, situation.alerting)
        taken = _choose_for_open(alert, rule, keep, levels, clear, satisfied, now)
    return _why(alert, after, taken, observed, rule, levels, clear, now, situation)


def _is_satisfied(alert: Alert, each: LevelRule, levels: Mapping[Level, Truth], now: datetime) -> bool:
    return levels[each.level] is Truth.TRUE and now - alert.since[each.level] >= each.hold


ALWAYS = datetime.min.replace(tzinfo=UTC)
"""An alert that is steady until then is not steady: every poll has to step it."""
FOR_GOOD = datetime.max.replace(tzinfo=UTC)


def steady_until(alert: Alert, seen: Observation, rule: Rule, now: datetime, situation: Situation) -> datetime:
    """Until when `step` returns None for an alert whose every poll observes the same as this one.

    `alert` is as the step at `now` left it, and has not ended. What is in here is all that time alone changes in a
    step: `for`, `keep_firing_for`, and the end of flapping. ALWAYS where polls are counted, and where a time is in the
    future, which only a clock that was set back explains.
    """
    if seen.sight is not Sight.SEEN or seen.hours is not Phase.OPEN:
        return ALWAYS
    if seen.guard is not Truth.TRUE:
        return FOR_GOOD
    levels, clear = apply_no_data(seen.levels, seen.clear, rule.no_data)
    times = [FOR_GOOD]
    for each in rule.levels:
        if levels[each.level] is Truth.TRUE:
            began = alert.since.get(each.level)
            if began is None or began > now:
                return ALWAYS
            if now - began < each.hold:
                times.append(began + each.hold)
    if len(alert.rises) > situation.alerting.flap_rises:
        if max(alert.rises) > now:
            return ALWAYS
        leave = [at + situation.alerting.flap_window for at in alert.rises]
        times += [at for at in leave if at > now]
    level = alert.level
    if alert.open and level in levels and levels[level] is not Truth.TRUE and clear[level] is Truth.TRUE:
        if alert.recovering_since is None or alert.recovering_since > now:
            return ALWAYS
        keep = rule.keep_firing_for
        if alert.unstable:
            keep = flapping.stays_clear_for(keep, situation.alerting)
        times.append(alert.recovering_since + keep)
    return min(times)


def apply_no_data(
    levels: Mapping[Level, Truth], clear: Mapping[Level, Truth], no_data: NoData
) -> tuple[Mapping[Level, Truth], Mapping[Level, Truth]]:
    """Each level's condition and `clear`, with unknown replaced as the rule's `no_data` says."""
    if no_data is NoData.KEEP or (Truth.UNKNOWN not in levels.values() and Truth.UNKNOWN not in clear.values()):
        return levels, clear
    if no_data is NoData.CLEAR:
        quiet = {level: Truth.FALSE if each is Truth.UNKNOWN else each for level, each in levels.items()}
        ended = {level: Truth.TRUE if Truth.UNKNOWN in (each, levels[level]) else each for level, each in clear.items()}
        return quiet, ended
    lowest = min(levels)
    if levels[lowest] is not Truth.UNKNOWN:
        return levels, clear
    burning = {level: Truth.FALSE if each is Truth.UNKNOWN else each for level, each in clear.items()}
    return {**levels, lowest: Truth.TRUE}, burning


def _undecided(alert: Alert, seen: Observation, missed: int, now: datetime, situation: Situation) -> Change | None:
    """The alert after a poll that decides nothing, as a change; None if it is as it was."""
    unknown = alert.open and (seen.guard is Truth.UNKNOWN or _is_unknown(alert.level, seen.levels, seen.clear))
    no_data_since = _no_data_since(alert, unknown, now, situation)
    if (missed, no_data_since) == (alert.missed, alert.no_data_since):
        return None
    if missed:
        why = wording.not_reported(missed, MISSED_LIMIT)
    elif alert.missed:
        why = "reported again"
    else:
        why = "no data" if unknown else "there is data again"
    return Change(alert, replace(alert, missed=missed, no_data_since=no_data_since), None, why)


def _is_unknown(level: Level, levels: Mapping[Level, Truth], clear: Mapping[Level, Truth]) -> bool:
    """Whether an open alert of this level stays as it is because nothing is known."""
    return level in levels and levels[level] is not Truth.TRUE and clear[level] is Truth.UNKNOWN


def _no_data_since(alert: Alert, unknown: bool, now: datetime, situation: Situation) -> datetime | None:
    if not unknown:
        return None
    return alert.no_data_since or min(situation.last_data(alert.key.scope) or now, now)


def _choose_for_open(
    alert: Alert,
    rule: Rule,
    keep: timedelta,
    levels: Mapping[Level, Truth],
    clear: Mapping[Level, Truth],
    satisfied: Sequence[Level],
    now: datetime,
) -> _Move:
    level, clock = alert.level, alert.recovering_since
    if satisfied and max(satisfied) > level:
        return _Move(Event.RISES, max(satisfied))
    lower = [each for each in levels if each < level and levels[each] is Truth.TRUE]
    if level not in levels:  # the rule was edited and no longer has this level: what holds now counts
        if lower:
            return _Move(Event.FALLS, max(lower))
        none_holds = all(each is Truth.FALSE for each in levels.values())
        return _Move(Event.RESOLVES if none_holds else Event.STAYS, level, clock)
    if levels[level] is Truth.TRUE or clear[level] is Truth.FALSE:
        recovering = clock is not None or alert.state is State.RECOVERING
        return _Move(Event.RETURNS if recovering else Event.STAYS, level)
    if clear[level] is Truth.UNKNOWN:
        return _Move(Event.STAYS, level, clock)
    clock = min(clock or now, now)
    if now - clock < keep:
        return _Move(Event.EASES if lower else Event.CLEARS, level, clock)
    ready = [each for each in satisfied if each < level]
    return _Move(Event.FALLS, max(ready)) if ready else _Move(Event.RESOLVES, level, clock)


def _fresh(seen: Observation, rule: Rule, level: Level, now: datetime, situation: Situation) -> Alert:
    last = situation.last_data(seen.key.scope)
    return Alert(
        key=seen.key,
        entity_name=seen.entity_name,
        parent_name=seen.parent_name,
        about=_about(rule, "", None),
        state=State.INACTIVE,
        level=level,
        since={},
        pending_since=now,
        rises=flapping.not_before(situation.rises.get(seen.key, ()), now, situation.alerting),
        unseen_since=last if last is not None and now - last > situation.alerting.gap else None,
    )


def _follow(
    alert: Alert,
    taken: _Move,
    seen: Observation,
    rule: Rule,
    since: Mapping[Level, datetime],
    missed: int,
    unknown: bool,
    now: datetime,
    situation: Situation,
) -> tuple[Alert, bool]:
    """The alert after the move, and whether anything about it changed. `seen_at` does not count: every poll sets it."""
    level = taken.level
    state = move(alert.state, taken.event)
    found = rule.level(level)
    measured = seen.measure(level) if found is not None else alert.measure
    peak, peak_at = _peak(alert, measured, now)
    rises = alert.rises
    if state is State.FIRING and alert.state is not State.FIRING:
        rises = flapping.risen(rises, now, situation.alerting)
    changes: dict[str, Any] = {  # what changes most often comes first: the search for a change ends at the first
        "measure": measured,
        "shown": alert.shown if seen.shown is None else seen.shown,
        "entity_name": seen.entity_name,
        "parent_name": seen.parent_name,
        "about": _about(rule, alert.about.condition if found is None else _condition(rule, found, seen), alert.about),
        "state": state,
        "level": level,
        "since": since,
        "recovering_since": taken.recovering_since,
        "peak": peak,
        "peak_at": peak_at,
        "missed": missed,
        "rises": rises,
        "unstable": flapping.is_unstable(rises, now, situation.alerting),
        "no_data_since": _no_data_since(alert, unknown, now, situation),
    }
    if taken.event is Event.FIRES:
        changes["fired_at"] = now
    if state is State.FIRING:
        changes["highest"] = max(alert.highest or level, level)
    if all(getattr(alert, name) == value for name, value in changes.items()):
        return alert, False
    return changed(alert, {"seen_at": now, **changes}), True


def _condition(rule: Rule, found: LevelRule, seen: Observation) -> str:
    return filled(rule, found.when, found.text, seen.key.entity_id, seen.entity_name)


def _clear_text(rule: Rule, seen: Observation) -> str:
    """`clear` as written, with the parameters of the entity filled in; "" if the rule has none."""
    if rule.clear is None:
        return ""
    return filled(rule, rule.clear, rule.clear_text, seen.key.entity_id, seen.entity_name)


def _about(rule: Rule, condition: str, known: About | None) -> About:
    """What cards show about the rule: the same object where that is what they show already."""
    if (
        known is not None
        and known.condition == condition
        and known.title == rule.title
        and known.template == rule.template
        and known.runbook == rule.runbook
        and known.labels == rule.labels
        and known.shadow == rule.shadow
        and known.message == rule.message
        and known.show == rule.show
        and not known.detail
        and not known.advice
    ):
        return known
    return About(
        title=rule.title,
        condition=condition,
        template=rule.template,
        runbook=rule.runbook,
        labels=rule.labels,
        shadow=rule.shadow,
        message=rule.message,
        show=rule.show,
    )


def _peak(alert: Alert, measured: Measure | None, now: datetime) -> tuple[float | None, datetime | None]:
    """The worst value so far. It starts over if something else is measured: the peak of another key means nothing."""
    if measured is None or isinstance(measured.value, str):
        return None, None
    old = alert.measure
    kept = alert.peak
    if old is None or old.label != measured.label or old.type is not measured.type or old.rises is not measured.rises:
        kept = None
    if measured.value is None:
        return kept, alert.peak_at if kept is not None else None
    if kept is None or (measured.value > kept if measured.rises else measured.value < kept):
        return measured.value, now
    return kept, alert.peak_at


def end(before: Alert, after: Alert, event: Event, now: datetime, why: str) -> Change:
    """End an alert: an open one becomes history, with its reason; a pending one is forgotten, which is not reported."""
    state = move(before.state, event)
    if not before.open:
        return Change(before, replace(after, state=state, since={}, seen_at=now), None, why)
    reason = REASONS[event]
    ended = replace(after, state=state, since={}, ended_at=now, end_reason=reason, seen_at=now)
    return Change(before, ended, reason, why)


def close(alert: Alert, rule: Rule, now: datetime) -> Change:
    """End an alert because the calendar of its rule closed."""
    return end(alert, alert, Event.CLOSES, now, wording.outside_hours(rule))


def depart(alert: Alert, now: datetime) -> Change:
    """End an alert because its tenant is no longer in the configuration."""
    return end(alert, alert, Event.DEPARTS, now, wording.TENANT_REMOVED)


def close_by_hand(alert: Alert, by: str, note: str, now: datetime) -> Alert:
    """The alert, closed by a user. A pending one is kept as well: it is latched, and its id answers who closed it."""
    return replace(
        alert,
        state=move(alert.state, Event.CLOSED_BY_HAND),
        since={},
        ended_at=now,
        end_reason=REASONS[Event.CLOSED_BY_HAND],
        closed_by=by,
        close_note=note,
        missed=0,
    )


def _why(
    before: Alert | None,
    after: Alert,
    taken: _Move,
    seen: Observation,
    rule: Rule,
    levels: Mapping[Level, Truth],
    clear: Mapping[Level, Truth],
    now: datetime,
    situation: Situation,
) -> str:
    level, measured = taken.level, after.measure
    held = now - after.since.get(level, now)
    if seen.sight is not Sight.SEEN and taken.event is Event.STAYS:
        return (
            wording.not_reported(after.missed, MISSED_LIMIT) if after.missed else "not in this poll, which was partial"
        )
    match taken.event:
        case Event.FIRES | Event.RISES:
            return wording.holds(measured, held)
        case Event.HOLDS:
            if levels[level] is not Truth.TRUE:
                return wording.unknown(measured)
            found = rule.level(level)
            left = found.hold - held if found is not None else timedelta(0)
            return f"{wording.holds(measured, held)}; {wording.waits(level, left)}"
        case Event.LAPSES:
            return wording.holds_no_more(measured)
        case Event.STAYS:
            if level not in levels:
                return f"the rule no longer has level {level.word}"
            if levels[level] is Truth.TRUE:
                return wording.holds(measured, held)
            if levels[level] is Truth.FALSE and clear[level] is Truth.FALSE:
                return wording.not_clear(_clear_text(rule, seen), measured, "not clear yet")
            return wording.unknown(measured)
        case Event.CLEARS | Event.EASES:
            keep = rule.keep_firing_for
            if after.unstable:
                keep = flapping.stays_clear_for(keep, situation.alerting)
            left = keep - (now - (taken.recovering_since or now))
            then = "resolved" if taken.event is Event.CLEARS else "back to a lower level"
            return f"{wording.holds_no_more(measured)}; {then} if this lasts for {wording.lasting(left)}"
        case Event.RETURNS:
            if levels[level] is Truth.TRUE:
                return f"{wording.holds(measured)} again"
            return wording.not_clear(_clear_text(rule, seen), measured, "no longer clear")
        case Event.FALLS:
            assert before is not None
            if before.level not in levels:
                return f"the rule no longer has level {before.level.word}; {wording.holds(measured, held)}"
            return wording.holds_less(seen.measure(before.level), measured, held)
        case Event.RESOLVES:
            if level not in levels:
                return f"the rule no longer has level {level.word}, and no other level holds"
            return wording.cleared(_clear_text(rule, seen), measured, seen.ending(level))
        case Event.VANISHES | Event.REMOVED | Event.UNCOVERED | Event.DEPARTS | Event.CLOSES | Event.CLOSED_BY_HAND:
            raise AssertionError("these end the alert before a reason is asked for")


# All alerts of a tenant at once.
