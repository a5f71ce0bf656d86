"""Card: the Slack message that shows an alert, or several of them, from firing to resolved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from alertbot.alerts.alert import Alert, State
from alertbot.alerts.silence import Silence
from alertbot.rules.rule import Level


@dataclass(frozen=True, slots=True)
class Posted:
    """Where a message is: Slack's channel id and its `ts` (a string, never a float)."""

    channel_id: str
    ts: str


@dataclass(frozen=True, slots=True)
class Card:
    """One message in a channel that shows its member alerts, from when the first fires until the last has ended.

    A card is a projection of stored state: `version` is what Slack should show, `sent_version` what it shows. A change
    of any member raises `version`.
    """

    id: int
    members: tuple[Alert, ...]  # at least one, by id
    channel: str  # as configured
    posted: Posted | None
    version: int
    sent_version: int
    edited_at: datetime | None = None
    group: str = ""  # the group key
    silences: tuple[Silence, ...] = ()  # those that mute a member and have not ended
    # Where `members` does not have all that ended, because there were too many: how many entities the card was about
    # in all, and when the first of them fired.
    entities: int | None = None
    began: datetime | None = None

    @property
    def shared(self) -> bool:
        """Whether alerts may join it, so that a line in its thread has to name the alert."""
        return is_shared(self.group)

    @property
    def silence(self) -> Silence | None:
        """The silence that mutes every open member, of several the one that ends first; None where one is reported."""
        by_id = {silence.id: silence for silence in self.silences}
        found = [by_id.get(member.silence or 0) for member in self.members if member.state is not State.INACTIVE]
        muting = [silence for silence in found if silence is not None]
        if not muting or len(muting) < len(found):
            return None
        return min(muting, key=lambda silence: silence.ends_at)


def one_alert(alert_id: int) -> str:
    """The group key of a card that shows this one alert and nothing else."""
    return f"alert:{alert_id}"


def of_rule(rule: str) -> str:
    """The group key of a card for all alerts of a rule: `group_by: rule`."""
    return f"rule:{rule}"


def of_parent(rule: str, parent_id: str) -> str:
    """The group key of a card for the alerts of a rule within one queue or group: `group_by: parent`."""
    return f"parent:{rule}:{parent_id}"


def roll_up(rule: str) -> str:
    """The group key of the card for those alerts of a rule that have no card of their own: a storm."""
    return f"storm:{rule}"


ESCALATIONS = "escalation:"
"""How the group keys of escalation messages begin."""


def escalation(alert_id: int, after: timedelta) -> str:
    """The group key of the message of one escalation step of one alert."""
    return f"{ESCALATIONS}{alert_id}:{after.total_seconds():g}"


def escalated_after(group: str) -> timedelta | None:
    """The `after` of the step that this group key of a message belongs to; None for any other card."""
    return timedelta(seconds=float(group.rpartition(":")[2])) if group.startswith(ESCALATIONS) else None


def is_shared(group: str) -> bool:
    """Whether this is the key of a card that alerts join: `group_by`, or the roll-up of a storm."""
    return group.startswith(("rule:", "parent:", "storm:"))


def worst_first(members: Iterable[Alert]) -> list[Alert]:
    """Members as a card lists them: those that have not ended first, by level, then by how far beyond the limit.

    Of several that are equal, the one that came first.
    """
    return sorted(members, key=_rank, reverse=True)


def _rank(member: Alert) -> tuple[bool, Level, bool, float]:
    excess = member.measure.excess if member.measure is not None else 0.0
    return member.state is not State.INACTIVE, member.level, member.state is State.FIRING, excess


def leading(members: Sequence[Alert]) -> Alert:
    """The member that the headline of a card speaks of, and whose level is the card's: the worst.

    Only if all have ended is it one that has: so a card is resolved with the last of its members.
    """
    return max(members, key=_rank)


def has_ended(members: Sequence[Alert]) -> bool:
    """Whether every member has ended, which closes the card."""
    return all(member.state is State.INACTIVE for member in members)
