"""Changes to notices: what is reported where, and why. Pending alerts and changed values are not reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType

from alertbot.alerts import grouping
from alertbot.alerts.alert import Alert, Change, Fingerprint, Reason
from alertbot.alerts.alerting import Alerting
from alertbot.alerts.cards import escalation
from alertbot.alerts.grouping import Groups
from alertbot.alerts.notice import Notice, NoticeKind, notice_id, operational
from alertbot.rules.rule import Level, Rule, RuleSet
from alertbot.rules.slack_ids import is_mention
from alertbot.rules.words import listed

NO_GROUPS: Groups = MappingProxyType({})
NOTHING_OPEN: Mapping[Fingerprint, Alert] = MappingProxyType({})
_MUTE_ENDED = (Reason.SUPPRESSION_ENDED, Reason.SILENCE_ENDED)
_ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)  # in ids of what is reported once, whenever it is


def decide(
    changes: Sequence[Change],
    rules: RuleSet,
    open_cards: Mapping[Fingerprint, frozenset[str]],
    default_channel: str,
    now: datetime,
    *,
    alerts: Mapping[Fingerprint, Alert] = NOTHING_OPEN,
    groups: Groups = NO_GROUPS,
    storm_cards: int = Alerting.storm_cards,
) -> list[Notice]:
    """The notices of one poll, in the order of the changes; those that share a card or a line stand together.

    `open_cards`: the channels, as configured, that have a card of an alert (`Store.cards`). An alert that fires gets a
    card in each channel of its level; all that follows is a thread line in every channel that has a card. A rise gets
    a card in those channels of its level that have none yet. An alert without a card anywhere ends without a notice.
    The text of a notice is the change's `why` and no more: the renderer adds what happened (from reason and level) and
    when (in the reader's zone). Mentions go with cards and with rises; a line about a fall or an end mentions no one.
    When a mute ends, an alert that was never reported is reported as one that fires, and one that has a card by its
    current level.

    A reminder is a line too, with the mentions of the level, broadcast if critical; where the alert has an owner, it
    mentions that owner alone. A step of `escalate` is a line that names its channels, and a message of its own in each
    of them (`cards.escalation`), also where the alert has its card.

    A change is not reported when it has no `reason`, or when it is `withheld`.

    `groups` are the open cards that alerts may join, `alerts` those that had not ended before the poll, and
    `storm_cards` how many cards one poll may begin in a channel: see grouping.py.
    """
    by_id = {rule.id: rule for rule in rules.rules}
    notices: list[Notice] = []
    for change in changes:
        if change.reason is not None and change.withheld is None:
            cards = open_cards.get(change.after.key, frozenset())
            notices.extend(
                _notices(change, change.reason, by_id.get(change.after.key.rule), cards, default_channel, now)
            )
    return grouping.shared(notices, by_id, alerts, groups, storm_cards)


def _notices(
    change: Change, reason: Reason, rule: Rule | None, cards: frozenset[str], default_channel: str, now: datetime
) -> Iterator[Notice]:
    alert = change.after
    mention = rule.mention.get(alert.level, ()) if rule is not None else ()
    wanted = rule.channels.get(alert.level, ()) if rule is not None else ()
    wanted = wanted or (default_channel,)
    known = change.before.reported if change.before is not None else None
    if reason is Reason.FIRED or (reason in _MUTE_ENDED and known is None):
        for channel in wanted:
            yield _notice(NoticeKind.CARD, alert, channel, reason, change.why, now, mention=mention)
        return
    if reason is Reason.REMINDER:
        yield from _reminders(change, cards, mention, now)
        return
    if reason is Reason.ESCALATED:
        yield from _escalations(change, rule, cards, wanted, now)
        return
    rises = reason is Reason.LEVEL_UP
    if reason in _MUTE_ENDED and known is not None:
        rises = alert.level > known
    for channel in sorted(cards):
        yield _notice(
            NoticeKind.LINE,
            alert,
            channel,
            reason,
            change.why,
            now,
            mention=mention if rises else (),
            broadcast=rises and alert.level is Level.CRITICAL,
        )
    for channel in wanted:
        if rises and channel not in cards:
            yield _notice(NoticeKind.CARD, alert, channel, reason, change.why, now, mention=mention)


def _reminders(change: Change, cards: frozenset[str], mention: tuple[str, ...], now: datetime) -> Iterator[Notice]:
    alert = change.after
    owner = alert.acked_by or ""
    if owner:
        mention = tuple(each for each in (f"<@{owner}>",) if is_mention(each))  # not a local user's name
    for channel in sorted(cards):
        yield _notice(
            NoticeKind.LINE,
            alert,
            channel,
            Reason.REMINDER,
            change.why,
            now,
            mention=mention,
            broadcast=not owner and alert.level is Level.CRITICAL,
            by=owner,
        )


def _escalations(
    change: Change, rule: Rule | None, cards: frozenset[str], own: tuple[str, ...], now: datetime
) -> Iterator[Notice]:
    """The notices of one step. `own`: the channels of the rule, for a step that names none."""
    alert = change.after
    if rule is None or alert.escalated is None or alert.id is None:
        return
    group = escalation(alert.id, alert.escalated)
    mentions: dict[str, tuple[str, ...]] = {}  # by channel
    for step in rule.escalate:
        if step.after == alert.escalated:
            for channel in step.channels or own:
                mentions[channel] = tuple(dict.fromkeys((*mentions.get(channel, ()), *step.mention)))
    where = listed(list(mentions))
    for channel in sorted(cards) if mentions else ():
        yield _notice(NoticeKind.LINE, alert, channel, Reason.ESCALATED, where, now, also=group)
    for channel, mention in mentions.items():
        yield _notice(NoticeKind.CARD, alert, channel, Reason.ESCALATED, change.why, now, mention=mention, group=group)


def _notice(
    kind: NoticeKind,
    alert: Alert,
    channel: str,
    reason: Reason,
    text: str,
    now: datetime,
    *,
    mention: tuple[str, ...] = (),
    broadcast: bool = False,
    by: str = "",
    group: str = "",
    also: str = "",
) -> Notice:
    """`also`: what tells it from another notice with the same reason in the same channel at the same time."""
    words = tuple(word for word in (kind if group else "", group or also) if word)
    return Notice(
        id=notice_id((*alert.key, *words), reason, channel, now),
        kind=kind,
        alert=alert.key,
        channel=channel,
        reason=reason,
        level=alert.level,
        at=now,
        text=text,
        measure=alert.measure,
        mention=mention,
        broadcast=broadcast,
        by=by,
        group=group,
    )


def rule_failures(failures: Mapping[str, str], tenant: str, version: str, channel: str, now: datetime) -> list[Notice]:
    """One operational notice for each rule that cannot be evaluated: the same one as long as the rules stay the same.

    `failures`: by rule, the exception.
    """
    return [
        operational(
            ("rule failed", tenant, rule_id, version),
            channel,
            f"{tenant}: the rule {rule_id} failed with an unexpected error and makes no decision: {error}. Its "
            "open alerts stay as they are; the other rules are evaluated. Change the rule, and report the error.",
            now,
            once=_ANY_TIME,
        )
        for rule_id, error in failures.items()
    ]
