"""A tenant's open alerts in memory, so that a poll need not read and decode all of them again.

Whatever else writes (an acknowledgement, a card that is given up, another process) raises the tenant's revision in the
same transaction. A poll's own `record` raises it by exactly one and returns what the poll cannot know, the new ids: so
the memory follows its own writes, and any other write makes the revision differ from the one that it remembers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from alertbot.alerts import grouping
from alertbot.alerts.alert import Alert, Fingerprint, State
from alertbot.alerts.followups import Agenda
from alertbot.alerts.grouping import Groups
from alertbot.alerts.silence import Silence
from alertbot.store.records import PollRecord, Recorded
from alertbot.store.roles import Polls


@dataclass(frozen=True)
class OpenAlerts:
    """What `alerts`, `cards` and `groups` of a tenant returned at `revision`. `by_key` is in the order of ids.

    The rest is as in `alerts.alerting.Situation`.
    """

    revision: int
    by_key: Mapping[Fingerprint, Alert]
    cards: Mapping[Fingerprint, frozenset[str]]
    groups: Groups = field(default_factory=dict)
    silences: tuple[Silence, ...] = ()
    latched: Mapping[Fingerprint, int] = field(default_factory=dict)
    rises: Mapping[Fingerprint, tuple[datetime, ...]] = field(default_factory=dict)
    agenda: Agenda = field(default=Agenda(), compare=False)  # of these alerts, after the last turn


def current(known: OpenAlerts | None, store: Polls, tenant: str, since: datetime) -> OpenAlerts:
    """What is open now: what is known, if nothing else was written since. Raises StoreError.

    `since`: rises before that do not matter any more.
    """
    revision = store.revision(tenant)  # first: a write while the rest is read makes it differ the next time
    if known is not None and known.revision == revision:
        return known
    by_key = {alert.key: alert for alert in store.alerts(tenant)}
    return OpenAlerts(
        revision,
        by_key,
        store.cards(tenant),
        store.groups(tenant),
        store.silences(),
        store.latched(tenant),
        _lately(store.rises(tenant, since), since),
    )


def after(known: OpenAlerts, record: PollRecord, recorded: Recorded, since: datetime) -> OpenAlerts:
    """What is open after `record`, which was decided on `known`: it has the revision of `known`. `since`: as above."""
    by_key = dict(known.by_key)
    cards = dict(known.cards)
    rises = dict(known.rises)
    ended = set()
    for change in record.changes:
        key = change.after.key
        before = by_key.get(key)
        if change.after.state is State.INACTIVE:
            by_key.pop(key, None)
            ended.add(key)
            cards.pop(key, None)
            if change.after.fired_at is not None and change.after.rises:
                rises[key] = change.after.rises
        elif before is None:  # without an id if it ends again in the same record
            by_key[key] = replace(change.after, id=recorded.ids.get(key), acked_by=None, acked_at=None, ack_note="")
        else:  # what a poll never writes stays as it is
            by_key[key] = replace(
                change.after,
                id=before.id,
                acked_by=before.acked_by,
                acked_at=before.acked_at,
                ack_note=before.ack_note,
            )
    latched: Mapping[Fingerprint, int] = known.latched
    if record.latches:
        latches = {**latched, **record.latches}
        latched = {key: missed for key, missed in latches.items() if missed is not None}
    return replace(
        known,
        revision=recorded.revision,
        by_key=by_key,
        cards={**cards, **recorded.cards},
        groups=grouping.after(known.groups, ended, _open(recorded.joined, by_key)),
        latched=latched,
        rises=_lately(rises, since),
    )


def _open(groups: Groups, by_key: Mapping[Fingerprint, Alert]) -> Groups:
    """Without alerts that ended in the poll in which they joined."""
    return {place: members & by_key.keys() for place, members in groups.items()}


def _lately(
    rises: Mapping[Fingerprint, tuple[datetime, ...]], since: datetime
) -> Mapping[Fingerprint, tuple[datetime, ...]]:
    """Without those of which the last one was before `since`."""
    return {key: times for key, times in rises.items() if times[-1] >= since} if rises else rises
