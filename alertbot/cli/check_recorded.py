"""Findings of `check` that need a database: matches that cover nothing, keys without values, rules that fire too often.

Without a readable database there are none, and that is no fault: `check` also runs in CI and on laptops.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from alertbot.clock import wall_clock
from alertbot.config.settings import Settings, TenantSettings
from alertbot.errors import AlertbotError
from alertbot.evaluation.snapshot import Presence, Snapshot
from alertbot.rulefiles.document import Documents, Files
from alertbot.rulefiles.faults import Fault
from alertbot.rulefiles.policy import Fired
from alertbot.rulefiles.review_live import review_coverage, review_missing
from alertbot.rules.catalogue import Scope
from alertbot.rules.coverage import Entities
from alertbot.rules.ignore import ignoring
from alertbot.rules.match import EVERY_ENTITY, Match, covers
from alertbot.rules.rule import RuleSet
from alertbot.rules.words import count
from alertbot.service.databases import open_to_read
from alertbot.store.roles import Store

_MISSING_FOR = timedelta(days=3)  # a key without a value for this long is worth a hint
_REPLAYED = timedelta(days=7)  # for `policy.max_per_day`
_DAY = timedelta(days=1)  # less is too short to judge a rate or a key


@dataclass(frozen=True)
class RecordedFindings:
    """Findings of the database. `fired` is as in `review_policy`; `notes` say what could not be judged."""

    hints: tuple[Fault, ...] = ()
    fired: Mapping[str, Fired] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def judge_recorded(
    paths: Sequence[Path], rules: RuleSet, files: Files, documents: Documents, settings: Settings
) -> RecordedFindings:
    """Findings about the rules at `paths`, which stand in `files`. Tenants that use other rules are ignored."""
    limited = settings.policy.max_per_day is not None
    if not rules.rules:
        return RecordedFindings()
    try:
        store = open_to_read(settings)
    except AlertbotError:
        return RecordedFindings(notes=(_NOT_JUDGED.format("there is no recording"),) if limited else ())
    try:
        return _judged(store, paths, rules, files, documents, settings)
    except AlertbotError as error:
        return RecordedFindings(notes=(_NOT_JUDGED.format(str(error)),) if limited else ())
    finally:
        store.close()


_NOT_JUDGED = "policy.max_per_day was not checked: {}"


def _judged(
    store: Store, paths: Sequence[Path], rules: RuleSet, files: Files, documents: Documents, settings: Settings
) -> RecordedFindings:
    roots = {path.resolve() for path in paths}
    own = [each for each in settings.tenants if settings.path(each.rules or settings.rules).resolve() in roots]
    tenants = own or list(settings.tenants)
    latest = {tenant.name: store.latest(tenant.name, rules.scopes()) for tenant in tenants}
    hints: list[Fault] = []
    if any(rule.overrides or rule.match != EVERY_ENTITY for rule in rules.rules):
        polls = [
            {scope: _not_ignored(last, ignored.get(scope)) for scope, last in latest[tenant.name].items()}
            for tenant in tenants
            for ignored in (settings.ignored(tenant),)
        ]
        hints += review_coverage(
            rules.rules, files, lambda scope: [poll[scope] for poll in polls if scope in poll], documents
        )
    for tenant in tenants:
        of = tenant.name if len(tenants) > 1 else ""
        missing = _without_values(store, tenant.name, rules, latest[tenant.name], of)
        hints += review_missing(rules.rules, files, missing, documents)
    if settings.policy.max_per_day is None:
        return RecordedFindings(tuple(hints))
    fired, notes = _rates(store, tenants, rules, settings)
    return RecordedFindings(tuple(hints), fired, notes)


def _not_ignored(last: Snapshot, ignored: Match | None) -> Entities:
    """The entities of a complete snapshot that rules evaluate; an empty list for an incomplete snapshot."""
    pairs = zip(last.ids, last.names, strict=True) if last.complete else ()
    kept = [pair for pair in pairs if ignored is None or covers(ignored, *pair)]
    return tuple(id_ for id_, _ in kept), tuple(name for _, name in kept)


# Keys without values.


def _without_values(
    store: Store, tenant: str, rules: RuleSet, latest: Mapping[Scope, Snapshot], of: str
) -> Mapping[tuple[Scope, str], str]:
    """The keys without a value in every poll of the last days, each with the polls in words.

    Only keys without a value in the last poll are looked up in the recording, and only until each of them has one.
    """
    wanted = {
        scope: {key for key in keys & latest[scope].columns.keys() if not _has_value(latest[scope], key)}
        for scope, keys in rules.metrics().items()
        if scope in latest and len(latest[scope])
    }
    wanted = {scope: keys for scope, keys in wanted.items() if keys}
    if not wanted:
        return {}
    until = wall_clock()
    seen: dict[tuple[Scope, str], list[datetime]] = {(s, key): [] for s, keys in wanted.items() for key in keys}
    with_value: set[tuple[Scope, str]] = set()
    for poll in store.polls(tenant, until - _MISSING_FOR, until, {s: frozenset(keys) for s, keys in wanted.items()}):
        for place in seen.keys() - with_value:
            snapshot = poll.snapshots.get(place[0])
            if snapshot is None or place[1] not in snapshot.columns:
                continue
            if _has_value(snapshot, place[1]):
                with_value.add(place)
            else:
                seen[place].append(poll.at)
        if len(with_value) == len(seen):
            break
    return {
        place: _in_words(times, of)
        for place, times in seen.items()
        if place not in with_value and times and times[-1] - times[0] >= _DAY
    }


def _has_value(snapshot: Snapshot, key: str) -> bool:
    return bool((snapshot.columns[key].presence == Presence.PRESENT).any())


def _in_words(times: Collection[datetime], of: str) -> str:
    days = (max(times) - min(times)) / _DAY
    return f"in any of the {count(len(times), 'poll')} of the last {days:.0f} days{f' of {of}' if of else ''}"


# How often rules fire.


def _rates(
    store: Store, tenants: Sequence[TenantSettings], rules: RuleSet, settings: Settings
) -> tuple[Mapping[str, Fired], tuple[str, ...]]:
    """How often each rule would have fired a day, for the tenant with the most; and what could not be judged."""
    from alertbot.cli.recorded import TenantRecording  # not at the top: it imports replay, for `max_per_day` alone

    fired: dict[str, Fired] = {}
    notes = []
    for tenant in tenants:
        recording = TenantRecording(store, tenant, settings, wall_clock() - _REPLAYED)
        history = recording.replay(ignoring(rules, settings.ignored(tenant)), f"policy.max_per_day: {tenant.name}")
        if history.days < 1:
            notes.append(_NOT_JUDGED.format(f"less than a day of polls is recorded for tenant {tenant.name}"))
            continue
        for each in history.rules:
            rate = Fired(tenant.name, len(each.episodes) / history.days, history.days)
            if each.rule.id not in fired or rate.per_day > fired[each.rule.id].per_day:
                fired[each.rule.id] = rate
    return fired, tuple(notes)
