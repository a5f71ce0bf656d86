"""A tenant's open alerts in memory, so that a poll need not read and decode all of them again.

Whatever else writes (an acknowledgement, a card that is given up, another process) raises the tenant's revision in the
same transaction. A poll's own `record` raises it by exactly one and returns what the poll cannot know, the new ids: so
the memory follows its own writes, and any other write makes the revision differ from the one that it remembers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from alertbot.alerts import grouping
from alertbot.alerts.alert import Alert, Fingerprint, State
from alertbot.alerts.followups import Agenda
from alertbot.alerts.grouping import Groups
from alertbot.alerts.silence import Silence
from alertbot.alerts.standing import Standing
from alertbot.store.records import PollRecord, Recorded
from alertbot.store.roles import Polls


@dataclass(frozen=True)
class OpenAlerts:
    """What `alerts`, `cards` and `groups` of a tenant returned at `revision`. The alerts are in the order of ids.

    The rest is as in `alerts.alerting.Situation`.
    """

    revision: int
    standing: Standing
    cards: Mapping[Fingerprint, frozenset[str]]
    groups: Groups = field(default_factory=dict)
    silences: tuple[Silence, ...] = ()
    latched: Mapping[Fingerprint, int] = field(default_factory=dict)
    rises: Mapping[Fingerprint, tuple[datetime, ...]] = field(default_factory=dict)
    agenda: Agenda = field(default=Agenda(), compare=False)  # of these alerts, after the last turn

    @property
    def by_key(self) -> Mapping[Fingerprint, Alert]:
        """The alerts by fingerprint, in the order of ids."""
        return self.standing.by_key


def current(known: OpenAlerts | None, store: Polls, tenant: str, since: datetime) -> OpenAlerts:
    """What is open now: what is known, if nothing else was written since. Raises StoreError.

    `since`: rises before that do not matter any more.
    """
    revision = store.revision(tenant)  # first: a write while the rest is read makes it differ the next time
    if known is not None and known.revision == revision:
        return known
    return OpenAlerts(
        revision,
        Standing.of(store.alerts(tenant)),
        store.cards(tenant),
        store.groups(tenant),
        store.silences(),
        store.latched(tenant),
        _lately(store.rises(tenant, since), since),
    )


def after(known: OpenAlerts, record: PollRecord, recorded: Recorded, since: datetime) -> OpenAlerts:
    """What is open after `record`, which was decided on `known`: it has the revision of `known`. `since`: as above."""
    ended = {change.after.key: change.after for change in record.changes if change.after.state is State.INACTIVE}
    cards, rises, latched = known.cards, known.rises, known.latched
    if ended:
        left = dict(cards)
        for key in ended:
            left.pop(key, None)
        cards = left
        risen = {key: alert.rises for key, alert in ended.items() if alert.fired_at is not None and alert.rises}
        rises = {**rises, **risen}
    if record.latches:
        latches = {**latched, **record.latches}
        latched = {key: missed for key, missed in latches.items() if missed is not None}
    standing = known.standing.changed(_as_stored(known, record, recorded))
    return replace(
        known,
        revision=recorded.revision,
        standing=standing,
        cards={**cards, **recorded.cards} if recorded.cards else cards,
        groups=grouping.after(known.groups, ended.keys(), _open(recorded.joined, standing.by_key)),
        latched=latched,
        rises=_lately(rises, since),
    )


def _open(groups: Groups, by_key: Mapping[Fingerprint, Alert]) -> Groups:
    """Without alerts that ended in the poll in which they joined."""
    return {place: members & by_key.keys() for place, members in groups.items()}


def _as_stored(known: OpenAlerts, record: PollRecord, recorded: Recorded) -> Iterator[tuple[Fingerprint, Alert | None]]:
    """Each alert that a poll changed, as the store has it now; None where it ended."""
    now: dict[Fingerprint, Alert | None] = {}
    for change in record.changes:
        alert = change.after
        before = now[alert.key] if alert.key in now else known.by_key.get(alert.key)
        if change.only_values and change.before is before:
            now[alert.key] = alert
        elif alert.state is State.INACTIVE:
            now[alert.key] = None
        elif before is None:  # without an id if it ends again in the same record
            now[alert.key] = replace(alert, id=recorded.ids.get(alert.key), acked_by=None, acked_at=None, ack_note="")
        elif (alert.id, alert.acked_by, alert.acked_at, alert.ack_note) == (
            before.id,
            before.acked_by,
            before.acked_at,
            before.ack_note,
        ):
            now[alert.key] = alert
        else:  # what a poll never writes stays as it is
            now[alert.key] = replace(
                alert, id=before.id, acked_by=before.acked_by, acked_at=before.acked_at, ack_note=before.ack_note
            )
        yield alert.key, now[alert.key]


def _lately(
    rises: Mapping[Fingerprint, tuple[datetime, ...]], since: datetime
) -> Mapping[Fingerprint, tuple[datetime, ...]]:
    """Without those of which the last one was before `since`."""
    return {key: times for key, times in rises.items() if times[-1] >= since} if rises else rises
